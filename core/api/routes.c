/* Every path that this server answers. docs/api.md lists the same. */
#include "api/api_internal.h"

const struct route api_routes[] = {
    {METHOD_GET, "/health", handle_health, ROUTE_PUBLIC},
    {METHOD_GET, "/live", handle_live, ROUTE_PUBLIC},
    {METHOD_GET, "/ready", handle_ready, ROUTE_PUBLIC},
    {METHOD_GET, "/version", handle_version, ROUTE_PUBLIC},
    {METHOD_GET, "/metrics", handle_metrics, 0},

    {METHOD_GET, "/api/v1/cluster/status", handle_cluster_status, 0},
    {METHOD_POST, "/api/v1/cluster/join", handle_cluster_join, 0},
    {METHOD_POST, "/api/v1/cluster/transfer-leadership", handle_cluster_transfer, 0},
    {METHOD_GET, "/api/v1/cluster/snapshot", handle_snapshot_list, 0},
    {METHOD_POST, "/api/v1/cluster/snapshot", handle_snapshot_take, 0},
    {METHOD_GET, "/api/v1/cluster/snapshot/:snapshot", handle_snapshot_get, 0},
    {METHOD_GET, "/api/v1/cluster/nodes", handle_node_list, 0},
    {METHOD_DELETE, "/api/v1/cluster/nodes/:node", handle_cluster_remove, 0},

    {METHOD_GET, "/api/v1/jobs", handle_job_list, 0},
    {METHOD_POST, "/api/v1/jobs", handle_job_create, 0},
    {METHOD_GET, "/api/v1/jobs/:job", handle_job_get, 0},
    {METHOD_PUT, "/api/v1/jobs/:job", handle_job_put, 0},
    {METHOD_PATCH, "/api/v1/jobs/:job", handle_job_patch, 0},
    {METHOD_DELETE, "/api/v1/jobs/:job", handle_job_delete, 0},
    {METHOD_POST, "/api/v1/jobs/:job/trigger", handle_job_trigger, 0},
    {METHOD_POST, "/api/v1/jobs/:job/enable", handle_job_enable, 0},
    {METHOD_POST, "/api/v1/jobs/:job/disable", handle_job_disable, 0},
    {METHOD_GET, "/api/v1/jobs/:job/upcoming", handle_job_upcoming, 0},
    {METHOD_GET, "/api/v1/jobs/:job/missed", handle_job_missed, 0},
    {METHOD_GET, "/api/v1/jobs/:job/executions", handle_job_executions, 0},
    {METHOD_GET, "/api/v1/jobs/:job/executions/:execution", handle_execution_get, 0},
    {METHOD_GET, "/api/v1/jobs/:job/executions/:execution/output", handle_execution_output, 0},
    {METHOD_POST, "/api/v1/jobs/:job/executions/:execution/cancel", handle_execution_cancel, 0},

    {METHOD_GET, "/api/v1/executions", handle_execution_list, 0},
    {METHOD_GET, "/api/v1/executions/:execution", handle_execution_get, 0},
    {METHOD_GET, "/api/v1/executions/:execution/output", handle_execution_output, 0},
    {METHOD_POST, "/api/v1/executions/:execution/cancel", handle_execution_cancel, 0},

    {METHOD_POST, "/api/v1/schedules/validate", handle_schedule_validate, 0},
    {METHOD_GET, "/api/v1/executors", handle_executor_list, 0},
    {METHOD_GET, "/api/v1/executors/:executor", handle_executor_get, 0},
};
const size_t api_route_count = sizeof api_routes / sizeof api_routes[0];
