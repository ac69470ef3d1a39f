/* How a run begins beside others of its job: at once, after them, or not at all (docs/adr/0001, 0018).
 *
 * Decided in apply, not by the leader: here it is known for certain which runs are active. */
#include <stdio.h>
#include <string.h>

#include "state/apply_internal.h"

/* --- what a run shares its turn with --- */

static enum status count_lane(struct apply *a, uint64_t serial, struct lane *lane)
{
    uint32_t count = 0;
    enum status status = list_open_runs(a, serial, &count);
    for (uint32_t i = 0; i < count && !status; i++) {
        const struct id *execution = &a->state->open_runs[i].execution;
        struct open_run run;
        status = peek_open(a, execution, &run);
        if (status || (run.pinned && run.node[0] != '\0' && strcmp(run.node, lane->node) != 0))
            continue;
        lane->active++;
        lane->waiting += run.phase == PHASE_WAITING;
        if (run.phase == PHASE_WAITING && strcmp(run.node, lane->node) == 0)
            lane->waiting_run = *execution;
    }
    return status;
}

/* Counted once a command: it is kept in step below. */
static enum status pinned_lane(struct apply *a, uint64_t serial, const char *node, struct lane **ret)
{
    uint32_t i = 0;
    while (i < a->lane_count && strcmp(a->lanes[i].node, node) != 0)
        i++;
    *ret = &a->lanes[i]; /* no command names more nodes than there are lanes */
    if (i < a->lane_count)
        return STATUS_OK;
    **ret = (struct lane){.active = 0};
    (void)snprintf((*ret)->node, sizeof (*ret)->node, "%s", node);
    a->lane_count++;
    return count_lane(a, serial, *ret);
}

static struct lane whole_job(const struct job_marks *marks)
{
    return (struct lane){.active = marks->active, .waiting = marks->waiting, .waiting_run = marks->waiting_run};
}

enum status lane_is_free(struct apply *a, const struct open_run *run, const struct job_marks *marks, bool *ret)
{
    struct lane lane = whole_job(marks);
    enum status status = STATUS_OK;
    if (run->pinned && run->node[0] != '\0') {
        lane = (struct lane){.active = 0};
        memcpy(lane.node, run->node, sizeof lane.node);
        status = count_lane(a, run->serial, &lane);
    }
    *ret = lane.active == lane.waiting;
    return status;
}

/* --- the policy --- */

enum verdict { VERDICT_START, VERDICT_WAIT, VERDICT_SKIP };
struct admission {
    enum verdict verdict;
    enum reason reason; /* of a skip */
};

static struct admission skip(enum reason reason)
{
    return (struct admission){VERDICT_SKIP, reason};
}

static uint32_t concurrent_max(const struct job_spec *spec)
{
    bool given = spec->max_concurrent > 0 && spec->max_concurrent < JOB_CONCURRENT_MAX;
    return given ? spec->max_concurrent : JOB_CONCURRENT_MAX;
}

/* Where the whole job is below the limit, so is each node. */
static bool lane_matters(const struct job_spec *spec, const struct job_marks *marks)
{
    return marks->active >= (spec->concurrency == CONCURRENCY_ALLOW ? concurrent_max(spec) : 1);
}

static struct admission admit(const struct job_spec *spec, const struct job_marks *marks, const struct lane *lane,
                              enum run_trigger trigger)
{
    static const struct admission start = {VERDICT_START, REASON_NONE}, wait = {VERDICT_WAIT, REASON_NONE};
    switch (spec->concurrency) {
    case CONCURRENCY_ALLOW:
        return lane->active < concurrent_max(spec) && marks->active < JOB_CONCURRENT_MAX ? start : skip(REASON_MAX_CONCURRENT);
    case CONCURRENCY_REPLACE:
        return lane->active == 0 ? start : wait;
    case CONCURRENCY_FORBID:
    case CONCURRENCY_COUNT:
        break;
    }
    if (lane->active == 0)
        return start;
    /* Missed slots that execute_all asked for come one after the other: they wait for each other, not for nothing. */
    if (trigger != TRIGGER_CATCHUP)
        return skip(REASON_OVERLAP);
    return marks->waiting < JOB_WAITING_MAX ? wait : skip(REASON_QUEUE_FULL);
}

/* --- beginning --- */

/* Under `replace` one run waits; a newer one takes its place. */
static enum status supersede(struct apply *a, struct job_marks *marks, struct lane *lane)
{
    if (id_is_zero(&lane->waiting_run))
        return STATUS_OK;
    struct open_run waiting;
    enum status status = need_open(a, &lane->waiting_run, &waiting);
    if (status)
        return status;
    struct run_end end = plain_end(a, RUN_SKIPPED, REASON_SUPERSEDED);
    lane->active--;
    lane->waiting--;
    return finish_run(a, &waiting, true, marks, &end);
}

static enum status begin_waiting(struct apply *a, const struct job_spec *spec, struct job_marks *marks, struct lane *lane,
                                 struct open_run *run)
{
    if (spec->concurrency == CONCURRENCY_REPLACE) {
        enum status status = supersede(a, marks, lane);
        if (status)
            return status;
        lane->waiting_run = run->execution;
        if (lane->node[0] == '\0')
            marks->waiting_run = run->execution;
    }
    run->phase = PHASE_WAITING;
    run->reason = REASON_WAITING;
    marks->waiting++;
    lane->waiting++;
    return insert_open(a, run);
}

static enum status begin_started(struct apply *a, struct open_run *run, const struct placement_node *node)
{
    run->phase = PHASE_READY; /* its reason says why it was not placed */
    if (node && node->session == 0)
        run->reason = REASON_NO_NODE; /* placed on a session that is over */
    if (node && node->session != 0) {
        run->phase = PHASE_ASSIGNED;
        run->reason = REASON_NONE;
        run->attempt = 1;
        memcpy(run->node, node->name, sizeof run->node);
        run->session = node->session;
    }
    return insert_open(a, run);
}

static enum status begin_skipped(struct apply *a, struct job_marks *marks, const struct open_run *run, enum reason reason)
{
    struct run_end end = plain_end(a, RUN_SKIPPED, reason);
    marks->newest = run->execution;
    return finish_run(a, run, false, marks, &end);
}

enum status begin_run(struct apply *a, const struct job_spec *spec, struct job_marks *marks, struct open_run *run,
                      bool force, const struct placement_node *node)
{
    struct lane whole = whole_job(marks), *lane = &whole;
    enum status status = STATUS_OK;
    run->serial = spec->serial;
    run->job = spec->id;
    run->job_version = spec->version;
    memcpy(run->job_name, spec->name, sizeof run->job_name);
    memcpy(run->executor, spec->executor, sizeof run->executor);
    run->created_ms = a->now_ms;
    run->previous = marks->newest;
    struct admission admission = {VERDICT_START, REASON_NONE};
    if (!force && run->pinned && run->node[0] != '\0' && lane_matters(spec, marks))
        status = pinned_lane(a, spec->serial, run->node, &lane);
    if (status)
        return status;
    if (!force)
        admission = admit(spec, marks, lane, run->trigger);
    if (admission.verdict == VERDICT_SKIP)
        return begin_skipped(a, marks, run, admission.reason);
    marks->active++;
    lane->active++;
    status = admission.verdict == VERDICT_WAIT ? begin_waiting(a, spec, marks, lane, run) : begin_started(a, run, node);
    marks->newest = run->execution;
    return status;
}
