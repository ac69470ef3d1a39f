/* One connection: its states, how its bytes become requests, how it ends. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "http/internal.h"

/* --- states --- */

#define TO(name) (1u << CONNECTION_##name)
static const uint8_t successors[CONNECTION_STATE_COUNT] = {
#define X(name, allowed) [CONNECTION_##name] = (allowed),
    CONNECTION_STATES(X)
#undef X
};
#undef TO

uint64_t connection_now(const struct connection *connection)
{
    return uv_now(connection->server->config.loop);
}

/* 0: nothing of ours to wait for in this state (WAITING is the handler's, LAST is under the write deadline). */
static uint64_t state_timeout_ms(const struct http_server *server, enum connection_state state)
{
    const struct http_limits *limits = &server->config.limits;
    switch (state) {
    case CONNECTION_IDLE:
        return (uint64_t)limits->idle_timeout_ms;
    case CONNECTION_HEADER:
        return (uint64_t)limits->header_timeout_ms;
    case CONNECTION_BODY:
        return (uint64_t)limits->body_timeout_ms;
    case CONNECTION_DRAINING:
        return HTTP_DRAIN_MS;
    default:
        return 0;
    }
}

static void set_deadline(struct connection *connection)
{
    struct http_server *server = connection->server;
    uint64_t timeout = state_timeout_ms(server, connection->state);
    if (timeout == 0) {
        list_remove(&connection->deadline_link);
        return;
    }
    connection->deadline_ms = connection_now(connection) + timeout;
    list_append(&server->deadlines[connection->state], &connection->deadline_link);
}

static void move_to(struct connection *connection, enum connection_state next)
{
    assert((successors[connection->state] >> next & 1u) != 0);
    connection->state = next;
    set_deadline(connection);
}

/* --- the end --- */

static void release_body(struct connection *connection)
{
    connection->server->bodies_bytes -= connection->body.size;
    buffer_deinit(&connection->body);
    buffer_deinit(&connection->head);
}

static void release_input(struct connection *connection)
{
    buffer_deinit(&connection->input);
}

static void connection_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;
    struct http_server *server = connection->server;
    release_body(connection);
    release_input(connection);
    server->stats.connections_open--;
    free(connection);
    server_handle_closed(server);
}

void connection_close(struct connection *connection)
{
    struct http_server *server = connection->server;
    if (connection->state == CONNECTION_CLOSING)
        return;
    if (connection->state == CONNECTION_WAITING)
        server->stats.requests_waiting--;
    move_to(connection, CONNECTION_CLOSING);
    file_body_abandon(connection);
    list_remove(&connection->write_link);
    list_remove(&connection->ready_link);
    server_slot_give(server, connection);
    server_address_release(server, connection);
    if (connection->is_admitted)
        server->admitted_count--;
    connection->is_admitted = false;
    /* With output that nobody takes, a reset frees the kernel's memory now. Not possible behind a shutdown. */
    if (connection->queued_bytes > 0 && !connection->is_pipe && !connection->is_shutdown_sent &&
        uv_tcp_close_reset(&connection->uv.tcp, connection_closed) == 0)
        return;
    uv_close(&connection->uv.handle, connection_closed);
}

static void shutdown_done(uv_shutdown_t *request, int status)
{
    struct connection *connection = request->data;
    if (connection->state == CONNECTION_CLOSING)
        return;
    if (status != 0 || connection->is_peer_done)
        connection_close(connection);
    else
        move_to(connection, CONNECTION_DRAINING);
}

/* The last answer is on its way: half-close behind it, then read and throw away until the peer closes or ~1 s is over.
 * Closing at once with unread input would make the kernel send an RST, which can destroy the answer. */
static void begin_shutdown(struct connection *connection)
{
    if (connection->is_shutdown_sent)
        return;
    connection->is_shutdown_sent = true;
    connection->shutdown.data = connection;
    if (uv_shutdown(&connection->shutdown, &connection->uv.stream, shutdown_done) != 0)
        connection_close(connection);
}

/* --- answering --- */

static void make_request_id(struct connection *connection)
{
    struct id id = id_next(&connection->server->ids, clock_system.wall_ms(clock_system.arg));
    id_format("req_", &id, connection->request_id);
}

void connection_answered(struct connection *connection, bool keep)
{
    if (connection->state == CONNECTION_CLOSING)
        return;
    if (connection->state == CONNECTION_WAITING)
        connection->server->stats.requests_waiting--;
    move_to(connection, keep ? CONNECTION_IDLE : CONNECTION_LAST);
    if (connection->server->current == connection)
        return; /* work_off() goes on with what follows */
    if (keep && connection->input.size > 0)
        server_make_ready(connection->server, connection);
    connection_settle(connection);
}

void connection_sending(struct connection *connection)
{
    if (connection->state == CONNECTION_CLOSING)
        return;
    connection->server->stats.requests_waiting--;
    move_to(connection, CONNECTION_SENDING);
    file_body_go_on(connection);
    if (connection->server->current != connection)
        connection_settle(connection);
}

void connection_refuse(struct connection *connection, const struct request_reject *why)
{
    if (connection->request_id[0] == '\0')
        make_request_id(connection);
    connection->keep_alive = false;
    connection_answer_problem(connection, why);
}

/* --- requests --- */

static void answer_asterisk(struct http_server *server, struct http_token token)
{
    static const char allow[] = "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n";
    struct http_response response = {.status = 204, .headers = {allow, sizeof allow - 1}};
    http_respond(server, token, &response);
}

static void dispatch(struct connection *connection, struct request_head *head, struct bytes body)
{
    struct http_server *server = connection->server;
    struct http_request *request = &head->request;
    struct slot *slot = &server->slots[connection->slot];
    slot->generation++;
    request->token = (struct http_token){connection->slot, slot->generation};
    request->is_loopback_peer = connection->is_loopback;
    request->body = body;
    memcpy(request->request_id, connection->request_id, sizeof request->request_id);
    connection->scan = (struct request_scan){0};
    move_to(connection, CONNECTION_WAITING);
    server->stats.requests++;
    server->stats.requests_waiting++;
    if (head->is_asterisk)
        answer_asterisk(server, request->token);
    else
        server->config.handler(server->config.handler_arg, request);
}

/* The request whose body came in several reads: its block was accepted before, so reading it again cannot fail. */
static void dispatch_kept(struct connection *connection)
{
    struct request_head *head = &connection->server->parsed;
    struct request_reject ignored;
    bool is_good = request_head_parse(head, NULL, connection->head.data, connection->head.size, &ignored);
    assert(is_good);
    (void)is_good; /* for builds that would drop the assertion */
    dispatch(connection, head, buffer_bytes(&connection->body));
    release_body(connection);
}

static const struct request_reject body_too_large = {STATUS_TOO_LARGE, 413,
                                                     "the body is larger than this server accepts"};
static const struct request_reject bodies_too_large = {STATUS_OVERLOADED, 503,
                                                       "too many bytes of bodies are being received"};
static const struct request_reject no_memory = {STATUS_OVERLOADED, 503, "no memory for the request"};

static bool begin_body(struct connection *connection, const struct request_head *head, struct bytes block,
                       bool has_begun)
{
    struct http_server *server = connection->server;
    buffer_init(&connection->head, HTTP_HEADER_BYTES_MAX + 1); /* and the NUL behind it */
    buffer_append(&connection->head, block.data, block.size);
    buffer_init(&connection->body, server->config.limits.max_body_bytes + 1);
    if (connection->head.failed != STATUS_OK) {
        connection_refuse(connection, &no_memory);
        return false;
    }
    connection->body_expected = head->content_length;
    chunk_decoder_init(&connection->chunks);
    move_to(connection, CONNECTION_BODY);
    if (head->expects_continue && !has_begun)
        buffer_append_string(&server->batch, "HTTP/1.1 100 Continue\r\n\r\n");
    return true;
}

/* Bodies of strangers are not worth their memory, nor the time until they have arrived. */
static bool may_send_body(const struct http_server *server, const struct request_head *head)
{
    return server->config.admit == NULL || server->config.admit(server->config.admit_arg, &head->request);
}

/* A whole block is at `block`, `rest` bytes behind it. Returns how many of those were used too; false: refused. */
static bool take_head(struct connection *connection, struct bytes block, size_t rest, size_t *ret_body_used)
{
    struct http_server *server = connection->server;
    struct request_head *head = &server->parsed;
    struct request_reject why;
    const char *body = (const char *)block.data + block.size;
    bool is_good = request_head_parse(head, &connection->witness, block.data, block.size, &why);
    connection->is_head = head->request.is_head;
    if (!is_good) {
        connection_refuse(connection, &why);
        return false;
    }
    connection->is_version_1_0 = head->is_version_1_0;
    connection->keep_alive = head->keep_alive;
    connection->is_chunked = head->is_chunked;
    if (head->request.request_id[0] != '\0')
        memcpy(connection->request_id, head->request.request_id, sizeof connection->request_id);
    else
        make_request_id(connection);
    if (head->content_length > server->config.limits.max_body_bytes) {
        connection_refuse(connection, &body_too_large);
        return false;
    }
    *ret_body_used = 0;
    bool is_body_missing = head->is_chunked || head->content_length > rest;
    if (is_body_missing && !may_send_body(server, head)) {
        connection->keep_alive = false;
        dispatch(connection, head, (struct bytes){NULL, 0});
        return true;
    }
    if (is_body_missing)
        return begin_body(connection, head, block, rest > 0);
    *ret_body_used = (size_t)head->content_length;
    dispatch(connection, head, (struct bytes){body, (size_t)head->content_length});
    return true;
}

static size_t step_header(struct connection *connection, const char *data, size_t size)
{
    struct request_reject why;
    size_t end, body_used;
    switch (request_scan(&connection->scan, data, size, &end, &why)) {
    case SCAN_MORE:
        return 0;
    case SCAN_REJECTED:
        connection_refuse(connection, &why);
        return 0;
    case SCAN_FOUND:
        break;
    }
    struct bytes block = {data + connection->scan.start, end - connection->scan.start};
    if (!take_head(connection, block, size - end, &body_used))
        return 0;
    return end + body_used;
}

static bool take_body(struct connection *connection, const char *data, size_t size, size_t *ret_used,
                      struct request_reject *ret_why)
{
    struct buffer *body = &connection->body;
    if (connection->is_chunked)
        return chunk_decode(&connection->chunks, &connection->witness, data, size,
                            connection->server->config.limits.max_body_bytes, body, ret_used, ret_why);
    uint64_t missing = connection->body_expected - body->size;
    *ret_used = size < missing ? size : (size_t)missing;
    buffer_append(body, data, *ret_used);
    *ret_why = no_memory;
    return body->failed == STATUS_OK;
}

static size_t step_body(struct connection *connection, const char *data, size_t size)
{
    struct http_server *server = connection->server;
    struct request_reject why;
    size_t used = 0, before = connection->body.size;
    bool is_good = take_body(connection, data, size, &used, &why);
    server->bodies_bytes += connection->body.size - before;
    if (is_good && server->bodies_bytes > server->config.limits.max_bodies_total_bytes) {
        why = bodies_too_large;
        is_good = false;
    }
    if (!is_good) {
        release_body(connection);
        connection_refuse(connection, &why);
        return 0;
    }
    bool is_whole = connection->is_chunked ? connection->chunks.state == CHUNK_DONE
                                           : connection->body.size == connection->body_expected;
    if (is_whole)
        dispatch_kept(connection);
    return used;
}

/* --- reading --- */

/* Parse as far as the bytes and the state allow; returns how many bytes are done with. */
static size_t consume(struct connection *connection, const char *data, size_t size)
{
    size_t at = 0;
    while (at < size) {
        size_t used;
        switch (connection->state) {
        case CONNECTION_IDLE:
            if (connection_is_output_full(connection))
                return at;
            connection->request_id[0] = '\0';
            connection->is_head = false;
            move_to(connection, CONNECTION_HEADER);
            continue;
        case CONNECTION_HEADER:
            used = step_header(connection, data + at, size - at);
            break;
        case CONNECTION_BODY:
            used = step_body(connection, data + at, size - at);
            break;
        case CONNECTION_WAITING:
        case CONNECTION_SENDING:
            return at; /* one request at a time keeps the order of answers */
        default:
            return size; /* nothing behind a last answer is looked at */
        }
        if (used == 0 && connection->state == CONNECTION_HEADER)
            return at; /* the block is not complete */
        at += used;
    }
    return at;
}

static void keep_input(struct connection *connection, const char *data, size_t size)
{
    if (connection->input.data == NULL)
        buffer_init(&connection->input, READ_BUFFER_SIZE + HTTP_PIPELINE_MAX + HTTP_HEADER_BYTES_MAX);
    buffer_append(&connection->input, data, size);
    if (connection->input.failed != STATUS_OK)
        connection_close(connection); /* no memory, and no way to forget bytes in the middle of a stream */
}

static void drop_input(struct connection *connection, size_t used)
{
    if (used == connection->input.size)
        release_input(connection); /* an idle connection holds none */
    else
        buffer_consume(&connection->input, used);
}

/* Work off `data`, which is the read buffer or `input`; gather the answers; keep what is left. */
static void work_off(struct connection *connection, const char *data, size_t size)
{
    struct http_server *server = connection->server;
    bool is_kept = data == connection->input.data;
    assert(server->current == NULL);
    server->current = connection;
    size_t used = consume(connection, data, size);
    if (connection->state == CONNECTION_CLOSING)
        buffer_clear(&server->batch);
    else
        connection_flush(connection);
    server->current = NULL;
    if (connection->state == CONNECTION_CLOSING)
        return; /* `input` is freed with the connection */
    if (is_kept)
        drop_input(connection, used);
    else if (used < size)
        keep_input(connection, data + used, size - used);
    connection_settle(connection);
}

void connection_resume(struct connection *connection)
{
    if (connection->input.size > 0 && connection->state == CONNECTION_IDLE)
        work_off(connection, connection->input.data, connection->input.size);
}

/* What arrives meanwhile is kept. */
static bool is_answering(const struct connection *connection)
{
    return connection->state == CONNECTION_WAITING || connection->state == CONNECTION_SENDING;
}

static void take_read(struct connection *connection, const char *data, size_t size)
{
    if (connection->state == CONNECTION_LAST || connection->state == CONNECTION_DRAINING)
        return;
    if (connection->input.size == 0 && !is_answering(connection)) {
        work_off(connection, data, size);
        return;
    }
    keep_input(connection, data, size);
    if (is_answering(connection) || connection->state == CONNECTION_CLOSING)
        connection_settle(connection);
    else
        work_off(connection, connection->input.data, connection->input.size);
}

/* The peer sends no more. Answers that are under way still leave; a request that waits for its handler is given up, as
 * a client that is gone looks the same. */
static void peer_done(struct connection *connection)
{
    connection->is_peer_done = true;
    bool has_output = connection->queued_bytes > 0;
    if (connection->state == CONNECTION_IDLE && has_output && connection->input.size == 0) {
        move_to(connection, CONNECTION_LAST);
        connection_settle(connection);
    } else if (connection->state == CONNECTION_LAST || connection->state == CONNECTION_SENDING) {
        connection_settle(connection); /* shutdown_done() closes, now or behind the file */
    } else {
        connection_close(connection);
    }
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct connection *connection = stream->data;
    if (count == 0 || connection->state == CONNECTION_CLOSING)
        return;
    if (count == UV_EOF) {
        peer_done(connection);
    } else if (count < 0) {
        connection_close(connection);
    } else {
        connection->server->stats.bytes_in += (uint64_t)count;
        take_read(connection, buffer->base, (size_t)count);
    }
}

/* One buffer for all: libuv calls on_read at once behind this. A connection whose answer is pending may add only what
 * HTTP_PIPELINE_MAX leaves. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct connection *connection = handle->data;
    size_t room = READ_BUFFER_SIZE;
    (void)suggested; /* libuv's guess is the same for all streams */
    if (is_answering(connection) && connection->input.size < HTTP_PIPELINE_MAX)
        room = HTTP_PIPELINE_MAX - connection->input.size;
    *ret = uv_buf_init(connection->server->read_buffer, (unsigned)room);
}

static bool wants_read(const struct connection *connection)
{
    if (connection->is_peer_done)
        return false;
    switch (connection->state) {
    case CONNECTION_IDLE:
        return !connection_is_output_full(connection) && connection->input.size < HTTP_PIPELINE_MAX;
    case CONNECTION_WAITING:
    case CONNECTION_SENDING:
        return connection->input.size < HTTP_PIPELINE_MAX;
    default:
        return true;
    }
}

void connection_settle(struct connection *connection)
{
    if (connection->state == CONNECTION_CLOSING)
        return;
    if (connection->state == CONNECTION_LAST) {
        release_input(connection);
        begin_shutdown(connection);
        if (connection->state == CONNECTION_CLOSING)
            return;
    }
    bool wants = wants_read(connection);
    if (wants == connection->is_reading)
        return;
    connection->is_reading = wants;
    if (!wants)
        (void)uv_read_stop(&connection->uv.stream); /* always 0 */
    else if (uv_read_start(&connection->uv.stream, on_alloc, on_read) != 0)
        connection_close(connection);
}

void connection_begin(struct connection *connection)
{
    request_witness_init(&connection->witness);
    if (!connection->is_pipe)
        (void)uv_tcp_nodelay(&connection->uv.tcp, 1); /* fails only where the peer is gone already */
    set_deadline(connection);
    connection_settle(connection);
}

/* --- deadlines and draining --- */

static const struct request_reject header_timeout = {STATUS_REQUEST_TIMEOUT, 408, "the request's header took too long"};
static const struct request_reject body_timeout = {STATUS_REQUEST_TIMEOUT, 408, "the request's body took too long"};

void connection_expire(struct connection *connection)
{
    if (connection->state == CONNECTION_IDLE && connection->queued_bytes > 0) {
        set_deadline(connection); /* still busy taking an answer: that is under the write deadline */
        return;
    }
    if (connection->state == CONNECTION_DRAINING) {
        connection_close(connection);
        return;
    }
    connection->server->stats.timeouts++;
    if (connection->state == CONNECTION_IDLE) {
        connection_close(connection);
        return;
    }
    const struct request_reject *why = connection->state == CONNECTION_HEADER ? &header_timeout : &body_timeout;
    release_body(connection);
    connection_refuse(connection, why);
}

void connection_drain(struct connection *connection)
{
    if (connection->state != CONNECTION_IDLE || !list_is_empty(&connection->ready_link))
        return; /* the answer to come says "Connection: close" */
    if (connection->input.size > 0)
        return;
    move_to(connection, CONNECTION_LAST);
    if (connection->server->current != connection)
        connection_settle(connection);
}
