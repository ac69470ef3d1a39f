/* YAML itself: what of it is taken, and what is refused with which sentence. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void test_empty_files_mean_defaults(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "\n\n", "# only a comment\n", "---\n", "---\n...\n", "~\n",
                                        "\xef\xbb\xbf#BOM\n", "%YAML 1.1\n---\n", "{}",
                                        "cluster:\nserver:\n  http:\n"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct outcome outcome = accepted(texts[i]);
        assert_string_equal(outcome.config->cluster.data_dir, "./chronos-data");
        outcome_deinit(&outcome);
    }
}

static void test_styles_mean_the_same(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "cluster:\n  node_id: a-1\n",
        "cluster: {node_id: a-1}",
        "\"cluster\": {'node_id': \"a-1\"}",
        "cluster:\r\n  node_id: a-1 # comment\r\n",
        "\xef\xbb\xbf\ncluster:\n      node_id:\n        a-1\n",
        "? cluster\n: node_id: >-\n    a-1\n",
        "cluster:\n  node_id: \"\\u0061-1\"\n",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct outcome outcome = accepted(texts[i]);
        assert_string_equal(outcome.config->cluster.node_id, "a-1");
        outcome_deinit(&outcome);
    }
}

static void test_structure_is_refused(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"cluster:\n\tnode_id: a\n", "chronos.yaml:2: a tab in the indentation; use spaces"},
        {"cluster:\n  node_id: a\n\tdata_dir: b\n", "chronos.yaml:3: cluster: a tab in the indentation; use spaces"},
        {"cluster:\n  node_id: \"a\"\n  \tdata_dir: b\n", "chronos.yaml:3: cluster: a tab in the indentation; use "
                                                          "spaces"},
        {"cluster:\n  node_id: a\n  data_dir: b\n  node_id: c\n",
         "chronos.yaml:4: cluster.node_id: the key stands twice, first in line 2"},
        {"cluster:\n  node_id: &id a\n",
         "chronos.yaml:2: cluster.node_id: anchors (&id) are not supported; write the value out where it is needed"},
        {"cluster: *base\n", "chronos.yaml:1: cluster: aliases (*base) are not supported; write the value out"},
        {"server:\n  http: {address: *base}\n",
         "chronos.yaml:2: server.http.address: aliases (*base) are not supported; write the value out"},
        {"plugins: {load: [*base]}", "chronos.yaml:1: plugins.load.0: aliases (*base) are not supported; write the "
                                     "value out"},
        {"plugins: {load: [{path: *base}]}",
         "chronos.yaml:1: plugins.load.0.path: aliases (*base) are not supported; write the value out"},
        {"cluster: {raft: {peers: [*base]}}",
         "chronos.yaml:1: cluster.raft.peers.0: aliases (*base) are not supported; write the value out"},
        {"executors: {shell: *base}", "chronos.yaml:1: executors.shell: aliases (*base) are not supported; write the "
                                      "value out"},
        {"*base", "chronos.yaml:1: aliases (*base) are not supported; write the value out"},
        {"cluster:\n  node_id: !!str a\n",
         "chronos.yaml:2: cluster.node_id: tags (!!str) are not supported; write the plain value"},
        {"cluster: !local {}", "chronos.yaml:1: cluster: tags (!local) are not supported; write the plain value"},
        {"plugins: {load: !x []}", "chronos.yaml:1: plugins.load: tags (!x) are not supported; write the plain value"},
        {"!k cluster: {}", "chronos.yaml:1: tags (!k) are not supported; write the plain value"},
        {"cluster:\n  <<: {node_id: a}\n",
         "chronos.yaml:2: cluster: merge keys (<<) are not supported; write the keys out"},
        {"cluster: {}\n---\nserver: {}\n",
         "chronos.yaml:2: a second document begins here (---); a configuration is one document"},
        {"%TAG ! tag:example.org,2000:\n---\ncluster: {}\n", "chronos.yaml:1: %TAG directives are not supported"},
        {"? [a]\n: b\n", "chronos.yaml:1: a key must be plain text, not a list or a group of keys"},
        {"cluster:\n  ? {a: b}\n  : c\n", "chronos.yaml:2: cluster: a key must be plain text, not a list or a group of "
                                          "keys"},
        {"cluster:\n  ? *a\n  : c\n", "chronos.yaml:2: cluster: a key must be plain text, not an alias"},
        {"executors: {http: {8080: a}}",
         "chronos.yaml:1: executors.http: the key \"8080\" is not text; put it in quotes if it is meant so"},
        {"executors: {http: {1.5e3: a}}",
         "chronos.yaml:1: executors.http: the key \"1.5e3\" is not text; put it in quotes if it is meant so"},
        {"executors: {http: {true: a}}",
         "chronos.yaml:1: executors.http: the key \"true\" is not text; put it in quotes if it is meant so"},
        {"executors: {http: {~: a}}",
         "chronos.yaml:1: executors.http: the key \"~\" is not text; put it in quotes if it is meant so"},
        {"executors:\n  http:\n    ?\n    : a\n",
         "chronos.yaml:3: executors.http: the key \"\" is not text; put it in quotes if it is meant so"},
        {"executors: {http: {\"a\\0b\": c}}", "chronos.yaml:1: executors.http: the key \"a?b\" holds a NUL character"},
        {"cluster:\n  node_id: \"a\\0b\"\n", "chronos.yaml:2: cluster.node_id: the value holds a NUL character"},
        {"- a\n", "chronos.yaml:1: a configuration is a group of keys (\"cluster:\", \"server:\", ...), not a list"},
        {"\nhello\n", "chronos.yaml:2: a configuration is a group of keys (\"cluster:\", \"server:\", ...), "
                      "not a single value"},
        {"cluster: 5\n", "chronos.yaml:1: cluster: must be a group of keys, not a single value"},
        {"cluster: {raft: [a]}\n", "chronos.yaml:1: cluster.raft: must be a group of keys, not a list"},
    };
    assert_all_refused(refusals, COUNT(refusals));
}

static void test_syntax_errors_say_what_to_do(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"cluster:\n  node_id: a\n   data_dir: b\n",
         "chronos.yaml:3: cluster: not YAML: mapping values are not allowed in this context; check the indentation, "
         "and put "
         "a value with \": \" in it in quotes"},
        {"cluster:\n    node_id: a\n  data_dir: b\n",
         "chronos.yaml:3: not YAML: did not find expected key while parsing a block mapping that begins in line 1; "
         "keys of "
         "one group must stand in the same column"},
        {"cluster:\n  node_id: \"a\n",
         "chronos.yaml:3: cluster: not YAML: found unexpected end of stream while scanning a quoted scalar that begins "
         "in "
         "line 2; a quote or bracket is not closed"},
        {"cluster: {node_id: a\nserver: b}",
         "chronos.yaml:2: cluster: not YAML: did not find expected ',' or '}' while parsing a flow mapping that begins "
         "in "
         "line 1; a bracket is not closed, or a comma is missing"},
        {"cluster: @a", "chronos.yaml:1: not YAML: found character that cannot start any token; put a value that "
                        "begins with "
                        "%, @ or ` in quotes"},
        {"cluster: \"\\q\"", "chronos.yaml:1: not YAML: found unknown escape character; in double quotes a backslash "
                             "is "
                             "written twice, in single quotes once"},
        {"cluster: {}\nserver\nlogging: {}\n",
         "chronos.yaml:3: not YAML: could not find expected ':' while scanning a simple key that begins in line 2; a "
         "key "
         "needs a colon and a space behind it"},
        {"cluster: - a", "chronos.yaml:1: not YAML: block sequence entries are not allowed in this context; put a list "
                         "below "
                         "its key, one \"- \" a line"},
        {"cluster: {}\nserver: {}\nlogging: \x01\n", "chronos.yaml:3: not YAML: control characters are not allowed"},
    };
    assert_all_refused(refusals, COUNT(refusals));
}

static void test_bytes_that_are_not_utf8(void **state)
{
    (void)state;
    assert_refused("cluster:\n  node_id: a\xff\n", "chronos.yaml:2: not UTF-8: byte 0xff; save the file as UTF-8");
    assert_refused("\xc3", "chronos.yaml:1: not UTF-8: byte 0xc3; save the file as UTF-8");
    struct config_sources sources = {.file = "chronos.yaml"};
    static const char utf16[] = "\xff\xfe" "c\0";
    struct outcome outcome = outcome_of(&sources, utf16, sizeof utf16);
    assert_string_equal(outcome.messages[0], "chronos.yaml:1: not UTF-8: byte 0xff; save the file as UTF-8");
    outcome_deinit(&outcome);
    static const char nul[] = "cluster: {}\n\0";
    outcome = outcome_of(&sources, nul, sizeof nul - 1);
    assert_string_equal(outcome.messages[0], "chronos.yaml:2: not YAML: control characters are not allowed");
    outcome_deinit(&outcome);
}

/* "executors: {shell: {a: {a: ... 1 ...}}}" with `depth` levels, the outermost included. */
static char *nested(int depth)
{
    struct buffer text;
    buffer_init(&text, 1 << 16);
    buffer_append_string(&text, "executors: {shell: ");
    for (int i = 2; i < depth; i++)
        buffer_append_string(&text, i + 1 < depth ? "{a: " : "[");
    for (int i = depth; i > 2; i--)
        buffer_append_string(&text, i == depth ? "]" : "}");
    buffer_append_string(&text, "}");
    return buffer_steal(&text, NULL);
}

static void test_depth_limit(void **state)
{
    (void)state;
    char *text = nested(YAML_DEPTH_MAX);
    struct outcome outcome = accepted(text);
    outcome_deinit(&outcome);
    free(text);
    text = nested(YAML_DEPTH_MAX + 1);
    assert_refused(text, "chronos.yaml:1: executors.shell.a.a.a.a.a.a.a.a.a.a.a.a.a.a: nested deeper than 16 levels");
    free(text);
    text = nested(5000);
    assert_refused(text, "chronos.yaml:1: executors.shell.a.a.a.a.a.a.a.a.a.a.a.a.a.a: nested deeper than 16 levels");
    free(text);
}

static void test_size_limit(void **state)
{
    (void)state;
    struct config_sources sources = {.file = "chronos.yaml"};
    char *text = malloc(YAML_SIZE_MAX + 1);
    assert_non_null(text);
    memset(text, '#', YAML_SIZE_MAX + 1);
    struct outcome outcome = outcome_of(&sources, text, YAML_SIZE_MAX);
    assert_int_equal(outcome.status, STATUS_OK);
    outcome_deinit(&outcome);
    outcome = outcome_of(&sources, text, YAML_SIZE_MAX + 1);
    assert_int_equal(outcome.status, STATUS_TOO_LARGE);
    assert_string_equal(outcome.messages[0], "chronos.yaml: larger than 1048576 bytes");
    outcome_deinit(&outcome);
    free(text);
}

static void test_count_limit(void **state)
{
    (void)state;
    struct buffer text;
    buffer_init(&text, YAML_SIZE_MAX);
    buffer_append_string(&text, "executors: {shell: {argv: [");
    for (int i = 0; i < YAML_NODES_MAX - 4; i++) /* four stand above them */
        buffer_append_string(&text, "a,");
    size_t size = text.size;
    buffer_append_string(&text, "]}}");
    struct outcome outcome = accepted(text.data);
    outcome_deinit(&outcome);
    buffer_consume(&text, 0);
    text.size = size;
    buffer_append_string(&text, "a]}}");
    outcome = outcome_of_text(text.data);
    assert_int_equal(outcome.status, STATUS_TOO_LARGE);
    assert_string_equal(outcome.messages[0], "chronos.yaml:1: executors.shell.argv.65532: more than 65536 values in "
                                             "one file");
    outcome_deinit(&outcome);
    buffer_deinit(&text);
}

static void test_all_problems_are_reported_up_to_a_limit(void **state)
{
    (void)state;
    struct outcome outcome = outcome_of_text("cluster:\n  node_id: \"\"\n  nodeid: a\nlogging: {level: loud}\nfoo: &a "
                                             "1\n");
    assert_int_equal(outcome.count, 5);
    assert_string_equal(outcome.messages[0], "chronos.yaml:5: foo: anchors (&a) are not supported; write the value out "
                                             "where "
                                             "it is needed");
    assert_string_equal(outcome.messages[1], "chronos.yaml:2: cluster.node_id: must not be empty");
    assert_string_equal(outcome.messages[2], "chronos.yaml:3: cluster.nodeid: unknown key; did you mean \"node_id\"?");
    assert_string_equal(outcome.messages[3], "chronos.yaml:4: logging.level: \"loud\" is not one of debug, info, warn, "
                                             "error");
    assert_non_null(strstr(outcome.messages[4], "chronos.yaml:5: foo: unknown key; known here are: cluster, server, "));
    assert_string_equal(outcome.err.field, "foo");
    outcome_deinit(&outcome);

    struct buffer text;
    buffer_init(&text, YAML_SIZE_MAX);
    for (int i = 0; i < 2000; i++)
        buffer_appendf(&text, "unknown_%d: 1\n", i);
    outcome = outcome_of_text(text.data);
    assert_int_equal(outcome.count, CONFIG_PROBLEMS_MAX);
    outcome_deinit(&outcome);
    buffer_deinit(&text);
}

/* What a user wrote goes to terminals and logs: no control characters, never longer than a line. */
static void test_messages_are_safe_to_print(void **state)
{
    (void)state;
    assert_refused("\"a\\x1b[31m\\nb\": 1\n",
                   "chronos.yaml:1: a?[31m?b: unknown key; known here are: cluster, server, storage, plugins, "
                   "executors, "
                   "scheduler, output, metrics, logging, auth, security");
    char text[600];
    (void)snprintf(text, sizeof text, "cluster:\n  node_id: \"%0100d\xc3\xa4\"\n", 0);
    assert_refused(text, "chronos.yaml:2: cluster.node_id: is longer than 63 bytes");
    (void)snprintf(text, sizeof text, "logging: {level: \"%067d\xc3\xa4z\"}\n", 0);
    struct outcome outcome = outcome_of_text(text);
    assert_non_null(strstr(outcome.messages[0], "00...\" is not one of"));
    outcome_deinit(&outcome);
    struct buffer deep;
    buffer_init(&deep, 1 << 16);
    buffer_append_string(&deep, "executors: {shell: ");
    for (int i = 0; i < 10; i++)
        buffer_appendf(&deep, "{%0100d_: ", i);
    buffer_append_string(&deep, "&a 1}}}}}}}}}}}");
    outcome = outcome_of_text(deep.data);
    assert_int_equal(outcome.count, 1);
    assert_true(strlen(outcome.messages[0]) < 400);
    assert_non_null(strstr(outcome.messages[0], "anchors (&a) are not supported"));
    outcome_deinit(&outcome);
    buffer_deinit(&deep);
}

static void test_unknown_keys_name_the_nearest_and_the_place(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"clusterr: {}", "chronos.yaml:1: clusterr: unknown key; did you mean \"cluster\"?"},
        {"cluster:\n  raft:\n    adress: a\n", "chronos.yaml:3: cluster.raft.adress: unknown key; did you mean "
                                               "\"address\"?"},
        {"cluster:\n  election_timeout: 1s\n",
         "chronos.yaml:2: cluster.election_timeout: unknown key; \"election_timeout\" belongs under cluster.raft"},
        {"election_timeout: 1s\n",
         "chronos.yaml:1: election_timeout: unknown key; \"election_timeout\" belongs under cluster.raft"},
        {"server:\n  address: a\n",
         "chronos.yaml:2: server.address: unknown key; \"address\" belongs under cluster.raft or server.http"},
        {"raft: {}\n", "chronos.yaml:1: raft: unknown key; \"raft\" belongs under cluster"},
        {"server: {logging: {}}\n", "chronos.yaml:1: server.logging: unknown key; \"logging\" belongs under the top "
                                    "level"},
        {"server: {xyz: {}}\n", "chronos.yaml:1: server.xyz: unknown key; known here are: http, shutdown_timeout"},
        {"cluster.node_id: a\n", "chronos.yaml:1: cluster.node_id: keys are nested, not joined by dots: write "
                                 "\"cluster:\" "
                                 "and below it, indented, \"node_id:\""},
        {"cluster: {raft.address: a}\n", "chronos.yaml:1: cluster.raft.address: keys are nested, not joined by dots: "
                                         "write "
                                         "\"raft:\" and below it, indented, \"address:\""},
        {"\"*\": {}\n", "chronos.yaml:1: *: unknown key; known here are: cluster, server, storage, plugins, executors, "
                        "scheduler, output, metrics, logging, auth, security"},
        {"\"\": {}\n", "chronos.yaml:1: unknown key; known here are: cluster, server, storage, plugins, executors, "
                       "scheduler, output, metrics, logging, auth, security"},
        {"Cluster: {}\n", "chronos.yaml:1: Cluster: unknown key; did you mean \"cluster\"?"},
    };
    assert_all_refused(refusals, COUNT(refusals));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_files_mean_defaults),
        cmocka_unit_test(test_styles_mean_the_same),
        cmocka_unit_test(test_structure_is_refused),
        cmocka_unit_test(test_syntax_errors_say_what_to_do),
        cmocka_unit_test(test_bytes_that_are_not_utf8),
        cmocka_unit_test(test_depth_limit),
        cmocka_unit_test(test_size_limit),
        cmocka_unit_test(test_count_limit),
        cmocka_unit_test(test_all_problems_are_reported_up_to_a_limit),
        cmocka_unit_test(test_messages_are_safe_to_print),
        cmocka_unit_test(test_unknown_keys_name_the_nearest_and_the_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
