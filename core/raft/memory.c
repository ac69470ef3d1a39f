#include "raft/memory.h"

#include <stdlib.h>
#include <string.h>

static void *allocate(void *arg, size_t size)
{
    (void)arg;
    return malloc(size);
}

static void release(void *arg, void *memory)
{
    (void)arg;
    free(memory);
}

void raft_memory_init(struct raft_memory *memory, const struct raft_alloc *alloc)
{
    memory->alloc = alloc != NULL ? *alloc : (struct raft_alloc){allocate, release, NULL};
}

void *raft_memory_get(const struct raft_memory *memory, size_t size)
{
    void *pointer = memory->alloc.allocate(memory->alloc.arg, size);
    if (pointer != NULL)
        memset(pointer, 0, size);
    return pointer;
}

void raft_memory_release(const struct raft_memory *memory, void *pointer)
{
    if (pointer != NULL)
        memory->alloc.release(memory->alloc.arg, pointer);
}

bool raft_memory_reserve(const struct raft_memory *memory, void **array, uint32_t *capacity, uint32_t count, size_t element)
{
    if (count <= *capacity)
        return true;
    uint32_t grown = *capacity < 16 ? 16 : *capacity;
    while (grown < count) {
        if (grown > UINT32_MAX / 2)
            return false;
        grown *= 2;
    }
    void *larger = memory->alloc.allocate(memory->alloc.arg, grown * element);
    if (larger == NULL)
        return false;
    if (*array != NULL)
        memcpy(larger, *array, *capacity * element);
    raft_memory_release(memory, *array);
    *array = larger;
    *capacity = grown;
    return true;
}
