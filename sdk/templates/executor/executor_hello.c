/* A complete executor: after "delay" it says hello to "name". C99, and C++11 as well.
 * start() copies what it needs, gives the run a thread of its own and returns; the thread does the work, which may block.
 * No lock: the list belongs to start, cancel and destroy, which never overlap; a thread only reads its own run. */
#define _GNU_SOURCE 1 /* pthread_tryjoin_np */
#include <errno.h>
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
    int delay_ms, cancel_fd; /* an eventfd, readable once the run is cancelled */
    char text[256];
};

static int32_t failure(struct chronos_error *err, int32_t code, uint32_t flags, const char *sentence)
{
    err->code = code;
    err->sys_errno = code == CHRONOS_INVALID ? 0 : errno;
    err->flags = flags;
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
    return strchr(param(run, "name", ""), '\n') ? failure(err, CHRONOS_INVALID, 0, "name: must be one line") : CHRONOS_OK;
}

static void *run_main(void *arg)
{
    const struct run *run = (const struct run *)arg;
    const struct chronos_host_ops *host = run->host->ops;
    struct chronos_result result = {sizeof(result), CHRONOS_OUTCOME_SUCCESS, -1 /* exit code */, 0, 0, 0, 0, NULL, NULL, 0};
    struct pollfd cancel = {run->cancel_fd, POLLIN, 0};

    if (poll(&cancel, 1, run->delay_ms) > 0) {
        result.outcome = CHRONOS_OUTCOME_CANCELLED;
    } else { /* the work */
        host->output(run->host, run->token, CHRONOS_STREAM_STDOUT, run->text, strlen(run->text));
        host->log(run->host, CHRONOS_LOG_DEBUG, "said hello", strlen("said hello"));
    }
    host->complete(run->host, run->token, &result); /* exactly once for a run that started */
    return NULL;
}

/* Frees the runs whose thread can be joined: with pthread_tryjoin_np those that ended, with pthread_join all. */
static void collect(struct hello *hello, int (*join)(pthread_t, void **))
{
    for (struct run **at = &hello->runs, *run; (run = *at) != NULL;) {
        if (join(run->thread, NULL) != 0) {
            at = &run->next;
            continue;
        }
        *at = run->next;
        close(run->cancel_fd);
        free(run);
    }
}

/* [executor] Everything in `run` is borrowed until we return: copy. */
static int32_t hello_start(void *self, const struct chronos_run *run, struct chronos_error *err)
{
    struct hello *hello = (struct hello *)self;
    sigset_t all, before;

    collect(hello, pthread_tryjoin_np);
    struct run *mine = (struct run *)calloc(1, sizeof(*mine));
    int cancel_fd = eventfd(0, EFD_CLOEXEC), failed = 1;
    if (mine != NULL && cancel_fd >= 0) {
        mine->next = hello->runs;
        mine->host = hello->host;
        mine->token = run->run_token;
        mine->delay_ms = atoi(param(run, "delay", "0")); /* durations arrive in milliseconds */
        mine->cancel_fd = cancel_fd;
        snprintf(mine->text, sizeof(mine->text), "Hello, %s! This is run %s.\n", param(run, "name", "world"),
                 run->execution_id);
        sigfillset(&all); /* signals belong to the daemon: the new thread inherits this mask */
        pthread_sigmask(SIG_SETMASK, &all, &before);
        failed = errno = pthread_create(&mine->thread, NULL, run_main, mine);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    ...
