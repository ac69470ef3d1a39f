/* The log on disk: what is appended is read back, what was damaged is named, what may go goes. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"

struct log_fixture {
    const char *backend;
    char *folder;
    struct store *store;
    struct log_store *log;
};

static const char *backend = "lmdb";

static int setup(void **state)
{
    struct log_fixture *f = calloc(1, sizeof *f);
    f->backend = backend;
    f->folder = folder_new();
    f->store = store_of(f->backend, f->folder, CHRONOS_STORAGE_LOG);
    OK(log_store_new(f->store, &f->log, &failure));
    *state = f;
    return 0;
}

static void close_log(struct log_fixture *f)
{
    log_store_free(f->log);
    f->log = NULL;
    store_close(f->store);
    f->store = NULL;
}

static int teardown(void **state)
{
    struct log_fixture *f = *state;
    close_log(f);
    folder_free(f->folder);
    free(f);
    return 0;
}

static enum status reopen(struct log_fixture *f, struct error *err)
{
    if (strcmp(f->backend, "memory") != 0) {
        close_log(f);
        f->store = store_of(f->backend, f->folder, CHRONOS_STORAGE_LOG);
    } else {
        log_store_free(f->log);
        f->log = NULL;
    }
    return log_store_new(f->store, &f->log, err);
}

static void text_of(uint64_t index, char out[32])
{
    (void)snprintf(out, 32, "entry number %llu", (unsigned long long)index);
}

static void append(struct log_fixture *f, uint32_t count, uint64_t term)
{
    struct log_entry *entries = calloc(count, sizeof *entries);
    char (*texts)[32] = calloc(count, sizeof *texts);
    uint64_t last = log_store_last(f->log)->index;
    for (uint32_t i = 0; i < count; i++) {
        text_of(last + 1 + i, texts[i]);
        entries[i] = (struct log_entry){.index = last + 1 + i, .term = term, .type = LOG_ENTRY_NORMAL,
                                        .data = {texts[i], strlen(texts[i])}};
    }
    OK(log_store_append(f->log, entries, count, NULL, &failure));
    free(texts);
    free(entries);
}

/* What went wrong between the core and the disk is not written. */
static void test_an_entry_that_changed_on_its_way(void **state)
{
    struct log_fixture *f = *state;
    struct error err;
    append(f, 3, 1);
    struct log_position last = *log_store_last(f->log);
    struct raft_entry made = {.id = {4, 1}, .type = RAFT_ENTRY_NORMAL, .data = "made so", .size = 7};
    struct log_entry entry = {.index = 4, .term = 1, .type = LOG_ENTRY_NORMAL, .hash = raft_entry_hash(last.hash, &made),
                              .data = {"made s0", 7}};
    assert_int_equal(log_store_append(f->log, &entry, 1, NULL, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.message, "log entry 4 is not what it was when it was made"));
    assert_int_equal(log_store_last(f->log)->index, 3);
    entry.data.data = made.data;
    OK(log_store_append(f->log, &entry, 1, NULL, &failure));
    assert_int_equal(log_store_last(f->log)->hash, entry.hash);
}

struct reading {
    uint64_t next, count, stop_after;
    uint64_t term;
};

static bool read_one(void *arg, const struct log_entry *entry)
{
    struct reading *reading = arg;
    char text[32];
    text_of(entry->index, text);
    assert_true(entry->index == reading->next);
    assert_int_equal(entry->data.size, strlen(text));
    assert_memory_equal(entry->data.data, text, entry->data.size);
    assert_true(entry->term >= reading->term);
    reading->term = entry->term;
    reading->next++;
    return ++reading->count != reading->stop_after;
}

static uint64_t read_from(struct log_fixture *f, uint64_t from, uint64_t stop_after)
{
    struct reading reading = {.next = from, .stop_after = stop_after};
    OK(log_store_read(f->log, from, read_one, &reading, &failure));
    return reading.count;
}

static enum status term_of(struct log_fixture *f, uint64_t index, uint64_t *ret)
{
    struct log_position at;
    enum status status = log_store_position(f->log, index, &at, &failure);
    if (status == STATUS_OK)
        *ret = at.term;
    return status;
}

static void test_append_read_reopen(void **state)
{
    struct log_fixture *f = *state;
    struct log_hard_state before = *log_store_hard(f->log);
    assert_true(id_is_zero(&before.cluster_id)); /* until it founds or joins one */
    assert_true(before.node != 0);
    append(f, 10, 1);
    append(f, 300, 3);
    assert_int_equal(read_from(f, 1, 0), 310);
    assert_int_equal(read_from(f, 200, 5), 5);
    assert_int_equal(read_from(f, 311, 0), 0);
    struct log_position last = *log_store_last(f->log);
    uint64_t term = 0;
    OK(term_of(f, 10, &term));
    assert_int_equal(term, 1);
    OK(term_of(f, 11, &term));
    assert_int_equal(term, 3);
    OK(term_of(f, 0, &term));
    assert_int_equal(term, 0);
    assert_int_equal(term_of(f, 311, &term), STATUS_NOT_FOUND);
    OK(reopen(f, &failure));
    assert_memory_equal(&last, log_store_last(f->log), sizeof last);
    assert_memory_equal(&before, log_store_hard(f->log), sizeof before);
    assert_int_equal(read_from(f, 1, 0), 310);
    append(f, 5, 3);
    OK(reopen(f, &failure));
    assert_int_equal(log_store_last(f->log)->index, 315);
}

static void test_hard_state_with_entries(void **state)
{
    struct log_fixture *f = *state;
    struct log_hard_state hard = *log_store_hard(f->log);
    struct log_entry entry = {.index = 1, .term = 7, .type = LOG_ENTRY_NOOP, .data = {NULL, 0}};
    hard.term = 7;
    hard.vote = hard.node;
    hard.live = 3;
    OK(log_store_append(f->log, &entry, 1, &hard, &failure));
    OK(reopen(f, &failure));
    assert_memory_equal(&hard, log_store_hard(f->log), sizeof hard);
    assert_int_equal(log_store_last(f->log)->term, 7);
}

static void test_the_running_hash_depends_on_everything(void **state)
{
    struct log_fixture *f = *state;
    struct log_entry entry = {.index = 1, .term = 1, .type = LOG_ENTRY_NORMAL, .data = {"a", 1}};
    uint64_t hashes[4];
    for (int variant = 0; variant < 4; variant++) {
        struct log_entry other = entry;
        char *folder = folder_new();
        struct store *store = store_of("memory", folder, CHRONOS_STORAGE_LOG);
        struct log_store *log = NULL;
        OK(log_store_new(store, &log, &failure));
        if (variant == 1)
            other.term = 2;
        if (variant == 2)
            other.type = LOG_ENTRY_NOOP;
        if (variant == 3)
            other.data = (struct bytes){"b", 1};
        OK(log_store_append(log, &other, 1, NULL, &failure));
        hashes[variant] = log_store_last(log)->hash;
        for (int i = 0; i < variant; i++)
            assert_true(hashes[i] != hashes[variant]);
        log_store_free(log);
        store_close(store);
        folder_free(folder);
    }
    (void)f;
}

/* --- damage, done through the store --- */

static void change_row(struct log_fixture *f, const char *table, struct bytes key, size_t at, uint8_t bits)
{
    struct store_txn txn;
    struct bytes row;
    uint8_t copy[256];
    uint32_t id = 0;
    OK(store_table(f->store, table, strcmp(table, "entries") == 0 ? CHRONOS_TABLE_SEQUENTIAL : 0, &id, &failure));
    OK(store_begin(f->store, CHRONOS_TXN_WRITE, &txn, &failure));
    OK(store_get(&txn, id, key, &row, &failure));
    assert_true(row.size <= sizeof copy && at < row.size);
    memcpy(copy, row.data, row.size);
    copy[at] ^= bits;
    OK(store_put(&txn, id, key, (struct bytes){copy, row.size}, 0, &failure));
    OK(store_commit(&txn, &failure));
}

static void delete_entry(struct log_fixture *f, uint64_t index)
{
    struct store_txn txn;
    uint8_t key[8];
    uint32_t id = 0;
    store_be64(key, index);
    OK(store_table(f->store, "entries", CHRONOS_TABLE_SEQUENTIAL, &id, &failure));
    OK(store_begin(f->store, CHRONOS_TXN_WRITE, &txn, &failure));
    OK(store_delete(&txn, id, (struct bytes){key, 8}, &failure));
    OK(store_commit(&txn, &failure));
}

static void expect_refusal(struct log_fixture *f, enum status status, const char *part)
{
    struct error err;
    assert_int_equal(reopen(f, &err), status);
    assert_null(f->log);
    assert_int_equal(err.code, status);
    if (strstr(err.message, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.message, part);
}

/* Whichever bit of an entry flips: the entry is named. */
static void test_every_flipped_bit_is_seen(void **state)
{
    struct log_fixture *f = *state;
    uint8_t key[8];
    append(f, 5, 1);
    store_be64(key, 3);
    for (size_t at = 0; at < LOG_ENTRY_HEADER_SIZE + strlen("entry number 3"); at++)
        for (int bit = 0; bit < 8; bit += 7) {
            struct error err;
            change_row(f, "entries", (struct bytes){key, 8}, at, (uint8_t)(1U << bit));
            log_store_free(f->log);
            f->log = NULL;
            enum status status = log_store_new(f->store, &f->log, &err);
            if (status != STATUS_CORRUPT && !(at == 0 && status == STATUS_NOT_IMPLEMENTED))
                fail_msg("byte %zu, bit %d: %s", at, bit, status_name(status));
            assert_non_null(strstr(err.message, "entry 3"));
            change_row(f, "entries", (struct bytes){key, 8}, at, (uint8_t)(1U << bit));
        }
    OK(log_store_new(f->store, &f->log, &failure));
}

static void test_every_flipped_bit_of_the_hard_state_is_seen(void **state)
{
    struct log_fixture *f = *state;
    for (size_t at = 0; at < 96; at++) { /* without members */
        struct error err;
        change_row(f, "meta", (struct bytes){"hard", 4}, at, 0x10);
        log_store_free(f->log);
        f->log = NULL;
        assert_int_equal(log_store_new(f->store, &f->log, &err), at == 0 ? STATUS_NOT_IMPLEMENTED : STATUS_CORRUPT);
        change_row(f, "meta", (struct bytes){"hard", 4}, at, 0x10);
    }
    OK(log_store_new(f->store, &f->log, &failure));
}

static void test_a_damaged_entry_is_never_read(void **state)
{
    struct log_fixture *f = *state;
    struct error err;
    struct reading reading = {.next = 1};
    uint8_t key[8];
    append(f, 5, 1);
    store_be64(key, 4);
    change_row(f, "entries", (struct bytes){key, 8}, LOG_ENTRY_HEADER_SIZE, 1);
    assert_int_equal(log_store_read(f->log, 1, read_one, &reading, &err), STATUS_CORRUPT);
    assert_int_equal(reading.count, 3);
    assert_non_null(strstr(err.message, "entry 4"));
}

static void test_a_missing_entry(void **state)
{
    struct log_fixture *f = *state;
    append(f, 9, 1);
    delete_entry(f, 6);
    expect_refusal(f, STATUS_CORRUPT, "log entry 6 is missing (found 7)");
}

static void test_a_missing_first_entry(void **state)
{
    struct log_fixture *f = *state;
    append(f, 3, 1);
    delete_entry(f, 1);
    expect_refusal(f, STATUS_CORRUPT, "log entry 1 is missing");
}

static void test_a_newer_format(void **state)
{
    struct log_fixture *f = *state;
    uint8_t key[8];
    append(f, 2, 1);
    store_be64(key, 2);
    change_row(f, "entries", (struct bytes){key, 8}, 0, 1 ^ 2);
    expect_refusal(f, STATUS_NOT_IMPLEMENTED, "entry 2 was written by a newer version");
}

static void test_a_newer_type(void **state)
{
    struct log_fixture *f = *state;
    struct log_entry entry = {.index = 3, .term = 1, .type = (enum log_entry_type)(LOG_ENTRY_CONF + 1), .data = {"?", 1}};
    append(f, 2, 1);
    OK(log_store_append(f->log, &entry, 1, NULL, &failure));
    expect_refusal(f, STATUS_NOT_IMPLEMENTED, "entry 3 was written by a newer version of Chronos (type 4)");
}

static void test_no_space_changes_nothing(void **state)
{
    struct log_fixture *f = *state;
    struct error err;
    struct log_entry entry = {.index = 4, .term = 1, .type = LOG_ENTRY_NORMAL, .data = {"entry number 4", 14}};
    append(f, 3, 1);
    fault_set(CHRONOS_STORAGE_LOG, FAULT_NO_SPACE);
    assert_int_equal(log_store_append(f->log, &entry, 1, NULL, &err), STATUS_NO_SPACE);
    fault_set(CHRONOS_STORAGE_LOG, FAULT_NONE);
    assert_int_equal(log_store_last(f->log)->index, 3);
    OK(log_store_append(f->log, &entry, 1, NULL, &failure));
    OK(reopen(f, &failure));
    assert_int_equal(read_from(f, 1, 0), 4);
}

/* --- cutting --- */

static void test_cut(void **state)
{
    struct log_fixture *f = *state;
    bool more = true;
    uint64_t term = 0;
    append(f, 100, 1);
    append(f, 100, 2);
    OK(log_store_cut(f->log, 0, &more, &failure));
    assert_false(more);
    struct log_position last = *log_store_last(f->log);
    OK(log_store_cut(f->log, 100, &more, &failure));
    assert_false(more);
    assert_int_equal(log_store_hard(f->log)->base.index, 100);
    assert_int_equal(log_store_hard(f->log)->base.term, 1);
    OK(term_of(f, 100, &term)); /* of the base: kept */
    assert_int_equal(term, 1);
    assert_int_equal(term_of(f, 99, &term), STATUS_NOT_FOUND);
    OK(reopen(f, &failure));
    assert_memory_equal(&last, log_store_last(f->log), sizeof last);
    assert_int_equal(read_from(f, 101, 0), 100);
    OK(log_store_cut(f->log, 200, &more, &failure)); /* all of it */
    OK(reopen(f, &failure));
    assert_memory_equal(&last, log_store_last(f->log), sizeof last); /* the base */
    append(f, 3, 2);
    OK(reopen(f, &failure));
    assert_int_equal(read_from(f, 201, 0), 3);
}

static void test_cut_in_bounded_steps(void **state)
{
    struct log_fixture *f = *state;
    bool more = true;
    uint32_t steps = 0;
    append(f, 3 * CUT_BATCH_MAX, 1);
    for (; more; steps++)
        OK(log_store_cut(f->log, 2 * CUT_BATCH_MAX + 5, &more, &failure));
    assert_int_equal(steps, 3);
    assert_int_equal(log_store_hard(f->log)->base.index, 2 * CUT_BATCH_MAX + 5);
    OK(reopen(f, &failure));
}

static void test_an_entry_before_the_base_is_damage(void **state)
{
    struct log_fixture *f = *state;
    bool more;
    append(f, 10, 1);
    OK(log_store_cut(f->log, 5, &more, &failure));
    delete_entry(f, 6);
    expect_refusal(f, STATUS_CORRUPT, "log entry 6 is missing");
}

static void test_cut_target_by_entries(void **state)
{
    struct log_fixture *f = *state;
    uint64_t target = 99;
    append(f, 1000, 1);
    OK(log_store_cut_target(f->log, 1000, &target, &failure));
    assert_int_equal(target, 0); /* all may stay */
    for (int i = 0; i < 20; i++)
        append(f, 5000, 1);
    OK(log_store_cut_target(f->log, 101000, &target, &failure));
    assert_int_equal(target, 101000 - TRAILING_ENTRIES);
    OK(log_store_cut_target(f->log, 300, &target, &failure));
    assert_int_equal(target, 300); /* nothing that the state has not synced */
    bool more;
    OK(log_store_cut(f->log, 600, &more, &failure));
    OK(log_store_cut_target(f->log, 300, &target, &failure));
    assert_int_equal(target, 600);
}

static void test_cut_target_by_bytes(void **state)
{
    struct log_fixture *f = *state;
    enum { SIZE = 1000 * 1000, COUNT = 300 };
    char *data = calloc(1, SIZE);
    uint64_t target = 0;
    for (uint64_t i = 1; i <= COUNT; i++) {
        struct log_entry entry = {.index = i, .term = 1, .type = LOG_ENTRY_NORMAL, .data = {data, SIZE}};
        OK(log_store_append(f->log, &entry, 1, NULL, &failure));
    }
    OK(log_store_cut_target(f->log, COUNT, &target, &failure));
    uint64_t fit = TRAILING_BYTES / (SIZE + LOG_ENTRY_HEADER_SIZE);
    assert_int_equal(target, COUNT - fit);
    OK(log_store_cut_target(f->log, 7, &target, &failure));
    assert_int_equal(target, 7);
    free(data);
}

/* --- what the core does to the log --- */

static void test_entries_are_replaced(void **state)
{
    struct log_fixture *f = *state;
    struct log_entry entry = {.index = 6, .term = 2, .type = LOG_ENTRY_NORMAL, .data = {"entry number 6", 14}};
    struct error err;
    append(f, 5, 1);
    struct log_position before = *log_store_last(f->log);
    append(f, 300, 1);
    uint64_t replaced = log_store_last(f->log)->hash;
    fault_set(CHRONOS_STORAGE_LOG, FAULT_NO_SPACE);
    assert_int_equal(log_store_replace(f->log, 6, &entry, 1, NULL, &err), STATUS_NO_SPACE);
    fault_set(CHRONOS_STORAGE_LOG, FAULT_NONE);
    assert_int_equal(log_store_last(f->log)->index, 305);
    OK(log_store_replace(f->log, 6, &entry, 1, NULL, &failure));
    assert_int_equal(log_store_last(f->log)->index, 6);
    assert_int_equal(log_store_last(f->log)->offset, before.offset + LOG_ENTRY_HEADER_SIZE + 14);
    append(f, 3, 4);
    struct log_position last = *log_store_last(f->log);
    OK(reopen(f, &failure)); /* running hashes and offsets continue over the seam, or this fails */
    assert_memory_equal(&last, log_store_last(f->log), sizeof last);
    assert_true(last.hash != replaced);
    assert_int_equal(read_from(f, 1, 0), 9);
    struct raft_boot boot;
    OK(log_store_boot(f->log, 4, &boot, &failure));
    assert_int_equal(boot.run_count, 3);
    assert_int_equal(boot.runs[0].first, 1);
    assert_int_equal(boot.runs[1].term, 2);
    assert_int_equal(boot.runs[2].first, 7);
    assert_true(boot.last_hash == last.hash && boot.last.index == 9 && boot.last.term == 4 && boot.applied == 4);
    OK(log_store_replace(f->log, 1, NULL, 0, NULL, &failure)); /* all of it */
    assert_int_equal(log_store_last(f->log)->index, 0);
}

static struct raft_conf conf_of(uint32_t voters)
{
    struct raft_conf conf = {.count = (uint8_t)voters};
    for (uint32_t i = 0; i < voters; i++) {
        conf.members[i] = (struct raft_member){.id = 100 + i, .role = RAFT_VOTER};
        (void)snprintf(conf.members[i].name, sizeof conf.members[i].name, "node-%u", i);
    }
    return conf;
}

static void append_conf(struct log_fixture *f, uint32_t voters)
{
    struct raft_conf conf = conf_of(voters);
    struct buffer encoded;
    buffer_init(&encoded, 4096);
    raft_conf_encode(&conf, &encoded);
    struct log_entry entry = {.index = log_store_last(f->log)->index + 1, .term = 1, .type = LOG_ENTRY_CONF,
                              .data = buffer_bytes(&encoded)};
    OK(log_store_append(f->log, &entry, 1, NULL, &failure));
    buffer_deinit(&encoded);
}

/* In force at `applied`, and how many are above it. */
static void expect_boot(struct log_fixture *f, uint64_t applied, uint32_t voters, uint64_t at, uint32_t above)
{
    struct raft_boot boot;
    OK(log_store_boot(f->log, applied, &boot, &failure));
    assert_int_equal(boot.conf.count, voters);
    assert_int_equal(boot.conf_index, at);
    assert_int_equal(boot.conf_entry_count, above);
    for (uint32_t i = 0; i < above; i++) {
        struct raft_conf conf;
        assert_int_equal(raft_conf_decode((struct bytes){boot.conf_entries[i].data, boot.conf_entries[i].size}, &conf), STATUS_OK);
        assert_int_equal(conf.count, voters + 1 + i);
    }
}

static void test_configurations(void **state)
{
    struct log_fixture *f = *state;
    struct log_hard_state hard = *log_store_hard(f->log);
    bool more;
    expect_boot(f, 0, 0, 0, 0);
    hard.conf = conf_of(1);
    OK(log_store_append(f->log, NULL, 0, &hard, &failure));
    append(f, 4, 1);
    append_conf(f, 2); /* at 5 */
    append(f, 4, 1);
    append_conf(f, 3); /* at 10 */
    for (int round = 0; round < 2; round++) {
        expect_boot(f, 0, 1, 0, 2);
        expect_boot(f, 4, 1, 0, 2);
        expect_boot(f, 5, 2, 5, 1);
        expect_boot(f, 10, 3, 10, 0);
        OK(reopen(f, &failure));
    }
    OK(log_store_cut(f->log, 7, &more, &failure)); /* what was in force there moves into the hard state */
    assert_int_equal(log_store_hard(f->log)->conf.count, 2);
    OK(reopen(f, &failure));
    expect_boot(f, 7, 2, 5, 1);
    OK(log_store_replace(f->log, 10, NULL, 0, NULL, &failure)); /* a configuration that is dropped is not in force */
    expect_boot(f, 9, 2, 5, 0);
    OK(reopen(f, &failure));
    expect_boot(f, 9, 2, 5, 0);
}

static void test_a_development_version_is_told_so(void **state)
{
    struct log_fixture *f = *state;
    change_row(f, "meta", (struct bytes){"hard", 4}, 0, 0x2 ^ 0x1);
    expect_refusal(f, STATUS_NOT_IMPLEMENTED, "empty data directory");
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_append_read_reopen),
        TEST(test_hard_state_with_entries),
        TEST(test_the_running_hash_depends_on_everything),
        TEST(test_every_flipped_bit_is_seen),
        TEST(test_every_flipped_bit_of_the_hard_state_is_seen),
        TEST(test_an_entry_that_changed_on_its_way),
        TEST(test_a_damaged_entry_is_never_read),
        TEST(test_a_missing_entry),
        TEST(test_a_missing_first_entry),
        TEST(test_a_newer_format),
        TEST(test_a_newer_type),
        TEST(test_no_space_changes_nothing),
        TEST(test_cut),
        TEST(test_cut_in_bounded_steps),
        TEST(test_an_entry_before_the_base_is_damage),
        TEST(test_cut_target_by_entries),
        TEST(test_entries_are_replaced),
        TEST(test_configurations),
        TEST(test_a_development_version_is_told_so),
    };
    const struct CMUnitTest in_memory[] = {TEST(test_cut_target_by_bytes), TEST(test_append_read_reopen), TEST(test_cut),
                                           TEST(test_configurations)};
    int failed = cmocka_run_group_tests_name("log store on lmdb", tests, NULL, NULL);
    backend = "sqlite";
    failed += cmocka_run_group_tests_name("log store on sqlite", tests, NULL, NULL);
    backend = "memory";
    return failed + cmocka_run_group_tests_name("log store in memory", in_memory, NULL, NULL);
}
