#include "state/command.h"

#include <assert.h>
#include <string.h>

#include "state/record_internal.h"

enum { COMMAND_FLAGS_OFFSET = 2, IDEMPOTENCY_PART_MAX = 4 + TOKEN_NAME_MAX + 2 * IDEMPOTENCY_DIGEST_SIZE + 2 };

void command_stamp(void *command, int64_t now_ms)
{
    store_le64((uint8_t *)command + COMMAND_STAMP_OFFSET, (uint64_t)now_ms);
}

int64_t command_stamp_of(struct bytes command)
{
    if (command.size < COMMAND_HEADER_SIZE)
        return 0;
    return (int64_t)load_le64((const uint8_t *)command.data + COMMAND_STAMP_OFFSET);
}

enum command_type command_type_of(struct bytes command)
{
    if (command.size < COMMAND_HEADER_SIZE)
        return (enum command_type)0;
    return (enum command_type)((const uint8_t *)command.data)[0];
}

static uint16_t flags_of(struct bytes command)
{
    return command.size < COMMAND_HEADER_SIZE ? 0 : load_le16((const uint8_t *)command.data + COMMAND_FLAGS_OFFSET);
}

bool command_header_is_known(struct bytes command)
{
    return command.size >= COMMAND_HEADER_SIZE && ((const uint8_t *)command.data)[1] == COMMAND_FORMAT &&
           (flags_of(command) & ~COMMAND_IDEMPOTENT) == 0;
}

bool command_is_idempotent(struct bytes command)
{
    return (flags_of(command) & COMMAND_IDEMPOTENT) != 0;
}

void command_add_idempotency(struct buffer *command, const struct idempotency *idempotency)
{
    size_t end = command->size;
    put_string(command, idempotency->principal);
    buffer_append(command, idempotency->key, sizeof idempotency->key);
    buffer_append(command, idempotency->request, sizeof idempotency->request);
    put_u16(command, idempotency->http_status);
    if (command->failed)
        return;
    uint8_t part[IDEMPOTENCY_PART_MAX], *header = (uint8_t *)command->data;
    size_t size = command->size - end;
    assert(end >= COMMAND_HEADER_SIZE && size <= sizeof part && load_le16(header + COMMAND_FLAGS_OFFSET) == 0);
    memcpy(part, header + end, size);
    memmove(header + COMMAND_HEADER_SIZE + size, header + COMMAND_HEADER_SIZE, end - COMMAND_HEADER_SIZE);
    memcpy(header + COMMAND_HEADER_SIZE, part, size);
    store_le16(header + COMMAND_FLAGS_OFFSET, COMMAND_IDEMPOTENT);
}

static void put_header(struct buffer *out, enum command_type type)
{
    put_u8(out, (uint8_t)type);
    put_u8(out, COMMAND_FORMAT);
    put_u16(out, 0); /* flags */
    put_i64(out, 0); /* the stamp */
}

static void put_nodes(struct buffer *out, const struct placement_node *nodes, uint32_t node_count)
{
    assert(node_count <= COMMAND_NODES_MAX);
    put_u8(out, (uint8_t)node_count);
    for (uint32_t i = 0; i < node_count; i++) {
        put_string(out, nodes[i].name);
        put_u64(out, nodes[i].session);
    }
}

static void put_slot(struct buffer *out, const struct decided_slot *slot, bool placed)
{
    put_id(out, &slot->execution);
    put_i64(out, slot->scheduled_ms);
    put_u8(out, (uint8_t)slot->trigger);
    put_u8(out, placed ? slot->node : NODE_NONE);
    put_u8(out, (uint8_t)slot->reason);
    put_u8(out, slot->home);
}

static void put_range(struct buffer *out, const struct decided_range *range)
{
    put_i64(out, range->first_ms);
    put_i64(out, range->last_ms);
    put_u64(out, range->count);
    put_u8(out, range->at_least);
    put_u8(out, (uint8_t)range->reason);
}

/* `placed`: the command has a list of nodes that the slots' indexes mean. */
static void put_decision(struct buffer *out, const struct decision *decision, bool placed)
{
    put_u64(out, decision->serial);
    put_u32(out, decision->job_version);
    put_i64(out, decision->from_mark_ms);
    put_i64(out, decision->to_mark_ms);
    put_u8(out, decision->disable_after);
    put_u32(out, decision->slot_count);
    put_u32(out, decision->range_count);
    for (uint32_t i = 0; i < decision->slot_count; i++)
        put_slot(out, &decision->slots[i], placed);
    for (uint32_t i = 0; i < decision->range_count; i++)
        put_range(out, &decision->ranges[i]);
}

static void put_due(struct buffer *out, const struct decision *due)
{
    put_u8(out, due != NULL);
    if (due == NULL)
        return;
    put_nodes(out, due->nodes, due->node_count);
    put_decision(out, due, false);
}

void decide_begin(struct decide_builder *b, struct buffer *out, const struct placement_node *nodes, uint32_t node_count)
{
    put_header(out, COMMAND_DECIDE);
    put_nodes(out, nodes, node_count);
    *b = (struct decide_builder){.out = out, .count_at = out->size};
    put_u32(out, 0);
}

void decide_add(struct decide_builder *b, const struct decision *decision)
{
    put_decision(b->out, decision, true);
    b->decision_count++;
}

void decide_end(struct decide_builder *b)
{
    if (!b->out->failed)
        store_le32(b->out->data + b->count_at, b->decision_count);
}

enum { JOB_PUT_REST_SIZE = 384 }; /* usual size of what is beside the document */

void job_put_encode(const struct job_put *put, struct buffer *out)
{
    buffer_expect(out, put->document.size + JOB_PUT_REST_SIZE);
    put_header(out, COMMAND_JOB_PUT);
    put_id(out, &put->id);
    put_u32(out, put->expected_version);
    put_u8(out, put->resets_mark);
    put_i64(out, put->mark_ms);
    put_due(out, put->due);
    put_blob(out, put->document.data, put->document.size);
    job_spec_encode(&put->spec, out); /* last: it ends with the command */
}

void job_delete_encode(const struct job_delete *command, struct buffer *out)
{
    put_header(out, COMMAND_JOB_DELETE);
    put_id(out, &command->id);
    put_u32(out, command->expected_version);
    put_u8(out, command->cancel_running);
    put_due(out, command->due);
}

void job_enable_encode(const struct job_enable *command, struct buffer *out)
{
    put_header(out, COMMAND_JOB_ENABLE);
    put_id(out, &command->id);
    put_u32(out, command->expected_version);
    put_u8(out, command->enabled);
    put_i64(out, command->mark_ms);
    put_due(out, command->due);
}

void trigger_run_encode(const struct trigger_run *command, struct buffer *out)
{
    put_header(out, COMMAND_TRIGGER);
    put_id(out, &command->job);
    put_u32(out, command->expected_version);
    put_id(out, &command->execution);
    put_u8(out, command->force);
    put_blob(out, command->overrides.data, command->overrides.size);
    put_string(out, command->node.name);
    put_u64(out, command->node.session);
    put_u8(out, (uint8_t)command->reason);
    assert(command->home_count <= COMMAND_NODES_MAX);
    put_u8(out, (uint8_t)command->home_count);
    for (uint32_t i = 0; i < command->home_count; i++) {
        put_id(out, &command->homes[i].execution);
        put_string(out, command->homes[i].node);
    }
}

void assign_encode(const struct placement_node *nodes, uint32_t node_count, const struct assignment *items,
                   uint32_t count, struct buffer *out)
{
    put_header(out, COMMAND_ASSIGN);
    put_nodes(out, nodes, node_count);
    put_u32(out, count);
    for (uint32_t i = 0; i < count; i++) {
        assert(items[i].node < node_count);
        put_id(out, &items[i].execution);
        put_u32(out, items[i].attempt);
        put_u8(out, items[i].node);
    }
}

static void put_report(struct buffer *out, const struct run_report *report)
{
    put_id(out, &report->execution);
    put_u32(out, report->attempt);
    put_u64(out, report->session);
    put_u8(out, (uint8_t)report->kind);
    put_i64(out, report->started_ms);
    put_i64(out, report->duration_ms);
    put_u8(out, (uint8_t)report->outcome);
    put_u8(out, (uint8_t)report->reason);
    put_u8(out, report->retry);
    put_i64(out, report->retry_after_ms);
    put_u32(out, (uint32_t)report->exit_code);
    put_u32(out, (uint32_t)report->term_signal);
    put_u32(out, (uint32_t)report->status_code);
    put_blob(out, report->error.data, report->error.size);
    put_blob(out, report->output_head.data, report->output_head.size);
    put_blob(out, report->output_tail.data, report->output_tail.size);
    put_u64(out, report->output_bytes);
    put_u8(out, report->output_truncated);
    buffer_append(out, report->output_digest, sizeof report->output_digest);
}

void report_encode(const struct run_report *items, uint32_t count, struct buffer *out)
{
    put_header(out, COMMAND_REPORT);
    put_u32(out, count);
    for (uint32_t i = 0; i < count; i++)
        put_report(out, &items[i]);
}

void cancel_encode(const struct cancel_run *items, uint32_t count, struct buffer *out)
{
    put_header(out, COMMAND_CANCEL);
    put_u32(out, count);
    for (uint32_t i = 0; i < count; i++) {
        put_id(out, &items[i].execution);
        put_u8(out, (uint8_t)items[i].reason);
    }
}

void close_encode(const struct close_attempt *items, uint32_t count, struct buffer *out)
{
    put_header(out, COMMAND_CLOSE);
    put_u32(out, count);
    for (uint32_t i = 0; i < count; i++) {
        put_id(out, &items[i].execution);
        put_u32(out, items[i].attempt);
        put_u64(out, items[i].session);
        put_u8(out, (uint8_t)items[i].reason);
    }
}

void node_up_encode(const struct node_row *node, struct buffer *out)
{
    put_header(out, COMMAND_NODE_UP);
    node_row_encode(node, out);
}

void sweep_encode(const struct sweep *command, struct buffer *out)
{
    put_header(out, COMMAND_SWEEP);
    put_id(out, &command->from);
    put_i64(out, command->before_ms);
    put_u32(out, command->per_job);
    put_u64(out, command->max_bytes);
}

void node_gone_encode(const struct node_gone *command, struct buffer *out)
{
    put_header(out, COMMAND_NODE_GONE);
    put_string(out, command->name);
    put_u64(out, command->session);
}

void drain_encode(const struct drain *command, struct buffer *out)
{
    put_header(out, COMMAND_DRAIN);
    put_u64(out, command->node);
    put_u8(out, command->is_leaving);
}

void restore_encode(const struct restore *command, struct buffer *out)
{
    put_header(out, COMMAND_RESTORE);
    put_id(out, &command->cluster);
    buffer_append(out, command->digest, sizeof command->digest);
    put_u8(out, command->keep_marks);
}

void feature_level_encode(uint32_t level, struct buffer *out)
{
    put_header(out, COMMAND_FEATURE_LEVEL);
    put_u32(out, level);
}

void noop_encode(struct buffer *out)
{
    put_header(out, COMMAND_NOOP);
}
