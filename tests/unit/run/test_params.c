#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "run/params.h"

static cJSON *parse(const char *text)
{
    struct error err;
    cJSON *json = NULL;
    assert_int_equal(json_parse(text, strlen(text), &json, &err), STATUS_OK);
    return json;
}

/* RFC 7396, appendix A, as far as the target is a config: an object. */
static void test_merge(void **state)
{
    static const struct {
        const char *config, *patch, *result;
    } cases[] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
        {"{\"a\":1}", "{\"a\":{\"b\":2}}", "{\"a\":{\"b\":2}}"},
        {"{\"A\":1}", "{\"a\":null}", "{\"A\":1}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *config = parse(cases[i].config), *patch = parse(cases[i].patch), *expected = parse(cases[i].result);
        cJSON *result = config_merge(config, patch);
        if (!cJSON_Compare(result, expected, true))
            fail_msg("%s with %s is not %s", cases[i].config, cases[i].patch, cases[i].result);
        cJSON *before = parse(cases[i].config);
        assert_true(cJSON_Compare(config, before, true)); /* it is shared: never changed */
        cJSON_Delete(before);
        cJSON_Delete(result);
        cJSON_Delete(config);
        cJSON_Delete(patch);
        cJSON_Delete(expected);
    }
}

static void test_merge_with_nothing(void **state)
{
    (void)state;
    cJSON *patch = parse("{\"a\":1,\"b\":null}"), *expected = parse("{\"a\":1}");
    cJSON *result = config_merge(NULL, patch);
    assert_true(cJSON_Compare(result, expected, true));
    cJSON_Delete(result);
    cJSON_Delete(patch);
    cJSON_Delete(expected);
}

static void test_environment(void **state)
{
    (void)state;
    struct job job = {.timeout_ms = 1500, .max_attempts = 4};
    struct attempt attempt = {.token = 9, .number = 2, .job = &job, .job_version = 3, .trigger = TRIGGER_CATCHUP,
                              .scheduled_ms = 1000};
    struct plugin_params params = {.count = 0};
    struct run_environment env, again;
    memset(attempt.execution.bytes, 0x11, sizeof attempt.execution.bytes);
    memset(attempt.job_id.bytes, 0x22, sizeof attempt.job_id.bytes);
    run_environment_fill(&env, &attempt, &params, "n1", 77);
    assert_int_equal(env.run.run_token, 9);
    assert_int_equal(env.run.timeout_ns, UINT64_C(1500000000));
    assert_int_equal(env.run.scheduled_unix_ns, INT64_C(1000000000));
    assert_int_equal(env.run.max_attempts, 4);
    assert_int_equal(env.run.output_limit, 77);
    assert_string_equal(env.run.trigger, "catchup");
    assert_non_null(strstr(env.run.idempotency_key, ":1970-01-01T00:00:01.000Z"));
    assert_memory_equal(env.run.idempotency_key, env.run.job_id, strlen(env.run.job_id));
    assert_int_equal(strlen(env.run.traceparent), 55);
    assert_memory_equal(env.run.traceparent, "00-11111111111111111111111111111111-", 36);
    attempt.number = 3;
    run_environment_fill(&again, &attempt, &params, "n2", 77);
    assert_string_equal(again.run.idempotency_key, env.run.idempotency_key); /* the same for every attempt and node */
    assert_string_not_equal(again.run.traceparent, env.run.traceparent);
    attempt.trigger = TRIGGER_MANUAL;
    run_environment_fill(&again, &attempt, &params, "n2", 77);
    assert_string_equal(again.run.idempotency_key, again.run.execution_id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_merge_with_nothing),
        cmocka_unit_test(test_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
