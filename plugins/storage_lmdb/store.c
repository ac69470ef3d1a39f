#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int32_t check_arguments(const struct store *store, const struct chronos_storage_open *open,
                               struct chronos_error *err)
{
    if (store->env != NULL) {
        return fault(err, CHRONOS_MISUSE, 0, "this instance is open already");
    }
    if (open->role != CHRONOS_STORAGE_LOG && open->role != CHRONOS_STORAGE_STATE) {
        return fault(err, CHRONOS_INVALID, 0, "unknown storage role %d", open->role);
    }
    if (open->dir == NULL || open->dir[0] == '\0') {
        return fault(err, CHRONOS_INVALID, 0, "no directory given");
    }
    if (open->max_readers > STORE_MAX_READERS) {
        return fault(err, CHRONOS_INVALID, 0, "max_readers %u is above %d", open->max_readers, STORE_MAX_READERS);
    }
    return CHRONOS_OK;
}

static uint64_t map_size_of(const struct store *store, const struct chronos_storage_open *open)
{
    const uint64_t page = 4096;
    const uint64_t least = 1024 * 1024;
    uint64_t size = open->max_map_bytes != 0 ? open->max_map_bytes : store->map_size;

    return (size < least ? least : size) / page * page;
}

/* LMDB opens the data file without O_CLOEXEC. */
static int keep_from_children(MDB_env *env)
{
    int fd;
    int rc = mdb_env_get_fd(env, &fd);

    return rc == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ? errno : rc;
}

static int open_environment(struct store *store, const char *dir, uint64_t map_size, uint32_t reader_slots)
{
    /* NOTLS: a reader's slot belongs to the transaction, not to the thread. NOMETASYNC leaves the last meta page in the
     * kernel's cache: a LAZY commit, never for LOG, where it would take back a vote. No NOSYNC and no WRITEMAP in
     * either role: the first may corrupt, the second lets a stray pointer do so. */
    unsigned int flags = MDB_NOTLS | (store->role == CHRONOS_STORAGE_STATE ? MDB_NOMETASYNC : 0u);
    int dead = 0;
    int rc = mdb_env_create(&store->env);

    if (rc != 0) {
        store->env = NULL;
        return rc;
    }
    rc = mdb_env_set_mapsize(store->env, map_size);
    if (rc == 0) {
        rc = mdb_env_set_maxdbs(store->env, STORE_MAX_TABLES + 1); /* and the format's own */
    }
    if (rc == 0) {
        rc = mdb_env_set_maxreaders(store->env, reader_slots);
    }
    if (rc == 0) {
        rc = mdb_env_open(store->env, dir, flags, 0600);
    }
    if (rc == 0) {
        rc = keep_from_children(store->env);
    }
    if (rc == 0) {
        rc = mdb_reader_check(store->env, &dead);
    }
    if (rc == 0 && dead > 0) {
        report(store, CHRONOS_LOG_INFO, "freed %d reader slots of dead processes", dead);
    }
    return rc;
}

static int32_t open_witness(struct store *store, const char *dir, struct chronos_error *err)
{
    char path[4096];

    store->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->dir_fd < 0) {
        return fault(err, CHRONOS_IO, errno, "open %s: %s", dir, strerror(errno));
    }
    (void)snprintf(path, sizeof(path), "%s/data.mdb", dir); /* format_prepare checked its length */
    store->witness_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (store->witness_fd < 0) {
        return fault(err, CHRONOS_IO, errno, "open %s: %s", path, strerror(errno));
    }
    return CHRONOS_OK;
}

static int32_t open_parts(struct store *store, const struct chronos_storage_open *open, struct chronos_error *err)
{
    uint64_t map_size = map_size_of(store, open);
    uint32_t reader_slots = store->reader_max + STORE_SPARE_READERS;
    int32_t status = format_prepare(open->dir, map_size, reader_slots, err);
    int rc;

    if (status != CHRONOS_OK) {
        return status;
    }
    rc = open_environment(store, open->dir, map_size, reader_slots);
    if (rc != 0) {
        return fault_lmdb(err, rc, "open data.mdb");
    }
    if (mdb_env_get_maxkeysize(store->env) < STORE_MAX_KEY) {
        return fault(err, CHRONOS_UNSUPPORTED, 0, "this LMDB was built with keys of at most %d bytes; %d are needed",
                     mdb_env_get_maxkeysize(store->env), STORE_MAX_KEY);
    }
    status = open_witness(store, open->dir, err);
    return status == CHRONOS_OK ? format_verify(store, err) : status;
}

int32_t store_open(void *self, const struct chronos_storage_open *open, struct chronos_error *err)
{
    struct store *store = self;
    int32_t status = check_arguments(store, open, err);

    if (status != CHRONOS_OK) {
        return status;
    }
    store->role = open->role;
    store->reader_max = open->max_readers > 0 ? open->max_readers : 1;
    store->readers = calloc(store->reader_max, sizeof(*store->readers));
    if (store->readers == NULL) {
        return fault(err, CHRONOS_NOMEM, 0, "no memory for %u readers", store->reader_max);
    }
    status = open_parts(store, open, err);
    if (status != CHRONOS_OK) {
        store_close(store);
    }
    return status;
}

void store_limits(void *self, struct chronos_storage_limits *out)
{
    (void)self; /* the same for every store */
    out->max_key = STORE_MAX_KEY;
    out->max_value = STORE_MAX_VALUE;
    out->max_tables = STORE_MAX_TABLES;
    out->max_txn_bytes = 0; /* LMDB spills what does not fit in memory */
}

int32_t store_sync(void *self, struct chronos_error *err)
{
    struct store *store = self;
    int rc;

    if (store->final != 0) {
        return fault(err, store->final, 0, "an earlier write failed; this store must be opened anew");
    }
    rc = mdb_env_sync(store->env, 1);
    if (rc != 0) {
        /* The kernel forgets what it could not write and reports it once: a second try would lie. */
        store->final = CHRONOS_IO;
        return fault(err, CHRONOS_IO, rc, "sync data.mdb: %s", mdb_strerror(rc));
    }
    store->lazy_pending = false;
    return CHRONOS_OK;
}

void store_close(void *self)
{
    struct store *store = self;

    for (uint32_t i = 0; store->readers != NULL && i < store->reader_made; i++) {
        mdb_txn_abort(store->readers[i].handle);
    }
    if (store->env != NULL) {
        mdb_env_close(store->env);
    }
    if (store->witness_fd >= 0) {
        (void)close(store->witness_fd); /* only read */
    }
    if (store->dir_fd >= 0) {
        (void)close(store->dir_fd); /* only read */
    }
    free(store->readers);
    store->readers = NULL;
    store->idle = NULL;
    store->reader_max = 0;
    store->reader_made = 0;
    store->env = NULL;
    store->witness_fd = -1;
    store->dir_fd = -1;
    store->table_count = 0;
    store->final = 0;
    store->writing = false;
    store->lazy_pending = false;
}
