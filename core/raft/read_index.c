/* Linearizable reads without the log (Thesis 6.4): remember the commit index at arrival, make sure that one is still the leader by
 * a round of heartbeats begun after that, answer when the state has reached the index.
 *
 * A round is named by a counter of this leadership, never by what the asker calls his read, and never used twice: answers to an
 * earlier round, repeated by the network, prove nothing about a later one. */
#include "raft/internal.h"

static void answer(struct raft *r, const struct pending_read *read, uint64_t index, enum status status)
{
    if (read->from != r->config.id) {
        if (status == STATUS_OK)
            raft_send(r, (struct raft_message){.type = RAFT_READ_RESPONSE, .to = read->from, .term = r->term, .commit = index,
                                               .ctx = read->ctx});
        return; /* the asker gives up by himself */
    }
    assert(r->read_answer_count < 2 * r->config.max_reads);
    r->read_answers[r->read_answer_count++] = (struct raft_read_state){read->ctx, index, status};
}

static void remove_read(struct raft *r, uint32_t i)
{
    r->read_count--;
    memmove(&r->reads[i], &r->reads[i + 1], (r->read_count - i) * sizeof r->reads[0]);
}

void raft_reads_fail(struct raft *r, enum status status)
{
    for (uint32_t i = 0; i < r->read_count; i++)
        answer(r, &r->reads[i], 0, status);
    r->read_count = 0;
}

/* The newest round that a quorum has echoed; our own is always the newest. */
static uint64_t echoed(const struct raft *r)
{
    const struct raft_conf *conf = raft_active_conf(r);
    uint64_t seqs[RAFT_MEMBERS_MAX] = {0};
    for (uint32_t i = 0; i < conf->count; i++)
        seqs[i] = conf->members[i].id == r->config.id ? r->read_seq : r->progress[i].read_seq;
    uint64_t seq = raft_quorum_value(conf, seqs);
    return seq < r->read_seq && !MUTANT(44) ? seq : r->read_seq;
}

void raft_reads_confirm(struct raft *r)
{
    if (r->role != RAFT_LEADER || r->read_count == 0)
        return;
    uint64_t seq = echoed(r), index = r->reads[0].index;
    for (uint32_t i = 0; i < r->read_count;) {
        struct pending_read read = r->reads[i];
        if (read.seq == 0 || read.seq > seq) {
            i++;
            continue;
        }
        remove_read(r, i);
        answer(r, &read, MUTANT(5) ? index : read.index, STATUS_OK);
    }
}

static void begin_round(struct raft *r, struct pending_read *read)
{
    read->index = r->commit;
    read->seq = MUTANT(4) && r->read_seq > 0 ? r->read_seq : ++r->read_seq;
    r->beat_wanted = true;
}

/* Before its no-op is committed a leader does not know what is (Raft 8). */
void raft_reads_term_committed(struct raft *r)
{
    for (uint32_t i = 0; i < r->read_count; i++)
        if (r->reads[i].seq == 0)
            begin_round(r, &r->reads[i]);
    raft_reads_confirm(r); /* a sole voter needs nobody */
}

static enum status add(struct raft *r, uint64_t ctx, uint64_t from)
{
    if (r->read_count == r->config.max_reads || r->read_answer_count >= r->config.max_reads)
        return STATUS_OVERLOADED;
    struct pending_read *read = &r->reads[r->read_count++];
    *read = (struct pending_read){.ctx = ctx, .from = from};
    if (r->role != RAFT_LEADER)
        return STATUS_OK;
    if (r->commit >= r->term_start || MUTANT(3)) {
        begin_round(r, read);
        raft_reads_confirm(r);
    }
    return STATUS_OK;
}

enum status raft_read_index(struct raft *r, uint64_t ctx)
{
    if (r->role != RAFT_LEADER && (r->role != RAFT_FOLLOWER || r->leader == 0))
        return STATUS_NO_LEADER;
    enum status status = add(r, ctx, r->config.id);
    if (status != STATUS_OK || r->role == RAFT_LEADER)
        return status;
    /* By a mark of our own: the asker may use his again, also after a restart, and an old answer must not be taken for a new. */
    uint64_t mark = MUTANT(53) ? ctx : random_next(&r->random);
    r->reads[r->read_count - 1].mark = mark;
    raft_send(r, (struct raft_message){.type = RAFT_READ, .to = r->leader, .term = r->term, .ctx = mark});
    return STATUS_OK;
}

void raft_recv_read(struct raft *r, const struct raft_message *m)
{
    if (r->role == RAFT_LEADER)
        (void)add(r, m->ctx, m->from); /* no room: the asker gives up by himself */
}

void raft_recv_read_response(struct raft *r, const struct raft_message *m)
{
    if (r->role != RAFT_FOLLOWER || m->from != r->leader)
        return;
    for (uint32_t i = 0; i < r->read_count; i++)
        if (r->reads[i].mark == m->ctx) {
            struct pending_read read = r->reads[i];
            remove_read(r, i);
            answer(r, &read, m->commit, STATUS_OK);
            return;
        }
}

/* A follower's question or its answer may be lost. */
void raft_reads_tick(struct raft *r)
{
    for (uint32_t i = 0; r->role != RAFT_LEADER && i < r->read_count;) {
        if (++r->reads[i].waited_ticks < 2u * r->config.election_ticks) {
            i++;
            continue;
        }
        struct pending_read read = r->reads[i];
        remove_read(r, i);
        answer(r, &read, 0, STATUS_TIMEOUT);
    }
}
