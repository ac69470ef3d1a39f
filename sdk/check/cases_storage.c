/* Storage: limits, order, borrowed values, cursor rules, snapshots, readers. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "driver.h"

static void check_limits(struct kit *kit)
{
    struct chronos_storage_limits limits = {.struct_size = sizeof(limits)};
    struct driver driver;

    driver_open(&driver, kit, CHRONOS_STORAGE_STATE, kit_directory(kit, "limits"), 2);
    driver.ops->limits(driver.self, &limits);
    driver_close(&driver);
    KIT_EXPECT(kit, limits.max_key >= 511, "keys of at most %u bytes; 511 are required", limits.max_key);
    KIT_EXPECT(kit, limits.max_value >= 1024 * 1024, "values of at most %llu bytes; 1 MiB is required",
               (unsigned long long)limits.max_value);
    KIT_EXPECT(kit, limits.max_tables >= 32, "at most %u tables; 32 are required", limits.max_tables);
    kit_note(kit, "key %u, value %llu, tables %u", limits.max_key, (unsigned long long)limits.max_value,
             limits.max_tables);
}

static void put_sized(struct driver *driver, uint32_t table, unsigned char *memory, size_t key_size, size_t value_size)
{
    struct chronos_txn *txn = driver_begin(driver, CHRONOS_TXN_WRITE | CHRONOS_TXN_LAZY);
    struct chronos_bytes value;

    memset(memory, (int)(key_size % 251), value_size > key_size ? value_size : key_size);
    driver_put(driver, txn, table, BYTES(memory, key_size), BYTES(memory, value_size));
    KIT_EXPECT(driver->kit, driver_get(driver, txn, table, BYTES(memory, key_size), &value),
               "a transaction does not see its own put (key of %zu bytes)", key_size);
    driver_commit(driver, txn);
    txn = driver_begin(driver, CHRONOS_TXN_READ);
    KIT_EXPECT(driver->kit,
               driver_get(driver, txn, table, BYTES(memory, key_size), &value) &&
                   bytes_equal(&value, BYTES(memory, value_size)),
               "a key of %zu bytes with a value of %zu is not returned as it was put", key_size, value_size);
    driver->ops->abort(txn);
}

static void check_refused_sizes(struct driver *driver, uint32_t table, unsigned char *memory)
{
    struct chronos_storage_limits limits = {.struct_size = sizeof(limits)};
    struct chronos_txn *txn = driver_begin(driver, CHRONOS_TXN_WRITE | CHRONOS_TXN_LAZY);
    struct chronos_bytes value;

    driver->ops->limits(driver->self, &limits);
    driver_must_be(driver, driver->ops->put(txn, table, BYTES("", 0), TEXT("v"), 0, &driver->error), CHRONOS_INVALID,
                   "put of an empty key");
    if (limits.max_key < 1024 * 1024) {
        driver_must_be(driver, driver->ops->put(txn, table, BYTES(memory, limits.max_key + 1), TEXT("v"), 0,
                                                &driver->error),
                       CHRONOS_TOOBIG, "put of a key above max_key");
        KIT_EXPECT(driver->kit, !driver_get(driver, txn, table, BYTES(memory, limits.max_key + 1), &value),
                   "get finds a key above max_key");
    }
    /* A refusal is not a failure: the transaction goes on. */
    driver_put(driver, txn, table, TEXT("after"), TEXT("refusals"));
    driver_commit(driver, txn);
    txn = driver_begin(driver, CHRONOS_TXN_READ);
    KIT_EXPECT(driver->kit, driver_get(driver, txn, table, TEXT("after"), &value), "a put after refused ones is lost");
    driver->ops->abort(txn);
}

static void check_sizes(struct kit *kit)
{
    static const size_t KEYS[] = {1, 2, 7, 8, 9, 255, 256, 510, 511};
    static const size_t VALUES[] = {0, 1, 100, 2000, 4096, 5000, 65536, 1024 * 1024 - 1, 1024 * 1024};
    unsigned char *memory = malloc(2 * 1024 * 1024);
    struct driver driver;
    uint32_t table;

    KIT_EXPECT(kit, memory != NULL, "no memory");
    driver_open(&driver, kit, CHRONOS_STORAGE_STATE, kit_directory(kit, "sizes"), 2);
    table = driver_table(&driver, "sizes", 0);
    for (size_t i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]); i++) {
        for (size_t j = 0; j < sizeof(VALUES) / sizeof(VALUES[0]); j++) {
            put_sized(&driver, table, memory, KEYS[i], VALUES[j]);
        }
    }
    check_refused_sizes(&driver, table, memory);
    driver_close(&driver);
    free(memory);
}

static void check_32_tables(struct kit *kit)
{
    enum { COUNT = 32 };
    const char *dir = kit_directory(kit, "tables");
    struct driver driver;
    uint32_t ids[COUNT];
    char name[32];

    for (int round = 0; round < 2; round++) { /* made, then found */
        struct chronos_txn *txn;

        driver_open(&driver, kit, CHRONOS_STORAGE_STATE, dir, 2);
        for (int i = 0; i < COUNT; i++) {
            (void)snprintf(name, sizeof(name), "table_%d", i); /* fits */
            ids[i] = driver_table(&driver, name, i % 3 == 0 ? CHRONOS_TABLE_SMALL_ROWS : 0);
        }
        txn = driver_begin(&driver, round == 0 ? CHRONOS_TXN_WRITE : CHRONOS_TXN_READ);
        for (int i = 0; i < COUNT; i++) {
            struct chronos_bytes value;

            if (round == 0) {
                driver_put(&driver, txn, ids[i], TEXT("which"), BYTES(&i, sizeof(i)));
            } else {
                KIT_EXPECT(kit, driver_get(&driver, txn, ids[i], TEXT("which"), &value) &&
                                    bytes_equal(&value, BYTES(&i, sizeof(i))),
                           "table %d of %d does not hold its own row after reopening", i, COUNT);
            }
        }
        if (round == 0) {
            driver_commit(&driver, txn);
        } else {
            driver.ops->abort(txn);
        }
        driver_close(&driver);
    }
}

/* Unsigned bytes, shorter first. */
static void check_order(struct kit *kit)
{
    static const struct chronos_bytes SORTED[] = {
        {"\x00", 1},     {"\x00\x00", 2}, {"\x00\xff", 2}, {"\x01", 1},     {"a", 1},    {"a\x00", 2},
        {"a\x00\x00", 3}, {"aa", 2},      {"ab", 2},       {"b", 1},        {"\x7f", 1}, {"\x80", 1},
        {"\x80\x00", 2}, {"\xfe\xff", 2}, {"\xff", 1},     {"\xff\x00", 2}, {"\xff\xff", 2},
    };
    enum { COUNT = sizeof(SORTED) / sizeof(SORTED[0]) };
    struct chronos_cursor *cursor;
    struct chronos_bytes key;
    struct chronos_bytes value;
    struct chronos_txn *txn;
    struct driver driver;
    uint32_t table;

    driver_open(&driver, kit, CHRONOS_STORAGE_STATE, kit_directory(kit, "order"), 2);
    table = driver_table(&driver, "keys", 0);
    txn = driver_begin(&driver, CHRONOS_TXN_WRITE);
    for (int i = 0; i < COUNT; i++) {
        driver_put(&driver, txn, table, &SORTED[(i * 7) % COUNT], TEXT("v"));
    }
    cursor = driver_cursor(&driver, txn, table);
    for (int i = 0; i < COUNT; i++) {
        KIT_EXPECT(kit, driver_move(&driver, cursor, CHRONOS_CURSOR_NEXT, NULL, &key, &value) &&
                            bytes_equal(&key, &SORTED[i]),
                   "key %d of the sorted list is not where it belongs", i);
    }
    KIT_EXPECT(kit, !driver_move(&driver, cursor, CHRONOS_CURSOR_NEXT, NULL, &key, &value), "a key after the last");
    driver.ops->cursor_close(cursor);
    driver_commit(&driver, txn);
    driver_close(&driver);
}

static void put_letters(struct driver *driver, struct chronos_txn *txn, uint32_t table, const char *letters)
{
    for (; *letters != '\0'; letters++) {
        driver_put(driver, txn, table, BYTES(letters, 1), BYTES(letters, 1));
    }
}

/* Moves and compares with the one letter expected; '-' for NOTFOUND. */
static void expect_move(struct driver *driver, struct chronos_cursor *cursor, int32_t op, char seek, char wanted)
{
    struct chronos_bytes key;
    struct chronos_bytes value;
    bool found = driver_move(driver, cursor, op, BYTES(&seek, 1), &key, &value);
    char letter = found && key.size == 1 ? *(const char *)key.data : '-';

    KIT_EXPECT(driver->kit, letter == wanted, "cursor operation %d: '%c' where '%c' belongs", op, letter, wanted);
    KIT_EXPECT(driver->kit, !found || bytes_equal(&key, &value), "cursor operation %d: the value of another key", op);
}

static void check_moves(struct driver *driver, struct chronos_txn *txn, uint32_t table)
{
    struct chronos_cursor *cursor = driver_cursor(driver, txn, table);

    expect_move(driver, cursor, CHRONOS_CURSOR_NEXT, 0, 'b'); /* fresh: FIRST */
    expect_move(driver, cursor, CHRONOS_CURSOR_PREV, 0, '-');
    expect_move(driver, cursor, CHRONOS_CURSOR_LAST, 0, 'n');
    expect_move(driver, cursor, CHRONOS_CURSOR_NEXT, 0, '-');
    expect_move(driver, cursor, CHRONOS_CURSOR_SEEK_GE, 'c', 'd');
    expect_move(driver, cursor, CHRONOS_CURSOR_SEEK_GE, 'd', 'd');
    expect_move(driver, cursor, CHRONOS_CURSOR_SEEK_LE, 'c', 'b');
    expect_move(driver, cursor, CHRONOS_CURSOR_SEEK_LE, 'd', 'd');
    expect_move(driver, cursor, CHRONOS_CURSOR_SEEK_LE, 'a', '-');
    expect_move(driver, cursor, CHRONOS_CURSOR_SEEK_GE, 'z', '-');
    expect_move(driver, cursor, CHRONOS_CURSOR_SEEK_LE, 'z', 'n');
    expect_move(driver, cursor, CHRONOS_CURSOR_PREV, 0, 'l');
    driver->ops->cursor_close(cursor);
    cursor = driver_cursor(driver, txn, table);
    expect_move(driver, cursor, CHRONOS_CURSOR_PREV, 0, 'n'); /* fresh: LAST */
    driver->ops->cursor_close(cursor);
}

static void check_moves_after_writes(struct driver *driver, struct chronos_txn *txn, uint32_t table)
{
    struct chronos_cursor *cursor = driver_cursor(driver, txn, table);
    struct chronos_cursor *other = driver_cursor(driver, txn, table);

    expect_move(driver, cursor, CHRONOS_CURSOR_SEEK_GE, 'f', 'f');
    expect_move(driver, other, CHRONOS_CURSOR_SEEK_GE, 'h', 'h');
    driver_del(driver, txn, table, TEXT("f")); /* the one that the cursor stands on */
    expect_move(driver, cursor, CHRONOS_CURSOR_NEXT, 0, 'h');
    driver_del(driver, txn, table, TEXT("h")); /* under both */
    expect_move(driver, cursor, CHRONOS_CURSOR_PREV, 0, 'd');
    expect_move(driver, other, CHRONOS_CURSOR_NEXT, 0, 'j');
    put_letters(driver, txn, table, "e"); /* between the two neighbours */
    expect_move(driver, cursor, CHRONOS_CURSOR_NEXT, 0, 'e');
    expect_move(driver, other, CHRONOS_CURSOR_PREV, 0, 'e');
    driver_del(driver, txn, table, TEXT("j"));
    driver_del(driver, txn, table, TEXT("l"));
    expect_move(driver, cursor, CHRONOS_CURSOR_NEXT, 0, 'n');
    driver_del(driver, txn, table, TEXT("n")); /* the last one */
    expect_move(driver, cursor, CHRONOS_CURSOR_NEXT, 0, '-');
    put_letters(driver, txn, table, "o");
    expect_move(driver, cursor, CHRONOS_CURSOR_NEXT, 0, 'o');
    driver_del(driver, txn, table, TEXT("o"));
    driver_del(driver, txn, table, TEXT("e"));
    driver_del(driver, txn, table, TEXT("d"));
    driver_del(driver, txn, table, TEXT("b")); /* nothing is left */
    expect_move(driver, cursor, CHRONOS_CURSOR_PREV, 0, '-');
    expect_move(driver, cursor, CHRONOS_CURSOR_FIRST, 0, '-');
    put_letters(driver, txn, table, "q");
    expect_move(driver, cursor, CHRONOS_CURSOR_NEXT, 0, 'q');
    driver->ops->cursor_close(cursor);
    driver->ops->cursor_close(other);
}

/* The loop that a sweeper runs: delete each row that the cursor comes to. */
static void check_deleting_loop(struct driver *driver, struct chronos_txn *txn, uint32_t table)
{
    enum { ROWS = 2000 };
    struct chronos_cursor *cursor;
    struct chronos_bytes key;
    struct chronos_bytes value;
    uint32_t seen = 0;

    for (uint32_t i = 0; i < ROWS; i++) {
        char name[16];
        int size = snprintf(name, sizeof(name), "row%06u", i);

        driver_put(driver, txn, table, BYTES(name, (uint64_t)size), BYTES(&i, sizeof(i)));
    }
    cursor = driver_cursor(driver, txn, table);
    while (driver_move(driver, cursor, CHRONOS_CURSOR_NEXT, NULL, &key, &value)) {
        unsigned char copy[16];

        KIT_EXPECT(driver->kit, bytes_equal(&value, BYTES(&seen, sizeof(seen))) && key.size <= sizeof(copy),
                   "deleting while walking: row %u is skipped or seen twice", seen);
        memcpy(copy, key.data, key.size); /* borrowed until the del */
        driver_del(driver, txn, table, BYTES(copy, key.size));
        seen++;
    }
    KIT_EXPECT(driver->kit, seen == ROWS, "deleting while walking: %u of %d rows were seen", seen, ROWS);
    driver->ops->cursor_close(cursor);
}

static void check_cursors(struct kit *kit)
{
    struct chronos_txn *txn;
    struct driver driver;
    uint32_t table;
    uint32_t many;

    driver_open(&driver, kit, CHRONOS_STORAGE_STATE, kit_directory(kit, "cursors"), 2);
    table = driver_table(&driver, "letters", 0);
    many = driver_table(&driver, "many", 0);
    txn = driver_begin(&driver, CHRONOS_TXN_WRITE);
    put_letters(&driver, txn, table, "bdfhjln");
    check_moves(&driver, txn, table);
    driver_commit(&driver, txn);
    txn = driver_begin(&driver, CHRONOS_TXN_READ);
    check_moves(&driver, txn, table);
    driver.ops->abort(txn);
    txn = driver_begin(&driver, CHRONOS_TXN_WRITE);
    check_moves_after_writes(&driver, txn, table);
    check_deleting_loop(&driver, txn, many);
    driver_commit(&driver, txn);
    driver_close(&driver);
}

/* What is borrowed stays as it is for as long as the contract says. */
static void check_borrowed(struct kit *kit)
{
    struct chronos_cursor *one;
    struct chronos_cursor *two;
    struct chronos_bytes value;
    struct chronos_bytes keys[2];
    struct chronos_bytes values[2];
    struct chronos_txn *txn;
    struct driver driver;
    uint32_t table;

    driver_open(&driver, kit, CHRONOS_STORAGE_STATE, kit_directory(kit, "borrowed"), 2);
    table = driver_table(&driver, "letters", 0);
    txn = driver_begin(&driver, CHRONOS_TXN_WRITE);
    put_letters(&driver, txn, table, "abcdefgh");
    driver_commit(&driver, txn);
    for (int writing = 0; writing < 2; writing++) {
        txn = driver_begin(&driver, writing ? CHRONOS_TXN_WRITE : CHRONOS_TXN_READ);
        one = driver_cursor(&driver, txn, table);
        two = driver_cursor(&driver, txn, table);
        KIT_EXPECT(kit, driver_move(&driver, one, CHRONOS_CURSOR_SEEK_GE, TEXT("c"), &keys[0], &values[0]), "no row");
        KIT_EXPECT(kit, driver_move(&driver, two, CHRONOS_CURSOR_SEEK_LE, TEXT("g"), &keys[1], &values[1]), "no row");
        KIT_EXPECT(kit, driver_get(&driver, txn, table, TEXT("e"), &value), "no row");
        for (int i = 0; i < 3; i++) { /* moves of one cursor leave the other's row, and the value of get */
            KIT_EXPECT(kit, driver_move(&driver, two, CHRONOS_CURSOR_PREV, NULL, &keys[1], &values[1]), "no row");
        }
        KIT_EXPECT(kit, bytes_equal(&keys[0], TEXT("c")) && bytes_equal(&values[0], TEXT("c")),
                   "a cursor's row changed while another cursor moved");
        KIT_EXPECT(kit, bytes_equal(&keys[1], TEXT("d")) && bytes_equal(&values[1], TEXT("d")), "PREV comes elsewhere");
        driver.ops->cursor_close(two);
        KIT_EXPECT(kit, bytes_equal(&values[0], TEXT("c")), "a cursor's row changed when another cursor was closed");
        KIT_EXPECT(kit, bytes_equal(&value, TEXT("e")), "the value of get changed while cursors moved");
        driver.ops->cursor_close(one);
        driver.ops->abort(txn);
    }
    driver_close(&driver);
}

static void check_not_found(struct kit *kit)
{
    struct chronos_bytes untouched = {.data = "mark", .size = 4};
    struct chronos_bytes value = untouched;
    struct chronos_error before;
    struct chronos_txn *txn;
    struct driver driver;
    uint32_t table;

    driver_open(&driver, kit, CHRONOS_STORAGE_STATE, kit_directory(kit, "notfound"), 2);
    table = driver_table(&driver, "letters", 0);
    memset(driver.error.msg, 'x', sizeof(driver.error.msg) - 1);
    driver.error.code = 4711;
    before = driver.error;
    for (int writing = 0; writing < 2; writing++) {
        txn = driver_begin(&driver, writing ? CHRONOS_TXN_WRITE : CHRONOS_TXN_READ);
        KIT_EXPECT(kit, driver.ops->get(txn, table, TEXT("no"), &value, &driver.error) == CHRONOS_NOTFOUND,
                   "get of an absent key is not NOTFOUND");
        if (writing) {
            KIT_EXPECT(kit, driver.ops->del(txn, table, TEXT("no"), &driver.error) == CHRONOS_NOTFOUND,
                       "del of an absent key is not NOTFOUND");
        }
        driver.ops->abort(txn);
    }
    KIT_EXPECT(kit, memcmp(&before, &driver.error, sizeof(before)) == 0, "NOTFOUND writes into the error");
    KIT_EXPECT(kit, value.data == untouched.data && value.size == untouched.size, "NOTFOUND writes into the output");
    driver_close(&driver);
}

static void check_abort(struct kit *kit)
{
    struct chronos_bytes value;
    struct chronos_txn *txn;
    struct driver driver;
    uint32_t table;
    uint32_t other;

    driver_open(&driver, kit, CHRONOS_STORAGE_STATE, kit_directory(kit, "abort"), 2);
    table = driver_table(&driver, "one", 0);
    other = driver_table(&driver, "two", CHRONOS_TABLE_SEQUENTIAL);
    txn = driver_begin(&driver, CHRONOS_TXN_WRITE);
    driver_put(&driver, txn, table, TEXT("kept"), TEXT("old"));
    driver_commit(&driver, txn);
    txn = driver_begin(&driver, CHRONOS_TXN_WRITE);
    driver_put(&driver, txn, table, TEXT("kept"), TEXT("new"));
    driver_put(&driver, txn, table, TEXT("gone"), TEXT("new"));
    driver_put(&driver, txn, other, TEXT("12345678"), TEXT("new"));
    driver.ops->abort(txn);
    txn = driver_begin(&driver, CHRONOS_TXN_READ);
    KIT_EXPECT(kit, driver_get(&driver, txn, table, TEXT("kept"), &value) && bytes_equal(&value, TEXT("old")),
               "an aborted put changed a row");
    KIT_EXPECT(kit, !driver_get(&driver, txn, table, TEXT("gone"), &value), "an aborted put left a row");
    KIT_EXPECT(kit, !driver_get(&driver, txn, other, TEXT("12345678"), &value), "an aborted put left a row elsewhere");
    driver.ops->abort(txn);
    driver_close(&driver);
}

static void check_reader_limit(struct kit *kit)
{
    enum { READERS = 5 };
    struct chronos_txn *readers[READERS];
    struct chronos_txn *extra = NULL;
    struct chronos_txn *writer;
    struct driver driver;
    uint32_t table;

    driver_open(&driver, kit, CHRONOS_STORAGE_STATE, kit_directory(kit, "readers"), READERS);
    table = driver_table(&driver, "letters", 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < READERS; i++) {
            readers[i] = driver_begin(&driver, CHRONOS_TXN_READ);
        }
        driver_must_be(&driver, driver.ops->begin(driver.self, CHRONOS_TXN_READ, &extra, &driver.error), CHRONOS_BUSY,
                       "begin READ beyond max_readers");
        writer = driver_begin(&driver, CHRONOS_TXN_WRITE); /* readers never block it */
        put_letters(&driver, writer, table, "x");
        driver_commit(&driver, writer);
        for (int i = 0; i < READERS; i++) {
            driver.ops->abort(readers[(i * 3) % READERS]);
        }
    }
    driver_close(&driver);
}

/* Two stores of one component at once: a snapshot is installed into a second one while the first serves. */
static void check_two_instances(struct kit *kit)
{
    struct driver drivers[2];
    struct chronos_txn *txns[2];
    uint32_t tables[2];
    struct chronos_bytes value;

    for (int i = 0; i < 2; i++) {
        driver_open(&drivers[i], kit, CHRONOS_STORAGE_STATE, kit_directory(kit, i == 0 ? "first" : "second"), 2);
        tables[i] = driver_table(&drivers[i], "same", 0);
        txns[i] = driver_begin(&drivers[i], CHRONOS_TXN_WRITE);
    }
    for (int i = 0; i < 2; i++) {
        driver_put(&drivers[i], txns[i], tables[i], TEXT("which"), BYTES(&i, sizeof(i)));
        driver_commit(&drivers[i], txns[i]);
    }
    driver_close(&drivers[0]);
    txns[1] = driver_begin(&drivers[1], CHRONOS_TXN_READ);
    KIT_EXPECT(kit, driver_get(&drivers[1], txns[1], tables[1], TEXT("which"), &value) &&
               *(const char *)value.data == 1,
               "one instance sees or loses what belongs to the other");
    drivers[1].ops->abort(txns[1]);
    driver_close(&drivers[1]);
}

enum { ISOLATION_READERS = 3, ISOLATION_ROWS = 40 };

struct isolation {
    struct driver *driver;
    uint32_t tables[2];
    atomic_bool stop;
    atomic_ulong snapshots;
};

struct reader {
    struct isolation *isolation;
    char message[256]; /* empty: all was well */
};

/* One READ transaction: every row of both tables must carry the same number. NULL or what is wrong. */
static const char *read_snapshot(struct isolation *isolation, uint64_t *last)
{
    const struct chronos_storage_ops *ops = isolation->driver->ops;
    struct chronos_error error = {.struct_size = sizeof(error)};
    struct chronos_bytes value;
    struct chronos_txn *txn;
    const char *wrong = NULL;
    uint64_t first = 0;

    if (ops->begin(isolation->driver->self, CHRONOS_TXN_READ, &txn, &error) != CHRONOS_OK) {
        return "begin READ fails";
    }
    for (int table = 0; table < 2 && wrong == NULL; table++) {
        for (unsigned char row = 0; row < ISOLATION_ROWS && wrong == NULL; row++) {
            uint64_t number = 0;
            unsigned char key[8] = {0, 0, 0, 0, 0, 0, 0, row};

            if (ops->get(txn, isolation->tables[table], BYTES(key, 8), &value, &error) != CHRONOS_OK ||
                value.size != sizeof(number)) {
                wrong = "a row is missing";
                break;
            }
            memcpy(&number, value.data, sizeof(number));
            first = table == 0 && row == 0 ? number : first;
            wrong = number != first ? "a transaction sees rows of different commits" : NULL;
        }
    }
    ops->abort(txn);
    if (wrong == NULL && first < *last) {
        wrong = "a later transaction sees an older commit";
    }
    *last = first;
    return wrong;
}

static void *read_in_thread(void *argument)
{
    struct reader *reader = argument;
    uint64_t last = 0;

    while (!atomic_load(&reader->isolation->stop)) {
        const char *wrong = read_snapshot(reader->isolation, &last);

        if (wrong != NULL) {
            (void)snprintf(reader->message, sizeof(reader->message), "%s", wrong); /* fits */
            break;
        }
        atomic_fetch_add(&reader->isolation->snapshots, 1);
    }
    return NULL;
}

static void write_number(struct isolation *isolation, uint64_t number)
{
    struct driver *driver = isolation->driver;
    struct chronos_txn *txn = driver_begin(driver, CHRONOS_TXN_WRITE | CHRONOS_TXN_LAZY);

    for (int table = 0; table < 2; table++) {
        for (unsigned char row = 0; row < ISOLATION_ROWS; row++) {
            unsigned char key[8] = {0, 0, 0, 0, 0, 0, 0, row};

            driver_put(driver, txn, isolation->tables[table], BYTES(key, 8), BYTES(&number, sizeof(number)));
        }
    }
    driver_commit(driver, txn);
}

static void check_isolation(struct kit *kit)
{
    enum { DURATION_MS = 1500 };
    struct isolation isolation = {0};
    struct reader readers[ISOLATION_READERS] = {{0}};
    pthread_t threads[ISOLATION_READERS];
    struct driver driver;
    int64_t end = monotonic_ms() + DURATION_MS;
    uint64_t number = 0;

    driver_open(&driver, kit, CHRONOS_STORAGE_STATE, kit_directory(kit, "isolation"), ISOLATION_READERS);
    isolation.driver = &driver;
    isolation.tables[0] = driver_table(&driver, "one", 0);
    isolation.tables[1] = driver_table(&driver, "two", CHRONOS_TABLE_SEQUENTIAL);
    write_number(&isolation, ++number);
    for (int i = 0; i < ISOLATION_READERS; i++) {
        readers[i].isolation = &isolation;
        KIT_EXPECT(kit, pthread_create(&threads[i], NULL, read_in_thread, &readers[i]) == 0, "cannot start a thread");
    }
    while (monotonic_ms() < end) {
        write_number(&isolation, ++number);
    }
    atomic_store(&isolation.stop, true);
    for (int i = 0; i < ISOLATION_READERS; i++) {
        KIT_EXPECT(kit, pthread_join(threads[i], NULL) == 0, "cannot join a thread");
        KIT_EXPECT(kit, readers[i].message[0] == '\0', "%s", readers[i].message);
    }
    KIT_EXPECT(kit, atomic_load(&isolation.snapshots) > 0, "no reader got anywhere in %d ms", DURATION_MS);
    driver_close(&driver);
    kit_note(kit, "%llu commits beside %lu snapshots", (unsigned long long)number, atomic_load(&isolation.snapshots));
}

static void check_stat(struct kit *kit)
{
    struct chronos_storage_stat stat = {.struct_size = sizeof(stat)};
    struct chronos_txn *txn;
    struct driver driver;
    uint32_t table;

    driver_open(&driver, kit, CHRONOS_STORAGE_STATE, kit_directory(kit, "stat"), 2);
    table = driver_table(&driver, "letters", 0);
    txn = driver_begin(&driver, CHRONOS_TXN_WRITE);
    put_letters(&driver, txn, table, "abcdefgh");
    driver_commit(&driver, txn);
    txn = driver_begin(&driver, CHRONOS_TXN_READ);
    driver_must(&driver, driver.ops->stat(txn, table, &stat, &driver.error), "stat");
    driver.ops->abort(txn);
    driver_close(&driver);
    KIT_EXPECT(kit, stat.entries > 0 && stat.entries < 1000 && stat.bytes > 0 && stat.bytes < 1024 * 1024,
               "stat of 8 small rows says %llu entries, %llu bytes", (unsigned long long)stat.entries,
               (unsigned long long)stat.bytes);
}

/* Jobs carry secrets: what a store writes is for its owner alone, whatever the umask. */
static void check_permissions(struct kit *kit)
{
    const char *path = kit_directory(kit, "private");
    const struct dirent *entry;
    struct chronos_txn *txn;
    struct driver driver;
    uint32_t table;
    DIR *dir;

    (void)umask(0); /* of the case's own process */
    driver_open(&driver, kit, CHRONOS_STORAGE_STATE, path, 2);
    table = driver_table(&driver, "letters", 0);
    txn = driver_begin(&driver, CHRONOS_TXN_WRITE);
    put_letters(&driver, txn, table, "abc");
    driver_commit(&driver, txn);
    dir = opendir(path);
    KIT_EXPECT(kit, dir != NULL, "cannot read %s", path);
    while ((entry = readdir(dir)) != NULL) {
        struct stat info;

        if (entry->d_name[0] != '.' && fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0) {
            KIT_EXPECT(kit, (info.st_mode & 077) == 0, "%s has mode %04o: others can read it", entry->d_name,
                       (unsigned)info.st_mode & 07777u);
        }
    }
    (void)closedir(dir); /* only read */
    driver_close(&driver);
}

const struct kit_case CASES_STORAGE[] = {
    {"storage.limits", "at least the limits that every backend must offer", CHRONOS_KIND_STORAGE, 20, check_limits},
    {"storage.sizes", "keys of 1..511 bytes, values to 1 MiB; empty and too long keys are refused",
     CHRONOS_KIND_STORAGE, 60, check_sizes},
    {"storage.tables", "32 tables, the same after reopening", CHRONOS_KIND_STORAGE, 60, check_32_tables},
    {"storage.order", "keys in the order of unsigned bytes, shorter first", CHRONOS_KIND_STORAGE, 20, check_order},
    {"storage.cursors", "cursor rules, also after puts and deletes in the transaction", CHRONOS_KIND_STORAGE, 30,
     check_cursors},
    {"storage.borrowed", "borrowed keys and values live as long as promised", CHRONOS_KIND_STORAGE, 20, check_borrowed},
    {"storage.not-found", "NOTFOUND touches neither error nor output", CHRONOS_KIND_STORAGE, 20, check_not_found},
    {"storage.abort", "an aborted transaction leaves nothing", CHRONOS_KIND_STORAGE, 20, check_abort},
    {"storage.readers", "BUSY beyond max_readers; readers do not block the writer", CHRONOS_KIND_STORAGE, 20,
     check_reader_limit},
    {"storage.two-instances", "two stores of one component at once", CHRONOS_KIND_STORAGE, 20, check_two_instances},
    {"storage.isolation", "snapshots in concurrent threads never mix commits nor go back", CHRONOS_KIND_STORAGE, 60,
     check_isolation},
    {"storage.permissions", "files are for their owner alone, whatever the umask", CHRONOS_KIND_STORAGE, 20,
     check_permissions},
    {"storage.stat", "stat answers something sensible", CHRONOS_KIND_STORAGE, 20, check_stat},
    {NULL, NULL, 0, 0, NULL},
};
