#include "base/wake.h"

#include <assert.h>
#include <time.h>

void wake_init(struct wake *wake)
{
    pthread_condattr_t monotonic;
    int failed = pthread_mutex_init(&wake->mutex, NULL);
    failed |= pthread_condattr_init(&monotonic);
    failed |= pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    failed |= pthread_cond_init(&wake->condition, &monotonic);
    (void)pthread_condattr_destroy(&monotonic); /* holds nothing */
    assert(failed == 0); /* glibc's take no resource that could run out */
}

void wake_deinit(struct wake *wake)
{
    (void)pthread_cond_destroy(&wake->condition); /* fails only while someone waits: a bug that TSan shows */
    (void)pthread_mutex_destroy(&wake->mutex);
}

void wake_lock(struct wake *wake)
{
    (void)pthread_mutex_lock(&wake->mutex); /* a plain mutex fails only when misused */
}

void wake_unlock(struct wake *wake)
{
    (void)pthread_mutex_unlock(&wake->mutex);
}

void wake_signal(struct wake *wake)
{
    (void)pthread_cond_signal(&wake->condition);
}

void wake_wait(struct wake *wake, int64_t ms)
{
    struct timespec until;
    if (ms < 0) {
        (void)pthread_cond_wait(&wake->condition, &wake->mutex);
        return;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    (void)pthread_cond_timedwait(&wake->condition, &wake->mutex, &until);
}
