#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *need(void *memory)
{
    if (memory == NULL) {
        (void)fprintf(stderr, "chronos-plugin-check: no memory for the model\n");
        abort();
    }
    return memory;
}

static struct chronos_bytes copy_bytes(const struct chronos_bytes *from)
{
    struct chronos_bytes copy = {.data = need(malloc(from->size + 1)), .size = from->size};

    if (from->size > 0) {
        memcpy((void *)(uintptr_t)copy.data, from->data, from->size);
    }
    return copy;
}

static void free_bytes(struct chronos_bytes *bytes)
{
    free((void *)(uintptr_t)bytes->data);
}

int model_compare(const struct chronos_bytes *one, const struct chronos_bytes *other)
{
    size_t common = one->size < other->size ? one->size : other->size;
    int order = common > 0 ? memcmp(one->data, other->data, common) : 0;

    return order != 0 ? order : (one->size > other->size) - (one->size < other->size);
}

size_t model_find(const struct model_table *table, const struct chronos_bytes *key, bool *ret_equal)
{
    size_t low = 0;
    size_t high = table->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (model_compare(&table->rows[middle].key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_equal = low < table->count && model_compare(&table->rows[low].key, key) == 0;
    return low;
}

void model_put(struct model_table *table, const struct chronos_bytes *key, const struct chronos_bytes *value)
{
    bool equal;
    size_t at = model_find(table, key, &equal);

    if (equal) {
        free_bytes(&table->rows[at].value);
        table->rows[at].value = copy_bytes(value);
        return;
    }
    if (table->count == table->capacity) {
        table->capacity = table->capacity * 2 + 16;
        table->rows = need(realloc(table->rows, table->capacity * sizeof(*table->rows)));
    }
    memmove(&table->rows[at + 1], &table->rows[at], (table->count - at) * sizeof(*table->rows));
    table->rows[at] = (struct model_row){.key = copy_bytes(key), .value = copy_bytes(value)};
    table->count++;
}

size_t model_remove(struct model_table *table, size_t first, size_t count)
{
    if (first >= table->count) {
        return 0;
    }
    count = count < table->count - first ? count : table->count - first;
    for (size_t i = first; i < first + count; i++) {
        free_bytes(&table->rows[i].key);
        free_bytes(&table->rows[i].value);
    }
    memmove(&table->rows[first], &table->rows[first + count], (table->count - first - count) * sizeof(*table->rows));
    table->count -= count;
    return count;
}

void model_copy(struct model_table *to, const struct model_table *from)
{
    *to = (struct model_table){.count = from->count, .capacity = from->count};
    if (from->count == 0) {
        return;
    }
    to->rows = need(malloc(from->count * sizeof(*to->rows)));
    for (size_t i = 0; i < from->count; i++) {
        to->rows[i].key = copy_bytes(&from->rows[i].key);
        to->rows[i].value = copy_bytes(&from->rows[i].value);
    }
}

void model_clear(struct model_table *table)
{
    (void)model_remove(table, 0, table->count); /* all of them */
    free(table->rows);
    *table = (struct model_table){0};
}
