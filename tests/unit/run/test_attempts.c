/* Runs from their assignment to the report of their end. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fixture {
    char directory[256];
    struct node node;
};

static int setup_with(void **state, const struct node_options *options)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    temporary_directory(f->directory);
    node_open(&f->node, f->directory, options);
    *state = f;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, &node_defaults);
}

static int setup_hasty(void **state)
{
    struct node_options options = node_defaults;
    options.wedged_ms = 100;
    return setup_with(state, &options);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    node_close(&f->node);
    remove_directory(f->directory);
    free(f);
    return 0;
}

static struct id run_to_end(struct node *node, const char *members)
{
    static int number;
    char name[32];
    (void)snprintf(name, sizeof name, "job-%d", ++number);
    struct id job = node_job(node, name, members);
    struct id run = node_trigger(node, &job, NULL);
    node_wait(node, run_ended(node, &run));
    return run;
}

static struct runner_stats stats_of(struct node *node)
{
    struct runner_stats stats;
    runner_stats_get(node->runner, &stats);
    return stats;
}

/* --- the plain ways --- */

static void test_success(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct id run = run_to_end(node, "\"executor\":\"probe\",\"config\":{\"act\":\"succeed\"}");
    assert_int_equal(run_outcome(node, &run), RUN_SUCCESS);
    cJSON *json = run_json(node, &run);
    assert_json_int(json, "exit_code", 0);
    assert_json_string(json, "node_id", NODE);
    assert_true(cJSON_IsString(cJSON_GetObjectItemCaseSensitive(json, "started_at")));
    cJSON_Delete(json);
    struct runner_stats stats = stats_of(node);
    assert_int_equal(stats.started, 1);
    assert_int_equal(stats.finished, 1);
    node_wait(node, node->runner->attempts.count == 0); /* nothing of it stays once it is reported */
    stats = stats_of(node);
    assert_int_equal(stats.active, 0);
    assert_int_equal(stats.queued, 0);
}

static void test_what_the_executor_is_told(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct id job = node_job(node, "told", "\"executor\":\"probe\",\"retry_policy\":{\"max_attempts\":7}");
    struct id run = node_trigger(node, &job, NULL);
    char id[ID_TEXT_SIZE], line[256];
    node_wait(node, run_ended(node, &run));
    id_format(EXECUTION_ID_PREFIX, &run, id);
    (void)snprintf(line, sizeof line, "start %s attempt=1/7 job=told version=1 trigger=manual key=%s trace=00-", id, id);
    assert_true(journal_has(node, line));
    assert_true(journal_has(node, "-00 node=" NODE));
}

static void test_slot_is_the_key_and_lateness_is_counted(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct id job = node_job(node, "slots", "\"executor\":\"probe\"");
    struct state_view view;
    struct job_row row;
    struct job_marks marks;
    OK(state_view_begin(cluster_state(node->cluster), &view, &failure));
    OK(state_get_job(&view, &job, &row, &failure));
    OK(state_get_marks(&view, row.serial, &marks, &failure));
    state_view_end(&view);

    struct placement_node place = {.name = NODE, .session = node->runner->session};
    struct decided_slot slot = {.execution = id_next(&node->ids, clock_system.wall_ms(NULL)),
                                .scheduled_ms = marks.mark_ms + 1,
                                .trigger = TRIGGER_SCHEDULE};
    struct decision decision = {.serial = row.serial, .job_version = 1, .from_mark_ms = marks.mark_ms,
                                .to_mark_ms = marks.mark_ms + 1, .slot_count = 1, .slots = &slot};
    struct decide_builder builder;
    struct buffer command;
    buffer_init(&command, ENTRY_SIZE_MAX);
    decide_begin(&builder, &command, &place, 1);
    decide_add(&builder, &decision);
    decide_end(&builder);
    assert_int_equal(node_propose(node, &command).status, STATUS_OK);
    buffer_deinit(&command);
    node_wait(node, run_ended(node, &slot.execution));
    assert_int_equal(run_outcome(node, &slot.execution), RUN_SUCCESS);

    char id[ID_TEXT_SIZE], at[TIME_TEXT_SIZE], key[128];
    id_format(JOB_ID_PREFIX, &job, id);
    time_format(slot.scheduled_ms, at);
    (void)snprintf(key, sizeof key, "trigger=schedule key=%s:%s trace", id, at);
    assert_true(journal_has(node, key));
    struct runner_stats stats = stats_of(node);
    uint64_t counted = 0;
    for (int i = 0; i < LATE_BUCKETS; i++)
        counted += stats.start_late_buckets[i];
    assert_int_equal(counted, 1);
}

static void test_failure(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct id run = run_to_end(node, "\"executor\":\"probe\",\"config\":{\"act\":\"fail\"}");
    assert_int_equal(run_outcome(node, &run), RUN_FAILED);
    cJSON *json = run_json(node, &run);
    assert_json_int(json, "exit_code", 3);
    assert_json_string(json, "error", "it went wrong");
    cJSON_Delete(json);
}

static void test_start_refused(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct id run = run_to_end(node, "\"executor\":\"probe\",\"config\":{\"act\":\"refuse\"}");
    assert_int_equal(run_outcome(node, &run), RUN_FAILED);
    cJSON *json = run_json(node, &run);
    assert_json_string(json, "error", "no place left");
    cJSON_Delete(json);
    run = run_to_end(node, "\"executor\":\"probe\",\"config\":{\"act\":\"refuse_for_ever\"}");
    json = run_json(node, &run);
    assert_json_string(json, "error", "no such program");
    cJSON_Delete(json);
}

static void test_cancelled_though_nobody_asked(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct id run = run_to_end(node, "\"executor\":\"probe\",\"config\":{\"act\":\"cancelled\"}");
    assert_int_equal(run_outcome(node, &run), RUN_FAILED);
}

static void check_cannot_start(struct node *node, const char *members, const char *expected)
{
    uint32_t starts = journal_count(node, "start ");
    struct id run = run_to_end(node, members);
    assert_int_equal(run_outcome(node, &run), RUN_FAILED);
    cJSON *json = run_json(node, &run);
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(json, "error");
    assert_true(cJSON_IsString(error));
    if (strstr(error->valuestring, expected) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error->valuestring, expected);
    cJSON_Delete(json);
    assert_int_equal(journal_count(node, "start "), starts);
}

static void test_cannot_start(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    check_cannot_start(node, "\"executor\":\"nobody\"", "no executor \"nobody\"");
    check_cannot_start(node, "\"config\":{}", "names no executor");
    check_cannot_start(node, "\"executor\":\"probe\",\"config\":{\"act\":\"dance\"}", "act");
    check_cannot_start(node, "\"executor\":\"probe\",\"config\":{\"acct\":\"fail\"}", "acct");
    check_cannot_start(node, "\"executor\":\"probe\",\"config\":{\"text\":\"${env:CHRONOS_TEST_NOT_SET}\"}",
                       "CHRONOS_TEST_NOT_SET");
}

static void test_secret_and_overrides(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    assert_int_equal(setenv("CHRONOS_TEST_SECRET", "sesame", 1), 0);
    struct id job = node_job(node, "secret", "\"executor\":\"probe\",\"config\":{\"act\":\"fail\",\"text\":\"${env:CHRONOS_TEST_SECRET}\"}");
    struct id run = node_trigger(node, &job, "{\"act\":\"succeed\"}");
    node_wait(node, run_ended(node, &run));
    assert_int_equal(run_outcome(node, &run), RUN_SUCCESS);
    assert_true(journal_has(node, "text=sesame"));
    run = node_trigger(node, &job, "{\"act\":null,\"text\":\"plain\"}"); /* the default acts */
    node_wait(node, run_ended(node, &run));
    assert_int_equal(run_outcome(node, &run), RUN_SUCCESS);
    assert_true(journal_has(node, "text=plain"));
}

static void test_double_complete(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    char gate[300], members[512];
    gate_path(node, "twice", gate);
    (void)snprintf(members, sizeof members, "\"executor\":\"probe\",\"config\":{\"act\":\"stubborn\",\"gate\":\"%s\"}", gate);
    struct id job = node_job(node, "twice", members);
    struct id run = node_trigger(node, &job, NULL);
    node_wait(node, run_in_phase(node, &run, PHASE_RUNNING));
    gate_open(node, "twice");
    node_wait(node, run_ended(node, &run) && journal_count(node, "completed ") == 2);
    assert_int_equal(run_outcome(node, &run), RUN_SUCCESS);
    assert_int_equal(journal_count(node, "completed 0\n"), 1);
    assert_int_equal(journal_count(node, "completed -15\n"), 1);
    assert_int_equal(stats_of(node).finished, 1);
}

static void test_token_of_nobody(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct attempts *attempts = &node->runner->attempts;
    const struct dispatcher *dispatcher = node->runner->instances[0].dispatcher;
    struct chronos_result result = {.struct_size = sizeof result, .outcome = CHRONOS_OUTCOME_SUCCESS};
    const uint64_t tokens[] = {0, 1, UINT64_MAX, UINT64_C(1) << 20, (UINT64_C(1) << 20) + 63};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        assert_int_equal(attempts_complete(attempts, dispatcher, tokens[i], &result), CHRONOS_MISUSE);
        assert_int_equal(attempts_output(attempts, dispatcher, tokens[i], "x", 1), CHRONOS_NOTFOUND);
    }
}

/* --- many --- */

static uint64_t count_executions(struct node *node)
{
    struct state_view view;
    OK(state_view_begin(cluster_state(node->cluster), &view, &failure));
    uint64_t count = state_count_executions(&view);
    state_view_end(&view);
    return count;
}

static void on_triggered(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    uint32_t *answers = arg;
    (void)token;
    assert_int_equal(outcome->status, STATUS_OK);
    assert_int_equal(outcome->result.status, STATUS_OK);
    (*answers)++;
}

static void test_many(void **state)
{
    enum { RUNS = 3000 };
    struct node *node = &((struct fixture *)*state)->node;
    struct id job = node_job(node, "many", "\"executor\":\"probe\",\"config\":{\"quiet\":true}");
    struct buffer command;
    uint32_t answers = 0;
    buffer_init(&command, ENTRY_SIZE_MAX);
    for (int i = 0; i < RUNS; i++) {
        struct trigger_run trigger = {.job = job, .execution = id_next(&node->ids, clock_system.wall_ms(NULL)),
                                      .node = {.name = NODE, .session = node->runner->session}, .force = true};
        buffer_clear(&command);
        trigger_run_encode(&trigger, &command);
        OK(cluster_propose(node->cluster, PROPOSE_REPORT, buffer_bytes(&command), on_triggered, &answers, 0, &failure));
    }
    buffer_deinit(&command);
    node_wait(node, count_executions(node) == RUNS);
    struct runner_stats stats = stats_of(node);
    assert_int_equal(answers, RUNS);
    assert_int_equal(stats.started, RUNS);
    assert_int_equal(stats.finished, RUNS);
    node_wait(node, node->runner->attempts.count == 0);
    assert_int_equal(node->runner->jobs.jobs.count, 1); /* parsed once */
}

/* --- limits --- */

static void test_table_is_bounded(void **state)
{
    struct capture_budget budget = {.limit_bytes = 0};
    struct attempts attempts;
    struct attempt *attempt;
    struct open_run run = {.attempt = 1};
    struct error err;
    (void)state;
    attempts_init(&attempts, &clock_system, &budget, 0, 0, NULL);
    for (uint32_t i = 0; i < RUN_ATTEMPTS_MAX; i++) {
        memcpy(run.execution.bytes, &i, sizeof i);
        OK(attempts_add(&attempts, &run, &attempt, &failure));
    }
    memset(run.execution.bytes, 0xff, sizeof run.execution.bytes);
    assert_int_equal(attempts_add(&attempts, &run, &attempt, &err), STATUS_TOO_MANY);
    uint64_t token = attempts.slots[7]->token;
    attempts_forget(&attempts, attempts.slots[7]);
    OK(attempts_add(&attempts, &run, &attempt, &failure)); /* its place is free, its token never comes back */
    assert_ptr_equal(attempts.slots[7], attempt);
    assert_int_not_equal(attempt->token, token);
    assert_null(attempts_by_token(&attempts, token));
    attempts_deinit(&attempts);
}

static void test_queue_is_bounded(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct dispatcher *dispatcher = node->runner->instances[0].dispatcher;
    char gate[300], members[512];
    gate_path(node, "full", gate);
    (void)snprintf(members, sizeof members, "\"executor\":\"probe\",\"config\":{\"act\":\"hang\",\"gate\":\"%s\"}", gate);
    struct id job = node_job(node, "hanging", members);
    struct id hanging = node_trigger(node, &job, NULL);
    node_wait(node, journal_has(node, "job=hanging"));
    struct attempt *many = calloc(RUN_QUEUE_MAX, sizeof *many);
    assert_non_null(many);
    for (uint32_t i = 0; i < RUN_QUEUE_MAX; i++)
        assert_true(dispatcher_start(dispatcher, &many[i]));
    struct id late = node_trigger(node, &job, NULL);
    node_wait(node, run_in_phase(node, &late, PHASE_READY)); /* given back */
    assert_int_equal(run_open(node, &late).reason, REASON_CAPACITY);
    for (uint32_t i = 0; i < RUN_QUEUE_MAX; i++)
        assert_ptr_equal(dispatcher_take_back_any(dispatcher), &many[i]);
    assert_null(dispatcher_take_back_any(dispatcher));
    free(many);
    gate_open(node, "full");
    node_wait(node, run_ended(node, &hanging));
}

static void test_cache_is_bounded(void **state)
{
    enum { JOBS = JOB_CACHE_MAX + 20 };
    struct node *node = &((struct fixture *)*state)->node;
    struct id first = {{0}};
    for (int i = 0; i < JOBS; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "cached-%d", i);
        struct id job = node_job(node, name, "\"executor\":\"probe\",\"config\":{\"quiet\":true}");
        struct id run = node_trigger(node, &job, NULL);
        first = i == 0 ? job : first;
        node_wait(node, run_ended(node, &run));
        assert_int_equal(run_outcome(node, &run), RUN_SUCCESS);
    }
    assert_int_equal(node->runner->jobs.jobs.count, JOB_CACHE_MAX);
    struct id run = node_trigger(node, &first, NULL); /* it was dropped, and is read again */
    node_wait(node, run_ended(node, &run));
    assert_int_equal(run_outcome(node, &run), RUN_SUCCESS);
    assert_int_equal(node->runner->jobs.jobs.count, JOB_CACHE_MAX);
}

static void test_cache_bounds_bytes(void **state)
{
    enum { JOBS = 20, PADDING = 250 * 1024 }; /* more than JOB_CACHE_BYTES_MAX together */
    struct node *node = &((struct fixture *)*state)->node;
    char *members = malloc(PADDING + 200);
    assert_non_null(members);
    int size = snprintf(members, 100, "\"executor\":\"probe\",\"description\":\"");
    memset(members + size, 'd', PADDING);
    members[size + PADDING] = '"';
    members[size + PADDING + 1] = '\0';
    for (int i = 0; i < JOBS; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "large-%d", i);
        struct id job = node_job(node, name, members);
        struct id run = node_trigger(node, &job, NULL);
        node_wait(node, run_ended(node, &run));
    }
    free(members);
    assert_true(node->runner->jobs.text_bytes <= JOB_CACHE_BYTES_MAX);
    assert_true(node->runner->jobs.jobs.count < JOBS);
    assert_true(node->runner->jobs.jobs.count >= JOB_CACHE_BYTES_MAX / (PADDING + 200) - 1);
}

/* --- executors that misbehave as wholes --- */

static void test_wedged(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    char gate[300], members[512];
    gate_path(node, "hang", gate);
    (void)snprintf(members, sizeof members, "\"executor\":\"probe\",\"config\":{\"act\":\"hang\",\"gate\":\"%s\"}", gate);
    struct id hanging = node_job(node, "hanging", members), quick = node_job(node, "quick", "\"executor\":\"probe\"");
    struct id first = node_trigger(node, &hanging, NULL);
    node_wait(node, journal_has(node, "job=hanging"));
    struct id second = node_trigger(node, &quick, NULL);
    node_wait(node, run_in_phase(node, &second, PHASE_READY)); /* given back: it was never started */
    assert_int_equal(run_open(node, &second).reason, REASON_EXECUTOR_FAILED);
    assert_int_equal(stats_of(node).wedged_instances, 1);
    node_wait(node, node_row_of(node).executor_count == 0);
    gate_open(node, "hang");
    node_wait(node, run_ended(node, &first));
    assert_int_equal(run_outcome(node, &first), RUN_SUCCESS);
    node_wait(node, node_row_of(node).executor_count == 1);
    assert_int_equal(stats_of(node).wedged_instances, 0);
    assert_false(journal_has(node, "job=quick"));
}

static void test_start_that_hangs_times_out(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    char gate[300], members[512];
    node->runner->write_off_ms = 50;
    node->runner->config.grace_ms = 10;
    gate_path(node, "hang", gate);
    (void)snprintf(members, sizeof members,
                   "\"executor\":\"probe\",\"timeout\":\"200ms\",\"config\":{\"act\":\"hang\",\"gate\":\"%s\"}", gate);
    struct id job = node_job(node, "hanging", members);
    struct id run = node_trigger(node, &job, NULL);
    node_wait(node, run_ended(node, &run));
    assert_int_equal(run_outcome(node, &run), RUN_TIMEOUT);
    gate_open(node, "hang");
    node_wait(node, journal_has(node, "completed -3")); /* too late */
    node_wait(node, journal_has(node, "cancel reason=2"));
    node_wait(node, node->runner->attempts.count == 0);
}

static void test_broken_instance(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct id job = node_job(node, "waiting", "\"executor\":\"probe\",\"config\":{\"act\":\"wait\"}");
    struct id waiting = node_trigger(node, &job, NULL);
    node_wait(node, run_in_phase(node, &waiting, PHASE_RUNNING));
    job = node_job(node, "breaking", "\"executor\":\"probe\",\"config\":{\"act\":\"break\"}");
    struct id breaking = node_trigger(node, &job, NULL);
    node_wait(node, run_in_phase(node, &waiting, PHASE_READY) && run_in_phase(node, &breaking, PHASE_READY)); /* taken over */
    struct open_run run = run_open(node, &waiting);
    assert_int_equal(run.reason, REASON_EXECUTOR_FAILED);
    assert_int_equal(run.history[0].outcome, RUN_LOST);
    assert_string_equal(run.history[0].error, "the probe is broken");
    node_wait(node, node_row_of(node).executor_count == 0);
    struct id late = node_trigger(node, &job, NULL);
    node_wait(node, run_in_phase(node, &late, PHASE_READY));
    assert_int_equal(journal_count(node, "job=breaking"), 1);
}

/* --- checking a job --- */

static void test_validate(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct chronos_param params[] = {
        {.name = "act", .type = CHRONOS_OPTION_ENUM, .value = {"hang", 4}},
        {.name = "gate", .type = CHRONOS_OPTION_STRING, .value = {"/gate", 5}},
    };
    struct error err;
    OK(runner_validate(node->runner, "probe", params, 2, "job", &failure));
    assert_int_equal(runner_validate(node->runner, "probe", params, 1, "job", &err), STATUS_INVALID);
    assert_string_equal(err.message, "a run that hangs needs a gate");
    assert_int_equal(runner_validate(node->runner, "nobody", params, 1, "job", &err), STATUS_EXECUTOR_UNKNOWN);
    assert_false(runner_validates_quickly(node->runner, "probe")); /* it promises nothing: never on the loop */
    assert_false(runner_validates_quickly(node->runner, "nobody"));
}

static void test_bad_configuration(void **state)
{
    struct node *node = &((struct fixture *)*state)->node;
    struct runner_config config = node->runner->config;
    struct runner *runner;
    struct error err;
    char name[NODE_TEXT_SIZE + 1];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    config.node_id = name;
    assert_int_equal(runner_new(&config, &runner, &err), STATUS_INVALID);
    config = node->runner->config;
    config.captured_output_bytes = (int64_t)CAPTURED_OUTPUT_MAX + 1;
    assert_int_equal(runner_new(&config, &runner, &err), STATUS_INVALID);
    config = node->runner->config;
    config.replicated_output_bytes = REPLICATED_OUTPUT_MAX + 1;
    assert_int_equal(runner_new(&config, &runner, &err), STATUS_INVALID);
    config = node->runner->config;
    char directory[256];
    const struct plugin_component *twice[] = {dispatcher_component(node->runner->instances[0].dispatcher),
                                              dispatcher_component(node->runner->instances[0].dispatcher)};
    temporary_directory(directory);
    config.data_dir = directory;
    config.executors = twice;
    config.executor_count = 2;
    assert_int_equal(runner_new(&config, &runner, &err), STATUS_INVALID);
    config.captured_output_bytes = CAPTURED_OUTPUT_MAX; /* the most that is taken: only the doubled executor is refused */
    config.replicated_output_bytes = REPLICATED_OUTPUT_MAX;
    assert_int_equal(runner_new(&config, &runner, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "is given twice"));
    remove_directory(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_success, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_the_executor_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slot_is_the_key_and_lateness_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_start_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancelled_though_nobody_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cannot_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_secret_and_overrides, setup, teardown),
        cmocka_unit_test_setup_teardown(test_double_complete, setup, teardown),
        cmocka_unit_test_setup_teardown(test_token_of_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup, teardown),
        cmocka_unit_test(test_table_is_bounded),
        cmocka_unit_test_setup_teardown(test_queue_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cache_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cache_bounds_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wedged, setup_hasty, teardown),
        cmocka_unit_test_setup_teardown(test_start_that_hangs_times_out, setup_hasty, teardown),
        cmocka_unit_test_setup_teardown(test_broken_instance, setup, teardown),
        cmocka_unit_test_setup_teardown(test_validate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_configuration, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
