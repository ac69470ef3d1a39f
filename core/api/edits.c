/* What changes a job: create, put, patch, delete, enable, disable, trigger.
 *
 * Each is one compare-and-set command. It is built from the job as it stands now; when something came in between - another
 * edit, a decision of the scheduler - it is built anew from what stands then, a few times at most. An edit that moves the
 * mark carries the slots that the old version still owed (design/semantics.md 3). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/job_document.h"
#include "api/job_fields.h"
#include "api/jobs.h"
#include "api/masks.h"
#include "run/params.h"

enum edit_kind { EDIT_CREATE, EDIT_PUT, EDIT_PATCH, EDIT_DELETE, EDIT_ENABLE, EDIT_DISABLE, EDIT_TRIGGER };

enum { IF_MATCH_SIZE = 256, DETAIL_SIZE = 640, HEADERS_SIZE = 160 };

struct edit {
    enum edit_kind kind;
    char job_text[JOB_REFERENCE_SIZE]; /* id or name, as in the path */
    char if_match[IF_MATCH_SIZE];      /* "": none */
    cJSON *body;                       /* NULL: none */
    bool dry_run, cancel, force;
    struct buffer overrides;           /* of a trigger; empty: none */
    uint32_t tries;
    struct id job, execution;
    char name[JOB_NAME_TEXT_SIZE];     /* that the job is to have */
    int64_t now_ms;
};

static void discard(void *data)
{
    struct edit *edit = data;
    cJSON_Delete(edit->body);
    buffer_deinit(&edit->overrides);
    free(edit);
}

/* The job that an edit starts from. The schedules in `spec` are borrowed from the view: nothing more is read from it. */
struct present {
    struct state_view view;
    struct job_row row;     /* without its document */
    struct job_spec spec;
    cJSON *document;
};

/* --- answers --- */

static void fail(struct operation *operation, const struct error *err)
{
    answer_error(operation->api, operation->token, operation->request_id, err);
    operation_end(operation);
}

static void fail_document(struct operation *operation, enum status code, const struct field_errors *errors)
{
    char detail[DETAIL_SIZE];
    const char *field = errors->items[0].field;
    int at = snprintf(detail, sizeof detail, "%s%s%s", field[0] == '/' ? field + 1 : field, field[0] != '\0' ? ": " : "",
                      errors->items[0].message);
    if (errors->count > 1 && at >= 0 && (size_t)at < sizeof detail)
        (void)snprintf(detail + at, sizeof detail - (size_t)at, "; and %u more", errors->count - 1);
    answer_problem(operation->api, operation->token, operation->request_id, code, detail, errors);
    operation_end(operation);
}

static void answer_job(struct operation *operation, int status_code)
{
    struct api *api = operation->api;
    struct edit *edit = operation->data;
    struct state_view view;
    struct job_row row;
    struct buffer body;
    struct error err;
    char headers[HEADERS_SIZE], id[ID_TEXT_SIZE], etag[ETAG_HEADER_SIZE];
    buffer_init(&body, JOB_TEXT_MAX);
    enum status status = state_view_begin(cluster_state(api->config.cluster), &view, &err);
    if (status == STATUS_OK) {
        status = state_get_job(&view, &edit->job, &row, &err);
        if (status == STATUS_NOT_FOUND)
            (void)error_set(&err, status, "the job was deleted right after this change"); /* answered below */
        if (status == STATUS_OK)
            status = job_write(api, &view, &edit->job, &row, &body, &err);
        state_view_end(&view);
    }
    if (status != STATUS_OK) {
        buffer_deinit(&body);
        fail(operation, &err);
        return;
    }
    id_format(JOB_ID_PREFIX, &edit->job, id);
    etag_header(row.version, etag);
    (void)snprintf(headers, sizeof headers, "%s%s%s%s", etag, status_code == 201 ? "Location: /api/v1/jobs/" : "",
                   status_code == 201 ? id : "", status_code == 201 ? "\r\n" : "");
    answer_json(api, operation->token, status_code, &body, headers);
    operation_end(operation);
}

static void answer_execution(struct operation *operation)
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
    if (status != STATUS_OK) {
        buffer_deinit(&body);
        fail(operation, &err);
        return;
    }
    id_format(EXECUTION_ID_PREFIX, &edit->execution, id);
    (void)snprintf(headers, sizeof headers, "Location: /api/v1/executions/%s\r\n", id);
    answer_json(api, operation->token, 202, &body, headers);
    operation_end(operation);
}

/* The document as it would be stored, with secrets masked: nothing was changed. */
static void answer_dry_run(struct operation *operation, const struct job_document *job)
{
    struct buffer body;
    bool masked = masks_apply(operation->api->masks, job->json);
    buffer_init(&body, JOB_TEXT_MAX);
    if (masked && cJSON_AddBoolToObject(job->json, "enabled", job->spec.enabled) != NULL) {
        json_print(&body, job->json);
        answer_json(operation->api, operation->token, 200, &body, NULL);
    } else {
        answer_problem(operation->api, operation->token, operation->request_id, STATUS_NO_MEMORY, "", NULL);
    }
    operation_end(operation);
}

/* --- trying, and trying again --- */

static void attempt(struct operation *operation);

static bool may_retry(struct operation *operation)
{
    struct edit *edit = operation->data;
    struct error err;
    if (edit->tries++ < API_RETRIES_MAX)
        return true;
    (void)error_set(&err, STATUS_CONFLICT, "the job was changed again and again while this was tried %d times; try again",
                    API_RETRIES_MAX); /* answered on the next line */
    fail(operation, &err);
    return false;
}

static void answer_refusal(struct operation *operation, const struct apply_result *result)
{
    const struct edit *edit = operation->data;
    struct error err;
    switch (result->status) {
    case STATUS_NOT_FOUND:
        (void)error_set(&err, STATUS_NOT_FOUND, "the job \"%s\" was deleted meanwhile", edit->job_text);
        break;
    case STATUS_NAME_TAKEN:
        (void)error_set_field(&err, STATUS_NAME_TAKEN, "/name", "there is a job named \"%s\" already", edit->name);
        break;
    case STATUS_VERSION_MISMATCH:
        (void)error_set(&err, STATUS_VERSION_MISMATCH, "the job is at version %u now; read it again and repeat the change",
                        result->version);
        break;
    case STATUS_TOO_MANY:
        (void)error_set(&err, STATUS_TOO_MANY, "there are %d jobs already, which is the most there can be", JOBS_MAX);
        break;
    default:
        (void)error_set(&err, result->status, "the change was refused");
    }
    fail(operation, &err);
}

static void answer_done(struct operation *operation)
{
    const struct edit *edit = operation->data;
    switch (edit->kind) {
    case EDIT_CREATE:
        answer_job(operation, 201);
        return;
    case EDIT_DELETE:
        answer_empty(operation->api, operation->token, 204, NULL);
        operation_end(operation);
        return;
    case EDIT_TRIGGER:
        answer_execution(operation);
        return;
    default:
        answer_job(operation, 200);
    }
}

static void on_outcome(struct operation *operation, const struct cluster_outcome *outcome)
{
    const struct edit *edit = operation->data;
    const struct apply_result *result = &outcome->result;
    if (outcome->status != STATUS_OK) {
        (void)operation_failed(operation, outcome, ""); /* true: it has answered */
        return;
    }
    bool raced = result->status == STATUS_STALE ||
                 (result->status == STATUS_VERSION_MISMATCH && edit->if_match[0] == '\0') ||
                 (result->status == STATUS_EXISTS && edit->kind != EDIT_TRIGGER);
    if (result->status == STATUS_OK)
        answer_done(operation);
    else if (!raced)
        answer_refusal(operation, result);
    else if (may_retry(operation))
        attempt(operation);
}

static void propose(struct operation *operation, struct buffer *command)
{
    struct error err;
    if (command->failed != STATUS_OK) {
        (void)error_set(&err, command->failed, "the change does not fit into memory");
        buffer_deinit(command);
        fail(operation, &err);
        return;
    }
    struct bytes bytes = buffer_bytes(command);
    operation_propose(operation, PROPOSE_CLIENT, bytes); /* copies the command */
    buffer_deinit(command);
}

/* --- the job as it stands --- */

static enum status check_if_match(const struct edit *edit, uint32_t version, struct error *err)
{
    bool matches = true;
    if (edit->if_match[0] == '\0')
        return STATUS_OK;
    enum status status =
        etag_matches((struct bytes){edit->if_match, strlen(edit->if_match)}, false, version, &matches, err);
    if (status == STATUS_OK && !matches)
        status = error_set(err, STATUS_VERSION_MISMATCH, "the job is at version %u, If-Match asks for %s; read it again",
                           version, edit->if_match);
    return status;
}

static enum status read_document(struct present *present, struct bytes text, struct error *err)
{
    enum status status = json_parse(text.data, text.size, &present->document, err);
    return status == STATUS_OK ? status : error_wrap(err, "the stored job");
}

static enum status read_rows(struct edit *edit, struct present *ret, struct error *err)
{
    enum status status = job_lookup(&ret->view, (struct bytes){edit->job_text, strlen(edit->job_text)}, &edit->job, err);
    if (status == STATUS_OK)
        status = state_get_job(&ret->view, &edit->job, &ret->row, err);
    if (status == STATUS_OK)
        status = check_if_match(edit, ret->row.version, err);
    if (status == STATUS_OK)
        status = read_document(ret, ret->row.document, err);
    if (status == STATUS_OK)
        status = state_get_spec(&ret->view, ret->row.serial, &ret->spec, err);
    return status;
}

static void present_deinit(struct present *present)
{
    cJSON_Delete(present->document);
    state_view_end(&present->view);
}

/* False: answered. */
static bool read_present(struct operation *operation, struct present *ret)
{
    struct error err;
    *ret = (struct present){.document = NULL};
    enum status status = state_view_begin(cluster_state(operation->api->config.cluster), &ret->view, &err);
    if (status != STATUS_OK) {
        fail(operation, &err);
        return false;
    }
    status = read_rows(operation->data, ret, &err);
    if (status == STATUS_OK)
        return true;
    present_deinit(ret);
    fail(operation, &err);
    return false;
}

/* What the old version owes up to now. False: answered, or to be called again. *ret_due NULL: nothing. */
static bool find_due(struct operation *operation, uint64_t serial, struct decision *decision,
                     const struct decision **ret_due)
{
    const struct edit *edit = operation->data;
    bool any = false;
    enum status status = scheduler_due(operation->api->config.scheduler, serial, edit->now_ms, decision, &any);
    *ret_due = any ? decision : NULL;
    if (status == STATUS_OK || status == STATUS_NOT_FOUND) /* not known to this scheduler: apply decides */
        return true;
    if (status == STATUS_BUSY) {
        if (may_retry(operation))
            operation_retry_later(operation, attempt);
        return false;
    }
    struct error err;
    (void)error_set(&err, status, "out of memory");
    fail(operation, &err);
    return false;
}

/* --- create, put, patch --- */

static struct job_defaults defaults_of(const struct operation *operation)
{
    const struct api_config *config = &operation->api->config;
    const struct edit *edit = operation->data;
    return (struct job_defaults){.config = config->config, .registry = config->registry, .runner = config->runner,
                                 .scheduler = config->scheduler, .now_ms = edit->now_ms};
}

/* `input` is taken (NULL: out of memory). False: answered. */
static bool parse_document(struct operation *operation, cJSON *input, const cJSON *stored, struct job_document *ret)
{
    struct job_defaults defaults = defaults_of(operation);
    struct field_errors errors = {.count = 0};
    struct edit *edit = operation->data;
    enum status code = STATUS_NO_MEMORY;
    if (input == NULL)
        field_errors_add(&errors, "", "out of memory");
    else if (job_document_parse(input, stored, &defaults, ret, &code, &errors)) {
        memcpy(edit->name, ret->spec.name, sizeof edit->name);
        return true;
    }
    fail_document(operation, code, &errors);
    return false;
}

/* A name that is taken would be found in apply; a dry run does not come so far. */
static bool check_name_free(struct operation *operation, const struct id *own)
{
    const struct edit *edit = operation->data;
    struct state_view view;
    struct error err;
    struct id other;
    enum status status = state_view_begin(cluster_state(operation->api->config.cluster), &view, &err);
    if (status == STATUS_OK) {
        status = state_find_job(&view, edit->name, strlen(edit->name), &other, &err);
        state_view_end(&view);
    }
    if (status == STATUS_NOT_FOUND || (status == STATUS_OK && own != NULL && id_compare(own, &other) == 0))
        return true;
    if (status == STATUS_OK)
        (void)error_set_field(&err, STATUS_NAME_TAKEN, "/name", "there is a job named \"%s\" already", edit->name);
    fail(operation, &err);
    return false;
}

static void attempt_create(struct operation *operation)
{
    struct edit *edit = operation->data;
    struct job_document job;
    struct buffer command;
    if (!parse_document(operation, cJSON_Duplicate(edit->body, true), NULL, &job))
        return;
    if (edit->dry_run) {
        if (check_name_free(operation, NULL))
            answer_dry_run(operation, &job);
    } else {
        edit->job = scheduler_new_id(operation->api->config.scheduler, edit->now_ms);
        struct job_put put = {.id = edit->job, .spec = job.spec, .document = buffer_bytes(&job.text)};
        put.spec.id = edit->job;
        buffer_init(&command, ENTRY_SIZE_MAX);
        job_put_encode(&put, &command);
        propose(operation, &command);
    }
    job_document_deinit(&job);
}

/* Does the new version come due at other instants than the old one? */
static bool moves_slots(const struct job_spec *before, const struct job_spec *after)
{
    if (strcmp(before->timezone, after->timezone) != 0 || before->dst_gap != after->dst_gap ||
        before->dst_overlap != after->dst_overlap || before->day_match != after->day_match ||
        before->schedule_count != after->schedule_count)
        return true;
    for (uint32_t i = 0; i < before->schedule_count; i++)
        if (strcmp(before->schedules[i], after->schedules[i]) != 0)
            return true;
    return false;
}

/* A shorthand in a patch stands for the executor and its whole config: what was there before goes. */
static void drop_replaced_executor(const struct api *api, cJSON *base, const cJSON *patch)
{
    const cJSON *member;
    cJSON_ArrayForEach(member, patch)
    {
        if (cJSON_IsNull(member) || plugin_find_shorthand(api->config.registry, member->string) == NULL)
            continue;
        cJSON_DeleteItemFromObjectCaseSensitive(base, "executor");
        cJSON_DeleteItemFromObjectCaseSensitive(base, "config");
    }
}

/* NULL: out of memory. */
static cJSON *new_input(const struct operation *operation, const struct present *present)
{
    const struct edit *edit = operation->data;
    if (edit->kind == EDIT_PUT)
        return cJSON_Duplicate(edit->body, true);
    cJSON *base = cJSON_Duplicate(present->document, true);
    if (base == NULL || cJSON_AddBoolToObject(base, "enabled", present->row.enabled) == NULL) {
        cJSON_Delete(base);
        return NULL;
    }
    drop_replaced_executor(operation->api, base, edit->body);
    cJSON *input = config_merge(base, edit->body); /* RFC 7396 */
    cJSON_Delete(base);
    return input;
}

static void propose_put(struct operation *operation, const struct present *present, const struct job_document *job)
{
    struct edit *edit = operation->data;
    struct decision decision;
    struct job_put put = {.id = edit->job, .expected_version = present->row.version, .spec = job->spec,
                          .document = buffer_bytes(&job->text)};
    struct buffer command;
    put.spec.id = edit->job;
    put.resets_mark = moves_slots(&present->spec, &job->spec);
    bool owes = present->row.enabled && (put.resets_mark || !job->spec.enabled);
    if (owes && !find_due(operation, present->row.serial, &decision, &put.due))
        return;
    buffer_init(&command, ENTRY_SIZE_MAX);
    job_put_encode(&put, &command);
    propose(operation, &command);
}

static void attempt_put(struct operation *operation)
{
    struct edit *edit = operation->data;
    struct present present;
    struct job_document job;
    if (!read_present(operation, &present))
        return;
    if (parse_document(operation, new_input(operation, &present), present.document, &job)) {
        if (!edit->dry_run)
            propose_put(operation, &present, &job);
        else if (check_name_free(operation, &edit->job))
            answer_dry_run(operation, &job);
        job_document_deinit(&job);
    }
    present_deinit(&present);
}

/* --- delete, enable, disable --- */

static void attempt_delete(struct operation *operation)
{
    struct edit *edit = operation->data;
    struct present present;
    struct decision decision;
    struct buffer command;
    if (!read_present(operation, &present))
        return;
    struct job_delete delete = {.expected_version = edit->if_match[0] != '\0' ? present.row.version : 0,
                                .cancel_running = edit->cancel, .id = edit->job};
    if (find_due(operation, present.row.serial, &decision, &delete.due)) {
        buffer_init(&command, ENTRY_SIZE_MAX);
        job_delete_encode(&delete, &command);
        propose(operation, &command);
    }
    present_deinit(&present);
}

static void attempt_enable(struct operation *operation)
{
    struct edit *edit = operation->data;
    struct present present;
    struct decision decision;
    struct buffer command;
    if (!read_present(operation, &present))
        return;
    struct job_enable enable = {.expected_version = edit->if_match[0] != '\0' ? present.row.version : 0,
                                .enabled = edit->kind == EDIT_ENABLE, .id = edit->job};
    if (enable.enabled || find_due(operation, present.row.serial, &decision, &enable.due)) {
        buffer_init(&command, ENTRY_SIZE_MAX);
        job_enable_encode(&enable, &command);
        propose(operation, &command);
    }
    present_deinit(&present);
}

/* --- trigger --- */

static void add_problem(void *arg, const char *field, const char *message)
{
    char pointer[ERROR_FIELD_SIZE + sizeof "/config"];
    (void)snprintf(pointer, sizeof pointer, "/config%s", field);
    field_errors_add(arg, pointer, "%s", message);
}

/* The job's config with the overrides laid over it is checked as a job's is. False: answered. */
static bool check_overrides(struct operation *operation, const struct present *present)
{
    const struct edit *edit = operation->data;
    const cJSON *overrides = cJSON_GetObjectItemCaseSensitive(edit->body, "config");
    const struct plugin_component *component =
        plugin_find(operation->api->config.registry, CHRONOS_KIND_EXECUTOR, present->spec.executor);
    struct field_errors errors = {.count = 0};
    struct plugin_params params;
    struct error err;
    if (edit->overrides.size == 0 || component == NULL) /* without the executor the run waits for a node that has it */
        return true;
    cJSON *given = cJSON_Duplicate(overrides, true);
    cJSON *merged = config_merge(cJSON_GetObjectItemCaseSensitive(present->document, "config"), overrides);
    enum status status = given == NULL || merged == NULL
                             ? error_set(&err, STATUS_NO_MEMORY, "out of memory")
                             : plugin_schema_unmask(component->schema, given, NULL, &err); /* a mask is no value here */
    if (status == STATUS_OK && plugin_schema_check(component->schema, PLUGIN_SCOPE_JOB, merged, add_problem, &errors) == 0)
        status = plugin_schema_params(component->schema, PLUGIN_SCOPE_JOB, merged, NULL, &params, &err);
    if (status == STATUS_OK && errors.count == 0) {
        status = runner_validate(operation->api->config.runner, component->id, params.items, params.count,
                                 present->spec.name, &err);
        plugin_params_deinit(&params);
    }
    cJSON_Delete(given);
    cJSON_Delete(merged);
    if (status != STATUS_OK)
        add_problem(&errors, err.field, err.message);
    if (errors.count > 0)
        fail_document(operation, status == STATUS_NO_MEMORY ? status : STATUS_INVALID, &errors);
    return errors.count == 0;
}

static void attempt_trigger(struct operation *operation)
{
    struct edit *edit = operation->data;
    struct scheduler *scheduler = operation->api->config.scheduler;
    struct present present;
    struct buffer command;
    if (!read_present(operation, &present))
        return;
    if (check_overrides(operation, &present)) {
        edit->execution = scheduler_new_id(scheduler, edit->now_ms);
        struct trigger_run trigger = {.job = edit->job, .execution = edit->execution, .force = edit->force,
                                      .overrides = buffer_bytes(&edit->overrides)};
        if (!scheduler_place(scheduler, present.spec.executor, &trigger.node, &trigger.reason))
            trigger.node.name[0] = '\0';
        buffer_init(&command, ENTRY_SIZE_MAX);
        trigger_run_encode(&trigger, &command);
        propose(operation, &command);
    }
    present_deinit(&present);
}

static void attempt(struct operation *operation)
{
    struct edit *edit = operation->data;
    edit->now_ms = cluster_now_ms(operation->api->config.cluster);
    switch (edit->kind) {
    case EDIT_CREATE:
        attempt_create(operation);
        return;
    case EDIT_PUT:
    case EDIT_PATCH:
        attempt_put(operation);
        return;
    case EDIT_DELETE:
        attempt_delete(operation);
        return;
    case EDIT_ENABLE:
    case EDIT_DISABLE:
        attempt_enable(operation);
        return;
    case EDIT_TRIGGER:
        attempt_trigger(operation);
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
        return has_document ? error_set(err, STATUS_MALFORMED, "a body is required: the job as a JSON object") : STATUS_OK;
    enum status status = json_parse(request->body.data, request->body.size, &edit->body, err);
    if (status != STATUS_OK)
        return status;
    if (!cJSON_IsObject(edit->body))
        return error_set(err, STATUS_MALFORMED, "the body must be a JSON object");
    if (!has_document && edit->kind != EDIT_TRIGGER && edit->body->child != NULL)
        return error_set(err, STATUS_MALFORMED, "this request takes no fields; leave the body out");
    return STATUS_OK;
}

static enum status read_trigger(struct edit *edit, struct error *err)
{
    static const char *const known[] = {"config", "force", NULL};
    const cJSON *member;
    cJSON_ArrayForEach(member, edit->body)
    {
        char pointer[ERROR_FIELD_SIZE] = "";
        pointer_append(pointer, sizeof pointer, member->string);
        if (strcmp(member->string, "force") == 0 && cJSON_IsBool(member)) {
            edit->force = cJSON_IsTrue(member);
        } else if (strcmp(member->string, "config") == 0 && cJSON_IsObject(member)) {
            if (member->child != NULL)
                json_print(&edit->overrides, member);
        } else if (strcmp(member->string, "force") == 0) {
            return error_set_field(err, STATUS_INVALID, pointer, "must be true or false");
        } else if (strcmp(member->string, "config") == 0) {
            return error_set_field(err, STATUS_INVALID, pointer, "must be an object, laid over the job's config");
        } else {
            const char *near = nearest_word(member->string, known);
            return error_set_field(err, STATUS_INVALID, pointer, "unknown field; %s\"%s\"",
                                   near != NULL ? "did you mean " : "a trigger takes \"config\" and ",
                                   near != NULL ? near : "force");
        }
    }
    if (edit->overrides.failed != STATUS_OK)
        return error_set_field(err, STATUS_INVALID, "/config", "is larger than %d KiB", JOB_DOCUMENT_MAX / 1024);
    return STATUS_OK;
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
    buffer_init(&edit->overrides, JOB_DOCUMENT_MAX);
    enum status status = read_target(match, edit, &err);
    if (status == STATUS_OK)
        status = read_queries(request, edit, &err);
    if (status == STATUS_OK)
        status = read_if_match(request, edit, &err);
    if (status == STATUS_OK)
        status = read_body(request, edit, &err);
    if (status == STATUS_OK && kind == EDIT_TRIGGER)
        status = read_trigger(edit, &err);
    if (status != STATUS_OK) {
        answer_error(api, request->token, request->request_id, &err);
        discard(edit);
        return;
    }
    struct operation *operation = operation_begin(api, request, on_outcome, edit, discard);
    if (operation != NULL)
        attempt(operation);
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
