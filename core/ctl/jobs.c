/* Jobs: list, get, delete, enable, disable, upcoming; and schedules that are no job's yet. */
#include "ctl/jobs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "ctl/resolve.h"
#include "ctl/rest.h"
#include "ctl/show.h"
#include "ctl/text.h"

enum { LONG_LIST = 10000, UPCOMING_SHOWN = 5, CELL_TEXT_MAX = 1 << 20, KEY_WIDTH = 18 };

/* --- pieces --- */

void append_exact_time(struct invocation *invocation, const char *text, struct buffer *out)
{
    char exact[TIME_TEXT_SIZE], relative[RELATIVE_TEXT_SIZE];
    int64_t at_ms;
    struct error err;
    if (text == NULL || time_parse(text, strlen(text), &at_ms, &err) != STATUS_OK) {
        buffer_append_string(out, text != NULL ? text : "-");
        return;
    }
    time_format(at_ms, exact);
    show_relative(at_ms, invocation->now_ms, relative);
    buffer_appendf(out, "%s (%s)", exact, relative);
}

void time_cell(struct invocation *invocation, struct table *table, const cJSON *object, const char *member)
{
    char exact[TIME_TEXT_SIZE], relative[RELATIVE_TEXT_SIZE];
    int64_t at_ms;
    if (!member_time(object, member, &at_ms)) {
        table_cell(table, CELL_PLAIN, NULL);
        return;
    }
    time_format(at_ms, exact);
    show_relative(at_ms, invocation->now_ms, relative);
    table_cell(table, CELL_PLAIN, arguments_has(&invocation->arguments, "wide") ? exact : relative);
}

/* A string, or a list of strings with "; " between; anything else as JSON. */
static void append_schedule(const cJSON *schedule, struct buffer *out)
{
    const cJSON *member;
    if (cJSON_IsString(schedule)) {
        buffer_append_string(out, schedule->valuestring);
        return;
    }
    cJSON_ArrayForEach(member, schedule)
        buffer_appendf(out, "%s%s", out->size > 0 ? "; " : "", cJSON_IsString(member) ? member->valuestring : "?");
}

static void append_tags(const cJSON *tags, struct buffer *out)
{
    const cJSON *tag;
    cJSON_ArrayForEach(tag, tags)
        buffer_appendf(out, "%s%s=%s", out->size > 0 ? "," : "", tag->string,
                       cJSON_IsString(tag) ? tag->valuestring : "?");
}

int show_job_done(struct invocation *invocation, const cJSON *job, const char *what)
{
    const char *name = member_string(job, "name"), *id = member_string(job, "id");
    struct buffer line;
    if (invocation->format == FORMAT_JSON || invocation->format == FORMAT_YAML)
        return invocation_show(invocation, job);
    buffer_init(&line, CELL_TEXT_MAX);
    if (invocation->format == FORMAT_NAME) {
        buffer_append_string(&line, name != NULL ? name : "?");
    } else {
        const char *next = member_string(job, "next_run");
        buffer_appendf(&line, "job \"%s\" %s", name != NULL ? name : "?", what);
        if (id != NULL)
            buffer_appendf(&line, " (%s)", id);
        if (next != NULL) {
            buffer_append_string(&line, ", next run ");
            append_exact_time(invocation, next, &line);
        }
    }
    text_append_safe(&invocation->out, line.data, line.size, TEXT_ONE_LINE);
    buffer_append_char(&invocation->out, '\n');
    buffer_deinit(&line);
    return EXIT_CODE_OK;
}

/* --- list --- */

static int append_tag_filters(struct invocation *invocation, struct buffer *path)
{
    size_t cursor = 0;
    const char *tag;
    while ((tag = arguments_next(&invocation->arguments, "tag", &cursor)) != NULL) {
        char name[256];
        const char *equals = strchr(tag, '=');
        int size = equals != NULL ? snprintf(name, sizeof name, "tag.%.*s", (int)(equals - tag), tag) : -1;
        if (equals == NULL || equals == tag || size < 0 || (size_t)size >= sizeof name)
            return complain_usage("--tag %s: write --tag key=value", tag);
        query_append(path, name, equals + 1);
    }
    return EXIT_CODE_OK;
}

int job_list_path(struct invocation *invocation, struct buffer *path)
{
    const struct arguments *arguments = &invocation->arguments;
    api_path(path, "jobs", NULL, NULL);
    int code = append_tag_filters(invocation, path);
    if (arguments_has(arguments, "enabled") && arguments_has(arguments, "disabled"))
        code = complain_usage("--enabled and --disabled exclude each other");
    if (arguments_has(arguments, "enabled"))
        query_append(path, "enabled", arguments_switch(arguments, "enabled", true) ? "true" : "false");
    if (arguments_has(arguments, "disabled"))
        query_append(path, "enabled", arguments_switch(arguments, "disabled", true) ? "false" : "true");
    if (arguments_has(arguments, "name"))
        query_append(path, "name", arguments_text(arguments, "name"));
    if (arguments_has(arguments, "executor"))
        query_append(path, "executor", arguments_text(arguments, "executor"));
    return code;
}

static void append_names(struct invocation *invocation, const cJSON *rows)
{
    const cJSON *row;
    cJSON_ArrayForEach(row, rows)
    {
        const char *name = member_string(row, "name");
        if (name == NULL)
            continue;
        text_append_safe(&invocation->out, name, strlen(name), TEXT_ONE_LINE);
        buffer_append_char(&invocation->out, '\n');
    }
}

static void add_wide_cells(struct table *table, const cJSON *job)
{
    struct buffer tags;
    table_cell(table, CELL_PLAIN, member_string(job, "timezone"));
    table_cell(table, CELL_PLAIN, member_string(job, "concurrency"));
    buffer_init(&tags, CELL_TEXT_MAX);
    append_tags(cJSON_GetObjectItemCaseSensitive(job, "tags"), &tags);
    table_cell(table, CELL_PLAIN, tags.data);
    buffer_deinit(&tags);
    table_cellf(table, CELL_PLAIN, "%" PRId64, member_int(job, "version", 0));
    table_cell(table, CELL_PLAIN, member_string(job, "id"));
}

static void add_job_row(struct invocation *invocation, struct table *table, const cJSON *job, bool wide)
{
    struct buffer schedule;
    const char *status = member_string(job, "last_status");
    bool enabled = member_true(job, "enabled");
    buffer_init(&schedule, CELL_TEXT_MAX);
    append_schedule(cJSON_GetObjectItemCaseSensitive(job, "schedule"), &schedule);
    table_cell(table, CELL_PLAIN, member_string(job, "name"));
    table_cell(table, CELL_PLAIN, schedule.data);
    table_cell(table, enabled ? CELL_PLAIN : CELL_FAINT, enabled ? "yes" : "no");
    table_cell(table, CELL_PLAIN, member_string(job, "executor"));
    time_cell(invocation, table, job, "next_run");
    time_cell(invocation, table, job, "last_run");
    table_cell(table, show_status_style(status), status);
    buffer_deinit(&schedule);
    if (wide)
        add_wide_cells(table, job);
}

static int job_table(struct invocation *invocation, const cJSON *rows)
{
    static const char *const columns[] = {"NAME", "SCHEDULE", "ENABLED", "EXECUTOR", "NEXT RUN", "LAST RUN",
                                          "LAST STATUS",
                                          NULL};
    static const char *const wide_columns[] = {"NAME", "SCHEDULE", "ENABLED", "EXECUTOR", "NEXT RUN", "LAST RUN",
                                               "LAST STATUS", "TIMEZONE", "CONCURRENCY", "TAGS", "VERSION", "ID", NULL};
    bool wide = arguments_has(&invocation->arguments, "wide");
    struct table table;
    const cJSON *row;
    table_init(&table, wide ? wide_columns : columns);
    table.cell_width_max = wide ? 0 : 60;
    cJSON_ArrayForEach(row, rows)
        add_job_row(invocation, &table, row, wide);
    return invocation_table(invocation, &table);
}

int run_job_list(struct invocation *invocation)
{
    struct buffer path;
    cJSON *answer = NULL;
    int64_t limit = arguments_number(&invocation->arguments, "limit", 0);
    int code = job_list_path(invocation, &path);
    if (code == EXIT_CODE_OK)
        code = rest_list(invocation, path.data, "jobs", limit, &answer);
    buffer_deinit(&path);
    if (code != EXIT_CODE_OK)
        return code;
    const cJSON *rows = cJSON_GetObjectItemCaseSensitive(answer, "jobs");
    if (invocation->format == FORMAT_NAME)
        append_names(invocation, rows);
    else if (invocation->format == FORMAT_TABLE)
        code = job_table(invocation, rows);
    else
        code = invocation_show(invocation, answer);
    if (limit == 0 && invocation->format == FORMAT_TABLE && cJSON_GetArraySize(rows) > LONG_LIST)
        complain(NULL, "these are %d jobs; --limit, --name or --tag shortens the list", cJSON_GetArraySize(rows));
    cJSON_Delete(answer);
    return code;
}

/* --- get --- */

static bool is_time(const char *name)
{
    size_t size = strlen(name);
    return strcmp(name, "next_run") == 0 || strcmp(name, "last_run") == 0 ||
           (size > 3 && strcmp(name + size - 3, "_at") == 0);
}

void append_member(struct invocation *invocation, const cJSON *member)
{
    struct buffer text, *out = &invocation->out;
    const char *string = cJSON_IsString(member) ? member->valuestring : NULL;
    size_t name_size = strlen(member->string);
    bool is_status = strcmp(member->string, "last_status") == 0 || strcmp(member->string, "status") == 0;
    buffer_init(&text, OUT_BYTES_MAX);
    text_append_safe(out, member->string, name_size, TEXT_ONE_LINE);
    buffer_appendf(out, ":%*s", name_size < KEY_WIDTH ? (int)(KEY_WIDTH - name_size) : 1, "");
    if (is_time(member->string))
        append_exact_time(invocation, string, &text);
    else if (strcmp(member->string, "schedule") == 0)
        append_schedule(member, &text);
    else if (strcmp(member->string, "tags") == 0)
        append_tags(member, &text);
    else if (string != NULL)
        buffer_append_string(&text, string);
    else if (!cJSON_IsNull(member))
        json_print(&text, member);
    if (text.size == 0)
        buffer_append_char(&text, '-');
    struct buffer safe;
    buffer_init(&safe, OUT_BYTES_MAX);
    text_append_safe(&safe, text.data, text.size, TEXT_ONE_LINE);
    style_append(out, is_status ? show_status_style(string) : CELL_PLAIN, invocation->colour, safe.data, safe.size);
    buffer_append_char(out, '\n');
    buffer_deinit(&safe);
    buffer_deinit(&text);
}

/* "2026-11-30 02:00:00 +01:00 Europe/Berlin" of the server's "2026-11-30T02:00:00.000+01:00"; nothing for UTC, which is
 * beside it, and for a server that does not say. */
static void append_local(struct buffer *out, const cJSON *local, const char *zone)
{
    enum { TIME_AT = 11, FRACTION_AT = 19, OFFSET_AT = 23, LOCAL_SIZE = 29 };
    if (!cJSON_IsString(local) || zone == NULL || strcmp(zone, "UTC") == 0 || strcmp(zone, "Etc/UTC") == 0)
        return;
    const char *text = local->valuestring;
    if (strlen(text) != LOCAL_SIZE)
        return;
    const char *fraction = strncmp(text + FRACTION_AT, ".000", 4) == 0 ? "" : ".";
    buffer_appendf(out, "%.*s %.*s%s%.*s %s %s  ", TIME_AT - 1, text, FRACTION_AT - TIME_AT, text + TIME_AT, fraction,
                   *fraction != '\0' ? OFFSET_AT - FRACTION_AT - 1 : 0, text + FRACTION_AT + 1, text + OFFSET_AT, zone);
}

/* The instants of `member`, one a line, each with what the clock of the job's zone shows then. */
static void append_instants(struct invocation *invocation, const cJSON *answer, const char *member)
{
    const cJSON *instants = cJSON_GetObjectItemCaseSensitive(answer, member), *instant;
    const char *zone = member_string(answer, "timezone");
    char local_member[32];
    struct buffer line;
    (void)snprintf(local_member, sizeof local_member, "%s_local", member);
    const cJSON *local = cJSON_GetObjectItemCaseSensitive(answer, local_member);
    local = cJSON_IsArray(local) ? local->child : NULL;
    buffer_init(&line, CELL_TEXT_MAX);
    cJSON_ArrayForEach(instant, instants)
    {
        char exact[TIME_TEXT_SIZE], relative[RELATIVE_TEXT_SIZE];
        int64_t at_ms;
        struct error err;
        const cJSON *beside = local;
        local = local != NULL ? local->next : NULL;
        if (!cJSON_IsString(instant) ||
            time_parse(instant->valuestring, strlen(instant->valuestring), &at_ms, &err) != STATUS_OK)
            continue;
        time_format(at_ms, exact);
        show_relative(at_ms, invocation->now_ms, relative);
        buffer_clear(&line);
        buffer_appendf(&line, "%s  ", exact);
        append_local(&line, beside, zone);
        buffer_append_string(&line, relative);
        buffer_append_string(&invocation->out, "  ");
        text_append_safe(&invocation->out, line.data, line.size, TEXT_ONE_LINE);
        buffer_append_char(&invocation->out, '\n');
    }
    buffer_deinit(&line);
}

static int get_upcoming(struct invocation *invocation, const char *job, int64_t count, cJSON **ret)
{
    struct buffer path;
    char number[24];
    (void)snprintf(number, sizeof number, "%" PRId64, count);
    api_path(&path, "jobs", job, "/upcoming");
    query_append(&path, "count", number);
    if (arguments_has(&invocation->arguments, "from"))
        query_append(&path, "from", arguments_text(&invocation->arguments, "from"));
    int code = rest_json(invocation, NULL, &(struct request){.method = "GET", .path = path.data}, ret, NULL);
    buffer_deinit(&path);
    return code;
}

static int describe_job(struct invocation *invocation, const cJSON *job, const char *reference)
{
    cJSON *answer;
    const cJSON *member;
    cJSON_ArrayForEach(member, job)
        append_member(invocation, member);
    if (!member_true(job, "enabled"))
        return EXIT_CODE_OK;
    int code = get_upcoming(invocation, reference, UPCOMING_SHOWN, &answer);
    if (code != EXIT_CODE_OK)
        return code;
    const cJSON *instants = cJSON_GetObjectItemCaseSensitive(answer, "upcoming");
    buffer_append_string(&invocation->out, cJSON_GetArraySize(instants) > 0 ? "upcoming:\n" : "upcoming:          -\n");
    append_instants(invocation, answer, "upcoming");
    cJSON_Delete(answer);
    return EXIT_CODE_OK;
}

static int get_job(struct invocation *invocation, const char *text)
{
    char reference[REFERENCE_SIZE];
    struct buffer path;
    cJSON *job = NULL;
    int code = resolve_job(invocation, text, reference);
    if (code != EXIT_CODE_OK)
        return code;
    api_path(&path, "jobs", reference, NULL);
    code = rest_json(invocation, NULL, &(struct request){.method = "GET", .path = path.data}, &job, NULL);
    buffer_deinit(&path);
    if (code != EXIT_CODE_OK)
        return code;
    if (invocation->format == FORMAT_TABLE)
        code = describe_job(invocation, job, reference);
    else
        code = show_job_done(invocation, job, "");
    cJSON_Delete(job);
    return code;
}

/* Each operand in turn; the first failure's exit code, after all were tried. */
static int for_each_job(struct invocation *invocation, int (*one)(struct invocation *invocation, const char *text))
{
    int code = EXIT_CODE_OK;
    for (size_t i = 0; i < invocation->arguments.operand_count; i++) {
        int one_code = one(invocation, invocation->arguments.operands[i]);
        code = code == EXIT_CODE_OK ? one_code : code;
    }
    return code;
}

int run_job_get(struct invocation *invocation)
{
    return get_job(invocation, invocation->arguments.operands[0]);
}

/* --- delete, enable, disable --- */

static int delete_job(struct invocation *invocation, const char *text)
{
    char reference[REFERENCE_SIZE];
    struct buffer path;
    struct response response;
    int code = resolve_job(invocation, text, reference);
    if (code != EXIT_CODE_OK)
        return code;
    api_path(&path, "jobs", reference, NULL);
    if (arguments_switch(&invocation->arguments, "cancel", false))
        query_append(&path, "cancel", "true");
    code = rest_call(invocation, NULL, &(struct request){.method = "DELETE", .path = path.data}, &response);
    buffer_deinit(&path);
    if (code != EXIT_CODE_OK)
        return code;
    response_deinit(&response);
    if (invocation->format == FORMAT_NAME)
        buffer_appendf(&invocation->out, "%s\n", reference);
    else if (invocation->format == FORMAT_TABLE)
        buffer_appendf(&invocation->out, "job \"%s\" deleted\n", reference);
    return EXIT_CODE_OK;
}

int run_job_delete(struct invocation *invocation)
{
    return for_each_job(invocation, delete_job);
}

static int switch_job(struct invocation *invocation, const char *text, bool enable)
{
    char reference[REFERENCE_SIZE];
    struct buffer path;
    cJSON *job;
    int code = resolve_job(invocation, text, reference);
    if (code != EXIT_CODE_OK)
        return code;
    api_path(&path, "jobs", reference, enable ? "/enable" : "/disable");
    code = rest_json(invocation, NULL, &(struct request){.method = "POST", .path = path.data, .once = true}, &job, NULL);
    buffer_deinit(&path);
    if (code != EXIT_CODE_OK)
        return code;
    code = show_job_done(invocation, job, enable ? "enabled" : "disabled");
    cJSON_Delete(job);
    return code;
}

static int enable_job(struct invocation *invocation, const char *text)
{
    return switch_job(invocation, text, true);
}

static int disable_job(struct invocation *invocation, const char *text)
{
    return switch_job(invocation, text, false);
}

int run_job_enable(struct invocation *invocation)
{
    return for_each_job(invocation, enable_job);
}

int run_job_disable(struct invocation *invocation)
{
    return for_each_job(invocation, disable_job);
}

/* --- upcoming, validate-schedule --- */

int run_job_upcoming(struct invocation *invocation)
{
    char reference[REFERENCE_SIZE];
    cJSON *answer;
    int code = resolve_job(invocation, invocation->arguments.operands[0], reference);
    if (code == EXIT_CODE_OK)
        code = get_upcoming(invocation, reference, arguments_number(&invocation->arguments, "count", 10), &answer);
    if (code != EXIT_CODE_OK)
        return code;
    const cJSON *instants = cJSON_GetObjectItemCaseSensitive(answer, "upcoming");
    if (invocation->format == FORMAT_JSON || invocation->format == FORMAT_YAML) {
        code = invocation_show(invocation, answer);
    } else {
        if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(answer, "enabled")))
            complain(NULL, "the job is disabled: this is when it would run");
        if (cJSON_GetArraySize(instants) == 0)
            complain(NULL, "the job does not come due any more; it runs when it is triggered");
        append_instants(invocation, answer, "upcoming");
    }
    cJSON_Delete(answer);
    return code;
}

static void describe_schedule(struct invocation *invocation, const cJSON *answer)
{
    const char *words = member_string(answer, "description");
    const cJSON *warning, *next = cJSON_GetObjectItemCaseSensitive(answer, "next");
    if (words != NULL)
        text_append_safe(&invocation->out, words, strlen(words), TEXT_ONE_LINE);
    buffer_append_string(&invocation->out, cJSON_GetArraySize(next) > 0 ? "\nnext:\n" : "\n");
    append_instants(invocation, answer, "next");
    cJSON_ArrayForEach(warning, cJSON_GetObjectItemCaseSensitive(answer, "warnings"))
    {
        if (!cJSON_IsString(warning))
            continue;
        buffer_append_string(&invocation->out, "warning: ");
        text_append_safe(&invocation->out, warning->valuestring, strlen(warning->valuestring), TEXT_ONE_LINE);
        buffer_append_char(&invocation->out, '\n');
    }
}

static void write_schedule_request(const struct arguments *arguments, struct buffer *body)
{
    struct json_writer w = json_writer_on(body);
    json_object_begin(&w);
    json_key(&w, "schedule");
    if (arguments->operand_count > 1)
        json_array_begin(&w);
    for (size_t i = 0; i < arguments->operand_count; i++)
        json_string(&w, arguments->operands[i]);
    if (arguments->operand_count > 1)
        json_array_end(&w);
    if (arguments_has(arguments, "timezone"))
        json_member_string(&w, "timezone", arguments_text(arguments, "timezone"));
    json_member_int(&w, "count", arguments_number(arguments, "count", UPCOMING_SHOWN));
    json_object_end(&w);
}

int run_validate_schedule(struct invocation *invocation)
{
    struct buffer body;
    cJSON *answer;
    buffer_init(&body, 1 << 20);
    write_schedule_request(&invocation->arguments, &body);
    if (body.failed != STATUS_OK) {
        buffer_deinit(&body);
        return complain_usage("the schedules are too long");
    }
    int code = rest_json(invocation, NULL,
                         &(struct request){.method = "POST", .path = "/api/v1/schedules/validate", .body = body.data},
                             &answer,
                         NULL);
    buffer_deinit(&body);
    if (code != EXIT_CODE_OK)
        return code;
    if (invocation->format == FORMAT_JSON || invocation->format == FORMAT_YAML)
        code = invocation_show(invocation, answer);
    else
        describe_schedule(invocation, answer);
    cJSON_Delete(answer);
    return code;
}
