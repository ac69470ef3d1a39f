/* Retries, places on nodes, sessions that end, retention. */
#include "sim.h"

#include <stdio.h>

static int setup(void **state)
{
    *state = sim_new(14);
    return 0;
}

static int teardown(void **state)
{
    sim_free(*state);
    return 0;
}

static struct sim_job *retrying(struct sim *sim, uint32_t attempts)
{
    struct job_spec spec = sim_spec("retrying", "0 * * * *");
    spec.retry.max_attempts = attempts;
    return sim_create(sim, &spec);
}

static void check_backoff(struct sim *sim, bool rebuild)
{
    static const int64_t waits[] = {1000, 2000, 4000};
    sim_node_up(sim, "n1", 4, NULL);
    struct sim_job *job = retrying(sim, 4);
    sim->fail_attempts = 3;
    sim_run_for(sim, HOUR);
    struct sim_run *run = sim_nth(sim, job, -1, 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(run->attempt, i + 1);
        sim_run_for(sim, 110); /* it started after 10 ms and ran for 100 */
        assert_int_equal(run->phase, PHASE_BACKOFF);
        assert_int_equal(run->reason, REASON_RETRY);
        assert_true(run->next_attempt_ms == sim_now(sim) + waits[i]);
        if (rebuild)
            sim_rebuild(sim, false, false);
        sim_run_for(sim, waits[i] - 1);
        assert_int_equal(run->phase, PHASE_BACKOFF);
        sim_run_for(sim, 1);
        assert_true(run->assigned_ms == sim_now(sim));
    }
    sim_run_for(sim, SECOND);
    assert_int_equal(run->status, RUN_SUCCESS);
    assert_int_equal(run->starts, 4);
    sim_check_settled(sim);
}

static void test_retries_at_the_right_time(void **state)
{
    check_backoff(*state, false);
}

static void test_retries_survive_the_leader(void **state)
{
    check_backoff(*state, true);
}

static void test_retries_end(void **state)
{
    struct sim *sim = *state;
    sim_node_up(sim, "n1", 4, NULL);
    struct sim_job *job = retrying(sim, 3);
    sim->fail_attempts = 100;
    sim_run_for(sim, HOUR + MINUTE);
    assert_int_equal(sim_nth(sim, job, -1, 0)->status, RUN_FAILED);
    assert_int_equal(sim_nth(sim, job, -1, 0)->starts, 3);
}

/* A retry that is due finds no place: it waits with the others, and nothing spins. */
static void test_retry_without_a_place(void **state)
{
    struct sim *sim = *state;
    struct id other;
    sim_node_up(sim, "n1", 1, NULL);
    struct sim_job *job = retrying(sim, 2);
    struct job_spec spec = sim_spec("long", "@manually");
    struct sim_job *occupant = sim_create(sim, &spec);
    sim->fail_attempts = 1;
    sim_run_for(sim, HOUR + 500);
    sim->fail_attempts = 0;
    sim->duration_ms = MINUTE;
    assert_int_equal(sim_trigger(sim, occupant, false, &other), STATUS_OK);
    sim_run_for(sim, 30 * SECOND);
    assert_int_equal(sim_nth(sim, job, -1, 0)->phase, PHASE_BACKOFF);
    assert_int_equal(sim_find(sim, &other)->phase, PHASE_RUNNING);
    sim_check_settled(sim);
    sim->duration_ms = SECOND;
    sim_run_for(sim, 40 * SECOND);
    assert_int_equal(sim_nth(sim, job, -1, 0)->status, RUN_SUCCESS);
}

static void trigger_many(struct sim *sim, struct sim_job *job, uint32_t count)
{
    struct id id;
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(sim_trigger(sim, job, false, &id), STATUS_OK);
}

static uint32_t under_way(struct sim *sim, int trigger)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < sim->run_count; i++)
        count += sim->runs[i]->status == RUN_PENDING && (trigger < 0 || (int)sim->runs[i]->trigger == trigger) &&
                 (sim->runs[i]->phase == PHASE_ASSIGNED || sim->runs[i]->phase == PHASE_RUNNING);
    return count;
}

static struct sim_job *parallel(struct sim *sim, const char *name, const char *schedule, const char *executor)
{
    struct job_spec spec = sim_spec(name, schedule);
    spec.concurrency = CONCURRENCY_ALLOW;
    spec.missed_policy = MISSED_POLICY_EXECUTE_ALL;
    (void)snprintf(spec.executor, sizeof spec.executor, "%s", executor);
    return sim_create(sim, &spec);
}

static void test_the_excess_waits_in_order(void **state)
{
    struct sim *sim = *state;
    sim_node_up(sim, "n1", 3, NULL);
    sim_node_up(sim, "n2", 2, NULL);
    struct sim_job *job = parallel(sim, "a", "@manually", "shell");
    sim->duration_ms = SECOND;
    trigger_many(sim, job, 30);
    for (uint32_t i = 0; i < 12; i++) {
        sim_run_for(sim, 600);
        assert_in_range(under_way(sim, -1), 0, 5);
        sim_check_settled(sim);
    }
    sim_run_for(sim, 10 * SECOND);
    assert_int_equal(sim_count(sim, job, -1, RUN_SUCCESS), 30);
    for (uint32_t i = 1; i < 30; i++)
        assert_true(sim_nth(sim, job, -1, i - 1)->assigned_ms <= sim_nth(sim, job, -1, i)->assigned_ms);
}

static void test_catch_up_takes_half(void **state)
{
    struct sim *sim = *state;
    sim_node_up(sim, "n1", 10, NULL);
    struct sim_job *job = parallel(sim, "a", "* * * * *", "shell");
    sim->duration_ms = 10 * SECOND;
    sim_sleep(sim, HOUR);
    for (uint32_t i = 0; i < 40; i++) {
        sim_run_for(sim, 3 * SECOND);
        assert_in_range(under_way(sim, TRIGGER_CATCHUP), 0, 5);
        if (i == 0)
            assert_int_equal(under_way(sim, -1), 6); /* and the slot that is on time */
    }
    sim_run_for(sim, 3 * MINUTE);
    assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, RUN_SUCCESS), 59);
    sim_check_settled(sim);
}

/* Runs that wait for a node get one in as few entries as DECISIONS_PER_ENTRY_MAX allows. */
static void test_an_entry_has_a_limit_of_assignments(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = parallel(sim, "a", "@manually", "shell");
    trigger_many(sim, job, DECISIONS_PER_ENTRY_MAX + 1);
    sim->nodes_silent = true;
    sim_node_up(sim, "n1", DECISIONS_PER_ENTRY_MAX + 10, NULL);
    uint64_t before = sim->commands;
    sim_run_for(sim, SECOND);
    assert_int_equal(sim->commands, before + 2);
    assert_int_equal(under_way(sim, -1), DECISIONS_PER_ENTRY_MAX + 1);
}

static void test_a_single_place_serves_catch_up_too(void **state)
{
    struct sim *sim = *state;
    sim_node_up(sim, "n1", 1, NULL);
    struct sim_job *job = parallel(sim, "a", "0 * * * *", "shell");
    sim_sleep(sim, 3 * HOUR + MINUTE);
    sim_run_for(sim, MINUTE);
    assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, RUN_SUCCESS), 3);
}

static void test_no_node_until_one_has_the_executor(void **state)
{
    struct sim *sim = *state;
    sim_node_up(sim, "n1", 4, "shell");
    struct sim_job *job = parallel(sim, "a", "0 * * * *", "http"), *other = parallel(sim, "b", "0 * * * *", "shell");
    sim_run_for(sim, HOUR + SECOND);
    assert_int_equal(sim_nth(sim, job, -1, 0)->phase, PHASE_READY);
    assert_int_equal(sim_nth(sim, job, -1, 0)->reason, REASON_NO_NODE);
    assert_int_equal(sim_nth(sim, other, -1, 0)->status, RUN_SUCCESS); /* one that is missing blocks no other */
    sim_check_settled(sim);
    sim_node_up(sim, "n2", 4, "http");
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_nth(sim, job, -1, 0)->status, RUN_SUCCESS);
}

static void test_least_loaded_first(void **state)
{
    struct sim *sim = *state;
    sim_node_up(sim, "n1", 10, NULL);
    sim_node_up(sim, "n2", 10, NULL);
    struct sim_job *job = parallel(sim, "a", "@manually", "shell");
    sim->duration_ms = HOUR;
    trigger_many(sim, job, 10);
    sim_run_for(sim, SECOND);
    uint32_t on_first = 0;
    for (uint32_t i = 0; i < 10; i++)
        on_first += sim_nth(sim, job, -1, i)->node[1] == '1';
    assert_int_equal(on_first, 5);
}

static void test_a_new_session_takes_over(void **state)
{
    struct sim *sim = *state;
    sim_node_up(sim, "n1", 10, NULL);
    struct sim_job *job = parallel(sim, "a", "@manually", "shell");
    sim->duration_ms = HOUR;
    trigger_many(sim, job, 5);
    sim_run_for(sim, SECOND);
    for (uint32_t takeover = 1; takeover <= TAKEOVERS_MAX; takeover++) {
        sim_node_up(sim, "n1", 10, NULL);
        sim_run_for(sim, SECOND);
        for (uint32_t i = 0; i < 5; i++) {
            assert_int_equal(sim_nth(sim, job, -1, i)->phase, PHASE_RUNNING);
            assert_int_equal(sim_nth(sim, job, -1, i)->attempt, takeover + 1);
            assert_int_equal(sim_nth(sim, job, -1, i)->starts, takeover + 1);
        }
        sim_check_settled(sim);
    }
    sim_node_up(sim, "n1", 10, NULL); /* once too often */
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_count(sim, job, -1, RUN_LOST), 5);
    assert_int_equal(sim_nth(sim, job, -1, 0)->reason, REASON_NODE_RESTART);
}

static void test_at_most_once_is_lost_with_its_session(void **state)
{
    struct sim *sim = *state;
    struct id id;
    sim_node_up(sim, "n1", 10, NULL);
    struct job_spec spec = sim_spec("a", "@manually");
    spec.on_node_loss = NODE_LOSS_FAIL;
    struct sim_job *job = sim_create(sim, &spec);
    sim->duration_ms = HOUR;
    assert_int_equal(sim_trigger(sim, job, false, &id), STATUS_OK);
    sim_run_for(sim, SECOND);
    sim_node_up(sim, "n1", 10, NULL);
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_find(sim, &id)->status, RUN_LOST);
    assert_int_equal(sim_find(sim, &id)->starts, 1);
}

/* The session ends while assignments to it are on their way: apply voids them, they go to the new one. */
static void test_assignments_to_a_session_that_is_over(void **state)
{
    struct sim *sim = *state;
    sim_node_up(sim, "n1", 10, NULL);
    struct sim_job *job = parallel(sim, "a", "* * * * *", "shell");
    sim->delay_ms = 500;
    for (uint32_t i = 0; i < 10; i++) {
        sim_run_for(sim, MINUTE);
        sim->poke = true;
        sim_node_up(sim, "n1", 10, NULL);
    }
    sim->delay_ms = 0;
    sim_run_for(sim, 30 * SECOND);
    assert_int_equal(sim_count(sim, job, -1, RUN_SUCCESS), 10);
    sim_check_settled(sim);
}

static void test_sweep_keeps_a_count_of_each_job(void **state)
{
    struct sim *sim = *state;
    struct state_view view;
    sim->config.executions_per_job = 10;
    sim_rebuild(sim, false, false);
    sim_node_up(sim, "n1", 100, NULL);
    (void)parallel(sim, "a", "* * * * *", "shell");
    (void)parallel(sim, "b", "*/10 * * * * *", "shell");
    sim_run_for(sim, 12 * HOUR);
    OK(state_view_begin(sim->state, &view, &failure));
    /* 20 may stay, and an eighth more may have come since. */
    assert_in_range(state_count_executions(&view), 20, 24);
    state_view_end(&view);
    sim_check_state(sim);
    sim_check_settled(sim);
}

static void test_sweep_by_age_alone(void **state)
{
    struct sim *sim = *state;
    struct state_view view;
    sim->config.retention_ms = DAY;
    sim_rebuild(sim, false, false);
    sim_node_up(sim, "n1", 100, NULL);
    struct sim_job *job = parallel(sim, "a", "*/5 * * * * *", "shell");
    sim_run_for(sim, 2 * HOUR);
    assert_int_equal(sim_enable(sim, job, false), STATUS_OK);
    OK(state_view_begin(sim->state, &view, &failure));
    assert_true(state_count_executions(&view) > SWEEP_DELETE_MAX);
    state_view_end(&view);
    sim_run_for(sim, DAY + 2 * HOUR);
    OK(state_view_begin(sim->state, &view, &failure));
    assert_int_equal(state_count_executions(&view), 0);
    state_view_end(&view);
    uint64_t before = sim->commands;
    sim_run_for(sim, DAY); /* an empty table asks for nothing */
    assert_int_equal(sim->commands, before);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_retries_at_the_right_time),
        TEST(test_retries_survive_the_leader),
        TEST(test_retries_end),
        TEST(test_retry_without_a_place),
        TEST(test_the_excess_waits_in_order),
        TEST(test_catch_up_takes_half),
        TEST(test_an_entry_has_a_limit_of_assignments),
        TEST(test_a_single_place_serves_catch_up_too),
        TEST(test_no_node_until_one_has_the_executor),
        TEST(test_least_loaded_first),
        TEST(test_a_new_session_takes_over),
        TEST(test_at_most_once_is_lost_with_its_session),
        TEST(test_assignments_to_a_session_that_is_over),
        TEST(test_sweep_keeps_a_count_of_each_job),
        TEST(test_sweep_by_age_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
