/* The write path: at once with uv_try_write, the rest with one uv_write, under a deadline. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "http/internal.h"

struct write_job {
    uv_write_t request;
    struct connection *connection;
    char *owned;
    size_t size;
    char copied[];
};

bool connection_is_output_full(const struct connection *connection)
{
    return connection->queued_bytes > HTTP_OUTPUT_QUEUE_MAX;
}

static void watch_write(struct connection *connection)
{
    connection->write_left_seen = uv_stream_get_write_queue_size(&connection->uv.stream);
    connection->write_deadline_ms =
        connection_now(connection) + (uint64_t)connection->server->config.limits.write_timeout_ms;
    list_append(&connection->server->write_deadlines, &connection->write_link);
}

void connection_write_expire(struct connection *connection)
{
    /* Progress inside one long write is seen in the queue's size only. */
    if (uv_stream_get_write_queue_size(&connection->uv.stream) < connection->write_left_seen) {
        watch_write(connection);
        return;
    }
    connection->server->stats.timeouts++;
    connection_close(connection);
}

static void write_done(uv_write_t *request, int status)
{
    struct write_job *job = request->data;
    struct connection *connection = job->connection;
    connection->queued_bytes -= job->size;
    if (status == 0)
        connection->server->stats.bytes_out += job->size;
    free(job->owned);
    free(job);
    if (connection->state == CONNECTION_CLOSING)
        return;
    if (status != 0) {
        connection_close(connection);
        return;
    }
    if (connection->queued_bytes > 0)
        watch_write(connection);
    else
        list_remove(&connection->write_link);
    if (connection->state == CONNECTION_IDLE && connection->input.size > 0 && !connection_is_output_full(connection))
        server_make_ready(connection->server, connection);
    file_body_go_on(connection);
    connection_settle(connection);
}

static void write_failed(struct connection *connection, char *owned)
{
    free(owned);
    connection_close(connection);
}

/* What is left of `head` and `body` behind the first `sent` bytes. */
static void queue_rest(struct connection *connection, struct bytes head, struct bytes body, char *owned, size_t sent)
{
    size_t head_sent = sent < head.size ? sent : head.size;
    head = (struct bytes){(const char *)head.data + head_sent, head.size - head_sent};
    if (sent > head_sent)
        body = (struct bytes){(const char *)body.data + (sent - head_sent), body.size - (sent - head_sent)};
    size_t copy_size = head.size + (owned == NULL ? body.size : 0);
    struct write_job *job = malloc(sizeof *job + copy_size);
    if (job == NULL) {
        write_failed(connection, owned);
        return;
    }
    job->request.data = job;
    job->connection = connection;
    job->owned = owned;
    job->size = head.size + body.size;
    if (head.size > 0)
        memcpy(job->copied, head.data, head.size);
    if (owned == NULL && body.size > 0)
        memcpy(job->copied + head.size, body.data, body.size);
    uv_buf_t parts[2] = {
        uv_buf_init(job->copied, (unsigned)copy_size),
        uv_buf_init(owned != NULL ? (char *)(uintptr_t)body.data : NULL, owned != NULL ? (unsigned)body.size : 0),
    };
    if (uv_write(&job->request, &connection->uv.stream, parts, parts[1].len > 0 ? 2 : 1, write_done) != 0) {
        free(job);
        write_failed(connection, owned);
        return;
    }
    connection->queued_bytes += job->size;
    if (list_is_empty(&connection->write_link))
        watch_write(connection);
}

/* What went out at once; false: the connection is broken. */
static bool try_write(struct connection *connection, struct bytes head, struct bytes body, size_t *ret_sent)
{
    uv_buf_t parts[2] = {
        uv_buf_init((char *)(uintptr_t)head.data, (unsigned)head.size),
        uv_buf_init((char *)(uintptr_t)body.data, (unsigned)body.size),
    };
    int sent = uv_try_write(&connection->uv.stream, parts, body.size > 0 ? 2 : 1);
    if (sent < 0 && sent != UV_EAGAIN)
        return false;
    *ret_sent = sent > 0 ? (size_t)sent : 0;
    connection->server->stats.bytes_out += *ret_sent;
    return true;
}

void connection_write(struct connection *connection, struct bytes head, struct bytes body, char *owned)
{
    size_t sent = 0;
    if (connection->state == CONNECTION_CLOSING) {
        free(owned);
        return;
    }
    if (connection->queued_bytes == 0 && !try_write(connection, head, body, &sent)) {
        write_failed(connection, owned);
        return;
    }
    if (sent == head.size + body.size)
        free(owned);
    else
        queue_rest(connection, head, body, owned, sent);
}

void connection_flush(struct connection *connection)
{
    struct buffer *batch = &connection->server->batch;
    assert(connection->server->current == connection);
    if (batch->size > 0)
        connection_write(connection, buffer_bytes(batch), (struct bytes){NULL, 0}, NULL);
    buffer_clear(batch);
}
