/* The thread that alone writes the state store: applies committed entries in order, many in one transaction, syncs the
 * state now and then so that the log behind it can go. */
#ifndef CHRONOS_CLUSTER_APPLIER_H
#define CHRONOS_CLUSTER_APPLIER_H

#include "base/clock.h"
#include "cluster/entry_batch.h"
#include "state/state.h"

struct applier;

/* One transaction's worth, for the loop. */
struct applied_batch {
    struct applied_batch *next;
    struct apply_result *results;
    uint32_t count, capacity;
    struct state_changes changes;
    struct state_position position;
    int64_t last_stamp_ms;
};

struct applier_config {
    struct state *state;
    const struct clock *clock;
    void (*notify)(void *arg); /* any thread */
    void *notify_arg;
};

struct applier_stats {
    uint64_t synced_index, batches, entries, apply_ns;
    bool out_of_space;
};

must_use enum status applier_start(const struct applier_config *config, struct applier **ret, struct error *err);
/* Loop thread: committed batches, in order; the applier owns them until applier_take_free gives them back. */
void applier_submit(struct applier *applier, struct batch_queue *batches);
/* Loop thread: the oldest finished transaction or NULL; give it back with applier_recycle once its changes are read. */
struct applied_batch *applier_take(struct applier *applier);
void applier_recycle(struct applier *applier, struct applied_batch *applied);
void applier_take_free(struct applier *applier, struct batch_queue *out);
void applier_stats_get(struct applier *applier, struct applier_stats *ret);
/* Applies what was submitted (unless the disk is full), syncs, ends the thread, frees. Blocks. */
void applier_stop(struct applier *applier);

#endif
