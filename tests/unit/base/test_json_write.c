#include "base/json.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/id.h"
#include "check.h"

static struct buffer out;

static int begin(void **state)
{
    (void)state;
    buffer_init(&out, 1 << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    buffer_deinit(&out);
    return 0;
}

static void places_commas(void **state)
{
    (void)state;
    struct json_writer w = json_writer_on(&out);
    json_object_begin(&w);
    json_member_string(&w, "s", "x");
    json_key(&w, "list");
    json_array_begin(&w);
    json_int(&w, 1);
    json_array_begin(&w);
    json_array_end(&w);
    json_object_begin(&w);
    json_object_end(&w);
    json_null(&w);
    json_raw(&w, "{\"raw\":1}", 9);
    json_array_end(&w);
    json_member_int(&w, "i", INT64_MIN);
    json_member_bool(&w, "b", true);
    json_member_bool(&w, "c", false);
    json_member_null(&w, "n");
    json_member_string(&w, "none", NULL);
    json_member_time(&w, "at", 1798761600000);
    json_member_time(&w, "never", 0);
    json_member_duration(&w, "every", 5400000);
    json_key(&w, "first");
    json_time(&w, 0);
    json_key(&w, "half");
    json_number(&w, 0.5);
    json_key(&w, "thousandths");
    json_array_begin(&w);
    for (uint32_t value = 1; value <= 2000; value *= 10)
        json_thousandths(&w, value);
    json_thousandths(&w, 0);
    json_thousandths(&w, 4294967250);
    json_array_end(&w);
    json_object_end(&w);
    assert_string_equal(out.data,
                        "{\"s\":\"x\",\"list\":[1,[],{},null,{\"raw\":1}],\"i\":-9223372036854775808,\"b\":true,"
                        "\"c\":false,\"n\":null,\"none\":null,\"at\":\"2027-01-01T00:00:00.000Z\",\"never\":null,"
                        "\"every\":\"1h30m\",\"first\":\"1970-01-01T00:00:00.000Z\",\"half\":0.5,"
                        "\"thousandths\":[0.001,0.01,0.1,1,0,4294967.25]}");
}

static void values_at_the_top_follow_each_other(void **state)
{
    (void)state;
    struct json_writer w = json_writer_on(&out);
    for (int i = 0; i < 2; i++) {
        json_object_begin(&w);
        json_member_int(&w, "i", i);
        json_object_end(&w);
        buffer_append_char(&out, '\n');
    }
    assert_string_equal(out.data, "{\"i\":0}\n{\"i\":1}\n");
}

static void escapes_strings(void **state)
{
    (void)state;
    struct json_writer w = json_writer_on(&out);
    json_string_bytes(&w, "\"\\/\b\f\n\r\t\0\x1F\x7F <\xC3\xA9>", 16);
    assert_string_equal(out.data, "\"\\\"\\\\/\\b\\f\\n\\r\\t\xEF\xBF\xBD\\u001f\\u007f <\xC3\xA9>\"");
}

static void bad_utf8_is_replaced(void **state)
{
    (void)state;
    struct json_writer w = json_writer_on(&out);
    json_string(&w, "a\xFFz\xC3");
    assert_string_equal(out.data, "\"a\xEF\xBF\xBDz\xEF\xBF\xBD\"");
    buffer_clear(&out);
    json_string_bytes(&w, NULL, 0);
    assert_string_equal(out.data, "\"\"");
}

static void keys_are_escaped(void **state)
{
    (void)state;
    struct json_writer w = json_writer_on(&out);
    json_object_begin(&w);
    json_member_int(&w, "a\"b\n", 1);
    json_object_end(&w);
    assert_string_equal(out.data, "{\"a\\\"b\\n\":1}");
}

static void any_bytes_give_text_that_parses(void **state)
{
    (void)state;
    struct random r;
    random_seed(&r, 21);
    for (int round = 0; round < 2000; round++) {
        uint8_t bytes[40];
        size_t size = random_below(&r, sizeof bytes);
        for (size_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)random_next(&r) | 1; /* NUL would be refused */
        buffer_clear(&out);
        struct json_writer w = json_writer_on(&out);
        json_string_bytes(&w, bytes, size);
        cJSON *tree = NULL;
        struct error err;
        assert_int_equal(json_parse(out.data, out.size, &tree, &err), STATUS_OK);
        cJSON_Delete(tree);
    }
}

static void numbers_read_back(void **state)
{
    (void)state;
    static const double values[] = {0.1,    1.0 / 3, DBL_MAX, -DBL_MAX, DBL_MIN,
                                    5e-324, 1e21,    9007199254740993.0, -123.456};
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        buffer_clear(&out);
        struct json_writer w = json_writer_on(&out);
        json_number(&w, values[i]);
        assert_true(strtod(out.data, NULL) == values[i]);
        cJSON *tree = NULL;
        struct error err;
        assert_int_equal(json_parse(out.data, out.size, &tree, &err), STATUS_OK);
        assert_true(tree->valuedouble == values[i]);
        cJSON_Delete(tree);
    }
    buffer_clear(&out);
    struct json_writer w = json_writer_on(&out);
    json_array_begin(&w);
    json_number(&w, (double)NAN);
    json_number(&w, (double)INFINITY);
    json_number(&w, 3.0);
    json_number(&w, -0.0);
    json_array_end(&w);
    assert_string_equal(out.data, "[null,null,3,0]");
}

static void the_depth_limit_is_usable(void **state)
{
    (void)state;
    struct json_writer w = json_writer_on(&out);
    for (int i = 1; i < JSON_WRITER_DEPTH; i++)
        json_array_begin(&w);
    for (int i = 1; i < JSON_WRITER_DEPTH; i++)
        json_array_end(&w);
    assert_string_equal(out.data, "[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]");
}

static void a_full_buffer_is_seen_at_the_end(void **state)
{
    (void)state;
    struct buffer small;
    buffer_init(&small, 5);
    struct json_writer w = json_writer_on(&small);
    json_object_begin(&w);
    json_member_string(&w, "key", "value");
    json_object_end(&w);
    assert_int_equal(small.failed, STATUS_TOO_LARGE);
    buffer_deinit(&small);
}

static void value_without_key(void)
{
    struct json_writer w = json_writer_on(&out);
    json_object_begin(&w);
    json_int(&w, 1);
}

static void key_without_value(void)
{
    struct json_writer w = json_writer_on(&out);
    json_object_begin(&w);
    json_key(&w, "a");
    json_object_end(&w);
}

static void key_after_key(void)
{
    struct json_writer w = json_writer_on(&out);
    json_object_begin(&w);
    json_key(&w, "a");
    json_key(&w, "b");
}

static void key_in_array(void)
{
    struct json_writer w = json_writer_on(&out);
    json_array_begin(&w);
    json_key(&w, "a");
}

static void key_at_the_top(void)
{
    struct json_writer w = json_writer_on(&out);
    json_key(&w, "a");
}

static void wrong_bracket(void)
{
    struct json_writer w = json_writer_on(&out);
    json_array_begin(&w);
    json_object_end(&w);
}

static void end_without_begin(void)
{
    struct json_writer w = json_writer_on(&out);
    json_array_end(&w);
}

static void too_deep(void)
{
    struct json_writer w = json_writer_on(&out);
    for (int i = 0; i < JSON_WRITER_DEPTH; i++)
        json_array_begin(&w);
}

static void misuse_aborts(void **state)
{
    (void)state;
    assert_true(aborts(value_without_key));
    assert_true(aborts(key_without_value));
    assert_true(aborts(key_after_key));
    assert_true(aborts(key_in_array));
    assert_true(aborts(key_at_the_top));
    assert_true(aborts(wrong_bracket));
    assert_true(aborts(end_without_begin));
    assert_true(aborts(too_deep));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(places_commas, begin, end),
        cmocka_unit_test_setup_teardown(values_at_the_top_follow_each_other, begin, end),
        cmocka_unit_test_setup_teardown(escapes_strings, begin, end),
        cmocka_unit_test_setup_teardown(bad_utf8_is_replaced, begin, end),
        cmocka_unit_test_setup_teardown(keys_are_escaped, begin, end),
        cmocka_unit_test_setup_teardown(any_bytes_give_text_that_parses, begin, end),
        cmocka_unit_test_setup_teardown(numbers_read_back, begin, end),
        cmocka_unit_test_setup_teardown(the_depth_limit_is_usable, begin, end),
        cmocka_unit_test_setup_teardown(a_full_buffer_is_seen_at_the_end, begin, end),
        cmocka_unit_test_setup_teardown(misuse_aborts, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
