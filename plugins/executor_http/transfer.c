#include "transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "headers.h"

enum {
    CONNECT_TIMEOUT_MS = 10000,
    DRAIN_BYTES = 8 << 20 /* read beyond the quota to keep the connection usable; then the transfer is cut */
};
#define RETRY_AFTER_MAX_MS (INT64_C(24) * 3600 * 1000)

/* ---- Life ---- */

struct transfer *transfer_new(const struct transfer_settings *settings, const struct chronos_run *run,
                              struct http_job *job)
{
    struct transfer *t = calloc(1, sizeof(*t));

    if (t == NULL) {
        return NULL;
    }
    t->easy = curl_easy_init();
    if (t->easy == NULL) {
        free(t);
        return NULL;
    }
    t->token = run->run_token;
    t->output_limit = run->output_limit;
    t->settings = settings;
    t->job = *job;
    t->method = job->method;
    t->with_body = job->body != NULL;
    memcpy(t->origin, job->origin, sizeof(t->origin));
    *job = (struct http_job){0};
    return t;
}

void transfer_free(struct transfer *t)
{
    curl_easy_cleanup(t->easy);
    http_job_deinit(&t->job);
    free(t->url);
    free(t);
}

static int64_t monotonic_ns(const struct transfer *t)
{
    return t->settings->host->ops->now(t->settings->host, CHRONOS_CLOCK_MONOTONIC);
}

/* ---- What libcurl calls ---- */

static bool is_redirect_status(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static long status_of(const struct transfer *t)
{
    long status = 0;

    (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static bool will_redirect(const struct transfer *t, long status)
{
    return t->job.follow_redirects && t->has_location && is_redirect_status(status) && t->redirects < REDIRECTS_MAX;
}

static size_t on_body(char *data, size_t one, size_t size, void *arg)
{
    struct transfer *t = arg;
    const struct chronos_host *host = t->settings->host;

    (void)one; /* always 1 */
    t->received += size;
    if (t->received > t->output_limit && t->received - t->output_limit > DRAIN_BYTES) {
        t->cut = true;
        return 0;
    }
    if (!will_redirect(t, status_of(t))) {
        (void)host->ops->output(host, t->token, CHRONOS_STREAM_STDOUT, data, size); /* TOOBIG: only counted */
    }
    return size;
}

/* Seconds or a date (RFC 9110 section 10.2.3), as milliseconds from now; 0 where it is neither or has passed. */
static int64_t parse_retry_after(const struct transfer *t, const char *text)
{
    const struct chronos_host *host = t->settings->host;
    size_t digits = strspn(text, "0123456789");
    int64_t ms = 0;

    if (digits > 0 && text[digits] == '\0') {
        ms = digits > 9 ? RETRY_AFTER_MAX_MS : strtoll(text, NULL, 10) * 1000;
    } else {
        time_t date = curl_getdate(text, NULL);
        ms = date < 0 ? 0 : (int64_t)date * 1000 - host->ops->now(host, CHRONOS_CLOCK_WALL) / 1000000;
    }
    return ms < 0 ? 0 : ms > RETRY_AFTER_MAX_MS ? RETRY_AFTER_MAX_MS : ms;
}

/* The value of a header line if it bears this name: trimmed, cut to `size`. */
static bool take_header(const char *line, size_t line_size, const char *name, char *out, size_t size)
{
    size_t at = strlen(name), end = line_size;

    if (line_size <= at || strncasecmp(line, name, at) != 0 || line[at] != ':') {
        return false;
    }
    for (at++; at < end && (line[at] == ' ' || line[at] == '\t'); at++) {
    }
    while (end > at && (unsigned char)line[end - 1] <= ' ') {
        end--;
    }
    size_t kept = end - at < size - 1 ? end - at : size - 1;
    memcpy(out, line + at, kept);
    out[kept] = '\0';
    return true;
}

static size_t on_header(char *data, size_t one, size_t size, void *arg)
{
    struct transfer *t = arg;
    char value[64];

    (void)one; /* always 1 */
    if (size >= 5 && memcmp(data, "HTTP/", 5) == 0) { /* a further response: what came before was an interim one */
        t->has_location = false;
        t->retry_after_ms = 0;
    } else if (take_header(data, size, "Retry-After", value, sizeof(value))) {
        t->retry_after_ms = parse_retry_after(t, value);
    } else if (take_header(data, size, "Location", value, sizeof(value))) {
        t->has_location = true;
    }
    return size;
}

/* ---- Preparing a hop ---- */

#define SET(option, value) (ok = ok && curl_easy_setopt(t->easy, option, value) == CURLE_OK)

static bool set_protocol(struct transfer *t)
{
    bool ok = true;

#if LIBCURL_VERSION_NUM >= 0x075500
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
    SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
    SET(CURLOPT_QUICK_EXIT, 1L); /* a name server that does not answer must not hold up every other transfer */
#endif
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_FOLLOWLOCATION, 0L); /* by transfer_finish: libcurl would pass an API key on to another host */
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    SET(CURLOPT_PROXY, t->settings->proxy); /* "": none, whatever the environment says */
    SET(CURLOPT_NOPROXY, t->settings->no_proxy);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    return ok;
}

static bool set_callbacks(struct transfer *t)
{
    bool ok = true;

    SET(CURLOPT_PRIVATE, t);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_ERRORBUFFER, t->curl_error);
    return ok;
}

static bool set_method(struct transfer *t)
{
    bool ok = true;

    switch (t->method) {
    case METHOD_GET: SET(CURLOPT_HTTPGET, 1L); return ok;
    case METHOD_HEAD: SET(CURLOPT_NOBODY, 1L); return ok;
    case METHOD_DELETE:
        if (!t->with_body) {
            SET(CURLOPT_CUSTOMREQUEST, "DELETE");
            return ok;
        }
        break;
    default: break;
    }
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(t->with_body ? t->job.body_size : 0));
    SET(CURLOPT_POSTFIELDS, t->with_body ? t->job.body : "");
    if (t->method != METHOD_POST) {
        SET(CURLOPT_CUSTOMREQUEST, http_method_name(t->method));
    }
    return ok;
}

static bool set_tls(struct transfer *t, bool own_origin)
{
    bool ok = true;

    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (t->job.skip_verify && own_origin) {
        SET(CURLOPT_SSL_VERIFYPEER, 0L);
        SET(CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (t->job.ca_file != NULL) {
        SET(CURLOPT_CAINFO, t->job.ca_file);
    }
    if (t->job.client_cert != NULL && own_origin) {
        SET(CURLOPT_SSLCERT, t->job.client_cert);
        SET(CURLOPT_SSLKEY, t->job.client_key != NULL ? t->job.client_key : t->job.client_cert);
    }
    return ok;
}

static bool set_request(struct transfer *t)
{
    bool ok = true, own_origin = strcmp(t->origin, t->job.origin) == 0;

    SET(CURLOPT_URL, t->url == NULL ? t->job.url : t->url);
    SET(CURLOPT_HTTPHEADER, own_origin ? t->job.headers : t->job.foreign_headers);
    if (t->job.username != NULL && own_origin) {
        SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        SET(CURLOPT_USERNAME, t->job.username);
        SET(CURLOPT_PASSWORD, t->job.password);
    }
    return ok && set_tls(t, own_origin);
}

bool transfer_prepare(struct transfer *t)
{
    bool ok = true;

    if (t->deadline_ns == 0) {
        t->deadline_ns = monotonic_ns(t) + t->job.timeout_ms * 1000000;
    }
    int64_t left_ms = (t->deadline_ns - monotonic_ns(t)) / 1000000;
    left_ms = left_ms < 1 ? 1 : left_ms;
    t->has_location = false;
    t->retry_after_ms = 0;
    t->curl_error[0] = '\0';
    curl_easy_reset(t->easy);
    SET(CURLOPT_TIMEOUT_MS, (long)left_ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(left_ms < CONNECT_TIMEOUT_MS ? left_ms : CONNECT_TIMEOUT_MS));
    return ok && set_protocol(t) && set_callbacks(t) && set_method(t) && set_request(t);
}

#undef SET

/* ---- Redirects ---- */

/* RFC 9110 section 15.4: 303 means GET; after 301 and 302 a POST becomes GET, as every client does. */
static void change_method(struct transfer *t, long status)
{
    if ((status == 303 && t->method != METHOD_HEAD) || ((status == 301 || status == 302) && t->method == METHOD_POST)) {
        t->method = METHOD_GET;
        t->with_body = false;
        header_drop(&t->job.headers, "Content-Type");
        header_drop(&t->job.foreign_headers, "Content-Type");
    }
}

static bool is_https(const char *origin)
{
    return strncmp(origin, "https://", 8) == 0;
}

/* The target of a redirect without user and password; NULL if it is none of ours or libcurl cannot read it. */
static char *clean_target(const char *location, char *origin, size_t origin_size)
{
    struct chronos_error ignored = {.struct_size = sizeof(ignored)};
    CURLU *parsed = curl_url();
    char *target = NULL, *copied = NULL;

    if (parsed != NULL && curl_url_set(parsed, CURLUPART_URL, location, 0) == CURLUE_OK &&
        curl_url_set(parsed, CURLUPART_USER, NULL, 0) == CURLUE_OK &&
        curl_url_set(parsed, CURLUPART_PASSWORD, NULL, 0) == CURLUE_OK &&
        curl_url_get(parsed, CURLUPART_URL, &target, 0) == CURLUE_OK &&
        url_origin(target, origin, origin_size, &ignored) == CHRONOS_OK) {
        copied = strdup(target);
    }
    curl_free(target);
    curl_url_cleanup(parsed);
    return copied;
}

/* true: the next hop is set up. false: `message` says why not. */
static bool redirect(struct transfer *t, long status, char *message)
{
    char *location = NULL, origin[300];

    (void)curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &location);
    char *target = location == NULL ? NULL : clean_target(location, origin, sizeof(origin));
    if (target == NULL) {
        (void)snprintf(message, MESSAGE_SIZE, "%s answered %ld with a target that is not an http or https URL",
                       t->origin, status);
        return false;
    }
    if (is_https(t->origin) && !is_https(origin)) {
        free(target);
        (void)snprintf(message, MESSAGE_SIZE, "%s answered %ld and points to plain http, which is not followed",
                       t->origin, status);
        return false;
    }
    free(t->url);
    t->url = target;
    memcpy(t->origin, origin, sizeof(t->origin));
    t->redirects++;
    change_method(t, status);
    return true;
}

/* ---- The result ---- */

/* Secrets of the job, passwords in URLs and control characters out of a sentence of libcurl's. */
static void clean_text(const struct transfer *t, char *text)
{
    for (size_t i = 0; i < SECRETS_MAX; i++) {
        const char *secret = t->job.secrets[i];
        size_t size = secret == NULL ? 0 : strlen(secret);
        for (char *at = text; size > 0 && (at = strstr(at, secret)) != NULL; at += size) {
            memset(at, '*', size);
        }
    }
    for (char *at = text; (at = strstr(at, "://")) != NULL;) {
        at += 3;
        size_t size = strcspn(at, "/ ?#'\"");
        char *sign = memchr(at, '@', size);
        for (; sign != NULL && at < sign; at++) {
            *at = '*';
        }
    }
    for (char *at = text; *at != '\0'; at++) {
        *at = (unsigned char)*at < 0x20 || *at == 0x7f ? ' ' : *at;
    }
}

static bool is_final_error(CURLcode code)
{
    switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_PEER_FAILED_VERIFICATION: /* nothing but a person mends a certificate or a file */
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_BAD_FUNCTION_ARGUMENT: return true;
    default: return false;
    }
}

static void judge_error(struct transfer *t, CURLcode code, struct chronos_result *result, char *message)
{
    const char *verb = http_method_name(t->method);

    if (code == CURLE_OPERATION_TIMEDOUT) {
        result->outcome = CHRONOS_OUTCOME_TIMEOUT;
        result->retry = CHRONOS_RETRY_YES;
        (void)snprintf(message, MESSAGE_SIZE, "%s %s: no complete answer in time (timeout %lld ms)", verb, t->origin,
                       (long long)t->job.timeout_ms);
        return;
    }
    result->outcome = CHRONOS_OUTCOME_FAILED;
    result->retry = is_final_error(code) ? CHRONOS_RETRY_NO : CHRONOS_RETRY_YES;
    clean_text(t, t->curl_error);
    (void)snprintf(message, MESSAGE_SIZE, "%s %s: %s", verb, t->origin,
                   t->curl_error[0] != '\0' ? t->curl_error : curl_easy_strerror(code));
}

static bool is_retried_status(long status)
{
    return status == 408 || status == 425 || status == 429 || status >= 500;
}

static void judge_status(struct transfer *t, long status, struct chronos_result *result, char *message)
{
    if (status_set_has(&t->job.success, status)) {
        result->outcome = CHRONOS_OUTCOME_SUCCESS;
        result->message = NULL;
        return;
    }
    result->outcome = CHRONOS_OUTCOME_FAILED;
    result->retry = is_retried_status(status) ? CHRONOS_RETRY_YES : CHRONOS_RETRY_NO;
    result->retry_after_ms = is_retried_status(status) ? t->retry_after_ms : 0;
    (void)snprintf(message, MESSAGE_SIZE, "%s %s answered %ld%s", http_method_name(t->method), t->origin, status,
                   !is_redirect_status(status)   ? ""
                   : t->redirects == REDIRECTS_MAX ? " after 10 redirects, which is the limit"
                   : t->job.follow_redirects     ? ""
                                                 : "; redirects are not followed (follow_redirects)");
}

bool transfer_finish(struct transfer *t, CURLcode code, struct chronos_result *result, char message[MESSAGE_SIZE])
{
    long status = status_of(t);

    *result = (struct chronos_result){
        .struct_size = sizeof(*result), .exit_code = -1, .status_code = (int32_t)status, .message = message};
    if (code != CURLE_OK && !t->cut) {
        judge_error(t, code, result, message);
        return false;
    }
    if (!will_redirect(t, status)) {
        judge_status(t, status, result, message);
        return false;
    }
    if (!redirect(t, status, message)) {
        result->outcome = CHRONOS_OUTCOME_FAILED;
        result->retry = CHRONOS_RETRY_NO;
        return false;
    }
    if (!transfer_prepare(t)) {
        judge_error(t, CURLE_OUT_OF_MEMORY, result, message);
        return false;
    }
    return true;
}
