#include "engine.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin_error.h"

enum { POLL_MS = 60000 };

struct engine {
    struct transfer_settings settings;
    CURLM *multi;
    pthread_t thread;

    pthread_mutex_t lock; /* guards the rest, and the list fields of transfers */
    struct transfer *first, *last; /* every transfer, oldest first */
    size_t unstarted, cancelled;   /* in the list, not yet seen by the thread */
    bool stopping;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready;

/* Never undone: the plugin's code stays mapped until the process ends, and others may use libcurl as well. */
static void init_curl(void)
{
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ---- The list ---- */

static void list_append(struct engine *e, struct transfer *t)
{
    t->previous = e->last;
    t->next = NULL;
    if (e->last == NULL) {
        e->first = t;
    } else {
        e->last->next = t;
    }
    e->last = t;
}

static void list_remove(struct engine *e, struct transfer *t)
{
    if (t->previous == NULL) {
        e->first = t->next;
    } else {
        t->previous->next = t->next;
    }
    if (t->next == NULL) {
        e->last = t->previous;
    } else {
        t->next->previous = t->previous;
    }
}

/* ---- The thread ---- */

/* The one place where a run completes. */
static void complete(struct engine *e, struct transfer *t, const struct chronos_result *result)
{
    const struct chronos_host *host = e->settings.host;

    (void)pthread_mutex_lock(&e->lock);
    list_remove(e, t);
    e->unstarted -= t->started ? 0 : 1;
    e->cancelled -= t->cancel_posted ? 1 : 0;
    (void)pthread_mutex_unlock(&e->lock);
    (void)host->ops->complete(host, t->token, result); /* NOTFOUND: written off meanwhile */
    transfer_free(t);
}

static void complete_with(struct engine *e, struct transfer *t, int32_t outcome, const char *message)
{
    struct chronos_result result = {
        .struct_size = sizeof(result), .outcome = outcome, .exit_code = -1, .message = message};

    complete(e, t, &result);
}

static void begin(struct engine *e, struct transfer *t)
{
    if (!transfer_prepare(t) || curl_multi_add_handle(e->multi, t->easy) != CURLM_OK) {
        complete_with(e, t, CHRONOS_OUTCOME_FAILED, "the request could not be set up");
    }
}

static const char *cancel_text(int32_t reason)
{
    switch (reason) {
    case CHRONOS_CANCEL_USER: return "cancelled on request";
    case CHRONOS_CANCEL_TIMEOUT: return "cancelled: the run's timeout ran out";
    case CHRONOS_CANCEL_REPLACED: return "cancelled: a newer run replaces it";
    case CHRONOS_CANCEL_SHUTDOWN: return "cancelled: the node stops";
    case CHRONOS_CANCEL_LEASE: return "cancelled: the node lost its lease";
    case CHRONOS_CANCEL_DELETED: return "cancelled: the job was deleted";
    default: return "cancelled";
    }
}

/* Sent or not, the receiver may have acted on the request; the connection is closed, so that it can notice. */
static void abandon(struct engine *e, struct transfer *t, int32_t outcome, const char *message)
{
    if (t->started) {
        (void)curl_multi_remove_handle(e->multi, t->easy);
    }
    complete_with(e, t, outcome, message);
}

/* What the dispatcher left: NULL when there is nothing. Cancels first: a run that has both never starts. */
static struct transfer *take_posted(struct engine *e, bool *ret_cancelled, bool *ret_stopping)
{
    struct transfer *t = NULL;

    (void)pthread_mutex_lock(&e->lock);
    *ret_stopping = e->stopping;
    *ret_cancelled = e->cancelled > 0;
    if (e->cancelled > 0) {
        for (t = e->first; !t->cancel_posted; t = t->next) {
        }
    } else if (e->unstarted > 0) {
        for (t = e->last; t->previous != NULL && !t->previous->started; t = t->previous) {
        }
        t->started = true;
        e->unstarted--;
    }
    (void)pthread_mutex_unlock(&e->lock);
    return t;
}

/* false when the instance is to end. */
static bool take_inbox(struct engine *e)
{
    bool cancelled, stopping;

    for (;;) {
        struct transfer *t = take_posted(e, &cancelled, &stopping);
        if (t == NULL || stopping) {
            return !stopping;
        }
        if (cancelled) {
            abandon(e, t, CHRONOS_OUTCOME_CANCELLED, cancel_text(t->cancel_reason));
        } else {
            begin(e, t);
        }
    }
}

static void hop_ended(struct engine *e, CURL *easy, CURLcode code)
{
    struct transfer *t = NULL;
    struct chronos_result result;
    char message[MESSAGE_SIZE];

    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&t);
    (void)curl_multi_remove_handle(e->multi, easy);
    if (!transfer_finish(t, code, &result, message)) {
        complete(e, t, &result);
    } else if (curl_multi_add_handle(e->multi, t->easy) != CURLM_OK) {
        complete_with(e, t, CHRONOS_OUTCOME_FAILED, "the redirected request could not be set up");
    }
}

static void collect_ended(struct engine *e)
{
    int left;

    for (CURLMsg *m = curl_multi_info_read(e->multi, &left); m != NULL; m = curl_multi_info_read(e->multi, &left)) {
        if (m->msg == CURLMSG_DONE) {
            hop_ended(e, m->easy_handle, m->data.result);
        }
    }
}

static void *thread_main(void *arg)
{
    static const char trouble[] = "libcurl cannot go on for the moment; trying again";
    struct engine *e = arg;
    const struct chronos_host *host = e->settings.host;
    int running;

    while (take_inbox(e)) {
        CURLMcode failed = curl_multi_perform(e->multi, &running);
        collect_ended(e);
        if (failed == CURLM_OK) {
            failed = curl_multi_poll(e->multi, NULL, 0, POLL_MS, NULL);
        }
        if (failed != CURLM_OK) { /* memory or descriptors are short: not in a tight loop */
            host->ops->log(host, CHRONOS_LOG_ERROR, trouble, sizeof(trouble) - 1);
            (void)poll(NULL, 0, 100);
        }
    }
    /* The host destroys only when every run has completed or was written off: these are the latter. */
    while (e->first != NULL) {
        abandon(e, e->first, CHRONOS_OUTCOME_LOST, "the HTTP executor was stopped");
    }
    return NULL;
}

/* ---- From the dispatcher ---- */

int32_t engine_start(struct engine *e, const struct chronos_run *run, struct http_job *job, struct chronos_error *err)
{
    struct transfer *t = transfer_new(&e->settings, run, job);

    if (t == NULL) {
        return plugin_error_retryable(err, CHRONOS_NOMEM, 0, "no memory for a request");
    }
    (void)pthread_mutex_lock(&e->lock);
    list_append(e, t);
    e->unstarted++;
    (void)pthread_mutex_unlock(&e->lock);
    (void)curl_multi_wakeup(e->multi); /* fails only for a handle that is none */
    return CHRONOS_OK;
}

void engine_cancel(struct engine *e, uint64_t token, int32_t reason)
{
    (void)pthread_mutex_lock(&e->lock);
    struct transfer *t = e->first;
    while (t != NULL && t->token != token) {
        t = t->next;
    }
    if (t != NULL && !t->cancel_posted) {
        t->cancel_posted = true;
        t->cancel_reason = reason;
        e->cancelled++;
    }
    (void)pthread_mutex_unlock(&e->lock);
    if (t != NULL) {
        (void)curl_multi_wakeup(e->multi);
    }
}

/* ---- Setup ---- */

/* A plugin's threads take no signals: they belong to the daemon. libcurl's resolver threads inherit the mask. */
static int start_thread(struct engine *e)
{
    sigset_t all, before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&e->thread, NULL, thread_main, e);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

static bool set_limits(CURLM *multi, const struct engine_options *options)
{
    return curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)options->max_connections) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)options->max_connections) == CURLM_OK &&
           curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)options->max_connections_per_host) == CURLM_OK;
}

int32_t engine_new(const struct chronos_host *host, const struct engine_options *options, struct engine **ret,
                   struct chronos_error *err)
{
    (void)pthread_once(&curl_once, init_curl);
    if (curl_ready != CURLE_OK) {
        return plugin_error(err, CHRONOS_INTERNAL, 0, "libcurl cannot be set up: %s", curl_easy_strerror(curl_ready));
    }
    struct engine *e = calloc(1, sizeof(*e));
    if (e == NULL) {
        return plugin_error(err, CHRONOS_NOMEM, 0, "no memory for the HTTP executor");
    }
    e->settings = (struct transfer_settings){.host = host,
                                             .proxy = options->proxy == NULL ? "" : options->proxy,
                                             .no_proxy = options->no_proxy == NULL ? "" : options->no_proxy};
    e->multi = curl_multi_init();
    if (e->multi == NULL || !set_limits(e->multi, options)) {
        (void)plugin_error(err, CHRONOS_NOMEM, 0, "libcurl cannot be set up");
        goto fail_multi;
    }
    (void)pthread_mutex_init(&e->lock, NULL);
    int failed = start_thread(e);
    if (failed != 0) {
        (void)plugin_error(err, CHRONOS_IO, failed, "start the HTTP executor's thread");
        goto fail_lock;
    }
    *ret = e;
    return CHRONOS_OK;

fail_lock:
    (void)pthread_mutex_destroy(&e->lock);
fail_multi:
    (void)curl_multi_cleanup(e->multi);
    free(e);
    return err->code;
}

void engine_free(struct engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
    e->stopping = true;
    (void)pthread_mutex_unlock(&e->lock);
    (void)curl_multi_wakeup(e->multi);
    (void)pthread_join(e->thread, NULL);
    (void)pthread_mutex_destroy(&e->lock);
    (void)curl_multi_cleanup(e->multi);
    free(e);
}
