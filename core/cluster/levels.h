/* Feature levels (docs/adr/0017-feature-level.md): what each node has said of itself, and the entry that raises the level in force once all
 * members know a newer one. Loop thread. */
#ifndef CHRONOS_CLUSTER_LEVELS_H
#define CHRONOS_CLUSTER_LEVELS_H

#include "raft/raft.h"
#include "transport/hello.h"

struct cluster;

enum { LEVELS_MAX = 2 * RAFT_MEMBERS_MAX };

struct levels {
    struct {
        uint64_t node;
        uint32_t level;
    } heard[LEVELS_MAX]; /* from introductions since this process started: kept while the node is down */
    uint32_t count;
    uint32_t reached;    /* known to be in force: saves looking */
    bool is_rising;      /* the entry is on its way */
};

/* On every link that comes up. */
void levels_heard(struct cluster *cluster, const struct hello *remote);
uint32_t levels_of(const struct cluster *cluster, uint64_t node); /* 0: never heard of */
/* The leader, a few times a second: raises the level in force. */
void levels_look(struct cluster *cluster);
/* CONFLICT: the node is too old for this cluster. One that was not heard of here finds that out by itself. */
must_use enum status levels_admit(const struct cluster *cluster, uint64_t node, const char *name, struct error *err);

#endif
