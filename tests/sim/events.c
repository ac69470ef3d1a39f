/* What happens next: a binary heap by time, then by order of scheduling. */
#include "sim.h"

#include <stdlib.h>

static bool earlier(const struct event *a, const struct event *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void grow(struct event_queue *queue)
{
    queue->capacity = queue->capacity == 0 ? 1024 : queue->capacity * 2;
    queue->heap = realloc(queue->heap, queue->capacity * sizeof queue->heap[0]);
    if (queue->heap == NULL)
        abort();
}

void event_push(struct sim *sim, uint64_t at, enum event_kind kind, const struct node *node, void *data, uint64_t a, uint64_t b)
{
    struct event_queue *queue = &sim->events;
    if (queue->count == queue->capacity)
        grow(queue);
    struct event event = {.at = at, .order = queue->order++, .kind = kind, .data = data, .a = a, .b = b};
    if (node != NULL) {
        event.slot = node->slot;
        event.life = node->life;
    }
    uint32_t i = queue->count++;
    for (; i > 0 && earlier(&event, &queue->heap[(i - 1) / 2]); i = (i - 1) / 2)
        queue->heap[i] = queue->heap[(i - 1) / 2];
    queue->heap[i] = event;
}

bool event_pop(struct sim *sim, struct event *ret)
{
    struct event_queue *queue = &sim->events;
    if (queue->count == 0)
        return false;
    *ret = queue->heap[0];
    struct event last = queue->heap[--queue->count];
    uint32_t i = 0;
    for (uint32_t child; (child = 2 * i + 1) < queue->count; i = child) {
        if (child + 1 < queue->count && earlier(&queue->heap[child + 1], &queue->heap[child]))
            child++;
        if (!earlier(&queue->heap[child], &last))
            break;
        queue->heap[i] = queue->heap[child];
    }
    queue->heap[i] = last;
    return true;
}
