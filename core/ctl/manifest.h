/* Files of jobs: YAML, JSON or NDJSON, each holding one job, a list of jobs, an object with a list `jobs`, or several
 * documents of these kinds. */
#ifndef CHRONOS_CTL_MANIFEST_H
#define CHRONOS_CTL_MANIFEST_H

#include <cjson/cJSON.h>

#include "base/error.h"
#include "ctl/arguments.h"

enum { MANIFEST_JOBS_MAX = 100000, MANIFEST_LABEL_SIZE = 512 };

struct manifest_job {
    const cJSON *json;               /* borrowed from the manifest's documents */
    const char *file;                /* borrowed: its name, as manifest_add was given it */
    char label[MANIFEST_LABEL_SIZE]; /* `jobs.yaml:12: job "x"`, for messages */
};

struct manifest {
    cJSON *files; /* a list of lists of documents */
    struct manifest_job *jobs;
    size_t count;
    const char *input; /* a file that was named "-": read once */
};

/* All files named by -f, "-" being standard input. Every problem is an error before anything is sent: MALFORMED,
 * NOT_FOUND, TOO_LARGE, ... with file and, where known, line and column. `names`: each job must have a name, no two the
 * same one. */
must_use enum status manifest_read(const struct arguments *arguments, bool names, struct manifest *ret,
                                   struct error *err);
void manifest_deinit(struct manifest *manifest); /* accepts a zeroed one */

/* From text, as one file of that name. Appends to `manifest`. */
must_use enum status manifest_add(struct manifest *manifest, const char *text, size_t size, const char *label,
                                  struct error *err);

#endif
