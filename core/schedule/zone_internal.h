/* What the files of this room share about zones. */
#ifndef CHRONOS_SCHEDULE_ZONE_INTERNAL_H
#define CHRONOS_SCHEDULE_ZONE_INTERNAL_H

#include "schedule/zone.h"

enum {
    ZONE_NAME_MAX = 64,
    DAY_SECONDS = 86400,
    ZONE_OFFSET_MAX = 26 * 3600,  /* RFC 8536 3.2: from -25 to 26 hours */
    ZONE_SPAN_SECONDS_MIN = 3600, /* the closest two real changes are four days apart; bounds every search */
    ZONE_CYCLE_YEARS = 400,       /* the calendar repeats: 146,097 days are a whole number of weeks */
};
#define ZONE_CYCLE_SECONDS ((int64_t)146097 * DAY_SECONDS)
#define ZONE_BEGINNING (INT64_MIN / 4) /* "since ever" and "for ever", far enough from the ends to add offsets */
#define ZONE_END (INT64_MAX / 4)

/* Spans of one offset: span 0 lasts until at[0], span i from at[i - 1] to at[i], the last one for ever. Neighbours
 * differ in offset. Where a rule repeats for ever, it is laid out for a cycle of 400 years and instants from
 * fold_from_s on are moved back by whole cycles. */
struct zone {
    const char *name;
    const int64_t *at;
    const int32_t *offsets; /* count + 1 */
    uint32_t count;
    bool keeps_changing;
    int64_t fold_from_s; /* ZONE_END where nothing repeats */
};

/* Seconds to subtract so that the instant, and ten years after it, lie in the laid-out part. */
int64_t zone_fold(const struct zone *zone, int64_t unix_s);
/* Of a folded instant. */
uint32_t zone_span_at(const struct zone *zone, int64_t unix_s);

static inline int64_t zone_span_start(const struct zone *zone, uint32_t span)
{
    return span == 0 ? ZONE_BEGINNING : zone->at[span - 1];
}

static inline int64_t zone_span_end(const struct zone *zone, uint32_t span)
{
    return span == zone->count ? ZONE_END : zone->at[span];
}

/* What the local clock would show at the span's end had the offset not changed. */
static inline int64_t zone_span_local_end(const struct zone *zone, uint32_t span)
{
    return zone_span_end(zone, span) + zone->offsets[span];
}

/* Always UTC. */
must_use enum status zone_new_utc(const char *name, struct zone **ret, struct error *err);

/* The POSIX TZ rule of a footer, with RFC 8536 3.3.1's extensions (hours from -167 to 167). */
enum zone_rule_form { ZONE_RULE_JULIAN, ZONE_RULE_DAY, ZONE_RULE_MONTH };

struct zone_rule_date {
    enum zone_rule_form form;
    int month, week, weekday; /* MONTH: Mm.w.d */
    int day;                  /* JULIAN: 1-365 without 29 February; DAY: 0-365 with it */
    int32_t time_s;           /* local time of the change, relative to that day's midnight */
};

struct zone_rule {
    int32_t standard_offset, daylight_offset; /* seconds ahead of UTC */
    bool has_daylight;
    struct zone_rule_date start, end; /* of daylight saving time */
};
must_use enum status zone_rule_parse(const char *text, size_t size, struct zone_rule *ret, struct error *err);
/* The UTC instants of that year's two changes. */
int64_t zone_rule_daylight_start(const struct zone_rule *rule, int64_t year);
int64_t zone_rule_daylight_end(const struct zone_rule *rule, int64_t year);

#endif
