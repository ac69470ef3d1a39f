/* Storage: ordered tables of bytes, one writer thread, many readers.
 *
 * Keys compare as unsigned bytes, a shorter key before a longer one that it begins. Every backend offers at least keys of
 * 1..511 bytes, values up to 1 MiB and 32 tables. One transaction spans all tables. */
#ifndef CHRONOS_STORAGE_H
#define CHRONOS_STORAGE_H

#include "abi.h"

#ifdef __cplusplus
extern "C" {
#endif

enum chronos_storage_role {
    CHRONOS_STORAGE_LOG = 1,  /* written all the time, every commit synced; few reads, on the writer thread */
    CHRONOS_STORAGE_STATE = 2 /* many readers; LAZY commits; the tail may be lost at power failure, never mixed */
};

enum chronos_table_flags {
    CHRONOS_TABLE_SEQUENTIAL = 1, /* keys are 8 bytes big-endian and mostly appended */
    CHRONOS_TABLE_SMALL_ROWS = 2  /* values of at most about 100 bytes */
};

enum chronos_txn_flags {
    CHRONOS_TXN_READ = 0,
    CHRONOS_TXN_WRITE = 1,
    CHRONOS_TXN_LAZY = 2 /* with WRITE: commit without waiting for the disk */
};

enum chronos_put_flags {
    CHRONOS_PUT_NOOVERWRITE = 1,
    CHRONOS_PUT_APPEND = 2 /* a hint: the key is above all others */
};

enum chronos_cursor_op {
    CHRONOS_CURSOR_FIRST = 1,
    CHRONOS_CURSOR_LAST = 2,
    CHRONOS_CURSOR_SEEK_GE = 3, /* the first key >= seek */
    CHRONOS_CURSOR_SEEK_LE = 4, /* the last key <= seek */
    CHRONOS_CURSOR_NEXT = 5,
    CHRONOS_CURSOR_PREV = 6
};

struct chronos_storage_open {
    uint32_t struct_size;
    int32_t role;           /* enum chronos_storage_role */
    const char *dir;        /* exists, is private to this instance and locked by the host */
    uint32_t max_readers;   /* READ transactions open at once */
    uint32_t reserved0;
    uint64_t max_map_bytes; /* the most that the store may ever hold; 0: the backend's own choice */
};

struct chronos_storage_limits {
    uint32_t struct_size;
    uint32_t max_key;
    uint64_t max_value;
    uint32_t max_tables;
    uint32_t reserved0;
    uint64_t max_txn_bytes; /* 0: unlimited */
};

struct chronos_storage_stat {
    uint32_t struct_size;
    uint32_t reserved0;
    uint64_t entries; /* both may be estimates */
    uint64_t bytes;
};

/* Handles are the plugin's; the host never looks inside. One thread at a time uses a handle. */
struct chronos_txn;
struct chronos_cursor;

struct chronos_storage_ops {
    uint32_t struct_size;
    uint32_t reserved0;

    /* [writer] Once, first. CORRUPT is final and never repaired silently; a directory written by a newer version of the
     * backend is UNSUPPORTED. */
    int32_t (*open)(void *self, const struct chronos_storage_open *open, struct chronos_error *err);
    /* [writer] After open. */
    void (*limits)(void *self, struct chronos_storage_limits *out);
    /* [writer] Before any transaction. Creates the table if absent (with these flags); the id is valid until close. */
    int32_t (*table)(void *self, const char *name, uint32_t flags, uint32_t *out_id, struct chronos_error *err);

    /* WRITE: [writer], one at a time. READ: [readers], a snapshot of the last commit, never blocks the writer nor is
     * blocked by it; BUSY beyond max_readers. */
    int32_t (*begin)(void *self, uint32_t flags, struct chronos_txn **out, struct chronos_error *err);
    /* Always ends the handle. OK: atomic, and durable unless LAZY. LAZY: after a power failure the store equals the result
     * of some commit not older than the last sync or non-LAZY commit, never a mixture. NOSPACE: nothing became visible and
     * the instance stays usable. Any other error is final for the instance. */
    int32_t (*commit)(struct chronos_txn *txn, struct chronos_error *err);
    /* Cannot fail; the only way to end a READ. */
    void (*abort)(struct chronos_txn *txn);

    /* NOTFOUND leaves err untouched. The value is borrowed until the next get, put or del in this transaction, or its end.
     * A WRITE transaction sees its own writes. */
    int32_t (*get)(struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *key, struct chronos_bytes *out_value,
                   struct chronos_error *err);
    /* Copies both. EXISTS with NOOVERWRITE; NOSPACE leaves the transaction abortable; TOOBIG beyond the limits; INVALID for
     * an empty key. */
    int32_t (*put)(struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *key,
                   const struct chronos_bytes *value, uint32_t flags, struct chronos_error *err);
    int32_t (*del)(struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *key, struct chronos_error *err);
    /* Optional. Deletes at most `max` keys of [from, to), lowest first; *out_n how many. An empty `from` is the beginning,
     * an empty `to` the end. */
    int32_t (*del_range)(struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *from,
                         const struct chronos_bytes *to, uint64_t max, uint64_t *out_n, struct chronos_error *err);

    /* Any number per transaction; closed before it ends. */
    int32_t (*cursor_open)(struct chronos_txn *txn, uint32_t table, struct chronos_cursor **out, struct chronos_error *err);
    void (*cursor_close)(struct chronos_cursor *cursor);
    /* NOTFOUND at either end. `seek` is read for SEEK_* alone. Key and value are borrowed until the next move or close of
     * this cursor, or the next put or del in the transaction. After a put or del, NEXT means the first key greater than
     * the last one returned (PREV the last key smaller), even if that one was deleted. NEXT on a fresh cursor is FIRST, PREV is
     * LAST. */
    int32_t (*cursor_move)(struct chronos_cursor *cursor, int32_t op, const struct chronos_bytes *seek,
                           struct chronos_bytes *out_key, struct chronos_bytes *out_value, struct chronos_error *err);

    /* [readers] Estimates for display and metrics. */
    int32_t (*stat)(struct chronos_txn *txn, uint32_t table, struct chronos_storage_stat *out, struct chronos_error *err);
    /* [writer] Makes all LAZY commits durable. NOSPACE: none of them is yet, nothing is lost, and it may be called again; any
     * other error is final. */
    int32_t (*sync)(void *self, struct chronos_error *err);
    /* [writer] No transaction is open. */
    void (*close)(void *self);
};

#ifdef __cplusplus
}
#endif

#endif
