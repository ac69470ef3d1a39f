/* Roles, terms and time; the dispatch of messages. */
#include "raft/raft.h"

#include <string.h>

#include "raft/internal.h"

enum { LINK_DOWN_SPREAD_TICKS = 5 };

/* --- terms --- */

static void set_term(struct raft *r, uint64_t term)
{
    assert(term > r->term);
    if (r->leader != 0)
        r->role_changed = true; /* nobody leads in the new one yet */
    raft_reads_fail(r, STATUS_NO_LEADER);
    r->term = term;
    r->vote = 0;
    r->leader = 0;
}

void raft_set_vote(struct raft *r, uint64_t id)
{
    assert(r->vote == 0 || r->vote == id || MUTANT(48));
    r->vote = id;
}

/* --- roles --- */

static const bool allowed[4][4] = {
    [RAFT_FOLLOWER] = {[RAFT_FOLLOWER] = true, [RAFT_PRE_CANDIDATE] = true, [RAFT_CANDIDATE] = true},
    [RAFT_PRE_CANDIDATE] = {[RAFT_FOLLOWER] = true, [RAFT_PRE_CANDIDATE] = true, [RAFT_CANDIDATE] = true},
    [RAFT_CANDIDATE] = {[RAFT_FOLLOWER] = true, [RAFT_PRE_CANDIDATE] = true, [RAFT_CANDIDATE] = true, [RAFT_LEADER] = true},
    [RAFT_LEADER] = {[RAFT_FOLLOWER] = true},
};

/* Thesis 9.3 on the spread: twice the minimum makes split votes rare. */
void raft_reset_election_timer(struct raft *r)
{
    r->election_elapsed = 0;
    r->election_timeout = r->config.election_ticks + (uint32_t)random_below(&r->random, r->config.election_ticks);
}

static void leave_leadership(struct raft *r)
{
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++)
        raft_progress_deinit(&r->progress[i], &r->memory);
    if (!MUTANT(25))
        r->transfer_to = 0;
    r->transfer_sent = false;
    r->beat_wanted = false;
    r->uncommitted_bytes = 0;
    r->snapshot_wanted = false;
}

static void move(struct raft *r, enum raft_role role)
{
    assert(allowed[r->role][role]);
    if (r->role == RAFT_LEADER)
        leave_leadership(r);
    if (r->role != role)
        r->role_changed = true;
    /* A follower that only learns of a higher term keeps its timer: a candidate with a short log must not hold back better ones. */
    if (r->role != role || role != RAFT_FOLLOWER || MUTANT(47))
        raft_reset_election_timer(r);
    r->role = role;
    memset(r->votes, 0, sizeof r->votes);
}

void raft_become_follower(struct raft *r, uint64_t leader)
{
    bool fails = r->role != RAFT_FOLLOWER || r->leader != leader;
    move(r, RAFT_FOLLOWER);
    if (r->leader != leader)
        r->role_changed = true;
    r->leader = leader;
    if (fails)
        raft_reads_fail(r, STATUS_NO_LEADER);
}

void raft_become_pre_candidate(struct raft *r)
{
    move(r, RAFT_PRE_CANDIDATE);
    r->leader = 0;
    raft_reads_fail(r, STATUS_NO_LEADER);
}

void raft_become_candidate(struct raft *r)
{
    move(r, RAFT_CANDIDATE);
    set_term(r, r->term + 1);
    raft_set_vote(r, r->config.id);
    raft_reads_fail(r, STATUS_NO_LEADER);
}

void raft_become_leader(struct raft *r)
{
    static const struct bytes nothing = {NULL, 0};
    move(r, RAFT_LEADER);
    r->leader = r->config.id;
    r->term_start = r->log.last.index + 1;
    r->heartbeat_elapsed = r->quorum_elapsed = 0;
    r->read_seq = 0;
    raft_conf_changed(r);
    /* Raft 8: an empty entry of one's own term, since only that can be committed by counting. */
    if (!MUTANT(2) && raft_append_own(r, RAFT_ENTRY_NOOP, &nothing, 1) != STATUS_OK) {
        raft_become_follower(r, 0);
        return;
    }
    if (MUTANT(2))
        r->term_start = 0;
    raft_advance_commit(r);
}

bool raft_within_lease(const struct raft *r)
{
    if (r->role == RAFT_LEADER)
        return true; /* CheckQuorum ends a leadership that is not heard */
    return r->leader != 0 && r->leader_silent < r->config.election_ticks;
}

void raft_heard_leader(struct raft *r, uint64_t leader)
{
    if (r->role != RAFT_FOLLOWER || r->leader != leader)
        raft_become_follower(r, leader);
    if (r->election_timeout < r->config.election_ticks)
        raft_reset_election_timer(r); /* its link was down, and is back */
    r->election_elapsed = 0;
    r->leader_silent = 0;
    r->removed = false; /* it counts us in: we were added again. Where that is old, it will be told again */
}

void raft_commit_to(struct raft *r, uint64_t index)
{
    if (index <= r->commit)
        return;
    assert(index <= r->log.last.index);
    uint64_t before = r->commit;
    r->commit = index;
    if (r->suspect_until > 0 && r->commit >= r->suspect_until && r->log.persisted >= r->suspect_until)
        r->suspect_until = 0; /* everything that it could have acknowledged is here again */
    if (r->role != RAFT_LEADER)
        return;
    for (uint64_t i = before >= r->term_start ? before + 1 : r->term_start; i <= index; i++) {
        const struct raft_entry *entry = raft_log_entry(&r->log, i);
        if (entry != NULL && entry->type == RAFT_ENTRY_NORMAL)
            r->uncommitted_bytes -= raft_entry_cost(entry);
    }
    if (before < r->term_start && index >= r->term_start)
        raft_reads_term_committed(r);
    /* Raft 6: a leader that is not in the new configuration steps down once that is committed. */
    if (raft_conf_committed(r) && !raft_is_voter(r) && !MUTANT(45))
        raft_become_follower(r, 0);
}

/* --- time --- */

static void tick_leader(struct raft *r)
{
    if (++r->heartbeat_elapsed >= r->config.heartbeat_ticks) {
        r->heartbeat_elapsed = 0;
        r->beat_wanted = true;
    }
    for (uint32_t i = 0, places = raft_peer_places(r); i < places; i++)
        if (r->progress[i].id != 0) {
            r->progress[i].silent_ticks++;
            raft_snapshot_tick(r, &r->progress[i]);
        }
    if (raft_progress_missing(r))
        raft_conf_changed(r);
    raft_learner_ticks(r);
    raft_transfer_tick(r);
    if (r->role == RAFT_LEADER && ++r->quorum_elapsed >= r->config.election_ticks) {
        r->quorum_elapsed = 0;
        raft_quorum_check(r);
    }
}

void raft_tick(struct raft *r)
{
    r->ticks++;
    raft_disk_tick(r);
    raft_reads_tick(r);
    if (r->role == RAFT_LEADER) {
        tick_leader(r);
        return;
    }
    r->leader_silent++;
    if (++r->election_elapsed >= r->election_timeout)
        raft_start_campaign(r, false, true);
}

/* --- messages --- */

static bool from_leader(uint8_t type)
{
    return type == RAFT_APPEND || type == RAFT_HEARTBEAT || type == RAFT_SNAPSHOT;
}

static bool chunk_well_formed(const struct raft_message *m)
{
    const struct raft_snapshot_meta *s = m->snapshot;
    return s != NULL && s->last.index > 0 && s->last.term > 0 && s->last.term <= m->term && s->conf.count > 0 &&
           raft_conf_valid(&s->conf) && s->conf_index <= s->last.index && m->entry_count == 0 && m->offset <= s->size &&
           m->chunk.size <= s->size - m->offset && m->chunk.size <= RAFT_CHUNK_MAX &&
           (m->chunk.size == 0 || m->chunk.data != NULL);
}

static bool numbers_possible(const struct raft_message *m)
{
    return m->term < RAFT_NUMBER_MAX && m->log.index < RAFT_NUMBER_MAX && m->commit < RAFT_NUMBER_MAX &&
           m->match < RAFT_NUMBER_MAX && m->hint.index < RAFT_NUMBER_MAX &&
           (m->type != RAFT_SNAPSHOT || m->snapshot == NULL || m->snapshot->last.index < RAFT_NUMBER_MAX);
}

static bool well_formed(const struct raft *r, const struct raft_message *m)
{
    if (m->from == 0 || m->from == r->config.id || m->to != r->config.id || !numbers_possible(m))
        return false;
    if (m->type == RAFT_SNAPSHOT)
        return chunk_well_formed(m);
    if (m->entry_count > 0 && m->entries == NULL)
        return false;
    return m->type >= RAFT_PRE_VOTE && m->type <= RAFT_REMOVED && (m->type == RAFT_APPEND || m->entry_count == 0) &&
           (m->term > 0 || m->type == RAFT_PRE_VOTE_RESPONSE || m->type == RAFT_HEARTBEAT_RESPONSE || m->type == RAFT_READ);
}

/* The word of somebody who is no member any more, with a term that it reached on its way out: it must not unseat a leader whom
 * the members hear. Who leads although a newer leader exists hears that from a member, or from nobody: CheckQuorum ends it. */
static bool from_outside(const struct raft *r, const struct raft_message *m)
{
    bool follows = m->type == RAFT_PRE_VOTE_RESPONSE || m->type == RAFT_VOTE_RESPONSE || m->type == RAFT_APPEND_RESPONSE ||
                   m->type == RAFT_HEARTBEAT_RESPONSE || m->type == RAFT_SNAPSHOT_RESPONSE || m->type == RAFT_READ;
    return follows && r->role == RAFT_LEADER && raft_place(r, m->from) == RAFT_MEMBERS_MAX;
}

/* Raft 5.1. False: the message has been dealt with. */
static bool settle_terms(struct raft *r, const struct raft_message *m)
{
    if (m->term > r->term) {
        if (m->type == RAFT_PRE_VOTE || (m->type == RAFT_PRE_VOTE_RESPONSE && !m->reject))
            return true; /* a question about a term that does not exist yet */
        if (m->type == RAFT_VOTE && !m->transfer && raft_within_lease(r) && !MUTANT(38))
            return false; /* Thesis 4.2.3: not while a leader is heard */
        if (from_outside(r, m))
            return false;
        set_term(r, m->term);
        raft_become_follower(r, from_leader(m->type) ? m->from : 0);
        return true;
    }
    if (m->term == r->term)
        return true;
    if (from_leader(m->type)) {
        /* Our term makes a leader of the past step down; PreVote alone would never tell it. */
        if (!MUTANT(46))
            raft_send(r, (struct raft_message){.type = RAFT_HEARTBEAT_RESPONSE, .to = m->from, .term = r->term});
        return false;
    }
    if (m->type == RAFT_PRE_VOTE || m->type == RAFT_REMOVED)
        return true; /* refused there, with our term; true in whatever term it was committed */
    return MUTANT(15) && m->type == RAFT_VOTE_RESPONSE;
}

enum status raft_step(struct raft *r, const struct raft_message *m, bool *ret_diverged)
{
    *ret_diverged = false;
    if (!well_formed(r, m))
        return STATUS_INVALID;
    enum status status = m->type == RAFT_APPEND ? raft_check_append(m) : STATUS_OK;
    if (status != STATUS_OK)
        return status;
    if (!settle_terms(r, m))
        return STATUS_OK;
    if (from_leader(m->type) && r->role == RAFT_LEADER) {
        *ret_diverged = true; /* two leaders in one term: the cluster's promise is broken already */
        return STATUS_CORRUPT;
    }
    switch ((enum raft_message_type)m->type) {
    case RAFT_PRE_VOTE:
    case RAFT_VOTE:
        raft_recv_vote_request(r, m);
        break;
    case RAFT_PRE_VOTE_RESPONSE:
    case RAFT_VOTE_RESPONSE:
        raft_recv_vote_response(r, m);
        break;
    case RAFT_APPEND:
        return raft_recv_append(r, m, ret_diverged);
    case RAFT_APPEND_RESPONSE:
        raft_recv_append_response(r, m);
        break;
    case RAFT_HEARTBEAT:
        raft_recv_heartbeat(r, m);
        break;
    case RAFT_HEARTBEAT_RESPONSE:
        raft_recv_heartbeat_response(r, m);
        break;
    case RAFT_SNAPSHOT:
        raft_recv_snapshot(r, m);
        break;
    case RAFT_SNAPSHOT_RESPONSE:
        raft_recv_snapshot_response(r, m);
        break;
    case RAFT_TIMEOUT_NOW:
        raft_recv_timeout_now(r, m);
        break;
    case RAFT_READ:
        raft_recv_read(r, m);
        break;
    case RAFT_READ_RESPONSE:
        raft_recv_read_response(r, m);
        break;
    case RAFT_REMOVED:
        raft_recv_removed(r, m);
        break;
    }
    return STATUS_OK;
}

void raft_report(struct raft *r, uint64_t peer, enum raft_report report)
{
    struct raft_progress *p = raft_progress_of(r, peer);
    if (report == RAFT_LINK_DOWN && r->role == RAFT_FOLLOWER && peer == r->leader) {
        /* The leader's process is gone or cut off: no need to wait. A little apart, so that votes do not split. */
        r->leader_silent = r->config.election_ticks;
        r->election_elapsed = 0;
        r->election_timeout = 1 + (uint32_t)random_below(&r->random, LINK_DOWN_SPREAD_TICKS);
        return;
    }
    if (p == NULL)
        return;
    if (report == RAFT_UNREACHABLE && p->state == RAFT_REPLICATE)
        raft_progress_become_probe(p); /* what was in flight is probably lost */
    else if (report == RAFT_SNAPSHOT_FAILED && p->state == RAFT_SEND_SNAPSHOT)
        raft_chunk_failed(r, p);
}

enum status raft_campaign(struct raft *r)
{
    if (r->role == RAFT_LEADER || !raft_may_campaign(r))
        return STATUS_CONFLICT;
    raft_start_campaign(r, false, false);
    return STATUS_OK;
}

/* --- life --- */

static enum status allocate(struct raft *r)
{
    const struct raft_memory *memory = &r->memory;
    r->reads = raft_memory_get(memory, r->config.max_reads * sizeof r->reads[0]);
    r->read_answers = raft_memory_get(memory, 2 * (size_t)r->config.max_reads * sizeof r->read_answers[0]);
    r->queue = raft_memory_get(memory, RAFT_MESSAGES_MAX * sizeof r->queue[0]);
    r->messages = raft_memory_get(memory, RAFT_MESSAGES_MAX * sizeof r->messages[0]);
    r->batches = raft_memory_get(memory, RAFT_BATCHES_MAX * sizeof r->batches[0]);
    bool all = r->reads != NULL && r->read_answers != NULL && r->queue != NULL && r->messages != NULL && r->batches != NULL;
    return all ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status load_confs(struct raft *r, const struct raft_boot *boot)
{
    raft_confs_reset(r, boot->conf_index, &boot->conf);
    uint64_t before = boot->applied;
    for (uint32_t i = 0; i < boot->conf_entry_count; i++) {
        const struct raft_entry *entry = &boot->conf_entries[i];
        struct raft_conf conf;
        if (entry->type != RAFT_ENTRY_CONF || entry->id.index <= before || entry->id.index > boot->last.index)
            return STATUS_INVALID;
        before = entry->id.index;
        if (raft_conf_decode((struct bytes){entry->data, entry->size}, &conf) != STATUS_OK)
            return STATUS_CORRUPT;
        /* More than fit can only be when all but the last were committed: a leader adds one at a time. */
        if (r->conf_count == RAFT_CONF_STACK_MAX) {
            memmove(r->confs, r->confs + 1, (r->conf_count - 1) * sizeof r->confs[0]);
            r->conf_count--;
        }
        r->confs[r->conf_count].index = entry->id.index;
        r->confs[r->conf_count++].conf = conf;
    }
    return STATUS_OK;
}

static enum status load(struct raft *r, const struct raft_boot *boot)
{
    if (boot->hard.term >= RAFT_NUMBER_MAX || boot->last.index >= RAFT_NUMBER_MAX)
        return STATUS_INVALID;
    if (boot->applied < boot->base.index || boot->applied > boot->last.index || boot->hard.term < boot->last.term ||
        !raft_conf_valid(&boot->conf))
        return STATUS_INVALID;
    enum status status = raft_log_load(&r->log, boot);
    if (status == STATUS_OK)
        status = load_confs(r, boot);
    r->term = boot->hard.term;
    r->vote = boot->hard.vote;
    r->durable_hard = r->taken_hard = boot->hard;
    r->commit = r->applied = r->apply_given = boot->applied;
    r->suspect_until = boot->suspect_until;
    r->removed = boot->removed;
    return status;
}

enum status raft_new(const struct raft_config *config, const struct raft_boot *boot, struct raft **ret)
{
    struct raft_memory memory;
    raft_memory_init(&memory, config->alloc);
    if (config->id == 0 || config->election_ticks < 2 || config->heartbeat_ticks == 0 ||
        config->heartbeat_ticks > config->election_ticks / 2 || config->max_inflight_messages == 0 || config->max_reads == 0)
        return STATUS_INVALID;
    struct raft *r = raft_memory_get(&memory, sizeof *r);
    if (r == NULL)
        return STATUS_NO_MEMORY;
    r->config = *config;
    r->config.alloc = NULL; /* copied */
    r->memory = memory;
    r->next_seq = 1;
    random_seed(&r->random, config->seed);
    raft_log_init(&r->log, &r->memory);
    enum status status = allocate(r);
    if (status == STATUS_OK)
        status = load(r, boot);
    if (status != STATUS_OK) {
        raft_free(r);
        return status;
    }
    r->leader_silent = config->election_ticks;
    raft_reset_election_timer(r);
    *ret = r;
    return STATUS_OK;
}

void raft_free(struct raft *r)
{
    if (r == NULL)
        return;
    struct raft_memory memory = r->memory;
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++)
        raft_progress_deinit(&r->progress[i], &memory);
    raft_log_deinit(&r->log);
    raft_memory_release(&memory, r->chunk_data);
    raft_memory_release(&memory, r->reads);
    raft_memory_release(&memory, r->read_answers);
    raft_memory_release(&memory, r->queue);
    raft_memory_release(&memory, r->messages);
    raft_memory_release(&memory, r->batches);
    raft_memory_release(&memory, r);
}
