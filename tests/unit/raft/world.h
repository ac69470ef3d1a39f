/* A cluster of real cores in one thread: each with a disk of its own, all with one pool of messages. Nothing moves but by a call
 * below, and after every call what Raft promises is checked; a broken promise ends the scenario. */
#ifndef CHRONOS_TESTS_UNIT_RAFT_WORLD_H
#define CHRONOS_TESTS_UNIT_RAFT_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "raft/raft.h"

enum { NODES_MAX = 24, INDEX_MAX = 8192, READS_MAX = 64 };

/* Prints file, line and the sentence, and ends the process. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *get_memory(size_t size); /* zeroed */

/* --- disk.c: what survives a crash --- */

struct disk {
    struct raft_hard_state hard;
    struct raft_log_id base;
    uint64_t base_hash;
    struct raft_conf base_conf; /* in force at base */
    uint64_t base_conf_index;
    struct raft_entry *entries; /* those above base; data is owned */
    uint32_t count;
    uint64_t applied;           /* of the state store */
    struct raft_snapshot_meta partial; /* a file that is being received; last.index 0: none */
    uint64_t partial_size;
    bool removed;
};

struct disk_batch {
    uint64_t seq;
    bool hard_changed, install;
    struct raft_hard_state hard;
    uint64_t truncate_from;
    struct raft_entry *entries;
    uint32_t count;
    struct raft_snapshot_meta snapshot;
};

struct raft_entry *entries_copy(const struct raft_entry *from, uint32_t count);
void entries_free(struct raft_entry *entries, uint32_t count);
/* An entry as scenarios write it: its content follows from index and term, so equal ids are equal entries on all nodes. */
void disk_add(struct disk *disk, uint64_t term);
uint64_t disk_last(const struct disk *disk);
const struct raft_entry *disk_entry(const struct disk *disk, uint64_t index); /* NULL: not there */
uint64_t disk_term(const struct disk *disk, uint64_t index);                  /* 0: not there */
uint64_t disk_hash(const struct disk *disk, uint64_t index);
void disk_write(struct disk *disk, const struct disk_batch *batch);
void disk_cut(struct disk *disk, uint64_t from);    /* drop entries from here */
void disk_compact(struct disk *disk, uint64_t upto);
const struct raft_conf *disk_conf_at(const struct disk *disk, uint64_t index, struct raft_conf *space, uint64_t *ret_index);
void disk_deinit(struct disk *disk);
void batch_free(struct disk_batch *batch);

/* --- world.c --- */

struct read_seen {
    uint64_t ctx, at_least; /* committed somewhere when it was asked */
    bool answered;
    struct raft_read_state state;
};

struct node {
    uint64_t id;
    bool exists, up;
    struct raft *raft;
    struct raft_config config;
    struct disk disk;
    bool held;          /* writes wait for `release` */
    bool manual;        /* actions are taken by `take` alone */
    bool applies_held;
    bool bad_digest;    /* the next complete snapshot is damaged */
    bool stores_held;   /* chunks wait for `store` */
    bool fetches_fail;  /* the disk cannot be read */
    struct raft_chunk chunk; /* that waits; its data is owned */
    struct raft_snapshot_meta chunk_of;
    struct disk_batch *batches[RAFT_BATCHES_MAX];
    uint32_t batch_count;
    uint64_t commit;    /* as last seen; never falls within a life */
    enum raft_role role; /* as last told */
    uint64_t leader;
    uint64_t snapshot_asked;
    uint64_t suspect_until; /* its disk lost entries up to here that it may have acknowledged */
    struct read_seen reads[READS_MAX];
    uint32_t read_count;
};

struct packet {
    struct raft_message message; /* everything it points to is owned */
    bool chosen;                 /* by the command at work */
};

struct world {
    struct node nodes[NODES_MAX]; /* by id */
    struct packet **packets;
    uint32_t packet_count, packet_capacity;
    bool cut[NODES_MAX][NODES_MAX]; /* from, to */
    struct raft_config defaults;
    uint64_t chunk_bytes, snapshot_bytes;
    /* What the cluster has promised. */
    uint64_t committed; /* highest index anywhere */
    struct { uint64_t term, hash; } entries[INDEX_MAX];
    struct { uint64_t term, id; } leaders[256];
    uint32_t leader_count;
    uint32_t seeds;
};

struct world *world_new(void);
void world_free(struct world *w);
struct node *world_node(struct world *w, uint64_t id); /* fails if there is none */
void world_start(struct world *w, struct node *node, uint64_t suspect_until); /* from its disk */
void world_stop(struct world *w, struct node *node);  /* what was not written is lost */
void world_drain(struct world *w, struct node *node); /* carry its actions out until it is quiet, unless `manual` */
void world_take(struct world *w, struct node *node);  /* even then */
void world_persist(struct world *w, struct node *node, uint32_t batches);
void world_apply(struct world *w, struct node *node);
void world_store(struct world *w, struct node *node); /* the chunk that waits, if one does */
void world_check(struct world *w);
struct raft_snapshot_meta world_snapshot_meta(const struct node *node, uint64_t index, uint64_t size);

/* Hand a message over: OK, the core's refusal, or INTERNAL for "diverged: this node must stop". */
enum status world_step(struct world *w, struct node *node, const struct raft_message *message);
enum status world_deliver(struct world *w, uint32_t position); /* and remove it */
void world_remove_packet(struct world *w, uint32_t position);
void world_send(struct world *w, const struct raft_message *message); /* into the pool, unless the link is cut */

#endif
