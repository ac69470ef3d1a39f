/* One node above its log, and the model that all nodes are held against. */
#ifndef CHRONOS_TESTS_SIM_STACK_INTERNAL_H
#define CHRONOS_TESTS_SIM_STACK_INTERNAL_H

#include "base/map.h"
#include "scheduler/scheduler.h"
#include "stack.h"
#include "state_check.h"

#define WALL_START INT64_C(1800000000000) /* 2027-01-15T08:00:00Z; a unit of simulated time is a millisecond here */

enum {
    PENDING_MAX = 256,  /* commands of the scheduler on their way */
    RUNNING_MAX = 512, /* of one session, not yet known to be over */
    MODEL_JOBS_MAX = 12,
    STACK_EVERY = 50,   /* units between two looks of a node's loop */
    RESEND_AFTER = 2000, /* a report that did not show in the state */
    COMMAND_BYTES_MAX = 1 << 20,
};

struct pending {
    uint64_t index, term, token;
};

/* An attempt of this session that was started here. */
struct attempt {
    struct id execution;
    uint32_t attempt;
    uint64_t started_at, finish_at, sent_at;
    enum run_status outcome;
    bool started_seen;
};

struct stack {
    struct store *store;
    struct state *state;
    struct state_changes changes;
    struct scheduler *scheduler; /* while it leads and has applied its own no-op */
    uint64_t lead_term, lead_since;
    uint64_t follows_at[NODES_MAX], follows_match[NODES_MAX]; /* by slot: when it last had more of the log, or all of it */
    struct pending pending[PENDING_MAX];
    uint32_t pending_count;
    uint64_t session, up_sent_at;
    bool session_known;
    struct attempt attempts[RUNNING_MAX];
    uint32_t attempt_count;
};

/* --- the model: what was decided, once and for all --- */

struct model_range {
    int64_t first_ms, last_ms;
    uint64_t count;
    bool at_least;
};

struct model_job {
    uint64_t serial;
    struct id id;
    struct schedule *schedule;
    uint32_t version;
    int64_t mark_ms;
    bool enabled, deleted, on_all; /* on_all: a slot has a run on each node */
    int64_t *slots; /* decided as runs since the mark moved last */
    uint32_t slot_count, slot_capacity;
    struct model_range ranges[4];
    uint32_t range_count;
};

struct model_run {
    struct id execution;
    uint64_t serial;
    enum run_status status; /* PENDING while it is open */
    enum run_phase phase;
    enum run_trigger trigger;
    int64_t slot_ms;
    uint32_t attempt;
    bool pinned;
    char node[NODE_TEXT_SIZE]; /* of the newest attempt */
    uint64_t session;
    uint64_t started[2]; /* bits: attempts that somebody started */
    struct model_run *next;
};

struct model {
    struct model_job jobs[MODEL_JOBS_MAX];
    uint32_t job_count, wanted;
    struct map runs;
    struct model_run *first_run;
    uint64_t run_count, open_count, starts, decided;
    struct zone_table *zones;
    const struct zone *utc;
    uint64_t applied;          /* newest index that the model knows */
    int64_t stamp_ms;          /* of the entry that is being looked at */
    struct id_source ids;
    uint64_t next_session;
};

/* --- stack.c --- */
int64_t stack_now(const struct sim *sim, const struct node *node); /* its wall clock */
#define STACK_OK(sim, expression)                                               \
    do {                                                                        \
        if ((expression) != STATUS_OK)                                          \
            sim_fail((sim), "stack: %s: %s", #expression, stack_error.message); \
    } while (0)
extern struct error stack_error;

/* --- attempts.c --- */
void attempts_changed(struct sim *sim, struct node *node); /* after changes: start, forget */
void attempts_walk(struct sim *sim, struct node *node);    /* after a whole state came in */
void attempts_run(struct sim *sim, struct node *node);     /* report what is to be reported */

/* --- leader.c --- */
void leader_run(struct sim *sim, struct node *node);
void leader_applied(struct sim *sim, struct node *node, const struct blob *blob, const struct apply_result *result);
void leader_end(struct node *node);
/* To whoever leads, as a client or another node would; false: nobody took it. */
bool leader_forward(struct sim *sim, const struct node *from, struct buffer *command);

/* --- model.c --- */
void model_apply(struct sim *sim, struct node *node, const struct blob *blob);
struct model_run *model_find(struct sim *sim, const struct id *execution);
void model_start(struct sim *sim, const struct node *node, const struct id *execution, uint32_t attempt);
void model_free(struct sim *sim);

#endif
