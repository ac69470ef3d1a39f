/* A checked config as what a plugin reads: text in schema order, units converted, secrets in their place. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "plugin/private.h"
#include "plugin/schema_private.h"

enum { USUAL_SIZE = 1000 };

/* While the text still grows, parameters hold offsets into it: it may move. */
struct draft {
    size_t name, key, value, value_size;
    int32_t type;
    bool has_key;
};

struct builder {
    const struct plugin_secret_resolver *resolver;
    struct buffer text;   /* names, keys and values, each with its NUL */
    struct buffer drafts; /* struct draft each */
    struct error *err;
};

static size_t add_text(struct builder *b, const char *text)
{
    size_t at = b->text.size;
    buffer_append(&b->text, text, strlen(text) + 1);
    return at;
}

/* -- values -------------------------------------------------------------------------------------------------------- */

static enum status resolve(struct builder *b, const struct secret_piece *piece)
{
    char name[PLUGIN_REFERENCE_MAX + 1];
    memcpy(name, piece->text, piece->size);
    name[piece->size] = '\0';
    size_t before = b->text.size;
    enum status status = b->resolver->resolve(b->resolver->arg, piece->reference, name, &b->text, b->err);
    if (status != STATUS_OK)
        return status;
    const char *secret = b->text.data ? b->text.data + before : "";
    if (memchr(secret, '\0', b->text.size - before))
        return error_set(b->err, STATUS_INVALID, "the secret holds a NUL byte");
    if (!utf8_valid(secret, b->text.size - before, NULL))
        return error_set(b->err, STATUS_INVALID, "the secret is not UTF-8 text");
    return STATUS_OK;
}

static enum status write_string(struct builder *b, const struct schema_option *option, const char *at)
{
    size_t begin = b->text.size;
    for (;;) {
        const char *from = at;
        struct secret_piece piece = secret_next(&at);
        if (piece.kind == SECRET_END)
            break;
        if (piece.kind == SECRET_BAD)
            return error_set(b->err, STATUS_INVALID, "has %s", piece.text);
        if (piece.kind == SECRET_LITERAL) {
            buffer_append(&b->text, piece.text, piece.size);
        } else if (!b->resolver) {
            buffer_append(&b->text, from, (size_t)(at - from));
        } else {
            enum status status = resolve(b, &piece);
            if (status != STATUS_OK)
                return status;
        }
    }
    char message[128];
    if (b->resolver && !schema_string_fits(option, b->text.size - begin, message, sizeof message))
        return error_set(b->err, STATUS_INVALID, "%s", message);
    return STATUS_OK;
}

/* The config was checked: types and forms hold. */
static enum status write_value(struct builder *b, const struct schema_option *option, const cJSON *value)
{
    int64_t number = 0;
    enum status status = STATUS_OK;
    switch (option->type) {
    case CHRONOS_OPTION_STRING:
        return write_string(b, option, value->valuestring);
    case CHRONOS_OPTION_ENUM:
        buffer_append_string(&b->text, value->valuestring);
        break;
    case CHRONOS_OPTION_BOOL:
        buffer_append_string(&b->text, cJSON_IsTrue(value) ? "true" : "false");
        break;
    case CHRONOS_OPTION_INT:
        buffer_appendf(&b->text, "%" PRId64, (int64_t)value->valuedouble);
        break;
    case CHRONOS_OPTION_DURATION:
        status = duration_parse(value->valuestring, strlen(value->valuestring), &number, b->err);
        buffer_appendf(&b->text, "%" PRId64, number);
        break;
    case CHRONOS_OPTION_SIZE:
        if (cJSON_IsNumber(value))
            number = (int64_t)value->valuedouble;
        else
            status = size_parse(value->valuestring, strlen(value->valuestring), &number, b->err);
        buffer_appendf(&b->text, "%" PRId64, number);
        break;
    default: /* NUMBER, JSON */
        json_print(&b->text, value);
        break;
    }
    return status;
}

/* -- parameters ---------------------------------------------------------------------------------------------------- */

static enum status add_param(struct builder *b, const struct schema_option *option, size_t name, const char *key,
                             const cJSON *value)
{
    struct draft draft = {.name = name, .type = option->type, .has_key = key != NULL};
    if (key)
        draft.key = add_text(b, key);
    draft.value = b->text.size;
    enum status status = write_value(b, option, value);
    if (status != STATUS_OK)
        return status;
    draft.value_size = b->text.size - draft.value;
    buffer_append_char(&b->text, '\0');
    buffer_append(&b->drafts, &draft, sizeof draft);
    if (b->text.failed == STATUS_TOO_LARGE)
        return error_set(b->err, STATUS_TOO_LARGE, "the parameters are larger than %d bytes", PLUGIN_PARAMS_BYTES_MAX);
    if (b->text.failed || b->drafts.failed)
        return error_set(b->err, STATUS_NO_MEMORY, "out of memory");
    return STATUS_OK;
}

/* Where it went wrong. `element` NULL: in the option as a whole. */
static void name_place(struct error *err, const struct schema_option *option, const cJSON *element, int index)
{
    struct schema_pointer at = schema_pointer_of(option->name);
    if (element && (option->flags & CHRONOS_OPTION_MAP))
        (void)schema_pointer_push(&at, element->string, strlen(element->string));
    else if (element)
        (void)schema_pointer_push_index(&at, index);
    size_t kept = utf8_cut(at.text, at.size, sizeof err->field - 1);
    memcpy(err->field, at.text, kept);
    err->field[kept] = '\0';
}

static enum status add_option(struct builder *b, const struct schema_option *option, const cJSON *value)
{
    size_t name = add_text(b, option->name);
    if (!schema_is_many(option)) {
        enum status status = add_param(b, option, name, NULL, value);
        if (status != STATUS_OK)
            name_place(b->err, option, NULL, 0);
        return status;
    }
    const bool map = option->flags & CHRONOS_OPTION_MAP;
    int index = 0;
    const cJSON *element;
    cJSON_ArrayForEach(element, value)
    {
        enum status status = add_param(b, option, name, map ? element->string : NULL, element);
        if (status != STATUS_OK) {
            name_place(b->err, option, element, index);
            return status;
        }
        index++;
    }
    return STATUS_OK;
}

static enum status add_all(struct builder *b, const struct plugin_schema *schema, enum plugin_scope scope,
                           const cJSON *config)
{
    for (uint32_t i = 0; i < schema->count; i++) {
        const struct schema_option *option = &schema->options[i];
        if (!schema_in_scope(option, scope))
            continue;
        const cJSON *value = schema_lookup(config, option->name);
        if (!value)
            value = option->default_value;
        enum status status = value ? add_option(b, option, value) : STATUS_OK;
        if (status != STATUS_OK)
            return error_wrap(b->err, "%s", option->name);
    }
    return STATUS_OK;
}

/* Offsets become pointers, now that nothing moves any more. */
static enum status finish(struct builder *b, struct plugin_params *ret)
{
    size_t count = b->drafts.size / sizeof(struct draft);
    struct chronos_param *items = count ? calloc(count, sizeof *items) : NULL;
    if (count && !items)
        return error_set(b->err, STATUS_NO_MEMORY, "out of memory");
    char *memory = count ? buffer_steal(&b->text, NULL) : NULL;
    for (size_t i = 0; i < count; i++) {
        struct draft draft;
        memcpy(&draft, b->drafts.data + i * sizeof draft, sizeof draft);
        items[i] = (struct chronos_param){.name = memory + draft.name,
                                          .key = draft.has_key ? memory + draft.key : NULL,
                                          .type = draft.type,
                                          .value = {.data = memory + draft.value, .size = draft.value_size}};
    }
    *ret = (struct plugin_params){.items = items, .count = (uint32_t)count, .memory = memory};
    return STATUS_OK;
}

struct first_problem {
    struct error *err;
    size_t count;
};

static void keep_first(void *arg, const char *field, const char *message)
{
    struct first_problem *first = arg;
    if (first->count++ == 0)
        (void)error_set_field(first->err, STATUS_INVALID, field, "%s%s%s", field, field[0] ? ": " : "", message);
}

enum status plugin_schema_params(const struct plugin_schema *schema, enum plugin_scope scope, const cJSON *config,
                                 const struct plugin_secret_resolver *resolver, struct plugin_params *ret,
                                 struct error *err)
{
    struct first_problem first = {.err = err};
    if (plugin_schema_check(schema, scope, config, keep_first, &first) > 0)
        return STATUS_INVALID;
    struct builder b = {.resolver = resolver, .err = err};
    buffer_init(&b.text, PLUGIN_PARAMS_BYTES_MAX);
    buffer_init(&b.drafts, PLUGIN_PARAMS_BYTES_MAX);
    buffer_expect(&b.text, USUAL_SIZE);
    buffer_expect(&b.drafts, USUAL_SIZE);
    enum status status = add_all(&b, schema, scope, config);
    if (status == STATUS_OK)
        status = finish(&b, ret);
    buffer_deinit(&b.text);
    buffer_deinit(&b.drafts);
    return status;
}

void plugin_params_deinit(struct plugin_params *params)
{
    free(params->items);
    free(params->memory);
    *params = (struct plugin_params){0};
}
