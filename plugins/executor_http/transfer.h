/* One attempt as libcurl transfers: the request itself, and one more a redirect. All on the engine's thread, except
 * that transfer_new may be called anywhere. */
#ifndef EXECUTOR_HTTP_TRANSFER_H
#define EXECUTOR_HTTP_TRANSFER_H

#include "http_job.h"

enum { REDIRECTS_MAX = 10, MESSAGE_SIZE = 640 };

/* The instance's own settings, the same for every transfer. */
struct transfer_settings {
    const struct chronos_host *host;
    const char *proxy;    /* "" none */
    const char *no_proxy; /* "" none */
};

struct transfer {
    struct transfer *previous, *next; /* the engine's list, guarded by its lock, with the next four */
    uint64_t token;
    bool cancel_posted, started;
    int32_t cancel_reason;

    const struct transfer_settings *settings;
    struct http_job job;
    CURL *easy;
    uint64_t output_limit, received;
    int64_t deadline_ns; /* monotonic, of all hops together; set when the first one begins */

    /* The present hop. */
    char *url; /* NULL: the job's */
    char origin[300];
    enum http_method method;
    bool with_body;
    int redirects;
    bool has_location, cut;
    int64_t retry_after_ms;
    char curl_error[CURL_ERROR_SIZE];
};

/* Takes `job` over (leaves it zeroed). NULL without memory. */
struct transfer *transfer_new(const struct transfer_settings *settings, const struct chronos_run *run,
                              struct http_job *job);
void transfer_free(struct transfer *transfer);

/* Makes the easy handle ready for the present hop; false without memory or when libcurl refuses a setting. */
bool transfer_prepare(struct transfer *transfer);

/* After libcurl's end of a hop. true: another hop is prepared and to be added again. false: `result` is complete; its
 * message lies in `message`. */
bool transfer_finish(struct transfer *transfer, CURLcode code, struct chronos_result *result,
                     char message[MESSAGE_SIZE]);

#endif
