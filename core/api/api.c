/* Life of the API, and the way of a request: token, route, guard, drain, consistent read, handler. */
#include "api/api.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/idempotency.h"
#include "api/masks.h"

enum { RETRY_MS = 1000, COPY_MAX = 4 << 20, PATH_SHOWN_MAX = 160, ROUTES_MAX = 64 };

/* --- operations that asked to be called again --- */

static void call_retries(struct api *api)
{
    struct operation *operation = api->retries;
    api->retries = NULL;
    for (struct operation *next; operation != NULL; operation = next) {
        next = operation->next_retry;
        void (*again)(struct operation *) = operation->again;
        operation->again = NULL;
        again(operation);
    }
}

static void on_retry_timer(uv_timer_t *timer)
{
    call_retries(timer->data);
}

void operation_retry_later(struct operation *operation, void (*again)(struct operation *operation))
{
    struct api *api = operation->api;
    operation->again = again;
    operation->next_retry = api->retries;
    api->retries = operation;
    if (!uv_is_active((uv_handle_t *)&api->retry_timer))
        (void)uv_timer_start(&api->retry_timer, on_retry_timer, RETRY_MS, 0); /* cannot fail with a callback */
}

/* A run that was skipped because no node came in time is a slot that was missed. */
static void count_run(struct api *api, const struct state_change *change)
{
    api->runs_by_status[change->status]++;
    if (change->status == RUN_SKIPPED && change->reason == REASON_CATCHUP_WINDOW)
        api->dropped_by_reason[change->reason]++;
}

void api_changes(void *arg, const struct state_changes *changes, struct state_position applied)
{
    struct api *api = arg;
    api->applied_index = applied.index;
    for (uint32_t i = 0; i < changes->count; i++) {
        const struct state_change *change = &changes->items[i];
        if (change->kind == CHANGE_CLOSED)
            count_run(api, change);
        else if (change->kind == CHANGE_DROPPED)
            api->dropped_by_reason[change->reason] += change->count;
    }
    if (api->retries != NULL) /* not now: the proposers of this batch are answered first */
        (void)uv_timer_start(&api->retry_timer, on_retry_timer, 0, 0);
}

/* --- consistent reads: the request is kept until the state holds all that was committed before it --- */

struct kept_request {
    struct http_request request;
    struct http_header headers[HTTP_HEADERS_MAX];
    struct buffer bytes;
};

static struct bytes keep(struct kept_request *kept, struct bytes from)
{
    size_t at = kept->bytes.size;
    buffer_append(&kept->bytes, from.data, from.size);
    return (struct bytes){(const void *)at, from.size}; /* an offset until all is copied */
}

static struct bytes placed(const struct kept_request *kept, struct bytes offset)
{
    return (struct bytes){kept->bytes.data + (size_t)offset.data, offset.size};
}

static void discard_kept(void *data)
{
    struct kept_request *kept = data;
    buffer_deinit(&kept->bytes);
    free(kept);
}

static struct kept_request *keep_request(const struct http_request *request)
{
    struct kept_request *kept = calloc(1, sizeof *kept);
    if (kept == NULL)
        return NULL;
    buffer_init(&kept->bytes, COPY_MAX);
    kept->request = *request;
    kept->request.headers = kept->headers;
    struct http_request *copy = &kept->request;
    copy->path = keep(kept, request->path);
    copy->query = keep(kept, request->query);
    copy->host = keep(kept, request->host);
    copy->body = keep(kept, request->body);
    for (size_t i = 0; i < request->header_count; i++)
        kept->headers[i] = (struct http_header){keep(kept, request->headers[i].name), keep(kept, request->headers[i].value)};
    if (kept->bytes.failed != STATUS_OK || kept->bytes.data == NULL) {
        discard_kept(kept);
        return NULL;
    }
    copy->path = placed(kept, copy->path);
    copy->query = placed(kept, copy->query);
    copy->host = placed(kept, copy->host);
    copy->body = placed(kept, copy->body);
    for (size_t i = 0; i < request->header_count; i++)
        kept->headers[i] =
            (struct http_header){placed(kept, kept->headers[i].name), placed(kept, kept->headers[i].value)};
    return kept;
}

static void dispatch(struct api *api, const struct http_request *request)
{
    struct route_match match;
    struct buffer allow; /* the route was matched before: it matches again */
    buffer_init(&allow, 256);
    if (router_match(api->router, request, &match, &allow) == STATUS_OK)
        match.route->handle(api, request, &match);
    buffer_deinit(&allow);
}

static void on_read_index(struct operation *operation, const struct cluster_outcome *outcome)
{
    struct kept_request *kept = operation->data;
    if (operation_failed(operation, outcome, "the read could not be made consistent"))
        return;
    operation->api->is_confirmed = true;
    dispatch(operation->api, &kept->request);
    operation->api->is_confirmed = false;
    operation_end(operation);
}

static void begin_consistent(struct api *api, const struct http_request *request)
{
    struct error err;
    struct kept_request *kept = keep_request(request);
    if (kept == NULL) {
        answer_problem(api, request->token, request->request_id, STATUS_NO_MEMORY, "", NULL);
        return;
    }
    struct operation *operation = operation_begin(api, request, on_read_index, kept, discard_kept);
    if (operation == NULL)
        return;
    if (cluster_read_index(api->config.cluster, operation_outcome, api, operation_token(operation), &err) != STATUS_OK)
        operation_refuse(operation, &err);
}

bool api_confirm(struct api *api, const struct http_request *request)
{
    if (api->is_confirmed)
        return false;
    begin_consistent(api, request);
    return true;
}

/* --- the way of a request --- */

/* Among those that name no job or execution: whoever has such a name in his path knows the rest of it. */
static const char *nearest_route(const char *path)
{
    const char *known[ROUTES_MAX + 1] = {NULL};
    size_t count = 0;
    for (size_t i = 0; i < api_route_count && count < ROUTES_MAX; i++)
        if (strchr(api_routes[i].pattern, ':') == NULL)
            known[count++] = api_routes[i].pattern;
    return nearest_word(path, known);
}

static void answer_no_route(struct api *api, const struct http_request *request, enum status status, struct buffer *allow)
{
    struct buffer body, headers;
    char detail[512], path[PATH_SHOWN_MAX + 1];
    (void)snprintf(path, sizeof path, "%.*s", (int)(request->path.size < PATH_SHOWN_MAX ? request->path.size : PATH_SHOWN_MAX),
                   (const char *)request->path.data);
    if (status != STATUS_METHOD_NOT_ALLOWED) {
        const char *near = nearest_route(path);
        (void)snprintf(detail, sizeof detail, "there is no %s; %s%s%s", path,
                       near != NULL ? "did you mean " : "paths are /api/v1/..., /health, /ready, /live, /version and /metrics",
                       near != NULL ? near : "", near != NULL ? "?" : "");
        answer_problem(api, request->token, request->request_id, STATUS_NOT_FOUND, detail, NULL);
        return;
    }
    (void)snprintf(detail, sizeof detail, "%s is not for %s; it takes %.*s", path, http_method_name(request->method),
                   (int)(allow->size < PATH_SHOWN_MAX ? allow->size : PATH_SHOWN_MAX), allow->data);
    buffer_init(&body, 4096);
    buffer_init(&headers, 512);
    buffer_appendf(&headers, "Allow: %.*s\r\n", (int)allow->size, allow->data);
    if (request->method == METHOD_OPTIONS) {
        answer_empty(api, request->token, 204, headers.data);
    } else {
        problem_write(&body, status, status_http(status), detail, request->request_id, NULL);
        answer_bytes(api, request->token, status_http(status), "application/problem+json", &body, headers.data);
    }
    buffer_deinit(&headers);
    buffer_deinit(&body);
}

static bool is_write(enum http_method method)
{
    return method != METHOD_GET && method != METHOD_OPTIONS && method != METHOD_HEAD;
}

/* False: answered. Nothing else is said to whom nothing is known of, not even which paths there are. */
static bool is_known(struct api *api, const struct http_request *request)
{
    const char *name; /* every token may do everything: nobody asks for it yet */
    struct error err;
    if (bearer_check(api, request, &name, &err) == STATUS_OK)
        return true;
    api->unauthenticated_count++;
    answer_error(api, request->token, request->request_id, &err);
    return false;
}

void api_handle(void *arg, const struct http_request *request)
{
    struct api *api = arg;
    struct route_match match;
    struct buffer allow;
    struct error err;
    bool consistent = false;
    if (!is_known(api, request))
        return;
    buffer_init(&allow, 256);
    enum status status = router_match(api->router, request, &match, &allow);
    if (status != STATUS_OK) {
        answer_no_route(api, request, status, &allow);
        buffer_deinit(&allow);
        return;
    }
    buffer_deinit(&allow);
    if (is_write(request->method)) {
        status = guard_check(api, request, &err);
        if (status == STATUS_OK && api->draining)
            status = error_set(&err, STATUS_SHUTTING_DOWN, "this node is shutting down");
        if (status == STATUS_OK && request->method == METHOD_POST)
            status = idempotency_check(request, &err); /* also where it is of no use: who sends one wants to know that it is none */
    } else {
        status = guard_check_read(api, request, &err);
    }
    if (status == STATUS_OK && !is_write(request->method) && request->query.size > 0) {
        (void)query_bool(request, "consistent", &consistent, &status, &err);
    }
    if (status != STATUS_OK)
        answer_error(api, request->token, request->request_id, &err);
    else if (consistent)
        begin_consistent(api, request);
    else
        match.route->handle(api, request, &match);
}

void api_problem(void *arg, enum status code, int http_status, const char *detail, const char *request_id,
                 struct buffer *out)
{
    (void)arg;
    problem_write(out, code, http_status, detail, request_id, NULL);
}

void api_common_headers(void *arg, struct buffer *out)
{
    struct api *api = arg;
    buffer_append_string(out, api->common);
    buffer_append_int(out, (int64_t)api->applied_index);
    int64_t contact_ms = cluster_leader_contact_ms(api->config.cluster);
    if (contact_ms >= 0) {
        buffer_append_string(out, "\r\nX-Chronos-Leader-Contact-Ms: ");
        buffer_append_int(out, contact_ms);
    }
    buffer_append_string(out, "\r\n");
}

/* --- life --- */

/* The table of routes with the configured path of the metrics page. */
static enum status make_router(struct api *api, struct error *err)
{
    api->routes = calloc(api_route_count, sizeof *api->routes);
    if (api->routes == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    memcpy(api->routes, api_routes, api_route_count * sizeof *api->routes);
    for (size_t i = 0; i < api_route_count; i++)
        if (api->routes[i].handle == handle_metrics)
            api->routes[i].pattern = api->config.config->metrics.path;
    return router_new(api->routes, api_route_count, &api->router, err);
}

enum status api_new(const struct api_config *config, struct api **ret, struct error *err)
{
    struct cluster_status cluster;
    struct api *api = calloc(1, sizeof *api);
    if (api == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    api->config = *config;
    api->operations = calloc(API_OPERATIONS_MAX, sizeof *api->operations);
    api->free_slots = calloc(API_OPERATIONS_MAX, sizeof *api->free_slots);
    api->scans_tail = &api->scans_queued;
    map_init(&api->keys);
    enum status status = api->operations == NULL || api->free_slots == NULL
                             ? error_set(err, STATUS_NO_MEMORY, "out of memory")
                             : make_router(api, err);
    if (status == STATUS_OK)
        status = masks_new(config->registry, &api->masks, err);
    if (status != STATUS_OK) {
        router_free(api->router);
        free(api->routes);
        free(api->operations);
        free(api->free_slots);
        free(api);
        return status;
    }
    for (uint32_t i = 0; i < API_OPERATIONS_MAX; i++)
        api->free_slots[api->free_count++] = API_OPERATIONS_MAX - 1 - i; /* slot 0 first: the rest stays untouched memory */
    (void)snprintf(api->common, sizeof api->common, "X-Chronos-Node: %s\r\nX-Chronos-Applied-Index: ",
                   cluster_node_id(config->cluster));
    cluster_status_get(config->cluster, &cluster);
    api->applied_index = cluster.applied_index;
    (void)uv_timer_init(config->loop, &api->retry_timer); /* cannot fail */
    api->retry_timer.data = api;
    uv_unref((uv_handle_t *)&api->retry_timer);
    checks_init(api);
    *ret = api;
    return STATUS_OK;
}

struct buffer *api_scratch(struct api *api, size_t limit)
{
    assert(limit >= SCRATCH_KEPT_MAX);
    if (api->scratch.capacity > SCRATCH_KEPT_MAX)
        buffer_deinit(&api->scratch);
    buffer_clear(&api->scratch);
    api->scratch.limit = limit;
    return &api->scratch;
}

void api_set_tokens(struct api *api, struct tokens *tokens)
{
    tokens_free(api->tokens);
    api->tokens = tokens;
}

void api_set_server(struct api *api, struct http_server *server)
{
    api->server = server;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct api *api = handle->data;
    api->timer_closed = true;
}

void api_drain(struct api *api)
{
    api->draining = true;
}

void api_close(struct api *api)
{
    api->server = NULL;
    if (!uv_is_closing((uv_handle_t *)&api->retry_timer))
        uv_close((uv_handle_t *)&api->retry_timer, on_timer_closed);
    checks_close(api);
}

void api_free(struct api *api)
{
    if (api == NULL)
        return;
    for (uint32_t i = 0; i < API_OPERATIONS_MAX; i++)
        if (api->operations[i].used && api->operations[i].discard != NULL)
            api->operations[i].discard(api->operations[i].data);
    buffer_deinit(&api->scratch);
    router_free(api->router);
    masks_free(api->masks);
    map_deinit(&api->keys);
    tokens_free(api->tokens);
    free(api->routes);
    free(api->operations);
    free(api->free_slots);
    free(api);
}
