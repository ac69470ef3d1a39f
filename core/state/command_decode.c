#include "state/command_decode.h"

#include "state/record_internal.h"

/* Encoded sizes of what stands in rows of equal pieces (command.c: put_slot, put_range). */
enum { SLOT_SIZE = ID_SIZE + 8 + 4, RANGE_SIZE = 8 + 8 + 8 + 2 };

struct reader command_body(struct bytes command)
{
    struct reader r = reader_of(command.data, command.size);
    uint8_t header[COMMAND_HEADER_SIZE];
    take_raw(&r, header, sizeof header);
    return r;
}

void take_idempotency(struct reader *r, struct idempotency *ret)
{
    *ret = (struct idempotency){.http_status = 0};
    take_string(r, ret->principal, sizeof ret->principal);
    take_raw(r, ret->key, sizeof ret->key);
    take_raw(r, ret->request, sizeof ret->request);
    ret->http_status = take_u16(r);
}

/* The next `count` pieces of `size` bytes, as a reader of their own. */
static struct reader take_span(struct reader *r, uint32_t count, size_t size)
{
    uint64_t total = (uint64_t)count * size;
    if (r->failed || total > (uint64_t)(r->end - r->at)) {
        r->failed = true;
        return (struct reader){.at = r->at, .end = r->at, .failed = true};
    }
    struct reader span = {.at = r->at, .end = r->at + total};
    r->at += total;
    return span;
}

static struct id take_known_id(struct reader *r)
{
    struct id id = take_id(r);
    if (id_is_zero(&id))
        r->failed = true; /* zero means "none" in every row */
    return id;
}

void take_decision(struct reader *r, struct decision_reader *ret)
{
    ret->decision = (struct decision){.serial = take_u64(r)};
    ret->decision.job_version = take_u32(r);
    ret->decision.from_mark_ms = take_i64(r);
    ret->decision.to_mark_ms = take_i64(r);
    ret->decision.disable_after = take_bool(r);
    ret->decision.slot_count = take_u32(r);
    ret->decision.range_count = take_u32(r);
    ret->slots = take_span(r, ret->decision.slot_count, SLOT_SIZE);
    ret->ranges = take_span(r, ret->decision.range_count, RANGE_SIZE);
}

struct decided_slot take_slot(struct reader *slots, uint32_t node_count)
{
    struct decided_slot slot = {.execution = take_known_id(slots)};
    slot.scheduled_ms = take_i64(slots);
    slot.trigger = (enum run_trigger)take_enum(slots, RUN_TRIGGER_COUNT);
    slot.node = take_u8(slots);
    slot.reason = (enum reason)take_enum(slots, REASON_COUNT);
    slot.home = take_u8(slots);
    if ((slot.node != NODE_NONE && slot.node >= node_count) || slot.home > node_count)
        slots->failed = true;
    return slot;
}

struct decided_range take_range(struct reader *ranges)
{
    struct decided_range range = {.first_ms = take_i64(ranges)};
    range.last_ms = take_i64(ranges);
    range.count = take_u64(ranges);
    range.at_least = take_bool(ranges);
    range.reason = (enum reason)take_enum(ranges, REASON_COUNT);
    if (range.first_ms < 0 || range.last_ms < range.first_ms)
        ranges->failed = true; /* keys of `ranges` sort by time only from 1970 on */
    return range;
}

uint32_t take_nodes(struct reader *r, struct placement_node nodes[COMMAND_NODES_MAX])
{
    uint32_t count = take_enum(r, COMMAND_NODES_MAX + 1);
    for (uint32_t i = 0; i < count; i++) {
        take_string(r, nodes[i].name, sizeof nodes[i].name);
        nodes[i].session = take_u64(r);
    }
    return r->failed ? 0 : count;
}

static const struct decision *take_due(struct reader *r, struct decision_reader *due)
{
    if (!take_bool(r))
        return NULL;
    due->node_count = take_nodes(r, due->nodes);
    take_decision(r, due);
    return &due->decision;
}

void take_job_put(struct reader *r, struct job_put *ret, struct decision_reader *due)
{
    struct error ignored; /* the reader's `failed` says enough */
    *ret = (struct job_put){.id = take_known_id(r)};
    ret->expected_version = take_u32(r);
    ret->resets_mark = take_bool(r);
    ret->mark_ms = take_i64(r);
    ret->due = take_due(r, due);
    ret->document = take_blob(r);
    if (r->failed)
        return;
    if (job_spec_decode(0, (struct bytes){r->at, (size_t)(r->end - r->at)}, &ret->spec, &ignored))
        r->failed = true;
    r->at = r->end;
}

void take_job_delete(struct reader *r, struct job_delete *ret, struct decision_reader *due)
{
    *ret = (struct job_delete){.id = take_known_id(r)};
    ret->expected_version = take_u32(r);
    ret->cancel_running = take_bool(r);
    ret->due = take_due(r, due);
}

void take_job_enable(struct reader *r, struct job_enable *ret, struct decision_reader *due)
{
    *ret = (struct job_enable){.id = take_known_id(r)};
    ret->expected_version = take_u32(r);
    ret->enabled = take_bool(r);
    ret->mark_ms = take_i64(r);
    ret->due = take_due(r, due);
}

void take_trigger_run(struct reader *r, struct trigger_run *ret)
{
    *ret = (struct trigger_run){.job = take_known_id(r)};
    ret->expected_version = take_u32(r);
    ret->execution = take_known_id(r);
    ret->force = take_bool(r);
    ret->overrides = take_blob(r);
    take_string(r, ret->node.name, sizeof ret->node.name);
    ret->node.session = take_u64(r);
    ret->reason = (enum reason)take_enum(r, REASON_COUNT);
    ret->home_count = take_enum(r, COMMAND_NODES_MAX + 1);
    for (uint32_t i = 0; i < ret->home_count && !r->failed; i++) {
        ret->homes[i].execution = take_known_id(r);
        take_string(r, ret->homes[i].node, sizeof ret->homes[i].node);
    }
    if (ret->home_count > 0 && id_compare(&ret->homes[0].execution, &ret->execution) != 0)
        r->failed = true;
}

struct assignment take_assignment(struct reader *r, uint32_t node_count)
{
    struct assignment item = {.execution = take_known_id(r)};
    item.attempt = take_u32(r);
    item.node = take_enum(r, node_count);
    return item;
}

/* A sentence longer than a record keeps is cut where a character ends. */
static struct bytes cut_text(struct bytes text, size_t max)
{
    return (struct bytes){text.data, utf8_cut(text.data, text.size, max)};
}

/* More output than a row may hold is left out of the middle, which says so. */
static void cut_output(struct run_report *report)
{
    if (report->output_head.size + report->output_tail.size <= REPLICATED_OUTPUT_MAX)
        return;
    size_t half = REPLICATED_OUTPUT_MAX / 2;
    if (report->output_head.size > half)
        report->output_head.size = half;
    if (report->output_tail.size > half) {
        report->output_tail.data = (const char *)report->output_tail.data + report->output_tail.size - half;
        report->output_tail.size = half;
    }
    report->output_truncated = true;
}

void take_report(struct reader *r, struct run_report *ret)
{
    *ret = (struct run_report){.execution = take_known_id(r)};
    ret->attempt = take_u32(r);
    ret->session = take_u64(r);
    ret->kind = (enum report_kind)take_enum(r, REPORT_RELEASED + 1);
    ret->started_ms = take_i64(r);
    ret->duration_ms = take_i64(r);
    ret->outcome = (enum run_status)take_enum(r, RUN_STATUS_COUNT);
    ret->reason = (enum reason)take_enum(r, REASON_COUNT);
    ret->retry = take_u8(r);
    ret->retry_after_ms = take_i64(r);
    ret->exit_code = (int32_t)take_u32(r);
    ret->term_signal = (int32_t)take_u32(r);
    ret->status_code = (int32_t)take_u32(r);
    ret->error = cut_text(take_blob(r), RUN_ERROR_MAX);
    ret->output_head = take_blob(r);
    ret->output_tail = take_blob(r);
    ret->output_bytes = take_u64(r);
    ret->output_truncated = take_bool(r);
    take_raw(r, ret->output_digest, sizeof ret->output_digest);
    cut_output(ret);
    bool ended = ret->kind != REPORT_FINISHED || (run_status_terminal(ret->outcome) && ret->outcome != RUN_SKIPPED);
    if (ret->kind < REPORT_STARTED || !ended)
        r->failed = true;
}

struct cancel_run take_cancel(struct reader *r)
{
    struct cancel_run item = {.execution = take_known_id(r)};
    item.reason = (enum reason)take_enum(r, REASON_COUNT);
    if (item.reason == REASON_NONE)
        r->failed = true;
    return item;
}

struct close_attempt take_close(struct reader *r)
{
    struct close_attempt item = {.execution = take_known_id(r)};
    item.attempt = take_u32(r);
    item.session = take_u64(r);
    item.reason = (enum reason)take_enum(r, REASON_COUNT);
    return item;
}

void take_node(struct reader *r, struct node_row *ret)
{
    struct error ignored; /* the reader's `failed` says enough */
    if (r->failed || node_row_decode((struct bytes){r->at, (size_t)(r->end - r->at)}, ret, &ignored))
        r->failed = true;
    r->at = r->end;
}

struct node_gone take_node_gone(struct reader *r)
{
    struct node_gone gone = {.session = 0};
    take_string(r, gone.name, sizeof gone.name);
    gone.session = take_u64(r);
    return gone;
}

struct drain take_drain(struct reader *r)
{
    struct drain drain = {.node = take_u64(r)};
    drain.is_leaving = take_bool(r);
    return drain;
}

struct restore take_restore(struct reader *r)
{
    struct restore restore = {.cluster = take_id(r)};
    take_raw(r, restore.digest, sizeof restore.digest);
    restore.keep_marks = take_bool(r);
    return restore;
}

struct sweep take_sweep(struct reader *r)
{
    struct sweep sweep = {.from = take_id(r)};
    sweep.before_ms = take_i64(r);
    sweep.per_job = take_u32(r);
    sweep.max_bytes = take_u64(r);
    return sweep;
}
