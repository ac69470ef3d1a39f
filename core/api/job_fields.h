/* Typed members of an object that came from a user: each reads one member, and reports what is wrong with it under its
 * JSON pointer. An absent member, and one that is null, counts as not given. */
#ifndef CHRONOS_API_JOB_FIELDS_H
#define CHRONOS_API_JOB_FIELDS_H

#include "api/api_internal.h"

struct fields {
    const cJSON *object;
    const char *prefix; /* pointer of the object: "" or "/retry_policy" */
    struct field_errors *errors;
};

/* NULL where it is not given. */
const cJSON *field_get(const struct fields *fields, const char *key);
/* Reports "<prefix>/<key>". */
void field_refuse(const struct fields *fields, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Each gives the fallback where the member is not given, or is refused. */
const char *field_string(const struct fields *fields, const char *key, const char *fallback);
bool field_bool(const struct fields *fields, const char *key, bool fallback);
int64_t field_int(const struct fields *fields, const char *key, int64_t least, int64_t most, int64_t fallback);
/* A number kept in thousandths. */
uint32_t field_thousandths(const struct fields *fields, const char *key, uint32_t least, uint32_t most,
                           uint32_t fallback);
int64_t field_duration(const struct fields *fields, const char *key, int64_t least_ms, int64_t most_ms,
                       int64_t fallback_ms);
/* As field_duration, and "unlimited" gives 0. */
int64_t field_duration_or_unlimited(const struct fields *fields, const char *key, int64_t least_ms, int64_t most_ms,
                                    int64_t fallback_ms);
/* Index of the word in `choices` (NULL-terminated). */
uint32_t field_choice(const struct fields *fields, const char *key, const char *const *choices, uint32_t fallback);

/* Reports each member that is in none of the two NULL-terminated lists, with the nearest of both. */
void fields_check_known(const struct fields *fields, const char *const *known, const char *const *more);

/* Appends "/<part>" to a pointer, escaped as RFC 6901 has it; what does not fit is left out. */
void pointer_append(char *pointer, size_t size, const char *part);

#endif
