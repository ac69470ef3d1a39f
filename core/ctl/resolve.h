/* What people write for a job or a run: a name, an id, or the beginning of an id that only one has. */
#ifndef CHRONOS_CTL_RESOLVE_H
#define CHRONOS_CTL_RESOLVE_H

#include "ctl/invocation.h"

enum {
    REFERENCE_SIZE = 256,
    RESOLVE_ROWS_MAX = 100000, /* rows looked through for the beginning of an id */
    CANDIDATES_MAX = 8,        /* named in a message */
};

/* Exit codes. *ret is what goes into a path: a name, or a whole id. */
int resolve_job(struct invocation *invocation, const char *text, char ret[REFERENCE_SIZE]);
int resolve_execution(struct invocation *invocation, const char *text, char ret[REFERENCE_SIZE]);

#endif
