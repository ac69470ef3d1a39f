/* Which nodes hold what they were given: each holds a lease from the moment it sent the newest beat that was answered. */
#include "scheduler/scheduler_internal.h"

bool attempt_is_over(const struct scheduler *s, const struct run *run, enum reason *ret_reason)
{
    if (run->node < 0 || !run_is_under_way(run))
        return false;
    const struct node *node = &s->nodes[run->node];
    *ret_reason = node->session != run->session ? REASON_NODE_RESTART : REASON_NODE_LOSS;
    return node->session != run->session || node->health == NODE_LOST;
}

bool run_is_stranded(const struct scheduler *s, const struct run *run)
{
    if (!run->pinned || run_is_under_way(run))
        return false;
    return run->home_gone || (run->node >= 0 && s->nodes[run->node].health == NODE_LOST);
}

void leases_begin(struct scheduler *s)
{
    for (uint32_t i = 0; i < s->node_count; i++) {
        if (s->nodes[i].health == NODE_FREE)
            continue;
        s->nodes[i].is_watched = s->nodes[i].is_held = false;
        s->nodes[i].health = NODE_PLACEABLE;
        node_reclassify_runs(s, (int)i);
    }
}

bool scheduler_node_beat(struct scheduler *s, const char *name, uint64_t session, bool is_announced, bool is_behind, int64_t now_ms)
{
    int i = node_find(s, name);
    if (i < 0 || s->nodes[i].session != session)
        return !is_announced; /* its row is still on its way, and that it lives is known once it is here; or the row was taken away */
    struct node *node = &s->nodes[i];
    if (node->health == NODE_LOST)
        return false;
    enum node_health health = is_behind ? NODE_SILENT : NODE_PLACEABLE;
    if (health == NODE_PLACEABLE && node->health != NODE_PLACEABLE)
        s->again = true; /* runs may wait for a place there */
    node->health = health;
    node->heard_ms = now_ms;
    node->is_watched = true;
    return true;
}

void scheduler_node_silent(struct scheduler *s, const char *name)
{
    int i = node_find(s, name);
    if (i >= 0 && s->nodes[i].health == NODE_PLACEABLE)
        s->nodes[i].health = NODE_SILENT;
}

/* A tenth longer than the node counts: clocks run at different speeds. */
static bool is_overdue(const struct node *node, int64_t now_ms)
{
    return node->lease_ms > 0 && node->health != NODE_FREE && node->health != NODE_LOST && now_ms - node->heard_ms > node->lease_ms + node->lease_ms / 10;
}

uint32_t scheduler_watch_leases(struct scheduler *s, int64_t now_ms, const char *ret_lost[])
{
    uint32_t lost = 0;
    int64_t since_ms = now_ms - s->watched_ms;
    s->watched_ms = now_ms;
    if (!s->leading)
        return 0;
    for (uint32_t i = 0; i < s->node_count; i++) {
        struct node *node = &s->nodes[i];
        bool was_away = since_ms > node->lease_ms / 2; /* this leader was frozen, and perhaps everybody was */
        if (!node->is_watched || was_away) {
            node->heard_ms = now_ms;
            node->is_watched = true;
        }
        if (!is_overdue(node, now_ms))
            continue;
        node->health = NODE_LOST;
        node_reclassify_runs(s, (int)i);
        s->again = true;
        ret_lost[lost++] = node->name;
    }
    return lost;
}
