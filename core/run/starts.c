/* The applied state says what is ours: start it, cancel it, let go of it. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "run/runner.h"

static bool is_ours(const struct runner *runner, const struct open_run *run)
{
    return run->session == runner->session && strcmp(run->node, runner->node_id) == 0 &&
           (run->phase == PHASE_ASSIGNED || run->phase == PHASE_RUNNING);
}

/* --- start --- */

static void cannot_start(struct runner *runner, struct attempt *attempt, const char *why)
{
    LOG_WARN("run cannot be started", LOG_STRING("job", attempt->job_name), LOG_STRING("reason", why));
    attempt_never_ran(runner, attempt, RUN_FAILED, REASON_NONE, why);
}

static void start(struct runner *runner, struct attempt *attempt, uint64_t serial)
{
    struct error err;
    if (job_cache_get(&runner->jobs, cluster_state(runner->cluster), serial, attempt->job_version, &attempt->job, &err) !=
        STATUS_OK) {
        cannot_start(runner, attempt, err.message);
        return;
    }
    struct instance *instance = instance_find(runner, attempt->job->executor);
    if (instance == NULL) {
        (void)error_set(&err, STATUS_EXECUTOR_UNKNOWN, "this node has no executor \"%s\"", attempt->job->executor);
        cannot_start(runner, attempt, err.message);
        return;
    }
    attempt->dispatcher = instance->dispatcher;
    attempt->timeout_ms = attempt->job->timeout_ms;
    attempt->outlives_lease = attempt->job->outlives_lease;
    if (instance->failed) {
        attempt_release(runner, attempt, REASON_EXECUTOR_FAILED);
        return;
    }
    attempt->in_dispatcher = true;
    if (!dispatcher_start(instance->dispatcher, attempt))
        attempt_release(runner, attempt, REASON_CAPACITY);
    else
        instances_watch(runner);
}

static void begin(struct runner *runner, const struct open_run *run)
{
    struct error err;
    struct attempt *attempt;
    if (attempts_add(&runner->attempts, run, &attempt, &err) != STATUS_OK) {
        LOG_ERROR("run given back", LOG_STRING("job", run->job_name), LOG_ERROR_FIELD(&err));
        report_release_unknown(runner, run);
        return;
    }
    runner->active++;
    if (run->cancel != REASON_NONE)
        attempt_never_ran(runner, attempt, RUN_CANCELLED, run->cancel, "");
    else if (runner->stage != RUNNER_OPEN)
        attempt_release(runner, attempt, REASON_SHUTDOWN);
    else
        start(runner, attempt, run->serial);
}

/* --- changes --- */

/* Every attempt of the execution that runs here, `keep` (NULL: none) excepted. */
static void disown_others(struct runner *runner, const struct id *execution, const struct attempt *keep)
{
    struct attempt *next, *attempt = attempts_newest(&runner->attempts, execution);
    for (; attempt != NULL; attempt = next) {
        next = attempt->same_run;
        if (attempt != keep)
            attempt_disown(runner, attempt);
    }
}

static void open_changed(struct runner *runner, const struct state_change *change)
{
    struct open_run run;
    struct error err;
    if (open_run_decode(&change->execution, change->row, &run, &err) != STATUS_OK) {
        LOG_ERROR("a changed run cannot be read", LOG_ERROR_FIELD(&err));
        return;
    }
    bool ours = is_ours(runner, &run);
    struct attempt *attempt = ours ? attempts_find(&runner->attempts, &run.execution, run.attempt) : NULL;
    disown_others(runner, &run.execution, attempt);
    if (attempt != NULL && run.cancel != REASON_NONE)
        attempt_cancel(runner, attempt, run.cancel);
    else if (ours && attempt == NULL && run.phase == PHASE_ASSIGNED && runner->has_lease)
        begin(runner, &run);
}

/* --- all there is --- */

static bool walk_run(void *arg, struct bytes key, struct bytes row)
{
    struct state_change change = {.kind = CHANGE_OPEN, .row = row};
    if (key.size == sizeof change.execution.bytes) {
        memcpy(change.execution.bytes, key.data, key.size);
        open_changed(arg, &change);
    }
    return true;
}

/* What was assigned while this node had no lease. */
void starts_walk(struct runner *runner)
{
    struct state_view view;
    struct error err;
    enum status status = state_view_begin(cluster_state(runner->cluster), &view, &err);
    if (status == STATUS_OK) {
        status = state_walk_table(&view, STATE_OPEN, (struct bytes){NULL, 0}, false, walk_run, runner, &err);
        state_view_end(&view);
    }
    if (status != STATUS_OK)
        LOG_ERROR("the runs that wait for this node cannot be read; those that change are started", LOG_ERROR_FIELD(&err));
}

static bool is_still_ours(struct runner *runner, struct state_view *view, const struct attempt *attempt)
{
    struct open_run run;
    struct error err;
    return state_get_open(view, &attempt->execution, &run, &err) == STATUS_OK && is_ours(runner, &run) &&
           run.attempt == attempt->number;
}

/* Nothing tells what has changed: every attempt here is looked up, then everything that is ours. */
void starts_reload(void *arg)
{
    struct runner *runner = arg;
    struct state_view view;
    struct error err;
    if (runner->stage >= RUNNER_FLUSHING)
        return;
    if (state_view_begin(cluster_state(runner->cluster), &view, &err) != STATUS_OK) {
        LOG_ERROR("the runs of this node cannot be read", LOG_ERROR_FIELD(&err));
        return;
    }
    for (uint32_t i = 0; i < runner->attempts.capacity; i++) {
        struct attempt *attempt = runner->attempts.slots[i];
        if (attempt != NULL && attempt->phase <= ATTEMPT_RUNNING && !is_still_ours(runner, &view, attempt))
            attempt_disown(runner, attempt);
    }
    state_view_end(&view);
    starts_walk(runner);
}

void starts_apply(struct runner *runner, const struct state_changes *changes)
{
    for (uint32_t i = 0; i < changes->count; i++) {
        const struct state_change *change = &changes->items[i];
        if (change->kind == CHANGE_OPEN)
            open_changed(runner, change);
        else if (change->kind == CHANGE_CLOSED && change->was_open)
            disown_others(runner, &change->execution, NULL);
    }
}
