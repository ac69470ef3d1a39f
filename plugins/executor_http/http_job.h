/* A job's parameters as the HTTP executor understands them: checked, with the headers and body of the request made. */
#ifndef EXECUTOR_HTTP_HTTP_JOB_H
#define EXECUTOR_HTTP_HTTP_JOB_H

#include <stdbool.h>

#include <chronos/plugin.h>
#include <curl/curl.h>

enum { STATUS_CODE_MIN = 100, STATUS_CODE_MAX = 599, SECRETS_MAX = 2 };

enum http_method { METHOD_GET, METHOD_POST, METHOD_PUT, METHOD_PATCH, METHOD_DELETE, METHOD_HEAD, METHOD_COUNT };

struct status_set {
    uint8_t bits[(STATUS_CODE_MAX + 8) / 8];
};

struct http_job {
    char *url;
    char origin[300]; /* "https://host:443": what messages show; paths and queries may hold secrets */
    enum http_method method;
    char *body; /* NULL: none */
    size_t body_size;
    /* For the job's own origin; for another one, reached by a redirect, without the job's headers and credentials. */
    struct curl_slist *headers, *foreign_headers;
    char *username, *password; /* basic */
    struct status_set success;
    int64_t timeout_ms;
    bool follow_redirects, skip_verify;
    char *ca_file, *client_cert, *client_key;
    const char *secrets[SECRETS_MAX]; /* borrowed from this struct: never to be shown */
    char *token; /* bearer or API key */
};

/* A job's parameters, before anything is known but them. INVALID with a sentence. [pool] */
int32_t http_job_check(const struct chronos_run *run, struct chronos_error *err);
/* Everything for one attempt, with its own memory; freed with http_job_deinit. */
int32_t http_job_init(struct http_job *job, const struct chronos_run *run, struct chronos_error *err);
void http_job_deinit(struct http_job *job); /* accepts a zeroed one */

const char *http_method_name(enum http_method method);
bool status_set_has(const struct status_set *set, long status);

/* "https://host:443" of an absolute http or https URL, without user and password. INVALID. */
int32_t url_origin(const char *url, char *out, size_t size, struct chronos_error *err);

#endif
