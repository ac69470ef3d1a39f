/* Where the server listens, and whom it takes for a neighbour. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"

static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

static void check_refused(struct harness *h, const char *address, enum status expected)
{
    struct error err;
    int port = -1;
    if (http_server_listen(h->server, address, &port, &err) != expected)
        fail_msg("%s: not %s", address, status_name(expected));
    assert_int_equal(err.code, expected);
    assert_non_null(strstr(err.message, address));
    assert_int_equal(port, -1);
}

static void test_addresses(void **state)
{
    static const char *const bad[] = {"", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", ":80",
                                      "localhost:80", "127.0.0.1:+1", "127.0.0.1: 1", "[::1:80", "::1]:80", "[]:80",
                                      "[::1]", "256.0.0.1:80", "[::1]x:80", "127.0.0.1:000080"};
    struct harness h;
    struct http_limits limits = harness_limits();
    struct error err;
    char taken[64];
    int port = 0;
    (void)state; /* none */
    harness_start(&h, &limits);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_refused(&h, bad[i], STATUS_INVALID);
    check_refused(&h, "192.0.2.123:1", STATUS_IO); /* not an address of this machine */
    (void)snprintf(taken, sizeof taken, "127.0.0.1:%d", h.port); /* fits */
    check_refused(&h, taken, STATUS_IO);
    assert_int_equal(http_server_listen(h.server, "0.0.0.0:0", &port, &err), STATUS_OK);
    assert_true(port > 0 && port != h.port);
    assert_int_equal(http_server_listen(h.server, "127.0.0.1:0", NULL, &err), STATUS_OK);
    harness_stop(&h);
}

static void check_config(void **state)
{
    struct http_server *server = NULL;
    struct error err;
    uv_loop_t loop;
    (void)state; /* none */
    struct http_server_config config = {.loop = &loop, .limits = harness_limits(),
                                        .handler = (http_handler)(uintptr_t)1};
    config.limits.header_timeout_ms = 0;
    assert_int_equal(http_server_new(&config, &server, &err), STATUS_INVALID);
    assert_null(server);
}

/* --- unix sockets --- */

static void unix_path(char *out, size_t size)
{
    (void)snprintf(out, size, "/tmp/chronos-http-%ld.sock", (long)getpid()); /* fits */
}

static int unix_connect(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    memcpy(name.sun_path, path, strlen(path) + 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof name), 0);
    return fd;
}

static void check_unix_request(struct harness *h, const char *path)
{
    struct client c;
    size_t at = 0;
    client_adopt(&c, unix_connect(path));
    h->last_is_loopback = false;
    assert_true(client_send(h, &c, request, sizeof request - 1));
    assert_int_equal(client_await(h, &c, &at, false).status, 200);
    assert_true(h->last_is_loopback);
    client_close(&c);
}

static void test_unix_socket(void **state)
{
    struct harness h, other;
    struct http_limits limits = harness_limits();
    struct error err;
    struct stat info;
    char path[108];
    (void)state; /* none */
    unix_path(path, sizeof path);
    harness_start(&h, &limits);
    harness_start(&other, &limits);
    assert_int_equal(http_server_listen_unix(h.server, path, &err), STATUS_OK);
    assert_int_equal(stat(path, &info), 0);
    assert_true(S_ISSOCK(info.st_mode));
    assert_int_equal(info.st_mode & 07777, 0660);
    check_unix_request(&h, path);

    /* Somebody listens: the file stays. */
    assert_int_equal(http_server_listen_unix(other.server, path, &err), STATUS_BUSY);
    check_unix_request(&h, path);
    harness_stop(&h);
    assert_int_equal(access(path, F_OK), -1);
    harness_stop(&other);
}

static void test_unix_leftovers(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct error err;
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    char path[108], longer[200];
    (void)state; /* none */
    unix_path(path, sizeof path);
    harness_start(&h, &limits);

    /* A socket whose listener is gone. */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(name.sun_path, path, sizeof path);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(http_server_listen_unix(h.server, path, &err), STATUS_OK);
    check_unix_request(&h, path);
    harness_stop(&h);

    /* A file that is not a socket stays as it is. */
    harness_start(&h, &limits);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(http_server_listen_unix(h.server, path, &err), STATUS_EXISTS);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(unlink(path), 0);

    assert_int_equal(http_server_listen_unix(h.server, "", &err), STATUS_INVALID);
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(http_server_listen_unix(h.server, longer, &err), STATUS_INVALID);
    assert_int_equal(http_server_listen_unix(h.server, "/no/such/folder/socket", &err), STATUS_IO);
    harness_stop(&h);
}

/* --- peers --- */

/* An address of this machine that is not loopback; false: it has none. */
static bool own_address(struct sockaddr_in *ret)
{
    uv_interface_address_t *all;
    int count;
    bool is_found = false;
    assert_int_equal(uv_interface_addresses(&all, &count), 0);
    for (int i = 0; i < count && !is_found; i++) {
        if (!all[i].is_internal && all[i].address.address4.sin_family == AF_INET) {
            *ret = all[i].address.address4;
            is_found = true;
        }
    }
    uv_free_interface_addresses(all, count);
    return is_found;
}

static void connect_to(struct client *c, const void *name, size_t size)
{
    const struct sockaddr *address = name;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, address, (socklen_t)size), 0);
    client_adopt(c, fd);
}

static void test_per_address_cap(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct error err;
    struct sockaddr_in name;
    struct client c[2], third, local;
    size_t at = 0, local_at = 0;
    int port;
    (void)state; /* none */
    if (!own_address(&name))
        skip();
    limits.max_connections_per_ip = 2;
    harness_start(&h, &limits);
    assert_int_equal(http_server_listen(h.server, "0.0.0.0:0", &port, &err), STATUS_OK);
    harness_settle(&h);
    name.sin_port = htons((uint16_t)port);
    for (int i = 0; i < 2; i++)
        connect_to(&c[i], &name, sizeof name);
    connect_to(&third, &name, sizeof name);
    struct answer a = client_await(&h, &third, &at, false);
    assert_int_equal(a.status, 429);
    assert_true(a.close && answer_has(&a, "Retry-After: 1"));
    client_await_eof(&h, &third);
    client_close(&third);
    at = 0;
    h.last_is_loopback = true;
    assert_true(client_send(&h, &c[0], request, sizeof request - 1));
    assert_int_equal(client_await(&h, &c[0], &at, false).status, 200);
    assert_false(h.last_is_loopback);

    client_connect(&h, &local); /* loopback is not counted */
    assert_true(client_send(&h, &local, request, sizeof request - 1));
    assert_int_equal(client_await(&h, &local, &local_at, false).status, 200);
    assert_true(h.last_is_loopback);

    /* The place of one that left is free again. */
    client_close(&c[1]);
    while (harness_stats(&h).connections_open > 2)
        harness_step(&h, -1, 1000);
    connect_to(&c[1], &name, sizeof name);
    at = 0;
    assert_true(client_send(&h, &c[1], request, sizeof request - 1));
    assert_int_equal(client_await(&h, &c[1], &at, false).status, 200);
    for (int i = 0; i < 2; i++)
        client_close(&c[i]);
    client_close(&local);
    harness_stop(&h);
}

/* ::1, and 127.0.0.1 as a dual-stack socket sees it. */
static void test_ipv6(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    struct error err;
    struct client c;
    size_t at = 0;
    int port;
    (void)state; /* none */
    harness_start(&h, &limits);
    if (http_server_listen(h.server, "[::]:0", &port, &err) != STATUS_OK) {
        harness_stop(&h); /* no IPv6 on this machine */
        skip();
    }
    harness_settle(&h);
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port),
                                .sin6_addr = in6addr_loopback};
    connect_to(&c, &six, sizeof six);
    assert_true(client_send(&h, &c, request, sizeof request - 1));
    assert_int_equal(client_await(&h, &c, &at, false).status, 200);
    assert_true(h.last_is_loopback);
    client_close(&c);
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    four.sin_addr.s_addr = htonl(0x7f000005); /* all of 127/8 */
    connect_to(&c, &four, sizeof four);
    at = 0;
    h.last_is_loopback = false;
    assert_true(client_send(&h, &c, request, sizeof request - 1));
    assert_int_equal(client_await(&h, &c, &at, false).status, 200);
    assert_true(h.last_is_loopback);
    client_close(&c);
    harness_stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),       cmocka_unit_test(check_config),
        cmocka_unit_test(test_unix_socket),     cmocka_unit_test(test_unix_leftovers),
        cmocka_unit_test(test_per_address_cap), cmocka_unit_test(test_ipv6),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
