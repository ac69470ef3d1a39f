/* How fast a storage backend is here: one JSON line a measurement. Numbers of one machine, for comparing backends on
 * it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "driver.h"

enum { ROWS = 200000, SMALL_ROW = 48, LOG_ROW = 256 };

static double now_seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void print_line(const struct kit *kit, const char *name, uint64_t operations, double seconds)
{
    (void)printf("{\"component\": \"%s\", \"bench\": \"%s\", \"operations\": %llu, \"seconds\": %.3f, "
                 "\"per_second\": %.0f, \"us_each\": %.2f}\n",
                 kit->component->id, name, (unsigned long long)operations, seconds, (double)operations / seconds,
                 seconds * 1e6 / (double)operations);
    (void)fflush(stdout); /* one line at a time, for those who watch */
}

/* Appends `batch` entries and one small row a synced transaction, as the Raft log does. */
static void bench_log(struct kit *kit, const char *name, unsigned batch, uint64_t transactions)
{
    unsigned char row[LOG_ROW] = {1};
    struct driver driver;
    uint64_t index = 0;
    uint32_t entries;
    uint32_t meta;
    double start;

    driver_open(&driver, kit, CHRONOS_STORAGE_LOG, kit_directory(kit, name), 1);
    entries = driver_table(&driver, "entries", CHRONOS_TABLE_SEQUENTIAL);
    meta = driver_table(&driver, "meta", CHRONOS_TABLE_SMALL_ROWS);
    start = now_seconds();
    for (uint64_t i = 0; i < transactions; i++) {
        struct chronos_txn *txn = driver_begin(&driver, CHRONOS_TXN_WRITE);

        driver_put(&driver, txn, meta, TEXT("hard"), BYTES(&i, sizeof(i)));
        for (unsigned j = 0; j < batch; j++) {
            unsigned char key[8];

            number_key(++index, key);
            driver_must(&driver, driver.ops->put(txn, entries, BYTES(key, 8), BYTES(row, sizeof(row)),
                                                 CHRONOS_PUT_APPEND,
                                                 &driver.error),
                        "put");
        }
        driver_commit(&driver, txn);
    }
    print_line(kit, name, index, now_seconds() - start);
    driver_close(&driver);
}

static void load_rows(struct driver *driver, uint32_t table)
{
    unsigned char row[SMALL_ROW] = {1};

    for (uint64_t i = 0; i < ROWS; i += 10000) {
        struct chronos_txn *txn = driver_begin(driver, CHRONOS_TXN_WRITE | CHRONOS_TXN_LAZY);

        for (uint64_t j = i; j < i + 10000; j++) {
            unsigned char key[8];

            number_key(j, key);
            driver_put(driver, txn, table, BYTES(key, 8), BYTES(row, sizeof(row)));
        }
        driver_commit(driver, txn);
    }
    driver_must(driver, driver->ops->sync(driver->self, &driver->error), "sync");
}

/* Small rows among many, 100 a LAZY transaction, as the applier writes marks. */
static void bench_updates(struct driver *driver, uint32_t table, const char *name, bool adjacent, uint64_t transactions)
{
    unsigned char row[SMALL_ROW] = {2};
    double start = now_seconds();
    uint64_t at = 0;

    for (uint64_t i = 0; i < transactions; i++) {
        struct chronos_txn *txn = driver_begin(driver, CHRONOS_TXN_WRITE | CHRONOS_TXN_LAZY);

        for (unsigned j = 0; j < 100; j++) {
            unsigned char key[8];

            at = adjacent ? (at + 1) % ROWS : random_below(&driver->kit->random, ROWS);
            number_key(at, key);
            driver_put(driver, txn, table, BYTES(key, 8), BYTES(row, sizeof(row)));
        }
        driver_commit(driver, txn);
    }
    print_line(driver->kit, name, transactions * 100, now_seconds() - start);
}

static void bench_gets(struct driver *driver, uint32_t table, const char *name, unsigned per_transaction,
                       uint64_t count)
{
    double start = now_seconds();

    for (uint64_t i = 0; i < count; i += per_transaction) {
        struct chronos_txn *txn = driver_begin(driver, CHRONOS_TXN_READ);

        for (unsigned j = 0; j < per_transaction; j++) {
            struct chronos_bytes value;
            unsigned char key[8];

            number_key(random_below(&driver->kit->random, ROWS), key);
            KIT_EXPECT(driver->kit, driver_get(driver, txn, table, BYTES(key, 8), &value), "a row is missing");
        }
        driver->ops->abort(txn);
    }
    print_line(driver->kit, name, count, now_seconds() - start);
}

static void bench_scan(struct driver *driver, uint32_t table, const char *name, int rounds)
{
    double start = now_seconds();
    uint64_t seen = 0;

    for (int i = 0; i < rounds; i++) {
        struct chronos_txn *txn = driver_begin(driver, CHRONOS_TXN_READ);
        struct chronos_cursor *cursor = driver_cursor(driver, txn, table);
        struct chronos_bytes key;
        struct chronos_bytes value;

        while (driver_move(driver, cursor, CHRONOS_CURSOR_NEXT, NULL, &key, &value)) {
            seen++;
        }
        driver->ops->cursor_close(cursor);
        driver->ops->abort(txn);
    }
    print_line(driver->kit, name, seen, now_seconds() - start);
}

static void bench_state(struct kit *kit)
{
    struct driver driver;
    uint32_t blobs;
    uint32_t numbers;

    driver_open(&driver, kit, CHRONOS_STORAGE_STATE, kit_directory(kit, "state"), 4);
    blobs = driver_table(&driver, "blobs", CHRONOS_TABLE_SMALL_ROWS);
    numbers = driver_table(&driver, "numbers", CHRONOS_TABLE_SEQUENTIAL | CHRONOS_TABLE_SMALL_ROWS);
    load_rows(&driver, blobs);
    load_rows(&driver, numbers);
    bench_updates(&driver, blobs, "update-random-100-lazy", false, 300);
    bench_updates(&driver, blobs, "update-adjacent-100-lazy", true, 1000);
    bench_updates(&driver, numbers, "update-random-100-lazy-sequential", false, 300);
    bench_updates(&driver, numbers, "update-adjacent-100-lazy-sequential", true, 1000);
    bench_gets(&driver, blobs, "get-one-a-transaction", 1, 200000);
    bench_gets(&driver, blobs, "get-100-a-transaction", 100, 500000);
    bench_gets(&driver, numbers, "get-one-a-transaction-sequential", 1, 200000);
    bench_scan(&driver, blobs, "scan", 5);
    bench_scan(&driver, numbers, "scan-sequential", 5);
    driver_close(&driver);
}

void bench_run(struct kit *kit)
{
    bench_log(kit, "log-append-1-synced", 1, 1500);
    bench_log(kit, "log-append-100-synced", 100, 1000);
    bench_state(kit);
}
