/* Answers whose body is a file: as fast as the client takes them, in little memory, and the descriptor is closed whatever happens. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "harness.h"

#define HOOK "GET /hook HTTP/1.1\r\nHost: a\r\n\r\n"
#define TAIL "GET /tail HTTP/1.1\r\nHost: a\r\n\r\n"

enum { LARGE = 64 << 20, SOCKETS = 16 << 20 /* more than the kernel keeps on both sides */ };

/* What the hook answers with. */
static struct {
    uint64_t size, promised;
    int fd; /* the newest */
} served;

static int file_of(uint64_t size)
{
    int fd = memfd_create("served", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    for (uint64_t at = 0; at < size; at += 4096) { /* each page says which one it is */
        char number[24];
        int digits = snprintf(number, sizeof number, "%llu", (unsigned long long)at);
        if (at + sizeof number < size)
            assert_int_equal(pwrite(fd, number, (size_t)digits, (off_t)at), digits);
    }
    return fd;
}

static void answer_file(struct harness *h, const struct http_request *request)
{
    served.fd = file_of(served.size);
    struct http_response response = {.status = 200, .content_type = "application/octet-stream", .has_file = true, .file = served.fd,
                                     .file_size = served.promised};
    http_respond(h->server, request->token, &response);
}

static void start(struct harness *h, const struct http_limits *limits, uint64_t size)
{
    harness_start(h, limits);
    h->on_request = answer_file;
    served.size = served.promised = size;
    served.fd = -1;
}

static bool is_closed(int fd)
{
    return fcntl(fd, F_GETFD) == -1 && errno == EBADF;
}

static void await_closed(struct harness *h, int fd)
{
    uint64_t deadline = now_ms() + 30000;
    while (!is_closed(fd)) {
        assert_true(now_ms() < deadline);
        harness_step(h, -1, 1000);
    }
}

static void await_no_connections(struct harness *h)
{
    uint64_t deadline = now_ms() + 30000;
    while (harness_stats(h).connections_open > 0) {
        assert_true(now_ms() < deadline);
        harness_step(h, -1, 1000);
    }
}

static void check_body(const struct answer *a, uint64_t size)
{
    int fd = file_of(size);
    assert_int_equal(a->status, 200);
    assert_int_equal(a->body.size, size);
    void *wanted = size > 0 ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    assert_true(wanted != MAP_FAILED);
    if (size > 0) {
        assert_memory_equal(a->body.data, wanted, size);
        assert_int_equal(munmap(wanted, size), 0);
    }
    assert_int_equal(close(fd), 0);
}

/* --- whole --- */

static void test_bytes_and_what_follows(void **state)
{
    static const uint64_t sizes[] = {0, 1, 128 * 1024 - 1, 128 * 1024, 128 * 1024 + 1, (5 << 20) + 3};
    (void)state; /* none */
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct harness h;
        struct http_limits limits = harness_limits();
        struct client c;
        size_t at = 0;
        start(&h, &limits, sizes[i]);
        client_connect(&h, &c);
        assert_true(client_send(&h, &c, HOOK TAIL HOOK, sizeof HOOK TAIL HOOK - 1)); /* in this order */
        struct answer a = client_await(&h, &c, &at, false);
        check_body(&a, sizes[i]);
        assert_false(a.close);
        a = client_await(&h, &c, &at, false);
        assert_int_equal(a.status, 200);
        assert_true(a.body.size < 100);
        a = client_await(&h, &c, &at, false);
        check_body(&a, sizes[i]);
        await_closed(&h, served.fd);
        assert_int_equal(harness_stats(&h).requests_waiting, 0);
        client_close(&c);
        harness_stop(&h);
    }
}

static void test_head(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    size_t at = 0;
    (void)state; /* none */
    start(&h, &limits, 12345);
    client_connect(&h, &c);
    static const char head[] = "HEAD /hook HTTP/1.1\r\nHost: a\r\n\r\n" TAIL;
    assert_true(client_send(&h, &c, head, sizeof head - 1));
    struct answer a = client_await(&h, &c, &at, true);
    assert_true(answer_has(&a, "Content-Length: 12345"));
    assert_true(is_closed(served.fd));
    assert_int_equal(client_await(&h, &c, &at, false).status, 200);
    client_close(&c);
    harness_stop(&h);
}

/* The client says that it will ask for no more: it gets the whole file all the same. */
static void test_half_close(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    size_t at = 0;
    (void)state; /* none */
    start(&h, &limits, 9000000);
    client_connect(&h, &c);
    assert_true(client_send(&h, &c, HOOK, sizeof HOOK - 1));
    assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
    struct answer a = client_await(&h, &c, &at, false);
    check_body(&a, 9000000);
    client_await_eof(&h, &c);
    assert_false(c.is_reset);
    client_close(&c);
    await_no_connections(&h);
    harness_stop(&h);
}

static void test_drain(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    size_t at = 0;
    (void)state; /* none */
    start(&h, &limits, 40 << 20);
    client_connect(&h, &c);
    assert_true(client_send(&h, &c, HOOK, sizeof HOOK - 1));
    while (served.fd < 0)
        harness_step(&h, -1, 1000);
    http_server_drain(h.server);
    struct answer a = client_await(&h, &c, &at, false);
    check_body(&a, 40 << 20);
    client_await_eof(&h, &c);
    client_close(&c);
    await_no_connections(&h);
    harness_stop(&h);
}

/* --- cut short --- */

/* Asks, and takes nothing. */
static void ask(struct harness *h, struct client *c)
{
    client_connect(h, c);
    served.fd = -1;
    assert_true(client_send(h, c, HOOK, sizeof HOOK - 1));
    while (served.fd < 0)
        harness_step(h, -1, 1000);
}

static void ask_and_stop(struct harness *h, struct client *c)
{
    ask(h, c);
    for (uint64_t before = UINT64_MAX; before != harness_stats(h).bytes_out;) { /* until the sockets are full */
        before = harness_stats(h).bytes_out;
        for (int i = 0; i < 5; i++)
            harness_step(h, -1, 50);
    }
}

static void test_a_slow_client_costs_little(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    size_t at = 0;
    (void)state; /* none */
    start(&h, &limits, LARGE - 4096);
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    ask_and_stop(&h, &c);
    assert_true(harness_stats(&h).bytes_out < SOCKETS);
    assert_true(mallinfo2().uordblks + mallinfo2().hblkhd - before < 512 * 1024);
    assert_false(is_closed(served.fd));
    struct answer a = client_await(&h, &c, &at, false); /* it takes the rest */
    check_body(&a, LARGE - 4096);
    await_closed(&h, served.fd);
    client_close(&c);
    harness_stop(&h);
}

static void test_a_client_goes_away(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    (void)state; /* none */
    start(&h, &limits, LARGE);
    ask_and_stop(&h, &c);
    client_close(&c);
    await_closed(&h, served.fd);
    await_no_connections(&h);
    harness_stop(&h);
}

static void test_a_client_takes_nothing(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    (void)state; /* none */
    limits.write_timeout_ms = 300;
    start(&h, &limits, LARGE);
    ask_and_stop(&h, &c);
    await_closed(&h, served.fd);
    assert_int_equal(harness_stats(&h).timeouts, 1);
    await_no_connections(&h);
    client_close(&c);
    harness_stop(&h);
}

/* The head is out: that bytes are missing can only be shown by closing. */
static void test_a_file_that_is_shorter(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client c;
    size_t at = 0;
    struct answer a;
    (void)state; /* none */
    start(&h, &limits, 300000);
    served.promised = 300001;
    client_connect(&h, &c);
    assert_true(client_send(&h, &c, HOOK TAIL, sizeof HOOK TAIL - 1));
    client_await_eof(&h, &c);
    assert_false(answer_next(&c, &at, false, &a));
    assert_true(is_closed(served.fd));
    client_close(&c);
    harness_stop(&h);
}

static void test_too_many(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct client clients[HTTP_FILES_MAX], more;
    int first = -1;
    size_t at = 0;
    (void)state; /* none */
    start(&h, &limits, LARGE);
    for (int i = 0; i < HTTP_FILES_MAX; i++) {
        ask(&h, &clients[i]);
        first = i == 0 ? served.fd : first;
    }
    client_connect(&h, &more);
    assert_true(client_send(&h, &more, HOOK, sizeof HOOK - 1));
    struct answer a = client_await(&h, &more, &at, false);
    assert_int_equal(a.status, 503);
    assert_true(answer_has(&a, "Retry-After: 1"));
    assert_true(is_closed(served.fd));
    client_close(&more);
    client_close(&clients[0]);
    await_closed(&h, first);
    served.size = served.promised = 1000;
    at = 0;
    client_connect(&h, &more);
    assert_true(client_send(&h, &more, HOOK, sizeof HOOK - 1));
    assert_int_equal(client_await(&h, &more, &at, false).status, 200); /* there is room again */
    client_close(&more);
    for (int i = 1; i < HTTP_FILES_MAX; i++)
        client_close(&clients[i]);
    harness_stop(&h);
}

/* A piece may be on its way from the disk. */
static void test_the_server_closes(void **state)
{
    (void)state; /* none */
    for (int turns = 0; turns < 8; turns++) {
        struct harness h;
        struct http_limits limits = harness_limits();
        struct client c;
        start(&h, &limits, LARGE);
        client_connect(&h, &c);
        assert_true(client_send(&h, &c, HOOK, sizeof HOOK - 1));
        while (served.fd < 0)
            harness_step(&h, -1, 1000);
        for (int i = 0; i < turns; i++)
            (void)uv_run(&h.loop, UV_RUN_NOWAIT); /* whether handles are left does not matter here */
        harness_stop(&h);
        assert_true(is_closed(served.fd));
        client_close(&c);
    }
}

static void test_nobody_is_there(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    (void)state; /* none */
    start(&h, &limits, 10);
    int fd = file_of(10);
    struct http_response response = {.status = 200, .has_file = true, .file = fd, .file_size = 10};
    http_respond(h.server, (struct http_token){9999, 1}, &response);
    assert_true(is_closed(fd));
    harness_stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_and_what_follows), cmocka_unit_test(test_head),
        cmocka_unit_test(test_half_close), cmocka_unit_test(test_drain),
        cmocka_unit_test(test_a_slow_client_costs_little), cmocka_unit_test(test_a_client_goes_away),
        cmocka_unit_test(test_a_client_takes_nothing), cmocka_unit_test(test_a_file_that_is_shorter),
        cmocka_unit_test(test_too_many), cmocka_unit_test(test_the_server_closes),
        cmocka_unit_test(test_nobody_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
