#include "daemon/plugins.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "plugin/schema.h"

enum { FILE_NAME_SIZE = 128, KEY_SIZE = 160, PLUGIN_ID_MAX = 63 };

static enum status wrap_key(const struct config *config, const char *key, struct error *err)
{
    int line = config_line_of(config, key);
    if (line > 0)
        return error_wrap(err, "%s:%d: %s", config_file_of(config), line, key);
    return error_wrap(err, "%s", key);
}

static enum status load_listed(const struct config *config, struct plugins *plugins, struct error *err)
{
    for (uint32_t i = 0; i < config->plugins.load_count; i++) {
        const struct config_plugin *wanted = &config->plugins.load[i];
        enum status status = plugin_load(plugins->registry, config->plugins.directory, wanted->path, wanted->sha256, err);
        if (status != STATUS_OK)
            return wrap_key(config, "plugins.load", err);
    }
    return STATUS_OK;
}

/* A component of our own set: its file is named after its kind and id. */
static enum status find_or_load(const struct config *config, struct plugins *plugins, int32_t kind, const char *prefix,
                                const char *id, const struct plugin_component **ret, struct error *err)
{
    char file[FILE_NAME_SIZE];
    *ret = plugin_find(plugins->registry, kind, id);
    if (*ret != NULL)
        return STATUS_OK;
    if (strlen(id) > PLUGIN_ID_MAX || strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_-") != strlen(id))
        return error_set(err, STATUS_INVALID, "\"%s\" is not the id of a plugin: use a-z, 0-9, _ and -", id);
    (void)snprintf(file, sizeof file, "%s_%s.so", prefix, id);
    enum status status = plugin_load(plugins->registry, config->plugins.directory, file, NULL, err);
    if (status != STATUS_OK)
        return status;
    *ret = plugin_find(plugins->registry, kind, id);
    return *ret != NULL ? STATUS_OK
                        : error_set(err, STATUS_INVALID, "%s/%s offers no %s of the id \"%s\"", config->plugins.directory, file,
                                    prefix, id);
}

struct first_problem {
    char field[KEY_SIZE];
    char message[ERROR_MESSAGE_SIZE];
};

static void keep_first(void *arg, const char *field, const char *message)
{
    struct first_problem *first = arg;
    if (first->message[0] != '\0')
        return;
    (void)snprintf(first->field, sizeof first->field, "%s", field);
    (void)snprintf(first->message, sizeof first->message, "%s", message);
}

/* "/tls/ca_file" below `key` is "key.tls.ca_file". */
static enum status check_options(const struct config *config, const struct plugin_component *component, const char *key,
                                 const cJSON *options, struct error *err)
{
    struct first_problem first = {.message = ""};
    char full[2 * KEY_SIZE];
    if (plugin_schema_check(component->schema, PLUGIN_SCOPE_NODE, options, keep_first, &first) == 0)
        return STATUS_OK;
    (void)snprintf(full, sizeof full, "%s%s", key, first.field);
    for (char *slash = strchr(full, '/'); slash != NULL; slash = strchr(slash, '/'))
        *slash = '.';
    (void)error_set(err, STATUS_INVALID, "%s", first.message);
    return wrap_key(config, full, err);
}

static enum status load_backend(const struct config *config, struct plugins *plugins, struct error *err)
{
    char key[KEY_SIZE];
    enum status status = find_or_load(config, plugins, CHRONOS_KIND_STORAGE, "storage", config->storage.backend,
                                      &plugins->backend, err);
    if (status != STATUS_OK)
        return wrap_key(config, "storage.backend", err);
    (void)snprintf(key, sizeof key, "storage.%s", config->storage.backend);
    return check_options(config, plugins->backend, key, config->storage.options, err);
}

static enum status load_executors(const struct config *config, struct plugins *plugins, struct error *err)
{
    const cJSON *member;
    cJSON_ArrayForEach(member, config->executors.options)
    {
        char key[KEY_SIZE];
        const struct plugin_component *executor;
        (void)snprintf(key, sizeof key, "executors.%s", member->string);
        if (plugins->executor_count == EXECUTORS_MAX)
            return error_set(err, STATUS_TOO_MANY, "%s: at most %d executors can be loaded", key, EXECUTORS_MAX);
        enum status status =
            find_or_load(config, plugins, CHRONOS_KIND_EXECUTOR, "executor", member->string, &executor, err);
        if (status != STATUS_OK)
            return wrap_key(config, key, err);
        status = check_options(config, executor, key, member, err);
        if (status != STATUS_OK)
            return status;
        plugins->executors[plugins->executor_count] = executor;
        plugins->executor_options[plugins->executor_count++] = member;
    }
    return STATUS_OK;
}

enum status plugins_load(const struct config *config, struct plugins *ret, struct error *err)
{
    struct plugins plugins = {.registry = NULL};
    enum status status = plugin_registry_new(&plugins.registry, err);
    if (status == STATUS_OK)
        status = load_listed(config, &plugins, err);
    if (status == STATUS_OK)
        status = load_backend(config, &plugins, err);
    if (status == STATUS_OK)
        status = load_executors(config, &plugins, err);
    if (status != STATUS_OK) {
        plugins_unload(&plugins);
        return status;
    }
    *ret = plugins;
    return STATUS_OK;
}

void plugins_unload(struct plugins *plugins)
{
    if (plugins->registry != NULL)
        plugin_registry_free(plugins->registry);
    plugins->registry = NULL;
}
