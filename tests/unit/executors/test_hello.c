/* The executor template that people copy: it must keep the contract that it teaches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "fake_host.h"

static int setup(void **state)
{
    *state = fake_host_new(PLUGIN_PATH, NULL);
    return 0;
}

static int teardown(void **state)
{
    fake_host_free(*state);
    return 0;
}

static void test_says_hello(void **state)
{
    struct job job = {0};

    job_set(&job, "name", "reader");
    job_set(&job, "delay", "30");
    const struct run_record *r = fake_run(*state, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_SUCCESS);
    assert_string_equal(r->out, "Hello, reader! This is run exec_01.\n");
    assert_true(r->seconds >= 0.03);
    assert_true(fake_logged(*state, "said hello"));
}

static void test_validate(void **state)
{
    struct chronos_error err = {.struct_size = sizeof(err)};
    struct job job = {0};

    assert_int_equal(fake_validate(*state, &job, NULL), CHRONOS_OK);
    job_set(&job, "name", "two\nlines");
    assert_int_equal(fake_validate(*state, &job, &err), CHRONOS_INVALID);
    assert_int_equal(err.code, CHRONOS_INVALID);
    assert_non_null(strstr(err.msg, "name"));
}

static void test_cancel(void **state)
{
    struct job job = {0};

    job_set(&job, "delay", "3600000");
    uint64_t first = fake_start(*state, &job), second = fake_start(*state, &job);
    fake_cancel(*state, first, CHRONOS_CANCEL_USER, 1000);
    fake_cancel(*state, first, CHRONOS_CANCEL_USER, 1000);
    fake_cancel(*state, 4711, CHRONOS_CANCEL_USER, 1000);
    assert_int_equal(fake_wait(*state, first)->result.outcome, CHRONOS_OUTCOME_CANCELLED);
    assert_false(fake_is_complete(*state, second));
    fake_cancel(*state, second, CHRONOS_CANCEL_USER, 1000);
    const struct run_record *r = fake_wait(*state, second);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_CANCELLED);
    assert_string_equal(r->out, "");
}

static void test_many(void **state)
{
    enum { COUNT = 1000 };
    struct job job = {0};
    uint64_t token = 0;

    for (int i = 0; i < COUNT; i++) {
        token = fake_start(*state, &job);
    }
    for (uint64_t t = token - COUNT + 1; t <= token; t++) {
        assert_int_equal(fake_wait(*state, t)->result.outcome, CHRONOS_OUTCOME_SUCCESS);
    }
}

static void test_nothing_left_after_destroy(void **state)
{
    size_t fds = count_fds(), threads = count_threads();
    struct fake_host *host = fake_host_new(PLUGIN_PATH, NULL);
    struct job job = {0};

    (void)state;
    for (int i = 0; i < 10; i++) { /* some have ended and wait to be collected */
        (void)fake_run(host, &job);
    }
    job_set(&job, "delay", "3600000");
    uint64_t token = fake_start(host, &job);
    fake_host_destroy_instance(host);
    assert_int_equal(fake_wait(host, token)->result.outcome, CHRONOS_OUTCOME_CANCELLED);
    fake_host_free(host);
    assert_int_equal(count_fds(), fds);
    wait_for_threads(threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_says_hello, setup, teardown),
        cmocka_unit_test_setup_teardown(test_validate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup, teardown),
        cmocka_unit_test(test_nothing_left_after_destroy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
