#include "ctl/rest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "ctl/show.h"

int rest_call(struct invocation *invocation, const char *prefix, const struct request *request, struct response *ret)
{
    struct response response;
    struct error err;
    if (client_call(invocation->client, request, &response, &err) != STATUS_OK)
        return complain_error(prefix, &err);
    if (response.status >= 200 && response.status <= 299) {
        *ret = response;
        return EXIT_CODE_OK;
    }
    int code = problem_report(&invocation->arguments, prefix, client_server(invocation->client), &response);
    response_deinit(&response);
    return code;
}

/* A run's output may hold NUL, which no string here can: it becomes U+FFFD, as bytes that are not UTF-8 do. */
static void replace_nul(struct buffer *json)
{
    for (size_t at = 0; at + 1 < json->size; at++) {
        if (json->data[at] != '\\')
            continue;
        if (at + 6 <= json->size && memcmp(json->data + at, "\\u0000", 6) == 0)
            memcpy(json->data + at, "\\ufffd", 6);
        at++; /* what is escaped may be a backslash */
    }
}

int rest_parse(struct invocation *invocation, const char *prefix, struct response *response, cJSON **ret)
{
    struct error err;
    cJSON *json;
    replace_nul(&response->body);
    if (json_parse(response->body.data, response->body.size, &json, &err) != STATUS_OK) {
        complain(prefix, "%s answered something that is not JSON (%s); is it Chronos?",
                 client_server(invocation->client),
                 err.message);
        return EXIT_CODE_REFUSED;
    }
    if (!cJSON_IsObject(json)) {
        complain(prefix, "%s answered something unexpected; is it Chronos?", client_server(invocation->client));
        cJSON_Delete(json);
        return EXIT_CODE_REFUSED;
    }
    *ret = json;
    return EXIT_CODE_OK;
}

int rest_json(struct invocation *invocation, const char *prefix, const struct request *request, cJSON **ret,
              char ret_etag[128])
{
    struct response response;
    int code = rest_call(invocation, prefix, request, &response);
    if (code != EXIT_CODE_OK)
        return code;
    code = rest_parse(invocation, prefix, &response, ret);
    if (code == EXIT_CODE_OK && ret_etag != NULL)
        memcpy(ret_etag, response.etag, sizeof response.etag);
    response_deinit(&response);
    return code;
}

void api_path(struct buffer *path, const char *collection, const char *segment, const char *tail)
{
    buffer_init(path, PATH_BYTES_MAX);
    buffer_appendf(path, "/api/v1/%s", collection);
    if (segment != NULL)
        path_append(path, segment);
    if (tail != NULL)
        buffer_append_string(path, tail);
}

/* --- lists --- */

static int get_page(struct invocation *invocation, const char *path, int64_t rows, const char *cursor, cJSON **ret)
{
    char number[24];
    struct buffer whole;
    buffer_init(&whole, PATH_BYTES_MAX);
    buffer_append_string(&whole, path);
    (void)snprintf(number, sizeof number, "%" PRId64, rows);
    query_append(&whole, "limit", number);
    if (cursor != NULL)
        query_append(&whole, "cursor", cursor);
    int code;
    if (whole.failed != STATUS_OK) {
        complain(NULL, "the filters are too long");
        code = EXIT_CODE_USAGE;
    } else {
        code = rest_json(invocation, NULL, &(struct request){.method = "GET", .path = whole.data}, ret, NULL);
    }
    buffer_deinit(&whole);
    return code;
}

static int take_rows(cJSON *page, const char *member, cJSON *list, int64_t *count)
{
    cJSON *rows = cJSON_GetObjectItemCaseSensitive(page, member);
    if (!cJSON_IsArray(rows)) {
        complain(NULL, "the answer has no list of %s; is it Chronos?", member);
        return EXIT_CODE_REFUSED;
    }
    for (cJSON *row = rows->child, *next; row != NULL; row = next, (*count)++) {
        next = row->next;
        if (!cJSON_AddItemToArray(list, cJSON_DetachItemViaPointer(rows, row))) /* fails only without memory to link */
            return EXIT_CODE_REFUSED;
    }
    return EXIT_CODE_OK;
}

static int list_pages(struct invocation *invocation, const char *path, const char *member, int64_t limit, cJSON *answer)
{
    cJSON *list = cJSON_AddArrayToObject(answer, member);
    char cursor[1024] = "";
    int64_t count = 0;
    int code = list != NULL ? EXIT_CODE_OK : EXIT_CODE_REFUSED;
    while (code == EXIT_CODE_OK) {
        cJSON *page = NULL;
        int64_t rows = limit > 0 && limit - count < LIST_PAGE ? limit - count : LIST_PAGE;
        code = get_page(invocation, path, rows, *cursor != '\0' ? cursor : NULL, &page);
        if (code == EXIT_CODE_OK)
            code = take_rows(page, member, list, &count);
        const char *next = code == EXIT_CODE_OK ? member_string(page, "next_cursor") : NULL;
        bool again = next != NULL && strcmp(next, cursor) == 0;
        if (again || (next != NULL && strlen(next) >= sizeof cursor)) {
            complain(NULL, "the server's cursor leads nowhere; the list is cut after %" PRId64 " rows", count);
            code = EXIT_CODE_REFUSED;
        }
        (void)snprintf(cursor, sizeof cursor, "%s", next != NULL ? next : "");
        cJSON_Delete(page);
        if (next == NULL || (limit > 0 && count >= limit))
            break;
    }
    if (code == EXIT_CODE_OK)
        (void)cJSON_AddItemToObject(answer, "next_cursor",
                                    *cursor != '\0' ? cJSON_CreateString(cursor) : cJSON_CreateNull());
    return code;
}

int rest_list(struct invocation *invocation, const char *path, const char *member, int64_t limit, cJSON **ret)
{
    cJSON *answer = cJSON_CreateObject();
    int code = answer != NULL ? list_pages(invocation, path, member, limit, answer) : EXIT_CODE_REFUSED;
    if (code == EXIT_CODE_OK)
        *ret = answer;
    else
        cJSON_Delete(answer);
    return code;
}
