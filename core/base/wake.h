/* A mutex and a condition on the monotonic clock: how threads that own a queue sleep. */
#ifndef CHRONOS_BASE_WAKE_H
#define CHRONOS_BASE_WAKE_H

#include <pthread.h>
#include <stdint.h>

struct wake {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
};

void wake_init(struct wake *wake);
void wake_deinit(struct wake *wake);
void wake_lock(struct wake *wake);
void wake_unlock(struct wake *wake);
void wake_signal(struct wake *wake); /* with the mutex held */
/* Until a signal, at most `ms` (negative: for ever); with the mutex held. May return early: check the condition again. */
void wake_wait(struct wake *wake, int64_t ms);

#endif
