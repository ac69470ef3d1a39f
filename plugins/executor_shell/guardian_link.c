#include "guardian_link.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chronos/plugin.h>

#include "plugin_error.h"

enum { STOP_WAIT_MS = 5000 };

/* ---- Finding ---- */

/* Where this plugin lies. The host loads it as /proc/self/fd/N, a link to the file that was checked. */
static bool own_path(char *out)
{
    static const char deleted[] = " (deleted)";
    Dl_info info;

    if (dladdr((const void *)(uintptr_t)&chronos_plugin_v1, &info) == 0 || info.dli_fname == NULL) {
        return false;
    }
    if (strncmp(info.dli_fname, "/proc/", 6) != 0) {
        return realpath(info.dli_fname, out) != NULL;
    }
    ssize_t size = readlink(info.dli_fname, out, PATH_MAX - 1);
    if (size <= 0) {
        return false;
    }
    out[size] = '\0';
    size_t tail = sizeof(deleted) - 1;
    if ((size_t)size > tail && strcmp(out + size - tail, deleted) == 0) {
        out[(size_t)size - tail] = '\0'; /* replaced by an upgrade; its folder is still the right one */
    }
    return true;
}

static int32_t path_beside_plugin(char *out, struct chronos_error *err)
{
    if (!own_path(out)) {
        return plugin_error(err, CHRONOS_NOTFOUND, 0,
                            "cannot tell where this plugin lies; name the program in executors.shell.guardian");
    }
    char *slash = strrchr(out, '/');
    if (slash == NULL || (size_t)(slash + 1 - out) + sizeof(GUARDIAN_FILE) > PATH_MAX) {
        return plugin_error(err, CHRONOS_INVALID, 0, "the path of this plugin is too long");
    }
    memcpy(slash + 1, GUARDIAN_FILE, sizeof(GUARDIAN_FILE));
    return CHRONOS_OK;
}

/* The same rule as for a plugin's own file (only root and we ourselves may have written it), on the open descriptor. */
static int32_t check_program(int fd, const char *path, struct chronos_error *err)
{
    struct stat status;

    if (fstat(fd, &status) != 0) {
        return plugin_error(err, CHRONOS_IO, errno, "look at %.120s", path);
    }
    if (!S_ISREG(status.st_mode) || (status.st_mode & 0111) == 0) {
        return plugin_error(err, CHRONOS_INVALID, 0, "%.120s is not a program", path);
    }
    if ((status.st_uid != 0 && status.st_uid != geteuid()) || (status.st_mode & 022) != 0) {
        return plugin_error(err, CHRONOS_DENIED, 0,
                            "%.120s can be changed by others; it must belong to root or the daemon's user (chmod go-w)",
                            path);
    }
    return CHRONOS_OK;
}

int32_t guardian_link_init(struct guardian_link *link, const char *path, struct chronos_error *err)
{
    char found[PATH_MAX];

    if (path == NULL) {
        int32_t status = path_beside_plugin(found, err);
        if (status != CHRONOS_OK) {
            return status;
        }
        path = found;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return plugin_error(err, errno == ENOENT ? CHRONOS_NOTFOUND : CHRONOS_IO, errno,
                            "open %.120s, which the shell executor needs", path);
    }
    int32_t status = check_program(fd, path, err);
    if (status != CHRONOS_OK) {
        (void)close(fd);
        return status;
    }
    *link = (struct guardian_link){.program = fd, .socket = -1, .pid = -1};
    return CHRONOS_OK;
}

void guardian_link_deinit(struct guardian_link *link)
{
    (void)close(link->program);
    link->program = -1;
}

/* ---- Life ---- */

static int spawn_file_actions(posix_spawn_file_actions_t *actions, int socket)
{
    int failed = 0;

    for (int fd = 0; fd < GUARDIAN_FD && failed == 0; fd++) {
        failed = posix_spawn_file_actions_addopen(actions, fd, "/dev/null", O_RDWR, 0);
    }
    return failed != 0 ? failed : posix_spawn_file_actions_adddup2(actions, socket, GUARDIAN_FD);
}

static int spawn_attributes(posix_spawnattr_t *attributes)
{
    sigset_t all;

    (void)sigfillset(&all);
    (void)posix_spawnattr_setsigmask(attributes, &all);
    (void)posix_spawnattr_setsigdefault(attributes, &all);
    /* A session of its own: a ^C at the daemon's terminal must reach the daemon, and the guardian only through it. */
    return posix_spawnattr_setflags(attributes,
                                    POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn_program(int program, int socket, pid_t *ret)
{
    char path[40], name[] = GUARDIAN_FILE;
    char *argv[] = {name, NULL}, *envp[] = {NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;

    int failed = posix_spawn_file_actions_init(&actions);
    if (failed != 0) {
        return failed;
    }
    failed = posix_spawnattr_init(&attributes);
    if (failed != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return failed;
    }
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", program);
    failed = spawn_file_actions(&actions, socket);
    if (failed == 0) {
        failed = spawn_attributes(&attributes);
    }
    if (failed == 0) {
        failed = posix_spawn(ret, path, &actions, &attributes, argv, envp);
    }
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return failed;
}

/* A descriptor above the ones that the file actions overwrite. */
static int above_guardian_fd(int fd)
{
    if (fd < 0 || fd > GUARDIAN_FD) {
        return fd;
    }
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, GUARDIAN_FD + 1);
    int saved = errno;
    (void)close(fd);
    errno = saved;
    return moved;
}

int32_t guardian_start(struct guardian_link *link, struct chronos_error *err)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return plugin_error_retryable(err, CHRONOS_IO, errno, "make the guardian's socket");
    }
    ends[1] = above_guardian_fd(ends[1]);
    int program = fcntl(link->program, F_DUPFD_CLOEXEC, GUARDIAN_FD + 1);
    int failed = ends[1] < 0 || program < 0 ? errno : spawn_program(program, ends[1], &link->pid);
    if (program >= 0) {
        (void)close(program);
    }
    if (ends[1] >= 0) {
        (void)close(ends[1]);
    }
    if (failed != 0) {
        (void)close(ends[0]);
        return plugin_error_retryable(err, CHRONOS_IO, failed, "start " GUARDIAN_FILE);
    }
    link->socket = ends[0];
    return CHRONOS_OK;
}

/* Waits for the guardian, at most `wait_ms`, without taking anybody else's child. */
static bool await_end(pid_t pid, int wait_ms)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    int ready;

    if (fd < 0) { /* Linux before 5.3, or no descriptor left: the guardian bounds its own farewell */
        return true;
    }
    do {
        ready = poll(&polled, 1, wait_ms);
    } while (ready < 0 && errno == EINTR);
    (void)close(fd);
    return ready > 0;
}

void guardian_stop(struct guardian_link *link)
{
    pid_t got;

    if (link->socket < 0) {
        return;
    }
    (void)close(link->socket);
    link->socket = -1;
    if (!await_end(link->pid, STOP_WAIT_MS)) {
        (void)kill(link->pid, SIGKILL); /* stopped by somebody; its children die with it */
    }
    do {
        got = waitpid(link->pid, NULL, 0);
    } while (got < 0 && errno == EINTR);
    link->pid = -1;
}

/* ---- Messages ---- */

int guardian_send(struct guardian_link *link, const struct guardian_request *request, const int *fds, size_t fd_count)
{
    struct guardian_request copy = *request;
    struct iovec part = {.iov_base = &copy, .iov_len = sizeof(copy)};
    union {
        char bytes[CMSG_SPACE(sizeof(int) * GUARDIAN_SPAWN_FDS_MAX)];
        struct cmsghdr align;
    } control = {0};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd_count > 0) {
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&header);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
    }
    for (;;) {
        if (sendmsg(link->socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
            return 0;
        }
        if (errno != EINTR) {
            return errno == ETOOMANYREFS || errno == ENOBUFS || errno == ENOMEM ? EAGAIN : errno;
        }
    }
}

int guardian_receive(struct guardian_link *link, struct guardian_report *report)
{
    for (;;) {
        ssize_t got = recv(link->socket, report, sizeof(*report), MSG_DONTWAIT);
        if (got == (ssize_t)sizeof(*report)) {
            return 1;
        }
        if (got < 0 && errno == EINTR) {
            continue;
        }
        return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : -1;
    }
}
