/* Time. The wall clock is int64 milliseconds since 1970 UTC, the monotonic clock uint64 nanoseconds.
 * The clock is injected: pure rooms take instants as arguments, the others hold a `struct clock`. */
#ifndef CHRONOS_BASE_CLOCK_H
#define CHRONOS_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct clock {
    int64_t (*wall_ms)(void *arg);
    uint64_t (*monotonic_ns)(void *arg);
    void *arg;
};
extern const struct clock clock_system; /* any thread */

/* RFC 3339, UTC, milliseconds: "2027-01-01T00:00:00.000Z". Years 1..9999; out of range is clamped. */
enum { TIME_TEXT_SIZE = 32 };
void time_format(int64_t unix_ms, char out[TIME_TEXT_SIZE]);
/* An instant of the years 1 to 9999 on a clock that is offset_s ahead of UTC: "2027-01-01T01:00:00.000+01:00". Seconds of
 * the offset are dropped, so that the text still means the same instant. */
void time_format_local(int64_t unix_ms, int32_t offset_s, char out[TIME_TEXT_SIZE]);
/* Accepts RFC 3339 with Z or an offset, 0 to 9 fraction digits (cut to ms), 'T' or ' ' between date and time. */
must_use enum status time_parse(const char *text, size_t size, int64_t *ret_unix_ms, struct error *err);

/* Proleptic Gregorian, days since 1970-01-01; months 1..12, days 1..31. */
int64_t days_from_civil(int64_t year, int month, int day);
void civil_from_days(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day);

/* Durations: "500ms", "30s", "5m", "1h30m", "7d", "0"; units ms s m h d, largest first, each once. No sign. */
must_use enum status duration_parse(const char *text, size_t size, int64_t *ret_ms, struct error *err);
enum { DURATION_TEXT_SIZE = 48 };
void duration_format(int64_t ms, char out[DURATION_TEXT_SIZE]); /* shortest exact form: "1h30m" */
/* Sizes: "256MiB", "4GiB", "64KiB", "1000", "1MB"; bytes. */
must_use enum status size_parse(const char *text, size_t size, int64_t *ret_bytes, struct error *err);
void size_format(int64_t bytes, char out[DURATION_TEXT_SIZE]);

#endif
