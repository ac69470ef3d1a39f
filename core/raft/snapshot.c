/* How far the log may be cut, and a state sent in its stead as a file, in chunks that can be resumed (Raft 7). The owner reads and
 * writes the files; here it is decided what goes where and when it is taken over. */
#include "raft/internal.h"

static bool same(const struct raft_snapshot_meta *a, const struct raft_snapshot_meta *b)
{
    return a->last.index == b->last.index && a->last.term == b->last.term && a->size == b->size &&
           memcmp(a->digest, b->digest, sizeof a->digest) == 0;
}

/* --- compaction --- */

uint64_t raft_compact(struct raft *r, uint64_t upto, uint64_t keep_max)
{
    uint64_t least = upto < r->applied ? upto : r->applied;
    for (uint32_t i = 0, places = raft_peer_places(r); i < places; i++) {
        const struct raft_progress *p = &r->progress[i];
        if (p->id == 0 || p->silent_ticks >= r->config.election_ticks)
            continue;
        /* A snapshot on its way pins the log behind it, or a slow transfer would begin anew for ever. */
        bool sending = p->state == RAFT_SEND_SNAPSHOT;
        uint64_t needs = sending ? p->snapshot.index : p->match;
        if (needs < least && (sending || r->log.last.index - needs <= keep_max))
            least = needs;
    }
    raft_log_compact(&r->log, least);
    return r->log.base.index;
}

/* --- leader --- */

enum {
    SNAPSHOT_FAILURES_MAX = 3, /* of one transfer */
    CHUNK_WAIT_MAX = 8,        /* election timeouts */
};

static bool in_use(const struct raft *r)
{
    for (uint32_t i = 0, places = raft_peer_places(r); i < places; i++)
        if (r->progress[i].id != 0 && r->progress[i].state == RAFT_SEND_SNAPSHOT)
            return true;
    return false;
}

void raft_snapshot_taken(struct raft *r, const struct raft_snapshot_meta *snapshot)
{
    assert(snapshot->last.index <= r->applied);
    if (snapshot->last.index > r->snapshot.last.index && !in_use(r))
        r->snapshot = *snapshot;
}

const struct raft_snapshot_meta *raft_snapshot(const struct raft *r)
{
    return r->snapshot.last.index > 0 ? &r->snapshot : NULL;
}

void raft_begin_snapshot(struct raft *r, struct raft_progress *p)
{
    if (p->silent_ticks >= r->config.election_ticks)
        return; /* nobody is there to take it */
    if (r->snapshot.last.index > 0 && r->snapshot.last.index >= r->log.base.index)
        raft_progress_become_snapshot(p, r->snapshot.last, r->snapshot.size);
    else
        r->snapshot_wanted = true;
}

uint32_t raft_want_chunks(struct raft *r)
{
    uint32_t count = 0;
    for (uint32_t i = 0, places = raft_peer_places(r); i < places; i++) {
        struct raft_progress *p = &r->progress[i];
        if (p->id == 0 || p->state != RAFT_SEND_SNAPSHOT || !p->chunk_wanted || p->chunk_sent)
            continue;
        p->chunk_wanted = false;
        p->chunk_sent = true;
        p->chunk_ticks = 0;
        r->chunks_wanted[count++] = (struct raft_chunk_wanted){p->id, &r->snapshot, p->snapshot_offset, ++r->chunk_asked};
    }
    return count;
}

void raft_recv_snapshot_response(struct raft *r, const struct raft_message *m)
{
    struct raft_progress *p = raft_progress_of(r, m->from);
    if (p == NULL)
        return;
    raft_peer_answered(p);
    if (p->state != RAFT_SEND_SNAPSHOT || m->log.index != p->snapshot.index || m->log.term != p->snapshot.term ||
        m->offset > p->snapshot_size)
        return;
    /* An answer counts once, and makes those to earlier chunks void: or else each copy that the network makes of one would go on
     * being answered and asked for again, and be copied in its turn. */
    if ((m->ctx <= p->chunk_answered && !MUTANT(51)) || m->ctx > r->chunk_asked)
        return;
    p->chunk_answered = r->chunk_asked;
    bool anew = m->offset == 0 && (p->snapshot_offset > 0 || p->chunk_sent);
    p->snapshot_offset = m->offset;
    p->chunk_sent = false;
    p->chunk_ticks = p->chunk_wait = 0;
    if (anew)
        raft_chunk_failed(r, p);
    else
        p->chunk_wanted = m->offset < p->snapshot_size;
}

/* A file that cannot be read, or that nobody can install, is given up for all: another one is wanted. */
static void give_up_snapshot(struct raft *r)
{
    for (uint32_t i = 0, places = raft_peer_places(r); i < places; i++)
        if (r->progress[i].id != 0 && r->progress[i].state == RAFT_SEND_SNAPSHOT)
            raft_progress_become_probe(&r->progress[i]);
    r->snapshot = (struct raft_snapshot_meta){0};
}

void raft_chunk_failed(struct raft *r, struct raft_progress *p)
{
    p->chunk_sent = p->chunk_wanted = false; /* after a while */
    if (++p->snapshot_failures == SNAPSHOT_FAILURES_MAX && !MUTANT(55))
        give_up_snapshot(r);
}

/* A chunk or its answer was lost, or the installing takes its time: ask again, at longer and longer intervals, so that copies do
 * not queue up where the link or the disk is slow, and not while nobody is there. */
void raft_snapshot_tick(struct raft *r, struct raft_progress *p)
{
    if (p->state != RAFT_SEND_SNAPSHOT)
        return;
    if (p->snapshot.index < r->log.base.index) {
        raft_progress_become_probe(p); /* it would not connect any more */
        return;
    }
    if (p->chunk_wanted)
        return;
    uint32_t wait = p->chunk_wait > 0 ? p->chunk_wait : r->config.election_ticks;
    if (++p->chunk_ticks < wait || p->silent_ticks >= r->config.election_ticks)
        return;
    p->chunk_wait = wait < CHUNK_WAIT_MAX * r->config.election_ticks ? 2 * wait : wait;
    p->chunk_sent = false;
    p->chunk_wanted = true;
}

/* --- follower --- */

static void say_next(struct raft *r)
{
    raft_send(r, (struct raft_message){.type = RAFT_SNAPSHOT_RESPONSE, .to = r->incoming.from, .term = r->term,
                                       .log = r->incoming.meta.last, .offset = r->incoming.next, .ctx = r->incoming.ctx});
}

/* Nothing to install: it is committed here, or the log has it and only the commit index was behind. */
static bool needless(struct raft *r, const struct raft_snapshot_meta *snapshot)
{
    if (snapshot->last.index <= r->commit)
        return true;
    if (!raft_log_matches(&r->log, snapshot->last))
        return false;
    raft_commit_to(r, snapshot->last.index);
    return true;
}

static bool keep_chunk(struct raft *r, const struct raft_message *m)
{
    raft_memory_release(&r->memory, r->chunk_data);
    r->chunk_data = m->chunk.size > 0 ? raft_memory_get(&r->memory, m->chunk.size) : NULL;
    if (m->chunk.size > 0 && r->chunk_data == NULL)
        return false;
    if (m->chunk.size > 0)
        memcpy(r->chunk_data, m->chunk.data, m->chunk.size);
    r->chunk = (struct raft_chunk){.from = m->from, .snapshot = &r->incoming.meta, .offset = m->offset,
                                   .data = {r->chunk_data, m->chunk.size}};
    return true;
}

void raft_recv_snapshot(struct raft *r, const struct raft_message *m)
{
    raft_heard_leader(r, m->from);
    if (r->installing || r->install_ready || r->incoming.storing)
        return; /* one thing at a time; it will be sent again */
    if (needless(r, m->snapshot)) {
        raft_acknowledge(r, m->from, r->commit);
        return;
    }
    if (r->incoming.meta.last.index == 0 || !same(&r->incoming.meta, m->snapshot)) {
        r->incoming.meta = *m->snapshot;
        r->incoming.next = 0;
    }
    r->incoming.from = m->from;
    r->incoming.ctx = m->ctx;
    if (m->offset != r->incoming.next) {
        say_next(r); /* resumes where the partial file ends, also under another leader */
        return;
    }
    if (!keep_chunk(r, m))
        return;
    r->incoming.storing = r->chunk_ready = true;
}

void raft_stored(struct raft *r, const struct raft_snapshot_meta *snapshot, uint64_t next, bool ok)
{
    if (r->incoming.meta.last.index == 0) /* a partial file found at start */
        r->incoming.meta = *snapshot;
    if (!same(&r->incoming.meta, snapshot) || r->installing || r->install_ready)
        return;
    r->incoming.storing = false;
    r->incoming.next = ok ? next : 0;
    if (r->incoming.from == 0)
        return;
    if (!ok || next < snapshot->size) {
        say_next(r);
        return;
    }
    if (needless(r, &r->incoming.meta))
        raft_acknowledge(r, r->incoming.from, r->commit);
    else
        r->install_ready = true;
}

void raft_installed(struct raft *r, bool ok)
{
    assert(r->installing);
    r->installing = false;
    struct unstable_batch batch = r->batches[r->batch_head];
    assert(batch.install); /* whatever was handed out before is durable by now */
    r->batch_head = (r->batch_head + 1) % RAFT_BATCHES_MAX;
    r->batch_count--;
    if (!ok) {
        if (batch.hard_changed)
            r->taken_hard = r->durable_hard; /* to be written again, with the next batch */
        else
            r->durable_seq = batch.seq;
        r->incoming.next = 0;
        say_next(r);
        return;
    }
    if (batch.hard_changed)
        r->durable_hard = batch.hard;
    r->durable_seq = batch.seq;
    struct raft_log_id last = r->incoming.meta.last;
    raft_log_reset(&r->log, last, r->incoming.meta.hash);
    raft_confs_reset(r, r->incoming.meta.conf_index, &r->incoming.meta.conf);
    r->commit = r->applied = r->apply_given = last.index;
    if (r->suspect_until <= last.index)
        r->suspect_until = 0;
    raft_acknowledge(r, r->incoming.from, last.index);
    r->incoming = (struct incoming_snapshot){0};
}
