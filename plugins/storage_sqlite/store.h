/* One SQLite database behind the storage contract of chronos/storage.h. Private to this plugin.
 *
 * Role LOG: one connection in EXCLUSIVE mode for everything. Role STATE: one writing connection, and up to max_readers
 * read-only ones, opened when first needed. Only the writing connection ever writes or checkpoints.
 *
 * Threads: the members under "readers" are guarded by reader_lock; a connection is used by one thread at a time,
 * handed on under that lock; tables do not change once transactions begin; the rest belongs to the writer thread. */
#ifndef STORAGE_SQLITE_STORE_H
#define STORAGE_SQLITE_STORE_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include <chronos/plugin.h>

enum {
    STORE_FORMAT_VERSION = 1,            /* PRAGMA user_version */
    STORE_APPLICATION_ID = 0x4368726f,   /* "Chro" */
    STORE_MAX_KEY = 511,
    STORE_MAX_VALUE = 16 * 1024 * 1024,
    STORE_MAX_TABLES = 64,
    STORE_TABLE_NAME_SIZE = 64,
    STORE_MAX_READERS = 4096,
    STORE_PATH_SIZE = 4096,
    STORE_BUSY_MS = 5000                 /* how long to wait for another process, such as an operator's sqlite3 */
};

/* The statements kept for each table and connection. */
enum query {
    QUERY_GET,
    QUERY_PUT,
    QUERY_INSERT,
    QUERY_DELETE,
    QUERY_BOUND, /* the key that a bounded del_range stops before */
    QUERY_DELETE_RANGE,
    QUERY_GE, /* from here on: rows in order, for cursors */
    QUERY_GT,
    QUERY_LE,
    QUERY_LT,
    QUERY_COUNT
};

struct connection {
    sqlite3 *db;
    sqlite3_stmt *snapshot; /* while it stands on its row, a read transaction is open */
    sqlite3_stmt *queries[STORE_MAX_TABLES][QUERY_COUNT]; /* NULL: not prepared, or lent to a cursor */
};

struct store_table {
    uint32_t flags; /* CHRONOS_TABLE_*, as the table was created */
    char name[STORE_TABLE_NAME_SIZE];
};

struct chronos_txn {
    struct store *store;
    struct connection *connection;
    sqlite3_stmt *getting;    /* stands on the row whose value the caller may still read */
    uint32_t flags;           /* CHRONOS_TXN_* */
    int32_t failed;           /* the status that spoiled a WRITE transaction: it can only be aborted */
    uint64_t change_count;    /* successful puts and deletes: cursors notice by it that they must seek anew */
    struct chronos_txn *next; /* in the list of idle readers */
};

struct store {
    const struct chronos_host *host;
    int64_t cache_size;       /* options, in bytes */
    int64_t checkpoint_size;
    char path[STORE_PATH_SIZE];
    int32_t role;
    int32_t final;            /* not 0: nothing may be written any more, every later call answers this status */
    bool open;
    bool writing;             /* `writer` is in use */
    bool full;                /* the writer's PRAGMA synchronous is FULL, not NORMAL */
    bool lazy_pending;        /* a LAZY commit since the last synced one */
    int wal_pages;            /* after the last commit */
    int checkpoint_pages;     /* checkpoint_size in pages */
    int checkpoint_at;        /* wal_pages at which the next checkpoint is due */
    struct connection connection; /* the writing one */
    struct chronos_txn writer;
    uint32_t table_count;
    struct store_table tables[STORE_MAX_TABLES];

    pthread_mutex_t reader_lock;
    struct chronos_txn *readers; /* reader_max of them; their connections stay open between transactions */
    struct chronos_txn *idle;
    uint32_t reader_max;
    uint32_t reader_made;
};

/* fault.c: status and sentence for the caller. */
int32_t fault(struct chronos_error *err, int32_t code, int sys_errno, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Translates the last error of `db` (which may be NULL) and returns the status. `doing` says what failed. */
int32_t fault_sqlite(struct chronos_error *err, sqlite3 *db, int rc, const char *doing);
void report(const struct store *store, int32_t level, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* connection.c */
int32_t connection_open_writer(struct store *store, struct chronos_error *err);
int32_t connection_open_reader(struct store *store, struct connection *connection, struct chronos_error *err);
/* Accepts one that is half open or closed. */
void connection_close(struct connection *connection);
int connection_execute(struct connection *connection, const char *sql);
/* Runs a statement that yields one number. */
int connection_number(struct connection *connection, const char *sql, int64_t *ret_number);
/* A prepared statement of the table, taken out of its slot for a cursor (returned by connection_give_back) or left
 * there. */
int connection_query(struct store *store, struct connection *connection, uint32_t table, enum query query, bool take,
                     sqlite3_stmt **ret_statement);
void connection_give_back(struct connection *connection, uint32_t table, enum query query, sqlite3_stmt *statement);
/* FULL or NORMAL; outside any transaction. */
int connection_set_full(struct store *store, bool full);

/* schema.c: what makes a database a store of ours. */
int32_t schema_prepare_files(struct store *store, const char *dir, struct chronos_error *err);
int32_t schema_check(struct store *store, struct chronos_error *err);
int32_t table_open(void *self, const char *name, uint32_t flags, uint32_t *out_id, struct chronos_error *err);
/* The table of an id, or NULL with MISUSE in err. */
const struct store_table *table_of(const struct chronos_txn *txn, uint32_t id, struct chronos_error *err);

/* store.c */
int32_t store_open(void *self, const struct chronos_storage_open *open, struct chronos_error *err);
void store_limits(void *self, struct chronos_storage_limits *out);
int32_t store_sync(void *self, struct chronos_error *err);
void store_close(void *self);
/* After a commit: copies the WAL into the database if it has grown beyond `at` pages. */
int32_t store_checkpoint(struct store *store, int at, struct chronos_error *err);
/* After NOSPACE, outside any transaction: a copied WAL is used again from its start, which needs no new blocks. */
void store_make_room(struct store *store);

/* txn.c */
int32_t txn_begin(void *self, uint32_t flags, struct chronos_txn **out, struct chronos_error *err);
int32_t txn_commit(struct chronos_txn *txn, struct chronos_error *err);
void txn_abort(struct chronos_txn *txn);
int32_t txn_get(struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *key,
                struct chronos_bytes *out_value, struct chronos_error *err);
int32_t txn_put(struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *key,
                const struct chronos_bytes *value, uint32_t flags, struct chronos_error *err);
int32_t txn_del(struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *key, struct chronos_error *err);
int32_t txn_del_range(struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *from,
                      const struct chronos_bytes *to, uint64_t max, uint64_t *out_n, struct chronos_error *err);
int32_t txn_stat(struct chronos_txn *txn, uint32_t table, struct chronos_storage_stat *out, struct chronos_error *err);

/* SEQUENTIAL tables keep their 8-byte keys as integers; flipping the sign bit makes signed order the order of the
 * bytes. */
int64_t key_to_integer(const void *key);
void key_from_integer(int64_t integer, unsigned char key[8]);

/* cursor.c */
int32_t cursor_open(struct chronos_txn *txn, uint32_t table, struct chronos_cursor **out, struct chronos_error *err);
void cursor_close(struct chronos_cursor *cursor);
int32_t cursor_move(struct chronos_cursor *cursor, int32_t op, const struct chronos_bytes *seek,
                    struct chronos_bytes *out_key, struct chronos_bytes *out_value, struct chronos_error *err);

#endif
