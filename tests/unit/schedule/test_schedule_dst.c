/* What happens when clocks change: the cases of dst_gap and dst_overlap in docs/api.md, each with its date. */
#include "support.h"

static const struct schedule_options skip = {DST_GAP_SKIP, DST_OVERLAP_FIRST, DAY_MATCH_ANY};
static const struct schedule_options second = {DST_GAP_FIRE, DST_OVERLAP_SECOND, DAY_MATCH_ANY};
static const struct schedule_options both = {DST_GAP_FIRE, DST_OVERLAP_BOTH, DAY_MATCH_ANY};

static const char new_york[] = "America/New_York";

static void test_new_york_gap(void **state)
{
    (void)state;
    const char *from = "2024-03-09T12:00:00-05:00";
    assert_next("30 2 * * *", new_york, defaults, from, "2024-03-10T03:00:00-04:00", "2024-03-11T02:30:00-04:00");
    assert_next("30 2 * * *", new_york, skip, from, "2024-03-11T02:30:00-04:00");
    assert_next("0 3 * * *", new_york, defaults, from, "2024-03-10T03:00:00-04:00", "2024-03-11T03:00:00-04:00");
    /* Several skipped times and the first one behind the gap are one slot. */
    assert_next("0,20,40 2,3 * * *", new_york, defaults, from, "2024-03-10T03:00:00-04:00", "2024-03-10T03:20:00-04:00",
                "2024-03-10T03:40:00-04:00", "2024-03-11T02:00:00-04:00");
    assert_next("10 15 2 10 3 *", new_york, defaults, from, "2024-03-10T03:00:00-04:00", "2025-03-10T02:15:10-04:00");
    /* Asked within the gap's end, it does not fire again. */
    assert_next("30 2 * * *", new_york, defaults, "2024-03-10T03:00:00-04:00", "2024-03-11T02:30:00-04:00");
    assert_next("30 2 * * *", new_york, defaults, "2024-03-10T01:59:59.999-05:00", "2024-03-10T03:00:00-04:00");
}

static void test_new_york_gap_with_intervals(void **state)
{
    (void)state;
    assert_next("*/15 2 * * *", new_york, defaults, "2024-03-09T12:00:00-05:00", "2024-03-11T02:00:00-04:00");
    assert_next("*/30 * * * *", new_york, defaults, "2024-03-10T01:00:00-05:00", "2024-03-10T01:30:00-05:00",
                "2024-03-10T03:00:00-04:00", "2024-03-10T03:30:00-04:00");
    assert_next("@hourly", new_york, defaults, "2024-03-10T00:30:00-05:00", "2024-03-10T01:00:00-05:00",
                "2024-03-10T03:00:00-04:00");
    assert_next("30 */2 * * *", new_york, defaults, "2024-03-10T00:00:00-05:00", "2024-03-10T00:30:00-05:00",
                "2024-03-10T04:30:00-04:00");
    /* Seconds and day fields do not make an interval. */
    assert_next("*/30 30 2 */5 * *", new_york, defaults, "2026-03-07T12:00:00-05:00", "2026-03-11T02:30:00-04:00",
                "2026-03-11T02:30:30-04:00");
    assert_next("*/30 30 2 * * *", new_york, defaults, "2024-03-09T12:00:00-05:00", "2024-03-10T03:00:00-04:00",
                "2024-03-11T02:30:00-04:00", "2024-03-11T02:30:30-04:00");
}

static void test_new_york_overlap(void **state)
{
    (void)state;
    const char *from = "2024-11-02T12:00:00-04:00";
    assert_next("30 1 * * *", new_york, defaults, from, "2024-11-03T01:30:00-04:00", "2024-11-04T01:30:00-05:00");
    assert_next("30 1 * * *", new_york, second, from, "2024-11-03T01:30:00-05:00", "2024-11-04T01:30:00-05:00");
    assert_next("30 1 * * *", new_york, both, from, "2024-11-03T01:30:00-04:00", "2024-11-03T01:30:00-05:00",
                "2024-11-04T01:30:00-05:00");
    /* Outside of it the options change nothing. */
    assert_next("59 0 * * *", new_york, second, from, "2024-11-03T00:59:00-04:00", "2024-11-04T00:59:00-05:00");
    assert_next("0 2 * * *", new_york, both, from, "2024-11-03T02:00:00-05:00", "2024-11-04T02:00:00-05:00");
    assert_next("0 1,2 * * *", new_york, defaults, from, "2024-11-03T01:00:00-04:00", "2024-11-03T02:00:00-05:00");
    assert_next("0 1,2 * * *", new_york, second, from, "2024-11-03T01:00:00-05:00", "2024-11-03T02:00:00-05:00");
    /* From between the passes. */
    assert_next("30 1 * * *", new_york, defaults, "2024-11-03T01:15:00-05:00", "2024-11-04T01:30:00-05:00");
    assert_next("30 1 * * *", new_york, second, "2024-11-03T01:45:00-04:00", "2024-11-03T01:30:00-05:00");
    assert_next("* 59 1 * * *", new_york, defaults, "2024-11-03T01:59:58-04:00", "2024-11-03T01:59:59-04:00",
                "2024-11-04T01:59:00-05:00");
}

static void test_new_york_overlap_with_intervals(void **state)
{
    (void)state;
    const struct schedule_options *const each[] = {&defaults, &second, &both, &skip};
    for (int i = 0; i < 4; i++) {
        assert_next("*/30 * * * *", new_york, *each[i], "2024-11-03T00:45:00-04:00", "2024-11-03T01:00:00-04:00",
                    "2024-11-03T01:30:00-04:00", "2024-11-03T01:00:00-05:00", "2024-11-03T01:30:00-05:00",
                    "2024-11-03T02:00:00-05:00");
        assert_next("*/30 1 * * *", new_york, *each[i], "2024-11-03T01:30:00-04:00", "2024-11-03T01:00:00-05:00",
                    "2024-11-03T01:30:00-05:00", "2024-11-04T01:00:00-05:00");
    }
}

static void test_lord_howe_half_an_hour(void **state)
{
    (void)state;
    const char *zone = "Australia/Lord_Howe";
    assert_next("15 2 * * *", zone, defaults, "2024-10-05T12:00:00+10:30", "2024-10-06T02:30:00+11:00",
                "2024-10-07T02:15:00+11:00");
    assert_next("15 2 * * *", zone, skip, "2024-10-05T12:00:00+10:30", "2024-10-07T02:15:00+11:00");
    assert_next("30 2 * * *", zone, skip, "2024-10-05T12:00:00+10:30", "2024-10-06T02:30:00+11:00");
    assert_next("45 1 * * *", zone, defaults, "2024-04-06T12:00:00+11:00", "2024-04-07T01:45:00+11:00",
                "2024-04-08T01:45:00+10:30");
    assert_next("45 1 * * *", zone, second, "2024-04-06T12:00:00+11:00", "2024-04-07T01:45:00+10:30",
                "2024-04-08T01:45:00+10:30");
    assert_next("15 1 * * *", zone, second, "2024-04-06T12:00:00+11:00", "2024-04-07T01:15:00+11:00",
                "2024-04-08T01:15:00+10:30");
    assert_next("*/15 * * * *", zone, defaults, "2024-04-07T01:15:00+11:00", "2024-04-07T01:30:00+11:00",
                "2024-04-07T01:45:00+11:00", "2024-04-07T01:30:00+10:30", "2024-04-07T01:45:00+10:30",
                "2024-04-07T02:00:00+10:30");
    assert_next("*/15 * * * *", zone, defaults, "2024-10-06T01:30:00+10:30", "2024-10-06T01:45:00+10:30",
                "2024-10-06T02:30:00+11:00", "2024-10-06T02:45:00+11:00");
}

static void test_days_without_midnight(void **state)
{
    (void)state;
    assert_next("@daily", "America/Sao_Paulo", defaults, "2018-11-03T12:00:00-03:00", "2018-11-04T01:00:00-02:00",
                "2018-11-05T00:00:00-02:00");
    assert_next("@daily", "America/Sao_Paulo", skip, "2018-11-03T12:00:00-03:00", "2018-11-05T00:00:00-02:00");
    assert_next("0 0 4 11 *", "America/Sao_Paulo", defaults, "2018-11-01T00:00:00-03:00", "2018-11-04T01:00:00-02:00",
                "2019-11-04T00:00:00-03:00");
    assert_next("0 0 * * *", "America/Sao_Paulo", defaults, "2018-02-16T12:00:00-02:00", "2018-02-17T00:00:00-02:00",
                "2018-02-18T00:00:00-03:00");
    assert_next("30 23 * * *", "America/Sao_Paulo", defaults, "2018-02-17T12:00:00-02:00", "2018-02-17T23:30:00-02:00",
                "2018-02-18T23:30:00-03:00");
    assert_next("30 23 * * *", "America/Sao_Paulo", both, "2018-02-17T12:00:00-02:00", "2018-02-17T23:30:00-02:00",
                "2018-02-17T23:30:00-03:00", "2018-02-18T23:30:00-03:00");
    assert_next("@daily", "America/Havana", defaults, "2024-03-09T12:00:00-05:00", "2024-03-10T01:00:00-04:00",
                "2024-03-11T00:00:00-04:00");
    assert_next("@daily", "America/Havana", defaults, "2024-11-02T12:00:00-04:00", "2024-11-03T00:00:00-04:00",
                "2024-11-04T00:00:00-05:00");
    assert_next("@daily", "America/Havana", second, "2024-11-02T12:00:00-04:00", "2024-11-03T00:00:00-05:00",
                "2024-11-04T00:00:00-05:00");
}

/* 30 December 2011 does not exist: the clock went from the 29th, 24:00 at -10:00 to the 31st, 00:00 at +14:00. */
static void test_apia_lost_day(void **state)
{
    (void)state;
    const char *zone = "Pacific/Apia", *from = "2011-12-29T00:00:00-10:00";
    assert_next("0 12 * * *", zone, defaults, from, "2011-12-29T12:00:00-10:00", "2011-12-31T00:00:00+14:00",
                "2011-12-31T12:00:00+14:00");
    assert_next("0 12 * * *", zone, skip, from, "2011-12-29T12:00:00-10:00", "2011-12-31T12:00:00+14:00");
    assert_next("0 12 30 12 *", zone, defaults, from, "2011-12-31T00:00:00+14:00", "2012-12-30T12:00:00+14:00");
    assert_next("0 12 30 12 *", zone, skip, from, "2012-12-30T12:00:00+14:00");
    assert_next("0 9,15,21 * * FRI", zone, defaults, from, "2011-12-31T00:00:00+14:00", "2012-01-06T09:00:00+14:00");
    assert_next("@daily", zone, defaults, from, "2011-12-31T00:00:00+14:00", "2012-01-01T00:00:00+14:00");
    assert_next("0 */6 * * *", zone, defaults, "2011-12-29T12:00:00-10:00", "2011-12-29T18:00:00-10:00",
                "2011-12-31T00:00:00+14:00", "2011-12-31T06:00:00+14:00");
    assert_next("0 12 29,31 12 *", zone, defaults, from, "2011-12-29T12:00:00-10:00", "2011-12-31T12:00:00+14:00");
}

/* Winter is the negative daylight saving time of the Irish rules. */
static void test_dublin_negative_dst(void **state)
{
    (void)state;
    const char *zone = "Europe/Dublin";
    assert_next("30 1 * * *", zone, defaults, "2024-03-30T12:00:00Z", "2024-03-31T02:00:00+01:00",
                "2024-04-01T01:30:00+01:00");
    assert_next("30 1 * * *", zone, defaults, "2024-10-26T12:00:00+01:00", "2024-10-27T01:30:00+01:00",
                "2024-10-28T01:30:00Z");
    assert_next("30 1 * * *", zone, second, "2024-10-26T12:00:00+01:00", "2024-10-27T01:30:00Z",
                "2024-10-28T01:30:00Z");
    assert_next("30 1 * * *", zone, defaults, "2045-03-25T12:00:00Z", "2045-03-26T02:00:00+01:00"); /* by the rule */
    assert_next("30 1 * * *", zone, second, "2045-10-28T12:00:00+01:00", "2045-10-29T01:30:00Z");
}

/* The clock goes back for Ramadan and forth after it: dates from a table, not from a rule. */
static void test_casablanca_ramadan(void **state)
{
    (void)state;
    const char *zone = "Africa/Casablanca";
    assert_next("30 2 * * *", zone, defaults, "2024-03-09T12:00:00+01:00", "2024-03-10T02:30:00+01:00",
                "2024-03-11T02:30:00Z");
    assert_next("30 2 * * *", zone, second, "2024-03-09T12:00:00+01:00", "2024-03-10T02:30:00Z",
                "2024-03-11T02:30:00Z");
    assert_next("30 2 * * *", zone, defaults, "2024-04-13T12:00:00Z", "2024-04-14T03:00:00+01:00",
                "2024-04-15T02:30:00+01:00");
    assert_next("30 2 * * *", zone, skip, "2024-04-13T12:00:00Z", "2024-04-15T02:30:00+01:00");
}

static void test_kathmandu(void **state)
{
    (void)state;
    assert_next("0 9 * * *", "Asia/Kathmandu", defaults, "2024-06-01T00:00:00Z", "2024-06-01T09:00:00+05:45",
                "2024-06-02T09:00:00+05:45");
    assert_next("0 * * * *", "Asia/Kathmandu", defaults, "2024-06-01T00:00:00Z", "2024-06-01T00:15:00Z");
    /* 1986 began at 00:15. */
    assert_next("5 0 * * *", "Asia/Kathmandu", defaults, "1985-12-31T12:00:00+05:30", "1986-01-01T00:15:00+05:45",
                "1986-01-02T00:05:00+05:45");
}

static void test_rules_after_the_table(void **state)
{
    (void)state;
    static const char *const gaps[] = {"2038-03-14", "2050-03-13", "2100-03-14", "2437-03-08", "2438-03-14",
                                       "2500-03-14", "2900-03-14", "9700-03-14"};
    for (size_t i = 0; i < sizeof gaps / sizeof gaps[0]; i++) {
        char from[32], to[32];
        for (int j = 0; j <= 10; j++)
            from[j] = to[j] = gaps[i][j];
        for (int j = 0; j < 16; j++) {
            from[10 + j] = "T00:00:00-05:00"[j];
            to[10 + j] = "T03:00:00-04:00"[j];
        }
        assert_next("30 2 * * *", new_york, defaults, from, to);
    }
    assert_next("30 1 * * *", new_york, second, "2100-11-06T12:00:00-04:00", "2100-11-07T01:30:00-05:00");
    assert_next("30 2 1 * *", "Europe/Berlin", defaults, "2436-12-01T12:00:00+01:00", "2437-01-01T02:30:00+01:00");
    assert_next("15 2 * * *", "Australia/Lord_Howe", defaults, "2100-10-02T12:00:00+10:30",
                "2100-10-03T02:30:00+11:00");
    /* Midnight of the rule is 24:00 of Saturday. */
    assert_next("@daily", "America/Santiago", defaults, "2040-09-01T12:00:00-04:00", "2040-09-02T01:00:00-03:00");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_york_gap),
        cmocka_unit_test(test_new_york_gap_with_intervals),
        cmocka_unit_test(test_new_york_overlap),
        cmocka_unit_test(test_new_york_overlap_with_intervals),
        cmocka_unit_test(test_lord_howe_half_an_hour),
        cmocka_unit_test(test_days_without_midnight),
        cmocka_unit_test(test_apia_lost_day),
        cmocka_unit_test(test_dublin_negative_dst),
        cmocka_unit_test(test_casablanca_ramadan),
        cmocka_unit_test(test_kathmandu),
        cmocka_unit_test(test_rules_after_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, support_release);
}
