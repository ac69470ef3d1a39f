/* An executor that runs nothing: for tests and for benches of everything around an executor.
 *
 * With duration 0 a run completes from within start(); with a longer one it completes from this plugin's own timer
 * thread, or from cancel(). */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <chronos/plugin.h>

enum { PENDING_MAX = 65536 };

struct pending {
    uint64_t token;
    int64_t due_ns; /* of the host's monotonic clock */
    int32_t exit_code;
};

struct noop {
    const struct chronos_host *host;
    pthread_t timer;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* waits by CLOCK_MONOTONIC */
    struct pending *heap;   /* the earliest first */
    uint32_t count, capacity;
    int stopping;
};

static int32_t refuse(struct chronos_error *err, int32_t code, uint32_t flags, const char *sentence)
{
    err->code = code;
    err->sys_errno = 0;
    err->flags = flags;
    strncpy(err->msg, sentence, sizeof err->msg - 1);
    err->msg[sizeof err->msg - 1] = '\0';
    return code;
}

/* -- heap ---------------------------------------------------------------------------------------------------------- */

static void swap(struct pending *a, struct pending *b)
{
    struct pending held = *a;
    *a = *b;
    *b = held;
}

static void sift_up(struct noop *noop, uint32_t at)
{
    for (; at > 0 && noop->heap[at].due_ns < noop->heap[(at - 1) / 2].due_ns; at = (at - 1) / 2)
        swap(&noop->heap[at], &noop->heap[(at - 1) / 2]);
}

static void sift_down(struct noop *noop, uint32_t at)
{
    for (;;) {
        uint32_t least = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < noop->count; child++)
            if (noop->heap[child].due_ns < noop->heap[least].due_ns)
                least = child;
        if (least == at)
            return;
        swap(&noop->heap[at], &noop->heap[least]);
        at = least;
    }
}

static struct pending take(struct noop *noop, uint32_t at)
{
    struct pending taken = noop->heap[at];
    noop->heap[at] = noop->heap[--noop->count];
    if (at < noop->count) {
        sift_up(noop, at);
        sift_down(noop, at);
    }
    return taken;
}

static int grow(struct noop *noop)
{
    if (noop->count < noop->capacity)
        return 1;
    uint32_t capacity = noop->capacity ? noop->capacity * 2 : 64;
    struct pending *heap = realloc(noop->heap, capacity * sizeof *heap);
    if (!heap)
        return 0;
    noop->heap = heap;
    noop->capacity = capacity;
    return 1;
}

/* -- runs ---------------------------------------------------------------------------------------------------------- */

static void complete(struct noop *noop, uint64_t token, int32_t outcome, int32_t exit_code)
{
    struct chronos_result result;
    memset(&result, 0, sizeof result);
    result.struct_size = sizeof result;
    result.outcome = outcome;
    result.exit_code = exit_code;
    if (outcome == CHRONOS_OUTCOME_FAILED)
        result.message = "the job asked to fail";
    (void)noop->host->ops->complete(noop->host, token, &result); /* what the host thinks of it changes nothing here */
}

static void complete_done(struct noop *noop, uint64_t token, int32_t exit_code)
{
    complete(noop, token, exit_code ? CHRONOS_OUTCOME_FAILED : CHRONOS_OUTCOME_SUCCESS, exit_code);
}

/* The host's clock says when; the wait itself can only be real time, so it is repeated until the host's clock
 * agrees. */
static void wait_until(struct noop *noop, int64_t due_ns, int64_t now_ns)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    int64_t wait_ns = due_ns - now_ns;
    at.tv_sec += (time_t)(wait_ns / 1000000000);
    at.tv_nsec += (long)(wait_ns % 1000000000);
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&noop->changed, &noop->lock, &at);
}

static void *run_timer(void *arg)
{
    struct noop *noop = arg;
    pthread_mutex_lock(&noop->lock);
    while (!noop->stopping) {
        if (noop->count == 0) {
            pthread_cond_wait(&noop->changed, &noop->lock);
            continue;
        }
        int64_t now_ns = noop->host->ops->now(noop->host, CHRONOS_CLOCK_MONOTONIC);
        if (noop->heap[0].due_ns > now_ns) {
            wait_until(noop, noop->heap[0].due_ns, now_ns);
            continue;
        }
        struct pending done = take(noop, 0);
        pthread_mutex_unlock(&noop->lock);
        complete_done(noop, done.token, done.exit_code);
        pthread_mutex_lock(&noop->lock);
    }
    pthread_mutex_unlock(&noop->lock);
    return NULL;
}

struct wishes {
    int64_t duration_ms;
    int32_t exit_code;
    const struct chronos_bytes *output;
};

/* Values were checked by the host: they are what the options promise. */
static struct wishes read_wishes(const struct chronos_run *run)
{
    struct wishes wishes = {0, 0, NULL};
    int fail = 0;
    for (uint32_t i = 0; i < run->n_params; i++) {
        const struct chronos_param *param = &run->params[i];
        const char *text = (const char *)param->value.data;
        if (strcmp(param->name, "duration") == 0)
            wishes.duration_ms = strtoll(text, NULL, 10);
        else if (strcmp(param->name, "exit_code") == 0)
            wishes.exit_code = (int32_t)strtol(text, NULL, 10);
        else if (strcmp(param->name, "fail") == 0)
            fail = strcmp(text, "true") == 0;
        else if (strcmp(param->name, "output") == 0)
            wishes.output = &param->value;
    }
    if (fail && wishes.exit_code == 0)
        wishes.exit_code = 1;
    return wishes;
}

static int32_t noop_start(void *self, const struct chronos_run *run, struct chronos_error *err)
{
    struct noop *noop = self;
    struct wishes wishes = read_wishes(run);
    if (wishes.output && wishes.output->size > 0)
        (void)noop->host->ops->output(noop->host, run->run_token, CHRONOS_STREAM_STDOUT, wishes.output->data,
                                      wishes.output->size); /* over its quota, the rest is not kept: fine */
    if (wishes.duration_ms == 0) {
        complete_done(noop, run->run_token, wishes.exit_code);
        return CHRONOS_OK;
    }
    int64_t due_ns = noop->host->ops->now(noop->host, CHRONOS_CLOCK_MONOTONIC) + wishes.duration_ms * 1000000;
    int32_t code = CHRONOS_OK;
    pthread_mutex_lock(&noop->lock);
    if (noop->count >= PENDING_MAX) {
        code = refuse(err, CHRONOS_BUSY, CHRONOS_ERROR_RETRYABLE, "too many runs at once");
    } else if (!grow(noop)) {
        code = refuse(err, CHRONOS_NOMEM, CHRONOS_ERROR_RETRYABLE, "out of memory");
    } else {
        noop->heap[noop->count] = (struct pending){run->run_token, due_ns, wishes.exit_code};
        sift_up(noop, noop->count++);
        pthread_cond_signal(&noop->changed);
    }
    pthread_mutex_unlock(&noop->lock);
    return code;
}

static void noop_cancel(void *self, uint64_t run_token, int32_t reason, uint64_t grace_ms)
{
    struct noop *noop = self;
    int found = 0;
    (void)reason;
    (void)grace_ms;
    pthread_mutex_lock(&noop->lock);
    for (uint32_t i = 0; i < noop->count && !found; i++)
        if (noop->heap[i].token == run_token) {
            (void)take(noop, i);
            found = 1;
        }
    pthread_mutex_unlock(&noop->lock);
    if (found)
        complete(noop, run_token, CHRONOS_OUTCOME_CANCELLED, -1);
}

/* -- life ---------------------------------------------------------------------------------------------------------- */

/* Signals are the daemon's: the thread is born with all of them blocked. */
static int start_timer(struct noop *noop)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&noop->timer, NULL, run_timer, noop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return !failed;
}

static int32_t noop_create(const struct chronos_host *host, void **self, struct chronos_error *err)
{
    struct noop *noop = calloc(1, sizeof *noop);
    if (!noop)
        return refuse(err, CHRONOS_NOMEM, 0, "out of memory");
    noop->host = host;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&noop->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&noop->lock, NULL);
    if (!start_timer(noop)) {
        pthread_cond_destroy(&noop->changed);
        pthread_mutex_destroy(&noop->lock);
        free(noop);
        return refuse(err, CHRONOS_BUSY, CHRONOS_ERROR_RETRYABLE, "cannot start the timer thread");
    }
    *self = noop;
    return CHRONOS_OK;
}

static void noop_destroy(void *self)
{
    struct noop *noop = self;
    pthread_mutex_lock(&noop->lock);
    noop->stopping = 1;
    pthread_cond_signal(&noop->changed);
    pthread_mutex_unlock(&noop->lock);
    pthread_join(noop->timer, NULL);
    pthread_cond_destroy(&noop->changed);
    pthread_mutex_destroy(&noop->lock);
    free(noop->heap);
    free(noop);
}

static const struct chronos_option options[] = {
    {"duration", CHRONOS_OPTION_DURATION, CHRONOS_OPTION_PER_JOB, "0", "0..24h", "How long a run lasts."},
    {"fail", CHRONOS_OPTION_BOOL, CHRONOS_OPTION_PER_JOB, "false", NULL, "End with a failure."},
    {"exit_code", CHRONOS_OPTION_INT, CHRONOS_OPTION_PER_JOB, "0", "0..255", "Exit code; all but 0 are failures."},
    {"output", CHRONOS_OPTION_STRING, CHRONOS_OPTION_PER_JOB, NULL, "0..65536", "Text to write as the run's output."},
};

static const struct chronos_executor_ops ops = {
    .struct_size = sizeof ops,
    .start = noop_start,
    .cancel = noop_cancel,
};

static const struct chronos_component component = {
    .struct_size = sizeof component,
    .kind = CHRONOS_KIND_EXECUTOR,
    .id = "noop",
    .summary = "Runs nothing",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .option_stride = sizeof *options,
    .ops = &ops,
    .create = noop_create,
    .destroy = noop_destroy,
};

static const struct chronos_component *const components[] = {&component, NULL};

static const struct chronos_plugin plugin = {
    .magic = CHRONOS_PLUGIN_MAGIC,
    .struct_size = sizeof plugin,
    .abi_major = CHRONOS_ABI_MAJOR,
    .abi_minor = CHRONOS_ABI_MINOR,
    .features = CHRONOS_FEATURES_THIS,
    .name = "executor_noop",
    .version = "1",
    .vendor = "Chronos tests",
    .components = components,
};

const struct chronos_plugin *chronos_plugin_v1(void)
{
    return &plugin;
}
