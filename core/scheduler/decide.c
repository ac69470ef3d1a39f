/* Due slots to decisions: walk from the mark to now under the job's policy.
 *
 * A slot is missed when it is older than the misfire threshold. Of the missed ones, those beyond the catch-up window are
 * dropped, the policy keeps the newest few, and the rest is dropped as a range. A slot that is merely late is run. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler/scheduler_internal.h"

/* --- the walk --- */

static uint32_t kept_missed(const struct job *job)
{
    if (job->missed_policy == MISSED_POLICY_IGNORE)
        return 0;
    return job->missed_policy == MISSED_POLICY_EXECUTE_ONE ? 1 : job->catchup_limit;
}

static void range_add(struct decided_range *range, int64_t first_ms, int64_t last_ms, uint64_t count, enum reason reason)
{
    if (range->count == 0)
        *range = (struct decided_range){.first_ms = first_ms, .reason = reason};
    range->last_ms = last_ms;
    range->count += count;
}

static enum reason drop_reason(const struct job *job)
{
    switch (job->missed_policy) {
    case MISSED_POLICY_IGNORE: return REASON_IGNORED;
    case MISSED_POLICY_EXECUTE_ALL: return REASON_CATCHUP_LIMIT;
    default: return REASON_MISSED;
    }
}

static bool walk_begin(struct walk *walk, struct job *job, int64_t now_ms)
{
    uint32_t capacity = kept_missed(job);
    if (walk->kept_capacity < capacity) {
        int64_t *kept = realloc(walk->kept, capacity * sizeof *kept);
        if (kept == NULL)
            return false;
        walk->kept = kept;
        walk->kept_capacity = capacity;
    }
    walk->job = job;
    walk->from_ms = walk->at_ms = job->mark_ms;
    walk->now_ms = now_ms;
    walk->kept_count = walk->kept_first = 0;
    walk->expired = walk->dropped = (struct decided_range){.count = 0};
    walk->reach_ms = walk->counted_ms = walk->landed_ms = 0;
    return true;
}

/* One missed slot: the ring keeps the newest, what falls out of it is dropped. */
static void walk_missed(struct walk *walk, int64_t slot_ms)
{
    const struct job *job = walk->job;
    uint32_t keep = kept_missed(job);
    if (job->catchup_window_ms > 0 && walk->now_ms - slot_ms > job->catchup_window_ms) {
        range_add(&walk->expired, slot_ms, slot_ms, 1, REASON_CATCHUP_WINDOW);
        return;
    }
    if (keep == 0) {
        range_add(&walk->dropped, slot_ms, slot_ms, 1, drop_reason(job));
        return;
    }
    if (walk->kept_count == keep) {
        int64_t oldest = walk->kept[walk->kept_first];
        range_add(&walk->dropped, oldest, oldest, 1, drop_reason(job));
        walk->kept_first = (walk->kept_first + 1) % keep;
        walk->kept_count--;
    }
    walk->kept[(walk->kept_first + walk->kept_count) % keep] = slot_ms;
    walk->kept_count++;
}

/* --- gaps of more than GAP_COUNT_MAX slots are not counted to their end --- */

/* Beyond the catch-up window: on to the window's edge. The range then ends there, not at a slot. */
static void skip_expired(struct walk *walk)
{
    int64_t edge_ms = walk->now_ms - walk->job->catchup_window_ms - 1; /* the last instant that is too old */
    if (edge_ms <= walk->at_ms)
        return;
    walk->expired.at_least = true;
    walk->expired.last_ms = walk->at_ms = edge_ms;
}

static void land(struct walk *walk, int64_t limit_ms)
{
    int64_t target_ms = limit_ms - walk->reach_ms;
    walk->landed_ms = walk->at_ms = target_ms > walk->counted_ms ? target_ms : walk->counted_ms;
}

/* On to where the newest ones should lie, going by the distance between those seen. */
static void leap(struct walk *walk, int64_t limit_ms)
{
    int64_t keep = kept_missed(walk->job);
    int64_t spacing_ms = (walk->at_ms - walk->dropped.first_ms) / (int64_t)walk->dropped.count + 1;
    walk->counted_ms = walk->at_ms;
    walk->reach_ms = keep == 0 ? 1 : (keep + 2) * spacing_ms * 2;
    land(walk, limit_ms);
}

static int64_t *kept_slot(const struct walk *walk, uint32_t i)
{
    return &walk->kept[(walk->kept_first + i) % kept_missed(walk->job)];
}

/* Slots are not spread evenly ("* * * * * MON"): where fewer than wanted lay behind the leap, a shorter one is made. */
static bool leapt_too_far(struct walk *walk, int64_t limit_ms)
{
    enum { LEAP_GROWTH = 8 };
    if (walk->landed_ms == walk->counted_ms || walk->kept_count == 0 || *kept_slot(walk, 0) > walk->counted_ms)
        return false;
    while (walk->kept_count > 0 && *kept_slot(walk, walk->kept_count - 1) > walk->counted_ms)
        walk->kept_count--; /* found again */
    walk->reach_ms *= LEAP_GROWTH;
    land(walk, limit_ms);
    return true;
}

static void count_leap(struct walk *walk)
{
    if (walk->landed_ms == walk->counted_ms)
        return;
    walk->dropped.at_least = true;
    if (walk->dropped.last_ms < walk->landed_ms)
        walk->dropped.last_ms = walk->landed_ms;
}

/* Goes on until the first slot that is not missed, or the budget is spent. True when it is complete. */
static bool walk_on(const struct scheduler *s, struct walk *walk, uint32_t *budget)
{
    int64_t slot_ms, limit_ms = walk->now_ms - s->config.misfire_threshold_ms;
    do {
        while (schedule_next(walk->job->schedule, walk->at_ms, &slot_ms) && slot_ms < limit_ms) {
            if (*budget == 0)
                return false;
            (*budget)--;
            walk->at_ms = slot_ms;
            walk_missed(walk, slot_ms);
            if (walk->expired.count == GAP_COUNT_MAX && !walk->expired.at_least)
                skip_expired(walk);
            if (walk->dropped.count == GAP_COUNT_MAX && walk->reach_ms == 0)
                leap(walk, limit_ms);
        }
    } while (leapt_too_far(walk, limit_ms));
    count_leap(walk);
    return true;
}

/* --- the decision --- */

static bool reserve_slots(struct scheduler *s, uint32_t count)
{
    if (s->slot_capacity >= count)
        return true;
    struct decided_slot *slots = realloc(s->slots, count * sizeof *slots);
    if (slots == NULL)
        return false;
    s->slots = slots;
    s->slot_capacity = count;
    return true;
}

static void add_run(struct scheduler *s, struct decision *decision, int64_t slot_ms, enum run_trigger trigger, int64_t now_ms,
                    uint32_t home)
{
    s->slots[decision->slot_count++] = (struct decided_slot){.execution = id_next(&s->ids, now_ms), .scheduled_ms = slot_ms,
                                                             .trigger = trigger, .node = NODE_NONE, .home = (uint8_t)home};
}

/* `homes`: the nodes that have a run each; 0: there is one run, for any node. */
static void add_slot(struct scheduler *s, struct decision *decision, int64_t slot_ms, enum run_trigger trigger, int64_t now_ms,
                     uint32_t homes)
{
    if (homes == 0)
        add_run(s, decision, slot_ms, trigger, now_ms, 0);
    for (uint32_t i = 0; i < s->node_count; i++)
        if ((homes & 1U << i) != 0)
            add_run(s, decision, slot_ms, trigger, now_ms, i + 1);
}

static uint32_t homes_of(const struct scheduler *s, const struct job *job)
{
    return demand_is_for_all(job->demand) ? nodes_of_all(s, job) : 0;
}

static uint32_t runs_per_slot(uint32_t homes)
{
    uint32_t count = 0;
    for (; homes != 0; homes &= homes - 1)
        count++;
    return count > 0 ? count : 1;
}

/* Slots that are due and not missed, behind those that the walk passed. */
static uint32_t count_on_time(const struct walk *walk, uint32_t max, int64_t *ret_last_ms)
{
    int64_t at = walk->at_ms, slot_ms;
    uint32_t count = 0;
    while (count < max && schedule_next(walk->job->schedule, at, &slot_ms) && slot_ms <= walk->now_ms) {
        at = slot_ms;
        count++;
    }
    *ret_last_ms = at;
    return count;
}

/* On-time slots come first, catch-up after them. More than fits leaves the rest to the next decision: then strictly in
 * order of time, so that the mark can move to the last one taken. */
static void decide(struct scheduler *s, const struct walk *walk, struct decision *ret)
{
    struct job *job = walk->job;
    int64_t last_ms = walk->at_ms, slot_ms = walk->at_ms, ignored;
    uint32_t homes = homes_of(s, job), most = DECISION_SLOTS_MAX / runs_per_slot(homes);
    uint32_t caught = walk->kept_count < most ? walk->kept_count : most;
    uint32_t on_time = caught == walk->kept_count ? count_on_time(walk, most - caught, &last_ms) : 0;
    *ret = (struct decision){.serial = job->serial, .job_version = job->version, .from_mark_ms = walk->from_ms,
                             .slots = s->slots, .ranges = s->ranges};
    for (uint32_t i = 0; i < on_time && schedule_next(job->schedule, slot_ms, &slot_ms); i++)
        add_slot(s, ret, slot_ms, TRIGGER_SCHEDULE, walk->now_ms, homes);
    for (uint32_t i = 0; i < caught; i++)
        add_slot(s, ret, *kept_slot(walk, i), TRIGGER_CATCHUP, walk->now_ms, homes);
    if (walk->expired.count > 0)
        s->ranges[ret->range_count++] = walk->expired;
    if (walk->dropped.count > 0)
        s->ranges[ret->range_count++] = walk->dropped;
    ret->to_mark_ms = caught < walk->kept_count ? *kept_slot(walk, caught - 1) : last_ms;
    ret->disable_after =
        job->schedule != NULL && schedule_is_once(job->schedule) && !schedule_next(job->schedule, ret->to_mark_ms, &ignored);
}

/* Does the job have a run already that one at this home (0: anywhere) must wait for? */
static bool is_taken(const struct job *job, uint8_t home)
{
    if (home == 0)
        return job->active > 0;
    for (const struct run *run = job->runs; run != NULL; run = run->job_next)
        if (run_shares_turn(run, home - 1))
            return true;
    return false;
}

/* -1, and why. */
static int place_for(struct scheduler *s, const struct job *job, struct decided_slot *slot)
{
    bool catchup = slot->trigger == TRIGGER_CATCHUP;
    if (slot->home == 0)
        return node_choose(s, job->demand, catchup, &slot->reason);
    return node_takes(s, slot->home - 1, catchup, &slot->reason) ? slot->home - 1 : -1;
}

/* A run that will wait for others of its job needs no place yet. */
static void place_slots(struct scheduler *s, struct flight *flight, const struct job *job, struct decision *decision)
{
    struct decided_slot *slots = s->slots;
    uint32_t first = 0; /* so many runs, those of the first slot, wait for none of this decision */
    while (first < decision->slot_count && slots[first].scheduled_ms == slots[0].scheduled_ms)
        first++;
    for (uint32_t i = 0; i < decision->slot_count; i++) {
        bool catchup = slots[i].trigger == TRIGGER_CATCHUP;
        if (job->concurrency != CONCURRENCY_ALLOW && (i >= first || is_taken(job, slots[i].home)))
            continue;
        int node = place_for(s, job, &slots[i]);
        if (node < 0)
            continue;
        slots[i].node = (uint8_t)node;
        flight_place(s, flight, node, catchup);
    }
}

struct deciding {
    struct flight *flight;
    struct decide_builder builder;
    uint32_t slots;
    size_t begun_at;
};

static void flush_decisions(struct scheduler *s, struct deciding *deciding)
{
    if (deciding->flight == NULL)
        return;
    decide_end(&deciding->builder);
    flight_end(s, deciding->flight);
    deciding->flight = NULL;
}

static bool begin_decisions(struct scheduler *s, struct deciding *deciding)
{
    struct placement_node nodes[COMMAND_NODES_MAX];
    if (deciding->flight != NULL)
        return true;
    deciding->flight = flight_begin(s, COMMAND_DECIDE);
    if (deciding->flight == NULL)
        return false;
    nodes_encode(s, nodes);
    deciding->begun_at = s->arena.size;
    deciding->slots = 0;
    decide_begin(&deciding->builder, &s->arena, nodes, s->node_count);
    return true;
}

static bool propose_decision(struct scheduler *s, struct deciding *deciding, const struct walk *walk)
{
    struct decision decision;
    struct job *job = walk->job;
    if (!reserve_slots(s, DECISION_SLOTS_MAX) || !begin_decisions(s, deciding) ||
        !flight_add(deciding->flight, (union flight_item){.serial = job->serial}))
        return false;
    decide(s, walk, &decision);
    place_slots(s, deciding->flight, job, &decision);
    decide_add(&deciding->builder, &decision);
    job->in_flight = true;
    heap_remove(&s->due, &job->due);
    s->stats.decided_slots += decision.slot_count;
    deciding->slots += decision.slot_count;
    if (deciding->flight->count >= DECISIONS_PER_ENTRY_MAX || deciding->slots >= DECISIONS_PER_ENTRY_MAX ||
        s->arena.size - deciding->begun_at > DECISION_ENTRY_BYTES_MAX)
        flush_decisions(s, deciding);
    return true;
}

static struct job *next_due(struct scheduler *s, int64_t now_ms)
{
    struct heap_node *top = heap_peek(&s->due);
    if (top == NULL || top->key > now_ms)
        return NULL;
    return (struct job *)((char *)top - offsetof(struct job, due));
}

void slots_propose(struct scheduler *s, int64_t now_ms)
{
    struct deciding deciding = {.flight = NULL};
    uint32_t total = WALK_BUDGET;
    struct job *job;
    while ((job = s->walk.job != NULL ? s->walk.job : next_due(s, now_ms)) != NULL) {
        uint32_t budget = total < WALK_INSTANTS_PER_TURN ? total : WALK_INSTANTS_PER_TURN;
        if (s->walk.job == NULL && !walk_begin(&s->walk, job, now_ms))
            break;
        uint32_t before = budget;
        bool complete = walk_on(s, &s->walk, &budget);
        total -= before - budget;
        if (!complete) {
            s->again = true; /* the next turn goes on from here */
            break;
        }
        bool proposed = propose_decision(s, &deciding, &s->walk);
        s->walk.job = NULL;
        if (!proposed)
            break;
        if (total == 0) {
            s->again = true;
            break;
        }
    }
    flush_decisions(s, &deciding);
}

/* The whole walk at once, for the edit of a user. BUSY where a turn's work or one decision does not hold what is due: the
 * leader's own decisions take it, one after the other, and then the edit gets through. */
enum status slots_due_now(struct scheduler *s, struct job *job, int64_t now_ms, struct decision *ret, bool *ret_any)
{
    struct walk walk = {.job = NULL};
    uint32_t budget = WALK_BUDGET;
    int64_t next_ms;
    if (!reserve_slots(s, DECISION_SLOTS_MAX) || !walk_begin(&walk, job, now_ms)) {
        free(walk.kept);
        return STATUS_NO_MEMORY;
    }
    bool complete = walk_on(s, &walk, &budget);
    if (complete)
        decide(s, &walk, ret);
    if (complete && homes_of(s, job) != 0) {
        nodes_encode(s, s->due_nodes);
        ret->nodes = s->due_nodes;
        ret->node_count = s->node_count;
    }
    free(walk.kept);
    if (!complete || (schedule_next(job->schedule, ret->to_mark_ms, &next_ms) && next_ms <= now_ms))
        return STATUS_BUSY;
    ret->disable_after = false; /* the edit says what becomes of the job */
    *ret_any = ret->slot_count > 0 || ret->range_count > 0;
    if (!*ret_any)
        ret->to_mark_ms = ret->from_mark_ms;
    return STATUS_OK;
}
