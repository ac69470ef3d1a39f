/* Answers: each takes the body's memory and hands it to the server. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_internal.h"

enum { PROBLEM_MAX = 64 * 1024 };

/* A scan may end when the server is closed already: nobody is there to be answered. */
static void respond(struct api *api, struct http_token token, const struct http_response *response)
{
    if (api->server != NULL)
        http_respond(api->server, token, response);
    else
        free(response->body_owned);
}

void answer_bytes(struct api *api, struct http_token token, int status, const char *content_type, struct buffer *body,
                  const char *headers)
{
    struct http_response response = {.status = status, .content_type = content_type};
    if (headers != NULL)
        response.headers = (struct bytes){headers, strlen(headers)};
    if (body->failed != STATUS_OK) {
        buffer_deinit(body);
        answer_problem(api, token, "-", body->failed == STATUS_NO_MEMORY ? STATUS_NO_MEMORY : STATUS_TOO_LARGE,
                       "the answer does not fit into memory; ask for fewer rows with limit=", NULL);
        return;
    }
    size_t size;
    response.body_owned = buffer_steal(body, &size);
    response.body = (struct bytes){response.body_owned, size};
    respond(api, token, &response);
}

void answer_json_copied(struct api *api, struct http_token token, int status, const struct buffer *body,
                        const char *headers)
{
    assert(body->failed == STATUS_OK);
    struct http_response response = {.status = status, .content_type = "application/json", .body = buffer_bytes(body)};
    if (headers != NULL)
        response.headers = (struct bytes){headers, strlen(headers)};
    respond(api, token, &response);
}

void answer_json(struct api *api, struct http_token token, int status, struct buffer *body, const char *headers)
{
    answer_bytes(api, token, status, "application/json", body, headers);
}

void answer_empty(struct api *api, struct http_token token, int status, const char *headers)
{
    struct http_response response = {.status = status};
    if (headers != NULL)
        response.headers = (struct bytes){headers, strlen(headers)};
    respond(api, token, &response);
}

void answer_write_id(const char *prefix, const struct id *id, struct buffer *body)
{
    char text[ID_TEXT_SIZE];
    struct json_writer w = json_writer_on(body);
    id_format(prefix, id, text);
    json_object_begin(&w);
    json_member_string(&w, "id", text);
    json_object_end(&w);
}

/* What this kind of refusal has to say besides its document. */
static const char *problem_headers(enum status code)
{
    int status = status_http(code);
    if (status == 401)
        return bearer_challenge;
    if (status != 429 && status != 503 && code != STATUS_IDEMPOTENCY_KEY_IN_USE)
        return NULL;
    return code == STATUS_DISK_FULL ? "Retry-After: 10\r\n" : "Retry-After: 1\r\n";
}

void answer_problem(struct api *api, struct http_token token, const char *request_id, enum status code, const char *detail,
                    const struct field_errors *errors)
{
    struct buffer body;
    buffer_init(&body, PROBLEM_MAX);
    problem_write(&body, code, status_http(code), detail, request_id, errors);
    if (body.failed != STATUS_OK)
        buffer_clear(&body); /* the status line still says what happened */
    answer_bytes(api, token, status_http(code), "application/problem+json", &body, problem_headers(code));
}

void answer_error(struct api *api, struct http_token token, const char *request_id, const struct error *err)
{
    struct field_errors errors = {.count = 0};
    if (err->field[0] != '\0')
        field_errors_add(&errors, err->field, "%s", err->message);
    answer_problem(api, token, request_id, err->code, err->message, &errors);
}
