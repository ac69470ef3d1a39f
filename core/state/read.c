/* Point reads and walks over a view. */
#include <string.h>

#include "state/state_internal.h"

static enum status get(struct state_view *view, enum state_table table, struct bytes key, struct bytes *ret,
                       struct error *err)
{
    enum status status = store_get(&view->txn, view->state->tables[table], key, ret, err);
    return status == STATUS_OK || status == STATUS_NOT_FOUND ? status : state_wrap_row(err, table, key);
}

enum status state_find_job(struct state_view *view, const char *name, size_t size, struct id *ret, struct error *err)
{
    struct bytes row, key = {name, size};
    if (size == 0 || size > JOB_NAME_MAX)
        return STATUS_NOT_FOUND; /* no job can have it */
    enum status status = get(view, STATE_NAMES, key, &row, err);
    if (status)
        return status;
    struct reader r = reader_of(row.data, row.size);
    status = row_open(&r, "names", err);
    struct id id = take_id(&r);
    if (!status)
        status = row_close(&r, "names", err);
    if (status)
        return state_wrap_row(err, STATE_NAMES, key);
    *ret = id;
    return STATUS_OK;
}

enum status state_get_job(struct state_view *view, const struct id *id, struct job_row *ret, struct error *err)
{
    struct bytes row;
    enum status status = get(view, STATE_JOBS, KEY_BYTES(*id), &row, err);
    if (status)
        return status;
    status = job_row_decode(row, ret, err);
    return status ? state_wrap_row(err, STATE_JOBS, KEY_BYTES(*id)) : STATUS_OK;
}

enum status state_get_marks(struct state_view *view, uint64_t serial, struct job_marks *ret, struct error *err)
{
    struct serial_key key = serial_key(serial);
    struct bytes row;
    enum status status = get(view, STATE_MARKS, KEY_BYTES(key), &row, err);
    if (status)
        return status;
    status = job_marks_decode(row, ret, err);
    return status ? state_wrap_row(err, STATE_MARKS, KEY_BYTES(key)) : STATUS_OK;
}

enum status state_get_spec(struct state_view *view, uint64_t serial, struct job_spec *ret, struct error *err)
{
    struct serial_key key = serial_key(serial);
    struct bytes row;
    enum status status = get(view, STATE_SCHED, KEY_BYTES(key), &row, err);
    if (status)
        return status;
    status = job_spec_decode(serial, row, ret, err);
    return status ? state_wrap_row(err, STATE_SCHED, KEY_BYTES(key)) : STATUS_OK;
}

static enum status get_old_version(struct state_view *view, uint64_t serial, uint32_t version,
                                   struct bytes *ret_document, struct error *err)
{
    struct version_key key = version_key(serial, version);
    struct bytes row;
    struct job_row job;
    enum status status = get(view, STATE_VERSIONS, KEY_BYTES(key), &row, err);
    if (status)
        return status;
    if (job_row_decode(row, &job, err))
        return state_wrap_row(err, STATE_VERSIONS, KEY_BYTES(key));
    *ret_document = job.document;
    return STATUS_OK;
}

/* The current version is asked for most: it stands in `jobs`. */
enum status state_get_version(struct state_view *view, uint64_t serial, uint32_t version, struct bytes *ret_document,
                              struct error *err)
{
    struct job_spec spec;
    struct job_row job;
    enum status status = state_get_spec(view, serial, &spec, err);
    if (status && status != STATUS_NOT_FOUND)
        return status;
    if (status == STATUS_NOT_FOUND || spec.version != version)
        return get_old_version(view, serial, version, ret_document, err);
    status = state_get_job(view, &spec.id, &job, err);
    if (status)
        return status;
    *ret_document = job.document;
    return STATUS_OK;
}

enum status state_get_open(struct state_view *view, const struct id *execution, struct open_run *ret, struct error *err)
{
    struct bytes row;
    enum status status = get(view, STATE_OPEN, KEY_BYTES(*execution), &row, err);
    if (status)
        return status;
    status = open_run_decode(execution, row, ret, err);
    return status ? state_wrap_row(err, STATE_OPEN, KEY_BYTES(*execution)) : STATUS_OK;
}

enum status state_get_execution(struct state_view *view, const struct id *execution, struct execution_row *ret,
                                struct error *err)
{
    struct bytes row;
    enum status status = get(view, STATE_EXECUTIONS, KEY_BYTES(*execution), &row, err);
    if (status)
        return status;
    status = execution_row_decode(row, ret, err);
    return status ? state_wrap_row(err, STATE_EXECUTIONS, KEY_BYTES(*execution)) : STATUS_OK;
}

enum status state_get_idempotency(struct state_view *view, const uint8_t key[IDEMPOTENCY_DIGEST_SIZE],
                                  struct idempotency_row *ret, struct error *err)
{
    struct bytes bytes, name = {key, IDEMPOTENCY_DIGEST_SIZE};
    struct idempotency_row row;
    enum status status = get(view, STATE_IDEMPOTENCY, name, &bytes, err);
    if (status)
        return status;
    if (idempotency_row_decode(bytes, &row, err))
        return state_wrap_row(err, STATE_IDEMPOTENCY, name);
    if (idempotency_is_over(row.created_ms, view->stamp_ms))
        return STATUS_NOT_FOUND;
    *ret = row;
    return STATUS_OK;
}

enum status state_get_node(struct state_view *view, const char *name, struct node_row *ret, struct error *err)
{
    struct bytes row, key = {name, strlen(name)};
    if (key.size == 0 || key.size > NODE_NAME_MAX)
        return STATUS_NOT_FOUND; /* no node can have it */
    enum status status = get(view, STATE_NODES, key, &row, err);
    if (status)
        return status;
    status = node_row_decode(row, ret, err);
    return status ? state_wrap_row(err, STATE_NODES, key) : STATUS_OK;
}

enum status state_get_restored(struct state_view *view, struct id *ret_cluster, uint8_t ret_digest[RESTORE_DIGEST_SIZE],
                               struct error *err)
{
    struct bytes row;
    enum status status = get(view, STATE_META, (struct bytes){meta_restored, strlen(meta_restored)}, &row, err);
    if (status)
        return status;
    if (row.size != META_RESTORED_SIZE)
        return error_set(err, STATUS_CORRUPT, "table meta: the row \"%s\" has %zu bytes instead of %d", meta_restored, row.size,
                         META_RESTORED_SIZE);
    memcpy(ret_cluster->bytes, row.data, ID_SIZE);
    memcpy(ret_digest, (const uint8_t *)row.data + ID_SIZE, RESTORE_DIGEST_SIZE);
    return STATUS_OK;
}

enum status state_get_draining(struct state_view *view, uint64_t ret[COMMAND_NODES_MAX], uint32_t *ret_count, struct error *err)
{
    struct bytes row;
    uint32_t count = 0;
    enum status status = get(view, STATE_META, (struct bytes){meta_draining, strlen(meta_draining)}, &row, err);
    if (status == STATUS_OK && row.size != META_DRAINING_SIZE)
        return error_set(err, STATUS_CORRUPT, "table meta: the row \"%s\" has %zu bytes instead of %d", meta_draining, row.size,
                         META_DRAINING_SIZE);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        return status;
    for (int i = 0; status == STATUS_OK && i < COMMAND_NODES_MAX; i++) {
        uint64_t node = load_le64((const uint8_t *)row.data + 8 * i);
        if (node != 0)
            ret[count++] = node;
    }
    *ret_count = count;
    return STATUS_OK;
}

/* Counters for display: a view that cannot read its own `meta` fails everywhere else, with words. */
static struct state_meta counters(struct state_view *view)
{
    struct state_meta meta;
    struct error ignored;
    if (state_read_meta(view->state, &view->txn, &meta, &ignored))
        return (struct state_meta){.jobs_count = 0};
    return meta;
}

uint64_t state_count_jobs(struct state_view *view)
{
    return counters(view).jobs_count;
}

uint64_t state_count_executions(struct state_view *view)
{
    return counters(view).executions_count;
}

uint64_t state_executions_bytes(struct state_view *view)
{
    return counters(view).executions_bytes;
}

enum status state_walk_table(struct state_view *view, enum state_table table, struct bytes from, bool descending,
                             state_walk walk, void *arg, struct error *err)
{
    struct store_cursor cursor;
    enum status status = store_cursor_open(&view->txn, view->state->tables[table], &cursor, err);
    if (status)
        return error_wrap(err, "table %s", state_table_name(table));
    int32_t seek = descending ? CHRONOS_CURSOR_SEEK_LE : CHRONOS_CURSOR_SEEK_GE;
    int32_t end = descending ? CHRONOS_CURSOR_LAST : CHRONOS_CURSOR_FIRST;
    int32_t op = from.size > 0 ? seek : end;
    for (;;) {
        struct bytes key, row;
        status = store_cursor_move(&cursor, op, from, &key, &row, err);
        if (status || !walk(arg, key, row))
            break;
        op = descending ? CHRONOS_CURSOR_PREV : CHRONOS_CURSOR_NEXT;
    }
    store_cursor_close(&cursor);
    if (status && status != STATUS_NOT_FOUND)
        return error_wrap(err, "table %s", state_table_name(table));
    return STATUS_OK;
}
