#include "cluster/contact.h"

#include "base/limits.h"
#include "cluster/cluster_internal.h"
#include "raft/quorum.h"

enum { NS_PER_MS = 1000000 };

void contact_begin(struct cluster *cluster)
{
    cluster->contact = (struct contact){.started_ns = cluster_monotonic_ns(cluster)};
}

void contact_heard(struct cluster *cluster)
{
    cluster->contact.heard_ns = cluster_monotonic_ns(cluster);
}

/* This node's own links, as it has dialled them: what it could send to whom. */
static bool reaches_majority(const struct cluster *cluster, const struct raft_conf *conf)
{
    int8_t votes[RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < conf->count; i++) {
        uint64_t id = conf->members[i].id;
        bool is_up = id == cluster->self.node || transport_is_up(cluster->transport, id, LANE_CONTROL);
        votes[i] = is_up ? 1 : -1;
    }
    return raft_quorum_tally(conf, votes) == RAFT_VOTE_WON;
}

static bool has_waited(const struct cluster *cluster, uint64_t now)
{
    uint64_t since = cluster->contact.leaderless_ns;
    uint64_t patience_ns = (uint64_t)(NO_QUORUM_ELECTIONS * cluster->config.election_timeout_ms) * NS_PER_MS;
    return since != 0 && now - since > patience_ns;
}

void contact_look(struct cluster *cluster)
{
    struct contact *contact = &cluster->contact;
    struct raft_status status;
    uint64_t now = cluster_monotonic_ns(cluster);
    if (cluster->transport == NULL)
        return; /* alone, it is its own majority */
    raft_status(cluster->raft, &status);
    if (status.role == RAFT_LEADER)
        contact->heard_ns = now;
    if (status.leader != 0)
        contact->leaderless_ns = 0;
    else if (contact->leaderless_ns == 0)
        contact->leaderless_ns = now;
    bool is_member = raft_conf_find(status.conf, cluster->self.node) != NULL;
    contact->is_lost = is_member && (has_waited(cluster, now) || !reaches_majority(cluster, status.conf));
}

int64_t cluster_leader_contact_ms(const struct cluster *cluster)
{
    if (raft_role(cluster->raft) == RAFT_LEADER)
        return 0;
    if (cluster->contact.heard_ns == 0)
        return -1;
    return (int64_t)((cluster_monotonic_ns(cluster) - cluster->contact.heard_ns) / NS_PER_MS);
}

bool contact_has_leader(const struct cluster *cluster)
{
    uint64_t leader = raft_last(cluster->raft).index > 0 ? raft_leader(cluster->raft) : 0;
    return cluster->is_leader || (leader != 0 && leader != cluster->self.node && cluster->transport != NULL &&
                                  transport_is_up(cluster->transport, leader, LANE_CONTROL));
}

bool contact_is_cut_off(const struct cluster *cluster)
{
    return cluster->is_leader && cluster->contact.is_lost;
}

enum status contact_refuse(const struct cluster *cluster, struct error *err)
{
    if (cluster->is_removed)
        return error_set(err, STATUS_NO_LEADER, "this node was removed from its cluster; ask one of its members");
    if (cluster->contact.is_lost)
        return error_set(err, STATUS_NO_QUORUM, "this node has lost contact with a majority of the cluster and only reads; ask "
                         "another node, or try again when the others are back");
    if (cluster->transport != NULL && id_is_zero(&cluster->self.cluster_id))
        return error_set(err, STATUS_NO_LEADER, "this node belongs to no cluster yet; ask a member, or let it join");
    return error_set(err, STATUS_NO_LEADER, "no leader is known, or it cannot be reached from this node; try again in a second");
}
