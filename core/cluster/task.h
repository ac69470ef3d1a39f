/* A long piece of work on a thread of its own, whose end is told on the loop. */
#ifndef CHRONOS_CLUSTER_TASK_H
#define CHRONOS_CLUSTER_TASK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

struct task {
    void (*run)(struct task *task);  /* its thread */
    void (*done)(struct task *task); /* loop */
    uv_async_t *wakeup;              /* of the owner, who calls task_look; borrowed */
    uv_thread_t thread;
    bool is_running;                 /* loop */
    atomic_bool has_ended;
};

/* Loop. False: the system gives no more threads. */
bool task_start(struct task *task, uv_async_t *wakeup, void (*run)(struct task *task), void (*done)(struct task *task));
/* Loop: calls `done` if it has ended; it may start the task again. */
void task_look(struct task *task);

#endif
