/* Without a lease nothing starts here, and nothing runs on past its end. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

enum { LEASE_MS = 30000, GRACE_MS = 20, MARGIN_MS = 1000 };

struct fixture {
    char directory[256];
    struct node node;
};

static int setup(void **state)
{
    struct node_options options = node_defaults;
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    clock_shift_ms = 0;
    options.grace_ms = GRACE_MS;
    options.write_off_ms = 50;
    options.lease_ms = LEASE_MS;
    temporary_directory(f->directory);
    node_open(&f->node, f->directory, &options);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    node_close(&f->node);
    remove_directory(f->directory);
    free(f);
    return 0;
}

static int64_t now_ms(const struct node *node)
{
    return runner_now_ms(node->runner);
}

/* A lease at whose near end, so long from now, runs are cancelled. */
static void grant(struct node *node, int64_t for_ms)
{
    lease_granted(node->runner, now_ms(node) + for_ms + GRACE_MS + MARGIN_MS);
}

static struct id start(struct node *node, const char *act)
{
    char gate[300], members[600];
    gate_path(node, act, gate);
    (void)snprintf(members, sizeof members, "\"executor\":\"probe\",\"config\":{\"act\":\"%s\",\"gate\":\"%s\"}", act, gate);
    struct id job = node_job(node, act, members);
    return node_trigger(node, &job, NULL);
}

static void close_attempt_of(struct node *node, const struct open_run *run)
{
    struct close_attempt item = {.execution = run->execution, .attempt = run->attempt, .session = run->session,
                                 .reason = REASON_NODE_LOSS};
    struct buffer command;
    buffer_init(&command, ENTRY_SIZE_MAX);
    close_encode(&item, 1, &command);
    assert_int_equal(node_propose(node, &command).status, STATUS_OK);
    buffer_deinit(&command);
}

static void test_nothing_starts_without_one(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    assert_false(node->runner->has_lease);
    struct id run = start(node, "succeed");
    struct id other = start(node, "fail"); /* the loop has turned since, often */
    assert_true(run_in_phase(node, &run, PHASE_ASSIGNED) && run_in_phase(node, &other, PHASE_ASSIGNED));
    assert_false(journal_has(node, "job="));
    lease_granted(node->runner, now_ms(node) + GRACE_MS + MARGIN_MS); /* too short to be one */
    assert_false(node->runner->has_lease);
    grant(node, LEASE_MS);
    assert_true(node->runner->has_lease);
    node_wait(node, run_ended(node, &run) && run_ended(node, &other));
    assert_int_equal(run_outcome(node, &run), RUN_SUCCESS);
    assert_int_equal(journal_count(node, "job=succeed"), 1);
}

static void test_runs_end_before_it_does(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    grant(node, LEASE_MS);
    struct id run = start(node, "wait");
    node_wait(node, run_in_phase(node, &run, PHASE_RUNNING));
    /* An older beat that is answered late shortens nothing. */
    grant(node, 100);
    assert_int_equal(uv_is_active((uv_handle_t *)&node->runner->handles->lease), 1);
    assert_true(uv_timer_get_due_in(&node->runner->handles->lease) > LEASE_MS - 10000);
    clock_shift_ms += LEASE_MS - 300; /* as if it had passed; the next grant is what is left of a newer one */
    lease_granted(node->runner, node->runner->lease_until_ms);
    int64_t until_ms = node->runner->lease_until_ms;
    node_wait(node, !node->runner->has_lease);
    node_wait(node, journal_has(node, "cancel"));
    assert_true(now_ms(node) < until_ms);
    struct id late = start(node, "succeed");
    node_wait(node, !run_in_phase(node, &run, PHASE_RUNNING));
    assert_true(run_in_phase(node, &late, PHASE_ASSIGNED));
    assert_false(journal_has(node, "job=succeed"));
}

/* The loop's clock and the runner's are not the same: a timer may fire a little early. */
static void test_a_timer_that_fires_early(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    grant(node, 60);
    assert_true(node->runner->has_lease);
    clock_shift_ms -= 40;
    node_wait(node, !node->runner->has_lease);
}

static void test_from_for_ever_to_an_end(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    lease_granted(node->runner, INT64_MAX); /* alone */
    struct id run = start(node, "wait");
    node_wait(node, run_in_phase(node, &run, PHASE_RUNNING));
    assert_int_equal(uv_is_active((uv_handle_t *)&node->runner->handles->lease), 0);
    grant(node, 60); /* another node joins */
    assert_true(node->runner->has_lease);
    node_wait(node, !node->runner->has_lease);
    node_wait(node, journal_has(node, "cancel"));
    lease_granted(node->runner, INT64_MAX); /* and goes again */
    assert_true(node->runner->has_lease);
    assert_int_equal(uv_is_active((uv_handle_t *)&node->runner->handles->lease), 0);
}

/* What it was granted is over already when it is told, as after a pause of the process. */
static void test_from_for_ever_to_what_is_over(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    lease_granted(node->runner, INT64_MAX);
    struct id run = start(node, "wait");
    node_wait(node, run_in_phase(node, &run, PHASE_RUNNING));
    grant(node, -10);
    node_wait(node, !node->runner->has_lease);
    node_wait(node, journal_has(node, "cancel"));
}

static void test_a_session_that_is_over(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    uint64_t session = node->runner->session;
    grant(node, LEASE_MS);
    struct id run = start(node, "wait");
    node_wait(node, run_in_phase(node, &run, PHASE_RUNNING));
    lease_session_over(node->runner);
    assert_true(node->runner->session != session && node->runner->session != 0);
    assert_false(node->runner->has_lease);
    assert_int_equal(node->runner->active, 0);
    node_wait(node, node_row_of(node).session == node->runner->session); /* it is announced */
    node_wait(node, journal_has(node, "cancel"));
    assert_true(run_in_phase(node, &run, PHASE_RUNNING)); /* whose it is now, others decide */
    grant(node, LEASE_MS);
    assert_int_equal(journal_count(node, "job=wait"), 1); /* what the old session had does not begin again */
    struct id next = start(node, "succeed");
    node_wait(node, run_ended(node, &next));
}

/* The job asks for it: what has begun goes on, what has not does not begin. */
static struct id start_lasting(struct node *node, const char *name, const char *more)
{
    char gate[300], members[700];
    gate_path(node, name, gate);
    (void)snprintf(members, sizeof members,
                   "\"executor\":\"probe\",\"on_lease_loss\":\"continue\",\"config\":{\"act\":\"wait\",\"gate\":\"%s\"}%s", gate, more);
    struct id job = node_job(node, name, members);
    return node_trigger(node, &job, NULL);
}

static void test_a_run_that_outlives_it(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    grant(node, LEASE_MS);
    struct id run = start_lasting(node, "lasting", ""), other = start(node, "wait");
    node_wait(node, run_in_phase(node, &run, PHASE_RUNNING) && run_in_phase(node, &other, PHASE_RUNNING));
    clock_shift_ms += LEASE_MS;
    on_lease_end(&node->runner->handles->lease);
    assert_false(node->runner->has_lease);
    node_wait(node, run_ended(node, &other) || run_in_phase(node, &other, PHASE_READY));
    assert_int_equal(node->runner->active, 1);
    assert_int_equal(journal_count(node, "cancel"), 1);
    grant(node, LEASE_MS); /* nobody has written the node off: as if nothing had been */
    gate_open(node, "lasting");
    node_wait(node, run_ended(node, &run));
    assert_int_equal(run_outcome(node, &run), RUN_SUCCESS);
}

static void test_a_run_that_outlives_its_session(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    grant(node, LEASE_MS);
    struct id run = start_lasting(node, "lasting", "");
    node_wait(node, run_in_phase(node, &run, PHASE_RUNNING));
    struct open_run before = run_open(node, &run);
    lease_session_over(node->runner);
    node_wait(node, node_row_of(node).session == node->runner->session);
    close_attempt_of(node, &before); /* by the leader: another node may have it */
    assert_true(run_in_phase(node, &run, PHASE_READY));
    assert_int_equal(node->runner->active, 1);
    gate_open(node, "lasting");
    node_wait(node, node->runner->active == 0);
    node_wait(node, reports_idle(node->runner));
    assert_true(run_in_phase(node, &run, PHASE_READY)); /* its end came too late */
    assert_int_equal(run_open(node, &run).history_count, 1);
    assert_false(journal_has(node, "cancel"));
}

/* It was let go, and its time-out holds all the same. */
static void test_a_run_that_outlives_everything_but_its_timeout(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    grant(node, LEASE_MS);
    struct id run = start_lasting(node, "lasting", ",\"timeout\":\"10m\"");
    node_wait(node, run_in_phase(node, &run, PHASE_RUNNING));
    lease_session_over(node->runner);
    assert_int_equal(node->runner->active, 1);
    clock_shift_ms += 600 * 1000;
    on_deadlines(&node->runner->handles->deadlines);
    node_wait(node, journal_has(node, "cancel"));
    node_wait(node, node->runner->active == 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(test_nothing_starts_without_one),  TEST(test_runs_end_before_it_does),
                                       TEST(test_a_timer_that_fires_early),    TEST(test_from_for_ever_to_an_end),
                                       TEST(test_from_for_ever_to_what_is_over), TEST(test_a_session_that_is_over),
                                       TEST(test_a_run_that_outlives_it), TEST(test_a_run_that_outlives_its_session),
                                       TEST(test_a_run_that_outlives_everything_but_its_timeout)};
    return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}
