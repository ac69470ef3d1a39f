/* A cluster of one node on a loop of its own, over any backend, with a clock that can be moved and a disk that can fail. */
#ifndef CHRONOS_TESTS_CLUSTER_FIXTURE_H
#define CHRONOS_TESTS_CLUSTER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cluster/cluster.h"
#include "cluster/cluster_internal.h"

extern struct error failure; /* pass it to what OK() calls */
#define OK(expression)                                        \
    do {                                                      \
        if (expression)                                       \
            fail_msg("%s: %s", #expression, failure.message); \
    } while (0)

/* "lmdb", "sqlite" or "memory". Its writes can be made to fail, see below. */
const struct plugin_component *backend_of(const char *name);

/* Faults of the instances of one role (CHRONOS_STORAGE_LOG, CHRONOS_STORAGE_STATE), from any thread. */
enum fault { FAULT_NONE, FAULT_NO_SPACE, FAULT_IO };
void fault_set(int32_t role, enum fault fault);
uint64_t fault_count(void); /* how often one was met */
/* This process ends at the write (put, range of deletes, commit) to a store of the role that comes after so many; 0: the next one. */
void crash_at(int32_t role, uint32_t writes);
enum { CRASHED = 99 }; /* its exit code */

char *folder_new(void); /* freed by folder_free, with all in it */
void folder_free(char *folder);

struct outcome {
    uint32_t calls;
    enum status status;
    struct apply_result result;
};

struct node {
    uv_loop_t loop;
    uv_timer_t turn; /* so that a wait is a loop with a deadline */
    struct cluster *cluster;
    struct cluster_config config;
    char *folder;
    bool started, stopped, owns_folder;
    uint32_t leads, batches, changes, reads;
    struct state_position applied;
    bool inside; /* of cluster_propose: an outcome then is too early */
    /* outcomes by token */
    struct outcome *outcomes;
    uint64_t outcome_count, done, last_done;
    bool out_of_order;
};

struct node *node_new(const char *backend, char *folder); /* folder NULL: one of its own */
void node_start(struct node *node);                       /* opens, starts, waits until it leads */
void node_stop(struct node *node);                        /* and closes; may be started again */
void node_free(struct node *node);                        /* stopped or never started */
void clock_advance_ms(int64_t ms);                        /* monotonic and wall, of all nodes */

/* Turns the loop until the condition holds; fails the test after 30 s. */
void node_turn(struct node *node);
int64_t real_ms(void);
#define WAIT_UNTIL(node, condition)                                        \
    do {                                                                   \
        for (int64_t until_ = real_ms() + 30000; !(condition);) {          \
            if (real_ms() > until_)                                        \
                fail_msg("%s:%d: waited too long for %s", __FILE__, __LINE__, #condition); \
            node_turn(node);                                               \
        }                                                                  \
    } while (0)

/* Creates job number n: name "job<n>", id derived from n; its outcome lands in outcomes[n]. */
enum status node_propose(struct node *node, enum proposal_class class, uint64_t n, struct error *err);
void job_command(uint64_t n, uint32_t document_bytes, struct buffer *out);
struct id job_id(uint64_t n);
bool node_has_job(struct node *node, uint64_t n);
struct cluster_status node_status(struct node *node);
void count_read(void *arg, uint64_t token, const struct cluster_outcome *outcome); /* node->reads++ */

/* A store of `backend` in the folder, outside of any cluster. */
struct store *store_of(const char *backend, const char *directory, int32_t role);

#endif
