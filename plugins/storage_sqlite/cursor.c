/* Cursors: a statement that yields rows in order, stepped as long as the direction stays and nobody writes; otherwise
 * the next move seeks anew from the last key returned. */
#include "store.h"

#include <stdlib.h>
#include <string.h>

struct chronos_cursor {
    struct chronos_txn *txn;
    uint32_t table_id;
    enum query query;        /* of `statement` */
    sqlite3_stmt *statement; /* NULL: none taken */
    bool placed;             /* the statement stands on the row of `last` */
    uint64_t change_count;   /* of the transaction, when the statement was last stepped */
    size_t last_size;        /* the last key returned; 0: none */
    unsigned char last[STORE_MAX_KEY];
};

int32_t cursor_open(struct chronos_txn *txn, uint32_t table_id, struct chronos_cursor **out, struct chronos_error *err)
{
    struct chronos_cursor *cursor;

    if (table_of(txn, table_id, err) == NULL) {
        return CHRONOS_MISUSE;
    }
    cursor = malloc(sizeof(*cursor));
    if (cursor == NULL) {
        return fault(err, CHRONOS_NOMEM, 0, "no memory for a cursor");
    }
    cursor->txn = txn;
    cursor->table_id = table_id;
    cursor->query = QUERY_GE;
    cursor->statement = NULL;
    cursor->placed = false;
    cursor->change_count = txn->change_count;
    cursor->last_size = 0;
    *out = cursor;
    return CHRONOS_OK;
}

void cursor_close(struct chronos_cursor *cursor)
{
    if (cursor == NULL) {
        return;
    }
    connection_give_back(cursor->txn->connection, cursor->table_id, cursor->query, cursor->statement);
    free(cursor);
}

/* Keys of 8 bytes compare with a key of another length as with its first 8 bytes, padded with zeros, but never equal:
 * padding raises it, cutting lowers it. */
static int bind_integer(sqlite3_stmt *statement, const struct chronos_bytes *key)
{
    unsigned char padded[8] = {0};

    if (key->size > 0) {
        memcpy(padded, key->data, key->size < 8 ? key->size : 8);
    }
    return sqlite3_bind_int64(statement, 1, key_to_integer(padded));
}

static enum query query_for_integers(enum query query, uint64_t key_size)
{
    bool forward = query == QUERY_GE || query == QUERY_GT;

    if (key_size == 8) {
        return query;
    }
    if (key_size < 8) {
        return forward ? QUERY_GE : QUERY_LT;
    }
    return forward ? QUERY_GT : QUERY_LE;
}

/* Bound by copy: the statement may read its parameter at a later step, when the caller's bytes are gone. */
static int bind_seek(const struct chronos_cursor *cursor, bool integers, const struct chronos_bytes *key)
{
    if (integers) {
        return bind_integer(cursor->statement, key);
    }
    return sqlite3_bind_blob64(cursor->statement, 1, key->size > 0 ? key->data : "", key->size, SQLITE_TRANSIENT);
}

static int seek(struct chronos_cursor *cursor, enum query query, const struct chronos_bytes *key)
{
    struct store *store = cursor->txn->store;
    bool integers = (store->tables[cursor->table_id].flags & CHRONOS_TABLE_SEQUENTIAL) != 0;
    int rc = SQLITE_OK;

    if (integers) {
        query = query_for_integers(query, key->size);
    }
    if (cursor->statement != NULL && cursor->query == query) {
        (void)sqlite3_reset(cursor->statement); /* repeats the error of its last step */
    } else {
        connection_give_back(cursor->txn->connection, cursor->table_id, cursor->query, cursor->statement);
        cursor->statement = NULL;
        cursor->query = query;
        rc = connection_query(store, cursor->txn->connection, cursor->table_id, query, true, &cursor->statement);
    }
    if (rc == SQLITE_OK) {
        rc = bind_seek(cursor, integers, key);
    }
    return rc == SQLITE_OK ? sqlite3_step(cursor->statement) : rc;
}

static int seek_end(struct chronos_cursor *cursor, bool forward)
{
    unsigned char top[STORE_MAX_KEY + 1]; /* above every key; read as an integer, its last */

    memset(top, 0xff, sizeof(top));
    return forward ? seek(cursor, QUERY_GE, &(struct chronos_bytes){0})
                   : seek(cursor, QUERY_LE, &(struct chronos_bytes){.data = top, .size = sizeof(top)});
}

static int step(struct chronos_cursor *cursor, bool forward)
{
    struct chronos_bytes last = {.data = cursor->last, .size = cursor->last_size};
    bool same_direction = forward == (cursor->query == QUERY_GE || cursor->query == QUERY_GT);

    if (last.size == 0) {
        return seek_end(cursor, forward);
    }
    if (cursor->placed && same_direction && cursor->change_count == cursor->txn->change_count) {
        return sqlite3_step(cursor->statement);
    }
    return seek(cursor, forward ? QUERY_GT : QUERY_LT, &last);
}

static int move(struct chronos_cursor *cursor, int32_t op, const struct chronos_bytes *key)
{
    switch (op) {
    case CHRONOS_CURSOR_FIRST:
    case CHRONOS_CURSOR_LAST:
        return seek_end(cursor, op == CHRONOS_CURSOR_FIRST);
    case CHRONOS_CURSOR_SEEK_GE:
        return seek(cursor, QUERY_GE, key);
    case CHRONOS_CURSOR_SEEK_LE:
        return seek(cursor, QUERY_LE, key);
    default:
        return step(cursor, op == CHRONOS_CURSOR_NEXT);
    }
}

/* The row's key into `last`; false when it cannot be one of ours. */
static bool remember(struct chronos_cursor *cursor)
{
    const struct store_table *table = &cursor->txn->store->tables[cursor->table_id];
    const void *key;
    int size;

    if ((table->flags & CHRONOS_TABLE_SEQUENTIAL) != 0) {
        key_from_integer(sqlite3_column_int64(cursor->statement, 0), cursor->last);
        cursor->last_size = 8;
        return true;
    }
    key = sqlite3_column_blob(cursor->statement, 0);
    size = sqlite3_column_bytes(cursor->statement, 0);
    if (key == NULL || size < 1 || size > STORE_MAX_KEY) {
        return false;
    }
    memcpy(cursor->last, key, (size_t)size);
    cursor->last_size = (size_t)size;
    return true;
}

int32_t cursor_move(struct chronos_cursor *cursor, int32_t op, const struct chronos_bytes *key,
                    struct chronos_bytes *out_key, struct chronos_bytes *out_value, struct chronos_error *err)
{
    bool seeks = op == CHRONOS_CURSOR_SEEK_GE || op == CHRONOS_CURSOR_SEEK_LE;
    int rc;

    if (op < CHRONOS_CURSOR_FIRST || op > CHRONOS_CURSOR_PREV || (seeks && key == NULL)) {
        return fault(err, CHRONOS_MISUSE, 0, "unknown cursor operation %d, or no key to seek", op);
    }
    if (cursor->txn->failed != 0) {
        return fault(err, cursor->txn->failed, 0,
                     "an earlier write of this transaction failed; it can only be aborted");
    }
    rc = move(cursor, op, key);
    cursor->placed = rc == SQLITE_ROW;
    cursor->change_count = cursor->txn->change_count;
    if (rc == SQLITE_ROW && remember(cursor)) {
        *out_key = (struct chronos_bytes){.data = cursor->last, .size = cursor->last_size};
        out_value->data = sqlite3_column_blob(cursor->statement, 1); /* before the size: it may convert */
        out_value->size = (uint64_t)sqlite3_column_bytes(cursor->statement, 1);
        return CHRONOS_OK;
    }
    (void)sqlite3_reset(cursor->statement); /* repeats the error of the step; NULL is accepted */
    if (rc == SQLITE_DONE) {
        return CHRONOS_NOTFOUND;
    }
    if (rc == SQLITE_ROW) {
        return fault(err, CHRONOS_CORRUPT, 0, "a row of store.db has no valid key");
    }
    return fault_sqlite(err, cursor->txn->connection->db, rc, "move a cursor");
}
