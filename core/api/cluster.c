/* /api/v1/cluster: who belongs to it, and who leads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/job_fields.h"
#include "base/address.h"
#include "base/limits.h"

enum { STATUS_DOCUMENT_MAX = 16 * 1024 };

static int by_name(const void *a, const void *b)
{
    const struct cluster_member *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static const char *member_state(const struct cluster_member *member)
{
    if (!member->is_reachable)
        return "Unreachable"; /* from the node that is asked */
    if (member->is_draining)
        return "Draining";
    if (!member->is_voter)
        return "Learner";
    return member->is_leader ? "Leader" : "Follower";
}

void cluster_members_sort(struct cluster_status *status)
{
    qsort(status->members, status->member_count, sizeof status->members[0], by_name);
}

/* Whoever was never heard of keeps the level of the cluster where it is. */
static void write_level(struct json_writer *w, uint32_t level)
{
    if (level == 0)
        json_member_null(w, "feature_level");
    else
        json_member_int(w, "feature_level", level);
}

void cluster_member_write(struct json_writer *w, const struct cluster_member *member, bool has_match)
{
    json_member_string(w, "id", member->name);
    json_member_string(w, "address", member->address);
    json_member_string(w, "state", member_state(member));
    json_member_bool(w, "voter", member->is_voter);
    json_member_bool(w, "reachable", member->is_reachable);
    json_member_bool(w, "draining", member->is_draining);
    write_level(w, member->feature_level);
    if (has_match)
        json_member_int(w, "match_index", (int64_t)member->match_index);
}

/* What a member said when its session began; null where it has had none yet. */
static void write_version(struct json_writer *w, struct state_view *view, const char *name)
{
    struct node_row node;
    struct error ignored; /* a row that cannot be read is told by whoever needs it */
    json_member_string(w, "version", state_get_node(view, name, &node, &ignored) == STATUS_OK ? node.version : NULL);
}

/* leader_id, leader_address, and the peers by name. `view` NULL: without what stands in the state. */
static void write_members(struct json_writer *w, struct cluster_status *status, struct state_view *view)
{
    cluster_members_sort(status);
    json_member_string(w, "leader_id", status->leader_node);
    json_member_string(w, "leader_address", status->leader_address);
    json_key(w, "peers");
    json_array_begin(w);
    for (uint32_t i = 0; i < status->member_count; i++) {
        json_object_begin(w);
        cluster_member_write(w, &status->members[i], status->is_leader);
        if (view != NULL)
            write_version(w, view, status->members[i].name);
        json_object_end(w);
    }
    json_array_end(w);
}

/* Sentences for whoever looks. */
static void write_warnings(struct json_writer *w, const struct cluster_status *status)
{
    char text[160];
    json_key(w, "warnings");
    json_array_begin(w);
    if (status->even_voters > 0) {
        (void)snprintf(text, sizeof text, "%u nodes vote: an even number stands no more failures than one less; let another node join, or "
                       "remove one", status->even_voters); /* fits */
        json_string(w, text);
    }
    json_array_end(w);
}

API_HANDLER(handle_cluster_status)
{
    static const char *const known[] = {NULL};
    struct api *api = arg;
    struct cluster_status status;
    struct state_view view = {.state = NULL};
    struct buffer body;
    struct error err;
    uint32_t feature_level = 0;
    (void)match;
    enum status read = query_check(request, known, &err);
    if (read == STATUS_OK)
        read = state_view_begin(cluster_state(api->config.cluster), &view, &err);
    if (read == STATUS_OK)
        read = state_get_feature_level(&view, &feature_level, &err);
    if (read != STATUS_OK) {
        state_view_end(&view);
        answer_error(api, request->token, request->request_id, &err);
        return;
    }
    cluster_status_get(api->config.cluster, &status);
    buffer_init(&body, STATUS_DOCUMENT_MAX);
    struct json_writer w = json_writer_on(&body);
    json_object_begin(&w);
    json_member_string(&w, "node_id", cluster_node_id(api->config.cluster));
    json_member_bool(&w, "is_leader", status.is_leader);
    write_members(&w, &status, &view);
    json_member_int(&w, "feature_level", feature_level);
    json_member_bool(&w, "removed", status.is_removed);
    json_member_int(&w, "term", (int64_t)status.term);
    json_member_int(&w, "commit_index", (int64_t)status.commit_index);
    json_member_int(&w, "applied_index", (int64_t)status.applied_index);
    json_member_int(&w, "leader_contact_ms", status.leader_contact_ms);
    write_warnings(&w, &status);
    json_object_end(&w);
    state_view_end(&view);
    answer_json(api, request->token, 200, &body, NULL);
}

/* --- changes --- */

struct change {
    char node[NODE_NAME_MAX + 1], address[NODE_ADDRESS_MAX + 1];
};

/* "node_id", and with `has_address` both it and "address". False: `err` says what is wrong with the body as a whole. */
static bool read_change(const struct http_request *request, bool has_address, struct change *ret, struct field_errors *errors,
                        struct error *err)
{
    static const char *const with_address[] = {"node_id", "address", NULL}, *const alone[] = {"node_id", NULL},
                      *const none[] = {NULL};
    cJSON *body = NULL;
    if (request->body.size == 0 && !has_address)
        return true;
    if (request->body.size == 0) {
        (void)error_set(err, STATUS_MALFORMED, "send {\"node_id\": ..., \"address\": ...}"); /* told by false */
        return false;
    }
    if (json_parse(request->body.data, request->body.size, &body, err) != STATUS_OK)
        return false;
    if (!cJSON_IsObject(body)) {
        cJSON_Delete(body);
        (void)error_set(err, STATUS_MALFORMED, "the body must be a JSON object"); /* told by false */
        return false;
    }
    struct fields fields = {.object = body, .prefix = "", .errors = errors};
    struct address parsed = {.port = 0};
    fields_check_known(&fields, has_address ? with_address : alone, none);
    const char *node = field_string(&fields, "node_id", ""), *address = has_address ? field_string(&fields, "address", "") : "";
    const char *wrong = has_address && address[0] != '\0' ? address_split(address, &parsed) : NULL;
    bool is_anywhere = wrong == NULL && (strcmp(parsed.host, "0.0.0.0") == 0 || strcmp(parsed.host, "::") == 0);
    if (node[0] != '\0' && strlen(node) <= NODE_NAME_MAX && !config_name_is_good(node))
        field_refuse(&fields, "node_id", "is no name of a node: letters, digits, \"-\", \"_\" and \".\"");
    if (strlen(node) > NODE_NAME_MAX || (has_address && node[0] == '\0'))
        field_refuse(&fields, "node_id", "must be the node_id of the node, 1 to %d bytes", NODE_NAME_MAX);
    if (has_address && (address[0] == '\0' || strlen(address) > NODE_ADDRESS_MAX))
        field_refuse(&fields, "address", "must be where the node's link listens, as in 10.0.0.4:7000");
    else if (is_anywhere)
        field_refuse(&fields, "address", "is where a node listens, not where others reach it: name one of its addresses");
    else if (wrong != NULL || (has_address && !address_is_callable(&parsed)))
        field_refuse(&fields, "address", "is not an address: %s", wrong != NULL ? wrong : "write host:port, as in 10.0.0.4:7000");
    if (errors->count == 0) {
        memcpy(ret->node, node, strlen(node) + 1);
        memcpy(ret->address, address, strlen(address) + 1);
    }
    cJSON_Delete(body);
    return true;
}

/* False: answered. */
static bool take_change(struct api *api, const struct http_request *request, bool has_address, struct change *ret)
{
    static const char *const known[] = {NULL};
    struct field_errors errors = {.count = 0};
    struct error err;
    *ret = (struct change){.node = ""};
    if (query_check(request, known, &err) != STATUS_OK || !read_change(request, has_address, ret, &errors, &err)) {
        answer_error(api, request->token, request->request_id, &err);
        return false;
    }
    if (errors.count > 0)
        answer_problem(api, request->token, request->request_id, STATUS_INVALID, "", &errors);
    return errors.count == 0;
}

static void on_changed(struct operation *operation, const struct cluster_outcome *outcome)
{
    struct cluster_status status;
    struct buffer body;
    if (operation_failed(operation, outcome, "the cluster was not changed"))
        return;
    cluster_status_get(operation->api->config.cluster, &status);
    buffer_init(&body, STATUS_DOCUMENT_MAX);
    struct json_writer w = json_writer_on(&body);
    json_object_begin(&w);
    write_members(&w, &status, NULL);
    json_object_end(&w);
    answer_json(operation->api, operation->token, 200, &body, NULL);
    operation_end(operation);
}

/* Accepted, and not done yet. */
static void answer_draining(struct operation *operation)
{
    struct cluster_status status;
    struct buffer body;
    cluster_status_get(operation->api->config.cluster, &status);
    buffer_init(&body, STATUS_DOCUMENT_MAX);
    struct json_writer w = json_writer_on(&body);
    json_object_begin(&w);
    for (uint32_t i = 0; i < status.member_count; i++) {
        if (strcmp(status.members[i].name, operation->data) == 0)
            cluster_member_write(&w, &status.members[i], status.is_leader);
    }
    json_object_end(&w);
    answer_json(operation->api, operation->token, 202, &body, NULL);
}

static void on_removed(struct operation *operation, const struct cluster_outcome *outcome)
{
    if (outcome->status == STATUS_OK && outcome->result.status == STATUS_BUSY) {
        answer_draining(operation);
        operation_end(operation);
        return;
    }
    if (operation_failed(operation, outcome, "the cluster was not changed"))
        return;
    answer_empty(operation->api, operation->token, 204, NULL);
    operation_end(operation);
}

API_HANDLER(handle_cluster_join)
{
    struct api *api = arg;
    struct change change;
    struct error err;
    (void)match;
    if (!take_change(api, request, true, &change))
        return;
    struct operation *operation = operation_begin(api, request, on_changed, NULL, NULL);
    if (operation != NULL && cluster_invite(api->config.cluster, change.node, change.address, operation_outcome, api,
                                            operation_token(operation), &err) != STATUS_OK)
        operation_refuse(operation, &err);
}

API_HANDLER(handle_cluster_transfer)
{
    struct api *api = arg;
    struct change change;
    struct error err;
    (void)match;
    if (!take_change(api, request, false, &change))
        return;
    struct operation *operation = operation_begin(api, request, on_changed, NULL, NULL);
    if (operation != NULL && cluster_transfer(api->config.cluster, change.node, operation_outcome, api,
                                              operation_token(operation), &err) != STATUS_OK)
        operation_refuse(operation, &err);
}

API_HANDLER(handle_cluster_remove)
{
    struct api *api = arg;
    struct bytes named = match->params[0];
    struct change also;
    struct error err;
    if (!take_change(api, request, false, &also))
        return;
    if (also.node[0] != '\0' && (strlen(also.node) != named.size || memcmp(also.node, named.data, named.size) != 0)) {
        struct field_errors errors = {.count = 0};
        const struct fields body = {.prefix = "", .errors = &errors};
        field_refuse(&body, "node_id", "names another node than the path of the request: leave it out");
        answer_problem(api, request->token, request->request_id, STATUS_INVALID, "", &errors);
        return;
    }
    if (named.size > NODE_NAME_MAX) {
        answer_problem(api, request->token, request->request_id, STATUS_NOT_FOUND, "no member has so long a name", NULL);
        return;
    }
    char *node = strndup(named.data, named.size);
    if (node == NULL) {
        answer_problem(api, request->token, request->request_id, STATUS_NO_MEMORY, "", NULL);
        return;
    }
    struct operation *operation = operation_begin(api, request, on_removed, node, free); /* takes it */
    if (operation != NULL &&
        cluster_remove(api->config.cluster, node, operation_outcome, api, operation_token(operation), &err) != STATUS_OK)
        operation_refuse(operation, &err);
}
