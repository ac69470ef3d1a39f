/* The minimal host: loads a plugin and answers its callbacks. */
#include "kit.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct kit_host *host_of(const struct chronos_host *host)
{
    return host->data;
}

static void host_log(const struct chronos_host *host, int32_t level, const char *message, uint64_t size)
{
    (void)level;
    __atomic_add_fetch(&host_of(host)->log_lines, 1, __ATOMIC_RELAXED);
    if (getenv("CHRONOS_CHECK_LOG") != NULL) {
        (void)fprintf(stderr, "[plugin] %.*s\n", (int)size, message);
    }
}

static int32_t host_log_level(const struct chronos_host *host)
{
    (void)host;
    return CHRONOS_LOG_DEBUG;
}

static int32_t host_complete(const struct chronos_host *host, uint64_t run_token, const struct chronos_result *result)
{
    (void)host;
    (void)run_token;
    (void)result;
    return CHRONOS_NOTFOUND; /* nothing was started */
}

static int32_t host_output(const struct chronos_host *host, uint64_t run_token, int32_t stream, const void *data,
                           uint64_t size)
{
    (void)host;
    (void)run_token;
    (void)stream;
    (void)data;
    (void)size;
    return CHRONOS_NOTFOUND;
}

static const struct kit_setting *find_setting(const struct kit_host *host, const char *key)
{
    for (size_t i = 0; i < host->setting_count; i++) {
        if (strcmp(host->settings[i].key, key) == 0 && host->settings[i].text != NULL) {
            return &host->settings[i];
        }
    }
    return NULL;
}

static int32_t host_config_string(const struct chronos_host *host, const char *key, const char **out)
{
    const struct kit_setting *setting = find_setting(host_of(host), key);

    if (setting == NULL) {
        return CHRONOS_NOTFOUND;
    }
    *out = setting->text;
    return CHRONOS_OK;
}

static int32_t host_config_int(const struct chronos_host *host, const char *key, int64_t *out)
{
    const struct kit_setting *setting = find_setting(host_of(host), key);

    if (setting == NULL) {
        return CHRONOS_NOTFOUND;
    }
    *out = setting->number;
    return CHRONOS_OK;
}

static int32_t host_config_bool(const struct chronos_host *host, const char *key, int32_t *out)
{
    const struct kit_setting *setting = find_setting(host_of(host), key);

    if (setting == NULL) {
        return CHRONOS_NOTFOUND;
    }
    *out = setting->number != 0;
    return CHRONOS_OK;
}

static int64_t host_now(const struct chronos_host *host, int32_t clock)
{
    struct timespec now;

    (void)host;
    (void)clock_gettime(clock == CHRONOS_CLOCK_WALL ? CLOCK_REALTIME : CLOCK_MONOTONIC, &now); /* both always exist */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void *host_alloc(const struct chronos_host *host, uint64_t size)
{
    struct kit_host *self = host_of(host);
    uint64_t call = __atomic_add_fetch(&self->alloc_calls, 1, __ATOMIC_RELAXED);
    void *memory = call == self->alloc_fail_at ? NULL : malloc(size);

    if (memory != NULL) {
        __atomic_add_fetch(&self->alloc_balance, 1, __ATOMIC_RELAXED);
    }
    return memory;
}

static void host_release(const struct chronos_host *host, void *pointer)
{
    if (pointer != NULL) {
        __atomic_sub_fetch(&host_of(host)->alloc_balance, 1, __ATOMIC_RELAXED);
    }
    free(pointer);
}

static void host_fail(const struct chronos_host *host, const struct chronos_error *err)
{
    (void)err;
    host_of(host)->failed = true;
}

static const void *host_get_extension(const struct chronos_host *host, const char *id)
{
    (void)host;
    (void)id;
    return NULL;
}

/* "64GiB", "30s", "true", "17": the number that a plugin gets. */
static int64_t number_of(const char *text, int32_t type)
{
    static const struct {
        int32_t type;
        const char *unit;
        int64_t factor;
    } UNITS[] = {
        {CHRONOS_OPTION_SIZE, "B", 1},
        {CHRONOS_OPTION_SIZE, "KiB", INT64_C(1) << 10},
        {CHRONOS_OPTION_SIZE, "MiB", INT64_C(1) << 20},
        {CHRONOS_OPTION_SIZE, "GiB", INT64_C(1) << 30},
        {CHRONOS_OPTION_SIZE, "TiB", INT64_C(1) << 40},
        {CHRONOS_OPTION_DURATION, "ms", 1},
        {CHRONOS_OPTION_DURATION, "s", 1000},
        {CHRONOS_OPTION_DURATION, "m", 60000},
        {CHRONOS_OPTION_DURATION, "h", 3600000},
    };
    char *end;
    int64_t number;

    if (type == CHRONOS_OPTION_BOOL) {
        return strcmp(text, "true") == 0;
    }
    number = strtoll(text, &end, 10);
    for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
        if (UNITS[i].type == type && strcmp(UNITS[i].unit, end) == 0) {
            return number * UNITS[i].factor;
        }
    }
    return number;
}

static const char *override_of(const struct kit *kit, const char *key)
{
    size_t size = strlen(key);

    for (size_t i = 0; kit->overrides != NULL && kit->overrides[i] != NULL; i++) {
        if (strncmp(kit->overrides[i], key, size) == 0 && kit->overrides[i][size] == '=') {
            return kit->overrides[i] + size + 1;
        }
    }
    return NULL;
}

static void take_settings(struct kit *kit, struct kit_host *host)
{
    const struct chronos_component *component = kit->component;

    for (uint32_t i = 0; i < component->n_options && i < KIT_MAX_OPTIONS; i++) {
        const struct chronos_option *option = (const void *)((const char *)component->options +
                                                             (size_t)i * component->option_stride);
        const char *text = override_of(kit, option->name);

        text = text != NULL ? text : option->def;
        host->settings[host->setting_count++] = (struct kit_setting){
            .key = option->name,
            .text = text,
            .number = text != NULL ? number_of(text, option->type) : 0,
        };
    }
}

void kit_host_init(struct kit *kit, struct kit_host *host)
{
    *host = (struct kit_host){
        .ops =
            {
                .struct_size = sizeof(struct chronos_host_ops),
                .abi_major = CHRONOS_ABI_MAJOR,
                .abi_minor = CHRONOS_ABI_MINOR,
                .log = host_log,
                .log_level = host_log_level,
                .complete = host_complete,
                .output = host_output,
                .config_string = host_config_string,
                .config_int = host_config_int,
                .config_bool = host_config_bool,
                .now = host_now,
                .alloc = host_alloc,
                .release = host_release,
                .fail = host_fail,
                .get_extension = host_get_extension,
            },
    };
    host->table = (struct chronos_host){.ops = &host->ops, .data = host};
    take_settings(kit, host);
}

static void find_component(struct kit *kit)
{
    const struct chronos_component *const *components = kit->plugin->components;

    KIT_EXPECT(kit, components != NULL && components[0] != NULL, "the plugin offers no component");
    kit->component = components[0];
    for (size_t i = 0; kit->component_id != NULL && components[i] != NULL; i++) {
        if (strcmp(components[i]->id, kit->component_id) == 0) {
            kit->component = components[i];
            return;
        }
    }
    KIT_EXPECT(kit, kit->component_id == NULL, "the plugin offers no component \"%s\"", kit->component_id);
}

void kit_load(struct kit *kit)
{
    const struct chronos_plugin *(*entry)(void);
    void *symbol;

    kit->library = dlopen(kit->so_path, RTLD_NOW | RTLD_LOCAL);
    KIT_EXPECT(kit, kit->library != NULL, "cannot load: %s", dlerror());
    symbol = dlsym(kit->library, CHRONOS_PLUGIN_ENTRY);
    KIT_EXPECT(kit, symbol != NULL, "not a Chronos v1 plugin: it has no %s", CHRONOS_PLUGIN_ENTRY);
    memcpy(&entry, &symbol, sizeof(entry)); /* ISO C has no cast from object to function pointer */
    kit->plugin = entry();
    KIT_EXPECT(kit, kit->plugin != NULL, "%s returned NULL", CHRONOS_PLUGIN_ENTRY);
    KIT_EXPECT(kit, kit->plugin->magic == CHRONOS_PLUGIN_MAGIC, "wrong magic 0x%08x", kit->plugin->magic);
    KIT_EXPECT(kit, kit->plugin->struct_size >= sizeof(struct chronos_plugin), "descriptor of %u bytes is too short",
               kit->plugin->struct_size);
    KIT_EXPECT(kit, kit->plugin->abi_major == CHRONOS_ABI_MAJOR, "ABI major %u, this kit checks %d",
               kit->plugin->abi_major, CHRONOS_ABI_MAJOR);
    KIT_EXPECT(kit, kit->plugin->features == CHRONOS_FEATURES_THIS,
               "features 0x%llx: while the ABI is provisional they must equal the kit's, 0x%llx",
               (unsigned long long)kit->plugin->features, (unsigned long long)CHRONOS_FEATURES_THIS);
    find_component(kit);
    kit_host_init(kit, &kit->host);
}
