/* Storage and damaged files: flipped bits, destroyed and cut files, files of a later version. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver.h"

enum { DAMAGE_ROWS = 600 };

/* Rows in six commits, and `more` that change nothing: some backends write two headers in turn. */
static void make_store(struct kit *kit, const char *dir, int more)
{
    struct chronos_txn *txn;
    struct driver driver;
    uint32_t table;

    driver_open(&driver, kit, CHRONOS_STORAGE_STATE, dir, 2);
    table = driver_table(&driver, "rows", CHRONOS_TABLE_SEQUENTIAL);
    for (uint64_t i = 0; i < DAMAGE_ROWS; i += 100) {
        txn = driver_begin(&driver, CHRONOS_TXN_WRITE);
        for (uint64_t j = i; j < i + 100; j++) {
            unsigned char row[200];
            unsigned char key[8];

            number_key(j, key);
            memset(row, (int)(j % 251), sizeof(row));
            driver_put(&driver, txn, table, BYTES(key, 8), BYTES(row, sizeof(row)));
        }
        driver_commit(&driver, txn);
    }
    while (more-- > 0) {
        unsigned char row[200] = {0};
        unsigned char key[8] = {0};

        txn = driver_begin(&driver, CHRONOS_TXN_WRITE);
        driver_put(&driver, txn, table, BYTES(key, 8), BYTES(row, sizeof(row)));
        driver_commit(&driver, txn);
    }
    driver_close(&driver);
}

/* What became of a damaged store. */
enum verdict {
    VERDICT_UNHARMED,     /* every row is right */
    VERDICT_REFUSED,      /* open says CORRUPT or UNSUPPORTED */
    VERDICT_OTHER_ERROR,  /* open fails in another way */
    VERDICT_READ_ERROR,   /* open works, reading says CORRUPT or IO */
    VERDICT_WRONG_DATA,
    VERDICT_DIED
};

static enum verdict read_store(struct kit *kit, const char *dir)
{
    struct chronos_cursor *cursor = NULL;
    struct chronos_bytes key;
    struct chronos_bytes value;
    struct chronos_txn *txn = NULL;
    struct driver driver;
    uint32_t table;
    uint64_t seen = 0;
    int32_t status;

    driver_create(&driver, kit, &kit->host.table);
    status = driver_try_open(&driver, CHRONOS_STORAGE_STATE, dir, 2);
    if (status != CHRONOS_OK) {
        return status == CHRONOS_CORRUPT || status == CHRONOS_UNSUPPORTED ? VERDICT_REFUSED : VERDICT_OTHER_ERROR;
    }
    if (driver.ops->table(driver.self, "rows", CHRONOS_TABLE_SEQUENTIAL, &table, &driver.error) != CHRONOS_OK ||
        driver.ops->begin(driver.self, CHRONOS_TXN_READ, &txn, &driver.error) != CHRONOS_OK ||
        driver.ops->cursor_open(txn, table, &cursor, &driver.error) != CHRONOS_OK) {
        return VERDICT_READ_ERROR;
    }
    while ((status = driver.ops->cursor_move(cursor, CHRONOS_CURSOR_NEXT, NULL, &key, &value,
                                             &driver.error)) == CHRONOS_OK) {
        unsigned char wanted[8];

        number_key(seen, wanted);
        if (!bytes_equal(&key, BYTES(wanted, 8)) || value.size != 200 ||
            *(const unsigned char *)value.data != seen % 251) {
            return VERDICT_WRONG_DATA;
        }
        seen++;
    }
    if (status != CHRONOS_NOTFOUND) {
        return VERDICT_READ_ERROR;
    }
    return seen == DAMAGE_ROWS ? VERDICT_UNHARMED : VERDICT_WRONG_DATA;
}

/* In a process of its own: it may die. */
static enum verdict judge_store(struct kit *kit, const char *dir)
{
    pid_t child = fork();
    int status = 0;

    KIT_EXPECT(kit, child >= 0, "cannot fork: %s", strerror(errno));
    if (child == 0) {
        if (setjmp(kit->out) != 0) {
            _exit(VERDICT_OTHER_ERROR);
        }
        _exit((int)read_store(kit, dir));
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) && WEXITSTATUS(status) <= VERDICT_DIED ? (enum verdict)WEXITSTATUS(status) : VERDICT_DIED;
}

static void copy_file(struct kit *kit, const char *from, const char *to)
{
    unsigned char block[65536];
    int source = open(from, O_RDONLY | O_CLOEXEC);
    int target = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t size;

    KIT_EXPECT(kit, source >= 0 && target >= 0, "cannot copy %s: %s", from, strerror(errno));
    while ((size = read(source, block, sizeof(block))) > 0) {
        KIT_EXPECT(kit, write(target, block, (size_t)size) == size, "cannot write %s: %s", to, strerror(errno));
    }
    (void)close(source); /* only read */
    KIT_EXPECT(kit, size == 0 && close(target) == 0, "cannot copy %s: %s", from, strerror(errno));
}

/* A fresh copy of the store; returns its directory. */
static const char *copy_store(struct kit *kit, const char *from)
{
    const char *to = kit_directory(kit, "damaged");
    DIR *dir;
    const struct dirent *entry;

    remove_tree(to);
    to = kit_directory(kit, "damaged");
    dir = opendir(from);
    KIT_EXPECT(kit, dir != NULL, "cannot read %s: %s", from, strerror(errno));
    while ((entry = readdir(dir)) != NULL) {
        char source[KIT_PATH_SIZE * 2];
        char target[KIT_PATH_SIZE * 2];

        if (entry->d_name[0] != '.') {
            (void)snprintf(source, sizeof(source), "%s/%s", from, entry->d_name); /* both fit */
            (void)snprintf(target, sizeof(target), "%s/%s", to, entry->d_name);
            copy_file(kit, source, target);
        }
    }
    (void)closedir(dir); /* only read */
    return to;
}

static void change_bytes(struct kit *kit, const char *dir, const char *name, off_t at, size_t size, unsigned char flip)
{
    unsigned char bytes[4096];
    char path[KIT_PATH_SIZE * 2];
    ssize_t n;
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name); /* fits */
    fd = open(path, O_RDWR | O_CLOEXEC);
    KIT_EXPECT(kit, fd >= 0, "cannot open %s: %s", path, strerror(errno));
    n = pread(fd, bytes, size, at);
    for (ssize_t i = 0; i < n; i++) {
        bytes[i] ^= flip;
    }
    KIT_EXPECT(kit, n >= 0 && pwrite(fd, bytes, (size_t)n, at) == n, "cannot change %s: %s", path, strerror(errno));
    (void)close(fd); /* the next open tells */
}

/* The largest file: the one that holds the rows. */
static void find_data_file(struct kit *kit, const char *from, char *name, size_t name_size, off_t *ret_size)
{
    DIR *dir = opendir(from);
    const struct dirent *entry;

    KIT_EXPECT(kit, dir != NULL, "cannot read %s: %s", from, strerror(errno));
    *ret_size = 0;
    while ((entry = readdir(dir)) != NULL) {
        struct stat info;

        if (fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode) &&
            info.st_size > *ret_size) {
            *ret_size = info.st_size;
            (void)snprintf(name, name_size, "%s", entry->d_name); /* file names fit */
        }
    }
    (void)closedir(dir); /* only read */
    KIT_EXPECT(kit, *ret_size > 0, "the store has no file");
}

static void flip_header_bits(struct kit *kit, const char *dir, unsigned counts[VERDICT_DIED + 1])
{
    enum { HEADER = 96 }; /* where a file says what it is; no backend need checksum what follows */
    char name[256];
    off_t size;

    find_data_file(kit, dir, name, sizeof(name), &size);
    KIT_EXPECT(kit, judge_store(kit, copy_store(kit, dir)) == VERDICT_UNHARMED, "a copied store does not open");
    for (off_t at = 0; at < HEADER; at++) {
        const char *copy = copy_store(kit, dir);
        enum verdict verdict;

        change_bytes(kit, copy, name, at, 1, (unsigned char)(1u << random_below(&kit->random, 8)));
        verdict = judge_store(kit, copy);
        KIT_EXPECT(kit, verdict != VERDICT_DIED, "a flipped bit at byte %lld of %s kills the process", (long long)at,
                   name);
        KIT_EXPECT(kit, verdict != VERDICT_WRONG_DATA, "a flipped bit at byte %lld of %s yields wrong rows",
                   (long long)at, name);
        counts[verdict]++;
    }
}

static void check_flipped_bits(struct kit *kit)
{
    const char *even = kit_directory(kit, "even");
    const char *odd = kit_directory(kit, "odd");
    unsigned counts[VERDICT_DIED + 1] = {0};

    make_store(kit, even, 0);
    make_store(kit, odd, 1);
    flip_header_bits(kit, even, counts);
    flip_header_bits(kit, odd, counts);
    kit_note(kit, "single bits: %u unharmed, %u refused, %u other errors, %u found when read", counts[VERDICT_UNHARMED],
             counts[VERDICT_REFUSED], counts[VERDICT_OTHER_ERROR], counts[VERDICT_READ_ERROR]);
}

/* A header that is gone must be refused, and as CORRUPT; so must a file that is cut off, at the latest when it is
 * read. */
static void check_destroyed(struct kit *kit)
{
    const char *dir = kit_directory(kit, "sound");
    char path[KIT_PATH_SIZE * 2];
    char name[256];
    const char *copy;
    off_t size;

    make_store(kit, dir, 0);
    find_data_file(kit, dir, name, sizeof(name), &size);
    copy = copy_store(kit, dir);
    change_bytes(kit, copy, name, 0, 32, 0xA5);
    KIT_EXPECT(kit, judge_store(kit, copy) == VERDICT_REFUSED,
               "a store with a destroyed header is not refused as CORRUPT");
    copy = copy_store(kit, dir);
    change_bytes(kit, copy, name, 0, 4096, 0xff);
    KIT_EXPECT(kit, judge_store(kit, copy) == VERDICT_REFUSED,
               "a store with a destroyed page is not refused as CORRUPT");
    for (int eighth = 0; eighth < 8; eighth++) {
        enum verdict verdict;

        copy = copy_store(kit, dir);
        (void)snprintf(path, sizeof(path), "%s/%s", copy, name); /* fits */
        KIT_EXPECT(kit, truncate(path, size / 8 * eighth) == 0, "cannot cut %s: %s", path, strerror(errno));
        verdict = judge_store(kit, copy);
        KIT_EXPECT(kit, verdict != VERDICT_DIED, "a store cut to %d/8 kills the process", eighth);
        KIT_EXPECT(kit, eighth == 0 || (verdict != VERDICT_WRONG_DATA && verdict != VERDICT_UNHARMED),
                   "a store cut to %d/8 is served as if it were whole", eighth);
    }
}

/* Where each known backend writes its format; a stranger's is not known here. */
static const struct {
    const char *component;
    const char *file;
    const char *mark;     /* found in the file... */
    size_t distance;      /* ...this far before the last byte of the version (SQLite) or its first (LMDB) */
    unsigned char change; /* xor */
} FORMATS[] = {
    {"lmdb", "data.mdb", "chronos-lmdb\x01", 12, 0x03},
    {"sqlite", "store.db", "SQLite format 3", 63, 0x03},
};

static void raise_format(struct kit *kit, const char *dir, size_t format)
{
    static unsigned char bytes[1024 * 1024];
    const char *mark = FORMATS[format].mark;
    char path[KIT_PATH_SIZE * 2];
    const unsigned char *found = NULL;
    ssize_t size;
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", dir, FORMATS[format].file); /* fits */
    fd = open(path, O_RDONLY | O_CLOEXEC);
    KIT_EXPECT(kit, fd >= 0, "cannot open %s: %s", path, strerror(errno));
    size = read(fd, bytes, sizeof(bytes));
    (void)close(fd); /* only read */
    KIT_EXPECT(kit, size > 0, "cannot read %s", path);
    for (const unsigned char *at = bytes;; at++) {
        at = memmem(at, (size_t)(bytes + size - at), mark, strlen(mark));
        if (at == NULL) {
            break;
        }
        found = at;
        change_bytes(kit, dir, FORMATS[format].file, at - bytes + (off_t)FORMATS[format].distance, 1,
                     FORMATS[format].change);
    }
    KIT_EXPECT(kit, found != NULL, "%s has no format mark", path);
}

static void check_newer_format(struct kit *kit)
{
    const size_t count = sizeof(FORMATS) / sizeof(FORMATS[0]);
    const char *dir = kit_directory(kit, "newer");
    struct driver driver;
    size_t format = 0;

    while (format < count && strcmp(FORMATS[format].component, kit->component->id) != 0) {
        format++;
    }
    if (format == count) {
        kit_skip(kit, "where \"%s\" writes its format version is not known to this kit", kit->component->id);
    }
    make_store(kit, dir, 0);
    raise_format(kit, dir, format);
    driver_create(&driver, kit, &kit->host.table);
    driver_must_be(&driver, driver_try_open(&driver, CHRONOS_STORAGE_STATE, dir, 2), CHRONOS_UNSUPPORTED,
                   "open of a store that a later version wrote");
    kit->component->destroy(driver.self);
    kit_note(kit, "%.200s", driver.error.msg);
}

const struct kit_case CASES_STORAGE_DAMAGE[] = {
    {"storage.flipped-bits", "a flipped bit in the header: refused or unharmed", CHRONOS_KIND_STORAGE, 60,
     check_flipped_bits},
    {"storage.destroyed-file", "destroyed or cut files are refused", CHRONOS_KIND_STORAGE, 60, check_destroyed},
    {"storage.newer-format", "files of a later version are refused as UNSUPPORTED", CHRONOS_KIND_STORAGE, 20,
     check_newer_format},
    {NULL, NULL, 0, 0, NULL},
};
