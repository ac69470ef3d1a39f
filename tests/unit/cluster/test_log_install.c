/* A snapshot takes the place of the log: all of it, or nothing, also where the process ends in the middle. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ENTRIES = CUT_BATCH_MAX + 10, BASE = 50000 }; /* more than one deletion removes */

static const char *backend = "lmdb";

struct log_fixture {
    char *folder;
    struct store *store;
    struct log_store *log;
};

static void open_log(struct log_fixture *f)
{
    f->store = store_of(backend, f->folder, CHRONOS_STORAGE_LOG);
    OK(log_store_new(f->store, &f->log, &failure));
}

static void close_log(struct log_fixture *f)
{
    log_store_free(f->log);
    store_close(f->store);
    f->log = NULL;
    f->store = NULL;
}

static int setup(void **state)
{
    struct log_fixture *f = calloc(1, sizeof *f);
    f->folder = folder_new();
    open_log(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct log_fixture *f = *state;
    if (f->log != NULL)
        close_log(f);
    folder_free(f->folder);
    free(f);
    return 0;
}

static struct raft_conf conf_of(uint8_t voters)
{
    struct raft_conf conf = {.count = voters};
    for (uint8_t i = 0; i < voters; i++)
        conf.members[i] = (struct raft_member){.id = 100 + i, .role = RAFT_VOTER, .name = "node"};
    return conf;
}

/* Normal entries of term 2, or of the log's own, with a configuration of two in the last place. */
static void append(struct log_fixture *f, uint32_t count)
{
    struct log_entry *entries = calloc(count, sizeof *entries);
    struct raft_conf conf = conf_of(2);
    uint64_t term = log_store_last(f->log)->term > 2 ? log_store_last(f->log)->term : 2;
    struct buffer encoded;
    buffer_init(&encoded, 4096);
    raft_conf_encode(&conf, &encoded);
    for (uint32_t i = 0; i < count; i++)
        entries[i] = (struct log_entry){.index = log_store_last(f->log)->index + 1 + i, .term = term, .type = LOG_ENTRY_NORMAL,
                                        .data = {"some command", 12}};
    entries[count - 1].type = LOG_ENTRY_CONF;
    entries[count - 1].data = buffer_bytes(&encoded);
    OK(log_store_append(f->log, entries, count, NULL, &failure));
    buffer_deinit(&encoded);
    free(entries);
}

static struct log_hard_state made(struct log_fixture *f)
{
    struct log_hard_state hard = *log_store_hard(f->log);
    hard.term = 9;
    hard.vote = 77;
    hard.live++;
    hard.cluster_id.bytes[0] = 5;
    hard.base = (struct log_position){.index = BASE, .term = 8, .hash = 0x1234567890abcdef, .offset = 1};
    hard.conf_index = BASE - 100;
    hard.conf = conf_of(3);
    return hard;
}

static bool count_entry(void *arg, const struct log_entry *entry)
{
    (void)entry;
    ++*(uint64_t *)arg;
    return true;
}

static uint64_t entries_of(struct log_fixture *f)
{
    uint64_t count = 0;
    OK(log_store_read(f->log, 0, count_entry, &count, &failure));
    return count;
}

static void assert_replaced(struct log_fixture *f, const struct log_hard_state *hard, uint64_t offset)
{
    const struct log_hard_state *found = log_store_hard(f->log);
    const struct log_position *last = log_store_last(f->log);
    struct raft_boot boot;
    assert_int_equal(entries_of(f), 0);
    assert_true(found->term == hard->term && found->vote == hard->vote && found->live == hard->live);
    assert_true(found->node == hard->node && id_compare(&found->cluster_id, &hard->cluster_id) == 0);
    assert_true(last->index == BASE && last->term == 8 && last->hash == hard->base.hash && last->offset == offset);
    OK(log_store_boot(f->log, BASE, &boot, &failure));
    assert_true(boot.base.index == BASE && boot.base.term == 8 && boot.last.index == BASE && boot.last.term == 8);
    assert_true(boot.last_hash == hard->base.hash && boot.conf_index == BASE - 100 && boot.run_count == 0);
    assert_true(boot.conf.count == 3 && boot.conf_entry_count == 0);
}

static void test_everything_before_is_gone(void **state)
{
    struct log_fixture *f = *state;
    append(f, ENTRIES);
    uint64_t offset = log_store_last(f->log)->offset;
    struct log_hard_state hard = made(f);
    OK(log_store_install(f->log, &hard, &failure));
    assert_replaced(f, &hard, offset);
    close_log(f);
    open_log(f);
    assert_replaced(f, &hard, offset);
    append(f, 3); /* the log goes on behind it */
    struct log_position last = *log_store_last(f->log);
    assert_int_equal(last.index, BASE + 3);
    close_log(f);
    open_log(f);
    assert_memory_equal(&last, log_store_last(f->log), sizeof last);
    struct raft_boot boot;
    OK(log_store_boot(f->log, BASE + 3, &boot, &failure));
    assert_true(boot.conf.count == 2 && boot.conf_index == BASE + 3 && boot.run_count == 1 && boot.runs[0].first == BASE + 1);
}

static void test_on_an_empty_log(void **state)
{
    struct log_fixture *f = *state;
    struct log_hard_state hard = made(f);
    OK(log_store_install(f->log, &hard, &failure));
    assert_replaced(f, &hard, 0);
    hard.base.index = BASE; /* and once more over that */
    OK(log_store_install(f->log, &hard, &failure));
    close_log(f);
    open_log(f);
    assert_replaced(f, &hard, 0);
}

static void expect_old(struct log_fixture *f, const struct log_position *last)
{
    assert_int_equal(entries_of(f), ENTRIES);
    assert_memory_equal(log_store_last(f->log), last, sizeof *last);
    assert_true(log_store_hard(f->log)->live == 1 && log_store_hard(f->log)->base.index == 0);
}

static void test_no_space_changes_nothing(void **state)
{
    struct log_fixture *f = *state;
    struct error err;
    append(f, ENTRIES);
    struct log_position last = *log_store_last(f->log);
    struct log_hard_state hard = made(f);
    fault_set(CHRONOS_STORAGE_LOG, FAULT_NO_SPACE);
    assert_int_equal(log_store_install(f->log, &hard, &err), STATUS_NO_SPACE);
    fault_set(CHRONOS_STORAGE_LOG, FAULT_NONE);
    expect_old(f, &last);
    close_log(f);
    open_log(f);
    expect_old(f, &last);
    OK(log_store_install(f->log, &hard, &failure));
    assert_replaced(f, &hard, last.offset);
}

/* The child's exit code. */
static int install_in_child(struct log_fixture *f, uint32_t writes)
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct error err;
        open_log(f);
        struct log_hard_state hard = made(f);
        crash_at(CHRONOS_STORAGE_LOG, writes);
        _exit(log_store_install(f->log, &hard, &err) == STATUS_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_a_crash_at_each_write(void **state)
{
    struct log_fixture *f = *state;
    uint32_t writes = 0;
    append(f, ENTRIES);
    struct log_position last = *log_store_last(f->log);
    struct log_hard_state hard = made(f);
    close_log(f);
    for (int code; (code = install_in_child(f, writes)) != 0; writes++) {
        assert_int_equal(code, CRASHED);
        open_log(f);
        expect_old(f, &last);
        close_log(f);
    }
    assert_true(writes >= 2); /* the row of hard state and the commit; ranges where the backend has them */
    open_log(f);
    assert_replaced(f, &hard, last.offset); /* it ended right behind the commit */
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(test_everything_before_is_gone), TEST(test_on_an_empty_log),
                                       TEST(test_no_space_changes_nothing), TEST(test_a_crash_at_each_write)};
    (void)backend_of(backend); /* loaded before there are children */
    int failed = cmocka_run_group_tests_name("log install on lmdb", tests, NULL, NULL);
    backend = "sqlite";
    return failed + cmocka_run_group_tests_name("log install on sqlite", tests, NULL, NULL);
}
