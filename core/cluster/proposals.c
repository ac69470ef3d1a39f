#include "cluster/proposals.h"

#include <assert.h>
#include <stdlib.h>

struct proposal {
    cluster_done done; /* NULL: answered already */
    void *arg;
    uint64_t token, term;
    uint64_t deadline_ns;
};

struct proposals {
    struct proposal *ring; /* PROPOSALS_MAX places */
    uint64_t first_index;  /* of the oldest one */
    uint32_t count;
};

enum status proposals_new(struct proposals **ret, struct error *err)
{
    struct proposals *proposals = calloc(1, sizeof *proposals);
    struct proposal *ring = calloc(PROPOSALS_MAX, sizeof *ring);
    if (proposals == NULL || ring == NULL) {
        free(proposals);
        free(ring);
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    }
    proposals->ring = ring;
    *ret = proposals;
    return STATUS_OK;
}

void proposals_free(struct proposals *proposals)
{
    if (proposals == NULL)
        return;
    free(proposals->ring);
    free(proposals);
}

uint32_t proposals_count(const struct proposals *proposals)
{
    return proposals->count;
}

static struct proposal *at(struct proposals *proposals, uint64_t index)
{
    return &proposals->ring[index % PROPOSALS_MAX];
}

enum status proposals_room(const struct proposals *proposals, uint64_t index, struct error *err)
{
    if (proposals->count > 0 && index - proposals->first_index >= PROPOSALS_MAX)
        return error_set(err, STATUS_OVERLOADED, "%d writes wait already; try again in a second", PROPOSALS_MAX);
    return STATUS_OK;
}

static void answer(struct proposal *proposal, const struct cluster_outcome *outcome)
{
    cluster_done done = proposal->done;
    proposal->done = NULL;
    if (done != NULL)
        done(proposal->arg, proposal->token, outcome);
}

static void answer_from(struct proposals *proposals, uint64_t from, const struct cluster_outcome *outcome)
{
    while (proposals->count > 0 && proposals->first_index + proposals->count > from)
        answer(at(proposals, proposals->first_index + --proposals->count), outcome);
}

/* Entries that this node's log has dropped can still be in another's, whose owner may come to lead and commit them. */
static const struct cluster_outcome replaced = {
    .status = STATUS_OUTCOME_UNKNOWN,
    .message = "the leader changed before the write was confirmed; it may still take effect: read before you repeat it",
};

void proposals_replaced(struct proposals *proposals, uint64_t from)
{
    for (uint64_t i = from; proposals->count > 0 && i < proposals->first_index + proposals->count; i++)
        if (i >= proposals->first_index && at(proposals, i)->deadline_ns == 0)
            answer(at(proposals, i), &replaced);
}

void proposals_forget(struct proposals *proposals)
{
    answer_from(proposals, 0, &replaced);
}

void proposals_add(struct proposals *proposals, struct raft_log_id id, cluster_done done, void *arg, uint64_t token,
                   uint64_t deadline_ns)
{
    uint64_t index = id.index;
    if (proposals->count > 0 && index < proposals->first_index + proposals->count)
        answer_from(proposals, index, &replaced);
    if (proposals->count == 0)
        proposals->first_index = index;
    assert(index - proposals->first_index < PROPOSALS_MAX);
    for (; proposals->first_index + proposals->count < index; proposals->count++) /* entries of the core itself */
        *at(proposals, proposals->first_index + proposals->count) = (struct proposal){0};
    proposals->count++;
    *at(proposals, index) =
        (struct proposal){.done = done, .arg = arg, .token = token, .term = id.term, .deadline_ns = deadline_ns};
}

static const struct cluster_outcome lost = {
    .status = STATUS_NO_LEADER,
    .message = "the leader changed, and another write took the place of this one; it was not done: repeat it",
};

void proposals_decide(struct proposals *proposals, const struct apply_result *result, uint64_t term)
{
    if (proposals->count == 0 || result->index < proposals->first_index)
        return;
    assert(result->index == proposals->first_index);
    struct proposal proposal = *at(proposals, result->index);
    proposals->first_index++;
    proposals->count--;
    if (proposal.term == term)
        answer(&proposal, &(struct cluster_outcome){.status = STATUS_OK, .result = *result, .message = ""});
    else
        answer(&proposal, &lost);
}

bool proposals_expire(struct proposals *proposals, uint64_t now_ns)
{
    const struct cluster_outcome unknown = {
        .status = STATUS_OUTCOME_UNKNOWN,
        .message = "the write was taken but not confirmed in time; it may still take effect: read before you repeat it",
    };
    for (uint32_t i = 0; i < proposals->count; i++) {
        struct proposal *proposal = at(proposals, proposals->first_index + i);
        if (proposal->done == NULL || proposal->deadline_ns == 0)
            continue;
        if (proposal->deadline_ns > now_ns)
            return true; /* deadlines grow with the index */
        answer(proposal, &unknown);
    }
    return false;
}

void proposals_abandon(struct proposals *proposals)
{
    const struct cluster_outcome unknown = {
        .status = STATUS_OUTCOME_UNKNOWN,
        .message = "this node stops with a full disk; the write may still take effect: read before you repeat it",
    };
    for (; proposals->count > 0; proposals->count--, proposals->first_index++)
        answer(at(proposals, proposals->first_index), &unknown);
}
