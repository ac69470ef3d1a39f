/* Placeholders in a request's body: {{.JobID}} {{.JobName}} {{.ExecutionID}} {{.ScheduledTime}} {{.Attempt}}. */
#ifndef EXECUTOR_HTTP_TEMPLATE_H
#define EXECUTOR_HTTP_TEMPLATE_H

#include <stddef.h>

#include <chronos/plugin.h>

/* RFC 3339, UTC, milliseconds: "2026-01-31T09:00:00.000Z". `out` holds at least 48 bytes. */
void format_time(int64_t unix_ns, char *out, size_t size);

/* INVALID, naming the first placeholder that is not known or not closed. */
int32_t template_check(const char *text, size_t size, struct chronos_error *err);
/* The text with values in place of placeholders, freed with free(). Values are inserted as they are, not escaped. */
int32_t template_expand(const char *text, size_t size, const struct chronos_run *run, char **ret, size_t *ret_size,
                        struct chronos_error *err);

#endif
