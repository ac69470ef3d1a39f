#include "daemon/leader.h"

#include <string.h>

#include "base/fatal.h"
#include "base/log.h"

static void on_changes(void *arg, const struct state_changes *changes, struct state_position applied)
{
    struct leader *leader = arg;
    for (uint32_t i = 0; i < changes->count; i++)
        scheduler_change(leader->scheduler, &changes->items[i]);
    api_changes(leader->api, changes, applied);
}

/* The state was replaced as a whole. */
static void on_reload(void *arg)
{
    struct leader *leader = arg;
    const struct state_changes none = {.count = 0};
    struct state_view view;
    struct error err;
    enum status status = state_view_begin(cluster_state(leader->cluster), &view, &err);
    if (status == STATUS_OK) {
        status = scheduler_load(leader->scheduler, &view, &err);
        api_changes(leader->api, &none, view.applied);
        state_view_end(&view);
    }
    if (status != STATUS_OK)
        fatal("the state that a snapshot brought cannot be read", &err);
}

static void on_lead(void *arg, bool leading)
{
    struct leader *leader = arg;
    scheduler_lead(leader->scheduler, leading);
}

static int64_t now_ms(const struct leader *leader)
{
    return leader->clock->wall_ms(leader->clock->arg);
}

static void on_outcome(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    struct leader *leader = arg;
    scheduler_result(leader->scheduler, token, outcome->status, &outcome->result, now_ms(leader));
}

/* A command that is refused is owed again: by the next change, or by the disk's recovery, which also runs the leader. */
static bool propose(struct leader *leader, const struct scheduler_command *command)
{
    struct error err;
    enum status status = cluster_propose(leader->cluster, PROPOSE_DECISION, command->command, on_outcome, leader,
                                         command->token, &err);
    if (status == STATUS_OK)
        return true;
    LOG_DEBUG("decision not taken", LOG_ERROR_FIELD(&err));
    scheduler_result(leader->scheduler, command->token, status, NULL, now_ms(leader));
    return false;
}

enum { REFUSED_RETRY_MS = 1000 };

static int64_t on_run(void *arg, int64_t now)
{
    struct leader *leader = arg;
    const struct scheduler_command *commands;
    struct cluster_status cluster;
    bool taken = true;
    if (leader->draining)
        return INT64_MAX;
    if (!cluster_clock_agrees(leader->cluster))
        return now + REFUSED_RETRY_MS; /* by a wrong clock nothing is due, late or old; the next beat calls sooner */
    cluster_status_get(leader->cluster, &cluster);
    uint32_t count = scheduler_run(leader->scheduler, now, cluster.disk != DISK_CRITICAL, &commands);
    for (uint32_t i = 0; i < count; i++)
        taken = propose(leader, &commands[i]) && taken;
    int64_t next = scheduler_next_ms(leader->scheduler);
    if ((!taken || cluster.disk == DISK_CRITICAL) && next < now + REFUSED_RETRY_MS)
        next = now + REFUSED_RETRY_MS; /* refused for want of room: due slots must not spin */
    return next;
}

/* --- nodes --- */

static int64_t monotonic_ms(const struct leader *leader)
{
    return (int64_t)(leader->clock->monotonic_ns(leader->clock->arg) / 1000000);
}

static bool on_beat(void *arg, const char *node, uint64_t session, bool is_announced, bool is_behind)
{
    struct leader *leader = arg;
    return scheduler_node_beat(leader->scheduler, node, session, is_announced, is_behind, monotonic_ms(leader));
}

static void on_silent(void *arg, const char *node)
{
    struct leader *leader = arg;
    scheduler_node_silent(leader->scheduler, node);
}

static bool on_hold(void *arg, const char *node, bool is_held)
{
    struct leader *leader = arg;
    return scheduler_node_hold(leader->scheduler, node, is_held);
}

static bool on_busy(void *arg, const char *node)
{
    struct leader *leader = arg;
    return scheduler_node_is_busy(leader->scheduler, node);
}

static void on_forgotten(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    (void)arg;
    (void)token;
    (void)outcome; /* if it was not taken, the next look asks again */
}

/* Of nodes that have left the cluster nothing stays: names of containers never come back. */
static void forget_nodes(struct leader *leader)
{
    struct placement_node idle[COMMAND_NODES_MAX];
    struct error err;
    uint32_t count = scheduler_idle_lost_nodes(leader->scheduler, idle);
    for (uint32_t i = 0; i < count; i++) {
        struct node_gone gone = {.session = idle[i].session};
        struct buffer command;
        if (cluster_has_member(leader->cluster, idle[i].name))
            continue;
        memcpy(gone.name, idle[i].name, sizeof gone.name);
        buffer_init(&command, ENTRY_SIZE_MAX);
        node_gone_encode(&gone, &command);
        if (command.failed == STATUS_OK && cluster_propose(leader->cluster, PROPOSE_DECISION, buffer_bytes(&command), on_forgotten,
                                                           leader, 0, &err) == STATUS_OK)
            LOG_INFO("a node that has left the cluster is forgotten", LOG_STRING("node", gone.name));
        buffer_deinit(&command);
    }
}

static bool on_watch(void *arg)
{
    struct leader *leader = arg;
    const char *lost[COMMAND_NODES_MAX];
    uint32_t count = scheduler_watch_leases(leader->scheduler, monotonic_ms(leader), lost);
    for (uint32_t i = 0; i < count; i++)
        LOG_WARN("a node was not heard of for longer than its lease: its runs go to others", LOG_STRING("node", lost[i]));
    forget_nodes(leader);
    return count > 0;
}

struct cluster_leader_ops leader_ops(struct leader *leader)
{
    return (struct cluster_leader_ops){.changes = on_changes, .lead = on_lead, .run = on_run, .beat = on_beat,
                                       .silent = on_silent, .reload = on_reload, .watch = on_watch,
                                       .hold = on_hold, .is_busy = on_busy, .arg = leader};
}
