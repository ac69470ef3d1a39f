/* The HTTP executor: what the host sees of it. */
#include <stdlib.h>
#include <string.h>

#include <chronos/plugin.h>

#include "engine.h"
#include "http_job.h"
#include "plugin_error.h"

static int32_t http_validate(void *self, const struct chronos_run *run, struct chronos_error *err)
{
    (void)self; /* the check is pure */
    return http_job_check(run, err);
}

static int32_t http_start(void *self, const struct chronos_run *run, struct chronos_error *err)
{
    struct http_job job = {0};
    int32_t status = http_job_init(&job, run, err);

    if (status != CHRONOS_OK) {
        return status;
    }
    status = engine_start(self, run, &job, err);
    http_job_deinit(&job);
    return status;
}

static void http_cancel(void *self, uint64_t run_token, int32_t reason, uint64_t grace_ms)
{
    (void)grace_ms; /* a request cannot be asked to end: it is given up at once */
    engine_cancel(self, run_token, reason);
}

static int32_t http_create(const struct chronos_host *host, void **self, struct chronos_error *err)
{
    struct engine_options options = {.max_connections = 256, .max_connections_per_host = 32};
    struct engine *engine = NULL;

    (void)host->ops->config_int(host, "max_connections", &options.max_connections); /* else the default stays */
    (void)host->ops->config_int(host, "max_connections_per_host", &options.max_connections_per_host);
    (void)host->ops->config_string(host, "proxy", &options.proxy);
    (void)host->ops->config_string(host, "no_proxy", &options.no_proxy);
    int32_t status = engine_new(host, &options, &engine, err);
    if (status == CHRONOS_OK) {
        *self = engine;
    }
    return status;
}

static void http_destroy(void *self)
{
    engine_free(self);
}

/* Jobs are created by the thousand: the check is a scan of the parameters, and takes part where the request is. */
static const void *http_get_extension(void *self, const char *id)
{
    static const struct chronos_quick_validate quick = {.struct_size = sizeof(quick)};

    (void)self; /* the same for every instance */
    return strcmp(id, CHRONOS_QUICK_VALIDATE) == 0 ? &quick : NULL;
}

static const struct chronos_executor_ops http_ops = {
    .struct_size = sizeof(http_ops),
    .validate = http_validate,
    .start = http_start,
    .cancel = http_cancel,
};

#define PER_JOB CHRONOS_OPTION_PER_JOB
#define SECRET CHRONOS_OPTION_SECRET

static const struct chronos_option http_options[] = {
    {"url", CHRONOS_OPTION_STRING, PER_JOB | CHRONOS_OPTION_REQUIRED, NULL, "1..8192", "An http:// or https:// URL."},
    {"method", CHRONOS_OPTION_ENUM, PER_JOB, "POST", "GET|POST|PUT|PATCH|DELETE|HEAD", "Request method."},
    {"headers", CHRONOS_OPTION_STRING, PER_JOB | CHRONOS_OPTION_MAP, NULL, "0..64", "Further request headers."},
    {"body", CHRONOS_OPTION_STRING, PER_JOB, NULL, NULL,
     "Request body; {{.JobID}}, {{.JobName}}, {{.ExecutionID}}, {{.ScheduledTime}} and {{.Attempt}} are filled in."},
    {"auth.type", CHRONOS_OPTION_ENUM, PER_JOB, "none", "none|basic|bearer|api_key", "How the request authenticates."},
    {"auth.username", CHRONOS_OPTION_STRING, PER_JOB, NULL, NULL, "User name, for basic."},
    {"auth.password", CHRONOS_OPTION_STRING, PER_JOB | SECRET, NULL, NULL, "Password, for basic."},
    {"auth.token", CHRONOS_OPTION_STRING, PER_JOB | SECRET, NULL, NULL, "Token, for bearer."},
    {"auth.header", CHRONOS_OPTION_STRING, PER_JOB, "X-API-Key", "1..256", "Header of the key, for api_key."},
    {"auth.key", CHRONOS_OPTION_STRING, PER_JOB | SECRET, NULL, NULL, "The key, for api_key."},
    {"success_codes", CHRONOS_OPTION_STRING, PER_JOB | CHRONOS_OPTION_LIST, NULL, "0..32",
     "Status codes that count as success, such as \"200\", \"2xx\" or \"200-204\"; default 2xx."},
    {"timeout", CHRONOS_OPTION_DURATION, PER_JOB, "30s", "10ms..24h", "For the whole request, redirects included."},
    {"follow_redirects", CHRONOS_OPTION_BOOL, PER_JOB, "false", NULL,
     "Follow up to 10 redirects; another host gets neither the job's headers nor its credentials."},
    {"tls.ca_file", CHRONOS_OPTION_STRING, PER_JOB, NULL, "1..4095",
     "Absolute path of a PEM file with the authorities to trust; default: the system's."},
    {"tls.skip_verify", CHRONOS_OPTION_BOOL, PER_JOB, "false", NULL, "Accept any certificate: for tests only."},
    {"tls.client_cert", CHRONOS_OPTION_STRING, PER_JOB, NULL, "1..4095", "Absolute path of a PEM client certificate."},
    {"tls.client_key", CHRONOS_OPTION_STRING, PER_JOB, NULL, "1..4095",
     "Absolute path of its key; default: in the file of the certificate."},
    {"max_connections", CHRONOS_OPTION_INT, 0, "256", "1..10000", "Open connections of this node; the excess waits."},
    {"max_connections_per_host", CHRONOS_OPTION_INT, 0, "32", "1..10000", "Open connections to one host and port."},
    {"proxy", CHRONOS_OPTION_STRING, SECRET, NULL, "1..2048",
     "URL of a proxy for all requests; the environment's proxies are not used."},
    {"no_proxy", CHRONOS_OPTION_STRING, 0, NULL, "1..4096", "Hosts reached without the proxy, separated by commas."},
};

static const struct chronos_component http_component = {
    .struct_size = sizeof(http_component),
    .kind = CHRONOS_KIND_EXECUTOR,
    .id = "http",
    .summary = "Sends an HTTP request",
    .shorthand = "webhook",
    .options = http_options,
    .n_options = sizeof(http_options) / sizeof(http_options[0]),
    .option_stride = sizeof(http_options[0]),
    .ops = &http_ops,
    .create = http_create,
    .destroy = http_destroy,
    .get_extension = http_get_extension,
};

static const struct chronos_component *const components[] = {&http_component, NULL};

static const struct chronos_plugin plugin = {
    .magic = CHRONOS_PLUGIN_MAGIC,
    .struct_size = sizeof(plugin),
    .abi_major = CHRONOS_ABI_MAJOR,
    .abi_minor = CHRONOS_ABI_MINOR,
    .features = CHRONOS_FEATURES_THIS,
    .name = "executor_http",
    .version = CHRONOS_VERSION,
    .vendor = "Chronos",
    .build_info = "compiler " __VERSION__,
    .components = components,
};

const struct chronos_plugin *chronos_plugin_v1(void)
{
    return &plugin;
}
