#include "daemon/plugins.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/names.h"
#include "plugin/schema.h"

enum { FILE_NAME_SIZE = 128, KEY_SIZE = 160, PLUGIN_ID_MAX = 63, KNOWN_SIZE = 128 };

struct loading {
    const struct config *config;
    struct plugins plugins;
    config_report report;
    void *report_arg;
    struct error *first; /* of all that was refused */
    bool refused;
};

/* Says it with file, line and key, and goes on: a file with three mistakes is mended once. */
static void refuse(struct loading *loading, const char *key, struct error *err)
{
    int line = config_line_of(loading->config, key);
    if (line > 0)
        (void)error_wrap(err, "%s:%d: %s", config_file_of(loading->config), line, key);
    else
        (void)error_wrap(err, "%s", key);
    loading->report(loading->report_arg, err->message);
    if (!loading->refused)
        *loading->first = *err;
    loading->refused = true;
}

static void load_listed(struct loading *loading)
{
    const struct config *config = loading->config;
    for (uint32_t i = 0; i < config->plugins.load_count; i++) {
        const struct config_plugin *wanted = &config->plugins.load[i];
        char key[KEY_SIZE];
        struct error err;
        (void)snprintf(key, sizeof key, "plugins.load.%u", i);
        if (plugin_load(loading->plugins.registry, config->plugins.directory, wanted->path, wanted->sha256, &err) != STATUS_OK)
            refuse(loading, key, &err);
    }
}

/* --- found by name --- */

/* The id in "executor_shell.so"; "" for another file. */
static void id_of_file(const char *file, const char *prefix, char out[PLUGIN_ID_MAX + 1])
{
    size_t prefix_size = strlen(prefix), size = strlen(file);
    out[0] = '\0';
    if (strncmp(file, prefix, prefix_size) != 0 || file[prefix_size] != '_' || size < prefix_size + strlen("_.so") ||
        strcmp(file + size - strlen(".so"), ".so") != 0)
        return;
    size_t id_size = size - prefix_size - strlen("_.so");
    if (id_size <= PLUGIN_ID_MAX)
        (void)snprintf(out, PLUGIN_ID_MAX + 1, "%.*s", (int)id_size, file + prefix_size + 1);
}

/* Of the plugins that lie in the directory and those that are loaded. */
static void collect_ids(const struct loading *loading, int32_t kind, const char *prefix, struct names *ret)
{
    char id[PLUGIN_ID_MAX + 1];
    const struct plugin_registry *registry = loading->plugins.registry;
    names_init(ret);
    for (size_t i = 0; i < plugin_component_count(registry); i++)
        if (plugin_component_at(registry, i)->kind == kind)
            names_add(ret, plugin_component_at(registry, i)->id, strlen(plugin_component_at(registry, i)->id));
    DIR *directory = opendir(loading->config->plugins.directory);
    const struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        id_of_file(entry->d_name, prefix, id);
        if (id[0] != '\0')
            names_add(ret, id, strlen(id));
    }
    if (directory != NULL)
        (void)closedir(directory);
}

/* *err says what was missing; with what the user may have meant, where it was the plugin itself. */
static enum status no_such_plugin(const struct loading *loading, int32_t kind, const char *prefix, const char *id, const char *file,
                                  struct error *err)
{
    struct names ids;
    char known[KNOWN_SIZE];
    collect_ids(loading, kind, prefix, &ids);
    const char *near = nearest_word(id, ids.items);
    if (ids.count == 0 || (near != NULL && strcmp(near, id) == 0))
        return err->code;
    names_list(&ids, ", ", known, sizeof known);
    return error_set(err, STATUS_NOT_FOUND, "there is no %s plugin \"%s\" (%s/%s)%s%s%s", prefix, id, loading->config->plugins.directory,
                     file, near != NULL ? "; did you mean \"" : "; known: ", near != NULL ? near : known, near != NULL ? "\"?" : "");
}

/* A component of our own set: its file is named after its kind and id. */
static enum status find_or_load(struct loading *loading, int32_t kind, const char *prefix, const char *id,
                                const struct plugin_component **ret, struct error *err)
{
    char file[FILE_NAME_SIZE];
    struct plugin_registry *registry = loading->plugins.registry;
    const char *directory = loading->config->plugins.directory;
    *ret = plugin_find(registry, kind, id);
    if (*ret != NULL)
        return STATUS_OK;
    if (strlen(id) > PLUGIN_ID_MAX || strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_-") != strlen(id))
        return error_set(err, STATUS_INVALID, "\"%s\" is not the id of a plugin: use a-z, 0-9, _ and -", id);
    (void)snprintf(file, sizeof file, "%s_%s.so", prefix, id);
    enum status status = plugin_load(registry, directory, file, NULL, err);
    if (status == STATUS_NOT_FOUND)
        return no_such_plugin(loading, kind, prefix, id, file, err);
    if (status != STATUS_OK)
        return status;
    *ret = plugin_find(registry, kind, id);
    return *ret != NULL ? STATUS_OK
                        : error_set(err, STATUS_INVALID, "%s/%s offers no %s of the id \"%s\"", directory, file, prefix, id);
}

/* --- the options of each --- */

struct checking {
    struct loading *loading;
    const char *key; /* "executors.http" */
};

/* "/tls/ca_file" below `key` is "key.tls.ca_file". */
static void refuse_option(void *arg, const char *field, const char *message)
{
    const struct checking *checking = arg;
    char full[2 * KEY_SIZE];
    struct error err;
    (void)snprintf(full, sizeof full, "%s%s", checking->key, field);
    for (char *slash = strchr(full, '/'); slash != NULL; slash = strchr(slash, '/'))
        *slash = '.';
    (void)error_set(&err, STATUS_INVALID, "%s", message);
    refuse(checking->loading, full, &err);
}

static void check_options(struct loading *loading, const struct plugin_component *component, const char *key,
                          const cJSON *options)
{
    struct checking checking = {.loading = loading, .key = key};
    (void)plugin_schema_check(component->schema, PLUGIN_SCOPE_NODE, options, refuse_option, &checking); /* all were said */
}

static void load_backend(struct loading *loading)
{
    char key[KEY_SIZE];
    struct error err;
    const char *backend = loading->config->storage.backend;
    if (find_or_load(loading, CHRONOS_KIND_STORAGE, "storage", backend, &loading->plugins.backend, &err) != STATUS_OK) {
        refuse(loading, "storage.backend", &err);
        return;
    }
    (void)snprintf(key, sizeof key, "storage.%s", backend);
    check_options(loading, loading->plugins.backend, key, loading->config->storage.options);
}

static void load_executor(struct loading *loading, const cJSON *options)
{
    char key[KEY_SIZE];
    struct error err;
    struct plugins *plugins = &loading->plugins;
    const struct plugin_component *executor;
    enum status status = STATUS_OK;
    (void)snprintf(key, sizeof key, "executors.%s", options->string);
    if (plugins->executor_count == EXECUTORS_MAX)
        status = error_set(&err, STATUS_TOO_MANY, "at most %d executors can be loaded", EXECUTORS_MAX);
    if (status == STATUS_OK)
        status = find_or_load(loading, CHRONOS_KIND_EXECUTOR, "executor", options->string, &executor, &err);
    if (status != STATUS_OK) {
        refuse(loading, key, &err);
        return;
    }
    check_options(loading, executor, key, options);
    plugins->executors[plugins->executor_count] = executor;
    plugins->executor_options[plugins->executor_count++] = options;
}

enum status plugins_load(const struct config *config, config_report report, void *report_arg, struct plugins *ret,
                         struct error *err)
{
    struct loading loading = {.config = config, .report = report, .report_arg = report_arg, .first = err};
    enum status status = plugin_registry_new(&loading.plugins.registry, err);
    if (status != STATUS_OK)
        return status;
    load_listed(&loading);
    if (!loading.refused) { /* what a refused file would have offered is not missing */
        const cJSON *member;
        load_backend(&loading);
        cJSON_ArrayForEach(member, config->executors.options)
            load_executor(&loading, member);
    }
    if (loading.refused) {
        plugins_unload(&loading.plugins);
        return err->code;
    }
    *ret = loading.plugins;
    return STATUS_OK;
}

void plugins_unload(struct plugins *plugins)
{
    if (plugins->registry != NULL)
        plugin_registry_free(plugins->registry);
    plugins->registry = NULL;
}
