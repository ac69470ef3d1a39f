#include "world.h"

#include <stdlib.h>
#include <string.h>

enum { DRAIN_MAX = 2000 };

typedef unsigned long long ull;

void *get_memory(size_t size)
{
    void *memory = calloc(1, size);
    if (memory == NULL)
        abort();
    return memory;
}

struct node *world_node(struct world *w, uint64_t id)
{
    if (id == 0 || id >= NODES_MAX || !w->nodes[id].exists)
        fail("there is no node %llu", (ull)id);
    return &w->nodes[id];
}

/* --- the pool --- */

static void packet_free(struct packet *packet)
{
    if (packet->message.entries != NULL)
        entries_free((struct raft_entry *)(uintptr_t)packet->message.entries, packet->message.entry_count);
    free((void *)(uintptr_t)packet->message.snapshot);
    free((void *)(uintptr_t)packet->message.chunk.data);
    free(packet);
}

static bool is_cut(const struct world *w, const struct raft_message *m)
{
    return m->from < NODES_MAX && m->to < NODES_MAX && w->cut[m->from][m->to];
}

void world_send(struct world *w, const struct raft_message *m)
{
    if (is_cut(w, m))
        return;
    struct packet *packet = get_memory(sizeof *packet);
    packet->message = *m;
    if (m->entries != NULL)
        packet->message.entries = entries_copy(m->entries, m->entry_count);
    if (m->snapshot != NULL) {
        struct raft_snapshot_meta *meta = get_memory(sizeof *meta);
        *meta = *m->snapshot;
        packet->message.snapshot = meta;
    }
    if (m->chunk.size > 0) {
        void *data = get_memory(m->chunk.size);
        memcpy(data, m->chunk.data, m->chunk.size);
        packet->message.chunk.data = data;
    } else {
        packet->message.chunk.data = NULL;
    }
    if (w->packet_count == w->packet_capacity) {
        w->packet_capacity = w->packet_capacity * 2 + 64;
        w->packets = realloc(w->packets, w->packet_capacity * sizeof w->packets[0]);
        if (w->packets == NULL)
            abort();
    }
    w->packets[w->packet_count++] = packet;
}

static struct packet *take_packet(struct world *w, uint32_t position)
{
    struct packet *packet = w->packets[position];
    w->packet_count--;
    memmove(&w->packets[position], &w->packets[position + 1], (w->packet_count - position) * sizeof w->packets[0]);
    return packet;
}

void world_remove_packet(struct world *w, uint32_t position)
{
    packet_free(take_packet(w, position));
}

enum status world_step(struct world *w, struct node *node, const struct raft_message *m)
{
    bool diverged;
    enum status status = raft_step(node->raft, m, &diverged);
    world_drain(w, node);
    world_check(w);
    return diverged ? STATUS_INTERNAL : status;
}

enum status world_deliver(struct world *w, uint32_t position)
{
    struct packet *packet = take_packet(w, position);
    uint64_t to = packet->message.to;
    enum status status = STATUS_OK;
    if (to < NODES_MAX && w->nodes[to].up && !is_cut(w, &packet->message))
        status = world_step(w, &w->nodes[to], &packet->message);
    packet_free(packet);
    return status;
}

/* --- promises --- */

/* docs/internals/raft.md, "Durability": what must be on disk before a message leaves. */
static void check_promise(const struct node *node, const struct raft_message *m)
{
    const struct disk *disk = &node->disk;
    if (m->type == RAFT_PRE_VOTE || m->type == RAFT_PRE_VOTE_RESPONSE)
        return;
    if (disk->hard.term < m->term)
        fail("node %llu sends a message of type %u in term %llu, and has term %llu on disk", (ull)node->id, m->type, (ull)m->term,
             (ull)disk->hard.term);
    if (m->type == RAFT_VOTE && m->term == disk->hard.term &&
        (disk->hard.vote != node->id || disk_last(disk) < m->log.index || disk_term(disk, m->log.index) != m->log.term))
        fail("node %llu asks for votes with what is not on its disk", (ull)node->id);
    if (m->type == RAFT_VOTE_RESPONSE && !m->reject && (disk->hard.term != m->term || disk->hard.vote != m->to))
        fail("node %llu grants a vote that is not on its disk", (ull)node->id);
    if (m->type == RAFT_APPEND_RESPONSE && !m->reject && m->match > disk_last(disk))
        fail("node %llu acknowledges entry %llu, and has %llu on disk", (ull)node->id, (ull)m->match, (ull)disk_last(disk));
}

static bool half_has(const struct world *w, const struct raft_conf *conf, uint8_t half, uint64_t index, uint64_t term)
{
    uint32_t members = 0, have = 0;
    for (uint32_t i = 0; i < conf->count; i++) {
        if ((conf->members[i].role & half) == 0)
            continue;
        members++;
        uint64_t id = conf->members[i].id;
        bool known = id < NODES_MAX && w->nodes[id].exists;
        const struct disk *disk = known ? &w->nodes[id].disk : NULL;
        /* What damage took from it after it had acknowledged it counts: it does not vote before it has it again. */
        have += !known || w->nodes[id].suspect_until >= index || disk->base.index >= index || disk_term(disk, index) == term;
    }
    return members == 0 || have > members / 2;
}

/* A leader commits what a majority has on disk, and that alone. */
static void check_commit_of_leader(const struct world *w, const struct raft_status *s)
{
    uint64_t term = raft_term_at(w->nodes[s->id].raft, s->commit);
    if (!half_has(w, s->conf, RAFT_VOTER, s->commit, term) || !half_has(w, s->conf, RAFT_OUTGOING, s->commit, term))
        fail("leader %llu commits entry %llu, which is not on the disks of a majority", (ull)s->id, (ull)s->commit);
}

static void check_committed(struct world *w, struct node *node, uint64_t commit)
{
    for (uint64_t i = node->commit + 1; i <= commit && i < INDEX_MAX; i++) {
        uint64_t term = raft_term_at(node->raft, i);
        if (term == 0)
            continue;
        if (w->entries[i].term == 0)
            w->entries[i].term = term;
        if (w->entries[i].term != term)
            fail("node %llu commits entry %llu of term %llu; it was committed with term %llu", (ull)node->id, (ull)i, (ull)term,
                 (ull)w->entries[i].term);
    }
    node->commit = commit;
    if (commit > w->committed)
        w->committed = commit;
}

/* Raft, figure 3: Election Safety, and Leader Completeness when one begins. */
static void check_leader(struct world *w, const struct node *node, const struct raft_status *s)
{
    for (uint32_t i = 0; i < w->leader_count; i++) {
        if (w->leaders[i].term != s->term)
            continue;
        if (w->leaders[i].id != node->id)
            fail("nodes %llu and %llu both lead in term %llu", (ull)w->leaders[i].id, (ull)node->id, (ull)s->term);
        return;
    }
    w->leaders[w->leader_count].term = s->term;
    w->leaders[w->leader_count++].id = node->id;
    for (uint64_t i = 1; i <= w->committed && i < INDEX_MAX; i++)
        if (i > s->base.index && w->entries[i].term != 0 && raft_term_at(node->raft, i) != w->entries[i].term)
            fail("leader %llu of term %llu lacks committed entry %llu", (ull)node->id, (ull)s->term, (ull)i);
}

void world_check(struct world *w)
{
    for (uint32_t i = 1; i < NODES_MAX; i++) {
        struct node *node = &w->nodes[i];
        const char *why;
        struct raft_status s;
        if (!node->up)
            continue;
        if (!raft_check(node->raft, &why))
            fail("node %u: broken invariant: %s", i, why);
        raft_status(node->raft, &s);
        if (s.commit < node->commit)
            fail("node %u: the commit index falls from %llu to %llu", i, (ull)node->commit, (ull)s.commit);
        bool news = s.commit > node->commit;
        if (!s.suspect)
            node->suspect_until = 0;
        check_committed(w, node, s.commit);
        if (s.role == RAFT_LEADER)
            check_leader(w, node, &s);
        if (s.role == RAFT_LEADER && news)
            check_commit_of_leader(w, &s);
        if (s.persisted > disk_last(&node->disk))
            fail("node %u believes entry %llu durable, and has %llu on disk", i, (ull)s.persisted, (ull)disk_last(&node->disk));
    }
}

/* --- carrying actions out --- */

static void queue_write(struct node *node, const struct raft_output *out)
{
    struct disk_batch *batch = get_memory(sizeof *batch);
    *batch = (struct disk_batch){.seq = out->seq, .hard_changed = out->hard_changed, .hard = out->hard,
                                 .truncate_from = out->truncate_from, .install = out->install != NULL,
                                 .entries = entries_copy(out->append, out->append_count), .count = out->append_count};
    if (out->install != NULL)
        batch->snapshot = *out->install;
    node->batches[node->batch_count++] = batch;
}

static bool persist_one(struct node *node)
{
    if (node->batch_count == 0)
        return false;
    struct disk_batch *batch = node->batches[0];
    memmove(&node->batches[0], &node->batches[1], --node->batch_count * sizeof node->batches[0]);
    bool ok = !batch->install || !node->bad_digest;
    if (ok)
        disk_write(&node->disk, batch);
    if (batch->install)
        raft_installed(node->raft, ok);
    else
        raft_persisted(node->raft, batch->seq);
    if (batch->install)
        node->bad_digest = false;
    if (batch->install && ok && node->commit < node->disk.applied)
        node->commit = node->disk.applied;
    batch_free(batch);
    return true;
}

void world_persist(struct world *w, struct node *node, uint32_t batches)
{
    while (batches-- > 0 && persist_one(node))
        world_drain(w, node);
    world_check(w);
}

static void apply(struct world *w, struct node *node, uint64_t first, uint64_t last)
{
    for (uint64_t i = first; i <= last; i++) {
        const struct raft_entry *entry = disk_entry(&node->disk, i);
        if (entry == NULL)
            fail("node %llu applies entry %llu, which is not on its disk", (ull)node->id, (ull)i);
        if (i >= INDEX_MAX)
            continue;
        if (w->entries[i].hash == 0)
            w->entries[i].hash = entry->hash;
        if (w->entries[i].hash != entry->hash)
            fail("node %llu applies another entry %llu than the others", (ull)node->id, (ull)i);
    }
    if (last > node->disk.applied)
        node->disk.applied = last;
}

static uint8_t snapshot_byte(uint64_t index, uint64_t offset)
{
    return (uint8_t)(index * 31 + offset * 7);
}

struct raft_snapshot_meta world_snapshot_meta(const struct node *node, uint64_t index, uint64_t size)
{
    struct raft_snapshot_meta meta = {.last = {index, disk_term(&node->disk, index)}, .hash = disk_hash(&node->disk, index),
                                      .size = size};
    struct raft_conf conf;
    meta.conf = *disk_conf_at(&node->disk, index, &conf, &meta.conf_index);
    memset(meta.digest, (int)(index & 0xFF), sizeof meta.digest);
    return meta;
}

static void send_chunk(struct world *w, struct node *node, const struct raft_chunk_wanted *wanted)
{
    uint64_t left = wanted->snapshot->size - wanted->offset, size = left < w->chunk_bytes ? left : w->chunk_bytes;
    uint8_t *data = get_memory(size + 1);
    for (uint64_t i = 0; i < size; i++)
        data[i] = snapshot_byte(wanted->snapshot->last.index, wanted->offset + i);
    struct raft_message m = {.type = RAFT_SNAPSHOT, .from = node->id, .to = wanted->peer, .term = raft_term(node->raft),
                             .log = wanted->snapshot->last, .snapshot = wanted->snapshot, .offset = wanted->offset,
                             .ctx = wanted->ctx, .chunk = {data, size}};
    check_promise(node, &m);
    world_send(w, &m);
    free(data);
}

static void store_chunk(struct node *node, const struct raft_chunk *chunk)
{
    struct disk *disk = &node->disk;
    struct raft_snapshot_meta meta = *chunk->snapshot;
    bool same = disk->partial.last.index == meta.last.index && disk->partial.last.term == meta.last.term;
    if (chunk->offset != 0 && (!same || chunk->offset != disk->partial_size))
        fail("node %llu stores a chunk at %llu of a file of %llu bytes", (ull)node->id, (ull)chunk->offset,
             (ull)(same ? disk->partial_size : 0));
    for (size_t i = 0; i < chunk->data.size; i++)
        if (((const uint8_t *)chunk->data.data)[i] != snapshot_byte(meta.last.index, chunk->offset + i))
            fail("node %llu got a chunk with other bytes than were sent", (ull)node->id);
    disk->partial = meta;
    disk->partial_size = chunk->offset + chunk->data.size;
    bool bad = node->bad_digest && disk->partial_size == meta.size;
    if (bad) {
        node->bad_digest = false;
        disk->partial_size = 0;
    }
    raft_stored(node->raft, &meta, bad ? 0 : disk->partial_size, !bad);
}

static void keep_chunk(struct node *node, const struct raft_chunk *chunk)
{
    free((void *)(uintptr_t)node->chunk.data.data);
    void *data = get_memory(chunk->data.size + 1);
    memcpy(data, chunk->data.data, chunk->data.size);
    node->chunk = *chunk;
    node->chunk_of = *chunk->snapshot;
    node->chunk.snapshot = &node->chunk_of;
    node->chunk.data.data = data;
}

void world_store(struct world *w, struct node *node)
{
    struct raft_chunk chunk = node->chunk;
    node->stores_held = false;
    node->chunk = (struct raft_chunk){0};
    if (chunk.snapshot != NULL)
        store_chunk(node, &chunk);
    free((void *)(uintptr_t)chunk.data.data);
    world_drain(w, node);
    world_check(w);
}

static void serve_fetch(struct node *node, struct raft_fetch fetch)
{
    if (node->fetches_fail) {
        raft_fetched(node->raft, fetch.peer, 0, NULL, 0);
        return;
    }
    const struct raft_entry *first = disk_entry(&node->disk, fetch.from);
    uint32_t count = 0;
    uint64_t bytes = 0, available = first != NULL ? disk_last(&node->disk) - fetch.from + 1 : 0;
    while (count < available && (count == 0 || bytes + first[count].size <= fetch.max_bytes))
        bytes += first[count++].size;
    raft_fetched(node->raft, fetch.peer, disk_hash(&node->disk, fetch.from - 1), first, count);
}

static void note_read(struct node *node, const struct raft_read_state *state)
{
    for (uint32_t i = 0; i < node->read_count; i++) {
        struct read_seen *read = &node->reads[i];
        if (read->ctx != state->ctx)
            continue;
        if (read->answered)
            fail("read %llu of node %llu is answered twice", (ull)state->ctx, (ull)node->id);
        if (state->status == STATUS_OK && state->index < read->at_least)
            fail("read %llu of node %llu may see index %llu; %llu was committed when it was asked", (ull)state->ctx, (ull)node->id,
                 (ull)state->index, (ull)read->at_least);
        read->answered = true;
        read->state = *state;
        return;
    }
    fail("node %llu answers read %llu, which nobody asked", (ull)node->id, (ull)state->ctx);
}

static void note_role(struct node *node, const struct raft_output *out)
{
    if (!out->role_changed && (out->role != node->role || out->leader != node->leader))
        fail("node %llu does not say that its role or leader changed", (ull)node->id);
    node->role = out->role;
    node->leader = out->leader;
}

/* One drain; false: there was nothing. */
static bool carry_out(struct world *w, struct node *node)
{
    struct raft_output out;
    raft_take(node->raft, &out);
    bool any = out.seq != 0 || out.message_count > 0 || out.apply_first != 0 || out.read_count > 0 || out.fetch_count > 0 ||
               out.chunk_wanted_count > 0 || out.chunk != NULL;
    if (out.seq != 0)
        queue_write(node, &out);
    for (uint32_t i = 0; i < out.message_count; i++) {
        check_promise(node, &out.messages[i]);
        world_send(w, &out.messages[i]);
    }
    for (uint32_t i = 0; i < out.read_count; i++)
        note_read(node, &out.reads[i]);
    if (out.snapshot_wanted)
        node->snapshot_asked++;
    note_role(node, &out);
    for (uint32_t i = 0; i < out.chunk_wanted_count; i++)
        send_chunk(w, node, &out.chunks_wanted[i]);
    struct raft_fetch fetches[RAFT_MEMBERS_MAX];
    memcpy(fetches, out.fetches, out.fetch_count * sizeof fetches[0]);
    if (out.apply_first != 0)
        apply(w, node, out.apply_first, out.apply_last);
    /* The output ends with the first call into the core. */
    if (out.chunk != NULL && node->stores_held)
        keep_chunk(node, out.chunk);
    else if (out.chunk != NULL)
        store_chunk(node, out.chunk);
    for (uint32_t i = 0; i < out.fetch_count; i++)
        serve_fetch(node, fetches[i]);
    if (out.apply_first != 0 && !node->applies_held)
        raft_applied(node->raft, out.apply_last);
    if (!node->held)
        any |= persist_one(node);
    return any;
}

void world_apply(struct world *w, struct node *node)
{
    node->applies_held = false;
    raft_applied(node->raft, node->disk.applied);
    world_drain(w, node);
}

void world_take(struct world *w, struct node *node)
{
    for (int i = 0; carry_out(w, node); i++)
        if (i == DRAIN_MAX)
            fail("node %llu does not come to rest", (ull)node->id);
}

void world_drain(struct world *w, struct node *node)
{
    if (!node->manual)
        world_take(w, node);
}

/* --- life --- */

struct runs {
    struct raft_term_run *runs;
    uint32_t count;
};

static struct runs runs_of(const struct disk *disk)
{
    struct runs runs = {.runs = get_memory((disk->count + 1) * sizeof(struct raft_term_run))};
    for (uint32_t i = 0; i < disk->count; i++)
        if (runs.count == 0 || runs.runs[runs.count - 1].term != disk->entries[i].id.term)
            runs.runs[runs.count++] = (struct raft_term_run){disk->entries[i].id.term, disk->entries[i].id.index};
    return runs;
}

void world_start(struct world *w, struct node *node, uint64_t suspect_until)
{
    const struct disk *disk = &node->disk;
    struct raft_boot boot = {.hard = disk->hard, .base = disk->base, .applied = disk->applied, .suspect_until = suspect_until,
                             .removed = disk->removed};
    struct raft_entry *confs = get_memory((disk->count + 1) * sizeof *confs);
    struct runs runs = runs_of(disk);
    boot.last = (struct raft_log_id){disk_last(disk), disk_term(disk, disk_last(disk))};
    boot.last_hash = disk_hash(disk, disk_last(disk));
    boot.runs = runs.runs;
    boot.run_count = runs.count;
    struct raft_conf conf;
    boot.conf = *disk_conf_at(disk, disk->applied, &conf, &boot.conf_index);
    for (uint32_t i = 0; i < disk->count; i++)
        if (disk->entries[i].type == RAFT_ENTRY_CONF && disk->entries[i].id.index > disk->applied)
            confs[boot.conf_entry_count++] = disk->entries[i];
    boot.conf_entries = confs;
    node->config.id = node->id;
    node->config.seed = ++w->seeds;
    enum status status = raft_new(&node->config, &boot, &node->raft);
    free(confs);
    free(runs.runs);
    if (status != STATUS_OK)
        fail("node %llu cannot start: %s", (ull)node->id, status_name(status));
    node->up = true;
    node->suspect_until = suspect_until;
    node->commit = disk->applied;
    node->role = RAFT_FOLLOWER;
    node->leader = 0;
    node->read_count = 0;
    if (disk->partial.last.index != 0)
        raft_stored(node->raft, &disk->partial, disk->partial_size, true);
    world_drain(w, node);
    world_check(w);
}

void world_stop(struct world *w, struct node *node)
{
    struct raft_status s;
    (void)w;
    raft_status(node->raft, &s);
    node->disk.removed = s.removed;
    while (node->batch_count > 0)
        batch_free(node->batches[--node->batch_count]);
    raft_free(node->raft);
    node->raft = NULL;
    free((void *)(uintptr_t)node->chunk.data.data);
    node->chunk = (struct raft_chunk){0};
    node->stores_held = node->fetches_fail = false;
    node->up = node->held = node->manual = node->applies_held = false;
}

struct world *world_new(void)
{
    struct world *w = get_memory(sizeof *w);
    w->defaults = (struct raft_config){.election_ticks = 10, .heartbeat_ticks = 1, .max_message_bytes = 1 << 16,
                                       .max_inflight_messages = 64, .max_inflight_bytes = 1 << 20,
                                       .max_uncommitted_bytes = 1 << 20, .max_reads = 16, .cache_bytes = 1 << 20};
    w->chunk_bytes = 1000;
    w->snapshot_bytes = 100;
    return w;
}

void world_free(struct world *w)
{
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        if (w->nodes[i].up)
            world_stop(w, &w->nodes[i]);
        disk_deinit(&w->nodes[i].disk);
    }
    while (w->packet_count > 0)
        world_remove_packet(w, w->packet_count - 1);
    free(w->packets);
    free(w);
}
