/* Hash map from a byte key to a pointer. Keys are borrowed: they must live in the value or outlive it. Seeded per map
 * (collision attacks by chosen names). One thread. */
#ifndef CHRONOS_BASE_MAP_H
#define CHRONOS_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct map_entry {
    const void *key;
    uint32_t key_size;
    uint32_t hash;
    void *value;
};
struct map {
    struct map_entry *slots; /* open addressing, power of two */
    uint32_t count, capacity, tombstones;
    uint64_t seed;
};
void map_init(struct map *m);
void map_deinit(struct map *m); /* values are the caller's */
void *map_get(const struct map *m, const void *key, size_t key_size); /* NULL if absent */
/* Insert or replace; the new key pointer is kept. The value must not be NULL. *ret_old (may be NULL) gets the replaced
 * value. */
must_use enum status map_put(struct map *m, const void *key, size_t key_size, void *value, void **ret_old);
void *map_remove(struct map *m, const void *key, size_t key_size); /* the removed value or NULL */
/* Iterate: `*cursor` starts at 0; returns NULL at the end. Removing the entry just returned is allowed. */
void *map_next(const struct map *m, uint32_t *cursor);

#endif
