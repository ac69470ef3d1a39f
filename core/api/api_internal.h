/* What the files of one resource share: answers, problems, operations that wait for a commit, scans and checks on
 * the pool. */
#ifndef CHRONOS_API_API_INTERNAL_H
#define CHRONOS_API_API_INTERNAL_H

#include "api/api.h"
#include "base/codec.h"
#include "base/json.h"
#include "base/map.h"
#include "http/router.h"
#include "plugin/schema.h"

enum {
    API_OPERATIONS_MAX = 4096,  /* requests that wait for a commit or a scan; beyond: OVERLOADED */
    API_FIELD_ERRORS_MAX = 20,  /* reported of one document */
    API_ANSWER_MAX = 64 << 20,  /* bytes of one answer */
    API_PAGE_BYTES = 4 << 20,   /* a page of a list ends early beyond this, with a cursor: slow readers hold it in memory */
    API_RETRIES_MAX = 30,       /* of an edit that met another edit or a decision of the scheduler, each time anew */
};

/* --- problems (problem.c) --- */

struct field_errors {
    uint32_t count; /* may exceed API_FIELD_ERRORS_MAX: the rest is not listed */
    struct {
        char field[ERROR_FIELD_SIZE];
        char message[256];
    } items[API_FIELD_ERRORS_MAX];
};
void field_errors_add(struct field_errors *errors, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes an RFC 9457 document. `errors` may be NULL; detail "" leaves it out. */
void problem_write(struct buffer *out, enum status code, int http_status, const char *detail, const char *request_id,
                   const struct field_errors *errors);

/* --- answers (answer.c): exactly one a token --- */

/* Takes the buffer's memory. `headers`: complete lines or NULL. */
void answer_json(struct api *api, struct http_token token, int status, struct buffer *body, const char *headers);
/* The same; the buffer keeps its memory. */
void answer_json_copied(struct api *api, struct http_token token, int status, const struct buffer *body,
                        const char *headers);
void answer_bytes(struct api *api, struct http_token token, int status, const char *content_type, struct buffer *body,
                  const char *headers);
void answer_empty(struct api *api, struct http_token token, int status, const char *headers);
/* {"id": "..."}: of what was made, and is gone by the time of the answer. */
void answer_write_id(const char *prefix, const struct id *id, struct buffer *body);
/* With Retry-After where the code calls for it. `err->field` becomes the only field error when it is set. */
void answer_error(struct api *api, struct http_token token, const char *request_id, const struct error *err);
void answer_problem(struct api *api, struct http_token token, const char *request_id, enum status code, const char *detail,
                    const struct field_errors *errors);

/* --- operations (operation.c): what waits --- */

struct operation;
/* `outcome` is borrowed for the call. The function answers and then calls operation_end, or proposes again. */
typedef void (*operation_step)(struct operation *operation, const struct cluster_outcome *outcome);

struct operation {
    struct api *api;
    struct http_token token;
    char request_id[40];
    uint32_t slot, generation; /* slot + generation name it in cluster_propose */
    bool used;
    operation_step step;
    void *data;                 /* the resource's own; freed by `discard` */
    void (*discard)(void *data);
    void (*again)(struct operation *operation); /* of operation_retry_later and operation_confirm, one at a time */
    bool is_confirming;         /* it waits for a read index */
    bool is_confirmed;          /* what it reads holds all that was committed before it began */
    bool holds_key;             /* of api->keys; see idempotency.h */
    uint8_t key[IDEMPOTENCY_DIGEST_SIZE];
    struct operation *next_retry;
};
/* NULL: too many, the 503 was answered and `data` discarded. `discard` NULL: there is nothing to be freed. */
struct operation *operation_begin(struct api *api, const struct http_request *request, operation_step step, void *data,
                                  void (*discard)(void *data));
uint64_t operation_token(const struct operation *operation); /* for operation_outcome */
void operation_refuse(struct operation *operation, const struct error *err); /* answers and ends it */
/* Proposes; a refusal is answered and ends the operation. */
void operation_propose(struct operation *operation, enum proposal_class class, struct bytes command);
/* The cluster_done of operations; arg is the api. */
void operation_outcome(void *arg, uint64_t token, const struct cluster_outcome *outcome);
/* Calls `again` after the next apply batch (or within a second): a decision of the job was in the way. */
void operation_retry_later(struct operation *operation, void (*again)(struct operation *operation));
/* Calls `again` once the state holds all that was committed before; where that cannot be made sure of, answers 503 and ends it. */
void operation_confirm(struct operation *operation, void (*again)(struct operation *operation));
void operation_end(struct operation *operation); /* discards data and frees the slot; the answer was given */
/* What an outcome that is not OK says: answers it and ends the operation; true. False: status and result are OK. */
bool operation_failed(struct operation *operation, const struct cluster_outcome *outcome, const char *what);

/* --- refusals (api.c): a node that lags must not say that there is none of what was made elsewhere a moment ago --- */

/* A handler is about to refuse a request because of what the state holds or lacks, and has changed nothing. True: it does nothing
 * more; it is called anew once the state holds all that was committed before, or 503 is answered. False: that is so already. */
bool api_confirm(struct api *api, const struct http_request *request);

/* --- scans (scan.c): reads that may touch many rows, on libuv's pool with a view of their own --- */

/* `read` runs on a pool thread; it writes the JSON answer into `out`, or returns an error. `answer_headers` of the data is not
 * needed: scans answer 200. `data` is discarded on the loop afterwards. */
typedef enum status (*scan_read)(void *data, struct state_view *view, struct buffer *out, struct error *err);
void scan_start(struct api *api, const struct http_request *request, scan_read read, void *data, void (*discard)(void *data));
/* As scan_start. `finish` runs on the loop afterwards, and writes the answer into `out` from what `read` wrote: for what only
 * the loop may ask, as the scheduler. */
typedef void (*scan_finish)(struct api *api, void *data, struct bytes read, struct buffer *out);
void scan_start_finish(struct api *api, const struct http_request *request, scan_read read, scan_finish finish, void *data,
                       void (*discard)(void *data));

/* --- checks (checks.c): an executor's own check of a job's config, on libuv's pool --- */

void checks_init(struct api *api);
void checks_close(struct api *api); /* with api_close */
/* On the loop, exactly once; answers `operation` or goes on with it. `err` is set where status is not OK. */
typedef void (*check_answered)(struct operation *operation, enum status status, const struct error *err);
/* Takes `params`; `executor` and `job_name` stay until the answer. OVERLOADED, NO_MEMORY: nothing was begun. */
must_use enum status check_start(struct operation *operation, const char *executor, struct plugin_params *params,
                                 const char *job_name, check_answered answered, struct error *err);

/* --- pages (page.c): limit and cursor --- */

struct page {
    uint32_t limit;
    uint8_t cursor[256]; /* opaque to the client: base64url of (kind, key) */
    size_t cursor_size;  /* 0: from the beginning */
};
/* MALFORMED with field "/limit" or "/cursor". `kind` keeps a cursor of one list from being used in another. */
must_use enum status page_parse(const struct http_request *request, char kind, struct page *ret, struct error *err);
/* Writes "next_cursor": "..." or null (key.size 0). */
void page_write_next(struct json_writer *w, char kind, struct bytes key);

/* --- queries --- */

/* Unknown parameters are errors that name the nearest known one. `known` is NULL-terminated; a name that ends in "." is a
 * prefix. */
must_use enum status query_check(const struct http_request *request, const char *const *known, struct error *err);
/* False where absent. A value that does not parse sets *err and returns true with *ret_status. */
bool query_bool(const struct http_request *request, const char *name, bool *ret, enum status *ret_status, struct error *err);
bool query_int(const struct http_request *request, const char *name, int64_t least, int64_t most, int64_t *ret,
               enum status *ret_status, struct error *err);
bool query_time(const struct http_request *request, const char *name, int64_t *ret_ms, enum status *ret_status,
                struct error *err);

/* --- guard (guard.c): who may change state from where --- */

/* The Host alone, for reads: a page that a name server points at this machine must not read jobs either. */
must_use enum status guard_check_read(const struct api *api, const struct http_request *request, struct error *err);
/* Host, Origin and Content-Type of a state-changing request: FORBIDDEN or UNSUPPORTED_MEDIA with a sentence. */
must_use enum status guard_check(const struct api *api, const struct http_request *request, struct error *err);

/* --- bearer (bearer.c): who asks --- */

enum route_flags { ROUTE_PUBLIC = 1 }; /* answered without a token, always; no parameters in its path */
extern const char bearer_challenge[];   /* the header that a 401 must have */
/* OK: *ret_name is the name of the token, "" where none is needed; as long as the tokens live. UNAUTHENTICATED with a sentence. */
must_use enum status bearer_check(const struct api *api, const struct http_request *request, const char **ret_name,
                                  struct error *err);

/* --- routes (routes.c) and handlers, one file a resource --- */

extern const struct route api_routes[];
extern const size_t api_route_count;

#define API_HANDLER(name) void name(void *arg, const struct http_request *request, const struct route_match *match)
/* health.c, metrics.c */
API_HANDLER(handle_health);
API_HANDLER(handle_live);
API_HANDLER(handle_ready);
API_HANDLER(handle_version);
API_HANDLER(handle_metrics);
/* cluster.c */
API_HANDLER(handle_cluster_status);
API_HANDLER(handle_cluster_join);
API_HANDLER(handle_cluster_remove);
API_HANDLER(handle_cluster_transfer);
/* cluster_snapshot.c */
API_HANDLER(handle_snapshot_take);
API_HANDLER(handle_snapshot_list);
/* cluster_snapshot_file.c */
API_HANDLER(handle_snapshot_get);
/* cluster_nodes.c */
API_HANDLER(handle_node_list);
/* jobs.c: one job; jobs_list.c; edits.c: what changes one */
API_HANDLER(handle_job_get);
API_HANDLER(handle_job_list);
API_HANDLER(handle_job_create);
API_HANDLER(handle_job_put);
API_HANDLER(handle_job_patch);
API_HANDLER(handle_job_delete);
API_HANDLER(handle_job_enable);
API_HANDLER(handle_job_disable);
API_HANDLER(handle_job_trigger);
API_HANDLER(handle_job_upcoming);
API_HANDLER(handle_job_missed);
/* executions.c, execution_cancel.c, executions_list.c, output.c */
API_HANDLER(handle_job_executions);
API_HANDLER(handle_execution_list);
API_HANDLER(handle_execution_get);
API_HANDLER(handle_execution_cancel);
API_HANDLER(handle_execution_output);
/* schedules.c, executors.c */
API_HANDLER(handle_schedule_validate);
API_HANDLER(handle_executor_list);
API_HANDLER(handle_executor_get);

/* --- shared by what shows members (cluster.c) --- */

void cluster_members_sort(struct cluster_status *status); /* by name */
/* The members of an object that has been begun: id, address, state, reachable; with `has_match` match_index. */
void cluster_member_write(struct json_writer *w, const struct cluster_member *member, bool has_match);

/* --- shared by jobs and executions --- */

/* Finds the job that `text` (id or name) means. NOT_FOUND with a sentence. */
must_use enum status job_lookup(struct state_view *view, struct bytes text, struct id *ret, struct error *err);
/* Appends the job's JSON as clients see it: id, the document with secrets masked, runtime fields. */
must_use enum status job_write(struct api *api, struct state_view *view, const struct id *id, const struct job_row *row,
                               struct buffer *out, struct error *err);
/* Appends the JSON of a run, open or finished. NOT_FOUND with a sentence. */
must_use enum status execution_write(struct state_view *view, const struct id *execution, struct buffer *out,
                                     struct error *err);

/* The execution that a path names. NOT_FOUND with a sentence. */
must_use enum status execution_parse(const struct route_match *match, struct id *ret, struct error *err);
/* Under "/jobs/:job" stand the runs of that job alone. */
must_use enum status execution_check_owner(struct state_view *view, const struct route_match *match, const struct id *execution,
                                           struct error *err);

/* An empty buffer of this limit for the call at hand: the next call of this function ends its use. The usual small commands
 * and answers, one a request, cost no allocation so. */
enum { SCRATCH_KEPT_MAX = 64 * 1024 }; /* larger memory is given back */
struct buffer *api_scratch(struct api *api, size_t limit);

struct api {
    struct api_config config;
    struct buffer scratch; /* of api_scratch */
    struct http_server *server;
    struct route *routes;
    struct router *router;
    struct tokens *tokens; /* NULL: nobody is asked for one */
    uint64_t unauthenticated_count;
    struct masks *masks; /* which options of executors are secret */
    char common[160]; /* what all answers begin their headers with, up to the applied index */
    bool draining;
    bool is_confirmed; /* the state holds all that was committed before the request at hand: see api_confirm */
    struct operation *operations;
    uint32_t *free_slots;
    uint32_t free_count, waiting;
    struct map keys; /* of operations, by `key`: those whose requests have an idempotency key */
    struct operation *retries; /* asked to be called again */
    uv_timer_t retry_timer;
    bool timer_closed;
    uint32_t scans_running;
    struct scan *scans_queued, **scans_tail;
    uint32_t scans_queued_count;
    struct {
        uv_prepare_t turn; /* begins a trip */
        uv_work_t work;
        struct check *running, *waiting, **tail;
        uint32_t waiting_count;
    } checks;
    struct process_figures {
        uint64_t looked_ns, resident_bytes, descriptors;
    } process; /* of metrics.c */
    uint64_t runs_by_status[RUN_STATUS_COUNT];    /* terminal ones, since start */
    uint64_t dropped_by_reason[REASON_COUNT];
    uint64_t applied_index;
};

#endif
