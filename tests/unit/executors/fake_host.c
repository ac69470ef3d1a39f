#include "fake_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RECORDS_MAX = 4096, LOG_SIZE = 64 * 1024 };

struct record {
    struct run_record shown;
    uint64_t limit;
    int64_t started_ns;
};

struct fake_host {
    struct chronos_host host;
    const struct chronos_component *component;
    const struct config_value *config;
    void *self;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct record records[RECORDS_MAX]; /* by token - 1 */
    uint64_t last_token;
    char log[LOG_SIZE];
    size_t log_size;
};

static int64_t clock_ns(clockid_t clock)
{
    struct timespec time;

    (void)clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* ---- Slots ---- */

static void slot_log(const struct chronos_host *host, int32_t level, const char *message, uint64_t size)
{
    struct fake_host *h = host->data;

    (void)level;
    (void)pthread_mutex_lock(&h->lock);
    if (h->log_size + size + 2 < LOG_SIZE) {
        memcpy(h->log + h->log_size, message, size);
        h->log_size += size;
        h->log[h->log_size++] = '\n';
    }
    (void)pthread_mutex_unlock(&h->lock);
}

static int32_t slot_log_level(const struct chronos_host *host)
{
    (void)host;
    return CHRONOS_LOG_DEBUG;
}

static struct record *record_of(struct fake_host *h, uint64_t token)
{
    return token == 0 || token > h->last_token ? NULL : &h->records[token - 1];
}

static int32_t slot_complete(const struct chronos_host *host, uint64_t token, const struct chronos_result *result)
{
    struct fake_host *h = host->data;
    int32_t status = CHRONOS_NOTFOUND;

    (void)pthread_mutex_lock(&h->lock);
    struct record *r = record_of(h, token);
    if (r != NULL && r->shown.completions++ > 0) {
        status = CHRONOS_MISUSE;
    } else if (r != NULL) {
        r->shown.result = *result;
        r->shown.seconds = (double)(clock_ns(CLOCK_MONOTONIC) - r->started_ns) / 1e9;
        if (result->message != NULL) {
            (void)snprintf(r->shown.message, sizeof(r->shown.message), "%s", result->message);
        }
        r->shown.result.message = result->message == NULL ? NULL : r->shown.message;
        status = CHRONOS_OK;
    }
    (void)pthread_cond_broadcast(&h->changed);
    (void)pthread_mutex_unlock(&h->lock);
    return status;
}

static int32_t append(char **text, uint64_t *kept, uint64_t *total, uint64_t room, const void *data, uint64_t size)
{
    uint64_t take = size < room ? size : room;

    *total += size;
    *text = realloc(*text, *kept + take + 1);
    memcpy(*text + *kept, data, take);
    *kept += take;
    (*text)[*kept] = '\0';
    return take < size ? CHRONOS_TOOBIG : CHRONOS_OK;
}

static int32_t slot_output(const struct chronos_host *host, uint64_t token, int32_t stream, const void *data,
                           uint64_t size)
{
    struct fake_host *h = host->data;
    int32_t status = CHRONOS_NOTFOUND;

    (void)pthread_mutex_lock(&h->lock);
    struct record *r = record_of(h, token);
    if (r != NULL && r->shown.completions == 0) {
        uint64_t room = r->limit - r->shown.out_size - r->shown.err_size;
        status = stream == CHRONOS_STREAM_STDOUT
                     ? append(&r->shown.out, &r->shown.out_size, &r->shown.out_total, room, data, size)
                     : append(&r->shown.err, &r->shown.err_size, &r->shown.err_total, room, data, size);
    }
    (void)pthread_cond_broadcast(&h->changed);
    (void)pthread_mutex_unlock(&h->lock);
    return status;
}

static const struct config_value *find_config(const struct chronos_host *host, const char *key)
{
    const struct fake_host *h = host->data;

    for (const struct config_value *v = h->config; v != NULL && v->key != NULL; v++) {
        if (strcmp(v->key, key) == 0) {
            return v;
        }
    }
    return NULL;
}

static int32_t slot_config_string(const struct chronos_host *host, const char *key, const char **out)
{
    const struct config_value *value = find_config(host, key);

    if (value == NULL) {
        return CHRONOS_NOTFOUND;
    }
    *out = value->text;
    return CHRONOS_OK;
}

static int32_t slot_config_int(const struct chronos_host *host, const char *key, int64_t *out)
{
    const struct config_value *value = find_config(host, key);

    if (value == NULL) {
        return CHRONOS_NOTFOUND;
    }
    *out = value->number;
    return CHRONOS_OK;
}

static int32_t slot_config_bool(const struct chronos_host *host, const char *key, int32_t *out)
{
    int64_t number;
    int32_t status = slot_config_int(host, key, &number);

    if (status == CHRONOS_OK) {
        *out = number != 0;
    }
    return status;
}

static int64_t slot_now(const struct chronos_host *host, int32_t clock)
{
    (void)host;
    return clock_ns(clock == CHRONOS_CLOCK_WALL ? CLOCK_REALTIME : CLOCK_MONOTONIC);
}

static void *slot_alloc(const struct chronos_host *host, uint64_t size)
{
    (void)host;
    return malloc(size);
}

static void slot_release(const struct chronos_host *host, void *pointer)
{
    (void)host;
    free(pointer);
}

static void slot_fail(const struct chronos_host *host, const struct chronos_error *err)
{
    (void)host;
    (void)fprintf(stderr, "the instance failed: %s\n", err->msg);
    abort();
}

static const void *slot_get_extension(const struct chronos_host *host, const char *id)
{
    (void)host;
    (void)id;
    return NULL;
}

static const struct chronos_host_ops slots = {
    .struct_size = sizeof(slots),
    .abi_major = CHRONOS_ABI_MAJOR,
    .abi_minor = CHRONOS_ABI_MINOR,
    .log = slot_log,
    .log_level = slot_log_level,
    .complete = slot_complete,
    .output = slot_output,
    .config_string = slot_config_string,
    .config_int = slot_config_int,
    .config_bool = slot_config_bool,
    .now = slot_now,
    .alloc = slot_alloc,
    .release = slot_release,
    .fail = slot_fail,
    .get_extension = slot_get_extension,
};

/* ---- Life ---- */

static struct fake_host *load(const char *path, const struct config_value *config)
{
    const struct chronos_plugin *(*entry)(void);
    struct fake_host *h = calloc(1, sizeof(*h));

    assert_non_null(h);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fail_msg("%s", dlerror());
    }
    *(void **)&entry = dlsym(library, CHRONOS_PLUGIN_ENTRY);
    assert_non_null(entry);
    assert_int_equal(entry()->magic, CHRONOS_PLUGIN_MAGIC);
    h->component = entry()->components[0];
    h->config = config;
    h->host = (struct chronos_host){.ops = &slots, .data = h};
    (void)pthread_mutex_init(&h->lock, NULL);
    (void)pthread_cond_init(&h->changed, NULL);
    return h;
}

int32_t fake_host_try(const char *path, const struct config_value *config, struct chronos_error *err)
{
    struct fake_host *h = load(path, config);

    *err = (struct chronos_error){.struct_size = sizeof(*err)};
    int32_t status = h->component->create(&h->host, &h->self, err);
    if (status == CHRONOS_OK) {
        h->component->destroy(h->self);
    }
    free(h);
    return status;
}

struct fake_host *fake_host_new(const char *path, const struct config_value *config)
{
    struct chronos_error err = {.struct_size = sizeof(err)};
    struct fake_host *h = load(path, config);

    if (h->component->create(&h->host, &h->self, &err) != CHRONOS_OK) {
        fail_msg("create: %s", err.msg);
    }
    return h;
}

void fake_host_destroy_instance(struct fake_host *h)
{
    if (h->self != NULL) {
        h->component->destroy(h->self);
    }
    h->self = NULL;
}

void fake_host_free(struct fake_host *h)
{
    fake_host_destroy_instance(h);
    for (uint64_t i = 0; i < h->last_token; i++) {
        assert_int_equal(h->records[i].shown.completions, 1);
        free(h->records[i].shown.out);
        free(h->records[i].shown.err);
    }
    (void)pthread_mutex_destroy(&h->lock);
    (void)pthread_cond_destroy(&h->changed);
    free(h);
}

const struct chronos_component *fake_host_component(const struct fake_host *h)
{
    return h->component;
}

/* ---- Jobs ---- */

static void job_add(struct job *job, const char *name, const char *key, const void *data, size_t size)
{
    assert_true(job->count < PARAMS_MAX);
    job->params[job->count++] = (struct chronos_param){
        .name = name, .key = key, .type = CHRONOS_OPTION_STRING, .value = {.data = data, .size = size}};
}

void job_set(struct job *job, const char *name, const char *value)
{
    job_add(job, name, NULL, value, strlen(value));
}

void job_set_key(struct job *job, const char *name, const char *key, const char *value)
{
    job_add(job, name, key, value, strlen(value));
}

void job_set_bytes(struct job *job, const char *name, const void *data, size_t size)
{
    job_add(job, name, NULL, data, size);
}

static struct chronos_run run_of(const struct job *job)
{
    return (struct chronos_run){
        .struct_size = sizeof(struct chronos_run),
        .attempt = 2,
        .max_attempts = 3,
        .n_params = job->count,
        .scheduled_unix_ns = INT64_C(1769850000123000000), /* 2026-01-31T09:00:00.123Z */
        .job_version = 7,
        .job_id = "job_01",
        .job_name = "daily-report",
        .execution_id = "exec_01",
        .node_id = "node-a",
        .trigger = "schedule",
        .traceparent = job->traceparent == NULL ? "" : job->traceparent,
        .idempotency_key = "job_01:1769850000",
        .params = job->params,
        .output_limit = job->output_limit == 0 ? 1 << 20 : job->output_limit,
    };
}

int32_t fake_validate(struct fake_host *h, const struct job *job, struct chronos_error *err)
{
    const struct chronos_executor_ops *ops = h->component->ops;
    struct chronos_error unused = {.struct_size = sizeof(unused)};
    struct chronos_run run = run_of(job);

    return ops->validate(h->self, &run, err == NULL ? &unused : err);
}

int32_t fake_try_start(struct fake_host *h, const struct job *job, struct chronos_error *err)
{
    const struct chronos_executor_ops *ops = h->component->ops;
    struct chronos_run run = run_of(job);

    (void)pthread_mutex_lock(&h->lock);
    assert_true(h->last_token < RECORDS_MAX);
    run.run_token = ++h->last_token;
    struct record *r = record_of(h, run.run_token);
    *r = (struct record){.limit = run.output_limit, .started_ns = clock_ns(CLOCK_MONOTONIC)};
    (void)pthread_mutex_unlock(&h->lock);
    int32_t status = ops->start(h->self, &run, err);
    if (status != CHRONOS_OK) { /* no completion will follow: the record is taken back */
        (void)pthread_mutex_lock(&h->lock);
        h->last_token--;
        (void)pthread_mutex_unlock(&h->lock);
    }
    return status;
}

uint64_t fake_start(struct fake_host *h, const struct job *job)
{
    struct chronos_error err = {.struct_size = sizeof(err)};

    if (fake_try_start(h, job, &err) != CHRONOS_OK) {
        fail_msg("start: %s", err.msg);
    }
    return h->last_token; /* only the test's own thread starts runs */
}

void fake_cancel(struct fake_host *h, uint64_t token, int32_t reason, uint64_t grace_ms)
{
    const struct chronos_executor_ops *ops = h->component->ops;

    ops->cancel(h->self, token, reason, grace_ms);
}

/* ---- Waiting ---- */

static struct timespec deadline(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_REALTIME, &time);
    time.tv_sec += WAIT_SECONDS;
    return time;
}

const struct run_record *fake_wait(struct fake_host *h, uint64_t token)
{
    struct timespec until = deadline();
    int failed = 0;

    (void)pthread_mutex_lock(&h->lock);
    struct record *r = record_of(h, token);
    while (r->shown.completions == 0 && failed == 0) {
        failed = pthread_cond_timedwait(&h->changed, &h->lock, &until);
    }
    (void)pthread_mutex_unlock(&h->lock);
    if (failed != 0) {
        fail_msg("run %llu did not complete", (unsigned long long)token);
    }
    if (r->shown.out == NULL) {
        r->shown.out = calloc(1, 1);
    }
    if (r->shown.err == NULL) {
        r->shown.err = calloc(1, 1);
    }
    return &r->shown;
}

void fake_wait_output(struct fake_host *h, uint64_t token, const char *text)
{
    struct timespec until = deadline();
    int failed = 0;

    (void)pthread_mutex_lock(&h->lock);
    struct record *r = record_of(h, token);
    while ((r->shown.out == NULL || strstr(r->shown.out, text) == NULL) && r->shown.completions == 0 && failed == 0) {
        failed = pthread_cond_timedwait(&h->changed, &h->lock, &until);
    }
    bool found = r->shown.out != NULL && strstr(r->shown.out, text) != NULL;
    (void)pthread_mutex_unlock(&h->lock);
    if (!found) {
        fail_msg("\"%s\" did not come out: %s", text, r->shown.message);
    }
}

bool fake_is_complete(struct fake_host *h, uint64_t token)
{
    (void)pthread_mutex_lock(&h->lock);
    bool complete = record_of(h, token)->shown.completions > 0;
    (void)pthread_mutex_unlock(&h->lock);
    return complete;
}

bool fake_logged(struct fake_host *h, const char *text)
{
    (void)pthread_mutex_lock(&h->lock);
    h->log[h->log_size] = '\0';
    bool found = strstr(h->log, text) != NULL;
    (void)pthread_mutex_unlock(&h->lock);
    return found;
}

const struct run_record *fake_run(struct fake_host *h, const struct job *job)
{
    return fake_wait(h, fake_start(h, job));
}

static size_t count_entries(const char *path)
{
    size_t count = 0;
    DIR *directory = opendir(path);

    assert_non_null(directory);
    for (const struct dirent *e = readdir(directory); e != NULL; e = readdir(directory)) {
        count += e->d_name[0] == '.' ? 0 : 1;
    }
    (void)closedir(directory);
    return count;
}

size_t count_fds(void)
{
    return count_entries("/proc/self/fd");
}

size_t count_threads(void)
{
    return count_entries("/proc/self/task");
}

void wait_until(bool (*condition)(void *arg), void *arg, const char *what)
{
    struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
    int64_t until = clock_ns(CLOCK_MONOTONIC) + (int64_t)WAIT_SECONDS * 1000000000;

    while (!condition(arg)) { /* polled, because nothing tells of another process's end */
        if (clock_ns(CLOCK_MONOTONIC) > until) {
            fail_msg("%s: not within %d seconds", what, WAIT_SECONDS);
        }
        (void)nanosleep(&pause, NULL);
    }
}

static bool threads_at_most(void *arg)
{
    return count_threads() <= *(const size_t *)arg;
}

void wait_for_threads(size_t count)
{
    wait_until(threads_at_most, &count, "the threads are gone");
}
