/* One core without a world: its disk always succeeds, unless `held`. */
#ifndef CHRONOS_TESTS_UNIT_RAFT_CORE_H
#define CHRONOS_TESTS_UNIT_RAFT_CORE_H

#include <stdbool.h>

#include "base/id.h"
#include "raft/raft.h"

enum { SENT_MAX = 2048 };

struct core {
    struct raft *raft;
    bool held;
    uint64_t seq;                      /* newest that was handed out */
    uint32_t batches;                  /* handed out and not durable */
    struct raft_message sent[SENT_MAX]; /* entries and snapshot are not kept */
    uint32_t sent_count;
    struct raft_read_state reads[64];
    uint32_t read_count;
};

struct raft_config core_config(uint64_t id);
/* Voters 1 to `voters`. */
void core_start(struct core *core, const struct raft_config *config, uint32_t voters);
void core_stop(struct core *core);
void core_drain(struct core *core);
void core_release(struct core *core);
/* Vote and no-op are granted by everybody: a leader whose no-op is committed. */
void core_lead(struct core *core, uint32_t voters);
enum status core_step(struct core *core, struct raft_message message);
/* Entries that continue `previous` with right hashes; `size` bytes each. */
uint64_t make_entries(struct raft_entry *entries, uint32_t count, struct raft_log_id previous, uint64_t hash, uint64_t term,
                      uint32_t size);

#endif
