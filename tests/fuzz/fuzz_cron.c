/* Schedule text and TZif bytes from anyone: nothing crashes, every search ends, instants move forward.
 *
 * The first byte chooses zone and options. With its highest bit set the rest is a TZif file, which a fixed schedule is
 * laid over; otherwise it is schedule texts, one a line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "check.h"
#include "schedule/schedule.h"

static const int64_t now_ms = INT64_C(1718000000000);

/* New York's rule: a version 2 file of which only the footer says something. */
static struct zone *changing_zone(void)
{
    static const char footer[] = "\nEST5EDT,M3.2.0,M11.1.0\n";
    uint8_t bytes[2 * 54 + sizeof footer - 1];
    struct zone *zone = NULL;
    struct error err;
    memset(bytes, 0, sizeof bytes);
    for (int i = 0; i < 2; i++) {
        uint8_t *header = bytes + (size_t)i * 54;
        memcpy(header, "TZif2", 5);
        header[39] = 1;
        header[43] = 4;
    }
    memcpy(bytes + 108, footer, sizeof footer - 1);
    CHECK(zone_parse("America/New_York", bytes, sizeof bytes, &zone, &err) == STATUS_OK);
    return zone;
}

static void use_schedule(const struct schedule *schedule)
{
    const char *warnings[8];
    struct buffer words;
    struct error err;
    int64_t at = now_ms, next = 0;
    for (int i = 0; i < 5 && schedule_next(schedule, at, &next); i++) {
        CHECK(next > at);
        at = next;
    }
    CHECK(schedule_lint(schedule, warnings, 8) <= 8);
    if (schedule_check_reachable(schedule, now_ms, &err) == STATUS_OK)
        CHECK(schedule_is_manual(schedule) || schedule_next(schedule, now_ms, &next));
    else
        CHECK(err.message[0] != '\0');
    buffer_init(&words, 1 << 16);
    schedule_describe(schedule, &words);
    CHECK(words.size > 0);
    buffer_deinit(&words);
}

static void parse_and_use(const char *const *texts, size_t count, const struct zone *zone, uint8_t choice)
{
    struct schedule_options options = {(enum dst_gap)(choice & 1), (enum dst_overlap)((choice >> 1) % 3),
                                       (enum day_match)((choice >> 3) % 3)};
    struct schedule *schedule = NULL;
    struct error err = {0};
    if (schedule_parse(texts, count, zone, options, now_ms, &schedule, &err) == STATUS_OK) {
        use_schedule(schedule);
        schedule_free(schedule);
    } else {
        CHECK(schedule == NULL && err.message[0] != '\0');
    }
}

static void fuzz_zone(const uint8_t *data, size_t size, uint8_t choice)
{
    static const char *const texts[] = {"* 30 1,2,3 29,30,31 * *", "*/15 * * * *"};
    struct zone *zone = NULL;
    struct error err = {0};
    if (zone_parse("Fuzz/Zone", data, size, &zone, &err) == STATUS_OK) {
        parse_and_use(texts, 2, zone, choice);
        zone_free(zone);
    } else {
        CHECK(zone == NULL && err.message[0] != '\0');
    }
}

static void fuzz_texts(const uint8_t *data, size_t size, uint8_t choice)
{
    const char *texts[JOB_SCHEDULES_MAX + 1];
    struct zone *zone = changing_zone();
    char *copy = malloc(size + 1), *line = copy;
    size_t count = 0;
    CHECK(copy != NULL);
    memcpy(copy, data, size);
    copy[size] = '\0';
    while (line != NULL && count <= JOB_SCHEDULES_MAX) {
        char *newline = strchr(line, '\n');
        if (newline != NULL)
            *newline++ = '\0';
        texts[count++] = line;
        line = newline;
    }
    parse_and_use(texts, count, zone, choice);
    free(copy);
    zone_free(zone);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if ((data[0] & 0x80) != 0)
        fuzz_zone(data + 1, size - 1, data[0]);
    else
        fuzz_texts(data + 1, size - 1, data[0]);
    return 0;
}
