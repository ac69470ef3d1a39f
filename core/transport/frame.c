#include "transport/frame.h"

#include <assert.h>

#include "base/codec.h"

enum { AT_VERSION = 4, AT_TYPE = 5, AT_FLAGS = 6, AT_SIZE = 8, AT_CRC = 12, AT_FROM = 16 };
static_assert(AT_FROM + 8 == FRAME_HEADER_SIZE, "the header has no gaps");
static const char magic[AT_VERSION] = {'C', 'H', 'R', 'N'};

static uint32_t checksum(const uint8_t *header, struct bytes payload)
{
    uint32_t crc = crc32c(0, header, AT_CRC);
    crc = crc32c(crc, header + AT_FROM, FRAME_HEADER_SIZE - AT_FROM);
    return crc32c(crc, payload.data, payload.size);
}

size_t frame_begin(struct buffer *out, uint8_t type, uint64_t from)
{
    uint8_t header[FRAME_HEADER_SIZE] = {[AT_VERSION] = FRAME_VERSION, [AT_TYPE] = type};
    size_t begun = out->size;
    memcpy(header, magic, sizeof magic);
    store_le64(header + AT_FROM, from);
    buffer_append(out, header, sizeof header);
    return begun;
}

void frame_end(struct buffer *out, size_t begun)
{
    if (out->failed != STATUS_OK)
        return;
    uint8_t *header = (uint8_t *)out->data + begun;
    struct bytes payload = {header + FRAME_HEADER_SIZE, out->size - begun - FRAME_HEADER_SIZE};
    assert(payload.size <= UINT32_MAX);
    store_le32(header + AT_SIZE, (uint32_t)payload.size);
    store_le32(header + AT_CRC, checksum(header, payload));
}

static enum frame_found bad(struct error *err, const char *what)
{
    (void)error_set(err, STATUS_MALFORMED, "%s", what); /* told by BAD */
    return FRAME_BAD;
}

/* What else may have called: the first bytes tell. */
static enum frame_found bad_magic(struct error *err, const uint8_t *begin)
{
    if (begin[0] == 0x16 && begin[1] == 0x03) /* RFC 8446 5.1: a handshake record */
        return bad(err, "one node speaks TLS and the other does not: set cluster.raft.tls on all nodes or on none");
    if ((begin[0] >= 'A' && begin[0] <= 'Z') && (begin[1] >= 'A' && begin[1] <= 'Z'))
        return bad(err, "it speaks another protocol, perhaps HTTP: this is the port of cluster.raft.address");
    return bad(err, "it does not speak the protocol of Chronos' nodes");
}

bool frame_begins(struct bytes input)
{
    return input.size >= sizeof magic && memcmp(input.data, magic, sizeof magic) == 0;
}

enum frame_found frame_scan(struct bytes input, size_t payload_max, struct frame *ret, size_t *ret_size, struct error *err)
{
    const uint8_t *at = input.data;
    if (input.size > 0 && memcmp(at, magic, input.size < sizeof magic ? input.size : sizeof magic) != 0)
        return input.size < 2 ? FRAME_PARTIAL : bad_magic(err, at);
    if (input.size < FRAME_HEADER_SIZE)
        return FRAME_PARTIAL;
    if (at[AT_VERSION] != FRAME_VERSION)
        return bad(err, "its frames have a version that this node does not know");
    size_t size = load_le32(at + AT_SIZE);
    if (size > payload_max) {
        (void)error_set(err, STATUS_TOO_LARGE, "it announced a message of %zu bytes, %zu are allowed", size, payload_max);
        return FRAME_BAD;
    }
    if (input.size - FRAME_HEADER_SIZE < size)
        return FRAME_PARTIAL;
    struct bytes payload = {at + FRAME_HEADER_SIZE, size};
    if (load_le32(at + AT_CRC) != checksum(at, payload))
        return bad(err, "a message was damaged on the way: its checksum is wrong");
    *ret = (struct frame){.type = at[AT_TYPE], .from = load_le64(at + AT_FROM), .payload = payload};
    *ret_size = FRAME_HEADER_SIZE + size;
    return FRAME_COMPLETE;
}
