/* The active configuration is the newest one in the log, committed or not (Thesis 4.1). It is derived: a stack that grows with
 * each configuration entry and shrinks with each truncation, never a copy that could be forgotten in either. */
#include "raft/internal.h"

const struct raft_conf *raft_active_conf(const struct raft *r)
{
    return &r->confs[r->conf_count - 1].conf;
}

uint64_t raft_active_conf_index(const struct raft *r)
{
    return r->confs[r->conf_count - 1].index;
}

bool raft_conf_committed(const struct raft *r)
{
    return raft_active_conf_index(r) <= r->commit;
}

uint32_t raft_place(const struct raft *r, uint64_t id)
{
    const struct raft_conf *conf = raft_active_conf(r);
    const struct raft_member *member = raft_conf_find(conf, id);
    return member != NULL ? (uint32_t)(member - conf->members) : RAFT_MEMBERS_MAX;
}

uint32_t raft_peer_places(const struct raft *r)
{
    return r->role == RAFT_LEADER ? raft_active_conf(r)->count : 0;
}

bool raft_is_voter(const struct raft *r)
{
    return raft_conf_is_voter(raft_active_conf(r), r->config.id);
}

bool raft_may_campaign(const struct raft *r)
{
    if (r->removed || r->suspect_until > 0 || r->installing || r->install_ready || r->disk_stalled)
        return false;
    if (raft_is_voter(r))
        return true;
    /* Thesis 4.2.2: whoever is dropped by an entry that is not committed may be needed to commit it. */
    return r->conf_count > 1 && !raft_conf_committed(r) &&
           raft_conf_is_voter(&r->confs[r->conf_count - 2].conf, r->config.id);
}

/* What lies at or below the commit index can never be rolled back to: only the newest of those is kept. Where the commit index
 * lags, the oldest goes when room is short: a leader adds one only when the one before is committed, so none but the newest can
 * ever be truncated. */
static uint32_t forgettable(const struct raft *r)
{
    uint32_t count = 0;
    while (count + 1 < r->conf_count && r->confs[count + 1].index <= r->commit)
        count++;
    return count == 0 && r->conf_count == RAFT_CONF_STACK_MAX ? 1 : count;
}

void raft_push_conf(struct raft *r, uint64_t index, const struct raft_conf *conf)
{
    uint32_t gone = forgettable(r);
    memmove(r->confs, r->confs + gone, (r->conf_count - gone) * sizeof r->confs[0]);
    r->conf_count -= gone;
    r->confs[r->conf_count].index = index;
    r->confs[r->conf_count++].conf = *conf;
}

void raft_truncate_confs(struct raft *r, uint64_t from)
{
    if (MUTANT(18))
        return;
    while (r->conf_count > 1 && r->confs[r->conf_count - 1].index >= from)
        r->conf_count--;
}

void raft_confs_reset(struct raft *r, uint64_t index, const struct raft_conf *conf)
{
    r->conf_count = 1;
    r->confs[0].index = index;
    r->confs[0].conf = *conf;
}

/* Progress lies in the order of the members: known ones move, new ones begin, gone ones end. */
void raft_conf_changed(struct raft *r)
{
    const struct raft_conf *conf = raft_active_conf(r);
    struct raft_progress before[RAFT_MEMBERS_MAX];
    memcpy(before, r->progress, sizeof before);
    memset(r->progress, 0, sizeof r->progress);
    for (uint32_t i = 0; i < conf->count; i++) {
        struct raft_progress *known = NULL;
        if (conf->members[i].id == r->config.id)
            continue;
        for (uint32_t j = 0; j < RAFT_MEMBERS_MAX && known == NULL; j++)
            if (before[j].id == conf->members[i].id)
                known = &before[j];
        if (known != NULL) {
            r->progress[i] = *known;
            known->id = 0;
        } else if (raft_progress_init(&r->progress[i], &r->memory, conf->members[i].id, r->log.last.index,
                                      r->config.max_inflight_messages) == STATUS_OK) {
            r->progress[i].send_empty = true;
        } /* else: no memory; as if unreachable until the next tick */
    }
    for (uint32_t j = 0; j < RAFT_MEMBERS_MAX; j++)
        if (before[j].id != 0)
            raft_progress_deinit(&before[j], &r->memory);
}

bool raft_progress_missing(const struct raft *r)
{
    const struct raft_conf *conf = raft_active_conf(r);
    for (uint32_t i = 0; i < conf->count; i++)
        if (r->progress[i].id == 0 && conf->members[i].id != r->config.id)
            return true;
    return false;
}

/* Thesis 4.2.1: the log is sent in rounds; who needs less than an election timeout for one would not hold up commits. */
void raft_learner_ticks(struct raft *r)
{
    const struct raft_conf *conf = raft_active_conf(r);
    for (uint32_t i = 0; i < conf->count; i++) {
        struct raft_progress *p = &r->progress[i];
        if (p->id == 0 || conf->members[i].role != RAFT_LEARNER || p->caught_up)
            continue;
        p->round_ticks++;
        if (p->rounds > 0 && p->match < p->round_target)
            continue;
        if (p->rounds > 0 && p->match >= p->round_target && p->round_ticks <= r->config.election_ticks)
            p->caught_up = true;
        p->round_target = r->log.last.index;
        p->round_ticks = 0;
        p->rounds++;
    }
}

/* Not p->active: that begins anew with every check of the quorum. */
static bool heard_lately(const struct raft *r, const struct raft_progress *p)
{
    return p->id != 0 && p->silent_ticks < r->config.election_ticks;
}

/* An active majority of the outcome, or it could not commit its own beginning. */
static bool reaches_quorum(const struct raft *r, const struct raft_conf *next)
{
    int8_t votes[RAFT_MEMBERS_MAX] = {0};
    for (uint32_t i = 0; i < next->count; i++) {
        uint64_t id = next->members[i].id;
        uint32_t place = raft_place(r, id);
        /* A voter that is new with this change has had no chance to answer. */
        bool active = id == r->config.id || place == RAFT_MEMBERS_MAX || heard_lately(r, &r->progress[place]);
        votes[i] = active ? 1 : -1;
    }
    return raft_quorum_tally(next, votes) == RAFT_VOTE_WON;
}

static enum status check_change(const struct raft *r, const struct raft_conf_change *change, const struct raft_conf *next)
{
    const struct raft_conf *conf = raft_active_conf(r);
    const struct raft_member *member = raft_conf_find(conf, change->member.id);
    bool known = change->type == RAFT_ADD_VOTER || change->type == RAFT_ADD_LEARNER || member != NULL;
    if (change->member.id == 0 || !known || !raft_conf_valid(next) || raft_conf_equal(conf, next))
        return STATUS_INVALID;
    if (change->type == RAFT_ADD_VOTER && member != NULL && member->role == RAFT_LEARNER) {
        const struct raft_progress *p = &r->progress[raft_place(r, member->id)];
        if (!heard_lately(r, p) || !p->caught_up || p->match < r->commit)
            return STATUS_NOT_READY;
    }
    return reaches_quorum(r, next) ? STATUS_OK : STATUS_NO_QUORUM;
}

enum { CONF_ENCODED_MAX = 16 + RAFT_MEMBERS_MAX * (sizeof(struct raft_member) + 8) };

enum status raft_propose_conf(struct raft *r, const struct raft_conf_change *change, struct raft_log_id *ret_at)
{
    struct raft_conf next;
    if (r->role != RAFT_LEADER)
        return STATUS_NO_LEADER;
    if (r->transfer_to != 0)
        return STATUS_CONFLICT;
    /* Ongaro to raft-dev, 2015-07-10: only after an entry of one's own term has committed, and one at a time. */
    if ((r->commit < r->term_start && !MUTANT(21)) || !raft_conf_committed(r))
        return STATUS_BUSY;
    enum status status = raft_conf_simple(raft_active_conf(r), change, 1, &next);
    if (status == STATUS_OK)
        status = check_change(r, change, &next);
    if (status != STATUS_OK)
        return status;
    char space[CONF_ENCODED_MAX + 1];
    struct buffer encoded = {.data = space, .capacity = sizeof space, .limit = CONF_ENCODED_MAX}; /* it never grows */
    raft_conf_encode(&next, &encoded);
    assert(encoded.failed == STATUS_OK);
    struct bytes data = buffer_bytes(&encoded);
    status = raft_append_own(r, RAFT_ENTRY_CONF, &data, 1);
    if (status != STATUS_OK)
        return status;
    *ret_at = r->log.last;
    raft_push_conf(r, r->log.last.index, &next);
    raft_conf_changed(r);
    raft_advance_commit(r);
    raft_reads_confirm(r); /* those who have answered may be a quorum now */
    return STATUS_OK;
}
