/* What the host offers to an instance. One table per instance; every slot [any]; never from a signal handler.
 * Host functions never call back into the plugin on the same stack, so a plugin may hold its own lock around them. */
#ifndef CHRONOS_HOST_H
#define CHRONOS_HOST_H

#include "abi.h"

#ifdef __cplusplus
extern "C" {
#endif

struct chronos_result; /* executor.h */
struct chronos_host;

enum chronos_log_level {
    CHRONOS_LOG_DEBUG = 0,
    CHRONOS_LOG_INFO = 1,
    CHRONOS_LOG_WARN = 2,
    CHRONOS_LOG_ERROR = 3
};

enum chronos_clock {
    CHRONOS_CLOCK_WALL = 0,     /* nanoseconds since 1970 UTC */
    CHRONOS_CLOCK_MONOTONIC = 1 /* nanoseconds since an arbitrary point */
};

enum chronos_stream {
    CHRONOS_STREAM_STDOUT = 1,
    CHRONOS_STREAM_STDERR = 2
};

struct chronos_host_ops {
    uint32_t struct_size;
    uint16_t abi_major; /* the host's own */
    uint16_t abi_minor;

    /* One line, copied; never blocks; over the rate limit it is dropped and counted. The host adds plugin and instance. */
    void (*log)(const struct chronos_host *host, int32_t level, const char *message, uint64_t size);
    /* The lowest level that is kept now. */
    int32_t (*log_level)(const struct chronos_host *host);

    /* Executors. Exactly once per started run. OK first; MISUSE on a repeat; NOTFOUND when the run was written off. */
    int32_t (*complete)(const struct chronos_host *host, uint64_t run_token, const struct chronos_result *result);
    /* Executors. Output, copied before return. TOOBIG once the run's quota is spent (keep draining: bytes are counted, not
     * kept); NOTFOUND after completion. */
    int32_t (*output)(const struct chronos_host *host, uint64_t run_token, int32_t stream, const void *data, uint64_t size);

    /* The instance's configuration, validated and defaulted; borrowed until destroy. NOTFOUND: not one of the options, or
     * absent and without a default. Durations are milliseconds, sizes bytes. */
    int32_t (*config_string)(const struct chronos_host *host, const char *key, const char **out);
    int32_t (*config_int)(const struct chronos_host *host, const char *key, int64_t *out);
    int32_t (*config_bool)(const struct chronos_host *host, const char *key, int32_t *out);

    /* Nanoseconds of a chronos_clock: the only clocks to use, so that tests own time. */
    int64_t (*now)(const struct chronos_host *host, int32_t clock);

    /* Optional memory, accounted to the plugin. What the plugin allocates, the plugin releases. */
    void *(*alloc)(const struct chronos_host *host, uint64_t size);
    void (*release)(const struct chronos_host *host, void *pointer);

    /* The instance is beyond repair: an executor's runs are lost and taken over, a storage instance stops the node. */
    void (*fail)(const struct chronos_host *host, const struct chronos_error *err);
    /* Host extensions by id; NULL when unknown. */
    const void *(*get_extension)(const struct chronos_host *host, const char *id);
};

struct chronos_host {
    const struct chronos_host_ops *ops;
    void *data; /* the host's own */
};

#ifdef __cplusplus
}
#endif

#endif
