/* Which node a run goes to, and what becomes of it while there is none. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

static int setup(void **state)
{
    *state = sim_new(3);
    return 0;
}

static int teardown(void **state)
{
    sim_free(*state);
    return 0;
}

static struct job_spec tagged(const char *name, const char *tag)
{
    struct job_spec spec = sim_spec(name, "@manually");
    spec.concurrency = CONCURRENCY_ALLOW;
    if (tag != NULL)
        spec.node_tags[spec.node_tag_count++] = tag;
    return spec;
}

static struct sim_job *create(struct sim *sim, const char *name, const char *tag)
{
    struct job_spec spec = tagged(name, tag);
    return sim_create(sim, &spec);
}

static const struct sim_run *trigger(struct sim *sim, struct sim_job *job)
{
    struct id id;
    assert_int_equal(sim_trigger(sim, job, false, &id), STATUS_OK);
    sim_run_for(sim, SECOND);
    return sim_find(sim, &id);
}

static uint32_t waiting(const struct sim *sim)
{
    struct scheduler_stats stats;
    scheduler_stats_get(sim->scheduler, &stats);
    return stats.ready;
}

static void test_a_node_with_the_tags(void **state)
{
    struct sim *sim = *state;
    sim_node_up_tagged(sim, "n1", 4, NULL, "disk=hdd zone=a");
    sim_node_up_tagged(sim, "n2", 4, NULL, "disk=ssd zone=a");
    sim_node_up_tagged(sim, "n3", 4, NULL, "disk=ssd zone=b");
    struct job_spec both = tagged("both", "disk=ssd");
    both.node_tags[both.node_tag_count++] = "zone=b";
    struct sim_job *ssd = create(sim, "ssd", "disk=ssd"), *narrow = sim_create(sim, &both);
    for (int i = 0; i < 4; i++)
        assert_string_not_equal(trigger(sim, ssd)->node, "n1");
    for (int i = 0; i < 4; i++)
        assert_string_equal(trigger(sim, narrow)->node, "n3");
    sim_assert_all_ended(sim);
}

static void test_the_least_loaded_of_them(void **state)
{
    struct sim *sim = *state;
    uint32_t on_second = 0;
    sim_node_up(sim, "n1", 10, NULL);
    sim_node_up_tagged(sim, "n2", 10, NULL, "disk=ssd");
    sim_node_up_tagged(sim, "n3", 10, NULL, "disk=ssd");
    struct sim_job *job = create(sim, "a", "disk=ssd");
    sim->duration_ms = HOUR;
    for (int i = 0; i < 10; i++)
        on_second += strcmp(trigger(sim, job)->node, "n2") == 0;
    assert_int_equal(on_second, 5);
}

static void test_no_node_until_one_has_the_tags(void **state)
{
    struct sim *sim = *state;
    sim_node_up_tagged(sim, "n1", 1, NULL, "disk=ssd");
    struct sim_job *gpu = create(sim, "gpu", "gpu=yes"), *any = create(sim, "any", NULL);
    struct job_spec spec = tagged("scheduled", "gpu=yes");
    spec.schedules[0] = "0 * * * *";
    struct sim_job *scheduled = sim_create(sim, &spec);
    assert_int_equal(scheduler_waits_for(sim->scheduler, gpu->serial), REASON_NO_NODE);
    assert_int_equal(scheduler_waits_for(sim->scheduler, any->serial), REASON_NONE);
    const struct sim_run *waits = trigger(sim, gpu);
    for (int i = 0; i < 3; i++)
        assert_int_equal(trigger(sim, any)->status, RUN_SUCCESS); /* what is missing blocks no other */
    sim_run_for(sim, HOUR);
    assert_int_equal(waits->phase, PHASE_READY);
    assert_int_equal(sim_nth(sim, scheduled, -1, 0)->phase, PHASE_READY);
    assert_int_equal(sim_nth(sim, scheduled, -1, 0)->reason, REASON_NO_NODE);
    assert_int_equal(waiting(sim), 2);
    sim_check_settled(sim);
    sim_rebuild(sim, false, false); /* another leader knows as much */
    assert_int_equal(waiting(sim), 2);
    sim_node_up_tagged(sim, "n2", 4, NULL, "gpu=yes");
    sim_run_for(sim, SECOND);
    assert_string_equal(waits->node, "n2");
    sim_assert_all_ended(sim);
    assert_int_equal(waiting(sim), 0);
}

/* More different wishes than any table would hold, none of which is met; in the end a node comes for one of them. */
static void test_many_wishes(void **state)
{
    struct sim *sim = *state;
    static char tags[SIM_JOBS][NODE_TAG_TEXT_SIZE];
    const struct sim_run *runs[SIM_JOBS];
    sim_node_up(sim, "n1", 4, NULL);
    struct sim_job *any = create(sim, "any", NULL);
    for (uint32_t i = 1; i < SIM_JOBS; i++) {
        (void)snprintf(tags[i], sizeof tags[i], "only=%u.", i);
        runs[i] = trigger(sim, create(sim, tags[i], tags[i]));
    }
    assert_int_equal(trigger(sim, any)->status, RUN_SUCCESS);
    assert_int_equal(waiting(sim), SIM_JOBS - 1);
    sim_node_up_tagged(sim, "n2", 4, NULL, tags[SIM_JOBS - 1]);
    sim_run_for(sim, SECOND);
    assert_int_equal(runs[SIM_JOBS - 1]->status, RUN_SUCCESS);
    assert_int_equal(runs[1]->status, RUN_PENDING);
    assert_int_equal(waiting(sim), SIM_JOBS - 2);
}

/* A place that is freed goes to whoever has waited longest, whatever he asks for. */
static void test_those_who_wait_are_served_in_order(void **state)
{
    struct sim *sim = *state;
    const struct sim_run *runs[6];
    sim_node_up_tagged(sim, "n1", 1, NULL, "disk=ssd zone=a");
    struct sim_job *jobs[] = {create(sim, "a", NULL), create(sim, "b", "disk=ssd"), create(sim, "c", "zone=a")};
    sim->duration_ms = MINUTE;
    for (uint32_t i = 0; i < 6; i++)
        runs[i] = trigger(sim, jobs[i % 3]);
    sim_run_for(sim, 10 * MINUTE);
    sim_assert_all_ended(sim);
    for (uint32_t i = 1; i < 6; i++)
        assert_true(runs[i]->assigned_ms > runs[i - 1]->assigned_ms);
}

static void test_an_edit_moves_what_waits(void **state)
{
    struct sim *sim = *state;
    sim_node_up_tagged(sim, "n1", 4, NULL, "disk=hdd");
    struct sim_job *job = create(sim, "a", "disk=ssd");
    const struct sim_run *first = trigger(sim, job), *second = trigger(sim, job);
    assert_int_equal(waiting(sim), 2);
    struct job_spec other = tagged("a", "disk=nvme"), met = tagged("a", "disk=hdd");
    assert_int_equal(sim_edit(sim, job, &other, false), STATUS_OK);
    sim_run_for(sim, SECOND);
    assert_int_equal(waiting(sim), 2);
    sim_node_up_tagged(sim, "n2", 4, NULL, "disk=ssd"); /* what it asked for once */
    sim_run_for(sim, SECOND);
    assert_int_equal(first->phase, PHASE_READY);
    assert_int_equal(sim_edit(sim, job, &met, false), STATUS_OK);
    sim_run_for(sim, SECOND);
    assert_string_equal(first->node, "n1");
    assert_string_equal(second->node, "n1");
    sim_assert_all_ended(sim);
}

/* The run keeps the executor that it was decided for, and takes the placement of the job as it is now. */
static void test_an_edit_of_the_executor_leaves_what_waits(void **state)
{
    struct sim *sim = *state;
    sim_node_up(sim, "n1", 4, "http");
    struct sim_job *job = create(sim, "a", "disk=ssd");
    const struct sim_run *run = trigger(sim, job);
    struct job_spec edited = tagged("a", "zone=a");
    (void)snprintf(edited.executor, sizeof edited.executor, "http");
    assert_int_equal(sim_edit(sim, job, &edited, false), STATUS_OK);
    sim_node_up_tagged(sim, "n2", 4, "http", "disk=ssd zone=a");
    sim_node_up_tagged(sim, "n3", 4, "shell", "disk=ssd");
    sim_run_for(sim, SECOND);
    assert_int_equal(run->phase, PHASE_READY);
    sim_rebuild(sim, false, false);
    sim_run_for(sim, SECOND);
    assert_int_equal(run->phase, PHASE_READY);
    sim_node_up_tagged(sim, "n3", 4, "shell", "zone=a");
    sim_run_for(sim, SECOND);
    assert_string_equal(run->node, "n3");
    assert_string_equal(trigger(sim, job)->node, "n2");
}

/* One that waits for others of its job, and one that waits for its next attempt. */
static void test_an_edit_moves_what_will_wait(void **state)
{
    struct sim *sim = *state;
    sim_node_up_tagged(sim, "n1", 4, NULL, "disk=ssd");
    struct job_spec spec = tagged("a", "disk=ssd"), edited = tagged("a", "disk=hdd");
    spec.concurrency = edited.concurrency = CONCURRENCY_REPLACE;
    spec.retry = edited.retry = (struct job_retry){3, 10 * SECOND, 10 * SECOND, 1000, 0};
    struct sim_job *job = sim_create(sim, &spec);
    sim->fail_attempts = 1;
    const struct sim_run *run = trigger(sim, job);
    assert_int_equal(run->phase, PHASE_BACKOFF);
    assert_int_equal(sim_edit(sim, job, &edited, false), STATUS_OK);
    sim_run_for(sim, MINUTE);
    assert_int_equal(run->phase, PHASE_BACKOFF);
    sim_check_settled(sim);
    sim_node_up_tagged(sim, "n2", 4, NULL, "disk=hdd");
    sim->duration_ms = HOUR;
    sim_run_for(sim, SECOND);
    assert_string_equal(run->node, "n2");
    const struct sim_run *next = trigger(sim, job); /* replaces it */
    assert_int_equal(run->status, RUN_CANCELLED);
    assert_string_equal(next->node, "n2");
}

static void test_the_leader(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = tagged("a", NULL);
    spec.placement = PLACEMENT_LEADER;
    sim_node_up(sim, "n1", 4, NULL);
    sim_node_up(sim, "n2", 4, NULL);
    struct sim_job *job = sim_create(sim, &spec);
    for (int i = 0; i < 3; i++)
        assert_string_equal(trigger(sim, job)->node, "n1");
    sim->leader = "n2";
    sim_rebuild(sim, false, false);
    for (int i = 0; i < 3; i++)
        assert_string_equal(trigger(sim, job)->node, "n2");
    sim->leader = "n3"; /* which has not come up */
    sim_rebuild(sim, false, false);
    const struct sim_run *run = trigger(sim, job);
    assert_int_equal(scheduler_waits_for(sim->scheduler, job->serial), REASON_NO_NODE);
    assert_int_equal(run->phase, PHASE_READY);
    sim_node_up(sim, "n3", 4, NULL);
    sim_run_for(sim, SECOND);
    assert_string_equal(run->node, "n3");
}

/* Where a user's command is made on a node that does not lead, the leader may be any node. */
static void test_who_does_not_lead_does_not_know_the_leader(void **state)
{
    struct sim *sim = *state;
    struct job_spec spec = tagged("a", NULL);
    spec.placement = PLACEMENT_LEADER;
    sim->leader = "n9";
    sim_rebuild(sim, false, false);
    sim_node_up(sim, "n1", 4, NULL);
    struct sim_job *job = sim_create(sim, &spec);
    assert_int_equal(scheduler_waits_for(sim->scheduler, job->serial), REASON_NO_NODE);
    scheduler_lead(sim->scheduler, false);
    assert_int_equal(scheduler_waits_for(sim->scheduler, job->serial), REASON_NONE);
}

static void test_a_nodes_new_tags_count(void **state)
{
    struct sim *sim = *state;
    sim_node_up_tagged(sim, "n1", 4, NULL, "disk=ssd");
    struct sim_job *job = create(sim, "a", "disk=ssd");
    assert_int_equal(trigger(sim, job)->status, RUN_SUCCESS);
    sim_node_up_tagged(sim, "n1", 4, NULL, "disk=hdd");
    const struct sim_run *run = trigger(sim, job);
    assert_int_equal(run->phase, PHASE_READY);
    assert_int_equal(sim_delete(sim, job), STATUS_OK);
    assert_int_equal(run->status, RUN_CANCELLED);
    assert_int_equal(waiting(sim), 0);
}

/* As a snapshot brings it: what waited before is forgotten, what waits now is known. */
static void test_a_state_that_is_loaded_anew(void **state)
{
    struct sim *sim = *state;
    struct state_view view;
    sim_node_up(sim, "n1", 4, NULL);
    struct sim_job *job = create(sim, "a", "disk=ssd"), *gone = create(sim, "b", "disk=hdd");
    const struct sim_run *run = trigger(sim, job);
    (void)trigger(sim, gone);
    assert_int_equal(waiting(sim), 2);
    scheduler_lead(sim->scheduler, false);
    assert_int_equal(sim_delete(sim, gone), STATUS_OK);
    OK(state_view_begin(sim->state, &view, &failure));
    OK(scheduler_load(sim->scheduler, &view, &failure));
    state_view_end(&view);
    scheduler_lead(sim->scheduler, true);
    assert_int_equal(waiting(sim), 1);
    sim_check_settled(sim);
    sim_node_up_tagged(sim, "n2", 4, NULL, "disk=ssd");
    sim_run_for(sim, SECOND);
    assert_string_equal(run->node, "n2");
    sim_assert_all_ended(sim);
}

/* A run that was lost goes to another node with the tags, and to no other. */
static void test_a_takeover_keeps_to_the_tags(void **state)
{
    struct sim *sim = *state;
    sim_node_up_tagged(sim, "n1", 4, NULL, "disk=ssd");
    sim_node_up(sim, "n2", 4, NULL);
    struct sim_job *job = create(sim, "a", "disk=ssd");
    sim->duration_ms = HOUR;
    const struct sim_run *run = trigger(sim, job);
    sim_node_up(sim, "n1", 4, NULL); /* begins anew, without the tag */
    sim_run_for(sim, SECOND);
    assert_int_equal(run->phase, PHASE_READY);
    assert_int_equal(run->reason, REASON_NODE_RESTART);
    sim_node_up_tagged(sim, "n3", 4, NULL, "disk=ssd");
    sim_run_for(sim, SECOND);
    assert_string_equal(run->node, "n3");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_node_with_the_tags),
        TEST(test_the_least_loaded_of_them),
        TEST(test_no_node_until_one_has_the_tags),
        TEST(test_many_wishes),
        TEST(test_those_who_wait_are_served_in_order),
        TEST(test_an_edit_moves_what_waits),
        TEST(test_an_edit_of_the_executor_leaves_what_waits),
        TEST(test_an_edit_moves_what_will_wait),
        TEST(test_the_leader),
        TEST(test_who_does_not_lead_does_not_know_the_leader),
        TEST(test_a_nodes_new_tags_count),
        TEST(test_a_takeover_keeps_to_the_tags),
        TEST(test_a_state_that_is_loaded_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
