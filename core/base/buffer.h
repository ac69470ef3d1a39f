/* The one growable byte buffer. Its maximum is demanded at init, so nothing grows without a bound.
 *
 * Appends after a failure do nothing and `failed` stays set, so that a writer can check once at its end.
 * `data` is always NUL-terminated behind `size` once anything was appended (the NUL is not counted). */
#ifndef CHRONOS_BASE_BUFFER_H
#define CHRONOS_BASE_BUFFER_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"

struct bytes {
    const void *data;
    size_t size;
};

struct buffer {
    char *data;
    size_t size, capacity, limit;
    enum status failed; /* STATUS_OK, STATUS_TOO_LARGE (limit) or STATUS_NO_MEMORY */
};

void buffer_init(struct buffer *b, size_t limit_bytes); /* allocates nothing */
void buffer_deinit(struct buffer *b);                   /* accepts a zeroed one */
void buffer_clear(struct buffer *b);                    /* keeps the memory, clears `failed` */
static inline void buffer_append(struct buffer *b, const void *data, size_t size);
static inline void buffer_append_string(struct buffer *b, const char *text);
static inline void buffer_append_char(struct buffer *b, char c);
void buffer_append_int(struct buffer *b, int64_t value); /* decimal */
void buffer_appendf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_vappendf(struct buffer *b, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
/* About `size` more bytes will come: one allocation instead of several. A guess that is too large costs nothing but memory up to
 * the limit; it is no failure. */
void buffer_expect(struct buffer *b, size_t size);
/* Room for `size` more bytes at the end, to be taken with buffer_commit; NULL after a failure. */
void *buffer_reserve(struct buffer *b, size_t size);
void buffer_commit(struct buffer *b, size_t size);
void buffer_consume(struct buffer *b, size_t size); /* drop from the front (memmove) */
/* Hand the memory over: the caller frees the result with free(). An empty buffer gives ""; a failed one is emptied and
 * gives NULL. `ret_size` may be NULL. */
char *buffer_steal(struct buffer *b, size_t *ret_size);
struct bytes buffer_bytes(const struct buffer *b);

/* Digits of `value`, and a NUL behind them; gives how many. */
enum { DECIMAL_TEXT_SIZE = 21 };
size_t decimal_format(uint64_t value, char out[DECIMAL_TEXT_SIZE]);

/* Length of `text` when it must be cut to at most `max` bytes without splitting a UTF-8 sequence. */
size_t utf8_cut(const char *text, size_t size, size_t max);
/* Strict UTF-8 (no surrogates, no overlong forms). On failure *ret_at is the offset of the first bad byte. */
bool utf8_valid(const void *data, size_t size, size_t *ret_at); /* ret_at may be NULL */
/* Bytes of the well-formed sequence at the front, 1 to 4; 0 if there is none. */
size_t utf8_sequence_size(const void *data, size_t size);
/* How many bytes at the front are ASCII that stands for itself in a JSON string: no control, quote or backslash. */
size_t plain_text_size(const char *text, size_t size);

/* --- inline: nearly all appends are short and find room --- */

void buffer_append_growing(struct buffer *b, const void *data, size_t size);

static inline void buffer_append(struct buffer *b, const void *data, size_t size)
{
    if (b->failed || size == 0 || size >= b->capacity - b->size) {
        buffer_append_growing(b, data, size);
        return;
    }
    memcpy(b->data + b->size, data, size);
    b->size += size;
    b->data[b->size] = '\0';
}

static inline void buffer_append_string(struct buffer *b, const char *text)
{
    buffer_append(b, text, strlen(text));
}

static inline void buffer_append_char(struct buffer *b, char c)
{
    buffer_append(b, &c, 1);
}

#endif
