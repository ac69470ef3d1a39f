/* ASSIGN, CANCEL, CLOSE, NODE_UP. */
#include "fixture.h"

#include <stdio.h>
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

/* --- runs that are pinned to their nodes --- */

static struct apply_result trigger_all(struct fixture *f, const struct id *job, const char *const nodes[], uint32_t count,
                                       struct id executions[])
{
    struct trigger_run item = {.job = *job, .home_count = count};
    struct buffer command = command_buffer();
    for (uint32_t i = 0; i < count; i++) {
        item.homes[i].execution = executions[i] = fixture_id(f);
        (void)snprintf(item.homes[i].node, sizeof item.homes[i].node, "%s", nodes[i]);
    }
    item.execution = executions[0];
    trigger_run_encode(&item, &command);
    return fixture_apply(f, &command);
}

static struct apply_result close_waiting(struct fixture *f, const struct id *execution, uint32_t attempt, enum reason reason)
{
    struct close_attempt item = {*execution, attempt, 0, reason};
    struct buffer command = command_buffer();
    close_encode(&item, 1, &command);
    return fixture_apply(f, &command);
}

static void a_pinned_run_stays(void **state)
{
    static const char *const both[] = {"n1", "n2"};
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job");
    struct id job, runs[2], none[1];
    spec.placement = PLACEMENT_ALL;
    uint64_t serial = create_job(f, &spec, &job);
    struct placement_node n1 = node_up(f, "n1", 5), n2 = node_up(f, "n2", 6);
    assert_int_equal(trigger(f, &job, false, NULL, &none[0]).status, STATUS_STALE); /* it says of no node */
    assert_int_equal(trigger_all(f, &job, both, 2, runs).status, STATUS_OK);
    assert_int_equal(marks_of(f, serial).active, 2);
    assert_string_equal(need_open_run(f, &runs[1]).node, "n2");
    assert_int_equal(assign(f, &runs[0], 0, &n2).status, STATUS_STALE);
    assert_int_equal(assign(f, &runs[0], 0, &n1).status, STATUS_OK);
    assert_int_equal(assign(f, &runs[1], 0, &n2).status, STATUS_OK);
    assert_int_equal(close_waiting(f, &runs[0], 1, REASON_NODE_LOSS).status, STATUS_STALE); /* it does not wait */
    assert_int_equal(close_run(f, &runs[0], REASON_NODE_RESTART).status, STATUS_OK);
    assert_int_equal(need_open_run(f, &runs[0]).phase, PHASE_READY);
    assert_int_equal(assign(f, &runs[0], 1, &n2).status, STATUS_STALE);
    assert_int_equal(close_waiting(f, &runs[0], 0, REASON_NODE_LOSS).status, STATUS_STALE);
    assert_int_equal(close_waiting(f, &runs[0], 1, REASON_NODE_RESTART).status, STATUS_STALE);
    assert_int_equal(close_waiting(f, &runs[0], 1, REASON_NODE_LOSS).status, STATUS_OK);
    assert_ended(f, &runs[0], RUN_LOST, "node_loss");
    assert_int_equal(close_run(f, &runs[1], REASON_NODE_LOSS).status, STATUS_OK);
    assert_ended(f, &runs[1], RUN_LOST, "node_loss"); /* there is nobody to take it over */
    assert_int_equal(marks_of(f, serial).active, 0);
}

/* Where none matched: it is pinned to the node that it gets. */
static void pinned_by_its_first_node(void **state)
{
    static const char *const nowhere[] = {""};
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job");
    struct id job, run;
    spec.placement = PLACEMENT_ALL;
    (void)create_job(f, &spec, &job);
    struct placement_node n1 = node_up(f, "n1", 5), n2 = node_up(f, "n2", 6);
    assert_int_equal(trigger_all(f, &job, nowhere, 1, &run).status, STATUS_OK);
    assert_int_equal(need_open_run(f, &run).reason, REASON_NO_NODE);
    assert_int_equal(close_waiting(f, &run, 0, REASON_NODE_LOSS).status, STATUS_STALE); /* no node of its own is lost */
    assert_int_equal(assign(f, &run, 0, &n2).status, STATUS_OK);
    assert_int_equal(close_run(f, &run, REASON_NODE_RESTART).status, STATUS_OK);
    assert_int_equal(assign(f, &run, 1, &n1).status, STATUS_STALE);
    assert_int_equal(assign(f, &run, 1, &n2).status, STATUS_OK);
}

static void overlap_on_each_node(void **state)
{
    static const char *const both[] = {"n1", "n2"}, *const third[] = {"n3", "n1"};
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job");
    struct id job, first[2], second[2];
    spec.placement = PLACEMENT_ALL;
    (void)create_job(f, &spec, &job);
    assert_int_equal(trigger_all(f, &job, both, 2, first).status, STATUS_OK);
    assert_int_equal(trigger_all(f, &job, third, 2, second).status, STATUS_OK);
    assert_int_equal(need_open_run(f, &second[0]).phase, PHASE_READY);
    assert_ended(f, &second[1], RUN_SKIPPED, "overlap");
    cJSON *text = text_of(f, &second[1]);
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(text, "node_id")->valuestring, "n1"); /* where it would have been */
    cJSON_Delete(text);
}

/* Waits for a node, and is older than its job allows. */
static void no_node_in_time(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job");
    struct id waits, tried, forever;
    spec.catchup_window_ms = 10000;
    spec.concurrency = CONCURRENCY_ALLOW;
    uint64_t serial = create_job(f, &spec, NULL);
    struct placement_node node = node_up(f, "n1", 5);
    f->now_ms += 1000;
    (void)fire(f, serial, TRIGGER_SCHEDULE, NULL, &waits);
    (void)fire(f, serial, TRIGGER_SCHEDULE, &node, &tried);
    f->now_ms += 10000;
    assert_int_equal(close_waiting(f, &waits, 0, REASON_CATCHUP_WINDOW).status, STATUS_STALE); /* not yet */
    f->now_ms++;
    assert_int_equal(close_waiting(f, &waits, 1, REASON_CATCHUP_WINDOW).status, STATUS_STALE);
    assert_int_equal(close_waiting(f, &waits, 0, REASON_CATCHUP_WINDOW).status, STATUS_OK);
    assert_ended(f, &waits, RUN_SKIPPED, "catchup_window");
    assert_int_equal(close_waiting(f, &waits, 0, REASON_CATCHUP_WINDOW).status, STATUS_STALE);
    assert_int_equal(close_waiting(f, &tried, 1, REASON_CATCHUP_WINDOW).status, STATUS_STALE); /* it does not wait */
    assert_int_equal(close_run(f, &tried, REASON_NODE_RESTART).status, STATUS_OK);
    assert_int_equal(close_waiting(f, &tried, 1, REASON_CATCHUP_WINDOW).status, STATUS_OK);
    assert_ended(f, &tried, RUN_LOST, "catchup_window");
    assert_int_equal(marks_of(f, serial).active, 0);
    assert_int_equal(marks_of(f, serial).failures, 1);
    spec = spec_named("unlimited");
    serial = create_job(f, &spec, NULL);
    (void)fire(f, serial, TRIGGER_SCHEDULE, NULL, &forever);
    f->now_ms += INT64_C(1000000000000);
    assert_int_equal(close_waiting(f, &forever, 0, REASON_CATCHUP_WINDOW).status, STATUS_STALE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
        T(assign_is_fenced), T(cancel_by_phase), T(cancel_of_many), T(close_is_fenced), T(lost_nodes_are_replaced),
        T(at_most_once), T(close_of_a_cancelled_one), T(deleted_jobs_are_not_taken_over), T(nodes), T(open_text),
        T(a_pinned_run_stays), T(pinned_by_its_first_node), T(overlap_on_each_node), T(no_node_in_time),
    };
    return RUN_ON_BACKENDS("runs", tests);
}
