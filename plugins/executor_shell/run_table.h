/* One attempt, and the two collections that hold attempts: lists (intrusive) and the table by token. */
#ifndef EXECUTOR_SHELL_RUN_TABLE_H
#define EXECUTOR_SHELL_RUN_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "guardian_protocol.h"
#include "shell_job.h"

/* WAITING -> SPAWNING -> RUNNING -> LINGERING -> DONE; every state may go to DONE directly. */
enum run_state { RUN_WAITING, RUN_SPAWNING, RUN_RUNNING, RUN_LINGERING, RUN_DONE };

struct run;

/* The read end of one output pipe; what epoll hands back. */
struct output_pipe {
    struct run *run;
    int fd; /* -1: at its end */
    int32_t stream;
};

struct run {
    struct run *bucket_next;   /* run_table */
    struct run *previous, *next; /* the one list it stands in */
    struct run *cancel_next;   /* supervisor's inbox of cancels; see cancel_posted */
    struct shell_job job;
    uint64_t token;
    enum run_state state;
    pid_t pid;
    struct output_pipe pipes[2];

    bool cancel_posted; /* in the inbox: guarded by the supervisor's lock, with the two below */
    int32_t posted_reason;
    uint64_t posted_grace_ms;

    int32_t cancel_reason;  /* 0: not cancelled */
    int pending_signal;     /* to be sent to the group; 0: none */
    int64_t deadline_ns;    /* KILL (cancelled) or end of the wait for output (LINGERING); 0: none */
    struct guardian_report exit;
};

struct run_list {
    struct run *first, *last;
};
void run_list_append(struct run_list *list, struct run *run);
void run_list_remove(struct run_list *list, struct run *run);
struct run *run_list_take(struct run_list *list); /* the first, or NULL */

enum { RUN_TABLE_BUCKETS = 1024 };
struct run_table {
    struct run *buckets[RUN_TABLE_BUCKETS];
};
void run_table_add(struct run_table *table, struct run *run);
void run_table_remove(struct run_table *table, struct run *run);
struct run *run_table_find(const struct run_table *table, uint64_t token);

#endif
