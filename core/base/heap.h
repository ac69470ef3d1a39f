/* Intrusive binary min-heap over int64 keys: O(log n) insert, update and remove, no allocation per operation beyond
 * the pointer array's growth (heap_reserve makes even that explicit). One thread. */
#ifndef CHRONOS_BASE_HEAP_H
#define CHRONOS_BASE_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct heap_node {
    int64_t key;
    uint32_t position; /* 1-based place in the heap; 0 = not in a heap */
};
struct heap {
    struct heap_node **nodes;
    uint32_t count, capacity;
};
void heap_init(struct heap *h);
void heap_deinit(struct heap *h);
must_use enum status heap_reserve(struct heap *h, uint32_t capacity);
/* Insert, or move an inserted node to its new key. Equal keys: no order promised. */
must_use enum status heap_set(struct heap *h, struct heap_node *node, int64_t key);
void heap_remove(struct heap *h, struct heap_node *node); /* a node that is in no heap is left alone */
struct heap_node *heap_peek(const struct heap *h);        /* NULL when empty */

#endif
