/* A run that a user wants to end. */
#include "api/idempotency.h"

#include <stdlib.h>

enum { CANCEL_ANSWER_MAX = 1 << 20, CANCEL_HTTP_STATUS = 202 };

struct cancel {
    struct id execution;
    bool has_key;
    struct idempotency key;
};

/* It is committed: no answer may say that it has not happened, as every 503 does. */
static void answer_cancelled(struct operation *operation, int http_status, bool is_replay)
{
    struct api *api = operation->api;
    const struct cancel *cancel = operation->data;
    struct state_view view;
    struct buffer body;
    struct error err;
    buffer_init(&body, CANCEL_ANSWER_MAX);
    enum status status = state_view_begin(cluster_state(api->config.cluster), &view, &err);
    if (status == STATUS_OK) {
        status = execution_write(&view, &cancel->execution, &body, &err);
        state_view_end(&view);
    }
    if (status == STATUS_NOT_FOUND && is_replay) {
        answer_write_id(EXECUTION_ID_PREFIX, &cancel->execution, &body); /* it has left by retention since */
        status = STATUS_OK;
    }
    if (status == STATUS_OK && body.failed != STATUS_OK)
        status = error_set(&err, body.failed, "it does not fit into memory");
    if (status == STATUS_OK) {
        answer_json(api, operation->token, http_status, &body, is_replay ? idempotency_replayed : NULL);
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
    const struct apply_result *result = &outcome->result;
    struct error err = {.message = "no such execution; it may have left by retention"};
    if (result->status == STATUS_CONFLICT)
        (void)error_set(&err, STATUS_CONFLICT, "the execution has ended already"); /* operation_failed answers it */
    else if (result->status == STATUS_IDEMPOTENCY_KEY_REUSED || result->status == STATUS_IDEMPOTENCY_KEYS_FULL)
        (void)idempotency_refused(result->status, &err); /* likewise */
    if (operation_failed(operation, outcome, err.message))
        return;
    bool is_replay = result->replayed_status != 0;
    answer_cancelled(operation, is_replay ? result->replayed_status : CANCEL_HTTP_STATUS, is_replay);
}

/* Which job the execution is of, apply does not know. What was done before stands, whatever has become of them since. *ret_http_status
 * 0: it is to be done. STALE: the request comes again. */
static enum status look(struct api *api, const struct http_request *request, const struct route_match *match,
                        const struct cancel *cancel, int *ret_http_status, struct error *err)
{
    struct idempotency_row row;
    struct state_view view;
    *ret_http_status = 0;
    enum status status = state_view_begin(cluster_state(api->config.cluster), &view, err);
    if (status != STATUS_OK)
        return status;
    enum status found = cancel->has_key ? idempotency_find(&view, &cancel->key, &row, err) : STATUS_NOT_FOUND;
    if (found == STATUS_OK)
        *ret_http_status = row.http_status;
    status = found == STATUS_NOT_FOUND ? execution_check_owner(&view, match, &cancel->execution, err) : found;
    state_view_end(&view);
    return status == STATUS_NOT_FOUND && api_confirm(api, request) ? STATUS_STALE : status;
}

static void propose(struct operation *operation)
{
    struct cancel *cancel = operation->data;
    struct buffer *command = api_scratch(operation->api, ENTRY_SIZE_MAX);
    struct error err;
    cancel_encode(&(struct cancel_run){.execution = cancel->execution, .reason = REASON_USER}, 1, command);
    if (cancel->has_key)
        command_add_idempotency(command, &cancel->key);
    if (command->failed != STATUS_OK) {
        (void)error_set(&err, command->failed, "out of memory"); /* answered on the next line */
        operation_refuse(operation, &err);
        return;
    }
    operation_propose(operation, PROPOSE_REPORT, buffer_bytes(command)); /* must get through on a full disk too */
}

static enum status read_request(struct api *api, const struct http_request *request, const struct route_match *match,
                                struct cancel *cancel, struct error *err)
{
    enum status status = execution_parse(match, &cancel->execution, err);
    return status == STATUS_OK ? idempotency_read(api, request, CANCEL_HTTP_STATUS, &cancel->key, &cancel->has_key, err) : status;
}

API_HANDLER(handle_execution_cancel)
{
    struct api *api = arg;
    struct error err;
    int http_status = 0;
    struct cancel *cancel = calloc(1, sizeof *cancel);
    enum status status = cancel == NULL ? error_set(&err, STATUS_NO_MEMORY, "out of memory")
                                        : read_request(api, request, match, cancel, &err);
    if (status == STATUS_OK)
        status = look(api, request, match, cancel, &http_status, &err);
    if (status != STATUS_OK) {
        free(cancel);
        if (status != STATUS_STALE)
            answer_error(api, request->token, request->request_id, &err);
        return;
    }
    struct operation *operation = operation_begin(api, request, on_cancelled, cancel, free);
    if (operation == NULL)
        return;
    if (http_status != 0)
        answer_cancelled(operation, http_status, true);
    else if (!cancel->has_key || idempotency_hold(operation, &cancel->key))
        propose(operation);
}
