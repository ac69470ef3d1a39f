/* A schedule in words. */
#include "schedule/schedule_internal.h"

#include "base/clock.h"

static const char *const weekday_names[7] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                             "Thursday", "Friday", "Saturday"};
static const char *const month_names[13] = {"",     "January", "February",  "March",   "April",    "May",     "June",
                                            "July", "August",  "September", "October", "November", "December"};

static int bit_count(uint64_t bits)
{
    return __builtin_popcountll(bits);
}

/* Between the items of "a, b and c". */
static void append_separator(struct buffer *out, int index, int count, const char *conjunction)
{
    if (index == 0)
        return;
    if (index < count - 1)
        buffer_append_string(out, ", ");
    else
        buffer_appendf(out, " %s ", conjunction);
}

static void append_numbers(struct buffer *out, uint64_t bits)
{
    int count = bit_count(bits), index = 0;
    for (; bits != 0; bits &= bits - 1, index++) {
        append_separator(out, index, count, "and");
        buffer_appendf(out, "%d", __builtin_ctzll(bits));
    }
}

/* At least three values in a row, through the end of [low, low + count) if need be. */
static bool is_run(uint64_t bits, int low, int count, int *ret_first, int *ret_last)
{
    int length = bit_count(bits);
    if (length < 3 || length == count)
        return false;
    for (int first = low; first < low + count; first++) {
        int run = 0;
        while (run < count && (bits >> (low + (first - low + run) % count) & 1) != 0)
            run++;
        if (run == length) {
            *ret_first = first;
            *ret_last = low + (first - low + length - 1) % count;
            return true;
        }
    }
    return false;
}

/* What "first/step" gives in [low, low + count), at least two values. */
static bool is_stepped(uint64_t bits, int low, int count, int *ret_first, int *ret_step)
{
    int first, step;
    uint64_t expected = 0;
    if (bit_count(bits) < 2)
        return false;
    first = __builtin_ctzll(bits);
    step = __builtin_ctzll(bits & (bits - 1)) - first;
    for (int value = first; value < low + count; value += step)
        expected |= UINT64_C(1) << value;
    *ret_first = first;
    *ret_step = step;
    return step > 1 && expected == bits;
}

static void append_names(struct buffer *out, uint64_t bits, int low, int count, int begin, const char *const *names,
                         const char *conjunction)
{
    int first, last, total = bit_count(bits), index = 0;
    if (is_run(bits, low, count, &first, &last)) {
        buffer_appendf(out, "%s to %s", names[first], names[last]);
        return;
    }
    for (int i = 0; i < count; i++) {
        int value = low + (begin - low + i) % count;
        if ((bits >> value & 1) == 0)
            continue;
        append_separator(out, index++, total, conjunction);
        buffer_append_string(out, names[value]);
    }
}

/* "at 09:00 and 17:00:30", for a handful of times. */
static void append_times(const struct cron *cron, struct buffer *out)
{
    int total = bit_count(cron->hours) * bit_count(cron->minutes) * bit_count(cron->seconds), index = 0;
    buffer_append_string(out, "at ");
    for (uint64_t hours = cron->hours; hours != 0; hours &= hours - 1) {
        for (uint64_t minutes = cron->minutes; minutes != 0; minutes &= minutes - 1) {
            for (uint64_t seconds = cron->seconds; seconds != 0; seconds &= seconds - 1) {
                append_separator(out, index++, total, "and");
                buffer_appendf(out, "%02d:%02d", __builtin_ctzll(hours), __builtin_ctzll(minutes));
                if (cron->seconds != 1)
                    buffer_appendf(out, ":%02d", __builtin_ctzll(seconds));
            }
        }
    }
}

/* "every second", "every 15 minutes from minute 5", "at minutes 5 and 35". */
static void append_unit(struct buffer *out, uint64_t bits, const char *unit)
{
    int first, step;
    if (bits == CRON_SIXTY_ALL) {
        buffer_appendf(out, "every %s", unit);
    } else if (is_stepped(bits, 0, 60, &first, &step)) {
        buffer_appendf(out, "every %d %ss", step, unit);
        if (first > 0)
            buffer_appendf(out, " from %s %d", unit, first);
    } else {
        buffer_appendf(out, "at %s%s ", unit, bit_count(bits) > 1 ? "s" : "");
        append_numbers(out, bits);
    }
}

/* In which hours something happens again and again. */
static void append_hours(const struct cron *cron, struct buffer *out)
{
    int first, last, step;
    if (cron->hours == CRON_HOURS_ALL)
        return;
    if (is_run(cron->hours, 0, 24, &first, &last)) {
        buffer_appendf(out, " from %02d:00 to %02d:59", first, last);
    } else if (is_stepped(cron->hours, 0, 24, &first, &step)) {
        buffer_appendf(out, " in one hour out of %d", step);
        if (first > 0)
            buffer_appendf(out, " from %02d:00", first);
    } else {
        buffer_appendf(out, " in hour%s ", bit_count(cron->hours) > 1 ? "s" : "");
        append_numbers(out, cron->hours);
    }
}

/* One minute of several hours: "every 2 hours from 01:05". */
static void append_hourly(const struct cron *cron, struct buffer *out)
{
    int first, last, step, minute = __builtin_ctzll(cron->minutes);
    if (cron->hours == CRON_HOURS_ALL) {
        buffer_append_string(out, "every hour");
        if (minute > 0)
            buffer_appendf(out, " at minute %d", minute);
    } else if (is_stepped(cron->hours, 0, 24, &first, &step)) {
        buffer_appendf(out, "every %d hours", step);
        if (first > 0 || minute > 0)
            buffer_appendf(out, " from %02d:%02d", first, minute);
    } else if (is_run(cron->hours, 0, 24, &first, &last)) {
        buffer_appendf(out, "every hour from %02d:%02d to %02d:%02d", first, minute, last, minute);
    } else {
        buffer_appendf(out, "at minute %d of hours ", minute);
        append_numbers(out, cron->hours);
    }
}

static void append_time_of_day(const struct cron *cron, struct buffer *out)
{
    if (bit_count(cron->hours) * bit_count(cron->minutes) * bit_count(cron->seconds) <= 6) {
        append_times(cron, out);
        return;
    }
    if (bit_count(cron->seconds) > 1) {
        append_unit(out, cron->seconds, "second");
        if (cron->minutes != CRON_SIXTY_ALL) {
            buffer_appendf(out, " of minute%s ", bit_count(cron->minutes) > 1 ? "s" : "");
            append_numbers(out, cron->minutes);
        }
        append_hours(cron, out);
        return;
    }
    if (bit_count(cron->minutes) == 1) {
        append_hourly(cron, out);
    } else {
        append_unit(out, cron->minutes, "minute");
        append_hours(cron, out);
    }
    if (cron->seconds != 1)
        buffer_appendf(out, " at second %d", __builtin_ctzll(cron->seconds));
}

/* The parts of a phrase, joined by " or ". */
static void begin_part(struct buffer *out, int *part)
{
    buffer_append_string(out, (*part)++ == 0 ? "" : " or ");
}

static void append_days(const struct cron *cron, struct buffer *out)
{
    int first, last, step, part = 0;
    if (cron->days != 0) {
        begin_part(out, &part);
        if (is_run(cron->days, 1, 31, &first, &last)) {
            buffer_appendf(out, "on days %d to %d of the month", first, last);
        } else if (bit_count(cron->days) > 2 && is_stepped(cron->days, 1, 31, &first, &step)) {
            buffer_appendf(out, "every %d days from day %d of the month", step, first);
        } else {
            buffer_appendf(out, "on day%s ", bit_count(cron->days) > 1 ? "s" : "");
            append_numbers(out, cron->days);
            buffer_append_string(out, " of the month");
        }
    }
    for (int n = 0; n <= 30; n++) {
        if ((cron->days_from_last >> n & 1) == 0)
            continue;
        begin_part(out, &part);
        if (n == 0)
            buffer_append_string(out, "on the last day of the month");
        else
            buffer_appendf(out, "%d day%s before the last day of the month", n, n == 1 ? "" : "s");
    }
    for (int n = 0; n <= 31; n++) {
        if ((cron->nearest_weekdays >> n & 1) == 0)
            continue;
        begin_part(out, &part);
        if (n == 0)
            buffer_append_string(out, "on the last weekday of the month");
        else
            buffer_appendf(out, "on the weekday nearest to day %d", n);
    }
}

static void append_weekdays(const struct cron *cron, struct buffer *out, bool with_on)
{
    static const char *const order[6] = {"first", "second", "third", "fourth", "fifth", "last"};
    int first, last, part = 0;
    if (cron->weekdays != 0) {
        begin_part(out, &part);
        if (with_on && !is_run(cron->weekdays, 0, 7, &first, &last))
            buffer_append_string(out, "on ");
        append_names(out, cron->weekdays, 0, 7, 1, weekday_names, "and");
    }
    for (int bit = 0; bit < 42; bit++) {
        if ((cron->nth_weekdays >> bit & 1) == 0)
            continue;
        begin_part(out, &part);
        buffer_appendf(out, "%sthe %s %s of the month", with_on ? "on " : "", order[bit / 7], weekday_names[bit % 7]);
    }
}

static void append_date(const struct cron *cron, struct buffer *out)
{
    bool any_day = cron->days == CRON_DAYS_ALL, any_weekday = cron->weekdays == WEEKDAYS_ALL;
    bool either = (cron->flags & CRON_DAYS_EITHER) != 0;
    if (either ? any_day || any_weekday : any_day && any_weekday) {
        if (cron->months == CRON_MONTHS_ALL && !cron_is_interval(cron))
            buffer_append_string(out, " every day");
    } else if (either || (!any_day && !any_weekday)) {
        buffer_append_string(out, ", ");
        append_days(cron, out);
        buffer_append_string(out, either ? " or " : ", if that is ");
        append_weekdays(cron, out, either);
    } else {
        buffer_append_string(out, ", ");
        if (any_weekday)
            append_days(cron, out);
        else
            append_weekdays(cron, out, true);
    }
    if (cron->months != CRON_MONTHS_ALL) {
        buffer_append_string(out, ", in ");
        append_names(out, cron->months, 1, 12, 1, month_names, "and");
    }
}

static void append_member(const union member *member, struct buffer *out)
{
    char interval_text[DURATION_TEXT_SIZE], at_text[TIME_TEXT_SIZE];
    switch ((enum member_kind)member->kind) {
    case MEMBER_CRON:
        append_time_of_day(&member->cron, out);
        append_date(&member->cron, out);
        break;
    case MEMBER_EVERY:
        duration_format(member->every.interval_ms, interval_text);
        buffer_appendf(out, "every %s", interval_text);
        break;
    case MEMBER_AT:
        time_format(member->at.at_ms, at_text);
        buffer_appendf(out, "once at %s", at_text);
        break;
    case MEMBER_MANUAL:
        buffer_append_string(out, "only when triggered");
        break;
    }
}

void schedule_describe(const struct schedule *schedule, struct buffer *out)
{
    for (uint8_t i = 0; i < schedule->count; i++) {
        buffer_append_string(out, i == 0 ? "" : "; and ");
        append_member(&schedule->members[i], out);
    }
}
