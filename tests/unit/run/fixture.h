/* A node without a scheduler: a real cluster of one on a temporary folder, a runner, and the probe executor. */
#ifndef CHRONOS_TESTS_RUN_FIXTURE_H
#define CHRONOS_TESTS_RUN_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/file.h"
#include "run/runner.h"

#define OK(call) ok((call), #call, __FILE__, __LINE__)
void ok(enum status status, const char *call, const char *file, int line);
extern struct error failure;

#define NODE "node-1"

struct node {
    char directory[256], journal[300];
    uv_loop_t loop;
    uv_timer_t tick;  /* so that the loop turns while a condition is waited for */
    struct cluster *cluster;
    struct runner *runner;
    struct id_source ids;
    bool drained, stopped, answered;
    struct apply_result result;
};

struct node_options {
    uint32_t replicated_bytes;
    int64_t captured_bytes, grace_ms, write_off_ms, wedged_ms, retention_ms;
    int64_t lease_ms; /* 0: no lease is needed; else the test grants it, for the cluster sends no beats */
};
extern const struct node_options node_defaults;
/* The runner's monotonic clock shows so much more than the loop's. */
extern _Atomic int64_t clock_shift_ms;

const struct plugin_component *backend(void);
void temporary_directory(char out[256]);
void remove_directory(const char *directory);

void node_open(struct node *node, const char *directory, const struct node_options *options); /* up and announced */
void node_open_unannounced(struct node *node, const char *directory, const struct node_options *options);
void node_close(struct node *node); /* drain with no patience, stop, free */
void node_drain(struct node *node, int64_t timeout_ms);
void node_stop(struct node *node); /* the cluster alone */

/* Turns the loop until the condition holds; fails the test after 20 s. */
#define node_wait(node, condition)                                                                   \
    do {                                                                                             \
        uint64_t node_wait_until = uv_hrtime() + UINT64_C(20000000000);                              \
        while (!(condition)) {                                                                       \
            if (uv_hrtime() > node_wait_until)                                                       \
                fail_msg("%s:%d: waited in vain for %s", __FILE__, __LINE__, #condition);            \
            (void)uv_run(&(node)->loop, UV_RUN_ONCE);                                                \
        }                                                                                            \
    } while (0)

/* Proposes and waits for the result. */
struct apply_result node_propose(struct node *node, const struct buffer *command);
/* A job whose document is {"name":..., <members>}. */
struct id node_job(struct node *node, const char *name, const char *members);
/* A manual run on this node. */
struct id node_trigger(struct node *node, const struct id *job, const char *overrides);
void node_cancel(struct node *node, const struct id *execution);

/* How a run stands in the state. */
bool run_ended(struct node *node, const struct id *execution);
bool run_in_phase(struct node *node, const struct id *execution, enum run_phase phase);
enum run_status run_outcome(struct node *node, const struct id *execution); /* it must have ended */
struct open_run run_open(struct node *node, const struct id *execution);    /* it must be open; without borrowed parts */
cJSON *run_json(struct node *node, const struct id *execution);             /* it must have ended; cJSON_Delete */
void assert_json_string(const cJSON *object, const char *key, const char *expected);
void assert_json_int(const cJSON *object, const char *key, int64_t expected);
struct node_row node_row_of(struct node *node);

bool journal_has(const struct node *node, const char *text);
uint32_t journal_count(const struct node *node, const char *text);
/* A path inside of the node's folder; touch makes the file. */
void gate_path(const struct node *node, const char *name, char out[300]);
void gate_open(const struct node *node, const char *name);

#endif
