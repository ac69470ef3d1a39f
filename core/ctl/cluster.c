/* The cluster: who belongs to it, who leads; admitting, removing, handing over. */
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "ctl/executions.h"
#include "ctl/invocation.h"
#include "ctl/rest.h"
#include "ctl/show.h"
#include "ctl/text.h"

enum { BODY_MAX = 4096, CELL_MAX = 64 * 1024, SNAPSHOT_MODE = 0600 /* all jobs with their secrets */ };

/* --- showing --- */

static enum cell_style state_style(const char *state)
{
    if (state != NULL && strcmp(state, "Leader") == 0)
        return CELL_GOOD;
    return state != NULL && strcmp(state, "Learner") == 0 ? CELL_BUSY : CELL_PLAIN;
}

static int show_peers(struct invocation *invocation, const cJSON *status)
{
    static const char *const headers[] = {"NODE", "ADDRESS", "STATE", "REACHABLE", "VERSION", "LOG", NULL};
    struct table table;
    const cJSON *peer;
    table_init(&table, headers);
    cJSON_ArrayForEach(peer, cJSON_GetObjectItemCaseSensitive(status, "peers"))
    {
        const char *state = member_string(peer, "state"), *version = member_string(peer, "version");
        bool is_reachable = member_true(peer, "reachable");
        int64_t match = member_int(peer, "match_index", -1);
        table_cell(&table, CELL_PLAIN, member_string(peer, "id"));
        table_cell(&table, CELL_PLAIN, member_string(peer, "address"));
        table_cell(&table, state_style(state), state);
        table_cell(&table, is_reachable ? CELL_PLAIN : CELL_BAD, is_reachable ? "yes" : "no");
        table_cell(&table, CELL_PLAIN, version != NULL ? version : "");
        if (match >= 0)
            table_cellf(&table, CELL_PLAIN, "%" PRId64, match);
        else
            table_cell(&table, CELL_FAINT, "");
    }
    return invocation_table(invocation, &table);
}

static void append_line(struct invocation *invocation, const char *name, const char *value)
{
    buffer_appendf(&invocation->out, "%-10s ", name);
    text_append_safe(&invocation->out, value, strlen(value), TEXT_ONE_LINE);
    buffer_append_char(&invocation->out, '\n');
}

static void append_summary(struct invocation *invocation, const cJSON *status)
{
    const char *leader = member_string(status, "leader_id"), *node = member_string(status, "node_id");
    append_line(invocation, "Asked:", node != NULL ? node : "-");
    append_line(invocation, "Leader:", leader != NULL ? leader : "none is known: nothing can be changed now");
    buffer_appendf(&invocation->out, "%-10s %" PRId64 "\n", "Term:", member_int(status, "term", 0));
    buffer_appendf(&invocation->out, "%-10s committed %" PRId64 ", applied %" PRId64 "\n", "Log:",
                   member_int(status, "commit_index", 0), member_int(status, "applied_index", 0));
    buffer_appendf(&invocation->out, "%-10s feature level %" PRId64 "\n", "Level:", member_int(status, "feature_level", 1));
    if (leader != NULL && !member_true(status, "is_leader"))
        append_line(invocation, "Note:", "how far each LOG is, the leader knows: ask it for that column");
    if (member_true(status, "removed"))
        append_line(invocation, "Note:", "this node was removed from the cluster");
    else if (cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(status, "peers")) == 0)
        append_line(invocation, "Note:", "this node belongs to no cluster yet");
    const cJSON *warning;
    cJSON_ArrayForEach(warning, cJSON_GetObjectItemCaseSensitive(status, "warnings"))
        if (cJSON_IsString(warning))
            append_line(invocation, "Warning:", warning->valuestring);
    buffer_append_char(&invocation->out, '\n');
}

static void append_names(struct invocation *invocation, const cJSON *members)
{
    const cJSON *member;
    cJSON_ArrayForEach(member, members)
    {
        const char *id = member_string(member, "id");
        if (id != NULL)
            text_append_safe(&invocation->out, id, strlen(id), TEXT_ONE_LINE);
        buffer_append_char(&invocation->out, '\n');
    }
}

int run_cluster_status(struct invocation *invocation)
{
    cJSON *status = NULL;
    int code = rest_json(invocation, NULL, &(struct request){.method = "GET", .path = "/api/v1/cluster/status"}, &status, NULL);
    if (code != EXIT_CODE_OK)
        return code;
    if (invocation->format == FORMAT_JSON || invocation->format == FORMAT_YAML) {
        code = invocation_show(invocation, status);
    } else if (invocation->format == FORMAT_NAME) {
        append_names(invocation, cJSON_GetObjectItemCaseSensitive(status, "peers"));
    } else {
        append_summary(invocation, status);
        code = show_peers(invocation, status);
    }
    cJSON_Delete(status);
    return code;
}

/* "a, b" of a list, "k=v, l=w" of a map. */
static void list_cell(struct table *table, const cJSON *list)
{
    struct buffer text;
    const cJSON *item;
    buffer_init(&text, CELL_MAX);
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsString(item))
            continue;
        buffer_appendf(&text, "%s%s%s%s", text.size > 0 ? ", " : "", item->string != NULL ? item->string : "",
                       item->string != NULL ? "=" : "", item->valuestring);
    }
    if (text.failed != STATUS_OK)
        table->text.failed = text.failed;
    table_cell(table, CELL_PLAIN, text.size > 0 ? text.data : "");
    buffer_deinit(&text);
}

static int show_nodes(struct invocation *invocation, const cJSON *nodes)
{
    static const char *const headers[] = {"NODE", "ADDRESS", "STATE", "REACHABLE", "CAPACITY", "EXECUTORS", "TAGS", "VERSION", NULL};
    struct table table;
    const cJSON *node;
    table_init(&table, headers);
    cJSON_ArrayForEach(node, nodes)
    {
        const char *state = member_string(node, "state");
        bool is_reachable = member_true(node, "reachable");
        table_cell(&table, CELL_PLAIN, member_string(node, "id"));
        table_cell(&table, CELL_PLAIN, member_string(node, "address"));
        table_cell(&table, state_style(state), state);
        table_cell(&table, is_reachable ? CELL_PLAIN : CELL_BAD, is_reachable ? "yes" : "no");
        table_cellf(&table, CELL_PLAIN, "%" PRId64, member_int(node, "capacity", 0));
        list_cell(&table, cJSON_GetObjectItemCaseSensitive(node, "executors"));
        list_cell(&table, cJSON_GetObjectItemCaseSensitive(node, "tags"));
        table_cell(&table, CELL_PLAIN, member_string(node, "version"));
    }
    return invocation_table(invocation, &table);
}

int run_cluster_nodes(struct invocation *invocation)
{
    cJSON *answer = NULL;
    int code = rest_json(invocation, NULL, &(struct request){.method = "GET", .path = "/api/v1/cluster/nodes"}, &answer, NULL);
    if (code != EXIT_CODE_OK)
        return code;
    const cJSON *nodes = cJSON_GetObjectItemCaseSensitive(answer, "nodes");
    if (invocation->format == FORMAT_JSON || invocation->format == FORMAT_YAML)
        code = invocation_show(invocation, nodes);
    else if (invocation->format == FORMAT_NAME)
        append_names(invocation, nodes);
    else
        code = show_nodes(invocation, nodes);
    cJSON_Delete(answer);
    return code;
}

/* --- changing --- */

static int post(struct invocation *invocation, const char *path, const char *node, const char *address, cJSON **ret)
{
    struct buffer body;
    buffer_init(&body, BODY_MAX);
    struct json_writer w = json_writer_on(&body);
    json_object_begin(&w);
    if (node != NULL)
        json_member_string(&w, "node_id", node);
    if (address != NULL)
        json_member_string(&w, "address", address);
    json_object_end(&w);
    if (body.failed != STATUS_OK) {
        buffer_deinit(&body);
        return complain_usage("the name or the address is too long");
    }
    int code = rest_json(invocation, NULL, &(struct request){.method = "POST", .path = path, .body = body.data}, ret, NULL);
    buffer_deinit(&body);
    return code;
}

/* What was done, as the format wants it. */
static int say(struct invocation *invocation, const cJSON *answer, const char *name, const char *what)
{
    if (invocation->format == FORMAT_JSON || invocation->format == FORMAT_YAML)
        return answer != NULL ? invocation_show(invocation, answer) : EXIT_CODE_OK;
    if (invocation->format == FORMAT_TABLE)
        buffer_append_string(&invocation->out, "node \"");
    text_append_safe(&invocation->out, name, strlen(name), TEXT_ONE_LINE);
    if (invocation->format == FORMAT_TABLE)
        buffer_appendf(&invocation->out, "\" %s", what);
    buffer_append_char(&invocation->out, '\n');
    return EXIT_CODE_OK;
}

static const cJSON *find_node(const cJSON *nodes, const char *name)
{
    const cJSON *node;
    cJSON_ArrayForEach(node, nodes)
    {
        const char *id = member_string(node, "id");
        if (id != NULL && strcmp(id, name) == 0)
            return node;
    }
    return NULL;
}

int run_cluster_join(struct invocation *invocation)
{
    const char *node = invocation->arguments.operands[0];
    cJSON *answer = NULL;
    int code = post(invocation, "/api/v1/cluster/join", node, invocation->arguments.operands[1], &answer);
    bool votes = member_true(find_node(cJSON_GetObjectItemCaseSensitive(answer, "peers"), node), "voter"); /* was a member */
    if (code == EXIT_CODE_OK)
        code = say(invocation, answer, node, votes ? "admitted; it votes already" : "admitted; it votes once it has caught up");
    cJSON_Delete(answer);
    return code;
}

/* *ret: it is a member still, and is to leave. The asked node may be that one. */
static int look_for_end(struct invocation *invocation, const char *name, bool *ret)
{
    cJSON *status = NULL;
    int code = rest_json(invocation, NULL, &(struct request){.method = "GET", .path = "/api/v1/cluster/status"}, &status, NULL);
    if (code != EXIT_CODE_OK)
        return code;
    const cJSON *node = find_node(cJSON_GetObjectItemCaseSensitive(status, "peers"), name);
    bool is_out = node == NULL || member_true(status, "removed");
    *ret = !is_out;
    if (!is_out && !member_true(node, "draining")) {
        complain(NULL, "node \"%s\" stays: its removal was taken back", name);
        code = EXIT_CODE_REFUSED;
    }
    cJSON_Delete(status);
    return code;
}

static int wait_until_removed(struct invocation *invocation, const char *name)
{
    int64_t pause_ms = 0;
    bool is_draining = true;
    complain(NULL, "node \"%s\" has runs under way: it gets no new ones, and is removed once they have ended, or after a lease", name);
    for (;;) {
        int code = look_for_end(invocation, name, &is_draining);
        if (code != EXIT_CODE_OK || !is_draining)
            return code;
        pause_ms = poll_pause(pause_ms);
    }
}

int run_cluster_remove(struct invocation *invocation)
{
    bool waits = !arguments_switch(&invocation->arguments, "no-wait", false);
    for (uint32_t i = 0; i < (uint32_t)invocation->arguments.operand_count; i++) {
        const char *node = invocation->arguments.operands[i];
        struct response response;
        struct buffer path;
        api_path(&path, "cluster/nodes", node, NULL);
        int code = rest_call(invocation, NULL, &(struct request){.method = "DELETE", .path = path.data}, &response);
        buffer_deinit(&path);
        if (code != EXIT_CODE_OK)
            return code;
        bool is_draining = response.status == 202;
        response_deinit(&response);
        if (is_draining && waits)
            code = wait_until_removed(invocation, node);
        if (code == EXIT_CODE_OK)
            code = say(invocation, NULL, node, is_draining && !waits ? "gets no new runs and leaves" : "removed");
        if (code != EXIT_CODE_OK)
            return code;
    }
    return EXIT_CODE_OK;
}

/* --- snapshots --- */

static int refuse(const struct error *err)
{
    complain(NULL, "%s", err->message);
    return EXIT_CODE_REFUSED;
}

/* Found out before a snapshot is written for nothing. */
static int open_target(const char *path, struct file_draft *ret)
{
    struct stat facts;
    struct error err;
    if (lstat(path, &facts) == 0 && !S_ISREG(facts.st_mode)) {
        complain(NULL, "%s is not a regular file", path);
        return EXIT_CODE_REFUSED;
    }
    return file_draft_open(path, ret, &err) == STATUS_OK ? EXIT_CODE_OK : refuse(&err);
}

/* Nothing stands under the name before all of it is there, and on the disk. */
static int download(struct invocation *invocation, const cJSON *snapshot, struct file_draft *draft)
{
    const char *id = member_string(snapshot, "id");
    int64_t size = member_int(snapshot, "size_bytes", -1);
    struct response response;
    struct buffer target;
    struct error err;
    api_path(&target, "cluster/snapshot", id != NULL ? id : "", NULL);
    int code = rest_call(invocation, NULL, &(struct request){.method = "GET", .path = target.data, .save = draft}, &response);
    buffer_deinit(&target);
    if (code != EXIT_CODE_OK)
        return code;
    uint64_t saved = response.saved;
    response_deinit(&response);
    if (size < 0 || saved != (uint64_t)size) {
        complain(NULL, "%" PRIu64 " bytes came of %" PRId64 ": nothing was kept", saved, size);
        return EXIT_CODE_REFUSED;
    }
    return file_draft_publish(draft, SNAPSHOT_MODE, &err) == STATUS_OK ? EXIT_CODE_OK : refuse(&err);
}

/* Where it lies: on the node, or in `path` here. */
static void append_snapshot(struct invocation *invocation, const cJSON *answer, const char *path)
{
    bool is_name = invocation->format != FORMAT_TABLE;
    const char *shown = is_name ? member_string(answer, "id") : path != NULL ? path : member_string(answer, "file");
    const char *node = member_string(answer, "node_id");
    if (shown != NULL)
        text_append_safe(&invocation->out, shown, strlen(shown), TEXT_ONE_LINE);
    if (!is_name && node != NULL) {
        buffer_append_string(&invocation->out, path != NULL ? " fetched from node " : " written on node ");
        text_append_safe(&invocation->out, node, strlen(node), TEXT_ONE_LINE);
    }
    buffer_append_char(&invocation->out, '\n');
}

int run_cluster_snapshot(struct invocation *invocation)
{
    const char *path = arguments_text(&invocation->arguments, "file");
    struct file_draft draft = {.fd = -1};
    cJSON *answer = NULL;
    int code = path != NULL ? open_target(path, &draft) : EXIT_CODE_OK;
    if (code == EXIT_CODE_OK)
        code = rest_json(invocation, NULL, &(struct request){.method = "POST", .path = "/api/v1/cluster/snapshot"}, &answer, NULL);
    if (code == EXIT_CODE_OK && path != NULL)
        code = download(invocation, answer, &draft);
    file_draft_discard(&draft); /* unless it was published */
    if (code == EXIT_CODE_OK && (invocation->format == FORMAT_JSON || invocation->format == FORMAT_YAML))
        code = invocation_show(invocation, answer);
    else if (code == EXIT_CODE_OK)
        append_snapshot(invocation, answer, path);
    cJSON_Delete(answer);
    return code;
}

int run_cluster_transfer(struct invocation *invocation)
{
    const char *node = invocation->arguments.operand_count > 0 ? invocation->arguments.operands[0] : NULL;
    cJSON *answer = NULL;
    int code = post(invocation, "/api/v1/cluster/transfer-leadership", node, NULL, &answer);
    const char *leader = member_string(answer, "leader_id");
    if (code == EXIT_CODE_OK)
        code = say(invocation, answer, leader != NULL ? leader : "another one", "leads");
    cJSON_Delete(answer);
    return code;
}
