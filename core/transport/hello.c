#include "transport/hello.h"

#include <string.h>

#include "base/codec.h"

void hello_encode(const struct hello *hello, struct buffer *out)
{
    put_u16(out, hello->protocol_min);
    put_u16(out, hello->protocol_max);
    put_u8(out, (uint8_t)hello->lane);
    buffer_append(out, hello->cluster_id.bytes, sizeof hello->cluster_id.bytes);
    put_u64(out, hello->node);
    put_u64(out, hello->session);
    put_u32(out, hello->feature_level);
    put_u32(out, hello->features);
    put_string(out, hello->name);
    put_string(out, hello->address);
    buffer_append(out, hello->restored_from.bytes, sizeof hello->restored_from.bytes);
}

/* As chronos.yaml has it, and never what a certificate would take for a pattern. */
static bool is_name(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        bool is_letter = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9');
        if (!is_letter && (at == text || strchr("-_.", *at) == NULL))
            return false;
    }
    return text[0] != '\0';
}

static bool is_callable(const char *text)
{
    struct address address;
    return address_split(text, &address) == NULL && address_is_callable(&address);
}

enum status hello_decode(struct bytes encoded, struct hello *ret, struct error *err)
{
    struct hello hello = {0};
    struct reader r = reader_of(encoded.data, encoded.size);
    hello.protocol_min = take_u16(&r);
    hello.protocol_max = take_u16(&r);
    uint8_t lane = take_u8(&r);
    take_raw(&r, hello.cluster_id.bytes, sizeof hello.cluster_id.bytes);
    hello.node = take_u64(&r);
    hello.session = take_u64(&r);
    hello.feature_level = take_u32(&r);
    hello.features = take_u32(&r);
    take_string(&r, hello.name, sizeof hello.name);
    take_string(&r, hello.address, sizeof hello.address);
    take_raw(&r, hello.restored_from.bytes, sizeof hello.restored_from.bytes);
    if (r.failed)
        return error_set(err, STATUS_MALFORMED, "its introduction is cut short or damaged");
    if (hello.protocol_min == 0 || hello.protocol_min > hello.protocol_max || lane >= LANE_COUNT || hello.node == 0)
        return error_set(err, STATUS_MALFORMED, "its introduction names no protocol, lane or id that there can be");
    if (!is_name(hello.name) || (hello.address[0] != '\0' && !is_callable(hello.address)))
        return error_set(err, STATUS_MALFORMED, "its introduction names no node_id or address that there can be");
    hello.lane = lane;
    *ret = hello;
    return STATUS_OK;
}

uint16_t hello_protocol(const struct hello *a, const struct hello *b)
{
    uint16_t newest = a->protocol_max < b->protocol_max ? a->protocol_max : b->protocol_max;
    return newest >= a->protocol_min && newest >= b->protocol_min ? newest : 0;
}
