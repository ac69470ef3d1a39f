/* The next instant of a schedule: the calendar's local seconds laid over the spans of a zone. */
#include "schedule/schedule_internal.h"

#include "base/clock.h"
#include "base/limits.h"
#include "schedule/zone_internal.h"

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

int64_t schedule_horizon(int64_t local_s)
{
    int64_t day = floor_div(local_s, DAY_SECONDS), year;
    int month, day_of_month;
    civil_from_days(day, &year, &month, &day_of_month);
    year += SCHEDULE_YEARS_MAX;
    /* 29 February of a year without one is 1 March. */
    if (day_of_month > month_length(year, month)) {
        day_of_month = 1;
        month++;
    }
    return days_from_civil(year, month, day_of_month) * DAY_SECONDS + (local_s - day * DAY_SECONDS);
}

/* Whether an earlier span shows that local second, too; *ret_until is where that span's local time ends. */
static bool shown_before(const struct zone *zone, uint32_t span, int64_t local, int64_t *ret_until)
{
    while (span-- > 0 && zone_span_end(zone, span) + ZONE_OFFSET_MAX > local) {
        if (zone_span_local_end(zone, span) > local && zone_span_start(zone, span) + zone->offsets[span] <= local) {
            *ret_until = zone_span_local_end(zone, span);
            return true;
        }
    }
    return false;
}

/* The same for a later span. */
static bool shown_after(const struct zone *zone, uint32_t span, int64_t local, int64_t *ret_until)
{
    while (span++ < zone->count && zone_span_start(zone, span) - ZONE_OFFSET_MAX <= local) {
        if (zone_span_local_end(zone, span) > local && zone_span_start(zone, span) + zone->offsets[span] <= local) {
            *ret_until = zone_span_local_end(zone, span);
            return true;
        }
    }
    return false;
}

/* Whether the local clock had passed that second before the span began: it showed it, or an earlier gap skipped it. */
static bool passed_before(const struct zone *zone, uint32_t span, int64_t local, int64_t *ret_until)
{
    while (span-- > 0 && zone_span_end(zone, span) + ZONE_OFFSET_MAX > local) {
        if (zone_span_local_end(zone, span) > local) {
            *ret_until = zone_span_local_end(zone, span);
            return true;
        }
    }
    return false;
}

/* Whether a fixed time lies in the gap with which the span begins, and nowhere else on the local clock. */
static bool gap_has_slot(const struct zone *zone, uint32_t span, const struct cron *cron)
{
    int64_t local = zone_span_start(zone, span) + zone->offsets[span - 1], until = local;
    int64_t gap_end = zone_span_start(zone, span) + zone->offsets[span];
    while (cron_next_local(cron, local, gap_end, &local)) {
        if (!passed_before(zone, span, local, &until) && !shown_after(zone, span, local, &until))
            return true;
        local = until;
    }
    return false;
}

/* The first slot at UTC seconds [first, end), all within one span. */
static bool span_next(const struct schedule *schedule, const struct cron *cron, uint32_t span, int64_t first,
                      int64_t end, int64_t *ret_s)
{
    const struct zone *zone = schedule->zone;
    int64_t offset = zone->offsets[span], local = first + offset;
    bool interval = cron_is_interval(cron);
    if (!interval && schedule->dst_gap == DST_GAP_FIRE && span > 0 && first == zone_span_start(zone, span) &&
        zone->offsets[span - 1] < offset && gap_has_slot(zone, span, cron)) {
        *ret_s = first;
        return true;
    }
    while (cron_next_local(cron, local, end + offset, &local)) {
        int64_t until = local;
        bool other_pass = false;
        if (!interval && schedule->dst_overlap == DST_OVERLAP_FIRST)
            other_pass = shown_before(zone, span, local, &until);
        else if (!interval && schedule->dst_overlap == DST_OVERLAP_SECOND)
            other_pass = shown_after(zone, span, local, &until);
        if (!other_pass) {
            *ret_s = local - offset;
            return true;
        }
        local = until; /* the whole overlap belongs to the other pass */
    }
    return false;
}

static bool cron_next(const struct schedule *schedule, const struct cron *cron, int64_t from_ms, int64_t *ret_ms)
{
    const struct zone *zone = schedule->zone;
    int64_t from_s = floor_div(from_ms, 1000), shift = zone_fold(zone, from_s + 1);
    int64_t first = from_s + 1 - shift, horizon, found;
    uint32_t span = zone_span_at(zone, first);
    horizon = schedule_horizon(first - 1 + zone->offsets[span]) - zone->offsets[span];
    for (; first <= horizon; span++) {
        int64_t end = zone_span_end(zone, span) <= horizon ? zone_span_end(zone, span) : horizon + 1;
        if (span_next(schedule, cron, span, first, end, &found)) {
            *ret_ms = (found + shift) * 1000;
            return true;
        }
        first = end;
    }
    return false;
}

static bool every_next(const struct every *every, int64_t from_ms, int64_t *ret_ms)
{
    int64_t passed = from_ms < every->anchor_ms ? 0 : (from_ms - every->anchor_ms) / every->interval_ms;
    *ret_ms = every->anchor_ms + (passed + 1) * every->interval_ms;
    return true;
}

static bool member_next(const struct schedule *schedule, const union member *member, int64_t from_ms, int64_t *ret_ms)
{
    bool found = false;
    int64_t next = 0;
    switch ((enum member_kind)member->kind) {
    case MEMBER_CRON:
        found = cron_next(schedule, &member->cron, from_ms, &next);
        break;
    case MEMBER_EVERY:
        found = every_next(&member->every, from_ms, &next);
        break;
    case MEMBER_AT:
        next = member->at.at_ms;
        found = next > from_ms;
        break;
    case MEMBER_MANUAL:
        break;
    }
    if (!found || next > INSTANT_MS_MAX)
        return false;
    *ret_ms = next;
    return true;
}

bool schedule_next(const struct schedule *schedule, int64_t from_ms, int64_t *ret_ms)
{
    bool any = false;
    int64_t earliest = 0, next;
    if (from_ms >= INSTANT_MS_MAX)
        return false;
    if (from_ms < INSTANT_MS_MIN)
        from_ms = INSTANT_MS_MIN - 1;
    for (uint8_t i = 0; i < schedule->count; i++) {
        if (!member_next(schedule, &schedule->members[i], from_ms, &next))
            continue;
        if (!any || next < earliest)
            earliest = next;
        any = true;
    }
    if (any)
        *ret_ms = earliest;
    return any;
}

static bool all_of_kind(const struct schedule *schedule, enum member_kind kind)
{
    for (uint8_t i = 0; i < schedule->count; i++) {
        if (schedule->members[i].kind != kind)
            return false;
    }
    return true;
}

bool schedule_is_manual(const struct schedule *schedule)
{
    return all_of_kind(schedule, MEMBER_MANUAL);
}

bool schedule_is_once(const struct schedule *schedule)
{
    return all_of_kind(schedule, MEMBER_AT);
}

const struct zone *schedule_zone(const struct schedule *schedule)
{
    return schedule->zone;
}

size_t schedule_memory(const struct schedule *schedule)
{
    return sizeof *schedule + schedule->count * sizeof(union member);
}

/* Whether plain days of the month are all there is, and none of the months is long enough for the first of them. */
static bool days_beyond_months(const struct cron *cron, int *ret_day)
{
    int longest = 0;
    if (cron->days == 0 || (cron->days_from_last | cron->nearest_weekdays) != 0 ||
        (cron->flags & CRON_DAYS_EITHER) != 0)
        return false;
    for (int month = 1; month <= 12; month++) {
        if ((cron->months >> month & 1) != 0 && month_length(2000, month) > longest)
            longest = month_length(2000, month);
    }
    *ret_day = __builtin_ctz(cron->days);
    return *ret_day > longest;
}

static enum status check_member(const struct schedule *schedule, const union member *member, int64_t now_ms,
                                struct error *err)
{
    char now_text[TIME_TEXT_SIZE], at_text[TIME_TEXT_SIZE];
    int64_t next;
    int day;
    if (member->kind == MEMBER_MANUAL || member_next(schedule, member, now_ms, &next))
        return STATUS_OK;
    time_format(now_ms, now_text);
    if (member->kind == MEMBER_AT) {
        time_format(member->at.at_ms, at_text);
        return error_set(err, STATUS_INVALID, "@at: %s is not after now (%s)", at_text, now_text);
    }
    if (member->kind == MEMBER_EVERY)
        return error_set(err, STATUS_INVALID, "@every: no instant is left before the year 10000");
    if (days_beyond_months(&member->cron, &day))
        return error_set(err, STATUS_INVALID, "day-of-month: none of the months has a day %d", day);
    return error_set(err, STATUS_INVALID, "day-of-month, month, day-of-week: no day matches within %d years after %s",
                     SCHEDULE_YEARS_MAX, now_text);
}

enum status schedule_check_reachable(const struct schedule *schedule, int64_t now_ms, struct error *err)
{
    assert(schedule != NULL && err != NULL);
    if (now_ms < INSTANT_MS_MIN)
        now_ms = INSTANT_MS_MIN - 1;
    for (uint8_t i = 0; i < schedule->count; i++) {
        enum status s = check_member(schedule, &schedule->members[i], now_ms, err);
        if (s != STATUS_OK)
            return schedule->count > 1 ? error_wrap(err, "schedule %d", i + 1) : s;
    }
    return STATUS_OK;
}
