/* The state of one config_load. Internal to this room. */
#ifndef CHRONOS_CONFIG_LOADER_H
#define CHRONOS_CONFIG_LOADER_H

#include "config/keys.h"

/* Where the value of a key was written last. */
struct origin {
    struct place place; /* label NULL: only in the defaults */
    bool is_text;       /* by the environment or the command line */
    bool refused;       /* one of its values was; what stands in the config is an older one */
};

struct loader {
    struct config *config;
    struct problems problems;
    const char *label; /* of the source that is applied now; lives as long as the loader */
    bool is_default;   /* that source is the embedded defaults */
    bool is_text;      /* it is the environment or the command line */
    cJSON *backends;   /* options by backend, until the backend is known */
    struct tree *file;  /* NULL: none */
    const char *file_label;
    struct origin origins[CONFIG_KEYS_MAX]; /* by index in config_keys */
    char variables[CONFIG_KEYS_MAX][ENVIRONMENT_NAME_SIZE]; /* so too */
};

/* Reports INVALID at the value's line in the source applied now; returns false, so that a setter can return it. */
bool loader_refuse(struct loader *loader, const char *key, uint32_t line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
bool loader_out_of_memory(struct loader *loader); /* false */

/* apply.c: a whole tree, or one value given as text; both report. */
void apply_tree(struct loader *loader, const struct tree *root);
void apply_text(struct loader *loader, const struct config_key *key, const char *text);
/* environment.c */
void apply_environment(struct loader *loader, const char *const *environment);
/* checks.c: what involves several keys, after everything is applied. */
void check_config(struct loader *loader);
/* values.c */
void plugins_free(struct config_plugin *plugins, uint32_t count);

/* load.c: config_load with the text of the file at hand (fuzzing, tests); `file` names it in messages. */
must_use enum status config_load_text(const struct config_sources *sources, const char *text, size_t size,
                                      config_report report, void *arg, struct config **ret, struct error *err);
/* The embedded defaults as a tree; NULL when out of memory. Freed with tree_free. */
struct tree *config_defaults(void);
/* Generated from configs/defaults.yaml. */
extern const char config_defaults_text[];
extern const size_t config_defaults_text_size;

#endif
