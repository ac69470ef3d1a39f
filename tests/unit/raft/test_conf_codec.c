/* Configurations as bytes: there and back, and every kind of damage. */
#include "raft/conf.h"

#include <stdio.h>

#include "base/id.h"

#include "check.h"

static struct raft_conf sample(struct random *random)
{
    static const uint8_t roles[] = {RAFT_VOTER, RAFT_VOTER | RAFT_OUTGOING, RAFT_OUTGOING, RAFT_OUTGOING | RAFT_LEARNER_NEXT,
                                    RAFT_LEARNER};
    struct raft_conf conf = {.count = (uint8_t)(1 + random_below(random, RAFT_MEMBERS_MAX))};
    uint64_t id = 0;
    for (uint32_t i = 0; i < conf.count; i++) {
        struct raft_member *member = &conf.members[i];
        id += 1 + random_below(random, UINT64_MAX / 32);
        member->id = id;
        member->role = i == 0 ? RAFT_VOTER : roles[random_below(random, COUNT_OF(roles))];
        memset(member->name, 'n', random_below(random, RAFT_NAME_SIZE));
        memset(member->address, 'a', random_below(random, RAFT_ADDRESS_SIZE));
    }
    conf.auto_leave = raft_conf_is_joint(&conf) && random_below(random, 2) == 0;
    return conf;
}

static void round_trip(void **state)
{
    (void)state;
    struct random random;
    random_seed(&random, 11);
    for (int i = 0; i < 2000; i++) {
        struct raft_conf conf = sample(&random), back;
        struct buffer bytes;
        buffer_init(&bytes, 8192);
        raft_conf_encode(&conf, &bytes);
        assert_int_equal(raft_conf_decode(buffer_bytes(&bytes), &back), STATUS_OK);
        assert_true(raft_conf_equal(&conf, &back));
        buffer_deinit(&bytes);
    }
    struct raft_conf empty = {0}, back = sample(&random);
    struct buffer bytes;
    buffer_init(&bytes, 64);
    raft_conf_encode(&empty, &bytes);
    assert_int_equal(raft_conf_decode(buffer_bytes(&bytes), &back), STATUS_OK);
    assert_int_equal(back.count, 0);
    buffer_deinit(&bytes);
}

/* Any byte of any value at any place: decoded to something valid that encodes to these very bytes, or refused; never a crash. */
static void tampering(void **state)
{
    (void)state;
    struct random random;
    random_seed(&random, 12);
    for (int round = 0; round < 40; round++) {
        struct raft_conf conf = sample(&random), back;
        struct buffer bytes, again;
        buffer_init(&bytes, 8192);
        buffer_init(&again, 8192);
        raft_conf_encode(&conf, &bytes);
        for (size_t at = 0; at < bytes.size; at++) {
            char before = bytes.data[at];
            bytes.data[at] = (char)random_next(&random);
            if (raft_conf_decode(buffer_bytes(&bytes), &back) == STATUS_OK) {
                assert_true(raft_conf_valid(&back));
                buffer_clear(&again);
                raft_conf_encode(&back, &again);
                assert_int_equal(again.size, bytes.size);
                assert_memory_equal(again.data, bytes.data, bytes.size);
            }
            bytes.data[at] = before;
        }
        for (size_t size = 0; size < bytes.size; size++) {
            /* As long as it says, and no longer: the checker of reads behind the end sees to it. */
            void *cut = malloc(size + 1);
            memcpy(cut, bytes.data, size);
            assert_int_equal(raft_conf_decode((struct bytes){cut, size}, &back), STATUS_CORRUPT);
            free(cut);
        }
        buffer_append_char(&bytes, 0);
        assert_int_equal(raft_conf_decode(buffer_bytes(&bytes), &back), STATUS_CORRUPT);
        buffer_deinit(&bytes);
        buffer_deinit(&again);
    }
}

static void check_invalid(const struct raft_conf *conf)
{
    struct buffer bytes;
    struct raft_conf back = {.count = 99};
    assert_false(raft_conf_valid(conf));
    buffer_init(&bytes, 8192);
    raft_conf_encode(conf, &bytes);
    assert_int_equal(raft_conf_decode(buffer_bytes(&bytes), &back), STATUS_CORRUPT);
    assert_int_equal(back.count, 99); /* untouched */
    buffer_deinit(&bytes);
}

static void what_is_not_valid(void **state)
{
    (void)state;
    static const uint8_t bad_roles[] = {0, RAFT_VOTER | RAFT_LEARNER, RAFT_LEARNER_NEXT, RAFT_OUTGOING | RAFT_LEARNER,
                                        RAFT_VOTER | RAFT_LEARNER_NEXT, 16, 255};
    const struct raft_conf good = {.count = 2, .members = {{.id = 1, .role = RAFT_VOTER}, {.id = 2, .role = RAFT_LEARNER}}};
    assert_true(raft_conf_valid(&good));
    for (size_t i = 0; i < COUNT_OF(bad_roles); i++) {
        struct raft_conf conf = good;
        conf.members[1].role = bad_roles[i];
        check_invalid(&conf);
    }
    struct raft_conf conf = good;
    conf.members[0].id = 0;
    check_invalid(&conf);
    conf = good;
    conf.members[1].id = 1; /* twice */
    check_invalid(&conf);
    conf = good;
    conf.members[0].id = 3; /* not in order */
    check_invalid(&conf);
    conf = good;
    conf.members[0].role = RAFT_LEARNER; /* no voter */
    check_invalid(&conf);
    conf = good;
    conf.auto_leave = true; /* and not joint */
    check_invalid(&conf);
}

static void equality_sees_everything(void **state)
{
    (void)state;
    struct raft_conf a = {.count = 1, .members = {{.id = 1, .role = RAFT_VOTER, .name = "n", .address = "a"}}}, b = a;
    assert_true(raft_conf_equal(&a, &b));
    b.members[0].name[0] = 'm';
    assert_false(raft_conf_equal(&a, &b));
    b = a;
    b.members[0].address[0] = 'b';
    assert_false(raft_conf_equal(&a, &b));
    b = a;
    b.members[0].role = RAFT_LEARNER;
    assert_false(raft_conf_equal(&a, &b));
    b = a;
    b.members[0].id = 2;
    assert_false(raft_conf_equal(&a, &b));
    b = a;
    b.auto_leave = true;
    assert_false(raft_conf_equal(&a, &b));
    b = a;
    b.count = 0;
    assert_false(raft_conf_equal(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip), cmocka_unit_test(tampering), cmocka_unit_test(what_is_not_valid),
        cmocka_unit_test(equality_sees_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
