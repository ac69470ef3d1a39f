/* Text from elsewhere on its way to a terminal: what could move the cursor, change colours or reorder the line is shown
 * as an escape, bad UTF-8 as \xNN. */
#ifndef CHRONOS_CTL_TEXT_H
#define CHRONOS_CTL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

enum text_keep {
    TEXT_ONE_LINE,   /* newlines and tabs are escaped as well */
    TEXT_KEEP_LINES, /* "\n" and "\t" pass */
};

/* Whole text. Escapes: \n \t \r, \x1b for other control characters, \u{202e} for C1, line separators and the characters
 * that change the direction of text. */
void text_append_safe(struct buffer *out, const void *data, size_t size, enum text_keep keep);

/* The same for a stream, whose pieces may cut a character in two. */
struct text_filter {
    uint8_t held[4];
    size_t held_size;
};
void text_filter_feed(struct text_filter *filter, struct buffer *out, const void *data, size_t size,
                      enum text_keep keep);
void text_filter_end(struct text_filter *filter, struct buffer *out); /* what was held back */

/* Columns on a terminal: East Asian wide characters take two, combining marks none. */
size_t text_width(const char *text, size_t size);

/* Code point of a well-formed sequence of 1 to 4 bytes. */
uint32_t text_code(const void *sequence, size_t size);
/* Must this character be escaped, as far as the above goes? `code` is a code point; not for "\n" and "\t". */
bool text_is_unsafe(uint32_t code);

#endif
