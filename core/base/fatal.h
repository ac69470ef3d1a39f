/* The end of a node that cannot trust its disk: log why, leave with EXIT_DISK, touch nothing more. Restarting is the
 * supervisor's. Not abort(): a core file could hold secrets. */
#ifndef CHRONOS_BASE_FATAL_H
#define CHRONOS_BASE_FATAL_H

#include "base/error.h"

enum { EXIT_DISK = 74 }; /* EX_IOERR */

_Noreturn void fatal(const char *what, const struct error *err);

#endif
