/* What leaves the core: messages, each once what it promises is durable, and everything else that its owner is to do. */
#include "raft/internal.h"

/* --- durability --- */

static bool hard_equal(struct raft_hard_state a, struct raft_hard_state b)
{
    return a.term == b.term && a.vote == b.vote;
}

/* Nothing of a log that is being replaced may be written behind what replaces it. */
static bool entries_pending(const struct raft *r)
{
    return !r->installing && (r->log.truncated_from != 0 || r->log.last.index > r->log.taken);
}

static bool write_pending(const struct raft *r)
{
    struct raft_hard_state hard = {r->term, r->vote};
    return !hard_equal(hard, r->taken_hard) || entries_pending(r);
}

/* When everything decided so far is on disk. */
static uint64_t seq_of_now(const struct raft *r)
{
    return write_pending(r) ? r->next_seq : r->next_seq - 1;
}

static bool term_durable(const struct raft *r)
{
    return r->durable_hard.term == r->term;
}

static bool vote_durable(const struct raft *r)
{
    return term_durable(r) && r->durable_hard.vote == r->vote;
}

/* What must be durable before a message leaves (docs/internals/raft.md, "Durability"). */
static uint64_t needed_seq(const struct raft *r, const struct raft_message *m)
{
    bool durable = term_durable(r);
    switch ((enum raft_message_type)m->type) {
    case RAFT_PRE_VOTE:
    case RAFT_PRE_VOTE_RESPONSE:
        return 0; /* promises nothing */
    case RAFT_VOTE:
        durable = (vote_durable(r) && r->log.persisted == r->log.last.index) || MUTANT(16);
        break;
    case RAFT_VOTE_RESPONSE:
        durable = m->reject ? durable : vote_durable(r) || MUTANT(35);
        break;
    case RAFT_APPEND_RESPONSE:
        durable = durable && (m->reject || m->match <= r->log.persisted || MUTANT(36));
        break;
    default:
        break;
    }
    return durable ? 0 : seq_of_now(r);
}

enum { ACKNOWLEDGEMENTS_MAX = RAFT_MESSAGES_MAX - 64 }; /* however slow the disk, heartbeats and votes are answered */

/* An acknowledgement that waits for the same write says nothing that the newer one does not say. */
static struct queued_message *superseded(struct raft *r, const struct raft_message *m, uint64_t needs_seq)
{
    for (uint32_t i = r->queue_count; i-- > 0 && m->type == RAFT_APPEND_RESPONSE && !m->reject;) {
        const struct raft_message *queued = &r->queue[i].message;
        if (queued->type == m->type && !queued->reject && queued->to == m->to && queued->term == m->term &&
            queued->match <= m->match && r->queue[i].needs_seq == needs_seq)
            return &r->queue[i];
    }
    return NULL;
}

void raft_send(struct raft *r, struct raft_message m)
{
    m.from = r->config.id;
    uint64_t needs_seq = needed_seq(r, &m);
    struct queued_message *place = superseded(r, &m, needs_seq);
    uint32_t room = m.type == RAFT_APPEND_RESPONSE ? ACKNOWLEDGEMENTS_MAX : RAFT_MESSAGES_MAX;
    if (place == NULL && r->queue_count >= room)
        return; /* as if the network had lost it */
    if (place == NULL)
        place = &r->queue[r->queue_count++];
    *place = (struct queued_message){m, needs_seq};
}

void raft_acknowledge(struct raft *r, uint64_t to, uint64_t match)
{
    raft_send(r, (struct raft_message){.type = RAFT_APPEND_RESPONSE, .to = to, .term = r->term, .match = match});
}

void raft_persisted(struct raft *r, uint64_t seq)
{
    while (r->batch_count > 0 && r->batches[r->batch_head].seq <= seq) {
        const struct unstable_batch *batch = &r->batches[r->batch_head];
        assert(!batch->install);
        if (batch->last_index > r->log.persisted)
            raft_log_persist(&r->log, batch->last_index);
        if (batch->hard_changed)
            r->durable_hard = batch->hard;
        r->durable_seq = batch->seq;
        r->batch_head = (r->batch_head + 1) % RAFT_BATCHES_MAX;
        r->batch_count--;
    }
    if (r->suspect_until > 0 && r->commit >= r->suspect_until && r->log.persisted >= r->suspect_until)
        r->suspect_until = 0;
    raft_vote_durable(r);
    raft_advance_commit(r);
}

/* Entries that were dropped are not made durable by the batch that carried them. The same index of another term is another
 * entry, whose own batch will say so. */
void raft_batches_truncated(struct raft *r, uint64_t from)
{
    for (uint32_t i = 0; i < r->batch_count && !MUTANT(34); i++) {
        struct unstable_batch *batch = &r->batches[(r->batch_head + i) % RAFT_BATCHES_MAX];
        if (batch->last_index >= from)
            batch->last_index = from - 1;
    }
}

void raft_applied(struct raft *r, uint64_t index)
{
    assert(index <= r->apply_given);
    if (index > r->applied)
        r->applied = index;
}

/* --- taking --- */

/* An answer given in an earlier term: its asker is told by the newer one. A question of a campaign that is over: its log may be
 * another by now. */
static bool outdated(const struct raft *r, const struct raft_message *m)
{
    if (m->type == RAFT_VOTE && r->role != RAFT_CANDIDATE)
        return true;
    return m->term < r->term && (m->type == RAFT_APPEND_RESPONSE || m->type == RAFT_VOTE || m->type == RAFT_VOTE_RESPONSE);
}

static void release_messages(struct raft *r)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->queue_count; i++) {
        const struct queued_message *queued = &r->queue[i];
        if (queued->needs_seq > r->durable_seq || r->message_count == RAFT_MESSAGES_MAX) {
            if (kept != i)
                r->queue[kept] = *queued;
            kept++;
        } else if (!outdated(r, &queued->message)) {
            r->messages[r->message_count++] = queued->message;
        }
    }
    r->queue_count = kept;
}

static void give_writes(struct raft *r, struct raft_output *out)
{
    if ((!write_pending(r) && !r->install_ready) || r->batch_count == RAFT_BATCHES_MAX)
        return;
    struct raft_log *log = &r->log;
    struct unstable_batch *batch = &r->batches[(r->batch_head + r->batch_count++) % RAFT_BATCHES_MAX];
    out->seq = r->next_seq++;
    out->hard = (struct raft_hard_state){r->term, r->vote};
    out->hard_changed = !hard_equal(out->hard, r->taken_hard);
    r->taken_hard = out->hard;
    bool install = r->install_ready && !entries_pending(r); /* what was accepted before is written before */
    if (install) {
        out->install = &r->incoming.meta;
        r->install_ready = false;
        r->installing = true;
    } else if (!r->installing) {
        out->truncate_from = log->truncated_from;
        out->append_count = (uint32_t)(log->last.index - log->taken);
        out->append = out->append_count > 0 ? raft_log_entry(log, log->taken + 1) : NULL;
        log->truncated_from = 0;
        log->taken = log->last.index;
    }
    *batch = (struct unstable_batch){.seq = out->seq, .last_index = r->installing ? 0 : log->last.index,
                                     .hard_changed = out->hard_changed, .install = install, .hard = out->hard,
                                     .taken_at = r->ticks};
}

static void give_applies(struct raft *r, struct raft_output *out)
{
    /* The state never runs ahead of the durable log, here as everywhere. */
    uint64_t upto = r->commit < r->log.persisted ? r->commit : r->log.persisted;
    if (upto <= r->apply_given || r->installing)
        return;
    out->apply_first = r->apply_given + 1;
    out->apply_last = r->apply_given = upto;
}

void raft_take(struct raft *r, struct raft_output *ret)
{
    struct raft_output out = {.role = r->role, .term = r->term, .leader = r->leader, .role_changed = r->role_changed};
    uint64_t evictable = r->role == RAFT_LEADER ? r->commit : r->log.persisted;
    uint64_t kept_bytes = raft_active_conf(r)->count > 1 ? r->config.cache_bytes : 0; /* alone there is nobody to send them to */
    r->role_changed = false;
    r->message_count = 0;
    raft_log_evict(&r->log, kept_bytes, evictable);
    if (r->role == RAFT_LEADER)
        raft_send_entries(r);
    release_messages(r);
    give_writes(r, &out);
    give_applies(r, &out);
    out.messages = r->messages;
    out.message_count = r->message_count;
    out.reads = r->read_answers;
    out.read_count = r->read_answer_count;
    r->read_answer_count = 0;
    out.fetches = r->fetches;
    out.fetch_count = raft_want_entries(r);
    out.chunks_wanted = r->chunks_wanted;
    out.chunk_wanted_count = raft_want_chunks(r);
    out.chunk = r->chunk_ready ? &r->chunk : NULL;
    r->chunk_ready = false;
    out.snapshot_wanted = r->snapshot_wanted;
    r->snapshot_wanted = false;
    *ret = out;
}
