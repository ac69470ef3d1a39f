#include "schedule/zone_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"

/* TZif is big-endian throughout (RFC 8536 section 3). */
enum { HEADER_SIZE = 44, TYPE_SIZE = 6, TYPES_MAX = 256, RULE_SIZE_MAX = 128 };

struct header {
    uint8_t version;
    uint32_t utc_count, standard_count, leap_count, transition_count, type_count, name_bytes;
};

struct transition {
    int64_t at;
    int32_t offset;
};

/* Changes of offset in order, as they are collected from table and rule. */
struct timeline {
    struct transition *changes;
    uint32_t count, capacity;
    int32_t first_offset;
    bool keeps_changing;
    int64_t fold_from_s;
};

static enum status damaged(struct error *err, const char *what)
{
    return error_set(err, STATUS_CORRUPT, "time zone data is damaged: %s", what);
}

static uint32_t load_be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int64_t load_time(const uint8_t *at, size_t width)
{
    uint32_t high = load_be32(at);
    return width == 4 ? (int32_t)high : (int64_t)((uint64_t)high << 32 | load_be32(at + 4));
}

static enum status parse_header(const uint8_t *at, const uint8_t *end, struct header *ret, struct error *err)
{
    if (end - at < HEADER_SIZE)
        return damaged(err, "the header is cut short");
    if (memcmp(at, "TZif", 4) != 0)
        return damaged(err, "it does not start with TZif");
    ret->version = at[4];
    ret->utc_count = load_be32(at + 20);
    ret->standard_count = load_be32(at + 24);
    ret->leap_count = load_be32(at + 28);
    ret->transition_count = load_be32(at + 32);
    ret->type_count = load_be32(at + 36);
    ret->name_bytes = load_be32(at + 40);
    if (ret->leap_count != 0)
        return damaged(err, "it counts leap seconds, which UTC here does not");
    if (ret->type_count == 0 || ret->type_count > TYPES_MAX || ret->name_bytes == 0 || ret->name_bytes > 4096)
        return damaged(err, "a count is out of range");
    if (ret->transition_count > ZONE_TRANSITIONS_MAX)
        return damaged(err, "it has too many transitions");
    if ((ret->utc_count != 0 && ret->utc_count != ret->type_count) ||
        (ret->standard_count != 0 && ret->standard_count != ret->type_count))
        return damaged(err, "a count does not fit the number of types");
    return STATUS_OK;
}

static size_t block_size(const struct header *h, size_t width)
{
    return h->transition_count * (width + 1) + h->type_count * (size_t)TYPE_SIZE + h->name_bytes + h->standard_count +
           h->utc_count;
}

static enum status timeline_add(struct timeline *line, int64_t at, int32_t offset, struct error *err)
{
    int32_t before = line->count == 0 ? line->first_offset : line->changes[line->count - 1].offset;
    if (before == offset)
        return STATUS_OK; /* only the abbreviation changed */
    if (line->count > 0 && at - line->changes[line->count - 1].at < ZONE_SPAN_SECONDS_MIN)
        return damaged(err, "two changes lie within an hour");
    assert(line->count < line->capacity);
    line->changes[line->count++] = (struct transition){at, offset};
    return STATUS_OK;
}

static enum status type_offset(const uint8_t *types, uint32_t index, const struct header *h, int32_t *ret,
                               struct error *err)
{
    const uint8_t *type = types + index * (size_t)TYPE_SIZE;
    int32_t offset = (int32_t)load_be32(type);
    if (offset < -ZONE_OFFSET_MAX || offset > ZONE_OFFSET_MAX)
        return damaged(err, "an offset is out of range");
    if (type[4] > 1 || type[5] >= h->name_bytes)
        return damaged(err, "a type is out of range");
    *ret = offset;
    return STATUS_OK;
}

/* One data block: transition times, their types, the types. */
static enum status parse_block(const uint8_t *block, const struct header *h, size_t width, struct timeline *line,
                               int64_t *ret_last, struct error *err)
{
    const uint8_t *indexes = block + h->transition_count * width;
    const uint8_t *types = indexes + h->transition_count;
    int64_t previous = ZONE_BEGINNING, latest = days_from_civil(10000, 1, 1) * DAY_SECONDS;
    enum status s = type_offset(types, 0, h, &line->first_offset, err); /* RFC 8536 3.2: before the first one */
    if (s != STATUS_OK)
        return s;
    for (uint32_t i = 0; i < h->transition_count; i++) {
        int64_t at = load_time(block + i * width, width);
        int32_t offset = 0;
        if (at < -((int64_t)1 << 59) || at > latest || at <= previous)
            return damaged(err, "a transition is out of order or range");
        if (indexes[i] >= h->type_count)
            return damaged(err, "a transition has an unknown type");
        s = type_offset(types, indexes[i], h, &offset, err);
        if (s == STATUS_OK)
            s = timeline_add(line, at, offset, err);
        if (s != STATUS_OK)
            return s;
        previous = at;
    }
    *ret_last = previous;
    return STATUS_OK;
}

/* Lay the footer's rule out from the year of the last transition on, for a whole cycle and ten years more. */
static enum status extend_by_rule(const struct zone_rule *rule, int64_t last, struct timeline *line, struct error *err)
{
    int64_t year = 1900;
    int month, day;
    struct transition pending = {ZONE_BEGINNING, 0};
    uint32_t table_count = line->count;
    if (last > ZONE_BEGINNING)
        civil_from_days(last / DAY_SECONDS - (last < 0), &year, &month, &day);
    if (year < 1900)
        year = 1900; /* a table that ends before tells nothing about its rule's age */
    line->fold_from_s = days_from_civil(year + ZONE_CYCLE_YEARS + 2, 1, 1) * DAY_SECONDS;
    for (int64_t y = year - 1; y < year + ZONE_CYCLE_YEARS + 12; y++) {
        struct transition pair[2] = {{zone_rule_daylight_start(rule, y), rule->daylight_offset},
                                     {zone_rule_daylight_end(rule, y), rule->standard_offset}};
        bool swap = pair[1].at < pair[0].at;
        for (int i = 0; i < 2; i++) {
            struct transition next = pair[swap ? 1 - i : i];
            if (next.at < pending.at)
                return damaged(err, "the footer's rule gives changes out of order");
            /* One change late, so that the later of two at the same instant wins: daylight saving time all year ends
             * and starts at once ("XXX3EDT4,0/0,J365/23"). */
            if (pending.at > last && pending.at < next.at) {
                enum status s = timeline_add(line, pending.at, pending.offset, err);
                if (s != STATUS_OK)
                    return s;
            }
            pending = next;
        }
    }
    line->keeps_changing = line->count > table_count;
    return STATUS_OK;
}

static enum status parse_footer(const uint8_t *at, const uint8_t *end, int64_t last, struct timeline *line,
                                struct error *err)
{
    struct zone_rule rule;
    const uint8_t *close;
    enum status s;
    if (at == end || *at != '\n')
        return damaged(err, "the footer is missing");
    at++;
    close = memchr(at, '\n', (size_t)(end - at));
    if (close == NULL)
        return damaged(err, "the footer is cut short");
    if (close == at)
        return STATUS_OK; /* no rule: the last offset stays */
    if (close - at > RULE_SIZE_MAX)
        return damaged(err, "the footer is too long");
    s = zone_rule_parse((const char *)at, (size_t)(close - at), &rule, err);
    if (s != STATUS_OK)
        return s;
    if (rule.has_daylight)
        return extend_by_rule(&rule, last, line, err);
    if (line->count == 0)
        line->first_offset = rule.standard_offset;
    return STATUS_OK;
}

static enum status parse_timeline(const uint8_t *at, size_t size, struct timeline *line, struct error *err)
{
    const uint8_t *end;
    struct header h;
    size_t width = 4;
    int64_t last = ZONE_BEGINNING;
    enum status s;
    if (size < HEADER_SIZE)
        return damaged(err, "the header is cut short");
    end = at + size;
    s = parse_header(at, end, &h, err);
    if (s != STATUS_OK)
        return s;
    at += HEADER_SIZE;
    if ((size_t)(end - at) < block_size(&h, 4))
        return damaged(err, "the first block is cut short");
    if (h.version >= '2') {
        at += block_size(&h, 4);
        width = 8;
        s = parse_header(at, end, &h, err);
        if (s != STATUS_OK)
            return s;
        at += HEADER_SIZE;
        if ((size_t)(end - at) < block_size(&h, 8))
            return damaged(err, "the second block is cut short");
    }
    s = parse_block(at, &h, width, line, &last, err);
    if (s != STATUS_OK || width == 4)
        return s;
    return parse_footer(at + block_size(&h, 8), end, last, line, err);
}

/* One allocation: the zone, its arrays, its name. */
static enum status zone_build(const char *name, const struct timeline *line, struct zone **ret, struct error *err)
{
    size_t name_size = strlen(name) + 1;
    size_t at_bytes = line->count * sizeof(int64_t), offset_bytes = (line->count + 1) * sizeof(int32_t);
    char *memory = malloc(sizeof(struct zone) + at_bytes + offset_bytes + name_size);
    struct zone *zone = (struct zone *)memory;
    int64_t *at;
    int32_t *offsets;
    if (memory == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a time zone");
    at = (int64_t *)(memory + sizeof *zone);
    offsets = (int32_t *)(memory + sizeof *zone + at_bytes);
    memcpy(memory + sizeof *zone + at_bytes + offset_bytes, name, name_size);
    offsets[0] = line->first_offset;
    for (uint32_t i = 0; i < line->count; i++) {
        at[i] = line->changes[i].at;
        offsets[i + 1] = line->changes[i].offset;
    }
    *zone = (struct zone){
        .name = memory + sizeof *zone + at_bytes + offset_bytes,
        .at = at,
        .offsets = offsets,
        .count = line->count,
        .keeps_changing = line->keeps_changing,
        .fold_from_s = line->fold_from_s,
    };
    *ret = zone;
    return STATUS_OK;
}

enum status zone_parse(const char *name, const void *tzif, size_t size, struct zone **ret, struct error *err)
{
    struct timeline line = {.fold_from_s = ZONE_END};
    enum status s;
    assert(name != NULL && ret != NULL && err != NULL);
    if (strlen(name) > ZONE_NAME_MAX)
        return error_set(err, STATUS_INVALID, "a time zone's name has at most %d bytes", ZONE_NAME_MAX);
    line.capacity = ZONE_TRANSITIONS_MAX + 2 * (ZONE_CYCLE_YEARS + 13);
    line.changes = malloc(line.capacity * sizeof *line.changes);
    if (line.changes == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a time zone");
    s = parse_timeline(tzif, size, &line, err);
    if (s == STATUS_OK) {
        /* A table without a rule that reaches 2037 was written by a zic that lays rules out (or follows the moon). */
        if (line.count > 0 && line.changes[line.count - 1].at >= days_from_civil(2037, 1, 1) * DAY_SECONDS)
            line.keeps_changing = true;
        s = zone_build(name, &line, ret, err);
    } else {
        (void)error_wrap(err, "time zone %s", name); /* returns the code that s holds */
    }
    free(line.changes);
    return s;
}

enum status zone_new_utc(const char *name, struct zone **ret, struct error *err)
{
    struct timeline line = {.fold_from_s = ZONE_END};
    return zone_build(name, &line, ret, err);
}

void zone_free(struct zone *zone)
{
    free(zone);
}

const char *zone_name(const struct zone *zone)
{
    return zone->name;
}

size_t zone_memory(const struct zone *zone)
{
    return sizeof *zone + zone->count * sizeof(int64_t) + (zone->count + 1) * sizeof(int32_t) + strlen(zone->name) + 1;
}

bool zone_keeps_changing(const struct zone *zone)
{
    return zone->keeps_changing;
}

int64_t zone_fold(const struct zone *zone, int64_t unix_s)
{
    if (unix_s < zone->fold_from_s)
        return 0;
    return ((unix_s - zone->fold_from_s) / ZONE_CYCLE_SECONDS + 1) * ZONE_CYCLE_SECONDS;
}

uint32_t zone_span_at(const struct zone *zone, int64_t unix_s)
{
    uint32_t low = 0, high = zone->count; /* the number of changes at or before the instant */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (zone->at[middle] <= unix_s)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int32_t zone_offset(const struct zone *zone, int64_t unix_s)
{
    return zone->offsets[zone_span_at(zone, unix_s - zone_fold(zone, unix_s))];
}
