#include "store.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

int64_t key_to_integer(const void *key)
{
    const unsigned char *bytes = key;
    uint64_t number = 0;
    int64_t integer;

    for (int i = 0; i < 8; i++) {
        number = number << 8 | bytes[i];
    }
    number ^= UINT64_C(1) << 63;
    memcpy(&integer, &number, sizeof(integer));
    return integer;
}

void key_from_integer(int64_t integer, unsigned char key[8])
{
    uint64_t number;

    memcpy(&number, &integer, sizeof(number));
    number ^= UINT64_C(1) << 63;
    for (int i = 7; i >= 0; i--) {
        key[i] = (unsigned char)number;
        number >>= 8;
    }
}

static int32_t begin_write(struct store *store, uint32_t flags, struct chronos_txn **out, struct chronos_error *err)
{
    struct chronos_txn *txn = &store->writer;
    bool lazy = (flags & CHRONOS_TXN_LAZY) != 0 && store->role == CHRONOS_STORAGE_STATE;
    int rc;

    if (store->writing) {
        return fault(err, CHRONOS_MISUSE, 0, "a WRITE transaction is open already");
    }
    if (store->final != 0) {
        return fault(err, store->final, 0, "an earlier write failed; this store must be opened anew");
    }
    if (sqlite3_get_autocommit(store->connection.db) == 0 || sqlite3_stmt_busy(store->connection.snapshot) != 0) {
        return fault(err, CHRONOS_BUSY, 0, "a store of role LOG has one transaction at a time: end the READ first");
    }
    *txn = (struct chronos_txn){.store = store, .connection = &store->connection};
    txn->flags = CHRONOS_TXN_WRITE | (lazy ? CHRONOS_TXN_LAZY : 0u);
    rc = connection_set_full(store, !lazy); /* cannot be changed once the transaction has begun */
    if (rc == SQLITE_OK) {
        rc = connection_execute(&store->connection, "BEGIN IMMEDIATE");
    }
    if (rc != SQLITE_OK) {
        return fault_sqlite(err, store->connection.db, rc, "begin a WRITE transaction");
    }
    store->writing = true;
    *out = txn;
    return CHRONOS_OK;
}

static struct chronos_txn *take_reader(struct store *store)
{
    struct chronos_txn *txn = NULL;

    (void)pthread_mutex_lock(&store->reader_lock); /* a plain mutex, used rightly, cannot fail */
    if (store->idle != NULL) {
        txn = store->idle;
        store->idle = txn->next;
    } else if (store->reader_made < store->reader_max) {
        txn = &store->readers[store->reader_made++];
    }
    (void)pthread_mutex_unlock(&store->reader_lock);
    return txn;
}

static void return_reader(struct chronos_txn *txn)
{
    struct store *store = txn->store;

    (void)pthread_mutex_lock(&store->reader_lock);
    txn->next = store->idle;
    store->idle = txn;
    (void)pthread_mutex_unlock(&store->reader_lock);
}

static int32_t connect_reader(struct chronos_txn *txn, struct chronos_error *err)
{
    struct store *store = txn->store;
    int32_t status;

    if (store->role == CHRONOS_STORAGE_LOG) {
        txn->connection = &store->connection;
        return CHRONOS_OK;
    }
    txn->connection = calloc(1, sizeof(*txn->connection));
    if (txn->connection == NULL) {
        return fault(err, CHRONOS_NOMEM, 0, "no memory for a connection");
    }
    status = connection_open_reader(store, txn->connection, err);
    if (status != CHRONOS_OK) {
        connection_close(txn->connection);
        free(txn->connection);
        txn->connection = NULL;
    }
    return status;
}

/* A statement that stands on a row holds the snapshot: all others of the connection see the same, until it is reset. */
static int32_t take_snapshot(struct connection *connection, struct chronos_error *err)
{
    int rc = SQLITE_OK;

    if (connection->snapshot == NULL) {
        rc = sqlite3_prepare_v3(connection->db, "SELECT value FROM chronos_meta", -1, SQLITE_PREPARE_PERSISTENT,
                                &connection->snapshot, NULL);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(connection->snapshot);
    }
    if (rc == SQLITE_ROW) {
        return CHRONOS_OK;
    }
    (void)sqlite3_reset(connection->snapshot); /* repeats the error of the step; NULL is accepted */
    return rc == SQLITE_DONE ? fault(err, CHRONOS_CORRUPT, 0, "store.db has lost its bookkeeping rows")
                             : fault_sqlite(err, connection->db, rc, "begin a READ transaction");
}

static int32_t begin_read(struct store *store, struct chronos_txn **out, struct chronos_error *err)
{
    struct chronos_txn *txn;
    int32_t status = CHRONOS_OK;

    if (store->role == CHRONOS_STORAGE_LOG && store->writing) {
        return fault(err, CHRONOS_BUSY, 0, "a store of role LOG has one transaction at a time: end the WRITE first");
    }
    txn = take_reader(store);
    if (txn == NULL) {
        return fault(err, CHRONOS_BUSY, 0, "all %u READ transactions are in use", store->reader_max);
    }
    txn->store = store;
    txn->flags = CHRONOS_TXN_READ;
    txn->getting = NULL;
    if (txn->connection == NULL) {
        status = connect_reader(txn, err);
    }
    if (status == CHRONOS_OK) {
        status = take_snapshot(txn->connection, err);
    }
    if (status != CHRONOS_OK) {
        return_reader(txn);
        return status;
    }
    *out = txn;
    return CHRONOS_OK;
}

int32_t txn_begin(void *self, uint32_t flags, struct chronos_txn **out, struct chronos_error *err)
{
    struct store *store = self;

    if (!store->open) {
        return fault(err, CHRONOS_MISUSE, 0, "the store is not open");
    }
    return (flags & CHRONOS_TXN_WRITE) != 0 ? begin_write(store, flags, out, err) : begin_read(store, out, err);
}

/* The value of the last get is no longer needed; a statement left on its row would hold the transaction. */
static void end_get(struct chronos_txn *txn)
{
    if (txn->getting != NULL) {
        (void)sqlite3_reset(txn->getting); /* it stood on a row: no error to repeat */
        txn->getting = NULL;
    }
}

static void roll_back(struct chronos_txn *txn)
{
    sqlite3 *db = txn->connection->db;

    end_get(txn);
    if (sqlite3_get_autocommit(db) == 0) { /* some errors roll back by themselves */
        (void)connection_execute(txn->connection, "ROLLBACK"); /* the next BEGIN tells if even that failed */
    }
    txn->store->writing = false;
    if (txn->failed == CHRONOS_NOSPACE) {
        store_make_room(txn->store);
    }
}

void txn_abort(struct chronos_txn *txn)
{
    if ((txn->flags & CHRONOS_TXN_WRITE) != 0) {
        roll_back(txn);
        return;
    }
    end_get(txn);
    (void)sqlite3_reset(txn->connection->snapshot); /* it stood on a row: no error to repeat */
    return_reader(txn);
}

static int32_t finish_commit(struct store *store, bool lazy, bool changed, struct chronos_error *err)
{
    if (lazy) {
        store->lazy_pending = store->lazy_pending || changed;
    } else if (changed) {
        store->lazy_pending = false; /* the sync of the WAL covered everything before */
    } else if (store->lazy_pending) {
        return store_sync(store, err); /* nothing was written, but durability was promised */
    }
    return store_checkpoint(store, store->checkpoint_at, err);
}

int32_t txn_commit(struct chronos_txn *txn, struct chronos_error *err)
{
    struct store *store = txn->store;
    int32_t status;
    int rc;

    if ((txn->flags & CHRONOS_TXN_WRITE) == 0) {
        txn_abort(txn);
        return fault(err, CHRONOS_MISUSE, 0, "a READ transaction ends with abort");
    }
    if (txn->failed != 0) {
        roll_back(txn);
        if (txn->failed != CHRONOS_NOSPACE && txn->failed != CHRONOS_TOOBIG) {
            store->final = txn->failed;
        }
        return fault(err, txn->failed, 0, "commit: a put or del of this transaction failed; nothing was stored");
    }
    end_get(txn);
    rc = connection_execute(txn->connection, "COMMIT");
    if (rc != SQLITE_OK) {
        status = fault_sqlite(err, txn->connection->db, rc, "commit");
        txn->failed = status;
        roll_back(txn);
        if (status != CHRONOS_NOSPACE) {
            store->final = status;
        }
        return status;
    }
    store->writing = false;
    return finish_commit(store, (txn->flags & CHRONOS_TXN_LAZY) != 0, txn->change_count > 0, err);
}

static bool is_sequential(const struct store_table *table)
{
    return (table->flags & CHRONOS_TABLE_SEQUENTIAL) != 0;
}

static bool key_can_exist(const struct store_table *table, const struct chronos_bytes *key)
{
    return key->size > 0 && key->size <= STORE_MAX_KEY && (!is_sequential(table) || key->size == 8);
}

static int bind_bytes(sqlite3_stmt *statement, int parameter, const struct chronos_bytes *bytes)
{
    /* Borrowed by the statement until it is bound anew; it reads them during this call alone. NULL would bind NULL. */
    return sqlite3_bind_blob64(statement, parameter, bytes->size > 0 ? bytes->data : "", bytes->size, SQLITE_STATIC);
}

static int bind_key(sqlite3_stmt *statement, int parameter, const struct store_table *table,
                    const struct chronos_bytes *key)
{
    return is_sequential(table) ? sqlite3_bind_int64(statement, parameter, key_to_integer(key->data))
                                : bind_bytes(statement, parameter, key);
}

int32_t txn_get(struct chronos_txn *txn, uint32_t table_id, const struct chronos_bytes *key,
                struct chronos_bytes *out_value, struct chronos_error *err)
{
    const struct store_table *table = table_of(txn, table_id, err);
    sqlite3_stmt *statement;
    int rc;

    if (table == NULL) {
        return CHRONOS_MISUSE;
    }
    end_get(txn);
    if (!key_can_exist(table, key)) {
        return CHRONOS_NOTFOUND;
    }
    rc = connection_query(txn->store, txn->connection, table_id, QUERY_GET, false, &statement);
    if (rc == SQLITE_OK) {
        rc = bind_key(statement, 1, table, key);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW) {
            txn->getting = statement;
            out_value->data = sqlite3_column_blob(statement, 0); /* before the size: it may convert */
            out_value->size = (uint64_t)sqlite3_column_bytes(statement, 0);
            return CHRONOS_OK;
        }
        (void)sqlite3_reset(statement); /* repeats the error of the step */
    }
    return rc == SQLITE_DONE ? CHRONOS_NOTFOUND : fault_sqlite(err, txn->connection->db, rc, "get");
}

static int32_t check_writable(const struct chronos_txn *txn, struct chronos_error *err)
{
    if ((txn->flags & CHRONOS_TXN_WRITE) == 0) {
        return fault(err, CHRONOS_MISUSE, 0, "a READ transaction cannot write");
    }
    if (txn->failed != 0) {
        return fault(err, txn->failed, 0, "an earlier write of this transaction failed; it can only be aborted");
    }
    return CHRONOS_OK;
}

static int32_t check_row(const struct store_table *table, const struct chronos_bytes *key,
                         const struct chronos_bytes *value, struct chronos_error *err)
{
    if (key->size == 0) {
        return fault(err, CHRONOS_INVALID, 0, "table \"%s\": a key cannot be empty", table->name);
    }
    if (key->size > STORE_MAX_KEY) {
        return fault(err, CHRONOS_TOOBIG, 0, "table \"%s\": a key of %llu bytes is longer than %d", table->name,
                     (unsigned long long)key->size, STORE_MAX_KEY);
    }
    if (!key_can_exist(table, key)) {
        return fault(err, CHRONOS_INVALID, 0, "table \"%s\": its keys have 8 bytes, not %llu", table->name,
                     (unsigned long long)key->size);
    }
    if (value->size > STORE_MAX_VALUE) {
        return fault(err, CHRONOS_TOOBIG, 0, "table \"%s\": a value of %llu bytes is longer than %d", table->name,
                     (unsigned long long)value->size, STORE_MAX_VALUE);
    }
    return CHRONOS_OK;
}

/* Runs a bound statement that yields no rows. On failure the transaction is spoiled. */
static int32_t run_change(struct chronos_txn *txn, sqlite3_stmt *statement, int rc, const char *doing,
                          struct chronos_error *err)
{
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
        (void)sqlite3_reset(statement); /* repeats the error of the step */
    }
    if (rc != SQLITE_DONE) {
        txn->failed = fault_sqlite(err, txn->connection->db, rc, doing);
        return txn->failed;
    }
    return CHRONOS_OK;
}

int32_t txn_put(struct chronos_txn *txn, uint32_t table_id, const struct chronos_bytes *key,
                const struct chronos_bytes *value, uint32_t flags, struct chronos_error *err)
{
    const struct store_table *table = table_of(txn, table_id, err);
    bool keep = (flags & CHRONOS_PUT_NOOVERWRITE) != 0;
    sqlite3_stmt *statement = NULL;
    int32_t status;
    int rc;

    if (table == NULL) {
        return CHRONOS_MISUSE;
    }
    status = check_writable(txn, err);
    if (status == CHRONOS_OK) {
        status = check_row(table, key, value, err);
    }
    if (status != CHRONOS_OK) {
        return status;
    }
    end_get(txn);
    rc = connection_query(txn->store, txn->connection, table_id, keep ? QUERY_INSERT : QUERY_PUT, false, &statement);
    if (rc == SQLITE_OK) {
        rc = bind_key(statement, 1, table, key);
    }
    if (rc == SQLITE_OK) {
        rc = bind_bytes(statement, 2, value);
    }
    status = run_change(txn, statement, rc, "put", err);
    if (status != CHRONOS_OK) {
        return status;
    }
    if (keep && sqlite3_changes(txn->connection->db) == 0) {
        return fault(err, CHRONOS_EXISTS, 0, "table \"%s\": the key exists", table->name);
    }
    txn->change_count++;
    return CHRONOS_OK;
}

int32_t txn_del(struct chronos_txn *txn, uint32_t table_id, const struct chronos_bytes *key, struct chronos_error *err)
{
    const struct store_table *table = table_of(txn, table_id, err);
    sqlite3_stmt *statement = NULL;
    int32_t status;
    int rc;

    if (table == NULL) {
        return CHRONOS_MISUSE;
    }
    status = check_writable(txn, err);
    if (status != CHRONOS_OK) {
        return status;
    }
    end_get(txn);
    if (!key_can_exist(table, key)) {
        return CHRONOS_NOTFOUND;
    }
    rc = connection_query(txn->store, txn->connection, table_id, QUERY_DELETE, false, &statement);
    if (rc == SQLITE_OK) {
        rc = bind_key(statement, 1, table, key);
    }
    status = run_change(txn, statement, rc, "del", err);
    if (status != CHRONOS_OK) {
        return status;
    }
    if (sqlite3_changes(txn->connection->db) == 0) {
        return CHRONOS_NOTFOUND;
    }
    txn->change_count++;
    return CHRONOS_OK;
}

/* A range of keys as the two parameters of the range statements: [from, to) of bytes, or first..last of integers. */
struct range {
    struct chronos_bytes from;
    struct chronos_bytes to;
    int64_t first;
    int64_t last;
    unsigned char top[STORE_MAX_KEY + 1]; /* above every key */
    unsigned char stop[STORE_MAX_KEY];    /* what the bound's `to` points at */
};

/* The least integer whose 8 bytes are not below `key`; false where there is none. */
static bool ceiling(const struct chronos_bytes *key, int64_t *ret_integer)
{
    unsigned char padded[8] = {0};

    if (key->size > 0) {
        memcpy(padded, key->data, key->size < 8 ? key->size : 8);
    }
    *ret_integer = key_to_integer(padded);
    if (key->size <= 8) {
        return true;
    }
    if (*ret_integer == INT64_MAX) {
        return false;
    }
    ++*ret_integer; /* the first 8 bytes alone are below the longer key */
    return true;
}

/* False where the range is empty. */
static bool range_init(struct range *range, const struct store_table *table, const struct chronos_bytes *from,
                       const struct chronos_bytes *to)
{
    int64_t end;

    memset(range->top, 0xff, sizeof(range->top));
    range->from = *from;
    range->to = to->size > 0 ? *to : (struct chronos_bytes){.data = range->top, .size = sizeof(range->top)};
    range->last = INT64_MAX;
    if (!is_sequential(table)) {
        return true;
    }
    if (!ceiling(from, &range->first)) {
        return false;
    }
    if (to->size > 0 && ceiling(to, &end)) {
        if (end == INT64_MIN) {
            return false;
        }
        range->last = end - 1;
    }
    return range->first <= range->last;
}

static int range_bind(const struct range *range, const struct store_table *table, sqlite3_stmt *statement)
{
    int rc;

    if (is_sequential(table)) {
        rc = sqlite3_bind_int64(statement, 1, range->first);
        return rc == SQLITE_OK ? sqlite3_bind_int64(statement, 2, range->last) : rc;
    }
    rc = bind_bytes(statement, 1, &range->from);
    return rc == SQLITE_OK ? bind_bytes(statement, 2, &range->to) : rc;
}

static void range_stop_before(struct range *range, const struct store_table *table, sqlite3_stmt *row)
{
    const void *key;
    size_t size;

    if (is_sequential(table)) {
        range->last = sqlite3_column_int64(row, 0) - 1; /* at least one key lies before it: no overflow */
        return;
    }
    key = sqlite3_column_blob(row, 0);
    size = (size_t)sqlite3_column_bytes(row, 0);
    memcpy(range->stop, key, size < sizeof(range->stop) ? size : sizeof(range->stop));
    range->to = (struct chronos_bytes){.data = range->stop, .size = size};
}

/* Narrows the range to its first `max` keys. SQLITE_DONE or SQLITE_ROW when done. */
static int range_limit(struct chronos_txn *txn, uint32_t table_id, struct range *range, uint64_t max)
{
    const struct store_table *table = &txn->store->tables[table_id];
    sqlite3_stmt *statement;
    int rc = connection_query(txn->store, txn->connection, table_id, QUERY_BOUND, false, &statement);

    if (rc == SQLITE_OK) {
        rc = range_bind(range, table, statement);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_bind_int64(statement, 3, (int64_t)max);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW) {
            range_stop_before(range, table, statement);
        }
        (void)sqlite3_reset(statement); /* repeats the error of the step */
    }
    return rc;
}

int32_t txn_del_range(struct chronos_txn *txn, uint32_t table_id, const struct chronos_bytes *from,
                      const struct chronos_bytes *to, uint64_t max, uint64_t *out_n, struct chronos_error *err)
{
    const struct store_table *table = table_of(txn, table_id, err);
    sqlite3_stmt *statement = NULL;
    struct range range;
    int32_t status;
    int rc = SQLITE_DONE;

    if (table == NULL) {
        return CHRONOS_MISUSE;
    }
    status = check_writable(txn, err);
    if (status != CHRONOS_OK) {
        return status;
    }
    end_get(txn);
    if (max == 0 || !range_init(&range, table, from, to)) {
        *out_n = 0;
        return CHRONOS_OK;
    }
    if (max < INT_MAX) { /* more rows than that do not fit in a transaction */
        rc = range_limit(txn, table_id, &range, max);
    }
    if (rc == SQLITE_DONE || rc == SQLITE_ROW) {
        rc = connection_query(txn->store, txn->connection, table_id, QUERY_DELETE_RANGE, false, &statement);
    }
    if (rc == SQLITE_OK) {
        rc = range_bind(&range, table, statement);
    }
    status = run_change(txn, statement, rc, "del_range", err);
    if (status != CHRONOS_OK) {
        return status;
    }
    *out_n = (uint64_t)sqlite3_changes(txn->connection->db);
    txn->change_count += *out_n;
    return CHRONOS_OK;
}

/* SQLite counts rows by walking them all: exact up to a bound, beyond it the bound. Bytes: by the first rows. */
int32_t txn_stat(struct chronos_txn *txn, uint32_t table_id, struct chronos_storage_stat *out,
                 struct chronos_error *err)
{
    static const char *const COUNT = "SELECT count(*) FROM (SELECT 1 FROM \"%w\" LIMIT 100000)";
    static const char *const SPAN = "SELECT max(k)-min(k)+1 FROM \"%w\"";
    static const char *const WIDTH =
        "SELECT ifnull(cast(avg(w) AS INTEGER),0) FROM (SELECT length(v)+%s AS w FROM \"%w\" LIMIT 256)";
    const struct store_table *table = table_of(txn, table_id, err);
    int64_t entries = 0;
    int64_t width = 0;
    char *sql;
    int rc;

    if (table == NULL) {
        return CHRONOS_MISUSE;
    }
    sql = sqlite3_mprintf(COUNT, table->name);
    rc = sql != NULL ? connection_number(txn->connection, sql, &entries) : SQLITE_NOMEM;
    sqlite3_free(sql);
    if (rc == SQLITE_OK && entries == 100000 && is_sequential(table)) {
        sql = sqlite3_mprintf(SPAN, table->name);
        rc = sql != NULL ? connection_number(txn->connection, sql, &entries) : SQLITE_NOMEM;
        sqlite3_free(sql);
    }
    if (rc == SQLITE_OK) {
        sql = sqlite3_mprintf(WIDTH, is_sequential(table) ? "8" : "length(k)", table->name);
        rc = sql != NULL ? connection_number(txn->connection, sql, &width) : SQLITE_NOMEM;
        sqlite3_free(sql);
    }
    if (rc != SQLITE_OK) {
        return fault_sqlite(err, txn->connection->db, rc, "stat");
    }
    out->entries = entries > 0 ? (uint64_t)entries : 0;
    out->bytes = out->entries * (uint64_t)width;
    return CHRONOS_OK;
}
