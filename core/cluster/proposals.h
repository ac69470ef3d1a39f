/* Proposals that wait for their entry: a ring over consecutive indexes. Loop thread. */
#ifndef CHRONOS_CLUSTER_PROPOSALS_H
#define CHRONOS_CLUSTER_PROPOSALS_H

#include "cluster/cluster.h"
#include "raft/raft.h"

struct proposals;

must_use enum status proposals_new(struct proposals **ret, struct error *err);
void proposals_free(struct proposals *proposals);
uint32_t proposals_count(const struct proposals *proposals); /* indexes between the oldest undecided and the newest */
/* OVERLOADED when there is no place for `index`: PROPOSALS_MAX wait. */
must_use enum status proposals_room(const struct proposals *proposals, uint64_t index, struct error *err);
/* There is room. Indexes between the last one added and `at.index` belong to nobody. Those that wait at or above it, since another
 * leader has replaced their entries in this log, are answered with OUTCOME_UNKNOWN. deadline 0: none. `done` NULL: nobody waits. */
void proposals_add(struct proposals *proposals, struct raft_log_id at, cluster_done done, void *arg, uint64_t token,
                   uint64_t deadline_ns);
/* Another leader's entries take the places from `from` on, in this log: those that wait there without a deadline are answered
 * OUTCOME_UNKNOWN; the others may still learn that they were certainly not done. */
void proposals_replaced(struct proposals *proposals, uint64_t from);
/* A snapshot took the place of the log: OUTCOME_UNKNOWN to all. */
void proposals_forget(struct proposals *proposals);
/* The entry at result->index, which is the oldest undecided one or lies before all of them, was applied; if it has another term
 * than what was proposed there, that was certainly not done: NO_LEADER. To be dropped here is not enough: it may be in another
 * log. */
void proposals_decide(struct proposals *proposals, const struct apply_result *result, uint64_t term);
/* Answers OUTCOME_UNKNOWN to those past their deadline; true while some with a deadline still wait. */
bool proposals_expire(struct proposals *proposals, uint64_t now_ns);
/* Answers OUTCOME_UNKNOWN to all that still wait: the disk is full and the node stops. */
void proposals_abandon(struct proposals *proposals);

#endif
