/* Who may change state: Host, Origin and Content-Type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/api_internal.h"

static struct bytes text_of(const char *text)
{
    return (struct bytes){text, text != NULL ? strlen(text) : 0};
}

struct row {
    const char *listen, *host, *origin, *type, *body;
    enum http_method method;
    enum status status;
};

static enum status check(const struct row *row, struct error *err)
{
    struct config config = {.server.http_address = (char *)row->listen, .cluster.node_id = (char *)"node-7"};
    struct api api = {.config = {.config = &config}};
    struct http_header headers[3];
    struct http_request request = {.method = row->method, .headers = headers, .body = text_of(row->body)};
    char host[256] = "";
    if (row->host != NULL) {
        /* The host without its port, as the server gives it. */
        (void)snprintf(host, sizeof host, "%s", row->host);
        char *end = host[0] == '[' ? strchr(host, ']') + 1 : strchr(host, ':');
        if (end != NULL && *end == ':')
            *end = '\0';
        request.host = text_of(host);
        headers[request.header_count++] = (struct http_header){text_of("host"), text_of(row->host)};
    }
    if (row->origin != NULL)
        headers[request.header_count++] = (struct http_header){text_of("Origin"), text_of(row->origin)};
    if (row->type != NULL)
        headers[request.header_count++] = (struct http_header){text_of("content-type"), text_of(row->type)};
    return guard_check(&api, &request, err);
}

#define LOOPBACK "127.0.0.1:8080"
#define JSON "application/json"

static void test_guard(void **state)
{
    static const struct row rows[] = {
        {LOOPBACK, "localhost:8080", NULL, JSON, "{}", METHOD_POST, STATUS_OK},
        {LOOPBACK, "LocalHost", NULL, JSON, "{}", METHOD_POST, STATUS_OK},
        {LOOPBACK, "127.0.0.1:8080", NULL, JSON, "{}", METHOD_POST, STATUS_OK},
        {LOOPBACK, "[::1]:8080", NULL, JSON, "{}", METHOD_POST, STATUS_OK},
        {LOOPBACK, "10.1.2.3", NULL, JSON, "{}", METHOD_POST, STATUS_OK},
        {LOOPBACK, "node-7:8080", NULL, JSON, "{}", METHOD_POST, STATUS_OK},
        {LOOPBACK, NULL, NULL, JSON, "{}", METHOD_POST, STATUS_OK},
        {LOOPBACK, "evil.example", NULL, JSON, "{}", METHOD_POST, STATUS_FORBIDDEN},
        {LOOPBACK, "localhost.evil.example", NULL, JSON, "{}", METHOD_POST, STATUS_FORBIDDEN},
        {LOOPBACK, "127.0.0.1.evil.example", NULL, JSON, "{}", METHOD_POST, STATUS_FORBIDDEN},
        {LOOPBACK, "node-70", NULL, JSON, "{}", METHOD_DELETE, STATUS_FORBIDDEN},
        {"[::1]:8080", "evil.example", NULL, JSON, "{}", METHOD_PUT, STATUS_FORBIDDEN},
        /* Beyond loopback any name may lead here. */
        {"0.0.0.0:8080", "chronos.example:8080", NULL, JSON, "{}", METHOD_POST, STATUS_OK},
        {"0.0.0.0:8080", "chronos.example:8080", "http://chronos.example:8080", JSON, "{}", METHOD_POST, STATUS_OK},
        {"0.0.0.0:8080", "chronos.example:8080", "https://chronos.example:8080", JSON, "{}", METHOD_POST, STATUS_OK},
        {"0.0.0.0:8080", "chronos.example:8080", "http://chronos.example", JSON, "{}", METHOD_POST, STATUS_FORBIDDEN},
        {"0.0.0.0:8080", "chronos.example", "http://evil.example", JSON, "{}", METHOD_POST, STATUS_FORBIDDEN},
        {LOOPBACK, "localhost:8080", "http://localhost:8080", JSON, "{}", METHOD_POST, STATUS_OK},
        {LOOPBACK, "localhost:8080", "http://localhost:9090", JSON, "{}", METHOD_POST, STATUS_FORBIDDEN},
        {LOOPBACK, "localhost:8080", "null", JSON, "{}", METHOD_POST, STATUS_FORBIDDEN},
        {LOOPBACK, "localhost:8080", "", JSON, "{}", METHOD_POST, STATUS_FORBIDDEN},
        {LOOPBACK, "localhost", NULL, NULL, "", METHOD_POST, STATUS_OK},
        {LOOPBACK, "localhost", NULL, NULL, "{}", METHOD_POST, STATUS_UNSUPPORTED_MEDIA},
        {LOOPBACK, "localhost", NULL, "text/plain", "{}", METHOD_POST, STATUS_UNSUPPORTED_MEDIA},
        {LOOPBACK, "localhost", NULL, "text/plain", "", METHOD_POST, STATUS_UNSUPPORTED_MEDIA},
        {LOOPBACK, "localhost", NULL, "application/x-www-form-urlencoded", "a=b", METHOD_POST, STATUS_UNSUPPORTED_MEDIA},
        {LOOPBACK, "localhost", NULL, "Application/JSON; charset=utf-8", "{}", METHOD_POST, STATUS_OK},
        {LOOPBACK, "localhost", NULL, "application/json5", "{}", METHOD_POST, STATUS_UNSUPPORTED_MEDIA},
        {LOOPBACK, "localhost", NULL, "application/merge-patch+json", "{}", METHOD_PATCH, STATUS_OK},
        {LOOPBACK, "localhost", NULL, "application/merge-patch+json", "{}", METHOD_POST, STATUS_UNSUPPORTED_MEDIA},
        {LOOPBACK, "localhost", NULL, "application/merge-patch+json", "{}", METHOD_PUT, STATUS_UNSUPPORTED_MEDIA},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = {.code = STATUS_OK};
        enum status status = check(&rows[i], &err);
        if (status != rows[i].status)
            fail_msg("row %zu: %s %s: %s", i, rows[i].host, status_name(status), err.message);
        if (status != STATUS_OK)
            assert_true(strlen(err.message) > 20);
    }
}

static void test_own_host_name(void **state)
{
    char name[200];
    struct row row = {LOOPBACK, name, NULL, JSON, "{}", METHOD_POST, STATUS_OK};
    struct error err;
    (void)state;
    assert_int_equal(gethostname(name, sizeof name), 0);
    assert_int_equal(check(&row, &err), STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_guard), cmocka_unit_test(test_own_host_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
