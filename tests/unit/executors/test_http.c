/* The HTTP executor, driven through its ops by a host of the test's own, against a real server on a loopback port. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fake_host.h"
#include "http_server.h"

struct world {
    struct fake_host *host;
    struct http_server *server, *other; /* two origins */
};

static int setup_with(void **state, const struct config_value *config)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    w->server = http_server_new();
    w->other = http_server_new();
    w->host = fake_host_new(PLUGIN_PATH, config);
    *state = w;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, NULL);
}

static int teardown(void **state)
{
    struct world *w = *state;

    fake_host_free(w->host);
    http_server_free(w->server);
    http_server_free(w->other);
    free(w);
    return 0;
}

/* The URL lives until the next call. */
static struct job request(struct http_server *server, const char *path)
{
    static char url[1200];
    struct job job = {0};

    (void)snprintf(url, sizeof(url), "%s%s", http_server_url(server), path);
    job_set(&job, "url", url);
    return job;
}

static struct job get(struct http_server *server, const char *path)
{
    struct job job = request(server, path);

    job_set(&job, "method", "GET");
    return job;
}

static void expect_text(const char *text, const char *part)
{
    if (strcasestr(text, part) == NULL) {
        fail_msg("\"%s\" is missing in\n%s", part, text);
    }
}

static void expect_no_text(const char *text, const char *part)
{
    if (strcasestr(text, part) != NULL) {
        fail_msg("\"%s\" must not stand in\n%s", part, text);
    }
}

/* ---- Outcomes ---- */

static void test_descriptor(void **state)
{
    const struct world *w = *state;
    const struct chronos_component *c = fake_host_component(w->host);

    assert_string_equal(c->id, "http");
    assert_string_equal(c->shorthand, "webhook");
    assert_string_equal(c->options[0].name, "url");
    for (uint32_t i = 0; i < c->n_options; i++) { /* what the core masks */
        const struct chronos_option *o = &c->options[i];
        bool secret = strcmp(o->name, "auth.password") == 0 || strcmp(o->name, "auth.token") == 0 ||
                      strcmp(o->name, "auth.key") == 0 || strcmp(o->name, "proxy") == 0;
        assert_int_equal(secret, (o->flags & CHRONOS_OPTION_SECRET) != 0);
    }
}

static void test_statuses(void **state)
{
    static const struct {
        int status, outcome, retry;
    } cases[] = {
        {200, CHRONOS_OUTCOME_SUCCESS, CHRONOS_RETRY_BY_OUTCOME},
        {204, CHRONOS_OUTCOME_SUCCESS, CHRONOS_RETRY_BY_OUTCOME},
        {299, CHRONOS_OUTCOME_SUCCESS, CHRONOS_RETRY_BY_OUTCOME},
        {301, CHRONOS_OUTCOME_FAILED, CHRONOS_RETRY_NO},
        {304, CHRONOS_OUTCOME_FAILED, CHRONOS_RETRY_NO},
        {400, CHRONOS_OUTCOME_FAILED, CHRONOS_RETRY_NO},
        {404, CHRONOS_OUTCOME_FAILED, CHRONOS_RETRY_NO},
        {408, CHRONOS_OUTCOME_FAILED, CHRONOS_RETRY_YES},
        {409, CHRONOS_OUTCOME_FAILED, CHRONOS_RETRY_NO},
        {425, CHRONOS_OUTCOME_FAILED, CHRONOS_RETRY_YES},
        {429, CHRONOS_OUTCOME_FAILED, CHRONOS_RETRY_YES},
        {500, CHRONOS_OUTCOME_FAILED, CHRONOS_RETRY_YES},
        {503, CHRONOS_OUTCOME_FAILED, CHRONOS_RETRY_YES},
        {599, CHRONOS_OUTCOME_FAILED, CHRONOS_RETRY_YES},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char path[32], text[32];
        (void)snprintf(path, sizeof(path), "/status/%d", cases[i].status);
        struct job job = request(w->server, path);
        const struct run_record *r = fake_run(w->host, &job);
        assert_int_equal(r->result.status_code, cases[i].status);
        assert_int_equal(r->result.outcome, cases[i].outcome);
        assert_int_equal(r->result.retry, cases[i].retry);
        assert_int_equal(r->result.exit_code, -1);
        (void)snprintf(text, sizeof(text), "answered %d", cases[i].status);
        assert_int_equal(strstr(r->message, text) != NULL, cases[i].outcome == CHRONOS_OUTCOME_FAILED);
    }
}

static void test_success_codes(void **state)
{
    struct world *w = *state;
    struct job job = request(w->server, "/status/404");

    job_set(&job, "success_codes", "200-204");
    job_set(&job, "success_codes", "404");
    assert_int_equal(fake_run(w->host, &job)->result.outcome, CHRONOS_OUTCOME_SUCCESS);
    job = request(w->server, "/status/503");
    job_set(&job, "success_codes", "5xx");
    assert_int_equal(fake_run(w->host, &job)->result.outcome, CHRONOS_OUTCOME_SUCCESS);
    job = request(w->server, "/status/205");
    job_set(&job, "success_codes", "200-204");
    const struct run_record *r = fake_run(w->host, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_FAILED);
    assert_int_equal(r->result.retry, CHRONOS_RETRY_NO);
}

static int64_t retry_after(struct world *w, const char *path)
{
    struct job job = request(w->server, path);

    return fake_run(w->host, &job)->result.retry_after_ms;
}

static void test_retry_after(void **state)
{
    struct world *w = *state;
    char path[128], date[64];
    time_t then = time(NULL) + 120;
    struct tm parts;

    assert_int_equal(retry_after(w, "/retry-after/429/7"), 7000);
    assert_int_equal(retry_after(w, "/retry-after/503/120"), 120000);
    assert_int_equal(retry_after(w, "/retry-after/503/99999999999999999999"), INT64_C(86400000)); /* at most a day */
    assert_int_equal(retry_after(w, "/retry-after/503/soon"), 0);
    assert_int_equal(retry_after(w, "/retry-after/503/-5"), 0);
    assert_int_equal(retry_after(w, "/retry-after/404/7"), 0); /* not retried at all */
    assert_int_equal(retry_after(w, "/retry-after/503/Sun,_06_Nov_1994_08:49:37_GMT"), 0); /* passed */

    assert_non_null(gmtime_r(&then, &parts));
    assert_true(strftime(date, sizeof(date), "%a,_%d_%b_%Y_%H:%M:%S_GMT", &parts) > 0);
    (void)snprintf(path, sizeof(path), "/retry-after/503/%s", date);
    int64_t ms = retry_after(w, path);
    assert_true(ms > 60000 && ms <= 120000);
}

static void test_timeout(void **state)
{
    struct world *w = *state;
    struct job job = request(w->server, "/hang");

    job_set(&job, "timeout", "150");
    const struct run_record *r = fake_run(w->host, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_TIMEOUT);
    assert_int_equal(r->result.retry, CHRONOS_RETRY_YES);
    assert_int_equal(r->result.status_code, 0);
    assert_true(r->seconds >= 0.14);
    expect_text(r->message, "timeout 150 ms");
}

static void test_broken_connections(void **state)
{
    static const char *const paths[] = {"/drop", "/short"};
    struct world *w = *state;

    for (size_t i = 0; i < 2; i++) {
        struct job job = request(w->server, paths[i]);
        const struct run_record *r = fake_run(w->host, &job);
        assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_FAILED);
        assert_int_equal(r->result.retry, CHRONOS_RETRY_YES);
    }
    struct http_server *gone = http_server_new(); /* its port refuses afterwards */
    struct job job = request(gone, "/");
    http_server_free(gone);
    const struct run_record *r = fake_run(w->host, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_FAILED);
    assert_int_equal(r->result.retry, CHRONOS_RETRY_YES);
    assert_int_equal(r->result.status_code, 0);
    expect_text(r->message, "connect");
}

static void test_unknown_host(void **state)
{
    struct world *w = *state;
    struct job job = {0};

    job_set(&job, "url", "http://no-such-host.invalid/hook");
    const struct run_record *r = fake_run(w->host, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_FAILED);
    assert_int_equal(r->result.retry, CHRONOS_RETRY_YES);
    expect_text(r->message, "no-such-host.invalid");
}

/* ---- The request ---- */

static void test_headers_and_body(void **state)
{
    struct world *w = *state;
    struct job job = request(w->server, "/echo?x=1");

    job.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    job_set_key(&job, "headers", "X-Own", "yes");
    job_set_key(&job, "headers", "X-Empty", "");
    job_set(&job, "body",
            "{\"job\":\"{{.JobID}}\",\"name\":\"{{ .JobName }}\",\"run\":\"{{.ExecutionID}}\","
            "\"at\":\"{{.ScheduledTime}}\",\"n\":{{.Attempt}}}");
    const struct run_record *r = fake_run(w->host, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_SUCCESS);
    expect_text(r->out, "POST /echo?x=1 HTTP/1.1\r\n");
    expect_text(r->out, "\r\nUser-Agent: Chronos/");
    expect_text(r->out, "\r\nX-Chronos-Job-ID: job_01\r\n");
    expect_text(r->out, "\r\nX-Chronos-Execution-ID: exec_01\r\n");
    expect_text(r->out, "\r\nX-Chronos-Scheduled-Time: 2026-01-31T09:00:00.123Z\r\n");
    expect_text(r->out, "\r\nX-Chronos-Attempt: 2\r\n");
    expect_text(r->out, "\r\nIdempotency-Key: job_01:1769850000\r\n");
    expect_text(r->out, "\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n");
    expect_text(r->out, "\r\nX-Own: yes\r\n");
    expect_text(r->out, "\r\nX-Empty:\r\n");
    expect_text(r->out, "\r\nContent-Type: application/json\r\n");
    expect_no_text(r->out, "Expect:");
    expect_text(r->out, "\r\n\r\n{\"job\":\"job_01\",\"name\":\"daily-report\",\"run\":\"exec_01\","
                        "\"at\":\"2026-01-31T09:00:00.123Z\",\"n\":2}");
}

static void test_headers_that_may_be_replaced(void **state)
{
    struct world *w = *state;
    struct job job = request(w->server, "/echo");

    job_set_key(&job, "headers", "user-agent", "Mine/1");
    job_set_key(&job, "headers", "Content-Type", "text/csv");
    job_set_key(&job, "headers", "Accept", "text/html");
    job_set(&job, "body", "a;b");
    const struct run_record *r = fake_run(w->host, &job);
    expect_text(r->out, "\r\nuser-agent: Mine/1\r\n");
    expect_text(r->out, "\r\nContent-Type: text/csv\r\n");
    expect_text(r->out, "\r\nAccept: text/html\r\n");
    expect_no_text(r->out, "Chronos/");
    expect_no_text(r->out, "*/*");
    expect_no_text(r->out, "text/plain; charset");
    expect_no_text(r->out, "traceparent");
}

static void test_methods(void **state)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        char line[32];
        struct job job = request(w->server, "/echo");
        job_set(&job, "method", methods[i]);
        (void)snprintf(line, sizeof(line), "%s /echo HTTP/1.1", methods[i]);
        const struct run_record *r = fake_run(w->host, &job);
        assert_int_equal(strncmp(r->out, line, strlen(line)), 0);
        expect_no_text(r->out, "Content-Type");
        if (i > 0) {
            struct job with_body = request(w->server, "/echo");
            job_set(&with_body, "method", methods[i]);
            job_set(&with_body, "body", "the body");
            r = fake_run(w->host, &with_body);
            assert_int_equal(strncmp(r->out, line, strlen(line)), 0);
            expect_text(r->out, "Content-Type: text/plain; charset=utf-8\r\n");
            expect_text(r->out, "\r\n\r\nthe body");
        }
    }
    struct job job = request(w->server, "/echo");
    job_set(&job, "method", "HEAD");
    const struct run_record *r = fake_run(w->host, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_SUCCESS);
    assert_string_equal(r->out, "");
}

static void test_auth(void **state)
{
    struct world *w = *state;
    struct job job = get(w->server, "/echo");

    job_set(&job, "auth.type", "basic");
    job_set(&job, "auth.username", "Aladdin");
    job_set(&job, "auth.password", "open sesame");
    expect_text(fake_run(w->host, &job)->out, "\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n");

    job = get(w->server, "/echo");
    job_set(&job, "auth.type", "bearer");
    job_set(&job, "auth.token", "tok-123");
    expect_text(fake_run(w->host, &job)->out, "\r\nAuthorization: Bearer tok-123\r\n");

    job = get(w->server, "/echo");
    job_set(&job, "auth.type", "api_key");
    job_set(&job, "auth.key", "key-123");
    expect_text(fake_run(w->host, &job)->out, "\r\nX-API-Key: key-123\r\n");

    job = get(w->server, "/echo");
    job_set(&job, "auth.type", "api_key");
    job_set(&job, "auth.header", "X-Mine");
    job_set(&job, "auth.key", "key-123");
    const struct run_record *r = fake_run(w->host, &job);
    expect_text(r->out, "\r\nX-Mine: key-123\r\n");
    expect_no_text(r->out, "X-API-Key");

    job = get(w->server, "/echo"); /* values of another type stay unused */
    job_set(&job, "auth.type", "none");
    job_set(&job, "auth.token", "tok-123");
    expect_no_text(fake_run(w->host, &job)->out, "tok-123");
}

static void test_secrets_stay_out_of_messages(void **state)
{
    struct world *w = *state;
    struct job job = request(w->server, "/drop?key=in-the-query");

    job_set(&job, "auth.type", "bearer");
    job_set(&job, "auth.token", "127.0.0.1"); /* a secret that libcurl's own sentence would show */
    const struct run_record *r = fake_run(w->host, &job);
    expect_no_text(r->message, "in-the-query");

    struct http_server *gone = http_server_new();
    job = request(gone, "/");
    http_server_free(gone);
    job_set(&job, "auth.type", "bearer");
    job_set(&job, "auth.token", "Failed to connect");
    r = fake_run(w->host, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_FAILED);
    expect_no_text(r->message, "Failed to connect");
    expect_text(r->message, "*****");
}

/* ---- Bodies ---- */

static void test_body_within_and_beyond_the_quota(void **state)
{
    struct world *w = *state;
    struct job job = get(w->server, "/huge/2");

    job.output_limit = 4 << 20;
    const struct run_record *r = fake_run(w->host, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_SUCCESS);
    assert_int_equal(r->out_size, 2 << 20);

    job = get(w->server, "/huge/4"); /* drained: the connection stays good */
    job.output_limit = 1000;
    r = fake_run(w->host, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_SUCCESS);
    assert_int_equal(r->out_size, 1000);
    assert_int_equal(r->out_total, 4 << 20);
    assert_int_equal(http_server_connections(w->server), 1);
}

static void test_endless_body_is_cut(void **state)
{
    struct world *w = *state;
    struct job job = get(w->server, "/huge/1024");

    job.output_limit = 1000;
    const struct run_record *r = fake_run(w->host, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_SUCCESS); /* the status says so; the body was only too long */
    assert_int_equal(r->result.status_code, 200);
    assert_true(r->out_total < 16 << 20);
    assert_true(http_server_sent(w->server) < 64 << 20);
}

/* ---- Redirects ---- */

static struct job follow(struct http_server *server, int status, struct http_server *target, const char *path)
{
    static char text[600];
    char url[300];

    (void)snprintf(url, sizeof(url), "%s%s", http_server_url(target), path);
    for (char *at = url; *at != '\0'; at++) {
        *at = *at == '/' ? '|' : *at;
    }
    (void)snprintf(text, sizeof(text), "/redirect/%d/%s", status, url);
    struct job job = request(server, text);
    job_set(&job, "follow_redirects", "true");
    return job;
}

static void test_redirects_are_off(void **state)
{
    struct world *w = *state;
    struct job job = get(w->server, "/loop");

    const struct run_record *r = fake_run(w->host, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_FAILED);
    assert_int_equal(r->result.status_code, 302);
    assert_int_equal(r->result.retry, CHRONOS_RETRY_NO);
    expect_text(r->message, "follow_redirects");
    assert_int_equal(http_server_requests(w->server), 1);
}

static void test_redirect_on_the_same_origin(void **state)
{
    struct world *w = *state;
    struct job job = follow(w->server, 307, w->server, "/echo");

    job_set(&job, "body", "kept");
    job_set(&job, "auth.type", "bearer");
    job_set(&job, "auth.token", "tok-123");
    job_set_key(&job, "headers", "X-Own", "yes");
    const struct run_record *r = fake_run(w->host, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_SUCCESS);
    assert_int_equal(strncmp(r->out, "POST /echo", 10), 0); /* and nothing of the redirect's own body */
    expect_text(r->out, "Bearer tok-123");
    expect_text(r->out, "X-Own: yes");
    expect_text(r->out, "\r\n\r\nkept");
}

static void test_redirect_to_another_origin_carries_no_secrets(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 3; i++) {
        struct job job = follow(w->server, 308, w->other, "/echo");
        job_set(&job, "body", "kept");
        job_set_key(&job, "headers", "X-Own", "private");
        job_set_key(&job, "headers", "Cookie", "private");
        job_set(&job, "auth.type", i == 0 ? "basic" : i == 1 ? "bearer" : "api_key");
        job_set(&job, "auth.username", "private");
        job_set(&job, "auth.password", "private");
        job_set(&job, "auth.token", "private");
        job_set(&job, "auth.key", "private");
        const struct run_record *r = fake_run(w->host, &job);
        assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_SUCCESS);
        expect_text(r->out, "POST /echo");
        expect_text(r->out, "Idempotency-Key: job_01:1769850000");
        expect_no_text(r->out, "private");
        expect_no_text(r->out, "Authorization");
        expect_text(r->out, "\r\n\r\nkept");
    }
}

static void test_redirect_changes_the_method(void **state)
{
    static const struct {
        int status;
        const char *method, *expected;
    } cases[] = {
        {301, "POST", "GET"},  {302, "POST", "GET"},   {303, "POST", "GET"},       {307, "POST", "POST"},
        {308, "POST", "POST"}, {301, "PUT", "PUT"},    {302, "PATCH", "PATCH"},    {303, "PUT", "GET"},
        {303, "DELETE", "GET"}, {307, "PUT", "PUT"},   {302, "DELETE", "DELETE"},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char line[32];
        struct job job = follow(w->server, cases[i].status, w->server, "/echo");
        job_set(&job, "method", cases[i].method);
        job_set(&job, "body", "content");
        (void)snprintf(line, sizeof(line), "%s /echo", cases[i].expected);
        const struct run_record *r = fake_run(w->host, &job);
        if (strncmp(r->out, line, strlen(line)) != 0) {
            fail_msg("%d %s: %s", cases[i].status, cases[i].method, r->out);
        }
        assert_int_equal(strstr(r->out, "content") != NULL, strcmp(cases[i].expected, "GET") != 0);
        assert_int_equal(strstr(r->out, "Content-Type") != NULL, strcmp(cases[i].expected, "GET") != 0);
    }
}

static void test_redirect_limits(void **state)
{
    struct world *w = *state;
    struct job job = get(w->server, "/loop");

    job_set(&job, "follow_redirects", "true");
    const struct run_record *r = fake_run(w->host, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_FAILED);
    assert_int_equal(r->result.retry, CHRONOS_RETRY_NO);
    assert_int_equal(http_server_requests(w->server), 11);
    expect_text(r->message, "after 10 redirects");

    static const char *const targets[] = {"file:||etc|passwd", "ftp:|||x", "gopher:||127.0.0.1|", "http:||a%20b|"};
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "/redirect/302/%s", targets[i]);
        job = get(w->server, path);
        job_set(&job, "follow_redirects", "true");
        r = fake_run(w->host, &job);
        assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_FAILED);
        assert_int_equal(r->result.retry, i < 3 ? CHRONOS_RETRY_NO : r->result.retry);
        expect_no_text(r->out, "root:");
    }
}

static void test_redirect_drops_userinfo(void **state)
{
    struct world *w = *state;
    struct job job = get(w->server, "/secret-bounce");

    job_set(&job, "follow_redirects", "true");
    const struct run_record *r = fake_run(w->host, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_SUCCESS);
    expect_no_text(r->out, "Authorization");
}

static void test_redirect_shares_the_timeout(void **state)
{
    struct world *w = *state;
    struct job job = follow(w->server, 302, w->other, "/hang");

    job_set(&job, "timeout", "200");
    const struct run_record *r = fake_run(w->host, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_TIMEOUT);
    assert_true(r->seconds >= 0.19 && r->seconds < 20);
}

/* ---- Connections ---- */

static void test_connections_are_reused(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 20; i++) {
        struct job job = get(w->server, "/echo");
        assert_int_equal(fake_run(w->host, &job)->result.outcome, CHRONOS_OUTCOME_SUCCESS);
    }
    assert_int_equal(http_server_connections(w->server), 1);
}

static int setup_few_connections(void **state)
{
    static const struct config_value config[] = {
        {.key = "max_connections", .number = 8}, {.key = "max_connections_per_host", .number = 2}, {0}};

    return setup_with(state, config);
}

static void test_connection_limits(void **state)
{
    enum { COUNT = 40 };
    struct world *w = *state;
    uint64_t tokens[COUNT];

    for (int i = 0; i < COUNT; i++) {
        struct job job = get(i % 4 == 0 ? w->other : w->server, "/echo");
        tokens[i] = fake_start(w->host, &job);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(fake_wait(w->host, tokens[i])->result.outcome, CHRONOS_OUTCOME_SUCCESS);
    }
    assert_true(http_server_connections(w->server) <= 2);
    assert_true(http_server_connections(w->other) <= 2);
}

static void test_300_at_once(void **state)
{
    enum { COUNT = 300 };
    struct world *w = *state;
    uint64_t tokens[COUNT];

    for (int i = 0; i < COUNT; i++) {
        struct job job = request(w->server, i % 3 == 0 ? "/status/503" : "/echo");
        tokens[i] = fake_start(w->host, &job);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(fake_wait(w->host, tokens[i])->result.outcome,
                         i % 3 == 0 ? CHRONOS_OUTCOME_FAILED : CHRONOS_OUTCOME_SUCCESS);
    }
}

static int setup_proxy(void **state)
{
    static struct config_value config[] = {{.key = "proxy"}, {.key = "no_proxy", .text = "direct.invalid"}, {0}};
    struct http_server *proxy = http_server_new();
    struct world *w;

    config[0].text = http_server_url(proxy);
    (void)setup_with(state, config);
    w = *state;
    http_server_free(w->other);
    w->other = proxy;
    return 0;
}

static void test_proxy_of_the_configuration(void **state)
{
    struct world *w = *state;
    struct job job = {0};

    job_set(&job, "url", "http://far.invalid/hook");
    job_set(&job, "method", "GET");
    expect_text(fake_run(w->host, &job)->out, "GET http://far.invalid/hook HTTP/1.1\r\n");
    job = (struct job){0};
    job_set(&job, "url", "http://direct.invalid/hook");
    assert_int_equal(fake_run(w->host, &job)->result.outcome, CHRONOS_OUTCOME_FAILED);
}

static void test_no_proxy_from_the_environment(void **state)
{
    struct world *w = *state;
    struct job job = get(w->server, "/echo");

    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    assert_int_equal(setenv("ALL_PROXY", "http://127.0.0.1:1", 1), 0);
    assert_int_equal(fake_run(w->host, &job)->result.outcome, CHRONOS_OUTCOME_SUCCESS);
    assert_int_equal(unsetenv("http_proxy"), 0);
    assert_int_equal(unsetenv("ALL_PROXY"), 0);
}

/* ---- Cancel ---- */

static bool nothing_open(void *arg)
{
    return http_server_open(arg) == 0;
}

static bool one_request(void *arg)
{
    return http_server_requests(arg) == 1;
}

static void test_cancel(void **state)
{
    struct world *w = *state;
    struct job job = request(w->server, "/hang");
    uint64_t token = fake_start(w->host, &job);

    wait_until(one_request, w->server, "the request arrives");
    assert_false(fake_is_complete(w->host, token));
    fake_cancel(w->host, token, CHRONOS_CANCEL_TIMEOUT, 60000);
    fake_cancel(w->host, token, CHRONOS_CANCEL_TIMEOUT, 60000);
    const struct run_record *r = fake_wait(w->host, token);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_CANCELLED);
    expect_text(r->message, "timeout");
    wait_until(nothing_open, w->server, "the connection is closed");
    fake_cancel(w->host, token, CHRONOS_CANCEL_USER, 0);
    fake_cancel(w->host, 4711, CHRONOS_CANCEL_USER, 0);
}

static void test_cancel_at_once(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 100; i++) {
        struct job job = request(w->server, "/hang");
        uint64_t token = fake_start(w->host, &job);
        fake_cancel(w->host, token, CHRONOS_CANCEL_USER, 0);
        assert_int_equal(fake_wait(w->host, token)->result.outcome, CHRONOS_OUTCOME_CANCELLED);
    }
}

/* ---- Checks when a job is saved ---- */

static void expect_invalid(struct world *w, const struct job *job, const char *text)
{
    struct chronos_error err = {.struct_size = sizeof(err)};

    assert_int_equal(fake_validate(w->host, job, &err), CHRONOS_INVALID);
    expect_text(err.msg, text);
    assert_int_equal(fake_try_start(w->host, job, &err), CHRONOS_INVALID); /* and nothing of it is ever sent */
}

static void expect_invalid_value(struct world *w, const char *name, const char *value, const char *text)
{
    struct job job = request(w->server, "/echo");

    job_set(&job, name, value);
    expect_invalid(w, &job, text);
}

static void test_validate_url(void **state)
{
    static const char *const urls[] = {
        "",       "example.com/x",       "ftp://example.com/",    "file:///etc/passwd",       "http://",
        "http:/", "http://a b/",         "http://exa\nmple.com/", "http://example.com:99999/", "javascript:alert(1)",
        "//x/y",  "http://[::1/",        "gopher://127.0.0.1/",   "HTTPS//x",
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct job job = {0};
        job_set(&job, "url", urls[i]);
        expect_invalid(w, &job, "url");
    }
    struct job job = {0};
    expect_invalid(w, &job, "url: is missing");
    job_set(&job, "url", "https://user:pa55word@example.com/");
    struct chronos_error err = {.struct_size = sizeof(err)};
    assert_int_equal(fake_validate(w->host, &job, &err), CHRONOS_INVALID);
    expect_text(err.msg, "auth.type basic");
    expect_no_text(err.msg, "pa55word");
    job = (struct job){0};
    job_set(&job, "url", "${env:HOOK_URL}");
    assert_int_equal(fake_validate(w->host, &job, NULL), CHRONOS_OK);
    assert_int_equal(fake_try_start(w->host, &job, &err), CHRONOS_INVALID);
}

static void test_validate_headers(void **state)
{
    static const char *const names[] = {
        "",           "X Space",  "X:Colon",           "X-Chronos-Job-ID", "x-chronos-anything", "Idempotency-Key",
        "Traceparent", "content-length", "Transfer-Encoding", "Connection",       "Evil\r\nX",          "T\xc3\xa4g",
    };
    static const char *const values[] = {"a\r\nX-Injected: 1", "a\nb", "a\rb", "a\x01", "a\x7f"};
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct job job = request(w->server, "/echo");
        job_set_key(&job, "headers", names[i], "x");
        expect_invalid(w, &job, "headers");
    }
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct job job = request(w->server, "/echo");
        job_set_key(&job, "headers", "X-Fine", values[i]);
        expect_invalid(w, &job, "line break");
        job = request(w->server, "/echo");
        job_set(&job, "auth.type", "bearer");
        job_set(&job, "auth.token", values[i]);
        expect_invalid(w, &job, "line break");
        job = request(w->server, "/echo");
        job_set(&job, "auth.type", "api_key");
        job_set(&job, "auth.key", values[i]);
        expect_invalid(w, &job, "line break");
    }
    struct job job = request(w->server, "/echo"); /* identifiers come from elsewhere, but not unchecked */
    struct chronos_error err = {.struct_size = sizeof(err)};
    job.traceparent = "00-x\r\nX-Injected: 1";
    assert_int_equal(fake_try_start(w->host, &job, &err), CHRONOS_INVALID);
    assert_int_equal(http_server_requests(w->server), 0);
}

static void test_validate_body(void **state)
{
    static const char *const bodies[] = {"{{.Unknown}}", "{{JobID}}", "x {{.JobID",
                                         "{{}}", "{{.JobID}} {{.jobid}}", "{{"};
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        expect_invalid_value(w, "body", bodies[i], "body");
    }
    struct job job = request(w->server, "/echo");
    job_set(&job, "body", "}} {single} {\"a\":{\"b\":{}}}");
    expect_text(fake_run(w->host, &job)->out, "\r\n\r\n}} {single} {\"a\":{\"b\":{}}}");
    job = request(w->server, "/echo");
    job_set(&job, "method", "GET");
    job_set(&job, "body", "x");
    expect_invalid(w, &job, "GET");
}

static void test_validate_others(void **state)
{
    static const char *const codes[] = {"",   "2",  "abc", "1xx",     "6xx",  "xx2",
                                        "99", "600", "199", "204-200", "200-", "200-2044"};
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        expect_invalid_value(w, "success_codes", codes[i], "success_codes");
    }
    expect_invalid_value(w, "method", "TRACE", "method");
    expect_invalid_value(w, "auth.type", "digest", "auth.type");
    expect_invalid_value(w, "auth.type", "basic", "auth.username");
    expect_invalid_value(w, "auth.type", "bearer", "auth.token");
    expect_invalid_value(w, "auth.type", "api_key", "auth.key");
    expect_invalid_value(w, "timeout", "0", "timeout");
    expect_invalid_value(w, "tls.ca_file", "ca.pem", "absolute");
    expect_invalid_value(w, "tls.client_key", "/key.pem", "tls.client_cert");
    struct job job = request(w->server, "/echo");
    job_set(&job, "auth.type", "basic");
    job_set(&job, "auth.username", "a:b");
    job_set(&job, "auth.password", "c");
    expect_invalid(w, &job, "colon");
    job = request(w->server, "/echo");
    job_set(&job, "auth.type", "bearer");
    job_set(&job, "auth.token", "t");
    job_set_key(&job, "headers", "authorization", "Bearer u");
    expect_invalid(w, &job, "Authorization");
    job = request(w->server, "/echo");
    job_set(&job, "auth.type", "api_key");
    job_set(&job, "auth.header", "X-Chronos-Job-ID");
    job_set(&job, "auth.key", "t");
    expect_invalid(w, &job, "X-Chronos-Job-ID");
}

/* ---- TLS ---- */

static void test_tls_against_a_plain_server(void **state)
{
    struct world *w = *state;
    char url[64];
    struct job job = {0};

    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%u/", http_server_port(w->server));
    job_set(&job, "url", url);
    job_set(&job, "timeout", "300");
    const struct run_record *r = fake_run(w->host, &job);
    assert_int_equal(r->result.status_code, 0);
    assert_true(r->result.outcome == CHRONOS_OUTCOME_FAILED || r->result.outcome == CHRONOS_OUTCOME_TIMEOUT);
    job_set(&job, "tls.ca_file", "/nonexistent/ca.pem");
    r = fake_run(w->host, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_FAILED);
    assert_int_equal(r->result.retry, CHRONOS_RETRY_NO);
}

/* A TLS server in place of `other`, its files in a folder of their own. */
struct tls_world {
    struct world world;
    char folder[64], cert[80], key[80], both[80];
};

static int setup_tls_with(void **state, bool demand_client)
{
    struct tls_world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    (void)snprintf(w->folder, sizeof(w->folder), "/tmp/chronos-test-tls-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    (void)snprintf(w->cert, sizeof(w->cert), "%s/cert.pem", w->folder);
    (void)snprintf(w->key, sizeof(w->key), "%s/key.pem", w->folder);
    (void)snprintf(w->both, sizeof(w->both), "%s/both.pem", w->folder);
    w->world.server = http_server_new();
    w->world.other = http_server_new_tls(w->folder, demand_client);
    w->world.host = fake_host_new(PLUGIN_PATH, NULL);
    *state = w;
    return 0;
}

static int setup_tls(void **state)
{
    return setup_tls_with(state, false);
}

static int setup_mutual_tls(void **state)
{
    return setup_tls_with(state, true);
}

static int teardown_tls(void **state)
{
    const struct tls_world *w = *state;

    assert_int_equal(unlink(w->cert) | unlink(w->key) | unlink(w->both) | rmdir(w->folder), 0);
    return teardown(state); /* its first member is a world */
}

static void test_tls_trust(void **state)
{
    struct tls_world *w = *state;
    struct job job = get(w->world.other, "/echo");

    const struct run_record *r = fake_run(w->world.host, &job); /* nobody we know has signed it */
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_FAILED);
    assert_int_equal(r->result.retry, CHRONOS_RETRY_NO);
    expect_text(r->message, "certificate");
    assert_int_equal(http_server_requests(w->world.other), 0);

    job_set(&job, "tls.ca_file", w->cert);
    assert_int_equal(fake_run(w->world.host, &job)->result.outcome, CHRONOS_OUTCOME_SUCCESS);
    assert_true(http_server_was_offered_h2(w->world.other));

    job = get(w->world.other, "/echo"); /* the trust of one job is not that of the next one */
    assert_int_equal(fake_run(w->world.host, &job)->result.outcome, CHRONOS_OUTCOME_FAILED);
    job_set(&job, "tls.skip_verify", "true");
    assert_int_equal(fake_run(w->world.host, &job)->result.outcome, CHRONOS_OUTCOME_SUCCESS);
}

static void test_tls_checks_the_name(void **state)
{
    struct tls_world *w = *state;
    char url[64];
    struct job job = {0};

    (void)snprintf(url, sizeof(url), "https://localhost:%u/echo", http_server_port(w->world.other));
    job_set(&job, "url", url);
    job_set(&job, "tls.ca_file", w->cert);
    const struct run_record *r = fake_run(w->world.host, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_FAILED);
    assert_int_equal(http_server_requests(w->world.other), 0);
}

static void test_tls_redirect_to_plain_is_refused(void **state)
{
    struct tls_world *w = *state;
    struct job job = follow(w->world.other, 302, w->world.server, "/echo");

    job_set(&job, "tls.ca_file", w->cert);
    const struct run_record *r = fake_run(w->world.host, &job);
    assert_int_equal(r->result.outcome, CHRONOS_OUTCOME_FAILED);
    assert_int_equal(r->result.retry, CHRONOS_RETRY_NO);
    expect_text(r->message, "plain http");
    assert_int_equal(http_server_requests(w->world.server), 0);
}

static void test_tls_skip_verify_ends_at_the_origin(void **state)
{
    struct tls_world *w = *state;
    struct job job = follow(w->world.server, 307, w->world.other, "/echo");

    job_set(&job, "tls.skip_verify", "true");
    assert_int_equal(fake_run(w->world.host, &job)->result.outcome, CHRONOS_OUTCOME_FAILED);
    assert_int_equal(http_server_requests(w->world.other), 0);
}

static void test_tls_client_certificate(void **state)
{
    struct tls_world *w = *state;
    struct job job = get(w->world.other, "/echo");

    job_set(&job, "tls.ca_file", w->cert);
    assert_int_equal(fake_run(w->world.host, &job)->result.outcome, CHRONOS_OUTCOME_FAILED);
    job_set(&job, "tls.client_cert", w->cert);
    job_set(&job, "tls.client_key", w->key);
    assert_int_equal(fake_run(w->world.host, &job)->result.outcome, CHRONOS_OUTCOME_SUCCESS);

    job = get(w->world.other, "/echo");
    job_set(&job, "tls.ca_file", w->cert);
    job_set(&job, "tls.client_cert", w->both);
    assert_int_equal(fake_run(w->world.host, &job)->result.outcome, CHRONOS_OUTCOME_SUCCESS);

    job = follow(w->world.server, 307, w->world.other, "/echo"); /* not for another origin */
    job_set(&job, "tls.ca_file", w->cert);
    job_set(&job, "tls.client_cert", w->both);
    assert_int_equal(fake_run(w->world.host, &job)->result.outcome, CHRONOS_OUTCOME_FAILED);
}

/* ---- Life of the instance ---- */

static void test_nothing_left_after_destroy(void **state)
{
    struct world *w = *state;
    struct fake_host *host = fake_host_new(PLUGIN_PATH, NULL);
    struct job job = get(w->server, "/echo");

    (void)fake_run(host, &job); /* what libraries open once */
    fake_host_free(host);
    wait_until(nothing_open, w->server, "the connection is closed");
    size_t fds = count_fds(), threads = count_threads();
    host = fake_host_new(PLUGIN_PATH, NULL);
    fake_host_free(host);
    host = fake_host_new(PLUGIN_PATH, NULL);
    for (int i = 0; i < 10; i++) {
        job = get(w->server, i % 2 == 0 ? "/echo" : "/drop");
        (void)fake_run(host, &job);
    }
    fake_host_free(host);
    wait_until(nothing_open, w->server, "the connections are closed");
    assert_int_equal(count_fds(), fds);
    wait_for_threads(threads);
}

static void test_destroy_ends_what_was_written_off(void **state)
{
    struct world *w = *state;
    struct fake_host *host = fake_host_new(PLUGIN_PATH, NULL);
    struct job job = request(w->server, "/hang");
    uint64_t token = fake_start(host, &job);

    wait_until(one_request, w->server, "the request arrives");
    fake_host_destroy_instance(host);
    assert_int_equal(fake_wait(host, token)->result.outcome, CHRONOS_OUTCOME_LOST);
    fake_host_free(host);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(test_descriptor),
        WITH_WORLD(test_statuses),
        WITH_WORLD(test_success_codes),
        WITH_WORLD(test_retry_after),
        WITH_WORLD(test_timeout),
        WITH_WORLD(test_broken_connections),
        WITH_WORLD(test_unknown_host),
        WITH_WORLD(test_headers_and_body),
        WITH_WORLD(test_headers_that_may_be_replaced),
        WITH_WORLD(test_methods),
        WITH_WORLD(test_auth),
        WITH_WORLD(test_secrets_stay_out_of_messages),
        WITH_WORLD(test_body_within_and_beyond_the_quota),
        WITH_WORLD(test_endless_body_is_cut),
        WITH_WORLD(test_redirects_are_off),
        WITH_WORLD(test_redirect_on_the_same_origin),
        WITH_WORLD(test_redirect_to_another_origin_carries_no_secrets),
        WITH_WORLD(test_redirect_changes_the_method),
        WITH_WORLD(test_redirect_limits),
        WITH_WORLD(test_redirect_drops_userinfo),
        WITH_WORLD(test_redirect_shares_the_timeout),
        WITH_WORLD(test_connections_are_reused),
        cmocka_unit_test_setup_teardown(test_connection_limits, setup_few_connections, teardown),
        WITH_WORLD(test_300_at_once),
        cmocka_unit_test_setup_teardown(test_proxy_of_the_configuration, setup_proxy, teardown),
        WITH_WORLD(test_no_proxy_from_the_environment),
        WITH_WORLD(test_cancel),
        WITH_WORLD(test_cancel_at_once),
        WITH_WORLD(test_validate_url),
        WITH_WORLD(test_validate_headers),
        WITH_WORLD(test_validate_body),
        WITH_WORLD(test_validate_others),
        WITH_WORLD(test_tls_against_a_plain_server),
        cmocka_unit_test_setup_teardown(test_tls_trust, setup_tls, teardown_tls),
        cmocka_unit_test_setup_teardown(test_tls_checks_the_name, setup_tls, teardown_tls),
        cmocka_unit_test_setup_teardown(test_tls_redirect_to_plain_is_refused, setup_tls, teardown_tls),
        cmocka_unit_test_setup_teardown(test_tls_skip_verify_ends_at_the_origin, setup_tls, teardown_tls),
        cmocka_unit_test_setup_teardown(test_tls_client_certificate, setup_mutual_tls, teardown_tls),
        WITH_WORLD(test_nothing_left_after_destroy),
        WITH_WORLD(test_destroy_ends_what_was_written_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
