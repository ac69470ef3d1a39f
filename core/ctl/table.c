#include "ctl/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/text.h"

enum { COLUMN_GAP = 2, CELLS_FIRST = 256 };

static const char ellipsis[] = "\xe2\x80\xa6";

void table_init(struct table *table, const char *const *headers)
{
    *table = (struct table){.headers = headers};
    buffer_init(&table->text, TABLE_BYTES_MAX);
    for (; headers[table->column_count] != NULL; table->column_count++) {
        assert(table->column_count < TABLE_COLUMNS_MAX);
        table->widths[table->column_count] = text_width(headers[table->column_count],
                                                        strlen(headers[table->column_count]));
    }
}

void table_deinit(struct table *table)
{
    buffer_deinit(&table->text);
    free(table->cells);
    *table = (struct table){.headers = NULL};
}

static bool grow(struct table *table)
{
    if (table->cell_count < table->cell_capacity)
        return true;
    size_t capacity = table->cell_capacity > 0 ? table->cell_capacity * 2 : CELLS_FIRST;
    struct table_cell *cells = realloc(table->cells, capacity * sizeof *cells);
    if (cells == NULL) {
        table->text.failed = STATUS_NO_MEMORY;
        return false;
    }
    table->cells = cells;
    table->cell_capacity = capacity;
    return true;
}

/* Cuts the cell that was just written to `width` columns, the last one being an ellipsis. */
static void cut_cell(struct table *table, size_t offset, size_t width)
{
    size_t at = offset, shown = 0;
    while (at < table->text.size) {
        size_t sequence = utf8_sequence_size(table->text.data + at, table->text.size - at);
        sequence = sequence > 0 ? sequence : 1;
        shown += text_width(table->text.data + at, sequence);
        if (shown > width - 1)
            break;
        at += sequence;
    }
    table->text.size = at;
    buffer_append_string(&table->text, ellipsis);
}

void table_cell(struct table *table, enum cell_style style, const char *text)
{
    size_t offset = table->text.size;
    if (!grow(table))
        return;
    if (text == NULL || *text == '\0')
        text = "-";
    text_append_safe(&table->text, text, strlen(text), TEXT_ONE_LINE);
    if (table->text.failed != STATUS_OK)
        return;
    size_t width = text_width(table->text.data + offset, table->text.size - offset);
    if (table->cell_width_max > 0 && width > table->cell_width_max) {
        cut_cell(table, offset, table->cell_width_max);
        width = text_width(table->text.data + offset, table->text.size - offset);
    }
    size_t *widest = &table->widths[table->cell_count % table->column_count];
    *widest = width > *widest ? width : *widest;
    table->cells[table->cell_count++] = (struct table_cell){offset, table->text.size - offset, width, style};
}

void table_cellf(struct table *table, enum cell_style style, const char *format, ...)
{
    struct buffer text;
    va_list args;
    buffer_init(&text, TABLE_BYTES_MAX);
    va_start(args, format);
    buffer_vappendf(&text, format, args);
    va_end(args);
    if (text.failed != STATUS_OK)
        table->text.failed = text.failed;
    table_cell(table, style, text.data);
    buffer_deinit(&text);
}

size_t table_row_count(const struct table *table)
{
    return table->cell_count / table->column_count;
}

void style_append(struct buffer *out, enum cell_style style, bool colour, const char *text, size_t size)
{
    static const char *const codes[] = {NULL, "32", "31", "36", "2"};
    if (!colour || codes[style] == NULL) {
        buffer_append(out, text, size);
        return;
    }
    buffer_appendf(out, "\x1b[%sm", codes[style]);
    buffer_append(out, text, size);
    buffer_append_string(out, "\x1b[0m");
}

static void append_gap(struct buffer *out, size_t count)
{
    for (; count > 0; count--)
        buffer_append_char(out, ' ');
}

void table_print(const struct table *table, bool colour, struct buffer *out)
{
    for (size_t column = 0; column < table->column_count; column++) {
        bool last = column + 1 == table->column_count;
        size_t width = text_width(table->headers[column], strlen(table->headers[column]));
        buffer_append_string(out, table->headers[column]);
        append_gap(out, last ? 0 : table->widths[column] - width + COLUMN_GAP);
    }
    buffer_append_char(out, '\n');
    for (size_t i = 0; i < table->cell_count; i++) {
        const struct table_cell *cell = &table->cells[i];
        bool last = (i + 1) % table->column_count == 0;
        style_append(out, cell->style, colour, table->text.data + cell->offset, cell->size);
        append_gap(out, last ? 0 : table->widths[i % table->column_count] - cell->width + COLUMN_GAP);
        if (last)
            buffer_append_char(out, '\n');
    }
    if (table->text.failed != STATUS_OK && out->failed == STATUS_OK)
        out->failed = table->text.failed;
}
