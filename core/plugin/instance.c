/* The life of an instance: configuration first, then create, and destroy before anything of the host goes. */
#include "plugin/instance.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "plugin/private.h"

/* -- configuration ------------------------------------------------------------------------------------------------- */

static int64_t integer_of(const struct chronos_param *param)
{
    switch (param->type) {
    case CHRONOS_OPTION_INT:
    case CHRONOS_OPTION_DURATION:
    case CHRONOS_OPTION_SIZE:
        return strtoll(param->value.data, NULL, 10); /* written by plugin_schema_params */
    case CHRONOS_OPTION_BOOL:
        return strcmp(param->value.data, "true") == 0;
    default:
        return 0;
    }
}

static enum status keep_values(struct plugin_host_data *data, struct error *err)
{
    uint32_t count = data->params.count;
    data->values = count ? calloc(count, sizeof *data->values) : NULL;
    if (count && !data->values)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    for (uint32_t i = 0; i < count; i++) {
        const struct chronos_param *param = &data->params.items[i];
        data->values[i] = (struct plugin_config_value){
            .name = param->name, .text = param->value.data, .type = param->type, .integer = integer_of(param)};
    }
    data->value_count = count;
    return STATUS_OK;
}

static void warn_deprecated(void *arg, const char *field, const char *message)
{
    const struct plugin_host_data *data = arg;
    LOG_WARN("plugin option is deprecated", LOG_STRING("plugin", data->component->plugin_name),
             LOG_STRING("instance", data->label), LOG_STRING("field", field), LOG_STRING("reason", message));
}

static enum status read_config(struct plugin_host_data *data, const cJSON *config, struct error *err)
{
    enum status status = plugin_schema_params(data->component->schema, PLUGIN_SCOPE_NODE, config,
                                              &plugin_secret_resolver_system, &data->params, err);
    if (status != STATUS_OK)
        return error_wrap(err, "configuration of %s \"%s\"", plugin_kind_name(data->component->kind),
                          data->component->id);
    plugin_schema_deprecated(data->component->schema, PLUGIN_SCOPE_NODE, config, warn_deprecated, data);
    return keep_values(data, err);
}

/* -- life ---------------------------------------------------------------------------------------------------------- */

static void data_free(struct plugin_host_data *data)
{
    if (!data)
        return;
    plugin_log_limit_deinit(&data->limit);
    plugin_params_deinit(&data->params);
    free(data->values);
    free(data->label);
    free(data);
}

static enum status data_new(const struct plugin_component *component, const char *label, const struct clock *clock,
                            const struct plugin_sink *sink, struct plugin_host_data **ret, struct error *err)
{
    struct plugin_host_data *data = calloc(1, sizeof *data);
    char *kept_label = strdup(label);
    if (!data || !kept_label) {
        free(kept_label);
        free(data);
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    }
    data->component = component;
    data->label = kept_label;
    data->clock = *clock;
    if (sink)
        data->sink = *sink;
    plugin_log_limit_init(&data->limit, clock);
    *ret = data;
    return STATUS_OK;
}

/* After destroy, or a create that failed, nothing may be left. */
static void report_leaks(const struct plugin_host_data *data)
{
    uint64_t blocks = atomic_load(&data->memory_blocks);
    if (blocks)
        LOG_WARN("plugin misbehaviour", LOG_STRING("plugin", data->component->plugin_name),
                 LOG_STRING("instance", data->label), LOG_STRING("reason", "it left memory behind"),
                 LOG_U64("blocks", blocks), LOG_U64("bytes", atomic_load(&data->memory_bytes)));
}

static enum status create(struct plugin_instance *instance, struct error *err)
{
    const struct plugin_component *component = instance->component;
    struct chronos_error from = plugin_error_ready();
    void *self = NULL;
    enum status status = plugin_status(component->create(&instance->host, &self, &from), &from, err);
    if (status != STATUS_OK) {
        report_leaks(instance->data);
        return error_wrap(err, "create %s \"%s\"", plugin_kind_name(component->kind), component->id);
    }
    instance->self = self;
    return STATUS_OK;
}

static void instance_release(struct plugin_instance *instance)
{
    data_free(instance->data);
    free(instance);
}

enum status plugin_instance_new(const struct plugin_component *component, const char *label, const cJSON *config,
                                const struct clock *clock, const struct plugin_sink *sink, struct plugin_instance **ret,
                                struct error *err)
{
    struct plugin_instance *instance = calloc(1, sizeof *instance);
    if (!instance)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    instance->component = component;
    enum status status = data_new(component, label, clock, sink, &instance->data, err);
    if (status == STATUS_OK)
        status = read_config(instance->data, config, err);
    if (status == STATUS_OK) {
        instance->host = (struct chronos_host){.ops = &plugin_host_ops, .data = instance->data};
        status = create(instance, err);
    }
    if (status != STATUS_OK) {
        instance_release(instance);
        return status;
    }
    *ret = instance;
    return STATUS_OK;
}

void plugin_instance_free(struct plugin_instance *instance)
{
    if (!instance)
        return;
    instance->component->destroy(instance->self);
    plugin_log_limit_report(instance->data);
    report_leaks(instance->data);
    instance_release(instance);
}

uint64_t plugin_instance_memory(const struct plugin_instance *instance)
{
    return atomic_load(&instance->data->memory_bytes);
}
