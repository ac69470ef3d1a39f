/* The executors as wholes: which there are, whether they still answer, and what the cluster is told of them. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "run/runner.h"

struct instance *instance_find(const struct runner *runner, const char *executor)
{
    for (uint32_t i = 0; i < runner->instance_count; i++)
        if (strcmp(dispatcher_component(runner->instances[i].dispatcher)->id, executor) == 0)
            return &runner->instances[i];
    return NULL;
}

/* --- what this node can do --- */

static bool is_offered(const struct instance *instance)
{
    return !instance->wedged && !instance->failed;
}

bool runner_offers(const struct runner *runner, const char *executor)
{
    const struct instance *instance = instance_find(runner, executor);
    return instance != NULL && is_offered(instance);
}

void runner_node(const struct runner *runner, struct node_row *ret)
{
    struct node_row node = {.session = runner->session};
    memcpy(node.name, runner->node_id, sizeof node.name);
    node.capacity = runner->stage == RUNNER_OPEN ? runner->config.max_concurrent : 0;
    node.since_ms = runner->config.clock->wall_ms(runner->config.clock->arg);
    node.lease_ms = runner->config.lease_ms;
    memcpy(node.version, CHRONOS_VERSION, sizeof CHRONOS_VERSION);
    for (uint32_t i = 0; i < runner->instance_count; i++) {
        const char *id = dispatcher_component(runner->instances[i].dispatcher)->id;
        if (is_offered(&runner->instances[i]))
            memcpy(node.executors[node.executor_count++], id, strlen(id) + 1); /* runner_new checked the lengths */
    }
    for (uint32_t i = 0; i < runner->config.tag_count; i++)
        (void)snprintf(node.tags[node.tag_count++], sizeof node.tags[0], "%s", runner->config.tags[i]);
    *ret = node;
}

static void on_announced(void *arg, uint64_t session, const struct cluster_outcome *outcome)
{
    struct runner *runner = arg;
    runner->announce_in_flight = false;
    if (outcome->status != STATUS_OK || outcome->result.status != STATUS_OK) {
        LOG_WARN("this node could not announce itself; it is tried again", LOG_STRING("reason", outcome->message));
        runner->announce_wanted = true;
        retry_later(runner);
        return;
    }
    runner->announced_session = session;
    announce(runner);
}

void announce(struct runner *runner)
{
    struct error err;
    struct node_row node;
    struct buffer *command = &runner->reports.command;
    if (!runner->announce_wanted || runner->announce_in_flight || runner->replay.stage != REPLAY_DONE ||
        runner->stage >= RUNNER_FLUSHING)
        return;
    runner_node(runner, &node);
    buffer_clear(command);
    node_up_encode(&node, command);
    enum status status = command->failed;
    if (status == STATUS_OK)
        status = cluster_propose(runner->cluster, PROPOSE_REPORT, buffer_bytes(command), on_announced, runner,
                                 runner->session, &err);
    if (status != STATUS_OK) {
        retry_later(runner);
        return;
    }
    runner->announce_wanted = false;
    runner->announce_in_flight = true;
}

static void announce_anew(struct runner *runner)
{
    runner->announce_wanted = true;
    announce(runner);
}

/* --- those that do not answer --- */

static void release_queue(struct runner *runner, struct instance *instance, enum reason reason)
{
    struct attempt *attempt;
    while ((attempt = dispatcher_take_back_any(instance->dispatcher)) != NULL)
        attempt_release(runner, attempt, reason);
}

void instances_release_queues(struct runner *runner, enum reason reason)
{
    for (uint32_t i = 0; i < runner->instance_count; i++)
        release_queue(runner, &runner->instances[i], reason);
}

/* start() does not return, so nothing has set the run's timeout yet. */
static void watch_start(struct runner *runner, uint64_t token)
{
    struct attempt *attempt = attempts_by_token(&runner->attempts, token);
    if (attempt == NULL || attempt->phase != ATTEMPT_QUEUED || attempt->timeout_ms == 0 || attempt->deadline.position != 0)
        return;
    deadline_set(runner, attempt, runner_now_ms(runner) + attempt->timeout_ms - runner->wedged_ms, false);
}

static void look_at(struct runner *runner, struct instance *instance, const struct dispatcher_look *look)
{
    const char *id = dispatcher_component(instance->dispatcher)->id;
    bool wedged = look->busy_ns > (uint64_t)runner->wedged_ms * NS_PER_MS;
    bool changed = wedged != instance->wedged;
    instance->wedged = wedged;
    if (wedged) {
        release_queue(runner, instance, REASON_EXECUTOR_FAILED);
        if (look->starting != 0)
            watch_start(runner, look->starting);
    }
    if (!changed)
        return;
    if (wedged)
        LOG_ERROR("executor does not return from a call: nothing more is started on it", LOG_STRING("executor", id));
    else
        LOG_INFO("executor returns from its calls again", LOG_STRING("executor", id));
    announce_anew(runner);
}

void on_watch(uv_timer_t *timer)
{
    struct runner *runner = timer->data;
    bool idle = true;
    for (uint32_t i = 0; i < runner->instance_count; i++) {
        struct dispatcher_look look = dispatcher_look(runner->instances[i].dispatcher);
        look_at(runner, &runner->instances[i], &look);
        idle &= look.idle;
    }
    if (idle)
        (void)uv_timer_stop(timer); /* cannot fail */
    reports_flush(runner);
    drain_step(runner);
}

void instances_watch(struct runner *runner)
{
    if (runner->handles != NULL && !uv_is_active((uv_handle_t *)&runner->handles->watch))
        (void)uv_timer_start(&runner->handles->watch, on_watch, WATCH_MS, WATCH_MS); /* cannot fail */
}

/* --- those that gave up --- */

static void fail_attempts(struct runner *runner, const struct instance *instance, const char *message)
{
    for (uint32_t i = 0; i < runner->attempts.capacity; i++) {
        struct attempt *attempt = runner->attempts.slots[i];
        if (attempt != NULL && attempt->dispatcher == instance->dispatcher && attempt->phase <= ATTEMPT_RUNNING)
            (void)attempt_write_off(runner, attempt, RUN_LOST, REASON_EXECUTOR_FAILED, message); /* false: it just ended */
    }
}

void instances_check_failed(struct runner *runner)
{
    char message[ERROR_TEXT_SIZE];
    for (uint32_t i = 0; i < runner->instance_count; i++) {
        struct instance *instance = &runner->instances[i];
        if (instance->failed || !dispatcher_failed(instance->dispatcher, message))
            continue;
        instance->failed = true;
        release_queue(runner, instance, REASON_EXECUTOR_FAILED);
        fail_attempts(runner, instance, message);
        announce_anew(runner);
    }
}
