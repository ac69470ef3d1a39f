/* Query parameters: unknown ones are errors, values are checked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_internal.h"

enum { NAME_SIZE = 128, VALUE_SIZE = 1024, NUMBER_SIZE = 32 };

static bool is_known(const char *name, const char *const *known)
{
    for (; *known != NULL; known++) {
        size_t size = strlen(*known);
        bool is_prefix = (*known)[size - 1] == '.';
        if (is_prefix ? strncmp(name, *known, size) == 0 && name[size] != '\0' : strcmp(name, *known) == 0)
            return true;
    }
    return strcmp(name, "consistent") == 0;
}

static enum status bad_query(enum status status, const char *name, struct error *err)
{
    return error_set(err, status == STATUS_TOO_LARGE ? STATUS_MALFORMED : status,
                     status == STATUS_TOO_LARGE ? "query parameter %s is too long"
                                                : "query parameter %s: bad percent-encoding",
                     name);
}

enum status query_check(const struct http_request *request, const char *const *known, struct error *err)
{
    char name[NAME_SIZE], value[VALUE_SIZE];
    size_t cursor = 0;
    enum status status = STATUS_OK;
    while (http_query_next(request, &cursor, name, sizeof name, value, sizeof value, &status)) {
        if (status != STATUS_OK)
            return bad_query(status, "", err);
        if (is_known(name, known))
            continue;
        const char *near = nearest_word(name, known);
        if (near != NULL)
            return error_set(err, STATUS_MALFORMED, "unknown query parameter \"%s\"; did you mean \"%s\"?", name, near);
        return error_set(err, STATUS_MALFORMED, "unknown query parameter \"%s\"", name);
    }
    return status == STATUS_OK ? STATUS_OK : bad_query(status, "", err);
}

bool query_bool(const struct http_request *request, const char *name, bool *ret, enum status *ret_status, struct error *err)
{
    char value[NUMBER_SIZE];
    enum status status = STATUS_OK;
    *ret_status = STATUS_OK;
    if (!http_query_get(request, name, value, sizeof value, &status))
        return false;
    if (status == STATUS_OK && (strcmp(value, "true") == 0 || strcmp(value, "false") == 0)) {
        *ret = value[0] == 't';
        return true;
    }
    *ret_status = error_set(err, STATUS_MALFORMED, "query parameter %s is true or false", name);
    return true;
}

bool query_int(const struct http_request *request, const char *name, int64_t least, int64_t most, int64_t *ret,
               enum status *ret_status, struct error *err)
{
    char value[NUMBER_SIZE], *end;
    enum status status = STATUS_OK;
    *ret_status = STATUS_OK;
    if (!http_query_get(request, name, value, sizeof value, &status))
        return false;
    long long number = strtoll(value, &end, 10);
    bool is_number = value[0] != '\0' && *end == '\0' && (value[0] == '-' || (value[0] >= '0' && value[0] <= '9'));
    if (status == STATUS_OK && is_number && number >= least && number <= most) {
        *ret = number;
        return true;
    }
    *ret_status = error_set(err, STATUS_MALFORMED, "query parameter %s is a number from %lld to %lld", name, (long long)least,
                            (long long)most);
    return true;
}

bool query_time(const struct http_request *request, const char *name, int64_t *ret_ms, enum status *ret_status,
                struct error *err)
{
    char value[TIME_TEXT_SIZE + 32];
    enum status status = STATUS_OK;
    *ret_status = STATUS_OK;
    if (!http_query_get(request, name, value, sizeof value, &status))
        return false;
    if (status == STATUS_OK && time_parse(value, strlen(value), ret_ms, err) == STATUS_OK)
        return true;
    *ret_status = error_set(err, STATUS_MALFORMED,
                            "query parameter %s is an RFC 3339 time such as 2027-01-01T00:00:00Z (a + is written %%2B)", name);
    return true;
}
