/* DECIDE and TRIGGER: slots become runs, or are dropped, or are skipped. */
#include <string.h>

#include "state/apply_internal.h"

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

/* Overlap (docs/adr/0001). Decided here, not by the leader: here it is known for certain which runs are active. */
static struct admission admit(const struct job_spec *spec, const struct job_marks *marks, enum run_trigger trigger)
{
    static const struct admission start = {VERDICT_START, REASON_NONE}, wait = {VERDICT_WAIT, REASON_NONE};
    switch (spec->concurrency) {
    case CONCURRENCY_ALLOW:
        return marks->active < concurrent_max(spec) ? start : skip(REASON_MAX_CONCURRENT);
    case CONCURRENCY_REPLACE:
        return marks->active == 0 ? start : wait;
    case CONCURRENCY_FORBID:
    case CONCURRENCY_COUNT:
        break;
    }
    if (marks->active == 0)
        return start;
    /* Missed slots that execute_all asked for come one after the other: they wait for each other, not for nothing. */
    if (trigger != TRIGGER_CATCHUP)
        return skip(REASON_OVERLAP);
    return marks->waiting < JOB_WAITING_MAX ? wait : skip(REASON_QUEUE_FULL);
}

/* Under `replace` one run waits; a newer one takes its place. */
static enum status supersede(struct apply *a, struct job_marks *marks)
{
    if (id_is_zero(&marks->waiting_run))
        return STATUS_OK;
    struct open_run waiting;
    enum status status = need_open(a, &marks->waiting_run, &waiting);
    if (status)
        return status;
    struct run_end end = plain_end(a, RUN_SKIPPED, REASON_SUPERSEDED);
    return finish_run(a, &waiting, true, marks, &end);
}

static enum status begin_waiting(struct apply *a, const struct job_spec *spec, struct job_marks *marks,
                                 struct open_run *run)
{
    if (spec->concurrency == CONCURRENCY_REPLACE) {
        enum status status = supersede(a, marks);
        if (status)
            return status;
        marks->waiting_run = run->execution;
    }
    run->phase = PHASE_WAITING;
    run->reason = REASON_WAITING;
    marks->waiting++;
    marks->active++;
    return insert_open(a, run);
}

static enum status begin_started(struct apply *a, struct job_marks *marks, struct open_run *run,
                                 const struct placement_node *node)
{
    marks->active++;
    run->phase = PHASE_READY; /* its reason says why it was not placed */
    if (node && node->name[0] == '\0')
        run->reason = REASON_NO_NODE; /* placed on a session that is over */
    if (node && node->name[0] != '\0') {
        run->phase = PHASE_ASSIGNED;
        run->reason = REASON_NONE;
        run->attempt = 1;
        memcpy(run->node, node->name, sizeof run->node);
        run->session = node->session;
    }
    return insert_open(a, run);
}

enum status begin_run(struct apply *a, const struct job_spec *spec, struct job_marks *marks, struct open_run *run,
                      bool force, const struct placement_node *node)
{
    run->serial = spec->serial;
    run->job = spec->id;
    run->job_version = spec->version;
    memcpy(run->job_name, spec->name, sizeof run->job_name);
    memcpy(run->executor, spec->executor, sizeof run->executor);
    run->created_ms = a->now_ms;
    run->previous = marks->newest;
    struct admission admission = {VERDICT_START, REASON_NONE};
    if (!force)
        admission = admit(spec, marks, run->trigger);
    if (admission.verdict == VERDICT_SKIP) {
        struct run_end end = plain_end(a, RUN_SKIPPED, admission.reason);
        marks->newest = run->execution;
        return finish_run(a, run, false, marks, &end);
    }
    enum status status = admission.verdict == VERDICT_WAIT ? begin_waiting(a, spec, marks, run)
                                                           : begin_started(a, marks, run, node);
    marks->newest = run->execution;
    return status;
}

bool decision_fits(const struct decision *decision, const struct job_spec *spec, const struct job_marks *marks)
{
    return decision->serial == spec->serial && decision->job_version == spec->version && spec->enabled &&
           decision->from_mark_ms == marks->mark_ms && decision->to_mark_ms >= decision->from_mark_ms;
}

static enum status begin_slot(struct apply *a, const struct job_spec *spec, struct job_marks *marks,
                              const struct decided_slot *slot, const struct placement_node *nodes)
{
    struct open_run run = {
        .execution = slot->execution,
        .trigger = slot->trigger,
        .reason = slot->reason,
        .scheduled_ms = slot->scheduled_ms,
    };
    return begin_run(a, spec, marks, &run, false, slot->node == NODE_NONE ? NULL : &nodes[slot->node]);
}

static enum status drop_range(struct apply *a, uint64_t serial, const struct decided_range *dropped)
{
    struct dropped_range range = {
        .serial = serial,
        .first_ms = dropped->first_ms,
        .last_ms = dropped->last_ms,
        .count = dropped->count,
        .at_least = dropped->at_least,
        .reason = dropped->reason,
        .decided_ms = a->now_ms,
    };
    struct buffer *key = &a->state->key, *row = &a->state->row;
    buffer_clear(key);
    buffer_clear(row);
    dropped_range_encode(&range, key, row);
    if (key->failed || row->failed)
        return apply_buffer_failed(a, key->failed ? key : row, "a row of ranges");
    enum status status = apply_put(a, STATE_RANGES, buffer_bytes(key), buffer_bytes(row));
    if (status)
        return status;
    struct state_change *change = state_changes_add(a->changes, CHANGE_DROPPED, serial);
    if (!change)
        return error_set(a->err, STATUS_NO_MEMORY, "out of memory for the changes of a batch");
    change->reason = dropped->reason;
    change->count = dropped->count;
    change->scheduled_ms = dropped->first_ms;
    return STATUS_OK;
}

enum status run_decision(struct apply *a, struct decision_reader *decision, const struct job_spec *spec,
                         struct job_marks *marks, const struct placement_node *nodes, uint32_t node_count)
{
    enum status status = STATUS_OK;
    for (uint32_t i = 0; !status && i < decision->decision.range_count; i++) {
        struct decided_range range = take_range(&decision->ranges);
        status = decision->ranges.failed ? apply_malformed(a) : drop_range(a, spec->serial, &range);
    }
    for (uint32_t i = 0; !status && i < decision->decision.slot_count; i++) {
        struct decided_slot slot = take_slot(&decision->slots, node_count);
        status = decision->slots.failed ? apply_malformed(a) : begin_slot(a, spec, marks, &slot, nodes);
    }
    marks->mark_ms = decision->decision.to_mark_ms;
    return status;
}

/* A schedule that has no further instant ends by itself; its version stays, for nobody edited it. */
static enum status disable_exhausted(struct apply *a, struct job_spec *spec, const struct job_marks *marks)
{
    struct bytes bytes;
    struct job_row job;
    spec->enabled = false;
    enum status status = apply_get(a, STATE_JOBS, KEY_BYTES(spec->id), &bytes);
    if (status)
        return status == STATUS_NOT_FOUND ? apply_missing(a, STATE_JOBS, KEY_BYTES(spec->id)) : status;
    status = job_row_decode(bytes, &job, a->err);
    if (status)
        return state_wrap_row(a->err, STATE_JOBS, KEY_BYTES(spec->id));
    job.enabled = false;
    buffer_clear(&a->state->row);
    job_row_encode(&job, &a->state->row);
    if (a->state->row.failed)
        return apply_buffer_failed(a, &a->state->row, "a row of jobs");
    status = apply_put(a, STATE_JOBS, KEY_BYTES(spec->id), buffer_bytes(&a->state->row));
    if (!status)
        status = save_spec(a, spec);
    return status ? status : publish_job(a, spec, marks);
}

static enum status decide_one(struct apply *a, struct decision_reader *decision, const struct placement_node *nodes,
                              uint32_t node_count)
{
    uint64_t serial = decision->decision.serial;
    struct job_spec spec;
    struct job_marks marks;
    enum status status = load_spec(a, serial, &spec);
    if (status == STATUS_NOT_FOUND) {
        apply_void_item(a, STATUS_STALE);
        return STATUS_OK;
    }
    if (!status)
        status = need_marks(a, serial, &marks);
    if (status)
        return status;
    if (!decision_fits(&decision->decision, &spec, &marks)) {
        apply_void_item(a, STATUS_STALE);
        return STATUS_OK;
    }
    status = run_decision(a, decision, &spec, &marks, nodes, node_count);
    if (!status)
        status = save_marks(a, serial, &marks);
    if (!status && decision->decision.disable_after)
        status = disable_exhausted(a, &spec, &marks);
    return status;
}

enum status apply_decide(struct apply *a)
{
    struct placement_node nodes[COMMAND_NODES_MAX];
    uint32_t node_count;
    enum status status = take_current_nodes(a, nodes, &node_count);
    if (status)
        return status;
    a->item_count = take_u32(&a->body);
    for (uint32_t i = 0; i < a->item_count && !a->body.failed; i++) {
        struct decision_reader decision;
        take_decision(&a->body, &decision);
        if (a->body.failed)
            break;
        status = decide_one(a, &decision, nodes, node_count);
        if (status)
            return status;
    }
    return reader_done(&a->body) ? STATUS_OK : apply_malformed(a);
}

/* --- TRIGGER --- */

/* The same command may stand in the log twice, when its proposer did not learn that the first one was taken. */
static enum status execution_is_known(struct apply *a, const struct id *execution, bool *ret)
{
    struct bytes row;
    enum status status = apply_get(a, STATE_OPEN, KEY_BYTES(*execution), &row);
    if (status == STATUS_NOT_FOUND)
        status = apply_get(a, STATE_EXECUTIONS, KEY_BYTES(*execution), &row);
    *ret = status == STATUS_OK;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* *ret_found: false where the job is gone. */
static enum status load_job_by_id(struct apply *a, const struct id *id, struct job_spec *ret,
                                  struct job_marks *ret_marks, bool *ret_found)
{
    struct bytes bytes;
    struct job_row job;
    enum status status = apply_get(a, STATE_JOBS, KEY_BYTES(*id), &bytes);
    *ret_found = status == STATUS_OK;
    if (status)
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    status = job_row_decode(bytes, &job, a->err);
    if (status)
        return state_wrap_row(a->err, STATE_JOBS, KEY_BYTES(*id));
    status = need_spec(a, job.serial, ret);
    return status ? status : need_marks(a, job.serial, ret_marks);
}

static enum status trigger(struct apply *a, const struct trigger_run *command, const struct job_spec *spec,
                           struct job_marks *marks)
{
    bool current;
    enum status status = node_is_current(a, &command->node, &current);
    if (status)
        return status;
    static const struct placement_node over = {.name = ""};
    const struct placement_node *node = command->node.name[0] == '\0' ? NULL : current ? &command->node : &over;
    struct open_run run = {
        .execution = command->execution,
        .trigger = TRIGGER_MANUAL,
        .reason = command->reason,
        .scheduled_ms = a->now_ms,
        .overrides = command->overrides,
    };
    status = begin_run(a, spec, marks, &run, command->force, node);
    return status ? status : save_marks(a, spec->serial, marks);
}

enum status apply_trigger(struct apply *a)
{
    struct trigger_run command;
    struct job_spec spec;
    struct job_marks marks;
    bool found, known;
    take_trigger_run(&a->body, &command);
    if (!reader_done(&a->body))
        return apply_malformed(a);
    a->result->id = command.execution;
    if (command.overrides.size > JOB_DOCUMENT_MAX)
        return apply_refuse(a, STATUS_TOO_LARGE);
    enum status status = load_job_by_id(a, &command.job, &spec, &marks, &found);
    if (status)
        return status;
    if (!found)
        return apply_refuse(a, STATUS_NOT_FOUND);
    status = execution_is_known(a, &command.execution, &known);
    if (status)
        return status;
    if (known)
        return apply_refuse(a, STATUS_EXISTS);
    a->result->version = spec.version;
    if (command.expected_version != 0 && command.expected_version != spec.version)
        return apply_refuse(a, STATUS_VERSION_MISMATCH);
    return trigger(a, &command, &spec, &marks);
}
