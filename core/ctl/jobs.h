/* What the commands about jobs share. */
#ifndef CHRONOS_CTL_JOBS_H
#define CHRONOS_CTL_JOBS_H

#include "ctl/invocation.h"

/* Says what became of a job, as the format wants it: `job "x" created (job_...), next run ...`, its document, or its name. */
int show_job_done(struct invocation *invocation, const cJSON *job, const char *what);

/* Appends "2027-01-01T00:00:00.000Z (in 3m)"; "-" for NULL. */
void append_exact_time(struct invocation *invocation, const char *text, struct buffer *out);
/* One line, "name:  value", of a job or a run: strings as they are, other values as JSON. */
void append_member(struct invocation *invocation, const cJSON *member);
/* A cell: relative, or exact with --wide. */
void time_cell(struct invocation *invocation, struct table *table, const cJSON *object, const char *member);

#endif
