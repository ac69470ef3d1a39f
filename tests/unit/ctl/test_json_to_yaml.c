#include "ctl/json_to_yaml.h"

#include <stdio.h>

#include "base/id.h"
#include "base/json.h"
#include "check.h"
#include "ctl/yaml_to_json.h"

static void to_yaml(const cJSON *value, struct buffer *out)
{
    struct error err;
    buffer_init(out, 1 << 20);
    if (json_to_yaml(value, out, &err) != STATUS_OK)
        fail_msg("%s", err.message);
}

/* There and back, on one document. */
static void assert_survives(const cJSON *value)
{
    struct buffer yaml, before, after;
    cJSON *documents;
    struct error err;
    to_yaml(value, &yaml);
    buffer_init(&before, 1 << 20);
    json_print(&before, value);
    if (yaml_to_json(yaml.data, yaml.size, "there", &documents, &err) != STATUS_OK)
        fail_msg("%s of %s from %s", err.message, yaml.data, before.data);
    buffer_init(&after, 1 << 20);
    json_print(&after, cJSON_GetArrayItem(documents, 0));
    if (strcmp(before.data, after.data) != 0)
        fail_msg("%s became %s by way of %s", before.data, after.data, yaml.data);
    cJSON_Delete(documents);
    buffer_deinit(&yaml);
    buffer_deinit(&before);
    buffer_deinit(&after);
}

static void assert_yaml(const char *json, const char *expected)
{
    cJSON *value;
    struct error err;
    struct buffer yaml;
    assert_int_equal(json_parse(json, strlen(json), &value, &err), STATUS_OK);
    to_yaml(value, &yaml);
    assert_string_equal(yaml.data, expected);
    buffer_deinit(&yaml);
    assert_survives(value);
    cJSON_Delete(value);
}

static void test_values(void **state)
{
    (void)state;
    assert_yaml("{\"a\":1,\"b\":[true,null,1.5],\"c\":{},\"d\":[],\"e\":{\"f\":\"g\"}}",
                "a: 1\nb:\n- true\n- null\n- 1.5\nc: {}\nd: []\ne:\n  f: g\n");
    assert_yaml("{\"schedule\":\"*/5 * * * *\"}", "schedule: '*/5 * * * *'\n");
    assert_yaml("{\"schedule\":\"0 9 * * 1-5\"}", "schedule: 0 9 * * 1-5\n");
    assert_yaml("{\"command\":\"a\\nb\\n\"}", "command: |\n  a\n  b\n");
}

/* What any reader of YAML would take for something else stands in quotes. */
static void test_ambiguous(void **state)
{
    static const char *const texts[] = {"", "~", "null", "true", "False", "yes", "NO", "on", "off", "y", "5", "-5",
                                        "+5", "1.5",
                                        "1e3", ".5", ".inf", ".nan", "0x1f", "0o17", "017", "0b1", "12:30", "12:30:45",
                                        "2027-01-01", "1_000", "<<", "=", "2027-01-01T00:00:00Z"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        cJSON *text = cJSON_CreateString(texts[i]);
        struct buffer yaml;
        to_yaml(text, &yaml);
        if (yaml.data[0] != '"' && strncmp(yaml.data, "--- \"", 5) != 0)
            fail_msg("%s became %s", texts[i], yaml.data);
        buffer_deinit(&yaml);
        assert_survives(text);
        cJSON_Delete(text);
    }
}

static void test_no_control_characters(void **state)
{
    const char *text = "a\x1b[31m\x07\xc2\x9b\xe2\x80\xae\x7f" "b\xc3\xa9";
    cJSON *value = cJSON_CreateString(text);
    struct buffer yaml;
    (void)state;
    to_yaml(value, &yaml);
    assert_null(strchr(yaml.data, 0x1b));
    assert_null(strchr(yaml.data, 0x07));
    assert_null(strchr(yaml.data, 0x7f));
    assert_null(strstr(yaml.data, "\xc2\x9b"));
    assert_null(strstr(yaml.data, "\xe2\x80\xae"));
    buffer_deinit(&yaml);
    assert_survives(value);
    cJSON_Delete(value);
}

/* Strings of the pieces that YAML finds difficult. */
static void test_random_strings(void **state)
{
    static const char *const pieces[] = {" ", "\n", "  ", "\t", "#", ": ", ":", "- ", "-", "'", "\"", "\\", "a", "b c",
                                         "*", "&", "!",
                                         "%", "@", "`", "{", "}", "[", "]", ",", "|", ">", "?", "---", "...", "\r",
                                             "\xc3\xa9",
                                         "\xe2\x80\xa8", "\xc2\x85", "\xf0\x9f\x98\x80", "\xef\xbb\xbf", "0", "1", ".",
                                             "~", "null",
                                         "\x01", "\x7f"};
    struct random random;
    (void)state;
    random_seed(&random, 20270101);
    for (int i = 0; i < 20000; i++) {
        char text[128] = "", key[128] = "";
        for (uint64_t n = random_below(&random, 8); n > 0; n--)
            strcat(text, pieces[random_below(&random, sizeof pieces / sizeof *pieces)]);
        for (uint64_t n = random_below(&random, 3); n > 0; n--)
            strcat(key, pieces[random_below(&random, sizeof pieces / sizeof *pieces)]);
        cJSON *object = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(object, "list");
        assert_non_null(cJSON_AddStringToObject(object, key[0] ? key : "key", text));
        assert_true(cJSON_AddItemToArray(list, cJSON_CreateString(text)));
        assert_survives(object);
        cJSON_Delete(object);
    }
}

static void test_limit(void **state)
{
    struct buffer out;
    struct error err;
    cJSON *value = cJSON_CreateString("longer than sixteen bytes, surely");
    (void)state;
    buffer_init(&out, 16);
    assert_int_equal(json_to_yaml(value, &out, &err), STATUS_TOO_LARGE);
    buffer_deinit(&out);
    cJSON_Delete(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),         cmocka_unit_test(test_ambiguous),
            cmocka_unit_test(test_no_control_characters),
        cmocka_unit_test(test_random_strings), cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
