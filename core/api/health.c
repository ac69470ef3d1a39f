/* /health as on the user's page, /live, /ready, /version. */
#include "api/api_internal.h"

enum { HEALTH_MAX = 4096 };

static const char *disk_name(enum disk_state disk)
{
    return disk == DISK_OK ? "ok" : disk == DISK_LOW ? "low" : "critical";
}

API_HANDLER(handle_health)
{
    struct api *api = arg;
    struct cluster_status status;
    struct buffer body;
    (void)match;
    cluster_status_get(api->config.cluster, &status);
    buffer_init(&body, HEALTH_MAX);
    struct json_writer w = json_writer_on(&body);
    json_object_begin(&w);
    json_member_string(&w, "status", "healthy");
    json_member_bool(&w, "leader", status.is_leader);
    if (!status.is_leader)
        json_member_string(&w, "leader_address", status.leader_address);
    json_member_string(&w, "node_id", cluster_node_id(api->config.cluster));
    json_member_string(&w, "disk", disk_name(status.disk));
    json_object_end(&w);
    answer_json(api, request->token, 200, &body, NULL);
}

API_HANDLER(handle_live)
{
    struct api *api = arg;
    struct buffer body;
    (void)match;
    buffer_init(&body, HEALTH_MAX);
    buffer_append_string(&body, "{\"live\":true}");
    answer_json(api, request->token, 200, &body, NULL);
}

API_HANDLER(handle_ready)
{
    struct api *api = arg;
    struct cluster_status status;
    struct buffer body;
    (void)match;
    cluster_status_get(api->config.cluster, &status);
    if (api->draining || !status.is_ready || status.is_behind) {
        answer_problem(api, request->token, request->request_id, api->draining ? STATUS_SHUTTING_DOWN : STATUS_NOT_READY,
                       api->draining ? "this node is shutting down" :
                       !status.is_ready ? "no leader yet" : "this node has not caught up with the cluster yet", NULL);
        return;
    }
    buffer_init(&body, HEALTH_MAX);
    buffer_append_string(&body, "{\"ready\":true}");
    answer_json(api, request->token, 200, &body, NULL);
}

API_HANDLER(handle_version)
{
    struct api *api = arg;
    struct buffer body;
    (void)match;
    buffer_init(&body, HEALTH_MAX);
    struct json_writer w = json_writer_on(&body);
    json_object_begin(&w);
    json_member_string(&w, "version", CHRONOS_VERSION);
    json_member_int(&w, "plugin_abi_major", CHRONOS_ABI_MAJOR);
    json_member_int(&w, "plugin_abi_minor", CHRONOS_ABI_MINOR);
    json_member_string(&w, "compiler", __VERSION__);
    json_object_end(&w);
    answer_json(api, request->token, 200, &body, NULL);
}
