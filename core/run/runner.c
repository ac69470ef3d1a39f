#include "run/runner.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "run/params.h"

int64_t runner_now_ms(const struct runner *runner)
{
    return (int64_t)(runner->config.clock->monotonic_ns(runner->config.clock->arg) / NS_PER_MS);
}

/* --- news from the dispatchers and the plugins --- */

static void take_news(struct runner *runner, struct attempt *attempt)
{
    struct attempt_times times = attempts_times(&runner->attempts, attempt);
    if (times.start_returned && attempt->in_dispatcher)
        attempt_started(runner, attempt);
    if (times.completed && attempt->phase <= ATTEMPT_RUNNING)
        attempt_completed(runner, attempt);
    attempts_reap(&runner->attempts, attempt);
}

static void on_wakeup(uv_async_t *async)
{
    struct runner *runner = async->data;
    struct attempt *attempt;
    while ((attempt = attempts_take_posted(&runner->attempts)) != NULL)
        take_news(runner, attempt);
    instances_check_failed(runner);
    reports_flush(runner);
    drain_step(runner);
}

/* --- the cluster's calls --- */

static void on_changes(void *arg, const struct state_changes *changes, struct state_position applied)
{
    struct runner *runner = arg;
    (void)applied;
    if (runner->stage >= RUNNER_FLUSHING)
        return;
    starts_apply(runner, changes);
    if (runner->reports.refused)
        attempts_wake(&runner->attempts); /* the cluster works: try again */
}

static void on_lead(void *arg, bool leading)
{
    struct runner *runner = arg;
    if (!leading || runner->stage >= RUNNER_FLUSHING)
        return;
    if (runner->replay.stage == REPLAY_WAITING)
        runner->replay.stage = REPLAY_RUNNING;
    replay_go_on(runner);
    reports_flush(runner);
}

static uint64_t on_session(void *arg, bool *ret_is_announced)
{
    const struct runner *runner = arg;
    *ret_is_announced = runner->session == runner->announced_session;
    return runner->session;
}

struct cluster_runner_ops runner_ops(struct runner *runner)
{
    return (struct cluster_runner_ops){.changes = on_changes, .lead = on_lead, .session = on_session, .lease = lease_granted,
                                       .session_over = lease_session_over, .reload = starts_reload, .arg = runner};
}

void runner_attach(struct runner *runner, struct cluster *cluster)
{
    runner->cluster = cluster;
}

/* --- life --- */

static enum status make_handles(struct runner *runner, struct error *err)
{
    uv_loop_t *loop = runner->config.loop;
    struct runner_handles *handles = calloc(1, sizeof *handles);
    if (handles == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    uv_handle_t *all[] = {(uv_handle_t *)&handles->wakeup, (uv_handle_t *)&handles->deadlines, (uv_handle_t *)&handles->retry,
                          (uv_handle_t *)&handles->watch, (uv_handle_t *)&handles->drain, (uv_handle_t *)&handles->lease};
    int failed = uv_async_init(loop, &handles->wakeup, on_wakeup);
    if (failed != 0) {
        free(handles);
        return error_set(err, STATUS_IO, "the event loop takes no more handles: %s", uv_strerror(failed));
    }
    (void)uv_timer_init(loop, &handles->deadlines); /* these cannot fail */
    (void)uv_timer_init(loop, &handles->retry);
    (void)uv_timer_init(loop, &handles->watch);
    (void)uv_timer_init(loop, &handles->drain);
    (void)uv_timer_init(loop, &handles->lease);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        all[i]->data = runner;
        uv_unref(all[i]); /* whoever runs the loop decides how long */
    }
    runner->handles = handles;
    return STATUS_OK;
}

static void on_writer_stopped(void *arg)
{
    struct runner *runner = arg;
    atomic_store(&runner->writer_stopped, true);
    attempts_wake(&runner->attempts);
}

static enum status open_local(struct runner *runner, struct error *err)
{
    const struct runner_config *config = &runner->config;
    enum status status = local_store_open(config->backend, config->backend_options, config->clock, config->data_dir,
                                          &runner->local, err);
    if (status != STATUS_OK)
        return status;
    struct local_writer_config writer = {.local = runner->local,
                                         .clock = config->clock,
                                         .output_retention_ms = config->output_retention_ms,
                                         .stopped = on_writer_stopped,
                                         .stopped_arg = runner};
    return local_writer_start(&writer, &runner->writer, err);
}

static bool promises(const struct dispatcher *dispatcher, const char *extension)
{
    const struct plugin_component *component = dispatcher_component(dispatcher);
    return component->get_extension != NULL &&
           component->get_extension(dispatcher_instance(dispatcher)->self, extension) != NULL;
}

static enum status make_instances(struct runner *runner, const struct runner_config *config, struct error *err)
{
    if (config->executor_count > NODE_EXECUTORS_MAX)
        return error_set(err, STATUS_INVALID, "%u executors are loaded; a node has at most %d", config->executor_count,
                         NODE_EXECUTORS_MAX);
    runner->instances = calloc(config->executor_count + 1, sizeof *runner->instances);
    if (runner->instances == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    for (uint32_t i = 0; i < config->executor_count; i++) {
        struct dispatcher_config made = {.component = config->executors[i],
                                         .options = config->executor_options != NULL ? config->executor_options[i] : NULL,
                                         .clock = config->clock,
                                         .node_id = runner->node_id,
                                         .output_limit = (uint64_t)config->captured_output_bytes,
                                         .attempts = &runner->attempts};
        if (strlen(made.component->id) >= EXECUTOR_TEXT_SIZE || instance_find(runner, made.component->id) != NULL)
            return error_set(err, STATUS_INVALID, "executor \"%.64s\" has too long a name or is given twice",
                             made.component->id);
        enum status status = dispatcher_new(&made, &runner->instances[i].dispatcher, err);
        if (status != STATUS_OK)
            return status;
        runner->instances[i].validates_quickly = promises(runner->instances[i].dispatcher, CHRONOS_QUICK_VALIDATE);
        runner->instance_count++;
    }
    return STATUS_OK;
}

uint64_t runner_draw_session(void)
{
    uint64_t session = 0;
    while (session == 0)
        random_bytes_secure(&session, sizeof session);
    return session;
}

static enum status copy_config(struct runner *runner, const struct runner_config *config, struct error *err)
{
    if (strlen(config->node_id) >= sizeof runner->node_id)
        return error_set(err, STATUS_INVALID, "the node id is longer than %d bytes", NODE_NAME_MAX);
    if (config->replicated_output_bytes > REPLICATED_OUTPUT_MAX || config->captured_output_bytes < 0 ||
        config->captured_output_bytes > CAPTURED_OUTPUT_MAX || config->grace_ms < 0 || config->tag_count > NODE_TAGS_MAX)
        return error_set(err, STATUS_INVALID, "the limits of output, the grace or the tags are out of range");
    runner->config = *config;
    runner->config.executors = NULL; /* borrowed for runner_new alone */
    runner->config.executor_options = NULL;
    memcpy(runner->node_id, config->node_id, strlen(config->node_id) + 1);
    return STATUS_OK;
}

enum status runner_new(const struct runner_config *config, struct runner **ret, struct error *err)
{
    struct runner *runner = calloc(1, sizeof *runner);
    if (runner == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    enum status status = copy_config(runner, config, err);
    if (status == STATUS_OK)
        status = make_handles(runner, err);
    if (status != STATUS_OK) {
        free(runner);
        return status;
    }
    runner->session = runner_draw_session();
    runner->has_lease = config->lease_ms == 0;
    runner->write_off_ms = WRITE_OFF_MS;
    runner->wedged_ms = WEDGED_MS;
    runner->report_wait_ms = REPORT_WAIT_MS;
    runner->budget.limit_bytes = CAPTURED_TOTAL_MAX;
    attempts_init(&runner->attempts, config->clock, &runner->budget, (size_t)config->captured_output_bytes,
                  config->replicated_output_bytes, &runner->handles->wakeup);
    job_cache_init(&runner->jobs);
    heap_init(&runner->deadlines);
    status = reports_init(&runner->reports, err);
    runner->replay.window = calloc(REPORTS_PER_COMMAND, sizeof *runner->replay.window);
    if (status == STATUS_OK && runner->replay.window == NULL)
        status = error_set(err, STATUS_NO_MEMORY, "out of memory");
    if (status == STATUS_OK)
        status = open_local(runner, err);
    if (status == STATUS_OK)
        status = make_instances(runner, config, err);
    if (status != STATUS_OK) {
        runner_free(runner);
        return status;
    }
    *ret = runner;
    return STATUS_OK;
}

/* References to jobs that attempts of a runner without drain still hold. */
static void drop_jobs(struct runner *runner)
{
    for (uint32_t i = 0; i < runner->attempts.capacity; i++)
        if (runner->attempts.slots[i] != NULL)
            job_unref(runner->attempts.slots[i]->job);
}

void runner_free(struct runner *runner)
{
    bool all_ended = true;
    if (runner == NULL)
        return;
    assert(runner->stage == RUNNER_OPEN || runner->stage == RUNNER_DRAINED);
    for (uint32_t i = 0; i < runner->instance_count; i++)
        all_ended &= dispatcher_free(runner->instances[i].dispatcher);
    local_writer_free(runner->writer);
    local_store_close(runner->local);
    runner->writer = NULL;
    runner->local = NULL;
    if (runner->handles != NULL)
        runner_close_handles(runner, NULL, NULL);
    if (!all_ended)
        return; /* a plugin may still call in: what it can reach stays until the process ends */
    heap_deinit(&runner->deadlines);
    drop_jobs(runner);
    attempts_deinit(&runner->attempts);
    job_cache_deinit(&runner->jobs);
    reports_deinit(&runner->reports);
    free(runner->replay.window);
    free(runner->instances);
    free(runner);
}

/* --- what others may know --- */

void runner_stats_get(const struct runner *runner, struct runner_stats *ret)
{
    static_assert(sizeof ret->start_late_buckets == sizeof runner->late_buckets, "one place a bucket");
    struct runner_stats stats = {.started = runner->started,
                                 .finished = runner->finished,
                                 .start_late_sum_ms = runner->late_sum_ms,
                                 .output_bytes = atomic_load(&runner->budget.total_bytes),
                                 .output_dropped_bytes = atomic_load(&runner->budget.dropped_bytes)};
    for (uint32_t i = 0; i < runner->instance_count; i++) {
        stats.queued += dispatcher_look(runner->instances[i].dispatcher).queued;
        stats.wedged_instances += runner->instances[i].wedged;
    }
    stats.active = runner->active - stats.queued;
    memcpy(stats.start_late_buckets, runner->late_buckets, sizeof stats.start_late_buckets);
    *ret = stats;
}

bool runner_validates_quickly(const struct runner *runner, const char *executor)
{
    const struct instance *instance = instance_find(runner, executor);
    return instance != NULL && instance->validates_quickly;
}

enum status runner_validate(const struct runner *runner, const char *executor, const struct chronos_param *params,
                            uint32_t count, const char *job_name, struct error *err)
{
    const struct instance *instance = instance_find(runner, executor);
    if (instance == NULL)
        return error_set(err, STATUS_EXECUTOR_UNKNOWN, "this node has no executor \"%.64s\"", executor);
    const struct plugin_component *component = dispatcher_component(instance->dispatcher);
    if (component->ops.executor.validate == NULL)
        return STATUS_OK;
    struct chronos_run run = {.struct_size = sizeof run, .params = params, .n_params = count, .job_name = job_name,
                              .job_id = "", .execution_id = "", .node_id = runner->node_id, .trigger = "",
                              .traceparent = "", .idempotency_key = ""};
    struct chronos_error from = {.struct_size = sizeof from};
    int64_t began_ms = runner_now_ms(runner);
    int32_t code = component->ops.executor.validate(dispatcher_instance(instance->dispatcher)->self, &run, &from);
    int64_t took_ms = runner_now_ms(runner) - began_ms;
    if (took_ms > SLOW_CALL_MS)
        LOG_WARN("slow plugin call", LOG_STRING("executor", executor), LOG_STRING("call", "validate"), LOG_MS("took", took_ms));
    return plugin_status(code, &from, err);
}
