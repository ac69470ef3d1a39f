/* What the files of this room share: the stores that lie under data_dir, and the cluster that runs on them. */
#ifndef CHRONOS_CLUSTER_CLUSTER_INTERNAL_H
#define CHRONOS_CLUSTER_CLUSTER_INTERNAL_H

#include "base/limits.h"
#include "cluster/applier.h"
#include "cluster/beats.h"
#include "cluster/clocks.h"
#include "cluster/cluster.h"
#include "cluster/contact.h"
#include "cluster/data_dir.h"
#include "cluster/disks.h"
#include "cluster/forward.h"
#include "cluster/founding.h"
#include "cluster/levels.h"
#include "cluster/links.h"
#include "cluster/log_store.h"
#include "cluster/log_writer.h"
#include "cluster/message.h"
#include "cluster/outputs.h"
#include "cluster/proposals.h"
#include "cluster/reads.h"
#include "cluster/removal.h"
#include "cluster/snapshots.h"
#include "cluster/voters.h"
#include "cluster/waiter.h"

struct cluster_stores {
    struct data_dir data, log_dir; /* log_dir: only with a directory of its own */
    char log_path[DATA_DIR_PATH_SIZE];
    struct store *log_store, *state_store;
    uint64_t live;                      /* state-<live> is in use */
    char state_path[DATA_DIR_PATH_SIZE];
    struct log_store *log;
    struct state *state;
    bool is_alone; /* the log names no other member: all of it is committed */
    bool founds;   /* blank, and to be the first node of a cluster: founding.h */
};

/* Locks, opens, compares the state with the log, founds a cluster where the log is new, and replays what the state lacks.
 * Blocks. */
must_use enum status cluster_stores_open(const struct cluster_config *config, struct cluster_stores *ret, struct error *err);
/* Blank stores become those of a new cluster of this node. Blocks. */
must_use enum status cluster_stores_found(const struct cluster_config *config, struct cluster_stores *stores, struct error *err);
void cluster_stores_close(struct cluster_stores *stores); /* accepts a zeroed one */
/* restore.c: makes config->restore_file what the stores hold, unless they came from it. The directories are open, the stores not. */
must_use enum status cluster_restore(const struct cluster_config *config, struct cluster_stores *stores, struct error *err);
/* What is there opens: a restore that had begun is over. */
must_use enum status cluster_restore_ended(const struct cluster_stores *stores, struct error *err);
must_use enum status cluster_open_directories(const struct cluster_config *config, struct cluster_stores *stores, struct error *err);
/* The log alone, and behind it the state. */
must_use enum status cluster_open_log(const struct cluster_config *config, struct cluster_stores *stores, struct error *err);
must_use enum status cluster_open_state(const struct cluster_config *config, struct cluster_stores *stores, struct error *err);
void cluster_close_log_and_state(struct cluster_stores *stores);
must_use enum status cluster_state_store_open(const struct cluster_config *config, const char *path, struct store **ret,
                                              struct error *err);

enum { CORE_TICK_MS = 10 };

/* A node that calls: perhaps a leader whose log has not arrived here yet, perhaps a member that has moved. */
struct acquaintance {
    uint64_t id;
    struct id cluster_id; /* this node may belong to none when it is called */
    bool is_name_proven;
    char address[HELLO_ADDRESS_SIZE];
};
/* A node that was called and belonged to no cluster: if it is a member, it is to be told. */
struct guest {
    struct transport_link link;
    uint64_t id;
};
enum { ACQUAINTANCES_MAX = 2 * RAFT_MEMBERS_MAX, JOINS_MAX = 16 /* guests whose admission is under way */ };

/* A node that is called so that it can be admitted. */
struct invitation {
    struct waiter waiter;
    struct transport_link link; /* it has answered on this one, and is being admitted; generation 0: not yet */
    uint32_t serial;            /* tells it from one that had the place before */
    bool asks_peers;            /* it has answered, and will ask by itself */
    char name[NODE_NAME_MAX + 1], address[NODE_ADDRESS_MAX + 1];
};
enum { INVITATIONS_MAX = 8 };

/* What was submitted before the batch `seq` holds nothing valid from `from` on. */
struct truncation {
    uint64_t seq, from;
};

struct cluster {
    struct cluster_config config;
    struct cluster_stores stores;
    struct raft *raft;
    struct log_writer *writer;
    struct applier *applier;
    struct proposals *proposals;

    /* The other nodes; transport NULL: there are none, and never will be. */
    struct transport *transport;
    struct forward *forward;
    struct hello self;
    struct message_room room;
    struct buffer wire;        /* a message on its way out */
    struct acquaintance acquaintances[ACQUAINTANCES_MAX];
    uint32_t acquaintance_count;
    struct raft_log_id called_for; /* the configuration whose members are called */
    bool calls_changed;        /* the list is to be made anew whatever `called_for` says */
    struct invitation invitations[INVITATIONS_MAX];
    struct waiter handover;    /* another node is to lead */
    uint64_t next_handover_ns; /* to a node that this one has chosen; monotonic */
    struct transport_link contacts[CONFIG_LIST_MAX]; /* links on which this node can ask for admission */
    uint32_t contact_count;
    struct guest guests[ACQUAINTANCES_MAX];
    uint32_t guest_count;
    uint32_t joins;            /* of guests, under way */
    bool is_joining;           /* admitted; the log is about to know */
    uint64_t refusal_logged;   /* hash of the newest reason why it is not admitted */
    struct contact contact;
    struct levels levels;
    struct removals removals;
    struct voters voters;
    uint64_t frames_unknown;   /* of a newer version: skipped */
    struct outputs outputs;
    bool is_led;               /* what the runner was told */
    bool is_leaving;           /* it will stop: whenever it leads, it hands over */
    uint64_t replaced_from;    /* entries from here on are another leader's now; 0: none since it was last looked at */
    bool is_removed;           /* as was said */
    uint32_t out_looks;        /* at which this node was in no configuration, one after the other */
    struct superseded {
        char by[NODE_NAME_MAX + 1]; /* a node of a cluster that was restored from this one; "": none */
        uint64_t first_ns, told_ns;
    } superseded;
    struct moves { /* of the member that changed its address last */
        uint64_t node, since_ns;
        uint32_t count;
    } moves;
    struct origin { /* the cluster that this one was restored from: a node of it was heard of */
        uint64_t first_ns, told_ns, warned_ns;
    } origin;
    uint64_t looks;            /* of membership_look */
    struct beats beats;
    struct clocks clocks;
    struct disks disks;
    struct founding founding;
    struct snapshots *snapshots;
    uint64_t ticks;

    uv_async_t progress; /* the writer or the applier has something */
    uv_prepare_t flush;  /* what this turn proposed goes to the writer, in one batch */
    uv_timer_t tick_timer; /* the core's time; only while it waits for somebody */
    uv_timer_t leader_timer, expire_timer;
    uv_poll_t clock_steps; /* readable when the wall clock was set */
    int clock_fd;
    int open_handles;

    struct batch_queue durable; /* written, not yet committed */
    struct batch_queue held;    /* not to be written before a snapshot is installed */
    uint64_t submitted_seq, stored_seq; /* of the batches that the core is told about: equal, nothing is on its way to the disk */
    struct truncation truncations[RAFT_BATCHES_MAX]; /* on their way to the disk, by seq */
    uint32_t truncation_count;
    struct batch_queue free_batches;
    uint64_t waiting_bytes;     /* of entries that are not applied yet */
    struct buffer stamped;      /* a command on its way into the core */

    uint64_t given_index;       /* to the applier */
    uint64_t noop_index, applied_index; /* noop_index: of this leadership, UINT64_MAX: it does not lead */
    int64_t last_stamp_ms;
    bool is_leader, stopping;
    uint64_t stop_deadline_ns;
    enum disk_state disk;
    int64_t disk_free_bytes;
    const char *disk_directory; /* that it is of */

    struct reads reads;

    void (*stopped)(void *arg);
    void *stopped_arg;
};

/* --- consensus.c: the raft core and its owner's duties (raft/raft.h) --- */

/* Makes the core out of what the stores hold; a fresh log is founded as a cluster of this one node. */
must_use enum status consensus_open(struct cluster *cluster, struct error *err);
/* Carries out what the core wants done: writes, applies, answers of reads. Loop; call it after every input. */
void consensus_drive(struct cluster *cluster);
/* Tells the core what has become durable. */
void consensus_take_durable(struct cluster *cluster);
/* The state stands at applied_index; the log may be cut behind what is synced. */
void consensus_applied(struct cluster *cluster);
void consensus_allow_cut(struct cluster *cluster, uint64_t synced, uint64_t wanted);
void consensus_forget_log(struct cluster *cluster);
void consensus_release_held(struct cluster *cluster); /* the snapshot is installed, or it came to nothing */
void consensus_recycle_batches(struct cluster *cluster);
void consensus_tick(struct cluster *cluster);
bool consensus_needs_ticks(const struct cluster *cluster);
/* Answers of the log writer to what the core wanted to read. */
void consensus_take_fetched(struct cluster *cluster);
/* This node belongs to that cluster: written to the log; membership_stored is called when it is durable. */
void consensus_store_removed(struct cluster *cluster, bool removed); /* it was told so; also after a restart */
void consensus_store_cluster(struct cluster *cluster, const struct id *cluster_id);

/* --- cluster.c --- */
uint64_t cluster_monotonic_ns(const struct cluster *cluster);
int64_t cluster_monotonic_ms(const struct cluster *cluster);
int64_t cluster_stamp_ahead_ms(const struct cluster *cluster); /* newest stamp before the wall clock; 0: not ahead */
must_use enum status cluster_start_threads(struct cluster *cluster, struct error *err); /* both */
must_use enum status cluster_start_applier(struct cluster *cluster, struct error *err);
/* A snapshot stands in the place of state and log: tells everybody. */
void cluster_replaced(struct cluster *cluster);
uint64_t cluster_deadline_ns(struct cluster *cluster); /* of what a client waits for; starts its clock */
/* A request about members: done here by the leader, else by the leader that is asked. As forward_ask. */
must_use enum status cluster_ask(struct cluster *cluster, enum request_kind kind, uint64_t id, const char *name, const char *address,
                                 cluster_done done, void *arg, uint64_t token, struct error *err);

#endif
