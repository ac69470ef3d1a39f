#include "base/id.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/codec.h"

enum { DIGITS = 26, TIME_BYTES = 6 };
static const int64_t time_max = ((int64_t)1 << 48) - 1;
static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

void random_bytes_secure(void *out, size_t size)
{
    uint8_t *at = out;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort(); /* ids, sessions and hash seeds without randomness would be worse than no process */
        at += got;
        size -= (size_t)got;
    }
}

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

void random_seed(struct random *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        r->s[i] = splitmix64(&seed);
}

void random_seed_system(struct random *r)
{
    do
        random_bytes_secure(r->s, sizeof r->s);
    while ((r->s[0] | r->s[1] | r->s[2] | r->s[3]) == 0); /* the one state that the generator never leaves */
}

static uint64_t rotate_left(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

/* xoshiro256**, Blackman and Vigna, 2018. */
uint64_t random_next(struct random *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t random_below(struct random *r, uint64_t bound)
{
    assert(bound > 0);
    /* 2^64 mod bound values at the bottom would make small results likelier: draw again. */
    uint64_t refused = -bound % bound, value;
    do
        value = random_next(r);
    while (value < refused);
    return value % bound;
}

void id_source_init(struct id_source *source, uint64_t seed)
{
    *source = (struct id_source){0};
    if (seed == 0)
        random_seed_system(&source->random);
    else
        random_seed(&source->random, seed);
}

static void set_time(struct id *id, int64_t ms)
{
    for (int i = TIME_BYTES - 1; i >= 0; i--, ms >>= 8)
        id->bytes[i] = (uint8_t)ms;
}

/* The carry may run into the time: the id is then a millisecond early rather than not increasing. */
static void increment(struct id *id)
{
    for (int i = (int)sizeof id->bytes - 1; i >= 0; i--)
        if (++id->bytes[i] != 0)
            return;
}

struct id id_next(struct id_source *source, int64_t now_ms)
{
    int64_t ms = now_ms < 0 ? 0 : now_ms > time_max ? time_max : now_ms;
    struct id *last = &source->last;
    /* A clock that stood or went back: keep to the last time, so that ids never go back. */
    if (!id_is_zero(last) && ms <= id_time_ms(last)) {
        increment(last);
        return *last;
    }
    set_time(last, ms);
    uint64_t high = random_next(&source->random), low = random_next(&source->random);
    memcpy(last->bytes + TIME_BYTES, &high, 8);
    memcpy(last->bytes + TIME_BYTES + 8, &low, 2);
    last->bytes[TIME_BYTES] &= 0x7F; /* 2^79 steps within the millisecond before a carry */
    if (id_is_zero(last))
        increment(last);
    return *last;
}

bool id_is_zero(const struct id *id)
{
    static const struct id zero;
    return memcmp(id, &zero, sizeof zero) == 0;
}

int id_compare(const struct id *a, const struct id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

int64_t id_time_ms(const struct id *id)
{
    int64_t ms = 0;
    for (int i = 0; i < TIME_BYTES; i++)
        ms = ms << 8 | id->bytes[i];
    return ms;
}

void id_format(const char *prefix, const struct id *id, char out[ID_TEXT_SIZE])
{
    size_t prefix_size = strlen(prefix);
    assert(prefix_size + DIGITS < ID_TEXT_SIZE);
    memcpy(out, prefix, prefix_size);
    uint64_t high = load_be64(id->bytes), low = load_be64(id->bytes + 8);
    for (int i = DIGITS - 1; i >= 0; i--) {
        out[prefix_size + (size_t)i] = alphabet[low & 31];
        low = low >> 5 | high << 59;
        high >>= 5;
    }
    out[prefix_size + DIGITS] = '\0';
}

/* Bit offset of digit `index`: 26 digits are 130 bits, so the first digit holds only 3 of the 128. */
static int first_bit(int index)
{
    return index * 5 - 2;
}

static int digit_value(char c)
{
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

bool id_parse(const char *prefix, const char *text, size_t size, struct id *ret)
{
    size_t prefix_size = strlen(prefix);
    if (size != prefix_size + DIGITS || memcmp(text, prefix, prefix_size) != 0)
        return false;
    struct id id = {{0}};
    for (int i = 0; i < DIGITS; i++) {
        int value = digit_value(text[prefix_size + (size_t)i]);
        if (value < 0 || (i == 0 && value > 7))
            return false;
        for (int bit = 0; bit < 5; bit++) {
            int at = first_bit(i) + bit;
            if (at >= 0 && (value >> (4 - bit) & 1))
                id.bytes[at / 8] |= (uint8_t)(0x80 >> at % 8);
        }
    }
    if (id_is_zero(&id))
        return false; /* it means "none" in every row */
    *ret = id;
    return true;
}
