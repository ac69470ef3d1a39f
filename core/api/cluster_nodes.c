/* /cluster/nodes: the members, and what each said of itself when it came up. */
#include <string.h>

#include "api/job_tags.h"

enum { NODES_ANSWER_MAX = 256 * 1024 };

/* A member that has not come up yet has no row: it offers nothing so far. */
static enum status find_row(struct state_view *view, const char *name, struct node_row *ret, struct error *err)
{
    *ret = (struct node_row){.session = 0};
    enum status status = state_get_node(view, name, ret, err);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static void write_node(struct json_writer *w, const struct cluster_member *member, bool has_match, struct node_row *row)
{
    json_object_begin(w);
    cluster_member_write(w, member, has_match);
    json_key(w, "tags");
    tags_write(w, row->tags, row->tag_count);
    json_key(w, "executors");
    json_array_begin(w);
    for (uint32_t i = 0; i < row->executor_count; i++)
        json_string(w, row->executors[i]);
    json_array_end(w);
    json_member_int(w, "capacity", row->capacity);
    json_member_string(w, "version", row->session == 0 ? NULL : row->version);
    json_member_time(w, "since", row->since_ms);
    json_object_end(w);
}

static enum status write_nodes(struct state_view *view, const struct cluster_status *status, struct json_writer *w, struct error *err)
{
    json_object_begin(w);
    json_key(w, "nodes");
    json_array_begin(w);
    for (uint32_t i = 0; i < status->member_count; i++) {
        struct node_row row;
        enum status found = find_row(view, status->members[i].name, &row, err);
        if (found != STATUS_OK)
            return found;
        write_node(w, &status->members[i], status->is_leader, &row);
    }
    json_array_end(w);
    json_member_null(w, "next_cursor");
    json_object_end(w);
    return STATUS_OK;
}

API_HANDLER(handle_node_list)
{
    static const char *const known[] = {"consistent", NULL};
    struct api *api = arg;
    struct cluster_status members;
    struct state_view view;
    struct buffer body;
    struct error err;
    (void)match;
    buffer_init(&body, NODES_ANSWER_MAX);
    struct json_writer w = json_writer_on(&body);
    enum status status = query_check(request, known, &err);
    if (status == STATUS_OK)
        status = state_view_begin(cluster_state(api->config.cluster), &view, &err);
    if (status == STATUS_OK) {
        cluster_status_get(api->config.cluster, &members);
        cluster_members_sort(&members);
        status = write_nodes(&view, &members, &w, &err);
        state_view_end(&view);
    }
    if (status == STATUS_OK) {
        answer_json(api, request->token, 200, &body, NULL);
        return;
    }
    buffer_deinit(&body);
    answer_error(api, request->token, request->request_id, &err);
}
