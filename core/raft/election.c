/* Elections: PreVote (Thesis 9.6), RequestVote (Raft 5.2, 5.4.1), TimeoutNow (Thesis 3.10). */
#include "raft/internal.h"

#include <string.h>

static bool up_to_date(const struct raft *r, struct raft_log_id candidate)
{
    /* Raft 5.4.1: the later last term wins; with equal terms the longer log. */
    const struct raft_log_id last = r->log.last;
    return candidate.term > last.term || (candidate.term == last.term && candidate.index >= last.index);
}

static void ask_for_votes(struct raft *r, uint8_t type, uint64_t term)
{
    const struct raft_conf *conf = raft_active_conf(r);
    for (uint32_t i = 0; i < conf->count; i++) {
        if (conf->members[i].id == r->config.id || (conf->members[i].role & (RAFT_VOTER | RAFT_OUTGOING)) == 0)
            continue;
        raft_send(r, (struct raft_message){.type = type, .to = conf->members[i].id, .term = term, .log = r->log.last,
                                           .transfer = r->by_transfer});
    }
}

static void vote_of(struct raft *r, uint64_t id, bool granted)
{
    uint32_t place = raft_place(r, id);
    if (place < RAFT_MEMBERS_MAX && r->votes[place] == 0)
        r->votes[place] = granted ? 1 : -1;
}

static void count_votes(struct raft *r)
{
    enum raft_tally tally = raft_quorum_tally(raft_active_conf(r), r->votes);
    if (tally == RAFT_VOTE_LOST)
        raft_become_follower(r, 0);
    else if (tally == RAFT_VOTE_WON && r->role == RAFT_PRE_CANDIDATE)
        raft_start_campaign(r, false, false);
    else if (tally == RAFT_VOTE_WON)
        raft_become_leader(r);
}

void raft_start_campaign(struct raft *r, bool by_transfer, bool pre)
{
    if (!raft_may_campaign(r)) {
        raft_reset_election_timer(r);
        return;
    }
    if (pre) {
        raft_become_pre_candidate(r);
        r->by_transfer = false;
        vote_of(r, r->config.id, true);
        ask_for_votes(r, RAFT_PRE_VOTE, r->term + 1);
        count_votes(r); /* a sole voter has won */
        return;
    }
    raft_become_candidate(r);
    r->by_transfer = by_transfer;
    ask_for_votes(r, RAFT_VOTE, r->term);
    if (MUTANT(27))
        raft_vote_durable(r); /* one's own vote counts before it is durable */
}

/* The vote for oneself counts, as everybody else's, once it is durable. */
void raft_vote_durable(struct raft *r)
{
    bool durable = r->durable_hard.term == r->term && r->durable_hard.vote == r->config.id;
    if (r->role != RAFT_CANDIDATE || (!durable && !MUTANT(27)))
        return;
    vote_of(r, r->config.id, true);
    count_votes(r);
}

/* A leader that is sure of its configuration tells a stranger that it is out. */
static bool told_removed(struct raft *r, const struct raft_message *m)
{
    if (r->role != RAFT_LEADER || r->commit < r->term_start || !raft_conf_committed(r) ||
        raft_place(r, m->from) < RAFT_MEMBERS_MAX)
        return false;
    raft_send(r, (struct raft_message){.type = RAFT_REMOVED, .to = m->from, .term = r->term,
                                       .commit = raft_active_conf_index(r)});
    return true;
}

static void recv_pre_vote(struct raft *r, const struct raft_message *m)
{
    /* The window protects liveness, not safety; a lost link to the leader ends it (raft_report). */
    bool grant = m->term > r->term && up_to_date(r, m->log) && (!raft_within_lease(r) || MUTANT(38)) && r->suspect_until == 0;
    /* A grant carries the term asked for, a refusal our own, which the asker adopts: otherwise mixed terms never settle. */
    raft_send(r, (struct raft_message){.type = RAFT_PRE_VOTE_RESPONSE, .to = m->from, .reject = !grant,
                                       .term = grant ? m->term : MUTANT(23) ? 0 : r->term});
}

static void recv_vote(struct raft *r, const struct raft_message *m)
{
    /* Raft 5.2: one vote a term, first come first served. Our own configuration is not asked: we may lag (Thesis 4.1). */
    bool free_to = r->vote == m->from || (r->vote == 0 && r->leader == 0) || MUTANT(48);
    bool grant = free_to && up_to_date(r, m->log) && r->suspect_until == 0;
    if (grant) {
        raft_set_vote(r, m->from);
        raft_reset_election_timer(r);
    }
    raft_send(r, (struct raft_message){.type = RAFT_VOTE_RESPONSE, .to = m->from, .term = r->term, .reject = !grant});
}

void raft_recv_vote_request(struct raft *r, const struct raft_message *m)
{
    if (told_removed(r, m))
        return;
    if (m->type == RAFT_PRE_VOTE)
        recv_pre_vote(r, m);
    else
        recv_vote(r, m);
}

void raft_recv_vote_response(struct raft *r, const struct raft_message *m)
{
    bool pre = m->type == RAFT_PRE_VOTE_RESPONSE;
    /* Only what answers the question that we are asking now. */
    if (r->role != (pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE))
        return;
    if (pre && !m->reject && m->term != r->term + 1)
        return;
    vote_of(r, m->from, !m->reject);
    count_votes(r);
}

/* Thesis 3.10: the leader is about to go and has seen to it that we have everything; no PreVote, and no lease holds us back. */
void raft_recv_timeout_now(struct raft *r, const struct raft_message *m)
{
    if (r->role == RAFT_FOLLOWER && m->from == r->leader)
        raft_start_campaign(r, true, false);
}

/* The news of a removal can be late: there is a newer configuration, of the same history, that has us. An entry of an older term
 * that is not committed may be another history. */
static bool added_since(const struct raft *r, uint64_t index)
{
    uint64_t ours = raft_active_conf_index(r);
    return ours > index && raft_place(r, r->config.id) < RAFT_MEMBERS_MAX &&
           (ours <= r->commit || raft_log_term(&r->log, ours) == r->term);
}

void raft_recv_removed(struct raft *r, const struct raft_message *m)
{
    /* Also with an older term than ours: whoever was out when it stood for election, and went on to a term of its own, would else
     * never learn it. */
    if (r->role == RAFT_LEADER || added_since(r, m->commit) || (MUTANT(54) && m->term != r->term))
        return;
    r->removed = true;
    raft_become_follower(r, 0);
}
