/* Descriptor of the SQLite backend: one component, "sqlite". */
#include <stdlib.h>

#include "store.h"

static int32_t read_options(struct store *store, struct chronos_error *err)
{
    const struct chronos_host *host = store->host;

    if (host->ops->config_int(host, "cache_size", &store->cache_size) != CHRONOS_OK || store->cache_size < 1024) {
        return fault(err, CHRONOS_INVALID, 0, "option cache_size is missing");
    }
    if (host->ops->config_int(host, "checkpoint_size", &store->checkpoint_size) != CHRONOS_OK ||
        store->checkpoint_size < 64 * 1024) {
        return fault(err, CHRONOS_INVALID, 0, "option checkpoint_size is missing");
    }
    return CHRONOS_OK;
}

static int32_t create(const struct chronos_host *host, void **self, struct chronos_error *err)
{
    struct store *store;
    int32_t status;

    if (sqlite3_threadsafe() == 0) {
        return fault(err, CHRONOS_UNSUPPORTED, 0, "this SQLite was built for a single thread");
    }
    store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return fault(err, CHRONOS_NOMEM, 0, "no memory for a store");
    }
    store->host = host;
    status = read_options(store, err);
    if (status == CHRONOS_OK && pthread_mutex_init(&store->reader_lock, NULL) != 0) {
        status = fault(err, CHRONOS_NOMEM, 0, "cannot make the readers' lock");
    }
    if (status != CHRONOS_OK) {
        free(store);
        return status;
    }
    *self = store;
    return CHRONOS_OK;
}

static void destroy(void *self)
{
    struct store *store = self;

    if (store == NULL) {
        return;
    }
    store_close(store);
    (void)pthread_mutex_destroy(&store->reader_lock); /* nobody holds it: the instance is withdrawn */
    free(store);
}

static const struct chronos_storage_ops OPS = {
    .struct_size = sizeof(struct chronos_storage_ops),
    .open = store_open,
    .limits = store_limits,
    .table = table_open,
    .begin = txn_begin,
    .commit = txn_commit,
    .abort = txn_abort,
    .get = txn_get,
    .put = txn_put,
    .del = txn_del,
    .del_range = txn_del_range,
    .cursor_open = cursor_open,
    .cursor_close = cursor_close,
    .cursor_move = cursor_move,
    .stat = txn_stat,
    .sync = store_sync,
    .close = store_close,
};

static const struct chronos_option OPTIONS[] = {
    {
        .name = "cache_size",
        .type = CHRONOS_OPTION_SIZE,
        .def = "8MiB",
        .limits = "256KiB..4GiB",
        .help = "Page cache of each connection: one for writing, and one for each reader in use.",
    },
    {
        .name = "checkpoint_size",
        .type = CHRONOS_OPTION_SIZE,
        .def = "16MiB",
        .limits = "1MiB..1GiB",
        .help = "Size of the write-ahead log at which its content is copied into the database.",
    },
};

static const struct chronos_component SQLITE = {
    .struct_size = sizeof(struct chronos_component),
    .kind = CHRONOS_KIND_STORAGE,
    .id = "sqlite",
    .summary = "Storage in SQLite databases: slower than LMDB, open to every SQL tool.",
    .options = OPTIONS,
    .n_options = sizeof(OPTIONS) / sizeof(OPTIONS[0]),
    .option_stride = sizeof(OPTIONS[0]),
    .ops = &OPS,
    .create = create,
    .destroy = destroy,
};

static const struct chronos_component *const COMPONENTS[] = {&SQLITE, NULL};

static const struct chronos_plugin PLUGIN = {
    .magic = CHRONOS_PLUGIN_MAGIC,
    .struct_size = sizeof(struct chronos_plugin),
    .abi_major = CHRONOS_ABI_MAJOR,
    .abi_minor = CHRONOS_ABI_MINOR,
    .features = CHRONOS_FEATURES_THIS,
    .name = "storage_sqlite",
    .version = CHRONOS_VERSION,
    .vendor = "Chronos",
    .build_info = "SQLite " SQLITE_VERSION,
    .components = COMPONENTS,
};

CHRONOS_EXPORT const struct chronos_plugin *chronos_plugin_v1(void)
{
    return &PLUGIN;
}
