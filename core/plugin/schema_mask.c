/* What users may read back of secrets, and what a schema looks like from outside. */
#include <string.h>

#include "plugin/schema_private.h"

static bool is_secret(const struct schema_option *option)
{
    return (option->flags & CHRONOS_OPTION_SECRET) != 0;
}

/* -- mask ---------------------------------------------------------------------------------------------------------- */

/* False: out of memory. A text that is nothing but references says where the secret lies, not what it is. One that
 * mixes both is masked: nobody can tell how much of the literal part is the secret. Lists and maps are masked inside,
 * whatever the option says: what is stored may come from an older version of the plugin. */
static bool mask_value(cJSON *value)
{
    if (cJSON_IsString(value))
        return secret_text_is_reference(value->valuestring) || cJSON_SetValuestring(value, PLUGIN_SECRET_MASK);
    cJSON *element;
    cJSON_ArrayForEach(element, value)
        if (!mask_value(element))
            return false;
    return true;
}

static bool mask_option(const struct schema_option *option, cJSON *config)
{
    cJSON *value = schema_lookup(config, option->name);
    return !value || mask_value(value);
}

cJSON *plugin_schema_mask(const struct plugin_schema *schema, const cJSON *config)
{
    cJSON *masked = config ? cJSON_Duplicate(config, true) : cJSON_CreateObject();
    for (uint32_t i = 0; masked && i < schema->count; i++)
        if (is_secret(&schema->options[i]) && !mask_option(&schema->options[i], masked)) {
            cJSON_Delete(masked); /* rather nothing than a secret */
            return NULL;
        }
    return masked;
}

/* -- unmask -------------------------------------------------------------------------------------------------------- */

static bool is_masked(const cJSON *value)
{
    return cJSON_IsString(value) && strcmp(value->valuestring, PLUGIN_SECRET_MASK) == 0;
}

static enum status restore(cJSON *value, const cJSON *stored, const struct schema_pointer *at, struct error *err)
{
    if (!is_masked(value))
        return STATUS_OK;
    if (!cJSON_IsString(stored))
        return error_set_field(err, STATUS_INVALID, at->text,
                               "%s: \"" PLUGIN_SECRET_MASK "\" keeps a stored secret, but none is stored here; write "
                               "the value",
                               at->text);
    if (!cJSON_SetValuestring(value, stored->valuestring))
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    return STATUS_OK;
}

/* By key in maps. In lists by place, and only while both have the same length: else the places mean something else. */
static const cJSON *stored_for(const struct schema_option *option, const cJSON *element, int index, const cJSON *value,
                               const cJSON *stored)
{
    if (option->flags & CHRONOS_OPTION_MAP)
        return cJSON_IsObject(stored) ? cJSON_GetObjectItemCaseSensitive(stored, element->string) : NULL;
    if (!cJSON_IsArray(stored) || cJSON_GetArraySize(stored) != cJSON_GetArraySize(value))
        return NULL;
    return cJSON_GetArrayItem(stored, index);
}

static enum status restore_option(const struct schema_option *option, cJSON *config, const cJSON *stored_config,
                                  struct error *err)
{
    cJSON *value = schema_lookup(config, option->name);
    if (!value)
        return STATUS_OK;
    const cJSON *stored = schema_lookup(stored_config, option->name);
    struct schema_pointer at = schema_pointer_of(option->name);
    if (!schema_is_many(option))
        return restore(value, stored, &at, err);
    const bool map = option->flags & CHRONOS_OPTION_MAP;
    if (map ? !cJSON_IsObject(value) : !cJSON_IsArray(value))
        return STATUS_OK; /* plugin_schema_check has the sentence for that */
    int index = 0;
    cJSON *element;
    cJSON_ArrayForEach(element, value)
    {
        size_t before = map ? schema_pointer_push(&at, element->string, strlen(element->string))
                            : schema_pointer_push_index(&at, index);
        enum status status = restore(element, stored_for(option, element, index, value, stored), &at, err);
        if (status != STATUS_OK)
            return status;
        schema_pointer_pop(&at, before);
        index++;
    }
    return STATUS_OK;
}

enum status plugin_schema_unmask(const struct plugin_schema *schema, cJSON *config, const cJSON *stored,
                                 struct error *err)
{
    for (uint32_t i = 0; config && i < schema->count; i++) {
        enum status status = is_secret(&schema->options[i])
                                 ? restore_option(&schema->options[i], config, stored, err)
                                 : STATUS_OK;
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* -- describe ------------------------------------------------------------------------------------------------------ */

static void describe_default(const struct schema_option *option, struct json_writer *out)
{
    if (!option->default_value || is_secret(option)) { /* a secret's default would be a secret */
        json_member_null(out, "default");
        return;
    }
    struct buffer text;
    buffer_init(&text, 64 * 1024);
    json_print(&text, option->default_value);
    json_key(out, "default");
    if (text.failed)
        json_null(out);
    else
        json_raw(out, text.data, text.size);
    buffer_deinit(&text);
}

static void describe_option(const struct schema_option *option, struct json_writer *out)
{
    json_object_begin(out);
    json_member_string(out, "name", option->name);
    json_member_string(out, "type", schema_type_name(option->type));
    json_member_bool(out, "required", (option->flags & CHRONOS_OPTION_REQUIRED) != 0);
    json_member_bool(out, "secret", is_secret(option));
    json_member_bool(out, "deprecated", (option->flags & CHRONOS_OPTION_DEPRECATED) != 0);
    json_member_bool(out, "list", (option->flags & CHRONOS_OPTION_LIST) != 0);
    json_member_bool(out, "map", (option->flags & CHRONOS_OPTION_MAP) != 0);
    describe_default(option, out);
    json_member_string(out, "limits", option->limits);
    json_member_string(out, "help", option->help);
    json_object_end(out);
}

void plugin_schema_describe(const struct plugin_schema *schema, enum plugin_scope scope, struct json_writer *out)
{
    json_object_begin(out);
    json_key(out, "options");
    json_array_begin(out);
    for (uint32_t i = 0; i < schema->count; i++)
        if (schema_in_scope(&schema->options[i], scope))
            describe_option(&schema->options[i], out);
    json_array_end(out);
    json_object_end(out);
}
