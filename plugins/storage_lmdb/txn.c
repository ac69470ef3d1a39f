#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { APPEND_PAUSE = 64 };

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
    *txn = (struct chronos_txn){.store = store, .flags = CHRONOS_TXN_WRITE | (lazy ? CHRONOS_TXN_LAZY : 0u)};
    rc = mdb_txn_begin(store->env, NULL, 0, &txn->handle);
    if (rc != 0) {
        return fault_lmdb(err, rc, "begin a WRITE transaction");
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

static int32_t begin_read(struct store *store, struct chronos_txn **out, struct chronos_error *err)
{
    struct chronos_txn *txn = take_reader(store);
    int rc;

    if (txn == NULL) {
        return fault(err, CHRONOS_BUSY, 0, "all %u READ transactions are in use", store->reader_max);
    }
    txn->store = store;
    txn->flags = CHRONOS_TXN_READ;
    if (txn->handle != NULL) {
        rc = mdb_txn_renew(txn->handle);
    } else {
        rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn->handle);
        if (rc != 0) {
            txn->handle = NULL;
        }
    }
    if (rc != 0) {
        return_reader(txn);
        return fault_lmdb(err, rc, "begin a READ transaction");
    }
    txn->failed = 0;
    *out = txn;
    return CHRONOS_OK;
}

int32_t txn_begin(void *self, uint32_t flags, struct chronos_txn **out, struct chronos_error *err)
{
    struct store *store = self;

    if (store->env == NULL) {
        return fault(err, CHRONOS_MISUSE, 0, "the store is not open");
    }
    return (flags & CHRONOS_TXN_WRITE) != 0 ? begin_write(store, flags, out, err) : begin_read(store, out, err);
}

void txn_abort(struct chronos_txn *txn)
{
    if ((txn->flags & CHRONOS_TXN_WRITE) != 0) {
        mdb_txn_abort(txn->handle);
        txn->store->writing = false;
        return;
    }
    mdb_txn_reset(txn->handle);
    return_reader(txn);
}

/* True when a failed write left everything as it was. If instead a sync failed, the kernel tells our own descriptor
 * too; if the meta page failed, LMDB refuses every further transaction. */
static bool nothing_was_lost(struct store *store)
{
    MDB_txn *probe;

    if (fdatasync(store->witness_fd) != 0 || mdb_txn_begin(store->env, NULL, MDB_RDONLY, &probe) != 0) {
        return false;
    }
    mdb_txn_abort(probe);
    return true;
}

/* LMDB calls a write that was cut short EIO. A full disk does that: ask for as much as the transaction may have
 * needed. */
static bool disk_is_full(const struct chronos_txn *txn)
{
    const uint64_t page = 4096;
    uint64_t needed = 2 * txn->change_bytes + 8 * page * (txn->change_count + 32);
    int fd = openat(txn->store->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    int rc;

    if (fd < 0) {
        return errno == ENOSPC || errno == EDQUOT;
    }
    rc = posix_fallocate(fd, 0, (off_t)needed);
    (void)close(fd); /* it has no name and no content */
    return rc == ENOSPC || rc == EDQUOT || rc == EFBIG;
}

/* Why a put or a commit failed: NOSPACE where the store is as it was before the transaction. */
static int32_t write_failed(struct chronos_txn *txn, int rc, const char *doing, struct chronos_error *err)
{
    int32_t status = fault_lmdb(err, rc, doing);

    if (rc == MDB_MAP_FULL) {
        return status;
    }
    if (rc == EIO && disk_is_full(txn)) {
        status = fault_lmdb(err, ENOSPC, doing);
    }
    if (status == CHRONOS_NOSPACE && !nothing_was_lost(txn->store)) {
        status = fault(err, CHRONOS_IO, rc, "%s: the disk lost data that it had accepted: %s", doing, mdb_strerror(rc));
    }
    return status;
}

/* LOG: LMDB has synced the meta page. STATE: it lies in the kernel's cache (MDB_NOMETASYNC is a property of the
 * environment, not of a transaction), so a commit that promises durability syncs once more, also for the LAZY ones
 * before it. */
static int32_t settle_commit(struct store *store, bool lazy, bool changed, struct chronos_error *err)
{
    if (store->role == CHRONOS_STORAGE_LOG) {
        return CHRONOS_OK;
    }
    store->lazy_pending = store->lazy_pending || changed;
    return lazy || !store->lazy_pending ? CHRONOS_OK : store_sync(store, err);
}

int32_t txn_commit(struct chronos_txn *txn, struct chronos_error *err)
{
    struct store *store = txn->store;
    int rc;

    if ((txn->flags & CHRONOS_TXN_WRITE) == 0) {
        txn_abort(txn);
        return fault(err, CHRONOS_MISUSE, 0, "a READ transaction ends with abort");
    }
    if (txn->failed != 0) {
        int32_t status = txn->failed;

        txn_abort(txn);
        if (status != CHRONOS_NOSPACE && status != CHRONOS_TOOBIG) {
            store->final = status;
        }
        return fault(err, status, 0, "commit: a put or del of this transaction failed; nothing was stored");
    }
    rc = mdb_txn_commit(txn->handle);
    store->writing = false;
    if (rc != 0) {
        int32_t status = write_failed(txn, rc, "commit", err);

        if (status != CHRONOS_NOSPACE) {
            store->final = status;
        }
        return status;
    }
    return settle_commit(store, (txn->flags & CHRONOS_TXN_LAZY) != 0, txn->change_count > 0, err);
}

static MDB_val value_of(const struct chronos_bytes *bytes)
{
    return (MDB_val){.mv_size = bytes->size, .mv_data = (void *)(uintptr_t)bytes->data};
}

static bool key_can_exist(const struct store_table *table, const struct chronos_bytes *key)
{
    return key->size > 0 && key->size <= STORE_MAX_KEY &&
           ((table->flags & CHRONOS_TABLE_SEQUENTIAL) == 0 || key->size == 8);
}

int32_t txn_get(struct chronos_txn *txn, uint32_t table_id, const struct chronos_bytes *key,
                struct chronos_bytes *out_value, struct chronos_error *err)
{
    const struct store_table *table = table_of(txn, table_id, err);
    MDB_val name = value_of(key);
    MDB_val value;
    int rc;

    if (table == NULL) {
        return CHRONOS_MISUSE;
    }
    if (!key_can_exist(table, key)) {
        return CHRONOS_NOTFOUND;
    }
    rc = mdb_get(txn->handle, table->dbi, &name, &value);
    if (rc == MDB_NOTFOUND) {
        return CHRONOS_NOTFOUND;
    }
    if (rc != 0) {
        return fault_lmdb(err, rc, "get");
    }
    *out_value = (struct chronos_bytes){.data = value.mv_data, .size = value.mv_size};
    return CHRONOS_OK;
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

/* Appending fills pages to the brim instead of halving them; LMDB refuses with KEYEXIST where the key is not above all
 * others. After a refusal a SEQUENTIAL table is left in peace for a while, as each try costs a walk to the last
 * page. */
static bool should_append(struct store_table *table, uint32_t flags)
{
    if ((flags & CHRONOS_PUT_APPEND) != 0) {
        return true;
    }
    if ((table->flags & CHRONOS_TABLE_SEQUENTIAL) == 0) {
        return false;
    }
    if (table->append_pause > 0) {
        table->append_pause--;
        return false;
    }
    return true;
}

static int put_row(MDB_txn *handle, struct store_table *table, MDB_val *key, const MDB_val *value, uint32_t flags)
{
    unsigned int options = (flags & CHRONOS_PUT_NOOVERWRITE) != 0 ? MDB_NOOVERWRITE : 0;
    MDB_val copy = *value; /* LMDB writes the existing value into it on KEYEXIST */
    int rc;

    if (should_append(table, flags)) {
        rc = mdb_put(handle, table->dbi, key, &copy, MDB_APPEND);
        if (rc != MDB_KEYEXIST) {
            return rc;
        }
        table->append_pause = APPEND_PAUSE;
        copy = *value;
    }
    return mdb_put(handle, table->dbi, key, &copy, options);
}

int32_t txn_put(struct chronos_txn *txn, uint32_t table_id, const struct chronos_bytes *key,
                const struct chronos_bytes *value, uint32_t flags, struct chronos_error *err)
{
    struct store_table *table = table_of(txn, table_id, err);
    MDB_val name = value_of(key);
    MDB_val data = value_of(value);
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
    rc = put_row(txn->handle, table, &name, &data, flags);
    if (rc == MDB_KEYEXIST) {
        return fault(err, CHRONOS_EXISTS, 0, "table \"%s\": the key exists", table->name);
    }
    if (rc != 0) {
        txn->failed = write_failed(txn, rc, "put", err);
        return txn->failed;
    }
    txn->change_count++;
    txn->change_bytes += key->size + value->size;
    return CHRONOS_OK;
}

int32_t txn_del(struct chronos_txn *txn, uint32_t table_id, const struct chronos_bytes *key, struct chronos_error *err)
{
    const struct store_table *table = table_of(txn, table_id, err);
    MDB_val name = value_of(key);
    int32_t status;
    int rc;

    if (table == NULL) {
        return CHRONOS_MISUSE;
    }
    status = check_writable(txn, err);
    if (status != CHRONOS_OK) {
        return status;
    }
    if (!key_can_exist(table, key)) {
        return CHRONOS_NOTFOUND;
    }
    rc = mdb_del(txn->handle, table->dbi, &name, NULL);
    if (rc == MDB_NOTFOUND) {
        return CHRONOS_NOTFOUND;
    }
    if (rc != 0) {
        txn->failed = write_failed(txn, rc, "del", err);
        return txn->failed;
    }
    txn->change_count++;
    return CHRONOS_OK;
}

static bool key_is_below(const MDB_val *key, const struct chronos_bytes *end)
{
    size_t common = key->mv_size < end->size ? key->mv_size : end->size;
    int order = memcmp(key->mv_data, end->data, common);

    return order < 0 || (order == 0 && key->mv_size < end->size);
}

static int delete_from(MDB_cursor *cursor, const struct chronos_bytes *from, const struct chronos_bytes *to,
                       uint64_t max, uint64_t *count)
{
    MDB_val key = value_of(from);
    MDB_val value;
    int rc = mdb_cursor_get(cursor, &key, &value, from->size > 0 ? MDB_SET_RANGE : MDB_FIRST);

    while (rc == 0 && *count < max && (to->size == 0 || key_is_below(&key, to))) {
        rc = mdb_cursor_del(cursor, 0);
        if (rc == 0) {
            (*count)++;
            rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        }
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int32_t txn_del_range(struct chronos_txn *txn, uint32_t table_id, const struct chronos_bytes *from,
                      const struct chronos_bytes *to, uint64_t max, uint64_t *out_n, struct chronos_error *err)
{
    const struct store_table *table = table_of(txn, table_id, err);
    MDB_cursor *cursor;
    uint64_t count = 0;
    int32_t status;
    int rc;

    if (table == NULL) {
        return CHRONOS_MISUSE;
    }
    status = check_writable(txn, err);
    if (status != CHRONOS_OK) {
        return status;
    }
    rc = mdb_cursor_open(txn->handle, table->dbi, &cursor);
    if (rc == 0) {
        rc = delete_from(cursor, from, to, max, &count);
        mdb_cursor_close(cursor);
    }
    if (rc != 0) {
        txn->failed = write_failed(txn, rc, "del_range", err);
        return txn->failed;
    }
    txn->change_count += count;
    *out_n = count;
    return CHRONOS_OK;
}

int32_t txn_stat(struct chronos_txn *txn, uint32_t table_id, struct chronos_storage_stat *out,
                 struct chronos_error *err)
{
    const struct store_table *table = table_of(txn, table_id, err);
    MDB_stat stat;
    int rc;

    if (table == NULL) {
        return CHRONOS_MISUSE;
    }
    rc = mdb_stat(txn->handle, table->dbi, &stat);
    if (rc != 0) {
        return fault_lmdb(err, rc, "stat");
    }
    out->entries = stat.ms_entries;
    out->bytes = (uint64_t)stat.ms_psize * (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages);
    return CHRONOS_OK;
}
