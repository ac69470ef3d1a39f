#include "cluster/cluster.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/log.h"
#include "cluster/applier.h"
#include "cluster/cluster_internal.h"
#include "cluster/data_dir.h"
#include "cluster/log_writer.h"
#include "cluster/proposals.h"

enum {
    EXPIRE_TICK_MS = 500,               /* only while a proposal with a deadline waits */
    TIMER_MAX_MS = 24 * 60 * 60 * 1000, /* a longer wait is cut: nothing is lost by looking once a day */
    READS_MAX = 1024,
    STAMP_AHEAD_WARN_MS = 5000,
};

struct pending_read {
    uint64_t index;
    cluster_done done;
    void *arg;
    uint64_t token;
};

struct cluster {
    struct cluster_config config;
    struct cluster_stores stores;
    struct log_writer *writer;
    struct applier *applier;
    struct proposals *proposals;

    uv_async_t progress; /* the writer or the applier has something */
    uv_prepare_t flush;  /* hands what this turn proposed to the writer, in one batch */
    uv_timer_t leader_timer, expire_timer;
    uv_poll_t clock_steps; /* readable when the wall clock was set */
    int clock_fd;
    int open_handles;

    struct entry_batch *filling;       /* of this turn; NULL: nothing proposed */
    struct batch_queue free_batches;
    uint64_t waiting_bytes;            /* of entries that are not applied yet */

    uint64_t term, noop_index, last_index, persisted_index, applied_index;
    int64_t last_stamp_ms;
    bool is_leader, stopping;
    enum disk_state disk;
    int64_t disk_free_bytes;
    const char *disk_directory; /* that it is of */

    struct pending_read reads[READS_MAX];
    uint32_t read_count;

    void (*stopped)(void *arg);
    void *stopped_arg;
};

static void maybe_stopped(struct cluster *cluster);

/* --- time --- */

int64_t cluster_now_ms(const struct cluster *cluster)
{
    int64_t now = cluster->config.clock->wall_ms(cluster->config.clock->arg);
    return now > cluster->last_stamp_ms ? now : cluster->last_stamp_ms;
}

static int64_t stamp_ahead_ms(const struct cluster *cluster)
{
    int64_t ahead = cluster->last_stamp_ms - cluster->config.clock->wall_ms(cluster->config.clock->arg);
    return ahead > 0 ? ahead : 0;
}

/* The wall clock stands before what was stamped: it was ahead then, or is behind now. */
static void warn_if_behind(const struct cluster *cluster)
{
    int64_t ahead = stamp_ahead_ms(cluster);
    if (ahead > STAMP_AHEAD_WARN_MS)
        LOG_ERROR("the wall clock is behind the newest entry: times of new records stay ahead until it has caught up",
                  LOG_MS("behind", ahead), LOG_STRING("mend", "check the clock of this machine (timedatectl)"));
}

static uint64_t monotonic_ns(const struct cluster *cluster)
{
    return cluster->config.clock->monotonic_ns(cluster->config.clock->arg);
}

/* --- the leader's decisions --- */

static void run_leader(struct cluster *cluster);

static void on_leader_timer(uv_timer_t *timer)
{
    run_leader(timer->data);
}

/* Calls the scheduler and sets the timer to the instant that it asks for: no tick. */
static void run_leader(struct cluster *cluster)
{
    if (!cluster->is_leader || cluster->stopping)
        return;
    /* Slots are due by the wall clock alone: a stamp that lies ahead of it must not fire anything early. */
    int64_t now = cluster->config.clock->wall_ms(cluster->config.clock->arg);
    int64_t next = cluster->config.leader.run(cluster->config.leader.arg, now);
    if (next == INT64_MAX) {
        (void)uv_timer_stop(&cluster->leader_timer); /* cannot fail */
        return;
    }
    int64_t delay = next > now ? next - now : 0;
    if (delay > TIMER_MAX_MS)
        delay = TIMER_MAX_MS;
    uv_update_time(cluster->config.loop); /* the timer counts from the loop's time, which may be stale */
    (void)uv_timer_start(&cluster->leader_timer, on_leader_timer, (uint64_t)delay, 0);
}

static void arm_clock_steps(struct cluster *cluster)
{
    struct itimerspec far = {.it_value = {.tv_sec = INT32_MAX}};
    /* On failure steps are noticed by the next timer instead of at once. */
    (void)timerfd_settime(cluster->clock_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL);
}

static void on_clock_step(uv_poll_t *poll, int status, int events)
{
    struct cluster *cluster = poll->data;
    uint64_t expirations;
    (void)status;
    (void)events;
    if (read(cluster->clock_fd, &expirations, sizeof expirations) < 0 && errno == ECANCELED)
        LOG_WARN("the wall clock was set");
    warn_if_behind(cluster);
    arm_clock_steps(cluster);
    run_leader(cluster);
}

static void lead(struct cluster *cluster)
{
    cluster->is_leader = true;
    LOG_INFO("became leader", LOG_STRING("node_id", cluster->config.node_id), LOG_U64("term", cluster->term),
             LOG_U64("index", cluster->applied_index));
    if (cluster->config.leader.lead != NULL)
        cluster->config.leader.lead(cluster->config.leader.arg, true);
    if (cluster->config.runner.lead != NULL)
        cluster->config.runner.lead(cluster->config.runner.arg, true);
}

/* --- entries: in --- */

static struct entry_batch *take_batch(struct cluster *cluster, struct error *err)
{
    struct entry_batch *batch = batch_queue_pop(&cluster->free_batches);
    if (batch == NULL && entry_batch_new(&batch, err) != STATUS_OK)
        return NULL;
    return batch;
}

static enum status append(struct cluster *cluster, enum log_entry_type type, struct bytes command, cluster_done done,
                          void *arg, uint64_t token, uint64_t deadline_ns, struct error *err)
{
    uint64_t index = cluster->last_index + 1;
    if (cluster->filling == NULL)
        cluster->filling = take_batch(cluster, err);
    if (cluster->filling == NULL)
        return STATUS_NO_MEMORY;
    struct entry_batch *batch = cluster->filling;
    enum status status = entry_batch_add(batch, index, cluster->term, type, command, err);
    if (status != STATUS_OK)
        return status;
    status = proposals_add(cluster->proposals, index, done, arg, token, deadline_ns, err);
    if (status != STATUS_OK) {
        batch->count--; /* the entry just added */
        batch->bytes.size -= command.size;
        return status;
    }
    command_stamp(batch->bytes.data + batch->items[batch->count - 1].offset, cluster_now_ms(cluster));
    cluster->last_stamp_ms = cluster_now_ms(cluster);
    cluster->last_index = index;
    cluster->waiting_bytes += command.size;
    return STATUS_OK;
}

static void on_flush(uv_prepare_t *prepare)
{
    struct cluster *cluster = prepare->data;
    if (cluster->filling == NULL || cluster->filling->count == 0)
        return;
    log_writer_submit(cluster->writer, cluster->filling);
    cluster->filling = NULL;
}

static enum status refuse(const struct cluster *cluster, enum proposal_class class, struct error *err)
{
    if (cluster->stopping)
        return error_set(err, STATUS_SHUTTING_DOWN, "this node is shutting down");
    if (!cluster->is_leader)
        return error_set(err, STATUS_NO_LEADER, "no leader is known yet; try again in a second");
    if (class == PROPOSE_CLIENT && cluster->disk != DISK_OK)
        return error_set(err, STATUS_DISK_FULL,
                         "only %lld bytes are free in %s (storage.min_free is %lld); make room and try again",
                         (long long)cluster->disk_free_bytes, cluster->disk_directory,
                         (long long)cluster->config.min_free_bytes);
    if (class == PROPOSE_DECISION && cluster->disk == DISK_CRITICAL)
        return error_set(err, STATUS_DISK_FULL, "the disk is nearly full: no slots are decided");
    if (class != PROPOSE_REPORT && cluster->waiting_bytes > PROPOSAL_BYTES_MAX / 2)
        return error_set(err, STATUS_OVERLOADED, "too many bytes wait for the disk; try again in a second");
    return STATUS_OK;
}

enum status cluster_propose(struct cluster *cluster, enum proposal_class class, struct bytes command, cluster_done done,
                            void *arg, uint64_t token, struct error *err)
{
    assert(command.size >= COMMAND_HEADER_SIZE);
    enum status status = refuse(cluster, class, err);
    if (status != STATUS_OK)
        return status;
    if (command.size > ENTRY_SIZE_MAX)
        return error_set(err, STATUS_TOO_LARGE, "the change needs %zu bytes in the log, more than %d", command.size,
                         ENTRY_SIZE_MAX);
    uint64_t deadline = class == PROPOSE_CLIENT ? monotonic_ns(cluster) + PROPOSE_DEADLINE_MS * UINT64_C(1000000) : 0;
    status = append(cluster, LOG_ENTRY_NORMAL, command, done, arg, token, deadline, err);
    if (status == STATUS_OK && deadline != 0 && !uv_is_active((uv_handle_t *)&cluster->expire_timer))
        (void)uv_timer_again(&cluster->expire_timer); /* has a repeat: cannot fail */
    return status;
}

static void on_expire(uv_timer_t *timer)
{
    struct cluster *cluster = timer->data;
    if (!proposals_expire(cluster->proposals, monotonic_ns(cluster)))
        (void)uv_timer_stop(timer);
}

/* --- entries: out --- */

static void answer_reads(struct cluster *cluster)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < cluster->read_count; i++) {
        struct pending_read read = cluster->reads[i];
        if (read.index > cluster->applied_index) {
            cluster->reads[kept++] = read;
            continue;
        }
        read.done(read.arg, read.token, &(struct cluster_outcome){.status = STATUS_OK, .message = ""});
    }
    cluster->read_count = kept;
}

enum status cluster_read_index(struct cluster *cluster, cluster_done done, void *arg, uint64_t token, struct error *err)
{
    if (!cluster->is_leader)
        return error_set(err, STATUS_NO_LEADER, "no leader is known yet; try again in a second");
    if (cluster->read_count == READS_MAX)
        return error_set(err, STATUS_OVERLOADED, "%d consistent reads wait already", READS_MAX);
    cluster->reads[cluster->read_count++] =
        (struct pending_read){.index = cluster->persisted_index, .done = done, .arg = arg, .token = token};
    (void)uv_async_send(&cluster->progress); /* never before this call returns */
    return STATUS_OK;
}

/* One voter: what is durable here is committed. */
static void commit_durable(struct cluster *cluster)
{
    struct batch_queue durable;
    batch_queue_init(&durable);
    log_writer_take(cluster->writer, &durable);
    for (const struct entry_batch *batch = durable.head; batch != NULL; batch = batch->next)
        cluster->persisted_index = batch->items[batch->count - 1].index;
    if (durable.head != NULL)
        applier_submit(cluster->applier, &durable);
}

static void handle_applied(struct cluster *cluster, struct applied_batch *applied)
{
    cluster->applied_index = applied->position.index;
    if (applied->last_stamp_ms > cluster->last_stamp_ms)
        cluster->last_stamp_ms = applied->last_stamp_ms;
    cluster->config.leader.changes(cluster->config.leader.arg, &applied->changes, applied->position);
    cluster->config.runner.changes(cluster->config.runner.arg, &applied->changes, applied->position);
    if (!cluster->is_leader && cluster->applied_index >= cluster->noop_index)
        lead(cluster);
    for (uint32_t i = 0; i < applied->count; i++)
        proposals_decide(cluster->proposals, &applied->results[i]);
    applier_recycle(cluster->applier, applied);
}

static void recycle_batches(struct cluster *cluster)
{
    struct batch_queue spent;
    struct entry_batch *batch;
    batch_queue_init(&spent);
    applier_take_free(cluster->applier, &spent);
    while ((batch = batch_queue_pop(&spent)) != NULL) {
        cluster->waiting_bytes -= batch->bytes.size;
        entry_batch_clear(batch);
        batch_queue_push(&cluster->free_batches, batch);
    }
}

static void look_at_disk(struct cluster *cluster)
{
    struct log_writer_stats log;
    struct applier_stats state;
    log_writer_stats_get(cluster->writer, &log);
    applier_stats_get(cluster->applier, &state);
    int64_t least = cluster->config.min_free_bytes, left = log.disk_free_bytes;
    enum disk_state disk = left >= 0 && left < least ? DISK_LOW : DISK_OK;
    if ((left >= 0 && left < least / 4) || log.out_of_space || state.out_of_space)
        disk = DISK_CRITICAL;
    cluster->disk_free_bytes = left;
    cluster->disk_directory = log.disk;
    log_writer_allow_cut(cluster->writer, state.synced_index);
    if (disk == cluster->disk)
        return;
    if (disk > cluster->disk)
        LOG_WARN(disk == DISK_LOW ? "disk low: client writes are refused" : "disk critical: no slots are decided",
                 LOG_INT("free_bytes", left), LOG_INT("min_free_bytes", least));
    else
        LOG_INFO("disk space returned", LOG_INT("free_bytes", left), LOG_BOOL("client_writes", disk == DISK_OK));
    cluster->disk = disk;
}

static void on_progress(uv_async_t *async)
{
    struct cluster *cluster = async->data;
    struct applied_batch *applied;
    commit_durable(cluster);
    while ((applied = applier_take(cluster->applier)) != NULL)
        handle_applied(cluster, applied);
    answer_reads(cluster);
    recycle_batches(cluster);
    look_at_disk(cluster);
    run_leader(cluster);
    maybe_stopped(cluster);
}

/* Any thread. */
static void notify(void *arg)
{
    struct cluster *cluster = arg;
    (void)uv_async_send(&cluster->progress); /* fails only on a closed handle: the threads end before that */
}

/* --- life --- */

static void init_handles(struct cluster *cluster)
{
    uv_loop_t *loop = cluster->config.loop;
    uv_handle_t *handles[] = {(uv_handle_t *)&cluster->progress, (uv_handle_t *)&cluster->flush,
                              (uv_handle_t *)&cluster->leader_timer, (uv_handle_t *)&cluster->expire_timer,
                              (uv_handle_t *)&cluster->clock_steps};
    int failed = uv_async_init(loop, &cluster->progress, on_progress);
    failed |= uv_prepare_init(loop, &cluster->flush);
    failed |= uv_timer_init(loop, &cluster->leader_timer);
    failed |= uv_timer_init(loop, &cluster->expire_timer);
    failed |= uv_poll_init(loop, &cluster->clock_steps, cluster->clock_fd);
    failed |= uv_prepare_start(&cluster->flush, on_flush);
    failed |= uv_timer_start(&cluster->expire_timer, on_expire, EXPIRE_TICK_MS, EXPIRE_TICK_MS);
    failed |= uv_poll_start(&cluster->clock_steps, UV_READABLE, on_clock_step);
    assert(failed == 0); /* descriptors for them were taken when the loop was made */
    (void)uv_timer_stop(&cluster->expire_timer);
    cluster->open_handles = (int)(sizeof handles / sizeof handles[0]);
    for (int i = 0; i < cluster->open_handles; i++) {
        handles[i]->data = cluster;
        uv_unref(handles[i]);
    }
    arm_clock_steps(cluster);
}

enum status cluster_open(const struct cluster_config *config, struct cluster **ret, struct error *err)
{
    struct cluster *cluster = calloc(1, sizeof *cluster);
    if (cluster == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    cluster->config = *config;
    cluster->clock_fd = -1;
    batch_queue_init(&cluster->free_batches);
    enum status status = proposals_new(&cluster->proposals, err);
    if (status == STATUS_OK)
        status = cluster_stores_open(config, &cluster->stores, err);
    if (status != STATUS_OK) {
        cluster_free(cluster);
        return status;
    }
    cluster->last_index = cluster->persisted_index = log_store_last(cluster->stores.log)->index;
    cluster->applied_index = state_applied(cluster->stores.state).index;
    cluster->last_stamp_ms = state_last_stamp(cluster->stores.state);
    *ret = cluster;
    return STATUS_OK;
}

void cluster_attach(struct cluster *cluster, struct cluster_leader_ops leader, struct cluster_leader_ops runner)
{
    cluster->config.leader = leader;
    cluster->config.runner = runner;
}

/* Alone, the vote for oneself is a majority: the new term must be durable before anything is said in it. */
static enum status campaign(struct cluster *cluster, struct error *err)
{
    struct log_hard_state hard = *log_store_hard(cluster->stores.log);
    hard.term++;
    hard.vote = hard.node;
    cluster->term = hard.term;
    return log_store_append(cluster->stores.log, NULL, 0, &hard, err);
}

static enum status start_threads(struct cluster *cluster, struct error *err)
{
    struct applier_config applier = {.state = cluster->stores.state, .clock = cluster->config.clock, .notify = notify,
                                     .notify_arg = cluster};
    struct log_writer_config writer = {.log = cluster->stores.log, .clock = cluster->config.clock,
                                       .directories = {cluster->stores.log_path, cluster->stores.data.path}, .notify = notify, .notify_arg = cluster};
    enum status status = applier_start(&applier, &cluster->applier, err);
    return status == STATUS_OK ? log_writer_start(&writer, &cluster->writer, err) : status;
}

static void ignore_outcome(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    (void)arg;
    (void)token;
    (void)outcome;
}

enum status cluster_start(struct cluster *cluster, struct error *err)
{
    struct buffer noop;
    warn_if_behind(cluster);
    enum status status = campaign(cluster, err);
    if (status != STATUS_OK)
        return error_wrap(err, "write the new term");
    cluster->clock_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (cluster->clock_fd < 0)
        return error_set_errno(err, STATUS_IO, errno, "make a timer that sees clock steps");
    init_handles(cluster);
    status = start_threads(cluster, err);
    if (status != STATUS_OK)
        return status;
    buffer_init(&noop, ENTRY_SIZE_MAX);
    noop_encode(&noop);
    status = append(cluster, LOG_ENTRY_NOOP, buffer_bytes(&noop), ignore_outcome, NULL, 0, 0, err);
    cluster->noop_index = cluster->last_index;
    buffer_deinit(&noop);
    look_at_disk(cluster);
    return status;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct cluster *cluster = handle->data;
    if (--cluster->open_handles > 0)
        return;
    (void)close(cluster->clock_fd); /* nothing was written to it */
    cluster->clock_fd = -1;
    if (cluster->stopped != NULL)
        cluster->stopped(cluster->stopped_arg);
}

static void abandon_reads(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->read_count; i++)
        cluster->reads[i].done(cluster->reads[i].arg, cluster->reads[i].token,
                               &(struct cluster_outcome){.status = STATUS_SHUTTING_DOWN,
                                                         .message = "this node is shutting down"});
    cluster->read_count = 0;
}

/* Stopped once everything proposed is applied, or cannot be because the disk is full. */
static void maybe_stopped(struct cluster *cluster)
{
    struct log_writer_stats log;
    struct applier_stats state;
    if (!cluster->stopping || cluster->writer == NULL)
        return;
    log_writer_stats_get(cluster->writer, &log);
    applier_stats_get(cluster->applier, &state);
    if (cluster->applied_index < cluster->last_index && !log.out_of_space && !state.out_of_space)
        return;
    log_writer_stop(cluster->writer);
    applier_stop(cluster->applier);
    cluster->writer = NULL;
    cluster->applier = NULL;
    proposals_abandon(cluster->proposals);
    abandon_reads(cluster);
    uv_close((uv_handle_t *)&cluster->progress, on_handle_closed);
    uv_close((uv_handle_t *)&cluster->flush, on_handle_closed);
    uv_close((uv_handle_t *)&cluster->leader_timer, on_handle_closed);
    uv_close((uv_handle_t *)&cluster->expire_timer, on_handle_closed);
    uv_close((uv_handle_t *)&cluster->clock_steps, on_handle_closed);
}

void cluster_stop(struct cluster *cluster, void (*stopped)(void *arg), void *arg)
{
    cluster->stopping = true;
    cluster->stopped = stopped;
    cluster->stopped_arg = arg;
    uv_ref((uv_handle_t *)&cluster->progress); /* the loop stays until it has stopped */
    (void)uv_async_send(&cluster->progress);
}

void cluster_free(struct cluster *cluster)
{
    if (cluster == NULL)
        return;
    assert(cluster->writer == NULL && cluster->applier == NULL);
    entry_batch_free(cluster->filling);
    entry_batch_free(cluster->free_batches.head);
    proposals_free(cluster->proposals);
    cluster_stores_close(&cluster->stores);
    free(cluster);
}

/* --- what others may know --- */

const struct state *cluster_state(const struct cluster *cluster)
{
    return cluster->stores.state;
}

const char *cluster_node_id(const struct cluster *cluster)
{
    return cluster->config.node_id;
}

void cluster_status_get(const struct cluster *cluster, struct cluster_status *ret)
{
    struct log_writer_stats log = {.disk_free_bytes = -1};
    struct applier_stats state = {.synced_index = 0};
    if (cluster->writer != NULL)
        log_writer_stats_get(cluster->writer, &log);
    if (cluster->applier != NULL)
        applier_stats_get(cluster->applier, &state);
    *ret = (struct cluster_status){
        .is_leader = cluster->is_leader,
        .is_ready = cluster->is_leader && !cluster->stopping,
        .leader_node = cluster->is_leader ? cluster->config.node_id : NULL,
        .term = cluster->term,
        .commit_index = cluster->persisted_index,
        .applied_index = cluster->applied_index,
        .last_index = cluster->last_index,
        .first_index = log.first_index,
        .synced_index = state.synced_index,
        .log_bytes = log.log_bytes,
        .disk = cluster->disk,
        .disk_free_bytes = log.disk_free_bytes,
        .stamp_ahead_ms = stamp_ahead_ms(cluster),
        .proposals_waiting = proposals_count(cluster->proposals),
        .log_commits = log.commits,
        .log_entries = log.entries,
        .apply_batches = state.batches,
        .apply_entries = state.entries,
        .log_commit_ns = log.commit_ns,
        .apply_ns = state.apply_ns,
    };
}
