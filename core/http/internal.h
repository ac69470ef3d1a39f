/* What the .c files of the server share. Loop thread only.
 *
 * Life of the bytes: a read lands in the server's one 64 KiB buffer and is parsed there; only what cannot be used yet
 * is copied into the connection (`input`), as is a header block whose body needs more reads (`head`). Answers made
 * while a read is being worked off are gathered in `batch` and leave in one write; an answer that comes later goes
 * through `single`. http_respond() never calls a handler: requests that waited behind the answer are parsed from the
 * loop. */
#ifndef CHRONOS_HTTP_INTERNAL_H
#define CHRONOS_HTTP_INTERNAL_H

#include "base/id.h"
#include "base/map.h"
#include "http/http.h"
#include "http/request.h"

enum {
    READ_BUFFER_SIZE = 64 * 1024,
    TICK_MS = 500,
    LISTEN_BACKLOG = 1024,
    BATCH_FLUSH_SIZE = 64 * 1024, /* a batch of answers leaves at this size at the latest */
    BODY_INLINE_MAX = 16 * 1024,  /* a larger answer body is not copied into the batch */
    DATE_LINE_SIZE = 40,
};

/*           state      successors                                          */
#define CONNECTION_STATES(X)                                                  \
    X(IDLE,      TO(HEADER) | TO(LAST) | TO(CLOSING)) /* between requests */  \
    X(HEADER,    TO(BODY) | TO(WAITING) | TO(LAST) | TO(CLOSING))             \
    X(BODY,      TO(WAITING) | TO(LAST) | TO(CLOSING))                        \
    X(WAITING,   TO(IDLE) | TO(SENDING) | TO(LAST) | TO(CLOSING)) /* for the handler */ \
    X(SENDING,   TO(IDLE) | TO(LAST) | TO(CLOSING))   /* a file leaves */     \
    X(LAST,      TO(DRAINING) | TO(CLOSING))          /* last answer leaves */ \
    X(DRAINING,  TO(CLOSING))                         /* our side is shut */  \
    X(CLOSING,   0)                                   /* uv_close was called */

enum connection_state {
#define X(name, successors) CONNECTION_##name,
    CONNECTION_STATES(X)
#undef X
    CONNECTION_STATE_COUNT
};

struct list {
    struct list *next, *previous;
};

struct connection {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    uv_shutdown_t shutdown;
    struct http_server *server;
    uint32_t slot;
    enum connection_state state;

    struct list deadline_link; /* in server->deadlines[state] */
    struct list write_link;    /* in server->write_deadlines while output is queued */
    struct list ready_link;    /* in server->ready */
    uint64_t deadline_ms, write_deadline_ms; /* uv_now() */
    size_t write_left_seen;                  /* queue size when write_deadline_ms was set */
    size_t queued_bytes;                     /* given to uv_write and not done */

    struct file_body *file; /* SENDING: what leaves */
    struct buffer input; /* bytes not parsed yet */
    struct buffer head;  /* header block of the request whose body arrives */
    struct buffer body;
    struct request_scan scan;
    struct request_witness witness;
    struct chunk_decoder chunks;
    uint64_t body_expected, body_started_ms;

    bool is_pipe, is_reading, is_admitted, is_loopback, has_address, is_peer_done, is_shutdown_sent;
    /* of the present request: */
    bool is_chunked, is_head, is_version_1_0, keep_alive;
    char request_id[40];
    uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
};

/* A token is valid while its generation is the slot's; every request and every close bumps it. */
struct slot {
    struct connection *connection; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
};

struct listener {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    struct http_server *server;
    struct listener *next;
    char *unix_path; /* removed when the listener closes; NULL for TCP */
    bool is_accept_owed; /* a connection could not be taken for want of memory */
};

struct http_server {
    struct http_server_config config;
    struct http_stats stats;
    uv_timer_t tick;
    uv_idle_t resume; /* runs only while `ready` holds something */
    struct listener *listeners;
    uint32_t handle_count; /* not yet reported closed */
    bool is_draining, is_closing, is_tick_running, is_accept_owed;
    void (*closed)(void *arg);
    void *closed_arg;

    struct slot *slots;
    uint32_t slot_count, slot_free; /* slot_free == slot_count: none */
    uint32_t admitted_count, files_open;
    struct map addresses; /* of struct address_count: connections that are not from loopback */

    struct list deadlines[CONNECTION_STATE_COUNT];
    struct list write_deadlines;
    struct list ready;

    struct connection *current; /* whose input is being worked off; answers to it go to `batch` */
    struct buffer batch, single, problem;
    uint64_t bodies_bytes;      /* held by bodies that are being received */
    struct id_source ids;
    int64_t date_second;
    char date_line[DATE_LINE_SIZE];
    uint64_t accept_warned_ms;

    struct request_head parsed; /* of the request being handled */
    char read_buffer[READ_BUFFER_SIZE];
};

/* --- lists --- */
void list_init(struct list *l);
void list_append(struct list *l, struct list *node); /* takes it out of where it is first */
void list_remove(struct list *node);                 /* a node that is in no list is left alone */
bool list_is_empty(const struct list *l);

/* --- server.c --- */
void server_handle_closed(struct http_server *server);
void server_start_tick(struct http_server *server);
must_use bool server_slot_take(struct http_server *server, struct connection *connection);
void server_slot_give(struct http_server *server, struct connection *connection);
void server_make_ready(struct http_server *server, struct connection *connection);

/* --- listen.c --- */
void server_accept(uv_stream_t *stream, int status);
void listeners_close(struct http_server *server);
void listeners_retry(struct http_server *server); /* those that owe an uv_accept */
void server_address_release(struct http_server *server, struct connection *connection);

/* --- connection.c --- */
void connection_begin(struct connection *connection);
void connection_close(struct connection *connection);
void connection_resume(struct connection *connection);  /* parse what waits in `input`; from the loop only */
void connection_settle(struct connection *connection);  /* after output: half-close, or read on */
void connection_expire(struct connection *connection);  /* its deadline passed */
void connection_drain(struct connection *connection);   /* the server drains */
void connection_refuse(struct connection *connection, const struct request_reject *why);
void connection_answered(struct connection *connection, bool keep); /* its answer is in the batch, or written */
void connection_sending(struct connection *connection); /* the head is, and a file follows */
uint64_t connection_now(const struct connection *connection);

/* --- write.c --- */
/* Send what `batch` holds for the current connection. */
void connection_flush(struct connection *connection);
/* `head`, then `body`, in order behind what is queued. `owned` (may be NULL) is freed when sent or failed; `body`
 * points into it. Without it the body is copied as far as it cannot leave at once. A write error closes the
 * connection. */
void connection_write(struct connection *connection, struct bytes head, struct bytes body, char *owned);
bool connection_is_output_full(const struct connection *connection);
void connection_write_expire(struct connection *connection);

/* --- file.c --- */
/* `fd` belongs to the connection from now on. False: HTTP_FILES_MAX leave already, or no memory; it does not. */
must_use bool file_body_begin(struct connection *connection, int fd, uint64_t size, bool keep);
void file_body_go_on(struct connection *connection); /* there may be room for more; nothing happens where there is no file */
void file_body_abandon(struct connection *connection);

/* --- response.c --- */
/* The one way out for answers: serialises, sends or gathers, and moves the connection on. Takes `body_owned`. */
void connection_answer(struct connection *connection, const struct http_response *response);
void connection_answer_problem(struct connection *connection, const struct request_reject *why);

#endif
