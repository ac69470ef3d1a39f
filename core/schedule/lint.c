/* What is allowed but often not meant. */
#include "schedule/schedule_internal.h"

#include "schedule/zone_internal.h"

/* The widest change worth a warning; a longer one is a lost day, which nobody plans around. */
enum { CHANGE_SECONDS_MAX = 3 * 3600, RECENT_CHANGES = 8 };

/* Whether a time of day in [from_s, end_s) local seconds is the cron's, whatever the date. */
static bool has_time_between(const struct cron *cron, int64_t from_s, int64_t end_s)
{
    struct cron any_day = *cron;
    int64_t found;
    any_day.flags &= (uint8_t)~CRON_DAYS_EITHER;
    any_day.days = CRON_DAYS_ALL;
    any_day.weekdays = WEEKDAYS_ALL;
    any_day.months = CRON_MONTHS_ALL;
    return cron_next_local(&any_day, from_s, end_s, &found);
}

/* Whether a fixed time falls into the hours that the zone's recurring changes skip or repeat. */
static bool meets_clock_change(const struct schedule *schedule, const struct cron *cron)
{
    const struct zone *zone = schedule->zone;
    if (!zone->keeps_changing || cron_is_interval(cron))
        return false;
    for (uint32_t i = zone->count; i > 0 && i + RECENT_CHANGES > zone->count; i--) {
        int64_t before = zone->at[i - 1] + zone->offsets[i - 1], after = zone->at[i - 1] + zone->offsets[i];
        int64_t low = before < after ? before : after, high = before < after ? after : before;
        if (high - low <= CHANGE_SECONDS_MAX && has_time_between(cron, low, high))
            return true;
    }
    return false;
}

/* A step that starts anew each hour (or day) although it does not divide it. */
static bool has_uneven_step(uint64_t bits, int count)
{
    int first, second, last, values = __builtin_popcountll(bits);
    uint64_t expected = 0;
    if (values < 3 || values > count / 2)
        return false;
    first = __builtin_ctzll(bits);
    second = __builtin_ctzll(bits & (bits - 1));
    last = 63 - __builtin_clzll(bits);
    for (int value = first; value < count; value += second - first)
        expected |= UINT64_C(1) << value;
    return expected == bits && first + count - last != second - first;
}

static bool only_late_days(const struct cron *cron)
{
    uint32_t late = UINT32_C(7) << 29;
    return cron->days != 0 && (cron->days & ~late) == 0 && cron->days_from_last == 0 && cron->nearest_weekdays == 0 &&
           cron->months == CRON_MONTHS_ALL;
}

struct warnings {
    const char **out;
    size_t count, max;
};

static void warn_if(struct warnings *warnings, bool condition, const char *sentence)
{
    if (!condition || warnings->count == warnings->max)
        return;
    for (size_t i = 0; i < warnings->count; i++) {
        if (warnings->out[i] == sentence)
            return; /* another member had it */
    }
    warnings->out[warnings->count++] = sentence;
}

static void lint_cron(const struct schedule *schedule, const struct cron *cron, struct warnings *warnings)
{
    static const char every_second[] = "runs every second of each matching minute, because seconds is *";
    static const char clock_change[] = "a fixed time lies in the hours that this time zone skips or repeats when its "
                                       "clock changes; see dst_gap and dst_overlap";
    static const char either_day[] = "day-of-month and day-of-week are both restricted: a day that matches either one "
                                     "counts; see day_match";
    static const char late_days[] = "not every month has the days 29 to 31; L is the last day of any month";
    static const char uneven_step[] = "the step does not divide the hour or day evenly, so the last interval of each "
                                      "is shorter; @every keeps a constant one";
    warn_if(warnings, cron->seconds == CRON_SIXTY_ALL, every_second);
    warn_if(warnings, meets_clock_change(schedule, cron), clock_change);
    warn_if(warnings, (cron->flags & CRON_DAYS_EITHER) != 0, either_day);
    warn_if(warnings, only_late_days(cron) && cron->weekdays == WEEKDAYS_ALL, late_days);
    warn_if(warnings,
            ((cron->flags & CRON_MINUTE_INTERVAL) != 0 && has_uneven_step(cron->minutes, 60)) ||
                ((cron->flags & CRON_HOUR_INTERVAL) != 0 && has_uneven_step(cron->hours, 24)),
            uneven_step);
}

size_t schedule_lint(const struct schedule *schedule, const char *out_warnings[], size_t max)
{
    struct warnings warnings = {.out = out_warnings, .max = max};
    for (uint8_t i = 0; i < schedule->count; i++) {
        if (schedule->members[i].kind == MEMBER_CRON)
            lint_cron(schedule, &schedule->members[i].cron, &warnings);
    }
    return warnings.count;
}
