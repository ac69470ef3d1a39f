/* The table that a plugin calls (chronos/host.h). Everything that arrives here is foreign: lengths, text, codes and
 * struct sizes are checked, and what breaks the contract is logged as misbehaviour of the plugin. No function here calls
 * back into the plugin, and the only lock is a leaf that is held for a few instructions. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/limits.h"
#include "base/log.h"
#include "plugin/private.h"

/* -- log ----------------------------------------------------------------------------------------------------------- */

enum { NS_PER_SECOND = 1000000000, LOG_INTERVAL_NS = NS_PER_SECOND / PLUGIN_LOG_PER_SECOND };
#define LOG_CREDIT_MAX_NS ((uint64_t)PLUGIN_LOG_BURST * LOG_INTERVAL_NS)

void plugin_log_limit_init(struct plugin_log_limit *limit, const struct clock *clock)
{
    *limit = (struct plugin_log_limit){.credit_ns = LOG_CREDIT_MAX_NS,
                                       .refilled_at_ns = clock->monotonic_ns(clock->arg)};
    pthread_mutex_init(&limit->lock, NULL);
}

void plugin_log_limit_deinit(struct plugin_log_limit *limit)
{
    pthread_mutex_destroy(&limit->lock);
}

/* May one more line be written? On true, *ret_dropped is what was dropped since the last line. */
static bool limit_take(struct plugin_log_limit *limit, uint64_t now_ns, uint64_t *ret_dropped)
{
    pthread_mutex_lock(&limit->lock);
    /* Threads read the clock before they get here: a later one may have refilled already. */
    if (now_ns > limit->refilled_at_ns) {
        uint64_t gained = now_ns - limit->refilled_at_ns, room = LOG_CREDIT_MAX_NS - limit->credit_ns;
        limit->credit_ns += gained < room ? gained : room;
        limit->refilled_at_ns = now_ns;
    }
    bool granted = limit->credit_ns >= LOG_INTERVAL_NS;
    if (granted) {
        limit->credit_ns -= LOG_INTERVAL_NS;
        *ret_dropped = limit->dropped;
        limit->dropped = 0;
    } else {
        limit->dropped++;
    }
    pthread_mutex_unlock(&limit->lock);
    return granted;
}

static void say_dropped(const struct plugin_host_data *data, uint64_t dropped)
{
    LOG_WARN("plugin log lines dropped", LOG_STRING("plugin", data->component->plugin_name),
             LOG_STRING("instance", data->label), LOG_U64("count", dropped));
}

void plugin_log_limit_report(struct plugin_host_data *data)
{
    pthread_mutex_lock(&data->limit.lock);
    uint64_t dropped = data->limit.dropped;
    data->limit.dropped = 0;
    pthread_mutex_unlock(&data->limit.lock);
    if (dropped)
        say_dropped(data, dropped);
}

static void log_limited(struct plugin_host_data *data, enum log_level level, const char *event, const char *key,
                        const char *text)
{
    uint64_t dropped = 0;
    if (!log_enabled(level) || !limit_take(&data->limit, data->clock.monotonic_ns(data->clock.arg), &dropped))
        return;
    if (dropped)
        say_dropped(data, dropped);
    const struct log_field fields[] = {{.key = event},
                                       LOG_STRING("plugin", data->component->plugin_name),
                                       LOG_STRING("instance", data->label),
                                       LOG_STRING(key, text),
                                       {.key = NULL}};
    log_write(level, fields);
}

static void misbehaviour(struct plugin_host_data *data, const char *what)
{
    log_limited(data, LOG_LEVEL_WARN, "plugin misbehaviour", "reason", what);
}

static enum log_level level_of(int32_t level)
{
    if (level <= CHRONOS_LOG_DEBUG)
        return LOG_LEVEL_DEBUG;
    if (level == CHRONOS_LOG_INFO)
        return LOG_LEVEL_INFO;
    return level == CHRONOS_LOG_WARN ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR;
}

static void host_log(const struct chronos_host *host, int32_t level, const char *message, uint64_t size)
{
    struct plugin_host_data *data = host->data;
    enum log_level kept = level_of(level);
    if (!log_enabled(kept))
        return;
    char text[PLUGIN_LOG_LINE_MAX + 1];
    (void)plugin_text_clean(text, sizeof text, message, size);
    log_limited(data, kept, "plugin message", "message", text);
}

static int32_t host_log_level(const struct chronos_host *host)
{
    (void)host; /* one level for the whole process */
    switch (log_lowest()) {
    case LOG_LEVEL_DEBUG: return CHRONOS_LOG_DEBUG;
    case LOG_LEVEL_INFO: return CHRONOS_LOG_INFO;
    case LOG_LEVEL_WARN: return CHRONOS_LOG_WARN;
    default: return CHRONOS_LOG_ERROR;
    }
}

/* -- runs ---------------------------------------------------------------------------------------------------------- */

#define RESULT_SIZE_1_0 (offsetof(struct chronos_result, n_attributes) + sizeof(uint64_t))

/* A copy of the host's size, every field in its range. A result that cannot be believed becomes LOST: the run did end,
 * and only LOST says that nobody knows how. `message` holds the text that the copy points to. */
static struct chronos_result checked_result(struct plugin_host_data *data, const struct chronos_result *given,
                                            char message[RUN_ERROR_MAX + 1])
{
    struct chronos_result result = {.struct_size = sizeof result, .outcome = CHRONOS_OUTCOME_LOST, .exit_code = -1};
    if (!given || given->struct_size < RESULT_SIZE_1_0 || given->struct_size > PLUGIN_STRUCT_SIZE_MAX) {
        misbehaviour(data, "complete() was called without a result of ABI 1.0; the run counts as lost");
        result.message = "the executor reported the end of the run without a valid result";
        return result;
    }
    memcpy(&result, given, given->struct_size < sizeof result ? given->struct_size : sizeof result);
    result.struct_size = sizeof result;
    result.attributes = NULL; /* reserved for later hosts */
    result.n_attributes = 0;
    if (result.message) {
        (void)plugin_text_clean(message, RUN_ERROR_MAX + 1, result.message, strnlen(result.message, RUN_ERROR_MAX + 1));
        result.message = message;
    }
    if (result.outcome < CHRONOS_OUTCOME_SUCCESS || result.outcome > CHRONOS_OUTCOME_LOST) {
        misbehaviour(data, "complete() was called with an unknown outcome; the run counts as lost");
        result.outcome = CHRONOS_OUTCOME_LOST;
    }
    if (result.retry < CHRONOS_RETRY_BY_OUTCOME || result.retry > CHRONOS_RETRY_NO) {
        misbehaviour(data, "complete() was called with an unknown retry; the outcome decides");
        result.retry = CHRONOS_RETRY_BY_OUTCOME;
    }
    if (result.retry_after_ms < 0) {
        misbehaviour(data, "complete() was called with a negative retry_after_ms; it is ignored");
        result.retry_after_ms = 0;
    }
    return result;
}

static int32_t host_complete(const struct chronos_host *host, uint64_t run_token, const struct chronos_result *given)
{
    struct plugin_host_data *data = host->data;
    if (!data->sink.complete) {
        misbehaviour(data, "complete() was called by a component that runs nothing");
        return CHRONOS_MISUSE;
    }
    char message[RUN_ERROR_MAX + 1];
    struct chronos_result result = checked_result(data, given, message);
    int32_t code = data->sink.complete(data->sink.arg, run_token, &result);
    if (code == CHRONOS_MISUSE)
        misbehaviour(data, "a run was completed twice, or never started");
    return code;
}

static int32_t host_output(const struct chronos_host *host, uint64_t run_token, int32_t stream, const void *bytes,
                           uint64_t size)
{
    struct plugin_host_data *data = host->data;
    if (!data->sink.output) {
        misbehaviour(data, "output() was called by a component that runs nothing");
        return CHRONOS_MISUSE;
    }
    if ((stream != CHRONOS_STREAM_STDOUT && stream != CHRONOS_STREAM_STDERR) || (!bytes && size > 0)) {
        misbehaviour(data, "output() was called with an unknown stream or without data");
        return CHRONOS_INVALID;
    }
    return data->sink.output(data->sink.arg, run_token, stream, bytes, size);
}

/* -- configuration ------------------------------------------------------------------------------------------------- */

static const struct plugin_config_value *find_value(const struct chronos_host *host, const char *key)
{
    const struct plugin_host_data *data = host->data;
    for (uint32_t i = 0; key && i < data->value_count; i++)
        if (strcmp(data->values[i].name, key) == 0)
            return &data->values[i];
    return NULL;
}

/* Any type, as the text of chronos_param.value. */
static int32_t host_config_string(const struct chronos_host *host, const char *key, const char **out)
{
    const struct plugin_config_value *value = find_value(host, key);
    if (!value)
        return CHRONOS_NOTFOUND;
    *out = value->text;
    return CHRONOS_OK;
}

static int32_t host_config_int(const struct chronos_host *host, const char *key, int64_t *out)
{
    const struct plugin_config_value *value = find_value(host, key);
    if (!value)
        return CHRONOS_NOTFOUND;
    if (value->type != CHRONOS_OPTION_INT && value->type != CHRONOS_OPTION_DURATION &&
        value->type != CHRONOS_OPTION_SIZE)
        return CHRONOS_INVALID;
    *out = value->integer;
    return CHRONOS_OK;
}

static int32_t host_config_bool(const struct chronos_host *host, const char *key, int32_t *out)
{
    const struct plugin_config_value *value = find_value(host, key);
    if (!value)
        return CHRONOS_NOTFOUND;
    if (value->type != CHRONOS_OPTION_BOOL)
        return CHRONOS_INVALID;
    *out = value->integer != 0;
    return CHRONOS_OK;
}

/* -- the rest ------------------------------------------------------------------------------------------------------ */

static int64_t host_now(const struct chronos_host *host, int32_t clock)
{
    const struct plugin_host_data *data = host->data;
    if (clock == CHRONOS_CLOCK_WALL)
        return data->clock.wall_ms(data->clock.arg) * 1000000;
    return (int64_t)data->clock.monotonic_ns(data->clock.arg);
}

/* Stands before what alloc returns, so that release knows what goes. */
struct memory_head {
    _Alignas(max_align_t) uint64_t size;
};

static void *host_alloc(const struct chronos_host *host, uint64_t size)
{
    struct plugin_host_data *data = host->data;
    if (size > PTRDIFF_MAX - sizeof(struct memory_head))
        return NULL;
    struct memory_head *head = malloc(sizeof *head + (size_t)size);
    if (!head)
        return NULL;
    head->size = size;
    atomic_fetch_add(&data->memory_bytes, size);
    atomic_fetch_add(&data->memory_blocks, 1);
    return head + 1;
}

static void host_release(const struct chronos_host *host, void *pointer)
{
    struct plugin_host_data *data = host->data;
    if (!pointer)
        return;
    struct memory_head *head = (struct memory_head *)pointer - 1;
    atomic_fetch_sub(&data->memory_bytes, head->size);
    atomic_fetch_sub(&data->memory_blocks, 1);
    free(head);
}

#define ERROR_SIZE_1_0 (offsetof(struct chronos_error, msg) + sizeof(((struct chronos_error *)0)->msg))

/* Once per instance: what follows the first call adds nothing. */
static void host_fail(const struct chronos_host *host, const struct chronos_error *given)
{
    struct plugin_host_data *data = host->data;
    if (atomic_exchange(&data->failed, true))
        return;
    struct chronos_error from = plugin_error_ready();
    from.code = CHRONOS_INTERNAL;
    if (given && given->struct_size >= ERROR_SIZE_1_0) {
        from.code = given->code < 0 ? given->code : CHRONOS_INTERNAL;
        from.sys_errno = given->sys_errno;
        from.flags = given->flags;
        (void)plugin_text_clean(from.msg, sizeof from.msg, given->msg, strnlen(given->msg, sizeof given->msg));
    }
    /* Not through the limit: this line must be seen. */
    LOG_ERROR("plugin instance failed", LOG_STRING("plugin", data->component->plugin_name),
              LOG_STRING("instance", data->label), LOG_INT("code", from.code), LOG_STRING("error", from.msg));
    if (!data->sink.failed)
        fatal("a store gave up", &(struct error){.code = STATUS_IO}); /* nothing can be synced any more */
    data->sink.failed(data->sink.arg, &from);
}

static const void *host_get_extension(const struct chronos_host *host, const char *id)
{
    (void)host; /* ABI 1.0 has no host extension yet; NULL is the answer to every unknown id */
    (void)id;
    return NULL;
}

const struct chronos_host_ops plugin_host_ops = {
    .struct_size = sizeof(struct chronos_host_ops),
    .abi_major = CHRONOS_ABI_MAJOR,
    .abi_minor = CHRONOS_ABI_MINOR,
    .log = host_log,
    .log_level = host_log_level,
    .complete = host_complete,
    .output = host_output,
    .config_string = host_config_string,
    .config_int = host_config_int,
    .config_bool = host_config_bool,
    .now = host_now,
    .alloc = host_alloc,
    .release = host_release,
    .fail = host_fail,
    .get_extension = host_get_extension,
};
