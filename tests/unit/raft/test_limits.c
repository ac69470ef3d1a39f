/* Every limit of the core is reached once, and what is beyond it refused or put off, not lost. */
#include "raft/raft.h"

#include "core.h"

#include "check.h"

enum { COST = sizeof(struct raft_entry) }; /* of an entry without data */

static enum status propose(struct core *core, size_t size, uint32_t count)
{
    static const char data[16384] = "x";
    struct bytes commands[256];
    struct raft_log_id first;
    for (uint32_t i = 0; i < count; i++)
        commands[i] = (struct bytes){data, size};
    enum status status = raft_propose(core->raft, commands, count, &first);
    core_drain(core);
    return status;
}

static void acknowledge(struct core *core)
{
    for (uint64_t id = 2; id <= 3; id++)
        assert_int_equal(core_step(core, (struct raft_message){.type = RAFT_APPEND_RESPONSE, .from = id,
                                                               .term = raft_term(core->raft),
                                                               .match = raft_last(core->raft).index}),
                         STATUS_OK);
}

static void configuration(void **state)
{
    (void)state;
    struct raft *raft;
    const struct raft_boot boot = {0};
    const struct raft_config good = core_config(1);
    struct raft_config bad[6];
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        bad[i] = good;
    bad[0].id = 0;
    bad[1].election_ticks = 1;
    bad[2].heartbeat_ticks = 0;
    bad[3].heartbeat_ticks = 6; /* more than half of the election timeout */
    bad[4].max_inflight_messages = 0;
    bad[5].max_reads = 0;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(raft_new(&bad[i], &boot, &raft), STATUS_INVALID);
}

static void what_is_found_on_disk(void **state)
{
    (void)state;
    struct raft *raft;
    const struct raft_config config = core_config(1);
    const struct raft_term_run runs[] = {{2, 1}};
    const struct raft_boot good = {.hard = {.term = 2}, .last = {5, 2}, .runs = runs, .run_count = 1};
    struct raft_entry conf = {.id = {3, 2}, .type = RAFT_ENTRY_CONF, .data = "damaged", .size = 7};
    struct raft_boot boot = good;
    assert_int_equal(raft_new(&config, &boot, &raft), STATUS_OK);
    raft_free(raft);
    boot.hard.term = 1; /* the log is younger than the term */
    assert_int_equal(raft_new(&config, &boot, &raft), STATUS_INVALID);
    boot = good;
    boot.applied = 6;
    assert_int_equal(raft_new(&config, &boot, &raft), STATUS_INVALID);
    boot = good;
    boot.base = (struct raft_log_id){5, 2}; /* and applied 0 */
    boot.run_count = 0;
    assert_int_equal(raft_new(&config, &boot, &raft), STATUS_INVALID);
    boot = good;
    boot.conf.count = 1; /* a member 0 */
    assert_int_equal(raft_new(&config, &boot, &raft), STATUS_INVALID);
    boot = good;
    boot.conf_entries = &conf;
    boot.conf_entry_count = 1;
    assert_int_equal(raft_new(&config, &boot, &raft), STATUS_CORRUPT);
    conf.type = RAFT_ENTRY_NORMAL;
    assert_int_equal(raft_new(&config, &boot, &raft), STATUS_INVALID);
    conf.type = RAFT_ENTRY_CONF;
    conf.id.index = 6;
    assert_int_equal(raft_new(&config, &boot, &raft), STATUS_INVALID);
}

static void uncommitted_bytes(void **state)
{
    (void)state;
    static struct core core;
    struct raft_config config = core_config(1);
    enum { LIMIT = 1000 + 200 * COST };
    config.max_uncommitted_bytes = LIMIT;
    core_start(&core, &config, 3);
    core_lead(&core, 3);
    assert_int_equal(propose(&core, LIMIT + 1, 1), STATUS_OK); /* one is always taken when there is none */
    assert_int_equal(propose(&core, 1, 1), STATUS_BUSY);
    uint64_t before = raft_hash(core.raft);
    assert_int_equal(propose(&core, 1, 1), STATUS_BUSY);
    assert_true(raft_hash(core.raft) == before);
    acknowledge(&core);
    assert_int_equal(propose(&core, LIMIT / 2 - COST, 2), STATUS_OK); /* which is what there may be */
    assert_int_equal(propose(&core, 1, 1), STATUS_BUSY);
    /* A change of membership is no proposal of that kind. */
    struct raft_conf_change change = {.type = RAFT_ADD_LEARNER, .member.id = 4};
    struct raft_log_id at;
    assert_int_equal(raft_propose_conf(core.raft, &change, &at), STATUS_OK);
    acknowledge(&core);
    assert_int_equal(propose(&core, 4, 200), STATUS_OK); /* more than are prepared at a time */
    assert_int_equal(propose(&core, 100 - COST, 2), STATUS_OK);
    assert_int_equal(propose(&core, 0, 1), STATUS_BUSY); /* empty ones count too */
    acknowledge(&core);
    /* Nothing is left of it after a leadership. */
    assert_int_equal(propose(&core, 900, 1), STATUS_OK);
    assert_int_equal(core_step(&core, (struct raft_message){.type = RAFT_HEARTBEAT_RESPONSE, .from = 2, .term = 50}), STATUS_OK);
    assert_int_equal(propose(&core, 1, 1), STATUS_NO_LEADER);
    core_lead(&core, 3);
    assert_int_equal(propose(&core, 1000, 1), STATUS_OK);
    core_stop(&core);
}

static void reads(void **state)
{
    (void)state;
    static struct core core;
    struct raft_config config = core_config(1);
    core_start(&core, &config, 3);
    core_lead(&core, 3);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(raft_read_index(core.raft, i), STATUS_OK);
    assert_int_equal(raft_read_index(core.raft, 4), STATUS_OVERLOADED);
    /* One that comes from a follower is dropped; it gives up by itself. */
    core_drain(&core);
    uint32_t sent = core.sent_count;
    assert_int_equal(core_step(&core, (struct raft_message){.type = RAFT_READ, .from = 2, .term = 1, .ctx = 9}), STATUS_OK);
    assert_int_equal(core.sent_count, sent);
    assert_int_equal(core_step(&core, (struct raft_message){.type = RAFT_HEARTBEAT_RESPONSE, .from = 2, .term = 1, .read_seq = 4}),
                     STATUS_OK);
    assert_int_equal(core.read_count, 4);
    assert_int_equal(raft_read_index(core.raft, 4), STATUS_OK);
    /* All of them fail at once, beside the answers that were not taken: there is room. */
    for (uint64_t i = 5; i < 8; i++)
        assert_int_equal(raft_read_index(core.raft, i), STATUS_OK);
    bool diverged;
    struct raft_message m = {.type = RAFT_HEARTBEAT_RESPONSE, .from = 2, .to = 1, .term = 1, .read_seq = 8};
    assert_int_equal(raft_step(core.raft, &m, &diverged), STATUS_OK);
    assert_int_equal(raft_read_index(core.raft, 8), STATUS_OVERLOADED);
    core_drain(&core);
    assert_int_equal(core.read_count, 8);
    core_stop(&core);
    /* A follower's own. */
    core_start(&core, &config, 3);
    assert_int_equal(raft_read_index(core.raft, 0), STATUS_NO_LEADER);
    assert_int_equal(core_step(&core, (struct raft_message){.type = RAFT_HEARTBEAT, .from = 2, .term = 1}), STATUS_OK);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(raft_read_index(core.raft, i), STATUS_OK);
    assert_int_equal(raft_read_index(core.raft, 4), STATUS_OVERLOADED);
    core_stop(&core);
}

static void messages(void **state)
{
    (void)state;
    static struct core core;
    struct raft_config config = core_config(1);
    core_start(&core, &config, 3);
    core.held = true;
    for (int i = 0; i < RAFT_MESSAGES_MAX + 100; i++)
        assert_int_equal(core_step(&core, (struct raft_message){.type = RAFT_HEARTBEAT, .from = 2, .term = 1}), STATUS_OK);
    assert_int_equal(core.sent_count, 0); /* the term is not on disk */
    core_release(&core);
    core_drain(&core);
    assert_int_equal(core.sent_count, RAFT_MESSAGES_MAX); /* the rest is lost, as on a network */
    assert_int_equal(core_step(&core, (struct raft_message){.type = RAFT_HEARTBEAT, .from = 2, .term = 1}), STATUS_OK);
    assert_int_equal(core.sent_count, RAFT_MESSAGES_MAX + 1);
    core_stop(&core);
}

static void batches(void **state)
{
    (void)state;
    static struct core core;
    struct raft_config config = core_config(1);
    config.election_ticks = 1000;
    config.max_uncommitted_bytes = 1 << 20;
    core_start(&core, &config, 3);
    core_lead(&core, 3);
    core.held = true;
    for (int i = 0; i < RAFT_BATCHES_MAX + 50; i++)
        assert_int_equal(propose(&core, 8, 1), STATUS_OK);
    assert_int_equal(core.batches, RAFT_BATCHES_MAX); /* more is not handed out */
    acknowledge(&core);
    assert_int_equal(raft_commit(core.raft), raft_last(core.raft).index);
    core_release(&core);
    core_drain(&core);
    assert_int_equal(core.batches, 1); /* all that waited, in one */
    core_release(&core);
    core_drain(&core);
    struct raft_status s;
    raft_status(core.raft, &s);
    assert_int_equal(s.persisted, s.last.index);
    assert_int_equal(s.applied, s.last.index);
    core_stop(&core);
}

static enum status append(struct core *core, uint32_t count, uint32_t size)
{
    struct raft_entry entries[64];
    struct raft_status s;
    raft_status(core->raft, &s);
    make_entries(entries, count, s.last, s.last_hash, 1, size);
    return core_step(core, (struct raft_message){.type = RAFT_APPEND, .from = 2, .term = 1, .log = s.last, .log_hash = s.last_hash,
                                                 .entries = entries, .entry_count = count});
}

static void bytes_that_wait_for_the_disk(void **state)
{
    (void)state;
    static struct core core;
    struct raft_config config = core_config(1);
    config.cache_bytes = 1000;
    core_start(&core, &config, 3);
    core.held = true;
    assert_int_equal(append(&core, 1, 3000), STATUS_OK); /* when nothing waits, whatever it takes */
    assert_int_equal(append(&core, 1, 1), STATUS_OVERLOADED);
    core_release(&core);
    assert_int_equal(append(&core, 2, 400 - COST), STATUS_OK);
    assert_int_equal(append(&core, 1, 201 - COST), STATUS_OVERLOADED);
    assert_int_equal(append(&core, 1, 200 - COST), STATUS_OK);
    assert_int_equal(raft_last(core.raft).index, 4);
    core_release(&core);
    core_drain(&core);
    core_stop(&core);
}

/* More configurations in one append than are remembered, none of them known to be committed. */
static void configurations(void **state)
{
    (void)state;
    static struct core core;
    enum { COUNT = RAFT_CONF_STACK_MAX + 5 };
    struct raft_entry entries[COUNT];
    struct buffer texts[COUNT];
    struct raft_conf conf = {.count = 2, .members = {{.id = 1, .role = RAFT_VOTER}, {.id = 2, .role = RAFT_VOTER}}};
    struct raft_config config = core_config(1);
    uint64_t hash = 0, hash_before = 0;
    core_start(&core, &config, 2);
    for (uint32_t i = 0; i < COUNT; i++) {
        conf.members[1].address[0] = (char)('a' + i);
        buffer_init(&texts[i], 1024);
        raft_conf_encode(&conf, &texts[i]);
        entries[i] = (struct raft_entry){.id = {i + 1, 1}, .type = RAFT_ENTRY_CONF, .data = texts[i].data,
                                         .size = (uint32_t)texts[i].size};
        hash_before = hash;
        hash = entries[i].hash = raft_entry_hash(hash, &entries[i]);
    }
    assert_int_equal(core_step(&core, (struct raft_message){.type = RAFT_APPEND, .from = 2, .term = 1, .entries = entries,
                                                            .entry_count = COUNT}),
                     STATUS_OK);
    struct raft_status s;
    raft_status(core.raft, &s);
    assert_int_equal(s.last.index, COUNT);
    assert_int_equal(s.conf_index, COUNT);
    assert_int_equal(s.conf->members[1].address[0], 'a' + COUNT - 1);
    /* The newest is taken back; the one before is in force again. */
    struct raft_entry other;
    make_entries(&other, 1, (struct raft_log_id){COUNT - 1, 1}, hash_before, 2, 3);
    assert_int_equal(core_step(&core, (struct raft_message){.type = RAFT_APPEND, .from = 2, .term = 2, .log = {COUNT - 1, 1},
                                                            .log_hash = hash_before, .entries = &other, .entry_count = 1}),
                     STATUS_OK);
    raft_status(core.raft, &s);
    assert_int_equal(s.last.term, 2);
    assert_int_equal(s.conf_index, COUNT - 1);
    assert_int_equal(s.conf->members[1].address[0], 'a' + COUNT - 2);
    core_stop(&core);
    /* The same at start. */
    struct raft *raft;
    const struct raft_term_run run = {1, 1};
    struct raft_boot boot = {.hard = {.term = 1}, .last = {COUNT, 1}, .last_hash = hash, .runs = &run, .run_count = 1,
                             .conf_entries = entries, .conf_entry_count = COUNT};
    assert_int_equal(raft_new(&config, &boot, &raft), STATUS_OK);
    raft_status(raft, &s);
    assert_int_equal(s.conf_index, COUNT);
    raft_free(raft);
    for (uint32_t i = 0; i < COUNT; i++)
        buffer_deinit(&texts[i]);
}

static void members(void **state)
{
    (void)state;
    static struct core core;
    struct raft_config config = core_config(1);
    core_start(&core, &config, 3);
    core_lead(&core, 3);
    struct raft_conf_change change = {.type = RAFT_ADD_LEARNER};
    struct raft_log_id at;
    for (uint64_t id = 4; id <= RAFT_MEMBERS_MAX; id++) {
        change.member.id = id;
        assert_int_equal(raft_propose_conf(core.raft, &change, &at), STATUS_OK);
        acknowledge(&core);
    }
    change.member.id = RAFT_MEMBERS_MAX + 1;
    assert_int_equal(raft_propose_conf(core.raft, &change, &at), STATUS_INVALID);
    change = (struct raft_conf_change){.type = RAFT_REMOVE, .member.id = 99};
    assert_int_equal(raft_propose_conf(core.raft, &change, &at), STATUS_INVALID); /* no member */
    change = (struct raft_conf_change){.type = RAFT_UPDATE, .member.id = 99};
    assert_int_equal(raft_propose_conf(core.raft, &change, &at), STATUS_INVALID);
    change = (struct raft_conf_change){.type = RAFT_ADD_VOTER, .member.id = 2};
    assert_int_equal(raft_propose_conf(core.raft, &change, &at), STATUS_INVALID); /* changes nothing */
    change.member.id = 0;
    assert_int_equal(raft_propose_conf(core.raft, &change, &at), STATUS_INVALID);
    core_stop(&core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configuration),      cmocka_unit_test(what_is_found_on_disk),
        cmocka_unit_test(uncommitted_bytes),  cmocka_unit_test(reads),
        cmocka_unit_test(messages),           cmocka_unit_test(batches),
        cmocka_unit_test(bytes_that_wait_for_the_disk), cmocka_unit_test(configurations),
        cmocka_unit_test(members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
