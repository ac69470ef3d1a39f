/* Beats: each node says at short intervals that it lives, and holds a lease for as long as the leader answers. On the leader, what
 * it hears is told to its scheduler. Rule: an answer leaves only after a majority has confirmed, behind the beat's arrival, who
 * leads; the lease runs from the moment at which the beat was sent. So whoever leads next, and lets a lease pass from then on, knows
 * that no older lease is left. Loop thread. */
#ifndef CHRONOS_CLUSTER_BEATS_H
#define CHRONOS_CLUSTER_BEATS_H

#include <uv.h>

#include "cluster/cluster.h"
#include "raft/raft.h"
#include "transport/hello.h"

struct cluster;

enum {
    BEATS_PER_LEASE = 10,
    BEATS_UNANSWERED_MAX = 16, /* of this node: an answer to an older one is too late */
    BEATS_HEARD_MAX = 4 * RAFT_MEMBERS_MAX, /* on the leader, being confirmed; more are not heard */
    UNLED_LONG_MS = 5000,      /* longer than an election takes: what was known before is old */
    COMMIT_SAMPLES = 10,       /* one each CORE_TICK_MS * LOOK_TICKS: a second of them */
};

/* Being confirmed. node 0: the place is free. */
struct heard_beat {
    uint64_t node, seq, session;
    int64_t wall_ms; /* its clock when it was sent; 0: it does not say */
    bool is_behind, is_full; /* its state lags; its disk takes no more: in both cases no new runs */
    bool is_announced;       /* the session */
    enum disk_state disk;    /* as steadily as disks.h says */
};

/* How far the state of a member has come, as the leader hears it. */
struct beat_progress {
    uint64_t node, applied;
    int64_t since_ms, heard_ms; /* monotonic: of that, and of the newest beat */
    bool is_stuck;    /* logged */
};

struct beats {
    uv_timer_t timer;
    uint64_t leader, term;     /* that was told last; leader 0: there is none */
    uint64_t seq, over_seq;    /* those up to over_seq were of a session that is over */
    int64_t sent_ms[BEATS_UNANSWERED_MAX]; /* by seq; monotonic */
    bool is_alone;             /* nobody could take its runs over: its lease does not end */
    struct heard_beat heard[BEATS_HEARD_MAX];
    struct beat_progress progress[RAFT_MEMBERS_MAX];
    uint32_t progress_count;
    uint64_t target;           /* what the leader had committed a second before its newest answer: whoever lacks that is behind */
    bool is_target_known;      /* since this node started, or was without a leader for long */
    int64_t unled_ms;          /* monotonic: since when it has no leader, or had none last */
    uint64_t commits[COMMIT_SAMPLES]; /* the commit index in the last second, a ring */
    uint32_t samples;
};

void beats_start(struct cluster *cluster); /* the timer is made by the owner */
/* Who leads, or whether it can be reached, may have changed: a new leader is told at once. */
void beats_follow(struct cluster *cluster);
void beats_sample(struct cluster *cluster);
/* This node's state is older than what the cluster had a second ago; or that is not known yet. */
bool beats_is_behind(const struct cluster *cluster);
void beats_link_lost(struct cluster *cluster, uint64_t node);
/* FRAME_BEAT and FRAME_BEAT_ANSWER; false: damaged. */
must_use bool beats_heard(struct cluster *cluster, const struct hello *remote, struct bytes payload, struct error *err);
must_use bool beats_answered(struct cluster *cluster, const struct hello *remote, struct bytes payload, struct error *err);

#endif
