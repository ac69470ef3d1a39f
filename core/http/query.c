/* What handlers ask of a request: headers by name, query parameters. */
#include <string.h>
#include <strings.h>

#include "http/request.h"

struct bytes http_header_get(const struct http_request *request, const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];
        if (header->name.size == size && strncasecmp(header->name.data, name, size) == 0)
            return header->value;
    }
    return (struct bytes){NULL, 0};
}

/* The next decoded byte at *at; -1: bad escape or NUL. */
static int decode_byte(const char **at, const char *end)
{
    char c = *(*at)++;
    if (c == '+')
        return ' ';
    if (c != '%')
        return c == '\0' ? -1 : (unsigned char)c;
    if (end - *at < 2)
        return -1;
    int high = hex_value((*at)[0]), low = hex_value((*at)[1]);
    *at += 2;
    if (high < 0 || low < 0 || high + low == 0)
        return -1;
    return high * 16 + low;
}

/* `out` is "" where this fails, never half a value. */
static enum status decode(struct bytes raw, char *out, size_t out_size)
{
    const char *at = raw.data, *end = at + raw.size;
    size_t used = 0;
    bool fits = out_size > 0;
    if (out_size > 0)
        out[0] = '\0';
    while (at < end) {
        int byte = decode_byte(&at, end);
        if (byte < 0) {
            if (out_size > 0)
                out[0] = '\0';
            return STATUS_MALFORMED;
        }
        fits = fits && used + 1 < out_size;
        if (fits)
            out[used++] = (char)byte;
    }
    if (out_size > 0)
        out[fits ? used : 0] = '\0';
    return fits ? STATUS_OK : STATUS_TOO_LARGE;
}

struct parameter {
    struct bytes name, value; /* raw */
};

static bool next_parameter(struct bytes query, size_t *cursor, struct parameter *ret)
{
    const char *text = query.data;
    while (*cursor < query.size && text[*cursor] == '&')
        (*cursor)++;
    if (*cursor >= query.size)
        return false;
    const char *begin = text + *cursor, *end = memchr(begin, '&', query.size - *cursor);
    if (end == NULL)
        end = text + query.size;
    *cursor = (size_t)(end - text);
    const char *equals = memchr(begin, '=', (size_t)(end - begin));
    const char *name_end = equals != NULL ? equals : end;
    const char *value = equals != NULL ? equals + 1 : end;
    *ret = (struct parameter){{begin, (size_t)(name_end - begin)}, {value, (size_t)(end - value)}};
    return true;
}

static bool name_equals(struct bytes raw, const char *name)
{
    const char *at = raw.data, *end = at + raw.size;
    while (at < end) {
        int byte = decode_byte(&at, end);
        if (byte <= 0 || byte != (unsigned char)*name)
            return false;
        name++;
    }
    return *name == '\0';
}

bool http_query_get(const struct http_request *request, const char *name, char *out, size_t out_size,
                    enum status *ret_status)
{
    struct parameter parameter;
    size_t cursor = 0;
    *ret_status = STATUS_OK;
    while (next_parameter(request->query, &cursor, &parameter)) {
        if (!name_equals(parameter.name, name))
            continue;
        *ret_status = decode(parameter.value, out, out_size);
        return true;
    }
    return false;
}

bool http_query_next(const struct http_request *request, size_t *cursor, char *name, size_t name_size, char *value,
                     size_t value_size, enum status *ret_status)
{
    struct parameter parameter;
    *ret_status = STATUS_OK;
    if (!next_parameter(request->query, cursor, &parameter))
        return false;
    enum status of_name = decode(parameter.name, name, name_size);
    enum status of_value = decode(parameter.value, value, value_size);
    *ret_status = of_name != STATUS_OK ? of_name : of_value;
    return true;
}
