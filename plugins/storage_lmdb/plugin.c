/* Descriptor of the LMDB backend: one component, "lmdb". */
#include <stdlib.h>

#include "store.h"

static int32_t create(const struct chronos_host *host, void **self, struct chronos_error *err)
{
    struct store *store = calloc(1, sizeof(*store));
    int64_t map_size = 0;
    int32_t status;

    if (store == NULL) {
        return fault(err, CHRONOS_NOMEM, 0, "no memory for a store");
    }
    status = host->ops->config_int(host, "map_size", &map_size);
    if (status != CHRONOS_OK || map_size <= 0) {
        free(store);
        return fault(err, CHRONOS_INVALID, 0, "option map_size is missing");
    }
    store->host = host;
    store->map_size = (uint64_t)map_size;
    store->witness_fd = -1;
    store->dir_fd = -1;
    if (pthread_mutex_init(&store->reader_lock, NULL) != 0) {
        free(store);
        return fault(err, CHRONOS_NOMEM, 0, "cannot make the readers' lock");
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
        .name = "map_size",
        .type = CHRONOS_OPTION_SIZE,
        .def = "64GiB",
        .limits = "1MiB..16TiB",
        .help = "Address space reserved for each store, and so the most that it can hold; the file grows as needed.",
    },
};

static const struct chronos_component LMDB = {
    .struct_size = sizeof(struct chronos_component),
    .kind = CHRONOS_KIND_STORAGE,
    .id = "lmdb",
    .summary = "Storage in LMDB files: memory-mapped, copy on write, no recovery step after a crash.",
    .options = OPTIONS,
    .n_options = sizeof(OPTIONS) / sizeof(OPTIONS[0]),
    .option_stride = sizeof(OPTIONS[0]),
    .ops = &OPS,
    .create = create,
    .destroy = destroy,
};

static const struct chronos_component *const COMPONENTS[] = {&LMDB, NULL};

static const struct chronos_plugin PLUGIN = {
    .magic = CHRONOS_PLUGIN_MAGIC,
    .struct_size = sizeof(struct chronos_plugin),
    .abi_major = CHRONOS_ABI_MAJOR,
    .abi_minor = CHRONOS_ABI_MINOR,
    .features = CHRONOS_FEATURES_THIS,
    .name = "storage_lmdb",
    .version = CHRONOS_VERSION,
    .vendor = "Chronos",
    .build_info = MDB_VERSION_STRING,
    .components = COMPONENTS,
};

CHRONOS_EXPORT const struct chronos_plugin *chronos_plugin_v1(void)
{
    return &PLUGIN;
}
