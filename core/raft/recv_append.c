/* AppendEntries at the receiver (Raft 5.3) and the heartbeat. */
#include "base/limits.h"
#include "raft/internal.h"

/* The last entry here whose term is at most that of the one refused: the leader goes back by terms, not by entries. */
static void refuse(struct raft *r, const struct raft_message *m)
{
    raft_send(r, (struct raft_message){.type = RAFT_APPEND_RESPONSE, .to = m->from, .term = r->term, .reject = true,
                                       .lost = r->suspect_until > 0, .match = m->log.index,
                                       .hint = raft_log_find_conflict(&r->log, m->log)});
}

static bool type_known(uint8_t type)
{
    return type == RAFT_ENTRY_NORMAL || type == RAFT_ENTRY_NOOP || type == RAFT_ENTRY_CONF;
}

static bool entry_possible(const struct raft_entry *entry)
{
    return entry->id.term > 0 && type_known(entry->type) && entry->size <= ENTRY_SIZE_MAX &&
           (entry->type != RAFT_ENTRY_NOOP || entry->size == 0) && (entry->size == 0 || entry->data != NULL);
}

/* Consecutive, terms never falling, each with the hash that its content and its predecessor give. */
enum status raft_check_append(const struct raft_message *m)
{
    uint64_t term = m->log.term, hash = m->log_hash;
    for (uint32_t i = 0; i < m->entry_count; i++) {
        const struct raft_entry *entry = &m->entries[i];
        struct raft_conf conf;
        if (entry->id.index != m->log.index + 1 + i || entry->id.term < term || entry->id.term > m->term || !entry_possible(entry))
            return STATUS_INVALID;
        if (raft_entry_hash(hash, entry) != entry->hash)
            return STATUS_CORRUPT;
        if (entry->type == RAFT_ENTRY_CONF &&
            raft_conf_decode((struct bytes){entry->data, entry->size}, &conf) != STATUS_OK)
            return STATUS_CORRUPT;
        term = entry->id.term;
        hash = entry->hash;
    }
    return STATUS_OK;
}

/* Equal index and term promise equal history (Raft 5.3, Log Matching). */
static bool history_differs(const struct raft *r, struct raft_log_id id, uint64_t hash)
{
    uint64_t ours = raft_log_matches(&r->log, id) ? raft_log_hash(&r->log, id.index) : 0;
    return ours != 0 && hash != 0 && ours != hash;
}

/* How many of the entries are here already; the rest is new or conflicts. */
static enum status skip_known(const struct raft *r, const struct raft_message *m, uint32_t *ret_known, bool *ret_diverged)
{
    uint32_t known = 0;
    while (known < m->entry_count && raft_log_matches(&r->log, m->entries[known].id) && !MUTANT(10)) {
        if (history_differs(r, m->entries[known].id, m->entries[known].hash)) {
            *ret_diverged = true;
            return STATUS_CORRUPT;
        }
        known++;
    }
    *ret_known = known;
    return STATUS_OK;
}

static void push_confs(struct raft *r, const struct raft_entry *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct raft_conf conf;
        if (entries[i].type != RAFT_ENTRY_CONF)
            continue;
        enum status status = raft_conf_decode((struct bytes){entries[i].data, entries[i].size}, &conf);
        assert(status == STATUS_OK); /* it was looked at before */
        raft_push_conf(r, entries[i].id.index, &conf);
    }
}

static enum status append_new(struct raft *r, const struct raft_message *m, uint32_t known, bool *ret_diverged)
{
    const struct raft_entry *entries = m->entries + known;
    uint64_t bytes = r->log.unstable_bytes;
    for (uint32_t i = known; i < m->entry_count; i++)
        bytes += raft_entry_cost(&m->entries[i]);
    if (r->log.unstable_bytes > 0 && bytes > r->config.cache_bytes)
        return STATUS_OVERLOADED; /* the disk is behind; the leader asks again */
    if (entries[0].id.index <= r->log.last.index) {
        if (entries[0].id.index <= r->commit && !MUTANT(10)) {
            *ret_diverged = true; /* Leader Completeness is broken somewhere: never undo what was committed */
            return STATUS_CORRUPT;
        }
        raft_log_truncate(&r->log, entries[0].id.index, known > 0 ? entries[-1].hash : m->log_hash);
        raft_truncate_confs(r, entries[0].id.index);
        raft_batches_truncated(r, entries[0].id.index);
    }
    enum status status = raft_log_append(&r->log, entries, m->entry_count - known);
    if (status != STATUS_OK)
        return status;
    push_confs(r, entries, m->entry_count - known);
    return STATUS_OK;
}

enum status raft_recv_append(struct raft *r, const struct raft_message *m, bool *ret_diverged)
{
    uint32_t known = 0;
    raft_heard_leader(r, m->from);
    if (r->installing || r->install_ready)
        return STATUS_OK; /* the log is about to be replaced */
    if (m->log.index < r->commit && !MUTANT(13)) {
        raft_acknowledge(r, m->from, r->commit);
        return STATUS_OK;
    }
    if (!raft_log_matches(&r->log, m->log) && !(MUTANT(13) && m->log.index < r->log.base.index)) {
        refuse(r, m);
        return STATUS_OK;
    }
    if (history_differs(r, m->log, m->log_hash)) {
        *ret_diverged = true;
        return STATUS_CORRUPT;
    }
    enum status status = skip_known(r, m, &known, ret_diverged);
    if (status == STATUS_OK && known < m->entry_count)
        status = append_new(r, m, known, ret_diverged);
    if (status != STATUS_OK)
        return status;
    /* Not the last of our log: what lies behind the message may conflict with the leader's. */
    uint64_t covered = MUTANT(39) ? r->log.last.index : m->log.index + m->entry_count;
    raft_commit_to(r, m->commit < covered ? m->commit : covered);
    raft_acknowledge(r, m->from, covered);
    return STATUS_OK;
}

void raft_recv_heartbeat(struct raft *r, const struct raft_message *m)
{
    raft_heard_leader(r, m->from);
    /* The leader sends min(match, commit): what it knows that we have. */
    if (m->commit <= r->log.last.index && !r->installing)
        raft_commit_to(r, m->commit);
    raft_send(r, (struct raft_message){.type = RAFT_HEARTBEAT_RESPONSE, .to = m->from, .term = r->term, .read_seq = m->read_seq,
                                       .lost = r->suspect_until > 0});
}
