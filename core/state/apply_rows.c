/* Rows between the store and the functions of commands. */
#include <stdlib.h>
#include <string.h>

#include "state/apply_internal.h"

enum status apply_buffer_failed(struct apply *a, const struct buffer *buffer, const char *what)
{
    return error_set(a->err, buffer->failed, "%s: %s", what,
                     buffer->failed == STATUS_NO_MEMORY ? "out of memory" : "larger than a row can be");
}

enum status apply_get(struct apply *a, enum state_table table, struct bytes key, struct bytes *ret)
{
    enum status status = store_get(&a->txn, a->state->tables[table], key, ret, a->err);
    return status == STATUS_OK || status == STATUS_NOT_FOUND ? status : state_wrap_row(a->err, table, key);
}

static enum status put(struct apply *a, enum state_table table, struct bytes key, struct bytes row, uint32_t flags)
{
    enum status status = store_put(&a->txn, a->state->tables[table], key, row, flags, a->err);
    if (status == STATUS_EXISTS)
        (void)error_set(a->err, STATUS_CORRUPT, "there is such a row already"); /* wrapped and returned below */
    return status ? state_wrap_row(a->err, table, key) : STATUS_OK;
}

enum status apply_put(struct apply *a, enum state_table table, struct bytes key, struct bytes row)
{
    return put(a, table, key, row, 0);
}

enum status apply_insert(struct apply *a, enum state_table table, struct bytes key, struct bytes row)
{
    return put(a, table, key, row, CHRONOS_PUT_NOOVERWRITE);
}

enum status apply_missing(struct apply *a, enum state_table table, struct bytes key)
{
    (void)error_set(a->err, STATUS_CORRUPT, "the row is missing"); /* wrapped and returned below */
    return state_wrap_row(a->err, table, key);
}

enum status apply_delete(struct apply *a, enum state_table table, struct bytes key)
{
    enum status status = store_delete(&a->txn, a->state->tables[table], key, a->err);
    if (status == STATUS_NOT_FOUND)
        return apply_missing(a, table, key);
    return status ? state_wrap_row(a->err, table, key) : STATUS_OK;
}

/* --- load --- */

/* What a decoded row borrows must outlive the next get or put: keep the bytes. */
static enum status keep(struct apply *a, struct buffer *buffer, struct bytes row)
{
    buffer_clear(buffer);
    buffer_append(buffer, row.data, row.size);
    return buffer->failed ? apply_buffer_failed(a, buffer, "a row") : STATUS_OK;
}

enum status load_spec(struct apply *a, uint64_t serial, struct job_spec *ret)
{
    struct serial_key key = serial_key(serial);
    struct bytes row;
    enum status status = apply_get(a, STATE_SCHED, KEY_BYTES(key), &row);
    if (status)
        return status;
    status = keep(a, &a->state->spec_row, row);
    if (!status)
        status = job_spec_decode(serial, buffer_bytes(&a->state->spec_row), ret, a->err);
    return status ? state_wrap_row(a->err, STATE_SCHED, KEY_BYTES(key)) : STATUS_OK;
}

enum status load_marks(struct apply *a, uint64_t serial, struct job_marks *ret)
{
    struct serial_key key = serial_key(serial);
    struct bytes row;
    enum status status = apply_get(a, STATE_MARKS, KEY_BYTES(key), &row);
    if (status)
        return status;
    status = job_marks_decode(row, ret, a->err);
    return status ? state_wrap_row(a->err, STATE_MARKS, KEY_BYTES(key)) : STATUS_OK;
}

enum status load_open(struct apply *a, const struct id *execution, struct open_run *ret)
{
    struct bytes row;
    enum status status = apply_get(a, STATE_OPEN, KEY_BYTES(*execution), &row);
    if (status)
        return status;
    status = open_run_decode(execution, row, ret, a->err);
    if (status)
        return state_wrap_row(a->err, STATE_OPEN, KEY_BYTES(*execution));
    status = keep(a, &a->state->overrides, ret->overrides);
    ret->overrides = buffer_bytes(&a->state->overrides);
    return status;
}

enum status peek_open(struct apply *a, const struct id *execution, struct open_run *ret)
{
    struct bytes row;
    enum status status = apply_get(a, STATE_OPEN, KEY_BYTES(*execution), &row);
    if (status == STATUS_NOT_FOUND)
        return apply_missing(a, STATE_OPEN, KEY_BYTES(*execution));
    if (!status && open_run_decode(execution, row, ret, a->err))
        status = state_wrap_row(a->err, STATE_OPEN, KEY_BYTES(*execution));
    ret->overrides = (struct bytes){NULL, 0};
    return status;
}

enum status need_spec(struct apply *a, uint64_t serial, struct job_spec *ret)
{
    struct serial_key key = serial_key(serial);
    enum status status = load_spec(a, serial, ret);
    return status == STATUS_NOT_FOUND ? apply_missing(a, STATE_SCHED, KEY_BYTES(key)) : status;
}

enum status need_marks(struct apply *a, uint64_t serial, struct job_marks *ret)
{
    struct serial_key key = serial_key(serial);
    enum status status = load_marks(a, serial, ret);
    return status == STATUS_NOT_FOUND ? apply_missing(a, STATE_MARKS, KEY_BYTES(key)) : status;
}

enum status need_open(struct apply *a, const struct id *execution, struct open_run *ret)
{
    enum status status = load_open(a, execution, ret);
    return status == STATUS_NOT_FOUND ? apply_missing(a, STATE_OPEN, KEY_BYTES(*execution)) : status;
}

/* --- save --- */

static enum status no_memory(struct apply *a)
{
    return error_set(a->err, STATUS_NO_MEMORY, "out of memory for the changes of a batch");
}

enum status save_spec(struct apply *a, const struct job_spec *spec)
{
    struct serial_key key = serial_key(spec->serial);
    struct buffer *row = &a->state->row;
    buffer_clear(row);
    job_spec_encode(spec, row);
    if (row->failed)
        return apply_buffer_failed(a, row, "a row of sched");
    return apply_put(a, STATE_SCHED, KEY_BYTES(key), buffer_bytes(row));
}

enum status publish_job(struct apply *a, const struct job_spec *spec, const struct job_marks *marks)
{
    struct state_change *change = state_changes_add(a->changes, CHANGE_JOB, spec->serial);
    if (!change)
        return no_memory(a);
    change->marks = *marks;
    buffer_clear(&a->state->row);
    job_spec_encode(spec, &a->state->row);
    if (a->state->row.failed)
        return apply_buffer_failed(a, &a->state->row, "a row of sched");
    state_changes_row(a->changes, change, buffer_bytes(&a->state->row));
    return STATUS_OK;
}

static enum status forget_job(struct apply *a, uint64_t serial)
{
    struct serial_key key = serial_key(serial), end = serial_key(serial + 1);
    uint64_t count = 0;
    enum status status = apply_delete(a, STATE_MARKS, KEY_BYTES(key));
    if (status)
        return status;
    status = store_delete_range(&a->txn, a->state->tables[STATE_VERSIONS], KEY_BYTES(key), KEY_BYTES(end), UINT64_MAX,
                                &count, a->err);
    return status ? state_wrap_row(a->err, STATE_VERSIONS, KEY_BYTES(key)) : STATUS_OK;
}

enum status save_marks(struct apply *a, uint64_t serial, const struct job_marks *marks)
{
    struct state_change *change = state_changes_add(a->changes, CHANGE_MARKS, serial);
    if (!change)
        return no_memory(a);
    change->marks = *marks;
    return store_marks(a, serial, marks);
}

enum status store_marks(struct apply *a, uint64_t serial, const struct job_marks *marks)
{
    if (marks->deleted && marks->active == 0)
        return forget_job(a, serial);
    struct serial_key key = serial_key(serial);
    uint8_t row[JOB_MARKS_SIZE];
    job_marks_encode(marks, row);
    return apply_put(a, STATE_MARKS, KEY_BYTES(key), (struct bytes){row, sizeof row});
}

static enum status encode_open(struct apply *a, const struct open_run *run)
{
    struct buffer *row = &a->state->row;
    buffer_clear(row);
    open_run_encode(run, row);
    if (row->failed)
        return apply_buffer_failed(a, row, "a row of open");
    struct state_change *change = state_changes_add(a->changes, CHANGE_OPEN, run->serial);
    if (!change)
        return no_memory(a);
    change->execution = run->execution;
    state_changes_row(a->changes, change, buffer_bytes(row));
    return STATUS_OK;
}

enum status save_open(struct apply *a, const struct open_run *run)
{
    enum status status = encode_open(a, run);
    return status ? status : apply_put(a, STATE_OPEN, KEY_BYTES(run->execution), buffer_bytes(&a->state->row));
}

/* --- the open runs of one job --- */

struct open_by_job_key {
    uint8_t bytes[OPEN_BY_JOB_KEY_SIZE];
};

static struct open_by_job_key open_by_job_key(uint64_t serial, const struct id *execution)
{
    struct open_by_job_key key;
    store_be64(key.bytes, serial);
    memcpy(key.bytes + SERIAL_KEY_SIZE, execution->bytes, ID_SIZE);
    return key;
}

enum { OPEN_BY_JOB_ROW_SIZE = 5 }; /* format, version of the job */

enum status insert_open(struct apply *a, const struct open_run *run)
{
    enum status status = encode_open(a, run);
    if (!status)
        status = apply_insert(a, STATE_OPEN, KEY_BYTES(run->execution), buffer_bytes(&a->state->row));
    if (status)
        return status;
    struct open_by_job_key key = open_by_job_key(run->serial, &run->execution);
    uint8_t row[OPEN_BY_JOB_ROW_SIZE] = {ROW_FORMAT};
    store_le32(row + 1, run->job_version);
    return apply_insert(a, STATE_OPEN_BY_JOB, KEY_BYTES(key), (struct bytes){row, sizeof row});
}

enum status delete_open(struct apply *a, const struct open_run *run)
{
    struct open_by_job_key key = open_by_job_key(run->serial, &run->execution);
    enum status status = apply_delete(a, STATE_OPEN, KEY_BYTES(run->execution));
    return status ? status : apply_delete(a, STATE_OPEN_BY_JOB, KEY_BYTES(key));
}

static enum status add_open_run(struct apply *a, struct bytes key, struct bytes row, uint32_t count)
{
    struct state *state = a->state;
    const uint8_t *bytes = row.data;
    if (key.size != OPEN_BY_JOB_KEY_SIZE || row.size != OPEN_BY_JOB_ROW_SIZE || bytes[0] != ROW_FORMAT) {
        (void)error_set(a->err, STATUS_CORRUPT, "a row of open_by_job is damaged"); /* wrapped and returned below */
        return state_wrap_row(a->err, STATE_OPEN_BY_JOB, key);
    }
    if (count == state->open_run_capacity) {
        uint32_t capacity = count ? count * 2 : 64;
        struct job_open_run *grown = realloc(state->open_runs, capacity * sizeof *grown);
        if (!grown)
            return no_memory(a);
        state->open_runs = grown;
        state->open_run_capacity = capacity;
    }
    struct job_open_run *run = &state->open_runs[count];
    memcpy(run->execution.bytes, (const uint8_t *)key.data + SERIAL_KEY_SIZE, ID_SIZE);
    run->job_version = load_le32(bytes + 1);
    return STATUS_OK;
}

enum status list_open_runs(struct apply *a, uint64_t serial, uint32_t *ret_count)
{
    struct serial_key from = serial_key(serial);
    struct store_cursor cursor;
    enum status status = store_cursor_open(&a->txn, a->state->tables[STATE_OPEN_BY_JOB], &cursor, a->err);
    if (status)
        return error_wrap(a->err, "table open_by_job");
    uint32_t count = 0;
    for (int32_t op = CHRONOS_CURSOR_SEEK_GE; !status; op = CHRONOS_CURSOR_NEXT) {
        struct bytes key, row;
        status = store_cursor_move(&cursor, op, KEY_BYTES(from), &key, &row, a->err);
        if (status || key.size < SERIAL_KEY_SIZE || memcmp(key.data, from.bytes, SERIAL_KEY_SIZE) != 0)
            break;
        status = add_open_run(a, key, row, count++);
    }
    store_cursor_close(&cursor);
    if (status && status != STATUS_NOT_FOUND)
        return status;
    *ret_count = count;
    return STATUS_OK;
}
