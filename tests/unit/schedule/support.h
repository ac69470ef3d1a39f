/* What the tests of this room share: zones of the system's tzdata, schedules and instants as text. */
#ifndef CHRONOS_TESTS_SCHEDULE_SUPPORT_H
#define CHRONOS_TESTS_SCHEDULE_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schedule/schedule.h"

/* From /usr/share/zoneinfo; lives until support_release. */
const struct zone *zone_of(const char *name);
int support_release(void **state); /* a group teardown */

int64_t instant_of(const char *rfc3339);

/* One text, anchored at 2024-01-01T00:00:00Z; fails the test if it is refused. */
struct schedule *schedule_of(const char *text, const char *zone, struct schedule_options options);

/* The instants after `from` are exactly `expected` (local or UTC RFC 3339, NULL at the end). */
void assert_instants(const char *text, const char *zone, struct schedule_options options, const char *from,
                     const char *const *expected);
#define assert_next(text, zone, options, from, ...) \
    assert_instants(text, zone, options, from, (const char *const[]){__VA_ARGS__, NULL})

/* The message with which `text` is refused. */
void assert_refused(const char *text, const char *message);

extern const struct schedule_options defaults;

#endif
