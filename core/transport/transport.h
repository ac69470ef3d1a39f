/* Links between nodes: who listens, who dials whom, and what travels (docs/internals/transport.md).
 *
 * Every node dials every peer, twice: a control link and a bulk link, and sends on links that it has dialled; on an accepted link
 * it only answers those who belong to no cluster yet. Delivery is what Raft asks for: in order while a link lives, lost without a
 * word when it does not, or when more than TRANSPORT_OUTBOX_MAX waits. Nothing here knows what a frame means.
 *
 * All on the loop thread. The process must ignore SIGPIPE. */
#ifndef CHRONOS_TRANSPORT_TRANSPORT_H
#define CHRONOS_TRANSPORT_TRANSPORT_H

#include <uv.h>

#include "transport/hello.h"
#include "transport/tls.h"

/* Types below are the transport's own. */
enum { TRANSPORT_TYPE_FIRST = 16 };

/* A link by name: one that is gone is never taken for another. */
struct transport_link {
    uint32_t slot, generation;
};

/* None is called before the function that causes it has returned, except from within transport_flush. `remote` is borrowed. */
struct transport_ops {
    /* A node has introduced itself; its protocol, and with TLS its certificate, have been checked. False and `err`: it is told so
     * and turned away. */
    bool (*admit)(void *arg, const struct hello *remote, bool is_dialled, struct error *err);
    void (*up)(void *arg, struct transport_link link, const struct hello *remote, bool is_dialled);
    /* Once for every `up`, unless the link was replaced by a newer one of its lane, by either node. */
    void (*down)(void *arg, struct transport_link link, const struct hello *remote, bool is_dialled);
    /* The payload is borrowed for the call. False and `err`: the sender makes no sense; its link is closed. */
    bool (*frame)(void *arg, struct transport_link link, const struct hello *remote, bool is_dialled, uint8_t type,
                  struct bytes payload, struct error *err);
    void *arg;
};

struct transport_config {
    uv_loop_t *loop;
    struct hello self;             /* lane is ignored */
    const struct tls_files *tls;   /* NULL: without TLS; borrowed for the call */
    uint32_t handshake_ms;         /* 0: 10 s */
    uint32_t link_age_ms;          /* 0: a day. With TLS a link is made anew when it is so old, or up to a tenth sooner */
    uint32_t silence_ms;           /* sent and not acknowledged for so long: the link is dead (TCP_USER_TIMEOUT) */
    struct transport_ops ops;
};

struct transport;

must_use enum status transport_new(const struct transport_config *config, struct transport **ret, struct error *err);
/* "10.0.0.1:7000"; port 0: *ret_port is the one that the system chose. IO: it is taken, or is not this machine's. */
must_use enum status transport_listen(struct transport *transport, const char *address, int *ret_port, struct error *err);
/* Closes everything; `closed` is called once on the loop, and the transport is freed behind it. No op is called any more. */
void transport_close(struct transport *transport, void (*closed)(void *arg), void *arg);

/* What this node says of itself from now on, on new links: it has joined a cluster, for example. */
void transport_set_self(struct transport *transport, const struct hello *self);
/* New keys for new links; those that are up are made anew, one by one, also where the other node has dialled them. As before on
 * failure. Blocks while it reads the files. */
must_use enum status transport_reload_tls(struct transport *transport, const struct tls_files *tls, struct error *err);
int64_t transport_tls_expires_s(const struct transport *transport); /* of this node's certificate, Unix time; INT64_MAX without TLS */

struct transport_peer {
    uint64_t id;         /* 0: whoever answers at the address */
    const char *address; /* copied */
};
/* Whom to dial: those not named any more are hung up on, also where they had dialled this node. The same address for the same
 * peer leaves its links alone. NO_MEMORY, TOO_MANY, INVALID (an address): as before. */
must_use enum status transport_set_peers(struct transport *transport, const struct transport_peer *peers, uint32_t count,
                                         struct error *err);

/* Both copy the payload; what was sent leaves with the next transport_flush. False: dropped, for there is no such link, or it is
 * full. Types from TRANSPORT_TYPE_FIRST on. */
bool transport_send(struct transport *transport, uint64_t peer, enum transport_lane lane, uint8_t type, struct bytes payload);
bool transport_answer(struct transport *transport, struct transport_link link, uint8_t type, struct bytes payload);
void transport_flush(struct transport *transport);
bool transport_is_up(const struct transport *transport, uint64_t peer, enum transport_lane lane); /* as this node dialled it */

/* Why a caller was turned away; the names are those of a metric. */
#define TRANSPORT_REFUSALS(X)                                                                              \
    X(HANDSHAKE, "handshake")   /* it fell silent, hung up, or failed at TLS: port scanners, too */          \
    X(PROTOCOL, "protocol")     /* what it said makes no sense */                                          \
    X(IDENTITY, "identity")     /* it is not who it says it is */                                          \
    X(MEMBERSHIP, "membership") /* of another cluster, or in the place of somebody else */                 \
    X(ROOM, "room")             /* too many callers */

enum transport_refusal {
#define X(name, text) TRANSPORT_REFUSED_##name,
    TRANSPORT_REFUSALS(X)
#undef X
    TRANSPORT_REFUSAL_COUNT
};
const char *transport_refusal_name(enum transport_refusal refusal);

struct transport_stats {
    uint32_t dialled_up, accepted_up;
    uint64_t dials_failed, refused[TRANSPORT_REFUSAL_COUNT]; /* refused: callers that were turned away */
    uint64_t frames_in, frames_out, bytes_in, bytes_out, frames_dropped;
};
void transport_stats_get(const struct transport *transport, struct transport_stats *ret);

#endif
