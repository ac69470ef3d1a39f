/* Going down in order. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

struct fixture {
    char directory[256];
    struct node node;
};

static int setup(void **state)
{
    struct node_options options = node_defaults;
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    options.grace_ms = 20;
    options.write_off_ms = 50;
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

static struct id start(struct node *node, const char *act)
{
    char gate[300], members[600];
    gate_path(node, act, gate);
    (void)snprintf(members, sizeof members, "\"executor\":\"probe\",\"config\":{\"act\":\"%s\",\"gate\":\"%s\"}", act, gate);
    struct id job = node_job(node, act, members);
    return node_trigger(node, &job, NULL);
}

static void test_idle(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    node_drain(node, 10000);
    assert_true(journal_has(node, "drain grace=10000\n"));
}

static void on_drained(void *arg)
{
    *(bool *)arg = true;
}

static void test_waits_for_what_runs(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct id running = start(node, "wait");
    node_wait(node, run_in_phase(node, &running, PHASE_RUNNING));
    runner_drain(node->runner, 20000, on_drained, &node->drained);
    node_wait(node, node_row_of(node).capacity == 0); /* nothing more is to be placed here */
    struct id late = start(node, "succeed");
    node_wait(node, run_in_phase(node, &late, PHASE_READY));
    assert_int_equal(run_open(node, &late).reason, REASON_SHUTDOWN);
    assert_false(node->drained);
    gate_open(node, "wait");
    node_wait(node, node->drained);
    assert_int_equal(run_outcome(node, &running), RUN_SUCCESS);
    assert_false(journal_has(node, "cancel"));
    assert_false(journal_has(node, "job=succeed"));
}

static void test_cancels_after_the_timeout(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct id polite = start(node, "wait"), stubborn = start(node, "stubborn");
    node_wait(node, run_in_phase(node, &polite, PHASE_RUNNING) && run_in_phase(node, &stubborn, PHASE_RUNNING));
    node_drain(node, 30);
    assert_int_equal(journal_count(node, "cancel reason=4 grace=20\n"), 2);
    struct id runs[] = {polite, stubborn};
    for (int i = 0; i < 2; i++) { /* as if the node had been lost: taken over after the restart */
        struct open_run run = run_open(node, &runs[i]);
        assert_int_equal(run.phase, PHASE_READY);
        assert_int_equal(run.reason, REASON_SHUTDOWN);
        assert_int_equal(run.takeovers, 1);
    }
}

static void test_gives_back_what_waits(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct id hanging = start(node, "hang");
    node_wait(node, journal_has(node, "job=hang"));
    struct id queued = start(node, "succeed");
    runner_drain(node->runner, 20000, on_drained, &node->drained);
    node_wait(node, run_in_phase(node, &queued, PHASE_READY));
    assert_int_equal(run_open(node, &queued).takeovers, 0); /* it never started */
    assert_false(node->drained);
    gate_open(node, "hang");
    node_wait(node, node->drained);
    assert_int_equal(run_outcome(node, &hanging), RUN_SUCCESS);
}

static void test_cluster_takes_no_reports(void **state)
{
    struct fixture *f = *state;
    struct node *node = &f->node;
    struct id running = start(node, "wait");
    node_wait(node, run_in_phase(node, &running, PHASE_RUNNING));
    node_stop(node);
    gate_open(node, "wait");
    node_drain(node, 20000);
    assert_true(run_in_phase(node, &running, PHASE_RUNNING));
    node_close(node);

    node_open(node, f->directory, &node_defaults); /* the outbox has it */
    assert_true(run_ended(node, &running));
    assert_int_equal(run_outcome(node, &running), RUN_SUCCESS);
}

/* As on a full disk, where what the cluster has taken is held for ever. */
static void test_reports_are_not_waited_for_for_ever(void **state)
{
    struct fixture *f = *state;
    struct node *node = &f->node;
    struct reports *reports = &node->runner->reports;
    struct report_batch *held = calloc(1, sizeof *held);
    assert_non_null(held);
    held->number = ++reports->last_number;
    OK(map_put(&reports->in_flight, &held->number, sizeof held->number, held, NULL));
    node->runner->report_wait_ms = 300;
    int64_t began_ms = runner_now_ms(node->runner); /* the clock that the wait is measured on, in its own whole milliseconds */
    node_drain(node, 20000);
    assert_true(runner_now_ms(node->runner) - began_ms >= 300);
    assert_true(reports_in_flight(node->runner));
}

/* A start of the daemon that fails later, or a crash without manners: nothing is lost or leaked. */
static void test_free_without_drain(void **state)
{
    struct fixture *f = *state;
    struct node *node = &f->node;
    struct id running = start(node, "stubborn");
    node_wait(node, run_in_phase(node, &running, PHASE_RUNNING));
    node->drained = true; /* it is not */
    node_close(node);
    node_open(node, f->directory, &node_defaults);
    assert_true(run_in_phase(node, &running, PHASE_RUNNING)); /* of a session that is over: the scheduler closes it */
    assert_int_equal(journal_count(node, "start "), 1);       /* the new one leaves it alone */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_idle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waits_for_what_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancels_after_the_timeout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gives_back_what_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cluster_takes_no_reports, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reports_are_not_waited_for_for_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_without_drain, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
