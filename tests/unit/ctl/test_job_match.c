#include "ctl/job_match.h"

#include "base/json.h"
#include "check.h"

static cJSON *parsed(const char *text)
{
    cJSON *json;
    struct error err;
    if (json_parse(text, strlen(text), &json, &err) != STATUS_OK)
        fail_msg("%s: %s", text, err.message);
    return json;
}

/* `present` NULL: there is none. */
static void assert_masked(const char *file, const char *present, const char *places, int count)
{
    struct buffer out;
    cJSON *job = parsed(file), *there = present != NULL ? parsed(present) : NULL;
    buffer_init(&out, 1 << 16);
    assert_int_equal(job_append_masked(&out, job, there), count);
    assert_string_equal(out.size > 0 ? out.data : "", places);
    buffer_deinit(&out);
    cJSON_Delete(job);
    cJSON_Delete(there);
}

static void test_masks_without_a_secret_behind_them(void **state)
{
    (void)state;
    assert_masked("{\"config\":{\"url\":\"http://x\"}}", NULL, "", 0);
    assert_masked("{\"config\":{\"auth\":{\"password\":\"********\"},\"list\":[\"a\",\"********\"]}}", NULL,
                  "config/auth/password, config/list/1", 2);
    assert_masked("{\"webhook\":{\"auth\":{\"token\":\"********\"}}}", NULL, "webhook/auth/token", 1);
    assert_masked("{\"command\":\"********\"}", NULL, "command", 1);
    assert_masked("{\"config\":{\"a\":\"*******\",\"b\":\"*********\",\"c\":\"x ********\"}}", NULL, "", 0);
    assert_masked("{\"name\":\"********\",\"description\":\"********\",\"tags\":{\"a\":\"********\"}}", NULL, "", 0);
}

static void test_masks_that_keep_a_stored_secret(void **state)
{
    const char *present = "{\"executor\":\"http\",\"config\":{\"url\":\"u\",\"auth\":{\"token\":\"********\"},"
                          "\"list\":[\"********\"]}}";
    (void)state;
    assert_masked("{\"config\":{\"auth\":{\"token\":\"********\"}}}", present, "", 0);
    assert_masked("{\"webhook\":{\"auth\":{\"token\":\"********\"}}}", present, "", 0);
    assert_masked("{\"config\":{\"auth\":{\"password\":\"********\"},\"url\":\"********\"}}", present,
                  "config/auth/password, config/url", 2);
    assert_masked("{\"config\":{\"list\":[\"********\",\"********\"]}}", present, "config/list/1", 1);
    assert_masked("{\"config\":{\"auth\":\"********\"}}", present, "config/auth", 1);
    assert_masked("{\"retry_policy\":{\"token\":\"********\"}}", "{\"retry_policy\":{\"token\":\"********\"}}",
                  "retry_policy/token", 1);
}

static bool gives(const char *file, const char *shown)
{
    cJSON *one = parsed(file), *two = parsed(shown);
    bool given = job_gives_secret(one, two);
    cJSON_Delete(one);
    cJSON_Delete(two);
    return given;
}

static void test_values_given_for_secrets(void **state)
{
    const char *shown = "{\"name\":\"x\",\"config\":{\"url\":\"u\",\"auth\":{\"token\":\"********\"}}}";
    (void)state;
    assert_true(gives("{\"name\":\"x\",\"config\":{\"auth\":{\"token\":\"t\"}}}", shown));
    assert_true(gives("{\"name\":\"x\",\"webhook\":{\"auth\":{\"token\":\"t\"}}}", shown));
    assert_false(gives("{\"name\":\"x\",\"webhook\":{\"auth\":{\"token\":\"********\"}}}", shown));
    assert_false(gives("{\"name\":\"x\",\"webhook\":{\"url\":\"v\"}}", shown));
}

static void test_equal_but_for_what_the_server_adds(void **state)
{
    cJSON *wanted = parsed("{\"name\":\"x\",\"tags\":{\"a\":\"1\"},\"enabled\":true}");
    cJSON *present = parsed("{\"id\":\"job_1\",\"enabled\":true,\"name\":\"x\",\"version\":3,\"created_at\":\"c\",\"updated_at\":"
                            "\"u\",\"updated_by\":null,\"last_run\":null,\"last_status\":null,\"running\":0,\"next_run\":null,"
                            "\"held\":\"h\",\"tags\":{\"a\":\"1\"}}");
    cJSON *other = parsed("{\"name\":\"x\",\"tags\":{\"a\":\"2\"},\"enabled\":true}");
    (void)state;
    assert_true(job_is_equal(wanted, present));
    assert_int_equal(cJSON_GetArraySize(present), 3);
    assert_false(job_is_equal(wanted, other));
    cJSON_Delete(wanted);
    cJSON_Delete(present);
    cJSON_Delete(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masks_without_a_secret_behind_them),
        cmocka_unit_test(test_masks_that_keep_a_stored_secret),
        cmocka_unit_test(test_values_given_for_secrets),
        cmocka_unit_test(test_equal_but_for_what_the_server_adds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
