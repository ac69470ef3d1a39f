/* What the commands about runs share. */
#ifndef CHRONOS_CTL_EXECUTIONS_H
#define CHRONOS_CTL_EXECUTIONS_H

#include "ctl/invocation.h"

bool is_terminal(const cJSON *execution); /* also of a status that is not known here: waiting for it would never end */
int get_execution(struct invocation *invocation, const char *id, cJSON **ret);
/* One line about a run: `execution exec_... of job "x" <what>: failed (exit 3)`; the run itself in other formats. */
int show_execution_done(struct invocation *invocation, const cJSON *execution, const char *what);
/* Sleeps a little longer than the last time (0: the first time); returns how long. */
int64_t poll_pause(int64_t last_ms);

#endif
