/* Schedule texts to members: the macros here, the fields in cron_parse.c. */
#include "schedule/schedule_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/nearest.h"

static const struct {
    const char *name; /* upper case */
    const char *cron; /* NULL: not an abbreviation of a cron expression */
} macros[] = {
    {"@YEARLY", "0 0 1 1 *"}, {"@ANNUALLY", "0 0 1 1 *"}, {"@MONTHLY", "0 0 1 * *"}, {"@WEEKLY", "0 0 * * 0"},
    {"@DAILY", "0 0 * * *"},  {"@MIDNIGHT", "0 0 * * *"}, {"@HOURLY", "0 * * * *"},  {"@EVERY", NULL},
    {"@AT", NULL},            {"@MANUALLY", NULL},
};
enum { MACRO_COUNT = sizeof macros / sizeof macros[0] };

bool text_is(const char *text, size_t size, const char *upper_case)
{
    size_t i = 0;
    while (i < size && upper_case[i] != '\0' && ascii_upper(text[i]) == upper_case[i])
        i++;
    return i == size && upper_case[i] == '\0';
}

static bool text_begins(const char *text, size_t size, const char *upper_case)
{
    size_t length = strlen(upper_case);
    return size >= length && text_is(text, length, upper_case);
}

const char *quoted(const char *text, size_t size, char out[QUOTED_SIZE])
{
    size_t length = size > 32 ? 29 : size;
    for (size_t i = 0; i < length; i++)
        out[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    memcpy(out + length, size > 32 ? "..." : "", size > 32 ? 4 : 1);
    return out;
}

static enum status unknown_macro(const char *text, size_t size, struct error *err)
{
    char shown[QUOTED_SIZE], nearest[16] = "";
    size_t best = 4; /* further apart is no help */
    for (size_t i = 0; i < MACRO_COUNT; i++) {
        size_t distance = edit_distance(text, size, macros[i].name, strlen(macros[i].name));
        if (distance >= best)
            continue;
        best = distance;
        for (size_t at = 0; at == 0 || macros[i].name[at - 1] != '\0'; at++) {
            char c = macros[i].name[at];
            nearest[at] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        }
    }
    quoted(text, size, shown);
    if (nearest[0] == '\0')
        return error_set(err, STATUS_INVALID, "\"%s\" is not a known macro; there are @yearly @annually @monthly "
                                              "@weekly @daily @midnight @hourly @every @at @manually", shown);
    return error_set(err, STATUS_INVALID, "\"%s\" is not a known macro (nearest: %s)", shown, nearest);
}

static enum status parse_every(const char *text, size_t size, int64_t anchor_ms, union member *ret, struct error *err)
{
    int64_t interval_ms;
    enum status s;
    if (size == 0)
        return error_set(err, STATUS_INVALID, "@every: a duration is missing, as in \"@every 1h30m\"");
    s = duration_parse(text, size, &interval_ms, err);
    if (s != STATUS_OK)
        return error_wrap(err, "@every");
    if (interval_ms < SCHEDULE_EVERY_MS_MIN)
        return error_set(err, STATUS_INVALID, "@every: the shortest interval is 1s");
    if (interval_ms > (int64_t)SCHEDULE_EVERY_DAYS_MAX * 86400000)
        return error_set(err, STATUS_INVALID, "@every: the longest interval is 10 years (%dd)",
                         SCHEDULE_EVERY_DAYS_MAX);
    ret->every = (struct every){MEMBER_EVERY, interval_ms, anchor_ms};
    return STATUS_OK;
}

static enum status parse_at(const char *text, size_t size, union member *ret, struct error *err)
{
    int64_t at_ms;
    enum status s;
    if (size == 0)
        return error_set(err, STATUS_INVALID, "@at: an instant is missing, as in \"@at 2027-01-01T00:00:00Z\"");
    s = time_parse(text, size, &at_ms, err);
    if (s != STATUS_OK)
        return error_wrap(err, "@at");
    if (at_ms < INSTANT_MS_MIN || at_ms > INSTANT_MS_MAX)
        return error_set(err, STATUS_INVALID, "@at: the instant lies outside the years 1 to 9999");
    ret->at = (struct at){MEMBER_AT, at_ms};
    return STATUS_OK;
}

static enum status parse_macro(const char *text, size_t size, int64_t anchor_ms, struct schedule_options options,
                               union member *ret, struct error *err)
{
    size_t word = 0, rest;
    char shown[QUOTED_SIZE];
    while (word < size && text[word] != ' ' && text[word] != '\t')
        word++;
    for (rest = word; rest < size && (text[rest] == ' ' || text[rest] == '\t');)
        rest++;
    if (text_is(text, word, "@REBOOT"))
        return error_set(err, STATUS_INVALID, "@reboot is not supported: a job belongs to the cluster, not to the "
                                              "start of one machine; use @every or @manually");
    if (text_is(text, word, "@EVERY"))
        return parse_every(text + rest, size - rest, anchor_ms, ret, err);
    if (text_is(text, word, "@AT"))
        return parse_at(text + rest, size - rest, ret, err);
    for (size_t i = 0; i < MACRO_COUNT; i++) {
        if (!text_is(text, word, macros[i].name))
            continue;
        if (rest < size)
            return error_set(err, STATUS_INVALID, "%s: nothing is allowed behind it", quoted(text, word, shown));
        if (macros[i].cron != NULL)
            return cron_parse(macros[i].cron, strlen(macros[i].cron), options.day_match, &ret->cron, err);
        ret->kind = MEMBER_MANUAL;
        return STATUS_OK;
    }
    return unknown_macro(text, word, err);
}

static bool is_iso_interval(const char *text, size_t size)
{
    size_t at = 1;
    if (size < 2 || ascii_upper(text[0]) != 'R')
        return false;
    while (at < size && text[at] >= '0' && text[at] <= '9')
        at++;
    return at < size && text[at] == '/';
}

static enum status parse_member(const char *text, int64_t anchor_ms, struct schedule_options options,
                                union member *ret, struct error *err)
{
    size_t size = strnlen(text, JOB_SCHEDULE_TEXT_MAX + 1);
    if (size > JOB_SCHEDULE_TEXT_MAX)
        return error_set(err, STATUS_INVALID, "a schedule has at most %d bytes", JOB_SCHEDULE_TEXT_MAX);
    while (size > 0 && (*text == ' ' || *text == '\t')) {
        text++;
        size--;
    }
    while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\t'))
        size--;
    if (size == 0)
        return error_set(err, STATUS_INVALID, "the schedule is empty; \"@manually\" is one that never fires by itself");
    if (text_begins(text, size, "TZ=") || text_begins(text, size, "CRON_TZ="))
        return error_set(err, STATUS_INVALID, "a TZ= prefix is not supported; use the job's timezone field");
    if (is_iso_interval(text, size))
        return error_set(err, STATUS_INVALID, "ISO 8601 repeating intervals (R5/...) are not supported by this "
                                              "version; use @every or @at");
    if (text[0] == '@')
        return parse_macro(text, size, anchor_ms, options, ret, err);
    return cron_parse(text, size, options.day_match, &ret->cron, err);
}

enum status schedule_parse(const char *const *texts, size_t text_count, const struct zone *zone,
                           struct schedule_options options, int64_t anchor_ms, struct schedule **ret, struct error *err)
{
    struct schedule *schedule;
    assert(zone != NULL && ret != NULL && err != NULL && (texts != NULL || text_count == 0));
    if (text_count == 0)
        return error_set(err, STATUS_INVALID, "a schedule is missing; \"@manually\" is one that never fires by itself");
    if (text_count > JOB_SCHEDULES_MAX)
        return error_set(err, STATUS_INVALID, "%zu schedules; at most %d are allowed", text_count, JOB_SCHEDULES_MAX);
    if (anchor_ms < INSTANT_MS_MIN || anchor_ms > INSTANT_MS_MAX)
        return error_set(err, STATUS_INVALID, "the anchor lies outside the years 1 to 9999");
    schedule = calloc(1, sizeof *schedule + text_count * sizeof(union member));
    if (schedule == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a schedule");
    schedule->zone = zone;
    schedule->count = (uint8_t)text_count;
    schedule->dst_gap = (uint8_t)options.dst_gap;
    schedule->dst_overlap = (uint8_t)options.dst_overlap;
    for (size_t i = 0; i < text_count; i++) {
        enum status s = parse_member(texts[i], anchor_ms, options, &schedule->members[i], err);
        if (s != STATUS_OK) {
            schedule_free(schedule);
            return text_count > 1 ? error_wrap(err, "schedule %zu", i + 1) : s;
        }
    }
    *ret = schedule;
    return STATUS_OK;
}

void schedule_free(struct schedule *schedule)
{
    free(schedule);
}
