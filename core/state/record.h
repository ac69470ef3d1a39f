/* The rows of the replicated tables, and how each is written to bytes (docs/formats.md).
 *
 * Everything that a slot, a run or a job can be is named here once. Integers in rows are little-endian, integers in keys
 * big-endian, times int64 milliseconds since 1970 UTC. Each row begins with a format byte; an unknown one is CORRUPT
 * ("written by a newer version"). Numbers of enumerations are on disk: append only. */
#ifndef CHRONOS_STATE_RECORD_H
#define CHRONOS_STATE_RECORD_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/id.h"
#include "base/limits.h"

#define JOB_ID_PREFIX "job_"
#define EXECUTION_ID_PREFIX "exec_"

enum { NODE_TEXT_SIZE = NODE_NAME_MAX + 1, EXECUTOR_TEXT_SIZE = 64, ZONE_TEXT_SIZE = 64,
       JOB_NAME_TEXT_SIZE = JOB_NAME_MAX + 1, ERROR_TEXT_SIZE = RUN_ERROR_MAX + 1,
       PRINCIPAL_TEXT_SIZE = TOKEN_NAME_MAX + 1,
       NODE_TAG_TEXT_SIZE = NODE_TAG_KEY_MAX + 1 + NODE_TAG_VALUE_MAX + 1 }; /* a tag is kept as "key=value"; a key has no "=" */

/* --- vocabulary; the names are what users see --- */
#define RUN_STATUS_TABLE(X)                                                                                        \
    X(PENDING, "pending") X(RUNNING, "running") X(SUCCESS, "success") X(FAILED, "failed") X(TIMEOUT, "timeout")    \
    X(CANCELLED, "cancelled") X(LOST, "lost") X(SKIPPED, "skipped")
#define RUN_TRIGGER_TABLE(X)                                                                                       \
    X(SCHEDULE, "schedule") X(MANUAL, "manual") X(CATCHUP, "catchup") X(BACKFILL, "backfill")                      \
    X(DEPENDENCY, "dependency") X(REPLAY, "replay")
/* Why a run stands where it stands, why a slot was not run. */
#define REASON_TABLE(X)                                                                                            \
    X(NONE, "") X(OVERLAP, "overlap") X(MAX_CONCURRENT, "max_concurrent") X(SUPERSEDED, "superseded")              \
    X(REPLACED, "replaced") X(WAITING, "waiting") X(CAPACITY, "capacity") X(NO_NODE, "no_node")                    \
    X(RETRY, "retry") X(NODE_LOSS, "node_loss") X(NODE_RESTART, "node_restart") X(USER, "user")                    \
    X(JOB_DELETED, "job_deleted") X(SHUTDOWN, "shutdown") X(TIMEOUT, "timeout") X(MISSED, "missed")                \
    X(CATCHUP_WINDOW, "catchup_window") X(CATCHUP_LIMIT, "catchup_limit") X(IGNORED, "ignore_missed")              \
    X(QUEUE_FULL, "queue_full") X(EXECUTOR_FAILED, "executor_failed") X(RESTORED, "restored")
#define CONCURRENCY_TABLE(X) X(FORBID, "forbid") X(ALLOW, "allow") X(REPLACE, "replace")
#define MISSED_POLICY_TABLE(X) X(EXECUTE_ONE, "execute_one") X(EXECUTE_ALL, "execute_all") X(IGNORE, "ignore")
#define NODE_LOSS_TABLE(X) X(RETRY, "retry") X(FAIL, "fail")
/* On which of the nodes that have the executor and the tags. */
#define PLACEMENT_TABLE(X) X(ANY, "any") X(LEADER, "leader") X(ALL, "all")

#define X(symbol, text) RUN_##symbol,
enum run_status { RUN_STATUS_TABLE(X) RUN_STATUS_COUNT };
#undef X
#define X(symbol, text) TRIGGER_##symbol,
enum run_trigger { RUN_TRIGGER_TABLE(X) RUN_TRIGGER_COUNT };
#undef X
#define X(symbol, text) REASON_##symbol,
enum reason { REASON_TABLE(X) REASON_COUNT };
#undef X
#define X(symbol, text) CONCURRENCY_##symbol,
enum concurrency { CONCURRENCY_TABLE(X) CONCURRENCY_COUNT };
#undef X
#define X(symbol, text) MISSED_POLICY_##symbol,
enum missed_policy { MISSED_POLICY_TABLE(X) MISSED_POLICY_COUNT };
#undef X
#define X(symbol, text) NODE_LOSS_##symbol,
enum node_loss_policy { NODE_LOSS_TABLE(X) NODE_LOSS_COUNT };
#undef X
#define X(symbol, text) PLACEMENT_##symbol,
enum placement { PLACEMENT_TABLE(X) PLACEMENT_COUNT };
#undef X

const char *run_status_name(enum run_status status);
const char *run_trigger_name(enum run_trigger trigger);
const char *reason_name(enum reason reason);
const char *concurrency_name(enum concurrency concurrency);
const char *missed_policy_name(enum missed_policy policy);
const char *node_loss_name(enum node_loss_policy policy);
const char *placement_name(enum placement placement);
bool run_status_parse(const char *text, enum run_status *ret);
bool concurrency_parse(const char *text, enum concurrency *ret);
bool missed_policy_parse(const char *text, enum missed_policy *ret);
bool node_loss_parse(const char *text, enum node_loss_policy *ret);
bool run_status_terminal(enum run_status status);

/* Where an open run stands. pending = WAITING, READY, ASSIGNED, BACKOFF; running = RUNNING. */
enum run_phase {
    PHASE_WAITING = 1,  /* for other runs of its job to end (replace, catch-up under forbid) */
    PHASE_READY = 2,    /* for a node */
    PHASE_ASSIGNED = 3, /* (node, session) is to start it */
    PHASE_RUNNING = 4,  /* the node said so */
    PHASE_BACKOFF = 5,  /* for next_attempt_ms */
};

/* --- rows --- */

struct job_retry {
    uint32_t max_attempts; /* 1 = no retry */
    int64_t initial_interval_ms, max_interval_ms;
    uint32_t multiplier_thousandths, jitter_thousandths;
};
/* The wait before attempt `failures` + 1 (failures >= 1), integers alone; the jitter is a function of the run's id. */
int64_t job_retry_delay_ms(const struct job_retry *retry, uint32_t failures, const struct id *execution);

/* `sched`, key = serial (8 bytes): what the heap needs, without JSON. */
struct job_spec {
    uint64_t serial;   /* dense, given in apply, never reused */
    struct id id;
    uint32_t version;  /* of the job's document; +1 for each accepted edit */
    bool enabled;
    enum concurrency concurrency;
    enum missed_policy missed_policy;
    enum node_loss_policy on_node_loss;
    uint8_t dst_gap, dst_overlap, day_match; /* schedule.h */
    uint32_t max_concurrent;
    uint32_t catchup_limit;
    int64_t catchup_window_ms; /* 0: unlimited */
    int64_t timeout_ms;
    int64_t anchor_ms;         /* of @every: when the job was created; where a clock was far ahead, its mark */
    struct job_retry retry;
    char name[JOB_NAME_TEXT_SIZE];
    char executor[EXECUTOR_TEXT_SIZE];
    char timezone[ZONE_TEXT_SIZE];
    uint32_t schedule_count;
    const char *schedules[JOB_SCHEDULES_MAX]; /* borrowed from the row (NUL-terminated there) */
    enum placement placement;
    uint32_t node_tag_count;
    const char *node_tags[NODE_TAGS_MAX]; /* that the node must carry, sorted; borrowed so, too */
};
void job_spec_encode(const struct job_spec *spec, struct buffer *out);
must_use enum status job_spec_decode(uint64_t serial, struct bytes row, struct job_spec *ret, struct error *err);

/* `marks`, key = serial: 64 bytes, rewritten with every decision. */
struct job_marks {
    bool deleted;              /* the job is gone, runs of it are still open */
    enum run_status last_status; /* of the newest run that ended and was not skipped; PENDING: none yet */
    uint16_t failures;         /* runs failed in a row */
    uint32_t active;           /* runs that are not terminal */
    uint32_t waiting;          /* of them in PHASE_WAITING */
    uint32_t executions;       /* terminal runs kept in `executions` */
    int64_t mark_ms;           /* evaluated_through: every slot at or before it is decided */
    int64_t last_run_ms;       /* scheduled_time of the newest run that ended and was not skipped; 0: none */
    struct id newest;          /* execution; the head of the job's chain */
    struct id waiting_run;     /* under `replace`: the one that waits */
};
enum { JOB_MARKS_SIZE = 64 };
void job_marks_encode(const struct job_marks *marks, uint8_t out[JOB_MARKS_SIZE]);
must_use enum status job_marks_decode(struct bytes row, struct job_marks *ret, struct error *err);

/* `jobs`, key = id (16 bytes): a header and the document as the user gave it, normalised, WITHOUT enabled, id, version and
 * times: "{"name":...}". Readers put the runtime fields in front. */
struct job_row {
    uint64_t serial;
    uint32_t version;
    bool enabled;
    int64_t created_ms, updated_ms;
    struct bytes document; /* borrowed */
};
void job_row_encode(const struct job_row *row, struct buffer *out);
must_use enum status job_row_decode(struct bytes row, struct job_row *ret, struct error *err);

/* One finished attempt. */
struct attempt_record {
    uint32_t attempt;
    char node[NODE_TEXT_SIZE];
    int64_t started_ms, completed_ms; /* started 0: it never started */
    enum run_status outcome;
    int32_t exit_code, status_code;   /* -1: none */
    char error[ERROR_TEXT_SIZE];
};

/* `open`, key = execution id (16 bytes): a run that is not terminal. */
struct open_run {
    struct id execution;
    struct id previous;      /* the job's execution before this one; zero: none */
    uint64_t serial;
    struct id job;
    uint32_t job_version;
    char job_name[JOB_NAME_TEXT_SIZE];
    char executor[EXECUTOR_TEXT_SIZE]; /* of the version that it was decided for */
    enum run_phase phase;
    enum run_trigger trigger;
    enum reason reason;
    int64_t scheduled_ms, created_ms;
    int64_t started_ms;      /* of the first attempt that started; 0: none yet */
    int64_t attempt_started_ms; /* of the newest attempt; 0: it has not started */
    int64_t next_attempt_ms; /* PHASE_BACKOFF */
    uint32_t attempt;        /* newest attempt's number; 0: none yet */
    uint32_t failures;       /* attempts that count towards max_attempts */
    uint32_t takeovers;
    bool pinned;             /* placement `all`: it runs on `node` and on no other, once it has one */
    char node[NODE_TEXT_SIZE]; /* of the newest attempt, or that it is pinned to */
    uint64_t session;
    enum reason cancel;      /* NONE, USER, REPLACED, JOB_DELETED: the node is to cancel it */
    struct bytes overrides;  /* JSON object laid over the job's config (manual trigger); empty: none; borrowed */
    uint32_t history_count;
    struct attempt_record history[ATTEMPTS_KEPT];
};
void open_run_encode(const struct open_run *run, struct buffer *out);
must_use enum status open_run_decode(const struct id *key, struct bytes row, struct open_run *ret, struct error *err);

/* `executions`, key = execution id: a terminal run. The JSON is what the API answers, complete. */
struct execution_row {
    enum run_status status;
    enum run_trigger trigger;
    uint64_t serial;
    struct id previous;
    int64_t scheduled_ms, completed_ms;
    struct bytes json; /* borrowed */
};
void execution_row_encode(const struct execution_row *row, struct buffer *out);
must_use enum status execution_row_decode(struct bytes row, struct execution_row *ret, struct error *err);
/* The JSON of a run that is still open, in the same shape. */
void open_run_json(const struct open_run *run, struct buffer *out);

/* `ranges`, key = serial, first slot: slots that were due and were not run. */
struct dropped_range {
    uint64_t serial;
    int64_t first_ms, last_ms;
    uint64_t count;
    bool at_least; /* the count is a lower bound */
    enum reason reason;
    int64_t decided_ms;
};
void dropped_range_encode(const struct dropped_range *range, struct buffer *ret_key, struct buffer *ret_row);
must_use enum status dropped_range_decode(struct bytes key, struct bytes row, struct dropped_range *ret, struct error *err);

/* `nodes`, key = name. */
enum { NODE_EXECUTORS_MAX = 32 };
struct node_row {
    char name[NODE_TEXT_SIZE];
    uint64_t session;
    uint32_t capacity; /* attempts at once */
    int64_t since_ms;
    int64_t lease_ms;  /* how long it goes on with its runs while no leader answers it; 0: for ever */
    char version[32];
    uint32_t executor_count;
    char executors[NODE_EXECUTORS_MAX][EXECUTOR_TEXT_SIZE];
    uint32_t tag_count;
    char tags[NODE_TAGS_MAX][NODE_TAG_TEXT_SIZE]; /* sorted */
};
void node_row_encode(const struct node_row *node, struct buffer *out);
must_use enum status node_row_decode(struct bytes row, struct node_row *ret, struct error *err);

/* `idempotency`, key = digest of (principal, method, path, key): a request that took effect, and what it made. */
enum { IDEMPOTENCY_DIGEST_SIZE = 32 };
struct idempotency_row {
    char principal[PRINCIPAL_TEXT_SIZE];      /* name of the token; "": nobody was asked for one */
    uint8_t request[IDEMPOTENCY_DIGEST_SIZE]; /* digest of what was asked for */
    uint16_t http_status;                     /* that it was answered with */
    struct id resource;                       /* job or execution */
    int64_t created_ms;
};
void idempotency_row_encode(const struct idempotency_row *row, struct buffer *out);
must_use enum status idempotency_row_decode(struct bytes row, struct idempotency_row *ret, struct error *err);
/* Is its time over at `now_ms` (of the log)? */
bool idempotency_is_over(int64_t created_ms, int64_t now_ms);

#endif
