/* What a node makes of its links, and of the time without a leader: the core and the links are replaced by the linker. */
#include "cluster/contact.h"

#include <stdlib.h>

#include "../base/check.h"
#include "cluster/cluster_internal.h"

enum { SELF = 1, ELECTION_MS = 1000 };
#define MS_NS UINT64_C(1000000)

static struct {
    struct raft_conf conf;
    enum raft_role role;
    uint64_t leader, now_ns;
    uint64_t up; /* bit i: the link to node i */
} world;

void __wrap_raft_status(const struct raft *r, struct raft_status *ret);
enum raft_role __wrap_raft_role(const struct raft *r);
bool __wrap_transport_is_up(const struct transport *transport, uint64_t peer, enum transport_lane lane);

void __wrap_raft_status(const struct raft *r, struct raft_status *ret)
{
    (void)r;
    *ret = (struct raft_status){.role = world.role, .id = SELF, .leader = world.leader, .conf = &world.conf};
}

enum raft_role __wrap_raft_role(const struct raft *r)
{
    (void)r;
    return world.role;
}

bool __wrap_transport_is_up(const struct transport *transport, uint64_t peer, enum transport_lane lane)
{
    (void)transport;
    assert_int_equal(lane, LANE_CONTROL);
    return (world.up >> peer & 1) != 0;
}

static uint64_t monotonic_ns(void *arg)
{
    (void)arg;
    return world.now_ns;
}

static const struct clock test_clock = {.monotonic_ns = monotonic_ns};

/* Nodes 1 to `voters` vote, the ones behind them learn. */
static void members(uint8_t voters, uint8_t learners)
{
    world.conf = (struct raft_conf){.count = (uint8_t)(voters + learners)};
    for (uint8_t i = 0; i < world.conf.count; i++)
        world.conf.members[i] = (struct raft_member){.id = i + 1u, .role = i < voters ? RAFT_VOTER : RAFT_LEARNER};
}

static int begin(void **state)
{
    struct cluster *cluster = calloc(1, sizeof *cluster);
    assert_non_null(cluster);
    memset(&world, 0, sizeof world);
    world.now_ns = 5000 * MS_NS;
    cluster->self.node = SELF;
    cluster->self.cluster_id.bytes[0] = 1;
    cluster->config.clock = &test_clock;
    cluster->config.election_timeout_ms = ELECTION_MS;
    cluster->transport = (struct transport *)(uintptr_t)1; /* never looked into */
    contact_begin(cluster);
    members(3, 0);
    *state = cluster;
    return 0;
}

static int end(void **state)
{
    free(*state);
    return 0;
}

static enum status refusal(struct cluster *cluster)
{
    struct error err;
    contact_look(cluster);
    return contact_refuse(cluster, &err);
}

static void links_to_a_majority(void **state)
{
    struct cluster *cluster = *state;
    world.up = 1 << 2;
    assert_int_equal(refusal(cluster), STATUS_NO_LEADER); /* itself and one more of three */
    world.up = 0;
    assert_int_equal(refusal(cluster), STATUS_NO_QUORUM);
    members(5, 0);
    world.up = 1 << 2;
    assert_int_equal(refusal(cluster), STATUS_NO_QUORUM);
    world.up = 1 << 2 | 1 << 5;
    assert_int_equal(refusal(cluster), STATUS_NO_LEADER);
    members(3, 2); /* those that learn do not count */
    world.up = 1 << 4 | 1 << 5;
    assert_int_equal(refusal(cluster), STATUS_NO_QUORUM);
}

static void too_long_without_a_leader(void **state)
{
    struct cluster *cluster = *state;
    world.up = 1 << 2 | 1 << 3; /* they are there, and silent */
    assert_int_equal(refusal(cluster), STATUS_NO_LEADER);
    world.now_ns += NO_QUORUM_ELECTIONS * ELECTION_MS * MS_NS;
    assert_int_equal(refusal(cluster), STATUS_NO_LEADER);
    world.now_ns += MS_NS;
    assert_int_equal(refusal(cluster), STATUS_NO_QUORUM);
    world.leader = 2;
    contact_look(cluster);
    assert_false(cluster->contact.is_lost);
    world.leader = 0; /* counted anew */
    assert_int_equal(refusal(cluster), STATUS_NO_LEADER);
}

static void who_is_no_member_has_lost_nothing(void **state)
{
    struct cluster *cluster = *state;
    members(0, 0);
    cluster->self.cluster_id = (struct id){{0}};
    (void)refusal(cluster);
    world.now_ns += 100 * ELECTION_MS * MS_NS;
    assert_int_equal(refusal(cluster), STATUS_NO_LEADER);
    members(3, 0);
    cluster->self.node = 9; /* removed */
    cluster->is_removed = true;
    assert_int_equal(refusal(cluster), STATUS_NO_LEADER);
    cluster->transport = NULL; /* alone, and not started */
    assert_int_equal(refusal(cluster), STATUS_NO_LEADER);
}

static void the_age_of_what_it_knows(void **state)
{
    struct cluster *cluster = *state;
    assert_int_equal(cluster_leader_contact_ms(cluster), -1);
    world.now_ns += 10 * MS_NS;
    contact_heard(cluster);
    assert_int_equal(cluster_leader_contact_ms(cluster), 0);
    world.now_ns += 1234 * MS_NS;
    assert_int_equal(cluster_leader_contact_ms(cluster), 1234);
    world.role = RAFT_LEADER;
    world.leader = SELF;
    contact_look(cluster);
    world.now_ns += 70 * MS_NS;
    assert_int_equal(cluster_leader_contact_ms(cluster), 0);
    world.role = RAFT_FOLLOWER; /* it led until then, as far as it was looked at */
    world.now_ns += 30 * MS_NS;
    assert_int_equal(cluster_leader_contact_ms(cluster), 100);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {TEST(links_to_a_majority), TEST(too_long_without_a_leader),
                                       TEST(who_is_no_member_has_lost_nothing), TEST(the_age_of_what_it_knows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
