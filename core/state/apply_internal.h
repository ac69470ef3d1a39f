/* One batch on its way into the store. Functions here return OK, or what ends the batch (disk, memory, damage); a
 * refusal of an entry is a status in its result, and has changed nothing. */
#ifndef CHRONOS_STATE_APPLY_INTERNAL_H
#define CHRONOS_STATE_APPLY_INTERNAL_H

#include "state/state_internal.h"

/* What a new run must come to terms with: the open runs of its job, or, for one that is pinned, those on its node and those that may
 * be anywhere. */
struct lane {
    char node[NODE_TEXT_SIZE]; /* "": the whole job */
    uint32_t active, waiting;
    struct id waiting_run;     /* under `replace`: the one that waits */
};

struct apply {
    struct state *state;
    struct store_txn txn;
    struct state_changes *changes;
    struct error *err;
    /* of the entry at hand */
    struct apply_result *result;
    struct reader body;
    int64_t now_ms;
    uint32_t item_count; /* of a command that is a list */
    uint32_t lane_count; /* of the job at hand, counted so far */
    struct lane lanes[COMMAND_NODES_MAX];
};

/* --- apply_rows.c --- */

/* NOT_FOUND leaves err untouched; any other failure names table and key. */
must_use enum status apply_get(struct apply *a, enum state_table table, struct bytes key, struct bytes *ret);
must_use enum status apply_put(struct apply *a, enum state_table table, struct bytes key, struct bytes row);
/* For keys that cannot exist already: finding one is damage. */
must_use enum status apply_insert(struct apply *a, enum state_table table, struct bytes key, struct bytes row);
/* A key that must exist: its absence is damage. */
must_use enum status apply_delete(struct apply *a, enum state_table table, struct bytes key);
/* CORRUPT: a row that another one promises is not there. */
enum status apply_missing(struct apply *a, enum state_table table, struct bytes key);
/* What failed in a buffer: NO_MEMORY or TOO_LARGE. */
enum status apply_buffer_failed(struct apply *a, const struct buffer *buffer, const char *what);

/* NOT_FOUND where there is none. What a spec or a run borrows stays until the next load of its kind. */
must_use enum status load_spec(struct apply *a, uint64_t serial, struct job_spec *ret);
must_use enum status load_marks(struct apply *a, uint64_t serial, struct job_marks *ret);
must_use enum status load_open(struct apply *a, const struct id *execution, struct open_run *ret);
/* The same of a run that must be there, without its overrides: what another run borrows stays. */
must_use enum status peek_open(struct apply *a, const struct id *execution, struct open_run *ret);
/* CORRUPT where there is none. */
must_use enum status need_spec(struct apply *a, uint64_t serial, struct job_spec *ret);
must_use enum status need_marks(struct apply *a, uint64_t serial, struct job_marks *ret);
must_use enum status need_open(struct apply *a, const struct id *execution, struct open_run *ret);

must_use enum status save_spec(struct apply *a, const struct job_spec *spec);
/* Also forgets marks and versions of a deleted job whose last run has ended. */
must_use enum status store_marks(struct apply *a, uint64_t serial, const struct job_marks *marks);
/* ... and publishes them. */
must_use enum status save_marks(struct apply *a, uint64_t serial, const struct job_marks *marks);
/* Store and publish. */
must_use enum status save_open(struct apply *a, const struct open_run *run);
must_use enum status insert_open(struct apply *a, const struct open_run *run);
/* Only removes the rows: finish_run does the rest. */
must_use enum status delete_open(struct apply *a, const struct open_run *run);
/* CHANGE_JOB. */
must_use enum status publish_job(struct apply *a, const struct job_spec *spec, const struct job_marks *marks);

/* The job's open runs, oldest id first, in state->open_runs. */
must_use enum status list_open_runs(struct apply *a, uint64_t serial, uint32_t *ret_count);

/* --- apply_overlap.c --- */

/* A new run of a job: what the policy says of it. `node` NULL: it is not placed yet. `marks` is changed, the caller saves it; who
 * begins several of a job sets lane_count to 0 before the first. */
must_use enum status begin_run(struct apply *a, const struct job_spec *spec, struct job_marks *marks,
                               struct open_run *run, bool force, const struct placement_node *node);
/* May one that waits for others begin now? */
must_use enum status lane_is_free(struct apply *a, const struct open_run *run, const struct job_marks *marks, bool *ret);

/* --- apply_decide.c --- */

/* Does the decision fit the job as it stands? */
bool decision_fits(const struct decision *decision, const struct job_spec *spec, const struct job_marks *marks);
/* Carries a fitting decision out. `nodes`: those whose session is over have session 0. */
must_use enum status run_decision(struct apply *a, struct decision_reader *decision, const struct job_spec *spec,
                                  struct job_marks *marks, const struct placement_node *nodes, uint32_t node_count);

/* --- apply_runs.c --- */

/* A run leaves `open` (`was_open`) or was skipped at once, and stands in `executions`. Its phase is the one before.
 * `marks` is changed, the caller saves it. */
must_use enum status finish_run(struct apply *a, const struct open_run *run, bool was_open, struct job_marks *marks,
                                const struct run_end *end);
/* Ended without a result of its own. */
struct run_end plain_end(const struct apply *a, enum run_status status, enum reason reason);
/* Back to READY, or over, under the job's on_node_loss; over in any case where the node is `gone` and it is pinned to it. The
 * attempt's record was added already. Saves all. */
must_use enum status lose_attempt(struct apply *a, struct open_run *run, struct job_marks *marks, enum reason reason, bool gone);
/* Is (name, session) what the node's row says? */
must_use enum status node_is_current(struct apply *a, const struct placement_node *node, bool *ret);
/* Those whose session is over get session 0. */
must_use enum status take_current_nodes(struct apply *a, struct placement_node nodes[COMMAND_NODES_MAX],
                                        uint32_t *ret_count);
/* Attempt and session are those of the attempt that is under way. */
bool attempt_fits(const struct open_run *run, uint32_t attempt, uint64_t session);

/* --- apply_idempotency.c --- */

/* *ret_decided: the entry has its result, be it what came of the first one with this key, or a refusal; it is not carried out. */
must_use enum status idempotency_look(struct apply *a, const struct idempotency *idempotency, bool *ret_decided);
/* It took effect: its result is kept. */
must_use enum status idempotency_keep(struct apply *a, const struct idempotency *idempotency);
/* Keys whose time is over leave, oldest first, at most `max`; *ret_more: there may be others. */
must_use enum status idempotency_expire(struct apply *a, uint32_t max, bool *ret_more);
must_use enum status idempotency_forget(struct apply *a); /* all of them */

/* --- one function a command --- */

must_use enum status apply_job_put(struct apply *a);
must_use enum status apply_job_delete(struct apply *a);
must_use enum status apply_job_enable(struct apply *a);
must_use enum status apply_decide(struct apply *a);
must_use enum status apply_trigger(struct apply *a);
must_use enum status apply_assign(struct apply *a);
must_use enum status apply_report(struct apply *a);
must_use enum status apply_cancel(struct apply *a);
must_use enum status apply_close(struct apply *a);
must_use enum status apply_node_up(struct apply *a);
must_use enum status apply_sweep(struct apply *a);
must_use enum status apply_node_gone(struct apply *a);
must_use enum status apply_drain(struct apply *a);
must_use enum status apply_restore(struct apply *a);
must_use enum status apply_feature_level(struct apply *a);

/* The command's body does not say what its type promises: no later build can have meant it, the log is damaged. */
enum status apply_malformed(struct apply *a);
/* Refuse the entry; for a list, count one item as void. */
enum status apply_refuse(struct apply *a, enum status status);
void apply_void_item(struct apply *a, enum status status);

#endif
