/* Create, put, patch, delete, enable, disable: each from the job as it stands to one command. */
#include "api/edits.h"

#include <stdio.h>
#include <string.h>

#include "api/job_document.h"
#include "api/masks.h"
#include "run/params.h"

/* --- the job as it stands --- */

static enum status check_if_match(const struct edit *edit, uint32_t version, struct error *err)
{
    bool matches = true;
    if (edit->if_match[0] == '\0')
        return STATUS_OK;
    enum status status =
        etag_matches((struct bytes){edit->if_match, strlen(edit->if_match)}, false, version, &matches, err);
    if (status == STATUS_OK && !matches)
        status = error_set(err, STATUS_VERSION_MISMATCH, "the job is at version %u, If-Match asks for %s",
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
    struct bytes text = {edit->job_text, strlen(edit->job_text)};
    enum status status = job_lookup(&ret->view, text, &edit->job, err);
    if (status == STATUS_OK)
        status = state_get_job(&ret->view, &edit->job, &ret->row, err);
    if (status == STATUS_OK)
        status = check_if_match(edit, ret->row.version, err);
    if (status == STATUS_OK && (edit->kind == EDIT_ENABLE || edit->kind == EDIT_DISABLE))
        edit_keep_written(edit, ret->row.document, edit->kind == EDIT_ENABLE, ret->row.created_ms);
    if (status == STATUS_OK)
        status = read_document(ret, ret->row.document, err);
    if (status == STATUS_OK)
        status = state_get_spec(&ret->view, ret->row.serial, &ret->spec, err);
    return status;
}

void present_deinit(struct present *present)
{
    cJSON_Delete(present->document);
    state_view_end(&present->view);
}

/* False: answered. */
bool edit_read_present(struct operation *operation, struct present *ret)
{
    struct error err;
    *ret = (struct present){.document = NULL};
    enum status status = state_view_begin(cluster_state(operation->api->config.cluster), &ret->view, &err);
    if (status != STATUS_OK) {
        edit_fail(operation, &err);
        return false;
    }
    status = read_rows(operation->data, ret, &err);
    if (status == STATUS_OK)
        return true;
    present_deinit(ret);
    edit_refuse(operation, &err);
    return false;
}

/* What the old version owes up to now. False: answered, or to be called again. *ret_due NULL: nothing. */
static bool find_due(struct operation *operation, uint64_t serial, struct decision *decision,
                     const struct decision **ret_due)
{
    const struct edit *edit = operation->data;
    struct error full;
    bool any = false;
    enum status status = scheduler_due(operation->api->config.scheduler, serial, edit->now_ms, decision, &any);
    *ret_due = any ? decision : NULL;
    if (status == STATUS_OK || status == STATUS_NOT_FOUND) /* not known to this scheduler: apply decides */
        return true;
    if (status == STATUS_BUSY) {
        struct cluster_status cluster;
        cluster_status_get(operation->api->config.cluster, &cluster);
        if (cluster.disk == DISK_CRITICAL) { /* the decision in the way cannot be applied: say why */
            (void)error_set(&full, STATUS_DISK_FULL, "the disk is full; make room and try again");
            edit_fail(operation, &full);
            return false;
        }
        if (edit_may_retry(operation))
            operation_retry_later(operation, edit_attempt);
        return false;
    }
    struct error err;
    (void)error_set(&err, status, "out of memory");
    edit_fail(operation, &err);
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

/* `input` NULL: out of memory. The document borrows from it. False: answered. */
static bool parse_document(struct operation *operation, cJSON *input, const cJSON *stored, struct job_document *ret)
{
    struct job_defaults defaults = defaults_of(operation);
    struct field_errors errors;
    struct edit *edit = operation->data;
    enum status code = STATUS_NO_MEMORY;
    errors.count = 0; /* the rest is large, and written where it is counted */
    if (input == NULL)
        field_errors_add(&errors, "", "out of memory");
    else if (job_document_parse(input, stored, &defaults, ret, &code, &errors)) {
        memcpy(edit->name, ret->spec.name, sizeof edit->name);
        return true;
    }
    if (stored != NULL)
        edit_refuse_document(operation, code, &errors);
    else
        edit_refuse_new(operation, code, &errors);
    return false;
}

/* The document as it would be stored, with secrets masked: nothing was changed. */
static void answer_dry_run(struct operation *operation, const struct job_document *job)
{
    struct buffer body;
    struct error err;
    cJSON *json = NULL;
    buffer_init(&body, JOB_TEXT_MAX);
    if (json_parse(job->text.data, job->text.size, &json, &err) == STATUS_OK &&
        masks_apply(operation->api->masks, json) &&
        cJSON_AddBoolToObject(json, "enabled", job->spec.enabled) != NULL) {
        json_print(&body, json);
        answer_json(operation->api, operation->token, 200, &body, NULL);
    } else {
        answer_problem(operation->api, operation->token, operation->request_id, STATUS_NO_MEMORY, "", NULL);
    }
    cJSON_Delete(json);
    operation_end(operation);
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
    edit_refuse(operation, &err);
    return false;
}

void edit_attempt_create(struct operation *operation)
{
    struct edit *edit = operation->data;
    struct job_document job;
    if (!parse_document(operation, edit->body, NULL, &job))
        return;
    bool agreed = edit_is_agreed(edit, NULL) || edit_ask(operation, NULL, job.executor, &job.params);
    if (agreed && edit->dry_run) {
        if (check_name_free(operation, NULL))
            answer_dry_run(operation, &job);
    } else if (agreed) {
        edit->job = scheduler_new_id(operation->api->config.scheduler, edit->now_ms);
        struct job_put put = {.id = edit->job, .mark_ms = edit->now_ms, .spec = job.spec,
                              .document = buffer_bytes(&job.text)};
        put.spec.id = edit->job;
        edit_keep_written(edit, put.document, put.spec.enabled, edit->now_ms);
        struct buffer *command = api_scratch(operation->api, ENTRY_SIZE_MAX);
        job_put_encode(&put, command);
        edit_propose(operation, command);
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
    struct job_put put = {.id = edit->job, .mark_ms = edit->now_ms, .expected_version = present->row.version,
                          .spec = job->spec, .document = buffer_bytes(&job->text)};
    put.spec.id = edit->job;
    put.resets_mark = moves_slots(&present->spec, &job->spec);
    bool owes = present->row.enabled && (put.resets_mark || !job->spec.enabled);
    if (owes && !find_due(operation, present->row.serial, &decision, &put.due))
        return;
    edit_keep_written(edit, put.document, put.spec.enabled, present->row.created_ms);
    struct buffer *command = api_scratch(operation->api, ENTRY_SIZE_MAX);
    job_put_encode(&put, command);
    edit_propose(operation, command);
}

void edit_attempt_put(struct operation *operation)
{
    struct edit *edit = operation->data;
    struct present present;
    struct job_document job;
    if (!edit_read_present(operation, &present))
        return;
    cJSON *input = new_input(operation, &present);
    if (parse_document(operation, input, present.document, &job)) {
        bool agreed = edit_is_agreed(edit, &present) || edit_ask(operation, &present, job.executor, &job.params);
        if (agreed && !edit->dry_run)
            propose_put(operation, &present, &job);
        else if (agreed && check_name_free(operation, &edit->job))
            answer_dry_run(operation, &job);
        job_document_deinit(&job);
    }
    cJSON_Delete(input);
    present_deinit(&present);
}

/* --- delete, enable, disable --- */

/* A name may have gone to another job that this node has not heard of yet; an id stays with its job. */
static bool is_by_name(const struct edit *edit)
{
    struct id id;
    return !id_parse(JOB_ID_PREFIX, edit->job_text, strlen(edit->job_text), &id);
}

void edit_attempt_delete(struct operation *operation)
{
    struct edit *edit = operation->data;
    struct present present;
    struct decision decision;
    if (!edit_read_present(operation, &present))
        return;
    bool of_this_version = edit->if_match[0] != '\0' || is_by_name(edit);
    struct job_delete delete = {.expected_version = of_this_version ? present.row.version : 0,
                                .cancel_running = edit->cancel, .id = edit->job};
    if (find_due(operation, present.row.serial, &decision, &delete.due)) {
        struct buffer *command = api_scratch(operation->api, ENTRY_SIZE_MAX);
        job_delete_encode(&delete, command);
        edit_propose(operation, command);
    }
    present_deinit(&present);
}

void edit_attempt_enable(struct operation *operation)
{
    struct edit *edit = operation->data;
    struct present present;
    struct decision decision;
    if (!edit_read_present(operation, &present))
        return;
    struct job_enable enable = {.expected_version = present.row.version, /* what it is answered with */
                                .enabled = edit->kind == EDIT_ENABLE, .mark_ms = edit->now_ms, .id = edit->job};
    if (enable.enabled || find_due(operation, present.row.serial, &decision, &enable.due)) {
        struct buffer *command = api_scratch(operation->api, ENTRY_SIZE_MAX);
        job_enable_encode(&enable, command);
        edit_propose(operation, command);
    }
    present_deinit(&present);
}

