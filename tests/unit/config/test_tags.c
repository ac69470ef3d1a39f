/* cluster.tags: what a node says of itself. */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void assert_tags(struct outcome outcome, const char *expected)
{
    char all[1024] = "";
    assert_int_equal(outcome.status, STATUS_OK);
    for (uint32_t i = 0; i < outcome.config->cluster.tag_count; i++) {
        strcat(all, i > 0 ? " " : "");
        strcat(all, outcome.config->cluster.tags[i]);
    }
    assert_string_equal(all, expected);
    outcome_deinit(&outcome);
}

static void test_they_are_kept_sorted(void **state)
{
    (void)state;
    assert_tags(accepted(""), "");
    assert_tags(accepted("cluster: {tags: {}}"), "");
    assert_tags(accepted("cluster:\n  tags:\n    # disk: ssd\n"), "");
    assert_tags(accepted("cluster: {tags: {zone: a, disk: ssd}}"), "disk=ssd zone=a");
    assert_tags(accepted("cluster:\n  tags:\n    rack: 12\n    example.org/gpu: \"\"\n    on: true\n    a.b: x=y\n"),
                "a.b=x=y example.org/gpu= on=true rack=12");
}

static void test_the_environment_replaces_those_of_the_file(void **state)
{
    (void)state;
    static const char file[] = "cluster: {tags: {zone: a, disk: ssd}}";
    assert_tags(outcome_of_variable("CHRONOS_CLUSTER_TAGS=zone=b, disk=hdd", file), "disk=hdd zone=b");
    assert_tags(outcome_of_variable("CHRONOS_CLUSTER_TAGS=a=b=c,b=", file), "a=b=c b=");
    assert_tags(outcome_of_variable("CHRONOS_CLUSTER_TAGS=", file), "");
    assert_variable_refused("CHRONOS_CLUSTER_TAGS=disk", "CHRONOS_CLUSTER_TAGS: cluster.tags: \"disk\" is not a tag; write "
                                                         "key=value, with commas between several");
    assert_variable_refused("CHRONOS_CLUSTER_TAGS==a", "CHRONOS_CLUSTER_TAGS: cluster.tags: \"\" is not a key; use 1 to 63 letters, "
                                                       "digits, \".\", \"_\", \"-\" and \"/\"");
    assert_variable_refused("CHRONOS_CLUSTER_TAGS=a=1,a.b=2,a=3", "CHRONOS_CLUSTER_TAGS: cluster.tags: \"a\" is given twice");
}

static void test_wrong_ones(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"cluster: {tags: ssd}", "chronos.yaml:1: cluster.tags: must be a map, not a single value; write {disk: ssd}, or "
                                 "\"disk: ssd\" a line below it"},
        {"cluster: {tags: [disk=ssd]}", "chronos.yaml:1: cluster.tags: must be a map, not a list; write {disk: ssd}, or "
                                        "\"disk: ssd\" a line below it"},
        {"cluster:\n  tags:\n    disk: [ssd]\n", "chronos.yaml:3: cluster.tags.disk: must be a single value, not a list"},
        {"cluster:\n  tags:\n    disk:\n", "chronos.yaml:3: cluster.tags.disk: has no value; write one, or leave the line out to "
                                           "take the default"},
        {"cluster: {tags: {\"a b\": c}}", "chronos.yaml:1: cluster.tags.a b: \"a b\" is not a key; use 1 to 63 letters, digits, "
                                          "\".\", \"_\", \"-\" and \"/\""},
        {"cluster: {tags: {a=b: c}}", "chronos.yaml:1: cluster.tags.a=b: \"a=b\" is not a key; use 1 to 63 letters, digits, "
                                      "\".\", \"_\", \"-\" and \"/\""},
        {"cluster: {tags: {a: \"b\\nc\"}}", "chronos.yaml:1: cluster.tags.a: \"b?c\" holds a line break or another control "
                                            "character"},
    };
    assert_all_refused(refusals, COUNT(refusals));
}

/* `count` tags, the first with a key and a value of these sizes. */
static struct outcome outcome_of_sizes(uint32_t count, size_t key_size, size_t value_size)
{
    char text[4096], line[64], key[NODE_TAG_KEY_MAX + 2] = "", value[NODE_TAG_VALUE_MAX + 2] = "";
    memset(key, 'a', key_size);
    memset(value, 'b', value_size);
    (void)snprintf(text, sizeof text, "cluster:\n  tags:\n    %s: %s\n", key, value);
    for (uint32_t i = 1; i < count; i++) {
        (void)snprintf(line, sizeof line, "    k%u: v\n", i);
        strcat(text, line);
    }
    return outcome_of_text(text);
}

static void assert_too_much(struct outcome outcome, const char *words)
{
    assert_int_equal(outcome.status, STATUS_INVALID);
    if (strstr(outcome.messages[0], words) == NULL)
        fail_msg("%s", outcome.messages[0]);
    outcome_deinit(&outcome);
}

static void test_limits(void **state)
{
    (void)state;
    struct outcome outcome = outcome_of_sizes(NODE_TAGS_MAX, NODE_TAG_KEY_MAX, NODE_TAG_VALUE_MAX);
    assert_int_equal(outcome.status, STATUS_OK);
    assert_int_equal(outcome.config->cluster.tag_count, NODE_TAGS_MAX);
    outcome_deinit(&outcome);
    assert_too_much(outcome_of_sizes(NODE_TAGS_MAX + 1, 1, 1), "has 17 tags; at most 16 are allowed");
    assert_too_much(outcome_of_sizes(1, NODE_TAG_KEY_MAX + 1, 1), "is not a key; use 1 to 63");
    assert_too_much(outcome_of_sizes(1, 1, NODE_TAG_VALUE_MAX + 1), "the value is longer than 63 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_they_are_kept_sorted),
        cmocka_unit_test(test_the_environment_replaces_those_of_the_file),
        cmocka_unit_test(test_wrong_ones),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
