/* How far this node is from the rest of its cluster: when a leader last spoke to it, and whether a majority is out of its reach.
 * Loop thread. */
#ifndef CHRONOS_CLUSTER_CONTACT_H
#define CHRONOS_CLUSTER_CONTACT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct cluster;

struct contact {
    uint64_t started_ns;
    uint64_t heard_ns;      /* when a leader last spoke, or this node last led; 0: never since the start */
    uint64_t leaderless_ns; /* since when none is known; 0: one is */
    bool is_lost;           /* no majority: the links to it are down, or nobody has led for NO_QUORUM_ELECTIONS timeouts */
};

void contact_begin(struct cluster *cluster);
void contact_heard(struct cluster *cluster); /* the leader of this term has spoken */
/* Ten times a second, and when a link comes or goes: what requests ask for is found out here, once for all of them. */
void contact_look(struct cluster *cluster);

/* Whether a proposal has somewhere to go. A node whose log has not begun to arrive does not know yet who is who. */
bool contact_has_leader(const struct cluster *cluster);
/* A leader that has not noticed yet that it is none any more: what it took now would not be committed. */
bool contact_is_cut_off(const struct cluster *cluster);

/* For what needs a leader where none can be asked: NO_QUORUM if this node is on the minority's side of a partition, as far as it can
 * tell; else NO_LEADER, for an election is under way, or this node is no member. */
must_use enum status contact_refuse(const struct cluster *cluster, struct error *err);

#endif
