/* The shape of a problem document. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/api_internal.h"

static void check(enum status code, const char *detail, const struct field_errors *errors, const char *expected)
{
    struct buffer out;
    buffer_init(&out, 1 << 16);
    problem_write(&out, code, status_http(code), detail, "req-1", errors);
    assert_int_equal(out.failed, STATUS_OK);
    assert_string_equal(out.data, expected);
    buffer_deinit(&out);
}

static void test_shape(void **state)
{
    struct field_errors errors = {.count = 0};
    (void)state;
    check(STATUS_NOT_FOUND, "no \"x\"", NULL,
          "{\"type\":\"about:blank\",\"title\":\"Not found\",\"status\":404,\"detail\":\"no \\\"x\\\"\",\"code\":\"NOT_FOUND\","
          "\"request_id\":\"req-1\"}");
    check(STATUS_OVERLOADED, "", &errors,
          "{\"type\":\"about:blank\",\"title\":\"Overloaded\",\"status\":503,\"code\":\"OVERLOADED\",\"request_id\":\"req-1\"}");
    field_errors_add(&errors, "/retry_policy/max_attempts", "must be %d", 1);
    field_errors_add(&errors, "", "twice");
    check(STATUS_INVALID, "d", &errors,
          "{\"type\":\"about:blank\",\"title\":\"A value is not valid\",\"status\":422,\"detail\":\"d\",\"code\":\"INVALID\","
          "\"errors\":[{\"field\":\"/retry_policy/max_attempts\",\"message\":\"must be 1\"},{\"field\":\"\",\"message\":\"twice\"}],"
          "\"request_id\":\"req-1\"}");
}

/* More than fit are counted; the last that is listed is the last that was kept. */
static void test_many_errors(void **state)
{
    struct field_errors errors = {.count = 0};
    struct buffer out;
    cJSON *json = NULL;
    struct error err;
    (void)state;
    for (int i = 0; i < API_FIELD_ERRORS_MAX + 10; i++)
        field_errors_add(&errors, "/x", "%d", i);
    assert_int_equal(errors.count, API_FIELD_ERRORS_MAX + 10);
    buffer_init(&out, 1 << 16);
    problem_write(&out, STATUS_INVALID, 422, "", "r", &errors);
    assert_int_equal(json_parse(out.data, out.size, &json, &err), STATUS_OK);
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "errors");
    assert_int_equal(cJSON_GetArraySize(list), API_FIELD_ERRORS_MAX);
    const cJSON *last = cJSON_GetArrayItem(list, API_FIELD_ERRORS_MAX - 1);
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(last, "message")->valuestring, "19");
    cJSON_Delete(json);
    buffer_deinit(&out);
}

/* Field and message are cut, never overrun; what is cut stays JSON. */
static void test_long_texts(void **state)
{
    struct field_errors errors = {.count = 0};
    char text[2048];
    struct buffer out;
    cJSON *json = NULL;
    struct error err;
    (void)state;
    for (size_t i = 0; i + 1 < sizeof text; i++)
        text[i] = "\xc3\xa4"[i % 2];
    text[sizeof text - 1] = '\0';
    field_errors_add(&errors, text, "x%s", text);
    buffer_init(&out, 1 << 16);
    problem_write(&out, STATUS_INVALID, 422, text, "r", &errors);
    assert_int_equal(json_parse(out.data, out.size, &json, &err), STATUS_OK);
    cJSON_Delete(json);
    buffer_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shape), cmocka_unit_test(test_many_errors),
                                       cmocka_unit_test(test_long_texts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
