/* The core's messages on a node link (docs/formats.md, "Messages of consensus"). A field that is zero is not sent, whatever the type:
 * what the core fills is what arrives. The sender is the frame's. */
#ifndef CHRONOS_CLUSTER_MESSAGE_H
#define CHRONOS_CLUSTER_MESSAGE_H

#include "base/error.h"
#include "raft/raft.h"

/* A failure stays in the buffer's `failed`. */
void message_encode(const struct raft_message *message, struct buffer *out);

/* Room for what a message points to; one is used again and again. Its size is bounded by that of the largest frame. */
struct message_room {
    struct raft_entry *entries;
    uint32_t capacity;
    struct raft_snapshot_meta snapshot;
};
void message_room_deinit(struct message_room *room); /* accepts a zeroed one */

/* `from` is the peer at the other end. The entries' data and a chunk are borrowed from `encoded`, the rest from `room`, until its
 * next use. MALFORMED: cut short, damaged, or with fields that this version does not know. NO_MEMORY. What the fields mean is
 * the core's to check. */
must_use enum status message_decode(struct bytes encoded, uint64_t from, struct message_room *room, struct raft_message *ret,
                                    struct error *err);

#endif
