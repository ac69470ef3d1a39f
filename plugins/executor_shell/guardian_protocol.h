/* What the plugin and its guardian process say to each other: fixed-size messages over one SOCK_SEQPACKET socket.
 * Both are built together and the guardian is opened when the instance is created, so there are no versions to mix.
 *
 * Flow control: the plugin has at most GUARDIAN_WINDOW spawns unanswered, so the descriptors in flight stay below every
 * limit. The guardian may block in a send; the plugin never does, and always reads. */
#ifndef EXECUTOR_SHELL_GUARDIAN_PROTOCOL_H
#define EXECUTOR_SHELL_GUARDIAN_PROTOCOL_H

#include <assert.h>
#include <stdint.h>

enum {
    GUARDIAN_FD = 3,               /* the guardian's end of the socket */
    GUARDIAN_WINDOW = 32,          /* spawns sent and not answered */
    GUARDIAN_SPEC_MAX = 4 << 20,   /* bytes of one spec; a job document has at most 256 KiB */
    GUARDIAN_SPAWN_FDS_MAX = 4     /* spec, stdout, stderr, and stdin where one is given */
};

enum guardian_request_kind {
    GUARDIAN_SPAWN = 1, /* with 3 or 4 descriptors: spec, stdout, stderr[, stdin] */
    GUARDIAN_SIGNAL = 2 /* to the run's process group, because the run was cancelled; no-op for an unknown token */
};

struct guardian_request {
    uint64_t token;
    uint32_t kind;
    uint32_t signal;
};

/* The head of a spec (a memory file); NUL-terminated strings follow: the working directory ("": stay), the arguments,
 * the environment. */
struct guardian_spec {
    uint32_t argument_count;
    uint32_t environment_count;
    int32_t umask; /* -1: the daemon's */
    uint32_t reserved;
};

enum guardian_report_kind {
    GUARDIAN_STARTED = 1, /* the program runs: exec succeeded */
    GUARDIAN_REFUSED = 2, /* it does not; nothing further comes about this token */
    GUARDIAN_EXITED = 3   /* after STARTED, once */
};

/* Where a start failed. */
enum guardian_stage { GUARDIAN_STAGE_FORK = 1, GUARDIAN_STAGE_CHDIR = 2, GUARDIAN_STAGE_EXEC = 3 };

struct guardian_report {
    uint64_t token;
    uint32_t kind;
    int32_t pid;         /* STARTED: of the leader, and so of the group */
    int32_t sys_errno;   /* REFUSED */
    uint32_t stage;      /* REFUSED: enum guardian_stage */
    int32_t exit_code;   /* EXITED: -1 after a signal */
    int32_t term_signal; /* EXITED: 0 after an exit */
    uint32_t signalled;  /* EXITED: 1 if a SIGNAL reached the group before the leader ended */
    uint32_t reserved;
};

static_assert(sizeof(struct guardian_request) == 16, "guardian_request has no padding");
static_assert(sizeof(struct guardian_spec) == 16, "guardian_spec has no padding");
static_assert(sizeof(struct guardian_report) == 40, "guardian_report has no padding");

#endif
