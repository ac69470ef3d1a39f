#include "cluster/voters.h"

#include "base/log.h"
#include "cluster/cluster_internal.h"

uint32_t voters_even(const struct cluster *cluster)
{
    const struct voters *voters = &cluster->voters;
    struct raft_status status;
    raft_status(cluster->raft, &status);
    if (raft_conf_voters(status.conf) != voters->count)
        return 0; /* it has changed, and nobody looks at a node that is alone now */
    bool has_lasted = cluster_monotonic_ms(cluster) - voters->since_ms >= VOTERS_EVEN_MS;
    return voters->count > 0 && voters->count % 2 == 0 && has_lasted ? voters->count : 0;
}

void voters_look(struct cluster *cluster)
{
    struct voters *voters = &cluster->voters;
    struct raft_status status;
    raft_status(cluster->raft, &status);
    uint32_t count = raft_conf_voters(status.conf);
    if (count != voters->count)
        *voters = (struct voters){.count = count, .since_ms = cluster_monotonic_ms(cluster)};
    if (!cluster->is_leader || voters->is_said || voters_even(cluster) == 0)
        return;
    voters->is_said = true;
    LOG_WARN("an even number of nodes votes: that stands no more failures than one less", LOG_U64("voters", count),
             LOG_STRING("mend", "let another node join, or remove one"));
}
