#include "ctl/text.h"

#include <locale.h>
#include <string.h>
#include <wchar.h>

uint32_t text_code(const void *sequence, size_t size)
{
    const uint8_t *at = sequence;
    static const uint8_t first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = at[0] & first_bits[size];
    for (size_t i = 1; i < size; i++)
        code = code << 6 | (at[i] & 0x3f);
    return code;
}

bool text_is_unsafe(uint32_t code)
{
    bool is_control = code < 0x20 || (code >= 0x7f && code < 0xa0); /* C0, DEL, C1 */
    bool is_mark = code == 0x200e || code == 0x200f || code == 0x061c;
    /* Separators, then embeddings and overrides; isolates. */
    return is_control || is_mark || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

static void append_character(struct buffer *out, const uint8_t *at, size_t size, enum text_keep keep)
{
    uint32_t code = text_code(at, size);
    if (!text_is_unsafe(code) || (keep == TEXT_KEEP_LINES && (code == '\n' || code == '\t')))
        buffer_append(out, at, size);
    else if (code == '\n' || code == '\t' || code == '\r')
        buffer_append_string(out, code == '\n' ? "\\n" : code == '\t' ? "\\t" : "\\r");
    else if (code < 0x80)
        buffer_appendf(out, "\\x%02x", (unsigned)code);
    else
        buffer_appendf(out, "\\u{%04x}", (unsigned)code);
}

/* Up to `size` bytes; returns how many were taken. With `more` to come, an incomplete character at the end is left. */
static size_t append_safe(struct buffer *out, const uint8_t *data, size_t size, enum text_keep keep, bool more)
{
    size_t at = 0;
    while (at < size) {
        size_t sequence = utf8_sequence_size(data + at, size - at);
        if (sequence > 0) {
            append_character(out, data + at, sequence, keep);
            at += sequence;
            continue;
        }
        /* Bytes that begin a longer character; what comes next decides. */
        if (more && size - at < 4 && data[at] >= 0xc2 && data[at] <= 0xf4)
            break;
        buffer_appendf(out, "\\x%02x", data[at++]);
    }
    return at;
}

void text_append_safe(struct buffer *out, const void *data, size_t size, enum text_keep keep)
{
    (void)append_safe(out, data, size, keep, false);
}

void text_filter_feed(struct text_filter *filter, struct buffer *out, const void *data, size_t size,
                      enum text_keep keep)
{
    const uint8_t *at = data;
    while (filter->held_size > 0 && size > 0) {
        filter->held[filter->held_size++] = *at++;
        size--;
        size_t taken = append_safe(out, filter->held, filter->held_size, keep, filter->held_size < sizeof filter->held);
        filter->held_size -= taken;
        memmove(filter->held, filter->held + taken, filter->held_size);
    }
    if (size == 0)
        return;
    size_t taken = append_safe(out, at, size, keep, true);
    filter->held_size = size - taken;
    memcpy(filter->held, at + taken, filter->held_size);
}

void text_filter_end(struct text_filter *filter, struct buffer *out)
{
    text_append_safe(out, filter->held, filter->held_size, TEXT_KEEP_LINES);
    filter->held_size = 0;
}

/* wcwidth knows Unicode only under a UTF-8 locale, which the user's need not be. Lives as long as the process. */
static locale_t width_locale(void)
{
    static locale_t locale;
    static bool tried;
    if (!tried)
        locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    tried = true;
    return locale;
}

static size_t width_of(uint32_t code)
{
    int width = wcwidth((wchar_t)code);
    return width < 0 ? 1 : (size_t)width; /* newer than the C library's tables, or no such locale */
}

size_t text_width(const char *text, size_t size)
{
    size_t width = 0;
    locale_t locale = width_locale();
    locale_t before = locale != (locale_t)0 ? uselocale(locale) : (locale_t)0;
    for (size_t at = 0; at < size;) {
        size_t sequence = utf8_sequence_size(text + at, size - at);
        width += sequence > 1 ? width_of(text_code(text + at, sequence)) : 1;
        at += sequence > 0 ? sequence : 1;
    }
    if (before != (locale_t)0)
        (void)uselocale(before);
    return width;
}
