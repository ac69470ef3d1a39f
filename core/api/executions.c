/* One run: its record. Its cancellation is in execution_cancel.c, its output is in output.c, lists are in executions_list.c. */
#include "api/api_internal.h"

#include <stdio.h>
#include <string.h>

enum { RUN_ANSWER_MAX = 1 << 20 };

/* --- one --- */

/* The execution is the last parameter of both "/executions/:execution" and "/jobs/:job/executions/:execution". */
enum status execution_parse(const struct route_match *match, struct id *ret, struct error *err)
{
    struct bytes text = match->params[match->param_count - 1];
    if (id_parse(EXECUTION_ID_PREFIX, text.data, text.size, ret))
        return STATUS_OK;
    return error_set(err, STATUS_NOT_FOUND, "\"%.*s\" is not the id of an execution: " EXECUTION_ID_PREFIX "... and 26 digits",
                     (int)(text.size < 64 ? text.size : 64), (const char *)text.data);
}

enum status execution_check_owner(struct state_view *view, const struct route_match *match, const struct id *execution,
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
        status = execution_parse(match, &execution, &err);
    if (status == STATUS_OK)
        status = state_view_begin(cluster_state(api->config.cluster), &view, &err);
    if (status == STATUS_OK) {
        status = execution_check_owner(&view, match, &execution, &err);
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
