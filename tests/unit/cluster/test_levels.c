/* When the leader raises the feature level, and who is too old to be admitted: the core and the state are replaced by the linker. */
#include "cluster/levels.h"

#include <stdlib.h>
#include <string.h>

#include "../base/check.h"
#include "base/codec.h"
#include "cluster/cluster_internal.h"

enum { SELF = 1 };

static struct {
    struct raft_conf conf;
    uint32_t in_force;
    uint32_t proposed, proposals; /* the newest one, how many */
    enum status verdict;          /* on proposals */
    cluster_done done;
    uint64_t token;
} world;

void __wrap_raft_status(const struct raft *r, struct raft_status *ret);
enum status __wrap_state_view_begin(const struct state *state, struct state_view *ret, struct error *err);
void __wrap_state_view_end(struct state_view *view);
enum status __wrap_state_get_feature_level(struct state_view *view, uint32_t *ret, struct error *err);
enum status __wrap_cluster_propose(struct cluster *cluster, enum proposal_class class, struct bytes command, cluster_done done,
                                   void *arg, uint64_t token, struct error *err);
int __wrap_uv_async_send(uv_async_t *async);

void __wrap_raft_status(const struct raft *r, struct raft_status *ret)
{
    (void)r;
    *ret = (struct raft_status){.role = RAFT_LEADER, .id = SELF, .leader = SELF, .conf = &world.conf};
}

enum status __wrap_state_view_begin(const struct state *state, struct state_view *ret, struct error *err)
{
    (void)err;
    *ret = (struct state_view){.state = state};
    return STATUS_OK;
}

void __wrap_state_view_end(struct state_view *view)
{
    (void)view;
}

enum status __wrap_state_get_feature_level(struct state_view *view, uint32_t *ret, struct error *err)
{
    (void)view;
    (void)err;
    *ret = world.in_force;
    return STATUS_OK;
}

enum status __wrap_cluster_propose(struct cluster *cluster, enum proposal_class class, struct bytes command, cluster_done done,
                                   void *arg, uint64_t token, struct error *err)
{
    assert_int_equal(class, PROPOSE_REPORT);
    assert_int_equal(command_type_of(command), COMMAND_FEATURE_LEVEL);
    assert_ptr_equal(arg, cluster);
    (void)err;
    world.proposals++;
    world.proposed = load_le32((const uint8_t *)command.data + COMMAND_HEADER_SIZE);
    world.done = done;
    world.token = token;
    return world.verdict;
}

int __wrap_uv_async_send(uv_async_t *async)
{
    (void)async;
    return 0;
}

static int begin(void **state)
{
    struct cluster *cluster = calloc(1, sizeof *cluster);
    if (cluster == NULL)
        return -1;
    memset(&world, 0, sizeof world);
    world.in_force = 1;
    world.conf.count = 3;
    for (uint8_t i = 0; i < 3; i++)
        world.conf.members[i] = (struct raft_member){.id = i + 1u, .role = i < 2 ? RAFT_VOTER : RAFT_LEARNER};
    cluster->self = (struct hello){.node = SELF, .feature_level = 2};
    cluster->is_leader = true;
    *state = cluster;
    return 0;
}

static int end(void **state)
{
    free(*state);
    return 0;
}

static void hear(struct cluster *cluster, uint64_t node, uint32_t level)
{
    levels_heard(cluster, &(struct hello){.node = node, .feature_level = level});
}

static void decide(struct cluster *cluster, enum status status)
{
    world.done(cluster, world.token, &(struct cluster_outcome){.status = status, .message = ""});
}

static void it_rises_when_all_know_it(void **state)
{
    struct cluster *cluster = *state;
    levels_look(cluster);
    hear(cluster, 2, 3);
    levels_look(cluster);
    assert_int_equal(world.proposals, 0); /* node 3, a learner, was never heard of */
    hear(cluster, 3, 1);
    levels_look(cluster);
    assert_int_equal(world.proposals, 0);
    hear(cluster, 3, 2);
    levels_look(cluster);
    assert_int_equal(world.proposals, 1);
    assert_int_equal(world.proposed, 2); /* what the least of them knows */
    levels_look(cluster);
    assert_int_equal(world.proposals, 1); /* it is on its way */
    world.in_force = 2;
    decide(cluster, STATUS_OK);
    levels_look(cluster);
    assert_int_equal(world.proposals, 1);
}

static void what_was_lost_is_proposed_again(void **state)
{
    struct cluster *cluster = *state;
    hear(cluster, 2, 2);
    hear(cluster, 3, 2);
    world.verdict = STATUS_OVERLOADED;
    levels_look(cluster);
    world.verdict = STATUS_OK;
    levels_look(cluster);
    assert_int_equal(world.proposals, 2);
    decide(cluster, STATUS_NO_LEADER);
    levels_look(cluster);
    assert_int_equal(world.proposals, 3);
}

static void only_a_leader_proposes(void **state)
{
    struct cluster *cluster = *state;
    hear(cluster, 2, 2);
    hear(cluster, 3, 2);
    cluster->is_leader = false;
    levels_look(cluster);
    cluster->is_leader = true;
    cluster->stopping = true;
    levels_look(cluster);
    assert_int_equal(world.proposals, 0);
}

static void who_left_counts_no_more(void **state)
{
    struct cluster *cluster = *state;
    hear(cluster, 2, 2);
    world.conf.count = 2;
    levels_look(cluster);
    assert_int_equal(world.proposed, 2);
}

static void strangers_do_not_push_members_out(void **state)
{
    struct cluster *cluster = *state;
    hear(cluster, 2, 2);
    hear(cluster, 3, 7);
    for (uint64_t stranger = 100; stranger < 100 + 3 * LEVELS_MAX; stranger++) {
        hear(cluster, stranger, 9);
        assert_int_equal(levels_of(cluster, stranger), 9);
        assert_int_equal(levels_of(cluster, 2), 2);
        assert_int_equal(levels_of(cluster, 3), 7);
    }
    assert_int_equal(levels_of(cluster, SELF), 2);
    assert_int_equal(levels_of(cluster, 99), 0);
}

static void who_is_too_old_is_not_admitted(void **state)
{
    struct cluster *cluster = *state;
    struct error err;
    world.in_force = 2;
    assert_int_equal(levels_admit(cluster, 9, "chronos-9", &err), STATUS_OK); /* not heard of here */
    hear(cluster, 9, 2);
    assert_int_equal(levels_admit(cluster, 9, "chronos-9", &err), STATUS_OK);
    hear(cluster, 9, 1);
    assert_int_equal(levels_admit(cluster, 9, "chronos-9", &err), STATUS_CONFLICT);
    assert_string_equal(err.message, "node \"chronos-9\" knows feature levels up to 1 and the cluster is at level 2: install the version "
                                     "of the other nodes on it");
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(it_rises_when_all_know_it),         TEST(what_was_lost_is_proposed_again), TEST(only_a_leader_proposes),
        TEST(who_left_counts_no_more),           TEST(strangers_do_not_push_members_out), TEST(who_is_too_old_is_not_admitted),
    };
    return cmocka_run_group_tests_name("levels", tests, NULL, NULL);
}
