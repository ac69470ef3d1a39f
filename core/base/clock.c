#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buffer.h"

enum { MS_PER_SECOND = 1000, SECONDS_PER_DAY = 86400, QUOTED_MAX = 48 };
static const int64_t ms_per_day = (int64_t)SECONDS_PER_DAY * MS_PER_SECOND;

static int64_t system_wall_ms(void *arg)
{
    (void)arg;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock and a valid pointer */
    return (int64_t)now.tv_sec * MS_PER_SECOND + now.tv_nsec / 1000000;
}

static uint64_t system_monotonic_ns(void *arg)
{
    (void)arg;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* as above */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

const struct clock clock_system = {.wall_ms = system_wall_ms, .monotonic_ns = system_monotonic_ns};

static int64_t floor_divide(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

/* Howard Hinnant, "chrono-compatible low-level date algorithms": eras of 400 years that begin on March 1, so that the
 * leap day is the last of its year. */
int64_t days_from_civil(int64_t year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = floor_divide(y, 400), year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

void civil_from_days(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day)
{
    int64_t z = days + 719468;
    int64_t era = floor_divide(z, 146097), day_of_era = z - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * day_of_year + 2) / 153;
    int month = (int)(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
    *ret_year = year_of_era + era * 400 + (month <= 2);
    *ret_month = month;
    *ret_day = (int)(day_of_year - (153 * shifted_month + 2) / 5 + 1);
}

static int64_t first_ms(void)
{
    return days_from_civil(1, 1, 1) * ms_per_day;
}

static int64_t last_ms(void)
{
    return days_from_civil(10000, 1, 1) * ms_per_day - 1;
}

/* `count` digits and the character behind them; the place behind that. */
static char *write_digits(char *at, int64_t value, int count, char behind)
{
    for (int i = count - 1; i >= 0; i--, value /= 10)
        at[i] = (char)('0' + value % 10);
    at[count] = behind;
    return at + count + 1;
}

void time_format(int64_t unix_ms, char out[TIME_TEXT_SIZE])
{
    int64_t ms = unix_ms < first_ms() ? first_ms() : unix_ms > last_ms() ? last_ms() : unix_ms;
    int64_t days = floor_divide(ms, ms_per_day), in_day = ms - days * ms_per_day, year;
    int month, day;
    civil_from_days(days, &year, &month, &day);
    char *at = write_digits(out, year, 4, '-');
    at = write_digits(at, month, 2, '-');
    at = write_digits(at, day, 2, 'T');
    at = write_digits(at, in_day / 3600000, 2, ':');
    at = write_digits(at, in_day / 60000 % 60, 2, ':');
    at = write_digits(at, in_day / 1000 % 60, 2, '.');
    at = write_digits(at, in_day % 1000, 3, 'Z');
    *at = '\0';
}

void time_format_local(int64_t unix_ms, int32_t offset_s, char out[TIME_TEXT_SIZE])
{
    int32_t minutes = offset_s / 60, ahead = minutes < 0 ? -minutes : minutes; /* RFC 3339 has no seconds in offsets */
    time_format(unix_ms + minutes * INT64_C(60000), out);
    char *at = strchr(out, 'Z');
    *at++ = minutes < 0 ? '-' : '+';
    at = write_digits(at, ahead / 60, 2, ':');
    (void)write_digits(at, ahead % 60, 2, '\0');
}

/* Reading: a cursor that fails once and for all. */
struct scan {
    const char *at, *end;
    bool failed;
};

static bool next_is(const struct scan *s, const char *set)
{
    return !s->failed && s->at < s->end && *s->at != '\0' && strchr(set, *s->at);
}

static char expect(struct scan *s, const char *set)
{
    if (!next_is(s, set)) {
        s->failed = true;
        return '\0';
    }
    return *s->at++;
}

static int digits(struct scan *s, int count, int lowest, int highest)
{
    int value = 0;
    for (int i = 0; i < count; i++)
        value = value * 10 + (expect(s, "0123456789") - '0');
    if (value < lowest || value > highest)
        s->failed = true;
    return s->failed ? lowest : value;
}

static int days_in_month(int64_t year, int month)
{
    int64_t next = month == 12 ? days_from_civil(year + 1, 1, 1) : days_from_civil(year, month + 1, 1);
    return (int)(next - days_from_civil(year, month, 1));
}

static int scan_fraction_ms(struct scan *s)
{
    if (!next_is(s, "."))
        return 0;
    s->at++;
    int ms = 0, count = 0;
    for (; next_is(s, "0123456789"); s->at++, count++)
        if (count < 3)
            ms = ms * 10 + (*s->at - '0');
    if (count == 0 || count > 9)
        s->failed = true;
    for (; count < 3; count++)
        ms *= 10;
    return ms;
}

static int scan_offset_seconds(struct scan *s)
{
    char sign = expect(s, "Zz+-");
    if (s->failed || sign == 'Z' || sign == 'z')
        return 0;
    int hours = digits(s, 2, 0, 23);
    (void)expect(s, ":");
    int seconds = hours * 3600 + digits(s, 2, 0, 59) * 60;
    return sign == '-' ? -seconds : seconds;
}

static int64_t scan_time(struct scan *s)
{
    int year = digits(s, 4, 1, 9999);
    (void)expect(s, "-");
    int month = digits(s, 2, 1, 12);
    (void)expect(s, "-");
    int day = digits(s, 2, 1, days_in_month(year, month));
    (void)expect(s, "Tt ");
    int hour = digits(s, 2, 0, 23);
    (void)expect(s, ":");
    int minute = digits(s, 2, 0, 59);
    (void)expect(s, ":");
    int second = digits(s, 2, 0, 60);
    int ms = scan_fraction_ms(s);
    int offset = scan_offset_seconds(s);
    int64_t midnight = days_from_civil(year, month, day) * SECONDS_PER_DAY;
    int64_t unix_seconds = midnight + hour * 3600 + minute * 60 + second - offset;
    /* RFC 3339 section 5.7: a leap second is the last of a UTC day. POSIX counts it as the next day's first. */
    if (second == 60 && floor_divide(unix_seconds, SECONDS_PER_DAY) * SECONDS_PER_DAY != unix_seconds)
        s->failed = true;
    return unix_seconds * MS_PER_SECOND + ms;
}

static enum status refuse(struct error *err, const char *text, size_t size, const char *what)
{
    size_t kept = utf8_cut(text, size, QUOTED_MAX);
    return error_set(err, STATUS_INVALID, "\"%.*s%s\" is not %s", (int)kept, kept > 0 ? text : "",
                     kept < size ? "..." : "", what);
}

enum status time_parse(const char *text, size_t size, int64_t *ret_unix_ms, struct error *err)
{
    struct scan s = {.at = text, .end = text + size};
    int64_t ms = scan_time(&s);
    if (s.failed || s.at != s.end || ms < first_ms() || ms > last_ms())
        return refuse(err, text, size, "a time such as \"2027-01-31T08:00:00Z\"");
    *ret_unix_ms = ms;
    return STATUS_OK;
}

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};
enum { DURATION_UNIT_COUNT = sizeof duration_units / sizeof *duration_units };

static int64_t scan_number(struct scan *s)
{
    int64_t value = 0;
    if (!next_is(s, "0123456789"))
        s->failed = true;
    for (; next_is(s, "0123456789"); s->at++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *s->at - '0', &value))
            s->failed = true;
    return value;
}

/* The unit at the cursor is the whole run of letters there: "ms" is never "m" and a rest. Its index, or -1. */
static int scan_unit(struct scan *s, const struct unit *units, int count)
{
    const char *begin = s->at;
    while (s->at < s->end && ((*s->at >= 'a' && *s->at <= 'z') || (*s->at >= 'A' && *s->at <= 'Z')))
        s->at++;
    size_t size = (size_t)(s->at - begin);
    for (int i = 0; i < count; i++)
        if (strlen(units[i].name) == size && memcmp(units[i].name, begin, size) == 0)
            return i;
    s->failed = true;
    return -1;
}

enum status duration_parse(const char *text, size_t size, int64_t *ret_ms, struct error *err)
{
    static const char what[] = "a duration such as \"500ms\", \"30s\" or \"1h30m\"";
    if (size == 1 && text[0] == '0') {
        *ret_ms = 0;
        return STATUS_OK;
    }
    struct scan s = {.at = text, .end = text + size};
    int64_t total = 0;
    int previous = -1;
    do {
        int64_t number = scan_number(&s), part;
        int unit = scan_unit(&s, duration_units, DURATION_UNIT_COUNT);
        if (s.failed || unit <= previous || __builtin_mul_overflow(number, duration_units[unit].factor, &part) ||
            __builtin_add_overflow(total, part, &total))
            return refuse(err, text, size, what);
        previous = unit;
    } while (s.at < s.end);
    *ret_ms = total;
    return STATUS_OK;
}

/* INT64_MIN has no positive counterpart in int64. */
static uint64_t magnitude(int64_t value)
{
    return value < 0 ? -(uint64_t)value : (uint64_t)value;
}

void duration_format(int64_t ms, char out[DURATION_TEXT_SIZE])
{
    uint64_t left = magnitude(ms);
    size_t size = 0;
    if (left == 0)
        out[size++] = '0';
    if (ms < 0)
        out[size++] = '-';
    out[size] = '\0';
    for (int i = 0; i < DURATION_UNIT_COUNT; i++) {
        uint64_t factor = (uint64_t)duration_units[i].factor;
        if (left < factor)
            continue;
        const char *name = duration_units[i].name;
        size += decimal_format(left / factor, out + size);
        memcpy(out + size, name, strlen(name) + 1);
        size += strlen(name);
        left %= factor;
    }
}

static const struct unit size_units[] = {
    {"", 1},
    {"B", 1},
    {"KB", 1000},
    {"kB", 1000},
    {"MB", 1000000},
    {"GB", 1000000000},
    {"TB", 1000000000000},
    {"KiB", (int64_t)1 << 10},
    {"MiB", (int64_t)1 << 20},
    {"GiB", (int64_t)1 << 30},
    {"TiB", (int64_t)1 << 40},
};
enum { SIZE_UNIT_COUNT = sizeof size_units / sizeof *size_units, FIRST_BINARY_UNIT = 7 };

enum status size_parse(const char *text, size_t size, int64_t *ret_bytes, struct error *err)
{
    struct scan s = {.at = text, .end = text + size};
    int64_t number = scan_number(&s), bytes;
    int unit = scan_unit(&s, size_units, SIZE_UNIT_COUNT);
    if (s.failed || s.at != s.end || __builtin_mul_overflow(number, size_units[unit].factor, &bytes))
        return refuse(err, text, size, "a size such as \"64KiB\", \"256MiB\" or \"4GiB\"");
    *ret_bytes = bytes;
    return STATUS_OK;
}

void size_format(int64_t bytes, char out[DURATION_TEXT_SIZE])
{
    uint64_t size = magnitude(bytes);
    const char *sign = bytes < 0 ? "-" : "", *name = "";
    for (int i = SIZE_UNIT_COUNT - 1; i >= FIRST_BINARY_UNIT && size > 0; i--) {
        uint64_t factor = (uint64_t)size_units[i].factor;
        if (size % factor == 0) {
            size /= factor;
            name = size_units[i].name;
            break;
        }
    }
    (void)snprintf(out, DURATION_TEXT_SIZE, "%s%" PRIu64 "%s", sign, size, name);
}
