/* Rows: what is written is read again, and nothing else is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "state/record.h"

static const struct id some_id = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

static void vocabulary(void **state)
{
    (void)state;
    enum run_status status = RUN_LOST;
    enum concurrency concurrency;
    enum missed_policy missed;
    enum node_loss_policy loss;
    assert_string_equal(run_status_name(RUN_SKIPPED), "skipped");
    assert_string_equal(run_trigger_name(TRIGGER_REPLAY), "replay");
    assert_string_equal(reason_name(REASON_NONE), "");
    assert_string_equal(reason_name(REASON_RESTORED), "restored");
    assert_string_equal(concurrency_name(CONCURRENCY_REPLACE), "replace");
    assert_string_equal(missed_policy_name(MISSED_POLICY_IGNORE), "ignore");
    assert_string_equal(node_loss_name(NODE_LOSS_FAIL), "fail");
    assert_string_equal(placement_name(PLACEMENT_LEADER), "leader");
    assert_true(run_status_parse("timeout", &status) && status == RUN_TIMEOUT);
    assert_false(run_status_parse("Timeout", &status));
    assert_int_equal(status, RUN_TIMEOUT); /* untouched */
    assert_true(concurrency_parse("allow", &concurrency) && concurrency == CONCURRENCY_ALLOW);
    assert_false(concurrency_parse("", &concurrency));
    assert_true(missed_policy_parse("execute_all", &missed) && missed == MISSED_POLICY_EXECUTE_ALL);
    assert_false(missed_policy_parse("all", &missed));
    assert_true(node_loss_parse("retry", &loss) && loss == NODE_LOSS_RETRY);
    assert_false(node_loss_parse("retry ", &loss));
    for (int i = 0; i < RUN_STATUS_COUNT; i++)
        assert_int_equal(run_status_terminal((enum run_status)i), i != RUN_PENDING && i != RUN_RUNNING);
}

static void retry_delays(void **state)
{
    (void)state;
    struct job_retry retry = {.initial_interval_ms = 1000, .max_interval_ms = 5000, .multiplier_thousandths = 2000};
    static const int64_t expected[] = {1000, 2000, 4000, 5000, 5000};
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(job_retry_delay_ms(&retry, i + 1, &some_id), expected[i]);
    assert_int_equal(job_retry_delay_ms(&retry, UINT32_MAX, &some_id), 5000);
    retry.jitter_thousandths = 500;
    bool varies = false;
    for (uint8_t i = 0; i < 50; i++) {
        struct id id = some_id;
        id.bytes[15] = i;
        int64_t delay = job_retry_delay_ms(&retry, 1, &id);
        assert_in_range(delay, 500, 1500);
        assert_int_equal(delay, job_retry_delay_ms(&retry, 1, &id)); /* the same on every node */
        varies = varies || delay != 1000;
    }
    assert_true(varies);
    struct job_retry absurd = {.initial_interval_ms = INT64_MAX, .max_interval_ms = INT64_MAX,
                               .multiplier_thousandths = UINT32_MAX, .jitter_thousandths = UINT32_MAX};
    assert_in_range(job_retry_delay_ms(&absurd, 100, &some_id), 0, INT64_C(366) * 24 * 3600 * 1000);
    absurd.initial_interval_ms = absurd.max_interval_ms = INT64_MIN;
    assert_int_equal(job_retry_delay_ms(&absurd, 2, &some_id), 0);
}

/* One kind of row: a sample written, and a decoder that writes what it has read. */
struct codec {
    const char *name;
    void (*sample)(struct buffer *out);
    enum status (*again)(struct bytes row, struct buffer *out, struct error *err);
};

static void spec_sample(struct buffer *out)
{
    static const struct job_spec spec = {
        .id = {{9}}, .version = 7, .enabled = true, .concurrency = CONCURRENCY_REPLACE,
        .missed_policy = MISSED_POLICY_EXECUTE_ALL, .on_node_loss = NODE_LOSS_FAIL, .dst_gap = 1, .dst_overlap = 2,
        .day_match = 1, .max_concurrent = 5, .catchup_limit = 6, .catchup_window_ms = 7, .timeout_ms = 8,
        .anchor_ms = 9,
        .retry = {3, 1, 2, 2000, 100}, .name = "name", .executor = "shell", .timezone = "Europe/Berlin",
        .schedule_count = 2, .schedules = {"0 9 * * *", "@every 1h"}, .placement = PLACEMENT_LEADER, .node_tag_count = 2,
        .node_tags = {"disk=ssd", "zone="},
    };
    job_spec_encode(&spec, out);
}

static enum status spec_again(struct bytes row, struct buffer *out, struct error *err)
{
    struct job_spec spec;
    enum status status = job_spec_decode(4, row, &spec, err);
    if (status)
        return status;
    assert_int_equal(spec.serial, 4);
    job_spec_encode(&spec, out);
    return STATUS_OK;
}

static void marks_sample(struct buffer *out)
{
    struct job_marks marks = {.deleted = true, .last_status = RUN_LOST, .failures = 65535, .active = 70000,
                              .waiting = 1001, .executions = 4000000000u, .mark_ms = 1, .last_run_ms = 2,
                              .newest = some_id, .waiting_run = {{1}}};
    uint8_t row[JOB_MARKS_SIZE];
    job_marks_encode(&marks, row);
    buffer_append(out, row, sizeof row);
}

static enum status marks_again(struct bytes row, struct buffer *out, struct error *err)
{
    struct job_marks marks;
    uint8_t again[JOB_MARKS_SIZE];
    enum status status = job_marks_decode(row, &marks, err);
    if (status)
        return status;
    job_marks_encode(&marks, again);
    buffer_append(out, again, sizeof again);
    return STATUS_OK;
}

static void job_sample(struct buffer *out)
{
    struct job_row row = {.serial = 5, .version = 6, .enabled = true, .created_ms = 7, .updated_ms = 8,
                          .document = {"{\"name\":\"x\"}", 12}};
    job_row_encode(&row, out);
}

static enum status job_again(struct bytes bytes, struct buffer *out, struct error *err)
{
    struct job_row row;
    enum status status = job_row_decode(bytes, &row, err);
    if (!status)
        job_row_encode(&row, out);
    return status;
}

static void open_sample(struct buffer *out)
{
    static struct open_run run = {
        .previous = {{3}}, .serial = 4, .job = {{5}}, .job_version = 6, .job_name = "name", .phase = PHASE_BACKOFF,
        .trigger = TRIGGER_MANUAL, .reason = REASON_RETRY, .scheduled_ms = 1, .created_ms = 2, .started_ms = 3,
        .attempt_started_ms = 4, .next_attempt_ms = 5, .attempt = 6, .failures = 7, .takeovers = 2, .node = "n1",
        .session = UINT64_MAX, .cancel = REASON_USER, .overrides = {"{}", 2}, .history_count = 2,
        .history = {{1, "n1", 2, 3, RUN_FAILED, 4, -1, "broken"}, {2, "n2", 0, 9, RUN_LOST, -1, 503, ""}},
    };
    open_run_encode(&run, out);
}

static enum status open_again(struct bytes row, struct buffer *out, struct error *err)
{
    static struct open_run run;
    enum status status = open_run_decode(&some_id, row, &run, err);
    if (status)
        return status;
    assert_memory_equal(run.execution.bytes, some_id.bytes, 16);
    open_run_encode(&run, out);
    return STATUS_OK;
}

static void execution_sample(struct buffer *out)
{
    struct execution_row row = {.status = RUN_SUCCESS, .trigger = TRIGGER_CATCHUP, .serial = 3, .previous = some_id,
                                .scheduled_ms = 4, .completed_ms = 5, .json = {"{\"id\":1}", 8}};
    execution_row_encode(&row, out);
}

static enum status execution_again(struct bytes bytes, struct buffer *out, struct error *err)
{
    struct execution_row row;
    enum status status = execution_row_decode(bytes, &row, err);
    if (!status)
        execution_row_encode(&row, out);
    return status;
}

static void node_sample(struct buffer *out)
{
    static const struct node_row node = {.name = "n1", .session = 7, .capacity = 3, .since_ms = 9, .lease_ms = 30000, .version = "0.1.0",
                                         .executor_count = 2, .executors = {"shell", "http"}, .tag_count = 2,
                                         .tags = {"disk=ssd", "zone=a"}};
    node_row_encode(&node, out);
}

static enum status node_again(struct bytes row, struct buffer *out, struct error *err)
{
    static struct node_row node;
    enum status status = node_row_decode(row, &node, err);
    if (!status)
        node_row_encode(&node, out);
    return status;
}

static void idempotency_sample(struct buffer *out)
{
    static const struct idempotency_row row = {.principal = "deploy", .request = {1, 2, 3}, .http_status = 201, .resource = {{4, 5}},
                                               .created_ms = 6};
    idempotency_row_encode(&row, out);
}

static enum status idempotency_again(struct bytes bytes, struct buffer *out, struct error *err)
{
    struct idempotency_row row;
    enum status status = idempotency_row_decode(bytes, &row, err);
    if (!status)
        idempotency_row_encode(&row, out);
    return status;
}

static struct buffer range_key(void)
{
    static const struct dropped_range range = {.serial = 1, .first_ms = 2, .last_ms = 3, .count = 4, .at_least = true,
                                               .reason = REASON_MISSED, .decided_ms = 5};
    struct buffer key, row;
    buffer_init(&key, 100);
    buffer_init(&row, 100);
    dropped_range_encode(&range, &key, &row);
    buffer_deinit(&row);
    return key;
}

static void range_sample(struct buffer *out)
{
    static const struct dropped_range range = {.serial = 1, .first_ms = 2, .last_ms = 3, .count = 4, .at_least = true,
                                               .reason = REASON_MISSED, .decided_ms = 5};
    struct buffer key;
    buffer_init(&key, 100);
    dropped_range_encode(&range, &key, out);
    assert_int_equal(key.size, 16);
    buffer_deinit(&key);
}

static enum status range_again(struct bytes row, struct buffer *out, struct error *err)
{
    struct dropped_range range;
    struct buffer key = range_key(), again;
    enum status status = dropped_range_decode(buffer_bytes(&key), row, &range, err);
    if (!status) {
        assert_int_equal(range.serial, 1);
        assert_int_equal(range.first_ms, 2);
        buffer_init(&again, 100);
        dropped_range_encode(&range, &again, out);
        buffer_deinit(&again);
    }
    buffer_deinit(&key);
    return status;
}

static const struct codec codecs[] = {
    {"sched", spec_sample, spec_again},      {"marks", marks_sample, marks_again},
    {"jobs", job_sample, job_again},         {"open", open_sample, open_again},
    {"executions", execution_sample, execution_again}, {"nodes", node_sample, node_again},
    {"ranges", range_sample, range_again},   {"idempotency", idempotency_sample, idempotency_again},
};
enum { CODEC_COUNT = sizeof codecs / sizeof codecs[0] };

static void round_trips(void **state)
{
    (void)state;
    for (int i = 0; i < CODEC_COUNT; i++) {
        struct buffer row, again;
        struct error err = {.message = ""};
        buffer_init(&row, 1 << 20);
        buffer_init(&again, 1 << 20);
        codecs[i].sample(&row);
        assert_int_equal(codecs[i].again(buffer_bytes(&row), &again, &err), STATUS_OK);
        assert_int_equal(row.size, again.size);
        assert_memory_equal(row.data, again.data, row.size);
        buffer_deinit(&row);
        buffer_deinit(&again);
    }
}

/* Each copy has its own allocation, so that a sanitizer sees a read beyond it. */
static enum status decode_copy(const struct codec *codec, const char *data, size_t size, struct error *err)
{
    char *copy = malloc(size ? size : 1);
    struct buffer again;
    assert_non_null(copy);
    memcpy(copy, data, size);
    buffer_init(&again, 1 << 20);
    enum status status = codec->again((struct bytes){copy, size}, &again, err);
    buffer_deinit(&again);
    free(copy);
    return status;
}

static void cut_rows_are_refused(void **state)
{
    (void)state;
    for (int i = 0; i < CODEC_COUNT; i++) {
        struct buffer row;
        struct error err = {.message = ""};
        buffer_init(&row, 1 << 20);
        codecs[i].sample(&row);
        for (size_t size = 0; size < row.size; size++)
            assert_int_equal(decode_copy(&codecs[i], row.data, size, &err), STATUS_CORRUPT);
        put_u8(&row, 0);
        assert_int_equal(decode_copy(&codecs[i], row.data, row.size, &err), STATUS_CORRUPT);
        row.data[0] = 2;
        assert_int_equal(decode_copy(&codecs[i], row.data, row.size - 1, &err), STATUS_CORRUPT);
        assert_non_null(strstr(err.message, "newer version"));
        assert_non_null(strstr(err.message, codecs[i].name));
        buffer_deinit(&row);
    }
}

/* A tag is a key and a value: without its "=" it is damaged. */
static void tags_without_a_value_are_refused(void **state)
{
    (void)state;
    for (int i = 0; i < CODEC_COUNT; i++) {
        struct buffer row;
        struct error err = {.message = ""};
        buffer_init(&row, 1 << 20);
        codecs[i].sample(&row);
        char *tag = memmem(row.data, row.size, "disk=", 5);
        if (tag != NULL) {
            tag[4] = '-';
            assert_int_equal(decode_copy(&codecs[i], row.data, row.size, &err), STATUS_CORRUPT);
        }
        assert_int_equal(tag != NULL, strcmp(codecs[i].name, "sched") == 0 || strcmp(codecs[i].name, "nodes") == 0);
        buffer_deinit(&row);
    }
}

/* Whatever byte is damaged, a row is read or refused, never more than its bytes; what was read can be written. */
static void damaged_rows(void **state)
{
    (void)state;
    for (int i = 0; i < CODEC_COUNT; i++) {
        struct buffer row;
        struct error err = {.message = ""};
        buffer_init(&row, 1 << 20);
        codecs[i].sample(&row);
        for (size_t at = 0; at < row.size; at++)
            for (int value = 0; value < 256; value += 51) {
                char old = row.data[at];
                row.data[at] = (char)value;
                enum status status = decode_copy(&codecs[i], row.data, row.size, &err);
                assert_true(status == STATUS_OK || status == STATUS_CORRUPT);
                row.data[at] = old;
            }
        buffer_deinit(&row);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vocabulary), cmocka_unit_test(retry_delays), cmocka_unit_test(round_trips),
        cmocka_unit_test(cut_rows_are_refused), cmocka_unit_test(tags_without_a_value_are_refused),
        cmocka_unit_test(damaged_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
