/* The log as the core knows it: where each term begins over all of it, and the newest entries themselves. Older entries are on
 * the owner's disk and are fetched when a peer needs them. */
#ifndef CHRONOS_RAFT_LOG_H
#define CHRONOS_RAFT_LOG_H

#include "raft/memory.h"
#include "raft/raft.h"

/* What an entry takes of every limit in bytes: without a share for what describes it, empty entries would be without limit. */
static inline uint64_t raft_entry_cost(const struct raft_entry *entry)
{
    return entry->size + sizeof *entry;
}

struct raft_log {
    struct raft_memory *memory;
    struct raft_log_id base, last; /* entries are (base.index, last.index] */
    uint64_t last_hash;

    struct raft_term_run *runs;    /* over the same, ascending; empty in an empty log */
    uint32_t run_count, run_capacity;

    struct raft_entry *entries;    /* slots; in use: [head, head + cached), consecutive, ending at `last`; data is owned */
    uint32_t head, cached, capacity;
    uint64_t cached_bytes;
    uint64_t hash_before;          /* running hash before the first of them; 0: not known */

    uint64_t persisted;            /* durable through here; at most last.index; raft_log_persist alone raises it */
    uint64_t unstable_bytes;       /* of the entries above it */
    uint64_t taken;                /* handed out for writing through here */
    uint64_t truncated_from;       /* to be handed out before what follows; 0: nothing was dropped */
};

void raft_log_init(struct raft_log *log, struct raft_memory *memory);
void raft_log_deinit(struct raft_log *log);
must_use enum status raft_log_load(struct raft_log *log, const struct raft_boot *boot);

/* 0 where neither base nor entry. */
uint64_t raft_log_term(const struct raft_log *log, uint64_t index);
bool raft_log_matches(const struct raft_log *log, struct raft_log_id id);
/* Of an entry in memory, of the one before these, of `last`; 0: not known. */
uint64_t raft_log_hash(const struct raft_log *log, uint64_t index);
/* The last position at or before `at.index` whose term is at most `at.term`; term 0 where it lies before the log. */
struct raft_log_id raft_log_find_conflict(const struct raft_log *log, struct raft_log_id at);
/* Entry in memory; NULL elsewhere. */
const struct raft_entry *raft_log_entry(const struct raft_log *log, uint64_t index);

/* Entries that continue the log; data is copied. All or nothing: NO_MEMORY changes nothing. */
must_use enum status raft_log_append(struct raft_log *log, const struct raft_entry *entries, uint32_t count);
/* Drop entries from `from`; `hash_before` is the running hash at from - 1. */
void raft_log_truncate(struct raft_log *log, uint64_t from, uint64_t hash_before);
/* Forget what lies at or before `upto`. */
void raft_log_compact(struct raft_log *log, uint64_t upto);
/* An empty log behind a snapshot, durable. */
void raft_log_reset(struct raft_log *log, struct raft_log_id base, uint64_t hash);
/* Drop durable entries at or before `upto` from memory, oldest first, until `limit_bytes` fit. */
void raft_log_evict(struct raft_log *log, uint64_t limit_bytes, uint64_t upto);
/* Entries through `index` are durable. */
void raft_log_persist(struct raft_log *log, uint64_t index);

#endif
