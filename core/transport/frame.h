/* One message on a node link: a header of 24 bytes, little-endian, and a payload (docs/formats.md, "Node links").
 *
 *   0 magic "CHRN"   4 version u8   5 type u8   6 flags u16   8 payload size u32   12 CRC32C u32   16 sender's raft id u64
 *
 * The checksum covers everything but itself (docs/adr/0014): a flipped type or length is as bad as a flipped byte behind it. */
#ifndef CHRONOS_TRANSPORT_FRAME_H
#define CHRONOS_TRANSPORT_FRAME_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

enum {
    FRAME_HEADER_SIZE = 24,
    FRAME_VERSION = 1,
};

struct frame {
    uint8_t type;
    uint64_t from;
    struct bytes payload; /* borrowed from the input */
};

/* Appends a frame: begin, the payload, end. A failure stays in the buffer's `failed`. */
size_t frame_begin(struct buffer *out, uint8_t type, uint64_t from); /* what frame_end wants */
void frame_end(struct buffer *out, size_t begun);

enum frame_found { FRAME_COMPLETE, FRAME_PARTIAL, FRAME_BAD };

/* The frame at the front of `input`, and its size. BAD: `err` says why, and nothing behind it can be trusted. A payload larger than
 * `payload_max` is BAD as soon as its header is there. */
enum frame_found frame_scan(struct bytes input, size_t payload_max, struct frame *ret, size_t *ret_size, struct error *err);

/* Whether it looks like one at all: four bytes tell. */
bool frame_begins(struct bytes input);

#endif
