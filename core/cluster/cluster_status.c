/* What others may know of a node and its cluster. */
#include <assert.h>

#include "cluster/cluster_internal.h"
#include "cluster/membership.h"

bool cluster_has_member(const struct cluster *cluster, const char *name)
{
    struct raft_status status;
    raft_status(cluster->raft, &status);
    return membership_find(status.conf, name) != NULL;
}

static void describe_members(const struct cluster *cluster, const struct raft_status *raft, struct cluster_status *ret)
{
    static_assert((int)CLUSTER_MEMBERS_MAX == (int)RAFT_MEMBERS_MAX, "one place each");
    for (uint8_t i = 0; i < raft->conf->count; i++) {
        const struct raft_member *member = &raft->conf->members[i];
        struct cluster_member *to = &ret->members[ret->member_count++];
        bool is_self = member->id == cluster->self.node;
        *to = (struct cluster_member){
            .name = member->name,
            .address = member->address,
            .is_leader = member->id == raft->leader,
            .is_voter = (member->role & RAFT_VOTER) != 0,
            .is_draining = removal_is_draining(cluster, member->id),
            .feature_level = levels_of(cluster, member->id),
            .is_reachable = is_self || (cluster->transport != NULL && transport_is_up(cluster->transport, member->id, LANE_CONTROL)),
        };
        for (uint32_t p = 0; p < raft->peer_count; p++)
            if (raft->peers[p].id == member->id)
                to->match_index = raft->peers[p].match;
        if (is_self)
            to->match_index = raft->persisted;
        to->is_clock_known = is_self || clocks_offset(&cluster->clocks, member->id, clocks_wall_ms(cluster),
                                                      cluster_monotonic_ms(cluster), &to->clock_ahead_ms);
        if (to->is_leader) {
            ret->leader_node = member->name;
            ret->leader_address = member->address;
        }
    }
}

void cluster_status_get(const struct cluster *cluster, struct cluster_status *ret)
{
    struct log_writer_stats log = {.disk_free_bytes = -1};
    struct applier_stats state = {.synced_index = 0};
    struct raft_status raft;
    if (cluster->writer != NULL)
        log_writer_stats_get(cluster->writer, &log);
    if (cluster->applier != NULL)
        applier_stats_get(cluster->applier, &state);
    raft_status(cluster->raft, &raft);
    *ret = (struct cluster_status){
        .is_leader = cluster->is_leader,
        .is_ready = cluster->is_led && !contact_is_cut_off(cluster) && !cluster->stopping,
        .is_behind = cluster->applier == NULL || beats_is_behind(cluster),
        .is_removed = cluster->is_removed,
        .even_voters = voters_even(cluster),
        .leader_contact_ms = cluster_leader_contact_ms(cluster),
        .term = raft_term(cluster->raft),
        .commit_index = raft_commit(cluster->raft),
        .applied_index = cluster->applied_index,
        .last_index = raft_last(cluster->raft).index,
        .first_index = log.first_index,
        .synced_index = state.synced_index,
        .log_bytes = log.log_bytes,
        .disk = cluster->disk,
        .disk_free_bytes = log.disk_free_bytes,
        .stamp_ahead_ms = cluster_stamp_ahead_ms(cluster),
        .proposals_waiting = proposals_count(cluster->proposals),
        .log_commits = log.commits,
        .log_entries = log.entries,
        .apply_batches = state.batches,
        .apply_entries = state.entries,
        .log_commit_ns = log.commit_ns,
        .apply_ns = state.apply_ns,
        .frames_unknown = cluster->frames_unknown,
    };
    if (ret->leader_contact_ms < 0)
        ret->leader_contact_ms = (int64_t)((cluster_monotonic_ns(cluster) - cluster->contact.started_ns) / 1000000);
    describe_members(cluster, &raft, ret);
}
