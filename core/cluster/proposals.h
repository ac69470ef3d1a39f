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
/* There is room. `at.index` is above the last one added (or anything when empty); those between belong to nobody. deadline 0: none. */
void proposals_add(struct proposals *proposals, struct raft_log_id at, cluster_done done, void *arg, uint64_t token,
                   uint64_t deadline_ns);
/* The entry at result->index, which is the oldest undecided one or lies before all of them, was applied; if it has another term
 * than what was proposed there, a newer leader's took its place: NO_LEADER. */
void proposals_decide(struct proposals *proposals, const struct apply_result *result, uint64_t term);
/* Answers OUTCOME_UNKNOWN to those past their deadline; true while some with a deadline still wait. */
bool proposals_expire(struct proposals *proposals, uint64_t now_ns);
/* The entries from `from` on were dropped for others of a newer leader: certainly not done. Answers NO_LEADER. */
void proposals_truncate(struct proposals *proposals, uint64_t from);
/* The log holds this entry now: if something else was proposed there, it and what followed are lost. Answers NO_LEADER. */
void proposals_replaced(struct proposals *proposals, struct raft_log_id by);
/* Answers OUTCOME_UNKNOWN to all that still wait: the disk is full and the node stops. */
void proposals_abandon(struct proposals *proposals);

#endif
