/* A snapshot of this node as a file to be downloaded. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/api_internal.h"

struct download {
    uv_fs_t open;
    struct api *api;
    struct http_token token;
    char request_id[40];
    struct cluster_snapshot snapshot;
};

static void answer_missing(struct api *api, struct http_token token, const char *request_id)
{
    answer_problem(api, token, request_id, STATUS_NOT_FOUND,
                   "this node keeps no such snapshot; GET /api/v1/cluster/snapshot lists those that it has", NULL);
}

static void answer_file(const struct download *download, int fd)
{
    struct http_response response = {.status = 200, .content_type = "application/octet-stream", .has_file = true, .file = fd,
                                     .file_size = download->snapshot.size};
    char headers[128];
    int size = snprintf(headers, sizeof headers, "Content-Disposition: attachment; filename=\"snapshot-%" PRIu64 "\"\r\n",
                        download->snapshot.index);
    response.headers = (struct bytes){headers, (size_t)size};
    http_respond(download->api->server, download->token, &response);
}

/* It may have been removed since: older ones go when newer ones come. From here on the descriptor keeps it. */
static void on_open(uv_fs_t *request)
{
    struct download *download = request->data;
    struct api *api = download->api;
    int fd = (int)request->result;
    struct stat facts; /* of an open file: asks no disk */
    uv_fs_req_cleanup(request);
    if (fd >= 0 && (api->server == NULL || fstat(fd, &facts) != 0 || (uint64_t)facts.st_size != download->snapshot.size)) {
        (void)close(fd); /* it was only opened */
        fd = -EIO;
    }
    if (api->server == NULL)
        ; /* nobody is there to be answered */
    else if (fd >= 0)
        answer_file(download, fd);
    else if (fd == UV_ENOENT)
        answer_missing(api, download->token, download->request_id);
    else
        answer_problem(api, download->token, download->request_id, STATUS_INTERNAL,
                       "the file of the snapshot cannot be read, or has not the size that it was written with; chronos store check "
                       "says more", NULL);
    free(download);
}

/* "snapshot-1234", and in no other way. */
static bool find(const struct api *api, struct bytes name, struct cluster_snapshot *ret)
{
    struct cluster_snapshot kept[SNAPSHOTS_KEPT_MAX];
    uint32_t count = cluster_list_snapshots(api->config.cluster, kept, SNAPSHOTS_KEPT_MAX);
    for (uint32_t i = 0; i < count; i++) {
        char id[64];
        int size = snprintf(id, sizeof id, "snapshot-%" PRIu64, kept[i].index);
        if (name.size != (size_t)size || memcmp(name.data, id, name.size) != 0)
            continue;
        *ret = kept[i];
        return true;
    }
    return false;
}

API_HANDLER(handle_snapshot_get)
{
    static const char *const known[] = {NULL};
    struct api *api = arg;
    struct cluster_snapshot snapshot;
    char path[CLUSTER_PATH_SIZE];
    struct error err;
    if (query_check(request, known, &err) != STATUS_OK) {
        answer_error(api, request->token, request->request_id, &err);
        return;
    }
    if (!find(api, match->params[0], &snapshot)) {
        answer_missing(api, request->token, request->request_id);
        return;
    }
    struct download *download = calloc(1, sizeof *download);
    if (download != NULL) {
        *download = (struct download){.open = {.data = download}, .api = api, .token = request->token, .snapshot = snapshot};
        memcpy(download->request_id, request->request_id, sizeof download->request_id);
        cluster_snapshot_path(api->config.cluster, snapshot.index, path);
    }
    if (download == NULL || uv_fs_open(api->config.loop, &download->open, path, O_RDONLY | O_CLOEXEC, 0, on_open) != 0) {
        free(download);
        answer_problem(api, request->token, request->request_id, STATUS_NO_MEMORY, "", NULL);
    }
}
