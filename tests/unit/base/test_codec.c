#include "base/codec.h"

#include <stdlib.h>

#include "base/id.h"
#include "check.h"

static void fixed_width_layout(void **state)
{
    (void)state;
    uint8_t at[8];
    store_be64(at, 0x0102030405060708u);
    assert_memory_equal(at, "\1\2\3\4\5\6\7\10", 8);
    assert_true(load_be64(at) == 0x0102030405060708u);
    store_le64(at, 0x0102030405060708u);
    assert_memory_equal(at, "\10\7\6\5\4\3\2\1", 8);
    assert_true(load_le64(at) == 0x0102030405060708u);
    store_le32(at, 0xA1B2C3D4u);
    assert_memory_equal(at, "\xD4\xC3\xB2\xA1", 4);
    assert_true(load_le32(at) == 0xA1B2C3D4u);
    store_le16(at, 0xBEEFu);
    assert_memory_equal(at, "\xEF\xBE", 2);
    assert_true(load_le16(at) == 0xBEEFu);
}

static void big_endian_keys_sort_as_numbers(void **state)
{
    (void)state;
    static const uint64_t ascending[] = {0, 1, 255, 256, 65535, 65536, 1u << 31, UINT64_MAX - 1, UINT64_MAX};
    uint8_t before[8], after[8];
    for (size_t i = 1; i < COUNT_OF(ascending); i++) {
        store_be64(before, ascending[i - 1]);
        store_be64(after, ascending[i]);
        assert_true(memcmp(before, after, 8) < 0);
    }
}

static void write_sample(struct buffer *b)
{
    put_u8(b, 0xFE);
    put_u16(b, 0xFEDC);
    put_u32(b, 0xFEDCBA98u);
    put_u64(b, UINT64_MAX - 1);
    put_i64(b, INT64_MIN);
    put_blob(b, "\0\1\2", 3);
    put_string(b, "text");
    put_string(b, NULL);
}

static void read_sample(struct reader *r)
{
    char text[8];
    assert_int_equal(take_u8(r), 0xFE);
    assert_int_equal(take_u16(r), 0xFEDC);
    assert_true(take_u32(r) == 0xFEDCBA98u);
    assert_true(take_u64(r) == UINT64_MAX - 1);
    assert_true(take_i64(r) == INT64_MIN);
    struct bytes blob = take_blob(r);
    assert_int_equal(blob.size, 3);
    assert_memory_equal(blob.data, "\0\1\2", 3);
    take_string(r, text, sizeof text);
    assert_string_equal(text, "text");
    take_string(r, text, sizeof text);
    assert_string_equal(text, "");
}

static void records_read_back(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 1000);
    write_sample(&b);
    struct reader r = reader_of(b.data, b.size);
    assert_false(reader_done(&r));
    read_sample(&r);
    assert_true(reader_done(&r));
    buffer_append_char(&b, 'x');
    r = reader_of(b.data, b.size);
    read_sample(&r);
    assert_false(r.failed);
    assert_false(reader_done(&r)); /* one byte is left over */
    buffer_deinit(&b);
}

/* Takes the sample without looking at the values. */
static void take_sample(struct reader *r)
{
    char text[8];
    (void)take_u8(r);
    (void)take_u16(r);
    (void)take_u32(r);
    (void)take_u64(r);
    (void)take_i64(r);
    (void)take_blob(r);
    take_string(r, text, sizeof text);
    take_string(r, text, sizeof text);
}

static void every_shorter_record_fails(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 1000);
    write_sample(&b);
    for (size_t size = 0; size < b.size; size++) {
        /* Memory of exactly that size, so that a sanitizer sees a read beyond. */
        uint8_t *copy = malloc(size ? size : 1);
        memcpy(copy, b.data, size);
        struct reader r = reader_of(copy, size);
        take_sample(&r);
        assert_true(r.failed);
        assert_false(reader_done(&r));
        free(copy);
    }
    buffer_deinit(&b);
}

static void a_failed_reader_gives_nothing(void **state)
{
    (void)state;
    struct reader r = reader_of("abc", 3);
    assert_true(take_u32(&r) == 0);
    assert_true(r.failed);
    assert_int_equal(take_u8(&r), 0); /* one would be there */
    struct bytes blob = take_blob(&r);
    assert_null(blob.data);
    assert_int_equal(blob.size, 0);
    char raw[2] = "xx", text[4] = "old";
    take_raw(&r, raw, 2);
    assert_memory_equal(raw, "\0\0", 2);
    take_string(&r, text, sizeof text);
    assert_string_equal(text, "");
}

static void raw_bytes(void **state)
{
    (void)state;
    char out[4];
    struct reader r = reader_of("abcd", 4);
    take_raw(&r, out, 3);
    assert_memory_equal(out, "abc", 3);
    take_raw(&r, NULL, 0);
    assert_false(r.failed);
    take_raw(&r, out, 2);
    assert_true(r.failed);
}

static void an_empty_reader_is_done(void **state)
{
    (void)state;
    struct reader r = reader_of(NULL, 0);
    assert_true(reader_done(&r));
    assert_int_equal(take_u8(&r), 0);
    assert_false(reader_done(&r));
}

static void a_lying_length_fails(void **state)
{
    (void)state;
    uint8_t record[8] = {0xFF, 0xFF, 0xFF, 0xFF, 'a', 'b', 'c', 'd'};
    struct reader r = reader_of(record, sizeof record);
    struct bytes blob = take_blob(&r);
    assert_true(r.failed);
    assert_null(blob.data);
    store_le32(record, 5);
    r = reader_of(record, sizeof record);
    (void)take_blob(&r);
    assert_true(r.failed);
    store_le32(record, 4);
    r = reader_of(record, sizeof record);
    (void)take_blob(&r);
    assert_true(reader_done(&r));
}

static void strings_that_do_not_fit_fail(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 200000);
    put_string(&b, "abcd");
    char four[4], five[5];
    struct reader r = reader_of(b.data, b.size);
    take_string(&r, five, sizeof five);
    assert_false(r.failed);
    assert_string_equal(five, "abcd");
    r = reader_of(b.data, b.size);
    take_string(&r, four, sizeof four);
    assert_true(r.failed);
    assert_string_equal(four, "");
    buffer_clear(&b);
    put_blob(&b, "a\0b", 3);
    r = reader_of(b.data, b.size);
    take_string(&r, five, sizeof five);
    assert_true(r.failed); /* NUL inside */
    buffer_deinit(&b);
}

static void strings_have_a_maximum(void **state)
{
    (void)state;
    static char text[65537];
    memset(text, 'a', 65535);
    struct buffer b;
    buffer_init(&b, 200000);
    put_string(&b, text);
    assert_int_equal(b.failed, STATUS_OK);
    assert_int_equal(b.size, 65539);
    text[65535] = 'a';
    put_string(&b, text);
    assert_int_equal(b.failed, STATUS_TOO_LARGE);
    assert_int_equal(b.size, 65539);
    buffer_clear(&b);
    put_blob(&b, text, 65536);
    struct reader r = reader_of(b.data, b.size);
    static char out[70000];
    take_string(&r, out, sizeof out);
    assert_true(r.failed);
    buffer_deinit(&b);
}

static void crc32c_known_values(void **state)
{
    (void)state;
    /* The check value of the catalogue, and RFC 3720 appendix B.4. */
    uint8_t block[32];
    assert_true(crc32c(0, "123456789", 9) == 0xE3069283u);
    assert_true(crc32c(0, NULL, 0) == 0);
    memset(block, 0, sizeof block);
    assert_true(crc32c(0, block, 32) == 0x8A9136AAu);
    memset(block, 0xFF, sizeof block);
    assert_true(crc32c(0, block, 32) == 0x62A8AB43u);
    for (int i = 0; i < 32; i++)
        block[i] = (uint8_t)i;
    assert_true(crc32c(0, block, 32) == 0x46DD794Eu);
    assert_true(crc32c_portable(0, block, 32) == 0x46DD794Eu);
    assert_true(crc32c_portable(0, "123456789", 9) == 0xE3069283u);
}

static void crc32c_is_one_function(void **state)
{
    (void)state;
    uint8_t data[300];
    struct random r;
    random_seed(&r, 7);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)random_next(&r);
    /* Both implementations, every length, every alignment, in one piece and in two. */
    for (size_t from = 0; from < 9; from++)
        for (size_t size = 0; size < 200; size++) {
            uint32_t whole = crc32c(0, data + from, size);
            assert_true(whole == crc32c_portable(0, data + from, size));
            size_t half = size / 3;
            assert_true(whole == crc32c(crc32c(0, data + from, half), data + from + half, size - half));
            uint32_t begun = crc32c_portable(0, data + from, half);
            assert_true(whole == crc32c_portable(begun, data + from + half, size - half));
        }
}

static void hash64_values_are_pinned(void **state)
{
    (void)state;
    /* Computed by an independent implementation of SipHash-1-3. They lie on disks: never change them. */
    uint8_t bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    assert_true(hash64(0, NULL, 0) == 0x5d09f562ba1b6a59u);
    assert_true(hash64(0, "a", 1) == 0x28e028434768cba5u);
    assert_true(hash64(0, "chronos!", 8) == 0x794b7050d27ab0e1u);
    assert_true(hash64(0, "a job that runs at noon", 23) == 0x0276cdff97dacad7u);
    assert_true(hash64(1, NULL, 0) == 0xbdf078c4042173abu);
    assert_true(hash64(UINT64_MAX, "chronos!", 8) == 0x9f407abbcce1095bu);
    assert_true(hash64(0x0123456789abcdefu, bytes, sizeof bytes) == 0x8e0b77a7f3621515u);
}

static void hash64_mixes(void **state)
{
    (void)state;
    /* Each flipped input bit changes about half of the output bits. */
    uint8_t data[16] = "sixteen bytes...";
    uint64_t before = hash64(1, data, sizeof data);
    int total = 0;
    for (int bit = 0; bit < 128; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int changed = __builtin_popcountll(before ^ hash64(1, data, sizeof data));
        assert_in_range(changed, 12, 52);
        total += changed;
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_in_range(total / 128, 29, 35);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_width_layout),
        cmocka_unit_test(big_endian_keys_sort_as_numbers),
        cmocka_unit_test(records_read_back),
        cmocka_unit_test(every_shorter_record_fails),
        cmocka_unit_test(a_failed_reader_gives_nothing),
        cmocka_unit_test(raw_bytes),
        cmocka_unit_test(an_empty_reader_is_done),
        cmocka_unit_test(a_lying_length_fails),
        cmocka_unit_test(strings_that_do_not_fit_fail),
        cmocka_unit_test(strings_have_a_maximum),
        cmocka_unit_test(crc32c_known_values),
        cmocka_unit_test(crc32c_is_one_function),
        cmocka_unit_test(hash64_values_are_pinned),
        cmocka_unit_test(hash64_mixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
