/* DECIDE and TRIGGER: compare-and-set, overlap policies, placement, dropped ranges. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

static void first_slot_is_placed(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job");
    struct id execution;
    uint64_t serial = create_job(f, &spec, NULL);
    struct placement_node node = node_up(f, "n1", 5);
    f->now_ms += 1000;
    assert_int_equal(fire(f, serial, TRIGGER_SCHEDULE, &node, &execution).status, STATUS_OK);
    assert_int_equal(count_changes(f, CHANGE_OPEN), 1);
    assert_int_equal(count_changes(f, CHANGE_MARKS), 1);
    struct open_run run = need_open_run(f, &execution);
    assert_int_equal(run.phase, PHASE_ASSIGNED);
    assert_int_equal(run.attempt, 1);
    assert_int_equal(run.session, 5);
    assert_string_equal(run.node, "n1");
    assert_string_equal(run.job_name, "job");
    assert_int_equal(run.scheduled_ms, f->now_ms);
    struct job_marks marks = marks_of(f, serial);
    assert_int_equal(marks.active, 1);
    assert_int_equal(marks.mark_ms, f->now_ms);
    assert_memory_equal(marks.newest.bytes, execution.bytes, sizeof execution.bytes);
}

static void session_that_is_over(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job");
    struct id execution, second;
    spec.concurrency = CONCURRENCY_ALLOW;
    uint64_t serial = create_job(f, &spec, NULL);
    struct placement_node node = node_up(f, "n1", 5), unknown = {.name = "n9", .session = 5};
    (void)node_up(f, "n1", 6);
    (void)fire(f, serial, TRIGGER_SCHEDULE, &node, &execution);
    assert_int_equal(need_open_run(f, &execution).phase, PHASE_READY);
    assert_int_equal(need_open_run(f, &execution).reason, REASON_NO_NODE);
    assert_int_equal(need_open_run(f, &execution).attempt, 0);
    (void)fire(f, serial, TRIGGER_SCHEDULE, &unknown, &second);
    assert_int_equal(need_open_run(f, &second).reason, REASON_NO_NODE);
}

static void compare_and_set(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job"), off = spec_named("off");
    struct decided_slot slot = {.execution = fixture_id(f), .scheduled_ms = START_MS, .node = NODE_NONE};
    off.enabled = false;
    uint64_t serial = create_job(f, &spec, NULL), disabled = create_job(f, &off, NULL);
    const struct decision good = {.serial = serial, .job_version = 1, .from_mark_ms = START_MS,
                                  .to_mark_ms = START_MS + 10, .slot_count = 1, .slots = &slot};
    struct decision bad[] = {good, good, good, good, good};
    bad[0].serial = 99;
    bad[1].job_version = 2;
    bad[2].from_mark_ms++;
    bad[3].serial = disabled;
    bad[4].to_mark_ms = START_MS - 1;
    for (uint32_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct apply_result result = decide(f, &bad[i], NULL);
        assert_int_equal(result.status, STATUS_STALE);
        assert_int_equal(result.stale_count, 1);
        assert_int_equal(f->changes.count, 0);
    }
    assert_int_equal(decide(f, &good, NULL).status, STATUS_OK);
    assert_int_equal(decide(f, &good, NULL).status, STATUS_STALE); /* once */
    assert_int_equal(count_rows(f, STATE_OPEN), 1);
}

static void a_void_decision_leaves_the_others(void **state)
{
    struct fixture *f = *state;
    struct job_spec one = spec_named("one"), two = spec_named("two");
    uint64_t serials[2] = {create_job(f, &one, NULL), create_job(f, &two, NULL)};
    struct buffer command = command_buffer();
    struct decide_builder builder;
    decide_begin(&builder, &command, NULL, 0);
    for (int i = 0; i < 2; i++) {
        struct decision decision = {.serial = serials[i], .job_version = i == 0 ? 7 : 1, .from_mark_ms = START_MS,
                                    .to_mark_ms = START_MS + 5};
        decide_add(&builder, &decision);
    }
    decide_end(&builder);
    struct apply_result result = fixture_apply(f, &command);
    assert_int_equal(result.status, STATUS_OK);
    assert_int_equal(result.stale_count, 1);
    assert_int_equal(marks_of(f, serials[0]).mark_ms, START_MS);
    assert_int_equal(marks_of(f, serials[1]).mark_ms, START_MS + 5);
}

static void forbid(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job");
    struct id first, second, late, released;
    uint64_t serial = create_job(f, &spec, NULL);
    struct placement_node node = node_up(f, "n1", 5);
    (void)fire(f, serial, TRIGGER_SCHEDULE, &node, &first);
    (void)fire(f, serial, TRIGGER_SCHEDULE, &node, &second);
    assert_ended(f, &second, RUN_SKIPPED, "overlap");
    assert_int_equal(count_changes(f, CHANGE_CLOSED), 1);
    assert_false(f->changes.items[0].was_open);
    (void)fire(f, serial, TRIGGER_CATCHUP, &node, &late);
    assert_int_equal(need_open_run(f, &late).phase, PHASE_WAITING);
    assert_int_equal(marks_of(f, serial).waiting, 1);
    assert_int_equal(assign(f, &late, 0, &node).status, STATUS_STALE); /* the first is still active */
    assert_int_equal(finish(f, &first, RUN_SUCCESS).status, STATUS_OK);
    assert_int_equal(assign(f, &late, 0, &node).status, STATUS_OK);
    assert_int_equal(marks_of(f, serial).waiting, 0);
    assert_int_equal(marks_of(f, serial).active, 1);
    (void)fire(f, serial, TRIGGER_SCHEDULE, &node, &released);
    assert_ended(f, &released, RUN_SKIPPED, "overlap");
    struct job_marks marks = marks_of(f, serial);
    assert_int_equal(marks.executions, 3);
    assert_int_equal(marks.last_status, RUN_SUCCESS); /* a skip is not a run */
}

static void waiting_limit(void **state)
{
    struct fixture *f = *state;
    enum { SLOTS = JOB_WAITING_MAX + 2 };
    struct job_spec spec = spec_named("job");
    uint64_t serial = create_job(f, &spec, NULL);
    struct decided_slot *slots = calloc(SLOTS, sizeof *slots);
    assert_non_null(slots);
    for (uint32_t i = 0; i < SLOTS; i++)
        slots[i] = (struct decided_slot){.execution = fixture_id(f), .scheduled_ms = START_MS + i,
                                         .trigger = TRIGGER_CATCHUP, .node = NODE_NONE, .reason = REASON_NO_NODE};
    struct decision decision = {.serial = serial, .job_version = 1, .from_mark_ms = START_MS,
                                .to_mark_ms = START_MS + SLOTS, .slot_count = SLOTS, .slots = slots};
    assert_int_equal(decide(f, &decision, NULL).status, STATUS_OK);
    assert_int_equal(marks_of(f, serial).waiting, JOB_WAITING_MAX);
    assert_int_equal(marks_of(f, serial).active, JOB_WAITING_MAX + 1);
    assert_int_equal(need_open_run(f, &slots[0].execution).phase, PHASE_READY);
    assert_ended(f, &slots[SLOTS - 1].execution, RUN_SKIPPED, "queue_full");
    free(slots);
}

static void allow(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job");
    struct id executions[4], job;
    spec.concurrency = CONCURRENCY_ALLOW;
    spec.max_concurrent = 3;
    uint64_t serial = create_job(f, &spec, &job);
    for (int i = 0; i < 4; i++)
        (void)fire(f, serial, TRIGGER_SCHEDULE, NULL, &executions[i]);
    assert_int_equal(marks_of(f, serial).active, 3);
    assert_ended(f, &executions[3], RUN_SKIPPED, "max_concurrent");
    struct id forced;
    assert_int_equal(trigger(f, &job, true, NULL, &forced).status, STATUS_OK);
    assert_int_equal(marks_of(f, serial).active, 4);
}

/* A job that says nothing, or a row of more than there may be, is held to JOB_CONCURRENT_MAX. */
static void concurrent_limit(void **state)
{
    struct fixture *f = *state;
    static const uint32_t given[] = {0, JOB_CONCURRENT_MAX, JOB_CONCURRENT_MAX + 1};
    enum { SLOTS = JOB_CONCURRENT_MAX + 1 };
    struct decided_slot *slots = calloc(SLOTS, sizeof *slots);
    assert_non_null(slots);
    for (size_t n = 0; n < ARRAY_COUNT(given); n++) {
        static const char *const names[] = {"a", "b", "c"};
        struct job_spec spec = spec_named(names[n]);
        spec.concurrency = CONCURRENCY_ALLOW;
        spec.max_concurrent = given[n];
        uint64_t serial = create_job(f, &spec, NULL);
        for (uint32_t i = 0; i < SLOTS; i++)
            slots[i] = (struct decided_slot){.execution = fixture_id(f), .scheduled_ms = START_MS + i,
                                             .trigger = TRIGGER_SCHEDULE, .node = NODE_NONE, .reason = REASON_NO_NODE};
        struct decision decision = {.serial = serial, .job_version = 1, .from_mark_ms = START_MS,
                                    .to_mark_ms = START_MS + SLOTS, .slot_count = SLOTS, .slots = slots};
        assert_int_equal(decide(f, &decision, NULL).status, STATUS_OK);
        assert_int_equal(marks_of(f, serial).active, JOB_CONCURRENT_MAX);
        assert_int_equal(need_open_run(f, &slots[SLOTS - 2].execution).phase, PHASE_READY);
        assert_ended(f, &slots[SLOTS - 1].execution, RUN_SKIPPED, "max_concurrent");
    }
    free(slots);
}

static void replace(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job");
    struct id first, second, third;
    spec.concurrency = CONCURRENCY_REPLACE;
    uint64_t serial = create_job(f, &spec, NULL);
    struct placement_node node = node_up(f, "n1", 5);
    (void)fire(f, serial, TRIGGER_SCHEDULE, &node, &first);
    (void)fire(f, serial, TRIGGER_SCHEDULE, &node, &second);
    assert_int_equal(need_open_run(f, &second).phase, PHASE_WAITING);
    assert_int_equal(need_open_run(f, &second).reason, REASON_WAITING);
    assert_memory_equal(marks_of(f, serial).waiting_run.bytes, second.bytes, sizeof second.bytes);
    (void)fire(f, serial, TRIGGER_SCHEDULE, &node, &third);
    assert_ended(f, &second, RUN_SKIPPED, "superseded");
    assert_int_equal(marks_of(f, serial).waiting, 1);
    assert_int_equal(cancel(f, &first, REASON_REPLACED).status, STATUS_OK);
    assert_int_equal(need_open_run(f, &first).cancel, REASON_REPLACED);
    assert_int_equal(finish(f, &first, RUN_CANCELLED).status, STATUS_OK);
    assert_ended(f, &first, RUN_CANCELLED, "replaced");
    assert_int_equal(assign(f, &third, 0, &node).status, STATUS_OK);
    struct job_marks marks = marks_of(f, serial);
    assert_true(id_is_zero(&marks.waiting_run));
    assert_int_equal(marks.waiting, 0);
}

static void ranges_and_disabling(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("once");
    struct id id;
    uint64_t serial = create_job(f, &spec, &id);
    const struct decided_range ranges[] = {
        {.first_ms = START_MS, .last_ms = START_MS + 9, .count = 4, .reason = REASON_MISSED},
        {.first_ms = START_MS + 10, .last_ms = START_MS + 20, .count = 100000, .at_least = true,
         .reason = REASON_CATCHUP_LIMIT},
    };
    struct decision decision = {.serial = serial, .job_version = 1, .from_mark_ms = START_MS,
                                .to_mark_ms = START_MS + 30, .disable_after = true, .range_count = 2, .ranges = ranges};
    assert_int_equal(decide(f, &decision, NULL).status, STATUS_OK);
    assert_int_equal(count_changes(f, CHANGE_DROPPED), 2);
    assert_int_equal(count_changes(f, CHANGE_JOB), 1);
    assert_int_equal(count_rows(f, STATE_RANGES), 2);
    struct job_spec kept = spec_of(f, serial);
    assert_false(kept.enabled);
    assert_int_equal(kept.version, 1);
    struct state_view view;
    struct job_row row;
    OK(state_view_begin(f->state, &view, &failure));
    OK(state_get_job(&view, &id, &row, &failure));
    assert_false(row.enabled);
    assert_true(row.document.size > 10); /* rewritten with its document */
    state_view_end(&view);
    decision.from_mark_ms = START_MS + 30;
    assert_int_equal(decide(f, &decision, NULL).status, STATUS_STALE); /* disabled now */
}

static void manual(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job");
    struct id job, gone = fixture_id(f), first, second, forced;
    spec.enabled = false; /* need not be enabled */
    uint64_t serial = create_job(f, &spec, &job);
    struct placement_node node = node_up(f, "n1", 5), over = {.name = "n1", .session = 4};
    assert_int_equal(trigger(f, &gone, false, NULL, &first).status, STATUS_NOT_FOUND);
    f->now_ms += 77;
    struct apply_result result = trigger(f, &job, false, &node, &first);
    assert_int_equal(result.status, STATUS_OK);
    assert_memory_equal(result.id.bytes, first.bytes, sizeof first.bytes);
    struct open_run run = need_open_run(f, &first);
    assert_int_equal(run.trigger, TRIGGER_MANUAL);
    assert_int_equal(run.scheduled_ms, f->now_ms);
    assert_int_equal(run.phase, PHASE_ASSIGNED);
    assert_int_equal(trigger(f, &job, false, &node, &second).status, STATUS_OK);
    assert_ended(f, &second, RUN_SKIPPED, "overlap");
    assert_int_equal(trigger(f, &job, true, &over, &forced).status, STATUS_OK);
    assert_int_equal(need_open_run(f, &forced).reason, REASON_NO_NODE);
    assert_int_equal(marks_of(f, serial).active, 2);
    assert_int_equal(marks_of(f, serial).mark_ms, START_MS); /* a trigger is not a slot */
}

static void trigger_twice_is_one_run(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job");
    struct id job;
    (void)create_job(f, &spec, &job);
    struct trigger_run item = {.job = job, .execution = fixture_id(f), .reason = REASON_NO_NODE, .force = true,
                               .overrides = {"{\"a\":1}", 7}};
    for (int i = 0; i < 3; i++) {
        struct buffer command = command_buffer();
        trigger_run_encode(&item, &command);
        assert_int_equal(fixture_apply(f, &command).status, i == 0 ? STATUS_OK : STATUS_EXISTS);
        if (i == 1)
            assert_int_equal(cancel(f, &item.execution, REASON_USER).status, STATUS_OK);
    }
}

static void trigger_of_a_version(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job");
    struct trigger_run item = {.expected_version = 2, .force = true};
    struct open_run run;
    uint64_t serial = create_job(f, &spec, &item.job);
    for (uint32_t expected = 0; expected < 3; expected++) {
        struct buffer command = command_buffer();
        item.execution = fixture_id(f);
        item.expected_version = expected;
        trigger_run_encode(&item, &command);
        struct apply_result result = fixture_apply(f, &command);
        assert_int_equal(result.status, expected == 2 ? STATUS_VERSION_MISMATCH : STATUS_OK);
        assert_int_equal(result.version, 1);
        assert_int_equal(get_open(f, &item.execution, &run), expected != 2);
    }
    assert_int_equal(marks_of(f, serial).active, 2);
}

static void overrides_are_kept(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job");
    struct id job;
    (void)create_job(f, &spec, &job);
    struct placement_node node = node_up(f, "n1", 5);
    static char big[JOB_DOCUMENT_MAX + 1];
    struct trigger_run item = {.job = job, .execution = fixture_id(f), .overrides = {"{\"a\":1}", 7}};
    struct buffer command = command_buffer();
    trigger_run_encode(&item, &command);
    assert_int_equal(fixture_apply(f, &command).status, STATUS_OK);
    assert_int_equal(assign(f, &item.execution, 0, &node).status, STATUS_OK);
    struct state_view view;
    struct open_run run;
    OK(state_view_begin(f->state, &view, &failure));
    OK(state_get_open(&view, &item.execution, &run, &failure));
    assert_int_equal(run.overrides.size, 7);
    assert_memory_equal(run.overrides.data, "{\"a\":1}", 7);
    state_view_end(&view);
    item.execution = fixture_id(f);
    item.overrides = (struct bytes){big, sizeof big};
    command = command_buffer();
    trigger_run_encode(&item, &command);
    assert_int_equal(fixture_apply(f, &command).status, STATUS_TOO_LARGE);
}

/* Newest first, each row says which one came before it. */
static void chain_of_a_job(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job");
    struct id executions[3];
    uint64_t serial = create_job(f, &spec, NULL);
    for (int i = 0; i < 3; i++)
        /* the first stays open, the others are skipped */
        (void)fire(f, serial, TRIGGER_SCHEDULE, NULL, &executions[i]);
    struct state_view view;
    struct execution_row row;
    struct id at = marks_of(f, serial).newest;
    OK(state_view_begin(f->state, &view, &failure));
    for (int i = 2; i > 0; i--) {
        assert_memory_equal(at.bytes, executions[i].bytes, sizeof at.bytes);
        OK(state_get_execution(&view, &at, &row, &failure));
        at = row.previous;
    }
    state_view_end(&view);
    assert_memory_equal(at.bytes, executions[0].bytes, sizeof at.bytes);
    struct open_run first = need_open_run(f, &at);
    assert_true(id_is_zero(&first.previous));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
        T(first_slot_is_placed), T(session_that_is_over), T(compare_and_set), T(a_void_decision_leaves_the_others),
        T(forbid), T(waiting_limit), T(allow), T(concurrent_limit), T(replace), T(ranges_and_disabling), T(manual),
        T(trigger_twice_is_one_run), T(trigger_of_a_version), T(overrides_are_kept), T(chain_of_a_job),
    };
    return RUN_ON_BACKENDS("decide", tests);
}
