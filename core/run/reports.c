/* What is said to the cluster, many attempts in one command, and the outbox that remembers it until it is committed. */
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/log.h"
#include "run/runner.h"

enum {
    REPORT_FIXED_BYTES = 192, /* of one report in a command, its texts not counted */
    OUTBOX_ROWS_MAX = 64 << 20,
};

enum status reports_init(struct reports *reports, struct error *err)
{
    *reports = (struct reports){.tail = &reports->head};
    map_init(&reports->in_flight);
    reports->items = calloc(REPORTS_PER_COMMAND, sizeof *reports->items);
    reports->attempts = calloc(REPORTS_PER_COMMAND, sizeof(struct attempt *));
    buffer_init(&reports->command, ENTRY_SIZE_MAX);
    buffer_init(&reports->row, ENTRY_SIZE_MAX);
    buffer_init(&reports->outbox_rows, OUTBOX_ROWS_MAX);
    buffer_init(&reports->outbox_keys, OUTBOX_ROWS_MAX);
    if (reports->items == NULL || reports->attempts == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    return STATUS_OK;
}

void reports_deinit(struct reports *reports)
{
    uint32_t cursor = 0;
    struct report_batch *batch;
    while ((batch = map_next(&reports->in_flight, &cursor)) != NULL) /* the cluster stopped before it answered */
        free(batch);
    map_deinit(&reports->in_flight);
    free(reports->items);
    free(reports->attempts);
    buffer_deinit(&reports->command);
    buffer_deinit(&reports->row);
    buffer_deinit(&reports->outbox_rows);
    buffer_deinit(&reports->outbox_keys);
}

bool reports_in_flight(const struct runner *runner)
{
    return runner->reports.in_flight.count > 0;
}

bool reports_idle(const struct runner *runner)
{
    return runner->reports.head == NULL && !reports_in_flight(runner);
}

void report_queue(struct runner *runner, struct attempt *attempt)
{
    struct reports *reports = &runner->reports;
    if (!attempt->report_queued) {
        attempt->report_queued = true;
        attempt->next_report = NULL;
        *reports->tail = attempt;
        reports->tail = &attempt->next_report;
    }
    attempts_wake(&runner->attempts); /* the loop sends what has gathered */
}

static struct attempt *unqueue(struct reports *reports)
{
    struct attempt *attempt = reports->head;
    reports->head = attempt->next_report;
    if (reports->head == NULL)
        reports->tail = &reports->head;
    attempt->report_queued = false;
    return attempt;
}

/* --- the answer --- */

/* Nothing that is said of it interests any more: its row in the outbox may go. */
static void settle(struct runner *runner, struct attempt *attempt)
{
    if (attempt->is_outboxed) {
        struct local_key key = local_key(&attempt->execution, attempt->number);
        buffer_append(&runner->reports.outbox_keys, key.bytes, sizeof key.bytes);
    }
    attempts_forget(&runner->attempts, attempt);
}

static void answered(struct runner *runner, const struct report_batch *batch, enum status status)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        struct attempt *attempt = attempts_by_token(&runner->attempts, batch->items[i].token);
        if (attempt == NULL || attempt->phase == ATTEMPT_GONE || attempt->report.kind != batch->items[i].kind)
            continue; /* given up, or there is more to say by now */
        if (status != STATUS_OK)
            report_queue(runner, attempt); /* a report is fenced: saying it twice does no harm */
        else if (attempt->phase == ATTEMPT_FINISHED)
            settle(runner, attempt);
    }
    local_writer_delete_outbox(runner->writer, &runner->reports.outbox_keys);
}

static void on_reported(void *arg, uint64_t number, const struct cluster_outcome *outcome)
{
    struct runner *runner = arg;
    struct report_batch *batch = map_remove(&runner->reports.in_flight, &number, sizeof number);
    if (batch == NULL)
        return;
    if (outcome->status != STATUS_OK) {
        LOG_WARN("reports of runs were not committed; they are sent again", LOG_U64("count", batch->count),
                 LOG_STRING("reason", outcome->message));
        retry_later(runner);
    }
    if (runner->stage < RUNNER_FLUSHING)
        answered(runner, batch, outcome->status);
    free(batch);
    drain_step(runner);
}

/* --- sending --- */

static size_t bytes_of(const struct run_report *report)
{
    return REPORT_FIXED_BYTES + report->error.size + report->output_head.size + report->output_tail.size;
}

/* The first reports of the queue that fit in one command; they stay queued until the cluster has taken it. */
static uint32_t gather(struct runner *runner)
{
    struct reports *reports = &runner->reports;
    struct attempt *attempt = reports->head;
    size_t bytes = COMMAND_HEADER_SIZE + sizeof(uint32_t);
    uint32_t count = 0;
    while (attempt != NULL && count < REPORTS_PER_COMMAND) {
        bytes += bytes_of(&attempt->report);
        if (bytes > ENTRY_SIZE_MAX)
            break;
        reports->attempts[count] = attempt;
        reports->items[count++] = attempt->report;
        attempt = attempt->next_report;
    }
    return count;
}

/* How a run ended is remembered here until the cluster knows it. */
static void put_outbox(struct runner *runner, uint32_t count)
{
    struct reports *reports = &runner->reports;
    struct buffer *rows = &reports->outbox_rows;
    for (uint32_t i = 0; i < count; i++) {
        struct attempt *attempt = reports->attempts[i];
        if (attempt->report.kind != REPORT_FINISHED || attempt->is_outboxed)
            continue;
        buffer_clear(&reports->command);
        buffer_clear(&reports->row);
        report_encode(&attempt->report, 1, &reports->command);
        local_outbox_row(buffer_bytes(&reports->command), &reports->row);
        if (reports->command.failed != STATUS_OK || reports->row.failed != STATUS_OK)
            continue; /* without memory the report goes out all the same */
        struct local_key key = local_key(&attempt->execution, attempt->number);
        buffer_append(rows, key.bytes, sizeof key.bytes);
        put_blob(rows, reports->row.data, reports->row.size);
        attempt->is_outboxed = true;
    }
    local_writer_put_outbox(runner->writer, rows);
}

static struct report_batch *make_batch(struct runner *runner, uint32_t count)
{
    struct reports *reports = &runner->reports;
    struct report_batch *batch = calloc(1, sizeof *batch + count * sizeof batch->items[0]);
    if (batch == NULL)
        return NULL;
    batch->number = ++reports->last_number;
    batch->count = count;
    for (uint32_t i = 0; i < count; i++) {
        batch->items[i].token = reports->attempts[i]->token;
        batch->items[i].kind = reports->items[i].kind;
    }
    if (map_put(&reports->in_flight, &batch->number, sizeof batch->number, batch, NULL) != STATUS_OK) {
        free(batch);
        return NULL;
    }
    return batch;
}

static enum status propose(struct runner *runner, uint32_t count, struct error *err)
{
    struct reports *reports = &runner->reports;
    buffer_clear(&reports->command);
    report_encode(reports->items, count, &reports->command);
    struct report_batch *batch = reports->command.failed == STATUS_OK ? make_batch(runner, count) : NULL;
    if (batch == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for reports");
    enum status status = cluster_propose(runner->cluster, PROPOSE_REPORT, buffer_bytes(&reports->command), on_reported,
                                         runner, batch->number, err);
    if (status != STATUS_OK) {
        (void)map_remove(&reports->in_flight, &batch->number, sizeof batch->number);
        free(batch);
    }
    return status;
}

/* What nobody wants to hear any more leaves the queue. */
static void skip_gone(struct runner *runner)
{
    while (runner->reports.head != NULL && runner->reports.head->phase == ATTEMPT_GONE)
        attempts_reap(&runner->attempts, unqueue(&runner->reports));
}

void reports_flush(struct runner *runner)
{
    struct reports *reports = &runner->reports;
    struct error err;
    if (runner->cluster == NULL)
        return;
    reports->refused = false;
    for (;;) {
        skip_gone(runner);
        uint32_t count = gather(runner);
        if (count == 0)
            return;
        put_outbox(runner, count);
        if (propose(runner, count, &err) != STATUS_OK) {
            reports->refused = true;
            LOG_DEBUG("reports of runs wait", LOG_U64("count", count), LOG_ERROR_FIELD(&err));
            retry_later(runner);
            return;
        }
        for (uint32_t i = 0; i < count; i++) {
            struct attempt *attempt = unqueue(reports);
            if (attempt->phase == ATTEMPT_GONE)
                attempts_reap(&runner->attempts, attempt);
        }
    }
}

static void on_ignored(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    (void)arg;
    (void)token;
    (void)outcome;
}

void report_release_unknown(struct runner *runner, const struct open_run *run)
{
    struct error err;
    struct run_report report = {.execution = run->execution, .attempt = run->attempt, .session = run->session,
                                .kind = REPORT_RELEASED, .reason = REASON_CAPACITY, .outcome = RUN_FAILED, .exit_code = -1};
    struct buffer *command = &runner->reports.command;
    buffer_clear(command);
    report_encode(&report, 1, command);
    if (command->failed != STATUS_OK || cluster_propose(runner->cluster, PROPOSE_REPORT, buffer_bytes(command), on_ignored,
                                                        NULL, 0, &err) != STATUS_OK)
        LOG_ERROR("a run can be neither started nor given back; it waits for this node's next start",
                  LOG_STRING("job", run->job_name));
}

/* --- trying again --- */

void retry_later(struct runner *runner)
{
    if (runner->handles != NULL && !uv_is_active((uv_handle_t *)&runner->handles->retry))
        (void)uv_timer_start(&runner->handles->retry, on_retry, REPORT_RETRY_MS, 0); /* cannot fail */
}

void on_retry(uv_timer_t *timer)
{
    struct runner *runner = timer->data;
    replay_go_on(runner);
    announce(runner);
    reports_flush(runner);
    drain_step(runner);
}
