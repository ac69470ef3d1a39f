/* Slots that come while a run of their job is active, and runs that wait for each other. */
#include "sim.h"

#include <stdio.h>

static int setup(void **state)
{
    struct sim *sim = sim_new(13);
    sim_node_up(sim, "n1", 64, NULL);
    *state = sim;
    return 0;
}

static int teardown(void **state)
{
    sim_free(*state);
    return 0;
}

static struct sim_job *job_of(struct sim *sim, const char *name, const char *schedule, enum concurrency concurrency)
{
    struct job_spec spec = sim_spec(name, schedule);
    spec.concurrency = concurrency;
    spec.max_concurrent = 3;
    spec.missed_policy = MISSED_POLICY_EXECUTE_ALL;
    return sim_create(sim, &spec);
}

static void test_forbid_skips(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = job_of(sim, "a", "* * * * *", CONCURRENCY_FORBID);
    sim->duration_ms = 150 * SECOND;
    sim_run_for(sim, 9 * MINUTE + SECOND);
    assert_int_equal(job->skipped[REASON_OVERLAP], 6); /* two of three */
    assert_int_equal(sim_count(sim, job, -1, RUN_SUCCESS), 2);
    sim_check_settled(sim);
}

static void test_allow_up_to_its_limit(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = job_of(sim, "a", "* * * * *", CONCURRENCY_ALLOW);
    sim->duration_ms = HOUR;
    sim_run_for(sim, 10 * MINUTE + SECOND);
    assert_int_equal(sim_count(sim, job, -1, RUN_PENDING), 3);
    assert_int_equal(job->skipped[REASON_MAX_CONCURRENT], 7);
}

static void test_replace_cancels_and_goes_on(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = job_of(sim, "a", "* * * * *", CONCURRENCY_REPLACE);
    sim->duration_ms = HOUR;
    sim_run_for(sim, 10 * MINUTE + SECOND);
    assert_int_equal(sim_count(sim, job, -1, RUN_CANCELLED), 9);
    assert_int_equal(sim_nth(sim, job, -1, 0)->reason, REASON_REPLACED);
    assert_int_equal(sim_nth(sim, job, -1, 9)->phase, PHASE_RUNNING);
    assert_int_equal(sim_nth(sim, job, -1, 9)->starts, 1);
    sim_check_settled(sim);
}

/* The cancel does not get through: newer slots take the place of the one that waits. */
static void test_replace_supersedes(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = job_of(sim, "a", "* * * * *", CONCURRENCY_REPLACE);
    sim->nodes_silent = true;
    sim_run_for(sim, 5 * MINUTE + SECOND);
    assert_int_equal(sim_nth(sim, job, -1, 0)->cancel, REASON_REPLACED);
    assert_int_equal(job->skipped[REASON_SUPERSEDED], 3);
    assert_int_equal(sim_nth(sim, job, -1, 4)->phase, PHASE_WAITING);
    sim->nodes_silent = false;
    sim_attempt_seen(sim, sim_nth(sim, job, -1, 0));
    sim_run_for(sim, 30 * SECOND);
    assert_int_equal(sim_nth(sim, job, -1, 0)->status, RUN_CANCELLED);
    assert_int_equal(sim_nth(sim, job, -1, 0)->starts, 0);
    assert_int_equal(sim_nth(sim, job, -1, 4)->status, RUN_SUCCESS);
    sim_check_settled(sim);
}

/* More jobs ask for a cancel at once than one call's commands hold: none is forgotten. */
static void test_many_replaced_at_once(void **state)
{
    struct sim *sim = *state;
    struct sim_job *jobs[SIM_JOBS];
    sim_node_up(sim, "n1", 2 * SIM_JOBS, NULL);
    for (uint32_t i = 0; i < SIM_JOBS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "job%u", i);
        jobs[i] = job_of(sim, name, "* * * * *", CONCURRENCY_REPLACE);
    }
    sim->duration_ms = HOUR;
    sim_run_for(sim, 5 * MINUTE + 10 * SECOND);
    for (uint32_t i = 0; i < SIM_JOBS; i++) {
        assert_int_equal(sim_count(sim, jobs[i], -1, RUN_CANCELLED), 4);
        assert_int_equal(sim_count(sim, jobs[i], -1, RUN_PENDING), 1);
    }
    sim_check_settled(sim);
}

static void catch_up_in_order(struct sim *sim, struct sim_job *job, bool rebuild)
{
    struct sim_run *before = NULL;
    sim->duration_ms = 500;
    sim_sleep(sim, 20 * MINUTE + 30 * SECOND);
    sim_run_for(sim, 3 * SECOND);
    assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, -1), 20);
    assert_true(sim_count(sim, job, TRIGGER_CATCHUP, RUN_PENDING) > 10);
    if (rebuild)
        sim_rebuild(sim, false, true);
    sim_run_for(sim, 20 * SECOND);
    for (uint32_t i = 0; i < 20; i++) {
        struct sim_run *run = sim_nth(sim, job, TRIGGER_CATCHUP, i);
        assert_int_equal(run->status, RUN_SUCCESS);
        assert_true(before == NULL || (before->scheduled_ms < run->scheduled_ms && before->ended_ms <= run->assigned_ms));
        before = run;
    }
    sim_check_settled(sim);
}

static void test_catch_up_waits_and_runs_in_order(void **state)
{
    catch_up_in_order(*state, job_of(*state, "a", "* * * * *", CONCURRENCY_FORBID), false);
}

static void test_catch_up_goes_on_under_another_leader(void **state)
{
    struct sim *sim = *state;
    sim->delay_ms = 30;
    catch_up_in_order(sim, job_of(sim, "a", "* * * * *", CONCURRENCY_FORBID), true);
}

/* The assignment of one that waits is refused: the next does not overtake it. */
static void test_refused_release_keeps_the_order(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = job_of(sim, "a", "* * * * *", CONCURRENCY_FORBID);
    struct sim_run *before = NULL;
    sim->delay_ms = 200;
    sim->random_delay = true;
    sim->refuse_percent = 50;
    sim_sleep(sim, 12 * MINUTE + 30 * SECOND);
    sim_run_for(sim, 28 * SECOND);
    sim->refuse_percent = 0;
    sim_run_for(sim, 2 * MINUTE);
    assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, RUN_SUCCESS), 12);
    for (uint32_t i = 0; i < 12; i++) {
        struct sim_run *run = sim_nth(sim, job, TRIGGER_CATCHUP, i);
        assert_true(before == NULL || before->ended_ms <= run->assigned_ms);
        before = run;
    }
    assert_int_equal(sim->stale, 0);
}

/* Three missed slots: one is ready but has no node, two wait for it. */
static struct sim_job *two_that_wait(struct sim *sim)
{
    struct sim_job *job = job_of(sim, "a", "* * * * *", CONCURRENCY_FORBID);
    sim_sleep(sim, 3 * MINUTE + 30 * SECOND);
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_nth(sim, job, -1, 0)->phase, PHASE_READY);
    assert_int_equal(sim_nth(sim, job, -1, 2)->phase, PHASE_WAITING);
    return job;
}

static uint32_t commands_now(struct sim *sim, enum command_type type, uint64_t *ret_token)
{
    const struct scheduler_command *commands;
    uint32_t count = scheduler_run(sim->scheduler, sim_now(sim), true, &commands), found = 0;
    for (uint32_t i = 0; i < count; i++)
        if (command_type_of(commands[i].command) == type) {
            *ret_token = commands[i].token;
            found++;
        }
    return found;
}

/* Something of the job changes while the release of the oldest is on its way: the next is not sent after it. */
static void test_one_release_at_a_time(void **state)
{
    (void)state;
    struct sim *sim = sim_new(17);
    struct sim_job *job = two_that_wait(sim);
    struct state_view view;
    struct state_change change = {.kind = CHANGE_MARKS, .serial = job->serial};
    uint64_t token = 0;
    assert_int_equal(sim_cancel(sim, &sim_nth(sim, job, -1, 0)->execution), STATUS_OK);
    sim_node_up(sim, "n1", 10, NULL);
    assert_int_equal(commands_now(sim, COMMAND_ASSIGN, &token), 1);
    OK(state_view_begin(sim->state, &view, &failure));
    OK(state_get_marks(&view, job->serial, &change.marks, &failure));
    state_view_end(&view);
    scheduler_change(sim->scheduler, &change);
    assert_int_equal(commands_now(sim, COMMAND_ASSIGN, &token), 0);
    scheduler_result(sim->scheduler, token, STATUS_OVERLOADED, NULL, sim_now(sim));
    sim_run_for(sim, 20 * SECOND); /* the refused one goes first */
    assert_true(sim_nth(sim, job, -1, 1)->ended_ms <= sim_nth(sim, job, -1, 2)->assigned_ms);
    sim_free(sim);
}

/* What waits became free while a decision of the job was on its way, and that decision is lost: it is released all the same. */
static void test_release_after_a_lost_decision(void **state)
{
    (void)state;
    struct sim *sim = sim_new(18);
    struct sim_job *job = two_that_wait(sim);
    uint64_t decision = 0, token = 0;
    sim_sleep(sim, MINUTE);
    assert_int_equal(commands_now(sim, COMMAND_DECIDE, &decision), 1);
    sim_node_up(sim, "n1", 10, NULL);
    assert_int_equal(sim_cancel(sim, &sim_nth(sim, job, -1, 0)->execution), STATUS_OK);
    assert_int_equal(commands_now(sim, COMMAND_ASSIGN, &token), 0); /* who is active is not known yet */
    scheduler_result(sim->scheduler, decision, STATUS_NO_LEADER, NULL, sim_now(sim));
    assert_int_equal(commands_now(sim, COMMAND_ASSIGN, &token), 1);
    sim_free(sim);
}

static void test_manual_obeys_the_policy_unless_forced(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = job_of(sim, "a", "@manually", CONCURRENCY_FORBID);
    struct id first, second, third;
    sim->duration_ms = HOUR;
    assert_int_equal(sim_trigger(sim, job, false, &first), STATUS_OK);
    assert_int_equal(sim_trigger(sim, job, false, &second), STATUS_OK);
    assert_int_equal(sim_trigger(sim, job, true, &third), STATUS_OK);
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_find(sim, &first)->phase, PHASE_RUNNING);
    assert_int_equal(sim_find(sim, &second)->reason, REASON_OVERLAP);
    assert_int_equal(sim_find(sim, &third)->phase, PHASE_RUNNING);
    assert_int_equal(sim_cancel(sim, &first), STATUS_OK);
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_find(sim, &first)->status, RUN_CANCELLED);
    assert_int_equal(sim_find(sim, &first)->reason, REASON_USER);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_forbid_skips),
        TEST(test_allow_up_to_its_limit),
        TEST(test_replace_cancels_and_goes_on),
        TEST(test_replace_supersedes),
        TEST(test_many_replaced_at_once),
        TEST(test_catch_up_waits_and_runs_in_order),
        TEST(test_catch_up_goes_on_under_another_leader),
        TEST(test_refused_release_keeps_the_order),
        cmocka_unit_test(test_one_release_at_a_time),
        cmocka_unit_test(test_release_after_a_lost_decision),
        TEST(test_manual_obeys_the_policy_unless_forced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
