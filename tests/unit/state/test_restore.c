/* RESTORE: nothing of the time before goes on. */
#include "fixture.h"

#include <string.h>

enum { OPEN_RUNS = 5 }; /* one of each phase */

struct scene {
    struct fixture *f;
    uint64_t serial, queued, gone, ahead;
    struct id runs[OPEN_RUNS];
    struct id of_deleted;
};

/* Its changes are told to nobody, so the mirror is made anew: what is published afterwards is checked again. */
static struct apply_result restore(struct fixture *f, bool keep_marks)
{
    struct restore item = {.cluster = {{1, 2, 3}}, .digest = {9, 8, 7}, .keep_marks = keep_marks};
    struct table_rows *tables[] = {&f->mirror.open, &f->mirror.marks, &f->mirror.sched};
    const enum state_table names[] = {STATE_OPEN, STATE_MARKS, STATE_SCHED};
    struct buffer command = command_buffer();
    struct state_view view;
    restore_encode(&item, &command);
    f->unchecked = true;
    struct apply_result result = fixture_apply(f, &command);
    f->unchecked = false;
    OK(state_view_begin(f->state, &view, &failure));
    OK(state_check_invariants(&view, &failure));
    for (uint32_t i = 0; i < ARRAY_COUNT(tables); i++) {
        table_rows_free(tables[i]);
        OK(table_rows_load(&view, names[i], tables[i], &failure));
    }
    state_view_end(&view);
    return result;
}

static struct id of_phase(struct fixture *f, uint64_t serial, const struct placement_node *node, enum run_phase phase)
{
    struct id execution;
    f->now_ms += 1000;
    assert_int_equal(fire(f, serial, TRIGGER_SCHEDULE, phase == PHASE_READY ? NULL : node, &execution).status, STATUS_OK);
    if (phase == PHASE_RUNNING || phase == PHASE_BACKOFF) {
        struct run_report item = report_of(f, &execution, REPORT_STARTED);
        assert_int_equal(report(f, &item).status, STATUS_OK);
    }
    if (phase == PHASE_BACKOFF)
        assert_int_equal(finish(f, &execution, RUN_FAILED).status, STATUS_OK);
    assert_int_equal(need_open_run(f, &execution).phase, phase);
    return execution;
}

/* Runs in every phase, one of a job that is deleted meanwhile, two nodes, and a mark that lies ahead of the clock. */
static struct scene scene_of(void **state)
{
    struct scene s = {.f = *state};
    struct placement_node node = node_up(s.f, "n1", 5);
    struct job_spec spec = spec_named("all");
    struct id job, first;
    (void)node_up(s.f, "n2", 6);
    spec.concurrency = CONCURRENCY_ALLOW;
    spec.max_concurrent = 100;
    spec.retry.max_attempts = 3;
    spec.retry.initial_interval_ms = spec.retry.max_interval_ms = 60000;
    s.serial = create_job(s.f, &spec, NULL);
    s.runs[0] = of_phase(s.f, s.serial, &node, PHASE_READY);
    s.runs[1] = of_phase(s.f, s.serial, &node, PHASE_ASSIGNED);
    s.runs[2] = of_phase(s.f, s.serial, &node, PHASE_RUNNING);
    s.runs[3] = of_phase(s.f, s.serial, &node, PHASE_BACKOFF);
    spec = spec_named("queued");
    spec.concurrency = CONCURRENCY_REPLACE;
    s.queued = create_job(s.f, &spec, NULL);
    first = of_phase(s.f, s.queued, &node, PHASE_RUNNING);
    s.runs[4] = of_phase(s.f, s.queued, &node, PHASE_WAITING);
    (void)first;
    spec = spec_named("gone");
    s.gone = create_job(s.f, &spec, &job);
    s.of_deleted = of_phase(s.f, s.gone, &node, PHASE_RUNNING);
    assert_int_equal(delete_job(s.f, &job, false, NULL).status, STATUS_OK);
    assert_true(marks_of(s.f, s.gone).deleted);
    spec = spec_named("ahead");
    s.ahead = create_job(s.f, &spec, NULL);
    struct decision later = {.serial = s.ahead, .job_version = 1, .from_mark_ms = marks_of(s.f, s.ahead).mark_ms,
                             .to_mark_ms = s.f->now_ms + 7200000};
    assert_int_equal(decide(s.f, &later, NULL).status, STATUS_OK);
    s.f->now_ms += 3600000;
    return s;
}

static void assert_nothing_goes_on(struct scene *s)
{
    for (uint32_t i = 0; i < OPEN_RUNS; i++)
        assert_ended(s->f, &s->runs[i], RUN_LOST, "restored");
    assert_ended(s->f, &s->of_deleted, RUN_LOST, "restored");
    assert_int_equal(count_rows(s->f, STATE_OPEN), 0);
    assert_int_equal(count_rows(s->f, STATE_OPEN_BY_JOB), 0);
    assert_int_equal(count_rows(s->f, STATE_NODES), 0);
    assert_int_equal(marks_of(s->f, s->serial).active + marks_of(s->f, s->queued).active, 0);
    assert_int_equal(marks_of(s->f, s->serial).waiting + marks_of(s->f, s->queued).waiting, 0);
}

static void everything_ends(void **state)
{
    struct scene s = scene_of(state);
    int64_t ahead_ms = marks_of(s.f, s.ahead).mark_ms;
    assert_int_equal(restore(s.f, false).status, STATUS_OK);
    assert_nothing_goes_on(&s);
    int64_t now_ms = marks_of(s.f, s.serial).mark_ms;
    assert_true(now_ms >= START_MS + 3600000);
    assert_int_equal(marks_of(s.f, s.queued).mark_ms, now_ms);
    assert_int_equal(marks_of(s.f, s.ahead).mark_ms, ahead_ms); /* never back: its slots were decided */
}

/* A request that the old cluster took may be meant for the new one. */
static void keys_are_forgotten(void **state)
{
    struct scene s = scene_of(state);
    struct idempotency key = {.principal = "me", .key = {7}, .http_status = 202};
    for (int i = 0; i < 2; i++) {
        struct buffer command = command_buffer();
        noop_encode(&command);
        command_add_idempotency(&command, &key);
        assert_int_equal(fixture_apply(s.f, &command).replayed_status, 0);
        assert_int_equal(count_rows(s.f, STATE_IDEMPOTENCY), 1);
        if (i == 0)
            assert_int_equal(restore(s.f, true).status, STATUS_OK);
    }
}

static void marks_are_kept(void **state)
{
    struct scene s = scene_of(state);
    int64_t mark_ms = marks_of(s.f, s.serial).mark_ms, queued_ms = marks_of(s.f, s.queued).mark_ms;
    assert_int_equal(restore(s.f, true).status, STATUS_OK);
    assert_nothing_goes_on(&s);
    assert_int_equal(marks_of(s.f, s.serial).mark_ms, mark_ms);
    assert_int_equal(marks_of(s.f, s.queued).mark_ms, queued_ms);
}

/* Its history leaves by age, as that of every job that is gone; then nothing of it is left. */
static void a_deleted_jobs_marks_go(void **state)
{
    struct scene s = scene_of(state);
    assert_int_equal(restore(s.f, false).status, STATUS_OK);
    assert_false(has_marks(s.f, s.gone));
}

static void it_is_known_by_what(void **state)
{
    struct scene s = scene_of(state);
    struct state_view view;
    struct id cluster;
    uint8_t digest[RESTORE_DIGEST_SIZE];
    OK(state_view_begin(s.f->state, &view, &failure));
    assert_int_equal(state_get_restored(&view, &cluster, digest, &failure), STATUS_NOT_FOUND);
    state_view_end(&view);
    assert_int_equal(restore(s.f, false).status, STATUS_OK);
    fixture_reopen(s.f);
    OK(state_view_begin(s.f->state, &view, &failure));
    OK(state_get_restored(&view, &cluster, digest, &failure));
    state_view_end(&view);
    assert_int_equal(cluster.bytes[2], 3);
    assert_int_equal(digest[1], 8);
}

static void twice(void **state)
{
    struct scene s = scene_of(state);
    assert_int_equal(restore(s.f, false).status, STATUS_OK);
    uint32_t executions = count_rows(s.f, STATE_EXECUTIONS);
    assert_int_equal(restore(s.f, false).status, STATUS_OK);
    assert_nothing_goes_on(&s);
    assert_int_equal(count_rows(s.f, STATE_EXECUTIONS), executions);
}

/* What follows works: the job's next slot is decided, placed on a node that comes up anew, and ends. */
static void life_goes_on(void **state)
{
    struct scene s = scene_of(state);
    struct id execution;
    assert_int_equal(restore(s.f, false).status, STATUS_OK);
    struct placement_node old = {.name = "n1", .session = 5}, node;
    s.f->now_ms += 1000;
    assert_int_equal(fire(s.f, s.serial, TRIGGER_SCHEDULE, &old, &execution).status, STATUS_OK);
    assert_int_equal(need_open_run(s.f, &execution).phase, PHASE_READY); /* a session of before gets nothing */
    node = node_up(s.f, "n1", 77);
    s.f->now_ms += 1000;
    assert_int_equal(fire(s.f, s.queued, TRIGGER_SCHEDULE, &node, &execution).status, STATUS_OK);
    assert_int_equal(need_open_run(s.f, &execution).phase, PHASE_ASSIGNED);
    assert_int_equal(finish(s.f, &execution, RUN_SUCCESS).status, STATUS_OK);
}

static void cut_short(void **state)
{
    struct fixture *f = *state;
    struct restore item = {.keep_marks = true};
    struct error err;
    struct buffer whole = command_buffer();
    restore_encode(&item, &whole);
    for (size_t size = COMMAND_HEADER_SIZE; size < whole.size; size++) {
        struct buffer command = command_buffer();
        buffer_append(&command, whole.data, size);
        assert_int_not_equal(fixture_apply_fatal(f, &command, &err), STATUS_OK);
    }
    buffer_deinit(&whole);
}

/* The same on every backend: a node restores with whichever it has. */
static void equal_everywhere(void **state)
{
    static uint64_t first;
    struct scene s = scene_of(state);
    assert_int_equal(restore(s.f, false).status, STATUS_OK);
    uint64_t hash = fixture_hash(s.f);
    if (first == 0)
        first = hash;
    assert_true(hash == first);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {TEST(everything_ends),     TEST(keys_are_forgotten), TEST(marks_are_kept), TEST(a_deleted_jobs_marks_go),
                                       TEST(it_is_known_by_what), TEST(twice),          TEST(life_goes_on),
                                       TEST(cut_short),           TEST(equal_everywhere)};
    return RUN_ON_BACKENDS("restore", tests);
}
