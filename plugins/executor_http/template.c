#include "template.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "plugin_error.h"

enum placeholder { JOB_ID, JOB_NAME, EXECUTION_ID, SCHEDULED_TIME, ATTEMPT, PLACEHOLDER_COUNT };

static const char *const names[PLACEHOLDER_COUNT] = {
    [JOB_ID] = ".JobID",
    [JOB_NAME] = ".JobName",
    [EXECUTION_ID] = ".ExecutionID",
    [SCHEDULED_TIME] = ".ScheduledTime",
    [ATTEMPT] = ".Attempt",
};

struct values {
    const char *text[PLACEHOLDER_COUNT];
    char time[64], attempt[16];
};

void format_time(int64_t unix_ns, char *out, size_t size)
{
    int64_t ms = unix_ns >= 0 ? unix_ns / 1000000 : -((-unix_ns + 999999) / 1000000);
    int64_t rest = ((ms % 1000) + 1000) % 1000;
    time_t seconds = (time_t)((ms - rest) / 1000);
    struct tm parts;
    char date[40];

    if (gmtime_r(&seconds, &parts) == NULL || strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts) == 0) {
        (void)snprintf(out, size, "%lld", (long long)seconds);
        return;
    }
    (void)snprintf(out, size, "%s.%03dZ", date, (int)rest);
}

static const char *find_pair(const char *at, const char *end, char c)
{
    for (; end - at >= 2; at++) {
        if (at[0] == c && at[1] == c) {
            return at;
        }
    }
    return NULL;
}

/* `at` stands behind "{{". Blanks around the name are allowed. On success *ret_end is behind "}}". */
static int32_t read_placeholder(const char *at, const char *end, int *ret_which, const char **ret_end,
                                struct chronos_error *err)
{
    const char *close = find_pair(at, end, '}');

    if (close == NULL) {
        return plugin_error(err, CHRONOS_INVALID, 0, "body: a {{ is not closed by }}");
    }
    const char *first = at, *last = close;
    while (first < last && *first == ' ') {
        first++;
    }
    while (last > first && last[-1] == ' ') {
        last--;
    }
    size_t size = (size_t)(last - first);
    for (int which = 0; which < PLACEHOLDER_COUNT; which++) {
        if (strlen(names[which]) == size && memcmp(names[which], first, size) == 0) {
            *ret_which = which;
            *ret_end = close + 2;
            return CHRONOS_OK;
        }
    }
    int shown = size > 40 ? 40 : (int)size;
    return plugin_error(err, CHRONOS_INVALID, 0,
                        "body: {{%.*s}} is not known; there are {{.JobID}}, {{.JobName}}, {{.ExecutionID}}, "
                        "{{.ScheduledTime}} and {{.Attempt}}",
                        shown, first);
}

static size_t add(char *out, size_t at, const char *data, size_t size)
{
    if (out != NULL) {
        memcpy(out + at, data, size);
    }
    return at + size;
}

/* Writes to `out`, or only counts where it is NULL. */
static int32_t walk(const char *text, size_t size, const struct values *values, char *out, size_t *ret_size,
                    struct chronos_error *err)
{
    const char *at = text, *end = text + size;
    size_t written = 0;
    int which = 0;

    for (;;) {
        const char *open = find_pair(at, end, '{');
        if (open == NULL) {
            *ret_size = add(out, written, at, (size_t)(end - at));
            return CHRONOS_OK;
        }
        written = add(out, written, at, (size_t)(open - at));
        int32_t status = read_placeholder(open + 2, end, &which, &at, err);
        if (status != CHRONOS_OK) {
            return status;
        }
        written = add(out, written, values->text[which], strlen(values->text[which]));
    }
}

int32_t template_check(const char *text, size_t size, struct chronos_error *err)
{
    const struct values empty = {.text = {"", "", "", "", ""}};
    size_t ignored;

    return walk(text, size, &empty, NULL, &ignored, err);
}

static void fill_values(struct values *values, const struct chronos_run *run)
{
    format_time(run->scheduled_unix_ns, values->time, sizeof(values->time));
    (void)snprintf(values->attempt, sizeof(values->attempt), "%u", (unsigned)run->attempt);
    values->text[JOB_ID] = run->job_id;
    values->text[JOB_NAME] = run->job_name;
    values->text[EXECUTION_ID] = run->execution_id;
    values->text[SCHEDULED_TIME] = values->time;
    values->text[ATTEMPT] = values->attempt;
}

int32_t template_expand(const char *text, size_t size, const struct chronos_run *run, char **ret, size_t *ret_size,
                        struct chronos_error *err)
{
    struct values values;
    size_t expanded;

    fill_values(&values, run);
    int32_t status = walk(text, size, &values, NULL, &expanded, err);
    if (status != CHRONOS_OK) {
        return status;
    }
    char *out = malloc(expanded + 1);
    if (out == NULL) {
        return plugin_error_retryable(err, CHRONOS_NOMEM, 0, "no memory for the body");
    }
    (void)walk(text, size, &values, out, &expanded, err);
    out[expanded] = '\0';
    *ret = out;
    *ret_size = expanded;
    return CHRONOS_OK;
}
