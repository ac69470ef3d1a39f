#include "base/clock.h"

#include "check.h"

static void the_system_clock_runs(void **state)
{
    (void)state;
    int64_t wall = clock_system.wall_ms(clock_system.arg);
    assert_true(wall > 1700000000000); /* November 2023 */
    uint64_t before = clock_system.monotonic_ns(clock_system.arg);
    assert_true(clock_system.monotonic_ns(clock_system.arg) >= before);
}

static void days_and_dates_agree(void **state)
{
    (void)state;
    /* Walk 800 years day by day against the plain rules of the calendar. */
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t day_number = days_from_civil(1600, 1, 1);
    for (int year = 1600; year < 2400; year++)
        for (int month = 1; month <= 12; month++) {
            bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
            int length = lengths[month - 1] + (month == 2 && leap);
            for (int day = 1; day <= length; day++, day_number++) {
                int64_t y;
                int m, d;
                civil_from_days(day_number, &y, &m, &d);
                if (y != year || m != month || d != day || days_from_civil(year, month, day) != day_number)
                    fail_msg("%d-%d-%d", year, month, day);
            }
        }
    assert_int_equal(days_from_civil(1970, 1, 1), 0);
    assert_int_equal(days_from_civil(2000, 3, 1), 11017);
    assert_int_equal(days_from_civil(1, 1, 1), -719162);
    int64_t year;
    int month, day;
    civil_from_days(-719163, &year, &month, &day);
    assert_int_equal(year, 0);
    assert_int_equal(month, 12);
    assert_int_equal(day, 31);
    civil_from_days(days_from_civil(-4000, 2, 29), &year, &month, &day);
    assert_int_equal(year, -4000);
    assert_int_equal(month, 2);
    assert_int_equal(day, 29);
}

static void formats_times(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {1798761600000, "2027-01-01T00:00:00.000Z"},
        {951827696789, "2000-02-29T12:34:56.789Z"},
        {-62135596800000, "0001-01-01T00:00:00.000Z"},
        {-62135596800001, "0001-01-01T00:00:00.000Z"},
        {INT64_MIN, "0001-01-01T00:00:00.000Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        {253402300800000, "9999-12-31T23:59:59.999Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[TIME_TEXT_SIZE];
        time_format(cases[i].ms, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void formats_local_times(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        int32_t offset_s;
        const char *text;
    } cases[] = {
        {1798761600000, 3600, "2027-01-01T01:00:00.000+01:00"},
        {1798761600000, -12600, "2026-12-31T20:30:00.000-03:30"},
        {1798761600001, 0, "2027-01-01T00:00:00.001+00:00"},
        {1798761600000, 20700, "2027-01-01T05:45:00.000+05:45"},
        {-2524521600000, 3208, "1890-01-01T00:53:00.000+00:53"}, /* local mean time: 53m28s */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[TIME_TEXT_SIZE];
        int64_t again = 0;
        struct error err;
        time_format_local(cases[i].ms, cases[i].offset_s, text);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(time_parse(text, strlen(text), &again, &err), STATUS_OK);
        assert_true(again == cases[i].ms);
    }
}

static void parses_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01 00:00:00Z", 0},
        {"1970-01-01t00:00:00z", 0},
        {"1970-01-01T00:00:00.5Z", 500},
        {"1970-01-01T00:00:00.07Z", 70},
        {"1970-01-01T00:00:00.123999999Z", 123},
        {"1969-12-31T23:59:59.999Z", -1},
        {"1970-01-01T01:30:00+01:30", 0},
        {"1969-12-31T22:00:00-02:00", 0},
        {"1970-01-01T00:00:00-00:00", 0},
        {"2027-01-01T00:00:00.000Z", 1798761600000},
        {"2016-12-31T23:59:60Z", 1483228800000},
        {"2017-01-01T00:59:60.250+01:00", 1483228800250},
        {"2000-02-29T12:34:56.789Z", 951827696789},
        {"0001-01-01T00:00:00Z", -62135596800000},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t ms = -7;
        struct error err;
        if (time_parse(cases[i].text, strlen(cases[i].text), &ms, &err) != STATUS_OK || ms != cases[i].ms)
            fail_msg("%s gave %lld", cases[i].text, (long long)ms);
    }
}

static void refuses_times(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "now", "2027", "2027-01-01", "2027-01-01T00:00:00", "2027-01-01T00:00Z", "2027-1-01T00:00:00Z",
        "2027-13-01T00:00:00Z", "2027-00-01T00:00:00Z", "2027-01-00T00:00:00Z", "2027-01-32T00:00:00Z",
        "2027-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2027-04-31T00:00:00Z", "2027-01-01T24:00:00Z",
        "2027-01-01T00:60:00Z", "2027-01-01T00:00:61Z", "2027-01-01T00:00:60Z", "2016-12-31T22:59:60Z",
        "2027-01-01T00:00:00.Z", "2027-01-01T00:00:00.1234567890Z", "2027-01-01T00:00:00,5Z",
        "2027-01-01T00:00:00+24:00",
        "2027-01-01T00:00:00+01:60", "2027-01-01T00:00:00+0100", "2027-01-01T00:00:00+1", "2027-01-01T00:00:00ZZ",
        "2027-01-01T00:00:00Z ", " 2027-01-01T00:00:00Z", "2027-01-01X00:00:00Z", "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "+027-01-01T00:00:00Z", "2027/01/01T00:00:00Z",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        int64_t ms = -7;
        struct error err;
        if (time_parse(bad[i], strlen(bad[i]), &ms, &err) != STATUS_INVALID)
            fail_msg("%s was taken", bad[i]);
        assert_int_equal(ms, -7);
    }
    int64_t ms = -7;
    struct error err;
    assert_int_equal(time_parse("2027-01-01T00:00:00Z\0", 21, &ms, &err), STATUS_INVALID);
    assert_int_equal(time_parse("tomorrow", 8, &ms, &err), STATUS_INVALID);
    assert_string_equal(err.message, "\"tomorrow\" is not a time such as \"2027-01-31T08:00:00Z\"");
}

static void times_round_trip(void **state)
{
    (void)state;
    for (int64_t ms = -62135596800000; ms < 253402300800000; ms += 86399999999) {
        char text[TIME_TEXT_SIZE];
        int64_t back = 0;
        struct error err;
        time_format(ms, text);
        assert_int_equal(time_parse(text, strlen(text), &back, &err), STATUS_OK);
        assert_true(back == ms);
    }
}

static void parses_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"0", 0}, {"0s", 0}, {"500ms", 500}, {"30s", 30000}, {"5m", 300000}, {"1h30m", 5400000}, {"7d", 604800000},
        {"1d2h3m4s5ms", 93784005}, {"90m", 5400000}, {"007s", 7000}, {"9223372036854775807ms", INT64_MAX},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t ms = -7;
        struct error err;
        if (duration_parse(cases[i].text, strlen(cases[i].text), &ms, &err) != STATUS_OK || ms != cases[i].ms)
            fail_msg("%s gave %lld", cases[i].text, (long long)ms);
    }
}

static void refuses_durations(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "fast", "1", "00", "s", "-1s", "+1s", "1 s", " 1s", "1s ", "1.5s", "1w", "1S", "1min", "1s1s", "1s1m",
        "1ms1s",
        "1h 30m", "1hm", "9223372036854775808ms", "106751991168d", "99999999999999999999s",
        "9223372036854775807ms1ms",
        "106751991167d23h", "1mss",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        int64_t ms = -7;
        struct error err;
        if (duration_parse(bad[i], strlen(bad[i]), &ms, &err) != STATUS_INVALID)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_int_equal(ms, -7);
    }
    int64_t ms = -7;
    struct error err;
    assert_int_equal(duration_parse("1s\0", 3, &ms, &err), STATUS_INVALID);
    assert_int_equal(duration_parse("fast", 4, &ms, &err), STATUS_INVALID);
    assert_string_equal(err.message, "\"fast\" is not a duration such as \"500ms\", \"30s\" or \"1h30m\"");
}

static void errors_quote_a_bounded_part(void **state)
{
    (void)state;
    char text[1000];
    memset(text, 'x', sizeof text);
    int64_t ms = -7;
    struct error err;
    assert_int_equal(duration_parse(text, sizeof text, &ms, &err), STATUS_INVALID);
    assert_true(strlen(err.message) < 200);
    assert_non_null(strstr(err.message, "xxx...\""));
}

static void formats_durations(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "0"}, {1, "1ms"}, {999, "999ms"}, {1000, "1s"}, {1500, "1s500ms"}, {60000, "1m"}, {90000, "1m30s"},
        {5400000, "1h30m"}, {86400000, "1d"}, {129600000, "1d12h"}, {-5400000, "-1h30m"},
        {INT64_MAX, "106751991167d7h12m55s807ms"}, {INT64_MIN, "-106751991167d7h12m55s808ms"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[DURATION_TEXT_SIZE];
        duration_format(cases[i].ms, text);
        assert_string_equal(text, cases[i].text);
        int64_t back = -7;
        struct error err;
        if (cases[i].ms >= 0) {
            assert_int_equal(duration_parse(text, strlen(text), &back, &err), STATUS_OK);
            assert_true(back == cases[i].ms);
        }
    }
}

static void parses_and_formats_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes;
        const char *formatted;
    } cases[] = {
        {"0", 0, "0"}, {"1000", 1000, "1000"}, {"12B", 12, "12"}, {"64KiB", 65536, "64KiB"},
        {"1MB", 1000000, "1000000"},
        {"1kB", 1000, "1000"}, {"1KB", 1000, "1000"}, {"256MiB", 268435456, "256MiB"}, {"4GiB", 4294967296, "4GiB"},
        {"1024MiB", 1073741824, "1GiB"}, {"2GB", 2000000000, "1953125KiB"}, {"3TiB", 3298534883328, "3TiB"},
        {"1TB", 1000000000000, "976562500KiB"}, {"9223372036854775807", INT64_MAX, "9223372036854775807"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t bytes = -7;
        struct error err;
        assert_int_equal(size_parse(cases[i].text, strlen(cases[i].text), &bytes, &err), STATUS_OK);
        assert_true(bytes == cases[i].bytes);
        char text[DURATION_TEXT_SIZE];
        size_format(bytes, text);
        assert_string_equal(text, cases[i].formatted);
    }
    char text[DURATION_TEXT_SIZE];
    size_format(-1024, text);
    assert_string_equal(text, "-1KiB");
    size_format(INT64_MIN, text);
    assert_string_equal(text, "-8388608TiB");
}

static void refuses_sizes(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "big", "KiB", "-1", "1 KiB", "1.5KiB", "1kib", "1K", "1M", "1KiBs", "1KiB1B", "9223372036854775808",
        "8388608TiB", "1KiB ", "0x10",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        int64_t bytes = -7;
        struct error err;
        if (size_parse(bad[i], strlen(bad[i]), &bytes, &err) != STATUS_INVALID)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_int_equal(bytes, -7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_system_clock_runs),
        cmocka_unit_test(days_and_dates_agree),
        cmocka_unit_test(formats_times),
        cmocka_unit_test(formats_local_times),
        cmocka_unit_test(parses_times),
        cmocka_unit_test(refuses_times),
        cmocka_unit_test(times_round_trip),
        cmocka_unit_test(parses_durations),
        cmocka_unit_test(refuses_durations),
        cmocka_unit_test(errors_quote_a_bounded_part),
        cmocka_unit_test(formats_durations),
        cmocka_unit_test(parses_and_formats_sizes),
        cmocka_unit_test(refuses_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
