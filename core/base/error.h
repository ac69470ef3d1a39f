/* What went wrong, in a sentence that grows outwards: each caller prefixes what it was doing.
 *
 *   load config /etc/chronos/chronos.yaml:14: cluster.raft.election_timeout: "fast" is not a duration
 *
 * Memory is the caller's; written only on failure; always NUL-terminated; never NULL when passed. */
#ifndef CHRONOS_BASE_ERROR_H
#define CHRONOS_BASE_ERROR_H

#include "base/status.h"

enum { ERROR_FIELD_SIZE = 128, ERROR_MESSAGE_SIZE = 512 };

struct error {
    enum status code;
    int sys_errno;                    /* 0 where no system call failed */
    char field[ERROR_FIELD_SIZE];     /* JSON pointer ("/retry_policy/max_attempts") or config key; "" where none */
    char message[ERROR_MESSAGE_SIZE]; /* longer text is cut at a UTF-8 boundary and ends in "..." */
};

/* Set code and message, clear errno and field; return `code`, so that `return error_set(...)` reads well. */
enum status error_set(struct error *err, enum status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* As error_set, and appends ": <strerror(sys_errno)>". */
enum status error_set_errno(struct error *err, enum status code, int sys_errno, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* As error_set with a field. */
enum status error_set_field(struct error *err, enum status code, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Prefix "<format>: " to the message; returns err->code. */
enum status error_wrap(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
