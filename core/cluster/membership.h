/* Who belongs to the cluster: asking for admission, admitting, inviting, promoting, removing. Loop thread. */
#ifndef CHRONOS_CLUSTER_MEMBERSHIP_H
#define CHRONOS_CLUSTER_MEMBERSHIP_H

#include "cluster/forward.h"
#include "raft/conf.h"
#include "transport/transport.h"

/* --- a node that belongs to none --- */
/* Over a link that it has dialled: at once, and again while it belongs to none. */
void membership_ask_on(struct cluster *cluster, struct transport_link link);
/* It was admitted, invited, or told why not. */
must_use bool membership_answered(struct cluster *cluster, const struct hello *remote, bool is_dialled, struct bytes payload,
                                  struct error *err);
/* The log has stored which cluster it is. */
void membership_stored(struct cluster *cluster, const struct id *cluster_id);

/* That node's cluster was restored from a snapshot of this one. */
void membership_superseded(struct cluster *cluster, const struct hello *remote);
/* That node belongs to the cluster that this one was restored from. If that lasts, somebody leads it: every job runs twice. */
void membership_origin_lives(struct cluster *cluster, const struct hello *remote);
/* Such a node is here, and nobody has led this one since it started: all were stopped, as a restore asks for. It does not campaign, so
 * that two nodes of the old cluster do not begin it again; whoever has been led since it started may, and is believed. */
bool membership_is_superseded(const struct cluster *cluster);

/* --- members --- */
const struct raft_member *membership_find(const struct raft_conf *conf, const char *name); /* NULL: there is none */
void membership_asked(struct cluster *cluster, struct transport_link link, const struct hello *remote);
/* A few times a second: the leader makes voters of learners that have caught up, and notes where members are now; who belongs to
 * no cluster asks again; who was removed says so. */
void membership_look(struct cluster *cluster);

must_use enum status membership_change(struct cluster *cluster, const struct raft_conf_change *change, cluster_done done, void *arg,
                                       uint64_t token, struct error *err);

/* The leader, whoever asks: `kind` and what it needs as in forward.h, `done` as for proposals. */
must_use enum status membership_do(struct cluster *cluster, enum request_kind kind, uint64_t id, const char *name,
                                   const char *address, cluster_done done, void *arg, uint64_t token, struct error *err);

/* The leader wants that node to lead in its place. Not again within ten seconds: while it is tried nothing is proposed.
 * True: it is being tried now. */
bool membership_let_lead(struct cluster *cluster, uint64_t to);

/* A node that was called has introduced itself: it may be invited, or not know yet that it was admitted. / Its link is gone. */
void membership_reached(struct cluster *cluster, struct transport_link link, const struct hello *remote);
void membership_left(struct cluster *cluster, struct transport_link link);
void membership_list_invited(const struct cluster *cluster, struct transport_peer *out, uint32_t *count);
/* Who leads may have changed. */
void membership_follow_leader(struct cluster *cluster);
bool membership_expire(struct cluster *cluster, uint64_t now_ns); /* true while somebody waits */
void membership_abandon(struct cluster *cluster);

#endif
