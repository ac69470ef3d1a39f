/* docs/api.md names every route, and every code that a client can see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/api_internal.h"
#include "base/file.h"

static struct buffer page;

static int setup(void **state)
{
    struct error err;
    (void)state;
    buffer_init(&page, 1 << 20);
    if (file_read(API_DOCUMENTATION, &page, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buffer_deinit(&page);
    return 0;
}

/* "/api/v1/jobs/:job/executions" is written "/api/v1/jobs/{job}/executions". */
static void written(const char *pattern, char *out)
{
    bool in_parameter = false;
    for (; *pattern != '\0'; pattern++) {
        if (in_parameter && *pattern == '/') {
            *out++ = '}';
            in_parameter = false;
        }
        *out++ = *pattern == ':' ? '{' : *pattern;
        in_parameter = in_parameter || *pattern == ':';
    }
    if (in_parameter)
        *out++ = '}';
    *out = '\0';
}

static void test_routes(void **state)
{
    (void)state;
    for (size_t i = 0; i < api_route_count; i++) {
        char path[256], line[300];
        written(api_routes[i].pattern, path);
        (void)snprintf(line, sizeof line, "`%s %s`", http_method_name(api_routes[i].method), path);
        if (strstr(page.data, line) == NULL)
            fail_msg("docs/api.md lacks %s", line);
    }
}

/* No route is described that is not there. */
static void test_no_other_routes(void **state)
{
    static const char *const methods[] = {"`GET /", "`POST /", "`PUT /", "`PATCH /", "`DELETE /"};
    (void)state;
    for (size_t m = 0; m < sizeof methods / sizeof methods[0]; m++) {
        for (const char *at = strstr(page.data, methods[m]); at != NULL; at = strstr(at + 1, methods[m])) {
            bool found = false;
            for (size_t i = 0; !found && i < api_route_count; i++) {
                char path[256], line[300];
                written(api_routes[i].pattern, path);
                int size = snprintf(line, sizeof line, "`%s %s`", http_method_name(api_routes[i].method), path);
                found = strncmp(at, line, (size_t)size) == 0;
            }
            if (!found)
                fail_msg("docs/api.md names a route that is not there: %.60s", at);
        }
    }
}

static void test_codes(void **state)
{
    (void)state;
    for (int code = STATUS_OK + 1; code < STATUS_COUNT; code++) {
        char text[64];
        (void)snprintf(text, sizeof text, "| `%s` | %d |", status_name((enum status)code), status_http((enum status)code));
        bool unused = code == STATUS_PRECONDITION_REQUIRED ||
                      code == STATUS_STALE || code == STATUS_NOT_IMPLEMENTED ||
                      (code > STATUS_NO_MEMORY && code <= STATUS_MISUSE); /* those that reach a client stand there all the same */
        if (!unused && strstr(page.data, text) == NULL)
            fail_msg("docs/api.md lacks %s", text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_routes), cmocka_unit_test(test_no_other_routes),
                                       cmocka_unit_test(test_codes)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
