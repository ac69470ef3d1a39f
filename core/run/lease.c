/* This node's lease: while a leader answers, its runs are its own. A node that nobody answers must have ended them when the lease is
 * over, for then they are given to others. Jobs may ask for theirs to go on (on_lease_loss: continue): those may run twice. */
#include "base/log.h"
#include "run/runner.h"

enum { LEASE_MARGIN_MS = 1000 };

/* Early enough for the runs to be gone at its end. */
static int64_t ends_ms(const struct runner *runner)
{
    return runner->lease_until_ms - grace_of(runner, REASON_NODE_LOSS) - LEASE_MARGIN_MS;
}

static void arm(struct runner *runner)
{
    if (runner->handles == NULL)
        return;
    if (runner->lease_until_ms == INT64_MAX) {
        (void)uv_timer_stop(&runner->handles->lease); /* cannot fail */
        return;
    }
    int64_t delay = ends_ms(runner) - runner_now_ms(runner);
    uv_update_time(runner->config.loop); /* the timer counts from the loop's time, which may be stale */
    (void)uv_timer_start(&runner->handles->lease, on_lease_end, delay > 0 ? (uint64_t)delay : 0, 0); /* likewise */
}

/* Everything that is under way here; `end` may end some at once. */
static void each_attempt(struct runner *runner, void (*end)(struct runner *runner, struct attempt *attempt))
{
    for (uint32_t i = 0; i < runner->attempts.capacity; i++) {
        struct attempt *attempt = runner->attempts.slots[i];
        if (attempt != NULL && attempt->phase <= ATTEMPT_RUNNING)
            end(runner, attempt);
    }
}

static void cancel(struct runner *runner, struct attempt *attempt)
{
    if (!attempt->outlives_lease)
        attempt_cancel(runner, attempt, REASON_NODE_LOSS);
    else if (dispatcher_take_back(attempt->dispatcher, attempt)) /* nothing begins without a lease */
        attempt_never_ran(runner, attempt, RUN_CANCELLED, REASON_NODE_LOSS, "");
}

void on_lease_end(uv_timer_t *timer)
{
    struct runner *runner = timer->data;
    if (!runner->has_lease)
        return;
    if (ends_ms(runner) > runner_now_ms(runner)) { /* the loop's clock may be a little ahead of ours */
        arm(runner);
        return;
    }
    runner->has_lease = false;
    if (runner->active > 0)
        LOG_ERROR("no leader has answered for nearly a lease: the runs on this node are cancelled, but for those of jobs with on_lease_loss: continue; "
                  "others will have them",
                  LOG_U64("runs", runner->active), LOG_MS("lease", runner->config.lease_ms));
    else
        LOG_WARN("no leader has answered for nearly a lease: nothing is started on this node");
    each_attempt(runner, cancel);
    reports_flush(runner);
}

void lease_granted(void *arg, int64_t until_ms)
{
    struct runner *runner = arg;
    bool had = runner->has_lease;
    if (runner->stage >= RUNNER_FLUSHING)
        return;
    if (until_ms > runner->lease_until_ms || runner->lease_until_ms == INT64_MAX) /* an older beat may be answered later */
        runner->lease_until_ms = until_ms;
    if (!had && ends_ms(runner) <= runner_now_ms(runner))
        return; /* it comes too late to be of use */
    runner->has_lease = true;
    arm(runner);
    if (!had)
        starts_walk(runner);
}

/* Its runs have been given to others, so they ended here in time. What is left is let go of; a new session begins. */
void lease_session_over(void *arg)
{
    struct runner *runner = arg;
    if (runner->stage >= RUNNER_FLUSHING)
        return;
    LOG_WARN("this node was silent for longer than its lease, or is forgotten; it begins anew", LOG_U64("runs", runner->active));
    each_attempt(runner, attempt_disown);
    runner->has_lease = false;
    runner->lease_until_ms = 0;
    runner->session = runner_draw_session();
    runner->announce_wanted = true;
    announce(runner);
}
