/* Runs: one, its output, its cancellation, and lists of them, newest first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_internal.h"

enum { RUN_ANSWER_MAX = 1 << 20, OUTPUT_DEFAULT = 1 << 20, OUTPUT_MAX = CAPTURED_OUTPUT_MAX };

/* --- one --- */

static enum status parse_execution_id(struct bytes text, struct id *ret, struct error *err)
{
    if (id_parse(EXECUTION_ID_PREFIX, text.data, text.size, ret))
        return STATUS_OK;
    return error_set(err, STATUS_NOT_FOUND, "\"%.*s\" is not the id of an execution: " EXECUTION_ID_PREFIX "... and 26 digits",
                     (int)(text.size < 64 ? text.size : 64), (const char *)text.data);
}

/* The execution is the last parameter of both "/executions/:execution" and "/jobs/:job/executions/:execution". */
static struct bytes execution_param(const struct route_match *match)
{
    return match->params[match->param_count - 1];
}

/* Under "/jobs/:job" stand the runs of that job alone. */
static enum status check_owner(struct state_view *view, const struct route_match *match, const struct id *execution,
                               struct error *err)
{
    static struct open_run open;
    struct execution_row ended;
    struct job_row job;
    struct id id;
    uint64_t serial = 0;
    if (match->param_count < 2)
        return STATUS_OK;
    enum status status = job_lookup(view, match->params[0], &id, err);
    if (status == STATUS_OK)
        status = state_get_job(view, &id, &job, err);
    if (status != STATUS_OK)
        return status;
    uint64_t owner = job.serial;
    status = state_get_open(view, execution, &open, err);
    if (status == STATUS_OK)
        serial = open.serial;
    else if (status == STATUS_NOT_FOUND) {
        status = state_get_execution(view, execution, &ended, err);
        serial = status == STATUS_OK ? ended.serial : 0;
    }
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        return status;
    return serial == owner ? STATUS_OK
                           : error_set(err, STATUS_NOT_FOUND, "no such execution of this job; it may have left by retention");
}

enum status execution_write(struct state_view *view, const struct id *execution, struct buffer *out, struct error *err)
{
    static _Thread_local struct open_run open;
    struct execution_row row;
    char text[ID_TEXT_SIZE];
    enum status status = state_get_open(view, execution, &open, err);
    if (status == STATUS_OK)
        open_run_json(&open, out);
    if (status != STATUS_NOT_FOUND)
        return status;
    status = state_get_execution(view, execution, &row, err);
    if (status == STATUS_OK)
        buffer_append(out, row.json.data, row.json.size);
    if (status != STATUS_NOT_FOUND)
        return status;
    id_format(EXECUTION_ID_PREFIX, execution, text);
    return error_set(err, STATUS_NOT_FOUND, "no execution %s; it may have left by retention", text);
}

API_HANDLER(handle_execution_get)
{
    static const char *const known[] = {"consistent", NULL};
    struct api *api = arg;
    struct id execution;
    struct state_view view;
    struct buffer body;
    struct error err;
    buffer_init(&body, RUN_ANSWER_MAX);
    enum status status = query_check(request, known, &err);
    if (status == STATUS_OK)
        status = parse_execution_id(execution_param(match), &execution, &err);
    if (status == STATUS_OK)
        status = state_view_begin(cluster_state(api->config.cluster), &view, &err);
    if (status == STATUS_OK) {
        status = check_owner(&view, match, &execution, &err);
        if (status == STATUS_OK)
            status = execution_write(&view, &execution, &body, &err);
        state_view_end(&view);
    }
    if (status == STATUS_OK) {
        answer_json(api, request->token, 200, &body, NULL);
        return;
    }
    buffer_deinit(&body);
    answer_error(api, request->token, request->request_id, &err);
}

/* --- output --- */

/* What is known of a run whose output is asked for. */
struct output_source {
    struct id execution;
    uint32_t attempt; /* the newest, unless the query names one */
    bool open;
    struct buffer json; /* of a finished run: its own output stands in it */
};

static enum status find_source(struct api *api, const struct route_match *match, const struct id *execution,
                               struct output_source *ret, struct error *err)
{
    static struct open_run open;
    struct state_view view;
    struct execution_row row;
    enum status status = state_view_begin(cluster_state(api->config.cluster), &view, err);
    if (status != STATUS_OK)
        return status;
    ret->execution = *execution;
    status = check_owner(&view, match, execution, err);
    if (status != STATUS_OK) {
        state_view_end(&view);
        return status;
    }
    status = state_get_open(&view, execution, &open, err);
    if (status == STATUS_OK) {
        ret->open = true;
        ret->attempt = open.attempt;
    } else if (status == STATUS_NOT_FOUND) {
        status = state_get_execution(&view, execution, &row, err);
        if (status == STATUS_OK)
            buffer_append(&ret->json, row.json.data, row.json.size);
    }
    state_view_end(&view);
    return status == STATUS_NOT_FOUND ? error_set(err, STATUS_NOT_FOUND, "no such execution; it may have left by retention")
                                      : status;
}

/* The newest attempt's number and the replicated output of a finished run. */
static void read_finished(struct output_source *source, struct buffer *out, bool wants_output)
{
    cJSON *json = cJSON_ParseWithLength(source->json.data, source->json.size);
    const cJSON *attempts = cJSON_GetObjectItemCaseSensitive(json, "attempts");
    const cJSON *last = cJSON_GetArrayItem(attempts, cJSON_GetArraySize(attempts) - 1);
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(last, "attempt");
    const cJSON *output = cJSON_GetObjectItemCaseSensitive(json, "output");
    if (source->attempt == 0 && cJSON_IsNumber(number))
        source->attempt = (uint32_t)number->valuedouble;
    if (wants_output && cJSON_IsString(output))
        buffer_append_string(out, output->valuestring);
    cJSON_Delete(json);
}

struct output_range {
    int64_t offset, limit;
};

static enum status parse_range(const struct http_request *request, struct output_range *ret, int64_t *ret_attempt,
                               struct error *err)
{
    static const char *const known[] = {"attempt", "offset", "limit", "consistent", NULL};
    enum status status = query_check(request, known, err);
    *ret = (struct output_range){.limit = OUTPUT_DEFAULT};
    *ret_attempt = 0;
    if (status == STATUS_OK)
        (void)query_int(request, "attempt", 1, UINT32_MAX, ret_attempt, &status, err);
    if (status == STATUS_OK)
        (void)query_int(request, "offset", 0, INT64_MAX, &ret->offset, &status, err);
    if (status == STATUS_OK)
        (void)query_int(request, "limit", 1, OUTPUT_MAX, &ret->limit, &status, err);
    return status;
}

static void cut_range(struct buffer *out, const struct output_range *range)
{
    buffer_consume(out, (uint64_t)range->offset < out->size ? (size_t)range->offset : out->size);
    if (out->size > (uint64_t)range->limit)
        out->size = (size_t)range->limit;
}

static enum status read_output(struct api *api, struct output_source *source, const struct output_range *range,
                               struct buffer *out, uint64_t *ret_total, bool *ret_done, struct error *err)
{
    if (!source->open)
        read_finished(source, out, false);
    enum status status = STATUS_NOT_FOUND;
    *ret_done = !source->open;
    *ret_total = 0;
    if (source->attempt > 0)
        status = runner_output(api->config.runner, &source->execution, source->attempt, (uint64_t)range->offset,
                               (size_t)range->limit, out, ret_total, ret_done, err);
    if (status != STATUS_NOT_FOUND)
        return status;
    /* Not kept here: the whole of a short output, the head and tail of a long one, are in the record itself. */
    if (!source->open) {
        read_finished(source, out, true);
        *ret_total = out->size;
        cut_range(out, range);
    }
    *ret_done = !source->open;
    return STATUS_OK;
}

static void answer_output(struct api *api, const struct http_request *request, struct buffer *out, uint64_t total, bool done)
{
    char headers[256];
    (void)snprintf(headers, sizeof headers,
                   "X-Chronos-Output-Total: %llu\r\nX-Chronos-Output-Complete: %s\r\n"
                   "Content-Security-Policy: sandbox\r\nX-Content-Type-Options: nosniff\r\n",
                   (unsigned long long)total, done ? "true" : "false");
    bool is_text = utf8_valid(out->data, out->size, NULL);
    answer_bytes(api, request->token, 200, is_text ? "text/plain; charset=utf-8" : "application/octet-stream", out, headers);
}

API_HANDLER(handle_execution_output)
{
    struct api *api = arg;
    struct output_source source = {.attempt = 0};
    struct output_range range;
    struct buffer out;
    struct error err;
    struct id execution;
    int64_t attempt;
    uint64_t total = 0;
    bool done = true;
    buffer_init(&source.json, RUN_ANSWER_MAX);
    buffer_init(&out, API_ANSWER_MAX);
    enum status status = parse_range(request, &range, &attempt, &err);
    if (status == STATUS_OK)
        status = parse_execution_id(execution_param(match), &execution, &err);
    if (status == STATUS_OK)
        status = find_source(api, match, &execution, &source, &err);
    if (status == STATUS_OK) {
        if (attempt > 0)
            source.attempt = (uint32_t)attempt;
        status = read_output(api, &source, &range, &out, &total, &done, &err);
    }
    if (status == STATUS_OK)
        answer_output(api, request, &out, total, done);
    else
        answer_error(api, request->token, request->request_id, &err);
    buffer_deinit(&out);
    buffer_deinit(&source.json);
}

/* --- cancel --- */

static void on_cancelled(struct operation *operation, const struct cluster_outcome *outcome)
{
    struct api *api = operation->api;
    const struct id *execution = operation->data;
    struct state_view view;
    struct buffer body;
    struct error err;
    const char *what = outcome->result.status == STATUS_CONFLICT
                           ? "the execution has ended already"
                           : "no such execution; it may have left by retention";
    if (operation_failed(operation, outcome, what))
        return;
    buffer_init(&body, RUN_ANSWER_MAX);
    enum status status = state_view_begin(cluster_state(api->config.cluster), &view, &err);
    if (status == STATUS_OK) {
        status = execution_write(&view, execution, &body, &err);
        state_view_end(&view);
    }
    if (status == STATUS_OK)
        answer_json(api, operation->token, 202, &body, NULL);
    else
        answer_error(api, operation->token, operation->request_id, &err);
    buffer_deinit(&body);
    operation_end(operation);
}

/* Apply decides whether there is something to cancel; which job it is of, it does not know. */
static enum status check_cancel(struct api *api, const struct route_match *match, const struct id *execution,
                                struct error *err)
{
    struct state_view view;
    enum status status = state_view_begin(cluster_state(api->config.cluster), &view, err);
    if (status != STATUS_OK)
        return status;
    status = check_owner(&view, match, execution, err);
    state_view_end(&view);
    return status;
}

API_HANDLER(handle_execution_cancel)
{
    struct api *api = arg;
    struct error err;
    struct buffer command;
    struct id *execution = malloc(sizeof *execution);
    enum status status = execution == NULL ? error_set(&err, STATUS_NO_MEMORY, "out of memory")
                                           : parse_execution_id(execution_param(match), execution, &err);
    if (status == STATUS_OK)
        status = check_cancel(api, match, execution, &err);
    if (status != STATUS_OK) {
        free(execution);
        answer_error(api, request->token, request->request_id, &err);
        return;
    }
    struct operation *operation = operation_begin(api, request, on_cancelled, execution, free);
    if (operation == NULL)
        return;
    buffer_init(&command, ENTRY_SIZE_MAX);
    cancel_encode(&(struct cancel_run){.execution = *execution, .reason = REASON_USER}, 1, &command);
    operation_propose(operation, PROPOSE_REPORT, buffer_bytes(&command)); /* must get through on a full disk too */
    buffer_deinit(&command);
}

/* --- lists --- */

enum { KIND_EXECUTIONS = 'e', KIND_JOB_EXECUTIONS = 'j' };

/* What a list asks for. */
struct run_list_query {
    struct page page;
    bool by_job;
    struct id job;
    uint64_t serial;       /* found on the pool when only the name or id is known */
    char job_text[JOB_NAME_MAX + 1];
    bool has_status, has_trigger;
    enum run_status status;
    char trigger[32];
    int64_t since_ms, until_ms; /* of scheduled_time; 0: no bound */
    /* while it runs */
    struct state_view *view;
    struct json_writer *w;
    uint32_t listed, examined;
    struct id next;        /* where the next page begins */
    bool full;
};

static bool wants(const struct run_list_query *query, enum run_status status, enum run_trigger trigger, uint64_t serial,
                  int64_t scheduled_ms)
{
    if (query->by_job && serial != query->serial)
        return false;
    if (query->has_status && status != query->status)
        return false;
    if (query->has_trigger && strcmp(run_trigger_name(trigger), query->trigger) != 0)
        return false;
    if (query->since_ms != 0 && scheduled_ms < query->since_ms)
        return false;
    return query->until_ms == 0 || scheduled_ms < query->until_ms;
}

static enum run_status open_status(const struct open_run *open)
{
    return open->phase == PHASE_RUNNING ? RUN_RUNNING : RUN_PENDING;
}

static void list_open(struct run_list_query *query, const struct open_run *open)
{
    if (!wants(query, open_status(open), open->trigger, open->serial, open->scheduled_ms))
        return;
    struct buffer one;
    buffer_init(&one, RUN_ANSWER_MAX);
    open_run_json(open, &one);
    json_raw(query->w, one.data, one.size);
    buffer_deinit(&one);
    query->listed++;
}

static void list_finished(struct run_list_query *query, const struct execution_row *row)
{
    if (!wants(query, row->status, row->trigger, row->serial, row->scheduled_ms))
        return;
    json_raw(query->w, row->json.data, row->json.size);
    query->listed++;
}

/* Stops the walk at the row that belongs to the next page. */
static bool is_full(struct run_list_query *query, struct bytes key)
{
    if (query->listed < query->page.limit && query->examined < SCAN_ROWS_MAX)
        return false;
    query->full = true;
    memcpy(query->next.bytes, key.data, sizeof query->next.bytes);
    return true;
}

/* Two tables, both by id: the rows of `open` and of `executions` are merged, newest first. Few runs are open, so their ids are
 * read first; rows are decoded as they are listed. */
struct id_list {
    struct id *ids;
    uint32_t count, capacity;
};

static bool collect_id(void *arg, struct bytes key, struct bytes row)
{
    struct id_list *list = arg;
    (void)row;
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity == 0 ? 256 : list->capacity * 2;
        struct id *ids = list->count < SCAN_ROWS_MAX ? realloc(list->ids, capacity * sizeof *ids) : NULL;
        if (ids == NULL)
            return false;
        list->ids = ids;
        list->capacity = capacity;
    }
    memcpy(list->ids[list->count++].bytes, key.data, sizeof list->ids[0].bytes);
    return true;
}

static struct bytes id_bytes(const struct id *id)
{
    return (struct bytes){id->bytes, sizeof id->bytes};
}

static enum status list_open_id(struct run_list_query *query, const struct id *execution, struct error *err)
{
    static _Thread_local struct open_run open;
    enum status status = state_get_open(query->view, execution, &open, err);
    if (status == STATUS_OK)
        list_open(query, &open);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* Finished rows down to `floor` (exclusive; zero: to the end). */
struct finished_walk {
    struct run_list_query *query;
    struct id floor;
    enum status status;
    struct error *err;
};

static bool walk_finished(void *arg, struct bytes key, struct bytes row)
{
    struct finished_walk *walk = arg;
    struct execution_row finished;
    if (!id_is_zero(&walk->floor) && memcmp(key.data, walk->floor.bytes, sizeof walk->floor.bytes) < 0)
        return false;
    if (is_full(walk->query, key))
        return false;
    walk->query->examined++;
    walk->status = execution_row_decode(row, &finished, walk->err);
    if (walk->status == STATUS_OK)
        list_finished(walk->query, &finished);
    return walk->status == STATUS_OK;
}

static enum status list_down_to(struct run_list_query *query, const struct id *from, const struct id *floor, struct error *err)
{
    struct finished_walk walk = {.query = query, .floor = *floor, .status = STATUS_OK, .err = err};
    struct bytes start = id_is_zero(from) ? (struct bytes){NULL, 0} : id_bytes(from);
    enum status status = state_walk_table(query->view, STATE_EXECUTIONS, start, true, walk_finished, &walk, err);
    return walk.status != STATUS_OK ? walk.status : status;
}

static enum status list_all(struct run_list_query *query, struct error *err)
{
    static const struct id zero = {{0}};
    struct id_list open = {.ids = NULL};
    struct id from = zero;
    if (query->page.cursor_size == sizeof from.bytes)
        memcpy(from.bytes, query->page.cursor, sizeof from.bytes);
    struct bytes start = id_is_zero(&from) ? (struct bytes){NULL, 0} : id_bytes(&from);
    bool wants_open = !query->has_status || !run_status_terminal(query->status);
    enum status status =
        wants_open ? state_walk_table(query->view, STATE_OPEN, start, true, collect_id, &open, err) : STATUS_OK;
    for (uint32_t i = 0; i < open.count && status == STATUS_OK && !query->full; i++) {
        status = list_down_to(query, &from, &open.ids[i], err);
        if (status == STATUS_OK && !query->full && !is_full(query, id_bytes(&open.ids[i]))) {
            query->examined++;
            status = list_open_id(query, &open.ids[i], err);
        }
        from = open.ids[i];
    }
    if (status == STATUS_OK && !query->full && (!query->has_status || run_status_terminal(query->status)))
        status = list_down_to(query, &from, &zero, err);
    free(open.ids);
    return status;
}

/* A job's runs hang on a chain, newest first, through both tables. */
static enum status list_chain(struct run_list_query *query, struct error *err)
{
    static _Thread_local struct open_run open;
    struct job_marks marks;
    struct execution_row row;
    struct id at;
    enum status status = state_get_marks(query->view, query->serial, &marks, err);
    if (status == STATUS_NOT_FOUND)
        return STATUS_OK;
    at = marks.newest;
    if (query->page.cursor_size == sizeof at.bytes)
        memcpy(at.bytes, query->page.cursor, sizeof at.bytes);
    while (status == STATUS_OK && !id_is_zero(&at) && !is_full(query, id_bytes(&at))) {
        struct id previous = {{0}};
        query->examined++;
        status = state_get_open(query->view, &at, &open, err);
        if (status == STATUS_OK) {
            list_open(query, &open);
            previous = open.previous;
        } else if (status == STATUS_NOT_FOUND) {
            status = state_get_execution(query->view, &at, &row, err);
            if (status == STATUS_OK) {
                previous = row.previous;
                list_finished(query, &row);
            }
        }
        at = previous;
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status; /* the end of the chain has left by retention */
}

static enum status find_job(struct run_list_query *query, struct error *err)
{
    struct job_row row;
    enum status status =
        job_lookup(query->view, (struct bytes){query->job_text, strlen(query->job_text)}, &query->job, err);
    if (status == STATUS_OK)
        status = state_get_job(query->view, &query->job, &row, err);
    if (status == STATUS_OK)
        query->serial = row.serial;
    return status;
}

static enum status read_list(void *data, struct state_view *view, struct buffer *out, struct error *err)
{
    struct run_list_query *query = data;
    struct json_writer w = json_writer_on(out);
    query->view = view;
    query->w = &w;
    enum status status = query->by_job ? find_job(query, err) : STATUS_OK;
    json_object_begin(&w);
    json_key(&w, "executions");
    json_array_begin(&w);
    if (status == STATUS_OK)
        status = query->by_job ? list_chain(query, err) : list_all(query, err);
    json_array_end(&w);
    page_write_next(&w, query->by_job ? KIND_JOB_EXECUTIONS : KIND_EXECUTIONS,
                    query->full ? id_bytes(&query->next) : (struct bytes){NULL, 0});
    json_object_end(&w);
    return status;
}

static bool is_trigger(const char *text)
{
    for (int i = 0; i < RUN_TRIGGER_COUNT; i++)
        if (strcmp(run_trigger_name((enum run_trigger)i), text) == 0)
            return true;
    return false;
}

static enum status parse_filters(const struct http_request *request, struct run_list_query *query, struct error *err)
{
    static const char *const known[] = {"limit", "cursor", "status", "job", "since", "until", "trigger", "consistent", NULL};
    char text[32];
    enum status status = query_check(request, known, err), parsed = STATUS_OK;
    if (status != STATUS_OK)
        return status;
    if (http_query_get(request, "status", text, sizeof text, &parsed)) {
        if (parsed != STATUS_OK || !run_status_parse(text, &query->status))
            return error_set(err, STATUS_MALFORMED,
                             "query parameter status is one of pending, running, success, failed, timeout, cancelled, lost, "
                             "skipped");
        query->has_status = true;
    }
    query->has_trigger = http_query_get(request, "trigger", query->trigger, sizeof query->trigger, &parsed);
    if (query->has_trigger && (parsed != STATUS_OK || !is_trigger(query->trigger)))
        return error_set(err, STATUS_MALFORMED,
                         "query parameter trigger is one of schedule, manual, catchup, backfill, dependency, replay");
    if (http_query_get(request, "job", query->job_text, sizeof query->job_text, &parsed))
        query->by_job = true;
    if (parsed != STATUS_OK)
        return error_set(err, STATUS_MALFORMED, "query parameter job: bad percent-encoding, or too long");
    if (query_time(request, "since", &query->since_ms, &status, err) && status != STATUS_OK)
        return status;
    if (query_time(request, "until", &query->until_ms, &status, err) && status != STATUS_OK)
        return status;
    return page_parse(request, query->by_job ? KIND_JOB_EXECUTIONS : KIND_EXECUTIONS, &query->page, err);
}

static void start_list(struct api *api, const struct http_request *request, struct bytes job)
{
    struct error err;
    struct run_list_query *query = calloc(1, sizeof *query);
    if (query == NULL) {
        answer_problem(api, request->token, request->request_id, STATUS_NO_MEMORY, "", NULL);
        return;
    }
    enum status status = STATUS_OK;
    if (job.size > 0) {
        query->by_job = true;
        if (job.size >= sizeof query->job_text)
            status = error_set(&err, STATUS_NOT_FOUND, "no such job");
        else
            memcpy(query->job_text, job.data, job.size);
    }
    if (status == STATUS_OK)
        status = parse_filters(request, query, &err);
    if (status != STATUS_OK) {
        free(query);
        answer_error(api, request->token, request->request_id, &err);
        return;
    }
    scan_start(api, request, read_list, query, free);
}

API_HANDLER(handle_execution_list)
{
    (void)match;
    start_list(arg, request, (struct bytes){NULL, 0});
}

API_HANDLER(handle_job_executions)
{
    start_list(arg, request, match->params[0]);
}
