/* Problem documents, RFC 9457. */
#include <stdarg.h>
#include <stdio.h>

#include "api/api_internal.h"

void field_errors_add(struct field_errors *errors, const char *field, const char *format, ...)
{
    va_list args;
    uint32_t i = errors->count++;
    if (i >= API_FIELD_ERRORS_MAX)
        return;
    (void)snprintf(errors->items[i].field, sizeof errors->items[i].field, "%s", field);
    va_start(args, format);
    (void)vsnprintf(errors->items[i].message, sizeof errors->items[i].message, format, args);
    va_end(args);
}

static void write_field_errors(struct json_writer *w, const struct field_errors *errors)
{
    uint32_t listed = errors->count < API_FIELD_ERRORS_MAX ? errors->count : API_FIELD_ERRORS_MAX;
    json_key(w, "errors");
    json_array_begin(w);
    for (uint32_t i = 0; i < listed; i++) {
        json_object_begin(w);
        json_member_string(w, "field", errors->items[i].field);
        json_member_string(w, "message", errors->items[i].message);
        json_object_end(w);
    }
    json_array_end(w);
}

void problem_write(struct buffer *out, enum status code, int http_status, const char *detail, const char *request_id,
                   const struct field_errors *errors)
{
    struct json_writer w = json_writer_on(out);
    json_object_begin(&w);
    json_member_string(&w, "type", "about:blank");
    json_member_string(&w, "title", status_title(code));
    json_member_int(&w, "status", http_status);
    if (detail[0] != '\0')
        json_member_string(&w, "detail", detail);
    json_member_string(&w, "code", status_name(code));
    if (errors != NULL && errors->count > 0)
        write_field_errors(&w, errors);
    json_member_string(&w, "request_id", request_id);
    json_object_end(&w);
}
