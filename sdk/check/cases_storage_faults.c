/* Storage under attack: killed in commit, full disk, little memory. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "driver.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif
#ifndef UNDER_SANITIZER
#define UNDER_SANITIZER 0
#endif

/* ---- killed in commit ---- */

enum { KILL_ROUNDS = 30, KILL_WINDOW = 60, KILL_DELAY_MAX_US = 40000, KILL_ROW_MAX = 9000 };

/* Shared between the writer and the one who kills it. */
struct progress {
    atomic_ulong begun;   /* the number of the newest transaction that may be visible */
    atomic_ulong durable; /* the newest one whose durable commit was acknowledged */
    atomic_bool failed;
    char message[256];
};

/* The row of a transaction: its size and its bytes follow from the number alone. */
static size_t row_of(uint64_t number, unsigned char *row)
{
    uint64_t random = number;
    size_t size = random_next(&random) % 10 == 0 ? random_next(&random) % KILL_ROW_MAX : random_next(&random) % 200;

    for (size_t i = 0; i < size; i++) {
        row[i] = (unsigned char)(number + i);
    }
    return size;
}

/* State after transaction n: table "head" says n; "rows" holds the rows of (n - window, n]. */
static void write_transaction(struct driver *driver, const uint32_t tables[2], uint64_t number, bool lazy)
{
    static unsigned char row[KILL_ROW_MAX];
    struct chronos_txn *txn = driver_begin(driver, CHRONOS_TXN_WRITE | (lazy ? CHRONOS_TXN_LAZY : 0u));
    unsigned char key[8];

    driver_put(driver, txn, tables[0], TEXT("head"), BYTES(&number, sizeof(number)));
    number_key(number, key);
    driver_put(driver, txn, tables[1], BYTES(key, 8), BYTES(row, row_of(number, row)));
    if (number > KILL_WINDOW) {
        number_key(number - KILL_WINDOW, key);
        driver_del(driver, txn, tables[1], BYTES(key, 8));
    }
    driver_commit(driver, txn);
}

static void open_for_kill(struct driver *driver, struct kit *kit, int32_t role, const char *dir, uint32_t tables[2])
{
    driver_open(driver, kit, role, dir, 2);
    tables[0] = driver_table(driver, "head", CHRONOS_TABLE_SMALL_ROWS);
    tables[1] = driver_table(driver, "rows", CHRONOS_TABLE_SEQUENTIAL);
}

/* Never returns: writes until it is killed. */
static _Noreturn void write_for_ever(struct kit *kit, int32_t role, const char *dir, uint64_t number,
                                     struct progress *progress)
{
    uint64_t random = kit->seed + number;
    struct driver driver;
    uint32_t tables[2];

    open_for_kill(&driver, kit, role, dir, tables);
    for (;;) {
        bool lazy = role == CHRONOS_STORAGE_STATE && random_below(&random, 4) != 0;

        number++;
        atomic_store(&progress->begun, number);
        write_transaction(&driver, tables, number, lazy);
        if (!lazy) {
            atomic_store(&progress->durable, number);
        }
    }
}

static _Noreturn void be_the_writer(struct kit *kit, int32_t role, const char *dir, uint64_t head,
                                    struct progress *progress)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* if it fails, the group is killed with the case */
    if (setjmp(kit->out) == 0) {
        write_for_ever(kit, role, dir, head, progress);
    }
    (void)snprintf(progress->message, sizeof(progress->message), "%.250s", kit->message); /* cut */
    atomic_store(&progress->failed, true);
    _exit(1);
}

/* What the store says it is at; and that it is exactly that. */
static uint64_t verify_after_kill(struct kit *kit, int32_t role, const char *dir)
{
    static unsigned char row[KILL_ROW_MAX];
    struct chronos_cursor *cursor;
    struct chronos_bytes key;
    struct chronos_bytes value;
    struct chronos_txn *txn;
    struct driver driver;
    uint32_t tables[2];
    unsigned char wanted[8];
    uint64_t head = 0;
    uint64_t number;

    open_for_kill(&driver, kit, role, dir, tables);
    txn = driver_begin(&driver, CHRONOS_TXN_READ);
    if (driver_get(&driver, txn, tables[0], TEXT("head"), &value)) {
        KIT_EXPECT(kit, value.size == sizeof(head), "the head row has %llu bytes", (unsigned long long)value.size);
        memcpy(&head, value.data, sizeof(head));
    }
    number = head > KILL_WINDOW ? head - KILL_WINDOW : 0;
    cursor = driver_cursor(&driver, txn, tables[1]);
    while (driver_move(&driver, cursor, CHRONOS_CURSOR_NEXT, NULL, &key, &value)) {
        number_key(++number, wanted);
        KIT_EXPECT(kit, bytes_equal(&key, BYTES(wanted, 8)) && bytes_equal(&value, BYTES(row, row_of(number, row))),
                   "after a kill the store mixes commits: head %llu, wrong row %llu", (unsigned long long)head,
                   (unsigned long long)number);
    }
    KIT_EXPECT(kit, number == head, "after a kill rows up to %llu stand beside head %llu", (unsigned long long)number,
               (unsigned long long)head);
    driver.ops->cursor_close(cursor);
    driver.ops->abort(txn);
    driver_close(&driver);
    return head;
}

static void kill_once(struct kit *kit, int32_t role, const char *dir, uint64_t head, struct progress *progress)
{
    struct timespec delay = {.tv_nsec = (long)random_below(&kit->random, KILL_DELAY_MAX_US) * 1000};
    pid_t child = fork();
    int status = 0;

    KIT_EXPECT(kit, child >= 0, "cannot fork: %s", strerror(errno));
    if (child == 0) {
        be_the_writer(kit, role, dir, head, progress);
    }
    (void)nanosleep(&delay, NULL); /* the moment of the kill is what is random here; nothing waits for it */
    (void)kill(child, SIGKILL);    /* ended already: told by progress->failed */
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    KIT_EXPECT(kit, !atomic_load(&progress->failed), "%s", progress->message);
    KIT_EXPECT(kit, WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the writer died of its own (wait status %d)",
               status);
}

static void run_kill(struct kit *kit, int32_t role)
{
    const char *dir = kit_directory(kit, "kill");
    struct progress *progress =
        mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t head = 0;

    KIT_EXPECT(kit, progress != MAP_FAILED, "cannot map memory: %s", strerror(errno));
    for (int round = 0; round < KILL_ROUNDS; round++) {
        kill_once(kit, role, dir, head, progress);
        head = verify_after_kill(kit, role, dir);
        KIT_EXPECT(kit, head >= atomic_load(&progress->durable),
                   "commit %lu was acknowledged as durable; %llu is there",
                   atomic_load(&progress->durable), (unsigned long long)head);
        KIT_EXPECT(kit, head <= atomic_load(&progress->begun), "the store is at %llu, but only %lu was begun",
                   (unsigned long long)head, atomic_load(&progress->begun));
    }
    (void)munmap(progress, sizeof(*progress)); /* the whole mapping: cannot fail */
    kit_note(kit, "%d kills, %llu commits", KILL_ROUNDS, (unsigned long long)head);
}

static void check_kill_state(struct kit *kit)
{
    run_kill(kit, CHRONOS_STORAGE_STATE);
}

static void check_kill_log(struct kit *kit)
{
    run_kill(kit, CHRONOS_STORAGE_LOG);
}

/* ---- full disk ---- */

static void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        (void)!write(fd, text, strlen(text)); /* what it is for fails visibly: the mount */
        (void)close(fd);
    }
}

/* A file system of its own, visible to this process only. Skips the case where the kernel does not let us. */
static const char *small_disk(struct kit *kit, const char *name, unsigned kib)
{
    const char *dir = kit_directory(kit, name);
    char options[64];
    char map[64];
    unsigned user = (unsigned)geteuid();
    unsigned group = (unsigned)getegid();

    if (unshare(CLONE_NEWNS) != 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
            kit_skip(kit, "needs root, or user namespaces, to mount a small file system: %s", strerror(errno));
        }
        (void)snprintf(map, sizeof(map), "0 %u 1", user); /* fits */
        write_text("/proc/self/setgroups", "deny");
        write_text("/proc/self/uid_map", map);
        (void)snprintf(map, sizeof(map), "0 %u 1", group); /* fits */
        write_text("/proc/self/gid_map", map);
    }
    (void)snprintf(options, sizeof(options), "size=%uk,mode=0700", kib); /* fits */
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 || mount("tmpfs", dir, "tmpfs", 0, options) != 0) {
        kit_skip(kit, "needs root to mount a small file system: %s", strerror(errno));
    }
    return dir;
}

static void make_ballast(struct kit *kit, const char *path, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    KIT_EXPECT(kit, fd >= 0 && posix_fallocate(fd, 0, (off_t)size) == 0, "cannot reserve %zu bytes in %s", size, path);
    (void)close(fd); /* nothing was written */
}

/* One transaction of several rows; its status, OK or NOSPACE. All rows of one transaction carry its number. */
static int32_t fill_once(struct driver *driver, uint32_t table, uint64_t number, size_t row_size)
{
    enum { ROWS = 4 };
    static unsigned char row[64 * 1024];
    struct chronos_txn *txn = NULL;
    int32_t status = driver->ops->begin(driver->self, CHRONOS_TXN_WRITE, &txn, &driver->error);

    if (status != CHRONOS_OK) {
        return status;
    }
    memset(row, (int)(number % 251), row_size);
    for (int i = 0; i < ROWS && status == CHRONOS_OK; i++) {
        unsigned char key[8];

        number_key(number * ROWS + (uint64_t)i, key);
        status = driver->ops->put(txn, table, BYTES(key, 8), BYTES(row, row_size), 0, &driver->error);
    }
    if (status != CHRONOS_OK && number % 2 == 0) { /* both ways out of a failed transaction */
        driver->ops->abort(txn);
        return status;
    }
    if (status != CHRONOS_OK) {
        driver_must_be(driver, driver->ops->commit(txn, &driver->error), status, "commit after a failed put");
        return status;
    }
    return driver->ops->commit(txn, &driver->error);
}

/* Exactly the rows of the transactions [first, first + count). */
static void verify_filled(struct driver *driver, uint32_t table, uint64_t first, uint64_t count)
{
    enum { ROWS = 4 };
    struct chronos_txn *txn = driver_begin(driver, CHRONOS_TXN_READ);
    struct chronos_cursor *cursor = driver_cursor(driver, txn, table);
    struct chronos_bytes key;
    struct chronos_bytes value;
    uint64_t next = first * ROWS;

    while (driver_move(driver, cursor, CHRONOS_CURSOR_NEXT, NULL, &key, &value)) {
        unsigned char wanted[8];

        number_key(next, wanted);
        KIT_EXPECT(driver->kit, bytes_equal(&key, BYTES(wanted, 8)), "row %llu is missing, or one too many is there",
                   (unsigned long long)next);
        KIT_EXPECT(driver->kit, value.size > 0 && *(const unsigned char *)value.data == next / ROWS % 251,
                   "row %llu has another value", (unsigned long long)next);
        next++;
    }
    KIT_EXPECT(driver->kit, next == (first + count) * ROWS, "%llu rows are visible, not %llu",
               (unsigned long long)(next - first * ROWS), (unsigned long long)(count * ROWS));
    driver->ops->cursor_close(cursor);
    driver->ops->abort(txn);
}

static uint64_t fill_until_full(struct driver *driver, uint32_t table, uint64_t number)
{
    enum { MOST = 10000 };
    static const size_t SIZES[] = {20000, 3000, 60};
    uint64_t refused = 0;

    /* Large rows first, then smaller ones, until not even these fit. */
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
        for (;;) {
            int32_t status = fill_once(driver, table, number, SIZES[i]);

            if (status == CHRONOS_NOSPACE) {
                refused++;
                verify_filled(driver, table, 0, number);
                break;
            }
            driver_must(driver, status, "write to a disk that is filling up");
            number++;
            KIT_EXPECT(driver->kit, number < MOST, "the disk never gets full");
        }
    }
    KIT_EXPECT(driver->kit, refused > 0, "the disk never gets full");
    return number;
}

static void delete_transactions(struct driver *driver, uint32_t table, uint64_t count)
{
    enum { ROWS = 4 };
    struct chronos_txn *txn = driver_begin(driver, CHRONOS_TXN_WRITE);

    for (uint64_t i = 0; i < count * ROWS; i++) {
        unsigned char key[8];

        number_key(i, key);
        driver_del(driver, txn, table, BYTES(key, 8));
    }
    driver_commit(driver, txn);
}

static void run_full_disk(struct kit *kit, int32_t role)
{
    const char *disk = small_disk(kit, "disk", 6 * 1024);
    char ballast[KIT_PATH_SIZE];
    char dir[KIT_PATH_SIZE];
    struct driver driver;
    uint32_t table;
    uint64_t count;

    (void)snprintf(ballast, sizeof(ballast), "%.900s/ballast", disk); /* the scratch directory's name is short */
    (void)snprintf(dir, sizeof(dir), "%.900s/store", disk);
    KIT_EXPECT(kit, mkdir(dir, 0700) == 0, "cannot make a directory: %s", strerror(errno));
    make_ballast(kit, ballast, 2 * 1024 * 1024);
    driver_open(&driver, kit, role, dir, 2);
    table = driver_table(&driver, "rows", CHRONOS_TABLE_SEQUENTIAL);
    count = fill_until_full(&driver, table, 0);
    KIT_EXPECT(kit, count > 8, "only %llu transactions fit", (unsigned long long)count);

    /* The operator makes room: the same instance goes on. */
    KIT_EXPECT(kit, unlink(ballast) == 0, "cannot remove the ballast: %s", strerror(errno));
    delete_transactions(&driver, table, count / 2);
    driver_must(&driver, fill_once(&driver, table, count, 3000), "write after room was made");
    verify_filled(&driver, table, count / 2, count + 1 - count / 2);
    driver_close(&driver);
    driver_open(&driver, kit, role, dir, 2);
    table = driver_table(&driver, "rows", CHRONOS_TABLE_SEQUENTIAL);
    verify_filled(&driver, table, count / 2, count + 1 - count / 2);
    driver_close(&driver);
    kit_note(kit, "full after %llu transactions", (unsigned long long)count);
}

static void check_full_disk_state(struct kit *kit)
{
    run_full_disk(kit, CHRONOS_STORAGE_STATE);
}

static void check_full_disk_log(struct kit *kit)
{
    run_full_disk(kit, CHRONOS_STORAGE_LOG);
}

/* Too small a disk from the start: errors, never a signal, at each size. */
static void check_tiny_disk(struct kit *kit)
{
    unsigned opened = 0;
    unsigned refused = 0;

    for (unsigned kib = 4; kib <= 128; kib += 4) {
        struct driver driver;
        char name[32];
        const char *dir;
        int32_t status;

        (void)snprintf(name, sizeof(name), "tiny-%u", kib); /* fits */
        dir = small_disk(kit, name, kib);
        driver_create(&driver, kit, &kit->host.table);
        status = driver_try_open(&driver, CHRONOS_STORAGE_STATE, dir, 8);
        KIT_EXPECT(kit, status == CHRONOS_OK || status == CHRONOS_NOSPACE || status == CHRONOS_IO,
                   "open on a disk of %u KiB: %s: %s", kib, status_name(status), driver.error.msg);
        if (status == CHRONOS_OK) {
            uint32_t id;

            status = driver.ops->table(driver.self, "rows", 0, &id, &driver.error);
            KIT_EXPECT(kit, status == CHRONOS_OK || status == CHRONOS_NOSPACE || status == CHRONOS_IO,
                       "a table on a disk of %u KiB: %s: %s", kib, status_name(status), driver.error.msg);
            driver.ops->close(driver.self);
            opened++;
        } else {
            refused++;
        }
        kit->component->destroy(driver.self);
        (void)umount2(dir, MNT_DETACH); /* ours alone; the namespace ends with the process */
    }
    kit_note(kit, "%u sizes opened, %u refused", opened, refused);
}

/* ---- little memory ---- */

enum { SCAN_ROW = 64 * 1024, SCAN_ROWS = 4096, SCAN_BATCH = 64, HEAP_LIMIT = 32 * 1024 * 1024 };

static uint64_t data_size_now(void)
{
    unsigned long kib = 0;
    char line[256];
    FILE *file = fopen("/proc/self/status", "re");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "VmData: %lu kB", &kib) == 1) {
            break;
        }
    }
    if (file != NULL) {
        (void)fclose(file); /* only read */
    }
    return (uint64_t)kib * 1024;
}

static void check_scan(struct kit *kit)
{
    static unsigned char row[SCAN_ROW];
    struct rlimit limit;
    struct chronos_cursor *cursor;
    struct chronos_bytes key;
    struct chronos_bytes value;
    struct chronos_txn *txn;
    struct driver driver;
    uint32_t table;
    uint64_t seen = 0;

    if (UNDER_SANITIZER) {
        kit_skip(kit, "a sanitizer's shadow memory does not fit under the limit");
    }
    limit.rlim_cur = limit.rlim_max = data_size_now() + HEAP_LIMIT;
    KIT_EXPECT(kit, setrlimit(RLIMIT_DATA, &limit) == 0, "cannot limit memory: %s", strerror(errno));
    driver_open(&driver, kit, CHRONOS_STORAGE_STATE, kit_directory(kit, "scan"), 2);
    table = driver_table(&driver, "rows", CHRONOS_TABLE_SEQUENTIAL);
    for (uint64_t i = 0; i < SCAN_ROWS; i += SCAN_BATCH) {
        txn = driver_begin(&driver, CHRONOS_TXN_WRITE | CHRONOS_TXN_LAZY);
        for (uint64_t j = i; j < i + SCAN_BATCH; j++) {
            unsigned char name[8];

            number_key(j, name);
            memcpy(row, name, 8);
            driver_put(&driver, txn, table, BYTES(name, 8), BYTES(row, sizeof(row)));
        }
        driver_commit(&driver, txn);
    }
    txn = driver_begin(&driver, CHRONOS_TXN_READ);
    cursor = driver_cursor(&driver, txn, table);
    while (driver_move(&driver, cursor, CHRONOS_CURSOR_NEXT, NULL, &key, &value)) {
        KIT_EXPECT(kit, value.size == SCAN_ROW && memcmp(value.data, key.data, 8) == 0, "row %llu is not what was put",
                   (unsigned long long)seen);
        seen++;
    }
    KIT_EXPECT(kit, seen == SCAN_ROWS, "the scan saw %llu of %d rows", (unsigned long long)seen, SCAN_ROWS);
    driver.ops->cursor_close(cursor);
    driver.ops->abort(txn);
    driver_close(&driver);
}

const struct kit_case CASES_STORAGE_FAULTS[] = {
    {"storage.kill-state", "killed at random moments: no mixture, no durable commit lost, role STATE",
     CHRONOS_KIND_STORAGE, 120, check_kill_state},
    {"storage.kill-log", "killed at random moments: no mixture, no commit lost, role LOG", CHRONOS_KIND_STORAGE, 120,
     check_kill_log},
    {"storage.full-disk-state", "full disk: NOSPACE, nothing visible, goes on when there is room, role STATE",
     CHRONOS_KIND_STORAGE, 60, check_full_disk_state},
    {"storage.full-disk-log", "full disk: NOSPACE, nothing visible, goes on when there is room, role LOG",
     CHRONOS_KIND_STORAGE, 60, check_full_disk_log},
    {"storage.tiny-disk", "open on a disk that is too small: an error, never a signal", CHRONOS_KIND_STORAGE, 60,
     check_tiny_disk},
    {"storage.scan", "256 MiB written and scanned with 32 MiB of heap", CHRONOS_KIND_STORAGE, 120, check_scan},
    {NULL, NULL, 0, 0, NULL},
};
