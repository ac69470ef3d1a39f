/* Where all memory of a core comes from. */
#ifndef CHRONOS_RAFT_MEMORY_H
#define CHRONOS_RAFT_MEMORY_H

#include "raft/raft.h"

struct raft_memory {
    struct raft_alloc alloc;
};

void raft_memory_init(struct raft_memory *memory, const struct raft_alloc *alloc); /* NULL: malloc */
void *raft_memory_get(const struct raft_memory *memory, size_t size);              /* zeroed; NULL: none */
void raft_memory_release(const struct raft_memory *memory, void *pointer);         /* accepts NULL */
/* An array with room for at least `count` elements of `element` bytes, holding what was in `array`; *capacity follows. False:
 * nothing changed. */
bool raft_memory_reserve(const struct raft_memory *memory, void **array, uint32_t *capacity, uint32_t count, size_t element);

#endif
