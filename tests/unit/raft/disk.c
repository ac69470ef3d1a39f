#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

struct raft_entry *entries_copy(const struct raft_entry *from, uint32_t count)
{
    struct raft_entry *to = get_memory((count + 1) * sizeof *to);
    for (uint32_t i = 0; i < count; i++) {
        to[i] = from[i];
        if (from[i].size == 0)
            continue;
        void *data = get_memory(from[i].size);
        memcpy(data, from[i].data, from[i].size);
        to[i].data = data;
    }
    return to;
}

void entries_free(struct raft_entry *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free((void *)(uintptr_t)entries[i].data);
    free(entries);
}

uint64_t disk_last(const struct disk *disk)
{
    return disk->base.index + disk->count;
}

const struct raft_entry *disk_entry(const struct disk *disk, uint64_t index)
{
    return index > disk->base.index && index <= disk_last(disk) ? &disk->entries[index - disk->base.index - 1] : NULL;
}

uint64_t disk_term(const struct disk *disk, uint64_t index)
{
    const struct raft_entry *entry = disk_entry(disk, index);
    return entry != NULL ? entry->id.term : index == disk->base.index ? disk->base.term : 0;
}

uint64_t disk_hash(const struct disk *disk, uint64_t index)
{
    const struct raft_entry *entry = disk_entry(disk, index);
    return entry != NULL ? entry->hash : index == disk->base.index ? disk->base_hash : 0;
}

static void append(struct disk *disk, const struct raft_entry *entries, uint32_t count)
{
    struct raft_entry *copies = entries_copy(entries, count);
    struct raft_entry *grown = realloc(disk->entries, (disk->count + count + 1) * sizeof *grown);
    if (grown == NULL)
        abort();
    memcpy(grown + disk->count, copies, count * sizeof *grown);
    free(copies);
    disk->entries = grown;
    disk->count += count;
}

void disk_add(struct disk *disk, uint64_t term)
{
    char text[48];
    struct raft_entry entry = {.id = {disk_last(disk) + 1, term}, .type = RAFT_ENTRY_NORMAL, .data = text};
    entry.size = (uint32_t)snprintf(text, sizeof text, "%llu.%llu", (unsigned long long)entry.id.index, (unsigned long long)term);
    entry.hash = raft_entry_hash(disk_hash(disk, disk_last(disk)), &entry);
    append(disk, &entry, 1);
}

void disk_cut(struct disk *disk, uint64_t from)
{
    while (disk->count > 0 && disk_last(disk) >= from)
        free((void *)(uintptr_t)disk->entries[--disk->count].data);
}

const struct raft_conf *disk_conf_at(const struct disk *disk, uint64_t index, struct raft_conf *space, uint64_t *ret_index)
{
    *ret_index = disk->base_conf_index;
    *space = disk->base_conf;
    for (uint32_t i = 0; i < disk->count && disk->entries[i].id.index <= index; i++) {
        const struct raft_entry *entry = &disk->entries[i];
        if (entry->type != RAFT_ENTRY_CONF)
            continue;
        if (raft_conf_decode((struct bytes){entry->data, entry->size}, space) != STATUS_OK)
            fail("a configuration on disk cannot be read");
        *ret_index = entry->id.index;
    }
    return space;
}

void disk_compact(struct disk *disk, uint64_t upto)
{
    struct raft_conf conf;
    uint64_t index;
    if (upto <= disk->base.index)
        return;
    disk->base_conf = *disk_conf_at(disk, upto, &conf, &index);
    disk->base_conf_index = index;
    struct raft_log_id base = {upto, disk_term(disk, upto)};
    uint32_t gone = (uint32_t)(upto - disk->base.index);
    disk->base_hash = disk_hash(disk, upto);
    for (uint32_t i = 0; i < gone; i++)
        free((void *)(uintptr_t)disk->entries[i].data);
    memmove(disk->entries, disk->entries + gone, (disk->count - gone) * sizeof disk->entries[0]);
    disk->count -= gone;
    disk->base = base;
}

static void install(struct disk *disk, const struct raft_snapshot_meta *snapshot)
{
    disk_cut(disk, 0);
    disk->base = snapshot->last;
    disk->base_hash = snapshot->hash;
    disk->base_conf = snapshot->conf;
    disk->base_conf_index = snapshot->conf_index;
    disk->applied = snapshot->last.index;
    disk->partial = (struct raft_snapshot_meta){0};
    disk->partial_size = 0;
}

void disk_write(struct disk *disk, const struct disk_batch *batch)
{
    if (batch->hard_changed) {
        if (batch->hard.term < disk->hard.term)
            fail("the term on disk falls from %llu to %llu", (unsigned long long)disk->hard.term,
                 (unsigned long long)batch->hard.term);
        if (batch->hard.term == disk->hard.term && disk->hard.vote != 0 && disk->hard.vote != batch->hard.vote)
            fail("a vote of term %llu changes on disk", (unsigned long long)batch->hard.term);
        disk->hard = batch->hard;
    }
    if (batch->install) {
        install(disk, &batch->snapshot);
        return;
    }
    if (batch->truncate_from != 0) {
        if (batch->truncate_from <= disk->applied)
            fail("entry %llu is applied and is cut off", (unsigned long long)batch->truncate_from);
        disk_cut(disk, batch->truncate_from);
    }
    if (batch->count > 0 && batch->entries[0].id.index != disk_last(disk) + 1)
        fail("entry %llu is written behind entry %llu", (unsigned long long)batch->entries[0].id.index,
             (unsigned long long)disk_last(disk));
    append(disk, batch->entries, batch->count);
}

void disk_deinit(struct disk *disk)
{
    entries_free(disk->entries, disk->count);
    *disk = (struct disk){0};
}

void batch_free(struct disk_batch *batch)
{
    entries_free(batch->entries, batch->count);
    free(batch);
}
