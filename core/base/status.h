/* Outcomes of the core, and the one table that gives each its name, HTTP status and whether a repeat can help.
 *
 * The user's page: docs/api.md, "Errors". A code is stable: never renumber, never reuse a name.
 * The name is what a client sees in `code` of a problem document. */
#ifndef CHRONOS_BASE_STATUS_H
#define CHRONOS_BASE_STATUS_H

#include <stdbool.h>

/*      symbol               http retry title */
#define STATUS_TABLE(X)                                                            \
    X(OK,                    200, 0, "OK")                                         \
    X(MALFORMED,             400, 0, "The request is malformed")                   \
    X(UNAUTHENTICATED,       401, 0, "Authentication is required")                 \
    X(FORBIDDEN,             403, 0, "Not allowed")                                \
    X(NOT_FOUND,             404, 0, "Not found")                                  \
    X(METHOD_NOT_ALLOWED,    405, 0, "Method not allowed")                         \
    X(REQUEST_TIMEOUT,       408, 1, "The request took too long to arrive")        \
    X(CONFLICT,              409, 0, "Conflicts with the present state")           \
    X(NAME_TAKEN,            409, 0, "The name is taken")                          \
    X(STALE,                 409, 1, "The state changed in between")               \
    X(VERSION_MISMATCH,      412, 0, "The resource has another version")           \
    X(TOO_LARGE,             413, 0, "Too large")                                  \
    X(UNSUPPORTED_MEDIA,     415, 0, "Unsupported media type")                     \
    X(INVALID,               422, 0, "A value is not valid")                       \
    X(EXECUTOR_UNKNOWN,      422, 0, "The node does not have this executor")       \
    X(PRECONDITION_REQUIRED, 428, 0, "A precondition is required")                 \
    X(TOO_MANY,              429, 1, "A limit is reached")                         \
    X(HEADERS_TOO_LARGE,     431, 0, "The request's headers are too large")        \
    X(INTERNAL,              500, 0, "Internal error")                             \
    X(NOT_IMPLEMENTED,       501, 0, "Not supported")                              \
    X(NO_LEADER,             503, 1, "No leader")                                  \
    X(NO_QUORUM,             503, 1, "No quorum")                                  \
    X(DISK_FULL,             503, 1, "The disk is nearly full")                    \
    X(OVERLOADED,            503, 1, "Overloaded")                                 \
    X(SHUTTING_DOWN,         503, 1, "Shutting down")                              \
    X(NOT_READY,             503, 1, "Not ready")                                  \
    X(OUTCOME_UNKNOWN,       504, 1, "The outcome is not known")                   \
    X(VERSION_UNSUPPORTED,   505, 0, "HTTP version not supported")                 \
    /* Below: never the answer to a client as such, but causes that callers wrap. */ \
    X(NO_MEMORY,             503, 1, "Out of memory")                              \
    X(IO,                    500, 0, "Input/output error")                         \
    X(NO_SPACE,              503, 1, "No space left on the device")                \
    X(CORRUPT,               500, 0, "Data is damaged")                            \
    X(BUSY,                  503, 1, "Busy")                                       \
    X(EXISTS,                409, 0, "Exists already")                             \
    X(CANCELLED,             409, 0, "Cancelled")                                  \
    X(TIMEOUT,               504, 1, "Timed out")                                  \
    X(MISUSE,                500, 0, "An interface was misused")                   \
    /* Below: answers to clients again. */                                         \
    X(OUTPUT_UNAVAILABLE,    503, 1, "The output cannot be read now")              \
    X(IDEMPOTENCY_KEY_REUSED, 422, 0, "The idempotency key is another request's")  \
    X(IDEMPOTENCY_KEY_IN_USE, 409, 1, "A request with this idempotency key is under way") \
    X(IDEMPOTENCY_KEYS_FULL, 429, 1, "Too many idempotency keys are kept")

enum status {
#define X(symbol, http, retry, title) STATUS_##symbol,
    STATUS_TABLE(X)
#undef X
    STATUS_COUNT
};

#define must_use __attribute__((warn_unused_result))

/* Static strings; an unknown code gives INTERNAL's. */
const char *status_name(enum status status);  /* "NAME_TAKEN" */
const char *status_title(enum status status); /* "The name is taken" */
int status_http(enum status status);          /* 409 */
bool status_retryable(enum status status);    /* may the same request succeed later? */

#endif
