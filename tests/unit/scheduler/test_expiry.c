/* How long a run waits for a node that is not there: as long as the job's catch-up window lasts. */
#include "sim.h"

#include <string.h>

#define LEASE (30 * SECOND)

static int setup(void **state)
{
    *state = sim_new(8);
    return 0;
}

static int teardown(void **state)
{
    sim_free(*state);
    return 0;
}

static struct job_spec spec_of(const char *schedule, int64_t window_ms)
{
    struct job_spec spec = sim_spec("a", schedule);
    spec.concurrency = CONCURRENCY_ALLOW;
    spec.catchup_window_ms = window_ms;
    return spec;
}

static struct sim_run *trigger(struct sim *sim, struct sim_job *job)
{
    struct id id;
    assert_int_equal(sim_trigger(sim, job, false, &id), STATUS_OK);
    sim_run_for(sim, SECOND);
    return sim_find(sim, &id);
}

/* So long nobody is heard; nodes have leases. */
static void silence(struct sim *sim, int64_t ms)
{
    const char *lost[COMMAND_NODES_MAX];
    for (int64_t at = 0; at < ms; at += LEASE / 10) {
        sim->poke |= scheduler_watch_leases(sim->scheduler, sim->real_ms, lost) > 0;
        sim_run_for(sim, LEASE / 10);
    }
}

static void test_slots_are_skipped_when_their_time_is_over(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = spec_of("* * * * *", 5 * MINUTE);
    struct sim_job *job = sim_create(sim, &spec);
    sim_run_for(sim, 6 * MINUTE - SECOND);
    assert_int_equal(sim_count(sim, job, -1, RUN_PENDING), 5);
    assert_int_equal(job->skipped[REASON_CATCHUP_WINDOW], 0);
    sim_run_for(sim, 2 * SECOND);
    assert_int_equal(job->skipped[REASON_CATCHUP_WINDOW], 1);
    assert_int_equal(sim_nth(sim, job, -1, 0)->status, RUN_SKIPPED);
    sim_check_settled(sim);
    sim_rebuild(sim, false, false); /* another leader knows when */
    sim_run_for(sim, MINUTE);
    assert_int_equal(job->skipped[REASON_CATCHUP_WINDOW], 2);
    sim_node_up(sim, "n1", 10, NULL);
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_count(sim, job, -1, RUN_SUCCESS), 5);
}

static void test_an_unlimited_window(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = spec_of("@manually", 0), bounded = spec_of("@manually", HOUR);
    struct sim_job *job = sim_create(sim, &spec);
    struct sim_run *run = trigger(sim, job);
    sim_run_for(sim, 100 * DAY);
    assert_int_equal(run->phase, PHASE_READY);
    assert_int_equal(sim_edit(sim, job, &bounded, false), STATUS_OK); /* counts at once */
    sim_run_for(sim, SECOND);
    assert_int_equal(run->status, RUN_SKIPPED);
    assert_int_equal(run->reason, REASON_CATCHUP_WINDOW);
    run = trigger(sim, job);
    assert_int_equal(sim_edit(sim, job, &spec, false), STATUS_OK);
    sim_run_for(sim, 2 * HOUR);
    assert_int_equal(run->phase, PHASE_READY);
}

/* There is a node, and it has no room: that is another matter. */
static void test_a_node_that_is_full(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = spec_of("@manually", MINUTE);
    struct sim_job *job = sim_create(sim, &spec);
    sim_node_up(sim, "n1", 1, NULL);
    sim->duration_ms = HOUR;
    (void)trigger(sim, job);
    struct sim_run *second = trigger(sim, job);
    sim_run_for(sim, 10 * MINUTE);
    assert_int_equal(second->phase, PHASE_READY);
    sim_run_for(sim, HOUR);
    assert_int_equal(second->phase, PHASE_RUNNING);
}

/* Not reached is not gone: it may be back, until its lease is over. */
static void test_a_node_that_is_silent(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = spec_of("@manually", 10 * SECOND);
    struct sim_job *job = sim_create(sim, &spec);
    sim->lease_ms = LEASE;
    sim_node_up(sim, "n1", 1, NULL);
    assert_true(scheduler_node_beat(sim->scheduler, "n1", sim->nodes[0].session, true, false, sim->real_ms));
    scheduler_node_silent(sim->scheduler, "n1");
    struct sim_run *run = trigger(sim, job);
    silence(sim, LEASE);
    assert_int_equal(run->phase, PHASE_READY);
    silence(sim, LEASE);
    assert_int_equal(run->status, RUN_SKIPPED);
    assert_int_equal(run->attempt, 0);
}

/* What was tried already ends as it was tried. */
static void test_a_retry_without_a_node(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = spec_of("@manually", HOUR);
    spec.retry = (struct job_retry){3, 10 * MINUTE, 10 * MINUTE, 1000, 0};
    spec.node_tags[spec.node_tag_count++] = "disk=ssd";
    struct sim_job *job = sim_create(sim, &spec);
    sim_node_up_tagged(sim, "n1", 1, NULL, "disk=ssd");
    sim->fail_attempts = 1;
    struct sim_run *failed = trigger(sim, job);
    sim->duration_ms = HOUR;
    sim->fail_attempts = 0;
    struct sim_run *lost = trigger(sim, job);
    sim_node_up(sim, "n1", 1, NULL); /* begins anew, without the tag */
    sim_run_for(sim, 50 * MINUTE);
    assert_int_equal(failed->phase, PHASE_BACKOFF); /* until there is a node for it */
    assert_int_equal(lost->phase, PHASE_READY);
    sim_run_for(sim, 11 * MINUTE);
    assert_int_equal(failed->status, RUN_FAILED);
    assert_int_equal(failed->reason, REASON_CATCHUP_WINDOW);
    assert_int_equal(lost->status, RUN_LOST);
    assert_int_equal(lost->reason, REASON_CATCHUP_WINDOW);
}

/* Catch-up under `forbid`: one waits for a node, the others for that one; each has its own time. */
static void test_runs_that_wait_for_others(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = spec_of("* * * * *", 30 * MINUTE);
    spec.concurrency = CONCURRENCY_FORBID;
    spec.missed_policy = MISSED_POLICY_EXECUTE_ALL;
    struct sim_job *job = sim_create(sim, &spec);
    sim_sleep(sim, 10 * MINUTE + 30 * SECOND);
    sim_run_for(sim, SECOND);
    assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, RUN_PENDING), 10);
    sim_run_for(sim, 25 * MINUTE);
    assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, RUN_SKIPPED), 5);
    assert_int_equal(job->skipped[REASON_CATCHUP_WINDOW], 5);
    sim_check_settled(sim);
    sim_node_up(sim, "n1", 10, NULL);
    sim->duration_ms = 100;
    sim_run_for(sim, MINUTE);
    assert_int_equal(sim_count(sim, job, TRIGGER_CATCHUP, RUN_SUCCESS), 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_slots_are_skipped_when_their_time_is_over),
        TEST(test_an_unlimited_window),
        TEST(test_a_node_that_is_full),
        TEST(test_a_node_that_is_silent),
        TEST(test_a_retry_without_a_node),
        TEST(test_runs_that_wait_for_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
