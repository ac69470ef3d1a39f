/* What is due, and what becomes of it: the leader's decisions.
 *
 * Pure: instants come in, commands go out. It keeps an index in memory of jobs, marks, open runs and nodes, built from the
 * state's changes alone; every decision it owes is derived from that index, never from memory of having seen an event, so a
 * new leader decides the same. One thread (the loop, or the simulator). Overlap is decided in apply (docs/adr): the
 * scheduler decides which slots are due, missed or dropped, where runs go, and when retries, releases and sweeps happen. */
#ifndef CHRONOS_SCHEDULER_SCHEDULER_H
#define CHRONOS_SCHEDULER_SCHEDULER_H

#include "schedule/schedule.h"
#include "state/state.h"

struct scheduler;

struct scheduler_config {
    struct zone_loader zones;
    const char *node_id;           /* of the node on which it runs: what is placed on the leader goes there; copied */
    int64_t misfire_threshold_ms;
    int64_t retention_ms;          /* executions older than this leave */
    uint32_t executions_per_job;
    uint64_t executions_max_bytes;
    uint64_t seed;                 /* of execution ids; 0: from the system */
};

/* One command to propose. `token` comes back in scheduler_result, exactly once, whatever happened. */
struct scheduler_command {
    struct bytes command; /* valid until scheduler_run is called again */
    uint64_t token;
};

must_use enum status scheduler_new(const struct scheduler_config *config, struct scheduler **ret, struct error *err);
void scheduler_free(struct scheduler *scheduler);

/* Build the index from a whole state (while this node does not lead; what it had is dropped), then follow its changes. A job whose schedule or zone cannot be read here (other
 * tzdata) is kept, held, logged by the caller through *ret_held, and decides nothing. */
must_use enum status scheduler_load(struct scheduler *scheduler, struct state_view *view, struct error *err);
void scheduler_change(struct scheduler *scheduler, const struct state_change *change);
/* Leading begins (nothing is in flight) or ends. */
void scheduler_lead(struct scheduler *scheduler, bool leading);

/* Everything owed at `now_ms`, in as few commands as fit (DECISIONS_PER_ENTRY_MAX, DECISION_ENTRY_BYTES_MAX). A job has at
 * most one decision in flight; an open run at most one assignment, close or cancel in flight. `decide_slots` false (disk
 * critical, clock held): only what concerns open runs. Returns the number of commands in *ret_commands (borrowed until the
 * next call), at most SCHEDULER_COMMANDS_MAX; call again while it returns that many. Not leading: 0. */
enum { SCHEDULER_COMMANDS_MAX = 64 };
uint32_t scheduler_run(struct scheduler *scheduler, int64_t now_ms, bool decide_slots,
                       const struct scheduler_command **ret_commands);
/* status: OK with *result, or why it was not taken (then it is owed again; result may be NULL). */
void scheduler_result(struct scheduler *scheduler, uint64_t token, enum status status, const struct apply_result *result,
                      int64_t now_ms);
/* The next instant at which scheduler_run has something to do; INT64_MAX: only after a change. O(1). */
int64_t scheduler_next_ms(const struct scheduler *scheduler);

/* --- nodes and their leases (docs/internals/cluster.md): the leader alone; instants are monotonic --- */

/* What node `name` says in `session` was confirmed by a majority and is about to be answered. is_announced: before it said so, the row of
 * its session was in the state; where it is not any more, the session is over. is_behind: its state lags; it gets
 * no new runs before the next beat. False: the session is over, for its lease has ended and its attempts are being closed; the
 * node must begin a new one. */
must_use bool scheduler_node_beat(struct scheduler *scheduler, const char *name, uint64_t session, bool is_announced, bool is_behind,
                                   int64_t now_ms);
/* It cannot be reached: it gets no new runs before its next beat. What it has stays its own until its lease ends. */
void scheduler_node_silent(struct scheduler *scheduler, const char *name);
/* While it is held it gets no new runs, under whichever session: it is to leave. A leader that has just begun holds nobody. True: it is
 * free again, and runs may wait for it. */
bool scheduler_node_hold(struct scheduler *scheduler, const char *name, bool is_held);
bool scheduler_node_is_busy(const struct scheduler *scheduler, const char *name); /* runs are under way there, or about to be */
/* Those that are lost and of which nothing is left: if they are no members any more, their rows may go. */
uint32_t scheduler_idle_lost_nodes(const struct scheduler *scheduler, struct placement_node out[COMMAND_NODES_MAX]);
/* Several times a lease. Nodes that were not heard of for longer than their leases last have lost what they were given: whoever
 * has just begun to lead, and whoever did not look for half a lease, counts from now. *ret_lost names them, borrowed, at most
 * COMMAND_NODES_MAX; returns how many. */
uint32_t scheduler_watch_leases(struct scheduler *scheduler, int64_t now_ms, const char *ret_lost[]);

/* --- for commands of users, on the leader --- */

/* Slots of the job's old version that are due up to now, for job_put/delete/enable.due (an edit loses none).
 * *ret is false where there are none (then `due` may be NULL). Borrowed until the next call. NOT_FOUND, or BUSY while a
 * decision of the job is in flight or more is due than one decision holds (try again after the next change). */
must_use enum status scheduler_due(struct scheduler *scheduler, uint64_t serial, int64_t now_ms, struct decision *ret_decision,
                                   bool *ret);
/* What a run of this job would wait for now: NONE, CAPACITY, or NO_NODE where no node has its executor and what its placement
 * asks for. */
enum reason scheduler_waits_for(struct scheduler *scheduler, uint64_t serial);
/* Placement `all`: the nodes that a run of the job would have now. Who does not lead may name some that the leader has written off. */
uint32_t scheduler_homes(const struct scheduler *scheduler, uint64_t serial, struct placement_node out[COMMAND_NODES_MAX]);
struct id scheduler_new_id(struct scheduler *scheduler, int64_t now_ms);

/* --- for readers --- */

/* The job's next slot strictly after its mark; false: none (manual, disabled, held). O(log n) or better. */
bool scheduler_job_next(const struct scheduler *scheduler, uint64_t serial, int64_t *ret_ms);
/* Why a job is held; "" if it is not. */
const char *scheduler_job_held(const struct scheduler *scheduler, uint64_t serial);
/* Shared, compiled once per name; borrowed from the scheduler. */
must_use enum status scheduler_zone(struct scheduler *scheduler, const char *name, const struct zone **ret, struct error *err);

struct scheduler_stats {
    uint32_t jobs, jobs_enabled, jobs_held, open_runs, ready, running, backoff, decisions_in_flight;
    uint64_t decided_slots, stale_decisions;
};
void scheduler_stats_get(const struct scheduler *scheduler, struct scheduler_stats *ret);

#endif
