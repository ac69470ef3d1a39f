/* Answers: the status line and headers, and where the bytes go. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/internal.h"

/* --- the pieces --- */

#define REASONS(X)                                                                                                \
    X(200, "OK") X(201, "Created") X(202, "Accepted") X(204, "No Content") X(206, "Partial Content")              \
    X(301, "Moved Permanently") X(302, "Found") X(303, "See Other") X(304, "Not Modified")                        \
    X(307, "Temporary Redirect") X(308, "Permanent Redirect") X(400, "Bad Request") X(401, "Unauthorized")        \
    X(403, "Forbidden") X(404, "Not Found") X(405, "Method Not Allowed") X(406, "Not Acceptable")                 \
    X(408, "Request Timeout") X(409, "Conflict") X(410, "Gone") X(411, "Length Required")                         \
    X(412, "Precondition Failed") X(413, "Content Too Large") X(414, "URI Too Long")                              \
    X(415, "Unsupported Media Type") X(416, "Range Not Satisfiable") X(417, "Expectation Failed")                 \
    X(421, "Misdirected Request") X(422, "Unprocessable Content") X(425, "Too Early")                             \
    X(426, "Upgrade Required") X(428, "Precondition Required") X(429, "Too Many Requests")                        \
    X(431, "Request Header Fields Too Large") X(500, "Internal Server Error") X(501, "Not Implemented")           \
    X(502, "Bad Gateway") X(503, "Service Unavailable") X(504, "Gateway Timeout")                                 \
    X(505, "HTTP Version Not Supported") X(507, "Insufficient Storage")

static void append_status_line(struct buffer *out, int status)
{
    switch (status) {
#define X(code, reason)                                                                   \
    case code:                                                                            \
        buffer_append(out, "HTTP/1.1 " #code " " reason "\r\n", sizeof "HTTP/1.1 " #code " " reason "\r\n" - 1); \
        return;
        REASONS(X)
#undef X
    default:
        buffer_appendf(out, "HTTP/1.1 %d \r\n", status); /* an empty reason is legal, RFC 9112 4 */
    }
}

static void append_date(struct http_server *server, struct buffer *out)
{
    int64_t second = clock_system.wall_ms(clock_system.arg) / 1000;
    if (second != server->date_second) {
        /* strftime's names follow the locale; these may not (RFC 9110 5.6.7). */
        static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                           "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
        time_t when = (time_t)second;
        struct tm t;
        char numbers[2][16];
        (void)gmtime_r(&when, &t); /* fails only beyond the year 2^31 */
        (void)strftime(numbers[0], sizeof numbers[0], "%Y %H:%M:%S", &t); /* digits only: fits */
        (void)strftime(numbers[1], sizeof numbers[1], "%d", &t);
        server->date_second = second;
        struct buffer line;
        buffer_init(&line, DATE_LINE_SIZE);
        buffer_appendf(&line, "Date: %s, %s %s %s GMT\r\n", days[t.tm_wday], numbers[1], months[t.tm_mon], numbers[0]);
        if (line.failed == STATUS_OK && line.size < sizeof server->date_line)
            memcpy(server->date_line, line.data, line.size + 1);
        buffer_deinit(&line);
    }
    buffer_append(out, server->date_line, strlen(server->date_line));
}

static void append_content_length(struct buffer *out, uint64_t length)
{
    char digits[24];
    char *at = digits + sizeof digits;
    *--at = '\n';
    *--at = '\r';
    do {
        *--at = (char)('0' + length % 10);
        length /= 10;
    } while (length > 0);
    buffer_append(out, "Content-Length: ", 16);
    buffer_append(out, at, (size_t)(digits + sizeof digits - at));
}

/* Whole lines, each "Name: value\r\n": a stray CR or LF from user data would split the answer in two. */
static void check_header_lines(const char *lines, size_t size)
{
    const char *at = lines, *end = lines + size;
    while (at < end) {
        const char *line_end = memchr(at, '\r', (size_t)(end - at));
        assert(line_end != NULL && line_end + 1 < end && line_end[1] == '\n');
        assert(line_end > at && memchr(at, '\n', (size_t)(line_end - at)) == NULL);
        at = line_end + 2;
    }
}

/* --- serialising --- */

/* RFC 9110 6.4.1 and 8.6: neither body nor Content-Length. */
static bool status_has_no_body(int status)
{
    return status == 204 || status == 304;
}

static void append_common_headers(struct http_server *server, struct buffer *out)
{
    size_t before = out->size;
    if (server->config.common_headers == NULL)
        return;
    server->config.common_headers(server->config.common_headers_arg, out);
    if (out->failed == STATUS_OK)
        check_header_lines(out->data + before, out->size - before);
}

static void append_head(struct connection *connection, const struct http_response *response, bool keep,
                        struct buffer *out)
{
    append_status_line(out, response->status);
    append_date(connection->server, out);
    if (response->content_type != NULL && !status_has_no_body(response->status)) {
        assert(strpbrk(response->content_type, "\r\n") == NULL);
        buffer_append(out, "Content-Type: ", 14);
        buffer_append_string(out, response->content_type);
        buffer_append(out, "\r\n", 2);
    }
    if (!status_has_no_body(response->status))
        append_content_length(out, response->has_file ? response->file_size : response->body.size);
    if (!keep)
        buffer_append(out, "Connection: close\r\n", 19);
    else if (connection->is_version_1_0)
        buffer_append(out, "Connection: keep-alive\r\n", 24);
    append_common_headers(connection->server, out);
    check_header_lines(response->headers.data, response->headers.size);
    buffer_append(out, response->headers.data, response->headers.size);
    buffer_append(out, "\r\n", 2);
}

static void send_answer(struct connection *connection, struct buffer *out, struct bytes body, char *owned)
{
    bool is_gathered = out == &connection->server->batch;
    if (body.size > 0 && body.size <= BODY_INLINE_MAX) {
        buffer_append(out, body.data, body.size);
        body = (struct bytes){NULL, 0};
    }
    if (body.size == 0) {
        free(owned);
        owned = NULL;
    }
    if (out->failed != STATUS_OK) {
        free(owned); /* no memory for the answer: what would follow on this connection has no meaning */
        connection_close(connection);
        buffer_clear(out);
        return;
    }
    if (is_gathered && body.size == 0 && out->size < BATCH_FLUSH_SIZE)
        return;
    connection_write(connection, buffer_bytes(out), body, owned);
    buffer_clear(out);
}

static const struct request_reject too_many_files = {STATUS_OVERLOADED, 503, "too many files are being sent; try again in a second"};

/* True: it follows the head. */
static bool begin_file(struct connection *connection, const struct http_response *response, bool keep)
{
    if (!response->has_file)
        return false;
    assert(response->body.size == 0 && !status_has_no_body(response->status));
    if (!connection->is_head && file_body_begin(connection, response->file, response->file_size, keep))
        return true;
    (void)close(response->file); /* it was only read */
    return false;
}

void connection_answer(struct connection *connection, const struct http_response *response)
{
    struct http_server *server = connection->server;
    bool keep = connection->keep_alive && !response->close && !server->is_draining;
    bool is_current = server->current == connection;
    struct buffer *out = is_current ? &server->batch : &server->single;
    struct bytes body = response->body;
    assert(response->status >= 200 && response->status <= 599);
    assert(response->body_owned == NULL || body.size == 0 ||
           ((const char *)body.data >= response->body_owned));
    bool sends_file = begin_file(connection, response, keep);
    if (response->has_file && !sends_file && !connection->is_head) {
        connection_answer_problem(connection, &too_many_files);
        return;
    }
    append_head(connection, response, keep, out);
    if (connection->is_head || status_has_no_body(response->status))
        body = (struct bytes){NULL, 0};
    send_answer(connection, out, body, response->body_owned);
    server->stats.responses_by_class[response->status / 100]++;
    if (sends_file)
        connection_sending(connection);
    else
        connection_answered(connection, keep);
}

/* --- what the server itself answers --- */

void connection_answer_problem(struct connection *connection, const struct request_reject *why)
{
    struct http_server *server = connection->server;
    struct buffer *text = &server->problem;
    const char *type = "application/problem+json";
    buffer_clear(text);
    if (server->config.problem != NULL) {
        server->config.problem(server->config.problem_arg, why->code, why->http_status, why->detail,
                               connection->request_id, text);
    } else {
        type = "text/plain; charset=utf-8";
        buffer_appendf(text, "%s\n", why->detail);
    }
    struct http_response response = {.status = why->http_status, .close = true};
    if (text->failed == STATUS_OK && text->size > 0) {
        response.content_type = type;
        response.body = buffer_bytes(text);
    }
    if (why->http_status == 503 || why->http_status == 429)
        response.headers = (struct bytes){"Retry-After: 1\r\n", 16};
    connection_answer(connection, &response);
}
