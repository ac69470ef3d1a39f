/* Random clusters in the scenarios' world: everything that a scenario can do, in an order that nobody thought of. The promises are
 * checked after each step; at the end everything is healed, and somebody must lead and everybody follow.
 * Usage: test_raft_random [FIRST_SEED [SEEDS]] */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/id.h"

#include "world.h"

enum { STEPS = 1200 };

static struct {
    unsigned long long seed, step;
    const char *doing;
} at;

void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "seed %llu, step %llu, %s: ", at.seed, at.step, at.doing);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    _exit(1);
}

static void on_abort(int number)
{
    (void)number;
    fprintf(stderr, "seed %llu, step %llu, %s\n", at.seed, at.step, at.doing);
    _exit(1);
}

struct run {
    struct world *w;
    struct random random;
    uint64_t next_id, next_read;
    unsigned loss; /* of a hundred messages */
    uint64_t suspect, suspect_until; /* the one node whose disk was damaged; 0: none */
};

static uint64_t below(struct run *r, uint64_t bound)
{
    return random_below(&r->random, bound);
}

static struct node *leader_of(struct run *r)
{
    struct node *found = NULL;
    for (uint64_t i = 1; i < r->next_id; i++) {
        struct node *node = &r->w->nodes[i];
        if (node->up && raft_role(node->raft) == RAFT_LEADER && (found == NULL || raft_term(node->raft) > raft_term(found->raft)))
            found = node;
    }
    return found;
}

static uint8_t joint_role(uint32_t id, uint32_t voters, bool joint)
{
    return !joint ? RAFT_VOTER : id == 1 ? RAFT_OUTGOING : id == voters ? RAFT_VOTER : RAFT_VOTER | RAFT_OUTGOING;
}

/* `joint`: of 1 to n, the first is not in the incoming half, and the last not in the outgoing one. */
static struct node *new_node(struct run *r, uint32_t voters, bool joint)
{
    struct node *node = &r->w->nodes[r->next_id];
    node->id = r->next_id++;
    node->exists = true;
    node->config = r->w->defaults;
    for (uint32_t i = 1; i <= voters; i++)
        node->disk.base_conf.members[node->disk.base_conf.count++] =
            (struct raft_member){.id = i, .role = joint_role(i, voters, joint)};
    r->w->seeds = (uint32_t)below(r, 1 << 20);
    world_start(r->w, node, 0);
    return node;
}

static void after(struct run *r, struct node *node)
{
    world_drain(r->w, node);
    world_check(r->w);
}

static void deliver(struct run *r)
{
    if (r->w->packet_count == 0)
        return;
    uint32_t position = below(r, 3) == 0 ? (uint32_t)below(r, r->w->packet_count) : 0;
    if (below(r, 100) < r->loss) {
        world_remove_packet(r->w, position);
        return;
    }
    if (below(r, 30) == 0)
        world_send(r->w, &r->w->packets[position]->message);
    enum status status = world_deliver(r->w, position);
    if (status != STATUS_OK && status != STATUS_OVERLOADED)
        fail("delivery: %s", status_name(status));
}

static void propose(struct run *r, struct node *node)
{
    static const char data[300] = "x";
    struct bytes commands[5];
    struct raft_log_id first;
    uint32_t count = 1 + (uint32_t)below(r, 5);
    for (uint32_t i = 0; i < count; i++)
        commands[i] = (struct bytes){data, below(r, sizeof data)};
    enum status status = raft_propose(node->raft, commands, count, &first);
    if (status == STATUS_OK)
        after(r, node);
}

static void change(struct run *r, struct node *node)
{
    struct raft_conf_change c = {.type = (enum raft_conf_change_type)(1 + below(r, 4))};
    struct raft_log_id position;
    bool fresh = c.type == RAFT_ADD_LEARNER && r->next_id < NODES_MAX - 1 && below(r, 2) == 0;
    struct raft_status s;
    raft_status(node->raft, &s);
    if (s.conf->count == 0 || node->id == 0)
        return;
    c.member.id = fresh ? r->next_id : s.conf->members[below(r, s.conf->count)].id;
    c.member.address[0] = (char)('a' + below(r, 20));
    enum status status = raft_propose_conf(node->raft, &c, &position);
    if (status == STATUS_OK && fresh)
        (void)new_node(r, 0, false);
    if (status == STATUS_OK)
        after(r, node);
}

static void read_something(struct run *r, struct node *node)
{
    if (node->read_count == READS_MAX)
        return;
    struct read_seen *read = &node->reads[node->read_count];
    *read = (struct read_seen){.ctx = ++r->next_read, .at_least = r->w->committed};
    if (raft_read_index(node->raft, read->ctx) == STATUS_OK)
        node->read_count++;
    after(r, node);
}

static void compact(struct run *r, struct node *node)
{
    uint64_t applied = node->disk.applied;
    if (applied <= node->disk.base.index || node->applies_held)
        return;
    if (below(r, 2) == 0) {
        struct raft_snapshot_meta meta = world_snapshot_meta(node, applied, below(r, 4000));
        raft_snapshot_taken(node->raft, &meta);
    }
    disk_compact(&node->disk, raft_compact(node->raft, node->disk.base.index + below(r, applied - node->disk.base.index + 1),
                                           below(r, 30)));
    after(r, node);
}

static void flip_link(struct run *r)
{
    uint64_t a = 1 + below(r, r->next_id - 1), b = 1 + below(r, r->next_id - 1);
    if (below(r, 3) == 0)
        memset(r->w->cut, 0, sizeof r->w->cut);
    else if (a != b)
        r->w->cut[a][b] = !r->w->cut[a][b];
}

static void release(struct run *r, struct node *node)
{
    if (below(r, 2) == 0) {
        world_persist(r->w, node, 1 + (uint32_t)below(r, 3));
        return;
    }
    node->held = false;
    world_persist(r->w, node, UINT32_MAX);
}

static void rare(struct run *r, struct node *node)
{
    switch (below(r, 14)) {
    case 0: world_stop(r->w, node); break;
    case 1: case 2: node->held = true; break;
    case 3: case 4: flip_link(r); break;
    case 5: compact(r, node); break;
    case 6: node->stores_held = true; break;
    case 7: world_store(r->w, node); break;
    case 8: node->bad_digest = true; break;
    case 9: {
        enum status status = raft_transfer(node->raft, below(r, r->next_id));
        if (status == STATUS_OK)
            after(r, node);
        break;
    }
    case 10:
        raft_report(node->raft, 1 + below(r, r->next_id - 1), (enum raft_report)below(r, 3));
        after(r, node);
        break;
    case 11:
        if (raft_campaign(node->raft) == STATUS_OK)
            after(r, node);
        break;
    case 12: node->manual = true; break;
    default:
        if (leader_of(r) != NULL)
            change(r, leader_of(r));
    }
}

static bool still_suspect(struct run *r)
{
    struct node *node = &r->w->nodes[r->suspect];
    struct raft_status s;
    if (r->suspect == 0)
        return false;
    if (node->up) {
        raft_status(node->raft, &s);
        if (!s.suspect)
            r->suspect = 0;
    }
    return r->suspect != 0;
}

/* The state as of some time ago; and one disk at a time loses the end of its log. */
static void restart(struct run *r, struct node *node)
{
    struct disk *disk = &node->disk;
    uint64_t index;
    struct raft_conf conf;
    if (below(r, 2) == 0)
        disk->applied = disk->base.index + below(r, disk->applied - disk->base.index + 1);
    bool many = raft_conf_voters(disk_conf_at(disk, disk_last(disk), &conf, &index)) >= 3;
    if (below(r, 4) == 0 && many && !still_suspect(r)) {
        r->suspect = node->id;
        r->suspect_until = disk_last(disk);
        disk_cut(disk, disk->applied + 1 + below(r, disk_last(disk) - disk->applied + 1));
    }
    world_start(r->w, node, r->suspect == node->id ? r->suspect_until : 0);
}

static void step(struct run *r)
{
    uint64_t what = below(r, 100);
    struct node *node = &r->w->nodes[1 + below(r, r->next_id - 1)];
    if (!node->up && below(r, 5) == 0)
        restart(r, node);
    if (what < 55) {
        at.doing = "deliver";
        deliver(r);
        return;
    }
    if (!node->up)
        return;
    if (what < 75) {
        at.doing = "tick";
        raft_tick(node->raft);
        after(r, node);
    } else if (what < 81) {
        at.doing = "propose";
        propose(r, node);
    } else if (what < 84) {
        at.doing = "read";
        read_something(r, node);
    } else if (what < 88) {
        at.doing = "release";
        release(r, node);
    } else if (what < 92) {
        at.doing = "take";
        node->manual = false;
        after(r, node);
    } else {
        at.doing = "something rare";
        rare(r, node);
    }
}

static void heal(struct run *r)
{
    memset(r->w->cut, 0, sizeof r->w->cut);
    for (uint64_t i = 1; i < r->next_id; i++) {
        struct node *node = &r->w->nodes[i];
        if (!node->up)
            restart(r, node);
        node->held = node->manual = node->bad_digest = false;
        world_store(r->w, node);
        world_persist(r->w, node, UINT32_MAX);
    }
}

static void rounds(struct run *r, uint32_t count)
{
    for (; count > 0; count--) {
        for (uint64_t i = 1; i < r->next_id; i++) {
            raft_tick(r->w->nodes[i].raft);
            world_drain(r->w, &r->w->nodes[i]);
            struct node *node = &r->w->nodes[i];
            if (node->snapshot_asked > 0) {
                struct raft_snapshot_meta meta = world_snapshot_meta(node, node->disk.applied, 2500);
                node->snapshot_asked = 0;
                raft_snapshot_taken(node->raft, &meta);
                after(r, node);
            }
        }
        for (int i = 0; i < 3000 && r->w->packet_count > 0; i++)
            (void)world_deliver(r->w, 0);
        world_check(r->w);
    }
}

/* One or two voters, one of which must not vote yet: nobody can lead before somebody steps in. */
static bool excused(struct run *r)
{
    for (uint64_t i = 1; i < r->next_id && still_suspect(r); i++) {
        struct raft_status s;
        raft_status(r->w->nodes[i].raft, &s);
        if (raft_conf_voters(s.conf) <= 2)
            return true;
    }
    return false;
}

static void must_live(struct run *r)
{
    struct raft_status s;
    at.doing = "healed";
    heal(r);
    rounds(r, 300);
    struct node *leader = leader_of(r);
    if (leader == NULL && excused(r))
        return;
    if (leader == NULL)
        fail("nobody leads");
    uint64_t before = raft_commit(leader->raft);
    propose(r, leader);
    rounds(r, 30);
    leader = leader_of(r);
    if (leader == NULL || raft_commit(leader->raft) <= before)
        fail("nothing is committed any more");
    raft_status(leader->raft, &s);
    for (uint32_t i = 0; i < s.conf->count; i++) {
        struct node *node = &r->w->nodes[s.conf->members[i].id];
        if (raft_commit(node->raft) != s.commit || node->disk.applied != s.commit)
            fail("node %llu stands at %llu, the leader at %llu", (unsigned long long)node->id,
                 (unsigned long long)raft_commit(node->raft), (unsigned long long)s.commit);
    }
}

static void run_seed(uint64_t seed)
{
    struct run r = {.w = world_new(), .next_id = 1};
    at.seed = seed;
    random_seed(&r.random, seed);
    r.loss = (unsigned)below(&r, 3) * 5;
    r.w->defaults.cache_bytes = below(&r, 2) == 0 ? 500 : 1 << 20;
    r.w->defaults.max_inflight_messages = 1 + (uint32_t)below(&r, 8);
    r.w->defaults.max_inflight_bytes = 300 + (uint32_t)below(&r, 2000);
    r.w->defaults.max_message_bytes = 1 + (uint32_t)below(&r, 1000);
    r.w->defaults.max_uncommitted_bytes = 5000;
    r.w->defaults.election_ticks = (uint16_t)(4 + below(&r, 10));
    uint32_t voters = 1 + (uint32_t)below(&r, 5);
    bool joint = voters >= 2 && below(&r, 6) == 0;
    at.doing = "start";
    for (uint32_t i = 0; i < voters; i++)
        (void)new_node(&r, voters, joint);
    for (at.step = 0; at.step < STEPS; at.step++)
        step(&r);
    must_live(&r);
    world_free(r.w);
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1, count = argc > 2 ? strtoull(argv[2], NULL, 10) : 300;
    signal(SIGABRT, on_abort);
    for (uint64_t seed = first; seed < first + count; seed++)
        run_seed(seed);
    printf("%llu seeds from %llu\n", (unsigned long long)count, (unsigned long long)first);
    return 0;
}
