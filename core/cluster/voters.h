/* How many vote: an even number stands no more failures than one less, and is told about once it has lasted. Loop thread. */
#ifndef CHRONOS_CLUSTER_VOTERS_H
#define CHRONOS_CLUSTER_VOTERS_H

#include <stdbool.h>
#include <stdint.h>

struct cluster;

enum { VOTERS_EVEN_MS = 30000 }; /* a cluster that grows from one to three passes two */

struct voters {
    uint32_t count;   /* as it was seen last */
    int64_t since_ms; /* monotonic */
    bool is_said;
};

void voters_look(struct cluster *cluster); /* a few times a second, on every node; the leader logs */
uint32_t voters_even(const struct cluster *cluster); /* 0: an odd number, or not for long */

#endif
