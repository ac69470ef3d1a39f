/* Limits, cursors and query parameters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/api_internal.h"

static struct http_request with_query(const char *query)
{
    return (struct http_request){.query = {query, strlen(query)}};
}

/* The text of the cursor for a key; false: null. */
static bool cursor_of(char kind, const void *key, size_t size, char *out, size_t out_size)
{
    struct buffer text;
    buffer_init(&text, 4096);
    struct json_writer w = json_writer_on(&text);
    json_object_begin(&w);
    page_write_next(&w, kind, (struct bytes){key, size});
    json_object_end(&w);
    bool is_text = sscanf(text.data, "{\"next_cursor\":\"%[^\"]\"}", out) == 1;
    assert_true(strlen(text.data) < out_size);
    buffer_deinit(&text);
    return is_text;
}

static void test_cursors_round_trip(void **state)
{
    uint8_t key[200];
    char cursor[512], query[600];
    struct page page;
    struct error err;
    (void)state;
    for (size_t size = 1; size <= sizeof key; size++) {
        for (size_t i = 0; i < size; i++)
            key[i] = (uint8_t)(i * 37 + size);
        assert_true(cursor_of('n', key, size, cursor, sizeof cursor));
        (void)snprintf(query, sizeof query, "cursor=%s", cursor);
        struct http_request request = with_query(query);
        assert_int_equal(page_parse(&request, 'n', &page, &err), STATUS_OK);
        assert_int_equal(page.cursor_size, size);
        assert_memory_equal(page.cursor, key, size);
        assert_int_equal(page.limit, PAGE_DEFAULT);
        /* Not of another list. */
        assert_int_equal(page_parse(&request, 'a', &page, &err), STATUS_MALFORMED);
    }
    assert_false(cursor_of('n', key, 0, cursor, sizeof cursor));
}

static void test_refused_cursors(void **state)
{
    static const char *const rows[] = {"cursor=", "cursor=A", "cursor=bg", "cursor=b%21", "cursor=bi+k", "cursor=%zz"};
    char longest[2048] = "cursor=";
    struct page page;
    struct error err;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_request request = with_query(rows[i]);
        if (page_parse(&request, 'n', &page, &err) != STATUS_MALFORMED)
            fail_msg("%s", rows[i]);
    }
    memset(longest + 7, 'b', 1000);
    struct http_request request = with_query(longest);
    assert_int_equal(page_parse(&request, 'n', &page, &err), STATUS_MALFORMED);
}

static void test_limits(void **state)
{
    static const struct {
        const char *query;
        uint32_t limit; /* 0: refused */
    } rows[] = {
        {"", PAGE_DEFAULT}, {"limit=1", 1},  {"limit=1000", PAGE_MAX}, {"limit=0", 0},   {"limit=1001", 0},
        {"limit=-1", 0},    {"limit=", 0},   {"limit=1x", 0},          {"limit=%201", 0}, {"limit=99999999999999999999", 0},
        {"limit=0x10", 0},  {"limit=1.5", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_request request = with_query(rows[i].query);
        struct page page = {.limit = 0};
        struct error err;
        enum status status = page_parse(&request, 'n', &page, &err);
        if (status != (rows[i].limit > 0 ? STATUS_OK : STATUS_MALFORMED) || page.limit != rows[i].limit)
            fail_msg("%s: %d, %u", rows[i].query, (int)status, page.limit);
    }
}

static void test_unknown_parameters(void **state)
{
    static const char *const known[] = {"limit", "tag.", NULL};
    static const struct {
        const char *query;
        const char *words; /* NULL: fine */
    } rows[] = {
        {"", NULL},
        {"limit=1&tag.team=x", NULL},
        {"consistent=true", NULL},
        {"limt=1", "did you mean \"limit\"?"},
        {"qqqqqqqq=1", "unknown query parameter \"qqqqqqqq\""},
        {"tag.=x", "unknown query parameter"},
        {"tag=x", "unknown query parameter"},
        {"limit=%zz", "bad percent-encoding"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_request request = with_query(rows[i].query);
        struct error err = {.message = ""};
        enum status status = query_check(&request, known, &err);
        if ((status == STATUS_OK) != (rows[i].words == NULL) ||
            (rows[i].words != NULL && strstr(err.message, rows[i].words) == NULL))
            fail_msg("%s: %s", rows[i].query, err.message);
    }
}

static void test_values(void **state)
{
    struct http_request request = with_query("a=true&b=TRUE&t=2027-01-01T00:00:00Z&u=yesterday");
    struct error err;
    enum status status;
    bool flag = false;
    int64_t ms = 0;
    (void)state;
    assert_true(query_bool(&request, "a", &flag, &status, &err));
    assert_int_equal(status, STATUS_OK);
    assert_true(flag);
    assert_true(query_bool(&request, "b", &flag, &status, &err));
    assert_int_equal(status, STATUS_MALFORMED);
    assert_false(query_bool(&request, "c", &flag, &status, &err));
    assert_int_equal(status, STATUS_OK);
    assert_true(query_time(&request, "t", &ms, &status, &err));
    assert_int_equal(status, STATUS_OK);
    assert_int_equal(ms, INT64_C(1798761600000));
    assert_true(query_time(&request, "u", &ms, &status, &err));
    assert_int_equal(status, STATUS_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cursors_round_trip), cmocka_unit_test(test_refused_cursors), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_unknown_parameters), cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
