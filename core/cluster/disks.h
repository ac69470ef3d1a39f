/* The disks of the members, as their beats tell. Rule: a leader whose disk is low hands over to a voter that has more room, so that one
 * full disk stops one node and not the cluster. Loop thread. */
#ifndef CHRONOS_CLUSTER_DISKS_H
#define CHRONOS_CLUSTER_DISKS_H

#include "cluster/cluster.h"
#include "raft/conf.h"

enum {
    DISK_FRESH_MS = 3000,   /* three of the longest time between two beats */
    DISK_STEADY_MS = 10000, /* so long a disk must have had room again before the others are told: leadership does not go to and fro */
};

struct disk_seen {
    uint64_t node;
    int64_t heard_ms; /* monotonic */
    enum disk_state state;
    bool is_behind;   /* its log: it would take long to take over */
};

struct disks {
    struct disk_seen seen[RAFT_MEMBERS_MAX];
    uint32_t count;
    enum disk_state told; /* of this node, to the leader */
    int64_t better_ms;    /* monotonic: since when it is better than that; 0: it is not */
};

/* --- of what was heard --- */
void disks_heard(struct disks *disks, const struct disk_seen *seen);
/* A fresh one that is not behind, at `node`; NULL: none. */
const struct disk_seen *disks_find(const struct disks *disks, uint64_t node, int64_t monotonic_ms);
/* What this node says of its own, which is in `state` now. */
enum disk_state disks_tell(struct disks *disks, enum disk_state state, int64_t monotonic_ms);

/* --- of a node --- */
/* With each own beat: the leader whose disk is low hands over to a voter with more room. */
void disks_look(struct cluster *cluster);

#endif
