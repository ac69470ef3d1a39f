/* Packets between nodes: late, lost, twice, again much later, out of order, or not at all. */
#include "sim.h"

#include <string.h>

static const uint32_t rooms[5] = {0, 4, 16, 64, 1024};

struct node *node_of(struct sim *sim, uint64_t id)
{
    for (uint32_t i = 0; i < sim->node_count; i++)
        if (sim->nodes[i].id == id)
            return &sim->nodes[i];
    return NULL;
}

/* --- packets --- */

static struct packet *packet_new(struct sim *sim, uint32_t entry_count)
{
    uint32_t kind = 0;
    while (rooms[kind] < entry_count)
        if (++kind == 5)
            sim_fail(sim, "one message of %u entries", entry_count);
    struct packet *packet = sim->network.free[kind];
    if (packet != NULL)
        sim->network.free[kind] = packet->next;
    else
        packet = sim_alloc(sim, sizeof *packet + rooms[kind] * sizeof packet->entries[0]);
    packet->room = kind;
    packet->references = 1;
    return packet;
}

static void packet_release(struct sim *sim, struct packet *packet)
{
    if (packet == NULL || --packet->references > 0)
        return;
    packet->next = sim->network.free[packet->room];
    sim->network.free[packet->room] = packet;
}

static struct packet *packet_of(struct sim *sim, const struct raft_message *message)
{
    struct packet *packet = packet_new(sim, message->entry_count);
    packet->message = *message;
    packet->epoch = sim->network.epoch;
    for (uint32_t i = 0; i < message->entry_count; i++)
        packet->entries[i] = oracle_blob(sim, &message->entries[i])->entry;
    packet->message.entries = message->entry_count > 0 ? packet->entries : NULL;
    return packet;
}

/* --- links --- */

void network_cut(struct sim *sim, uint32_t from, uint32_t to, uint64_t until)
{
    if (sim->network.cut_until[from][to] < until)
        sim->network.cut_until[from][to] = until;
}

void network_heal(struct sim *sim)
{
    memset(sim->network.cut_until, 0, sizeof sim->network.cut_until);
    memset(sim->network.clogged_until, 0, sizeof sim->network.clogged_until);
}

static uint64_t arrival(struct sim *sim, uint32_t from, uint32_t to)
{
    struct network *network = &sim->network;
    const struct options *o = &sim->options;
    uint64_t at = sim->now + o->delay_min + sim_below(sim, o->delay_spread + 1);
    if (sim_below(sim, 64) == 0)
        at += sim_below(sim, 4 * (uint64_t)o->delay_spread + 1); /* a long tail */
    if (network->clogged_until[from][to] > sim->now)
        at += network->clogged_until[from][to] - sim->now;
    if (sim_chance(sim, o->out_of_order))
        return at;
    if (at < network->last_at[from][to])
        at = network->last_at[from][to];
    network->last_at[from][to] = at;
    return at;
}

static void dropped(struct sim *sim, struct node *from, uint64_t to)
{
    if (sim_chance(sim, sim->options.unreachable))
        event_push(sim, sim->now + sim_below(sim, TICK), EVENT_REPORT, from, NULL, to, RAFT_UNREACHABLE);
}

static void put(struct sim *sim, struct packet *packet, uint32_t from, uint32_t to, uint64_t at)
{
    if (sim->network.under_way[from][to] >= sim->options.capacity)
        return;
    sim->network.under_way[from][to]++;
    packet->references++;
    event_push(sim, at, EVENT_DELIVER, &sim->nodes[to], packet, packet->message.to, from);
}

static void remember(struct sim *sim, struct packet *packet)
{
    struct packet **place = &sim->network.old[sim_below(sim, OLD_PACKETS)];
    packet_release(sim, *place);
    packet->references++;
    *place = packet;
}

static void replay(struct sim *sim)
{
    struct packet *packet = sim->network.old[sim_below(sim, OLD_PACKETS)];
    if (packet == NULL)
        return;
    struct node *from = node_of(sim, packet->message.from), *to = node_of(sim, packet->message.to);
    if (from == NULL || to == NULL || sim->network.cut_until[from->slot][to->slot] > sim->now)
        return;
    put(sim, packet, from->slot, to->slot, sim->now + sim_below(sim, 10 * TICK));
}

void network_send(struct sim *sim, struct node *from, const struct raft_message *message)
{
    const struct options *o = &sim->options;
    struct node *to = node_of(sim, message->to);
    sim->stats.packets++;
    if (to == NULL || sim->network.cut_until[from->slot][to->slot] > sim->now || (!sim->calm && sim_chance(sim, o->loss))) {
        dropped(sim, from, message->to);
        return;
    }
    struct packet *packet = packet_of(sim, message);
    put(sim, packet, from->slot, to->slot, arrival(sim, from->slot, to->slot));
    if (sim_chance(sim, o->duplicate))
        put(sim, packet, from->slot, to->slot, arrival(sim, from->slot, to->slot));
    if (o->replay > 0)
        remember(sim, packet);
    packet_release(sim, packet);
    if (sim_chance(sim, o->replay))
        replay(sim);
}

static void check_accepted(struct sim *sim, struct node *node, const struct raft_message *message, enum status status,
                           bool diverged)
{
    if (diverged)
        sim_fail(sim, "divergence: %s tells of another history than %s has, or of a second leader (%s)",
                 node_name(sim, message->from), node_name(sim, node->id), message_name(message->type));
    if (status != STATUS_OK && status != STATUS_OVERLOADED && status != STATUS_NO_MEMORY)
        sim_fail(sim, "message refused: %s of %s by %s: %s", message_name(message->type), node_name(sim, message->from),
                 node_name(sim, node->id), status_name(status));
}

/* A bit of an entry is wrong: it must be seen, and nothing may change. */
static void deliver_damaged(struct sim *sim, struct node *node, const struct raft_message *message)
{
    struct raft_message damaged = *message;
    struct raft_entry *entries = sim_alloc(sim, message->entry_count * sizeof *entries);
    struct raft_entry *victim = &entries[sim_below(sim, message->entry_count)];
    memcpy(entries, message->entries, message->entry_count * sizeof *entries);
    if (victim->size == 0) {
        victim->hash ^= UINT64_C(1) << sim_below(sim, 64);
    } else {
        uint8_t *data = sim_alloc(sim, victim->size);
        memcpy(data, victim->data, victim->size);
        data[sim_below(sim, victim->size)] ^= (uint8_t)(1U << sim_below(sim, 8));
        victim->data = data;
    }
    damaged.entries = entries;
    uint64_t before = raft_hash(node->raft);
    bool diverged = false;
    enum status status = raft_step(node->raft, &damaged, &diverged);
    if (status != STATUS_CORRUPT || diverged || raft_hash(node->raft) != before)
        sim_fail(sim, "damage: %s takes an entry with a wrong bit (%s)", node_name(sim, node->id), status_name(status));
}

void network_deliver(struct sim *sim, const struct event *event)
{
    struct packet *packet = event->data;
    struct node *node = &sim->nodes[event->slot];
    const struct raft_message *message = &packet->message;
    bool diverged = false;
    if (node->up && node->paused_until > sim->now) { /* it lies in the socket */
        event_push(sim, node->paused_until, EVENT_DELIVER, node, packet, event->a, event->b);
        return;
    }
    sim->network.under_way[event->b][node->slot]--;
    bool arrives = packet->epoch == sim->network.epoch && sim->network.cut_until[event->b][node->slot] <= sim->now;
    if (arrives && node->up && node->id == message->to) {
        coverage_message(sim, node, message);
        if (sim->trace)
            trace_message(sim, node, "<-", message);
        if (message->entry_count > 0 && sim_chance(sim, sim->options.damage))
            deliver_damaged(sim, node, message);
        enum status status = raft_step(node->raft, message, &diverged);
        check_accepted(sim, node, message, status, diverged);
        sim->stats.events++;
        node_settle_later(sim, node);
    }
    packet_release(sim, packet);
}
