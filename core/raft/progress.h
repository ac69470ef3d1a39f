/* What a leader knows of one peer, and how much it may send it. */
#ifndef CHRONOS_RAFT_PROGRESS_H
#define CHRONOS_RAFT_PROGRESS_H

#include "raft/memory.h"

struct inflight_message {
    uint64_t last_index;
    uint32_t bytes;
};

struct raft_progress {
    uint64_t id; /* 0: unused */
    enum raft_progress_state state;
    uint64_t match, next;      /* match < next */
    uint64_t commit_sent;      /* highest commit index that it was told */
    bool paused;               /* probing: one message is on its way; replicating: the window is full */
    bool send_empty;           /* one message without entries is due */
    bool active;               /* it answered within this check of the quorum */
    uint32_t silent_ticks;
    uint64_t read_seq;         /* newest read round that it echoed */

    struct inflight_message *inflight; /* ring of `window` */
    uint32_t head, count, window;
    uint32_t allowed; /* as many may be in flight: a probe leaves one, each that is accepted adds one, up to `window` */
    uint64_t inflight_bytes;

    bool fetch_wanted, fetching;  /* entries from the owner's disk: to be asked for, asked for */
    bool fetch_failed;            /* not to be asked for again before the peer shows that it is there */
    struct raft_entry *fetched;   /* with data of its own, to be sent next */
    uint32_t fetched_count;
    uint64_t fetched_hash;        /* running hash before them */

    struct raft_log_id snapshot;  /* being sent */
    uint64_t snapshot_offset, snapshot_size;
    bool chunk_wanted, chunk_sent;
    uint64_t chunk_answered; /* answers to chunks up to this mark are old */
    uint32_t chunk_ticks, chunk_wait; /* since it was asked for; how long until it is asked for again */
    uint32_t snapshot_failures;

    uint64_t round_target;        /* Thesis 4.2.1: a learner that reaches this within an election timeout has caught up */
    uint32_t rounds, round_ticks;
    bool caught_up;
};

must_use enum status raft_progress_init(struct raft_progress *p, const struct raft_memory *memory, uint64_t id, uint64_t last,
                                        uint32_t window);
void raft_progress_deinit(struct raft_progress *p, const struct raft_memory *memory);
void raft_progress_drop_fetched(struct raft_progress *p, const struct raft_memory *memory);

void raft_progress_become_probe(struct raft_progress *p);
void raft_progress_become_replicate(struct raft_progress *p);
void raft_progress_become_snapshot(struct raft_progress *p, struct raft_log_id snapshot, uint64_t size);

/* The peer has everything through `match`; false: it is old news. */
bool raft_progress_accept(struct raft_progress *p, uint64_t match);
/* The peer refused what follows `refused`; `hint` is where it may fit. False: the refusal is stale. */
bool raft_progress_reject(struct raft_progress *p, uint64_t refused, uint64_t hint);
/* Damage took from the peer what it had acknowledged behind `last`. Nothing that counted on it is undone: the peer neither votes
 * nor campaigns before it has everything again. */
void raft_progress_forget(struct raft_progress *p, uint64_t last);
void raft_progress_sent(struct raft_progress *p, uint64_t last_index, uint32_t entry_count, uint64_t bytes, uint64_t max_bytes);
bool raft_progress_window_full(const struct raft_progress *p, uint64_t max_bytes);
void raft_progress_free_to(struct raft_progress *p, uint64_t index);

#endif
