/* Answers whose body is a file: a piece is read on libuv's pool when there is room in the output, so that a slow client costs two
 * pieces of memory and the loop never waits for the disk. */
#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "http/internal.h"

enum { PIECE_SIZE = 128 * 1024 };

struct file_body {
    uv_fs_t read;
    struct http_server *server;
    struct connection *connection; /* NULL: it was closed while a piece was read */
    int fd;
    uint64_t offset, left;
    bool keep;                     /* the connection, behind it */
    bool is_reading;
    char *piece;
};

static void release(struct file_body *file)
{
    file->server->files_open--;
    (void)close(file->fd); /* it was only read */
    free(file->piece);
    free(file);
}

void file_body_abandon(struct connection *connection)
{
    struct file_body *file = connection->file;
    connection->file = NULL;
    if (file == NULL)
        return;
    file->connection = NULL;
    if (!file->is_reading)
        release(file);
}

static void finish(struct connection *connection)
{
    bool keep = connection->file->keep && !connection->is_peer_done && !connection->server->is_draining;
    file_body_abandon(connection);
    connection_answered(connection, keep);
}

/* The piece is in memory; or there is none, for the file is shorter than it was or the disk fails: what was promised cannot be kept. */
static void take_piece(struct file_body *file, ssize_t size)
{
    struct connection *connection = file->connection;
    char *piece = file->piece;
    file->piece = NULL;
    if (size <= 0) {
        free(piece);
        connection_close(connection);
        return;
    }
    file->offset += (uint64_t)size;
    file->left -= (uint64_t)size;
    connection_write(connection, (struct bytes){NULL, 0}, (struct bytes){piece, (size_t)size}, piece);
    if (connection->state != CONNECTION_CLOSING)
        file_body_go_on(connection);
}

static void on_read(uv_fs_t *request)
{
    struct file_body *file = request->data;
    struct http_server *server = file->server;
    ssize_t size = request->result;
    uv_fs_req_cleanup(request);
    file->is_reading = false;
    if (file->connection == NULL)
        release(file);
    else
        take_piece(file, size);
    server_handle_closed(server);
}

void file_body_go_on(struct connection *connection)
{
    struct file_body *file = connection->file;
    if (file == NULL || file->is_reading || connection->queued_bytes >= PIECE_SIZE)
        return;
    if (file->left == 0) {
        finish(connection);
        return;
    }
    size_t size = file->left < PIECE_SIZE ? (size_t)file->left : PIECE_SIZE;
    file->piece = malloc(size);
    uv_buf_t room = uv_buf_init(file->piece, (unsigned)size);
    file->read.data = file;
    if (file->piece == NULL || uv_fs_read(connection->server->config.loop, &file->read, file->fd, &room, 1, (int64_t)file->offset,
                                          on_read) != 0) {
        connection_close(connection);
        return;
    }
    file->is_reading = true;
    connection->server->handle_count++; /* the server stays until the pool is done with it */
}

bool file_body_begin(struct connection *connection, int fd, uint64_t size, bool keep)
{
    struct http_server *server = connection->server;
    assert(connection->file == NULL);
    struct file_body *file = server->files_open < HTTP_FILES_MAX ? calloc(1, sizeof *file) : NULL;
    if (file == NULL)
        return false;
    *file = (struct file_body){.server = server, .connection = connection, .fd = fd, .left = size, .keep = keep};
    connection->file = file;
    server->files_open++;
    return true;
}
