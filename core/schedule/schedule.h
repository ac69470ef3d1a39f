/* When a job is due: cron expressions, intervals, single instants, as pure functions from (spec, instant) to the next
 * instant. No clock, no I/O, no global. The user's page: docs/api.md, "Jobs".
 *
 * A schedule is immutable and may be read by several threads. Instants are int64 milliseconds since 1970 UTC. */
#ifndef CHRONOS_SCHEDULE_SCHEDULE_H
#define CHRONOS_SCHEDULE_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "schedule/zone.h"

/* A fixed local time that a change of the clock skips: at the first instant after the gap, or not at all. */
enum dst_gap { DST_GAP_FIRE, DST_GAP_SKIP };
/* A fixed local time that the clock shows twice. */
enum dst_overlap { DST_OVERLAP_FIRST, DST_OVERLAP_SECOND, DST_OVERLAP_BOTH };
/* Day-of-month against day-of-week. ANY (POSIX): either, where both are restricted, which means anything but "*" and
 * "?". ALL: both. VIXIE: either, unless one of them begins with "*" or "?", so a star with a step gives both. */
enum day_match { DAY_MATCH_ANY, DAY_MATCH_ALL, DAY_MATCH_VIXIE };

struct schedule_options {
    enum dst_gap dst_gap;
    enum dst_overlap dst_overlap;
    enum day_match day_match;
};

struct schedule;

/* 1 to JOB_SCHEDULES_MAX members, each at most JOB_SCHEDULE_TEXT_MAX bytes; the schedule is their union. INVALID with a
 * sentence that names the field and what is allowed ("minute: 61 is out of range 0-59"), behind "schedule <n>: " where
 * there are several. The zone is borrowed and must outlive the schedule; `anchor_ms` is where @every counts from. */
must_use enum status schedule_parse(const char *const *texts, size_t text_count, const struct zone *zone,
                                    struct schedule_options options, int64_t anchor_ms, struct schedule **ret,
                                    struct error *err);
void schedule_free(struct schedule *schedule); /* accepts NULL */

/* The first instant strictly after from_ms. False when there is none: manual, an @at that has passed, a cron expression
 * that matches nothing in the SCHEDULE_YEARS_MAX years after from_ms (an instant exactly that long after counts),
 * anything after the year 9999. The work is bounded whatever the expression. */
bool schedule_next(const struct schedule *schedule, int64_t from_ms, int64_t *ret_ms);

bool schedule_is_manual(const struct schedule *schedule); /* @manually, and nothing else */
bool schedule_is_once(const struct schedule *schedule);   /* @at members only */

/* INVALID, with the field named, if a member has no instant after now_ms: "0 0 30 2 *", an @at in the past. Each member
 * must have one of its own; @manually needs none. */
must_use enum status schedule_check_reachable(const struct schedule *schedule, int64_t now_ms, struct error *err);

/* Appends a sentence in words: "every 15 minutes, Monday to Friday". */
void schedule_describe(const struct schedule *schedule, struct buffer *out);
/* What is allowed but often not meant. Writes up to `max` static sentences, returns how many. */
size_t schedule_lint(const struct schedule *schedule, const char *out_warnings[], size_t max);

const struct zone *schedule_zone(const struct schedule *schedule); /* the one it was parsed with */
size_t schedule_memory(const struct schedule *schedule); /* bytes, without the zone */

#endif
