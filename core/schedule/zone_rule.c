#include "schedule/zone_internal.h"

#include <string.h>

#include "base/clock.h"

struct cursor {
    const char *at, *end;
};

static enum status damaged(struct error *err, const char *what)
{
    return error_set(err, STATUS_CORRUPT, "the footer's rule has %s", what);
}

static bool take_char(struct cursor *c, char wanted)
{
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

static bool take_number(struct cursor *c, int low, int high, int *ret)
{
    const char *start = c->at;
    int value = 0;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9' && c->at - start < 4)
        value = value * 10 + (*c->at++ - '0');
    if (c->at == start || value < low || value > high)
        return false;
    *ret = value;
    return true;
}

/* "EST" or "<+0330>": only skipped, names have no meaning here. */
static bool take_name(struct cursor *c)
{
    const char *start = c->at;
    if (take_char(c, '<')) {
        const char *close = memchr(c->at, '>', (size_t)(c->end - c->at));
        if (close == NULL)
            return false;
        c->at = close + 1;
        return true;
    }
    while (c->at < c->end && ((*c->at >= 'A' && *c->at <= 'Z') || (*c->at >= 'a' && *c->at <= 'z')))
        c->at++;
    return c->at - start >= 3;
}

/* [+|-]hh[:mm[:ss]] */
static bool take_time(struct cursor *c, int hours_max, int32_t *ret_s)
{
    int sign = 1, hours, minutes = 0, seconds = 0;
    if (take_char(c, '-'))
        sign = -1;
    else
        (void)take_char(c, '+'); /* optional */
    if (!take_number(c, 0, hours_max, &hours))
        return false;
    if (take_char(c, ':')) {
        if (!take_number(c, 0, 59, &minutes))
            return false;
        if (take_char(c, ':') && !take_number(c, 0, 59, &seconds))
            return false;
    }
    *ret_s = sign * (hours * 3600 + minutes * 60 + seconds);
    return true;
}

static bool take_date(struct cursor *c, struct zone_rule_date *ret)
{
    bool good;
    memset(ret, 0, sizeof *ret);
    if (take_char(c, 'M')) {
        ret->form = ZONE_RULE_MONTH;
        good = take_number(c, 1, 12, &ret->month) && take_char(c, '.') && take_number(c, 1, 5, &ret->week) &&
               take_char(c, '.') && take_number(c, 0, 6, &ret->weekday);
    } else if (take_char(c, 'J')) {
        ret->form = ZONE_RULE_JULIAN;
        good = take_number(c, 1, 365, &ret->day);
    } else {
        ret->form = ZONE_RULE_DAY;
        good = take_number(c, 0, 365, &ret->day);
    }
    if (!good)
        return false;
    ret->time_s = 2 * 3600;
    return !take_char(c, '/') || take_time(c, 167, &ret->time_s);
}

enum status zone_rule_parse(const char *text, size_t size, struct zone_rule *ret, struct error *err)
{
    struct cursor c = {text, text + size};
    struct zone_rule rule;
    int32_t west; /* POSIX counts west of Greenwich */
    memset(&rule, 0, sizeof rule);
    if (!take_name(&c))
        return damaged(err, "no name");
    if (!take_time(&c, 24, &west))
        return damaged(err, "no valid offset");
    rule.standard_offset = -west;
    if (c.at < c.end) {
        rule.has_daylight = true;
        rule.daylight_offset = rule.standard_offset + 3600;
        if (!take_name(&c))
            return damaged(err, "no name for daylight saving time");
        if (c.at < c.end && *c.at != ',') {
            if (!take_time(&c, 24, &west))
                return damaged(err, "no valid offset for daylight saving time");
            rule.daylight_offset = -west;
        }
        if (!take_char(&c, ',') || !take_date(&c, &rule.start))
            return damaged(err, "no valid start of daylight saving time");
        if (!take_char(&c, ',') || !take_date(&c, &rule.end))
            return damaged(err, "no valid end of daylight saving time");
    }
    if (c.at != c.end)
        return damaged(err, "more text than a rule");
    *ret = rule;
    return STATUS_OK;
}

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* POSIX.1-2017, 8.3 "TZ": week 5 is the month's last one. */
static int64_t month_form_day(const struct zone_rule_date *date, int64_t year)
{
    int64_t first = days_from_civil(year, date->month, 1);
    int64_t next = date->month == 12 ? days_from_civil(year + 1, 1, 1) : days_from_civil(year, date->month + 1, 1);
    int64_t first_weekday = ((first + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
    int64_t day = first + (date->weekday - first_weekday + 7) % 7 + 7 * (date->week - 1);
    return day < next ? day : day - 7;
}

static int64_t local_instant(const struct zone_rule_date *date, int64_t year)
{
    int64_t day;
    if (date->form == ZONE_RULE_MONTH)
        day = month_form_day(date, year);
    else if (date->form == ZONE_RULE_JULIAN)
        day = days_from_civil(year, 1, 1) + date->day - 1 + (is_leap(year) && date->day >= 60);
    else
        day = days_from_civil(year, 1, 1) + date->day;
    return day * DAY_SECONDS + date->time_s;
}

int64_t zone_rule_daylight_start(const struct zone_rule *rule, int64_t year)
{
    return local_instant(&rule->start, year) - rule->standard_offset;
}

int64_t zone_rule_daylight_end(const struct zone_rule *rule, int64_t year)
{
    return local_instant(&rule->end, year) - rule->daylight_offset;
}
