/* What the core hands out to be written, on its way: filled by the loop, written by the log writer, kept by the loop until it is
 * committed, applied by the applier, and back into a pool. One owner at a time; passing the pointer on passes the ownership. */
#ifndef CHRONOS_CLUSTER_ENTRY_BATCH_H
#define CHRONOS_CLUSTER_ENTRY_BATCH_H

#include "base/buffer.h"
#include "cluster/log_store.h"

struct batch_entry {
    uint64_t index, term, hash;
    enum log_entry_type type;
    size_t offset, size; /* in bytes.data, which moves while the batch grows */
};

struct entry_batch {
    struct entry_batch *next;
    uint64_t seq;           /* of the core; 0: none */
    uint64_t truncate_from; /* entries to drop before these are written; 0: none */
    bool hard_changed;
    struct raft_hard_state hard;
    struct id cluster_id;   /* that this node belongs to from now on; zero: as before */
    enum { REMOVED_SAME, REMOVED_YES, REMOVED_NO } removed; /* what this node was told of itself */
    const struct log_hard_state *install; /* a snapshot takes the place of the whole log; NULL: none. Borrowed */
    size_t accounted;       /* bytes of it in the loop's account of what waits */
    struct buffer bytes;
    struct batch_entry *items;
    uint32_t count, capacity;
};

must_use enum status entry_batch_new(struct entry_batch **ret, struct error *err);
void entry_batch_free(struct entry_batch *batch); /* and all behind it */
void entry_batch_clear(struct entry_batch *batch);
/* Copies the data. Nothing changes on failure. */
must_use enum status entry_batch_add(struct entry_batch *batch, const struct log_entry *entry, struct error *err);
struct bytes entry_batch_data(const struct entry_batch *batch, uint32_t i);
struct log_entry entry_batch_entry(const struct entry_batch *batch, uint32_t i); /* its data is the batch's */
uint64_t entry_batch_first(const struct entry_batch *batch); /* index; of a batch with entries */
uint64_t entry_batch_last(const struct entry_batch *batch);
/* Keeps the first `count` entries. */
void entry_batch_keep(struct entry_batch *batch, uint32_t count);
/* Moves the first `count` entries, at most all, to the end of `to`. Nothing changes on failure. */
must_use enum status entry_batch_split(struct entry_batch *batch, uint32_t count, struct entry_batch *to, struct error *err);

/* First in, first out. */
struct batch_queue {
    struct entry_batch *head, **tail;
};
void batch_queue_init(struct batch_queue *queue);
void batch_queue_push(struct batch_queue *queue, struct entry_batch *batch);
struct entry_batch *batch_queue_pop(struct batch_queue *queue);
/* Moves everything from `from` to the end of `to`. */
void batch_queue_move(struct batch_queue *to, struct batch_queue *from);

#endif
