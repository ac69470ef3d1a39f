#include "api/masks.h"

#include <stdlib.h>
#include <string.h>

enum { SCHEMA_TEXT_MAX = 1 << 20 };

struct mask {
    const struct plugin_component *component;
    char **words; /* "\"password\":" of each secret option, its last part alone */
    uint32_t count;
};
struct masks {
    struct mask *items;
    uint32_t count;
};

void masks_free(struct masks *masks)
{
    if (masks == NULL)
        return;
    for (uint32_t i = 0; i < masks->count; i++) {
        for (uint32_t word = 0; word < masks->items[i].count; word++)
            free(masks->items[i].words[word]);
        free(masks->items[i].words);
    }
    free(masks->items);
    free(masks);
}

static char *word_of(const char *option)
{
    const char *dot = strrchr(option, '.');
    const char *last = dot != NULL ? dot + 1 : option;
    size_t size = strlen(last);
    char *word = malloc(size + 4);
    if (word == NULL)
        return NULL;
    word[0] = '"';
    memcpy(word + 1, last, size);
    memcpy(word + 1 + size, "\":", 3);
    return word;
}

static enum status read_options(struct mask *mask, const cJSON *description)
{
    const cJSON *options = cJSON_GetObjectItemCaseSensitive(description, "options"), *option;
    mask->words = calloc((size_t)cJSON_GetArraySize(options) + 1, sizeof *mask->words);
    if (mask->words == NULL)
        return STATUS_NO_MEMORY;
    cJSON_ArrayForEach(option, options)
    {
        const cJSON *name = cJSON_GetObjectItemCaseSensitive(option, "name");
        if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(option, "secret")) || !cJSON_IsString(name))
            continue;
        mask->words[mask->count] = word_of(name->valuestring);
        if (mask->words[mask->count] == NULL)
            return STATUS_NO_MEMORY;
        mask->count++;
    }
    return STATUS_OK;
}

/* The schema's own description is the one public list of its options. */
static enum status add_mask(struct masks *masks, const struct plugin_component *component, struct error *err)
{
    struct mask *mask = &masks->items[masks->count++];
    struct buffer text;
    cJSON *description = NULL;
    mask->component = component;
    buffer_init(&text, SCHEMA_TEXT_MAX);
    struct json_writer w = json_writer_on(&text);
    plugin_schema_describe(component->schema, PLUGIN_SCOPE_JOB, &w);
    enum status status = text.failed;
    if (status == STATUS_OK)
        status = json_parse(text.data, text.size, &description, err);
    if (status == STATUS_OK)
        status = read_options(mask, description);
    cJSON_Delete(description);
    buffer_deinit(&text);
    return status == STATUS_OK ? status : error_set(err, status, "read the options of executor %s", component->id);
}

enum status masks_new(const struct plugin_registry *registry, struct masks **ret, struct error *err)
{
    size_t count = plugin_component_count(registry);
    struct masks *masks = calloc(1, sizeof *masks);
    if (masks != NULL)
        masks->items = calloc(count + 1, sizeof *masks->items);
    if (masks == NULL || masks->items == NULL) {
        masks_free(masks);
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        const struct plugin_component *component = plugin_component_at(registry, i);
        enum status status =
            component->kind == CHRONOS_KIND_EXECUTOR ? add_mask(masks, component, err) : STATUS_OK;
        if (status != STATUS_OK) {
            masks_free(masks);
            return status;
        }
    }
    *ret = masks;
    return STATUS_OK;
}

/* A quote inside a JSON string is escaped, so the first match is the member itself: what stands before it in a
 * normalised document has other, fixed keys. */
struct bytes document_executor(struct bytes document)
{
    static const char key[] = "\"executor\":\"";
    const char *end = (const char *)document.data + document.size;
    const char *at = memmem(document.data, document.size, key, sizeof key - 1);
    if (at == NULL)
        return (struct bytes){"", 0};
    at += sizeof key - 1;
    const char *quote = memchr(at, '"', (size_t)(end - at));
    return quote != NULL ? (struct bytes){at, (size_t)(quote - at)} : (struct bytes){"", 0};
}

static const struct mask *find(const struct masks *masks, struct bytes executor)
{
    for (uint32_t i = 0; i < masks->count; i++) {
        const char *id = masks->items[i].component->id;
        if (strlen(id) == executor.size && memcmp(id, executor.data, executor.size) == 0)
            return &masks->items[i];
    }
    return NULL;
}

bool masks_needed(const struct masks *masks, struct bytes document)
{
    const struct mask *mask = find(masks, document_executor(document));
    if (mask == NULL)
        return true;
    for (uint32_t i = 0; i < mask->count; i++)
        if (memmem(document.data, document.size, mask->words[i], strlen(mask->words[i])) != NULL)
            return true;
    return false;
}

static bool mask_everything(cJSON *value)
{
    cJSON *member;
    if (cJSON_IsString(value))
        return cJSON_SetValuestring(value, PLUGIN_SECRET_MASK) != NULL;
    cJSON_ArrayForEach(member, value)
        if (!mask_everything(member))
            return false;
    return true;
}

bool masks_apply(const struct masks *masks, cJSON *document)
{
    const cJSON *executor = cJSON_GetObjectItemCaseSensitive(document, "executor");
    cJSON *config = cJSON_GetObjectItemCaseSensitive(document, "config");
    const char *id = cJSON_IsString(executor) ? executor->valuestring : "";
    const struct mask *mask = find(masks, (struct bytes){id, strlen(id)});
    if (config == NULL)
        return true;
    if (mask == NULL)
        return mask_everything(config);
    cJSON *masked = plugin_schema_mask(mask->component->schema, config);
    if (masked == NULL)
        return false;
    if (cJSON_ReplaceItemInObjectCaseSensitive(document, "config", masked))
        return true;
    cJSON_Delete(masked);
    return false;
}
