#include "ctl/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "ctl/text.h"

enum { PROBLEM_TEXT_MAX = 1 << 20, BODY_SHOWN = 200 };

static void begin(struct buffer *out, const char *prefix)
{
    buffer_append_string(out, "chronosctl: ");
    if (prefix == NULL)
        return;
    text_append_safe(out, prefix, strlen(prefix), TEXT_ONE_LINE);
    buffer_append_string(out, ": ");
}

static void print(struct buffer *out)
{
    (void)fflush(stdout); /* in the order in which things happened */
    if (out->failed == STATUS_OK)
        (void)fwrite(out->data, 1, out->size, stderr);
    buffer_deinit(out);
}

static void vcomplain(const char *prefix, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

static void vcomplain(const char *prefix, const char *format, va_list args)
{
    struct buffer text, out;
    buffer_init(&text, PROBLEM_TEXT_MAX);
    buffer_init(&out, 4 * PROBLEM_TEXT_MAX);
    buffer_vappendf(&text, format, args);
    begin(&out, prefix);
    text_append_safe(&out, text.data, text.size, TEXT_ONE_LINE);
    buffer_append_char(&out, '\n');
    buffer_deinit(&text);
    print(&out);
}

void complain(const char *prefix, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vcomplain(prefix, format, args);
    va_end(args);
}

int complain_usage(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vcomplain(NULL, format, args);
    va_end(args);
    return EXIT_CODE_USAGE;
}

int complain_error(const char *prefix, const struct error *err)
{
    complain(prefix, "%s", err->message);
    return err->code == STATUS_IO || err->code == STATUS_TIMEOUT ? EXIT_CODE_UNREACHABLE
           : err->code == STATUS_NOT_FOUND                       ? EXIT_CODE_NOT_FOUND
                                                                 : EXIT_CODE_REFUSED;
}

static const char *member_text(const cJSON *object, const char *name)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(member) && member->valuestring[0] != '\0' ? member->valuestring : NULL;
}

/* --- the server speaks of its own interface; who sits here has flags --- */

static const struct {
    const char *field, *flag;
} flags_of_fields[] = {
    {"/name", "name"},
    {"/schedule", "schedule"},
    {"/timezone", "timezone"},
    {"/timeout", "timeout"},
    {"/concurrency", "concurrency"},
    {"/max_concurrent", "max-concurrent"},
    {"/missed_run_policy", "missed-run-policy"},
    {"/retry_policy/max_attempts", "retries"},
    {"/retry_policy/initial_interval", "retry-interval"},
    {"/tags", "tag"},
    {"/placement/tags", "placement-tag"},
    {"/placement", "placement"},
    {"/description", "description"},
    {"/count", "count"},
    {"/executor", "executor"},
    {"/config/command", "command"},
    {"/config/env", "env"},
    {"/config/url", "webhook"},
    {"/config/method", "method"},
    {"/config/headers", "header"},
    {"/config/body", "body"},
    {"/config", "config"},
    {"/config", "webhook"}, /* what its executor says of the whole */
    {"/config", "command"},
};

/* Whole parts only: "/tags" begins "/tags/a", not "/tagss". NULL, or what follows. */
static const char *behind(const char *field, const char *beginning)
{
    size_t size = strlen(beginning);
    return strncmp(field, beginning, size) == 0 && (field[size] == '/' || field[size] == '\0') ? field + size : NULL;
}

/* "--tag (a)" for "/tags/a" where --tag was given, "--schedule number 1" for "/schedule/0", else "tags/a". */
static void append_name(struct buffer *out, const struct arguments *arguments, const char *field)
{
    for (size_t i = 0; arguments != NULL && i < sizeof flags_of_fields / sizeof *flags_of_fields; i++) {
        const char *rest = behind(field, flags_of_fields[i].field);
        if (rest == NULL || !arguments_has(arguments, flags_of_fields[i].flag))
            continue;
        buffer_appendf(out, "--%s", flags_of_fields[i].flag);
        if (*rest != '\0' && rest[1 + strspn(rest + 1, "0123456789")] == '\0')
            buffer_appendf(out, " number %ld", strtol(rest + 1, NULL, 10) + 1);
        else if (*rest != '\0')
            buffer_appendf(out, " (%s)", rest + 1);
        return;
    }
    buffer_append_string(out, field[0] == '/' ? field + 1 : field);
}

/* A sentence of the server, without what only a caller of the REST API can use. */
static void append_sentence(struct buffer *out, const char *sentence)
{
    static const struct {
        const char *rest, *ours;
    } phrases[] = {
        {"query parameter ", "--"},
        {"; GET /api/v1/jobs lists them", "; chronosctl job list shows all"},
        {" (a + is written %2B)", ""},
        {"send the header \"Authorization: Bearer <token>\"",
         "name a file that holds it with --token-file, or put it into the variable CHRONOS_TOKEN"},
    };
    while (*sentence != '\0') {
        size_t size = 0;
        for (size_t i = 0; i < sizeof phrases / sizeof *phrases && size == 0; i++) {
            if (strncmp(sentence, phrases[i].rest, strlen(phrases[i].rest)) != 0)
                continue;
            size = strlen(phrases[i].rest);
            buffer_append_string(out, phrases[i].ours);
        }
        if (size == 0)
            buffer_append_char(out, *sentence);
        sentence += size > 0 ? size : 1;
    }
}

/* "<field>: <message>" */
static void append_field(struct buffer *out, const struct arguments *arguments, const cJSON *error)
{
    const char *field = member_text(error, "field");
    if (field != NULL) {
        append_name(out, arguments, field);
        buffer_append_string(out, ": ");
    }
    append_sentence(out, member_text(error, "message"));
}

/* The one sentence: of the only field that is wrong, of the code, or the server's own. */
static void append_detail(struct buffer *out, const struct arguments *arguments, const cJSON *problem, const cJSON *only,
                          int count)
{
    const char *detail = member_text(problem, "detail"), *title = member_text(problem, "title");
    const char *code = member_text(problem, "code");
    if (only != NULL && (detail == NULL || strstr(detail, member_text(only, "message")) != NULL))
        append_field(out, arguments, only);
    else if (count > 1)
        buffer_appendf(out, "%d fields are wrong:", count);
    else if (code != NULL && strcmp(code, "VERSION_MISMATCH") == 0)
        buffer_append_string(out, "somebody else changed the job in the meantime: look at it, then say it again");
    else
        append_sentence(out, detail != NULL ? detail : title != NULL ? title : "refused");
}

static void append_problem(struct buffer *out, const struct arguments *arguments, const cJSON *problem)
{
    const cJSON *error, *errors = cJSON_GetObjectItemCaseSensitive(problem, "errors"), *last = NULL;
    struct buffer line;
    int count = 0;
    cJSON_ArrayForEach(error, errors)
    {
        if (member_text(error, "message") == NULL)
            continue;
        last = error;
        count++;
    }
    buffer_init(&line, PROBLEM_TEXT_MAX);
    append_detail(&line, arguments, problem, count == 1 ? last : NULL, count);
    text_append_safe(out, line.data, line.size, TEXT_ONE_LINE);
    buffer_append_char(out, '\n');
    cJSON_ArrayForEach(error, errors)
    {
        if (count < 2 || member_text(error, "message") == NULL)
            continue;
        buffer_clear(&line);
        append_field(&line, arguments, error);
        buffer_append_string(out, "  ");
        text_append_safe(out, line.data, line.size, TEXT_ONE_LINE);
        buffer_append_char(out, '\n');
    }
    buffer_deinit(&line);
}

/* Not from a Chronos: a proxy, or another program on that port. */
static void append_strange(struct buffer *out, const char *server, const struct response *response)
{
    size_t size = response->body.size < BODY_SHOWN ? response->body.size : BODY_SHOWN;
    size = response->body.size > size ? utf8_cut(response->body.data, response->body.size, size) : size;
    buffer_appendf(out, "%s answered %d without a problem document; is it Chronos?", server, response->status);
    if (size > 0) {
        buffer_append_string(out, " It says: ");
        text_append_safe(out, response->body.data, size, TEXT_ONE_LINE);
    }
    buffer_append_char(out, '\n');
}

void problem_text(const struct arguments *arguments, const char *prefix, const char *server,
                  const struct response *response, struct buffer *out)
{
    cJSON *problem = NULL;
    struct error err;
    begin(out, prefix);
    if (response->is_problem && json_parse(response->body.data, response->body.size, &problem, &err) == STATUS_OK &&
        cJSON_IsObject(problem))
        append_problem(out, arguments, problem);
    else
        append_strange(out, server, response);
    cJSON_Delete(problem);
}

int problem_report(const struct arguments *arguments, const char *prefix, const char *server,
                   const struct response *response)
{
    struct buffer out;
    buffer_init(&out, 8 * PROBLEM_TEXT_MAX);
    problem_text(arguments, prefix, server, response, &out);
    print(&out);
    return response->status == 404 ? EXIT_CODE_NOT_FOUND : EXIT_CODE_REFUSED;
}
