#include "base/json.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static void append_escape(struct buffer *out, unsigned char c)
{
    static const char short_forms[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (size_t i = 0; i + 1 < sizeof short_forms; i += 2)
        if ((unsigned char)short_forms[i] == c) {
            buffer_append_char(out, '\\');
            buffer_append_char(out, short_forms[i + 1]);
            return;
        }
    buffer_appendf(out, "\\u%04x", (unsigned)c);
}

/* Whole stretches that need no escape are appended at once. */
static void append_quoted(struct buffer *out, const char *text, size_t size)
{
    size_t from = 0, at = 0;
    buffer_append_char(out, '"');
    while (at < size) {
        at += plain_text_size(text + at, size - at);
        if (at == size)
            break;
        unsigned char c = (unsigned char)text[at];
        size_t step = c >= 0x80 ? utf8_sequence_size(text + at, size - at) : 0;
        at += step;
        if (step > 0)
            continue;
        buffer_append(out, text + from, at - from);
        if (c >= 0x80 || c == '\0') /* our own reader refuses a NUL, as many do */
            buffer_append_string(out, "\xEF\xBF\xBD"); /* U+FFFD */
        else
            append_escape(out, c);
        from = ++at;
    }
    if (size > from)
        buffer_append(out, text + from, size - from);
    buffer_append_char(out, '"');
}

/* The shortest of 15 to 17 digits that reads back as the same double; whole numbers without an exponent where a double
 * holds every one. Independent of the locale: what printf took for a decimal point becomes ".". */
static void append_double(struct buffer *out, double value)
{
    if (!isfinite(value)) {
        buffer_append_string(out, "null"); /* JSON has no other word for it */
        return;
    }
    if (fabs(value) <= 9007199254740992.0 && value == (double)(int64_t)value) {
        buffer_append_int(out, (int64_t)value);
        return;
    }
    char text[48];
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    size_t point = strspn(text, "-0123456789");
    size_t rest = point + strcspn(text + point, "0123456789e");
    buffer_append(out, text, point);
    if (rest > point)
        buffer_append_char(out, '.');
    buffer_append_string(out, text + rest);
}

static void print_members(struct buffer *out, const cJSON *container)
{
    bool object = cJSON_IsObject(container);
    buffer_append_char(out, object ? '{' : '[');
    for (const cJSON *member = container->child; member; member = member->next) {
        if (member != container->child)
            buffer_append_char(out, ',');
        if (object) {
            append_quoted(out, member->string, strlen(member->string));
            buffer_append_char(out, ':');
        }
        json_print(out, member);
    }
    buffer_append_char(out, object ? '}' : ']');
}

/* Recursion as deep as the tree: bounded by JSON_DEPTH_MAX for what json_parse gave. */
void json_print(struct buffer *out, const cJSON *value)
{
    switch (value->type & 0xFF) {
    case cJSON_False:
        buffer_append_string(out, "false");
        return;
    case cJSON_True:
        buffer_append_string(out, "true");
        return;
    case cJSON_Number:
        append_double(out, value->valuedouble);
        return;
    case cJSON_String:
        append_quoted(out, value->valuestring, strlen(value->valuestring));
        return;
    case cJSON_Raw:
        buffer_append_string(out, value->valuestring);
        return;
    case cJSON_Array:
    case cJSON_Object:
        print_members(out, value);
        return;
    default:
        buffer_append_string(out, "null");
    }
}

struct json_writer json_writer_on(struct buffer *out)
{
    return (struct json_writer){.out = out};
}

static bool in_object(const struct json_writer *w)
{
    return w->objects >> w->depth & 1;
}

static void before_item(struct json_writer *w)
{
    /* At the top, values follow each other as they are: lines of JSON. */
    if (w->depth > 0 && w->need_comma[w->depth])
        buffer_append_char(w->out, ',');
    w->need_comma[w->depth] = true;
}

static void before_value(struct json_writer *w)
{
    if (in_object(w)) {
        assert(w->key_written);
        w->key_written = false;
        return;
    }
    before_item(w);
}

static void begin(struct json_writer *w, bool object)
{
    before_value(w);
    assert(w->depth + 1 < JSON_WRITER_DEPTH);
    w->depth++;
    w->need_comma[w->depth] = false;
    w->objects = (uint16_t)((w->objects & ~(1u << w->depth)) | (unsigned)object << w->depth);
    buffer_append_char(w->out, object ? '{' : '[');
}

static void end(struct json_writer *w, bool object)
{
    assert(w->depth > 0 && in_object(w) == object && !w->key_written);
    w->depth--;
    buffer_append_char(w->out, object ? '}' : ']');
}

void json_object_begin(struct json_writer *w)
{
    begin(w, true);
}

void json_object_end(struct json_writer *w)
{
    end(w, true);
}

void json_array_begin(struct json_writer *w)
{
    begin(w, false);
}

void json_array_end(struct json_writer *w)
{
    end(w, false);
}

void json_key(struct json_writer *w, const char *key)
{
    assert(in_object(w) && !w->key_written);
    before_item(w);
    append_quoted(w->out, key, strlen(key));
    buffer_append_char(w->out, ':');
    w->key_written = true;
}

void json_string(struct json_writer *w, const char *text)
{
    if (!text) {
        json_null(w);
        return;
    }
    json_string_bytes(w, text, strlen(text));
}

void json_string_bytes(struct json_writer *w, const void *data, size_t size)
{
    before_value(w);
    append_quoted(w->out, data, size);
}

void json_int(struct json_writer *w, int64_t value)
{
    before_value(w);
    buffer_append_int(w->out, value);
}

void json_number(struct json_writer *w, double value)
{
    before_value(w);
    append_double(w->out, value);
}

void json_thousandths(struct json_writer *w, uint32_t value)
{
    char fraction[] = {'.', (char)('0' + value / 100 % 10), (char)('0' + value / 10 % 10), (char)('0' + value % 10)};
    size_t size = value % 1000 == 0 ? 0 : value % 100 == 0 ? 2 : value % 10 == 0 ? 3 : 4;
    json_int(w, value / 1000);
    buffer_append(w->out, fraction, size);
}

void json_bool(struct json_writer *w, bool value)
{
    before_value(w);
    buffer_append_string(w->out, value ? "true" : "false");
}

void json_null(struct json_writer *w)
{
    before_value(w);
    buffer_append_string(w->out, "null");
}

void json_tree(struct json_writer *w, const cJSON *value)
{
    before_value(w);
    json_print(w->out, value);
}

void json_raw(struct json_writer *w, const void *text, size_t size)
{
    assert(size > 0);
    before_value(w);
    buffer_append(w->out, text, size);
}

void json_time(struct json_writer *w, int64_t unix_ms)
{
    char text[TIME_TEXT_SIZE];
    time_format(unix_ms, text);
    json_string(w, text);
}

void json_member_string(struct json_writer *w, const char *key, const char *text)
{
    json_key(w, key);
    json_string(w, text);
}

void json_member_int(struct json_writer *w, const char *key, int64_t value)
{
    json_key(w, key);
    json_int(w, value);
}

void json_member_bool(struct json_writer *w, const char *key, bool value)
{
    json_key(w, key);
    json_bool(w, value);
}

void json_member_time(struct json_writer *w, const char *key, int64_t unix_ms)
{
    json_key(w, key);
    if (unix_ms == 0)
        json_null(w);
    else
        json_time(w, unix_ms);
}

void json_member_null(struct json_writer *w, const char *key)
{
    json_key(w, key);
    json_null(w);
}

void json_member_duration(struct json_writer *w, const char *key, int64_t ms)
{
    char text[DURATION_TEXT_SIZE];
    duration_format(ms, text);
    json_key(w, key);
    json_string(w, text);
}
