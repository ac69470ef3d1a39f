/* chronos-sim: see README.md. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/id.h"
#include "explore.h"

static void usage(void)
{
    fputs("usage: chronos-sim --seed N [--quiet]            one run, with its trace\n"
          "       chronos-sim --minutes M | --seconds S     explore, from a drawn seed or --start N\n"
          "       chronos-sim --seeds N [--start N]         so many runs\n"
          "       chronos-sim --kept FILE                   the seeds of a list\n"
          "  --failures FILE   append failing seeds\n"
          "  --stop-after N    failures (1)\n",
          stderr);
}

static uint64_t drawn_start(void)
{
    struct random random;
    random_seed_system(&random);
    return random_below(&random, UINT64_C(1) << 40);
}

int main(int argc, char **argv)
{
    enum { SEED = 1, MINUTES, SECONDS, SEEDS, START, KEPT, FAILURES, STOP, QUIET };
    static const struct option options[] = {
        {"seed", 1, NULL, SEED}, {"minutes", 1, NULL, MINUTES}, {"seconds", 1, NULL, SECONDS}, {"seeds", 1, NULL, SEEDS},
        {"start", 1, NULL, START}, {"kept", 1, NULL, KEPT}, {"failures", 1, NULL, FAILURES}, {"stop-after", 1, NULL, STOP},
        {"quiet", 0, NULL, QUIET}, {NULL, 0, NULL, 0}};
    struct plan plan = {.start = UINT64_MAX, .stop_after = 1};
    uint64_t seed = UINT64_MAX;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (option) {
        case SEED: seed = strtoull(optarg, NULL, 10); break;
        case MINUTES: plan.seconds = strtod(optarg, NULL) * 60; break;
        case SECONDS: plan.seconds = strtod(optarg, NULL); break;
        case SEEDS: plan.count = strtoull(optarg, NULL, 10); break;
        case START: plan.start = strtoull(optarg, NULL, 10); break;
        case KEPT: plan.kept = optarg; break;
        case FAILURES: plan.failures = optarg; break;
        case STOP: plan.stop_after = (uint32_t)strtoul(optarg, NULL, 10); break;
        case QUIET: plan.quiet = true; break;
        default: usage(); return 2;
        }
    if (seed != UINT64_MAX)
        return explore_one(seed, !plan.quiet);
    if (plan.kept == NULL && plan.seconds <= 0 && plan.count == 0) {
        usage();
        return 2;
    }
    if (plan.start == UINT64_MAX)
        plan.start = drawn_start();
    return explore_run(&plan);
}
