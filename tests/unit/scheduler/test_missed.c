/* What was missed: which slots run, which are dropped, and that the ranges say so exactly (the model compares them with the
 * schedule at every move of the mark). */
#include "sim.h"

static int setup(void **state)
{
    struct sim *sim = sim_new(12);
    sim_node_up(sim, "n1", 10000, NULL);
    *state = sim;
    return 0;
}

static int teardown(void **state)
{
    sim_free(*state);
    return 0;
}

static struct sim_job *job_of(struct sim *sim, const char *schedule, enum missed_policy policy, uint32_t limit,
                              int64_t window_ms)
{
    struct job_spec spec = sim_spec("job", schedule);
    spec.concurrency = CONCURRENCY_ALLOW;
    spec.missed_policy = policy;
    spec.catchup_limit = limit;
    spec.catchup_window_ms = window_ms;
    return sim_create(sim, &spec);
}

static void test_late_is_not_missed(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = job_of(sim, "* * * * *", MISSED_POLICY_IGNORE, 1, 0);
    sim_sleep(sim, MINUTE + SIM_MISFIRE_MS);
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_count(sim, job, TRIGGER_SCHEDULE, RUN_SUCCESS), 1); /* exactly at the threshold: late */
    sim_sleep(sim, MINUTE);
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_count(sim, job, -1, -1), 1); /* a second more: missed */
    assert_int_equal(job->dropped[REASON_IGNORED], 1);
}

static void test_gap_of_one(void **state)
{
    for (int policy = 0; policy < MISSED_POLICY_COUNT; policy++) {
        struct sim *sim = sim_new(3);
        sim_node_up(sim, "n1", 10, NULL);
        struct sim_job *job = job_of(sim, "0 * * * *", (enum missed_policy)policy, 5, 0);
        sim_sleep(sim, HOUR + MINUTE);
        sim_run_for(sim, SECOND);
        bool ignore = policy == MISSED_POLICY_IGNORE;
        assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, RUN_SUCCESS), ignore ? 0 : 1);
        assert_int_equal(job->dropped[REASON_IGNORED], ignore ? 1 : 0);
        assert_int_equal(job->range_total, ignore ? 1 : 0);
        assert_true(job->mark_ms == SIM_START + HOUR);
        sim_free(sim);
    }
    (void)state;
}

static void test_execute_one_takes_the_latest(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = job_of(sim, "* * * * *", MISSED_POLICY_EXECUTE_ONE, 100, 0);
    sim_sleep(sim, 3 * HOUR + 30 * SECOND);
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_count(sim, job, -1, -1), 1);
    assert_true(sim_nth(sim, job, TRIGGER_CATCHUP, 0)->scheduled_ms == SIM_START + 180 * MINUTE);
    assert_int_equal(job->dropped[REASON_MISSED], 179);
    assert_int_equal(job->range_total, 1);
    assert_true(job->last_range.first_ms == SIM_START + MINUTE);
    assert_true(job->last_range.last_ms == SIM_START + 179 * MINUTE);
    assert_false(job->last_range.at_least);
    sim_check_settled(sim);
}

static void test_execute_all_takes_the_newest_in_order(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = job_of(sim, "* * * * *", MISSED_POLICY_EXECUTE_ALL, 100, 0);
    sim_sleep(sim, 3 * HOUR);
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_count(sim, job, TRIGGER_SCHEDULE, RUN_SUCCESS), 1); /* 11:00 itself is on time */
    assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, RUN_SUCCESS), 100);
    for (uint32_t i = 0; i < 100; i++)
        assert_true(sim_nth(sim, job, TRIGGER_CATCHUP, i)->scheduled_ms == SIM_START + (80 + i) * MINUTE);
    assert_int_equal(job->dropped[REASON_CATCHUP_LIMIT], 79);
    assert_int_equal(job->slots, 180);
}

static void test_window_and_limit_give_two_ranges(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = job_of(sim, "* * * * *", MISSED_POLICY_EXECUTE_ALL, 10, HOUR);
    sim_sleep(sim, 5 * HOUR + 30 * SECOND);
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, RUN_SUCCESS), 10);
    assert_int_equal(job->dropped[REASON_CATCHUP_WINDOW], 240); /* 12:00 is an hour and half a minute old */
    assert_int_equal(job->dropped[REASON_CATCHUP_LIMIT], 50);
    assert_int_equal(job->range_total, 2);
}

static void test_all_beyond_the_window(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = job_of(sim, "0 * * * *", MISSED_POLICY_EXECUTE_ONE, 10, 10 * SECOND);
    sim_sleep(sim, 5 * HOUR + 30 * MINUTE);
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_count(sim, job, -1, -1), 0);
    assert_int_equal(job->dropped[REASON_CATCHUP_WINDOW], 5);
}

/* More catch-up than one decision holds: strictly in order of time, the mark never ahead of what was decided. */
static void test_catchup_limit_above_one_decision(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = job_of(sim, "* * * * * *", MISSED_POLICY_EXECUTE_ALL, 1300, 0);
    uint64_t before = sim->commands;
    sim_sleep(sim, HOUR);
    sim_run_for(sim, 30 * SECOND);
    assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, -1), 1300);
    assert_int_equal(job->skipped[REASON_MAX_CONCURRENT], sim_count(sim, job, -1, RUN_SKIPPED));
    assert_int_equal(job->dropped[REASON_CATCHUP_LIMIT], 3600 - 1300 - 11);
    assert_int_equal(sim_count(sim, job, TRIGGER_SCHEDULE, -1), 11 + 30);
    assert_true(sim->commands > before + 3);
    for (uint32_t i = 0; i < 1300; i++)
        assert_true(sim_nth(sim, job, TRIGGER_CATCHUP, i)->scheduled_ms ==
                    sim_nth(sim, job, TRIGGER_CATCHUP, 0)->scheduled_ms + i * SECOND);
}

static void test_more_on_time_than_one_decision(void **state)
{
    struct sim *sim = sim_new(4);
    sim->config.misfire_threshold_ms = HOUR;
    sim_rebuild(sim, false, false);
    sim_node_up(sim, "n1", 10000, NULL);
    struct sim_job *job = job_of(sim, "* * * * * *", MISSED_POLICY_IGNORE, 1, 0);
    sim_sleep(sim, 30 * MINUTE);
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_count(sim, job, TRIGGER_SCHEDULE, -1), 1801);
    assert_int_equal(job->range_total, 0);
    sim_free(sim);
    (void)state;
}

/* Longer than a turn's walk: other calls come between, nothing is decided early, nothing is lost. */
static void test_walk_over_several_turns(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = job_of(sim, "* * * * * *", MISSED_POLICY_EXECUTE_ONE, 1, 0);
    sim_sleep(sim, 6 * HOUR);
    sim_run_for(sim, 0);
    assert_true(sim->most_calls >= 6 * 3600 / WALK_INSTANTS_PER_TURN);
    assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, -1), 1);
    assert_int_equal(job->dropped[REASON_MISSED], 6 * 3600 - 12);
    sim_check_settled(sim);
}

static void test_walk_is_left_when_the_job_changes(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = job_of(sim, "* * * * * *", MISSED_POLICY_EXECUTE_ONE, 1, 0);
    const struct scheduler_command *commands;
    sim_sleep(sim, 6 * HOUR);
    assert_int_equal(scheduler_run(sim->scheduler, sim_now(sim), true, &commands), 0);
    assert_true(scheduler_next_ms(sim->scheduler) <= sim_now(sim)); /* there is more to do */
    assert_int_equal(sim_enable(sim, job, false), STATUS_BUSY);
    sim_rebuild(sim, false, false);
    sim_run_for(sim, 0);
    assert_int_equal(job->dropped[REASON_MISSED], 6 * 3600 - 12);
}

static void test_gap_at_the_limit_of_counting(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = job_of(sim, "* * * * * *", MISSED_POLICY_EXECUTE_ALL, 50, 0);
    sim_sleep(sim, (GAP_COUNT_MAX + 11 + 49) * SECOND); /* below the limit: exact */
    sim_run_for(sim, 0);
    assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, -1), 50);
    assert_int_equal(job->dropped[REASON_CATCHUP_LIMIT], GAP_COUNT_MAX - 1);
    assert_false(job->last_range.at_least);
}

static void test_gap_beyond_counting(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = job_of(sim, "* * * * * *", MISSED_POLICY_EXECUTE_ALL, 50, 0);
    sim_sleep(sim, 3 * DAY);
    sim_run_for(sim, 0);
    assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, -1), 50);
    assert_true(sim_nth(sim, job, TRIGGER_CATCHUP, 49)->scheduled_ms == SIM_START + 3 * DAY - SIM_MISFIRE_MS - SECOND);
    assert_true(job->last_range.at_least);
    assert_true(job->last_range.count >= GAP_COUNT_MAX);
    assert_true(sim->most_calls < 150);
    sim_check_settled(sim);
}

/* The newest missed slot lies far from where their mean distance says: it is found all the same. */
static void test_gap_beyond_counting_of_an_uneven_schedule(void **state)
{
    for (int policy = 0; policy < MISSED_POLICY_COUNT; policy++) {
        struct sim *sim = sim_new(5);
        sim_node_up(sim, "n1", 10000, NULL);
        /* Every second of Mondays; the test begins on a Friday and looks on a Thursday three weeks on. */
        struct sim_job *job = job_of(sim, "* * * * * MON", (enum missed_policy)policy, 700, 0);
        sim_sleep(sim, 20 * DAY);
        sim_run_for(sim, 0);
        int64_t last = SIM_START + 17 * DAY + 16 * HOUR - SECOND; /* Monday 23:59:59 */
        uint32_t wanted = policy == MISSED_POLICY_IGNORE ? 0 : policy == MISSED_POLICY_EXECUTE_ONE ? 1 : 700;
        assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, -1), wanted);
        for (uint32_t i = 0; i < wanted; i++)
            assert_true(sim_nth(sim, job, TRIGGER_CATCHUP, i)->scheduled_ms == last - (wanted - 1 - i) * SECOND);
        assert_true(job->last_range.count >= GAP_COUNT_MAX);
        sim_free(sim);
    }
    (void)state;
}

static void test_gap_beyond_counting_with_a_window(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = job_of(sim, "* * * * * *", MISSED_POLICY_EXECUTE_ALL, 50, 2 * DAY);
    sim_sleep(sim, 5 * DAY);
    sim_run_for(sim, 0);
    assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, -1), 50);
    assert_int_equal(job->range_total, 2);
    assert_true(job->dropped[REASON_CATCHUP_WINDOW] >= GAP_COUNT_MAX);
    assert_true(job->dropped[REASON_CATCHUP_LIMIT] >= GAP_COUNT_MAX);
    sim_check_settled(sim);
}

static void test_gap_beyond_counting_wholly_expired(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = job_of(sim, "* * * * * *", MISSED_POLICY_EXECUTE_ALL, 50, MINUTE);
    sim_sleep(sim, 5 * DAY);
    sim_run_for(sim, 0);
    assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, -1), 50);
    assert_true(job->dropped[REASON_CATCHUP_WINDOW] >= GAP_COUNT_MAX);
    assert_int_equal(job->dropped[REASON_CATCHUP_LIMIT], 0);
}

static void test_gap_again_and_again(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = job_of(sim, "*/7 * * * * *", MISSED_POLICY_EXECUTE_ALL, 20, 5 * MINUTE);
    for (uint32_t i = 0; i < 200; i++) {
        sim_sleep(sim, (int64_t)random_below(&sim->random, (uint64_t)(HOUR)));
        sim_run_for(sim, (int64_t)random_below(&sim->random, (uint64_t)(MINUTE)));
    }
    assert_true(job->slots > 10000); /* each of them accounted for by the model */
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_late_is_not_missed),
        TEST(test_gap_of_one),
        TEST(test_execute_one_takes_the_latest),
        TEST(test_execute_all_takes_the_newest_in_order),
        TEST(test_window_and_limit_give_two_ranges),
        TEST(test_all_beyond_the_window),
        TEST(test_catchup_limit_above_one_decision),
        TEST(test_more_on_time_than_one_decision),
        TEST(test_walk_over_several_turns),
        TEST(test_walk_is_left_when_the_job_changes),
        TEST(test_gap_at_the_limit_of_counting),
        TEST(test_gap_beyond_counting),
        TEST(test_gap_beyond_counting_of_an_uneven_schedule),
        TEST(test_gap_beyond_counting_with_a_window),
        TEST(test_gap_beyond_counting_wholly_expired),
        TEST(test_gap_again_and_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
