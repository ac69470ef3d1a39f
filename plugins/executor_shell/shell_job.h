/* A job's parameters as the shell executor understands them: checked, and packed for the guardian. */
#ifndef EXECUTOR_SHELL_SHELL_JOB_H
#define EXECUTOR_SHELL_SHELL_JOB_H

#include <stdbool.h>

#include <chronos/plugin.h>

enum { EXIT_CODE_COUNT = 256 };

/* A set of exit codes. */
struct exit_codes {
    uint8_t bits[EXIT_CODE_COUNT / 8];
    bool given; /* at least one was named */
};

struct shell_job {
    struct exit_codes success, retry;
    int kill_signal;
    char *spec; /* struct guardian_spec and its strings */
    size_t spec_size;
    char *stdin_text; /* NULL: /dev/null */
    size_t stdin_size;
    char program[64]; /* for messages: "/bin/sh" or the first argument, cut */
};

/* Who the daemon runs as, found once at create: jobs get it as HOME, USER and LOGNAME. */
struct shell_user {
    char home[256];
    char name[64];
};
void shell_user_init(struct shell_user *user);

/* A job's parameters, before anything is known but them. INVALID with a sentence. [pool] */
int32_t shell_job_check(const struct chronos_run *run, struct chronos_error *err);

/* Everything for one attempt, with its own memory; freed with shell_job_deinit. INVALID, TOOBIG or NOMEM. */
int32_t shell_job_init(struct shell_job *job, const struct shell_user *user, const struct chronos_run *run,
                       struct chronos_error *err);
void shell_job_deinit(struct shell_job *job); /* accepts a zeroed one */

bool exit_codes_have(const struct exit_codes *codes, int code);
bool shell_job_exit_is_success(const struct shell_job *job, int exit_code);
/* enum chronos_retry of a failure; exit_code -1 after a signal. */
int32_t shell_job_retry(const struct shell_job *job, int exit_code);

#endif
