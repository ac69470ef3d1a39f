/* The Nth allocation fails, for every N, while a cluster works; then there is memory again. What was refused changed nothing that
 * matters: the promises of Raft hold throughout (world.c), nothing crashes or leaks, and the cluster goes on. */
#include <stdio.h>
#include <unistd.h>

#include "world.h"

#include "check.h"

#undef fail /* of cmocka; here it is that of world.h */

static struct {
    uint64_t count, failing, lasting; /* the failing-th and `lasting` more; 0: none */
    int64_t live;
} allocations;

void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "allocation %llu of %llu: ", (unsigned long long)allocations.failing, (unsigned long long)allocations.count);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    _exit(1);
}

static void *allocate(void *arg, size_t size)
{
    (void)arg;
    allocations.count++;
    if (allocations.failing != 0 && allocations.count >= allocations.failing &&
        allocations.count <= allocations.failing + allocations.lasting)
        return NULL;
    allocations.live++;
    return malloc(size);
}

static void release(void *arg, void *memory)
{
    (void)arg;
    allocations.live -= memory != NULL;
    free(memory);
}

static const struct raft_alloc alloc = {allocate, release, NULL};

static void new_node(struct world *w, uint64_t id, uint32_t voters)
{
    struct node *node = &w->nodes[id];
    node->id = id;
    node->exists = true;
    node->config = w->defaults;
    for (uint32_t i = 1; i <= voters; i++)
        node->disk.base_conf.members[node->disk.base_conf.count++] = (struct raft_member){.id = i, .role = RAFT_VOTER};
    world_start(w, node, 0);
}

static void run(struct world *w, uint32_t rounds)
{
    for (; rounds > 0; rounds--) {
        for (uint32_t i = 1; i < NODES_MAX; i++)
            if (w->nodes[i].up) {
                raft_tick(w->nodes[i].raft);
                world_drain(w, &w->nodes[i]);
            }
        for (int i = 0; i < 400 && w->packet_count > 0; i++) {
            enum status status = world_deliver(w, 0);
            assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
        }
        world_check(w);
    }
}

static struct node *leader_of(struct world *w)
{
    for (uint32_t i = 1; i < NODES_MAX; i++)
        if (w->nodes[i].up && raft_role(w->nodes[i].raft) == RAFT_LEADER)
            return &w->nodes[i];
    return NULL;
}

static void propose(struct world *w, uint32_t count)
{
    struct node *leader = leader_of(w);
    struct bytes commands[100];
    struct raft_log_id first;
    for (uint32_t i = 0; i < count; i++)
        commands[i] = (struct bytes){"command", 7};
    if (leader == NULL)
        return;
    struct raft_log_id last = raft_last(leader->raft);
    enum status status = raft_propose(leader->raft, commands, count, &first);
    if (status != STATUS_OK) /* surely nothing was appended */
        assert_int_equal(raft_last(leader->raft).index, last.index);
    world_drain(w, leader);
}

static void change(struct world *w, enum raft_conf_change_type type, uint64_t id)
{
    struct node *leader = leader_of(w);
    struct raft_conf_change change_of = {.type = type, .member.id = id};
    struct raft_log_id at;
    if (leader == NULL)
        return;
    uint64_t last = raft_last(leader->raft).index;
    enum status status = raft_propose_conf(leader->raft, &change_of, &at);
    if (status != STATUS_OK)
        assert_int_equal(raft_last(leader->raft).index, last);
    world_drain(w, leader);
}

/* Elections, entries, fetches, a snapshot, membership, a transfer. */
static void work(struct world *w)
{
    run(w, 25);
    propose(w, 3);
    propose(w, 100);
    run(w, 2);
    change(w, RAFT_ADD_LEARNER, 4);
    run(w, 3);
    change(w, RAFT_ADD_VOTER, 4);
    run(w, 3);
    struct node *leader = leader_of(w);
    if (leader != NULL) {
        for (uint32_t other = 1; other < NODES_MAX; other++)
            w->cut[leader->id == 3 ? 2 : 3][other] = w->cut[other][leader->id == 3 ? 2 : 3] = true;
        propose(w, 60);
        run(w, 12);
        leader = leader_of(w);
    }
    if (leader != NULL && leader->disk.applied > 0) {
        struct raft_snapshot_meta meta = world_snapshot_meta(leader, leader->disk.applied, 3000);
        raft_snapshot_taken(leader->raft, &meta);
        disk_compact(&leader->disk, raft_compact(leader->raft, leader->disk.applied, 0));
        world_drain(w, leader);
    }
    memset(w->cut, 0, sizeof w->cut);
    run(w, 10);
    leader = leader_of(w);
    if (leader != NULL) {
        enum status status = raft_transfer(leader->raft, 0);
        assert_true(status == STATUS_OK || status == STATUS_INVALID); /* there may be nobody */
        world_drain(w, leader);
    }
    run(w, 10);
    change(w, RAFT_REMOVE, 1);
    run(w, 5);
}

static struct world *new_world(void)
{
    struct world *w = world_new();
    w->defaults.alloc = &alloc;
    w->defaults.cache_bytes = 200; /* so that entries are fetched */
    w->defaults.max_inflight_bytes = 400;
    w->chunk_bytes = 1000;
    allocations.failing = 0;
    for (uint64_t id = 1; id <= 3; id++)
        new_node(w, id, 3);
    new_node(w, 4, 0);
    allocations.count = 0;
    return w;
}

/* Afterwards there is memory: somebody leads, and commits on everybody. */
static void recovers(struct world *w)
{
    allocations.failing = 0;
    run(w, 150);
    struct node *leader = leader_of(w);
    if (leader == NULL)
        fail("nobody leads");
    uint64_t last = raft_last(leader->raft).index;
    propose(w, 1);
    run(w, 60);
    leader = leader_of(w);
    if (leader == NULL || raft_commit(leader->raft) <= last)
        fail("nothing is committed any more");
    struct raft_status s;
    raft_status(leader->raft, &s);
    for (uint32_t i = 0; i < s.conf->count; i++)
        if (raft_commit(w->nodes[s.conf->members[i].id].raft) != s.commit)
            fail("node %llu does not follow", (unsigned long long)s.conf->members[i].id);
}

static void sweep(uint64_t lasting, uint64_t stride)
{
    struct world *w = new_world();
    work(w);
    uint64_t total = allocations.count;
    recovers(w);
    world_free(w);
    assert_int_equal(allocations.live, 0);
    assert_true(total > 200);
    for (uint64_t n = 1; n <= total; n += stride) {
        w = new_world();
        allocations.failing = n;
        allocations.lasting = lasting;
        work(w);
        recovers(w);
        world_free(w);
        assert_int_equal(allocations.live, 0);
    }
}

static void one_fails(void **state)
{
    (void)state;
    sweep(0, 3);
}

static void many_fail(void **state)
{
    (void)state;
    sweep(30, 17);
}

/* A leader for whose progress of a peer there was no memory does not leave that peer alone for ever. */
static void electing(void **state)
{
    (void)state;
    struct world *w = new_world();
    run(w, 25);
    uint64_t total = allocations.count;
    world_free(w);
    for (uint64_t n = 1; n <= total; n++) {
        w = new_world();
        allocations.failing = n;
        allocations.lasting = 0;
        run(w, 25);
        recovers(w);
        world_free(w);
        assert_int_equal(allocations.live, 0);
    }
}

static void starting(void **state)
{
    (void)state;
    const struct raft_term_run runs[] = {{1, 1}, {2, 3}};
    struct raft_boot boot = {.hard = {.term = 2}, .last = {5, 2}, .runs = runs, .run_count = 2};
    struct raft_config config = {.id = 1, .seed = 1, .election_ticks = 10, .heartbeat_ticks = 1, .max_message_bytes = 100,
                                 .max_inflight_messages = 4, .max_inflight_bytes = 100, .max_uncommitted_bytes = 100,
                                 .max_reads = 4, .cache_bytes = 100, .alloc = &alloc};
    struct raft *raft = NULL;
    allocations.lasting = 0;
    for (uint64_t n = 1;; n++) {
        allocations.count = 0;
        allocations.failing = n;
        enum status status = raft_new(&config, &boot, &raft);
        if (status == STATUS_OK)
            break;
        assert_int_equal(status, STATUS_NO_MEMORY);
        assert_null(raft); /* untouched */
        assert_int_equal(allocations.live, 0);
    }
    assert_true(allocations.count >= 7);
    raft_free(raft);
    assert_int_equal(allocations.live, 0);
    raft_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starting), cmocka_unit_test(electing), cmocka_unit_test(one_fails), cmocka_unit_test(many_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
