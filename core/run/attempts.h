/* The attempts that this node knows of: by token for executors, by execution for the applied state.
 *
 * Who touches what: the fields marked [loop] belong to the loop; those marked [lock] are shared with the dispatchers and
 * with whatever thread a plugin completes from, under the table's lock, which is a leaf; the others are set before the
 * attempt is handed to a dispatcher and never change. */
#ifndef CHRONOS_RUN_ATTEMPTS_H
#define CHRONOS_RUN_ATTEMPTS_H

#include <pthread.h>
#include <uv.h>

#include <chronos/executor.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/map.h"
#include "run/capture.h"
#include "state/command.h"

struct dispatcher;
struct job;

/* What the loop thinks of it; attempt_move knows the ways. */
enum attempt_phase {
    ATTEMPT_QUEUED,   /* with the dispatcher: start() has not returned */
    ATTEMPT_RUNNING,  /* start() returned OK */
    ATTEMPT_FINISHED, /* it ended here or was given back; the report is not committed yet */
    ATTEMPT_GONE,     /* nothing more to say; an executor may still hold its token */
    ATTEMPT_PHASE_COUNT,
};

struct attempt {
    uint64_t token;
    struct id execution, job_id;
    uint32_t number;
    uint32_t job_version;
    enum run_trigger trigger;
    bool pinned; /* one of the runs that the slot has on each node */
    int64_t scheduled_ms;
    char job_name[JOB_NAME_TEXT_SIZE];
    char *overrides; /* JSON text; NULL: none */
    size_t overrides_size;
    struct dispatcher *dispatcher; /* NULL: it never had one */
    struct job *job;               /* a reference until start() has returned; NULL: none */
    int64_t timeout_ms;            /* 0: none */
    bool outlives_lease;           /* a lease that ends does not end it */

    /* [loop] */
    enum attempt_phase phase;
    struct attempt *same_run;   /* an older attempt of the same execution that is known, too */
    bool in_dispatcher;         /* until its start() has returned or it was taken back */
    bool in_map;
    enum reason cancel;         /* asked of the executor; NONE: nothing */
    bool given_up;              /* by the cluster; it goes on here, and its report will be too late */
    struct heap_node deadline;  /* monotonic ms */
    bool deadline_is_last;      /* behind it the attempt is written off */
    struct run_report report;   /* FINISHED: what is to be said; texts borrowed from here and from the capture */
    bool report_queued, is_outboxed;
    struct attempt *next_report;

    /* the dispatcher's, under its lock */
    struct attempt *queue_next, *queue_previous;
    bool is_queued;

    /* [lock] */
    struct attempt *next_posted;
    bool posted;         /* the loop has not looked at the news yet */
    bool called;         /* start() was called: the executor knows the token */
    bool start_returned;
    bool completed;      /* the end is known: complete(), or a start() that failed */
    bool written_off;    /* the loop gave up on it: a completion changes nothing */
    int64_t started_ms;
    uint64_t started_ns, ended_ns;
    struct chronos_result result; /* `message` is the field below */
    char message[ERROR_TEXT_SIZE];
    struct capture *capture; /* NULL: no output so far */
};

struct attempts {
    const struct clock *clock;
    struct capture_budget *budget;
    size_t captured_max, tail_bytes;
    pthread_mutex_t lock;
    /* under it */
    struct attempt **slots; /* NULL: free */
    uint32_t capacity;
    struct attempt *posted, **posted_tail;
    uv_async_t *wakeup; /* NULL: the loop does not listen any more */
    /* [loop] */
    uint32_t *free_slots, free_count;
    uint64_t generation;
    uint32_t count;
    struct map by_execution;
};

void attempts_init(struct attempts *attempts, const struct clock *clock, struct capture_budget *budget, size_t captured_max,
                   size_t tail_bytes, uv_async_t *wakeup);
void attempts_deinit(struct attempts *attempts); /* frees what is left; no plugin is alive any more */

/* [loop] */
must_use enum status attempts_add(struct attempts *attempts, const struct open_run *run, struct attempt **ret,
                                  struct error *err);
struct attempt *attempts_by_token(struct attempts *attempts, uint64_t token); /* NULL: gone */
struct attempt *attempts_find(struct attempts *attempts, const struct id *execution, uint32_t number);
struct attempt *attempts_newest(struct attempts *attempts, const struct id *execution); /* and on through same_run */
void attempt_move(struct attempt *attempt, enum attempt_phase phase); /* asserts that the way exists */
/* From now on it is GONE: only its token is remembered. */
void attempts_forget(struct attempts *attempts, struct attempt *attempt);
/* Frees a GONE attempt that nobody holds any more. */
void attempts_reap(struct attempts *attempts, struct attempt *attempt);
/* The oldest one with news; NULL: none. */
struct attempt *attempts_take_posted(struct attempts *attempts);
/* The loop gives up waiting: false when it has ended by now, then its news are under way. */
bool attempts_write_off(struct attempts *attempts, struct attempt *attempt);
/* What is known of it now; what was `completed` does not change any more. */
struct attempt_times {
    bool called, start_returned, completed;
    int64_t started_ms;
    uint64_t started_ns, ended_ns;
};
struct attempt_times attempts_times(struct attempts *attempts, const struct attempt *attempt);
/* The output so far with a reference; NULL: none. */
struct capture *attempts_capture(struct attempts *attempts, const struct attempt *attempt);
void attempts_stop_posting(struct attempts *attempts);

/* [any] wakes the loop without news of an attempt. */
void attempts_wake(struct attempts *attempts);

/* [dispatcher] around start(). A failed one is `completed` by it: `message` is cut to ERROR_TEXT_SIZE. */
void attempts_call_begins(struct attempts *attempts, struct attempt *attempt);
void attempts_call_ended(struct attempts *attempts, struct attempt *attempt);
/* True when the plugin completed it nevertheless. */
bool attempts_call_failed(struct attempts *attempts, struct attempt *attempt, enum chronos_retry retry, const char *message);

/* [any] the executor's side; ABI status codes. */
int32_t attempts_complete(struct attempts *attempts, const struct dispatcher *dispatcher, uint64_t token,
                          const struct chronos_result *result);
int32_t attempts_output(struct attempts *attempts, const struct dispatcher *dispatcher, uint64_t token, const void *data,
                        uint64_t size);

#endif
