/* The shell executor's one thread: it owns every run, its pipes, and the guardian, the parent of the processes. */
#ifndef EXECUTOR_SHELL_SUPERVISOR_H
#define EXECUTOR_SHELL_SUPERVISOR_H

#include <chronos/plugin.h>

#include "shell_job.h"

struct supervisor;

/* [setup] `guardian_path` NULL: the program beside the plugin. */
int32_t supervisor_new(const struct chronos_host *host, const char *guardian_path, struct supervisor **ret,
                       struct chronos_error *err);
/* [setup] Ends what still runs, the thread and the guardian. */
void supervisor_free(struct supervisor *supervisor);

/* [executor] Takes `job` over (leaves it zeroed). OK: one complete() follows. NOMEM: nothing happened. */
int32_t supervisor_start(struct supervisor *supervisor, uint64_t token, struct shell_job *job,
                         struct chronos_error *err);
/* [executor] */
void supervisor_cancel(struct supervisor *supervisor, uint64_t token, int32_t reason, uint64_t grace_ms);

#endif
