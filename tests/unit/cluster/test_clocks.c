/* Whose clock is right, among those that were told. */
#include "cluster/clocks.h"

#include <string.h>

#include "../base/check.h"

enum { NOW = 100000, TOLERANCE = 5000, MISSING = 1, SILENT = 2 }; /* offsets that stand for: unknown; nothing heard */
static const int64_t wall = INT64_C(1700000000000);

static enum clock_verdict judge(uint32_t voters, const int64_t *others, int64_t *ret_middle)
{
    struct clocks clocks = {.count = 0};
    struct raft_conf conf = {.count = (uint8_t)voters};
    for (uint32_t i = 0; i < voters; i++) {
        conf.members[i] = (struct raft_member){.id = i + 1, .role = RAFT_VOTER};
        if (i > 0 && others[i - 1] != SILENT)
            clocks_heard(&clocks, i + 1, others[i - 1] == MISSING ? 0 : wall + others[i - 1], NOW);
    }
    return clocks_judge(&clocks, &conf, 1, wall, NOW, TOLERANCE, ret_middle);
}

static void among_voters(void **state)
{
    static const struct {
        uint32_t voters;
        int64_t others[6];
        enum clock_verdict verdict;
        int64_t middle;
    } rows[] = {
        {1, {0}, CLOCK_RIGHT, 0},
        {2, {SILENT}, CLOCK_UNKNOWN, 0},
        {2, {0}, CLOCK_RIGHT, 0},
        {2, {3600000}, CLOCK_RIGHT, 0}, /* one of two: nobody knows which */
        {3, {SILENT, SILENT}, CLOCK_UNKNOWN, 0},
        {3, {0, SILENT}, CLOCK_RIGHT, 0},
        {3, {3600000, SILENT}, CLOCK_RIGHT, 0},
        {3, {3600000, 0}, CLOCK_RIGHT, 0}, /* the other one is wrong */
        {3, {3600000, 3600200}, CLOCK_WRONG, 3600000},
        {3, {-3600000, -3600200}, CLOCK_WRONG, -3600000},
        {3, {-3600000, 3600000}, CLOCK_RIGHT, 0},
        {3, {5000, 6000}, CLOCK_RIGHT, 0}, /* just within */
        {3, {5001, 6000}, CLOCK_WRONG, 5001},
        {3, {MISSING, MISSING}, CLOCK_RIGHT, 0}, /* they lived before clocks were compared */
        {3, {MISSING, 3600000}, CLOCK_RIGHT, 0},
        {4, {9000, 9000, SILENT}, CLOCK_WRONG, 9000},
        {4, {9000, 0, 9000}, CLOCK_RIGHT, 0},
        {5, {9000, 0, SILENT, SILENT}, CLOCK_RIGHT, 0},
        {5, {9000, SILENT, SILENT, SILENT}, CLOCK_UNKNOWN, 0},
        {5, {9000, 8000, 7000, 0}, CLOCK_WRONG, 7000},
        {7, {-9000, -8000, -7000, -6000, 0, 0}, CLOCK_WRONG, -6000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t middle = -1;
        enum clock_verdict verdict = judge(rows[i].voters, rows[i].others, &middle);
        if (verdict != rows[i].verdict || middle != rows[i].middle)
            fail_msg("row %zu: verdict %d, middle %lld", i, (int)verdict, (long long)middle);
    }
}

/* Learners do not count, and a clock that was told long ago says nothing. */
static void not_of_everybody(void **state)
{
    struct clocks clocks = {.count = 0};
    struct raft_conf conf = {.count = 3, .members = {{.id = 1, .role = RAFT_VOTER}, {.id = 2, .role = RAFT_VOTER}, {.id = 3, .role = RAFT_VOTER}}};
    int64_t middle;
    (void)state;
    clocks_heard(&clocks, 2, wall + 60000, NOW);
    clocks_heard(&clocks, 3, wall + 60000, NOW);
    assert_int_equal(clocks_judge(&clocks, &conf, 1, wall, NOW, TOLERANCE, &middle), CLOCK_WRONG);
    conf.members[2].role = RAFT_LEARNER;
    assert_int_equal(clocks_judge(&clocks, &conf, 1, wall, NOW, TOLERANCE, &middle), CLOCK_RIGHT);
    conf.members[2].role = RAFT_VOTER;
    int64_t later = CLOCK_FRESH_MS + 1;
    assert_int_equal(clocks_judge(&clocks, &conf, 1, wall + later, NOW + later, TOLERANCE, &middle), CLOCK_UNKNOWN);
}

/* This node's clock is set: what it knows of the others stays true, at once. */
static void when_the_own_one_is_set(void **state)
{
    struct clocks clocks = {.count = 0};
    struct raft_conf conf = {.count = 3, .members = {{.id = 1, .role = RAFT_VOTER}, {.id = 2, .role = RAFT_VOTER}, {.id = 3, .role = RAFT_VOTER}}};
    int64_t middle;
    (void)state;
    clocks_heard(&clocks, 2, wall, NOW);
    clocks_heard(&clocks, 3, wall, NOW);
    assert_int_equal(clocks_judge(&clocks, &conf, 1, wall + 10, NOW + 10, TOLERANCE, &middle), CLOCK_RIGHT);
    assert_int_equal(clocks_judge(&clocks, &conf, 1, wall + 3600000, NOW + 20, TOLERANCE, &middle), CLOCK_WRONG);
    assert_int_equal(middle, 20 - 3600000);
    assert_int_equal(clocks_judge(&clocks, &conf, 1, wall + 30, NOW + 30, TOLERANCE, &middle), CLOCK_RIGHT);
}

/* More nodes than there are places, as members come and go. */
static void who_has_left_makes_room(void **state)
{
    struct clocks clocks = {.count = 0};
    int64_t ahead;
    (void)state;
    for (uint64_t node = 1; node <= 3 * RAFT_MEMBERS_MAX; node++)
        clocks_heard(&clocks, node, wall + (int64_t)node, NOW + (int64_t)node);
    int64_t at = NOW + 3 * RAFT_MEMBERS_MAX;
    for (uint64_t node = 1; node <= 3 * RAFT_MEMBERS_MAX; node++)
        assert_true(clocks_offset(&clocks, node, wall + at - NOW, at, &ahead) == (node > 2 * RAFT_MEMBERS_MAX));
    assert_int_equal(ahead, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(among_voters),
        cmocka_unit_test(not_of_everybody),
        cmocka_unit_test(when_the_own_one_is_set),
        cmocka_unit_test(who_has_left_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
