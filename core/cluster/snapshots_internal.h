/* What the three files about snapshots share. */
#ifndef CHRONOS_CLUSTER_SNAPSHOTS_INTERNAL_H
#define CHRONOS_CLUSTER_SNAPSHOTS_INTERNAL_H

#include <stdatomic.h>

#include "cluster/cluster_internal.h"
#include "cluster/snapshots.h"
#include "cluster/task.h"
#include "state/snapshot.h"

enum {
    SNAPSHOT_WAITERS_MAX = 64,
    SNAPSHOT_CHUNK_BYTES = 512 << 10,
};

/* The one that is being written. */
struct taking {
    enum { TAKE_NONE, TAKE_WANTED, TAKE_HASH, TAKE_WRITING } stage;
    struct task task;
    const struct state *state;   /* held */
    struct state_view view;
    struct snapshot_info info;
    struct snapshot_summary summary;
    char path[DATA_DIR_PATH_SIZE];
    enum status status;
    struct error err;
    int64_t began_ms;            /* monotonic */
    uint64_t deadline_ns;        /* to begin by */
    struct cluster_waiter {
        cluster_done done;
        void *arg;
        uint64_t token;
    } waiters[SNAPSHOT_WAITERS_MAX];
    uint32_t waiter_count;
};

/* A chunk on its way to another node. */
struct sending {
    uv_work_t work;
    struct cluster *cluster;
    bool is_busy;
    uint64_t peer, offset, ctx;
    struct raft_snapshot_meta meta;
    char path[DATA_DIR_PATH_SIZE];
    uint8_t *data;
    size_t size;
    bool is_read;
};

/* A chunk on its way into the file of the snapshot that this node receives. */
struct storing {
    uv_work_t work;
    struct cluster *cluster;
    bool is_busy;
    struct raft_snapshot_meta meta;
    uint64_t offset;
    uint8_t *data;
    size_t size;
    bool is_stored;
    struct error err;
};

/* The one that takes the place of this node's state and log. */
struct installing {
    enum { INSTALL_NONE, INSTALL_DRAINING, INSTALL_LOADING, INSTALL_SWITCHING } stage;
    struct task task;
    struct raft_snapshot_meta meta;
    struct log_hard_state hard;
    struct applier *applier;     /* to be ended first */
    char path[DATA_DIR_PATH_SIZE]; /* of the new state */
    struct store *store;
    struct state *state;
    enum status status;
    struct error err;
    const struct cluster_config *config;
    const char *file;
};

/* A state that was replaced: it goes once nobody reads it any more. */
struct retired {
    struct task task;
    struct store *store;
    struct state *state;         /* NULL: there is none */
    uint32_t readers;
    char path[DATA_DIR_PATH_SIZE];
};

struct snapshots {
    struct cluster *cluster;
    char folder[DATA_DIR_PATH_SIZE], incoming[DATA_DIR_PATH_SIZE];
    uv_async_t wakeup;
    uv_timer_t timer;
    int open_handles;
    struct cluster_snapshot kept[SNAPSHOTS_KEPT_MAX + 1]; /* oldest first */
    uint32_t kept_count;
    uint64_t taken_offset;       /* bytes of log that were ever written when the newest one was taken */
    int64_t retry_ms, first_ms;  /* monotonic: not by itself before; the first one of all then */
    struct taking taking;
    struct sending sending[RAFT_MEMBERS_MAX];
    struct storing storing;
    struct installing installing;
    struct retired retired;
    uint32_t readers;            /* of the state in use */
    atomic_bool is_stopping;
    void (*closed)(void *arg);
    void *closed_arg;
};

void snapshots_keep(struct cluster *cluster, const struct cluster_snapshot *made); /* the oldest ones go */
bool snapshots_go_on(void *arg, uint64_t bytes); /* struct snapshot_watch; any thread */
void snapshots_look_for_end(struct snapshots *snapshots); /* closing: is anything still under way? */

/* snapshot_install.c */
void install_step(struct cluster *cluster);
void retire_step(struct snapshots *snapshots);

#endif
