/* Beats and their answers, from one node to another: the core, the links and the reads are replaced by the linker. */
#include "cluster/beats.h"

#include <stdlib.h>
#include <string.h>

#include "../base/check.h"
#include "base/codec.h"
#include "cluster/cluster_internal.h"
#include "cluster/links.h"

enum { LEADER = 1, FOLLOWER = 2, LEASE_MS = 30000, SESSION = 77, FRAMES = 400 };
/* What stands at the end of a beat, and is missing in those of older nodes: the time; the disk; whether the session is announced. */
enum { TIME_SIZE = sizeof(int64_t), DISK_SIZE = 1, ANNOUNCED_SIZE = 1, BEHIND_TIME = DISK_SIZE + ANNOUNCED_SIZE };
enum { TARGET_SIZE = sizeof(uint64_t) }; /* likewise of an answer, behind its time: where the leader stood */

static struct {
    struct raft_conf conf;
    uint64_t term, leader, commit;
    int64_t now_ms;
    struct {
        uint64_t to;
        enum cluster_frame type;
        uint8_t data[128];
        size_t size;
    } frames[FRAMES];
    uint32_t frame_count;
    struct {
        cluster_done done;
        void *arg;
        uint64_t token;
    } reads[FRAMES];
    uint32_t read_count;
    bool reads_refused, lives;
    /* what the two were told */
    uint32_t beats, overs, leases, silents;
    uint64_t session;
    bool is_behind, announces, is_announced;
    int64_t until_ms;
    const char *node;
} world;

struct pair {
    uv_loop_t loop;
    struct cluster leader, follower;
};

void __wrap_raft_status(const struct raft *r, struct raft_status *ret);
uint64_t __wrap_raft_term(const struct raft *r);
uint64_t __wrap_raft_leader(const struct raft *r);
uint64_t __wrap_raft_commit(const struct raft *r);
bool __wrap_transport_is_up(const struct transport *transport, uint64_t peer, enum transport_lane lane);
bool __wrap_links_send_frame(struct cluster *cluster, uint64_t node, enum cluster_frame type, struct bytes payload);
enum status __wrap_cluster_read_for_beat(struct cluster *cluster, cluster_done done, void *arg, uint64_t token, struct error *err);

void __wrap_raft_status(const struct raft *r, struct raft_status *ret)
{
    (void)r;
    *ret = (struct raft_status){.leader = world.leader, .term = world.term, .conf = &world.conf};
}

uint64_t __wrap_raft_term(const struct raft *r)
{
    (void)r;
    return world.term;
}

uint64_t __wrap_raft_leader(const struct raft *r)
{
    (void)r;
    return world.leader;
}

uint64_t __wrap_raft_commit(const struct raft *r)
{
    (void)r;
    return world.commit;
}

bool __wrap_transport_is_up(const struct transport *transport, uint64_t peer, enum transport_lane lane)
{
    (void)transport;
    (void)peer;
    (void)lane;
    return true;
}

bool __wrap_links_send_frame(struct cluster *cluster, uint64_t node, enum cluster_frame type, struct bytes payload)
{
    (void)cluster;
    assert_true(world.frame_count < FRAMES && payload.size <= sizeof world.frames[0].data);
    world.frames[world.frame_count].to = node;
    world.frames[world.frame_count].type = type;
    world.frames[world.frame_count].size = payload.size;
    memcpy(world.frames[world.frame_count++].data, payload.data, payload.size);
    return true;
}

enum status __wrap_cluster_read_for_beat(struct cluster *cluster, cluster_done done, void *arg, uint64_t token, struct error *err)
{
    (void)cluster;
    (void)err;
    if (world.reads_refused)
        return STATUS_OVERLOADED;
    assert_true(world.read_count < FRAMES);
    world.reads[world.read_count].done = done;
    world.reads[world.read_count].arg = arg;
    world.reads[world.read_count++].token = token;
    return STATUS_OK;
}

static uint64_t monotonic_ns(void *arg)
{
    (void)arg;
    return (uint64_t)world.now_ms * 1000000;
}

/* The clocks of the two lie so far apart. */
static int64_t wall_ms(void *arg)
{
    const int64_t *ahead_ms = arg;
    return INT64_C(1700000000000) + world.now_ms + *ahead_ms;
}

static int64_t leader_ahead_ms, follower_ahead_ms;
static const struct clock leader_clock = {.monotonic_ns = monotonic_ns, .wall_ms = wall_ms, .arg = &leader_ahead_ms};
static const struct clock follower_clock = {.monotonic_ns = monotonic_ns, .wall_ms = wall_ms, .arg = &follower_ahead_ms};

static bool on_beat(void *arg, const char *node, uint64_t session, bool is_announced, bool is_behind)
{
    (void)arg;
    world.beats++;
    world.is_announced = is_announced;
    world.node = node;
    world.session = session;
    world.is_behind = is_behind;
    return world.lives;
}

static void on_silent(void *arg, const char *node)
{
    (void)arg;
    (void)node;
    world.silents++;
}

static uint64_t on_session(void *arg, bool *ret_is_announced)
{
    (void)arg;
    *ret_is_announced = world.announces;
    return SESSION + world.overs;
}

static void on_lease(void *arg, int64_t until_ms)
{
    (void)arg;
    world.leases++;
    world.until_ms = until_ms;
}

static void on_over(void *arg)
{
    (void)arg;
    world.overs++;
}

static void on_async(uv_async_t *async)
{
    (void)async;
}

static void describe(struct cluster *cluster, uint64_t node)
{
    cluster->self.node = node;
    cluster->transport = (struct transport *)(uintptr_t)1; /* never looked into */
    cluster->is_led = true;
    cluster->is_leader = node == LEADER;
    cluster->config.clock = node == LEADER ? &leader_clock : &follower_clock;
    cluster->config.clock_tolerance_ms = 5000;
    cluster->config.node_id = node == LEADER ? "n1" : "n2";
    cluster->config.lease_timeout_ms = LEASE_MS;
    cluster->config.leader = (struct cluster_leader_ops){.beat = on_beat, .silent = on_silent};
    cluster->config.runner = (struct cluster_runner_ops){.session = on_session, .lease = on_lease, .session_over = on_over};
}

static int begin(void **state)
{
    struct pair *pair = calloc(1, sizeof *pair);
    memset(&world, 0, sizeof world);
    leader_ahead_ms = follower_ahead_ms = 0;
    world.now_ms = 5000;
    world.term = 3;
    world.leader = LEADER;
    world.lives = true;
    world.conf.count = 2;
    for (uint8_t i = 0; i < 2; i++)
        world.conf.members[i] = (struct raft_member){.id = i + 1u, .role = RAFT_VOTER, .name = {'n', (char)('1' + i)}};
    describe(&pair->leader, LEADER);
    describe(&pair->follower, FOLLOWER);
    assert_int_equal(uv_loop_init(&pair->loop), 0);
    assert_int_equal(uv_async_init(&pair->loop, &pair->leader.progress, on_async), 0);
    *state = pair;
    return 0;
}

static int end(void **state)
{
    struct pair *pair = *state;
    uv_close((uv_handle_t *)&pair->leader.progress, NULL);
    (void)uv_run(&pair->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&pair->loop), 0);
    free(pair);
    return 0;
}

/* The follower beats: whoever leads in a new term is told at once. The frame's number. */
static uint32_t beat(struct pair *pair)
{
    uint32_t before = world.frame_count;
    world.term++;
    beats_follow(&pair->follower);
    assert_int_equal(world.frame_count, before + 1);
    assert_true(world.frames[before].to == LEADER && world.frames[before].type == FRAME_BEAT);
    return before;
}

static bool heard(struct pair *pair, const void *data, size_t size)
{
    struct error err = {.message = ""};
    const struct hello remote = {.node = FOLLOWER};
    bool taken = beats_heard(&pair->leader, &remote, (struct bytes){data, size}, &err);
    assert_true(taken || (err.code == STATUS_MALFORMED && err.message[0] != '\0'));
    return taken;
}

static bool told(struct pair *pair, uint64_t from, const void *data, size_t size)
{
    struct error err = {.message = ""};
    const struct hello remote = {.node = from};
    bool taken = beats_answered(&pair->follower, &remote, (struct bytes){data, size}, &err);
    assert_true(taken || (err.code == STATUS_MALFORMED && err.message[0] != '\0'));
    return taken;
}

static void confirm(uint32_t read, enum status status)
{
    const struct cluster_outcome outcome = {.status = status, .message = ""};
    world.reads[read].done(world.reads[read].arg, world.reads[read].token, &outcome);
}

/* The answer to the newest beat, as a frame's number. */
static uint32_t answer(struct pair *pair)
{
    uint32_t frame = beat(pair);
    assert_true(heard(pair, world.frames[frame].data, world.frames[frame].size));
    confirm(world.read_count - 1, STATUS_OK);
    assert_true(world.frames[world.frame_count - 1].to == FOLLOWER);
    assert_int_equal(world.frames[world.frame_count - 1].type, FRAME_BEAT_ANSWER);
    return world.frame_count - 1;
}

static void deliver(struct pair *pair, uint32_t frame)
{
    assert_true(told(pair, LEADER, world.frames[frame].data, world.frames[frame].size));
}

static void there_and_back(void **state)
{
    struct pair *pair = *state;
    uint32_t frame = beat(pair);
    int64_t sent_ms = world.now_ms;
    world.now_ms += 400;
    assert_true(heard(pair, world.frames[frame].data, world.frames[frame].size));
    assert_int_equal(world.beats, 0); /* not before it is confirmed who leads */
    confirm(0, STATUS_OK);
    assert_true(world.beats == 1 && world.session == SESSION && !world.is_behind);
    assert_string_equal(world.node, "n2");
    world.now_ms += 400;
    deliver(pair, world.frame_count - 1);
    assert_int_equal(world.leases, 1);
    assert_true(world.until_ms == sent_ms + LEASE_MS);
}

static void cut_short(void **state)
{
    struct pair *pair = *state;
    uint32_t frame = beat(pair);
    for (size_t size = 0; size < world.frames[frame].size; size++)
        if (size + ANNOUNCED_SIZE != world.frames[frame].size && size + BEHIND_TIME != world.frames[frame].size &&
            size + BEHIND_TIME + TIME_SIZE != world.frames[frame].size)
            assert_false(heard(pair, world.frames[frame].data, size));
    assert_int_equal(world.read_count, 0);
    uint32_t back = answer(pair);
    for (size_t size = 0; size < world.frames[back].size; size++)
        if (size + TARGET_SIZE != world.frames[back].size && size + TARGET_SIZE + TIME_SIZE != world.frames[back].size)
            assert_false(told(pair, LEADER, world.frames[back].data, size));
    assert_int_equal(world.leases, 0);
    deliver(pair, back);
    assert_int_equal(world.leases, 1);
}

static void flags_of_no_meaning(void **state)
{
    struct pair *pair = *state;
    uint32_t frame = beat(pair), back = answer(pair);
    uint8_t data[128];
    memcpy(data, world.frames[frame].data, world.frames[frame].size);
    data[world.frames[frame].size - BEHIND_TIME - TIME_SIZE - 1] = 2;
    assert_false(heard(pair, data, world.frames[frame].size));
    memcpy(data, world.frames[frame].data, world.frames[frame].size);
    data[world.frames[frame].size - BEHIND_TIME] = DISK_CRITICAL + 1;
    assert_false(heard(pair, data, world.frames[frame].size));
    memcpy(data, world.frames[frame].data, world.frames[frame].size);
    data[world.frames[frame].size - ANNOUNCED_SIZE] = 2;
    assert_false(heard(pair, data, world.frames[frame].size));
    memset(data, 0, sizeof data); /* a session of 0 */
    assert_false(heard(pair, data, world.frames[frame].size));
    memcpy(data, world.frames[back].data, world.frames[back].size);
    data[world.frames[back].size - TARGET_SIZE - TIME_SIZE - 1] = 2;
    assert_false(told(pair, LEADER, data, world.frames[back].size));
    assert_true(world.leases == 0 && world.overs == 0);
}

static void not_confirmed(void **state)
{
    struct pair *pair = *state;
    uint32_t frame = beat(pair), frames = world.frame_count;
    assert_true(heard(pair, world.frames[frame].data, world.frames[frame].size));
    confirm(0, STATUS_NO_LEADER);
    assert_true(world.beats == 0 && world.frame_count == frames);
    assert_true(heard(pair, world.frames[frame].data, world.frames[frame].size));
    pair->leader.is_leader = false; /* it leads no more, though the read went well */
    confirm(1, STATUS_OK);
    assert_true(world.beats == 0 && world.frame_count == frames);
}

/* One that is behind and applies nothing for as long as a lease is not answered; one that lags and goes on is. */
static void one_that_applies_nothing(void **state)
{
    struct pair *pair = *state;
    for (uint32_t i = 0; i < COMMIT_SAMPLES; i++) {
        world.commit = 100;
        beats_sample(&pair->leader);
    }
    pair->follower.applied_index = 50;
    for (uint32_t round = 0; round < 2; round++) {
        for (int64_t waited = 0; waited <= LEASE_MS; waited += 1000) {
            deliver(pair, answer(pair));
            world.now_ms += 1000;
            if (round == 0)
                pair->follower.applied_index++; /* it lags */
        }
        assert_true(world.is_behind);
    }
    uint32_t frame = beat(pair), reads = world.read_count, frames = world.frame_count;
    assert_true(heard(pair, world.frames[frame].data, world.frames[frame].size));
    assert_true(world.read_count == reads && world.frame_count == frames);
    pair->follower.applied_index++; /* it goes on */
    deliver(pair, answer(pair));
    world.now_ms += LEASE_MS; /* this node did not lead meanwhile */
    deliver(pair, answer(pair));
}

/* Each learns of the other's clock, unless the other is older and does not say; a frame that was long on its way counts less. */
static void clocks_are_told(void **state)
{
    struct pair *pair = *state;
    int64_t ahead_ms;
    follower_ahead_ms = 60000;
    deliver(pair, answer(pair));
    assert_true(clocks_offset(&pair->leader.clocks, FOLLOWER, wall_ms(&leader_ahead_ms), world.now_ms, &ahead_ms));
    assert_int_equal(ahead_ms, 60000);
    assert_int_equal(cluster_wall_ms(&pair->follower), wall_ms(&leader_ahead_ms));
    uint32_t frame = beat(pair);
    world.now_ms += 700;
    assert_true(heard(pair, world.frames[frame].data, world.frames[frame].size));
    assert_true(clocks_offset(&pair->leader.clocks, FOLLOWER, wall_ms(&leader_ahead_ms), world.now_ms, &ahead_ms));
    assert_int_equal(ahead_ms, 60000);
    follower_ahead_ms = 300; /* near enough: it keeps its own */
    world.now_ms += CLOCK_FRESH_MS + 1;
    assert_false(clocks_offset(&pair->leader.clocks, FOLLOWER, wall_ms(&leader_ahead_ms), world.now_ms, &ahead_ms));
    deliver(pair, answer(pair));
    assert_int_equal(cluster_wall_ms(&pair->follower), wall_ms(&follower_ahead_ms));
    world.now_ms += CLOCK_FRESH_MS + 1;
    frame = beat(pair);
    assert_true(heard(pair, world.frames[frame].data, world.frames[frame].size - BEHIND_TIME - TIME_SIZE));
    assert_false(clocks_offset(&pair->leader.clocks, FOLLOWER, wall_ms(&leader_ahead_ms), world.now_ms, &ahead_ms));
    assert_true(cluster_clock_agrees(&pair->leader)); /* it was heard, and cannot be judged */
}

/* Times that no clock shows. */
static void times_out_of_range(void **state)
{
    struct pair *pair = *state;
    static const int64_t wrong[] = {-1, INT64_MIN, INT64_MAX, CLOCK_WALL_MAX_MS + 1};
    uint32_t frame = beat(pair), back = answer(pair);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        store_le64(world.frames[frame].data + world.frames[frame].size - BEHIND_TIME - TIME_SIZE, (uint64_t)wrong[i]);
        assert_false(heard(pair, world.frames[frame].data, world.frames[frame].size));
        store_le64(world.frames[back].data + world.frames[back].size - TARGET_SIZE - TIME_SIZE, (uint64_t)wrong[i]);
        assert_false(told(pair, LEADER, world.frames[back].data, world.frames[back].size));
    }
    assert_int_equal(world.leases, 0);
}

static void answers_that_do_not_count(void **state)
{
    struct pair *pair = *state;
    uint32_t back = answer(pair);
    uint8_t data[128];
    size_t size = world.frames[back].size;
    assert_true(told(pair, 9, world.frames[back].data, size)); /* of another node */
    memset(data, 0, sizeof data);
    assert_true(told(pair, LEADER, data, size)); /* number 0 */
    data[0] = 200;
    assert_true(told(pair, LEADER, data, size)); /* never sent */
    for (uint32_t i = 0; i < BEATS_UNANSWERED_MAX; i++)
        (void)beat(pair);
    deliver(pair, back); /* too late */
    assert_int_equal(world.leases, 0);
}

static void as_many_as_are_confirmed_at_once(void **state)
{
    struct pair *pair = *state;
    uint32_t frame = beat(pair);
    for (uint32_t i = 0; i < BEATS_HEARD_MAX + 5; i++)
        assert_true(heard(pair, world.frames[frame].data, world.frames[frame].size));
    assert_int_equal(world.read_count, BEATS_HEARD_MAX);
    confirm(3, STATUS_OK);
    world.reads_refused = true;
    assert_true(heard(pair, world.frames[frame].data, world.frames[frame].size));
    world.reads_refused = false;
    assert_true(heard(pair, world.frames[frame].data, world.frames[frame].size)); /* the place was not taken for nothing */
    assert_int_equal(world.read_count, BEATS_HEARD_MAX + 1);
}

static void a_state_that_lags(void **state)
{
    struct pair *pair = *state;
    pair->follower.applied_index = 10;
    world.commit = 11;
    for (uint32_t i = 0; i < COMMIT_SAMPLES - 1; i++)
        beats_sample(&pair->leader);
    (void)answer(pair);
    assert_false(world.is_behind); /* by less than a second */
    beats_sample(&pair->leader);
    (void)answer(pair);
    assert_true(world.is_behind);
    pair->follower.applied_index = 11;
    (void)answer(pair);
    assert_false(world.is_behind);
    pair->follower.disk = DISK_CRITICAL;
    (void)answer(pair);
    assert_true(world.is_behind);
}

/* A node knows of itself whether it has what the cluster had a second before the leader's newest answer. */
static void a_node_that_lags(void **state)
{
    struct pair *pair = *state;
    assert_false(beats_is_behind(&pair->leader));
    assert_true(beats_is_behind(&pair->follower)); /* nobody has told it yet */
    world.commit = 11;
    for (uint32_t i = 0; i < COMMIT_SAMPLES; i++)
        beats_sample(&pair->leader);
    uint32_t back = answer(pair);
    pair->follower.applied_index = 10;
    deliver(pair, back);
    assert_true(beats_is_behind(&pair->follower));
    pair->follower.applied_index = 11;
    assert_false(beats_is_behind(&pair->follower)); /* without another answer */
    pair->follower.is_led = false; /* an election */
    beats_follow(&pair->follower);
    assert_false(beats_is_behind(&pair->follower));
    world.now_ms += UNLED_LONG_MS;
    pair->follower.is_led = true;
    (void)beat(pair);
    assert_false(beats_is_behind(&pair->follower));
    pair->follower.is_led = false; /* an hour without the others */
    beats_follow(&pair->follower);
    world.now_ms += UNLED_LONG_MS + 1;
    pair->follower.is_led = true;
    (void)beat(pair);
    assert_true(beats_is_behind(&pair->follower));
    back = answer(pair);
    assert_true(told(pair, LEADER, world.frames[back].data, world.frames[back].size - TARGET_SIZE)); /* of an older version */
    assert_false(beats_is_behind(&pair->follower));
}

/* Of an older node less is known. */
static void what_a_beat_tells(void **state)
{
    struct pair *pair = *state;
    struct disks *disks = &pair->leader.disks;
    (void)answer(pair);
    assert_false(world.is_announced);
    assert_int_equal(disks_find(disks, FOLLOWER, world.now_ms)->state, DISK_OK);
    world.announces = true;
    pair->follower.disk = DISK_LOW;
    (void)answer(pair);
    assert_true(world.is_announced && !world.is_behind);
    assert_int_equal(disks_find(disks, FOLLOWER, world.now_ms)->state, DISK_LOW);
    pair->follower.disk = DISK_CRITICAL;
    uint32_t frame = beat(pair);
    assert_true(heard(pair, world.frames[frame].data, world.frames[frame].size - BEHIND_TIME));
    confirm(world.read_count - 1, STATUS_OK);
    assert_true(!world.is_announced && world.is_behind);
    assert_int_equal(disks_find(disks, FOLLOWER, world.now_ms)->state, DISK_CRITICAL);
}

/* Several beats may be on their way when it is told: the session that begins then is another one. */
static void a_session_is_over_once(void **state)
{
    struct pair *pair = *state;
    world.lives = false;
    uint32_t first = answer(pair), second = answer(pair);
    deliver(pair, first);
    deliver(pair, second);
    assert_int_equal(world.overs, 1);
    uint32_t third = answer(pair);
    assert_int_equal(world.session, SESSION + 1);
    deliver(pair, third);
    assert_int_equal(world.overs, 2);
    assert_int_equal(world.leases, 0);
}

static void alone_and_not_alone(void **state)
{
    struct pair *pair = *state;
    world.conf.count = 1;
    beats_follow(&pair->leader);
    assert_true(world.until_ms == INT64_MAX && world.read_count == 0);
    world.conf.count = 2;
    world.term++;
    beats_follow(&pair->leader);
    assert_true(world.until_ms == world.now_ms + LEASE_MS);
    assert_int_equal(world.read_count, 1); /* and from now on by beats of its own */
    world.now_ms += 500;
    confirm(0, STATUS_OK);
    assert_true(world.until_ms == world.now_ms - 500 + LEASE_MS);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(there_and_back),      TEST(cut_short),
        TEST(flags_of_no_meaning), TEST(not_confirmed),
        TEST(a_state_that_lags),   TEST(answers_that_do_not_count),
        TEST(what_a_beat_tells),   TEST(answers_that_do_not_count),
        TEST(a_node_that_lags),   TEST(answers_that_do_not_count),
        TEST(alone_and_not_alone), TEST(as_many_as_are_confirmed_at_once),
        TEST(a_session_is_over_once), TEST(clocks_are_told), TEST(one_that_applies_nothing),
        TEST(times_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
