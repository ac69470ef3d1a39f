#include "cluster/links.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cluster/cluster_internal.h"
#include "cluster/forward.h"
#include "cluster/membership.h"
#include "state/level.h"

static const struct id *own_cluster(const struct cluster *cluster)
{
    return &cluster->self.cluster_id;
}

static bool is_of_this_cluster(const struct cluster *cluster, const struct hello *remote)
{
    return !id_is_zero(own_cluster(cluster)) && id_compare(own_cluster(cluster), &remote->cluster_id) == 0;
}

/* --- who may speak --- */

const struct raft_member *links_member(const struct cluster *cluster, uint64_t id)
{
    struct raft_status status;
    raft_status(cluster->raft, &status);
    return raft_conf_find(status.conf, id);
}

/* A raft id is a member's vote: whoever speaks for it must be that member, by its name, which never changes. A certificate that was
 * made for a host alone proves no more than that the node runs there. */
static bool is_itself(const struct cluster *cluster, const struct hello *remote, struct error *err)
{
    const struct raft_member *member = links_member(cluster, remote->node);
    if (member == NULL || (strcmp(member->name, remote->name) == 0 &&
                           (remote->is_name_proven || strcmp(member->address, remote->address) == 0)))
        return true;
    if (strcmp(member->name, remote->name) == 0)
        (void)error_set(err, STATUS_UNAUTHENTICATED, "node \"%s\" has moved from %s to %s, and its certificate does not carry its name",
                        remote->name, member->address, remote->address);
    else
        (void)error_set(err, STATUS_CONFLICT, "node \"%s\" has the identity of node \"%s\": was its data directory copied?",
                        remote->name, member->name);
    return false; /* `err` goes to the other side */
}

static bool is_restored_from(const struct hello *hello, const struct id *cluster)
{
    return !id_is_zero(cluster) && id_compare(&hello->restored_from, cluster) == 0 && id_compare(&hello->cluster_id, cluster) != 0;
}

static bool on_admit(void *arg, const struct hello *remote, bool is_dialled, struct error *err)
{
    struct cluster *cluster = arg;
    bool is_member = !id_is_zero(own_cluster(cluster)), is_guest = id_is_zero(&remote->cluster_id);
    if (is_restored_from(remote, own_cluster(cluster)))
        membership_superseded(cluster, remote);
    if (!is_itself(cluster, remote, err))
        return false;
    if (is_of_this_cluster(cluster, remote) || (is_member && is_guest))
        return true;
    if (!is_member && !is_guest)
        return true; /* one that this node has asked for admission, or that invites it */
    if (is_restored_from(&cluster->self, &remote->cluster_id)) {
        membership_origin_lives(cluster, remote);
        return true; /* so it learns that its cluster goes on here */
    }
    if (!is_dialled && !is_restored_from(remote, own_cluster(cluster)))
        founding_contradicted(cluster, remote);
    if (is_guest)
        (void)error_set(err, STATUS_NOT_READY, "node \"%s\" belongs to no cluster yet itself", cluster->config.node_id);
    else
        (void)error_set(err, STATUS_CONFLICT, "nodes \"%s\" and \"%s\" belong to different clusters: start one of them with an empty "
                        "data directory and cluster.raft.peers", cluster->config.node_id, remote->name);
    return false; /* `err` goes to the other side */
}

/* --- messages of consensus --- */

static bool take_message(struct cluster *cluster, const struct hello *remote, struct bytes payload, struct error *err)
{
    struct raft_message message;
    bool has_diverged = false;
    enum status status = message_decode(payload, remote->node, &cluster->room, &message, err);
    if (status == STATUS_NO_MEMORY)
        return true; /* as if it had been lost */
    if (status != STATUS_OK)
        return false;
    if (message.to != cluster->self.node)
        return true; /* for an earlier life of this node */
    status = raft_step(cluster->raft, &message, &has_diverged);
    if (has_diverged && links_member(cluster, remote->node) != NULL) {
        LOG_ERROR("the logs of two nodes differ in an entry that both count as one: this node stops before it does harm",
                  LOG_STRING("other", remote->name), LOG_U64("index", message.log.index), LOG_U64("term", message.term),
                  LOG_STRING("mend", "compare the nodes' data; restore the one that is wrong, or remove it and let it join anew"));
        abort();
    }
    if (status == STATUS_INVALID || status == STATUS_CORRUPT) {
        (void)error_set(err, status, "a message of consensus of type %u that no sound node sends", message.type);
        return false;
    }
    if (message.from == raft_leader(cluster->raft) && message.term == raft_term(cluster->raft))
        contact_heard(cluster);
    return true; /* OK, or dropped for want of room: the sender repeats it */
}

bool links_send_frame(struct cluster *cluster, uint64_t node, enum cluster_frame type, struct bytes payload)
{
    return cluster->transport != NULL && transport_send(cluster->transport, node, LANE_CONTROL, (uint8_t)type, payload);
}

bool links_send_bulk(struct cluster *cluster, uint64_t node, enum cluster_frame type, struct bytes payload)
{
    return cluster->transport != NULL && transport_send(cluster->transport, node, LANE_BULK, (uint8_t)type, payload);
}

bool links_send(struct cluster *cluster, const struct raft_message *message)
{
    enum transport_lane lane = message->type == RAFT_SNAPSHOT ? LANE_BULK : LANE_CONTROL;
    if (cluster->transport == NULL)
        return false;
    buffer_clear(&cluster->wire);
    message_encode(message, &cluster->wire);
    return cluster->wire.failed == STATUS_OK &&
           transport_send(cluster->transport, message->to, lane, FRAME_MESSAGE, buffer_bytes(&cluster->wire));
}

/* --- whom to call --- */

static void forget_acquaintance(struct cluster *cluster, uint64_t id)
{
    for (uint32_t i = 0; i < cluster->acquaintance_count; i++) {
        if (cluster->acquaintances[i].id != id)
            continue;
        cluster->acquaintances[i] = cluster->acquaintances[--cluster->acquaintance_count];
        cluster->calls_changed = true;
        return;
    }
}

/* Whoever calls can be called back: a node that has just been admitted knows its leader only so. */
static void note_acquaintance(struct cluster *cluster, const struct hello *remote)
{
    forget_acquaintance(cluster, remote->node);
    if (remote->address[0] == '\0' || id_is_zero(&remote->cluster_id) || cluster->acquaintance_count == ACQUAINTANCES_MAX)
        return;
    struct acquaintance *noted = &cluster->acquaintances[cluster->acquaintance_count++];
    noted->is_name_proven = remote->is_name_proven;
    noted->id = remote->node;
    noted->cluster_id = remote->cluster_id;
    (void)snprintf(noted->address, sizeof noted->address, "%s", remote->address); /* of one size */
    cluster->calls_changed = true;
}

/* A member that has moved is called where it is, also while there is no leader that could note it. */
static const char *newest_address(const struct cluster *cluster, const struct raft_member *member)
{
    for (uint32_t i = 0; i < cluster->acquaintance_count; i++) {
        const struct acquaintance *seen = &cluster->acquaintances[i];
        if (seen->id == member->id && seen->is_name_proven && id_compare(&seen->cluster_id, own_cluster(cluster)) == 0)
            return seen->address;
    }
    return member->address;
}

static uint32_t list_nodes(const struct cluster *cluster, const struct raft_conf *conf, struct transport_peer *out)
{
    uint32_t count = 0;
    for (uint8_t i = 0; i < conf->count; i++) {
        const struct raft_member *member = &conf->members[i];
        const char *address = newest_address(cluster, member);
        if (member->id != cluster->self.node && address[0] != '\0')
            out[count++] = (struct transport_peer){.id = member->id, .address = address};
    }
    for (uint32_t i = 0; i < cluster->acquaintance_count; i++) {
        const struct acquaintance *noted = &cluster->acquaintances[i];
        if (id_compare(&noted->cluster_id, own_cluster(cluster)) == 0 && raft_conf_find(conf, noted->id) == NULL)
            out[count++] = (struct transport_peer){.id = noted->id, .address = noted->address};
    }
    return count;
}

static bool is_listed(const struct transport_peer *peers, uint32_t count, const char *address)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(peers[i].address, address) == 0)
            return true;
    return false;
}

/* Behind those that are listed already: of two links to one node the newer one would close the other, again and again. */
static uint32_t list_contacts(const struct cluster *cluster, struct transport_peer *peers, uint32_t count)
{
    for (uint32_t i = 0; i < cluster->config.peer_count; i++)
        if (!is_listed(peers, count, cluster->config.peers[i]))
            peers[count++] = (struct transport_peer){.address = cluster->config.peers[i]};
    return count;
}

void links_follow_members(struct cluster *cluster)
{
    struct transport_peer peers[RAFT_MEMBERS_MAX + ACQUAINTANCES_MAX + CONFIG_LIST_MAX + INVITATIONS_MAX];
    struct raft_status status;
    struct error err;
    if (cluster->transport == NULL || cluster->stopping)
        return;
    raft_status(cluster->raft, &status);
    struct raft_log_id conf = {status.conf_index, raft_term_at(cluster->raft, status.conf_index)};
    if (cluster->called_for.index == conf.index && cluster->called_for.term == conf.term && !cluster->calls_changed)
        return;
    uint32_t count = id_is_zero(own_cluster(cluster)) ? 0 : list_nodes(cluster, status.conf, peers);
    if (status.last.index == 0) /* nothing of a log yet: perhaps its admission came to nothing */
        count = list_contacts(cluster, peers, count);
    membership_list_invited(cluster, peers, &count);
    if (count > TRANSPORT_PEERS_MAX)
        count = TRANSPORT_PEERS_MAX; /* members come first */
    if (transport_set_peers(cluster->transport, peers, count, &err) != STATUS_OK) {
        LOG_ERROR("the other nodes cannot be called", LOG_ERROR_FIELD(&err));
        return; /* tried again in the next turn */
    }
    cluster->called_for = conf;
    cluster->calls_changed = false;
}

/* --- what the transport tells --- */

static bool on_frame(void *arg, struct transport_link link, const struct hello *remote, bool is_dialled, uint8_t type,
                     struct bytes payload, struct error *err)
{
    struct cluster *cluster = arg;
    bool is_peer = is_of_this_cluster(cluster, remote);
    switch ((enum cluster_frame)type) {
    case FRAME_MESSAGE:
        return !is_peer || take_message(cluster, remote, payload, err);
    case FRAME_JOIN:
        membership_asked(cluster, link, remote);
        return true;
    case FRAME_ADMITTED:
        return membership_answered(cluster, remote, is_dialled, payload, err);
    case FRAME_REQUEST: /* of members alone; only the leader acts on it, and it knows them all */
        return !is_peer || links_member(cluster, remote->node) == NULL || forward_requested(cluster, remote, payload, err);
    case FRAME_ANSWER:
        return !is_peer || forward_answered(cluster, remote, payload, err);
    case FRAME_OUTPUT_WANTED: /* likewise of members alone */
        return !is_peer || links_member(cluster, remote->node) == NULL || outputs_requested(cluster, remote, payload, err);
    case FRAME_OUTPUT:
        return !is_peer || outputs_answered(cluster, remote, payload, err);
    case FRAME_BEAT:
        return !is_peer || beats_heard(cluster, remote, payload, err);
    case FRAME_BEAT_ANSWER:
        return !is_peer || beats_answered(cluster, remote, payload, err);
    }
    cluster->frames_unknown++; /* of a newer version */
    return true;
}

static void on_up(void *arg, struct transport_link link, const struct hello *remote, bool is_dialled)
{
    struct cluster *cluster = arg;
    LOG_DEBUG("node link up", LOG_STRING("node", remote->name), LOG_BOOL("dialled", is_dialled), LOG_INT("lane", remote->lane));
    levels_heard(cluster, remote);
    contact_look(cluster);
    if (remote->lane == LANE_CONTROL && is_dialled)
        membership_ask_on(cluster, link);
    if (remote->lane == LANE_CONTROL && is_dialled)
        membership_reached(cluster, link, remote);
    if (remote->lane == LANE_CONTROL && !is_dialled) {
        note_acquaintance(cluster, remote);
        founding_called(cluster, remote);
    }
}

static void on_down(void *arg, struct transport_link link, const struct hello *remote, bool is_dialled)
{
    struct cluster *cluster = arg;
    LOG_DEBUG("node link down", LOG_STRING("node", remote->name), LOG_BOOL("dialled", is_dialled), LOG_INT("lane", remote->lane));
    contact_look(cluster);
    if (remote->lane == LANE_CONTROL && is_dialled)
        membership_left(cluster, link);
    if (remote->lane == LANE_CONTROL && !is_dialled)
        forget_acquaintance(cluster, remote->node);
    if (remote->lane == LANE_BULK)
        outputs_lost(cluster, remote->node);
    if (remote->lane != LANE_CONTROL || !is_of_this_cluster(cluster, remote))
        return;
    raft_report(cluster->raft, remote->node, RAFT_LINK_DOWN);
    forward_lost(cluster, remote->node);
    beats_link_lost(cluster, remote->node);
}

uint32_t cluster_refusals(const struct cluster *cluster, struct cluster_refusals ret[CLUSTER_REFUSALS_MAX])
{
    static_assert((int)TRANSPORT_REFUSAL_COUNT <= (int)CLUSTER_REFUSALS_MAX, "a place each");
    struct transport_stats stats;
    if (cluster->transport == NULL)
        return 0;
    transport_stats_get(cluster->transport, &stats);
    for (uint32_t i = 0; i < TRANSPORT_REFUSAL_COUNT; i++)
        ret[i] = (struct cluster_refusals){transport_refusal_name((enum transport_refusal)i), stats.refused[i]};
    return TRANSPORT_REFUSAL_COUNT;
}

/* --- life --- */

void links_note_origin(struct cluster *cluster)
{
    struct state_view view;
    struct error err;
    uint8_t digest[RESTORE_DIGEST_SIZE];
    if (state_view_begin(cluster->stores.state, &view, &err) != STATUS_OK)
        return;
    if (state_get_restored(&view, &cluster->self.restored_from, digest, &err) != STATUS_OK)
        cluster->self.restored_from = (struct id){{0}};
    state_view_end(&view);
}

void links_describe_self(struct cluster *cluster)
{
    struct hello *self = &cluster->self;
    *self = (struct hello){.protocol_min = PROTOCOL_MIN, .protocol_max = PROTOCOL_MAX,
                           .cluster_id = log_store_hard(cluster->stores.log)->cluster_id,
                           .node = log_store_hard(cluster->stores.log)->node,
                           .feature_level = feature_level_known(), .features = cluster->config.peer_count > 0 ? HELLO_ASKS_PEERS : 0};
    random_bytes_secure(&self->session, sizeof self->session);
    (void)snprintf(self->name, sizeof self->name, "%s", cluster->config.node_id); /* lengths were checked with the config */
    (void)snprintf(self->address, sizeof self->address, "%s",
                   cluster->config.raft_advertise != NULL ? cluster->config.raft_advertise : "");
    links_note_origin(cluster);
}

enum status links_open(struct cluster *cluster, struct error *err)
{
    int port = 0;
    const struct cluster_config *config = &cluster->config;
    assert(config->raft_address != NULL && config->raft_advertise != NULL);
    cluster->calls_changed = true;
    struct transport_config transport = {
        .loop = config->loop,
        .self = cluster->self,
        .tls = config->tls,
        .silence_ms = (uint32_t)(2 * config->election_timeout_ms),
        .ops = {.admit = on_admit, .up = on_up, .down = on_down, .frame = on_frame, .arg = cluster},
    };
    enum status status = transport_new(&transport, &cluster->transport, err);
    if (status == STATUS_OK)
        status = transport_listen(cluster->transport, config->raft_address, &port, err);
    if (status != STATUS_OK)
        return error_wrap(err, "cluster.raft.address");
    LOG_INFO("listening for other nodes", LOG_STRING("address", config->raft_address),
             LOG_STRING("advertise", config->raft_advertise), LOG_BOOL("tls", config->tls != NULL));
    return STATUS_OK;
}

void links_joined(struct cluster *cluster)
{
    transport_set_self(cluster->transport, &cluster->self);
    cluster->calls_changed = true;
}

void links_close(struct cluster *cluster, void (*closed)(void *arg), void *arg)
{
    transport_close(cluster->transport, closed, arg);
    cluster->transport = NULL;
}
