/* Secrets of stored jobs: which documents need masking, and what is hidden. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/masks.h"
#include "support.h"

static struct bytes text_of(const char *text)
{
    return (struct bytes){text, strlen(text)};
}

static struct masks *new_masks(void **state)
{
    const struct support *support = *state;
    struct masks *masks = NULL;
    struct error err;
    assert_int_equal(masks_new(support->registry, &masks, &err), STATUS_OK);
    return masks;
}

static void test_needed(void **state)
{
    struct masks *masks = new_masks(state);
    assert_false(masks_needed(masks, text_of("{\"name\":\"n\",\"executor\":\"shell\",\"config\":{\"command\":\"x\"}}")));
    assert_false(masks_needed(masks, text_of("{\"name\":\"n\",\"executor\":\"http\",\"config\":{\"url\":\"x\"}}")));
    assert_true(masks_needed(masks, text_of("{\"name\":\"n\",\"executor\":\"http\",\"config\":{\"auth\":{\"token\":\"x\"}}}")));
    assert_true(masks_needed(masks, text_of("{\"executor\":\"http\",\"config\":{\"auth\":{\"password\":\"x\"}}}")));
    /* The shell has no secrets: the same word means nothing there. */
    assert_false(masks_needed(masks, text_of("{\"executor\":\"shell\",\"config\":{\"env\":{\"token\":\"x\"}}}")));
    assert_true(masks_needed(masks, text_of("{\"executor\":\"gone\",\"config\":{\"a\":\"x\"}}")));
    assert_true(masks_needed(masks, text_of("{}")));
    masks_free(masks);
}

/* A text that looks like the member is escaped inside a string. */
static void test_executor_is_the_member(void **state)
{
    struct bytes found = document_executor(
        text_of("{\"name\":\"n\",\"description\":\"\\\"executor\\\":\\\"http\\\"\",\"executor\":\"shell\",\"config\":{}}"));
    (void)state;
    assert_int_equal(found.size, 5);
    assert_memory_equal(found.data, "shell", 5);
    assert_int_equal(document_executor(text_of("{\"executor\":\"")).size, 0);
    assert_int_equal(document_executor(text_of("")).size, 0);
}

static void check_masked(void **state, const char *text, const char *expected)
{
    struct masks *masks = new_masks(state);
    cJSON *json = NULL;
    struct buffer out;
    struct error err;
    buffer_init(&out, 4096);
    assert_int_equal(json_parse(text, strlen(text), &json, &err), STATUS_OK);
    assert_true(masks_apply(masks, json));
    json_print(&out, json);
    assert_string_equal(out.data, expected);
    buffer_deinit(&out);
    cJSON_Delete(json);
    masks_free(masks);
}

static void test_apply(void **state)
{
    check_masked(state, "{\"executor\":\"http\",\"config\":{\"url\":\"u\",\"auth\":{\"token\":\"s\",\"username\":\"n\"}},\"tags\":{}}",
                 "{\"executor\":\"http\",\"config\":{\"url\":\"u\",\"auth\":{\"token\":\"********\",\"username\":\"n\"}},\"tags\":{}}");
    check_masked(state, "{\"executor\":\"http\",\"config\":{\"auth\":{\"token\":\"${env:TOKEN}\"}}}",
                 "{\"executor\":\"http\",\"config\":{\"auth\":{\"token\":\"${env:TOKEN}\"}}}");
    check_masked(state, "{\"executor\":\"shell\",\"config\":{\"command\":\"c\"}}",
                 "{\"executor\":\"shell\",\"config\":{\"command\":\"c\"}}");
    check_masked(state, "{\"executor\":\"gone\",\"config\":{\"a\":[\"x\",1,{\"b\":\"y\"}],\"c\":true}}",
                 "{\"executor\":\"gone\",\"config\":{\"a\":[\"********\",1,{\"b\":\"********\"}],\"c\":true}}");
    check_masked(state, "{\"executor\":\"http\"}", "{\"executor\":\"http\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_needed),
        cmocka_unit_test(test_executor_is_the_member),
        cmocka_unit_test(test_apply),
    };
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
