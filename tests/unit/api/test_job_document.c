/* Each field of a job: what is taken, what is refused, and under which pointer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "plugin/schema_private.h"
#include "support.h"

#define MINIMAL "\"name\":\"n\",\"schedule\":\"@daily\",\"executor\":\"shell\",\"config\":{\"command\":\"true\"}"

static cJSON *json_of(const char *text)
{
    cJSON *json = NULL;
    struct error err;
    if (json_parse(text, strlen(text), &json, &err) != STATUS_OK)
        fail_msg("%s: %s", text, err.message);
    return json;
}

/* What a document is made from must outlive it; here, until the end of the test. */
enum { INPUTS_MAX = 256 };
static cJSON *inputs[INPUTS_MAX];
static size_t input_count;

static cJSON *input_of(const char *text)
{
    assert_true(input_count < INPUTS_MAX);
    return inputs[input_count++] = json_of(text);
}

static int free_inputs(void **state)
{
    (void)state;
    while (input_count > 0)
        cJSON_Delete(inputs[--input_count]);
    return 0;
}

static bool parse(const struct support *support, const char *text, const char *stored, struct job_document *ret,
                  enum status *ret_code, struct field_errors *errors)
{
    cJSON *before = stored != NULL ? json_of(stored) : NULL;
    bool accepted = job_document_parse(input_of(text), before, &support->defaults, ret, ret_code, errors);
    cJSON_Delete(before);
    return accepted;
}

static struct job_document take_over(const struct support *support, const char *text, const char *stored)
{
    struct job_document job;
    enum status code;
    struct field_errors errors;
    if (!parse(support, text, stored, &job, &code, &errors))
        fail_msg("%s: refused: %s %s", text, errors.items[0].field, errors.items[0].message);
    return job;
}

static struct job_document take(const struct support *support, const char *text)
{
    return take_over(support, text, NULL);
}

/* Exactly one problem, under this pointer, whose message holds these words. */
static void refuse_over(const struct support *support, const char *text, const char *stored, enum status code,
                        const char *field, const char *words)
{
    struct job_document job;
    enum status found;
    struct field_errors errors;
    if (parse(support, text, stored, &job, &found, &errors))
        fail_msg("accepted: %s", text);
    if (errors.count != 1 || strcmp(errors.items[0].field, field) != 0 || strstr(errors.items[0].message, words) == NULL)
        fail_msg("%s\nwanted %s: ...%s...\nfound %u: %s: %s", text, field, words, errors.count, errors.items[0].field,
                 errors.items[0].message);
    assert_int_equal(found, code);
}

static void refuse(const struct support *support, const char *members, const char *field, const char *words)
{
    char text[16384];
    (void)snprintf(text, sizeof text, "{" MINIMAL ",%s}", members);
    refuse_over(support, text, NULL, STATUS_INVALID, field, words);
}

static void test_minimal(void **state)
{
    struct job_document job = take(*state, "{" MINIMAL "}");
    assert_string_equal(job.text.data,
                        "{\"name\":\"n\",\"description\":\"\",\"schedule\":\"@daily\",\"timezone\":\"UTC\","
                        "\"dst_gap\":\"fire\",\"dst_overlap\":\"first\",\"day_match\":\"any\",\"executor\":\"shell\","
                        "\"config\":{\"command\":\"true\"},\"timeout\":\"1h\",\"concurrency\":\"forbid\","
                        "\"max_concurrent\":1000,\"missed_run_policy\":\"execute_one\",\"catchup_window\":\"unlimited\","
                        "\"catchup_limit\":100,\"on_node_loss\":\"retry\",\"on_lease_loss\":\"cancel\",\"retry_policy\":{\"max_attempts\":1,"
                        "\"initial_interval\":\"1s\",\"max_interval\":\"1m\",\"multiplier\":2,\"jitter\":0.1},\"tags\":{},"
                        "\"placement\":\"any\"}");
    assert_int_equal(job.spec.node_tag_count, 0);
    assert_true(job.spec.enabled);
    assert_string_equal(job.spec.name, "n");
    assert_string_equal(job.spec.executor, "shell");
    assert_string_equal(job.spec.timezone, "UTC");
    assert_int_equal(job.spec.schedule_count, 1);
    assert_string_equal(job.spec.schedules[0], "@daily");
    assert_int_equal(job.spec.timeout_ms, 3600000);
    assert_int_equal(job.spec.retry.max_attempts, 1);
    assert_string_equal(job.executor->id, "shell");
    job_document_deinit(&job);
}

static void test_everything(void **state)
{
    struct job_document job = take(
        *state,
        "{\"tags\":{\"team\":\"backend\",\"app.example/tier\":\"\"},\"retry_policy\":{\"max_attempts\":100,"
        "\"initial_interval\":\"90s\",\"max_interval\":\"2h\",\"multiplier\":1.5,\"jitter\":0},\"on_node_loss\":\"fail\",\"on_lease_loss\":\"continue\","
        "\"catchup_limit\":10000,\"catchup_window\":\"3600s\",\"missed_run_policy\":\"execute_all\",\"max_concurrent\":7,"
        "\"concurrency\":\"allow\",\"timeout\":\"90m\",\"config\":{\"url\":\"https://example.com/\"},\"executor\":\"http\","
        "\"day_match\":\"vixie\",\"dst_overlap\":\"both\",\"dst_gap\":\"skip\",\"timezone\":\"Europe/Berlin\","
        "\"schedule\":[\"0 9 * * 1-5\",\"@every 5m\"],\"description\":\"two\\nlines\",\"name\":\"Job_1.2-x\","
        "\"enabled\":false,\"placement\":{\"tags\":{\"zone\":\"\",\"disk\":\"ssd\"}}}");
    assert_string_equal(job.text.data,
                        "{\"name\":\"Job_1.2-x\",\"description\":\"two\\nlines\",\"schedule\":[\"0 9 * * 1-5\",\"@every 5m\"],"
                        "\"timezone\":\"Europe/Berlin\",\"dst_gap\":\"skip\",\"dst_overlap\":\"both\",\"day_match\":\"vixie\","
                        "\"executor\":\"http\",\"config\":{\"url\":\"https://example.com/\"},\"timeout\":\"1h30m\","
                        "\"concurrency\":\"allow\",\"max_concurrent\":7,\"missed_run_policy\":\"execute_all\","
                        "\"catchup_window\":\"1h\",\"catchup_limit\":10000,\"on_node_loss\":\"fail\",\"on_lease_loss\":\"continue\",\"retry_policy\":{"
                        "\"max_attempts\":100,\"initial_interval\":\"1m30s\",\"max_interval\":\"2h\",\"multiplier\":1.5,"
                        "\"jitter\":0},\"tags\":{\"team\":\"backend\",\"app.example/tier\":\"\"},"
                        "\"placement\":{\"tags\":{\"disk\":\"ssd\",\"zone\":\"\"}}}");
    assert_int_equal(job.spec.placement, PLACEMENT_ANY);
    assert_int_equal(job.spec.node_tag_count, 2);
    assert_string_equal(job.spec.node_tags[0], "disk=ssd");
    assert_string_equal(job.spec.node_tags[1], "zone=");
    assert_false(job.spec.enabled);
    assert_int_equal(job.spec.concurrency, CONCURRENCY_ALLOW);
    assert_int_equal(job.spec.missed_policy, MISSED_POLICY_EXECUTE_ALL);
    assert_int_equal(job.spec.on_node_loss, NODE_LOSS_FAIL);
    assert_int_equal(job.spec.dst_gap, DST_GAP_SKIP);
    assert_int_equal(job.spec.dst_overlap, DST_OVERLAP_BOTH);
    assert_int_equal(job.spec.day_match, DAY_MATCH_VIXIE);
    assert_int_equal(job.spec.max_concurrent, 7);
    assert_int_equal(job.spec.catchup_window_ms, 3600000);
    assert_int_equal(job.spec.catchup_limit, 10000);
    assert_int_equal(job.spec.retry.initial_interval_ms, 90000);
    assert_int_equal(job.spec.retry.multiplier_thousandths, 1500);
    assert_int_equal(job.spec.retry.jitter_thousandths, 0);
    assert_int_equal(job.spec.schedule_count, 2);
    assert_string_equal(job.spec.schedules[1], "@every 5m");
    job_document_deinit(&job);
}

/* What was normalised is normal: GET, then PUT, changes nothing. */
static void test_normal_form_is_stable(void **state)
{
    struct job_document once = take(*state, "{" MINIMAL ",\"retry_policy\":{\"multiplier\":1.3333,\"jitter\":0.0004},"
                                              "\"timeout\":\"5400000ms\"}");
    struct job_document twice = take_over(*state, once.text.data, once.text.data);
    assert_string_equal(once.text.data, twice.text.data);
    assert_non_null(strstr(once.text.data, "\"multiplier\":1.333,\"jitter\":0}"));
    job_document_deinit(&twice);
    job_document_deinit(&once);
}

static void test_read_only_and_null(void **state)
{
    struct job_document plain = take(*state, "{" MINIMAL "}");
    struct job_document job =
        take(*state, "{" MINIMAL ",\"id\":\"job_x\",\"version\":7,\"created_at\":\"x\",\"updated_at\":1,\"updated_by\":null,"
                       "\"next_run\":[],\"last_run\":{},\"last_status\":false,\"running\":3,\"held\":\"x\",\"tags\":null,"
                       "\"description\":null,\"timeout\":null,\"placement\":null,\"retry_policy\":null,\"enabled\":null}");
    assert_string_equal(job.text.data, plain.text.data);
    assert_true(job.spec.enabled);
    job_document_deinit(&job);
    job_document_deinit(&plain);
}

static void test_names(void **state)
{
    static const struct {
        const char *name, *words;
    } rows[] = {
        {"", "1 to 128 bytes"},
        {"a b", "\" \" is not allowed"},
        {"a/b", "\"/\" is not allowed"},
        {"a\\u00e4", "\"\xc3\xa4\" is not allowed"},
        {"a\\n", "control character"},
        {"a\\u007f", "control character"},
        {".a", "begin with a letter"},
        {"..", "begin with a letter"},
        {"-a", "begin with a letter"},
        {"job_a", "must not begin with"},
        {"exec_", "must not begin with"},
    };
    char text[512], name[JOB_NAME_MAX + 2];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)snprintf(text, sizeof text, "{\"name\":\"%s\",\"schedule\":\"@daily\",\"command\":\"true\"}", rows[i].name);
        refuse_over(*state, text, NULL, STATUS_INVALID, "/name", rows[i].words);
    }
    memset(name, 'a', sizeof name);
    name[JOB_NAME_MAX + 1] = '\0';
    (void)snprintf(text, sizeof text, "{\"name\":\"%s\",\"schedule\":\"@daily\",\"command\":\"true\"}", name);
    refuse_over(*state, text, NULL, STATUS_INVALID, "/name", "1 to 128 bytes");
    (void)snprintf(text, sizeof text, "{\"name\":\"%s\",\"schedule\":\"@daily\",\"command\":\"true\"}", name + 1);
    struct job_document job = take(*state, text);
    assert_int_equal(strlen(job.spec.name), JOB_NAME_MAX);
    job_document_deinit(&job);
    refuse_over(*state, "{\"schedule\":\"@daily\",\"command\":\"true\"}", NULL, STATUS_INVALID, "/name", "is required");
    refuse_over(*state, "{\"name\":7,\"schedule\":\"@daily\",\"command\":\"true\"}", NULL, STATUS_INVALID, "/name",
                "must be a string");
}

static void test_schedules(void **state)
{
    static const struct {
        const char *members, *field, *words;
    } rows[] = {
        {"\"x\":1", "/schedule", "is required"},
        {"\"schedule\":7", "/schedule", "a string, or a list of 1 to 16 strings"},
        {"\"schedule\":[]", "/schedule", "a string, or a list of 1 to 16 strings"},
        {"\"schedule\":\"61 * * * *\"", "/schedule", "minute"},
        {"\"schedule\":\"0 0 30 2 *\"", "/schedule", ""},
        {"\"schedule\":\"@at 2020-01-01T00:00:00Z\"", "/schedule", ""},
        {"\"schedule\":[\"@daily\",\"61 * * * *\"]", "/schedule/1", "minute"},
        {"\"schedule\":[\"@daily\",7]", "/schedule/1", "must be a string"},
        {"\"schedule\":\"@daily\",\"timezone\":\"Europe/Berln\"", "/timezone", "Europe/Berlin"},
        {"\"schedule\":\"@daily\",\"timezone\":\"../UTC\"", "/timezone", ""},
        {"\"schedule\":\"@daily\",\"timezone\":7", "/timezone", "must be a string"},
        {"\"schedule\":\"@daily\",\"dst_gap\":\"both\"", "/dst_gap", "\"fire\" or \"skip\""},
        {"\"schedule\":\"@daily\",\"dst_overlap\":\"x\"", "/dst_overlap", "\"first\", \"second\" or \"both\""},
        {"\"schedule\":\"@daily\",\"day_match\":true", "/day_match", "\"any\", \"all\" or \"vixie\""},
    };
    char text[1024];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool none = i == 0;
        (void)snprintf(text, sizeof text, "{\"name\":\"n\",\"command\":\"true\"%s%s}", none ? "" : ",",
                       none ? "" : rows[i].members);
        refuse_over(*state, text, NULL, STATUS_INVALID, rows[i].field, rows[i].words);
    }
    char zone[ZONE_TEXT_SIZE + 1];
    memset(zone, 'A', ZONE_TEXT_SIZE);
    zone[ZONE_TEXT_SIZE] = '\0';
    (void)snprintf(text, sizeof text, "{\"name\":\"n\",\"command\":\"true\",\"schedule\":\"@daily\",\"timezone\":\"%s\"}", zone);
    refuse_over(*state, text, NULL, STATUS_INVALID, "/timezone", "longer than 63");
}

static void test_schedule_count(void **state)
{
    char text[1024] = "{\"name\":\"n\",\"command\":\"true\",\"schedule\":[\"@daily\"";
    for (int i = 1; i < JOB_SCHEDULES_MAX; i++)
        strcat(text, ",\"@daily\"");
    size_t size = strlen(text);
    strcat(text, "]}");
    struct job_document job = take(*state, text);
    assert_int_equal(job.spec.schedule_count, JOB_SCHEDULES_MAX);
    job_document_deinit(&job);
    strcpy(text + size, ",\"@daily\"]}");
    refuse_over(*state, text, NULL, STATUS_INVALID, "/schedule", "1 to 16");
}

/* An @at that has passed can still be edited, only not moved to the past. */
static void test_passed_schedule(void **state)
{
    static const char passed[] = "{\"name\":\"n\",\"schedule\":\"@at 2020-01-01T00:00:00Z\",\"timezone\":\"UTC\","
                                 "\"executor\":\"shell\",\"config\":{\"command\":\"true\"}}";
    struct job_document job = take_over(*state, passed, passed);
    job_document_deinit(&job);
    refuse_over(*state, "{\"name\":\"n\",\"schedule\":\"@at 2020-01-02T00:00:00Z\",\"command\":\"true\"}", passed,
                STATUS_INVALID, "/schedule", "");
}

static void test_executors(void **state)
{
    static const struct {
        const char *members, *field, *words;
        enum status code;
    } rows[] = {
        {"\"enabled\":true", "/executor", "is required: one of shell, http, or a shorthand", STATUS_INVALID},
        {"\"executor\":7", "/executor", "must be a string", STATUS_INVALID},
        {"\"executor\":\"shel\"", "/executor", "this node does not have the executor \"shel\"; known: shell, http",
         STATUS_EXECUTOR_UNKNOWN},
        {"\"executor\":\"shell\",\"config\":[]", "/config", "must be an object", STATUS_INVALID},
        {"\"executor\":\"shell\",\"config\":{\"comand\":\"x\",\"command\":\"x\"}", "/config/comand", "\"command\"",
         STATUS_INVALID},
        {"\"executor\":\"shell\",\"config\":{\"command\":7}", "/config/command", "", STATUS_INVALID},
        {"\"executor\":\"shell\",\"config\":{\"argv\":[\"a\",7]}", "/config/argv/1", "", STATUS_INVALID},
        {"\"executor\":\"http\"", "/config/url", "", STATUS_INVALID},
        {"\"executor\":\"http\",\"config\":{\"url\":\"http://x/\",\"auth\":{\"type\":\"magic\"}}", "/config/auth/type", "",
         STATUS_INVALID},
        {"\"executor\":\"shell\",\"command\":\"x\"", "/command", "is short for \"executor\": \"shell\"", STATUS_INVALID},
        {"\"config\":{},\"command\":\"x\"", "/command", "give one of the two", STATUS_INVALID},
        {"\"command\":7", "/command", "must be a string or an object", STATUS_INVALID},
        {"\"command\":true", "/command", "; put true, false and numbers in quotes", STATUS_INVALID},
        {"\"command\":\"x\",\"webhook\":{\"url\":\"http://x/\"}", "/webhook", "together with \"command\"", STATUS_INVALID},
    };
    char text[1024];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)snprintf(text, sizeof text, "{\"name\":\"n\",\"schedule\":\"@daily\",%s}", rows[i].members);
        refuse_over(*state, text, NULL, rows[i].code, rows[i].field, rows[i].words);
    }
}

/* Of a node with `shell: false`, or `http: false`: what the shorthand is short for is known all the same. */
static void test_shorthands_of_absent_executors(void **state)
{
    static const struct {
        const char *file, *member, *field, *words;
    } rows[] = {
        {"executor_http.so", "\"command\":\"x\"", "/command", "this node does not have the executor \"shell\"; known: http"},
        {"executor_http.so", "\"command\":{\"argv\":[\"x\"]},\"webhook\":\"http://x/\"", "/command", "\"shell\"; known: http"},
        {"executor_shell.so", "\"webhook\":\"http://x/\"", "/webhook", "this node does not have the executor \"http\"; known: shell"},
        {NULL, "\"executor\":\"shell\"", "/executor", "this node does not have the executor \"shell\"; known: none"},
    };
    struct support *support = *state;
    struct error err;
    char text[512];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct support other = *support;
        assert_int_equal(plugin_registry_new(&other.registry, &err), STATUS_OK);
        if (rows[i].file != NULL)
            assert_int_equal(plugin_load(other.registry, PLUGIN_DIRECTORY, rows[i].file, NULL, &err), STATUS_OK);
        other.defaults.registry = other.registry;
        (void)snprintf(text, sizeof text, "{\"name\":\"n\",\"schedule\":\"@daily\",%s}", rows[i].member);
        refuse_over(&other, text, NULL, STATUS_EXECUTOR_UNKNOWN, rows[i].field, rows[i].words);
        plugin_registry_free(other.registry);
    }
}

static void test_shorthands(void **state)
{
    static const struct {
        const char *members, *holds;
    } rows[] = {
        {"\"command\":\"echo\"", "\"executor\":\"shell\",\"config\":{\"command\":\"echo\"}"},
        {"\"command\":{\"argv\":[\"a\"]}", "\"executor\":\"shell\",\"config\":{\"argv\":[\"a\"]}"},
        {"\"webhook\":\"http://x/\"", "\"executor\":\"http\",\"config\":{\"url\":\"http://x/\"}"},
        {"\"webhook\":{\"url\":\"http://x/\"},\"command\":null", "\"executor\":\"http\",\"config\":{\"url\":\"http://x/\"}"},
    };
    char text[512];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)snprintf(text, sizeof text, "{\"name\":\"n\",\"schedule\":\"@daily\",%s}", rows[i].members);
        struct job_document job = take(*state, text);
        assert_non_null(strstr(job.text.data, rows[i].holds));
        job_document_deinit(&job);
    }
}

static void test_secrets(void **state)
{
    static const char masked[] = "{\"name\":\"n\",\"schedule\":\"@daily\",\"executor\":\"http\",\"config\":{\"url\":\"http://x/\","
                                 "\"auth\":{\"type\":\"bearer\",\"token\":\"" PLUGIN_SECRET_MASK "\"}}}";
    static const char stored[] = "{\"name\":\"n\",\"schedule\":\"@daily\",\"timezone\":\"UTC\",\"executor\":\"http\","
                                 "\"config\":{\"auth\":{\"token\":\"s3cret\"}}}";
    static const char other[] = "{\"executor\":\"shell\",\"config\":{\"auth\":{\"token\":\"s3cret\"}}}";
    struct job_document job = take_over(*state, masked, stored);
    assert_non_null(strstr(job.text.data, "\"token\":\"s3cret\""));
    job_document_deinit(&job);
    refuse_over(*state, masked, NULL, STATUS_INVALID, "/config/auth/token", "none is stored");
    refuse_over(*state, masked, other, STATUS_INVALID, "/config/auth/token", "none is stored");
}

static void test_policies(void **state)
{
    static const struct {
        const char *members, *field, *words;
    } rows[] = {
        {"\"enabled\":\"yes\"", "/enabled", "true or false"},
        {"\"description\":7", "/description", "must be a string"},
        {"\"timeout\":5", "/timeout", "a duration such as"},
        {"\"timeout\":\"5\"", "/timeout", ""},
        {"\"timeout\":\"99ms\"", "/timeout", "from 100ms to 365d"},
        {"\"timeout\":\"366d\"", "/timeout", "from 100ms to 365d"},
        {"\"timeout\":\"-1s\"", "/timeout", ""},
        {"\"concurrency\":\"queue\"", "/concurrency", "not supported by this version"},
        {"\"concurrency\":\"queue_all\"", "/concurrency", "not supported by this version"},
        {"\"concurrency\":\"x\"", "/concurrency", "\"forbid\", \"allow\" or \"replace\""},
        {"\"max_concurrent\":0", "/max_concurrent", "from 1 to 1000"}, /* JOB_CONCURRENT_MAX, which is the default */
        {"\"max_concurrent\":1001", "/max_concurrent", "from 1 to 1000"},
        {"\"max_concurrent\":1.5", "/max_concurrent", "whole number"},
        {"\"max_concurrent\":\"1\"", "/max_concurrent", "whole number"},
        {"\"max_concurrent\":1e300", "/max_concurrent", "whole number"},
        {"\"missed_run_policy\":\"x\"", "/missed_run_policy", "\"execute_one\", \"execute_all\" or \"ignore\""},
        {"\"catchup_window\":\"9s\"", "/catchup_window", "from 10s to"},
        {"\"catchup_window\":\"0\"", "/catchup_window", "from 10s to"},
        {"\"catchup_window\":true", "/catchup_window", "a duration such as"},
        {"\"catchup_limit\":0", "/catchup_limit", "from 1 to 10000"}, /* CATCHUP_LIMIT_MAX, taken in test_everything */
        {"\"catchup_limit\":10001", "/catchup_limit", "from 1 to 10000"},
        {"\"on_node_loss\":\"x\"", "/on_node_loss", "\"retry\" or \"fail\""},
        {"\"on_lease_loss\":\"x\"", "/on_lease_loss", "\"cancel\" or \"continue\""},
        {"\"retry_policy\":7", "/retry_policy", "must be an object"},
        {"\"retry_policy\":{\"max_attempt\":3}", "/retry_policy/max_attempt", "did you mean \"max_attempts\"?"},
        {"\"retry_policy\":{\"max_attempts\":0}", "/retry_policy/max_attempts", "from 1 to 100"},
        {"\"retry_policy\":{\"max_attempts\":101}", "/retry_policy/max_attempts", "from 1 to 100"},
        {"\"retry_policy\":{\"initial_interval\":\"99ms\"}", "/retry_policy/initial_interval", "from 100ms to 1d"},
        {"\"retry_policy\":{\"max_interval\":\"8d\"}", "/retry_policy/max_interval", "from 100ms to 7d"},
        {"\"retry_policy\":{\"initial_interval\":\"2s\",\"max_interval\":\"1s\"}", "/retry_policy/max_interval",
         "at least initial_interval"},
        {"\"retry_policy\":{\"multiplier\":0.9}", "/retry_policy/multiplier", "from 1 to 100"},
        {"\"retry_policy\":{\"multiplier\":100.1}", "/retry_policy/multiplier", "from 1 to 100"},
        {"\"retry_policy\":{\"multiplier\":\"2\"}", "/retry_policy/multiplier", "a number"},
        {"\"retry_policy\":{\"jitter\":1.1}", "/retry_policy/jitter", "from 0 to 1"},
        {"\"retry_policy\":{\"jitter\":-0.1}", "/retry_policy/jitter", "from 0 to 1"},
        {"\"placement\":{\"all\":1}", "/placement/all", "must be true or false"},
        {"\"placement\":\"Any\"", "/placement", "must be \"any\", \"leader\", \"all\" or {\"tags\": {"},
        {"\"placement\":7", "/placement", "must be \"any\", \"leader\", \"all\" or {\"tags\": {"},
        {"\"placement\":[]", "/placement", "must be \"any\", \"leader\", \"all\" or {\"tags\": {"},
        {"\"placement\":{\"tag\":{}}", "/placement/tag", "did you mean \"tags\"?"},
        {"\"placement\":{\"any\":true}", "/placement/any", "unknown field \"any\""},
        {"\"placement\":{\"tags\":\"disk\"}", "/placement/tags", "must be an object of strings"},
        {"\"placement\":{\"tags\":{\"a=b\":\"x\"}}", "/placement/tags/a=b", "a tag's key has 1 to 63"},
        {"\"placement\":{\"tags\":{\"disk\":1}}", "/placement/tags/disk", "must be a string"},
        {"\"placement\":{\"tags\":{\"disk\":\"a\\tb\"}}", "/placement/tags/disk", "control characters"},
        {"\"shedule\":\"x\"", "/shedule", "did you mean \"schedule\"?"},
        {"\"comand\":\"x\"", "/comand", "did you mean \"command\"?"},
        {"\"zzzzzzzzzz\":1", "/zzzzzzzzzz", "unknown field"},
        {"\"a/b~c\":1", "/a~1b~0c", "unknown field"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        refuse(*state, rows[i].members, rows[i].field, rows[i].words);
}

/* One of the two intervals alone moves the other's default, which it would contradict. */
static void test_retry_intervals_alone(void **state)
{
    struct job_document job = take(*state, "{" MINIMAL ",\"retry_policy\":{\"initial_interval\":\"5m\"}}");
    assert_int_equal(job.spec.retry.max_interval_ms, 300000);
    job_document_deinit(&job);
    job = take(*state, "{" MINIMAL ",\"retry_policy\":{\"max_interval\":\"500ms\"}}");
    assert_int_equal(job.spec.retry.initial_interval_ms, 500);
    job_document_deinit(&job);
}

static void test_tags(void **state)
{
    refuse(*state, "\"tags\":[]", "/tags", "an object of strings");
    refuse(*state, "\"tags\":{\"a\":1}", "/tags/a", "must be a string");
    refuse(*state, "\"tags\":{\"\":\"x\"}", "/tags/", "a tag's key has 1 to 63");
    refuse(*state, "\"tags\":{\"a b\":\"x\"}", "/tags/a b", "a tag's key has 1 to 63");
    refuse(*state, "\"tags\":{\"a\":\"x\\ny\"}", "/tags/a", "control characters");
    char text[16384] = "\"tags\":{\"k\":\"";
    size_t size = strlen(text);
    memset(text + size, 'v', JOB_TAG_VALUE_MAX + 1);
    strcpy(text + size + JOB_TAG_VALUE_MAX + 1, "\"}");
    refuse(*state, text, "/tags/k", "longer than 255");
    strcpy(text, "\"tags\":{\"");
    size = strlen(text);
    memset(text + size, 'k', JOB_TAG_KEY_MAX + 1);
    strcpy(text + size + JOB_TAG_KEY_MAX + 1, "\":\"v\"}");
    char field[ERROR_FIELD_SIZE] = "/tags/";
    memcpy(field + 6, text + size, JOB_TAG_KEY_MAX + 1);
    refuse(*state, text, field, "a tag's key has 1 to 63");
    size = (size_t)sprintf(text, "\"tags\":{\"t\":\"\"");
    for (int i = 0; i < JOB_TAGS_MAX; i++)
        size += (size_t)sprintf(text + size, ",\"t%d\":\"\"", i);
    strcpy(text + size, "}");
    refuse(*state, text, "/tags", "at most 64 tags");
    /* As many, as long as can be. */
    size = (size_t)sprintf(text, "{" MINIMAL ",\"tags\":{\"%0*d\":\"%0*d\"", JOB_TAG_KEY_MAX, 1, JOB_TAG_VALUE_MAX, 1);
    for (int i = 1; i < JOB_TAGS_MAX; i++)
        size += (size_t)sprintf(text + size, ",\"t%d\":\"\"", i);
    strcpy(text + size, "}}");
    struct job_document job = take(*state, text);
    cJSON *taken = json_of(job.text.data);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(taken, "tags")), JOB_TAGS_MAX);
    cJSON_Delete(taken);
    job_document_deinit(&job);
}

/* A value of `amount`: bytes, elements, or the number itself. */
static cJSON *value_of(const struct schema_option *option, int64_t amount)
{
    char text[32];
    bool is_text = option->type == CHRONOS_OPTION_STRING;
    if (schema_is_many(option)) {
        cJSON *many = option->flags & CHRONOS_OPTION_MAP ? cJSON_CreateObject() : cJSON_CreateArray();
        for (int64_t i = 0; i < amount; i++) {
            cJSON *item = is_text ? cJSON_CreateString("x") : cJSON_CreateNumber(1);
            (void)snprintf(text, sizeof text, "k%d", (int)i);
            if (option->flags & CHRONOS_OPTION_MAP)
                cJSON_AddItemToObject(many, text, item);
            else
                cJSON_AddItemToArray(many, item);
        }
        return many;
    }
    if (option->type == CHRONOS_OPTION_DURATION)
        (void)snprintf(text, sizeof text, "%lldms", (long long)amount);
    if (!is_text)
        return option->type == CHRONOS_OPTION_DURATION ? cJSON_CreateString(text) : cJSON_CreateNumber((double)amount);
    char *bytes = calloc(1, (size_t)amount + 1);
    assert_non_null(bytes);
    memset(bytes, 'x', (size_t)amount);
    cJSON *value = cJSON_CreateString(bytes);
    free(bytes);
    return value;
}

static void ignore_problem(void *arg, const char *field, const char *message)
{
    (void)arg;
    (void)field;
    (void)message;
}

static void check_amount(const struct plugin_component *component, const struct schema_option *option, int64_t amount,
                         bool fits)
{
    struct schema_pointer at = schema_pointer_of(option->name);
    cJSON *value = value_of(option, amount);
    size_t problems = schema_check_value(option, value, &at, ignore_problem, NULL);
    cJSON_Delete(value);
    if ((problems == 0) != fits)
        fail_msg("%s, %s of %s: %lld %s", component->id, option->name, option->limits, (long long)amount,
                 fits ? "is refused" : "is taken");
}

/* Every limit that our own plugins' options declare holds: the value at it is taken, the next one is not. */
static void test_option_limits(void **state)
{
    static const char *const stores[] = {"storage_lmdb.so", "storage_sqlite.so"};
    struct support *support = *state;
    struct error err;
    int tried = 0;
    for (size_t i = 0; i < sizeof stores / sizeof stores[0]; i++)
        if (plugin_load(support->registry, PLUGIN_DIRECTORY, stores[i], NULL, &err) != STATUS_OK)
            fail_msg("%s", err.message);
    for (size_t i = 0; i < plugin_component_count(support->registry); i++) {
        const struct plugin_component *component = plugin_component_at(support->registry, i);
        for (uint32_t n = 0; n < component->schema->count; n++) {
            const struct schema_option *option = &component->schema->options[n];
            bool numeric = option->type != CHRONOS_OPTION_STRING && !schema_is_many(option);
            if (option->has_most) {
                check_amount(component, option, option->most, true);
                check_amount(component, option, option->most + 1, false);
                tried++;
            } else if (schema_is_many(option)) {
                check_amount(component, option, PLUGIN_ELEMENTS_MAX, true);
                check_amount(component, option, PLUGIN_ELEMENTS_MAX + 1, false);
            }
            if (option->has_least) {
                check_amount(component, option, option->least, true);
                if (numeric || option->least > 0)
                    check_amount(component, option, option->least - 1, false);
            }
        }
    }
    assert_true(tried >= 15);
}

static void test_description_size(void **state)
{
    char text[JOB_DESCRIPTION_MAX + 256] = "{" MINIMAL ",\"description\":\"";
    size_t size = strlen(text);
    memset(text + size, 'd', JOB_DESCRIPTION_MAX + 1);
    strcpy(text + size + JOB_DESCRIPTION_MAX + 1, "\"}");
    refuse_over(*state, text, NULL, STATUS_INVALID, "/description", "longer than 4096");
    strcpy(text + size + JOB_DESCRIPTION_MAX, "\"}");
    struct job_document job = take(*state, text);
    job_document_deinit(&job);
}

static void test_document_size(void **state)
{
    static const char head[] = "{\"name\":\"n\",\"schedule\":\"@daily\",\"executor\":\"shell\",\"config\":{\"command\":\"x\","
                               "\"stdin\":\"";
    char *text = malloc(JOB_DOCUMENT_MAX + sizeof head + 8);
    assert_non_null(text);
    strcpy(text, head);
    memset(text + sizeof head - 1, 's', JOB_DOCUMENT_MAX);
    strcpy(text + sizeof head - 1 + JOB_DOCUMENT_MAX, "\"}}");
    refuse_over(*state, text, NULL, STATUS_INVALID, "", "larger than 256 KiB");
    for (int extra = 0; extra <= 1; extra++) { /* what counts is the normalised text */
        strcpy(text + sizeof head - 1, "\"}}");
        struct job_document small = take(*state, text);
        size_t room = JOB_DOCUMENT_MAX - small.text.size + (size_t)extra;
        job_document_deinit(&small);
        memset(text + sizeof head - 1, 's', room);
        strcpy(text + sizeof head - 1 + room, "\"}}");
        if (extra == 1) {
            refuse_over(*state, text, NULL, STATUS_INVALID, "", "larger than 256 KiB");
            break;
        }
        struct job_document largest = take(*state, text);
        assert_int_equal(largest.text.size, JOB_DOCUMENT_MAX);
        job_document_deinit(&largest);
    }
    free(text);
}

static void test_all_problems_at_once(void **state)
{
    struct job_document job;
    struct field_errors errors;
    enum status code;
    assert_false(parse(*state,
                       "{\"nam\":\"x\",\"schedule\":[\"61 * * * *\",7,\"* 25 * * *\"],\"timezone\":7,\"executor\":\"nope\","
                       "\"timeout\":\"x\",\"retry_policy\":{\"max_attempts\":0,\"jitter\":2},\"tags\":{\"a\":1}}",
                       NULL, &job, &code, &errors));
    static const char *const fields[] = {"/nam",      "/name",    "/schedule/1", "/timezone", "/schedule/0", "/schedule/2",
                                         "/executor", "/timeout", "/retry_policy/max_attempts", "/retry_policy/jitter",
                                         "/tags/a"};
    assert_int_equal(code, STATUS_EXECUTOR_UNKNOWN);
    assert_int_equal(errors.count, sizeof fields / sizeof fields[0]);
    for (size_t i = 0; i < errors.count; i++)
        assert_string_equal(errors.items[i].field, fields[i]);
}

static void test_more_problems_than_listed(void **state)
{
    char text[2048] = "{" MINIMAL;
    struct job_document job;
    struct field_errors errors;
    enum status code;
    for (int i = 0; i < API_FIELD_ERRORS_MAX + 5; i++)
        (void)sprintf(text + strlen(text), ",\"unknown%d\":1", i);
    strcat(text, "}");
    assert_false(parse(*state, text, NULL, &job, &code, &errors));
    assert_int_equal(errors.count, API_FIELD_ERRORS_MAX + 5);
}

static void test_not_an_object(void **state)
{
    refuse_over(*state, "[]", NULL, STATUS_INVALID, "", "a job is an object");
    refuse_over(*state, "null", NULL, STATUS_INVALID, "", "a job is an object");
}

/* --- POST /schedules/validate --- */

static void test_schedule_alone(void **state)
{
    const struct support *support = *state;
    struct field_errors errors = {.count = 0};
    cJSON *object = json_of("{\"schedule\":[\"0 9 * * 1-5\",\"@every 1h\"],\"timezone\":\"America/New_York\"}");
    struct schedule *schedule = job_document_schedule(object, support->scheduler, SUPPORT_NOW_MS, &errors);
    int64_t next = 0;
    assert_non_null(schedule);
    assert_int_equal(errors.count, 0);
    assert_true(schedule_next(schedule, SUPPORT_NOW_MS, &next));
    assert_int_equal(next, SUPPORT_NOW_MS + 3600000);
    schedule_free(schedule);
    cJSON_Delete(object);
    object = json_of("{\"schedule\":\"@daily\",\"zone\":\"UTC\",\"dst_gap\":1}");
    assert_null(job_document_schedule(object, support->scheduler, SUPPORT_NOW_MS, &errors));
    assert_int_equal(errors.count, 2);
    assert_string_equal(errors.items[0].field, "/zone");
    assert_string_equal(errors.items[1].field, "/dst_gap");
    cJSON_Delete(object);
}

static void test_spec_compiles(void **state)
{
    const struct support *support = *state;
    struct job_document job = take(support, "{\"name\":\"n\",\"schedule\":\"30 2 * * *\",\"timezone\":\"Europe/Berlin\","
                                              "\"command\":\"true\"}");
    struct schedule *schedule = NULL;
    struct error err;
    int64_t next = 0;
    assert_int_equal(job_spec_compile(&job.spec, support->scheduler, &schedule, &err), STATUS_OK);
    assert_true(schedule_next(schedule, SUPPORT_NOW_MS, &next));
    assert_int_equal(next, SUPPORT_NOW_MS + 30 * 60 * 1000); /* 02:30 summer time is 00:30 UTC */
    schedule_free(schedule);
    job_document_deinit(&job);
}

static void test_placement(void **state)
{
    static const struct {
        const char *given, *kept;
        enum placement kind;
    } rows[] = {
        {"\"any\"", "\"any\"", PLACEMENT_ANY}, {"null", "\"any\"", PLACEMENT_ANY}, {"{}", "\"any\"", PLACEMENT_ANY},
        {"{\"tags\":{}}", "\"any\"", PLACEMENT_ANY}, {"{\"tags\":null}", "\"any\"", PLACEMENT_ANY},
        {"\"leader\"", "\"leader\"", PLACEMENT_LEADER}, {"\"all\"", "\"all\"", PLACEMENT_ALL},
        {"{\"all\":true}", "\"all\"", PLACEMENT_ALL}, {"{\"all\":false}", "\"any\"", PLACEMENT_ANY},
        {"{\"tags\":{\"a\":\"1\"},\"all\":true}", "{\"all\":true,\"tags\":{\"a\":\"1\"}}", PLACEMENT_ALL},
        {"{\"tags\":{\"b\":\"x=y\",\"a.b\":\"\xc3\xa4\",\"a\":\"1\"}}", "{\"tags\":{\"a.b\":\"\xc3\xa4\",\"a\":\"1\",\"b\":\"x=y\"}}",
         PLACEMENT_ANY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[400], expected[200];
        (void)snprintf(text, sizeof text, "{" MINIMAL ",\"placement\":%s}", rows[i].given);
        (void)snprintf(expected, sizeof expected, ",\"placement\":%s}", rows[i].kept);
        struct job_document job = take(*state, text);
        assert_non_null(strstr(job.text.data, expected));
        assert_int_equal(job.spec.placement, rows[i].kind);
        job_document_deinit(&job);
    }
}

/* `count` tags, the first with a key and a value of these sizes. */
static void make_placement(char *text, size_t size, uint32_t count, int key_size, int value_size)
{
    int at = snprintf(text, size, "\"placement\":{\"tags\":{\"%0*d\":\"%0*d\"", key_size, 0, value_size, 0);
    for (uint32_t i = 1; i < count; i++)
        at += snprintf(text + at, size - (size_t)at, ",\"k%u\":\"v\"", i);
    (void)snprintf(text + at, size - (size_t)at, "}}");
}

static void test_limits_of_a_placement(void **state)
{
    char member[2000], text[2400];
    make_placement(member, sizeof member, NODE_TAGS_MAX, NODE_TAG_KEY_MAX, NODE_TAG_VALUE_MAX);
    (void)snprintf(text, sizeof text, "{" MINIMAL ",%s}", member);
    struct job_document job = take(*state, text);
    assert_int_equal(job.spec.node_tag_count, NODE_TAGS_MAX);
    assert_int_equal(strlen(job.spec.node_tags[0]), NODE_TAG_TEXT_SIZE - 1);
    job_document_deinit(&job);
    make_placement(member, sizeof member, NODE_TAGS_MAX + 1, 1, 1);
    refuse(*state, member, "/placement/tags", "asks for at most 16 tags");
    make_placement(member, sizeof member, 1, 1, NODE_TAG_VALUE_MAX + 1);
    refuse(*state, member, "/placement/tags/0", "is longer than 63 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_minimal, free_inputs),
        cmocka_unit_test_teardown(test_everything, free_inputs),
        cmocka_unit_test_teardown(test_normal_form_is_stable, free_inputs),
        cmocka_unit_test_teardown(test_read_only_and_null, free_inputs),
        cmocka_unit_test_teardown(test_names, free_inputs),
        cmocka_unit_test_teardown(test_schedules, free_inputs),
        cmocka_unit_test_teardown(test_schedule_count, free_inputs),
        cmocka_unit_test_teardown(test_passed_schedule, free_inputs),
        cmocka_unit_test_teardown(test_executors, free_inputs),
        cmocka_unit_test_teardown(test_shorthands_of_absent_executors, free_inputs),
        cmocka_unit_test_teardown(test_shorthands, free_inputs),
        cmocka_unit_test_teardown(test_secrets, free_inputs),
        cmocka_unit_test_teardown(test_policies, free_inputs),
        cmocka_unit_test_teardown(test_retry_intervals_alone, free_inputs),
        cmocka_unit_test_teardown(test_tags, free_inputs),
        cmocka_unit_test_teardown(test_placement, free_inputs),
        cmocka_unit_test_teardown(test_limits_of_a_placement, free_inputs),
        cmocka_unit_test_teardown(test_option_limits, free_inputs),
        cmocka_unit_test_teardown(test_description_size, free_inputs),
        cmocka_unit_test_teardown(test_document_size, free_inputs),
        cmocka_unit_test_teardown(test_all_problems_at_once, free_inputs),
        cmocka_unit_test_teardown(test_more_problems_than_listed, free_inputs),
        cmocka_unit_test_teardown(test_not_an_object, free_inputs),
        cmocka_unit_test_teardown(test_schedule_alone, free_inputs),
        cmocka_unit_test_teardown(test_spec_compiles, free_inputs),
    };
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
