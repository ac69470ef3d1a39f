/* Somebody who waits for an outcome that no entry of the log tells. Loop thread. */
#ifndef CHRONOS_CLUSTER_WAITER_H
#define CHRONOS_CLUSTER_WAITER_H

#include "cluster/cluster.h"

struct waiter {
    cluster_done done; /* NULL: nobody */
    void *arg;
    uint64_t token, deadline_ns;
};

struct waiter waiter_of(struct cluster *cluster, cluster_done done, void *arg, uint64_t token); /* as long as clients wait */
/* The place is free before it is told; accepts one where nobody waits. */
void waiter_answer(struct waiter *waiter, const struct cluster_outcome *outcome);
void waiter_tell(struct waiter *waiter, enum status status, const char *message);

#endif
