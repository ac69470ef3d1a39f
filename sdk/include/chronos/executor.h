/* Executors run jobs. Runs are named by token and calls carry only data that could be serialised, so that the same plugin
 * works inside the daemon and inside a helper process. */
#ifndef CHRONOS_EXECUTOR_H
#define CHRONOS_EXECUTOR_H

#include "abi.h"

#ifdef __cplusplus
extern "C" {
#endif

enum chronos_outcome {
    CHRONOS_OUTCOME_SUCCESS = 1,
    CHRONOS_OUTCOME_FAILED = 2,
    CHRONOS_OUTCOME_CANCELLED = 3, /* it ended because of cancel() */
    CHRONOS_OUTCOME_TIMEOUT = 4,   /* a limit of the executor's own ran out */
    CHRONOS_OUTCOME_LOST = 5       /* how it ended cannot be told */
};

enum chronos_retry {
    CHRONOS_RETRY_BY_OUTCOME = 0, /* FAILED, TIMEOUT: yes; others: no */
    CHRONOS_RETRY_YES = 1,
    CHRONOS_RETRY_NO = 2
};

enum chronos_cancel_reason {
    CHRONOS_CANCEL_USER = 1,
    CHRONOS_CANCEL_TIMEOUT = 2,
    CHRONOS_CANCEL_REPLACED = 3,
    CHRONOS_CANCEL_SHUTDOWN = 4,
    CHRONOS_CANCEL_LEASE = 5,
    CHRONOS_CANCEL_DELETED = 6
};

/* One value of a job's config. Groups use dots in `name` ("auth.type"), lists repeat the name, maps set `key`. */
struct chronos_param {
    const char *name;
    const char *key;  /* NULL unless the option is a MAP */
    int32_t type;     /* enum chronos_option_type */
    uint32_t reserved;
    /* Text, followed by a NUL that is not counted: STRING, ENUM, JSON as they are; INT, NUMBER, DURATION (ms), SIZE
     * (bytes) in decimal; BOOL "true" or "false". Secret references are resolved. */
    struct chronos_bytes value;
};

/* One attempt of one run. Everything is borrowed until start() or validate() returns. */
struct chronos_run {
    uint32_t struct_size;
    uint32_t attempt;      /* from 1 */
    uint32_t max_attempts;
    uint32_t n_params;
    uint64_t run_token;    /* names the run in this process only; never reused */
    int64_t scheduled_unix_ns;
    uint64_t timeout_ns;   /* from start, monotonic; 0: none. For information: the host enforces it through cancel */
    uint64_t job_version;
    const char *job_id;
    const char *job_name;
    const char *execution_id;
    const char *node_id;
    const char *trigger;         /* "schedule", "manual", "catchup" ... */
    const char *traceparent;     /* W3C trace context; may be "" */
    const char *idempotency_key; /* the same for every attempt of the run, on every node */
    const struct chronos_param *params;
    uint64_t output_limit;       /* bytes of output kept */
};

struct chronos_result {
    uint32_t struct_size;
    int32_t outcome;     /* enum chronos_outcome */
    int32_t exit_code;   /* of a process; -1: none */
    int32_t term_signal; /* that ended it; 0: none */
    int32_t status_code; /* of a protocol (HTTP); 0: none */
    int32_t retry;       /* enum chronos_retry */
    int64_t retry_after_ms; /* 0: the job's own back-off */
    const char *message; /* why it failed: one sentence, at most 512 bytes are kept; may be NULL */
    const struct chronos_kv *attributes; /* reserved for later hosts: NULL, 0 */
    uint64_t n_attributes;
};

struct chronos_executor_ops {
    uint32_t struct_size;
    uint32_t reserved0;

    /* [pool] Optional. A pure check of a job's parameters when it is saved, beyond what the options say; no I/O. Also on [loop]
     * where the plugin promises CHRONOS_QUICK_VALIDATE, see below.
     * Only params, n_params and the job's name and id of `run` are set. INVALID with a sentence refuses the job. */
    int32_t (*validate)(void *self, const struct chronos_run *run, struct chronos_error *err);
    /* [executor] Begin the attempt and return at once. Error: no completion follows (code CANCELLED never; RETRYABLE in
     * err->flags says that a later attempt may succeed). OK: exactly one host complete(), from any thread, possibly before
     * start has returned. */
    int32_t (*start)(void *self, const struct chronos_run *run, struct chronos_error *err);
    /* [executor] Ask an attempt to end: politely at once, by force after grace_ms. Returns at once; idempotent; no-op for
     * unknown tokens; may race with completion; the run still completes once, with what really happened. */
    void (*cancel)(void *self, uint64_t run_token, int32_t reason, uint64_t grace_ms);
    /* [executor] Optional. No start follows. The host cancels what is left after the grace, then destroys. */
    void (*drain)(void *self, uint64_t grace_ms);
};

/* An extension: get_extension(self, CHRONOS_QUICK_VALIDATE) returns a table and so promises that validate() takes time in
 * proportion to the size of the parameters, a few microseconds for usual ones, and waits for nothing: no lock that is held for
 * longer, no file, no other thread. Then the host may call validate() on [loop], the one thread that serves all clients,
 * instead of [pool]. Without the promise it never does. */
#define CHRONOS_QUICK_VALIDATE "chronos.executor.quick-validate/1"
struct chronos_quick_validate {
    uint32_t struct_size;
    uint32_t reserved0; /* zero */
};

#ifdef __cplusplus
}
#endif

#endif
