/* The core's own state, shared by its files. One file a message or duty; who may change what is written at each field. */
#ifndef CHRONOS_RAFT_INTERNAL_H
#define CHRONOS_RAFT_INTERNAL_H

#include <assert.h>
#include <string.h>

#include "base/id.h"
#include "raft/log.h"
#include "raft/memory.h"
#include "raft/mutant.h"
#include "raft/progress.h"
#include "raft/quorum.h"
#include "raft/raft.h"

/* A configuration in the log, or the oldest one that is still known. */
struct conf_at {
    uint64_t index;
    struct raft_conf conf;
};

/* Taken and not yet durable. */
struct unstable_batch {
    uint64_t seq, last_index; /* last_index: what it makes durable; lowered when a truncation takes that away again */
    bool hard_changed, install;
    struct raft_hard_state hard;
    uint64_t taken_at; /* tick */
};

struct pending_read {
    uint64_t ctx, index, seq; /* seq 0: waits for the no-op of this term */
    uint64_t mark;            /* a follower's own: what the leader's answer repeats */
    uint64_t from;            /* the asker; self for local ones */
    uint32_t waited_ticks;    /* a follower's own, until the leader answers */
};

struct queued_message {
    struct raft_message message;
    uint64_t needs_seq; /* leaves once this is durable */
};

struct incoming_snapshot {
    struct raft_snapshot_meta meta; /* last.index 0: none */
    uint64_t next;                  /* offset of the next chunk */
    uint64_t from, ctx;             /* of the newest chunk */
    bool storing;                   /* the owner has a chunk */
};

struct raft {
    struct raft_config config;
    struct raft_memory memory;
    struct random random;

    /* Persistent (Raft, figure 2). Term and vote change in raft.c alone; `taken` and `durable` say how far the disk has come. */
    uint64_t term, vote;
    struct raft_hard_state durable_hard, taken_hard;
    struct raft_log log;

    /* Volatile. */
    enum raft_role role; /* raft_become_* alone */
    uint64_t leader;     /* of this term; 0: not known */
    uint64_t commit, applied, apply_given;
    uint64_t suspect_until;
    bool removed;
    bool disk_stalled;

    /* The configuration is the newest in the log, committed or not (Thesis 4.1): a stack derived from the log. */
    struct conf_at confs[RAFT_CONF_STACK_MAX];
    uint32_t conf_count;

    /* Time, in ticks. */
    uint64_t ticks;
    uint32_t election_elapsed, election_timeout;
    uint32_t leader_silent; /* since the leader was heard of */
    uint32_t heartbeat_elapsed, quorum_elapsed;

    /* Candidate. */
    int8_t votes[RAFT_MEMBERS_MAX]; /* by place in the configuration */
    bool by_transfer;

    /* Leader. */
    struct raft_progress progress[RAFT_MEMBERS_MAX]; /* by place in the configuration */
    uint64_t term_start;                             /* index of this term's no-op */
    uint64_t uncommitted_bytes;                      /* of proposals of this leadership */
    uint64_t transfer_to;
    uint32_t transfer_elapsed;
    bool transfer_sent;
    bool beat_wanted;                                /* heartbeats to all with the next take */
    uint64_t read_seq;                               /* per leadership */

    struct pending_read *reads; /* config.max_reads; leader: all, follower: its own */
    uint32_t read_count;
    struct raft_read_state *read_answers; /* 2 * config.max_reads, for the next take */
    uint32_t read_answer_count;

    struct incoming_snapshot incoming;
    bool installing;    /* handed out, not yet installed */
    bool install_ready; /* to be handed out */
    struct raft_chunk chunk;
    void *chunk_data;
    bool chunk_ready;

    struct raft_snapshot_meta snapshot; /* that can be sent; last.index 0: none */
    bool snapshot_wanted;

    /* Output. */
    struct queued_message *queue; /* RAFT_MESSAGES_MAX */
    uint32_t queue_count;
    struct raft_message *messages; /* of the last take: RAFT_MESSAGES_MAX */
    uint32_t message_count;
    struct unstable_batch *batches; /* ring of RAFT_BATCHES_MAX */
    uint32_t batch_head, batch_count;
    uint64_t next_seq, durable_seq;
    bool role_changed;
    struct raft_fetch fetches[RAFT_MEMBERS_MAX];
    struct raft_chunk_wanted chunks_wanted[RAFT_MEMBERS_MAX];
    uint64_t chunk_asked; /* mark of the newest of them */
};

/* --- raft.c: roles and terms --- */
void raft_set_vote(struct raft *r, uint64_t id);
void raft_become_follower(struct raft *r, uint64_t leader);
void raft_become_pre_candidate(struct raft *r);
void raft_become_candidate(struct raft *r);
void raft_become_leader(struct raft *r);
void raft_reset_election_timer(struct raft *r);
void raft_heard_leader(struct raft *r, uint64_t leader);
bool raft_within_lease(const struct raft *r); /* a leader was heard of within the minimum election timeout */
void raft_commit_to(struct raft *r, uint64_t index);

/* --- members.c: the active configuration --- */
const struct raft_conf *raft_active_conf(const struct raft *r);
uint64_t raft_active_conf_index(const struct raft *r);
bool raft_conf_committed(const struct raft *r);
uint32_t raft_place(const struct raft *r, uint64_t id); /* in the active configuration; RAFT_MEMBERS_MAX: not in it */
uint32_t raft_peer_places(const struct raft *r);         /* of `progress` that can be taken; none at a follower */
bool raft_is_voter(const struct raft *r);               /* this node, in the active configuration */
bool raft_may_campaign(const struct raft *r);
void raft_push_conf(struct raft *r, uint64_t index, const struct raft_conf *conf);
void raft_truncate_confs(struct raft *r, uint64_t from);
void raft_confs_reset(struct raft *r, uint64_t index, const struct raft_conf *conf);
void raft_conf_changed(struct raft *r); /* the leader's progress follows the active configuration */
bool raft_progress_missing(const struct raft *r); /* there was no memory for somebody's */
void raft_learner_ticks(struct raft *r);

/* --- election.c --- */
void raft_start_campaign(struct raft *r, bool by_transfer, bool pre);
void raft_recv_vote_request(struct raft *r, const struct raft_message *m);
void raft_recv_vote_response(struct raft *r, const struct raft_message *m);
void raft_recv_timeout_now(struct raft *r, const struct raft_message *m);
void raft_recv_removed(struct raft *r, const struct raft_message *m);
void raft_vote_durable(struct raft *r);

/* --- recv_append.c --- */
must_use enum status raft_check_append(const struct raft_message *m); /* its entries, before anything of it is believed */
must_use enum status raft_recv_append(struct raft *r, const struct raft_message *m, bool *ret_diverged);
void raft_recv_heartbeat(struct raft *r, const struct raft_message *m);

/* --- recv_append_response.c --- */
void raft_peer_answered(struct raft_progress *progress);
void raft_recv_append_response(struct raft *r, const struct raft_message *m);
void raft_recv_heartbeat_response(struct raft *r, const struct raft_message *m);

/* --- replicate.c: the leader's log to the others --- */
must_use enum status raft_append_own(struct raft *r, uint8_t type, const struct bytes *data, uint32_t count);
void raft_advance_commit(struct raft *r);
void raft_send_entries(struct raft *r); /* in take: what each peer can have now */
uint32_t raft_want_entries(struct raft *r);
void raft_quorum_check(struct raft *r);
struct raft_progress *raft_progress_of(struct raft *r, uint64_t id); /* NULL: not a member, or self */

/* --- read_index.c --- */
void raft_reads_confirm(struct raft *r);
void raft_reads_term_committed(struct raft *r); /* the no-op is */
void raft_reads_fail(struct raft *r, enum status status);
void raft_reads_tick(struct raft *r);
void raft_recv_read(struct raft *r, const struct raft_message *m);
void raft_recv_read_response(struct raft *r, const struct raft_message *m);

/* --- transfer.c --- */
void raft_transfer_step(struct raft *r); /* is the target ready? */
void raft_transfer_tick(struct raft *r);
void raft_disk_tick(struct raft *r);

/* --- snapshot.c --- */
void raft_recv_snapshot(struct raft *r, const struct raft_message *m);
void raft_recv_snapshot_response(struct raft *r, const struct raft_message *m);
void raft_begin_snapshot(struct raft *r, struct raft_progress *progress); /* its log ends before ours begins */
uint32_t raft_want_chunks(struct raft *r);
void raft_chunk_failed(struct raft *r, struct raft_progress *p); /* it could not be read, or the receiver begins anew */
void raft_snapshot_tick(struct raft *r, struct raft_progress *progress);

/* --- output.c --- */
/* Queues `m` with sender and term filled in; it leaves when what it promises is durable. */
void raft_send(struct raft *r, struct raft_message m);
void raft_acknowledge(struct raft *r, uint64_t to, uint64_t match); /* an APPEND_RESPONSE: everything through `match` is here */
void raft_batches_truncated(struct raft *r, uint64_t from);

#endif
