#include "cluster/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/check.h"
#include "base/id.h"

enum { ENTRIES = 5, ROUNDS = 20000 };

/* What a message may point to. */
struct sample {
    struct raft_message message;
    struct raft_entry entries[ENTRIES];
    struct raft_snapshot_meta snapshot;
    char data[64];
};

static uint64_t some(struct random *r)
{
    return random_below(r, 3) == 0 ? 0 : random_next(r) >> random_below(r, 64);
}

static void some_entries(struct random *r, struct sample *s)
{
    s->message.entries = s->entries;
    s->message.entry_count = (uint32_t)random_below(r, ENTRIES + 1);
    for (uint32_t i = 0; i < s->message.entry_count; i++) {
        uint32_t size = (uint32_t)random_below(r, sizeof s->data + 1);
        s->entries[i] = (struct raft_entry){.id = {s->message.log.index + 1 + i, some(r)}, .hash = some(r),
                                            .data = size > 0 ? s->data : NULL, .size = size, .type = (uint8_t)random_below(r, 5)};
    }
    if (s->message.entry_count == 0)
        s->message.entries = NULL;
}

static void some_snapshot(struct random *r, struct sample *s)
{
    struct raft_snapshot_meta *meta = &s->snapshot;
    *meta = (struct raft_snapshot_meta){.last = {some(r), some(r)}, .hash = some(r), .size = some(r), .conf_index = some(r)};
    for (size_t i = 0; i < sizeof meta->digest; i++)
        meta->digest[i] = (uint8_t)random_next(r);
    meta->conf.count = (uint8_t)(1 + random_below(r, 3));
    for (uint8_t i = 0; i < meta->conf.count; i++) {
        meta->conf.members[i] = (struct raft_member){.id = i + 1u, .role = RAFT_VOTER};
        (void)snprintf(meta->conf.members[i].name, RAFT_NAME_SIZE, "chronos-%d", i);
        (void)snprintf(meta->conf.members[i].address, RAFT_ADDRESS_SIZE, "10.0.0.%d:7000", i);
    }
    s->message.snapshot = meta;
}

static void some_message(struct random *r, struct sample *s)
{
    memset(s, 0, sizeof *s);
    for (size_t i = 0; i < sizeof s->data; i++)
        s->data[i] = (char)random_next(r);
    s->message = (struct raft_message){
        .type = (uint8_t)(1 + random_below(r, RAFT_REMOVED)),
        .reject = random_below(r, 2) == 0, .lost = random_below(r, 2) == 0, .transfer = random_below(r, 2) == 0,
        .from = 9, .to = some(r), .term = some(r), .log = {some(r) >> 1, some(r)}, .log_hash = some(r), .commit = some(r),
        .match = some(r), .hint = {some(r), some(r)}, .read_seq = some(r), .ctx = some(r), .offset = some(r),
    };
    some_entries(r, s);
    if (random_below(r, 3) == 0)
        some_snapshot(r, s);
    if (random_below(r, 3) == 0)
        s->message.chunk = (struct bytes){s->data, 1 + random_below(r, sizeof s->data)};
}

static struct buffer wire_of(const struct raft_message *message)
{
    struct buffer wire;
    buffer_init(&wire, 1 << 16);
    message_encode(message, &wire);
    assert_int_equal(wire.failed, STATUS_OK);
    return wire;
}

static void assert_same_entries(const struct raft_message *a, const struct raft_message *b)
{
    assert_int_equal(a->entry_count, b->entry_count);
    for (uint32_t i = 0; i < a->entry_count; i++) {
        const struct raft_entry *x = &a->entries[i], *y = &b->entries[i];
        assert_true(x->id.index == y->id.index && x->id.term == y->id.term && x->hash == y->hash && x->type == y->type);
        assert_int_equal(x->size, y->size);
        assert_true((x->data == NULL) == (y->data == NULL));
        assert_true(x->size == 0 || memcmp(x->data, y->data, x->size) == 0);
    }
}

static void assert_same(const struct raft_message *a, const struct raft_message *b)
{
    struct raft_message plain_a = *a, plain_b = *b;
    assert_same_entries(a, b);
    assert_true((a->snapshot == NULL) == (b->snapshot == NULL));
    if (a->snapshot != NULL) {
        assert_memory_equal(a->snapshot->digest, b->snapshot->digest, sizeof a->snapshot->digest);
        assert_true(a->snapshot->last.index == b->snapshot->last.index && a->snapshot->last.term == b->snapshot->last.term);
        assert_true(a->snapshot->hash == b->snapshot->hash && a->snapshot->size == b->snapshot->size);
        assert_int_equal(a->snapshot->conf_index, b->snapshot->conf_index);
        assert_true(raft_conf_equal(&a->snapshot->conf, &b->snapshot->conf));
    }
    assert_int_equal(a->chunk.size, b->chunk.size);
    assert_true(a->chunk.size == 0 || memcmp(a->chunk.data, b->chunk.data, a->chunk.size) == 0);
    plain_a.entries = plain_b.entries = NULL;
    plain_a.snapshot = plain_b.snapshot = NULL;
    plain_a.chunk = plain_b.chunk = (struct bytes){NULL, 0};
    /* From `from` on there are numbers without gaps: also one that somebody adds is compared. */
    assert_true(plain_a.type == plain_b.type && plain_a.reject == plain_b.reject && plain_a.lost == plain_b.lost &&
                plain_a.transfer == plain_b.transfer);
    size_t from = offsetof(struct raft_message, from);
    assert_memory_equal((char *)&plain_a + from, (char *)&plain_b + from, offsetof(struct raft_message, entries) - from);
    assert_int_equal(plain_a.offset, plain_b.offset);
}

static void there_and_back(void **state)
{
    static struct sample sample;
    struct message_room room = {0};
    struct random r;
    (void)state;
    random_seed(&r, 4);
    for (int round = 0; round < ROUNDS; round++) {
        struct raft_message got;
        struct error err;
        some_message(&r, &sample);
        struct buffer wire = wire_of(&sample.message);
        if (message_decode(buffer_bytes(&wire), 9, &room, &got, &err) != STATUS_OK)
            fail_msg("%s", err.message);
        assert_same(&sample.message, &got);
        buffer_deinit(&wire);
    }
    message_room_deinit(&room);
    message_room_deinit(&room);
}

static void every_beginning_is_refused(void **state)
{
    static struct sample sample;
    struct message_room room = {0};
    struct random r;
    (void)state;
    random_seed(&r, 5);
    for (int round = 0; round < 200; round++) {
        struct raft_message got = {.type = 99};
        struct error err;
        some_message(&r, &sample);
        struct buffer wire = wire_of(&sample.message);
        for (size_t cut = 0; cut < wire.size; cut++)
            assert_int_equal(message_decode((struct bytes){wire.data, cut}, 9, &room, &got, &err), STATUS_MALFORMED);
        buffer_append_char(&wire, 'x');
        assert_int_equal(message_decode(buffer_bytes(&wire), 9, &room, &got, &err), STATUS_MALFORMED);
        assert_int_equal(got.type, 99); /* untouched */
        buffer_deinit(&wire);
    }
    message_room_deinit(&room);
}

static void damaged_ones_do_no_harm(void **state)
{
    static struct sample sample;
    struct message_room room = {0};
    struct random r;
    (void)state;
    random_seed(&r, 6);
    for (int round = 0; round < ROUNDS; round++) {
        struct raft_message got;
        struct error err;
        some_message(&r, &sample);
        struct buffer wire = wire_of(&sample.message);
        for (uint64_t flips = 1 + random_below(&r, 4); flips > 0; flips--)
            wire.data[random_below(&r, wire.size)] ^= (char)(1 << random_below(&r, 8));
        enum status status = message_decode(buffer_bytes(&wire), 9, &room, &got, &err);
        assert_true(status == STATUS_OK || status == STATUS_MALFORMED);
        for (uint32_t i = 0; status == STATUS_OK && i < got.entry_count; i++)
            assert_in_range(got.entries[i].size, 0, wire.size);
        buffer_deinit(&wire);
    }
    message_room_deinit(&room);
}

static void unknown_fields(void **state)
{
    struct raft_message message = {.type = RAFT_HEARTBEAT, .from = 9, .to = 1, .term = 3}, got;
    struct message_room room = {0};
    struct error err;
    (void)state;
    struct buffer wire = wire_of(&message);
    wire.data[1 + 1] |= (char)0x80; /* bit 15 */
    assert_int_equal(message_decode(buffer_bytes(&wire), 9, &room, &got, &err), STATUS_MALFORMED);
    assert_non_null(strstr(err.message, "does not know"));
    buffer_deinit(&wire);
}

/* As many as anybody says, but no more than can be there. */
static void entries_that_are_not_there(void **state)
{
    struct raft_entry entry = {.id = {1, 1}, .type = RAFT_ENTRY_NOOP};
    struct raft_message message = {.type = RAFT_APPEND, .to = 1, .entries = &entry, .entry_count = 1}, got;
    struct message_room room = {0};
    struct error err;
    (void)state;
    struct buffer wire = wire_of(&message);
    memset(wire.data + 1 + 4 + 8, 0xff, 4);
    assert_int_equal(message_decode(buffer_bytes(&wire), 9, &room, &got, &err), STATUS_MALFORMED);
    assert_null(room.entries); /* nothing was allocated for them */
    assert_non_null(strstr(err.message, "4294967295"));
    buffer_deinit(&wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(every_beginning_is_refused),
        cmocka_unit_test(damaged_ones_do_no_harm),
        cmocka_unit_test(unknown_fields),
        cmocka_unit_test(entries_that_are_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
