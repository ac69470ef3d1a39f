/* Swarm: every rate is drawn per seed, many of them zero, so that faults meet in many mixtures and some runs see none of a kind. */
#include "stack.h"

static uint32_t between(struct sim *sim, uint32_t low, uint32_t high)
{
    return low + (uint32_t)sim_below(sim, high - low + 1);
}

/* Zero in about half of the seeds. */
static uint32_t sometimes(struct sim *sim, uint32_t high)
{
    return sim_below(sim, 2) == 0 ? 0 : between(sim, 1, high);
}

static void draw_core(struct sim *sim, struct raft_config *c)
{
    static const uint32_t message_bytes[] = {0, 40, 200, 4096}, windows[] = {1, 2, 4, 16, 64}, caches[] = {0, 64, 512, 65536};
    c->election_ticks = (uint16_t)between(sim, 6, 24);
    c->heartbeat_ticks = (uint16_t)between(sim, 1, c->election_ticks / 4);
    c->max_message_bytes = message_bytes[sim_below(sim, 4)];
    c->max_inflight_messages = windows[sim_below(sim, 5)];
    c->max_inflight_bytes = sim_below(sim, 3) == 0 ? between(sim, 1, 400) : 65536;
    c->max_uncommitted_bytes = sim_below(sim, 3) == 0 ? between(sim, 1, 2000) : 1 << 20;
    c->max_reads = between(sim, 1, 16);
    c->cache_bytes = caches[sim_below(sim, 4)];
}

static void draw_network(struct sim *sim, struct options *o)
{
    o->damage = sim_below(sim, 4) == 0 ? between(sim, 1, 500) : 0;
    o->no_memory = sim_below(sim, 4) == 0 ? between(sim, 1, 3000) : 0;
    o->loss = sometimes(sim, sim_below(sim, 4) == 0 ? 2500 : 300);
    o->duplicate = sometimes(sim, 2000);
    o->replay = sometimes(sim, 1000);
    o->out_of_order = sometimes(sim, 5000);
    o->unreachable = sometimes(sim, 10000);
    o->link_down = sometimes(sim, 10000);
    o->capacity = between(sim, 8, sim_below(sim, 2) == 0 ? 32 : 200);
    o->delay_min = between(sim, 1, TICK / 4);
    o->delay_spread = between(sim, 1, sim_below(sim, 4) == 0 ? 4 * TICK : TICK / 2);
}

static void draw_faults(struct sim *sim, struct options *o)
{
    for (uint32_t fault = 1; fault < FAULT_COUNT; fault++) {
        o->weight[fault] = sim_below(sim, 5) < 2 ? 0 : between(sim, 1, 8);
        if (fault == FAULT_LOSS || fault == FAULT_REPLAY)
            o->weight[fault] = 0; /* rates of the network, not events */
        o->weights += o->weight[fault];
    }
    o->fault_every = between(sim, 5, 120) * TICK;
    o->fault_length = between(sim, 5, 150) * TICK;
}

/* By another stream than all the rest, so that builds with and without it run the other seeds alike. */
static bool draws_full(uint64_t seed)
{
    enum { ONE_IN = 8 };
    struct random random;
    random_seed(&random, ~seed);
    return stack_built && random_below(&random, ONE_IN) == 0;
}

/* States are larger, commands not made of noise, and time is needed for something to become due. */
static void fit_stack(struct sim *sim, struct options *o)
{
    o->chunk_bytes = between(sim, 300, 20000);
    o->sync_share = between(sim, 1, 5);
    o->client_every = between(sim, TICK, 20 * TICK);
    o->end += 500 * TICK;
    o->core.max_uncommitted_bytes = 1 << 20;
    o->core.max_inflight_bytes = 65536;
    o->core.max_message_bytes = 4096;
    if (o->core.max_inflight_messages < 16)
        o->core.max_inflight_messages = 16;
    if (o->core.cache_bytes < 4096)
        o->core.cache_bytes = 4096;
}

/* Elections, partitions and changes of membership, and little else. */
static void storm(struct sim *sim, struct options *o)
{
    static const enum fault faults[] = {FAULT_CONF, FAULT_CONF, FAULT_ISOLATE, FAULT_PARTITION, FAULT_CAMPAIGN, FAULT_CRASH};
    o->conf_storm = true;
    o->voters = sim_below(sim, 2) == 0 ? 4 : o->voters; /* an even number makes majorities that barely meet */
    o->spares = 1 + (uint32_t)sim_below(sim, NODES_MAX - o->voters < 3 ? NODES_MAX - o->voters : 3);
    for (uint32_t fault = 0; fault < FAULT_COUNT; fault++)
        o->weight[fault] /= 4;
    for (uint32_t i = 0; i < 6; i++)
        o->weight[faults[i]] += between(sim, 2, 8);
    o->weights = 0;
    for (uint32_t fault = 0; fault < FAULT_COUNT; fault++)
        o->weights += o->weight[fault];
    o->fault_every = between(sim, 3, 20) * TICK;
    o->fault_length = between(sim, 5, 60) * TICK;
}

void options_draw(struct sim *sim)
{
    static const uint32_t voters[] = {1, 2, 3, 3, 3, 3, 4, 5, 5, 7};
    struct options *o = &sim->options;
    *o = (struct options){.full = draws_full(sim->seed), .voters = voters[sim_below(sim, 10)]};
    o->spares = (uint32_t)sim_below(sim, NODES_MAX - o->voters + 1);
    if (o->spares > 3)
        o->spares = 3;
    draw_core(sim, &o->core);
    draw_network(sim, o);
    draw_faults(sim, o);
    o->end = (uint64_t)between(sim, 300, 2500) * TICK;
    o->payload_max = sim_below(sim, 3) == 0 ? between(sim, 1, 300) : 16;
    o->burst_max = sim_below(sim, 3) == 0 ? between(sim, 1, 60) : 4;
    o->disk_delay = between(sim, 1, sim_below(sim, 4) == 0 ? 6 * TICK : TICK);
    o->apply_delay = sometimes(sim, 4 * TICK);
    o->client_every = between(sim, TICK / 4, 6 * TICK);
    o->read_share = sometimes(sim, 70);
    o->sync_share = between(sim, 1, 100);
    o->defer_share = sometimes(sim, 60);
    o->skew_percent = sometimes(sim, 30);
    o->compact_at = sometimes(sim, 150);
    o->keep_max = sim_below(sim, 2) == 0 ? between(sim, 0, 30) : 1000;
    o->chunk_bytes = between(sim, 16, 200);
    o->snapshot_pad = between(sim, 0, 600);
    if (sim_below(sim, 6) == 0)
        storm(sim, o);
    if (o->full)
        fit_stack(sim, o);
}
