/* Linearizable reads that wait: until the core has confirmed who leads, and until the state holds what was committed before. Loop
 * thread. */
#ifndef CHRONOS_CLUSTER_READS_H
#define CHRONOS_CLUSTER_READS_H

#include "cluster/beats.h"
#include "cluster/cluster.h"
#include "raft/raft.h"

enum { READS_MAX = 1024 }; /* of clients; beats have places beside them */

struct pending_read {
    uint64_t ctx;   /* names it towards the core */
    uint64_t index; /* UINT64_MAX: not confirmed yet */
    enum status status; /* OK, or why it was not confirmed */
    cluster_done done;
    void *arg;
    uint64_t token, deadline_ns;
};

struct reads {
    struct pending_read pending[READS_MAX + BEATS_HEARD_MAX];
    uint32_t count;
    uint64_t ctx; /* of the newest one */
};

/* As cluster_read_index, also where clients may read no more. */
must_use enum status cluster_read_for_beat(struct cluster *cluster, cluster_done done, void *arg, uint64_t token, struct error *err);
void reads_note(struct cluster *cluster, const struct raft_read_state *answer); /* of the core */
void reads_answer(struct cluster *cluster); /* those that the state can answer now */
bool reads_expire(struct cluster *cluster, uint64_t now_ns); /* true while somebody waits */
void reads_abandon(struct cluster *cluster);

#endif
