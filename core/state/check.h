/* Whether all that a state holds is in order: every row by its own rules, and what tables say of each other where that costs a
 * look-up a row. For whoever doubts a disk; a node does not need it to run. */
#ifndef CHRONOS_STATE_CHECK_H
#define CHRONOS_STATE_CHECK_H

#include "state/state.h"

/* A sentence with table and key. At most CHECK_PROBLEMS_MAX are told. */
typedef void (*state_problem)(void *arg, const char *problem);

struct state_contents {
    uint64_t rows[STATE_TABLE_COUNT];
    uint64_t row_bytes; /* keys and rows */
    uint64_t problems;  /* all that were found */
};

/* Reads all of it. OK: it could be read, whatever was found. [readers] Blocks; nobody writes meanwhile. */
must_use enum status state_check(const struct state *state, state_problem report, void *arg, struct state_contents *ret,
                                 struct error *err);

#endif
