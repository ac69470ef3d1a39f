/* JSON in and out. Reading is cJSON behind strict checks; writing is a small streaming writer over a buffer. */
#ifndef CHRONOS_BASE_JSON_H
#define CHRONOS_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "base/buffer.h"
#include "base/error.h"

/* Refuses, with line and column in the message: invalid UTF-8, syntax errors, trailing bytes, depth > JSON_DEPTH_MAX,
 * duplicate keys in one object, NUL in a string (also as \u0000), numbers that are not finite or have more than 63
 * characters (cJSON would cut them). STATUS_MALFORMED for all of these; STATUS_NO_MEMORY. *ret is freed with
 * cJSON_Delete. */
must_use enum status json_parse(const char *text, size_t size, cJSON **ret, struct error *err);

/* The nearest of `known` (NULL-terminated) to `word` by edit distance, or NULL if none is near (distance > 1 + len/3)
 * or the word is longer than NEAREST_WORD_MAX. */
const char *nearest_word(const char *word, const char *const *known);

/* Normalised text: no white space, object members in the order they stand. Appends to `out`. */
void json_print(struct buffer *out, const cJSON *value);

/* Writer: commas are placed by it. Misuse (a value without a key inside an object) is an assertion. */
enum { JSON_WRITER_DEPTH = 16 };
struct json_writer {
    struct buffer *out;
    uint8_t depth; /* 0 outside of everything; values written there follow each other without a comma */
    bool need_comma[JSON_WRITER_DEPTH];
    uint16_t objects; /* bit n: the container at depth n is an object */
    bool key_written; /* its value comes next */
};
struct json_writer json_writer_on(struct buffer *out);
void json_object_begin(struct json_writer *w);
void json_object_end(struct json_writer *w);
void json_array_begin(struct json_writer *w);
void json_array_end(struct json_writer *w);
void json_key(struct json_writer *w, const char *key);
void json_string(struct json_writer *w, const char *text); /* NULL writes null */
void json_string_bytes(struct json_writer *w, const void *data, size_t size); /* bad UTF-8 and NUL become U+FFFD */
void json_int(struct json_writer *w, int64_t value);
void json_number(struct json_writer *w, double value);
void json_thousandths(struct json_writer *w, uint32_t value); /* 1500 writes 1.5 */
void json_bool(struct json_writer *w, bool value);
void json_null(struct json_writer *w);
void json_tree(struct json_writer *w, const cJSON *value); /* as json_print */
void json_raw(struct json_writer *w, const void *text, size_t size); /* already JSON */
void json_time(struct json_writer *w, int64_t unix_ms);              /* RFC 3339 string */
/* key + value in one call */
void json_member_string(struct json_writer *w, const char *key, const char *text);
void json_member_int(struct json_writer *w, const char *key, int64_t value);
void json_member_bool(struct json_writer *w, const char *key, bool value);
void json_member_time(struct json_writer *w, const char *key, int64_t unix_ms); /* 0 writes null */
void json_member_null(struct json_writer *w, const char *key);
void json_member_duration(struct json_writer *w, const char *key, int64_t ms);

#endif
