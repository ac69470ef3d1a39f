/* What makes a database a store of ours: its identity, its bookkeeping, its tables. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* After a failed sync the page cache may show what the disk lacks: write it out, then forget it, before trusting it. */
static int32_t settle(const char *path, bool *ret_exists, struct chronos_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int saved;

    if (fd < 0 && errno == ENOENT) {
        *ret_exists = false;
        return CHRONOS_OK;
    }
    if (fd < 0) {
        return fault(err, CHRONOS_IO, errno, "open %s: %s", path, strerror(errno));
    }
    if (fsync(fd) != 0) {
        saved = errno;
        (void)close(fd); /* only read */
        return fault(err, CHRONOS_IO, saved, "sync %s before opening it: %s", path, strerror(saved));
    }
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); /* best effort: some file systems keep their pages */
    (void)close(fd);                                    /* only read */
    *ret_exists = true;
    return CHRONOS_OK;
}

static int32_t sync_directory(const char *dir, struct chronos_error *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int saved = errno;

    if (fd >= 0 && fsync(fd) == 0) {
        (void)close(fd); /* only read */
        return CHRONOS_OK;
    }
    if (fd >= 0) {
        saved = errno;
        (void)close(fd); /* the sync's error is the one to tell */
    }
    return fault(err, CHRONOS_IO, saved, "sync the directory %s: %s", dir, strerror(saved));
}

/* SQLite would choose wider permissions; its WAL takes those of the database. An empty file is an empty database. */
static int32_t create_file(const char *dir, const char *path, struct chronos_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) {
        return fault(err, errno == ENOSPC ? CHRONOS_NOSPACE : CHRONOS_IO, errno, "create %s: %s", path,
                     strerror(errno));
    }
    (void)close(fd); /* nothing was written */
    return sync_directory(dir, err);
}

int32_t schema_prepare_files(struct store *store, const char *dir, struct chronos_error *err)
{
    char wal[STORE_PATH_SIZE];
    bool exists = false;
    bool wal_exists = false;
    int32_t status;
    int size = snprintf(wal, sizeof(wal), "%s/store.db-wal", dir);

    if (size < 0 || (size_t)size >= sizeof(wal)) {
        return fault(err, CHRONOS_INVALID, 0, "the directory's name is too long");
    }
    (void)snprintf(store->path, sizeof(store->path), "%s/store.db", dir); /* shorter than the name above */
    status = settle(store->path, &exists, err);
    if (status == CHRONOS_OK) {
        status = settle(wal, &wal_exists, err);
    }
    if (status != CHRONOS_OK || exists) {
        return status;
    }
    if (wal_exists) {
        return fault(err, CHRONOS_CORRUPT, 0, "store.db is missing, but its write-ahead log is there");
    }
    return create_file(dir, store->path, err);
}

static int32_t create_schema(struct store *store, struct chronos_error *err)
{
    static const char *const SQL = "BEGIN IMMEDIATE;"
                                   "PRAGMA application_id=%d;"
                                   "PRAGMA user_version=%d;"
                                   "CREATE TABLE chronos_meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
                                   "CREATE TABLE chronos_tables(name TEXT PRIMARY KEY, flags INTEGER) WITHOUT ROWID;"
                                   "INSERT INTO chronos_meta VALUES('syncs', 0);"
                                   "COMMIT";
    char *sql = sqlite3_mprintf(SQL, STORE_APPLICATION_ID, STORE_FORMAT_VERSION);
    int rc = sql != NULL ? connection_execute(&store->connection, sql) : SQLITE_NOMEM;

    sqlite3_free(sql);
    if (rc != SQLITE_OK) {
        int32_t status = fault_sqlite(err, store->connection.db, rc, "create the store");

        (void)connection_execute(&store->connection, "ROLLBACK"); /* an error if the failure did so already */
        return status;
    }
    return CHRONOS_OK;
}

int32_t schema_check(struct store *store, struct chronos_error *err)
{
    int64_t application = 0;
    int64_t version = 0;
    int64_t objects = 0;
    struct connection *connection = &store->connection;
    int rc = connection_number(connection, "PRAGMA application_id", &application);

    if (rc == SQLITE_OK) {
        rc = connection_number(connection, "PRAGMA user_version", &version);
    }
    if (rc == SQLITE_OK) {
        rc = connection_number(connection, "SELECT count(*) FROM sqlite_master", &objects);
    }
    if (rc != SQLITE_OK) {
        return fault_sqlite(err, connection->db, rc, "read the header of store.db");
    }
    if (application == 0 && version == 0 && objects == 0) { /* new, or a crash came before the first commit */
        return create_schema(store, err);
    }
    if (application != STORE_APPLICATION_ID) {
        return fault(err, CHRONOS_CORRUPT, 0, "store.db is an SQLite database, but not a store of Chronos");
    }
    if (version > STORE_FORMAT_VERSION) {
        return fault(err, CHRONOS_UNSUPPORTED, 0,
                     "store.db has format %lld; this version reads up to %d: upgrade Chronos",
                     (long long)version, STORE_FORMAT_VERSION);
    }
    if (version != STORE_FORMAT_VERSION) {
        return fault(err, CHRONOS_CORRUPT, 0, "store.db names format %lld, which never existed", (long long)version);
    }
    return CHRONOS_OK;
}

static bool name_is_valid(const char *name)
{
    size_t size = name != NULL ? strlen(name) : 0;

    return size > 0 && size < STORE_TABLE_NAME_SIZE &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == size;
}

static int32_t check_name(const struct store *store, const char *name, struct chronos_error *err)
{
    if (!name_is_valid(name)) {
        return fault(err, CHRONOS_INVALID, 0, "a table's name is 1 to %d of a-z, 0-9 and _", STORE_TABLE_NAME_SIZE - 1);
    }
    if (strncmp(name, "sqlite_", 7) == 0 || strncmp(name, "chronos_", 8) == 0) {
        return fault(err, CHRONOS_INVALID, 0, "the table name \"%s\" is reserved", name);
    }
    if (!store->open || store->writing) {
        return fault(err, CHRONOS_MISUSE, 0, "tables are opened after open and before any transaction");
    }
    return CHRONOS_OK;
}

/* SQLITE_DONE where the table does not exist. */
static int stored_flags(struct store *store, const char *name, uint32_t *ret_flags)
{
    sqlite3_stmt *statement;
    int rc = sqlite3_prepare_v2(store->connection.db, "SELECT flags FROM chronos_tables WHERE name=?1", -1,
                                &statement, NULL);

    if (rc != SQLITE_OK) {
        return rc;
    }
    rc = sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
    }
    if (rc == SQLITE_ROW) {
        *ret_flags = (uint32_t)sqlite3_column_int64(statement, 0);
        rc = SQLITE_OK;
    }
    (void)sqlite3_finalize(statement); /* repeats the error of the step */
    return rc;
}

static int32_t create_table(struct store *store, const struct store_table *table, struct chronos_error *err)
{
    bool integers = (table->flags & CHRONOS_TABLE_SEQUENTIAL) != 0;
    char *sql = sqlite3_mprintf("BEGIN IMMEDIATE;"
                                "CREATE TABLE \"%w\"(k %s PRIMARY KEY, v BLOB NOT NULL)%s;"
                                "INSERT INTO chronos_tables VALUES(%Q, %u);"
                                "COMMIT",
                                table->name, integers ? "INTEGER" : "BLOB", integers ? "" : " WITHOUT ROWID",
                                table->name, table->flags);
    int rc = sql != NULL ? connection_set_full(store, true) : SQLITE_NOMEM;

    if (rc == SQLITE_OK) {
        rc = connection_execute(&store->connection, sql);
    }
    sqlite3_free(sql);
    if (rc != SQLITE_OK) {
        int32_t status = fault_sqlite(err, store->connection.db, rc, "create a table");

        (void)connection_execute(&store->connection, "ROLLBACK"); /* an error if the failure did so already */
        return status;
    }
    return CHRONOS_OK;
}

static int32_t open_or_create(struct store *store, const struct store_table *table, struct chronos_error *err)
{
    uint32_t flags = 0;
    int rc = stored_flags(store, table->name, &flags);

    if (rc == SQLITE_DONE) {
        return create_table(store, table, err);
    }
    if (rc != SQLITE_OK) {
        return fault_sqlite(err, store->connection.db, rc, "open a table");
    }
    if (((flags ^ table->flags) & CHRONOS_TABLE_SEQUENTIAL) != 0) {
        return fault(err, CHRONOS_INVALID, 0, "table \"%s\" exists %s SEQUENTIAL", table->name,
                     (flags & CHRONOS_TABLE_SEQUENTIAL) != 0 ? "with" : "without");
    }
    return CHRONOS_OK;
}

int32_t table_open(void *self, const char *name, uint32_t flags, uint32_t *out_id, struct chronos_error *err)
{
    struct store *store = self;
    struct store_table *table;
    int32_t status = check_name(store, name, err);

    if (status != CHRONOS_OK) {
        return status;
    }
    for (uint32_t i = 0; i < store->table_count; i++) {
        if (strcmp(store->tables[i].name, name) == 0) {
            *out_id = i;
            return CHRONOS_OK;
        }
    }
    if (store->table_count == STORE_MAX_TABLES) {
        return fault(err, CHRONOS_TOOBIG, 0, "more than %d tables", STORE_MAX_TABLES);
    }
    table = &store->tables[store->table_count];
    *table = (struct store_table){.flags = flags};
    (void)snprintf(table->name, sizeof(table->name), "%s", name); /* check_name knows that it fits */
    status = open_or_create(store, table, err);
    if (status == CHRONOS_OK) {
        *out_id = store->table_count++;
    }
    return status;
}

const struct store_table *table_of(const struct chronos_txn *txn, uint32_t id, struct chronos_error *err)
{
    if (id >= txn->store->table_count) {
        (void)fault(err, CHRONOS_MISUSE, 0, "unknown table id %u", id);
        return NULL;
    }
    return &txn->store->tables[id];
}
