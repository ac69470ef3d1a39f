/* How an attempt goes on once it was handed to an executor: started, cancelled, ended, written off. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "run/runner.h"

/* --- shared steps --- */

/* The dispatcher has let go of it. */
static void leave_dispatcher(struct attempt *attempt)
{
    attempt->in_dispatcher = false;
    job_unref(attempt->job);
    attempt->job = NULL;
}

/* QUEUED or RUNNING no more. */
static void leave_active(struct runner *runner, struct attempt *attempt)
{
    deadline_clear(runner, attempt);
    assert(runner->active > 0);
    runner->active--;
}

static void base_report(const struct runner *runner, struct attempt *attempt, enum report_kind kind)
{
    attempt->report = (struct run_report){
        .execution = attempt->execution,
        .attempt = attempt->number,
        .session = runner->session,
        .kind = kind,
        .outcome = RUN_FAILED,
        .exit_code = -1,
    };
}

static void set_error(struct attempt *attempt, const char *text)
{
    size_t size = utf8_cut(text, strlen(text), sizeof attempt->message - 1);
    memmove(attempt->message, text, size);
    attempt->message[size] = '\0';
}

static void queue_finished(struct runner *runner, struct attempt *attempt)
{
    attempt->report.error = (struct bytes){attempt->message, strlen(attempt->message)};
    attempt_move(attempt, ATTEMPT_FINISHED);
    leave_active(runner, attempt);
    report_queue(runner, attempt);
}

static void say_dropped(struct runner *runner, const struct attempt *attempt, const struct capture *capture)
{
    int64_t now_ms = runner_now_ms(runner);
    if (runner->dropped_said_ms != 0 && now_ms - runner->dropped_said_ms < DROPPED_SAY_MS)
        return;
    runner->dropped_said_ms = now_ms;
    LOG_WARN("output of a run is not kept beyond its report: the disk is low or the store for output takes none",
             LOG_STRING("job", attempt->job_name), LOG_U64("bytes", capture_total(capture)));
}

/* Output is the first to go without when the disk is low: what is left of it is for the log, the state and the outbox. */
static bool may_store(struct runner *runner, const struct attempt *attempt, const struct capture *capture)
{
    struct cluster_status cluster;
    cluster_status_get(runner->cluster, &cluster);
    bool may = cluster.disk == DISK_OK && local_writer_takes_output(runner->writer, capture_kept(capture).size);
    if (!may)
        say_dropped(runner, attempt, capture);
    return may;
}

static void keep_output(struct runner *runner, struct attempt *attempt)
{
    struct capture *capture = attempts_capture(&runner->attempts, attempt);
    if (capture == NULL)
        return;
    capture_close(capture);
    size_t replicated = runner->config.replicated_output_bytes;
    bool more = capture_exceeds(capture, replicated) || !capture_is_text(capture); /* than the report can carry */
    /* The record of a run has the output of its last attempt alone, and this one may not be the last. */
    bool may_be_followed = attempt->report.outcome != RUN_SUCCESS && capture_total(capture) > 0;
    bool stored = (more || may_be_followed) && may_store(runner, attempt, capture);
    capture_report(capture, replicated, stored, &attempt->report);
    if (stored) {
        struct local_key key = local_key(&attempt->execution, attempt->number);
        local_writer_put_output(runner->writer, &key, capture);
    }
    capture_unref(capture); /* the attempt's own reference lasts as long as its report */
}

static void count_start(struct runner *runner, const struct attempt *attempt, int64_t started_ms)
{
    static const int64_t bounds[LATE_BUCKETS - 1] = {1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 5000};
    runner->started++;
    if (attempt->trigger != TRIGGER_SCHEDULE || attempt->number != 1)
        return;
    int64_t late = started_ms > attempt->scheduled_ms ? started_ms - attempt->scheduled_ms : 0;
    uint32_t bucket = 0;
    while (bucket < LATE_BUCKETS - 1 && late > bounds[bucket])
        bucket++;
    runner->late_buckets[bucket]++;
    runner->late_sum_ms += (uint64_t)late;
}

/* --- start --- */

void attempt_started(struct runner *runner, struct attempt *attempt)
{
    struct attempt_times times = attempts_times(&runner->attempts, attempt);
    leave_dispatcher(attempt);
    if (attempt->phase == ATTEMPT_QUEUED && times.called)
        count_start(runner, attempt, times.started_ms);
    if (attempt->phase == ATTEMPT_QUEUED && !times.completed) {
        attempt_move(attempt, ATTEMPT_RUNNING);
        base_report(runner, attempt, REPORT_STARTED);
        attempt->report.started_ms = times.started_ms;
        report_queue(runner, attempt);
        int64_t started_at_ms = (int64_t)(times.started_ns / NS_PER_MS) + 1; /* rounded up: never too early */
        if (attempt->cancel == REASON_NONE && attempt->timeout_ms > 0)
            deadline_set(runner, attempt, started_at_ms + attempt->timeout_ms, false);
    }
}

/* --- the end --- */

static enum run_status outcome_of(int32_t outcome)
{
    switch (outcome) {
    case CHRONOS_OUTCOME_SUCCESS:
        return RUN_SUCCESS;
    case CHRONOS_OUTCOME_CANCELLED:
        return RUN_CANCELLED;
    case CHRONOS_OUTCOME_TIMEOUT:
        return RUN_TIMEOUT;
    case CHRONOS_OUTCOME_LOST:
        return RUN_LOST;
    default:
        return RUN_FAILED;
    }
}

/* What the executor says, in the light of what was asked of it. A success is one even if a cancel was under way. */
static void judge(struct attempt *attempt)
{
    struct run_report *report = &attempt->report;
    report->outcome = outcome_of(attempt->result.outcome);
    if (report->outcome == RUN_SUCCESS)
        return;
    if (attempt->cancel == REASON_TIMEOUT) {
        char text[DURATION_TEXT_SIZE], error[DURATION_TEXT_SIZE + 32];
        duration_format(attempt->timeout_ms, text);
        (void)snprintf(error, sizeof error, "timed out after %s", text);
        report->outcome = RUN_TIMEOUT;
        report->reason = REASON_TIMEOUT;
        set_error(attempt, error);
    } else if (attempt->cancel != REASON_NONE) {
        report->outcome = RUN_CANCELLED;
        report->reason = attempt->cancel;
    } else if (report->outcome == RUN_CANCELLED) {
        report->outcome = RUN_FAILED;
        set_error(attempt, "the executor ended the run as cancelled, but nobody had asked for it");
    } else if (report->outcome == RUN_TIMEOUT) {
        report->reason = REASON_TIMEOUT;
    } else if (report->outcome == RUN_LOST) {
        report->reason = REASON_EXECUTOR_FAILED;
    }
}

static int64_t duration_ms(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (int64_t)((to_ns - from_ns) / NS_PER_MS) : 0;
}

void attempt_completed(struct runner *runner, struct attempt *attempt)
{
    struct attempt_times times = attempts_times(&runner->attempts, attempt);
    const struct chronos_result *result = &attempt->result;
    if (attempt->in_dispatcher && times.called && attempt->phase == ATTEMPT_QUEUED)
        count_start(runner, attempt, times.started_ms); /* it was faster than start() itself */
    base_report(runner, attempt, REPORT_FINISHED);
    attempt->report.started_ms = times.called ? times.started_ms : 0;
    attempt->report.duration_ms = times.called ? duration_ms(times.started_ns, times.ended_ns) : 0;
    attempt->report.retry = (uint8_t)result->retry;
    attempt->report.retry_after_ms = result->retry_after_ms;
    attempt->report.exit_code = result->exit_code;
    attempt->report.term_signal = result->term_signal;
    attempt->report.status_code = result->status_code;
    judge(attempt);
    keep_output(runner, attempt);
    runner->finished++;
    queue_finished(runner, attempt);
}

void attempt_never_ran(struct runner *runner, struct attempt *attempt, enum run_status outcome, enum reason reason,
                       const char *error)
{
    leave_dispatcher(attempt);
    base_report(runner, attempt, REPORT_FINISHED);
    attempt->report.outcome = outcome;
    attempt->report.reason = reason;
    attempt->report.retry = CHRONOS_RETRY_NO;
    set_error(attempt, error);
    queue_finished(runner, attempt);
}

void attempt_release(struct runner *runner, struct attempt *attempt, enum reason reason)
{
    leave_dispatcher(attempt);
    base_report(runner, attempt, REPORT_RELEASED);
    attempt->report.reason = reason;
    set_error(attempt, "");
    queue_finished(runner, attempt);
}

bool attempt_write_off(struct runner *runner, struct attempt *attempt, enum run_status outcome, enum reason reason,
                       const char *error)
{
    if (!attempts_write_off(&runner->attempts, attempt))
        return false;
    struct attempt_times times = attempts_times(&runner->attempts, attempt);
    uint64_t now_ns = runner->config.clock->monotonic_ns(runner->config.clock->arg);
    base_report(runner, attempt, REPORT_FINISHED);
    attempt->report.outcome = outcome;
    attempt->report.reason = reason;
    attempt->report.started_ms = times.called ? times.started_ms : 0;
    attempt->report.duration_ms = times.called ? duration_ms(times.started_ns, now_ns) : 0;
    set_error(attempt, error);
    keep_output(runner, attempt);
    runner->finished++;
    queue_finished(runner, attempt);
    return true;
}

/* --- cancel --- */

static enum chronos_cancel_reason cancel_reason(enum reason reason)
{
    switch (reason) {
    case REASON_TIMEOUT:
        return CHRONOS_CANCEL_TIMEOUT;
    case REASON_REPLACED:
        return CHRONOS_CANCEL_REPLACED;
    case REASON_JOB_DELETED:
        return CHRONOS_CANCEL_DELETED;
    case REASON_SHUTDOWN:
        return CHRONOS_CANCEL_SHUTDOWN;
    case REASON_NODE_LOSS:
        return CHRONOS_CANCEL_LEASE;
    default:
        return CHRONOS_CANCEL_USER;
    }
}

/* A lost lease leaves less time: at its end the attempt is gone. */
int64_t grace_of(const struct runner *runner, enum reason reason)
{
    int64_t grace = runner->config.grace_ms, half = runner->config.lease_ms / 2;
    return reason == REASON_NODE_LOSS && half > 0 && half < grace ? half : grace;
}

void attempt_cancel(struct runner *runner, struct attempt *attempt, enum reason reason)
{
    if (attempt->phase > ATTEMPT_RUNNING || attempt->cancel != REASON_NONE)
        return; /* the first reason stays, and so does its deadline */
    attempt->cancel = reason;
    if (dispatcher_take_back(attempt->dispatcher, attempt)) {
        attempt_never_ran(runner, attempt, RUN_CANCELLED, reason, "");
        return;
    }
    dispatcher_cancel(attempt->dispatcher, attempt->token, cancel_reason(reason), grace_of(runner, reason));
    instances_watch(runner);
    deadline_set(runner, attempt, runner_now_ms(runner) + grace_of(runner, reason) + runner->write_off_ms, true);
}

void attempt_disown(struct runner *runner, struct attempt *attempt)
{
    if (attempt->phase > ATTEMPT_RUNNING)
        return; /* its end is reported already; the answer says what became of that */
    bool goes_on = attempt->outlives_lease && attempt->cancel == REASON_NONE;
    if (goes_on && attempt->given_up)
        return;
    bool begun = !dispatcher_take_back(attempt->dispatcher, attempt);
    LOG_WARN(goes_on && begun ? "run given up by the cluster: it goes on here, as its job asks; what becomes of it is not recorded"
                              : "run given up by the cluster: it is cancelled here",
             LOG_STRING("job", attempt->job_name), LOG_U64("attempt", attempt->number));
    attempt->given_up = true;
    if (goes_on && begun)
        return;
    if (!begun) {
        leave_dispatcher(attempt);
    } else if (attempts_write_off(&runner->attempts, attempt)) {
        dispatcher_cancel(attempt->dispatcher, attempt->token, cancel_reason(REASON_NODE_LOSS),
                          grace_of(runner, REASON_NODE_LOSS));
        instances_watch(runner);
    }
    leave_active(runner, attempt);
    attempts_forget(&runner->attempts, attempt);
}
