/* The compiled form, and what the files of this room share about it. */
#ifndef CHRONOS_SCHEDULE_SCHEDULE_INTERNAL_H
#define CHRONOS_SCHEDULE_SCHEDULE_INTERNAL_H

#include <assert.h>

#include "schedule/schedule.h"

enum member_kind { MEMBER_CRON, MEMBER_EVERY, MEMBER_AT, MEMBER_MANUAL };

enum {
    CRON_SECONDS_GIVEN = 1,   /* six fields */
    CRON_MINUTE_INTERVAL = 2, /* the field has a "*" or a step */
    CRON_HOUR_INTERVAL = 4,
    CRON_DAYS_EITHER = 8, /* day-of-month or day-of-week, not both */
};

enum { WEEKDAYS_ALL = 0x7f };
#define CRON_DAYS_ALL UINT32_C(0xfffffffe)
#define CRON_SIXTY_ALL ((UINT64_C(1) << 60) - 1)
#define CRON_HOURS_ALL ((UINT32_C(1) << 24) - 1)
#define CRON_MONTHS_ALL 0x1ffe

/* Sets of field values as bits. Of the day fields, a field without restriction has all bits set. */
struct cron {
    uint8_t kind; /* enum member_kind; first in every member */
    uint8_t flags;
    uint8_t weekdays;          /* bit 0 is Sunday */
    uint16_t months;           /* bits 1 to 12 */
    uint32_t hours;            /* bits 0 to 23 */
    uint32_t days;             /* bits 1 to 31 */
    uint32_t days_from_last;   /* bit n: L-n; bit 0: L */
    uint32_t nearest_weekdays; /* bit n: nW; bit 0: LW */
    uint64_t seconds, minutes; /* bits 0 to 59 */
    uint64_t nth_weekdays;     /* bit (k - 1) * 7 + weekday: n#k; k of 6 is nL */
};

struct every {
    uint8_t kind;
    int64_t interval_ms, anchor_ms;
};

struct at {
    uint8_t kind;
    int64_t at_ms;
};

union member {
    uint8_t kind;
    struct cron cron;
    struct every every;
    struct at at;
};

struct schedule {
    const struct zone *zone;
    uint8_t count;
    uint8_t dst_gap, dst_overlap; /* enums of the same name */
    union member members[];
};
/* 100,000 jobs: one cron expression costs 64 bytes. */
static_assert(sizeof(struct schedule) + sizeof(union member) <= 64, "a compiled schedule stays small");

/* All instants here lie in the years 1 to 9999, so that no sum overflows. */
#define INSTANT_MS_MIN INT64_C(-62135596800000)
#define INSTANT_MS_MAX INT64_C(253402300799999)

/* cron_parse.c: the 5 or 6 fields. */
must_use enum status cron_parse(const char *text, size_t size, enum day_match day_match, struct cron *ret,
                                struct error *err);

/* cron_match.c: the calendar alone, without a zone. The first matching local second in [from_s, end_s). */
bool cron_next_local(const struct cron *cron, int64_t from_s, int64_t end_s, int64_t *ret_s);
/* Bits 1 to 31: the days of that month that match; first_weekday is the weekday of its first. */
uint32_t cron_month_days(const struct cron *cron, int month_length, int first_weekday);
int month_length(int64_t year, int month);

/* What `*` or a step in minute or hour makes of it: it fires whenever the local clock shows a match, whatever dst_gap
 * and dst_overlap say. */
static inline bool cron_is_interval(const struct cron *cron)
{
    return (cron->flags & (CRON_MINUTE_INTERVAL | CRON_HOUR_INTERVAL)) != 0;
}

/* schedule.c: the same second, eight calendar years on. */
int64_t schedule_horizon(int64_t local_s);

/* User text for a message: printable ASCII, at most 32 characters. */
enum { QUOTED_SIZE = 36 };
const char *quoted(const char *text, size_t size, char out[QUOTED_SIZE]);

static inline char ascii_upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}
bool text_is(const char *text, size_t size, const char *upper_case); /* ASCII, any case */

#endif
