/* Requests to the leader and their answers, with what lies around them replaced: the linker sends the calls through the test. */
#include "cluster/forward.h"

#include <stdio.h>
#include <stdlib.h>

#include "../base/check.h"
#include "base/codec.h"
#include "base/limits.h"
#include "cluster/cluster_internal.h"
#include "cluster/membership.h"

enum { SELF = 1, LEADER = 2, OTHER = 3 };

static struct {
    uint64_t leader;       /* that the core knows */
    bool is_up, is_full;   /* its link */
    uint32_t sent;
    uint64_t to;
    enum cluster_frame type;
    struct buffer payload; /* of the newest frame */
    /* what the leader's side was asked to do */
    uint32_t proposed;
    enum status outcome;
    cluster_done done;
    void *arg;
    uint64_t tokens[FORWARDS_MAX];
    char joined[NODE_NAME_MAX + 1];
} world;

uint64_t __wrap_raft_leader(const struct raft *r);
bool __wrap_transport_is_up(const struct transport *transport, uint64_t peer, enum transport_lane lane);
bool __wrap_links_send_frame(struct cluster *cluster, uint64_t node, enum cluster_frame type, struct bytes payload);
enum status __wrap_cluster_propose(struct cluster *cluster, enum proposal_class class, struct bytes command, cluster_done done,
                                   void *arg, uint64_t token, struct error *err);
enum status __wrap_membership_do(struct cluster *cluster, enum request_kind kind, uint64_t id, const char *name,
                                 const char *address, cluster_done done, void *arg, uint64_t token, struct error *err);
uint64_t __wrap_cluster_deadline_ns(struct cluster *cluster);

uint64_t __wrap_raft_leader(const struct raft *r)
{
    (void)r;
    return world.leader;
}

bool __wrap_transport_is_up(const struct transport *transport, uint64_t peer, enum transport_lane lane)
{
    (void)transport;
    return peer == LEADER && lane == LANE_CONTROL && world.is_up;
}

bool __wrap_links_send_frame(struct cluster *cluster, uint64_t node, enum cluster_frame type, struct bytes payload)
{
    (void)cluster;
    if (world.is_full)
        return false;
    world.sent++;
    world.to = node;
    world.type = type;
    buffer_clear(&world.payload);
    buffer_append(&world.payload, payload.data, payload.size);
    return true;
}

static enum status take_errand(cluster_done done, void *arg, uint64_t token, struct error *err)
{
    if (world.outcome != STATUS_OK)
        return error_set(err, world.outcome, "not now");
    world.done = done;
    world.arg = arg;
    world.tokens[world.proposed++] = token;
    return STATUS_OK;
}

enum status __wrap_cluster_propose(struct cluster *cluster, enum proposal_class class, struct bytes command, cluster_done done,
                                   void *arg, uint64_t token, struct error *err)
{
    (void)cluster;
    assert_int_equal(class, PROPOSE_CLIENT);
    assert_true(command.size >= COMMAND_HEADER_SIZE);
    return take_errand(done, arg, token, err);
}

enum status __wrap_membership_do(struct cluster *cluster, enum request_kind kind, uint64_t id, const char *name,
                                 const char *address, cluster_done done, void *arg, uint64_t token, struct error *err)
{
    (void)cluster;
    assert_int_equal(kind, REQUEST_JOIN);
    assert_int_equal(id, 99);
    assert_string_equal(address, "10.0.0.9:7000");
    (void)snprintf(world.joined, sizeof world.joined, "%s", name);
    return take_errand(done, arg, token, err);
}

uint64_t __wrap_cluster_deadline_ns(struct cluster *cluster)
{
    (void)cluster;
    return 1000;
}

/* --- both sides --- */

struct outcome {
    uint32_t calls;
    enum status status;
    struct apply_result result;
    char message[128];
};

static struct outcome outcomes[FORWARDS_MAX + 1];

static void on_done(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    assert_ptr_equal(arg, outcomes);
    outcomes[token].calls++;
    outcomes[token].status = outcome->status;
    outcomes[token].result = outcome->result;
    (void)snprintf(outcomes[token].message, sizeof outcomes[token].message, "%s", outcome->message);
}

static struct cluster *node_of(uint64_t id)
{
    struct cluster *cluster = calloc(1, sizeof *cluster);
    struct error err;
    assert_non_null(cluster);
    cluster->self.node = id;
    cluster->transport = (struct transport *)(uintptr_t)1; /* never looked into */
    assert_int_equal(forward_new(&cluster->forward, &err), STATUS_OK);
    return cluster;
}

static int begin(void **state)
{
    memset(&world, 0, sizeof world);
    memset(outcomes, 0, sizeof outcomes);
    world.leader = LEADER;
    world.is_up = true;
    buffer_init(&world.payload, 1 << 21);
    *state = node_of(SELF);
    return 0;
}

static int end(void **state)
{
    struct cluster *cluster = *state;
    forward_free(cluster->forward);
    free(cluster);
    buffer_deinit(&world.payload);
    return 0;
}

static const struct hello leader = {.node = LEADER}, other = {.node = OTHER};

static const uint8_t command[COMMAND_HEADER_SIZE] = {COMMAND_NOOP, COMMAND_FORMAT};

static enum status ask(struct cluster *cluster, uint64_t token, uint64_t deadline)
{
    struct error err;
    return forward_propose(cluster, PROPOSE_CLIENT, (struct bytes){command, sizeof command}, on_done, outcomes, token, deadline,
                           &err);
}

/* The newest request, done by a leader of its own, whose answer is then the newest frame. */
static void answered_by(struct cluster *asker, struct cluster *server, enum status status, uint64_t index)
{
    struct buffer request = world.payload;
    struct error err;
    buffer_init(&world.payload, 1 << 21);
    server->is_leader = true;
    assert_int_equal(world.type, FRAME_REQUEST);
    assert_true(forward_requested(server, &(struct hello){.node = SELF}, buffer_bytes(&request), &err));
    buffer_deinit(&request);
    struct cluster_outcome outcome = {.status = status, .message = status == STATUS_OK ? "" : "no",
                                      .result = {.index = index, .version = 7, .stale_count = 2, .replayed_status = 201, .id = {{1, 2}},
                                                 .status = STATUS_VERSION_MISMATCH, .sweep_deleted = 5}};
    world.done(world.arg, world.tokens[world.proposed - 1], &outcome);
    assert_int_equal(world.type, FRAME_ANSWER);
    assert_int_equal(world.to, SELF);
    (void)asker; /* it is told by the caller */
}

static void deliver(struct cluster *cluster, const struct hello *from)
{
    struct error err;
    assert_true(forward_answered(cluster, from, buffer_bytes(&world.payload), &err));
}

static void free_node(struct cluster *cluster)
{
    forward_free(cluster->forward);
    free(cluster);
}

/* --- tests --- */

static void an_answer_waits_until_it_is_applied_here(void **state)
{
    struct cluster *cluster = *state, *server = node_of(LEADER);
    cluster->applied_index = 9;
    assert_int_equal(ask(cluster, 4, 0), STATUS_OK);
    assert_int_equal(world.to, LEADER);
    answered_by(cluster, server, STATUS_OK, 10);
    deliver(cluster, &leader);
    assert_int_equal(outcomes[4].calls, 0);
    cluster->applied_index = 10;
    forward_applied(cluster);
    assert_int_equal(outcomes[4].calls, 1);
    assert_int_equal(outcomes[4].status, STATUS_OK);
    const struct apply_result *result = &outcomes[4].result;
    assert_true(result->index == 10 && result->version == 7 && result->stale_count == 2 && result->replayed_status == 201 && result->id.bytes[1] == 2);
    assert_true(result->status == STATUS_VERSION_MISMATCH && result->sweep_deleted == 5);
    deliver(cluster, &leader); /* the same again: nobody waits any more */
    assert_int_equal(outcomes[4].calls, 1);
    assert_int_equal(forward_count(cluster->forward), 0);
    free_node(server);
}

static void a_refusal_is_told_at_once(void **state)
{
    struct cluster *cluster = *state, *server = node_of(LEADER);
    assert_int_equal(ask(cluster, 4, 0), STATUS_OK);
    answered_by(cluster, server, STATUS_DISK_FULL, 0);
    deliver(cluster, &other); /* not whom it asked */
    assert_int_equal(outcomes[4].calls, 0);
    deliver(cluster, &leader);
    assert_int_equal(outcomes[4].status, STATUS_DISK_FULL);
    assert_string_equal(outcomes[4].message, "no");
    free_node(server);
}

static void nobody_to_ask(void **state)
{
    struct cluster *cluster = *state;
    world.leader = 0;
    assert_int_equal(ask(cluster, 0, 0), STATUS_NO_LEADER);
    world.leader = SELF; /* it leads, but has not applied its no-op yet */
    assert_int_equal(ask(cluster, 0, 0), STATUS_NO_LEADER);
    world.leader = LEADER;
    world.is_up = false;
    assert_int_equal(ask(cluster, 0, 0), STATUS_NO_LEADER);
    cluster->contact.is_lost = true;
    assert_int_equal(ask(cluster, 0, 0), STATUS_NO_QUORUM);
    world.is_up = world.is_full = true; /* a leader that can be asked knows better */
    assert_int_equal(ask(cluster, 0, 0), STATUS_OVERLOADED);
    assert_int_equal(forward_count(cluster->forward), 0);
    assert_int_equal(outcomes[0].calls, 0); /* refused: never called */
}

static void a_lost_leader_leaves_it_open(void **state)
{
    struct cluster *cluster = *state;
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(ask(cluster, i, 0), STATUS_OK);
    forward_lost(cluster, OTHER);
    assert_int_equal(outcomes[0].calls, 0);
    forward_lost(cluster, LEADER);
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(outcomes[i].calls, 1);
        assert_int_equal(outcomes[i].status, STATUS_OUTCOME_UNKNOWN);
    }
}

/* What was decided is known, whatever becomes of the leader. */
static void a_lost_leader_behind_its_answer(void **state)
{
    struct cluster *cluster = *state, *server = node_of(LEADER);
    assert_int_equal(ask(cluster, 0, 50), STATUS_OK);
    answered_by(cluster, server, STATUS_OK, 10);
    deliver(cluster, &leader);
    forward_lost(cluster, LEADER);
    assert_true(forward_expire(cluster, 49));
    assert_int_equal(outcomes[0].calls, 0);
    assert_false(forward_expire(cluster, 50)); /* this node is far behind: it is told all the same */
    assert_int_equal(outcomes[0].calls, 1);
    assert_int_equal(outcomes[0].status, STATUS_OK);
    cluster->applied_index = 11;
    forward_applied(cluster);
    assert_int_equal(outcomes[0].calls, 1);
    free_node(server);
}

static void deadlines(void **state)
{
    struct cluster *cluster = *state;
    assert_int_equal(ask(cluster, 0, 0), STATUS_OK); /* none */
    assert_int_equal(ask(cluster, 1, 50), STATUS_OK);
    assert_int_equal(ask(cluster, 2, 90), STATUS_OK);
    assert_true(forward_expire(cluster, 49));
    assert_true(forward_expire(cluster, 50));
    assert_int_equal(outcomes[1].status, STATUS_OUTCOME_UNKNOWN);
    assert_int_equal(outcomes[2].calls, 0);
    assert_false(forward_expire(cluster, 90));
    assert_int_equal(outcomes[2].calls, 1);
    assert_int_equal(outcomes[0].calls, 0);
    forward_abandon(cluster);
    assert_int_equal(outcomes[0].status, STATUS_OUTCOME_UNKNOWN);
    assert_int_equal(forward_count(cluster->forward), 0);
}

static void as_many_as_fit(void **state)
{
    struct cluster *cluster = *state;
    for (uint64_t i = 0; i < FORWARDS_MAX; i++)
        assert_int_equal(ask(cluster, i, 0), STATUS_OK);
    assert_int_equal(ask(cluster, FORWARDS_MAX, 0), STATUS_OVERLOADED);
    assert_int_equal(forward_count(cluster->forward), FORWARDS_MAX);
    forward_lost(cluster, LEADER);
    for (uint64_t i = 0; i < FORWARDS_MAX; i++)
        assert_int_equal(outcomes[i].calls, 1);
    assert_int_equal(ask(cluster, FORWARDS_MAX, 0), STATUS_OK);
}

static enum status answer_status(void)
{
    struct reader r = reader_of(world.payload.data, world.payload.size);
    (void)take_u64(&r);
    return (enum status)take_u16(&r);
}

static void as_many_errands_as_fit(void **state)
{
    struct cluster *cluster = *state, *server = node_of(LEADER);
    struct error err;
    server->is_leader = true;
    assert_int_equal(ask(cluster, 0, 0), STATUS_OK);
    struct buffer request = world.payload;
    buffer_init(&world.payload, 1 << 21);
    for (uint32_t i = 0; i <= FORWARDS_MAX; i++)
        assert_true(forward_requested(server, &other, buffer_bytes(&request), &err));
    assert_int_equal(world.proposed, FORWARDS_MAX);
    assert_int_equal(answer_status(), STATUS_OVERLOADED);
    for (uint32_t i = 0; i < FORWARDS_MAX; i++)
        world.done(world.arg, world.tokens[i], &(struct cluster_outcome){.status = STATUS_OK, .message = ""});
    assert_int_equal(world.sent, 1 + 1 + FORWARDS_MAX);
    buffer_deinit(&request);
    free_node(server);
}

static void who_does_not_lead_says_so(void **state)
{
    struct cluster *cluster = *state;
    struct error err;
    assert_int_equal(ask(cluster, 0, 0), STATUS_OK);
    struct buffer request = world.payload;
    buffer_init(&world.payload, 1 << 21);
    assert_true(forward_requested(cluster, &other, buffer_bytes(&request), &err));
    assert_int_equal(answer_status(), STATUS_NO_LEADER);
    cluster->is_leader = true;
    world.outcome = STATUS_OVERLOADED; /* the proposal is refused */
    assert_true(forward_requested(cluster, &other, buffer_bytes(&request), &err));
    assert_int_equal(answer_status(), STATUS_OVERLOADED);
    assert_int_equal(world.proposed, 0);
    buffer_deinit(&request);
}

static void a_request_for_admission(void **state)
{
    struct cluster *cluster = *state, *server = node_of(LEADER);
    struct error err;
    assert_int_equal(forward_ask(cluster, REQUEST_JOIN, 99, "chronos-9", "10.0.0.9:7000", on_done, outcomes, 3, &err), STATUS_OK);
    answered_by(cluster, server, STATUS_OK, 0);
    assert_string_equal(world.joined, "chronos-9");
    deliver(cluster, &leader);
    assert_int_equal(outcomes[3].status, STATUS_OK);
    free_node(server);
}

/* Whatever a broken node sends. */
static void damaged_ones(void **state)
{
    struct cluster *cluster = *state;
    struct random r;
    struct error err;
    cluster->is_leader = true;
    random_seed(&r, 3);
    assert_int_equal(ask(cluster, 0, 0), STATUS_OK);
    struct buffer request = world.payload;
    buffer_init(&world.payload, 1 << 21);
    for (size_t cut = 0; cut < request.size; cut++)
        assert_false(forward_requested(cluster, &other, (struct bytes){request.data, cut}, &err));
    assert_int_equal(world.proposed, 0);
    char *kind = request.data + 8;
    *kind = 77;
    assert_true(forward_requested(cluster, &other, buffer_bytes(&request), &err)); /* of a newer version */
    assert_int_equal(answer_status(), STATUS_NOT_IMPLEMENTED);
    for (size_t cut = 0; cut < world.payload.size; cut++)
        assert_false(forward_answered(cluster, &leader, (struct bytes){world.payload.data, cut}, &err));
    for (int i = 0; i < 20000; i++) {
        uint8_t noise[80];
        for (size_t at = 0; at < sizeof noise; at++)
            noise[at] = (uint8_t)random_next(&r);
        (void)(forward_answered(cluster, &leader, (struct bytes){noise, random_below(&r, sizeof noise)}, &err) ||
               forward_requested(cluster, &other, (struct bytes){noise, random_below(&r, sizeof noise)}, &err));
    }
    buffer_deinit(&request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_answer_waits_until_it_is_applied_here, begin, end),
        cmocka_unit_test_setup_teardown(a_refusal_is_told_at_once, begin, end),
        cmocka_unit_test_setup_teardown(nobody_to_ask, begin, end),
        cmocka_unit_test_setup_teardown(a_lost_leader_leaves_it_open, begin, end),
        cmocka_unit_test_setup_teardown(a_lost_leader_behind_its_answer, begin, end),
        cmocka_unit_test_setup_teardown(deadlines, begin, end),
        cmocka_unit_test_setup_teardown(as_many_as_fit, begin, end),
        cmocka_unit_test_setup_teardown(as_many_errands_as_fit, begin, end),
        cmocka_unit_test_setup_teardown(who_does_not_lead_says_so, begin, end),
        cmocka_unit_test_setup_teardown(a_request_for_admission, begin, end),
        cmocka_unit_test_setup_teardown(damaged_ones, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
