/* How a node introduces itself: the first frame of both sides of a link (docs/formats.md, "Node links"). */
#ifndef CHRONOS_TRANSPORT_HELLO_H
#define CHRONOS_TRANSPORT_HELLO_H

#include "base/address.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/id.h"
#include "base/limits.h"

/* Protocols that this build speaks. It must speak the newest of the build before it. */
enum { PROTOCOL_MIN = 1, PROTOCOL_MAX = 1 };

/* Two links a peer, so that a snapshot cannot delay a heartbeat. */
enum transport_lane { LANE_CONTROL, LANE_BULK, LANE_COUNT };

enum { HELLO_ADDRESS_SIZE = NODE_ADDRESS_MAX + 1 };

/* Features. On the wire: never renumber. */
enum {
    HELLO_CALLS_MEMBER = 1, /* of the caller: its cluster has a member at the address that it calls */
    HELLO_ASKS_PEERS = 2,   /* it asks its cluster.raft.peers for admission, and takes no invitation of others */
};

struct hello {
    uint16_t protocol_min, protocol_max;
    enum transport_lane lane;
    struct id cluster_id;  /* zero: of a node that belongs to no cluster yet */
    uint64_t node;         /* its raft id, never 0 */
    uint64_t session;      /* of this start of its process */
    uint32_t feature_level; /* the newest one that it knows */
    uint32_t features;      /* bits: HELLO_...; those that are not known mean nothing */
    char name[NODE_NAME_MAX + 1]; /* its node_id */
    char address[HELLO_ADDRESS_SIZE]; /* where its node link can be reached; "" is allowed for tools */
    struct id restored_from; /* the cluster whose snapshot this one began with; zero: none */
    bool is_name_proven;   /* not sent: its certificate carries the name. True without TLS, where nothing is proven */
};

void hello_encode(const struct hello *hello, struct buffer *out);
/* MALFORMED: damaged, or no node would say that. What a newer version appended is skipped. */
must_use enum status hello_decode(struct bytes encoded, struct hello *ret, struct error *err);
/* The newest protocol that both speak; 0: none. */
uint16_t hello_protocol(const struct hello *a, const struct hello *b);

#endif
