/* A complete executor: after "delay" it says hello to "name". C99, and C++11 as well.
 *
 * The shape fits most executors: start() copies what it needs, puts the run into a list and returns; one thread of the
 * plugin's own does the work and completes each run exactly once; cancel() only marks the run. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <chronos/plugin.h>

struct run {
    struct run *next;
    uint64_t token;
    int64_t due_ns;  /* on the host's monotonic clock */
    int cancelled;
    char text[256];
};

struct hello {
    const struct chronos_host *host; /* lives until destroy */
    pthread_t thread;
    pthread_mutex_t lock; /* guards the rest, and every run */
    pthread_cond_t changed;
    struct run *runs;
    int stopping;
};

static int32_t failure(struct chronos_error *err, int32_t code, const char *sentence)
{
    err->code = code;
    snprintf(err->msg, sizeof(err->msg), "%s", sentence);
    return code;
}

static const char *param(const struct chronos_run *run, const char *name, const char *otherwise)
{
    for (uint32_t i = 0; i < run->n_params; i++) {
        if (strcmp(run->params[i].name, name) == 0) {
            return (const char *)run->params[i].value.data;
        }
    }
    return otherwise;
}

/* [pool] The host has checked types, limits and unknown keys; here stands what only the plugin can know. */
static int32_t hello_validate(void *self, const struct chronos_run *run, struct chronos_error *err)
{
    (void)self;
    if (strchr(param(run, "name", ""), '\n') != NULL) {
        return failure(err, CHRONOS_INVALID, "name: must be one line");
    }
    return CHRONOS_OK;
}

/* [executor] Everything in `run` is borrowed until we return: copy. */
static int32_t hello_start(void *self, const struct chronos_run *run, struct chronos_error *err)
{
    struct hello *hello = (struct hello *)self;
    struct run *mine = (struct run *)calloc(1, sizeof(*mine));

    if (mine == NULL) {
        err->flags = CHRONOS_ERROR_RETRYABLE;
        return failure(err, CHRONOS_NOMEM, "no memory for a run");
    }
    mine->token = run->run_token;
    mine->due_ns = hello->host->ops->now(hello->host, CHRONOS_CLOCK_MONOTONIC) +
                   strtoll(param(run, "delay", "0"), NULL, 10) * 1000000; /* durations arrive in milliseconds */
    snprintf(mine->text, sizeof(mine->text), "Hello, %s! This is run %s.\n", param(run, "name", "world"),
             run->execution_id);
    pthread_mutex_lock(&hello->lock);
    mine->next = hello->runs;
    hello->runs = mine;
    pthread_cond_signal(&hello->changed);
    pthread_mutex_unlock(&hello->lock);
    return CHRONOS_OK;
}

/* [executor] An unknown token is normal: the run may have completed a moment ago. */
static void hello_cancel(void *self, uint64_t run_token, int32_t reason, uint64_t grace_ms)
{
    struct hello *hello = (struct hello *)self;

    (void)reason;
    (void)grace_ms; /* this work can be dropped at once */
    pthread_mutex_lock(&hello->lock);
    for (struct run *run = hello->runs; run != NULL; run = run->next) {
        run->cancelled = run->cancelled || run->token == run_token;
    }
    pthread_cond_signal(&hello->changed);
    pthread_mutex_unlock(&hello->lock);
}

/* The one place where a run completes. Host functions never call back into the plugin, so a lock may be held. */
static void finish(struct hello *hello, struct run *run)
{
    const struct chronos_host_ops *ops = hello->host->ops;
    struct chronos_result result;

    memset(&result, 0, sizeof(result)); /* zero is the old meaning of every member to come */
    result.struct_size = sizeof(result);
    result.exit_code = -1;
    if (run->cancelled) {
        result.outcome = CHRONOS_OUTCOME_CANCELLED;
        result.message = "cancelled before it said hello";
    } else {
        ops->output(hello->host, run->token, CHRONOS_STREAM_STDOUT, run->text, strlen(run->text));
        ops->log(hello->host, CHRONOS_LOG_DEBUG, "said hello", strlen("said hello"));
        result.outcome = CHRONOS_OUTCOME_SUCCESS;
    }
    ops->complete(hello->host, run->token, &result);
    free(run);
}

/* Completes what is due; the time until the next run is due, at most a second. */
static int64_t finish_due(struct hello *hello)
{
    int64_t now = hello->host->ops->now(hello->host, CHRONOS_CLOCK_MONOTONIC), wait_ns = 1000000000;

    for (struct run **at = &hello->runs; *at != NULL;) {
        struct run *run = *at;
        if (run->cancelled || hello->stopping || run->due_ns <= now) {
            *at = run->next;
            run->cancelled = run->cancelled || run->due_ns > now;
            finish(hello, run);
        } else {
            wait_ns = run->due_ns - now < wait_ns ? run->due_ns - now : wait_ns;
            at = &run->next;
        }
    }
    return wait_ns;
}

static void *thread_main(void *arg)
{
    struct hello *hello = (struct hello *)arg;
    struct timespec until;

    pthread_mutex_lock(&hello->lock);
    while (!hello->stopping || hello->runs != NULL) {
        int64_t wait_ns = finish_due(hello);
        if (hello->stopping) {
            break;
        }
        clock_gettime(CLOCK_MONOTONIC, &until);
        wait_ns += until.tv_nsec;
        until.tv_sec += (time_t)(wait_ns / 1000000000);
        until.tv_nsec = (long)(wait_ns % 1000000000);
        pthread_cond_timedwait(&hello->changed, &hello->lock, &until);
    }
    pthread_mutex_unlock(&hello->lock);
    return NULL;
}

/* A plugin's threads take no signals: they belong to the daemon. */
static int start_thread(struct hello *hello)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&hello->thread, NULL, thread_main, hello);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

/* [setup] On failure nothing may remain. */
static int32_t hello_create(const struct chronos_host *host, void **self, struct chronos_error *err)
{
    pthread_condattr_t attributes;
    struct hello *hello = (struct hello *)calloc(1, sizeof(*hello));

    if (hello == NULL) {
        return failure(err, CHRONOS_NOMEM, "no memory for the instance");
    }
    hello->host = host;
    pthread_mutex_init(&hello->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&hello->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    if (start_thread(hello) != 0) {
        pthread_cond_destroy(&hello->changed);
        pthread_mutex_destroy(&hello->lock);
        free(hello);
        return failure(err, CHRONOS_IO, "cannot start a thread");
    }
    *self = hello;
    return CHRONOS_OK;
}

/* [setup] Afterwards no thread, descriptor, child or callback of ours may remain. */
static void hello_destroy(void *self)
{
    struct hello *hello = (struct hello *)self;

    pthread_mutex_lock(&hello->lock);
    hello->stopping = 1;
    pthread_cond_signal(&hello->changed);
    pthread_mutex_unlock(&hello->lock);
    pthread_join(hello->thread, NULL);
    pthread_cond_destroy(&hello->changed);
    pthread_mutex_destroy(&hello->lock);
    free(hello);
}

/* ---- What the host sees ---- */

/* The first PER_JOB option is what a shorthand's plain string would set. */
static const struct chronos_option options[] = {
    {"name", CHRONOS_OPTION_STRING, CHRONOS_OPTION_PER_JOB, "world", "1..64", "Whom to greet."},
    {"delay", CHRONOS_OPTION_DURATION, CHRONOS_OPTION_PER_JOB, "0s", "0s..1h", "How long to wait before."},
};

static const struct chronos_executor_ops ops = {
    sizeof(struct chronos_executor_ops), 0, hello_validate, hello_start, hello_cancel, NULL /* drain: optional */,
};

static const struct chronos_component component = {
    sizeof(struct chronos_component),
    CHRONOS_KIND_EXECUTOR,
    "hello", /* what a job names: {"executor": "hello"} */
    "Says hello",
    NULL, /* shorthand */
    options,
    sizeof(options) / sizeof(options[0]),
    sizeof(options[0]),
    &ops,
    hello_create,
    hello_destroy,
    NULL, /* get_extension: optional */
};

static const struct chronos_component *const components[] = {&component, NULL};

static const struct chronos_plugin plugin = {
    CHRONOS_PLUGIN_MAGIC,
    sizeof(struct chronos_plugin),
    CHRONOS_ABI_MAJOR,
    CHRONOS_ABI_MINOR,
    0, /* host_minor_min: the oldest host that this can run on */
    0,
    CHRONOS_FEATURES_THIS,
    "executor_hello",
    "1.0.0",
    "Example",
    "",
    components,
};

const struct chronos_plugin *chronos_plugin_v1(void)
{
    return &plugin;
}
