/* Nodes that fall silent: what they were given stays theirs until their lease is over, and then goes to others. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#define LEASE (30 * SECOND)
#define TENTH (LEASE / 10)

/* Two nodes, and five long runs of which each has some; the monotonic clock is the sim's own. */
static int setup(void **state)
{
    struct sim *sim = sim_new(21);
    sim->lease_ms = LEASE;
    sim_node_up(sim, "n1", 10, NULL);
    sim_node_up(sim, "n2", 10, NULL);
    sim->duration_ms = HOUR;
    *state = sim;
    return 0;
}

static int teardown(void **state)
{
    sim_free(*state);
    return 0;
}

static void beat(struct sim *sim, uint32_t node)
{
    assert_true(scheduler_node_beat(sim->scheduler, sim->nodes[node].name, sim->nodes[node].session, true, false, sim->real_ms));
}

/* A tenth of a lease passes; `beating` is a mask of the nodes that are heard. */
static uint32_t tenth(struct sim *sim, uint32_t beating)
{
    const char *lost[COMMAND_NODES_MAX];
    for (uint32_t i = 0; i < sim->node_count; i++)
        if (beating & 1u << i)
            beat(sim, i);
    uint32_t count = scheduler_watch_leases(sim->scheduler, sim->real_ms, lost);
    sim->poke |= count > 0;
    sim_run_for(sim, TENTH);
    return count;
}

static struct sim_job *manual(struct sim *sim, enum node_loss_policy policy)
{
    struct job_spec spec = sim_spec("long", "@manually");
    spec.concurrency = CONCURRENCY_ALLOW;
    spec.max_concurrent = 100;
    spec.on_node_loss = policy;
    return sim_create(sim, &spec);
}

static void trigger(struct sim *sim, struct sim_job *job, uint32_t count)
{
    struct id id;
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(sim_trigger(sim, job, false, &id), STATUS_OK);
    sim_run_for(sim, SECOND);
}

static uint32_t on_node(struct sim *sim, const char *name)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < sim->run_count; i++)
        count += sim->runs[i]->status == RUN_PENDING && strcmp(sim->runs[i]->node, name) == 0;
    return count;
}

static void test_a_lost_node_is_written_off_after_its_lease(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = manual(sim, NODE_LOSS_RETRY);
    (void)tenth(sim, 3);
    trigger(sim, job, 6);
    assert_int_equal(on_node(sim, "n1"), 3);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(tenth(sim, 2), 0); /* a tenth longer than the lease itself */
    assert_int_equal(on_node(sim, "n1"), 3);
    assert_int_equal(tenth(sim, 2), 1);
    assert_int_equal(on_node(sim, "n1"), 0);
    assert_int_equal(on_node(sim, "n2"), 6);
    assert_int_equal(sim_nth(sim, job, -1, 0)->attempt + sim_nth(sim, job, -1, 1)->attempt, 3);
}

static void test_at_most_once_is_lost(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = manual(sim, NODE_LOSS_FAIL);
    (void)tenth(sim, 3);
    trigger(sim, job, 2);
    for (uint32_t i = 0; i < 12; i++)
        (void)tenth(sim, 2);
    assert_int_equal(sim_count(sim, job, -1, RUN_LOST), 1);
    struct sim_run *lost = sim_nth(sim, job, -1, sim_nth(sim, job, -1, 0)->status == RUN_LOST ? 0 : 1);
    assert_int_equal(lost->reason, REASON_NODE_LOSS);
}

/* It was written off, so its session is over: another leader may give its runs away at any moment. */
static void test_a_session_that_is_over_stays_so(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = manual(sim, NODE_LOSS_RETRY);
    (void)tenth(sim, 3);
    for (uint32_t i = 0; i < 12; i++)
        (void)tenth(sim, 2);
    assert_false(scheduler_node_beat(sim->scheduler, "n1", sim->nodes[0].session, true, false, sim->real_ms));
    trigger(sim, job, 4);
    assert_int_equal(on_node(sim, "n1"), 0);
    sim_node_up(sim, "n1", 10, NULL);
    trigger(sim, job, 4);
    assert_int_equal(on_node(sim, "n1"), 4);
    beat(sim, 0);
}

static void test_a_silent_node_gets_no_new_runs(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = manual(sim, NODE_LOSS_RETRY);
    (void)tenth(sim, 3);
    trigger(sim, job, 2);
    scheduler_node_silent(sim->scheduler, "n1");
    trigger(sim, job, 4);
    assert_int_equal(on_node(sim, "n1"), 1);
    assert_int_equal(on_node(sim, "n2"), 5);
    assert_true(scheduler_node_beat(sim->scheduler, "n1", sim->nodes[0].session, true, true, sim->real_ms));
    trigger(sim, job, 1);
    assert_int_equal(on_node(sim, "n1"), 1); /* it lags behind */
    beat(sim, 0);
    trigger(sim, job, 4);
    assert_int_equal(on_node(sim, "n1"), 5);
}

/* Nobody can be reached: runs wait, and go out with the first beat. */
static void test_what_waited_goes_to_a_node_that_is_back(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = manual(sim, NODE_LOSS_RETRY);
    scheduler_node_silent(sim->scheduler, "n1");
    scheduler_node_silent(sim->scheduler, "n2");
    trigger(sim, job, 3);
    assert_int_equal(sim_nth(sim, job, -1, 0)->phase, PHASE_READY);
    assert_int_equal(scheduler_waits_for(sim->scheduler, job->serial), REASON_NO_NODE);
    beat(sim, 1);
    assert_true(scheduler_next_ms(sim->scheduler) <= sim_now(sim));
    sim->poke = true;
    sim_run_for(sim, SECOND);
    assert_int_equal(on_node(sim, "n2"), 3);
}

/* A new leader knows nothing of earlier beats: it gives each node a whole lease. */
static void test_a_new_leader_counts_anew(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = manual(sim, NODE_LOSS_RETRY);
    (void)tenth(sim, 3);
    trigger(sim, job, 2);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(tenth(sim, 2), 0);
    sim_rebuild(sim, false, false);
    for (uint32_t i = 0; i < 12; i++)
        assert_int_equal(tenth(sim, 2), 0);
    assert_int_equal(on_node(sim, "n1"), 1);
    assert_int_equal(tenth(sim, 2), 1);
    assert_int_equal(on_node(sim, "n1"), 0);
}

/* The leader itself stood still, and with it perhaps everybody: nobody is written off for that. */
static void test_a_leader_that_was_frozen_counts_anew(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = manual(sim, NODE_LOSS_RETRY);
    (void)tenth(sim, 3);
    trigger(sim, job, 2);
    sim_sleep(sim, 10 * MINUTE);
    assert_int_equal(tenth(sim, 2), 0);
    assert_int_equal(on_node(sim, "n1"), 1);
    for (uint32_t i = 0; i < 11; i++)
        assert_int_equal(tenth(sim, 2), 0);
    assert_int_equal(tenth(sim, 2), 1);
}

/* Containers come and go under new names: those that are lost make room. */
static void test_lost_nodes_make_room(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = manual(sim, NODE_LOSS_RETRY);
    const char *lost[COMMAND_NODES_MAX];
    char name[NODE_TEXT_SIZE];
    struct node_row row = {.capacity = 1, .lease_ms = LEASE, .executor_count = 1, .executors = {"shell"}};
    struct buffer bytes;
    (void)tenth(sim, 3);
    buffer_init(&bytes, 4096);
    for (uint64_t i = 0; i < 3 * COMMAND_NODES_MAX; i++) {
        (void)snprintf(name, sizeof name, "pod-%u", (unsigned)i);
        memcpy(row.name, name, sizeof name);
        row.session = 1000 + i;
        buffer_clear(&bytes);
        node_row_encode(&row, &bytes);
        scheduler_change(sim->scheduler, &(struct state_change){.kind = CHANGE_NODE, .row = buffer_bytes(&bytes)});
        if (i % 10 == 9)
            for (uint32_t t = 0; t < 13; t++) {
                beat(sim, 0);
                beat(sim, 1);
                (void)scheduler_watch_leases(sim->scheduler, sim->real_ms, lost);
                sim_run_for(sim, TENTH);
            }
    }
    buffer_deinit(&bytes);
    trigger(sim, job, 2);
    assert_int_equal(on_node(sim, "n1") + on_node(sim, "n2"), 2);
}

/* A node that is to leave. */
static void test_a_held_node_gets_no_new_runs(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = manual(sim, NODE_LOSS_RETRY);
    assert_false(scheduler_node_hold(sim->scheduler, "n1", true));
    assert_false(scheduler_node_hold(sim->scheduler, "nobody", true));
    assert_false(scheduler_node_is_busy(sim->scheduler, "nobody"));
    trigger(sim, job, 4);
    assert_int_equal(on_node(sim, "n1"), 0);
    assert_int_equal(on_node(sim, "n2"), 4);
    assert_false(scheduler_node_is_busy(sim->scheduler, "n1"));
    assert_true(scheduler_node_is_busy(sim->scheduler, "n2"));
    sim_node_up(sim, "n1", 10, NULL); /* restarted meanwhile: it is to leave all the same */
    sim_run_for(sim, SECOND);
    trigger(sim, job, 2);
    assert_int_equal(on_node(sim, "n1"), 0);
    assert_true(scheduler_node_hold(sim->scheduler, "n1", false));
    assert_false(scheduler_node_hold(sim->scheduler, "n1", false)); /* it was free */
    trigger(sim, job, 2);
    assert_int_equal(on_node(sim, "n1"), 2);
}

static void test_a_held_node_is_busy_until_its_runs_end(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = manual(sim, NODE_LOSS_RETRY);
    trigger(sim, job, 4);
    assert_int_equal(on_node(sim, "n1"), 2);
    (void)scheduler_node_hold(sim->scheduler, "n1", true);
    assert_true(scheduler_node_is_busy(sim->scheduler, "n1"));
    sim_run_for(sim, HOUR);
    assert_false(scheduler_node_is_busy(sim->scheduler, "n1"));
}

static void test_runs_wait_while_all_nodes_are_held(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = manual(sim, NODE_LOSS_RETRY);
    (void)scheduler_node_hold(sim->scheduler, "n1", true);
    (void)scheduler_node_hold(sim->scheduler, "n2", true);
    trigger(sim, job, 3);
    assert_int_equal(on_node(sim, "n1") + on_node(sim, "n2"), 0);
    assert_int_equal(scheduler_waits_for(sim->scheduler, job->serial), REASON_NO_NODE);
    assert_true(scheduler_node_hold(sim->scheduler, "n2", false));
    sim->poke = true;
    sim_run_for(sim, SECOND);
    assert_int_equal(on_node(sim, "n2"), 3);
}

static void test_a_new_leader_holds_nobody(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = manual(sim, NODE_LOSS_RETRY);
    (void)scheduler_node_hold(sim->scheduler, "n1", true);
    scheduler_lead(sim->scheduler, false);
    scheduler_lead(sim->scheduler, true);
    trigger(sim, job, 2);
    assert_int_equal(on_node(sim, "n1"), 1);
}

static void change_node(struct sim *sim, const char *name, uint64_t session, int64_t lease_ms)
{
    struct node_row row = {.session = session, .capacity = 1, .lease_ms = lease_ms, .executor_count = 1, .executors = {"shell"}};
    struct buffer bytes;
    (void)snprintf(row.name, sizeof row.name, "%s", name);
    buffer_init(&bytes, 4096);
    node_row_encode(&row, &bytes);
    scheduler_change(sim->scheduler, &(struct state_change){.kind = CHANGE_NODE, .row = buffer_bytes(&bytes)});
    buffer_deinit(&bytes);
}

/* Their rows went with them: whoever leads meanwhile, all places are there for those that live. */
static void test_nodes_that_left_make_room(void **state)
{
    struct sim *sim = *state;
    struct sim_job *job = manual(sim, NODE_LOSS_RETRY);
    char name[NODE_TEXT_SIZE];
    for (uint64_t i = 0; i < 3 * COMMAND_NODES_MAX; i++) {
        (void)snprintf(name, sizeof name, "pod-%u", (unsigned)i);
        change_node(sim, name, 1000 + i, LEASE);
        scheduler_change(sim->scheduler, &(struct state_change){.kind = CHANGE_NODE_GONE, .row = {name, strlen(name)}});
        if (i % 2 == 1)
            scheduler_lead(sim->scheduler, true); /* anew */
    }
    sim_node_up(sim, "n3", 10, NULL);
    beat(sim, 0);
    beat(sim, 1);
    beat(sim, 2);
    trigger(sim, job, 3);
    assert_int_equal(on_node(sim, "n3"), 1);
}

/* Taken out, forgotten, and invited again without a restart: it is told to announce itself, for its row is gone. */
static void test_a_node_without_a_row_is_over(void **state)
{
    struct sim *sim = *state;
    (void)tenth(sim, 3);
    assert_true(scheduler_node_beat(sim->scheduler, "n3", 77, false, false, sim->real_ms)); /* its row is on its way */
    assert_false(scheduler_node_beat(sim->scheduler, "n3", 77, true, false, sim->real_ms));
    change_node(sim, "n3", 77, LEASE);
    assert_true(scheduler_node_beat(sim->scheduler, "n3", 77, true, false, sim->real_ms));
    assert_true(scheduler_node_beat(sim->scheduler, "n3", 78, false, false, sim->real_ms)); /* a new session's row is on its way */
    assert_false(scheduler_node_beat(sim->scheduler, "n3", 78, true, false, sim->real_ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_lost_node_is_written_off_after_its_lease, setup, teardown),
        cmocka_unit_test_setup_teardown(test_at_most_once_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_session_that_is_over_stays_so, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_silent_node_gets_no_new_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_waited_goes_to_a_node_that_is_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_new_leader_counts_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_leader_that_was_frozen_counts_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_nodes_make_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_held_node_gets_no_new_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_held_node_is_busy_until_its_runs_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_runs_wait_while_all_nodes_are_held, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_new_leader_holds_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nodes_that_left_make_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_node_without_a_row_is_over, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
