#include "cluster/disks.h"

#include <stdlib.h>

#include "base/log.h"
#include "cluster/cluster_internal.h"
#include "cluster/membership.h"

/* --- of what was heard --- */

void disks_heard(struct disks *disks, const struct disk_seen *seen)
{
    uint32_t place = 0;
    for (uint32_t i = 0; i < disks->count; i++) {
        if (disks->seen[i].node == seen->node) {
            disks->seen[i] = *seen;
            return;
        }
        if (disks->seen[i].heard_ms < disks->seen[place].heard_ms)
            place = i; /* the oldest one: it has left */
    }
    disks->seen[disks->count < RAFT_MEMBERS_MAX ? disks->count++ : place] = *seen;
}

const struct disk_seen *disks_find(const struct disks *disks, uint64_t node, int64_t monotonic_ms)
{
    for (uint32_t i = 0; i < disks->count; i++) {
        const struct disk_seen *seen = &disks->seen[i];
        if (seen->node == node && !seen->is_behind && monotonic_ms - seen->heard_ms <= DISK_FRESH_MS)
            return seen;
    }
    return NULL;
}

enum disk_state disks_tell(struct disks *disks, enum disk_state state, int64_t monotonic_ms)
{
    if (state >= disks->told) {
        disks->told = state;
        disks->better_ms = 0;
    } else if (disks->better_ms == 0) {
        disks->better_ms = monotonic_ms;
    } else if (monotonic_ms - disks->better_ms >= DISK_STEADY_MS) {
        disks->told = state;
        disks->better_ms = 0;
    }
    return disks->told;
}

/* --- of a node --- */

static bool has_right_clock(const struct cluster *cluster, uint64_t node)
{
    int64_t ahead_ms;
    return !clocks_offset(&cluster->clocks, node, clocks_wall_ms(cluster), cluster_monotonic_ms(cluster), &ahead_ms) ||
           llabs(ahead_ms) <= cluster->config.clock_tolerance_ms;
}

/* The voter with the most room, if that is more than here; 0: none. */
static uint64_t successor(const struct cluster *cluster)
{
    struct raft_status status;
    uint64_t best = 0;
    enum disk_state best_state = cluster->disk;
    raft_status(cluster->raft, &status);
    for (uint8_t i = 0; i < status.conf->count; i++) {
        const struct raft_member *member = &status.conf->members[i];
        const struct disk_seen *seen = disks_find(&cluster->disks, member->id, cluster_monotonic_ms(cluster));
        if (!(member->role & RAFT_VOTER) || member->id == cluster->self.node || seen == NULL || seen->state >= best_state ||
            !has_right_clock(cluster, member->id))
            continue;
        best = member->id;
        best_state = seen->state;
    }
    return best;
}

void disks_look(struct cluster *cluster)
{
    if (!cluster->is_leader || cluster->stopping || cluster->disk == DISK_OK || !cluster_clock_agrees(cluster))
        return; /* a clock that is wrong is seen to first: clocks.c */
    uint64_t to = successor(cluster);
    if (to != 0 && membership_let_lead(cluster, to))
        LOG_WARN("the disk of this node is low: leadership is handed over to a node that has room",
                 LOG_STRING("to", links_member(cluster, to)->name), LOG_INT("free_bytes", cluster->disk_free_bytes),
                 LOG_STRING("directory", cluster->disk_directory));
}
