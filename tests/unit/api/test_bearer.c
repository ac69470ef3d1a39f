/* Who may use the API: what is a token in a header, which paths are public, what `anonymous: read` opens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/api_internal.h"
#include "base/limits.h"

#define GOOD "chr_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "chr_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdee"

static struct config config;
static struct api api = {.config = {.config = &config}};

static struct bytes text_of(const char *text)
{
    return (struct bytes){text, strlen(text)};
}

static int setup(void **state)
{
    uint8_t digest[TOKEN_DIGEST_SIZE];
    char line[TOKEN_DIGEST_TEXT_SIZE + 8] = "ci:";
    struct error err;
    (void)state;
    if (token_digest(text_of(GOOD), digest, &err) != STATUS_OK)
        return -1;
    token_digest_format(digest, line + 3);
    return tokens_parse("tokens", text_of(line), &api.tokens, &err) == STATUS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    tokens_free(api.tokens);
    return 0;
}

static enum status ask(enum http_method method, const char *path, const char *authorization, const char *second, const char **name,
                       struct error *err)
{
    struct http_header headers[3] = {{text_of("Host"), text_of("a")}};
    struct http_request request = {.method = method, .path = text_of(path), .headers = headers, .header_count = 1};
    if (authorization != NULL)
        headers[request.header_count++] = (struct http_header){text_of("authorization"), text_of(authorization)};
    if (second != NULL)
        headers[request.header_count++] = (struct http_header){text_of("Authorization"), text_of(second)};
    *name = NULL;
    return bearer_check(&api, &request, name, err);
}

static void test_known(void **state)
{
    static const char *const headers[] = {"Bearer " GOOD, "bearer " GOOD, "BEARER   " GOOD};
    const char *name;
    struct error err;
    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        assert_int_equal(ask(METHOD_GET, "/api/v1/jobs", headers[i], NULL, &name, &err), STATUS_OK);
        assert_string_equal(name, "ci");
    }
}

static void test_unknown(void **state)
{
    static const struct {
        const char *header, *second, *says;
    } cases[] = {
        {NULL, NULL, "a token is needed: send the header \"Authorization: Bearer <token>\""},
        {"Bearer " OTHER, NULL, "does not know the token"},
        {"Bearer " GOOD "0", NULL, "does not know the token"},
        {"Bearer " GOOD, "Bearer " GOOD, "more than one Authorization header"},
        {"Basic Y2k6c2VjcmV0", NULL, "no other scheme"},
        {GOOD, NULL, "no other scheme"},
        {"Bearer" GOOD, NULL, "no other scheme"},
        {"Bearer\t" GOOD, NULL, "no other scheme"},
        {"", NULL, "no other scheme"},
        {"Bearer", NULL, "no other scheme"},
        {"Bearer ", NULL, "is not a token"},
        {"Bearer " GOOD " x", NULL, "is not a token"},
        {"Bearer \"" GOOD "\"", NULL, "is not a token"},
        {"Bearer short", NULL, "is not a token"},
    };
    const char *name;
    struct error err;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(ask(METHOD_POST, "/api/v1/jobs", cases[i].header, cases[i].second, &name, &err), STATUS_UNAUTHENTICATED);
        if (strstr(err.message, cases[i].says) == NULL)
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].header, err.message, cases[i].says);
        assert_null(strstr(err.message, "0123")); /* nothing of a token */
        assert_string_equal(name, "");
    }
    char longest[TOKEN_MAX + 16] = "Bearer ";
    memset(longest + 7, 'a', TOKEN_MAX + 1);
    assert_int_equal(ask(METHOD_GET, "/", longest, NULL, &name, &err), STATUS_UNAUTHENTICATED);
    assert_non_null(strstr(err.message, "is not a token"));
    longest[7 + TOKEN_MAX] = '\0';
    assert_int_equal(ask(METHOD_GET, "/", longest, NULL, &name, &err), STATUS_UNAUTHENTICATED);
    assert_non_null(strstr(err.message, "does not know the token"));
}

/* The probes and nothing else; what only looks like one is not one. */
static void test_public(void **state)
{
    static const char *const open[] = {"/health", "/live", "/ready", "/version"};
    static const char *const guarded[] = {"/", "/metrics", "/health/", "/healthz", "/HEALTH", "/api/v1/jobs", "/api/v1/nothing",
                                          "/health/x"};
    const char *name;
    struct error err;
    (void)state;
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        assert_int_equal(ask(METHOD_GET, open[i], NULL, NULL, &name, &err), STATUS_OK);
    for (size_t i = 0; i < sizeof guarded / sizeof *guarded; i++)
        assert_int_equal(ask(METHOD_GET, guarded[i], NULL, NULL, &name, &err), STATUS_UNAUTHENTICATED);
    /* So is every route that is not marked, whatever is added. */
    for (size_t i = 0; i < api_route_count; i++) {
        assert_null((api_routes[i].flags & ROUTE_PUBLIC) != 0 ? strchr(api_routes[i].pattern, ':') : NULL);
        assert_int_equal(ask(api_routes[i].method, api_routes[i].pattern, NULL, NULL, &name, &err),
                         (api_routes[i].flags & ROUTE_PUBLIC) != 0 ? STATUS_OK : STATUS_UNAUTHENTICATED);
    }
}

static void test_anonymous(void **state)
{
    static const enum http_method writes[] = {METHOD_POST, METHOD_PUT, METHOD_PATCH, METHOD_DELETE, METHOD_OPTIONS};
    const char *name;
    struct error err;
    (void)state;
    config.auth.anonymous = ANONYMOUS_READ;
    assert_int_equal(ask(METHOD_GET, "/api/v1/jobs", NULL, NULL, &name, &err), STATUS_OK);
    assert_int_equal(ask(METHOD_HEAD, "/metrics", NULL, NULL, &name, &err), STATUS_OK);
    assert_string_equal(name, "");
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++)
        assert_int_equal(ask(writes[i], "/api/v1/jobs", NULL, NULL, &name, &err), STATUS_UNAUTHENTICATED);
    /* Who shows a token wants to be somebody: a wrong one is no silent descent to nobody. */
    assert_int_equal(ask(METHOD_GET, "/api/v1/jobs", "Bearer " OTHER, NULL, &name, &err), STATUS_UNAUTHENTICATED);
    assert_int_equal(ask(METHOD_GET, "/api/v1/jobs", "Bearer " GOOD, NULL, &name, &err), STATUS_OK);
    assert_string_equal(name, "ci");
    config.auth.anonymous = ANONYMOUS_NONE;
}

static void test_switched_off(void **state)
{
    struct tokens *tokens = api.tokens;
    const char *name;
    struct error err;
    (void)state;
    api.tokens = NULL;
    assert_int_equal(ask(METHOD_DELETE, "/api/v1/jobs/x", NULL, NULL, &name, &err), STATUS_OK);
    assert_int_equal(ask(METHOD_DELETE, "/api/v1/jobs/x", "Bearer x", NULL, &name, &err), STATUS_OK);
    api.tokens = tokens;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_public),
        cmocka_unit_test(test_anonymous),
        cmocka_unit_test(test_switched_off),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
