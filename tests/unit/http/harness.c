#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ms(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- the server's side --- */

struct http_limits harness_limits(void)
{
    return (struct http_limits){
        .header_timeout_ms = 20000, .body_timeout_ms = 20000, .idle_timeout_ms = 20000, .write_timeout_ms = 20000,
        .max_connections = 1000, .max_connections_per_ip = 1000,
        .max_body_bytes = 1 << 20, .max_bodies_total_bytes = 16 << 20,
    };
}

static void respond(struct harness *h, struct http_token token, const struct http_response *response)
{
    h->is_in_respond = true;
    http_respond(h->server, token, response);
    h->is_in_respond = false;
}

void harness_answer(struct harness *h, struct http_token token, const char *text)
{
    struct http_response response = {.status = 200, .content_type = "text/plain", .body = {text, strlen(text)}};
    respond(h, token, &response);
}

static bool path_is(const struct http_request *request, const char *path)
{
    return request->path.size == strlen(path) && memcmp(request->path.data, path, request->path.size) == 0;
}

/* A body of N bytes, handed over or (with "?copy") copied. */
static void answer_large(struct harness *h, const struct http_request *request)
{
    char text[32];
    enum status status;
    assert_true(http_query_get(request, "size", text, sizeof text, &status) && status == STATUS_OK);
    size_t size = strtoul(text, NULL, 10);
    char *body = malloc(size);
    assert_non_null(body);
    for (size_t i = 0; i < size; i++)
        body[i] = (char)('a' + i % 23);
    bool is_copied = http_query_get(request, "copy", text, sizeof text, &status);
    struct http_response response = {.status = 200, .content_type = "text/plain", .body = {body, size},
                                     .body_owned = is_copied ? NULL : body};
    respond(h, request->token, &response);
    if (is_copied)
        free(body);
}

static void describe(struct harness *h, const struct http_request *request)
{
    struct buffer text;
    buffer_init(&text, 4 << 20);
    buffer_appendf(&text, "%s%s %.*s?%.*s host=%.*s headers=%zu body=", http_method_name(request->method),
                   request->is_head ? "(HEAD)" : "", (int)request->path.size, (const char *)request->path.data,
                   (int)request->query.size, request->query.size > 0 ? (const char *)request->query.data : "",
                   (int)request->host.size, request->host.size > 0 ? (const char *)request->host.data : "",
                   request->header_count);
    buffer_append(&text, request->body.data, request->body.size);
    assert_int_equal(text.failed, STATUS_OK);
    struct http_response response = {.status = 200, .content_type = "text/plain", .body = buffer_bytes(&text),
                                     .headers = {"X-Extra: 1\r\n", 12}, .close = path_is(request, "/close")};
    respond(h, request->token, &response);
    buffer_deinit(&text);
}

static void note_stack(struct harness *h)
{
    char here;
    uintptr_t at = (uintptr_t)&here;
    if (h->stack_low == 0 || at < h->stack_low)
        h->stack_low = at;
    if (at > h->stack_high)
        h->stack_high = at;
}

static void handle(void *arg, const struct http_request *request)
{
    struct harness *h = arg;
    assert_false(h->is_in_respond);
    assert_true(http_token_live(h->server, request->token));
    note_stack(h);
    h->handled_count++;
    memcpy(h->last_request_id, request->request_id, sizeof h->last_request_id);
    h->last_is_loopback = request->is_loopback_peer;
    if (path_is(request, "/later")) {
        assert_true(h->kept_count < KEPT_TOKENS_MAX);
        h->kept[h->kept_count++] = request->token;
    } else if (path_is(request, "/large")) {
        answer_large(h, request);
    } else if (path_is(request, "/empty")) {
        respond(h, request->token, &(struct http_response){.status = 204});
    } else if (path_is(request, "/unchanged")) {
        respond(h, request->token, &(struct http_response){.status = 304, .headers = {"ETag: \"1\"\r\n", 11}});
    } else if (path_is(request, "/hook")) {
        h->on_request(h, request);
    } else {
        describe(h, request);
    }
}

static void problem(void *arg, enum status code, int http_status, const char *detail, const char *request_id,
                    struct buffer *out)
{
    (void)arg; /* the harness; not needed */
    assert_true(strlen(request_id) > 0);
    buffer_appendf(out, "{\"code\":\"%s\",\"status\":%d,\"detail\":\"%s\"}", status_name(code), http_status, detail);
}

/* Nobody may send a body to /stranger. */
static bool admit(void *arg, const struct http_request *request)
{
    (void)arg; /* the harness; not needed */
    return !path_is(request, "/stranger");
}

static void common_headers(void *arg, struct buffer *out)
{
    (void)arg; /* the harness; not needed */
    buffer_append_string(out, "X-Common: yes\r\n");
}

void harness_start(struct harness *h, const struct http_limits *limits)
{
    struct error err;
    memset(h, 0, sizeof *h);
    assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR); /* as http.h asks of the process */
    assert_int_equal(uv_loop_init(&h->loop), 0);
    struct http_server_config config = {
        .loop = &h->loop, .limits = *limits, .handler = handle, .handler_arg = h,
        .admit = admit,
        .problem = problem, .problem_arg = h, .common_headers = common_headers, .common_headers_arg = h,
    };
    assert_int_equal(http_server_new(&config, &h->server, &err), STATUS_OK);
    assert_int_equal(http_server_listen(h->server, "127.0.0.1:0", &h->port, &err), STATUS_OK);
    harness_settle(h);
}

static void note_closed(void *arg)
{
    struct harness *h = arg;
    assert_false(h->is_closed);
    h->is_closed = true;
}

void harness_stop(struct harness *h)
{
    http_server_close(h->server, note_closed, h);
    assert_false(h->is_closed);
    assert_int_equal(uv_run(&h->loop, UV_RUN_DEFAULT), 0);
    assert_true(h->is_closed);
    assert_int_equal(uv_loop_close(&h->loop), 0); /* UV_EBUSY if a handle was left */
}

/* libuv registers with epoll what a callback started only in its next turn: so the turns come behind the wait, three of
 * them, and nothing unregistered is left when the next step waits. */
void harness_step(struct harness *h, int fd, int at_most_ms)
{
    int wait = uv_backend_timeout(&h->loop);
    if (wait < 0 || wait > at_most_ms)
        wait = at_most_ms;
    struct pollfd fds[2] = {{.fd = uv_backend_fd(&h->loop), .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    (void)poll(fds, 2, wait); /* EINTR is a short wait */
    for (int i = 0; i < 3; i++)
        (void)uv_run(&h->loop, UV_RUN_NOWAIT); /* whether handles are left does not matter here */
}

void harness_settle(struct harness *h)
{
    for (int quiet = 0; quiet < 3;) {
        (void)uv_run(&h->loop, UV_RUN_NOWAIT); /* as above */
        struct pollfd fd = {.fd = uv_backend_fd(&h->loop), .events = POLLIN};
        bool is_busy = poll(&fd, 1, 0) > 0 || uv_backend_timeout(&h->loop) == 0;
        quiet = is_busy ? 0 : quiet + 1;
    }
}

struct http_stats harness_stats(struct harness *h)
{
    struct http_stats stats;
    http_server_stats(h->server, &stats);
    return stats;
}

/* --- the client's side --- */

void client_adopt(struct client *c, int fd)
{
    memset(c, 0, sizeof *c);
    c->fd = fd;
    buffer_init(&c->in, CLIENT_BYTES_MAX);
}

void client_connect(struct harness *h, struct client *c)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)h->port)};
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    /* The backlog takes it, whether the loop runs or not. */
    assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof name), 0);
    client_adopt(c, fd);
}

void client_close(struct client *c)
{
    (void)close(c->fd); /* a socket; nothing to lose */
    buffer_deinit(&c->in);
}

void client_take(struct client *c)
{
    static char bytes[256 * 1024];
    while (!c->is_eof) {
        ssize_t n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            c->is_eof = true;
            c->is_reset = n < 0;
            return;
        }
        buffer_append(&c->in, bytes, (size_t)n);
        assert_int_equal(c->in.failed, STATUS_OK);
    }
}

bool client_send(struct harness *h, struct client *c, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t n = send(c->fd, at, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            harness_step(h, -1, 100);
            continue;
        }
        if (n < 0)
            return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

void client_send_bytewise(struct harness *h, struct client *c, const void *data, size_t size)
{
    const char *at = data;
    uint64_t expected = harness_stats(h).bytes_in;
    for (size_t i = 0; i < size && !c->is_eof; i++) {
        if (!client_send(h, c, at + i, 1))
            return;
        expected++;
        while (harness_stats(h).bytes_in < expected && !c->is_eof) {
            harness_step(h, c->fd, 100);
            client_take(c);
        }
        client_take(c);
    }
}

static struct bytes find_header(struct bytes head, const char *name)
{
    const char *at = head.data, *end = at + head.size;
    size_t size = strlen(name);
    while (at < end) {
        const char *line_end = memchr(at, '\r', (size_t)(end - at));
        if (line_end == NULL)
            break;
        if ((size_t)(line_end - at) > size + 1 && strncasecmp(at, name, size) == 0 && at[size] == ':') {
            at += size + 2;
            return (struct bytes){at, (size_t)(line_end - at)};
        }
        at = line_end + 2;
    }
    return (struct bytes){NULL, 0};
}

bool answer_has(const struct answer *a, const char *line)
{
    const char *found = memmem(a->head.data, a->head.size, line, strlen(line));
    return found != NULL && found[-1] == '\n' && found[strlen(line)] == '\r';
}

bool answer_next(const struct client *c, size_t *at, bool is_head, struct answer *ret)
{
    const char *begin = c->in.size > *at ? c->in.data + *at : NULL;
    const char *end = begin != NULL ? memmem(begin, c->in.size - *at, "\r\n\r\n", 4) : NULL;
    if (end == NULL)
        return false;
    ret->head = (struct bytes){begin, (size_t)(end + 4 - begin)};
    assert_memory_equal(begin, "HTTP/1.1 ", 9);
    ret->status = atoi(begin + 9);
    struct bytes length = find_header(ret->head, "Content-Length");
    bool has_none = ret->status == 100 || ret->status == 204 || ret->status == 304;
    assert_true(has_none == (length.data == NULL));
    size_t size = has_none || is_head ? 0 : strtoul(length.data, NULL, 10);
    if (c->in.size - *at - ret->head.size < size)
        return false;
    ret->body = (struct bytes){end + 4, size};
    ret->close = answer_has(ret, "Connection: close");
    *at += ret->head.size + size;
    return true;
}

struct answer client_await(struct harness *h, struct client *c, size_t *at, bool is_head)
{
    struct answer answer;
    uint64_t deadline = now_ms() + 30000;
    for (;;) {
        client_take(c);
        if (answer_next(c, at, is_head, &answer))
            return answer;
        if (c->is_eof || now_ms() > deadline)
            fail_msg("no answer: eof=%d reset=%d, in: %.*s", c->is_eof, c->is_reset, (int)(c->in.size - *at),
                     c->in.size > *at ? c->in.data + *at : "");
        harness_step(h, c->fd, 1000);
    }
}

void client_await_eof(struct harness *h, struct client *c)
{
    uint64_t deadline = now_ms() + 30000;
    for (client_take(c); !c->is_eof; client_take(c)) {
        if (now_ms() > deadline)
            fail_msg("the connection was not closed");
        harness_step(h, c->fd, 1000);
    }
}
