/* Words to groups, commands and flags, with the nearest known word for one that is unknown. Internal to arguments. */
#ifndef CHRONOS_CTL_LOOKUP_H
#define CHRONOS_CTL_LOOKUP_H

#include "ctl/arguments.h"

enum { NEAREST_FLAG_SIZE = 48 };

const struct group *lookup_group(const struct command_set *set, const char *word); /* by name or alias; NULL */
/* `group` NULL: a command that stands alone. NULL if there is none. */
const struct command *lookup_command(const struct command_set *set, const struct group *group, const char *word);
/* INVALID: unknown command "x"; did you mean "y"? */
must_use enum status lookup_unknown(const struct command_set *set, const struct group *group, const char *word,
                                    struct error *err);
/* "--name" of the nearest flag of the command (may be NULL) or of the global ones, written into `out`; NULL if none is
 * near. `word` is "--...". */
const char *lookup_nearest_flag(const struct command_set *set, const struct command *command, const char *word,
                                size_t size,
                                char out[NEAREST_FLAG_SIZE]);

#endif
