/* A config against its schema: every problem, each with its place and a sentence. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "plugin/private.h"
#include "plugin/schema_private.h"

enum { MESSAGE_SIZE = 320, SHOWN_SIZE = 65, KEYS_SHOWN_MAX = 12, HINT_MAX = 200 };

struct checker {
    plugin_problem_report report;
    void *arg;
    struct schema_pointer *at;
    size_t count;
};

static void problem(struct checker *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void problem(struct checker *c, const char *format, ...)
{
    char message[MESSAGE_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    c->count++;
    c->report(c->arg, c->at->text, message);
}

/* A user's word inside a sentence. */
static const char *show(char out[SHOWN_SIZE], const char *text)
{
    (void)plugin_text_clean(out, SHOWN_SIZE, text, strlen(text));
    return out;
}

static const char *json_type_name(const cJSON *value)
{
    switch (value->type & 0xff) {
    case cJSON_True:
    case cJSON_False: return "a boolean";
    case cJSON_NULL: return "null";
    case cJSON_Number: return "a number";
    case cJSON_String: return "a string";
    case cJSON_Array: return "an array";
    case cJSON_Object: return "an object";
    default: return "something else";
    }
}

/* -- one value ----------------------------------------------------------------------------------------------------- */

/* "between 1 and 64", "at least 1", "at most 64". */
static void describe_range(const struct schema_option *option, char out[160])
{
    char least[DURATION_TEXT_SIZE] = "", most[DURATION_TEXT_SIZE] = "";
    if (option->type == CHRONOS_OPTION_DURATION) {
        duration_format(option->least, least);
        duration_format(option->most, most);
    } else if (option->type == CHRONOS_OPTION_SIZE) {
        size_format(option->least, least);
        size_format(option->most, most);
    } else if (option->type == CHRONOS_OPTION_NUMBER) {
        snprintf(least, sizeof least, "%g", option->least_number);
        snprintf(most, sizeof most, "%g", option->most_number);
    } else {
        snprintf(least, sizeof least, "%" PRId64, option->least);
        snprintf(most, sizeof most, "%" PRId64, option->most);
    }
    if (option->has_least && option->has_most)
        snprintf(out, 160, "between %s and %s", least, most);
    else if (option->has_least)
        snprintf(out, 160, "at least %s", least);
    else
        snprintf(out, 160, "at most %s", most);
}

static void check_range(struct checker *c, const struct schema_option *option, int64_t value, const char *shown)
{
    if (schema_is_many(option)) /* then the limits count elements */
        return;
    if ((option->has_least && value < option->least) || (option->has_most && value > option->most)) {
        char range[160];
        describe_range(option, range);
        problem(c, "must be %s, not %s", range, shown);
    }
}

static void check_count(struct checker *c, const struct schema_option *option, int count, const char *noun)
{
    int64_t most = option->has_most && option->type != CHRONOS_OPTION_ENUM ? option->most : PLUGIN_ELEMENTS_MAX;
    int64_t least = option->has_least && option->type != CHRONOS_OPTION_ENUM ? option->least : 0;
    if (count < least)
        problem(c, "must have at least %" PRId64 " %s, not %d", least, noun, count);
    else if (count > most)
        problem(c, "must have at most %" PRId64 " %s, not %d", most, noun, count);
}

bool schema_string_fits(const struct schema_option *option, size_t size, char *out, size_t out_size)
{
    if (schema_is_many(option))
        return true;
    if (option->has_least && size < (uint64_t)option->least) {
        if (size == 0)
            snprintf(out, out_size, "must not be empty");
        else
            snprintf(out, out_size, "must be at least %" PRId64 " bytes long, not %zu", option->least, size);
        return false;
    }
    if (option->has_most && size > (uint64_t)option->most) {
        snprintf(out, out_size, "must be at most %" PRId64 " bytes long, not %zu", option->most, size);
        return false;
    }
    return true;
}

/* With a reference inside, the length is known only where the secret is. */
static void check_string(struct checker *c, const struct schema_option *option, const cJSON *value)
{
    const char *at = value->valuestring;
    size_t size = 0;
    for (;;) {
        struct secret_piece piece = secret_next(&at);
        if (piece.kind == SECRET_END)
            break;
        if (piece.kind == SECRET_BAD) {
            problem(c, "has %s", piece.text);
            return;
        }
        size += piece.kind == SECRET_LITERAL ? piece.size : 0;
    }
    char message[128];
    if (!secret_text_has_reference(value->valuestring) && !schema_string_fits(option, size, message, sizeof message))
        problem(c, "%s", message);
}

/* JSON numbers are doubles here: beyond 2^53 an integer is no longer the one that was written. */
static bool exact_integer(double value)
{
    const double limit = 9007199254740992.0;
    return value >= -limit && value <= limit && (double)(int64_t)value == value; /* false for NaN */
}

static void check_integer(struct checker *c, const struct schema_option *option, const cJSON *value)
{
    if (!exact_integer(value->valuedouble)) {
        problem(c, "must be an integer, not %.17g", value->valuedouble);
        return;
    }
    char shown[32];
    snprintf(shown, sizeof shown, "%.0f", value->valuedouble);
    check_range(c, option, (int64_t)value->valuedouble, shown);
}

static void check_number(struct checker *c, const struct schema_option *option, const cJSON *value)
{
    double number = value->valuedouble;
    char range[160];
    if (!isfinite(number)) {
        problem(c, "must be a finite number");
    } else if (!schema_is_many(option) && ((option->has_least && number < option->least_number) ||
                                           (option->has_most && number > option->most_number))) {
        describe_range(option, range);
        problem(c, "must be %s, not %g", range, number);
    }
}

static void check_duration(struct checker *c, const struct schema_option *option, const cJSON *value)
{
    struct error err;
    int64_t ms;
    char shown[SHOWN_SIZE];
    if (duration_parse(value->valuestring, strlen(value->valuestring), &ms, &err) != STATUS_OK)
        problem(c, "%s", err.message);
    else
        check_range(c, option, ms, show(shown, value->valuestring));
}

static void check_size_value(struct checker *c, const struct schema_option *option, const cJSON *value)
{
    struct error err;
    int64_t bytes;
    char shown[SHOWN_SIZE];
    if (cJSON_IsNumber(value)) {
        if (!exact_integer(value->valuedouble) || value->valuedouble < 0) {
            problem(c, "must be a size such as \"64MiB\" or a whole number of bytes, not %.17g", value->valuedouble);
            return;
        }
        snprintf(shown, sizeof shown, "%.0f", value->valuedouble);
        check_range(c, option, (int64_t)value->valuedouble, shown);
    } else if (size_parse(value->valuestring, strlen(value->valuestring), &bytes, &err) != STATUS_OK) {
        problem(c, "%s", err.message);
    } else {
        check_range(c, option, bytes, show(shown, value->valuestring));
    }
}

static void check_enum(struct checker *c, const struct schema_option *option, const cJSON *value)
{
    for (const char *const *choice = option->choices; *choice; choice++)
        if (strcmp(*choice, value->valuestring) == 0)
            return;
    char shown[SHOWN_SIZE];
    const char *near = nearest_word(value->valuestring, option->choices);
    if (near)
        problem(c, "\"%s\" is not one of %.128s; did you mean \"%.64s\"?", show(shown, value->valuestring),
                option->limits,
                near);
    else
        problem(c, "\"%s\" is not one of %.128s", show(shown, value->valuestring), option->limits);
}

/* What the type demands of the JSON value, and how a sentence calls it. */
static bool json_type_fits(int32_t type, const cJSON *value, const char **ret_wanted)
{
    switch (type) {
    case CHRONOS_OPTION_INT: *ret_wanted = "an integer"; return cJSON_IsNumber(value);
    case CHRONOS_OPTION_NUMBER: *ret_wanted = "a number"; return cJSON_IsNumber(value);
    case CHRONOS_OPTION_BOOL: *ret_wanted = "true or false"; return cJSON_IsBool(value);
    case CHRONOS_OPTION_DURATION: *ret_wanted = "a duration such as \"30s\""; return cJSON_IsString(value);
    case CHRONOS_OPTION_SIZE:
        *ret_wanted = "a size such as \"64MiB\" or a number of bytes";
        return cJSON_IsString(value) || cJSON_IsNumber(value);
    case CHRONOS_OPTION_JSON: *ret_wanted = "JSON"; return true;
    default: *ret_wanted = "a string"; return cJSON_IsString(value);
    }
}

static void check_one(struct checker *c, const struct schema_option *option, const cJSON *value)
{
    const char *wanted;
    if (!json_type_fits(option->type, value, &wanted)) {
        problem(c, "must be %s, not %s", wanted, json_type_name(value));
        return;
    }
    switch (option->type) {
    case CHRONOS_OPTION_STRING: check_string(c, option, value); break;
    case CHRONOS_OPTION_INT: check_integer(c, option, value); break;
    case CHRONOS_OPTION_NUMBER: check_number(c, option, value); break;
    case CHRONOS_OPTION_DURATION: check_duration(c, option, value); break;
    case CHRONOS_OPTION_SIZE: check_size_value(c, option, value); break;
    case CHRONOS_OPTION_ENUM: check_enum(c, option, value); break;
    default: break; /* BOOL, JSON: the type is all */
    }
}

/* -- lists and maps ------------------------------------------------------------------------------------------------ */

static void check_list(struct checker *c, const struct schema_option *option, const cJSON *value)
{
    if (!cJSON_IsArray(value)) {
        problem(c, "must be an array, not %s", json_type_name(value));
        return;
    }
    check_count(c, option, cJSON_GetArraySize(value), "elements");
    int index = 0;
    const cJSON *element;
    cJSON_ArrayForEach(element, value)
    {
        if (c->count >= PLUGIN_PROBLEMS_MAX)
            return;
        size_t before = schema_pointer_push_index(c->at, index++);
        check_one(c, option, element);
        schema_pointer_pop(c->at, before);
    }
}

static bool check_map_key(struct checker *c, const char *key)
{
    size_t size = strlen(key);
    if (size == 0 || size > PLUGIN_MAP_KEY_MAX) {
        problem(c, "its key must be 1 to %d bytes long, not %zu", PLUGIN_MAP_KEY_MAX, size);
        return false;
    }
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)key[i] < 0x20 || key[i] == 0x7f) {
            problem(c, "its key must not hold control characters");
            return false;
        }
    return true;
}

static void check_map(struct checker *c, const struct schema_option *option, const cJSON *value)
{
    if (!cJSON_IsObject(value)) {
        problem(c, "must be an object, not %s", json_type_name(value));
        return;
    }
    check_count(c, option, cJSON_GetArraySize(value), "members");
    const cJSON *member;
    cJSON_ArrayForEach(member, value)
    {
        if (c->count >= PLUGIN_PROBLEMS_MAX)
            return;
        size_t before = schema_pointer_push(c->at, member->string, strlen(member->string));
        if (check_map_key(c, member->string))
            check_one(c, option, member);
        schema_pointer_pop(c->at, before);
    }
}

size_t schema_check_value(const struct schema_option *option, const cJSON *value, struct schema_pointer *at,
                          plugin_problem_report report, void *arg)
{
    struct checker c = {.report = report, .arg = arg, .at = at};
    if (option->flags & CHRONOS_OPTION_LIST)
        check_list(&c, option, value);
    else if (option->flags & CHRONOS_OPTION_MAP)
        check_map(&c, option, value);
    else
        check_one(&c, option, value);
    return c.count;
}

/* -- the whole config ---------------------------------------------------------------------------------------------- */

/* Names of the walk so far: "tls." while inside {"tls": {...}}. */
struct level {
    char text[PLUGIN_OPTION_NAME_MAX + 2];
    size_t size;
};

/* `name` below `level`, or NULL if it is not there. */
static const char *below(const struct level *level, const char *name)
{
    return strncmp(name, level->text, level->size) == 0 ? name + level->size : NULL;
}

/* The keys of one level, each once: options, and groups of options. */
struct words {
    const char *items[PLUGIN_OPTIONS_MAX + 1]; /* NULL-terminated */
    size_t count;
    struct buffer memory;
};

static bool is_listed(const struct words *words, const char *text, size_t size)
{
    for (size_t at = 0; at < words->memory.size; at += strlen(words->memory.data + at) + 1)
        if (strlen(words->memory.data + at) == size && memcmp(words->memory.data + at, text, size) == 0)
            return true;
    return false;
}

static void words_init(struct words *words, const struct plugin_schema *schema, enum plugin_scope scope,
                       const struct level *level)
{
    *words = (struct words){.count = 0};
    buffer_init(&words->memory, (size_t)PLUGIN_OPTIONS_MAX * (PLUGIN_OPTION_NAME_MAX + 1));
    for (uint32_t i = 0; i < schema->count; i++) {
        const char *rest = below(level, schema->options[i].name);
        size_t size = rest ? strcspn(rest, ".") : 0;
        if (!rest || !schema_in_scope(&schema->options[i], scope) || is_listed(words, rest, size))
            continue;
        buffer_append(&words->memory, rest, size);
        buffer_append(&words->memory, "", 1);
    }
    if (words->memory.failed) /* a message without a hint then */
        return;
    for (size_t at = 0; at < words->memory.size; at += strlen(words->memory.data + at) + 1)
        words->items[words->count++] = words->memory.data + at;
}

static void words_deinit(struct words *words)
{
    buffer_deinit(&words->memory);
}

/* "; did you mean "x"?", or the keys that there are if those are few. */
static void append_hint(struct buffer *out, const struct words *words, const char *key)
{
    const char *near = nearest_word(key, words->items);
    if (near) {
        buffer_appendf(out, "; did you mean \"%s\"?", near);
        return;
    }
    if (words->count == 0 || words->count > KEYS_SHOWN_MAX)
        return;
    buffer_append_string(out, "; known: ");
    for (size_t i = 0; i < words->count; i++)
        buffer_appendf(out, "%s%s", i > 0 ? ", " : "", words->items[i]);
}

static bool other_scope_has(const struct plugin_schema *schema, enum plugin_scope scope, const struct level *level,
                            const char *key)
{
    for (uint32_t i = 0; i < schema->count; i++) {
        const char *rest = below(level, schema->options[i].name);
        size_t size = strlen(key);
        if (rest && !schema_in_scope(&schema->options[i], scope) && strncmp(rest, key, size) == 0 &&
            (rest[size] == '\0' || rest[size] == '.'))
            return true;
    }
    return false;
}

static void unknown_key(struct checker *c, const struct plugin_schema *schema, enum plugin_scope scope,
                        const struct level *level, const char *key)
{
    char shown[SHOWN_SIZE];
    (void)show(shown, key);
    if (other_scope_has(schema, scope, level, key)) {
        problem(c, scope == PLUGIN_SCOPE_JOB ? "\"%s\" is set in the node's configuration file, not in a job"
                                             : "\"%s\" is set in a job's config, not in the node's configuration file",
                                             shown);
        return;
    }
    struct words words;
    struct buffer hint;
    words_init(&words, schema, scope, level);
    buffer_init(&hint, HINT_MAX);
    append_hint(&hint, &words, key);
    problem(c, "unknown key \"%s\"%s", shown, hint.size > 0 && !hint.failed ? hint.data : "");
    buffer_deinit(&hint);
    words_deinit(&words);
}

enum meaning { MEANS_NOTHING, MEANS_OPTION, MEANS_GROUP };

static enum meaning meaning_of(const struct plugin_schema *schema, enum plugin_scope scope, const struct level *level,
                               const char *key, const struct schema_option **ret)
{
    size_t size = strlen(key);
    if (size == 0 || strchr(key, '.')) /* groups are objects, never dotted keys */
        return MEANS_NOTHING;
    for (uint32_t i = 0; i < schema->count; i++) {
        const struct schema_option *option = &schema->options[i];
        const char *rest = below(level, option->name);
        if (!rest || !schema_in_scope(option, scope) || strncmp(rest, key, size) != 0)
            continue;
        if (rest[size] == '.')
            return MEANS_GROUP;
        if (rest[size] == '\0') {
            *ret = option;
            return MEANS_OPTION;
        }
    }
    return MEANS_NOTHING;
}

/* Each group of names is one level of recursion: as deep as an option name has dots, at most 63. */
static void check_object(struct checker *c, const struct plugin_schema *schema, enum plugin_scope scope,
                         struct level *level, const cJSON *object)
{
    const cJSON *member;
    cJSON_ArrayForEach(member, object)
    {
        if (c->count >= PLUGIN_PROBLEMS_MAX)
            return;
        const char *key = member->string;
        size_t before = schema_pointer_push(c->at, key, strlen(key));
        const struct schema_option *option = NULL;
        enum meaning meaning = meaning_of(schema, scope, level, key, &option);
        if (meaning == MEANS_NOTHING) {
            unknown_key(c, schema, scope, level, key);
        } else if (meaning == MEANS_OPTION) {
            c->count += schema_check_value(option, member, c->at, c->report, c->arg);
        } else if (!cJSON_IsObject(member)) {
            problem(c, "must be an object, not %s", json_type_name(member));
        } else {
            size_t outer = level->size;
            level->size += (size_t)snprintf(level->text + outer, sizeof level->text - outer, "%s.", key);
            check_object(c, schema, scope, level, member);
            level->size = outer;
            level->text[outer] = '\0';
        }
        schema_pointer_pop(c->at, before);
    }
}

static void check_required(struct checker *c, const struct plugin_schema *schema, enum plugin_scope scope,
                           const cJSON *config)
{
    for (uint32_t i = 0; i < schema->count && c->count < PLUGIN_PROBLEMS_MAX; i++) {
        const struct schema_option *option = &schema->options[i];
        if (!(option->flags & CHRONOS_OPTION_REQUIRED) || option->default_value || !schema_in_scope(option, scope) ||
            schema_lookup(config, option->name))
            continue;
        struct schema_pointer at = schema_pointer_of(option->name);
        c->at = &at;
        problem(c, "is required");
    }
}

size_t plugin_schema_check(const struct plugin_schema *schema, enum plugin_scope scope, const cJSON *config,
                           plugin_problem_report report, void *arg)
{
    struct schema_pointer at = schema_pointer_root();
    struct checker c = {.report = report, .arg = arg, .at = &at};
    struct level level = {.size = 0};
    if (config && !cJSON_IsObject(config)) {
        problem(&c, "must be an object, not %s", json_type_name(config));
        return c.count;
    }
    if (config)
        check_object(&c, schema, scope, &level, config);
    check_required(&c, schema, scope, config);
    return c.count;
}

void plugin_schema_deprecated(const struct plugin_schema *schema, enum plugin_scope scope, const cJSON *config,
                              plugin_problem_report report, void *arg)
{
    for (uint32_t i = 0; i < schema->count; i++) {
        const struct schema_option *option = &schema->options[i];
        if (!(option->flags & CHRONOS_OPTION_DEPRECATED) || !schema_in_scope(option, scope) ||
            !schema_lookup(config, option->name))
            continue;
        struct schema_pointer at = schema_pointer_of(option->name);
        report(arg, at.text, option->help ? option->help : "");
    }
}
