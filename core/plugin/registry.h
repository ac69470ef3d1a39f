/* Plugins of this process: found by path, checked, loaded once, never unloaded.
 * All functions here: the main thread, before the loop runs; the results are immutable and may be read by any thread. */
#ifndef CHRONOS_PLUGIN_REGISTRY_H
#define CHRONOS_PLUGIN_REGISTRY_H

#include <chronos/plugin.h>

#include "base/error.h"

struct plugin_registry;

/* A component as the host sees it: tables copied into host-sized structs, absent slots NULL. */
struct plugin_component {
    const char *id;
    const char *summary;
    const char *shorthand;      /* NULL where none */
    int32_t kind;
    const char *plugin_name;
    const char *plugin_version;
    const char *path;           /* of the .so, for messages */
    struct plugin_schema *schema; /* schema.h */
    int32_t (*create)(const struct chronos_host *host, void **self, struct chronos_error *err);
    void (*destroy)(void *self);
    const void *(*get_extension)(void *self, const char *id); /* may be NULL */
    union {
        struct chronos_storage_ops storage;
        struct chronos_executor_ops executor;
    } ops;
};

must_use enum status plugin_registry_new(struct plugin_registry **ret, struct error *err);
void plugin_registry_free(struct plugin_registry *registry); /* frees host memory; the code stays mapped */

/* Load one file: an absolute path, or a bare file name inside `directory` (absolute or relative to the process). `sha256`
 * is NULL or 64 hex digits. Loading a file that is loaded already is EXISTS. The message of a refusal names the file, what
 * is wrong and how to mend it ("chmod go-w /usr/lib/..."). Nothing of a refused plugin stays registered. */
must_use enum status plugin_load(struct plugin_registry *registry, const char *directory, const char *file,
                                 const char *sha256, struct error *err);
/* NULL where there is none. */
const struct plugin_component *plugin_find(const struct plugin_registry *registry, int32_t kind, const char *id);
const struct plugin_component *plugin_find_shorthand(const struct plugin_registry *registry, const char *key);
size_t plugin_component_count(const struct plugin_registry *registry);
const struct plugin_component *plugin_component_at(const struct plugin_registry *registry, size_t index);

/* Negative ABI codes to ours; unknown ones are INTERNAL. Copies err->msg, checked for UTF-8 and cut. */
enum status plugin_status(int32_t code, const struct chronos_error *from, struct error *err);

#endif
