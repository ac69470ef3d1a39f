#include "ctl/manifest.h"

#include <stdio.h>
#include <unistd.h>

#include "base/json.h"
#include "check.h"
#include "ctl/invocation.h"
#include "ctl/job_flags.h"

static void assert_jobs(const char *label, const char *text, size_t count, const char *first_label)
{
    struct manifest manifest = {.files = NULL};
    struct error err;
    if (manifest_add(&manifest, text, strlen(text), label, &err) != STATUS_OK)
        fail_msg("%s: %s", text, err.message);
    assert_int_equal(manifest.count, count);
    assert_string_equal(manifest.jobs[0].label, first_label);
    manifest_deinit(&manifest);
}

static void assert_refused(const char *label, const char *text, const char *message)
{
    struct manifest manifest = {.files = NULL};
    struct error err = {.code = STATUS_OK};
    if (manifest_add(&manifest, text, strlen(text), label, &err) == STATUS_OK)
        fail_msg("not refused: %s", text);
    assert_contains(err.message, message);
    manifest_deinit(&manifest);
}

static void test_forms(void **state)
{
    (void)state;
    assert_jobs("a.yaml", "name: x\n", 1, "a.yaml:1: job \"x\"");
    assert_jobs("a.yaml", "\n- name: x\n- name: y\n", 2, "a.yaml:2: job \"x\"");
    assert_jobs("a.yaml", "jobs:\n- name: x\n- name: y\nnext_cursor: null\n", 2, "a.yaml:2: job \"x\"");
    assert_jobs("a.yaml", "name: x\n---\n- name: y\n- schedule: z\n---\njobs: [{name: w}]\n", 4, "a.yaml:1: job \"x\"");
    assert_jobs("a.json", "{\"name\":\"x\"}", 1, "a.json: job \"x\"");
    assert_jobs("-", "\n [\t{\"name\":\"\\ud83d\\ude00\"}]", 1, "-: job \"\xf0\x9f\x98\x80\"");
    assert_jobs("-", "{name: x}", 1, "-:1: job \"x\""); /* YAML's flow style */
    assert_jobs("-", "schedule: '@daily'\n", 1, "-:1");
    assert_jobs("-", "\n{\"name\":\"x\"}\n\n{\"name\":\"y\"}\r\n", 2, "-:2: job \"x\"");
    assert_jobs("a.ndjson", "{\"name\":\"x\"}\n", 1, "a.ndjson:1: job \"x\"");
    assert_jobs("a.jsonl", "{\"name\":\"x\"}\n[{\"name\":\"y\"}]", 2, "a.jsonl:1: job \"x\"");
    assert_jobs("-", "{\"name\": \"x\"}\n---\n{\"name\": \"y\"}\n", 2, "-:1: job \"x\""); /* YAML in JSON's style */
    assert_jobs("-", "{\"name\":\n\"x\"}\n", 1, "-: job \"x\"");
}

static void test_refused(void **state)
{
    (void)state;
    assert_refused("a.yaml", "", "a.yaml: there is no job in it");
    assert_refused("a.yaml", "[]", "there is no job in it");
    assert_refused("a.yaml", "jobs: []", "there is no job in it");
    assert_refused("a.yaml", "hello", "a.yaml: a job is an object");
    assert_refused("a.yaml", "- name: x\n- - name: y\n",
                   "a.yaml:2: a job is an object (name: ..., schedule: ...), not a list");
    assert_refused("a.yaml", "jobs: x\n", "\"jobs\" is a list");
    assert_refused("a.yaml", "jobs: [{name: x}]\nname: y\n", "what is \"name\" beside \"jobs\"?");
    assert_refused("a.json", "{name: x}", "a.json: ");
    assert_refused("-", "{\"name\": \"x\",}}", "-: ");
    assert_refused("-", "{\"name\":\"x\"}\n{\"name\":\"y\"", "-:2: column ");
    assert_refused("-", "{\"name\":\"x\"}\n\n5\n", "-: a job is an object");
    assert_refused("a.ndjson", "{\n\"name\":\"x\"}\n", "a.ndjson:1: ");
    assert_refused("a.ndjson", "\n \n", "there is no job in it");
}

static struct arguments parsed(int argc, char **argv)
{
    struct arguments arguments;
    struct error err;
    if (arguments_parse(&chronosctl_commands, argc, argv, &arguments, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return arguments;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static enum status read_two(const char *one, const char *two, bool names, struct error *err, size_t *ret_count)
{
    char directory[] = "/tmp/chronosctl-test.XXXXXX", first[64], second[64];
    struct manifest manifest = {.files = NULL};
    assert_non_null(mkdtemp(directory));
    (void)snprintf(first, sizeof first, "%s/one.yaml", directory);
    (void)snprintf(second, sizeof second, "%s/two.yaml", directory);
    write_file(first, one);
    write_file(second, two);
    char *argv[] = {(char[]){"chronosctl"}, (char[]){"job"}, (char[]){"apply"}, (char[]){"-f"}, first, (char[]){"-f"},
                    second};
    struct arguments arguments = parsed(7, argv);
    enum status status = manifest_read(&arguments, names, &manifest, err);
    *ret_count = manifest.count;
    manifest_deinit(&manifest);
    arguments_deinit(&arguments);
    assert_int_equal(unlink(first), 0);
    assert_int_equal(unlink(second), 0);
    assert_int_equal(rmdir(directory), 0);
    return status;
}

static void test_files(void **state)
{
    struct error err;
    size_t count;
    (void)state;
    assert_int_equal(read_two("name: x\n", "[{name: y}, {name: z}]", true, &err, &count), STATUS_OK);
    assert_int_equal(count, 3);
    assert_int_equal(read_two("name: x\n", "# twice\nname: x\n", true, &err, &count), STATUS_INVALID);
    assert_contains(err.message, "two.yaml:2: job \"x\": the same name as ");
    assert_contains(err.message, "one.yaml:1");
    assert_int_equal(read_two("name: x\n", "schedule: '@daily'\n", true, &err, &count), STATUS_INVALID);
    assert_contains(err.message, "two.yaml:1: the job has no name");
    assert_int_equal(read_two("name: x\n", "jbos: [{name: y}]\n", true, &err, &count), STATUS_INVALID);
    assert_contains(err.message, "the job has no name; did you mean \"jobs\" where \"jbos\" stands?");
    assert_int_equal(read_two("name: x\n", "schedule: '@daily'\nnmae: y\n", true, &err, &count), STATUS_INVALID);
    assert_contains(err.message, "did you mean \"name\" where \"nmae\" stands?");
    assert_int_equal(read_two("name: x\n", "schedule: '@daily'\n", false, &err, &count), STATUS_OK);
    assert_int_equal(read_two("name: x\n", "name: 5\n", true, &err, &count), STATUS_INVALID);
    assert_int_equal(read_two("name: x\n", "name: *\n", true, &err, &count), STATUS_MALFORMED);
    assert_int_equal(count, 0);
}

static void test_missing_file(void **state)
{
    char *argv[] = {(char[]){"chronosctl"}, (char[]){"job"}, (char[]){"apply"}, (char[]){"-f"},
                    (char[]){"/nowhere/jobs.yaml"}};
    struct arguments arguments = parsed(5, argv);
    struct manifest manifest;
    struct error err;
    (void)state;
    assert_int_equal(manifest_read(&arguments, true, &manifest, &err), STATUS_NOT_FOUND);
    assert_contains(err.message, "/nowhere/jobs.yaml");
    arguments_deinit(&arguments);
}

/* --- flags as a document --- */

enum { WORDS_MAX = 48 };

static struct arguments create_flags(const char *line, char copy[1024])
{
    char *words[WORDS_MAX] = {(char[]){"chronosctl"}, (char[]){"job"}, (char[]){"create"}};
    int count = 3;
    assert_true(strlen(line) < 1024);
    memcpy(copy, line, strlen(line) + 1);
    for (char *rest = copy, *word; (word = strsep(&rest, "|")) != NULL;)
        words[count++] = word;
    return parsed(count, words);
}

static void assert_flags(const char *line, const char *document, const char *shorthand, const char *config)
{
    char copy[1024];
    struct arguments arguments = create_flags(line, copy);
    struct executor_flags executor;
    struct buffer out;
    struct error err;
    cJSON *job;
    if (job_flags_document(&arguments, &job, &err) != STATUS_OK)
        fail_msg("%s: %s", line, err.message);
    if (job_flags_executor(&arguments, &executor, &err) != STATUS_OK)
        fail_msg("%s: %s", line, err.message);
    buffer_init(&out, 1 << 16);
    json_print(&out, job);
    assert_string_equal(out.data, document);
    buffer_clear(&out);
    if (config == NULL)
        assert_null(executor.config);
    else
        json_print(&out, executor.config);
    if (config != NULL)
        assert_string_equal(out.data, config);
    if (shorthand == NULL)
        assert_null(executor.shorthand);
    else
        assert_string_equal(executor.shorthand, shorthand);
    executor_flags_deinit(&executor);
    cJSON_Delete(job);
    buffer_deinit(&out);
    arguments_deinit(&arguments);
}

static void test_flags(void **state)
{
    (void)state;
    assert_flags("--name|x|--schedule|0 9 * * *|--command|echo|--env|A=1|--env|B=2=3",
                 "{\"name\":\"x\",\"schedule\":\"0 9 * * *\"}", "command",
                     "{\"command\":\"echo\",\"env\":{\"A\":\"1\",\"B\":\"2=3\"}}");
    assert_flags("--schedule|a|--schedule|b|--webhook|http://x|--method|PUT|--header|A:  b: c|--body|hi",
                 "{\"schedule\":[\"a\",\"b\"]}", "webhook",
                 "{\"url\":\"http://x\",\"method\":\"PUT\",\"headers\":{\"A\":\"b: c\"},\"body\":\"hi\"}");
    assert_flags("--timeout|5m|--concurrency|allow|--max-concurrent|3|--missed-run-policy|ignore|--retries|4|"
                 "--retry-interval|2s|"
                 "--tag|a=b|--tag|c=|--description|d|--disabled|--timezone|Europe/Berlin",
                 "{\"description\":\"d\",\"timezone\":\"Europe/Berlin\",\"timeout\":\"5m\",\"concurrency\":\"allow\","
                 "\"missed_run_policy\":\"ignore\",\"max_concurrent\":3,\"retry_policy\":{\"max_attempts\":4,"
                 "\"initial_interval\":\"2s\"},\"tags\":{\"a\":\"b\",\"c\":\"\"},\"enabled\":false}",
                 NULL, NULL);
    assert_flags("--executor|mine|--config|{\"a\":[1]}|--enabled", "{\"enabled\":true}", NULL, "{\"a\":[1]}");
    assert_flags("--command|echo|--config|{\"cwd\":\"/\",\"command\":\"old\",\"env\":{\"Z\":\"1\"}}|--env|A=1", "{}",
                 "command",
                 "{\"cwd\":\"/\",\"command\":\"echo\",\"env\":{\"A\":\"1\"}}");
    assert_flags("--enabled=false", "{\"enabled\":false}", NULL, NULL);
    assert_flags("--disabled=false", "{\"enabled\":true}", NULL, NULL);
}

static void assert_flags_refused(const char *line, const char *message)
{
    char copy[1024];
    struct arguments arguments = create_flags(line, copy);
    struct executor_flags executor;
    struct error err = {.code = STATUS_OK};
    cJSON *job = NULL;
    enum status status = job_flags_document(&arguments, &job, &err);
    if (status == STATUS_OK)
        status = job_flags_executor(&arguments, &executor, &err);
    if (status == STATUS_OK)
        fail_msg("not refused: %s", line);
    assert_int_equal(status, STATUS_INVALID);
    assert_contains(err.message, message);
    cJSON_Delete(job);
    arguments_deinit(&arguments);
}

static void test_flags_refused(void **state)
{
    (void)state;
    assert_flags_refused("--tag|a", "write --tag key=value");
    assert_flags_refused("--tag|=a", "write --tag key=value");
    assert_flags_refused("--tag|a=1|--tag|a=2", "\"a\" is given twice");
    assert_flags_refused("--header|a", "write --header \"Name: value\"");
    assert_flags_refused("--name|\xff", "--name is not UTF-8");
    assert_flags_refused("--schedule|\xff", "--schedule is not UTF-8");
    assert_flags_refused("--tag|\xff=a", "--tag is not UTF-8");
    assert_flags_refused("--tag|a=\xff", "--tag is not UTF-8");
    assert_flags_refused("--enabled|--disabled", "exclude each other");
    assert_flags_refused("--command|a|--webhook|b", "exclude each other");
    assert_flags_refused("--placement|any|--placement-tag|a=b", "exclude each other");
    assert_flags_refused("--placement|leader|--placement-tag|a=b", "--placement leader and --placement-tag");
    assert_flags_refused("--command|a|--executor|b", "exclude each other");
    assert_flags_refused("--command|a|--method|GET", "--method goes with --webhook");
    assert_flags_refused("--webhook|a|--env|A=1", "--env goes with --command");
    assert_flags_refused("--executor|a|--config|[1]", "--config is a JSON object");
    assert_flags_refused("--executor|a|--config|{a: 1}", "--config: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),        cmocka_unit_test(test_refused), cmocka_unit_test(test_files),
        cmocka_unit_test(test_missing_file), cmocka_unit_test(test_flags),   cmocka_unit_test(test_flags_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
