/* A live instance of a component: its host table, its configuration, its log lines. */
#ifndef CHRONOS_PLUGIN_INSTANCE_H
#define CHRONOS_PLUGIN_INSTANCE_H

#include "base/clock.h"
#include "plugin/registry.h"
#include "plugin/schema.h"

/* Where completions and output of an executor's runs go, and what happens when an instance gives up. Called on any thread,
 * with no lock of the host held; must not block. */
struct plugin_sink {
    int32_t (*complete)(void *arg, uint64_t run_token, const struct chronos_result *result);
    int32_t (*output)(void *arg, uint64_t run_token, int32_t stream, const void *data, uint64_t size);
    void (*failed)(void *arg, const struct chronos_error *err);
    void *arg;
};

struct plugin_instance {
    const struct plugin_component *component;
    void *self;                 /* the plugin's */
    struct chronos_host host;   /* what the plugin was given */
    struct plugin_host_data *data;
};

/* Checks `config` (PLUGIN_SCOPE_NODE; NULL = {}) and calls create. `label` names the instance in the log ("log", "state-1",
 * "shell"). `sink` may be NULL for storage: then `failed` ends the process after logging. [setup] */
must_use enum status plugin_instance_new(const struct plugin_component *component, const char *label, const cJSON *config,
                                         const struct clock *clock, const struct plugin_sink *sink,
                                         struct plugin_instance **ret, struct error *err);
void plugin_instance_free(struct plugin_instance *instance); /* calls destroy; [setup]; accepts NULL */
/* Bytes that the plugin holds of the host's alloc. [any] */
uint64_t plugin_instance_memory(const struct plugin_instance *instance);

#endif
