#include "cluster/entry_batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

/* A pooled batch gives memory beyond this back, so that one burst does not stay for ever. */
enum { KEPT_BYTES = 256 * 1024, KEPT_ITEMS = 1024 };

enum status entry_batch_new(struct entry_batch **ret, struct error *err)
{
    struct entry_batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    buffer_init(&batch->bytes, PROPOSAL_BYTES_MAX);
    *ret = batch;
    return STATUS_OK;
}

void entry_batch_free(struct entry_batch *batch)
{
    while (batch != NULL) {
        struct entry_batch *next = batch->next;
        buffer_deinit(&batch->bytes);
        free(batch->items);
        free(batch);
        batch = next;
    }
}

void entry_batch_clear(struct entry_batch *batch)
{
    if (batch->bytes.capacity > KEPT_BYTES) {
        buffer_deinit(&batch->bytes);
        buffer_init(&batch->bytes, PROPOSAL_BYTES_MAX);
    }
    buffer_clear(&batch->bytes);
    if (batch->capacity > KEPT_ITEMS) {
        free(batch->items);
        batch->items = NULL;
        batch->capacity = 0;
    }
    batch->count = 0;
    batch->cluster_id = (struct id){{0}};
    batch->install = NULL;
    batch->removed = REMOVED_SAME;
    batch->next = NULL;
    batch->seq = batch->truncate_from = 0;
    batch->hard_changed = false;
}

static enum status grow(struct entry_batch *batch, struct error *err)
{
    uint32_t capacity = batch->capacity == 0 ? 16 : batch->capacity * 2;
    struct batch_entry *items = realloc(batch->items, capacity * sizeof *items);
    if (items == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    batch->items = items;
    batch->capacity = capacity;
    return STATUS_OK;
}

enum status entry_batch_add(struct entry_batch *batch, const struct log_entry *entry, struct error *err)
{
    struct bytes data = entry->data;
    if (batch->count == batch->capacity) {
        enum status status = grow(batch, err);
        if (status != STATUS_OK)
            return status;
    }
    size_t offset = batch->bytes.size;
    void *room = buffer_reserve(&batch->bytes, data.size);
    if (room == NULL) {
        enum status status = batch->bytes.failed;
        batch->bytes.failed = STATUS_OK; /* what is in it already stays good */
        return error_set(err, status == STATUS_NO_MEMORY ? STATUS_NO_MEMORY : STATUS_OVERLOADED,
                         "too many bytes wait for the log");
    }
    if (data.size > 0)
        memcpy(room, data.data, data.size);
    buffer_commit(&batch->bytes, data.size);
    batch->items[batch->count++] = (struct batch_entry){.index = entry->index, .term = entry->term, .hash = entry->hash,
                                                        .type = entry->type, .offset = offset, .size = data.size};
    return STATUS_OK;
}

struct bytes entry_batch_data(const struct entry_batch *batch, uint32_t i)
{
    return (struct bytes){batch->bytes.data + batch->items[i].offset, batch->items[i].size};
}

struct log_entry entry_batch_entry(const struct entry_batch *batch, uint32_t i)
{
    const struct batch_entry *item = &batch->items[i];
    return (struct log_entry){.index = item->index, .term = item->term, .type = item->type, .hash = item->hash,
                              .data = entry_batch_data(batch, i)};
}

uint64_t entry_batch_first(const struct entry_batch *batch)
{
    return batch->items[0].index;
}

uint64_t entry_batch_last(const struct entry_batch *batch)
{
    return batch->items[batch->count - 1].index;
}

void entry_batch_keep(struct entry_batch *batch, uint32_t count)
{
    if (count >= batch->count)
        return;
    batch->bytes.size = batch->items[count].offset;
    batch->count = count;
}

enum status entry_batch_split(struct entry_batch *batch, uint32_t count, struct entry_batch *to, struct error *err)
{
    uint32_t before = to->count;
    for (uint32_t i = 0; i < count; i++) {
        struct log_entry entry = entry_batch_entry(batch, i);
        enum status status = entry_batch_add(to, &entry, err);
        if (status != STATUS_OK) {
            entry_batch_keep(to, before);
            return status;
        }
    }
    batch->count -= count;
    memmove(batch->items, batch->items + count, batch->count * sizeof *batch->items); /* the bytes stay where they are */
    return STATUS_OK;
}

void batch_queue_init(struct batch_queue *queue)
{
    queue->head = NULL;
    queue->tail = &queue->head;
}

void batch_queue_push(struct batch_queue *queue, struct entry_batch *batch)
{
    batch->next = NULL;
    *queue->tail = batch;
    queue->tail = &batch->next;
}

struct entry_batch *batch_queue_pop(struct batch_queue *queue)
{
    struct entry_batch *batch = queue->head;
    if (batch == NULL)
        return NULL;
    queue->head = batch->next;
    if (queue->head == NULL)
        queue->tail = &queue->head;
    batch->next = NULL;
    return batch;
}

void batch_queue_move(struct batch_queue *to, struct batch_queue *from)
{
    if (from->head == NULL)
        return;
    *to->tail = from->head;
    to->tail = from->tail;
    batch_queue_init(from);
}
