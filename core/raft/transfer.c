/* Handing leadership over (Thesis 3.10): to a peer by name, or away from a disk that hangs. */
#include "raft/internal.h"

static uint64_t best_target(const struct raft *r)
{
    const struct raft_conf *conf = raft_active_conf(r);
    uint64_t best = 0, match = 0;
    for (uint32_t i = 0; i < conf->count; i++) {
        const struct raft_progress *p = &r->progress[i];
        if (p->id != 0 && (conf->members[i].role & RAFT_VOTER) != 0 && p->state == RAFT_REPLICATE &&
            p->silent_ticks < r->config.election_ticks && (best == 0 || p->match > match)) {
            best = p->id;
            match = p->match;
        }
    }
    return best;
}

enum status raft_transfer(struct raft *r, uint64_t to)
{
    if (r->role != RAFT_LEADER)
        return STATUS_NO_LEADER;
    if (r->transfer_to != 0)
        return STATUS_CONFLICT;
    uint64_t target = to != 0 ? to : best_target(r);
    const struct raft_member *member = raft_conf_find(raft_active_conf(r), target);
    if (member == NULL || (member->role & RAFT_VOTER) == 0 || target == r->config.id)
        return STATUS_INVALID;
    r->transfer_to = target;
    r->transfer_elapsed = 0;
    r->transfer_sent = false;
    raft_transfer_step(r);
    return STATUS_OK;
}

/* Its match is what it has durable: TimeoutNow goes out once that is everything, and nothing is appended after. */
void raft_transfer_step(struct raft *r)
{
    const struct raft_progress *p = raft_progress_of(r, r->transfer_to);
    if (r->transfer_to == 0 || p == NULL || p->match < r->log.last.index || r->transfer_sent)
        return;
    r->transfer_sent = true;
    raft_send(r, (struct raft_message){.type = RAFT_TIMEOUT_NOW, .to = r->transfer_to, .term = r->term});
}

void raft_transfer_tick(struct raft *r)
{
    if (r->transfer_to == 0 || ++r->transfer_elapsed < r->config.election_ticks)
        return;
    r->transfer_to = 0;
    r->transfer_sent = false;
}

/* Heartbeats of a leader whose disk hangs would keep it in office for ever, committing nothing. */
void raft_disk_tick(struct raft *r)
{
    uint64_t waited = r->batch_count > 0 ? r->ticks - r->batches[r->batch_head].taken_at : 0;
    r->disk_stalled = r->batch_count > 0 && waited >= r->config.election_ticks && !MUTANT(24);
    if (!r->disk_stalled || r->role != RAFT_LEADER)
        return;
    /* First try to give it to somebody whose disk works; at the latest after another timeout give it up. */
    bool handed = waited < 2u * r->config.election_ticks && (r->transfer_to != 0 || raft_transfer(r, 0) == STATUS_OK);
    if (!handed)
        raft_become_follower(r, 0);
}
