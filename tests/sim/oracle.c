/* The truth: what exists, who led, what is committed, and what every state must be. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

#include "base/codec.h"

enum { BLOB_BUCKETS = 1 << 14 };

void oracle_reset(struct sim *sim)
{
    struct oracle *o = &sim->oracle;
    *o = (struct oracle){.log = o->log, .capacity = o->capacity, .leaders = o->leaders, .leaders_capacity = o->leaders_capacity,
                         .votes = o->votes, .vote_capacity = o->vote_capacity, .ops = o->ops, .op_capacity = o->op_capacity,
                         .blobs = o->blobs, .blob_mask = BLOB_BUCKETS - 1};
    if (o->blobs == NULL && (o->blobs = calloc(BLOB_BUCKETS, sizeof o->blobs[0])) == NULL)
        abort();
    memset(o->blobs, 0, BLOB_BUCKETS * sizeof o->blobs[0]);
    if (o->leaders != NULL)
        memset(o->leaders, 0, o->leaders_capacity * sizeof o->leaders[0]);
    if (o->votes != NULL)
        memset(o->votes, 0, o->vote_capacity * sizeof o->votes[0]);
}

static void *larger(void *array, uint64_t *capacity, uint64_t count, size_t element)
{
    uint64_t grown = *capacity < 1024 ? 1024 : *capacity;
    if (count <= *capacity)
        return array;
    while (grown < count)
        grown *= 2;
    array = realloc(array, grown * element);
    if (array == NULL)
        abort();
    memset((char *)array + *capacity * element, 0, (grown - *capacity) * element);
    *capacity = grown;
    return array;
}

/* --- entries --- */

static const struct raft_conf *decode(struct sim *sim, const struct raft_entry *entry)
{
    struct raft_conf *conf = sim_alloc(sim, sizeof *conf);
    if (raft_conf_decode((struct bytes){entry->data, entry->size}, conf) != STATUS_OK)
        sim_fail(sim, "configuration entry %llu cannot be read", (unsigned long long)entry->id.index);
    return conf;
}

static struct blob *blob_new(struct sim *sim, const struct raft_entry *entry)
{
    struct blob *blob = sim_alloc(sim, sizeof *blob + entry->size);
    blob->entry = *entry;
    blob->entry.data = entry->size > 0 ? blob + 1 : NULL;
    if (entry->size > 0)
        memcpy(blob + 1, entry->data, entry->size);
    if (entry->type == RAFT_ENTRY_CONF)
        blob->conf = decode(sim, entry);
    else if (entry->type == RAFT_ENTRY_NORMAL && entry->size >= 8 && !sim->options.full)
        blob->op = load_le64(entry->data);
    return blob;
}

static void check_same(struct sim *sim, const struct raft_entry *a, const struct raft_entry *b)
{
    if (a->hash != b->hash || a->size != b->size || a->type != b->type ||
        (a->size > 0 && memcmp(a->data, b->data, a->size) != 0))
        sim_fail(sim, "log matching: two entries %llu/%llu", (unsigned long long)a->id.index, (unsigned long long)a->id.term);
}

struct blob *oracle_blob(struct sim *sim, const struct raft_entry *entry)
{
    uint64_t key = entry->id.index * 31 + entry->id.term * UINT64_C(0x9E3779B97F4A7C15);
    struct blob **bucket = &sim->oracle.blobs[(key ^ key >> 32) & sim->oracle.blob_mask];
    for (struct blob *blob = *bucket; blob != NULL; blob = blob->next)
        if (blob->entry.id.index == entry->id.index && blob->entry.id.term == entry->id.term) {
            check_same(sim, &blob->entry, entry);
            return blob;
        }
    struct blob *blob = blob_new(sim, entry);
    blob->next = *bucket;
    *bucket = blob;
    return blob;
}

/* --- leaders --- */

/* The newest entry that was committed in a term before `term`. */
static uint64_t committed_before(const struct oracle *o, uint64_t term)
{
    uint64_t index = o->commit;
    while (index > 0 && o->log[index - 1].by_term >= term)
        index--;
    return index;
}

/* Election Safety; Leader Completeness, where one entry stands for all before it since hashes run through the log. */
void oracle_leader(struct sim *sim, const struct node *node)
{
    struct oracle *o = &sim->oracle;
    uint64_t term = node->status.term;
    o->leaders = larger(o->leaders, &o->leaders_capacity, term + 1, sizeof o->leaders[0]);
    if (o->leaders[term] == node->id)
        return;
    if (o->leaders[term] != 0)
        sim_fail(sim, "election safety: %s and %s both lead term %llu", node_name(sim, o->leaders[term]),
                 node_name(sim, node->id), (unsigned long long)term);
    o->leaders[term] = node->id;
    if (sim->options.conf_storm && !sim->calm)
        event_push(sim, sim->now + sim_below(sim, 20), EVENT_CONF, node, NULL, 0, 0);
    sim->stats.elections++;
    uint64_t index = committed_before(o, term);
    if (index > node->status.base.index && raft_term_at(node->raft, index) != o->log[index - 1].blob->entry.id.term)
        sim_fail(sim, "leader completeness: %s leads term %llu without entry %llu/%llu that was committed in term %llu",
                 node_name(sim, node->id), (unsigned long long)term, (unsigned long long)index,
                 (unsigned long long)o->log[index - 1].blob->entry.id.term,
                 (unsigned long long)o->log[index - 1].by_term);
}

/* --- votes --- */

static struct vote_record *vote_place(struct oracle *o, uint64_t id, uint64_t term)
{
    uint64_t i = (id ^ term * UINT64_C(0x9E3779B97F4A7C15)) & (o->vote_capacity - 1);
    while (o->votes[i].id != 0 && (o->votes[i].id != id || o->votes[i].term != term))
        i = (i + 1) & (o->vote_capacity - 1);
    return &o->votes[i];
}

static void grow_votes(struct oracle *o)
{
    struct vote_record *before = o->votes;
    uint32_t capacity = o->vote_capacity;
    o->vote_capacity = capacity == 0 ? 1024 : capacity * 2;
    o->votes = calloc(o->vote_capacity, sizeof o->votes[0]);
    if (o->votes == NULL)
        abort();
    for (uint32_t i = 0; i < capacity; i++)
        if (before[i].id != 0)
            *vote_place(o, before[i].id, before[i].term) = before[i];
    free(before);
}

void oracle_vote(struct sim *sim, uint64_t id, uint64_t term, uint64_t vote)
{
    struct oracle *o = &sim->oracle;
    if (2 * (o->vote_count + 1) > o->vote_capacity)
        grow_votes(o);
    struct vote_record *record = vote_place(o, id, term);
    if (record->id == 0) {
        *record = (struct vote_record){id, term, vote};
        o->vote_count++;
    }
    if (record->vote != vote)
        sim_fail(sim, "one vote a term: %s gives that of term %llu to %s, then to %s", node_name(sim, id),
                 (unsigned long long)term, node_name(sim, record->vote), node_name(sim, vote));
}

/* --- commits --- */

/* A voter of that configuration has the entry on its disk, or once had it and knows so. */
static bool holds(struct sim *sim, uint64_t id, const struct raft_entry *entry)
{
    const struct node *node = node_of(sim, id);
    if (node == NULL)
        return true; /* its disk is gone; it had acknowledged, or had not: unknown */
    uint64_t index = entry->id.index;
    if (node->disk.suspect_until >= index || node->disk.log.base.index >= index)
        return true;
    return log_image_term(&node->disk.log, index) == entry->id.term || node->disk.hard.term > entry->id.term;
}

/* Raft 5.3, 5.4.2: a majority of the voters has it durably, and it is of the leader's own term. */
static void check_quorum(struct sim *sim, const struct node *leader, const struct blob *blob)
{
    uint32_t voters = 0, have = 0;
    /* A change that was proposed a moment ago and is not handed out yet is known to the core alone. */
    bool current = leader->status.conf_index <= log_image_last(&leader->shadow).index;
    const struct raft_conf *conf = current ? leader->conf : leader->status.conf;
    for (uint32_t i = 0; i < conf->count; i++)
        if (conf->members[i].role & RAFT_VOTER) {
            voters++;
            have += holds(sim, conf->members[i].id, &blob->entry);
        }
    if (have < voters / 2 + 1)
        sim_fail(sim, "commit: %s commits %llu/%llu that %u of %u voters have durably", node_name(sim, leader->id),
                 (unsigned long long)blob->entry.id.index, (unsigned long long)blob->entry.id.term, have, voters);
    if (blob->entry.id.term != leader->status.term)
        sim_fail(sim, "commit: %s commits entry %llu of term %llu by counting in term %llu", node_name(sim, leader->id),
                 (unsigned long long)blob->entry.id.index, (unsigned long long)blob->entry.id.term,
                 (unsigned long long)leader->status.term);
}

static void commit_op(struct sim *sim, const struct blob *blob)
{
    struct oracle *o = &sim->oracle;
    if (blob->op == 0)
        return;
    if (o->ops[blob->op] != OP_OPEN)
        sim_fail(sim, "outcome: command %llu is committed %s", (unsigned long long)blob->op,
                 o->ops[blob->op] == OP_REFUSED ? "though it was refused" : "twice");
    o->ops[blob->op] = OP_COMMITTED;
}

static void advance(struct sim *sim, struct node *node)
{
    struct oracle *o = &sim->oracle;
    uint64_t commit = node->status.commit;
    if (node->status.role != RAFT_LEADER && node->status.leader != 0)
        sim_fail(sim, "commit: %s, a %s, knows %llu as committed before any leader", node_name(sim, node->id),
                 role_name(node->status.role), (unsigned long long)commit);
    o->log = larger(o->log, &o->capacity, commit, sizeof o->log[0]);
    for (uint64_t index = o->commit + 1; index <= commit; index++) {
        const struct blob *blob = log_image_at(&node->shadow, index);
        if (blob == NULL)
            sim_fail(sim, "commit: %s commits %llu and has no such entry", node_name(sim, node->id), (unsigned long long)index);
        o->log[index - 1] = (struct committed){.blob = blob, .by_term = node->status.term};
        commit_op(sim, blob);
        if (blob->conf != NULL) {
            o->conf = blob->conf;
            o->conf_index = index;
        }
        sim->stats.commits++;
    }
    o->commit = commit;
    if (node->status.role == RAFT_LEADER)
        check_quorum(sim, node, log_image_at(&node->shadow, commit));
}

void oracle_commit(struct sim *sim, struct node *node)
{
    struct oracle *o = &sim->oracle;
    uint64_t commit = node->status.commit;
    bool current = node->status.last_hash == log_image_last_hash(&node->shadow);
    if (commit == 0 || (!current && node->status.role != RAFT_LEADER))
        return; /* not all is handed out yet: looked at later */
    if (commit > o->commit)
        advance(sim, node);
    const struct blob *blob = log_image_at(&node->shadow, commit);
    if (blob != NULL && blob != o->log[commit - 1].blob)
        sim_fail(sim, "state machine safety: %s has %llu/%llu where %llu/%llu is committed", node_name(sim, node->id),
                 (unsigned long long)commit, (unsigned long long)blob->entry.id.term, (unsigned long long)commit,
                 (unsigned long long)o->log[commit - 1].blob->entry.id.term);
}

/* --- states --- */

/* `blob` was just applied; NULL: the whole state came from elsewhere. */
void oracle_apply(struct sim *sim, const struct node *node, const struct blob *blob, const struct machine *machine)
{
    struct oracle *o = &sim->oracle;
    uint64_t index = machine->applied.index;
    if (index == 0)
        return;
    if (index > o->commit)
        sim_fail(sim, "applied <= committed: %s applies %llu", node_name(sim, node->id), (unsigned long long)index);
    struct committed *committed = &o->log[index - 1];
    if (blob != NULL && committed->blob != blob)
        sim_fail(sim, "state machine safety: %s applies %llu/%llu where %llu/%llu is committed", node_name(sim, node->id),
                 (unsigned long long)index, (unsigned long long)blob->entry.id.term, (unsigned long long)index,
                 (unsigned long long)committed->blob->entry.id.term);
    if (committed->state_hash == 0)
        committed->state_hash = machine->hash;
    if (committed->state_hash != machine->hash)
        sim_fail(sim, "equal states: %s differs at %llu", node_name(sim, node->id), (unsigned long long)index);
}

uint64_t oracle_new_op(struct sim *sim)
{
    struct oracle *o = &sim->oracle;
    uint64_t op = ++o->op_count;
    o->ops = larger(o->ops, &o->op_capacity, op + 1, sizeof o->ops[0]);
    o->ops[op] = OP_OPEN;
    return op;
}
