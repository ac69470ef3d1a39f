#include "state/state.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state/level.h"
#include "state/state_internal.h"

/* Rows and texts of one run or job: above the largest document, overrides and output with every byte escaped. */
enum { ROW_BYTES_MAX = 1 << 20 };

static const struct {
    const char *name;
    uint32_t flags;
} tables[STATE_TABLE_COUNT] = {
    [STATE_JOBS] = {"jobs", 0},
    [STATE_NAMES] = {"names", CHRONOS_TABLE_SMALL_ROWS},
    [STATE_SCHED] = {"sched", CHRONOS_TABLE_SEQUENTIAL},
    [STATE_MARKS] = {"marks", CHRONOS_TABLE_SEQUENTIAL | CHRONOS_TABLE_SMALL_ROWS},
    [STATE_OPEN] = {"open", 0},
    [STATE_EXECUTIONS] = {"executions", 0},
    [STATE_FAILED] = {"failed", CHRONOS_TABLE_SMALL_ROWS},
    [STATE_RANGES] = {"ranges", CHRONOS_TABLE_SMALL_ROWS},
    [STATE_VERSIONS] = {"versions", 0},
    [STATE_NODES] = {"nodes", 0},
    [STATE_META] = {"meta", CHRONOS_TABLE_SMALL_ROWS},
    [STATE_OPEN_BY_JOB] = {"open_by_job", CHRONOS_TABLE_SMALL_ROWS},
    [STATE_IDEMPOTENCY] = {"idempotency", CHRONOS_TABLE_SMALL_ROWS},
    [STATE_IDEMPOTENCY_BY_TIME] = {"idempotency_by_time", CHRONOS_TABLE_SMALL_ROWS},
    [STATE_IDEMPOTENCY_COUNTS] = {"idempotency_counts", CHRONOS_TABLE_SMALL_ROWS},
};

static const char meta_format[] = "format";
static const char meta_applied[] = "applied";
const char meta_restored[] = "restored", meta_feature_level[] = "feature_level", meta_draining[] = "draining";

static const struct {
    const char *name;
    size_t size;
} meta_rows[META_ROW_COUNT] = {
    [META_FORMAT] = {meta_format, 4},
    [META_APPLIED] = {meta_applied, META_APPLIED_SIZE},
    [META_NEXT_SERIAL] = {"next_serial", 8},
    [META_EXECUTIONS_BYTES] = {"executions_bytes", 8},
    [META_EXECUTIONS_COUNT] = {"executions_count", 8},
    [META_JOBS_COUNT] = {"jobs_count", 8},
    [META_IDEMPOTENCY_COUNT] = {"idempotency_count", 8},
    [META_RANGES_CURSOR] = {"ranges_cursor", RANGE_KEY_SIZE},
    [META_RESTORED] = {meta_restored, META_RESTORED_SIZE},
    [META_FEATURE_LEVEL] = {meta_feature_level, META_FEATURE_LEVEL_SIZE},
    [META_DRAINING] = {meta_draining, META_DRAINING_SIZE},
};

const char *state_table_name(enum state_table table)
{
    assert(table < STATE_TABLE_COUNT);
    return tables[table].name;
}

enum status state_wrap_row(struct error *err, enum state_table table, struct bytes key)
{
    enum { SHOWN_MAX = 24 };
    char hex[2 * SHOWN_MAX + 1] = "";
    const uint8_t *bytes = key.data;
    for (size_t i = 0; i < key.size && i < SHOWN_MAX; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", bytes[i]); /* two digits and a NUL always fit */
    return error_wrap(err, "table %s, key %s%s", state_table_name(table), hex, key.size > SHOWN_MAX ? "..." : "");
}

struct serial_key serial_key(uint64_t serial)
{
    struct serial_key key;
    store_be64(key.bytes, serial);
    return key;
}

struct version_key version_key(uint64_t serial, uint32_t version)
{
    struct version_key key;
    uint8_t wide[8];
    store_be64(wide, version);
    store_be64(key.bytes, serial);
    memcpy(key.bytes + SERIAL_KEY_SIZE, wide + 4, 4);
    return key;
}

/* --- meta --- */

static struct bytes text_key(const char *text)
{
    return (struct bytes){text, strlen(text)};
}

/* The counters, in the order of struct state_meta and of their rows. */
enum { COUNTER_COUNT = 5 };

static const char *counter_name(int i)
{
    return meta_rows[META_NEXT_SERIAL + i].name;
}

static void counters_of(const struct state_meta *meta, uint64_t out[COUNTER_COUNT])
{
    out[0] = meta->next_serial;
    out[1] = meta->executions_bytes;
    out[2] = meta->executions_count;
    out[3] = meta->jobs_count;
    out[4] = meta->idempotency_count;
}

enum status state_check_meta_row(struct bytes key, struct bytes row, enum state_meta_row *ret, struct error *err)
{
    for (int i = 0; i < META_ROW_COUNT; i++) {
        if (key.size != strlen(meta_rows[i].name) || memcmp(key.data, meta_rows[i].name, key.size) != 0)
            continue;
        if (row.size != meta_rows[i].size)
            return error_set(err, STATUS_CORRUPT, "the row \"%s\" has %zu bytes instead of %zu", meta_rows[i].name, row.size,
                             meta_rows[i].size);
        *ret = (enum state_meta_row)i;
        return i == META_FEATURE_LEVEL ? feature_level_check(load_le32(row.data), err) : STATUS_OK;
    }
    return error_set(err, STATUS_CORRUPT, "this version of Chronos knows no such row");
}

static enum status get_meta(const struct state *state, struct store_txn *txn, const char *name, size_t size,
                            uint8_t *out, struct error *err)
{
    struct bytes row;
    enum status status = store_get(txn, state->tables[STATE_META], text_key(name), &row, err);
    if (status == STATUS_NOT_FOUND)
        return error_set(err, STATUS_CORRUPT, "table meta: the row \"%s\" is missing", name);
    if (status)
        return error_wrap(err, "table meta, row \"%s\"", name);
    if (row.size != size)
        return error_set(err, STATUS_CORRUPT, "table meta: the row \"%s\" has %zu bytes instead of %zu", name, row.size,
                         size);
    memcpy(out, row.data, size);
    return STATUS_OK;
}

/* 1 where no row says more. */
static enum status get_feature_level(const struct state *state, struct store_txn *txn, uint32_t *ret, struct error *err)
{
    struct bytes row;
    enum status status = store_get(txn, state->tables[STATE_META], text_key(meta_feature_level), &row, err);
    if (status == STATUS_OK && row.size != META_FEATURE_LEVEL_SIZE)
        return error_set(err, STATUS_CORRUPT, "table meta: the row \"%s\" has %zu bytes instead of %d", meta_feature_level, row.size,
                         META_FEATURE_LEVEL_SIZE);
    if (status == STATUS_OK || status == STATUS_NOT_FOUND) {
        *ret = status == STATUS_OK ? load_le32(row.data) : 1;
        return STATUS_OK;
    }
    return error_wrap(err, "table meta, row \"%s\"", meta_feature_level);
}

enum status state_read_meta(const struct state *state, struct store_txn *txn, struct state_meta *ret, struct error *err)
{
    uint8_t applied[META_APPLIED_SIZE];
    uint8_t counter[8];
    uint64_t counters[COUNTER_COUNT];
    enum status status = get_meta(state, txn, meta_applied, sizeof applied, applied, err);
    for (int i = 0; !status && i < COUNTER_COUNT; i++) {
        status = get_meta(state, txn, counter_name(i), sizeof counter, counter, err);
        counters[i] = status ? 0 : load_le64(counter);
    }
    uint32_t feature_level = 1;
    if (!status)
        status = get_feature_level(state, txn, &feature_level, err);
    if (status)
        return status;
    *ret = (struct state_meta){
        .applied = {.index = load_le64(applied), .term = load_le64(applied + 8)},
        .last_stamp = (int64_t)load_le64(applied + 16),
        .next_serial = counters[0],
        .executions_bytes = counters[1],
        .executions_count = counters[2],
        .jobs_count = counters[3],
        .idempotency_count = counters[4],
        .feature_level = feature_level,
    };
    return STATUS_OK;
}

static enum status put_meta(const struct state *state, struct store_txn *txn, const char *name, const void *data,
                            size_t size, struct error *err)
{
    enum status status = store_put(txn, state->tables[STATE_META], text_key(name), (struct bytes){data, size}, 0, err);
    return status ? error_wrap(err, "table meta, row \"%s\"", name) : STATUS_OK;
}

/* Counters that stand as they stood in the last commit are not written again. */
static enum status put_counters(const struct state *state, struct store_txn *txn, const struct state_meta *meta,
                                bool all, struct error *err)
{
    uint64_t old[COUNTER_COUNT], new[COUNTER_COUNT];
    counters_of(&state->meta, old);
    counters_of(meta, new);
    enum status status = STATUS_OK;
    for (int i = 0; !status && i < COUNTER_COUNT; i++) {
        uint8_t row[8];
        if (!all && old[i] == new[i])
            continue;
        store_le64(row, new[i]);
        status = put_meta(state, txn, counter_name(i), row, sizeof row, err);
    }
    return status;
}

static enum status put_applied(const struct state *state, struct store_txn *txn, const struct state_meta *meta,
                               struct error *err)
{
    uint8_t row[META_APPLIED_SIZE];
    store_le64(row, meta->applied.index);
    store_le64(row + 8, meta->applied.term);
    store_le64(row + 16, (uint64_t)meta->last_stamp);
    return put_meta(state, txn, meta_applied, row, sizeof row, err);
}

enum status state_write_meta(const struct state *state, struct store_txn *txn, const struct state_meta *meta,
                             struct error *err)
{
    enum status status = put_applied(state, txn, meta, err);
    return status ? status : put_counters(state, txn, meta, false, err);
}

/* --- open --- */

static enum status found_state(struct state *state, struct store_txn *txn, struct error *err)
{
    uint8_t format[4];
    store_le32(format, STATE_FORMAT);
    state->meta = (struct state_meta){.next_serial = 1, .feature_level = 1};
    enum status status = put_meta(state, txn, meta_format, format, sizeof format, err);
    if (!status)
        status = put_applied(state, txn, &state->meta, err);
    return status ? status : put_counters(state, txn, &state->meta, true, err);
}

static enum status check_format(struct bytes row, struct error *err)
{
    uint32_t format = row.size == 4 ? load_le32(row.data) : UINT32_MAX;
    if (format == STATE_FORMAT_LOADING)
        return error_set(err, STATUS_CORRUPT,
                         "a snapshot was being loaded into it, which did not come to its end: remove it and load again");
    if (format == UINT32_MAX)
        return error_set(err, STATUS_CORRUPT, "table meta: the row \"format\" is damaged");
    if (format > STATE_FORMAT)
        return error_set(err, STATUS_NOT_IMPLEMENTED,
                         "written by a newer version of Chronos (format %u, this one knows %d): install that "
                         "version again", format, STATE_FORMAT);
    return STATUS_OK;
}

/* *ret_new: the tables were founded just now and the transaction has something to commit. */
static enum status load_state(struct state *state, struct store_txn *txn, bool may_found, bool *ret_new, struct error *err)
{
    struct bytes row;
    enum status status = store_get(txn, state->tables[STATE_META], text_key(meta_format), &row, err);
    if (status == STATUS_NOT_FOUND && !may_found)
        return error_set(err, STATUS_NOT_FOUND, "the store holds no state");
    *ret_new = status == STATUS_NOT_FOUND;
    if (*ret_new)
        return found_state(state, txn, err);
    if (!status)
        status = check_format(row, err);
    if (!status)
        status = state_read_meta(state, txn, &state->meta, err);
    return status ? status : feature_level_check(state->meta.feature_level, err);
}

enum status state_open_tables(struct store *store, uint32_t ret[STATE_TABLE_COUNT], struct error *err)
{
    for (int i = 0; i < STATE_TABLE_COUNT; i++) {
        enum status status = store_table(store, tables[i].name, tables[i].flags, &ret[i], err);
        if (status)
            return error_wrap(err, "table %s", tables[i].name);
    }
    return STATUS_OK;
}

static enum status open_state(struct state *state, bool may_found, struct error *err)
{
    struct store_txn txn;
    enum status status = state_open_tables(state->store, state->tables, err);
    if (status == STATUS_OK)
        status = store_begin(state->store, CHRONOS_TXN_WRITE, &txn, err);
    if (status)
        return status;
    bool is_new = false;
    status = load_state(state, &txn, may_found, &is_new, err);
    if (!status && is_new)
        return store_commit(&txn, err);
    store_abort(&txn);
    return status;
}

static enum status new_state(struct store *store, bool may_found, struct state **ret, struct error *err)
{
    struct state *state = calloc(1, sizeof *state);
    if (!state)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for the state");
    state->store = store;
    buffer_init(&state->row, ROW_BYTES_MAX);
    buffer_init(&state->key, RANGE_KEY_SIZE);
    buffer_init(&state->json, ROW_BYTES_MAX);
    buffer_init(&state->scratch, ROW_BYTES_MAX);
    buffer_init(&state->spec_row, ROW_BYTES_MAX);
    buffer_init(&state->overrides, ROW_BYTES_MAX);
    enum status status = open_state(state, may_found, err);
    if (status) {
        state_free(state);
        return error_wrap(err, "open the state");
    }
    *ret = state;
    return STATUS_OK;
}

enum status state_new(struct store *store, struct state **ret, struct error *err)
{
    return new_state(store, true, ret, err);
}

enum status state_open(struct store *store, struct state **ret, struct error *err)
{
    return new_state(store, false, ret, err);
}

void state_free(struct state *state)
{
    if (!state)
        return;
    buffer_deinit(&state->row);
    buffer_deinit(&state->key);
    buffer_deinit(&state->json);
    buffer_deinit(&state->scratch);
    buffer_deinit(&state->spec_row);
    buffer_deinit(&state->overrides);
    free(state->open_runs);
    free(state);
}

struct state_position state_applied(const struct state *state)
{
    return state->meta.applied;
}

int64_t state_last_stamp(const struct state *state)
{
    return state->meta.last_stamp;
}

enum status state_sync(struct state *state, struct error *err)
{
    return store_sync(state->store, err);
}

/* --- views --- */

enum status state_view_begin(const struct state *state, struct state_view *ret, struct error *err)
{
    struct state_view view = {.state = state};
    uint8_t applied[META_APPLIED_SIZE]; /* the one row that a view needs: short reads are a hot path */
    enum status status = store_begin(state->store, CHRONOS_TXN_READ, &view.txn, err);
    if (status)
        return status;
    status = get_meta(state, &view.txn, meta_applied, sizeof applied, applied, err);
    if (status) {
        store_abort(&view.txn);
        return status;
    }
    view.applied = (struct state_position){.index = load_le64(applied), .term = load_le64(applied + 8)};
    view.stamp_ms = (int64_t)load_le64(applied + 16);
    *ret = view;
    return STATUS_OK;
}

enum status state_get_feature_level(struct state_view *view, uint32_t *ret, struct error *err)
{
    return get_feature_level(view->state, &view->txn, ret, err);
}

void state_view_end(struct state_view *view)
{
    store_abort(&view->txn);
}
