/* JSON from anyone as a job: nothing crashes, every refusal says why, and what is accepted is in its normal form: read again,
 * also as an edit of itself, it gives the same text. By hand, with the executors built beside it:
 *
 *   cmake -S . -B build-fuzz -DCMAKE_C_COMPILER=clang -DCMAKE_C_FLAGS=-fsanitize=fuzzer-no-link,address,undefined
 *       -DCMAKE_BUILD_TYPE=Debug && cmake --build build-fuzz
 *   clang -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Icore -Isdk/include
 *       -DPLUGIN_DIRECTORY=\"<build without sanitizers>/lib/chronos/plugins\" tests/fuzz/fuzz_job_json.c
 *       build-fuzz/core/{api,run,scheduler,cluster,state,http,config,plugin,schedule,base}/lib*.a
 *       -luv -lcjson -lyaml -lcrypto -ldl -lpthread */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/job_document.h"
#include "base/zoneinfo.h"
#include "check.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
static struct config config;
static struct plugin_registry *registry;
static struct job_defaults defaults;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char *const files[] = {"executor_shell.so", "executor_http.so"};
    const struct scheduler_config zones = {.zones = {.load = zoneinfo_load}, .seed = 1};
    struct error err;
    (void)argc;
    (void)argv;
    config.scheduler.execution_timeout_ms = 3600 * 1000;
    config.scheduler.catchup_limit = 100;
    config.scheduler.retry = (struct retry_policy){.max_attempts = 1, .initial_interval_ms = 1000, .max_interval_ms = 60000,
                                                   .multiplier_thousandths = 2000, .jitter_thousandths = 100};
    CHECK(plugin_registry_new(&registry, &err) == STATUS_OK);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (plugin_load(registry, PLUGIN_DIRECTORY, files[i], NULL, &err) != STATUS_OK) {
            (void)fprintf(stderr, "%s\n", err.message);
            abort();
        }
    }
    defaults = (struct job_defaults){.config = &config, .registry = registry, .now_ms = INT64_C(1781049600000)};
    CHECK(scheduler_new(&zones, &defaults.scheduler, &err) == STATUS_OK);
    return 0;
}

static void check_errors(const struct field_errors *errors, enum status code)
{
    CHECK(errors->count > 0);
    CHECK(code == STATUS_INVALID || code == STATUS_EXECUTOR_UNKNOWN);
    for (uint32_t i = 0; i < errors->count && i < API_FIELD_ERRORS_MAX; i++) {
        CHECK(errors->items[i].message[0] != '\0');
        CHECK(errors->items[i].field[0] == '\0' || errors->items[i].field[0] == '/');
    }
}

static void check_spec(const struct job_spec *spec)
{
    struct schedule *schedule = NULL;
    struct error err;
    CHECK(spec->name[0] != '\0' && spec->executor[0] != '\0' && spec->schedule_count >= 1);
    CHECK(spec->retry.max_attempts >= 1 && spec->retry.initial_interval_ms <= spec->retry.max_interval_ms);
    CHECK(spec->timeout_ms > 0 && spec->catchup_limit >= 1 && spec->max_concurrent >= 1);
    CHECK(job_spec_compile(spec, defaults.scheduler, &schedule, &err) == STATUS_OK);
    schedule_free(schedule);
    CHECK(spec->node_tag_count <= NODE_TAGS_MAX && spec->placement < PLACEMENT_COUNT);
    for (uint32_t i = 0; i < spec->node_tag_count; i++)
        CHECK(strchr(spec->node_tags[i], '=') != NULL && (i == 0 || strcmp(spec->node_tags[i - 1], spec->node_tags[i]) < 0));
}

static void check_again(const struct job_document *job, const cJSON *stored)
{
    struct job_document again;
    struct field_errors errors;
    struct error err;
    enum status code;
    cJSON *json = NULL;
    CHECK(json_parse(job->text.data, job->text.size, &json, &err) == STATUS_OK);
    CHECK(job_document_parse(json, stored, &defaults, &again, &code, &errors));
    CHECK(again.text.size == job->text.size && memcmp(again.text.data, job->text.data, job->text.size) == 0);
    job_document_deinit(&again);
    cJSON_Delete(json);
}

/* The same input as an edit of itself: masks may find a secret then, everything else stays as it was. */
static void parse_over_itself(const uint8_t *data, size_t size)
{
    cJSON *json = NULL, *stored = NULL;
    struct job_document job;
    struct field_errors errors;
    struct error err;
    enum status code;
    CHECK(json_parse((const char *)data, size, &json, &err) == STATUS_OK);
    CHECK(json_parse((const char *)data, size, &stored, &err) == STATUS_OK);
    if (job_document_parse(json, stored, &defaults, &job, &code, &errors))
        job_document_deinit(&job);
    else
        check_errors(&errors, code);
    cJSON_Delete(json);
    cJSON_Delete(stored);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cJSON *json = NULL, *stored = NULL;
    struct job_document job;
    struct field_errors errors;
    struct error err;
    enum status code;
    if (json_parse((const char *)data, size, &json, &err) != STATUS_OK)
        return 0;
    parse_over_itself(data, size);
    if (!job_document_parse(json, NULL, &defaults, &job, &code, &errors)) {
        check_errors(&errors, code);
        cJSON_Delete(json);
        return 0;
    }
    check_spec(&job.spec);
    check_again(&job, NULL);
    CHECK(json_parse(job.text.data, job.text.size, &stored, &err) == STATUS_OK);
    check_again(&job, stored);
    cJSON_Delete(stored);
    job_document_deinit(&job);
    cJSON_Delete(json);
    return 0;
}
