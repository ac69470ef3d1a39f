#include "transport/hello.h"

#include <string.h>

#include "../base/check.h"
#include "base/codec.h"

static struct hello sample(void)
{
    return (struct hello){.protocol_min = 1, .protocol_max = 3, .lane = LANE_BULK, .cluster_id = {{1, 2, 3}}, .node = 7,
                          .session = 8, .feature_level = 9, .name = "chronos-1", .address = "10.0.0.1:7000"};
}

static struct buffer encoded(const struct hello *hello)
{
    struct buffer out;
    buffer_init(&out, 4096);
    hello_encode(hello, &out);
    assert_int_equal(out.failed, STATUS_OK);
    return out;
}

static void there_and_back(void **state)
{
    struct hello hello = sample(), got;
    struct error err;
    (void)state;
    struct buffer out = encoded(&hello);
    assert_int_equal(hello_decode(buffer_bytes(&out), &got, &err), STATUS_OK);
    assert_int_equal(got.protocol_min, 1);
    assert_int_equal(got.protocol_max, 3);
    assert_int_equal(got.lane, LANE_BULK);
    assert_int_equal(id_compare(&got.cluster_id, &hello.cluster_id), 0);
    assert_int_equal(got.node, 7);
    assert_int_equal(got.session, 8);
    assert_int_equal(got.feature_level, 9);
    assert_string_equal(got.name, "chronos-1");
    assert_string_equal(got.address, "10.0.0.1:7000");
    buffer_deinit(&out);
}

static void what_a_newer_node_appends_is_skipped(void **state)
{
    struct hello hello = sample(), got;
    struct error err;
    (void)state;
    struct buffer out = encoded(&hello);
    put_u64(&out, 99);
    assert_int_equal(hello_decode(buffer_bytes(&out), &got, &err), STATUS_OK);
    buffer_deinit(&out);
}

static void every_beginning_is_refused(void **state)
{
    struct hello hello = sample(), got = {.node = 1};
    struct error err;
    (void)state;
    struct buffer out = encoded(&hello);
    for (size_t cut = 0; cut < out.size; cut++)
        assert_int_equal(hello_decode((struct bytes){out.data, cut}, &got, &err), STATUS_MALFORMED);
    assert_int_equal(got.node, 1); /* untouched */
    buffer_deinit(&out);
}

static void refused(struct hello hello, const char *expected)
{
    struct hello got;
    struct error err;
    struct buffer out = encoded(&hello);
    assert_int_equal(hello_decode(buffer_bytes(&out), &got, &err), STATUS_MALFORMED);
    if (strstr(err.message, expected) == NULL)
        fail_msg("%s", err.message);
    buffer_deinit(&out);
}

static void what_no_node_would_say(void **state)
{
    struct hello hello;
    (void)state;
    hello = sample();
    hello.node = 0;
    refused(hello, "id");
    hello = sample();
    hello.protocol_min = 0;
    refused(hello, "protocol");
    hello = sample();
    hello.protocol_max = 0;
    refused(hello, "protocol");
    hello = sample();
    hello.lane = LANE_COUNT;
    refused(hello, "lane");
    hello = sample();
    hello.name[0] = '\0';
    refused(hello, "node_id");
    hello = sample();
    hello.name[3] = '\n';
    refused(hello, "node_id");
    hello = sample();
    hello.name[3] = '\x80';
    refused(hello, "node_id");
    hello = sample();
    hello.address[3] = ' ';
    refused(hello, "address");
    hello = sample();
    hello.address[8] = '\0';
    refused(hello, "address"); /* no port */
}

static void without_an_address(void **state)
{
    struct hello hello = sample(), got;
    struct error err;
    (void)state;
    hello.address[0] = '\0';
    struct buffer out = encoded(&hello);
    assert_int_equal(hello_decode(buffer_bytes(&out), &got, &err), STATUS_OK);
    buffer_deinit(&out);
}

static uint16_t agreed(uint16_t a_min, uint16_t a_max, uint16_t b_min, uint16_t b_max)
{
    struct hello a = {.protocol_min = a_min, .protocol_max = a_max}, b = {.protocol_min = b_min, .protocol_max = b_max};
    assert_int_equal(hello_protocol(&a, &b), hello_protocol(&b, &a));
    return hello_protocol(&a, &b);
}

static void protocols(void **state)
{
    (void)state;
    assert_int_equal(agreed(1, 1, 1, 1), 1);
    assert_int_equal(agreed(1, 2, 2, 3), 2);
    assert_int_equal(agreed(1, 5, 2, 3), 3);
    assert_int_equal(agreed(1, 1, 2, 3), 0);
    assert_int_equal(agreed(PROTOCOL_MIN, PROTOCOL_MAX, PROTOCOL_MIN, PROTOCOL_MAX), PROTOCOL_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(what_a_newer_node_appends_is_skipped),
        cmocka_unit_test(every_beginning_is_refused),
        cmocka_unit_test(what_no_node_would_say),
        cmocka_unit_test(without_an_address),
        cmocka_unit_test(protocols),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
