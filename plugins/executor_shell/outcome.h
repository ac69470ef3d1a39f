/* From what happened to a process to what the host is told. Pure. */
#ifndef EXECUTOR_SHELL_OUTCOME_H
#define EXECUTOR_SHELL_OUTCOME_H

#include "run_table.h"

enum { MESSAGE_SIZE = 400 };

/* A run whose leader has ended (run->exit). The result borrows `message`. */
struct chronos_result outcome_of_exit(const struct run *run, char message[MESSAGE_SIZE]);
/* A run whose program never ran. */
struct chronos_result outcome_of_refusal(const struct run *run, const struct guardian_report *report,
                                         char message[MESSAGE_SIZE]);
/* A run without a process; `message` is borrowed. */
struct chronos_result outcome_plain(int32_t outcome, int32_t retry, const char *message);

#endif
