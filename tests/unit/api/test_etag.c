/* Entity tags as lists of versions, and the selection of fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/jobs.h"

static void test_tags(void **state)
{
    static const struct {
        const char *list;
        bool weak, matches;
        enum status status;
    } rows[] = {
        {"\"3\"", false, true, STATUS_OK},
        {"\"3\"", true, true, STATUS_OK},
        {"\"4\"", false, false, STATUS_OK},
        {"\"33\"", false, false, STATUS_OK},
        {"\"\"", false, false, STATUS_OK},
        {"\"abc\"", false, false, STATUS_OK},
        {"*", false, true, STATUS_OK},
        {" * ", false, false, STATUS_MALFORMED},
        {"W/\"3\"", false, false, STATUS_OK},
        {"W/\"3\"", true, true, STATUS_OK},
        {"\"1\", \"3\"", false, true, STATUS_OK},
        {"\"1\",W/\"3\",\"2\"", true, true, STATUS_OK},
        {"\"1\",W/\"3\",\"2\"", false, false, STATUS_OK},
        {"\"3\" ", false, true, STATUS_OK},
        {"", false, false, STATUS_MALFORMED},
        {"3", false, false, STATUS_MALFORMED},
        {"\"3", false, false, STATUS_MALFORMED},
        {"\"3\",", false, false, STATUS_MALFORMED},
        {"\"3\" \"4\"", false, false, STATUS_MALFORMED},
        {"W/", false, false, STATUS_MALFORMED},
        {"W/3", false, false, STATUS_MALFORMED},
        {"w/\"3\"", true, false, STATUS_MALFORMED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err;
        bool matches = false;
        enum status status =
            etag_matches((struct bytes){rows[i].list, strlen(rows[i].list)}, rows[i].weak, 3, &matches, &err);
        if (status != rows[i].status || matches != rows[i].matches)
            fail_msg("%s: status %d, matches %d", rows[i].list, (int)status, matches);
    }
}

static void test_header(void **state)
{
    char text[ETAG_HEADER_SIZE];
    (void)state;
    etag_header(UINT32_MAX, text);
    assert_string_equal(text, "ETag: \"4294967295\"\r\n");
}

static struct http_request with_query(const char *query)
{
    return (struct http_request){.query = {query, strlen(query)}};
}

static void test_fields(void **state)
{
    static const char text[] = "{\"id\":\"job_x\",\"name\":\"n\",\"tags\":{\"a\":\"b\"},\"next_run\":null}";
    struct http_request request = with_query("fields=tags,name,held");
    struct job_fields fields;
    struct buffer out;
    struct error err;
    (void)state;
    buffer_init(&out, 4096);
    assert_int_equal(job_fields_parse(&request, &fields, &err), STATUS_OK);
    assert_int_equal(job_fields_select(&fields, (struct bytes){text, strlen(text)}, &out, &err), STATUS_OK);
    assert_string_equal(out.data, "{\"tags\":{\"a\":\"b\"},\"name\":\"n\"}");
    buffer_clear(&out);
    request = with_query("limit=3");
    assert_int_equal(job_fields_parse(&request, &fields, &err), STATUS_OK);
    assert_int_equal(fields.count, 0);
    assert_int_equal(job_fields_select(&fields, (struct bytes){text, strlen(text)}, &out, &err), STATUS_OK);
    assert_string_equal(out.data, text);
    buffer_deinit(&out);
    request = with_query("fields=name,tag");
    assert_int_equal(job_fields_parse(&request, &fields, &err), STATUS_MALFORMED);
    assert_non_null(strstr(err.message, "did you mean \"tags\"?"));
    request = with_query("fields=");
    assert_int_equal(job_fields_parse(&request, &fields, &err), STATUS_MALFORMED);
    request = with_query("fields=%zz");
    assert_int_equal(job_fields_parse(&request, &fields, &err), STATUS_MALFORMED);
}

/* The same field twice is one member: a duplicate key would be refused by readers. */
static void test_fields_twice(void **state)
{
    struct http_request request = with_query("fields=name,name");
    struct job_fields fields;
    struct error err;
    (void)state;
    assert_int_equal(job_fields_parse(&request, &fields, &err), STATUS_OK);
    assert_int_equal(fields.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_fields_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
