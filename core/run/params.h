/* What an executor is told about an attempt. Pure but for the secrets, which are read from files: not on the loop. */
#ifndef CHRONOS_RUN_PARAMS_H
#define CHRONOS_RUN_PARAMS_H

#include "plugin/registry.h"
#include "plugin/schema.h"
#include "run/attempts.h"
#include "run/job_cache.h"

/* `config` (NULL: {}) with an RFC 7396 merge patch applied: a new value, NULL without memory. */
cJSON *config_merge(const cJSON *config, const cJSON *patch);

/* The job's config with the run's overrides, checked, defaults and secrets in their places. INVALID: the config does not
 * hold; anything else may go away by itself. */
must_use enum status run_params(const struct plugin_component *component, const struct attempt *attempt,
                                struct plugin_params *ret, struct error *err);

struct run_environment {
    struct chronos_run run;
    char job_id[ID_TEXT_SIZE], execution_id[ID_TEXT_SIZE];
    char idempotency_key[ID_TEXT_SIZE + TIME_TEXT_SIZE + NODE_TEXT_SIZE + 1];
    char traceparent[64];
};
/* The run's texts live in `ret` and in what is given. */
void run_environment_fill(struct run_environment *ret, const struct attempt *attempt, const struct plugin_params *params,
                          const char *node_id, uint64_t output_limit);

#endif
