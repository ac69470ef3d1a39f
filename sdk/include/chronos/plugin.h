/* The descriptor that a plugin hands to the host. This is the umbrella header: it includes all stable ones.
 *
 * Thread tags, written at every function that a plugin provides:
 *   [setup]    any one thread, before the instance is published or after it is withdrawn; several instances of one
 *              component may live at once
 *   [executor] one dispatcher thread per executor instance; one call at a time; a call over 50 ms is logged, one over 5 s
 *              makes the instance "wedged": nothing more is given to it
 *   [writer]   the one writer thread of that instance; one call at a time; may block on disk
 *   [readers]  up to max_readers threads at once, each with its own transaction
 *   [pool]     many at once; pure functions only, no waiting
 *   [loop]     the host's one thread that serves all clients; only where the plugin promises to be quick
 *   [any]      any host or plugin thread, never a signal handler; many at once */
#ifndef CHRONOS_PLUGIN_H
#define CHRONOS_PLUGIN_H

#include "abi.h"
#include "executor.h"
#include "host.h"
#include "storage.h"

#ifdef __cplusplus
extern "C" {
#endif

/* chronos_plugin.features: low 32 bits must be understood by the host or it refuses; high 32 bits are advisory.
 * With PROVISIONAL set, the high 32 bits carry CHRONOS_ABI_REVISION and must equal the host's. */
#define CHRONOS_FEATURE_PROVISIONAL UINT64_C(1)
#define CHRONOS_FEATURES_THIS (CHRONOS_FEATURE_PROVISIONAL | ((uint64_t)CHRONOS_ABI_REVISION << 32))

enum chronos_kind {
    CHRONOS_KIND_STORAGE = 1,
    CHRONOS_KIND_EXECUTOR = 2,
    CHRONOS_KIND_TRIGGER = 3, /* 3..6 are reserved */
    CHRONOS_KIND_NOTIFIER = 4,
    CHRONOS_KIND_SECRETS = 5,
    CHRONOS_KIND_LOG_STORE = 6
};

enum chronos_option_type {
    CHRONOS_OPTION_STRING = 1,
    CHRONOS_OPTION_INT = 2,
    CHRONOS_OPTION_NUMBER = 3,
    CHRONOS_OPTION_BOOL = 4,
    CHRONOS_OPTION_DURATION = 5, /* written "30s"; handed over as milliseconds */
    CHRONOS_OPTION_SIZE = 6,     /* written "64MiB"; handed over as bytes */
    CHRONOS_OPTION_ENUM = 7,     /* one of `limits`, "a|b|c" */
    CHRONOS_OPTION_JSON = 8      /* any JSON value, handed over as normalised text */
};

enum chronos_option_flags {
    CHRONOS_OPTION_REQUIRED = 1,
    CHRONOS_OPTION_SECRET = 2,     /* never logged or returned: masked */
    CHRONOS_OPTION_PER_JOB = 4,    /* a key of a job's "config"; without it, a key of the node's configuration file */
    CHRONOS_OPTION_DEPRECATED = 8, /* accepted with a warning */
    CHRONOS_OPTION_LIST = 16,      /* a JSON array of the type: one chronos_param an element, in order (PER_JOB only) */
    CHRONOS_OPTION_MAP = 32        /* a JSON object of the type: one chronos_param a member (PER_JOB only) */
};

/* One configuration key. The host checks types, limits, required and unknown keys, fills defaults and converts units, for
 * the node's file and for every job, before the plugin sees anything. */
struct chronos_option {
    const char *name;   /* [a-z0-9_]+, groups with dots: "tls.ca_file" is {"tls": {"ca_file": ...}} */
    int32_t type;       /* enum chronos_option_type */
    uint32_t flags;     /* enum chronos_option_flags */
    const char *def;    /* default, as the user would write it; NULL: absent */
    const char *limits; /* INT, NUMBER "1..64"; DURATION "1s..1h"; SIZE "1KiB..1GiB"; STRING, LIST, MAP: byte or element
                           count "1..4096"; ENUM "a|b"; NULL: none */
    const char *help;   /* one sentence */
};

/* What a plugin offers. */
struct chronos_component {
    uint32_t struct_size;
    int32_t kind;          /* enum chronos_kind */
    const char *id;        /* [a-z0-9_-]{1,63}, unique in the process: what a job or the configuration names */
    const char *summary;   /* one line */
    const char *shorthand; /* executors, may be NULL: a job key that selects this executor ("command", "webhook"). A string
                              value becomes the component's first PER_JOB option, an object becomes the whole config */
    const struct chronos_option *options; /* may be NULL */
    uint32_t n_options;
    uint32_t option_stride; /* sizeof(struct chronos_option) as the plugin was compiled */
    const void *ops;        /* chronos_storage_ops or chronos_executor_ops, by kind */

    /* [setup] The configuration is ready in `host`. May allocate and start threads. On failure nothing remains. */
    int32_t (*create)(const struct chronos_host *host, void **self, struct chronos_error *err);
    /* [setup] Once per successful create. Afterwards no thread, fd, child or callback of the instance remains. */
    void (*destroy)(void *self);
    /* [any] Optional slot. A table for the extension id, static or living as long as the instance, or NULL. */
    const void *(*get_extension)(void *self, const char *id);
};

struct chronos_plugin {
    uint32_t magic;       /* CHRONOS_PLUGIN_MAGIC */
    uint32_t struct_size; /* sizeof(struct chronos_plugin) as the plugin was compiled */
    uint16_t abi_major;
    uint16_t abi_minor;
    uint16_t host_minor_min; /* the oldest host it can run on */
    uint16_t reserved0;      /* zero */
    uint64_t features;       /* CHRONOS_FEATURES_THIS while provisional */
    const char *name;        /* [a-z0-9_-]{1,63} */
    const char *version;
    const char *vendor;
    const char *build_info; /* for crash reports */
    const struct chronos_component *const *components; /* NULL-terminated */
};

/* The one exported symbol: pure, any thread, any number of times, no allocation; the result is static. */
CHRONOS_EXPORT const struct chronos_plugin *chronos_plugin_v1(void);
#define CHRONOS_PLUGIN_ENTRY "chronos_plugin_v1"

#ifdef __cplusplus
}
#endif

#endif
