/* A batch of entries: one transaction, each entry dispatched by its type, the position written with the rows. */
#include <assert.h>
#include <inttypes.h>

#include "state/apply_internal.h"

enum status apply_malformed(struct apply *a)
{
    return error_set(a->err, STATUS_CORRUPT, "the command's body is damaged, or another version of Chronos wrote it");
}

enum status apply_refuse(struct apply *a, enum status status)
{
    a->result->status = status;
    return STATUS_OK;
}

/* A list is refused as a whole only where every one of its items is void; the first one says why. */
void apply_void_item(struct apply *a, enum status status)
{
    if (a->result->stale_count++ == 0)
        a->result->status = status;
}

static enum status apply_noop(struct apply *a)
{
    return reader_done(&a->body) ? STATUS_OK : apply_malformed(a);
}

static enum status dispatch(struct apply *a, enum command_type type)
{
    switch (type) {
    case COMMAND_NOOP:
        return apply_noop(a);
    case COMMAND_JOB_PUT:
        return apply_job_put(a);
    case COMMAND_JOB_DELETE:
        return apply_job_delete(a);
    case COMMAND_JOB_ENABLE:
        return apply_job_enable(a);
    case COMMAND_DECIDE:
        return apply_decide(a);
    case COMMAND_TRIGGER:
        return apply_trigger(a);
    case COMMAND_ASSIGN:
        return apply_assign(a);
    case COMMAND_REPORT:
        return apply_report(a);
    case COMMAND_CANCEL:
        return apply_cancel(a);
    case COMMAND_CLOSE:
        return apply_close(a);
    case COMMAND_NODE_UP:
        return apply_node_up(a);
    case COMMAND_SWEEP:
        return apply_sweep(a);
    case COMMAND_NODE_GONE:
        return apply_node_gone(a);
    case COMMAND_DRAIN:
        return apply_drain(a);
    case COMMAND_RESTORE:
        return apply_restore(a);
    case COMMAND_FEATURE_LEVEL:
        return apply_feature_level(a);
    }
    return error_set(a->err, STATUS_NOT_IMPLEMENTED,
                     "the command has type %u, written by a newer version of Chronos; skipping it would let the "
                     "nodes diverge: install that version on this node",
                     (unsigned)type);
}

static enum status check_header(struct apply *a, struct bytes command)
{
    if (command.size < COMMAND_HEADER_SIZE)
        return error_set(a->err, STATUS_CORRUPT, "the command has %zu bytes, fewer than its header", command.size);
    const uint8_t *header = command.data;
    if (header[1] != COMMAND_FORMAT)
        return error_set(a->err, STATUS_NOT_IMPLEMENTED,
                         "the command has format %u, written by a newer version of Chronos (this one knows %d)",
                         (unsigned)header[1], COMMAND_FORMAT);
    if (!command_header_is_known(command))
        return error_set(a->err, STATUS_CORRUPT, "the command's header is damaged");
    return STATUS_OK;
}

static enum status carry_out(struct apply *a, enum command_type type)
{
    enum status status = dispatch(a, type);
    if (!status && a->item_count > a->result->stale_count)
        a->result->status = STATUS_OK; /* some of the list took effect */
    return status;
}

/* Unless it was before. What is refused leaves its key free: nothing was done that a repeat could double. */
static enum status carry_out_once(struct apply *a, enum command_type type)
{
    struct idempotency idempotency;
    bool decided;
    take_idempotency(&a->body, &idempotency);
    if (a->body.failed)
        return apply_malformed(a);
    enum status status = idempotency_look(a, &idempotency, &decided);
    if (status || decided)
        return status;
    status = carry_out(a, type);
    return status || a->result->status ? status : idempotency_keep(a, &idempotency);
}

static enum status apply_entry(struct apply *a, const struct state_entry *entry, struct apply_result *result)
{
    struct state_meta *work = &a->state->work;
    assert(entry->index == work->applied.index + 1);
    assert(entry->term >= work->applied.term);
    if (entry->command.size == 0) { /* a no-op or a configuration: consensus's own */
        *result = (struct apply_result){.index = entry->index};
        work->applied = (struct state_position){entry->index, entry->term};
        return STATUS_OK;
    }
    enum status status = check_header(a, entry->command);
    if (status)
        return status;
    int64_t stamp = command_stamp_of(entry->command);
    if (stamp > work->last_stamp)
        work->last_stamp = stamp;
    *result = (struct apply_result){.index = entry->index};
    a->result = result;
    a->now_ms = work->last_stamp; /* time never goes back, whoever led when */
    a->body = command_body(entry->command);
    a->item_count = 0;
    status = command_is_idempotent(entry->command) ? carry_out_once(a, command_type_of(entry->command))
                                                   : carry_out(a, command_type_of(entry->command));
    if (status)
        return status;
    work->applied = (struct state_position){entry->index, entry->term};
    return STATUS_OK;
}

static enum status apply_all(struct apply *a, const struct state_entry *entries, uint32_t count,
                             struct apply_result *results)
{
    for (uint32_t i = 0; i < count; i++) {
        enum status status = apply_entry(a, &entries[i], &results[i]);
        if (status)
            return error_wrap(a->err, "apply entry %" PRIu64, entries[i].index);
    }
    if (a->changes->rows.failed)
        return apply_buffer_failed(a, &a->changes->rows, "the changes of a batch");
    return state_write_meta(a->state, &a->txn, &a->state->work, a->err);
}

enum status state_apply(struct state *state, const struct state_entry *entries, uint32_t count,
                        struct apply_result *results, struct state_changes *changes, struct error *err)
{
    if (count == 0)
        return STATUS_OK;
    struct apply a = {.state = state, .changes = changes, .err = err};
    struct state_changes_mark mark = state_changes_mark(changes);
    state->work = state->meta;
    enum status status = store_begin(state->store, CHRONOS_TXN_WRITE | CHRONOS_TXN_LAZY, &a.txn, err);
    if (status)
        return status;
    status = apply_all(&a, entries, count, results);
    if (status)
        store_abort(&a.txn);
    else
        status = store_commit(&a.txn, err);
    if (status)
        state_changes_rewind(changes, mark);
    else
        state->meta = state->work;
    state_changes_link(changes);
    return status;
}
