/* The first node of a cluster. Founding is put off for a few seconds in which the others of a cluster that has this node as a member
 * would call it: then its data is lost, and a second cluster under the same name is the last thing that anybody wants. Where they come
 * later, and it is still alone in the cluster that it founded, it stops. Loop thread. */
#ifndef CHRONOS_CLUSTER_FOUNDING_H
#define CHRONOS_CLUSTER_FOUNDING_H

#include <stdbool.h>
#include <stdint.h>

#include "transport/hello.h"

struct cluster;

struct founding {
    bool is_pending;
    uint64_t due_ns;                /* monotonic */
    bool is_contradicted;           /* another cluster has this node as a member: said */
    char called_by[NODE_NAME_MAX + 1]; /* a member of some cluster; "": nobody has called */
};

void founding_begin(struct cluster *cluster); /* where the stores say that it is to be done */
void founding_called(struct cluster *cluster, const struct hello *remote);
/* A node of another cluster calls. */
void founding_contradicted(struct cluster *cluster, const struct hello *remote);
void founding_look(struct cluster *cluster); /* several times a second */

#endif
