/* Proposals that wait for their entry: a ring over consecutive indexes. Loop thread. */
#ifndef CHRONOS_CLUSTER_PROPOSALS_H
#define CHRONOS_CLUSTER_PROPOSALS_H

#include "cluster/cluster.h"

struct proposals;

must_use enum status proposals_new(struct proposals **ret, struct error *err);
void proposals_free(struct proposals *proposals);
uint32_t proposals_count(const struct proposals *proposals); /* indexes between the oldest undecided and the newest */
/* OVERLOADED when there is no place for `index`: PROPOSALS_MAX wait. */
must_use enum status proposals_room(const struct proposals *proposals, uint64_t index, struct error *err);
/* There is room. `index` is above the last one added (or anything when empty); those between belong to nobody. deadline 0: none. */
void proposals_add(struct proposals *proposals, uint64_t index, cluster_done done, void *arg, uint64_t token,
                   uint64_t deadline_ns);
/* The entry at result->index, which is the oldest undecided one or lies before all of them, was applied. */
void proposals_decide(struct proposals *proposals, const struct apply_result *result);
/* Answers OUTCOME_UNKNOWN to those past their deadline; true while some with a deadline still wait. */
bool proposals_expire(struct proposals *proposals, uint64_t now_ns);
/* The entries from `from` on were dropped for others of a newer leader: certainly not done. Answers NO_LEADER. */
void proposals_truncate(struct proposals *proposals, uint64_t from);
/* Answers OUTCOME_UNKNOWN to all that still wait: the disk is full and the node stops. */
void proposals_abandon(struct proposals *proposals);

#endif
