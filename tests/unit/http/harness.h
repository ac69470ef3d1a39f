/* A server on a loop that the test steps itself, and plain sockets that talk to it, all in one thread. Waiting is for
 * events of the loop or of the socket, never for time to pass. */
#ifndef CHRONOS_TESTS_HTTP_HARNESS_H
#define CHRONOS_TESTS_HTTP_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/http.h"

enum { KEPT_TOKENS_MAX = 4096, CLIENT_BYTES_MAX = 64 << 20 };

struct harness {
    uv_loop_t loop;
    struct http_server *server;
    int port;
    bool is_closed;
    struct http_token kept[KEPT_TOKENS_MAX]; /* of requests to /later */
    size_t kept_count;
    size_t handled_count;
    bool is_in_respond; /* the handler must not be called from within http_respond() */
    uintptr_t stack_low, stack_high;
    char last_request_id[40];
    bool last_is_loopback;
    void (*on_request)(struct harness *h, const struct http_request *request); /* for /hook */
};

/* Generous, except what a test sets. */
struct http_limits harness_limits(void);
void harness_start(struct harness *h, const struct http_limits *limits);
/* Closes the server and asserts that not one handle is left. */
void harness_stop(struct harness *h);
void harness_step(struct harness *h, int fd, int at_most_ms); /* one turn, waiting for the loop or the socket */
void harness_settle(struct harness *h);                       /* turn until nothing is ready */
void harness_answer(struct harness *h, struct http_token token, const char *text);
struct http_stats harness_stats(struct harness *h);
uint64_t now_ms(void);

/* --- a client --- */

struct client {
    int fd;
    struct buffer in;
    bool is_eof, is_reset;
};
void client_connect(struct harness *h, struct client *c);
void client_adopt(struct client *c, int fd);
void client_close(struct client *c);
/* False: the peer takes no more. Steps the loop while the socket is full. */
bool client_send(struct harness *h, struct client *c, const void *data, size_t size);
/* Each byte is with the server before the next is sent; stops where the server closes. */
void client_send_bytewise(struct harness *h, struct client *c, const void *data, size_t size);
void client_take(struct client *c); /* what is there now */

struct answer {
    int status;
    struct bytes head; /* status line and headers */
    struct bytes body;
    bool close;
};
/* The answer at *at in what came in so far; false: not complete. `is_head`: no body follows. */
bool answer_next(const struct client *c, size_t *at, bool is_head, struct answer *ret);
/* Waits (30 s at most, then fails). */
struct answer client_await(struct harness *h, struct client *c, size_t *at, bool is_head);
void client_await_eof(struct harness *h, struct client *c);
/* "Name: value" is a line of the head. */
bool answer_has(const struct answer *a, const char *line);

#endif
