/* What only the leader can do, asked for on another node: a request travels there, its answer back (docs/formats.md, "Requests").
 * Asked once and never repeated: whether a request whose answer is lost took effect is not known, and said so. Loop thread. */
#ifndef CHRONOS_CLUSTER_FORWARD_H
#define CHRONOS_CLUSTER_FORWARD_H

#include "cluster/cluster.h"
#include "transport/hello.h"

struct forward;

must_use enum status forward_new(struct forward **ret, struct error *err);
void forward_free(struct forward *forward); /* accepts NULL; nobody is answered */

/* --- here, for the leader --- */
/* As cluster_propose; NO_LEADER, NO_QUORUM: none is known, or it cannot be reached (contact_refuse). deadline 0: until the leader
 * is lost. An answer is held back until this node has applied what it tells of. */
must_use enum status forward_propose(struct cluster *cluster, enum proposal_class class, struct bytes command, cluster_done done,
                                     void *arg, uint64_t token, uint64_t deadline_ns, struct error *err);
/* The others; what a kind has no use for is 0 or "". */
enum request_kind { /* on the wire: never renumber */
    REQUEST_PROPOSE = 1,
    REQUEST_JOIN = 2,     /* id, name, address */
    REQUEST_INVITE = 3,   /* name, address */
    REQUEST_REMOVE = 4,   /* name */
    REQUEST_TRANSFER = 5, /* name, or "" */
};
must_use enum status forward_ask(struct cluster *cluster, enum request_kind kind, uint64_t id, const char *name, const char *address,
                                 cluster_done done, void *arg, uint64_t token, struct error *err);
must_use bool forward_answered(struct cluster *cluster, const struct hello *remote, struct bytes payload, struct error *err);
void forward_applied(struct cluster *cluster);          /* this node stands at applied_index */
void forward_lost(struct cluster *cluster, uint64_t node); /* its link is down: what it was asked is not known */
bool forward_expire(struct cluster *cluster, uint64_t now_ns); /* true while some with a deadline wait */
void forward_abandon(struct cluster *cluster);          /* this node stops */
uint32_t forward_count(const struct forward *forward);

/* --- on the leader, for another node --- */
must_use bool forward_requested(struct cluster *cluster, const struct hello *remote, struct bytes payload, struct error *err);

#endif
