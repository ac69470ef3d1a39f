/* Messages of consensus from a peer that is broken or evil: nothing crashes, and what was taken means the same when it is written
 * again. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "cluster/message.h"

static void check_same(const struct raft_message *a, const struct raft_message *b)
{
    CHECK(a->type == b->type && a->reject == b->reject && a->lost == b->lost && a->transfer == b->transfer);
    CHECK(a->term == b->term && a->commit == b->commit && a->match == b->match && a->ctx == b->ctx && a->offset == b->offset);
    CHECK(a->entry_count == b->entry_count && a->chunk.size == b->chunk.size);
    CHECK((a->snapshot == NULL) == (b->snapshot == NULL));
    for (uint32_t i = 0; i < a->entry_count; i++) {
        const struct raft_entry *x = &a->entries[i], *y = &b->entries[i];
        CHECK(x->id.index == y->id.index && x->id.term == y->id.term && x->hash == y->hash && x->size == y->size);
        CHECK(x->size == 0 || memcmp(x->data, y->data, x->size) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct message_room room, second;
    struct raft_message message, again;
    struct buffer encoded;
    struct error err;
    if (message_decode((struct bytes){data, size}, 7, &room, &message, &err) != STATUS_OK)
        return 0;
    buffer_init(&encoded, size + 4096); /* a configuration may be written longer than it was read */
    message_encode(&message, &encoded);
    CHECK(encoded.failed == STATUS_OK);
    CHECK(message_decode(buffer_bytes(&encoded), 7, &second, &again, &err) == STATUS_OK);
    check_same(&message, &again);
    buffer_deinit(&encoded);
    return 0;
}
