#include "cluster/waiter.h"

#include "cluster/cluster_internal.h"

struct waiter waiter_of(struct cluster *cluster, cluster_done done, void *arg, uint64_t token)
{
    return (struct waiter){.done = done, .arg = arg, .token = token, .deadline_ns = cluster_deadline_ns(cluster)};
}

void waiter_answer(struct waiter *waiter, const struct cluster_outcome *outcome)
{
    struct waiter told = *waiter;
    *waiter = (struct waiter){.done = NULL};
    if (told.done != NULL)
        told.done(told.arg, told.token, outcome);
}

void waiter_tell(struct waiter *waiter, enum status status, const char *message)
{
    waiter_answer(waiter, &(struct cluster_outcome){.status = status, .message = message});
}
