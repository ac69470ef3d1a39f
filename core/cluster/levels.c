#include "cluster/levels.h"

#include <assert.h>

#include "base/log.h"
#include "cluster/cluster_internal.h"
#include "state/level.h"

/* --- what is known of others --- */

static_assert((int)LEVELS_MAX > (int)RAFT_MEMBERS_MAX, "one that is no member can always give way");

static uint32_t place_for(const struct cluster *cluster, uint64_t node)
{
    const struct levels *levels = &cluster->levels;
    struct raft_status status;
    for (uint32_t i = 0; i < levels->count; i++)
        if (levels->heard[i].node == node)
            return i;
    if (levels->count < LEVELS_MAX)
        return levels->count;
    raft_status(cluster->raft, &status);
    uint32_t i = 0;
    while (raft_conf_find(status.conf, levels->heard[i].node) != NULL)
        i++;
    return i;
}

void levels_heard(struct cluster *cluster, const struct hello *remote)
{
    struct levels *levels = &cluster->levels;
    uint32_t place = place_for(cluster, remote->node);
    levels->heard[place].node = remote->node;
    levels->heard[place].level = remote->feature_level;
    if (place == levels->count)
        levels->count++;
}

uint32_t levels_of(const struct cluster *cluster, uint64_t node)
{
    const struct levels *levels = &cluster->levels;
    if (node == cluster->self.node)
        return cluster->self.feature_level;
    for (uint32_t i = 0; i < levels->count; i++)
        if (levels->heard[i].node == node)
            return levels->heard[i].level;
    return 0;
}

/* --- the level in force --- */

static enum status in_force(const struct cluster *cluster, uint32_t *ret, struct error *err)
{
    struct state_view view;
    enum status status = state_view_begin(cluster->stores.state, &view, err);
    if (status != STATUS_OK)
        return status;
    status = state_get_feature_level(&view, ret, err);
    state_view_end(&view);
    return status;
}

enum status levels_admit(const struct cluster *cluster, uint64_t node, const char *name, struct error *err)
{
    uint32_t known = levels_of(cluster, node), level = 0;
    enum status status = in_force(cluster, &level, err);
    if (status != STATUS_OK || known == 0 || known >= level)
        return status;
    return error_set(err, STATUS_CONFLICT, "node \"%s\" knows feature levels up to %u and the cluster is at level %u: install the version "
                     "of the other nodes on it", name, known, level);
}

/* Each member knows it, learners too. 0: one was never heard of. */
static uint32_t known_to_all(const struct cluster *cluster)
{
    struct raft_status status;
    uint32_t least = cluster->self.feature_level;
    raft_status(cluster->raft, &status);
    for (uint8_t i = 0; i < status.conf->count; i++) {
        uint32_t level = levels_of(cluster, status.conf->members[i].id);
        least = level < least ? level : least;
    }
    return least;
}

static void on_raised(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    struct cluster *cluster = arg;
    cluster->levels.is_rising = false;
    if (outcome->status == STATUS_OK && outcome->result.status == STATUS_OK)
        LOG_INFO("the cluster has a new feature level: older versions of Chronos cannot take part any more", LOG_U64("level", token));
}

static void raise_to(struct cluster *cluster, uint32_t level)
{
    struct buffer command;
    struct error err;
    buffer_init(&command, ENTRY_SIZE_MAX);
    feature_level_encode(level, &command);
    if (command.failed == STATUS_OK)
        cluster->levels.is_rising = cluster_propose(cluster, PROPOSE_REPORT, buffer_bytes(&command), on_raised, cluster, level, &err) ==
                                    STATUS_OK; /* else tried again at the next look */
    buffer_deinit(&command);
    (void)uv_async_send(&cluster->progress); /* a node that is alone has no tick that would carry it on */
}

void levels_look(struct cluster *cluster)
{
    struct levels *levels = &cluster->levels;
    struct error err;
    if (!cluster->is_leader || cluster->stopping || levels->is_rising)
        return;
    uint32_t level = known_to_all(cluster);
    levels->reached = levels->reached == 0 ? 1 : levels->reached;
    if (level <= levels->reached || in_force(cluster, &levels->reached, &err) != STATUS_OK || level <= levels->reached)
        return;
    raise_to(cluster, level);
}
