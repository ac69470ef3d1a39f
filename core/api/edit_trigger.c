/* A run that a user asks for. */
#include "api/edits.h"

#include <stdio.h>
#include <string.h>

#include "api/job_fields.h"
#include "run/params.h"

enum status edit_read_trigger(struct edit *edit, struct error *err)
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

static void add_problem(void *arg, const char *field, const char *message)
{
    char pointer[ERROR_FIELD_SIZE + sizeof "/config"];
    (void)snprintf(pointer, sizeof pointer, "/config%s", field);
    field_errors_add(arg, pointer, "%s", message);
}

/* The job's config with the overrides laid over it is checked as a job's is. False: answered, or asked. */
static bool check_overrides(struct operation *operation, const struct present *present)
{
    struct edit *edit = operation->data;
    const cJSON *overrides = cJSON_GetObjectItemCaseSensitive(edit->body, "config");
    const struct plugin_component *component =
        plugin_find(operation->api->config.registry, CHRONOS_KIND_EXECUTOR, present->spec.executor);
    struct field_errors errors = {.count = 0};
    struct plugin_params params = {.count = 0};
    struct error err;
    if (edit->overrides.size == 0 || component == NULL) /* without the executor the run waits for a node that has it */
        return true;
    if (edit_is_agreed(edit, present))
        return true;
    cJSON *given = cJSON_Duplicate(overrides, true);
    cJSON *merged = config_merge(cJSON_GetObjectItemCaseSensitive(present->document, "config"), overrides);
    enum status status = given == NULL || merged == NULL
                             ? error_set(&err, STATUS_NO_MEMORY, "out of memory")
                             : plugin_schema_unmask(component->schema, given, NULL, &err); /* a mask is no value here */
    if (status == STATUS_OK &&
        plugin_schema_check(component->schema, PLUGIN_SCOPE_JOB, merged, add_problem, &errors) == 0)
        status = plugin_schema_params(component->schema, PLUGIN_SCOPE_JOB, merged, NULL, &params, &err);
    cJSON_Delete(given);
    cJSON_Delete(merged);
    if (status != STATUS_OK)
        add_problem(&errors, err.field, err.message);
    if (errors.count > 0) {
        edit_refuse_document(operation, status == STATUS_NO_MEMORY ? status : STATUS_INVALID, &errors);
        return false;
    }
    memcpy(edit->name, present->spec.name, sizeof edit->name);
    bool agreed = edit_ask(operation, present, component, &params);
    plugin_params_deinit(&params); /* what was not taken */
    return agreed;
}

/* A run of its own for each node, or one that waits for the first. */
static void name_homes(struct scheduler *scheduler, struct edit *edit, uint64_t serial, struct trigger_run *trigger)
{
    struct placement_node nodes[COMMAND_NODES_MAX] = {{.name = ""}};
    uint32_t count = scheduler_homes(scheduler, serial, nodes);
    trigger->home_count = edit->execution_count = count > 0 ? count : 1;
    for (uint32_t i = 0; i < trigger->home_count; i++) {
        edit->executions[i] = i == 0 ? edit->execution : scheduler_new_id(scheduler, edit->now_ms);
        trigger->homes[i].execution = edit->executions[i];
        memcpy(trigger->homes[i].node, nodes[i].name, sizeof trigger->homes[i].node);
    }
}

void edit_attempt_trigger(struct operation *operation)
{
    struct edit *edit = operation->data;
    struct scheduler *scheduler = operation->api->config.scheduler;
    struct present present;
    if (!edit_read_present(operation, &present))
        return;
    if (check_overrides(operation, &present)) {
        edit->execution = scheduler_new_id(scheduler, edit->now_ms);
        struct trigger_run trigger = {.job = edit->job, .execution = edit->execution, .force = edit->force,
                                      .overrides = buffer_bytes(&edit->overrides),
                                      .reason = scheduler_waits_for(scheduler, present.row.serial),
                                      /* what If-Match was held against may be old: apply sees what stands */
                                      .expected_version = edit->if_match[0] != '\0' ? present.row.version : 0};
        edit->execution_count = 0;
        if (present.spec.placement == PLACEMENT_ALL)
            name_homes(scheduler, edit, present.row.serial, &trigger);
        /* Not placed: the scheduler gives it a node within the limits, as it does for every run that is ready. */
        struct buffer *command = api_scratch(operation->api, ENTRY_SIZE_MAX);
        trigger_run_encode(&trigger, command);
        edit_propose(operation, command);
    }
    present_deinit(&present);
}

