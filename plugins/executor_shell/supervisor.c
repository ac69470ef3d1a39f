#include "supervisor.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "guardian_link.h"
#include "outcome.h"
#include "plugin_error.h"
#include "run_table.h"
#include "spawn_files.h"

enum {
    READ_SIZE = 64 * 1024,
    EVENTS_MAX = 128,
    RETRY_MS = 20,            /* the guardian's socket was full, or the kernel short of something */
    LINGER_MS = 250,          /* for output of a background child after the leader's end */
    DRAIN_MAX = 2 << 20       /* a pipe holds at most 1 MiB: more is not the leader's */
};

struct supervisor {
    const struct chronos_host *host;
    struct guardian_link guardian;
    pthread_t thread;
    int epoll_fd, wake_fd;

    pthread_mutex_t lock; /* guards the next five, and the posted_ fields of runs */
    struct run_table table;
    struct run_list inbox;
    struct run *cancel_inbox;
    bool stopping;
    bool woken;

    /* The thread's own. */
    struct run_list waiting; /* to be sent to the guardian */
    struct run_list timed;   /* cancelled or lingering */
    struct run_list running; /* all others that were sent */
    struct run_list done;    /* to be freed when no event of this turn can name them */
    uint32_t unanswered;     /* spawns */
    bool send_blocked;
    char buffer[READ_SIZE];
};

/* What epoll's data points to where it is not an output_pipe. */
static char wake_mark, guardian_mark;

static int64_t now_ns(const struct supervisor *s)
{
    return s->host->ops->now(s->host, CHRONOS_CLOCK_MONOTONIC);
}

static void log_line(const struct supervisor *s, int32_t level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void log_line(const struct supervisor *s, int32_t level, const char *format, ...)
{
    char text[400];
    va_list args;

    va_start(args, format);
    int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (size > 0) {
        s->host->ops->log(s->host, level, text, (size_t)size < sizeof(text) ? (uint64_t)size : sizeof(text) - 1);
    }
}

/* ---- The end of a run ---- */

/* Leaves epoll by name: a copy of the descriptor in some child between fork and exec would keep its events coming. */
static void close_pipe(const struct supervisor *s, struct output_pipe *pipe)
{
    if (pipe->fd >= 0) {
        (void)epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, pipe->fd, NULL);
        (void)close(pipe->fd);
        pipe->fd = -1;
    }
}

static struct run_list *list_of(struct supervisor *s, const struct run *run)
{
    if (run->state == RUN_WAITING) {
        return &s->waiting;
    }
    return run->deadline_ns != 0 || run->pending_signal != 0 ? &s->timed : &s->running;
}

static void forget(struct supervisor *s, struct run *run)
{
    (void)pthread_mutex_lock(&s->lock);
    run_table_remove(&s->table, run);
    for (struct run **at = &s->cancel_inbox; run->cancel_posted && *at != NULL; at = &(*at)->cancel_next) {
        if (*at == run) {
            *at = run->cancel_next;
            break;
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
}

/* The one place where a run completes. */
static void finish(struct supervisor *s, struct run *run, const struct chronos_result *result)
{
    assert(run->state != RUN_DONE);
    run_list_remove(list_of(s, run), run);
    run->state = RUN_DONE;
    close_pipe(s, &run->pipes[0]);
    close_pipe(s, &run->pipes[1]);
    forget(s, run);
    (void)s->host->ops->complete(s->host, run->token, result); /* NOTFOUND: written off meanwhile */
    run_list_append(&s->done, run);
}

static void finish_with(struct supervisor *s, struct run *run, int32_t outcome, int32_t retry, const char *message)
{
    struct chronos_result result = outcome_plain(outcome, retry, message);

    finish(s, run, &result);
}

static void finish_exited(struct supervisor *s, struct run *run)
{
    char message[MESSAGE_SIZE];
    struct chronos_result result = outcome_of_exit(run, message);

    finish(s, run, &result);
}

/* ---- Output ---- */

/* One read; false when there is nothing more now. */
static bool read_pipe(struct supervisor *s, struct output_pipe *pipe, size_t *ret_size)
{
    ssize_t got;

    *ret_size = 0;
    if (pipe->fd < 0) {
        return false;
    }
    do {
        got = read(pipe->fd, s->buffer, sizeof(s->buffer));
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        /* TOOBIG: the quota is spent; go on draining, or the process would block for ever on a full pipe. */
        (void)s->host->ops->output(s->host, pipe->run->token, pipe->stream, s->buffer, (uint64_t)got);
        *ret_size = (size_t)got;
        return true;
    }
    if (got == 0 || errno != EAGAIN) {
        close_pipe(s, pipe);
    }
    return false;
}

static void drain_pipe(struct supervisor *s, struct output_pipe *pipe)
{
    size_t size, total = 0;

    while (total < DRAIN_MAX && read_pipe(s, pipe, &size)) {
        total += size;
    }
}

static bool pipes_at_end(const struct run *run)
{
    return run->pipes[0].fd < 0 && run->pipes[1].fd < 0;
}

static void pipe_ready(struct supervisor *s, struct output_pipe *pipe)
{
    struct run *run = pipe->run;
    size_t size;

    if (run->state == RUN_DONE) { /* it ended earlier in this turn */
        return;
    }
    (void)read_pipe(s, pipe, &size);
    if (run->state == RUN_LINGERING && pipes_at_end(run)) {
        finish_exited(s, run);
    }
}

/* ---- Reports of the guardian ---- */

static void report_refused(struct supervisor *s, struct run *run, const struct guardian_report *report)
{
    char message[MESSAGE_SIZE];
    struct chronos_result result = outcome_of_refusal(run, report, message);

    finish(s, run, &result);
}

static void report_exited(struct supervisor *s, struct run *run, const struct guardian_report *report)
{
    run->exit = *report;
    drain_pipe(s, &run->pipes[0]);
    drain_pipe(s, &run->pipes[1]);
    if (pipes_at_end(run)) {
        finish_exited(s, run);
        return;
    }
    /* A background child holds the pipe: wait a moment for what it has to say, then leave it alone. */
    run_list_remove(list_of(s, run), run);
    run->state = RUN_LINGERING;
    run->pending_signal = 0;
    run->deadline_ns = now_ns(s) + (int64_t)LINGER_MS * 1000000;
    run_list_append(&s->timed, run);
}

static void take_report(struct supervisor *s, const struct guardian_report *report)
{
    (void)pthread_mutex_lock(&s->lock);
    struct run *run = run_table_find(&s->table, report->token);
    (void)pthread_mutex_unlock(&s->lock);

    if (report->kind != GUARDIAN_EXITED && s->unanswered > 0) {
        s->unanswered--;
    }
    if (run == NULL) {
        return;
    }
    switch (report->kind) {
    case GUARDIAN_STARTED:
        run->state = RUN_RUNNING;
        run->pid = report->pid;
        break;
    case GUARDIAN_REFUSED: report_refused(s, run, report); break;
    case GUARDIAN_EXITED: report_exited(s, run, report); break;
    default: break;
    }
}

/* The guardian died (a leader dies with it by PR_SET_PDEATHSIG). What its runs did cannot be told any more. */
static void lose_run(struct supervisor *s, struct run *run)
{
    if (run->state == RUN_LINGERING) {
        finish_exited(s, run);
        return;
    }
    if (run->pid > 0) {
        (void)kill(-run->pid, SIGKILL); /* at once: a group's id is not used again within milliseconds */
    }
    finish_with(s, run, CHRONOS_OUTCOME_LOST, CHRONOS_RETRY_BY_OUTCOME,
                "the guardian process of the shell executor ended");
}

static void lose_guardian(struct supervisor *s)
{
    log_line(s, CHRONOS_LOG_ERROR, "the guardian process %d ended; its runs are lost, the next run starts another",
             (int)s->guardian.pid);
    while (s->running.first != NULL) {
        lose_run(s, s->running.first);
    }
    while (s->timed.first != NULL) {
        lose_run(s, s->timed.first);
    }
    guardian_stop(&s->guardian);
    s->unanswered = 0;
    s->send_blocked = false;
}

static void guardian_ready(struct supervisor *s)
{
    struct guardian_report report;

    for (int i = 0; i < EVENTS_MAX && s->guardian.socket >= 0; i++) {
        int got = guardian_receive(&s->guardian, &report);
        if (got < 0) {
            lose_guardian(s);
        } else if (got == 0) {
            return;
        } else {
            s->send_blocked = false;
            take_report(s, &report);
        }
    }
}

/* ---- Spawning ---- */

static bool ensure_guardian(struct supervisor *s, struct chronos_error *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &guardian_mark};

    if (s->guardian.socket >= 0) {
        return true;
    }
    if (guardian_start(&s->guardian, err) != CHRONOS_OK) {
        return false;
    }
    if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->guardian.socket, &event) != 0) {
        (void)plugin_error_retryable(err, CHRONOS_IO, errno, "watch the guardian");
        guardian_stop(&s->guardian);
        return false;
    }
    return true;
}

static void sent(struct supervisor *s, struct run *run)
{
    run_list_remove(&s->waiting, run);
    run->state = RUN_SPAWNING;
    s->unanswered++;
    run_list_append(&s->running, run);
}

static bool watch_pipe(struct supervisor *s, struct output_pipe *pipe)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = pipe};

    return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, pipe->fd, &event) == 0;
}

/* 0 when the run needs nothing more here; otherwise an errno for a run that cannot be started. */
static int send_spawn(struct supervisor *s, struct run *run, int fds[GUARDIAN_SPAWN_FDS_MAX])
{
    struct guardian_request request = {.token = run->token, .kind = GUARDIAN_SPAWN};
    int failed = spawn_files_open(run, fds);

    if (failed != 0) {
        return failed;
    }
    if (!watch_pipe(s, &run->pipes[0]) || !watch_pipe(s, &run->pipes[1])) {
        return errno;
    }
    if (guardian_send(&s->guardian, &request, fds, fds[3] < 0 ? 3 : 4) == 0) {
        sent(s, run);
        return 0;
    }
    /* Full: later. Gone: the socket's event will say so, and the run goes to the next guardian. */
    s->send_blocked = true;
    close_pipe(s, &run->pipes[0]);
    close_pipe(s, &run->pipes[1]);
    return 0;
}

static void spawn(struct supervisor *s, struct run *run)
{
    struct chronos_error err = {.struct_size = sizeof(err)};
    int fds[GUARDIAN_SPAWN_FDS_MAX];

    if (!ensure_guardian(s, &err)) {
        finish_with(s, run, CHRONOS_OUTCOME_FAILED, CHRONOS_RETRY_BY_OUTCOME, err.msg);
        return;
    }
    int failed = send_spawn(s, run, fds);
    spawn_files_close(fds);
    if (failed != 0) {
        (void)plugin_error(&err, CHRONOS_IO, failed, "cannot make the pipes of a process");
        finish_with(s, run, CHRONOS_OUTCOME_FAILED, CHRONOS_RETRY_BY_OUTCOME, err.msg);
    }
}

static void spawn_waiting(struct supervisor *s)
{
    while (s->waiting.first != NULL && s->unanswered < GUARDIAN_WINDOW && !s->send_blocked) {
        spawn(s, s->waiting.first);
    }
}

/* ---- Cancelling ---- */

static void send_signal(struct supervisor *s, struct run *run)
{
    struct guardian_request request = {
        .token = run->token, .kind = GUARDIAN_SIGNAL, .signal = (uint32_t)run->pending_signal};
    int failed = guardian_send(&s->guardian, &request, NULL, 0);

    if (failed == EAGAIN) {
        s->send_blocked = true; /* stays pending */
        return;
    }
    run_list_remove(list_of(s, run), run);
    run->pending_signal = 0; /* on another error the guardian, and with it the run, is gone */
    run_list_append(list_of(s, run), run);
}

static void cancel_run(struct supervisor *s, struct run *run, int32_t reason, uint64_t grace_ms)
{
    int64_t kill_at = now_ns(s) + (int64_t)(grace_ms > 86400000 ? 86400000 : grace_ms) * 1000000;

    if (run->state == RUN_WAITING) {
        finish_with(s, run, CHRONOS_OUTCOME_CANCELLED, CHRONOS_RETRY_BY_OUTCOME, "cancelled before it started");
        return;
    }
    if (run->state == RUN_LINGERING || (run->cancel_reason != 0 && run->deadline_ns == 0)) {
        return; /* it has ended, or KILL is on its way */
    }
    if (run->cancel_reason != 0) { /* again, perhaps in more haste */
        run->deadline_ns = kill_at < run->deadline_ns ? kill_at : run->deadline_ns;
        return;
    }
    run_list_remove(list_of(s, run), run);
    run->cancel_reason = reason != 0 ? reason : -1;
    run->pending_signal = grace_ms == 0 ? SIGKILL : run->job.kill_signal;
    run->deadline_ns = grace_ms == 0 ? 0 : kill_at;
    run_list_append(list_of(s, run), run);
    send_signal(s, run);
}

static void check_deadline(struct supervisor *s, struct run *run, int64_t now)
{
    if (run->deadline_ns != 0 && run->deadline_ns <= now) {
        if (run->state == RUN_LINGERING) {
            drain_pipe(s, &run->pipes[0]);
            drain_pipe(s, &run->pipes[1]);
            finish_exited(s, run);
            return;
        }
        run->pending_signal = SIGKILL; /* the grace is over */
        run->deadline_ns = 0;
    }
    if (run->pending_signal != 0) {
        send_signal(s, run);
    }
}

static void check_deadlines(struct supervisor *s)
{
    int64_t now = s->timed.first == NULL ? 0 : now_ns(s);

    for (struct run *run = s->timed.first, *next; run != NULL; run = next) {
        next = run->next;
        check_deadline(s, run, now);
    }
}

/* ---- The thread ---- */

static int wait_ms(const struct supervisor *s)
{
    int64_t earliest = INT64_MAX;

    if (s->send_blocked) {
        return RETRY_MS;
    }
    for (const struct run *run = s->timed.first; run != NULL; run = run->next) {
        if (run->deadline_ns != 0 && run->deadline_ns < earliest) {
            earliest = run->deadline_ns;
        }
    }
    if (earliest == INT64_MAX) {
        return -1;
    }
    int64_t left = (earliest - now_ns(s) + 999999) / 1000000;
    return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

/* One posted cancel, or NULL. Starts are moved first, under the same hold of the lock: whatever run is returned stands
 * in a list of this thread's. */
static struct run *take_posted(struct supervisor *s, int32_t *ret_reason, uint64_t *ret_grace_ms, bool *ret_stopping)
{
    (void)pthread_mutex_lock(&s->lock);
    *ret_stopping = s->stopping;
    s->woken = false;
    for (struct run *run = run_list_take(&s->inbox); run != NULL; run = run_list_take(&s->inbox)) {
        run_list_append(&s->waiting, run);
    }
    struct run *cancelled = s->cancel_inbox;
    if (cancelled != NULL) {
        s->cancel_inbox = cancelled->cancel_next;
        cancelled->cancel_posted = false;
        *ret_reason = cancelled->posted_reason;
        *ret_grace_ms = cancelled->posted_grace_ms;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return cancelled;
}

/* Takes what the dispatcher left; false when the instance is to end. */
static bool take_inbox(struct supervisor *s)
{
    int32_t reason;
    uint64_t grace_ms;
    bool stopping;

    for (;;) {
        struct run *cancelled = take_posted(s, &reason, &grace_ms, &stopping);
        if (cancelled == NULL) {
            return !stopping;
        }
        cancel_run(s, cancelled, reason, grace_ms);
    }
}

static void free_run(struct run *run)
{
    shell_job_deinit(&run->job);
    free(run);
}

static void free_done(struct supervisor *s)
{
    for (struct run *run = run_list_take(&s->done); run != NULL; run = run_list_take(&s->done)) {
        free_run(run);
    }
}

static void dispatch(struct supervisor *s, void *mark)
{
    uint64_t count;

    if (mark == &wake_mark) {
        ssize_t got = read(s->wake_fd, &count, sizeof(count));
        (void)got; /* only empties it: the inbox is looked at every turn */
    } else if (mark == &guardian_mark) {
        guardian_ready(s);
    } else {
        pipe_ready(s, mark);
    }
}

/* The host destroys only when every run has completed or was written off: these are the latter. */
static void end_all(struct supervisor *s)
{
    struct run_list *lists[] = {&s->waiting, &s->running, &s->timed};

    guardian_stop(&s->guardian);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        while (lists[i]->first != NULL) {
            finish_with(s, lists[i]->first, CHRONOS_OUTCOME_LOST, CHRONOS_RETRY_BY_OUTCOME,
                        "the shell executor was stopped");
        }
    }
    free_done(s);
}

static void *thread_main(void *arg)
{
    struct supervisor *s = arg;
    struct epoll_event events[EVENTS_MAX];

    for (;;) {
        int count = epoll_wait(s->epoll_fd, events, EVENTS_MAX, wait_ms(s));
        s->send_blocked = false;
        for (int i = 0; i < count; i++) {
            dispatch(s, events[i].data.ptr);
        }
        if (!take_inbox(s)) {
            break;
        }
        check_deadlines(s);
        spawn_waiting(s);
        free_done(s);
    }
    end_all(s);
    return NULL;
}

/* ---- From the dispatcher ---- */

static void wake(struct supervisor *s)
{
    uint64_t one = 1;
    ssize_t put = write(s->wake_fd, &one, sizeof(one));

    (void)put; /* EAGAIN: it is awake already */
}

int32_t supervisor_start(struct supervisor *s, uint64_t token, struct shell_job *job, struct chronos_error *err)
{
    struct run *run = calloc(1, sizeof(*run));

    if (run == NULL) {
        return plugin_error_retryable(err, CHRONOS_NOMEM, 0, "no memory for a run");
    }
    run->token = token;
    run->job = *job;
    run->pipes[0].fd = run->pipes[1].fd = -1;
    *job = (struct shell_job){0};
    (void)pthread_mutex_lock(&s->lock);
    run_table_add(&s->table, run);
    run_list_append(&s->inbox, run);
    bool sleeping = !s->woken;
    s->woken = true;
    (void)pthread_mutex_unlock(&s->lock);
    if (sleeping) {
        wake(s);
    }
    return CHRONOS_OK;
}

void supervisor_cancel(struct supervisor *s, uint64_t token, int32_t reason, uint64_t grace_ms)
{
    (void)pthread_mutex_lock(&s->lock);
    struct run *run = run_table_find(&s->table, token);
    if (run != NULL) {
        bool sooner = !run->cancel_posted || grace_ms < run->posted_grace_ms;
        run->posted_grace_ms = sooner ? grace_ms : run->posted_grace_ms;
        run->posted_reason = run->cancel_posted ? run->posted_reason : reason;
        if (!run->cancel_posted) {
            run->cancel_posted = true;
            run->cancel_next = s->cancel_inbox;
            s->cancel_inbox = run;
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (run != NULL) {
        wake(s);
    }
}

/* ---- Setup ---- */

static int32_t open_events(struct supervisor *s, struct chronos_error *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &wake_mark};

    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->epoll_fd < 0 || s->wake_fd < 0 || epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->wake_fd, &event) != 0) {
        return plugin_error(err, CHRONOS_IO, errno, "set up the shell executor");
    }
    return CHRONOS_OK;
}

static void close_events(struct supervisor *s)
{
    if (s->epoll_fd >= 0) {
        (void)close(s->epoll_fd);
    }
    if (s->wake_fd >= 0) {
        (void)close(s->wake_fd);
    }
}

/* A plugin's thread takes no signals: they belong to the daemon. */
static int start_thread(struct supervisor *s)
{
    sigset_t all, before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&s->thread, NULL, thread_main, s);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

/* The guardian is started at once: what is wrong with it is seen when the node starts, not at the first job. */
static int32_t start_both(struct supervisor *s, struct chronos_error *err)
{
    if (!ensure_guardian(s, err)) {
        return err->code;
    }
    int failed = start_thread(s);
    if (failed != 0) {
        guardian_stop(&s->guardian);
        return plugin_error(err, CHRONOS_IO, failed, "start the shell executor's thread");
    }
    return CHRONOS_OK;
}

int32_t supervisor_new(const struct chronos_host *host, const char *guardian_path, struct supervisor **ret,
                       struct chronos_error *err)
{
    struct supervisor *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        return plugin_error(err, CHRONOS_NOMEM, 0, "no memory for the shell executor");
    }
    s->host = host;
    int32_t status = guardian_link_init(&s->guardian, guardian_path, err);
    if (status != CHRONOS_OK) {
        goto fail_memory;
    }
    status = open_events(s, err);
    if (status != CHRONOS_OK) {
        goto fail_events;
    }
    (void)pthread_mutex_init(&s->lock, NULL);
    status = start_both(s, err);
    if (status != CHRONOS_OK) {
        goto fail_lock;
    }
    *ret = s;
    return CHRONOS_OK;

fail_lock:
    (void)pthread_mutex_destroy(&s->lock);
fail_events:
    close_events(s);
    guardian_link_deinit(&s->guardian);
fail_memory:
    free(s);
    return status;
}

void supervisor_free(struct supervisor *s)
{
    (void)pthread_mutex_lock(&s->lock);
    s->stopping = true;
    (void)pthread_mutex_unlock(&s->lock);
    wake(s);
    (void)pthread_join(s->thread, NULL);
    (void)pthread_mutex_destroy(&s->lock);
    close_events(s);
    guardian_link_deinit(&s->guardian);
    free(s);
}
