/* The other nodes: what the transport brings, and what goes out to them. Loop thread; only where cluster.raft.address is set. */
#ifndef CHRONOS_CLUSTER_LINKS_H
#define CHRONOS_CLUSTER_LINKS_H

#include "raft/raft.h"
#include "transport/transport.h"

struct cluster;

/* Types of frames (docs/formats.md, "Node links"). On the wire: never renumber. */
enum cluster_frame {
    FRAME_MESSAGE = 16,  /* of consensus */
    FRAME_JOIN = 17,     /* a node that belongs to no cluster asks for admission */
    FRAME_ADMITTED = 18, /* the answer, or an invitation */
    FRAME_REQUEST = 19,  /* something for the leader to do */
    FRAME_ANSWER = 20,
    FRAME_BEAT = 21,     /* to the leader: this node lives */
    FRAME_BEAT_ANSWER = 22,
    FRAME_OUTPUT_WANTED = 23, /* of a run on the receiver */
    FRAME_OUTPUT = 24,
};

/* By the newest configuration; NULL: no member. Borrowed until the next call into the core. */
const struct raft_member *links_member(const struct cluster *cluster, uint64_t id);
/* Who this node is, out of its log; before the log writer begins. */
void links_describe_self(struct cluster *cluster);
/* Which cluster this one was restored from, out of its state: at first, and when a snapshot has replaced that. */
void links_note_origin(struct cluster *cluster);
must_use enum status links_open(struct cluster *cluster, struct error *err);
void links_close(struct cluster *cluster, void (*closed)(void *arg), void *arg);
/* Calls the members of the configuration in force, or, without one, the peers of chronos.yaml. Cheap when nothing has changed. */
void links_follow_members(struct cluster *cluster);
/* False: dropped. */
bool links_send(struct cluster *cluster, const struct raft_message *message);
/* To the leader or back; false: dropped. */
bool links_send_frame(struct cluster *cluster, uint64_t node, enum cluster_frame type, struct bytes payload);
/* The same on the bulk lane, for what may be large. */
bool links_send_bulk(struct cluster *cluster, uint64_t node, enum cluster_frame type, struct bytes payload);
/* This node belongs to the cluster from now on: it says so on new links. */
void links_joined(struct cluster *cluster);

#endif
