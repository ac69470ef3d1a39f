#include "cluster/founding.h"

#include <stdio.h>

#include "base/fatal.h"
#include "base/log.h"
#include "cluster/cluster_internal.h"

enum { LISTEN_MS = 3000, NS_PER_MS = 1000000 }; /* longer than a node waits between two calls */

void founding_begin(struct cluster *cluster)
{
    if (!cluster->stores.founds)
        return;
    cluster->founding = (struct founding){.is_pending = true, .due_ns = cluster_monotonic_ns(cluster) + (uint64_t)LISTEN_MS * NS_PER_MS};
    LOG_INFO("about to found a cluster; listening first whether one has this node as a member", LOG_MS("for", LISTEN_MS));
}

void founding_called(struct cluster *cluster, const struct hello *remote)
{
    if (cluster->founding.is_pending && !id_is_zero(&remote->cluster_id))
        (void)snprintf(cluster->founding.called_by, sizeof cluster->founding.called_by, "%s", remote->name); /* of one size */
}

/* Alone in a cluster that its configuration let it found; one that was restored goes on where another one ended. */
static bool is_sole_founder(const struct cluster *cluster)
{
    struct raft_status status;
    raft_status(cluster->raft, &status);
    return cluster->config.bootstrap && id_is_zero(&cluster->self.restored_from) && raft_conf_voters(status.conf) == 1 &&
           raft_conf_is_voter(status.conf, cluster->self.node);
}

void founding_contradicted(struct cluster *cluster, const struct hello *remote)
{
    struct founding *founding = &cluster->founding;
    bool is_member_there = (remote->features & HELLO_CALLS_MEMBER) != 0 && !id_is_zero(&remote->cluster_id);
    if (!is_member_there || founding->is_contradicted || cluster->stopping || cluster->config.second == NULL || !is_sole_founder(cluster))
        return;
    founding->is_contradicted = true;
    LOG_ERROR("this node founded a cluster of its own, and is a member of another one that calls it now: it stops, before both run the jobs",
              LOG_STRING("node_id", cluster->config.node_id), LOG_STRING("called_by", remote->name),
              LOG_STRING("address", remote->address),
              LOG_STRING("mend", "is its data lost: empty its data directory, remove the member there (chronosctl cluster remove), and start "
                                 "it with cluster.raft.peers and bootstrap: false; is the other cluster the one that is not wanted: stop "
                                 "that one first"));
    cluster->config.second(cluster->config.superseded_arg);
}

/* The core was blank, and so is everything around it: it is made anew on the log that names this node. */
static enum status found(struct cluster *cluster, struct error *err)
{
    log_writer_stop(cluster->writer);
    applier_stop(cluster->applier);
    cluster->writer = NULL;
    cluster->applier = NULL;
    raft_free(cluster->raft);
    cluster->raft = NULL;
    enum status status = cluster_stores_found(&cluster->config, &cluster->stores, err);
    if (status != STATUS_OK)
        return status;
    cluster->self.cluster_id = log_store_hard(cluster->stores.log)->cluster_id;
    cluster->applied_index = cluster->given_index = state_applied(cluster->stores.state).index;
    status = consensus_open(cluster, err);
    if (status == STATUS_OK)
        status = cluster_start_threads(cluster, err);
    if (status != STATUS_OK)
        return status;
    links_joined(cluster);
    return raft_campaign(cluster->raft);
}

void founding_look(struct cluster *cluster)
{
    struct founding *founding = &cluster->founding;
    struct error err;
    if (!founding->is_pending)
        return;
    if (!id_is_zero(&cluster->self.cluster_id) || cluster->is_joining || cluster->stopping) {
        founding->is_pending = false; /* it was admitted to one */
        return;
    }
    if (cluster_monotonic_ns(cluster) < founding->due_ns)
        return;
    founding->is_pending = false;
    if (founding->called_by[0] != '\0') {
        LOG_ERROR("no cluster is founded: another one calls this node, so it is a member there, and its data is gone here",
                  LOG_STRING("node_id", cluster->config.node_id), LOG_STRING("called_by", founding->called_by),
                  LOG_STRING("mend", "remove the member there (chronosctl cluster remove), then start this node with "
                                     "cluster.raft.peers and bootstrap: false; or give it its data back"));
        return;
    }
    if (found(cluster, &err) != STATUS_OK)
        fatal("the cluster cannot be founded", &err);
}
