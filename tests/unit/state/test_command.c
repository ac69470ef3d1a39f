/* Commands: what the encoder wrote the decoder reads, and a body that was cut anywhere fails its reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "state/command_decode.h"

static const struct id id_a = {{0xa}}, id_b = {{0xb}};
static const struct placement_node nodes[2] = {{"n1", 11}, {"n2", 22}};
static const struct decided_slot slots[2] = {{{{1}}, 100, TRIGGER_SCHEDULE, 1, REASON_NONE, 2},
                                             {{{2}}, 200, TRIGGER_CATCHUP, NODE_NONE, REASON_CAPACITY, 0}};
static const struct decided_range ranges[1] = {{1, 50, 9, true, REASON_MISSED}};
static const struct decision decision = {7, 3, 10, 200, true, 2, 1, slots, ranges, 2, nodes};

static void decision_same(struct decision_reader *got, uint32_t node_count, bool placed)
{
    assert_int_equal(got->decision.serial, 7);
    assert_int_equal(got->decision.job_version, 3);
    assert_int_equal(got->decision.from_mark_ms, 10);
    assert_int_equal(got->decision.to_mark_ms, 200);
    assert_true(got->decision.disable_after);
    for (int i = 0; i < 2; i++) {
        struct decided_slot slot = take_slot(&got->slots, node_count);
        assert_memory_equal(slot.execution.bytes, slots[i].execution.bytes, 16);
        assert_int_equal(slot.scheduled_ms, slots[i].scheduled_ms);
        assert_int_equal(slot.trigger, slots[i].trigger);
        assert_int_equal(slot.node, placed ? slots[i].node : NODE_NONE);
        assert_int_equal(slot.reason, slots[i].reason);
        assert_int_equal(slot.home, slots[i].home);
    }
    struct decided_range range = take_range(&got->ranges);
    assert_int_equal(range.first_ms, 1);
    assert_int_equal(range.last_ms, 50);
    assert_int_equal(range.count, 9);
    assert_true(range.at_least);
    assert_true(reader_done(&got->slots) && reader_done(&got->ranges));
}

/* Encode a sample; decode a body and, where it is whole, compare. */
static void encode(enum command_type type, struct buffer *out)
{
    static const struct run_report report = {
        .execution = {{0xa}}, .attempt = 2, .session = 3, .kind = REPORT_FINISHED, .started_ms = 4, .duration_ms = 5,
        .outcome = RUN_FAILED, .reason = REASON_TIMEOUT, .retry = 2, .retry_after_ms = 6, .exit_code = -1,
        .term_signal = 9, .status_code = 500, .error = {"sentence", 8}, .output_head = {"head", 4},
        .output_tail = {"tail", 4}, .output_bytes = 77, .output_truncated = true, .output_digest = {1, 2, 3}};
    struct decide_builder builder;
    switch (type) {
    case COMMAND_NOOP:
        noop_encode(out);
        return;
    case COMMAND_JOB_PUT: {
        struct job_put put = {.id = id_a, .expected_version = 4, .resets_mark = true, .due = &decision,
                              .document = {"{}", 2}};
        memcpy(put.spec.name, "name", 5);
        put.spec.schedule_count = 1;
        put.spec.schedules[0] = "@daily";
        job_put_encode(&put, out);
        return;
    }
    case COMMAND_JOB_DELETE:
        job_delete_encode(&(struct job_delete){id_a, 4, true, &decision}, out);
        return;
    case COMMAND_JOB_ENABLE:
        job_enable_encode(&(struct job_enable){id_a, 4, true, 1234, NULL}, out);
        return;
    case COMMAND_DECIDE:
        decide_begin(&builder, out, nodes, 2);
        decide_add(&builder, &decision);
        decide_add(&builder, &decision);
        decide_end(&builder);
        return;
    case COMMAND_TRIGGER:
        trigger_run_encode(&(struct trigger_run){id_a, id_b, true, {"{}", 2}, nodes[0], REASON_NO_NODE, 9, 2,
                                                 {{id_b, "n1"}, {id_a, "n2"}}}, out);
        return;
    case COMMAND_ASSIGN:
        assign_encode(nodes, 2, &(struct assignment){id_a, 5, 1}, 1, out);
        return;
    case COMMAND_REPORT:
        report_encode(&report, 1, out);
        return;
    case COMMAND_CANCEL:
        cancel_encode(&(struct cancel_run){id_a, REASON_USER}, 1, out);
        return;
    case COMMAND_CLOSE:
        close_encode(&(struct close_attempt){id_a, 5, 6, REASON_NODE_LOSS}, 1, out);
        return;
    case COMMAND_NODE_UP:
        node_up_encode(&(struct node_row){.name = "n1", .session = 3, .executor_count = 1, .executors = {"shell"}},
                       out);
        return;
    case COMMAND_SWEEP:
        sweep_encode(&(struct sweep){id_a, 5, 6, 7}, out);
        return;
    case COMMAND_NODE_GONE:
        node_gone_encode(&(struct node_gone){"n1", 8}, out);
        return;
    case COMMAND_DRAIN:
        drain_encode(&(struct drain){UINT64_MAX, true}, out);
        return;
    case COMMAND_RESTORE:
        restore_encode(&(struct restore){.cluster = id_a, .digest = {1, 2}, .keep_marks = true}, out);
        return;
    case COMMAND_FEATURE_LEVEL:
        feature_level_encode(7, out);
        return;
    }
    fail();
}

static void decode_jobs(enum command_type type, struct reader *r)
{
    struct decision_reader due;
    struct job_put put;
    struct job_delete delete;
    struct job_enable enable;
    if (type == COMMAND_JOB_PUT)
        take_job_put(r, &put, &due);
    else if (type == COMMAND_JOB_DELETE)
        take_job_delete(r, &delete, &due);
    else
        take_job_enable(r, &enable, &due);
    if (!reader_done(r))
        return;
    if (type == COMMAND_JOB_PUT) {
        assert_int_equal(put.expected_version, 4);
        assert_true(put.resets_mark);
        assert_string_equal(put.spec.schedules[0], "@daily");
        assert_memory_equal(put.document.data, "{}", 2);
        decision_same(&due, due.node_count, false); /* it says for which nodes, but places nothing */
        assert_string_equal(due.nodes[1].name, "n2");
    } else if (type == COMMAND_JOB_DELETE) {
        assert_true(delete.cancel_running);
        decision_same(&due, due.node_count, false);
    } else {
        assert_true(enable.enabled);
        assert_null(enable.due);
    }
}

static void decode_decide(struct reader *r)
{
    struct placement_node got[COMMAND_NODES_MAX];
    uint32_t node_count = take_nodes(r, got), count = take_u32(r);
    for (uint32_t i = 0; i < count && !r->failed; i++) {
        struct decision_reader one;
        take_decision(r, &one);
        if (!r->failed)
            decision_same(&one, node_count, true);
    }
    if (!reader_done(r))
        return;
    assert_int_equal(count, 2);
    assert_int_equal(node_count, 2);
    assert_string_equal(got[1].name, "n2");
    assert_int_equal(got[1].session, 22);
}

static void decode_report(struct reader *r)
{
    struct run_report got;
    if (take_u32(r) != 1)
        return;
    take_report(r, &got);
    if (!reader_done(r))
        return;
    assert_int_equal(got.exit_code, -1);
    assert_int_equal(got.term_signal, 9);
    assert_int_equal(got.status_code, 500);
    assert_int_equal(got.outcome, RUN_FAILED);
    assert_int_equal(got.retry, 2);
    assert_memory_equal(got.error.data, "sentence", 8);
    assert_memory_equal(got.output_tail.data, "tail", 4);
    assert_int_equal(got.output_bytes, 77);
    assert_int_equal(got.output_digest[2], 3);
}

static void decode_runs(enum command_type type, struct reader *r)
{
    struct placement_node got[COMMAND_NODES_MAX];
    uint32_t node_count = type == COMMAND_ASSIGN ? take_nodes(r, got) : 0;
    if (take_u32(r) != 1)
        return;
    struct id id;
    if (type == COMMAND_ASSIGN)
        id = take_assignment(r, node_count).execution;
    else if (type == COMMAND_CANCEL)
        id = take_cancel(r).execution;
    else
        id = take_close(r).execution;
    if (reader_done(r))
        assert_memory_equal(id.bytes, id_a.bytes, 16);
}

/* True where the whole body was read. */
static bool decode(enum command_type type, struct reader r)
{
    struct trigger_run trigger;
    struct node_row node;
    struct sweep sweep;
    struct restore restore;
    struct node_gone gone;
    struct drain drain;
    uint32_t level;
    switch (type) {
    case COMMAND_NOOP:
        break;
    case COMMAND_JOB_PUT:
    case COMMAND_JOB_DELETE:
    case COMMAND_JOB_ENABLE:
        decode_jobs(type, &r);
        break;
    case COMMAND_DECIDE:
        decode_decide(&r);
        break;
    case COMMAND_TRIGGER:
        take_trigger_run(&r, &trigger);
        if (!reader_done(&r))
            break;
        assert_string_equal(trigger.node.name, "n1");
        assert_int_equal(trigger.expected_version, 9);
        assert_int_equal(trigger.home_count, 2);
        assert_string_equal(trigger.homes[1].node, "n2");
        assert_memory_equal(trigger.homes[1].execution.bytes, id_a.bytes, 16);
        break;
    case COMMAND_REPORT:
        decode_report(&r);
        break;
    case COMMAND_ASSIGN:
    case COMMAND_CANCEL:
    case COMMAND_CLOSE:
        decode_runs(type, &r);
        break;
    case COMMAND_NODE_UP:
        take_node(&r, &node);
        break;
    case COMMAND_SWEEP:
        sweep = take_sweep(&r);
        if (reader_done(&r))
            assert_int_equal(sweep.per_job, 6);
        break;
    case COMMAND_NODE_GONE:
        gone = take_node_gone(&r);
        if (reader_done(&r))
            assert_true(gone.session == 8 && gone.name[0] == 'n');
        break;
    case COMMAND_DRAIN:
        drain = take_drain(&r);
        if (reader_done(&r))
            assert_true(drain.node == UINT64_MAX && drain.is_leaving);
        break;
    case COMMAND_RESTORE:
        restore = take_restore(&r);
        if (reader_done(&r))
            assert_true(restore.keep_marks && restore.digest[1] == 2);
        break;
    case COMMAND_FEATURE_LEVEL:
        level = take_u32(&r);
        if (reader_done(&r))
            assert_int_equal(level, 7);
        break;
    }
    return reader_done(&r);
}

static void every_command(void **state)
{
    (void)state;
    for (int type = COMMAND_NOOP; type <= COMMAND_DRAIN; type++) {
        struct buffer command;
        buffer_init(&command, ENTRY_SIZE_MAX);
        encode((enum command_type)type, &command);
        command_stamp(command.data, 1234567890123);
        assert_int_equal(command_stamp_of(buffer_bytes(&command)), 1234567890123);
        assert_int_equal(command_type_of(buffer_bytes(&command)), type);
        assert_true(decode((enum command_type)type, command_body(buffer_bytes(&command))));
        for (size_t size = 0; size < command.size; size++) {
            char *copy = malloc(size ? size : 1); /* of its exact size, so that a sanitizer sees a read beyond it */
            assert_non_null(copy);
            memcpy(copy, command.data, size);
            assert_false(decode((enum command_type)type, command_body((struct bytes){copy, size})));
            free(copy);
        }
        buffer_deinit(&command);
    }
}

/* In front of whatever body. */
static void with_a_key(void **state)
{
    (void)state;
    static const struct idempotency given = {.principal = "me", .key = {1, 2}, .request = {3, 4}, .http_status = 202};
    for (int type = COMMAND_NOOP; type <= COMMAND_NODE_GONE; type++) {
        struct buffer command;
        struct idempotency taken;
        buffer_init(&command, ENTRY_SIZE_MAX);
        encode((enum command_type)type, &command);
        assert_false(command_is_idempotent(buffer_bytes(&command)));
        command_add_idempotency(&command, &given);
        assert_true(command_is_idempotent(buffer_bytes(&command)) && command_header_is_known(buffer_bytes(&command)));
        assert_int_equal(command_type_of(buffer_bytes(&command)), type);
        struct reader r = command_body(buffer_bytes(&command));
        take_idempotency(&r, &taken);
        assert_memory_equal(&taken, &given, sizeof taken);
        assert_true(decode((enum command_type)type, r));
        command.data[3] = 1;
        assert_false(command_header_is_known(buffer_bytes(&command)));
        buffer_deinit(&command);
    }
}

static void short_headers(void **state)
{
    (void)state;
    uint8_t header[COMMAND_HEADER_SIZE] = {COMMAND_NOOP, COMMAND_FORMAT};
    assert_int_equal(command_type_of((struct bytes){header, COMMAND_HEADER_SIZE}), COMMAND_NOOP);
    assert_int_equal(command_type_of((struct bytes){header, COMMAND_HEADER_SIZE - 1}), 0);
    assert_int_equal(command_stamp_of((struct bytes){header, COMMAND_HEADER_SIZE - 1}), 0);
}

/* Values that no encoder of ours writes. */
static void impossible_values(void **state)
{
    (void)state;
    struct buffer command;
    struct id zero = {{0}};
    buffer_init(&command, ENTRY_SIZE_MAX);
    cancel_encode(&(struct cancel_run){zero, REASON_USER}, 1, &command);
    assert_false(decode(COMMAND_CANCEL, command_body(buffer_bytes(&command))));
    buffer_clear(&command);
    cancel_encode(&(struct cancel_run){id_a, REASON_NONE}, 1, &command);
    assert_false(decode(COMMAND_CANCEL, command_body(buffer_bytes(&command))));
    buffer_clear(&command);
    struct run_report report = {.execution = id_a, .kind = REPORT_FINISHED, .outcome = RUN_SKIPPED};
    report_encode(&report, 1, &command);
    assert_false(decode(COMMAND_REPORT, command_body(buffer_bytes(&command))));
    buffer_clear(&command);
    struct decided_slot slot = {.execution = id_a, .node = 2};
    struct decision wrong = {.slot_count = 1, .slots = &slot};
    struct decide_builder builder;
    struct decision_reader got;
    decide_begin(&builder, &command, NULL, 0);
    decide_add(&builder, &wrong);
    decide_end(&builder);
    struct reader r = command_body(buffer_bytes(&command));
    (void)take_u8(&r);
    assert_int_equal(take_u32(&r), 1);
    take_decision(&r, &got);
    assert_false(r.failed);
    (void)take_slot(&got.slots, 2);
    assert_true(got.slots.failed);
    buffer_clear(&command);
    slot = (struct decided_slot){.execution = id_a, .node = NODE_NONE, .home = 3};
    job_delete_encode(&(struct job_delete){.id = id_a, .due = &(struct decision){.slot_count = 1, .slots = &slot, .node_count = 2,
                                                                               .nodes = nodes}}, &command);
    struct job_delete delete;
    r = command_body(buffer_bytes(&command));
    take_job_delete(&r, &delete, &got);
    assert_true(reader_done(&r));
    (void)take_slot(&got.slots, got.node_count);
    assert_true(got.slots.failed);
    buffer_clear(&command);
    trigger_run_encode(&(struct trigger_run){.job = id_a, .execution = id_a, .home_count = 1, .homes = {{id_b, "n1"}}}, &command);
    assert_false(decode(COMMAND_TRIGGER, command_body(buffer_bytes(&command)))); /* the first is the one that is answered */
    buffer_deinit(&command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command), cmocka_unit_test(with_a_key), cmocka_unit_test(short_headers), cmocka_unit_test(impossible_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
