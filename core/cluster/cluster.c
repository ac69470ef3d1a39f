#include "cluster/cluster.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/fatal.h"
#include "base/log.h"
#include "cluster/cluster_internal.h"
#include "cluster/membership.h"

enum {
    EXPIRE_TICK_MS = 500,               /* only while a proposal with a deadline waits */
    TIMER_MAX_MS = 24 * 60 * 60 * 1000, /* a longer wait is cut: nothing is lost by looking once a day */
    STAMP_AHEAD_WARN_MS = 5000,
};

static void maybe_stopped(struct cluster *cluster);

/* --- time --- */

int64_t cluster_now_ms(const struct cluster *cluster)
{
    bool is_right = cluster->is_leader && cluster_clock_agrees(cluster); /* judged once: for every write */
    if (cluster->is_leader && !is_right && cluster->last_stamp_ms > 0)
        return cluster->last_stamp_ms; /* what a wrong clock stamps would stay ahead for good */
    int64_t now = is_right ? clocks_wall_ms(cluster) : cluster_wall_ms(cluster);
    return now > cluster->last_stamp_ms ? now : cluster->last_stamp_ms;
}

int64_t cluster_stamp_ahead_ms(const struct cluster *cluster)
{
    int64_t ahead = cluster->last_stamp_ms - clocks_wall_ms(cluster);
    return ahead > 0 ? ahead : 0;
}

/* The wall clock stands before what was stamped: it was ahead then, or is behind now. */
static void warn_if_behind(const struct cluster *cluster)
{
    int64_t ahead = cluster_stamp_ahead_ms(cluster);
    if (ahead > STAMP_AHEAD_WARN_MS)
        LOG_ERROR("the wall clock is behind the newest entry: times of new records stay ahead until it has caught up",
                  LOG_MS("behind", ahead),
                  LOG_STRING("mend", "check the clock of this machine (timedatectl); disable and enable jobs that wait for that time"));
}

uint64_t cluster_monotonic_ns(const struct cluster *cluster)
{
    return cluster->config.clock->monotonic_ns(cluster->config.clock->arg);
}

int64_t cluster_monotonic_ms(const struct cluster *cluster)
{
    return (int64_t)(cluster_monotonic_ns(cluster) / 1000000);
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
    int64_t now = clocks_wall_ms(cluster);
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

static void set_leading(struct cluster *cluster, bool leading)
{
    cluster->is_leader = leading;
    if (leading) {
        LOG_INFO("became leader", LOG_STRING("node_id", cluster->config.node_id), LOG_U64("term", raft_term(cluster->raft)),
                 LOG_U64("index", cluster->applied_index));
        warn_if_behind(cluster);
    } else {
        LOG_WARN("no longer leader", LOG_STRING("node_id", cluster->config.node_id), LOG_U64("term", raft_term(cluster->raft)));
    }
    if (cluster->config.leader.lead != NULL)
        cluster->config.leader.lead(cluster->config.leader.arg, leading);
    membership_look(cluster);
    levels_look(cluster);
}

static const char *leader_name(const struct cluster *cluster)
{
    struct raft_status status;
    raft_status(cluster->raft, &status);
    const struct raft_member *leader = raft_conf_find(status.conf, status.leader);
    return leader != NULL ? leader->name : "";
}

static void follow_leader(struct cluster *cluster)
{
    bool is_led = contact_has_leader(cluster);
    membership_follow_leader(cluster);
    if (is_led == cluster->is_led) {
        beats_follow(cluster);
        return;
    }
    cluster->is_led = is_led;
    if (!cluster->is_leader && is_led)
        LOG_INFO("follows a leader", LOG_STRING("leader", leader_name(cluster)), LOG_U64("term", raft_term(cluster->raft)));
    else if (!cluster->is_leader && !cluster->stopping)
        LOG_WARN("no leader is known: this node only reads", LOG_U64("term", raft_term(cluster->raft)));
    if (cluster->config.runner.lead != NULL)
        cluster->config.runner.lead(cluster->config.runner.arg, is_led);
    beats_follow(cluster);
}

/* A leader decides once its own term's no-op is applied here: only then does it see everything that was decided before. */
static void follow_leadership(struct cluster *cluster)
{
    bool leads = raft_role(cluster->raft) == RAFT_LEADER && cluster->applied_index >= cluster->noop_index;
    if (leads != cluster->is_leader)
        set_leading(cluster, leads);
    follow_leader(cluster);
}

/* --- entries: in --- */

static enum status propose_to_core(struct cluster *cluster, struct bytes command, struct error *err, struct raft_log_id *ret_at)
{
    buffer_clear(&cluster->stamped);
    buffer_append(&cluster->stamped, command.data, command.size);
    if (cluster->stamped.failed != STATUS_OK)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    int64_t stamp_ms = cluster_now_ms(cluster);
    command_stamp(cluster->stamped.data, stamp_ms);
    struct bytes stamped = buffer_bytes(&cluster->stamped);
    switch (raft_propose(cluster->raft, &stamped, 1, ret_at)) {
    case STATUS_OK:
        cluster->last_stamp_ms = stamp_ms;
        return STATUS_OK;
    case STATUS_BUSY:
        return error_set(err, STATUS_OVERLOADED, "too many bytes wait for the disk; try again in a second");
    case STATUS_NO_MEMORY:
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    case STATUS_CONFLICT:
        return error_set(err, STATUS_NO_LEADER, "leadership is being handed over; try again in a second");
    default:
        return error_set(err, STATUS_NO_LEADER, "no leader is known yet; try again in a second");
    }
}

static enum status append(struct cluster *cluster, struct bytes command, cluster_done done, void *arg, uint64_t token,
                          uint64_t deadline_ns, struct error *err)
{
    struct raft_log_id at;
    enum status status = proposals_room(cluster->proposals, raft_last(cluster->raft).index + 1, err);
    if (status == STATUS_OK)
        status = propose_to_core(cluster, command, err, &at);
    if (status != STATUS_OK)
        return status;
    proposals_add(cluster->proposals, at, done, arg, token, deadline_ns);
    return STATUS_OK;
}

/* At the end of a turn: everything that it proposed is written in one batch. */
static void on_flush(uv_prepare_t *prepare)
{
    struct cluster *cluster = prepare->data;
    consensus_drive(cluster);
    follow_leadership(cluster);
}

static enum status refuse(const struct cluster *cluster, enum proposal_class class, struct error *err)
{
    if (cluster->stopping)
        return error_set(err, STATUS_SHUTTING_DOWN, "this node is shutting down");
    if (class == PROPOSE_CLIENT && contact_is_cut_off(cluster))
        return contact_refuse(cluster, err);
    /* Elsewhere the leader's disk counts, as long as this one takes what the leader decides. */
    bool is_full = cluster->is_leader ? cluster->disk != DISK_OK : cluster->disk == DISK_CRITICAL;
    if (class == PROPOSE_CLIENT && is_full)
        return error_set(err, STATUS_DISK_FULL,
                         "only %lld bytes are free in %s of node \"%s\" (storage.min_free is %lld); make room and try again",
                         (long long)cluster->disk_free_bytes, cluster->disk_directory, cluster->config.node_id,
                         (long long)cluster->config.min_free_bytes);
    if (class == PROPOSE_DECISION && cluster->disk == DISK_CRITICAL)
        return error_set(err, STATUS_DISK_FULL, "the disk is nearly full: no slots are decided");
    if (class != PROPOSE_REPORT && cluster->waiting_bytes > PROPOSAL_BYTES_MAX / 2)
        return error_set(err, STATUS_OVERLOADED, "too many bytes wait for the disk; try again in a second");
    return STATUS_OK;
}

uint64_t cluster_deadline_ns(struct cluster *cluster)
{
    if (!uv_is_active((uv_handle_t *)&cluster->expire_timer))
        (void)uv_timer_again(&cluster->expire_timer); /* has a repeat: cannot fail */
    return cluster_monotonic_ns(cluster) + PROPOSE_DEADLINE_MS * UINT64_C(1000000);
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
    if (!cluster->is_leader)
        return forward_propose(cluster, class, command, done, arg, token, cluster_deadline_ns(cluster), err);
    return append(cluster, command, done, arg, token, class == PROPOSE_CLIENT ? cluster_deadline_ns(cluster) : 0, err);
}

/* --- members --- */

enum status cluster_ask(struct cluster *cluster, enum request_kind kind, uint64_t id, const char *name, const char *address,
                        cluster_done done, void *arg, uint64_t token, struct error *err)
{
    if (cluster->stopping)
        return error_set(err, STATUS_SHUTTING_DOWN, "this node is shutting down");
    if (cluster->is_leader)
        return membership_do(cluster, kind, id, name, address, done, arg, token, err);
    return forward_ask(cluster, kind, id, name, address, done, arg, token, err);
}

enum status cluster_invite(struct cluster *cluster, const char *name, const char *address, cluster_done done, void *arg,
                           uint64_t token, struct error *err)
{
    return cluster_ask(cluster, REQUEST_INVITE, 0, name, address, done, arg, token, err);
}

enum status cluster_remove(struct cluster *cluster, const char *name, cluster_done done, void *arg, uint64_t token,
                           struct error *err)
{
    return cluster_ask(cluster, REQUEST_REMOVE, 0, name, "", done, arg, token, err);
}

enum status cluster_transfer(struct cluster *cluster, const char *name, cluster_done done, void *arg, uint64_t token,
                             struct error *err)
{
    return cluster_ask(cluster, REQUEST_TRANSFER, 0, name, "", done, arg, token, err);
}

static void on_expire(uv_timer_t *timer)
{
    struct cluster *cluster = timer->data;
    uint64_t now = cluster_monotonic_ns(cluster);
    bool waits_here = proposals_expire(cluster->proposals, now), waits_elsewhere = forward_expire(cluster, now);
    bool waits_for_members = membership_expire(cluster, now), reads = reads_expire(cluster, now);
    bool outputs = outputs_expire(cluster, now), snapshots = snapshots_expire(cluster, now);
    if (!waits_here && !waits_elsewhere && !waits_for_members && !reads && !outputs && !snapshots && !cluster->stopping)
        (void)uv_timer_stop(timer);
    maybe_stopped(cluster);
}

/* --- entries: out --- */

static void handle_applied(struct cluster *cluster, struct applied_batch *applied)
{
    cluster->applied_index = applied->position.index;
    if (applied->last_stamp_ms > cluster->last_stamp_ms)
        cluster->last_stamp_ms = applied->last_stamp_ms;
    consensus_applied(cluster);
    if (applied->changes.draining)
        removal_changed(cluster);
    cluster->config.leader.changes(cluster->config.leader.arg, &applied->changes, applied->position);
    cluster->config.runner.changes(cluster->config.runner.arg, &applied->changes, applied->position);
    follow_leadership(cluster);
    for (uint32_t i = 0; i < applied->count; i++)
        proposals_decide(cluster->proposals, &applied->results[i], raft_term_at(cluster->raft, applied->results[i].index));
    forward_applied(cluster);
    applier_recycle(cluster->applier, applied);
}

/* What has changed is told by nobody. */
void cluster_replaced(struct cluster *cluster)
{
    struct error err;
    int64_t stamp_ms = state_last_stamp(cluster->stores.state);
    cluster->applied_index = state_applied(cluster->stores.state).index;
    if (stamp_ms > cluster->last_stamp_ms)
        cluster->last_stamp_ms = stamp_ms;
    if (cluster_start_applier(cluster, &err) != STATUS_OK)
        fatal("the applier cannot be started", &err);
    raft_installed(cluster->raft, true);
    consensus_forget_log(cluster);
    consensus_release_held(cluster);
    cluster->config.leader.reload(cluster->config.leader.arg);
    cluster->config.runner.reload(cluster->config.runner.arg);
    forward_applied(cluster);
    removal_changed(cluster);
    links_note_origin(cluster);
    if (cluster->transport != NULL)
        transport_set_self(cluster->transport, &cluster->self);
}

static void look_at_disk(struct cluster *cluster)
{
    struct log_writer_stats log;
    struct applier_stats state;
    log_writer_stats_get(cluster->writer, &log);
    if (cluster->applier == NULL)
        return; /* a snapshot is being installed */
    applier_stats_get(cluster->applier, &state);
    int64_t least = cluster->config.min_free_bytes, left = log.disk_free_bytes;
    enum disk_state disk = left >= 0 && left < least ? DISK_LOW : DISK_OK;
    if ((left >= 0 && left < least / 4) || log.out_of_space || state.out_of_space)
        disk = DISK_CRITICAL;
    cluster->disk_free_bytes = left;
    cluster->disk_directory = log.disk;
    consensus_allow_cut(cluster, state.synced_index, log.cut_wanted);
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
    consensus_take_durable(cluster);
    consensus_take_fetched(cluster);
    consensus_drive(cluster);
    while (cluster->applier != NULL && (applied = applier_take(cluster->applier)) != NULL)
        handle_applied(cluster, applied);
    follow_leadership(cluster);
    reads_answer(cluster);
    snapshots_step(cluster);
    consensus_recycle_batches(cluster);
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
                              (uv_handle_t *)&cluster->tick_timer, (uv_handle_t *)&cluster->leader_timer,
                              (uv_handle_t *)&cluster->expire_timer, (uv_handle_t *)&cluster->clock_steps,
                              (uv_handle_t *)&cluster->beats.timer};
    int failed = uv_async_init(loop, &cluster->progress, on_progress);
    failed |= uv_prepare_init(loop, &cluster->flush);
    failed |= uv_timer_init(loop, &cluster->tick_timer);
    failed |= uv_timer_init(loop, &cluster->leader_timer);
    failed |= uv_timer_init(loop, &cluster->expire_timer);
    failed |= uv_timer_init(loop, &cluster->beats.timer);
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
    cluster->noop_index = UINT64_MAX;
    batch_queue_init(&cluster->durable);
    batch_queue_init(&cluster->free_batches);
    batch_queue_init(&cluster->held);
    buffer_init(&cluster->stamped, ENTRY_SIZE_MAX);
    buffer_init(&cluster->wire, TRANSPORT_FRAME_MAX);
    enum status status = proposals_new(&cluster->proposals, err);
    if (status == STATUS_OK)
        status = forward_new(&cluster->forward, err);
    if (status == STATUS_OK)
        status = cluster_stores_open(config, &cluster->stores, err);
    if (status == STATUS_OK)
        status = snapshots_new(cluster, &cluster->snapshots, err);
    if (status == STATUS_OK)
        links_describe_self(cluster);
    if (status == STATUS_OK)
        status = consensus_open(cluster, err);
    if (status != STATUS_OK) {
        cluster_free(cluster);
        return status;
    }
    contact_begin(cluster);
    removal_changed(cluster);
    cluster->applied_index = cluster->given_index = state_applied(cluster->stores.state).index;
    cluster->last_stamp_ms = state_last_stamp(cluster->stores.state);
    *ret = cluster;
    return STATUS_OK;
}

void cluster_attach(struct cluster *cluster, struct cluster_leader_ops leader, struct cluster_runner_ops runner)
{
    cluster->config.leader = leader;
    cluster->config.runner = runner;
}

enum status cluster_start_applier(struct cluster *cluster, struct error *err)
{
    struct applier_config applier = {.state = cluster->stores.state, .clock = cluster->config.clock, .notify = notify,
                                     .notify_arg = cluster};
    return applier_start(&applier, &cluster->applier, err);
}

enum status cluster_start_threads(struct cluster *cluster, struct error *err)
{
    struct log_writer_config writer = {.log = cluster->stores.log, .clock = cluster->config.clock,
                                       .directories = {cluster->stores.log_path, cluster->stores.data.path}, .notify = notify,
                                       .notify_arg = cluster};
    enum status status = cluster_start_applier(cluster, err);
    return status == STATUS_OK ? log_writer_start(&writer, &cluster->writer, err) : status;
}

enum status cluster_start(struct cluster *cluster, struct error *err)
{
    warn_if_behind(cluster);
    cluster->clock_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (cluster->clock_fd < 0)
        return error_set_errno(err, STATUS_IO, errno, "make a timer that sees clock steps");
    init_handles(cluster);
    enum status status = cluster_start_threads(cluster, err);
    if (status != STATUS_OK)
        return status;
    if (cluster->config.raft_address != NULL)
        status = links_open(cluster, err);
    if (status != STATUS_OK)
        return status;
    if (cluster->stores.is_alone && raft_campaign(cluster->raft) != STATUS_OK) /* nobody's heartbeat is worth waiting for */
        return error_set(err, STATUS_CONFLICT, "this node is not a voter of its own cluster");
    if (cluster->stores.is_alone && cluster->config.peer_count > 0)
        LOG_WARN("cluster.raft.peers is set, but this node leads a cluster of its own and asks nobody",
                 LOG_STRING("mend", "to join theirs, stop this node, empty its data directory and start it with bootstrap: false; if they are "
                                    "to join this one, nothing is wrong"));
    founding_begin(cluster);
    if (raft_last(cluster->raft).index == 0 && (!cluster->stores.founds || cluster->config.peer_count > 0))
        LOG_INFO(cluster->config.peer_count > 0 ? "asking for admission to a cluster" : "waiting to be invited to a cluster");
    consensus_tick(cluster);
    beats_start(cluster);
    snapshots_start(cluster);
    consensus_drive(cluster);
    look_at_disk(cluster);
    return STATUS_OK;
}

enum status cluster_reload_tls(struct cluster *cluster, struct error *err)
{
    if (cluster->transport == NULL || cluster->config.tls == NULL)
        return STATUS_OK;
    enum status status = transport_reload_tls(cluster->transport, cluster->config.tls, err);
    return status == STATUS_OK ? status : error_wrap(err, "cluster.raft.tls");
}

int64_t cluster_tls_expires_s(const struct cluster *cluster)
{
    return cluster->transport != NULL ? transport_tls_expires_s(cluster->transport) : INT64_MAX;
}

static void handle_closed(struct cluster *cluster)
{
    if (--cluster->open_handles > 0)
        return;
    (void)close(cluster->clock_fd); /* nothing was written to it */
    cluster->clock_fd = -1;
    if (cluster->stopped != NULL)
        cluster->stopped(cluster->stopped_arg);
}

static void on_handle_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

static void on_part_closed(void *arg)
{
    handle_closed(arg);
}

/* Alone, what was proposed will be applied. Among others it is waited for while somebody leads, and not for longer than a client
 * waits. */
static bool must_wait(const struct cluster *cluster)
{
    if (cluster->transport == NULL)
        return cluster->applied_index < raft_last(cluster->raft).index;
    bool is_handing_over = cluster->is_leader && cluster->handover.done != NULL;
    bool are_waiting = (proposals_count(cluster->proposals) > 0 || forward_count(cluster->forward) > 0) &&
                       contact_has_leader(cluster); /* it may be the next one */
    return (is_handing_over || are_waiting) && cluster_monotonic_ns(cluster) < cluster->stop_deadline_ns;
}

/* Stopped once everything proposed is applied, or cannot be because the disk is full. */
static void maybe_stopped(struct cluster *cluster)
{
    struct log_writer_stats log;
    struct applier_stats state;
    if (!cluster->stopping || cluster->writer == NULL || cluster->applier == NULL)
        return; /* not yet; a snapshot that is being installed ends first */
    log_writer_stats_get(cluster->writer, &log);
    applier_stats_get(cluster->applier, &state);
    if (must_wait(cluster) && !log.out_of_space && !state.out_of_space)
        return;
    log_writer_stop(cluster->writer);
    applier_stop(cluster->applier);
    cluster->writer = NULL;
    cluster->applier = NULL;
    proposals_abandon(cluster->proposals);
    forward_abandon(cluster);
    membership_abandon(cluster);
    outputs_abandon(cluster);
    reads_abandon(cluster);
    if (cluster->transport != NULL) {
        transport_flush(cluster->transport); /* answers to others */
        cluster->open_handles++;
        links_close(cluster, on_part_closed, cluster);
    }
    cluster->open_handles++;
    snapshots_close(cluster, on_part_closed, cluster);
    uv_close((uv_handle_t *)&cluster->progress, on_handle_closed);
    uv_close((uv_handle_t *)&cluster->flush, on_handle_closed);
    uv_close((uv_handle_t *)&cluster->tick_timer, on_handle_closed);
    uv_close((uv_handle_t *)&cluster->leader_timer, on_handle_closed);
    uv_close((uv_handle_t *)&cluster->expire_timer, on_handle_closed);
    uv_close((uv_handle_t *)&cluster->clock_steps, on_handle_closed);
    uv_close((uv_handle_t *)&cluster->beats.timer, on_handle_closed);
}

static void on_handed_over(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    struct cluster *cluster = arg;
    (void)token;
    (void)outcome;
    (void)uv_async_send(&cluster->progress);
}

/* Another one leads before this one goes: nobody waits for an election. */
void cluster_hand_over(struct cluster *cluster)
{
    struct raft_status status;
    struct error err;
    bool is_first = !cluster->is_leaving;
    cluster->is_leaving = true;
    if (!cluster->is_leader || cluster->transport == NULL || cluster->handover.done != NULL)
        return;
    raft_status(cluster->raft, &status);
    if (raft_conf_voters(status.conf) == 1)
        return;
    if (membership_do(cluster, REQUEST_TRANSFER, 0, "", "", on_handed_over, cluster, 0, &err) != STATUS_OK && is_first)
        LOG_INFO("leadership is not handed over", LOG_ERROR_FIELD(&err));
}

void cluster_stop(struct cluster *cluster, void (*stopped)(void *arg), void *arg)
{
    cluster_hand_over(cluster);
    cluster->stopping = true;
    cluster->stop_deadline_ns = cluster_deadline_ns(cluster);
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
    raft_free(cluster->raft);
    entry_batch_free(cluster->durable.head);
    entry_batch_free(cluster->free_batches.head);
    entry_batch_free(cluster->held.head);
    buffer_deinit(&cluster->stamped);
    buffer_deinit(&cluster->wire);
    message_room_deinit(&cluster->room);
    proposals_free(cluster->proposals);
    forward_free(cluster->forward);
    snapshots_free(cluster->snapshots);
    cluster_stores_close(&cluster->stores);
    free(cluster);
}

enum status cluster_take_snapshot(struct cluster *cluster, cluster_done done, void *arg, uint64_t token, struct error *err)
{
    return snapshots_take(cluster, done, arg, token, err);
}

void cluster_snapshot_path(const struct cluster *cluster, uint64_t index, char out[CLUSTER_PATH_SIZE])
{
    static_assert((int)CLUSTER_PATH_SIZE == (int)DATA_DIR_PATH_SIZE, "one size");
    snapshots_path(cluster->snapshots, index, out);
}

uint32_t cluster_list_snapshots(const struct cluster *cluster, struct cluster_snapshot out[], uint32_t max)
{
    return snapshots_list(cluster->snapshots, out, max);
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
