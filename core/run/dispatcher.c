#include "run/dispatcher.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/wake.h"
#include "run/params.h"

enum { FREE_WAIT_MS = 5000, NS_PER_MS = 1000000 };

struct cancel_call {
    uint64_t token, grace_ms;
    int32_t reason;
};

struct dispatcher {
    struct dispatcher_config config;
    struct plugin_instance *instance;
    const struct chronos_executor_ops *ops;
    pthread_t thread;
    struct wake wake;
    /* under its mutex */
    struct attempt *head, *tail; /* to be started */
    uint32_t queued;
    struct cancel_call *cancels; /* come before starts */
    uint32_t cancel_first, cancel_count, cancel_capacity;
    bool drain_wanted, draining, stopping, exited;
    uint64_t drain_grace_ms;
    uint64_t busy_since_ns; /* 0: no call */
    uint64_t starting; /* token; 0: none */
    bool failed;
    char failed_message[ERROR_TEXT_SIZE];
};

static uint64_t now_ns(const struct dispatcher *dispatcher)
{
    return dispatcher->config.clock->monotonic_ns(dispatcher->config.clock->arg);
}

/* --- calls --- */

static void refuse(struct dispatcher *dispatcher, struct attempt *attempt, enum chronos_retry retry, const char *message)
{
    if (attempts_call_failed(dispatcher->config.attempts, attempt, retry, message))
        LOG_WARN("plugin misbehaviour", LOG_STRING("executor", dispatcher->config.component->id),
                 LOG_STRING("reason", "start() failed for a run that was completed; the completion counts"));
}

static void call_start(struct dispatcher *dispatcher, struct attempt *attempt)
{
    struct attempts *attempts = dispatcher->config.attempts;
    struct plugin_params params;
    struct error err;
    enum status status = run_params(dispatcher->config.component, attempt, &params, &err);
    if (status != STATUS_OK) {
        refuse(dispatcher, attempt, status == STATUS_INVALID ? CHRONOS_RETRY_NO : CHRONOS_RETRY_BY_OUTCOME, err.message);
        return;
    }
    struct run_environment env;
    run_environment_fill(&env, attempt, &params, dispatcher->config.node_id, dispatcher->config.output_limit);
    struct chronos_error from = {.struct_size = sizeof from};
    attempts_call_begins(attempts, attempt);
    int32_t code = dispatcher->ops->start(dispatcher->instance->self, &env.run, &from);
    if (code == CHRONOS_OK) {
        attempts_call_ended(attempts, attempt); /* from here on it may be gone */
    } else {
        (void)plugin_status(code, &from, &err); /* any failure; we want its sentence */
        refuse(dispatcher, attempt, from.flags & CHRONOS_ERROR_RETRYABLE ? CHRONOS_RETRY_YES : CHRONOS_RETRY_NO, err.message);
    }
    plugin_params_deinit(&params);
}

static void call_cancel(struct dispatcher *dispatcher, const struct cancel_call *cancel)
{
    dispatcher->ops->cancel(dispatcher->instance->self, cancel->token, cancel->reason, cancel->grace_ms);
}

static void call_drain(struct dispatcher *dispatcher, uint64_t grace_ms)
{
    if (dispatcher->ops->drain != NULL)
        dispatcher->ops->drain(dispatcher->instance->self, grace_ms);
}

/* --- the thread --- */

static void unlink_attempt(struct dispatcher *dispatcher, struct attempt *attempt)
{
    *(attempt->queue_previous != NULL ? &attempt->queue_previous->queue_next : &dispatcher->head) = attempt->queue_next;
    *(attempt->queue_next != NULL ? &attempt->queue_next->queue_previous : &dispatcher->tail) = attempt->queue_previous;
    attempt->queue_next = attempt->queue_previous = NULL;
    attempt->is_queued = false;
    dispatcher->queued--;
}

static bool has_work(const struct dispatcher *dispatcher)
{
    return dispatcher->cancel_count > 0 || dispatcher->drain_wanted || dispatcher->head != NULL;
}

/* One call, with the mutex held before and after but not during it. */
static void work(struct dispatcher *dispatcher)
{
    struct cancel_call cancel = {0};
    struct attempt *attempt = NULL;
    if (dispatcher->cancel_count > 0) {
        cancel = dispatcher->cancels[dispatcher->cancel_first++];
        if (--dispatcher->cancel_count == 0)
            dispatcher->cancel_first = 0;
    } else if (dispatcher->drain_wanted) {
        dispatcher->drain_wanted = false;
    } else {
        attempt = dispatcher->head;
        unlink_attempt(dispatcher, attempt);
    }
    uint64_t began = now_ns(dispatcher), drain_grace_ms = dispatcher->drain_grace_ms;
    const char *call = attempt != NULL ? "start" : cancel.token != 0 ? "cancel" : "drain";
    dispatcher->starting = attempt != NULL ? attempt->token : 0;
    dispatcher->busy_since_ns = began;
    wake_unlock(&dispatcher->wake);

    if (attempt != NULL)
        call_start(dispatcher, attempt);
    else if (cancel.token != 0)
        call_cancel(dispatcher, &cancel);
    else
        call_drain(dispatcher, drain_grace_ms);
    int64_t took_ms = (int64_t)((now_ns(dispatcher) - began) / NS_PER_MS);
    if (took_ms > SLOW_CALL_MS)
        LOG_WARN("slow plugin call", LOG_STRING("executor", dispatcher->config.component->id), LOG_STRING("call", call),
                 LOG_MS("took", took_ms));

    wake_lock(&dispatcher->wake);
    dispatcher->busy_since_ns = 0;
    dispatcher->starting = 0;
    if (dispatcher->draining && !has_work(dispatcher))
        attempts_wake(dispatcher->config.attempts); /* the loop waits for this */
}

static void *run(void *arg)
{
    struct dispatcher *dispatcher = arg;
    (void)pthread_setname_np(pthread_self(), "dispatcher"); /* for people who look at threads */
    wake_lock(&dispatcher->wake);
    while (!dispatcher->stopping) {
        if (has_work(dispatcher))
            work(dispatcher);
        else
            wake_wait(&dispatcher->wake, -1);
    }
    dispatcher->exited = true;
    wake_signal(&dispatcher->wake);
    wake_unlock(&dispatcher->wake);
    return NULL;
}

/* --- the plugin's side --- */

static int32_t sink_complete(void *arg, uint64_t token, const struct chronos_result *result)
{
    struct dispatcher *dispatcher = arg;
    return attempts_complete(dispatcher->config.attempts, dispatcher, token, result);
}

static int32_t sink_output(void *arg, uint64_t token, int32_t stream, const void *data, uint64_t size)
{
    struct dispatcher *dispatcher = arg;
    (void)stream; /* both in the order of their arrival, as on a terminal */
    return attempts_output(dispatcher->config.attempts, dispatcher, token, data, size);
}

static void sink_failed(void *arg, const struct chronos_error *err)
{
    struct dispatcher *dispatcher = arg;
    wake_lock(&dispatcher->wake);
    dispatcher->failed = true;
    size_t size = utf8_cut(err->msg, strlen(err->msg), sizeof dispatcher->failed_message - 1);
    memcpy(dispatcher->failed_message, err->msg, size);
    dispatcher->failed_message[size] = '\0';
    wake_unlock(&dispatcher->wake);
    attempts_wake(dispatcher->config.attempts);
}

/* --- life --- */

enum status dispatcher_new(const struct dispatcher_config *config, struct dispatcher **ret, struct error *err)
{
    struct dispatcher *dispatcher = calloc(1, sizeof *dispatcher);
    if (dispatcher == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    if (config->component->kind != CHRONOS_KIND_EXECUTOR) {
        free(dispatcher);
        return error_set(err, STATUS_MISUSE, "component \"%s\" is not an executor", config->component->id);
    }
    dispatcher->config = *config;
    dispatcher->ops = &config->component->ops.executor;
    wake_init(&dispatcher->wake);
    struct plugin_sink sink = {.complete = sink_complete, .output = sink_output, .failed = sink_failed, .arg = dispatcher};
    enum status status = plugin_instance_new(config->component, config->component->id, config->options, config->clock, &sink,
                                             &dispatcher->instance, err);
    if (status == STATUS_OK) {
        int failed = pthread_create(&dispatcher->thread, NULL, run, dispatcher);
        if (failed != 0)
            status = error_set_errno(err, STATUS_NO_MEMORY, failed, "start the dispatcher of \"%s\"", config->component->id);
    }
    if (status != STATUS_OK) {
        plugin_instance_free(dispatcher->instance);
        wake_deinit(&dispatcher->wake);
        free(dispatcher);
        return status;
    }
    *ret = dispatcher;
    return STATUS_OK;
}

static bool wait_for_exit(struct dispatcher *dispatcher)
{
    uint64_t began = now_ns(dispatcher);
    wake_lock(&dispatcher->wake);
    dispatcher->stopping = true;
    wake_signal(&dispatcher->wake);
    for (;;) {
        int64_t waited_ms = (int64_t)((now_ns(dispatcher) - began) / NS_PER_MS);
        if (dispatcher->exited || waited_ms >= FREE_WAIT_MS)
            break;
        wake_wait(&dispatcher->wake, FREE_WAIT_MS - waited_ms);
    }
    bool exited = dispatcher->exited;
    wake_unlock(&dispatcher->wake);
    return exited;
}

bool dispatcher_free(struct dispatcher *dispatcher)
{
    if (dispatcher == NULL)
        return true;
    if (!wait_for_exit(dispatcher)) {
        LOG_ERROR("a plugin does not return; it is left behind", LOG_STRING("executor", dispatcher->config.component->id));
        return false;
    }
    (void)pthread_join(dispatcher->thread, NULL); /* cannot fail: it is ours and joined once */
    plugin_instance_free(dispatcher->instance);
    wake_deinit(&dispatcher->wake);
    free(dispatcher->cancels);
    free(dispatcher);
    return true;
}

const struct plugin_component *dispatcher_component(const struct dispatcher *dispatcher)
{
    return dispatcher->config.component;
}

const struct plugin_instance *dispatcher_instance(const struct dispatcher *dispatcher)
{
    return dispatcher->instance;
}

/* --- the loop's side --- */

bool dispatcher_start(struct dispatcher *dispatcher, struct attempt *attempt)
{
    wake_lock(&dispatcher->wake);
    bool fits = dispatcher->queued < RUN_QUEUE_MAX;
    if (fits) {
        attempt->queue_previous = dispatcher->tail;
        *(dispatcher->tail != NULL ? &dispatcher->tail->queue_next : &dispatcher->head) = attempt;
        dispatcher->tail = attempt;
        attempt->is_queued = true;
        dispatcher->queued++;
        wake_signal(&dispatcher->wake);
    }
    wake_unlock(&dispatcher->wake);
    return fits;
}

bool dispatcher_take_back(struct dispatcher *dispatcher, struct attempt *attempt)
{
    wake_lock(&dispatcher->wake);
    bool queued = attempt->is_queued;
    if (queued)
        unlink_attempt(dispatcher, attempt);
    wake_unlock(&dispatcher->wake);
    return queued;
}

struct attempt *dispatcher_take_back_any(struct dispatcher *dispatcher)
{
    wake_lock(&dispatcher->wake);
    struct attempt *attempt = dispatcher->head;
    if (attempt != NULL)
        unlink_attempt(dispatcher, attempt);
    wake_unlock(&dispatcher->wake);
    return attempt;
}

/* Room for one more cancel. An attempt is cancelled a few times at most, so this is bounded by their number. */
static bool reserve_cancel(struct dispatcher *dispatcher)
{
    uint32_t used = dispatcher->cancel_first + dispatcher->cancel_count;
    if (used < dispatcher->cancel_capacity)
        return true;
    if (dispatcher->cancel_first > used / 2) { /* the front was done: move up */
        memmove(dispatcher->cancels, dispatcher->cancels + dispatcher->cancel_first,
                dispatcher->cancel_count * sizeof *dispatcher->cancels);
        dispatcher->cancel_first = 0;
        return true;
    }
    uint32_t capacity = dispatcher->cancel_capacity == 0 ? 16 : dispatcher->cancel_capacity * 2;
    struct cancel_call *cancels = reallocarray(dispatcher->cancels, capacity, sizeof *cancels);
    if (cancels == NULL)
        return false;
    dispatcher->cancels = cancels;
    dispatcher->cancel_capacity = capacity;
    return true;
}

void dispatcher_cancel(struct dispatcher *dispatcher, uint64_t token, enum chronos_cancel_reason reason, int64_t grace_ms)
{
    wake_lock(&dispatcher->wake);
    bool fits = reserve_cancel(dispatcher);
    if (fits) {
        dispatcher->cancels[dispatcher->cancel_first + dispatcher->cancel_count++] =
            (struct cancel_call){.token = token, .grace_ms = (uint64_t)grace_ms, .reason = (int32_t)reason};
        wake_signal(&dispatcher->wake);
    }
    wake_unlock(&dispatcher->wake);
    if (!fits)
        LOG_ERROR("out of memory: a run cannot be cancelled; it is written off later",
                  LOG_STRING("executor", dispatcher->config.component->id));
}

void dispatcher_drain(struct dispatcher *dispatcher, int64_t grace_ms)
{
    wake_lock(&dispatcher->wake);
    dispatcher->drain_wanted = dispatcher->draining = true;
    dispatcher->drain_grace_ms = (uint64_t)grace_ms;
    wake_signal(&dispatcher->wake);
    wake_unlock(&dispatcher->wake);
}

struct dispatcher_look dispatcher_look(struct dispatcher *dispatcher)
{
    uint64_t now = now_ns(dispatcher);
    wake_lock(&dispatcher->wake);
    uint64_t since = dispatcher->busy_since_ns;
    struct dispatcher_look look = {
        .busy_ns = since == 0 ? 0 : now > since ? now - since : 1,
        .starting = dispatcher->starting,
        .queued = dispatcher->queued,
        .idle = since == 0 && !has_work(dispatcher),
    };
    wake_unlock(&dispatcher->wake);
    return look;
}

bool dispatcher_failed(struct dispatcher *dispatcher, char message[ERROR_TEXT_SIZE])
{
    wake_lock(&dispatcher->wake);
    bool failed = dispatcher->failed;
    if (failed)
        memcpy(message, dispatcher->failed_message, ERROR_TEXT_SIZE);
    wake_unlock(&dispatcher->wake);
    return failed;
}
