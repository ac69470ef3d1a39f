#define _XOPEN_SOURCE 700
#include "fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/codec.h"

const char *fixture_backend = "lmdb";

void fixture_use(const char *backend)
{
    fixture_backend = backend;
}

struct error failure;

static const struct plugin_component *component(const char *backend)
{
    static struct plugin_registry *registry;
    if (!registry) {
        OK(plugin_registry_new(&registry, &failure));
        OK(plugin_load(registry, PLUGIN_DIRECTORY, "storage_lmdb.so", NULL, &failure));
        OK(plugin_load(registry, PLUGIN_DIRECTORY, "storage_sqlite.so", NULL, &failure));
    }
    const struct plugin_component *found = plugin_find(registry, CHRONOS_KIND_STORAGE, backend);
    assert_non_null(found);
    return found;
}

struct store *fixture_store(struct fixture *f)
{
    struct store_options options = {.role = CHRONOS_STORAGE_STATE, .directory = f->directory, .max_readers = 16,
                                    .max_map_bytes = f->map_bytes};
    struct store *store = NULL;
    OK(store_open(component(f->backend), "state", NULL, &clock_system, &options, &store, &failure));
    return store;
}

static void open_state(struct fixture *f)
{
    f->store = fixture_store(f);
    OK(state_new(f->store, &f->state, &failure));
}

struct fixture *fixture_open(const char *backend, uint64_t map_bytes)
{
    struct fixture *f = fixture_open_empty(backend, map_bytes);
    OK(state_new(f->store, &f->state, &failure));
    return f;
}

struct fixture *fixture_open_empty(const char *backend, uint64_t map_bytes)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    const char *base = getenv("TMPDIR");
    (void)snprintf(f->directory, sizeof f->directory, "%s/chronos-state-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(f->directory));
    f->backend = backend;
    f->map_bytes = map_bytes;
    f->now_ms = START_MS;
    id_source_init(&f->ids, 7);
    state_changes_init(&f->changes);
    f->store = fixture_store(f);
    return f;
}

void fixture_close_state(struct fixture *f)
{
    state_free(f->state);
    f->state = NULL;
    store_close(f->store);
    f->store = NULL;
}

void fixture_reopen(struct fixture *f)
{
    fixture_close_state(f);
    open_state(f);
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

void fixture_close(struct fixture *f)
{
    fixture_close_state(f);
    state_changes_deinit(&f->changes);
    table_rows_free(&f->mirror.open);
    table_rows_free(&f->mirror.marks);
    table_rows_free(&f->mirror.sched);
    (void)nftw(f->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS); /* what stays is in a temporary folder */
    free(f);
}

int fixture_setup(void **state)
{
    *state = fixture_open(fixture_backend, 0);
    return 0;
}

int fixture_teardown(void **state)
{
    fixture_close(*state);
    return 0;
}

/* --- the mirror --- */

static uint32_t place_of(const struct table_rows *rows, struct bytes key)
{
    uint32_t at = 0;
    while (at < rows->count && memcmp(rows->items[at].key.data, key.data, key.size) < 0)
        at++;
    return at;
}

static void mirror_remove(struct table_rows *rows, struct bytes key)
{
    const struct table_row *found = table_rows_find(rows, key.data, key.size);
    if (!found)
        return;
    uint32_t at = (uint32_t)(found - rows->items);
    free((void *)(uintptr_t)found->key.data);
    rows->count--;
    memmove(&rows->items[at], &rows->items[at + 1], (rows->count - at) * sizeof *rows->items);
}

static void mirror_put(struct table_rows *rows, struct bytes key, struct bytes row)
{
    mirror_remove(rows, key);
    uint32_t at = place_of(rows, key);
    if (rows->count == rows->capacity) {
        rows->capacity = rows->capacity ? rows->capacity * 2 : 64;
        rows->items = realloc(rows->items, rows->capacity * sizeof *rows->items);
        assert_non_null(rows->items);
    }
    memmove(&rows->items[at + 1], &rows->items[at], (rows->count - at) * sizeof *rows->items);
    char *copy = malloc(key.size + row.size);
    assert_non_null(copy);
    memcpy(copy, key.data, key.size);
    memcpy(copy + key.size, row.data, row.size);
    rows->items[at] = (struct table_row){{copy, key.size}, {copy + key.size, row.size}};
    rows->count++;
}

static void mirror_marks(struct mirror *mirror, uint64_t serial, const struct job_marks *marks)
{
    uint8_t key[8], row[JOB_MARKS_SIZE];
    store_be64(key, serial);
    job_marks_encode(marks, row);
    if (marks->deleted && marks->active == 0)
        mirror_remove(&mirror->marks, (struct bytes){key, sizeof key});
    else
        mirror_put(&mirror->marks, (struct bytes){key, sizeof key}, (struct bytes){row, sizeof row});
}

static void mirror_change(struct mirror *mirror, const struct state_change *change)
{
    uint8_t key[8];
    struct bytes serial = {key, sizeof key}, execution = {change->execution.bytes, sizeof change->execution.bytes};
    store_be64(key, change->serial);
    switch (change->kind) {
    case CHANGE_JOB:
        mirror_put(&mirror->sched, serial, change->row);
        mirror_marks(mirror, change->serial, &change->marks);
        return;
    case CHANGE_JOB_DELETED:
        mirror_remove(&mirror->sched, serial);
        mirror_marks(mirror, change->serial, &change->marks);
        return;
    case CHANGE_MARKS:
        mirror_marks(mirror, change->serial, &change->marks);
        return;
    case CHANGE_OPEN:
        mirror_put(&mirror->open, execution, change->row);
        return;
    case CHANGE_CLOSED:
        assert_int_equal(change->was_open, table_rows_find(&mirror->open, execution.data, execution.size) != NULL);
        mirror_remove(&mirror->open, execution);
        return;
    case CHANGE_DROPPED:
        assert_int_not_equal(change->count, 0);
        return;
    case CHANGE_NODE:
    case CHANGE_NODE_GONE:
        assert_int_not_equal(change->row.size, 0);
        return;
    }
    fail_msg("a change of unknown kind %d", (int)change->kind);
}

static void check_mirror(struct state_view *view, enum state_table table, const struct table_rows *mirror)
{
    struct table_rows rows;
    OK(table_rows_load(view, table, &rows, &failure));
    assert_int_equal(rows.count, mirror->count);
    for (uint32_t i = 0; i < rows.count; i++) {
        assert_int_equal(rows.items[i].key.size, mirror->items[i].key.size);
        assert_memory_equal(rows.items[i].key.data, mirror->items[i].key.data, rows.items[i].key.size);
        assert_int_equal(rows.items[i].row.size, mirror->items[i].row.size);
        assert_memory_equal(rows.items[i].row.data, mirror->items[i].row.data, rows.items[i].row.size);
    }
    table_rows_free(&rows);
}

void fixture_check(struct fixture *f)
{
    struct state_view view;
    for (uint32_t i = 0; i < f->changes.count; i++)
        mirror_change(&f->mirror, &f->changes.items[i]);
    if (f->unchecked)
        return;
    OK(state_view_begin(f->state, &view, &failure));
    OK(state_check_invariants(&view, &failure));
    check_mirror(&view, STATE_OPEN, &f->mirror.open);
    check_mirror(&view, STATE_MARKS, &f->mirror.marks);
    check_mirror(&view, STATE_SCHED, &f->mirror.sched);
    state_view_end(&view);
}

uint64_t fixture_hash(struct fixture *f)
{
    struct state_view view;
    uint64_t hash = 0;
    OK(state_view_begin(f->state, &view, &failure));
    OK(state_hash(&view, &hash, &failure));
    state_view_end(&view);
    return hash;
}

struct id fixture_id(struct fixture *f)
{
    return id_next(&f->ids, f->now_ms);
}

/* --- apply --- */

struct buffer command_buffer(void)
{
    struct buffer buffer;
    buffer_init(&buffer, ENTRY_SIZE_MAX);
    return buffer;
}

struct apply_result fixture_apply(struct fixture *f, struct buffer *command)
{
    struct apply_result result = {.index = 0};
    assert_int_equal(command->failed, STATUS_OK);
    command_stamp(command->data, f->now_ms);
    struct state_position at = state_applied(f->state);
    struct state_entry entry = {.index = at.index + 1, .term = at.term ? at.term : 1, .command = buffer_bytes(command)};
    state_changes_clear(&f->changes);
    OK(state_apply(f->state, &entry, 1, &result, &f->changes, &failure));
    buffer_deinit(command);
    assert_int_equal(result.index, entry.index);
    assert_int_equal(state_applied(f->state).index, entry.index);
    fixture_check(f);
    return result;
}

enum status fixture_apply_fatal(struct fixture *f, struct buffer *command, struct error *err)
{
    struct apply_result result;
    uint64_t before = fixture_hash(f);
    command_stamp(command->data, f->now_ms);
    struct state_position at = state_applied(f->state);
    struct state_entry entry = {.index = at.index + 1, .term = at.term ? at.term : 1, .command = buffer_bytes(command)};
    state_changes_clear(&f->changes);
    enum status status = state_apply(f->state, &entry, 1, &result, &f->changes, err);
    buffer_deinit(command);
    assert_int_not_equal(status, STATUS_OK);
    assert_int_equal(status, err->code);
    assert_int_equal(f->changes.count, 0);
    assert_int_equal(state_applied(f->state).index, at.index);
    assert_true(before == fixture_hash(f));
    return status;
}

void put_raw(struct fixture *f, const char *table, const void *key, size_t key_size, const void *row, size_t row_size)
{
    struct store_txn txn;
    uint32_t id = 0;
    OK(store_table(f->store, table, 0, &id, &failure));
    OK(store_begin(f->store, CHRONOS_TXN_WRITE, &txn, &failure));
    OK(store_put(&txn, id, (struct bytes){key, key_size}, (struct bytes){row, row_size}, 0, &failure));
    OK(store_commit(&txn, &failure));
}

/* --- commands in short --- */

struct job_spec spec_named(const char *name)
{
    struct job_spec spec = {
        .enabled = true,
        .concurrency = CONCURRENCY_FORBID,
        .on_node_loss = NODE_LOSS_RETRY,
        .max_concurrent = 3,
        .catchup_limit = 100,
        .timeout_ms = 60000,
        .retry = {.max_attempts = 3, .initial_interval_ms = 1000, .max_interval_ms = 60000,
                  .multiplier_thousandths = 2000},
        .executor = "shell",
        .timezone = "UTC",
        .schedule_count = 1,
        .schedules = {"* * * * *"},
    };
    (void)snprintf(spec.name, sizeof spec.name, "%s", name);
    return spec;
}

struct apply_result put_job(struct fixture *f, const struct job_spec *spec, const struct id *id,
                            uint32_t expected_version, bool resets_mark, const struct decision *due)
{
    static const char document[] = "{\"name\":\"a job\",\"schedule\":\"* * * * *\"}";
    struct buffer command = command_buffer();
    struct job_put put = {.id = *id, .expected_version = expected_version, .resets_mark = resets_mark, .due = due, .mark_ms = f->mark_ms,
                          .spec = *spec, .document = {document, sizeof document - 1}};
    job_put_encode(&put, &command);
    return fixture_apply(f, &command);
}

uint64_t create_job(struct fixture *f, const struct job_spec *spec, struct id *ret_id)
{
    struct id id = fixture_id(f);
    struct apply_result result = put_job(f, spec, &id, 0, false, NULL);
    assert_int_equal(result.status, STATUS_OK);
    assert_int_equal(result.version, 1);
    assert_memory_equal(result.id.bytes, id.bytes, sizeof id.bytes);
    assert_int_equal(f->changes.count, 1);
    assert_int_equal(f->changes.items[0].kind, CHANGE_JOB);
    if (ret_id)
        *ret_id = id;
    return f->changes.items[0].serial;
}

struct apply_result delete_job(struct fixture *f, const struct id *id, bool cancel_running, const struct decision *due)
{
    struct buffer command = command_buffer();
    struct job_delete item = {.id = *id, .cancel_running = cancel_running, .due = due};
    job_delete_encode(&item, &command);
    return fixture_apply(f, &command);
}

struct apply_result enable_job(struct fixture *f, const struct id *id, bool enabled, const struct decision *due)
{
    struct buffer command = command_buffer();
    struct job_enable item = {.id = *id, .enabled = enabled, .due = due, .mark_ms = f->mark_ms};
    job_enable_encode(&item, &command);
    return fixture_apply(f, &command);
}

struct apply_result decide(struct fixture *f, const struct decision *decision, const struct placement_node *node)
{
    struct buffer command = command_buffer();
    struct decide_builder builder;
    decide_begin(&builder, &command, node, node ? 1 : 0);
    decide_add(&builder, decision);
    decide_end(&builder);
    return fixture_apply(f, &command);
}

struct apply_result fire(struct fixture *f, uint64_t serial, enum run_trigger trigger_kind,
                         const struct placement_node *node, struct id *ret_execution)
{
    struct decided_slot slot = {.execution = fixture_id(f), .scheduled_ms = f->now_ms, .trigger = trigger_kind,
                                .node = node ? 0 : NODE_NONE, .reason = node ? REASON_NONE : REASON_CAPACITY};
    struct decision decision = {.serial = serial, .job_version = spec_of(f, serial).version,
                                .from_mark_ms = marks_of(f, serial).mark_ms, .to_mark_ms = f->now_ms, .slot_count = 1,
                                .slots = &slot};
    *ret_execution = slot.execution;
    return decide(f, &decision, node);
}

struct placement_node node_up(struct fixture *f, const char *name, uint64_t session)
{
    struct buffer command = command_buffer();
    struct node_row row = {.session = session, .capacity = 8, .version = "1", .executor_count = 1,
                           .executors = {"shell"}};
    struct placement_node node = {.session = session};
    (void)snprintf(row.name, sizeof row.name, "%s", name);
    memcpy(node.name, row.name, sizeof node.name);
    node_up_encode(&row, &command);
    assert_int_equal(fixture_apply(f, &command).status, STATUS_OK);
    assert_int_equal(count_changes(f, CHANGE_NODE), 1);
    return node;
}

struct apply_result trigger(struct fixture *f, const struct id *job, bool force, const struct placement_node *node,
                            struct id *ret_execution)
{
    struct buffer command = command_buffer();
    struct trigger_run item = {.job = *job, .execution = fixture_id(f), .force = force, .reason = REASON_CAPACITY};
    if (node)
        item.node = *node;
    *ret_execution = item.execution;
    trigger_run_encode(&item, &command);
    return fixture_apply(f, &command);
}

struct apply_result assign(struct fixture *f, const struct id *execution, uint32_t attempt,
                           const struct placement_node *node)
{
    struct buffer command = command_buffer();
    struct assignment item = {.execution = *execution, .attempt = attempt, .node = 0};
    assign_encode(node, 1, &item, 1, &command);
    return fixture_apply(f, &command);
}

struct run_report report_of(struct fixture *f, const struct id *execution, enum report_kind kind)
{
    struct open_run run = need_open_run(f, execution);
    return (struct run_report){.execution = *execution, .attempt = run.attempt, .session = run.session, .kind = kind,
                               .started_ms = f->now_ms, .exit_code = -1};
}

struct apply_result report(struct fixture *f, const struct run_report *item)
{
    struct buffer command = command_buffer();
    report_encode(item, 1, &command);
    return fixture_apply(f, &command);
}

struct apply_result finish(struct fixture *f, const struct id *execution, enum run_status outcome)
{
    struct run_report item = report_of(f, execution, REPORT_FINISHED);
    item.outcome = outcome;
    item.duration_ms = 5;
    item.exit_code = outcome == RUN_SUCCESS ? 0 : 1;
    return report(f, &item);
}

struct apply_result cancel(struct fixture *f, const struct id *execution, enum reason reason)
{
    struct buffer command = command_buffer();
    struct cancel_run item = {.execution = *execution, .reason = reason};
    cancel_encode(&item, 1, &command);
    return fixture_apply(f, &command);
}

struct apply_result close_run(struct fixture *f, const struct id *execution, enum reason reason)
{
    struct open_run run = need_open_run(f, execution);
    struct buffer command = command_buffer();
    struct close_attempt item = {.execution = *execution, .attempt = run.attempt, .session = run.session,
                                 .reason = reason};
    close_encode(&item, 1, &command);
    return fixture_apply(f, &command);
}

/* --- what is there --- */

struct job_marks marks_of(struct fixture *f, uint64_t serial)
{
    struct state_view view;
    struct job_marks marks;
    OK(state_view_begin(f->state, &view, &failure));
    OK(state_get_marks(&view, serial, &marks, &failure));
    state_view_end(&view);
    return marks;
}

bool has_marks(struct fixture *f, uint64_t serial)
{
    struct state_view view;
    struct job_marks marks;
    OK(state_view_begin(f->state, &view, &failure));
    enum status status = state_get_marks(&view, serial, &marks, &failure);
    state_view_end(&view);
    assert_true(status == STATUS_OK || status == STATUS_NOT_FOUND);
    return status == STATUS_OK;
}

struct job_spec spec_of(struct fixture *f, uint64_t serial)
{
    struct state_view view;
    struct job_spec spec;
    OK(state_view_begin(f->state, &view, &failure));
    OK(state_get_spec(&view, serial, &spec, &failure));
    state_view_end(&view);
    spec.schedule_count = spec.node_tag_count = 0;
    return spec;
}

bool get_open(struct fixture *f, const struct id *execution, struct open_run *ret)
{
    struct state_view view;
    OK(state_view_begin(f->state, &view, &failure));
    enum status status = state_get_open(&view, execution, ret, &failure);
    state_view_end(&view);
    assert_true(status == STATUS_OK || status == STATUS_NOT_FOUND);
    if (status == STATUS_OK)
        ret->overrides.data = NULL;
    return status == STATUS_OK;
}

struct open_run need_open_run(struct fixture *f, const struct id *execution)
{
    struct open_run run;
    assert_true(get_open(f, execution, &run));
    return run;
}

cJSON *text_of(struct fixture *f, const struct id *execution)
{
    struct state_view view;
    struct execution_row row;
    struct open_run run;
    struct buffer text;
    cJSON *json = NULL;
    buffer_init(&text, 1 << 20);
    OK(state_view_begin(f->state, &view, &failure));
    enum status status = state_get_execution(&view, execution, &row, &failure);
    if (status == STATUS_OK) {
        buffer_append(&text, row.json.data, row.json.size);
    } else {
        assert_int_equal(status, STATUS_NOT_FOUND);
        OK(state_get_open(&view, execution, &run, &failure));
        open_run_json(&run, &text);
    }
    OK(json_parse(text.data, text.size, &json, &failure));
    state_view_end(&view);
    buffer_deinit(&text);
    return json;
}

enum run_status ended(struct fixture *f, const struct id *execution, char reason[32])
{
    struct open_run run;
    enum run_status status;
    reason[0] = '\0';
    if (get_open(f, execution, &run))
        return RUN_PENDING;
    cJSON *json = text_of(f, execution);
    assert_true(run_status_parse(cJSON_GetObjectItemCaseSensitive(json, "status")->valuestring, &status));
    const cJSON *why = cJSON_GetObjectItemCaseSensitive(json, "reason");
    if (cJSON_IsString(why))
        (void)snprintf(reason, 32, "%s", why->valuestring);
    cJSON_Delete(json);
    return status;
}

uint32_t count_rows(struct fixture *f, enum state_table table)
{
    struct state_view view;
    struct table_rows rows;
    OK(state_view_begin(f->state, &view, &failure));
    OK(table_rows_load(&view, table, &rows, &failure));
    state_view_end(&view);
    uint32_t count = rows.count;
    table_rows_free(&rows);
    return count;
}

uint32_t count_changes(const struct fixture *f, enum state_change_kind kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < f->changes.count; i++)
        count += f->changes.items[i].kind == kind;
    return count;
}
