/* `chronos store check` of a data directory: log and state that do not fit, and what is missing. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/file.h"
#include "cluster/store_check.h"

static const char *backend = "lmdb";

static int setup(void **state)
{
    *state = folder_new();
    return 0;
}

static int teardown(void **state)
{
    folder_free(*state);
    return 0;
}

static void make_folder(const char *folder, const char *name, char out[DATA_DIR_PATH_SIZE])
{
    OK(path_join(out, DATA_DIR_PATH_SIZE, folder, name, &failure));
    OK(directory_make(out, 0700, &failure));
}

/* A log of `count` entries of term 1 that begins after entry `cut`. */
static void make_log(const char *folder, uint64_t count, uint64_t cut)
{
    char path[DATA_DIR_PATH_SIZE];
    struct log_store *log;
    bool more;
    make_folder(folder, "log", path);
    struct store *store = store_of(backend, path, CHRONOS_STORAGE_LOG);
    OK(log_store_new(store, &log, &failure));
    struct log_hard_state hard = *log_store_hard(log);
    hard.term = 1;
    for (uint64_t index = 1; index <= count; index++) {
        struct log_entry entry = {.index = index, .term = 1, .type = LOG_ENTRY_NOOP};
        OK(log_store_append(log, &entry, 1, &hard, &failure));
    }
    if (cut > 0)
        OK(log_store_cut(log, cut, &more, &failure));
    log_store_free(log);
    store_close(store);
}

/* A state that has seen the entries up to `index`, the last one of `term`. */
static void make_state(const char *folder, const char *name, uint64_t index, uint64_t term)
{
    char path[DATA_DIR_PATH_SIZE];
    struct state *state;
    struct state_changes changes;
    struct apply_result result;
    make_folder(folder, name, path);
    struct store *store = store_of(backend, path, CHRONOS_STORAGE_STATE);
    OK(state_new(store, &state, &failure));
    state_changes_init(&changes);
    for (uint64_t i = 1; i <= index; i++) {
        struct state_entry entry = {.index = i, .term = i == index ? term : 1};
        OK(state_apply(state, &entry, 1, &result, &changes, &failure));
    }
    state_changes_deinit(&changes);
    state_free(state);
    store_close(store);
}

static void remember(void *arg, const char *problem)
{
    char *text = arg;
    size_t used = strlen(text);
    (void)snprintf(text + used, 4096 - used, "%s\n", problem);
}

static char problems[4096];

static struct store_findings check(const char *folder)
{
    const struct store_check_config config = {.data_dir = folder, .backend = backend_of(backend), .clock = &clock_system};
    struct store_findings findings;
    problems[0] = '\0';
    OK(store_check(&config, remember, problems, &findings, &failure));
    assert_int_equal(findings.problems > 0, problems[0] != '\0');
    return findings;
}

static void expect(const char *folder, const char *part)
{
    assert_int_equal(check(folder).problems, 1);
    if (strstr(problems, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", problems, part);
}

static void test_they_fit(void **state)
{
    make_log(*state, 5, 2);
    make_state(*state, "state-1", 4, 1);
    struct store_findings findings = check(*state);
    assert_string_equal(problems, "");
    assert_true(findings.has_log && findings.has_state);
    assert_int_equal(findings.hard.base.index, 2);
    assert_int_equal(findings.last.index, 5);
    assert_int_equal(findings.applied.index, 4);
}

static void test_the_state_lost_data(void **state)
{
    make_log(*state, 5, 3);
    make_state(*state, "state-1", 2, 1);
    expect(*state, "the state ends at entry 2 but the log begins after 3: the state lost synced data");
}

static void test_the_state_is_ahead(void **state)
{
    make_log(*state, 3, 0);
    make_state(*state, "state-1", 4, 1);
    expect(*state, "the state ends at entry 4 and the log at 3");
}

static void test_terms_differ(void **state)
{
    make_log(*state, 5, 0);
    make_state(*state, "state-1", 4, 7);
    expect(*state, "entry 4 has term 7 in the state and 1 in the log");
}

static void test_no_state(void **state)
{
    struct stat about;
    char path[DATA_DIR_PATH_SIZE];
    make_log(*state, 5, 0);
    assert_int_equal(check(*state).problems, 0); /* a start makes it from the log */
    OK(path_join(path, sizeof path, *state, "state-1", &failure));
    assert_int_equal(stat(path, &about), -1); /* the check does not */
}

static void test_no_state_and_half_a_log(void **state)
{
    make_log(*state, 5, 3);
    expect(*state, "the state: open ");
}

/* The log's hard state says which state is in use; without it the newest one is looked at. */
static void test_a_damaged_hard_state(void **state)
{
    char path[DATA_DIR_PATH_SIZE];
    struct store_txn txn;
    uint32_t meta;
    make_log(*state, 5, 0);
    make_state(*state, "state-3", 4, 1);
    make_state(*state, "state-12", 3, 1);
    make_folder(*state, "state-99x", path);
    make_folder(*state, "log", path);
    struct store *store = store_of(backend, path, CHRONOS_STORAGE_LOG);
    OK(store_table(store, "meta", 0, &meta, &failure));
    OK(store_begin(store, CHRONOS_TXN_WRITE, &txn, &failure));
    OK(store_put(&txn, meta, (struct bytes){"hard", 4}, (struct bytes){"\2?", 2}, 0, &failure));
    OK(store_commit(&txn, &failure));
    store_close(store);
    struct store_findings findings = check(*state);
    assert_int_equal(findings.problems, 1);
    assert_non_null(strstr(problems, "the hard state of the log store is damaged"));
    assert_false(findings.has_log);
    assert_true(findings.has_state);
    assert_int_equal(findings.live, 12);
    assert_int_equal(findings.applied.index, 3);
}

/* A log store in which nothing was ever written is not made into one. */
static void test_an_empty_log(void **state)
{
    char path[DATA_DIR_PATH_SIZE];
    make_folder(*state, "log", path);
    store_close(store_of(backend, path, CHRONOS_STORAGE_LOG));
    for (int round = 0; round < 2; round++) {
        assert_int_equal(check(*state).problems, 2);
        assert_non_null(strstr(problems, "the store holds no log"));
        assert_non_null(strstr(problems, "the state: there is none"));
    }
}

static void test_in_use(void **state)
{
    const struct store_check_config config = {.data_dir = *state, .backend = backend_of(backend), .clock = &clock_system};
    struct store_findings findings;
    struct data_dir dir;
    struct error err;
    char said[64], marker[DATA_DIR_BACKEND_SIZE] = "";
    OK(data_dir_open(*state, backend, &dir, &failure));
    (void)snprintf(said, sizeof said, "is in use by process %ld: stop that node first", (long)getpid());
    assert_int_equal(store_check(&config, remember, problems, &findings, &err), STATUS_CONFLICT);
    assert_non_null(strstr(err.message, said));
    OK(data_dir_read_backend(*state, marker, &failure));
    assert_string_equal(marker, backend);
    data_dir_close(&dir);
    (void)check(*state); /* free again */
}

static void test_nothing_is_made(void **state)
{
    char marker[DATA_DIR_BACKEND_SIZE] = "kept";
    struct data_dir dir;
    struct error err;
    assert_int_equal(data_dir_read_backend(*state, marker, &err), STATUS_NOT_FOUND);
    assert_string_equal(marker, "kept");
    OK(data_dir_lock(*state, &dir, &failure)); /* no lock file: nobody to keep out */
    assert_int_equal(dir.lock_fd, -1);
    data_dir_close(&dir);
    (void)check(*state);
    assert_int_equal(rmdir(*state), 0); /* empty still */
    OK(directory_make(*state, 0700, &failure));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_they_fit),
        TEST(test_the_state_lost_data),
        TEST(test_the_state_is_ahead),
        TEST(test_terms_differ),
        TEST(test_no_state),
        TEST(test_no_state_and_half_a_log),
        TEST(test_a_damaged_hard_state),
        TEST(test_an_empty_log),
        TEST(test_in_use),
        TEST(test_nothing_is_made),
    };
    int failed = cmocka_run_group_tests_name("store check on lmdb", tests, NULL, NULL);
    backend = "sqlite";
    return failed + cmocka_run_group_tests_name("store check on sqlite", tests, NULL, NULL);
}
