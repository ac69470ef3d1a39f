/* HTTP to one of several servers: the first that can be reached answers this and the following requests. */
#ifndef CHRONOS_CTL_CLIENT_H
#define CHRONOS_CTL_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/file.h"

enum {
    CLIENT_SERVERS_MAX = 16,
    CLIENT_ANSWER_MAX = 80 << 20, /* bytes of one answer: the server's own largest is 64 MiB */
    CLIENT_CONNECT_MS = 5000,     /* then the next server is tried */
};

struct request {
    const char *method; /* "GET" */
    const char *path;   /* with its query, percent-encoded: "/api/v1/jobs?limit=5" */
    const char *body;   /* JSON, or NULL */
    const char *if_match; /* NULL: none */
    struct file_draft *save; /* NULL: none. The body of a 2xx answer goes there instead of into the response, however long that takes
                                as long as bytes come: the time-out is that of a standstill */
    bool repeatable;      /* a POST that does no harm when it arrives twice: sent again as a PUT is */
    bool once;            /* a POST that would: it gets an Idempotency-Key, and is then sent again as a PUT is, also where an answer is lost */
};

struct response {
    int status;
    struct buffer body;
    uint64_t saved;          /* bytes that went to request.save */
    char etag[128];          /* "" where none */
    int64_t retry_after_ms;  /* -1 where none */
    int64_t output_total;    /* X-Chronos-Output-Total; -1 where none */
    bool output_complete;    /* X-Chronos-Output-Complete: true */
    bool is_problem;         /* application/problem+json */
};
void response_deinit(struct response *response); /* accepts a zeroed one */

struct client;

/* `servers`: URLs with commas between; "host:port" and "unix:///path" are URLs too. INVALID with a sentence. */
must_use enum status client_new(const char *servers, int64_t timeout_ms, struct client **ret, struct error *err);
void client_free(struct client *client); /* accepts NULL */
/* Every request from now on says "Authorization: Bearer <token>"; copied. Redirects are not followed, so it goes to the servers of
 * the list alone. `token` is one as token_is_sound says. */
must_use enum status client_set_token(struct client *client, struct bytes token, struct error *err);

/* OK: a server answered, whatever its status. IO or TIMEOUT: none did, and *err says which URL, why, and what to do.
 * GET, PUT and DELETE are sent again while the answer is 503 with Retry-After, until the time-out. */
must_use enum status client_call(struct client *client, const struct request *request, struct response *ret,
                                 struct error *err);
const char *client_server(const struct client *client); /* the one that answered last, without credentials */

/* Paths: the segment or value percent-encoded. The first query parameter brings the "?". */
void path_append(struct buffer *path, const char *segment);
void query_append(struct buffer *path, const char *name, const char *value);

#endif
