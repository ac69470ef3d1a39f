/* Options of plugins: kept as JSON, merged over the defaults, executors loaded and unloaded. */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void assert_executors(const char *text, const char *json)
{
    struct outcome outcome = accepted(text);
    assert_json(outcome.config->executors.options, json);
    outcome_deinit(&outcome);
}

static void test_executors_are_added_and_unloaded(void **state)
{
    (void)state;
    assert_executors("executors: {}", "{\"shell\":{},\"http\":{}}");
    assert_executors("executors: {max_concurrent: 3}", "{\"shell\":{},\"http\":{}}");
    assert_executors("executors: {http: {timeout: 5s}}", "{\"shell\":{},\"http\":{\"timeout\":\"5s\"}}");
    assert_executors("executors: {http: null}", "{\"shell\":{}}");
    assert_executors("executors: {http: ~}", "{\"shell\":{}}");
    assert_executors("executors: {http: false}", "{\"shell\":{}}");
    assert_executors("executors: {http: false, shell: false}", "{}");
    assert_executors("executors: {grpc: {}}", "{\"shell\":{},\"http\":{},\"grpc\":{}}");
    assert_executors("executors: {a_b-1: {}}", "{\"shell\":{},\"http\":{},\"a_b-1\":{}}");
    /* Options that are only commented out do not unload. */
    assert_executors("executors:\n  shell:\n    # umask: 022\n", "{\"shell\":{},\"http\":{}}");
    assert_executors("executors:\n  grpc:\n", "{\"shell\":{},\"http\":{},\"grpc\":{}}");
}

static void test_backend_options(void **state)
{
    (void)state;
    static const struct {
        const char *text, *backend, *json;
    } cases[] = {
        {"storage: {lmdb: {map_size: 1GiB}}", "lmdb", "{\"map_size\":\"1GiB\"}"},
        {"storage: {lmdb: {}}", "lmdb", "{}"},
        {"storage:\n  lmdb:\n", "lmdb", "{}"},
        {"storage: {backend: lmdb, sqlite: {a: 1}}", "lmdb", "none"},
        {"storage: {sqlite: {a: 1}, lmdb: {b: 2}, backend: sqlite}", "sqlite", "{\"a\":1}"},
        {"storage: {backend: my-own_2, my-own_2: {x: [1]}}", "my-own_2", "{\"x\":[1]}"},
        {"storage: {lmdb: {b: 2}, lmdb2: {a: 1}}", "lmdb", "{\"b\":2}"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct outcome outcome = accepted(cases[i].text);
        assert_string_equal(outcome.config->storage.backend, cases[i].backend);
        assert_json(outcome.config->storage.options, cases[i].json);
        outcome_deinit(&outcome);
    }
    /* The environment chooses among the groups of the file. */
    struct outcome outcome = outcome_of_variable("CHRONOS_STORAGE_BACKEND=sqlite", "storage: {sqlite: {a: 1}, lmdb: "
                                                                                   "{b: 2}}");
    assert_int_equal(outcome.status, STATUS_OK);
    assert_json(outcome.config->storage.options, "{\"a\":1}");
    outcome_deinit(&outcome);
}

static void test_values_become_json(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *json;
    } values[] = {
        {"1", "1"}, {"-0", "-0"}, {"-12", "-12"}, {"1.5", "1.5"}, {"1e3", "1000"}, {"2.5E-1", "0.25"}, {"1e+2", "100"},
        {"999999999999999", "999999999999999"},
        {"true", "true"}, {"false", "false"}, {"null", "null"}, {"~", "null"}, {"", "null"},
        {"'1'", "\"1\""}, {"\"true\"", "\"true\""}, {"'null'", "\"null\""}, {"''", "\"\""},
        /* Text: other dialects read these as numbers or truth values. */
        {"yes", "\"yes\""}, {"on", "\"on\""}, {"True", "\"True\""}, {"022", "\"022\""}, {"0x1f", "\"0x1f\""},
        {"1_000", "\"1_000\""}, {"+1", "\"+1\""}, {".5", "\".5\""}, {"5.", "\"5.\""}, {"1e", "\"1e\""},
        {"-x", "\"-x\""},
        {".inf", "\".inf\""}, {".nan", "\".nan\""}, {"12:30:45", "\"12:30:45\""}, {"2027-01-01", "\"2027-01-01\""},
        /* A double would change these. */
        {"9007199254740993000", "\"9007199254740993000\""}, {"1e400", "\"1e400\""},
        {"10s", "\"10s\""}, {"a b", "\"a b\""}, {"\xc3\xa4", "\"\xc3\xa4\""}, {"\"\\u20ac\"", "\"\xe2\x82\xac\""},
        {"[]", "[]"}, {"{}", "{}"}, {"[1, [a], {b: c}]", "[1,[\"a\"],{\"b\":\"c\"}]"},
        {"{\"1\": a, \"x.y\": b, \"\": c}", "{\"1\":\"a\",\"x.y\":\"b\",\"\":\"c\"}"},
    };
    for (size_t i = 0; i < COUNT(values); i++) {
        char text[200], json[200];
        (void)snprintf(text, sizeof text, "executors:\n  http: false\n  shell:\n    v: %s\n", values[i].yaml);
        (void)snprintf(json, sizeof json, "{\"shell\":{\"v\":%s}}", values[i].json);
        assert_executors(text, json);
    }
    struct outcome outcome = accepted("executors: {shell: {v: 9007199254740991, w: 9007199254740993}}");
    const cJSON *shell = cJSON_GetObjectItem(outcome.config->executors.options, "shell");
    assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(shell, "v")) == 9007199254740991.0);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(shell, "w")), "9007199254740993");
    outcome_deinit(&outcome);
    assert_executors("executors:\n  http: false\n  shell:\n    v: |\n      two\n      lines\n    w: >-\n      one\n    "
                     "  line\n",
                     "{\"shell\":{\"v\":\"two\\nlines\\n\",\"w\":\"one line\"}}");
}

static void test_groups_refused(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"executors: {shell: 3}", "chronos.yaml:1: executors.shell: must be a group of options ({} for the defaults), "
                                  "or "
                                  "false to unload the executor"},
        {"executors: {http: true}", "chronos.yaml:1: executors.http: must be a group of options ({} for the defaults), "
                                    "or "
                                    "false to unload the executor"},
        {"executors: {http: \"false\"}", "chronos.yaml:1: executors.http: must be a group of options ({} for the "
                                         "defaults), or "
                                         "false to unload the executor"},
        {"executors: {grpc: null}", "chronos.yaml:1: executors.grpc: there is no such executor to unload"},
        {"executors: {htpp: false}", "chronos.yaml:1: executors.htpp: unknown key; did you mean \"http\"?"},
        {"executors: {webhook: false}", "chronos.yaml:1: executors.webhook: unknown key; known here are: max_concurrent, "
                                        "lease_timeout, shell, http"},
        {"executors: {max_concurent: 5}",
         "chronos.yaml:1: executors.max_concurent: unknown key; did you mean \"max_concurrent\"?"},
        {"executors: {max_concurrents: {a: b}}",
         "chronos.yaml:1: executors.max_concurrents: unknown key; did you mean \"max_concurrent\"?"},
        {"executors: {enabled: true}", "chronos.yaml:1: executors.enabled: unknown key; \"enabled\" belongs under "
                                       "metrics or auth"},
        {"executors: {grpc: [a]}", "chronos.yaml:1: executors.grpc: unknown key; known here are: max_concurrent, "
                                   "lease_timeout, shell, http"},
        {"executors: {gRPC: {}}", "chronos.yaml:1: executors.gRPC: no executor has such a name; use 1 to 63 of a-z, "
                                  "0-9, "
                                  "\"_\" and \"-\""},
        {"executors: {\"a.b\": {}}", "chronos.yaml:1: executors.a.b: no executor has such a name; use 1 to 63 of a-z, "
                                     "0-9, "
                                     "\"_\" and \"-\""},
        {"executors: {\"\": {}}", "chronos.yaml:1: executors.: no executor has such a name; use 1 to 63 of a-z, 0-9, "
                                  "\"_\" "
                                  "and \"-\""},
        {"storage: {LMDB: {}}", "chronos.yaml:1: storage.LMDB: no storage plugin has such a name; use 1 to 63 of a-z, "
                                "0-9, "
                                "\"_\" and \"-\""},
        {"storage: {lmdb: 5}", "chronos.yaml:1: storage.lmdb: unknown key; known here are: backend, log_dir, min_free, "
                               "execution_retention, executions_per_job, executions_max_bytes"},
        {"storage: {log_dirs: {}}", "chronos.yaml:1: storage.log_dirs: unknown key; did you mean \"log_dir\"?"},
        {"storage: {lmbd: {map_size: 1GiB}}",
         "chronos.yaml:1: storage.lmbd: storage.backend is \"lmdb\": one of the two is mistyped"},
        {"storage:\n  backend: sqlite\n  sqlit: {}\n",
         "chronos.yaml:3: storage.sqlit: storage.backend is \"sqlite\": one of the two is mistyped"},
    };
    assert_all_refused(refusals, COUNT(refusals));
}

static void test_number_of_groups(void **state)
{
    (void)state;
    for (int extra = 0; extra < 2; extra++) {
        struct buffer text;
        buffer_init(&text, 1 << 16);
        buffer_append_string(&text, "executors:\n  shell: {}\n"); /* one of the two that are there already */
        for (int i = 0; i < CONFIG_LIST_MAX - 2 + extra; i++)
            buffer_appendf(&text, "  executor-%d: {}\n", i);
        if (extra) {
            assert_refused(text.data, "chronos.yaml:65: executors.executor-62: more than 64 groups of options");
        } else {
            struct outcome outcome = accepted(text.data);
            assert_int_equal(cJSON_GetArraySize(outcome.config->executors.options), CONFIG_LIST_MAX);
            outcome_deinit(&outcome);
        }
        buffer_deinit(&text);
    }
}

static void test_length_of_a_name(void **state)
{
    (void)state;
    char text[200];
    (void)snprintf(text, sizeof text, "executors: {\"%063d\": {}}", 0);
    struct outcome outcome = accepted(text);
    outcome_deinit(&outcome);
    (void)snprintf(text, sizeof text, "executors: {\"%064d\": {}}", 0);
    outcome = outcome_of_text(text);
    assert_int_equal(outcome.count, 1);
    assert_non_null(strstr(outcome.messages[0], "no executor has such a name"));
    outcome_deinit(&outcome);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_executors_are_added_and_unloaded),
        cmocka_unit_test(test_backend_options),
        cmocka_unit_test(test_values_become_json),
        cmocka_unit_test(test_groups_refused),
        cmocka_unit_test(test_number_of_groups),
        cmocka_unit_test(test_length_of_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
