/* Groups that belong to plugins: kept as JSON, checked later against the plugin's schema. */
#include <math.h>
#include <stdlib.h>

#include "base/limits.h"
#include "config/values.h"

/* What a plugin may call itself (chronos/plugin.h). */
static bool text_is_component_id(const char *text)
{
    size_t size = strlen(text);
    return size > 0 && size <= 63 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") == size;
}

/* From 2^53 on a double may stand for a neighbour: the text is kept, and the schema says whether it fits. */
static bool is_exact(double number)
{
    return isfinite(number) && fabs(number) < 9007199254740992.0;
}

static cJSON *scalar_to_json(const struct tree *value)
{
    if (value->quoted)
        return cJSON_CreateString(value->text);
    if (tree_is_null(value))
        return cJSON_CreateNull();
    if (strcmp(value->text, "true") == 0 || strcmp(value->text, "false") == 0)
        return cJSON_CreateBool(value->text[0] == 't');
    if (text_is_number(value->text)) {
        double number = strtod(value->text, NULL);
        if (is_exact(number))
            return cJSON_CreateNumber(number);
    }
    return cJSON_CreateString(value->text);
}

static cJSON *to_json(const struct tree *value);

static bool add_child(cJSON *parent, const struct tree *child)
{
    cJSON *item = to_json(child);
    if (!item)
        return false;
    bool added = cJSON_IsArray(parent) ? cJSON_AddItemToArray(parent, item)
                                       : cJSON_AddItemToObject(parent, child->key, item);
    if (!added)
        cJSON_Delete(item);
    return added;
}

/* NULL when out of memory. At most YAML_DEPTH_MAX deep. */
static cJSON *to_json(const struct tree *value)
{
    if (value->kind == TREE_SCALAR)
        return scalar_to_json(value);
    cJSON *json = value->kind == TREE_MAPPING ? cJSON_CreateObject() : cJSON_CreateArray();
    bool good = json != NULL;
    for (const struct tree *child = value->first; child && good; child = child->next)
        good = add_child(json, child);
    if (good)
        return json;
    cJSON_Delete(json);
    return NULL;
}

/* Give `target` what only `below` has, member by member; lists are taken whole. */
static bool fill_missing(cJSON *target, const cJSON *below)
{
    for (const cJSON *item = below->child; item; item = item->next) {
        cJSON *present = cJSON_GetObjectItemCaseSensitive(target, item->string);
        if (present) {
            if (cJSON_IsObject(present) && cJSON_IsObject(item) && !fill_missing(present, item))
                return false;
            continue;
        }
        cJSON *copy = cJSON_Duplicate(item, true);
        if (!copy || !cJSON_AddItemToObject(target, item->string, copy)) {
            cJSON_Delete(copy);
            return false;
        }
    }
    return true;
}

/* Put the group's options over those that `groups` has under its name. */
static bool merge_group(struct loader *loader, cJSON *groups, const struct tree *value)
{
    cJSON *options = value->kind == TREE_MAPPING ? to_json(value) : cJSON_CreateObject();
    if (!options)
        return loader_out_of_memory(loader);
    cJSON *before = cJSON_GetObjectItemCaseSensitive(groups, value->key);
    if (before && !fill_missing(options, before)) {
        cJSON_Delete(options);
        return loader_out_of_memory(loader);
    }
    bool stored = before ? cJSON_ReplaceItemInObjectCaseSensitive(groups, value->key, options)
                         : cJSON_AddItemToObject(groups, value->key, options);
    if (stored)
        return true;
    cJSON_Delete(options);
    return loader_out_of_memory(loader);
}

static struct key_path group_path(const char *parent, const struct tree *value)
{
    struct key_path path = {.size = 0};
    (void)key_path_push(&path, parent);
    (void)key_path_push(&path, value->key);
    return path;
}

static bool check_group_name(struct loader *loader, const struct key_path *path, const struct tree *value,
                             const cJSON *groups, const char *what)
{
    if (!text_is_component_id(value->key))
        return loader_refuse(loader, path->text, value->line,
                             "no %s has such a name; use 1 to 63 of a-z, 0-9, \"_\" and \"-\"", what);
    if (cJSON_GetArraySize(groups) >= CONFIG_LIST_MAX && !cJSON_GetObjectItemCaseSensitive(groups, value->key))
        return loader_refuse(loader, path->text, value->line, "more than %d groups of options", CONFIG_LIST_MAX);
    return true;
}

static bool set_backend_options(struct loader *loader, const struct config_key *key, const struct tree *value)
{
    (void)key; /* there is one */
    struct key_path path = group_path("storage", value);
    if (value->kind != TREE_MAPPING && !tree_is_null(value))
        return loader_refuse(loader, path.text, value->line, "must be a group of options, not %s",
                             tree_kind_name(value));
    if (!check_group_name(loader, &path, value, loader->backends, "storage plugin"))
        return false;
    return merge_group(loader, loader->backends, value);
}

static void clear_json(struct config *config, const struct config_key *key)
{
    cJSON **member = value_member(config, key);
    cJSON_Delete(*member);
    *member = NULL;
}
const struct config_type config_type_backend_options = {"group", set_backend_options, clear_json};

/* `shell:` with nothing behind it loads the executor with its defaults: its options were merely commented out. To
 * unload it takes a word: `null`, `~` or `false`. */
static bool set_executor_options(struct loader *loader, const struct config_key *key, const struct tree *value)
{
    cJSON *groups = *(cJSON **)value_member(loader->config, key);
    struct key_path path = group_path("executors", value);
    bool is_false = value->kind == TREE_SCALAR && !value->quoted && strcmp(value->text, "false") == 0;
    bool unloads = is_false || (tree_is_null(value) && !tree_is_empty(value));
    if (value->kind != TREE_MAPPING && !unloads && !tree_is_empty(value))
        return loader_refuse(loader, path.text, value->line,
                             "must be a group of options ({} for the defaults), or false to unload the executor");
    if (!check_group_name(loader, &path, value, groups, "executor"))
        return false;
    if (!unloads)
        return merge_group(loader, groups, value);
    if (!cJSON_GetObjectItemCaseSensitive(groups, value->key))
        return loader_refuse(loader, path.text, value->line, "there is no such executor to unload");
    cJSON_DeleteItemFromObjectCaseSensitive(groups, value->key);
    return true;
}
const struct config_type config_type_executor_options = {"group", set_executor_options, clear_json};
