/* When an even number of voters is told about. The core is replaced by the linker. */
#include "cluster/voters.h"

#include "../base/check.h"
#include "cluster/cluster_internal.h"

static struct {
    struct raft_conf conf;
    int64_t now_ms;
} world;

void __wrap_raft_status(const struct raft *r, struct raft_status *ret);

void __wrap_raft_status(const struct raft *r, struct raft_status *ret)
{
    (void)r;
    *ret = (struct raft_status){.conf = &world.conf};
}

static uint64_t monotonic_ns(void *arg)
{
    (void)arg;
    return (uint64_t)world.now_ms * 1000000;
}

static void vote(uint8_t voters)
{
    world.conf = (struct raft_conf){.count = voters};
    for (uint8_t i = 0; i < voters; i++)
        world.conf.members[i] = (struct raft_member){.id = i + 1u, .role = RAFT_VOTER};
}

static void test_only_what_lasts(void **state)
{
    static const struct clock clock = {.monotonic_ns = monotonic_ns};
    static struct cluster cluster = {.is_leader = true, .config = {.clock = &clock}};
    (void)state;
    world.now_ms = 1000000;
    for (uint8_t voters = 1; voters <= 3; voters++) { /* it grows */
        vote(voters);
        voters_look(&cluster);
        world.now_ms += VOTERS_EVEN_MS - 1;
        voters_look(&cluster);
        assert_int_equal(voters_even(&cluster), 0);
    }
    world.now_ms += 10 * VOTERS_EVEN_MS;
    assert_int_equal(voters_even(&cluster), 0); /* an odd number is well for ever */
    vote(4);
    voters_look(&cluster);
    assert_false(cluster.voters.is_said);
    world.now_ms += VOTERS_EVEN_MS;
    voters_look(&cluster);
    assert_int_equal(voters_even(&cluster), 4);
    assert_true(cluster.voters.is_said);
    vote(5);
    assert_int_equal(voters_even(&cluster), 0); /* at once */
    voters_look(&cluster);
    assert_int_equal(voters_even(&cluster), 0);
    assert_false(cluster.voters.is_said); /* the next change is told anew */
    vote(0); /* of no cluster yet */
    voters_look(&cluster);
    world.now_ms += VOTERS_EVEN_MS;
    assert_int_equal(voters_even(&cluster), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_lasts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
