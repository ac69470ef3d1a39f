#include "state_check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/json.h"

/* --- tables in memory --- */

struct loading {
    struct table_rows *rows;
    bool failed;
};

static bool add_row(void *arg, struct bytes key, struct bytes row)
{
    struct loading *loading = arg;
    struct table_rows *rows = loading->rows;
    if (rows->count == rows->capacity) {
        uint32_t capacity = rows->capacity ? rows->capacity * 2 : 64;
        struct table_row *items = realloc(rows->items, capacity * sizeof *items);
        if (!items) {
            loading->failed = true;
            return false;
        }
        rows->items = items;
        rows->capacity = capacity;
    }
    char *copy = malloc(key.size + row.size + 1);
    if (!copy) {
        loading->failed = true;
        return false;
    }
    memcpy(copy, key.data, key.size);
    if (row.size)
        memcpy(copy + key.size, row.data, row.size);
    rows->items[rows->count++] = (struct table_row){{copy, key.size}, {copy + key.size, row.size}};
    return true;
}

enum status table_rows_load(struct state_view *view, enum state_table table, struct table_rows *ret, struct error *err)
{
    *ret = (struct table_rows){.items = NULL};
    struct loading loading = {.rows = ret};
    enum status status = state_walk_table(view, table, (struct bytes){NULL, 0}, false, add_row, &loading, err);
    if (!status && loading.failed)
        status = error_set(err, STATUS_NO_MEMORY, "out of memory");
    return status;
}

void table_rows_free(struct table_rows *rows)
{
    for (uint32_t i = 0; i < rows->count; i++)
        free((void *)(uintptr_t)rows->items[i].key.data);
    free(rows->items);
    *rows = (struct table_rows){.items = NULL};
}

static int compare_row(const void *a, const void *b)
{
    const struct table_row *x = a, *y = b;
    size_t shorter = x->key.size < y->key.size ? x->key.size : y->key.size;
    int order = memcmp(x->key.data, y->key.data, shorter);
    return order ? order : (x->key.size > y->key.size) - (x->key.size < y->key.size);
}

const struct table_row *table_rows_find(const struct table_rows *rows, const void *key, size_t size)
{
    struct table_row wanted = {.key = {key, size}};
    if (rows->count == 0)
        return NULL;
    return bsearch(&wanted, rows->items, rows->count, sizeof *rows->items, compare_row);
}

/* --- hash --- */

static bool hash_row(void *arg, struct bytes key, struct bytes row)
{
    uint64_t *hash = arg;
    *hash = hash64(*hash, key.data, key.size);
    *hash = hash64(*hash, row.data ? row.data : "", row.size);
    return true;
}

enum status state_hash(struct state_view *view, uint64_t *ret, struct error *err)
{
    uint64_t hash = 0;
    for (int table = 0; table < STATE_TABLE_COUNT; table++) {
        uint8_t number = (uint8_t)table;
        hash = hash64(hash, &number, 1);
        enum status status =
            state_walk_table(view, (enum state_table)table, (struct bytes){NULL, 0}, false, hash_row, &hash, err);
        if (status)
            return status;
    }
    *ret = hash;
    return STATUS_OK;
}

/* --- invariants --- */

struct job_counts {
    uint32_t active, waiting, executions;
};

struct check {
    struct state_view *view;
    struct table_rows tables[STATE_TABLE_COUNT];
    struct job_counts *counts; /* parallel to tables[STATE_MARKS] */
    struct error *err;
};

#define BROKEN(c, ...) error_set((c)->err, STATUS_CORRUPT, __VA_ARGS__)
#define HAS(c, table, key, size) (table_rows_find(&(c)->tables[table], key, size) != NULL)

static struct job_counts *counts_of(struct check *c, uint64_t serial)
{
    uint8_t key[8];
    store_be64(key, serial);
    const struct table_row *row = table_rows_find(&c->tables[STATE_MARKS], key, sizeof key);
    return row ? &c->counts[row - c->tables[STATE_MARKS].items] : NULL;
}

static enum status check_phase(struct check *c, const struct open_run *run)
{
    bool on_node = run->phase == PHASE_ASSIGNED || run->phase == PHASE_RUNNING;
    if (on_node && (run->attempt == 0 || run->node[0] == '\0'))
        return BROKEN(c, "an attempt that is under way has no number or node");
    if (run->phase == PHASE_RUNNING && (run->attempt_started_ms == 0 || run->started_ms == 0))
        return BROKEN(c, "a running run has not started");
    if (run->phase == PHASE_BACKOFF && (run->next_attempt_ms == 0 || run->failures == 0))
        return BROKEN(c, "a run waits for its next attempt without a time or a failure");
    if (!on_node && run->cancel != REASON_NONE)
        return BROKEN(c, "a run that is on no node is still to be cancelled");
    if (run->takeovers > TAKEOVERS_MAX)
        return BROKEN(c, "a run has %u takeovers", (unsigned)run->takeovers);
    return STATUS_OK;
}

static enum status check_open(struct check *c, const struct table_row *row)
{
    struct id execution;
    struct open_run run;
    struct bytes document;
    uint8_t by_job[24];
    if (row->key.size != sizeof execution.bytes)
        return BROKEN(c, "a key of open has %zu bytes", row->key.size);
    memcpy(execution.bytes, row->key.data, sizeof execution.bytes);
    enum status status = open_run_decode(&execution, row->row, &run, c->err);
    if (status)
        return status;
    store_be64(by_job, run.serial);
    memcpy(by_job + 8, execution.bytes, sizeof execution.bytes);
    const struct table_row *listed = table_rows_find(&c->tables[STATE_OPEN_BY_JOB], by_job, sizeof by_job);
    if (!listed || listed->row.size != 5 || load_le32((const uint8_t *)listed->row.data + 1) != run.job_version)
        return BROKEN(c, "an open run is not listed by job, or under another version");
    if (HAS(c, STATE_EXECUTIONS, execution.bytes, sizeof execution.bytes))
        return BROKEN(c, "a run is both open and ended");
    struct job_counts *counts = counts_of(c, run.serial);
    if (!counts)
        return BROKEN(c, "an open run's job %" PRIu64 " has no marks", run.serial);
    counts->active++;
    counts->waiting += run.phase == PHASE_WAITING;
    status = state_get_version(c->view, run.serial, run.job_version, &document, c->err);
    if (status == STATUS_NOT_FOUND)
        return BROKEN(c, "version %u of job %" PRIu64 " is in use and gone", (unsigned)run.job_version, run.serial);
    return status ? status : check_phase(c, &run);
}

static enum status check_text(struct check *c, const struct id *id, const struct execution_row *execution)
{
    cJSON *json;
    enum status status = json_parse(execution->json.data, execution->json.size, &json, c->err);
    if (status)
        return status;
    char text[ID_TEXT_SIZE];
    id_format(EXECUTION_ID_PREFIX, id, text);
    const cJSON *own = cJSON_GetObjectItemCaseSensitive(json, "id");
    const cJSON *state = cJSON_GetObjectItemCaseSensitive(json, "status");
    bool same = cJSON_IsString(own) && strcmp(own->valuestring, text) == 0 && cJSON_IsString(state) &&
                strcmp(state->valuestring, run_status_name(execution->status)) == 0;
    cJSON_Delete(json);
    return same ? STATUS_OK : BROKEN(c, "the text of %s says another id or status than its row", text);
}

static enum status check_execution(struct check *c, const struct table_row *row, uint64_t *bytes)
{
    struct id id;
    struct execution_row execution;
    enum status status = execution_row_decode(row->row, &execution, c->err);
    if (status)
        return status;
    memcpy(id.bytes, row->key.data, sizeof id.bytes);
    *bytes += row->key.size + row->row.size;
    struct job_counts *counts = counts_of(c, execution.serial);
    if (counts)
        counts->executions++;
    bool failed = execution.status == RUN_FAILED || execution.status == RUN_TIMEOUT || execution.status == RUN_LOST;
    if (failed != HAS(c, STATE_FAILED, id.bytes, sizeof id.bytes))
        return BROKEN(c, "the table failed does not agree with an execution that is %s",
                      run_status_name(execution.status));
    return check_text(c, &id, &execution);
}

static enum status check_waiting_run(struct check *c, uint64_t serial, const struct job_marks *marks)
{
    struct open_run run;
    if (id_is_zero(&marks->waiting_run))
        return STATUS_OK;
    const struct table_row *row =
        table_rows_find(&c->tables[STATE_OPEN], marks->waiting_run.bytes, sizeof marks->waiting_run.bytes);
    if (!row)
        return BROKEN(c, "the waiting run of job %" PRIu64 " is not open", serial);
    enum status status = open_run_decode(&marks->waiting_run, row->row, &run, c->err);
    if (status)
        return status;
    if (run.serial != serial || run.phase != PHASE_WAITING)
        return BROKEN(c, "the waiting run of job %" PRIu64 " does not wait, or is another job's", serial);
    return STATUS_OK;
}

static enum status check_marks(struct check *c, uint32_t index)
{
    const struct table_row *row = &c->tables[STATE_MARKS].items[index];
    const struct job_counts *counts = &c->counts[index];
    struct job_marks marks;
    uint64_t serial = load_be64(row->key.data);
    enum status status = job_marks_decode(row->row, &marks, c->err);
    if (status)
        return status;
    if (marks.active != counts->active || marks.waiting != counts->waiting || marks.executions != counts->executions)
        return BROKEN(c, "marks of job %" PRIu64 ": active %u waiting %u executions %u, in the tables %u %u %u", serial,
                      (unsigned)marks.active, (unsigned)marks.waiting, (unsigned)marks.executions,
                      (unsigned)counts->active, (unsigned)counts->waiting, (unsigned)counts->executions);
    if (marks.deleted && marks.active == 0)
        return BROKEN(c, "marks of the deleted job %" PRIu64 " stay though nothing of it is open", serial);
    if (marks.deleted == HAS(c, STATE_SCHED, row->key.data, row->key.size))
        return BROKEN(c, "marks and sched of job %" PRIu64 " do not agree on its being deleted", serial);
    return check_waiting_run(c, serial, &marks);
}

static enum status check_job(struct check *c, const struct table_row *row, uint64_t next_serial)
{
    struct job_row job;
    struct job_spec spec;
    uint8_t serial[8];
    enum status status = job_row_decode(row->row, &job, c->err);
    if (status)
        return status;
    store_be64(serial, job.serial);
    const struct table_row *sched = table_rows_find(&c->tables[STATE_SCHED], serial, sizeof serial);
    if (!sched || !HAS(c, STATE_MARKS, serial, sizeof serial) || job.serial >= next_serial)
        return BROKEN(c, "job %" PRIu64 " lacks sched or marks, or its serial was not given yet", job.serial);
    status = job_spec_decode(job.serial, sched->row, &spec, c->err);
    if (status)
        return status;
    if (memcmp(spec.id.bytes, row->key.data, row->key.size) != 0 || spec.version != job.version ||
        spec.enabled != job.enabled)
        return BROKEN(c, "jobs and sched of job %" PRIu64 " differ", job.serial);
    const struct table_row *name = table_rows_find(&c->tables[STATE_NAMES], spec.name, strlen(spec.name));
    if (!name || name->row.size != 17 || memcmp((const char *)name->row.data + 1, row->key.data, 16) != 0)
        return BROKEN(c, "the name of job %" PRIu64 " does not lead to it", job.serial);
    return STATUS_OK;
}

static enum status check_versions(struct check *c)
{
    const struct table_rows *rows = &c->tables[STATE_VERSIONS];
    for (uint32_t i = 0; i < rows->count; i++) {
        struct job_row job;
        enum status status = job_row_decode(rows->items[i].row, &job, c->err);
        if (status)
            return status;
        if (rows->items[i].key.size != 12 || load_be64(rows->items[i].key.data) != job.serial ||
            !counts_of(c, job.serial))
            return BROKEN(c, "a version of job %" PRIu64 " stays without the job", job.serial);
    }
    return STATUS_OK;
}

static enum status check_ranges(struct check *c)
{
    const struct table_rows *rows = &c->tables[STATE_RANGES];
    for (uint32_t i = 0; i < rows->count; i++) {
        struct dropped_range range;
        enum status status = dropped_range_decode(rows->items[i].key, rows->items[i].row, &range, c->err);
        if (status)
            return status;
    }
    return STATUS_OK;
}

static uint64_t meta_number(struct check *c, const char *name)
{
    const struct table_row *row = table_rows_find(&c->tables[STATE_META], name, strlen(name));
    return row && row->row.size == 8 ? load_le64(row->row.data) : UINT64_MAX;
}

/* The principal whose count has the key `name`: how many rows say that they are his. */
static uint32_t count_keys(const struct table_rows *rows, struct bytes name)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < rows->count; i++) {
        const uint8_t *row = rows->items[i].row.data; /* format, u32 size, principal */
        count += load_le32(row + 1) == name.size - 1 && memcmp(row + 5, (const char *)name.data + 1, name.size - 1) == 0;
    }
    return count;
}

static enum status check_keys(struct check *c)
{
    const struct table_rows *rows = &c->tables[STATE_IDEMPOTENCY], *counts = &c->tables[STATE_IDEMPOTENCY_COUNTS];
    uint32_t counted = 0;
    for (uint32_t i = 0; i < rows->count; i++) {
        struct idempotency_row row;
        uint8_t time[40];
        enum status status = idempotency_row_decode(rows->items[i].row, &row, c->err);
        if (status)
            return status;
        store_be64(time, (uint64_t)row.created_ms);
        memcpy(time + 8, rows->items[i].key.data, 32);
        if (rows->items[i].key.size != 32 || !HAS(c, STATE_IDEMPOTENCY_BY_TIME, time, sizeof time))
            return BROKEN(c, "an idempotency key is not listed by time");
    }
    for (uint32_t i = 0; i < counts->count; i++) {
        uint32_t count = load_le32((const char *)counts->items[i].row.data + 1);
        if (count == 0 || count != count_keys(rows, counts->items[i].key))
            return BROKEN(c, "a principal has another number of idempotency keys than is counted");
        counted += count;
    }
    if (counted != rows->count || c->tables[STATE_IDEMPOTENCY_BY_TIME].count != rows->count ||
        meta_number(c, "idempotency_count") != rows->count)
        return BROKEN(c, "idempotency keys, their list by time and their counters differ");
    return STATUS_OK;
}

static enum status check_counters(struct check *c, uint64_t bytes)
{
    const struct table_rows *t = c->tables;
    if (meta_number(c, "jobs_count") != t[STATE_JOBS].count || t[STATE_NAMES].count != t[STATE_JOBS].count ||
        t[STATE_SCHED].count != t[STATE_JOBS].count)
        return BROKEN(c, "jobs, names, sched and their counter differ: %u %u %u", (unsigned)t[STATE_JOBS].count,
                      (unsigned)t[STATE_NAMES].count, (unsigned)t[STATE_SCHED].count);
    if (meta_number(c, "executions_count") != t[STATE_EXECUTIONS].count || meta_number(c, "executions_bytes") != bytes)
        return BROKEN(c, "executions and their counters differ");
    if (t[STATE_OPEN].count != t[STATE_OPEN_BY_JOB].count)
        return BROKEN(c, "open and open_by_job differ");
    for (uint32_t i = 0; i < t[STATE_FAILED].count; i++)
        if (!HAS(c, STATE_EXECUTIONS, t[STATE_FAILED].items[i].key.data, t[STATE_FAILED].items[i].key.size))
            return BROKEN(c, "failed names an execution that is gone");
    return STATUS_OK;
}

static enum status check_all(struct check *c)
{
    const struct table_rows *t = c->tables;
    enum status status = STATUS_OK;
    uint64_t bytes = 0, next_serial = meta_number(c, "next_serial");
    for (uint32_t i = 0; !status && i < t[STATE_OPEN].count; i++)
        status = check_open(c, &t[STATE_OPEN].items[i]);
    for (uint32_t i = 0; !status && i < t[STATE_EXECUTIONS].count; i++)
        status = check_execution(c, &t[STATE_EXECUTIONS].items[i], &bytes);
    for (uint32_t i = 0; !status && i < t[STATE_MARKS].count; i++)
        status = check_marks(c, i);
    for (uint32_t i = 0; !status && i < t[STATE_JOBS].count; i++)
        status = check_job(c, &t[STATE_JOBS].items[i], next_serial);
    if (!status)
        status = check_versions(c);
    if (!status)
        status = check_ranges(c);
    if (!status)
        status = check_keys(c);
    return status ? status : check_counters(c, bytes);
}

enum status state_check_invariants(struct state_view *view, struct error *err)
{
    struct check c = {.view = view, .err = err};
    enum status status = STATUS_OK;
    for (int i = 0; !status && i < STATE_TABLE_COUNT; i++)
        status = table_rows_load(view, (enum state_table)i, &c.tables[i], err);
    if (!status) {
        c.counts = calloc((size_t)c.tables[STATE_MARKS].count + 1, sizeof *c.counts);
        status = c.counts ? check_all(&c) : error_set(err, STATUS_NO_MEMORY, "out of memory");
    }
    for (int i = 0; i < STATE_TABLE_COUNT; i++)
        table_rows_free(&c.tables[i]);
    free(c.counts);
    return status;
}
