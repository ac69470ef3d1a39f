/* What cron text is accepted, what bits it gives, and every sentence with which the rest is refused. */
#include "support.h"

#include <string.h>

#include "base/limits.h"
#include "schedule/schedule_internal.h"

static struct cron parsed(const char *text)
{
    struct cron cron;
    struct error err = {0};
    if (cron_parse(text, strlen(text), DAY_MATCH_ANY, &cron, &err) != STATUS_OK)
        fail_msg("%s: %s", text, err.message);
    return cron;
}

static uint64_t bits_of(const int *values)
{
    uint64_t bits = 0;
    for (; *values >= 0; values++)
        bits |= UINT64_C(1) << *values;
    return bits;
}
#define BITS(...) bits_of((const int[]){__VA_ARGS__, -1})

static void test_numbers_and_lists(void **state)
{
    (void)state;
    struct cron cron = parsed("5 4 3 2 1");
    assert_int_equal(cron.seconds, 1);
    assert_int_equal(cron.minutes, BITS(5));
    assert_int_equal(cron.hours, BITS(4));
    assert_int_equal(cron.days, BITS(3));
    assert_int_equal(cron.months, BITS(2));
    assert_int_equal(cron.weekdays, BITS(1));
    assert_int_equal(cron.flags, CRON_DAYS_EITHER);
    cron = parsed("  59,0,007\t1-3,5-5  20\t ? * * ");
    assert_int_equal(cron.flags & CRON_SECONDS_GIVEN, CRON_SECONDS_GIVEN);
    assert_int_equal(cron.seconds, BITS(0, 7, 59));
    assert_int_equal(cron.minutes, BITS(1, 2, 3, 5));
    assert_int_equal(cron.days, CRON_DAYS_ALL);
    assert_int_equal(cron.weekdays, WEEKDAYS_ALL);
    assert_int_equal(cron.months, CRON_MONTHS_ALL);
}

static void test_steps(void **state)
{
    (void)state;
    assert_int_equal(parsed("*/15 * * * *").minutes, BITS(0, 15, 30, 45));
    assert_int_equal(parsed("50/3 * * * *").minutes, BITS(50, 53, 56, 59));
    assert_int_equal(parsed("10-20/5 * * * *").minutes, BITS(10, 15, 20));
    assert_int_equal(parsed("*/60 * * * *").minutes, BITS(0));
    assert_int_equal(parsed("* * */10 * *").days, BITS(1, 11, 21, 31));
    assert_int_equal(parsed("* * * */5 *").months, BITS(1, 6, 11));
    assert_int_equal(parsed("* * * * */2").weekdays, BITS(0, 2, 4, 6));
    assert_int_equal(parsed("* * * * 3/2").weekdays, BITS(3, 5));
    assert_int_equal(parsed("* * * * 7/2").weekdays, BITS(0, 2, 4, 6));
    assert_int_equal(parsed("* * * * MON/2").weekdays, BITS(1, 3, 5));
}

static void test_wrapping_ranges(void **state)
{
    (void)state;
    assert_int_equal(parsed("* 22-2 * * *").hours, BITS(22, 23, 0, 1, 2));
    assert_int_equal(parsed("* 22-2/2 * * *").hours, BITS(22, 0, 2));
    assert_int_equal(parsed("55-5/5 * * * *").minutes, BITS(55, 0, 5));
    assert_int_equal(parsed("* * 30-2 * *").days, BITS(30, 31, 1, 2));
    assert_int_equal(parsed("* * 30-2/2 * *").days, BITS(30, 1));
    assert_int_equal(parsed("* * * nov-Feb *").months, BITS(11, 12, 1, 2));
    assert_int_equal(parsed("* * * 11-2/2 *").months, BITS(11, 1));
    assert_int_equal(parsed("* * * * FRI-MON").weekdays, BITS(5, 6, 0, 1));
    assert_int_equal(parsed("* * * * FRI-MON/2").weekdays, BITS(5, 0));
    assert_int_equal(parsed("* * * * FRI-SUN").weekdays, BITS(5, 6, 0));
}

static void test_sunday_is_0_and_7(void **state)
{
    (void)state;
    assert_int_equal(parsed("* * * * 7").weekdays, BITS(0));
    assert_int_equal(parsed("* * * * 0,7").weekdays, BITS(0));
    assert_int_equal(parsed("* * * * 5-7").weekdays, BITS(5, 6, 0));
    assert_int_equal(parsed("* * * * 0-7").weekdays, WEEKDAYS_ALL);
    assert_int_equal(parsed("* * * * 1-7").weekdays, WEEKDAYS_ALL);
    assert_int_equal(parsed("* * * * 7-2").weekdays, BITS(0, 1, 2));
    assert_int_equal(parsed("* * * * 7-7").weekdays, BITS(0));
    assert_int_equal(parsed("* * * * 1-7/2").weekdays, BITS(1, 3, 5, 0));
    assert_int_equal(parsed("* * * * sun-Sat").weekdays, WEEKDAYS_ALL);
}

static void test_special_days(void **state)
{
    (void)state;
    struct cron cron = parsed("0 0 1W,15,l,L-3,lw * *");
    assert_int_equal(cron.days, BITS(15));
    assert_int_equal(cron.days_from_last, BITS(0, 3));
    assert_int_equal(cron.nearest_weekdays, BITS(0, 1));
    cron = parsed("0 0 * * 5L,FRI#2,1#1,sunL,7#5,3");
    assert_int_equal(cron.weekdays, BITS(3));
    assert_int_equal(cron.nth_weekdays, BITS(5 * 7 + 5, 5 * 7 + 0, 1 * 7 + 5, 0 * 7 + 1, 4 * 7 + 0));
}

static void test_interval_flags(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool interval;
    } cases[] = {
        {"30 2 * * *", false},   {"0,30 2,3 * * *", false}, {"0-10 2 * * *", false}, {"0-59 0-23 * * *", false},
        {"* 30 2 1 * *", false}, {"*/5 0 2 * * *", false},  {"30 2 */2 */2 */2", false},
        {"* 2 * * *", true},     {"30 * * * *", true},      {"*/15 2 * * *", true},  {"0/20 2 * * *", true},
        {"0-30/10 2 * * *", true}, {"5,10-30/5 2 * * *", true}, {"0 0 */2 * * *", true}, {"30 8-16/2 * * *", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cron cron;
        struct error err = {0};
        const char *text = cases[i].text;
        assert_int_equal(cron_parse(text, strlen(text), DAY_MATCH_ANY, &cron, &err), STATUS_OK);
        if (cron_is_interval(&cron) != cases[i].interval)
            fail_msg("%s", text);
    }
}

static void test_day_dialects(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool any, vixie; /* CRON_DAYS_EITHER */
    } cases[] = {
        {"0 0 13 * 5", true, true},    {"0 0 */2 * 5", true, false}, {"0 0 13 * */2", true, false},
        {"0 0 * * 5", false, false},   {"0 0 13 * ?", false, false}, {"0 0 ? * ?", false, false},
        {"0 0 *,5 * 5", true, false},  {"0 0 L * 5L", true, true},   {"0 0 1-31 * 5", true, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int match = DAY_MATCH_ANY; match <= DAY_MATCH_VIXIE; match++) {
            bool expected = match == DAY_MATCH_ANY ? cases[i].any : match == DAY_MATCH_VIXIE ? cases[i].vixie : false;
            struct cron cron;
            struct error err = {0};
            assert_int_equal(cron_parse(cases[i].text, strlen(cases[i].text), (enum day_match)match, &cron, &err),
                             STATUS_OK);
            if (((cron.flags & CRON_DAYS_EITHER) != 0) != expected)
                fail_msg("%s in dialect %d", cases[i].text, match);
        }
    }
}

static void test_field_refusals(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"61 * * * *", "minute: 61 is out of range 0-59"},
        {"60 * * * * *", "second: 60 is out of range 0-59"},
        {"* 24 * * *", "hour: 24 is out of range 0-23"},
        {"* * 0 * *", "day-of-month: 0 is out of range 1-31"},
        {"* * 32 * *", "day-of-month: 32 is out of range 1-31"},
        {"* * * 13 *", "month: 13 is out of range 1-12"},
        {"* * * 0 *", "month: 0 is out of range 1-12"},
        {"* * * * 8", "day-of-week: 8 is out of range 0-7"},
        {"0-60 * * * *", "minute: 60 is out of range 0-59"},
        {"99999999999999999999 * * * *", "minute: 99999999999999999999 is out of range 0-59"},
        {"4294967297 * * * *", "minute: 4294967297 is out of range 0-59"},
        {"x * * * *", "minute: \"x\" is not a number 0-59"},
        {"-5 * * * *", "minute: \"-5\" is not a number 0-59"},
        {"5- * * * *", "minute: \"5-\" is not a number 0-59"},
        {"- * * * *", "minute: \"-\" is not a number 0-59"},
        {"1-2-3 * * * *", "minute: \"2-3\" is not a number 0-59"},
        {"1.5 * * * *", "minute: \"1.5\" is not a number 0-59"},
        {"*5 * * * *", "minute: \"*5\" is not a number 0-59"},
        {"** * * * *", "minute: \"**\" is not a number 0-59"},
        {"*-5 * * * *", "minute: \"*\" is not a number 0-59"},
        {"L * * * *", "minute: \"L\" is not a number 0-59"},
        {"* MON * * *", "hour: \"MON\" is not a number 0-23"},
        {"+5 * * * *", "minute: \"+5\" is not a number 0-59"},
        {"5\n * * * *", "minute: \"5?\" is not a number 0-59"},
        {"\xc3\xa9 * * * *", "minute: \"??\" is not a number 0-59"},
        {"1,,2 * * * *", "minute: an item of the list is empty"},
        {",1 * * * *", "minute: an item of the list is empty"},
        {"1, * * * *", "minute: an item of the list is empty"},
        {"* * * , *", "month: an item of the list is empty"},
        {"*/0 * * * *", "minute: step 0 never advances; 1-60 is allowed"},
        {"*/61 * * * *", "minute: step 61 is larger than the field's range; 1-60 is allowed"},
        {"* */25 * * *", "hour: step 25 is larger than the field's range; 1-24 is allowed"},
        {"* * */32 * *", "day-of-month: step 32 is larger than the field's range; 1-31 is allowed"},
        {"* * * */13 *", "month: step 13 is larger than the field's range; 1-12 is allowed"},
        {"* * * * */8", "day-of-week: step 8 is larger than the field's range; 1-7 is allowed"},
        {"*/x * * * *", "minute: step \"x\" is not a number 1-60"},
        {"*/ * * * *", "minute: step \"\" is not a number 1-60"},
        {"*/-5 * * * *", "minute: step \"-5\" is not a number 1-60"},
        {"*/5/2 * * * *", "minute: step \"5/2\" is not a number 1-60"},
        {"/5 * * * *", "minute: \"\" is not a number 0-59"},
        {"? * * * *", "minute: \"?\" is allowed only in the two day fields"},
        {"* ? * * *", "hour: \"?\" is allowed only in the two day fields"},
        {"* * * ? *", "month: \"?\" is allowed only in the two day fields"},
        {"* * ?/2 * *", "day-of-month: \"?\" must stand alone"},
        {"* * 1,? * *", "day-of-month: \"?\" must stand alone"},
        {"* * * FOO *", "month: \"FOO\" is not a number 1-12 or a name JAN-DEC"},
        {"* * * JA *", "month: \"JA\" is not a number 1-12 or a name JAN-DEC"},
        {"* * * JANX *", "month: \"JANX\" is not a number 1-12 or a name JAN-DEC"},
        {"* * * january *", "month: \"january\" is not a short name; use \"JAN\""},
        {"* * * Sept *", "month: \"Sept\" is not a short name; use \"SEP\""},
        {"* * * * Monday", "day-of-week: \"Monday\" is not a short name; use \"MON\""},
        {"* * * * MON-FRIDAY", "day-of-week: \"FRIDAY\" is not a short name; use \"FRI\""},
        {"* * * * MO", "day-of-week: \"MO\" is not a number 0-7, a name SUN-SAT, nL or n#k"},
        {"* * W * *", "day-of-month: W alone says no day; use 15W (the weekday nearest to the 15th) or LW (the last "
                      "weekday)"},
        {"* * 32W * *", "day-of-month: 32 is out of range 1-31"},
        {"* * L-31 * *", "day-of-month: 31 is out of range 1-30"},
        {"* * L-0 * *", "day-of-month: 0 is out of range 1-30"},
        {"* * L- * *", "day-of-month: \"L-\" is not a number 1-31, L, L-n, nW or LW"},
        {"* * L/2 * *", "day-of-month: \"L\" is not a number 1-31, L, L-n, nW or LW"},
        {"* * WL * *", "day-of-month: \"WL\" is not a number 1-31, L, L-n, nW or LW"},
        {"* * * * L", "day-of-week: \"L\" alone says no day; use 5L (the last Friday) or 5#2 (the second)"},
        {"* * * * #", "day-of-week: \"#\" alone says no day; use 5L (the last Friday) or 5#2 (the second)"},
        {"* * * * 5#6", "day-of-week: \"5#6\": behind # a number 1-5 is allowed"},
        {"* * * * 5#0", "day-of-week: \"5#0\": behind # a number 1-5 is allowed"},
        {"* * * * 5#", "day-of-week: \"5#\": behind # a number 1-5 is allowed"},
        {"* * * * #2", "day-of-week: \"#2\" is not a number 0-7, a name SUN-SAT, nL or n#k"},
        {"* * * * 8L", "day-of-week: 8 is out of range 0-7"},
        {"H * * * *", "minute: H (a value picked for the job) is not supported by this version"},
        {"0 h(0-5) * * *", "hour: H (a value picked for the job) is not supported by this version"},
        {"H/15 * * * *", "minute: H (a value picked for the job) is not supported by this version"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refused(cases[i][0], cases[i][1]);
}

static void test_text_refusals(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "the schedule is empty; \"@manually\" is one that never fires by itself"},
        {" \t ", "the schedule is empty; \"@manually\" is one that never fires by itself"},
        {"* * * *", "4 fields where 5 (minute hour day-of-month month day-of-week) or 6 (second first) are expected"},
        {"hello", "1 field where 5 (minute hour day-of-month month day-of-week) or 6 (second first) are expected"},
        {"* * * * * * * *",
         "8 fields where 5 (minute hour day-of-month month day-of-week) or 6 (second first) are expected"},
        {"0 0 0 1 1 * 2027", "7 fields: a year field is not supported; bound the job with start_at and end_at, or use "
                             "@at for a single instant"},
        {"TZ=Europe/Berlin 0 0 * * *", "a TZ= prefix is not supported; use the job's timezone field"},
        {"CRON_TZ=UTC 0 0 * * *", "a TZ= prefix is not supported; use the job's timezone field"},
        {"R5/2027-01-01T00:00:00Z/PT2H",
         "ISO 8601 repeating intervals (R5/...) are not supported by this version; use @every or @at"},
        {"R/2027-01-01T00:00:00Z/PT2H",
         "ISO 8601 repeating intervals (R5/...) are not supported by this version; use @every or @at"},
        {"@reboot", "@reboot is not supported: a job belongs to the cluster, not to the start of one machine; use "
                    "@every or @manually"},
        {"@dayly", "\"@dayly\" is not a known macro (nearest: @daily)"},
        {"@Hourli", "\"@Hourli\" is not a known macro (nearest: @hourly)"},
        {"@manual", "\"@manual\" is not a known macro (nearest: @manually)"},
        {"@something-else", "\"@something-else\" is not a known macro; there are @yearly @annually @monthly @weekly "
                            "@daily @midnight @hourly @every @at @manually"},
        {"@daily 5", "@daily: nothing is allowed behind it"},
        {"@manually now", "@manually: nothing is allowed behind it"},
        {"@every", "@every: a duration is missing, as in \"@every 1h30m\""},
        {"@every 999ms", "@every: the shortest interval is 1s"},
        {"@every 0", "@every: the shortest interval is 1s"},
        {"@every 3654d", "@every: the longest interval is 10 years (3653d)"},
        {"@at", "@at: an instant is missing, as in \"@at 2027-01-01T00:00:00Z\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refused(cases[i][0], cases[i][1]);
}

/* These sentences are base's; that they name the macro is ours. */
static void test_wrapped_refusals(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"@every soon", "@every: "}, {"@every -5s", "@every: "},          {"@every 99999999999999999d", "@every: "},
        {"@at tomorrow", "@at: "},   {"@at 2027-02-30T00:00:00Z", "@at: "}, {"@at 2027-01-01", "@at: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct schedule *schedule = NULL;
        struct error err = {0};
        assert_int_not_equal(schedule_parse(&cases[i][0], 1, zone_of("UTC"), defaults, 0, &schedule, &err), STATUS_OK);
        assert_null(schedule);
        assert_memory_equal(err.message, cases[i][1], strlen(cases[i][1]));
        assert_true(strlen(err.message) > strlen(cases[i][1]) + 10);
    }
}

static void test_limits(void **state)
{
    (void)state;
    static char text[JOB_SCHEDULE_TEXT_MAX + 2];
    const char *texts[JOB_SCHEDULES_MAX + 1];
    struct schedule *schedule = NULL;
    struct error err = {0};
    const struct zone *utc = zone_of("UTC");
    memset(text, ' ', sizeof text - 1);
    memcpy(text, "* * * * *", 9);
    assert_refused(text, "a schedule has at most 1024 bytes");
    text[JOB_SCHEDULE_TEXT_MAX] = '\0';
    texts[0] = text;
    assert_int_equal(schedule_parse(texts, 1, utc, defaults, 0, &schedule, &err), STATUS_OK);
    schedule_free(schedule);
    schedule = NULL;

    for (size_t i = 0; i <= JOB_SCHEDULES_MAX; i++)
        texts[i] = "@daily";
    assert_int_equal(schedule_parse(texts, JOB_SCHEDULES_MAX, utc, defaults, 0, &schedule, &err), STATUS_OK);
    schedule_free(schedule);
    schedule = NULL;
    assert_int_equal(schedule_parse(texts, JOB_SCHEDULES_MAX + 1, utc, defaults, 0, &schedule, &err), STATUS_INVALID);
    assert_string_equal(err.message, "17 schedules; at most 16 are allowed");
    assert_int_equal(schedule_parse(texts, 0, utc, defaults, 0, &schedule, &err), STATUS_INVALID);
    assert_string_equal(err.message, "a schedule is missing; \"@manually\" is one that never fires by itself");
    texts[1] = "0 25 * * *";
    assert_int_equal(schedule_parse(texts, 3, utc, defaults, 0, &schedule, &err), STATUS_INVALID);
    assert_string_equal(err.message, "schedule 2: hour: 25 is out of range 0-23");
    assert_int_equal(schedule_parse(texts, 1, utc, defaults, INT64_MAX, &schedule, &err), STATUS_INVALID);
    assert_string_equal(err.message, "the anchor lies outside the years 1 to 9999");
    assert_null(schedule);
}

static void test_longest_list_is_parsed(void **state)
{
    (void)state;
    char text[JOB_SCHEDULE_TEXT_MAX + 1] = "0";
    size_t size = 1;
    struct schedule *schedule;
    while (size + 2 + 8 <= JOB_SCHEDULE_TEXT_MAX) {
        memcpy(text + size, ",0", 2);
        size += 2;
    }
    memcpy(text + size, " * * * *", 9);
    schedule = schedule_of(text, "UTC", defaults);
    schedule_free(schedule);
    memset(text, '9', sizeof text - 1);
    assert_refused(text, "1 field where 5 (minute hour day-of-month month day-of-week) or 6 (second first) are "
                         "expected");
    text[100] = text[200] = text[300] = text[400] = ' ';
    assert_refused(text, "minute: 99999999999999999999999999999... is out of range 0-59");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_and_lists),  cmocka_unit_test(test_steps),
        cmocka_unit_test(test_wrapping_ranges),    cmocka_unit_test(test_sunday_is_0_and_7),
        cmocka_unit_test(test_special_days),       cmocka_unit_test(test_interval_flags),
        cmocka_unit_test(test_day_dialects),       cmocka_unit_test(test_field_refusals),
        cmocka_unit_test(test_text_refusals),      cmocka_unit_test(test_wrapped_refusals),
        cmocka_unit_test(test_limits),             cmocka_unit_test(test_longest_list_is_parsed),
    };
    return cmocka_run_group_tests(tests, NULL, support_release);
}
