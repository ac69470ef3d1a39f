/* An executor whose validate() breaks its contract: it waits until the file "gate" exists (30 s at most), then refuses what has
 * "refuse". The host must serve everybody else meanwhile. Runs end at once. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <chronos/plugin.h>

enum { TRIES_MAX = 3000, PAUSE_NS = 10000000 };

struct slow {
    const struct chronos_host *host;
};

static const char *param(const struct chronos_run *run, const char *name)
{
    for (uint32_t i = 0; i < run->n_params; i++)
        if (strcmp(run->params[i].name, name) == 0)
            return run->params[i].value.data;
    return "";
}

static int32_t slow_validate(void *self, const struct chronos_run *run, struct chronos_error *err)
{
    static const struct timespec pause = {0, PAUSE_NS};
    static const char sentence[] = "refused after a long time";
    const char *gate = param(run, "gate");
    (void)self;
    for (int tries = 0; gate[0] != '\0' && access(gate, F_OK) != 0 && tries < TRIES_MAX; tries++)
        (void)nanosleep(&pause, NULL);
    if (strcmp(param(run, "refuse"), "true") != 0)
        return CHRONOS_OK;
    err->code = CHRONOS_INVALID;
    memcpy(err->msg, sentence, sizeof sentence);
    return CHRONOS_INVALID;
}

static int32_t slow_start(void *self, const struct chronos_run *run, struct chronos_error *err)
{
    const struct slow *slow = self;
    struct chronos_result result;
    (void)err;
    memset(&result, 0, sizeof result);
    result.struct_size = sizeof result;
    result.outcome = CHRONOS_OUTCOME_SUCCESS;
    (void)slow->host->ops->complete(slow->host, run->run_token, &result); /* whatever the host thinks of it */
    return CHRONOS_OK;
}

static void slow_cancel(void *self, uint64_t run_token, int32_t reason, uint64_t grace_ms)
{
    (void)self;
    (void)run_token;
    (void)reason;
    (void)grace_ms;
}

static int32_t slow_create(const struct chronos_host *host, void **self, struct chronos_error *err)
{
    struct slow *slow = calloc(1, sizeof *slow);
    if (!slow) {
        err->code = CHRONOS_NOMEM;
        return CHRONOS_NOMEM;
    }
    slow->host = host;
    *self = slow;
    return CHRONOS_OK;
}

static const struct chronos_option options[] = {
    {"gate", CHRONOS_OPTION_STRING, CHRONOS_OPTION_PER_JOB, NULL, NULL, "The file to wait for."},
    {"refuse", CHRONOS_OPTION_BOOL, CHRONOS_OPTION_PER_JOB, "false", NULL, "Refuse the job then."},
};

static const struct chronos_executor_ops ops = {
    .struct_size = sizeof ops,
    .validate = slow_validate,
    .start = slow_start,
    .cancel = slow_cancel,
};

static const struct chronos_component component = {
    .struct_size = sizeof component,
    .kind = CHRONOS_KIND_EXECUTOR,
    .id = "slow",
    .summary = "Is slow to agree",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .option_stride = sizeof *options,
    .ops = &ops,
    .create = slow_create,
    .destroy = free,
};

static const struct chronos_component *const components[] = {&component, NULL};

static const struct chronos_plugin plugin = {
    .magic = CHRONOS_PLUGIN_MAGIC,
    .struct_size = sizeof plugin,
    .abi_major = CHRONOS_ABI_MAJOR,
    .abi_minor = CHRONOS_ABI_MINOR,
    .features = CHRONOS_FEATURES_THIS,
    .name = "executor_slow_check",
    .version = "1",
    .vendor = "Chronos tests",
    .components = components,
};

const struct chronos_plugin *chronos_plugin_v1(void)
{
    return &plugin;
}
