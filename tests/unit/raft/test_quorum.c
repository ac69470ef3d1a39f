/* Majorities by table, and against a slow and obvious computation over everything small. */
#include "raft/quorum.h"

#include "check.h"

enum { UNKNOWN = 0 };

/* Members 1 to n; bit i of `incoming` and `outgoing`: member i + 1 is in that half. */
static struct raft_conf conf_of(unsigned incoming, unsigned outgoing)
{
    struct raft_conf conf = {0};
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
        uint8_t role = (uint8_t)((incoming >> i & 1 ? RAFT_VOTER : 0) | (outgoing >> i & 1 ? RAFT_OUTGOING : 0));
        conf.members[conf.count++] = (struct raft_member){.id = i + 1, .role = role != 0 ? role : RAFT_LEARNER};
    }
    return conf;
}

struct commit_case {
    unsigned incoming, outgoing;
    uint64_t acked[8];
    uint64_t expected;
};

static void check_commits(const struct commit_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct raft_conf conf = conf_of(cases[i].incoming, cases[i].outgoing);
        uint64_t values[RAFT_MEMBERS_MAX] = {0};
        memcpy(values, cases[i].acked, sizeof cases[i].acked);
        if (raft_quorum_value(&conf, values) != cases[i].expected)
            fail_msg("case %zu: %llu", i, (unsigned long long)raft_quorum_value(&conf, values));
    }
}

static void majority_commit(void **state)
{
    (void)state;
    static const struct commit_case cases[] = {
        {0x0, 0, {0}, UINT64_MAX},          /* nobody to wait for */
        {0x1, 0, {UNKNOWN}, 0},
        {0x1, 0, {12}, 12},
        {0x3, 0, {UNKNOWN, UNKNOWN}, 0},
        {0x3, 0, {UNKNOWN, 12}, 0},         /* both of two */
        {0x3, 0, {12, 5}, 5},
        {0x3, 0, {100, 101}, 100},
        {0x7, 0, {UNKNOWN, UNKNOWN, UNKNOWN}, 0},
        {0x7, 0, {UNKNOWN, UNKNOWN, 12}, 0},
        {0x7, 0, {UNKNOWN, 5, 12}, 5},
        {0x7, 0, {5, 12, UNKNOWN}, 5},
        {0x7, 0, {5, 5, 12}, 5},
        {0x7, 0, {100, 101, 103}, 101},
        {0xF, 0, {UNKNOWN, UNKNOWN, 12, 12}, 0}, /* half is no majority */
        {0xF, 0, {5, 10, 12, 11}, 10},
        {0x1F, 0, {UNKNOWN, UNKNOWN, 101, 103, 103}, 101},
        {0x1F, 0, {101, 104, 103, 103, UNKNOWN}, 103},
        {0x1F, 0, {99, 99, 99, 100, 100}, 99},
        {0x7, 0, {1, 2, 3, 99, 99, 99}, 2},  /* learners do not count */
    };
    check_commits(cases, COUNT_OF(cases));
}

static void joint_commit(void **state)
{
    (void)state;
    static const struct commit_case cases[] = {
        {0x7, 0x0, {1, 2, 3}, 2},                      /* no outgoing half */
        {0x0, 0x7, {1, 2, 3}, 2},
        {0x0, 0x0, {0}, UINT64_MAX},
        {0x1, 0x1, {7}, 7},                            /* twice the same */
        {0x7, 0x7, {13, 12, 11}, 12},
        {0x1, 0x2, {UNKNOWN, 100}, 0},                 /* one each */
        {0x1, 0x2, {12, 100}, 12},
        {0x1, 0x2, {100, 12}, 12},
        {0x3, 0x1, {12, 5}, 5},                        /* growing */
        {0x1, 0x3, {12, 5}, 5},                        /* shrinking */
        {0x3, 0xC, {100, 101, 103, 104}, 100},         /* disjoint */
        {0x3, 0xC, {103, 104, 100, 101}, 100},
        {0x3, 0xC, {UNKNOWN, 12, 13, 14}, 0},
        {0x3, 0x6, {100, 101, 103}, 100},              /* one in common */
        {0x3, 0x6, {103, 101, 100}, 100},
        {0x7, 0x38, {5, 6, 7, 1, 2, 3}, 2},
        {0x7, 0x38, {1, 2, 3, 5, 6, 7}, 2},
        {0x7, 0x38, {9, 9, 9, UNKNOWN, UNKNOWN, 9}, 0},
        {0x7, 0x1C, {100, 101, 103, 104, 105}, 101},
        {0xE, 0x7, {UNKNOWN, 99, 101, 5}, 99},
        {0xF, 0x7, {9, 9, UNKNOWN, 9}, 9},
        {0xF, 0x7, {9, UNKNOWN, UNKNOWN, 9}, 0},
    };
    check_commits(cases, COUNT_OF(cases));
}

static bool slow_half_has(unsigned half, const uint64_t *values, uint64_t value)
{
    unsigned members = 0, have = 0;
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        if (half >> i & 1) {
            members++;
            have += values[i] >= value;
        }
    return members == 0 || 2 * have > members;
}

/* Every pair of halves of five members, every assignment of 0 to 2 to them. */
static void commit_agrees_with_counting(void **state)
{
    (void)state;
    for (unsigned pair = 0; pair < 1024; pair++) {
        unsigned incoming = pair & 31, outgoing = pair >> 5;
        struct raft_conf conf = conf_of(incoming, outgoing);
        for (unsigned code = 0; pair != 0 && code < 243; code++) {
            uint64_t values[RAFT_MEMBERS_MAX] = {0}, expected = 0;
            for (unsigned i = 0, rest = code; i < 5; i++, rest /= 3)
                values[i] = rest % 3;
            for (uint64_t value = 1; value <= 2; value++)
                if (slow_half_has(incoming, values, value) && slow_half_has(outgoing, values, value))
                    expected = value;
            assert_int_equal(raft_quorum_value(&conf, values), expected);
        }
    }
}

struct vote_case {
    unsigned incoming, outgoing;
    const char *votes; /* y, n or . of member 1, 2 ... */
    enum raft_tally expected;
};

static void check_votes(const struct vote_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct raft_conf conf = conf_of(cases[i].incoming, cases[i].outgoing);
        int8_t votes[RAFT_MEMBERS_MAX] = {0};
        for (size_t j = 0; cases[i].votes[j] != '\0'; j++)
            votes[j] = cases[i].votes[j] == 'y' ? 1 : cases[i].votes[j] == 'n' ? -1 : 0;
        if (raft_quorum_tally(&conf, votes) != cases[i].expected)
            fail_msg("case %zu: %d", i, raft_quorum_tally(&conf, votes));
    }
}

static void majority_vote(void **state)
{
    (void)state;
    static const struct vote_case cases[] = {
        {0x0, 0, "", RAFT_VOTE_WON},
        {0x1, 0, ".", RAFT_VOTE_PENDING}, {0x1, 0, "n", RAFT_VOTE_LOST}, {0x1, 0, "y", RAFT_VOTE_WON},
        {0x3, 0, "..", RAFT_VOTE_PENDING}, {0x3, 0, "n.", RAFT_VOTE_LOST}, {0x3, 0, "y.", RAFT_VOTE_PENDING},
        {0x3, 0, "ny", RAFT_VOTE_LOST}, {0x3, 0, "yn", RAFT_VOTE_LOST}, {0x3, 0, "yy", RAFT_VOTE_WON},
        {0x7, 0, "...", RAFT_VOTE_PENDING}, {0x7, 0, "n..", RAFT_VOTE_PENDING}, {0x7, 0, "y..", RAFT_VOTE_PENDING},
        {0x7, 0, "ny.", RAFT_VOTE_PENDING}, {0x7, 0, "nn.", RAFT_VOTE_LOST}, {0x7, 0, "yy.", RAFT_VOTE_WON},
        {0x7, 0, "nny", RAFT_VOTE_LOST}, {0x7, 0, "yny", RAFT_VOTE_WON}, {0x7, 0, "yyy", RAFT_VOTE_WON},
        {0xF, 0, "yy..", RAFT_VOTE_PENDING}, {0xF, 0, "nn..", RAFT_VOTE_LOST}, {0xF, 0, "yyn.", RAFT_VOTE_PENDING},
        {0xF, 0, "yynn", RAFT_VOTE_LOST}, {0xF, 0, "yyyn", RAFT_VOTE_WON},
        {0x7F, 0, "yyn.y..", RAFT_VOTE_PENDING}, {0x7F, 0, "yyny.y.", RAFT_VOTE_WON}, {0x7F, 0, "yynny.n", RAFT_VOTE_PENDING},
        {0x7F, 0, "nnnyn..", RAFT_VOTE_LOST},
        {0x7, 0, "y..yyyy", RAFT_VOTE_PENDING}, /* learners do not count */
    };
    check_votes(cases, COUNT_OF(cases));
}

static void joint_vote(void **state)
{
    (void)state;
    static const struct vote_case cases[] = {
        {0x0, 0x0, "", RAFT_VOTE_WON},
        {0x1, 0x0, ".", RAFT_VOTE_PENDING}, {0x1, 0x0, "n", RAFT_VOTE_LOST}, {0x1, 0x0, "y", RAFT_VOTE_WON},
        {0x1, 0x1, ".", RAFT_VOTE_PENDING}, {0x1, 0x1, "n", RAFT_VOTE_LOST}, {0x1, 0x1, "y", RAFT_VOTE_WON},
        {0x1, 0x2, "..", RAFT_VOTE_PENDING}, {0x1, 0x2, "y.", RAFT_VOTE_PENDING}, {0x1, 0x2, "yy", RAFT_VOTE_WON},
        {0x1, 0x2, "yn", RAFT_VOTE_LOST}, {0x1, 0x2, "n.", RAFT_VOTE_LOST}, {0x1, 0x2, "ny", RAFT_VOTE_LOST},
        {0x3, 0x4, "yy.", RAFT_VOTE_PENDING}, {0x3, 0x4, "yyy", RAFT_VOTE_WON}, {0x3, 0x4, "y.n", RAFT_VOTE_LOST},
        {0x3, 0xC, "yyyy", RAFT_VOTE_WON}, {0x3, 0xC, "yyy.", RAFT_VOTE_PENDING}, {0x3, 0xC, "yyyn", RAFT_VOTE_LOST},
        {0x3, 0x6, "yy.", RAFT_VOTE_PENDING}, {0x3, 0x6, ".n.", RAFT_VOTE_LOST}, {0x3, 0x6, "yyy", RAFT_VOTE_WON},
        {0x7, 0x38, "yy.yy.", RAFT_VOTE_WON}, {0x7, 0x38, "yy.nn.", RAFT_VOTE_LOST}, {0x7, 0x38, "yyy.n.", RAFT_VOTE_PENDING},
        {0x7, 0x38, "nn.yyy", RAFT_VOTE_LOST}, {0x7, 0x1C, "..yyn", RAFT_VOTE_PENDING}, {0x7, 0x1C, "y.yy.", RAFT_VOTE_WON},
        {0x7, 0x1C, "nny..", RAFT_VOTE_LOST},
    };
    check_votes(cases, COUNT_OF(cases));
}

/* A vote is won when the granted ones suffice, and lost when even everybody who is silent could not help. */
static void vote_agrees_with_counting(void **state)
{
    (void)state;
    for (unsigned pair = 0; pair < 1024; pair++) {
        unsigned incoming = pair & 31, outgoing = pair >> 5;
        struct raft_conf conf = conf_of(incoming, outgoing);
        for (unsigned code = 0; code < 243; code++) {
            int8_t votes[RAFT_MEMBERS_MAX] = {0};
            uint64_t granted[RAFT_MEMBERS_MAX] = {0}, possible[RAFT_MEMBERS_MAX] = {0};
            for (unsigned i = 0, rest = code; i < 5; i++, rest /= 3) {
                votes[i] = (int8_t)(rest % 3) - 1;
                granted[i] = votes[i] > 0;
                possible[i] = votes[i] >= 0;
            }
            bool won = slow_half_has(incoming, granted, 1) && slow_half_has(outgoing, granted, 1);
            bool open = slow_half_has(incoming, possible, 1) && slow_half_has(outgoing, possible, 1);
            enum raft_tally expected = won ? RAFT_VOTE_WON : open ? RAFT_VOTE_PENDING : RAFT_VOTE_LOST;
            assert_int_equal(raft_quorum_tally(&conf, votes), expected);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(majority_commit),   cmocka_unit_test(joint_commit), cmocka_unit_test(commit_agrees_with_counting),
        cmocka_unit_test(majority_vote),     cmocka_unit_test(joint_vote),   cmocka_unit_test(vote_agrees_with_counting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
