/* The token that requests carry. */
#ifndef CHRONOS_CTL_TOKEN_H
#define CHRONOS_CTL_TOKEN_H

#include "base/buffer.h"
#include "ctl/arguments.h"

/* Appends what the file of --token-file holds, else the variable CHRONOS_TOKEN; nothing where neither is given. INVALID and the
 * codes of file_read, with a sentence that shows nothing of a token. Warns of a file that others can read. */
must_use enum status token_find(const struct arguments *arguments, struct buffer *ret, struct error *err);

#endif
