#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>

#include "run/capture.h"

static struct capture_budget budget;
static struct error err;

static int setup(void **state)
{
    (void)state;
    memset(&budget, 0, sizeof budget);
    budget.limit_bytes = 1 << 20;
    return 0;
}

static struct capture *make(size_t limit, size_t tail)
{
    struct capture *capture = NULL;
    assert_int_equal(capture_new(&budget, limit, tail, &capture, &err), STATUS_OK);
    return capture;
}

static void assert_bytes(struct bytes bytes, const char *expected)
{
    assert_int_equal(bytes.size, strlen(expected));
    assert_memory_equal(bytes.data, expected, bytes.size);
}

static void check_digest(const struct run_report *report, const char *kept)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    (void)SHA256((const unsigned char *)kept, strlen(kept), digest);
    assert_memory_equal(report->output_digest, digest, sizeof digest);
}

static void test_all_of_it(void **state)
{
    (void)state;
    struct capture *capture = make(100, 8);
    struct run_report report = {.output_bytes = 1};
    assert_int_equal(capture_append(capture, "hello ", 6), STATUS_OK);
    assert_int_equal(capture_append(capture, "", 0), STATUS_OK);
    assert_int_equal(capture_append(capture, "world", 5), STATUS_OK);
    capture_close(capture);
    assert_int_equal(capture_append(capture, "late", 4), STATUS_NOT_FOUND);
    assert_false(capture_exceeds(capture, 11));
    capture_report(capture, 11, false, &report);
    assert_bytes(report.output_head, "hello world");
    assert_int_equal(report.output_tail.size, 0);
    assert_false(report.output_truncated);
    assert_int_equal(report.output_bytes, 11);
    check_digest(&report, "hello world");
    capture_unref(capture);
    assert_int_equal(atomic_load(&budget.kept_bytes), 0);
}

static void test_head_and_tail(void **state)
{
    (void)state;
    struct capture *capture = make(100, 10);
    struct run_report report = {.output_bytes = 1}, unstored = {.output_bytes = 1};
    static const uint8_t none[sizeof report.output_digest];
    assert_int_equal(capture_append(capture, "0123456789abcdef", 16), STATUS_OK);
    capture_close(capture);
    assert_true(capture_exceeds(capture, 10));
    capture_report(capture, 10, true, &report);
    assert_bytes(report.output_head, "01234");
    assert_bytes(report.output_tail, "bcdef");
    assert_true(report.output_truncated);
    check_digest(&report, "0123456789abcdef");
    capture_report(capture, 10, false, &unstored); /* nobody can read more */
    assert_memory_equal(unstored.output_digest, none, sizeof none);
    capture_unref(capture);
}

static void test_beyond_the_quota(void **state)
{
    (void)state;
    struct capture *capture = make(8, 6);
    struct run_report report = {.output_bytes = 1};
    assert_int_equal(capture_append(capture, "01234", 5), STATUS_OK);
    assert_int_equal(capture_append(capture, "56789", 5), STATUS_TOO_LARGE);
    assert_int_equal(capture_append(capture, "ab", 2), STATUS_TOO_LARGE);
    assert_int_equal(capture_append(capture, "the long end", 12), STATUS_TOO_LARGE);
    assert_int_equal(capture_append(capture, "!", 1), STATUS_TOO_LARGE);
    capture_close(capture);
    assert_bytes(capture_kept(capture), "01234567");
    assert_int_equal(capture_total(capture), 25);
    capture_report(capture, 6, true, &report);
    assert_bytes(report.output_head, "012");
    assert_bytes(report.output_tail, "nd!");
    check_digest(&report, "01234567");
    assert_int_equal(atomic_load(&budget.total_bytes), 25);
    assert_int_equal(atomic_load(&budget.dropped_bytes), 17);
    capture_unref(capture);
}

/* Neither end is cut within a character. */
static void test_characters_stay_whole(void **state)
{
    (void)state;
    struct capture *capture = make(100, 10);
    struct run_report report = {.output_bytes = 1};
    assert_int_equal(capture_append(capture, "aaaa\xc3\xa9 and \xe2\x82\xac""bb", 16), STATUS_OK);
    capture_close(capture);
    capture_report(capture, 10, true, &report);
    assert_bytes(report.output_head, "aaaa");
    assert_bytes(report.output_tail, "\xe2\x82\xac""bb");
    capture_report(capture, 8, true, &report);
    assert_bytes(report.output_tail, "bb");
    capture_unref(capture);
}

static void test_nothing_may_be_kept(void **state)
{
    (void)state;
    struct capture *capture = make(0, 0);
    struct run_report report = {.output_bytes = 1};
    assert_int_equal(capture_append(capture, "abc", 3), STATUS_TOO_LARGE);
    capture_close(capture);
    capture_report(capture, 0, true, &report);
    assert_int_equal(report.output_bytes, 3);
    assert_int_equal(report.output_head.size + report.output_tail.size, 0);
    assert_true(report.output_truncated);
    capture_unref(capture);
}

/* Once something was dropped for want of budget, nothing is kept behind the gap. */
static void test_budget(void **state)
{
    (void)state;
    budget.limit_bytes = 10;
    struct capture *first = make(100, 4), *second = make(100, 4);
    assert_int_equal(capture_append(first, "12345678", 8), STATUS_OK);
    assert_int_equal(capture_append(second, "abc", 3), STATUS_TOO_LARGE);
    capture_unref(first);
    assert_int_equal(atomic_load(&budget.kept_bytes), 0);
    assert_int_equal(capture_append(second, "d", 1), STATUS_TOO_LARGE);
    capture_close(second);
    struct run_report report = {.output_bytes = 1};
    capture_report(second, 4, true, &report);
    assert_int_equal(report.output_bytes, 4);
    assert_int_equal(report.output_head.size, 0);
    assert_bytes(report.output_tail, "cd");
    capture_unref(second);
}

static void test_reading(void **state)
{
    (void)state;
    struct capture *capture = make(100, 4);
    struct buffer out;
    buffer_init(&out, 100);
    assert_int_equal(capture_append(capture, "0123456789", 10), STATUS_OK);
    assert_int_equal(capture_read(capture, 3, 4, &out), 10);
    assert_bytes(buffer_bytes(&out), "3456");
    buffer_clear(&out);
    assert_int_equal(capture_read(capture, 8, 4, &out), 10);
    assert_bytes(buffer_bytes(&out), "89");
    buffer_clear(&out);
    assert_int_equal(capture_read(capture, 10, 4, &out), 10);
    assert_int_equal(capture_read(capture, UINT64_MAX, 4, &out), 10);
    assert_int_equal(out.size, 0);
    buffer_deinit(&out);
    capture_unref(capture);
}

enum { WRITES = 2000 };

static void *write_much(void *arg)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < WRITES; i++)
        status = capture_append(arg, "0123456789", 10);
    if (status != STATUS_OK && status != STATUS_TOO_LARGE) /* cmocka's assertions are for the main thread */
        abort();
    capture_unref(arg);
    return NULL;
}

static void test_many_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    struct capture *capture = make(30000, 10);
    struct buffer out;
    buffer_init(&out, 1 << 20);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_much, capture_ref(capture)), 0);
    for (int i = 0; i < 100; i++) {
        buffer_clear(&out);
        (void)capture_read(capture, 0, 1 << 20, &out);
        assert_int_equal(out.size % 10, 0);
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    capture_close(capture);
    assert_int_equal(capture_total(capture), 4 * WRITES * 10);
    assert_int_equal(capture_kept(capture).size, 30000);
    buffer_deinit(&out);
    capture_unref(capture);
    assert_int_equal(atomic_load(&budget.kept_bytes), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_all_of_it, setup),
        cmocka_unit_test_setup(test_head_and_tail, setup),
        cmocka_unit_test_setup(test_beyond_the_quota, setup),
        cmocka_unit_test_setup(test_characters_stay_whole, setup),
        cmocka_unit_test_setup(test_nothing_may_be_kept, setup),
        cmocka_unit_test_setup(test_budget, setup),
        cmocka_unit_test_setup(test_reading, setup),
        cmocka_unit_test_setup(test_many_threads, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
