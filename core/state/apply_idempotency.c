/* Keys of requests: what has one takes effect once, and is told of it again for as long as the key is kept (docs/api.md, "Repeating a
 * request"). Kept by log time, so every node forgets a key with the same entry; an index by time makes that bounded work. */
#include <string.h>

#include "state/apply_internal.h"

static struct bytes row_key(const uint8_t digest[IDEMPOTENCY_DIGEST_SIZE])
{
    return (struct bytes){digest, IDEMPOTENCY_DIGEST_SIZE};
}

static enum status load_row(struct apply *a, struct bytes key, struct idempotency_row *ret)
{
    struct bytes row;
    enum status status = apply_get(a, STATE_IDEMPOTENCY, key, &row);
    if (status)
        return status;
    status = idempotency_row_decode(row, ret, a->err);
    return status ? state_wrap_row(a->err, STATE_IDEMPOTENCY, key) : STATUS_OK;
}

/* --- how many there are of whom --- */

static enum status load_count(struct apply *a, struct bytes key, uint32_t *ret)
{
    struct bytes row;
    *ret = 0;
    enum status status = apply_get(a, STATE_IDEMPOTENCY_COUNTS, key, &row);
    if (status)
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    struct reader r = reader_of(row.data, row.size);
    status = row_open(&r, "idempotency_counts", a->err);
    uint32_t count = take_u32(&r);
    if (!status)
        status = row_close(&r, "idempotency_counts", a->err);
    if (status)
        return state_wrap_row(a->err, STATE_IDEMPOTENCY_COUNTS, key);
    *ret = count;
    return STATUS_OK;
}

static enum status save_count(struct apply *a, struct bytes key, uint32_t count)
{
    uint8_t row[IDEMPOTENCY_COUNT_ROW_SIZE] = {ROW_FORMAT};
    if (count == 0)
        return apply_delete(a, STATE_IDEMPOTENCY_COUNTS, key);
    store_le32(row + 1, count);
    return apply_put(a, STATE_IDEMPOTENCY_COUNTS, key, (struct bytes){row, sizeof row});
}

/* --- away with those whose time is over --- */

static enum status remove_row(struct apply *a, struct bytes key, const struct idempotency_row *row)
{
    struct idempotency_time_key time = idempotency_time_key(row->created_ms, key.data);
    uint8_t name[PRINCIPAL_KEY_MAX];
    struct bytes principal = principal_key(row->principal, name);
    uint32_t count;
    enum status status = load_count(a, principal, &count);
    if (status)
        return status;
    if (count == 0 || a->state->work.idempotency_count == 0)
        return error_set(a->err, STATUS_CORRUPT, "table idempotency holds more than is counted");
    a->state->work.idempotency_count--;
    status = save_count(a, principal, count - 1);
    if (!status)
        status = apply_delete(a, STATE_IDEMPOTENCY_BY_TIME, KEY_BYTES(time));
    return status ? status : apply_delete(a, STATE_IDEMPOTENCY, key);
}

/* The row of `idempotency` that a key of `idempotency_by_time` lists leaves, if its time is over; else NOT_FOUND. */
static enum status expire_listed(struct apply *a, struct bytes listed)
{
    struct idempotency_row row;
    uint8_t digest[IDEMPOTENCY_DIGEST_SIZE];
    int64_t created_ms;
    enum status status = idempotency_time_of(listed, &created_ms, a->err);
    if (status)
        return error_wrap(a->err, "table idempotency_by_time");
    if (!idempotency_is_over(created_ms, a->now_ms))
        return STATUS_NOT_FOUND;
    memcpy(digest, (const uint8_t *)listed.data + TIME_KEY_SIZE, sizeof digest); /* borrowed, and gone with the first delete */
    status = load_row(a, row_key(digest), &row);
    if (status == STATUS_NOT_FOUND || (!status && row.created_ms != created_ms))
        return apply_missing(a, STATE_IDEMPOTENCY, row_key(digest));
    return status ? status : remove_row(a, row_key(digest), &row);
}

enum status idempotency_expire(struct apply *a, uint32_t max, bool *ret_more)
{
    struct store_cursor cursor;
    uint32_t count = 0;
    enum status status = store_cursor_open(&a->txn, a->state->tables[STATE_IDEMPOTENCY_BY_TIME], &cursor, a->err);
    if (status)
        return error_wrap(a->err, "table idempotency_by_time");
    for (; !status && count < max; count++) {
        struct bytes key, row;
        status = store_cursor_move(&cursor, CHRONOS_CURSOR_NEXT, (struct bytes){NULL, 0}, &key, &row, a->err);
        if (!status)
            status = expire_listed(a, key);
    }
    store_cursor_close(&cursor);
    *ret_more = status == STATUS_OK;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status idempotency_forget(struct apply *a)
{
    static const enum state_table tables[] = {STATE_IDEMPOTENCY, STATE_IDEMPOTENCY_BY_TIME, STATE_IDEMPOTENCY_COUNTS};
    const struct bytes all = {NULL, 0};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        uint64_t count = 0;
        if (store_delete_range(&a->txn, a->state->tables[tables[i]], all, all, UINT64_MAX, &count, a->err))
            return error_wrap(a->err, "table %s", state_table_name(tables[i]));
    }
    a->state->work.idempotency_count = 0;
    return STATUS_OK;
}

/* --- a command with a key --- */

/* The result of the first one that had the key. */
static enum status replay(struct apply *a, const struct idempotency *idempotency, const struct idempotency_row *row)
{
    if (memcmp(idempotency->request, row->request, sizeof row->request) != 0)
        return apply_refuse(a, STATUS_IDEMPOTENCY_KEY_REUSED);
    a->result->id = row->resource;
    a->result->replayed_status = row->http_status;
    return STATUS_OK;
}

/* *ret: one more may be kept. */
static enum status has_room(struct apply *a, const struct idempotency *idempotency, bool *ret)
{
    uint8_t name[PRINCIPAL_KEY_MAX];
    uint32_t count = 0;
    bool ignored;
    enum status status = idempotency_expire(a, IDEMPOTENCY_EXPIRE_MAX, &ignored);
    if (!status)
        status = load_count(a, principal_key(idempotency->principal, name), &count);
    *ret = count < IDEMPOTENCY_ROWS_OF_ONE_MAX && a->state->work.idempotency_count < IDEMPOTENCY_ROWS_MAX;
    return status;
}

enum status idempotency_look(struct apply *a, const struct idempotency *idempotency, bool *ret_decided)
{
    struct idempotency_row row;
    bool fits;
    struct bytes key = row_key(idempotency->key);
    enum status status = load_row(a, key, &row);
    *ret_decided = status == STATUS_OK && !idempotency_is_over(row.created_ms, a->now_ms);
    if (*ret_decided)
        return replay(a, idempotency, &row);
    if (!status)
        status = remove_row(a, key, &row);
    if (!status || status == STATUS_NOT_FOUND)
        status = has_room(a, idempotency, &fits);
    if (status || fits)
        return status;
    *ret_decided = true;
    return apply_refuse(a, STATUS_IDEMPOTENCY_KEYS_FULL);
}

enum status idempotency_keep(struct apply *a, const struct idempotency *idempotency)
{
    struct idempotency_row item = {.http_status = idempotency->http_status, .resource = a->result->id, .created_ms = a->now_ms};
    struct idempotency_time_key time = idempotency_time_key(a->now_ms, idempotency->key);
    static const uint8_t listed[] = {ROW_FORMAT};
    uint8_t name[PRINCIPAL_KEY_MAX];
    struct bytes principal = principal_key(idempotency->principal, name);
    struct buffer *row = &a->state->row;
    uint32_t count;
    memcpy(item.principal, idempotency->principal, sizeof item.principal);
    memcpy(item.request, idempotency->request, sizeof item.request);
    buffer_clear(row);
    idempotency_row_encode(&item, row);
    if (row->failed)
        return apply_buffer_failed(a, row, "a row of idempotency");
    enum status status = apply_insert(a, STATE_IDEMPOTENCY, row_key(idempotency->key), buffer_bytes(row));
    if (!status)
        status = apply_insert(a, STATE_IDEMPOTENCY_BY_TIME, KEY_BYTES(time), (struct bytes){listed, sizeof listed});
    if (!status)
        status = load_count(a, principal, &count);
    if (status)
        return status;
    a->state->work.idempotency_count++;
    return save_count(a, principal, count + 1);
}
