/* Looking in from outside: status, invariants, and the hash by which two runs are compared. */
#include "base/codec.h"
#include "raft/internal.h"

enum raft_role raft_role(const struct raft *r)
{
    return r->role;
}

uint64_t raft_term(const struct raft *r)
{
    return r->term;
}

uint64_t raft_leader(const struct raft *r)
{
    return r->leader;
}

uint64_t raft_commit(const struct raft *r)
{
    return r->commit;
}

struct raft_log_id raft_last(const struct raft *r)
{
    return r->log.last;
}

uint64_t raft_term_at(const struct raft *r, uint64_t index)
{
    return raft_log_term(&r->log, index);
}

void raft_status(const struct raft *r, struct raft_status *ret)
{
    ret->role = r->role;
    ret->id = r->config.id;
    ret->term = r->term;
    ret->vote = r->vote;
    ret->leader = r->leader;
    ret->commit = r->commit;
    ret->applied = r->applied;
    ret->persisted = r->log.persisted;
    ret->base = r->log.base;
    ret->last = r->log.last;
    ret->last_hash = r->log.last_hash;
    ret->leader_silent_ticks = r->role == RAFT_LEADER ? 0 : r->leader_silent;
    ret->conf = raft_active_conf(r);
    ret->conf_index = raft_active_conf_index(r);
    ret->transfer_to = r->transfer_to;
    ret->removed = r->removed;
    ret->suspect = r->suspect_until > 0;
    ret->peer_count = 0;
    for (uint32_t i = 0, places = raft_peer_places(r); i < places; i++) {
        const struct raft_progress *p = &r->progress[i];
        if (p->id != 0)
            ret->peers[ret->peer_count++] = (struct raft_peer_status){
                .id = p->id, .match = p->match, .next = p->next, .state = p->state, .inflight = p->count,
                .silent_ticks = p->silent_ticks, .snapshot_offset = p->snapshot_offset, .rounds = p->rounds,
                .caught_up = p->caught_up};
    }
}

#define MUST(condition)             \
    do {                            \
        if (!(condition)) {         \
            *ret_why = #condition;  \
            return false;           \
        }                           \
    } while (0)

static bool check_log(const struct raft_log *log, const char **ret_why)
{
    MUST(log->base.index <= log->last.index);
    MUST(log->base.term <= log->last.term);
    MUST(log->persisted <= log->last.index);
    MUST(log->taken <= log->last.index);
    MUST(log->persisted <= log->taken);
    MUST((log->run_count == 0) == (log->base.index == log->last.index));
    MUST(log->run_count == 0 || log->runs[log->run_count - 1].term == log->last.term);
    MUST(log->run_count == 0 || log->runs[0].first == log->base.index + 1);
    MUST(log->cached <= log->last.index - log->base.index);
    MUST(log->cached >= log->last.index - log->persisted); /* what is not durable is in memory */
    return true;
}

static bool check_progress(const struct raft *r, const char **ret_why)
{
    const struct raft_conf *conf = raft_active_conf(r);
    for (uint32_t i = 0, places = raft_peer_places(r); i < places; i++) {
        const struct raft_progress *p = &r->progress[i];
        if (p->id == 0)
            continue;
        MUST(conf->members[i].id == p->id);
        MUST(p->match < p->next);
        MUST(p->match <= r->log.last.index);
        MUST(p->count <= p->allowed && p->allowed <= p->window);
        MUST(p->count == 0 || p->state == RAFT_REPLICATE);
    }
    return true;
}

bool raft_check(const struct raft *r, const char **ret_why)
{
    if (!check_log(&r->log, ret_why) || !check_progress(r, ret_why))
        return false;
    MUST(r->commit <= r->log.last.index);
    MUST(r->log.base.index <= r->applied);
    MUST(r->applied <= r->apply_given);
    MUST(r->apply_given <= r->commit);
    MUST(r->apply_given <= r->log.persisted);
    MUST(r->log.last.term <= r->term);
    MUST(r->role != RAFT_LEADER || r->leader == r->config.id);
    MUST(r->role != RAFT_LEADER || r->vote == r->config.id);
    MUST(r->role == RAFT_LEADER || r->transfer_to == 0);
    MUST(r->conf_count >= 1 && raft_active_conf_index(r) <= r->log.last.index);
    MUST(r->durable_hard.term <= r->term);
    MUST(r->read_count <= r->config.max_reads);
    return true;
}

uint64_t raft_hash(const struct raft *r)
{
    uint64_t values[28 + 4 * RAFT_MEMBERS_MAX] = {
        r->term, r->vote, r->role, r->leader, r->commit, r->applied, r->apply_given, r->suspect_until, r->log.base.index,
        r->log.last.index, r->log.last.term, r->log.last_hash, r->log.persisted, r->log.taken, r->election_elapsed,
        r->election_timeout, r->leader_silent, r->ticks, r->conf_count, raft_active_conf_index(r), r->transfer_to, r->read_seq,
        r->read_count, r->queue_count, r->batch_count, r->next_seq, r->random.s[0], r->random.s[3]};
    uint32_t count = 28;
    for (uint32_t i = 0, places = raft_peer_places(r); i < places; i++) {
        const struct raft_progress *p = &r->progress[i];
        if (p->id == 0)
            continue;
        values[count++] = p->id;
        values[count++] = p->match;
        values[count++] = p->next;
        values[count++] = (uint64_t)p->state << 62 | (uint64_t)p->allowed << 31 | p->count;
    }
    return hash64(r->config.id, values, count * sizeof values[0]);
}
