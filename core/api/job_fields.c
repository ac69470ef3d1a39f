#include "api/job_fields.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { QUOTED_MAX = 60, CHOICES_TEXT = 200 };

/* The first letter tells nearly all words apart. */
static bool is_word(const char *text, const char *word)
{
    return text[0] == word[0] && strcmp(text, word) == 0;
}

const cJSON *field_get(const struct fields *fields, const char *key)
{
    const cJSON *value;
    cJSON_ArrayForEach(value, fields->object)
        if (value->string != NULL && is_word(value->string, key))
            return cJSON_IsNull(value) ? NULL : value;
    return NULL;
}

void pointer_append(char *pointer, size_t size, const char *part)
{
    size_t at = strlen(pointer);
    if (at + 1 < size)
        pointer[at++] = '/';
    for (; *part != '\0' && at + 3 < size; part++) {
        if (*part == '~' || *part == '/') {
            pointer[at++] = '~';
            pointer[at++] = *part == '~' ? '0' : '1';
        } else {
            pointer[at++] = *part;
        }
    }
    pointer[utf8_cut(pointer, at, at)] = '\0';
}

void field_refuse(const struct fields *fields, const char *key, const char *format, ...)
{
    char pointer[ERROR_FIELD_SIZE], message[ERROR_MESSAGE_SIZE];
    va_list args;
    (void)snprintf(pointer, sizeof pointer, "%s", fields->prefix);
    pointer_append(pointer, sizeof pointer, key);
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    field_errors_add(fields->errors, pointer, "%s", message);
}

const char *field_string(const struct fields *fields, const char *key, const char *fallback)
{
    const cJSON *value = field_get(fields, key);
    if (value == NULL)
        return fallback;
    if (cJSON_IsString(value))
        return value->valuestring;
    field_refuse(fields, key, "must be a string");
    return fallback;
}

bool field_bool(const struct fields *fields, const char *key, bool fallback)
{
    const cJSON *value = field_get(fields, key);
    if (value == NULL)
        return fallback;
    if (cJSON_IsBool(value))
        return cJSON_IsTrue(value);
    field_refuse(fields, key, "must be true or false");
    return fallback;
}

int64_t field_int(const struct fields *fields, const char *key, int64_t least, int64_t most, int64_t fallback)
{
    const cJSON *value = field_get(fields, key);
    if (value == NULL)
        return fallback;
    if (cJSON_IsNumber(value) && value->valuedouble >= (double)least && value->valuedouble <= (double)most &&
        value->valuedouble == (double)(int64_t)value->valuedouble)
        return (int64_t)value->valuedouble;
    field_refuse(fields, key, "must be a whole number from %lld to %lld", (long long)least, (long long)most);
    return fallback;
}

uint32_t field_thousandths(const struct fields *fields, const char *key, uint32_t least, uint32_t most,
                           uint32_t fallback)
{
    const cJSON *value = field_get(fields, key);
    if (value == NULL)
        return fallback;
    double thousandths = cJSON_IsNumber(value) ? value->valuedouble * 1000 : -1;
    if (thousandths >= least && thousandths <= most)
        return (uint32_t)(thousandths + 0.5);
    field_refuse(fields, key, "must be a number from %g to %g", least / 1000.0, most / 1000.0);
    return fallback;
}

static int64_t read_duration(const struct fields *fields, const char *key, const cJSON *value, int64_t least_ms,
                             int64_t most_ms, int64_t fallback_ms)
{
    char least[DURATION_TEXT_SIZE], most[DURATION_TEXT_SIZE];
    struct error err;
    int64_t ms;
    if (!cJSON_IsString(value)) {
        field_refuse(fields, key, "must be a duration such as \"30s\" or \"1h30m\"");
        return fallback_ms;
    }
    if (duration_parse(value->valuestring, strlen(value->valuestring), &ms, &err) != STATUS_OK) {
        field_refuse(fields, key, "%s", err.message);
        return fallback_ms;
    }
    if (ms >= least_ms && ms <= most_ms)
        return ms;
    duration_format(least_ms, least);
    duration_format(most_ms, most);
    field_refuse(fields, key, "must be from %s to %s", least, most);
    return fallback_ms;
}

int64_t field_duration(const struct fields *fields, const char *key, int64_t least_ms, int64_t most_ms,
                       int64_t fallback_ms)
{
    const cJSON *value = field_get(fields, key);
    return value == NULL ? fallback_ms : read_duration(fields, key, value, least_ms, most_ms, fallback_ms);
}

int64_t field_duration_or_unlimited(const struct fields *fields, const char *key, int64_t least_ms, int64_t most_ms,
                                    int64_t fallback_ms)
{
    const cJSON *value = field_get(fields, key);
    if (cJSON_IsString(value) && strcmp(value->valuestring, "unlimited") == 0)
        return 0;
    return value == NULL ? fallback_ms : read_duration(fields, key, value, least_ms, most_ms, fallback_ms);
}

static void list_choices(const char *const *choices, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (uint32_t i = 0; choices[i] != NULL && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s\"%s\"", i == 0 ? "" : choices[i + 1] == NULL ? " or " : ", ",
                               choices[i]);
}

uint32_t field_choice(const struct fields *fields, const char *key, const char *const *choices, uint32_t fallback)
{
    const cJSON *value = field_get(fields, key);
    char all[CHOICES_TEXT];
    if (value == NULL)
        return fallback;
    for (uint32_t i = 0; cJSON_IsString(value) && choices[i] != NULL; i++)
        if (strcmp(value->valuestring, choices[i]) == 0)
            return i;
    list_choices(choices, all, sizeof all);
    field_refuse(fields, key, "must be %s", all);
    return fallback;
}

static bool is_among(const char *word, const char *const *words)
{
    for (; *words != NULL; words++)
        if (is_word(word, *words))
            return true;
    return false;
}

static const char *nearest_of(const char *word, const char *const *known, const char *const *more)
{
    const char *near = nearest_word(word, known);
    return near != NULL ? near : nearest_word(word, more);
}

void fields_check_known(const struct fields *fields, const char *const *known, const char *const *more)
{
    const cJSON *member;
    cJSON_ArrayForEach(member, fields->object)
    {
        if (is_among(member->string, known) || is_among(member->string, more))
            continue;
        const char *near = nearest_of(member->string, known, more);
        int size = (int)utf8_cut(member->string, strlen(member->string), QUOTED_MAX);
        if (near != NULL)
            field_refuse(fields, member->string, "unknown field \"%.*s\"; did you mean \"%s\"?", size, member->string,
                         near);
        else
            field_refuse(fields, member->string, "unknown field \"%.*s\"", size, member->string);
    }
}
