#include "cluster/task.h"

static void run(void *arg)
{
    struct task *task = arg;
    task->run(task);
    atomic_store(&task->has_ended, true);
    (void)uv_async_send(task->wakeup); /* fails only on a closed handle: the owner joins before that */
}

bool task_start(struct task *task, uv_async_t *wakeup, void (*work)(struct task *task), void (*done)(struct task *task))
{
    task->run = work;
    task->done = done;
    task->wakeup = wakeup;
    atomic_store(&task->has_ended, false);
    task->is_running = uv_thread_create(&task->thread, run, task) == 0;
    return task->is_running;
}

void task_look(struct task *task)
{
    if (!task->is_running || !atomic_load(&task->has_ended))
        return;
    (void)uv_thread_join(&task->thread); /* cannot fail: it is ours and joined once */
    task->is_running = false;
    task->done(task);
}
