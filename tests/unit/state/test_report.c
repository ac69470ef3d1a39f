/* REPORT: starts, ends, retries, releases, and what an ended run says of itself. */
#include "fixture.h"

#include <chronos/executor.h>

#include <string.h>

struct scene {
    struct fixture *f;
    struct id job, execution;
    uint64_t serial;
    struct placement_node node;
};

static struct scene scene_of(void **state, const struct job_spec *spec)
{
    struct scene s = {.f = *state};
    s.node = node_up(s.f, "n1", 5);
    s.serial = create_job(s.f, spec, &s.job);
    s.f->now_ms += 1000;
    assert_int_equal(fire(s.f, s.serial, TRIGGER_SCHEDULE, &s.node, &s.execution).status, STATUS_OK);
    return s;
}

static void start(struct scene *s)
{
    struct run_report item = report_of(s->f, &s->execution, REPORT_STARTED);
    assert_int_equal(report(s->f, &item).status, STATUS_OK);
}

static const char *string_in(const cJSON *text, const char *name)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(text, name);
    assert_non_null(member);
    return cJSON_IsString(member) ? member->valuestring : NULL;
}

static void success(void **state)
{
    struct job_spec spec = spec_named("job");
    struct scene s = scene_of(state, &spec);
    start(&s);
    assert_int_equal(need_open_run(s.f, &s.execution).phase, PHASE_RUNNING);
    s.f->now_ms += 2000;
    struct run_report item = report_of(s.f, &s.execution, REPORT_FINISHED);
    item.started_ms = s.f->now_ms - 2000;
    item.duration_ms = 1500;
    item.outcome = RUN_SUCCESS;
    item.exit_code = 0;
    item.output_head = (struct bytes){"begin\xff", 6};
    item.output_tail = (struct bytes){"end", 3};
    item.output_bytes = 1009;
    item.output_truncated = true;
    assert_int_equal(report(s.f, &item).status, STATUS_OK);
    assert_int_equal(count_changes(s.f, CHANGE_CLOSED), 1);
    cJSON *text = text_of(s.f, &s.execution);
    static const char *const members[] = {"id", "job_id", "job_name", "job_version", "scheduled_time", "trigger",
                                          "status",
                                          "reason", "node_id", "started_at", "completed_at", "duration_ms", "attempts",
                                          "exit_code", "output", "output_truncated", "output_bytes", "error"};
    assert_int_equal(cJSON_GetArraySize(text), ARRAY_COUNT(members));
    for (uint32_t i = 0; i < ARRAY_COUNT(members); i++)
        assert_string_equal(cJSON_GetArrayItem(text, (int)i)->string, members[i]);
    assert_string_equal(string_in(text, "status"), "success");
    assert_null(string_in(text, "reason"));
    assert_null(string_in(text, "error"));
    assert_string_equal(string_in(text, "node_id"), "n1");
    assert_string_equal(string_in(text, "completed_at"), "2027-01-15T08:00:02.500Z");
    assert_string_equal(string_in(text, "output"), "begin\xEF\xBF\xBD\n... 1000 bytes left out ...\nend");
    assert_int_equal(cJSON_GetObjectItemCaseSensitive(text, "duration_ms")->valueint, 1500);
    assert_int_equal(cJSON_GetObjectItemCaseSensitive(text, "exit_code")->valueint, 0);
    cJSON_Delete(text);
    struct job_marks marks = marks_of(s.f, s.serial);
    assert_int_equal(marks.active, 0);
    assert_int_equal(marks.executions, 1);
    assert_int_equal(marks.last_status, RUN_SUCCESS);
    assert_int_equal(marks.last_run_ms, START_MS + 1000);
}

static void fences(void **state)
{
    struct job_spec spec = spec_named("job");
    struct scene s = scene_of(state, &spec);
    struct run_report item = report_of(s.f, &s.execution, REPORT_STARTED), other = item;
    other.attempt = 2;
    assert_int_equal(report(s.f, &other).status, STATUS_STALE);
    other = item;
    other.session = 6;
    assert_int_equal(report(s.f, &other).status, STATUS_STALE);
    other = item;
    other.execution = fixture_id(s.f);
    assert_int_equal(report(s.f, &other).status, STATUS_STALE);
    assert_int_equal(report(s.f, &item).status, STATUS_OK);
    assert_int_equal(report(s.f, &item).status, STATUS_STALE); /* it runs already */
    other = item;
    other.kind = REPORT_RELEASED;
    assert_int_equal(report(s.f, &other).status, STATUS_STALE); /* what runs cannot be given away */
    assert_int_equal(finish(s.f, &s.execution, RUN_SUCCESS).status, STATUS_OK);
    item.kind = REPORT_FINISHED;
    item.outcome = RUN_FAILED;
    assert_int_equal(report(s.f, &item).status, STATUS_STALE); /* terminal never changes */
    assert_ended(s.f, &s.execution, RUN_SUCCESS, "");
}

static void retries(void **state)
{
    struct job_spec spec = spec_named("job");
    struct scene s = scene_of(state, &spec);
    assert_int_equal(finish(s.f, &s.execution, RUN_FAILED).status, STATUS_OK);
    struct open_run run = need_open_run(s.f, &s.execution);
    assert_int_equal(run.phase, PHASE_BACKOFF);
    assert_int_equal(run.reason, REASON_RETRY);
    assert_int_equal(run.next_attempt_ms, s.f->now_ms + 1000);
    cJSON *text = text_of(s.f, &s.execution);
    assert_string_equal(string_in(text, "next_attempt_at"), "2027-01-15T08:00:02.000Z");
    assert_string_equal(string_in(text, "status"), "pending");
    cJSON_Delete(text);
    assert_int_equal(assign(s.f, &s.execution, 1, &s.node).status, STATUS_STALE); /* not due */
    s.f->now_ms += 1000;
    assert_int_equal(assign(s.f, &s.execution, 1, &s.node).status, STATUS_OK);
    assert_int_equal(finish(s.f, &s.execution, RUN_TIMEOUT).status, STATUS_OK);
    assert_int_equal(need_open_run(s.f, &s.execution).next_attempt_ms, s.f->now_ms + 2000); /* twice as long */
    s.f->now_ms += 2000;
    assert_int_equal(assign(s.f, &s.execution, 2, &s.node).status, STATUS_OK);
    assert_int_equal(finish(s.f, &s.execution, RUN_FAILED).status, STATUS_OK);
    assert_ended(s.f, &s.execution, RUN_FAILED, "");
    text = text_of(s.f, &s.execution);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(text, "attempts")), 3);
    cJSON_Delete(text);
    assert_int_equal(marks_of(s.f, s.serial).failures, 1);
    assert_int_equal(count_rows(s.f, STATE_FAILED), 1);
}

static void retry_as_the_executor_says(void **state)
{
    struct job_spec spec = spec_named("job");
    struct scene s = scene_of(state, &spec);
    struct run_report item = report_of(s.f, &s.execution, REPORT_FINISHED);
    item.outcome = RUN_FAILED;
    item.retry_after_ms = INT64_MAX;
    assert_int_equal(report(s.f, &item).status, STATUS_OK);
    assert_int_equal(need_open_run(s.f, &s.execution).next_attempt_ms, s.f->now_ms + 24 * 3600 * 1000); /* the cap */
    s.f->now_ms += 24 * 3600 * 1000;
    assert_int_equal(assign(s.f, &s.execution, 1, &s.node).status, STATUS_OK);
    item = report_of(s.f, &s.execution, REPORT_FINISHED);
    item.outcome = RUN_FAILED;
    item.retry = CHRONOS_RETRY_NO;
    item.reason = REASON_EXECUTOR_FAILED;
    item.error = (struct bytes){"no\0such host", 12};
    item.status_code = 404;
    assert_int_equal(report(s.f, &item).status, STATUS_OK);
    assert_ended(s.f, &s.execution, RUN_FAILED, "executor_failed");
    cJSON *text = text_of(s.f, &s.execution);
    assert_string_equal(string_in(text, "error"), "no such host");
    assert_int_equal(cJSON_GetObjectItemCaseSensitive(text, "status_code")->valueint, 404);
    cJSON_Delete(text);
}

static void no_retry_when_cancelled(void **state)
{
    struct job_spec spec = spec_named("job");
    struct scene s = scene_of(state, &spec);
    assert_int_equal(cancel(s.f, &s.execution, REASON_USER).status, STATUS_OK);
    assert_int_equal(finish(s.f, &s.execution, RUN_FAILED).status, STATUS_OK);
    assert_ended(s.f, &s.execution, RUN_FAILED, "");
}

static void lost_and_shut_down(void **state)
{
    struct job_spec spec = spec_named("job");
    struct scene s = scene_of(state, &spec);
    start(&s);
    assert_int_equal(finish(s.f, &s.execution, RUN_LOST).status, STATUS_OK);
    struct open_run run = need_open_run(s.f, &s.execution);
    assert_int_equal(run.phase, PHASE_READY);
    assert_int_equal(run.takeovers, 1);
    assert_int_equal(assign(s.f, &s.execution, 1, &s.node).status, STATUS_OK);
    assert_int_equal(need_open_run(s.f, &s.execution).attempt_started_ms, 0);
    struct run_report item = report_of(s.f, &s.execution, REPORT_FINISHED);
    item.outcome = RUN_CANCELLED;
    item.reason = REASON_SHUTDOWN;
    assert_int_equal(report(s.f, &item).status, STATUS_OK);
    run = need_open_run(s.f, &s.execution);
    assert_int_equal(run.reason, REASON_SHUTDOWN);
    assert_int_equal(run.takeovers, 2);
    assert_int_equal(assign(s.f, &s.execution, 2, &s.node).status, STATUS_OK);
    item = report_of(s.f, &s.execution, REPORT_FINISHED);
    item.outcome = RUN_CANCELLED;
    item.reason = REASON_USER; /* nobody asked the state, but it is over all the same */
    assert_int_equal(report(s.f, &item).status, STATUS_OK);
    assert_ended(s.f, &s.execution, RUN_CANCELLED, "user");
}

static void released(void **state)
{
    struct job_spec spec = spec_named("job");
    struct scene s = scene_of(state, &spec);
    struct run_report item = report_of(s.f, &s.execution, REPORT_RELEASED);
    item.reason = REASON_CAPACITY;
    assert_int_equal(report(s.f, &item).status, STATUS_OK);
    struct open_run run = need_open_run(s.f, &s.execution);
    assert_int_equal(run.phase, PHASE_READY);
    assert_int_equal(run.reason, REASON_CAPACITY);
    assert_int_equal(run.attempt, 1);
    assert_int_equal(run.history_count, 0);
    assert_int_equal(assign(s.f, &s.execution, 1, &s.node).status, STATUS_OK);
    assert_int_equal(cancel(s.f, &s.execution, REASON_USER).status, STATUS_OK);
    item = report_of(s.f, &s.execution, REPORT_RELEASED);
    assert_int_equal(report(s.f, &item).status, STATUS_OK);
    assert_ended(s.f, &s.execution, RUN_CANCELLED, "user");
}

static void history_is_bounded(void **state)
{
    struct job_spec spec = spec_named("job");
    spec.retry.max_attempts = ATTEMPTS_MAX;
    spec.retry.max_interval_ms = 1;
    struct scene s = scene_of(state, &spec);
    for (uint32_t attempt = 1; attempt < ATTEMPTS_MAX; attempt++) {
        assert_int_equal(finish(s.f, &s.execution, RUN_FAILED).status, STATUS_OK);
        s.f->now_ms += 10;
        assert_int_equal(assign(s.f, &s.execution, attempt, &s.node).status, STATUS_OK);
    }
    struct open_run run = need_open_run(s.f, &s.execution);
    assert_int_equal(run.history_count, ATTEMPTS_KEPT);
    assert_int_equal(run.history[0].attempt, 1); /* the first and the newest are kept */
    assert_int_equal(run.history[1].attempt, ATTEMPTS_MAX - ATTEMPTS_KEPT + 1);
    assert_int_equal(finish(s.f, &s.execution, RUN_FAILED).status, STATUS_OK);
    assert_ended(s.f, &s.execution, RUN_FAILED, "");
}

static void limits_of_texts(void **state)
{
    struct job_spec spec = spec_named("job");
    struct scene s = scene_of(state, &spec);
    static char output[REPLICATED_OUTPUT_MAX + 100], sentence[RUN_ERROR_MAX + 50];
    memset(output, '\x01', sizeof output); /* six bytes each in JSON */
    memset(sentence, 'e', sizeof sentence);
    struct run_report item = report_of(s.f, &s.execution, REPORT_FINISHED);
    item.outcome = RUN_SUCCESS;
    item.output_head = (struct bytes){output, sizeof output};
    item.output_bytes = sizeof output;
    item.error = (struct bytes){sentence, sizeof sentence};
    item.started_ms = INT64_MAX;
    item.duration_ms = INT64_MAX;
    assert_int_equal(report(s.f, &item).status, STATUS_OK);
    cJSON *text = text_of(s.f, &s.execution);
    assert_int_equal(strlen(string_in(text, "error")), RUN_ERROR_MAX);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(text, "output_truncated")));
    assert_in_range(strlen(string_in(text, "output")), REPLICATED_OUTPUT_MAX / 2, REPLICATED_OUTPUT_MAX);
    assert_string_equal(string_in(text, "completed_at"), "2027-01-15T08:00:01.000Z"); /* never in the future */
    cJSON_Delete(text);
}

static void killed_by_signal(void **state)
{
    struct job_spec spec = spec_named("job");
    spec.retry.max_attempts = 1;
    struct scene s = scene_of(state, &spec);
    struct run_report item = report_of(s.f, &s.execution, REPORT_FINISHED);
    item.outcome = RUN_FAILED;
    item.term_signal = 9;
    assert_int_equal(report(s.f, &item).status, STATUS_OK);
    cJSON *text = text_of(s.f, &s.execution);
    assert_int_equal(cJSON_GetObjectItemCaseSensitive(text, "exit_code")->valueint, 137);
    cJSON_Delete(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
        T(success), T(fences), T(retries), T(retry_as_the_executor_says), T(no_retry_when_cancelled),
        T(lost_and_shut_down), T(released), T(history_is_bounded), T(limits_of_texts), T(killed_by_signal),
    };
    return RUN_ON_BACKENDS("report", tests);
}
