#include <assert.h>

#include "base/log.h"
#include "run/runner.h"

#define attempt_of(node) ((struct attempt *)((char *)(node) - offsetof(struct attempt, deadline)))

static void arm(struct runner *runner)
{
    const struct heap_node *next = heap_peek(&runner->deadlines);
    if (runner->handles == NULL)
        return;
    if (next == NULL) {
        (void)uv_timer_stop(&runner->handles->deadlines); /* cannot fail */
        return;
    }
    int64_t delay = next->key - runner_now_ms(runner);
    uv_update_time(runner->config.loop); /* the timer counts from the loop's time, which may be stale */
    (void)uv_timer_start(&runner->handles->deadlines, on_deadlines, delay > 0 ? (uint64_t)delay : 0, 0); /* likewise */
}

void deadline_set(struct runner *runner, struct attempt *attempt, int64_t at_ms, bool last)
{
    attempt->deadline_is_last = last;
    if (heap_set(&runner->deadlines, &attempt->deadline, at_ms) != STATUS_OK) {
        LOG_ERROR("out of memory: a run's timeout is not watched", LOG_STRING("job", attempt->job_name));
        return;
    }
    if (heap_peek(&runner->deadlines) == &attempt->deadline)
        arm(runner);
}

void deadline_clear(struct runner *runner, struct attempt *attempt)
{
    heap_remove(&runner->deadlines, &attempt->deadline); /* the timer may come once for nothing */
    (void)runner;
}

static void time_out(struct runner *runner, struct attempt *attempt)
{
    static const char too_long[] = "the executor did not end the run in time";
    assert(attempt->phase == ATTEMPT_QUEUED || attempt->phase == ATTEMPT_RUNNING);
    if (!attempt->deadline_is_last) {
        attempt_cancel(runner, attempt, REASON_TIMEOUT);
        return;
    }
    LOG_WARN("run written off", LOG_STRING("job", attempt->job_name), LOG_STRING("reason", too_long));
    (void)attempt_write_off(runner, attempt, attempt->cancel == REASON_TIMEOUT ? RUN_TIMEOUT : RUN_CANCELLED,
                            attempt->cancel, too_long); /* false: it has ended at the last moment */
}

void on_deadlines(uv_timer_t *timer)
{
    struct runner *runner = timer->data;
    int64_t now = runner_now_ms(runner);
    struct heap_node *next;
    while ((next = heap_peek(&runner->deadlines)) != NULL && next->key <= now) {
        struct attempt *attempt = attempt_of(next);
        heap_remove(&runner->deadlines, next);
        time_out(runner, attempt);
    }
    arm(runner);
    reports_flush(runner);
    drain_step(runner);
}
