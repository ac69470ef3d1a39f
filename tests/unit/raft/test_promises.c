/* What the core owes its owner and its peers in situations that a world of well-behaved disks does not bring about: an install that
 * fails, a disk that hangs, questions that nobody is left to answer. */
#include "raft/raft.h"

#include "core.h"

#include "check.h"

static struct core core;

static void step(struct raft_message message)
{
    assert_int_equal(core_step(&core, message), STATUS_OK);
}

static void follow(uint64_t leader, uint64_t term)
{
    step((struct raft_message){.type = RAFT_HEARTBEAT, .from = leader, .term = term});
}

/* Takes until nothing comes; counts what is sent by type. */
static uint32_t take_all(uint8_t type, struct raft_output *out)
{
    uint32_t count = 0;
    do {
        raft_take(core.raft, out);
        for (uint32_t i = 0; i < out->message_count; i++)
            count += out->messages[i].type == type;
    } while (out->message_count > 0);
    return count;
}

/* An entry is accepted and waits for the disk; the snapshot that would replace it cannot be installed: the acknowledgement still
 * waits. */
static void a_failed_install_releases_nothing(void **state)
{
    (void)state;
    struct raft_config config = core_config(1);
    struct raft_output out;
    struct raft_entry entry;
    bool diverged;
    core_start(&core, &config, 3);
    follow(2, 2);
    core_drain(&core);
    struct raft_snapshot_meta meta = {.last = {10, 2}, .hash = 5, .size = 4, .conf = {.count = 1}};
    meta.conf.members[0] = (struct raft_member){.id = 2, .role = RAFT_VOTER};
    struct raft_message chunk = {.type = RAFT_SNAPSHOT, .from = 2, .to = 1, .term = 2, .log = {10, 2}, .snapshot = &meta,
                                 .chunk = {"abcd", 4}};
    assert_int_equal(raft_step(core.raft, &chunk, &diverged), STATUS_OK);
    raft_take(core.raft, &out);
    assert_non_null(out.chunk);
    (void)make_entries(&entry, 1, (struct raft_log_id){0, 0}, 0, 2, 1);
    struct raft_message append = {.type = RAFT_APPEND, .from = 2, .to = 1, .term = 2, .entries = &entry, .entry_count = 1};
    assert_int_equal(raft_step(core.raft, &append, &diverged), STATUS_OK);
    raft_stored(core.raft, &meta, 4, true);
    raft_take(core.raft, &out);
    assert_null(out.install); /* what was accepted before is written before */
    assert_int_equal(out.append_count, 1);
    uint64_t seq = out.seq;
    raft_take(core.raft, &out);
    assert_non_null(out.install);
    assert_int_equal(out.message_count, 0);
    raft_persisted(core.raft, seq);
    raft_installed(core.raft, false);
    assert_int_equal(take_all(RAFT_APPEND_RESPONSE, &out), 1); /* durable now */
    core_stop(&core);
}

/* A disk that hangs holds acknowledgements back, not the answers that keep a leader in office. */
static void a_slow_disk_leaves_room_for_heartbeats(void **state)
{
    (void)state;
    struct raft_config config = core_config(1);
    struct raft_output out;
    struct raft_entry entry;
    bool diverged;
    core_start(&core, &config, 3);
    follow(2, 2);
    core_drain(&core);
    uint64_t hash = make_entries(&entry, 1, (struct raft_log_id){0, 0}, 0, 2, 1);
    struct raft_message append = {.type = RAFT_APPEND, .from = 2, .to = 1, .term = 2, .entries = &entry, .entry_count = 1};
    assert_int_equal(raft_step(core.raft, &append, &diverged), STATUS_OK);
    raft_take(core.raft, &out);
    uint64_t seq = out.seq;
    append = (struct raft_message){.type = RAFT_APPEND, .from = 2, .to = 1, .term = 2, .log = {1, 2}, .log_hash = hash};
    struct raft_message beat = {.type = RAFT_HEARTBEAT, .from = 2, .to = 1, .term = 2};
    for (int i = 0; i < RAFT_MESSAGES_MAX + 100; i++) {
        assert_int_equal(raft_step(core.raft, &append, &diverged), STATUS_OK);
        assert_int_equal(raft_step(core.raft, &beat, &diverged), STATUS_OK);
        assert_int_equal(take_all(RAFT_HEARTBEAT_RESPONSE, &out), 1);
    }
    raft_persisted(core.raft, seq);
    assert_int_equal(take_all(RAFT_APPEND_RESPONSE, &out), 1); /* the newest says it all */
    core_stop(&core);
}

/* More reads fail at once than max_reads, and none has been taken: a further one is refused, not lost. */
static void reads_that_fail_in_bulk(void **state)
{
    (void)state;
    struct raft_config config = core_config(1);
    struct raft_output out;
    uint64_t ctx = 0, accepted = 0;
    bool diverged;
    config.max_reads = 4;
    core_start(&core, &config, 3);
    follow(2, 2);
    for (uint64_t term = 3; term < 8; term++) {
        for (int i = 0; i < 4 - (term == 3); i++)
            accepted += raft_read_index(core.raft, ++ctx) == STATUS_OK;
        struct raft_message beat = {.type = RAFT_HEARTBEAT, .from = 2 + term % 2, .to = 1, .term = term};
        assert_int_equal(raft_step(core.raft, &beat, &diverged), STATUS_OK);
    }
    raft_take(core.raft, &out);
    assert_int_equal(out.read_count, accepted);
    core_stop(&core);
}

/* The one that a read waits for is removed: those who are left are a quorum. */
static void a_read_outlives_the_peer_it_waited_for(void **state)
{
    (void)state;
    struct raft_config config = core_config(1);
    struct raft_log_id at;
    core_start(&core, &config, 2);
    core_lead(&core, 2);
    core.read_count = 0;
    assert_int_equal(raft_read_index(core.raft, 77), STATUS_OK);
    core_drain(&core);
    assert_int_equal(core.read_count, 0);
    struct raft_conf_change remove = {.type = RAFT_REMOVE, .member = {.id = 2}};
    assert_int_equal(raft_propose_conf(core.raft, &remove, &at), STATUS_OK);
    core_drain(&core);
    assert_int_equal(core.read_count, 1);
    assert_int_equal(core.reads[0].status, STATUS_OK);
    core_stop(&core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_install_releases_nothing),
        cmocka_unit_test(a_slow_disk_leaves_room_for_heartbeats),
        cmocka_unit_test(reads_that_fail_in_bulk),
        cmocka_unit_test(a_read_outlives_the_peer_it_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
