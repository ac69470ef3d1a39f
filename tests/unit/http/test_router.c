#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "http/router.h"

static void handle(void *arg, const struct http_request *request, const struct route_match *match)
{
    (void)arg, (void)request, (void)match; /* never called here */
}

static const struct route routes[] = {
    {METHOD_GET, "/", handle, 0},
    {METHOD_GET, "/jobs", handle, 1},
    {METHOD_POST, "/jobs", handle, 2},
    {METHOD_GET, "/jobs/:id", handle, 3},
    {METHOD_DELETE, "/jobs/:id", handle, 4},
    {METHOD_POST, "/jobs/validate", handle, 5},
    {METHOD_POST, "/jobs/:id/trigger", handle, 6},
    {METHOD_GET, "/jobs/upcoming", handle, 7},
    {METHOD_GET, "/:a/x/:b/y", handle, 8},
    {METHOD_GET, "/jobs/:c/:d/y", handle, 9},
    {METHOD_PUT, "/a/b/c/d/e/f/g/h/i/j/k/l", handle, 10},
    {METHOD_PUT, "/:w/:x/:y/:z", handle, 11},
    {METHOD_OPTIONS, "/own-options", handle, 12},
};
enum { NONE = 99 };

struct row {
    enum http_method method;
    const char *path;
    enum status status;
    uint32_t route;      /* its flags */
    const char *result;  /* parameters joined with '|', or Allow */
};
static const struct row rows[] = {
    {METHOD_GET, "/", STATUS_OK, 0, ""},
    {METHOD_HEAD, "/", STATUS_OK, 0, ""},
    {METHOD_POST, "/", STATUS_METHOD_NOT_ALLOWED, NONE, "GET, HEAD, OPTIONS"},
    {METHOD_GET, "/jobs", STATUS_OK, 1, ""},
    {METHOD_POST, "/jobs", STATUS_OK, 2, ""},
    {METHOD_DELETE, "/jobs", STATUS_METHOD_NOT_ALLOWED, NONE, "GET, HEAD, POST, OPTIONS"},
    {METHOD_OPTIONS, "/jobs", STATUS_METHOD_NOT_ALLOWED, NONE, "GET, HEAD, POST, OPTIONS"},
    {METHOD_GET, "/jobs/", STATUS_NOT_FOUND, NONE, ""},
    {METHOD_GET, "//jobs", STATUS_NOT_FOUND, NONE, ""},
    {METHOD_GET, "/job", STATUS_NOT_FOUND, NONE, ""},
    {METHOD_GET, "/jobsx", STATUS_NOT_FOUND, NONE, ""},
    {METHOD_GET, "/Jobs", STATUS_NOT_FOUND, NONE, ""},
    {METHOD_GET, "/jobs/7", STATUS_OK, 3, "7"},
    {METHOD_DELETE, "/jobs/a b", STATUS_OK, 4, "a b"},
    {METHOD_POST, "/jobs/7", STATUS_METHOD_NOT_ALLOWED, NONE, "GET, HEAD, DELETE, OPTIONS"},
    {METHOD_GET, "/jobs/upcoming", STATUS_OK, 7, ""},
    {METHOD_DELETE, "/jobs/upcoming", STATUS_OK, 4, "upcoming"},
    {METHOD_POST, "/jobs/validate", STATUS_OK, 5, ""},
    {METHOD_GET, "/jobs/validate", STATUS_OK, 3, "validate"},
    {METHOD_PUT, "/jobs/validate", STATUS_METHOD_NOT_ALLOWED, NONE, "GET, HEAD, POST, DELETE, OPTIONS"},
    {METHOD_POST, "/jobs/validate/trigger", STATUS_OK, 6, "validate"},
    {METHOD_POST, "/jobs//trigger", STATUS_NOT_FOUND, NONE, ""},
    {METHOD_GET, "/jobs/7/trigger", STATUS_METHOD_NOT_ALLOWED, NONE, "POST, OPTIONS"},
    {METHOD_GET, "/q/x/r/y", STATUS_OK, 8, "q|r"},
    {METHOD_GET, "/jobs/x/r/y", STATUS_OK, 9, "x|r"}, /* the first difference is a literal of route 9 */
    {METHOD_GET, "/jobs/z/r/y", STATUS_OK, 9, "z|r"},
    {METHOD_GET, "/q/x/r", STATUS_NOT_FOUND, NONE, ""},
    {METHOD_PUT, "/1/2/3/4", STATUS_OK, 11, "1|2|3|4"},
    {METHOD_PUT, "/q/x/r/y", STATUS_OK, 11, "q|x|r|y"},
    {METHOD_PUT, "/a/b/c/d/e/f/g/h/i/j/k/l", STATUS_OK, 10, ""},
    {METHOD_PUT, "/a/b/c/d/e/f/g/h/i/j/k", STATUS_NOT_FOUND, NONE, ""},
    {METHOD_PUT, "/a/b/c/d/e/f/g/h/i/j/k/l/m", STATUS_NOT_FOUND, NONE, ""},
    {METHOD_OPTIONS, "/own-options", STATUS_OK, 12, ""},
    {METHOD_GET, "/own-options", STATUS_METHOD_NOT_ALLOWED, NONE, "OPTIONS"},
    {METHOD_GET, "", STATUS_NOT_FOUND, NONE, ""},
};

static void check(const struct router *router, const struct row *row)
{
    struct http_request request = {.method = row->method, .path = {row->path, strlen(row->path)}};
    struct route_match match = {0};
    struct buffer result;
    buffer_init(&result, 1024);
    enum status status = router_match(router, &request, &match, &result);
    if (status == STATUS_OK) {
        assert_int_equal(result.size, 0);
        for (size_t i = 0; i < match.param_count; i++) {
            if (i > 0)
                buffer_append_char(&result, '|');
            buffer_append(&result, match.params[i].data, match.params[i].size);
        }
    }
    buffer_append_char(&result, '\0');
    if (status != row->status || (status == STATUS_OK && match.route->flags != row->route) ||
        strcmp(result.data, row->result) != 0)
        fail_msg("%s %s: %s, \"%s\"", http_method_name(row->method), row->path, status_name(status), result.data);
    buffer_deinit(&result);
}

static void test_matching(void **state)
{
    struct router *router;
    struct error err;
    (void)state; /* none */
    assert_int_equal(router_new(routes, sizeof routes / sizeof routes[0], &router, &err), STATUS_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check(router, &rows[i]);
    router_free(router);
    router_free(NULL);
}

/* The order of the table has no say. */
static void test_order(void **state)
{
    enum { COUNT = sizeof routes / sizeof routes[0] };
    struct route reversed[COUNT];
    struct router *router;
    struct error err;
    (void)state; /* none */
    for (size_t i = 0; i < COUNT; i++)
        reversed[i] = routes[COUNT - 1 - i];
    assert_int_equal(router_new(reversed, COUNT, &router, &err), STATUS_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check(router, &rows[i]);
    router_free(router);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_matching), cmocka_unit_test(test_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
