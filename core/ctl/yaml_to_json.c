#include "ctl/yaml_to_json.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/buffer.h"
#include "base/limits.h"
#include "ctl/text.h"
#include "ctl/yaml_schema.h"

enum { SHOWN_SIZE = 80 };

/* Whole numbers up to here are exact as JSON numbers (doubles). */
static const double exact_max = 9007199254740992.0;

struct converter {
    yaml_parser_t parser;
    const char *text, *label;
    size_t size;
    struct error *err;
    uint32_t depth, node_count;
};

/* cJSON uses valueint of numbers only: that of lists and objects holds their line. */
void yaml_set_line(cJSON *value, uint32_t line)
{
    if (cJSON_IsObject(value) || cJSON_IsArray(value))
        value->valueint = (int)line; /* a file has at most YAML_FILE_SIZE_MAX lines */
}

uint32_t yaml_line_of(const cJSON *value)
{
    return (cJSON_IsObject(value) || cJSON_IsArray(value)) && value->valueint > 0 ? (uint32_t)value->valueint : 0;
}

static void *refuse(struct converter *c, enum status code, const yaml_mark_t *mark, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Always NULL. */
static void *refuse(struct converter *c, enum status code, const yaml_mark_t *mark, const char *format, ...)
{
    char message[ERROR_MESSAGE_SIZE];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    (void)error_set(c->err, code, "%s:%zu:%zu: %s", c->label, mark->line + 1, mark->column + 1, message);
    return NULL;
}

static void *out_of_memory(struct converter *c)
{
    (void)error_set(c->err, STATUS_NO_MEMORY, "%s: out of memory", c->label);
    return NULL;
}

/* User's text inside a message: short, and no control characters. */
struct shown {
    char text[SHOWN_SIZE];
};

static struct shown shown(const void *data, size_t size)
{
    struct shown result = {""};
    struct buffer safe;
    buffer_init(&safe, 8 * SHOWN_SIZE);
    size_t cut = size > SHOWN_SIZE / 2 ? utf8_cut(data, size, SHOWN_SIZE / 2) : size;
    text_append_safe(&safe, data, cut, TEXT_ONE_LINE);
    if (safe.failed == STATUS_OK && safe.size > 0) {
        size_t fits = utf8_cut(safe.data, safe.size, sizeof result.text - 4);
        memcpy(result.text, safe.data, fits);
        memcpy(result.text + fits, cut < size || fits < safe.size ? "..." : "", cut < size || fits < safe.size ? 4 : 1);
    }
    buffer_deinit(&safe);
    return result;
}

/* --- syntax errors --- */

static const char *line_begin(const struct converter *c, size_t line)
{
    const char *at = c->text, *end = c->text + c->size;
    for (; line > 0; line--) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (newline == NULL)
            return end;
        at = newline + 1;
    }
    return at;
}

static struct bytes rest_of_line(const struct converter *c, const yaml_mark_t *mark)
{
    const char *at = line_begin(c, mark->line), *end = c->text + c->size;
    for (size_t column = mark->column; column > 0 && at < end && *at != '\n'; column--) {
        size_t sequence = utf8_sequence_size(at, (size_t)(end - at));
        at += sequence > 0 ? sequence : 1;
    }
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    size_t size = (size_t)((newline != NULL ? newline : end) - at);
    while (size > 0 && (at[size - 1] == '\r' || at[size - 1] == ' '))
        size--;
    return (struct bytes){at, size};
}

/* A tab in the indentation of the line, or of the one before it, which libyaml had finished when it noticed. */
static bool has_tab(const struct converter *c, size_t line, yaml_mark_t *ret_at)
{
    for (size_t i = 0; i < 2 && line >= i; i++) {
        const char *at = line_begin(c, line - i), *end = c->text + c->size;
        size_t column = 0;
        for (; at + column < end && at[column] == ' '; column++)
            continue;
        if (at + column >= end || at[column] != '\t')
            continue;
        *ret_at = (yaml_mark_t){.line = line - i, .column = column};
        return true;
    }
    return false;
}

/* What libyaml says is right and short; what the user needs is what to do. */
static const char *hint_for(const char *problem)
{
    static const struct {
        const char *begin, *hint;
    } hints[] = {
        {"mapping values are not allowed", "; check the indentation, and put a value with \": \" in it in quotes"},
        {"could not find expected ':'", "; a key needs a colon and a space behind it"},
        {"did not find expected key", "; the keys of one object must stand in the same column"},
        {"did not find expected '-'", "; the elements of one list must stand in the same column"},
        {"did not find expected ',' or", "; a bracket is not closed, or a comma is missing"},
        {"found unexpected end of stream", "; a quote or bracket is not closed"},
        {"found unknown escape character", "; in double quotes a backslash is written twice, in single quotes once"},
        {"block sequence entries are not allowed", "; put a list below its key, one \"- \" a line"},
        {"did not find expected <document start>", "; documents are separated by a line with \"---\""},
    };
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        if (strncmp(problem, hints[i].begin, strlen(hints[i].begin)) == 0)
            return hints[i].hint;
    return "";
}

/* "*" begins an alias, "@" and "`" are reserved, "%" is a directive: all of them begin schedules or templates that
 * people forget to quote. */
static void refuse_indicator(struct converter *c, const yaml_mark_t *mark)
{
    struct bytes rest = rest_of_line(c, mark);
    struct shown value = shown(rest.data, rest.size);
    char first = rest.size > 0 ? *(const char *)rest.data : '*';
    if (first == '*')
        (void)refuse(c, STATUS_MALFORMED, mark, "quote the schedule: \"%s\" (a plain * begins an alias in YAML)",
                     value.text);
    else if (first == '@')
        (void)refuse(c, STATUS_MALFORMED, mark, "quote the schedule: \"%s\" (YAML reserves a plain @)", value.text);
    else
        (void)refuse(c, STATUS_MALFORMED, mark, "a plain value cannot begin with \"%c\"; put it in quotes: \"%s\"",
                     first,
                     value.text);
}

static void refuse_reader(struct converter *c)
{
    size_t offset = c->parser.problem_offset < c->size ? c->parser.problem_offset : c->size;
    yaml_mark_t mark = {.line = 0, .column = 0};
    for (const char *at = c->text; at < c->text + offset; at++) {
        mark.column = *at == '\n' ? 0 : mark.column + 1;
        mark.line += *at == '\n';
    }
    (void)refuse(c, STATUS_MALFORMED, &mark, "not YAML: %s",
                 c->parser.problem != NULL ? c->parser.problem : "bad character");
}

static bool is_alias_error(const yaml_parser_t *parser)
{
    return parser->context != NULL && strcmp(parser->context, "while scanning an alias") == 0;
}

static void refuse_syntax(struct converter *c)
{
    const yaml_parser_t *parser = &c->parser;
    const char *problem = parser->problem != NULL ? parser->problem : "cannot be read";
    yaml_mark_t tab;
    if (parser->error == YAML_MEMORY_ERROR) {
        (void)out_of_memory(c);
    } else if (parser->error == YAML_READER_ERROR) {
        refuse_reader(c);
    } else if (is_alias_error(parser)) {
        refuse_indicator(c, &parser->context_mark);
    } else if (has_tab(c, parser->problem_mark.line, &tab)) {
        (void)refuse(c, STATUS_MALFORMED, &tab, "a tab in the indentation; YAML indents with spaces only");
    } else if (strncmp(problem, "found character that cannot start", 33) == 0) {
        refuse_indicator(c, &parser->problem_mark);
    } else {
        char context[128] = "";
        if (parser->context != NULL && parser->context_mark.line != parser->problem_mark.line)
            (void)snprintf(context, sizeof context, " %s that begins in line %zu", parser->context,
                           parser->context_mark.line + 1); /* a short text of libyaml */
        (void)refuse(c, STATUS_MALFORMED, &parser->problem_mark, "not YAML: %s%s%s", problem, context,
                     hint_for(problem));
    }
}

/* *event is to be deleted after true only. */
static bool next_event(struct converter *c, yaml_event_t *event)
{
    if (yaml_parser_parse(&c->parser, event))
        return true;
    refuse_syntax(c);
    return false;
}

/* --- values --- */

/* For every value: a limit on how many, and no anchors or tags. */
static bool admit(struct converter *c, const yaml_mark_t *mark, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (c->node_count++ == YAML_FILE_NODES_MAX)
        (void)refuse(c, STATUS_TOO_LARGE, mark, "more than %d values in one file", YAML_FILE_NODES_MAX);
    else if (anchor != NULL)
        (void)refuse(c, STATUS_MALFORMED, mark,
                     "anchors (&%s) are not supported; write the value out where it is needed",
                     shown(anchor, strlen((const char *)anchor)).text);
    else if (tag != NULL)
        (void)refuse(c, STATUS_MALFORMED, mark,
                     "tags (%s) are not supported; a value in quotes is text, a plain one is not",
                     shown(tag, strlen((const char *)tag)).text);
    else
        return true;
    return false;
}

static cJSON *number_value(struct converter *c, const yaml_mark_t *mark, const char *text, double value)
{
    if (!isfinite(value) || (fabs(value) > exact_max && text[strcspn(text, ".eE")] == '\0'))
        return refuse(c, STATUS_MALFORMED, mark, "%s is too large for a number; put it in quotes if it is text",
                      shown(text, strlen(text)).text);
    cJSON *json = cJSON_CreateNumber(value);
    return json != NULL ? json : out_of_memory(c);
}

static cJSON *plain_value(struct converter *c, const yaml_mark_t *mark, const char *text)
{
    cJSON *json = NULL;
    switch (yaml_plain_meaning(text)) {
    case YAML_NULL:
        json = cJSON_CreateNull();
        break;
    case YAML_TRUE:
        json = cJSON_CreateTrue();
        break;
    case YAML_FALSE:
        json = cJSON_CreateFalse();
        break;
    case YAML_NUMBER:
        return number_value(c, mark, text, strtod(text, NULL));
    case YAML_OCTAL:
        return number_value(c, mark, text, (double)strtoull(text + 2, NULL, 8));
    case YAML_HEXADECIMAL:
        return number_value(c, mark, text, (double)strtoull(text + 2, NULL, 16));
    case YAML_NOT_FINITE:
        return refuse(c, STATUS_MALFORMED, mark, "JSON has no %s; put it in quotes if it is text", text);
    case YAML_LEADING_ZERO:
        return refuse(c, STATUS_MALFORMED, mark,
                      "%s begins with 0, which some read as octal; put it in quotes if it is text, leave out the 0 if "
                      "it is a number",
                      shown(text, strlen(text)).text);
    case YAML_TEXT:
        json = cJSON_CreateString(text);
        break;
    }
    return json != NULL ? json : out_of_memory(c);
}

static cJSON *scalar_value(struct converter *c, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    const yaml_mark_t *mark = &event->start_mark;
    if (!admit(c, mark, event->data.scalar.anchor, event->data.scalar.tag))
        return NULL;
    if (memchr(text, '\0', event->data.scalar.length) != NULL)
        return refuse(c, STATUS_MALFORMED, mark, "the value holds a NUL character");
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        return plain_value(c, mark, text);
    cJSON *json = cJSON_CreateString(text);
    return json != NULL ? json : out_of_memory(c);
}

static cJSON *value_of(struct converter *c, yaml_event_t *event);

static bool fill_list(struct converter *c, cJSON *list)
{
    for (;;) {
        yaml_event_t event;
        if (!next_event(c, &event))
            return false;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        cJSON *element = value_of(c, &event);
        if (element == NULL)
            return false;
        if (!cJSON_AddItemToArray(list, element)) {
            cJSON_Delete(element);
            (void)out_of_memory(c);
            return false;
        }
    }
}

/* The key's text, to be freed, or NULL. Takes the event. */
static char *take_key(struct converter *c, const cJSON *object, yaml_event_t *event)
{
    const yaml_mark_t *mark = &event->start_mark;
    char *key = NULL;
    if (event->type == YAML_ALIAS_EVENT) {
        refuse_indicator(c, mark);
    } else if (event->type != YAML_SCALAR_EVENT) {
        (void)refuse(c, STATUS_MALFORMED, mark,
                     "a key must be plain text, not a list or an object; a value with {{ }} in it needs quotes");
    } else if (admit(c, mark, event->data.scalar.anchor, event->data.scalar.tag)) {
        const char *text = (const char *)event->data.scalar.value;
        size_t size = event->data.scalar.length;
        bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        if (memchr(text, '\0', size) != NULL)
            (void)refuse(c, STATUS_MALFORMED, mark, "the key holds a NUL character");
        else if (plain && strcmp(text, "<<") == 0)
            (void)refuse(c, STATUS_MALFORMED, mark, "merge keys (<<) are not supported; write the keys out");
        else if (plain && yaml_plain_meaning(text) == YAML_NULL)
            (void)refuse(c, STATUS_MALFORMED, mark, "the key is %s; put it in quotes if it is meant so",
                         *text ? text : "empty");
        else if (cJSON_GetObjectItemCaseSensitive(object, text) != NULL)
            (void)refuse(c, STATUS_MALFORMED, mark, "the key \"%s\" stands twice in the same object",
                         shown(text, size).text);
        else if ((key = strdup(text)) == NULL)
            (void)out_of_memory(c);
    }
    yaml_event_delete(event);
    return key;
}

static bool fill_object(struct converter *c, cJSON *object)
{
    for (;;) {
        yaml_event_t event;
        if (!next_event(c, &event))
            return false;
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        char *key = take_key(c, object, &event);
        if (key == NULL)
            return false;
        cJSON *value = next_event(c, &event) ? value_of(c, &event) : NULL;
        bool added = value != NULL && cJSON_AddItemToObject(object, key, value);
        free(key);
        if (added)
            continue;
        if (value != NULL)
            (void)out_of_memory(c);
        cJSON_Delete(value);
        return false;
    }
}

static cJSON *collection_value(struct converter *c, const yaml_mark_t *mark, bool is_list)
{
    if (c->depth == YAML_DEPTH_MAX)
        return refuse(c, STATUS_TOO_LARGE, mark, "nested deeper than %d levels", YAML_DEPTH_MAX);
    cJSON *json = is_list ? cJSON_CreateArray() : cJSON_CreateObject();
    if (json == NULL)
        return out_of_memory(c);
    yaml_set_line(json, (uint32_t)mark->line + 1);
    c->depth++;
    bool filled = is_list ? fill_list(c, json) : fill_object(c, json);
    c->depth--;
    if (filled)
        return json;
    cJSON_Delete(json);
    return NULL;
}

/* Takes the event. NULL after a refusal. */
static cJSON *value_of(struct converter *c, yaml_event_t *event)
{
    const yaml_mark_t mark = event->start_mark;
    cJSON *json = NULL;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        json = scalar_value(c, event);
        break;
    case YAML_ALIAS_EVENT:
        refuse_indicator(c, &mark);
        break;
    case YAML_MAPPING_START_EVENT:
        if (admit(c, &mark, event->data.mapping_start.anchor, event->data.mapping_start.tag))
            json = collection_value(c, &mark, false);
        break;
    case YAML_SEQUENCE_START_EVENT:
        if (admit(c, &mark, event->data.sequence_start.anchor, event->data.sequence_start.tag))
            json = collection_value(c, &mark, true);
        break;
    default: /* libyaml gives a value or an error here */
        assert(!"no value");
    }
    yaml_event_delete(event);
    return json;
}

/* --- documents --- */

static bool add_document(struct converter *c, cJSON *documents, yaml_event_t *event)
{
    bool empty = event->type == YAML_SCALAR_EVENT && event->data.scalar.length == 0 &&
                 event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    cJSON *json = value_of(c, event);
    if (json == NULL)
        return false;
    if (empty) {
        cJSON_Delete(json);
        return true;
    }
    if (cJSON_AddItemToArray(documents, json))
        return true;
    cJSON_Delete(json);
    (void)out_of_memory(c);
    return false;
}

static bool read_stream(struct converter *c, cJSON *documents)
{
    for (;;) {
        yaml_event_t event;
        if (!next_event(c, &event))
            return false;
        yaml_event_type_t type = event.type;
        if (type == YAML_STREAM_START_EVENT || type == YAML_STREAM_END_EVENT || type == YAML_DOCUMENT_START_EVENT ||
            type == YAML_DOCUMENT_END_EVENT)
            yaml_event_delete(&event);
        else if (!add_document(c, documents, &event))
            return false;
        if (type == YAML_STREAM_END_EVENT)
            return true;
    }
}

static enum status check_text(struct converter *c)
{
    size_t bad;
    yaml_mark_t mark = {.line = 0, .column = 0};
    if (c->size > YAML_FILE_SIZE_MAX)
        return error_set(c->err, STATUS_TOO_LARGE, "%s: larger than %d MiB", c->label, YAML_FILE_SIZE_MAX >> 20);
    if (utf8_valid(c->text, c->size, &bad))
        return STATUS_OK;
    for (size_t i = 0; i < bad; i++) {
        mark.column = c->text[i] == '\n' ? 0 : mark.column + 1;
        mark.line += c->text[i] == '\n';
    }
    (void)refuse(c, STATUS_MALFORMED, &mark, "not UTF-8: byte 0x%02x; save the file as UTF-8",
                 (unsigned char)c->text[bad]);
    return STATUS_MALFORMED;
}

enum status yaml_to_json(const char *text, size_t size, const char *label, cJSON **ret, struct error *err)
{
    struct converter c = {.text = size > 0 ? text : "", .size = size, .label = label, .err = err};
    if (check_text(&c) != STATUS_OK)
        return err->code;
    cJSON *documents = cJSON_CreateArray();
    if (documents == NULL || !yaml_parser_initialize(&c.parser)) {
        cJSON_Delete(documents);
        (void)out_of_memory(&c);
        return err->code;
    }
    yaml_parser_set_encoding(&c.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&c.parser, (const unsigned char *)c.text, size);
    bool read = read_stream(&c, documents);
    yaml_parser_delete(&c.parser);
    if (!read) {
        cJSON_Delete(documents);
        return err->code;
    }
    *ret = documents;
    return STATUS_OK;
}
