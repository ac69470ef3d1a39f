#include "store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_SIZE_ASSUMED = 4096 }; /* of the WAL, to turn the option's bytes into pages; SQLite's default */

static int32_t check_arguments(const struct store *store, const struct chronos_storage_open *open,
                               struct chronos_error *err)
{
    if (store->open) {
        return fault(err, CHRONOS_MISUSE, 0, "this instance is open already");
    }
    if (open->role != CHRONOS_STORAGE_LOG && open->role != CHRONOS_STORAGE_STATE) {
        return fault(err, CHRONOS_INVALID, 0, "unknown storage role %d", open->role);
    }
    if (open->dir == NULL || open->dir[0] == '\0') {
        return fault(err, CHRONOS_INVALID, 0, "no directory given");
    }
    if (open->max_readers > STORE_MAX_READERS) {
        return fault(err, CHRONOS_INVALID, 0, "max_readers %u is above %d", open->max_readers, STORE_MAX_READERS);
    }
    return CHRONOS_OK;
}

static int32_t limit_size(struct store *store, uint64_t max_bytes, struct chronos_error *err)
{
    int64_t page_size = 0;
    int64_t pages = 0;
    char sql[64];
    int rc;

    if (max_bytes == 0) {
        return CHRONOS_OK;
    }
    rc = connection_number(&store->connection, "PRAGMA page_size", &page_size);
    if (rc == SQLITE_OK && page_size > 0) {
        uint64_t limit = max_bytes / (uint64_t)page_size;
        const uint64_t most = UINT32_MAX - 1; /* SQLite's own end */

        limit = limit < 1 ? 1 : limit > most ? most : limit;
        (void)sqlite3_snprintf(sizeof(sql), sql, "PRAGMA max_page_count=%llu", (unsigned long long)limit);
        rc = connection_number(&store->connection, sql, &pages); /* the answer is larger where the file is already */
    }
    return rc == SQLITE_OK ? CHRONOS_OK : fault_sqlite(err, store->connection.db, rc, "PRAGMA max_page_count");
}

/* Begin with an empty WAL. BUSY: an operator's sqlite3 reads in it; the next start will do. */
static int32_t truncate_wal(struct store *store, struct chronos_error *err)
{
    int rc = sqlite3_wal_checkpoint_v2(store->connection.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);

    if ((rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_FULL) {
        report(store, CHRONOS_LOG_WARN, "store.db: the write-ahead log could not be emptied: %s", sqlite3_errstr(rc));
        return CHRONOS_OK;
    }
    return rc == SQLITE_OK ? CHRONOS_OK : fault_sqlite(err, store->connection.db, rc, "checkpoint at start");
}

static int32_t open_parts(struct store *store, const struct chronos_storage_open *open, struct chronos_error *err)
{
    int32_t status = schema_prepare_files(store, open->dir, err);

    if (status == CHRONOS_OK) {
        status = connection_open_writer(store, err);
    }
    if (status == CHRONOS_OK) {
        status = schema_check(store, err);
    }
    if (status == CHRONOS_OK) {
        status = truncate_wal(store, err);
    }
    return status == CHRONOS_OK ? limit_size(store, open->max_map_bytes, err) : status;
}

int32_t store_open(void *self, const struct chronos_storage_open *open, struct chronos_error *err)
{
    struct store *store = self;
    int32_t status = check_arguments(store, open, err);

    if (status != CHRONOS_OK) {
        return status;
    }
    store->open = true;
    store->role = open->role;
    store->checkpoint_pages = (int)(store->checkpoint_size / PAGE_SIZE_ASSUMED);
    store->checkpoint_at = store->checkpoint_pages;
    /* LOG has one connection, and so one transaction at a time. */
    store->reader_max = open->role == CHRONOS_STORAGE_LOG || open->max_readers == 0 ? 1 : open->max_readers;
    store->readers = calloc(store->reader_max, sizeof(*store->readers));
    if (store->readers == NULL) {
        store_close(store);
        return fault(err, CHRONOS_NOMEM, 0, "no memory for %u readers", open->max_readers);
    }
    status = open_parts(store, open, err);
    if (status == CHRONOS_IO && err->sys_errno == ENOSPC) { /* SQLite reports some full disks as I/O errors */
        err->code = status = CHRONOS_NOSPACE;
    }
    if (status != CHRONOS_OK) {
        store_close(store);
    }
    return status;
}

void store_limits(void *self, struct chronos_storage_limits *out)
{
    (void)self; /* the same for every store */
    out->max_key = STORE_MAX_KEY;
    out->max_value = STORE_MAX_VALUE;
    out->max_tables = STORE_MAX_TABLES;
    out->max_txn_bytes = 0; /* what does not fit in the cache goes to the WAL early */
}

void store_make_room(struct store *store)
{
    struct chronos_error ignored = {.struct_size = sizeof(ignored)};

    (void)store_checkpoint(store, 0, &ignored); /* what is final it has noted in the store */
}

int32_t store_checkpoint(struct store *store, int at, struct chronos_error *err)
{
    int rc;

    if (store->wal_pages < at) {
        return CHRONOS_OK;
    }
    rc = sqlite3_wal_checkpoint_v2(store->connection.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    /* the WAL keeps everything: only larger than wished */
    if ((rc & 0xff) == SQLITE_FULL || (rc & 0xff) == SQLITE_BUSY) {
        report(store, CHRONOS_LOG_WARN, "store.db: checkpoint postponed: %s", sqlite3_errstr(rc));
    } else if (rc != SQLITE_OK) {
        store->final = fault_sqlite(err, store->connection.db, rc, "checkpoint");
        return store->final;
    }
    /* The next commit begins the WAL anew (on_commit notices), unless a reader pins it: then it grows on, and another
     * try is worth its syncs after a quarter more, not at every commit. */
    store->checkpoint_at = store->wal_pages + store->checkpoint_pages / 4;
    return CHRONOS_OK;
}

static int commit_bookkeeping_row(struct store *store)
{
    int rc = connection_set_full(store, true);

    if (rc == SQLITE_OK) {
        rc = connection_execute(&store->connection,
                                "BEGIN IMMEDIATE; UPDATE chronos_meta SET value=value+1 WHERE key='syncs'; COMMIT");
    }
    return rc;
}

int32_t store_sync(void *self, struct chronos_error *err)
{
    struct store *store = self;
    int rc;

    if (store->final != 0) {
        return fault(err, store->final, 0, "an earlier write failed; this store must be opened anew");
    }
    if (store->writing || !store->open) {
        return fault(err, CHRONOS_MISUSE, 0, "sync inside a transaction, or before open");
    }
    if (!store->lazy_pending) {
        return CHRONOS_OK;
    }
    rc = commit_bookkeeping_row(store);
    if ((rc & 0xff) == SQLITE_FULL) { /* the row found no room: nothing was synced yet, and nothing was lost */
        int32_t status = fault_sqlite(err, store->connection.db, rc, "sync");

        if (sqlite3_get_autocommit(store->connection.db) == 0) {
            (void)connection_execute(&store->connection, "ROLLBACK"); /* the next BEGIN tells if it failed */
        }
        store_make_room(store);
        return status;
    }
    if (rc != SQLITE_OK) {
        /* The kernel forgets what it could not write and reports it once: a second try would lie. */
        store->final = fault_sqlite(err, store->connection.db, rc, "sync");
        (void)connection_execute(&store->connection, "ROLLBACK"); /* an error if the failure did so already */
        return store->final;
    }
    store->lazy_pending = false;
    return store_checkpoint(store, store->checkpoint_at / 2, err); /* nobody waits for a commit just now */
}

void store_close(void *self)
{
    struct store *store = self;

    /* Readers first: the writer's close, the last, empties the WAL. */
    for (uint32_t i = 0; store->readers != NULL && i < store->reader_made; i++) {
        if (store->readers[i].connection != &store->connection && store->readers[i].connection != NULL) {
            connection_close(store->readers[i].connection);
            free(store->readers[i].connection);
        }
    }
    connection_close(&store->connection);
    free(store->readers);
    store->readers = NULL;
    store->idle = NULL;
    store->reader_max = 0;
    store->reader_made = 0;
    store->table_count = 0;
    store->final = 0;
    store->open = false;
    store->writing = false;
    store->full = false;
    store->lazy_pending = false;
    store->wal_pages = 0;
}
