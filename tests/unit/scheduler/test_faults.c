/* Refusals, slow commits, new leaders: everything owed is owed again, nothing happens twice, nothing spins. */
#include "sim.h"

#include <stdio.h>

static int setup(void **state)
{
    struct sim *sim = sim_new(16);
    sim_node_up(sim, "n1", 50, NULL);
    *state = sim;
    return 0;
}

static int teardown(void **state)
{
    sim_free(*state);
    return 0;
}

static void some_jobs(struct sim *sim, uint32_t count, const char *schedule)
{
    for (uint32_t i = 0; i < count; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "job%u", i);
        struct job_spec spec = sim_spec(name, schedule);
        spec.missed_policy = MISSED_POLICY_EXECUTE_ALL;
        spec.concurrency = (enum concurrency)(i % CONCURRENCY_COUNT);
        spec.retry.max_attempts = 3;
        (void)sim_create(sim, &spec);
    }
}

static void test_all_refused_for_a_while(void **state)
{
    struct sim *sim = *state;
    some_jobs(sim, 12, "* * * * *");
    sim->fail_attempts = 1;
    sim_run_for(sim, 5 * MINUTE + 300);
    uint64_t before = sim->commands;
    sim->refuse = STATUS_DISK_FULL;
    sim_run_for(sim, 5 * MINUTE);
    assert_in_range(sim->commands - before, 1, 5 * 60 * 8); /* a few each second, no storm */
    sim->refuse = STATUS_OK;
    sim_run_for(sim, 2 * MINUTE);
    sim_check_settled(sim);
    for (uint32_t i = 0; i < 12; i++)
        assert_int_equal(sim->jobs[i].slots, 12);
    assert_int_equal(sim->stale, 0);
}

/* What was refused is owed again although nothing changes: an assignment, a close. */
static void test_refused_without_any_change(void **state)
{
    struct sim *sim = *state;
    struct id id;
    some_jobs(sim, 1, "@manually");
    sim->duration_ms = HOUR;
    sim->refuse = STATUS_OVERLOADED;
    assert_int_equal(sim_trigger(sim, &sim->jobs[0], false, &id), STATUS_OK);
    sim_run_for(sim, 10 * SECOND);
    assert_int_equal(sim_find(sim, &id)->phase, PHASE_READY);
    sim->refuse = STATUS_OK;
    sim_run_for(sim, 2 * SECOND);
    assert_int_equal(sim_find(sim, &id)->phase, PHASE_RUNNING);
    sim->refuse = STATUS_OVERLOADED;
    sim_node_up(sim, "n1", 50, NULL); /* the run's session is over */
    sim_run_for(sim, 10 * SECOND);
    assert_int_equal(sim_find(sim, &id)->attempt, 1);
    sim->refuse = STATUS_OK;
    sim_run_for(sim, 3 * SECOND);
    assert_int_equal(sim_find(sim, &id)->attempt, 2);
    sim_check_settled(sim);
}

/* The disk is critical: no slot is decided, open runs go on, the marks stay. */
static void test_no_slots_while_the_disk_is_critical(void **state)
{
    struct sim *sim = *state;
    some_jobs(sim, 3, "* * * * *");
    struct id id;
    sim->no_slots = true;
    sim_run_for(sim, 5 * MINUTE);
    assert_int_equal(sim->run_count, 0);
    assert_int_equal(sim_trigger(sim, &sim->jobs[0], false, &id), STATUS_OK);
    sim_run_for(sim, 5 * SECOND);
    assert_int_equal(sim_find(sim, &id)->status, RUN_SUCCESS);
    assert_true(sim->jobs[0].mark_ms == SIM_START);
    sim->no_slots = false;
    sim_run_for(sim, 10 * SECOND);
    assert_int_equal(sim->jobs[0].slots, 5);
    sim_check_settled(sim);
}

static void test_new_leader_with_decisions_applied(void **state)
{
    struct sim *sim = *state;
    some_jobs(sim, 9, "*/20 * * * * *");
    sim->delay_ms = 700;
    sim_run_for(sim, 300);
    for (uint32_t i = 0; i < 50; i++) {
        sim_run_for(sim, 20 * SECOND); /* the decisions are on their way */
        sim_rebuild(sim, false, i % 2 == 0);
    }
    sim_run_for(sim, 20 * SECOND);
    sim_check_settled(sim);
    assert_int_equal(sim->stale, 0);
}

/* Decisions of an earlier leader arrive late, behind those of the new one: void. */
static void test_late_decisions_are_stale(void **state)
{
    struct sim *sim = *state;
    some_jobs(sim, 9, "*/20 * * * * *");
    sim->delay_ms = 700;
    sim_run_for(sim, 300);
    for (uint32_t i = 0; i < 50; i++) {
        sim_run_for(sim, 20 * SECOND); /* the decisions are on their way */
        sim_rebuild(sim, true, false);
    }
    sim_run_for(sim, 20 * SECOND);
    sim_check_settled(sim);
    assert_true(sim->stale > 10);
}

/* All places for commands on their way are taken: the scheduler waits for a result instead of asking to be called. */
static void test_no_spin_when_nothing_more_can_be_on_its_way(void **state)
{
    struct sim *sim = *state;
    const struct scheduler_command *commands;
    uint64_t tokens[1024];
    uint32_t taken = 0, count;
    for (uint32_t wave = 0; wave < 5; wave++) { /* each job decided alone, so that each takes a command of its own */
        for (uint32_t i = 0; i < 60; i++) {
            struct job_spec spec = sim_spec("x", "* * * * *");
            struct buffer row;
            spec.serial = 1000 + wave * 60 + i;
            spec.version = 1;
            buffer_init(&row, 4096);
            job_spec_encode(&spec, &row);
            struct state_change change = {.kind = CHANGE_JOB, .serial = spec.serial, .marks = {.mark_ms = SIM_START},
                                          .row = buffer_bytes(&row)};
            scheduler_change(sim->scheduler, &change);
            buffer_deinit(&row);
            count = scheduler_run(sim->scheduler, SIM_START + MINUTE, true, &commands);
            for (uint32_t c = 0; c < count; c++)
                tokens[taken++] = commands[c].token;
        }
    }
    assert_int_equal(taken, 256);
    assert_true(scheduler_next_ms(sim->scheduler) == INT64_MAX);
    scheduler_result(sim->scheduler, tokens[7], STATUS_OVERLOADED, NULL, SIM_START + MINUTE);
    assert_true(scheduler_next_ms(sim->scheduler) <= SIM_START + MINUTE);
    assert_int_equal(scheduler_run(sim->scheduler, SIM_START + MINUTE, true, &commands), 1);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_all_refused_for_a_while),
        TEST(test_refused_without_any_change),
        TEST(test_no_slots_while_the_disk_is_critical),
        TEST(test_new_leader_with_decisions_applied),
        TEST(test_late_decisions_are_stale),
        TEST(test_no_spin_when_nothing_more_can_be_on_its_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
