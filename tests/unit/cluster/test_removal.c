/* Members that are to leave: the core, the state and the other nodes are replaced by the linker. */
#include "cluster/removal.h"

#include <stdlib.h>
#include <string.h>

#include "../base/check.h"
#include "base/codec.h"
#include "cluster/cluster_internal.h"
#include "cluster/membership.h"

enum { SELF = 1, LEASE_MS = 30000 };

static struct {
    struct raft_conf conf;
    uint64_t commit;
    uint64_t draining[COMMAND_NODES_MAX];
    uint32_t draining_count;
    int64_t now_ms;
    uint32_t held, busy; /* bits of ids */
    /* what was asked of others, the newest of each */
    struct asked {
        uint32_t count;
        enum status status; /* that it is met with */
        cluster_done done;
        void *arg;
        uint64_t token;
    } changes, transfers, proposals, requests;
    uint64_t removed;
    struct drain drain;
    struct {
        uint32_t count;
        enum status status, result;
    } told;
} world;

/* --- what is replaced --- */

void __wrap_raft_status(const struct raft *r, struct raft_status *ret);
enum status __wrap_membership_change(struct cluster *cluster, const struct raft_conf_change *change, cluster_done done, void *arg,
                                     uint64_t token, struct error *err);
enum status __wrap_membership_do(struct cluster *cluster, enum request_kind kind, uint64_t id, const char *name, const char *address,
                                 cluster_done done, void *arg, uint64_t token, struct error *err);
enum status __wrap_cluster_propose(struct cluster *cluster, enum proposal_class class, struct bytes command, cluster_done done,
                                   void *arg, uint64_t token, struct error *err);
enum status __wrap_forward_ask(struct cluster *cluster, enum request_kind kind, uint64_t id, const char *name, const char *address,
                               cluster_done done, void *arg, uint64_t token, struct error *err);
uint64_t __wrap_cluster_deadline_ns(struct cluster *cluster);
enum status __wrap_state_view_begin(const struct state *state, struct state_view *ret, struct error *err);
void __wrap_state_view_end(struct state_view *view);
enum status __wrap_state_get_draining(struct state_view *view, uint64_t ret[COMMAND_NODES_MAX], uint32_t *ret_count, struct error *err);
int __wrap_uv_async_send(uv_async_t *async);

static enum status ask(struct asked *asked, cluster_done done, void *arg, uint64_t token, struct error *err)
{
    asked->count++;
    if (asked->status != STATUS_OK)
        return error_set(err, asked->status, "refused");
    asked->done = done;
    asked->arg = arg;
    asked->token = token;
    return STATUS_OK;
}

static void answer(struct asked *asked, enum status status)
{
    cluster_done done = asked->done;
    assert_non_null(done);
    asked->done = NULL;
    done(asked->arg, asked->token, &(struct cluster_outcome){.status = status, .message = "answered"});
}

void __wrap_raft_status(const struct raft *r, struct raft_status *ret)
{
    (void)r;
    *ret = (struct raft_status){.conf = &world.conf, .conf_index = 10, .commit = world.commit};
}

enum status __wrap_membership_change(struct cluster *cluster, const struct raft_conf_change *change, cluster_done done, void *arg,
                                     uint64_t token, struct error *err)
{
    (void)cluster;
    assert_int_equal(change->type, RAFT_REMOVE);
    world.removed = change->member.id;
    return ask(&world.changes, done, arg, token, err);
}

enum status __wrap_membership_do(struct cluster *cluster, enum request_kind kind, uint64_t id, const char *name, const char *address,
                                 cluster_done done, void *arg, uint64_t token, struct error *err)
{
    (void)id;
    (void)address;
    assert_int_equal(kind, REQUEST_TRANSFER);
    assert_string_equal(name, "");
    enum status status = ask(&world.transfers, done, arg, token, err);
    if (status == STATUS_OK)
        cluster->handover = (struct waiter){.done = done};
    return status;
}

enum status __wrap_cluster_propose(struct cluster *cluster, enum proposal_class class, struct bytes command, cluster_done done,
                                   void *arg, uint64_t token, struct error *err)
{
    struct reader r = reader_of((const uint8_t *)command.data + COMMAND_HEADER_SIZE, command.size - COMMAND_HEADER_SIZE);
    (void)cluster;
    (void)class;
    assert_int_equal(command_type_of(command), COMMAND_DRAIN);
    world.drain = (struct drain){.node = take_u64(&r)};
    world.drain.is_leaving = take_u8(&r) != 0;
    return ask(&world.proposals, done, arg, token, err);
}

enum status __wrap_forward_ask(struct cluster *cluster, enum request_kind kind, uint64_t id, const char *name, const char *address,
                               cluster_done done, void *arg, uint64_t token, struct error *err)
{
    (void)cluster;
    (void)id;
    (void)address;
    assert_int_equal(kind, REQUEST_REMOVE);
    assert_string_equal(name, "n1");
    return ask(&world.requests, done, arg, token, err);
}

uint64_t __wrap_cluster_deadline_ns(struct cluster *cluster)
{
    (void)cluster;
    return (uint64_t)(world.now_ms + PROPOSE_DEADLINE_MS) * 1000000;
}

enum status __wrap_state_view_begin(const struct state *state, struct state_view *ret, struct error *err)
{
    (void)state;
    (void)ret;
    (void)err;
    return STATUS_OK;
}

void __wrap_state_view_end(struct state_view *view)
{
    (void)view;
}

enum status __wrap_state_get_draining(struct state_view *view, uint64_t ret[COMMAND_NODES_MAX], uint32_t *ret_count, struct error *err)
{
    (void)view;
    (void)err;
    memcpy(ret, world.draining, sizeof world.draining);
    *ret_count = world.draining_count;
    return STATUS_OK;
}

int __wrap_uv_async_send(uv_async_t *async)
{
    (void)async;
    return 0;
}

/* --- a leader of three --- */

static uint64_t monotonic_ns(void *arg)
{
    (void)arg;
    return (uint64_t)world.now_ms * 1000000;
}

static const struct clock test_clock = {.monotonic_ns = monotonic_ns};

static bool on_hold(void *arg, const char *node, bool is_held)
{
    uint32_t bit = 1u << (node[1] - '0');
    (void)arg;
    bool is_freed = !is_held && (world.held & bit);
    world.held = is_held ? world.held | bit : world.held & ~bit;
    return is_freed;
}

static bool on_busy(void *arg, const char *node)
{
    (void)arg;
    return world.busy & 1u << (node[1] - '0');
}

static int begin(void **state)
{
    struct cluster *cluster = calloc(1, sizeof *cluster);
    assert_non_null(cluster);
    memset(&world, 0, sizeof world);
    world.now_ms = 5000;
    world.commit = 10;
    world.conf.count = 3;
    for (uint8_t i = 0; i < 3; i++)
        world.conf.members[i] = (struct raft_member){.id = SELF + i, .role = RAFT_VOTER, .name = {'n', (char)('1' + i)}};
    cluster->self.node = SELF;
    cluster->is_leader = true;
    cluster->config.clock = &test_clock;
    cluster->config.node_id = "n1";
    cluster->config.lease_timeout_ms = LEASE_MS;
    cluster->config.leader = (struct cluster_leader_ops){.hold = on_hold, .is_busy = on_busy};
    *state = cluster;
    return 0;
}

static int end(void **state)
{
    free(*state);
    return 0;
}

static void on_told(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    (void)arg;
    assert_int_equal(token, 77);
    world.told.count++;
    world.told.status = outcome->status;
    world.told.result = outcome->result.status;
}

static enum status remove_node(struct cluster *cluster, const char *name)
{
    struct error err;
    return removal_begin(cluster, name, on_told, NULL, 77, &err);
}

static void set_draining(struct cluster *cluster, uint64_t node)
{
    world.draining_count = node != 0;
    world.draining[0] = node;
    removal_changed(cluster);
}

/* --- tests --- */

static void an_idle_node_goes_at_once(void **state)
{
    struct cluster *cluster = *state;
    assert_int_equal(remove_node(cluster, "n2"), STATUS_OK);
    assert_int_equal(world.removed, 2);
    assert_int_equal(world.held, 1u << 2);
    assert_int_equal(world.proposals.count, 0);
    answer(&world.changes, STATUS_OK);
    assert_int_equal(world.told.count, 1);
    assert_int_equal(world.told.result, STATUS_OK);
    assert_int_equal(remove_node(cluster, "n9"), STATUS_NOT_FOUND);
}

static void what_comes_to_nothing_holds_nobody(void **state)
{
    struct cluster *cluster = *state;
    world.changes.status = STATUS_NO_QUORUM;
    assert_int_equal(remove_node(cluster, "n2"), STATUS_NO_QUORUM);
    assert_false(removal_look(cluster));
    assert_int_equal(world.held, 0);
    world.busy = 1u << 3;
    assert_int_equal(remove_node(cluster, "n3"), STATUS_OK);
    assert_false(removal_look(cluster)); /* the state is about to know */
    assert_int_equal(world.held, 1u << 3);
    answer(&world.proposals, STATUS_DISK_FULL);
    assert_int_equal(world.told.status, STATUS_DISK_FULL);
    assert_false(removal_look(cluster));
    assert_int_equal(world.held, 0);
    world.proposals.status = STATUS_DISK_FULL;
    assert_int_equal(remove_node(cluster, "n3"), STATUS_DISK_FULL);
    assert_false(removal_look(cluster));
    assert_int_equal(world.held, 0);
}

static void a_busy_node_drains(void **state)
{
    struct cluster *cluster = *state;
    world.busy = 1u << 2;
    assert_int_equal(remove_node(cluster, "n2"), STATUS_OK);
    assert_int_equal(world.changes.count, 0);
    assert_true(world.drain.node == 2 && world.drain.is_leaving);
    set_draining(cluster, 2);
    answer(&world.proposals, STATUS_OK);
    assert_int_equal(world.told.status, STATUS_OK);
    assert_int_equal(world.told.result, STATUS_BUSY);
    assert_true(removal_is_draining(cluster, 2));
    assert_false(removal_is_draining(cluster, 3));
    assert_false(removal_look(cluster));
    world.now_ms += LEASE_MS - 1;
    assert_false(removal_look(cluster));
    assert_int_equal(world.changes.count, 0);
    world.busy = 0;
    assert_true(removal_look(cluster));
    assert_int_equal(world.removed, 2);
    /* it is out, and the state may forget it once that is committed */
    world.conf.members[1] = world.conf.members[2];
    world.conf.count = 2;
    world.commit = 9;
    assert_false(removal_look(cluster));
    assert_int_equal(world.proposals.count, 1);
    world.commit = 10;
    assert_false(removal_look(cluster));
    assert_false(removal_look(cluster)); /* asked once at a time */
    assert_int_equal(world.proposals.count, 2);
    assert_true(world.drain.node == 2 && !world.drain.is_leaving);
    answer(&world.proposals, STATUS_OUTCOME_UNKNOWN);
    assert_false(removal_look(cluster));
    assert_int_equal(world.proposals.count, 3);
}

static void a_lease_is_the_longest(void **state)
{
    struct cluster *cluster = *state;
    world.busy = 1u << 2;
    set_draining(cluster, 2);
    assert_false(removal_look(cluster));
    cluster->is_leader = false; /* and again: it counts anew */
    world.now_ms += LEASE_MS / 2;
    assert_false(removal_look(cluster));
    cluster->is_leader = true;
    assert_false(removal_look(cluster));
    world.now_ms += LEASE_MS - 1;
    set_draining(cluster, 2); /* it is read anew, and counts on */
    assert_false(removal_look(cluster));
    world.changes.status = STATUS_BUSY;
    world.now_ms++;
    assert_false(removal_look(cluster));
    world.changes.status = STATUS_OK;
    assert_true(removal_look(cluster));
    assert_int_equal(world.removed, 2);
}

static void who_does_not_lead_takes_nobody_out(void **state)
{
    struct cluster *cluster = *state;
    set_draining(cluster, 2);
    cluster->is_leader = false;
    assert_false(removal_look(cluster));
    assert_int_equal(world.changes.count + world.proposals.count, 0);
    assert_int_equal(world.held, 0);
    assert_true(removal_is_draining(cluster, 2));
}

static void it_is_taken_back(void **state)
{
    struct cluster *cluster = *state;
    struct error err;
    set_draining(cluster, 2);
    world.busy = 1u << 2;
    assert_false(removal_look(cluster));
    assert_int_equal(world.held, 1u << 2);
    assert_int_equal(removal_undo(cluster, 2, on_told, NULL, 77, &err), STATUS_OK);
    assert_true(world.drain.node == 2 && !world.drain.is_leaving);
    set_draining(cluster, 0);
    answer(&world.proposals, STATUS_OK);
    assert_int_equal(world.told.result, STATUS_OK);
    assert_false(removal_look(cluster));
    assert_int_equal(world.held, 0);
}

static void give_up_leading(struct cluster *cluster)
{
    cluster->is_leader = false;
    cluster->handover = (struct waiter){.done = NULL};
    answer(&world.transfers, STATUS_OK);
}

static void a_leader_asks_the_next_one(void **state)
{
    struct cluster *cluster = *state;
    assert_int_equal(remove_node(cluster, "n1"), STATUS_OK);
    assert_int_equal(remove_node(cluster, "n1"), STATUS_BUSY);
    assert_int_equal(world.transfers.count, 1);
    assert_false(removal_look(cluster));
    assert_int_equal(world.requests.count, 0); /* it leads still */
    give_up_leading(cluster);
    world.requests.status = STATUS_NO_LEADER;
    assert_false(removal_look(cluster));
    world.requests.status = STATUS_OK;
    assert_false(removal_look(cluster));
    assert_false(removal_look(cluster)); /* asked once at a time */
    assert_int_equal(world.requests.count, 2);
    answer(&world.requests, STATUS_NO_LEADER); /* it has not begun yet */
    assert_int_equal(world.told.count, 0);
    assert_false(removal_look(cluster));
    answer(&world.requests, STATUS_OK);
    assert_int_equal(world.told.count, 1);
    assert_int_equal(world.told.status, STATUS_OK);
    assert_false(removal_expire(cluster, UINT64_MAX));
}

static void a_leader_that_cannot_hand_over_stays(void **state)
{
    struct cluster *cluster = *state;
    world.transfers.status = STATUS_CONFLICT;
    assert_int_equal(remove_node(cluster, "n1"), STATUS_CONFLICT);
    world.transfers.status = STATUS_OK;
    assert_int_equal(remove_node(cluster, "n1"), STATUS_OK);
    answer(&world.transfers, STATUS_TIMEOUT);
    assert_int_equal(world.told.status, STATUS_TIMEOUT);
    assert_false(removal_expire(cluster, UINT64_MAX));
    world.conf.members[1].role = world.conf.members[2].role = RAFT_LEARNER;
    assert_int_equal(remove_node(cluster, "n1"), STATUS_CONFLICT);
}

static void whoever_waits_is_told_in_time(void **state)
{
    struct cluster *cluster = *state;
    uint64_t deadline_ns = (uint64_t)(world.now_ms + PROPOSE_DEADLINE_MS) * 1000000;
    assert_int_equal(remove_node(cluster, "n1"), STATUS_OK);
    give_up_leading(cluster);
    assert_true(removal_expire(cluster, deadline_ns - 1));
    assert_false(removal_expire(cluster, deadline_ns));
    assert_int_equal(world.told.status, STATUS_NO_LEADER);
    cluster->is_leader = true;
    assert_int_equal(remove_node(cluster, "n1"), STATUS_OK);
    give_up_leading(cluster);
    assert_false(removal_look(cluster));
    assert_true(removal_expire(cluster, deadline_ns)); /* its answer is on its way */
    answer(&world.requests, STATUS_NO_QUORUM);
    assert_false(removal_expire(cluster, deadline_ns));
    assert_int_equal(world.told.status, STATUS_NO_QUORUM); /* why it was not done */
    cluster->is_leader = true;
    assert_int_equal(remove_node(cluster, "n1"), STATUS_OK);
    removal_abandon(cluster, "stopping");
    assert_int_equal(world.told.count, 3);
    assert_int_equal(world.told.status, STATUS_OUTCOME_UNKNOWN);
}

static void a_leader_that_drains_hands_over(void **state)
{
    struct cluster *cluster = *state;
    set_draining(cluster, SELF);
    assert_true(removal_look(cluster));
    assert_false(removal_look(cluster)); /* under way */
    assert_int_equal(world.transfers.count, 1);
    cluster->handover = (struct waiter){.done = NULL};
    answer(&world.transfers, STATUS_TIMEOUT);
    assert_true(removal_look(cluster));
    assert_int_equal(world.transfers.count, 2);
    assert_int_equal(world.changes.count, 0);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        T(an_idle_node_goes_at_once), T(what_comes_to_nothing_holds_nobody), T(a_busy_node_drains), T(a_lease_is_the_longest),
        T(who_does_not_lead_takes_nobody_out), T(it_is_taken_back), T(a_leader_asks_the_next_one),
        T(a_leader_that_cannot_hand_over_stays), T(whoever_waits_is_told_in_time), T(a_leader_that_drains_hands_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
