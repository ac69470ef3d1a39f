/* Placement `all`: a run on each node, which keep out of each other's way. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#define LEASE (30 * SECOND)

static int setup(void **state)
{
    struct sim *sim = sim_new(5);
    sim->lease_ms = LEASE;
    sim_node_up_tagged(sim, "n1", 10, NULL, "zone=a");
    sim_node_up_tagged(sim, "n2", 10, NULL, "zone=b");
    sim_node_up_tagged(sim, "n3", 10, NULL, "zone=a");
    *state = sim;
    return 0;
}

static int teardown(void **state)
{
    sim_free(*state);
    return 0;
}

static struct job_spec spec_of(const char *schedule, enum concurrency concurrency)
{
    struct job_spec spec = sim_spec("a", schedule);
    spec.placement = PLACEMENT_ALL;
    spec.concurrency = concurrency;
    spec.missed_policy = MISSED_POLICY_EXECUTE_ALL;
    return spec;
}

static struct sim_job *create(struct sim *sim, const char *schedule, enum concurrency concurrency)
{
    struct job_spec spec = spec_of(schedule, concurrency);
    return sim_create(sim, &spec);
}

/* The job's runs on that node that stand so; -1: any. */
static uint32_t count_on(const struct sim *sim, const struct sim_job *job, const char *node, int status)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < sim->run_count; i++) {
        const struct sim_run *run = sim->runs[i];
        count += run->serial == job->serial && strcmp(run->node, node) == 0 && (status < 0 || (int)run->status == status);
    }
    return count;
}

static void expect_on(const struct sim *sim, const struct sim_job *job, uint32_t n1, uint32_t n2, uint32_t n3, int status)
{
    assert_int_equal(count_on(sim, job, "n1", status), n1);
    assert_int_equal(count_on(sim, job, "n2", status), n2);
    assert_int_equal(count_on(sim, job, "n3", status), n3);
}

static struct sim_run *run_on(const struct sim *sim, const struct sim_job *job, const char *node, uint32_t n)
{
    for (uint32_t i = 0; i < sim->run_count; i++)
        if (sim->runs[i]->serial == job->serial && strcmp(sim->runs[i]->node, node) == 0 && n-- == 0)
            return sim->runs[i];
    fail_msg("no such run on %s", node);
    return NULL;
}

/* Those in the mask are heard, the others are not, for so long. */
static void beats(struct sim *sim, uint32_t heard, int64_t ms)
{
    const char *lost[COMMAND_NODES_MAX];
    for (int64_t at = 0; at < ms; at += LEASE / 10) {
        for (uint32_t i = 0; i < sim->node_count; i++)
            if (heard & 1U << i)
                assert_true(scheduler_node_beat(sim->scheduler, sim->nodes[i].name, sim->nodes[i].session, true, false, sim->real_ms));
        sim->poke |= scheduler_watch_leases(sim->scheduler, sim->real_ms, lost) > 0;
        sim_run_for(sim, LEASE / 10);
    }
}

static void test_each_slot_runs_on_each_node(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = create(sim, "* * * * *", CONCURRENCY_FORBID);
    sim_run_for(sim, 3 * MINUTE + SECOND);
    assert_int_equal(job->slots, 3);
    expect_on(sim, job, 3, 3, 3, RUN_SUCCESS);
    sim_check_settled(sim);
}

static void test_only_where_the_tags_are(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = spec_of("* * * * *", CONCURRENCY_FORBID);
    spec.node_tags[spec.node_tag_count++] = "zone=a";
    struct sim_job *job = sim_create(sim, &spec);
    sim_run_for(sim, 2 * MINUTE + SECOND);
    expect_on(sim, job, 2, 0, 2, RUN_SUCCESS);
    sim_node_up_tagged(sim, "n2", 10, NULL, "zone=a"); /* it has part from the next slot on */
    sim_run_for(sim, 2 * MINUTE);
    expect_on(sim, job, 4, 2, 4, RUN_SUCCESS);
}

static void test_a_trigger_is_a_run_on_each_node(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = create(sim, "@manually", CONCURRENCY_FORBID);
    struct id id;
    assert_int_equal(sim_trigger(sim, job, false, &id), STATUS_OK);
    sim_run_for(sim, SECOND);
    expect_on(sim, job, 1, 1, 1, RUN_SUCCESS);
    sim->duration_ms = HOUR;
    assert_int_equal(sim_trigger(sim, job, false, &id), STATUS_OK);
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_trigger(sim, job, false, &id), STATUS_OK);
    expect_on(sim, job, 1, 1, 1, RUN_PENDING);
    assert_int_equal(job->skipped[REASON_OVERLAP], 3);
    assert_int_equal(sim_trigger(sim, job, true, &id), STATUS_OK);
    sim_run_for(sim, SECOND);
    expect_on(sim, job, 2, 2, 2, RUN_PENDING);
}

/* A job that was seen with another placement than it has now. */
static void test_a_trigger_that_does_not_know_the_placement(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = create(sim, "@manually", CONCURRENCY_FORBID);
    struct id id;
    job->placement = PLACEMENT_ANY;
    assert_int_equal(sim_trigger(sim, job, false, &id), STATUS_STALE);
    struct job_spec other = sim_spec("a", "@manually");
    assert_int_equal(sim_edit(sim, job, &other, false), STATUS_OK);
    job->placement = PLACEMENT_ALL;
    assert_int_equal(sim_trigger(sim, job, false, &id), STATUS_STALE);
    assert_int_equal(sim->run_count, 0);
}

/* n2 takes its time; that is nothing to the others. */
static struct sim_job *with_a_slow_node(struct sim *sim, enum concurrency concurrency, uint32_t max_concurrent)
{
    struct job_spec spec = spec_of("* * * * *", concurrency);
    spec.max_concurrent = max_concurrent;
    struct sim_job *job = sim_create(sim, &spec);
    sim->slow_node = "n2";
    return job;
}

static void test_forbid_holds_on_each_node(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = with_a_slow_node(sim, CONCURRENCY_FORBID, 0);
    sim_run_for(sim, 5 * MINUTE + SECOND);
    expect_on(sim, job, 5, 0, 5, RUN_SUCCESS);
    assert_int_equal(count_on(sim, job, "n2", RUN_PENDING), 1);
    assert_int_equal(job->skipped[REASON_OVERLAP], 4);
    sim_check_settled(sim);
}

static void test_the_limit_holds_on_each_node(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = with_a_slow_node(sim, CONCURRENCY_ALLOW, 2);
    sim_run_for(sim, 5 * MINUTE + SECOND);
    expect_on(sim, job, 5, 0, 5, RUN_SUCCESS);
    assert_int_equal(count_on(sim, job, "n2", RUN_PENDING), 2);
    assert_int_equal(job->skipped[REASON_MAX_CONCURRENT], 3);
}

static void test_replace_holds_on_each_node(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = with_a_slow_node(sim, CONCURRENCY_REPLACE, 0);
    sim_run_for(sim, 5 * MINUTE + 10 * SECOND);
    expect_on(sim, job, 5, 0, 5, RUN_SUCCESS);
    expect_on(sim, job, 0, 4, 0, RUN_CANCELLED);
    assert_int_equal(count_on(sim, job, "n2", RUN_PENDING), 1);
    sim_check_settled(sim);
}

/* While the cancel does not get through newer runs take the place of the one that waits, on each node for itself. */
static void test_replace_supersedes_on_each_node(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = create(sim, "* * * * *", CONCURRENCY_REPLACE);
    sim->nodes_silent = true;
    sim_run_for(sim, 4 * MINUTE + SECOND);
    assert_int_equal(job->skipped[REASON_SUPERSEDED], 6);
    assert_int_equal(run_on(sim, job, "n2", 3)->phase, PHASE_WAITING);
    sim->nodes_silent = false;
    sim_attempt_seen(sim, run_on(sim, job, "n2", 0));
    sim_run_for(sim, 10 * SECOND);
    assert_int_equal(run_on(sim, job, "n2", 3)->status, RUN_SUCCESS);
    assert_int_equal(run_on(sim, job, "n1", 3)->phase, PHASE_WAITING);
}

/* What was missed comes one after the other on each node, and no node waits for another. */
static void test_catch_up_on_each_node(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = create(sim, "* * * * *", CONCURRENCY_FORBID);
    sim->duration_ms = 500;
    sim_sleep(sim, 10 * MINUTE + 30 * SECOND);
    sim_run_for(sim, 2 * SECOND);
    assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, -1), 30);
    sim_rebuild(sim, false, true);
    sim_run_for(sim, 20 * SECOND);
    expect_on(sim, job, 10, 10, 10, RUN_SUCCESS);
    assert_true(run_on(sim, job, "n1", 9)->ended_ms - run_on(sim, job, "n1", 0)->assigned_ms < 20 * SECOND);
    sim_check_settled(sim);
}

/* A long gap: what fits into a decision is counted in runs, not in slots. */
static void test_a_long_gap(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = spec_of("* * * * *", CONCURRENCY_FORBID);
    spec.catchup_limit = 300;
    struct sim_job *job = sim_create(sim, &spec);
    sim->duration_ms = 10;
    sim_sleep(sim, 8 * HOUR + 30 * SECOND);
    sim_run_for(sim, HOUR);
    assert_int_equal(job->dropped[REASON_CATCHUP_LIMIT], 180);
    assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, RUN_SUCCESS), 900);
    sim_check_settled(sim);
}

/* An edit carries the slots that were due, with the nodes that they are for. */
static void test_an_edit_loses_no_run(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = create(sim, "* * * * *", CONCURRENCY_FORBID);
    struct job_spec other = spec_of("@manually", CONCURRENCY_FORBID);
    sim_sleep(sim, MINUTE + SECOND);
    assert_int_equal(sim_edit(sim, job, &other, true), STATUS_OK);
    sim_run_for(sim, SECOND);
    expect_on(sim, job, 1, 1, 1, RUN_SUCCESS);
}

static void test_a_node_that_is_lost(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = create(sim, "@manually", CONCURRENCY_FORBID);
    struct id id;
    beats(sim, 7, LEASE);
    sim->duration_ms = HOUR;
    assert_int_equal(sim_trigger(sim, job, false, &id), STATUS_OK);
    beats(sim, 5, LEASE / 2);
    assert_int_equal(count_on(sim, job, "n2", RUN_PENDING), 1);
    beats(sim, 5, LEASE);
    const struct sim_run *run = run_on(sim, job, "n2", 0);
    assert_int_equal(run->status, RUN_LOST); /* though the job's policy is `retry` */
    assert_int_equal(run->reason, REASON_NODE_LOSS);
    expect_on(sim, job, 1, 0, 1, RUN_PENDING);
    assert_int_equal(sim_trigger(sim, job, true, &id), STATUS_OK); /* it has no part any more */
    expect_on(sim, job, 2, 1, 2, -1);
    sim_node_up_tagged(sim, "n2", 10, NULL, "");
    beats(sim, 7, LEASE);
    assert_int_equal(sim_trigger(sim, job, true, &id), STATUS_OK);
    expect_on(sim, job, 3, 2, 3, -1);
}

/* It waits for a place there; it will have none, and goes nowhere else. */
static void test_what_waits_for_a_node_that_is_lost(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = create(sim, "@manually", CONCURRENCY_ALLOW);
    struct id id;
    sim_node_up_tagged(sim, "n2", 1, NULL, "zone=b");
    beats(sim, 7, LEASE);
    sim->duration_ms = HOUR;
    for (int i = 0; i < 2; i++)
        assert_int_equal(sim_trigger(sim, job, false, &id), STATUS_OK);
    beats(sim, 7, LEASE / 10);
    assert_int_equal(run_on(sim, job, "n2", 1)->phase, PHASE_READY);
    sim_check_settled(sim);
    beats(sim, 5, 2 * LEASE);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(run_on(sim, job, "n2", i)->status, RUN_LOST);
        assert_int_equal(run_on(sim, job, "n2", i)->reason, REASON_NODE_LOSS);
    }
    expect_on(sim, job, 2, 0, 2, RUN_PENDING);
}

/* It is back within its lease: the run is made there again, and nowhere else. */
static void test_a_node_that_begins_anew(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = create(sim, "@manually", CONCURRENCY_FORBID);
    struct id id;
    sim->duration_ms = HOUR;
    assert_int_equal(sim_trigger(sim, job, false, &id), STATUS_OK);
    sim_run_for(sim, SECOND);
    sim_node_up_tagged(sim, "n2", 10, NULL, "zone=b");
    sim_run_for(sim, SECOND);
    const struct sim_run *run = run_on(sim, job, "n2", 0);
    assert_int_equal(run->phase, PHASE_RUNNING);
    assert_int_equal(run->attempt, 2);
    expect_on(sim, job, 1, 1, 1, RUN_PENDING);
    sim_node_up_tagged(sim, "n2", 0, NULL, "zone=b"); /* and now it goes down */
    sim_run_for(sim, SECOND);
    assert_int_equal(run->phase, PHASE_READY);
    sim_rebuild(sim, false, false);
    sim_run_for(sim, SECOND);
    assert_int_equal(run->phase, PHASE_READY);
    sim_node_up_tagged(sim, "n2", 10, NULL, "zone=b");
    sim_run_for(sim, SECOND);
    assert_int_equal(run->attempt, 3);
    sim_check_settled(sim);
}

/* No node matches: one run waits, and the first node that does has it. */
static void test_no_node(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = spec_of("@manually", CONCURRENCY_FORBID);
    spec.node_tags[spec.node_tag_count++] = "zone=c";
    struct sim_job *job = sim_create(sim, &spec);
    struct id id;
    assert_int_equal(sim_trigger(sim, job, false, &id), STATUS_OK);
    sim_run_for(sim, SECOND);
    struct sim_run *run = sim_find(sim, &id);
    assert_int_equal(run->phase, PHASE_READY);
    assert_int_equal(run->reason, REASON_NO_NODE);
    assert_int_equal(sim->run_count, 1);
    sim_rebuild(sim, false, false);
    sim->duration_ms = HOUR;
    sim_node_up_tagged(sim, "n1", 10, NULL, "zone=c");
    sim_node_up_tagged(sim, "n3", 10, NULL, "zone=c");
    sim_run_for(sim, SECOND);
    assert_string_equal(run->node, "n1");
    sim_node_up_tagged(sim, "n1", 0, NULL, "zone=c");
    sim_run_for(sim, SECOND);
    assert_int_equal(run->phase, PHASE_READY); /* it stays there */
    sim_check_settled(sim);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_slot_runs_on_each_node),
        TEST(test_only_where_the_tags_are),
        TEST(test_a_trigger_is_a_run_on_each_node),
        TEST(test_a_trigger_that_does_not_know_the_placement),
        TEST(test_forbid_holds_on_each_node),
        TEST(test_the_limit_holds_on_each_node),
        TEST(test_replace_holds_on_each_node),
        TEST(test_replace_supersedes_on_each_node),
        TEST(test_catch_up_on_each_node),
        TEST(test_a_long_gap),
        TEST(test_an_edit_loses_no_run),
        TEST(test_a_node_that_is_lost),
        TEST(test_what_waits_for_a_node_that_is_lost),
        TEST(test_a_node_that_begins_anew),
        TEST(test_no_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
