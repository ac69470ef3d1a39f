#include "raft/progress.h"

#include <assert.h>
#include <string.h>

#include "raft/mutant.h"

enum status raft_progress_init(struct raft_progress *p, const struct raft_memory *memory, uint64_t id, uint64_t last,
                               uint32_t window)
{
    struct inflight_message *inflight = raft_memory_get(memory, window * sizeof *inflight);
    if (inflight == NULL)
        return STATUS_NO_MEMORY;
    *p = (struct raft_progress){.id = id, .next = last + 1, .inflight = inflight, .window = window, .allowed = window,
                                .active = true};
    return STATUS_OK;
}

void raft_progress_drop_fetched(struct raft_progress *p, const struct raft_memory *memory)
{
    for (uint32_t i = 0; i < p->fetched_count; i++)
        raft_memory_release(memory, (void *)(uintptr_t)p->fetched[i].data);
    raft_memory_release(memory, p->fetched);
    p->fetched = NULL;
    p->fetched_count = 0;
}

void raft_progress_deinit(struct raft_progress *p, const struct raft_memory *memory)
{
    raft_progress_drop_fetched(p, memory);
    raft_memory_release(memory, p->inflight);
    *p = (struct raft_progress){0};
}

static void reset(struct raft_progress *p, enum raft_progress_state state)
{
    p->state = state;
    p->paused = p->send_empty = false;
    p->head = p->count = 0;
    p->inflight_bytes = 0;
    p->fetch_wanted = p->fetching = false;
    p->chunk_wanted = p->chunk_sent = false;
}

/* Where the network reorders or loses, most of a window is refused, and each refusal could bring on the next window. So a probe
 * leaves room for one message, which a peer that has what it acknowledged does not refuse: of the others there are never more than
 * accepted ones have made room for. */
void raft_progress_become_probe(struct raft_progress *p)
{
    uint64_t from = p->match;
    /* A snapshot that was sent completely spares the probe of what lies before it. */
    if (p->state == RAFT_SEND_SNAPSHOT && p->snapshot_offset == p->snapshot_size && p->snapshot.index > from)
        from = p->snapshot.index;
    reset(p, RAFT_PROBE);
    p->next = from + 1;
    p->allowed = MUTANT(52) ? p->window : 1;
    p->send_empty = true;
}

void raft_progress_become_replicate(struct raft_progress *p)
{
    reset(p, RAFT_REPLICATE);
    p->next = p->match + 1;
}

void raft_progress_become_snapshot(struct raft_progress *p, struct raft_log_id snapshot, uint64_t size)
{
    reset(p, RAFT_SEND_SNAPSHOT);
    p->snapshot = snapshot;
    p->snapshot_size = size;
    p->snapshot_offset = 0;
    p->chunk_wanted = true;
    p->chunk_ticks = p->chunk_wait = 0;
    p->snapshot_failures = 0;
}

bool raft_progress_accept(struct raft_progress *p, uint64_t match)
{
    if (match <= p->match)
        return false;
    p->match = match;
    if (p->next <= match)
        p->next = match + 1;
    p->paused = false;
    return true;
}

bool raft_progress_reject(struct raft_progress *p, uint64_t refused, uint64_t hint)
{
    if (p->state == RAFT_REPLICATE) {
        if (refused <= p->match && !MUTANT(29)) /* an old refusal, overtaken by an acceptance */
            return false;
        p->next = p->match + 1;
        return true;
    }
    if (refused != p->next - 1 && !MUTANT(29)) /* not the answer to this probe */
        return false;
    uint64_t next = hint + 1 < refused ? hint + 1 : refused;
    if (next <= p->match)
        next = p->match + 1;
    if (next >= p->next && !MUTANT(29))
        return false; /* asking the same again at once would bring the same answer, as fast as the network can */
    p->next = next;
    p->paused = false;
    p->send_empty = true;
    return true;
}

void raft_progress_forget(struct raft_progress *p, uint64_t last)
{
    if (last < p->match)
        p->match = last;
    if (p->state != RAFT_SEND_SNAPSHOT)
        raft_progress_become_probe(p);
}

bool raft_progress_window_full(const struct raft_progress *p, uint64_t max_bytes)
{
    return p->count >= p->allowed || (p->count > 0 && p->inflight_bytes >= max_bytes);
}

void raft_progress_sent(struct raft_progress *p, uint64_t last_index, uint32_t entry_count, uint64_t bytes, uint64_t max_bytes)
{
    p->send_empty = false;
    if (p->state != RAFT_REPLICATE) {
        p->paused = true; /* one message a heartbeat until it answers */
        return;
    }
    if (entry_count > 0) {
        assert(p->count < p->allowed);
        p->inflight[(p->head + p->count++) % p->window] = (struct inflight_message){last_index, (uint32_t)bytes};
        p->inflight_bytes += bytes;
        p->next = last_index + 1; /* optimistic */
    }
    p->paused = raft_progress_window_full(p, max_bytes);
}

void raft_progress_free_to(struct raft_progress *p, uint64_t index)
{
    while (p->count > 0 && p->inflight[p->head].last_index <= index) {
        p->inflight_bytes -= p->inflight[p->head].bytes;
        p->head = (p->head + 1) % p->window;
        p->count--;
        if (p->allowed < p->window)
            p->allowed++;
    }
}
