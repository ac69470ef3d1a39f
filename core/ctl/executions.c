/* Runs: list, get, cancel. */
#include "ctl/executions.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "ctl/jobs.h"
#include "ctl/resolve.h"
#include "ctl/rest.h"
#include "ctl/show.h"
#include "ctl/text.h"

enum { LIST_DEFAULT = 50, BODY_MAX = 1 << 20, POLL_FIRST_MS = 100, POLL_LAST_MS = 1000 };

bool is_terminal(const cJSON *execution)
{
    static const char *const open[] = {"pending", "running", NULL};
    const char *status = member_string(execution, "status");
    for (size_t i = 0; status != NULL && open[i] != NULL; i++)
        if (strcmp(status, open[i]) == 0)
            return false;
    return true;
}

int64_t poll_pause(int64_t last_ms)
{
    int64_t ms = last_ms == 0 ? POLL_FIRST_MS : last_ms * 2 < POLL_LAST_MS ? last_ms * 2 : POLL_LAST_MS;
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL); /* woken early: it is asked a little early */
    return ms;
}

int get_execution(struct invocation *invocation, const char *id, cJSON **ret)
{
    struct buffer path;
    api_path(&path, "executions", id, NULL);
    int code = rest_json(invocation, NULL, &(struct request){.method = "GET", .path = path.data}, ret, NULL);
    buffer_deinit(&path);
    return code;
}

/* --- list --- */

/* A time, or a duration: so long ago. *ret_ms is left alone where the flag was not given. */
static int append_time_filter(struct invocation *invocation, const char *flag, struct buffer *path, int64_t *ret_ms)
{
    const char *text = arguments_text(&invocation->arguments, flag);
    char exact[TIME_TEXT_SIZE];
    struct error err;
    int64_t at_ms, ago_ms;
    if (text == NULL)
        return EXIT_CODE_OK;
    if (duration_parse(text, strlen(text), &ago_ms, &err) == STATUS_OK)
        at_ms = invocation->now_ms - ago_ms;
    else if (time_parse(text, strlen(text), &at_ms, &err) != STATUS_OK)
        return complain_usage("--%s: \"%s\" is neither a time (2027-01-01T00:00:00Z) nor a duration (2h)", flag, text);
    time_format(at_ms, exact);
    query_append(path, flag, exact);
    *ret_ms = at_ms;
    return EXIT_CODE_OK;
}

static int list_path(struct invocation *invocation, struct buffer *path)
{
    const struct arguments *arguments = &invocation->arguments;
    char job[REFERENCE_SIZE];
    int64_t since_ms = INT64_MIN, until_ms = INT64_MAX;
    int code = EXIT_CODE_OK;
    api_path(path, "executions", NULL, NULL);
    if (arguments_has(arguments, "job")) {
        code = resolve_job(invocation, arguments_text(arguments, "job"), job);
        if (code == EXIT_CODE_OK)
            query_append(path, "job", job);
    }
    if (arguments_has(arguments, "status"))
        query_append(path, "status", arguments_text(arguments, "status"));
    if (code == EXIT_CODE_OK)
        code = append_time_filter(invocation, "since", path, &since_ms);
    if (code == EXIT_CODE_OK)
        code = append_time_filter(invocation, "until", path, &until_ms);
    if (code == EXIT_CODE_OK && since_ms > until_ms)
        code = complain_usage("--since is later than --until");
    return code;
}

static void add_elapsed_cell(struct invocation *invocation, struct table *table, const cJSON *execution)
{
    char text[RELATIVE_TEXT_SIZE] = "";
    int64_t ms = member_int(execution, "duration_ms", -1), started_ms;
    const char *status = member_string(execution, "status");
    if (ms < 0 && status != NULL && strcmp(status, "running") == 0 && member_time(execution, "started_at", &started_ms))
        ms = invocation->now_ms > started_ms ? invocation->now_ms - started_ms : 0;
    if (ms >= 0)
        show_elapsed(ms, text);
    table_cell(table, CELL_PLAIN, text);
}

/* "exit 3", "HTTP 503", the reason, the error: what there is to say. */
static void add_result_cell(struct table *table, const cJSON *execution)
{
    const char *error = member_string(execution, "error"), *reason = member_string(execution, "reason");
    int64_t exit_code = member_int(execution, "exit_code", -1), status_code = member_int(execution, "status_code", -1);
    if (error != NULL)
        table_cell(table, CELL_PLAIN, error);
    else if (reason != NULL)
        table_cell(table, CELL_PLAIN, reason);
    else if (status_code >= 0)
        table_cellf(table, CELL_PLAIN, "HTTP %" PRId64, status_code);
    else if (exit_code >= 0)
        table_cellf(table, CELL_PLAIN, "exit %" PRId64, exit_code);
    else
        table_cell(table, CELL_PLAIN, NULL);
}

static void add_execution_row(struct invocation *invocation, struct table *table, const cJSON *execution, bool wide)
{
    const char *status = member_string(execution, "status");
    table_cell(table, CELL_PLAIN, member_string(execution, "id"));
    table_cell(table, CELL_PLAIN, member_string(execution, "job_name"));
    time_cell(invocation, table, execution, "scheduled_time");
    table_cell(table, CELL_PLAIN, member_string(execution, "trigger"));
    table_cell(table, show_status_style(status), status);
    add_elapsed_cell(invocation, table, execution);
    if (wide) {
        table_cellf(table, CELL_PLAIN, "%d",
                    cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(execution, "attempts")));
        table_cell(table, CELL_PLAIN, member_string(execution, "node_id"));
        time_cell(invocation, table, execution, "started_at");
        time_cell(invocation, table, execution, "completed_at");
    }
    add_result_cell(table, execution);
}

static int execution_table(struct invocation *invocation, const cJSON *rows)
{
    static const char *const columns[] = {"ID", "JOB", "SCHEDULED", "TRIGGER", "STATUS", "DURATION", "RESULT", NULL};
    static const char *const wide_columns[] = {"ID",       "JOB",  "SCHEDULED", "TRIGGER",   "STATUS", "DURATION",
                                               "ATTEMPTS", "NODE", "STARTED",   "COMPLETED", "RESULT", NULL};
    bool wide = arguments_has(&invocation->arguments, "wide");
    struct table table;
    const cJSON *row;
    table_init(&table, wide ? wide_columns : columns);
    table.cell_width_max = wide ? 0 : 60;
    cJSON_ArrayForEach(row, rows)
        add_execution_row(invocation, &table, row, wide);
    return invocation_table(invocation, &table);
}

static void append_id(struct invocation *invocation, const cJSON *execution)
{
    const char *id = member_string(execution, "id");
    id = id != NULL ? id : "?";
    text_append_safe(&invocation->out, id, strlen(id), TEXT_ONE_LINE);
    buffer_append_char(&invocation->out, '\n');
}

int run_execution_list(struct invocation *invocation)
{
    struct buffer path;
    cJSON *answer = NULL;
    const cJSON *row;
    bool limited = arguments_has(&invocation->arguments, "limit");
    int code = list_path(invocation, &path);
    if (code == EXIT_CODE_OK)
        code = rest_list(invocation, path.data, "executions",
                         arguments_number(&invocation->arguments, "limit", LIST_DEFAULT), &answer);
    buffer_deinit(&path);
    if (code != EXIT_CODE_OK)
        return code;
    const cJSON *rows = cJSON_GetObjectItemCaseSensitive(answer, "executions");
    if (invocation->format == FORMAT_TABLE)
        code = execution_table(invocation, rows);
    else if (invocation->format != FORMAT_NAME)
        code = invocation_show(invocation, answer);
    else
        cJSON_ArrayForEach(row, rows)
            append_id(invocation, row);
    if (!limited && invocation->format == FORMAT_TABLE && invocation->out_is_terminal &&
        member_string(answer, "next_cursor") != NULL)
        complain(NULL, "these are the newest %d; --limit shows more", cJSON_GetArraySize(rows));
    cJSON_Delete(answer);
    return code;
}

/* --- one --- */

static void append_attempts(struct invocation *invocation, const cJSON *attempts)
{
    static const char *const columns[] = {"ATTEMPT", "NODE", "STARTED", "COMPLETED", "OUTCOME", "RESULT", NULL};
    struct table table;
    const cJSON *attempt;
    table_init(&table, columns);
    cJSON_ArrayForEach(attempt, attempts)
    {
        const char *outcome = member_string(attempt, "outcome");
        table_cellf(&table, CELL_PLAIN, "%" PRId64, member_int(attempt, "attempt", 0));
        table_cell(&table, CELL_PLAIN, member_string(attempt, "node_id"));
        table_cell(&table, CELL_PLAIN, member_string(attempt, "started_at"));
        table_cell(&table, CELL_PLAIN, member_string(attempt, "completed_at"));
        table_cell(&table, show_status_style(outcome), outcome);
        add_result_cell(&table, attempt);
    }
    (void)invocation_table(invocation, &table); /* cannot fail: memory shows in `out` */
}

static void describe_execution(struct invocation *invocation, const cJSON *execution)
{
    const cJSON *member, *attempts = cJSON_GetObjectItemCaseSensitive(execution, "attempts");
    const char *output = member_string(execution, "output");
    cJSON_ArrayForEach(member, execution)
        if (strcmp(member->string, "attempts") != 0 && strcmp(member->string, "output") != 0)
            append_member(invocation, member);
    if (cJSON_GetArraySize(attempts) > 0) {
        buffer_append_char(&invocation->out, '\n');
        append_attempts(invocation, attempts);
    }
    if (output == NULL || *output == '\0')
        return;
    buffer_append_string(&invocation->out, "\noutput:\n");
    text_append_safe(&invocation->out, output, strlen(output), TEXT_KEEP_LINES);
    if (output[strlen(output) - 1] != '\n')
        buffer_append_char(&invocation->out, '\n');
}

static int show_execution(struct invocation *invocation, const cJSON *execution)
{
    if (invocation->format == FORMAT_JSON || invocation->format == FORMAT_YAML)
        return invocation_show(invocation, execution);
    if (invocation->format == FORMAT_NAME)
        append_id(invocation, execution);
    else
        describe_execution(invocation, execution);
    return EXIT_CODE_OK;
}

int run_execution_get(struct invocation *invocation)
{
    char id[REFERENCE_SIZE];
    cJSON *execution;
    int code = resolve_execution(invocation, invocation->arguments.operands[0], id);
    if (code == EXIT_CODE_OK)
        code = get_execution(invocation, id, &execution);
    if (code != EXIT_CODE_OK)
        return code;
    code = show_execution(invocation, execution);
    cJSON_Delete(execution);
    return code;
}

int show_execution_done(struct invocation *invocation, const cJSON *execution, const char *what)
{
    const char *id = member_string(execution, "id"), *job = member_string(execution, "job_name");
    const char *status = member_string(execution, "status"), *reason = member_string(execution, "reason");
    const char *error = member_string(execution, "error");
    struct buffer line;
    if (invocation->format != FORMAT_TABLE)
        return show_execution(invocation, execution);
    buffer_init(&line, BODY_MAX);
    buffer_appendf(&line, "execution %s of job \"%s\" %s: %s", id != NULL ? id : "?", job != NULL ? job : "?", what,
                   status != NULL ? status : "?");
    if (reason != NULL)
        buffer_appendf(&line, " (%s)", reason);
    if (error != NULL)
        buffer_appendf(&line, ", %s", error);
    text_append_safe(&invocation->out, line.data, line.size, TEXT_ONE_LINE);
    buffer_append_char(&invocation->out, '\n');
    buffer_deinit(&line);
    return EXIT_CODE_OK;
}

static int cancel_execution(struct invocation *invocation, const char *text)
{
    char id[REFERENCE_SIZE];
    struct buffer path;
    cJSON *execution;
    int code = resolve_execution(invocation, text, id);
    if (code != EXIT_CODE_OK)
        return code;
    api_path(&path, "executions", id, "/cancel");
    code = rest_json(invocation, NULL, &(struct request){.method = "POST", .path = path.data, .once = true}, &execution, NULL);
    buffer_deinit(&path);
    if (code != EXIT_CODE_OK)
        return code;
    code = show_execution_done(invocation, execution, is_terminal(execution) ? "cancelled" : "is being cancelled");
    cJSON_Delete(execution);
    return code;
}

int run_execution_cancel(struct invocation *invocation)
{
    int code = EXIT_CODE_OK;
    for (size_t i = 0; i < invocation->arguments.operand_count; i++) {
        int one = cancel_execution(invocation, invocation->arguments.operands[i]);
        code = code == EXIT_CODE_OK ? one : code;
    }
    return code;
}
