/* What a stranger, or a damaged wire, puts into a node link: frames and introductions. Nothing crashes, what was taken means the
 * same when it is written again, and no more is read than there is.
 *
 * The first byte chooses how large a payload may be; the rest is the stream. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "check.h"
#include "transport/frame.h"
#include "transport/hello.h"

static void check_frame(const struct frame *frame, struct bytes whole)
{
    struct buffer again;
    buffer_init(&again, whole.size);
    size_t begun = frame_begin(&again, frame->type, frame->from);
    buffer_append(&again, frame->payload.data, frame->payload.size);
    frame_end(&again, begun);
    CHECK(again.failed == STATUS_OK && again.size == whole.size);
    CHECK(memcmp(again.data + 8, (const char *)whole.data + 8, 4) == 0); /* the size; flags may differ, and so the checksum */
    buffer_deinit(&again);
}

static void check_hello(struct bytes payload)
{
    struct hello hello, again;
    struct buffer encoded;
    struct error err;
    if (hello_decode(payload, &hello, &err) != STATUS_OK)
        return;
    buffer_init(&encoded, TRANSPORT_HELLO_MAX);
    hello_encode(&hello, &encoded);
    CHECK(encoded.failed == STATUS_OK && encoded.size <= payload.size);
    CHECK(memcmp(encoded.data, payload.data, encoded.size) == 0);
    CHECK(hello_decode(buffer_bytes(&encoded), &again, &err) == STATUS_OK);
    CHECK(hello_protocol(&hello, &again) == hello.protocol_max);
    buffer_deinit(&encoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err;
    if (size == 0)
        return 0;
    size_t limit = (size_t)data[0] * 16;
    struct bytes rest = {data + 1, size - 1};
    check_hello(rest);
    while (rest.size > 0) {
        struct frame frame;
        size_t used = 0;
        if (frame_scan(rest, limit, &frame, &used, &err) != FRAME_COMPLETE)
            break;
        CHECK(used >= FRAME_HEADER_SIZE && used <= rest.size && frame.payload.size <= limit);
        check_frame(&frame, (struct bytes){rest.data, used});
        check_hello(frame.payload);
        rest = (struct bytes){(const char *)rest.data + used, rest.size - used};
    }
    return 0;
}
