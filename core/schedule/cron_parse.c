/* Cron text to bits. Every refusal names its field and says what is allowed. */
#include "schedule/schedule_internal.h"

#include <string.h>

struct field_spec {
    const char *name;
    uint8_t low, high;      /* of numbers; day-of-week's 7 is Sunday once more */
    uint8_t count;          /* distinct values */
    const char *allowed;    /* for messages */
    const char *full_names; /* upper case, each behind a space; a name is its first three letters. Or NULL. */
};

enum field_index { FIELD_SECOND, FIELD_MINUTE, FIELD_HOUR, FIELD_DAY, FIELD_MONTH, FIELD_WEEKDAY, FIELD_COUNT };

static const struct field_spec field_specs[FIELD_COUNT] = {
    {"second", 0, 59, 60, "a number 0-59", NULL},
    {"minute", 0, 59, 60, "a number 0-59", NULL},
    {"hour", 0, 23, 24, "a number 0-23", NULL},
    {"day-of-month", 1, 31, 31, "a number 1-31, L, L-n, nW or LW", NULL},
    {"month", 1, 12, 12, "a number 1-12 or a name JAN-DEC",
     " JANUARY FEBRUARY MARCH APRIL MAY JUNE JULY AUGUST SEPTEMBER OCTOBER NOVEMBER DECEMBER"},
    {"day-of-week", 0, 7, 7, "a number 0-7, a name SUN-SAT, nL or n#k",
     " SUNDAY MONDAY TUESDAY WEDNESDAY THURSDAY FRIDAY SATURDAY"},
};

/* One field while it is read. */
struct field {
    const struct field_spec *spec;
    uint64_t bits;
    uint32_t days_from_last, nearest_weekdays; /* day-of-month */
    uint64_t nth_weekdays;                     /* day-of-week */
    bool interval, restricted, star_first;
};

struct text {
    const char *at;
    size_t size;
};

static enum status refuse_text(const struct field_spec *spec, struct text text, struct error *err)
{
    char shown[QUOTED_SIZE];
    return error_set(err, STATUS_INVALID, "%s: \"%s\" is not %s", spec->name, quoted(text.at, text.size, shown),
                     spec->allowed);
}

static bool is_day_field(const struct field_spec *spec)
{
    return spec == &field_specs[FIELD_DAY] || spec == &field_specs[FIELD_WEEKDAY];
}

static bool is_digits(struct text text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
    }
    return text.size > 0;
}

/* Digits to a number; what is too long is simply too large. */
static int digits_value(struct text text)
{
    int value = 0;
    for (size_t i = 0; i < text.size && value < 100000; i++)
        value = value * 10 + (text.at[i] - '0');
    return value;
}

static enum status parse_number(const struct field_spec *spec, struct text text, int low, int high, int *ret,
                                struct error *err)
{
    char shown[QUOTED_SIZE];
    int value;
    if (!is_digits(text))
        return refuse_text(spec, text, err);
    value = digits_value(text);
    if (value < low || value > high)
        return error_set(err, STATUS_INVALID, "%s: %s is out of range %d-%d", spec->name,
                         quoted(text.at, text.size, shown), low, high);
    *ret = value;
    return STATUS_OK;
}

/* "MON" or "mon" to its number; a longer spelling gets a hint. */
static enum status parse_name(const struct field_spec *spec, struct text text, int *ret, struct error *err)
{
    int value = spec->low;
    if (spec->full_names == NULL || text.size < 3)
        return refuse_text(spec, text, err);
    for (const char *name = spec->full_names; name != NULL; name = strchr(name, ' '), value++) {
        size_t length = strcspn(++name, " "), same = 0;
        while (same < text.size && same < length && ascii_upper(text.at[same]) == name[same])
            same++;
        if (same < text.size)
            continue;
        if (same == 3) {
            *ret = value;
            return STATUS_OK;
        }
        return error_set(err, STATUS_INVALID, "%s: \"%.*s\" is not a short name; use \"%.3s\"", spec->name,
                         (int)text.size, text.at, name);
    }
    return refuse_text(spec, text, err);
}

static enum status parse_value(const struct field_spec *spec, struct text text, int *ret, struct error *err)
{
    if (text.size > 0 && ((text.at[0] >= 'A' && text.at[0] <= 'Z') || (text.at[0] >= 'a' && text.at[0] <= 'z')))
        return parse_name(spec, text, ret, err);
    return parse_number(spec, text, spec->low, spec->high, ret, err);
}

static enum status parse_step(const struct field_spec *spec, struct text text, int *ret, struct error *err)
{
    char shown[QUOTED_SIZE];
    int step;
    quoted(text.at, text.size, shown);
    if (!is_digits(text))
        return error_set(err, STATUS_INVALID, "%s: step \"%s\" is not a number 1-%d", spec->name, shown, spec->count);
    step = digits_value(text);
    if (step == 0)
        return error_set(err, STATUS_INVALID, "%s: step 0 never advances; 1-%d is allowed", spec->name, spec->count);
    if (step > spec->count)
        return error_set(err, STATUS_INVALID, "%s: step %s is larger than the field's range; 1-%d is allowed",
                         spec->name, shown, spec->count);
    *ret = step;
    return STATUS_OK;
}

/* Set first, first + step, ... up to last, through the wrap where last lies before first. */
static void set_range(struct field *field, int first, int last, int step)
{
    const struct field_spec *spec = field->spec;
    int distance;
    if (spec->high - spec->low == spec->count && first == spec->high) { /* 7 at the beginning is 0 */
        last = last == first ? spec->low : last;
        first = spec->low;
    }
    distance = last >= first ? last - first : last - first + spec->count;
    for (int i = 0; i <= distance; i += step)
        field->bits |= UINT64_C(1) << (spec->low + (first - spec->low + i) % spec->count);
}

/* "*", "a", "a-b", each with or without "/n". */
static enum status parse_range(struct field *field, struct text item, struct error *err)
{
    const struct field_spec *spec = field->spec;
    const char *slash = memchr(item.at, '/', item.size);
    struct text range = {item.at, slash == NULL ? item.size : (size_t)(slash - item.at)};
    const char *dash = memchr(range.at, '-', range.size);
    int first = spec->low, last = spec->low + spec->count - 1, step = 1;
    bool star = range.size == 1 && range.at[0] == '*';
    enum status s = STATUS_OK;
    if (dash == range.at || (dash != NULL && dash == range.at + range.size - 1))
        return refuse_text(spec, range, err); /* "-5", "5-" */
    if (dash != NULL) {
        s = parse_value(spec, (struct text){range.at, (size_t)(dash - range.at)}, &first, err);
        if (s == STATUS_OK)
            s = parse_value(spec, (struct text){dash + 1, (size_t)(range.at + range.size - dash - 1)}, &last, err);
    } else if (!star) {
        s = parse_value(spec, range, &first, err);
        if (slash == NULL)
            last = first;
    }
    if (s == STATUS_OK && slash != NULL)
        s = parse_step(spec, (struct text){slash + 1, (size_t)(item.at + item.size - slash - 1)}, &step, err);
    if (s != STATUS_OK)
        return s;
    field->interval = field->interval || star || slash != NULL;
    set_range(field, first, last, step);
    return STATUS_OK;
}

/* L, L-n, LW, nW. *ret_taken stays false for what is none of them. */
static enum status parse_special_day(struct field *field, struct text item, bool *ret_taken, struct error *err)
{
    char last = ascii_upper(item.at[item.size - 1]);
    int n;
    enum status s;
    *ret_taken = true;
    if (text_is(item.at, item.size, "L")) {
        field->days_from_last |= 1;
    } else if (text_is(item.at, item.size, "LW")) {
        field->nearest_weekdays |= 1;
    } else if (item.size == 1 && last == 'W') {
        return error_set(err, STATUS_INVALID, "day-of-month: W alone says no day; use 15W (the weekday nearest to the "
                                              "15th) or LW (the last weekday)");
    } else if (item.size > 2 && ascii_upper(item.at[0]) == 'L' && item.at[1] == '-') {
        s = parse_number(field->spec, (struct text){item.at + 2, item.size - 2}, 1, 30, &n, err);
        if (s != STATUS_OK)
            return s;
        field->days_from_last |= UINT32_C(1) << n;
    } else if (last == 'W') {
        s = parse_number(field->spec, (struct text){item.at, item.size - 1}, 1, 31, &n, err);
        if (s != STATUS_OK)
            return s;
        field->nearest_weekdays |= UINT32_C(1) << n;
    } else {
        *ret_taken = false;
    }
    return STATUS_OK;
}

/* nL, n#k, where n may be a name. */
static enum status parse_special_weekday(struct field *field, struct text item, bool *ret_taken, struct error *err)
{
    const char *hash = memchr(item.at, '#', item.size);
    char shown[QUOTED_SIZE];
    int weekday, k = 6;
    enum status s;
    *ret_taken = hash != NULL || ascii_upper(item.at[item.size - 1]) == 'L';
    if (!*ret_taken)
        return STATUS_OK;
    if (item.size == 1)
        return error_set(err, STATUS_INVALID, "day-of-week: \"%s\" alone says no day; use 5L (the last Friday) or 5#2 "
                                              "(the second)", quoted(item.at, item.size, shown));
    if (hash == item.at)
        return refuse_text(field->spec, item, err);
    s = parse_value(field->spec, (struct text){item.at, hash == NULL ? item.size - 1 : (size_t)(hash - item.at)},
                    &weekday, err);
    if (s == STATUS_OK && hash != NULL) {
        struct text which = {hash + 1, (size_t)(item.at + item.size - hash - 1)};
        if (!is_digits(which) || digits_value(which) < 1 || digits_value(which) > 5)
            return error_set(err, STATUS_INVALID, "day-of-week: \"%s\": behind # a number 1-5 is allowed",
                             quoted(item.at, item.size, shown));
        k = digits_value(which);
    }
    if (s != STATUS_OK)
        return s;
    field->nth_weekdays |= UINT64_C(1) << ((k - 1) * 7 + weekday % 7);
    return STATUS_OK;
}

static enum status parse_item(struct field *field, struct text item, struct error *err)
{
    const struct field_spec *spec = field->spec;
    bool taken = false;
    enum status s = STATUS_OK;
    if (item.size == 0)
        return error_set(err, STATUS_INVALID, "%s: an item of the list is empty", spec->name);
    if (item.at[0] == '?')
        return error_set(err, STATUS_INVALID, is_day_field(spec) ? "%s: \"?\" must stand alone"
                                                                 : "%s: \"?\" is allowed only in the two day fields",
                         spec->name);
    if (ascii_upper(item.at[0]) == 'H' && (item.size == 1 || item.at[1] == '(' || item.at[1] == '/'))
        return error_set(err, STATUS_INVALID, "%s: H (a value picked for the job) is not supported by this version",
                         spec->name);
    if (spec == &field_specs[FIELD_DAY])
        s = parse_special_day(field, item, &taken, err);
    else if (spec == &field_specs[FIELD_WEEKDAY])
        s = parse_special_weekday(field, item, &taken, err);
    if (s != STATUS_OK || taken)
        return s;
    return parse_range(field, item, err);
}

static enum status parse_field(enum field_index index, struct text text, struct field *ret, struct error *err)
{
    struct field field = {.spec = &field_specs[index]};
    const char *end = text.at + text.size, *at = text.at;
    field.star_first = text.at[0] == '*' || text.at[0] == '?';
    field.restricted = !(text.size == 1 && field.star_first);
    if (!field.restricted && (text.at[0] == '*' || is_day_field(field.spec))) {
        field.interval = true;
        set_range(&field, field.spec->low, field.spec->low + field.spec->count - 1, 1);
    } else {
        for (;;) {
            const char *comma = memchr(at, ',', (size_t)(end - at));
            enum status s = parse_item(&field, (struct text){at, (size_t)((comma == NULL ? end : comma) - at)}, err);
            if (s != STATUS_OK)
                return s;
            if (comma == NULL)
                break;
            at = comma + 1;
        }
    }
    *ret = field;
    return STATUS_OK;
}

/* The words between blanks, up to `max` of them; returns how many there are. */
static size_t split_fields(const char *text, size_t size, struct text *out, size_t max)
{
    size_t count = 0, at = 0;
    while (at < size) {
        size_t start;
        if (text[at] == ' ' || text[at] == '\t') {
            at++;
            continue;
        }
        start = at;
        while (at < size && text[at] != ' ' && text[at] != '\t')
            at++;
        if (count < max)
            out[count] = (struct text){text + start, at - start};
        count++;
    }
    return count;
}

static bool days_either(const struct field *day, const struct field *weekday, enum day_match day_match)
{
    switch (day_match) {
    case DAY_MATCH_ALL:
        return false;
    case DAY_MATCH_VIXIE:
        return !day->star_first && !weekday->star_first;
    case DAY_MATCH_ANY:
        break;
    }
    return day->restricted && weekday->restricted;
}

enum status cron_parse(const char *text, size_t size, enum day_match day_match, struct cron *ret, struct error *err)
{
    struct text words[FIELD_COUNT];
    struct field fields[FIELD_COUNT] = {{.bits = 1}}; /* second 0 unless given */
    size_t count = split_fields(text, size, words, FIELD_COUNT);
    const struct field *day = &fields[FIELD_DAY], *weekday = &fields[FIELD_WEEKDAY];
    if (count == 7)
        return error_set(err, STATUS_INVALID, "7 fields: a year field is not supported; bound the job with start_at "
                                              "and end_at, or use @at for a single instant");
    if (count != 5 && count != 6)
        return error_set(err, STATUS_INVALID, "%zu field%s where 5 (minute hour day-of-month month day-of-week) or 6 "
                                              "(second first) are expected", count, count == 1 ? "" : "s");
    for (size_t i = FIELD_COUNT - count; i < FIELD_COUNT; i++) {
        enum status s = parse_field((enum field_index)i, words[i - (FIELD_COUNT - count)], &fields[i], err);
        if (s != STATUS_OK)
            return s;
    }
    *ret = (struct cron){
        .kind = MEMBER_CRON,
        .flags = (uint8_t)((count == 6 ? CRON_SECONDS_GIVEN : 0) |
                           (fields[FIELD_MINUTE].interval ? CRON_MINUTE_INTERVAL : 0) |
                           (fields[FIELD_HOUR].interval ? CRON_HOUR_INTERVAL : 0) |
                           (days_either(day, weekday, day_match) ? CRON_DAYS_EITHER : 0)),
        .weekdays = (uint8_t)weekday->bits,
        .months = (uint16_t)fields[FIELD_MONTH].bits,
        .hours = (uint32_t)fields[FIELD_HOUR].bits,
        .seconds = fields[FIELD_SECOND].bits,
        .minutes = fields[FIELD_MINUTE].bits,
        .days = (uint32_t)day->bits,
        .days_from_last = day->days_from_last,
        .nearest_weekdays = day->nearest_weekdays,
        .nth_weekdays = weekday->nth_weekdays,
    };
    return STATUS_OK;
}
