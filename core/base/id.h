/* Identifiers: 128 bits that sort by time (48-bit milliseconds, 80 random bits; within one millisecond the random part
 * counts up, so ids of one generator are strictly increasing). In text: a prefix and 26 Crockford base32 digits in
 * lower case, "job_01jq8z...". */
#ifndef CHRONOS_BASE_ID_H
#define CHRONOS_BASE_ID_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

struct id {
    uint8_t bytes[16];
};
enum { ID_TEXT_SIZE = 40 }; /* longest prefix, 26 digits, NUL */

struct random {      /* xoshiro256**; not for secrets */
    uint64_t s[4];
};
void random_seed(struct random *r, uint64_t seed);
void random_seed_system(struct random *r); /* getrandom(2) */
uint64_t random_next(struct random *r);
uint64_t random_below(struct random *r, uint64_t bound); /* bound > 0, unbiased */

struct id_source { /* one thread */
    struct random random;
    struct id last;
};
void id_source_init(struct id_source *source, uint64_t seed); /* seed 0: from the system */
struct id id_next(struct id_source *source, int64_t now_ms);

bool id_is_zero(const struct id *id);
int id_compare(const struct id *a, const struct id *b);
int64_t id_time_ms(const struct id *id);
void id_format(const char *prefix, const struct id *id, char out[ID_TEXT_SIZE]); /* prefix "job_" or "exec_" */
/* False unless `text` is exactly prefix + 26 digits, not all of them zero: no id is. */
bool id_parse(const char *prefix, const char *text, size_t size, struct id *ret);

void random_bytes_secure(void *out, size_t size); /* getrandom(2); aborts if the kernel refuses */

#endif
