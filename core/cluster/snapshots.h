/* Snapshots: the whole state at one index, as a file under data_dir/snapshots. One is written by itself now and then, on demand, or for
 * a node that is behind what is left of the log; it goes there in chunks, and takes the place of that node's state and log. Loop
 * thread; what takes long is done elsewhere. */
#ifndef CHRONOS_CLUSTER_SNAPSHOTS_H
#define CHRONOS_CLUSTER_SNAPSHOTS_H

#include "cluster/cluster.h"
#include "cluster/data_dir.h"
#include "cluster/log_writer.h"
#include "raft/raft.h"

struct snapshots;

must_use enum status snapshots_new(struct cluster *cluster, struct snapshots **ret, struct error *err); /* reads the folder: blocks */
void snapshots_free(struct snapshots *snapshots); /* accepts NULL; nothing is under way */
void snapshots_start(struct cluster *cluster);
/* Ends what is under way; `closed` is called once on the loop. */
void snapshots_close(struct cluster *cluster, void (*closed)(void *arg), void *arg);

/* --- of this node's state --- */
/* Joins one that is being written. `done`: result.index says which; NULL: nobody waits. OVERLOADED, SHUTTING_DOWN. */
must_use enum status snapshots_take(struct cluster *cluster, cluster_done done, void *arg, uint64_t token, struct error *err);
bool snapshots_expire(struct cluster *cluster, uint64_t now_ns); /* one that cannot begin; true while it may yet */
void snapshots_fetched(struct cluster *cluster, const struct log_fetch *fetch); /* what the log writer was asked about one */
void snapshots_step(struct cluster *cluster); /* something was applied: what waited for that goes on */
void snapshots_path(const struct snapshots *snapshots, uint64_t index, char out[DATA_DIR_PATH_SIZE]);
uint32_t snapshots_list(const struct snapshots *snapshots, struct cluster_snapshot out[], uint32_t max); /* newest first */

/* --- what the core wants --- */
void snapshots_take_for_peer(struct cluster *cluster); /* it says so in every turn until there is one */
void snapshots_send(struct cluster *cluster, const struct raft_chunk_wanted *wanted);
void snapshots_store(struct cluster *cluster, const struct raft_chunk *chunk);
void snapshots_install(struct cluster *cluster, const struct raft_snapshot_meta *meta, const struct raft_hard_state *hard);
/* The log has stored that it begins behind the snapshot. */
void snapshots_switched(struct cluster *cluster);
/* There is no applier meanwhile. */
bool snapshots_is_installing(const struct cluster *cluster);

#endif
