/* What the commands about runs share. */
#ifndef CHRONOS_CTL_EXECUTIONS_H
#define CHRONOS_CTL_EXECUTIONS_H

#include "ctl/invocation.h"

bool is_terminal(const cJSON *execution); /* also of a status that is not known here: waiting for it would never end */
int get_execution(struct invocation *invocation, const char *id, cJSON **ret);
/* Sleeps a little longer than the last time (0: the first time); returns how long. */
int64_t poll_pause(int64_t last_ms);

#endif
