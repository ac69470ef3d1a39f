/* The list of what a batch changed, handed to the loop for its indexes. */
#include <stdlib.h>

#include "state/state_internal.h"

enum {
    CHANGES_FIRST_CAPACITY = 256,
    CHANGES_KEPT = 16 * 1024,        /* items of memory kept from batch to batch */
    CHANGE_ROWS_KEPT = 4 << 20,      /* bytes of rows, likewise */
    CHANGE_ROWS_MAX = 1 << 30,       /* rows of one batch: far above what APPLY_BYTES_MAX of commands can touch */
};

void state_changes_init(struct state_changes *changes)
{
    *changes = (struct state_changes){.items = NULL};
    buffer_init(&changes->rows, CHANGE_ROWS_MAX);
}

void state_changes_clear(struct state_changes *changes)
{
    if (changes->capacity > CHANGES_KEPT) {
        free(changes->items);
        changes->items = NULL;
        changes->capacity = 0;
    }
    changes->count = 0;
    changes->draining = false;
    if (changes->rows.capacity > CHANGE_ROWS_KEPT)
        buffer_deinit(&changes->rows);
    buffer_clear(&changes->rows);
}

void state_changes_deinit(struct state_changes *changes)
{
    free(changes->items);
    buffer_deinit(&changes->rows);
    *changes = (struct state_changes){.items = NULL};
}

struct state_change *state_changes_add(struct state_changes *changes, enum state_change_kind kind, uint64_t serial)
{
    if (changes->count == changes->capacity) {
        if (changes->capacity > UINT32_MAX / 2)
            return NULL;
        uint32_t capacity = changes->capacity ? changes->capacity * 2 : CHANGES_FIRST_CAPACITY;
        struct state_change *items = realloc(changes->items, capacity * sizeof *items);
        if (!items)
            return NULL;
        changes->items = items;
        changes->capacity = capacity;
    }
    struct state_change *change = &changes->items[changes->count++];
    *change = (struct state_change){.kind = kind, .serial = serial};
    return change;
}

void state_changes_row(struct state_changes *changes, struct state_change *change, struct bytes row)
{
    buffer_append(&changes->rows, row.data, row.size);
    if (!changes->rows.failed)
        change->row.size = row.size;
}

struct state_changes_mark state_changes_mark(const struct state_changes *changes)
{
    return (struct state_changes_mark){.count = changes->count, .rows_size = changes->rows.size};
}

void state_changes_rewind(struct state_changes *changes, struct state_changes_mark mark)
{
    changes->count = mark.count;
    changes->rows.size = mark.rows_size;
    changes->rows.failed = STATUS_OK;
}

/* Rows stand in `rows` in the order of their changes, so their sizes alone say where each begins, wherever the buffer
 * has moved to while it grew. */
void state_changes_link(struct state_changes *changes)
{
    size_t at = 0;
    for (uint32_t i = 0; i < changes->count; i++) {
        struct bytes *row = &changes->items[i].row;
        row->data = row->size ? changes->rows.data + at : NULL;
        at += row->size;
    }
}
