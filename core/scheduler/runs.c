/* Open runs: what each asks of the leader now, and the commands that give it. */
#include <stddef.h>

#include "scheduler/scheduler_internal.h"

/* --- lists --- */

void run_list_push(struct run_list *list, struct run *run)
{
    run->list = list;
    run->next = NULL;
    run->previous = list->tail;
    if (list->tail != NULL)
        list->tail->next = run;
    else
        list->head = run;
    list->tail = run;
    list->count++;
}

void run_list_remove(struct run *run)
{
    struct run_list *list = run->list;
    if (list == NULL)
        return;
    *(run->previous != NULL ? &run->previous->next : &list->head) = run->next;
    *(run->next != NULL ? &run->next->previous : &list->tail) = run->previous;
    list->count--;
    run->list = NULL;
    run->next = run->previous = NULL;
}

bool run_is_under_way(const struct run *run)
{
    return run->phase == PHASE_ASSIGNED || run->phase == PHASE_RUNNING;
}

bool run_shares_turn(const struct run *run, int node)
{
    return node < 0 || !run->pinned || run->node < 0 || run->node == node;
}

/* Puts the run where its phase belongs; level-triggered: whatever happened before does not matter. */
void run_classify(struct scheduler *s, struct run *run)
{
    enum reason reason;
    run_unlist(s, run);
    heap_remove(&s->retries, &run->retry);
    if (run->in_flight)
        return;
    if (attempt_is_over(s, run, &reason) || run_is_stranded(s, run))
        run_list_push(&s->orphans, run);
    else if (run->phase == PHASE_READY)
        run_enqueue(s, run);
    else if (run->phase == PHASE_BACKOFF && heap_set(&s->retries, &run->retry, run->retry.key) != STATUS_OK)
        s->again = true; /* out of memory: the next change of the run tries again */
}

void run_unlink(struct scheduler *s, struct run *run)
{
    run_unlist(s, run);
    heap_remove(&s->retries, &run->retry);
    node_vacate(s, run);
    if (run->job != NULL) {
        *(run->job_previous != NULL ? &run->job_previous->job_next : &run->job->runs) = run->job_next;
        if (run->job_next != NULL)
            run->job_next->job_previous = run->job_previous;
    }
}

/* --- closing attempts of sessions that are over, and runs whose node is gone --- */

static void propose_closes(struct scheduler *s)
{
    while (s->orphans.head != NULL) {
        struct close_attempt items[DECISIONS_PER_ENTRY_MAX];
        uint32_t count = 0;
        struct flight *flight = flight_begin(s, COMMAND_CLOSE);
        if (flight == NULL)
            return;
        while (s->orphans.head != NULL && count < DECISIONS_PER_ENTRY_MAX) {
            struct run *run = s->orphans.head;
            enum reason reason = REASON_NODE_LOSS;
            if (!flight_add(flight, (union flight_item){.execution = run->execution}))
                break;
            (void)attempt_is_over(s, run, &reason); /* it is in this list because it is, or because it waits in vain */
            items[count++] = (struct close_attempt){.execution = run->execution, .attempt = run->attempt,
                                                    .session = run_is_under_way(run) ? run->session : 0, .reason = reason};
            run_list_remove(run);
            run->in_flight = true;
        }
        close_encode(items, count, &s->arena);
        flight_end(s, flight);
    }
}

/* --- assignments --- */

struct assigning {
    struct flight *flight;
    struct assignment items[DECISIONS_PER_ENTRY_MAX];
    uint32_t count;
};

static void flush_assignments(struct scheduler *s, struct assigning *assigning)
{
    struct placement_node nodes[COMMAND_NODES_MAX];
    if (assigning->flight == NULL)
        return;
    nodes_encode(s, nodes);
    assign_encode(nodes, s->node_count, assigning->items, assigning->count, &s->arena);
    flight_end(s, assigning->flight);
    assigning->flight = NULL;
    assigning->count = 0;
}

/* False: no command can be begun now. */
static bool assign(struct scheduler *s, struct assigning *assigning, struct run *run, int node)
{
    if (assigning->flight == NULL)
        assigning->flight = flight_begin(s, COMMAND_ASSIGN);
    if (assigning->flight == NULL || !flight_add(assigning->flight, (union flight_item){.execution = run->execution}))
        return false;
    assigning->items[assigning->count++] =
        (struct assignment){.execution = run->execution, .attempt = run->attempt, .node = (uint8_t)node};
    flight_place(s, assigning->flight, node, run->trigger == TRIGGER_CATCHUP);
    run_unlist(s, run);
    heap_remove(&s->retries, &run->retry);
    run->in_flight = true;
    if (assigning->count == DECISIONS_PER_ENTRY_MAX)
        flush_assignments(s, assigning);
    return true;
}

/* Whoever has waited longest is first; whoever finds no node lets those pass that ask for something else. */
static bool assign_waiting(struct scheduler *s, struct assigning *assigning, bool catchup)
{
    struct run_queue *queue, *passed = NULL;
    enum reason reason;
    bool room = true;
    while (room && (queue = queue_first(s, catchup)) != NULL) {
        struct run *run = queue->runs.head;
        int node = node_choose(s, run->demand, catchup, &reason);
        if (node >= 0) {
            room = assign(s, assigning, run, node);
            continue;
        }
        heap_remove(&s->waiting[catchup], &queue->turn); /* these wait for room; a report or a node brings it */
        queue->passed = passed;
        passed = queue;
    }
    for (; passed != NULL; passed = passed->passed)
        queue_settle(s, passed, catchup);
    return room;
}

/* Retries that are due. One without a node joins those that are ready, so that it does not hold the heap's top. */
static bool assign_retries(struct scheduler *s, struct assigning *assigning, int64_t now_ms)
{
    struct heap_node *top;
    while ((top = heap_peek(&s->retries)) != NULL && top->key <= now_ms) {
        struct run *run = (struct run *)((char *)top - offsetof(struct run, retry));
        enum reason reason;
        int node = node_choose(s, run->demand, run->trigger == TRIGGER_CATCHUP, &reason);
        if (node >= 0) {
            if (!assign(s, assigning, run, node))
                return false;
            continue;
        }
        heap_remove(&s->retries, &run->retry);
        run_enqueue(s, run);
    }
    return true;
}

/* --- runs that wait for others of their job --- */

/* Of those that are pinned to the node; -1: of the others. */
static bool is_of(const struct run *run, int node)
{
    return run->phase == PHASE_WAITING && (run->pinned ? run->node : -1) == node;
}

/* NULL also while one is on its way already: the next must not overtake it. */
static struct run *oldest_waiting(const struct job *job, int node)
{
    struct run *oldest = NULL;
    for (struct run *run = job->runs; run != NULL; run = run->job_next) {
        if (!is_of(run, node))
            continue;
        if (run->in_flight)
            return NULL;
        if (oldest == NULL || id_compare(&run->execution, &oldest->execution) < 0)
            oldest = run;
    }
    return oldest;
}

/* `replace`: what is active makes room for what waits. False: no command can be begun now. */
static bool cancel_replaced(struct scheduler *s, struct job *job, int node)
{
    struct cancel_run items[DECISIONS_PER_ENTRY_MAX];
    uint32_t count = 0;
    struct flight *flight = NULL;
    for (struct run *run = job->runs; run != NULL && count < DECISIONS_PER_ENTRY_MAX; run = run->job_next) {
        if (run->phase == PHASE_WAITING || run->in_flight || run->cancel != REASON_NONE || !run_shares_turn(run, node))
            continue;
        if (flight == NULL)
            flight = flight_begin(s, COMMAND_CANCEL);
        if (flight == NULL)
            return false;
        if (!flight_add(flight, (union flight_item){.execution = run->execution}))
            break;
        items[count++] = (struct cancel_run){.execution = run->execution, .reason = REASON_REPLACED};
        run->in_flight = true;
        run_unlist(s, run);
        heap_remove(&s->retries, &run->retry);
    }
    if (flight == NULL)
        return true;
    cancel_encode(items, count, &s->arena);
    flight_end(s, flight);
    return true;
}

static bool release_waiting(struct scheduler *s, struct assigning *assigning, struct job *job, int at)
{
    enum reason reason;
    struct run *run = oldest_waiting(job, at);
    if (run == NULL)
        return true;
    int node = node_choose(s, run->demand, run->trigger == TRIGGER_CATCHUP, &reason);
    if (node < 0) {
        if (run->expiry.position == 0)
            expiry_watch(s, run);
        scheduler_attend(s, job); /* looked at again with the next change */
        return true;
    }
    return assign(s, assigning, run, node);
}

/* Is any at work that the waiting ones have to wait for? */
static bool is_busy(const struct job *job, int node)
{
    if (node < 0)
        return job->active != job->waiting;
    for (const struct run *run = job->runs; run != NULL; run = run->job_next)
        if (run->phase != PHASE_WAITING && run_shares_turn(run, node))
            return true;
    return false;
}

bool run_is_blocked(const struct run *run)
{
    return run->job != NULL && is_busy(run->job, run->pinned ? run->node : -1);
}

static bool attend(struct scheduler *s, struct assigning *assigning, struct job *job, int node)
{
    if (!is_busy(job, node))
        return release_waiting(s, assigning, job, node);
    if (job->concurrency != CONCURRENCY_REPLACE)
        return true;
    flush_assignments(s, assigning); /* one command is built at a time */
    return cancel_replaced(s, job, node);
}

/* Runs that are pinned to a node wait for those on that node alone. */
static void attend_each_node(struct scheduler *s, struct assigning *assigning, struct job *job)
{
    uint32_t nodes = 0; /* where runs wait */
    bool done = true, elsewhere = false;
    for (const struct run *run = job->runs; run != NULL; run = run->job_next) {
        bool waits = run->phase == PHASE_WAITING;
        if (waits && run->pinned && run->node >= 0)
            nodes |= 1U << run->node;
        else
            elsewhere |= waits;
    }
    if (elsewhere)
        done = attend(s, assigning, job, -1);
    for (int i = 0; i < (int)s->node_count && done; i++)
        if ((nodes & 1U << i) != 0)
            done = attend(s, assigning, job, i);
    if (!done)
        scheduler_attend(s, job);
}

static void attend_jobs(struct scheduler *s, struct assigning *assigning)
{
    struct job *job = s->attention;
    s->attention = NULL;
    for (struct job *next; job != NULL; job = next) {
        next = job->attention_next;
        job->in_attention = false;
        job->attention_next = NULL;
        if (job->waiting == 0 || job->in_flight)
            continue;
        attend_each_node(s, assigning, job);
    }
}

void runs_propose(struct scheduler *s, int64_t now_ms)
{
    struct assigning assigning = {.flight = NULL};
    propose_closes(s);
    bool room = assign_retries(s, &assigning, now_ms);
    room = room && assign_waiting(s, &assigning, false);
    attend_jobs(s, &assigning);
    if (room)
        (void)assign_waiting(s, &assigning, true); /* it is the last */
    flush_assignments(s, &assigning);
    expiries_propose(s, now_ms);
}
