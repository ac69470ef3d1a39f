/* Nodes and where runs go: the least loaded one that answers the run's demand and has a place left. */
#include <string.h>

#include "scheduler/scheduler_internal.h"

int node_find(const struct scheduler *s, const char *name)
{
    for (uint32_t i = 0; i < s->node_count; i++)
        if (s->nodes[i].health != NODE_FREE && strcmp(s->nodes[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* All open attempts of the node are looked at again: those of an older session are orphans now. */
void node_reclassify_runs(struct scheduler *s, int node)
{
    uint32_t cursor = 0;
    struct run *run;
    while ((run = map_next(&s->runs, &cursor)) != NULL)
        if (run->node == node)
            run_classify(s, run);
}

static bool has_runs(const struct scheduler *s, int node)
{
    uint32_t cursor = 0;
    const struct run *run;
    while ((run = map_next(&s->runs, &cursor)) != NULL)
        if (run->node == node)
            return true;
    return false;
}

static bool has_attempts(const struct scheduler *s, int node)
{
    uint32_t cursor = 0;
    const struct run *run;
    while ((run = map_next(&s->runs, &cursor)) != NULL)
        if (run->node == node && run_is_under_way(run))
            return true;
    return false;
}

bool scheduler_node_hold(struct scheduler *s, const char *name, bool is_held)
{
    int i = node_find(s, name);
    if (i < 0 || s->nodes[i].is_held == is_held)
        return false;
    s->nodes[i].is_held = is_held;
    s->again |= !is_held;
    return !is_held;
}

bool scheduler_node_is_busy(const struct scheduler *s, const char *name)
{
    int i = node_find(s, name);
    return i >= 0 && (s->nodes[i].active > 0 || has_attempts(s, i));
}

static bool is_idle(const struct scheduler *s, int node)
{
    return s->nodes[node].health == NODE_LOST && s->nodes[node].active == 0 && !has_runs(s, node);
}

/* For a node that is new; -1: none is free. A node that is lost, and of which nothing is left, makes room. */
static int take_place(struct scheduler *s)
{
    for (uint32_t i = 0; i < s->node_count; i++)
        if (s->nodes[i].health == NODE_FREE)
            return (int)i;
    if (s->node_count < COMMAND_NODES_MAX)
        return (int)s->node_count++;
    for (int i = 0; i < COMMAND_NODES_MAX; i++) {
        if (!is_idle(s, i))
            continue;
        s->nodes[i] = (struct node){.health = NODE_FREE};
        return i;
    }
    return -1;
}

/* Its place is free for another one; runs name nodes by place, so the others stay where they are. */
void node_left(struct scheduler *s, struct bytes name)
{
    for (uint32_t i = 0; i < s->node_count; i++) {
        struct node *node = &s->nodes[i];
        if (node->health == NODE_FREE || strlen(node->name) != name.size || memcmp(node->name, name.data, name.size) != 0 || node->active > 0 ||
            has_runs(s, (int)i))
            continue;
        *node = (struct node){.health = NODE_FREE};
        s->nodes_version++;
    }
}

uint32_t scheduler_idle_lost_nodes(const struct scheduler *s, struct placement_node out[COMMAND_NODES_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->node_count; i++) {
        if (!is_idle(s, (int)i))
            continue;
        memcpy(out[count].name, s->nodes[i].name, sizeof out[count].name);
        out[count++].session = s->nodes[i].session;
    }
    return count;
}

void node_changed(struct scheduler *s, const struct node_row *row)
{
    int i = node_find(s, row->name);
    if (i < 0)
        i = take_place(s);
    if (i < 0)
        return; /* more nodes than a command can name: the further ones get no runs */
    struct node *node = &s->nodes[i];
    bool new_session = node->session != row->session || node->health == NODE_FREE;
    memcpy(node->name, row->name, sizeof node->name);
    node->capacity = row->capacity;
    node->lease_ms = row->lease_ms;
    node->executor_count = row->executor_count;
    memcpy(node->executors, row->executors, sizeof node->executors);
    node->tag_count = row->tag_count;
    memcpy(node->tags, row->tags, sizeof node->tags);
    s->nodes_version++;
    if (!new_session)
        return;
    uint32_t cursor = 0;
    struct run *run;
    while ((run = map_next(&s->runs, &cursor)) != NULL)
        if (run->node == i)
            node_vacate(s, run);
    node->session = row->session;
    node->health = NODE_PLACEABLE;
    node->is_watched = false;
    cursor = 0;
    while ((run = map_next(&s->runs, &cursor)) != NULL)
        if (run->node == i)
            node_occupy(s, run);
    node_reclassify_runs(s, i);
}

/* Catch-up takes at most half of any capacity, but never nothing. */
static bool has_room(const struct node *node, bool catchup)
{
    uint32_t half = node->capacity > 1 ? node->capacity / 2 : 1;
    return node->active < node->capacity && (!catchup || node->active_catchup < half);
}

/* Among equals the one that was given a run least lately: short runs, one after the other, go round. */
static bool is_better(const struct node *a, const struct node *b)
{
    return a->active < b->active || (a->active == b->active && a->placed < b->placed);
}

bool node_takes(const struct scheduler *s, int node, bool catchup, enum reason *ret_reason)
{
    const struct node *at = &s->nodes[node];
    *ret_reason = at->health != NODE_PLACEABLE ? REASON_NO_NODE : has_room(at, catchup) ? REASON_NONE : REASON_CAPACITY;
    return *ret_reason == REASON_NONE;
}

/* One that is not heard of for a moment belongs to them: its run waits for it, or is lost with it. One that was written off does not,
 * nor does one that takes no runs at all, for it goes down. */
uint32_t nodes_of_all(const struct scheduler *s, const struct job *job)
{
    uint32_t nodes = demand_nodes(s, job->demand);
    for (uint32_t i = 0; i < s->node_count; i++)
        if (s->nodes[i].health == NODE_LOST || s->nodes[i].capacity == 0)
            nodes &= ~(1U << i);
    return nodes;
}

int node_choose(const struct scheduler *s, struct demand *demand, bool catchup, enum reason *ret_reason)
{
    uint32_t nodes = demand_nodes(s, demand);
    int best = -1;
    *ret_reason = REASON_NO_NODE;
    for (uint32_t i = 0; i < s->node_count; i++) {
        const struct node *node = &s->nodes[i];
        if (node->health != NODE_PLACEABLE || node->is_held || (nodes & 1U << i) == 0)
            continue;
        if (!has_room(node, catchup))
            *ret_reason = REASON_CAPACITY;
        else if (best < 0 || is_better(node, &s->nodes[best]))
            best = (int)i;
    }
    if (best >= 0)
        *ret_reason = REASON_NONE;
    return best;
}

static bool counts(const struct scheduler *s, const struct run *run)
{
    return run->node >= 0 && run_is_under_way(run) && s->nodes[run->node].session == run->session;
}

void node_occupy(struct scheduler *s, struct run *run)
{
    if (!counts(s, run))
        return;
    s->nodes[run->node].active++;
    s->nodes[run->node].active_catchup += run->trigger == TRIGGER_CATCHUP;
}

void node_vacate(struct scheduler *s, struct run *run)
{
    if (!counts(s, run))
        return;
    s->nodes[run->node].active--;
    s->nodes[run->node].active_catchup -= run->trigger == TRIGGER_CATCHUP;
}

void nodes_encode(const struct scheduler *s, struct placement_node out[COMMAND_NODES_MAX])
{
    for (uint32_t i = 0; i < s->node_count; i++) {
        memcpy(out[i].name, s->nodes[i].name, sizeof out[i].name);
        out[i].session = s->nodes[i].session;
    }
}

uint32_t scheduler_homes(const struct scheduler *s, uint64_t serial, struct placement_node out[COMMAND_NODES_MAX])
{
    const struct job *job = scheduler_job(s, serial);
    uint32_t nodes = job != NULL ? nodes_of_all(s, job) : 0, count = 0;
    for (uint32_t i = 0; i < s->node_count; i++) {
        if ((nodes & 1U << i) == 0)
            continue;
        memcpy(out[count].name, s->nodes[i].name, sizeof out[count].name);
        out[count++].session = s->nodes[i].session;
    }
    return count;
}

enum reason scheduler_waits_for(struct scheduler *s, uint64_t serial)
{
    enum reason reason = REASON_NONE;
    const struct job *job = scheduler_job(s, serial);
    if (job != NULL)
        (void)node_choose(s, job->demand, false, &reason); /* only the reason is asked for */
    return reason;
}
