/* From a file into an empty store: a transaction a block, none of them waiting for the disk, and at the end one with all rows of
 * `meta`, synced. Until that one the row `format` says that there is no state yet. */
#include <string.h>

#include "state/snapshot_format.h"

struct loader {
    struct store *store;
    uint32_t tables[STATE_TABLE_COUNT];
    struct store_txn txn; /* of the block under way */
    struct buffer meta;   /* its rows, kept for the end */
};

static struct bytes format_key(void)
{
    return (struct bytes){"format", 6};
}

static enum status begin_block(struct loader *l, struct error *err)
{
    enum status status = store_begin(l->store, CHRONOS_TXN_WRITE | CHRONOS_TXN_LAZY, &l->txn, err);
    return status == STATUS_OK ? status : error_wrap(err, "begin to write");
}

static enum status load_row(void *arg, enum state_table table, struct bytes key, struct bytes row, struct error *err)
{
    struct loader *l = arg;
    if (table != STATE_META)
        return store_put(&l->txn, l->tables[table], key, row, CHRONOS_PUT_APPEND, err);
    snapshot_row_encode(table, key, row, &l->meta);
    return l->meta.failed == STATUS_OK ? STATUS_OK : error_set(err, l->meta.failed, "out of memory");
}

static enum status load_block(void *arg, struct error *err)
{
    struct loader *l = arg;
    enum status status = store_commit(&l->txn, err);
    return status == STATUS_OK ? begin_block(l, err) : error_wrap(err, "commit");
}

static enum status check_empty(struct loader *l, struct error *err)
{
    struct store_txn txn;
    enum status status = store_begin(l->store, CHRONOS_TXN_READ, &txn, err);
    if (status != STATUS_OK)
        return status;
    for (int table = 0; table < STATE_TABLE_COUNT && status == STATUS_OK; table++) {
        struct store_cursor cursor;
        struct bytes key, row;
        status = store_cursor_open(&txn, l->tables[table], &cursor, err);
        if (status != STATUS_OK)
            break;
        status = store_cursor_move(&cursor, CHRONOS_CURSOR_FIRST, (struct bytes){NULL, 0}, &key, &row, err);
        store_cursor_close(&cursor);
        if (status == STATUS_OK)
            status = error_set(err, STATUS_EXISTS, "the store is not empty: there are rows of %s",
                               state_table_name((enum state_table)table));
        else if (status == STATUS_NOT_FOUND)
            status = STATUS_OK;
    }
    store_abort(&txn);
    return status;
}

/* Not LAZY: the mark is on the disk before the first row can be. */
static enum status mark_loading(struct loader *l, struct error *err)
{
    uint8_t format[4];
    store_le32(format, STATE_FORMAT_LOADING);
    enum status status = store_begin(l->store, CHRONOS_TXN_WRITE, &l->txn, err);
    if (status != STATUS_OK)
        return status;
    status = store_put(&l->txn, l->tables[STATE_META], format_key(), (struct bytes){format, sizeof format}, 0, err);
    return status == STATUS_OK ? store_commit(&l->txn, err) : status;
}

/* Everything else is in the store: with these rows it becomes a state. */
static enum status load_meta(struct loader *l, struct error *err)
{
    struct bytes rows = buffer_bytes(&l->meta);
    store_abort(&l->txn); /* begun for a block that did not come */
    enum status status = store_begin(l->store, CHRONOS_TXN_WRITE, &l->txn, err);
    while (rows.size > 0 && status == STATUS_OK) {
        enum state_table table;
        struct bytes key, row;
        status = snapshot_row_decode(&rows, &table, &key, &row, err);
        if (status == STATUS_OK)
            status = store_put(&l->txn, l->tables[STATE_META], key, row, 0, err);
    }
    if (status == STATUS_OK)
        status = store_commit(&l->txn, err);
    return status == STATUS_OK ? store_sync(l->store, err) : status;
}

static enum status load(struct loader *l, const char *path, const struct snapshot_watch *watch, struct snapshot_info *ret_info,
                        struct snapshot_summary *ret, struct error *err)
{
    const struct snapshot_visitor visitor = {.row = load_row, .block = load_block, .arg = l};
    enum status status = state_open_tables(l->store, l->tables, err);
    if (status == STATUS_OK)
        status = check_empty(l, err);
    if (status == STATUS_OK)
        status = mark_loading(l, err);
    if (status == STATUS_OK)
        status = begin_block(l, err);
    if (status == STATUS_OK)
        status = snapshot_read(path, &visitor, watch, ret_info, ret, err);
    return status == STATUS_OK ? load_meta(l, err) : status;
}

enum status snapshot_load(const char *path, struct store *store, const struct snapshot_watch *watch,
                          struct snapshot_info *ret_info, struct snapshot_summary *ret, struct error *err)
{
    struct loader l = {.store = store};
    struct snapshot_info info;
    struct snapshot_summary summary;
    buffer_init(&l.meta, SNAPSHOT_BLOCK_BYTES);
    enum status status = load(&l, path, watch, &info, &summary, err);
    store_abort(&l.txn);
    buffer_deinit(&l.meta);
    if (status != STATUS_OK)
        return error_wrap(err, "load a snapshot");
    *ret_info = info;
    *ret = summary;
    return STATUS_OK;
}
