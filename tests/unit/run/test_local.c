/* The local store and its writer. */
#include "fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/codec.h"

struct fixture {
    char directory[256];
    struct local_store *local;
    struct local_writer *writer;
    struct capture_budget budget;
    struct id_source ids;
    atomic_bool stopped;
};

static void open_store(struct fixture *f, const char *options_text)
{
    cJSON *options = NULL;
    if (options_text != NULL)
        OK(json_parse(options_text, strlen(options_text), &options, &failure));
    OK(local_store_open(backend(), options, &clock_system, f->directory, &f->local, &failure));
    cJSON_Delete(options);
}

static void on_stopped(void *arg)
{
    atomic_store(&((struct fixture *)arg)->stopped, true);
}

static void start_writer(struct fixture *f, int64_t retention_ms)
{
    struct local_writer_config config = {.local = f->local, .clock = &clock_system, .output_retention_ms = retention_ms,
                                         .stopped = on_stopped, .stopped_arg = f};
    OK(local_writer_start(&config, &f->writer, &failure));
}

/* Everything handed over is written when it has ended. */
static void stop_writer(struct fixture *f)
{
    local_writer_free(f->writer);
    f->writer = NULL;
    assert_true(atomic_load(&f->stopped));
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    temporary_directory(f->directory);
    f->budget.limit_bytes = 64 << 20;
    id_source_init(&f->ids, 5);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    local_writer_free(f->writer);
    local_store_close(f->local);
    assert_int_equal(atomic_load(&f->budget.kept_bytes), 0); /* nobody kept a capture */
    remove_directory(f->directory);
    free(f);
    return 0;
}

static void put_output(struct fixture *f, const struct local_key *key, size_t size, char fill)
{
    struct capture *capture;
    char *data = malloc(size);
    assert_non_null(data);
    memset(data, fill, size);
    OK(capture_new(&f->budget, size, 16, &capture, &failure));
    OK(capture_append(capture, data, size));
    capture_close(capture);
    local_writer_put_output(f->writer, key, capture);
    capture_unref(capture);
    free(data);
}

static enum status stored_size(struct fixture *f, const struct local_key *key, uint64_t *ret)
{
    struct buffer out;
    buffer_init(&out, 64 << 20);
    enum status status = local_read_output(f->local, key, 0, 64 << 20, &out, ret, &failure);
    if (status == STATUS_OK)
        assert_int_equal(out.size, *ret);
    buffer_deinit(&out);
    return status;
}

struct collected {
    uint32_t count, damaged;
    struct local_key last;
    uint32_t stop_at;
};

static bool collect(void *arg, const struct local_key *key, struct bytes command)
{
    struct collected *collected = arg;
    collected->count++;
    collected->damaged += command.size == 0;
    collected->last = *key;
    return collected->count != collected->stop_at;
}

static void put_outbox(struct fixture *f, const struct local_key *key, const char *command)
{
    struct buffer row, rows;
    buffer_init(&row, 1000);
    buffer_init(&rows, 1000);
    local_outbox_row((struct bytes){command, strlen(command)}, &row);
    buffer_append(&rows, key->bytes, sizeof key->bytes);
    put_blob(&rows, row.data, row.size);
    local_writer_put_outbox(f->writer, &rows);
    assert_int_equal(rows.size, 0);
    buffer_deinit(&row);
    buffer_deinit(&rows);
}

static struct local_key new_key(struct fixture *f, int64_t at_ms)
{
    struct id id = id_next(&f->ids, at_ms);
    return local_key(&id, 1);
}

static void test_outbox(void **state)
{
    struct fixture *f = *state;
    const struct local_key none = {{0}};
    struct local_key keys[5];
    struct buffer gone;
    struct collected collected = {0};
    open_store(f, NULL);
    start_writer(f, 0);
    for (int i = 0; i < 5; i++) {
        keys[i] = new_key(f, 1000 + i);
        put_outbox(f, &keys[i], "a command");
    }
    buffer_init(&gone, 1000);
    buffer_append(&gone, keys[1].bytes, sizeof keys[1].bytes);
    buffer_append(&gone, keys[4].bytes, sizeof keys[4].bytes);
    local_writer_delete_outbox(f->writer, &gone);
    buffer_append(&gone, keys[1].bytes, sizeof keys[1].bytes);
    local_writer_delete_outbox(f->writer, &gone); /* twice does no harm */
    stop_writer(f);
    OK(local_read_outbox(f->local, &none, collect, &collected, &failure));
    assert_int_equal(collected.count, 3);
    assert_int_equal(collected.damaged, 0);
    assert_memory_equal(&collected.last, &keys[3], sizeof keys[3]);
    collected = (struct collected){.stop_at = 1};
    OK(local_read_outbox(f->local, &keys[0], collect, &collected, &failure)); /* goes on behind it */
    assert_int_equal(collected.count, 1);
    assert_memory_equal(&collected.last, &keys[2], sizeof keys[2]);
    buffer_deinit(&gone);
}

static void test_damaged_rows_have_no_command(void **state)
{
    struct fixture *f = *state;
    const struct local_key none = {{0}};
    struct collected collected = {0};
    struct store_txn txn;
    struct buffer row;
    open_store(f, NULL);
    buffer_init(&row, 1000);
    local_outbox_row((struct bytes){"a command", 9}, &row);
    OK(local_begin(f->local, &txn, &failure));
    for (size_t i = 0; i < row.size; i++) { /* every byte once */
        struct local_key key = new_key(f, 1000);
        row.data[i] ^= 0x40;
        OK(local_put_outbox(f->local, &txn, (struct bytes){key.bytes, sizeof key.bytes}, buffer_bytes(&row), &failure));
        row.data[i] ^= 0x40;
    }
    for (size_t size = 0; size < row.size; size++) { /* cut anywhere */
        struct local_key key = new_key(f, 1000);
        OK(local_put_outbox(f->local, &txn, (struct bytes){key.bytes, sizeof key.bytes}, (struct bytes){row.data, size},
                            &failure));
    }
    OK(store_commit(&txn, &failure));
    OK(local_read_outbox(f->local, &none, collect, &collected, &failure));
    assert_int_equal(collected.count, 2 * row.size);
    assert_int_equal(collected.damaged, 2 * row.size);
    buffer_deinit(&row);
}

static void test_output_and_retention(void **state)
{
    enum { OLD = 300 };
    struct fixture *f = *state;
    int64_t now_ms = clock_system.wall_ms(NULL), hour_ms = 3600 * 1000;
    struct local_key old[OLD], fresh;
    uint64_t size = 0;
    open_store(f, NULL);
    start_writer(f, 0);
    for (int i = 0; i < OLD; i++) {
        old[i] = new_key(f, now_ms - 2 * hour_ms);
        put_output(f, &old[i], 100, 'o');
    }
    fresh = new_key(f, now_ms);
    put_output(f, &fresh, LOCAL_CHUNK_SIZE * 2 + 1, 'f');
    stop_writer(f);
    OK(stored_size(f, &fresh, &size));
    assert_int_equal(size, LOCAL_CHUNK_SIZE * 2 + 1);
    OK(stored_size(f, &old[0], &size));
    OK(stored_size(f, &old[OLD - 1], &size));

    start_writer(f, hour_ms); /* sweeps at its start, in several transactions */
    uint64_t until = uv_hrtime() + UINT64_C(20000000000);
    while (stored_size(f, &old[OLD - 1], &size) != STATUS_NOT_FOUND)
        assert_true(uv_hrtime() < until);
    for (int i = 0; i < OLD; i++)
        assert_int_equal(stored_size(f, &old[i], &size), STATUS_NOT_FOUND);
    OK(stored_size(f, &fresh, &size));
    stop_writer(f);
}

static void test_damaged_output(void **state)
{
    struct fixture *f = *state;
    struct local_key key = new_key(f, 1000);
    struct store_txn txn;
    struct bytes kept = {"0123456789", 10};
    struct buffer out;
    uint64_t size;
    open_store(f, NULL);
    buffer_init(&out, 1000);
    OK(local_begin(f->local, &txn, &failure));
    OK(local_put_output(f->local, &txn, &key, kept, 5, &failure)); /* more kept than there were */
    OK(store_commit(&txn, &failure));
    assert_int_equal(local_read_output(f->local, &key, 0, 10, &out, &size, &failure), STATUS_CORRUPT);
    OK(local_begin(f->local, &txn, &failure));
    OK(local_put_output(f->local, &txn, &key, (struct bytes){kept.data, 4}, 4, &failure));
    OK(store_commit(&txn, &failure));
    OK(local_read_output(f->local, &key, 0, 10, &out, &size, &failure));
    assert_int_equal(size, 4);
    buffer_deinit(&out);
}

static void test_full_disk(void **state)
{
    struct fixture *f = *state;
    struct local_key big = new_key(f, 2000), small = new_key(f, 2001);
    const struct local_key none = {{0}};
    struct collected collected = {0};
    uint64_t size;
    open_store(f, "{\"map_size\":\"1MiB\"}");
    start_writer(f, 0);
    put_outbox(f, &small, "a command");
    put_output(f, &big, 4 << 20, 'b'); /* does not fit; what matters does */
    uint64_t until = uv_hrtime() + UINT64_C(20000000000);
    while (local_writer_takes_output(f->writer, 0))
        assert_true(uv_hrtime() < until);
    stop_writer(f);
    assert_int_equal(stored_size(f, &big, &size), STATUS_NOT_FOUND);
    OK(local_read_outbox(f->local, &none, collect, &collected, &failure));
    assert_int_equal(collected.count, 1);
}

static void test_output_on_its_way(void **state)
{
    struct fixture *f = *state;
    struct local_key key = new_key(f, 1000), other = new_key(f, 1001);
    uint64_t size = 0;
    open_store(f, NULL);
    start_writer(f, 0);
    for (int i = 0; i < 200; i++) {
        put_output(f, &key, 100000, 'w');
        struct capture *capture = local_writer_find_output(f->writer, &key);
        if (capture == NULL) /* written already: then it is found there */
            OK(stored_size(f, &key, &size));
        capture_unref(capture);
        assert_null(local_writer_find_output(f->writer, &other));
    }
    stop_writer(f);
    OK(stored_size(f, &key, &size));
    assert_int_equal(size, 100000);
}

static int64_t used_cpu_ms(void)
{
    struct timespec used;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used), 0);
    return (int64_t)used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

/* How much of a processor the process uses while it has nothing to do is what is measured: hence a fixed time. */
static void assert_sleeps(void)
{
    const struct timespec while_idle = {.tv_nsec = 300000000};
    int64_t before_ms = used_cpu_ms();
    assert_int_equal(nanosleep(&while_idle, NULL), 0);
    assert_true(used_cpu_ms() - before_ms < 60);
}

static void test_sleeps_without_retention(void **state)
{
    struct fixture *f = *state;
    open_store(f, NULL);
    start_writer(f, 0);
    assert_sleeps();
    stop_writer(f);
}

static void test_sleeps_when_the_store_broke(void **state)
{
    enum { OLD = 3000 }; /* a sweep of many transactions: it is not over when the store breaks */
    struct fixture *f = *state;
    int64_t now_ms = clock_system.wall_ms(NULL), hour_ms = 3600 * 1000;
    struct store_txn txn;
    struct buffer cut_short;
    open_store(f, NULL);
    OK(local_begin(f->local, &txn, &failure));
    for (int i = 0; i < OLD; i++) {
        struct local_key old = new_key(f, now_ms - 2 * hour_ms);
        OK(local_put_output(f->local, &txn, &old, (struct bytes){"o", 1}, 1, &failure));
    }
    OK(store_commit(&txn, &failure));
    start_writer(f, hour_ms);
    buffer_init(&cut_short, 1000);
    buffer_append(&cut_short, "no row", 6);
    local_writer_put_outbox(f->writer, &cut_short);
    uint64_t until = uv_hrtime() + UINT64_C(20000000000);
    while (local_writer_takes_output(f->writer, 0))
        assert_true(uv_hrtime() < until);
    assert_sleeps();
    stop_writer(f);
    buffer_deinit(&cut_short);
}

static void test_no_more_than_a_part_of_the_disk(void **state)
{
    struct fixture *f = *state;
    open_store(f, NULL);
    start_writer(f, 0);
    int64_t free_bytes = local_free_bytes(f->local);
    assert_true(free_bytes > 0);
    assert_true(local_writer_takes_output(f->writer, 0));
    assert_true(local_writer_takes_output(f->writer, (size_t)free_bytes / 64));
    assert_false(local_writer_takes_output(f->writer, (size_t)free_bytes / 2)); /* written twice, it would be all */
    assert_false(local_writer_takes_output(f->writer, (size_t)free_bytes));
    assert_true(local_writer_takes_output(f->writer, 0)); /* it was that size, not the store */
    stop_writer(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_outbox, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_rows_have_no_command, setup, teardown),
        cmocka_unit_test_setup_teardown(test_output_and_retention, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_output, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_output_on_its_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sleeps_without_retention, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sleeps_when_the_store_broke, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_more_than_a_part_of_the_disk, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
