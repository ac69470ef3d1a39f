/* /executors: what jobs can name here, and which config each takes. */
#include <stdio.h>

#include "api/api_internal.h"

enum { EXECUTOR_ANSWER_MAX = 1 << 20 };

static void write_executor(struct json_writer *w, const struct plugin_component *component, bool with_schema)
{
    json_object_begin(w);
    json_member_string(w, "name", component->id);
    json_member_string(w, "summary", component->summary);
    json_member_string(w, "shorthand", component->shorthand);
    json_member_string(w, "plugin", component->plugin_name);
    json_member_string(w, "version", component->plugin_version);
    if (with_schema) {
        json_key(w, "config");
        plugin_schema_describe(component->schema, PLUGIN_SCOPE_JOB, w);
    }
    json_object_end(w);
}

/* Loaded is not enough: the configuration may leave one out. */
static bool is_offered(const struct api *api, const struct plugin_component *component)
{
    struct node_row node;
    runner_node(api->config.runner, &node);
    for (uint32_t i = 0; i < node.executor_count; i++)
        if (component->kind == CHRONOS_KIND_EXECUTOR && __builtin_strcmp(node.executors[i], component->id) == 0)
            return true;
    return false;
}

API_HANDLER(handle_executor_list)
{
    static const char *const known[] = {"consistent", NULL};
    struct api *api = arg;
    struct error err;
    struct buffer body;
    (void)match;
    if (query_check(request, known, &err) != STATUS_OK) {
        answer_error(api, request->token, request->request_id, &err);
        return;
    }
    buffer_init(&body, EXECUTOR_ANSWER_MAX);
    struct json_writer w = json_writer_on(&body);
    json_object_begin(&w);
    json_key(&w, "executors");
    json_array_begin(&w);
    for (size_t i = 0; i < plugin_component_count(api->config.registry); i++) {
        const struct plugin_component *component = plugin_component_at(api->config.registry, i);
        if (is_offered(api, component))
            write_executor(&w, component, false);
    }
    json_array_end(&w);
    json_member_null(&w, "next_cursor");
    json_object_end(&w);
    answer_json(api, request->token, 200, &body, NULL);
}

API_HANDLER(handle_executor_get)
{
    struct api *api = arg;
    char name[EXECUTOR_TEXT_SIZE], detail[160];
    struct buffer body;
    struct bytes wanted = match->params[0];
    (void)snprintf(name, sizeof name, "%.*s", (int)(wanted.size < sizeof name ? wanted.size : sizeof name - 1),
                   (const char *)wanted.data);
    const struct plugin_component *component =
        wanted.size < sizeof name ? plugin_find(api->config.registry, CHRONOS_KIND_EXECUTOR, name) : NULL;
    if (component == NULL || !is_offered(api, component)) {
        (void)snprintf(detail, sizeof detail, "no executor \"%s\" is loaded; GET /api/v1/executors lists them", name);
        answer_problem(api, request->token, request->request_id, STATUS_NOT_FOUND, detail, NULL);
        return;
    }
    buffer_init(&body, EXECUTOR_ANSWER_MAX);
    struct json_writer w = json_writer_on(&body);
    write_executor(&w, component, true);
    answer_json(api, request->token, 200, &body, NULL);
}
