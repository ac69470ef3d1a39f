/* The leader's side of the log: its own entries, what each peer is sent, and what is committed. */
#include "raft/internal.h"

struct raft_progress *raft_progress_of(struct raft *r, uint64_t id)
{
    uint32_t place = r->role == RAFT_LEADER ? raft_place(r, id) : RAFT_MEMBERS_MAX;
    return place < RAFT_MEMBERS_MAX && r->progress[place].id != 0 ? &r->progress[place] : NULL;
}

/* --- own entries --- */

enum { APPEND_STEP = 64 }; /* entries prepared on the stack at a time */

static enum status append_step(struct raft *r, uint8_t type, const struct bytes *data, uint32_t count)
{
    struct raft_entry entries[APPEND_STEP];
    uint64_t hash = r->log.last_hash;
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = (struct raft_entry){.id = {r->log.last.index + 1 + i, r->term}, .data = data[i].data,
                                         .size = (uint32_t)data[i].size, .type = type};
        hash = entries[i].hash = raft_entry_hash(hash, &entries[i]);
    }
    return raft_log_append(&r->log, entries, count);
}

enum status raft_append_own(struct raft *r, uint8_t type, const struct bytes *data, uint32_t count)
{
    struct raft_log_id before = r->log.last;
    uint64_t hash_before = r->log.last_hash;
    for (uint32_t done = 0; done < count; done += APPEND_STEP) {
        uint32_t step = count - done < APPEND_STEP ? count - done : APPEND_STEP;
        enum status status = append_step(r, type, data + done, step);
        if (status != STATUS_OK && done > 0 && !MUTANT(11))
            raft_log_truncate(&r->log, before.index + 1, hash_before); /* nothing of it was handed out */
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

enum status raft_propose(struct raft *r, const struct bytes *commands, uint32_t count, struct raft_log_id *ret_first)
{
    uint64_t bytes = 0;
    if (r->role != RAFT_LEADER)
        return STATUS_NO_LEADER;
    if (r->transfer_to != 0)
        return STATUS_CONFLICT; /* nothing may follow what the target has (Thesis 3.10) */
    for (uint32_t i = 0; i < count; i++)
        bytes += commands[i].size + sizeof(struct raft_entry);
    if (r->uncommitted_bytes > 0 && r->uncommitted_bytes + bytes > r->config.max_uncommitted_bytes)
        return STATUS_BUSY;
    struct raft_log_id first = {r->log.last.index + 1, r->term};
    enum status status = raft_append_own(r, RAFT_ENTRY_NORMAL, commands, count);
    if (status != STATUS_OK)
        return status;
    r->uncommitted_bytes += bytes;
    *ret_first = first;
    return STATUS_OK;
}

/* --- commit --- */

/* Raft 5.3, 5.4.2: the highest index that a quorum has, if it is of the current term; the leader's own counts as far as it is
 * durable (Thesis 10.2.1) and only if it is a voter. */
void raft_advance_commit(struct raft *r)
{
    const struct raft_conf *conf = raft_active_conf(r);
    uint64_t reached[RAFT_MEMBERS_MAX] = {0};
    if (r->role != RAFT_LEADER)
        return;
    for (uint32_t i = 0; i < conf->count; i++)
        reached[i] = conf->members[i].id == r->config.id ? (MUTANT(50) ? r->log.last.index : r->log.persisted)
                                                         : r->progress[i].match;
    uint64_t index = raft_quorum_value(conf, reached);
    if (MUTANT(14)) /* whoever has it counts */
        for (uint32_t i = 0, have = 0; i < conf->count; i++)
            if (reached[i] > index && ++have > raft_conf_voters(conf) / 2)
                index = reached[i];
    if (index > r->commit && (raft_log_term(&r->log, index) == r->term || MUTANT(1)))
        raft_commit_to(r, index);
}

/* Thesis 6.2: a leader that a quorum does not answer is none. Learners do not count. */
void raft_quorum_check(struct raft *r)
{
    const struct raft_conf *conf = raft_active_conf(r);
    int8_t votes[RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < conf->count; i++) {
        votes[i] = conf->members[i].id == r->config.id || r->progress[i].active ? 1 : -1;
        r->progress[i].active = false;
    }
    if (raft_quorum_tally(conf, votes) != RAFT_VOTE_WON && !MUTANT(37))
        raft_become_follower(r, 0);
}

/* --- what each peer is sent --- */

static struct raft_message *new_message(struct raft *r)
{
    return r->message_count < RAFT_MESSAGES_MAX ? &r->messages[r->message_count++] : NULL;
}

/* What was fetched from disk, from `index` on; NULL: nothing. */
static const struct raft_entry *fetched_at(const struct raft_progress *p, uint64_t index)
{
    if (p->fetched_count == 0 || index < p->fetched[0].id.index || index - p->fetched[0].id.index >= p->fetched_count)
        return NULL;
    return &p->fetched[index - p->fetched[0].id.index];
}

/* Entries from p->next on that are in memory, at most a message's worth. */
static const struct raft_entry *entries_for(struct raft *r, struct raft_progress *p, uint32_t *ret_count, uint64_t *ret_bytes)
{
    const struct raft_entry *first = raft_log_entry(&r->log, p->next);
    uint64_t available = r->log.last.index - p->next + 1;
    *ret_count = 0;
    *ret_bytes = 0;
    if (first == NULL) {
        first = fetched_at(p, p->next);
        available = first != NULL ? p->fetched_count - (p->next - p->fetched[0].id.index) : 0;
    }
    while (*ret_count < available &&
           (*ret_count == 0 || *ret_bytes + raft_entry_cost(&first[*ret_count]) <= r->config.max_message_bytes))
        *ret_bytes += raft_entry_cost(&first[(*ret_count)++]);
    return first;
}

static uint64_t hash_before(const struct raft *r, const struct raft_progress *p)
{
    uint64_t hash = raft_log_hash(&r->log, p->next - 1);
    if (hash != 0)
        return hash;
    if (p->fetched_count > 0 && p->fetched[0].id.index == p->next)
        return p->fetched_hash;
    const struct raft_entry *before = fetched_at(p, p->next - 1);
    return before != NULL ? before->hash : 0;
}

static void want_fetch(struct raft_progress *p)
{
    if (!p->fetching && !p->fetch_failed)
        p->fetch_wanted = true;
}

/* One AppendEntries; false: nothing can be sent now. */
static bool send_append(struct raft *r, struct raft_progress *p, bool with_entries)
{
    uint32_t count = 0;
    uint64_t bytes = 0;
    const struct raft_entry *entries = NULL;
    if (p->next - 1 < r->log.base.index) {
        raft_begin_snapshot(r, p);
        return false;
    }
    if (with_entries && p->next <= r->log.last.index) {
        entries = entries_for(r, p, &count, &bytes);
        /* Only entries whose predecessor's hash is known can be checked over there. */
        if (count > 0 && p->next > 1 && hash_before(r, p) == 0)
            count = 0;
        if (count == 0) {
            want_fetch(p);
            if (!p->send_empty)
                return false;
        }
    }
    struct raft_message *m = new_message(r);
    if (m == NULL)
        return false;
    uint64_t covered = p->next - 1 + count;
    *m = (struct raft_message){.type = RAFT_APPEND, .from = r->config.id, .to = p->id, .term = r->term,
                               .log = {p->next - 1, raft_log_term(&r->log, p->next - 1)}, .log_hash = hash_before(r, p),
                               .commit = r->commit, .entries = count > 0 ? entries : NULL, .entry_count = count};
    if (p->commit_sent < r->commit)
        p->commit_sent = r->commit < covered ? r->commit : covered;
    raft_progress_sent(p, covered, count, bytes, r->config.max_inflight_bytes);
    return count > 0;
}

/* Committed, covered by what it has or is being sent, and not yet told. */
static bool must_tell_commit(const struct raft *r, const struct raft_progress *p)
{
    uint64_t covered = p->next - 1 < r->commit ? p->next - 1 : r->commit;
    return p->state == RAFT_REPLICATE && p->commit_sent < covered;
}

static void send_what_fits(struct raft *r, struct raft_progress *p)
{
    if (p->state == RAFT_SEND_SNAPSHOT)
        return;
    while (!p->paused && p->next <= r->log.last.index && p->state != RAFT_SEND_SNAPSHOT)
        if (!send_append(r, p, true))
            break;
    if (p->state != RAFT_SEND_SNAPSHOT && (p->send_empty || must_tell_commit(r, p)))
        (void)send_append(r, p, false); /* the next take tries again */
}

/* Heartbeats carry min(match, commit): a commit index beyond what the peer is known to have could name another entry there. */
static void send_heartbeat(struct raft *r, const struct raft_progress *p)
{
    struct raft_message *m = new_message(r);
    assert(m != NULL); /* they go first */
    *m = (struct raft_message){.type = RAFT_HEARTBEAT, .from = r->config.id, .to = p->id, .term = r->term,
                               .commit = p->match < r->commit && !MUTANT(40) ? p->match : r->commit, .read_seq = r->read_seq};
}

void raft_send_entries(struct raft *r)
{
    uint32_t places = raft_peer_places(r);
    for (uint32_t i = 0; i < places && r->beat_wanted; i++)
        if (r->progress[i].id != 0)
            send_heartbeat(r, &r->progress[i]);
    r->beat_wanted = false;
    for (uint32_t i = 0; i < places; i++)
        if (r->progress[i].id != 0)
            send_what_fits(r, &r->progress[i]);
}

/* --- entries from the owner's disk --- */

uint32_t raft_want_entries(struct raft *r)
{
    uint32_t count = 0;
    for (uint32_t i = 0, places = raft_peer_places(r); i < places; i++) {
        struct raft_progress *p = &r->progress[i];
        if (p->id == 0 || !p->fetch_wanted)
            continue;
        p->fetch_wanted = false;
        p->fetching = true;
        r->fetches[count++] = (struct raft_fetch){p->id, p->next, r->config.max_inflight_bytes};
    }
    return count;
}

static bool copy_fetched(struct raft *r, struct raft_progress *p, const struct raft_entry *entries, uint32_t count)
{
    p->fetched = raft_memory_get(&r->memory, count * sizeof p->fetched[0]);
    if (p->fetched == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        void *data = entries[i].size > 0 ? raft_memory_get(&r->memory, entries[i].size) : NULL;
        if (entries[i].size > 0 && data == NULL) {
            raft_progress_drop_fetched(p, &r->memory);
            return false;
        }
        if (entries[i].size > 0)
            memcpy(data, entries[i].data, entries[i].size);
        p->fetched[i] = entries[i];
        p->fetched[i].data = data;
        p->fetched_count = i + 1;
    }
    return true;
}

void raft_fetched(struct raft *r, uint64_t peer, uint64_t previous_hash, const struct raft_entry *entries, uint32_t count)
{
    struct raft_progress *p = raft_progress_of(r, peer);
    if (p == NULL || !p->fetching)
        return;
    p->fetching = false;
    p->fetch_failed = count == 0;
    raft_progress_drop_fetched(p, &r->memory);
    /* The log may have moved on: only what continues the peer's and is still ours. */
    if (count == 0 || entries[0].id.index != p->next || !raft_log_matches(&r->log, entries[count - 1].id) ||
        !copy_fetched(r, p, entries, count))
        return;
    p->fetched_hash = previous_hash;
}
