/* After the misfortunes: a random part of the cluster that can elect is healed, the rest stays broken for good. It must elect,
 * commit what is pending, and come to one state within a bound. */
#include "stack.h"

#include <string.h>

enum {
    HEAL_TIMEOUTS = 60,   /* election timeouts to elect and to commit something new */
    SETTLE_TIMEOUTS = 60, /* more to come to rest */
};

/* --- who is healed --- */

static bool worth(const struct node *node)
{
    return !node->disk.removed;
}

/* Nodes in random order until every configuration in use has a quorum among them; 0: there is no such set. */
static uint32_t choose(struct sim *sim)
{
    uint8_t order[NODES_MAX];
    uint32_t chosen = 0;
    for (uint32_t i = 0; i < sim->node_count; i++) {
        uint64_t j = sim_below(sim, i + 1);
        order[i] = order[j];
        order[j] = (uint8_t)i;
    }
    for (uint32_t i = 0; i < sim->node_count; i++) {
        chosen |= worth(&sim->nodes[order[i]]) ? 1U << order[i] : 0;
        if (cluster_good(sim, NULL, chosen))
            return chosen;
    }
    return 0;
}

/* --- the rest --- */

static void mend_disk(struct sim *sim, struct node *node)
{
    node->disk.stalled_until = node->disk.full_until = 0;
    if (node->up && node->disk.busy)
        event_push(sim, sim->now + 1, EVENT_DISK, node, NULL, 0, 0); /* earlier than it was to be */
}

static void break_for_good(struct sim *sim, struct node *node)
{
    uint64_t ever = UINT64_MAX, how = sim_below(sim, 5);
    node->broken = true;
    if (how == 0 || !node->up) {
        node_crash(sim, node, 0);
        node->life++; /* no restart that is on its way */
        return;
    }
    mend_disk(sim, node); /* or it would say much later what it decided before */
    if (how == 1) {
        node->disk.stalled_until = UINT64_MAX / 2;
        node->broken = false; /* it may lead, until it is to write something */
    }
    for (uint32_t i = 0; i < sim->node_count; i++) {
        if (how != 2 && how != 1)
            network_cut(sim, i, node->slot, ever); /* hears nothing */
        if (how != 3 && how != 1)
            network_cut(sim, node->slot, i, ever); /* is not heard */
    }
}

/* What lies in the queue of a frozen node is due when it wakes up. */
static void wait_for_paused(struct sim *sim)
{
    sim->calm = true;
    for (uint32_t i = 0; i < sim->node_count; i++)
        if (sim->nodes[i].paused_until > sim->now)
            sim_run_until(sim, sim->nodes[i].paused_until + 1);
}

static void mend(struct sim *sim, struct node *node)
{
    mend_disk(sim, node);
    if (!node->up) {
        node->life++;
        node_boot(sim, node);
    }
}

/* What the cores have decided and not yet handed out, a change of membership say, counts in the choice. */
static void hand_out(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->node_count; i++)
        if (sim->nodes[i].up)
            node_settle(sim, &sim->nodes[i]);
}

/* Liveness is promised where the election timeout fits the network and the disk. */
static void quicken(struct sim *sim)
{
    struct options *o = &sim->options;
    uint32_t most = o->core.election_ticks * TICK / 20;
    o->capacity = UINT32_MAX; /* what was clogged is still on its way */
    memset(sim->network.last_at, 0, sizeof sim->network.last_at);
    o->delay_spread = o->delay_spread < most ? o->delay_spread : most;
    o->disk_delay = o->disk_delay < most ? o->disk_delay : most;
}

/* To find out three times that a large file is bad takes longer than patience lasts. */
static void mend_large_snapshot(struct sim *sim, struct disk *disk)
{
    enum { CHUNKS_MAX = 50 };
    if (disk->snapshot != NULL && disk->snapshot->meta.size / sim->options.chunk_bytes > CHUNKS_MAX)
        disk->snapshot_bad = false;
}

static void heal(struct sim *sim, uint32_t chosen)
{
    sim->calm = true;
    quicken(sim);
    network_heal(sim);
    memset(sim->fault_until, 0, sizeof sim->fault_until);
    for (uint32_t i = 0; i < sim->node_count; i++)
        mend_large_snapshot(sim, &sim->nodes[i].disk);
    for (uint32_t i = 0; i < sim->node_count; i++)
        if ((chosen & 1U << i) != 0)
            mend(sim, &sim->nodes[i]);
        else
            break_for_good(sim, &sim->nodes[i]);
}

/* --- what must come --- */

static bool at_rest(struct sim *sim, const struct node *leader, uint32_t chosen)
{
    for (uint32_t i = 0; i < sim->node_count; i++) {
        const struct node *node = &sim->nodes[i];
        bool sound = (chosen & 1U << i) != 0, member = sound && raft_conf_find(leader->conf, node->id) != NULL;
        if (member && (node->machine.applied.index != leader->status.last.index || node->read_count > 0 || node->status.removed))
            return false;
        /* Who is out and would ask for votes asks the leader too, who tells it. */
        bool asks = raft_conf_is_voter(node->conf, node->id) && raft_conf_is_voter(node->conf, leader->id) &&
                    !node->status.suspect;
        if (sound && !member && node->up && asks && !node->status.removed)
            return false;
    }
    /* Whoever leads with a disk that hangs has handed over. */
    return leader->status.commit == leader->status.last.index && leader->machine.applied.index == leader->status.last.index;
}

/* A higher match counts for more than a newer snapshot under way, and that for more than any offset in one. */
static uint64_t peer_progress(const struct node *leader, const struct raft_peer_status *peer)
{
    const struct raft_snapshot_meta *snapshot = raft_snapshot(leader->raft);
    uint64_t sending = peer->state == RAFT_SEND_SNAPSHOT && snapshot != NULL ? snapshot->last.index : 0;
    uint64_t offset = sending > 0 ? peer->snapshot_offset : 0;
    return peer->match << 40 | (sending & 0x7fff) << 25 | (offset & 0x1ffffff);
}

/* Slow is allowed, standing still is not: how far the leader's peers have come. */
static uint64_t progress(struct sim *sim)
{
    const struct node *leader = leader_node(sim);
    uint64_t sum = sim->oracle.commit;
    for (uint32_t i = 0; leader != NULL && i < leader->status.peer_count; i++)
        sum += peer_progress(leader, &leader->status.peers[i]);
    for (uint32_t i = 0; i < sim->node_count; i++)
        sum += sim->nodes[i].broken ? 0 : sim->nodes[i].machine.applied.index;
    return sum;
}

struct patience {
    uint64_t term, best, spent, limit;
};

static bool patient(struct sim *sim, struct patience *patience)
{
    uint64_t sum = progress(sim), term = leader_node(sim) != NULL ? leader_node(sim)->status.term : 0;
    if (term != patience->term) { /* a new leader knows nothing of its peers yet; an election alone is no progress */
        patience->term = term;
        patience->best = sum;
    }
    if (sum > patience->best) {
        patience->best = sum;
        patience->spent = 0;
    }
    return patience->spent++ < patience->limit;
}

static void run_ticks(struct sim *sim, uint64_t ticks)
{
    sim_run_until(sim, sim->now + ticks * TICK);
}

static struct node *elect(struct sim *sim, uint64_t limit)
{
    uint64_t begin = sim->oracle.commit, spent = 0;
    struct patience patience = {.limit = limit};
    for (; patient(sim, &patience); spent++) {
        run_ticks(sim, 1);
        struct node *leader = leader_node(sim);
        if (leader != NULL && sim->oracle.commit > begin && leader->status.commit == sim->oracle.commit) {
            if (sim->stats.worst_heal_ticks < spent)
                sim->stats.worst_heal_ticks = (uint32_t)spent;
            return leader;
        }
    }
    sim_fail(sim, "liveness: nothing is committed, nothing moves for %llu ticks after a quorum was healed (leader %s)",
             (unsigned long long)limit, node_name(sim, leader_node(sim) != NULL ? leader_node(sim)->id : 0));
}

static void describe(struct sim *sim, const struct node *leader)
{
    for (uint32_t i = 0; i < sim->node_count; i++) {
        const struct node *node = &sim->nodes[i];
        TRACE(sim, node, "%s%s: applied %llu, commit %llu, last %llu, reads %u", node->broken ? "broken " : "",
              node->up ? role_name(node->status.role) : "down", (unsigned long long)node->machine.applied.index,
              (unsigned long long)node->status.commit, (unsigned long long)node->status.last.index, node->read_count);
    }
    for (uint32_t i = 0; leader != NULL && i < leader->status.peer_count; i++) {
        const struct raft_peer_status *p = &leader->status.peers[i];
        TRACE(sim, leader, "peer %s: match %llu next %llu state %d inflight %u", node_name(sim, p->id),
              (unsigned long long)p->match, (unsigned long long)p->next, p->state, p->inflight);
    }
}

/* An operator's whim: a node far ahead in terms, whose votes nobody answers, must come back into the fold. */
static void disturb(struct sim *sim, uint32_t chosen)
{
    struct node *node = &sim->nodes[sim_below(sim, sim->node_count)];
    if ((chosen & 1U << node->slot) == 0 || sim_below(sim, 2) == 0)
        return;
    enum status status = raft_campaign(node->raft);
    TRACE(sim, node, "told to campaign: %s", status_name(status));
    node_settle(sim, node);
}

static void come_to_rest(struct sim *sim, uint32_t chosen, uint64_t limit)
{
    sim->client_quiet = true;
    struct patience patience = {.limit = limit};
    while (patient(sim, &patience)) {
        run_ticks(sim, 1);
        struct node *leader = leader_node(sim);
        if (leader != NULL && at_rest(sim, leader, chosen))
            return;
    }
    describe(sim, leader_node(sim));
    sim_fail(sim, "liveness: nothing moves for %llu ticks and the healed nodes are not in one state",
             (unsigned long long)limit);
}

static uint32_t replicating(struct sim *sim, const struct node *leader, uint32_t chosen)
{
    uint32_t slots = 0;
    for (uint32_t i = 0; i < leader->status.peer_count; i++) {
        const struct raft_peer_status *peer = &leader->status.peers[i];
        const struct node *node = node_of(sim, peer->id);
        if (node != NULL && peer->state == RAFT_REPLICATE && peer->match == leader->status.last.index)
            slots |= 1U << node->slot;
    }
    return slots & chosen;
}

/* On a network that keeps the order, a follower knows what is committed a round trip and a tick later. */
static void follow(struct sim *sim, uint32_t chosen, uint64_t limit)
{
    struct options *o = &sim->options;
    o->out_of_order = o->duplicate = o->replay = 0;
    run_ticks(sim, limit); /* what is on its way is through, and who probes has found out */
    struct node *leader = leader_node(sim);
    uint32_t followers = leader != NULL ? replicating(sim, leader, chosen) : 0;
    uint64_t target = leader != NULL ? leader->status.last.index + 1 : 0, spent = 0;
    if (leader == NULL || (chosen & 1U << leader->slot) == 0 || !client_propose(sim, leader, 1))
        return;
    while (leader->status.commit < target && spent++ < limit)
        run_ticks(sim, 1);
    uint64_t tail = 5 * (uint64_t)o->delay_spread, round_trip = 2 * (o->delay_min + tail);
    run_ticks(sim, round_trip / TICK + 3); /* ticks are not of one length */
    if (leader->status.role != RAFT_LEADER || leader->status.commit < target)
        return; /* a disk hangs: somebody else's matter */
    for (uint32_t i = 0; i < sim->node_count; i++)
        if ((followers & 1U << i) != 0 && sim->nodes[i].status.commit < target)
            sim_fail(sim, "liveness: %s does not know in time that %llu is committed", node_name(sim, sim->nodes[i].id),
                     (unsigned long long)target);
}

/* One that is not needed hears the leader no more, but all others do: it must not disturb. */
static void deafen_one(struct sim *sim, const struct node *leader, uint32_t chosen)
{
    struct node *node = &sim->nodes[sim_below(sim, sim->node_count)];
    if (node == leader || (chosen & 1U << node->slot) == 0 || !cluster_good(sim, node, chosen))
        return;
    TRACE(sim, node, "hears the leader no more");
    network_cut(sim, leader->slot, node->slot, UINT64_MAX);
}

/* Nothing else asks for an election any more: whoever leads stays. */
static void stay(struct sim *sim, uint32_t chosen)
{
    const struct options *o = &sim->options;
    sim->network.epoch++; /* late words of transfers that are over, and all else that is on its way, are lost */
    run_ticks(sim, 4 * (uint64_t)o->core.election_ticks); /* a transfer that had begun is over */
    struct node *leader = leader_node(sim);
    uint64_t term = leader != NULL ? leader->status.term : 0;
    if (leader == NULL || (chosen & 1U << leader->slot) == 0)
        return;
    deafen_one(sim, leader, chosen);
    run_ticks(sim, 6 * (uint64_t)sim->options.core.election_ticks);
    if (leader_node(sim) != leader || leader->status.term != term) {
        describe(sim, leader_node(sim));
        sim_fail(sim, "liveness: the leader of term %llu did not stay though nothing failed", (unsigned long long)term);
    }
}

void liveness_run(struct sim *sim)
{
    wait_for_paused(sim);
    hand_out(sim);
    uint32_t chosen = choose(sim);
    if (chosen == 0) {
        sim->stats.liveness_skipped++;
        return;
    }
    TRACE(sim, NULL, "--- liveness: nodes %#x are healed", chosen);
    heal(sim, chosen);
    uint64_t timeout = sim->options.core.election_ticks;
    (void)elect(sim, HEAL_TIMEOUTS * timeout);
    if (sim->options.full)
        stack_liveness(sim);
    sim->users_quiet = true;
    disturb(sim, chosen);
    come_to_rest(sim, chosen, SETTLE_TIMEOUTS * timeout);
    follow(sim, chosen, 2 * timeout);
    stay(sim, chosen);
}
