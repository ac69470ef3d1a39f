/* The machine that tries to break the consensus core: N real cores in one thread over a fake network, disk and clock, drawn from
 * one seed. See README.md. Everything belongs to `struct sim`; a broken invariant leaves through sim_fail. */
#ifndef CHRONOS_TESTS_SIM_H
#define CHRONOS_TESTS_SIM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"
#include "raft/mutant.h"
#include "raft/raft.h"

enum {
    NODES_MAX = 9,
    TICK = 100, /* units of simulated time: a core's tick is 10 ms, so a unit is 0.1 ms */
    OLD_PACKETS = 128,
    READS_MAX = 32, /* outstanding at one node */
    REGISTERS = 4,
    ROTTEN_MAX = 8,
    DAMAGED_MAX = 256,
    WHY_SIZE = 512,
    ROLES = 4, MESSAGE_TYPES = 15, PROGRESS_STATES = 4,
};

enum fault {
    FAULT_NONE, /* nothing was broken at that moment */
    FAULT_PARTITION, FAULT_ISOLATE, FAULT_ONE_WAY, FAULT_CLOG, FAULT_LOSS, FAULT_REPLAY, FAULT_CRASH, FAULT_POWER, FAULT_PAUSE,
    FAULT_WIPE, FAULT_STALL, FAULT_FULL, FAULT_DISK_ERROR, FAULT_ROT, FAULT_LINK_DOWN,
    FAULT_CONF, FAULT_TRANSFER, FAULT_SNAPSHOT, FAULT_COMPACT, FAULT_CAMPAIGN, FAULT_BURST,
    FAULT_COUNT
};

/* --- what is shared by all nodes, by identity --- */

/* An entry; one per (index, term), for the whole run. */
struct blob {
    struct raft_entry entry; /* data points behind */
    uint64_t op;             /* of a client; 0: none */
    const struct raft_conf *conf; /* CONF entries, decoded */
    struct blob *next;       /* in its bucket */
};

struct stack; /* stack.h */
struct model;

/* The cheap state machine: a chain of hashes, and registers that clients write. */
struct machine {
    struct raft_log_id applied;
    uint64_t log_hash, hash;
    uint64_t registers[REGISTERS];
    const struct raft_conf *conf; /* in force at `applied` */
    uint64_t conf_index;
    const struct state_file *file; /* with the full stack, of a state on disk: all its rows */
};

struct snapshot {
    struct raft_snapshot_meta meta;
    struct machine machine;
    const uint8_t *bytes; /* meta.size */
    struct snapshot *next;
};

struct log_image {
    struct raft_log_id base;
    uint64_t base_hash;
    struct blob **entries; /* of base.index + 1 on */
    uint32_t count, capacity;
};

/* --- one node --- */

struct write {
    uint64_t seq;
    bool hard_changed;
    struct raft_hard_state hard;
    uint64_t truncate_from;
    const struct snapshot *install;
    uint32_t count;
    struct blob **entries;
    struct write *next;
};

struct disk {
    struct raft_hard_state hard;
    struct log_image log;
    struct machine machine;   /* the state store, as of its last sync */
    bool removed;
    uint64_t suspect_until;
    const struct snapshot *snapshot; /* a portable one, complete */
    bool snapshot_bad;               /* its file is not what it says: nobody can install it */
    const struct snapshot *partial;  /* being received */
    uint64_t partial_size;
    uint64_t rotten[ROTTEN_MAX];     /* indexes whose stored bytes went bad */
    uint32_t rotten_count;
    struct write *first, *last;      /* taken, not yet durable */
    uint32_t pending;
    bool busy;
    uint64_t stalled_until, full_until;
};

struct read_op {
    uint64_t ctx, floor; /* floor: highest commit index anywhere when it was asked */
};

struct node {
    uint64_t next_ctx; /* of its reads; begins anew with each start, as a program would */
    uint8_t slot;
    bool up, broken; /* broken: for good, in the liveness phase */
    uint64_t id;     /* of this disk */
    uint32_t life;   /* counts boots; events of an earlier one are void */
    uint64_t paused_until;
    uint32_t tick_units;
    struct raft *raft;
    struct disk disk;
    struct log_image shadow; /* what the core has handed out, durable or not */
    const struct raft_conf *base_conf; /* in force where the shadow begins */
    uint64_t base_conf_index;
    uint64_t conf_index;     /* derived from the shadow */
    const struct raft_conf *conf;
    struct machine machine;  /* live */
    struct stack *stack;     /* the full stack, while it is up */
    int64_t clock_ms;        /* how far its wall clock is ahead */
    uint64_t apply_target;
    bool applying, snapshotting, storing, take_owed;
    struct read_op reads[READS_MAX];
    uint32_t read_count;
    /* As seen after its last input. */
    struct raft_status status;
    uint64_t matches[RAFT_MEMBERS_MAX], match_ids[RAFT_MEMBERS_MAX], match_term;
};

/* --- the network --- */

struct packet {
    struct packet *next;
    uint32_t references, room, epoch;
    struct raft_message message;
    struct raft_entry entries[];
};

struct network {
    uint64_t cut_until[NODES_MAX][NODES_MAX]; /* from, to */
    uint64_t clogged_until[NODES_MAX][NODES_MAX];
    uint64_t last_at[NODES_MAX][NODES_MAX];   /* of the newest delivery, for links that keep order */
    uint32_t under_way[NODES_MAX][NODES_MAX];
    uint32_t epoch; /* packets of an earlier one are lost */
    struct packet *old[OLD_PACKETS];
    struct packet *free[5];
};

/* --- events --- */

enum event_kind {
    EVENT_TICK, EVENT_DELIVER, EVENT_DISK, EVENT_APPLY, EVENT_FETCH, EVENT_SNAPSHOT, EVENT_STORED, EVENT_RESTART, EVENT_REPORT,
    EVENT_STACK, EVENT_READ, EVENT_CONF, EVENT_CLIENT, EVENT_FAULT, EVENT_USER
};

struct event {
    uint64_t at, order;
    enum event_kind kind;
    uint32_t life;
    uint8_t slot;
    void *data;
    uint64_t a, b;
};

struct event_queue {
    struct event *heap;
    uint32_t count, capacity;
    uint64_t order;
};

/* --- the truth --- */

struct committed {
    const struct blob *blob;
    uint64_t by_term;    /* of the leader that committed it */
    uint64_t state_hash; /* after it was applied; 0: nowhere yet */
};

struct oracle {
    struct committed *log; /* [0] is index 1 */
    uint64_t commit, capacity;
    const struct raft_conf *conf; /* the newest that is committed */
    uint64_t conf_index;
    uint64_t *leaders;     /* by term */
    uint64_t leaders_capacity;
    struct vote_record {
        uint64_t id, term, vote;
    } *votes;              /* open addressing */
    uint32_t vote_count, vote_capacity;
    struct blob **blobs;   /* buckets by (index, term) */
    uint32_t blob_mask;
    uint8_t *ops;          /* by op id: enum op_state */
    uint64_t op_count, op_capacity;
    uint64_t machine_hash;
    uint64_t terms_seen;
};
enum op_state { OP_OPEN = 1, OP_REFUSED, OP_COMMITTED };

/* --- swarm: drawn per seed --- */

struct options {
    bool full; /* the full stack */
    uint32_t voters, spares;
    struct raft_config core;
    uint32_t payload_max, burst_max;
    uint64_t end; /* of the safety phase */
    uint32_t damage;   /* of appended entries on the way, per 10,000 */
    uint32_t no_memory; /* of allocations, per 1,000,000 */
    uint32_t loss, duplicate, replay, out_of_order, unreachable, link_down; /* per 10,000 */
    uint32_t delay_min, delay_spread;
    uint32_t capacity; /* packets under way on one path; beyond, they are dropped */
    uint32_t disk_delay, apply_delay;
    uint32_t client_every, fault_every, fault_length; /* units, mean */
    uint32_t read_share; /* percent of client calls */
    uint32_t sync_share, defer_share; /* percent */
    uint32_t skew_percent;
    bool conf_storm;     /* every new leader is asked for a change of membership at once */
    uint32_t compact_at; /* entries in the log; 0: only when told */
    uint32_t keep_max, chunk_bytes, snapshot_pad;
    uint32_t weight[FAULT_COUNT], weights;
};

struct coverage {
    uint64_t cells[ROLES][MESSAGE_TYPES][PROGRESS_STATES][FAULT_COUNT];
    uint64_t faults[FAULT_COUNT];
};

struct statistics {
    uint64_t events, commits, elections, reads, installs, install_failures, boots, packets, conf_changes, liveness_skipped;
    uint64_t full_runs, decided, runs, starts; /* the full stack's */
    uint32_t worst_heal_ticks;
};

struct arena_block;
struct arena {
    struct arena_block *first, *current;
    uint32_t used;
};

struct sim {
    uint64_t seed, now;
    struct random random;
    struct options options;
    struct node nodes[NODES_MAX];
    uint32_t node_count;
    struct network network;
    struct event_queue events;
    struct oracle oracle;
    struct snapshot *snapshots;
    struct model *model; /* the full stack's */
    struct arena arena;
    uint64_t fault_until[FAULT_COUNT];
    bool booting;      /* which is given all the memory that it wants */
    bool calm;         /* liveness phase: no new faults */
    bool client_quiet, users_quiet;
    bool client_calm; /* clients go on, and never so much that what is applied falls far behind */
    uint64_t next_id;
    uint64_t damaged[DAMAGED_MAX]; /* ids whose disk ever lost what it had acknowledged, gone ones too */
    uint32_t damaged_count;
    uint64_t hash;     /* over all events: equal runs have equal hashes */
    struct statistics stats;
    struct coverage *coverage;
    bool trace;
    jmp_buf failed;
    char why[WHY_SIZE];
};

/* --- world.c --- */
struct sim *sim_new(struct coverage *coverage);
void sim_free(struct sim *sim);
/* One whole run; false: sim->why says which invariant broke. */
bool sim_run(struct sim *sim, uint64_t seed, bool trace);
_Noreturn void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_require(struct sim *sim, bool condition, const char *invariant, const struct node *node); /* node may be NULL */
uint64_t sim_below(struct sim *sim, uint64_t bound);
bool sim_chance(struct sim *sim, uint32_t per_10000);
/* About `mean`, at least 1. */
uint64_t sim_about(struct sim *sim, uint64_t mean);
void *sim_alloc(struct sim *sim, size_t size); /* zeroed; lives as long as the run */
void sim_run_until(struct sim *sim, uint64_t until);
void sim_mix(struct sim *sim, uint64_t value);

/* --- events.c --- */
void event_push(struct sim *sim, uint64_t at, enum event_kind kind, const struct node *node, void *data, uint64_t a, uint64_t b);
bool event_pop(struct sim *sim, struct event *ret);

/* --- options.c --- */
void options_draw(struct sim *sim);

/* --- log_image.c --- */
void log_image_reset(struct log_image *log, struct raft_log_id base, uint64_t hash);
void log_image_append(struct sim *sim, struct log_image *log, struct blob *blob);
void log_image_truncate(struct log_image *log, uint64_t from);
void log_image_compact(struct log_image *log, uint64_t upto);
void log_image_copy(struct sim *sim, struct log_image *to, const struct log_image *from);
struct raft_log_id log_image_last(const struct log_image *log);
uint64_t log_image_last_hash(const struct log_image *log);
struct blob *log_image_at(const struct log_image *log, uint64_t index); /* NULL: base, or not there */
uint64_t log_image_term(const struct log_image *log, uint64_t index);   /* 0: not there */

/* --- machine.c --- */
void machine_apply(struct sim *sim, struct machine *machine, const struct blob *blob);
const struct snapshot *snapshot_take(struct sim *sim, const struct machine *machine);
const struct snapshot *snapshot_find(struct sim *sim, const struct raft_snapshot_meta *meta); /* by identity; never NULL */

/* --- network.c --- */
void network_send(struct sim *sim, struct node *from, const struct raft_message *message);
void network_deliver(struct sim *sim, const struct event *event);
void network_cut(struct sim *sim, uint32_t from, uint32_t to, uint64_t until);
void network_heal(struct sim *sim);
struct node *node_of(struct sim *sim, uint64_t id); /* whose disk has this id now; NULL: nobody's */

/* --- disk.c --- */
void disk_write(struct sim *sim, struct node *node, const struct raft_output *out);
void disk_event(struct sim *sim, struct node *node);
void disk_crash(struct sim *sim, struct node *node); /* loses what was not durable */
void disk_sync_state(struct sim *sim, struct node *node);
void disk_recover(struct sim *sim, struct node *node); /* finds what rotted */
bool disk_was_damaged(const struct sim *sim, uint64_t id);

/* --- node.c: the owner of one core --- */
void node_boot(struct sim *sim, struct node *node);
void node_crash(struct sim *sim, struct node *node, uint64_t back_at); /* 0: stays down */
void node_wipe(struct sim *sim, struct node *node);
void node_event(struct sim *sim, const struct event *event, struct node *node);
/* After an input: take and carry out the actions, then check. */
void node_settle(struct sim *sim, struct node *node);
void node_settle_later(struct sim *sim, struct node *node); /* perhaps a few inputs later */
struct node *leader_node(struct sim *sim); /* up, of the highest term; NULL: none */

/* --- client.c --- */
void client_event(struct sim *sim);
bool client_propose(struct sim *sim, struct node *node, uint32_t count);
void client_read(struct sim *sim, struct node *node);
void client_answered(struct sim *sim, struct node *node, const struct raft_read_state *read);

/* --- faults.c --- */
void fault_event(struct sim *sim);
void fault_schedule(struct sim *sim);
bool conf_good(struct sim *sim, const struct raft_conf *conf, const struct node *without, uint32_t allowed);
/* Could every configuration in any log still elect, counting only nodes in `allowed` (bits by slot) but `without`? */
bool cluster_good(struct sim *sim, const struct node *without, uint32_t allowed);
void operation_conf(struct sim *sim, struct node *node);
void operation_compact(struct sim *sim, struct node *node);

/* --- oracle.c --- */
void oracle_reset(struct sim *sim);
struct blob *oracle_blob(struct sim *sim, const struct raft_entry *entry);
void oracle_leader(struct sim *sim, const struct node *node);
void oracle_commit(struct sim *sim, struct node *node);
void oracle_apply(struct sim *sim, const struct node *node, const struct blob *blob, const struct machine *machine);
void oracle_vote(struct sim *sim, uint64_t id, uint64_t term, uint64_t vote);
uint64_t oracle_new_op(struct sim *sim);

/* --- invariants.c --- */
void check_node(struct sim *sim, struct node *node);
void check_leaves(struct sim *sim, const struct node *node, const struct raft_message *message);

/* --- liveness.c --- */
void liveness_run(struct sim *sim);

/* --- coverage.c --- */
void coverage_message(struct sim *sim, const struct node *node, const struct raft_message *message);
uint32_t coverage_reached(const struct coverage *coverage, uint32_t *ret_plain, uint32_t *ret_plain_all);

/* --- trace.c --- */
void trace_line(struct sim *sim, const struct node *node, const char *format, ...) __attribute__((format(printf, 3, 4)));
void trace_message(struct sim *sim, const struct node *node, const char *verb, const struct raft_message *message);
const char *message_name(uint8_t type);
const char *role_name(enum raft_role role);
const char *fault_name(enum fault fault);
const char *node_name(struct sim *sim, uint64_t id); /* "n3", "n3'" for an earlier disk; valid for a few calls */

#define TRACE(sim, node, ...)                    \
    do {                                         \
        if ((sim)->trace)                        \
            trace_line((sim), (node), __VA_ARGS__); \
    } while (0)

#endif
