/* REST resources over the cluster: one file per resource, one table of routes, problem documents (docs/api.md).
 * Everything runs on the loop thread, apart from scans and executors' checks of jobs, which run on libuv's pool. */
#ifndef CHRONOS_API_API_H
#define CHRONOS_API_API_H

#include "auth/tokens.h"
#include "cluster/cluster.h"
#include "config/config.h"
#include "http/http.h"
#include "plugin/registry.h"
#include "run/run.h"
#include "scheduler/scheduler.h"

struct api;

struct api_config {
    uv_loop_t *loop;
    const struct clock *clock;
    const struct config *config;
    const struct plugin_registry *registry;
    struct cluster *cluster;
    struct scheduler *scheduler;
    struct runner *runner;
    int64_t started_ms;
};

must_use enum status api_new(const struct api_config *config, struct api **ret, struct error *err);
/* The server that answers go through; its handler, admit, problem and common_headers are those below with `api` as arg. */
void api_set_server(struct api *api, struct http_server *server);
void api_handle(void *api, const struct http_request *request);
/* Who may send a body: as api_handle decides, which asks again. */
bool api_admit(void *api, const struct http_request *request);
/* Whoever uses the API must show one of these tokens from now on; NULL: nobody is asked. Takes them, and frees those before. */
void api_set_tokens(struct api *api, struct tokens *tokens);
void api_problem(void *api, enum status code, int http_status, const char *detail, const char *request_id,
                 struct buffer *out);
void api_common_headers(void *api, struct buffer *out);
/* Counts what happened and calls again whoever waited for a change. On the loop, for every apply batch. */
void api_changes(void *api, const struct state_changes *changes, struct state_position applied);
/* From now on: /ready answers 503 and writes SHUTTING_DOWN. */
void api_drain(struct api *api);
/* With the server's close: later answers are dropped. Closes its handles; the loop must turn once more before api_free.
 * Scans and checks that run keep the loop alive until they end. */
void api_close(struct api *api);
void api_free(struct api *api);

#endif
