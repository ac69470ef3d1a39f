/* A 400-byte JSON answer on 127.0.0.1:<port> for wrk, to compare with nginx' `return 200` on the same core:
 *
 *   taskset -c 0 ./http_bench_server 18080 &
 *   taskset -c 1 wrk -t1 -c64 -d5 http://127.0.0.1:18080/ */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/http.h"

static struct http_server *server;
static char document[401];

static void handle(void *arg, const struct http_request *request)
{
    struct http_response response = {.status = 200, .content_type = "application/json", .body = {document, 400}};
    (void)arg; /* none given */
    http_respond(server, request->token, &response);
}

int main(int argc, char **argv)
{
    char address[64];
    struct error err;
    int port;
    memset(document, 'x', 400);
    memcpy(document, "{\"a\":\"", 6);
    memcpy(document + 398, "\"}", 2);
    struct http_server_config config = {
        .loop = uv_default_loop(),
        .limits = {10000, 30000, 60000, 30000, 1000, 1000, 1 << 20, 1 << 24},
        .handler = handle,
    };
    (void)snprintf(address, sizeof address, "127.0.0.1:%s", argc > 1 ? argv[1] : "18080"); /* checked by listen */
    if (http_server_new(&config, &server, &err) != STATUS_OK ||
        http_server_listen(server, address, &port, &err) != STATUS_OK) {
        (void)fprintf(stderr, "%s\n", err.message); /* nothing else to tell it to */
        return 1;
    }
    return uv_run(config.loop, UV_RUN_DEFAULT);
}
