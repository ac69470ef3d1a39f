/* What a store must look like: sorted rows in memory. */
#ifndef CHECK_MODEL_H
#define CHECK_MODEL_H

#include "kit.h"

struct model_row {
    struct chronos_bytes key; /* owned, as is the value */
    struct chronos_bytes value;
};

struct model_table {
    struct model_row *rows;
    size_t count;
    size_t capacity;
};

int model_compare(const struct chronos_bytes *one, const struct chronos_bytes *other);
/* The index of the first row whose key is not below `key`; *ret_equal whether it is that key. */
size_t model_find(const struct model_table *table, const struct chronos_bytes *key, bool *ret_equal);
void model_put(struct model_table *table, const struct chronos_bytes *key, const struct chronos_bytes *value);
/* How many of the rows [first, first + count) were there to be removed. */
size_t model_remove(struct model_table *table, size_t first, size_t count);
void model_copy(struct model_table *to, const struct model_table *from);
void model_clear(struct model_table *table);

#endif
