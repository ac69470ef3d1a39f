/* The host table: what a plugin may call, and what happens when it calls it wrongly. The components here are built in
 * the test; the no-op executor comes from its file. */
#include "fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fatal.h"
#include "base/limits.h"
#include "base/log.h"
#include "plugin/instance.h"

/* -- a component of our own ---------------------------------------------------------------------------------------- */

static const struct chronos_option options[] = {
    {"name", CHRONOS_OPTION_STRING, 0, NULL, NULL, NULL},
    {"count", CHRONOS_OPTION_INT, 0, "3", "1..64", NULL},
    {"wait", CHRONOS_OPTION_DURATION, 0, "1m", NULL, NULL},
    {"cache", CHRONOS_OPTION_SIZE, 0, "1MiB", NULL, NULL},
    {"fast", CHRONOS_OPTION_BOOL, 0, "true", NULL, NULL},
    {"ratio", CHRONOS_OPTION_NUMBER, 0, "0.5", NULL, NULL},
    {"tls.file", CHRONOS_OPTION_STRING, CHRONOS_OPTION_DEPRECATED, NULL, NULL, "Use name."},
    {"per_job", CHRONOS_OPTION_INT, CHRONOS_OPTION_PER_JOB, "1", NULL, NULL},
};

static int created, destroyed;
static const struct chronos_host *given_host;

static int32_t create(const struct chronos_host *host, void **self, struct chronos_error *err)
{
    (void)err;
    created++;
    given_host = host;
    *self = &created;
    return CHRONOS_OK;
}

static void *volatile left_behind; /* reachable, so that a leak checker sees that the test means it */

static int32_t create_fails(const struct chronos_host *host, void **self, struct chronos_error *err)
{
    (void)self;
    left_behind = host->ops->alloc(host, 10);
    assert_non_null(left_behind);
    err->code = CHRONOS_DENIED;
    strcpy(err->msg, "no licence");
    return CHRONOS_DENIED;
}

static void destroy(void *self)
{
    assert_ptr_equal(self, &created);
    destroyed++;
}

struct record {
    int completions, outputs, failures;
    int32_t answer;
    uint64_t token;
    struct chronos_result result;
    char message[2048];
    char output[64];
    struct chronos_error failure;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

static int32_t on_complete(void *arg, uint64_t run_token, const struct chronos_result *result)
{
    struct record *record = arg;
    pthread_mutex_lock(&record->lock);
    record->completions++;
    record->token = run_token;
    record->result = *result;
    snprintf(record->message, sizeof record->message, "%s", result->message ? result->message : "(none)");
    pthread_cond_broadcast(&record->changed);
    pthread_mutex_unlock(&record->lock);
    return record->answer;
}

static int32_t on_output(void *arg, uint64_t run_token, int32_t stream, const void *data, uint64_t size)
{
    struct record *record = arg;
    record->outputs++;
    snprintf(record->output, sizeof record->output, "%llu %d %.*s", (unsigned long long)run_token, stream, (int)size,
             size ? (const char *)data : "");
    return record->answer;
}

static void on_failed(void *arg, const struct chronos_error *err)
{
    struct record *record = arg;
    record->failures++;
    record->failure = *err;
}

struct bench {
    struct plugin_component component;
    struct plugin_instance *instance;
    struct record record;
    struct fake_clock clock;
    struct plugin_sink sink;
    struct caught_log log;
    struct error err;
};

static enum status make(struct bench *bench, const char *config)
{
    struct clock clock = fake_clock_of(&bench->clock);
    cJSON *value = config ? json_of(config) : NULL;
    enum status status = plugin_instance_new(&bench->component, "thing-1", value, &clock, &bench->sink,
                                             &bench->instance,
                                             &bench->err);
    cJSON_Delete(value);
    return status;
}

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    assert_non_null(bench);
    created = destroyed = 0;
    given_host = NULL;
    bench->clock = (struct fake_clock){.wall_ms = 1700000000123, .monotonic_ns = 5000000000};
    bench->sink = (struct plugin_sink){on_complete, on_output, on_failed, &bench->record};
    pthread_mutex_init(&bench->record.lock, NULL);
    pthread_cond_init(&bench->record.changed, NULL);
    bench->component = (struct plugin_component){.id = "thing",
                                                 .summary = "A thing",
                                                 .kind = CHRONOS_KIND_EXECUTOR,
                                                 .plugin_name = "things",
                                                 .plugin_version = "1",
                                                 .path = "/things.so",
                                                 .create = create,
                                                 .destroy = destroy};
    assert_int_equal(plugin_schema_new(options, sizeof options / sizeof *options, sizeof *options,
                                       &bench->component.schema,
                                       &bench->err), STATUS_OK);
    log_catch(&bench->log);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    plugin_instance_free(bench->instance);
    plugin_schema_free(bench->component.schema);
    log_release(&bench->log);
    pthread_mutex_destroy(&bench->record.lock);
    pthread_cond_destroy(&bench->record.changed);
    free(bench);
    return 0;
}

static const struct chronos_host *host_of(struct bench *bench)
{
    if (!bench->instance && make(bench, NULL) != STATUS_OK)
        fail_msg("%s", bench->err.message);
    return given_host;
}

static void expect_log(struct bench *bench, const char *part)
{
    if (!strstr(log_caught(&bench->log), part))
        fail_msg("\"%s\" is not in the log: %s", part, bench->log.text);
}

/* -- life and configuration ---------------------------------------------------------------------------------------- */

static void test_life(void **state)
{
    struct bench *bench = *state;
    const struct chronos_host *host = host_of(bench);
    assert_int_equal(created, 1);
    assert_ptr_equal(host, &bench->instance->host);
    assert_int_equal(host->ops->struct_size, sizeof(struct chronos_host_ops));
    assert_int_equal(host->ops->abi_major, CHRONOS_ABI_MAJOR);
    assert_int_equal(host->ops->abi_minor, CHRONOS_ABI_MINOR);
    assert_null(host->ops->get_extension(host, "chronos.host.unknown/1"));
    assert_null(host->ops->get_extension(host, NULL));
    plugin_instance_free(bench->instance);
    bench->instance = NULL;
    assert_int_equal(destroyed, 1);
    assert_string_equal(log_caught(&bench->log), "");
    plugin_instance_free(NULL);
}

static void test_config(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(make(bench, "{\"name\":\"x\",\"count\":7,\"fast\":false,\"tls\":{\"file\":\"/f\"}}"), STATUS_OK);
    const struct chronos_host *host = given_host;
    const char *text = NULL;
    int64_t number = 0;
    int32_t truth = -1;
    assert_int_equal(host->ops->config_string(host, "name", &text), CHRONOS_OK);
    assert_string_equal(text, "x");
    assert_int_equal(host->ops->config_string(host, "tls.file", &text), CHRONOS_OK);
    assert_string_equal(text, "/f");
    assert_int_equal(host->ops->config_string(host, "ratio", &text), CHRONOS_OK);
    assert_string_equal(text, "0.5");
    assert_int_equal(host->ops->config_int(host, "count", &number), CHRONOS_OK);
    assert_int_equal(number, 7);
    assert_int_equal(host->ops->config_int(host, "wait", &number), CHRONOS_OK);
    assert_int_equal(number, 60000);
    assert_int_equal(host->ops->config_int(host, "cache", &number), CHRONOS_OK);
    assert_int_equal(number, 1 << 20);
    assert_int_equal(host->ops->config_bool(host, "fast", &truth), CHRONOS_OK);
    assert_int_equal(truth, 0);
    assert_int_equal(host->ops->config_int(host, "name", &number), CHRONOS_INVALID);
    assert_int_equal(host->ops->config_bool(host, "count", &truth), CHRONOS_INVALID);
    assert_int_equal(host->ops->config_string(host, "nothing", &text), CHRONOS_NOTFOUND);
    assert_int_equal(host->ops->config_int(host, "per_job", &number), CHRONOS_NOTFOUND);
    assert_int_equal(host->ops->config_bool(host, NULL, &truth), CHRONOS_NOTFOUND);
    expect_log(bench, "deprecated");
    expect_log(bench, "Use name.");
}

static void test_config_absent(void **state)
{
    struct bench *bench = *state;
    const struct chronos_host *host = host_of(bench);
    const char *text = "untouched";
    assert_int_equal(host->ops->config_string(host, "name", &text), CHRONOS_NOTFOUND);
    assert_string_equal(text, "untouched");
}

static void test_config_refused(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(make(bench, "{\"count\":99}"), STATUS_INVALID);
    assert_string_equal(bench->err.message,
                        "configuration of executor \"thing\": /count: must be between 1 and 64, not 99");
    assert_string_equal(bench->err.field, "/count");
    assert_int_equal(created, 0); /* the plugin never saw it */
    assert_int_equal(make(bench, "{\"name\":\"${env:CHRONOS_TEST_NOT_SET}\"}"), STATUS_NOT_FOUND);
    assert_null(bench->instance);
}

static void test_create_fails(void **state)
{
    struct bench *bench = *state;
    bench->component.create = create_fails;
    assert_int_equal(make(bench, NULL), STATUS_FORBIDDEN);
    assert_string_equal(bench->err.message, "create executor \"thing\": no licence");
    assert_int_equal(destroyed, 0);
    expect_log(bench, "it left memory behind");
}

/* -- log ----------------------------------------------------------------------------------------------------------- */

static void say(const struct chronos_host *host, int32_t level, const char *text)
{
    host->ops->log(host, level, text, strlen(text));
}

static void test_log(void **state)
{
    struct bench *bench = *state;
    const struct chronos_host *host = host_of(bench);
    say(host, CHRONOS_LOG_INFO, "all is well");
    expect_log(bench, "INFO");
    expect_log(bench, "plugin message plugin=things instance=thing-1 message=\"all is well\"");
    say(host, CHRONOS_LOG_WARN, "bad \xff byte\nand a line");
    expect_log(bench, "WARN");
    expect_log(bench, "bad \xef\xbf\xbd byte and a line");
    host->ops->log(host, CHRONOS_LOG_ERROR, "nul\0inside", 10);
    expect_log(bench, "nul inside");
    host->ops->log(host, 99, NULL, 5);
    char line[PLUGIN_LOG_LINE_MAX + 100];
    memset(line, 'x', sizeof line);
    host->ops->log(host, CHRONOS_LOG_DEBUG, line, sizeof line);
    log_caught(&bench->log);
    size_t longest = 0;
    for (const char *at = strchr(bench->log.text, 'x'); at && *at; at++) {
        size_t run = strspn(at, "x");
        longest = run > longest ? run : longest;
        at += run;
    }
    assert_in_range(longest, 500, PLUGIN_LOG_LINE_MAX);
    log_setup(LOG_LEVEL_WARN, LOG_FORMAT_TEXT, bench->log.fd);
    assert_int_equal(host->ops->log_level(host), CHRONOS_LOG_WARN);
    log_setup(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT, bench->log.fd);
    assert_int_equal(host->ops->log_level(host), CHRONOS_LOG_DEBUG);
}

static int count_lines(struct bench *bench, const char *part)
{
    int count = 0;
    for (const char *at = log_caught(&bench->log); (at = strstr(at, part)); at++)
        count++;
    return count;
}

static void test_log_limit(void **state)
{
    struct bench *bench = *state;
    const struct chronos_host *host = host_of(bench);
    for (int i = 0; i < PLUGIN_LOG_BURST + 50; i++)
        say(host, CHRONOS_LOG_INFO, "again");
    assert_int_equal(count_lines(bench, "message=again"), PLUGIN_LOG_BURST);
    bench->clock.monotonic_ns += 100000000; /* a tenth of a second: a tenth of the rate */
    for (int i = 0; i < 50; i++)
        say(host, CHRONOS_LOG_INFO, "later");
    assert_int_equal(count_lines(bench, "message=later"), PLUGIN_LOG_PER_SECOND / 10);
    expect_log(bench, "plugin log lines dropped plugin=things instance=thing-1 count=50");
    plugin_instance_free(bench->instance);
    bench->instance = NULL;
    assert_int_equal(count_lines(bench, "lines dropped"), 2); /* the rest is told at the end */
    expect_log(bench, "count=40");
}

/* -- runs ---------------------------------------------------------------------------------------------------------- */

static void test_complete(void **state)
{
    struct bench *bench = *state;
    const struct chronos_host *host = host_of(bench);
    struct chronos_kv attribute = {0};
    struct chronos_result result = {.struct_size = sizeof result, .outcome = CHRONOS_OUTCOME_FAILED, .exit_code = 3,
                                    .term_signal = 9, .status_code = 500, .retry = CHRONOS_RETRY_YES,
                                    .retry_after_ms = 1500, .message = "it\nbroke \xff", .attributes = &attribute,
                                    .n_attributes = 1};
    assert_int_equal(host->ops->complete(host, 42, &result), CHRONOS_OK);
    const struct record *record = &bench->record;
    assert_int_equal(record->completions, 1);
    assert_int_equal(record->token, 42);
    assert_int_equal(record->result.outcome, CHRONOS_OUTCOME_FAILED);
    assert_int_equal(record->result.exit_code, 3);
    assert_int_equal(record->result.term_signal, 9);
    assert_int_equal(record->result.status_code, 500);
    assert_int_equal(record->result.retry, CHRONOS_RETRY_YES);
    assert_int_equal(record->result.retry_after_ms, 1500);
    assert_null(record->result.attributes);
    assert_int_equal(record->result.n_attributes, 0);
    assert_string_equal(record->message, "it broke \xef\xbf\xbd");
    assert_string_equal(log_caught(&bench->log), "");
}

/* A plugin from later headers has a longer result: what the host does not know stays out. */
static void test_complete_longer(void **state)
{
    struct bench *bench = *state;
    const struct chronos_host *host = host_of(bench);
    struct {
        struct chronos_result result;
        uint64_t later[4];
    } longer = {.result = {.struct_size = sizeof longer, .outcome = CHRONOS_OUTCOME_SUCCESS}, .later = {1, 2, 3, 4}};
    assert_int_equal(host->ops->complete(host, 1, &longer.result), CHRONOS_OK);
    assert_int_equal(bench->record.result.outcome, CHRONOS_OUTCOME_SUCCESS);
    assert_int_equal(bench->record.result.struct_size, sizeof(struct chronos_result));
    assert_string_equal(bench->record.message, "(none)");
}

static void test_complete_misbehaviour(void **state)
{
    struct bench *bench = *state;
    const struct chronos_host *host = host_of(bench);
    struct chronos_result result = {.struct_size = sizeof result, .outcome = 17};
    assert_int_equal(host->ops->complete(host, 1, &result), CHRONOS_OK);
    assert_int_equal(bench->record.result.outcome, CHRONOS_OUTCOME_LOST);
    expect_log(bench,
               "plugin misbehaviour plugin=things instance=thing-1 reason=\"complete() was called with an unknown "
                      "outcome; the run counts as lost\"");
    result = (struct chronos_result){.struct_size = 8, .outcome = CHRONOS_OUTCOME_SUCCESS};
    assert_int_equal(host->ops->complete(host, 2, &result), CHRONOS_OK);
    assert_int_equal(bench->record.result.outcome, CHRONOS_OUTCOME_LOST);
    assert_non_null(strstr(bench->record.message, "without a valid result"));
    assert_int_equal(host->ops->complete(host, 3, NULL), CHRONOS_OK);
    assert_int_equal(bench->record.result.outcome, CHRONOS_OUTCOME_LOST);
    result = (struct chronos_result){.struct_size = PLUGIN_STRUCT_SIZE_MAX + 1, .outcome = CHRONOS_OUTCOME_SUCCESS};
    assert_int_equal(host->ops->complete(host, 3, &result), CHRONOS_OK);
    assert_int_equal(bench->record.result.outcome, CHRONOS_OUTCOME_LOST);
    result.struct_size = PLUGIN_STRUCT_SIZE_MAX; /* only what this host knows is read of it */
    assert_int_equal(host->ops->complete(host, 3, &result), CHRONOS_OK);
    assert_int_equal(bench->record.result.outcome, CHRONOS_OUTCOME_SUCCESS);
    result = (struct chronos_result){
        .struct_size = sizeof result, .outcome = CHRONOS_OUTCOME_SUCCESS, .retry = 9, .retry_after_ms = -5};
    assert_int_equal(host->ops->complete(host, 4, &result), CHRONOS_OK);
    assert_int_equal(bench->record.result.outcome, CHRONOS_OUTCOME_SUCCESS);
    assert_int_equal(bench->record.result.retry, CHRONOS_RETRY_BY_OUTCOME);
    assert_int_equal(bench->record.result.retry_after_ms, 0);
    char text[RUN_ERROR_MAX * 2];
    memset(text, 'm', sizeof text);
    text[sizeof text - 1] = '\0';
    result = (struct chronos_result){.struct_size = sizeof result, .outcome = CHRONOS_OUTCOME_FAILED, .message = text};
    assert_int_equal(host->ops->complete(host, 5, &result), CHRONOS_OK);
    assert_int_equal(strlen(bench->record.message), RUN_ERROR_MAX);
    bench->record.answer = CHRONOS_MISUSE; /* the run's book says: twice */
    assert_int_equal(host->ops->complete(host, 5, &result), CHRONOS_MISUSE);
    expect_log(bench, "a run was completed twice");
    bench->record.answer = CHRONOS_NOTFOUND;
    assert_int_equal(host->ops->complete(host, 6, &result), CHRONOS_NOTFOUND);
}

static void test_output(void **state)
{
    struct bench *bench = *state;
    const struct chronos_host *host = host_of(bench);
    assert_int_equal(host->ops->output(host, 42, CHRONOS_STREAM_STDERR, "hello", 5), CHRONOS_OK);
    assert_string_equal(bench->record.output, "42 2 hello");
    assert_int_equal(host->ops->output(host, 42, CHRONOS_STREAM_STDOUT, NULL, 0), CHRONOS_OK);
    assert_int_equal(bench->record.outputs, 2);
    assert_int_equal(host->ops->output(host, 42, 3, "hello", 5), CHRONOS_INVALID);
    assert_int_equal(host->ops->output(host, 42, CHRONOS_STREAM_STDOUT, NULL, 5), CHRONOS_INVALID);
    assert_int_equal(bench->record.outputs, 2);
    bench->record.answer = CHRONOS_TOOBIG;
    assert_int_equal(host->ops->output(host, 42, CHRONOS_STREAM_STDOUT, "x", 1), CHRONOS_TOOBIG);
}

static void test_storage_runs_nothing(void **state)
{
    struct bench *bench = *state;
    bench->sink = (struct plugin_sink){.failed = on_failed, .arg = &bench->record};
    const struct chronos_host *host = host_of(bench);
    struct chronos_result result = {.struct_size = sizeof result, .outcome = CHRONOS_OUTCOME_SUCCESS};
    assert_int_equal(host->ops->complete(host, 1, &result), CHRONOS_MISUSE);
    assert_int_equal(host->ops->output(host, 1, CHRONOS_STREAM_STDOUT, "x", 1), CHRONOS_MISUSE);
    expect_log(bench, "by a component that runs nothing");
}

/* -- the rest ------------------------------------------------------------------------------------------------------ */

static void test_memory(void **state)
{
    struct bench *bench = *state;
    const struct chronos_host *host = host_of(bench);
    assert_int_equal(plugin_instance_memory(bench->instance), 0);
    char *some = host->ops->alloc(host, 1000), *none = host->ops->alloc(host, 0);
    assert_non_null(some);
    assert_non_null(none);
    assert_int_equal((uintptr_t)some % _Alignof(max_align_t), 0);
    memset(some, 1, 1000);
    assert_int_equal(plugin_instance_memory(bench->instance), 1000);
    assert_null(host->ops->alloc(host, UINT64_MAX));
    assert_null(host->ops->alloc(host, UINT64_MAX / 2));
    host->ops->release(host, NULL);
    host->ops->release(host, some);
    assert_int_equal(plugin_instance_memory(bench->instance), 0);
    host->ops->release(host, none);
    plugin_instance_free(bench->instance);
    bench->instance = NULL;
    assert_string_equal(log_caught(&bench->log), "");
}

static void test_clocks(void **state)
{
    struct bench *bench = *state;
    const struct chronos_host *host = host_of(bench);
    assert_int_equal(host->ops->now(host, CHRONOS_CLOCK_WALL), 1700000000123000000);
    assert_int_equal(host->ops->now(host, CHRONOS_CLOCK_MONOTONIC), 5000000000);
    bench->clock.monotonic_ns++;
    assert_int_equal(host->ops->now(host, CHRONOS_CLOCK_MONOTONIC), 5000000001);
}

static void test_fail(void **state)
{
    struct bench *bench = *state;
    const struct chronos_host *host = host_of(bench);
    struct chronos_error err = {.struct_size = sizeof err, .code = CHRONOS_IO, .sys_errno = 5, .msg = "disk gone"};
    (host->ops->fail)(host, &err); /* in brackets: cmocka has a macro of this name */
    assert_int_equal(bench->record.failures, 1);
    assert_int_equal(bench->record.failure.code, CHRONOS_IO);
    assert_int_equal(bench->record.failure.sys_errno, 5);
    assert_string_equal(bench->record.failure.msg, "disk gone");
    (host->ops->fail)(host, NULL); /* said once, once is enough */
    assert_int_equal(bench->record.failures, 1);
    expect_log(bench, "plugin instance failed");
}

static void test_fail_without_reason(void **state)
{
    struct bench *bench = *state;
    const struct chronos_host *host = host_of(bench);
    (host->ops->fail)(host, NULL);
    assert_int_equal(bench->record.failures, 1);
    assert_int_equal(bench->record.failure.code, CHRONOS_INTERNAL);
}

/* Nobody listens: the process ends. */
static void test_fail_ends_the_process(void **state)
{
    struct bench *bench = *state;
    bench->sink = (struct plugin_sink){0};
    const struct chronos_host *host = host_of(bench);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct chronos_error err = {.struct_size = sizeof err, .code = CHRONOS_CORRUPT, .msg = "torn page"};
        (host->ops->fail)(host, &err);
        _exit(0);
    }
    int end = 0;
    assert_int_equal(waitpid(child, &end, 0), child);
    assert_true(WIFEXITED(end)); /* no core file: it could hold secrets */
    assert_int_equal(WEXITSTATUS(end), EXIT_DISK);
    expect_log(bench, "torn page");
}

/* -- many threads -------------------------------------------------------------------------------------------------- */

static void *talk(void *arg)
{
    struct bench *bench = arg;
    const struct chronos_host *host = &bench->instance->host;
    for (int i = 0; i < 500; i++) {
        void *memory = host->ops->alloc(host, 100);
        say(host, CHRONOS_LOG_INFO, "threads");
        struct chronos_result result = {.struct_size = sizeof result, .outcome = CHRONOS_OUTCOME_SUCCESS};
        (void)host->ops->complete(host, (uint64_t)i, &result);
        host->ops->release(host, memory);
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct bench *bench = *state;
    (void)host_of(bench);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, talk, bench), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(bench->record.completions, 2000);
    assert_int_equal(plugin_instance_memory(bench->instance), 0);
    assert_int_equal(count_lines(bench, "message=threads"), PLUGIN_LOG_BURST);
}

/* -- the no-op executor -------------------------------------------------------------------------------------------- */

struct noop {
    struct loaded loaded;
    struct plugin_instance *instance;
    const struct chronos_executor_ops *ops;
    struct record record;
};

static struct noop *noop_new(void)
{
    struct noop *noop = calloc(1, sizeof *noop);
    assert_non_null(noop);
    noop->loaded = loaded_new("executor_noop");
    pthread_mutex_init(&noop->record.lock, NULL);
    pthread_cond_init(&noop->record.changed, NULL);
    const struct plugin_component *component = plugin_find(noop->loaded.registry, CHRONOS_KIND_EXECUTOR, "noop");
    const struct plugin_sink sink = {on_complete, on_output, on_failed, &noop->record};
    struct error err;
    assert_non_null(component);
    if (plugin_instance_new(component, "noop", NULL, &clock_system, &sink, &noop->instance, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    noop->ops = &component->ops.executor;
    return noop;
}

static void noop_free(struct noop *noop)
{
    plugin_instance_free(noop->instance);
    loaded_free(&noop->loaded);
    pthread_mutex_destroy(&noop->record.lock);
    pthread_cond_destroy(&noop->record.changed);
    free(noop);
}

static void noop_start(struct noop *noop, uint64_t token, const char *config)
{
    struct plugin_params params;
    struct error err;
    struct chronos_error from = {.struct_size = sizeof from};
    cJSON *value = json_of(config);
    if (plugin_schema_params(noop->instance->component->schema, PLUGIN_SCOPE_JOB, value, NULL, &params,
                             &err) != STATUS_OK)
        fail_msg("%s", err.message);
    struct chronos_run run = {.struct_size = sizeof run, .attempt = 1, .max_attempts = 1, .run_token = token,
                              .params = params.items, .n_params = params.count};
    assert_int_equal(noop->ops->start(noop->instance->self, &run, &from), CHRONOS_OK);
    plugin_params_deinit(&params);
    cJSON_Delete(value);
}

static void wait_for_completions(struct record *record, int count)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 30;
    pthread_mutex_lock(&record->lock);
    int failed = 0;
    while (record->completions < count && !failed)
        failed = pthread_cond_timedwait(&record->changed, &record->lock, &deadline);
    pthread_mutex_unlock(&record->lock);
    assert_int_equal(failed, 0);
}

static void test_noop_at_once(void **state)
{
    (void)state;
    struct noop *noop = noop_new();
    noop_start(noop, 7, "{}");
    assert_int_equal(noop->record.completions, 1);
    assert_int_equal(noop->record.token, 7);
    assert_int_equal(noop->record.result.outcome, CHRONOS_OUTCOME_SUCCESS);
    assert_int_equal(noop->record.result.exit_code, 0);
    noop_start(noop, 8, "{\"fail\":true,\"output\":\"hi\"}");
    assert_int_equal(noop->record.result.outcome, CHRONOS_OUTCOME_FAILED);
    assert_int_equal(noop->record.result.exit_code, 1);
    assert_string_equal(noop->record.output, "8 1 hi");
    noop_start(noop, 9, "{\"exit_code\":42}");
    assert_int_equal(noop->record.result.outcome, CHRONOS_OUTCOME_FAILED);
    assert_int_equal(noop->record.result.exit_code, 42);
    noop_free(noop);
}

static void test_noop_later(void **state)
{
    (void)state;
    struct noop *noop = noop_new();
    noop_start(noop, 1, "{\"duration\":\"1h\"}");
    noop_start(noop, 2, "{\"duration\":\"2h\"}");
    noop_start(noop, 3, "{\"duration\":\"20ms\",\"exit_code\":5}");
    wait_for_completions(&noop->record, 1);
    assert_int_equal(noop->record.token, 3);
    assert_int_equal(noop->record.result.exit_code, 5);
    noop->ops->cancel(noop->instance->self, 2, CHRONOS_CANCEL_USER, 0);
    wait_for_completions(&noop->record, 2);
    assert_int_equal(noop->record.token, 2);
    assert_int_equal(noop->record.result.outcome, CHRONOS_OUTCOME_CANCELLED);
    noop->ops->cancel(noop->instance->self, 2, CHRONOS_CANCEL_USER, 0); /* idempotent */
    noop->ops->cancel(noop->instance->self, 99, CHRONOS_CANCEL_USER, 0); /* unknown */
    noop->ops->cancel(noop->instance->self, 1, CHRONOS_CANCEL_SHUTDOWN, 0);
    wait_for_completions(&noop->record, 3);
    for (int i = 0; i < 1000; i++)
        noop_start(noop, 1000 + (uint64_t)i, i % 2 ? "{\"duration\":\"1ms\"}" : "{\"duration\":\"2ms\"}");
    wait_for_completions(&noop->record, 1003);
    assert_int_equal(noop->record.completions, 1003);
    noop_free(noop);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_life),
        CASE(test_config),
        CASE(test_config_absent),
        CASE(test_config_refused),
        CASE(test_create_fails),
        CASE(test_log),
        CASE(test_log_limit),
        CASE(test_complete),
        CASE(test_complete_longer),
        CASE(test_complete_misbehaviour),
        CASE(test_output),
        CASE(test_storage_runs_nothing),
        CASE(test_memory),
        CASE(test_clocks),
        CASE(test_fail),
        CASE(test_fail_without_reason),
        CASE(test_fail_ends_the_process),
        CASE(test_threads),
        cmocka_unit_test(test_noop_at_once),
        cmocka_unit_test(test_noop_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
