/* Tags of the node: a map of texts, kept as sorted texts "key=value". */
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "config/values.h"

static const char key_characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";

static void tags_free(char **tags, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free(tags[i]);
    free(tags);
}

static void clear_tags(struct config *config, const struct config_key *key)
{
    (void)key; /* there is one */
    tags_free(config->cluster.tags, config->cluster.tag_count);
    config->cluster.tags = NULL;
    config->cluster.tag_count = 0;
}

/* "key=value"; NULL after a report. */
static char *make_tag(struct loader *loader, const char *path, uint32_t line, const char *key, size_t key_size, const char *value)
{
    char *tag;
    if (key_size == 0 || key_size > NODE_TAG_KEY_MAX || strspn(key, key_characters) < key_size)
        (void)loader_refuse(loader, path, line, "\"%s\" is not a key; use 1 to %d letters, digits, \".\", \"_\", \"-\" and \"/\"",
                            text_shown(key, key_size).text, NODE_TAG_KEY_MAX);
    else if (strlen(value) > NODE_TAG_VALUE_MAX)
        (void)loader_refuse(loader, path, line, "the value is longer than %d bytes", NODE_TAG_VALUE_MAX);
    else if (asprintf(&tag, "%.*s=%s", (int)key_size, key, value) < 0)
        (void)loader_out_of_memory(loader);
    else
        return tag;
    return NULL;
}

static char *take_member(struct loader *loader, const struct config_key *key, const struct tree *member)
{
    struct key_path path = {.size = 0};
    (void)key_path_push(&path, key->path);
    (void)key_path_push(&path, member->key);
    const char *value = member->refused ? NULL : value_text(loader, path.text, member);
    return value == NULL ? NULL : make_tag(loader, path.text, member->line, member->key, strlen(member->key), value);
}

/* "key=value", as environment and command line give it. */
static char *take_element(struct loader *loader, const struct config_key *key, const struct tree *element)
{
    const char *text = value_text(loader, key->path, element), *equals = text != NULL ? strchr(text, '=') : NULL;
    if (text != NULL && equals == NULL)
        (void)loader_refuse(loader, key->path, element->line, "\"%s\" is not a tag; write key=value, with commas between several",
                            text_shown(text, strlen(text)).text);
    return equals == NULL ? NULL : make_tag(loader, key->path, element->line, text, (size_t)(equals - text), equals + 1);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A map of the file has each key once; a list need not. Tags of one key are neighbours, for they begin alike. */
static bool check_unique(struct loader *loader, const struct config_key *key, const struct tree *value, char *const *tags,
                         uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        size_t size = strcspn(tags[i], "=");
        if (strncmp(tags[i - 1], tags[i], size + 1) == 0)
            return loader_refuse(loader, key->path, value->line, "\"%s\" is given twice", text_shown(tags[i], size).text);
    }
    return true;
}

/* Every member is looked at, so that every problem is reported. */
static bool fill_tags(struct loader *loader, const struct config_key *key, const struct tree *value, char **out)
{
    bool good = true;
    uint32_t count = 0;
    for (const struct tree *child = value->first; child; child = child->next, count++) {
        out[count] = value->kind == TREE_MAPPING ? take_member(loader, key, child) : take_element(loader, key, child);
        good = good && out[count] != NULL;
    }
    if (!good)
        return false;
    if (count > 0)
        qsort(out, count, sizeof *out, compare_texts);
    return check_unique(loader, key, value, out, count);
}

static bool set_tags(struct loader *loader, const struct config_key *key, const struct tree *value)
{
    bool is_list = value->kind == TREE_SEQUENCE && loader->is_text;
    if (value->kind != TREE_MAPPING && !is_list && !tree_is_null(value))
        return loader_refuse(loader, key->path, value->line, "must be a map, not %s; write {disk: ssd}, or \"disk: ssd\" a line "
                             "below it", tree_kind_name(value));
    if (value->count > key->maximum)
        return loader_refuse(loader, key->path, value->line, "has %u tags; at most %d are allowed", value->count, (int)key->maximum);
    uint32_t count = tree_is_null(value) ? 0 : value->count;
    char **tags = calloc(count + 1, sizeof *tags);
    if (!tags)
        return loader_out_of_memory(loader);
    if (count > 0 && !fill_tags(loader, key, value, tags)) {
        tags_free(tags, count);
        return false;
    }
    clear_tags(loader->config, key);
    loader->config->cluster.tags = tags;
    loader->config->cluster.tag_count = count;
    return true;
}
const struct config_type config_type_tags = {"map of texts", set_tags, clear_tags};
