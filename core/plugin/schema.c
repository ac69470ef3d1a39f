/* A plugin's option table: copied, and refused where it contradicts itself, so that the checks behind it can rely on
 * it. */
#include "plugin/schema.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "plugin/schema_private.h"

const char *schema_type_name(int32_t type)
{
    static const char *const names[] = {"", "string", "int", "number", "bool", "duration", "size", "enum", "json"};
    return type >= CHRONOS_OPTION_STRING && type <= CHRONOS_OPTION_JSON ? names[type] : NULL;
}

cJSON *schema_lookup(const cJSON *config, const char *name)
{
    const cJSON *at = config;
    while (at) {
        char part[PLUGIN_OPTION_NAME_MAX + 1];
        const char *dot = strchr(name, '.');
        if (!cJSON_IsObject(at))
            return NULL;
        if (!dot)
            return cJSON_GetObjectItemCaseSensitive(at, name);
        size_t size = (size_t)(dot - name);
        memcpy(part, name, size); /* option names were checked: size <= PLUGIN_OPTION_NAME_MAX */
        part[size] = '\0';
        at = cJSON_GetObjectItemCaseSensitive(at, part);
        name += size + 1;
    }
    return NULL;
}

/* -- pointers ------------------------------------------------------------------------------------------------------ */

struct schema_pointer schema_pointer_root(void)
{
    struct schema_pointer pointer;
    pointer.size = 0;
    pointer.text[0] = '\0'; /* the rest is written before it is read */
    return pointer;
}

size_t schema_pointer_push(struct schema_pointer *pointer, const char *part, size_t part_size)
{
    size_t before = pointer->size, at = before;
    size_t room = sizeof pointer->text - 1;
    if (at < room)
        pointer->text[at++] = '/';
    size_t kept = utf8_cut(part, part_size, (room - at) / 2); /* an escape takes two bytes */
    for (size_t i = 0; i < kept; i++) {
        if (part[i] == '~' || part[i] == '/')
            pointer->text[at++] = '~';
        pointer->text[at++] = part[i] == '~' ? '0' : part[i] == '/' ? '1' : part[i];
    }
    pointer->text[at] = '\0';
    pointer->size = at;
    return before;
}

size_t schema_pointer_push_index(struct schema_pointer *pointer, int index)
{
    char text[16];
    int size = snprintf(text, sizeof text, "%d", index);
    return schema_pointer_push(pointer, text, (size_t)size);
}

void schema_pointer_pop(struct schema_pointer *pointer, size_t size)
{
    pointer->size = size;
    pointer->text[size] = '\0';
}

struct schema_pointer schema_pointer_of(const char *option_name)
{
    struct schema_pointer pointer = schema_pointer_root();
    for (;;) {
        size_t size = strcspn(option_name, ".");
        (void)schema_pointer_push(&pointer, option_name, size);
        if (option_name[size] == '\0')
            return pointer;
        option_name += size + 1;
    }
}

/* -- limits -------------------------------------------------------------------------------------------------------- */

enum bound_type { BOUND_INTEGER, BOUND_COUNT, BOUND_NUMBER, BOUND_DURATION, BOUND_SIZE };

static enum bound_type bound_type_of(const struct schema_option *option)
{
    if (schema_is_many(option))
        return BOUND_COUNT;
    switch (option->type) {
    case CHRONOS_OPTION_INT: return BOUND_INTEGER;
    case CHRONOS_OPTION_NUMBER: return BOUND_NUMBER;
    case CHRONOS_OPTION_DURATION: return BOUND_DURATION;
    case CHRONOS_OPTION_SIZE: return BOUND_SIZE;
    default: return BOUND_COUNT;
    }
}

static bool parse_bound(enum bound_type type, const char *text, int64_t *ret, double *ret_number)
{
    struct error ignored; /* the caller's sentence names option and limits */
    char *end = NULL;
    errno = 0;
    switch (type) {
    case BOUND_DURATION:
        return duration_parse(text, strlen(text), ret, &ignored) == STATUS_OK;
    case BOUND_SIZE:
        return size_parse(text, strlen(text), ret, &ignored) == STATUS_OK;
    case BOUND_NUMBER:
        *ret_number = strtod(text, &end);
        return end != text && *end == '\0' && isfinite(*ret_number);
    case BOUND_INTEGER:
    case BOUND_COUNT:
    default:
        *ret = strtoll(text, &end, 10);
        return end != text && *end == '\0' && errno == 0 && (type == BOUND_INTEGER || *ret >= 0);
    }
}

/* "least..most"; either may be left out. */
static bool parse_range(struct schema_option *option)
{
    char text[128];
    size_t size = strlen(option->limits);
    const char *dots = strstr(option->limits, "..");
    if (!dots || size >= sizeof text || size == 2)
        return false;
    memcpy(text, option->limits, size + 1);
    text[dots - option->limits] = '\0';
    const char *most = text + (dots - option->limits) + 2;
    enum bound_type type = bound_type_of(option);
    option->has_least = text[0] != '\0';
    option->has_most = most[0] != '\0';
    if (option->has_least && !parse_bound(type, text, &option->least, &option->least_number))
        return false;
    if (option->has_most && !parse_bound(type, most, &option->most, &option->most_number))
        return false;
    if (!option->has_least || !option->has_most)
        return true;
    return type == BOUND_NUMBER ? option->least_number <= option->most_number : option->least <= option->most;
}

/* "a|b|c": at least one, none empty, none twice. */
static enum status parse_choices(struct schema_option *option, bool *ret_valid, struct error *err)
{
    size_t count = 1;
    for (const char *at = option->limits; *at; at++)
        count += *at == '|';
    option->choices_text = strdup(option->limits);
    option->choices = calloc(count + 1, sizeof *option->choices);
    if (!option->choices_text || !option->choices)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    char *at = option->choices_text;
    bool valid = true;
    for (size_t i = 0; i < count; i++) {
        char *bar = at + strcspn(at, "|");
        *bar = '\0';
        valid = valid && *at;
        for (size_t k = 0; k < i; k++)
            valid = valid && strcmp(option->choices[k], at) != 0;
        option->choices[i] = at;
        at = bar + 1;
    }
    *ret_valid = valid;
    return STATUS_OK;
}

static enum status parse_limits(struct schema_option *option, struct error *err)
{
    if (option->type == CHRONOS_OPTION_ENUM) {
        bool valid = false;
        enum status status = option->limits ? parse_choices(option, &valid, err) : STATUS_OK;
        if (status == STATUS_OK && !valid)
            status = error_set(err, STATUS_MISUSE, "an enum needs limits of the form \"a|b\", each word once");
        return status;
    }
    if (!option->limits)
        return STATUS_OK;
    bool one_value = !schema_is_many(option);
    if (one_value && (option->type == CHRONOS_OPTION_BOOL || option->type == CHRONOS_OPTION_JSON))
        return error_set(err, STATUS_MISUSE, "a %s has no limits", schema_type_name(option->type));
    if (!parse_range(option))
        return error_set(err, STATUS_MISUSE, "the limits \"%.64s\" are no range of this type, such as \"1..64\"",
                         option->limits);
    return STATUS_OK;
}

/* -- defaults ------------------------------------------------------------------------------------------------------ */

static bool default_is_text(const struct schema_option *option)
{
    return !schema_is_many(option) &&
           (option->type == CHRONOS_OPTION_STRING || option->type == CHRONOS_OPTION_ENUM ||
            option->type == CHRONOS_OPTION_DURATION || option->type == CHRONOS_OPTION_SIZE);
}

static void keep_first(void *arg, const char *field, const char *message)
{
    (void)field;
    struct error *err = arg;
    if (!err->message[0])
        (void)error_set(err, STATUS_MISUSE, "its default does not fit: %s", message);
}

/* Strings, words, durations and sizes stand as they are, everything else is JSON. */
static enum status parse_default(struct schema_option *option, struct error *err)
{
    if (!option->def)
        return STATUS_OK;
    if (default_is_text(option)) {
        option->default_value = cJSON_CreateString(option->def);
        if (!option->default_value)
            return error_set(err, STATUS_NO_MEMORY, "out of memory");
    } else if (json_parse(option->def, strlen(option->def), &option->default_value, err) != STATUS_OK) {
        err->code = STATUS_MISUSE;
        return error_wrap(err, "its default");
    }
    struct error first = {.code = STATUS_OK};
    struct schema_pointer at = schema_pointer_of(option->name);
    if (schema_check_value(option, option->default_value, &at, keep_first, &first) == 0)
        return STATUS_OK;
    *err = first;
    return STATUS_MISUSE;
}

/* -- the table ----------------------------------------------------------------------------------------------------- */

/* [a-z0-9_]+ parts with dots between them. */
static bool name_is_valid(const char *name)
{
    size_t size = 0;
    char before = '.';
    for (; name[size] && size <= PLUGIN_OPTION_NAME_MAX; size++) {
        char c = name[size];
        bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
        if (!word && (c != '.' || before == '.'))
            return false;
        before = c;
    }
    return before != '.' && size <= PLUGIN_OPTION_NAME_MAX;
}

/* Is `group` a leading part of `name` ("tls" of "tls.ca_file")? */
static bool is_group_of(const char *group, const char *name)
{
    size_t size = strlen(group);
    return strncmp(group, name, size) == 0 && name[size] == '.';
}

static enum status check_against(const struct plugin_schema *schema, const struct schema_option *added,
                                 struct error *err)
{
    for (const struct schema_option *other = schema->options; other < added; other++) {
        if (strcmp(other->name, added->name) == 0)
            return error_set(err, STATUS_MISUSE, "it is there twice");
        if (is_group_of(other->name, added->name) || is_group_of(added->name, other->name))
            return error_set(err, STATUS_MISUSE, "\"%s\" makes a group of what is also a value", other->name);
    }
    return STATUS_OK;
}

static enum status check_flags(const struct schema_option *option, struct error *err)
{
    const uint32_t known = CHRONOS_OPTION_REQUIRED | CHRONOS_OPTION_SECRET | CHRONOS_OPTION_PER_JOB |
                           CHRONOS_OPTION_DEPRECATED | CHRONOS_OPTION_LIST | CHRONOS_OPTION_MAP;
    if (!schema_type_name(option->type))
        return error_set(err, STATUS_MISUSE, "its type %" PRId32 " is unknown", option->type);
    if (option->flags & ~known)
        return error_set(err, STATUS_MISUSE, "its flags 0x%" PRIx32 " are unknown to this host",
                         option->flags & ~known);
    if ((option->flags & CHRONOS_OPTION_LIST) && (option->flags & CHRONOS_OPTION_MAP))
        return error_set(err, STATUS_MISUSE, "it cannot be a list and a map at once");
    if (schema_is_many(option) && !(option->flags & CHRONOS_OPTION_PER_JOB))
        return error_set(err, STATUS_MISUSE, "lists and maps are possible in jobs alone (PER_JOB)");
    if ((option->flags & CHRONOS_OPTION_SECRET) && option->type != CHRONOS_OPTION_STRING)
        return error_set(err, STATUS_MISUSE, "only a string can be secret");
    return STATUS_OK;
}

/* `out` stays NULL for NULL. */
static enum status copy_text(const char *what, const char *text, char **out, struct error *err)
{
    if (!text)
        return STATUS_OK;
    size_t size = strnlen(text, PLUGIN_TEXT_MAX + 1);
    if (size > PLUGIN_TEXT_MAX || !utf8_valid(text, size, NULL))
        return error_set(err, STATUS_MISUSE, "its %s is not UTF-8 of at most %d bytes", what, PLUGIN_TEXT_MAX);
    *out = strdup(text);
    return *out ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "out of memory");
}

static enum status copy_texts(struct schema_option *option, const struct chronos_option *from, struct error *err)
{
    enum status status = copy_text("default", from->def, &option->def, err);
    if (status == STATUS_OK)
        status = copy_text("limits", from->limits, &option->limits, err);
    if (status == STATUS_OK)
        status = copy_text("help", from->help, &option->help, err);
    return status;
}

static enum status read_option(const struct plugin_schema *schema, struct schema_option *option,
                               const struct chronos_option *from, struct error *err)
{
    option->name = strdup(from->name);
    if (!option->name)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    option->type = from->type;
    option->flags = from->flags;
    enum status status = check_flags(option, err);
    if (status == STATUS_OK)
        status = check_against(schema, option, err);
    if (status == STATUS_OK)
        status = copy_texts(option, from, err);
    if (status == STATUS_OK)
        status = parse_limits(option, err);
    if (status == STATUS_OK)
        status = parse_default(option, err);
    return status;
}

static enum status read_all(struct plugin_schema *schema, const struct chronos_option *options, uint32_t count,
                            uint32_t stride, struct error *err)
{
    for (uint32_t i = 0; i < count; i++) {
        struct chronos_option from = {0};
        memcpy(&from, (const char *)options + (size_t)i * stride, stride < sizeof from ? stride : sizeof from);
        if (!from.name || !name_is_valid(from.name))
            return error_set(err, STATUS_MISUSE,
                             "option number %" PRIu32 " has no valid name: parts of a-z, 0-9 and _ with dots between, "
                             "at most %d bytes", i + 1, PLUGIN_OPTION_NAME_MAX);
        struct schema_option *option = &schema->options[schema->count++];
        if (read_option(schema, option, &from, err) != STATUS_OK)
            return error_wrap(err, "option \"%s\"", from.name);
    }
    return STATUS_OK;
}

enum status plugin_schema_new(const struct chronos_option *options, uint32_t count, uint32_t stride,
                              struct plugin_schema **ret, struct error *err)
{
    if (count > PLUGIN_OPTIONS_MAX)
        return error_set(err, STATUS_MISUSE, "%" PRIu32 " options; at most %d are possible", count, PLUGIN_OPTIONS_MAX);
    struct plugin_schema *schema = calloc(1, sizeof *schema);
    if (schema && count)
        schema->options = calloc(count, sizeof *schema->options);
    if (!schema || (count && !schema->options)) {
        free(schema);
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    }
    enum status status = read_all(schema, options, count, stride, err);
    if (status != STATUS_OK) {
        plugin_schema_free(schema);
        return status;
    }
    *ret = schema;
    return STATUS_OK;
}

void plugin_schema_free(struct plugin_schema *schema)
{
    if (!schema)
        return;
    for (uint32_t i = 0; i < schema->count; i++) {
        struct schema_option *option = &schema->options[i];
        free(option->name);
        free(option->def);
        free(option->limits);
        free(option->help);
        free(option->choices_text);
        free(option->choices);
        cJSON_Delete(option->default_value);
    }
    free(schema->options);
    free(schema);
}

const char *plugin_schema_first_job_option(const struct plugin_schema *schema)
{
    for (uint32_t i = 0; i < schema->count; i++)
        if (schema->options[i].flags & CHRONOS_OPTION_PER_JOB)
            return schema->options[i].name;
    return NULL;
}
