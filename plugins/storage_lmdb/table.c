#include "store.h"

#include <stdio.h>
#include <string.h>

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
        /* the same in every backend */
        return fault(err, CHRONOS_INVALID, 0, "the table name \"%s\" is reserved", name);
    }
    if (store->env == NULL || store->writing) {
        return fault(err, CHRONOS_MISUSE, 0, "tables are opened after open and before any transaction");
    }
    return CHRONOS_OK;
}

static MDB_val text_value(const char *text)
{
    return (MDB_val){.mv_size = strlen(text), .mv_data = (void *)(uintptr_t)text};
}

/* NOTFOUND without a sentence: the table does not exist. */
static int32_t open_existing(struct store *store, struct store_table *table, struct chronos_error *err)
{
    MDB_val key = text_value(table->name);
    MDB_val row;
    MDB_txn *txn;
    uint32_t flags;
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);

    if (rc != 0) {
        return fault_lmdb(err, rc, "open a table");
    }
    rc = mdb_dbi_open(txn, table->name, 0, &table->dbi);
    if (rc == MDB_NOTFOUND) {
        mdb_txn_abort(txn);
        return CHRONOS_NOTFOUND;
    }
    if (rc == 0) {
        rc = mdb_get(txn, store->meta, &key, &row);
    }
    if (rc == MDB_NOTFOUND || (rc == 0 && row.mv_size != sizeof(flags))) {
        rc = MDB_CORRUPTED; /* table and row are created in one transaction */
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        return fault_lmdb(err, rc, "open a table");
    }
    memcpy(&flags, row.mv_data, sizeof(flags));
    rc = mdb_txn_commit(txn); /* keeps the handle */
    if (rc != 0) {
        return fault_lmdb(err, rc, "open a table");
    }
    if (((flags ^ table->flags) & CHRONOS_TABLE_SEQUENTIAL) != 0) {
        return fault(err, CHRONOS_INVALID, 0, "table \"%s\" exists %s SEQUENTIAL", table->name,
                     (flags & CHRONOS_TABLE_SEQUENTIAL) != 0 ? "with" : "without");
    }
    return CHRONOS_OK;
}

static int32_t create_table(struct store *store, struct store_table *table, struct chronos_error *err)
{
    MDB_val key = text_value(table->name);
    MDB_val row = {.mv_size = sizeof(table->flags), .mv_data = &table->flags};
    MDB_txn *txn;
    int rc = mdb_txn_begin(store->env, NULL, 0, &txn);

    if (rc != 0) {
        return fault_lmdb(err, rc, "create a table");
    }
    rc = mdb_dbi_open(txn, table->name, MDB_CREATE, &table->dbi);
    if (rc == 0) {
        rc = mdb_put(txn, store->meta, &key, &row, 0);
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        return fault_lmdb(err, rc, "create a table");
    }
    rc = mdb_txn_commit(txn);
    return rc == 0 ? CHRONOS_OK : fault_lmdb(err, rc, "create a table");
}

int32_t table_open(void *self, const char *name, uint32_t flags, uint32_t *out_id, struct chronos_error *err)
{
    struct store *store = self;
    struct store_table *table = &store->tables[store->table_count];
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
    *table = (struct store_table){.flags = flags};
    (void)snprintf(table->name, sizeof(table->name), "%s", name); /* check_name knows that it fits */
    status = open_existing(store, table, err);
    if (status == CHRONOS_NOTFOUND) {
        status = create_table(store, table, err);
    }
    if (status != CHRONOS_OK) {
        return status;
    }
    *out_id = store->table_count++;
    return CHRONOS_OK;
}

struct store_table *table_of(struct chronos_txn *txn, uint32_t id, struct chronos_error *err)
{
    if (id >= txn->store->table_count) {
        (void)fault(err, CHRONOS_MISUSE, 0, "unknown table id %u", id);
        return NULL;
    }
    return &txn->store->tables[id];
}
