/* What the check of a whole state finds, and that it finds nothing where all is well. */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

#include "base/codec.h"
#include "state/check.h"

static struct error err;

struct told {
    uint32_t count;
    char last[ERROR_MESSAGE_SIZE], first[ERROR_MESSAGE_SIZE];
};

static void remember(void *arg, const char *problem)
{
    struct told *told = arg;
    (void)snprintf(told->last, sizeof told->last, "%s", problem);
    if (told->count++ == 0)
        memcpy(told->first, told->last, sizeof told->first);
}

static struct state_contents check(struct fixture *f, struct told *told)
{
    struct state_contents contents;
    *told = (struct told){.count = 0};
    OK(state_check(f->state, remember, told, &contents, &failure));
    return contents;
}

struct sample {
    struct id job, open, failed;
    uint64_t serial;
};

static struct sample fill(struct fixture *f)
{
    struct sample sample;
    struct placement_node node = node_up(f, "node-1", 11);
    struct job_spec spec = spec_named("job");
    spec.concurrency = CONCURRENCY_ALLOW;
    sample.serial = create_job(f, &spec, &sample.job);
    spec.retry.max_attempts = 1;
    assert_int_equal(put_job(f, &spec, &sample.job, 1, false, NULL).status, STATUS_OK);
    f->now_ms += 1000;
    (void)fire(f, sample.serial, TRIGGER_SCHEDULE, &node, &sample.failed);
    struct run_report started = report_of(f, &sample.failed, REPORT_STARTED);
    (void)report(f, &started);
    (void)finish(f, &sample.failed, RUN_FAILED);
    f->now_ms += 1000;
    (void)fire(f, sample.serial, TRIGGER_SCHEDULE, &node, &sample.open);
    struct idempotency key = {.principal = "me", .key = {7}};
    struct buffer command = command_buffer();
    noop_encode(&command);
    command_add_idempotency(&command, &key);
    assert_int_equal(fixture_apply(f, &command).status, STATUS_OK);
    assert_int_equal(count_rows(f, STATE_FAILED), 1);
    assert_int_equal(count_rows(f, STATE_VERSIONS), 1);
    assert_int_equal(count_rows(f, STATE_OPEN), 1);
    return sample;
}

static void finds_nothing(void **state)
{
    struct fixture *f = *state;
    struct told told;
    (void)check(f, &told);
    assert_int_equal(told.count, 0);
    (void)fill(f);
    struct state_contents contents = check(f, &told);
    assert_string_equal(told.first, "");
    assert_int_equal(contents.problems, 0);
    for (int table = 0; table < STATE_TABLE_COUNT; table++)
        assert_int_equal(contents.rows[table], count_rows(f, (enum state_table)table));
    assert_true(contents.row_bytes > 500);
}

static void drop(struct fixture *f, const char *table, struct bytes key)
{
    struct store_txn txn;
    uint32_t id = 0;
    OK(store_table(f->store, table, 0, &id, &failure));
    OK(store_begin(f->store, CHRONOS_TXN_WRITE, &txn, &failure));
    OK(store_delete(&txn, id, key, &failure));
    OK(store_commit(&txn, &failure));
}

/* A row that is gone is missed by those that speak of it. */
static void finds_what_is_missing(void **state)
{
    (void)state;
    static const struct {
        const char *table, *first;
    } cases[] = {
        {"jobs", "table names, key 6a6f62: the job that it leads to is not there"},
        {"names", "its name \"job\" does not lead to it"},
        {"sched", "it has no row in sched (serial 1)"},
        {"marks", "it has no row in marks (serial 1)"},
        {"open", "the run that it lists is not open"},
        {"open_by_job", "it is not listed in open_by_job (serial 1)"},
        {"executions", "its execution is not there"},
        {"idempotency", "the row of idempotency that it lists is not there"},
        {"idempotency_by_time", "it is not listed in idempotency_by_time"},
        {"idempotency_counts", "its principal \"me\" is not in idempotency_counts"},
    };
    for (uint32_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct fixture *f = fixture_open(fixture_backend, 0);
        struct sample sample = fill(f);
        struct told told;
        uint8_t serial[8], by_job[24], key[32] = {7}, by_time[40];
        store_be64(by_time, (uint64_t)f->now_ms);
        memcpy(by_time + 8, key, sizeof key);
        store_be64(serial, sample.serial);
        memcpy(by_job, serial, sizeof serial);
        memcpy(by_job + sizeof serial, sample.open.bytes, sizeof sample.open.bytes);
        const struct bytes keys[] = {{sample.job.bytes, 16}, {"job", 3},      {serial, 8},
                                     {serial, 8},            {sample.open.bytes, 16}, {by_job, 24},
                                     {sample.failed.bytes, 16}, {key, 32}, {by_time, 40}, {"\2me", 3}};
        f->unchecked = true;
        drop(f, cases[i].table, keys[i]);
        struct state_contents contents = check(f, &told);
        assert_true(contents.problems > 0);
        if (strstr(told.first, cases[i].first) == NULL)
            fail_msg("without its row in %s: \"%s\"", cases[i].table, told.first);
        fixture_close(f);
    }
}

static void finds_damage(void **state)
{
    struct fixture *f = *state;
    struct sample sample = fill(f);
    struct told told;
    f->unchecked = true;
    put_raw(f, "open", sample.open.bytes, sizeof sample.open.bytes, "\1broken", 7);
    (void)check(f, &told);
    assert_int_equal(told.count, 1);
    assert_non_null(strstr(told.first, "table open, key 0"));
    assert_non_null(strstr(told.first, "a row of open is damaged"));
    put_raw(f, "meta", "jobs_count", 10, "\7\0\0\0\0\0\0\0", 8);
    (void)check(f, &told);
    assert_int_equal(told.count, 2);
    assert_string_equal(told.last, "table meta counts 7 jobs; there are 1");
    put_raw(f, "meta", "next_serial", 11, "\1\0\0\0\0\0\0\0", 8);
    (void)check(f, &told);
    assert_int_equal(told.count, 3);
    assert_non_null(strstr(told.first, "its serial 1 was not given yet"));
}

/* Beyond CHECK_PROBLEMS_MAX they are counted only. */
static void does_not_go_on_for_ever(void **state)
{
    struct fixture *f = *state;
    struct told told;
    f->unchecked = true;
    for (uint32_t i = 0; i < CHECK_PROBLEMS_MAX + 5; i++) {
        struct id id = fixture_id(f);
        put_raw(f, "failed", id.bytes, sizeof id.bytes, "\1", 1);
    }
    assert_int_equal(check(f, &told).problems, CHECK_PROBLEMS_MAX + 5);
    assert_int_equal(told.count, CHECK_PROBLEMS_MAX);
}

static void opens_only_what_is_there(void **state)
{
    (void)state;
    struct fixture *f = fixture_open_empty(fixture_backend, 0);
    assert_int_equal(state_open(f->store, &f->state, &err), STATUS_NOT_FOUND);
    assert_non_null(strstr(err.message, "the store holds no state"));
    OK(state_new(f->store, &f->state, &failure));
    state_free(f->state);
    f->state = NULL;
    OK(state_open(f->store, &f->state, &failure));
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
        T(finds_nothing), cmocka_unit_test(finds_what_is_missing), T(finds_damage), T(does_not_go_on_for_ever),
        cmocka_unit_test(opens_only_what_is_there),
    };
    return RUN_ON_BACKENDS("check", tests);
}
