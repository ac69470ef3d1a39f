/* Sentences and warnings. */
#include "support.h"

#include <string.h>

static void assert_words(const char *text, const char *expected)
{
    struct schedule *schedule = schedule_of(text, "UTC", defaults);
    struct buffer out;
    buffer_init(&out, 4096);
    schedule_describe(schedule, &out);
    if (strcmp(out.data, expected) != 0)
        fail_msg("%s: \"%s\", expected \"%s\"", text, out.data, expected);
    buffer_deinit(&out);
    schedule_free(schedule);
}

static void test_times(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"* * * * *", "every minute"},
        {"* * * * * *", "every second"},
        {"*/10 * * * * *", "every 10 seconds"},
        {"*/10 5 * * * *", "every 10 seconds of minute 5"},
        {"0,20 */20 9-17 * * *", "at seconds 0 and 20 of minutes 0, 20 and 40 from 09:00 to 17:59"},
        {"*/15 * * * *", "every 15 minutes"},
        {"5/15 * * * *", "every 15 minutes from minute 5"},
        {"1,2,30 * * * *", "at minutes 1, 2 and 30"},
        {"0 * * * *", "every hour"},
        {"5 * * * *", "every hour at minute 5"},
        {"30 5 * * * *", "every hour at minute 5 at second 30"},
        {"0 */2 * * *", "every 2 hours"},
        {"5 1/2 * * *", "every 2 hours from 01:05"},
        {"5 */2 * * *", "every 2 hours from 00:05"},
        {"0 9-17 * * *", "every hour from 09:00 to 17:00 every day"},
        {"30 22-6 * * *", "every hour from 22:30 to 06:30 every day"},
        {"30 1,2,4,8,16,20,23 * * *", "at minute 30 of hours 1, 2, 4, 8, 16, 20 and 23 every day"},
        {"*/15 9-17 * * MON-FRI", "every 15 minutes from 09:00 to 17:59, Monday to Friday"},
        {"*/5 22-2 * * *", "every 5 minutes from 22:00 to 02:59"},
        {"*/5 9,11,13 * * *", "every 5 minutes in hours 9, 11 and 13"},
        {"*/5 9 * * *", "every 5 minutes in hour 9"},
        {"*/5 */6 * * *", "every 5 minutes in one hour out of 6"},
        {"*/5 1/6 * * *", "every 5 minutes in one hour out of 6 from 01:00"},
        {"0 9 * * *", "at 09:00 every day"},
        {"0 9,17 * * *", "at 09:00 and 17:00 every day"},
        {"15 30 2 * * *", "at 02:30:15 every day"},
        {"@every 1h30m", "every 1h30m"},
        {"@at 2027-01-01T00:00:00+01:00", "once at 2026-12-31T23:00:00.000Z"},
        {"@manually", "only when triggered"},
        {"@hourly", "every hour"},
        {"@daily", "at 00:00 every day"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_words(cases[i][0], cases[i][1]);
}

static void test_days(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"*/15 * * * MON-FRI", "every 15 minutes, Monday to Friday"},
        {"0 9 * * MON", "at 09:00, on Monday"},
        {"0 9 * * SUN,WED,MON", "at 09:00, on Monday, Wednesday and Sunday"},
        {"0 9 * * FRI-MON", "at 09:00, Friday to Monday"},
        {"0 9 1 * *", "at 09:00, on day 1 of the month"},
        {"0 9 1,15 * *", "at 09:00, on days 1 and 15 of the month"},
        {"0 9 10-20 * *", "at 09:00, on days 10 to 20 of the month"},
        {"0 9 */5 * *", "at 09:00, every 5 days from day 1 of the month"},
        {"0 9 1 JAN,JUL *", "at 09:00, on day 1 of the month, in January and July"},
        {"0 9 * NOV-FEB *", "at 09:00, in November to February"},
        {"0 9 13 * FRI", "at 09:00, on day 13 of the month or on Friday"},
        {"0 9 L * *", "at 09:00, on the last day of the month"},
        {"0 9 L-1,L-3 * *",
         "at 09:00, 1 day before the last day of the month or 3 days before the last day of the month"},
        {"0 9 1W,15,LW * *", "at 09:00, on day 15 of the month or on the last weekday of the month or on the weekday "
                             "nearest to day 1"},
        {"0 9 * * 5L", "at 09:00, on the last Friday of the month"},
        {"0 9 * * MON,5#2", "at 09:00, on Monday or on the second Friday of the month"},
        {"@yearly", "at 00:00, on day 1 of the month, in January"},
        {"@weekly", "at 00:00, on Sunday"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_words(cases[i][0], cases[i][1]);
}

static void test_both_days(void **state)
{
    (void)state;
    struct schedule *schedule =
        schedule_of("0 9 13 * FRI", "UTC", (struct schedule_options){.day_match = DAY_MATCH_ALL});
    struct buffer out;
    buffer_init(&out, 4096);
    schedule_describe(schedule, &out);
    assert_string_equal(out.data, "at 09:00, on day 13 of the month, if that is Friday");
    buffer_deinit(&out);
    schedule_free(schedule);
}

static void test_lists_and_full_buffers(void **state)
{
    (void)state;
    const char *const texts[] = {"@daily", "@every 5m"};
    struct schedule *schedule = NULL;
    struct error err = {0};
    struct buffer out;
    assert_int_equal(schedule_parse(texts, 2, zone_of("UTC"), defaults, 0, &schedule, &err), STATUS_OK);
    buffer_init(&out, 4096);
    schedule_describe(schedule, &out);
    assert_string_equal(out.data, "at 00:00 every day; and every 5m");
    buffer_deinit(&out);
    buffer_init(&out, 8);
    schedule_describe(schedule, &out);
    assert_int_equal(out.failed, STATUS_TOO_LARGE);
    buffer_deinit(&out);
    schedule_free(schedule);
}

static void assert_warnings(const char *text, const char *zone, const char *const *beginnings)
{
    struct schedule *schedule = schedule_of(text, zone, defaults);
    const char *warnings[8];
    size_t count = schedule_lint(schedule, warnings, 8), expected = 0;
    while (beginnings[expected] != NULL)
        expected++;
    if (count != expected)
        fail_msg("\"%s\" in %s: %zu warnings (%s)", text, zone, count, count > 0 ? warnings[0] : "");
    for (size_t i = 0; i < count; i++) {
        if (strncmp(warnings[i], beginnings[i], strlen(beginnings[i])) != 0)
            fail_msg("\"%s\" in %s: \"%s\"", text, zone, warnings[i]);
    }
    schedule_free(schedule);
}
#define assert_lint(text, zone, ...) assert_warnings(text, zone, (const char *const[]){__VA_ARGS__})

static void test_lint(void **state)
{
    (void)state;
    static const char second[] = "runs every second", clock[] = "a fixed time lies", either[] = "day-of-month and",
                      late[] = "not every month", uneven[] = "the step does not divide";
    assert_lint("0 9 * * *", "Europe/Berlin", NULL);
    assert_lint("* * * * * *", "UTC", second, NULL);
    assert_lint("0 * * * * *", "UTC", NULL);
    assert_lint("30 2 * * *", "Europe/Berlin", clock, NULL);
    assert_lint("30 2 * * *", "UTC", NULL);
    assert_lint("30 2 * * *", "Asia/Tokyo", NULL);
    assert_lint("30 1 * * *", "Europe/Berlin", NULL);
    assert_lint("30 1 * * *", "America/New_York", clock, NULL);
    assert_lint("30 2 * * MON", "America/New_York", clock, NULL);
    assert_lint("30 3 * * *", "America/New_York", NULL);
    assert_lint("0 0 * * *", "America/Havana", clock, NULL);
    assert_lint("*/15 2 * * *", "America/New_York", NULL); /* follows elapsed time */
    assert_lint("15 2 * * *", "Australia/Lord_Howe", clock, NULL);
    assert_lint("15 2 13 * FRI", "Europe/Berlin", clock, either, NULL);
    assert_lint("0 9 31 * *", "UTC", late, NULL);
    assert_lint("0 9 29-31 * *", "UTC", late, NULL);
    assert_lint("0 9 31 1 *", "UTC", NULL);
    assert_lint("0 9 28-31 * *", "UTC", NULL);
    assert_lint("*/7 * * * *", "UTC", uneven, NULL);
    assert_lint("*/15 * * * *", "UTC", NULL);
    assert_lint("5/15 * * * *", "UTC", NULL);
    assert_lint("0 */5 * * *", "UTC", uneven, NULL);
    assert_lint("0 */6 * * *", "UTC", NULL);
    assert_lint("@every 7m", "Europe/Berlin", NULL);
    assert_lint("@manually", "Europe/Berlin", NULL);
}

static void test_lint_of_lists(void **state)
{
    (void)state;
    const char *const texts[] = {"* * * * * *", "* 30 2 13 * FRI", "*/7 * * * *"};
    const char *warnings[8];
    struct schedule *schedule = NULL;
    struct error err = {0};
    assert_int_equal(schedule_parse(texts, 3, zone_of("Europe/Berlin"), defaults, 0, &schedule, &err), STATUS_OK);
    assert_int_equal(schedule_lint(schedule, warnings, 8), 4); /* each sentence once */
    assert_int_equal(schedule_lint(schedule, warnings, 2), 2);
    assert_int_equal(schedule_lint(schedule, warnings, 0), 0);
    schedule_free(schedule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times), cmocka_unit_test(test_days), cmocka_unit_test(test_both_days),
        cmocka_unit_test(test_lists_and_full_buffers), cmocka_unit_test(test_lint),
        cmocka_unit_test(test_lint_of_lists),
    };
    return cmocka_run_group_tests(tests, NULL, support_release);
}
