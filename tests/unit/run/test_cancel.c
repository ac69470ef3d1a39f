/* Runs that are ended: by a timeout, by people, by the cluster. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* A run of a new job that does `act` and goes on at the gate of the same name. */
static struct id start(struct node *node, const char *act, const char *more)
{
    char gate[300], members[600];
    gate_path(node, act, gate);
    (void)snprintf(members, sizeof members, "\"executor\":\"probe\",\"config\":{\"act\":\"%s\",\"gate\":\"%s\"}%s", act, gate,
                   more);
    struct id job = node_job(node, act, members);
    return node_trigger(node, &job, NULL);
}

static void check_end(struct node *node, const struct id *run, enum run_status status, const char *error)
{
    assert_int_equal(run_outcome(node, run), status);
    cJSON *json = run_json(node, run);
    if (error != NULL)
        assert_json_string(json, "error", error);
    cJSON_Delete(json);
}

static void test_timeout(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct id run = start(node, "wait", ",\"timeout\":\"100ms\"");
    node_wait(node, run_ended(node, &run));
    check_end(node, &run, RUN_TIMEOUT, "timed out after 100ms");
    assert_true(journal_has(node, "cancel reason=2 grace=20\n"));
    cJSON *json = run_json(node, &run);
    const cJSON *duration = cJSON_GetObjectItemCaseSensitive(json, "duration_ms");
    assert_true(cJSON_IsNumber(duration) && duration->valuedouble >= 100);
    cJSON_Delete(json);
}

static void test_success_that_raced_the_timeout(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct id run = start(node, "succeed_late", ",\"timeout\":\"50ms\"");
    node_wait(node, run_ended(node, &run));
    check_end(node, &run, RUN_SUCCESS, NULL);
    assert_true(journal_has(node, "cancel reason=2"));
}

static void test_stubborn_is_written_off(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct id run = start(node, "stubborn", ",\"timeout\":\"50ms\"");
    node_wait(node, run_ended(node, &run));
    check_end(node, &run, RUN_TIMEOUT, "the executor did not end the run in time");
    assert_int_equal(journal_count(node, "completed"), 0);
    node_wait(node, node->runner->attempts.by_execution.count == 0);
    assert_int_equal(node->runner->attempts.count, 1); /* its token is remembered until the executor lets go */
    gate_open(node, "stubborn");
    node_wait(node, journal_count(node, "completed ") == 2);
    assert_true(journal_has(node, "completed -3\n"));  /* the first: written off */
    assert_true(journal_has(node, "completed -15\n")); /* the second: misuse */
    node_wait(node, node->runner->attempts.count == 0);
    check_end(node, &run, RUN_TIMEOUT, NULL);
}

static void test_cancel(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct id run = start(node, "wait", "");
    node_wait(node, run_in_phase(node, &run, PHASE_RUNNING));
    node_cancel(node, &run);
    node_wait(node, run_ended(node, &run));
    check_end(node, &run, RUN_CANCELLED, NULL);
    cJSON *json = run_json(node, &run);
    assert_json_string(json, "reason", "user");
    cJSON_Delete(json);
    assert_int_equal(journal_count(node, "cancel reason=1 grace=20\n"), 1);
}

static void test_stubborn_cancel(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct id run = start(node, "stubborn", "");
    node_wait(node, run_in_phase(node, &run, PHASE_RUNNING));
    node_cancel(node, &run);
    node_wait(node, run_ended(node, &run));
    check_end(node, &run, RUN_CANCELLED, "the executor did not end the run in time");
}

static void test_cancel_of_what_waits_in_the_queue(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct id first = start(node, "hang", "");
    node_wait(node, journal_has(node, "job=hang"));
    struct id second = start(node, "succeed", "");
    node_cancel(node, &second);
    node_wait(node, run_ended(node, &second));
    check_end(node, &second, RUN_CANCELLED, NULL);
    cJSON *json = run_json(node, &second);
    assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(json, "started_at")));
    cJSON_Delete(json);
    gate_open(node, "hang");
    node_wait(node, run_ended(node, &first));
    check_end(node, &first, RUN_SUCCESS, NULL);
    assert_false(journal_has(node, "job=succeed"));
}

static void close_run(struct node *node, const struct id *run)
{
    struct buffer command;
    struct close_attempt close = {.execution = *run, .attempt = 1, .session = node->runner->session,
                                  .reason = REASON_NODE_LOSS};
    buffer_init(&command, ENTRY_SIZE_MAX);
    close_encode(&close, 1, &command);
    assert_int_equal(node_propose(node, &command).status, STATUS_OK);
    buffer_deinit(&command);
}

static void test_given_up_by_the_cluster(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct id run = start(node, "stubborn", "");
    node_wait(node, run_in_phase(node, &run, PHASE_RUNNING));
    close_run(node, &run);
    node_wait(node, journal_has(node, "cancel reason=5 grace=20\n"));
    assert_true(run_in_phase(node, &run, PHASE_READY));
    gate_open(node, "stubborn");
    node_wait(node, journal_count(node, "completed ") == 2);
    assert_true(journal_has(node, "completed -3\n"));
    node_wait(node, node->runner->attempts.count == 0);
    assert_int_equal(node->runner->finished, 0); /* nothing was said of it */
    assert_true(run_in_phase(node, &run, PHASE_READY));
}

/* The next attempt comes to this node while the old one still runs here. */
static void test_two_attempts_of_one_run(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct id run = start(node, "stubborn", "");
    node_wait(node, run_in_phase(node, &run, PHASE_RUNNING));
    close_run(node, &run);
    struct placement_node place = {.name = NODE, .session = node->runner->session};
    struct assignment assignment = {.execution = run, .attempt = 1, .node = 0};
    struct buffer command;
    buffer_init(&command, ENTRY_SIZE_MAX);
    assign_encode(&place, 1, &assignment, 1, &command);
    assert_int_equal(node_propose(node, &command).status, STATUS_OK);
    buffer_deinit(&command);
    node_wait(node, journal_has(node, "attempt=2") && run_in_phase(node, &run, PHASE_RUNNING));
    assert_int_equal(node->runner->attempts.count, 2);
    assert_int_equal(run_open(node, &run).attempt, 2);
    gate_open(node, "stubborn");
    node_wait(node, run_ended(node, &run) && journal_count(node, "completed ") == 4);
    check_end(node, &run, RUN_SUCCESS, NULL);
    assert_int_equal(journal_count(node, "completed 0\n"), 1);
    assert_int_equal(journal_count(node, "completed -3\n"), 1);
    node_wait(node, node->runner->attempts.count == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_timeout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_success_that_raced_the_timeout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stubborn_is_written_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stubborn_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel_of_what_waits_in_the_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_given_up_by_the_cluster, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_attempts_of_one_run, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
