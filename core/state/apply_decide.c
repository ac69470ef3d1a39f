/* DECIDE and TRIGGER: slots become runs (apply_overlap.c), or are dropped. */
#include <string.h>

#include "state/apply_internal.h"

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
        .pinned = spec->placement == PLACEMENT_ALL,
    };
    if (run.pinned && slot->home != 0)
        memcpy(run.node, nodes[slot->home - 1].name, sizeof run.node);
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
    a->lane_count = 0; /* of another job */
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

/* `node` NULL: it is not placed yet. */
static enum status trigger_one(struct apply *a, const struct trigger_run *command, const struct job_spec *spec,
                               struct job_marks *marks, struct open_run *run, const struct placement_node *node)
{
    run->trigger = TRIGGER_MANUAL;
    run->scheduled_ms = a->now_ms;
    run->overrides = command->overrides;
    return begin_run(a, spec, marks, run, command->force, node);
}

static enum status trigger_on_any(struct apply *a, const struct trigger_run *command, const struct job_spec *spec,
                                  struct job_marks *marks)
{
    struct open_run run = {.execution = command->execution, .reason = command->reason};
    struct placement_node node = command->node;
    bool current;
    enum status status = node_is_current(a, &node, &current);
    if (!current)
        node.session = 0;
    return status ? status : trigger_one(a, command, spec, marks, &run, node.name[0] == '\0' ? NULL : &node);
}

static enum status trigger_on_all(struct apply *a, const struct trigger_run *command, const struct job_spec *spec,
                                  struct job_marks *marks)
{
    enum status status = STATUS_OK;
    a->lane_count = 0; /* of another job */
    for (uint32_t i = 0; i < command->home_count && !status; i++) {
        const struct trigger_home *home = &command->homes[i];
        struct open_run run = {.execution = home->execution, .pinned = true,
                               .reason = home->node[0] == '\0' ? REASON_NO_NODE : REASON_NONE};
        memcpy(run.node, home->node, sizeof run.node);
        status = trigger_one(a, command, spec, marks, &run, NULL);
    }
    return status;
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
    bool on_all = spec.placement == PLACEMENT_ALL;
    if (on_all != (command.home_count > 0))
        return apply_refuse(a, STATUS_STALE);
    status = on_all ? trigger_on_all(a, &command, &spec, &marks) : trigger_on_any(a, &command, &spec, &marks);
    return status ? status : save_marks(a, spec.serial, &marks);
}
