/* /api/v1/cluster: who belongs to it, and who leads. */
#include <stdlib.h>
#include <string.h>

#include "api/api_internal.h"

enum { STATUS_DOCUMENT_MAX = 16 * 1024 };

static int by_name(const void *a, const void *b)
{
    const struct cluster_member *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static const char *member_state(const struct cluster_member *member)
{
    if (!member->is_voter)
        return "Learner";
    return member->is_leader ? "Leader" : "Follower";
}

static void write_member(struct json_writer *w, const struct cluster_member *member, bool knows_match)
{
    json_object_begin(w);
    json_member_string(w, "id", member->name);
    json_member_string(w, "address", member->address);
    json_member_string(w, "state", member_state(member));
    json_member_bool(w, "reachable", member->is_reachable);
    if (knows_match)
        json_member_int(w, "match_index", (int64_t)member->match_index);
    json_object_end(w);
}

API_HANDLER(handle_cluster_status)
{
    static const char *const known[] = {NULL};
    struct api *api = arg;
    struct cluster_status status;
    struct buffer body;
    struct error err;
    (void)match;
    if (query_check(request, known, &err) != STATUS_OK) {
        answer_error(api, request->token, request->request_id, &err);
        return;
    }
    cluster_status_get(api->config.cluster, &status);
    qsort(status.members, status.member_count, sizeof status.members[0], by_name);
    buffer_init(&body, STATUS_DOCUMENT_MAX);
    struct json_writer w = json_writer_on(&body);
    json_object_begin(&w);
    json_member_string(&w, "node_id", cluster_node_id(api->config.cluster));
    json_member_bool(&w, "is_leader", status.is_leader);
    json_member_string(&w, "leader_id", status.leader_node);
    json_member_string(&w, "leader_address", status.leader_address);
    json_key(&w, "peers");
    json_array_begin(&w);
    for (uint32_t i = 0; i < status.member_count; i++)
        write_member(&w, &status.members[i], status.is_leader);
    json_array_end(&w);
    json_member_int(&w, "term", (int64_t)status.term);
    json_member_int(&w, "commit_index", (int64_t)status.commit_index);
    json_member_int(&w, "applied_index", (int64_t)status.applied_index);
    json_member_int(&w, "leader_contact_ms", status.leader_contact_ms);
    json_object_end(&w);
    answer_json(api, request->token, 200, &body, NULL);
}
