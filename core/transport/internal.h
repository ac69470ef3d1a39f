/* What the files of this room share.
 *
 * link.c      one connection: states, handshake, frames in and out
 * renew.c     links that are made anew
 * dial.c      peers: looking up, connecting, waiting before the next try
 * accept.c    the listening socket, and how many may knock
 * transport.c the parts together: life, peers, sending */
#ifndef CHRONOS_TRANSPORT_INTERNAL_H
#define CHRONOS_TRANSPORT_INTERNAL_H

#include "base/id.h"
#include "transport/frame.h"
#include "transport/transport.h"

/* On the wire: never renumber. RENEW: to the one who has dialled the link: make it anew. */
enum frame_type { FRAME_HELLO = 1, FRAME_REFUSED = 2, FRAME_RENEW = 3 };
/* The first byte of REFUSED; a sentence follows. On the wire: never renumber. */
enum refusal { REFUSAL_OTHER = 0, REFUSAL_SELF = 1 /* the caller has called itself */ };

enum {
    READ_SIZE = 64 * 1024,
    WIRE_HIGH = 256 * 1024,   /* encrypted and not sent: no more is encrypted */
    CONNECT_MS = 2000,        /* a lost SYN is repeated sooner by a new dial than by the kernel */
    HANDSHAKE_MS = 10 * 1000,
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 2000,
    LINK_AGE_MS = 24 * 60 * 60 * 1000, /* the oldest that a link gets; up to a tenth sooner, so that not all are made at once */
    RENEW_GAP_MS = 1000,      /* a link is made anew no more often */
    RENEW_AGAIN_MS = 60 * 1000, /* after a failure */
    LASTING_MS = 2000,        /* a link that lived so long was a good one */
    ANSWERS_MAX = 64 * 1024,  /* bytes that wait on an accepted link: it carries nothing but short answers */
    ACCEPTED_MAX = TRANSPORT_LINKS_MAX - LANE_COUNT * TRANSPORT_PEERS_MAX, /* the rest is for dialling */
    REFUSAL_MAX = 512,        /* bytes of the sentence that a refused node is told */
};

/*           state        successors                                             */
#define LINK_STATES(X)                                                           \
    X(CONNECTING, TO(SECURING) | TO(GREETING) | TO(CLOSING))                     \
    X(SECURING,   TO(GREETING) | TO(PARTING) | TO(CLOSING)) /* TLS handshake */  \
    X(GREETING,   TO(OPEN) | TO(PARTING) | TO(CLOSING)) /* waits for HELLO */    \
    X(OPEN,       TO(PARTING) | TO(CLOSING))                                     \
    X(PARTING,    TO(CLOSING))                 /* the last words leave */        \
    X(CLOSING,    0)                           /* uv_close was called */

enum link_state {
#define X(name, successors) LINK_##name,
    LINK_STATES(X)
#undef X
    LINK_STATE_COUNT
};

struct dial;

struct link {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
    } uv;
    struct transport *transport;
    struct dial *dial; /* NULL: accepted, or its peer is gone */
    struct transport_link name;
    enum link_state state;
    bool is_dialled, is_reading, is_writing, has_heard /* anything */, is_up /* `up` was called */, is_replaced;
    bool is_stale;        /* dialled: the other side shows another certificate now */
    uint64_t aged_ms;     /* when it is too old */
    uint32_t tls_serial;  /* which of this node's certificates it was made with */
    uint64_t deadline_ms; /* of the handshake, uv_now(); 0: none */
    uint64_t since_ms;    /* when it began */
    char where[HELLO_ADDRESS_SIZE]; /* the other end, for the log */
    struct hello remote;
    struct tls_session *tls;
    struct buffer input;   /* the beginning of a frame */
    struct buffer out;     /* frames that TLS has not seen yet */
    struct buffer wire;    /* ready to be sent */
    struct buffer sending; /* being sent */
    uv_write_t write;
    uv_connect_t connect;
};

struct lookup { /* lives until libuv is done with it, whatever becomes of the dial */
    uv_getaddrinfo_t request;
    struct transport *transport;
    struct dial *dial; /* NULL: nobody waits any more */
};

struct dial {
    struct peer *peer;
    enum transport_lane lane;
    struct link *link;     /* NULL: none */
    struct link *successor; /* that is to take the place of `link` once it is open; NULL: none */
    uint64_t renew_ms;     /* no successor before */
    bool is_renewal_warned;
    struct lookup *lookup; /* NULL: none */
    uint64_t next_ms;      /* when to try again; 0: not waiting */
    uint32_t backoff_ms;
    uint32_t turn;         /* which of the addresses of a name */
};

struct peer {
    struct peer *next;
    struct transport *transport;
    uint64_t id;
    char address[HELLO_ADDRESS_SIZE];
    struct address parsed;
    bool is_self;   /* the address, which is no name, is this node's own: not dialled again */
    bool is_warned; /* that it cannot be reached was logged */
    struct dial dials[LANE_COUNT];
};

struct transport {
    struct transport_config config;
    struct tls_context *tls;
    uint32_t tls_serial; /* grows with every reload */
    struct transport_stats stats;
    struct random random;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
    } listener;
    bool has_listener, is_closing;
    bool is_accept_owed; /* somebody waits in the backlog, for want of room */
    uv_timer_t timer; /* the next deadline or dial */
    struct peer *peers;
    struct link *links[TRANSPORT_LINKS_MAX];
    uint32_t generations[TRANSPORT_LINKS_MAX];
    uint32_t pending; /* handles and lookups not done yet */
    struct {
        uint64_t logged_ms, unlogged;
    } refusals[TRANSPORT_REFUSAL_COUNT]; /* each told by itself: a port scanner hides no node of another cluster */
    void (*closed)(void *arg);
    void *closed_arg;
    char read_buffer[READ_SIZE];
};

/* --- transport.c --- */
void transport_released(struct transport *transport); /* a handle or lookup is done */
void transport_reschedule(struct transport *transport); /* deadlines or dials changed */
uint64_t transport_now(const struct transport *transport);
struct peer *transport_find_peer(const struct transport *transport, uint64_t id);

/* --- link.c --- */
/* NULL: no room or memory; `err` says so. Takes a place and begins with CONNECTING. */
struct link *link_new(struct transport *transport, struct dial *dial, struct error *err);
/* Connected: the handshakes begin. */
void link_begin(struct link *link);
/* `why`: for the log; NULL: no reason to speak of. */
void link_close(struct link *link, const char *why);
bool link_send(struct link *link, uint8_t type, struct bytes payload);
void link_flush(struct link *link);
void link_retire(struct link *link); /* another has taken its place: closes when all has left, and nobody is told */
size_t link_waiting(const struct link *link);
void link_set_reading(struct link *link, bool reading);

/* --- dial.c --- */
must_use enum status peer_new(struct transport *transport, const struct transport_peer *config, struct peer **ret, struct error *err);
void peer_free(struct peer *peer); /* hangs up */
void peer_dial(struct peer *peer); /* now, where nothing is under way */
void dial_try(struct dial *dial);
void dial_renew(struct dial *dial); /* its link is up: makes the successor */
void dial_ended(struct link *link, const char *why); /* the link is closing */
void dial_opened(struct dial *dial);

/* --- renew.c --- */
void renew_begin(struct link *link);                 /* its handshake begins */
void renew_opened(struct link *link);                /* a dialled one */
void renew_accepted(struct link *link);              /* the other kind */
void renew_all(struct transport *transport);         /* there is a new certificate */
void renew_wanted(struct link *link);                /* the other side has one */
void renew_failed(struct dial *dial, const char *why);
void renew_look(struct transport *transport);        /* makes the next one, if it is time */
uint64_t renew_next_ms(const struct transport *transport); /* when it will be; 0: after something has happened */

/* --- accept.c --- */
/* Counts, and logs now and then. */
void accept_refused(struct transport *transport, enum transport_refusal refusal, const char *where, const char *why);
void accept_retry(struct transport *transport); /* a link is gone: there may be room */
void accept_stop(struct transport *transport);

#endif
