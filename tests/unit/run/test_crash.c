/* A process that dies between the end of a run and the commit of its report. */
#include "fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[256];

static int setup(void **state)
{
    (void)state;
    temporary_directory(directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove_directory(directory);
    return 0;
}

/* The ids of the runs go to the parent once their ends are in the outbox; then it waits to be killed. */
static void live(int to_parent, int runs)
{
    struct node node;
    struct id executions[16];
    char gate[300], members[500];
    node_open(&node, directory, &node_defaults);
    gate_path(&node, "end", gate);
    (void)snprintf(members, sizeof members, "\"executor\":\"probe\",\"config\":{\"act\":\"wait\",\"text\":\"done\",\"gate\":\"%s\"}",
                   gate);
    struct id job = node_job(&node, "job", members);
    for (int i = 0; i < runs; i++) {
        executions[i] = node_trigger(&node, &job, NULL);
        node_wait(&node, run_in_phase(&node, &executions[i], PHASE_RUNNING));
    }
    node_stop(&node); /* it takes no reports any more */
    gate_open(&node, "end");
    node_wait(&node, node.runner->finished == (uint64_t)runs && local_writer_commits(node.runner->writer) > 0);
    local_writer_stop(node.runner->writer);
    node_wait(&node, atomic_load(&node.runner->writer_stopped));
    if (write(to_parent, executions, sizeof executions[0] * (size_t)runs) != (ssize_t)(sizeof executions[0] * (size_t)runs))
        _exit(2);
    for (;;)
        (void)pause();
}

static pid_t spawn(int runs, struct id *executions)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(ends[0]);
        live(ends[1], runs);
        _exit(1);
    }
    (void)close(ends[1]);
    size_t wanted = sizeof executions[0] * (size_t)runs, got = 0;
    while (got < wanted) {
        ssize_t size = read(ends[0], (char *)executions + got, wanted - got);
        assert_true(size > 0);
        got += (size_t)size;
    }
    (void)close(ends[0]);
    return child;
}

static void kill_child(pid_t child)
{
    int status;
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static bool count_rows(void *arg, const struct local_key *key, struct bytes command)
{
    (void)key;
    (void)command;
    (*(uint32_t *)arg)++;
    return true;
}

static uint32_t outbox_rows(struct node *node)
{
    const struct local_key none = {{0}};
    uint32_t count = 0;
    OK(local_read_outbox(node->runner->local, &none, count_rows, &count, &failure));
    return count;
}

static void test_reports_arrive_after_the_crash(void **state)
{
    enum { RUNS = 5 };
    struct id executions[RUNS];
    struct node node;
    (void)state;
    kill_child(spawn(RUNS, executions));
    node_open_unannounced(&node, directory, &node_defaults);
    assert_int_equal(outbox_rows(&node), RUNS);
    node_wait(&node, node_row_of(&node).session == node.runner->session);
    for (int i = 0; i < RUNS; i++) { /* before the new session was announced, under the old one */
        assert_int_equal(run_outcome(&node, &executions[i]), RUN_SUCCESS);
        cJSON *json = run_json(&node, &executions[i]);
        assert_json_string(json, "output", "done");
        cJSON_Delete(json);
    }
    node_wait(&node, outbox_rows(&node) == 0);
    assert_int_equal(journal_count(&node, "start "), RUNS); /* nothing was started again */
    node_close(&node);
}

/* The run went on elsewhere in the meantime: the late report is void, and leaves the outbox all the same. */
static void test_late_report_is_void(void **state)
{
    struct id execution;
    struct node node;
    struct local_key key;
    struct buffer command, row;
    (void)state;
    node_open(&node, directory, &node_defaults);
    execution = id_next(&node.ids, clock_system.wall_ms(NULL));
    struct run_report report = {.execution = execution, .attempt = 1, .session = 1234, .kind = REPORT_FINISHED,
                                .outcome = RUN_SUCCESS, .exit_code = 0};
    buffer_init(&command, ENTRY_SIZE_MAX);
    buffer_init(&row, ENTRY_SIZE_MAX);
    report_encode(&report, 1, &command);
    local_outbox_row(buffer_bytes(&command), &row);
    key = local_key(&execution, 1);
    node_drain(&node, 0);
    struct store_txn txn;
    OK(local_begin(node.runner->local, &txn, &failure));
    OK(local_put_outbox(node.runner->local, &txn, (struct bytes){key.bytes, sizeof key.bytes}, buffer_bytes(&row), &failure));
    key.bytes[LOCAL_KEY_SIZE - 1] = 2;
    row.data[row.size - 1] ^= 1; /* a second one, damaged: it must not reach the log */
    OK(local_put_outbox(node.runner->local, &txn, (struct bytes){key.bytes, sizeof key.bytes}, buffer_bytes(&row), &failure));
    OK(store_commit(&txn, &failure));
    node_close(&node);
    node_open(&node, directory, &node_defaults);
    node_wait(&node, outbox_rows(&node) == 0);
    assert_false(run_ended(&node, &execution));
    node_close(&node);
    buffer_deinit(&command);
    buffer_deinit(&row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reports_arrive_after_the_crash, setup, teardown), /* before any thread: it forks */
        cmocka_unit_test_setup_teardown(test_late_report_is_void, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
