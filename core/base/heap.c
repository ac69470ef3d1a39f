#include "base/heap.h"

#include <assert.h>
#include <stdlib.h>

enum { FIRST_CAPACITY = 16 };

void heap_init(struct heap *h)
{
    *h = (struct heap){0};
}

void heap_deinit(struct heap *h)
{
    for (uint32_t i = 0; i < h->count; i++)
        h->nodes[i]->position = 0;
    free(h->nodes);
    *h = (struct heap){0};
}

enum status heap_reserve(struct heap *h, uint32_t capacity)
{
    if (capacity <= h->capacity)
        return STATUS_OK;
    struct heap_node **nodes = reallocarray(h->nodes, capacity, sizeof *nodes);
    if (!nodes)
        return STATUS_NO_MEMORY;
    h->nodes = nodes;
    h->capacity = capacity;
    return STATUS_OK;
}

static void place(struct heap *h, uint32_t index, struct heap_node *node)
{
    h->nodes[index] = node;
    node->position = index + 1;
}

static void sift_up(struct heap *h, uint32_t index)
{
    struct heap_node *node = h->nodes[index];
    while (index > 0) {
        uint32_t parent = (index - 1) / 2;
        if (h->nodes[parent]->key <= node->key)
            break;
        place(h, index, h->nodes[parent]);
        index = parent;
    }
    place(h, index, node);
}

static void sift_down(struct heap *h, uint32_t index)
{
    struct heap_node *node = h->nodes[index];
    for (;;) {
        uint64_t child = 2 * (uint64_t)index + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && h->nodes[child + 1]->key < h->nodes[child]->key)
            child++;
        if (node->key <= h->nodes[child]->key)
            break;
        place(h, index, h->nodes[child]);
        index = (uint32_t)child;
    }
    place(h, index, node);
}

/* The node at `index` may have to go either way; at most one of the two moves it. */
static void restore(struct heap *h, uint32_t index)
{
    struct heap_node *node = h->nodes[index];
    sift_up(h, index);
    if (node->position == index + 1)
        sift_down(h, index);
}

static bool holds(const struct heap *h, const struct heap_node *node)
{
    return node->position <= h->count && h->nodes[node->position - 1] == node;
}

enum status heap_set(struct heap *h, struct heap_node *node, int64_t key)
{
    if (node->position > 0) {
        assert(holds(h, node));
        node->key = key;
        restore(h, node->position - 1);
        return STATUS_OK;
    }
    if (h->count == h->capacity) {
        if (h->capacity > UINT32_MAX / 2)
            return STATUS_NO_MEMORY;
        enum status status = heap_reserve(h, h->capacity ? h->capacity * 2 : FIRST_CAPACITY);
        if (status != STATUS_OK)
            return status;
    }
    node->key = key;
    place(h, h->count++, node);
    sift_up(h, h->count - 1);
    return STATUS_OK;
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    if (node->position == 0)
        return;
    assert(holds(h, node));
    uint32_t index = node->position - 1;
    struct heap_node *last = h->nodes[--h->count];
    node->position = 0;
    if (last == node)
        return;
    place(h, index, last);
    restore(h, index);
}

struct heap_node *heap_peek(const struct heap *h)
{
    return h->count > 0 ? h->nodes[0] : NULL;
}
