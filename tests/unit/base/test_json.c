#include "base/json.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "check.h"

/* Parses a copy of exactly that size, so that a sanitizer sees a read beyond it. */
static enum status parse(const char *text, size_t size, cJSON **ret, struct error *err)
{
    char *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, text, size);
    enum status status = json_parse(copy, size, ret, err);
    free(copy);
    return status;
}

static void assert_prints(const char *text, size_t size, const char *expected)
{
    cJSON *tree = NULL;
    struct error err = {0};
    if (parse(text, size, &tree, &err) != STATUS_OK)
        fail_msg("%s: %s", text, err.message);
    struct buffer out;
    buffer_init(&out, 1 << 20);
    json_print(&out, tree);
    assert_string_equal(out.data, expected);
    buffer_deinit(&out);
    cJSON_Delete(tree);
}

static void assert_refused(const char *text, size_t size, const char *message)
{
    cJSON *untouched = (cJSON *)&untouched, *tree = untouched;
    struct error err = {0};
    if (parse(text, size, &tree, &err) != STATUS_MALFORMED)
        fail_msg("\"%s\" was taken", text);
    assert_ptr_equal(tree, untouched);
    assert_string_equal(err.message, message);
}

static void good_texts_print_normalised(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"null", "null"},
        {" true ", "true"},
        {"\t\r\nfalse\n", "false"},
        {"0", "0"},
        {"-0", "0"},
        {"-0.5", "-0.5"},
        {"10", "10"},
        {"1E2", "100"},
        {"1e+2", "100"},
        {"12.5e-1", "1.25"},
        {"0.1", "0.1"},
        {"1e300", "1e+300"},
        {"9007199254740992", "9007199254740992"},
        {"-9007199254740992", "-9007199254740992"},
        {"1e-999", "0"},
        {"0.30000000000000004", "0.30000000000000004"},
        {"\"\"", "\"\""},
        {"\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"a\\\"\\\\/\\b\\f\\n\\r\\t\""},
        {"\"\\u00e9\\u20AC\\ud83d\\ude00\"", "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""},
        {"\"\\u001f\\u007f\"", "\"\\u001f\\u007f\""},
        {"[]", "[]"},
        {"[ ]", "[]"},
        {"{}", "{}"},
        {"{ }", "{}"},
        {"[1, 2 ,3]", "[1,2,3]"},
        {"{ \"b\" : 1 , \"a\" : [ { } ] }", "{\"b\":1,\"a\":[{}]}"},
        {"{\"a\":1,\"A\":2}", "{\"a\":1,\"A\":2}"},
        {"{\"\":1}", "{\"\":1}"},
        {"{\"a\":{\"a\":1},\"b\":{\"a\":1}}", "{\"a\":{\"a\":1},\"b\":{\"a\":1}}"},
        {"[[],[[]],null,true,false,\"x\"]", "[[],[[]],null,true,false,\"x\"]"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_prints(cases[i][0], strlen(cases[i][0]), cases[i][1]);
}

static void bad_texts_name_the_place(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "line 1, column 1: expected a value"},
        {"  \n ", "line 2, column 2: expected a value"},
        {"nul", "line 1, column 1: expected a value"},
        {"nulL", "line 1, column 1: expected a value"},
        {"True", "line 1, column 1: expected a value"},
        {"NaN", "line 1, column 1: expected a value"},
        {"Infinity", "line 1, column 1: expected a value"},
        {"-Infinity", "line 1, column 2: expected a digit"},
        {"'a'", "line 1, column 1: expected a value"},
        {"1 2", "line 1, column 3: unexpected text after the value"},
        {"nullx", "line 1, column 5: unexpected text after the value"},
        {"{}}", "line 1, column 3: unexpected text after the value"},
        {"[1,]", "line 1, column 4: expected a value"},
        {"[,1]", "line 1, column 2: expected a value"},
        {"[1 2]", "line 1, column 4: expected \",\" or \"]\" after a value"},
        {"[1", "line 1, column 3: expected \",\" or \"]\" after a value"},
        {"[", "line 1, column 2: expected a value"},
        {"]", "line 1, column 1: expected a value"},
        {"[1}", "line 1, column 3: expected \",\" or \"]\" after a value"},
        {"{\n  \"a\": 1,\n  \"b\": true false\n}", "line 3, column 13: expected \",\" or \"}\" after a value"},
        {"{\"a\":1,}", "line 1, column 8: expected a key in double quotes"},
        {"{a:1}", "line 1, column 2: expected a key in double quotes"},
        {"{1:1}", "line 1, column 2: expected a key in double quotes"},
        {"{", "line 1, column 2: expected a key in double quotes"},
        {"{\"a\"", "line 1, column 5: expected \":\" after a key"},
        {"{\"a\" 1}", "line 1, column 6: expected \":\" after a key"},
        {"{\"a\":}", "line 1, column 6: expected a value"},
        {"{\"a\":1", "line 1, column 7: expected \",\" or \"}\" after a value"},
        {"{\"1\":1,", "line 1, column 8: expected a key in double quotes"},
        {"[1] // note", "line 1, column 5: unexpected text after the value"},
        {"\xEF\xBB\xBF{}", "line 1, column 1: expected a value"},
        {"\v1", "line 1, column 1: expected a value"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_refused(cases[i][0], strlen(cases[i][0]), cases[i][1]);
}

static void bad_strings(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"\"abc", "line 1, column 1: a string without its closing '\"'"},
        {"[\"\xC3\xA9\", \"abc", "line 1, column 7: a string without its closing '\"'"},
        {"\"a\nb\"", "line 1, column 3: a control character in a string must be escaped"},
        {"\"\x1F\"", "line 1, column 2: a control character in a string must be escaped"},
        {"\"\\x41\"", "line 1, column 2: \"\\\" must be followed by one of \" \\ / b f n r t u"},
        {"\"\\", "line 1, column 2: \"\\\" must be followed by one of \" \\ / b f n r t u"},
        {"\"\\u12\"", "line 1, column 2: \"\\u\" must be followed by four hexadecimal digits"},
        {"\"\\u12g4\"", "line 1, column 2: \"\\u\" must be followed by four hexadecimal digits"},
        {"\"\\u", "line 1, column 2: \"\\u\" must be followed by four hexadecimal digits"},
        {"\"a\\u0000b\"", "line 1, column 3: a string must not hold NUL"},
        {"{\"\\u0000\":1}", "line 1, column 3: a string must not hold NUL"},
        {"\"\\ud83d\"", "line 1, column 2: a high surrogate without a low one behind it"},
        {"\"\\ud83dx\"", "line 1, column 2: a high surrogate without a low one behind it"},
        {"\"\\ud83d\\n\"", "line 1, column 2: a high surrogate without a low one behind it"},
        {"\"\\ud83d\\u0041\"", "line 1, column 2: a high surrogate without a low one behind it"},
        {"\"\\ud83d\\ud83d\"", "line 1, column 2: a high surrogate without a low one behind it"},
        {"\"\\ude00\"", "line 1, column 2: a low surrogate without a high one before it"},
        {"\"\xC3\"", "line 1, column 2: not valid UTF-8"},
        {"{\n\"a\":\"\xED\xA0\x80\"}", "line 2, column 6: not valid UTF-8"},
        {"\"\xC0\x80\"", "line 1, column 2: not valid UTF-8"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_refused(cases[i][0], strlen(cases[i][0]), cases[i][1]);
    assert_refused("\"a\0b\"", 5, "line 1, column 3: a string must not hold NUL");
    assert_refused("1\0", 2, "line 1, column 2: unexpected text after the value");
    assert_refused("\"\\\0\"", 4, "line 1, column 2: \"\\\" must be followed by one of \" \\ / b f n r t u");
}

static void bad_numbers(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"01", "line 1, column 1: a number must not begin with 0"},
        {"00", "line 1, column 1: a number must not begin with 0"},
        {"-01", "line 1, column 1: a number must not begin with 0"},
        {"-", "line 1, column 2: expected a digit"},
        {"+1", "line 1, column 1: expected a value"},
        {".5", "line 1, column 1: expected a value"},
        {"1.", "line 1, column 3: expected a digit"},
        {"1.e5", "line 1, column 3: expected a digit"},
        {"1e", "line 1, column 3: expected a digit"},
        {"1e+", "line 1, column 4: expected a digit"},
        {"0x10", "line 1, column 2: unexpected text after the value"},
        {"1e999", "line 1, column 1: the number is too large"},
        {"[-1.0E+400]", "line 1, column 2: the number is too large"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_refused(cases[i][0], strlen(cases[i][0]), cases[i][1]);
}

static void number_text_has_a_maximum(void **state)
{
    (void)state;
    char text[65];
    memset(text, '1', sizeof text);
    text[1] = '.';
    assert_prints(text, 63, "1.1111111111111112");
    assert_refused(text, 64, "line 1, column 1: a number must have at most 63 characters");
}

static size_t nested(char *text, size_t depth, bool object)
{
    size_t size = 0;
    for (size_t i = 0; i < depth; i++)
        size += (size_t)sprintf(text + size, object ? "{\"k\":" : "[");
    if (object)
        text[size++] = '1';
    for (size_t i = 0; i < depth; i++)
        text[size++] = object ? '}' : ']';
    text[size] = '\0';
    return size;
}

static void depth_has_a_maximum(void **state)
{
    (void)state;
    static char text[1000000];
    for (int object = 0; object < 2; object++) {
        size_t size = nested(text, JSON_DEPTH_MAX, object);
        assert_prints(text, size, text);
        size = nested(text, JSON_DEPTH_MAX + 1, object);
        char message[64];
        int column = JSON_DEPTH_MAX * (object ? 5 : 1) + 1;
        (void)snprintf(message, sizeof message, "line 1, column %d: nested too deeply", column);
        assert_refused(text, size, message);
    }
    memset(text, '[', sizeof text);
    assert_refused(text, sizeof text, "line 1, column 33: nested too deeply");
}

static void duplicate_keys_are_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"a\":1,\"a\":2}", "line 1, column 8: the key \"a\" is there twice"},
        {"{\"a\":1,\n \"\\u0061\":2}", "line 2, column 2: the key \"a\" is there twice"},
        {"{\"\":1,\"\":2}", "line 1, column 7: the key \"\" is there twice"},
        {"[{\"x\":1},{\"a\":{\"b\":[{\"c\":1,\"c\":1}]}}]", "line 1, column 28: the key \"c\" is there twice"},
        {"{\"a\":{\"b\":1,\"c\":2},\"d\":3,\"a\":{\"x\":1,\"x\":2}}",
         "line 1, column 26: the key \"a\" is there twice"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_refused(cases[i][0], strlen(cases[i][0]), cases[i][1]);
}

/* An object whose last key repeats its first: found in both ways of looking, and quickly. */
static void duplicate_keys_in_objects_of_all_sizes(void **state)
{
    (void)state;
    static const int counts[] = {2, 15, 16, 17, 18, 100, 100000};
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        struct buffer text;
        buffer_init(&text, 16 << 20);
        for (int key = 0; key < counts[i]; key++)
            buffer_appendf(&text, "%s\"key%d\":[]", key ? "," : "{", key);
        cJSON *tree = NULL;
        struct error err;
        buffer_append_char(&text, '}');
        assert_int_equal(parse(text.data, text.size, &tree, &err), STATUS_OK);
        cJSON_Delete(tree);
        text.size--;
        char message[80];
        (void)snprintf(message, sizeof message, "line 1, column %zu: the key \"key0\" is there twice", text.size + 2);
        buffer_append_string(&text, ",\"key0\":1}");
        assert_refused(text.data, text.size, message);
        buffer_deinit(&text);
    }
}

static void a_long_duplicate_key_is_cut(void **state)
{
    (void)state;
    struct buffer text;
    buffer_init(&text, 10000);
    for (int i = 0; i < 2; i++)
        buffer_appendf(&text, "%s\"%0500d\":1", i ? "," : "{", 0);
    buffer_append_char(&text, '}');
    cJSON *tree;
    struct error err;
    assert_int_equal(parse(text.data, text.size, &tree, &err), STATUS_MALFORMED);
    assert_true(strlen(err.message) < 150);
    buffer_deinit(&text);
}

/* Each prefix of a good text is a bad text; each changed byte is refused or parsed, never a crash. */
static void damaged_texts(void **state)
{
    (void)state;
    static const char text[] = "{\"name\":\"n\\u00e9\\ud83d\\ude00\","
                               "\"list\":[1,-2.5e3,true,false,null,{\"\":\"\xE2\x82\xAC\"}]}";
    size_t size = strlen(text);
    for (size_t cut = 0; cut < size; cut++) {
        cJSON *tree = NULL;
        struct error err;
        assert_int_equal(parse(text, cut, &tree, &err), STATUS_MALFORMED);
    }
    int refused = 0;
    for (size_t at = 0; at < size; at++)
        for (int byte = 0; byte < 256; byte++) {
            char copy[sizeof text];
            memcpy(copy, text, sizeof text);
            copy[at] = (char)byte;
            cJSON *tree = NULL;
            struct error err;
            enum status status = parse(copy, size, &tree, &err);
            assert_true(status == STATUS_OK || status == STATUS_MALFORMED);
            assert_int_equal(status == STATUS_OK, tree != NULL);
            refused += status == STATUS_MALFORMED;
            cJSON_Delete(tree);
        }
    assert_true(refused > (int)size * 100);
}

static void the_locale_does_not_matter(void **state)
{
    (void)state;
    static const char *const with_comma[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8"};
    for (size_t i = 0; i < COUNT_OF(with_comma); i++)
        if (setlocale(LC_NUMERIC, with_comma[i]))
            break;
    assert_prints("[0.1,1.5e3,-2.25]", 17, "[0.1,1500,-2.25]");
    assert_refused("1.5e999", 7, "line 1, column 1: the number is too large");
    setlocale(LC_NUMERIC, "C");
}

static void nearest_words(void **state)
{
    (void)state;
    static const char *const known[] = {"schedule", "name", "retry_policy", "tags", NULL};
    assert_string_equal(nearest_word("schedul", known), "schedule");
    assert_string_equal(nearest_word("Schedule", known), "schedule");
    assert_string_equal(nearest_word("shcedule", known), "schedule");
    assert_string_equal(nearest_word("nmae", known), "name");
    assert_string_equal(nearest_word("tag", known), "tags");
    assert_string_equal(nearest_word("retrypolicy", known), "retry_policy");
    assert_string_equal(nearest_word("name", known), "name");
    assert_null(nearest_word("executor", known));
    assert_null(nearest_word("", known));
    char longest[200];
    memset(longest, 'n', sizeof longest);
    longest[199] = '\0';
    assert_null(nearest_word(longest, known));
    static const char *const none[] = {NULL};
    assert_null(nearest_word("name", none));
    /* The nearest wins over the first that is near. */
    static const char *const two[] = {"timeouts_ms", "timeout_ms", NULL};
    assert_string_equal(nearest_word("timeout_m", two), "timeout_ms");
    /* Case costs nothing. */
    assert_string_equal(nearest_word("RETRY_POLICY", known), "retry_policy");
    /* "ab": distance 1 is near (1 + 2/3), 2 is not. */
    static const char *const limit[] = {"abcd", NULL};
    assert_null(nearest_word("ab", limit));
    assert_string_equal(nearest_word("abc", limit), "abcd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_texts_print_normalised),
        cmocka_unit_test(bad_texts_name_the_place),
        cmocka_unit_test(bad_strings),
        cmocka_unit_test(bad_numbers),
        cmocka_unit_test(number_text_has_a_maximum),
        cmocka_unit_test(depth_has_a_maximum),
        cmocka_unit_test(duplicate_keys_are_refused),
        cmocka_unit_test(duplicate_keys_in_objects_of_all_sizes),
        cmocka_unit_test(a_long_duplicate_key_is_cut),
        cmocka_unit_test(damaged_texts),
        cmocka_unit_test(the_locale_does_not_matter),
        cmocka_unit_test(nearest_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
