/* Many seeds in a row. */
#ifndef CHRONOS_TESTS_SIM_EXPLORE_H
#define CHRONOS_TESTS_SIM_EXPLORE_H

#include <stdbool.h>
#include <stdint.h>

struct plan {
    uint64_t start, count;  /* count 0: no limit */
    double seconds;         /* 0: no limit */
    const char *kept;       /* a list of seeds to replay instead */
    const char *failures;   /* a file to append failing seeds to; NULL: none */
    uint64_t stop_after;    /* failures */
    bool quiet;
};

int explore_run(const struct plan *plan);
int explore_one(uint64_t seed, bool trace); /* prints the trace */

#endif
