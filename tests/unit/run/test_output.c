/* What runs write: in the report, live, and stored. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
    char directory[256];
    struct node node;
    struct buffer out;
};

static int setup(void **state)
{
    struct node_options options = node_defaults;
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    options.replicated_bytes = 100;
    options.captured_bytes = 2000000;
    temporary_directory(f->directory);
    buffer_init(&f->out, 64 << 20);
    node_open(&f->node, f->directory, &options);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    node_close(&f->node);
    buffer_deinit(&f->out);
    remove_directory(f->directory);
    free(f);
    return 0;
}

static enum status read_output(struct fixture *f, const struct id *run, uint64_t offset, size_t max, uint64_t *ret_total,
                               bool *ret_done)
{
    buffer_clear(&f->out);
    return runner_output(f->node.runner, run, 1, offset, max, &f->out, ret_total, ret_done, &failure);
}

static struct id run_to_end(struct node *node, const char *config)
{
    static int number;
    char name[32], members[400];
    (void)snprintf(name, sizeof name, "job-%d", ++number);
    (void)snprintf(members, sizeof members, "\"executor\":\"probe\",\"config\":%s", config);
    struct id job = node_job(node, name, members);
    struct id run = node_trigger(node, &job, NULL);
    node_wait(node, run_ended(node, &run));
    return run;
}

static void check_alphabet(const char *data, size_t size, uint64_t from)
{
    for (size_t i = 0; i < size; i++)
        if (data[i] != (char)('a' + (from + i) % 26))
            fail_msg("byte %zu from %llu is %c", i, (unsigned long long)from, data[i]);
}

static void test_small_output_is_in_the_record(void **state)
{
    struct fixture *f = *state;
    uint64_t total;
    bool done;
    struct id run = run_to_end(&f->node, "{\"text\":\"all is well\"}");
    cJSON *json = run_json(&f->node, &run);
    assert_json_string(json, "output", "all is well");
    assert_json_int(json, "output_bytes", 11);
    assert_true(cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(json, "output_truncated")));
    cJSON_Delete(json);
    node_wait(&f->node, f->node.runner->attempts.count == 0);
    assert_int_equal(read_output(f, &run, 0, 100, &total, &done), STATUS_NOT_FOUND);
}

static void test_large_output_is_stored(void **state)
{
    enum { SIZE = 1300000 }; /* some chunks */
    struct fixture *f = *state;
    uint64_t total = 0;
    bool done = false;
    struct id run = run_to_end(&f->node, "{\"output\":1300000}");
    cJSON *json = run_json(&f->node, &run);
    assert_json_int(json, "output_bytes", SIZE);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "output_truncated")));
    cJSON_Delete(json);
    node_wait(&f->node, local_writer_commits(f->node.runner->writer) > 0 && f->node.runner->attempts.count == 0);
    OK(read_output(f, &run, 0, 10, &total, &done));
    assert_int_equal(total, SIZE);
    assert_true(done);
    assert_int_equal(f->out.size, 10);
    OK(read_output(f, &run, LOCAL_CHUNK_SIZE - 5, LOCAL_CHUNK_SIZE + 10, &total, &done)); /* parts of three chunks */
    assert_int_equal(f->out.size, LOCAL_CHUNK_SIZE + 10);
    check_alphabet(f->out.data, f->out.size, LOCAL_CHUNK_SIZE - 5);
    OK(read_output(f, &run, 0, SIZE * 2, &total, &done));
    assert_int_equal(f->out.size, SIZE);
    check_alphabet(f->out.data, f->out.size, 0);
    OK(read_output(f, &run, SIZE, 10, &total, &done));
    assert_int_equal(f->out.size, 0);
    OK(read_output(f, &run, UINT64_MAX, 10, &total, &done));
    assert_int_equal(f->out.size, 0);
    assert_int_equal(runner_output(f->node.runner, &run, 2, 0, 10, &f->out, &total, &done, &failure), STATUS_NOT_FOUND);
}

static void test_quota(void **state)
{
    struct fixture *f = *state;
    uint64_t total;
    bool done;
    struct id run = run_to_end(&f->node, "{\"output\":2000100,\"act\":\"fail\"}");
    assert_true(journal_has(&f->node, "output -10\n")); /* TOOBIG */
    cJSON *json = run_json(&f->node, &run);
    assert_json_int(json, "output_bytes", 2000100);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "output_truncated")));
    const cJSON *output = cJSON_GetObjectItemCaseSensitive(json, "output");
    assert_true(cJSON_IsString(output));
    size_t size = strlen(output->valuestring); /* the tail is the true end, not the end of what was kept */
    assert_true(size >= 100);
    check_alphabet(output->valuestring, 50, 0);
    check_alphabet(output->valuestring + size - 50, 50, 2000050);
    cJSON_Delete(json);
    OK(read_output(f, &run, 0, 3000000, &total, &done));
    assert_int_equal(total, 2000000);
    check_alphabet(f->out.data, f->out.size, 0);
    struct runner_stats stats;
    runner_stats_get(f->node.runner, &stats);
    assert_int_equal(stats.output_bytes, 2000100);
    assert_int_equal(stats.output_dropped_bytes, 100);
}

static void test_live(void **state)
{
    struct fixture *f = *state;
    struct node *node = &f->node;
    char gate[300], members[500];
    uint64_t total = 0;
    bool done = true;
    gate_path(node, "live", gate);
    (void)snprintf(members, sizeof members,
                   "\"executor\":\"probe\",\"config\":{\"act\":\"wait\",\"output\":260,\"gate\":\"%s\"}", gate);
    struct id job = node_job(node, "live", members);
    struct id run = node_trigger(node, &job, NULL);
    node_wait(node, run_in_phase(node, &run, PHASE_RUNNING));
    OK(read_output(f, &run, 26, 26, &total, &done));
    assert_int_equal(total, 260);
    assert_false(done);
    assert_int_equal(f->out.size, 26);
    check_alphabet(f->out.data, 26, 0);
    gate_open(node, "live");
    node_wait(node, run_ended(node, &run) && node->runner->attempts.count == 0);
    OK(read_output(f, &run, 0, 1000, &total, &done)); /* on its way to the store, or there */
    assert_int_equal(total, 260);
    assert_true(done);
    node_wait(node, local_writer_commits(node->runner->writer) > 0);
    OK(read_output(f, &run, 0, 1000, &total, &done));
    check_alphabet(f->out.data, 260, 0);
}

static void test_nothing_known(void **state)
{
    struct fixture *f = *state;
    uint64_t total = 77;
    bool done = false;
    struct id nobody = id_next(&f->node.ids, 1);
    assert_int_equal(read_output(f, &nobody, 0, 10, &total, &done), STATUS_NOT_FOUND);
    assert_int_equal(total, 77);
    assert_int_equal(f->out.size, 0);
}

/* All attempts together: what comes above the budget is counted, not kept. */
static void test_budget_of_the_node(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(f->node.runner->budget.limit_bytes, CAPTURED_TOTAL_MAX);
    f->node.runner->budget.limit_bytes = 1000; /* of real memory, that would be a quarter of a gigabyte */
    struct id run = run_to_end(&f->node, "{\"output\":5200}");
    assert_int_equal(run_outcome(&f->node, &run), RUN_SUCCESS);
    cJSON *json = run_json(&f->node, &run);
    assert_json_int(json, "output_bytes", 5200);
    cJSON_Delete(json);
    node_wait(&f->node, f->node.runner->attempts.count == 0 && atomic_load(&f->node.runner->budget.kept_bytes) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_small_output_is_in_the_record, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_output_is_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quota, setup, teardown),
        cmocka_unit_test_setup_teardown(test_live, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_known, setup, teardown),
        cmocka_unit_test_setup_teardown(test_budget_of_the_node, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
