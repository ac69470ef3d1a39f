/* One node of a cluster that is not there: its API over a real state, with the cluster replaced by the linker. What others commit
 * can be held back, as on a node that lags, and what they commit behind a write can be applied before that is answered. */
#ifndef CHRONOS_TESTS_API_WORLD_H
#define CHRONOS_TESTS_API_WORLD_H

#include "../state/fixture.h"
#include "api/api.h"
#include "support.h"

enum { WORLD_COMMANDS_MAX = 32, WORLD_BODY_MAX = 4096 };

struct answer {
    uint32_t count; /* must be 1 */
    int status;
    char headers[512], body[WORLD_BODY_MAX];
};

struct world {
    struct fixture *f;
    struct support *support;
    struct api *api;
    uv_loop_t loop;
    /* Committed by others: not applied here before a read index or the answer to a write, and behind the next write. */
    struct buffer behind[WORLD_COMMANDS_MAX], after[WORLD_COMMANDS_MAX];
    uint32_t behind_count, after_count;
    uint32_t reads, proposals;      /* that the cluster was asked for */
    enum status refuses_reads, fails_reads; /* at once, and later */
    bool is_stuck;                  /* writes are answered with `stuck_at`, and not applied here */
    struct apply_result stuck_at;
    const char *refused_command;    /* by the executor's own check */
    const char *keys[2];            /* Idempotency-Key of requests; NULL: none */
    const char *token;              /* "Bearer ..."; NULL: none */
    struct answer answer;
};
extern struct world world;

int world_setup(void **state);
int world_teardown(void **state);

/* Sends a request, plays the cluster until it is answered. `if_match`, `body` may be NULL; `path` may have a query. */
void ask(enum http_method method, const char *path, const char *if_match, const char *body);
/* The same in two halves: what is sent need not be answered yet, and others may ask before `play`. */
void send_request(enum http_method method, const char *path, const char *if_match, const char *body);
void play(void);
/* The write that was sent is committed, which this node hears of later (`ret_command`), and so is not told to the client. */
void lose_answer(struct buffer *ret_command);
/* The answer's status and, if not NULL, words of its body. */
void expect(int status, const char *words);
void expect_etag(const char *etag); /* "\"3\"" */

/* The next place for a command of others in world.behind, world.after. */
struct buffer *behind(void);
struct buffer *after(void);

/* A job through the API: named `name`, described as "first". */
struct id make_job(const char *name);
/* Commands of others. */
void theirs_put(struct buffer *command, const struct id *id, uint32_t expected_version, const char *name, const char *description);
void theirs_delete(struct buffer *command, const struct id *id);

#endif
