/* HTTP/1.1 server on one libuv loop: connections, limits, parsing, answers. It knows nothing of Chronos' resources.
 *
 * Source: RFC 9110, RFC 9112. All functions run on the loop thread. A handler gets a complete request and either answers at
 * once or keeps `token` and answers later; a token names {slot, generation}, so an answer to a connection that went away
 * is dropped, never misdirected. While one request of a connection is unanswered the next one is not parsed.
 * http_respond() never calls the handler. The process must ignore SIGPIPE: libuv writes with writev(2). */
#ifndef CHRONOS_HTTP_HTTP_H
#define CHRONOS_HTTP_HTTP_H

#include <uv.h>

#include "base/buffer.h"
#include "base/error.h"

/* (HTTP_GET and its like are llhttp's.) */
enum http_method { METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_PUT, METHOD_PATCH, METHOD_DELETE, METHOD_OPTIONS,
                   METHOD_COUNT };
const char *http_method_name(enum http_method method);

struct http_token {
    uint32_t slot;
    uint32_t generation;
};

struct http_header {
    struct bytes name; /* as received; compare without case */
    struct bytes value;
};

struct http_request {
    struct http_token token;
    enum http_method method; /* HEAD arrives as GET with `is_head`: the server cuts the body off the answer */
    bool is_head;
    bool is_loopback_peer; /* 127/8, ::1, or a unix socket */
    struct bytes path;  /* percent-decoded, always begins with '/', no NUL, no "." or ".." segment */
    struct bytes query; /* raw, behind '?'; empty where none */
    struct bytes host;  /* Host header (or absolute target) without port; "[::1]" keeps its brackets; may be empty */
    const struct http_header *headers;
    size_t header_count;
    struct bytes body;
    char request_id[40]; /* of X-Request-Id if it is 1..36 of [A-Za-z0-9_-], else made up */
};

/* Everything in the request is borrowed until the handler returns. */
typedef void (*http_handler)(void *arg, const struct http_request *request);

struct http_response {
    int status;
    const char *content_type; /* NULL where there is no body */
    struct bytes body;        /* copied unless `body_owned` */
    char *body_owned;         /* not NULL: freed with free() by the server when sent; `body.data` points into it */
    /* Instead of a body: the first `file_size` bytes of an open file. The server reads them piece by piece on libuv's pool as the client
     * takes them, and closes the descriptor whatever becomes of the answer. Where the file turns out to be shorter, or cannot be
     * read, the connection is closed: the client sees that bytes are missing. 503 while HTTP_FILES_MAX are being sent. */
    bool has_file;
    int file;
    uint64_t file_size;
    /* More headers, complete lines ("ETag: \"3\"\r\n..."); copied; checked for stray CR/LF by an assertion. */
    struct bytes headers;
    bool close;               /* close the connection afterwards */
};

struct http_limits {
    int64_t header_timeout_ms, body_timeout_ms, idle_timeout_ms, write_timeout_ms;
    uint32_t max_connections;      /* beyond: accepted, answered 503, closed */
    uint32_t max_connections_per_ip;
    uint64_t max_body_bytes;
    uint64_t max_bodies_total_bytes; /* all bodies being received together */
};

struct http_stats {
    uint64_t connections_accepted, connections_refused, requests, responses_by_class[6], bytes_in, bytes_out, timeouts;
    uint32_t connections_open, requests_waiting;
};

struct http_server;

/* `fallback_problem` writes the body of an error that the server itself answers (400, 408, 413, 431, 503 ...) into out. */
struct http_server_config {
    uv_loop_t *loop;
    struct http_limits limits;
    http_handler handler;
    void *handler_arg;
    void (*problem)(void *arg, enum status code, int http_status, const char *detail, const char *request_id,
                    struct buffer *out);
    void *problem_arg;
    /* Asked before a body is waited for, with everything that the headers say (token and request_id are not set yet). False: the
     * handler is called at once, without the body, must refuse, and the connection closes behind its answer. NULL: nobody is asked. */
    bool (*admit)(void *arg, const struct http_request *request);
    void *admit_arg;
    /* Appended to every answer, e.g. "X-Chronos-Node: a\r\nX-Chronos-Applied-Index: 7\r\n"; may be NULL. */
    void (*common_headers)(void *arg, struct buffer *out);
    void *common_headers_arg;
};

must_use enum status http_server_new(const struct http_server_config *config, struct http_server **ret, struct error *err);
/* "127.0.0.1:8080", "[::1]:8080", "0.0.0.0:0"; may be called more than once. *ret_port the bound port. No DNS. */
must_use enum status http_server_listen(struct http_server *server, const char *address, int *ret_port, struct error *err);
must_use enum status http_server_listen_unix(struct http_server *server, const char *path, struct error *err);
/* Stop accepting; idle connections close, others after their answer (with Connection: close). */
void http_server_drain(struct http_server *server);
/* Close everything; `closed` is called once, on the loop, when no handle is left; the server is freed after it returns. */
void http_server_close(struct http_server *server, void (*closed)(void *arg), void *arg);
void http_server_stats(const struct http_server *server, struct http_stats *ret);

/* Exactly one answer a token. A stale token is dropped (and body_owned freed). */
void http_respond(struct http_server *server, struct http_token token, const struct http_response *response);
/* True while the client of the token is still connected and unanswered. */
bool http_token_live(const struct http_server *server, struct http_token token);

/* --- helpers for handlers --- */
/* First header of the name (any case); data NULL where absent. */
struct bytes http_header_get(const struct http_request *request, const char *name);
/* Query parameters, percent-decoded ('+' is a space) into `out`. False where absent. A bad escape or a NUL gives
 * STATUS_MALFORMED through *ret_status (else STATUS_OK); a value beyond out_size gives STATUS_TOO_LARGE. */
bool http_query_get(const struct http_request *request, const char *name, char *out, size_t out_size,
                    enum status *ret_status);
/* Walk all parameters: *cursor starts at 0. Returns false at the end. Names and values decoded. */
bool http_query_next(const struct http_request *request, size_t *cursor, char *name, size_t name_size, char *value,
                     size_t value_size, enum status *ret_status);

#endif
