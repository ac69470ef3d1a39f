/* Majorities, plain and joint. */
#ifndef CHRONOS_RAFT_QUORUM_H
#define CHRONOS_RAFT_QUORUM_H

#include "raft/conf.h"

/* The highest value that a majority of the voters (and, when joint, one of the outgoing voters) has reached; `values[i]` is that
 * of conf->members[i], 0 where nothing is known. UINT64_MAX for a half without members: it holds nothing back. */
uint64_t raft_quorum_value(const struct raft_conf *conf, const uint64_t values[RAFT_MEMBERS_MAX]);

enum raft_tally { RAFT_VOTE_PENDING, RAFT_VOTE_WON, RAFT_VOTE_LOST };
/* `votes[i]`: 1 granted, -1 refused, 0 not heard of. An empty half is won. */
enum raft_tally raft_quorum_tally(const struct raft_conf *conf, const int8_t votes[RAFT_MEMBERS_MAX]);

#endif
