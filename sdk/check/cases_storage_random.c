/* Random operations against a model in memory, by seed: several tables, both kinds of transaction, cursors in both
 * directions, aborts, snapshots held across commits, reopening. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"
#include "model.h"

enum {
    TABLE_COUNT = 3,
    CURSOR_COUNT = 4,
    TRANSACTIONS = 4000,
    OPERATIONS_MAX = 50,
    REOPEN_EVERY = 100,
    KEY_SIZE_MAX = 511
};

static const struct {
    const char *name;
    uint32_t flags;
} TABLES[TABLE_COUNT] = {
    {"blobs", 0},
    {"numbers", CHRONOS_TABLE_SEQUENTIAL},
    {"small", CHRONOS_TABLE_SMALL_ROWS},
};

struct world {
    struct kit *kit;
    struct driver driver;
    int32_t role;
    const char *dir;
    uint32_t ids[TABLE_COUNT];
    struct model_table committed[TABLE_COUNT];
    uint64_t operations;
};

struct tracked_cursor {
    struct chronos_cursor *cursor; /* NULL: not open */
    unsigned table;
    size_t last_size; /* the last key returned; 0: none */
    unsigned char last[KEY_SIZE_MAX];
};

/* One transaction and the rows it must see. */
struct scene {
    struct world *world;
    struct chronos_txn *txn;
    bool writes;
    struct model_table *rows; /* TABLE_COUNT of them */
    struct tracked_cursor cursors[CURSOR_COUNT];
};

struct buffer {
    size_t size;
    unsigned char bytes[80 * 1024];
};

static void random_blob_key(uint64_t *random, struct buffer *key)
{
    static const unsigned char ALPHABET[] = {0x00, 'a', 'b', 0x7f, 0x80, 0xff};

    key->size = random_below(random, 40) == 0 ? 1 + random_below(random, KEY_SIZE_MAX) : 1 + random_below(random, 4);
    for (size_t i = 0; i < key->size; i++) {
        key->bytes[i] = ALPHABET[random_below(random, sizeof(ALPHABET))];
    }
}

static void random_number_key(uint64_t *random, struct buffer *key)
{
    static const uint64_t CENTRES[] = {0, 40, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX};
    uint64_t number = CENTRES[random_below(random, 5)] + random_below(random, 24) - 12;

    key->size = 8;
    for (int i = 7; i >= 0; i--) {
        key->bytes[i] = (unsigned char)number;
        number >>= 8;
    }
}

static void random_key(uint64_t *random, unsigned table, struct buffer *key)
{
    if (TABLES[table].flags == CHRONOS_TABLE_SEQUENTIAL) {
        random_number_key(random, key);
    } else {
        random_blob_key(random, key);
    }
}

/* A bound or a key to seek: any length, sometimes none. */
static void random_bound(uint64_t *random, unsigned table, struct buffer *key)
{
    random_key(random, table, key);
    switch (random_below(random, 8)) {
    case 0:
        key->size = 0;
        break;
    case 1:
        key->size = 1 + random_below(random, key->size);
        break;
    case 2:
        key->bytes[key->size++] = (unsigned char)random_next(random);
        break;
    default:
        break;
    }
}

static void random_value(uint64_t *random, struct buffer *value)
{
    uint64_t choice = random_below(random, 100);
    uint64_t limit = choice == 0 ? sizeof(value->bytes) : choice < 5 ? 6000 : 120;

    value->size = random_below(random, limit);
    for (size_t i = 0; i < value->size; i += 8) {
        uint64_t word = random_next(random);

        memcpy(value->bytes + i, &word, value->size - i < 8 ? value->size - i : 8);
    }
}

static struct chronos_bytes bytes_of(const struct buffer *buffer)
{
    return (struct chronos_bytes){.data = buffer->bytes, .size = buffer->size};
}

static void put_row(struct scene *scene, unsigned table, uint64_t *random)
{
    static const uint32_t FLAGS[] = {0, 0, CHRONOS_PUT_NOOVERWRITE, CHRONOS_PUT_APPEND,
                                     CHRONOS_PUT_NOOVERWRITE | CHRONOS_PUT_APPEND};
    static _Thread_local struct buffer key;
    static _Thread_local struct buffer value;
    struct driver *driver = &scene->world->driver;
    uint32_t flags = FLAGS[random_below(random, 5)];
    struct chronos_bytes key_bytes;
    struct chronos_bytes value_bytes;
    bool exists;
    int32_t status;

    random_key(random, table, &key);
    random_value(random, &value);
    key_bytes = bytes_of(&key);
    value_bytes = bytes_of(&value);
    (void)model_find(&scene->rows[table], &key_bytes, &exists); /* only whether */
    status = driver->ops->put(scene->txn, scene->world->ids[table], &key_bytes, &value_bytes, flags, &driver->error);
    if (exists && (flags & CHRONOS_PUT_NOOVERWRITE) != 0) {
        driver_must_be(driver, status, CHRONOS_EXISTS, "put NOOVERWRITE of a key that is there");
        return;
    }
    driver_must(driver, status, "put");
    model_put(&scene->rows[table], &key_bytes, &value_bytes);
    memset(key.bytes, 0xEE, key.size); /* it must have been copied */
    memset(value.bytes, 0xEE, value.size);
}

static void delete_row(struct scene *scene, unsigned table, uint64_t *random)
{
    static _Thread_local struct buffer key;
    struct driver *driver = &scene->world->driver;
    struct chronos_bytes bytes;
    bool exists;
    size_t at;

    random_key(random, table, &key);
    bytes = bytes_of(&key);
    at = model_find(&scene->rows[table], &bytes, &exists);
    driver_must_be(driver, driver->ops->del(scene->txn, scene->world->ids[table], &bytes, &driver->error),
                   exists ? CHRONOS_OK : CHRONOS_NOTFOUND, "del");
    if (exists) {
        (void)model_remove(&scene->rows[table], at, 1); /* one: it is there */
    }
}

static void delete_range(struct scene *scene, unsigned table, uint64_t *random)
{
    static _Thread_local struct buffer from;
    static _Thread_local struct buffer to;
    struct driver *driver = &scene->world->driver;
    struct model_table *rows = &scene->rows[table];
    uint64_t max = random_below(random, 3) == 0 ? UINT64_MAX : random_below(random, 5);
    struct chronos_bytes from_bytes;
    struct chronos_bytes to_bytes;
    uint64_t removed = UINT64_MAX;
    size_t first;
    size_t last;
    bool equal;

    if (driver->ops->del_range == NULL) {
        return;
    }
    random_bound(random, table, &from);
    random_bound(random, table, &to);
    from_bytes = bytes_of(&from);
    to_bytes = bytes_of(&to);
    first = model_find(rows, &from_bytes, &equal);
    last = to.size > 0 ? model_find(rows, &to_bytes, &equal) : rows->count;
    last = last < first ? first : last;
    if (last - first > max) {
        last = first + max;
    }
    driver_must(driver,
                driver->ops->del_range(scene->txn, scene->world->ids[table], &from_bytes, &to_bytes, max, &removed,
                                       &driver->error),
                "del_range");
    KIT_EXPECT(scene->world->kit, removed == last - first, "del_range removed %llu keys, not %zu",
               (unsigned long long)removed, last - first);
    (void)model_remove(rows, first, last - first); /* exactly these are there */
}

static void get_row(struct scene *scene, unsigned table, uint64_t *random)
{
    static _Thread_local struct buffer key;
    struct chronos_bytes bytes;
    struct chronos_bytes value;
    bool exists;
    size_t at;

    random_key(random, table, &key);
    bytes = bytes_of(&key);
    at = model_find(&scene->rows[table], &bytes, &exists);
    KIT_EXPECT(scene->world->kit,
               driver_get(&scene->world->driver, scene->txn, scene->world->ids[table], &bytes, &value) == exists,
               "get finds a key that %s", exists ? "was not found: it is there" : "is not there");
    KIT_EXPECT(scene->world->kit, !exists || bytes_equal(&value, &scene->rows[table].rows[at].value),
               "get returns another value");
}

/* The row that a move must come to, or SIZE_MAX for NOTFOUND. */
static size_t expected_row(const struct scene *scene, const struct tracked_cursor *cursor, int32_t op,
                           const struct chronos_bytes *seek)
{
    const struct model_table *rows = &scene->rows[cursor->table];
    struct chronos_bytes last = {.data = cursor->last, .size = cursor->last_size};
    size_t at;
    bool equal;

    if (last.size == 0 && (op == CHRONOS_CURSOR_NEXT || op == CHRONOS_CURSOR_PREV)) {
        op = op == CHRONOS_CURSOR_NEXT ? CHRONOS_CURSOR_FIRST : CHRONOS_CURSOR_LAST;
    }
    switch (op) {
    case CHRONOS_CURSOR_FIRST:
        return rows->count > 0 ? 0 : SIZE_MAX;
    case CHRONOS_CURSOR_LAST:
        return rows->count - 1; /* SIZE_MAX where there is none */
    case CHRONOS_CURSOR_SEEK_GE:
        at = model_find(rows, seek, &equal);
        break;
    case CHRONOS_CURSOR_SEEK_LE:
        at = model_find(rows, seek, &equal);
        return equal ? at : at - 1;
    case CHRONOS_CURSOR_NEXT:
        at = model_find(rows, &last, &equal) + equal;
        break;
    default:
        return model_find(rows, &last, &equal) - 1;
    }
    return at < rows->count ? at : SIZE_MAX;
}

static void move_cursor(struct scene *scene, uint64_t *random)
{
    static const int32_t OPS[] = {CHRONOS_CURSOR_FIRST, CHRONOS_CURSOR_LAST,    CHRONOS_CURSOR_SEEK_GE,
                                  CHRONOS_CURSOR_NEXT,  CHRONOS_CURSOR_NEXT,    CHRONOS_CURSOR_NEXT,
                                  CHRONOS_CURSOR_PREV,  CHRONOS_CURSOR_SEEK_LE, CHRONOS_CURSOR_PREV};
    static _Thread_local struct buffer seek;
    struct tracked_cursor *cursor = &scene->cursors[random_below(random, CURSOR_COUNT)];
    struct driver *driver = &scene->world->driver;
    int32_t op = OPS[random_below(random, sizeof(OPS) / sizeof(OPS[0]))];
    struct chronos_bytes seek_bytes;
    struct chronos_bytes key;
    struct chronos_bytes value;
    size_t wanted;

    if (cursor->cursor == NULL) {
        cursor->table = (unsigned)random_below(random, TABLE_COUNT);
        cursor->last_size = 0;
        cursor->cursor = driver_cursor(driver, scene->txn, scene->world->ids[cursor->table]);
    }
    random_bound(random, cursor->table, &seek);
    seek_bytes = bytes_of(&seek);
    wanted = expected_row(scene, cursor, op, &seek_bytes);
    if (!driver_move(driver, cursor->cursor, op, &seek_bytes, &key, &value)) {
        KIT_EXPECT(scene->world->kit, wanted == SIZE_MAX, "cursor operation %d finds nothing where a row is", op);
        return;
    }
    memset(seek.bytes, 0xEE, seek.size); /* it was borrowed for the call only */
    KIT_EXPECT(scene->world->kit, wanted != SIZE_MAX, "cursor operation %d finds a row where none is", op);
    KIT_EXPECT(scene->world->kit, bytes_equal(&key, &scene->rows[cursor->table].rows[wanted].key),
               "cursor operation %d comes to another key", op);
    KIT_EXPECT(scene->world->kit, bytes_equal(&value, &scene->rows[cursor->table].rows[wanted].value),
               "cursor operation %d returns another value", op);
    cursor->last_size = key.size;
    memcpy(cursor->last, key.data, key.size);
}

static void close_cursor(struct scene *scene, unsigned index)
{
    if (scene->cursors[index].cursor != NULL) {
        scene->world->driver.ops->cursor_close(scene->cursors[index].cursor);
        scene->cursors[index].cursor = NULL;
    }
}

static void operate(struct scene *scene, uint64_t *random)
{
    unsigned table = (unsigned)random_below(random, TABLE_COUNT);
    uint64_t choice = random_below(random, 100);

    scene->world->operations++;
    if (choice < 40) {
        move_cursor(scene, random);
    } else if (choice < 45) {
        close_cursor(scene, (unsigned)random_below(random, CURSOR_COUNT));
    } else if (choice < 60 || !scene->writes) {
        get_row(scene, table, random);
    } else if (choice < 88) {
        put_row(scene, table, random);
    } else if (choice < 97) {
        delete_row(scene, table, random);
    } else {
        delete_range(scene, table, random);
    }
}

static void compare_table(struct world *world, struct chronos_txn *txn, unsigned table, const struct model_table *rows,
                          bool forward)
{
    struct chronos_cursor *cursor = driver_cursor(&world->driver, txn, world->ids[table]);
    struct chronos_bytes key;
    struct chronos_bytes value;
    size_t seen = 0;

    while (driver_move(&world->driver, cursor, forward ? CHRONOS_CURSOR_NEXT : CHRONOS_CURSOR_PREV, NULL, &key,
                       &value)) {
        size_t at = forward ? seen : rows->count - 1 - seen;

        KIT_EXPECT(world->kit, seen < rows->count, "table %s holds rows that were never put", TABLES[table].name);
        KIT_EXPECT(world->kit, bytes_equal(&key, &rows->rows[at].key), "table %s: row %zu has another key",
                   TABLES[table].name, at);
        KIT_EXPECT(world->kit, bytes_equal(&value, &rows->rows[at].value), "table %s: row %zu has another value",
                   TABLES[table].name, at);
        seen++;
    }
    KIT_EXPECT(world->kit, seen == rows->count, "table %s holds %zu rows, not %zu", TABLES[table].name, seen,
               rows->count);
    world->driver.ops->cursor_close(cursor);
}

static void compare_all(struct world *world, struct chronos_txn *txn, const struct model_table *rows)
{
    for (unsigned table = 0; table < TABLE_COUNT; table++) {
        compare_table(world, txn, table, &rows[table], true);
        compare_table(world, txn, table, &rows[table], false);
    }
}

static void compare_committed(struct world *world)
{
    struct chronos_txn *txn = driver_begin(&world->driver, CHRONOS_TXN_READ);

    compare_all(world, txn, world->committed);
    world->driver.ops->abort(txn);
}

static void open_world(struct world *world)
{
    driver_open(&world->driver, world->kit, world->role, world->dir, 4);
    for (unsigned table = 0; table < TABLE_COUNT; table++) {
        world->ids[table] = driver_table(&world->driver, TABLES[table].name, TABLES[table].flags);
    }
}

static void end_scene(struct scene *scene, uint64_t *random)
{
    struct world *world = scene->world;

    for (unsigned i = 0; i < CURSOR_COUNT; i++) {
        close_cursor(scene, i);
    }
    if (!scene->writes) {
        world->driver.ops->abort(scene->txn);
        return;
    }
    if (random_below(random, 5) == 0) {
        world->driver.ops->abort(scene->txn);
        for (unsigned table = 0; table < TABLE_COUNT; table++) {
            model_clear(&scene->rows[table]);
        }
        return;
    }
    driver_commit(&world->driver, scene->txn);
    for (unsigned table = 0; table < TABLE_COUNT; table++) {
        model_clear(&world->committed[table]);
        world->committed[table] = scene->rows[table];
    }
}

static void play(struct world *world, uint64_t *random)
{
    struct model_table rows[TABLE_COUNT];
    struct scene scene = {.world = world, .writes = random_below(random, 3) != 0, .rows = world->committed};
    uint64_t operations = 1 + random_below(random, OPERATIONS_MAX);
    /* Most commits need not wait for the disk: what is compared here does not depend on it. */
    uint32_t flags = random_below(random, 8) == 0 ? CHRONOS_TXN_WRITE : CHRONOS_TXN_WRITE | CHRONOS_TXN_LAZY;

    if (scene.writes) {
        for (unsigned table = 0; table < TABLE_COUNT; table++) {
            model_copy(&rows[table], &world->committed[table]);
        }
        scene.rows = rows;
    }
    scene.txn = driver_begin(&world->driver, scene.writes ? flags : CHRONOS_TXN_READ);
    for (uint64_t i = 0; i < operations; i++) {
        operate(&scene, random);
    }
    end_scene(&scene, random);
}

/* A reader that stays while others commit must see what it saw at its begin. */
static void play_beside_a_snapshot(struct world *world, uint64_t *random)
{
    struct model_table snapshot[TABLE_COUNT];
    struct chronos_txn *reader = driver_begin(&world->driver, CHRONOS_TXN_READ);

    for (unsigned table = 0; table < TABLE_COUNT; table++) {
        model_copy(&snapshot[table], &world->committed[table]);
    }
    for (uint64_t i = random_below(random, 6) + 1; i > 0; i--) {
        play(world, random);
    }
    compare_all(world, reader, snapshot);
    world->driver.ops->abort(reader);
    for (unsigned table = 0; table < TABLE_COUNT; table++) {
        model_clear(&snapshot[table]);
    }
}

static void run_random(struct kit *kit, int32_t role, int transactions)
{
    struct world world = {.kit = kit, .role = role, .dir = kit_directory(kit, "random")};
    uint64_t random = kit->seed ^ (uint64_t)role;

    open_world(&world);
    for (int i = 1; i <= transactions; i++) {
        if (role == CHRONOS_STORAGE_STATE && random_below(&random, 12) == 0) {
            play_beside_a_snapshot(&world, &random);
        } else {
            play(&world, &random);
        }
        if (i % REOPEN_EVERY == 0) {
            driver_close(&world.driver);
            open_world(&world);
            compare_committed(&world);
        }
    }
    compare_committed(&world);
    driver_close(&world.driver);
    kit_note(kit, "%llu operations in %d transactions", (unsigned long long)world.operations, transactions);
}

static void check_random_state(struct kit *kit)
{
    run_random(kit, CHRONOS_STORAGE_STATE, TRANSACTIONS);
}

/* Fewer: each commit waits for the disk. */
static void check_random_log(struct kit *kit)
{
    run_random(kit, CHRONOS_STORAGE_LOG, TRANSACTIONS / 4);
}

const struct kit_case CASES_STORAGE_RANDOM[] = {
    {"storage.random-state", "random operations against a model, role STATE, snapshots across commits",
     CHRONOS_KIND_STORAGE, 120, check_random_state},
    {"storage.random-log", "random operations against a model, role LOG", CHRONOS_KIND_STORAGE, 120, check_random_log},
    {NULL, NULL, 0, 0, NULL},
};
