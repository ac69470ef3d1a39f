/* Preloaded into a node under test: a disk that is slow to sync, and a wall clock that is wrong. CHRONOS_TEST_SHIM names a file
 * of struct control that is mapped, so the test changes both while the node runs. The monotonic clock stays right, as it does
 * on a machine whose clock is set. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct control {
    volatile int64_t clock_offset_ns, sync_delay_us;
};
static struct control right;
static struct control *control = &right;

__attribute__((constructor)) static void map_control(void)
{
    const char *path = getenv("CHRONOS_TEST_SHIM");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = fd >= 0 ? mmap(NULL, sizeof *control, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (at == MAP_FAILED)
        abort(); /* a fault that does not happen would look like a pass */
    (void)close(fd);
    control = at;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (syscall(SYS_clock_gettime, clock, now) != 0)
        return -1;
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
        return 0;
    int64_t ns = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + control->clock_offset_ns;
    now->tv_sec = ns / 1000000000;
    now->tv_nsec = ns % 1000000000;
    return 0;
}

static void be_slow(void)
{
    int64_t us = control->sync_delay_us;
    struct timespec pause = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    if (us > 0)
        (void)nanosleep(&pause, NULL);
}

int fdatasync(int fd)
{
    be_slow();
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    be_slow();
    return (int)syscall(SYS_fsync, fd);
}
