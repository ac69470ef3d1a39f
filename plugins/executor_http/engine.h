/* The HTTP executor's one thread around a libcurl multi handle: it owns every transfer and the connections. */
#ifndef EXECUTOR_HTTP_ENGINE_H
#define EXECUTOR_HTTP_ENGINE_H

#include "transfer.h"

struct engine;

struct engine_options {
    int64_t max_connections, max_connections_per_host;
    const char *proxy, *no_proxy; /* borrowed from the host until destroy; NULL: none */
};

int32_t engine_new(const struct chronos_host *host, const struct engine_options *options, struct engine **ret,
                   struct chronos_error *err);                 /* [setup] */
void engine_free(struct engine *engine);                       /* [setup] */
/* [executor] Takes `job` over (leaves it zeroed). OK: one complete() follows. */
int32_t engine_start(struct engine *engine, const struct chronos_run *run, struct http_job *job,
                     struct chronos_error *err);
void engine_cancel(struct engine *engine, uint64_t token, int32_t reason); /* [executor] */

#endif
