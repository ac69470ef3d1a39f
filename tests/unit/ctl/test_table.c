#include "ctl/table.h"

#include "check.h"
#include "ctl/text.h"

static void test_width(void **state)
{
    (void)state;
    assert_int_equal(text_width("abc", 3), 3);
    assert_int_equal(text_width("", 0), 0);
    assert_int_equal(text_width("caf\xc3\xa9", 5), 4);
    assert_int_equal(text_width("e\xcc\x81", 3), 1);                     /* e and a combining accent */
    assert_int_equal(text_width("\xe6\x97\xa5\xe6\x9c\xac", 6), 4);       /* two wide characters */
    assert_int_equal(text_width("\xff\xfe", 2), 2);                      /* bad bytes count one each */
}

static void assert_safe(const char *text, size_t size, enum text_keep keep, const char *expected)
{
    struct buffer out;
    buffer_init(&out, 1 << 16);
    buffer_append_string(&out, "");
    text_append_safe(&out, text, size, keep);
    assert_string_equal(out.data, expected);
    buffer_deinit(&out);
}

static void test_safe(void **state)
{
    (void)state;
    assert_safe("a\nb\tc\r", 6, TEXT_ONE_LINE, "a\\nb\\tc\\r");
    assert_safe("a\nb\tc\r", 6, TEXT_KEEP_LINES, "a\nb\tc\\r");
    assert_safe("\x1b[2J\x07\x7f\0z", 8, TEXT_KEEP_LINES, "\\x1b[2J\\x07\\x7f\\x00z");
    assert_safe("\xc2\x9b" "31m", 5, TEXT_ONE_LINE, "\\u{009b}31m");            /* C1's CSI */
    assert_safe("\xe2\x80\xae" "abc", 6, TEXT_ONE_LINE, "\\u{202e}abc");        /* right-to-left override */
    assert_safe("\xe2\x80\xa8", 3, TEXT_ONE_LINE, "\\u{2028}");                 /* line separator */
    assert_safe("\xff\xc3", 2, TEXT_ONE_LINE, "\\xff\\xc3");
    assert_safe("\xc3\xa9\xf0\x9f\x98\x80", 6, TEXT_ONE_LINE, "\xc3\xa9\xf0\x9f\x98\x80");
    assert_safe("\xed\xa0\x80", 3, TEXT_ONE_LINE, "\\xed\\xa0\\x80");           /* a surrogate */
}

/* Cut anywhere, the stream comes out as the whole does. */
static void test_filter(void **state)
{
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x1b[m\xe2\x80\xae\xff\xf0\x9f" "b\xe2\x82\n\xc3";
    const size_t size = sizeof text - 1;
    struct buffer whole, pieces;
    (void)state;
    buffer_init(&whole, 1 << 16);
    text_append_safe(&whole, text, size, TEXT_KEEP_LINES);
    for (size_t first = 0; first <= size; first++)
        for (size_t second = first; second <= size; second++) {
            struct text_filter filter = {.held_size = 0};
            buffer_init(&pieces, 1 << 16);
            text_filter_feed(&filter, &pieces, text, first, TEXT_KEEP_LINES);
            text_filter_feed(&filter, &pieces, text + first, second - first, TEXT_KEEP_LINES);
            text_filter_feed(&filter, &pieces, text + second, size - second, TEXT_KEEP_LINES);
            text_filter_end(&filter, &pieces);
            assert_string_equal(pieces.data, whole.data);
            buffer_deinit(&pieces);
        }
    struct text_filter filter = {.held_size = 0};
    buffer_init(&pieces, 1 << 16);
    for (size_t i = 0; i < size; i++)
        text_filter_feed(&filter, &pieces, text + i, 1, TEXT_KEEP_LINES);
    text_filter_end(&filter, &pieces);
    assert_string_equal(pieces.data, whole.data);
    buffer_deinit(&pieces);
    buffer_deinit(&whole);
}

static const char *const columns[] = {"NAME", "STATUS", "X", NULL};

static void test_table(void **state)
{
    struct table table;
    struct buffer out;
    (void)state;
    table_init(&table, columns);
    table_cell(&table, CELL_PLAIN, "caf\xc3\xa9");
    table_cell(&table, CELL_GOOD, "success");
    table_cell(&table, CELL_PLAIN, NULL);
    table_cell(&table, CELL_PLAIN, "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e");
    table_cell(&table, CELL_BAD, "a\nb");
    table_cellf(&table, CELL_PLAIN, "%d", 42);
    assert_int_equal(table_row_count(&table), 2);
    buffer_init(&out, 1 << 16);
    table_print(&table, false, &out);
    assert_string_equal(out.data, "NAME    STATUS   X\n"
                                  "caf\xc3\xa9    success  -\n"
                                  "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e  a\\nb     42\n");
    buffer_clear(&out);
    table_print(&table, true, &out);
    assert_contains(out.data, "\x1b[32msuccess\x1b[0m  -\n");
    assert_contains(out.data, "\x1b[31ma\\nb\x1b[0m     42\n");
    buffer_deinit(&out);
    table_deinit(&table);
}

static void test_cut(void **state)
{
    struct table table;
    struct buffer out;
    (void)state;
    table_init(&table, columns);
    table.cell_width_max = 6;
    table_cell(&table, CELL_PLAIN, "123456");
    table_cell(&table, CELL_PLAIN, "1234567");
    /* eight columns: two and a half fit */
    table_cell(&table, CELL_PLAIN, "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5");
    buffer_init(&out, 1 << 16);
    table_print(&table, false, &out);
    assert_string_equal(out.data, "NAME    STATUS  X\n"
                                  "123456  12345\xe2\x80\xa6  \xe6\x97\xa5\xe6\x9c\xac\xe2\x80\xa6\n");
    buffer_deinit(&out);
    table_deinit(&table);
}

static void test_no_rows(void **state)
{
    struct table table;
    struct buffer out;
    (void)state;
    table_init(&table, columns);
    buffer_init(&out, 1 << 16);
    table_print(&table, true, &out);
    assert_string_equal(out.data, "NAME  STATUS  X\n");
    buffer_deinit(&out);
    table_deinit(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_width), cmocka_unit_test(test_safe), cmocka_unit_test(test_filter),
        cmocka_unit_test(test_table), cmocka_unit_test(test_cut),  cmocka_unit_test(test_no_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
