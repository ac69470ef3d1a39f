#include "base/error.h"

#include <errno.h>

#include "base/buffer.h"
#include "check.h"

static void set_fills_and_clears(void **state)
{
    (void)state;
    struct error err;
    memset(&err, 'x', sizeof err);
    assert_int_equal(error_set(&err, STATUS_INVALID, "%d is not %s", 7, "even"), STATUS_INVALID);
    assert_int_equal(err.code, STATUS_INVALID);
    assert_int_equal(err.sys_errno, 0);
    assert_string_equal(err.field, "");
    assert_string_equal(err.message, "7 is not even");
}

static void set_errno_appends_the_reason(void **state)
{
    (void)state;
    struct error err;
    assert_int_equal(error_set_errno(&err, STATUS_IO, ENOENT, "open %s", "/x"), STATUS_IO);
    assert_int_equal(err.sys_errno, ENOENT);
    assert_string_equal(err.message, "open /x: No such file or directory");
}

static void set_field_keeps_the_field_through_wraps(void **state)
{
    (void)state;
    struct error err;
    assert_int_equal(error_set_field(&err, STATUS_INVALID, "/name", "is empty"), STATUS_INVALID);
    assert_string_equal(err.field, "/name");
    assert_int_equal(error_wrap(&err, "job %d", 3), STATUS_INVALID);
    assert_int_equal(error_wrap(&err, "load"), STATUS_INVALID);
    assert_string_equal(err.field, "/name");
    assert_string_equal(err.message, "load: job 3: is empty");
}

static void wrap_keeps_errno(void **state)
{
    (void)state;
    struct error err;
    (void)error_set_errno(&err, STATUS_NO_SPACE, ENOSPC, "write");
    assert_int_equal(error_wrap(&err, "save"), STATUS_NO_SPACE);
    assert_int_equal(err.sys_errno, ENOSPC);
    assert_string_equal(err.message, "save: write: No space left on device");
}

static void arguments_may_point_into_the_error(void **state)
{
    (void)state;
    struct error err;
    (void)error_set_field(&err, STATUS_INVALID, "/a", "bad");
    (void)error_set_field(&err, STATUS_MALFORMED, err.field, "again: %s", err.message);
    assert_string_equal(err.field, "/a");
    assert_string_equal(err.message, "again: bad");
    (void)error_wrap(&err, "<%s>", err.message);
    assert_string_equal(err.message, "<again: bad>: again: bad");
}

static void assert_cut(const char *text, size_t size)
{
    assert_in_range(strlen(text), size - 7, size - 1);
    assert_string_equal(text + strlen(text) - 3, "...");
    assert_true(utf8_valid(text, strlen(text), NULL));
}

static void long_text_is_cut_between_characters(void **state)
{
    (void)state;
    /* Each start shifts the two-byte characters against the cut. */
    for (int shift = 0; shift < 4; shift++) {
        char text[2000] = {0};
        memset(text, 'a', (size_t)shift);
        while (strlen(text) < 1800)
            strcat(text, "\xC3\xA9");
        struct error err;
        (void)error_set(&err, STATUS_INVALID, "%s", text);
        assert_cut(err.message, sizeof err.message);
        (void)error_set_errno(&err, STATUS_IO, EIO, "%s", text);
        assert_cut(err.message, sizeof err.message);
        (void)error_set_field(&err, STATUS_INVALID, text, "short");
        assert_cut(err.field, sizeof err.field);
        assert_string_equal(err.message, "short");
        (void)error_wrap(&err, "%s", text);
        assert_cut(err.message, sizeof err.message);
    }
}

static void text_that_just_fits_is_not_cut(void **state)
{
    (void)state;
    char text[ERROR_MESSAGE_SIZE + 1];
    memset(text, 'a', sizeof text);
    text[ERROR_MESSAGE_SIZE - 1] = '\0';
    struct error err;
    (void)error_set(&err, STATUS_INVALID, "%s", text);
    assert_string_equal(err.message, text);
    text[ERROR_MESSAGE_SIZE - 1] = 'a';
    text[ERROR_MESSAGE_SIZE] = '\0';
    (void)error_set(&err, STATUS_INVALID, "%s", text);
    assert_cut(err.message, sizeof err.message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_fills_and_clears),
        cmocka_unit_test(set_errno_appends_the_reason),
        cmocka_unit_test(set_field_keeps_the_field_through_wraps),
        cmocka_unit_test(wrap_keeps_errno),
        cmocka_unit_test(arguments_may_point_into_the_error),
        cmocka_unit_test(long_text_is_cut_between_characters),
        cmocka_unit_test(text_that_just_fits_is_not_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
