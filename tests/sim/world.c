/* One run: a cluster is founded, lives through its misfortunes, and is healed. */
#include "stack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"

enum { ARENA_BLOCK = 1 << 20 };

struct arena_block {
    struct arena_block *next;
    uint32_t size;
    max_align_t data[];
};

/* --- helpers --- */

void sim_fail(struct sim *sim, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(sim->why, sizeof sim->why, format, args);
    va_end(args);
    longjmp(sim->failed, 1);
}

void sim_require(struct sim *sim, bool condition, const char *invariant, const struct node *node)
{
    if (!condition)
        sim_fail(sim, "%s: at %s", invariant, node != NULL ? node_name(sim, node->id) : "any node");
}

uint64_t sim_below(struct sim *sim, uint64_t bound)
{
    return bound <= 1 ? 0 : random_below(&sim->random, bound);
}

bool sim_chance(struct sim *sim, uint32_t per_10000)
{
    return per_10000 > 0 && sim_below(sim, 10000) < per_10000;
}

uint64_t sim_about(struct sim *sim, uint64_t mean)
{
    return 1 + sim_below(sim, 2 * mean);
}

void sim_mix(struct sim *sim, uint64_t value)
{
    sim->hash = (sim->hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    sim->hash ^= sim->hash >> 29;
}

static struct arena_block *arena_grow(struct arena *arena, size_t size)
{
    struct arena_block *next = arena->current != NULL ? arena->current->next : arena->first;
    if (next == NULL || next->size < size) {
        uint32_t room = size > ARENA_BLOCK ? (uint32_t)size : ARENA_BLOCK;
        struct arena_block *block = malloc(sizeof *block + room);
        if (block == NULL)
            abort();
        *block = (struct arena_block){.next = next, .size = room};
        if (arena->current != NULL)
            arena->current->next = block;
        else
            arena->first = block;
        next = block;
    }
    arena->current = next;
    arena->used = 0;
    return next;
}

void *sim_alloc(struct sim *sim, size_t size)
{
    struct arena *arena = &sim->arena;
    struct arena_block *block = arena->current;
    size = (size + 15) & ~(size_t)15;
    if (block == NULL || arena->used + size > block->size)
        block = arena_grow(arena, size);
    void *memory = (char *)block->data + arena->used;
    arena->used += (uint32_t)size;
    memset(memory, 0, size);
    return memory;
}

/* --- a fresh world --- */

/* A cluster is founded by an entry: its first, on the disks of all voters, so that whoever replays the log knows who they are. */
static struct blob *founding_entry(struct sim *sim)
{
    struct raft_conf founders = {.count = (uint8_t)sim->options.voters};
    char space[RAFT_MEMBERS_MAX * sizeof(struct raft_member)];
    struct buffer encoded = {.data = space, .capacity = sizeof space, .limit = sizeof space - 1};
    for (uint32_t i = 0; i < sim->options.voters; i++) {
        struct raft_member *member = &founders.members[i];
        member->id = sim->nodes[i].id;
        member->role = RAFT_VOTER;
        snprintf(member->name, sizeof member->name, "node-%u", i + 1);
    }
    raft_conf_encode(&founders, &encoded);
    struct bytes data = buffer_bytes(&encoded);
    struct raft_entry entry = {.id = {1, 1}, .type = RAFT_ENTRY_CONF, .data = data.data, .size = (uint32_t)data.size};
    entry.hash = raft_entry_hash(0, &entry);
    return oracle_blob(sim, &entry);
}

static void found(struct sim *sim)
{
    struct blob *founding = founding_entry(sim);
    sim->oracle.conf = founding->conf;
    for (uint32_t i = 0; i < sim->options.voters; i++) {
        struct disk *disk = &sim->nodes[i].disk;
        disk->hard.term = founding->entry.id.term;
        log_image_append(sim, &disk->log, founding);
    }
}

static void begin(struct sim *sim, uint64_t seed)
{
    struct options *o = &sim->options;
    sim->seed = seed;
    random_seed(&sim->random, seed);
    options_draw(sim);
    sim->next_id = 1;
    sim->node_count = o->voters + o->spares;
    for (uint32_t i = 0; i < sim->node_count; i++) {
        struct node *node = &sim->nodes[i];
        node->slot = (uint8_t)i;
        node->id = sim->next_id++;
        node->clock_ms = (int64_t)sim_below(sim, 4000) - 2000;
        node->tick_units = TICK - TICK * o->skew_percent / 200 + (uint32_t)sim_below(sim, TICK * o->skew_percent / 100 + 1);
    }
    const struct raft_conf *nobody = sim_alloc(sim, sizeof *nobody);
    for (uint32_t i = 0; i < sim->node_count; i++)
        sim->nodes[i].disk.machine.conf = nobody;
    found(sim);
    sim->fault_until[FAULT_LOSS] = o->loss > 0 ? UINT64_MAX : 0;
    sim->fault_until[FAULT_REPLAY] = o->replay > 0 ? UINT64_MAX : 0;
}

static void reset(struct sim *sim)
{
    struct sim kept = {.arena = sim->arena, .events = sim->events, .oracle = sim->oracle, .coverage = sim->coverage,
                       .stats = sim->stats};
    stack_world_end(sim);
    kept.stats = sim->stats;
    for (uint32_t i = 0; i < NODES_MAX; i++)
        raft_free(sim->nodes[i].raft);
    memset(sim, 0, sizeof *sim);
    sim->arena = kept.arena;
    sim->arena.current = sim->arena.first;
    sim->arena.used = 0;
    sim->events = kept.events;
    sim->events.count = 0;
    sim->events.order = 0;
    sim->oracle = kept.oracle;
    sim->coverage = kept.coverage;
    sim->stats = kept.stats;
    oracle_reset(sim);
}

/* --- the loop --- */

enum { EVENTS_MAX = 2000000 }; /* the busiest healthy runs need a tenth of it */

static void dispatch(struct sim *sim, const struct event *event)
{
    switch (event->kind) {
    case EVENT_DELIVER:
        network_deliver(sim, event);
        break;
    case EVENT_CLIENT:
        client_event(sim);
        break;
    case EVENT_USER:
        stack_user(sim);
        break;
    case EVENT_FAULT:
        fault_event(sim);
        break;
    default:
        node_event(sim, event, &sim->nodes[event->slot]);
        break;
    }
}

static void mix_event(struct sim *sim, const struct event *event)
{
    const struct node *node = &sim->nodes[event->slot];
    sim_mix(sim, event->at << 8 | (uint64_t)event->kind << 4 | event->slot);
    sim_mix(sim, node->status.last_hash ^ node->status.term ^ node->status.commit << 32);
    if ((event->order & 63) == 0 && node->up)
        sim_mix(sim, raft_hash(node->raft));
}

void sim_run_until(struct sim *sim, uint64_t until)
{
    struct event event;
    while (sim->events.count > 0 && sim->events.heap[0].at < until && event_pop(sim, &event)) {
        sim->now = event.at;
        if (event.order > EVENTS_MAX)
            sim_fail(sim, "more than %d events: answers breed questions", EVENTS_MAX);
        dispatch(sim, &event);
        mix_event(sim, &event);
    }
    sim->now = until;
}

bool sim_run(struct sim *sim, uint64_t seed, bool trace)
{
    reset(sim);
    sim->trace = trace;
    if (setjmp(sim->failed) != 0)
        return false;
    begin(sim, seed);
    if (sim->options.full) {
        sim->stats.full_runs++;
        stack_world_begin(sim);
        event_push(sim, 1, EVENT_USER, NULL, NULL, 0, 0);
    }
    for (uint32_t i = 0; i < sim->node_count; i++)
        node_boot(sim, &sim->nodes[i]);
    event_push(sim, 1, EVENT_CLIENT, NULL, NULL, 0, 0);
    fault_schedule(sim);
    sim_run_until(sim, sim->options.end);
    liveness_run(sim);
    return true;
}

/* --- life --- */

struct sim *sim_new(struct coverage *coverage)
{
    struct sim *sim = calloc(1, sizeof *sim);
    if (sim == NULL)
        abort();
    sim->coverage = coverage;
    return sim;
}

void sim_free(struct sim *sim)
{
    stack_world_end(sim);
    for (uint32_t i = 0; i < NODES_MAX; i++)
        raft_free(sim->nodes[i].raft);
    for (struct arena_block *block = sim->arena.first, *next; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    free(sim->events.heap);
    free(sim->oracle.log);
    free(sim->oracle.leaders);
    free(sim->oracle.votes);
    free(sim->oracle.blobs);
    free(sim->oracle.ops);
    free(sim);
}
