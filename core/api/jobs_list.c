/* GET /jobs: by name or by age, filtered, a page at a time. Read, and cut to the selected fields, on the pool; next slots are
 * asked for on the loop. */
#include "api/jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/masks.h"

enum {
    BY_NAME = 'n',
    BY_AGE = 'a',
    TAG_FILTERS_MAX = 8,
    FILTER_TEXT_SIZE = 256,
    KEYS_AT_ONCE = 256,
    KEY_MAX = JOB_NAME_MAX + 1,
    NEXT_TEXT_MAX = 4096, /* what the scheduler adds to a job */
};

struct tag_filter {
    char key[JOB_TAG_KEY_MAX + 1], value[JOB_TAG_VALUE_MAX + 1];
};
struct filter {
    bool has_enabled, enabled;
    char prefix[JOB_NAME_TEXT_SIZE];
    char executor[EXECUTOR_TEXT_SIZE];
    char words[FILTER_TEXT_SIZE]; /* q: part of the name or of the description */
    uint32_t tag_count;
    struct tag_filter tags[TAG_FILTERS_MAX];
};

/* A key of the table that is walked, and the job that it stands for. */
struct job_key {
    uint8_t bytes[KEY_MAX];
    size_t size;
    struct id id;
};

struct list {
    struct api *api;
    struct page page;
    char order; /* BY_NAME or BY_AGE */
    struct filter filter;
    struct job_fields fields;
    bool wants_next;        /* some field that only the scheduler knows */
    struct buffer scratch;
    /* the walk */
    struct state_view *view;
    struct job_key *keys;
    uint32_t key_count, key_at;
    bool exhausted;
    struct error *err;
    /* what was found: where each job's text ends, and its serial */
    struct found {
        size_t end;
        uint64_t serial;
    } *found;
    uint32_t found_count;
    struct job_key next; /* size 0: the list ends here */
};

static void discard(void *data)
{
    struct list *list = data;
    free(list->keys);
    free(list->found);
    buffer_deinit(&list->scratch);
    free(list);
}

/* --- keys, a stretch at a time: rows are read between the stretches, not while walking --- */

static bool has_prefix(const struct list *list, struct bytes name)
{
    size_t size = strlen(list->filter.prefix);
    return name.size >= size && memcmp(name.data, list->filter.prefix, size) == 0;
}

static bool collect_key(void *arg, struct bytes key, struct bytes row)
{
    struct list *list = arg;
    struct job_key *into = &list->keys[list->key_count];
    bool by_name = list->order == BY_NAME;
    if (key.size > KEY_MAX || (by_name && !has_prefix(list, key)) || (!by_name && key.size != sizeof into->id)) {
        list->exhausted = true;
        return false;
    }
    memcpy(into->bytes, key.data, key.size);
    into->size = key.size;
    /* A row of names ends in the id. */
    if (by_name && row.size >= sizeof into->id)
        memcpy(&into->id, (const char *)row.data + row.size - sizeof into->id, sizeof into->id);
    else if (!by_name)
        memcpy(&into->id, key.data, sizeof into->id);
    list->key_count++;
    list->exhausted = false;
    return list->key_count < KEYS_AT_ONCE;
}

static enum status collect(struct list *list, struct bytes from)
{
    list->key_count = list->key_at = 0;
    list->exhausted = true; /* unless the walk stops because the stretch is full */
    enum status status = state_walk_table(list->view, list->order == BY_NAME ? STATE_NAMES : STATE_JOBS, from, false,
                                          collect_key, list, list->err);
    if (list->key_count < KEYS_AT_ONCE)
        list->exhausted = true;
    return status;
}

/* The smallest key behind this one: it, and a zero byte. */
static struct bytes behind(const struct job_key *key, uint8_t out[KEY_MAX + 1])
{
    memcpy(out, key->bytes, key->size);
    out[key->size] = 0;
    return (struct bytes){out, key->size + 1};
}

/* NULL in *ret: the end. */
static enum status next_key(struct list *list, const struct job_key **ret)
{
    uint8_t from[KEY_MAX + 1];
    if (list->key_at == list->key_count && !list->exhausted) {
        struct bytes start = behind(&list->keys[list->key_count - 1], from);
        enum status status = collect(list, start);
        if (status != STATUS_OK)
            return status;
    }
    *ret = list->key_at < list->key_count ? &list->keys[list->key_at++] : NULL;
    return STATUS_OK;
}

static enum status first_keys(struct list *list)
{
    if (list->page.cursor_size > 0)
        return collect(list, (struct bytes){list->page.cursor, list->page.cursor_size});
    size_t size = list->order == BY_NAME ? strlen(list->filter.prefix) : 0;
    return collect(list, (struct bytes){list->filter.prefix, size});
}

/* --- filters --- */

static bool equals(struct bytes a, const char *b)
{
    return a.size == strlen(b) && memcmp(a.data, b, a.size) == 0;
}

/* A normalised document begins with the name, which needs no escapes. */
static struct bytes document_name(struct bytes document)
{
    static const char key[] = "{\"name\":\"";
    const size_t size = sizeof key - 1;
    if (document.size <= size || memcmp(document.data, key, size) != 0)
        return (struct bytes){"", 0};
    const char *at = (const char *)document.data + size;
    const char *quote = memchr(at, '"', document.size - size);
    return (struct bytes){at, quote != NULL ? (size_t)(quote - at) : 0};
}

static bool name_holds(struct bytes name, const char *words)
{
    size_t size = strlen(words);
    for (size_t at = 0; at + size <= name.size; at++)
        if (strncasecmp((const char *)name.data + at, words, size) == 0)
            return true;
    return false;
}

static bool tags_match(const struct filter *filter, const cJSON *document)
{
    const cJSON *tags = cJSON_GetObjectItemCaseSensitive(document, "tags");
    for (uint32_t i = 0; i < filter->tag_count; i++) {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(tags, filter->tags[i].key);
        if (!cJSON_IsString(value) || strcmp(value->valuestring, filter->tags[i].value) != 0)
            return false;
    }
    return true;
}

static bool words_match(const struct filter *filter, const cJSON *document)
{
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(document, "description");
    return cJSON_IsString(text) && strcasestr(text->valuestring, filter->words) != NULL;
}

/* What is cheap comes first; only tags and descriptions need the document parsed. */
static enum status matches(const struct filter *filter, const struct job_row *row, bool *ret, struct error *err)
{
    struct bytes name = document_name(row->document);
    bool named = filter->words[0] == '\0' || name_holds(name, filter->words);
    size_t prefix = strlen(filter->prefix);
    cJSON *document = NULL;
    *ret = false;
    if ((filter->has_enabled && filter->enabled != row->enabled) ||
        (name.size < prefix || memcmp(name.data, filter->prefix, prefix) != 0) ||
        (filter->executor[0] != '\0' && !equals(document_executor(row->document), filter->executor)))
        return STATUS_OK;
    if (named && filter->tag_count == 0) {
        *ret = true;
        return STATUS_OK;
    }
    enum status status = json_parse(row->document.data, row->document.size, &document, err);
    if (status != STATUS_OK)
        return error_wrap(err, "a stored job");
    *ret = tags_match(filter, document) && (named || words_match(filter, document));
    cJSON_Delete(document);
    return STATUS_OK;
}

/* --- the page --- */

/* What the state knows of a job: all of it, an object that is left open, or the selected fields, a closed one. */
static enum status write_stored(struct list *list, const struct job_key *key, const struct job_row *row, struct buffer *out)
{
    struct buffer *whole = list->fields.count > 0 ? &list->scratch : out;
    buffer_clear(&list->scratch);
    enum status status = job_write_stored(list->api, list->view, &key->id, row, whole, list->err);
    if (status != STATUS_OK || whole == out)
        return status;
    buffer_append_char(whole, '}');
    if (whole->failed != STATUS_OK)
        return error_set(list->err, whole->failed, "a job does not fit into memory");
    status = job_fields_select(&list->fields, buffer_bytes(whole), out, list->err);
    if (status == STATUS_OK && out->failed != STATUS_OK)
        status = error_set(list->err, out->failed, "the answer is too large; ask for fewer rows with limit=");
    return status;
}

static enum status add_job(struct list *list, const struct job_key *key, struct buffer *out)
{
    struct job_row row;
    bool wanted = false;
    enum status status = state_get_job(list->view, &key->id, &row, list->err);
    if (status == STATUS_NOT_FOUND)
        return error_set(list->err, STATUS_CORRUPT, "a job's name leads to no job");
    if (status == STATUS_OK)
        status = matches(&list->filter, &row, &wanted, list->err);
    if (status != STATUS_OK || !wanted)
        return status;
    uint64_t serial = row.serial;
    status = write_stored(list, key, &row, out);
    if (status == STATUS_OK)
        list->found[list->found_count++] = (struct found){.end = out->size, .serial = serial};
    return status;
}

static enum status read_page(void *data, struct state_view *view, struct buffer *out, struct error *err)
{
    struct list *list = data;
    const struct job_key *key = NULL;
    uint32_t examined = 0;
    list->view = view;
    list->err = err;
    list->keys = calloc(KEYS_AT_ONCE, sizeof *list->keys);
    list->found = calloc(list->page.limit, sizeof *list->found);
    if (list->keys == NULL || list->found == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    enum status status = first_keys(list);
    while (status == STATUS_OK && (status = next_key(list, &key)) == STATUS_OK && key != NULL) {
        if (list->found_count == list->page.limit || examined == SCAN_ROWS_MAX || out->size >= API_PAGE_BYTES) {
            list->next = *key;
            break;
        }
        examined++;
        status = add_job(list, key, out);
    }
    return status;
}

/* The selected ones of the fields that the scheduler adds, behind those of a closed object. */
static void append_selected_next(const struct list *list, struct bytes stored, uint64_t serial, struct buffer *out)
{
    struct error err;
    struct buffer next, selected;
    buffer_init(&next, NEXT_TEXT_MAX);
    buffer_init(&selected, NEXT_TEXT_MAX);
    job_write_next(list->api, serial, &next);
    enum status status = next.failed;
    if (status == STATUS_OK) {
        next.data[0] = '{'; /* in place of the comma */
        status = job_fields_select(&list->fields, buffer_bytes(&next), &selected, &err);
    }
    if (status == STATUS_OK)
        status = selected.failed;
    if (status != STATUS_OK) {
        out->failed = status;
    } else if (selected.size <= 2) {
        buffer_append(out, stored.data, stored.size);
    } else {
        buffer_append(out, stored.data, stored.size - 1);
        if (stored.size > 2)
            buffer_append_char(out, ',');
        buffer_append(out, selected.data + 1, selected.size - 1);
    }
    buffer_deinit(&selected);
    buffer_deinit(&next);
}

static void append_job(const struct list *list, struct bytes stored, uint64_t serial, struct buffer *out)
{
    if (list->wants_next) {
        append_selected_next(list, stored, serial, out);
        return;
    }
    buffer_append(out, stored.data, stored.size);
    if (list->fields.count == 0)
        job_write_next(list->api, serial, out);
}

static void finish_page(struct api *api, void *data, struct bytes read, struct buffer *out)
{
    const struct list *list = data;
    size_t begin = 0;
    (void)api; /* the list has it, too */
    buffer_append_string(out, "{\"jobs\":[");
    for (uint32_t i = 0; i < list->found_count; i++) {
        struct bytes stored = {(const char *)read.data + begin, list->found[i].end - begin};
        if (i > 0)
            buffer_append_char(out, ',');
        append_job(list, stored, list->found[i].serial, out);
        begin = list->found[i].end;
    }
    buffer_append_char(out, ']');
    struct buffer tail;
    buffer_init(&tail, 1024);
    struct json_writer w = json_writer_on(&tail);
    json_object_begin(&w);
    page_write_next(&w, list->order, (struct bytes){list->next.bytes, list->next.size});
    json_object_end(&w);
    if (tail.size > 1) {
        buffer_append_char(out, ',');
        buffer_append(out, tail.data + 1, tail.size - 1);
    } else {
        out->failed = STATUS_NO_MEMORY;
    }
    buffer_deinit(&tail);
}

/* --- the request --- */

/* Copies a parameter; "" where it is absent. */
static enum status read_text(const struct http_request *request, const char *name, char *out, size_t size,
                             struct error *err)
{
    enum status status = STATUS_OK;
    out[0] = '\0';
    if (!http_query_get(request, name, out, size, &status) || status == STATUS_OK)
        return STATUS_OK;
    if (status == STATUS_TOO_LARGE)
        return error_set(err, STATUS_MALFORMED, "query parameter %s is longer than %zu bytes", name, size - 1);
    return error_set(err, STATUS_MALFORMED, "query parameter %s: bad percent-encoding", name);
}

static enum status read_order(const struct http_request *request, struct list *list, struct error *err)
{
    char text[32];
    enum status status = read_text(request, "sort", text, sizeof text, err);
    if (status != STATUS_OK)
        return status;
    if (text[0] != '\0' && strcmp(text, "name") != 0 && strcmp(text, "created_at") != 0)
        return error_set(err, STATUS_MALFORMED, "query parameter sort is name or created_at");
    list->order = text[0] == 'c' ? BY_AGE : BY_NAME;
    return STATUS_OK;
}

static enum status read_tags(const struct http_request *request, struct filter *filter, struct error *err)
{
    static const char prefix[] = "tag.";
    char name[sizeof prefix + JOB_TAG_KEY_MAX], value[FILTER_TEXT_SIZE];
    size_t cursor = 0;
    enum status status = STATUS_OK;
    while (http_query_next(request, &cursor, name, sizeof name, value, sizeof value, &status)) {
        if (status == STATUS_TOO_LARGE && strncmp(name, prefix, sizeof prefix - 1) != 0)
            continue; /* another parameter, which has its own limit */
        if (status != STATUS_OK)
            return error_set(err, STATUS_MALFORMED, "a query parameter is too long or badly encoded");
        if (strncmp(name, prefix, sizeof prefix - 1) != 0)
            continue;
        if (filter->tag_count == TAG_FILTERS_MAX)
            return error_set(err, STATUS_MALFORMED, "at most %d tags can be asked for at once", TAG_FILTERS_MAX);
        struct tag_filter *tag = &filter->tags[filter->tag_count++];
        (void)snprintf(tag->key, sizeof tag->key, "%s", name + sizeof prefix - 1);
        (void)snprintf(tag->value, sizeof tag->value, "%s", value);
    }
    return STATUS_OK;
}

static enum status read_filter(const struct http_request *request, struct filter *filter, struct error *err)
{
    enum status status = STATUS_OK;
    filter->has_enabled = query_bool(request, "enabled", &filter->enabled, &status, err);
    if (status == STATUS_OK)
        status = read_text(request, "name", filter->prefix, sizeof filter->prefix, err);
    if (status == STATUS_OK)
        status = read_text(request, "executor", filter->executor, sizeof filter->executor, err);
    if (status == STATUS_OK)
        status = read_text(request, "q", filter->words, sizeof filter->words, err);
    return status == STATUS_OK ? read_tags(request, filter, err) : status;
}

/* A cursor of the other order is none of this list: its kind differs. One whose key cannot be ours is refused, too. */
static enum status read_page_query(const struct http_request *request, struct list *list, struct error *err)
{
    enum status status = page_parse(request, list->order, &list->page, err);
    if (status != STATUS_OK || list->page.cursor_size == 0)
        return status;
    struct bytes key = {list->page.cursor, list->page.cursor_size};
    bool fits = key.size == sizeof(struct id);
    if (list->order == BY_NAME)
        fits = key.size <= JOB_NAME_MAX && has_prefix(list, key);
    if (fits)
        return STATUS_OK;
    return error_set(err, STATUS_MALFORMED, "this cursor is not of this list; begin again without one");
}

static bool selects_next(const struct job_fields *fields)
{
    for (uint32_t i = 0; i < fields->count; i++)
        if (strcmp(fields->names[i], "next_run") == 0 || strcmp(fields->names[i], "held") == 0)
            return true;
    return false;
}

API_HANDLER(handle_job_list)
{
    static const char *const known[] = {"limit", "cursor",   "sort", "fields", "enabled",
                                        "name",  "executor", "q",    "tag.",   NULL};
    struct api *api = arg;
    struct error err;
    struct list *list = calloc(1, sizeof *list);
    (void)match;
    if (list == NULL) {
        answer_problem(api, request->token, request->request_id, STATUS_NO_MEMORY, "", NULL);
        return;
    }
    list->api = api;
    buffer_init(&list->scratch, JOB_TEXT_MAX);
    enum status status = query_check(request, known, &err);
    if (status == STATUS_OK)
        status = read_order(request, list, &err);
    if (status == STATUS_OK)
        status = read_filter(request, &list->filter, &err);
    if (status == STATUS_OK)
        status = job_fields_parse(request, &list->fields, &err);
    list->wants_next = status == STATUS_OK && selects_next(&list->fields);
    if (status == STATUS_OK)
        status = read_page_query(request, list, &err);
    if (status != STATUS_OK) {
        answer_error(api, request->token, request->request_id, &err);
        discard(list);
        return;
    }
    scan_start_finish(api, request, read_page, finish_page, list, discard);
}
