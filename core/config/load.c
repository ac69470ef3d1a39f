#include "config/config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "config/loader.h"

/* struct config is what others see; the rest answers config_line_of. */
struct loaded {
    struct config config; /* first: the two addresses are one */
    struct tree *file;    /* NULL: none */
    char *file_name;
    bool is_text[CONFIG_KEYS_MAX]; /* by index in config_keys: environment or command line had the last word */
};
static_assert(offsetof(struct loaded, config) == 0, "config_free casts");

static const struct loaded *loaded_of(const struct config *config)
{
    return (const struct loaded *)(const void *)config;
}

void config_free(struct config *config)
{
    if (!config)
        return;
    for (uint32_t i = 0; i < config_key_count; i++)
        if (config_keys[i].type->clear)
            config_keys[i].type->clear(config, &config_keys[i]);
    struct loaded *loaded = (struct loaded *)(void *)config;
    tree_free(loaded->file);
    free(loaded->file_name);
    free(loaded);
}

const char *config_file_of(const struct config *config)
{
    return loaded_of(config)->file_name;
}

int config_line_of(const struct config *config, const char *key)
{
    const struct loaded *loaded = loaded_of(config);
    const struct config_key *known = config_key_of_path(key);
    if (!loaded->file || (known && loaded->is_text[known - config_keys]))
        return 0;
    const struct tree *found = tree_find(loaded->file, key);
    return found ? (int)found->line : 0;
}

struct tree *config_defaults(void)
{
    struct error err;
    struct problems problems = {.first = &err};
    return tree_parse(config_defaults_text, config_defaults_text_size, "defaults.yaml", &problems);
}

static void begin_source(struct loader *loader, const char *label, bool is_default)
{
    loader->label = label;
    loader->is_default = is_default;
    loader->is_text = false;
}

static void apply_defaults(struct loader *loader)
{
    begin_source(loader, "defaults.yaml", true);
    struct tree *defaults = config_defaults();
    if (defaults)
        apply_tree(loader, defaults);
    else
        (void)loader_out_of_memory(loader);
    tree_free(defaults);
}

static void apply_file_text(struct loader *loader, const char *label, const char *text, size_t size)
{
    begin_source(loader, label, false);
    loader->file_label = label;
    loader->file = tree_parse(text, size, label, &loader->problems);
    if (loader->file)
        apply_tree(loader, loader->file);
}

static void apply_file(struct loader *loader, const char *path)
{
    struct buffer text;
    struct error err;
    buffer_init(&text, YAML_SIZE_MAX);
    enum status status = file_read(path, &text, &err);
    struct place place = {.label = path};
    if (status == STATUS_OK)
        apply_file_text(loader, path, text.data, text.size);
    else if (status == STATUS_TOO_LARGE)
        problem_add(&loader->problems, place, status, "", "larger than %d bytes", YAML_SIZE_MAX);
    else
        problem_add(&loader->problems, place, status, "", "cannot be read: %s", err.message);
    buffer_deinit(&text);
}

static void apply_overrides(struct loader *loader, const struct config_override *overrides, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        begin_source(loader, overrides[i].source, false);
        loader->is_text = true;
        const struct config_key *key = config_key_of_path(overrides[i].key);
        if (key)
            apply_text(loader, key, overrides[i].value);
        else
            (void)loader_refuse(loader, overrides[i].key, 0, "unknown key");
    }
}

/* ---- defaults that depend on the machine ---- */

/* The first label of the host's name in lower case; what a label cannot hold becomes "-". */
static void host_label(char out[NODE_NAME_MAX + 1])
{
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) != 0)
        host[0] = '\0';
    size_t size = 0;
    for (const char *at = host; *at && *at != '.' && size < NODE_NAME_MAX; at++) {
        char c = *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at;
        bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (good || size > 0)
            out[size++] = good ? c : '-';
    }
    while (size > 0 && out[size - 1] == '-')
        size--;
    out[size] = '\0';
    if (size == 0)
        (void)snprintf(out, NODE_NAME_MAX + 1, "chronos");
}

static bool set_formatted(struct loader *loader, char **member, const char *directory, const char *name)
{
    if (*member)
        return true;
    if (asprintf(member, "%s%s%s", directory, *directory ? "/" : "", name) >= 0)
        return true;
    *member = NULL;
    return loader_out_of_memory(loader);
}

static void compute_defaults(struct loader *loader, const char *program_directory)
{
    struct config *config = loader->config;
    char label[NODE_NAME_MAX + 1];
    host_label(label);
    loader->label = "defaults";
    bool good = set_formatted(loader, &config->cluster.node_id, "", label);
    good = good && set_formatted(loader, &config->plugins.directory, program_directory ? program_directory : "",
                                 "../lib/chronos/plugins");
    /* Without a data_dir a problem was reported already. */
    if (good && config->cluster.data_dir)
        (void)set_formatted(loader, &config->storage.log_dir, config->cluster.data_dir, "log");
}

/* The chosen backend's options move into the config; the others are dropped. */
static void choose_backend(struct loader *loader)
{
    struct config *config = loader->config;
    if (config->storage.backend)
        config->storage.options = cJSON_DetachItemFromObjectCaseSensitive(loader->backends, config->storage.backend);
}

/* ---- all together ---- */

static enum status loader_init(struct loader *loader, config_report report, void *arg, struct error *err)
{
    *loader = (struct loader){.problems = {.report = report, .arg = arg, .first = err}, .label = ""};
    struct loaded *loaded = calloc(1, sizeof *loaded);
    loader->backends = cJSON_CreateObject();
    cJSON *executors = cJSON_CreateObject();
    if (!loaded || !loader->backends || !executors) {
        free(loaded);
        cJSON_Delete(loader->backends);
        cJSON_Delete(executors);
        return error_set(err, STATUS_NO_MEMORY, "load configuration: out of memory");
    }
    loader->config = &loaded->config;
    loader->config->executors.options = executors;
    for (uint32_t i = 0; i < config_key_count; i++)
        config_key_environment(&config_keys[i], loader->variables[i]);
    return STATUS_OK;
}

/* Takes everything that the loader holds; *ret only on success. */
static enum status loader_finish(struct loader *loader, struct config **ret)
{
    struct loaded *loaded = (struct loaded *)(void *)loader->config;
    loaded->file = loader->file;
    if (loader->file_label) {
        loaded->file_name = strdup(loader->file_label);
        if (!loaded->file_name)
            (void)loader_out_of_memory(loader);
    }
    for (uint32_t i = 0; i < config_key_count; i++)
        loaded->is_text[i] = loader->origins[i].is_text;
    cJSON_Delete(loader->backends);
    if (loader->problems.count > 0) {
        config_free(loader->config);
        return loader->problems.first->code;
    }
    *ret = loader->config;
    return STATUS_OK;
}

static enum status load(const struct config_sources *sources, bool has_text, const char *text, size_t size,
                        config_report report, void *arg, struct config **ret, struct error *err)
{
    struct loader loader;
    enum status status = loader_init(&loader, report, arg, err);
    if (status != STATUS_OK)
        return status;
    apply_defaults(&loader);
    if (has_text)
        apply_file_text(&loader, sources->file, text, size);
    else if (sources->file)
        apply_file(&loader, sources->file);
    begin_source(&loader, "", false);
    if (sources->environment)
        apply_environment(&loader, sources->environment);
    apply_overrides(&loader, sources->overrides, sources->override_count);
    compute_defaults(&loader, sources->program_directory);
    check_config(&loader);
    choose_backend(&loader);
    return loader_finish(&loader, ret);
}

enum status config_load(const struct config_sources *sources, config_report report, void *arg, struct config **ret,
                        struct error *err)
{
    return load(sources, false, NULL, 0, report, arg, ret, err);
}

enum status config_load_text(const struct config_sources *sources, const char *text, size_t size, config_report report,
                             void *arg, struct config **ret, struct error *err)
{
    assert(sources->file);
    return load(sources, true, text, size, report, arg, ret, err);
}

/* Addresses are IP literals: the whole of 127.0.0.0/8, and ::1. */
static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]:", 6) == 0;
}

bool config_http_is_loopback(const struct config *config)
{
    return is_loopback(config->server.http_address);
}

bool config_http_is_open(const struct config *config)
{
    return !config->auth.enabled && !config_http_is_loopback(config);
}

bool config_raft_is_open(const struct config *config)
{
    const char *address = config->cluster_raft.address;
    return address != NULL && config->cluster_raft.tls_cert_file == NULL && !is_loopback(address);
}
