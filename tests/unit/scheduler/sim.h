/* A leader and its nodes in one thread: the real scheduler over the real state machine, a fake clock, fake nodes, faults by
 * seed. Every change is checked against a model that knows nothing of the scheduler:
 * - whenever a mark moves, each slot of the job's schedule between the old mark and the new one became exactly one run or
 *   lies in exactly one dropped range, and nothing else did; ranges count exactly what they span;
 * - an attempt is given to a node that has the executor and what the job's placement asks for;
 * - an attempt starts at most once, on the session that it was given to; attempts of a run only grow;
 * - a run that is over stays over; under `forbid` and `replace` at most one run of a job is not waiting;
 * - with placement `all` that is one on each node, a slot has at most one run there, and it never leaves it. */
#ifndef CHRONOS_TESTS_SCHEDULER_SIM_H
#define CHRONOS_TESTS_SCHEDULER_SIM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/heap.h"
#include "base/map.h"
#include "scheduler/scheduler.h"
#include "state_check.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define SIM_START INT64_C(1800000000000) /* 2027-01-15T08:00:00Z */

enum { SIM_JOBS = 96, SIM_ROOM = 640, SIM_NODES = 4, SIM_MISFIRE_MS = 10000 };

extern struct error failure; /* pass it to what OK() calls */
#define OK(expression)                                        \
    do {                                                      \
        if (expression)                                       \
            fail_msg("%s: %s", #expression, failure.message); \
    } while (0)

struct sim_run {
    struct id execution;
    uint64_t serial;
    int64_t scheduled_ms, created_ms; /* created: wall clock when the model saw it first */
    int64_t next_attempt_ms, assigned_ms, ended_ms;
    enum run_trigger trigger;
    enum run_phase phase;
    enum run_status status; /* PENDING while it is open */
    enum reason reason, cancel;
    uint32_t attempt;
    bool pinned; /* to the node, once there is one */
    char node[NODE_TEXT_SIZE];
    uint64_t session;
    /* the attempt that a node started last */
    uint32_t started_attempt, finished_attempt, starts;
    uint64_t started_session;
    bool cancel_seen;
};

struct sim_range {
    int64_t first_ms, last_ms;
    uint64_t count;
    bool at_least;
    enum reason reason;
};

struct sim_job {
    uint64_t serial;
    struct id id;
    struct schedule *schedule;
    uint32_t version;
    char executor[EXECUTOR_TEXT_SIZE];
    enum placement placement;
    uint32_t node_tag_count;
    char node_tags[NODE_TAGS_MAX][NODE_TAG_TEXT_SIZE];
    int64_t mark_ms;
    bool enabled, deleted, was_allowed; /* was_allowed: `allow` was its policy once: several may be active */
    /* decided since the mark moved last */
    int64_t *pending;
    uint32_t pending_count, pending_capacity, decided_runs; /* so many runs there were when the mark moved last */
    struct sim_range ranges[4];
    uint32_t range_count;
    /* in all */
    uint64_t slots, dropped[REASON_COUNT], skipped[REASON_COUNT];
    uint32_t range_total;
    struct sim_range last_range;
};

struct sim_node {
    char name[NODE_TEXT_SIZE];
    uint64_t session;
    uint32_t capacity;
    struct node_row row; /* that is applied; the node may have begun a newer session */
};

struct sim_event {
    struct heap_node node; /* key: time and order */
    enum { EVENT_APPLY, EVENT_STARTED, EVENT_FINISHED } kind;
    /* APPLY */
    struct buffer command;
    uint64_t token;
    uint32_t leadership; /* 0: not the scheduler's */
    struct apply_result *ret;
    /* a node's */
    struct id execution;
    uint32_t attempt, node_index;
    uint64_t session;
    enum run_status outcome;
    enum reason why;
    struct sim_event *next;
};

struct sim {
    struct store *store;
    struct state *state;
    struct scheduler *scheduler;
    struct scheduler_config config;
    struct state_changes changes;
    struct random random;
    struct id_source ids;
    const char *leader; /* the node that leads from the next sim_rebuild on */
    bool haunted;       /* entries of an older leader were applied late: they know nothing of edits since */
    uint64_t index, sessions;
    int64_t real_ms, skew_ms; /* the leader's wall clock shows their sum */
    int64_t proposed_ms;      /* wall clock at which the entry being applied was proposed */
    struct heap events;
    uint64_t event_order;
    int64_t log_tail_ms; /* when the newest entry on its way is applied */
    uint32_t entries_on_way, leadership;
    int64_t hold_until_ms; /* the leader waits after a refusal */
    bool poke;

    /* what the world does */
    int64_t lease_ms;          /* of nodes that come up; 0: for ever */
    int64_t delay_ms;          /* of entries, exactly; or random up to it */
    bool random_delay;
    enum status refuse;        /* every proposal of the scheduler, while not OK */
    uint32_t refuse_percent;
    uint32_t lost_percent;     /* of the scheduler's entries: taken, and told later that they are lost */
    bool no_slots;             /* disk critical */
    int64_t start_delay_ms, duration_ms; /* of attempts */
    const char *slow_node;     /* where they take an hour; NULL: nowhere */
    uint32_t fail_attempts;    /* the first attempts of each run that fail */
    bool random_runs;          /* durations and outcomes by the seed */
    bool nodes_silent;         /* nothing starts: what is assigned stays so */
    bool forced;               /* forced runs were made: overlap is not checked */

    struct sim_node nodes[SIM_NODES];
    uint32_t node_count;
    struct sim_job jobs[SIM_ROOM];
    uint32_t job_count;
    struct map runs_by_id;
    struct sim_run **runs; /* in the order in which they appeared */
    uint32_t run_count, run_capacity;
    uint32_t open_count, most_calls, applied, stale;
    uint64_t commands;
};

struct sim *sim_new(uint64_t seed);
void sim_free(struct sim *sim);
int64_t sim_now(const struct sim *sim); /* the leader's wall clock */

/* --- users and nodes --- */
struct job_spec sim_spec(const char *name, const char *schedule); /* forbid, execute_one, executor "shell", one attempt */
struct sim_job *sim_create(struct sim *sim, const struct job_spec *spec);
/* BUSY, or what apply said. */
enum status sim_edit(struct sim *sim, struct sim_job *job, const struct job_spec *spec, bool resets_mark);
enum status sim_enable(struct sim *sim, struct sim_job *job, bool enabled);
enum status sim_delete(struct sim *sim, struct sim_job *job);
enum status sim_trigger(struct sim *sim, struct sim_job *job, bool force, struct id *ret);
enum status sim_cancel(struct sim *sim, const struct id *execution);
/* A node, or a new session of it. `executor` NULL: "shell". */
void sim_node_up(struct sim *sim, const char *name, uint32_t capacity, const char *executor);
/* With tags, as "disk=ssd zone=a": sorted. */
void sim_node_up_tagged(struct sim *sim, const char *name, uint32_t capacity, const char *executor, const char *tags);

/* --- time and faults --- */
void sim_run_for(struct sim *sim, int64_t ms);
void sim_sleep(struct sim *sim, int64_t ms); /* the leader does nothing meanwhile: an outage */
/* A new leader, built from the state. Entries on their way: applied before, lost, or (`ghosts`) any of both and late. */
void sim_rebuild(struct sim *sim, bool ghosts, bool lost);
void sim_flush(struct sim *sim); /* entries on their way are applied now */
/* Once nothing is on its way: another leader would owe nothing either, and sees the same. */
void sim_check_settled(struct sim *sim);
void sim_check_state(struct sim *sim);

/* --- what happened --- */
struct sim_run *sim_find(struct sim *sim, const struct id *execution);
/* The n-th run (from 0) of a job with that trigger (or any: -1), in order of appearance; NULL: none. */
struct sim_run *sim_nth(struct sim *sim, const struct sim_job *job, int trigger, uint32_t n);
uint32_t sim_count(struct sim *sim, const struct sim_job *job, int trigger, int status); /* -1: any */
void sim_assert_all_ended(struct sim *sim);

/* model.c */
void model_change(struct sim *sim, const struct state_change *change);
void model_free(struct sim *sim);
/* sim.c, for the model: a node sees its attempt */
void sim_attempt_seen(struct sim *sim, struct sim_run *run);

#endif
