#include "ctl/show.h"

#include <stdio.h>

#include "base/json.h"
#include "check.h"
#include "ctl/invocation.h"
#include "ctl/problem.h"

static const int64_t second = 1000, minute = 60000, hour = 3600000, day = 86400000;

static void assert_relative(int64_t away_ms, const char *expected)
{
    char text[RELATIVE_TEXT_SIZE];
    int64_t now_ms = INT64_C(1800000000000);
    show_relative(now_ms + away_ms, now_ms, text);
    assert_string_equal(text, expected);
}

static void test_relative(void **state)
{
    (void)state;
    assert_relative(0, "now");
    assert_relative(999, "now");
    assert_relative(-999, "now");
    assert_relative(second, "in 1s");
    assert_relative(-119 * second, "119s ago");
    assert_relative(2 * minute, "in 2m");
    assert_relative(-(2 * hour - 1), "119m ago");
    assert_relative(2 * hour, "in 2h");
    assert_relative(47 * hour, "in 47h");
    assert_relative(-3 * day, "3d ago");
    assert_relative(INT64_C(250000000000000), "in 2893518d");
}

static void test_elapsed(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {{-5, "0ms"}, {0, "0ms"}, {999, "999ms"}, {1000, "1.0s"}, {59999, "59.9s"}, {60000, "1m0s"},
                 {250000, "4m10s"},
                 {3600000, "1h0m"}, {100000000, "27h46m"}};
    char text[RELATIVE_TEXT_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        show_elapsed(cases[i].ms, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void test_json(void **state)
{
    const char *text = "{\"a\":[1,{\"b\":null}],\"c\":{},\"d\":[],"
                       "\"e\":\"\\u001b\xc2\x9b\xe2\x80\xae\x7f\xc3\xa9\xf0\x9f\x98\x80\"}";
    cJSON *value, *again;
    struct buffer out;
    struct error err;
    (void)state;
    assert_int_equal(json_parse(text, strlen(text), &value, &err), STATUS_OK);
    buffer_init(&out, 1 << 16);
    show_json(value, &out);
    assert_string_equal(out.data,
                        "{\n  \"a\": [\n    1,\n    {\n      \"b\": null\n    }\n  ],\n  \"c\": {},\n  \"d\": [],\n"
                                  "  \"e\": \"\\u001b\\u009b\\u202e\\u007f\xc3\xa9\xf0\x9f\x98\x80\"\n}\n");
    assert_int_equal(json_parse(out.data, out.size, &again, &err), STATUS_OK);
    assert_true(cJSON_Compare(value, again, true));
    buffer_deinit(&out);
    cJSON_Delete(value);
    cJSON_Delete(again);
}

/* As if these words had been typed. */
static const struct arguments *typed;

static void assert_problem(bool is_problem, const char *prefix, const char *body, const char *expected)
{
    struct response response = {.status = 422, .is_problem = is_problem};
    struct buffer out;
    buffer_init(&response.body, 1 << 16);
    buffer_append_string(&response.body, body);
    buffer_init(&out, 1 << 16);
    problem_text(typed, prefix, "http://x", &response, &out);
    assert_string_equal(out.data, expected);
    buffer_deinit(&out);
    response_deinit(&response);
}

static void test_problem(void **state)
{
    (void)state;
    assert_problem(true, NULL,
                   "{\"detail\":\"schedule: bad\",\"errors\":[{\"field\":\"/schedule\",\"message\":\"minute: 61\"},"
                   "{\"field\":\"/name\",\"message\":\"\\u001b[2J\"}, 5, {\"field\":\"/x\"}]}",
                   "chronosctl: 2 fields are wrong:\n  schedule: minute: 61\n  name: \\x1b[2J\n");
    assert_problem(true, "a.yaml:3",
                   "{\"detail\":\"tags/a: bad\",\"errors\":[{\"field\":\"/tags/a\",\"message\":\"bad\"}]}",
                   "chronosctl: a.yaml:3: tags/a: bad\n");
    assert_problem(true, NULL,
                   "{\"detail\":\"something else\",\"errors\":[{\"field\":\"/name\",\"message\":\"bad\"}]}",
                   "chronosctl: something else\n");
    assert_problem(true, "a.yaml:3", "{\"title\":\"Not found\"}", "chronosctl: a.yaml:3: Not found\n");
    assert_problem(true, NULL, "{}", "chronosctl: refused\n");
    assert_problem(true, NULL, "[1",
                   "chronosctl: http://x answered 422 without a problem document; is it Chronos? It says: [1\n");
    assert_problem(false, NULL, "<html>\n\x1b",
                   "chronosctl: http://x answered 422 without a problem document; is it Chronos? "
                                                "It says: <html>\\n\\x1b\n");
    assert_problem(false, NULL, "", "chronosctl: http://x answered 422 without a problem document; is it Chronos?\n");
}

/* What is said to a caller of the REST API, said to one who sits before a terminal. */
static void test_problem_in_words_of_the_command_line(void **state)
{
    const char *words[] = {"chronosctl", "job",       "create",   "--schedule", "61 * * * *", "--tag", "a=1",
                           "--webhook",  "http://x", "--method", "FETCH",      "--retries",  "7"};
    const int count = (int)(sizeof words / sizeof *words);
    struct arguments arguments;
    struct error err;
    (void)state;
    assert_int_equal(arguments_parse(&chronosctl_commands, count, (char **)(uintptr_t)words, &arguments, &err), STATUS_OK);
    typed = &arguments;
    static const struct {
        const char *field, *name;
    } cases[] = {
        {"/schedule", "--schedule"},
        {"/schedule/1", "--schedule number 2"},
        {"/schedules", "schedules"},
        {"/tags/a", "--tag (a)"},
        {"/retry_policy/max_attempts", "--retries"},
        {"/retry_policy/jitter", "retry_policy/jitter"},
        {"/config/method", "--method"},
        {"/config", "--webhook"},
        {"/timezone", "timezone"}, /* not typed */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[256], expected[128];
        (void)snprintf(body, sizeof body, "{\"errors\":[{\"field\":\"%s\",\"message\":\"bad\"}]}", cases[i].field);
        (void)snprintf(expected, sizeof expected, "chronosctl: %s: bad\n", cases[i].name);
        assert_problem(true, NULL, body, expected);
    }
    typed = NULL;
    arguments_deinit(&arguments);
    assert_problem(true, NULL, "{\"detail\":\"there is no job \\\"x\\\"; GET /api/v1/jobs lists them\"}",
                   "chronosctl: there is no job \"x\"; chronosctl job list shows all\n");
    assert_problem(true, NULL, "{\"detail\":\"query parameter from is a time (a + is written %2B)\"}",
                   "chronosctl: --from is a time\n");
    assert_problem(true, NULL, "{\"code\":\"VERSION_MISMATCH\",\"detail\":\"version 4, If-Match asks for \\\"3\\\"\"}",
                   "chronosctl: somebody else changed the job in the meantime: look at it, then say it again\n");
}

static void test_members(void **state)
{
    cJSON *value;
    struct error err;
    int64_t at_ms = 5;
    const char text[] = "{\"s\":\"x\",\"n\":7,\"big\":1e300,\"t\":true,\"f\":false,"
                        "\"time\":\"1970-01-01T00:00:01Z\",\"no\":null}";
    (void)state;
    assert_int_equal(json_parse(text, strlen(text), &value, &err), STATUS_OK);
    assert_string_equal(member_string(value, "s"), "x");
    assert_null(member_string(value, "n"));
    assert_null(member_string(NULL, "s"));
    assert_int_equal(member_int(value, "n", -1), 7);
    assert_int_equal(member_int(value, "big", -1), -1);
    assert_int_equal(member_int(value, "s", -1), -1);
    assert_true(member_true(value, "t"));
    assert_false(member_true(value, "f"));
    assert_false(member_true(value, "absent"));
    assert_true(member_time(value, "time", &at_ms));
    assert_int_equal(at_ms, 1000);
    assert_false(member_time(value, "no", &at_ms));
    assert_false(member_time(value, "s", &at_ms));
    cJSON_Delete(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_relative), cmocka_unit_test(test_elapsed), cmocka_unit_test(test_json),
        cmocka_unit_test(test_problem),
        cmocka_unit_test(test_problem_in_words_of_the_command_line),  cmocka_unit_test(test_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
