/* What is loaded in this process. A plugin enters whole or not at all: its components are collected and checked against
 * those present before the first one is added. */
#include "plugin/registry.h"

#include <stdlib.h>
#include <string.h>

#include "plugin/private.h"
#include "plugin/schema.h"

struct plugin_registry {
    struct plugin_component **components;
    size_t component_count;
    struct plugin_file *files; /* of accepted plugins, to know a file again; fds are never closed */
    size_t file_count;
};

enum status plugin_registry_new(struct plugin_registry **ret, struct error *err)
{
    struct plugin_registry *registry = calloc(1, sizeof *registry);
    if (!registry)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    *ret = registry;
    return STATUS_OK;
}

void plugin_registry_free(struct plugin_registry *registry)
{
    if (!registry)
        return;
    for (size_t i = 0; i < registry->component_count; i++)
        plugin_component_free(registry->components[i]);
    for (size_t i = 0; i < registry->file_count; i++)
        plugin_file_close(&registry->files[i]);
    free(registry->components);
    free(registry->files);
    free(registry);
}

const struct plugin_component *plugin_find(const struct plugin_registry *registry, int32_t kind, const char *id)
{
    for (size_t i = 0; i < registry->component_count; i++)
        if (registry->components[i]->kind == kind && strcmp(registry->components[i]->id, id) == 0)
            return registry->components[i];
    return NULL;
}

const struct plugin_component *plugin_find_shorthand(const struct plugin_registry *registry, const char *key)
{
    for (size_t i = 0; i < registry->component_count; i++) {
        const char *shorthand = registry->components[i]->shorthand;
        if (shorthand && strcmp(shorthand, key) == 0)
            return registry->components[i];
    }
    return NULL;
}

size_t plugin_component_count(const struct plugin_registry *registry)
{
    return registry->component_count;
}

const struct plugin_component *plugin_component_at(const struct plugin_registry *registry, size_t index)
{
    return index < registry->component_count ? registry->components[index] : NULL;
}

/* Against what other plugins brought; within one plugin, plugin_descriptor_read has looked. */
static enum status check_unique(const struct plugin_registry *registry, const struct plugin_component *added,
                                struct error *err)
{
    const struct plugin_component *other = plugin_find(registry, added->kind, added->id);
    if (other)
        return error_set(err, STATUS_EXISTS, "%s \"%s\" is already provided by plugin \"%s\" (%s); load one of the two",
                         plugin_kind_name(added->kind), added->id, other->plugin_name, other->path);
    other = added->shorthand ? plugin_find_shorthand(registry, added->shorthand) : NULL;
    if (other)
        return error_set(err, STATUS_EXISTS, "the job key \"%s\" already selects executor \"%s\" of plugin \"%s\" (%s)",
                         added->shorthand, other->id, other->plugin_name, other->path);
    return STATUS_OK;
}

static enum status reserve(struct plugin_registry *registry, size_t added, struct error *err)
{
    void *components = realloc(registry->components,
                               (registry->component_count + added) * sizeof *registry->components);
    if (components)
        registry->components = components;
    void *files = realloc(registry->files, (registry->file_count + 1) * sizeof *registry->files);
    if (files)
        registry->files = files;
    return components && files ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "out of memory");
}

static bool loaded_already(const struct plugin_registry *registry, const struct plugin_file *file)
{
    for (size_t i = 0; i < registry->file_count; i++)
        if (registry->files[i].device == file->device && registry->files[i].inode == file->inode)
            return true;
    return false;
}

static enum status add(struct plugin_registry *registry, struct plugin_file *file, struct error *err)
{
    const struct chronos_plugin *descriptor;
    struct plugin_component **components;
    size_t count;
    enum status status = plugin_file_map(file, &descriptor, err);
    if (status != STATUS_OK)
        return status;
    status = plugin_descriptor_read(descriptor, file->path, &components, &count, err);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; status == STATUS_OK && i < count; i++)
        status = check_unique(registry, components[i], err);
    if (status == STATUS_OK)
        status = reserve(registry, count, err);
    if (status != STATUS_OK) {
        for (size_t i = 0; i < count; i++)
            plugin_component_free(components[i]);
    } else {
        memcpy(registry->components + registry->component_count, components, count * sizeof *components);
        registry->component_count += count;
        registry->files[registry->file_count++] = *file;
        *file = (struct plugin_file){.fd = -1};
    }
    free(components);
    return status;
}

enum status plugin_load(struct plugin_registry *registry, const char *directory, const char *file, const char *sha256,
                        struct error *err)
{
    struct plugin_file opened = {.fd = -1};
    enum status status = plugin_file_open(directory, file, sha256, &opened, err);
    if (status == STATUS_OK && loaded_already(registry, &opened))
        status = error_set(err, STATUS_EXISTS, "the file is loaded already; name it once");
    else if (status == STATUS_OK)
        status = add(registry, &opened, err);
    plugin_file_close(&opened);
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "plugin %.*s", PLUGIN_QUOTE_MAX, file);
}
