/* chronos-shell-guardian: the parent of every process that one shell executor runs.
 *
 * Why a process of its own: a daemon that dies by kill -9 cannot clean up, and its runs are taken over by another node;
 * a leftover process would then run twice at the same time. The guardian's socket reaches its end when the daemon is
 * gone, for whatever reason, and it kills every process group that is left. Because the guardian itself forks, there is
 * no moment in which a child exists that it does not know. It is small and has one thread, so fork is cheap, the working
 * directory and umask are set in the child, and PR_SET_PDEATHSIG is sound: leaders die with the guardian, too.
 *
 * Started by the plugin with all signals blocked and at default, in a session of its own, 0-2 on /dev/null. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guardian_protocol.h"

enum { FAREWELL_MS = 2000, PATH_SIZE = 4096 };

/* A child that has not been reaped. Its pid, and so its group's id, cannot be reused before that. */
struct child {
    uint64_t token;
    pid_t pid;
    int exec_fd; /* says whether exec succeeded; -1 once known */
    bool refused;
    bool signalled;
};

struct failure {
    int32_t stage;
    int32_t sys_errno;
};

struct spec {
    char *text; /* owns the strings */
    const char *cwd;
    char **argv, **envp;
    int32_t umask;
};

static struct child *children;
static size_t child_count, child_capacity;

/* ---- Talking to the plugin ---- */

static void kill_everything(void);

static void report(const struct guardian_report *message)
{
    ssize_t sent;

    do {
        sent = send(GUARDIAN_FD, message, sizeof(*message), MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) { /* the daemon is gone */
        kill_everything();
    }
}

static void report_refused(uint64_t token, int stage, int sys_errno)
{
    struct guardian_report message = {
        .token = token, .kind = GUARDIAN_REFUSED, .stage = (uint32_t)stage, .sys_errno = sys_errno};

    report(&message);
}

/* ---- Specs ---- */

static void spec_free(struct spec *spec)
{
    free(spec->text);
    free(spec->argv);
    free(spec->envp);
}

static char **take_strings(char **at, const char *end, uint32_t count)
{
    char **list = calloc((size_t)count + 1, sizeof(*list));

    for (uint32_t i = 0; list != NULL && i < count; i++) {
        char *stop = memchr(*at, '\0', (size_t)(end - *at));
        if (stop == NULL) {
            free(list);
            errno = EINVAL;
            return NULL;
        }
        list[i] = *at;
        *at = stop + 1;
    }
    return list;
}

/* 0, or an errno. */
static int spec_parse(struct spec *spec, size_t size)
{
    struct guardian_spec head;
    char *at = spec->text + sizeof(head), *end = spec->text + size;

    if (size < sizeof(head)) {
        return EINVAL;
    }
    memcpy(&head, spec->text, sizeof(head));
    if (head.argument_count == 0 || head.argument_count > size || head.environment_count > size) {
        return EINVAL;
    }
    char *stop = memchr(at, '\0', (size_t)(end - at));
    if (stop == NULL) {
        return EINVAL;
    }
    spec->cwd = at;
    at = stop + 1;
    spec->umask = head.umask;
    spec->argv = take_strings(&at, end, head.argument_count);
    spec->envp = spec->argv == NULL ? NULL : take_strings(&at, end, head.environment_count);
    return spec->envp == NULL ? errno : 0;
}

static int spec_read(struct spec *spec, int fd)
{
    struct stat status;

    if (fstat(fd, &status) != 0) {
        return errno;
    }
    if (status.st_size <= 0 || status.st_size > GUARDIAN_SPEC_MAX) {
        return E2BIG;
    }
    size_t size = (size_t)status.st_size;
    spec->text = malloc(size);
    if (spec->text == NULL) {
        return ENOMEM;
    }
    ssize_t got = pread(fd, spec->text, size, 0);
    if (got < 0 || (size_t)got != size) {
        return got < 0 ? errno : EIO;
    }
    return spec_parse(spec, size);
}

/* ---- In the child, between fork and exec ---- */

static _Noreturn void child_fail(int exec_fd, int stage, int sys_errno)
{
    struct failure failure = {.stage = stage, .sys_errno = sys_errno};
    ssize_t written = write(exec_fd, &failure, sizeof(failure));

    (void)written; /* the guardian then reports the exit code */
    _exit(127);
}

static const char *path_of(char *const *envp)
{
    for (; *envp != NULL; envp++) {
        if (strncmp(*envp, "PATH=", 5) == 0) {
            return *envp + 5;
        }
    }
    return "/usr/bin:/bin";
}

/* As execvpe, but with the job's own PATH, and without handing a file that the kernel does not know to a shell. */
static int exec_program(const struct spec *spec)
{
    const char *name = spec->argv[0];
    char path[PATH_SIZE];
    int result = ENOENT;

    if (strchr(name, '/') != NULL) {
        execve(name, spec->argv, spec->envp);
        return errno;
    }
    for (const char *at = path_of(spec->envp); at != NULL && name[0] != '\0';) {
        size_t size = strcspn(at, ":");
        if (size > 0 && size + strlen(name) + 2 <= sizeof(path)) { /* an empty entry means ".": not searched */
            memcpy(path, at, size);
            path[size] = '/';
            memcpy(path + size + 1, name, strlen(name) + 1);
            execve(path, spec->argv, spec->envp);
            if (errno != ENOENT && errno != ENOTDIR) {
                result = errno;
                if (errno != EACCES) {
                    return result;
                }
            }
        }
        at = at[size] == ':' ? at + size + 1 : NULL;
    }
    return result;
}

static _Noreturn void child_main(const struct spec *spec, pid_t guardian, int exec_fd, const int *fds, size_t fd_count)
{
    sigset_t none;

    (void)setpgid(0, 0); /* the parent does the same: whoever comes first */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != guardian) { /* died before the line above */
        _exit(127);
    }
    if (dup2(fds[1], STDOUT_FILENO) < 0 || dup2(fds[2], STDERR_FILENO) < 0 ||
        (fd_count == GUARDIAN_SPAWN_FDS_MAX && dup2(fds[3], STDIN_FILENO) < 0)) {
        child_fail(exec_fd, GUARDIAN_STAGE_FORK, errno);
    }
    if (spec->cwd[0] != '\0' && chdir(spec->cwd) != 0) {
        child_fail(exec_fd, GUARDIAN_STAGE_CHDIR, errno);
    }
    if (spec->umask >= 0) {
        (void)umask((mode_t)spec->umask);
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    child_fail(exec_fd, GUARDIAN_STAGE_EXEC, exec_program(spec));
}

/* ---- Children ---- */

static bool room_for_child(void)
{
    if (child_count < child_capacity) {
        return true;
    }
    size_t capacity = child_capacity == 0 ? 64 : child_capacity * 2;
    struct child *grown = realloc(children, capacity * sizeof(*children));
    if (grown == NULL) {
        return false;
    }
    children = grown;
    child_capacity = capacity;
    return true;
}

/* 0, or an errno. */
static int fork_child(const struct spec *spec, uint64_t token, const int *fds, size_t fd_count)
{
    int exec_pipe[2];
    pid_t guardian = getpid();

    if (!room_for_child()) {
        return ENOMEM;
    }
    if (pipe2(exec_pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
        return errno;
    }
    pid_t pid = fork();
    if (pid == 0) {
        child_main(spec, guardian, exec_pipe[1], fds, fd_count);
    }
    int saved = errno;
    (void)close(exec_pipe[1]);
    if (pid < 0) {
        (void)close(exec_pipe[0]);
        return saved;
    }
    (void)setpgid(pid, pid); /* EACCES: the child has done it and is past exec */
    children[child_count++] = (struct child){.token = token, .pid = pid, .exec_fd = exec_pipe[0]};
    return 0;
}

static void spawn(uint64_t token, const int *fds, size_t fd_count)
{
    struct spec spec = {0};
    int failed = fd_count < 3 ? EINVAL : spec_read(&spec, fds[0]);

    if (failed == 0) {
        failed = fork_child(&spec, token, fds, fd_count);
    }
    spec_free(&spec);
    if (failed != 0) {
        report_refused(token, GUARDIAN_STAGE_FORK, failed);
    }
}

static void signal_child(uint64_t token, int number)
{
    for (size_t i = 0; i < child_count; i++) {
        struct child *child = &children[i];
        if (child->token == token && !child->refused) {
            child->signalled = true;
            (void)kill(-child->pid, number); /* ESRCH cannot be: the leader is not reaped */
            (void)kill(-child->pid, SIGCONT); /* a stopped process acts on nothing but SIGKILL */
            return;
        }
    }
}

/* The exec pipe is at its end (exec succeeded) or holds a failure. */
static void learn_exec(struct child *child)
{
    struct failure failure;
    ssize_t got = read(child->exec_fd, &failure, sizeof(failure));

    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    (void)close(child->exec_fd);
    child->exec_fd = -1;
    if (got == (ssize_t)sizeof(failure)) {
        child->refused = true;
        report_refused(child->token, failure.stage, failure.sys_errno);
        return;
    }
    struct guardian_report message = {.token = child->token, .kind = GUARDIAN_STARTED, .pid = child->pid};
    report(&message);
}

static void bury(size_t index, const siginfo_t *info)
{
    struct child child = children[index];
    bool exited = info->si_code == CLD_EXITED;
    struct guardian_report message = {.token = child.token,
                                      .kind = GUARDIAN_EXITED,
                                      .exit_code = exited ? info->si_status : -1,
                                      .term_signal = exited ? 0 : info->si_status,
                                      .signalled = child.signalled};

    if (child.signalled) { /* the whole tree of a cancelled run goes; the unreaped leader keeps the group's id ours */
        (void)kill(-child.pid, SIGKILL);
    }
    (void)waitpid(child.pid, NULL, 0);
    children[index] = children[--child_count];
    if (!child.refused) {
        report(&message);
    }
}

static void reap(void)
{
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) {
            return;
        }
        size_t index = 0;
        while (index < child_count && children[index].pid != info.si_pid) {
            index++;
        }
        if (index == child_count) { /* not ours: cannot be, but must not spin */
            (void)waitpid(info.si_pid, NULL, 0);
            continue;
        }
        if (children[index].exec_fd >= 0) {
            learn_exec(&children[index]);
        }
        bury(index, &info);
    }
}

/* The daemon is gone, or wants no more: nothing of its runs may remain. */
static void kill_everything(void)
{
    struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
    sigset_t child_signal;

    for (size_t i = 0; i < child_count; i++) {
        (void)kill(-children[i].pid, SIGKILL);
    }
    (void)sigemptyset(&child_signal);
    (void)sigaddset(&child_signal, SIGCHLD);
    for (int waited_ms = 0; waited_ms < FAREWELL_MS;) { /* so that the plugin's destroy leaves no child behind */
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid < 0) {
            break;
        }
        if (pid == 0 && sigtimedwait(&child_signal, NULL, &pause) < 0) {
            waited_ms += 50;
        }
    }
    _exit(0);
}

/* ---- The loop ---- */

static size_t take_fds(struct msghdr *header, int *fds)
{
    size_t count = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n && count < GUARDIAN_SPAWN_FDS_MAX; i++) {
            memcpy(&fds[count++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
        }
    }
    return count;
}

/* One request; false when there is none now. */
static bool receive(void)
{
    struct guardian_request request;
    struct iovec part = {.iov_base = &request, .iov_len = sizeof(request)};
    union {
        char bytes[CMSG_SPACE(sizeof(int) * GUARDIAN_SPAWN_FDS_MAX)];
        struct cmsghdr align;
    } control;
    struct msghdr header = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    int fds[GUARDIAN_SPAWN_FDS_MAX];
    ssize_t got = recvmsg(GUARDIAN_FD, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (got <= 0) {
        kill_everything();
    }
    size_t fd_count = take_fds(&header, fds);
    if (got == (ssize_t)sizeof(request) && request.kind == GUARDIAN_SPAWN) {
        spawn(request.token, fds, fd_count);
    } else if (got == (ssize_t)sizeof(request) && request.kind == GUARDIAN_SIGNAL) {
        signal_child(request.token, (int)request.signal);
    }
    for (size_t i = 0; i < fd_count; i++) {
        (void)close(fds[i]);
    }
    return true;
}

static void drain_signals(int signal_fd)
{
    struct signalfd_siginfo info;

    while (read(signal_fd, &info, sizeof(info)) > 0) {
    }
}

static size_t watch_execs(struct pollfd *polled)
{
    size_t count = 0;

    for (size_t i = 0; i < child_count; i++) {
        if (children[i].exec_fd >= 0) {
            polled[count++] = (struct pollfd){.fd = children[i].exec_fd, .events = POLLIN};
        }
    }
    return count;
}

static void learn_execs(void)
{
    for (size_t i = 0; i < child_count; i++) {
        if (children[i].exec_fd >= 0) {
            learn_exec(&children[i]);
        }
    }
}

static void loop(int signal_fd)
{
    struct pollfd *polled = NULL;
    size_t polled_capacity = 0;

    for (;;) {
        if (polled == NULL || polled_capacity < child_capacity) {
            struct pollfd *grown = realloc(polled, (child_capacity + 2) * sizeof(*polled));
            if (grown == NULL) {
                kill_everything(); /* blind, it could not keep its promise */
            }
            polled = grown;
            polled_capacity = child_capacity;
        }
        polled[0] = (struct pollfd){.fd = GUARDIAN_FD, .events = POLLIN};
        polled[1] = (struct pollfd){.fd = signal_fd, .events = POLLIN};
        size_t watched = watch_execs(polled + 2);
        if (poll(polled, watched + 2, -1) < 0 && errno != EINTR) {
            kill_everything();
        }
        learn_execs();
        drain_signals(signal_fd);
        reap();
        for (int i = 0; i < GUARDIAN_WINDOW && receive(); i++) {
        }
    }
}

/* posix_spawn of glibc leaves its two internal signals (32, 33) ignored, and its sigaction does not touch them. */
static void restore_internal_signals(void)
{
    static const unsigned long kernel_action[8]; /* SIG_DFL, no flags, in the kernel's own layout */

    for (int number = 32; number < 34; number++) {
        (void)syscall(SYS_rt_sigaction, number, kernel_action, NULL, (size_t)8);
    }
}

int main(void)
{
    sigset_t child_signal;
    int type = 0;
    socklen_t size = sizeof(type);

    if (getsockopt(GUARDIAN_FD, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET) {
        static const char text[] = "chronos-shell-guardian is started by the shell executor, not by hand\n";
        ssize_t written = write(STDERR_FILENO, text, sizeof(text) - 1);
        (void)written; /* nobody is there to be told */
        return 2;
    }
#ifdef SYS_close_range
    (void)syscall(SYS_close_range, GUARDIAN_FD + 1U, ~0U, 0); /* what a careless host left open; old kernels: nothing */
#endif
    (void)fcntl(GUARDIAN_FD, F_SETFD, FD_CLOEXEC);
    restore_internal_signals();
    if (chdir("/") != 0) { /* pins no file system, and is where jobs without cwd run */
        return 1;
    }
    (void)sigemptyset(&child_signal);
    (void)sigaddset(&child_signal, SIGCHLD);
    int signal_fd = signalfd(-1, &child_signal, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signal_fd < 0) {
        return 1;
    }
    loop(signal_fd);
}
