/* Reads that may touch many rows, on libuv's pool, a few at a time: the loop never waits for them. */
#include <stdlib.h>
#include <string.h>

#include "api/api_internal.h"

enum {
    SCANS_RUNNING_MAX = 3, /* of libuv's four threads: one is left for checks.c and for names that are looked up */
    SCANS_QUEUED_MAX = 256,
};

struct scan {
    uv_work_t work;
    struct scan *next;
    struct api *api;
    const struct state *state; /* held */
    struct http_token token;
    char request_id[40];
    scan_read read;
    scan_finish finish; /* NULL: what was read is the answer */
    void *data;
    void (*discard)(void *data);
    struct buffer out;
    struct error err;
    enum status status;
};

static void end_scan(struct scan *scan)
{
    buffer_deinit(&scan->out);
    scan->discard(scan->data);
    free(scan);
}

static void run_scan(uv_work_t *work)
{
    struct scan *scan = work->data;
    struct state_view view;
    scan->status = state_view_begin(scan->state, &view, &scan->err);
    if (scan->status != STATUS_OK)
        return;
    scan->status = scan->read(scan->data, &view, &scan->out, &scan->err);
    state_view_end(&view);
}

static void finish_scan(struct scan *scan)
{
    struct buffer out;
    buffer_init(&out, API_ANSWER_MAX);
    scan->finish(scan->api, scan->data, buffer_bytes(&scan->out), &out);
    answer_json(scan->api, scan->token, 200, &out, NULL);
}

static void start_next(struct api *api);

static void on_scanned(uv_work_t *work, int cancelled)
{
    struct scan *scan = work->data;
    struct api *api = scan->api;
    (void)cancelled; /* never asked for */
    api->scans_running--;
    cluster_state_release(api->config.cluster, scan->state);
    if (scan->status == STATUS_OK && scan->finish != NULL)
        finish_scan(scan);
    else if (scan->status == STATUS_OK)
        answer_json(api, scan->token, 200, &scan->out, NULL);
    else
        answer_error(api, scan->token, scan->request_id, &scan->err);
    end_scan(scan);
    start_next(api);
}

static void start_next(struct api *api)
{
    while (api->scans_queued != NULL && (api->server == NULL || api->scans_running < SCANS_RUNNING_MAX)) {
        struct scan *scan = api->scans_queued;
        api->scans_queued = scan->next;
        if (api->scans_queued == NULL)
            api->scans_tail = &api->scans_queued;
        api->scans_queued_count--;
        if (api->server == NULL) { /* closed meanwhile: nobody waits */
            end_scan(scan);
            continue;
        }
        api->scans_running++;
        scan->state = cluster_state_hold(api->config.cluster);
        (void)uv_queue_work(api->config.loop, &scan->work, run_scan, on_scanned); /* fails only without a work function */
    }
}

void scan_start(struct api *api, const struct http_request *request, scan_read read, void *data, void (*discard)(void *data))
{
    scan_start_finish(api, request, read, NULL, data, discard);
}

void scan_start_finish(struct api *api, const struct http_request *request, scan_read read, scan_finish finish, void *data,
                       void (*discard)(void *data))
{
    struct scan *scan = api->scans_queued_count < SCANS_QUEUED_MAX ? calloc(1, sizeof *scan) : NULL;
    if (scan == NULL) {
        discard(data);
        answer_problem(api, request->token, request->request_id, STATUS_OVERLOADED,
                       "too many lists are being read already; try again in a second", NULL);
        return;
    }
    scan->work.data = scan;
    scan->api = api;
    scan->token = request->token;
    memcpy(scan->request_id, request->request_id, sizeof scan->request_id);
    scan->read = read;
    scan->finish = finish;
    scan->data = data;
    scan->discard = discard;
    buffer_init(&scan->out, API_ANSWER_MAX);
    *api->scans_tail = scan;
    api->scans_tail = &scan->next;
    api->scans_queued_count++;
    start_next(api);
}
