/* A log as an array of pointers to entries that all nodes share. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

void log_image_reset(struct log_image *log, struct raft_log_id base, uint64_t hash)
{
    log->base = base;
    log->base_hash = hash;
    log->count = 0;
}

static void reserve(struct sim *sim, struct log_image *log, uint32_t count)
{
    if (count <= log->capacity)
        return;
    uint32_t capacity = log->capacity < 64 ? 64 : log->capacity;
    while (capacity < count)
        capacity *= 2;
    struct blob **entries = sim_alloc(sim, capacity * sizeof *entries);
    if (log->count > 0)
        memcpy(entries, log->entries, log->count * sizeof *entries);
    log->entries = entries;
    log->capacity = capacity;
}

void log_image_append(struct sim *sim, struct log_image *log, struct blob *blob)
{
    struct raft_log_id last = log_image_last(log);
    if (blob->entry.id.index != last.index + 1 || blob->entry.id.term < last.term)
        sim_fail(sim, "log contiguity: entry %llu/%llu after %llu/%llu", (unsigned long long)blob->entry.id.index,
                 (unsigned long long)blob->entry.id.term, (unsigned long long)last.index, (unsigned long long)last.term);
    reserve(sim, log, log->count + 1);
    log->entries[log->count++] = blob;
}

void log_image_truncate(struct log_image *log, uint64_t from)
{
    if (from <= log->base.index)
        log->count = 0;
    else if (from - log->base.index - 1 < log->count)
        log->count = (uint32_t)(from - log->base.index - 1);
}

void log_image_compact(struct log_image *log, uint64_t upto)
{
    struct raft_log_id last = log_image_last(log);
    if (upto <= log->base.index || upto > last.index)
        return;
    uint32_t gone = (uint32_t)(upto - log->base.index);
    const struct blob *base = log->entries[gone - 1];
    log->base = base->entry.id;
    log->base_hash = base->entry.hash;
    log->count -= gone;
    memmove(log->entries, log->entries + gone, log->count * sizeof log->entries[0]);
}

void log_image_copy(struct sim *sim, struct log_image *to, const struct log_image *from)
{
    reserve(sim, to, from->count);
    to->base = from->base;
    to->base_hash = from->base_hash;
    to->count = from->count;
    if (from->count > 0)
        memcpy(to->entries, from->entries, from->count * sizeof to->entries[0]);
}

struct raft_log_id log_image_last(const struct log_image *log)
{
    return log->count > 0 ? log->entries[log->count - 1]->entry.id : log->base;
}

uint64_t log_image_last_hash(const struct log_image *log)
{
    return log->count > 0 ? log->entries[log->count - 1]->entry.hash : log->base_hash;
}

struct blob *log_image_at(const struct log_image *log, uint64_t index)
{
    if (index <= log->base.index || index - log->base.index > log->count)
        return NULL;
    return log->entries[index - log->base.index - 1];
}

uint64_t log_image_term(const struct log_image *log, uint64_t index)
{
    const struct blob *blob = log_image_at(log, index);
    if (blob != NULL)
        return blob->entry.id.term;
    return index == log->base.index ? log->base.term : 0;
}
