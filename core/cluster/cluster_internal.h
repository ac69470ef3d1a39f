/* Opening what lies under data_dir, apart from what runs on it. */
#ifndef CHRONOS_CLUSTER_CLUSTER_INTERNAL_H
#define CHRONOS_CLUSTER_CLUSTER_INTERNAL_H

#include "cluster/cluster.h"
#include "cluster/data_dir.h"
#include "cluster/log_store.h"

struct cluster_stores {
    struct data_dir data, log_dir; /* log_dir: only with a directory of its own */
    char log_path[DATA_DIR_PATH_SIZE];
    struct store *log_store, *state_store;
    struct log_store *log;
    struct state *state;
};

/* Locks, opens, compares the state with the log and replays what the state lacks. Blocks. */
must_use enum status cluster_stores_open(const struct cluster_config *config, struct cluster_stores *ret, struct error *err);
void cluster_stores_close(struct cluster_stores *stores); /* accepts a zeroed one */

#endif
