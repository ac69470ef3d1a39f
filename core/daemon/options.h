/* The command line of `chronos`. */
#ifndef CHRONOS_DAEMON_OPTIONS_H
#define CHRONOS_DAEMON_OPTIONS_H

#include "config/config.h"

enum action { ACTION_RUN, ACTION_VERSION, ACTION_HELP, ACTION_CONFIG_VALIDATE, ACTION_STORE_CHECK };

enum { OPTION_OVERRIDES_MAX = 8 };

struct options {
    enum action action;
    const char *config_file; /* NULL: none */
    const char *path;        /* STORE_CHECK: a data directory or a snapshot */
    struct config_override overrides[OPTION_OVERRIDES_MAX];
    uint32_t override_count;
    const char *restore_file; /* --restore-snapshot; NULL: none */
    bool restore_catch_up;
};

/* INVALID with a sentence that names the argument and the nearest known one. Strings are borrowed from argv. */
must_use enum status options_parse(int argc, char **argv, struct options *ret, struct error *err);
extern const char options_help[];

#endif
