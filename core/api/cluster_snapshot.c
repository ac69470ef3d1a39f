/* Snapshots of this node: written on demand, listed. */
#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"

enum { LIST_DOCUMENT_MAX = 256 * 1024 };

static void write_snapshot(struct json_writer *w, const struct api *api, const struct cluster_snapshot *snapshot)
{
    char id[64], file[CLUSTER_PATH_SIZE];
    (void)snprintf(id, sizeof id, "snapshot-%llu", (unsigned long long)snapshot->index);
    cluster_snapshot_path(api->config.cluster, snapshot->index, file);
    json_object_begin(w);
    json_member_string(w, "id", id);
    json_member_string(w, "node_id", cluster_node_id(api->config.cluster));
    json_member_int(w, "index", (int64_t)snapshot->index);
    json_member_int(w, "term", (int64_t)snapshot->term);
    json_member_time(w, "created_at", snapshot->created_ms);
    json_member_int(w, "size_bytes", (int64_t)snapshot->size);
    json_member_string(w, "file", file);
    json_object_end(w);
}

static void on_taken(struct operation *operation, const struct cluster_outcome *outcome)
{
    struct cluster_snapshot kept[SNAPSHOTS_KEPT_MAX];
    struct buffer body;
    if (operation_failed(operation, outcome, "no snapshot was written"))
        return;
    buffer_init(&body, LIST_DOCUMENT_MAX);
    struct json_writer w = json_writer_on(&body);
    uint32_t count = cluster_list_snapshots(operation->api->config.cluster, kept, SNAPSHOTS_KEPT_MAX);
    for (uint32_t i = 0; i < count; i++)
        if (kept[i].index == outcome->result.index)
            write_snapshot(&w, operation->api, &kept[i]);
    answer_json(operation->api, operation->token, 201, &body, NULL);
    operation_end(operation);
}

API_HANDLER(handle_snapshot_take)
{
    static const char *const known[] = {NULL};
    struct api *api = arg;
    struct error err;
    (void)match;
    if (query_check(request, known, &err) != STATUS_OK) {
        answer_error(api, request->token, request->request_id, &err);
        return;
    }
    if (request->body.size > 0) {
        answer_problem(api, request->token, request->request_id, STATUS_MALFORMED, "this request takes no body", NULL);
        return;
    }
    struct operation *operation = operation_begin(api, request, on_taken, NULL, NULL);
    if (operation != NULL && cluster_take_snapshot(api->config.cluster, operation_outcome, api, operation_token(operation), &err) !=
                                 STATUS_OK)
        operation_refuse(operation, &err);
}

API_HANDLER(handle_snapshot_list)
{
    static const char *const known[] = {NULL};
    struct api *api = arg;
    struct cluster_snapshot kept[SNAPSHOTS_KEPT_MAX];
    struct buffer body;
    struct error err;
    (void)match;
    if (query_check(request, known, &err) != STATUS_OK) {
        answer_error(api, request->token, request->request_id, &err);
        return;
    }
    buffer_init(&body, LIST_DOCUMENT_MAX);
    struct json_writer w = json_writer_on(&body);
    uint32_t count = cluster_list_snapshots(api->config.cluster, kept, SNAPSHOTS_KEPT_MAX);
    json_object_begin(&w);
    json_key(&w, "snapshots");
    json_array_begin(&w);
    for (uint32_t i = 0; i < count; i++)
        write_snapshot(&w, api, &kept[i]);
    json_array_end(&w);
    json_member_null(&w, "next_cursor");
    json_object_end(&w);
    answer_json(api, request->token, 200, &body, NULL);
}
