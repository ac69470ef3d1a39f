#include "raft/log.h"

#include <assert.h>
#include <string.h>

#include "base/codec.h"
#include "raft/mutant.h"

enum { ENTRY_IDENTITY_SIZE = 21 };

/* What identifies an entry goes into both sums, so that a misdirected write is seen too. */
static void identity(const struct raft_entry *entry, uint8_t out[ENTRY_IDENTITY_SIZE])
{
    store_le64(out, entry->id.index);
    store_le64(out + 8, entry->id.term);
    out[16] = entry->type;
    store_le32(out + 17, entry->size);
}

uint64_t raft_entry_hash(uint64_t previous, const struct raft_entry *entry)
{
    uint8_t id[ENTRY_IDENTITY_SIZE];
    identity(entry, id);
    return hash64(hash64(previous, id, sizeof id), entry->data, entry->size);
}

uint32_t raft_entry_crc(const struct raft_entry *entry)
{
    uint8_t id[ENTRY_IDENTITY_SIZE];
    identity(entry, id);
    return crc32c(crc32c(0, id, sizeof id), entry->data, entry->size);
}

void raft_log_init(struct raft_log *log, struct raft_memory *memory)
{
    *log = (struct raft_log){.memory = memory};
}

static void free_entries(struct raft_log *log, uint32_t from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct raft_entry *entry = &log->entries[log->head + from + i];
        log->cached_bytes -= raft_entry_cost(entry);
        raft_memory_release(log->memory, (void *)(uintptr_t)entry->data);
    }
}

void raft_log_deinit(struct raft_log *log)
{
    free_entries(log, 0, log->cached);
    raft_memory_release(log->memory, log->entries);
    raft_memory_release(log->memory, log->runs);
}

/* --- runs of terms --- */

static bool reserve_runs(struct raft_log *log, uint32_t more)
{
    if (log->run_count + more > RAFT_TERM_RUNS_MAX)
        return false;
    void *runs = log->runs;
    if (!raft_memory_reserve(log->memory, &runs, &log->run_capacity, log->run_count + more, sizeof log->runs[0]))
        return false;
    log->runs = runs;
    return true;
}

/* Room was reserved. */
static void extend_runs(struct raft_log *log, struct raft_log_id id)
{
    if (log->run_count == 0 || log->runs[log->run_count - 1].term != id.term)
        log->runs[log->run_count++] = (struct raft_term_run){.term = id.term, .first = id.index};
}

/* The run that `index`, an entry of the log, lies in. */
static uint32_t run_of(const struct raft_log *log, uint64_t index)
{
    uint32_t low = 0, high = log->run_count - 1;
    if (log->runs[high].first <= index)
        return high; /* nearly always */
    while (low + 1 < high) {
        uint32_t middle = low + (high - low) / 2;
        if (log->runs[middle].first <= index)
            low = middle;
        else
            high = middle;
    }
    return low;
}

uint64_t raft_log_term(const struct raft_log *log, uint64_t index)
{
    if (index == log->base.index)
        return log->base.term;
    if (index < log->base.index || index > log->last.index)
        return 0;
    return log->runs[run_of(log, index)].term;
}

bool raft_log_matches(const struct raft_log *log, struct raft_log_id id)
{
    return id.index >= log->base.index && id.index <= log->last.index && raft_log_term(log, id.index) == id.term;
}

struct raft_log_id raft_log_find_conflict(const struct raft_log *log, struct raft_log_id at)
{
    uint64_t index = at.index < log->last.index ? at.index : log->last.index;
    if (index > log->base.index) {
        uint32_t run = run_of(log, index);
        for (;; run--) {
            if (log->runs[run].term <= at.term)
                return (struct raft_log_id){index, log->runs[run].term};
            index = log->runs[run].first - 1;
            if (run == 0)
                break;
        }
    }
    if (index == log->base.index && log->base.term <= at.term)
        return log->base;
    return (struct raft_log_id){index == log->base.index && index > 0 ? index - 1 : index, 0};
}

/* --- entries in memory --- */

/* First index in memory; last.index + 1 when there is none. */
static uint64_t first_cached(const struct raft_log *log)
{
    return log->last.index - log->cached + 1;
}

const struct raft_entry *raft_log_entry(const struct raft_log *log, uint64_t index)
{
    uint64_t first = first_cached(log);
    if (index < first || index > log->last.index)
        return NULL;
    return &log->entries[log->head + (index - first)];
}

uint64_t raft_log_hash(const struct raft_log *log, uint64_t index)
{
    if (index == log->last.index)
        return log->last_hash;
    if (index + 1 == first_cached(log))
        return log->hash_before;
    const struct raft_entry *entry = raft_log_entry(log, index);
    return entry != NULL ? entry->hash : 0;
}

static bool reserve_entries(struct raft_log *log, uint32_t more)
{
    if (log->head > 0 && log->head + log->cached + more > log->capacity) {
        memmove(log->entries, log->entries + log->head, log->cached * sizeof log->entries[0]);
        log->head = 0;
    }
    void *entries = log->entries;
    if (!raft_memory_reserve(log->memory, &entries, &log->capacity, log->head + log->cached + more, sizeof log->entries[0]))
        return false;
    log->entries = entries;
    return true;
}

static bool copy_data(struct raft_log *log, const struct raft_entry *from, struct raft_entry *to)
{
    *to = *from;
    to->data = NULL;
    if (from->size == 0)
        return true;
    void *data = log->memory->alloc.allocate(log->memory->alloc.arg, from->size);
    if (data == NULL)
        return false;
    memcpy(data, from->data, from->size);
    to->data = data;
    return true;
}

enum status raft_log_append(struct raft_log *log, const struct raft_entry *entries, uint32_t count)
{
    if (count == 0)
        return STATUS_OK;
    if (!reserve_entries(log, count) || !reserve_runs(log, count < 8 ? count : 8))
        return STATUS_NO_MEMORY;
    uint32_t terms = 0;
    uint64_t term = log->run_count > 0 ? log->runs[log->run_count - 1].term : 0;
    for (uint32_t i = 0; i < count; i++) {
        terms += entries[i].id.term != term;
        term = entries[i].id.term;
    }
    if (!reserve_runs(log, terms))
        return STATUS_NO_MEMORY;
    struct raft_entry *to = &log->entries[log->head + log->cached];
    for (uint32_t i = 0; i < count; i++) {
        assert(entries[i].id.index == log->last.index + 1 + i);
        if (!copy_data(log, &entries[i], &to[i])) {
            while (i-- > 0)
                raft_memory_release(log->memory, (void *)(uintptr_t)to[i].data);
            return STATUS_NO_MEMORY;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        assert(entries[i].id.term >= log->last.term);
        extend_runs(log, entries[i].id);
        log->last = entries[i].id;
        log->cached_bytes += raft_entry_cost(&entries[i]);
        log->unstable_bytes += raft_entry_cost(&entries[i]);
    }
    log->cached += count;
    log->last_hash = entries[count - 1].hash;
    return STATUS_OK;
}

void raft_log_truncate(struct raft_log *log, uint64_t from, uint64_t hash_before)
{
    assert(from > log->base.index && from <= log->last.index);
    uint64_t first = first_cached(log);
    uint32_t kept = from > first ? (uint32_t)(from - first) : 0;
    for (uint64_t index = from > log->persisted ? from : log->persisted + 1; index <= log->last.index; index++)
        log->unstable_bytes -= raft_entry_cost(raft_log_entry(log, index));
    free_entries(log, kept, log->cached - kept);
    log->cached = kept;
    if (kept == 0)
        log->hash_before = hash_before;
    while (log->run_count > 0 && log->runs[log->run_count - 1].first >= from)
        log->run_count--;
    log->last.index = from - 1;
    log->last.term = raft_log_term(log, from - 1);
    log->last_hash = hash_before;
    if (log->taken >= from) {
        log->taken = from - 1;
        if (log->truncated_from == 0 || from < log->truncated_from)
            log->truncated_from = from;
    }
    if (log->persisted >= from && !MUTANT(34)) /* what is written there next is not durable because its predecessor was */
        log->persisted = from - 1;
}

void raft_log_compact(struct raft_log *log, uint64_t upto)
{
    assert(upto <= log->last.index);
    if (upto <= log->base.index)
        return;
    struct raft_log_id base = {upto, raft_log_term(log, upto)};
    uint64_t first = first_cached(log);
    if (upto >= first) {
        uint32_t gone = (uint32_t)(upto - first + 1);
        log->hash_before = log->entries[log->head + gone - 1].hash;
        free_entries(log, 0, gone);
        log->head += gone;
        log->cached -= gone;
    }
    uint32_t dropped = 0;
    while (dropped + 1 < log->run_count && log->runs[dropped + 1].first <= upto + 1)
        dropped++;
    if (upto == log->last.index)
        dropped = log->run_count;
    memmove(log->runs, log->runs + dropped, (log->run_count - dropped) * sizeof log->runs[0]);
    log->run_count -= dropped;
    if (log->run_count > 0 && log->runs[0].first <= upto)
        log->runs[0].first = upto + 1;
    log->base = base;
}

void raft_log_reset(struct raft_log *log, struct raft_log_id base, uint64_t hash)
{
    free_entries(log, 0, log->cached);
    log->head = log->cached = log->run_count = 0;
    log->base = log->last = base;
    log->last_hash = log->hash_before = hash;
    log->persisted = log->taken = base.index;
    log->unstable_bytes = 0;
    log->truncated_from = 0;
}

void raft_log_evict(struct raft_log *log, uint64_t limit_bytes, uint64_t upto)
{
    uint64_t first = first_cached(log), limit = upto < log->persisted ? upto : log->persisted;
    while (log->cached > 0 && log->cached_bytes > limit_bytes && first <= limit) {
        log->hash_before = log->entries[log->head].hash;
        free_entries(log, 0, 1);
        log->head++;
        log->cached--;
        first++;
    }
}

void raft_log_persist(struct raft_log *log, uint64_t index)
{
    for (; log->persisted < index; log->persisted++)
        log->unstable_bytes -= raft_entry_cost(raft_log_entry(log, log->persisted + 1));
}

enum status raft_log_load(struct raft_log *log, const struct raft_boot *boot)
{
    if (boot->last.index < boot->base.index || boot->last.term < boot->base.term ||
        (boot->last.index > boot->base.index) != (boot->run_count > 0))
        return STATUS_INVALID;
    for (uint32_t i = 0; i < boot->run_count; i++) {
        const struct raft_term_run *run = &boot->runs[i];
        uint64_t before = i == 0 ? boot->base.term : run[-1].term, least = i == 0 ? boot->base.index + 1 : run[-1].first + 1;
        bool fits = i == 0 ? run->first == least && run->term >= before : run->first >= least && run->term > before;
        if (!fits || run->term == 0 || run->first > boot->last.index)
            return STATUS_INVALID;
    }
    if (boot->run_count > 0 && boot->runs[boot->run_count - 1].term != boot->last.term)
        return STATUS_INVALID;
    if (!reserve_runs(log, boot->run_count))
        return STATUS_NO_MEMORY;
    if (boot->run_count > 0)
        memcpy(log->runs, boot->runs, boot->run_count * sizeof log->runs[0]);
    log->run_count = boot->run_count;
    log->base = boot->base;
    log->last = boot->last;
    log->last_hash = log->hash_before = boot->last_hash;
    log->persisted = log->taken = boot->last.index;
    return STATUS_OK;
}
