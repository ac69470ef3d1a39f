#include "core.h"

#include <stdlib.h>
#include <string.h>

struct raft_config core_config(uint64_t id)
{
    return (struct raft_config){.id = id, .seed = 7, .election_ticks = 10, .heartbeat_ticks = 1, .max_message_bytes = 4096,
                                .max_inflight_messages = 8, .max_inflight_bytes = 65536, .max_uncommitted_bytes = 1000,
                                .max_reads = 4, .cache_bytes = 1 << 16};
}

void core_start(struct core *core, const struct raft_config *config, uint32_t voters)
{
    struct raft_boot boot = {0};
    *core = (struct core){.raft = NULL};
    for (uint32_t i = 0; i < voters; i++)
        boot.conf.members[boot.conf.count++] = (struct raft_member){.id = i + 1, .role = RAFT_VOTER};
    if (raft_new(config, &boot, &core->raft) != STATUS_OK)
        abort();
}

void core_stop(struct core *core)
{
    raft_free(core->raft);
}

static bool take(struct core *core)
{
    struct raft_output out;
    raft_take(core->raft, &out);
    bool any = out.seq != 0 || out.message_count > 0 || out.apply_first != 0 || out.read_count > 0;
    for (uint32_t i = 0; i < out.message_count; i++) {
        core->sent[core->sent_count % SENT_MAX] = out.messages[i];
        core->sent[core->sent_count++ % SENT_MAX].entries = NULL;
    }
    for (uint32_t i = 0; i < out.read_count; i++)
        core->reads[core->read_count++ % 64] = out.reads[i];
    uint64_t applied = out.apply_last;
    if (out.seq != 0) {
        core->seq = out.seq;
        core->batches++;
    }
    bool install = out.install != NULL;
    struct raft_snapshot_meta meta = {0};
    struct raft_chunk chunk = {0};
    if (out.chunk != NULL) {
        chunk = *out.chunk;
        meta = *out.chunk->snapshot;
    }
    if (applied != 0)
        raft_applied(core->raft, applied);
    if (chunk.snapshot != NULL)
        raft_stored(core->raft, &meta, chunk.offset + chunk.data.size, true);
    if (install) {
        raft_persisted(core->raft, core->seq - 1); /* in the order of seq */
        raft_installed(core->raft, true);
        core->batches = 0;
    } else if (!core->held && core->batches > 0) {
        core_release(core);
    }
    return any || chunk.snapshot != NULL;
}

void core_release(struct core *core)
{
    raft_persisted(core->raft, core->seq);
    core->batches = 0;
}

void core_drain(struct core *core)
{
    while (take(core))
        ;
}

enum status core_step(struct core *core, struct raft_message message)
{
    bool diverged;
    message.to = message.to != 0 ? message.to : 1;
    enum status status = raft_step(core->raft, &message, &diverged);
    core_drain(core);
    return status;
}

void core_lead(struct core *core, uint32_t voters)
{
    if (raft_campaign(core->raft) != STATUS_OK)
        abort();
    core_drain(core);
    for (uint32_t i = 2; i <= voters; i++)
        (void)core_step(core, (struct raft_message){.type = RAFT_VOTE_RESPONSE, .from = i, .term = raft_term(core->raft)});
    for (uint32_t i = 2; i <= voters; i++)
        (void)core_step(core, (struct raft_message){.type = RAFT_APPEND_RESPONSE, .from = i, .term = raft_term(core->raft),
                                                    .match = raft_last(core->raft).index});
    if (raft_role(core->raft) != RAFT_LEADER || raft_commit(core->raft) != raft_last(core->raft).index)
        abort();
}

uint64_t make_entries(struct raft_entry *entries, uint32_t count, struct raft_log_id previous, uint64_t hash, uint64_t term,
                      uint32_t size)
{
    static const char data[4096] = "x";
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = (struct raft_entry){.id = {previous.index + 1 + i, term}, .type = RAFT_ENTRY_NORMAL,
                                         .data = size > 0 ? data : NULL, .size = size};
        hash = entries[i].hash = raft_entry_hash(hash, &entries[i]);
    }
    return hash;
}
