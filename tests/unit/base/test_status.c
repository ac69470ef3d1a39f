#include "base/status.h"

#include "check.h"

static void every_code_has_its_own_name(void **state)
{
    (void)state;
    for (int i = 0; i < STATUS_COUNT; i++) {
        assert_true(strlen(status_name((enum status)i)) > 0);
        assert_true(strlen(status_title((enum status)i)) > 0);
        assert_in_range(status_http((enum status)i), 200, 599);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(status_name((enum status)i), status_name((enum status)j));
    }
}

static void known_rows(void **state)
{
    (void)state;
    assert_int_equal(STATUS_OK, 0);
    assert_int_equal(status_http(STATUS_OK), 200);
    assert_string_equal(status_name(STATUS_NAME_TAKEN), "NAME_TAKEN");
    assert_string_equal(status_title(STATUS_NAME_TAKEN), "The name is taken");
    assert_int_equal(status_http(STATUS_NAME_TAKEN), 409);
    assert_false(status_retryable(STATUS_NAME_TAKEN));
    assert_int_equal(status_http(STATUS_NO_LEADER), 503);
    assert_true(status_retryable(STATUS_NO_LEADER));
    assert_false(status_retryable(STATUS_OK));
}

static void unknown_codes_are_internal_errors(void **state)
{
    (void)state;
    static const int unknown[] = {-1, STATUS_COUNT, 1000000};
    for (size_t i = 0; i < COUNT_OF(unknown); i++) {
        assert_string_equal(status_name((enum status)unknown[i]), "INTERNAL");
        assert_string_equal(status_title((enum status)unknown[i]), "Internal error");
        assert_int_equal(status_http((enum status)unknown[i]), 500);
        assert_false(status_retryable((enum status)unknown[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_its_own_name),
        cmocka_unit_test(known_rows),
        cmocka_unit_test(unknown_codes_are_internal_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
