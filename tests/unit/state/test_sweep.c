/* SWEEP: by age, by count, by bytes, in bounded steps. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

static struct apply_result sweep(struct fixture *f, const struct sweep *item)
{
    struct buffer command = command_buffer();
    sweep_encode(item, &command);
    return fixture_apply(f, &command);
}

/* `count` runs of the job that were skipped at once, one a second: one command. */
static void skip_runs(struct fixture *f, uint64_t serial, uint32_t count)
{
    struct job_marks marks = marks_of(f, serial);
    struct decided_slot *slots = calloc(count, sizeof *slots);
    assert_non_null(slots);
    for (uint32_t i = 0; i < count; i++)
        slots[i] = (struct decided_slot){.execution = fixture_id(f), .scheduled_ms = f->now_ms,
                                         .trigger = TRIGGER_SCHEDULE, .node = NODE_NONE};
    struct decision decision = {.serial = serial, .job_version = 1, .from_mark_ms = marks.mark_ms,
                                .to_mark_ms = f->now_ms, .slot_count = count, .slots = slots};
    assert_int_equal(decide(f, &decision, NULL).status, STATUS_OK);
    free(slots);
    f->now_ms += 1000;
}

/* A job with one open run, so that every further slot is skipped. */
static uint64_t busy_job(struct fixture *f, const char *name, struct id *ret_id)
{
    struct job_spec spec = spec_named(name);
    struct placement_node node = node_up(f, "n1", 5);
    struct id job, execution;
    uint64_t serial = create_job(f, &spec, &job);
    assert_int_equal(trigger(f, &job, false, &node, &execution).status, STATUS_OK);
    if (ret_id)
        *ret_id = job;
    return serial;
}

static void by_age(void **state)
{
    struct fixture *f = *state;
    uint64_t serial = busy_job(f, "job", NULL);
    skip_runs(f, serial, 3);
    int64_t before = f->now_ms;
    skip_runs(f, serial, 2);
    struct apply_result result = sweep(f, &(struct sweep){.before_ms = before});
    assert_int_equal(result.status, STATUS_OK);
    assert_int_equal(result.sweep_deleted, 3);
    assert_int_equal(result.sweep_examined, 5);
    assert_true(id_is_zero(&result.sweep_next));
    assert_int_equal(marks_of(f, serial).executions, 2);
    result = sweep(f, &(struct sweep){.before_ms = before});
    assert_int_equal(result.sweep_deleted, 0);
}

static void failures_leave_with_their_index(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job");
    struct id execution;
    spec.retry.max_attempts = 1;
    uint64_t serial = create_job(f, &spec, NULL);
    struct placement_node node = node_up(f, "n1", 5);
    (void)fire(f, serial, TRIGGER_SCHEDULE, &node, &execution);
    assert_int_equal(finish(f, &execution, RUN_FAILED).status, STATUS_OK);
    assert_int_equal(count_rows(f, STATE_FAILED), 1);
    assert_int_equal(sweep(f, &(struct sweep){.before_ms = f->now_ms + 1}).sweep_deleted, 1);
    assert_int_equal(count_rows(f, STATE_FAILED), 0);
}

static void by_count(void **state)
{
    struct fixture *f = *state;
    struct id job;
    uint64_t many = busy_job(f, "many", NULL), few = busy_job(f, "few", NULL), gone = busy_job(f, "gone", &job);
    skip_runs(f, many, 10);
    skip_runs(f, few, 2);
    skip_runs(f, gone, 10);
    assert_int_equal(delete_job(f, &job, false, NULL).status, STATUS_OK);
    assert_true(marks_of(f, gone).deleted);
    struct apply_result result = sweep(f, &(struct sweep){.per_job = 4});
    assert_int_equal(result.sweep_deleted, 6); /* a deleted job's leave by age alone */
    assert_int_equal(marks_of(f, many).executions, 4);
    assert_int_equal(marks_of(f, few).executions, 2);
    assert_int_equal(sweep(f, &(struct sweep){.before_ms = f->now_ms + 1}).sweep_deleted, 4 + 2 + 10);
    assert_int_equal(marks_of(f, gone).executions, 0); /* of the run that goes on */
}

static void by_bytes(void **state)
{
    struct fixture *f = *state;
    uint64_t serial = busy_job(f, "job", NULL);
    skip_runs(f, serial, 10);
    struct state_view view;
    OK(state_view_begin(f->state, &view, &failure));
    uint64_t bytes = state_executions_bytes(&view);
    assert_int_equal(state_count_executions(&view), 10);
    state_view_end(&view);
    struct apply_result result = sweep(f, &(struct sweep){.max_bytes = bytes});
    assert_int_equal(result.sweep_deleted, 0);
    result = sweep(f, &(struct sweep){.max_bytes = bytes / 2});
    assert_int_equal(result.sweep_deleted, 5);
}

static void in_steps(void **state)
{
    struct fixture *f = *state;
    uint64_t serial = busy_job(f, "job", NULL);
    skip_runs(f, serial, SWEEP_DELETE_MAX + 10);
    struct sweep item = {.before_ms = f->now_ms};
    struct apply_result result = sweep(f, &item);
    assert_int_equal(result.sweep_deleted, SWEEP_DELETE_MAX);
    assert_false(id_is_zero(&result.sweep_next));
    item.from = result.sweep_next;
    result = sweep(f, &item);
    assert_int_equal(result.sweep_deleted, 10);
    assert_true(id_is_zero(&result.sweep_next));
    skip_runs(f, serial, SWEEP_EXAMINE_MAX + 1);
    item = (struct sweep){.before_ms = START_MS};
    result = sweep(f, &item);
    assert_int_equal(result.sweep_examined, SWEEP_EXAMINE_MAX);
    item.from = result.sweep_next;
    result = sweep(f, &item);
    assert_int_equal(result.sweep_examined, 1);
    assert_true(id_is_zero(&result.sweep_next));
}

static void drop_ranges(struct fixture *f, uint64_t serial, uint32_t count)
{
    struct job_marks marks = marks_of(f, serial);
    struct decided_range *ranges = calloc(count, sizeof *ranges);
    assert_non_null(ranges);
    for (uint32_t i = 0; i < count; i++)
        ranges[i] = (struct decided_range){.first_ms = marks.mark_ms + 1 + i, .last_ms = marks.mark_ms + 1 + i,
                                           .count = 1, .reason = REASON_MISSED};
    struct decision decision = {.serial = serial, .job_version = 1, .from_mark_ms = marks.mark_ms,
                                .to_mark_ms = marks.mark_ms + count, .range_count = count, .ranges = ranges};
    assert_int_equal(decide(f, &decision, NULL).status, STATUS_OK);
    free(ranges);
}

static void ranges_in_steps(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job");
    uint64_t serial = create_job(f, &spec, NULL);
    drop_ranges(f, serial, SWEEP_DELETE_MAX + 5);
    f->now_ms += 1000;
    drop_ranges(f, serial, 7);
    struct sweep item = {.before_ms = f->now_ms};
    (void)sweep(f, &item);
    assert_int_equal(count_rows(f, STATE_RANGES), 12);
    fixture_reopen(f); /* where to go on is in the state itself */
    (void)sweep(f, &item);
    assert_int_equal(count_rows(f, STATE_RANGES), 7);
    uint32_t meta_rows = count_rows(f, STATE_META);
    item.before_ms++;
    (void)sweep(f, &item);
    assert_int_equal(count_rows(f, STATE_RANGES), 0);
    assert_int_equal(count_rows(f, STATE_META), meta_rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
        T(by_age), T(failures_leave_with_their_index), T(by_count), T(by_bytes), T(in_steps), T(ranges_in_steps),
    };
    return RUN_ON_BACKENDS("sweep", tests);
}
