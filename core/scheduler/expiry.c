/* Runs that wait for a node that is not there: as long as the job's catch-up window lasts, for older slots are not run either. */
#include <stddef.h>

#include "scheduler/scheduler_internal.h"

/* How often a run is looked at again that is older than the window and has a node to wait for: that may be lost yet. */
enum { EXPIRY_RECHECK_MS = 10 * 1000 };

void expiry_watch(struct scheduler *s, struct run *run)
{
    int64_t window_ms = run->job != NULL ? run->job->catchup_window_ms : 0;
    if (window_ms == 0)
        heap_remove(&s->expiries, &run->expiry);
    else if (heap_set(&s->expiries, &run->expiry, run->scheduled_ms + window_ms + 1) != STATUS_OK)
        s->again = true; /* out of memory: the next change of the run tries again */
}

void expiries_of_job_changed(struct scheduler *s, const struct job *job)
{
    for (struct run *run = job->runs; run != NULL; run = run->job_next)
        if (run->expiry.position != 0 || (run->list != NULL && run->list != &s->orphans))
            expiry_watch(s, run);
}

/* One that is full, or cannot be reached for the moment, is there; one that was written off is not. */
static bool has_node(const struct scheduler *s, struct demand *demand)
{
    uint32_t nodes = demand_nodes(s, demand);
    for (uint32_t i = 0; i < s->node_count; i++)
        if ((nodes & 1U << i) != 0 && s->nodes[i].health != NODE_LOST)
            return true;
    return false;
}

/* The oldest run whose time is over; NULL: none. */
static struct run *next_expired(struct scheduler *s, int64_t now_ms)
{
    struct heap_node *top;
    while ((top = heap_peek(&s->expiries)) != NULL && top->key <= now_ms) {
        struct run *run = (struct run *)((char *)top - offsetof(struct run, expiry));
        if (run->phase == PHASE_WAITING && run_is_blocked(run))
            heap_remove(&s->expiries, top); /* it waits for others of its job again */
        else if (!has_node(s, run->demand))
            return run;
        else if (heap_set(&s->expiries, top, now_ms + EXPIRY_RECHECK_MS) != STATUS_OK)
            return NULL; /* a node that is in the heap needs no memory */
    }
    return NULL;
}

void expiries_propose(struct scheduler *s, int64_t now_ms)
{
    struct run *run;
    while ((run = next_expired(s, now_ms)) != NULL) {
        struct close_attempt items[DECISIONS_PER_ENTRY_MAX];
        uint32_t count = 0;
        struct flight *flight = flight_begin(s, COMMAND_CLOSE);
        if (flight == NULL)
            return;
        for (; run != NULL && count < DECISIONS_PER_ENTRY_MAX; run = next_expired(s, now_ms)) {
            if (!flight_add(flight, (union flight_item){.execution = run->execution}))
                break;
            items[count++] = (struct close_attempt){.execution = run->execution, .attempt = run->attempt,
                                                    .reason = REASON_CATCHUP_WINDOW};
            run_unlist(s, run);
            run->in_flight = true;
        }
        close_encode(items, count, &s->arena);
        flight_end(s, flight);
        if (count == 0)
            return; /* out of memory */
    }
}
