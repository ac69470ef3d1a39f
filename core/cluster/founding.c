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
