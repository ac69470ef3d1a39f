/* The replicated state machine over a storage backend (docs/formats.md, "State store").
 *
 * One writer (the applier thread) applies entries in order; readers use views. Apply reads no clock, no randomness, no
 * schedule and no zone: the same entries give the same state on every node, whatever the backend. */
#ifndef CHRONOS_STATE_STATE_H
#define CHRONOS_STATE_STATE_H

#include "plugin/store.h"
#include "state/command.h"

struct state;

struct state_position {
    uint64_t index, term;
};

/* Opens or creates the tables in a STATE store. CORRUPT or NOT_IMPLEMENTED ("written by a newer version") are final.
 * [writer] The store is borrowed and outlives the state. */
must_use enum status state_new(struct store *store, struct state **ret, struct error *err);
/* The same for a store that must hold a state already: NOT_FOUND instead of founding one. */
must_use enum status state_open(struct store *store, struct state **ret, struct error *err);
void state_free(struct state *state);
struct state_position state_applied(const struct state *state); /* [writer] */
int64_t state_last_stamp(const struct state *state);            /* [writer] newest stamp applied; 0: none */

/* --- apply --- */

/* Empty command: an entry of consensus itself; only the position moves. */
struct state_entry {
    uint64_t index, term;
    struct bytes command;
};

/* What an entry came to. status OK: it took effect. STALE: compare-and-set failed, nothing changed. NOT_FOUND,
 * NAME_TAKEN, VERSION_MISMATCH, CONFLICT, TOO_MANY, EXISTS, IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_KEYS_FULL: refused, nothing changed
 * (but that keys whose time is over may have left). */
struct apply_result {
    uint64_t index;
    enum status status;
    struct id id;            /* job or execution that it was about */
    uint32_t version;        /* of the job afterwards; 0 with replayed_status */
    uint16_t replayed_status; /* not 0: it took effect before, under the same key, and was answered with this HTTP status */
    uint32_t stale_count;    /* DECIDE, ASSIGN, REPORT ...: items of the batch that were void */
    struct id sweep_next;    /* SWEEP: zero when the end was reached */
    uint32_t sweep_deleted, sweep_examined;
};

/* What changed, in order, for the indexes in memory. Rows are borrowed until state_changes_clear. */
enum state_change_kind {
    CHANGE_JOB = 1,     /* created or edited: `row` = sched row, `marks` */
    CHANGE_JOB_DELETED, /* serial */
    CHANGE_MARKS,       /* serial, `marks` */
    CHANGE_OPEN,        /* execution, serial, `row` = open row: new or changed */
    CHANGE_CLOSED,      /* execution, serial, status, trigger, reason, times: left `open`, or was skipped at once */
    CHANGE_DROPPED,     /* serial, reason, count: a range of slots that will not run */
    CHANGE_NODE,        /* `row` = node row */
    CHANGE_NODE_GONE,   /* `row` = the node's name: it has left the cluster */
};
struct state_change {
    enum state_change_kind kind;
    uint64_t serial;
    struct id execution;
    struct job_marks marks;
    enum run_status status;
    enum run_trigger trigger;
    enum reason reason;
    uint64_t count;
    int64_t scheduled_ms, started_ms, completed_ms;
    bool was_open;      /* CLOSED: it stood in `open` before */
    struct bytes row;
};
struct state_changes {
    struct state_change *items;
    uint32_t count, capacity;
    struct buffer rows; /* holds the rows' bytes */
    bool draining;      /* what state_get_draining reads */
};
void state_changes_init(struct state_changes *changes);
void state_changes_clear(struct state_changes *changes); /* keeps memory up to a bound */
void state_changes_deinit(struct state_changes *changes);

/* One transaction for all `count` entries with the applied position, committed LAZY. `results` has `count` places.
 * NO_SPACE: nothing changed, the caller holds the batch and tries again. Any other error: the caller ends the process.
 * [writer] */
must_use enum status state_apply(struct state *state, const struct state_entry *entries, uint32_t count,
                                 struct apply_result *results, struct state_changes *changes, struct error *err);
must_use enum status state_sync(struct state *state, struct error *err); /* [writer] all applied so far is durable */

/* --- read --- any thread; a view is used by one thread, is a snapshot, and should be short. */

struct state_view {
    const struct state *state;
    struct store_txn txn;
    struct state_position applied;
    int64_t stamp_ms; /* the newest that was applied */
};
must_use enum status state_view_begin(const struct state *state, struct state_view *ret, struct error *err);
void state_view_end(struct state_view *view); /* accepts one that is not open */

/* NOT_FOUND leaves err untouched. Rows are borrowed until the next read of the view. */
must_use enum status state_find_job(struct state_view *view, const char *name, size_t size, struct id *ret, struct error *err);
must_use enum status state_get_job(struct state_view *view, const struct id *id, struct job_row *ret, struct error *err);
must_use enum status state_get_marks(struct state_view *view, uint64_t serial, struct job_marks *ret, struct error *err);
must_use enum status state_get_spec(struct state_view *view, uint64_t serial, struct job_spec *ret, struct error *err);
/* The document of the version that a run was decided for. */
must_use enum status state_get_version(struct state_view *view, uint64_t serial, uint32_t version, struct bytes *ret_document,
                                       struct error *err);
must_use enum status state_get_open(struct state_view *view, const struct id *execution, struct open_run *ret,
                                    struct error *err);
must_use enum status state_get_execution(struct state_view *view, const struct id *execution, struct execution_row *ret,
                                         struct error *err);
/* NOT_FOUND also where its time is over. */
must_use enum status state_get_idempotency(struct state_view *view, const uint8_t key[IDEMPOTENCY_DIGEST_SIZE],
                                           struct idempotency_row *ret, struct error *err);
must_use enum status state_get_node(struct state_view *view, const char *name, struct node_row *ret, struct error *err);
uint64_t state_count_jobs(struct state_view *view);
uint64_t state_count_executions(struct state_view *view);
uint64_t state_executions_bytes(struct state_view *view);

/* Which cluster this one was restored from, and by which snapshot. NOT_FOUND: by none. */
must_use enum status state_get_restored(struct state_view *view, struct id *ret_cluster, uint8_t ret_digest[RESTORE_DIGEST_SIZE],
                                        struct error *err);

must_use enum status state_get_feature_level(struct state_view *view, uint32_t *ret, struct error *err); /* in force; at least 1 */

/* Numbers of the nodes that are to leave the cluster (command DRAIN); returns through *ret_count how many. */
must_use enum status state_get_draining(struct state_view *view, uint64_t ret[COMMAND_NODES_MAX], uint32_t *ret_count,
                                        struct error *err);

/* Walk a table in key order. `from`: empty = the end where the walk begins; the walk begins at the first key >= from (or <=
 * from when descending). The callback returns false to stop; rows are borrowed until it returns, and it may not use the
 * view. */
/* Numbers stand in snapshots (docs/formats.md): append only. */
enum state_table { STATE_JOBS, STATE_NAMES, STATE_SCHED, STATE_MARKS, STATE_OPEN, STATE_EXECUTIONS, STATE_FAILED,
                   STATE_RANGES, STATE_VERSIONS, STATE_NODES, STATE_META,
                   STATE_OPEN_BY_JOB, /* key = serial, execution: finds the open runs of one job without reading all of them */
                   STATE_IDEMPOTENCY, STATE_IDEMPOTENCY_BY_TIME, STATE_IDEMPOTENCY_COUNTS,
                   STATE_TABLE_COUNT };
const char *state_table_name(enum state_table table);
typedef bool (*state_walk)(void *arg, struct bytes key, struct bytes row);
must_use enum status state_walk_table(struct state_view *view, enum state_table table, struct bytes from, bool descending,
                                      state_walk walk, void *arg, struct error *err);

#endif
