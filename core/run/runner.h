/* The insides of the runner, for the files of this room. All of it is the loop's. */
#ifndef CHRONOS_RUN_RUNNER_H
#define CHRONOS_RUN_RUNNER_H

#include "run/attempts.h"
#include "run/dispatcher.h"
#include "run/job_cache.h"
#include "run/local_writer.h"
#include "run/run.h"

enum {
    WRITE_OFF_MS = 5000,       /* an executor that did not end a run so long after the grace never will */
    REPORTS_PER_COMMAND = 512,
    REPORT_RETRY_MS = 1000,
    REPORT_WAIT_MS = 5000,     /* going down: how long the last reports are waited for */
    REPORTING_LOOK_MS = 100,
    WATCH_MS = 1000,           /* while calls are outstanding: how often they are looked at */
    WEDGED_MS = 5000,          /* a call that takes longer: nothing more is started there */
    LATE_BUCKETS = 12,
    DROPPED_SAY_MS = 60 * 1000, /* at most so often: output is dropped */
    NS_PER_MS = 1000000,
};

/* Outlive the runner until the loop has closed them. */
struct runner_handles {
    uv_async_t wakeup;
    uv_timer_t deadlines, retry, watch, drain, lease;
    int open;
    void (*closed)(void *arg); /* NULL: nobody waits */
    void *arg;
};

struct instance {
    struct dispatcher *dispatcher;
    bool wedged, failed;
    bool validates_quickly; /* promised by the plugin */
};

/* Reports that were proposed together; named by number, for the runner may have forgotten their attempts by the answer. */
struct report_batch {
    uint64_t number;
    uint32_t count;
    struct {
        uint64_t token;
        enum report_kind kind;
    } items[];
};

struct reports {
    struct attempt *head, **tail;     /* with something to say */
    struct map in_flight;             /* by number */
    uint64_t last_number;
    struct run_report *items;         /* REPORTS_PER_COMMAND places */
    struct attempt **attempts;        /* likewise */
    struct buffer command, row, outbox_rows, outbox_keys;
    bool refused;                     /* the last try to propose was */
};

/* The outbox of earlier sessions, proposed a window at a time. */
struct replay {
    enum { REPLAY_WAITING, REPLAY_RUNNING, REPLAY_DONE } stage;
    struct local_key after;           /* proposed up to here */
    uint32_t in_window, in_flight;
    bool failed;
    struct local_key *window;         /* REPORTS_PER_COMMAND places; what token i was about */
};

enum runner_stage { RUNNER_OPEN, RUNNER_DRAINING, RUNNER_REPORTING, RUNNER_FLUSHING, RUNNER_CLOSING, RUNNER_DRAINED };

struct runner {
    struct runner_config config; /* without the lists of executors */
    char node_id[NODE_TEXT_SIZE];
    uint64_t session;
    struct cluster *cluster;
    struct runner_handles *handles;

    struct instance *instances;
    uint32_t instance_count;
    struct attempts attempts;
    struct capture_budget budget;
    struct job_cache jobs;
    struct heap deadlines;
    struct reports reports;
    struct replay replay;
    bool announce_wanted, announce_in_flight;
    uint64_t announced_session; /* the newest one whose NODE_UP is applied; 0: none */
    int64_t lease_until_ms;      /* monotonic; INT64_MAX: for ever */
    bool has_lease;
    struct local_store *local;
    struct local_writer *writer;
    atomic_bool writer_stopped;  /* set on its thread */

    int64_t write_off_ms, wedged_ms, report_wait_ms; /* WRITE_OFF_MS, WEDGED_MS, REPORT_WAIT_MS; shorter in tests */
    enum runner_stage stage;
    void (*drained)(void *arg);
    void *drained_arg;
    int64_t report_until_ms;     /* from RUNNER_REPORTING on */

    uint32_t active;             /* attempts QUEUED or RUNNING */
    uint64_t started, finished, late_sum_ms, late_buckets[LATE_BUCKETS];
    int64_t dropped_said_ms;     /* when it was last said that output is dropped; 0: not yet */
};

int64_t runner_now_ms(const struct runner *runner); /* monotonic */
uint64_t runner_draw_session(void);

/* starts.c: the applied state asks. */
void starts_apply(struct runner *runner, const struct state_changes *changes);

void starts_walk(struct runner *runner); /* all of the applied state */
void starts_reload(void *arg);           /* it was replaced as a whole */

/* lease.c */
void lease_granted(void *arg, int64_t until_ms);
void lease_session_over(void *arg);
void on_lease_end(uv_timer_t *timer);

/* conclude.c: how an attempt goes on here. */
void attempt_started(struct runner *runner, struct attempt *attempt);
void attempt_completed(struct runner *runner, struct attempt *attempt); /* by the executor, or by a start() that failed */
/* It never ran and never will: FINISHED with that outcome and sentence, without retry. */
void attempt_never_ran(struct runner *runner, struct attempt *attempt, enum run_status outcome, enum reason reason,
                       const char *error);
void attempt_release(struct runner *runner, struct attempt *attempt, enum reason reason); /* it is in no queue any more */
/* The loop waits no longer. False: it has ended by itself. */
bool attempt_write_off(struct runner *runner, struct attempt *attempt, enum run_status outcome, enum reason reason,
                       const char *error);
void attempt_cancel(struct runner *runner, struct attempt *attempt, enum reason reason);
int64_t grace_of(const struct runner *runner, enum reason reason);
/* The state gave it up: it is cancelled, or goes on where its job asks for that (on_lease_loss); what it reports interests nobody. */
void attempt_disown(struct runner *runner, struct attempt *attempt);

/* deadlines.c */
void deadline_set(struct runner *runner, struct attempt *attempt, int64_t at_ms, bool last);
void deadline_clear(struct runner *runner, struct attempt *attempt);
void on_deadlines(uv_timer_t *timer);

/* instances.c: the executors as wholes. */
struct instance *instance_find(const struct runner *runner, const char *executor);
void instances_watch(struct runner *runner); /* calls are outstanding: look at them now and then */
void instances_check_failed(struct runner *runner);
void instances_release_queues(struct runner *runner, enum reason reason);
void announce(struct runner *runner); /* NODE_UP with what this node can do now */
void on_watch(uv_timer_t *timer);

/* reports.c */
must_use enum status reports_init(struct reports *reports, struct error *err);
void reports_deinit(struct reports *reports);
void report_queue(struct runner *runner, struct attempt *attempt);
/* For a run that there is no room to know of: it is given back, in a command of its own. */
void report_release_unknown(struct runner *runner, const struct open_run *run);
void reports_flush(struct runner *runner);
bool reports_idle(const struct runner *runner);      /* nothing to say and no answer awaited */
bool reports_in_flight(const struct runner *runner); /* an answer is awaited */
void retry_later(struct runner *runner);
void on_retry(uv_timer_t *timer);

/* replay.c */
void replay_go_on(struct runner *runner); /* also begins it */

/* drain.c */
void drain_step(struct runner *runner);
void on_drain_timeout(uv_timer_t *timer);
void runner_close_handles(struct runner *runner, void (*closed)(void *arg), void *arg);

#endif
