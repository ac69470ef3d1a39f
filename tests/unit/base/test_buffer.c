#include "base/buffer.h"

#include <stdlib.h>

#include "check.h"

static void appends_and_terminates(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 1000);
    assert_null(b.data);
    buffer_append(&b, "abc", 3);
    buffer_append_string(&b, "def");
    buffer_append_char(&b, 'g');
    buffer_appendf(&b, "%d-%s", 42, "x");
    assert_int_equal(b.failed, STATUS_OK);
    assert_string_equal(b.data, "abcdefg42-x");
    assert_int_equal(b.size, 11);
    struct bytes bytes = buffer_bytes(&b);
    assert_int_equal(bytes.size, 11);
    assert_ptr_equal(bytes.data, b.data);
    buffer_deinit(&b);
    buffer_deinit(&b);
    struct buffer zeroed = {0};
    buffer_deinit(&zeroed);
}

static void holds_exactly_its_limit(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 100);
    for (int i = 0; i < 100; i++)
        buffer_append_char(&b, 'x');
    assert_int_equal(b.failed, STATUS_OK);
    buffer_append(&b, "", 0);
    assert_int_equal(b.failed, STATUS_OK);
    buffer_append_char(&b, 'y');
    assert_int_equal(b.failed, STATUS_TOO_LARGE);
    assert_int_equal(b.size, 100);
    assert_true(b.capacity <= 101);
    buffer_clear(&b);
    assert_int_equal(b.failed, STATUS_OK);
    assert_int_equal(b.size, 0);
    assert_string_equal(b.data, "");
    buffer_deinit(&b);
}

static void does_nothing_after_a_failure(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 4);
    buffer_append(&b, "ab", 2);
    buffer_append(&b, "cde", 3);
    assert_int_equal(b.failed, STATUS_TOO_LARGE);
    buffer_append(&b, "c", 1); /* would fit */
    buffer_appendf(&b, "%d", 1);
    assert_null(buffer_reserve(&b, 1));
    assert_string_equal(b.data, "ab");
    assert_int_equal(b.size, 2);
    size_t size = 77;
    assert_null(buffer_steal(&b, &size));
    assert_int_equal(size, 77);
    assert_null(b.data);
    buffer_deinit(&b);
}

static void expecting_more_than_fits_is_no_failure(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 100);
    buffer_expect(&b, 1000);
    for (int i = 0; i < 100; i++)
        buffer_append_char(&b, 'x');
    buffer_expect(&b, 1);
    assert_int_equal(b.failed, STATUS_OK);
    assert_int_equal(b.size, 100);
    buffer_deinit(&b);
}

static void a_limit_of_zero_holds_nothing(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 0);
    buffer_append(&b, NULL, 0);
    assert_int_equal(b.failed, STATUS_OK);
    buffer_append_char(&b, 'x');
    assert_int_equal(b.failed, STATUS_TOO_LARGE);
    buffer_deinit(&b);
}

static void huge_sizes_do_not_overflow(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, SIZE_MAX);
    buffer_append_char(&b, 'x');
    assert_null(buffer_reserve(&b, SIZE_MAX));
    assert_int_equal(b.failed, STATUS_TOO_LARGE);
    assert_string_equal(b.data, "x");
    buffer_deinit(&b);
}

static void formats_across_growth(void **state)
{
    (void)state;
    /* Every alignment of a text against the capacity, the limit included. */
    for (size_t before = 0; before < 140; before++) {
        struct buffer b;
        buffer_init(&b, 150);
        for (size_t i = 0; i < before; i++)
            buffer_append_char(&b, 'x');
        buffer_appendf(&b, "%s", "0123456789");
        assert_int_equal(b.failed, STATUS_OK);
        assert_int_equal(b.size, before + 10);
        assert_string_equal(b.data + before, "0123456789");
        buffer_appendf(&b, "%0150d", 1);
        assert_int_equal(b.failed, STATUS_TOO_LARGE);
        assert_int_equal(b.size, before + 10);
        assert_string_equal(b.data + before, "0123456789");
        buffer_deinit(&b);
    }
}

static void reserve_and_commit(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 100);
    char *at = buffer_reserve(&b, 50);
    assert_non_null(at);
    memset(at, 'r', 50);
    buffer_commit(&b, 20);
    assert_int_equal(b.size, 20);
    assert_int_equal(b.data[20], '\0');
    assert_non_null(buffer_reserve(&b, 80));
    assert_null(buffer_reserve(&b, 81));
    buffer_deinit(&b);
}

static void consume_drops_the_front(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 100);
    buffer_consume(&b, 0);
    buffer_append_string(&b, "abcdef");
    buffer_consume(&b, 2);
    assert_string_equal(b.data, "cdef");
    buffer_consume(&b, 4);
    assert_string_equal(b.data, "");
    assert_int_equal(b.size, 0);
    buffer_deinit(&b);
}

static void consume_too_much(void)
{
    struct buffer b;
    buffer_init(&b, 10);
    buffer_append_string(&b, "ab");
    buffer_consume(&b, 3);
}

static void commit_too_much(void)
{
    struct buffer b;
    buffer_init(&b, 10);
    (void)buffer_reserve(&b, 2);
    buffer_commit(&b, 11);
}

static void misuse_aborts(void **state)
{
    (void)state;
    assert_true(aborts(consume_too_much));
    assert_true(aborts(commit_too_much));
}

static void steal_hands_over(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 10);
    size_t size = 1;
    char *text = buffer_steal(&b, &size);
    assert_string_equal(text, "");
    assert_int_equal(size, 0);
    free(text);
    buffer_append_string(&b, "hello");
    text = buffer_steal(&b, NULL);
    assert_string_equal(text, "hello");
    assert_null(b.data);
    assert_int_equal(b.limit, 10);
    buffer_append_string(&b, "again");
    assert_string_equal(text, "hello");
    free(text);
    buffer_deinit(&b);
}

static void utf8_is_cut_between_characters(void **state)
{
    (void)state;
    static const char text[] = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"; /* 1 + 2 + 3 + 4 bytes */
    static const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
    for (size_t max = 0; max < COUNT_OF(expected); max++)
        assert_int_equal(utf8_cut(text, 10, max), expected[max]);
    assert_int_equal(utf8_cut("\x80\x80\x80\x80\x80\x80\x80\x80", 8, 6), 6); /* not UTF-8: as asked */
}

static void utf8_accepts_the_edges(void **state)
{
    (void)state;
    static const char *const good[] = {
        "", "a\x7F", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80", "\xEF\xBF\xBF",
        "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF",
    };
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_true(utf8_valid(good[i], strlen(good[i]), NULL));
    assert_true(utf8_valid("a\0b", 3, NULL));
    assert_true(utf8_valid(NULL, 0, NULL));
}

static void utf8_refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",             "\xBF",             "\xC0\x80",         "\xC1\xBF", "\xC3",         "\xC3(",
        "\xE0\x9F\xBF",     "\xE2\x82",         "\xE2(\xA1",        "\xED\xA0\x80" /* U+D800 */,
        "\xED\xBF\xBF",     "\xF0\x8F\xBF\xBF", "\xF0\x9F\x98",     "\xF4\x90\x80\x80" /* U+110000 */,
        "\xF5\x80\x80\x80", "\xFF",             "\xFE",             "\xE2\x82\xC0",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char text[16] = "ok";
        strcat(text, bad[i]);
        size_t at = 99;
        assert_false(utf8_valid(text, strlen(text), &at));
        assert_int_equal(at, 2);
        assert_int_equal(utf8_sequence_size(bad[i], strlen(bad[i])), 0);
    }
    assert_int_equal(utf8_sequence_size("", 0), 0);
    assert_int_equal(utf8_sequence_size("\xE2\x82\xAC!", 4), 3);
}

static void utf8_is_checked_behind_words_of_ascii(void **state)
{
    (void)state;
    char text[40];
    for (size_t place = 0; place + 3 <= sizeof text; place++) {
        size_t at = 99;
        memset(text, 'x', sizeof text);
        memcpy(text + place, "\xE2\x82\xAC", 3);
        assert_true(utf8_valid(text, sizeof text, &at));
        text[place + 2] = '(';
        assert_false(utf8_valid(text, sizeof text, &at));
        assert_int_equal(at, place);
    }
}

/* Each byte at each place of two words and a rest, alone and with an equal one behind it. */
static void plain_text_ends_at_the_first_special_byte(void **state)
{
    (void)state;
    char text[20];
    for (int c = 0; c < 256; c++) {
        bool is_plain = c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
        for (size_t place = 0; place < sizeof text; place++) {
            memset(text, place % 2 == 0 ? ' ' : '~', sizeof text); /* both ends of what is plain */
            text[place] = (char)c;
            assert_int_equal(plain_text_size(text, sizeof text), is_plain ? sizeof text : place);
            assert_int_equal(plain_text_size(text, place), place);
            text[sizeof text - 1] = (char)c;
            assert_int_equal(plain_text_size(text, sizeof text), is_plain ? sizeof text : place);
        }
    }
    assert_int_equal(plain_text_size("", 0), 0);
}

static void writes_decimal_numbers(void **state)
{
    (void)state;
    char text[DECIMAL_TEXT_SIZE];
    struct buffer b;
    buffer_init(&b, 100);
    assert_int_equal(decimal_format(0, text), 1);
    assert_string_equal(text, "0");
    assert_int_equal(decimal_format(UINT64_MAX, text), 20);
    assert_string_equal(text, "18446744073709551615");
    buffer_append_int(&b, INT64_MIN);
    buffer_append_char(&b, ' ');
    buffer_append_int(&b, INT64_MAX);
    buffer_append_char(&b, ' ');
    buffer_append_int(&b, -10);
    assert_string_equal(b.data, "-9223372036854775808 9223372036854775807 -10");
    buffer_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_and_terminates),
        cmocka_unit_test(holds_exactly_its_limit),
        cmocka_unit_test(does_nothing_after_a_failure),
        cmocka_unit_test(expecting_more_than_fits_is_no_failure),
        cmocka_unit_test(a_limit_of_zero_holds_nothing),
        cmocka_unit_test(huge_sizes_do_not_overflow),
        cmocka_unit_test(formats_across_growth),
        cmocka_unit_test(reserve_and_commit),
        cmocka_unit_test(consume_drops_the_front),
        cmocka_unit_test(misuse_aborts),
        cmocka_unit_test(steal_hands_over),
        cmocka_unit_test(utf8_is_cut_between_characters),
        cmocka_unit_test(utf8_accepts_the_edges),
        cmocka_unit_test(utf8_refuses),
        cmocka_unit_test(utf8_is_checked_behind_words_of_ascii),
        cmocka_unit_test(plain_text_ends_at_the_first_special_byte),
        cmocka_unit_test(writes_decimal_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
