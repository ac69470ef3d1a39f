/* Slots fire at their time, once, whatever the clock does. */
#include "sim.h"

#include <stdio.h>

#include "state/command_decode.h"

static int setup(void **state)
{
    struct sim *sim = sim_new(11);
    sim_node_up(sim, "n1", 64, NULL);
    *state = sim;
    return 0;
}

static int teardown(void **state)
{
    sim_free(*state);
    return 0;
}

static void test_cron_fires_exactly_at_its_time(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = sim_spec("minutely", "* * * * *");
    struct sim_job *job = sim_create(sim, &spec);
    sim_run_for(sim, 10 * MINUTE);
    assert_int_equal(sim_count(sim, job, TRIGGER_SCHEDULE, RUN_SUCCESS), 9); /* the tenth has only begun */
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_count(sim, job, TRIGGER_SCHEDULE, RUN_SUCCESS), 10);
    for (uint32_t i = 0; i < 10; i++) {
        struct sim_run *run = sim_nth(sim, job, TRIGGER_SCHEDULE, i);
        assert_true(run->scheduled_ms == SIM_START + (i + 1) * MINUTE);
        assert_true(run->created_ms == run->scheduled_ms);
        assert_true(run->assigned_ms == run->scheduled_ms); /* placed with the decision */
        assert_int_equal(run->starts, 1);
    }
    sim_check_settled(sim);
    sim_check_state(sim);
}

static void test_seconds_with_delayed_commits(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = sim_spec("secondly", "* * * * * *");
    spec.concurrency = CONCURRENCY_ALLOW;
    struct sim_job *job = sim_create(sim, &spec);
    sim->delay_ms = 2500; /* a commit takes longer than the schedule's step */
    sim_run_for(sim, MINUTE);
    sim->delay_ms = 0;
    sim_run_for(sim, 5 * SECOND);
    assert_int_equal(sim_count(sim, job, TRIGGER_SCHEDULE, -1), 65);
    assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, -1), 0);
    assert_int_equal(sim->stale, 0);
}

static void test_every_counts_from_creation(void **state)
{
    struct sim *sim = *state;
    sim_run_for(sim, 1234);
    struct job_spec spec = sim_spec("every", "@every 90s");
    struct sim_job *job = sim_create(sim, &spec);
    sim_run_for(sim, 10 * MINUTE);
    assert_int_equal(sim_count(sim, job, -1, -1), 6);
    sim_rebuild(sim, false, false); /* not anchored at an election */
    sim_run_for(sim, 3 * MINUTE);
    assert_int_equal(sim_count(sim, job, -1, -1), 8);
    for (uint32_t i = 0; i < 8; i++)
        assert_true(sim_nth(sim, job, -1, i)->created_ms == SIM_START + 1234 + (i + 1) * 90 * SECOND);
}

static void test_at_fires_once_and_disables(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = sim_spec("once", "@at 2027-01-15T08:30:00Z");
    struct sim_job *job = sim_create(sim, &spec);
    sim_run_for(sim, 30 * MINUTE - 1);
    assert_int_equal(sim_count(sim, job, -1, -1), 0);
    assert_true(job->enabled);
    sim_run_for(sim, 1);
    assert_int_equal(sim_count(sim, job, -1, -1), 1);
    assert_true(sim_nth(sim, job, -1, 0)->created_ms == SIM_START + 30 * MINUTE);
    assert_false(job->enabled);
    sim_run_for(sim, DAY);
    assert_int_equal(sim_count(sim, job, -1, RUN_SUCCESS), 1);
    int64_t next;
    assert_false(scheduler_job_next(sim->scheduler, job->serial, &next));
    sim_check_settled(sim);
}

static void test_at_members_disable_after_the_last(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = sim_spec("twice", "@at 2027-01-15T08:10:00Z");
    spec.schedules[1] = "@at 2027-01-15T08:20:00Z";
    spec.schedule_count = 2;
    struct sim_job *job = sim_create(sim, &spec);
    sim_run_for(sim, 15 * MINUTE);
    assert_true(job->enabled);
    sim_run_for(sim, 15 * MINUTE);
    assert_false(job->enabled);
    assert_int_equal(sim_count(sim, job, -1, RUN_SUCCESS), 2);
}

static void test_missed_at_under_each_policy(void **state)
{
    struct sim *sim = *state;
    struct sim_job *jobs[3];
    for (int policy = 0; policy < 3; policy++) {
        char name[] = {'j', (char)('0' + policy), '\0'};
        struct job_spec spec = sim_spec(name, "@at 2027-01-15T08:10:00Z");
        spec.missed_policy = (enum missed_policy)policy;
        jobs[policy] = sim_create(sim, &spec);
    }
    sim_sleep(sim, HOUR);
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_count(sim, jobs[MISSED_POLICY_EXECUTE_ONE], TRIGGER_CATCHUP, RUN_SUCCESS), 1);
    assert_int_equal(sim_count(sim, jobs[MISSED_POLICY_EXECUTE_ALL], TRIGGER_CATCHUP, RUN_SUCCESS), 1);
    assert_int_equal(sim_count(sim, jobs[MISSED_POLICY_IGNORE], -1, -1), 0);
    assert_int_equal(jobs[MISSED_POLICY_IGNORE]->dropped[REASON_IGNORED], 1);
    for (int policy = 0; policy < 3; policy++)
        assert_false(jobs[policy]->enabled);
}

static void test_union_fires_equal_instants_once(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = sim_spec("union", "*/10 * * * *");
    spec.schedules[1] = "*/15 * * * *";
    spec.schedule_count = 2;
    struct sim_job *job = sim_create(sim, &spec);
    sim_run_for(sim, HOUR + SECOND);
    assert_int_equal(sim_count(sim, job, -1, RUN_SUCCESS), 8); /* 10 15 20 30 40 45 50 00 */
}

static void test_manual_only(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = sim_spec("manual", "@manually");
    struct sim_job *job = sim_create(sim, &spec);
    struct id execution;
    sim_run_for(sim, DAY);
    assert_int_equal(sim_count(sim, job, -1, -1), 0);
    assert_int_equal(sim_trigger(sim, job, false, &execution), STATUS_OK);
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_find(sim, &execution)->status, RUN_SUCCESS);
}

static void test_clock_steps_back(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = sim_spec("minutely", "* * * * *");
    struct sim_job *job = sim_create(sim, &spec);
    sim_run_for(sim, 30 * MINUTE + SECOND);
    assert_int_equal(sim_count(sim, job, -1, -1), 30);
    sim->skew_ms = -20 * MINUTE;
    sim_run_for(sim, 20 * MINUTE - 2 * SECOND); /* nothing fires twice */
    assert_int_equal(sim_count(sim, job, -1, -1), 30);
    sim_rebuild(sim, false, false);
    sim_run_for(sim, MINUTE + 2 * SECOND); /* and what comes after the mark fires at its time */
    assert_int_equal(sim_count(sim, job, -1, -1), 31);
    sim_check_settled(sim);
}

static void test_clock_steps_forward(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = sim_spec("minutely", "* * * * *");
    struct sim_job *job = sim_create(sim, &spec);
    sim_run_for(sim, 5 * MINUTE + SECOND);
    sim->skew_ms = HOUR; /* a gap like any other: the slot of this very minute, and the latest of 59 missed ones */
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_count(sim, job, TRIGGER_SCHEDULE, RUN_SUCCESS), 6);
    assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, RUN_SUCCESS), 1);
    assert_int_equal(job->dropped[REASON_MISSED], 58);
    sim_run_for(sim, MINUTE);
    assert_int_equal(sim_count(sim, job, TRIGGER_SCHEDULE, -1), 7);
}

static void test_many_jobs_at_one_instant(void **state)
{
    struct sim *sim = *state;
    for (uint32_t i = 0; i < SIM_JOBS; i++) {
        char name[] = {'j', (char)('a' + i / 26), (char)('a' + i % 26), '\0'};
        struct job_spec spec = sim_spec(name, "0 * * * *");
        (void)sim_create(sim, &spec);
    }
    uint64_t before = sim->commands;
    sim_run_for(sim, HOUR);
    assert_int_equal(sim->commands, before + 1); /* one entry for all of them */
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_count(sim, NULL, -1, RUN_SUCCESS), SIM_JOBS);
}

static uint32_t decisions_in(struct bytes command)
{
    struct placement_node nodes[COMMAND_NODES_MAX];
    struct reader r = command_body(command);
    (void)take_nodes(&r, nodes);
    return take_u32(&r);
}

static void create_many(struct sim *sim, uint32_t count, const struct job_spec *like)
{
    for (uint32_t i = 0; i < count; i++) {
        struct job_spec spec = *like;
        (void)snprintf(spec.name, sizeof spec.name, "many-%u", i);
        (void)sim_create(sim, &spec);
    }
}

/* Entries are closed at DECISIONS_PER_ENTRY_MAX decisions, or slots; either keeps them far below DECISION_ENTRY_BYTES_MAX,
 * also where each decision has all that it can have: a slot, and ranges that are too old and too many. */
static void test_an_entry_has_limits(void **state)
{
    struct sim *sim = *state;
    const struct scheduler_command *commands;
    struct job_spec spec = sim_spec("", "0 * * * *");
    spec.missed_policy = MISSED_POLICY_EXECUTE_ALL;
    spec.catchup_window_ms = 2 * HOUR + MINUTE;
    spec.catchup_limit = 1;
    create_many(sim, DECISIONS_PER_ENTRY_MAX + 1, &spec);
    assert_int_equal(scheduler_run(sim->scheduler, SIM_START + 10 * HOUR + HOUR / 2, true, &commands), 2);
    assert_int_equal(decisions_in(commands[0].command), DECISIONS_PER_ENTRY_MAX);
    assert_int_equal(decisions_in(commands[1].command), 1);
    assert_in_range(commands[0].command.size, DECISION_ENTRY_BYTES_MAX / 4, DECISION_ENTRY_BYTES_MAX);
}

static void test_an_entry_has_a_limit_of_slots(void **state)
{
    struct sim *sim = *state;
    const struct scheduler_command *commands;
    struct job_spec spec = sim_spec("", "* * * * *");
    spec.concurrency = CONCURRENCY_ALLOW;
    spec.missed_policy = MISSED_POLICY_EXECUTE_ALL;
    spec.catchup_limit = DECISIONS_PER_ENTRY_MAX / 2;
    create_many(sim, 3, &spec);
    assert_int_equal(scheduler_run(sim->scheduler, SIM_START + DECISIONS_PER_ENTRY_MAX * MINUTE, true, &commands), 2);
    assert_int_equal(decisions_in(commands[0].command), 2);
    assert_int_equal(decisions_in(commands[1].command), 1);
    assert_true(commands[0].command.size < DECISION_ENTRY_BYTES_MAX);
}

/* Other tzdata: the job is kept, and decides nothing. */
static enum status no_zone(void *arg, const char *name, struct buffer *out, struct error *err)
{
    (void)arg;
    (void)out;
    return error_set(err, STATUS_NOT_FOUND, "no zone %s", name);
}

static void test_a_job_of_an_unknown_zone_is_held(void **state)
{
    struct sim *sim = *state;
    struct scheduler *other = NULL;
    struct scheduler_config config = sim->config;
    struct scheduler_stats stats;
    const struct scheduler_command *commands;
    int64_t next;
    struct job_spec spec = sim_spec("a", "* * * * *");
    struct buffer row;
    spec.serial = 99;
    (void)snprintf(spec.timezone, sizeof spec.timezone, "Europe/Berlin");
    spec.version = 1;
    config.zones = (struct zone_loader){.load = no_zone};
    OK(scheduler_new(&config, &other, &failure));
    buffer_init(&row, 4096);
    job_spec_encode(&spec, &row);
    struct state_change change = {.kind = CHANGE_JOB, .serial = 99, .marks = {.mark_ms = SIM_START}, .row = buffer_bytes(&row)};
    scheduler_lead(other, true);
    scheduler_change(other, &change);
    assert_string_not_equal(scheduler_job_held(other, 99), "");
    assert_false(scheduler_job_next(other, 99, &next));
    scheduler_stats_get(other, &stats);
    assert_int_equal(stats.jobs_held, 1);
    assert_int_equal(scheduler_run(other, SIM_START + DAY, true, &commands), 0);
    buffer_clear(&row);
    (void)snprintf(spec.timezone, sizeof spec.timezone, "UTC"); /* mended by an edit */
    job_spec_encode(&spec, &row);
    change.row = buffer_bytes(&row);
    scheduler_change(other, &change);
    assert_string_equal(scheduler_job_held(other, 99), "");
    assert_true(scheduler_job_next(other, 99, &next));
    scheduler_stats_get(other, &stats);
    assert_int_equal(stats.jobs_held, 0);
    assert_int_equal(scheduler_run(other, SIM_START + DAY, true, &commands), 0); /* a walk under way */
    while (scheduler_run(other, SIM_START + DAY, true, &commands) == 0)
        ;
    buffer_deinit(&row);
    scheduler_free(other);
}

static void test_not_leading_says_nothing(void **state)
{
    struct sim *sim = *state;
    const struct scheduler_command *commands;
    struct job_spec spec = sim_spec("minutely", "* * * * *");
    (void)sim_create(sim, &spec);
    scheduler_lead(sim->scheduler, false);
    assert_int_equal(scheduler_run(sim->scheduler, SIM_START + HOUR, true, &commands), 0);
    assert_true(scheduler_next_ms(sim->scheduler) == INT64_MAX);
    scheduler_lead(sim->scheduler, true);
    assert_int_equal(scheduler_run(sim->scheduler, SIM_START + HOUR, true, &commands), 1);
    uint64_t token = commands[0].token;
    scheduler_lead(sim->scheduler, false); /* lets go of what was on its way */
    scheduler_lead(sim->scheduler, true);
    scheduler_result(sim->scheduler, token, STATUS_OK, NULL, SIM_START + HOUR); /* of an earlier leadership: nothing */
    assert_int_equal(scheduler_run(sim->scheduler, SIM_START + HOUR, true, &commands), 1);
    assert_int_equal(scheduler_run(sim->scheduler, SIM_START + HOUR, true, &commands), 0); /* one decision at a time */
    scheduler_result(sim->scheduler, UINT64_MAX, STATUS_OK, NULL, SIM_START + HOUR);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_cron_fires_exactly_at_its_time),
        TEST(test_seconds_with_delayed_commits),
        TEST(test_every_counts_from_creation),
        TEST(test_at_fires_once_and_disables),
        TEST(test_at_members_disable_after_the_last),
        TEST(test_missed_at_under_each_policy),
        TEST(test_union_fires_equal_instants_once),
        TEST(test_manual_only),
        TEST(test_clock_steps_back),
        TEST(test_clock_steps_forward),
        TEST(test_many_jobs_at_one_instant),
        TEST(test_an_entry_has_limits),
        TEST(test_an_entry_has_a_limit_of_slots),
        TEST(test_a_job_of_an_unknown_zone_is_held),
        TEST(test_not_leading_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
