/* What peers answer to their leader. */
#include "raft/internal.h"

void raft_peer_answered(struct raft_progress *p)
{
    p->active = true;
    p->fetch_failed = false;
    p->silent_ticks = 0;
}

/* The peer's log ends or differs before `m->match`: go back to where the terms can agree. */
static void refused(struct raft *r, struct raft_progress *p, const struct raft_message *m)
{
    uint64_t next_probe = m->hint.term > 0 ? raft_log_find_conflict(&r->log, m->hint).index : m->hint.index;
    if (m->lost && m->match <= p->match) {
        raft_progress_forget(p, next_probe);
        return;
    }
    if (MUTANT(29) && next_probe < p->match)
        p->match = next_probe;
    if (p->state == RAFT_SEND_SNAPSHOT || !raft_progress_reject(p, m->match, next_probe))
        return;
    if (p->state == RAFT_REPLICATE)
        raft_progress_become_probe(p);
}

static void accepted(struct raft *r, struct raft_progress *p, const struct raft_message *m)
{
    bool news = raft_progress_accept(p, m->match);
    if (!news && !(p->state == RAFT_PROBE && m->match == p->match))
        return; /* a probe that brings nothing new still says where the logs agree */
    if (p->fetched_count > 0 && p->fetched[p->fetched_count - 1].id.index <= p->match)
        raft_progress_drop_fetched(p, &r->memory);
    if (p->state == RAFT_PROBE)
        raft_progress_become_replicate(p);
    else if (p->state == RAFT_SEND_SNAPSHOT && p->match >= r->log.base.index && !MUTANT(49))
        raft_progress_become_replicate(p); /* whatever snapshot it has, it connects to our log */
    else if (p->state == RAFT_REPLICATE)
        raft_progress_free_to(p, p->match);
    if (p->state == RAFT_REPLICATE)
        p->paused = raft_progress_window_full(p, r->config.max_inflight_bytes);
    raft_advance_commit(r);
    if (r->role == RAFT_LEADER)
        raft_transfer_step(r);
}

void raft_recv_append_response(struct raft *r, const struct raft_message *m)
{
    struct raft_progress *p = raft_progress_of(r, m->from);
    if (p == NULL)
        return;
    raft_peer_answered(p);
    if (m->match > r->log.last.index)
        return; /* nobody can have more of this term than its leader: a damaged or forged message */
    if (m->reject)
        refused(r, p, m);
    else
        accepted(r, p, m);
}

void raft_recv_heartbeat_response(struct raft *r, const struct raft_message *m)
{
    struct raft_progress *p = raft_progress_of(r, m->from);
    if (p == NULL)
        return;
    raft_peer_answered(p);
    if (m->read_seq > p->read_seq && m->read_seq <= r->read_seq)
        p->read_seq = m->read_seq;
    raft_reads_confirm(r);
    if (MUTANT(32))
        return;
    /* Everything in flight may be lost: one message without entries finds out, also through a full window. */
    if (m->lost || p->state == RAFT_PROBE || (p->state == RAFT_REPLICATE && p->match < r->log.last.index))
        p->send_empty = true;
}
