/* chronos-plugin-check: what the cases share. A case runs in a process of its own, with its own copy of the plugin, a
 * fresh scratch directory and a seeded generator; it ends by returning (passed), kit_fail or kit_skip. */
#ifndef CHECK_KIT_H
#define CHECK_KIT_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <chronos/plugin.h>

enum { KIT_MAX_OPTIONS = 64, KIT_PATH_SIZE = 1024, KIT_MESSAGE_SIZE = 1024 };

enum kit_outcome { KIT_PASSED = 0, KIT_FAILED = 1, KIT_SKIPPED = 2 };

struct kit_setting {
    const char *key;
    const char *text; /* as a user would write it; NULL: absent */
    int64_t number;   /* of sizes, durations, integers, booleans */
};

/* The minimal host. `table` is what the plugin sees; a case may replace it. */
struct kit_host {
    struct chronos_host_ops ops;
    struct chronos_host table;
    struct kit_setting settings[KIT_MAX_OPTIONS];
    size_t setting_count;
    uint64_t alloc_calls;
    uint64_t alloc_fail_at; /* the call that gets NULL; 0: none */
    int64_t alloc_balance;
    uint64_t log_lines;
    bool failed;            /* the plugin called fail() */
};

struct kit {
    const char *so_path;
    const char *component_id; /* NULL: the first */
    const char *const *overrides; /* "key=value", NULL-terminated; may be NULL */
    uint64_t seed;
    uint64_t random;
    void *library;
    const struct chronos_plugin *plugin;
    const struct chronos_component *component;
    struct kit_host host;
    char scratch[KIT_PATH_SIZE];
    char note[KIT_MESSAGE_SIZE]; /* shown beside a passed case */
    char message[KIT_MESSAGE_SIZE];
    enum kit_outcome outcome; /* with `message`, why the case was left */
    jmp_buf out;
};

struct kit_case {
    const char *name;
    const char *summary;
    int32_t kind; /* enum chronos_kind; 0: every kind */
    unsigned timeout_seconds;
    void (*run)(struct kit *kit);
};

/* The cases of every file, each ended by a NULL name. */
extern const struct kit_case CASES_COMMON[];
extern const struct kit_case CASES_STORAGE[];
extern const struct kit_case CASES_STORAGE_RANDOM[];
extern const struct kit_case CASES_STORAGE_FAULTS[];
extern const struct kit_case CASES_STORAGE_DAMAGE[];

/* From the thread that runs the case only. */
_Noreturn void kit_fail(struct kit *kit, const char *format, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void kit_skip(struct kit *kit, const char *format, ...) __attribute__((format(printf, 2, 3)));
void kit_note(struct kit *kit, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define KIT_EXPECT(kit, condition, ...)     \
    do {                                    \
        if (!(condition)) {                 \
            kit_fail((kit), __VA_ARGS__);   \
        }                                   \
    } while (0)

/* host.c: loads the plugin, finds the component, sets up the host. Fails the case where that is impossible. */
void kit_load(struct kit *kit);
/* A fresh host over the same settings. */
void kit_host_init(struct kit *kit, struct kit_host *host);

/* random.c */
uint64_t random_next(uint64_t *state);
/* 0..limit-1; limit at least 1. */
uint64_t random_below(uint64_t *state, uint64_t limit);
int64_t monotonic_ms(void);
const char *status_name(int32_t status);
/* <scratch>/<name>, created with mode 0700; the result lives as long as the case. */
const char *kit_directory(struct kit *kit, const char *name);
void remove_tree(const char *path);

/* bench.c: JSON lines on standard output. */
void bench_run(struct kit *kit);

#endif
