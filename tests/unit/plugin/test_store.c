/* The store over the in-memory backend, and over one that breaks its promises. */
#include "fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/limits.h"
#include "plugin/store.h"

struct place {
    struct loaded loaded;
    struct store *store;
    uint32_t table, other;
    struct error err;
};

static struct bytes text(const char *from)
{
    return (struct bytes){.data = from, .size = strlen(from)};
}

static const struct store_options state_options = {.role = CHRONOS_STORAGE_STATE, .directory = "/nowhere",
                                                   .max_readers = 2};

static void open_store(struct place *place, const char *config)
{
    const struct plugin_component *backend = plugin_find(place->loaded.registry, CHRONOS_KIND_STORAGE, "memory");
    assert_non_null(backend);
    cJSON *value = config ? json_of(config) : NULL;
    if (store_open(backend, "state", value, &clock_system, &state_options, &place->store, &place->err) != STATUS_OK)
        fail_msg("%s", place->err.message);
    cJSON_Delete(value);
    assert_int_equal(store_table(place->store, "jobs", 0, &place->table, &place->err), STATUS_OK);
    assert_int_equal(store_table(place->store, "other", 0, &place->other, &place->err), STATUS_OK);
    assert_int_not_equal(place->table, place->other);
}

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    assert_non_null(place);
    place->loaded = loaded_new("storage_memory");
    open_store(place, NULL);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    store_close(place->store);
    loaded_free(&place->loaded);
    free(place);
    return 0;
}

static struct store_txn begin(struct place *place, uint32_t flags)
{
    struct store_txn txn = {0};
    if (store_begin(place->store, flags, &txn, &place->err) != STATUS_OK)
        fail_msg("%s", place->err.message);
    return txn;
}

static void put(struct place *place, struct store_txn *txn, const char *key, const char *value)
{
    if (store_put(txn, place->table, text(key), text(value), 0, &place->err) != STATUS_OK)
        fail_msg("%s", place->err.message);
}

static void commit(struct place *place, struct store_txn *txn)
{
    assert_int_equal(store_commit(txn, &place->err), STATUS_OK);
    assert_null(txn->handle);
}

static void expect_row(struct place *place, struct store_txn *txn, const char *key, const char *expected)
{
    struct bytes value;
    enum status status = store_get(txn, place->table, text(key), &value, &place->err);
    assert_int_equal(status, expected ? STATUS_OK : STATUS_NOT_FOUND);
    if (expected) {
        assert_int_equal(value.size, strlen(expected));
        assert_memory_equal(value.data, expected, value.size);
    }
}

/* Every key of the table, in order, with blanks between. */
static void expect_keys(struct place *place, struct store_txn *txn, const char *expected)
{
    struct store_cursor cursor = {0};
    char found[512] = "";
    struct bytes key, value;
    assert_int_equal(store_cursor_open(txn, place->table, &cursor, &place->err), STATUS_OK);
    while (store_cursor_move(&cursor, CHRONOS_CURSOR_NEXT, (struct bytes){0}, &key, &value, &place->err) == STATUS_OK)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s%.*s", found[0] ? " " : "", (int)key.size,
                 (const char *)key.data);
    store_cursor_close(&cursor);
    store_cursor_close(&cursor); /* closed already: fine */
    assert_string_equal(found, expected);
}

static void fill(struct place *place, const char *keys)
{
    struct store_txn txn = begin(place, CHRONOS_TXN_WRITE);
    for (; *keys; keys++)
        put(place, &txn, (char[]){*keys, '\0'}, "v");
    commit(place, &txn);
}

/* -- rows ---------------------------------------------------------------------------------------------------------- */

static void test_rows(void **state)
{
    struct place *place = *state;
    struct store_txn txn = begin(place, CHRONOS_TXN_WRITE);
    put(place, &txn, "a", "1");
    put(place, &txn, "b", "");
    put(place, &txn, "a", "2");
    expect_row(place, &txn, "a", "2");
    expect_row(place, &txn, "b", "");
    struct bytes value = {.size = 77};
    strcpy(place->err.message, "untouched");
    assert_int_equal(store_get(&txn, place->table, text("c"), &value, &place->err), STATUS_NOT_FOUND);
    assert_int_equal(store_delete(&txn, place->table, text("c"), &place->err), STATUS_NOT_FOUND);
    assert_string_equal(place->err.message, "untouched");
    assert_int_equal(value.size, 77);
    assert_int_equal(store_get(&txn, place->other, text("a"), &value, &place->err), STATUS_NOT_FOUND);
    assert_int_equal(store_put(&txn, place->table, text("a"), text("3"), CHRONOS_PUT_NOOVERWRITE, &place->err),
                     STATUS_EXISTS);
    assert_string_equal(place->err.message, "the key exists");
    assert_int_equal(store_put(&txn, place->table, text(""), text("3"), 0, &place->err), STATUS_INVALID);
    assert_int_equal(store_put(&txn, 99, text("a"), text("3"), 0, &place->err), STATUS_MISUSE);
    assert_int_equal(store_delete(&txn, place->table, text("a"), &place->err), STATUS_OK);
    expect_row(place, &txn, "a", NULL);
    uint64_t entries = 0, bytes = 0;
    assert_int_equal(store_stat(&txn, place->table, &entries, &bytes, &place->err), STATUS_OK);
    assert_int_equal(entries, 1);
    assert_int_equal(bytes, 1);
    commit(place, &txn);
    assert_int_equal(store_sync(place->store, &place->err), STATUS_OK);
}

static void test_key_and_value_limits(void **state)
{
    struct place *place = *state;
    char *big = calloc(1, STORE_VALUE_MIN + 1);
    assert_non_null(big);
    struct store_txn txn = begin(place, CHRONOS_TXN_WRITE);
    struct bytes key = {big, STORE_KEY_MIN}, value = {big, STORE_VALUE_MIN}, found;
    assert_int_equal(store_put(&txn, place->table, key, value, 0, &place->err), STATUS_OK);
    assert_int_equal(store_get(&txn, place->table, key, &found, &place->err), STATUS_OK);
    assert_int_equal(found.size, STORE_VALUE_MIN);
    key.size++;
    assert_int_equal(store_put(&txn, place->table, key, value, 0, &place->err), STATUS_TOO_LARGE);
    key.size--;
    value.size++;
    assert_int_equal(store_put(&txn, place->table, key, value, 0, &place->err), STATUS_TOO_LARGE);
    store_abort(&txn);
    free(big);
}

static void test_transactions(void **state)
{
    struct place *place = *state;
    struct store_txn none = {0};
    store_abort(&none); /* never opened: fine */
    assert_int_equal(store_commit(&none, &place->err), STATUS_MISUSE);
    fill(place, "a");
    struct store_txn reader = begin(place, CHRONOS_TXN_READ), writer = begin(place, CHRONOS_TXN_WRITE);
    put(place, &writer, "b", "2");
    assert_int_equal(store_delete(&writer, place->table, text("a"), &place->err), STATUS_OK);
    expect_row(place, &reader, "a", "v"); /* its own moment */
    expect_row(place, &reader, "b", NULL);
    commit(place, &writer);
    expect_row(place, &reader, "a", "v");
    assert_int_equal(store_put(&reader, place->table, text("x"), text("y"), 0, &place->err), STATUS_MISUSE);
    struct store_txn second = begin(place, CHRONOS_TXN_READ), third = {0};
    expect_row(place, &second, "b", "2");
    assert_int_equal(store_begin(place->store, CHRONOS_TXN_READ, &third, &place->err), STATUS_BUSY);
    assert_null(third.handle);
    store_abort(&reader);
    store_abort(&second);
    writer = begin(place, CHRONOS_TXN_WRITE);
    put(place, &writer, "c", "3");
    store_abort(&writer);
    store_abort(&writer);
    reader = begin(place, CHRONOS_TXN_READ);
    expect_keys(place, &reader, "b");
    assert_int_equal(store_commit(&reader, &place->err), STATUS_MISUSE); /* and ends it all the same */
    assert_null(reader.handle);
}

static void test_no_space(void **state)
{
    struct place *place = *state;
    store_close(place->store);
    open_store(place, "{\"capacity\":\"10\"}");
    struct store_txn txn = begin(place, CHRONOS_TXN_WRITE);
    put(place, &txn, "a", "12345");
    assert_int_equal(store_put(&txn, place->table, text("b"), text("12345"), 0, &place->err), STATUS_NO_SPACE);
    put(place, &txn, "a", "123456789"); /* replaced, not added */
    commit(place, &txn);
    txn = begin(place, CHRONOS_TXN_READ);
    expect_row(place, &txn, "a", "123456789");
    store_abort(&txn);
}

/* -- cursors ------------------------------------------------------------------------------------------------------- */

static void expect_move(struct place *place, struct store_cursor *cursor, int32_t op, const char *seek,
                        const char *expected)
{
    struct bytes key = {0}, value;
    enum status status = store_cursor_move(cursor, op, text(seek), &key, &value, &place->err);
    assert_int_equal(status, expected ? STATUS_OK : STATUS_NOT_FOUND);
    if (expected && (key.size != strlen(expected) || memcmp(key.data, expected, key.size) != 0))
        fail_msg("%.*s instead of %s", (int)key.size, (const char *)key.data, expected);
}

static void test_cursor(void **state)
{
    struct place *place = *state;
    fill(place, "bdfh");
    struct store_txn txn = begin(place, CHRONOS_TXN_WRITE);
    struct store_cursor cursor = {0};
    assert_int_equal(store_cursor_open(&txn, place->table, &cursor, &place->err), STATUS_OK);
    expect_move(place, &cursor, CHRONOS_CURSOR_PREV, "", "h"); /* fresh: PREV is LAST */
    expect_move(place, &cursor, CHRONOS_CURSOR_NEXT, "", NULL);
    expect_move(place, &cursor, CHRONOS_CURSOR_FIRST, "", "b");
    expect_move(place, &cursor, CHRONOS_CURSOR_PREV, "", NULL);
    expect_move(place, &cursor, CHRONOS_CURSOR_SEEK_GE, "c", "d");
    expect_move(place, &cursor, CHRONOS_CURSOR_SEEK_GE, "d", "d");
    expect_move(place, &cursor, CHRONOS_CURSOR_SEEK_LE, "c", "b");
    expect_move(place, &cursor, CHRONOS_CURSOR_SEEK_LE, "d", "d");
    expect_move(place, &cursor, CHRONOS_CURSOR_SEEK_LE, "a", NULL);
    expect_move(place, &cursor, CHRONOS_CURSOR_SEEK_GE, "i", NULL);
    expect_move(place, &cursor, CHRONOS_CURSOR_SEEK_GE, "d", "d");
    assert_int_equal(store_delete(&txn, place->table, text("d"), &place->err), STATUS_OK);
    put(place, &txn, "e", "new");
    /* the first above the one returned, though that is gone */
    expect_move(place, &cursor, CHRONOS_CURSOR_NEXT, "", "e");
    assert_int_equal(store_delete(&txn, place->table, text("e"), &place->err), STATUS_OK);
    expect_move(place, &cursor, CHRONOS_CURSOR_PREV, "", "b");
    expect_move(place, &cursor, CHRONOS_CURSOR_LAST, "", "h");
    assert_int_equal(store_cursor_move(&cursor, 99, text(""), &(struct bytes){0}, &(struct bytes){0}, &place->err),
                     STATUS_INVALID);
    store_cursor_close(&cursor);
    assert_int_equal(store_cursor_open(&txn, 99, &cursor, &place->err), STATUS_MISUSE);
    store_abort(&txn);
}

/* Bytes compare unsigned, a shorter key before a longer one that it begins. */
static void test_order(void **state)
{
    struct place *place = *state;
    struct store_txn txn = begin(place, CHRONOS_TXN_WRITE);
    put(place, &txn, "\xff", "v");
    put(place, &txn, "ab", "v");
    put(place, &txn, "a", "v");
    put(place, &txn, "\x7f", "v");
    put(place, &txn, "b", "v");
    expect_keys(place, &txn, "a ab b \x7f \xff");
    store_abort(&txn);
}

/* -- ranges -------------------------------------------------------------------------------------------------------- */

static void expect_range(struct place *place, const char *from, const char *to, uint64_t max, uint64_t count,
                         const char *left)
{
    struct store_txn txn = begin(place, CHRONOS_TXN_WRITE);
    uint64_t deleted = 77;
    assert_int_equal(store_delete_range(&txn, place->table, text(from), text(to), max, &deleted, &place->err),
                     STATUS_OK);
    assert_int_equal(deleted, count);
    expect_keys(place, &txn, left);
    store_abort(&txn);
}

static void test_range_by_cursor(void **state)
{
    struct place *place = *state;
    fill(place, "abcdef");
    expect_range(place, "", "", 100, 6, "");
    expect_range(place, "b", "e", 100, 3, "a e f");
    expect_range(place, "b", "e", 2, 2, "a d e f");
    expect_range(place, "b", "e", 0, 0, "a b c d e f");
    expect_range(place, "", "c", 100, 2, "c d e f");
    expect_range(place, "e", "", 100, 2, "a b c d");
    expect_range(place, "x", "", 100, 0, "a b c d e f");
    expect_range(place, "e", "b", 100, 0, "a b c d e f");
    expect_range(place, "aa", "cc", 100, 2, "a d e f");
}

/* -- the in-memory backend against plain arrays -------------------------------------------------------------------- */

enum { MODEL_KEYS = 300 };

static void check_model(struct place *place, struct store_txn *txn, const int *model)
{
    struct store_cursor cursor = {0};
    struct bytes key, value;
    assert_int_equal(store_cursor_open(txn, place->table, &cursor, &place->err), STATUS_OK);
    for (int i = 0; i < MODEL_KEYS; i++) {
        if (model[i] < 0)
            continue;
        char expected[16], number[16];
        snprintf(expected, sizeof expected, "k%04d", i);
        snprintf(number, sizeof number, "%d", model[i]);
        assert_int_equal(store_cursor_move(&cursor, CHRONOS_CURSOR_NEXT, text(""), &key, &value, &place->err),
                         STATUS_OK);
        assert_int_equal(key.size, strlen(expected));
        assert_memory_equal(key.data, expected, key.size);
        assert_int_equal(value.size, strlen(number));
        assert_memory_equal(value.data, number, value.size);
    }
    assert_int_equal(store_cursor_move(&cursor, CHRONOS_CURSOR_NEXT, text(""), &key, &value, &place->err),
                     STATUS_NOT_FOUND);
    store_cursor_close(&cursor);
}

static void change(struct place *place, struct store_txn *txn, struct random *random, int *model)
{
    int i = (int)random_below(random, MODEL_KEYS), number = (int)random_below(random, 1000000);
    char key[16], value[16];
    snprintf(key, sizeof key, "k%04d", i);
    snprintf(value, sizeof value, "%d", number);
    if (random_below(random, 3) == 0) {
        assert_int_equal(store_delete(txn, place->table, text(key), &place->err),
                         model[i] < 0 ? STATUS_NOT_FOUND : STATUS_OK);
        model[i] = -1;
    } else {
        put(place, txn, key, value);
        model[i] = number;
    }
}

static void test_against_model(void **state)
{
    struct place *place = *state;
    struct random random;
    int model[MODEL_KEYS], tried[MODEL_KEYS], seen[MODEL_KEYS];
    random_seed(&random, 20270101);
    memset(model, -1, sizeof model);
    for (int round = 0; round < 200; round++) {
        struct store_txn reader = begin(place, CHRONOS_TXN_READ), writer = begin(place, CHRONOS_TXN_WRITE);
        memcpy(seen, model, sizeof seen);
        memcpy(tried, model, sizeof tried);
        for (int i = 0; i < 30; i++)
            change(place, &writer, &random, tried);
        check_model(place, &writer, tried);
        if (random_below(&random, 4) == 0) {
            store_abort(&writer);
        } else {
            commit(place, &writer);
            memcpy(model, tried, sizeof model);
        }
        check_model(place, &reader, seen);
        store_abort(&reader);
    }
}

struct reading {
    struct place *place;
    int wrong;
};

/* Two keys that are always written together must always be seen together. */
static void *read_pairs(void *arg)
{
    struct reading *reading = arg;
    struct error err;
    for (int i = 0; i < 2000; i++) {
        struct store_txn txn = {0};
        struct bytes left = {0}, right = {0};
        if (store_begin(reading->place->store, CHRONOS_TXN_READ, &txn, &err) != STATUS_OK) {
            reading->wrong++;
            continue;
        }
        enum status first = store_get(&txn, reading->place->table, text("left"), &left, &err);
        char copy[16] = "";
        if (first == STATUS_OK)
            memcpy(copy, left.data, left.size < sizeof copy ? left.size : sizeof copy);
        enum status second = store_get(&txn, reading->place->table, text("right"), &right, &err);
        if (first != second ||
            (first == STATUS_OK && (left.size != right.size || memcmp(copy, right.data, right.size) != 0)))
            reading->wrong++;
        store_abort(&txn);
    }
    return NULL;
}

static void test_readers(void **state)
{
    struct place *place = *state;
    struct reading readings[2] = {{.place = place}, {.place = place}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_pairs, &readings[i]), 0);
    for (int i = 0; i < 2000; i++) {
        char value[16];
        snprintf(value, sizeof value, "%d", i);
        struct store_txn txn = begin(place, CHRONOS_TXN_WRITE | CHRONOS_TXN_LAZY);
        put(place, &txn, "left", value);
        put(place, &txn, "right", value);
        commit(place, &txn);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(readings[i].wrong, 0);
    }
}

/* -- a backend that breaks its promises ---------------------------------------------------------------------------- */

static struct {
    struct chronos_storage_limits limits;
    int32_t open_code, commit_code;
    uint64_t range_count;
    int opened, closed, destroyed;
} liar;

static int32_t liar_create(const struct chronos_host *host, void **self, struct chronos_error *err)
{
    (void)host;
    (void)err;
    *self = &liar;
    return CHRONOS_OK;
}

static void liar_destroy(void *self)
{
    (void)self;
    liar.destroyed++;
}

static int32_t liar_open(void *self, const struct chronos_storage_open *open, struct chronos_error *err)
{
    (void)self;
    assert_int_equal(open->struct_size, sizeof *open);
    assert_int_equal(open->reserved0, 0);
    if (liar.open_code != CHRONOS_OK)
        strcpy(err->msg, "torn page");
    liar.opened++;
    return liar.open_code;
}

static void liar_limits(void *self, struct chronos_storage_limits *out)
{
    (void)self;
    *out = liar.limits;
}

static int32_t liar_begin(void *self, uint32_t flags, struct chronos_txn **out, struct chronos_error *err)
{
    (void)err;
    if (flags & CHRONOS_TXN_WRITE)
        *out = self;
    return CHRONOS_OK; /* READ: no handle */
}

static int32_t liar_commit(struct chronos_txn *txn, struct chronos_error *err)
{
    (void)txn;
    (void)err;
    return liar.commit_code;
}

static void liar_abort(struct chronos_txn *txn)
{
    (void)txn;
}

static int32_t liar_get(struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *key,
                        struct chronos_bytes *out_value, struct chronos_error *err)
{
    (void)txn;
    (void)table;
    (void)key;
    (void)err;
    out_value->size = 5; /* of nothing */
    return CHRONOS_OK;
}

static int32_t liar_del_range(struct chronos_txn *txn, uint32_t table, const struct chronos_bytes *from,
                              const struct chronos_bytes *to, uint64_t max, uint64_t *out_n, struct chronos_error *err)
{
    (void)txn;
    (void)table;
    (void)from;
    (void)to;
    (void)max;
    (void)err;
    *out_n = liar.range_count;
    return CHRONOS_OK;
}

static int32_t liar_cursor_open(struct chronos_txn *txn, uint32_t table, struct chronos_cursor **out,
                                struct chronos_error *err)
{
    (void)txn;
    (void)table;
    (void)out;
    (void)err;
    return CHRONOS_OK;
}

static void liar_close(void *self)
{
    (void)self;
    liar.closed++;
}

static struct plugin_component liar_component(void)
{
    return (struct plugin_component){.id = "liar", .kind = CHRONOS_KIND_STORAGE, .plugin_name = "liar",
                                     .plugin_version = "1", .path = "/liar.so", .create = liar_create,
                                     .destroy = liar_destroy,
                                     .ops.storage = {.struct_size = sizeof(struct chronos_storage_ops),
                                                     .open = liar_open,
                                                     .limits = liar_limits, .begin = liar_begin, .commit = liar_commit,
                                                     .abort = liar_abort, .get = liar_get, .del_range = liar_del_range,
                                                     .cursor_open = liar_cursor_open, .close = liar_close}};
}

static enum status open_liar(struct plugin_component *component, struct store **store, struct error *err)
{
    *component = liar_component();
    assert_int_equal(plugin_schema_new(NULL, 0, 0, &component->schema, err), STATUS_OK);
    enum status status = store_open(component, "liar", NULL, &clock_system, &state_options, store, err);
    if (status != STATUS_OK)
        plugin_schema_free(component->schema);
    return status;
}

static const struct chronos_storage_limits enough = {.struct_size = sizeof enough, .max_key = STORE_KEY_MIN,
                                                     .max_value = STORE_VALUE_MIN, .max_tables = STORE_TABLES_MIN};

static void test_limits_refused(void **state)
{
    (void)state;
    struct plugin_component component;
    struct store *store = NULL;
    struct error err;
    memset(&liar, 0, sizeof liar);
    liar.limits = enough;
    liar.limits.max_key--;
    assert_int_equal(open_liar(&component, &store, &err), STATUS_INVALID);
    assert_string_equal(err.message, "storage \"liar\" takes keys of at most 510 bytes; at least 511 are needed");
    liar.limits = enough;
    liar.limits.max_value--;
    assert_int_equal(open_liar(&component, &store, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "values of at most 1048575 bytes"));
    liar.limits = enough;
    liar.limits.max_tables--;
    assert_int_equal(open_liar(&component, &store, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "at most 31 tables"));
    assert_int_equal(liar.closed, 3); /* what was opened is closed, then destroyed */
    assert_int_equal(liar.destroyed, 3);
    liar.open_code = CHRONOS_CORRUPT;
    assert_int_equal(open_liar(&component, &store, &err), STATUS_CORRUPT);
    assert_string_equal(err.message, "open storage \"liar\" in /nowhere: torn page");
    assert_int_equal(liar.closed, 3); /* never open, so never closed */
    assert_int_equal(liar.destroyed, 4);
    assert_null(store);
}

static void test_broken_promises(void **state)
{
    (void)state;
    struct plugin_component component;
    struct store *store = NULL;
    struct error err;
    struct store_txn txn = {0};
    struct store_cursor cursor = {0};
    struct bytes value;
    uint64_t count = 77;
    memset(&liar, 0, sizeof liar);
    liar.limits = enough;
    assert_int_equal(open_liar(&component, &store, &err), STATUS_OK);
    assert_int_equal(store_begin(store, CHRONOS_TXN_READ, &txn, &err), STATUS_INTERNAL);
    assert_string_equal(err.message, "storage \"liar\" misbehaves: begin returned no transaction");
    assert_int_equal(store_begin(store, CHRONOS_TXN_WRITE, &txn, &err), STATUS_OK);
    assert_int_equal(store_get(&txn, 0, text("k"), &value, &err), STATUS_INTERNAL);
    assert_non_null(strstr(err.message, "a length without data"));
    assert_int_equal(store_cursor_open(&txn, 0, &cursor, &err), STATUS_INTERNAL);
    liar.range_count = 4;
    assert_int_equal(store_delete_range(&txn, 0, text("a"), text("b"), 3, &count, &err), STATUS_INTERNAL);
    assert_int_equal(count, 77);
    assert_int_equal(store_delete_range(&txn, 0, text("a"), text("b"), 4, &count, &err), STATUS_OK);
    assert_int_equal(count, 4);
    liar.commit_code = -12345;
    assert_int_equal(store_commit(&txn, &err), STATUS_INTERNAL);
    assert_null(txn.handle);
    /* NOTFOUND is no normal answer here: the message says something all the same. */
    liar.commit_code = CHRONOS_NOTFOUND;
    err.message[0] = '\0';
    assert_int_equal(store_begin(store, CHRONOS_TXN_WRITE, &txn, &err), STATUS_OK);
    assert_int_equal(store_commit(&txn, &err), STATUS_NOT_FOUND);
    assert_true(err.message[0] != '\0');
    store_close(store);
    plugin_schema_free(component.schema);
    assert_int_equal(liar.closed, 1);
    store_close(NULL);
}

static void test_wrong_kind(void **state)
{
    (void)state;
    struct plugin_component component = liar_component();
    struct store *store = NULL;
    struct error err;
    component.kind = CHRONOS_KIND_EXECUTOR;
    assert_int_equal(store_open(&component, "x", NULL, &clock_system, &state_options, &store, &err), STATUS_MISUSE);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_rows),
        CASE(test_key_and_value_limits),
        CASE(test_transactions),
        CASE(test_no_space),
        CASE(test_cursor),
        CASE(test_order),
        CASE(test_range_by_cursor),
        CASE(test_against_model),
        CASE(test_readers),
        cmocka_unit_test(test_limits_refused),
        cmocka_unit_test(test_broken_promises),
        cmocka_unit_test(test_wrong_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
