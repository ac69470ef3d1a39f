#include "ctl/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <curl/curl.h>

#include "base/clock.h"
#include "base/id.h"
#include "ctl/servers.h"

static const char key_name[] = "Idempotency-Key: ";
enum { KEY_RANDOM_SIZE = 16, KEY_HEADER_SIZE = sizeof key_name + 2 * KEY_RANDOM_SIZE };
enum { URL_MAX = 32 * 1024, AUTHORIZATION_MAX = 1024, RETRY_DEFAULT_MS = 1000, RETRY_MIN_MS = 100, RETRY_MAX_MS = 10000 };

struct client {
    CURL *curl;
    struct server servers[CLIENT_SERVERS_MAX];
    unsigned server_count, current;
    unsigned tried; /* servers, for the request at hand */
    int64_t timeout_ms;
    bool sent; /* by the last try: some of the request left this machine */
    char key_header[KEY_HEADER_SIZE]; /* of the request at hand; "": none */
    bool is_doubtful; /* an earlier try of it may still take effect */
    struct buffer authorization; /* the whole header line; empty: none */
    char curl_error[CURL_ERROR_SIZE];
    struct error save_error; /* code OK: none */
};

static int64_t now_ms(void)
{
    return (int64_t)(clock_system.monotonic_ns(clock_system.arg) / 1000000);
}

static void sleep_ms(int64_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL); /* woken early: the request is just sent early */
}

enum status client_new(const char *servers, int64_t timeout_ms, struct client **ret, struct error *err)
{
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    client->timeout_ms = timeout_ms;
    enum status status = servers_parse(servers, client->servers, &client->server_count, err);
    if (status == STATUS_OK &&
        (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (client->curl = curl_easy_init()) == NULL))
        status = error_set(err, STATUS_NO_MEMORY, "libcurl cannot be started");
    if (status == STATUS_OK)
        *ret = client;
    else
        free(client);
    return status;
}

void client_free(struct client *client)
{
    if (client == NULL)
        return;
    curl_easy_cleanup(client->curl);
    curl_global_cleanup();
    if (client->authorization.data != NULL)
        explicit_bzero(client->authorization.data, client->authorization.size);
    buffer_deinit(&client->authorization);
    free(client);
}

enum status client_set_token(struct client *client, struct bytes token, struct error *err)
{
    buffer_init(&client->authorization, AUTHORIZATION_MAX);
    buffer_append_string(&client->authorization, "Authorization: Bearer ");
    buffer_append(&client->authorization, token.data, token.size);
    return client->authorization.failed == STATUS_OK ? STATUS_OK : error_set(err, client->authorization.failed, "out of memory");
}

const char *client_server(const struct client *client)
{
    return client->servers[client->current].shown;
}

void response_deinit(struct response *response)
{
    buffer_deinit(&response->body);
    *response = (struct response){.status = 0};
}

/* --- what curl calls --- */

struct receiving {
    struct client *client;
    struct response *response;
    struct file_draft *save;
};

static bool save(struct receiving *receiving, const char *data, size_t size)
{
    if (file_draft_write(receiving->save, data, size, &receiving->client->save_error) != STATUS_OK)
        return false;
    receiving->response->saved += size;
    return true;
}

static size_t on_body(char *data, size_t one, size_t size, void *arg)
{
    struct receiving *receiving = arg;
    struct response *response = receiving->response;
    long status = 0;
    (void)one; /* always 1 */
    (void)curl_easy_getinfo(receiving->client->curl, CURLINFO_RESPONSE_CODE, &status);
    if (receiving->save != NULL && status >= 200 && status <= 299)
        return save(receiving, data, size) ? size : 0;
    buffer_append(&response->body, data, size);
    return response->body.failed == STATUS_OK ? size : 0;
}

/* The value of "name: value\r\n", or NULL if the line has another name. */
static const char *header_value(const char *line, size_t size, const char *name, size_t *ret_size)
{
    size_t name_size = strlen(name);
    if (size <= name_size || line[name_size] != ':' || strncasecmp(line, name, name_size) != 0)
        return NULL;
    const char *at = line + name_size + 1, *end = line + size;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (end > at && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *ret_size = (size_t)(end - at);
    return at;
}

static int64_t header_number(const char *text, size_t size)
{
    char digits[20];
    if (size == 0 || size >= sizeof digits - 1)
        return -1;
    memcpy(digits, text, size);
    digits[size] = '\0';
    return strspn(digits, "0123456789") == size ? strtoll(digits, NULL, 10) : -1;
}

static void read_header(struct response *response, const char *line, size_t line_size)
{
    static const char problem[] = "application/problem+json";
    size_t size;
    const char *value = header_value(line, line_size, "ETag", &size);
    if (value != NULL && size < sizeof response->etag) {
        memcpy(response->etag, value, size);
        response->etag[size] = '\0';
    }
    if ((value = header_value(line, line_size, "Retry-After", &size)) != NULL) {
        int64_t seconds = header_number(value, size);
        response->retry_after_ms = seconds < 0 ? RETRY_DEFAULT_MS : (seconds < 3600 ? seconds : 3600) * 1000;
    }
    if ((value = header_value(line, line_size, "X-Chronos-Output-Total", &size)) != NULL)
        response->output_total = header_number(value, size);
    if ((value = header_value(line, line_size, "X-Chronos-Output-Complete", &size)) != NULL)
        response->output_complete = size == 4 && strncmp(value, "true", 4) == 0;
    if ((value = header_value(line, line_size, "Content-Type", &size)) != NULL)
        response->is_problem = size >= strlen(problem) && strncasecmp(value, problem, strlen(problem)) == 0;
}

static size_t on_header(char *data, size_t one, size_t size, void *arg)
{
    (void)one; /* always 1 */
    read_header(arg, data, size);
    return size;
}

/* --- one try at one server --- */

static void limit_protocols(CURL *curl)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

/* Options that cannot fail but for want of memory; curl_easy_perform then fails as well. */
static void set_options(struct client *client, const struct server *server, const struct request *request,
                        const char *url,
                        struct curl_slist *headers, struct receiving *receiving, int64_t left_ms)
{
    CURL *curl = client->curl;
    long connect_ms = left_ms < CLIENT_CONNECT_MS ? (long)left_ms : (long)CLIENT_CONNECT_MS;
    curl_easy_reset(curl); /* keeps the connections */
    limit_protocols(curl);
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->curl_error);
    (void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "chronosctl/" CHRONOS_VERSION);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L); /* a token is for the servers of the list, and nobody else */
    (void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, receiving->response);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, receiving);
    (void)curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "");
    if (request->save == NULL) {
        (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)left_ms);
    } else {
        (void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        (void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)((left_ms + 999) / 1000));
    }
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    if (server->socket[0] != '\0')
        (void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, server->socket);
    if (server->is_loopback)
        (void)curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* whatever http_proxy says */
    if (request->body != NULL) {
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(request->body));
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
    } else if (strcmp(request->method, "POST") == 0) {
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
    }
    (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
}

static bool add_header(struct curl_slist **headers, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*headers, line);
    if (longer == NULL)
        return false;
    *headers = longer;
    return true;
}

/* Also: no "Expect: 100-continue", which costs a round trip, and no form's type on a POST without a body. */
static bool make_headers(const struct client *client, const struct request *request, struct curl_slist **headers)
{
    char match[160];
    bool made = add_header(headers, request->body != NULL ? "Content-Type: application/json" : "Content-Type:") &&
                add_header(headers, "Accept: application/json, application/problem+json, */*") &&
                add_header(headers, "Expect:") &&
                (client->authorization.size == 0 || add_header(headers, client->authorization.data)) &&
                (client->key_header[0] == '\0' || add_header(headers, client->key_header));
    if (request->if_match == NULL)
        return made;
    (void)snprintf(match, sizeof match, "If-Match: %s", request->if_match);
    return made && add_header(headers, match);
}

static void response_begin(struct response *response)
{
    response_deinit(response);
    buffer_init(&response->body, CLIENT_ANSWER_MAX);
    response->retry_after_ms = -1;
    response->output_total = -1;
}

static CURLcode try_server(struct client *client, const struct server *server, const struct request *request,
                           int64_t left_ms,
                           struct response *response)
{
    struct curl_slist *headers = NULL;
    struct buffer url;
    buffer_init(&url, URL_MAX);
    buffer_appendf(&url, "%s%s", server->base, request->path);
    response_begin(response);
    client->curl_error[0] = '\0';
    client->sent = false;
    client->save_error.code = STATUS_OK;
    CURLcode code = CURLE_OUT_OF_MEMORY;
    if (url.failed == STATUS_OK && make_headers(client, request, &headers)) {
        long status = 0, sent = 0;
        struct receiving receiving = {.client = client, .response = response, .save = request->save};
        set_options(client, server, request, url.data, headers, &receiving, left_ms);
        code = curl_easy_perform(client->curl);
        (void)curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
        (void)curl_easy_getinfo(client->curl, CURLINFO_REQUEST_SIZE, &sent);
        response->status = (int)status;
        client->sent = sent > 0;
    } else if (url.failed == STATUS_TOO_LARGE) {
        code = CURLE_URL_MALFORMAT;
    }
    curl_slist_free_all(headers);
    buffer_deinit(&url);
    return code;
}

/* --- over all servers --- */

/* One for all tries of a request, so that only one of them takes effect. */
static void make_key(struct client *client)
{
    uint8_t random[KEY_RANDOM_SIZE];
    char *at = client->key_header + sizeof key_name - 1;
    random_bytes_secure(random, sizeof random);
    memcpy(client->key_header, key_name, sizeof key_name);
    for (size_t i = 0; i < sizeof random; i++)
        at += snprintf(at, 3, "%02x", random[i]);
}

static bool is_idempotent(const struct client *client, const struct request *request)
{
    return client->key_header[0] != '\0' ||
           strcmp(request->method, "GET") == 0 || strcmp(request->method, "PUT") == 0 ||
           strcmp(request->method, "DELETE") == 0 || request->repeatable;
}

/* Can another server be asked instead? Not when this one may have taken the request already, unless a repeat does no
 * harm. */
static bool may_try_next(const struct client *client, const struct request *request, const struct response *response, CURLcode code)
{
    if (response->saved > 0)
        return false; /* what has been written stays written */
    switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
        return true;
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        return !client->sent || is_idempotent(client, request);
    default:
        return false;
    }
}

static enum status not_reached(const struct client *client, const struct server *server, const struct request *request,
                               CURLcode code, struct error *err)
{
    const char *why = client->curl_error[0] != '\0' ? client->curl_error : curl_easy_strerror(code);
    const char *others = client->tried > 1 ? " (and none of those before it)" : "";
    if (client->save_error.code != STATUS_OK) {
        *err = client->save_error;
        return err->code;
    }
    if (code == CURLE_WRITE_ERROR)
        return error_set(err, STATUS_TOO_LARGE, "%s: the answer is larger than %d MiB", server->shown,
                         CLIENT_ANSWER_MAX >> 20);
    if (code == CURLE_URL_MALFORMAT)
        return error_set(err, STATUS_INVALID, "%s: the request's address is too long or malformed", server->shown);
    if (code == CURLE_OUT_OF_MEMORY)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    bool reads = strcmp(request->method, "GET") == 0;
    if (client->sent || (client->is_doubtful && !reads))
        return error_set(err, code == CURLE_OPERATION_TIMEDOUT ? STATUS_TIMEOUT : STATUS_IO, "%s%s: %s%s",
                         server->shown, others,
                         why, reads
                                  ? ""
                                  : "; the request may have been carried out all the same: look before you repeat it");
    if (server->socket[0] != '\0')
        return error_set(err, STATUS_IO, "cannot reach %s%s: %s; is chronos running, with server.http.unix_socket: %s?",
                         server->shown, others, why, server->socket);
    if (code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION)
        return error_set(err, STATUS_IO, "cannot reach %s%s: %s; does it speak TLS, with a certificate for this name?",
                         server->shown, others, why);
    return error_set(err, STATUS_IO,
                     "cannot reach %s%s: %s; is chronos running there (`systemctl status chronos`)? Another server is named with "
                     "--server or CHRONOSCTL_SERVER",
                     server->shown, others, why);
}

/* The current server first, then the others in their order, each once. */
static enum status call_once(struct client *client, const struct request *request, int64_t deadline_ms,
                             struct response *response, struct error *err)
{
    enum status status = STATUS_OK;
    unsigned first = client->current;
    for (unsigned i = 0; i < client->server_count; i++) {
        unsigned at = (first + i) % client->server_count;
        int64_t left_ms = deadline_ms - now_ms();
        if (i > 0 && left_ms <= 0)
            break;
        client->tried = i + 1;
        if (is_idempotent(client, request))
            left_ms /= client->server_count - i; /* one that hangs leaves time for the others */
        CURLcode code = try_server(client, &client->servers[at], request, left_ms > 1 ? left_ms : 1, response);
        if (code == CURLE_OK) {
            client->current = at;
            return STATUS_OK;
        }
        client->is_doubtful = client->is_doubtful || client->sent;
        status = not_reached(client, &client->servers[at], request, code, err);
        if (!may_try_next(client, request, response, code))
            break;
    }
    return status;
}

/* Certainly not done: 503. With a key also what may have been done (504), and what is being done for an earlier try (409). */
static bool may_be_repeated(const struct client *client, const struct request *request, const struct response *response)
{
    bool has_key = client->key_header[0] != '\0', says_when = response->retry_after_ms >= 0;
    return (response->status == 503 && says_when && is_idempotent(client, request)) || (response->status == 504 && has_key) ||
           (response->status == 409 && says_when && has_key);
}

/* How long to wait before the same again; -1: the answer stands. */
static int64_t retry_wait(const struct client *client, const struct request *request, const struct response *response, int64_t left_ms)
{
    if (!may_be_repeated(client, request, response))
        return -1;
    int64_t after_ms = response->retry_after_ms >= 0 ? response->retry_after_ms : RETRY_DEFAULT_MS;
    int64_t wait_ms = after_ms < RETRY_MAX_MS ? after_ms : RETRY_MAX_MS;
    wait_ms = wait_ms > RETRY_MIN_MS ? wait_ms : RETRY_MIN_MS;
    return wait_ms < left_ms ? wait_ms : -1;
}

/* With a key, an answer that was lost can be asked for: the node may be back, or another one lead. */
static bool may_ask_again(const struct client *client, const struct error *err, int64_t left_ms)
{
    return client->key_header[0] != '\0' && client->is_doubtful && (err->code == STATUS_IO || err->code == STATUS_TIMEOUT) &&
           left_ms > RETRY_DEFAULT_MS;
}

enum status client_call(struct client *client, const struct request *request, struct response *ret, struct error *err)
{
    struct response response = {.status = 0};
    int64_t deadline_ms = now_ms() + client->timeout_ms, wait_ms;
    client->key_header[0] = '\0';
    client->is_doubtful = false;
    if (request->once)
        make_key(client);
    for (;;) {
        if (call_once(client, request, deadline_ms, &response, err) != STATUS_OK) {
            response_deinit(&response);
            if (!may_ask_again(client, err, deadline_ms - now_ms()))
                return err->code;
            sleep_ms(RETRY_DEFAULT_MS);
            continue;
        }
        if (response.status == 429 && client->key_header[0] != '\0' && !client->is_doubtful) {
            client->key_header[0] = '\0'; /* nothing was done, maybe because no more keys are kept: then without, and once */
            continue;
        }
        wait_ms = retry_wait(client, request, &response, deadline_ms - now_ms());
        if (wait_ms < 0)
            break;
        client->is_doubtful = client->is_doubtful || response.status != 503;
        sleep_ms(wait_ms);
        client->current = (client->current + 1) % client->server_count; /* another may know more */
    }
    *ret = response;
    return STATUS_OK;
}

/* --- paths --- */

static void append_encoded(struct buffer *out, const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        bool plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') ||
                     strchr("-_.~", *at) != NULL;
        if (plain)
            buffer_append_char(out, (char)*at);
        else
            buffer_appendf(out, "%%%02X", *at);
    }
}

void path_append(struct buffer *path, const char *segment)
{
    buffer_append_char(path, '/');
    append_encoded(path, segment);
}

void query_append(struct buffer *path, const char *name, const char *value)
{
    bool first = path->size == 0 || memchr(path->data, '?', path->size) == NULL;
    buffer_append_char(path, first ? '?' : '&');
    append_encoded(path, name);
    buffer_append_char(path, '=');
    append_encoded(path, value);
}
