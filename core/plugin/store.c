/* The storage ABI with our statuses; nothing else happens here (plugin/store.h). */
#include "plugin/store.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "plugin/private.h"

struct store {
    struct plugin_instance *instance;
    const struct chronos_storage_ops *ops;
    void *self;
};

static struct chronos_bytes to_abi(struct bytes from)
{
    return (struct chronos_bytes){.data = from.data, .size = from.size};
}

static enum status broke_contract(const struct store *store, const char *what, struct error *err)
{
    return error_set(err, STATUS_INTERNAL, "storage \"%s\" misbehaves: %s", store->instance->component->id, what);
}

/* A range that the plugin lent us. */
static enum status from_abi(const struct store *store, const struct chronos_bytes *from, struct bytes *ret,
                            struct error *err)
{
    if (!from->data && from->size != 0)
        return broke_contract(store, "it returned a length without data", err);
    *ret = (struct bytes){.data = from->data, .size = from->size};
    return STATUS_OK;
}

/* Where NOTFOUND is a normal answer: err stays untouched. */
static enum status answer(int32_t code, const struct chronos_error *from, struct error *err)
{
    return code == CHRONOS_NOTFOUND ? STATUS_NOT_FOUND : plugin_status(code, from, err);
}

/* -- open and close ------------------------------------------------------------------------------------------------ */

static enum status check_limits(const struct store *store, struct error *err)
{
    struct chronos_storage_limits limits = {.struct_size = sizeof limits};
    store->ops->limits(store->self, &limits);
    const char *id = store->instance->component->id;
    if (limits.max_key < STORE_KEY_MIN)
        return error_set(err, STATUS_INVALID, "storage \"%s\" takes keys of at most %lu bytes; at least %d are needed",
                         id,
                         (unsigned long)limits.max_key, STORE_KEY_MIN);
    if (limits.max_value < STORE_VALUE_MIN)
        return error_set(err, STATUS_INVALID,
                         "storage \"%s\" takes values of at most %llu bytes; at least %d are needed", id,
                         (unsigned long long)limits.max_value, STORE_VALUE_MIN);
    if (limits.max_tables < STORE_TABLES_MIN)
        return error_set(err, STATUS_INVALID, "storage \"%s\" takes at most %lu tables; at least %d are needed", id,
                         (unsigned long)limits.max_tables, STORE_TABLES_MIN);
    return STATUS_OK;
}

static enum status open_backend(const struct store *store, const struct store_options *options, struct error *err)
{
    struct chronos_storage_open open = {.struct_size = sizeof open,
                                        .role = options->role,
                                        .dir = options->directory,
                                        .max_readers = options->max_readers,
                                        .max_map_bytes = options->max_map_bytes};
    struct chronos_error from = plugin_error_ready();
    enum status status = plugin_status(store->ops->open(store->self, &open, &from), &from, err);
    if (status != STATUS_OK)
        return error_wrap(err, "open storage \"%s\" in %.*s", store->instance->component->id, PLUGIN_QUOTE_MAX,
                          options->directory);
    status = check_limits(store, err);
    if (status != STATUS_OK)
        store->ops->close(store->self);
    return status;
}

enum status store_open(const struct plugin_component *backend, const char *label, const cJSON *config,
                       const struct clock *clock, const struct store_options *options, struct store **ret,
                       struct error *err)
{
    if (backend->kind != CHRONOS_KIND_STORAGE)
        return error_set(err, STATUS_MISUSE, "component \"%s\" is not a storage", backend->id);
    struct store *store = calloc(1, sizeof *store);
    if (!store)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    enum status status = plugin_instance_new(backend, label, config, clock, NULL, &store->instance, err);
    if (status == STATUS_OK) {
        store->ops = &backend->ops.storage;
        store->self = store->instance->self;
        status = open_backend(store, options, err);
    }
    if (status != STATUS_OK) {
        plugin_instance_free(store->instance);
        free(store);
        return status;
    }
    *ret = store;
    return STATUS_OK;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    store->ops->close(store->self);
    plugin_instance_free(store->instance);
    free(store);
}

enum status store_table(struct store *store, const char *name, uint32_t flags, uint32_t *ret, struct error *err)
{
    struct chronos_error from = plugin_error_ready();
    uint32_t id = 0;
    enum status status = plugin_status(store->ops->table(store->self, name, flags, &id, &from), &from, err);
    if (status != STATUS_OK)
        return error_wrap(err, "table \"%s\"", name);
    *ret = id;
    return STATUS_OK;
}

enum status store_sync(struct store *store, struct error *err)
{
    struct chronos_error from = plugin_error_ready();
    return plugin_status(store->ops->sync(store->self, &from), &from, err);
}

/* -- transactions -------------------------------------------------------------------------------------------------- */

enum status store_begin(const struct store *store, uint32_t flags, struct store_txn *ret, struct error *err)
{
    struct chronos_error from = plugin_error_ready();
    struct chronos_txn *handle = NULL;
    enum status status = plugin_status(store->ops->begin(store->self, flags, &handle, &from), &from, err);
    if (status != STATUS_OK)
        return status;
    if (!handle)
        return broke_contract(store, "begin returned no transaction", err);
    *ret = (struct store_txn){.store = store, .handle = handle};
    return STATUS_OK;
}

enum status store_commit(struct store_txn *txn, struct error *err)
{
    struct chronos_error from = plugin_error_ready();
    struct chronos_txn *handle = txn->handle;
    if (!handle)
        return error_set(err, STATUS_MISUSE, "commit without an open transaction");
    txn->handle = NULL;
    return plugin_status(txn->store->ops->commit(handle, &from), &from, err);
}

void store_abort(struct store_txn *txn)
{
    if (!txn->handle)
        return;
    txn->store->ops->abort(txn->handle);
    txn->handle = NULL;
}

/* -- rows ---------------------------------------------------------------------------------------------------------- */

enum status store_get(struct store_txn *txn, uint32_t table, struct bytes key, struct bytes *ret, struct error *err)
{
    struct chronos_error from = plugin_error_ready();
    struct chronos_bytes abi_key = to_abi(key), value = {0};
    enum status status = answer(txn->store->ops->get(txn->handle, table, &abi_key, &value, &from), &from, err);
    return status == STATUS_OK ? from_abi(txn->store, &value, ret, err) : status;
}

enum status store_put(struct store_txn *txn, uint32_t table, struct bytes key, struct bytes value, uint32_t flags,
                      struct error *err)
{
    struct chronos_error from = plugin_error_ready();
    struct chronos_bytes abi_key = to_abi(key), abi_value = to_abi(value);
    return plugin_status(txn->store->ops->put(txn->handle, table, &abi_key, &abi_value, flags, &from), &from, err);
}

enum status store_delete(struct store_txn *txn, uint32_t table, struct bytes key, struct error *err)
{
    struct chronos_error from = plugin_error_ready();
    struct chronos_bytes abi_key = to_abi(key);
    return answer(txn->store->ops->del(txn->handle, table, &abi_key, &from), &from, err);
}

enum status store_stat(struct store_txn *txn, uint32_t table, uint64_t *ret_entries, uint64_t *ret_bytes,
                       struct error *err)
{
    struct chronos_error from = plugin_error_ready();
    struct chronos_storage_stat stat = {.struct_size = sizeof stat};
    enum status status = plugin_status(txn->store->ops->stat(txn->handle, table, &stat, &from), &from, err);
    if (status != STATUS_OK)
        return status;
    *ret_entries = stat.entries;
    *ret_bytes = stat.bytes;
    return STATUS_OK;
}

/* -- cursors ------------------------------------------------------------------------------------------------------- */

enum status store_cursor_open(struct store_txn *txn, uint32_t table, struct store_cursor *ret, struct error *err)
{
    struct chronos_error from = plugin_error_ready();
    struct chronos_cursor *handle = NULL;
    enum status status = plugin_status(txn->store->ops->cursor_open(txn->handle, table, &handle, &from), &from, err);
    if (status != STATUS_OK)
        return status;
    if (!handle)
        return broke_contract(txn->store, "cursor_open returned no cursor", err);
    *ret = (struct store_cursor){.store = txn->store, .handle = handle};
    return STATUS_OK;
}

void store_cursor_close(struct store_cursor *cursor)
{
    if (!cursor->handle)
        return;
    cursor->store->ops->cursor_close(cursor->handle);
    cursor->handle = NULL;
}

enum status store_cursor_move(struct store_cursor *cursor, int32_t op, struct bytes seek, struct bytes *ret_key,
                              struct bytes *ret_value, struct error *err)
{
    struct chronos_error from = plugin_error_ready();
    struct chronos_bytes abi_seek = to_abi(seek), abi_key = {0}, abi_value = {0};
    struct bytes key, value;
    enum status status = answer(
        cursor->store->ops->cursor_move(cursor->handle, op, &abi_seek, &abi_key, &abi_value, &from), &from, err);
    if (status == STATUS_OK)
        status = from_abi(cursor->store, &abi_key, &key, err);
    if (status == STATUS_OK)
        status = from_abi(cursor->store, &abi_value, &value, err);
    if (status != STATUS_OK)
        return status;
    *ret_key = key;
    *ret_value = value;
    return STATUS_OK;
}

/* -- ranges -------------------------------------------------------------------------------------------------------- */

/* Keys compare as unsigned bytes, a shorter one before a longer one that it begins. */
static int compare_keys(struct bytes a, struct bytes b)
{
    size_t shorter = a.size < b.size ? a.size : b.size;
    int order = shorter ? memcmp(a.data, b.data, shorter) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

/* The key is copied before it is deleted: it is borrowed only until the next write. */
static enum status delete_at(struct store_txn *txn, uint32_t table, struct bytes key, struct buffer *copy,
                             struct error *err)
{
    buffer_clear(copy);
    buffer_append(copy, key.data, key.size);
    if (copy->failed)
        return error_set(err, copy->failed, "a key of %zu bytes cannot be copied", key.size);
    enum status status = store_delete(txn, table, buffer_bytes(copy), err);
    if (status == STATUS_NOT_FOUND)
        return broke_contract(txn->store, "a cursor returned a key that is not there", err);
    return status;
}

enum { KEY_COPY_MAX = 64 * 1024 };

static enum status delete_by_cursor(struct store_txn *txn, uint32_t table, struct bytes from, struct bytes to,
                                    uint64_t max, uint64_t *ret_count, struct error *err)
{
    struct store_cursor cursor = {0};
    enum status status = store_cursor_open(txn, table, &cursor, err);
    if (status != STATUS_OK)
        return status;
    struct buffer copy;
    buffer_init(&copy, KEY_COPY_MAX);
    uint64_t count = 0;
    int32_t op = from.size ? CHRONOS_CURSOR_SEEK_GE : CHRONOS_CURSOR_FIRST;
    while (count < max) {
        struct bytes key, value;
        status = store_cursor_move(&cursor, op, from, &key, &value, err);
        if (status != STATUS_OK || (to.size && compare_keys(key, to) >= 0))
            break;
        status = delete_at(txn, table, key, &copy, err);
        if (status != STATUS_OK)
            break;
        count++;
        op = CHRONOS_CURSOR_NEXT;
    }
    buffer_deinit(&copy);
    store_cursor_close(&cursor);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        return status;
    *ret_count = count;
    return STATUS_OK;
}

enum status store_delete_range(struct store_txn *txn, uint32_t table, struct bytes from, struct bytes to, uint64_t max,
                               uint64_t *ret_count, struct error *err)
{
    const struct chronos_storage_ops *ops = txn->store->ops;
    if (!ops->del_range)
        return delete_by_cursor(txn, table, from, to, max, ret_count, err);
    struct chronos_error abi_error = plugin_error_ready();
    struct chronos_bytes abi_from = to_abi(from), abi_to = to_abi(to);
    uint64_t count = 0;
    enum status status = plugin_status(ops->del_range(txn->handle, table, &abi_from, &abi_to, max, &count, &abi_error),
                                       &abi_error, err);
    if (status != STATUS_OK)
        return status;
    if (count > max)
        return broke_contract(txn->store, "del_range deleted more than it was asked for", err);
    *ret_count = count;
    return STATUS_OK;
}
