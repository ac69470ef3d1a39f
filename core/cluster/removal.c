#include "cluster/removal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cluster/cluster_internal.h"
#include "cluster/membership.h"

/* --- which nodes are to leave --- */

bool removal_is_draining(const struct cluster *cluster, uint64_t node)
{
    for (uint32_t i = 0; i < cluster->removals.count; i++)
        if (cluster->removals.leaving[i].node == node)
            return true;
    return false;
}

static bool is_asked_for(const struct cluster *cluster, uint64_t node)
{
    for (uint32_t i = 0; i < REMOVALS_ASKED_MAX; i++)
        if (cluster->removals.asked[i].waiter.done != NULL && cluster->removals.asked[i].node == node)
            return true;
    return false;
}

static uint64_t since_of(const struct removals *removals, uint64_t node)
{
    for (uint32_t i = 0; i < removals->count; i++)
        if (removals->leaving[i].node == node)
            return removals->leaving[i].since_ns;
    return 0;
}

void removal_changed(struct cluster *cluster)
{
    struct removals *removals = &cluster->removals, fresh = {.count = 0};
    uint64_t nodes[COMMAND_NODES_MAX];
    struct state_view view;
    struct error err;
    if (state_view_begin(cluster->stores.state, &view, &err) != STATUS_OK)
        return;
    if (state_get_draining(&view, nodes, &fresh.count, &err) == STATUS_OK) {
        for (uint32_t i = 0; i < fresh.count; i++)
            fresh.leaving[i] = (struct leaving){nodes[i], since_of(removals, nodes[i])};
        memcpy(removals->leaving, fresh.leaving, sizeof removals->leaving);
        removals->count = fresh.count;
    }
    state_view_end(&view);
}

static enum status propose(struct cluster *cluster, uint64_t node, bool is_leaving, cluster_done done, void *arg, uint64_t token,
                           struct error *err)
{
    struct buffer command;
    buffer_init(&command, ENTRY_SIZE_MAX);
    drain_encode(&(struct drain){node, is_leaving}, &command);
    enum status status = STATUS_OK;
    if (command.failed != STATUS_OK)
        status = error_set(err, STATUS_NO_MEMORY, "out of memory");
    else
        status = cluster_propose(cluster, PROPOSE_CLIENT, buffer_bytes(&command), done, arg, token, err);
    buffer_deinit(&command);
    return status;
}

/* --- beginning --- */

static void on_marked(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    struct cluster *cluster = arg;
    struct cluster_outcome told = *outcome;
    assert(token < REMOVALS_ASKED_MAX);
    if (told.status == STATUS_OK && told.result.status == STATUS_OK)
        told.result.status = STATUS_BUSY;
    waiter_answer(&cluster->removals.asked[token].waiter, &told);
}

static enum status drain(struct cluster *cluster, uint64_t node, cluster_done done, void *arg, uint64_t token, struct error *err)
{
    struct removals *removals = &cluster->removals;
    uint32_t place = 0;
    while (place < REMOVALS_ASKED_MAX && removals->asked[place].waiter.done != NULL)
        place++;
    if (place == REMOVALS_ASKED_MAX)
        return error_set(err, STATUS_OVERLOADED, "%d removals are asked for already; try again in a second", REMOVALS_ASKED_MAX);
    enum status status = propose(cluster, node, true, on_marked, cluster, place, err);
    if (status != STATUS_OK)
        return status;
    removals->asked[place].waiter = waiter_of(cluster, done, arg, token);
    removals->asked[place].node = node;
    return STATUS_OK;
}

static enum status take_out(struct cluster *cluster, const struct raft_member *member, bool is_busy, cluster_done done, void *arg,
                            uint64_t token, struct error *err)
{
    struct raft_conf_change change = {.type = RAFT_REMOVE, .member = *member}; /* a copy: what was borrowed ends with the call */
    enum status status = membership_change(cluster, &change, done, arg, token, err);
    if (status == STATUS_OK)
        LOG_INFO("a node is removed", LOG_STRING("node", change.member.name), LOG_BOOL("had_runs", is_busy));
    return status;
}

/* A refusal of the next leader that changes nothing, and may pass. */
static bool may_pass(enum status status)
{
    return status == STATUS_NO_LEADER || status == STATUS_NO_QUORUM || status == STATUS_BUSY || status == STATUS_NOT_READY ||
           status == STATUS_OVERLOADED;
}

static void on_handed_over(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    struct cluster *cluster = arg;
    (void)token;
    if (outcome->status != STATUS_OK)
        waiter_answer(&cluster->removals.own.waiter, outcome); /* else the next look asks the other one */
}

/* Another one leads first: nobody waits for an election when this one is gone. */
static enum status step_aside(struct cluster *cluster, cluster_done done, void *arg, uint64_t token, struct error *err)
{
    struct removals *removals = &cluster->removals;
    if (removals->own.waiter.done != NULL)
        return error_set(err, STATUS_BUSY, "the removal of this node is asked for already; try again in a second");
    enum status status = membership_do(cluster, REQUEST_TRANSFER, 0, "", "", on_handed_over, cluster, 0, err);
    if (status != STATUS_OK)
        return status;
    removals->own.waiter = waiter_of(cluster, done, arg, token);
    removals->own.status = STATUS_OK;
    return STATUS_OK;
}

enum status removal_begin(struct cluster *cluster, const char *name, cluster_done done, void *arg, uint64_t token, struct error *err)
{
    const struct cluster_leader_ops *leader = &cluster->config.leader;
    struct raft_status status;
    raft_status(cluster->raft, &status);
    const struct raft_member *member = membership_find(status.conf, name);
    if (member == NULL)
        return error_set(err, STATUS_NOT_FOUND, "no member of the cluster is called \"%s\"", name);
    if ((member->role & RAFT_VOTER) && raft_conf_voters(status.conf) == 1)
        return error_set(err, STATUS_CONFLICT, "node \"%s\" is the last one that votes: without it there is no cluster", name);
    if (member->id == cluster->self.node)
        return step_aside(cluster, done, arg, token, err);
    (void)leader->hold(leader->arg, name, true); /* the next look lets go of it where nothing comes of this */
    if (leader->is_busy(leader->arg, name))
        return drain(cluster, member->id, done, arg, token, err);
    return take_out(cluster, member, false, done, arg, token, err);
}

enum status removal_undo(struct cluster *cluster, uint64_t node, cluster_done done, void *arg, uint64_t token, struct error *err)
{
    return propose(cluster, node, false, done, arg, token, err);
}

/* --- going on --- */

static void on_next_leader(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    struct cluster *cluster = arg;
    struct removals *removals = &cluster->removals;
    (void)token;
    removals->own.is_asked = false;
    if (!may_pass(outcome->status)) {
        waiter_answer(&removals->own.waiter, outcome);
        return;
    }
    removals->own.status = outcome->status; /* asked again with the next look */
    (void)snprintf(removals->own.reason, sizeof removals->own.reason, "%s", outcome->message); /* a sentence that is cut is still one */
}

static void ask_next_leader(struct cluster *cluster)
{
    struct removals *removals = &cluster->removals;
    struct error err;
    if (removals->own.waiter.done == NULL || removals->own.is_asked || cluster->is_leader || cluster->handover.done != NULL)
        return;
    removals->own.is_asked = forward_ask(cluster, REQUEST_REMOVE, 0, cluster->config.node_id, "", on_next_leader, cluster, 0, &err) ==
                             STATUS_OK;
}

static void on_forgotten(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    struct cluster *cluster = arg;
    (void)token;
    (void)outcome; /* where it was not taken, the next look asks again */
    cluster->removals.is_forgetting = false;
}

static void on_stepped_aside(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    (void)arg;
    (void)token;
    (void)outcome; /* a leader that still has to leave tries again */
}

/* Every member, whatever was done before: nothing that comes to nothing leaves one held. */
static void hold_members(struct cluster *cluster, const struct raft_status *status)
{
    const struct cluster_leader_ops *leader = &cluster->config.leader;
    bool is_one_free = false;
    for (uint8_t i = 0; i < status->conf->count; i++) {
        const struct raft_member *member = &status->conf->members[i];
        bool is_held = removal_is_draining(cluster, member->id) || is_asked_for(cluster, member->id);
        is_one_free |= leader->hold(leader->arg, member->name, is_held);
    }
    if (is_one_free)
        (void)uv_async_send(&cluster->progress); /* runs may wait for a node */
}

/* A node that has left. */
static void forget(struct cluster *cluster, uint64_t node)
{
    struct error err;
    if (!cluster->removals.is_forgetting)
        cluster->removals.is_forgetting = propose(cluster, node, false, on_forgotten, cluster, 0, &err) == STATUS_OK;
}

/* One that is to leave. True: something was changed. */
static bool settle(struct cluster *cluster, const struct raft_member *member, struct leaving *leaving)
{
    const struct cluster_leader_ops *leader = &cluster->config.leader;
    uint64_t now_ns = cluster_monotonic_ns(cluster), lease_ns = (uint64_t)cluster->config.lease_timeout_ms * 1000000;
    struct error err;
    if (member->id == cluster->self.node)
        return cluster->handover.done == NULL &&
               membership_do(cluster, REQUEST_TRANSFER, 0, "", "", on_stepped_aside, cluster, 0, &err) == STATUS_OK;
    if (leaving->since_ns == 0)
        leaving->since_ns = now_ns;
    bool is_busy = leader->is_busy(leader->arg, member->name);
    if (is_busy && now_ns - leaving->since_ns < lease_ns)
        return false;
    return take_out(cluster, member, is_busy, NULL, NULL, 0, &err) == STATUS_OK; /* else tried again */
}

bool removal_look(struct cluster *cluster)
{
    struct removals *removals = &cluster->removals;
    struct raft_status status;
    ask_next_leader(cluster);
    raft_status(cluster->raft, &status);
    if (cluster->is_leader)
        hold_members(cluster, &status);
    for (uint32_t i = 0; i < removals->count; i++) {
        struct leaving *leaving = &removals->leaving[i];
        const struct raft_member *member = raft_conf_find(status.conf, leaving->node);
        if (!cluster->is_leader)
            leaving->since_ns = 0; /* who leads next waits anew */
        else if (member != NULL && settle(cluster, member, leaving))
            return true;
        if (cluster->is_leader && member == NULL && status.conf_index <= status.commit) {
            forget(cluster, leaving->node);
            return false; /* what was borrowed of the core has ended */
        }
    }
    return false;
}

/* --- the end of waiting --- */

bool removal_expire(struct cluster *cluster, uint64_t now_ns)
{
    struct removals *removals = &cluster->removals;
    if (removals->own.waiter.done == NULL)
        return false;
    if (removals->own.waiter.deadline_ns > now_ns || removals->own.is_asked)
        return true;
    if (removals->own.status != STATUS_OK)
        waiter_tell(&removals->own.waiter, removals->own.status, removals->own.reason);
    else
        waiter_tell(&removals->own.waiter, STATUS_NO_LEADER, "this node led and has handed over; no other one leads yet: try again");
    return false;
}

void removal_abandon(struct cluster *cluster, const char *message)
{
    waiter_tell(&cluster->removals.own.waiter, STATUS_OUTCOME_UNKNOWN, message);
}
