/* schedule_next against brute force: random expressions, random windows of time, every kind of zone. The oracle below
 * shares nothing with the code but zone_offset (which test_zone compares with the C library): it writes down the local
 * time of every single minute (or second) of the window and says of each, by the words of docs/api.md, whether
 * it fires. The seed is printed; CHRONOS_TEST_SEED sets it. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "schedule/schedule_internal.h"
#include "schedule/zone_internal.h"

enum { DAY_MINUTES = 1440, CASES_MINUTES = 2500, CASES_SECONDS = 1500, CASES_MIN = 40 };
#define TIME_LIMIT_NS UINT64_C(2000000000) /* for what comes after the first CASES_MIN */

static struct random generator;

static int below(int bound)
{
    return (int)random_below(&generator, (uint64_t)bound);
}

/* An expression as text, and what it means, made side by side. */
struct expression {
    char text[256];
    bool second[60], minute[60], hour[24], day[32], month[13], weekday[7];
    bool last_day, interval, day_restricted, weekday_restricted, day_star, weekday_star;
};

struct range {
    int low, count;
};

/* Append one field of up to three items; sets flags of what it means. Most fields are restricted so that days and
 * months stay near. */
static void random_field(struct expression *e, struct range range, bool *values, int star_share, bool *ret_interval,
                         bool *ret_restricted, bool *ret_star)
{
    char *at = e->text + strlen(e->text);
    size_t room = sizeof e->text - strlen(e->text);
    int items = 1 + (below(4) == 0 ? below(3) : 0);
    *ret_interval = *ret_restricted = *ret_star = false;
    if (below(100) < star_share) {
        for (int i = 0; i < range.count; i++)
            values[range.low + i] = true;
        *ret_interval = *ret_star = true;
        (void)snprintf(at, room, " *");
        return;
    }
    *ret_restricted = true;
    for (int i = 0; i < items; i++) {
        int first = range.low + below(range.count), length = below(range.count), step = 1 + below(range.count);
        int last = range.low + (first - range.low + length) % range.count, form = below(5), used = 0;
        const char *comma = i == 0 ? " " : ",";
        switch (form) {
        case 0:
            used = snprintf(at, room, "%s%d", comma, first);
            values[first] = true;
            break;
        case 1:
            used = snprintf(at, room, "%s%d-%d", comma, first, last);
            for (int k = 0; k <= length; k++)
                values[range.low + (first - range.low + k) % range.count] = true;
            break;
        case 2:
            used = snprintf(at, room, "%s%d-%d/%d", comma, first, last, step);
            for (int k = 0; k <= length; k += step)
                values[range.low + (first - range.low + k) % range.count] = true;
            *ret_interval = true;
            break;
        case 3:
            used = snprintf(at, room, "%s%d/%d", comma, first, step);
            for (int k = first; k < range.low + range.count; k += step)
                values[k] = true;
            *ret_interval = true;
            break;
        default:
            used = snprintf(at, room, "%s*/%d", comma, step);
            for (int k = range.low; k < range.low + range.count; k += step)
                values[k] = true;
            *ret_interval = true;
            *ret_star = *ret_star || i == 0;
            break;
        }
        at += used;
        room -= (size_t)used;
    }
}

static void random_expression(struct expression *e, bool with_seconds)
{
    bool minute_interval, hour_interval, unused, unused_too;
    memset(e, 0, sizeof *e);
    e->second[0] = !with_seconds;
    if (with_seconds)
        random_field(e, (struct range){0, 60}, e->second, 20, &unused, &unused, &unused_too);
    random_field(e, (struct range){0, 60}, e->minute, 15, &minute_interval, &unused, &unused_too);
    if (below(3) == 0) { /* the hours in which clocks change */
        int hour = below(4);
        (void)snprintf(e->text + strlen(e->text), 8, " %d", hour);
        e->hour[hour] = true;
        hour_interval = false;
    } else {
        random_field(e, (struct range){0, 24}, e->hour, 15, &hour_interval, &unused, &unused_too);
    }
    random_field(e, (struct range){1, 31}, e->day, 60, &unused, &e->day_restricted, &e->day_star);
    if (e->day_restricted && below(4) == 0) {
        (void)snprintf(e->text + strlen(e->text), 8, ",L");
        e->last_day = true;
    }
    random_field(e, (struct range){1, 12}, e->month, 85, &unused, &unused_too, &unused_too);
    random_field(e, (struct range){0, 7}, e->weekday, 60, &unused, &e->weekday_restricted, &e->weekday_star);
    e->interval = minute_interval || hour_interval;
}

static bool expression_matches(const struct expression *e, enum day_match day_match, int64_t local)
{
    int64_t day = local / DAY_SECONDS - (local % DAY_SECONDS < 0), year, next_year;
    int second = (int)(local - day * DAY_SECONDS), month, day_of_month, next_month, next_day;
    bool by_day, by_weekday, either;
    if (!e->second[second % 60] || !e->minute[second / 60 % 60] || !e->hour[second / 3600])
        return false;
    civil_from_days(day, &year, &month, &day_of_month);
    civil_from_days(day + 1, &next_year, &next_month, &next_day);
    by_day = e->day[day_of_month] || (e->last_day && next_day == 1);
    by_weekday = e->weekday[((day + 4) % 7 + 7) % 7];
    either = day_match == DAY_MATCH_ANY    ? e->day_restricted && e->weekday_restricted
             : day_match == DAY_MATCH_ALL ? false
                                          : !e->day_star && !e->weekday_star;
    return e->month[month] && (either ? by_day || by_weekday : by_day && by_weekday);
}

/* A window of instants, one each `unit_s`, and of the local times that they can show. */
struct window {
    int64_t start_s, unit_s;
    int count, local_count;
    int64_t local_start_s;
    int *first_shown, *last_shown; /* by local time: index of the instant, -1 for none */
    bool *fires;
};

enum { WINDOW_MARGIN_S = 30 * 3600 }; /* more than any offset */

static void window_fill(struct window *w, const struct zone *zone)
{
    for (int i = 0; i < w->local_count; i++)
        w->first_shown[i] = w->last_shown[i] = -1;
    for (int i = 0; i < w->count; i++) {
        int64_t at = w->start_s + i * w->unit_s;
        int64_t index = (at + zone_offset(zone, at) - w->local_start_s) / w->unit_s;
        if (w->first_shown[index] < 0)
            w->first_shown[index] = i;
        w->last_shown[index] = i;
        w->fires[i] = false;
    }
}

/* The instant at which the local clock jumps over `local`, or -1. */
static int gap_end(const struct window *w, const struct zone *zone, int local)
{
    int before = local, after = local;
    while (before >= 0 && w->last_shown[before] < 0)
        before--;
    while (after < w->local_count && w->first_shown[after] < 0)
        after++;
    if (before < 0 || after == w->local_count)
        return -1; /* the window's edge */
    for (int i = w->last_shown[before]; i <= w->first_shown[after]; i++) {
        int64_t at = w->start_s + i * w->unit_s, shown = at + zone_offset(zone, at);
        if (shown > w->local_start_s + local * w->unit_s)
            return i;
    }
    return -1;
}

static void oracle(struct window *w, const struct zone *zone, const struct expression *e,
                   struct schedule_options options)
{
    for (int local = 0; local < w->local_count; local++) {
        if (!expression_matches(e, options.day_match, w->local_start_s + local * w->unit_s))
            continue;
        if (w->first_shown[local] < 0) {
            int end = e->interval || options.dst_gap == DST_GAP_SKIP ? -1 : gap_end(w, zone, local);
            if (end >= 0)
                w->fires[end] = true;
            continue;
        }
        if (e->interval || options.dst_overlap == DST_OVERLAP_BOTH || options.dst_overlap == DST_OVERLAP_FIRST)
            w->fires[w->first_shown[local]] = true;
        if (e->interval || options.dst_overlap == DST_OVERLAP_BOTH || options.dst_overlap == DST_OVERLAP_SECOND)
            w->fires[w->last_shown[local]] = true;
    }
}

static void mismatch(const struct expression *e, const struct zone *zone, struct schedule_options options,
                     int64_t from_ms, int64_t got_ms, int64_t expected_ms)
{
    char from[TIME_TEXT_SIZE], got[TIME_TEXT_SIZE], expected[TIME_TEXT_SIZE];
    time_format(from_ms, from);
    time_format(got_ms, got);
    time_format(expected_ms, expected);
    fail_msg("\"%s\" in %s (gap %d, overlap %d, day_match %d): %s after %s, expected %s", e->text, zone_name(zone),
             options.dst_gap, options.dst_overlap, options.day_match, got, from, expected);
}

/* Walk both through the window's middle; the edges belong to local times that lie outside. */
static void compare(const struct window *w, const struct zone *zone, const struct expression *e,
                    struct schedule_options options)
{
    const char *text = e->text;
    struct schedule *schedule = NULL;
    struct error err = {0};
    int margin = (int)(WINDOW_MARGIN_S / w->unit_s);
    int64_t end_ms = (w->start_s + (w->count - margin) * w->unit_s) * 1000;
    int64_t at_ms = (w->start_s + margin * w->unit_s) * 1000 - 1, next_ms = 0;
    if (schedule_parse(&text, 1, zone, options, 0, &schedule, &err) != STATUS_OK)
        fail_msg("\"%s\": %s", text, err.message);
    for (int i = margin; i < w->count - margin; i++) {
        int64_t expected_ms = (w->start_s + i * w->unit_s) * 1000;
        if (!w->fires[i])
            continue;
        if (!schedule_next(schedule, at_ms, &next_ms) || next_ms != expected_ms)
            mismatch(e, zone, options, at_ms, next_ms, expected_ms);
        at_ms = next_ms;
    }
    if (schedule_next(schedule, at_ms, &next_ms) && next_ms < end_ms)
        mismatch(e, zone, options, at_ms, next_ms, end_ms);
    schedule_free(schedule);
}

static const char *const zones[] = {
    "UTC",           "America/New_York",    "Australia/Lord_Howe", "America/Sao_Paulo", "America/Havana",
    "Pacific/Apia",  "Europe/Dublin",       "Africa/Casablanca",   "Asia/Kathmandu",    "Europe/Berlin",
    "Asia/Gaza",     "America/Santiago",    "America/Nuuk",        "Antarctica/Troll",  "America/St_Johns",
    "Asia/Tehran",   "Pacific/Kwajalein",   "Asia/Pyongyang",      "America/Caracas",   "Australia/Adelaide",
    "Europe/Moscow", "Africa/Cairo",        "Asia/Amman",          "Antarctica/Casey",  "America/Scoresbysund",
    "Asia/Tokyo",    "Pacific/Kiritimati",  "Europe/Lisbon",       "Europe/Volgograd",  "America/Asuncion",
};

/* Half of the windows lie around a change of the zone. */
static int64_t random_window_start(const struct zone *zone, int64_t length_s)
{
    int64_t low = 1973 * INT64_C(31556952) - 62167219200, high = 2150 * INT64_C(31556952) - 62167219200;
    int64_t middle = low + (int64_t)random_below(&generator, (uint64_t)(high - low));
    if (zone->count > 0 && below(4) != 0) {
        int64_t change = zone->at[below((int)zone->count)];
        if (change > low && change < high)
            middle = change + below((int)(length_s / 4)) - length_s / 8;
    }
    return middle - length_s / 2;
}

static void run_cases(int64_t unit_s, int count, int cases, uint64_t seed)
{
    struct window w = {.unit_s = unit_s, .count = count};
    int64_t length_s = count * unit_s;
    uint64_t begun = clock_system.monotonic_ns(NULL);
    int done = 0;
    w.local_count = count + (int)(2 * WINDOW_MARGIN_S / unit_s);
    w.first_shown = malloc((size_t)w.local_count * sizeof *w.first_shown);
    w.last_shown = malloc((size_t)w.local_count * sizeof *w.last_shown);
    w.fires = malloc((size_t)count * sizeof *w.fires);
    assert_true(w.first_shown != NULL && w.last_shown != NULL && w.fires != NULL);
    random_seed(&generator, seed);
    for (; done < cases && (done < CASES_MIN || clock_system.monotonic_ns(NULL) - begun < TIME_LIMIT_NS); done++) {
        const struct zone *zone = zone_of(zones[below(sizeof zones / sizeof zones[0])]);
        struct schedule_options options = {(enum dst_gap)below(2), (enum dst_overlap)below(3),
                                           (enum day_match)below(3)};
        struct expression e;
        random_expression(&e, unit_s == 1);
        w.start_s = random_window_start(zone, length_s) / 60 * 60;
        w.local_start_s = w.start_s - WINDOW_MARGIN_S;
        window_fill(&w, zone);
        oracle(&w, zone, &e, options);
        compare(&w, zone, &e, options);
    }
    print_message("%d cases of %d x %d s, seed %llu\n", done, count, (int)unit_s, (unsigned long long)seed);
    free(w.first_shown);
    free(w.last_shown);
    free(w.fires);
}

static uint64_t chosen_seed(void)
{
    const char *text = getenv("CHRONOS_TEST_SEED");
    return text == NULL ? 1 : strtoull(text, NULL, 10);
}

static void test_minutes(void **state)
{
    (void)state;
    run_cases(60, 40 * DAY_MINUTES, CASES_MINUTES, chosen_seed());
}

static void test_seconds(void **state)
{
    (void)state;
    run_cases(1, 4 * DAY_SECONDS, CASES_SECONDS, chosen_seed());
}

/* Rare dates over many years, day by day, at UTC's midnight. */
static void test_days_over_years(void **state)
{
    (void)state;
    const struct zone *utc = zone_of("UTC");
    int64_t first = days_from_civil(1970, 1, 1), last = days_from_civil(2190, 1, 1);
    random_seed(&generator, chosen_seed());
    for (int i = 0; i < 60; i++) {
        struct expression e = {.text = "0 0", .second = {true}, .minute = {true}, .hour = {true}};
        struct schedule_options options = {.day_match = (enum day_match)below(3)};
        struct schedule *schedule = NULL;
        struct error err = {0};
        const char *text = e.text;
        bool unused, unused_too;
        int64_t previous = first;
        random_field(&e, (struct range){1, 31}, e.day, 20, &unused, &e.day_restricted, &e.day_star);
        random_field(&e, (struct range){1, 12}, e.month, 20, &unused, &unused_too, &unused_too);
        random_field(&e, (struct range){0, 7}, e.weekday, 40, &unused, &e.weekday_restricted, &e.weekday_star);
        assert_int_equal(schedule_parse(&text, 1, utc, options, 0, &schedule, &err), STATUS_OK);
        for (int64_t day = first + 1; day < last; day++) {
            int64_t next_ms = 0, from_ms = previous * DAY_SECONDS * 1000;
            if (!expression_matches(&e, options.day_match, day * DAY_SECONDS))
                continue;
            if (schedule_next(schedule, from_ms, &next_ms)) {
                if (next_ms != day * DAY_SECONDS * 1000)
                    mismatch(&e, utc, options, from_ms, next_ms, day * DAY_SECONDS * 1000);
            } else if (day - previous < 8 * 365) {
                mismatch(&e, utc, options, from_ms, 0, day * DAY_SECONDS * 1000);
            }
            previous = day;
        }
        schedule_free(schedule);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_minutes),
        cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_days_over_years),
    };
    return cmocka_run_group_tests(tests, NULL, support_release);
}
