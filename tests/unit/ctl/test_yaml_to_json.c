#include "ctl/yaml_to_json.h"

#include <stdio.h>

#include "base/json.h"
#include "base/limits.h"
#include "check.h"

/* Reads a copy of exactly that size, so that a sanitizer sees a read beyond it. */
static enum status convert(const char *text, size_t size, cJSON **ret, struct error *err)
{
    char *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, text, size);
    enum status status = yaml_to_json(copy, size, "jobs.yaml", ret, err);
    free(copy);
    return status;
}

static void assert_json(const char *text, const char *expected)
{
    cJSON *documents;
    struct error err = {.code = STATUS_OK};
    struct buffer out;
    if (convert(text, strlen(text), &documents, &err) != STATUS_OK)
        fail_msg("%s: %s", text, err.message);
    buffer_init(&out, 1 << 20);
    json_print(&out, documents);
    assert_string_equal(out.data, expected);
    buffer_deinit(&out);
    cJSON_Delete(documents);
}

static cJSON *const untouched = (cJSON *)(uintptr_t)8;

static void assert_refused_bytes(const char *text, size_t size, enum status code, const char *message)
{
    cJSON *documents = untouched;
    struct error err = {.code = STATUS_OK};
    if (convert(text, size, &documents, &err) == STATUS_OK)
        fail_msg("not refused: %s", text);
    assert_ptr_equal(documents, untouched);
    assert_int_equal(err.code, code);
    assert_contains(err.message, message);
}

static void assert_refused(const char *text, const char *message)
{
    assert_refused_bytes(text, strlen(text), STATUS_MALFORMED, message);
}

static void test_core_schema(void **state)
{
    (void)state;
    assert_json("[true, True, TRUE, false, False, FALSE]", "[[true,true,true,false,false,false]]");
    assert_json("[null, Null, NULL, ~, ]", "[[null,null,null,null]]");
    assert_json("a:\nb: ''\n", "[{\"a\":null,\"b\":\"\"}]");
    assert_json("[0, 7, -3, +4, 0o17, 0x1F]", "[[0,7,-3,4,15,31]]");
    assert_json("[1.5, -.5, 2., 1e3, 1.5E-2, 0.0]", "[[1.5,-0.5,2,1000,0.015,0]]");
    assert_json("[9007199254740992]", "[[9007199254740992]]");
}

static void test_text(void **state)
{
    (void)state;
    assert_json("[yes, no, on, off, y, 5m, 1h30m, 1.2.3, 0x, 0o8, e5, ., -, +, 12:30, 1_000, tRUE]",
                "[[\"yes\",\"no\",\"on\",\"off\",\"y\",\"5m\",\"1h30m\",\"1.2.3\",\"0x\",\"0o8\",\"e5\",\".\","
                "\"-\",\"+\","
                "\"12:30\",\"1_000\",\"tRUE\"]]");
    assert_json("['5', \"true\", 'null', \"~\", '']", "[[\"5\",\"true\",\"null\",\"~\",\"\"]]");
    assert_json("schedule: 0 9 * * *\n", "[{\"schedule\":\"0 9 * * *\"}]");
    assert_json("schedule: '*/5 * * * *'\n", "[{\"schedule\":\"*/5 * * * *\"}]");
    assert_json("command: |\n  a\n    b\n\n  c\n", "[{\"command\":\"a\\n  b\\n\\nc\\n\"}]");
    assert_json("command: >-\n  a\n  b\n", "[{\"command\":\"a b\"}]");
    assert_json("name: caf\xc3\xa9 # comment\n", "[{\"name\":\"caf\xc3\xa9\"}]");
    assert_json("url: http://a:80/b#c\n", "[{\"url\":\"http://a:80/b#c\"}]");
}

static void test_structure(void **state)
{
    (void)state;
    assert_json("", "[]");
    assert_json("# nothing\n", "[]");
    assert_json("---\n---\na: 1\n...\n---\n- 2\n", "[{\"a\":1},[2]]");
    assert_json("a: {b: [1, {c: d}], e: []}\nf: {}\n", "[{\"a\":{\"b\":[1,{\"c\":\"d\"}],\"e\":[]},\"f\":{}}]");
    assert_json("a:\r\n  - b\r\n  - c\r\n", "[{\"a\":[\"b\",\"c\"]}]");
    assert_json("\xef\xbb\xbf" "a: 1\n", "[{\"a\":1}]");
    assert_json("{\"a\": \"\\u00e9\\/\", \"b\": [1.0e+2]}", "[{\"a\":\"\xc3\xa9/\",\"b\":[100]}]");
    assert_json("tags: {1: a, true: b}\n", "[{\"tags\":{\"1\":\"a\",\"true\":\"b\"}}]");
}

static void test_lines(void **state)
{
    cJSON *documents;
    struct error err;
    const char text[] = "# jobs\n- name: a\n- name: b\n  tags:\n    c: d\n---\nname: e\n";
    (void)state;
    assert_int_equal(convert(text, strlen(text), &documents, &err), STATUS_OK);
    const cJSON *list = cJSON_GetArrayItem(documents, 0), *last = cJSON_GetArrayItem(documents, 1);
    assert_int_equal(yaml_line_of(list), 2);
    assert_int_equal(yaml_line_of(cJSON_GetArrayItem(list, 1)), 3);
    assert_int_equal(yaml_line_of(cJSON_GetObjectItem(cJSON_GetArrayItem(list, 1), "tags")), 5);
    assert_int_equal(yaml_line_of(last), 7);
    assert_int_equal(yaml_line_of(cJSON_GetObjectItem(last, "name")), 0);
    assert_int_equal(yaml_line_of(NULL), 0);
    cJSON_Delete(documents);
}

static void test_schedules_without_quotes(void **state)
{
    (void)state;
    assert_refused("name: x\nschedule: */5 * * * *\n", "jobs.yaml:2:11: quote the schedule: \"*/5 * * * *\"");
    assert_refused("schedule: * * * * *\n", "jobs.yaml:1:11: quote the schedule: \"* * * * *\"");
    assert_refused("schedule: *\n", "1:11: quote the schedule: \"*\"");
    assert_refused("schedule:\n  - 0 9 * * *\n  - */5 * * * *\r\n",
                   "jobs.yaml:3:5: quote the schedule: \"*/5 * * * *\"");
    assert_refused("schedule: @daily\n", "jobs.yaml:1:11: quote the schedule: \"@daily\"");
    assert_refused("a: *b\n", "quote the schedule: \"*b\"");
    assert_refused("*b : a\n", "1:1: quote");
    assert_refused("a: `b`\n", "cannot begin with \"`\"; put it in quotes: \"`b`\"");
    assert_refused("a: %b\n", "cannot begin with \"%\"");
}

static void test_refused(void **state)
{
    (void)state;
    assert_refused("a: 1\nb: 2\na: 3\n", "jobs.yaml:3:1: the key \"a\" stands twice");
    assert_refused("{a: 1, 'a': 2}", "jobs.yaml:1:8: the key \"a\" stands twice");
    assert_refused("a: &x 1\n", "anchors (&x)");
    assert_refused("a: &x {b: 1}\n", "anchors (&x)");
    assert_refused("a: !!str 1\n", "tags (");
    assert_refused("a: !mine [1]\n", "tags (!mine)");
    assert_refused("<<: {a: 1}\n", "merge keys");
    assert_refused("~: 1\n", "the key is ~");
    assert_refused("? \n: 1\n", "the key is empty");
    assert_refused("? [a]\n: 1\n", "a key must be plain text");
    assert_refused("body: {{.JobID}}\n", "a value with {{ }} in it needs quotes");
    assert_refused("umask: 022\n", "022 begins with 0");
    assert_refused("a: -01.5\n", "begins with 0");
    assert_refused("a: .inf\n", "JSON has no .inf");
    assert_refused("a: -.INF\n", "JSON has no");
    assert_refused("a: .nan\n", "JSON has no .nan");
    assert_refused("a: 9007199254740993000\n", "too large for a number");
    assert_refused("a: 1e999\n", "too large for a number");
    assert_refused("a: 0xffffffffffffffff\n", "too large for a number");
    assert_refused("a: \"x\\0y\"\n", "NUL");
    assert_refused("\"x\\0y\": a\n", "NUL");
}

static void test_syntax(void **state)
{
    (void)state;
    assert_refused("a:\n\tb: 1\n", "jobs.yaml:2:1: a tab in the indentation");
    assert_refused("a:\n  b: 1\n  \tc: 1\n", "a tab in the indentation");
    assert_refused("a: b: c\n", "jobs.yaml:1:5: not YAML: mapping values are not allowed");
    assert_refused("a: \"x\n", "a quote or bracket is not closed");
    assert_refused("a: [1, 2\nb: 3\n", "not YAML");
    assert_refused("a: 1\n b: 2\n", "jobs.yaml:2:3: not YAML");
    assert_refused("- a\nb: 1\n", "not YAML");
    assert_refused("a: \"\\q\"\n", "a backslash is written twice");
    assert_refused("a: 1\nbc\n", "a key needs a colon");
    assert_refused("a: \x01\n", "jobs.yaml:1:4: not YAML");
    assert_refused("a: 1\nb: \xff\n", "jobs.yaml:2:4: not UTF-8: byte 0xff");
    assert_refused_bytes("a: b\0c\n", 7, STATUS_MALFORMED, "jobs.yaml:1:5");
}

/* What a message quotes cannot harm a terminal. */
static void test_quoted_text(void **state)
{
    cJSON *documents;
    struct error err;
    const char text[] = "\"\\e[31m\\u202e\": 1\n\"\\e[31m\\u202e\": 2\n";
    (void)state;
    assert_int_equal(convert(text, strlen(text), &documents, &err), STATUS_MALFORMED);
    assert_contains(err.message, "\"\\x1b[31m\\u{202e}\"");
    assert_null(strchr(err.message, 0x1b));
}

static void test_depth(void **state)
{
    char text[4 * YAML_DEPTH_MAX];
    cJSON *documents;
    struct error err;
    (void)state;
    memset(text, '[', YAML_DEPTH_MAX);
    memset(text + YAML_DEPTH_MAX, ']', YAML_DEPTH_MAX);
    assert_int_equal(convert(text, 2 * YAML_DEPTH_MAX, &documents, &err), STATUS_OK);
    cJSON_Delete(documents);
    memset(text, '[', YAML_DEPTH_MAX + 1);
    memset(text + YAML_DEPTH_MAX + 1, ']', YAML_DEPTH_MAX + 1);
    assert_refused_bytes(text, 2 * YAML_DEPTH_MAX + 2, STATUS_TOO_LARGE, "nested deeper than 16 levels");
}

static void test_size(void **state)
{
    size_t size = YAML_FILE_SIZE_MAX + 1;
    char *text = malloc(size);
    (void)state;
    assert_non_null(text);
    memset(text, '\n', size);
    assert_refused_bytes(text, size, STATUS_TOO_LARGE, "larger than 16 MiB");
    size = 2 * (YAML_FILE_NODES_MAX + 2);
    text[0] = '[';
    for (size_t i = 1; i + 1 < size; i += 2)
        memcpy(text + i, "1,", 2);
    text[size - 1] = ']';
    assert_refused_bytes(text, size, STATUS_TOO_LARGE, "more than 1048576 values");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_schema),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_schedules_without_quotes),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_syntax),
        cmocka_unit_test(test_quoted_text),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
