/* What state.c, read.c and the apply_*.c files share. */
#ifndef CHRONOS_STATE_STATE_INTERNAL_H
#define CHRONOS_STATE_STATE_INTERNAL_H

#include "state/command_decode.h"
#include "state/record_internal.h"
#include "state/state.h"

enum {
    STATE_FORMAT = 1,
    STATE_FORMAT_LOADING = 0, /* a snapshot is being loaded into the store: no state yet, and never one if that stopped */
    META_APPLIED_SIZE = 24, /* index, term, last stamp */
    META_RESTORED_SIZE = ID_SIZE + RESTORE_DIGEST_SIZE,
    META_FEATURE_LEVEL_SIZE = 4,
    META_DRAINING_SIZE = 8 * COMMAND_NODES_MAX, /* numbers of nodes; 0: a free place */
};

/* Every row that `meta` can hold. */
enum state_meta_row { META_FORMAT, META_APPLIED, META_NEXT_SERIAL, META_EXECUTIONS_BYTES, META_EXECUTIONS_COUNT,
                      META_JOBS_COUNT, META_IDEMPOTENCY_COUNT, META_RANGES_CURSOR, META_RESTORED, META_FEATURE_LEVEL, META_DRAINING,
                      META_ROW_COUNT };

/* The rows of `meta` that every batch may change; written once, at its end. */
struct state_meta {
    struct state_position applied;
    int64_t last_stamp;
    uint64_t next_serial;
    uint64_t executions_bytes;
    uint64_t executions_count;
    uint64_t jobs_count;
    uint64_t idempotency_count;
    uint32_t feature_level; /* in force; the row is written by the entry that raises it, and missing at level 1 */
};

/* An open run of a job and the version it was decided for. */
struct job_open_run {
    struct id execution;
    uint32_t job_version;
};

struct state {
    struct store *store;
    uint32_t tables[STATE_TABLE_COUNT];
    struct state_meta meta; /* as committed */

    /* The writer's own, reused from entry to entry. */
    struct state_meta work;      /* as the open batch has it */
    struct buffer row;           /* a row on its way to the store */
    struct buffer key;
    struct buffer json, scratch; /* an execution's text */
    struct buffer spec_row;      /* what the newest loaded job_spec borrows from */
    struct buffer overrides;     /* what the newest loaded open_run borrows from */
    struct job_open_run *open_runs;
    uint32_t open_run_capacity;
};

extern const char meta_restored[], meta_feature_level[], meta_draining[];
must_use enum status state_open_tables(struct store *store, uint32_t ret[STATE_TABLE_COUNT], struct error *err);
/* CORRUPT unless this may stand in the table: the size of the key, the row's format and values, and that both speak of the same.
 * The caller names the row (state_wrap_row). */
must_use enum status state_check_row(enum state_table table, struct bytes key, struct bytes row, struct error *err);
/* The same for a row of `meta`; says which one it is. */
must_use enum status state_check_meta_row(struct bytes key, struct bytes row, enum state_meta_row *ret, struct error *err);
/* Prefix the table's name and the key in hexadecimal digits. */
enum status state_wrap_row(struct error *err, enum state_table table, struct bytes key);

must_use enum status state_read_meta(const struct state *state, struct store_txn *txn, struct state_meta *ret,
                                     struct error *err);
must_use enum status state_write_meta(const struct state *state, struct store_txn *txn, const struct state_meta *meta,
                                      struct error *err);

struct serial_key {
    uint8_t bytes[SERIAL_KEY_SIZE];
};
struct serial_key serial_key(uint64_t serial);
struct version_key {
    uint8_t bytes[VERSION_KEY_SIZE];
};
struct version_key version_key(uint64_t serial, uint32_t version);
#define KEY_BYTES(key) ((struct bytes){(key).bytes, sizeof(key).bytes})

/* --- changes --- */

/* The next change, zeroed but for `kind` and `serial`; NULL when memory is out. */
struct state_change *state_changes_add(struct state_changes *changes, enum state_change_kind kind, uint64_t serial);
/* Keeps a copy of the row with the newest change. Its address is known after state_changes_link. */
void state_changes_row(struct state_changes *changes, struct state_change *change, struct bytes row);
struct state_changes_mark {
    uint32_t count;
    size_t rows_size;
};
struct state_changes_mark state_changes_mark(const struct state_changes *changes);
void state_changes_rewind(struct state_changes *changes, struct state_changes_mark mark);
void state_changes_link(struct state_changes *changes);

#endif
