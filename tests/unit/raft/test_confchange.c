/* Changes of membership as values. Changes are written "v1 l2 r3 u4": voter, learner, remove, update; a configuration
 * "voters|outgoing|learners|learners_next", as in "1 2|||". */
#include "raft/conf.h"

#include <stdio.h>

#include "check.h"

static uint32_t parse(const char *text, struct raft_conf_change changes[32])
{
    static const char letters[] = {[RAFT_ADD_VOTER] = 'v', [RAFT_ADD_LEARNER] = 'l', [RAFT_REMOVE] = 'r', [RAFT_UPDATE] = 'u'};
    uint32_t count = 0;
    while (*text != '\0') {
        char *end;
        changes[count] = (struct raft_conf_change){0};
        for (int type = RAFT_ADD_VOTER; type <= RAFT_UPDATE; type++)
            if (letters[type] == *text)
                changes[count].type = (enum raft_conf_change_type)type;
        changes[count++].member.id = strtoull(text + 1, &end, 10);
        text = *end == ' ' ? end + 1 : end;
    }
    return count;
}

static void add_role(const struct raft_conf *conf, uint8_t role, char **at)
{
    const char *separator = "";
    for (uint32_t i = 0; i < conf->count; i++)
        if (conf->members[i].role & role) {
            *at += sprintf(*at, "%s%llu", separator, (unsigned long long)conf->members[i].id);
            separator = " ";
        }
}

static const char *text_of(const struct raft_conf *conf)
{
    static char text[256];
    char *at = text;
    add_role(conf, RAFT_VOTER, &at);
    *at++ = '|';
    add_role(conf, RAFT_OUTGOING, &at);
    *at++ = '|';
    add_role(conf, RAFT_LEARNER, &at);
    *at++ = '|';
    add_role(conf, RAFT_LEARNER_NEXT, &at);
    *at = '\0';
    return text;
}

/* NULL: the change is refused, and changes nothing. */
static void check(struct raft_conf *conf, enum status status, const struct raft_conf *before, const char *expected)
{
    if (expected == NULL) {
        assert_int_equal(status, STATUS_INVALID);
        assert_true(raft_conf_equal(conf, before));
        return;
    }
    assert_int_equal(status, STATUS_OK);
    assert_true(raft_conf_valid(conf));
    assert_string_equal(text_of(conf), expected);
}

static void simple(struct raft_conf *conf, const char *changes, const char *expected)
{
    struct raft_conf_change parsed[32];
    struct raft_conf before = *conf;
    uint32_t count = parse(changes, parsed);
    check(conf, raft_conf_simple(conf, parsed, count, conf), &before, expected);
}

static void enter(struct raft_conf *conf, bool auto_leave, const char *changes, const char *expected)
{
    struct raft_conf_change parsed[32];
    struct raft_conf before = *conf;
    uint32_t count = parse(changes, parsed);
    check(conf, raft_conf_enter_joint(conf, auto_leave, parsed, count, conf), &before, expected);
}

static void leave(struct raft_conf *conf, const char *expected)
{
    struct raft_conf before = *conf;
    check(conf, raft_conf_leave_joint(conf, conf), &before, expected);
}

static void zero(void **state)
{
    (void)state;
    struct raft_conf conf = {0};
    simple(&conf, "v1 v0 l0 r0 u0", "1|||");
    simple(&conf, "v0", "1|||");
    simple(&conf, "", "1|||");
}

static void update(void **state)
{
    (void)state;
    struct raft_conf conf = {0};
    simple(&conf, "v1 u1", "1|||");
    simple(&conf, "l2 u1 u2 u9", "1||2|");
    struct raft_conf_change change = {.type = RAFT_UPDATE, .member = {.id = 2, .name = "b", .address = "b:1"}};
    assert_int_equal(raft_conf_simple(&conf, &change, 1, &conf), STATUS_OK);
    assert_string_equal(text_of(&conf), "1||2|");
    assert_string_equal(raft_conf_find(&conf, 2)->name, "b");
    assert_string_equal(raft_conf_find(&conf, 2)->address, "b:1");
}

static void simple_idempotency(void **state)
{
    (void)state;
    struct raft_conf conf = {0};
    simple(&conf, "v1", "1|||");
    simple(&conf, "v1", "1|||");
    simple(&conf, "v2", "1 2|||");
    simple(&conf, "l1", "2||1|");
    simple(&conf, "l1", "2||1|");
    simple(&conf, "r1", "2|||");
    simple(&conf, "r1", "2|||");
    simple(&conf, "v3", "2 3|||");
    simple(&conf, "r3", "2|||");
    simple(&conf, "r3", "2|||");
    simple(&conf, "r4", "2|||");
}

static void simple_promote_demote(void **state)
{
    (void)state;
    struct raft_conf conf = {0};
    simple(&conf, "v1", "1|||");
    simple(&conf, "l2", "1||2|");
    simple(&conf, "v2", "1 2|||");
    simple(&conf, "l1", "2||1|");
    /* In one go: what counts is the outcome. */
    simple(&conf, "v1 l1", "2||1|");
    simple(&conf, "l2 v2", "2||1|");
    simple(&conf, "l2", NULL);
    simple(&conf, "l2 v1", NULL); /* two voters change */
    simple(&conf, "v3", "2 3||1|");
    simple(&conf, "l2", "3||1 2|");
}

static void simple_safety(void **state)
{
    (void)state;
    struct raft_conf conf = {0};
    simple(&conf, "l1", NULL); /* no voter */
    simple(&conf, "", NULL);
    simple(&conf, "v1", "1|||");
    simple(&conf, "v2 l3", "1 2||3|");
    simple(&conf, "r1 v5", NULL); /* one goes, one comes: two differences */
    simple(&conf, "r1 r2", NULL);
    simple(&conf, "v3 v4", NULL);
    simple(&conf, "l1 v5", NULL);
    simple(&conf, "l1 l2", NULL);
    simple(&conf, "l2 l3 l4 l5", "1||2 3 4 5|");
    simple(&conf, "r1", NULL);
    simple(&conf, "r2 r3 r4 r5", "1|||");
}

static void room(void **state)
{
    (void)state;
    struct raft_conf conf = {0};
    simple(&conf, "v1", "1|||");
    simple(&conf, "l2 l3 l4 l5 l6 l7 l8 l9 l10 l11 l12 l13 l14 l15 l16", "1||2 3 4 5 6 7 8 9 10 11 12 13 14 15 16|");
    assert_int_equal(conf.count, RAFT_MEMBERS_MAX);
    simple(&conf, "l17", NULL);
    simple(&conf, "v17", NULL);
    simple(&conf, "r2 l17", "1||3 4 5 6 7 8 9 10 11 12 13 14 15 16 17|");
}

static void joint_idempotency(void **state)
{
    (void)state;
    struct raft_conf conf = {0};
    simple(&conf, "v1", "1|||");
    /* Repeats and absent ones change nothing; who is removed and then demoted is demoted. */
    enter(&conf, false, "r9 r1 r1 v4 v2 v3 v2 l2 v3 r4 l2 r4 l1 l1", "3|1|2|1");
    leave(&conf, "3||1 2|");
}

static void joint_safety(void **state)
{
    (void)state;
    struct raft_conf conf = {0};
    leave(&conf, NULL);
    enter(&conf, false, "", NULL);
    enter(&conf, false, "v1", NULL);
    simple(&conf, "v1", "1|||");
    leave(&conf, NULL);
    enter(&conf, false, "", "1|1||");
    enter(&conf, false, "", NULL);
    leave(&conf, "1|||");
    leave(&conf, NULL);
    enter(&conf, false, "r1 v2 v3 l4", "2 3|1|4|");
    enter(&conf, false, "", NULL);
    enter(&conf, false, "v12", NULL);
    simple(&conf, "l15", NULL);
    leave(&conf, "2 3||4|");
    simple(&conf, "l9", "2 3||4 9|");
    enter(&conf, false, "r2 r3", NULL); /* no voter */
}

static void joint_learners_next(void **state)
{
    (void)state;
    struct raft_conf conf = {0};
    simple(&conf, "v1", "1|||");
    enter(&conf, false, "v2 l1", "2|1||1");
    assert_true(raft_conf_is_voter(&conf, 1)); /* until the joint phase ends */
    leave(&conf, "2||1|");
    assert_false(raft_conf_is_voter(&conf, 1));
    /* It changes its mind. */
    enter(&conf, false, "v1 l1 v1", "1 2|2||");
    leave(&conf, "1 2|||");
    enter(&conf, false, "l1 r1", "2|1 2||");
    leave(&conf, "2|||");
}

static void joint_autoleave(void **state)
{
    (void)state;
    struct raft_conf conf = {0};
    simple(&conf, "v1", "1|||");
    assert_false(conf.auto_leave);
    enter(&conf, true, "v2 v3", "1 2 3|1||");
    assert_true(conf.auto_leave);
    enter(&conf, false, "", NULL);
    assert_true(conf.auto_leave);
    leave(&conf, "1 2 3|||");
    assert_false(conf.auto_leave);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero), cmocka_unit_test(update), cmocka_unit_test(simple_idempotency),
        cmocka_unit_test(simple_promote_demote), cmocka_unit_test(simple_safety), cmocka_unit_test(room),
        cmocka_unit_test(joint_idempotency), cmocka_unit_test(joint_safety), cmocka_unit_test(joint_learners_next),
        cmocka_unit_test(joint_autoleave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
