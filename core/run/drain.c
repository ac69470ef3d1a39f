/* Going down in order: nothing new starts, what runs may end, the rest is cancelled, everything is reported and stored. */
#include <stdlib.h>

#include "base/log.h"
#include "run/runner.h"

static void on_closed(uv_handle_t *handle)
{
    struct runner_handles *handles = (struct runner_handles *)uv_handle_get_data(handle);
    if (--handles->open > 0)
        return;
    void (*closed)(void *arg) = handles->closed;
    void *arg = handles->arg;
    free(handles);
    if (closed != NULL)
        closed(arg);
}

void runner_close_handles(struct runner *runner, void (*closed)(void *arg), void *arg)
{
    struct runner_handles *handles = runner->handles;
    uv_handle_t *all[] = {(uv_handle_t *)&handles->wakeup, (uv_handle_t *)&handles->deadlines, (uv_handle_t *)&handles->retry,
                          (uv_handle_t *)&handles->watch, (uv_handle_t *)&handles->drain, (uv_handle_t *)&handles->lease};
    attempts_stop_posting(&runner->attempts);
    runner->handles = NULL;
    handles->closed = closed;
    handles->arg = arg;
    handles->open = (int)(sizeof all / sizeof all[0]);
    for (int i = 0; i < handles->open; i++) {
        all[i]->data = handles;
        uv_close(all[i], on_closed);
    }
}

static void on_all_closed(void *arg)
{
    struct runner *runner = arg;
    runner->stage = RUNNER_DRAINED;
    LOG_INFO("executors drained");
    runner->drained(runner->drained_arg);
}

static bool disk_is_critical(const struct runner *runner)
{
    struct cluster_status cluster = {.disk = DISK_OK};
    if (runner->cluster != NULL)
        cluster_status_get(runner->cluster, &cluster);
    return cluster.disk == DISK_CRITICAL;
}

/* Nothing more to wait for. A report that the cluster has taken has no deadline of its own, and on a full disk it waits for
 * ever: stopping the cluster answers it. What was not committed by then is in the outbox; a run whose report did not even fit
 * there is taken over when the next session begins. */
static bool has_reported(const struct runner *runner)
{
    return reports_idle(runner) || (runner->reports.refused && !reports_in_flight(runner)) ||
           runner_now_ms(runner) >= runner->report_until_ms || disk_is_critical(runner);
}

/* No event tells of the disk or of the deadline. */
static void on_reporting_look(uv_timer_t *timer)
{
    drain_step(timer->data);
}

static void begin_reporting(struct runner *runner)
{
    runner->stage = RUNNER_REPORTING;
    runner->report_until_ms = runner_now_ms(runner) + runner->report_wait_ms;
    (void)uv_timer_start(&runner->handles->drain, on_reporting_look, REPORTING_LOOK_MS, REPORTING_LOOK_MS); /* cannot fail */
    reports_flush(runner);
}

/* Every call into a plugin has returned, but for those that do not return. */
static bool dispatchers_idle(const struct runner *runner)
{
    for (uint32_t i = 0; i < runner->instance_count; i++)
        if (!runner->instances[i].wedged && !dispatcher_look(runner->instances[i].dispatcher).idle)
            return false;
    return true;
}

void drain_step(struct runner *runner)
{
    if (runner->stage == RUNNER_DRAINING && runner->active == 0 && dispatchers_idle(runner))
        begin_reporting(runner);
    if (runner->stage == RUNNER_REPORTING && has_reported(runner)) {
        runner->stage = RUNNER_FLUSHING;
        (void)uv_timer_stop(&runner->handles->drain); /* cannot fail */
        if (!reports_idle(runner))
            LOG_WARN("reports of runs are kept for the next start: the cluster commits none now");
        local_writer_stop(runner->writer);
    }
    if (runner->stage == RUNNER_FLUSHING && atomic_load(&runner->writer_stopped)) {
        runner->stage = RUNNER_CLOSING;
        runner_close_handles(runner, on_all_closed, runner);
    }
}

void on_drain_timeout(uv_timer_t *timer)
{
    struct runner *runner = timer->data;
    if (runner->stage != RUNNER_DRAINING)
        return;
    if (runner->active > 0)
        LOG_WARN("runs are cancelled: the node is shutting down", LOG_U64("count", runner->active));
    for (uint32_t i = 0; i < runner->attempts.capacity; i++)
        if (runner->attempts.slots[i] != NULL)
            attempt_cancel(runner, runner->attempts.slots[i], REASON_SHUTDOWN);
    reports_flush(runner);
    drain_step(runner);
}

void runner_drain(struct runner *runner, int64_t timeout_ms, void (*drained)(void *arg), void *arg)
{
    runner->stage = RUNNER_DRAINING;
    runner->drained = drained;
    runner->drained_arg = arg;
    LOG_INFO("draining executors", LOG_U64("running", runner->active), LOG_MS("timeout", timeout_ms));
    runner->announce_wanted = true; /* with a capacity of 0: nothing more is placed here */
    announce(runner);
    instances_release_queues(runner, REASON_SHUTDOWN);
    for (uint32_t i = 0; i < runner->instance_count; i++)
        dispatcher_drain(runner->instances[i].dispatcher, timeout_ms);
    instances_watch(runner);
    uv_ref((uv_handle_t *)&runner->handles->wakeup); /* the loop stays until it is done */
    uv_update_time(runner->config.loop);
    (void)uv_timer_start(&runner->handles->drain, on_drain_timeout, timeout_ms > 0 ? (uint64_t)timeout_ms : 0, 0);
    attempts_wake(&runner->attempts); /* `drained` is never called from here */
}
