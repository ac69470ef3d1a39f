/* `local/`: what this node alone keeps. Captured output, and the outbox of reports that are not committed yet.
 *
 * Tables (integers big-endian in keys, little-endian in rows; each row begins with a format byte):
 *   output  execution id, u32 attempt              -> header: u64 bytes kept, u64 bytes in all, u32 chunk size
 *           execution id, u32 attempt, u32 chunk   -> the chunk's bytes
 *   outbox  execution id, u32 attempt              -> u32 CRC-32C, a REPORT command of that one attempt
 * Execution ids sort by time, so retention deletes from the front. */
#ifndef CHRONOS_RUN_LOCAL_STORE_H
#define CHRONOS_RUN_LOCAL_STORE_H

#include "base/id.h"
#include "plugin/store.h"

struct local_store;

enum { LOCAL_KEY_SIZE = 20, LOCAL_CHUNK_SIZE = 512 * 1024, LOCAL_READERS = 4 };

struct local_key {
    uint8_t bytes[LOCAL_KEY_SIZE];
};
struct local_key local_key(const struct id *execution, uint32_t attempt);

/* Makes and opens data_dir/local. Blocks. */
must_use enum status local_store_open(const struct plugin_component *backend, const cJSON *options, const struct clock *clock,
                                      const char *data_dir, struct local_store **ret, struct error *err);
void local_store_close(struct local_store *local); /* accepts NULL */
int64_t local_free_bytes(const struct local_store *local); /* of its file system; -1: it cannot be told. [any] */

/* --- [writer]; the transaction is the caller's --- */
must_use enum status local_begin(struct local_store *local, struct store_txn *ret, struct error *err);
must_use enum status local_put_output(struct local_store *local, struct store_txn *txn, const struct local_key *key,
                                      struct bytes kept, uint64_t total, struct error *err);
/* `row`: made by local_outbox_row. */
must_use enum status local_put_outbox(struct local_store *local, struct store_txn *txn, struct bytes key, struct bytes row,
                                      struct error *err);
must_use enum status local_delete_outbox(struct local_store *local, struct store_txn *txn, struct bytes key,
                                         struct error *err);
/* At most `max` rows of output of executions from before that instant; *ret_count how many. */
must_use enum status local_sweep_output(struct local_store *local, struct store_txn *txn, int64_t before_ms, uint64_t max,
                                        uint64_t *ret_count, struct error *err);
must_use enum status local_sync(struct local_store *local, struct error *err);

/* --- [readers] --- */
/* As runner_output; appends to `out`. NOT_FOUND leaves err untouched. */
must_use enum status local_read_output(struct local_store *local, const struct local_key *key, uint64_t offset, size_t max,
                                       struct buffer *out, uint64_t *ret_kept, struct error *err);
void local_outbox_row(struct bytes command, struct buffer *out);
/* Walks the outbox from the first key above `after` (all zero: from the beginning), until `row` returns false. Rows that
 * are damaged come with an empty command. `row` is borrowed until it returns. */
typedef bool (*local_outbox_walk)(void *arg, const struct local_key *key, struct bytes command);
must_use enum status local_read_outbox(struct local_store *local, const struct local_key *after, local_outbox_walk row,
                                       void *arg, struct error *err);

#endif
