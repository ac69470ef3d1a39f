/* Listening sockets, and admission: who may connect, and how many. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/address.h"
#include "base/log.h"
#include "http/internal.h"

enum { ACCEPT_WARN_INTERVAL_MS = 10 * 1000, UNIX_SOCKET_MODE = 0660 };

/* --- TCP addresses --- */

static enum status address_parse(const char *text, struct sockaddr_storage *ret, struct error *err)
{
    struct address address;
    const char *wrong = address_split(text, &address);
    if (wrong != NULL || (address.kind != ADDRESS_IPV4 && address.kind != ADDRESS_IPV6))
        return error_set(err, STATUS_INVALID, "\"%s\" is not an address such as 127.0.0.1:8080 or [::1]:8080", text);
    address_to_sockaddr(&address, ret);
    return STATUS_OK;
}

/* --- listeners --- */

static void listener_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;
    struct http_server *server = listener->server;
    free(listener);
    server_handle_closed(server);
}

static void listener_close(struct listener *listener)
{
    if (listener->unix_path != NULL) {
        (void)unlink(listener->unix_path); /* a file that stays is found stale at the next start */
        free(listener->unix_path);
        listener->unix_path = NULL;
    }
    uv_close(&listener->uv.handle, listener_closed);
}

void listeners_close(struct http_server *server)
{
    while (server->listeners != NULL) {
        struct listener *listener = server->listeners;
        server->listeners = listener->next;
        listener_close(listener);
    }
}

static struct listener *listener_new(struct http_server *server, struct error *err)
{
    assert(!server->is_closing && !server->is_draining);
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL) {
        (void)error_set(err, STATUS_NO_MEMORY, "out of memory"); /* told by NULL */
        return NULL;
    }
    listener->server = server;
    return listener;
}

/* From here on the handle lives, and failure must close it. */
static void listener_adopt(struct listener *listener)
{
    listener->uv.handle.data = listener;
    listener->server->handle_count++;
}

static enum status listen_failed(const char *where, int failed, struct error *err)
{
    if (failed == UV_EADDRINUSE)
        return error_set(err, STATUS_IO, "listen on %s: in use by another program; stop it, or choose another address",
                         where);
    return error_set_errno(err, STATUS_IO, -failed, "listen on %s", where);
}

static enum status listener_start(struct listener *listener, const char *where, struct error *err)
{
    int failed = uv_listen(&listener->uv.stream, LISTEN_BACKLOG, server_accept);
    if (failed != 0)
        return listen_failed(where, failed, err);
    listener->next = listener->server->listeners;
    listener->server->listeners = listener;
    return STATUS_OK;
}

static enum status bound_port(const struct listener *listener, const char *where, int *ret_port, struct error *err)
{
    struct sockaddr_storage name;
    int size = sizeof name;
    int failed = uv_tcp_getsockname(&listener->uv.tcp, (struct sockaddr *)&name, &size);
    if (failed != 0)
        return listen_failed(where, failed, err); /* libuv keeps a failed bind until now */
    *ret_port = sockaddr_port(&name);
    return STATUS_OK;
}

enum status http_server_listen(struct http_server *server, const char *address, int *ret_port, struct error *err)
{
    struct sockaddr_storage name;
    int port = 0;
    enum status status = address_parse(address, &name, err);
    if (status != STATUS_OK)
        return status;
    struct listener *listener = listener_new(server, err);
    if (listener == NULL)
        return err->code;
    (void)uv_tcp_init(server->config.loop, &listener->uv.tcp); /* always 0 without a flag */
    listener_adopt(listener);
    int failed = uv_tcp_bind(&listener->uv.tcp, (const struct sockaddr *)&name, 0);
    if (failed != 0)
        status = error_set_errno(err, STATUS_IO, -failed, "bind %s", address);
    if (status == STATUS_OK)
        status = bound_port(listener, address, &port, err);
    if (status == STATUS_OK)
        status = listener_start(listener, address, err);
    if (status != STATUS_OK) {
        listener_close(listener);
        return status;
    }
    if (ret_port != NULL)
        *ret_port = port;
    return STATUS_OK;
}

/* --- unix sockets --- */

/* Whether somebody answers there. A full backlog (EAGAIN) is somebody, too. */
static bool somebody_listens(const struct sockaddr_un *name)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return true; /* cannot tell: do not take the file away */
    bool refused = connect(fd, (const struct sockaddr *)name, sizeof *name) != 0 && errno == ECONNREFUSED;
    (void)close(fd); /* nothing was written to it */
    return !refused;
}

static enum status remove_stale_socket(const struct sockaddr_un *name, struct error *err)
{
    struct stat info;
    if (lstat(name->sun_path, &info) != 0) {
        if (errno == ENOENT)
            return STATUS_OK;
        return error_set_errno(err, STATUS_IO, errno, "look at %s", name->sun_path);
    }
    if (!S_ISSOCK(info.st_mode))
        return error_set(err, STATUS_EXISTS, "%s exists and is not a socket", name->sun_path);
    if (somebody_listens(name))
        return error_set(err, STATUS_BUSY, "another process listens on %s", name->sun_path);
    if (unlink(name->sun_path) != 0 && errno != ENOENT)
        return error_set_errno(err, STATUS_IO, errno, "remove the stale socket %s", name->sun_path);
    return STATUS_OK;
}

/* The mode is set on the socket before bind, which Linux carries over to the file: at no moment may others connect. */
static enum status unix_bind(const struct sockaddr_un *name, int *ret_fd, struct error *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set_errno(err, STATUS_IO, errno, "open a unix socket");
    if (fchmod(fd, UNIX_SOCKET_MODE) != 0 || bind(fd, (const struct sockaddr *)name, sizeof *name) != 0) {
        (void)error_set_errno(err, STATUS_IO, errno, "bind %s", name->sun_path); /* returned below */
        (void)close(fd);
        return err->code;
    }
    if (chmod(name->sun_path, UNIX_SOCKET_MODE) != 0) { /* again, for what the umask took away */
        (void)error_set_errno(err, STATUS_IO, errno, "set the mode of %s", name->sun_path); /* returned below */
        (void)close(fd);
        (void)unlink(name->sun_path);
        return err->code;
    }
    *ret_fd = fd;
    return STATUS_OK;
}

static enum status unix_open(struct listener *listener, const struct sockaddr_un *name, struct error *err)
{
    int fd = -1;
    listener->unix_path = strdup(name->sun_path);
    if (listener->unix_path == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    enum status status = unix_bind(name, &fd, err);
    if (status != STATUS_OK) {
        free(listener->unix_path); /* the file there, if any, is not ours */
        listener->unix_path = NULL;
        return status;
    }
    int failed = uv_pipe_open(&listener->uv.pipe, fd);
    if (failed != 0) {
        (void)close(fd);
        return error_set_errno(err, STATUS_IO, -failed, "open %s", name->sun_path);
    }
    return listener_start(listener, name->sun_path, err);
}

enum status http_server_listen_unix(struct http_server *server, const char *path, struct error *err)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    if (path[0] == '\0' || strlen(path) >= sizeof name.sun_path)
        return error_set(err, STATUS_INVALID, "the socket path \"%s\" must be 1 to %zu bytes", path,
                         sizeof name.sun_path - 1);
    memcpy(name.sun_path, path, strlen(path) + 1);
    enum status status = remove_stale_socket(&name, err);
    if (status != STATUS_OK)
        return status;
    struct listener *listener = listener_new(server, err);
    if (listener == NULL)
        return err->code;
    (void)uv_pipe_init(server->config.loop, &listener->uv.pipe, 0); /* always 0 */
    listener_adopt(listener);
    status = unix_open(listener, &name, err);
    if (status != STATUS_OK)
        listener_close(listener);
    return status;
}

/* --- the count of connections of one address --- */

struct address_count {
    uint8_t address[16];
    uint32_t count;
};

static bool address_take(struct http_server *server, struct connection *connection)
{
    struct address_count *entry = map_get(&server->addresses, connection->address, sizeof connection->address);
    if (entry == NULL) {
        entry = calloc(1, sizeof *entry);
        if (entry == NULL)
            return false;
        memcpy(entry->address, connection->address, sizeof entry->address);
        if (map_put(&server->addresses, entry->address, sizeof entry->address, entry, NULL) != STATUS_OK) {
            free(entry);
            return false;
        }
    }
    if (entry->count >= server->config.limits.max_connections_per_ip)
        return false;
    entry->count++;
    connection->has_address = true;
    return true;
}

void server_address_release(struct http_server *server, struct connection *connection)
{
    if (!connection->has_address)
        return;
    connection->has_address = false;
    struct address_count *entry = map_get(&server->addresses, connection->address, sizeof connection->address);
    assert(entry != NULL && entry->count > 0);
    if (--entry->count > 0)
        return;
    (void)map_remove(&server->addresses, entry->address, sizeof entry->address); /* it is `entry` */
    free(entry);
}

static void note_peer(struct connection *connection)
{
    static const uint8_t v4_prefix[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t v6_loopback[16] = {[15] = 1};
    struct sockaddr_storage name;
    int size = sizeof name;
    if (connection->is_pipe) {
        connection->is_loopback = true; /* a unix socket's peer is on this machine */
        return;
    }
    if (uv_tcp_getpeername(&connection->uv.tcp, (struct sockaddr *)&name, &size) != 0)
        return; /* gone already: counted under ::, closed by the first read */
    if (name.ss_family == AF_INET6) {
        memcpy(connection->address, &((struct sockaddr_in6 *)(void *)&name)->sin6_addr, 16);
    } else {
        memcpy(connection->address, v4_prefix, 12);
        memcpy(connection->address + 12, &((struct sockaddr_in *)(void *)&name)->sin_addr, 4);
    }
    connection->is_loopback = memcmp(connection->address, v6_loopback, 16) == 0 ||
                              (memcmp(connection->address, v4_prefix, 12) == 0 && connection->address[12] == 127);
}

/* --- accepting --- */

static const struct request_reject too_many_in_all = {STATUS_OVERLOADED, 503, "too many connections"};
static const struct request_reject too_many_of_one = {STATUS_TOO_MANY, 429, "too many connections from this address"};

static const struct request_reject *admit(struct http_server *server, struct connection *connection)
{
    if (server->admitted_count >= server->config.limits.max_connections)
        return &too_many_in_all;
    if (!connection->is_loopback && !address_take(server, connection))
        return &too_many_of_one;
    connection->is_admitted = true;
    server->admitted_count++;
    return NULL;
}

static struct connection *connection_new(struct http_server *server, bool is_pipe)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        return NULL;
    connection->server = server;
    connection->is_pipe = is_pipe;
    if (!server_slot_take(server, connection)) {
        free(connection);
        return NULL;
    }
    list_init(&connection->deadline_link);
    list_init(&connection->write_link);
    list_init(&connection->ready_link);
    if (is_pipe)
        (void)uv_pipe_init(server->config.loop, &connection->uv.pipe, 0); /* both always 0 */
    else
        (void)uv_tcp_init(server->config.loop, &connection->uv.tcp);
    connection->uv.handle.data = connection;
    server->handle_count++;
    server->stats.connections_open++;
    return connection;
}

static void accept_failed(struct http_server *server, int failed)
{
    uint64_t now = uv_now(server->config.loop);
    server->stats.connections_refused++;
    if (server->accept_warned_ms != 0 && now - server->accept_warned_ms < ACCEPT_WARN_INTERVAL_MS)
        return;
    server->accept_warned_ms = now;
    LOG_WARN("http connection not accepted", LOG_STRING("reason", uv_strerror(failed)));
}

static bool accept_is_hopeless(const struct http_server *server)
{
    uint32_t refused = server->stats.connections_open - server->admitted_count;
    return refused > HTTP_REFUSED_MAX;
}

void listeners_retry(struct http_server *server)
{
    server->is_accept_owed = false;
    for (struct listener *listener = server->listeners; listener != NULL; listener = listener->next) {
        if (listener->is_accept_owed) {
            listener->is_accept_owed = false;
            server_accept(&listener->uv.stream, 0);
        }
    }
}

void server_accept(uv_stream_t *stream, int status)
{
    struct listener *listener = stream->data;
    struct http_server *server = listener->server;
    if (status != 0) {
        accept_failed(server, status);
        return;
    }
    struct connection *connection = connection_new(server, listener->uv.handle.type == UV_NAMED_PIPE);
    if (connection == NULL) {
        /* libuv watches this listener again only after uv_accept: the tick tries it. */
        accept_failed(server, UV_ENOMEM);
        listener->is_accept_owed = server->is_accept_owed = true;
        server_start_tick(server);
        return;
    }
    int failed = uv_accept(stream, &connection->uv.stream);
    if (failed != 0) {
        accept_failed(server, failed);
        connection_close(connection);
        return;
    }
    server_start_tick(server);
    note_peer(connection);
    const struct request_reject *why = admit(server, connection);
    if (why == NULL) {
        server->stats.connections_accepted++;
        connection_begin(connection);
        return;
    }
    server->stats.connections_refused++;
    if (accept_is_hopeless(server))
        connection_close(connection);
    else
        connection_refuse(connection, why);
}
