#include "api/job_schedule.h"

#include <stdio.h>
#include <string.h>

#include "api/job_document.h"

enum { KEY_SIZE = 32 };

static const char *const schedule_keys[] = {"schedule", "timezone", "dst_gap", "dst_overlap", "day_match", NULL};
static const char *const nothing[] = {NULL};

const char *const schedule_dst_gap_words[] = {"fire", "skip", NULL};
const char *const schedule_dst_overlap_words[] = {"first", "second", "both", NULL};
const char *const schedule_day_match_words[] = {"any", "all", "vixie", NULL};

static void schedule_pointer(bool is_list, uint32_t i, char out[ERROR_FIELD_SIZE])
{
    if (is_list)
        (void)snprintf(out, ERROR_FIELD_SIZE, "/schedule/%u", i);
    else
        (void)snprintf(out, ERROR_FIELD_SIZE, "/schedule");
}

static void read_schedule_texts(const struct fields *fields, struct schedule_fields *ret)
{
    const cJSON *value = field_get(fields, "schedule"), *member;
    if (value == NULL) {
        field_refuse(fields, "schedule", "is required: \"0 9 * * 1-5\", \"@every 5m\" or \"@manually\", say");
        return;
    }
    if (cJSON_IsString(value)) {
        ret->texts[ret->count++] = value->valuestring;
        return;
    }
    int size = cJSON_IsArray(value) ? cJSON_GetArraySize(value) : 0;
    if (size < 1 || size > JOB_SCHEDULES_MAX) {
        field_refuse(fields, "schedule", "must be a string, or a list of 1 to %d strings", JOB_SCHEDULES_MAX);
        return;
    }
    cJSON_ArrayForEach(member, value)
    {
        char pointer[ERROR_FIELD_SIZE];
        schedule_pointer(true, ret->count, pointer);
        if (!cJSON_IsString(member))
            field_errors_add(fields->errors, pointer, "must be a string");
        ret->texts[ret->count++] = cJSON_IsString(member) ? member->valuestring : NULL;
    }
}

void schedule_fields_read(const struct fields *fields, struct schedule_fields *ret)
{
    *ret = (struct schedule_fields){.count = 0};
    read_schedule_texts(fields, ret);
    ret->timezone = field_string(fields, "timezone", "UTC");
    ret->options.dst_gap = (enum dst_gap)field_choice(fields, "dst_gap", schedule_dst_gap_words, DST_GAP_FIRE);
    ret->options.dst_overlap =
        (enum dst_overlap)field_choice(fields, "dst_overlap", schedule_dst_overlap_words, DST_OVERLAP_FIRST);
    ret->options.day_match = (enum day_match)field_choice(fields, "day_match", schedule_day_match_words, DAY_MATCH_ANY);
}

/* One member by itself, so that its problem is reported under its own pointer. NULL with an error. */
static struct schedule *compile_member(const char *text, const struct zone *zone, struct schedule_options options,
                                       bool reachable, int64_t now_ms, struct error *err)
{
    struct schedule *schedule = NULL;
    enum status status = schedule_parse(&text, 1, zone, options, now_ms, &schedule, err);
    if (status == STATUS_OK && reachable)
        status = schedule_check_reachable(schedule, now_ms, err);
    if (status == STATUS_OK)
        return schedule;
    schedule_free(schedule);
    return NULL;
}

static const struct zone *find_zone(const struct fields *fields, const char *name, struct scheduler *scheduler)
{
    const struct zone *zone = NULL;
    struct error err;
    if (strlen(name) >= ZONE_TEXT_SIZE) {
        field_refuse(fields, "timezone", "is longer than %d bytes", ZONE_TEXT_SIZE - 1);
        return NULL;
    }
    if (scheduler_zone(scheduler, name, &zone, &err) == STATUS_OK)
        return zone;
    field_refuse(fields, "timezone", "%s", err.message);
    return NULL;
}

struct schedule *schedule_fields_compile(const struct fields *fields, const struct schedule_fields *from,
                                         struct scheduler *scheduler, bool reachable, int64_t now_ms)
{
    struct schedule *schedule = NULL;
    struct error err;
    bool is_list = cJSON_IsArray(field_get(fields, "schedule")), complete = from->count > 0;
    const struct zone *zone = find_zone(fields, from->timezone, scheduler);
    for (uint32_t i = 0; zone != NULL && i < from->count; i++) {
        char pointer[ERROR_FIELD_SIZE];
        schedule_pointer(is_list, i, pointer);
        const char *text = from->texts[i];
        struct schedule *member =
            text != NULL ? compile_member(text, zone, from->options, reachable, now_ms, &err) : NULL;
        if (text != NULL && member == NULL)
            field_errors_add(fields->errors, pointer, "%s", err.message);
        if (from->count == 1)
            return member; /* it is the whole */
        complete = complete && member != NULL;
        schedule_free(member);
    }
    if (zone == NULL || !complete)
        return NULL;
    if (schedule_parse(from->texts, from->count, zone, from->options, now_ms, &schedule, &err) != STATUS_OK)
        field_refuse(fields, "schedule", "%s", err.message);
    return schedule;
}

struct schedule *job_document_schedule(const cJSON *object, struct scheduler *scheduler, int64_t now_ms,
                                       struct field_errors *errors)
{
    struct fields fields = {.object = object, .prefix = "", .errors = errors};
    struct schedule_fields from;
    uint32_t before = errors->count;
    fields_check_known(&fields, schedule_keys, nothing);
    schedule_fields_read(&fields, &from);
    struct schedule *schedule = schedule_fields_compile(&fields, &from, scheduler, true, now_ms);
    if (errors->count == before)
        return schedule;
    schedule_free(schedule);
    return NULL;
}

enum status job_spec_compile(const struct job_spec *spec, struct scheduler *scheduler, struct schedule **ret,
                             struct error *err)
{
    const struct zone *zone;
    struct schedule_options options = {.dst_gap = (enum dst_gap)spec->dst_gap,
                                       .dst_overlap = (enum dst_overlap)spec->dst_overlap,
                                       .day_match = (enum day_match)spec->day_match};
    enum status status = scheduler_zone(scheduler, spec->timezone, &zone, err);
    if (status != STATUS_OK)
        return status;
    return schedule_parse(spec->schedules, spec->schedule_count, zone, options, spec->anchor_ms, ret, err);
}

void schedule_write_next(struct json_writer *w, const char *key, const struct schedule *schedule, int64_t from_ms,
                         int64_t count)
{
    int64_t instants[UPCOMING_COUNT_MAX];
    char text[KEY_SIZE];
    uint32_t found = 0;
    count = count < UPCOMING_COUNT_MAX ? count : UPCOMING_COUNT_MAX;
    for (int64_t at = from_ms; (int64_t)found < count && schedule_next(schedule, at, &at);)
        instants[found++] = at;
    json_key(w, key);
    json_array_begin(w);
    for (uint32_t i = 0; i < found; i++)
        json_time(w, instants[i]);
    json_array_end(w);
    (void)snprintf(text, sizeof text, "%s_local", key);
    json_key(w, text);
    json_array_begin(w);
    for (uint32_t i = 0; i < found; i++) {
        char local[TIME_TEXT_SIZE];
        int64_t second = instants[i] / 1000 - (instants[i] % 1000 < 0);
        time_format_local(instants[i], zone_offset(schedule_zone(schedule), second), local);
        json_string(w, local);
    }
    json_array_end(w);
}
