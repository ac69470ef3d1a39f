/* Rows and columns for people: aligned by what a terminal shows, one row a line whatever a cell holds. */
#ifndef CHRONOS_CTL_TABLE_H
#define CHRONOS_CTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

enum { TABLE_COLUMNS_MAX = 16, TABLE_BYTES_MAX = 256 << 20 };

enum cell_style { CELL_PLAIN, CELL_GOOD, CELL_BAD, CELL_BUSY, CELL_FAINT };

struct table_cell {
    size_t offset, size, width;
    enum cell_style style;
};

struct table {
    const char *const *headers;
    size_t column_count;
    size_t widths[TABLE_COLUMNS_MAX];
    struct buffer text; /* of all cells */
    struct table_cell *cells;
    size_t cell_count, cell_capacity;
    size_t cell_width_max; /* longer cells are cut; 0: never */
};

/* `headers` is NULL-terminated and borrowed. */
void table_init(struct table *table, const char *const *headers);
void table_deinit(struct table *table);
/* Cells come row by row. NULL or "" shows as "-". Running out of memory shows in text.failed. */
void table_cell(struct table *table, enum cell_style style, const char *text);
void table_cellf(struct table *table, enum cell_style style, const char *format,
                 ...) __attribute__((format(printf, 3, 4)));
size_t table_row_count(const struct table *table);
void table_print(const struct table *table, bool colour, struct buffer *out);

/* One cell's text in colour, for output that is no table. */
void style_append(struct buffer *out, enum cell_style style, bool colour, const char *text, size_t size);

#endif
