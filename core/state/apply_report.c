/* REPORT: what the node that runs an attempt says of it. */
#include <string.h>

#include <chronos/executor.h>

#include "state/apply_internal.h"

static const int64_t retry_after_max_ms = INT64_C(24) * 3600 * 1000;
enum { SIGNAL_EXIT_BASE = 128 }; /* a process ended by signal n shows 128 + n, as in a shell */

/* The node's clock counts only as far as it does not contradict the leader's: nothing starts in the future. */
static int64_t started_at(const struct apply *a, const struct run_report *report)
{
    return report->started_ms > 0 && report->started_ms < a->now_ms ? report->started_ms : a->now_ms;
}

static int64_t duration_of(const struct run_report *report)
{
    return report->duration_ms > 0 ? report->duration_ms : 0;
}

/* Start plus duration, but never after now. */
static int64_t completed_at(const struct apply *a, int64_t started_ms, int64_t duration_ms)
{
    return duration_ms < a->now_ms - started_ms ? started_ms + duration_ms : a->now_ms;
}

static void copy_error(struct bytes text, char out[ERROR_TEXT_SIZE])
{
    memcpy(out, text.data ? text.data : "", text.size);
    for (size_t i = 0; i < text.size; i++)
        if (out[i] == '\0')
            out[i] = ' '; /* a row's strings hold none */
    out[text.size] = '\0';
}

static int32_t exit_code_of(const struct run_report *report)
{
    if (report->exit_code >= 0)
        return report->exit_code;
    bool killed = report->term_signal > 0 && report->term_signal < SIGNAL_EXIT_BASE;
    return killed ? SIGNAL_EXIT_BASE + report->term_signal : -1;
}

/* The attempt as it is kept; the run's first start too, should its own report never have come. */
static void record_attempt(struct apply *a, struct open_run *run, const struct run_report *report)
{
    struct attempt_record record = {
        .attempt = run->attempt,
        .outcome = report->outcome,
        .exit_code = exit_code_of(report),
        .status_code = report->status_code > 0 ? report->status_code : -1,
    };
    bool started = report->started_ms > 0 || run->phase == PHASE_RUNNING;
    record.completed_ms = a->now_ms;
    if (started) {
        record.started_ms = run->attempt_started_ms ? run->attempt_started_ms : started_at(a, report);
        record.completed_ms = completed_at(a, record.started_ms, duration_of(report));
        if (run->started_ms == 0)
            run->started_ms = record.started_ms;
    }
    memcpy(record.node, run->node, sizeof record.node);
    copy_error(report->error, record.error);
    open_run_add_attempt(run, &record);
}

/* One attempt: the node's own measure. Several: from the first start to the last end. */
static int64_t run_duration(const struct open_run *run, const struct run_report *report)
{
    const struct attempt_record *last = &run->history[run->history_count - 1];
    if (run->started_ms == 0)
        return -1;
    return run->started_ms == last->started_ms ? duration_of(report) : last->completed_ms - run->started_ms;
}

static enum status end_run(struct apply *a, const struct open_run *run, struct job_marks *marks,
                           const struct run_report *report, enum run_status status, enum reason reason)
{
    struct run_end end = {
        .status = status,
        .reason = reason,
        .completed_ms = run->history[run->history_count - 1].completed_ms,
        .duration_ms = run_duration(run, report),
        .output_head = report->output_head,
        .output_tail = report->output_tail,
        .output_bytes = report->output_bytes,
        .output_truncated = report->output_truncated,
    };
    enum status result = finish_run(a, run, true, marks, &end);
    return result ? result : save_marks(a, run->serial, marks);
}

/* Failed or timed out: again later, or over. */
static enum status fail_attempt(struct apply *a, struct open_run *run, struct job_marks *marks,
                                const struct run_report *report)
{
    struct job_spec spec = {.serial = 0};
    bool again = report->retry != CHRONOS_RETRY_NO && run->cancel == REASON_NONE && !marks->deleted;
    run->failures++;
    if (again) {
        enum status status = need_spec(a, run->serial, &spec);
        if (status)
            return status;
        again = run->failures < spec.retry.max_attempts && run->failures < ATTEMPTS_MAX;
    }
    if (!again)
        return end_run(a, run, marks, report, report->outcome, report->reason);
    int64_t delay = job_retry_delay_ms(&spec.retry, run->failures, &run->execution);
    int64_t asked = report->retry_after_ms < retry_after_max_ms ? report->retry_after_ms : retry_after_max_ms;
    run->phase = PHASE_BACKOFF;
    run->reason = REASON_RETRY;
    run->next_attempt_ms = a->now_ms + (asked > delay ? asked : delay);
    return save_open(a, run);
}

/* The node gave the attempt up for reasons of its own: nobody asked for it. */
static bool is_node_loss(const struct run_report *report)
{
    return report->reason == REASON_SHUTDOWN || report->reason == REASON_NODE_LOSS ||
           report->reason == REASON_NODE_RESTART;
}

static enum status finish_attempt(struct apply *a, struct open_run *run, struct job_marks *marks,
                                  const struct run_report *report)
{
    record_attempt(a, run, report);
    switch (report->outcome) {
    case RUN_SUCCESS:
        return end_run(a, run, marks, report, RUN_SUCCESS, REASON_NONE);
    case RUN_FAILED:
    case RUN_TIMEOUT:
        return fail_attempt(a, run, marks, report);
    case RUN_CANCELLED:
        if (run->cancel == REASON_NONE && is_node_loss(report))
            return lose_attempt(a, run, marks, report->reason, false);
        return end_run(a, run, marks, report, RUN_CANCELLED, run->cancel != REASON_NONE ? run->cancel : report->reason);
    case RUN_LOST:
        return lose_attempt(a, run, marks, report->reason == REASON_NONE ? REASON_NODE_LOSS : report->reason, false);
    case RUN_PENDING:
    case RUN_RUNNING:
    case RUN_SKIPPED:
    case RUN_STATUS_COUNT:
        break;
    }
    return apply_malformed(a); /* take_report lets none of these through */
}

/* The node never started it. */
static enum status release_attempt(struct apply *a, struct open_run *run, struct job_marks *marks, enum reason reason)
{
    if (run->cancel != REASON_NONE || marks->deleted) {
        struct run_end end = plain_end(a, RUN_CANCELLED, run->cancel != REASON_NONE ? run->cancel : REASON_JOB_DELETED);
        enum status status = finish_run(a, run, true, marks, &end);
        return status ? status : save_marks(a, run->serial, marks);
    }
    run->phase = PHASE_READY;
    run->reason = reason;
    return save_open(a, run);
}

static enum status start_attempt(struct apply *a, struct open_run *run, const struct run_report *report)
{
    run->phase = PHASE_RUNNING;
    run->reason = REASON_NONE;
    run->attempt_started_ms = started_at(a, report);
    if (run->started_ms == 0)
        run->started_ms = run->attempt_started_ms;
    return save_open(a, run);
}

static bool report_fits(const struct open_run *run, const struct run_report *report)
{
    return attempt_fits(run, report->attempt, report->session) &&
           (report->kind == REPORT_FINISHED || run->phase == PHASE_ASSIGNED);
}

static enum status report_one(struct apply *a, const struct run_report *report)
{
    struct open_run run;
    struct job_marks marks;
    enum status status = load_open(a, &report->execution, &run);
    if (status == STATUS_NOT_FOUND || (!status && !report_fits(&run, report))) {
        apply_void_item(a, STATUS_STALE); /* late: another attempt is under way, or the run is over */
        return STATUS_OK;
    }
    if (status)
        return status;
    if (report->kind == REPORT_STARTED)
        return start_attempt(a, &run, report);
    status = need_marks(a, run.serial, &marks);
    if (status)
        return status;
    return report->kind == REPORT_FINISHED ? finish_attempt(a, &run, &marks, report)
                                           : release_attempt(a, &run, &marks, report->reason);
}

enum status apply_report(struct apply *a)
{
    a->item_count = take_u32(&a->body);
    for (uint32_t i = 0; i < a->item_count && !a->body.failed; i++) {
        struct run_report report;
        take_report(&a->body, &report);
        if (a->body.failed)
            break;
        enum status status = report_one(a, &report);
        if (status)
            return status;
    }
    return reader_done(&a->body) ? STATUS_OK : apply_malformed(a);
}
