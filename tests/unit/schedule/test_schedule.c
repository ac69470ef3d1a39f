/* The next instants of every form, lists, bounds, and what can never fire. */
#include "support.h"

#include <string.h>

#include "base/clock.h"
#include "base/limits.h"

static void assert_never(const char *text, const char *zone, struct schedule_options options, const char *from)
{
    struct schedule *schedule = schedule_of(text, zone, options);
    int64_t next = 42;
    if (schedule_next(schedule, instant_of(from), &next))
        fail_msg("\"%s\" fires after %s", text, from);
    assert_int_equal(next, 42); /* untouched */
    schedule_free(schedule);
}

static void test_five_and_six_fields(void **state)
{
    (void)state;
    assert_next("*/15 9-10 * * MON-FRI", "UTC", defaults, "2024-06-14T10:30:00Z", "2024-06-14T10:45:00Z",
                "2024-06-17T09:00:00Z");
    assert_next("30 0 12 * * *", "UTC", defaults, "2024-06-14T12:00:29.999Z", "2024-06-14T12:00:30Z",
                "2024-06-15T12:00:30Z");
    assert_next("*/20 * * * * *", "UTC", defaults, "2024-12-31T23:59:30Z", "2024-12-31T23:59:40Z",
                "2025-01-01T00:00:00Z", "2025-01-01T00:00:20Z");
    assert_next("0 22-2/2 * * *", "UTC", defaults, "2024-06-14T12:00:00Z", "2024-06-14T22:00:00Z",
                "2024-06-15T00:00:00Z", "2024-06-15T02:00:00Z", "2024-06-15T22:00:00Z");
    assert_next("59 59 23 31 12 *", "UTC", defaults, "2024-06-14T12:00:00Z", "2024-12-31T23:59:59Z",
                "2025-12-31T23:59:59Z");
    assert_next("0 0 1 NOV-FEB *", "UTC", defaults, "2024-06-14T12:00:00Z", "2024-11-01T00:00:00Z",
                "2024-12-01T00:00:00Z", "2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z", "2025-11-01T00:00:00Z");
    assert_next("0 0 * * 7", "UTC", defaults, "2024-06-14T12:00:00Z", "2024-06-16T00:00:00Z");
    assert_next("0 12 1 1 *", "UTC", defaults, "1960-06-14T12:00:00Z", "1961-01-01T12:00:00Z"); /* before 1970 */
    assert_next("0 0 1 1 *", "Asia/Tokyo", defaults, "2024-06-14T12:00:00Z", "2025-01-01T00:00:00+09:00");
}

static void test_strictly_after(void **state)
{
    (void)state;
    assert_next("0 12 * * *", "UTC", defaults, "2024-06-14T12:00:00.000Z", "2024-06-15T12:00:00Z");
    assert_next("0 12 * * *", "UTC", defaults, "2024-06-14T11:59:59.999Z", "2024-06-14T12:00:00Z");
    assert_next("0 12 * * *", "UTC", defaults, "2024-06-14T12:00:00.001Z", "2024-06-15T12:00:00Z");
    assert_next("* * * * * *", "UTC", defaults, "1969-12-31T23:59:58.500Z", "1969-12-31T23:59:59Z",
                "1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z");
}

static void test_macros(void **state)
{
    (void)state;
    const char *from = "2024-06-14T12:30:00Z"; /* a Friday */
    assert_next("@yearly", "UTC", defaults, from, "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z");
    assert_next("@Annually", "UTC", defaults, from, "2025-01-01T00:00:00Z");
    assert_next("@monthly", "UTC", defaults, from, "2024-07-01T00:00:00Z", "2024-08-01T00:00:00Z");
    assert_next("@WEEKLY", "UTC", defaults, from, "2024-06-16T00:00:00Z", "2024-06-23T00:00:00Z");
    assert_next("@daily", "UTC", defaults, from, "2024-06-15T00:00:00Z");
    assert_next(" @midnight\t", "UTC", defaults, from, "2024-06-15T00:00:00Z");
    assert_next("@hourly", "UTC", defaults, from, "2024-06-14T13:00:00Z", "2024-06-14T14:00:00Z");
}

/* Anchored at 2024-01-01T00:00:00Z by schedule_of. */
static void test_every(void **state)
{
    (void)state;
    assert_next("@every 1h30m", "UTC", defaults, "2024-01-01T00:00:00Z", "2024-01-01T01:30:00Z",
                "2024-01-01T03:00:00Z");
    assert_next("@every 1h30m", "UTC", defaults, "2023-01-01T00:00:00Z", "2024-01-01T01:30:00Z");
    assert_next("@every 1h30m", "UTC", defaults, "2024-01-01T01:29:59.999Z", "2024-01-01T01:30:00Z");
    assert_next("@every 1h30m", "UTC", defaults, "2024-01-01T01:30:00Z", "2024-01-01T03:00:00Z");
    assert_next("@EVERY\t1s500ms", "UTC", defaults, "2024-01-01T00:00:02Z", "2024-01-01T00:00:03Z",
                "2024-01-01T00:00:04.500Z");
    assert_next("@every 7d", "America/New_York", defaults, "2024-03-01T00:00:00Z", "2024-03-04T00:00:00Z",
                "2024-03-11T00:00:00Z"); /* elapsed time: no zone */
    assert_int_equal(SCHEDULE_EVERY_DAYS_MAX, 3653); /* one day more is refused in test_cron_parse.c */
    assert_next("@every 3653d", "UTC", defaults, "2024-01-01T00:00:00Z", "2034-01-01T00:00:00Z");
    assert_int_equal(SCHEDULE_EVERY_MS_MIN, 1000); /* 999ms are refused there */
    assert_next("@every 1s", "UTC", defaults, "9000-01-01T00:00:00.001Z", "9000-01-01T00:00:01Z");
    assert_never("@every 1s", "UTC", defaults, "9999-12-31T23:59:59Z");
}

static void test_every_keeps_milliseconds_of_its_anchor(void **state)
{
    (void)state;
    const char *text = "@every 10s";
    struct schedule *schedule = NULL;
    struct error err = {0};
    int64_t next = 0;
    assert_int_equal(schedule_parse(&text, 1, zone_of("UTC"), defaults, 1700000000123, &schedule, &err), STATUS_OK);
    assert_true(schedule_next(schedule, 1700000000123, &next));
    assert_int_equal(next, 1700000010123);
    assert_true(schedule_next(schedule, 1700000010122, &next));
    assert_int_equal(next, 1700000010123);
    assert_true(schedule_next(schedule, 1700000010123, &next));
    assert_int_equal(next, 1700000020123);
    schedule_free(schedule);
}

static void test_at(void **state)
{
    (void)state;
    assert_next("@at 2027-01-01T00:00:00Z", "UTC", defaults, "2024-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    assert_next("@at 2027-01-01T00:00:00.250+02:00", "America/New_York", defaults, "2024-01-01T00:00:00Z",
                "2026-12-31T22:00:00.250Z");
    assert_next("@At 2060-01-01T00:00:00Z", "UTC", defaults, "2024-01-01T00:00:00Z", "2060-01-01T00:00:00Z");
    assert_never("@at 2027-01-01T00:00:00Z", "UTC", defaults, "2027-01-01T00:00:00Z");
}

static void test_manually(void **state)
{
    (void)state;
    assert_never("@manually", "UTC", defaults, "2024-01-01T00:00:00Z");
    assert_never("@Manually", "UTC", defaults, "1900-01-01T00:00:00Z");
}

static struct schedule *list_of(const char *const *texts, size_t count)
{
    struct schedule *schedule = NULL;
    struct error err = {0};
    if (schedule_parse(texts, count, zone_of("UTC"), defaults, instant_of("2024-01-01T00:00:00Z"), &schedule, &err) !=
        STATUS_OK)
        fail_msg("%s", err.message);
    return schedule;
}

static void test_lists_are_unions(void **state)
{
    (void)state;
    static const char *const texts[] = {"0 9 * * *", "0 9,17 * * *", "@at 2024-06-14T17:00:00Z", "@manually",
                                        "@every 12h"};
    static const char *const expected[] = {"2024-06-14T09:00:00Z", "2024-06-14T12:00:00Z", "2024-06-14T17:00:00Z",
                                           "2024-06-15T00:00:00Z", "2024-06-15T09:00:00Z"};
    struct schedule *schedule = list_of(texts, 5);
    int64_t at = instant_of("2024-06-14T00:00:00Z");
    for (size_t i = 0; i < 5; i++) {
        assert_true(schedule_next(schedule, at, &at));
        assert_int_equal(at, instant_of(expected[i])); /* equal instants once */
    }
    schedule_free(schedule);
}

static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *texts[2];
        size_t count;
        bool manual, once;
    } cases[] = {
        {{"@manually"}, 1, true, false},
        {{"@manually", "@manually"}, 2, true, false},
        {{"@manually", "@daily"}, 2, false, false},
        {{"@at 2027-01-01T00:00:00Z"}, 1, false, true},
        {{"@at 2027-01-01T00:00:00Z", "@at 2028-01-01T00:00:00Z"}, 2, false, true},
        {{"@at 2027-01-01T00:00:00Z", "@every 1h"}, 2, false, false},
        {{"@daily"}, 1, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct schedule *schedule = list_of(cases[i].texts, cases[i].count);
        assert_int_equal(schedule_is_manual(schedule), cases[i].manual);
        assert_int_equal(schedule_is_once(schedule), cases[i].once);
        schedule_free(schedule);
    }
    schedule_free(NULL);
}

static void test_day_dialects(void **state)
{
    (void)state;
    const struct schedule_options all = {.day_match = DAY_MATCH_ALL}, vixie = {.day_match = DAY_MATCH_VIXIE};
    const char *from = "2024-06-01T00:00:00Z"; /* a Saturday */
    assert_next("0 0 13 * FRI", "UTC", defaults, from, "2024-06-07T00:00:00Z", "2024-06-13T00:00:00Z",
                "2024-06-14T00:00:00Z");
    assert_next("0 0 13 * FRI", "UTC", all, from, "2024-09-13T00:00:00Z", "2024-12-13T00:00:00Z");
    assert_next("0 0 13 * FRI", "UTC", vixie, from, "2024-06-07T00:00:00Z", "2024-06-13T00:00:00Z");
    assert_next("0 0 */2 * MON", "UTC", defaults, from, "2024-06-03T00:00:00Z", "2024-06-05T00:00:00Z",
                "2024-06-07T00:00:00Z", "2024-06-09T00:00:00Z", "2024-06-10T00:00:00Z");
    assert_next("0 0 */2 * MON", "UTC", vixie, from, "2024-06-03T00:00:00Z", "2024-06-17T00:00:00Z",
                "2024-07-01T00:00:00Z");
    assert_next("0 0 13 * ?", "UTC", defaults, from, "2024-06-13T00:00:00Z", "2024-07-13T00:00:00Z");
    assert_next("0 0 ? * FRI", "UTC", defaults, from, "2024-06-07T00:00:00Z", "2024-06-14T00:00:00Z");
}

static void test_special_days(void **state)
{
    (void)state;
    const char *from = "2024-01-31T12:00:00Z";
    assert_next("0 0 L * *", "UTC", defaults, from, "2024-02-29T00:00:00Z", "2024-03-31T00:00:00Z",
                "2024-04-30T00:00:00Z");
    assert_next("0 0 L-3 * *", "UTC", defaults, from, "2024-02-26T00:00:00Z", "2024-03-28T00:00:00Z");
    assert_next("0 0 L-30 * *", "UTC", defaults, from, "2024-03-01T00:00:00Z", "2024-05-01T00:00:00Z");
    assert_next("0 0 LW * *", "UTC", defaults, from, "2024-02-29T00:00:00Z", "2024-03-29T00:00:00Z",
                "2024-04-30T00:00:00Z", "2024-05-31T00:00:00Z", "2024-06-28T00:00:00Z");
    assert_next("0 0 15W * *", "UTC", defaults, from, "2024-02-15T00:00:00Z", "2024-03-15T00:00:00Z",
                "2024-04-15T00:00:00Z", "2024-05-15T00:00:00Z", "2024-06-14T00:00:00Z", "2024-07-15T00:00:00Z",
                "2024-08-15T00:00:00Z", "2024-09-16T00:00:00Z");
    assert_next("0 0 1W * *", "UTC", defaults, "2024-05-31T12:00:00Z", "2024-06-03T00:00:00Z", "2024-07-01T00:00:00Z",
                "2024-08-01T00:00:00Z", "2024-09-02T00:00:00Z");
    /* 31W: only months with a 31st; a Sunday that ends the month goes back to Friday. */
    assert_next("0 0 31W * *", "UTC", defaults, from, "2024-03-29T00:00:00Z", "2024-05-31T00:00:00Z",
                "2024-07-31T00:00:00Z", "2024-08-30T00:00:00Z", "2024-10-31T00:00:00Z");
    assert_next("0 0 * * 5L", "UTC", defaults, from, "2024-02-23T00:00:00Z", "2024-03-29T00:00:00Z",
                "2024-04-26T00:00:00Z", "2024-05-31T00:00:00Z");
    assert_next("0 0 * * MON#1,7#2", "UTC", defaults, from, "2024-02-05T00:00:00Z", "2024-02-11T00:00:00Z",
                "2024-03-04T00:00:00Z", "2024-03-10T00:00:00Z");
    assert_next("0 0 * * THU#5", "UTC", defaults, from, "2024-02-29T00:00:00Z", "2024-05-30T00:00:00Z",
                "2024-08-29T00:00:00Z");
    assert_next("0 0 1W,15,L * *", "UTC", defaults, "2024-05-31T12:00:00Z", "2024-06-03T00:00:00Z",
                "2024-06-15T00:00:00Z", "2024-06-30T00:00:00Z", "2024-07-01T00:00:00Z");
    assert_next("0 0 13 * 5L", "UTC", defaults, "2024-05-31T12:00:00Z", "2024-06-13T00:00:00Z",
                "2024-06-28T00:00:00Z");
    assert_next("0 0 L * 5", "UTC", (struct schedule_options){.day_match = DAY_MATCH_ALL}, from,
                "2024-05-31T00:00:00Z", "2025-01-31T00:00:00Z");
}

static void test_leap_days_and_centuries(void **state)
{
    (void)state;
    assert_next("0 0 29 2 *", "UTC", defaults, "2024-02-29T00:00:00Z", "2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z");
    assert_next("0 0 29 2 *", "UTC", defaults, "2096-02-28T23:59:59.999Z", "2096-02-29T00:00:00Z",
                "2104-02-29T00:00:00Z"); /* exactly eight years on; 2100 has none */
    assert_next("0 0 29 2 *", "America/New_York", defaults, "2096-02-29T00:00:00-05:00", "2104-02-29T00:00:00-05:00");
    assert_next("0 0 L 2 *", "UTC", defaults, "2099-03-01T00:00:00Z", "2100-02-28T00:00:00Z", "2101-02-28T00:00:00Z");
    assert_next("0 0 1 3 *", "UTC", defaults, "2100-02-28T23:59:59Z", "2100-03-01T00:00:00Z");
    assert_next("0 0 * * *", "UTC", defaults, "2100-02-28T00:00:00Z", "2100-03-01T00:00:00Z");
    assert_next("0 0 29 2 *", "UTC", defaults, "1999-01-01T00:00:00Z", "2000-02-29T00:00:00Z");
    assert_next("0 0 31 * *", "UTC", defaults, "2024-01-31T00:00:00Z", "2024-03-31T00:00:00Z", "2024-05-31T00:00:00Z");
}

static void test_eight_years(void **state)
{
    (void)state;
    const struct schedule_options all = {.day_match = DAY_MATCH_ALL};
    assert_int_equal(SCHEDULE_YEARS_MAX, 8);
    /* The Mondays among the 29ths of February: 2016, 2044. */
    assert_next("0 0 29 2 MON", "UTC", all, "2036-02-29T00:00:00Z", "2044-02-29T00:00:00Z");
    assert_next("0 0 29 2 MON", "UTC", all, "2036-02-29T00:00:00.999Z", "2044-02-29T00:00:00Z");
    assert_never("0 0 29 2 MON", "UTC", all, "2036-02-28T23:59:59.999Z");
    assert_never("0 0 29 2 MON", "UTC", all, "2024-02-29T00:00:00Z");
    assert_never("0 0 30 2 *", "UTC", defaults, "2024-02-29T00:00:00Z");
    assert_never("0 0 31 2,4,6,9,11 *", "Europe/Berlin", defaults, "2024-02-29T00:00:00Z");
    assert_never("0 0 31W 4 *", "UTC", defaults, "2024-02-29T00:00:00Z");
    assert_never("0 0 29 2 *", "UTC", defaults, "9996-02-29T00:00:00Z"); /* time ends with 9999 */
    /* 1 March is a Wednesday in 2102 and not in the 13 years before. */
    assert_next("0 0 1 3 WED", "UTC", all, "2094-03-01T00:00:00Z", "2102-03-01T00:00:00Z");
    assert_never("0 0 1 3 WED", "UTC", all, "2094-02-28T23:59:59Z");
    assert_never("0 0 1 3 WED", "UTC", all, "2092-02-29T00:00:00Z"); /* eight years on is 2100-03-01 */
}

static void test_ends_of_time(void **state)
{
    (void)state;
    struct schedule *schedule = schedule_of("@daily", "America/New_York", defaults);
    int64_t next = 0;
    assert_true(schedule_next(schedule, INT64_MIN, &next));
    assert_true(next >= instant_of("0001-01-01T00:00:00Z") && next < instant_of("0001-01-03T00:00:00Z"));
    assert_false(schedule_next(schedule, INT64_MAX, &next));
    assert_true(schedule_next(schedule, instant_of("9999-12-30T12:00:00Z"), &next));
    assert_int_equal(next, instant_of("9999-12-31T00:00:00-05:00"));
    assert_false(schedule_next(schedule, next, &next));
    schedule_free(schedule);
}

static void assert_unreachable(const char *const *texts, size_t count, const char *now, const char *message)
{
    struct schedule *schedule = list_of(texts, count);
    struct error err = {0};
    enum status s = schedule_check_reachable(schedule, instant_of(now), &err);
    if (message == NULL) {
        assert_int_equal(s, STATUS_OK);
    } else {
        assert_int_equal(s, STATUS_INVALID);
        assert_string_equal(err.message, message);
    }
    schedule_free(schedule);
}

static void test_reachable(void **state)
{
    (void)state;
    static const struct {
        const char *texts[2];
        size_t count;
        const char *message;
    } cases[] = {
        {{"0 0 29 2 *"}, 1, NULL},
        {{"@manually"}, 1, NULL},
        {{"@every 3653d"}, 1, NULL},
        {{"@at 2050-01-01T00:00:00Z"}, 1, NULL},
        {{"@manually", "@daily"}, 2, NULL},
        {{"0 0 30 2 *"}, 1, "day-of-month: none of the months has a day 30"},
        {{"0 0 31 4,6 ?"}, 1, "day-of-month: none of the months has a day 31"},
        {{"0 0 30,31 FEB *"}, 1, "day-of-month: none of the months has a day 30"},
        {{"0 0 31W 4 *"}, 1,
         "day-of-month, month, day-of-week: no day matches within 8 years after 2024-06-01T00:00:00.000Z"},
        {{"@at 2024-06-01T00:00:00Z"}, 1,
         "@at: 2024-06-01T00:00:00.000Z is not after now (2024-06-01T00:00:00.000Z)"},
        {{"@daily", "0 0 30 2 *"}, 2, "schedule 2: day-of-month: none of the months has a day 30"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_unreachable(cases[i].texts, cases[i].count, "2024-06-01T00:00:00Z", cases[i].message);
    assert_unreachable((const char *const[]){"@every 1h"}, 1, "9999-12-31T23:30:00Z",
                       "@every: no instant is left before the year 10000");
}

static void test_memory(void **state)
{
    (void)state;
    struct schedule *schedule = schedule_of("*/5 * * * *", "UTC", defaults);
    assert_true(schedule_memory(schedule) <= 64);
    schedule_free(schedule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_five_and_six_fields),
        cmocka_unit_test(test_strictly_after),
        cmocka_unit_test(test_macros),
        cmocka_unit_test(test_every),
        cmocka_unit_test(test_every_keeps_milliseconds_of_its_anchor),
        cmocka_unit_test(test_at),
        cmocka_unit_test(test_manually),
        cmocka_unit_test(test_lists_are_unions),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_day_dialects),
        cmocka_unit_test(test_special_days),
        cmocka_unit_test(test_leap_days_and_centuries),
        cmocka_unit_test(test_eight_years),
        cmocka_unit_test(test_ends_of_time),
        cmocka_unit_test(test_reachable),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, support_release);
}
