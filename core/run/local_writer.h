/* The thread that alone writes `local/`: output and outbox of many attempts in one LAZY commit, retention now and then. */
#ifndef CHRONOS_RUN_LOCAL_WRITER_H
#define CHRONOS_RUN_LOCAL_WRITER_H

#include "base/clock.h"
#include "run/capture.h"
#include "run/local_store.h"

struct local_writer;

struct local_writer_config {
    struct local_store *local; /* borrowed */
    const struct clock *clock;
    int64_t output_retention_ms; /* 0: for ever */
    void (*stopped)(void *arg);  /* the thread has written everything and ends; called on it */
    void *stopped_arg;
};

must_use enum status local_writer_start(const struct local_writer_config *config, struct local_writer **ret,
                                        struct error *err);

/* Loop thread. None of them fails: what cannot be written is logged and dropped, for the report goes its own way. */
void local_writer_put_output(struct local_writer *writer, const struct local_key *key, struct capture *capture);
/* Rows for the outbox, one after the other: key, u32 size, row (local_outbox_row). Empties the buffer. */
void local_writer_put_outbox(struct local_writer *writer, struct buffer *rows);
void local_writer_delete_outbox(struct local_writer *writer, struct buffer *keys); /* LOCAL_KEY_SIZE each; empties it */
/* Output that is on its way to the store, with a reference; NULL: none. */
struct capture *local_writer_find_output(struct local_writer *writer, const struct local_key *key);
/* False: the disk is full, the store failed, or `size` bytes are too much for what is free now: captures are dropped. */
bool local_writer_takes_output(struct local_writer *writer, size_t size);
uint64_t local_writer_commits(struct local_writer *writer);

void local_writer_stop(struct local_writer *writer); /* writes what waits, syncs, calls `stopped` */
void local_writer_free(struct local_writer *writer); /* stops it first if need be and blocks until it has; accepts NULL */

#endif
