/* What a change is answered with: the job as this change left it. By the time of the answer the state may be ahead of it, for a batch
 * is applied as a whole, or behind it, on a node that learned from the leader what came of it and cannot catch up. */
#include "api/edits.h"

#include <stdio.h>

enum { HEADERS_SIZE = 192 };

/* The change was made: neither a 503 nor a 404 may say that it was not. */
static void fail_after_commit(struct operation *operation, struct error *err)
{
    err->code = STATUS_INTERNAL;
    (void)error_wrap(err, "the change was made, but cannot be shown"); /* answered on the next line */
    edit_fail(operation, err);
}

void edit_keep_written(struct edit *edit, struct bytes document, bool enabled, int64_t created_ms)
{
    buffer_clear(&edit->written.document);
    buffer_append(&edit->written.document, document.data, document.size);
    edit->written.enabled = enabled;
    edit->written.created_ms = created_ms;
}

/* The job as it stands, or as it was written if that is another version, or it is gone. */
static enum status read_written(const struct edit *edit, struct state_view *view, struct job_row *ret, struct error *err)
{
    enum status status = state_get_job(view, &edit->job, ret, err);
    if (status == STATUS_OK && ret->version == edit->written.version)
        return STATUS_OK;
    if (status == STATUS_NOT_FOUND)
        *ret = (struct job_row){.created_ms = edit->written.created_ms};
    else if (status != STATUS_OK)
        return status;
    ret->version = edit->written.version;
    ret->enabled = edit->written.enabled;
    ret->updated_ms = edit->now_ms; /* the leader's stamp is known to the state alone */
    ret->document = buffer_bytes(&edit->written.document);
    return STATUS_OK;
}

/* *ret_version 0: the job is gone. */
static enum status write_job(struct operation *operation, struct state_view *view, struct buffer *body, uint32_t *ret_version,
                             struct error *err)
{
    const struct edit *edit = operation->data;
    struct job_row row;
    enum status status = edit->is_replay ? state_get_job(view, &edit->job, &row, err) : read_written(edit, view, &row, err);
    *ret_version = status == STATUS_OK ? row.version : 0;
    if (status == STATUS_OK)
        return job_write(operation->api, view, &edit->job, &row, body, err);
    if (status != STATUS_NOT_FOUND)
        return status;
    answer_write_id(JOB_ID_PREFIX, &edit->job, body);
    return STATUS_OK;
}

static void answer_job(struct operation *operation, int status_code)
{
    struct api *api = operation->api;
    struct edit *edit = operation->data;
    struct state_view view;
    uint32_t version = 0;
    struct buffer *body = api_scratch(api, JOB_TEXT_MAX);
    struct error err;
    char headers[HEADERS_SIZE], id[ID_TEXT_SIZE], etag[ETAG_HEADER_SIZE] = "";
    enum status status = state_view_begin(cluster_state(api->config.cluster), &view, &err);
    if (status == STATUS_OK) {
        status = write_job(operation, &view, body, &version, &err);
        state_view_end(&view);
    }
    if (status == STATUS_OK && body->failed != STATUS_OK)
        status = error_set(&err, body->failed, "it does not fit into memory");
    if (status != STATUS_OK) {
        fail_after_commit(operation, &err);
        return;
    }
    id_format(JOB_ID_PREFIX, &edit->job, id);
    if (version != 0)
        etag_header(version, etag);
    (void)snprintf(headers, sizeof headers, "%s%s%s%s%s", etag, status_code == 201 ? "Location: /api/v1/jobs/" : "",
                   status_code == 201 ? id : "", status_code == 201 ? "\r\n" : "", edit->is_replay ? idempotency_replayed : "");
    answer_json_copied(api, operation->token, status_code, body, headers);
    operation_end(operation);
}

/* The runs on all nodes, behind the fields of the first one. */
static void append_executions(const struct edit *edit, struct buffer *body)
{
    char id[ID_TEXT_SIZE];
    if (edit->execution_count == 0 || body->failed != STATUS_OK)
        return;
    body->size--; /* its closing brace */
    for (uint32_t i = 0; i < edit->execution_count; i++) {
        id_format(EXECUTION_ID_PREFIX, &edit->executions[i], id);
        buffer_appendf(body, "%s\"%s\"", i == 0 ? ",\"executions\":[" : ",", id);
    }
    buffer_append(body, "]}", 2);
}

static void answer_execution(struct operation *operation, int status_code)
{
    struct api *api = operation->api;
    struct edit *edit = operation->data;
    struct state_view view;
    struct buffer body;
    struct error err;
    char headers[HEADERS_SIZE], id[ID_TEXT_SIZE];
    buffer_init(&body, API_ANSWER_MAX);
    enum status status = state_view_begin(cluster_state(api->config.cluster), &view, &err);
    if (status == STATUS_OK) {
        status = execution_write(&view, &edit->execution, &body, &err);
        state_view_end(&view);
    }
    if (status == STATUS_OK)
        append_executions(edit, &body);
    if (status == STATUS_NOT_FOUND && edit->is_replay) {
        answer_write_id(EXECUTION_ID_PREFIX, &edit->execution, &body);
        status = STATUS_OK;
    }
    if (status == STATUS_OK && body.failed != STATUS_OK)
        status = error_set(&err, body.failed, "it does not fit into memory");
    if (status != STATUS_OK) {
        buffer_deinit(&body);
        fail_after_commit(operation, &err);
        return;
    }
    id_format(EXECUTION_ID_PREFIX, &edit->execution, id);
    (void)snprintf(headers, sizeof headers, "Location: /api/v1/executions/%s\r\n%s", id, edit->is_replay ? idempotency_replayed : "");
    answer_json(api, operation->token, status_code, &body, headers);
    operation_end(operation);
}

int edit_http_status(enum edit_kind kind)
{
    return kind == EDIT_CREATE ? 201 : kind == EDIT_TRIGGER ? 202 : kind == EDIT_DELETE ? 204 : 200;
}

void edit_answer_again(struct operation *operation, const struct id *resource, int http_status)
{
    struct edit *edit = operation->data;
    edit->is_replay = true;
    if (edit->kind == EDIT_TRIGGER) {
        edit->execution = *resource;
        answer_execution(operation, http_status);
    } else {
        edit->job = *resource;
        answer_job(operation, http_status);
    }
}

void edit_answer(struct operation *operation, uint32_t version)
{
    struct edit *edit = operation->data;
    edit->written.version = version;
    switch (edit->kind) {
    case EDIT_DELETE:
        answer_empty(operation->api, operation->token, edit_http_status(edit->kind), NULL);
        operation_end(operation);
        return;
    case EDIT_TRIGGER:
        answer_execution(operation, edit_http_status(edit->kind));
        return;
    default:
        answer_job(operation, edit_http_status(edit->kind));
    }
}
