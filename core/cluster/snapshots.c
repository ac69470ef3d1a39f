/* Taking snapshots, and keeping the newest. */
#include "cluster/snapshots.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "cluster/snapshots_internal.h"

enum {
    LOOK_MS = 10000,
    RETRY_MS = 10 * 60 * 1000, /* one that failed is not tried again by itself before that */
    FIRST_MS = 10 * 60 * 1000, /* after the start, where there is none yet */
};

static const char prefix[] = "snapshot-", shutting_down[] = "this node is shutting down";

void snapshots_path(const struct snapshots *snapshots, uint64_t index, char out[DATA_DIR_PATH_SIZE])
{
    struct error err;
    char name[64];
    (void)snprintf(name, sizeof name, "%s%llu", prefix, (unsigned long long)index);
    if (path_join(out, DATA_DIR_PATH_SIZE, snapshots->folder, name, &err) != STATUS_OK)
        out[0] = '\0'; /* cannot be: snapshots_new has tried the longest one */
}

bool snapshots_go_on(void *arg, uint64_t bytes)
{
    struct snapshots *snapshots = arg;
    (void)bytes;
    return !atomic_load(&snapshots->is_stopping);
}

/* --- those that are kept --- */

static int by_index(const void *a, const void *b)
{
    const struct cluster_snapshot *x = a, *y = b;
    return x->index < y->index ? -1 : x->index > y->index;
}

static void forget(struct snapshots *snapshots, uint32_t i)
{
    memmove(&snapshots->kept[i], &snapshots->kept[i + 1], (--snapshots->kept_count - i) * sizeof snapshots->kept[0]);
}

static void on_removed(uv_fs_t *request)
{
    uv_fs_req_cleanup(request);
    free(request);
}

static void remove_file(struct cluster *cluster, uint64_t index)
{
    char path[DATA_DIR_PATH_SIZE];
    uv_fs_t *request = malloc(sizeof *request);
    snapshots_path(cluster->snapshots, index, path);
    if (request != NULL && uv_fs_unlink(cluster->config.loop, request, path, on_removed) != 0)
        free(request); /* it is found again at the next start */
}

void snapshots_keep(struct cluster *cluster, const struct cluster_snapshot *made)
{
    struct snapshots *snapshots = cluster->snapshots;
    const struct raft_snapshot_meta *in_use = raft_snapshot(cluster->raft);
    for (uint32_t i = 0; i < snapshots->kept_count; i++)
        if (snapshots->kept[i].index == made->index)
            forget(snapshots, i--);
    snapshots->kept[snapshots->kept_count++] = *made;
    qsort(snapshots->kept, snapshots->kept_count, sizeof snapshots->kept[0], by_index);
    for (uint32_t i = 0; i < snapshots->kept_count && snapshots->kept_count > cluster->config.retain_snapshots;) {
        if (in_use != NULL && in_use->last.index == snapshots->kept[i].index && snapshots->kept_count <= SNAPSHOTS_KEPT_MAX) {
            i++; /* it is being sent */
            continue;
        }
        remove_file(cluster, snapshots->kept[i].index);
        forget(snapshots, i);
    }
}

uint32_t snapshots_list(const struct snapshots *snapshots, struct cluster_snapshot out[], uint32_t max)
{
    uint32_t count = 0;
    for (uint32_t i = snapshots->kept_count; i > 0 && count < max; i--)
        out[count++] = snapshots->kept[i - 1];
    return count;
}

/* --- taking one --- */

static void answer_waiters(struct taking *taking, enum status status, const char *message)
{
    const struct cluster_outcome outcome = {.status = status, .result = {.index = taking->info.last.index}, .message = message};
    uint32_t count = taking->waiter_count;
    struct cluster_waiter waiters[SNAPSHOT_WAITERS_MAX];
    memcpy(waiters, taking->waiters, count * sizeof waiters[0]);
    taking->waiter_count = 0; /* before they are answered: they may ask again */
    taking->stage = TAKE_NONE;
    for (uint32_t i = 0; i < count; i++)
        waiters[i].done(waiters[i].arg, waiters[i].token, &outcome);
}

static void let_go(struct cluster *cluster, struct taking *taking)
{
    state_view_end(&taking->view);
    cluster_state_release(cluster, taking->state);
}

static void fail(struct cluster *cluster, struct taking *taking)
{
    cluster->snapshots->retry_ms = cluster_monotonic_ms(cluster) + RETRY_MS;
    if (taking->status == STATUS_CANCELLED) { /* by snapshots_go_on */
        answer_waiters(taking, STATUS_SHUTTING_DOWN, shutting_down);
        return;
    }
    LOG_ERROR("a snapshot could not be written", LOG_ERROR_FIELD(&taking->err));
    answer_waiters(taking, taking->status, taking->err.message);
}

static void write_file(struct task *task)
{
    struct taking *taking = (struct taking *)((char *)task - offsetof(struct taking, task));
    struct snapshots *snapshots = (struct snapshots *)((char *)taking - offsetof(struct snapshots, taking));
    const struct snapshot_watch watch = {snapshots_go_on, snapshots};
    taking->status =
        snapshot_write(&taking->view, &taking->info, taking->path, &watch, &taking->info, &taking->summary, &taking->err);
}

static struct cluster_snapshot describe(const struct snapshot_info *info, uint64_t size)
{
    return (struct cluster_snapshot){.index = info->last.index, .term = info->last.term, .created_ms = info->created_ms, .size = size};
}

static void tell_core(struct cluster *cluster, const struct taking *taking)
{
    struct raft_snapshot_meta meta = {.last = {taking->info.last.index, taking->info.last.term}, .hash = taking->info.hash,
                                      .size = taking->summary.size, .conf_index = taking->info.conf_index};
    memcpy(meta.digest, taking->summary.digest, sizeof meta.digest);
    if (raft_conf_decode((struct bytes){taking->info.conf, taking->info.conf_size}, &meta.conf) == STATUS_OK)
        raft_snapshot_taken(cluster->raft, &meta);
}

static void on_written(struct task *task)
{
    struct taking *taking = (struct taking *)((char *)task - offsetof(struct taking, task));
    struct snapshots *snapshots = (struct snapshots *)((char *)taking - offsetof(struct snapshots, taking));
    struct cluster *cluster = snapshots->cluster;
    let_go(cluster, taking);
    if (taking->status != STATUS_OK) {
        fail(cluster, taking);
        return;
    }
    struct cluster_snapshot made = describe(&taking->info, taking->summary.size);
    tell_core(cluster, taking);
    snapshots_keep(cluster, &made);
    LOG_INFO("snapshot written", LOG_STRING("file", taking->path), LOG_U64("index", made.index), LOG_U64("bytes", made.size),
             LOG_MS("took", cluster_monotonic_ms(cluster) - taking->began_ms));
    answer_waiters(taking, STATUS_OK, "");
}

static void describe_self(struct cluster *cluster, const struct raft_status *status, struct snapshot_info *ret)
{
    struct buffer conf;
    struct snapshot_info info = {.cluster_id = cluster->self.cluster_id, .conf_index = status->conf_index,
                                 .created_ms = clocks_wall_ms(cluster)};
    buffer_init(&conf, sizeof info.conf);
    raft_conf_encode(status->conf, &conf);
    if (conf.failed == STATUS_OK) {
        memcpy(info.conf, conf.data, conf.size);
        info.conf_size = (uint32_t)conf.size;
    }
    buffer_deinit(&conf);
    (void)snprintf(info.node, sizeof info.node, "%s", cluster->config.node_id);
    *ret = info;
}

/* Written again it would be another file, and this one may be on its way to a node. */
static bool is_there(const struct cluster *cluster, const struct taking *taking)
{
    const struct raft_snapshot_meta *told = raft_snapshot(cluster->raft);
    return told != NULL && told->last.index == taking->info.last.index && access(taking->path, R_OK) == 0;
}

bool snapshots_expire(struct cluster *cluster, uint64_t now_ns)
{
    struct taking *taking = &cluster->snapshots->taking;
    if (taking->stage != TAKE_WANTED)
        return false;
    if (taking->deadline_ns > now_ns)
        return true;
    answer_waiters(taking, STATUS_NOT_READY, "a change of the members is not committed, or this node itself receives a snapshot: try again "
                                             "when that is over");
    return false;
}

/* The configuration in force is the newest of the log; it is the one in force at what the view shows once that has been applied. */
static void begin(struct cluster *cluster)
{
    struct taking *taking = &cluster->snapshots->taking;
    struct raft_status status;
    raft_status(cluster->raft, &status);
    if (taking->stage != TAKE_WANTED || cluster->applied_index < status.conf_index || snapshots_is_installing(cluster))
        return;
    taking->state = cluster_state_hold(cluster);
    taking->status = state_view_begin(taking->state, &taking->view, &taking->err);
    if (taking->status != STATUS_OK) {
        cluster_state_release(cluster, taking->state);
        fail(cluster, taking);
        return;
    }
    taking->began_ms = cluster_monotonic_ms(cluster);
    describe_self(cluster, &status, &taking->info);
    taking->info.last = taking->view.applied;
    snapshots_path(cluster->snapshots, taking->view.applied.index, taking->path);
    if (is_there(cluster, taking)) {
        let_go(cluster, taking);
        answer_waiters(taking, STATUS_OK, "");
        return;
    }
    taking->stage = TAKE_HASH;
    if (log_writer_fetch(cluster->writer, cluster->self.node, taking->view.applied.index + 1, 1) == STATUS_OK)
        return;
    taking->status = error_set(&taking->err, STATUS_NO_MEMORY, "out of memory");
    let_go(cluster, taking);
    fail(cluster, taking);
}

/* The running hash of the log where the view stands. */
void snapshots_fetched(struct cluster *cluster, const struct log_fetch *fetch)
{
    struct taking *taking = &cluster->snapshots->taking;
    struct log_writer_stats log;
    if (taking->stage != TAKE_HASH || fetch->from != taking->info.last.index + 1)
        return;
    log_writer_stats_get(cluster->writer, &log);
    cluster->snapshots->taken_offset = log.log_offset;
    taking->info.hash = fetch->previous_hash;
    taking->stage = TAKE_WRITING;
    if (fetch->previous_hash == 0)
        taking->status = error_set(&taking->err, STATUS_CONFLICT, "the log was cut meanwhile");
    else if (!task_start(&taking->task, &cluster->snapshots->wakeup, write_file, on_written))
        taking->status = error_set(&taking->err, STATUS_NO_MEMORY, "the system gives no more threads");
    else
        return;
    let_go(cluster, taking);
    fail(cluster, taking);
}

enum status snapshots_take(struct cluster *cluster, cluster_done done, void *arg, uint64_t token, struct error *err)
{
    struct taking *taking = &cluster->snapshots->taking;
    if (cluster->stopping)
        return error_set(err, STATUS_SHUTTING_DOWN, "%s", shutting_down);
    if (cluster->applied_index == 0)
        return error_set(err, STATUS_NOT_READY, "this node has no state yet");
    if (done != NULL && taking->waiter_count == SNAPSHOT_WAITERS_MAX)
        return error_set(err, STATUS_OVERLOADED, "%d requests wait for a snapshot already", SNAPSHOT_WAITERS_MAX);
    if (done != NULL)
        taking->waiters[taking->waiter_count++] = (struct cluster_waiter){done, arg, token};
    if (taking->stage == TAKE_NONE) {
        taking->stage = TAKE_WANTED;
        taking->deadline_ns = cluster_deadline_ns(cluster);
    }
    (void)uv_async_send(&cluster->snapshots->wakeup); /* never before this call returns */
    return STATUS_OK;
}

void snapshots_step(struct cluster *cluster)
{
    if (atomic_load(&cluster->snapshots->is_stopping))
        return;
    begin(cluster);
    install_step(cluster);
}

/* --- by itself --- */

/* Whether one may be begun that no user has asked for. */
static bool may_take(const struct cluster *cluster)
{
    const struct snapshots *snapshots = cluster->snapshots;
    return snapshots->taking.stage == TAKE_NONE && cluster->disk == DISK_OK && cluster_monotonic_ms(cluster) >= snapshots->retry_ms &&
           !snapshots_is_installing(cluster);
}

void snapshots_take_for_peer(struct cluster *cluster)
{
    struct error err;
    if (may_take(cluster) && snapshots_take(cluster, NULL, NULL, 0, &err) != STATUS_OK)
        LOG_WARN("no snapshot is written for a node that needs one", LOG_ERROR_FIELD(&err));
}

static bool is_due(const struct cluster *cluster)
{
    const struct snapshots *snapshots = cluster->snapshots;
    const struct cluster_snapshot *newest = snapshots->kept_count > 0 ? &snapshots->kept[snapshots->kept_count - 1] : NULL;
    struct log_writer_stats log;
    uint64_t newest_index = newest != NULL ? newest->index : 0;
    uint64_t since = cluster->applied_index > newest_index ? cluster->applied_index - newest_index : 0; /* after a crash: behind it */
    if (since == 0)
        return false;
    log_writer_stats_get(cluster->writer, &log);
    int64_t now_ms = clocks_wall_ms(cluster);
    bool is_old = newest != NULL ? now_ms - newest->created_ms >= cluster->config.snapshot_interval_ms
                                 : cluster_monotonic_ms(cluster) >= snapshots->first_ms;
    return is_old || since >= cluster->config.snapshot_threshold || log.log_offset - snapshots->taken_offset >= TRAILING_BYTES;
}

static void on_timer(uv_timer_t *timer)
{
    struct cluster *cluster = timer->data;
    struct error err;
    if (!cluster->stopping && may_take(cluster) && is_due(cluster) &&
        snapshots_take(cluster, NULL, NULL, 0, &err) != STATUS_OK)
        LOG_WARN("no snapshot is written", LOG_ERROR_FIELD(&err));
}

static void on_wakeup(uv_async_t *async)
{
    struct cluster *cluster = async->data;
    struct snapshots *snapshots = cluster->snapshots;
    task_look(&snapshots->taking.task);
    task_look(&snapshots->installing.task);
    task_look(&snapshots->retired.task);
    snapshots_step(cluster);
    retire_step(snapshots);
    snapshots_look_for_end(snapshots);
}

/* --- life --- */

/* What an interrupted write leaves: snapshot-<index>.<16 hexadecimal digits>.tmp (base/file.h). */
static bool is_leftover(const char *name)
{
    static const char digits[] = "0123456789", hex[] = "0123456789abcdef";
    if (strncmp(name, prefix, sizeof prefix - 1) != 0)
        return strcmp(name, "incoming") == 0; /* of a transfer */
    const char *rest = name + sizeof prefix - 1;
    size_t size = strspn(rest, digits);
    if (size == 0 || rest[size] != '.' || strspn(rest + size + 1, hex) != 16)
        return false;
    return strcmp(rest + size + 1 + 16, ".tmp") == 0;
}

static void note_file(struct snapshots *snapshots, const char *name, int folder)
{
    struct snapshot_info info;
    struct error err;
    struct stat file;
    char path[DATA_DIR_PATH_SIZE], own_path[DATA_DIR_PATH_SIZE];
    if (name[0] == '.')
        return;
    if (is_leftover(name)) {
        (void)unlinkat(folder, name, 0);
        return;
    }
    if (path_join(path, sizeof path, snapshots->folder, name, &err) != STATUS_OK || stat(path, &file) != 0 ||
        snapshot_read_info(path, &info, &err) != STATUS_OK) {
        LOG_WARN("a file among the snapshots is none", LOG_STRING("file", name), LOG_ERROR_FIELD(&err));
        return;
    }
    if (id_compare(&info.cluster_id, &log_store_hard(snapshots->cluster->stores.log)->cluster_id) != 0) {
        LOG_WARN("a snapshot of another cluster stays where it is; nobody looks after it", LOG_STRING("file", path));
        return; /* its index says nothing here */
    }
    snapshots_path(snapshots, info.last.index, own_path);
    if (strcmp(path, own_path) != 0) {
        LOG_WARN("a snapshot under another name than it was given here stays where it is; nobody looks after it",
                 LOG_STRING("file", path));
        return;
    }
    if (snapshots->kept_count < SNAPSHOTS_KEPT_MAX)
        snapshots->kept[snapshots->kept_count++] = describe(&info, (uint64_t)file.st_size);
}

static enum status read_folder(struct snapshots *snapshots, struct error *err)
{
    DIR *directory = opendir(snapshots->folder);
    const struct dirent *entry;
    if (directory == NULL)
        return error_set_errno(err, STATUS_IO, errno, "open %s", snapshots->folder);
    while ((entry = readdir(directory)) != NULL)
        note_file(snapshots, entry->d_name, dirfd(directory));
    (void)closedir(directory); /* nothing was written through it */
    qsort(snapshots->kept, snapshots->kept_count, sizeof snapshots->kept[0], by_index);
    return STATUS_OK;
}

enum status snapshots_new(struct cluster *cluster, struct snapshots **ret, struct error *err)
{
    struct snapshots *snapshots = calloc(1, sizeof *snapshots);
    char longest[DATA_DIR_PATH_SIZE];
    if (snapshots == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    snapshots->cluster = cluster;
    enum status status = data_dir_make(&cluster->stores.data, "snapshots", snapshots->folder, err);
    if (status == STATUS_OK)
        status = path_join(longest, sizeof longest, snapshots->folder, "snapshot-18446744073709551615.0123456789abcdef.tmp", err);
    if (status == STATUS_OK)
        status = path_join(snapshots->incoming, sizeof snapshots->incoming, snapshots->folder, "incoming", err);
    if (status == STATUS_OK)
        status = read_folder(snapshots, err);
    if (status != STATUS_OK) {
        free(snapshots);
        return status;
    }
    *ret = snapshots;
    return STATUS_OK;
}

void snapshots_free(struct snapshots *snapshots)
{
    free(snapshots);
}

void snapshots_start(struct cluster *cluster)
{
    struct snapshots *snapshots = cluster->snapshots;
    struct log_writer_stats log;
    log_writer_stats_get(cluster->writer, &log);
    snapshots->taken_offset = log.log_offset;
    snapshots->first_ms = cluster_monotonic_ms(cluster) + FIRST_MS;
    (void)uv_timer_init(cluster->config.loop, &snapshots->timer); /* cannot fail */
    if (uv_async_init(cluster->config.loop, &snapshots->wakeup, on_wakeup) != 0)
        abort(); /* descriptors for it were taken when the loop was made */
    snapshots->timer.data = snapshots->wakeup.data = cluster;
    snapshots->open_handles = 2;
    uv_unref((uv_handle_t *)&snapshots->timer);
    uv_unref((uv_handle_t *)&snapshots->wakeup);
    (void)uv_timer_start(&snapshots->timer, on_timer, LOOK_MS, LOOK_MS); /* cannot fail */
}

static void on_closed(uv_handle_t *handle)
{
    struct cluster *cluster = handle->data;
    struct snapshots *snapshots = cluster->snapshots;
    if (--snapshots->open_handles == 0)
        snapshots->closed(snapshots->closed_arg);
}

static bool is_busy(const struct snapshots *snapshots)
{
    bool busy = snapshots->taking.task.is_running || snapshots->installing.task.is_running ||
                snapshots->retired.task.is_running || snapshots->storing.is_busy;
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++)
        busy |= snapshots->sending[i].is_busy;
    return busy;
}

void snapshots_look_for_end(struct snapshots *snapshots)
{
    if (snapshots->closed == NULL || uv_is_closing((uv_handle_t *)&snapshots->wakeup))
        return;
    if (snapshots->taking.stage == TAKE_HASH) { /* the writer that was asked is gone */
        snapshots->taking.stage = TAKE_WANTED;
        let_go(snapshots->cluster, &snapshots->taking); /* a state that was replaced may go now */
    }
    if (is_busy(snapshots))
        return;
    if (snapshots->taking.stage != TAKE_NONE)
        answer_waiters(&snapshots->taking, STATUS_SHUTTING_DOWN, shutting_down);
    uv_close((uv_handle_t *)&snapshots->timer, on_closed);
    uv_close((uv_handle_t *)&snapshots->wakeup, on_closed);
}

void snapshots_close(struct cluster *cluster, void (*closed)(void *arg), void *arg)
{
    struct snapshots *snapshots = cluster->snapshots;
    atomic_store(&snapshots->is_stopping, true);
    snapshots->closed = closed;
    snapshots->closed_arg = arg;
    uv_ref((uv_handle_t *)&snapshots->wakeup); /* the loop stays until it is closed */
    (void)uv_async_send(&snapshots->wakeup);
}
