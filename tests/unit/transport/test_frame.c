#include "transport/frame.h"

#include <string.h>

#include "../base/check.h"
#include "base/codec.h"
#include "base/limits.h"

static const uint64_t FROM = 0x1122334455667788;

static void put_frame(struct buffer *out, uint8_t type, const void *payload, size_t size)
{
    size_t begun = frame_begin(out, type, FROM);
    buffer_append(out, payload, size);
    frame_end(out, begun);
}

static void there_and_back(void **state)
{
    struct buffer wire;
    struct frame frame;
    struct error err;
    size_t size = 0;
    (void)state;
    buffer_init(&wire, 4096);
    put_frame(&wire, 17, "hello", 5);
    put_frame(&wire, 18, NULL, 0);
    assert_int_equal(wire.size, 2 * FRAME_HEADER_SIZE + 5);
    assert_int_equal(frame_scan(buffer_bytes(&wire), 5, &frame, &size, &err), FRAME_COMPLETE);
    assert_int_equal(size, FRAME_HEADER_SIZE + 5);
    assert_int_equal(frame.type, 17);
    assert_int_equal(frame.from, FROM);
    assert_memory_equal(frame.payload.data, "hello", 5);
    struct bytes rest = {wire.data + size, wire.size - size};
    assert_int_equal(frame_scan(rest, 0, &frame, &size, &err), FRAME_COMPLETE);
    assert_int_equal(frame.type, 18);
    assert_int_equal(frame.payload.size, 0);
    buffer_deinit(&wire);
}

static void every_beginning_is_partial(void **state)
{
    struct buffer wire;
    struct frame frame;
    struct error err;
    size_t size = 0;
    (void)state;
    buffer_init(&wire, 4096);
    put_frame(&wire, 17, "hello", 5);
    for (size_t cut = 0; cut < wire.size; cut++)
        assert_int_equal(frame_scan((struct bytes){wire.data, cut}, 5, &frame, &size, &err), FRAME_PARTIAL);
    assert_int_equal(size, 0); /* untouched */
    buffer_deinit(&wire);
}

static void no_flipped_bit_passes(void **state)
{
    struct buffer wire;
    struct frame frame;
    struct error err;
    size_t size = 0;
    (void)state;
    buffer_init(&wire, 4096);
    put_frame(&wire, 17, "hello", 5);
    for (size_t bit = 0; bit < wire.size * 8; bit++) {
        wire.data[bit / 8] ^= (char)(1 << bit % 8);
        if (frame_scan(buffer_bytes(&wire), TRANSPORT_FRAME_MAX, &frame, &size, &err) == FRAME_COMPLETE)
            fail_msg("bit %zu", bit);
        wire.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    buffer_deinit(&wire);
}

static void sizes(void **state)
{
    struct buffer wire;
    struct frame frame;
    struct error err;
    size_t size = 0;
    (void)state;
    buffer_init(&wire, FRAME_HEADER_SIZE);
    put_frame(&wire, 17, NULL, 0);
    store_le32(wire.data + 8, TRANSPORT_HELLO_MAX);
    assert_int_equal(frame_scan(buffer_bytes(&wire), TRANSPORT_HELLO_MAX, &frame, &size, &err), FRAME_PARTIAL);
    store_le32(wire.data + 8, TRANSPORT_HELLO_MAX + 1); /* refused before anything of it has come */
    assert_int_equal(frame_scan(buffer_bytes(&wire), TRANSPORT_HELLO_MAX, &frame, &size, &err), FRAME_BAD);
    assert_int_equal(err.code, STATUS_TOO_LARGE);
    assert_non_null(strstr(err.message, "4097"));
    store_le32(wire.data + 8, UINT32_MAX);
    assert_int_equal(frame_scan(buffer_bytes(&wire), TRANSPORT_FRAME_MAX, &frame, &size, &err), FRAME_BAD);
    buffer_deinit(&wire);
}

static void a_full_buffer_stays_failed(void **state)
{
    struct buffer wire;
    (void)state;
    buffer_init(&wire, FRAME_HEADER_SIZE + 4);
    put_frame(&wire, 17, "hello", 5);
    assert_int_equal(wire.failed, STATUS_TOO_LARGE);
    buffer_deinit(&wire);
}

static void who_else_may_call(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"\x16\x03\x01", "one node speaks TLS and the other does not"},
        {"GET / HTTP/1.1\r\n", "perhaps HTTP"},
        {"\x01\x02", "does not speak the protocol"},
        {"CHRX", "another protocol"},
        {"CHRN\x02                          ", "version"},
    };
    struct frame frame;
    struct error err;
    size_t size = 0;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bytes input = {cases[i].text, strlen(cases[i].text)};
        assert_int_equal(frame_scan(input, 10, &frame, &size, &err), FRAME_BAD);
        assert_int_equal(err.code, STATUS_MALFORMED);
        if (strstr(err.message, cases[i].expected) == NULL)
            fail_msg("%s: %s", cases[i].text, err.message);
    }
    assert_int_equal(frame_scan((struct bytes){"\x16", 1}, 10, &frame, &size, &err), FRAME_PARTIAL); /* the next byte tells */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),        cmocka_unit_test(every_beginning_is_partial),
        cmocka_unit_test(no_flipped_bit_passes), cmocka_unit_test(sizes),
        cmocka_unit_test(a_full_buffer_stays_failed), cmocka_unit_test(who_else_may_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
