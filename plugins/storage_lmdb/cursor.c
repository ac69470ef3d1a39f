/* Cursors. A move that fails, or a write in the transaction, leaves the LMDB cursor where the contract does not say;
 * so the last key returned is remembered, and the next NEXT or PREV seeks it anew. */
#include "store.h"

#include <stdlib.h>
#include <string.h>

struct chronos_cursor {
    struct chronos_txn *txn;
    MDB_cursor *handle;
    MDB_dbi dbi;
    bool placed;           /* the LMDB cursor stands on `last` */
    uint64_t change_count; /* of the transaction, when `handle` was opened or last moved */
    MDB_val last;          /* the last key returned; size 0: none. In the map for a READ, in `copy` for a WRITE */
    unsigned char copy[STORE_MAX_KEY];
};

int32_t cursor_open(struct chronos_txn *txn, uint32_t table_id, struct chronos_cursor **out, struct chronos_error *err)
{
    const struct store_table *table = table_of(txn, table_id, err);
    struct chronos_cursor *cursor;
    int rc;

    if (table == NULL) {
        return CHRONOS_MISUSE;
    }
    cursor = malloc(sizeof(*cursor));
    if (cursor == NULL) {
        return fault(err, CHRONOS_NOMEM, 0, "no memory for a cursor");
    }
    cursor->txn = txn;
    cursor->dbi = table->dbi;
    cursor->placed = false;
    cursor->change_count = txn->change_count;
    cursor->last = (MDB_val){0};
    rc = mdb_cursor_open(txn->handle, table->dbi, &cursor->handle);
    if (rc != 0) {
        free(cursor);
        return fault_lmdb(err, rc, "open a cursor");
    }
    *out = cursor;
    return CHRONOS_OK;
}

void cursor_close(struct chronos_cursor *cursor)
{
    if (cursor == NULL) {
        return;
    }
    if (cursor->handle != NULL) {
        mdb_cursor_close(cursor->handle);
    }
    free(cursor);
}

/* After a write a fresh LMDB cursor is certain where a moved one would have to be right. */
static int renew_after_write(struct chronos_cursor *cursor)
{
    int rc = 0;

    if (cursor->handle == NULL || cursor->change_count != cursor->txn->change_count) {
        if (cursor->handle != NULL) {
            mdb_cursor_close(cursor->handle);
        }
        rc = mdb_cursor_open(cursor->txn->handle, cursor->dbi, &cursor->handle);
        if (rc != 0) {
            cursor->handle = NULL;
        }
        cursor->placed = false;
        cursor->change_count = cursor->txn->change_count;
    }
    return rc;
}

static int seek_ge(MDB_cursor *handle, const MDB_val *seek, MDB_val *key, MDB_val *value)
{
    *key = *seek;
    return mdb_cursor_get(handle, key, value, seek->mv_size > 0 ? MDB_SET_RANGE : MDB_FIRST);
}

static bool same_key(const MDB_val *one, const MDB_val *other)
{
    return one->mv_size == other->mv_size && memcmp(one->mv_data, other->mv_data, one->mv_size) == 0;
}

static int seek_gt(MDB_cursor *handle, const MDB_val *seek, MDB_val *key, MDB_val *value)
{
    int rc = seek_ge(handle, seek, key, value);

    return rc == 0 && same_key(key, seek) ? mdb_cursor_get(handle, key, value, MDB_NEXT) : rc;
}

/* The last key below `seek`, or with `inclusive` the last one not above it. */
static int seek_below(MDB_cursor *handle, const MDB_val *seek, bool inclusive, MDB_val *key, MDB_val *value)
{
    int rc;

    if (seek->mv_size == 0) {
        return MDB_NOTFOUND; /* no key is that small */
    }
    rc = seek_ge(handle, seek, key, value);
    if (rc == MDB_NOTFOUND) {
        return mdb_cursor_get(handle, key, value, MDB_LAST);
    }
    if (rc != 0 || (inclusive && same_key(key, seek))) {
        return rc;
    }
    return mdb_cursor_get(handle, key, value, MDB_PREV);
}

static int step(struct chronos_cursor *cursor, bool forward, MDB_val *key, MDB_val *value)
{
    MDB_val last = cursor->last;

    if (last.mv_size == 0) {
        return mdb_cursor_get(cursor->handle, key, value, forward ? MDB_FIRST : MDB_LAST);
    }
    if (cursor->placed) {
        return mdb_cursor_get(cursor->handle, key, value, forward ? MDB_NEXT : MDB_PREV);
    }
    return forward ? seek_gt(cursor->handle, &last, key, value) : seek_below(cursor->handle, &last, false, key, value);
}

static int move(struct chronos_cursor *cursor, int32_t op, const MDB_val *seek, MDB_val *key, MDB_val *value)
{
    switch (op) {
    case CHRONOS_CURSOR_FIRST:
        return mdb_cursor_get(cursor->handle, key, value, MDB_FIRST);
    case CHRONOS_CURSOR_LAST:
        return mdb_cursor_get(cursor->handle, key, value, MDB_LAST);
    case CHRONOS_CURSOR_SEEK_GE:
        return seek_ge(cursor->handle, seek, key, value);
    case CHRONOS_CURSOR_SEEK_LE:
        return seek_below(cursor->handle, seek, true, key, value);
    default:
        return step(cursor, op == CHRONOS_CURSOR_NEXT, key, value);
    }
}

static void remember(struct chronos_cursor *cursor, const MDB_val *key)
{
    cursor->last = *key;
    if ((cursor->txn->flags & CHRONOS_TXN_WRITE) != 0) { /* the map stays as it is for a READ only */
        memcpy(cursor->copy, key->mv_data, key->mv_size);
        cursor->last.mv_data = cursor->copy;
    }
}

int32_t cursor_move(struct chronos_cursor *cursor, int32_t op, const struct chronos_bytes *seek,
                    struct chronos_bytes *out_key, struct chronos_bytes *out_value, struct chronos_error *err)
{
    bool seeks = op == CHRONOS_CURSOR_SEEK_GE || op == CHRONOS_CURSOR_SEEK_LE;
    MDB_val wanted = {0};
    MDB_val key;
    MDB_val value;
    int rc;

    if (op < CHRONOS_CURSOR_FIRST || op > CHRONOS_CURSOR_PREV || (seeks && seek == NULL)) {
        return fault(err, CHRONOS_MISUSE, 0, "unknown cursor operation %d, or no key to seek", op);
    }
    if (cursor->txn->failed != 0) {
        return fault(err, cursor->txn->failed, 0,
                     "an earlier write of this transaction failed; it can only be aborted");
    }
    if (seeks) {
        wanted = (MDB_val){.mv_size = seek->size, .mv_data = (void *)(uintptr_t)seek->data};
    }
    rc = renew_after_write(cursor);
    if (rc == 0) {
        rc = move(cursor, op, &wanted, &key, &value);
    }
    cursor->placed = rc == 0;
    if (rc == MDB_NOTFOUND) {
        return CHRONOS_NOTFOUND;
    }
    if (rc != 0) {
        return fault_lmdb(err, rc, "move a cursor");
    }
    remember(cursor, &key);
    *out_key = (struct chronos_bytes){.data = key.mv_data, .size = key.mv_size};
    *out_value = (struct chronos_bytes){.data = value.mv_data, .size = value.mv_size};
    return CHRONOS_OK;
}
