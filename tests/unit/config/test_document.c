/* What is written about the keys agrees with them: docs/configuration.md and what lies in configs/. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

static const char table_begin[] = "<!-- keys: begin (generated; `ctest -R config_document --output-on-failure` prints "
                                  "it anew) -->\n",
                  table_end[] = "<!-- keys: end -->\n",
                  man_begin[] = ".\\\" keys: begin (generated; `ctest -R config_document --output-on-failure` prints them anew)\n",
                  man_end[] = ".\\\" keys: end\n";

static struct buffer read_whole(const char *path)
{
    struct buffer text;
    struct error err;
    buffer_init(&text, YAML_SIZE_MAX);
    if (file_read(path, &text, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return text;
}

/* Between the marks of a file stands what is generated now. */
static void expect_between(const char *path, const char *first, const char *last, void (*generate)(struct buffer *out))
{
    struct buffer text = read_whole(path), present;
    buffer_init(&present, 1 << 20);
    generate(&present);
    assert_int_equal(present.failed, STATUS_OK);
    const char *begin = strstr(text.data, first), *end = strstr(text.data, last);
    assert_non_null(begin);
    assert_non_null(end);
    begin += strlen(first);
    bool same = end > begin && (size_t)(end - begin) == present.size && memcmp(begin, present.data, present.size) == 0;
    if (!same) {
        (void)printf("%s", present.data); /* more than a message of the test may hold */
        fail_msg("%s is out of date; between the marks belongs what stands above", path);
    }
    buffer_deinit(&present);
    buffer_deinit(&text);
}

static void test_documentation_has_the_present_table(void **state)
{
    (void)state;
    expect_between(CONFIG_DOCUMENTATION, table_begin, table_end, config_document);
}

static void test_the_manual_page_has_the_present_keys(void **state)
{
    (void)state;
    expect_between(CONFIG_MAN, man_begin, man_end, config_document_man);
}

static void test_the_table_names_every_key(void **state)
{
    (void)state;
    struct buffer table;
    buffer_init(&table, 1 << 20);
    config_document(&table);
    size_t lines = 0;
    for (const char *at = table.data; (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(lines, config_key_count + 2);
    static const char *const rows[] = {
        "| `cluster.node_id` | name | the host's name | `CHRONOS_CLUSTER_NODE_ID` | ",
        "| `server.http.read_timeout` | duration, 100ms to 1h | `30s` | `CHRONOS_SERVER_HTTP_READ_TIMEOUT` | ",
        "| `server.http.unix_socket` | path | none | ",
        "| `cluster.raft.peers` | list of addresses | none | ",
        "| `storage.min_free` | size, 0 to 1024TiB | `256MiB` | ",
        "| `storage.<name>` | group | the plugin's | in the file only | ",
        "| `scheduler.catchup_window` | duration, 10s to 3650d or `unlimited` | `unlimited` | ",
        "| `scheduler.catchup_limit` | number, 1 to 10000 | `100` | ",
        "| `scheduler.default_retry_policy.jitter` | decimal, 0 to 1 | `0.1` | ",
        "| `logging.level` | `debug`, `info`, `warn`, `error` | `info` | ",
        "| `metrics.enabled` | true or false | `true` | ",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strstr(table.data, rows[i]))
            fail_msg("missing: %s", rows[i]);
    for (uint32_t i = 0; i < config_key_count; i++) {
        const char *help = config_keys[i].help;
        assert_int_equal(help[strlen(help) - 1], '.'); /* a sentence */
        assert_null(strchr(help, '|'));
    }
    buffer_deinit(&table);
}

/* Its limit is the caller's: a small buffer ends as a failed one. */
static void test_a_table_that_does_not_fit(void **state)
{
    (void)state;
    struct buffer table;
    buffer_init(&table, 100);
    config_document(&table);
    assert_int_equal(table.failed, STATUS_TOO_LARGE);
    buffer_deinit(&table);
}

/* As a user would do it: "#" before an option taken away, prose ("# ") left. */
static void uncomment(struct buffer *text)
{
    size_t kept = 0;
    bool at_begin = true;
    for (size_t i = 0; i < text->size; i++) {
        char c = text->data[i];
        char next = i + 1 < text->size ? text->data[i + 1] : '\0';
        bool is_option = at_begin && c == '#' && next >= 'a' && next <= 'z';
        at_begin = c == '\n' || (at_begin && c == ' ');
        if (!is_option)
            text->data[kept++] = c;
    }
    text->size = kept;
    text->data[kept] = '\0';
}

static struct outcome sample(bool uncommented)
{
    struct buffer text = read_whole(CONFIG_SAMPLE);
    if (uncommented)
        uncomment(&text);
    struct outcome outcome = accepted(text.data);
    buffer_deinit(&text);
    return outcome;
}

static void test_the_sample_is_valid_as_it_stands_and_uncommented(void **state)
{
    (void)state;
    struct outcome outcome = sample(false);
    outcome_deinit(&outcome);
    outcome = sample(true);
    for (uint32_t i = 0; i < config_key_count; i++)
        if (!config_key_is_wildcard(&config_keys[i]) && config_line_of(outcome.config, config_keys[i].path) == 0)
            fail_msg("configs/chronos.yaml does not show %s", config_keys[i].path);
    outcome_deinit(&outcome);
}

/* The embedded text is the file, byte for byte, and leaves out only what is computed. */
static void test_defaults_are_complete(void **state)
{
    (void)state;
    struct buffer text = read_whole(CONFIG_DEFAULTS);
    assert_int_equal(text.size, config_defaults_text_size);
    assert_memory_equal(text.data, config_defaults_text, text.size);
    assert_int_equal(config_defaults_text[config_defaults_text_size], '\0');
    struct outcome outcome = accepted(text.data);
    for (uint32_t i = 0; i < config_key_count; i++) {
        bool written = config_line_of(outcome.config, config_keys[i].path) > 0;
        if (written != !config_keys[i].computed)
            fail_msg("configs/defaults.yaml: %s", config_keys[i].path);
    }
    outcome_deinit(&outcome);
    buffer_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documentation_has_the_present_table),
        cmocka_unit_test(test_the_manual_page_has_the_present_keys),
        cmocka_unit_test(test_the_table_names_every_key),
        cmocka_unit_test(test_a_table_that_does_not_fit),
        cmocka_unit_test(test_the_sample_is_valid_as_it_stands_and_uncommented),
        cmocka_unit_test(test_defaults_are_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
