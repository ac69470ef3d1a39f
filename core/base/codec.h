/* Fixed-width little- and big-endian values in byte ranges, and bounds-checked reading.
 * Keys are big-endian (they must sort), records are little-endian. */
#ifndef CHRONOS_BASE_CODEC_H
#define CHRONOS_BASE_CODEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

void store_be64(void *at, uint64_t value);
uint64_t load_be64(const void *at);
void store_le16(void *at, uint16_t value);
void store_le32(void *at, uint32_t value);
void store_le64(void *at, uint64_t value);
uint16_t load_le16(const void *at);
uint32_t load_le32(const void *at);
uint64_t load_le64(const void *at);

/* Writing a record: appends little-endian. Strings and blobs are u32 length + bytes (strings at most 65,535). */
void put_u8(struct buffer *b, uint8_t v);
void put_u16(struct buffer *b, uint16_t v);
void put_u32(struct buffer *b, uint32_t v);
void put_u64(struct buffer *b, uint64_t v);
void put_i64(struct buffer *b, int64_t v);
void put_blob(struct buffer *b, const void *data, size_t size);
void put_string(struct buffer *b, const char *text); /* NULL writes an empty one */

/* Reading: a short record sets `failed` and every later read gives 0 / empty, so that one check at the end does.
 * Borrowed pointers live as long as the bytes read from. */
struct reader {
    const uint8_t *at, *end;
    bool failed;
};
struct reader reader_of(const void *data, size_t size);
uint8_t take_u8(struct reader *r);
uint16_t take_u16(struct reader *r);
uint32_t take_u32(struct reader *r);
uint64_t take_u64(struct reader *r);
int64_t take_i64(struct reader *r);
void take_raw(struct reader *r, void *out, size_t size); /* exactly `size` bytes; zeroes on a short record */
struct bytes take_blob(struct reader *r);
/* Copies into `out` with a NUL; a longer string, or one with a NUL inside, fails the reader. */
void take_string(struct reader *r, char *out, size_t out_size);
bool reader_done(const struct reader *r); /* nothing failed and nothing left over */

uint32_t crc32c(uint32_t seed, const void *data, size_t size);    /* seed 0 to begin; Castagnoli */
uint32_t crc32c_portable(uint32_t seed, const void *data, size_t size); /* without the CPU's own instruction */
uint64_t hash64(uint64_t seed, const void *data, size_t size);    /* stable over versions and machines: goes to disk */

#endif
