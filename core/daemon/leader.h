/* The scheduler as the cluster calls it: changes in, commands out through cluster_propose, results back. */
#ifndef CHRONOS_DAEMON_LEADER_H
#define CHRONOS_DAEMON_LEADER_H

#include "api/api.h"
#include "cluster/cluster.h"
#include "scheduler/scheduler.h"

struct leader {
    struct scheduler *scheduler; /* borrowed */
    struct cluster *cluster;     /* set once it is open */
    struct api *api;             /* learns of the changes behind the scheduler */
    const struct clock *clock;
    bool draining;               /* this node shuts down: nothing more is decided */
};

struct cluster_leader_ops leader_ops(struct leader *leader);

#endif
