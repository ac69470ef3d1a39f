/* A few nodes on one loop that the test turns itself: links over loopback, and what the owner of each was told. */
#ifndef CHRONOS_TESTS_UNIT_TRANSPORT_HARNESS_H
#define CHRONOS_TESTS_UNIT_TRANSPORT_HARNESS_H

#include "transport/transport.h"

#include "../base/check.h"

enum { NODES_MAX = 4, KEPT_MAX = 1 << 22 };

struct side { /* links that are up, as the owner knows them */
    uint32_t up[LANE_COUNT], ups, downs;
    struct transport_link newest[LANE_COUNT];
};

struct node {
    struct transport *transport;
    struct hello self;
    int port;
    const char *host; /* NULL: 127.0.0.1 */
    char address[32];
    struct side dialled, accepted;
    uint64_t frames;
    uint8_t newest_type;
    uint64_t newest_from;
    struct buffer kept; /* payloads, one behind the other */
    const char *refuse; /* admit nobody: why */
    bool rejects_frames, is_closed;
    struct id newest_cluster;
};

struct harness {
    uv_loop_t loop;
    struct node nodes[NODES_MAX];
    uint32_t link_age_ms; /* of nodes that start from now on; 0: a day */
    uint64_t sessions;    /* each start is another process */
};

void harness_begin(struct harness *h);
void harness_end(struct harness *h); /* closes what is open; asserts that nothing is left */
/* Node `i`, "chronos-<i + 1>" with id i + 1, listening on 127.0.0.1 at a port of its own, or the same one as before. */
void node_start(struct harness *h, int i, const struct tls_files *tls);
/* As `self` says: NULL for what node_start gives itself. */
void node_start_as(struct harness *h, int i, const struct tls_files *tls, const struct hello *self, uint32_t handshake_ms);
void node_stop(struct harness *h, int i);
/* `i` dials the nodes of the bits of `mask`. */
void node_dials(struct harness *h, int i, unsigned mask);
struct transport_stats node_stats(struct harness *h, int i);
uint64_t node_refused(struct harness *h, int i); /* callers, for whatever reason */

void turn(struct harness *h); /* one turn of the loop, waiting at most 20 ms */
/* Turns until the condition holds; fails after 30 s. */
#define AWAIT(h, condition)                                                                  \
    do {                                                                                     \
        uint64_t until_ = uv_hrtime() + UINT64_C(30000000000);                               \
        while (!(condition)) {                                                               \
            turn(h);                                                                         \
            if (uv_hrtime() > until_)                                                        \
                fail_msg("never came true: %s", #condition);                                 \
        }                                                                                    \
    } while (0)
bool are_linked(struct harness *h, int a, int b); /* both ways, both lanes */

#endif
