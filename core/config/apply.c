/* From a tree, or a text, to the members of struct config. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/json.h"
#include "config/values.h"

bool loader_refuse(struct loader *loader, const char *key, uint32_t line, const char *format, ...)
{
    char sentence[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sentence, sizeof sentence, format, args); /* user's text in it is cut by text_shown */
    va_end(args);
    problem_add(&loader->problems, (struct place){.label = loader->label, .line = line}, STATUS_INVALID, key, "%s",
                sentence);
    return false;
}

bool loader_out_of_memory(struct loader *loader)
{
    problem_add(&loader->problems, (struct place){.label = loader->label}, STATUS_NO_MEMORY, "", "out of memory");
    return false;
}

static void apply_value(struct loader *loader, const struct config_key *key, const struct tree *value)
{
    bool good = !value->refused && key->type->set(loader, key, value);
    struct origin *origin = &loader->origins[key - config_keys];
    origin->refused = origin->refused || !good;
    if (!loader->is_default)
        origin->place = (struct place){.label = loader->label, .line = value->line};
    origin->is_text = loader->is_text;
}

/* "cluster.node_id: x" instead of "cluster:" and, below it, "node_id: x". */
static bool refuse_dotted(struct loader *loader, const char *path, const struct tree *value)
{
    const char *dot = strchr(value->key, '.');
    if (!dot)
        return false;
    struct shown group = text_shown(value->key, (size_t)(dot - value->key));
    struct shown rest = text_shown(dot + 1, strlen(dot + 1));
    (void)loader_refuse(loader, path, value->line,
                        "keys are nested, not joined by dots: write \"%s:\" and below it, indented, \"%s:\"",
                        group.text, rest.text);
    return true;
}

/* Those that are loaded, beside the keys of the group. */
static void add_executors(const struct loader *loader, const char *parent, struct names *names)
{
    const struct config_key *wildcard = config_key_wildcard(parent);
    const cJSON *executor;
    if (wildcard == NULL || wildcard->type != &config_type_executor_options)
        return;
    cJSON_ArrayForEach(executor, loader->config->executors.options)
        names_add(names, executor->string, strlen(executor->string));
}

static void refuse_unknown(struct loader *loader, const char *parent, const char *path, const struct tree *value)
{
    struct names names;
    char list[512];
    if (refuse_dotted(loader, path, value))
        return;
    struct shown key = text_shown(value->key, strlen(value->key));
    config_key_parents(value->key, parent, &names);
    names_list(&names, " or ", list, sizeof list);
    if (names.count > 0) {
        (void)loader_refuse(loader, path, value->line, "unknown key; \"%s\" belongs under %s", key.text, list);
        return;
    }
    config_key_names(parent, &names);
    add_executors(loader, parent, &names);
    struct suggestion suggestion = suggest(value->key, names.items);
    names_list(&names, ", ", list, sizeof list);
    if (suggestion.text[0])
        (void)loader_refuse(loader, path, value->line, "unknown key%s", suggestion.text);
    else
        (void)loader_refuse(loader, path, value->line, "unknown key; known here are: %s", list);
}

/* Is this member of a group with free names one of them, rather than a known key with a slip of the pen? A plugin's
 * options are a group, so what has a plain value was meant to be a key; unless it is the name of a loaded executor. */
static bool is_free_group(const struct loader *loader, const struct config_key *wildcard, const char *parent,
                          const struct tree *value)
{
    if (value->kind == TREE_SEQUENCE)
        return false;
    if (value->kind == TREE_SCALAR && !tree_is_null(value))
        return wildcard->type == &config_type_executor_options &&
               cJSON_GetObjectItemCaseSensitive(loader->config->executors.options, value->key);
    struct names names;
    config_key_names(parent, &names);
    return nearest_word(value->key, names.items) == NULL;
}

static void apply_group(struct loader *loader, const struct tree *group, struct key_path *parent);

static void apply_member(struct loader *loader, const struct tree *value, struct key_path *parent)
{
    char parent_text[KEY_PATH_SIZE];
    memcpy(parent_text, parent->text, sizeof parent_text);
    const struct config_key *key = config_key_find(parent_text, value->key);
    if (key) {
        apply_value(loader, key, value);
        return;
    }
    if (value->refused)
        return;
    const struct config_key *wildcard = config_key_wildcard(parent_text);
    size_t before = key_path_push(parent, value->key);
    bool is_group = config_key_is_group(parent_text, value->key);
    if (is_group && value->kind == TREE_MAPPING)
        apply_group(loader, value, parent);
    else if (is_group && !tree_is_null(value)) /* `cluster:` with everything below it commented out is fine */
        (void)loader_refuse(loader, parent->text, value->line, "must be a group of keys, not %s",
                            tree_kind_name(value));
    else if (!is_group && wildcard && is_free_group(loader, wildcard, parent_text, value))
        apply_value(loader, wildcard, value);
    else if (!is_group)
        refuse_unknown(loader, parent_text, parent->text, value);
    key_path_cut(parent, before);
}

static void apply_group(struct loader *loader, const struct tree *group, struct key_path *parent)
{
    for (const struct tree *value = group->first; value && !problems_full(&loader->problems); value = value->next)
        apply_member(loader, value, parent);
}

void apply_tree(struct loader *loader, const struct tree *root)
{
    struct key_path top = {.size = 0};
    apply_group(loader, root, &top);
}

/* ---- from one text: environment and command line ---- */

static bool is_list(const struct config_key *key)
{
    return key->count_offset > 0;
}

static struct tree *list_from_text(const char *text)
{
    struct tree *list = tree_new(TREE_SEQUENCE, NULL, 0);
    for (const char *at = text; list && *at;) {
        size_t size = strcspn(at, ","), begin = 0, end = size;
        while (begin < end && at[begin] == ' ')
            begin++;
        while (end > begin && at[end - 1] == ' ')
            end--;
        struct tree *element = tree_new(TREE_SCALAR, at + begin, end - begin);
        if (!element) {
            tree_free(list);
            return NULL;
        }
        tree_append(list, element);
        at += size + (at[size] == ',');
    }
    return list;
}

void apply_text(struct loader *loader, const struct config_key *key, const char *text)
{
    size_t size = strlen(text);
    if (!utf8_valid(text, size, NULL)) {
        (void)loader_refuse(loader, key->path, 0, "\"%s\" is not UTF-8", text_shown(text, size).text);
        return;
    }
    struct tree *value = is_list(key) ? list_from_text(text) : tree_new(TREE_SCALAR, text, size);
    if (value)
        apply_value(loader, key, value);
    else
        (void)loader_out_of_memory(loader);
    tree_free(value);
}
