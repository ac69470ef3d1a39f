/* Commands: what an entry of the log asks of the state machine. Encoded once by whoever proposes, decoded in apply.
 *
 * Layout: u8 type, u8 format, u16 flags, i64 stamp_ms (little-endian, at COMMAND_STAMP_OFFSET, written by the leader when it
 * takes the command), then, if the u16 has COMMAND_IDEMPOTENT, a struct idempotency, then the type's body. An unknown type stops the
 * node: skipping it would diverge. */
#ifndef CHRONOS_STATE_COMMAND_H
#define CHRONOS_STATE_COMMAND_H

#include "state/record.h"

enum command_type {
    COMMAND_NOOP = 1,
    COMMAND_JOB_PUT = 2,
    COMMAND_JOB_DELETE = 3,
    COMMAND_JOB_ENABLE = 4,
    COMMAND_DECIDE = 5,
    COMMAND_TRIGGER = 6,
    COMMAND_ASSIGN = 7,
    COMMAND_REPORT = 8,
    COMMAND_CANCEL = 9,
    COMMAND_CLOSE = 10,
    COMMAND_NODE_UP = 11,
    COMMAND_SWEEP = 12,
    COMMAND_RESTORE = 13,
    COMMAND_FEATURE_LEVEL = 14,
    COMMAND_NODE_GONE = 15,
    COMMAND_DRAIN = 16,
};
enum { COMMAND_FORMAT = 1, COMMAND_STAMP_OFFSET = 4, COMMAND_HEADER_SIZE = 12 };
enum { COMMAND_IDEMPOTENT = 1 }; /* flags: all that there are */

void command_stamp(void *command, int64_t now_ms);
int64_t command_stamp_of(struct bytes command);
enum command_type command_type_of(struct bytes command); /* 0 where it is too short */
bool command_header_is_known(struct bytes command); /* long enough, of our format, and with no flag but ours */
bool command_is_idempotent(struct bytes command);

/* Any command of a client may have a key: when one with that key took effect before, this one does not, and has its outcome
 * (apply_result.replayed_status). */
struct idempotency {
    char principal[PRINCIPAL_TEXT_SIZE];      /* as in idempotency_row */
    uint8_t key[IDEMPOTENCY_DIGEST_SIZE];     /* of the row */
    uint8_t request[IDEMPOTENCY_DIGEST_SIZE]; /* another one under this key is refused: IDEMPOTENCY_KEY_REUSED */
    uint16_t http_status;                     /* that it is answered with when it takes effect */
};
/* To a command that is encoded and has none. */
void command_add_idempotency(struct buffer *command, const struct idempotency *idempotency);

struct placement_node {
    char name[NODE_TEXT_SIZE];
    uint64_t session; /* never 0 */
};

/* What happened to the slots of one job in (from_mark, to_mark]. Compare-and-set: apply takes it only if the job stands at
 * job_version, is enabled, and its mark equals from_mark_ms; otherwise STALE. */
struct decided_slot {
    struct id execution;
    int64_t scheduled_ms;
    enum run_trigger trigger; /* SCHEDULE or CATCHUP */
    uint8_t node;             /* index into the command's nodes; NODE_NONE: not placed yet */
    enum reason reason;       /* why it is not placed: CAPACITY, NO_NODE */
    uint8_t home;             /* placement `all`: 1 + index into the nodes of the one whose run it is; 0: of none */
};
enum { NODE_NONE = 0xff, COMMAND_NODES_MAX = 16 };
struct decided_range {
    int64_t first_ms, last_ms;
    uint64_t count;
    bool at_least;
    enum reason reason;
};
struct decision {
    uint64_t serial;
    uint32_t job_version;
    int64_t from_mark_ms, to_mark_ms;
    bool disable_after; /* the schedule has no further instant (@at) */
    uint32_t slot_count, range_count;
    const struct decided_slot *slots;
    const struct decided_range *ranges;
    uint32_t node_count; /* as `due` of an edit: the nodes that `home` means; a DECIDE has one list for all */
    const struct placement_node *nodes;
};

/* DECIDE. Built piece by piece, so that a full entry can be closed and a new one begun. */
struct decide_builder {
    struct buffer *out;
    uint32_t decision_count;
    size_t count_at;
};
void decide_begin(struct decide_builder *b, struct buffer *out, const struct placement_node *nodes, uint32_t node_count);
void decide_add(struct decide_builder *b, const struct decision *decision);
void decide_end(struct decide_builder *b);

/* JOB_PUT: create (expected_version 0) or replace. The leader gives the id of a new job. */
struct job_put {
    struct id id;
    uint32_t expected_version; /* of the job that it replaces; 0: none of this id or name may exist */
    bool resets_mark;          /* schedule, zone, options changed, or newly enabled: the mark moves to mark_ms */
    int64_t mark_ms;           /* the proposer's wall clock, up to which `due` was looked at; 0: the stamp. The stamp itself may
                                  be later, and what lies between must stay undecided */
    const struct decision *due; /* NULL, or the old version's slots up to now (its to_mark is the new mark) */
    struct job_spec spec;      /* serial, version and (for a create) anchor_ms are set in apply */
    struct bytes document;     /* normalised JSON, as in job_row */
};
void job_put_encode(const struct job_put *put, struct buffer *out);

struct job_delete {
    struct id id;
    uint32_t expected_version; /* 0: any */
    bool cancel_running;
    const struct decision *due;
};
void job_delete_encode(const struct job_delete *command, struct buffer *out);

struct job_enable {
    struct id id;
    uint32_t expected_version; /* 0: any */
    bool enabled;
    int64_t mark_ms;            /* as in job_put, when it is enabled */
    const struct decision *due; /* when it is disabled */
};
void job_enable_encode(const struct job_enable *command, struct buffer *out);

struct trigger_run {
    struct id job;
    struct id execution;
    bool force;               /* regardless of the overlap policy */
    struct bytes overrides;   /* JSON object, empty: none */
    struct placement_node node; /* name "": not placed yet */
    enum reason reason;       /* why not: CAPACITY, NO_NODE */
    uint32_t expected_version; /* 0: any */
    /* Placement `all`: one run a node, of these the first has the id above; a single one without a node: none is there. 0: the job
     * has another placement. STALE where apply finds it otherwise. */
    uint32_t home_count;
    struct trigger_home {
        struct id execution;
        char node[NODE_TEXT_SIZE];
    } homes[COMMAND_NODES_MAX];
};
void trigger_run_encode(const struct trigger_run *command, struct buffer *out);

/* ASSIGN: open runs to nodes. Taken only if the run is WAITING (and nothing of its job that does not wait is active), READY,
 * or BACKOFF and due at the stamp, and stands at `attempt`; the new attempt is `attempt` + 1. */
struct assignment {
    struct id execution;
    uint32_t attempt;
    uint8_t node; /* index into nodes */
};
void assign_encode(const struct placement_node *nodes, uint32_t node_count, const struct assignment *items, uint32_t count,
                   struct buffer *out);

/* REPORT: what a node says of attempts. Fenced by (attempt, session): an older one is late and changes nothing. */
enum report_kind { REPORT_STARTED = 1, REPORT_FINISHED = 2, REPORT_RELEASED = 3 /* never started: give it to another */ };
struct run_report {
    struct id execution;
    uint32_t attempt;
    uint64_t session;
    enum report_kind kind;
    int64_t started_ms;   /* wall clock of the node */
    int64_t duration_ms;  /* monotonic; FINISHED */
    enum run_status outcome; /* SUCCESS FAILED TIMEOUT CANCELLED LOST */
    enum reason reason;
    uint8_t retry;        /* enum chronos_retry */
    int64_t retry_after_ms;
    int32_t exit_code, term_signal, status_code; /* -1, 0, 0: none */
    struct bytes error;   /* sentence, at most RUN_ERROR_MAX */
    struct bytes output_head, output_tail; /* at most output.replicated_bytes together */
    uint64_t output_bytes; /* in all */
    bool output_truncated; /* head and tail are not all of it */
    uint8_t output_digest[32]; /* SHA-256 of what was captured; zero: none */
};
void report_encode(const struct run_report *items, uint32_t count, struct buffer *out);

struct cancel_run {
    struct id execution;
    enum reason reason; /* USER, REPLACED, JOB_DELETED */
};
void cancel_encode(const struct cancel_run *items, uint32_t count, struct buffer *out);

/* CLOSE: open attempts whose (node, session) is over. on_node_loss of the job decides what becomes of each; a pinned run ends with
 * its node. And with session 0 runs that wait, have had `attempt` attempts, and will not be run: NODE_LOSS, pinned to a node that was
 * written off; CATCHUP_WINDOW, older than the job's, and no node is there (STALE where apply finds it younger). */
struct close_attempt {
    struct id execution;
    uint32_t attempt;
    uint64_t session;
    enum reason reason; /* NODE_RESTART, NODE_LOSS */
};
void close_encode(const struct close_attempt *items, uint32_t count, struct buffer *out);

void node_up_encode(const struct node_row *node, struct buffer *out);

/* SWEEP: retention. Walks `executions` from `from` (zero: the oldest), looks at most at SWEEP_EXAMINE_MAX rows and deletes
 * at most SWEEP_DELETE_MAX that are older than `before_ms`, beyond `per_job` of their job, or the oldest while the table is
 * above `max_bytes`. The result carries where to go on. Also dropped ranges older than before_ms, and at most SWEEP_DELETE_MAX
 * idempotency keys whose time is over. */
struct sweep {
    struct id from;
    int64_t before_ms;
    uint32_t per_job;   /* 0: no limit */
    uint64_t max_bytes; /* 0: no limit */
};
void sweep_encode(const struct sweep *command, struct buffer *out);

/* RESTORE: the first command on a state that a snapshot brought, before anybody else sees it: no slot up to now is owed any more
 * (unless keep_marks), no run is under way, no node has a session. Its changes are told to nobody. */
enum { RESTORE_DIGEST_SIZE = 32 };
struct restore {
    struct id cluster;                   /* that the snapshot was of */
    uint8_t digest[RESTORE_DIGEST_SIZE]; /* of the snapshot's file: it is not restored twice */
    bool keep_marks;
};
void restore_encode(const struct restore *command, struct buffer *out);

/* NODE_GONE: the node is no member any more, and nothing of its session is open: its row goes. STALE where it has another session. */
struct node_gone {
    char name[NODE_TEXT_SIZE];
    uint64_t session;
};
void node_gone_encode(const struct node_gone *command, struct buffer *out);

/* DRAIN: the member with this number of consensus is to leave the cluster once its runs have ended; or, `is_leaving` false, it is not,
 * or has left. Changes nothing where that stands there already. TOO_MANY: COMMAND_NODES_MAX are leaving. */
struct drain {
    uint64_t node;
    bool is_leaving;
};
void drain_encode(const struct drain *command, struct buffer *out);

/* FEATURE_LEVEL: every member knows the level, and from this entry on it is in force. STALE where it, or a later one, is already. */
void feature_level_encode(uint32_t level, struct buffer *out);

void noop_encode(struct buffer *out);

#endif
