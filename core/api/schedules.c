/* POST /schedules/validate: what a schedule means, before a job carries it. */
#include <stdlib.h>
#include <string.h>

#include "api/api_internal.h"
#include "api/job_document.h"
#include "api/job_schedule.h"

enum { VALIDATE_MAX = 256 * 1024, NEXT_DEFAULT = 5, WARNINGS_MAX = 8 };

static void write_answer(struct json_writer *w, const struct schedule *schedule, int64_t now_ms, int64_t count)
{
    const char *warnings[WARNINGS_MAX];
    struct buffer words;
    buffer_init(&words, VALIDATE_MAX);
    schedule_describe(schedule, &words);
    json_object_begin(w);
    json_member_bool(w, "valid", true);
    json_key(w, "description");
    json_string_bytes(w, words.data, words.size);
    json_member_string(w, "timezone", zone_name(schedule_zone(schedule)));
    schedule_write_next(w, "next", schedule, now_ms, count);
    json_key(w, "warnings");
    json_array_begin(w);
    size_t found = schedule_lint(schedule, warnings, WARNINGS_MAX);
    for (size_t i = 0; i < found; i++)
        json_string(w, warnings[i]);
    json_array_end(w);
    json_object_end(w);
    buffer_deinit(&words);
}

static int64_t take_count(cJSON *body, struct field_errors *errors)
{
    cJSON *count = cJSON_DetachItemFromObjectCaseSensitive(body, "count");
    int64_t wanted = NEXT_DEFAULT;
    if (count != NULL && (!cJSON_IsNumber(count) || count->valuedouble < 0 || count->valuedouble > UPCOMING_COUNT_MAX ||
                          count->valuedouble != (double)(int64_t)count->valuedouble))
        field_errors_add(errors, "/count", "is a whole number from 0 to %d", UPCOMING_COUNT_MAX);
    else if (count != NULL)
        wanted = (int64_t)count->valuedouble;
    cJSON_Delete(count);
    return wanted;
}

API_HANDLER(handle_schedule_validate)
{
    struct api *api = arg;
    struct error err;
    struct buffer body;
    struct field_errors errors = {.count = 0};
    cJSON *json = NULL;
    struct schedule *schedule = NULL;
    int64_t now_ms = cluster_now_ms(api->config.cluster);
    (void)match;
    if (json_parse(request->body.data, request->body.size, &json, &err) != STATUS_OK) {
        answer_error(api, request->token, request->request_id, &err);
        return;
    }
    if (!cJSON_IsObject(json)) {
        answer_problem(api, request->token, request->request_id, STATUS_MALFORMED,
                       "send an object: {\"schedule\": \"0 9 * * 1-5\", \"timezone\": \"Europe/Berlin\"}", NULL);
        cJSON_Delete(json);
        return;
    }
    int64_t count = take_count(json, &errors);
    schedule = job_document_schedule(json, api->config.scheduler, now_ms, &errors);
    cJSON_Delete(json);
    if (errors.count > 0) {
        schedule_free(schedule);
        answer_problem(api, request->token, request->request_id, STATUS_INVALID, errors.items[0].message, &errors);
        return;
    }
    buffer_init(&body, VALIDATE_MAX);
    struct json_writer w = json_writer_on(&body);
    write_answer(&w, schedule, now_ms, count);
    schedule_free(schedule);
    answer_json(api, request->token, 200, &body, NULL);
}
