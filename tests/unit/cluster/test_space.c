/* Full disks: what is refused, what is held, what comes back, and what an I/O error does. */
#include "fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/fatal.h"

static const char *backend = "lmdb";

static int setup(void **state)
{
    *state = node_new(backend, NULL);
    static int quiet = -1;
    if (quiet < 0)
        quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, quiet); /* full disks are what this is about */
    return 0;
}

static int teardown(void **state)
{
    fault_set(CHRONOS_STORAGE_LOG, FAULT_NONE);
    fault_set(CHRONOS_STORAGE_STATE, FAULT_NONE);
    node_free(*state);
    return 0;
}

static void test_disk_low(void **state)
{
    struct node *node = *state;
    struct error err;
    int64_t left = disk_free_bytes(node->folder);
    assert_true(left > 0);
    node->config.min_free_bytes = left * 2;
    node_start(node);
    WAIT_UNTIL(node, node_status(node).disk == DISK_LOW);
    assert_int_equal(node_propose(node, PROPOSE_CLIENT, 1, &err), STATUS_DISK_FULL);
    assert_non_null(strstr(err.message, "storage.min_free"));
    OK(node_propose(node, PROPOSE_DECISION, 2, &failure));
    OK(node_propose(node, PROPOSE_REPORT, 3, &failure));
    WAIT_UNTIL(node, node->done == 2);
    assert_int_equal(node->outcomes[1].calls, 0); /* refused: never called */
}

static void test_disk_critical(void **state)
{
    struct node *node = *state;
    struct error err;
    node->config.min_free_bytes = disk_free_bytes(node->folder) * 8;
    node_start(node);
    WAIT_UNTIL(node, node_status(node).disk == DISK_CRITICAL);
    assert_int_equal(node_propose(node, PROPOSE_CLIENT, 1, &err), STATUS_DISK_FULL);
    assert_int_equal(node_propose(node, PROPOSE_DECISION, 2, &err), STATUS_DISK_FULL);
    OK(node_propose(node, PROPOSE_REPORT, 3, &failure));
    WAIT_UNTIL(node, node->done == 1);
    assert_int_equal(node->outcomes[3].status, STATUS_OK);
}

static void held_and_recovers(struct node *node, int32_t role)
{
    struct error err;
    enum { COUNT = 100 };
    node_start(node);
    fault_set(role, FAULT_NO_SPACE);
    for (uint64_t n = 0; n < COUNT; n++)
        OK(node_propose(node, PROPOSE_REPORT, n, &failure));
    uint64_t met = fault_count();
    WAIT_UNTIL(node, node_status(node).disk == DISK_CRITICAL);
    WAIT_UNTIL(node, fault_count() > met + 2); /* tried again and again */
    assert_int_equal(node->done, 0);
    assert_int_equal(node_propose(node, PROPOSE_DECISION, COUNT, &err), STATUS_DISK_FULL);
    OK(node_propose(node, PROPOSE_REPORT, COUNT, &failure));
    assert_int_equal(node_status(node).proposals_waiting, COUNT + 1);
    fault_set(role, FAULT_NONE);
    WAIT_UNTIL(node, node->done == COUNT + 1);
    assert_false(node->out_of_order);
    WAIT_UNTIL(node, node_status(node).disk == DISK_OK);
    OK(node_propose(node, PROPOSE_CLIENT, COUNT + 1, &failure));
    WAIT_UNTIL(node, node->done == COUNT + 2);
    node_stop(node);
    node_start(node);
    for (uint64_t n = 0; n < COUNT + 2; n++)
        assert_true(node_has_job(node, n));
}

static void test_a_full_log_holds_and_recovers(void **state)
{
    held_and_recovers(*state, CHRONOS_STORAGE_LOG);
}

static void test_a_full_state_holds_and_recovers(void **state)
{
    held_and_recovers(*state, CHRONOS_STORAGE_STATE);
}

/* The log does not get on: the user is told once that the outcome is not known, also when it then takes effect. */
static void test_deadline(void **state)
{
    struct node *node = *state;
    node_start(node);
    fault_set(CHRONOS_STORAGE_LOG, FAULT_NO_SPACE);
    OK(node_propose(node, PROPOSE_CLIENT, 1, &failure));
    OK(node_propose(node, PROPOSE_REPORT, 2, &failure)); /* has no deadline */
    WAIT_UNTIL(node, node_status(node).disk == DISK_CRITICAL);
    assert_int_equal(node->done, 0);
    clock_advance_ms(PROPOSE_DEADLINE_MS);
    WAIT_UNTIL(node, node->done == 1);
    assert_int_equal(node->outcomes[1].status, STATUS_OUTCOME_UNKNOWN);
    fault_set(CHRONOS_STORAGE_LOG, FAULT_NONE);
    WAIT_UNTIL(node, node->done == 2);
    assert_int_equal(node->outcomes[2].status, STATUS_OK);
    WAIT_UNTIL(node, node_status(node).proposals_waiting == 0);
    assert_true(node_has_job(node, 1));
    assert_int_equal(node->outcomes[1].calls, 1);
}

static void count_refused(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    (void)token;
    assert_int_equal(outcome->status, STATUS_SHUTTING_DOWN);
    (*(uint32_t *)arg)++;
}

/* Stopping with a full disk: nobody waits for ever, and every outcome comes once. */
static void stop_while_full(struct node *node, int32_t role, bool expect_jobs)
{
    uint32_t refused = 0, reads = role == CHRONOS_STORAGE_STATE;
    node_start(node);
    OK(node_propose(node, PROPOSE_CLIENT, 0, &failure));
    WAIT_UNTIL(node, node->done == 1);
    fault_set(role, FAULT_NO_SPACE);
    for (uint64_t n = 1; n <= 20; n++)
        OK(node_propose(node, PROPOSE_REPORT, n, &failure));
    WAIT_UNTIL(node, node_status(node).disk == DISK_CRITICAL);
    if (reads > 0) /* committed, and not applied: a reader waits */
        OK(cluster_read_index(node->cluster, count_refused, &refused, 1, &failure));
    node_stop(node);
    assert_int_equal(node->done, 21);
    assert_int_equal(refused, reads);
    for (uint64_t n = 1; n <= 20; n++)
        assert_int_equal(node->outcomes[n].status, STATUS_OUTCOME_UNKNOWN);
    fault_set(role, FAULT_NONE);
    node_start(node);
    assert_true(node_has_job(node, 0));
    for (uint64_t n = 1; n <= 20; n++)
        assert_int_equal(node_has_job(node, n), expect_jobs);
}

static void test_stop_with_a_full_log(void **state)
{
    stop_while_full(*state, CHRONOS_STORAGE_LOG, false);
}

static void test_stop_with_a_full_state(void **state)
{
    stop_while_full(*state, CHRONOS_STORAGE_STATE, true);
}

/* A capacity that is used up for good: held, then stopped. Storage in memory keeps nothing, so nothing is opened again. */
static void test_a_small_store_in_memory(void **state)
{
    (void)state;
    struct node *node = node_new("memory", NULL);
    cJSON *options = cJSON_CreateObject();
    assert_non_null(cJSON_AddStringToObject(options, "capacity", "64KiB"));
    node->config.backend_options = options;
    node_start(node);
    uint64_t proposed = 0;
    struct error err;
    while (node_status(node).disk != DISK_CRITICAL) {
        assert_true(proposed < 2000);
        OK(node_propose(node, PROPOSE_REPORT, proposed++, &err));
        node_turn(node);
    }
    assert_true(node->done > 10 && node->done < proposed);
    node_stop(node);
    assert_int_equal(node->done, proposed);
    assert_false(node->out_of_order);
    node_free(node);
    cJSON_Delete(options);
}

static void test_an_io_error_ends_the_process(void **state)
{
    (void)state;
    static const int32_t roles[] = {CHRONOS_STORAGE_LOG, CHRONOS_STORAGE_STATE};
    for (int i = 0; i < 2; i++) {
        char *folder = folder_new();
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct node *node = node_new(backend, folder);
            node_start(node);
            fault_set(roles[i], FAULT_IO);
            OK(node_propose(node, PROPOSE_CLIENT, 1, &failure));
            WAIT_UNTIL(node, node->done == 1);
            _exit(1); /* it was acknowledged */
        }
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), EXIT_DISK);
        folder_free(folder);
    }
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_disk_low),
        TEST(test_disk_critical),
        TEST(test_a_full_log_holds_and_recovers),
        TEST(test_a_full_state_holds_and_recovers),
        TEST(test_deadline),
        TEST(test_stop_with_a_full_log),
        TEST(test_stop_with_a_full_state),
        TEST(test_a_small_store_in_memory),
        TEST(test_an_io_error_ends_the_process),
    };
    int failed = cmocka_run_group_tests_name("full disks on lmdb", tests, NULL, NULL);
    backend = "sqlite";
    return failed + cmocka_run_group_tests_name("full disks on sqlite", tests, NULL, NULL);
}
