/* What a transport may hand over: malformed messages are refused and change nothing; whatever else arrives, nothing breaks. */
#include "raft/raft.h"

#include "core.h"

#include "check.h"

/* Refused with `expected`, and as if it had not been. */
static void refused(struct core *core, struct raft_message m, enum status expected)
{
    bool diverged = true;
    uint64_t before = raft_hash(core->raft);
    if (m.from == 0)
        m.from = 2;
    assert_int_equal(raft_step(core->raft, &m, &diverged), expected);
    assert_false(diverged);
    assert_true(raft_hash(core->raft) == before);
}

static void envelope(void **state)
{
    (void)state;
    struct core core;
    struct raft_config config = core_config(1);
    core_start(&core, &config, 3);
    struct raft_message m = {.type = RAFT_HEARTBEAT, .to = 1, .term = 5};
    for (int type = 0; type < 256; type++) {
        m.type = (uint8_t)type;
        if (type < RAFT_PRE_VOTE || type > RAFT_REMOVED)
            refused(&core, m, STATUS_INVALID);
    }
    m.type = RAFT_HEARTBEAT;
    m.to = 2;
    refused(&core, m, STATUS_INVALID); /* for another node */
    m.to = 0;
    refused(&core, m, STATUS_INVALID);
    m.to = 1;
    m.from = 1;
    refused(&core, m, STATUS_INVALID); /* from oneself */
    m.from = 2;
    m.term = RAFT_NUMBER_MAX;
    refused(&core, m, STATUS_INVALID); /* hardly a term could follow */
    m.term = 0;
    refused(&core, m, STATUS_INVALID);
    static const uint8_t termed[] = {RAFT_PRE_VOTE, RAFT_VOTE, RAFT_VOTE_RESPONSE, RAFT_APPEND, RAFT_APPEND_RESPONSE, RAFT_SNAPSHOT,
                                     RAFT_SNAPSHOT_RESPONSE, RAFT_TIMEOUT_NOW, RAFT_READ_RESPONSE, RAFT_REMOVED};
    for (size_t i = 0; i < COUNT_OF(termed); i++) {
        m.type = termed[i];
        refused(&core, m, STATUS_INVALID);
    }
    /* Numbers that nobody reaches, and whose sums would not fit. */
    uint64_t *const numbers[] = {&m.log.index, &m.commit, &m.match, &m.hint.index};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        m = (struct raft_message){.type = RAFT_HEARTBEAT_RESPONSE, .to = 1, .from = 2, .term = 5};
        *numbers[i] = RAFT_NUMBER_MAX;
        refused(&core, m, STATUS_INVALID);
    }
    /* Entries on what carries none. */
    struct raft_entry entry;
    make_entries(&entry, 1, (struct raft_log_id){0, 0}, 0, 1, 3);
    for (int type = RAFT_PRE_VOTE; type <= RAFT_REMOVED; type++) {
        m = (struct raft_message){.type = (uint8_t)type, .to = 1, .from = 2, .term = 5, .entries = &entry, .entry_count = 1};
        if (type != RAFT_APPEND)
            refused(&core, m, STATUS_INVALID);
    }
    core_stop(&core);
}

static void appends(void **state)
{
    (void)state;
    struct core core;
    struct raft_config config = core_config(1);
    core_start(&core, &config, 3);
    struct raft_entry entries[3], good[3];
    make_entries(good, 3, (struct raft_log_id){0, 0}, 0, 2, 3);
    struct raft_message m = {.type = RAFT_APPEND, .from = 2, .to = 1, .term = 5, .entries = entries, .entry_count = 3};
    memcpy(entries, good, sizeof good);
    entries[1].id.index = 3; /* a gap */
    refused(&core, m, STATUS_INVALID);
    memcpy(entries, good, sizeof good);
    entries[0].id.index = 2; /* not behind `log` */
    refused(&core, m, STATUS_INVALID);
    memcpy(entries, good, sizeof good);
    entries[2].id.term = 1; /* a falling term */
    refused(&core, m, STATUS_INVALID);
    memcpy(entries, good, sizeof good);
    entries[2].id.term = 6; /* younger than the message */
    refused(&core, m, STATUS_INVALID);
    memcpy(entries, good, sizeof good);
    entries[0].id.term = 0; /* of no term */
    refused(&core, m, STATUS_INVALID);
    memcpy(entries, good, sizeof good);
    entries[1].type = RAFT_ENTRY_NOOP; /* with data */
    refused(&core, m, STATUS_INVALID);
    memcpy(entries, good, sizeof good);
    entries[1].size = (1 << 20) + 1;
    refused(&core, m, STATUS_INVALID);
    memcpy(entries, good, sizeof good);
    entries[1].type = 9; /* unknown: to skip it would diverge */
    refused(&core, m, STATUS_INVALID);
    memcpy(entries, good, sizeof good);
    entries[1].data = NULL;
    refused(&core, m, STATUS_INVALID);
    memcpy(entries, good, sizeof good);
    entries[1].data = "abc"; /* other content than its hash */
    refused(&core, m, STATUS_CORRUPT);
    memcpy(entries, good, sizeof good);
    entries[2].hash++;
    refused(&core, m, STATUS_CORRUPT);
    memcpy(entries, good, sizeof good);
    m.log_hash = 1; /* another history */
    refused(&core, m, STATUS_CORRUPT);
    m.log_hash = 0;
    entries[0].type = RAFT_ENTRY_CONF; /* that cannot be read */
    entries[0].hash = raft_entry_hash(0, &entries[0]);
    m.entry_count = 1;
    refused(&core, m, STATUS_CORRUPT);
    m.entries = NULL;
    refused(&core, m, STATUS_INVALID);
    memcpy(entries, good, sizeof good);
    m.entries = entries;
    m.entry_count = 3;
    assert_int_equal(core_step(&core, m), STATUS_OK); /* and undamaged it is taken */
    assert_int_equal(raft_last(core.raft).index, 3);
    core_stop(&core);
}

static void chunks(void **state)
{
    (void)state;
    struct core core;
    struct raft_config config = core_config(1);
    core_start(&core, &config, 3);
    const struct raft_snapshot_meta good = {.last = {9, 3}, .size = 100, .hash = 5,
                                            .conf = {.count = 1, .members = {{.id = 2, .role = RAFT_VOTER}}}, .conf_index = 4};
    struct raft_snapshot_meta meta = good;
    struct raft_message m = {.type = RAFT_SNAPSHOT, .from = 2, .to = 1, .term = 5, .log = {9, 3}, .snapshot = &meta,
                             .chunk = {"0123456789", 10}};
    m.snapshot = NULL;
    refused(&core, m, STATUS_INVALID);
    m.snapshot = &meta;
    meta.last.index = 0;
    refused(&core, m, STATUS_INVALID);
    meta = good;
    meta.last.term = 6; /* younger than the message */
    refused(&core, m, STATUS_INVALID);
    meta.last.term = 0;
    refused(&core, m, STATUS_INVALID);
    meta = good;
    meta.conf.count = 0;
    refused(&core, m, STATUS_INVALID);
    meta = good;
    meta.conf.members[0].role = 0;
    refused(&core, m, STATUS_INVALID);
    meta = good;
    meta.conf_index = 10; /* younger than the snapshot */
    refused(&core, m, STATUS_INVALID);
    meta = good;
    m.offset = 101;
    refused(&core, m, STATUS_INVALID);
    m.offset = 91; /* ends behind the file */
    refused(&core, m, STATUS_INVALID);
    m.offset = UINT64_MAX;
    refused(&core, m, STATUS_INVALID);
    m.offset = 0;
    m.chunk.data = NULL;
    refused(&core, m, STATUS_INVALID);
    m.chunk = (struct bytes){"0123456789", 10};
    assert_int_equal(core_step(&core, m), STATUS_OK);
    assert_int_equal(core.sent[core.sent_count - 1].type, RAFT_SNAPSHOT_RESPONSE);
    assert_int_equal(core.sent[core.sent_count - 1].offset, 10);
    core_stop(&core);
}

/* Equal index and term with another history: this node must stop. */
static void divergence(void **state)
{
    (void)state;
    struct core core;
    struct raft_config config = core_config(1);
    core_start(&core, &config, 3);
    struct raft_entry entries[2];
    make_entries(entries, 2, (struct raft_log_id){0, 0}, 0, 1, 3);
    struct raft_message m = {.type = RAFT_APPEND, .from = 2, .to = 1, .term = 1, .entries = entries, .entry_count = 2};
    assert_int_equal(core_step(&core, m), STATUS_OK);
    entries[0].data = "abc";
    entries[0].hash = raft_entry_hash(0, &entries[0]);
    entries[1].hash = raft_entry_hash(entries[0].hash, &entries[1]);
    bool diverged = false;
    assert_int_equal(raft_step(core.raft, &m, &diverged), STATUS_CORRUPT);
    assert_true(diverged);
    m.log = (struct raft_log_id){2, 1};
    m.log_hash = entries[1].hash;
    m.entry_count = 0;
    diverged = false;
    assert_int_equal(raft_step(core.raft, &m, &diverged), STATUS_CORRUPT);
    assert_true(diverged);
    core_stop(&core);
    /* Another leader in a term that we lead in. */
    core_start(&core, &config, 3);
    core_lead(&core, 3);
    m = (struct raft_message){.type = RAFT_HEARTBEAT, .from = 2, .to = 1, .term = raft_term(core.raft)};
    diverged = false;
    assert_int_equal(raft_step(core.raft, &m, &diverged), STATUS_CORRUPT);
    assert_true(diverged);
    core_stop(&core);
}

/* An entry that conflicts with a committed one must not undo it, whoever sends it. */
static void what_is_committed_stays(void **state)
{
    (void)state;
    struct core core;
    struct raft_config config = core_config(1);
    core_start(&core, &config, 3);
    struct raft_entry entries[3];
    make_entries(entries, 3, (struct raft_log_id){0, 0}, 0, 1, 3);
    struct raft_message m = {.type = RAFT_APPEND, .from = 2, .to = 1, .term = 1, .entries = entries, .entry_count = 3, .commit = 2};
    assert_int_equal(core_step(&core, m), STATUS_OK);
    assert_int_equal(raft_commit(core.raft), 2);
    /* From before the commit index: what it has, and not one entry undone. */
    make_entries(entries, 3, (struct raft_log_id){0, 0}, 0, 2, 3);
    m.term = 2;
    assert_int_equal(core_step(&core, m), STATUS_OK);
    assert_int_equal(raft_term_at(core.raft, 1), 1);
    assert_int_equal(raft_term_at(core.raft, 2), 1);
    assert_int_equal(raft_last(core.raft).index, 3);
    core_stop(&core);
}

/* --- at random --- */

/* Whatever comes of it. */
static void ignore(enum status status)
{
    (void)status;
}

static struct raft_log_id some_id(struct random *random)
{
    return (struct raft_log_id){random_below(random, 8), random_below(random, 6)};
}

static struct raft_message some_message(struct random *random, struct raft *raft, struct raft_entry *entries,
                                        struct raft_snapshot_meta *meta)
{
    struct raft_message m = {.type = (uint8_t)random_below(random, RAFT_REMOVED + 2), .from = 1 + random_below(random, 5), .to = 1,
                             .term = random_below(random, 4) == 0 ? random_below(random, 12) : raft_term(raft),
                             .reject = random_below(random, 3) == 0, .transfer = random_below(random, 4) == 0,
                             .log = some_id(random), .hint = some_id(random), .commit = random_below(random, 8),
                             .match = random_below(random, 8), .read_seq = random_below(random, 4),
                             .ctx = random_below(random, 4), .offset = random_below(random, 3) * 4};
    if (m.type == RAFT_REMOVED && random_below(random, 50) != 0)
        m.type = RAFT_HEARTBEAT;
    if (random_below(random, 2) == 0) {
        m.log.index = raft_last(raft).index;
        m.log.term = raft_last(raft).term;
    }
    if (m.type == RAFT_SNAPSHOT) {
        *meta = (struct raft_snapshot_meta){.last = some_id(random), .size = 8, .hash = 1 + random_below(random, 2),
                                            .conf = {.count = 2, .members = {{.id = 1, .role = RAFT_VOTER},
                                                                             {.id = 2, .role = RAFT_VOTER}}},
                                            .conf_index = random_below(random, 4)};
        m.snapshot = meta;
        m.chunk = (struct bytes){"abcd", 4};
    }
    if (m.type == RAFT_APPEND) {
        struct raft_status s;
        raft_status(raft, &s);
        m.log_hash = m.log.index == s.last.index ? s.last_hash : 0;
        m.entry_count = (uint32_t)random_below(random, 4);
        m.entries = entries;
        make_entries(entries, m.entry_count, m.log, m.log_hash, m.log.term + random_below(random, 3),
                     (uint32_t)random_below(random, 5));
    }
    return m;
}

static void other_input(struct core *core, struct random *random)
{
    struct raft_log_id at;
    struct raft_conf_change change = {.type = (enum raft_conf_change_type)(1 + random_below(random, 4)),
                                      .member = {.id = 1 + random_below(random, 5)}};
    static const struct bytes command = {"c", 1};
    switch (random_below(random, 10)) {
    case 0: ignore(raft_propose(core->raft, &command, 1, &at)); break;
    case 1: ignore(raft_propose_conf(core->raft, &change, &at)); break;
    case 2: ignore(raft_read_index(core->raft, random_next(random))); break;
    case 3: ignore(raft_transfer(core->raft, random_below(random, 5))); break;
    case 4: ignore(raft_campaign(core->raft)); break;
    case 5: raft_report(core->raft, 1 + random_below(random, 5), (enum raft_report)random_below(random, 3)); break;
    case 6: core->held = !core->held; break;
    default: raft_tick(core->raft);
    }
}

/* Lies of every kind, from members and strangers: invariants hold, nothing is read behind its end, no assertion breaks. It ends
 * early where the core says that it must stop. */
static void nothing_that_arrives_breaks_it(void **state)
{
    (void)state;
    static struct core core;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct random random;
        struct raft_config config = core_config(1);
        bool diverged = false;
        random_seed(&random, seed);
        core_start(&core, &config, 1 + (uint32_t)random_below(&random, 5));
        for (int i = 0; i < 300 && !diverged; i++) {
            struct raft_entry entries[4];
            struct raft_snapshot_meta meta;
            struct raft_message m = some_message(&random, core.raft, entries, &meta);
            ignore(raft_step(core.raft, &m, &diverged));
            if (random_below(&random, 3) == 0)
                other_input(&core, &random);
            if (random_below(&random, 4) != 0)
                core_drain(&core);
            if (core.batches > 0 && random_below(&random, 4) == 0)
                core_release(&core);
            const char *why = "";
            if (!raft_check(core.raft, &why))
                fail_msg("seed %llu, step %d: %s", (unsigned long long)seed, i, why);
        }
        core_stop(&core);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(envelope), cmocka_unit_test(appends), cmocka_unit_test(chunks), cmocka_unit_test(divergence),
        cmocka_unit_test(what_is_committed_stays), cmocka_unit_test(nothing_that_arrives_breaks_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
