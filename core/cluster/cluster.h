/* The cluster as the daemon sees it: propose a command, learn what became of it, read what was applied.
 *
 * This is the seam behind which consensus lives: callers see no difference between one node and many, nor between a leader and
 * the others, to which a proposal is an errand for the leader.
 *
 * Threads: everything here is called on the loop thread. Inside, the log writer owns the log store and the applier owns the
 * state store; both are fed by bounded queues and post back to the loop. */
#ifndef CHRONOS_CLUSTER_CLUSTER_H
#define CHRONOS_CLUSTER_CLUSTER_H

#include <uv.h>

#include "base/clock.h"
#include "state/state.h"
#include "transport/tls.h"

struct cluster;

/* A part of what an attempt has written; and what there was of it. */
struct cluster_output_range {
    struct id execution;
    uint32_t attempt;  /* from 1 */
    uint64_t offset;
    uint32_t size_max; /* OUTPUT_PIECE_MAX at most */
};
struct cluster_output {
    struct bytes piece; /* shorter than size_max: there is no more at present */
    uint64_t total;     /* bytes that can be read so far */
    bool is_complete;   /* it cannot grow any more */
};

/* What became of a proposal. */
struct cluster_outcome {
    enum status status;         /* OK: committed and applied, see `result`. Else certainly not appended (NO_LEADER, NO_QUORUM, DISK_FULL,
                                   OVERLOADED, SHUTTING_DOWN), or OUTCOME_UNKNOWN: appended, undecided at the deadline */
    struct apply_result result; /* with status OK; its own status says what apply made of it */
    const char *message;        /* one sentence; borrowed for the call */
    const struct cluster_output *output; /* of cluster_ask_output, with status OK; likewise borrowed */
};
/* Called exactly once per accepted proposal, on the loop, never before cluster_propose has returned. `token` is the caller's:
 * an id with a generation, never a pointer to something that may be gone. `arg` outlives the cluster. */
typedef void (*cluster_done)(void *arg, uint64_t token, const struct cluster_outcome *outcome);

/* The leader's decisions, called through this table so that the same code runs in the simulator. All on the loop. */
struct cluster_leader_ops {
    /* Changes of an apply batch, on every node, before the waiting proposers are answered. */
    void (*changes)(void *arg, const struct state_changes *changes, struct state_position applied);
    /* This node leads and its own term's no-op is applied, or no longer leads. */
    void (*lead)(void *arg, bool leading);
    /* Leader: propose what is due by now (through cluster_propose); returns the wall-clock instant at which it wants to be
     * called next, INT64_MAX for not before the next change. Called after every batch and at that instant. */
    int64_t (*run)(void *arg, int64_t now_ms);
    /* With lease_timeout_ms alone. A beat of a member was confirmed; false: its session is over, and it is told so. */
    bool (*beat)(void *arg, const char *node, uint64_t session, bool is_announced, bool is_behind);
    void (*silent)(void *arg, const char *node); /* it cannot be reached */
    void (*reload)(void *arg);                   /* a snapshot has taken the place of the state: everything is to be read anew */
    bool (*watch)(void *arg);                    /* ten times a lease, or more often; true: `run` has something to do */
    /* It gets no new runs while it is held, for it is to leave; a leader begins with nobody held. True: `run` has something to do. */
    bool (*hold)(void *arg, const char *node, bool is_held);
    bool (*is_busy)(void *arg, const char *node); /* runs are under way there */
    void *arg;
};

/* The runs of this node. */
struct cluster_runner_ops {
    void (*changes)(void *arg, const struct state_changes *changes, struct state_position applied);
    /* A leader takes proposals, here or elsewhere, or none does. */
    void (*lead)(void *arg, bool leading);
    /* With lease_timeout_ms alone. *ret_is_announced: its NODE_UP is applied. */
    uint64_t (*session)(void *arg, bool *ret_is_announced);
    void (*lease)(void *arg, int64_t until_ms); /* monotonic; never earlier than it was unless this node was alone. INT64_MAX: it
                                                   does not end */
    void (*reload)(void *arg);                  /* a snapshot has taken the place of the state */
    void (*session_over)(void *arg);            /* what was assigned to the session is given to others */
    void *arg;
};

enum disk_state {
    DISK_OK,
    DISK_LOW,      /* below storage.min_free: a leader hands over to a node with more room, else client writes are refused */
    DISK_CRITICAL, /* below a quarter of it: no slots are decided, and no other node takes writes for the cluster here */
};

struct cluster_config {
    uv_loop_t *loop;
    const struct clock *clock;
    const char *node_id;
    const char *data_dir;
    const char *log_dir;       /* NULL: data_dir/log */
    const struct plugin_component *backend;
    const cJSON *backend_options;
    int64_t min_free_bytes;
    const char *raft_address;  /* where other nodes call; NULL: this node is alone */
    const char *raft_advertise; /* where they reach it; never NULL beside raft_address */
    const char *const *peers;  /* whom to ask for admission; peer_count addresses */
    uint32_t peer_count;
    bool bootstrap;            /* an empty data directory founds a cluster */
    const char *restore_file;  /* a snapshot that a new cluster begins with; NULL: none */
    bool restore_catch_up;     /* what came due since then is caught up on */
    /* This node's cluster was restored elsewhere and is over: the owner stops this one, moves its data aside, and begins anew. NULL: it
     * stays as it is. Loop. */
    void (*superseded)(void *arg);
    /* This node founded a cluster though another one has it as a member: the owner stops it. NULL: it stays as it is. Loop. */
    void (*second)(void *arg);
    void *superseded_arg; /* of both */
    int64_t heartbeat_timeout_ms, election_timeout_ms;
    const struct tls_files *tls; /* NULL: without; borrowed, and outlives the cluster */
    int64_t lease_timeout_ms;  /* 0: no leases, and no beats */
    int64_t clock_tolerance_ms; /* between this clock and the middle of all, for a leader that decides */
    uint32_t snapshot_threshold; /* entries after which one is written by itself */
    int64_t snapshot_interval_ms;
    uint32_t retain_snapshots;
    struct cluster_leader_ops leader; /* called in order given here for every batch */
    struct cluster_runner_ops runner;
    /* Both may be given later, by cluster_attach: their owners want data_dir locked first. */
};

struct cluster_snapshot {
    uint64_t index, term, size; /* bytes of its file */
    int64_t created_ms;
};

/* Locks data_dir, opens the stores, checks them against each other, replays the log into the state.
 * Blocks; call it before the loop runs. CONFLICT when another process holds the directory. */
must_use enum status cluster_open(const struct cluster_config *config, struct cluster **ret, struct error *err);
/* Nothing runs on the data directory: moves what it holds to before-restore-<time> in it. Blocks. */
must_use enum status cluster_move_aside(const struct cluster_config *config, struct error *err);
/* Before cluster_start: in place of the tables of the configuration. */
void cluster_attach(struct cluster *cluster, struct cluster_leader_ops leader, struct cluster_runner_ops runner);
/* Starts the threads. A node that is alone campaigns; one of several waits for a leader, one of none asks for admission. */
must_use enum status cluster_start(struct cluster *cluster, struct error *err);
/* Links made from now on use the certificate and the authority that the files hold now; those that are up are made anew, one by one.
 * Where they cannot be used, the old ones stay in use. OK without TLS. Blocks as long as reading them takes. */
must_use enum status cluster_reload_tls(struct cluster *cluster, struct error *err);
/* When this node's certificate for links ends, Unix time; INT64_MAX: it has none. */
int64_t cluster_tls_expires_s(const struct cluster *cluster);
/* This node is about to stop: another one should lead. Nothing happens where it does not lead, or is alone. */
void cluster_hand_over(struct cluster *cluster);
/* Refuses further proposals with SHUTTING_DOWN, waits for what is in flight, syncs; `stopped` is called once on the loop;
 * then cluster_free. */
void cluster_stop(struct cluster *cluster, void (*stopped)(void *arg), void *arg);
void cluster_free(struct cluster *cluster);

enum proposal_class {
    PROPOSE_CLIENT,  /* a user's write: refused when the disk is low, bounded */
    PROPOSE_DECISION, /* the scheduler's: refused when the disk is critical */
    PROPOSE_REPORT,  /* what happened: always taken while there is room */
};
/* `command` is copied and stamped. On OK `done` will be called; on an error it will not. */
must_use enum status cluster_propose(struct cluster *cluster, enum proposal_class class, struct bytes command,
                                     cluster_done done, void *arg, uint64_t token, struct error *err);
/* A linearizable read: `done` (outcome.status alone) is called once the state holds everything committed before the call. */
must_use enum status cluster_read_index(struct cluster *cluster, cluster_done done, void *arg, uint64_t token,
                                        struct error *err);

/* Changes of membership: done by the leader, whoever is asked. */
/* Calls the node at `address`, which belongs to no cluster yet, and admits it if it is `name`: as a learner that becomes a voter once
 * it has caught up. NOT_FOUND: nobody answers there in time. NAME_TAKEN: another node has that name. Of a member the address is noted. */
must_use enum status cluster_invite(struct cluster *cluster, const char *name, const char *address, cluster_done done, void *arg,
                                    uint64_t token, struct error *err);
/* Takes a member out; also the leader, which has another one lead first. OK with result.status BUSY: runs are under way there; it gets no
 * new ones, and leaves once they have ended, or after lease_timeout_ms. cluster_invite takes that back. NOT_FOUND: there is no such
 * member. CONFLICT: it is the last one that votes. */
must_use enum status cluster_remove(struct cluster *cluster, const char *name, cluster_done done, void *arg, uint64_t token,
                                    struct error *err);
/* Another member leads: `name`, or "" for the one that has most of the log. Answered when it does, or TIMEOUT. */
must_use enum status cluster_transfer(struct cluster *cluster, const char *name, cluster_done done, void *arg, uint64_t token,
                                      struct error *err);

/* A piece of the output of an attempt that member `node` ran. NOT_FOUND: nothing is kept there, or it is no member any more.
 * OUTPUT_UNAVAILABLE: it cannot be reached, or does not answer in time. BUSY: OUTPUT_REQUESTS_MAX wait already. */
must_use enum status cluster_ask_output(struct cluster *cluster, const char *node, const struct cluster_output_range *range,
                                        cluster_done done, void *arg, uint64_t token, struct error *err);
/* Before cluster_start: what other nodes ask of this one is read by `read`: appends at most `size_max` bytes to `out`. */
typedef enum status (*cluster_output_read)(void *arg, const struct cluster_output_range *range, struct buffer *out,
                                           uint64_t *ret_total, bool *ret_is_complete, struct error *err);
void cluster_attach_output(struct cluster *cluster, cluster_output_read read, void *arg);

bool cluster_has_member(const struct cluster *cluster, const char *name); /* by the newest configuration */

/* --- time: clocks.h has the rule. All in milliseconds since 1970 UTC --- */
/* The leader's wall clock, as far as it is known here: this node's own where the two hardly differ, or none leads. */
int64_t cluster_wall_ms(const struct cluster *cluster);
/* The time that the leader would stamp now: max(wall, last stamp). */
int64_t cluster_now_ms(const struct cluster *cluster);
/* Whether this node, leading, may decide by its clock. */
bool cluster_clock_agrees(const struct cluster *cluster);

/* Writes a snapshot of what this node has applied, into data_dir/snapshots: `done` tells its index. */
must_use enum status cluster_take_snapshot(struct cluster *cluster, cluster_done done, void *arg, uint64_t token, struct error *err);
/* Those that are there, the newest first; returns how many. */
enum { CLUSTER_PATH_SIZE = 4096 };
void cluster_snapshot_path(const struct cluster *cluster, uint64_t index, char out[CLUSTER_PATH_SIZE]);
uint32_t cluster_list_snapshots(const struct cluster *cluster, struct cluster_snapshot out[], uint32_t max);

const struct state *cluster_state(const struct cluster *cluster); /* for views that end within the turn */
/* For views on other threads, or of several turns: it stays until it is let go of. Loop. */
const struct state *cluster_state_hold(struct cluster *cluster);
void cluster_state_release(struct cluster *cluster, const struct state *state);
const char *cluster_node_id(const struct cluster *cluster);
/* Since a leader last spoke to this node; 0 where it leads itself, -1: never since it started. Cheap enough for every answer. */
int64_t cluster_leader_contact_ms(const struct cluster *cluster);

enum { CLUSTER_MEMBERS_MAX = 16 };
struct cluster_member {
    const char *name, *address; /* of the configuration in force; borrowed until the loop goes on */
    bool is_leader, is_voter;
    bool is_draining;           /* it leaves once its runs have ended */
    bool is_reachable;          /* a link to it is up; of this node: true */
    uint64_t match_index;       /* on the leader: how much of the log it has */
    uint32_t feature_level;     /* the newest that it knows; 0: this node has not heard of it */
    bool is_clock_known;        /* on the leader of all that live, elsewhere of the leader */
    int64_t clock_ahead_ms;     /* of this node's wall clock */
};

/* Callers of the node link that were turned away since the start, by reason; returns how many reasons there are, at most
 * CLUSTER_REFUSALS_MAX. 0: this node is alone. */
enum { CLUSTER_REFUSALS_MAX = 8 };
struct cluster_refusals {
    const char *reason;
    uint64_t count;
};
uint32_t cluster_refusals(const struct cluster *cluster, struct cluster_refusals ret[CLUSTER_REFUSALS_MAX]);

struct cluster_status {
    bool is_leader, is_ready;   /* ready: a leader takes proposals */
    bool is_behind;             /* its state is older than what the cluster had a second ago, or that is not known yet */
    bool is_removed;            /* it was told that it is no member any more */
    uint32_t even_voters;       /* so many vote, and have for a while, which is one too many or too few; 0: an odd number */
    const char *leader_node;    /* NULL: none known */
    const char *leader_address; /* of its node link; NULL: none known, "": it is alone */
    struct cluster_member members[CLUSTER_MEMBERS_MAX];
    uint32_t member_count;      /* 0: this node belongs to no cluster yet */
    int64_t leader_contact_ms;  /* since a leader was heard of, or since the start where none was; 0 on the leader */
    uint64_t term, commit_index, applied_index, last_index, first_index, synced_index;
    int64_t log_bytes;
    enum disk_state disk;
    int64_t disk_free_bytes;
    int64_t stamp_ahead_ms;          /* newest stamp before the wall clock; 0: not ahead (docs/adr 0009) */
    uint32_t proposals_waiting;
    uint64_t log_commits, log_entries, apply_batches, apply_entries; /* counters */
    uint64_t log_commit_ns, apply_ns;                                /* time spent, counters */
    uint64_t frames_unknown;    /* from nodes of a newer version: skipped */
};
void cluster_status_get(const struct cluster *cluster, struct cluster_status *ret);

#endif
