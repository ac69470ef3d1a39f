/* What the commands about jobs share. */
#ifndef CHRONOS_CTL_JOBS_H
#define CHRONOS_CTL_JOBS_H

#include "ctl/invocation.h"
#include "ctl/manifest.h"

/* Says what became of a job, as the format wants it: `job "x" created (job_...), next run ...`, its document, or its
 * name. */
int show_job_done(struct invocation *invocation, const cJSON *job, const char *what);

/* The files of -f; an exit code. */
int read_manifest(struct invocation *invocation, bool names, struct manifest *ret);
/* Sends `job` as the body of a request like this one; the answer's JSON. */
int send_job(struct invocation *invocation, const char *prefix, const struct request *like, const cJSON *job,
             cJSON **ret);

/* "/api/v1/jobs" with the filters of the command line; EXIT_CODE_USAGE where they are wrong. To be deinitialised in any case. */
int job_list_path(struct invocation *invocation, struct buffer *path);

/* Appends "2027-01-01T00:00:00.000Z (in 3m)"; "-" for NULL. */
void append_exact_time(struct invocation *invocation, const char *text, struct buffer *out);
/* One line, "name:  value", of a job or a run: strings as they are, other values as JSON. */
void append_member(struct invocation *invocation, const cJSON *member);
/* A cell: relative, or exact with --wide. */
void time_cell(struct invocation *invocation, struct table *table, const cJSON *object, const char *member);

#endif
