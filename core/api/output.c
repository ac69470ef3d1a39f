/* What a run has written. It is kept on the node that ran it; where another one is asked, that one fetches it, piece by piece. What
 * nobody keeps, the record of the run has: the whole of a short output, the beginning and the end of a long one. */
#include "api/api_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECORD_MAX = 1 << 20,
    OUTPUT_DEFAULT = 1 << 20,
    OUTPUT_MAX = 4 << 20, /* of one answer: read on the loop, which serves everybody, and kept until a slow client has it */
};

/* One request for output, while it is answered. */
struct reading {
    struct id execution;
    uint32_t attempt;          /* the newest, unless the query names one; 0: there is none yet */
    char node[NODE_TEXT_SIZE]; /* that ran it; "": not known */
    bool is_open;
    bool is_in_record;         /* all of it, byte for byte */
    uint64_t offset, limit;
    struct buffer record;      /* of a finished run: what its record has of the output */
    struct buffer out;         /* what is answered */
    uint64_t total;
    bool is_complete;
};

static void reading_free(void *data)
{
    struct reading *reading = data;
    buffer_deinit(&reading->record);
    buffer_deinit(&reading->out);
    free(reading);
}

/* --- what is asked for --- */

static enum status parse_query(const struct http_request *request, struct reading *ret, struct error *err)
{
    static const char *const known[] = {"attempt", "offset", "limit", "consistent", NULL};
    int64_t attempt = 0, offset = 0, limit = OUTPUT_DEFAULT;
    enum status status = query_check(request, known, err);
    if (status == STATUS_OK)
        (void)query_int(request, "attempt", 1, UINT32_MAX, &attempt, &status, err);
    if (status == STATUS_OK)
        (void)query_int(request, "offset", 0, INT64_MAX, &offset, &status, err);
    if (status == STATUS_OK)
        (void)query_int(request, "limit", 1, OUTPUT_MAX, &limit, &status, err);
    ret->attempt = (uint32_t)attempt;
    ret->offset = (uint64_t)offset;
    ret->limit = (uint64_t)limit;
    return status;
}

static void note_node(struct reading *reading, const char *node)
{
    (void)snprintf(reading->node, sizeof reading->node, "%s", node); /* of one size, or too long for any node */
}

static void describe_open(struct reading *reading, const struct open_run *open)
{
    reading->is_open = true;
    if (reading->attempt == 0)
        reading->attempt = open->attempt;
    if (reading->attempt == open->attempt)
        note_node(reading, open->node);
    for (uint32_t i = 0; i < open->history_count; i++)
        if (open->history[i].attempt == reading->attempt)
            note_node(reading, open->history[i].node);
}

static uint32_t number_of(const cJSON *attempt)
{
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(attempt, "attempt");
    return cJSON_IsNumber(number) ? (uint32_t)number->valuedouble : 0;
}

/* Bytes that are no text stand in the record as U+FFFD. */
static bool has_replacement(const char *text)
{
    return strstr(text, "\xef\xbf\xbd") != NULL;
}

static void describe_finished(struct reading *reading, struct bytes record)
{
    cJSON *json = cJSON_ParseWithLength(record.data, record.size);
    const cJSON *attempts = cJSON_GetObjectItemCaseSensitive(json, "attempts"), *attempt;
    const cJSON *output = cJSON_GetObjectItemCaseSensitive(json, "output");
    const cJSON *written = cJSON_GetObjectItemCaseSensitive(json, "output_bytes");
    uint32_t newest = number_of(cJSON_GetArrayItem(attempts, cJSON_GetArraySize(attempts) - 1));
    if (reading->attempt == 0)
        reading->attempt = newest;
    cJSON_ArrayForEach(attempt, attempts)
    {
        const cJSON *node = cJSON_GetObjectItemCaseSensitive(attempt, "node_id");
        if (number_of(attempt) == reading->attempt && cJSON_IsString(node))
            note_node(reading, node->valuestring);
    }
    if (newest > 0 && reading->attempt == newest && cJSON_IsString(output)) { /* the record carries the newest attempt's */
        buffer_append_string(&reading->record, output->valuestring);
        reading->is_in_record = !has_replacement(output->valuestring) && cJSON_IsNumber(written) &&
                                written->valuedouble == (double)reading->record.size;
    }
    cJSON_Delete(json);
}

static enum status find_run(struct api *api, const struct route_match *match, struct reading *reading, struct error *err)
{
    static struct open_run open;
    struct state_view view;
    struct execution_row row;
    enum status status = state_view_begin(cluster_state(api->config.cluster), &view, err);
    if (status != STATUS_OK)
        return status;
    status = execution_check_owner(&view, match, &reading->execution, err);
    if (status != STATUS_OK) {
        state_view_end(&view);
        return status;
    }
    status = state_get_open(&view, &reading->execution, &open, err);
    if (status == STATUS_OK) {
        describe_open(reading, &open);
    } else if (status == STATUS_NOT_FOUND) {
        status = state_get_execution(&view, &reading->execution, &row, err);
        if (status == STATUS_OK)
            describe_finished(reading, row.json);
    }
    state_view_end(&view);
    return status == STATUS_NOT_FOUND ? error_set(err, STATUS_NOT_FOUND, "no such execution; it may have left by retention")
                                      : status;
}

/* --- answering --- */

/* Nobody keeps it, or the record has all of it. */
static void take_record(struct reading *reading)
{
    struct buffer *record = &reading->record;
    buffer_clear(&reading->out);
    reading->total = record->size;
    reading->is_complete = !reading->is_open;
    if (reading->offset >= record->size)
        return;
    uint64_t left = record->size - reading->offset;
    buffer_append(&reading->out, record->data + reading->offset, (size_t)(left < reading->limit ? left : reading->limit));
}

static void answer_output(struct api *api, struct http_token token, struct reading *reading)
{
    char headers[256];
    struct buffer *out = &reading->out;
    (void)snprintf(headers, sizeof headers,
                   "X-Chronos-Output-Total: %llu\r\nX-Chronos-Output-Complete: %s\r\n"
                   "Content-Security-Policy: sandbox\r\nX-Content-Type-Options: nosniff\r\n",
                   (unsigned long long)reading->total, reading->is_complete ? "true" : "false");
    bool is_text = out->size == 0 ||
                   (utf8_valid(out->data, out->size, NULL) && memchr(out->data, '\0', out->size) == NULL);
    answer_bytes(api, token, 200, is_text ? "text/plain; charset=utf-8" : "application/octet-stream", out, headers);
}

/* --- from another node --- */

static struct cluster_output_range next_range(const struct reading *reading)
{
    uint64_t left = reading->limit - reading->out.size;
    return (struct cluster_output_range){.execution = reading->execution, .attempt = reading->attempt,
                                         .offset = reading->offset + reading->out.size,
                                         .size_max = (uint32_t)(left < OUTPUT_PIECE_MAX ? left : OUTPUT_PIECE_MAX)};
}

/* Nothing is kept there: the record has what there is. */
static void fall_back(struct operation *operation)
{
    struct reading *reading = operation->data;
    take_record(reading);
    answer_output(operation->api, operation->token, reading);
    operation_end(operation);
}

static void ask_next(struct operation *operation)
{
    struct api *api = operation->api;
    struct reading *reading = operation->data;
    struct error err;
    struct cluster_output_range range = next_range(reading);
    enum status status = cluster_ask_output(api->config.cluster, reading->node, &range, operation_outcome, api,
                                            operation_token(operation), &err);
    if (status == STATUS_NOT_FOUND)
        fall_back(operation);
    else if (status != STATUS_OK)
        operation_refuse(operation, &err);
}

static void on_piece(struct operation *operation, const struct cluster_outcome *outcome)
{
    struct api *api = operation->api;
    struct reading *reading = operation->data;
    if (outcome->status == STATUS_NOT_FOUND) {
        fall_back(operation);
        return;
    }
    if (operation_failed(operation, outcome, ""))
        return;
    uint32_t asked = next_range(reading).size_max;
    buffer_append(&reading->out, outcome->output->piece.data, outcome->output->piece.size);
    reading->total = outcome->output->total;
    reading->is_complete = outcome->output->is_complete;
    bool is_all = outcome->output->piece.size < asked || reading->out.size == reading->limit;
    if (is_all || reading->out.failed != STATUS_OK) {
        answer_output(api, operation->token, reading);
        operation_end(operation);
    } else if (api->server == NULL || !http_token_live(api->server, operation->token)) {
        operation_end(operation); /* nobody waits for the rest */
    } else {
        ask_next(operation);
    }
}

/* --- the request --- */

/* OK: it can be answered. NOT_FOUND: node `node` is to be asked. */
static enum status read_here(struct api *api, struct reading *reading, struct error *err)
{
    enum status status = STATUS_NOT_FOUND;
    if (reading->attempt > 0)
        status = runner_output(api->config.runner, &reading->execution, reading->attempt, reading->offset, (size_t)reading->limit,
                               &reading->out, &reading->total, &reading->is_complete, err);
    if (status != STATUS_NOT_FOUND)
        return status;
    bool is_elsewhere = reading->attempt > 0 && reading->node[0] != '\0' &&
                        strcmp(reading->node, cluster_node_id(api->config.cluster)) != 0;
    if (is_elsewhere && !reading->is_in_record)
        return STATUS_NOT_FOUND;
    take_record(reading);
    return STATUS_OK;
}

static enum status begin(struct api *api, const struct http_request *request, const struct route_match *match,
                         struct reading *reading, struct error *err)
{
    buffer_init(&reading->record, RECORD_MAX);
    buffer_init(&reading->out, OUTPUT_MAX);
    enum status status = parse_query(request, reading, err);
    if (status == STATUS_OK)
        status = execution_parse(match, &reading->execution, err);
    return status == STATUS_OK ? find_run(api, match, reading, err) : status;
}

API_HANDLER(handle_execution_output)
{
    struct api *api = arg;
    struct error err;
    struct reading *reading = calloc(1, sizeof *reading);
    if (reading == NULL) {
        answer_problem(api, request->token, request->request_id, STATUS_NO_MEMORY, "", NULL);
        return;
    }
    enum status status = begin(api, request, match, reading, &err);
    if (status != STATUS_OK) {
        answer_error(api, request->token, request->request_id, &err);
        reading_free(reading);
        return;
    }
    status = read_here(api, reading, &err);
    if (status == STATUS_NOT_FOUND) {
        struct operation *operation = operation_begin(api, request, on_piece, reading, reading_free); /* takes it */
        if (operation != NULL)
            ask_next(operation);
        return;
    }
    if (status == STATUS_OK)
        answer_output(api, request->token, reading);
    else
        answer_error(api, request->token, request->request_id, &err);
    reading_free(reading);
}
