/* Connections: how they are set up, and their prepared statements. */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int connection_execute(struct connection *connection, const char *sql)
{
    return sqlite3_exec(connection->db, sql, NULL, NULL, NULL);
}

int connection_number(struct connection *connection, const char *sql, int64_t *ret_number)
{
    sqlite3_stmt *statement;
    int rc = sqlite3_prepare_v2(connection->db, sql, -1, &statement, NULL);

    if (rc != SQLITE_OK) {
        return rc;
    }
    rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        *ret_number = sqlite3_column_int64(statement, 0);
        rc = SQLITE_OK;
    } else if (rc == SQLITE_DONE) {
        rc = SQLITE_ERROR; /* no row where one belongs */
    }
    (void)sqlite3_finalize(statement); /* repeats the error of the step */
    return rc;
}

/* A PRAGMA that SQLite cannot honour is not an error: it answers with what holds instead. */
static int32_t set_and_verify(struct connection *connection, const char *pragma, const char *expected,
                              struct chronos_error *err)
{
    sqlite3_stmt *statement;
    char found[32] = "nothing";
    int rc = sqlite3_prepare_v2(connection->db, pragma, -1, &statement, NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW && sqlite3_column_text(statement, 0) != NULL) {
            /* for a look */
            (void)snprintf(found, sizeof(found), "%s", (const char *)sqlite3_column_text(statement, 0));
        }
        (void)sqlite3_finalize(statement); /* repeats the error of the step */
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        return fault_sqlite(err, connection->db, rc, pragma);
    }
    if (strcmp(found, expected) != 0) {
        return fault(err, CHRONOS_UNSUPPORTED, 0, "%s: SQLite answers \"%s\", not \"%s\"", pragma, found, expected);
    }
    return CHRONOS_OK;
}

static int32_t set_common(struct store *store, struct connection *connection, struct chronos_error *err)
{
    char sql[160];
    int rc = sqlite3_extended_result_codes(connection->db, 1);

    (void)snprintf(sql, sizeof(sql), /* numbers only: it fits */
                   "PRAGMA cache_size=-%lld; PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF; "
                   "PRAGMA cell_size_check=ON",
                   (long long)(store->cache_size / 1024));
    if (rc == SQLITE_OK) {
        rc = connection_execute(connection, sql);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_db_config(connection->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_busy_timeout(connection->db, STORE_BUSY_MS);
    }
    if (rc != SQLITE_OK) {
        return fault_sqlite(err, connection->db, rc, "set up a connection");
    }
    return set_and_verify(connection, "PRAGMA wal_autocheckpoint=0", "0", err);
}

static int on_commit(void *context, sqlite3 *db, const char *name, int wal_pages)
{
    struct store *store = context;

    (void)db;
    (void)name;
    if (wal_pages < store->wal_pages) { /* no reader was left in it: SQLite began the WAL anew */
        store->checkpoint_at = store->checkpoint_pages;
    }
    store->wal_pages = wal_pages;
    return SQLITE_OK;
}

int connection_set_full(struct store *store, bool full)
{
    int rc = SQLITE_OK;

    if (store->full != full) {
        rc = connection_execute(&store->connection, full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
        if (rc == SQLITE_OK) {
            store->full = full;
        }
    }
    return rc;
}

static int32_t open_database(struct store *store, struct connection *connection, int flags, struct chronos_error *err)
{
    int rc = sqlite3_open_v2(store->path, &connection->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
                             NULL);
    int32_t status = CHRONOS_OK;

    if (rc != SQLITE_OK) {
        return fault_sqlite(err, connection->db, rc, "open store.db");
    }
    /* Before the first access, and most PRAGMAs are one: then the WAL index lives in memory, not in a file. */
    if (store->role == CHRONOS_STORAGE_LOG) {
        status = set_and_verify(connection, "PRAGMA locking_mode=EXCLUSIVE", "exclusive", err);
    }
    return status == CHRONOS_OK ? set_common(store, connection, err) : status;
}

int32_t connection_open_writer(struct store *store, struct chronos_error *err)
{
    struct connection *connection = &store->connection;
    int32_t status = open_database(store, connection, SQLITE_OPEN_READWRITE, err);

    if (status == CHRONOS_OK) {
        status = set_and_verify(connection, "PRAGMA journal_mode=WAL", "wal", err);
    }
    if (status == CHRONOS_OK && connection_execute(connection, "PRAGMA synchronous=FULL") != SQLITE_OK) {
        status = fault_sqlite(err, connection->db, sqlite3_errcode(connection->db), "PRAGMA synchronous=FULL");
    }
    if (status == CHRONOS_OK) {
        status = set_and_verify(connection, "PRAGMA synchronous", "2", err);
    }
    if (status == CHRONOS_OK) {
        store->full = true;
        (void)sqlite3_wal_hook(connection->db, on_commit, store); /* returns the previous hook: none */
    }
    return status;
}

int32_t connection_open_reader(struct store *store, struct connection *connection, struct chronos_error *err)
{
    int32_t status = open_database(store, connection, SQLITE_OPEN_READONLY, err);

    if (status == CHRONOS_OK &&
        sqlite3_db_config(connection->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL) != SQLITE_OK) {
        status = fault(err, CHRONOS_UNSUPPORTED, 0, "this SQLite cannot close a reader without a checkpoint");
    }
    return status;
}

void connection_close(struct connection *connection)
{
    sqlite3_stmt *statement;

    if (connection->db == NULL) {
        return;
    }
    while ((statement = sqlite3_next_stmt(connection->db, NULL)) != NULL) {
        (void)sqlite3_finalize(statement); /* repeats the error of its last step */
    }
    (void)sqlite3_close(connection->db); /* no statement is left: it cannot refuse */
    *connection = (struct connection){0};
}

static void query_text(const struct store_table *table, enum query query, char *sql, size_t size)
{
    static const char *const TEXTS[QUERY_COUNT] = {
        [QUERY_GET] = "SELECT v FROM \"%s\" WHERE k=?1",
        [QUERY_PUT] = "REPLACE INTO \"%s\"(k,v) VALUES(?1,?2)",
        [QUERY_INSERT] = "INSERT OR IGNORE INTO \"%s\"(k,v) VALUES(?1,?2)",
        [QUERY_DELETE] = "DELETE FROM \"%s\" WHERE k=?1",
        [QUERY_BOUND] = "SELECT k FROM \"%s\" WHERE k>=?1 AND k<?2 ORDER BY k LIMIT 1 OFFSET ?3",
        [QUERY_DELETE_RANGE] = "DELETE FROM \"%s\" WHERE k>=?1 AND k<?2",
        [QUERY_GE] = "SELECT k,v FROM \"%s\" WHERE k>=?1 ORDER BY k",
        [QUERY_GT] = "SELECT k,v FROM \"%s\" WHERE k>?1 ORDER BY k",
        [QUERY_LE] = "SELECT k,v FROM \"%s\" WHERE k<=?1 ORDER BY k DESC",
        [QUERY_LT] = "SELECT k,v FROM \"%s\" WHERE k<?1 ORDER BY k DESC",
    };
    static const char *const INTEGER_BOUND = "SELECT k FROM \"%s\" WHERE k>=?1 AND k<=?2 ORDER BY k LIMIT 1 OFFSET ?3";
    static const char *const INTEGER_DELETE_RANGE = "DELETE FROM \"%s\" WHERE k>=?1 AND k<=?2";
    bool integers = (table->flags & CHRONOS_TABLE_SEQUENTIAL) != 0;
    const char *text = TEXTS[query];
    const char *gap;

    /* The end of a range of integers is inclusive: one above the greatest cannot be written. */
    if (integers && query == QUERY_BOUND) {
        text = INTEGER_BOUND;
    } else if (integers && query == QUERY_DELETE_RANGE) {
        text = INTEGER_DELETE_RANGE;
    }
    gap = strstr(text, "%s");
    /* sized for the longest name */
    (void)snprintf(sql, size, "%.*s%s%s", (int)(gap - text), text, table->name, gap + 2);
}

int connection_query(struct store *store, struct connection *connection, uint32_t table, enum query query, bool take,
                     sqlite3_stmt **ret_statement)
{
    sqlite3_stmt **slot = &connection->queries[table][query];
    char sql[STORE_TABLE_NAME_SIZE + 96];
    int rc;

    if (*slot == NULL) {
        query_text(&store->tables[table], query, sql, sizeof(sql));
        rc = sqlite3_prepare_v3(connection->db, sql, -1, SQLITE_PREPARE_PERSISTENT, slot, NULL);
        if (rc != SQLITE_OK) {
            *slot = NULL;
            return rc;
        }
    }
    *ret_statement = *slot;
    if (take) {
        *slot = NULL;
    }
    return SQLITE_OK;
}

void connection_give_back(struct connection *connection, uint32_t table, enum query query, sqlite3_stmt *statement)
{
    sqlite3_stmt **slot = &connection->queries[table][query];

    if (statement == NULL) {
        return;
    }
    (void)sqlite3_reset(statement); /* repeats the error of its last step */
    if (*slot == NULL) {
        *slot = statement;
    } else {
        (void)sqlite3_finalize(statement); /* a second cursor of the same kind */
    }
}
