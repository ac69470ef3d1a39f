/* Reading a plugin's descriptor (chronos/plugin.h): every claim is checked before it is used,
 * and tables are copied into zeroed structs of the host's own size, so that slots which the plugin does not have are
 * NULL. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "plugin/private.h"
#include "plugin/schema.h"

/* The size of a struct as ABI 1.0 ended it. These never grow: later members are optional. */
#define SIZE_THROUGH(type, member) (offsetof(struct type, member) + sizeof(((struct type *)0)->member))
enum {
    PLUGIN_SIZE_1_0 = SIZE_THROUGH(chronos_plugin, components),
    COMPONENT_SIZE_1_0 = SIZE_THROUGH(chronos_component, get_extension),
    OPTION_SIZE_1_0 = SIZE_THROUGH(chronos_option, help),
    STORAGE_OPS_SIZE_1_0 = SIZE_THROUGH(chronos_storage_ops, close),
    EXECUTOR_OPS_SIZE_1_0 = SIZE_THROUGH(chronos_executor_ops, drain),
};

const char *plugin_kind_name(int32_t kind)
{
    static const char *const names[] = {"unknown", "storage", "executor", "trigger", "notifier", "secrets",
                                        "log store"};
    return kind >= CHRONOS_KIND_STORAGE && kind <= CHRONOS_KIND_LOG_STORE ? names[kind] : names[0];
}

/* -- words --------------------------------------------------------------------------------------------------------- */

static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

enum { WORD_MAX = 63 };

/* [a-z0-9_-]{1,63} */
static enum status check_word(const char *what, const char *text, struct error *err)
{
    if (!text)
        return error_set(err, STATUS_INVALID, "%s is missing", what);
    size_t size = 0;
    while (size <= WORD_MAX && is_word_char(text[size]))
        size++;
    if (size == 0 || size > WORD_MAX || text[size] != '\0') {
        char shown[WORD_MAX * 3 + 1];
        (void)plugin_text_clean(shown, sizeof shown, text, strnlen(text, WORD_MAX + 1));
        return error_set(err, STATUS_INVALID, "%s \"%s\" is not 1 to 63 of a-z, 0-9, _ and -", what, shown);
    }
    return STATUS_OK;
}

static enum status check_text(const char *what, const char *text, struct error *err)
{
    if (!text)
        return error_set(err, STATUS_INVALID, "%s is missing", what);
    size_t size = strnlen(text, PLUGIN_TEXT_MAX + 1);
    if (size > PLUGIN_TEXT_MAX)
        return error_set(err, STATUS_INVALID, "%s is longer than %d bytes", what, PLUGIN_TEXT_MAX);
    if (!utf8_valid(text, size, NULL))
        return error_set(err, STATUS_INVALID, "%s is not UTF-8", what);
    return STATUS_OK;
}

static enum status check_size(const char *what, uint32_t size, uint32_t least, struct error *err)
{
    if (size < least || size > PLUGIN_STRUCT_SIZE_MAX)
        return error_set(err, STATUS_INVALID, "%s says struct_size %" PRIu32 "; ABI 1.0 has %" PRIu32
                         " bytes, so it was not built from these headers", what, size, least);
    return STATUS_OK;
}

/* -- the head ------------------------------------------------------------------------------------------------------ */

static enum status check_features(uint64_t features, struct error *err)
{
    uint32_t required = (uint32_t)features, unknown = required & ~(uint32_t)CHRONOS_FEATURE_PROVISIONAL;
    if (unknown)
        return error_set(err, STATUS_NOT_IMPLEMENTED,
                         "it requires the host features 0x%" PRIx32 "; this host (ABI %d.%d) understands 0x%" PRIx32
                         " and not 0x%" PRIx32, required, CHRONOS_ABI_MAJOR, CHRONOS_ABI_MINOR,
                         (uint32_t)CHRONOS_FEATURE_PROVISIONAL, unknown);
    if (!(features & CHRONOS_FEATURE_PROVISIONAL))
        return error_set(err, STATUS_NOT_IMPLEMENTED,
                         "it is built for the final ABI 1.0, but this host has the provisional revision %u; build it "
                         "from this host's headers", CHRONOS_ABI_REVISION);
    uint32_t revision = (uint32_t)(features >> 32);
    if (revision != CHRONOS_ABI_REVISION)
        return error_set(err, STATUS_NOT_IMPLEMENTED,
                         "it is built for revision %" PRIu32 " of the provisional ABI, this host has revision %u; "
                         "build it from this host's headers", revision, CHRONOS_ABI_REVISION);
    return STATUS_OK;
}

/* magic, struct_size and abi_major are read first: nothing else has a meaning before they fit. */
static enum status check_head(const struct chronos_plugin *plugin, struct error *err)
{
    if (plugin->magic != CHRONOS_PLUGIN_MAGIC)
        return error_set(err, STATUS_INVALID,
                         "its magic number is 0x%08" PRIx32 " instead of 0x%08x; it is no Chronos plugin, or one "
                         "built for another byte order", plugin->magic, CHRONOS_PLUGIN_MAGIC);
    enum status status = check_size("the descriptor", plugin->struct_size, PLUGIN_SIZE_1_0, err);
    if (status != STATUS_OK)
        return status;
    if (plugin->abi_major != CHRONOS_ABI_MAJOR)
        return error_set(err, STATUS_NOT_IMPLEMENTED,
                         "it is built for ABI %d.%d, this host has ABI %d.%d; the majors differ",
                         plugin->abi_major, plugin->abi_minor, CHRONOS_ABI_MAJOR, CHRONOS_ABI_MINOR);
    if (plugin->host_minor_min > CHRONOS_ABI_MINOR)
        return error_set(err, STATUS_NOT_IMPLEMENTED, "it needs a host of ABI %d.%d or newer, this one has ABI %d.%d",
                         CHRONOS_ABI_MAJOR, plugin->host_minor_min, CHRONOS_ABI_MAJOR, CHRONOS_ABI_MINOR);
    if (plugin->reserved0 != 0)
        return error_set(err, STATUS_NOT_IMPLEMENTED,
                         "its reserved field is %d instead of 0 (built for ABI %d.%d, this host has ABI %d.%d)",
                         plugin->reserved0, plugin->abi_major, plugin->abi_minor, CHRONOS_ABI_MAJOR, CHRONOS_ABI_MINOR);
    return check_features(plugin->features, err);
}

static enum status check_texts(const struct chronos_plugin *plugin, struct error *err)
{
    enum status status = check_word("the plugin's name", plugin->name, err);
    if (status == STATUS_OK)
        status = check_text("the plugin's version", plugin->version, err);
    if (status == STATUS_OK && plugin->vendor)
        status = check_text("the plugin's vendor", plugin->vendor, err);
    if (status == STATUS_OK && plugin->build_info)
        status = check_text("the plugin's build_info", plugin->build_info, err);
    return status;
}

/* -- operations ---------------------------------------------------------------------------------------------------- */

static enum status missing_slot(const char *name, struct error *err)
{
    return error_set(err, STATUS_INVALID, "the mandatory function %s is missing", name);
}

static enum status copy_storage_ops(struct chronos_storage_ops *out, const void *ops, struct error *err)
{
    const struct chronos_storage_ops *from = ops;
    enum status status = check_size("chronos_storage_ops", from->struct_size, STORAGE_OPS_SIZE_1_0, err);
    if (status != STATUS_OK)
        return status;
    memset(out, 0, sizeof *out);
    memcpy(out, from, from->struct_size < sizeof *out ? from->struct_size : sizeof *out);
    if (out->reserved0 != 0)
        return error_set(err, STATUS_NOT_IMPLEMENTED, "the reserved field of chronos_storage_ops is not 0");
#define MANDATORY(slot)  \
    if (!out->slot)      \
        return missing_slot("storage." #slot, err);
    MANDATORY(open) MANDATORY(limits) MANDATORY(table) MANDATORY(begin) MANDATORY(commit) MANDATORY(abort)
    MANDATORY(get) MANDATORY(put) MANDATORY(del) MANDATORY(cursor_open) MANDATORY(cursor_close)
    MANDATORY(cursor_move) MANDATORY(stat) MANDATORY(sync) MANDATORY(close)
    return STATUS_OK;
}

static enum status copy_executor_ops(struct chronos_executor_ops *out, const void *ops, struct error *err)
{
    const struct chronos_executor_ops *from = ops;
    enum status status = check_size("chronos_executor_ops", from->struct_size, EXECUTOR_OPS_SIZE_1_0, err);
    if (status != STATUS_OK)
        return status;
    memset(out, 0, sizeof *out);
    memcpy(out, from, from->struct_size < sizeof *out ? from->struct_size : sizeof *out);
    if (out->reserved0 != 0)
        return error_set(err, STATUS_NOT_IMPLEMENTED, "the reserved field of chronos_executor_ops is not 0");
    if (!out->start)
        return missing_slot("executor.start", err);
    if (!out->cancel)
        return missing_slot("executor.cancel", err);
    return STATUS_OK;
}

/* -- components ---------------------------------------------------------------------------------------------------- */

static enum status copy_ops(struct plugin_component *out, const struct chronos_component *from, struct error *err)
{
    if (!from->ops)
        return error_set(err, STATUS_INVALID, "its table of operations is missing");
    return from->kind == CHRONOS_KIND_STORAGE ? copy_storage_ops(&out->ops.storage, from->ops, err)
                                              : copy_executor_ops(&out->ops.executor, from->ops, err);
}

static enum status check_component_head(const struct chronos_component *from, struct error *err)
{
    if (from->kind < CHRONOS_KIND_STORAGE || from->kind > CHRONOS_KIND_LOG_STORE)
        return error_set(err, STATUS_INVALID, "%" PRId32 " is not a kind of component", from->kind);
    if (from->kind != CHRONOS_KIND_STORAGE && from->kind != CHRONOS_KIND_EXECUTOR)
        return error_set(err, STATUS_NOT_IMPLEMENTED,
                         "components of kind %" PRId32 " (%s) are reserved for later hosts",
                         from->kind, plugin_kind_name(from->kind));
    enum status status = check_text("the summary", from->summary, err);
    if (status == STATUS_OK && from->shorthand) {
        status = check_word("the shorthand", from->shorthand, err);
        if (status == STATUS_OK && from->kind != CHRONOS_KIND_EXECUTOR)
            status = error_set(err, STATUS_INVALID, "only an executor can have a shorthand");
    }
    if (status != STATUS_OK)
        return status;
    if (!from->create)
        return missing_slot("create", err);
    return from->destroy ? STATUS_OK : missing_slot("destroy", err);
}

static enum status read_options(const struct chronos_component *from, struct plugin_schema **ret, struct error *err)
{
    if (from->n_options > PLUGIN_OPTIONS_MAX)
        return error_set(err, STATUS_INVALID, "it has %" PRIu32 " options; at most %d are possible", from->n_options,
                         PLUGIN_OPTIONS_MAX);
    if (from->n_options > 0 && !from->options)
        return error_set(err, STATUS_INVALID, "it has %" PRIu32 " options but no table of them", from->n_options);
    if (from->n_options > 0 && (from->option_stride < OPTION_SIZE_1_0 || from->option_stride > PLUGIN_STRUCT_SIZE_MAX ||
                                from->option_stride % sizeof(void *) != 0))
        return error_set(err, STATUS_INVALID, "its option_stride is %" PRIu32 "; ABI 1.0 has %d bytes",
                         from->option_stride,
                         OPTION_SIZE_1_0);
    return plugin_schema_new(from->options, from->n_options, from->option_stride, ret, err);
}

static enum status read_body(struct plugin_component *out, const struct chronos_component *from, struct error *err)
{
    enum status status = check_component_head(from, err);
    if (status == STATUS_OK)
        status = copy_ops(out, from, err);
    if (status == STATUS_OK)
        status = read_options(from, &out->schema, err);
    return status;
}

static enum status read_component(const struct chronos_plugin *plugin, const struct chronos_component *given,
                                  const char *path, struct plugin_component **ret, struct error *err)
{
    enum status status = check_size("a component", given->struct_size, COMPONENT_SIZE_1_0, err);
    if (status == STATUS_OK)
        status = check_word("a component's id", given->id, err);
    if (status != STATUS_OK)
        return status;
    struct chronos_component from = {0};
    memcpy(&from, given, given->struct_size < sizeof from ? given->struct_size : sizeof from);
    struct plugin_component *component = calloc(1, sizeof *component);
    if (!component)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    *component = (struct plugin_component){.id = from.id, .summary = from.summary, .shorthand = from.shorthand,
                                           .kind = from.kind, .plugin_name = plugin->name,
                                           .plugin_version = plugin->version, .path = path, .create = from.create,
                                           .destroy = from.destroy, .get_extension = from.get_extension};
    status = read_body(component, &from, err);
    if (status != STATUS_OK) {
        plugin_component_free(component);
        return error_wrap(err, "component \"%s\"", given->id);
    }
    *ret = component;
    return STATUS_OK;
}

void plugin_component_free(struct plugin_component *component)
{
    if (!component)
        return;
    plugin_schema_free(component->schema);
    free(component);
}

static enum status check_twice(struct plugin_component *const *components, size_t count, struct error *err)
{
    const struct plugin_component *added = components[count];
    for (size_t i = 0; i < count; i++) {
        if (components[i]->kind == added->kind && strcmp(components[i]->id, added->id) == 0)
            return error_set(err, STATUS_INVALID, "it provides %s \"%s\" twice", plugin_kind_name(added->kind),
                             added->id);
        if (components[i]->shorthand && added->shorthand && strcmp(components[i]->shorthand, added->shorthand) == 0)
            return error_set(err, STATUS_INVALID, "its executors \"%s\" and \"%s\" have the same shorthand \"%s\"",
                             components[i]->id, added->id, added->shorthand);
    }
    return STATUS_OK;
}

static enum status count_components(const struct chronos_plugin *plugin, size_t *ret, struct error *err)
{
    if (!plugin->components || !plugin->components[0])
        return error_set(err, STATUS_INVALID, "it has no components");
    size_t count = 0;
    while (plugin->components[count])
        if (++count > PLUGIN_COMPONENTS_MAX)
            return error_set(err, STATUS_INVALID, "it has more than %d components", PLUGIN_COMPONENTS_MAX);
    *ret = count;
    return STATUS_OK;
}

static enum status read_components(const struct chronos_plugin *plugin, const char *path, size_t count,
                                   struct plugin_component **out, struct error *err)
{
    size_t done = 0;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && done < count) {
        status = read_component(plugin, plugin->components[done], path, &out[done], err);
        if (status == STATUS_OK)
            status = check_twice(out, done++, err);
    }
    for (size_t i = 0; status != STATUS_OK && i < done; i++)
        plugin_component_free(out[i]);
    return status;
}

enum status plugin_descriptor_read(const struct chronos_plugin *descriptor, const char *path,
                                   struct plugin_component ***ret,
                                   size_t *ret_count, struct error *err)
{
    size_t count = 0;
    enum status status = check_head(descriptor, err);
    if (status == STATUS_OK)
        status = check_texts(descriptor, err);
    if (status == STATUS_OK)
        status = count_components(descriptor, &count, err);
    if (status != STATUS_OK)
        return status;
    struct plugin_component **components = calloc(count, sizeof *components);
    if (!components)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    status = read_components(descriptor, path, count, components, err);
    if (status != STATUS_OK) {
        free(components);
        return status;
    }
    *ret = components;
    *ret_count = count;
    return STATUS_OK;
}
