/* An executor whose runs do what a test asks for, and that writes down every call and every answer of the host.
 *
 * Waiting is for files: a run with a `gate` goes on when that file exists. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <chronos/plugin.h>

enum { RUNS_MAX = 4096, PATH_SIZE = 512, POLL_NS = 2000000 };

struct probe_run {
    uint64_t token;
    int32_t outcome; /* at the gate; 0: never */
    int32_t on_cancel; /* outcome then; 0: it does not listen */
    int again; /* complete once more */
    char gate[PATH_SIZE];
};

struct probe {
    const struct chronos_host *host;
    int journal; /* -1: none */
    pthread_t thread;
    pthread_mutex_t lock;
    struct probe_run runs[RUNS_MAX];
    uint32_t count;
    int stopping;
};

__attribute__((format(printf, 2, 3))) static void note(struct probe *probe, const char *format, ...)
{
    char line[1024];
    va_list args;
    if (probe->journal < 0)
        return;
    va_start(args, format);
    int size = vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    if (size < 0 || size > (int)sizeof line - 2)
        size = (int)sizeof line - 2;
    line[size++] = '\n';
    if (write(probe->journal, line, (size_t)size) != size)
        abort();
}

static void complete(struct probe *probe, uint64_t token, int32_t outcome, const char *message)
{
    struct chronos_result result;
    memset(&result, 0, sizeof result);
    result.struct_size = sizeof result;
    result.outcome = outcome;
    result.exit_code = outcome == CHRONOS_OUTCOME_SUCCESS ? 0 : outcome == CHRONOS_OUTCOME_FAILED ? 3 : -1;
    result.message = message;
    int32_t code = probe->host->ops->complete(probe->host, token, &result);
    note(probe, "completed %d", (int)code);
}

static int passed(const char *gate)
{
    return gate[0] != '\0' && access(gate, F_OK) == 0;
}

/* With the lock held: takes out the first run whose gate is open. */
static int take_open(struct probe *probe, struct probe_run *ret)
{
    for (uint32_t i = 0; i < probe->count; i++)
        if (probe->runs[i].outcome != 0 && passed(probe->runs[i].gate)) {
            *ret = probe->runs[i];
            probe->runs[i] = probe->runs[--probe->count];
            return 1;
        }
    return 0;
}

static void *work(void *arg)
{
    struct probe *probe = arg;
    pthread_mutex_lock(&probe->lock);
    while (!probe->stopping) {
        struct probe_run run;
        int found = take_open(probe, &run);
        pthread_mutex_unlock(&probe->lock);
        if (found) {
            complete(probe, run.token, run.outcome, "the gate is open");
            if (run.again)
                complete(probe, run.token, run.outcome, "once more");
        } else {
            nanosleep(&(struct timespec){0, POLL_NS}, NULL);
        }
        pthread_mutex_lock(&probe->lock);
    }
    pthread_mutex_unlock(&probe->lock);
    return NULL;
}

/* -- starting -------------------------------------------------------------------------------------------------------- */

static const char *param(const struct chronos_run *run, const char *name)
{
    for (uint32_t i = 0; i < run->n_params; i++)
        if (strcmp(run->params[i].name, name) == 0)
            return run->params[i].value.data;
    return "";
}

static void write_output(struct probe *probe, const struct chronos_run *run)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    int64_t left = strtoll(param(run, "output"), NULL, 10), at = 0;
    const char *text = param(run, "text");
    char block[1000];
    int32_t code = 0;
    if (text[0] != '\0')
        code = probe->host->ops->output(probe->host, run->run_token, CHRONOS_STREAM_STDERR, text, strlen(text));
    while (left > 0) {
        uint64_t size = left < (int64_t)sizeof block ? (uint64_t)left : sizeof block;
        for (uint64_t i = 0; i < size; i++)
            block[i] = letters[(at + (int64_t)i) % 26];
        code = probe->host->ops->output(probe->host, run->run_token, CHRONOS_STREAM_STDOUT, block, size);
        left -= (int64_t)size;
        at += (int64_t)size;
    }
    if (at > 0 || text[0] != '\0')
        note(probe, "output %d", (int)code);
}

static int32_t refuse(struct chronos_error *err, int32_t code, uint32_t flags, const char *sentence)
{
    err->code = code;
    err->flags = flags;
    snprintf(err->msg, sizeof err->msg, "%s", sentence);
    return code;
}

static int keep(struct probe *probe, const struct chronos_run *run, int32_t outcome, int32_t on_cancel, int again)
{
    pthread_mutex_lock(&probe->lock);
    int fits = probe->count < RUNS_MAX;
    if (fits) {
        struct probe_run *kept = &probe->runs[probe->count++];
        memset(kept, 0, sizeof *kept);
        kept->token = run->run_token;
        kept->outcome = outcome;
        kept->on_cancel = on_cancel;
        kept->again = again;
        snprintf(kept->gate, sizeof kept->gate, "%s", param(run, "gate"));
    }
    pthread_mutex_unlock(&probe->lock);
    return fits;
}

static int32_t probe_start(void *self, const struct chronos_run *run, struct chronos_error *err)
{
    struct probe *probe = self;
    const char *act = param(run, "act");
    int kept = 1;
    if (strcmp(param(run, "quiet"), "true") != 0)
        note(probe, "start %s attempt=%u/%u job=%s version=%llu trigger=%s key=%s trace=%s node=%s text=%s", run->execution_id,
             (unsigned)run->attempt, (unsigned)run->max_attempts, run->job_name, (unsigned long long)run->job_version,
             run->trigger, run->idempotency_key, run->traceparent, run->node_id, param(run, "text"));
    write_output(probe, run);
    if (strcmp(act, "succeed") == 0)
        complete(probe, run->run_token, CHRONOS_OUTCOME_SUCCESS, NULL);
    else if (strcmp(act, "fail") == 0)
        complete(probe, run->run_token, CHRONOS_OUTCOME_FAILED, "it went wrong");
    else if (strcmp(act, "wait") == 0)
        kept = keep(probe, run, CHRONOS_OUTCOME_SUCCESS, CHRONOS_OUTCOME_CANCELLED, 0);
    else if (strcmp(act, "stubborn") == 0)
        kept = keep(probe, run, CHRONOS_OUTCOME_SUCCESS, 0, 1);
    else if (strcmp(act, "succeed_late") == 0)
        kept = keep(probe, run, CHRONOS_OUTCOME_SUCCESS, CHRONOS_OUTCOME_SUCCESS, 0);
    else if (strcmp(act, "cancelled") == 0)
        complete(probe, run->run_token, CHRONOS_OUTCOME_CANCELLED, NULL);
    else if (strcmp(act, "refuse") == 0)
        return refuse(err, CHRONOS_BUSY, CHRONOS_ERROR_RETRYABLE, "no place left");
    else if (strcmp(act, "refuse_for_ever") == 0)
        return refuse(err, CHRONOS_INVALID, 0, "no such program");
    else if (strcmp(act, "hang") == 0) {
        while (!passed(param(run, "gate")))
            nanosleep(&(struct timespec){0, POLL_NS}, NULL);
        complete(probe, run->run_token, CHRONOS_OUTCOME_SUCCESS, NULL);
    } else if (strcmp(act, "break") == 0) {
        struct chronos_error broken = {.struct_size = sizeof broken, .code = CHRONOS_INTERNAL};
        snprintf(broken.msg, sizeof broken.msg, "the probe is broken");
        kept = keep(probe, run, 0, 0, 0);
        probe->host->ops->fail(probe->host, &broken);
    }
    return kept ? CHRONOS_OK : refuse(err, CHRONOS_BUSY, CHRONOS_ERROR_RETRYABLE, "too many runs at once");
}

static void probe_cancel(void *self, uint64_t token, int32_t reason, uint64_t grace_ms)
{
    struct probe *probe = self;
    int32_t outcome = 0;
    note(probe, "cancel reason=%d grace=%llu", (int)reason, (unsigned long long)grace_ms);
    pthread_mutex_lock(&probe->lock);
    for (uint32_t i = 0; i < probe->count; i++)
        if (probe->runs[i].token == token && probe->runs[i].on_cancel != 0) {
            outcome = probe->runs[i].on_cancel;
            probe->runs[i] = probe->runs[--probe->count];
            break;
        }
    pthread_mutex_unlock(&probe->lock);
    if (outcome != 0)
        complete(probe, token, outcome, NULL);
}

static void probe_drain(void *self, uint64_t grace_ms)
{
    note(self, "drain grace=%llu", (unsigned long long)grace_ms);
}

static int32_t probe_validate(void *self, const struct chronos_run *run, struct chronos_error *err)
{
    (void)self;
    if (strcmp(param(run, "act"), "hang") == 0 && param(run, "gate")[0] == '\0')
        return refuse(err, CHRONOS_INVALID, 0, "a run that hangs needs a gate");
    return CHRONOS_OK;
}

/* -- life ------------------------------------------------------------------------------------------------------------ */

static int32_t probe_create(const struct chronos_host *host, void **self, struct chronos_error *err)
{
    const char *path = NULL;
    struct probe *probe = calloc(1, sizeof *probe);
    if (!probe)
        return refuse(err, CHRONOS_NOMEM, 0, "out of memory");
    probe->host = host;
    probe->journal = -1;
    if (host->ops->config_string(host, "journal", &path) == CHRONOS_OK)
        probe->journal = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pthread_mutex_init(&probe->lock, NULL);
    if (pthread_create(&probe->thread, NULL, work, probe) != 0) {
        free(probe);
        return refuse(err, CHRONOS_BUSY, 0, "no thread");
    }
    *self = probe;
    return CHRONOS_OK;
}

static void probe_destroy(void *self)
{
    struct probe *probe = self;
    pthread_mutex_lock(&probe->lock);
    probe->stopping = 1;
    pthread_mutex_unlock(&probe->lock);
    pthread_join(probe->thread, NULL);
    pthread_mutex_destroy(&probe->lock);
    if (probe->journal >= 0)
        close(probe->journal);
    free(probe);
}

static const struct chronos_option options[] = {
    {"journal", CHRONOS_OPTION_STRING, 0, NULL, NULL, "File to write calls to."},
    {"act", CHRONOS_OPTION_ENUM, CHRONOS_OPTION_PER_JOB, "succeed",
     "succeed|fail|wait|stubborn|succeed_late|cancelled|refuse|refuse_for_ever|hang|break", "What a run does."},
    {"gate", CHRONOS_OPTION_STRING, CHRONOS_OPTION_PER_JOB, NULL, "0..500", "File that lets it go on."},
    {"output", CHRONOS_OPTION_SIZE, CHRONOS_OPTION_PER_JOB, "0", NULL, "Bytes of alphabet to write."},
    {"text", CHRONOS_OPTION_STRING, CHRONOS_OPTION_PER_JOB, NULL, NULL, "Text to write first."},
    {"quiet", CHRONOS_OPTION_BOOL, CHRONOS_OPTION_PER_JOB, "false", NULL, "Do not write the start down."},
};

static const struct chronos_executor_ops ops = {
    .struct_size = sizeof ops,
    .validate = probe_validate,
    .start = probe_start,
    .cancel = probe_cancel,
    .drain = probe_drain,
};

static const struct chronos_component component = {
    .struct_size = sizeof component,
    .kind = CHRONOS_KIND_EXECUTOR,
    .id = "probe",
    .summary = "Does what a test asks for",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .option_stride = sizeof *options,
    .ops = &ops,
    .create = probe_create,
    .destroy = probe_destroy,
};

static const struct chronos_component *const components[] = {&component, NULL};

static const struct chronos_plugin plugin = {
    .magic = CHRONOS_PLUGIN_MAGIC,
    .struct_size = sizeof plugin,
    .abi_major = CHRONOS_ABI_MAJOR,
    .abi_minor = CHRONOS_ABI_MINOR,
    .features = CHRONOS_FEATURES_THIS,
    .name = "executor_probe",
    .version = "1",
    .vendor = "Chronos tests",
    .components = components,
};

const struct chronos_plugin *chronos_plugin_v1(void)
{
    return &plugin;
}
