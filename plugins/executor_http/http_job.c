#include "http_job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "headers.h"
#include "plugin_error.h"
#include "template.h"

enum auth_type { AUTH_NONE, AUTH_BASIC, AUTH_BEARER, AUTH_API_KEY };

/* What the parameters say, borrowed from the run. */
struct view {
    const struct chronos_run *run;
    bool saving; /* secret references are not resolved yet */
    const char *url, *auth_header;
    const char *username, *password, *token, *key;
    const char *ca_file, *client_cert, *client_key;
    const struct chronos_param *body;
    enum http_method method;
    enum auth_type auth;
    struct status_set success;
    bool success_given, follow_redirects, skip_verify;
    bool has_user_agent, has_content_type, has_authorization;
    int64_t timeout_ms;
};

static const char *const method_names[METHOD_COUNT] = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"};

const char *http_method_name(enum http_method method)
{
    return method_names[method];
}

static const char *text_of(const struct chronos_param *param)
{
    return (const char *)param->value.data;
}

static bool is(const struct chronos_param *param, const char *name)
{
    return strcmp(param->name, name) == 0;
}

static bool is_unresolved(const struct view *view, const char *text)
{
    return view->saving && strstr(text, "${") != NULL;
}

/* ---- URL ---- */

static int32_t url_part(CURLU *parsed, CURLUPart part, unsigned flags, char *out, size_t size)
{
    char *text = NULL;

    if (curl_url_get(parsed, part, &text, flags) != CURLUE_OK || strlen(text) >= size) {
        curl_free(text);
        return CHRONOS_INVALID;
    }
    memcpy(out, text, strlen(text) + 1);
    curl_free(text);
    return CHRONOS_OK;
}

static bool url_has(CURLU *parsed, CURLUPart part)
{
    char *text = NULL;
    bool has = curl_url_get(parsed, part, &text, 0) == CURLUE_OK;

    curl_free(text);
    return has;
}

static int32_t origin_of(CURLU *parsed, char *out, size_t size, struct chronos_error *err)
{
    char scheme[8], host[256], port[8];

    if (url_part(parsed, CURLUPART_SCHEME, 0, scheme, sizeof(scheme)) != CHRONOS_OK ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)) {
        return plugin_error(err, CHRONOS_INVALID, 0, "url: must begin with http:// or https://");
    }
    if (url_part(parsed, CURLUPART_HOST, 0, host, sizeof(host)) != CHRONOS_OK || host[0] == '\0' ||
        url_part(parsed, CURLUPART_PORT, CURLU_DEFAULT_PORT, port, sizeof(port)) != CHRONOS_OK) {
        return plugin_error(err, CHRONOS_INVALID, 0, "url: has no valid host");
    }
    for (char *at = host; *at != '\0'; at++) { /* names are the same in either case */
        *at = *at >= 'A' && *at <= 'Z' ? (char)(*at + ('a' - 'A')) : *at;
    }
    (void)snprintf(out, size, "%s://%s:%s", scheme, host, port);
    return CHRONOS_OK;
}

/* The sentence never shows the URL: a mistyped one may hold a password. */
static int32_t url_parse(const char *url, CURLU **ret, struct chronos_error *err)
{
    CURLU *parsed = curl_url();

    if (parsed == NULL) {
        return plugin_error_retryable(err, CHRONOS_NOMEM, 0, "no memory for a URL");
    }
    if (curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK) {
        curl_url_cleanup(parsed);
        return plugin_error(err, CHRONOS_INVALID, 0, "url: is not a valid http:// or https:// URL");
    }
    *ret = parsed;
    return CHRONOS_OK;
}

int32_t url_origin(const char *url, char *out, size_t size, struct chronos_error *err)
{
    CURLU *parsed = NULL;
    int32_t status = url_parse(url, &parsed, err);

    if (status == CHRONOS_OK) {
        status = origin_of(parsed, out, size, err);
        curl_url_cleanup(parsed);
    }
    return status;
}

static int32_t check_url(const struct view *view, struct chronos_error *err)
{
    char origin[300];
    CURLU *parsed = NULL;

    if (view->url == NULL || view->url[0] == '\0') {
        return plugin_error(err, CHRONOS_INVALID, 0, "url: is missing");
    }
    if (is_unresolved(view, view->url)) {
        return CHRONOS_OK;
    }
    int32_t status = url_parse(view->url, &parsed, err);
    if (status != CHRONOS_OK) {
        return status;
    }
    status = origin_of(parsed, origin, sizeof(origin), err);
    if (status == CHRONOS_OK && (url_has(parsed, CURLUPART_USER) || url_has(parsed, CURLUPART_PASSWORD))) {
        status = plugin_error(err, CHRONOS_INVALID, 0,
                              "url: holds a user or password, which would be shown; use auth.type basic");
    }
    curl_url_cleanup(parsed);
    return status;
}

/* ---- Status codes ---- */

bool status_set_has(const struct status_set *set, long status)
{
    return status >= STATUS_CODE_MIN && status <= STATUS_CODE_MAX && (set->bits[status / 8] >> (status % 8) & 1) != 0;
}

static void status_set_add(struct status_set *set, int from, int to)
{
    for (int status = from; status <= to; status++) {
        set->bits[status / 8] |= (uint8_t)(1u << (status % 8));
    }
}

static int three_digits(const char *text)
{
    int value = 0;

    for (int i = 0; i < 3; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

/* "200", "2xx", "200-204". */
static int32_t read_success_code(struct view *view, const char *text, struct chronos_error *err)
{
    size_t size = strlen(text);
    int from = -1, to = -1;

    if (size == 3 && text[0] >= '2' && text[0] <= '5' && strcasecmp(text + 1, "xx") == 0) {
        from = (text[0] - '0') * 100;
        to = from + 99;
    } else if (size == 3) {
        from = to = three_digits(text);
    } else if (size == 7 && text[3] == '-') {
        from = three_digits(text);
        to = three_digits(text + 4);
    }
    if (from < 200 || to > STATUS_CODE_MAX || from > to) {
        return plugin_error(err, CHRONOS_INVALID, 0,
                            "success_codes: \"%.20s\" is not like \"200\", \"2xx\" or \"200-204\" (200 to 599)", text);
    }
    view->success_given = true;
    status_set_add(&view->success, from, to);
    return CHRONOS_OK;
}

/* ---- Reading ---- */

static int32_t read_header(struct view *view, const struct chronos_param *param, struct chronos_error *err)
{
    int32_t status = header_name_check("headers", param->key, err);

    if (status != CHRONOS_OK) {
        return status;
    }
    view->has_user_agent = view->has_user_agent || strcasecmp(param->key, "User-Agent") == 0;
    view->has_content_type = view->has_content_type || strcasecmp(param->key, "Content-Type") == 0;
    view->has_authorization = view->has_authorization || strcasecmp(param->key, "Authorization") == 0;
    return header_value_check("headers", param->key, text_of(param), (size_t)param->value.size, err);
}

static int index_of(const char *const *names, int count, const char *name)
{
    int index = 0;

    while (index < count && strcmp(names[index], name) != 0) {
        index++;
    }
    return index;
}

static int32_t read_choice(struct view *view, const struct chronos_param *param, struct chronos_error *err)
{
    static const char *const auth_names[] = {"none", "basic", "bearer", "api_key"};
    bool method = is(param, "method");
    int count = method ? METHOD_COUNT : 4;
    int index = index_of(method ? method_names : auth_names, count, text_of(param));

    if (index == count) {
        return plugin_error(err, CHRONOS_INVALID, 0, "%s: \"%.20s\" is not known", param->name, text_of(param));
    }
    if (method) {
        view->method = (enum http_method)index;
    } else {
        view->auth = (enum auth_type)index;
    }
    return CHRONOS_OK;
}

static const char **text_slot(struct view *view, const char *name)
{
    const struct {
        const char *name;
        const char **slot;
    } slots[] = {
        {"url", &view->url},
        {"auth.username", &view->username},
        {"auth.password", &view->password},
        {"auth.token", &view->token},
        {"auth.header", &view->auth_header},
        {"auth.key", &view->key},
        {"tls.ca_file", &view->ca_file},
        {"tls.client_cert", &view->client_cert},
        {"tls.client_key", &view->client_key},
    };

    for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
        if (strcmp(slots[i].name, name) == 0) {
            return slots[i].slot;
        }
    }
    return NULL;
}

static int32_t read_param(struct view *view, const struct chronos_param *param, struct chronos_error *err)
{
    const char **slot = text_slot(view, param->name);

    if (!is(param, "body") && strlen(text_of(param)) != param->value.size) {
        return plugin_error(err, CHRONOS_INVALID, 0, "%s: a zero byte is not allowed here", param->name);
    }
    if (slot != NULL) {
        *slot = text_of(param);
    } else if (is(param, "method") || is(param, "auth.type")) {
        return read_choice(view, param, err);
    } else if (is(param, "headers")) {
        return read_header(view, param, err);
    } else if (is(param, "body")) {
        view->body = param;
        return template_check(text_of(param), (size_t)param->value.size, err);
    } else if (is(param, "success_codes")) {
        return read_success_code(view, text_of(param), err);
    } else if (is(param, "timeout")) {
        view->timeout_ms = strtoll(text_of(param), NULL, 10);
    } else if (is(param, "follow_redirects")) {
        view->follow_redirects = strcmp(text_of(param), "true") == 0;
    } else if (is(param, "tls.skip_verify")) {
        view->skip_verify = strcmp(text_of(param), "true") == 0;
    }
    return CHRONOS_OK;
}

/* ---- Checks across parameters ---- */

static int32_t check_credential(const char *option, const char *value, struct chronos_error *err)
{
    if (value == NULL) {
        return plugin_error(err, CHRONOS_INVALID, 0, "%s: is needed with this auth.type", option);
    }
    return header_value_check("auth", option, value, strlen(value), err);
}

static int32_t check_basic(const struct view *view, struct chronos_error *err)
{
    int32_t status = check_credential("auth.username", view->username, err);

    if (status == CHRONOS_OK && strchr(view->username, ':') != NULL && !is_unresolved(view, view->username)) {
        status = plugin_error(err, CHRONOS_INVALID, 0, "auth.username: a colon is not possible (RFC 7617)");
    }
    return status != CHRONOS_OK ? status : check_credential("auth.password", view->password, err);
}

static int32_t check_auth(const struct view *view, struct chronos_error *err)
{
    if (view->auth != AUTH_NONE && view->auth != AUTH_API_KEY && view->has_authorization) {
        return plugin_error(err, CHRONOS_INVALID, 0, "headers: Authorization is made from auth; give one of them");
    }
    switch (view->auth) {
    case AUTH_BASIC: return check_basic(view, err);
    case AUTH_BEARER: return check_credential("auth.token", view->token, err);
    case AUTH_API_KEY: {
        int32_t status = header_name_check("auth.header", view->auth_header, err);
        return status != CHRONOS_OK ? status : check_credential("auth.key", view->key, err);
    }
    case AUTH_NONE: break;
    }
    return CHRONOS_OK;
}

static int32_t check_file(const struct view *view, const char *option, const char *path, struct chronos_error *err)
{
    if (path != NULL && path[0] != '/' && !is_unresolved(view, path)) {
        return plugin_error(err, CHRONOS_INVALID, 0, "%s: \"%.80s\" is not an absolute path", option, path);
    }
    return CHRONOS_OK;
}

static int32_t check_tls(const struct view *view, struct chronos_error *err)
{
    int32_t status = check_file(view, "tls.ca_file", view->ca_file, err);

    if (status == CHRONOS_OK) {
        status = check_file(view, "tls.client_cert", view->client_cert, err);
    }
    if (status == CHRONOS_OK) {
        status = check_file(view, "tls.client_key", view->client_key, err);
    }
    if (status == CHRONOS_OK && view->client_key != NULL && view->client_cert == NULL) {
        status = plugin_error(err, CHRONOS_INVALID, 0, "tls.client_key: needs tls.client_cert");
    }
    return status;
}

static int32_t view_init(struct view *view, const struct chronos_run *run, bool saving, struct chronos_error *err)
{
    *view = (struct view){
        .run = run, .saving = saving, .method = METHOD_POST, .auth_header = "X-API-Key", .timeout_ms = 30000};
    for (uint32_t i = 0; i < run->n_params; i++) {
        int32_t status = read_param(view, &run->params[i], err);
        if (status != CHRONOS_OK) {
            return status;
        }
    }
    if (!view->success_given) {
        status_set_add(&view->success, 200, 299);
    }
    if (view->timeout_ms <= 0) {
        return plugin_error(err, CHRONOS_INVALID, 0, "timeout: must be above zero");
    }
    if (view->body != NULL && (view->method == METHOD_GET || view->method == METHOD_HEAD)) {
        return plugin_error(err, CHRONOS_INVALID, 0, "body: a %s request has none", method_names[view->method]);
    }
    int32_t status = check_url(view, err);
    if (status == CHRONOS_OK) {
        status = check_auth(view, err);
    }
    return status != CHRONOS_OK ? status : check_tls(view, err);
}

int32_t http_job_check(const struct chronos_run *run, struct chronos_error *err)
{
    struct view view;

    return view_init(&view, run, true, err);
}

/* ---- Making the request ---- */

static const char *guess_content_type(const struct http_job *job)
{
    size_t at = strspn(job->body, " \t\r\n");

    return job->body[at] == '{' || job->body[at] == '[' ? "application/json" : "text/plain; charset=utf-8";
}

/* What a receiver may rely on, also behind a redirect to another origin. */
static bool add_own_headers(struct curl_slist **list, const struct chronos_run *run)
{
    char time[64], attempt[16];
    bool traced = run->traceparent != NULL && run->traceparent[0] != '\0';

    format_time(run->scheduled_unix_ns, time, sizeof(time));
    (void)snprintf(attempt, sizeof(attempt), "%u", (unsigned)run->attempt);
    return header_add(list, "X-Chronos-Job-ID", run->job_id) &&
           header_add(list, "X-Chronos-Execution-ID", run->execution_id) &&
           header_add(list, "X-Chronos-Scheduled-Time", time) && header_add(list, "X-Chronos-Attempt", attempt) &&
           header_add(list, "Idempotency-Key", run->idempotency_key) &&
           (!traced || header_add(list, "traceparent", run->traceparent)) &&
           header_add(list, "Accept", "*/*") &&
           curl_slist_append(*list, "Expect:") != NULL; /* no extra round trip before a large body */
}

static bool add_job_headers(struct http_job *job, const struct view *view)
{
    bool ok = true;

    for (uint32_t i = 0; ok && i < view->run->n_params; i++) {
        const struct chronos_param *param = &view->run->params[i];
        if (is(param, "headers")) {
            if (strcasecmp(param->key, "Accept") == 0) {
                header_drop(&job->headers, "Accept"); /* ours was added already */
            }
            ok = header_add(&job->headers, param->key, text_of(param));
        }
    }
    return ok;
}

static bool add_credentials(struct http_job *job, const struct view *view)
{
    if (view->auth == AUTH_API_KEY) {
        return header_add(&job->headers, view->auth_header, job->token);
    }
    if (view->auth == AUTH_BEARER) {
        size_t size = strlen(job->token) + sizeof("Bearer ");
        char *value = malloc(size);
        if (value == NULL) {
            return false;
        }
        (void)snprintf(value, size, "Bearer %s", job->token);
        bool ok = header_add(&job->headers, "Authorization", value);
        free(value);
        return ok;
    }
    return true;
}

static bool make_headers(struct http_job *job, const struct view *view)
{
    const char *agent = "Chronos/" CHRONOS_VERSION;
    bool ok = add_own_headers(&job->foreign_headers, view->run) && add_own_headers(&job->headers, view->run) &&
              header_add(&job->foreign_headers, "User-Agent", agent) &&
              (view->has_user_agent || header_add(&job->headers, "User-Agent", agent));

    if (ok && job->body != NULL) {
        const char *type = guess_content_type(job);
        for (uint32_t i = 0; i < view->run->n_params; i++) {
            const struct chronos_param *param = &view->run->params[i];
            type = is(param, "headers") && strcasecmp(param->key, "Content-Type") == 0 ? text_of(param) : type;
        }
        ok = header_add(&job->foreign_headers, "Content-Type", type) &&
             (view->has_content_type || header_add(&job->headers, "Content-Type", type));
    }
    if (ok && job->body == NULL) { /* libcurl would claim that an empty POST is a form */
        ok = curl_slist_append(job->headers, "Content-Type:") != NULL &&
             curl_slist_append(job->foreign_headers, "Content-Type:") != NULL;
    }
    return ok && add_job_headers(job, view) && add_credentials(job, view);
}

/* Copies `text` (which may be NULL); false without memory. */
static bool copy(char **ret, const char *text)
{
    *ret = text == NULL ? NULL : strdup(text);
    return text == NULL || *ret != NULL;
}

static bool copy_texts(struct http_job *job, const struct view *view)
{
    const char *token = view->auth == AUTH_BEARER ? view->token : view->auth == AUTH_API_KEY ? view->key : NULL;
    bool basic = view->auth == AUTH_BASIC;

    if (!copy(&job->url, view->url) || !copy(&job->username, basic ? view->username : NULL) ||
        !copy(&job->password, basic ? view->password : NULL) || !copy(&job->token, token) ||
        !copy(&job->ca_file, view->ca_file) || !copy(&job->client_cert, view->client_cert) ||
        !copy(&job->client_key, view->client_key)) {
        return false;
    }
    job->secrets[0] = job->password;
    job->secrets[1] = job->token;
    return true;
}

/* They come from the host; a trace context even from a client's request. */
static int32_t check_own_values(const struct chronos_run *run, struct chronos_error *err)
{
    const char *values[] = {run->job_id, run->execution_id, run->idempotency_key,
                            run->traceparent == NULL ? "" : run->traceparent};
    int32_t status = CHRONOS_OK;

    for (size_t i = 0; status == CHRONOS_OK && i < sizeof(values) / sizeof(values[0]); i++) {
        status = header_value_check("run", "an identifier", values[i], strlen(values[i]), err);
    }
    return status;
}

static int32_t fill(struct http_job *job, const struct view *view, struct chronos_error *err)
{
    int32_t status = url_origin(view->url, job->origin, sizeof(job->origin), err);

    if (status == CHRONOS_OK) {
        status = check_own_values(view->run, err);
    }
    if (status == CHRONOS_OK && view->body != NULL) {
        status = template_expand(text_of(view->body), (size_t)view->body->value.size, view->run, &job->body,
                                 &job->body_size, err);
    }
    if (status != CHRONOS_OK) {
        return status;
    }
    if (!copy_texts(job, view) || !make_headers(job, view)) {
        return plugin_error_retryable(err, CHRONOS_NOMEM, 0, "no memory for a request");
    }
    job->method = view->method;
    job->success = view->success;
    job->timeout_ms = view->timeout_ms;
    job->follow_redirects = view->follow_redirects;
    job->skip_verify = view->skip_verify;
    return CHRONOS_OK;
}

int32_t http_job_init(struct http_job *job, const struct chronos_run *run, struct chronos_error *err)
{
    struct view view;
    struct http_job made = {0};
    int32_t status = view_init(&view, run, false, err);

    if (status == CHRONOS_OK) {
        status = fill(&made, &view, err);
    }
    if (status != CHRONOS_OK) {
        http_job_deinit(&made);
        return status;
    }
    *job = made;
    return CHRONOS_OK;
}

static void free_secret(char *text)
{
    if (text != NULL) {
        explicit_bzero(text, strlen(text));
        free(text);
    }
}

static void free_headers(struct curl_slist *list)
{
    for (struct curl_slist *at = list; at != NULL; at = at->next) {
        explicit_bzero(at->data, strlen(at->data));
    }
    curl_slist_free_all(list);
}

void http_job_deinit(struct http_job *job)
{
    free(job->url);
    free(job->body);
    free_headers(job->headers);
    free_headers(job->foreign_headers);
    free(job->username);
    free_secret(job->password);
    free_secret(job->token);
    free(job->ca_file);
    free(job->client_cert);
    free(job->client_key);
    *job = (struct http_job){0};
}
