#include "api/job_document.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/job_schedule.h"
#include "api/job_tags.h"
#include "base/names.h"
#include "run/job_cache.h"

enum {
    SHORTHANDS_MAX = 64,
    QUOTED_MAX = 60,
    USUAL_SIZE = 1000,
    LISTED_MAX = 300,
};
#define SECONDS INT64_C(1000)
#define DAYS (INT64_C(24) * 60 * 60 * SECONDS)

static const char *const job_keys[] = {
    "name", "description", "schedule", "timezone", "dst_gap", "dst_overlap", "day_match", "enabled", "executor",
    "config", "timeout", "concurrency", "max_concurrent", "missed_run_policy", "catchup_window", "catchup_limit",
    "on_node_loss", "on_lease_loss", "retry_policy", "tags", "placement",
    /* Read-only: taken and passed over, so that what GET gave can be edited and put back. */
    "id", "version", "created_at", "updated_at", "updated_by", "next_run", "last_run", "last_status", "running", "held",
    NULL};
static const char *const retry_keys[] = {"max_attempts", "initial_interval", "max_interval", "multiplier", "jitter",
                                         NULL};
static const char *const nothing[] = {NULL};
/* A plugin that is not loaded cannot name its shorthand; these everybody knows. */
static const struct shorthand {
    const char *key, *executor;
} own_shorthands[] = {{"command", "shell"}, {"webhook", "http"}};
enum { OWN_SHORTHANDS = sizeof own_shorthands / sizeof own_shorthands[0] };

#define X(symbol, text) text,
static const char *const concurrency_words[] = {CONCURRENCY_TABLE(X) NULL};
static const char *const missed_words[] = {MISSED_POLICY_TABLE(X) NULL};
static const char *const node_loss_words[] = {NODE_LOSS_TABLE(X) NULL};
#undef X
static const char *const lease_loss_words[] = {"cancel", JOB_LEASE_LOSS_CONTINUE, NULL}; /* the document alone says which: run/ reads it */

/* --- one document --- */

struct parsing {
    struct fields fields; /* of the whole document */
    struct json_writer out; /* writes the document's text while its fields are read */
    cJSON *input;
    cJSON *own_config; /* of a shorthand, or where none was given; freed at the end */
    const cJSON *config; /* that was accepted */
    const cJSON *stored;
    const struct job_defaults *defaults;
    struct job_document *job;
    enum status code;
    bool no_memory;
};

static void write_tree(struct parsing *p, const char *key, const cJSON *value)
{
    json_key(&p->out, key);
    json_tree(&p->out, value);
}

static bool is_name_char(char c)
{
    bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return is_letter || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

static bool check_name(const struct fields *fields, const char *name)
{
    size_t size = strlen(name), at = 0;
    if (size < 1 || size > JOB_NAME_MAX) {
        field_refuse(fields, "name", "must have 1 to %d bytes", JOB_NAME_MAX);
        return false;
    }
    while (at < size && is_name_char(name[at]))
        at++;
    if (at < size) {
        size_t step = utf8_sequence_size(name + at, size - at);
        bool control = (unsigned char)name[at] < 0x20 || name[at] == 0x7f;
        if (control || step == 0)
            field_refuse(fields, "name", "holds a control character; use letters, digits, \".\", \"_\" and \"-\"");
        else
            field_refuse(fields, "name", "\"%.*s\" is not allowed; use letters, digits, \".\", \"_\" and \"-\"",
                         (int)step, name + at);
        return false;
    }
    if (name[0] == '.' || name[0] == '-') {
        field_refuse(fields, "name", "must begin with a letter, a digit or \"_\"");
        return false;
    }
    if (strncmp(name, JOB_ID_PREFIX, strlen(JOB_ID_PREFIX)) == 0 ||
        strncmp(name, EXECUTION_ID_PREFIX, strlen(EXECUTION_ID_PREFIX)) == 0) {
        field_refuse(fields, "name", "must not begin with \"" JOB_ID_PREFIX "\" or \"" EXECUTION_ID_PREFIX
                                     "\": ids begin so");
        return false;
    }
    return true;
}

static void read_identity(struct parsing *p)
{
    const char *name = field_string(&p->fields, "name", NULL);
    const char *description = field_string(&p->fields, "description", "");
    if (name == NULL && field_get(&p->fields, "name") == NULL)
        field_refuse(&p->fields, "name", "is required");
    if (name != NULL && check_name(&p->fields, name))
        memcpy(p->job->spec.name, name, strlen(name) + 1);
    if (strlen(description) > JOB_DESCRIPTION_MAX)
        field_refuse(&p->fields, "description", "is longer than %d bytes", JOB_DESCRIPTION_MAX);
    p->job->spec.enabled = field_bool(&p->fields, "enabled", true);
    json_member_string(&p->out, "name", name != NULL ? name : "");
    json_member_string(&p->out, "description", description);
}

/* An edit of something else must stay possible for an @at that has passed. */
static bool is_schedule_unchanged(const struct parsing *p, const struct schedule_fields *from)
{
    const cJSON *zone = cJSON_GetObjectItemCaseSensitive(p->stored, "timezone");
    return p->stored != NULL && cJSON_IsString(zone) && strcmp(zone->valuestring, from->timezone) == 0 &&
           cJSON_Compare(cJSON_GetObjectItemCaseSensitive(p->stored, "schedule"),
                         cJSON_GetObjectItemCaseSensitive(p->input, "schedule"), true);
}

static void read_when(struct parsing *p)
{
    struct job_spec *spec = &p->job->spec;
    struct schedule_fields from;
    uint32_t before = p->fields.errors->count;
    schedule_fields_read(&p->fields, &from);
    schedule_free(schedule_fields_compile(&p->fields, &from, p->defaults->scheduler, !is_schedule_unchanged(p, &from),
                                   p->defaults->now_ms));
    if (p->fields.errors->count != before)
        return;
    memcpy(spec->timezone, from.timezone, strlen(from.timezone) + 1);
    spec->dst_gap = (uint8_t)from.options.dst_gap;
    spec->dst_overlap = (uint8_t)from.options.dst_overlap;
    spec->day_match = (uint8_t)from.options.day_match;
    spec->schedule_count = from.count;
    memcpy(spec->schedules, from.texts, sizeof spec->schedules);
    write_tree(p, "schedule", field_get(&p->fields, "schedule"));
    json_member_string(&p->out, "timezone", spec->timezone);
    json_member_string(&p->out, "dst_gap", schedule_dst_gap_words[spec->dst_gap]);
    json_member_string(&p->out, "dst_overlap", schedule_dst_overlap_words[spec->dst_overlap]);
    json_member_string(&p->out, "day_match", schedule_day_match_words[spec->day_match]);
}

/* --- executor and config --- */

static bool is_offered(const struct job_defaults *defaults, const struct plugin_component *component)
{
    return defaults->runner == NULL || runner_offers(defaults->runner, component->id);
}

static void list_executors(const struct job_defaults *defaults, char out[LISTED_MAX])
{
    struct names names;
    names_init(&names);
    for (size_t i = 0; i < plugin_component_count(defaults->registry); i++) {
        const struct plugin_component *component = plugin_component_at(defaults->registry, i);
        if (component->kind == CHRONOS_KIND_EXECUTOR && is_offered(defaults, component))
            names_add(&names, component->id, strlen(component->id));
    }
    names_list(&names, ", ", out, LISTED_MAX);
}

/* An object of our own, in place of what the input does not have. NULL: out of memory. */
static cJSON *make_config(struct parsing *p)
{
    cJSON_Delete(p->own_config);
    p->own_config = cJSON_CreateObject();
    p->no_memory |= p->own_config == NULL;
    return p->own_config;
}

/* "command": "..." is the executor's first option, "webhook": {...} its whole config. */
static cJSON *shorthand_config(struct parsing *p, const struct plugin_component *component)
{
    const char *option = plugin_schema_first_job_option(component->schema);
    cJSON *value = cJSON_GetObjectItemCaseSensitive(p->input, component->shorthand);
    if (cJSON_IsObject(value))
        return value;
    if (!cJSON_IsString(value) || option == NULL) {
        field_refuse(&p->fields, component->shorthand, "must be a string or an object, the config of executor \"%s\"%s",
                     component->id,
                     cJSON_IsBool(value) || cJSON_IsNumber(value) ? "; put true, false and numbers in quotes" : "");
        return NULL;
    }
    cJSON *config = make_config(p);
    if (config == NULL || cJSON_AddStringToObject(config, option, value->valuestring) != NULL)
        return config;
    p->no_memory = true;
    return NULL;
}

static void refuse_absent_executor(struct parsing *p, const char *key, const char *name)
{
    char known[LISTED_MAX];
    list_executors(p->defaults, known);
    field_refuse(&p->fields, key, "this node does not have the executor \"%.*s\"; known: %s", (int)utf8_cut(name, strlen(name), QUOTED_MAX),
                 name, known[0] != '\0' ? known : "none");
    p->code = STATUS_EXECUTOR_UNKNOWN;
}

/* False: none of them is used. */
static bool refuse_absent_shorthands(struct parsing *p)
{
    bool is_used = false;
    for (size_t i = 0; i < OWN_SHORTHANDS; i++) {
        const struct shorthand *own = &own_shorthands[i];
        if (field_get(&p->fields, own->key) == NULL || plugin_find_shorthand(p->defaults->registry, own->key) != NULL)
            continue;
        refuse_absent_executor(p, own->key, own->executor);
        is_used = true;
    }
    return is_used;
}

/* *ret_config: NULL where the component has none or it was refused. NULL: no shorthand is used. */
static const struct plugin_component *take_shorthand(struct parsing *p, cJSON **ret_config)
{
    const struct plugin_component *found = NULL;
    for (size_t i = 0; i < plugin_component_count(p->defaults->registry); i++) {
        const struct plugin_component *component = plugin_component_at(p->defaults->registry, i);
        if (component->shorthand == NULL || field_get(&p->fields, component->shorthand) == NULL)
            continue;
        if (found != NULL) {
            field_refuse(&p->fields, component->shorthand, "cannot be given together with \"%s\"", found->shorthand);
            continue;
        }
        found = component;
        if (field_get(&p->fields, "executor") != NULL || field_get(&p->fields, "config") != NULL)
            field_refuse(&p->fields, component->shorthand,
                         "is short for \"executor\": \"%s\" with its \"config\"; give one of the two", component->id);
        *ret_config = shorthand_config(p, component);
    }
    return found;
}

static void refuse_missing_executor(struct parsing *p)
{
    char known[LISTED_MAX], keys[LISTED_MAX] = "";
    list_executors(p->defaults, known);
    for (size_t i = 0; keys[0] == '\0' && i < plugin_component_count(p->defaults->registry); i++) {
        const struct plugin_component *component = plugin_component_at(p->defaults->registry, i);
        if (component->shorthand != NULL && is_offered(p->defaults, component))
            (void)snprintf(keys, sizeof keys, ", or a shorthand such as \"%s\"", component->shorthand);
    }
    field_refuse(&p->fields, "executor", "is required: one of %s%s", known, keys);
}

static const struct plugin_component *find_executor(struct parsing *p)
{
    const char *name = field_string(&p->fields, "executor", NULL);
    if (name == NULL) {
        if (field_get(&p->fields, "executor") == NULL)
            refuse_missing_executor(p);
        return NULL;
    }
    const struct plugin_component *component =
        strlen(name) < EXECUTOR_TEXT_SIZE ? plugin_find(p->defaults->registry, CHRONOS_KIND_EXECUTOR, name) : NULL;
    if (component != NULL && is_offered(p->defaults, component))
        return component;
    refuse_absent_executor(p, "executor", name);
    return NULL;
}

static void report_config(void *arg, const char *field, const char *message)
{
    const struct parsing *p = arg;
    char pointer[ERROR_FIELD_SIZE + sizeof "/config/"];
    (void)snprintf(pointer, sizeof pointer, "/config%s%s", field[0] == '\0' || field[0] == '/' ? "" : "/", field);
    field_errors_add(p->fields.errors, pointer, "%s", message);
}

static const cJSON *stored_config(const struct parsing *p, const struct plugin_component *component)
{
    const cJSON *executor = cJSON_GetObjectItemCaseSensitive(p->stored, "executor");
    if (!cJSON_IsString(executor) || strcmp(executor->valuestring, component->id) != 0)
        return NULL;
    return cJSON_GetObjectItemCaseSensitive(p->stored, "config");
}

static void check_config(struct parsing *p, const struct plugin_component *component, cJSON *config)
{
    struct error err;
    enum status status = plugin_schema_unmask(component->schema, config, stored_config(p, component), &err);
    if (status == STATUS_NO_MEMORY)
        p->no_memory = true;
    else if (status != STATUS_OK)
        report_config(p, err.field, err.message);
    /* The reports are counted, not what it returns. */
    (void)plugin_schema_check(component->schema, PLUGIN_SCOPE_JOB, config, report_config, p);
}

static void read_executor(struct parsing *p)
{
    cJSON *config = NULL;
    if (refuse_absent_shorthands(p))
        return;
    const struct plugin_component *component = take_shorthand(p, &config);
    bool is_short = component != NULL;
    if (is_short && !is_offered(p->defaults, component)) {
        refuse_absent_executor(p, component->shorthand, component->id);
    } else if (!is_short) {
        component = find_executor(p);
        config = cJSON_GetObjectItemCaseSensitive(p->input, "config");
        if (config == NULL || cJSON_IsNull(config)) {
            config = make_config(p);
        } else if (!cJSON_IsObject(config)) {
            field_refuse(&p->fields, "config", "must be an object");
            component = NULL;
        }
    }
    p->job->executor = component;
    if (component != NULL && config != NULL)
        check_config(p, component, config);
    if (component != NULL && config != NULL && strlen(component->id) < EXECUTOR_TEXT_SIZE) {
        memcpy(p->job->spec.executor, component->id, strlen(component->id) + 1);
        p->config = config;
        json_member_string(&p->out, "executor", component->id);
        write_tree(p, "config", config);
    }
}

/* What the executor will be asked, once everything else is right. */
static void make_params(struct parsing *p)
{
    struct error err;
    enum status status =
        plugin_schema_params(p->job->executor->schema, PLUGIN_SCOPE_JOB, p->config, NULL, &p->job->params, &err);
    if (status == STATUS_NO_MEMORY)
        p->no_memory = true;
    else if (status != STATUS_OK)
        report_config(p, err.field, err.message);
}

/* --- how it runs --- */

static void refuse_queue(struct parsing *p)
{
    const cJSON *value = field_get(&p->fields, "concurrency");
    const char *word = cJSON_IsString(value) ? value->valuestring : "";
    if (strcmp(word, "queue") == 0 || strcmp(word, "queue_all") == 0)
        field_refuse(&p->fields, "concurrency", "\"%s\" is not supported by this version; use \"forbid\", \"allow\" or "
                                                "\"replace\"",
                     word);
    else
        p->job->spec.concurrency =
            (enum concurrency)field_choice(&p->fields, "concurrency", concurrency_words, CONCURRENCY_FORBID);
}

static void read_policies(struct parsing *p)
{
    const struct config *config = p->defaults->config;
    struct job_spec *spec = &p->job->spec;
    spec->timeout_ms = field_duration(&p->fields, "timeout", 100, 365 * DAYS, config->scheduler.execution_timeout_ms);
    refuse_queue(p);
    spec->max_concurrent =
        (uint32_t)field_int(&p->fields, "max_concurrent", 1, JOB_CONCURRENT_MAX, JOB_CONCURRENT_MAX);
    spec->missed_policy = (enum missed_policy)field_choice(&p->fields, "missed_run_policy", missed_words,
                                                           (uint32_t)config->scheduler.missed_run_policy);
    spec->catchup_window_ms = field_duration_or_unlimited(&p->fields, "catchup_window", 10 * SECONDS, 3650 * DAYS,
                                                          config->scheduler.catchup_window_ms);
    spec->catchup_limit = (uint32_t)field_int(&p->fields, "catchup_limit", 1, CATCHUP_LIMIT_MAX,
                                              config->scheduler.catchup_limit);
    spec->on_node_loss =
        (enum node_loss_policy)field_choice(&p->fields, "on_node_loss", node_loss_words, NODE_LOSS_RETRY);
    uint32_t on_lease_loss = field_choice(&p->fields, "on_lease_loss", lease_loss_words, 0);
    json_member_duration(&p->out, "timeout", spec->timeout_ms);
    json_member_string(&p->out, "concurrency", concurrency_name(spec->concurrency));
    json_member_int(&p->out, "max_concurrent", spec->max_concurrent);
    json_member_string(&p->out, "missed_run_policy", missed_policy_name(spec->missed_policy));
    if (spec->catchup_window_ms == 0)
        json_member_string(&p->out, "catchup_window", "unlimited");
    else
        json_member_duration(&p->out, "catchup_window", spec->catchup_window_ms);
    json_member_int(&p->out, "catchup_limit", spec->catchup_limit);
    json_member_string(&p->out, "on_node_loss", node_loss_name(spec->on_node_loss));
    json_member_string(&p->out, "on_lease_loss", lease_loss_words[on_lease_loss]);
}

static struct job_retry default_retry(const struct config *config)
{
    const struct retry_policy *from = &config->scheduler.retry;
    return (struct job_retry){.max_attempts = from->max_attempts, .initial_interval_ms = from->initial_interval_ms,
                              .max_interval_ms = from->max_interval_ms,
                              .multiplier_thousandths = from->multiplier_thousandths,
                              .jitter_thousandths = from->jitter_thousandths};
}

static void write_retry(struct json_writer *out, const struct job_retry *retry)
{
    json_key(out, "retry_policy");
    json_object_begin(out);
    json_member_int(out, "max_attempts", retry->max_attempts);
    json_member_duration(out, "initial_interval", retry->initial_interval_ms);
    json_member_duration(out, "max_interval", retry->max_interval_ms);
    json_key(out, "multiplier");
    json_thousandths(out, retry->multiplier_thousandths);
    json_key(out, "jitter");
    json_thousandths(out, retry->jitter_thousandths);
    json_object_end(out);
}

static void read_retry(struct parsing *p)
{
    struct job_retry retry = default_retry(p->defaults->config);
    const cJSON *value = field_get(&p->fields, "retry_policy");
    struct fields fields = {.object = value, .prefix = "/retry_policy", .errors = p->fields.errors};
    uint32_t before = p->fields.errors->count;
    if (value != NULL && !cJSON_IsObject(value)) {
        field_refuse(&p->fields, "retry_policy", "must be an object");
        return;
    }
    fields_check_known(&fields, retry_keys, nothing);
    retry.max_attempts = (uint32_t)field_int(&fields, "max_attempts", 1, ATTEMPTS_MAX, retry.max_attempts);
    retry.initial_interval_ms = field_duration(&fields, "initial_interval", 100, DAYS, retry.initial_interval_ms);
    /* A longer first wait than the default's longest one raises that, unless both are given. */
    if (field_get(&fields, "max_interval") == NULL && retry.max_interval_ms < retry.initial_interval_ms)
        retry.max_interval_ms = retry.initial_interval_ms;
    retry.max_interval_ms = field_duration(&fields, "max_interval", 100, 7 * DAYS, retry.max_interval_ms);
    if (field_get(&fields, "initial_interval") == NULL && retry.initial_interval_ms > retry.max_interval_ms)
        retry.initial_interval_ms = retry.max_interval_ms;
    retry.multiplier_thousandths = field_thousandths(&fields, "multiplier", 1000, 100000, retry.multiplier_thousandths);
    retry.jitter_thousandths = field_thousandths(&fields, "jitter", 0, 1000, retry.jitter_thousandths);
    if (p->fields.errors->count == before && retry.max_interval_ms < retry.initial_interval_ms)
        field_refuse(&fields, "max_interval", "must be at least initial_interval");
    p->job->spec.retry = retry;
    write_retry(&p->out, &retry);
}

static void read_tags(struct parsing *p)
{
    struct job_placement placement;
    tags_read(&p->fields, &p->out);
    if (!placement_read(&p->fields, &placement, &p->out)) {
        p->no_memory = true;
        return;
    }
    p->job->node_tags = placement.texts;
    p->job->spec.placement = placement.kind;
    p->job->spec.node_tag_count = placement.count;
    for (uint32_t i = 0; i < placement.count; i++)
        p->job->spec.node_tags[i] = placement.texts[i];
}

static void check_text(struct parsing *p)
{
    if (p->job->text.failed == STATUS_TOO_LARGE)
        field_errors_add(p->fields.errors, "", "the job is larger than %d KiB", JOB_DOCUMENT_MAX / 1024);
    else if (p->job->text.failed != STATUS_OK)
        p->no_memory = true;
}

static void check_known(const struct parsing *p)
{
    const char *shorthands[SHORTHANDS_MAX + OWN_SHORTHANDS + 1];
    size_t count = 0;
    for (size_t i = 0; i < plugin_component_count(p->defaults->registry) && count < SHORTHANDS_MAX; i++) {
        const struct plugin_component *component = plugin_component_at(p->defaults->registry, i);
        if (component->shorthand != NULL)
            shorthands[count++] = component->shorthand;
    }
    for (size_t i = 0; i < OWN_SHORTHANDS; i++)
        shorthands[count++] = own_shorthands[i].key; /* twice where it is loaded */
    shorthands[count] = NULL;
    fields_check_known(&p->fields, job_keys, shorthands);
}

static void parse(struct parsing *p)
{
    check_known(p);
    json_object_begin(&p->out);
    read_identity(p);
    read_when(p);
    read_executor(p);
    read_policies(p);
    read_retry(p);
    read_tags(p);
    json_object_end(&p->out);
    if (p->fields.errors->count == 0 && !p->no_memory)
        make_params(p);
    if (p->fields.errors->count == 0 && !p->no_memory)
        check_text(p);
}

bool job_document_parse(cJSON *input, const cJSON *stored, const struct job_defaults *defaults,
                        struct job_document *ret, enum status *ret_code, struct field_errors *errors)
{
    struct job_document job = {.executor = NULL};
    struct parsing p = {.fields = {.object = input, .prefix = "", .errors = errors}, .out = json_writer_on(&job.text),
                        .input = input, .stored = stored, .defaults = defaults, .job = &job, .code = STATUS_INVALID};
    errors->count = 0;
    buffer_init(&job.text, JOB_DOCUMENT_MAX);
    buffer_expect(&job.text, USUAL_SIZE);
    if (!cJSON_IsObject(input))
        field_errors_add(errors, "", "a job is an object: {\"name\": ..., \"schedule\": ..., \"executor\": ...}");
    else
        parse(&p);
    cJSON_Delete(p.own_config);
    if (p.no_memory) {
        errors->count = 0;
        field_errors_add(errors, "", "out of memory");
        p.code = STATUS_NO_MEMORY;
    }
    if (errors->count > 0) {
        job_document_deinit(&job);
        *ret_code = p.code;
        return false;
    }
    *ret = job;
    return true;
}

void job_document_deinit(struct job_document *document)
{
    buffer_deinit(&document->text);
    plugin_params_deinit(&document->params);
    free(document->node_tags);
    document->node_tags = NULL;
}
