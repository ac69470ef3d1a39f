/* ASSIGN, CANCEL, CLOSE, NODE_UP. */
#include "fixture.h"

#include <string.h>

struct scene {
    struct fixture *f;
    struct id job, execution;
    uint64_t serial;
    struct placement_node node;
};

/* A job whose one run is on node n1. */
static struct scene scene_of(void **state, const struct job_spec *spec)
{
    struct scene s = {.f = *state};
    s.node = node_up(s.f, "n1", 5);
    s.serial = create_job(s.f, spec, &s.job);
    s.f->now_ms += 1000;
    assert_int_equal(fire(s.f, s.serial, TRIGGER_SCHEDULE, &s.node, &s.execution).status, STATUS_OK);
    return s;
}

static void assign_is_fenced(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job");
    struct id execution, nothing = fixture_id(f);
    uint64_t serial = create_job(f, &spec, NULL);
    struct placement_node node = node_up(f, "n1", 5), over = {.name = "n1", .session = 4};
    (void)fire(f, serial, TRIGGER_SCHEDULE, NULL, &execution);
    assert_int_equal(assign(f, &execution, 1, &node).status, STATUS_STALE); /* it stands at 0 */
    assert_int_equal(assign(f, &execution, 0, &over).status, STATUS_STALE);
    assert_int_equal(assign(f, &nothing, 0, &node).status, STATUS_STALE);
    assert_int_equal(f->changes.count, 0);
    assert_int_equal(assign(f, &execution, 0, &node).status, STATUS_OK);
    struct open_run run = need_open_run(f, &execution);
    assert_int_equal(run.phase, PHASE_ASSIGNED);
    assert_int_equal(run.attempt, 1);
    assert_int_equal(run.reason, REASON_NONE);
    assert_int_equal(assign(f, &execution, 1, &node).status, STATUS_STALE); /* it is on a node */
}

static void cancel_by_phase(void **state)
{
    struct job_spec spec = spec_named("job");
    spec.concurrency = CONCURRENCY_ALLOW;
    struct scene s = scene_of(state, &spec);
    struct id ready, nothing = fixture_id(s.f);
    (void)fire(s.f, s.serial, TRIGGER_SCHEDULE, NULL, &ready);
    assert_int_equal(cancel(s.f, &nothing, REASON_USER).status, STATUS_NOT_FOUND);
    assert_int_equal(cancel(s.f, &ready, REASON_USER).status, STATUS_OK);
    assert_ended(s.f, &ready, RUN_CANCELLED, "user");
    assert_int_equal(cancel(s.f, &ready, REASON_USER).status, STATUS_CONFLICT);
    assert_int_equal(cancel(s.f, &s.execution, REASON_USER).status, STATUS_OK);
    assert_int_equal(count_changes(s.f, CHANGE_OPEN), 1);
    assert_int_equal(cancel(s.f, &s.execution, REASON_REPLACED).status, STATUS_OK);
    assert_int_equal(s.f->changes.count, 0); /* the first reason stays */
    assert_int_equal(need_open_run(s.f, &s.execution).cancel, REASON_USER);
    assert_int_equal(finish(s.f, &s.execution, RUN_CANCELLED).status, STATUS_OK);
    assert_ended(s.f, &s.execution, RUN_CANCELLED, "user");
}

static void cancel_of_many(void **state)
{
    struct job_spec spec = spec_named("job");
    struct scene s = scene_of(state, &spec);
    const struct cancel_run items[] = {{fixture_id(s.f), REASON_USER}, {s.execution, REASON_USER}};
    struct buffer command = command_buffer();
    cancel_encode(items, ARRAY_COUNT(items), &command);
    struct apply_result result = fixture_apply(s.f, &command);
    assert_int_equal(result.status, STATUS_OK);
    assert_int_equal(result.stale_count, 1);
}

static void close_is_fenced(void **state)
{
    struct job_spec spec = spec_named("job");
    struct scene s = scene_of(state, &spec);
    struct close_attempt items[] = {{s.execution, 2, 5, REASON_NODE_LOSS}, {s.execution, 1, 6, REASON_NODE_LOSS},
                                    {fixture_id(s.f), 1, 5, REASON_NODE_LOSS}};
    struct buffer command = command_buffer();
    close_encode(items, ARRAY_COUNT(items), &command);
    struct apply_result result = fixture_apply(s.f, &command);
    assert_int_equal(result.status, STATUS_STALE);
    assert_int_equal(result.stale_count, 3);
    assert_int_equal(s.f->changes.count, 0);
}

static void lost_nodes_are_replaced(void **state)
{
    struct job_spec spec = spec_named("job");
    struct scene s = scene_of(state, &spec);
    for (uint32_t i = 1; i <= TAKEOVERS_MAX; i++) {
        assert_int_equal(close_run(s.f, &s.execution, REASON_NODE_RESTART).status, STATUS_OK);
        struct open_run run = need_open_run(s.f, &s.execution);
        assert_int_equal(run.phase, PHASE_READY);
        assert_int_equal(run.reason, REASON_NODE_RESTART);
        assert_int_equal(run.takeovers, i);
        assert_int_equal(run.failures, 0); /* not its fault */
        assert_int_equal(run.history_count, i);
        assert_int_equal(run.history[i - 1].outcome, RUN_LOST);
        assert_int_equal(assign(s.f, &s.execution, i, &s.node).status, STATUS_OK);
    }
    assert_int_equal(close_run(s.f, &s.execution, REASON_NODE_LOSS).status, STATUS_OK);
    assert_ended(s.f, &s.execution, RUN_LOST, "node_loss");
    assert_int_equal(marks_of(s.f, s.serial).failures, 1);
    assert_int_equal(count_rows(s.f, STATE_FAILED), 1);
}

static void at_most_once(void **state)
{
    struct job_spec spec = spec_named("job");
    spec.on_node_loss = NODE_LOSS_FAIL;
    struct scene s = scene_of(state, &spec);
    assert_int_equal(close_run(s.f, &s.execution, REASON_NODE_LOSS).status, STATUS_OK);
    assert_ended(s.f, &s.execution, RUN_LOST, "node_loss");
    cJSON *text = text_of(s.f, &s.execution);
    const cJSON *attempt = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(text, "attempts"), 0);
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(attempt, "error")->valuestring, "the node was lost");
    assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(attempt, "started_at")));
    cJSON_Delete(text);
}

static void close_of_a_cancelled_one(void **state)
{
    struct job_spec spec = spec_named("job");
    struct scene s = scene_of(state, &spec);
    assert_int_equal(cancel(s.f, &s.execution, REASON_USER).status, STATUS_OK);
    assert_int_equal(close_run(s.f, &s.execution, REASON_NODE_LOSS).status, STATUS_OK);
    assert_ended(s.f, &s.execution, RUN_CANCELLED, "user");
}

static void deleted_jobs_are_not_taken_over(void **state)
{
    struct job_spec spec = spec_named("job");
    struct scene s = scene_of(state, &spec);
    assert_int_equal(delete_job(s.f, &s.job, false, NULL).status, STATUS_OK);
    assert_int_equal(close_run(s.f, &s.execution, REASON_NODE_LOSS).status, STATUS_OK);
    assert_ended(s.f, &s.execution, RUN_LOST, "node_loss");
    assert_false(has_marks(s.f, s.serial));
}

static void nodes(void **state)
{
    struct fixture *f = *state;
    struct state_view view;
    struct node_row row;
    f->now_ms += 3;
    (void)node_up(f, "n1", 5);
    (void)node_up(f, "n1", 6);
    OK(state_view_begin(f->state, &view, &failure));
    OK(state_get_node(&view, "n1", &row, &failure));
    assert_int_equal(row.session, 6);
    assert_int_equal(row.since_ms, f->now_ms);
    assert_string_equal(row.executors[0], "shell");
    assert_int_equal(state_get_node(&view, "n2", &row, &failure), STATUS_NOT_FOUND);
    assert_int_equal(state_get_node(&view, "", &row, &failure), STATUS_NOT_FOUND);
    state_view_end(&view);
    struct node_row nameless = {.session = 1};
    struct buffer command = command_buffer();
    node_up_encode(&nameless, &command);
    assert_int_equal(fixture_apply(f, &command).status, STATUS_INVALID);
}

static void open_text(void **state)
{
    struct job_spec spec = spec_named("job");
    struct scene s = scene_of(state, &spec);
    cJSON *text = text_of(s.f, &s.execution);
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(text, "status")->valuestring, "pending");
    assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(text, "completed_at")));
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(text, "attempts")), 1);
    assert_null(cJSON_GetObjectItemCaseSensitive(text, "next_attempt_at"));
    cJSON_Delete(text);
    struct run_report started = report_of(s.f, &s.execution, REPORT_STARTED);
    assert_int_equal(report(s.f, &started).status, STATUS_OK);
    text = text_of(s.f, &s.execution);
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(text, "status")->valuestring, "running");
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(text, "started_at")->valuestring, "2027-01-15T08:00:01.000Z");
    cJSON_Delete(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
        T(assign_is_fenced), T(cancel_by_phase), T(cancel_of_many), T(close_is_fenced), T(lost_nodes_are_replaced),
        T(at_most_once), T(close_of_a_cancelled_one), T(deleted_jobs_are_not_taken_over), T(nodes), T(open_text),
    };
    return RUN_ON_BACKENDS("runs", tests);
}
