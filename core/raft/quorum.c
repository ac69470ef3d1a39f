#include "raft/quorum.h"

/* At most RAFT_MEMBERS_MAX values: inserting beats anything cleverer. */
static uint64_t majority_value(const struct raft_conf *conf, const uint64_t *values, uint8_t half)
{
    uint64_t sorted[RAFT_MEMBERS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < conf->count; i++) {
        if ((conf->members[i].role & half) == 0)
            continue;
        uint32_t at = count++;
        for (; at > 0 && sorted[at - 1] < values[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = values[i];
    }
    return count == 0 ? UINT64_MAX : sorted[count / 2];
}

uint64_t raft_quorum_value(const struct raft_conf *conf, const uint64_t values[RAFT_MEMBERS_MAX])
{
    uint64_t incoming = majority_value(conf, values, RAFT_VOTER);
    uint64_t outgoing = majority_value(conf, values, RAFT_OUTGOING);
    return incoming < outgoing ? incoming : outgoing;
}

static enum raft_tally majority_tally(const struct raft_conf *conf, const int8_t *votes, uint8_t half)
{
    uint32_t voters = 0, granted = 0, refused = 0;
    for (uint32_t i = 0; i < conf->count; i++) {
        if ((conf->members[i].role & half) == 0)
            continue;
        voters++;
        granted += votes[i] > 0;
        refused += votes[i] < 0;
    }
    uint32_t needed = voters / 2 + 1;
    if (voters == 0 || granted >= needed)
        return RAFT_VOTE_WON;
    return voters - refused < needed ? RAFT_VOTE_LOST : RAFT_VOTE_PENDING;
}

enum raft_tally raft_quorum_tally(const struct raft_conf *conf, const int8_t votes[RAFT_MEMBERS_MAX])
{
    enum raft_tally incoming = majority_tally(conf, votes, RAFT_VOTER);
    enum raft_tally outgoing = majority_tally(conf, votes, RAFT_OUTGOING);
    if (incoming == RAFT_VOTE_LOST || outgoing == RAFT_VOTE_LOST)
        return RAFT_VOTE_LOST;
    return incoming == RAFT_VOTE_WON && outgoing == RAFT_VOTE_WON ? RAFT_VOTE_WON : RAFT_VOTE_PENDING;
}
