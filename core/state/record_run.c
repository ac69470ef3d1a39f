/* Rows of a run: `open` while it lasts, `executions` for ever after. */
#include <assert.h>
#include <string.h>

#include "state/record_internal.h"

static void put_attempt(struct buffer *out, const struct attempt_record *attempt)
{
    put_u32(out, attempt->attempt);
    put_string(out, attempt->node);
    put_i64(out, attempt->started_ms);
    put_i64(out, attempt->completed_ms);
    put_u8(out, (uint8_t)attempt->outcome);
    put_u32(out, (uint32_t)attempt->exit_code);
    put_u32(out, (uint32_t)attempt->status_code);
    put_string(out, attempt->error);
}

static void take_attempt(struct reader *r, struct attempt_record *ret)
{
    ret->attempt = take_u32(r);
    take_string(r, ret->node, sizeof ret->node);
    ret->started_ms = take_i64(r);
    ret->completed_ms = take_i64(r);
    ret->outcome = (enum run_status)take_enum(r, RUN_STATUS_COUNT);
    ret->exit_code = (int32_t)take_u32(r);
    ret->status_code = (int32_t)take_u32(r);
    take_string(r, ret->error, sizeof ret->error);
}

void open_run_add_attempt(struct open_run *run, const struct attempt_record *attempt)
{
    if (run->history_count == ATTEMPTS_KEPT) {
        memmove(&run->history[1], &run->history[2], (ATTEMPTS_KEPT - 2) * sizeof run->history[0]);
        run->history_count--;
    }
    run->history[run->history_count++] = *attempt;
}

void open_run_encode(const struct open_run *run, struct buffer *out)
{
    assert(run->history_count <= ATTEMPTS_KEPT);
    put_u8(out, ROW_FORMAT);
    put_id(out, &run->previous);
    put_u64(out, run->serial);
    put_id(out, &run->job);
    put_u32(out, run->job_version);
    put_string(out, run->job_name);
    put_string(out, run->executor);
    put_u8(out, (uint8_t)run->phase);
    put_u8(out, (uint8_t)run->trigger);
    put_u8(out, (uint8_t)run->reason);
    put_u8(out, (uint8_t)run->cancel);
    put_i64(out, run->scheduled_ms);
    put_i64(out, run->created_ms);
    put_i64(out, run->started_ms);
    put_i64(out, run->attempt_started_ms);
    put_i64(out, run->next_attempt_ms);
    put_u32(out, run->attempt);
    put_u32(out, run->failures);
    put_u32(out, run->takeovers);
    put_u8(out, run->pinned);
    put_string(out, run->node);
    put_u64(out, run->session);
    put_blob(out, run->overrides.data, run->overrides.size);
    put_u8(out, (uint8_t)run->history_count);
    for (uint32_t i = 0; i < run->history_count; i++)
        put_attempt(out, &run->history[i]);
}

static enum run_phase take_phase(struct reader *r)
{
    uint8_t phase = take_enum(r, PHASE_BACKOFF + 1);
    if (phase < PHASE_WAITING)
        r->failed = true;
    return (enum run_phase)phase;
}

enum status open_run_decode(const struct id *key, struct bytes row, struct open_run *ret, struct error *err)
{
    struct reader r = reader_of(row.data, row.size);
    enum status status = row_open(&r, "open", err);
    if (status)
        return status;
    struct open_run run = {.execution = *key};
    run.previous = take_id(&r);
    run.serial = take_u64(&r);
    run.job = take_id(&r);
    run.job_version = take_u32(&r);
    take_string(&r, run.job_name, sizeof run.job_name);
    take_string(&r, run.executor, sizeof run.executor);
    run.phase = take_phase(&r);
    run.trigger = (enum run_trigger)take_enum(&r, RUN_TRIGGER_COUNT);
    run.reason = (enum reason)take_enum(&r, REASON_COUNT);
    run.cancel = (enum reason)take_enum(&r, REASON_COUNT);
    run.scheduled_ms = take_i64(&r);
    run.created_ms = take_i64(&r);
    run.started_ms = take_i64(&r);
    run.attempt_started_ms = take_i64(&r);
    run.next_attempt_ms = take_i64(&r);
    run.attempt = take_u32(&r);
    run.failures = take_u32(&r);
    run.takeovers = take_u32(&r);
    run.pinned = take_bool(&r);
    take_string(&r, run.node, sizeof run.node);
    run.session = take_u64(&r);
    run.overrides = take_blob(&r);
    run.history_count = take_enum(&r, ATTEMPTS_KEPT + 1);
    for (uint32_t i = 0; i < run.history_count; i++)
        take_attempt(&r, &run.history[i]);
    status = row_close(&r, "open", err);
    if (status)
        return status;
    *ret = run;
    return STATUS_OK;
}

void execution_row_encode(const struct execution_row *row, struct buffer *out)
{
    put_u8(out, ROW_FORMAT);
    put_u8(out, (uint8_t)row->status);
    put_u8(out, (uint8_t)row->trigger);
    put_u64(out, row->serial);
    put_id(out, &row->previous);
    put_i64(out, row->scheduled_ms);
    put_i64(out, row->completed_ms);
    put_blob(out, row->json.data, row->json.size);
}

enum status execution_row_decode(struct bytes bytes, struct execution_row *ret, struct error *err)
{
    struct reader r = reader_of(bytes.data, bytes.size);
    enum status status = row_open(&r, "executions", err);
    if (status)
        return status;
    struct execution_row row;
    row.status = (enum run_status)take_enum(&r, RUN_STATUS_COUNT);
    if (!run_status_terminal(row.status))
        r.failed = true;
    row.trigger = (enum run_trigger)take_enum(&r, RUN_TRIGGER_COUNT);
    row.serial = take_u64(&r);
    row.previous = take_id(&r);
    row.scheduled_ms = take_i64(&r);
    row.completed_ms = take_i64(&r);
    row.json = take_blob(&r);
    status = row_close(&r, "executions", err);
    if (status)
        return status;
    *ret = row;
    return STATUS_OK;
}
