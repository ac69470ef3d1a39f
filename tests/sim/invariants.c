/* What must hold at one node after each of its inputs, and of each message at the moment it leaves. */
#include "sim.h"

#include <string.h>

/* Of a node before its latest step. */
struct position {
    enum raft_role role;
    uint64_t id, term, vote, leader, commit, conf_index;
    struct raft_log_id last;
};

static void check_terms(struct sim *sim, const struct node *node, const struct position *before)
{
    const struct raft_status *now = &node->status;
    if (now->term < before->term)
        sim_fail(sim, "term monotone: %s goes from %llu back to %llu", node_name(sim, node->id),
                 (unsigned long long)before->term, (unsigned long long)now->term);
    if (now->commit < before->commit)
        sim_fail(sim, "commit monotone: %s goes from %llu back to %llu", node_name(sim, node->id),
                 (unsigned long long)before->commit, (unsigned long long)now->commit);
    if (now->term == before->term && before->vote != 0 && now->vote != before->vote)
        sim_fail(sim, "one vote a term: %s changes its mind in term %llu", node_name(sim, node->id),
                 (unsigned long long)now->term);
    if (now->role == RAFT_LEADER && before->role == RAFT_LEADER && now->term == before->term &&
        now->last.index < before->last.index)
        sim_fail(sim, "leader append-only: %s goes from %llu back to %llu", node_name(sim, node->id),
                 (unsigned long long)before->last.index, (unsigned long long)now->last.index);
}

/* The peer has that entry durably, or has moved on to another term, or is not there any more. */
static bool backed(struct sim *sim, const struct node *leader, uint64_t peer, uint64_t match)
{
    const struct node *node = node_of(sim, peer);
    if (node == NULL || match == 0 || node->disk.hard.term > leader->status.term)
        return true;
    if (node->disk.suspect_until >= match || node->disk.log.base.index >= match)
        return true;
    uint64_t term = raft_term_at(leader->raft, match);
    return log_image_term(&node->disk.log, match) != 0 && (term == 0 || log_image_term(&node->disk.log, match) == term);
}

static uint64_t *match_of(struct node *node, uint64_t id)
{
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++)
        if (node->match_ids[i] == id)
            return &node->matches[i];
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++)
        if (node->match_ids[i] == 0) {
            node->match_ids[i] = id;
            node->matches[i] = 0;
            return &node->matches[i];
        }
    memset(node->match_ids, 0, sizeof node->match_ids); /* many came and went */
    return match_of(node, id);
}

/* Who left the configuration may come back with nothing known of it: forgotten as the core forgets it. */
static void forget_gone(struct node *node)
{
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        bool found = node->match_ids[i] == 0;
        for (uint32_t j = 0; j < node->status.peer_count && !found; j++)
            found = node->status.peers[j].id == node->match_ids[i];
        if (!found)
            node->match_ids[i] = 0;
    }
}

static void check_matches(struct sim *sim, struct node *node)
{
    if (node->match_term != node->status.term) {
        memset(node->match_ids, 0, sizeof node->match_ids);
        node->match_term = node->status.term;
    }
    for (uint32_t i = 0; i < node->status.peer_count; i++) {
        const struct raft_peer_status *peer = &node->status.peers[i];
        uint64_t *match = match_of(node, peer->id);
        if (peer->match == *match)
            continue;
        if (peer->match < *match && !disk_was_damaged(sim, peer->id))
            sim_fail(sim, "match monotone: %s's of %s goes from %llu back to %llu", node_name(sim, node->id),
                     node_name(sim, peer->id), (unsigned long long)*match, (unsigned long long)peer->match);
        if (!backed(sim, node, peer->id, peer->match))
            sim_fail(sim, "match <= durable: %s believes that %s has %llu", node_name(sim, node->id),
                     node_name(sim, peer->id), (unsigned long long)peer->match);
        *match = peer->match;
    }
    forget_gone(node);
}

static void check_conf(struct sim *sim, const struct node *node, const struct position *before)
{
    const struct raft_status *now = &node->status;
    if (now->last_hash != log_image_last_hash(&node->shadow))
        return; /* not all is handed out yet */
    if (now->conf_index != node->conf_index)
        sim_fail(sim, "configuration: %s uses that of entry %llu, its log says %llu", node_name(sim, node->id),
                 (unsigned long long)now->conf_index, (unsigned long long)node->conf_index);
    if ((before->conf_index != now->conf_index || before->id == 0) && !raft_conf_equal(now->conf, node->conf))
        sim_fail(sim, "configuration: %s has another than entry %llu says", node_name(sim, node->id),
                 (unsigned long long)node->conf_index);
}

/* Raft 6: whoever is not in the new configuration leads until that is committed, and no longer. */
static void check_membership(struct sim *sim, const struct node *node)
{
    const struct raft_status *now = &node->status;
    if (now->conf_index <= now->commit && !raft_conf_is_voter(now->conf, node->id))
        sim_fail(sim, "leads as a member: %s leads term %llu, the committed configuration of %llu has it not as a voter",
                 node_name(sim, node->id), (unsigned long long)now->term, (unsigned long long)now->conf_index);
}

static void note_removed(struct sim *sim, struct node *node)
{
    if (node->status.removed == node->disk.removed)
        return;
    node->disk.removed = node->status.removed;
    TRACE(sim, node, node->disk.removed ? "learns that it is removed" : "hears a leader again");
}

/* Who is told that it is out, is: in the committed log that the leader knows. That it comes too late is another matter. */
static void check_tells_removed(struct sim *sim, const struct node *leader, uint64_t id)
{
    for (uint64_t i = leader->status.commit; i > 0; i--)
        if (sim->oracle.log[i - 1].blob->conf != NULL) {
            if (raft_conf_find(sim->oracle.log[i - 1].blob->conf, id) != NULL)
                sim_fail(sim, "removed: %s tells %s so, and it is a member", node_name(sim, leader->id), node_name(sim, id));
            return;
        }
}

static void trace_changes(struct sim *sim, const struct node *node, const struct position *before)
{
    const struct raft_status *now = &node->status;
    if (now->role != before->role || now->term != before->term || now->leader != before->leader)
        TRACE(sim, node, "is %s in term %llu, leader %s", role_name(now->role), (unsigned long long)now->term,
              node_name(sim, now->leader));
    if (now->commit != before->commit)
        TRACE(sim, node, "commit %llu, last %llu/%llu", (unsigned long long)now->commit, (unsigned long long)now->last.index,
              (unsigned long long)now->last.term);
}

void check_node(struct sim *sim, struct node *node)
{
    const char *why = NULL;
    struct position before = {.id = node->status.id, .role = node->status.role, .term = node->status.term,
                              .vote = node->status.vote, .commit = node->status.commit, .last = node->status.last,
                              .conf_index = node->status.conf_index, .leader = node->status.leader};
    raft_status(node->raft, &node->status);
    if (sim->trace)
        trace_changes(sim, node, &before);
    if (!raft_check(node->raft, &why))
        sim_fail(sim, "raft_check: %s: %s", node_name(sim, node->id), why);
    check_terms(sim, node, &before);
    if (node->status.role == RAFT_LEADER) {
        oracle_leader(sim, node);
        check_matches(sim, node);
        check_membership(sim, node);
    }
    check_conf(sim, node, &before);
    oracle_commit(sim, node);
    note_removed(sim, node);
    if (node->disk.suspect_until > 0 && !node->status.suspect)
        node->disk.suspect_until = 0;
}

/* --- promises --- */

static void need(struct sim *sim, const struct node *node, const struct raft_message *m, bool durable, const char *what)
{
    if (!durable)
        sim_fail(sim, "durable before it is promised: %s sends %s of term %llu, %s is not on its disk (term %llu, last %llu)",
                 node_name(sim, node->id), message_name(m->type), (unsigned long long)m->term, what,
                 (unsigned long long)node->disk.hard.term, (unsigned long long)log_image_last(&node->disk.log).index);
}

static void check_vote_leaves(struct sim *sim, const struct node *node, const struct raft_message *m, uint64_t vote)
{
    const struct raft_hard_state *hard = &node->disk.hard;
    need(sim, node, m, hard->term > m->term || (hard->term == m->term && hard->vote == vote), "the vote");
    oracle_vote(sim, node->id, m->term, vote);
}

void check_leaves(struct sim *sim, const struct node *node, const struct raft_message *m)
{
    const struct disk *disk = &node->disk;
    bool is_question = m->type == RAFT_PRE_VOTE || m->type == RAFT_PRE_VOTE_RESPONSE;
    if (is_question)
        return; /* promises nothing */
    need(sim, node, m, disk->hard.term >= m->term, "the term");
    if (m->type == RAFT_VOTE) {
        check_vote_leaves(sim, node, m, node->id);
        need(sim, node, m, disk->log.base.index >= m->log.index || log_image_term(&disk->log, m->log.index) == m->log.term,
             "its log");
    } else if (m->type == RAFT_VOTE_RESPONSE && !m->reject) {
        check_vote_leaves(sim, node, m, m->to);
    } else if (m->type == RAFT_APPEND_RESPONSE && !m->reject) {
        need(sim, node, m, log_image_last(&disk->log).index >= m->match, "what it acknowledges");
    } else if (m->type == RAFT_HEARTBEAT) {
        const struct node *to = node_of(sim, m->to);
        if (to != NULL && m->commit > 0 && !backed(sim, node, m->to, m->commit))
            sim_fail(sim, "heartbeat: %s tells %s that %llu is committed, which it does not have", node_name(sim, node->id),
                     node_name(sim, m->to), (unsigned long long)m->commit);
    } else if (m->type == RAFT_REMOVED) {
        check_tells_removed(sim, node, m->to);
    }
}
