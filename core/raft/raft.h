/* A pure Raft core: messages and ticks in, actions out. No I/O, no clock, no thread, no global; randomness from a seed.
 *
 * Contract. One thread at a time. The owner feeds inputs (raft_step, raft_tick, raft_propose ...) and after each, or after a
 * handful, drains the actions with raft_take and carries them out in this order:
 *
 *   1. hand {hard state, truncation, entries} or `install` to the disk, as one synced transaction, in the order of `seq`;
 *   2. send `messages` (loss, delay, reordering and duplication are legal);
 *   3. serve `chunk`, `chunks_wanted`, `fetches`, `snapshot_wanted`; answer `reads`; apply [apply_first, apply_last].
 *
 * When everything up to a seq is durable, raft_persisted(seq). A message that promises something durable is kept inside until
 * then (docs/adr/0011), so an owner cannot send it too early. An error of the disk never reaches the core: the process ends.
 *
 * Errors are `enum status` without a sentence: the callers know whom they speak to. A refused input changes nothing but what a
 * higher term or a conflict with the leader's log had undone before memory ran out.
 * Names of rules: "Raft" is Ongaro and Ousterhout, In Search of an Understandable Consensus Algorithm (2014); "Thesis" is
 * Ongaro, Consensus: Bridging Theory and Practice (2014). docs/internals/raft.md leads from each rule to its file. */
#ifndef CHRONOS_RAFT_RAFT_H
#define CHRONOS_RAFT_RAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "raft/conf.h"

enum {
    RAFT_CONF_STACK_MAX = 16,   /* configurations remembered; of those in a log none but the newest can be uncommitted */
    RAFT_TERM_RUNS_MAX = 1 << 20,
    RAFT_MESSAGES_MAX = 512,   /* waiting to be taken or to become durable; beyond, the newest is dropped */
    RAFT_BATCHES_MAX = 512,   /* taken and not yet durable; beyond, no more writes are handed out */
    RAFT_CHUNK_MAX = 1 << 20, /* bytes of a snapshot in one message */
};
/* Terms and indexes of messages and disks are below this: no sum of them overflows, and no cluster gets there. */
#define RAFT_NUMBER_MAX (UINT64_C(1) << 62)

struct raft;

struct raft_log_id {
    uint64_t index, term; /* index 0: before the first entry */
};

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

/* The numbers go to disk and over the wire. */
enum raft_entry_type { RAFT_ENTRY_NORMAL = 1, RAFT_ENTRY_NOOP = 2, RAFT_ENTRY_CONF = 3 };

struct raft_entry {
    struct raft_log_id id;
    uint64_t hash;        /* running hash over the whole log up to and with this entry */
    const void *data;     /* borrowed; NULL with size 0 */
    uint32_t size;
    uint8_t type;
};
/* The running hash and the checksum: what identifies an entry, and its data. Stable: both are on disk. */
uint64_t raft_entry_hash(uint64_t previous, const struct raft_entry *entry);
uint32_t raft_entry_crc(const struct raft_entry *entry);

/* A complete state at an index, as a file that can be sent. */
struct raft_snapshot_meta {
    struct raft_log_id last;
    uint64_t hash;             /* running hash of the log at `last` */
    uint64_t size;             /* bytes of the file */
    uint8_t digest[32];        /* SHA-256 of it: names it together with `last` */
    struct raft_conf conf;     /* in force at `last`, never a newer one; a node that does not know it takes none */
    uint64_t conf_index;       /* of the entry that made it so */
};

enum raft_message_type {
    RAFT_PRE_VOTE = 1,
    RAFT_PRE_VOTE_RESPONSE = 2,
    RAFT_VOTE = 3,
    RAFT_VOTE_RESPONSE = 4,
    RAFT_APPEND = 5,
    RAFT_APPEND_RESPONSE = 6,
    RAFT_HEARTBEAT = 7,
    RAFT_HEARTBEAT_RESPONSE = 8,
    RAFT_SNAPSHOT = 9,          /* one chunk; made by the owner out of a raft_chunk_wanted */
    RAFT_SNAPSHOT_RESPONSE = 10,
    RAFT_TIMEOUT_NOW = 11,
    RAFT_READ = 12,             /* a follower asks for a read index */
    RAFT_READ_RESPONSE = 13,
    RAFT_REMOVED = 14,          /* the receiver is no member any more; void once a leader speaks to it again */
};

/* One message; which fields count depends on the type, the others are zero. */
struct raft_message {
    uint8_t type;
    bool reject;          /* responses: refused */
    bool lost;            /* HEARTBEAT_RESPONSE, rejected APPEND: a damaged disk cost the sender what it once acknowledged */
    bool transfer;        /* VOTE: by order of the leader, so the vote lease does not hold it back */
    uint64_t from, to;    /* raft ids */
    uint64_t term;        /* the sender's; PRE_VOTE and its grant: the term asked for */
    struct raft_log_id log; /* votes: the candidate's last; APPEND: before the entries; SNAPSHOT and its response: which one */
    uint64_t log_hash;    /* APPEND: running hash at `log`; 0: not known */
    uint64_t commit;      /* APPEND, HEARTBEAT; the index of a READ_RESPONSE; REMOVED: of the configuration */
    uint64_t match;       /* APPEND_RESPONSE: last index known to equal the leader's; rejected: the index refused */
    struct raft_log_id hint; /* rejected APPEND: the last entry with a term at most that of the one refused */
    uint64_t read_seq;    /* HEARTBEAT and its response: newest read round */
    uint64_t ctx;         /* READ, SNAPSHOT: the asker's mark, which the response repeats */
    const struct raft_entry *entries; /* APPEND; each entry's data is borrowed */
    uint32_t entry_count;
    const struct raft_snapshot_meta *snapshot; /* SNAPSHOT */
    uint64_t offset;      /* SNAPSHOT: of the chunk; its response: of the next one wanted */
    struct bytes chunk;
};

struct raft_hard_state {
    uint64_t term, vote; /* vote 0: none */
};

struct raft_term_run {
    uint64_t term, first; /* entries from `first` up to the next run's first have this term */
};

/* Memory: every allocation goes through here; NULL refuses the input that needed it. */
struct raft_alloc {
    void *(*allocate)(void *arg, size_t size);
    void (*release)(void *arg, void *memory); /* accepts NULL */
    void *arg;
};

/* Limits in bytes count the data of entries and, for each, a struct raft_entry. */
struct raft_config {
    uint64_t id;               /* random, never 0, new with every empty disk */
    uint64_t seed;             /* of the election timeouts */
    uint16_t election_ticks;   /* the minimum; drawn from [this, twice this) at every change of role */
    uint16_t heartbeat_ticks;
    uint32_t max_message_bytes;   /* of the entries in one APPEND; one entry is always sent */
    uint32_t max_inflight_messages, max_inflight_bytes; /* to one peer, unanswered */
    uint32_t max_uncommitted_bytes; /* proposals beyond get BUSY; one is always taken when there is none */
    uint32_t max_reads;
    uint32_t cache_bytes;      /* of entries kept in memory; what is not durable yet is kept whatever it takes, see raft_step */
    const struct raft_alloc *alloc; /* NULL: malloc */
};

/* What was found on disk. An empty disk is all zeroes; the founder of a cluster passes its configuration. */
struct raft_boot {
    struct raft_hard_state hard;
    struct raft_log_id base;    /* stands before the first entry of the log */
    struct raft_log_id last;    /* equals base in an empty log */
    uint64_t last_hash;
    const struct raft_term_run *runs; /* over (base, last] */
    uint32_t run_count;
    uint64_t applied;           /* base.index <= applied <= last.index */
    struct raft_conf conf;      /* in force at `applied` */
    uint64_t conf_index;
    const struct raft_entry *conf_entries; /* those above `applied`, in order */
    uint32_t conf_entry_count;
    uint64_t suspect_until;     /* corruption: the log once reached to here. No vote and no campaign before it does so again,
                                   committed. 0: sound */
    bool removed;               /* it was told so in an earlier life, and no leader has spoken to it since */
};

struct raft_read_state {
    uint64_t ctx, index;
    enum status status; /* OK: answer once the state has applied `index`; else NO_LEADER or TIMEOUT: nothing is known */
};
struct raft_fetch {
    uint64_t peer, from;
    uint32_t max_bytes;
};
struct raft_chunk_wanted {
    uint64_t peer;
    const struct raft_snapshot_meta *snapshot;
    uint64_t offset, ctx; /* both go into the message */
};
/* A chunk that arrived: store it at `offset` of the partial file of `snapshot` (offset 0: begin it anew), then raft_stored. */
struct raft_chunk {
    uint64_t from;
    const struct raft_snapshot_meta *snapshot;
    uint64_t offset;
    struct bytes data;
};

/* Actions. Everything pointed to is valid until the next call into the core. */
struct raft_output {
    uint64_t seq;                    /* of what is to be written; 0: nothing is */
    bool hard_changed;
    struct raft_hard_state hard;
    uint64_t truncate_from;          /* drop entries from here before appending; 0: none */
    const struct raft_entry *append;
    uint32_t append_count;
    const struct raft_snapshot_meta *install; /* complete and verified: switch to it, dropping the whole log; then
                                                 raft_installed instead of raft_persisted(seq) */
    const struct raft_message *messages;
    uint32_t message_count;
    uint64_t apply_first, apply_last; /* committed and durable here; apply_first 0: nothing new */
    const struct raft_read_state *reads;
    uint32_t read_count;
    const struct raft_fetch *fetches;
    uint32_t fetch_count;
    const struct raft_chunk_wanted *chunks_wanted;
    uint32_t chunk_wanted_count;
    const struct raft_chunk *chunk;   /* NULL: none */
    bool snapshot_wanted;             /* a peer is behind the log: raft_snapshot_taken when there is one */
    bool role_changed;
    enum raft_role role;
    uint64_t term, leader;            /* leader 0: not known */
};

/* NO_MEMORY, or INVALID where boot and config contradict each other. */
must_use enum status raft_new(const struct raft_config *config, const struct raft_boot *boot, struct raft **ret);
void raft_free(struct raft *r); /* accepts NULL */

/* One unit of time: 10 ms in the daemon. */
void raft_tick(struct raft *r);
/* A message from a peer. OK also where it is stale and ignored. INVALID: malformed, for the transport to count. CORRUPT: the
 * entries do not fit their hashes (damaged on the way; nothing changed), or `*ret_diverged` is set: the same entry with
 * another history, and this node must stop. NO_MEMORY, OVERLOADED (more than cache_bytes wait for the disk): dropped. */
must_use enum status raft_step(struct raft *r, const struct raft_message *message, bool *ret_diverged);

/* Appends up to all `count` commands under one decision; *ret_first is where the first of them landed. NO_LEADER, BUSY,
 * CONFLICT (a transfer runs), NO_MEMORY: surely nothing was appended. */
must_use enum status raft_propose(struct raft *r, const struct bytes *commands, uint32_t count, struct raft_log_id *ret_first);
/* One change of membership. As raft_propose; BUSY also while an earlier change or the no-op is uncommitted; INVALID: the change
 * makes no sense; NOT_READY: a learner that has not caught up; NO_QUORUM: too few voters of the result have been heard of. */
must_use enum status raft_propose_conf(struct raft *r, const struct raft_conf_change *change, struct raft_log_id *ret_at);
/* Answered exactly once in output.reads. NO_LEADER, OVERLOADED (max_reads). */
must_use enum status raft_read_index(struct raft *r, uint64_t ctx);
/* Leader: hand over to voter `to` (0: the most caught-up). NO_LEADER, INVALID (not a voter, or oneself), CONFLICT. */
must_use enum status raft_transfer(struct raft *r, uint64_t to);
/* Campaign now, without waiting for the timeout: a founder, tests, operators. CONFLICT where this node may not. */
must_use enum status raft_campaign(struct raft *r);

/* All batches up to `seq` are durable. Never called after an error. */
void raft_persisted(struct raft *r, uint64_t seq);
/* The state machine stands at `index`. */
void raft_applied(struct raft *r, uint64_t index);
/* The log may be cut up to `upto` (applied and synced in the state store). Returns up to where it may be: never past what an
 * active peer still needs unless it lags by more than `keep_max` entries, and never past a snapshot that is being sent to one.
 * The caller cuts its own log to the same index. */
uint64_t raft_compact(struct raft *r, uint64_t upto, uint64_t keep_max);
/* A snapshot that can be sent is durable. It replaces the one before unless that is being sent: the owner keeps the file of
 * raft_snapshot() and may delete the others. */
void raft_snapshot_taken(struct raft *r, const struct raft_snapshot_meta *snapshot);
const struct raft_snapshot_meta *raft_snapshot(const struct raft *r); /* NULL: none; borrowed until the next call */
/* The chunk of output.chunk is stored; `next` is the end of the partial file. At its size the owner has verified the digest. If
 * either went wrong, ok is false and the transfer begins anew, after a while, and a few times: then with another
 * snapshot. Also told once at start where a partial file was found: the transfer goes on from there. */
void raft_stored(struct raft *r, const struct raft_snapshot_meta *snapshot, uint64_t next, bool ok);
void raft_installed(struct raft *r, bool ok);
/* Answers a fetch: entries, consecutive from the index asked for, as on disk, and the running hash before them; none: they are
 * gone or could not be read. The data is copied. */
void raft_fetched(struct raft *r, uint64_t peer, uint64_t previous_hash, const struct raft_entry *entries, uint32_t count);

enum raft_report {
    RAFT_UNREACHABLE,    /* a message to the peer was dropped */
    RAFT_LINK_DOWN,      /* the peer's control link was closed or reset: if it leads, look for another at once */
    RAFT_SNAPSHOT_FAILED, /* a chunk could not be read or sent */
};
void raft_report(struct raft *r, uint64_t peer, enum raft_report report);

void raft_take(struct raft *r, struct raft_output *ret);

enum raft_progress_state { RAFT_PROBE, RAFT_REPLICATE, RAFT_SEND_SNAPSHOT };

struct raft_peer_status {
    uint64_t id, match, next;
    enum raft_progress_state state;
    uint32_t inflight;
    uint32_t silent_ticks;   /* since its last answer */
    uint64_t snapshot_offset;
    uint32_t rounds;         /* of catching up, for a learner */
    bool caught_up;
};
struct raft_status {
    enum raft_role role;
    uint64_t id, term, vote, leader, commit, applied, persisted;
    struct raft_log_id base, last;
    uint64_t last_hash;
    uint32_t leader_silent_ticks;
    const struct raft_conf *conf; /* borrowed until the next call */
    uint64_t conf_index;
    uint64_t transfer_to;
    bool removed, suspect;
    struct raft_peer_status peers[RAFT_MEMBERS_MAX]; /* leader only; those beyond peer_count are not written */
    uint32_t peer_count;
};
void raft_status(const struct raft *r, struct raft_status *ret);
/* For hot paths. */
enum raft_role raft_role(const struct raft *r);
uint64_t raft_term(const struct raft *r);
uint64_t raft_leader(const struct raft *r);
uint64_t raft_commit(const struct raft *r);
struct raft_log_id raft_last(const struct raft *r);
/* The term of an entry of the log or of its base; 0 elsewhere. */
uint64_t raft_term_at(const struct raft *r, uint64_t index);

/* Invariants in O(members); they hold between any two calls. False: *ret_why names the broken one. */
bool raft_check(const struct raft *r, const char **ret_why);
/* A hash over positions, roles, timers and progress: equal runs on one machine have equal hashes. */
uint64_t raft_hash(const struct raft *r);

#endif
