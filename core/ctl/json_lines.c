#include "ctl/json_lines.h"

#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "ctl/yaml_to_json.h"

static bool is_blank(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size && (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r'))
        at++;
    return at == size;
}

static size_t line_size(const char *text, size_t size)
{
    const char *newline = size > 0 ? memchr(text, '\n', size) : NULL;
    return newline != NULL ? (size_t)(newline - text) : size;
}

bool json_lines_detect(const char *text, size_t size)
{
    struct error err;
    cJSON *json;
    size_t at = 0, line = line_size(text, size);
    while (is_blank(text + at, line) && at + line < size) {
        at += line + 1;
        line = line_size(text + at, size - at);
    }
    if (is_blank(text + at + line, size - at - line) || json_parse(text + at, line, &json, &err) != STATUS_OK)
        return false;
    cJSON_Delete(json);
    return true;
}

static enum status add_line(cJSON *lines, const char *at, size_t size, uint32_t line, const char *label,
                            struct error *err)
{
    static const char first[] = "line 1, "; /* json_parse counts within what it is given */
    cJSON *json;
    if (json_parse(at, size, &json, err) != STATUS_OK) {
        size_t skip = strncmp(err->message, first, strlen(first)) == 0 ? strlen(first) : 0;
        memmove(err->message, err->message + skip, strlen(err->message + skip) + 1);
        return error_wrap(err, "%s:%u", label, line);
    }
    yaml_set_line(json, line);
    if (cJSON_AddItemToArray(lines, json))
        return STATUS_OK;
    cJSON_Delete(json);
    return error_set(err, STATUS_NO_MEMORY, "out of memory");
}

enum status json_lines_parse(const char *text, size_t size, const char *label, cJSON **ret, struct error *err)
{
    size_t at = 0;
    cJSON *lines = cJSON_CreateArray();
    enum status status = lines != NULL ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "out of memory");
    for (uint32_t line = 1; status == STATUS_OK && at < size; line++) {
        size_t length = line_size(text + at, size - at);
        if (!is_blank(text + at, length))
            status = add_line(lines, text + at, length, line, label, err);
        at += length + (at + length < size);
    }
    if (status == STATUS_OK)
        *ret = lines;
    else
        cJSON_Delete(lines);
    return status;
}
