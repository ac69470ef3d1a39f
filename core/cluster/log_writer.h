/* The thread that alone writes the log store. Group commit: whatever was submitted while the last sync ran goes into the
 * next transaction. Between transactions it cuts the log behind the synced state and watches the free disk space.
 *
 * Running out of space is not a disk error: the batch is held and tried again. Any other failure of a write or sync ends the
 * process (a retried sync can lie). */
#ifndef CHRONOS_CLUSTER_LOG_WRITER_H
#define CHRONOS_CLUSTER_LOG_WRITER_H

#include "base/clock.h"
#include "cluster/entry_batch.h"

struct log_writer;

struct log_writer_config {
    struct log_store *log;
    const struct clock *clock;
    const char *directories[2];    /* of log and state: their file systems are watched; borrowed, may be one */
    void (*notify)(void *arg);     /* any thread: something is done, take it; must not block */
    void *notify_arg;
};

struct log_writer_stats {
    int64_t disk_free_bytes; /* the least of them; -1: not known */
    const char *disk;        /* the directory that it is of */
    bool out_of_space;       /* a batch is being held */
    uint64_t first_index, last_index, commits, entries, commit_ns;
    uint64_t cut_wanted; /* the log is long enough to be cut up to here; 0: it is not */
    int64_t log_bytes;
    uint64_t log_offset; /* bytes that were ever appended */
};

must_use enum status log_writer_start(const struct log_writer_config *config, struct log_writer **ret, struct error *err);
/* Loop thread. The writer owns the batches until log_writer_take gives them back, durable, in the same order. */
void log_writer_submit(struct log_writer *writer, struct entry_batch *batch);
void log_writer_take(struct log_writer *writer, struct batch_queue *out);
/* Entries from disk for a peer that is behind what the core keeps in memory: read between two transactions, in any order.
 * The result is the caller's, to be freed with log_fetch_free. */
struct log_fetch {
    struct log_fetch *next;
    uint64_t peer, from;
    uint32_t max_bytes;
    uint64_t previous_hash;      /* running hash before `from`; 0: the log does not reach back to it */
    struct raft_entry *entries;  /* none: they are gone, or there was no memory */
    uint32_t count, capacity;
    struct buffer bytes;         /* holds their data */
};
must_use enum status log_writer_fetch(struct log_writer *writer, uint64_t peer, uint64_t from, uint32_t max_bytes);
struct log_fetch *log_writer_take_fetch(struct log_writer *writer); /* NULL: none is ready */
void log_fetch_free(struct log_fetch *fetch);
/* The state is durable through `synced`; the core can do without the entries through `cut`. */
void log_writer_allow_cut(struct log_writer *writer, uint64_t synced, uint64_t cut);
void log_writer_stats_get(struct log_writer *writer, struct log_writer_stats *ret);
/* Writes what was submitted (unless the disk is full), ends the thread, frees. Blocks. */
void log_writer_stop(struct log_writer *writer);

#endif
