/* The descriptors of one spawn: the spec, the pipes of the output, the standard input. */
#ifndef EXECUTOR_SHELL_SPAWN_FILES_H
#define EXECUTOR_SHELL_SPAWN_FILES_H

#include "run_table.h"

/* Sets the read ends in run->pipes (non-blocking) and fills `fds` in the order of the protocol, -1 where there is none.
 * 0, or an errno; then what was opened stays set, for spawn_files_close and the caller's way to close pipes. */
int spawn_files_open(struct run *run, int fds[GUARDIAN_SPAWN_FDS_MAX]);
void spawn_files_close(int fds[GUARDIAN_SPAWN_FDS_MAX]);

#endif
