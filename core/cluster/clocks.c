#include "cluster/clocks.h"

#include <stdlib.h>

#include "base/log.h"
#include "cluster/cluster_internal.h"
#include "cluster/membership.h"

/* --- of what was heard --- */

static struct clock_seen *place_of(struct clocks *clocks, uint64_t node)
{
    struct clock_seen *oldest = &clocks->seen[0];
    for (uint32_t i = 0; i < clocks->count; i++) {
        if (clocks->seen[i].node == node)
            return &clocks->seen[i];
        if (clocks->seen[i].heard_ms < oldest->heard_ms)
            oldest = &clocks->seen[i];
    }
    struct clock_seen *place = clocks->count < RAFT_MEMBERS_MAX ? &clocks->seen[clocks->count++] : oldest; /* it has left */
    *place = (struct clock_seen){.node = node};
    return place;
}

void clocks_heard(struct clocks *clocks, uint64_t node, int64_t wall_ms, int64_t monotonic_ms)
{
    struct clock_seen *seen = place_of(clocks, node);
    if (monotonic_ms - seen->heard_ms > CLOCK_FRESH_MS)
        seen->samples = 0; /* it may have been set since */
    seen->heard_ms = monotonic_ms;
    if (wall_ms > 0)
        seen->distances_ms[seen->samples++ % CLOCK_SAMPLES] = wall_ms - monotonic_ms;
}

static const struct clock_seen *fresh(const struct clocks *clocks, uint64_t node, int64_t monotonic_ms)
{
    for (uint32_t i = 0; i < clocks->count; i++)
        if (clocks->seen[i].node == node && monotonic_ms - clocks->seen[i].heard_ms <= CLOCK_FRESH_MS)
            return &clocks->seen[i];
    return NULL;
}

static int64_t distance(const struct clock_seen *seen)
{
    int64_t best = seen->distances_ms[0];
    for (uint32_t i = 1; i < CLOCK_SAMPLES && i < seen->samples; i++)
        best = seen->distances_ms[i] > best ? seen->distances_ms[i] : best;
    return best;
}

bool clocks_offset(const struct clocks *clocks, uint64_t node, int64_t wall_ms, int64_t monotonic_ms, int64_t *ret_ms)
{
    const struct clock_seen *seen = fresh(clocks, node, monotonic_ms);
    if (seen == NULL || seen->samples == 0)
        return false;
    *ret_ms = distance(seen) - (wall_ms - monotonic_ms);
    return true;
}

static int by_value(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Of an even number both in the middle count: where two clocks differ, nobody can tell which one is wrong. */
static enum clock_verdict judge(int64_t *offsets, uint32_t count, int64_t tolerance_ms, int64_t *ret_middle_ms)
{
    qsort(offsets, count, sizeof offsets[0], by_value);
    int64_t low = offsets[(count - 1) / 2], high = offsets[count / 2];
    int64_t middle = low > 0 ? low : high < 0 ? high : 0; /* the nearer one */
    if (llabs(middle) <= tolerance_ms)
        return CLOCK_RIGHT;
    *ret_middle_ms = middle;
    return CLOCK_WRONG;
}

enum clock_verdict clocks_judge(const struct clocks *clocks, const struct raft_conf *conf, uint64_t self, int64_t wall_ms,
                                int64_t monotonic_ms, int64_t tolerance_ms, int64_t *ret_middle_ms)
{
    int64_t offsets[RAFT_MEMBERS_MAX];
    uint32_t voters = 0, heard = 0, count = 0;
    *ret_middle_ms = 0;
    for (uint8_t i = 0; i < conf->count; i++) {
        uint64_t node = conf->members[i].id;
        if (!(conf->members[i].role & RAFT_VOTER))
            continue;
        voters++;
        heard += node == self || fresh(clocks, node, monotonic_ms) != NULL;
        if (node == self)
            offsets[count++] = 0;
        else if (clocks_offset(clocks, node, wall_ms, monotonic_ms, &offsets[count]))
            count++;
    }
    if (voters <= 1)
        return CLOCK_RIGHT;
    return heard * 2 <= voters ? CLOCK_UNKNOWN : count == 0 ? CLOCK_RIGHT : judge(offsets, count, tolerance_ms, ret_middle_ms);
}

/* --- of a node --- */

int64_t clocks_wall_ms(const struct cluster *cluster)
{
    return cluster->config.clock->wall_ms(cluster->config.clock->arg);
}

static enum clock_verdict verdict(const struct cluster *cluster, int64_t *ret_middle_ms)
{
    struct raft_status status;
    *ret_middle_ms = 0;
    if (cluster->transport == NULL || cluster->config.lease_timeout_ms == 0)
        return CLOCK_RIGHT; /* alone, or without beats */
    raft_status(cluster->raft, &status);
    return clocks_judge(&cluster->clocks, status.conf, cluster->self.node, clocks_wall_ms(cluster), cluster_monotonic_ms(cluster),
                        cluster->config.clock_tolerance_ms, ret_middle_ms);
}

bool cluster_clock_agrees(const struct cluster *cluster)
{
    int64_t middle_ms;
    return verdict(cluster, &middle_ms) == CLOCK_RIGHT;
}

int64_t cluster_wall_ms(const struct cluster *cluster)
{
    int64_t wall_ms = clocks_wall_ms(cluster), offset_ms = 0;
    if (cluster->is_leader)
        (void)verdict(cluster, &offset_ms);
    else if (!clocks_offset(&cluster->clocks, cluster->beats.leader, wall_ms, cluster_monotonic_ms(cluster), &offset_ms) ||
             llabs(offset_ms) < CLOCK_NOTED_MS)
        offset_ms = 0;
    return wall_ms + offset_ms;
}

static bool offset(const struct cluster *cluster, uint64_t node, int64_t *ret_ms)
{
    return clocks_offset(&cluster->clocks, node, clocks_wall_ms(cluster), cluster_monotonic_ms(cluster), ret_ms);
}

/* Logged where it goes far off and where it comes back, and not again in between. */
static void note_offset(struct clock_seen *seen, int64_t offset_ms, const char *name)
{
    bool is_off = llabs(offset_ms) > (seen->is_noted ? CLOCK_NOTED_MS / 2 : CLOCK_NOTED_MS);
    if (is_off && !seen->is_noted)
        LOG_WARN("the clock of another node lies apart from this one's", LOG_STRING("node", name), LOG_MS("ahead", offset_ms),
                 LOG_STRING("mend", "see that the clocks of all nodes are synchronised (timedatectl)"));
    if (!is_off && seen->is_noted)
        LOG_INFO("the clock of another node agrees with this one's again", LOG_STRING("node", name));
    seen->is_noted = is_off;
}

void clocks_told(struct cluster *cluster, const struct hello *remote, int64_t wall_ms)
{
    int64_t offset_ms;
    clocks_heard(&cluster->clocks, remote->node, wall_ms, cluster_monotonic_ms(cluster));
    if (offset(cluster, remote->node, &offset_ms))
        note_offset(place_of(&cluster->clocks, remote->node), offset_ms, remote->name);
}

/* Another voter, of those whose clocks are known the nearest to the middle; 0: none. */
static uint64_t successor(const struct cluster *cluster, int64_t middle_ms)
{
    struct raft_status status;
    uint64_t best = 0;
    int64_t best_ms = cluster->config.clock_tolerance_ms, offset_ms;
    raft_status(cluster->raft, &status);
    for (uint8_t i = 0; i < status.conf->count; i++) {
        const struct raft_member *member = &status.conf->members[i];
        if (!(member->role & RAFT_VOTER) || !offset(cluster, member->id, &offset_ms) ||
            llabs(offset_ms - middle_ms) > best_ms)
            continue;
        best = member->id;
        best_ms = llabs(offset_ms - middle_ms);
    }
    return best;
}

void clocks_look(struct cluster *cluster)
{
    int64_t middle_ms;
    bool is_wrong = cluster->is_leader && verdict(cluster, &middle_ms) == CLOCK_WRONG;
    if (is_wrong && !cluster->clocks.is_wrong)
        LOG_ERROR("the clock of this node lies too far from those of the others: it decides nothing and lets another one lead",
                  LOG_MS("others_ahead", middle_ms), LOG_STRING("mend", "set the clock of this machine (timedatectl)"));
    cluster->clocks.is_wrong = is_wrong;
    uint64_t to = is_wrong ? successor(cluster, middle_ms) : 0;
    if (to != 0)
        (void)membership_let_lead(cluster, to); /* it says so itself */
}
