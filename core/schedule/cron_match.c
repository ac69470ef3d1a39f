/* Which local seconds a cron expression matches. The months are skipped by their bit, the days of a month are one set
 * of bits, the time of day is found by bits: no step looks at single seconds. */
#include "schedule/schedule_internal.h"

#include "base/clock.h"
#include "schedule/zone_internal.h"

static uint32_t days_up_to(int length)
{
    return (uint32_t)((UINT64_C(1) << (length + 1)) - 2);
}

int month_length(int64_t year, int month)
{
    static const uint8_t lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : lengths[month - 1];
}

/* The weekday (Monday to Friday) nearest to `day` within its month. */
static int nearest_weekday(int day, int length, int first_weekday)
{
    int weekday = (first_weekday + day - 1) % 7;
    if (weekday == 6)
        return day > 1 ? day - 1 : day + 2;
    if (weekday == 0)
        return day < length ? day + 1 : day - 2;
    return day;
}

static uint32_t special_month_days(const struct cron *cron, int length, int first_weekday)
{
    uint32_t days = 0;
    for (int n = 0; n < length; n++) {
        if ((cron->days_from_last >> n & 1) != 0)
            days |= UINT32_C(1) << (length - n);
    }
    for (int n = 0; n <= length; n++) {
        if ((cron->nearest_weekdays >> n & 1) != 0)
            days |= UINT32_C(1) << nearest_weekday(n == 0 ? length : n, length, first_weekday);
    }
    return days;
}

static uint32_t nth_weekday_days(const struct cron *cron, int length, int first_weekday)
{
    uint32_t days = 0;
    for (int weekday = 0; weekday < 7; weekday++) {
        int first = 1 + (weekday - first_weekday + 7) % 7;
        for (int k = 1; k <= 6; k++) {
            int day = first + 7 * (k - 1);
            if ((cron->nth_weekdays >> ((k - 1) * 7 + weekday) & 1) == 0)
                continue;
            if (k == 6)
                day = first + 28 <= length ? first + 28 : first + 21;
            if (day <= length)
                days |= UINT32_C(1) << day;
        }
    }
    return days;
}

uint32_t cron_month_days(const struct cron *cron, int length, int first_weekday)
{
    uint32_t all = days_up_to(length), by_day = cron->days, by_weekday = 0;
    if ((cron->days_from_last | cron->nearest_weekdays) != 0)
        by_day |= special_month_days(cron, length, first_weekday);
    if (cron->weekdays == WEEKDAYS_ALL) {
        by_weekday = all;
    } else {
        for (int weekday = 0; weekday < 7; weekday++) {
            if ((cron->weekdays >> weekday & 1) != 0)
                by_weekday |= (uint32_t)(UINT64_C(0x10204081) << (1 + (weekday - first_weekday + 7) % 7));
        }
        if (cron->nth_weekdays != 0)
            by_weekday |= nth_weekday_days(cron, length, first_weekday);
    }
    return all & ((cron->flags & CRON_DAYS_EITHER) != 0 ? by_day | by_weekday : by_day & by_weekday);
}

/* The lowest bit at or above `from`; -1 if there is none. */
static int next_bit(uint64_t bits, int from)
{
    bits = from < 64 ? bits >> from << from : 0;
    return bits == 0 ? -1 : __builtin_ctzll(bits);
}

/* The first matching second of a day at or after `from`; -1 if the rest of the day has none. */
static int next_second_of_day(const struct cron *cron, int from)
{
    int hour = from / 3600, minute = from / 60 % 60, second = from % 60;
    int found = next_bit(cron->hours, hour);
    if (found == hour) {
        int found_minute = next_bit(cron->minutes, minute);
        if (found_minute == minute) {
            int found_second = next_bit(cron->seconds, second);
            if (found_second >= 0)
                return hour * 3600 + minute * 60 + found_second;
            found_minute = next_bit(cron->minutes, minute + 1);
        }
        if (found_minute >= 0)
            return hour * 3600 + found_minute * 60 + __builtin_ctzll(cron->seconds);
        found = next_bit(cron->hours, hour + 1);
    }
    if (found < 0)
        return -1;
    return found * 3600 + __builtin_ctzll(cron->minutes) * 60 + __builtin_ctzll(cron->seconds);
}

static int64_t floor_days(int64_t seconds)
{
    return seconds / DAY_SECONDS - (seconds % DAY_SECONDS < 0);
}

bool cron_next_local(const struct cron *cron, int64_t from_s, int64_t end_s, int64_t *ret_s)
{
    int64_t day = floor_days(from_s), year, first_day;
    int second = (int)(from_s - day * DAY_SECONDS), month, day_of_month;
    if (from_s >= end_s)
        return false;
    civil_from_days(day, &year, &month, &day_of_month);
    first_day = day - (day_of_month - 1);
    while (first_day * DAY_SECONDS < end_s) {
        int length = month_length(year, month);
        uint32_t days = 0;
        if ((cron->months >> month & 1) != 0)
            days = cron_month_days(cron, length, (int)(((first_day + 4) % 7 + 7) % 7));
        if (day_of_month > 1)
            days = days >> day_of_month << day_of_month;
        for (; days != 0; days &= days - 1) {
            int64_t midnight = (first_day + __builtin_ctz(days) - 1) * DAY_SECONDS;
            int found = next_second_of_day(cron, midnight > from_s - second ? 0 : second);
            if (found < 0)
                continue;
            if (midnight + found >= end_s)
                return false;
            *ret_s = midnight + found;
            return true;
        }
        first_day += length;
        day_of_month = 1;
        month = month == 12 ? 1 : month + 1;
        year += month == 1;
    }
    return false;
}
