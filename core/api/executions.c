/* One run: its record, its output, its cancellation. Lists are in executions_list.c. */
#include "api/api_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RUN_ANSWER_MAX = 1 << 20,
    OUTPUT_DEFAULT = 1 << 20,
    OUTPUT_MAX = 4 << 20, /* read on the loop, which serves everybody */
};

/* --- one --- */

static enum status parse_execution_id(struct bytes text, struct id *ret, struct error *err)
{
    if (id_parse(EXECUTION_ID_PREFIX, text.data, text.size, ret))
        return STATUS_OK;
    return error_set(err, STATUS_NOT_FOUND, "\"%.*s\" is not the id of an execution: " EXECUTION_ID_PREFIX "... and 26 digits",
                     (int)(text.size < 64 ? text.size : 64), (const char *)text.data);
}

/* The execution is the last parameter of both "/executions/:execution" and "/jobs/:job/executions/:execution". */
static struct bytes execution_param(const struct route_match *match)
{
    return match->params[match->param_count - 1];
}

/* Under "/jobs/:job" stand the runs of that job alone. */
static enum status check_owner(struct state_view *view, const struct route_match *match, const struct id *execution,
                               struct error *err)
{
    static struct open_run open;
    struct execution_row ended;
    struct job_row job;
    struct id id;
    uint64_t serial = 0;
    if (match->param_count < 2)
        return STATUS_OK;
    enum status status = job_lookup(view, match->params[0], &id, err);
    if (status == STATUS_OK)
        status = state_get_job(view, &id, &job, err);
    if (status != STATUS_OK)
        return status;
    uint64_t owner = job.serial;
    status = state_get_open(view, execution, &open, err);
    if (status == STATUS_OK)
        serial = open.serial;
    else if (status == STATUS_NOT_FOUND) {
        status = state_get_execution(view, execution, &ended, err);
        serial = status == STATUS_OK ? ended.serial : 0;
    }
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        return status;
    return serial == owner ? STATUS_OK
                           : error_set(err, STATUS_NOT_FOUND, "no such execution of this job; it may have left by retention");
}

enum status execution_write(struct state_view *view, const struct id *execution, struct buffer *out, struct error *err)
{
    static _Thread_local struct open_run open;
    struct execution_row row;
    char text[ID_TEXT_SIZE];
    enum status status = state_get_open(view, execution, &open, err);
    if (status == STATUS_OK)
        open_run_json(&open, out);
    if (status != STATUS_NOT_FOUND)
        return status;
    status = state_get_execution(view, execution, &row, err);
    if (status == STATUS_OK)
        buffer_append(out, row.json.data, row.json.size);
    if (status != STATUS_NOT_FOUND)
        return status;
    id_format(EXECUTION_ID_PREFIX, execution, text);
    return error_set(err, STATUS_NOT_FOUND, "no execution %s; it may have left by retention", text);
}

API_HANDLER(handle_execution_get)
{
    static const char *const known[] = {"consistent", NULL};
    struct api *api = arg;
    struct id execution;
    struct state_view view;
    struct buffer body;
    struct error err;
    buffer_init(&body, RUN_ANSWER_MAX);
    enum status status = query_check(request, known, &err);
    if (status == STATUS_OK)
        status = parse_execution_id(execution_param(match), &execution, &err);
    if (status == STATUS_OK)
        status = state_view_begin(cluster_state(api->config.cluster), &view, &err);
    if (status == STATUS_OK) {
        status = check_owner(&view, match, &execution, &err);
        if (status == STATUS_OK)
            status = execution_write(&view, &execution, &body, &err);
        state_view_end(&view);
    }
    if (status == STATUS_OK) {
        answer_json(api, request->token, 200, &body, NULL);
        return;
    }
    buffer_deinit(&body);
    answer_error(api, request->token, request->request_id, &err);
}

/* --- output --- */

/* What is known of a run whose output is asked for. */
struct output_source {
    struct id execution;
    uint32_t attempt; /* the newest, unless the query names one */
    bool open;
    struct buffer json; /* of a finished run: its own output stands in it */
};

static enum status find_source(struct api *api, const struct route_match *match, const struct id *execution,
                               struct output_source *ret, struct error *err)
{
    static struct open_run open;
    struct state_view view;
    struct execution_row row;
    enum status status = state_view_begin(cluster_state(api->config.cluster), &view, err);
    if (status != STATUS_OK)
        return status;
    ret->execution = *execution;
    status = check_owner(&view, match, execution, err);
    if (status != STATUS_OK) {
        state_view_end(&view);
        return status;
    }
    status = state_get_open(&view, execution, &open, err);
    if (status == STATUS_OK) {
        ret->open = true;
        ret->attempt = open.attempt;
    } else if (status == STATUS_NOT_FOUND) {
        status = state_get_execution(&view, execution, &row, err);
        if (status == STATUS_OK)
            buffer_append(&ret->json, row.json.data, row.json.size);
    }
    state_view_end(&view);
    return status == STATUS_NOT_FOUND ? error_set(err, STATUS_NOT_FOUND, "no such execution; it may have left by retention")
                                      : status;
}

/* The newest attempt's number and the replicated output of a finished run. */
static void read_finished(struct output_source *source, struct buffer *out, bool wants_output)
{
    cJSON *json = cJSON_ParseWithLength(source->json.data, source->json.size);
    const cJSON *attempts = cJSON_GetObjectItemCaseSensitive(json, "attempts");
    const cJSON *last = cJSON_GetArrayItem(attempts, cJSON_GetArraySize(attempts) - 1);
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(last, "attempt");
    const cJSON *output = cJSON_GetObjectItemCaseSensitive(json, "output");
    bool newest = cJSON_IsNumber(number) && (source->attempt == 0 || source->attempt == (uint32_t)number->valuedouble);
    if (source->attempt == 0 && cJSON_IsNumber(number))
        source->attempt = (uint32_t)number->valuedouble;
    if (wants_output && newest && cJSON_IsString(output)) /* the record carries the newest attempt's */
        buffer_append_string(out, output->valuestring);
    cJSON_Delete(json);
}

struct output_range {
    int64_t offset, limit;
};

static enum status parse_range(const struct http_request *request, struct output_range *ret, int64_t *ret_attempt,
                               struct error *err)
{
    static const char *const known[] = {"attempt", "offset", "limit", "consistent", NULL};
    enum status status = query_check(request, known, err);
    *ret = (struct output_range){.limit = OUTPUT_DEFAULT};
    *ret_attempt = 0;
    if (status == STATUS_OK)
        (void)query_int(request, "attempt", 1, UINT32_MAX, ret_attempt, &status, err);
    if (status == STATUS_OK)
        (void)query_int(request, "offset", 0, INT64_MAX, &ret->offset, &status, err);
    if (status == STATUS_OK)
        (void)query_int(request, "limit", 1, OUTPUT_MAX, &ret->limit, &status, err);
    return status;
}

static void cut_range(struct buffer *out, const struct output_range *range)
{
    buffer_consume(out, (uint64_t)range->offset < out->size ? (size_t)range->offset : out->size);
    if (out->size > (uint64_t)range->limit)
        out->size = (size_t)range->limit;
}

static enum status read_output(struct api *api, struct output_source *source, const struct output_range *range,
                               struct buffer *out, uint64_t *ret_total, bool *ret_done, struct error *err)
{
    if (!source->open)
        read_finished(source, out, false);
    enum status status = STATUS_NOT_FOUND;
    *ret_done = !source->open;
    *ret_total = 0;
    if (source->attempt > 0)
        status = runner_output(api->config.runner, &source->execution, source->attempt, (uint64_t)range->offset,
                               (size_t)range->limit, out, ret_total, ret_done, err);
    if (status != STATUS_NOT_FOUND)
        return status;
    /* Not kept here: the whole of a short output, the head and tail of a long one, are in the record itself. */
    if (!source->open) {
        read_finished(source, out, true);
        *ret_total = out->size;
        cut_range(out, range);
    }
    *ret_done = !source->open;
    return STATUS_OK;
}

static void answer_output(struct api *api, const struct http_request *request, struct buffer *out, uint64_t total, bool done)
{
    char headers[256];
    (void)snprintf(headers, sizeof headers,
                   "X-Chronos-Output-Total: %llu\r\nX-Chronos-Output-Complete: %s\r\n"
                   "Content-Security-Policy: sandbox\r\nX-Content-Type-Options: nosniff\r\n",
                   (unsigned long long)total, done ? "true" : "false");
    bool is_text = out->size == 0 ||
                   (utf8_valid(out->data, out->size, NULL) && memchr(out->data, '\0', out->size) == NULL);
    answer_bytes(api, request->token, 200, is_text ? "text/plain; charset=utf-8" : "application/octet-stream", out, headers);
}

API_HANDLER(handle_execution_output)
{
    struct api *api = arg;
    struct output_source source = {.attempt = 0};
    struct output_range range;
    struct buffer out;
    struct error err;
    struct id execution;
    int64_t attempt;
    uint64_t total = 0;
    bool done = true;
    buffer_init(&source.json, RUN_ANSWER_MAX);
    buffer_init(&out, API_ANSWER_MAX);
    enum status status = parse_range(request, &range, &attempt, &err);
    if (status == STATUS_OK)
        status = parse_execution_id(execution_param(match), &execution, &err);
    if (status == STATUS_OK)
        status = find_source(api, match, &execution, &source, &err);
    if (status == STATUS_OK) {
        if (attempt > 0)
            source.attempt = (uint32_t)attempt;
        status = read_output(api, &source, &range, &out, &total, &done, &err);
    }
    if (status == STATUS_OK)
        answer_output(api, request, &out, total, done);
    else
        answer_error(api, request->token, request->request_id, &err);
    buffer_deinit(&out);
    buffer_deinit(&source.json);
}

/* --- cancel --- */

/* It is committed: no answer may say that it has not happened, as every 503 does. */
static void answer_cancelled(struct operation *operation)
{
    struct api *api = operation->api;
    const struct id *execution = operation->data;
    struct state_view view;
    struct buffer body;
    struct error err;
    buffer_init(&body, RUN_ANSWER_MAX);
    enum status status = state_view_begin(cluster_state(api->config.cluster), &view, &err);
    if (status == STATUS_OK) {
        status = execution_write(&view, execution, &body, &err);
        state_view_end(&view);
    }
    if (status == STATUS_OK && body.failed != STATUS_OK)
        status = error_set(&err, body.failed, "it does not fit into memory");
    if (status == STATUS_OK) {
        answer_json(api, operation->token, 202, &body, NULL);
    } else {
        err.code = STATUS_INTERNAL;
        (void)error_wrap(&err, "the execution was cancelled, but cannot be shown"); /* answered on the next line */
        answer_error(api, operation->token, operation->request_id, &err);
    }
    buffer_deinit(&body);
    operation_end(operation);
}

static void on_cancelled(struct operation *operation, const struct cluster_outcome *outcome)
{
    const char *what = outcome->result.status == STATUS_CONFLICT
                           ? "the execution has ended already"
                           : "no such execution; it may have left by retention";
    if (!operation_failed(operation, outcome, what))
        answer_cancelled(operation);
}

/* Apply decides whether there is something to cancel; which job it is of, it does not know. */
static enum status check_cancel(struct api *api, const struct route_match *match, const struct id *execution,
                                struct error *err)
{
    struct state_view view;
    enum status status = state_view_begin(cluster_state(api->config.cluster), &view, err);
    if (status != STATUS_OK)
        return status;
    status = check_owner(&view, match, execution, err);
    state_view_end(&view);
    return status;
}

API_HANDLER(handle_execution_cancel)
{
    struct api *api = arg;
    struct error err;
    struct buffer command;
    struct id *execution = malloc(sizeof *execution);
    enum status status = execution == NULL ? error_set(&err, STATUS_NO_MEMORY, "out of memory")
                                           : parse_execution_id(execution_param(match), execution, &err);
    if (status == STATUS_OK)
        status = check_cancel(api, match, execution, &err);
    if (status != STATUS_OK) {
        free(execution);
        answer_error(api, request->token, request->request_id, &err);
        return;
    }
    struct operation *operation = operation_begin(api, request, on_cancelled, execution, free);
    if (operation == NULL)
        return;
    buffer_init(&command, ENTRY_SIZE_MAX);
    cancel_encode(&(struct cancel_run){.execution = *execution, .reason = REASON_USER}, 1, &command);
    operation_propose(operation, PROPOSE_REPORT, buffer_bytes(&command)); /* must get through on a full disk too */
    buffer_deinit(&command);
}
