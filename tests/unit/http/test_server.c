/* What a connection does besides parsing: answers, pipelining, tokens, and every way to end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "harness.h"

#define OK_TAIL "GET /tail HTTP/1.1\r\nHost: a\r\n\r\n"
#define LATER "GET /later HTTP/1.1\r\nHost: a\r\n\r\n"
#define HOOK "GET /hook HTTP/1.1\r\nHost: a\r\n\r\n"

/* --- answers --- */

static void test_answer_headers(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    size_t at = 0;
    (void)state; /* none */
    harness_start(&h, &limits);
    client_connect(&h, &c);
    static const char request[] = "GET /a HTTP/1.1\r\nHost: a\r\nX-Request-Id: abc_DEF-1\r\n\r\n";
    assert_true(client_send(&h, &c, request, sizeof request - 1));
    struct answer a = client_await(&h, &c, &at, false);
    assert_int_equal(a.status, 200);
    assert_true(answer_has(&a, "X-Common: yes"));
    assert_true(answer_has(&a, "X-Extra: 1"));
    assert_true(answer_has(&a, "Content-Type: text/plain"));
    const char *date = memmem(a.head.data, a.head.size, "\r\nDate: ", 8);
    assert_non_null(date);
    assert_memory_equal(date + 8 + 25, " GMT\r\n", 6);
    assert_string_equal(h.last_request_id, "abc_DEF-1");
    assert_true(h.last_is_loopback);

    static const char bad_id[] = "HEAD /a HTTP/1.1\r\nHost: a\r\nX-Request-Id: a b\r\n\r\n";
    assert_true(client_send(&h, &c, bad_id, sizeof bad_id - 1));
    a = client_await(&h, &c, &at, true);
    assert_int_equal(a.status, 200);
    assert_true(answer_has(&a, "Content-Length: 36"));
    assert_int_equal(strlen(h.last_request_id), 30);
    assert_memory_equal(h.last_request_id, "req_", 4);

    static const char unchanged[] = "HEAD /unchanged HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_true(client_send(&h, &c, unchanged, sizeof unchanged - 1));
    assert_int_equal(client_await(&h, &c, &at, true).status, 304);
    assert_int_equal(client_await(&h, &c, &at, false).status, 200);
    client_close(&c);
    harness_stop(&h);
}

static void test_problem_documents(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    size_t at = 0;
    (void)state; /* none */
    harness_start(&h, &limits);
    client_connect(&h, &c);
    assert_true(client_send(&h, &c, "GET / HTTP/1.1\r\n\r\n", 18));
    struct answer a = client_await(&h, &c, &at, false);
    static const char text[] = "{\"code\":\"MALFORMED\",\"status\":400,\"detail\":\"no Host header\"}";
    assert_int_equal(a.body.size, sizeof text - 1);
    assert_memory_equal(a.body.data, text, sizeof text - 1);
    assert_true(answer_has(&a, "Content-Type: application/problem+json"));
    assert_true(answer_has(&a, "X-Common: yes"));
    client_close(&c);
    harness_stop(&h);
}

static void test_continue(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    size_t at = 0;
    (void)state; /* none */
    harness_start(&h, &limits);
    client_connect(&h, &c);
    static const char head[] = "POST /b HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
    assert_true(client_send(&h, &c, head, sizeof head - 1));
    assert_int_equal(client_await(&h, &c, &at, false).status, 100);
    assert_true(client_send(&h, &c, "ok", 2));
    assert_int_equal(client_await(&h, &c, &at, false).status, 200);
    /* A body that is there already, or an HTTP/1.0 client, is not told to go on. */
    static const char whole[] = "POST /b HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok"
                                "POST /b HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    assert_true(client_send(&h, &c, whole, sizeof whole - 1));
    assert_int_equal(client_await(&h, &c, &at, false).status, 200);
    harness_settle(&h);
    client_take(&c);
    assert_int_equal(c.in.size, at);
    assert_true(client_send(&h, &c, "ok", 2));
    assert_int_equal(client_await(&h, &c, &at, false).status, 200);
    client_close(&c);
    harness_stop(&h);
}

/* Who is not admitted is answered before his body, and told neither to go on nor to come again. */
static void test_not_admitted(void **state)
{
    static const char *const heads[] = {
        "POST /stranger HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n",
        "POST /stranger HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nthe beginning",
        ("POST /stranger HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" OK_TAIL),
    };
    static const char whole[] = "POST /stranger HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" OK_TAIL;
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    size_t at;
    (void)state; /* none */
    harness_start(&h, &limits);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        client_connect(&h, &c);
        assert_true(client_send(&h, &c, heads[i], strlen(heads[i])));
        at = 0;
        struct answer a = client_await(&h, &c, &at, false);
        assert_int_equal(a.status, 200); /* this handler refuses nobody */
        assert_true(answer_has(&a, "Connection: close"));
        assert_memory_equal((const char *)a.body.data + a.body.size - 5, "body=", 5);
        client_await_eof(&h, &c);
        client_close(&c);
        assert_int_equal(h.handled_count, i + 1); /* what followed was not taken for a request */
    }
    /* A body that came along cost nothing: it is the handler's to look at, and the connection goes on. */
    client_connect(&h, &c);
    assert_true(client_send(&h, &c, whole, sizeof whole - 1));
    at = 0;
    struct answer a = client_await(&h, &c, &at, false);
    assert_memory_equal((const char *)a.body.data + a.body.size - 5, "hello", 5);
    assert_int_equal(client_await(&h, &c, &at, false).status, 200);
    client_close(&c);
    harness_stop(&h);
}

static void test_large_answers(void **state)
{
    static const char *const targets[] = {"/large?size=0", "/large?size=16384&copy", "/large?size=16385&copy",
                                          "/large?size=16385", "/large?size=9000000&copy", "/large?size=9000000"};
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    size_t at = 0;
    (void)state; /* none */
    harness_start(&h, &limits);
    client_connect(&h, &c);
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        char request[128];
        int size = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n" OK_TAIL, targets[i]);
        assert_true(client_send(&h, &c, request, (size_t)size));
    }
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct answer a = client_await(&h, &c, &at, false);
        assert_int_equal(a.status, 200);
        assert_int_equal(a.body.size, strtoul(strchr(targets[i], '=') + 1, NULL, 10));
        for (size_t k = 0; k < a.body.size; k++) {
            if (((const char *)a.body.data)[k] != (char)('a' + k % 23))
                fail_msg("%s: byte %zu is wrong", targets[i], k);
        }
        assert_int_equal(client_await(&h, &c, &at, false).body.size, 33);
    }
    assert_int_equal(harness_stats(&h).bytes_out, at);
    client_close(&c);
    harness_stop(&h);
}

/* --- pipelining and tokens --- */

enum { PIPELINED = 3000 };

/* http_respond() inside the handler: the stack must not grow with the number of requests that came in one read. */
static void test_pipelined_at_once(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    struct answer a;
    size_t at = 0;
    (void)state; /* none */
    harness_start(&h, &limits);
    client_connect(&h, &c);
    for (int i = 0; i < PIPELINED; i++) {
        char request[64];
        int size = snprintf(request, sizeof request, "GET /n%d HTTP/1.1\r\nHost: a\r\n\r\n", i);
        assert_true(client_send(&h, &c, request, (size_t)size));
    }
    for (int i = 0; i < PIPELINED; i++) {
        char path[16];
        int size = snprintf(path, sizeof path, "GET /n%d?", i);
        a = client_await(&h, &c, &at, false);
        assert_memory_equal(a.body.data, path, size);
    }
    assert_int_equal(h.handled_count, PIPELINED);
    assert_true(h.stack_high - h.stack_low < 1024);
    client_close(&c);
    harness_stop(&h);
}

static void test_pipelined_delayed(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    size_t at = 0;
    uintptr_t early_low = 0; /* the deepest stack of the first ten */
    char text[32];
    (void)state; /* none */
    harness_start(&h, &limits);
    client_connect(&h, &c);
    for (int i = 0; i < 500; i++)
        assert_true(client_send(&h, &c, LATER OK_TAIL, sizeof LATER OK_TAIL - 1));
    for (size_t i = 0; i < 500; i++) {
        while (h.kept_count <= i)
            harness_step(&h, -1, 1000);
        harness_settle(&h);
        assert_int_equal(h.kept_count, i + 1); /* one at a time */
        assert_int_equal(harness_stats(&h).requests_waiting, 1);
        client_take(&c);
        assert_int_equal(c.in.size, at);
        (void)snprintf(text, sizeof text, "later %zu", i); /* fits */
        harness_answer(&h, h.kept[i], text);
        early_low = i == 9 ? h.stack_low : early_low;
        struct answer a = client_await(&h, &c, &at, false);
        assert_int_equal(a.body.size, strlen(text));
        assert_memory_equal(a.body.data, text, a.body.size);
        a = client_await(&h, &c, &at, false);
        assert_memory_equal(a.body.data, "GET /tail?", 10);
    }
    assert_int_equal(h.stack_low, early_low);
    client_close(&c);
    harness_stop(&h);
}

/* What a connection may send while its answer is pending is bounded by HTTP_PIPELINE_MAX and the sockets' buffers. */
static void test_leftover_is_bounded(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    size_t at = 0, tail_count = 0;
    (void)state; /* none */
    harness_start(&h, &limits);
    client_connect(&h, &c);
    assert_true(client_send(&h, &c, LATER, sizeof LATER - 1));
    while (h.kept_count == 0)
        harness_step(&h, -1, 1000);
    uint64_t before = harness_stats(&h).bytes_in;
    for (;;) { /* whole requests until the kernel takes no more */
        if (send(c.fd, OK_TAIL, sizeof OK_TAIL - 1, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)sizeof OK_TAIL - 1)
            break;
        tail_count++;
        if (tail_count % 64 == 0)
            harness_settle(&h);
    }
    harness_settle(&h);
    assert_int_equal(harness_stats(&h).bytes_in - before, HTTP_PIPELINE_MAX);
    assert_true(http_token_live(h.server, h.kept[0]));
    harness_answer(&h, h.kept[0], "now");
    assert_int_equal(client_await(&h, &c, &at, false).body.size, 3);
    for (size_t i = 0; i < tail_count; i++)
        assert_int_equal(client_await(&h, &c, &at, false).status, 200);
    client_close(&c);
    harness_stop(&h);
}

static void test_tokens(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c, other;
    size_t at = 0;
    (void)state; /* none */
    harness_start(&h, &limits);
    client_connect(&h, &c);
    assert_true(client_send(&h, &c, LATER, sizeof LATER - 1));
    while (h.kept_count == 0)
        harness_step(&h, -1, 1000);
    harness_answer(&h, h.kept[0], "first");
    assert_int_equal(client_await(&h, &c, &at, false).body.size, 5);
    assert_false(http_token_live(h.server, h.kept[0]));
    harness_answer(&h, h.kept[0], "twice"); /* dropped */

    /* The old token must not answer the connection's next request. */
    assert_true(client_send(&h, &c, LATER, sizeof LATER - 1));
    while (h.kept_count == 1)
        harness_step(&h, -1, 1000);
    assert_int_equal(h.kept[1].slot, h.kept[0].slot);
    harness_answer(&h, h.kept[0], "stale");
    assert_true(http_token_live(h.server, h.kept[1]));

    /* The client goes away: its answer is dropped and freed, also when the slot has a new owner. */
    client_close(&c);
    while (harness_stats(&h).connections_open > 0)
        harness_step(&h, -1, 1000);
    assert_false(http_token_live(h.server, h.kept[1]));
    client_connect(&h, &other);
    assert_true(client_send(&h, &other, LATER, sizeof LATER - 1));
    while (h.kept_count == 2)
        harness_step(&h, -1, 1000);
    assert_int_equal(h.kept[2].slot, h.kept[1].slot);
    char *body = strdup("not for you");
    struct http_response response = {.status = 200, .body = {body, 11}, .body_owned = body};
    http_respond(h.server, h.kept[1], &response);
    http_respond(h.server, (struct http_token){9999, 1}, &(struct http_response){.status = 200});
    at = 0;
    harness_answer(&h, h.kept[2], "for you");
    struct answer a = client_await(&h, &other, &at, false);
    assert_memory_equal(a.body.data, "for you", 7);
    assert_int_equal(harness_stats(&h).requests_waiting, 0);
    client_close(&other);
    harness_stop(&h);
}

/* An answer to another connection from inside a handler, which may not disturb the batch of the present one. */
static void answer_others(struct harness *h, const struct http_request *request)
{
    for (size_t i = 0; i < h->kept_count; i++)
        harness_answer(h, h->kept[i], "from a handler");
    h->kept_count = 0;
    harness_answer(h, request->token, "hook");
}

static void test_answer_from_other_handler(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client waiting, c;
    size_t at = 0, waiting_at = 0;
    (void)state; /* none */
    harness_start(&h, &limits);
    h.on_request = answer_others;
    client_connect(&h, &waiting);
    client_connect(&h, &c);
    assert_true(client_send(&h, &waiting, LATER OK_TAIL, sizeof LATER OK_TAIL - 1));
    while (h.kept_count == 0)
        harness_step(&h, -1, 1000);
    assert_true(client_send(&h, &c, OK_TAIL HOOK OK_TAIL, sizeof OK_TAIL HOOK OK_TAIL - 1));
    assert_int_equal(client_await(&h, &c, &at, false).body.size, 33);
    assert_int_equal(client_await(&h, &c, &at, false).body.size, 4);
    assert_int_equal(client_await(&h, &c, &at, false).body.size, 33);
    assert_int_equal(client_await(&h, &waiting, &waiting_at, false).body.size, 14);
    assert_int_equal(client_await(&h, &waiting, &waiting_at, false).body.size, 33);
    client_close(&waiting);
    client_close(&c);
    harness_stop(&h);
}

/* --- the end --- */

static void test_half_close(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    size_t at = 0;
    (void)state; /* none */
    harness_start(&h, &limits);
    client_connect(&h, &c);
    static const char request[] = "GET /large?size=9000000 HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_true(client_send(&h, &c, request, sizeof request - 1));
    assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
    assert_int_equal(client_await(&h, &c, &at, false).body.size, 9000000);
    client_await_eof(&h, &c);
    assert_false(c.is_reset);
    while (harness_stats(&h).connections_open > 0)
        harness_step(&h, -1, 1000);
    client_close(&c);
    harness_stop(&h);
}

static void test_drain(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client idle, waiting, half;
    size_t at = 0, half_at = 0;
    (void)state; /* none */
    harness_start(&h, &limits);
    client_connect(&h, &idle);
    client_connect(&h, &waiting);
    client_connect(&h, &half);
    assert_true(client_send(&h, &waiting, LATER OK_TAIL, sizeof LATER OK_TAIL - 1));
    assert_true(client_send(&h, &half, "GET /half HTT", 13));
    while (h.kept_count == 0 || harness_stats(&h).bytes_in < sizeof LATER OK_TAIL - 1 + 13)
        harness_step(&h, -1, 1000);
    http_server_drain(h.server);
    http_server_drain(h.server); /* again does nothing */
    client_await_eof(&h, &idle);
    assert_int_equal(idle.in.size, 0);
    harness_answer(&h, h.kept[0], "late");
    struct answer a = client_await(&h, &waiting, &at, false);
    assert_true(a.close && a.body.size == 4);
    client_await_eof(&h, &waiting);
    assert_int_equal(waiting.in.size, at);
    assert_true(client_send(&h, &half, "P/1.1\r\nHost: a\r\n\r\n", 18));
    assert_true(client_await(&h, &half, &half_at, false).close);
    client_await_eof(&h, &half);
    client_close(&idle);
    client_close(&waiting);
    client_close(&half);
    while (harness_stats(&h).connections_open > 0)
        harness_step(&h, -1, 1000);
    harness_stop(&h);
}

static void close_inside(struct harness *h, const struct http_request *request);

static void note_closed_inside(void *arg)
{
    ((struct harness *)arg)->is_closed = true;
}

static void close_inside(struct harness *h, const struct http_request *request)
{
    http_server_close(h->server, note_closed_inside, h);
    harness_answer(h, request->token, "dropped");
}

/* Connections in every state when the server closes; and closing from inside a handler. */
static void test_close(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c[6];
    static const char *const sent[6] = {
        "", "GET / HT", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
        "GET /later HTTP/1.1\r\nHost: a\r\n\r\nGET", "bad\r\n\r\n",
        "GET /large?size=9000000 HTTP/1.1\r\nHost: a\r\n\r\n"};
    (void)state; /* none */
    for (int inside = 0; inside < 2; inside++) {
        harness_start(&h, &limits);
        for (int i = 0; i < 6; i++) {
            client_connect(&h, &c[i]);
            assert_true(client_send(&h, &c[i], sent[i], strlen(sent[i])));
        }
        while (harness_stats(&h).connections_open < 6)
            harness_step(&h, -1, 1000);
        harness_settle(&h);
        assert_int_equal(harness_stats(&h).requests_waiting, 1);
        if (inside == 0) {
            harness_stop(&h);
        } else {
            struct client last;
            h.on_request = close_inside;
            client_connect(&h, &last);
            assert_true(client_send(&h, &last, OK_TAIL HOOK OK_TAIL, sizeof OK_TAIL HOOK OK_TAIL - 1));
            while (!h.is_closed)
                harness_step(&h, -1, 1000);
            assert_int_equal(uv_loop_close(&h.loop), 0);
            client_close(&last);
        }
        for (int i = 0; i < 6; i++)
            client_close(&c[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer_headers),
        cmocka_unit_test(test_problem_documents),
        cmocka_unit_test(test_continue),
        cmocka_unit_test(test_not_admitted),
        cmocka_unit_test(test_large_answers),
        cmocka_unit_test(test_pipelined_at_once),
        cmocka_unit_test(test_pipelined_delayed),
        cmocka_unit_test(test_leftover_is_bounded),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_answer_from_other_handler),
        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
