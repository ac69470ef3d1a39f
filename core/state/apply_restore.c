/* RESTORE: what is left of another time is ended, so that nothing of it happens again. */
#include <string.h>

#include "state/apply_internal.h"

/* Keys of a table, gathered before the rows change. */
static enum status list_keys(struct apply *a, enum state_table table, struct buffer *out)
{
    struct store_cursor cursor;
    struct bytes key, row;
    enum status status = store_cursor_open(&a->txn, a->state->tables[table], &cursor, a->err);
    if (status)
        return error_wrap(a->err, "table %s", state_table_name(table));
    for (int32_t op = CHRONOS_CURSOR_FIRST; !status; op = CHRONOS_CURSOR_NEXT) {
        status = store_cursor_move(&cursor, op, (struct bytes){NULL, 0}, &key, &row, a->err);
        if (!status)
            put_blob(out, key.data, key.size);
    }
    store_cursor_close(&cursor);
    if (status == STATUS_NOT_FOUND)
        status = out->failed ? apply_buffer_failed(a, out, "a list of keys") : STATUS_OK;
    return status;
}

static enum status each_key(struct apply *a, enum state_table table, enum status (*step)(struct apply *a, struct bytes key))
{
    struct buffer keys;
    buffer_init(&keys, UINT32_MAX);
    enum status status = list_keys(a, table, &keys);
    struct reader r = reader_of(keys.data, keys.size);
    while (!status && r.at < r.end)
        status = step(a, take_blob(&r));
    buffer_deinit(&keys);
    return status;
}

static enum status end_run(struct apply *a, struct bytes key)
{
    struct id execution;
    struct open_run run;
    struct job_marks marks;
    if (key.size != sizeof execution.bytes)
        return error_set(a->err, STATUS_CORRUPT, "a key of open has %zu bytes instead of %zu", key.size, sizeof execution.bytes);
    memcpy(execution.bytes, key.data, key.size);
    enum status status = need_open(a, &execution, &run);
    if (!status)
        status = need_marks(a, run.serial, &marks);
    if (status)
        return status;
    struct run_end end = plain_end(a, RUN_LOST, REASON_RESTORED);
    status = finish_run(a, &run, true, &marks, &end);
    return status ? status : store_marks(a, run.serial, &marks);
}

static enum status set_mark(struct apply *a, struct bytes key)
{
    struct job_marks marks;
    if (key.size != SERIAL_KEY_SIZE)
        return error_set(a->err, STATUS_CORRUPT, "a key of marks has %zu bytes instead of %d", key.size, SERIAL_KEY_SIZE);
    uint64_t serial = load_be64(key.data);
    enum status status = need_marks(a, serial, &marks);
    if (status || marks.mark_ms >= a->now_ms)
        return status;
    marks.mark_ms = a->now_ms;
    return store_marks(a, serial, &marks);
}

static enum status forget_node(struct apply *a, struct bytes key)
{
    return apply_delete(a, STATE_NODES, key);
}

static enum status note_origin(struct apply *a, const struct restore *restore)
{
    uint8_t row[META_RESTORED_SIZE];
    memcpy(row, restore->cluster.bytes, ID_SIZE);
    memcpy(row + ID_SIZE, restore->digest, RESTORE_DIGEST_SIZE);
    return apply_put(a, STATE_META, (struct bytes){meta_restored, strlen(meta_restored)}, (struct bytes){row, sizeof row});
}

enum status apply_restore(struct apply *a)
{
    struct restore restore = take_restore(&a->body);
    if (!reader_done(&a->body))
        return apply_malformed(a);
    enum status status = each_key(a, STATE_OPEN, end_run);
    if (!status && !restore.keep_marks)
        status = each_key(a, STATE_MARKS, set_mark);
    if (!status)
        status = each_key(a, STATE_NODES, forget_node);
    if (!status)
        status = idempotency_forget(a); /* what was asked of the old cluster may be wanted of this one */
    return status ? status : note_origin(a, &restore);
}
