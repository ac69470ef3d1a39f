#include "support.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/zoneinfo.h"

const struct schedule_options defaults = {DST_GAP_FIRE, DST_OVERLAP_FIRST, DAY_MATCH_ANY};

static struct zone_table *table;

const struct zone *zone_of(const char *name)
{
    const struct zone *zone = NULL;
    struct error err = {0};
    if (table == NULL) {
        struct zone_loader loader = {.load = zoneinfo_load, .nearest = zoneinfo_nearest};
        assert_int_equal(zone_table_new(loader, &table, &err), STATUS_OK);
    }
    if (zone_table_get(table, name, &zone, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return zone;
}

int support_release(void **state)
{
    (void)state;
    zone_table_free(table);
    table = NULL;
    return 0;
}

int64_t instant_of(const char *rfc3339)
{
    int64_t ms = 0;
    struct error err = {0};
    if (time_parse(rfc3339, strlen(rfc3339), &ms, &err) != STATUS_OK)
        fail_msg("%s: %s", rfc3339, err.message);
    return ms;
}

struct schedule *schedule_of(const char *text, const char *zone, struct schedule_options options)
{
    struct schedule *schedule = NULL;
    struct error err = {0};
    if (schedule_parse(&text, 1, zone_of(zone), options, instant_of("2024-01-01T00:00:00Z"), &schedule, &err) !=
        STATUS_OK)
        fail_msg("%s: %s", text, err.message);
    return schedule;
}

void assert_instants(const char *text, const char *zone, struct schedule_options options, const char *from,
                     const char *const *expected)
{
    struct schedule *schedule = schedule_of(text, zone, options);
    int64_t at = instant_of(from);
    for (size_t i = 0; expected[i] != NULL; i++) {
        char got[TIME_TEXT_SIZE], wanted[TIME_TEXT_SIZE], after[TIME_TEXT_SIZE];
        int64_t want = instant_of(expected[i]), next = 0;
        time_format(at, after);
        time_format(want, wanted);
        if (!schedule_next(schedule, at, &next))
            fail_msg("\"%s\" in %s: nothing after %s, expected %s", text, zone, after, wanted);
        time_format(next, got);
        if (next != want)
            fail_msg("\"%s\" in %s: %s after %s, expected %s", text, zone, got, after, wanted);
        at = next;
    }
    schedule_free(schedule);
}

void assert_refused(const char *text, const char *message)
{
    struct schedule *schedule = NULL;
    struct error err = {0};
    enum status s = schedule_parse(&text, 1, zone_of("UTC"), defaults, 0, &schedule, &err);
    if (s == STATUS_OK) {
        schedule_free(schedule);
        fail_msg("\"%s\" is accepted", text);
    }
    assert_null(schedule);
    assert_int_equal(s, STATUS_INVALID);
    assert_int_equal(err.code, STATUS_INVALID);
    if (strcmp(err.message, message) != 0)
        fail_msg("\"%s\": \"%s\", expected \"%s\"", text, err.message, message);
}
