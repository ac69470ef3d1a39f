/* Lists of runs, newest first: all of them, merged from the tables of open and finished ones; those that failed, from their
 * index; or those of one job along its chain. */
#include "api/api_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/codec.h"

enum { RUN_ANSWER_MAX = 1 << 20 };

enum { KIND_EXECUTIONS = 'e', KIND_JOB_EXECUTIONS = 'j' };

enum {
    IDS_AT_ONCE = 256,
    SERIAL_SIZE = 8, /* a key of open_by_job begins with it, big-endian; the id of the run follows */
    OPEN_BY_JOB_KEY_SIZE = SERIAL_SIZE + sizeof(struct id),
};

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
    if (one.failed != STATUS_OK)
        query->w->out->failed = one.failed;
    else
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
    if (query->listed < query->page.limit && query->examined < SCAN_ROWS_MAX && query->w->out->size < API_PAGE_BYTES)
        return false;
    query->full = true;
    memcpy(query->next.bytes, key.data, sizeof query->next.bytes);
    return true;
}

static struct bytes id_bytes(const struct id *id)
{
    return (struct bytes){id->bytes, sizeof id->bytes};
}

/* Zero: the page begins with the newest. */
static struct id cursor_id(const struct page *page)
{
    struct id id = {{0}};
    if (page->cursor_size == sizeof id.bytes)
        memcpy(id.bytes, page->cursor, sizeof id.bytes);
    return id;
}

static bool wants_only_open(const struct run_list_query *query)
{
    return query->has_status && !run_status_terminal(query->status);
}

/* --- all runs --- */

/* Two tables, both by id: the rows of `open` and of `executions` are merged, newest first. Few runs are open, so their ids are
 * read first; rows are decoded as they are listed. */
struct id_list {
    struct id *ids;
    uint32_t count, capacity;
    bool failed; /* out of memory */
};

static bool collect_id(void *arg, struct bytes key, struct bytes row)
{
    struct id_list *list = arg;
    (void)row;
    if (key.size != sizeof list->ids[0].bytes || list->count > SCAN_ROWS_MAX) /* the page is full before the last of them */
        return false;
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity == 0 ? IDS_AT_ONCE : list->capacity * 2;
        struct id *ids = realloc(list->ids, capacity * sizeof *ids);
        list->failed = ids == NULL;
        if (ids == NULL)
            return false;
        list->ids = ids;
        list->capacity = capacity;
    }
    memcpy(list->ids[list->count++].bytes, key.data, sizeof list->ids[0].bytes);
    return true;
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
    struct id from = cursor_id(&query->page);
    struct bytes start = id_is_zero(&from) ? (struct bytes){NULL, 0} : id_bytes(&from);
    bool wants_open = !query->has_status || wants_only_open(query);
    enum status status =
        wants_open ? state_walk_table(query->view, STATE_OPEN, start, true, collect_id, &open, err) : STATUS_OK;
    if (status == STATUS_OK && open.failed)
        status = error_set(err, STATUS_NO_MEMORY, "out of memory");
    for (uint32_t i = 0; i < open.count && status == STATUS_OK && !query->full; i++) {
        status = list_down_to(query, &from, &open.ids[i], err);
        if (status == STATUS_OK && !query->full && !is_full(query, id_bytes(&open.ids[i]))) {
            query->examined++;
            status = list_open_id(query, &open.ids[i], err);
        }
        from = open.ids[i];
    }
    if (status == STATUS_OK && !query->full && !wants_only_open(query))
        status = list_down_to(query, &from, &zero, err);
    free(open.ids);
    return status;
}

/* --- those that failed --- */

static bool is_indexed(const struct run_list_query *query)
{
    return query->has_status &&
           (query->status == RUN_FAILED || query->status == RUN_TIMEOUT || query->status == RUN_LOST);
}

static enum status list_indexed(struct run_list_query *query, const struct id *execution, struct error *err)
{
    struct execution_row row;
    query->examined++;
    enum status status = state_get_execution(query->view, execution, &row, err);
    if (status == STATUS_NOT_FOUND)
        return error_set(err, STATUS_CORRUPT, "the table of failed runs names one that is not there");
    if (status == STATUS_OK)
        list_finished(query, &row);
    return status;
}

/* A stretch of the index: rows are read between the stretches, not while walking. */
struct id_stretch {
    struct id ids[IDS_AT_ONCE];
    uint32_t count;
};

static bool collect_failed(void *arg, struct bytes key, struct bytes row)
{
    struct id_stretch *stretch = arg;
    (void)row;
    if (key.size != sizeof stretch->ids[0].bytes)
        return false;
    memcpy(stretch->ids[stretch->count++].bytes, key.data, key.size);
    return stretch->count < IDS_AT_ONCE;
}

static enum status list_failed(struct run_list_query *query, struct error *err)
{
    struct id_stretch stretch = {.count = IDS_AT_ONCE};
    struct id from = cursor_id(&query->page);
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !query->full && stretch.count == IDS_AT_ONCE) {
        struct bytes start = id_is_zero(&from) ? (struct bytes){NULL, 0} : id_bytes(&from);
        stretch.count = 0;
        status = state_walk_table(query->view, STATE_FAILED, start, true, collect_failed, &stretch, err);
        /* The last of a full stretch is the first of the next one. */
        uint32_t count = stretch.count < IDS_AT_ONCE ? stretch.count : IDS_AT_ONCE - 1;
        for (uint32_t i = 0; i < count && status == STATUS_OK && !is_full(query, id_bytes(&stretch.ids[i])); i++)
            status = list_indexed(query, &stretch.ids[i], err);
        from = stretch.ids[IDS_AT_ONCE - 1];
    }
    return status;
}

/* --- those of one job --- */

struct open_search {
    uint8_t from[OPEN_BY_JOB_KEY_SIZE];
    struct id found;
};

static bool take_older(void *arg, struct bytes key, struct bytes row)
{
    struct open_search *search = arg;
    (void)row;
    if (key.size != sizeof search->from || memcmp(key.data, search->from, SERIAL_SIZE) != 0)
        return false; /* of another job */
    if (memcmp(key.data, search->from, key.size) == 0)
        return true;
    memcpy(search->found.bytes, (const uint8_t *)key.data + SERIAL_SIZE, sizeof search->found.bytes);
    return false;
}

/* The job's newest open run that is older than `than`; zero: there is none. */
static enum status find_older_open(struct run_list_query *query, const struct id *than, struct id *ret, struct error *err)
{
    struct open_search search = {.found = {{0}}};
    store_be64(search.from, query->serial);
    memcpy(search.from + SERIAL_SIZE, than->bytes, sizeof than->bytes);
    enum status status = state_walk_table(query->view, STATE_OPEN_BY_JOB, (struct bytes){search.from, sizeof search.from},
                                          true, take_older, &search, err);
    if (status == STATUS_OK)
        *ret = search.found;
    return status;
}

/* One run of the chain and the one before it. NOT_FOUND: it has left by retention. */
static enum status list_link(struct run_list_query *query, const struct id *execution, struct id *ret_previous,
                             struct error *err)
{
    static _Thread_local struct open_run open;
    struct execution_row row;
    query->examined++;
    enum status status = state_get_open(query->view, execution, &open, err);
    if (status == STATUS_OK) {
        list_open(query, &open);
        *ret_previous = open.previous;
    }
    if (status != STATUS_NOT_FOUND)
        return status;
    status = state_get_execution(query->view, execution, &row, err);
    if (status == STATUS_OK) {
        *ret_previous = row.previous;
        list_finished(query, &row);
    }
    return status;
}

static enum status find_first(struct run_list_query *query, struct id *ret, struct error *err)
{
    struct job_marks marks;
    *ret = cursor_id(&query->page);
    if (!id_is_zero(ret))
        return STATUS_OK;
    if (wants_only_open(query)) {
        struct id newest;
        memset(newest.bytes, 0xff, sizeof newest.bytes);
        return find_older_open(query, &newest, ret, err);
    }
    enum status status = state_get_marks(query->view, query->serial, &marks, err);
    if (status == STATUS_OK)
        *ret = marks.newest;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* A job's runs hang on a chain, newest first, through both tables. Retention takes ended runs and cuts the chain there, while
 * an open one may stand behind the cut: the table of the job's open runs leads on to it, and its own chain further. Each
 * step over a cut leads to a lower id than all before, so the walk ends. */
static enum status list_chain(struct run_list_query *query, struct error *err)
{
    struct id at, oldest;
    enum status status = find_first(query, &at, err);
    oldest = at;
    while (status == STATUS_OK && !id_is_zero(&at) && !is_full(query, id_bytes(&at))) {
        struct id previous;
        if (id_compare(&at, &oldest) < 0)
            oldest = at;
        status = list_link(query, &at, &previous, err);
        if (status == STATUS_NOT_FOUND || (status == STATUS_OK && wants_only_open(query)))
            status = find_older_open(query, &oldest, &previous, err);
        if (status == STATUS_OK)
            at = previous;
    }
    return status;
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
        status = query->by_job ? list_chain(query, err) : is_indexed(query) ? list_failed(query, err) : list_all(query, err);
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
    status = page_parse(request, query->by_job ? KIND_JOB_EXECUTIONS : KIND_EXECUTIONS, &query->page, err);
    if (status == STATUS_OK && query->page.cursor_size != 0 && query->page.cursor_size != sizeof(struct id))
        status = error_set(err, STATUS_MALFORMED, "this cursor is not of this list; begin again without one");
    return status;
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
