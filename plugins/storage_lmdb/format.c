/* What lies on disk, checked before LMDB maps it: LMDB trusts its header, and a bad page number there is a crash.
 *
 * data.mdb appears complete or not at all: it is made under another name, synced, renamed. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char META_TABLE[] = "chronos.meta"; /* a dot keeps it apart from the host's tables */
static const char FORMAT_KEY[] = "format";
static const char FORMAT_MARK[] = "chronos-lmdb"; /* the row: this text, then the version, 4 bytes little-endian */

enum { FORMAT_MARK_SIZE = sizeof(FORMAT_MARK) - 1, FORMAT_ROW_SIZE = FORMAT_MARK_SIZE + 4 };

/* The two meta pages of LMDB's data format 1 on a 64-bit little-endian machine. */
enum {
    LMDB_META_BYTES = 152,
    LMDB_AT_FLAGS = 10,
    LMDB_AT_MAGIC = 16,
    LMDB_AT_VERSION = 20,
    LMDB_AT_PAGE_SIZE = 40,
    LMDB_AT_FREE_TREE = 40, /* 48 bytes each */
    LMDB_AT_MAIN_TREE = 88,
    LMDB_AT_LAST_PAGE = 136,
    LMDB_AT_TXN = 144,
    LMDB_DATA_VERSION = 1,
    LMDB_TREE_AT_FLAGS = 4,
    LMDB_TREE_AT_DEPTH = 6,
    LMDB_TREE_AT_ROOT = 40,
    LMDB_DEPTH_MAX = 32,
    LMDB_FLAG_META = 8,
    LMDB_PAGE_MIN = 512,
    LMDB_PAGE_MAX = 65536
};
static const uint32_t LMDB_MAGIC = 0xBEEFC0DE;

_Static_assert(sizeof(size_t) == 8, "the file format is that of 64-bit machines");

static int32_t path_in(char *path, size_t size, const char *dir, const char *name, struct chronos_error *err)
{
    int length = snprintf(path, size, "%s/%s", dir, name);

    if (length < 0 || (size_t)length >= size) {
        return fault(err, CHRONOS_INVALID, 0, "the directory's name is too long");
    }
    return CHRONOS_OK;
}

static uint32_t read_u32(const unsigned char *from)
{
    uint32_t value;

    memcpy(&value, from, sizeof(value));
    return value;
}

static uint64_t read_u64(const unsigned char *from)
{
    uint64_t value;

    memcpy(&value, from, sizeof(value));
    return value;
}

/* Both trees have the key order that LMDB gave them, and a root that can exist (all ones: an empty tree). */
static bool tree_is_sane(const unsigned char *tree, unsigned int key_flags, uint64_t last_page)
{
    const unsigned int every_key_flag = MDB_REVERSEKEY | MDB_DUPSORT | MDB_INTEGERKEY | MDB_DUPFIXED | MDB_INTEGERDUP |
                                        MDB_REVERSEDUP | MDB_FIXEDMAP;
    unsigned int flags = tree[LMDB_TREE_AT_FLAGS];
    unsigned int depth = tree[LMDB_TREE_AT_DEPTH] | (unsigned int)tree[LMDB_TREE_AT_DEPTH + 1] << 8;
    uint64_t root = read_u64(tree + LMDB_TREE_AT_ROOT);

    if ((flags & every_key_flag) != key_flags || depth > LMDB_DEPTH_MAX) {
        return false;
    }
    return root == UINT64_MAX ? depth == 0 : depth > 0 && root > 1 && root <= last_page;
}

static int32_t check_meta(const unsigned char *meta, uint32_t page_size, struct chronos_error *err)
{
    uint64_t last_page = read_u64(meta + LMDB_AT_LAST_PAGE);

    if ((meta[LMDB_AT_FLAGS] & LMDB_FLAG_META) == 0 || read_u32(meta + LMDB_AT_MAGIC) != LMDB_MAGIC) {
        return fault(err, CHRONOS_CORRUPT, 0, "data.mdb is not an LMDB file, or its header is damaged");
    }
    if (read_u32(meta + LMDB_AT_VERSION) != LMDB_DATA_VERSION) {
        return fault(err, CHRONOS_UNSUPPORTED, 0, "data.mdb has LMDB data format %u; this build reads %d",
                     read_u32(meta + LMDB_AT_VERSION), LMDB_DATA_VERSION);
    }
    if (read_u32(meta + LMDB_AT_PAGE_SIZE) != page_size || page_size < LMDB_PAGE_MIN || page_size > LMDB_PAGE_MAX ||
        (page_size & (page_size - 1)) != 0) {
        return fault(err, CHRONOS_CORRUPT, 0, "the header of data.mdb names an impossible page size");
    }
    if (last_page < 1 || last_page > (uint64_t)INT64_MAX / page_size) {
        return fault(err, CHRONOS_CORRUPT, 0, "the header of data.mdb names an impossible number of pages");
    }
    return CHRONOS_OK;
}

/* Of the meta page that LMDB goes by, the one of the newer transaction. The other may be half of one whose write failed: LMDB then
 * puts back its transaction and last page alone. */
static int32_t check_trees(const unsigned char *meta, struct chronos_error *err)
{
    uint64_t last_page = read_u64(meta + LMDB_AT_LAST_PAGE);

    if (!tree_is_sane(meta + LMDB_AT_FREE_TREE, MDB_INTEGERKEY, last_page) ||
        !tree_is_sane(meta + LMDB_AT_MAIN_TREE, 0, last_page)) {
        return fault(err, CHRONOS_CORRUPT, 0, "the header of data.mdb describes trees that cannot exist; restore this node from a "
                     "backup");
    }
    return CHRONOS_OK;
}

static int32_t check_header(int fd, struct chronos_error *err)
{
    unsigned char metas[2][LMDB_META_BYTES];
    uint32_t page_size = 0;

    for (int page = 0; page < 2; page++) {
        unsigned char *meta = metas[page];
        ssize_t size = pread(fd, meta, LMDB_META_BYTES, (off_t)page * page_size);
        int32_t status;

        if (size < 0) {
            return fault(err, CHRONOS_IO, errno, "read the header of data.mdb: %s", strerror(errno));
        }
        if (size < LMDB_META_BYTES) {
            return fault(err, CHRONOS_CORRUPT, 0, "data.mdb is shorter than its header");
        }
        if (page == 0) {
            page_size = read_u32(meta + LMDB_AT_PAGE_SIZE);
        }
        status = check_meta(meta, page_size, err);
        if (status != CHRONOS_OK) {
            return status;
        }
    }
    return check_trees(metas[read_u64(metas[1] + LMDB_AT_TXN) > read_u64(metas[0] + LMDB_AT_TXN)], err);
}

/* After a failed sync the page cache may show what the disk lacks: write it out, then forget it, before trusting it. */
static int32_t settle(int fd, struct chronos_error *err)
{
    if (fsync(fd) != 0) {
        return fault(err, CHRONOS_IO, errno, "sync data.mdb before opening it: %s", strerror(errno));
    }
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); /* best effort: some file systems keep their pages */
    return CHRONOS_OK;
}

static int write_format_row(MDB_env *env)
{
    unsigned char row[FORMAT_ROW_SIZE] = {0};
    MDB_val key = {.mv_size = sizeof(FORMAT_KEY) - 1, .mv_data = (void *)(uintptr_t)FORMAT_KEY};
    MDB_val value = {.mv_size = sizeof(row), .mv_data = row};
    MDB_txn *txn;
    MDB_dbi meta;
    int rc = mdb_txn_begin(env, NULL, 0, &txn);

    if (rc != 0) {
        return rc;
    }
    memcpy(row, FORMAT_MARK, FORMAT_MARK_SIZE);
    row[FORMAT_MARK_SIZE] = STORE_FORMAT_VERSION;
    rc = mdb_dbi_open(txn, META_TABLE, MDB_CREATE, &meta);
    if (rc == 0) {
        rc = mdb_put(txn, meta, &key, &value, 0);
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

static int build_file(const char *path, uint64_t map_size)
{
    MDB_env *env;
    int rc = mdb_env_create(&env);

    if (rc != 0) {
        return rc;
    }
    rc = mdb_env_set_mapsize(env, map_size);
    if (rc == 0) {
        rc = mdb_env_set_maxdbs(env, 1);
    }
    if (rc == 0) { /* nobody else knows this name yet: no lock file */
        rc = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0600);
    }
    if (rc == 0) {
        rc = write_format_row(env);
    }
    mdb_env_close(env);
    return rc;
}

static int32_t sync_directory(const char *dir, struct chronos_error *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int saved = errno;

    if (fd >= 0 && fsync(fd) == 0) {
        (void)close(fd); /* only read */
        return CHRONOS_OK;
    }
    if (fd >= 0) {
        saved = errno;
        (void)close(fd); /* the sync's error is the one to tell */
    }
    return fault(err, CHRONOS_IO, saved, "sync the directory %s: %s", dir, strerror(saved));
}

static int32_t create_file(const char *dir, const char *path, uint64_t map_size, struct chronos_error *err)
{
    char fresh[4096];
    int32_t status = path_in(fresh, sizeof(fresh), dir, "data.mdb.new", err);
    int rc;

    if (status != CHRONOS_OK) {
        return status;
    }
    if (unlink(fresh) != 0 && errno != ENOENT) { /* left by a crash before the rename */
        return fault(err, CHRONOS_IO, errno, "remove %s: %s", fresh, strerror(errno));
    }
    rc = build_file(fresh, map_size);
    if (rc != 0) {
        (void)unlink(fresh); /* the next open removes it as well */
        return fault_lmdb(err, rc, "create data.mdb");
    }
    if (rename(fresh, path) != 0) {
        return fault(err, CHRONOS_IO, errno, "rename %s: %s", fresh, strerror(errno));
    }
    return sync_directory(dir, err);
}

/* LMDB makes lock.mdb as a hole and writes it through a mapping: on a full disk that is a SIGBUS. Reserve it first. */
static int32_t reserve_lock_file(const char *dir, uint32_t reader_slots, struct chronos_error *err)
{
    off_t wanted = 4096 + (off_t)reader_slots * 64;
    char path[4096];
    int32_t status = path_in(path, sizeof(path), dir, "lock.mdb", err);
    int rc;
    int fd;

    if (status != CHRONOS_OK) {
        return status;
    }
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return fault(err, errno == ENOSPC ? CHRONOS_NOSPACE : CHRONOS_IO, errno, "open %s: %s", path, strerror(errno));
    }
    rc = posix_fallocate(fd, 0, wanted);
    (void)close(fd); /* holds nothing that must reach the disk: rebuilt at every start */
    if (rc != 0 && rc != EOPNOTSUPP && rc != EINVAL) {
        return fault(err, rc == ENOSPC ? CHRONOS_NOSPACE : CHRONOS_IO, rc, "reserve %s: %s", path, strerror(rc));
    }
    return CHRONOS_OK;
}

int32_t format_prepare(const char *dir, uint64_t map_size, uint32_t reader_slots, struct chronos_error *err)
{
    char path[4096];
    int32_t status = path_in(path, sizeof(path), dir, "data.mdb", err);
    int fd;

    if (status != CHRONOS_OK) {
        return status;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0) {
        status = settle(fd, err);
        if (status == CHRONOS_OK) {
            status = check_header(fd, err);
        }
        (void)close(fd); /* only read */
    } else if (errno == ENOENT) {
        status = create_file(dir, path, map_size, err);
    } else {
        status = fault(err, CHRONOS_IO, errno, "open %s: %s", path, strerror(errno));
    }
    return status == CHRONOS_OK ? reserve_lock_file(dir, reader_slots, err) : status;
}

/* How many of the pages from `first` to `last` the free list names. */
static int count_free_pages(MDB_txn *txn, uint64_t first, uint64_t last, uint64_t *count)
{
    const MDB_dbi free_list = 0; /* LMDB's own table: transaction id to {n, page numbers} */
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val value;
    int rc = mdb_cursor_open(txn, free_list, &cursor);

    if (rc != 0) {
        return rc;
    }
    *count = 0;
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        const unsigned char *pages = value.mv_data;
        uint64_t n = value.mv_size >= 8 ? read_u64(pages) : 0;

        for (uint64_t i = 1; i <= n && (i + 1) * 8 <= value.mv_size; i++) {
            uint64_t page = read_u64(pages + i * 8);

            *count += page >= first && page <= last;
        }
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Reading a mapped page beyond the end of the file is a SIGBUS. LMDB may rightly leave free pages at the end unwritten;
 * so grow the file to its full length, and if a missing page was in use, refuse (and undo). */
static int32_t check_length(struct store *store, MDB_txn *txn, struct chronos_error *err)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat file;
    uint64_t present;
    uint64_t missing_free = 0;
    int fd;
    int rc = mdb_env_info(store->env, &info);

    if (rc == 0) {
        rc = mdb_env_stat(store->env, &stat);
    }
    if (rc == 0) {
        rc = mdb_env_get_fd(store->env, &fd);
    }
    if (rc != 0) {
        return fault_lmdb(err, rc, "examine data.mdb");
    }
    if (fstat(fd, &file) != 0) {
        return fault(err, CHRONOS_IO, errno, "examine data.mdb: %s", strerror(errno));
    }
    present = (uint64_t)file.st_size / stat.ms_psize;
    if (present > info.me_last_pgno) {
        return CHRONOS_OK;
    }
    if (ftruncate(fd, (off_t)((info.me_last_pgno + 1) * stat.ms_psize)) != 0) {
        return fault(err, errno == ENOSPC ? CHRONOS_NOSPACE : CHRONOS_IO, errno, "extend data.mdb: %s",
                     strerror(errno));
    }
    rc = count_free_pages(txn, present, info.me_last_pgno, &missing_free);
    if (rc != 0 || missing_free != info.me_last_pgno + 1 - present) {
        if (ftruncate(fd, file.st_size) != 0) { /* leave the evidence as it was found */
            report(store, CHRONOS_LOG_WARN, "data.mdb: cannot undo its extension: %s", strerror(errno));
        }
        return fault(err, CHRONOS_CORRUPT, 0, "data.mdb is cut off: %llu of its %zu pages are missing",
                     (unsigned long long)(info.me_last_pgno + 1 - present), info.me_last_pgno + 1);
    }
    return CHRONOS_OK;
}

static int32_t check_format_row(struct store *store, MDB_txn *txn, struct chronos_error *err)
{
    MDB_val key = {.mv_size = sizeof(FORMAT_KEY) - 1, .mv_data = (void *)(uintptr_t)FORMAT_KEY};
    MDB_val row;
    uint32_t version;
    int rc = mdb_dbi_open(txn, META_TABLE, 0, &store->meta);

    if (rc == 0) {
        rc = mdb_get(txn, store->meta, &key, &row);
    }
    if (rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE) {
        return fault(err, CHRONOS_CORRUPT, 0, "data.mdb is an LMDB file, but not a store of Chronos");
    }
    if (rc != 0) {
        return fault_lmdb(err, rc, "read the format of data.mdb");
    }
    if (row.mv_size != FORMAT_ROW_SIZE || memcmp(row.mv_data, FORMAT_MARK, FORMAT_MARK_SIZE) != 0) {
        return fault(err, CHRONOS_CORRUPT, 0, "the format row of data.mdb is damaged");
    }
    version = read_u32((const unsigned char *)row.mv_data + FORMAT_MARK_SIZE);
    if (version > STORE_FORMAT_VERSION) {
        return fault(err, CHRONOS_UNSUPPORTED, 0,
                     "data.mdb has format %u; this version reads up to %d: upgrade Chronos", version,
                     STORE_FORMAT_VERSION);
    }
    if (version != STORE_FORMAT_VERSION) {
        return fault(err, CHRONOS_CORRUPT, 0, "data.mdb names format %u, which never existed", version);
    }
    return CHRONOS_OK;
}

int32_t format_verify(struct store *store, struct chronos_error *err)
{
    MDB_txn *txn;
    int32_t status;
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);

    if (rc != 0) {
        return fault_lmdb(err, rc, "read data.mdb");
    }
    status = check_length(store, txn, err);
    if (status == CHRONOS_OK) {
        status = check_format_row(store, txn, err);
    }
    if (status != CHRONOS_OK) {
        mdb_txn_abort(txn);
        return status;
    }
    rc = mdb_txn_commit(txn); /* keeps the table handle */
    return rc == 0 ? CHRONOS_OK : fault_lmdb(err, rc, "read data.mdb");
}
