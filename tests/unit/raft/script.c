/* Commands on nodes, and the table of all commands. */
#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long ull;

void must_be(const struct script *s, enum status got)
{
    if (got != s->line.expected)
        fail("%s: %s, not %s", s->line.words[0], got == STATUS_INTERNAL ? "DIVERGED" : status_name(got),
             s->line.expected == STATUS_INTERNAL ? "DIVERGED" : status_name(s->line.expected));
}

static struct node *node_of(struct script *s, uint32_t i)
{
    struct node *node = world_node(s->world, number(word(s, i)));
    if (!node->up)
        fail("node %llu is down", (ull)node->id);
    return node;
}

static void done(struct script *s, struct node *node)
{
    world_drain(s->world, node);
    world_check(s->world);
}

/* --- making nodes --- */

static uint32_t option(const struct script *s, const char *key, uint32_t otherwise, uint32_t limit)
{
    uint64_t value = value_or(s, key, otherwise);
    if (value > limit)
        fail("%s: at most %u", key, limit);
    return (uint32_t)value;
}

static void read_options(const struct script *s, struct raft_config *config)
{
    config->election_ticks = (uint16_t)option(s, "et", config->election_ticks, UINT16_MAX);
    config->heartbeat_ticks = (uint16_t)option(s, "hb", config->heartbeat_ticks, UINT16_MAX);
    config->max_message_bytes = option(s, "message_bytes", config->max_message_bytes, UINT32_MAX);
    config->max_inflight_messages = option(s, "window", config->max_inflight_messages, UINT32_MAX);
    config->max_inflight_bytes = option(s, "window_bytes", config->max_inflight_bytes, UINT32_MAX);
    config->max_uncommitted_bytes = option(s, "uncommitted_bytes", config->max_uncommitted_bytes, UINT32_MAX);
    config->max_reads = option(s, "max_reads", config->max_reads, UINT32_MAX);
    config->cache_bytes = option(s, "cache_bytes", config->cache_bytes, UINT32_MAX);
}

/* set key=value...: for nodes made from here on. */
static void command_set(struct script *s)
{
    read_options(s, &s->world->defaults);
    s->world->chunk_bytes = value_or(s, "chunk", s->world->chunk_bytes);
    s->world->snapshot_bytes = value_or(s, "snapshot", s->world->snapshot_bytes);
}

/* 1*3,4: terms of the entries from the first on. */
static void read_log(struct disk *disk, const char *text)
{
    while (*text != '\0') {
        char *end;
        uint64_t term = strtoull(text, &end, 10), count = 1;
        if (end == text)
            fail("\"%s\" is not a log", text);
        if (*end == '*')
            count = strtoull(end + 1, &end, 10);
        for (; count > 0; count--)
            disk_add(disk, term);
        text = *end == ',' ? end + 1 : end;
    }
}

static struct node *new_node(struct script *s, uint64_t id)
{
    if (id == 0 || id >= NODES_MAX || s->world->nodes[id].exists)
        fail("%llu is no id for a new node", (ull)id);
    struct node *node = &s->world->nodes[id];
    node->id = id;
    node->exists = true;
    node->config = s->world->defaults;
    read_options(s, &node->config);
    return node;
}

/* node ID [voters=] [learners=] [outgoing=] [learners_next=] [term=] [vote=] [log=] [applied=] [suspect=] [options] */
static void command_node(struct script *s)
{
    struct node *node = new_node(s, number(word(s, 1)));
    struct disk *disk = &node->disk;
    const char *text;
    if ((text = value_of(s, "voters")) != NULL)
        add_members(&disk->base_conf, text, RAFT_VOTER);
    if ((text = value_of(s, "outgoing")) != NULL)
        add_members(&disk->base_conf, text, RAFT_OUTGOING);
    if ((text = value_of(s, "learners_next")) != NULL)
        add_members(&disk->base_conf, text, RAFT_LEARNER_NEXT | RAFT_OUTGOING);
    if ((text = value_of(s, "learners")) != NULL)
        add_members(&disk->base_conf, text, RAFT_LEARNER);
    if ((text = value_of(s, "log")) != NULL)
        read_log(disk, text);
    disk->hard.term = value_or(s, "term", disk_term(disk, disk_last(disk)));
    disk->hard.vote = value_or(s, "vote", 0);
    disk->applied = value_or(s, "applied", 0);
    world_start(s->world, node, value_or(s, "suspect", 0));
}

/* cluster N [learners=] [options]: voters 1 to N and the learners, all empty. */
static void command_cluster(struct script *s)
{
    uint64_t count = number(word(s, 1)), ids[RAFT_MEMBERS_MAX];
    struct raft_conf conf = {0};
    const char *learners = value_of(s, "learners");
    char one[24];
    if (count > RAFT_MEMBERS_MAX)
        fail("at most %d members", RAFT_MEMBERS_MAX);
    for (uint64_t id = 1; id <= count; id++) {
        (void)snprintf(one, sizeof one, "%llu", (ull)id);
        add_members(&conf, one, RAFT_VOTER);
        ids[id - 1] = id;
    }
    if (learners != NULL)
        add_members(&conf, learners, RAFT_LEARNER);
    for (uint32_t i = (uint32_t)count; i < conf.count; i++, count++)
        ids[i] = conf.members[i].id; /* the learners' follow */
    for (uint64_t i = 0; i < count; i++) {
        struct node *node = new_node(s, ids[i]);
        node->disk.base_conf = conf;
        world_start(s->world, node, 0);
    }
}

static void command_crash(struct script *s)
{
    world_stop(s->world, node_of(s, 1));
}

/* restart ID [suspect=N] [cut=N] [applied=N]: with corruption, the log is there up to entry N alone; the state store has lost what
 * it did not sync. */
static void command_restart(struct script *s)
{
    struct node *node = world_node(s->world, number(word(s, 1)));
    if (node->up)
        world_stop(s->world, node);
    if (value_of(s, "cut") != NULL)
        disk_cut(&node->disk, value_or(s, "cut", 0) + 1);
    node->disk.applied = value_or(s, "applied", node->disk.applied);
    read_options(s, &node->config);
    world_start(s->world, node, value_or(s, "suspect", 0));
}

/* --- time --- */

static void tick(struct script *s, struct node *node)
{
    raft_tick(node->raft);
    done(s, node);
}

static void tick_all(struct script *s)
{
    for (uint32_t i = 1; i < NODES_MAX; i++)
        if (s->world->nodes[i].up)
            tick(s, &s->world->nodes[i]);
}

/* tick ID|all [N] */
static void command_tick(struct script *s)
{
    uint64_t count = s->line.count > 2 ? number(word(s, 2)) : 1;
    bool all = strcmp(word(s, 1), "all") == 0;
    for (; count > 0; count--) {
        if (all)
            tick_all(s);
        else
            tick(s, node_of(s, 1));
    }
}

/* run N: N rounds of one tick for everybody and the delivery of everything. */
static void command_run(struct script *s)
{
    for (uint64_t count = number(word(s, 1)); count > 0; count--) {
        tick_all(s);
        settle_all(s, NULL);
    }
}

/* timeout ID: ticks until it asks for votes. */
static void command_timeout(struct script *s)
{
    struct node *node = node_of(s, 1);
    for (uint32_t i = 0; i < 2u * node->config.election_ticks; i++) {
        tick(s, node);
        if (raft_role(node->raft) != RAFT_FOLLOWER)
            return;
    }
    fail("node %llu does not campaign", (ull)node->id);
}

/* lapse ID...: it has lost the link to its leader and expects nothing more of it. */
static void command_lapse(struct script *s)
{
    for (uint32_t i = 1; i < s->line.count; i++) {
        struct node *node = node_of(s, i);
        raft_report(node->raft, raft_leader(node->raft), RAFT_LINK_DOWN);
        done(s, node);
    }
}

/* --- inputs --- */

static void command_campaign(struct script *s)
{
    struct node *node = node_of(s, 1);
    must_be(s, raft_campaign(node->raft));
    done(s, node);
}

/* propose ID [count=N] [size=BYTES] [one_by_one=yes] */
static void command_propose(struct script *s)
{
    struct node *node = node_of(s, 1);
    uint64_t count = value_or(s, "count", 1), size = value_or(s, "size", 8);
    struct bytes *commands = get_memory((count + 1) * sizeof *commands);
    void *data = get_memory(size + 1);
    struct raft_log_id first;
    bool single = value_of(s, "one_by_one") != NULL;
    for (uint64_t i = 0; i < count; i++)
        commands[i] = (struct bytes){data, size};
    for (uint64_t i = 0; i < count; i += single ? 1 : count) {
        enum status status = raft_propose(node->raft, commands, single ? 1 : (uint32_t)count, &first);
        must_be(s, status);
        done(s, node);
    }
    free(commands);
    free(data);
}

/* conf ID add_voter|add_learner|remove|update MEMBER [address=] */
static void command_conf(struct script *s)
{
    static const char *const names[] = {[RAFT_ADD_VOTER] = "add_voter", [RAFT_ADD_LEARNER] = "add_learner",
                                        [RAFT_REMOVE] = "remove", [RAFT_UPDATE] = "update"};
    struct node *node = node_of(s, 1);
    struct raft_conf_change change = {.member.id = number(word(s, 3))};
    struct raft_log_id at;
    for (int i = RAFT_ADD_VOTER; i <= RAFT_UPDATE; i++)
        if (strcmp(word(s, 2), names[i]) == 0)
            change.type = (enum raft_conf_change_type)i;
    if (change.type == 0)
        fail("\"%s\" is not a change", word(s, 2));
    if (value_of(s, "address") != NULL)
        (void)snprintf(change.member.address, sizeof change.member.address, "%s", value_of(s, "address"));
    must_be(s, raft_propose_conf(node->raft, &change, &at));
    done(s, node);
}

/* read ID CTX */
static void command_read(struct script *s)
{
    struct node *node = node_of(s, 1);
    if (node->read_count == READS_MAX)
        fail("too many reads");
    struct read_seen *read = &node->reads[node->read_count];
    *read = (struct read_seen){.ctx = number(word(s, 2)), .at_least = s->world->committed};
    enum status status = raft_read_index(node->raft, read->ctx);
    must_be(s, status);
    node->read_count += status == STATUS_OK;
    done(s, node);
}

/* transfer ID TO (0: the best) */
static void command_transfer(struct script *s)
{
    struct node *node = node_of(s, 1);
    must_be(s, raft_transfer(node->raft, number(word(s, 2))));
    done(s, node);
}

/* report ID PEER unreachable|link_down|snapshot_failed */
static void command_report(struct script *s)
{
    struct node *node = node_of(s, 1);
    const char *text = word(s, 3);
    enum raft_report report = RAFT_UNREACHABLE;
    if (strcmp(text, "link_down") == 0)
        report = RAFT_LINK_DOWN;
    else if (strcmp(text, "snapshot_failed") == 0)
        report = RAFT_SNAPSHOT_FAILED;
    else if (strcmp(text, "unreachable") != 0)
        fail("\"%s\" is not a report", text);
    raft_report(node->raft, number(word(s, 2)), report);
    done(s, node);
}

/* compact ID UPTO [keep=N] */
static void command_compact(struct script *s)
{
    struct node *node = node_of(s, 1);
    uint64_t upto = raft_compact(node->raft, number(word(s, 2)), value_or(s, "keep", 1000));
    disk_compact(&node->disk, upto);
    done(s, node);
}

/* snapshot ID [size=BYTES]: one of what it has applied. */
static void command_snapshot(struct script *s)
{
    struct node *node = node_of(s, 1);
    struct raft_snapshot_meta meta = world_snapshot_meta(node, value_or(s, "at", node->disk.applied),
                                                         value_or(s, "size", s->world->snapshot_bytes));
    raft_snapshot_taken(node->raft, &meta);
    done(s, node);
}

/* --- disks --- */

static void command_hold(struct script *s)
{
    for (uint32_t i = 1; i < s->line.count; i++)
        node_of(s, i)->held = true;
}

/* release ID [N]: the oldest N writes become durable; without N all do, and the disk works again. */
static void command_release(struct script *s)
{
    struct node *node = node_of(s, 1);
    if (s->line.count > 2) {
        uint64_t count = number(word(s, 2));
        if (count > node->batch_count)
            fail("node %llu has %u writes under way", (ull)node->id, node->batch_count);
        world_persist(s->world, node, (uint32_t)count);
        return;
    }
    node->held = false;
    world_persist(s->world, node, UINT32_MAX);
}

static void command_hold_applies(struct script *s)
{
    node_of(s, 1)->applies_held = true;
}

static void command_apply(struct script *s)
{
    world_apply(s->world, node_of(s, 1));
}

/* manual ID: its actions wait for `take`; auto ID: back again. */
static void command_manual(struct script *s)
{
    node_of(s, 1)->manual = true;
}

static void command_take(struct script *s)
{
    world_take(s->world, node_of(s, 1));
    world_check(s->world);
}

static void command_auto(struct script *s)
{
    node_of(s, 1)->manual = false;
    command_take(s);
}

static void command_hold_stores(struct script *s)
{
    node_of(s, 1)->stores_held = true;
}

static void command_store(struct script *s)
{
    world_store(s->world, node_of(s, 1));
}

/* fail_fetches ID yes|no: entries that are not in memory cannot be read. */
static void command_fail_fetches(struct script *s)
{
    bool yes = strcmp(word(s, 2), "yes") == 0;
    if (!yes && strcmp(word(s, 2), "no") != 0)
        fail("\"%s\" is neither yes nor no", word(s, 2));
    node_of(s, 1)->fetches_fail = yes;
}

static void command_damage_snapshot(struct script *s)
{
    node_of(s, 1)->bad_digest = true;
}

/* --- the table --- */

static const struct {
    const char *name;
    void (*run)(struct script *s);
} commands[] = {
    {"set", command_set}, {"cluster", command_cluster}, {"node", command_node}, {"crash", command_crash},
    {"restart", command_restart}, {"tick", command_tick}, {"run", command_run}, {"timeout", command_timeout},
    {"lapse", command_lapse}, {"campaign", command_campaign}, {"propose", command_propose}, {"conf", command_conf},
    {"read", command_read}, {"transfer", command_transfer}, {"report", command_report}, {"compact", command_compact},
    {"snapshot", command_snapshot}, {"hold", command_hold}, {"release", command_release},
    {"hold_applies", command_hold_applies}, {"apply", command_apply}, {"manual", command_manual}, {"take", command_take},
    {"auto", command_auto}, {"hold_stores", command_hold_stores}, {"store", command_store}, {"fail_fetches", command_fail_fetches},
    {"damage_snapshot", command_damage_snapshot}, {"deliver", command_deliver}, {"drop", command_drop},
    {"repeat", command_repeat}, {"settle", command_settle}, {"cut", command_cut}, {"isolate", command_isolate},
    {"heal", command_heal}, {"inject", command_inject}, {"expect", expect_state}, {"progress", expect_progress},
    {"answer", expect_answer}, {"messages", expect_messages}, {"message", expect_message},
};

void run_line(struct script *s)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(s->line.words[0], commands[i].name) == 0) {
            words_begin();
            commands[i].run(s);
            words_end(s);
            return;
        }
    fail("there is no command \"%s\"", s->line.words[0]);
}
