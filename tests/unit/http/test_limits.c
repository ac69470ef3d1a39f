/* Every bound in time and memory: what it gives, and that it leaves nothing behind. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "harness.h"

enum { SLACK_MS = 1500 }; /* two ticks, and a machine that is busy elsewhere */

static void await_no_connections(struct harness *h)
{
    uint64_t deadline = now_ms() + 30000;
    while (harness_stats(h).connections_open > 0) {
        assert_true(now_ms() < deadline);
        harness_step(h, -1, 1000);
    }
}

/* --- time --- */

/* Sends `head`, then one byte of `drip` whenever the loop turns, until an answer is there. */
static struct answer drip(struct harness *h, struct client *c, size_t *at, const char *head, char byte)
{
    struct answer answer;
    uint64_t deadline = now_ms() + 30000;
    assert_true(client_send(h, c, head, strlen(head)));
    for (client_take(c); !answer_next(c, at, false, &answer); client_take(c)) {
        assert_false(c->is_eof);
        assert_true(now_ms() < deadline);
        assert_true(client_send(h, c, &byte, 1));
        harness_step(h, c->fd, 20);
        harness_step(h, c->fd, 20); /* the first may end with the byte */
    }
    return answer;
}

static void check_drip(const struct http_limits *limits, const char *head, char byte)
{
    struct harness h;
    struct client c;
    size_t at = 0;
    harness_start(&h, limits);
    client_connect(&h, &c);
    uint64_t begin = now_ms();
    struct answer a = drip(&h, &c, &at, head, byte);
    assert_int_equal(a.status, 408);
    assert_true(a.close);
    client_await_eof(&h, &c);
    uint64_t took = now_ms() - begin;
    assert_true(took >= 300 && took < 300 + SLACK_MS);
    assert_int_equal(harness_stats(&h).timeouts, 1);
    client_close(&c);
    await_no_connections(&h);
    harness_stop(&h);
}

static void test_header_drip(void **state)
{
    struct http_limits limits = harness_limits();
    (void)state; /* none */
    limits.header_timeout_ms = 300;
    check_drip(&limits, "GET / HTTP/1.1\r\nHost: a\r\nX: ", 'y');
}

static void test_body_drip(void **state)
{
    struct http_limits limits = harness_limits();
    (void)state; /* none */
    limits.body_timeout_ms = 300;
    check_drip(&limits, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", 'y');
}

static void test_chunked_body_drip(void **state)
{
    struct http_limits limits = harness_limits();
    (void)state; /* none */
    limits.body_timeout_ms = 300;
    check_drip(&limits, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n", 'y');
}

/* Bytes that come at HTTP_BODY_RATE_MIN extend the deadline: 32 KiB give two seconds more. */
static void test_body_with_progress(void **state)
{
    static const char head[] = "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 32769\r\n\r\n";
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    static char body[32768];
    size_t at = 0;
    (void)state; /* none */
    limits.body_timeout_ms = 100;
    harness_start(&h, &limits);
    client_connect(&h, &c);
    memset(body, 'b', sizeof body);
    assert_true(client_send(&h, &c, head, sizeof head - 1));
    assert_true(client_send(&h, &c, body, sizeof body));
    uint64_t until = now_ms() + 1200; /* two ticks pass */
    while (now_ms() < until)
        harness_step(&h, c.fd, 100);
    assert_true(client_send(&h, &c, "b", 1));
    assert_int_equal(client_await(&h, &c, &at, false).status, 200);
    client_close(&c);
    harness_stop(&h);
}

static void test_idle(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client fresh, used;
    size_t at = 0;
    (void)state; /* none */
    limits.idle_timeout_ms = 300;
    harness_start(&h, &limits);
    client_connect(&h, &fresh);
    client_connect(&h, &used);
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_true(client_send(&h, &used, request, sizeof request - 1));
    assert_int_equal(client_await(&h, &used, &at, false).status, 200);
    client_await_eof(&h, &fresh);
    client_await_eof(&h, &used);
    assert_int_equal(fresh.in.size, 0);
    assert_int_equal(used.in.size, at);
    assert_int_equal(harness_stats(&h).timeouts, 2);
    client_close(&fresh);
    client_close(&used);
    await_no_connections(&h);
    harness_stop(&h);
}

/* The handler may think as long as it wants: none of the deadlines is its. */
static void test_waiting_is_not_timed(void **state)
{
    static const char request[] = "GET /later HTTP/1.1\r\nHost: a\r\n\r\n";
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    size_t at = 0;
    (void)state; /* none */
    limits.idle_timeout_ms = limits.header_timeout_ms = limits.body_timeout_ms = limits.write_timeout_ms = 50;
    harness_start(&h, &limits);
    client_connect(&h, &c);
    assert_true(client_send(&h, &c, request, sizeof request - 1));
    uint64_t until = now_ms() + 1200; /* two ticks pass */
    while (now_ms() < until)
        harness_step(&h, c.fd, 100);
    harness_answer(&h, h.kept[0], "done");
    assert_int_equal(client_await(&h, &c, &at, false).status, 200);
    client_close(&c);
    harness_stop(&h);
}

static void test_stalled_writer(void **state)
{
    static const char request[] = "GET /large?size=20000000 HTTP/1.1\r\nHost: a\r\n\r\n";
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    (void)state; /* none */
    limits.write_timeout_ms = 300;
    harness_start(&h, &limits);
    client_connect(&h, &c);
    assert_true(client_send(&h, &c, request, sizeof request - 1));
    while (h.handled_count == 0)
        harness_step(&h, -1, 1000);
    await_no_connections(&h); /* nothing is read here */
    assert_int_equal(harness_stats(&h).timeouts, 1);
    client_await_eof(&h, &c);
    assert_true(c.is_reset);
    client_close(&c);
    harness_stop(&h);
}

/* A slow reader that makes progress is left alone, beyond the write time-out and the idle one. */
static void test_slow_reader(void **state)
{
    static const char request[] = "GET /large?size=20000000 HTTP/1.1\r\nHost: a\r\n\r\n";
    static char bytes[64 * 1024];
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    size_t at = 0;
    (void)state; /* none */
    limits.write_timeout_ms = 700;
    limits.idle_timeout_ms = 500;
    harness_start(&h, &limits);
    client_connect(&h, &c);
    assert_true(client_send(&h, &c, request, sizeof request - 1));
    while (h.handled_count == 0)
        harness_step(&h, -1, 1000);
    uint64_t until = now_ms() + 1600; /* three ticks */
    while (now_ms() < until) {
        ssize_t n = recv(c.fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n > 0)
            buffer_append(&c.in, bytes, (size_t)n);
        harness_step(&h, -1, 10);
    }
    assert_int_equal(client_await(&h, &c, &at, false).body.size, 20000000);
    client_close(&c);
    harness_stop(&h);
}

/* --- counts --- */

static void test_max_connections(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c[3], refused;
    size_t at = 0;
    (void)state; /* none */
    limits.max_connections = 3;
    limits.max_connections_per_ip = 1; /* not for loopback */
    harness_start(&h, &limits);
    for (int i = 0; i < 3; i++)
        client_connect(&h, &c[i]);
    client_connect(&h, &refused);
    assert_true(client_send(&h, &refused, request, sizeof request - 1));
    struct answer a = client_await(&h, &refused, &at, false);
    assert_int_equal(a.status, 503);
    assert_true(a.close && answer_has(&a, "Retry-After: 1"));
    client_await_eof(&h, &refused);
    assert_false(refused.is_reset);
    client_close(&refused);
    client_close(&c[0]);
    while (harness_stats(&h).connections_open > 2)
        harness_step(&h, -1, 1000);
    client_connect(&h, &c[0]);
    assert_true(client_send(&h, &c[0], request, sizeof request - 1));
    at = 0;
    assert_int_equal(client_await(&h, &c[0], &at, false).status, 200);
    struct http_stats stats = harness_stats(&h);
    assert_int_equal(stats.connections_accepted, 4);
    assert_int_equal(stats.connections_refused, 1);
    assert_int_equal(stats.responses_by_class[5], 1);
    for (int i = 0; i < 3; i++)
        client_close(&c[i]);
    await_no_connections(&h);
    harness_stop(&h);
}

/* Beyond HTTP_REFUSED_MAX that are being told, the rest is closed without a word. */
static void test_many_refused(void **state)
{
    enum { COUNT = HTTP_REFUSED_MAX + 40 };
    struct harness h;
    struct http_limits limits = harness_limits();
    static struct client c[COUNT + 1];
    int told = 0;
    (void)state; /* none */
    limits.max_connections = 1;
    harness_start(&h, &limits);
    client_connect(&h, &c[0]);
    harness_settle(&h);
    for (int i = 1; i <= COUNT; i++)
        client_connect(&h, &c[i]);
    harness_settle(&h);
    for (int i = 1; i <= COUNT; i++) {
        client_await_eof(&h, &c[i]);
        told += c[i].in.size > 0;
    }
    assert_true(told >= HTTP_REFUSED_MAX && told < COUNT);
    assert_int_equal(harness_stats(&h).connections_refused, COUNT);
    for (int i = 0; i <= COUNT; i++)
        client_close(&c[i]);
    await_no_connections(&h);
    harness_stop(&h);
}

/* --- bodies --- */

static void test_body_cap(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    static const struct {
        const char *request;
        int status;
    } cases[] = {
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", 413},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789", 200},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n6\r\n", 413},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n", 200},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n1\r\n", 413},
    };
    (void)state; /* none */
    limits.max_body_bytes = 10;
    harness_start(&h, &limits);
    for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        struct client c;
        size_t at = 0;
        const char *request = cases[i / 2].request;
        client_connect(&h, &c);
        if (i % 2 == 0)
            assert_true(client_send(&h, &c, request, strlen(request)));
        else
            client_send_bytewise(&h, &c, request, strlen(request));
        assert_int_equal(client_await(&h, &c, &at, false).status, cases[i / 2].status);
        client_close(&c);
    }
    harness_stop(&h);
}

static void test_bodies_total_cap(void **state)
{
    static const char head[] = "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n";
    static char body[60000];
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client first, second;
    size_t at = 0, second_at = 0;
    (void)state; /* none */
    limits.max_bodies_total_bytes = 100000;
    harness_start(&h, &limits);
    memset(body, 'b', sizeof body);
    client_connect(&h, &first);
    client_connect(&h, &second);
    assert_true(client_send(&h, &first, head, sizeof head - 1));
    assert_true(client_send(&h, &first, body, 59999));
    while (harness_stats(&h).bytes_in < sizeof head - 1 + 59999)
        harness_step(&h, -1, 1000);
    assert_true(client_send(&h, &second, head, sizeof head - 1));
    assert_true(client_send(&h, &second, body, 59999));
    struct answer a = client_await(&h, &second, &second_at, false);
    assert_int_equal(a.status, 503);
    assert_true(answer_has(&a, "Retry-After: 1"));
    client_await_eof(&h, &second);
    assert_true(client_send(&h, &first, body, 1));
    assert_int_equal(client_await(&h, &first, &at, false).status, 200);
    client_close(&second);

    /* What was held is given back: three in turn fit. */
    for (int i = 0; i < 3; i++) {
        assert_true(client_send(&h, &first, head, sizeof head - 1));
        harness_settle(&h);
        assert_true(client_send(&h, &first, body, sizeof body));
        assert_int_equal(client_await(&h, &first, &at, false).status, 200);
    }
    client_close(&first);
    harness_stop(&h);
}

/* A server whose bodies may be larger than a chunk: a chunk of exactly HTTP_CHUNK_SIZE_MAX is waited for. */
static void test_chunk_size(void **state)
{
    static const char head[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    size_t at = 0;
    char size[32];
    (void)state; /* none */
    limits.max_body_bytes = limits.max_bodies_total_bytes = (uint64_t)4 * HTTP_CHUNK_SIZE_MAX;
    harness_start(&h, &limits);
    for (int extra = 0; extra <= 1; extra++) {
        client_connect(&h, &c);
        assert_true(client_send(&h, &c, head, sizeof head - 1));
        (void)snprintf(size, sizeof size, "%x\r\nx", HTTP_CHUNK_SIZE_MAX + extra);
        assert_true(client_send(&h, &c, size, strlen(size)));
        harness_settle(&h);
        client_take(&c);
        if (extra == 0) {
            assert_int_equal(c.in.size, 0);
        } else {
            struct answer answer = client_await(&h, &c, &at, false);
            assert_int_equal(answer.status, 413);
            assert_true(answer.close);
        }
        client_close(&c);
    }
    await_no_connections(&h);
    harness_stop(&h);
}

/* Behind a last answer, input is thrown away for HTTP_DRAIN_MS, whatever still comes; then the connection goes. */
static void test_drain_of_input(void **state)
{
    static const char request[] = "NONSENSE\r\n\r\n";
    static char more[4096];
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    size_t at = 0;
    (void)state; /* none */
    harness_start(&h, &limits);
    client_connect(&h, &c);
    assert_true(client_send(&h, &c, request, sizeof request - 1));
    assert_int_equal(client_await(&h, &c, &at, false).status, 400);
    client_await_eof(&h, &c); /* half-closed */
    uint64_t begin = now_ms(), deadline = begin + 30000;
    while (harness_stats(&h).connections_open > 0) {
        assert_true(now_ms() < deadline);
        (void)send(c.fd, more, sizeof more, MSG_DONTWAIT | MSG_NOSIGNAL); /* it may have gone just now */
        harness_step(&h, -1, 20);
    }
    uint64_t took = now_ms() - begin;
    assert_true(took + 100 >= HTTP_DRAIN_MS && took < HTTP_DRAIN_MS + SLACK_MS); /* the answer came after the half-close */
    assert_false(c.is_reset);
    client_close(&c);
    harness_stop(&h);
}

/* --- output --- */

/* Requests are not parsed while more than HTTP_OUTPUT_QUEUE_MAX waits to be read by the client. */
static void test_output_queue(void **state)
{
    static const char request[] = "GET /large?size=1000000 HTTP/1.1\r\nHost: a\r\n\r\n";
    enum { COUNT = 60 };
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    size_t at = 0;
    (void)state; /* none */
    harness_start(&h, &limits);
    client_connect(&h, &c);
    for (int i = 0; i < COUNT; i++)
        assert_true(client_send(&h, &c, request, sizeof request - 1));
    harness_settle(&h);
    assert_true(h.handled_count < COUNT / 2); /* the kernel's buffers took some megabytes, then it stopped */
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(client_await(&h, &c, &at, false).body.size, 1000000);
    assert_int_equal(h.handled_count, COUNT);
    client_close(&c);
    harness_stop(&h);
}

/* --- idle connections --- */

static size_t resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long total, resident;
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu %lu", &total, &resident), 2);
    (void)fclose(f); /* was only read */
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static size_t raise_descriptors(size_t wanted)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return limit.rlim_cur;
}

/* Both ends are in this process: two descriptors a connection. Each has had a request, so that buffers left behind by
 * one would show. */
static void test_idle_memory(void **state)
{
    enum { WANTED = 5000, BYTES_EACH = 2048 };
    static const char request[] = "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    static struct client c[WANTED];
    struct harness h;
    struct http_limits limits = harness_limits();
    size_t descriptors = raise_descriptors(2 * WANTED + 100);
    size_t count = descriptors >= 2 * WANTED + 100 ? WANTED : (descriptors - 100) / 2;
    (void)state; /* none */
    limits.max_connections = WANTED;
    harness_start(&h, &limits);
    (void)malloc_trim(0); /* what other tests freed must not hide what is taken here */
    size_t before = resident_bytes();
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;
        client_connect(&h, &c[i]);
        /* Cut in the header, then in the body, so that every kind of buffer is used. */
        client_send_bytewise(&h, &c[i], request, 1);
        assert_true(client_send(&h, &c[i], request + 1, sizeof request - 4));
        harness_step(&h, c[i].fd, 100);
        assert_true(client_send(&h, &c[i], request + sizeof request - 3, 2));
        assert_int_equal(client_await(&h, &c[i], &at, false).status, 200);
        buffer_deinit(&c[i].in);
    }
    assert_int_equal(harness_stats(&h).connections_open, count);
    size_t grown = resident_bytes() - before;
#if !defined(__SANITIZE_ADDRESS__)
    if (grown > count * BYTES_EACH)
        fail_msg("%zu idle connections hold %zu bytes", count, grown);
#endif
    print_message("%zu idle connections: %zu bytes each\n", count, grown / count);
    for (size_t i = 0; i < count; i++)
        client_close(&c[i]);
    await_no_connections(&h);
    harness_stop(&h);
}

/* An idle daemon does not wake up: without connections the loop would sleep for ever. */
static void test_no_wake_up(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    (void)state; /* none */
    harness_start(&h, &limits);
    assert_int_equal(uv_backend_timeout(&h.loop), -1);
    client_connect(&h, &c);
    while (harness_stats(&h).connections_open == 0)
        harness_step(&h, -1, 1000);
    assert_true(uv_backend_timeout(&h.loop) >= 0);
    client_close(&c);
    await_no_connections(&h);
    harness_settle(&h);
    assert_int_equal(uv_backend_timeout(&h.loop), -1);
    harness_stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idle_memory),
        cmocka_unit_test(test_header_drip),
        cmocka_unit_test(test_body_drip),
        cmocka_unit_test(test_chunked_body_drip),
        cmocka_unit_test(test_body_with_progress),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_waiting_is_not_timed),
        cmocka_unit_test(test_stalled_writer),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_max_connections),
        cmocka_unit_test(test_many_refused),
        cmocka_unit_test(test_body_cap),
        cmocka_unit_test(test_bodies_total_cap),
        cmocka_unit_test(test_chunk_size),
        cmocka_unit_test(test_drain_of_input),
        cmocka_unit_test(test_output_queue),
        cmocka_unit_test(test_no_wake_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
