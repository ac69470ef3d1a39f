/* The data directory: made, locked for one process, and marked with who wrote it. */
#ifndef CHRONOS_CLUSTER_DATA_DIR_H
#define CHRONOS_CLUSTER_DATA_DIR_H

#include "base/error.h"

enum { DATA_DIR_PATH_SIZE = 4096 };

struct data_dir {
    char path[DATA_DIR_PATH_SIZE];
    int lock_fd; /* -1: not held */
};

/* Makes `path` (0700) if absent, takes its lock and checks its marker file: a directory of a newer format or of another
 * backend is refused. CONFLICT names the process that holds it. Blocks. */
must_use enum status data_dir_open(const char *path, const char *backend, struct data_dir *ret, struct error *err);
/* For whoever looks at a directory that another process wrote, and changes nothing. The backend that its marker names; NOT_FOUND:
 * it has none, and so is no data directory. */
enum { DATA_DIR_BACKEND_SIZE = 64 };
must_use enum status data_dir_read_backend(const char *path, char out[DATA_DIR_BACKEND_SIZE], struct error *err);
/* Takes the lock where there is a file for it. CONFLICT names the process that holds it. */
must_use enum status data_dir_lock(const char *path, struct data_dir *ret, struct error *err);
void data_dir_close(struct data_dir *dir); /* releases the lock; accepts a closed one */
/* Makes path/name (0700) and writes the joined path to `out`. */
must_use enum status data_dir_make(const struct data_dir *dir, const char *name, char out[DATA_DIR_PATH_SIZE],
                                   struct error *err);

#endif
