/* A snapshot takes the place of this node's state and log: loaded into a store of its own, switched to in one transaction of the log, and
 * only then shown to the others in this process. A crash before that transaction leaves the old pair, one after it the new pair; what
 * the other pair leaves behind is removed at the next start. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/file.h"
#include "base/log.h"
#include "cluster/snapshots_internal.h"

static struct snapshots *of_installing(struct task *task)
{
    struct installing *installing = (struct installing *)((char *)task - offsetof(struct installing, task));
    return (struct snapshots *)((char *)installing - offsetof(struct snapshots, installing));
}

bool snapshots_is_installing(const struct cluster *cluster)
{
    return cluster->snapshots->installing.stage != INSTALL_NONE;
}

/* --- loading --- */

static enum status load(struct snapshots *snapshots, struct installing *installing)
{
    const struct snapshot_watch watch = {snapshots_go_on, snapshots};
    struct error *err = &installing->err;
    struct snapshot_info info;
    struct snapshot_summary summary;
    enum status status = directory_remove(installing->path, err); /* of an earlier try */
    if (status == STATUS_OK)
        status = directory_make(installing->path, 0700, err);
    if (status == STATUS_OK)
        status = cluster_state_store_open(&snapshots->cluster->config, installing->path, &installing->store, err);
    if (status == STATUS_OK)
        status = snapshot_load(snapshots->incoming, installing->store, &watch, &info, &summary, err);
    if (status == STATUS_OK)
        status = state_new(installing->store, &installing->state, err);
    if (status == STATUS_OK && (info.last.index != installing->meta.last.index || info.hash != installing->meta.hash))
        status = error_set(err, STATUS_CORRUPT, "the file has changed since it was received");
    return status;
}

static void run_load(struct task *task)
{
    struct snapshots *snapshots = of_installing(task);
    struct installing *installing = &snapshots->installing;
    struct error ignored;
    applier_stop(installing->applier);
    installing->status = load(snapshots, installing);
    if (installing->status == STATUS_OK)
        return;
    state_free(installing->state);
    store_close(installing->store);
    installing->state = NULL;
    installing->store = NULL;
    if (directory_remove(installing->path, &ignored) != STATUS_OK)
        LOG_DEBUG("what was loaded stays until the next try", LOG_ERROR_FIELD(&ignored));
}

/* --- switching --- */

static void switch_log(struct cluster *cluster, struct installing *installing)
{
    struct error err;
    struct entry_batch *batch;
    installing->stage = INSTALL_SWITCHING;
    if (entry_batch_new(&batch, &err) != STATUS_OK)
        fatal("no memory for a batch of the log", &err);
    batch->install = &installing->hard;
    log_writer_submit(cluster->writer, batch);
}

static void give_up(struct cluster *cluster, struct installing *installing)
{
    struct error err;
    installing->stage = INSTALL_NONE;
    if (installing->status != STATUS_CANCELLED)
        LOG_ERROR("a snapshot that was received cannot be taken over; it is asked for again", LOG_ERROR_FIELD(&installing->err));
    if (cluster_start_applier(cluster, &err) != STATUS_OK)
        fatal("the applier cannot be started again", &err);
    raft_installed(cluster->raft, false);
    consensus_release_held(cluster);
}

static void on_loaded(struct task *task)
{
    struct snapshots *snapshots = of_installing(task);
    struct installing *installing = &snapshots->installing;
    if (installing->status == STATUS_OK)
        switch_log(snapshots->cluster, installing);
    else
        give_up(snapshots->cluster, installing);
}

static void keep_file(struct cluster *cluster, const struct raft_snapshot_meta *meta)
{
    struct snapshots *snapshots = cluster->snapshots;
    char path[DATA_DIR_PATH_SIZE];
    snapshots_path(snapshots, meta->last.index, path);
    if (rename(snapshots->incoming, path) != 0)
        return; /* it is only one snapshot less */
    raft_snapshot_taken(cluster->raft, meta);
    struct cluster_snapshot made = {.index = meta->last.index, .term = meta->last.term, .size = meta->size,
                                    .created_ms = clocks_wall_ms(cluster)};
    snapshots_keep(cluster, &made);
}

void snapshots_switched(struct cluster *cluster)
{
    struct snapshots *snapshots = cluster->snapshots;
    struct installing *installing = &snapshots->installing;
    struct retired *retired = &snapshots->retired;
    if (installing->stage != INSTALL_SWITCHING)
        return;
    retired->state = cluster->stores.state;
    retired->store = cluster->stores.state_store;
    retired->readers = snapshots->readers;
    (void)snprintf(retired->path, sizeof retired->path, "%s", cluster->stores.state_path);
    snapshots->readers = 0;
    cluster->stores.state = installing->state;
    cluster->stores.state_store = installing->store;
    cluster->stores.live = installing->hard.live;
    (void)snprintf(cluster->stores.state_path, sizeof cluster->stores.state_path, "%s", installing->path);
    installing->state = NULL;
    installing->store = NULL;
    installing->stage = INSTALL_NONE;
    cluster_replaced(cluster);
    keep_file(cluster, &installing->meta);
    LOG_INFO("a snapshot has taken the place of this node's state and log", LOG_U64("index", installing->meta.last.index));
    retire_step(snapshots);
}

/* --- beginning --- */

/* What was committed before is applied first: whoever waits for it is told. And what was given to the writer before is stored, for the
 * core must hear of that before it hears that the installing failed. */
void install_step(struct cluster *cluster)
{
    struct snapshots *snapshots = cluster->snapshots;
    struct installing *installing = &snapshots->installing;
    bool is_drained = cluster->applied_index >= cluster->given_index && cluster->submitted_seq == cluster->stored_seq;
    if (installing->stage != INSTALL_DRAINING || !is_drained || snapshots->retired.state != NULL)
        return;
    installing->stage = INSTALL_LOADING;
    installing->applier = cluster->applier;
    cluster->applier = NULL;
    if (!task_start(&installing->task, &snapshots->wakeup, run_load, on_loaded))
        fatal("the system gives no more threads", NULL);
}

void snapshots_install(struct cluster *cluster, const struct raft_snapshot_meta *meta, const struct raft_hard_state *hard)
{
    struct installing *installing = &cluster->snapshots->installing;
    char name[64];
    struct error err;
    if (atomic_load(&cluster->snapshots->is_stopping))
        return; /* nothing comes of it any more */
    installing->stage = INSTALL_DRAINING;
    installing->meta = *meta;
    installing->hard = (struct log_hard_state){
        .cluster_id = cluster->self.cluster_id,
        .node = cluster->self.node,
        .term = hard->term,
        .vote = hard->vote,
        .base = {.index = meta->last.index, .term = meta->last.term, .hash = meta->hash},
        .live = cluster->stores.live + 1,
        .conf_index = meta->conf_index,
        .conf = meta->conf,
    };
    (void)snprintf(name, sizeof name, "state-%llu", (unsigned long long)installing->hard.live);
    if (path_join(installing->path, sizeof installing->path, cluster->stores.data.path, name, &err) != STATUS_OK)
        fatal("the path of the data directory is too long", &err);
    (void)uv_async_send(&cluster->snapshots->wakeup); /* not while the core's output is in use */
}

/* --- the state that was replaced --- */

static void run_retire(struct task *task)
{
    struct retired *retired = (struct retired *)((char *)task - offsetof(struct retired, task));
    struct error err;
    state_free(retired->state);
    store_close(retired->store);
    if (directory_remove(retired->path, &err) != STATUS_OK)
        LOG_WARN("the state that was replaced cannot be removed; the next start tries again", LOG_ERROR_FIELD(&err));
}

static void on_retired(struct task *task)
{
    struct retired *retired = (struct retired *)((char *)task - offsetof(struct retired, task));
    retired->state = NULL;
    retired->store = NULL;
}

void retire_step(struct snapshots *snapshots)
{
    struct retired *retired = &snapshots->retired;
    if (retired->state == NULL || retired->readers > 0 || retired->task.is_running)
        return;
    if (!task_start(&retired->task, &snapshots->wakeup, run_retire, on_retired))
        fatal("the system gives no more threads", NULL);
}

/* --- readers on other threads --- */

const struct state *cluster_state_hold(struct cluster *cluster)
{
    cluster->snapshots->readers++;
    return cluster->stores.state;
}

void cluster_state_release(struct cluster *cluster, const struct state *state)
{
    struct snapshots *snapshots = cluster->snapshots;
    if (state == cluster->stores.state)
        snapshots->readers--;
    else
        snapshots->retired.readers--;
    retire_step(snapshots);
}
