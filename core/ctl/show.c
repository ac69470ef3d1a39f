#include "ctl/show.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "ctl/text.h"

enum { INDENT = 2, SCALAR_MAX = 64 << 20 };

static const int64_t second_ms = 1000, minute_ms = 60000, hour_ms = 3600000, day_ms = 86400000;

static void largest_unit(int64_t ms, char out[RELATIVE_TEXT_SIZE])
{
    if (ms < 2 * minute_ms)
        (void)snprintf(out, RELATIVE_TEXT_SIZE, "%" PRId64 "s", ms / second_ms);
    else if (ms < 2 * hour_ms)
        (void)snprintf(out, RELATIVE_TEXT_SIZE, "%" PRId64 "m", ms / minute_ms);
    else if (ms < 2 * day_ms)
        (void)snprintf(out, RELATIVE_TEXT_SIZE, "%" PRId64 "h", ms / hour_ms);
    else
        (void)snprintf(out, RELATIVE_TEXT_SIZE, "%" PRId64 "d", ms / day_ms);
}

void show_relative(int64_t at_ms, int64_t now_ms, char out[RELATIVE_TEXT_SIZE])
{
    char unit[RELATIVE_TEXT_SIZE - 5];
    char text[RELATIVE_TEXT_SIZE];
    int64_t away = at_ms > now_ms ? at_ms - now_ms : now_ms - at_ms;
    if (away < second_ms) {
        (void)snprintf(out, RELATIVE_TEXT_SIZE, "now");
        return;
    }
    largest_unit(away, text);
    (void)snprintf(unit, sizeof unit, "%.*s", (int)sizeof unit - 1, text);
    (void)snprintf(out, RELATIVE_TEXT_SIZE, at_ms > now_ms ? "in %s" : "%s ago", unit);
}

void show_elapsed(int64_t ms, char out[RELATIVE_TEXT_SIZE])
{
    ms = ms < 0 ? 0 : ms;
    if (ms < second_ms)
        (void)snprintf(out, RELATIVE_TEXT_SIZE, "%" PRId64 "ms", ms);
    else if (ms < minute_ms)
        (void)snprintf(out, RELATIVE_TEXT_SIZE, "%" PRId64 ".%" PRId64 "s", ms / second_ms, ms % second_ms / 100);
    else if (ms < hour_ms)
        (void)snprintf(out, RELATIVE_TEXT_SIZE, "%" PRId64 "m%" PRId64 "s", ms / minute_ms, ms % minute_ms / second_ms);
    else
        (void)snprintf(out, RELATIVE_TEXT_SIZE, "%" PRId64 "h%" PRId64 "m", ms / hour_ms, ms % hour_ms / minute_ms);
}

/* --- JSON --- */

/* What json_print wrote of one value, with C1, DEL and direction characters (all of them inside strings) escaped. */
static void append_escaped(struct buffer *out, const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        const uint8_t *byte = (const uint8_t *)text + at;
        size_t sequence = utf8_sequence_size(byte, size - at);
        sequence = sequence > 0 ? sequence : 1;
        uint32_t code = text_code(byte, sequence);
        if (code >= 0x7f && text_is_unsafe(code))
            buffer_appendf(out, "\\u%04x", (unsigned)code);
        else
            buffer_append(out, byte, sequence);
        at += sequence;
    }
}

static void append_indent(struct buffer *out, int depth)
{
    buffer_appendf(out, "\n%*s", depth * INDENT, "");
}

static void append_scalar(struct buffer *out, const cJSON *value)
{
    struct buffer text;
    buffer_init(&text, SCALAR_MAX);
    json_print(&text, value);
    append_escaped(out, text.data, text.size);
    if (text.failed != STATUS_OK && out->failed == STATUS_OK)
        out->failed = text.failed;
    buffer_deinit(&text);
}

static void append_key(struct buffer *out, const char *key)
{
    struct buffer text;
    buffer_init(&text, SCALAR_MAX);
    struct json_writer w = json_writer_on(&text);
    json_string(&w, key);
    append_escaped(out, text.data, text.size);
    buffer_append_string(out, ": ");
    buffer_deinit(&text);
}

static void append_json(struct buffer *out, const cJSON *value, int depth)
{
    bool is_object = cJSON_IsObject(value);
    if (!is_object && !cJSON_IsArray(value)) {
        append_scalar(out, value);
        return;
    }
    buffer_append_char(out, is_object ? '{' : '[');
    for (const cJSON *child = value->child; child != NULL; child = child->next) {
        append_indent(out, depth + 1);
        if (is_object)
            append_key(out, child->string);
        append_json(out, child, depth + 1);
        if (child->next != NULL)
            buffer_append_char(out, ',');
    }
    if (value->child != NULL)
        append_indent(out, depth);
    buffer_append_char(out, is_object ? '}' : ']');
}

void show_json(const cJSON *value, struct buffer *out)
{
    append_json(out, value, 0);
    buffer_append_char(out, '\n');
}

/* --- members --- */

enum cell_style show_status_style(const char *status)
{
    static const struct {
        const char *status;
        enum cell_style style;
    } styles[] = {
        {"success", CELL_GOOD}, {"failed", CELL_BAD},     {"timeout", CELL_BAD},    {"lost", CELL_BAD},
        {"running", CELL_BUSY}, {"pending", CELL_BUSY},   {"skipped", CELL_FAINT},  {"cancelled", CELL_FAINT},
    };
    for (size_t i = 0; status != NULL && i < sizeof styles / sizeof *styles; i++)
        if (strcmp(styles[i].status, status) == 0)
            return styles[i].style;
    return CELL_PLAIN;
}

const char *member_string(const cJSON *object, const char *name)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(member) ? member->valuestring : NULL;
}

int64_t member_int(const cJSON *object, const char *name, int64_t otherwise)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(member) && fabs(member->valuedouble) < 9e15 ? (int64_t)member->valuedouble : otherwise;
}

bool member_true(const cJSON *object, const char *name)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, name));
}

bool member_time(const cJSON *object, const char *name, int64_t *ret_ms)
{
    const char *text = member_string(object, name);
    struct error err;
    return text != NULL && time_parse(text, strlen(text), ret_ms, &err) == STATUS_OK;
}
