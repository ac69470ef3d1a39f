#include "spawn_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

static int memory_file(const char *name, const void *data, size_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    size_t done = 0;

    while (fd >= 0 && done < size) {
        ssize_t got = write(fd, (const char *)data + done, size - done);
        if (got < 0 && errno != EINTR) {
            int saved = errno;
            (void)close(fd);
            errno = saved;
            return -1;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0) {
        (void)lseek(fd, 0, SEEK_SET);
    }
    return fd;
}

static bool open_pipe(struct run *run, size_t index, int *ret_write_end)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return false;
    }
    *ret_write_end = ends[1]; /* blocking: it is the process's own */
    run->pipes[index] = (struct output_pipe){
        .run = run, .fd = ends[0], .stream = index == 0 ? CHRONOS_STREAM_STDOUT : CHRONOS_STREAM_STDERR};
    return fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0;
}

int spawn_files_open(struct run *run, int fds[GUARDIAN_SPAWN_FDS_MAX])
{
    for (size_t i = 0; i < GUARDIAN_SPAWN_FDS_MAX; i++) {
        fds[i] = -1;
    }
    fds[0] = memory_file("chronos-spec", run->job.spec, run->job.spec_size);
    if (fds[0] < 0 || !open_pipe(run, 0, &fds[1]) || !open_pipe(run, 1, &fds[2])) {
        return errno;
    }
    if (run->job.stdin_text == NULL) {
        return 0;
    }
    /* A memory file cannot fill up, block or raise SIGPIPE, whether the process reads it or not. */
    fds[3] = memory_file("chronos-stdin", run->job.stdin_text, run->job.stdin_size);
    return fds[3] < 0 ? errno : 0;
}

void spawn_files_close(int fds[GUARDIAN_SPAWN_FDS_MAX])
{
    for (size_t i = 0; i < GUARDIAN_SPAWN_FDS_MAX; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
}
