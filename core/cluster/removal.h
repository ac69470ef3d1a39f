/* Taking members out. A node is given no new runs, and leaves when those that it has are over, or after a lease; the state says which
 * nodes are to leave, so that whoever leads goes on with it (docs/adr/0019-removal-drains.md). Loop thread. */
#ifndef CHRONOS_CLUSTER_REMOVAL_H
#define CHRONOS_CLUSTER_REMOVAL_H

#include "cluster/waiter.h"

enum { REMOVALS_ASKED_MAX = COMMAND_NODES_MAX, REMOVAL_REASON_MAX = 512 };

struct removals {
    struct leaving {
        uint64_t node, since_ns; /* since_ns: this leader waits since then; 0: not yet */
    } leaving[COMMAND_NODES_MAX]; /* as the state says */
    uint32_t count;
    bool is_forgetting;           /* one of them has left, and the state is about to know */
    struct {
        struct waiter waiter;
        uint64_t node;
    } asked[REMOVALS_ASKED_MAX];  /* the state is about to say so */
    /* This node led, and is itself to leave: the next leader is asked to see to that. */
    struct {
        struct waiter waiter;
        bool is_asked;
        enum status status;       /* why it has not done so yet; OK: it has not been asked */
        char reason[REMOVAL_REASON_MAX];
    } own;
};

/* The leader. `done` as cluster_remove says. */
must_use enum status removal_begin(struct cluster *cluster, const char *name, cluster_done done, void *arg, uint64_t token,
                                   struct error *err);
/* The leader: the node is not to leave any more. */
must_use enum status removal_undo(struct cluster *cluster, uint64_t node, cluster_done done, void *arg, uint64_t token,
                                  struct error *err);
void removal_changed(struct cluster *cluster); /* the state says something else than before */
/* A few times a second, on every node. True: the configuration was changed, or leadership is handed over. */
bool removal_look(struct cluster *cluster);
bool removal_is_draining(const struct cluster *cluster, uint64_t node);
bool removal_expire(struct cluster *cluster, uint64_t now_ns); /* true while somebody waits */
void removal_abandon(struct cluster *cluster, const char *message);

#endif
