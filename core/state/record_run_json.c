/* A run as the API shows it (docs/api.md, "Executions"): one shape, for open runs and for terminal ones. */
#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "state/record_internal.h"

static void member_id(struct json_writer *w, const char *key, const char *prefix, const struct id *id)
{
    char text[ID_TEXT_SIZE];
    id_format(prefix, id, text);
    json_member_string(w, key, text);
}

/* "" is null. */
static void member_text(struct json_writer *w, const char *key, const char *text)
{
    json_member_string(w, key, text[0] ? text : NULL);
}

/* exit_code of a process, or status_code of a web request; the first stands as null where there is neither. */
static void member_code(struct json_writer *w, int32_t exit_code, int32_t status_code)
{
    if (exit_code >= 0)
        json_member_int(w, "exit_code", exit_code);
    else if (status_code >= 0)
        json_member_int(w, "status_code", status_code);
    else
        json_member_null(w, "exit_code");
}

static void write_attempt(struct json_writer *w, const struct attempt_record *attempt)
{
    bool ended = run_status_terminal(attempt->outcome);
    json_object_begin(w);
    json_member_int(w, "attempt", attempt->attempt);
    member_text(w, "node_id", attempt->node);
    json_member_time(w, "started_at", attempt->started_ms);
    json_member_time(w, "completed_at", attempt->completed_ms);
    json_member_string(w, "outcome", ended ? run_status_name(attempt->outcome) : NULL);
    member_code(w, attempt->exit_code, attempt->status_code);
    member_text(w, "error", attempt->error);
    json_object_end(w);
}

static bool attempt_is_open(const struct open_run *run)
{
    return run->phase == PHASE_ASSIGNED || run->phase == PHASE_RUNNING;
}

/* `current`: also the attempt that has not ended yet. */
static void write_attempts(struct json_writer *w, const struct open_run *run, bool current)
{
    json_key(w, "attempts");
    json_array_begin(w);
    for (uint32_t i = 0; i < run->history_count; i++)
        write_attempt(w, &run->history[i]);
    if (current) {
        struct attempt_record attempt = {.attempt = run->attempt, .started_ms = run->attempt_started_ms,
                                         .outcome = RUN_RUNNING, .exit_code = -1, .status_code = -1};
        memcpy(attempt.node, run->node, sizeof attempt.node);
        write_attempt(w, &attempt);
    }
    json_array_end(w);
}

static void write_identity(struct json_writer *w, const struct open_run *run, enum run_status status,
                           enum reason reason)
{
    member_id(w, "id", EXECUTION_ID_PREFIX, &run->execution);
    member_id(w, "job_id", JOB_ID_PREFIX, &run->job);
    json_member_string(w, "job_name", run->job_name);
    json_member_int(w, "job_version", run->job_version);
    json_member_time(w, "scheduled_time", run->scheduled_ms);
    json_member_string(w, "trigger", run_trigger_name(run->trigger));
    json_member_string(w, "status", run_status_name(status));
    member_text(w, "reason", reason_name(reason));
    member_text(w, "node_id", run->node);
    json_member_time(w, "started_at", run->started_ms);
}

/* What the newest attempt left behind. */
static void write_result_code(struct json_writer *w, const struct open_run *run)
{
    const struct attempt_record *last = run->history_count ? &run->history[run->history_count - 1] : NULL;
    member_code(w, last ? last->exit_code : -1, last ? last->status_code : -1);
}

static void write_result_error(struct json_writer *w, const struct open_run *run)
{
    member_text(w, "error", run->history_count ? run->history[run->history_count - 1].error : "");
}

static void write_output(struct json_writer *w, const struct run_end *end, struct buffer *scratch)
{
    size_t kept = end->output_head.size + end->output_tail.size;
    buffer_clear(scratch);
    buffer_append(scratch, end->output_head.data, end->output_head.size);
    if (end->output_truncated)
        buffer_appendf(scratch, "\n... %" PRIu64 " bytes left out ...\n",
                       end->output_bytes > kept ? end->output_bytes - kept : 0);
    buffer_append(scratch, end->output_tail.data, end->output_tail.size);
    if (scratch->failed && !w->out->failed)
        w->out->failed = scratch->failed;
    json_key(w, "output");
    json_string_bytes(w, scratch->data, scratch->size);
    json_member_bool(w, "output_truncated", end->output_truncated);
    json_key(w, "output_bytes");
    json_int(w, (int64_t)(end->output_bytes > INT64_MAX ? INT64_MAX : end->output_bytes));
}

void execution_json(const struct open_run *run, const struct run_end *end, struct buffer *scratch, struct buffer *out)
{
    struct json_writer w = json_writer_on(out);
    json_object_begin(&w);
    write_identity(&w, run, end->status, end->reason);
    json_member_time(&w, "completed_at", end->completed_ms);
    if (end->duration_ms >= 0)
        json_member_int(&w, "duration_ms", end->duration_ms);
    else
        json_member_null(&w, "duration_ms");
    write_attempts(&w, run, false);
    write_result_code(&w, run);
    write_output(&w, end, scratch);
    write_result_error(&w, run);
    json_object_end(&w);
}

void open_run_json(const struct open_run *run, struct buffer *out)
{
    struct json_writer w = json_writer_on(out);
    json_object_begin(&w);
    write_identity(&w, run, run->phase == PHASE_RUNNING ? RUN_RUNNING : RUN_PENDING, run->reason);
    json_member_null(&w, "completed_at");
    json_member_null(&w, "duration_ms");
    if (run->phase == PHASE_BACKOFF)
        json_member_time(&w, "next_attempt_at", run->next_attempt_ms);
    write_attempts(&w, run, attempt_is_open(run));
    write_result_code(&w, run);
    json_member_null(&w, "output");
    json_member_bool(&w, "output_truncated", false);
    json_member_null(&w, "output_bytes");
    write_result_error(&w, run);
    json_object_end(&w);
}
