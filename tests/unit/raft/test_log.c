/* The log against a plain array of everything, by random operations; and its corners one by one. */
#include "raft/log.h"

#include "base/id.h"

#include "check.h"

enum { MODEL_MAX = 4096, COST = sizeof(struct raft_entry) };

struct model {
    struct raft_log_id base;
    uint64_t count; /* entries base.index + 1 ... */
    uint64_t terms[MODEL_MAX], hashes[MODEL_MAX], persisted, taken;
};

static struct raft_memory memory;

static uint64_t model_last(const struct model *m)
{
    return m->base.index + m->count;
}

static uint64_t model_term(const struct model *m, uint64_t index)
{
    return index == m->base.index ? m->base.term : index < m->base.index || index > model_last(m) ? 0 : m->terms[index];
}

static void append_one(struct raft_log *log, uint64_t term, uint32_t size)
{
    static const char data[64] = "data";
    struct raft_entry entry = {.id = {log->last.index + 1, term}, .data = size > 0 ? data : NULL, .size = size,
                               .type = RAFT_ENTRY_NORMAL};
    entry.hash = raft_entry_hash(log->last_hash, &entry);
    assert_int_equal(raft_log_append(log, &entry, 1), STATUS_OK);
}

static void compare(const struct raft_log *log, const struct model *m)
{
    assert_int_equal(log->last.index, model_last(m));
    assert_int_equal(log->last.term, model_term(m, model_last(m)));
    assert_int_equal(log->persisted, m->persisted);
    for (uint64_t i = m->base.index > 2 ? m->base.index - 2 : 0; i <= model_last(m) + 2; i++) {
        assert_int_equal(raft_log_term(log, i), model_term(m, i));
        const struct raft_entry *entry = raft_log_entry(log, i);
        if (entry != NULL) {
            assert_int_equal(entry->id.index, i);
            assert_int_equal(entry->id.term, model_term(m, i));
            assert_int_equal(entry->hash, m->hashes[i]);
        }
        uint64_t hash = raft_log_hash(log, i);
        assert_true(hash == 0 || hash == m->hashes[i]);
        assert_true(i <= m->persisted || i > model_last(m) || entry != NULL); /* what is not durable is in memory */
    }
}

/* The last position at or before `at` with a term of at most at.term. */
static void compare_conflict(const struct raft_log *log, const struct model *m, struct raft_log_id at)
{
    uint64_t index = at.index < model_last(m) ? at.index : model_last(m);
    while (index > m->base.index && model_term(m, index) > at.term)
        index--;
    struct raft_log_id found = raft_log_find_conflict(log, at);
    if (index > m->base.index || (index == m->base.index && m->base.term <= at.term)) {
        assert_int_equal(found.index, index);
        assert_int_equal(found.term, model_term(m, index));
    } else {
        assert_int_equal(found.term, 0); /* before the log: not known */
        assert_true(found.index <= index);
    }
}

static void step(struct raft_log *log, struct model *m, struct random *random)
{
    switch (random_below(random, 8)) {
    case 0:
    case 1:
    case 2:
        if (model_last(m) + 1 < MODEL_MAX) {
            append_one(log, log->last.term + (random_below(random, 4) == 0) + (log->last.term == 0),
                       (uint32_t)random_below(random, 20));
            m->count++;
            m->terms[model_last(m)] = log->last.term;
            m->hashes[model_last(m)] = log->last_hash;
        }
        break;
    case 3:
        if (m->count > 0 && random_below(random, 3) == 0) {
            uint64_t from = model_last(m) - random_below(random, m->count < 5 ? m->count : 5);
            raft_log_truncate(log, from, m->hashes[from - 1]);
            m->count = from - 1 - m->base.index;
            m->persisted = m->persisted < from ? m->persisted : from - 1;
        }
        break;
    case 4:
        if (random_below(random, 3) == 0) {
            uint64_t upto = m->base.index + random_below(random, m->persisted - m->base.index + 1);
            struct raft_log_id base = {upto, model_term(m, upto)};
            raft_log_compact(log, upto);
            m->count -= upto - m->base.index;
            m->base = base;
        }
        break;
    case 5: {
        uint64_t to = m->persisted + random_below(random, model_last(m) - m->persisted + 1);
        raft_log_persist(log, to);
        m->persisted = to;
        break;
    }
    case 6:
        raft_log_evict(log, random_below(random, 200), model_last(m) - random_below(random, m->count + 1));
        break;
    default:
        if (random_below(random, 40) == 0) {
            struct raft_log_id base = {model_last(m) + random_below(random, 10), log->last.term + 1};
            if (base.index + 1 < MODEL_MAX) {
                raft_log_reset(log, base, 77);
                *m = (struct model){.base = base, .persisted = base.index};
                m->hashes[base.index] = 77;
            }
        }
    }
}

static void random_operations(void **state)
{
    (void)state;
    static struct model m;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct random random;
        struct raft_log log;
        random_seed(&random, seed);
        raft_log_init(&log, &memory);
        m = (struct model){.count = 0};
        for (int i = 0; i < 600; i++) {
            step(&log, &m, &random);
            compare(&log, &m);
            compare_conflict(&log, &m, (struct raft_log_id){random_below(&random, model_last(&m) + 3),
                                                            random_below(&random, log.last.term + 2)});
        }
        uint64_t unstable = 0, cached = 0;
        for (uint64_t i = m.base.index + 1; i <= model_last(&m); i++) {
            const struct raft_entry *entry = raft_log_entry(&log, i);
            cached += entry != NULL ? raft_entry_cost(entry) : 0;
            unstable += i > m.persisted ? raft_entry_cost(entry) : 0;
        }
        assert_int_equal(log.cached_bytes, cached);
        assert_int_equal(log.unstable_bytes, unstable);
        raft_log_deinit(&log);
    }
}

static void term_of_the_base_is_known(void **state)
{
    (void)state;
    struct raft_log log;
    raft_log_init(&log, &memory);
    append_one(&log, 3, 1);
    append_one(&log, 5, 1);
    raft_log_persist(&log, 2);
    uint64_t hash = log.last_hash;
    raft_log_compact(&log, 2);
    assert_int_equal(log.last.term, 5);
    assert_int_equal(raft_log_term(&log, 2), 5);
    assert_int_equal(raft_log_term(&log, 1), 0);
    assert_int_equal(raft_log_hash(&log, 2), hash);
    assert_true(raft_log_matches(&log, (struct raft_log_id){2, 5}));
    assert_false(raft_log_matches(&log, (struct raft_log_id){1, 3})); /* gone */
    append_one(&log, 5, 1);
    assert_int_equal(raft_log_hash(&log, 2), hash); /* still, as the one before the oldest in memory */
    raft_log_deinit(&log);
}

/* What is written again behind a truncation is durable when that is, not because its predecessor was. */
static void truncation_takes_durability_away(void **state)
{
    (void)state;
    struct raft_log log;
    raft_log_init(&log, &memory);
    for (int i = 0; i < 5; i++)
        append_one(&log, 1, 10);
    log.taken = 5;
    raft_log_persist(&log, 4);
    uint64_t hash = raft_log_hash(&log, 2);
    raft_log_truncate(&log, 3, hash);
    assert_int_equal(log.persisted, 2);
    assert_int_equal(log.taken, 2);
    assert_int_equal(log.truncated_from, 3);
    assert_int_equal(log.unstable_bytes, 0);
    append_one(&log, 2, 10);
    append_one(&log, 2, 10);
    assert_int_equal(log.unstable_bytes, 2 * (10 + COST));
    /* What was never handed out needs no truncation on disk; the lowest one counts. */
    raft_log_truncate(&log, 4, raft_log_hash(&log, 3));
    assert_int_equal(log.truncated_from, 3);
    raft_log_truncate(&log, 2, raft_log_hash(&log, 1));
    assert_int_equal(log.truncated_from, 2);
    raft_log_deinit(&log);
}

static void load_refuses_what_cannot_be(void **state)
{
    (void)state;
    static const struct raft_term_run fine[] = {{1, 1}, {3, 4}}, late[] = {{1, 2}, {3, 4}}, falling[] = {{3, 1}, {1, 4}},
                                      beyond[] = {{1, 1}, {3, 7}}, same[] = {{1, 1}, {3, 1}}, zero[] = {{0, 1}, {3, 4}};
    const struct raft_boot good = {.last = {6, 3}, .runs = fine, .run_count = 2};
    const struct {
        const struct raft_term_run *runs;
        uint32_t count;
        struct raft_log_id base, last;
    } bad[] = {
        {late, 2, {0, 0}, {6, 3}}, {falling, 2, {0, 0}, {6, 1}}, {beyond, 2, {0, 0}, {6, 3}}, {same, 2, {0, 0}, {6, 3}},
        {zero, 2, {0, 0}, {6, 3}}, {fine, 2, {0, 0}, {6, 4}},    {fine, 1, {0, 0}, {6, 3}},   {fine, 0, {0, 0}, {6, 3}},
        {fine, 2, {7, 3}, {6, 3}}, {fine, 2, {6, 3}, {6, 3}},    {fine, 2, {0, 9}, {6, 3}},
    };
    struct raft_log log;
    raft_log_init(&log, &memory);
    assert_int_equal(raft_log_load(&log, &good), STATUS_OK);
    assert_int_equal(raft_log_term(&log, 3), 1);
    assert_int_equal(raft_log_term(&log, 4), 3);
    assert_int_equal(log.persisted, 6);
    raft_log_deinit(&log);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct raft_boot boot = {.base = bad[i].base, .last = bad[i].last, .runs = bad[i].runs, .run_count = bad[i].count};
        raft_log_init(&log, &memory);
        if (raft_log_load(&log, &boot) != STATUS_INVALID)
            fail_msg("case %zu", i);
        raft_log_deinit(&log);
    }
}

static void sums_cover_all_of_an_entry(void **state)
{
    (void)state;
    const struct raft_entry entry = {.id = {7, 3}, .type = RAFT_ENTRY_NORMAL, .data = "abc", .size = 3};
    struct raft_entry others[5];
    for (int i = 0; i < 5; i++)
        others[i] = entry;
    others[0].id.index = 8;
    others[1].id.term = 4;
    others[2].type = RAFT_ENTRY_CONF;
    others[3].data = "abd";
    others[4].size = 2;
    for (int i = 0; i < 5; i++) {
        assert_int_not_equal(raft_entry_crc(&entry), raft_entry_crc(&others[i]));
        assert_true(raft_entry_hash(1, &entry) != raft_entry_hash(1, &others[i]));
    }
    assert_true(raft_entry_hash(1, &entry) != raft_entry_hash(2, &entry));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations), cmocka_unit_test(term_of_the_base_is_known),
        cmocka_unit_test(truncation_takes_durability_away), cmocka_unit_test(load_refuses_what_cannot_be),
        cmocka_unit_test(sums_cover_all_of_an_entry),
    };
    raft_memory_init(&memory, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
