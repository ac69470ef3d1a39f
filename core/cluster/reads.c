#include "cluster/reads.h"

#include "cluster/cluster_internal.h"

/* --- asking --- */

static enum status read_index(struct cluster *cluster, uint32_t most, cluster_done done, void *arg, uint64_t token,
                              struct error *err)
{
    if (!contact_has_leader(cluster))
        return contact_refuse(cluster, err);
    enum status status = cluster->reads.count < most ? raft_read_index(cluster->raft, cluster->reads.ctx + 1) : STATUS_OVERLOADED;
    if (status == STATUS_NO_LEADER)
        return error_set(err, STATUS_NO_LEADER, "no leader is known yet; try again in a second");
    if (status != STATUS_OK)
        return error_set(err, STATUS_OVERLOADED, "%d consistent reads wait already", READS_MAX);
    cluster->reads.pending[cluster->reads.count++] =
        (struct pending_read){.ctx = ++cluster->reads.ctx, .index = UINT64_MAX, .done = done, .arg = arg, .token = token,
                              .deadline_ns = cluster_deadline_ns(cluster)};
    (void)uv_async_send(&cluster->progress); /* never before this call returns */
    return STATUS_OK;
}

enum status cluster_read_index(struct cluster *cluster, cluster_done done, void *arg, uint64_t token, struct error *err)
{
    if (contact_is_cut_off(cluster))
        return contact_refuse(cluster, err);
    return read_index(cluster, READS_MAX, done, arg, token, err);
}

enum status cluster_read_for_beat(struct cluster *cluster, cluster_done done, void *arg, uint64_t token, struct error *err)
{
    return read_index(cluster, READS_MAX + BEATS_HEARD_MAX, done, arg, token, err);
}

/* --- answering --- */

/* Only noted: whoever is answered may call into the core, and what it handed out would be gone. */
void reads_note(struct cluster *cluster, const struct raft_read_state *answer)
{
    for (uint32_t i = 0; i < cluster->reads.count; i++) {
        struct pending_read *read = &cluster->reads.pending[i];
        if (read->ctx != answer->ctx)
            continue;
        read->index = answer->status == STATUS_OK ? answer->index : 0;
        read->status = answer->status == STATUS_TIMEOUT ? STATUS_NO_QUORUM : answer->status;
        (void)uv_async_send(&cluster->progress); /* the state may be there already */
        return;
    }
}

static const char *read_failure(enum status status)
{
    if (status == STATUS_OK)
        return "";
    return status == STATUS_NO_QUORUM ? "no majority of the nodes confirmed who leads; try again in a second"
                                      : "leadership was lost before the read was confirmed; try again";
}

void reads_answer(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->reads.count;) {
        struct pending_read read = cluster->reads.pending[i];
        if (read.index > cluster->applied_index) {
            i++;
            continue;
        }
        cluster->reads.pending[i] = cluster->reads.pending[--cluster->reads.count]; /* before it is answered: it may ask again */
        read.done(read.arg, read.token, &(struct cluster_outcome){.status = read.status, .message = read_failure(read.status)});
    }
}

/* --- the end of waiting --- */

/* This node lags behind what it would have to show. The core's own answer, if it is still to come, finds nobody. */
bool reads_expire(struct cluster *cluster, uint64_t now_ns)
{
    for (uint32_t i = 0; i < cluster->reads.count;) {
        struct pending_read read = cluster->reads.pending[i];
        if (read.deadline_ns > now_ns) {
            i++;
            continue;
        }
        cluster->reads.pending[i] = cluster->reads.pending[--cluster->reads.count];
        read.done(read.arg, read.token,
                  &(struct cluster_outcome){.status = STATUS_NOT_READY,
                                            .message = "this node could not catch up with the cluster in time; ask another one"});
    }
    return cluster->reads.count > 0;
}

void reads_abandon(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->reads.count; i++)
        cluster->reads.pending[i].done(cluster->reads.pending[i].arg, cluster->reads.pending[i].token,
                               &(struct cluster_outcome){.status = STATUS_SHUTTING_DOWN,
                                                         .message = "this node is shutting down"});
    cluster->reads.count = 0;
}
