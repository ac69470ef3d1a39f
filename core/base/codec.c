#include "base/codec.h"

#include <pthread.h>
#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

enum { STRING_SIZE_MAX = 65535 };

void store_be64(void *at, uint64_t value)
{
    uint8_t *bytes = at;
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (56 - 8 * i));
}

uint64_t load_be64(const void *at)
{
    const uint8_t *bytes = at;
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | bytes[i];
    return value;
}

static void store_le(void *at, uint64_t value, int size)
{
    uint8_t *bytes = at;
    for (int i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t load_le(const void *at, int size)
{
    const uint8_t *bytes = at;
    uint64_t value = 0;
    for (int i = 0; i < size; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

void store_le16(void *at, uint16_t value)
{
    store_le(at, value, 2);
}

void store_le32(void *at, uint32_t value)
{
    store_le(at, value, 4);
}

void store_le64(void *at, uint64_t value)
{
    store_le(at, value, 8);
}

uint16_t load_le16(const void *at)
{
    return (uint16_t)load_le(at, 2);
}

uint32_t load_le32(const void *at)
{
    return (uint32_t)load_le(at, 4);
}

uint64_t load_le64(const void *at)
{
    return load_le(at, 8);
}

static void put_le(struct buffer *b, uint64_t value, int size)
{
    uint8_t bytes[8];
    store_le(bytes, value, size);
    buffer_append(b, bytes, (size_t)size);
}

void put_u8(struct buffer *b, uint8_t v)
{
    put_le(b, v, 1);
}

void put_u16(struct buffer *b, uint16_t v)
{
    put_le(b, v, 2);
}

void put_u32(struct buffer *b, uint32_t v)
{
    put_le(b, v, 4);
}

void put_u64(struct buffer *b, uint64_t v)
{
    put_le(b, v, 8);
}

void put_i64(struct buffer *b, int64_t v)
{
    put_le(b, (uint64_t)v, 8);
}

static void put_sized(struct buffer *b, const void *data, size_t size, size_t size_max)
{
    if (size > size_max) {
        if (!b->failed)
            b->failed = STATUS_TOO_LARGE;
        return;
    }
    put_u32(b, (uint32_t)size);
    buffer_append(b, data, size);
}

void put_blob(struct buffer *b, const void *data, size_t size)
{
    put_sized(b, data, size, UINT32_MAX);
}

void put_string(struct buffer *b, const char *text)
{
    put_sized(b, text, text ? strlen(text) : 0, STRING_SIZE_MAX);
}

struct reader reader_of(const void *data, size_t size)
{
    static const uint8_t nothing[1];
    const uint8_t *at = data ? data : nothing;
    return (struct reader){.at = at, .end = at + (data ? size : 0), .failed = !data && size > 0};
}

/* The next `size` bytes, or NULL and a failed reader that is at its end for good. */
static const uint8_t *take(struct reader *r, size_t size)
{
    if (r->failed || size > (size_t)(r->end - r->at)) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *at = r->at;
    r->at += size;
    return at;
}

static uint64_t take_le(struct reader *r, int size)
{
    const uint8_t *at = take(r, (size_t)size);
    return at ? load_le(at, size) : 0;
}

uint8_t take_u8(struct reader *r)
{
    return (uint8_t)take_le(r, 1);
}

uint16_t take_u16(struct reader *r)
{
    return (uint16_t)take_le(r, 2);
}

uint32_t take_u32(struct reader *r)
{
    return (uint32_t)take_le(r, 4);
}

uint64_t take_u64(struct reader *r)
{
    return take_le(r, 8);
}

int64_t take_i64(struct reader *r)
{
    return (int64_t)take_le(r, 8);
}

void take_raw(struct reader *r, void *out, size_t size)
{
    if (size == 0)
        return;
    const uint8_t *at = take(r, size);
    if (at)
        memcpy(out, at, size);
    else
        memset(out, 0, size);
}

struct bytes take_blob(struct reader *r)
{
    uint32_t size = take_u32(r);
    const uint8_t *at = take(r, size);
    return at ? (struct bytes){at, size} : (struct bytes){NULL, 0};
}

void take_string(struct reader *r, char *out, size_t out_size)
{
    struct bytes text = take_blob(r);
    out[0] = '\0';
    if (r->failed)
        return;
    if (text.size >= out_size || text.size > STRING_SIZE_MAX || memchr(text.data, '\0', text.size)) {
        r->failed = true;
        return;
    }
    memcpy(out, text.data, text.size);
    out[text.size] = '\0';
}

bool reader_done(const struct reader *r)
{
    return !r->failed && r->at == r->end;
}

/* CRC-32C: the Castagnoli polynomial 0x1EDC6F41, reflected (RFC 3720 section 12.1). */
static uint32_t crc_table[8][256];

static void crc_table_fill(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
        crc_table[0][i] = crc;
    }
    for (int slice = 1; slice < 8; slice++)
        for (int i = 0; i < 256; i++) {
            uint32_t before = crc_table[slice - 1][i];
            crc_table[slice][i] = before >> 8 ^ crc_table[0][before & 0xFF];
        }
}

uint32_t crc32c_portable(uint32_t seed, const void *data, size_t size)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, crc_table_fill); /* fails only for a bad control block */
    const uint8_t *at = data;
    uint32_t crc = ~seed;
    for (; size >= 8; size -= 8, at += 8) {
        uint64_t word = load_le64(at) ^ crc;
        crc = 0;
        for (int i = 0; i < 8; i++)
            crc ^= crc_table[7 - i][word >> (8 * i) & 0xFF];
    }
    for (; size > 0; size--, at++)
        crc = crc >> 8 ^ crc_table[0][(crc ^ *at) & 0xFF];
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t seed, const void *data, size_t size)
{
    const uint8_t *at = data;
    uint64_t crc = (uint32_t)~seed;
    for (; size >= 8; size -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        crc = _mm_crc32_u64(crc, word);
    }
    uint32_t tail = (uint32_t)crc;
    for (; size > 0; size--, at++)
        tail = _mm_crc32_u8(tail, *at);
    return ~tail;
}
#endif

uint32_t crc32c(uint32_t seed, const void *data, size_t size)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_sse42(seed, data, size);
#endif
    return crc32c_portable(seed, data, size);
}

/* SipHash-1-3 (Aumasson and Bernstein, 2012; one round a word, three at the end) under the key (seed, ~seed * phi).
 * A keyed construction serves both uses: a secret seed keeps chosen names from colliding in a map, a fixed one gives
 * the same value for ever. On disk: never change it; tests pin its values. */
struct sip {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotate_left(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotate_left(s->v1, 13) ^ s->v0;
    s->v3 = rotate_left(s->v3, 16) ^ s->v2;
    s->v0 = rotate_left(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotate_left(s->v1, 17) ^ s->v2;
    s->v3 = rotate_left(s->v3, 21) ^ s->v0;
    s->v2 = rotate_left(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

uint64_t hash64(uint64_t seed, const void *data, size_t size)
{
    uint64_t k0 = seed, k1 = ~seed * 0x9E3779B97F4A7C15u;
    struct sip s = {k0 ^ 0x736F6D6570736575u, k1 ^ 0x646F72616E646F6Du, k0 ^ 0x6C7967656E657261u,
                    k1 ^ 0x7465646279746573u};
    const uint8_t *at = data;
    size_t left = size;
    for (; left >= 8; left -= 8, at += 8)
        sip_word(&s, load_le64(at));
    uint64_t last = (uint64_t)size << 56;
    if (left > 0)
        last |= load_le(at, (int)left);
    sip_word(&s, last);
    s.v2 ^= 0xFF;
    for (int i = 0; i < 3; i++)
        sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
