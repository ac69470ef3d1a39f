/* One LMDB environment behind the storage contract of chronos/storage.h. Private to this plugin.
 *
 * Threads: the members under "readers" are guarded by reader_lock; everything else belongs to the writer thread, except
 * env, tables and table_count, which do not change once transactions begin. */
#ifndef STORAGE_LMDB_STORE_H
#define STORAGE_LMDB_STORE_H

#include <lmdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <chronos/plugin.h>

enum {
    STORE_FORMAT_VERSION = 1,
    STORE_MAX_KEY = 511,
    STORE_MAX_VALUE = 16 * 1024 * 1024,
    STORE_MAX_TABLES = 64,
    STORE_TABLE_NAME_SIZE = 64,
    STORE_MAX_READERS = 4096,
    STORE_SPARE_READERS = 8 /* slots beside max_readers: opening tables, an operator's mdb_stat or mdb_copy */
};

struct store_table {
    MDB_dbi dbi;
    uint32_t flags;           /* CHRONOS_TABLE_*, as the table was created */
    uint32_t append_pause;    /* puts to go until MDB_APPEND is tried again without a hint */
    char name[STORE_TABLE_NAME_SIZE];
};

struct chronos_txn {
    struct store *store;
    MDB_txn *handle;
    uint32_t flags;           /* CHRONOS_TXN_* */
    int32_t failed;           /* the status that spoiled a WRITE transaction: it can only be aborted */
    uint64_t change_bytes;    /* of keys and values put */
    uint64_t change_count;    /* successful puts and deletes: cursors notice by it that they must seek anew */
    struct chronos_txn *next; /* in the list of idle readers */
};

struct store {
    const struct chronos_host *host;
    uint64_t map_size;        /* option map_size */
    MDB_env *env;             /* NULL while closed */
    MDB_dbi meta;
    int witness_fd;           /* data.mdb, never written through: tells a failed data sync from a full disk */
    int dir_fd;
    int32_t role;
    int32_t final;            /* not 0: nothing may be written any more, every later call answers this status */
    bool writing;             /* `writer` is in use */
    bool lazy_pending;        /* STATE: a commit since the last sync */
    struct chronos_txn writer;
    uint32_t table_count;
    struct store_table tables[STORE_MAX_TABLES];

    pthread_mutex_t reader_lock;
    struct chronos_txn *readers; /* reader_max of them */
    struct chronos_txn *idle;    /* reset transactions: mdb_txn_renew needs no system call and no reader slot */
    uint32_t reader_max;
    uint32_t reader_made;        /* elements of `readers` that were ever begun */
};

/* fault.c: status and sentence for the caller. */
int32_t fault(struct chronos_error *err, int32_t code, int sys_errno, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Translates a return code of LMDB (or an errno) and returns the status. `doing` says what failed. */
int32_t fault_lmdb(struct chronos_error *err, int rc, const char *doing);
void report(const struct store *store, int32_t level, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* format.c: what lies on disk before LMDB maps it. */
int32_t format_prepare(const char *dir, uint64_t map_size, uint32_t reader_slots, struct chronos_error *err);
int32_t format_verify(struct store *store, struct chronos_error *err);

/* store.c */
int32_t store_open(void *self, const struct chronos_storage_open *open, struct chronos_error *err);
void store_limits(void *self, struct chronos_storage_limits *out);
int32_t store_sync(void *self, struct chronos_error *err);
void store_close(void *self);

/* table.c */
int32_t table_open(void *self, const char *name, uint32_t flags, uint32_t *out_id, struct chronos_error *err);
/* The table of an id, or NULL with MISUSE in err. */
struct store_table *table_of(struct chronos_txn *txn, uint32_t id, struct chronos_error *err);

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

/* cursor.c */
int32_t cursor_open(struct chronos_txn *txn, uint32_t table, struct chronos_cursor **out, struct chronos_error *err);
void cursor_close(struct chronos_cursor *cursor);
int32_t cursor_move(struct chronos_cursor *cursor, int32_t op, const struct chronos_bytes *seek,
                    struct chronos_bytes *out_key, struct chronos_bytes *out_value, struct chronos_error *err);

#endif
