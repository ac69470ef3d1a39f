#include "run/params.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/codec.h"

/* --- overrides --- */

/* Takes `target` (NULL: absent) and gives what the patch makes of it; RFC 7396, section 2. NULL without memory: then
 * `target` is gone, too. */
static cJSON *merge(cJSON *target, const cJSON *patch)
{
    const cJSON *member;
    if (!cJSON_IsObject(patch) || (target != NULL && !cJSON_IsObject(target))) {
        cJSON_Delete(target);
        target = cJSON_IsObject(patch) ? NULL : cJSON_Duplicate(patch, true);
        if (!cJSON_IsObject(patch))
            return target;
    }
    if (target == NULL)
        target = cJSON_CreateObject();
    cJSON_ArrayForEach(member, patch)
    {
        if (target == NULL)
            return NULL;
        cJSON *before = cJSON_DetachItemFromObjectCaseSensitive(target, member->string);
        if (cJSON_IsNull(member)) {
            cJSON_Delete(before);
            continue;
        }
        cJSON *after = merge(before, member);
        if (after == NULL || !cJSON_AddItemToObject(target, member->string, after)) {
            cJSON_Delete(after);
            cJSON_Delete(target);
            target = NULL;
        }
    }
    return target;
}

cJSON *config_merge(const cJSON *config, const cJSON *patch)
{
    cJSON *copy = config != NULL ? cJSON_Duplicate(config, true) : cJSON_CreateObject();
    return copy != NULL ? merge(copy, patch) : NULL;
}

static enum status overridden(const struct attempt *attempt, cJSON **ret, struct error *err)
{
    cJSON *patch = NULL;
    enum status status = json_parse(attempt->overrides, attempt->overrides_size, &patch, err);
    if (status != STATUS_OK)
        return error_wrap(err, "the overrides of this run");
    cJSON *config = cJSON_IsObject(patch) ? config_merge(attempt->job->config, patch) : NULL;
    bool is_object = cJSON_IsObject(patch);
    cJSON_Delete(patch);
    if (!is_object)
        return error_set(err, STATUS_INVALID, "the overrides of this run are not a JSON object");
    if (config == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for the overrides of a run");
    *ret = config;
    return STATUS_OK;
}

enum status run_params(const struct plugin_component *component, const struct attempt *attempt, struct plugin_params *ret,
                       struct error *err)
{
    cJSON *merged = NULL;
    enum status status = attempt->overrides != NULL ? overridden(attempt, &merged, err) : STATUS_OK;
    if (status == STATUS_OK)
        status = plugin_schema_params(component->schema, PLUGIN_SCOPE_JOB, merged != NULL ? merged : attempt->job->config,
                                      &plugin_secret_resolver_system, ret, err);
    cJSON_Delete(merged);
    return status == STATUS_OK ? status : error_wrap(err, "config");
}

/* --- the environment --- */

/* A key that is the same for every attempt, on every node: the slot where there is one, and the node where each has its own run. */
static void write_idempotency_key(struct run_environment *env, const struct attempt *attempt, const char *node_id)
{
    char slot[TIME_TEXT_SIZE];
    switch (attempt->trigger) {
    case TRIGGER_SCHEDULE:
    case TRIGGER_CATCHUP:
    case TRIGGER_BACKFILL:
        time_format(attempt->scheduled_ms, slot);
        (void)snprintf(env->idempotency_key, sizeof env->idempotency_key, "%s:%s%s%s", env->job_id, slot,
                       attempt->pinned ? ":" : "", attempt->pinned ? node_id : "");
        return;
    default:
        memcpy(env->idempotency_key, env->execution_id, sizeof env->execution_id);
    }
}

/* W3C trace context: the execution is the trace, the attempt the parent span; not sampled by us. Neither may be zero. */
static void write_traceparent(struct run_environment *env, const struct attempt *attempt)
{
    uint64_t span = hash64(attempt->number, &attempt->execution, sizeof attempt->execution);
    const uint8_t *id = attempt->execution.bytes;
    (void)snprintf(env->traceparent, sizeof env->traceparent, "00-%016" PRIx64 "%016" PRIx64 "-%016" PRIx64 "-00",
                   load_be64(id), load_be64(id + 8), span != 0 ? span : 1);
}

void run_environment_fill(struct run_environment *ret, const struct attempt *attempt, const struct plugin_params *params,
                          const char *node_id, uint64_t output_limit)
{
    id_format(JOB_ID_PREFIX, &attempt->job_id, ret->job_id);
    id_format(EXECUTION_ID_PREFIX, &attempt->execution, ret->execution_id);
    write_idempotency_key(ret, attempt, node_id);
    write_traceparent(ret, attempt);
    ret->run = (struct chronos_run){
        .struct_size = sizeof ret->run,
        .attempt = attempt->number,
        .max_attempts = attempt->job->max_attempts,
        .n_params = params->count,
        .run_token = attempt->token,
        .scheduled_unix_ns = attempt->scheduled_ms * 1000000,
        .timeout_ns = (uint64_t)attempt->job->timeout_ms * 1000000,
        .job_version = attempt->job_version,
        .job_id = ret->job_id,
        .job_name = attempt->job_name,
        .execution_id = ret->execution_id,
        .node_id = node_id,
        .trigger = run_trigger_name(attempt->trigger),
        .traceparent = ret->traceparent,
        .idempotency_key = ret->idempotency_key,
        .params = params->items,
        .output_limit = output_limit,
    };
}
