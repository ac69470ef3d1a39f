/* One job: found by id or name, written, what it will do and what it did not do. */
#include "api/jobs.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/job_document.h"
#include "api/job_schedule.h"
#include "api/masks.h"

enum {
    UPCOMING_DEFAULT = 10,
    UPCOMING_MAX = 128 * 1024,
    MISSED_MAX = 1 << 20,
    QUOTED_MAX = 140,
    FIELDS_TEXT_SIZE = 1024,
    RUNTIME_FIELDS_SIZE = 384, /* what an answer has beside the document */
};

static const char *const job_field_names[] = {
    "id", "name", "description", "schedule", "timezone", "dst_gap", "dst_overlap", "day_match", "executor", "config",
    "timeout", "concurrency", "max_concurrent", "missed_run_policy", "catchup_window", "catchup_limit", "on_node_loss",
    "on_lease_loss", "retry_policy", "tags", "placement", "enabled", "version", "created_at", "updated_at", "updated_by", "last_run", "last_status",
    "running", "next_run", "held", NULL};
static_assert(sizeof job_field_names / sizeof job_field_names[0] <= JOB_FIELDS_MAX, "a selection holds all of them");

/* --- finding --- */

static enum status no_job(struct bytes text, struct error *err)
{
    int size = (int)utf8_cut(text.data, text.size, QUOTED_MAX);
    return error_set(err, STATUS_NOT_FOUND, "there is no job \"%.*s\"; GET /api/v1/jobs lists them", size,
                     (const char *)text.data);
}

enum status job_lookup(struct state_view *view, struct bytes text, struct id *ret, struct error *err)
{
    struct job_row row;
    struct id id;
    enum status status;
    if (id_parse(JOB_ID_PREFIX, text.data, text.size, &id))
        status = state_get_job(view, &id, &row, err);
    else
        status = state_find_job(view, text.data, text.size, &id, err);
    if (status == STATUS_NOT_FOUND)
        return no_job(text, err);
    if (status == STATUS_OK)
        *ret = id;
    return status;
}

/* --- writing --- */

static enum status append_masked(const struct api *api, struct bytes document, struct buffer *out, struct error *err)
{
    cJSON *json = NULL;
    enum status status = json_parse(document.data, document.size, &json, err);
    if (status != STATUS_OK)
        return error_wrap(err, "a stored job");
    bool masked = masks_apply(api->masks, json);
    if (masked)
        json_print(out, json);
    cJSON_Delete(json);
    return masked ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "out of memory");
}

static void append_time(struct buffer *out, const char *key, int64_t ms)
{
    char text[TIME_TEXT_SIZE];
    buffer_append_string(out, ",\"");
    buffer_append_string(out, key);
    if (ms == 0) {
        buffer_append_string(out, "\":null");
        return;
    }
    time_format(ms, text);
    buffer_append_string(out, "\":\"");
    buffer_append_string(out, text);
    buffer_append_char(out, '"');
}

/* By hand: this is what a list of a thousand jobs does a thousand times. The id, then the document without its first
 * brace; it must be copied before the next read of the view. */
enum status job_write_stored(const struct api *api, struct state_view *view, const struct id *id,
                             const struct job_row *row, struct buffer *out, struct error *err)
{
    struct job_marks marks = {.last_status = RUN_PENDING};
    char text[ID_TEXT_SIZE];
    if (row->document.size < 2)
        return error_set(err, STATUS_CORRUPT, "a stored job is empty");
    id_format(JOB_ID_PREFIX, id, text);
    buffer_expect(out, row->document.size + RUNTIME_FIELDS_SIZE);
    buffer_append_string(out, "{\"id\":\"");
    buffer_append_string(out, text);
    buffer_append_string(out, "\",");
    size_t begin = out->size;
    enum status status = STATUS_OK;
    if (masks_needed(api->masks, row->document))
        status = append_masked(api, row->document, out, err);
    else
        buffer_append(out, row->document.data, row->document.size);
    if (status == STATUS_OK && row->serial != 0)
        status = state_get_marks(view, row->serial, &marks, err);
    if (status != STATUS_OK)
        return status == STATUS_NOT_FOUND ? error_set(err, STATUS_CORRUPT, "job %s has no marks", text) : status;
    if (out->failed != STATUS_OK)
        return error_set(err, out->failed, "the answer is too large; ask for fewer rows with limit=");
    memmove(out->data + begin, out->data + begin + 1, out->size - begin - 1);
    out->size -= 2; /* both braces of the document */
    buffer_append_string(out, row->enabled ? ",\"enabled\":true,\"version\":" : ",\"enabled\":false,\"version\":");
    buffer_append_int(out, row->version);
    append_time(out, "created_at", row->created_ms);
    append_time(out, "updated_at", row->updated_ms);
    buffer_append_string(out, ",\"updated_by\":null");
    append_time(out, "last_run", marks.last_run_ms);
    if (marks.last_status == RUN_PENDING) {
        buffer_append_string(out, ",\"last_status\":null");
    } else {
        buffer_append_string(out, ",\"last_status\":\"");
        buffer_append_string(out, run_status_name(marks.last_status));
        buffer_append_char(out, '"');
    }
    buffer_append_string(out, ",\"running\":");
    buffer_append_int(out, marks.active - marks.waiting);
    return STATUS_OK;
}

void job_write_next(const struct api *api, uint64_t serial, struct buffer *out)
{
    int64_t next_ms;
    const char *held = scheduler_job_held(api->config.scheduler, serial);
    append_time(out, "next_run", scheduler_job_next(api->config.scheduler, serial, &next_ms) ? next_ms : 0);
    if (held[0] != '\0') {
        struct json_writer w = json_writer_on(out);
        buffer_append_string(out, ",\"held\":");
        json_string(&w, held);
    }
    buffer_append_char(out, '}');
}

enum status job_write(struct api *api, struct state_view *view, const struct id *id, const struct job_row *row,
                      struct buffer *out, struct error *err)
{
    uint64_t serial = row->serial;
    enum status status = job_write_stored(api, view, id, row, out, err);
    if (status != STATUS_OK)
        return status;
    job_write_next(api, serial, out);
    return out->failed == STATUS_OK ? STATUS_OK : error_set(err, out->failed, "the answer is too large");
}

/* --- selecting fields --- */

static enum status add_field(struct job_fields *fields, const char *name, struct error *err)
{
    for (size_t i = 0; job_field_names[i] != NULL; i++) {
        if (strcmp(job_field_names[i], name) != 0)
            continue;
        for (uint32_t field = 0; field < fields->count; field++)
            if (fields->names[field] == job_field_names[i])
                return STATUS_OK; /* twice is once */
        fields->names[fields->count++] = job_field_names[i];
        return STATUS_OK;
    }
    const char *near = nearest_word(name, job_field_names);
    if (near != NULL)
        return error_set(err, STATUS_MALFORMED, "fields: a job has no \"%s\"; did you mean \"%s\"?", name, near);
    return error_set(err, STATUS_MALFORMED, "fields: a job has no \"%s\"", name);
}

enum status job_fields_parse(const struct http_request *request, struct job_fields *ret, struct error *err)
{
    char text[FIELDS_TEXT_SIZE], *rest = text, *name;
    enum status status = STATUS_OK;
    *ret = (struct job_fields){.count = 0};
    if (!http_query_get(request, "fields", text, sizeof text, &status))
        return STATUS_OK;
    if (status != STATUS_OK)
        return error_set(err, STATUS_MALFORMED, "query parameter fields is too long or badly encoded");
    while (status == STATUS_OK && (name = strsep(&rest, ",")) != NULL)
        status = add_field(ret, name, err);
    return status;
}

enum status job_fields_select(const struct job_fields *fields, struct bytes text, struct buffer *out, struct error *err)
{
    cJSON *json = NULL;
    if (fields->count == 0) {
        buffer_append(out, text.data, text.size);
        return STATUS_OK;
    }
    enum status status = json_parse(text.data, text.size, &json, err);
    if (status != STATUS_OK)
        return status;
    struct json_writer w = json_writer_on(out);
    struct buffer value;
    buffer_init(&value, JOB_TEXT_MAX);
    json_object_begin(&w);
    for (uint32_t i = 0; i < fields->count; i++) {
        const cJSON *member = cJSON_GetObjectItemCaseSensitive(json, fields->names[i]);
        buffer_clear(&value);
        if (member != NULL)
            json_print(&value, member);
        if (value.size == 0)
            continue;
        json_key(&w, fields->names[i]);
        json_raw(&w, value.data, value.size);
    }
    json_object_end(&w);
    buffer_deinit(&value);
    cJSON_Delete(json);
    return STATUS_OK;
}

/* --- versions --- */

void etag_header(uint32_t version, char out[ETAG_HEADER_SIZE])
{
    (void)snprintf(out, ETAG_HEADER_SIZE, "ETag: \"%u\"\r\n", version);
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return at;
}

/* `at` stands behind the opening quote. NULL: it never closes. */
static const char *read_tag(const char *at, const char *end, uint32_t version, bool *ret_equal)
{
    char wanted[16];
    const char *quote = at < end ? memchr(at, '"', (size_t)(end - at)) : NULL;
    int size = snprintf(wanted, sizeof wanted, "%u", version);
    if (quote == NULL)
        return NULL;
    *ret_equal = quote - at == size && memcmp(at, wanted, (size_t)size) == 0;
    return quote + 1;
}

enum status etag_matches(struct bytes list, bool weak, uint32_t version, bool *ret, struct error *err)
{
    const char *at = list.data, *end = at + list.size;
    bool matches = false, more = true;
    at = skip_blanks(at, end);
    if (end - at == 1 && *at == '*') {
        *ret = true;
        return STATUS_OK;
    }
    while (more) {
        bool equal = false, is_weak = end - at > 2 && at[0] == 'W' && at[1] == '/';
        at = is_weak ? at + 2 : at;
        at = at < end && *at == '"' ? read_tag(at + 1, end, version, &equal) : NULL;
        if (at == NULL)
            return error_set(err, STATUS_MALFORMED,
                             "If-Match and If-None-Match take a version in quotes, as ETag gives it (\"3\"), or *");
        matches = matches || (equal && (weak || !is_weak));
        at = skip_blanks(at, end);
        more = at < end && *at == ',';
        at = more ? skip_blanks(at + 1, end) : at;
    }
    if (at != end)
        return error_set(err, STATUS_MALFORMED,
                         "If-Match and If-None-Match take versions in quotes, with commas between them");
    *ret = matches;
    return STATUS_OK;
}

/* --- GET /jobs/{job} --- */

struct job_answer {
    struct buffer body;
    char etag[ETAG_HEADER_SIZE];
    bool not_modified;
};

static enum status read_job(struct api *api, const struct http_request *request, struct bytes text,
                            const struct job_fields *fields, struct job_answer *ret, struct error *err)
{
    struct state_view view;
    struct job_row row;
    struct id id;
    struct bytes none_match = http_header_get(request, "If-None-Match");
    enum status status = state_view_begin(cluster_state(api->config.cluster), &view, err);
    if (status != STATUS_OK)
        return status;
    status = job_lookup(&view, text, &id, err);
    if (status == STATUS_OK)
        status = state_get_job(&view, &id, &row, err);
    if (status == STATUS_OK && none_match.data != NULL)
        status = etag_matches(none_match, true, row.version, &ret->not_modified, err);
    if (status == STATUS_OK) {
        etag_header(row.version, ret->etag);
        if (!ret->not_modified)
            status = job_write(api, &view, &id, &row, &ret->body, err);
    }
    state_view_end(&view);
    if (status != STATUS_OK || fields->count == 0)
        return status;
    struct buffer selected;
    buffer_init(&selected, JOB_TEXT_MAX);
    if (!ret->not_modified)
        status = job_fields_select(fields, buffer_bytes(&ret->body), &selected, err);
    buffer_deinit(&ret->body);
    ret->body = selected;
    return status;
}

API_HANDLER(handle_job_get)
{
    static const char *const known[] = {"fields", NULL};
    struct api *api = arg;
    struct error err;
    struct job_fields fields;
    struct job_answer answer = {.not_modified = false};
    buffer_init(&answer.body, JOB_TEXT_MAX);
    enum status status = query_check(request, known, &err);
    if (status == STATUS_OK)
        status = job_fields_parse(request, &fields, &err);
    if (status == STATUS_OK)
        status = read_job(api, request, match->params[0], &fields, &answer, &err);
    if (status == STATUS_OK && !answer.not_modified) {
        answer_json(api, request->token, 200, &answer.body, answer.etag);
        return;
    }
    buffer_deinit(&answer.body);
    if (status == STATUS_OK)
        answer_empty(api, request->token, 304, answer.etag);
    else
        answer_error(api, request->token, request->request_id, &err);
}

/* --- GET /jobs/{job}/upcoming --- */

static void write_upcoming(struct json_writer *w, const struct job_spec *spec, const struct schedule *schedule,
                           int64_t from_ms, int64_t count)
{
    char text[ID_TEXT_SIZE];
    id_format(JOB_ID_PREFIX, &spec->id, text);
    json_object_begin(w);
    json_member_string(w, "job_id", text);
    json_member_string(w, "job_name", spec->name);
    json_member_bool(w, "enabled", spec->enabled);
    json_member_string(w, "timezone", spec->timezone);
    schedule_write_next(w, "upcoming", schedule, from_ms, count);
    json_object_end(w);
}

static enum status read_upcoming(struct api *api, struct bytes text, int64_t from_ms, int64_t count, struct buffer *out,
                                 struct error *err)
{
    struct state_view view;
    struct job_row row;
    struct job_spec spec;
    struct id id;
    struct schedule *schedule = NULL;
    enum status status = state_view_begin(cluster_state(api->config.cluster), &view, err);
    if (status != STATUS_OK)
        return status;
    status = job_lookup(&view, text, &id, err);
    if (status == STATUS_OK)
        status = state_get_job(&view, &id, &row, err);
    if (status == STATUS_OK)
        status = state_get_spec(&view, row.serial, &spec, err);
    if (status == STATUS_OK)
        status = job_spec_compile(&spec, api->config.scheduler, &schedule, err);
    if (status == STATUS_OK) {
        struct json_writer w = json_writer_on(out);
        write_upcoming(&w, &spec, schedule, from_ms, count);
        schedule_free(schedule);
    }
    state_view_end(&view);
    return status;
}

API_HANDLER(handle_job_upcoming)
{
    static const char *const known[] = {"count", "from", NULL};
    struct api *api = arg;
    struct error err;
    struct buffer body;
    int64_t count = UPCOMING_DEFAULT, from_ms = cluster_now_ms(api->config.cluster);
    enum status status = query_check(request, known, &err);
    if (status == STATUS_OK)
        (void)query_int(request, "count", 1, UPCOMING_COUNT_MAX, &count, &status, &err);
    if (status == STATUS_OK)
        (void)query_time(request, "from", &from_ms, &status, &err);
    buffer_init(&body, UPCOMING_MAX);
    if (status == STATUS_OK)
        status = read_upcoming(api, match->params[0], from_ms, count, &body, &err);
    if (status == STATUS_OK) {
        answer_json(api, request->token, 200, &body, NULL);
        return;
    }
    buffer_deinit(&body);
    answer_error(api, request->token, request->request_id, &err);
}

/* --- GET /jobs/{job}/missed: slots that were due and did not run, newest first --- */

enum { MISSED_CURSOR = 'm', RANGE_KEY_SIZE = 16 };

struct missed {
    struct json_writer w;
    uint8_t serial[8];
    uint32_t left;
    uint8_t next[RANGE_KEY_SIZE]; /* where the next page begins */
    bool has_next;
    struct error *err;
    enum status status;
};

static bool write_range(void *arg, struct bytes key, struct bytes row)
{
    struct missed *missed = arg;
    struct dropped_range range;
    if (key.size != RANGE_KEY_SIZE || memcmp(key.data, missed->serial, sizeof missed->serial) != 0)
        return false;
    if (missed->left == 0) {
        memcpy(missed->next, key.data, RANGE_KEY_SIZE);
        missed->has_next = true;
        return false;
    }
    missed->left--;
    missed->status = dropped_range_decode(key, row, &range, missed->err);
    if (missed->status != STATUS_OK)
        return false;
    json_object_begin(&missed->w);
    json_member_time(&missed->w, "first", range.first_ms);
    json_member_time(&missed->w, "last", range.last_ms);
    json_member_int(&missed->w, "count", (int64_t)range.count);
    json_member_bool(&missed->w, "at_least", range.at_least);
    json_member_string(&missed->w, "reason", reason_name(range.reason));
    json_member_time(&missed->w, "decided_at", range.decided_ms);
    json_object_end(&missed->w);
    return true;
}

static enum status newest_range_key(uint64_t serial, uint8_t out[RANGE_KEY_SIZE], struct error *err)
{
    struct buffer key, row;
    const struct dropped_range last = {.serial = serial, .first_ms = INT64_MAX, .last_ms = INT64_MAX};
    buffer_init(&key, 64);
    buffer_init(&row, 256);
    dropped_range_encode(&last, &key, &row);
    bool fits = key.size == RANGE_KEY_SIZE;
    if (fits)
        memcpy(out, key.data, RANGE_KEY_SIZE);
    buffer_deinit(&key);
    buffer_deinit(&row);
    return fits ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "out of memory");
}

/* The cursor must be one of this very job. */
static enum status first_key(const struct page *page, uint64_t serial, uint8_t out[RANGE_KEY_SIZE], struct error *err)
{
    enum status status = newest_range_key(serial, out, err);
    if (status != STATUS_OK || page->cursor_size == 0)
        return status;
    if (page->cursor_size != RANGE_KEY_SIZE || memcmp(page->cursor, out, 8) != 0)
        return error_set(err, STATUS_MALFORMED, "this cursor is not of this list; begin again without one");
    memcpy(out, page->cursor, RANGE_KEY_SIZE);
    return STATUS_OK;
}

static enum status read_missed(struct state_view *view, struct bytes text, const struct page *page, struct buffer *out,
                               struct error *err)
{
    struct missed missed = {.w = json_writer_on(out), .left = page->limit, .err = err};
    struct job_row row;
    struct id id;
    uint8_t from[RANGE_KEY_SIZE];
    enum status status = job_lookup(view, text, &id, err);
    if (status == STATUS_OK)
        status = state_get_job(view, &id, &row, err);
    if (status == STATUS_OK)
        status = first_key(page, row.serial, from, err);
    if (status != STATUS_OK)
        return status;
    memcpy(missed.serial, from, sizeof missed.serial);
    json_object_begin(&missed.w);
    json_key(&missed.w, "missed");
    json_array_begin(&missed.w);
    status = state_walk_table(view, STATE_RANGES, (struct bytes){from, sizeof from}, true, write_range, &missed, err);
    if (status == STATUS_OK)
        status = missed.status;
    if (status != STATUS_OK)
        return status;
    json_array_end(&missed.w);
    page_write_next(&missed.w, MISSED_CURSOR, (struct bytes){missed.next, missed.has_next ? sizeof missed.next : 0});
    json_object_end(&missed.w);
    return STATUS_OK;
}

API_HANDLER(handle_job_missed)
{
    static const char *const known[] = {"limit", "cursor", NULL};
    struct api *api = arg;
    struct error err;
    struct buffer body;
    struct page page;
    struct state_view view;
    enum status status = query_check(request, known, &err);
    buffer_init(&body, MISSED_MAX);
    if (status == STATUS_OK)
        status = page_parse(request, MISSED_CURSOR, &page, &err);
    if (status == STATUS_OK)
        status = state_view_begin(cluster_state(api->config.cluster), &view, &err);
    if (status == STATUS_OK) {
        status = read_missed(&view, match->params[0], &page, &body, &err);
        state_view_end(&view);
    }
    if (status == STATUS_OK) {
        answer_json(api, request->token, 200, &body, NULL);
        return;
    }
    buffer_deinit(&body);
    answer_error(api, request->token, request->request_id, &err);
}
