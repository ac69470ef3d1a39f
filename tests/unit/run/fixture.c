#define _XOPEN_SOURCE 700
#include "fixture.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/codec.h"

struct error failure;

const struct node_options node_defaults = {
    .replicated_bytes = 1024, .captured_bytes = 1 << 20, .grace_ms = 1000, .write_off_ms = 5000, .wedged_ms = 5000,
    .retention_ms = INT64_C(7) * 24 * 3600 * 1000,
};

void ok(enum status status, const char *call, const char *file, int line)
{
    if (status != STATUS_OK)
        fail_msg("%s:%d: %s: %s (%s)", file, line, call, failure.message, status_name(status));
}

/* --- plugins and folders --- */

static const struct plugin_component *component(int32_t kind, const char *id)
{
    static struct plugin_registry *registry;
    if (registry == NULL) {
        OK(plugin_registry_new(&registry, &failure));
        OK(plugin_load(registry, PLUGIN_DIRECTORY, "storage_lmdb.so", NULL, &failure));
        OK(plugin_load(registry, PROBE_DIRECTORY, "executor_probe.so", NULL, &failure));
    }
    const struct plugin_component *found = plugin_find(registry, kind, id);
    assert_non_null(found);
    return found;
}

const struct plugin_component *backend(void)
{
    return component(CHRONOS_KIND_STORAGE, "lmdb");
}

void temporary_directory(char out[256])
{
    const char *base = getenv("TMPDIR");
    (void)snprintf(out, 256, "%s/chronos-run-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(out));
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

void remove_directory(const char *directory)
{
    (void)nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS); /* what stays is in a temporary folder */
}

/* --- life --- */

_Atomic int64_t clock_shift_ms;

static int64_t wall_ms(void *arg)
{
    return clock_system.wall_ms(arg);
}

static uint64_t monotonic_ns(void *arg)
{
    return clock_system.monotonic_ns(arg) + (uint64_t)clock_shift_ms * 1000000;
}

static const struct clock shifted_clock = {wall_ms, monotonic_ns, NULL};

static void no_changes(void *arg, const struct state_changes *changes, struct state_position applied)
{
    (void)arg;
    (void)changes;
    (void)applied;
}

static int64_t never(void *arg, int64_t now_ms)
{
    (void)arg;
    (void)now_ms;
    return INT64_MAX;
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer; /* turning the loop is all */
}

static void open_runner(struct node *node, const struct node_options *options)
{
    const struct plugin_component *probe = component(CHRONOS_KIND_EXECUTOR, "probe");
    cJSON *probe_options = cJSON_CreateObject();
    cJSON_AddStringToObject(probe_options, "journal", node->journal);
    const cJSON *const executor_options[] = {probe_options};
    struct runner_config config = {.loop = &node->loop,
                                   .clock = &shifted_clock,
                                   .node_id = NODE,
                                   .data_dir = node->directory,
                                   .backend = backend(),
                                   .executors = &probe,
                                   .executor_options = executor_options,
                                   .executor_count = 1,
                                   .max_concurrent = 64,
                                   .grace_ms = options->grace_ms,
                                   .lease_ms = options->lease_ms,
                                   .replicated_output_bytes = options->replicated_bytes,
                                   .captured_output_bytes = options->captured_bytes,
                                   .output_retention_ms = options->retention_ms};
    OK(runner_new(&config, &node->runner, &failure));
    node->runner->write_off_ms = options->write_off_ms;
    node->runner->wedged_ms = options->wedged_ms;
    cJSON_Delete(probe_options);
}

void node_open_unannounced(struct node *node, const char *directory, const struct node_options *options)
{
    memset(node, 0, sizeof *node);
    (void)snprintf(node->directory, sizeof node->directory, "%s", directory);
    (void)snprintf(node->journal, sizeof node->journal, "%s/journal", directory);
    assert_int_equal(uv_loop_init(&node->loop), 0);
    assert_int_equal(uv_timer_init(&node->loop, &node->tick), 0);
    assert_int_equal(uv_timer_start(&node->tick, on_tick, 5, 5), 0);
    id_source_init(&node->ids, 0);
    open_runner(node, options);
    struct cluster_config config = {.loop = &node->loop,
                                    .clock = &clock_system,
                                    .node_id = NODE,
                                    .data_dir = node->directory,
                                    .backend = backend(),
                                    .min_free_bytes = 1,
                                    .leader = {.changes = no_changes, .run = never},
                                    .runner = runner_ops(node->runner)};
    OK(cluster_open(&config, &node->cluster, &failure));
    runner_attach(node->runner, node->cluster);
    OK(cluster_start(node->cluster, &failure));
}

static bool is_announced(struct node *node)
{
    return node_row_of(node).session == node->runner->session;
}

void node_open(struct node *node, const char *directory, const struct node_options *options)
{
    node_open_unannounced(node, directory, options);
    node_wait(node, is_announced(node));
}

static void on_drained(void *arg)
{
    struct node *node = arg;
    assert_false(node->drained);
    node->drained = true;
}

void node_drain(struct node *node, int64_t timeout_ms)
{
    runner_drain(node->runner, timeout_ms, on_drained, node);
    assert_false(node->drained);
    node_wait(node, node->drained);
}

static void on_stopped(void *arg)
{
    struct node *node = arg;
    node->stopped = true;
}

void node_stop(struct node *node)
{
    cluster_stop(node->cluster, on_stopped, node);
    node_wait(node, node->stopped);
}

void node_close(struct node *node)
{
    if (!node->drained)
        node_drain(node, 0);
    if (!node->stopped)
        node_stop(node);
    runner_free(node->runner);
    cluster_free(node->cluster);
    uv_close((uv_handle_t *)&node->tick, NULL);
    (void)uv_run(&node->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&node->loop), 0);
}

/* --- commands --- */

static void on_answer(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    struct node *node = arg;
    (void)token;
    assert_int_equal(outcome->status, STATUS_OK);
    node->result = outcome->result;
    node->answered = true;
}

struct apply_result node_propose(struct node *node, const struct buffer *command)
{
    assert_int_equal(command->failed, STATUS_OK);
    node->answered = false;
    OK(cluster_propose(node->cluster, PROPOSE_CLIENT, buffer_bytes(command), on_answer, node, 0, &failure));
    node_wait(node, node->answered);
    return node->result;
}

struct id node_job(struct node *node, const char *name, const char *members)
{
    static const char *const schedule = "@manually";
    struct buffer command, document;
    struct job_put put = {.id = id_next(&node->ids, clock_system.wall_ms(NULL))};
    buffer_init(&command, ENTRY_SIZE_MAX);
    buffer_init(&document, ENTRY_SIZE_MAX);
    buffer_appendf(&document, "{\"name\":\"%s\",%s}", name, members);
    put.spec = (struct job_spec){.id = put.id, .enabled = true, .concurrency = CONCURRENCY_ALLOW, .max_concurrent = 1000,
                                 .catchup_limit = 100, .timeout_ms = 60000, .schedule_count = 1, .schedules = {schedule},
                                 .retry = {.max_attempts = 1, .initial_interval_ms = 1000, .max_interval_ms = 1000,
                                           .multiplier_thousandths = 1000}};
    (void)snprintf(put.spec.name, sizeof put.spec.name, "%s", name);
    (void)snprintf(put.spec.executor, sizeof put.spec.executor, "probe");
    (void)snprintf(put.spec.timezone, sizeof put.spec.timezone, "UTC");
    put.document = buffer_bytes(&document);
    job_put_encode(&put, &command);
    struct apply_result result = node_propose(node, &command);
    assert_int_equal(result.status, STATUS_OK);
    buffer_deinit(&command);
    buffer_deinit(&document);
    return put.id;
}

struct id node_trigger(struct node *node, const struct id *job, const char *overrides)
{
    struct buffer command;
    struct trigger_run trigger = {.job = *job, .execution = id_next(&node->ids, clock_system.wall_ms(NULL))};
    if (overrides != NULL)
        trigger.overrides = (struct bytes){overrides, strlen(overrides)};
    trigger.node.session = node->runner->session;
    (void)snprintf(trigger.node.name, sizeof trigger.node.name, NODE);
    buffer_init(&command, ENTRY_SIZE_MAX);
    trigger_run_encode(&trigger, &command);
    assert_int_equal(node_propose(node, &command).status, STATUS_OK);
    buffer_deinit(&command);
    return trigger.execution;
}

void node_cancel(struct node *node, const struct id *execution)
{
    struct buffer command;
    struct cancel_run cancel = {.execution = *execution, .reason = REASON_USER};
    buffer_init(&command, ENTRY_SIZE_MAX);
    cancel_encode(&cancel, 1, &command);
    assert_int_equal(node_propose(node, &command).status, STATUS_OK);
    buffer_deinit(&command);
}

/* --- the state --- */

static enum status read_open(struct node *node, const struct id *execution, struct open_run *ret)
{
    struct state_view view;
    OK(state_view_begin(cluster_state(node->cluster), &view, &failure));
    enum status status = state_get_open(&view, execution, ret, &failure);
    ret->overrides = (struct bytes){NULL, 0};
    state_view_end(&view);
    return status;
}

bool run_in_phase(struct node *node, const struct id *execution, enum run_phase phase)
{
    struct open_run run;
    return read_open(node, execution, &run) == STATUS_OK && run.phase == phase;
}

struct open_run run_open(struct node *node, const struct id *execution)
{
    struct open_run run;
    OK(read_open(node, execution, &run));
    return run;
}

static enum status read_ended(struct node *node, const struct id *execution, enum run_status *ret, cJSON **ret_json)
{
    struct state_view view;
    struct execution_row row;
    OK(state_view_begin(cluster_state(node->cluster), &view, &failure));
    enum status status = state_get_execution(&view, execution, &row, &failure);
    if (status == STATUS_OK) {
        *ret = row.status;
        if (ret_json != NULL)
            OK(json_parse(row.json.data, row.json.size, ret_json, &failure));
    }
    state_view_end(&view);
    return status;
}

bool run_ended(struct node *node, const struct id *execution)
{
    enum run_status status;
    return read_ended(node, execution, &status, NULL) == STATUS_OK;
}

enum run_status run_outcome(struct node *node, const struct id *execution)
{
    enum run_status status = RUN_PENDING;
    OK(read_ended(node, execution, &status, NULL));
    return status;
}

cJSON *run_json(struct node *node, const struct id *execution)
{
    enum run_status status;
    cJSON *json = NULL;
    OK(read_ended(node, execution, &status, &json));
    return json;
}

void assert_json_string(const cJSON *object, const char *key, const char *expected)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!cJSON_IsString(item))
        fail_msg("%s is no string", key);
    assert_string_equal(item->valuestring, expected);
}

void assert_json_int(const cJSON *object, const char *key, int64_t expected)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!cJSON_IsNumber(item))
        fail_msg("%s is no number", key);
    assert_int_equal((int64_t)item->valuedouble, expected);
}

struct node_row node_row_of(struct node *node)
{
    struct state_view view;
    struct node_row row = {.session = 0};
    OK(state_view_begin(cluster_state(node->cluster), &view, &failure));
    enum status status = state_get_node(&view, NODE, &row, &failure);
    assert_true(status == STATUS_OK || status == STATUS_NOT_FOUND);
    state_view_end(&view);
    return row;
}

/* --- the probe --- */

uint32_t journal_count(const struct node *node, const char *text)
{
    struct buffer journal;
    uint32_t count = 0;
    buffer_init(&journal, 16 << 20);
    if (access(node->journal, F_OK) == 0)
        OK(file_read(node->journal, &journal, &failure));
    for (const char *at = journal.data; at != NULL && (at = strstr(at, text)) != NULL; at += strlen(text))
        count++;
    buffer_deinit(&journal);
    return count;
}

bool journal_has(const struct node *node, const char *text)
{
    return journal_count(node, text) > 0;
}

void gate_path(const struct node *node, const char *name, char out[300])
{
    (void)snprintf(out, 300, "%s/gate-%s", node->directory, name);
}

void gate_open(const struct node *node, const char *name)
{
    char path[300];
    gate_path(node, name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
}
