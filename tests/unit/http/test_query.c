#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "http/http.h"

static struct http_request with_query(const char *query)
{
    return (struct http_request){.query = {query, strlen(query)}};
}

struct row {
    const char *query, *name;
    bool is_found;
    enum status status;
    const char *value;
};
static const struct row rows[] = {
    {"a=1", "a", true, STATUS_OK, "1"},
    {"a=1&b=2", "b", true, STATUS_OK, "2"},
    {"a=1&a=2", "a", true, STATUS_OK, "1"},
    {"ab=1", "a", false, STATUS_OK, NULL},
    {"a=1", "ab", false, STATUS_OK, NULL},
    {"", "a", false, STATUS_OK, NULL},
    {"a", "a", true, STATUS_OK, ""},
    {"a=", "a", true, STATUS_OK, ""},
    {"&&a=1&&", "a", true, STATUS_OK, "1"},
    {"a=b=c", "a", true, STATUS_OK, "b=c"},
    {"a=x+y%20z%2B%2f", "a", true, STATUS_OK, "x y z+/"},
    {"%61=1", "a", true, STATUS_OK, "1"},
    {"a+b=1", "a b", true, STATUS_OK, "1"},
    {"a=%c3%A4", "a", true, STATUS_OK, "\xc3\xa4"},
    {"a=%", "a", true, STATUS_MALFORMED, ""},
    {"a=x%2", "a", true, STATUS_MALFORMED, ""},
    {"a=%2x", "a", true, STATUS_MALFORMED, ""},
    {"a=%x2", "a", true, STATUS_MALFORMED, ""},
    {"a=x%00", "a", true, STATUS_MALFORMED, ""},
    {"a=%2&b=1", "b", true, STATUS_OK, "1"},
    {"a%=1&a=2", "a", true, STATUS_OK, "2"},
    {"a=1234567", "a", true, STATUS_OK, "1234567"},
    {"a=12345678", "a", true, STATUS_TOO_LARGE, ""},
    {"a=12345678%", "a", true, STATUS_MALFORMED, ""},
};

static void test_get(void **state)
{
    (void)state; /* none */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_request request = with_query(rows[i].query);
        char value[8] = "unset";
        enum status status = STATUS_INTERNAL;
        bool is_found = http_query_get(&request, rows[i].name, value, sizeof value, &status);
        if (is_found != rows[i].is_found || status != rows[i].status ||
            strcmp(value, is_found ? rows[i].value : "unset") != 0)
            fail_msg("%s: %d %s \"%s\"", rows[i].query, is_found, status_name(status), value);
    }
}

static void test_walk(void **state)
{
    struct http_request request = with_query("a=1&&b+c=%32&d%=3&e=%00&=f&toolongname=1");
    static const struct {
        const char *name, *value;
        enum status status;
    } expected[] = {
        {"a", "1", STATUS_OK}, {"b c", "2", STATUS_OK}, {"", "3", STATUS_MALFORMED}, {"e", "", STATUS_MALFORMED},
        {"", "f", STATUS_OK},  {"", "1", STATUS_TOO_LARGE},
    };
    size_t cursor = 0;
    char name[8], value[8];
    enum status status;
    (void)state; /* none */
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_true(http_query_next(&request, &cursor, name, sizeof name, value, sizeof value, &status));
        assert_int_equal(status, expected[i].status);
        assert_string_equal(name, expected[i].name);
        assert_string_equal(value, expected[i].value);
    }
    assert_false(http_query_next(&request, &cursor, name, sizeof name, value, sizeof value, &status));
    assert_int_equal(status, STATUS_OK);
}

static void test_headers(void **state)
{
    static const struct http_header headers[] = {
        {{"Host", 4}, {"a", 1}}, {{"X-One", 5}, {"1", 1}}, {{"x-one", 5}, {"2", 1}}, {{"X-Empty", 7}, {"", 0}}};
    struct http_request request = {.headers = headers, .header_count = 4};
    (void)state; /* none */
    assert_ptr_equal(http_header_get(&request, "x-ONE").data, headers[1].value.data);
    assert_int_equal(http_header_get(&request, "x-empty").size, 0);
    assert_non_null(http_header_get(&request, "x-empty").data);
    assert_null(http_header_get(&request, "X-On").data);
    assert_null(http_header_get(&request, "X-Ones").data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_get), cmocka_unit_test(test_walk),
                                       cmocka_unit_test(test_headers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
