/* The scheduler's index in memory, shared by its files. */
#ifndef CHRONOS_SCHEDULER_SCHEDULER_INTERNAL_H
#define CHRONOS_SCHEDULER_SCHEDULER_INTERNAL_H

#include "base/heap.h"
#include "base/map.h"
#include "scheduler/scheduler.h"

struct run;

/* Doubly linked list of runs; a run is in at most one work list at a time. */
struct run_list {
    struct run *head, *tail;
    uint32_t count;
};

struct run_queue {
    struct run_list runs;
    struct heap_node turn; /* among the others while it holds runs; key: ticket of the first */
    struct run_queue *passed; /* within one turn of the leader: those whose first run found no node */
};

/* What is asked of a node: an executor and a placement. Each is kept once, while a job or a run refers to it. Runs that wait for
 * a node queue here, so that a node that is missing blocks no run that can do with another. */
struct demand {
    uint32_t references;
    uint32_t nodes;          /* that answer it, a bit each, as of nodes_version */
    uint64_t nodes_version;
    struct run_queue queues[2]; /* of catch-up: [1] */
    size_t key_size;
    /* enum placement, the one node that it must be ("": any), executor, tags that the node must carry; each text with its NUL */
    char key[];
};

struct job {
    struct heap_node due; /* key: next slot after the mark; not in the heap: none, disabled, held or in flight */
    uint64_t serial;
    struct schedule *schedule; /* NULL: held */
    struct demand *demand;     /* as the job stands now */
    struct run *runs;          /* open ones, through job_next */
    int64_t mark_ms, next_ms;  /* next_ms INT64_MAX: no further slot */
    int64_t catchup_window_ms;
    uint32_t version, active, waiting, catchup_limit;
    uint8_t concurrency, missed_policy;
    bool enabled, in_flight, deleted;
    bool in_attention;         /* waiting runs to be released, or replaced ones to be cancelled */
    struct job *attention_next;
    char *held;                /* why; NULL: it is not */
};

enum run_work { WORK_NONE, WORK_READY, WORK_ORPHAN, WORK_BACKOFF };

struct run {
    struct id execution;
    struct heap_node retry; /* key: next_attempt_ms */
    struct heap_node expiry; /* while it waits for a node: when it has done so for long enough */
    int64_t scheduled_ms;
    struct job *job;        /* NULL: deleted */
    struct run *job_next, *job_previous;
    struct run *next, *previous; /* in a work list */
    struct run_list *list;
    struct demand *demand; /* the executor of the version that it was decided for; the job's placement as it stands now, or its node */
    int64_t ticket;        /* grows from run to run that begins to wait for a node */
    uint64_t serial, session;
    uint32_t attempt;
    uint8_t phase, cancel, trigger;
    int8_t node;              /* index; -1 none */
    bool pinned;              /* to `node`, once there is one */
    bool home_gone;           /* ... which is not known any more */
    bool in_flight;
};

/* What the leader knows of a node besides its row. */
enum node_health {
    NODE_FREE,      /* there is no node in this place */
    NODE_PLACEABLE, /* also one that has just come up: it is about to beat */
    NODE_SILENT,    /* not reached, or behind: no new runs */
    NODE_LOST,      /* its lease has ended: this session gets nothing any more and keeps nothing */
};

struct node {
    char name[NODE_TEXT_SIZE];
    uint64_t session;
    enum node_health health;
    bool is_held;       /* it is to leave: no new runs; of whichever session */
    bool is_watched;    /* heard_ms counts */
    int64_t heard_ms;   /* monotonic: the newest answered beat of this session, or since when one is waited for */
    int64_t lease_ms;   /* 0: it does not end */
    uint64_t placed;    /* when it was given a run last: a number that counts up; 0: never */
    uint32_t capacity, active, active_catchup; /* attempts of this session, and places promised to commands in flight */
    uint32_t executor_count;
    char executors[NODE_EXECUTORS_MAX][EXECUTOR_TEXT_SIZE];
    uint32_t tag_count;
    char tags[NODE_TAGS_MAX][NODE_TAG_TEXT_SIZE];
};

/* What a command in flight holds. */
struct flight {
    enum command_type type;
    bool used;
    uint32_t generation, count, capacity;
    union flight_item {
        uint64_t serial;
        struct id execution;
    } *items;
    uint32_t placed[COMMAND_NODES_MAX], placed_catchup[COMMAND_NODES_MAX];
};
enum { FLIGHTS_MAX = 256 };

/* The walk from a mark to now, kept over turns when the gap is long. */
struct walk {
    struct job *job; /* NULL: none under way */
    int64_t from_ms, now_ms, at_ms;
    int64_t *kept;   /* the newest slots that may run, a ring of kept_capacity */
    uint32_t kept_count, kept_capacity, kept_first;
    struct decided_range expired, dropped; /* older than the window; given up by the policy */
    /* once `dropped` holds GAP_COUNT_MAX: up to where they were counted, how far before the first slot that is not missed
     * the walk went on (0: no leap), and where that was */
    int64_t counted_ms, reach_ms, landed_ms;
};

struct scheduler {
    struct scheduler_config config;
    struct zone_table *zones;
    struct id_source ids;
    struct map jobs;  /* by serial */
    struct map runs;  /* by execution */
    struct heap due;
    struct heap retries;
    struct heap expiries;
    char node_id[NODE_TEXT_SIZE];
    struct map demands; /* by their keys */
    struct heap waiting[2]; /* queues of demands that hold runs, of catch-up: [1] */
    int64_t tickets;
    uint64_t nodes_version; /* grows when a demand may be answered by other nodes than before */
    struct node nodes[COMMAND_NODES_MAX];
    uint32_t node_count;
    struct run_list orphans;
    struct job *attention;
    uint64_t placements; /* the newest such number */
    int64_t watched_ms; /* monotonic: scheduler_watch_leases looked last */
    bool leading, again; /* again: more is owed now than fitted, or than was taken */
    struct walk walk;
    struct decided_slot *slots; /* of the decision being built */
    uint32_t slot_capacity;
    struct decided_range ranges[2];
    struct placement_node due_nodes[COMMAND_NODES_MAX]; /* of the decision for an edit */
    struct flight flights[FLIGHTS_MAX];
    uint32_t flight_count;      /* of them in use */
    struct buffer arena;
    size_t offsets[SCHEDULER_COMMANDS_MAX + 1];
    struct scheduler_command commands[SCHEDULER_COMMANDS_MAX];
    uint32_t command_count;
    /* retention */
    bool sweeping, sweep_in_flight;
    struct id sweep_from;
    uint64_t executions, ended_since_sweep;
    int64_t next_sweep_ms;
    struct scheduler_stats stats;
};

enum { DECISION_SLOTS_MAX = 512, WALK_BUDGET = 10 * WALK_INSTANTS_PER_TURN };

/* scheduler.c */
struct job *scheduler_job(const struct scheduler *s, uint64_t serial);
struct run *scheduler_find_run(const struct scheduler *s, const struct id *execution);
void scheduler_queue_job(struct scheduler *s, struct job *job);     /* into or out of the due heap, by its state */
void scheduler_attend(struct scheduler *s, struct job *job);        /* look at its waiting runs */

/* runs.c: the work that each open run asks for */
void run_list_push(struct run_list *list, struct run *run);
void run_list_remove(struct run *run); /* of one that may be in a queue: run_unlist */
bool run_is_under_way(const struct run *run);
bool run_is_blocked(const struct run *run); /* one that waits for others of its job: they are still at work */
bool run_shares_turn(const struct run *run, int node); /* with those pinned to that node; -1: with all of its job */
void run_classify(struct scheduler *s, struct run *run);
void run_unlink(struct scheduler *s, struct run *run);
void runs_propose(struct scheduler *s, int64_t now_ms);

/* demand.c */
void demands_init(struct scheduler *s);
void demands_deinit(struct scheduler *s); /* whatever refers to them: with the jobs and runs of a whole state */
struct demand *demand_of_job(struct scheduler *s, const struct job_spec *spec); /* a new reference; NULL: out of memory */
/* So, too; job NULL: deleted. */
struct demand *demand_of_run(struct scheduler *s, const struct job *job, const char *executor, const char *node);
bool demand_is_for_all(const struct demand *demand);
/* What it asks for is that node from now on. */
must_use enum status run_pin(struct scheduler *s, struct run *run, const char *node);
void demand_release(struct scheduler *s, struct demand *demand); /* accepts NULL */
/* What the job asks for from now on; runs of it that wait do so for that. */
must_use enum status job_set_demand(struct scheduler *s, struct job *job, const struct job_spec *spec);
uint32_t demand_nodes(const struct scheduler *s, struct demand *demand); /* that answer it, whether they have room or not: bits */
void run_enqueue(struct scheduler *s, struct run *run); /* it waits for a node */
void run_unlist(struct scheduler *s, struct run *run);  /* out of whichever list or queue it is in */
struct run_queue *queue_first(const struct scheduler *s, bool catchup); /* of those that hold runs; NULL: none */
void queue_settle(struct scheduler *s, struct run_queue *queue, bool catchup); /* into or out of them, by what it holds */
uint32_t demands_count_waiting(const struct scheduler *s);

/* placement.c */
int node_find(const struct scheduler *s, const char *name);
void node_left(struct scheduler *s, struct bytes name);
void node_changed(struct scheduler *s, const struct node_row *row);
int node_choose(const struct scheduler *s, struct demand *demand, bool catchup, enum reason *ret_reason);
bool node_takes(const struct scheduler *s, int node, bool catchup, enum reason *ret_reason); /* a run more, now */
/* Placement `all`: those that have a run of their own now, a bit each. */
uint32_t nodes_of_all(const struct scheduler *s, const struct job *job);
void node_occupy(struct scheduler *s, struct run *run);  /* an attempt of the node's session counts there */
void node_vacate(struct scheduler *s, struct run *run);
void nodes_encode(const struct scheduler *s, struct placement_node out[COMMAND_NODES_MAX]);

void node_reclassify_runs(struct scheduler *s, int node);

/* expiry.c */
void expiry_watch(struct scheduler *s, struct run *run); /* it waits for a node, and for nothing else; run_unlist ends that */
void expiries_of_job_changed(struct scheduler *s, const struct job *job); /* its window, perhaps */
void expiries_propose(struct scheduler *s, int64_t now_ms);

/* leases.c */
bool attempt_is_over(const struct scheduler *s, const struct run *run, enum reason *ret_reason); /* and why */
bool run_is_stranded(const struct scheduler *s, const struct run *run); /* it waits for a node that was written off */
void leases_begin(struct scheduler *s); /* leading begins or ends */

/* decide.c */
void slots_propose(struct scheduler *s, int64_t now_ms);
enum status slots_due_now(struct scheduler *s, struct job *job, int64_t now_ms, struct decision *ret, bool *ret_any);

/* flight.c: commands on their way */
struct flight *flight_begin(struct scheduler *s, enum command_type type); /* NULL: too many, or no room for a command */
bool flight_add(struct flight *flight, union flight_item item);
void flight_place(struct scheduler *s, struct flight *flight, int node, bool catchup);
void flight_end(struct scheduler *s, struct flight *flight);    /* the arena holds its command */
void flight_release(struct scheduler *s, struct flight *flight); /* frees jobs, runs and places that it held */

/* sweep.c */
void sweep_propose(struct scheduler *s, int64_t now_ms);
void sweep_result(struct scheduler *s, enum status status, const struct apply_result *result, int64_t now_ms);

#endif
