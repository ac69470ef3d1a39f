#include "base/buffer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 512 };

void buffer_init(struct buffer *b, size_t limit_bytes)
{
    /* One byte is kept for the NUL behind the content. */
    size_t limit = limit_bytes < SIZE_MAX ? limit_bytes : SIZE_MAX - 1;
    *b = (struct buffer){.limit = limit};
}

void buffer_deinit(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){.limit = b->limit};
}

void buffer_clear(struct buffer *b)
{
    b->size = 0;
    b->failed = STATUS_OK;
    if (b->data)
        b->data[0] = '\0';
}

/* Doubles, so that n appends copy O(n) bytes; never beyond the limit and its NUL. */
static size_t capacity_for(const struct buffer *b, size_t needed)
{
    size_t capacity = b->capacity ? b->capacity : FIRST_CAPACITY;
    while (capacity < needed)
        capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    return capacity > b->limit + 1 ? b->limit + 1 : capacity;
}

void *buffer_reserve(struct buffer *b, size_t size)
{
    if (b->failed)
        return NULL;
    if (size > b->limit - b->size) {
        b->failed = STATUS_TOO_LARGE;
        return NULL;
    }
    size_t needed = b->size + size + 1;
    if (needed > b->capacity) {
        size_t capacity = capacity_for(b, needed);
        char *data = realloc(b->data, capacity);
        if (!data) {
            b->failed = STATUS_NO_MEMORY;
            return NULL;
        }
        b->data = data;
        b->capacity = capacity;
    }
    return b->data + b->size;
}

void buffer_expect(struct buffer *b, size_t size)
{
    size_t room = b->limit - b->size;
    if (b->failed)
        return;
    (void)buffer_reserve(b, size < room ? size : room);
    b->failed = STATUS_OK; /* no memory for a guess: the append that needs it will say so */
}

void buffer_commit(struct buffer *b, size_t size)
{
    assert(b->capacity > b->size && size <= b->capacity - b->size - 1);
    b->size += size;
    b->data[b->size] = '\0';
}

void buffer_append_growing(struct buffer *b, const void *data, size_t size)
{
    void *at = buffer_reserve(b, size);
    if (!at)
        return;
    if (size > 0)
        memcpy(at, data, size);
    buffer_commit(b, size);
}

size_t decimal_format(uint64_t value, char out[DECIMAL_TEXT_SIZE])
{
    char digits[DECIMAL_TEXT_SIZE];
    size_t at = sizeof digits;
    digits[--at] = '\0';
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    memcpy(out, digits + at, sizeof digits - at);
    return sizeof digits - at - 1;
}

void buffer_append_int(struct buffer *b, int64_t value)
{
    char text[DECIMAL_TEXT_SIZE];
    if (value < 0)
        buffer_append_char(b, '-');
    size_t size = decimal_format(value < 0 ? -(uint64_t)value : (uint64_t)value, text);
    buffer_append(b, text, size);
}

void buffer_appendf(struct buffer *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buffer_vappendf(b, format, args);
    va_end(args);
}

void buffer_vappendf(struct buffer *b, const char *format, va_list args)
{
    if (b->failed)
        return;
    va_list again;
    va_copy(again, args);
    size_t room = b->capacity - b->size;
    int length = vsnprintf(room ? b->data + b->size : NULL, room, format, args);
    /* A conversion that printf refuses is a mistake in our own format. */
    assert(length >= 0);
    bool fits = (size_t)length < room;
    if (!fits && room > 0)
        b->data[b->size] = '\0';
    char *at = buffer_reserve(b, (size_t)length);
    if (at) {
        if (!fits)
            (void)vsnprintf(at, (size_t)length + 1, format, again); /* the same text as measured */
        buffer_commit(b, (size_t)length);
    }
    va_end(again);
}

void buffer_consume(struct buffer *b, size_t size)
{
    assert(size <= b->size);
    if (size == 0)
        return;
    memmove(b->data, b->data + size, b->size - size + 1);
    b->size -= size;
}

char *buffer_steal(struct buffer *b, size_t *ret_size)
{
    buffer_append(b, "", 0); /* an empty buffer is handed over as an empty string */
    if (b->failed) {
        buffer_deinit(b);
        return NULL;
    }
    char *data = b->data;
    if (ret_size)
        *ret_size = b->size;
    *b = (struct buffer){.limit = b->limit};
    return data;
}

struct bytes buffer_bytes(const struct buffer *b)
{
    return (struct bytes){b->data, b->size};
}

static bool is_continuation(uint8_t byte)
{
    return (byte & 0xC0) == 0x80;
}

size_t utf8_cut(const char *text, size_t size, size_t max)
{
    if (size <= max)
        return size;
    size_t cut = max;
    for (int steps = 0; steps < 3 && cut > 0 && is_continuation((uint8_t)text[cut]); steps++)
        cut--;
    /* Not UTF-8 at all: there is no better place than the one asked for. */
    return is_continuation((uint8_t)text[cut]) ? max : cut;
}

/* Size of the well-formed sequence at `at`, 0 if there is none. Unicode 15, table 3-7. */
static size_t sequence_size(const uint8_t *at, size_t left)
{
    uint8_t lead = at[0], low = 0x80, high = 0xBF;
    size_t size = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
    if (size <= 1)
        return size;
    if (lead == 0xE0)
        low = 0xA0; /* overlong */
    else if (lead == 0xED)
        high = 0x9F; /* surrogates */
    else if (lead == 0xF0)
        low = 0x90; /* overlong */
    else if (lead == 0xF4)
        high = 0x8F; /* beyond U+10FFFF */
    if (left < size || at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if (!is_continuation(at[i]))
            return 0;
    return size;
}

size_t utf8_sequence_size(const void *data, size_t size)
{
    return size == 0 ? 0 : sequence_size(data, size);
}

/* --- ASCII, eight bytes at a time: nearly all text is nothing else --- */

static uint64_t each_byte(uint8_t value)
{
    return value * UINT64_C(0x0101010101010101);
}

/* Not 0 where a byte is below `bound` (at most 0x80) or above ASCII. Bytes behind the first such one may be mistaken. */
static uint64_t below_or_high(uint64_t word, uint8_t bound)
{
    return ((word - each_byte(bound)) | word) & each_byte(0x80);
}

static bool has_special(uint64_t word)
{
    uint64_t quotes = word ^ each_byte('"'), backslashes = word ^ each_byte('\\'), dels = word ^ each_byte(0x7F);
    return (below_or_high(word, 0x20) | below_or_high(quotes, 1) | below_or_high(backslashes, 1) |
            below_or_high(dels, 1)) != 0;
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

size_t plain_text_size(const char *text, size_t size)
{
    size_t at = 0;
    uint64_t word;
    for (; size - at >= sizeof word; at += sizeof word) {
        memcpy(&word, text + at, sizeof word);
        if (has_special(word))
            break;
    }
    while (at < size && is_plain((unsigned char)text[at]))
        at++;
    return at;
}

static size_t ascii_size(const uint8_t *bytes, size_t size)
{
    size_t at = 0;
    uint64_t word = 0;
    while (size - at >= sizeof word) {
        memcpy(&word, bytes + at, sizeof word);
        if ((word & each_byte(0x80)) != 0)
            break;
        at += sizeof word;
    }
    while (at < size && bytes[at] < 0x80)
        at++;
    return at;
}

bool utf8_valid(const void *data, size_t size, size_t *ret_at)
{
    const uint8_t *bytes = data;
    for (size_t at = ascii_size(bytes, size); at < size; at += ascii_size(bytes + at, size - at)) {
        size_t step = sequence_size(bytes + at, size - at);
        if (step == 0) {
            if (ret_at)
                *ret_at = at;
            return false;
        }
        at += step;
    }
    return true;
}
