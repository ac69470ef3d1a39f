/* What changes a job: create, put, patch, delete, enable, disable, trigger.
 *
 * Each is one compare-and-set command. It is built from the job as it stands now; when something came in between, be it
 * another edit or a decision of the scheduler, it is built anew from what stands then. An edit that moves the
 * mark carries the slots that the old version still owed. */
#include "api/edits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DETAIL_SIZE = 640 };

static void discard(void *data)
{
    struct edit *edit = data;
    cJSON_Delete(edit->body);
    buffer_deinit(&edit->text);
    buffer_deinit(&edit->overrides);
    buffer_deinit(&edit->written.document);
    free(edit);
}

/* --- answers --- */

void edit_fail(struct operation *operation, const struct error *err)
{
    answer_error(operation->api, operation->token, operation->request_id, err);
    operation_end(operation);
}

void edit_fail_document(struct operation *operation, enum status code, const struct field_errors *errors)
{
    char detail[DETAIL_SIZE];
    const char *field = errors->items[0].field;
    int at = snprintf(detail, sizeof detail, "%s%s%s", field[0] == '/' ? field + 1 : field,
                      field[0] != '\0' ? ": " : "", errors->items[0].message);
    if (errors->count > 1 && at >= 0 && (size_t)at < sizeof detail)
        (void)snprintf(detail + at, sizeof detail - (size_t)at, "; and %u more", errors->count - 1);
    answer_problem(operation->api, operation->token, operation->request_id, code, detail, errors);
    operation_end(operation);
}

/* False: it can be refused. */
static bool confirm(struct operation *operation, enum status code)
{
    struct edit *edit = operation->data;
    if (operation->is_confirmed || status_http(code) >= 500)
        return false;
    cJSON_Delete(edit->body); /* what waits holds no tree; the text is read again */
    edit->body = NULL;
    operation_confirm(operation, edit_attempt);
    return true;
}

void edit_refuse(struct operation *operation, const struct error *err)
{
    if (!confirm(operation, err->code))
        edit_fail(operation, err);
}

void edit_refuse_document(struct operation *operation, enum status code, const struct field_errors *errors)
{
    if (!confirm(operation, code))
        edit_fail_document(operation, code, errors);
}

/* --- trying, and trying again --- */

bool edit_may_retry(struct operation *operation)
{
    struct edit *edit = operation->data;
    struct error err;
    if (edit->tries++ < API_RETRIES_MAX)
        return true;
    (void)error_set(&err, STATUS_CONFLICT, "the job was changed by others each of the %d times that this was tried",
                    API_RETRIES_MAX); /* answered on the next line */
    edit_fail(operation, &err);
    return false;
}

/* --- the executor's own check --- */

bool edit_is_agreed(const struct edit *edit, const struct present *present)
{
    if (present == NULL)
        return edit->check.agreed;
    return edit->check.agreed && edit->check.version == present->row.version &&
           id_compare(&edit->check.job, &edit->job) == 0;
}

/* A new job is made from nothing that could be old; but the state may know that it was made already. */
void edit_refuse_new(struct operation *operation, enum status code, const struct field_errors *errors)
{
    const struct edit *edit = operation->data;
    if (edit->has_key)
        edit_refuse_document(operation, code, errors);
    else
        edit_fail_document(operation, code, errors);
}

static void fail_check(struct operation *operation, enum status status, const struct error *err)
{
    const struct edit *edit = operation->data;
    struct field_errors errors = {.count = 0};
    char pointer[ERROR_FIELD_SIZE + sizeof "/config/"];
    (void)snprintf(pointer, sizeof pointer, "/config%s%s", err->field[0] == '\0' || err->field[0] == '/' ? "" : "/",
                   err->field);
    field_errors_add(&errors, status == STATUS_NO_MEMORY ? "" : pointer, "%s",
                     status == STATUS_NO_MEMORY ? "out of memory" : err->message);
    enum status code = status == STATUS_NO_MEMORY ? status : STATUS_INVALID;
    if (edit->check.version != 0)
        edit_refuse_document(operation, code, &errors);
    else
        edit_refuse_new(operation, code, &errors);
}

static void on_checked(struct operation *operation, enum status status, const struct error *err)
{
    struct edit *edit = operation->data;
    edit->check.agreed = status == STATUS_OK;
    if (status == STATUS_OK)
        edit_attempt(operation);
    else
        fail_check(operation, status, err);
}

bool edit_ask(struct operation *operation, const struct present *present, const struct plugin_component *executor,
              struct plugin_params *params)
{
    struct edit *edit = operation->data;
    struct error err;
    bool again = edit->check.agreed; /* to what the job was before */
    edit->check.agreed = executor->ops.executor.validate == NULL;
    edit->check.version = present != NULL ? present->row.version : 0;
    edit->check.job = edit->job;
    if (edit->check.agreed)
        return true;
    const struct runner *runner = operation->api->config.runner;
    if (runner_validates_quickly(runner, executor->id)) {
        enum status status = runner_validate(runner, executor->id, params->items, params->count, edit->name, &err);
        edit->check.agreed = status == STATUS_OK;
        if (status == STATUS_OK)
            return true;
        fail_check(operation, status, &err); /* the edit is gone */
        return false;
    }
    if (again && !edit_may_retry(operation))
        return false;
    if (check_start(operation, executor->id, params, edit->name, on_checked, &err) != STATUS_OK) {
        edit_fail(operation, &err);
        return false;
    }
    cJSON_Delete(edit->body); /* as in confirm */
    edit->body = NULL;
    return false;
}

/* --- outcomes --- */

static void answer_refusal(struct operation *operation, const struct apply_result *result)
{
    const struct edit *edit = operation->data;
    struct error err;
    switch (result->status) {
    case STATUS_NAME_TAKEN:
        (void)error_set_field(&err, STATUS_NAME_TAKEN, "/name", "there is a job named \"%s\" already", edit->name);
        break;
    case STATUS_TOO_MANY:
        (void)error_set(&err, STATUS_TOO_MANY, "there are %d jobs already, which is the most there can be", JOBS_MAX);
        break;
    case STATUS_IDEMPOTENCY_KEY_REUSED:
    case STATUS_IDEMPOTENCY_KEYS_FULL:
        (void)idempotency_refused(result->status, &err); /* answered below */
        break;
    default:
        (void)error_set(&err, result->status, "the change was refused");
    }
    edit_fail(operation, &err);
}

/* From a state that holds what was in the way. A node that does not catch up would only meet it again. */
static void try_anew(struct operation *operation, uint64_t met_index)
{
    if (met_index > operation->api->applied_index)
        operation_confirm(operation, edit_attempt);
    else
        edit_attempt(operation);
}

static void on_outcome(struct operation *operation, const struct cluster_outcome *outcome)
{
    const struct edit *edit = operation->data;
    const struct apply_result *result = &outcome->result;
    if (outcome->status != STATUS_OK) {
        (void)operation_failed(operation, outcome, ""); /* true: it has answered */
        return;
    }
    /* Read anew, If-Match is held against the version that stands then; another job may have got the name. */
    bool raced = result->status == STATUS_STALE || result->status == STATUS_VERSION_MISMATCH ||
                 result->status == STATUS_NOT_FOUND ||
                 (result->status == STATUS_EXISTS && edit->kind != EDIT_TRIGGER);
    if (result->status == STATUS_OK && result->replayed_status != 0)
        edit_answer_again(operation, &result->id, result->replayed_status);
    else if (result->status == STATUS_OK)
        edit_answer(operation, result->version);
    else if (!raced)
        answer_refusal(operation, result);
    else if (edit_may_retry(operation))
        try_anew(operation, result->index);
}

void edit_propose(struct operation *operation, struct buffer *command)
{
    struct edit *edit = operation->data;
    struct error err;
    cJSON_Delete(edit->body);
    edit->body = NULL;
    if (edit->has_key)
        command_add_idempotency(command, &edit->key);
    enum status failed = command->failed != STATUS_OK ? command->failed : edit->written.document.failed;
    if (failed != STATUS_OK) {
        (void)error_set(&err, failed, "the change does not fit into memory");
        edit_fail(operation, &err);
        return;
    }
    operation_propose(operation, PROPOSE_CLIENT, buffer_bytes(command));
}

/* True: answered, for it was done before, or cannot be with this key. A state that lags lets it pass; then apply says so, or the
 * confirmation of a refusal. */
static bool was_done(struct operation *operation)
{
    const struct edit *edit = operation->data;
    struct idempotency_row row;
    struct state_view view;
    struct error err;
    if (!edit->has_key)
        return false;
    enum status status = state_view_begin(cluster_state(operation->api->config.cluster), &view, &err);
    if (status == STATUS_OK) {
        status = idempotency_find(&view, &edit->key, &row, &err);
        state_view_end(&view);
    }
    if (status == STATUS_OK)
        edit_answer_again(operation, &row.resource, row.http_status);
    else if (status != STATUS_NOT_FOUND)
        edit_fail(operation, &err);
    return status != STATUS_NOT_FOUND;
}

void edit_attempt(struct operation *operation)
{
    struct edit *edit = operation->data;
    struct error err;
    if (was_done(operation))
        return;
    if (edit->body == NULL && edit->text.size > 0 &&
        json_parse(edit->text.data, edit->text.size, &edit->body, &err) != STATUS_OK) {
        edit_fail(operation, &err);
        return;
    }
    edit->now_ms = cluster_wall_ms(operation->api->config.cluster);
    switch (edit->kind) {
    case EDIT_CREATE:
        edit_attempt_create(operation);
        return;
    case EDIT_PUT:
    case EDIT_PATCH:
        edit_attempt_put(operation);
        return;
    case EDIT_DELETE:
        edit_attempt_delete(operation);
        return;
    case EDIT_ENABLE:
    case EDIT_DISABLE:
        edit_attempt_enable(operation);
        return;
    case EDIT_TRIGGER:
        edit_attempt_trigger(operation);
        return;
    }
}

/* --- from the request --- */

static enum status read_queries(const struct http_request *request, struct edit *edit, struct error *err)
{
    static const char *const with_document[] = {"dry_run", NULL}, *const with_delete[] = {"cancel", NULL},
                             *const others[] = {NULL};
    bool has_document = edit->kind == EDIT_CREATE || edit->kind == EDIT_PUT || edit->kind == EDIT_PATCH;
    const char *const *known = has_document ? with_document : edit->kind == EDIT_DELETE ? with_delete : others;
    enum status status = query_check(request, known, err);
    if (status == STATUS_OK)
        (void)query_bool(request, "dry_run", &edit->dry_run, &status, err);
    if (status == STATUS_OK)
        (void)query_bool(request, "cancel", &edit->cancel, &status, err);
    return status;
}

static enum status read_if_match(const struct http_request *request, struct edit *edit, struct error *err)
{
    struct bytes value = http_header_get(request, "If-Match");
    bool ignored;
    if (value.data == NULL)
        return STATUS_OK;
    if (value.size >= sizeof edit->if_match)
        return error_set(err, STATUS_MALFORMED, "If-Match is longer than %zu bytes", sizeof edit->if_match - 1);
    memcpy(edit->if_match, value.data, value.size);
    edit->if_match[value.size] = '\0';
    return etag_matches(value, false, 0, &ignored, err); /* its form, whatever the job's version */
}

static enum status read_body(const struct http_request *request, struct edit *edit, struct error *err)
{
    bool has_document = edit->kind == EDIT_CREATE || edit->kind == EDIT_PUT || edit->kind == EDIT_PATCH;
    if (request->body.size == 0)
        return has_document ? error_set(err, STATUS_MALFORMED, "send the job as a JSON object") : STATUS_OK;
    enum status status = json_parse(request->body.data, request->body.size, &edit->body, err);
    if (status != STATUS_OK)
        return status;
    if (!cJSON_IsObject(edit->body))
        return error_set(err, STATUS_MALFORMED, "the body must be a JSON object");
    if (!has_document && edit->kind != EDIT_TRIGGER && edit->body->child != NULL)
        return error_set(err, STATUS_MALFORMED, "this request takes no fields; leave the body out");
    buffer_append(&edit->text, request->body.data, request->body.size);
    return edit->text.failed == STATUS_OK ? STATUS_OK : error_set(err, edit->text.failed, "out of memory");
}

static enum status read_target(const struct route_match *match, struct edit *edit, struct error *err)
{
    if (edit->kind == EDIT_CREATE)
        return STATUS_OK;
    struct bytes text = match->params[0];
    if (text.size == 0 || text.size >= sizeof edit->job_text)
        return error_set(err, STATUS_NOT_FOUND, "there is no job of this name: a name has 1 to %d bytes", JOB_NAME_MAX);
    memcpy(edit->job_text, text.data, text.size);
    edit->job_text[text.size] = '\0';
    return STATUS_OK;
}

static void begin_edit(struct api *api, const struct http_request *request, const struct route_match *match,
                       enum edit_kind kind)
{
    struct error err;
    struct edit *edit = calloc(1, sizeof *edit);
    if (edit == NULL) {
        answer_problem(api, request->token, request->request_id, STATUS_NO_MEMORY, "", NULL);
        return;
    }
    edit->kind = kind;
    buffer_init(&edit->text, (size_t)api->config.config->server.max_body_bytes);
    buffer_init(&edit->overrides, JOB_DOCUMENT_MAX);
    buffer_init(&edit->written.document, JOB_DOCUMENT_MAX);
    enum status status = read_target(match, edit, &err);
    if (status == STATUS_OK)
        status = read_queries(request, edit, &err);
    if (status == STATUS_OK)
        status = read_if_match(request, edit, &err);
    if (status == STATUS_OK)
        status = read_body(request, edit, &err);
    if (status == STATUS_OK && kind == EDIT_TRIGGER)
        status = edit_read_trigger(edit, &err);
    if (status == STATUS_OK && request->method == METHOD_POST && !edit->dry_run)
        status = idempotency_read(api, request, edit_http_status(kind), &edit->key, &edit->has_key, &err);
    if (status != STATUS_OK) {
        answer_error(api, request->token, request->request_id, &err);
        discard(edit);
        return;
    }
    struct operation *operation = operation_begin(api, request, on_outcome, edit, discard);
    if (operation != NULL && (!edit->has_key || idempotency_hold(operation, &edit->key)))
        edit_attempt(operation);
}

API_HANDLER(handle_job_create)
{
    begin_edit(arg, request, match, EDIT_CREATE);
}

API_HANDLER(handle_job_put)
{
    begin_edit(arg, request, match, EDIT_PUT);
}

API_HANDLER(handle_job_patch)
{
    begin_edit(arg, request, match, EDIT_PATCH);
}

API_HANDLER(handle_job_delete)
{
    begin_edit(arg, request, match, EDIT_DELETE);
}

API_HANDLER(handle_job_enable)
{
    begin_edit(arg, request, match, EDIT_ENABLE);
}

API_HANDLER(handle_job_disable)
{
    begin_edit(arg, request, match, EDIT_DISABLE);
}

API_HANDLER(handle_job_trigger)
{
    begin_edit(arg, request, match, EDIT_TRIGGER);
}
