#include "base/map.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/id.h"

/* A slot is live when it has a value. A dead one is either never used (hash 0) or a tombstone, which a search walks
 * over and an insert may take. */
enum { FIRST_CAPACITY = 16, CAPACITY_MAX = 1 << 30, TOMBSTONE = 1 };

void map_init(struct map *m)
{
    *m = (struct map){0};
    random_bytes_secure(&m->seed, sizeof m->seed);
}

void map_deinit(struct map *m)
{
    free(m->slots);
    *m = (struct map){.seed = m->seed};
}

static bool is_live(const struct map_entry *slot)
{
    return slot->value != NULL;
}

static bool is_tombstone(const struct map_entry *slot)
{
    return !slot->value && slot->hash == TOMBSTONE;
}

static bool matches(const struct map_entry *slot, uint32_t hash, const void *key, size_t key_size)
{
    return is_live(slot) && slot->hash == hash && slot->key_size == key_size &&
           (key_size == 0 || memcmp(slot->key, key, key_size) == 0);
}

static uint32_t hash_of(const struct map *m, const void *key, size_t key_size)
{
    return (uint32_t)hash64(m->seed, key, key_size);
}

/* The slot that holds the key, or NULL. Ends, because a quarter of the slots is never used. */
static struct map_entry *find(const struct map *m, uint32_t hash, const void *key, size_t key_size)
{
    if (m->capacity == 0)
        return NULL;
    uint32_t mask = m->capacity - 1;
    for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
        struct map_entry *slot = &m->slots[i];
        if (matches(slot, hash, key, key_size))
            return slot;
        if (!is_live(slot) && !is_tombstone(slot))
            return NULL;
    }
}

static struct map_entry *first_dead(struct map_entry *slots, uint32_t capacity, uint32_t hash)
{
    uint32_t mask = capacity - 1, i = hash & mask;
    while (is_live(&slots[i]))
        i = (i + 1) & mask;
    return &slots[i];
}

/* Room for one more entry: a new array, larger or just without the tombstones. */
static must_use enum status make_room(struct map *m)
{
    if (m->capacity > 0 && m->count + m->tombstones + 1 <= m->capacity / 4 * 3)
        return STATUS_OK;
    uint32_t capacity = FIRST_CAPACITY;
    while (capacity / 2 < m->count + 1) {
        if (capacity >= CAPACITY_MAX)
            return STATUS_NO_MEMORY;
        capacity *= 2;
    }
    struct map_entry *slots = calloc(capacity, sizeof *slots);
    if (!slots)
        return STATUS_NO_MEMORY;
    for (uint32_t i = 0; i < m->capacity; i++)
        if (is_live(&m->slots[i]))
            *first_dead(slots, capacity, m->slots[i].hash) = m->slots[i];
    free(m->slots);
    m->slots = slots;
    m->capacity = capacity;
    m->tombstones = 0;
    return STATUS_OK;
}

void *map_get(const struct map *m, const void *key, size_t key_size)
{
    struct map_entry *slot = find(m, hash_of(m, key, key_size), key, key_size);
    return slot ? slot->value : NULL;
}

enum status map_put(struct map *m, const void *key, size_t key_size, void *value, void **ret_old)
{
    assert(value && key_size <= UINT32_MAX);
    uint32_t hash = hash_of(m, key, key_size);
    struct map_entry *slot = find(m, hash, key, key_size);
    void *old = slot ? slot->value : NULL;
    if (!slot) {
        enum status status = make_room(m);
        if (status != STATUS_OK)
            return status;
        slot = first_dead(m->slots, m->capacity, hash);
        m->tombstones -= is_tombstone(slot);
        m->count++;
    }
    *slot = (struct map_entry){.key = key, .key_size = (uint32_t)key_size, .hash = hash, .value = value};
    if (ret_old)
        *ret_old = old;
    return STATUS_OK;
}

void *map_remove(struct map *m, const void *key, size_t key_size)
{
    struct map_entry *slot = find(m, hash_of(m, key, key_size), key, key_size);
    if (!slot)
        return NULL;
    void *value = slot->value;
    *slot = (struct map_entry){.hash = TOMBSTONE};
    m->count--;
    m->tombstones++;
    return value;
}

void *map_next(const struct map *m, uint32_t *cursor)
{
    while (*cursor < m->capacity) {
        const struct map_entry *slot = &m->slots[(*cursor)++];
        if (is_live(slot))
            return slot->value;
    }
    return NULL;
}
