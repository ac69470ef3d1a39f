/* A complete executor: after "delay" it says hello to "name". C99, and C++11 as well.
 * start() copies what it needs, gives the run a thread and returns; the thread does the work, which may block.
 * No lock: the list belongs to start, cancel and destroy, which never overlap; a thread only reads its own run. */
#define _GNU_SOURCE 1 /* pthread_tryjoin_np */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <chronos/plugin.h>

struct hello {
    const struct chronos_host *host; /* lives until destroy */
    struct run *runs;
};

struct run {
    struct run *next;
    const struct chronos_host *host;
    pthread_t thread;
    uint64_t token;
    int delay_ms, cancel_fd; /* the eventfd is readable once the run is cancelled */
    char text[256];
};

static int32_t failure(struct chronos_error *err, int32_t code, uint32_t flags, const char *sentence)
{
    err->code = code;
    err->sys_errno = 0;
    err->flags = flags;
    snprintf(err->msg, sizeof(err->msg), "%s", sentence);
    return code;
}

static const char *param(const struct chronos_run *run, const char *name, const char *otherwise)
{
    uint32_t i = 0;
    while (i < run->n_params && strcmp(run->params[i].name, name) != 0) {
        i++;
    }
    return i < run->n_params ? (const char *)run->params[i].value.data : otherwise;
}

/* [pool] The host has checked types, limits and unknown keys; here stands what only the plugin can know. */
static int32_t hello_validate(void *self, const struct chronos_run *run, struct chronos_error *err)
{
    (void)self;
    const char *newline = strchr(param(run, "name", ""), '\n');
    return newline == NULL ? CHRONOS_OK : failure(err, CHRONOS_INVALID, 0, "name: must be one line");
}

static void *run_main(void *arg)
{
    const struct run *run = (const struct run *)arg;
    const struct chronos_host_ops *host = run->host->ops;
    struct chronos_result result = {sizeof(result), CHRONOS_OUTCOME_SUCCESS, -1, 0, 0, 0, 0, NULL, NULL, 0};
    struct pollfd cancel = {run->cancel_fd, POLLIN, 0};
    if (poll(&cancel, 1, run->delay_ms) > 0) { /* 0: the delay is over */
        result.outcome = CHRONOS_OUTCOME_CANCELLED;
    } else { /* the work */
        host->output(run->host, run->token, CHRONOS_STREAM_STDOUT, run->text, strlen(run->text));
        host->log(run->host, CHRONOS_LOG_DEBUG, "said hello", strlen("said hello"));
    }
    host->complete(run->host, run->token, &result); /* exactly once for each run that started */
    return NULL;
}

/* Frees the runs whose thread can be joined: with pthread_tryjoin_np those that ended, with pthread_join all. */
static void collect(struct hello *hello, int (*join)(pthread_t, void **))
{
    for (struct run **at = &hello->runs, *run = *at; run != NULL; run = *at) {
        if (join(run->thread, NULL) != 0) {
            at = &run->next;
            continue;
        }
        *at = run->next;
        close(run->cancel_fd);
        free(run);
    }
}

/* [executor] Everything in `job` is borrowed until we return: copy. */
static int32_t hello_start(void *self, const struct chronos_run *job, struct chronos_error *err)
{
    struct hello *hello = (struct hello *)self;
    collect(hello, pthread_tryjoin_np);
    struct run *run = (struct run *)calloc(1, sizeof(*run));
    int cancel_fd = eventfd(0, EFD_CLOEXEC), failed = 1;
    if (run != NULL && cancel_fd >= 0) {
        run->next = hello->runs;
        run->host = hello->host;
        run->token = job->run_token;
        run->delay_ms = atoi(param(job, "delay", "0")); /* durations arrive in milliseconds */
        run->cancel_fd = cancel_fd;
        snprintf(run->text, sizeof(run->text), "Hello, %s! This is run %s.\n", param(job, "name", "world"),
                 job->execution_id);
        sigset_t all, before; /* signals belong to the daemon: the new thread inherits a mask of all */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        failed = pthread_create(&run->thread, NULL, run_main, run);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (failed) {
        close(cancel_fd); /* -1 does no harm */
        free(run);
        return failure(err, CHRONOS_BUSY, CHRONOS_ERROR_RETRYABLE, "no memory, descriptor or thread left for a run");
    }
    hello->runs = run;
    return CHRONOS_OK;
}

/* [executor] Only asks. An unknown token is normal: the run may have completed a moment ago. */
static void hello_cancel(void *self, uint64_t run_token, int32_t reason, uint64_t grace_ms)
{
    (void)reason, (void)grace_ms; /* this work can be dropped at once */
    for (struct run *run = ((struct hello *)self)->runs; run != NULL; run = run->next) {
        if (run->token == run_token) {
            eventfd_write(run->cancel_fd, 1);
        }
    }
}

/* [setup] The place to read the instance's options from `host`, if it had any. On failure nothing may remain. */
static int32_t hello_create(const struct chronos_host *host, void **self, struct chronos_error *err)
{
    struct hello *hello = (struct hello *)calloc(1, sizeof(*hello));
    if (hello == NULL) {
        return failure(err, CHRONOS_NOMEM, 0, "no memory for the instance");
    }
    hello->host = host;
    *self = hello;
    return CHRONOS_OK;
}

/* [setup] Afterwards no thread, descriptor, child or callback of ours may remain. */
static void hello_destroy(void *self)
{
    struct hello *hello = (struct hello *)self;
    for (struct run *run = hello->runs; run != NULL; run = run->next) {
        eventfd_write(run->cancel_fd, 1);
    }
    collect(hello, pthread_join);
    free(hello);
}

static const struct chronos_option options[] = {
    {"name", CHRONOS_OPTION_STRING, CHRONOS_OPTION_PER_JOB, "world", "1..64", "Whom to greet."},
    {"delay", CHRONOS_OPTION_DURATION, CHRONOS_OPTION_PER_JOB, "0s", "0s..1h", "How long to wait before."}};
static const struct chronos_executor_ops ops = {sizeof(ops), 0, hello_validate, hello_start, hello_cancel, NULL};
static const struct chronos_component component = {
    sizeof(component), CHRONOS_KIND_EXECUTOR, "hello" /* what a job names */, "Says hello", NULL,
    options, sizeof(options) / sizeof(options[0]), sizeof(options[0]), &ops, hello_create, hello_destroy, NULL};
static const struct chronos_component *const components[] = {&component, NULL};
static const struct chronos_plugin plugin = {
    CHRONOS_PLUGIN_MAGIC, sizeof(plugin), CHRONOS_ABI_MAJOR, CHRONOS_ABI_MINOR, 0 /* oldest host minor */, 0,
    CHRONOS_FEATURES_THIS, "executor_hello", "1.0.0", "Example", "", components};

const struct chronos_plugin *chronos_plugin_v1(void)
{
    return &plugin;
}
