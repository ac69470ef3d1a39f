/* Lists: addresses and plugins. */
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "config/values.h"

static uint32_t *count_member(struct config *config, const struct config_key *key)
{
    return (uint32_t *)(void *)((char *)config + key->count_offset);
}

/* True for a list of allowed length; *ret_count is 0 for `key:` without a value. */
static bool check_list(struct loader *loader, const struct config_key *key, const struct tree *value,
                       uint32_t *ret_count)
{
    if (value->kind != TREE_SEQUENCE && !tree_is_null(value))
        return loader_refuse(loader, key->path, value->line,
                             "must be a list, not %s; write [a, b], or one \"- \" a line below it",
                             tree_kind_name(value));
    if (value->count > key->maximum)
        return loader_refuse(loader, key->path, value->line, "has %u elements; at most %d are allowed", value->count,
                             (int)key->maximum);
    *ret_count = value->kind == TREE_SEQUENCE ? value->count : 0;
    return true;
}

static void strings_free(char **strings, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free(strings[i]);
    free(strings);
}

static void clear_addresses(struct config *config, const struct config_key *key)
{
    char ***member = value_member(config, key);
    strings_free(*member, *count_member(config, key));
    *member = NULL;
    *count_member(config, key) = 0;
}

static struct key_path element_path(const struct config_key *key, uint32_t index)
{
    struct key_path path = {.size = 0};
    (void)key_path_push(&path, key->path);
    (void)key_path_push_index(&path, index);
    return path;
}

/* Every element is looked at, so that every problem is reported. */
static bool fill_addresses(struct loader *loader, const struct config_key *key, const struct tree *value, char **out)
{
    bool good = true;
    uint32_t index = 0;
    for (const struct tree *element = value->first; element; element = element->next, index++) {
        if (element->refused) {
            good = false;
            continue;
        }
        struct key_path path = element_path(key, index);
        const char *text = value_text(loader, path.text, element);
        out[index] = text ? value_address(loader, path.text, element, text, key->flags) : NULL;
        good = good && out[index];
    }
    return good;
}

static bool set_addresses(struct loader *loader, const struct config_key *key, const struct tree *value)
{
    uint32_t count = 0;
    if (!check_list(loader, key, value, &count))
        return false;
    char **addresses = NULL;
    if (count > 0) {
        addresses = calloc(count, sizeof *addresses);
        if (!addresses)
            return loader_out_of_memory(loader);
        if (!fill_addresses(loader, key, value, addresses)) {
            strings_free(addresses, count);
            return false;
        }
    }
    clear_addresses(loader->config, key);
    *(char ***)value_member(loader->config, key) = addresses;
    *count_member(loader->config, key) = count;
    return true;
}
const struct config_type config_type_addresses = {"list of addresses", set_addresses, clear_addresses};

/* ---- plugins ---- */

void plugins_free(struct config_plugin *plugins, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free(plugins[i].path);
        free(plugins[i].sha256);
    }
    free(plugins);
}

static void clear_plugins(struct config *config, const struct config_key *key)
{
    struct config_plugin **member = value_member(config, key);
    plugins_free(*member, *count_member(config, key));
    *member = NULL;
    *count_member(config, key) = 0;
}

static bool take_plugin_path(struct loader *loader, const char *key, const struct tree *value,
                             struct config_plugin *plugin)
{
    const char *text = value_text(loader, key, value);
    if (!text)
        return false;
    if (!*text)
        return loader_refuse(loader, key, value->line, "must not be empty");
    if (strlen(text) > CONFIG_TEXT_MAX)
        return loader_refuse(loader, key, value->line, "is longer than %d bytes", CONFIG_TEXT_MAX);
    if (text[0] != '/' && strchr(text, '/'))
        return loader_refuse(loader, key, value->line,
                             "\"%s\" must be an absolute path, or a file name in plugins.directory",
                             text_shown(text, strlen(text)).text);
    return value_take_string(loader, &plugin->path, text);
}

static bool take_plugin_sha256(struct loader *loader, const char *key, const struct tree *value,
                               struct config_plugin *plugin)
{
    const char *text = value_text(loader, key, value);
    if (!text)
        return false;
    size_t digits = strspn(text, "0123456789abcdefABCDEF");
    if (digits != 64 || text[digits])
        return loader_refuse(loader, key, value->line, "\"%s\" is not 64 hexadecimal digits, as sha256sum prints them",
                             text_shown(text, strlen(text)).text);
    return value_take_string(loader, &plugin->sha256, text);
}

static bool take_plugin_isolation(struct loader *loader, const char *key, const struct tree *value)
{
    static const char *const known[] = {"in_process", "process", NULL};
    const char *text = value_text(loader, key, value);
    if (!text)
        return false;
    if (strcmp(text, "process") == 0)
        return loader_refuse(loader, key, value->line,
                             "this version runs plugins in its own process only; write in_process, "
                             "or leave the line out");
    if (strcmp(text, "in_process") != 0)
        return loader_refuse(loader, key, value->line, "\"%s\" is not one of in_process, process%s",
                             text_shown(text, strlen(text)).text, suggest(text, known).text);
    return true;
}

static bool take_plugin_member(struct loader *loader, struct key_path *path, const struct tree *member,
                               struct config_plugin *plugin)
{
    static const char *const known[] = {"path", "sha256", "isolation", NULL};
    size_t before = key_path_push(path, member->key);
    bool good = false;
    if (strcmp(member->key, "path") == 0)
        good = !member->refused && take_plugin_path(loader, path->text, member, plugin);
    else if (strcmp(member->key, "sha256") == 0)
        good = !member->refused && take_plugin_sha256(loader, path->text, member, plugin);
    else if (strcmp(member->key, "isolation") == 0)
        good = !member->refused && take_plugin_isolation(loader, path->text, member);
    else
        (void)loader_refuse(loader, path->text, member->line, "unknown key%s", suggest(member->key, known).text);
    key_path_cut(path, before);
    return good;
}

/* {path, sha256, isolation}, or the path alone. */
static bool take_plugin(struct loader *loader, struct key_path *path, const struct tree *element,
                        struct config_plugin *plugin)
{
    if (element->refused)
        return false;
    if (element->kind == TREE_SCALAR)
        return take_plugin_path(loader, path->text, element, plugin);
    if (element->kind != TREE_MAPPING)
        return loader_refuse(loader, path->text, element->line, "must be {path: ...}, not %s", tree_kind_name(element));
    bool good = true;
    for (const struct tree *member = element->first; member; member = member->next)
        good = take_plugin_member(loader, path, member, plugin) && good;
    if (!tree_member(element, "path"))
        return loader_refuse(loader, path->text, element->line, "\"path\" is missing");
    return good;
}

static bool fill_plugins(struct loader *loader, const struct config_key *key, const struct tree *value,
                         struct config_plugin *out)
{
    bool good = true;
    uint32_t index = 0;
    for (const struct tree *element = value->first; element; element = element->next, index++) {
        struct key_path path = element_path(key, index);
        good = take_plugin(loader, &path, element, &out[index]) && good;
    }
    return good;
}

static bool set_plugins(struct loader *loader, const struct config_key *key, const struct tree *value)
{
    uint32_t count = 0;
    if (!check_list(loader, key, value, &count))
        return false;
    struct config_plugin *plugins = NULL;
    if (count > 0) {
        plugins = calloc(count, sizeof *plugins);
        if (!plugins)
            return loader_out_of_memory(loader);
        if (!fill_plugins(loader, key, value, plugins)) {
            plugins_free(plugins, count);
            return false;
        }
    }
    clear_plugins(loader->config, key);
    *(struct config_plugin **)value_member(loader->config, key) = plugins;
    *count_member(loader->config, key) = count;
    return true;
}
const struct config_type config_type_plugins = {"list of plugins", set_plugins, clear_plugins};
