/* Which plugins the configuration asks for, loaded and found. */
#ifndef CHRONOS_DAEMON_PLUGINS_H
#define CHRONOS_DAEMON_PLUGINS_H

#include "config/config.h"
#include "plugin/registry.h"

enum { EXECUTORS_MAX = 32 };

struct plugins {
    struct plugin_registry *registry;
    const struct plugin_component *backend;
    const struct plugin_component *executors[EXECUTORS_MAX];
    const cJSON *executor_options[EXECUTORS_MAX]; /* borrowed from the configuration */
    uint32_t executor_count;
};

/* First plugins.load, then storage_<backend>.so, then executor_<id>.so for each member of `executors` that no loaded plugin
 * offers. The options are checked against the schemas. Every problem is reported, with file, line and key where the
 * configuration has them; the return is the first one's code and *err its text. Without a report there is no memory. */
must_use enum status plugins_load(const struct config *config, config_report report, void *arg, struct plugins *ret,
                                  struct error *err);
void plugins_unload(struct plugins *plugins);

#endif
