/* Edits, disabling and deleting lose no slot and double none; the model checks each move of the mark. */
#include "sim.h"

static int setup(void **state)
{
    struct sim *sim = sim_new(15);
    sim_node_up(sim, "n1", 5000, NULL);
    *state = sim;
    return 0;
}

static int teardown(void **state)
{
    sim_free(*state);
    return 0;
}

static struct job_spec all_missed(const char *schedule)
{
    struct job_spec spec = sim_spec("a", schedule);
    spec.concurrency = CONCURRENCY_ALLOW;
    spec.missed_policy = MISSED_POLICY_EXECUTE_ALL;
    return spec;
}

static void test_edit_takes_what_is_due(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = all_missed("* * * * *"), edited = all_missed("30 * * * *");
    struct sim_job *job = sim_create(sim, &spec);
    sim_sleep(sim, 5 * MINUTE); /* five are due, none decided */
    assert_int_equal(sim_edit(sim, job, &edited, true), STATUS_OK);
    assert_int_equal(sim_count(sim, job, -1, -1), 5);
    assert_true(job->mark_ms == sim_now(sim));
    sim_run_for(sim, HOUR);
    assert_int_equal(sim_count(sim, job, -1, RUN_SUCCESS), 6); /* and 08:30 */
}

static void test_edit_of_something_else_leaves_the_mark(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = all_missed("0 * * * *"), edited = spec;
    struct sim_job *job = sim_create(sim, &spec);
    edited.timeout_ms = 1;
    sim_run_for(sim, 10 * MINUTE);
    assert_int_equal(sim_edit(sim, job, &edited, false), STATUS_OK);
    assert_true(job->mark_ms == SIM_START);
    sim_sleep(sim, 2 * HOUR);
    assert_int_equal(sim_edit(sim, job, &edited, false), STATUS_OK); /* carries two slots */
    assert_int_equal(sim_count(sim, job, -1, -1), 2);
    sim_run_for(sim, HOUR);
    assert_int_equal(sim_count(sim, job, -1, RUN_SUCCESS), 3);
}

static void test_edit_is_busy_while_a_decision_is_on_its_way(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = all_missed("* * * * *"), edited = all_missed("*/2 * * * *");
    struct sim_job *job = sim_create(sim, &spec);
    sim->delay_ms = 1000;
    sim_run_for(sim, MINUTE);
    assert_int_equal(sim_edit(sim, job, &edited, true), STATUS_BUSY);
    assert_int_equal(sim_enable(sim, job, false), STATUS_BUSY);
    assert_int_equal(sim_delete(sim, job), STATUS_BUSY);
    sim_run_for(sim, 2 * SECOND);
    assert_int_equal(sim_edit(sim, job, &edited, true), STATUS_OK);
    assert_int_equal(sim->stale, 0);
}

/* More is due than one decision holds: the edit waits for the leader's own decisions, and nothing is lost. */
static void test_edit_waits_for_more_than_one_decision(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = all_missed("* * * * * *"), edited = all_missed("0 * * * *");
    spec.catchup_limit = 900;
    struct sim_job *job = sim_create(sim, &spec);
    sim_sleep(sim, 30 * MINUTE);
    assert_int_equal(sim_edit(sim, job, &edited, true), STATUS_BUSY);
    sim_run_for(sim, 0);
    assert_int_equal(sim_edit(sim, job, &edited, true), STATUS_OK);
    assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, -1), 900);
    assert_int_equal(job->slots, 1800);
}

static void test_edit_waits_for_a_long_walk(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = all_missed("* * * * * *"), edited = all_missed("0 * * * *");
    spec.missed_policy = MISSED_POLICY_EXECUTE_ONE;
    struct sim_job *job = sim_create(sim, &spec);
    sim_sleep(sim, 4 * HOUR);
    assert_int_equal(sim_edit(sim, job, &edited, true), STATUS_BUSY);
    sim_run_for(sim, 0);
    assert_int_equal(sim_edit(sim, job, &edited, true), STATUS_OK);
    assert_int_equal(job->slots, 4 * 3600);
}

static void test_disabled_time_is_not_missed(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = all_missed("* * * * *");
    struct sim_job *job = sim_create(sim, &spec);
    int64_t next;
    sim_sleep(sim, 3 * MINUTE);
    assert_int_equal(sim_enable(sim, job, false), STATUS_OK);
    assert_int_equal(sim_count(sim, job, -1, -1), 3);
    assert_false(scheduler_job_next(sim->scheduler, job->serial, &next));
    sim_run_for(sim, HOUR);
    assert_int_equal(sim_count(sim, job, -1, RUN_SUCCESS), 3);
    assert_int_equal(sim_enable(sim, job, true), STATUS_OK);
    assert_true(scheduler_job_next(sim->scheduler, job->serial, &next));
    assert_true(next == sim_now(sim) + MINUTE);
    sim_run_for(sim, 2 * MINUTE + SECOND);
    assert_int_equal(sim_count(sim, job, TRIGGER_SCHEDULE, RUN_SUCCESS), 3); /* the third minute of the outage was on time */
    assert_int_equal(sim_count(sim, job, -1, RUN_SUCCESS), 5);
    sim_check_settled(sim);
}

static void test_due_of_jobs_that_decide_nothing(void **state)
{
    struct sim *sim = *state;
    struct decision decision;
    bool any = true;
    struct job_spec spec = all_missed("@manually");
    struct sim_job *job = sim_create(sim, &spec);
    sim_sleep(sim, DAY);
    assert_int_equal(scheduler_due(sim->scheduler, job->serial, sim_now(sim), &decision, &any), STATUS_OK);
    assert_false(any);
    assert_int_equal(scheduler_due(sim->scheduler, 12345, sim_now(sim), &decision, &any), STATUS_NOT_FOUND);
}

static void test_delete_with_waiting_runs(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = all_missed("* * * * *");
    spec.concurrency = CONCURRENCY_FORBID;
    struct sim_job *job = sim_create(sim, &spec);
    sim->duration_ms = MINUTE;
    sim_sleep(sim, 10 * MINUTE + 30 * SECOND);
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_count(sim, job, -1, RUN_PENDING), 10);
    assert_int_equal(sim_delete(sim, job), STATUS_OK);
    assert_int_equal(sim_count(sim, job, -1, RUN_CANCELLED), 9);
    assert_int_equal(sim_nth(sim, job, -1, 9)->reason, REASON_JOB_DELETED);
    sim_check_settled(sim);
    sim_run_for(sim, 2 * MINUTE); /* what ran goes on */
    assert_int_equal(sim_count(sim, job, -1, RUN_SUCCESS), 1);
    sim_assert_all_ended(sim);
    sim_check_state(sim);
    struct sim_job *again = sim_create(sim, &spec); /* the name is free */
    sim_run_for(sim, 2 * MINUTE);
    assert_int_equal(sim_count(sim, again, -1, -1), 2);
}

static void test_delete_takes_what_is_due(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = all_missed("* * * * *");
    struct sim_job *job = sim_create(sim, &spec);
    sim_sleep(sim, 4 * MINUTE);
    assert_int_equal(sim_delete(sim, job), STATUS_OK);
    assert_int_equal(sim_count(sim, job, -1, RUN_CANCELLED), 4);
    sim_run_for(sim, HOUR);
    assert_int_equal(sim_count(sim, job, -1, -1), 4);
    sim_check_settled(sim);
}

static void test_policy_change_affects_what_waits(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = all_missed("* * * * *");
    spec.concurrency = CONCURRENCY_FORBID;
    struct sim_job *job = sim_create(sim, &spec);
    sim->duration_ms = HOUR;
    sim_sleep(sim, 5 * MINUTE + 30 * SECOND);
    sim_run_for(sim, SECOND);
    spec.concurrency = CONCURRENCY_REPLACE;
    assert_int_equal(sim_edit(sim, job, &spec, false), STATUS_OK);
    sim_run_for(sim, 10 * SECOND); /* each replaces the one before, the last goes on */
    assert_int_equal(sim_count(sim, job, -1, RUN_PENDING), 1);
    sim_check_settled(sim);
    sim_check_state(sim);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_edit_takes_what_is_due),
        TEST(test_edit_of_something_else_leaves_the_mark),
        TEST(test_edit_is_busy_while_a_decision_is_on_its_way),
        TEST(test_edit_waits_for_more_than_one_decision),
        TEST(test_edit_waits_for_a_long_walk),
        TEST(test_disabled_time_is_not_missed),
        TEST(test_due_of_jobs_that_decide_nothing),
        TEST(test_delete_with_waiting_runs),
        TEST(test_delete_takes_what_is_due),
        TEST(test_policy_change_affects_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
