#include "ctl/problem.h"

#include <stdarg.h>
#include <stdio.h>
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

static void append_field(struct buffer *out, const cJSON *error)
{
    const char *field = member_text(error, "field"), *message = member_text(error, "message");
    if (message == NULL)
        return;
    buffer_append_string(out, "  ");
    text_append_safe(out, field != NULL ? field : "/", strlen(field != NULL ? field : "/"), TEXT_ONE_LINE);
    buffer_append_string(out, ": ");
    text_append_safe(out, message, strlen(message), TEXT_ONE_LINE);
    buffer_append_char(out, '\n');
}

static void append_problem(struct buffer *out, const cJSON *problem)
{
    const char *sentence = member_text(problem, "detail"), *title = member_text(problem, "title");
    const cJSON *error;
    sentence = sentence != NULL ? sentence : title != NULL ? title : "refused";
    text_append_safe(out, sentence, strlen(sentence), TEXT_ONE_LINE);
    buffer_append_char(out, '\n');
    cJSON_ArrayForEach(error, cJSON_GetObjectItemCaseSensitive(problem, "errors"))
        append_field(out, error);
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

void problem_text(const char *prefix, const char *server, const struct response *response, struct buffer *out)
{
    cJSON *problem = NULL;
    struct error err;
    begin(out, prefix);
    if (response->is_problem && json_parse(response->body.data, response->body.size, &problem, &err) == STATUS_OK &&
        cJSON_IsObject(problem))
        append_problem(out, problem);
    else
        append_strange(out, server, response);
    cJSON_Delete(problem);
}

int problem_report(const char *prefix, const char *server, const struct response *response)
{
    struct buffer out;
    buffer_init(&out, 8 * PROBLEM_TEXT_MAX);
    problem_text(prefix, server, response, &out);
    print(&out);
    return response->status == 404 ? EXIT_CODE_NOT_FOUND : EXIT_CODE_REFUSED;
}
