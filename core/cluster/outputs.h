/* Output of runs that is kept on other nodes: asked for, and served to them. Nothing is kept for an asker between two pieces. On the
 * bulk lane, so that heartbeats do not wait behind it. Loop thread. */
#ifndef CHRONOS_CLUSTER_OUTPUTS_H
#define CHRONOS_CLUSTER_OUTPUTS_H

#include "base/limits.h"
#include "cluster/cluster.h"
#include "transport/hello.h"

/* An attempt's output that is wanted from another node, and not there yet. */
struct output_wait {
    cluster_done done; /* NULL: the place is free */
    void *arg;
    uint64_t token, node, deadline_ns;
    uint32_t generation;
    struct cluster_output_range range;
    char name[NODE_NAME_MAX + 1]; /* of the node */
};

struct outputs {
    struct output_wait waits[OUTPUT_REQUESTS_MAX];
    cluster_output_read read; /* NULL: nothing is kept here */
    void *arg;
};

/* Frames from a member; false and `err`: the sender makes no sense. */
must_use bool outputs_requested(struct cluster *cluster, const struct hello *remote, struct bytes payload, struct error *err);
must_use bool outputs_answered(struct cluster *cluster, const struct hello *remote, struct bytes payload, struct error *err);
void outputs_lost(struct cluster *cluster, uint64_t node);     /* a bulk link to or from it is down */
bool outputs_expire(struct cluster *cluster, uint64_t now_ns); /* true while some wait */
void outputs_abandon(struct cluster *cluster);

#endif
