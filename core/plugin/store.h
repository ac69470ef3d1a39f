/* A storage instance for the rest of the core: the ABI of storage.h with our statuses. Same threads, lifetimes and rules
 * as there; nothing is cached or hidden. */
#ifndef CHRONOS_PLUGIN_STORE_H
#define CHRONOS_PLUGIN_STORE_H

#include "base/buffer.h"
#include "plugin/instance.h"

struct store;
struct store_txn {
    const struct store *store;
    struct chronos_txn *handle; /* NULL: none open */
};
struct store_cursor {
    const struct store *store;
    struct chronos_cursor *handle;
};

struct store_options {
    int32_t role;            /* enum chronos_storage_role */
    const char *directory;   /* made by the caller */
    uint32_t max_readers;
    uint64_t max_map_bytes;
};

/* Creates the instance, opens it and checks that its limits reach the minimum. */
must_use enum status store_open(const struct plugin_component *backend, const char *label, const cJSON *config,
                                const struct clock *clock, const struct store_options *options, struct store **ret,
                                struct error *err);
void store_close(struct store *store); /* [setup] no transaction open; accepts NULL */
must_use enum status store_table(struct store *store, const char *name, uint32_t flags, uint32_t *ret, struct error *err);

must_use enum status store_begin(const struct store *store, uint32_t flags, struct store_txn *ret, struct error *err);
/* Always ends the transaction. NO_SPACE: usable afterwards. Anything else but OK: the caller ends the process. */
must_use enum status store_commit(struct store_txn *txn, struct error *err);
void store_abort(struct store_txn *txn); /* accepts one that is not open */

/* STATUS_NOT_FOUND leaves err untouched. */
must_use enum status store_get(struct store_txn *txn, uint32_t table, struct bytes key, struct bytes *ret, struct error *err);
must_use enum status store_put(struct store_txn *txn, uint32_t table, struct bytes key, struct bytes value, uint32_t flags,
                               struct error *err);
must_use enum status store_delete(struct store_txn *txn, uint32_t table, struct bytes key, struct error *err);
/* By the backend's del_range, or by cursor where it has none. */
must_use enum status store_delete_range(struct store_txn *txn, uint32_t table, struct bytes from, struct bytes to,
                                        uint64_t max, uint64_t *ret_count, struct error *err);
must_use enum status store_cursor_open(struct store_txn *txn, uint32_t table, struct store_cursor *ret, struct error *err);
void store_cursor_close(struct store_cursor *cursor); /* accepts one that is not open */
must_use enum status store_cursor_move(struct store_cursor *cursor, int32_t op, struct bytes seek, struct bytes *ret_key,
                                       struct bytes *ret_value, struct error *err);
must_use enum status store_stat(struct store_txn *txn, uint32_t table, uint64_t *ret_entries, uint64_t *ret_bytes,
                                struct error *err);
must_use enum status store_sync(struct store *store, struct error *err);

#endif
