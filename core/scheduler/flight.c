/* Commands that were given out and have not come back. While one is on its way, what it speaks of is left alone: a job has at
 * most one decision in flight, a run at most one assignment, close or cancel. */
#include <assert.h>
#include <stdlib.h>

#include "scheduler/scheduler_internal.h"

struct flight *flight_begin(struct scheduler *s, enum command_type type)
{
    if (s->command_count == SCHEDULER_COMMANDS_MAX) {
        s->again = true;
        return NULL;
    }
    for (uint32_t i = 0; i < FLIGHTS_MAX; i++) {
        struct flight *flight = &s->flights[i];
        if (flight->used)
            continue;
        flight->used = true;
        s->flight_count++;
        flight->type = type;
        flight->count = 0;
        for (uint32_t n = 0; n < COMMAND_NODES_MAX; n++)
            flight->placed[n] = flight->placed_catchup[n] = 0;
        return flight;
    }
    return NULL; /* results free some, and a result is followed by another run */
}

bool flight_add(struct flight *flight, union flight_item item)
{
    if (flight->count == flight->capacity) {
        uint32_t capacity = flight->capacity == 0 ? 64 : flight->capacity * 2;
        union flight_item *items = realloc(flight->items, capacity * sizeof *items);
        if (items == NULL)
            return false;
        flight->items = items;
        flight->capacity = capacity;
    }
    flight->items[flight->count++] = item;
    return true;
}

void flight_place(struct scheduler *s, struct flight *flight, int node, bool catchup)
{
    s->nodes[node].active++;
    s->nodes[node].placed = ++s->placements;
    flight->placed[node]++;
    if (catchup) {
        s->nodes[node].active_catchup++;
        flight->placed_catchup[node]++;
    }
}

void flight_end(struct scheduler *s, struct flight *flight)
{
    uint64_t slot = (uint64_t)(flight - s->flights);
    assert(s->arena.failed == STATUS_OK);
    s->commands[s->command_count].token = ((uint64_t)flight->generation << 32) | slot;
    s->command_count++;
    s->offsets[s->command_count] = s->arena.size;
}

static void release_job(struct scheduler *s, uint64_t serial)
{
    struct job *job = scheduler_job(s, serial);
    if (job == NULL)
        return;
    job->in_flight = false;
    scheduler_queue_job(s, job);
    scheduler_attend(s, job);
}

static void release_run(struct scheduler *s, const struct id *execution)
{
    struct run *run = scheduler_find_run(s, execution);
    if (run == NULL)
        return;
    run->in_flight = false;
    run_classify(s, run);
    if (run->job != NULL)
        scheduler_attend(s, run->job);
}

void flight_release(struct scheduler *s, struct flight *flight)
{
    bool holds_jobs = flight->type == COMMAND_DECIDE;
    for (uint32_t n = 0; n < s->node_count; n++) {
        s->nodes[n].active -= flight->placed[n];
        s->nodes[n].active_catchup -= flight->placed_catchup[n];
    }
    flight->used = false;
    s->flight_count--;
    flight->generation++;
    for (uint32_t i = 0; i < flight->count; i++) {
        if (holds_jobs)
            release_job(s, flight->items[i].serial);
        else
            release_run(s, &flight->items[i].execution);
    }
    if (flight->capacity > 4096) { /* a burst's memory does not stay */
        free(flight->items);
        flight->items = NULL;
        flight->capacity = 0;
    }
}
