/* What goes wrong, on standard error: "chronosctl: <sentence>", then one line a field. */
#ifndef CHRONOS_CTL_PROBLEM_H
#define CHRONOS_CTL_PROBLEM_H

#include "base/error.h"
#include "ctl/arguments.h"
#include "ctl/client.h"

enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_REFUSED = 1,     /* by the server, or it failed */
    EXIT_CODE_USAGE = 2,
    EXIT_CODE_UNREACHABLE = 3,
    EXIT_CODE_RUN_FAILED = 4,  /* --wait: the run did not succeed */
    EXIT_CODE_NOT_FOUND = 5,
};

/* `prefix` (NULL: none) says what was being done: "jobs.yaml:3: job \"x\"". Control characters are escaped. */
void complain(const char *prefix, const char *format, ...) __attribute__((format(printf, 2, 3)));
int complain_error(const char *prefix, const struct error *err); /* returns the exit code that fits */
int complain_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* An answer that is not 2xx: its problem document, or what can be said without one. Fields of a job are called by the flags
 * that set them, where those are among `arguments` (NULL: none). Returns the exit code. */
int problem_report(const struct arguments *arguments, const char *prefix, const char *server,
                   const struct response *response);
/* The same as text, for tests. */
void problem_text(const struct arguments *arguments, const char *prefix, const char *server,
                  const struct response *response, struct buffer *out);

#endif
