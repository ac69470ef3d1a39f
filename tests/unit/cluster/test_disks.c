/* Whose disk has room: what was heard, what is told, and to whom a leader hands over. The core and the clocks are replaced by the linker. */
#include "cluster/disks.h"

#include "../base/check.h"
#include "cluster/cluster_internal.h"

enum { SELF = 1 };

static struct {
    struct raft_conf conf;
    int64_t now_ms;
    uint64_t to; /* leadership was given to it; 0: to nobody */
    bool is_clock_wrong;
    int64_t ahead_ms; /* of all other clocks */
} world;

void __wrap_raft_status(const struct raft *r, struct raft_status *ret);
bool __wrap_membership_let_lead(struct cluster *cluster, uint64_t to);
bool __wrap_cluster_clock_agrees(const struct cluster *cluster);
bool __wrap_clocks_offset(const struct clocks *clocks, uint64_t node, int64_t wall_ms, int64_t monotonic_ms, int64_t *ret_ms);

void __wrap_raft_status(const struct raft *r, struct raft_status *ret)
{
    (void)r;
    *ret = (struct raft_status){.conf = &world.conf};
}

bool __wrap_membership_let_lead(struct cluster *cluster, uint64_t to)
{
    (void)cluster;
    world.to = to;
    return true;
}

bool __wrap_cluster_clock_agrees(const struct cluster *cluster)
{
    (void)cluster;
    return !world.is_clock_wrong;
}

bool __wrap_clocks_offset(const struct clocks *clocks, uint64_t node, int64_t wall_ms, int64_t monotonic_ms, int64_t *ret_ms)
{
    (void)clocks;
    (void)node;
    (void)wall_ms;
    (void)monotonic_ms;
    *ret_ms = world.ahead_ms;
    return true;
}

static uint64_t monotonic_ns(void *arg)
{
    (void)arg;
    return (uint64_t)world.now_ms * 1000000;
}

static int64_t wall_ms(void *arg)
{
    (void)arg;
    return world.now_ms;
}

static const struct clock fake_clock = {.monotonic_ns = monotonic_ns, .wall_ms = wall_ms};

/* Of four nodes, the last one a learner, this one leads. */
static int setup(void **state)
{
    static struct cluster cluster;
    world.conf = (struct raft_conf){.count = 4};
    for (uint8_t i = 0; i < 4; i++)
        world.conf.members[i] = (struct raft_member){.id = i + 1u, .role = i < 3 ? RAFT_VOTER : RAFT_LEARNER, .name = "n"};
    world.now_ms = 1000000;
    world.to = 0;
    world.is_clock_wrong = false;
    world.ahead_ms = 0;
    cluster = (struct cluster){.is_leader = true, .disk = DISK_LOW, .disk_directory = "/data", .self.node = SELF,
                               .config = {.clock = &fake_clock, .clock_tolerance_ms = 1000}};
    *state = &cluster;
    return 0;
}

static void hear(struct cluster *cluster, uint64_t node, enum disk_state state, bool is_behind)
{
    disks_heard(&cluster->disks, &(struct disk_seen){.node = node, .heard_ms = world.now_ms, .state = state, .is_behind = is_behind});
}

static uint64_t look(struct cluster *cluster)
{
    world.to = 0;
    disks_look(cluster);
    return world.to;
}

static void test_the_one_with_the_most_room(void **state)
{
    struct cluster *cluster = *state;
    assert_int_equal(look(cluster), 0); /* nobody was heard */
    hear(cluster, 4, DISK_OK, false);
    assert_int_equal(look(cluster), 0); /* a learner */
    hear(cluster, 2, DISK_LOW, false);
    assert_int_equal(look(cluster), 0); /* no better than this one */
    cluster->disk = DISK_CRITICAL;
    assert_int_equal(look(cluster), 2);
    hear(cluster, 3, DISK_OK, false);
    assert_int_equal(look(cluster), 3);
    hear(cluster, 3, DISK_CRITICAL, false);
    assert_int_equal(look(cluster), 2);
    cluster->disk = DISK_OK;
    hear(cluster, 3, DISK_OK, false);
    assert_int_equal(look(cluster), 0); /* all is well */
}

static void test_who_is_no_successor(void **state)
{
    struct cluster *cluster = *state;
    hear(cluster, 2, DISK_OK, true);
    assert_int_equal(look(cluster), 0); /* behind */
    hear(cluster, 2, DISK_OK, false);
    world.ahead_ms = -1001;
    assert_int_equal(look(cluster), 0); /* its clock is wrong: it would hand over in turn */
    world.ahead_ms = 1000;
    assert_int_equal(look(cluster), 2);
    world.is_clock_wrong = true;
    assert_int_equal(look(cluster), 0); /* clocks.c hands over */
    world.is_clock_wrong = false;
    cluster->is_leader = false;
    assert_int_equal(look(cluster), 0);
    cluster->is_leader = true;
    world.now_ms += DISK_FRESH_MS;
    assert_int_equal(look(cluster), 2);
    world.now_ms++;
    assert_int_equal(look(cluster), 0); /* it has fallen silent */
}

static void test_members_that_left_make_room(void **state)
{
    struct cluster *cluster = *state;
    for (uint64_t node = 100; node < 100 + 3 * RAFT_MEMBERS_MAX; node++) {
        world.now_ms++;
        hear(cluster, node, DISK_OK, false);
    }
    hear(cluster, 2, DISK_OK, false);
    assert_int_equal(cluster->disks.count, RAFT_MEMBERS_MAX);
    assert_int_equal(look(cluster), 2);
}

/* Worse at once, better only after a while: whoever was full lately is not handed leadership back. */
static void test_what_is_told_is_steady(void **state)
{
    struct disks disks = {.count = 0};
    int64_t now_ms = 5000;
    (void)state;
    assert_int_equal(disks_tell(&disks, DISK_OK, now_ms), DISK_OK);
    assert_int_equal(disks_tell(&disks, DISK_LOW, now_ms), DISK_LOW);
    assert_int_equal(disks_tell(&disks, DISK_CRITICAL, now_ms), DISK_CRITICAL);
    assert_int_equal(disks_tell(&disks, DISK_OK, now_ms), DISK_CRITICAL);
    assert_int_equal(disks_tell(&disks, DISK_OK, now_ms + DISK_STEADY_MS - 1), DISK_CRITICAL);
    assert_int_equal(disks_tell(&disks, DISK_CRITICAL, now_ms + DISK_STEADY_MS - 1), DISK_CRITICAL);
    now_ms += DISK_STEADY_MS;
    assert_int_equal(disks_tell(&disks, DISK_LOW, now_ms), DISK_CRITICAL); /* counts from here on */
    assert_int_equal(disks_tell(&disks, DISK_LOW, now_ms + DISK_STEADY_MS), DISK_LOW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_the_one_with_the_most_room, setup),
        cmocka_unit_test_setup(test_who_is_no_successor, setup),
        cmocka_unit_test_setup(test_members_that_left_make_room, setup),
        cmocka_unit_test_setup(test_what_is_told_is_steady, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
