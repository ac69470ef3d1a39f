/* chronos-sim: see README.md. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/id.h"
#include "explore.h"

static const char usage[] = "usage: chronos-sim --seed N [--quiet]            one run, with its trace\n"
                            "       chronos-sim --minutes M | --seconds S     explore, from a drawn seed or --start N\n"
                            "       chronos-sim --seeds N [--start N]         so many runs\n"
                            "       chronos-sim --kept FILE                   the seeds of a list\n"
                            "  --failures FILE   append failing seeds\n"
                            "  --stop-after N    failures (1)\n";

static _Noreturn void refuse(const char *option, const char *value, const char *wanted)
{
    fprintf(stderr, "chronos-sim: --%s: \"%s\" is not %s\n", option, value, wanted);
    exit(2);
}

static uint64_t whole(const char *option, const char *text, uint64_t least)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value == UINT64_MAX)
        refuse(option, text, "a number from 0 to 18446744073709551614");
    if (value < least)
        refuse(option, text, "above 0");
    return value;
}

static double duration(const char *option, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || value <= 0)
        refuse(option, text, "a duration above 0");
    return value;
}

static uint64_t drawn_start(void)
{
    struct random random;
    random_seed_system(&random);
    return random_below(&random, UINT64_C(1) << 40);
}

int main(int argc, char **argv)
{
    enum { SEED = 1, MINUTES, SECONDS, SEEDS, START, KEPT, FAILURES, STOP, QUIET, HELP };
    static const struct option options[] = {
        {"seed", 1, NULL, SEED}, {"minutes", 1, NULL, MINUTES}, {"seconds", 1, NULL, SECONDS}, {"seeds", 1, NULL, SEEDS},
        {"start", 1, NULL, START}, {"kept", 1, NULL, KEPT}, {"failures", 1, NULL, FAILURES}, {"stop-after", 1, NULL, STOP},
        {"quiet", 0, NULL, QUIET}, {"help", 0, NULL, HELP}, {NULL, 0, NULL, 0}};
    struct plan plan = {.start = UINT64_MAX, .stop_after = 1};
    uint64_t seed = UINT64_MAX;
    for (int option, at = 0; (option = getopt_long(argc, argv, "", options, &at)) != -1;) {
        const char *name = option == '?' ? "" : options[at].name;
        switch (option) {
        case SEED: seed = whole(name, optarg, 0); break;
        case MINUTES: plan.seconds = duration(name, optarg) * 60; break;
        case SECONDS: plan.seconds = duration(name, optarg); break;
        case SEEDS: plan.count = whole(name, optarg, 1); break;
        case START: plan.start = whole(name, optarg, 0); break;
        case KEPT: plan.kept = optarg; break;
        case FAILURES: plan.failures = optarg; break;
        case STOP: plan.stop_after = whole(name, optarg, 1); break;
        case QUIET: plan.quiet = true; break;
        case HELP: fputs(usage, stdout); return 0;
        default: fputs(usage, stderr); return 2;
        }
    }
    bool range = plan.seconds > 0 || plan.count > 0;
    if (optind < argc || (seed != UINT64_MAX) + (plan.kept != NULL) + range != 1) {
        fprintf(stderr, "chronos-sim: %s\n%s", optind < argc ? "an argument too many" : "one of a seed, a list, a range", usage);
        return 2;
    }
    if (seed != UINT64_MAX)
        return explore_one(seed, !plan.quiet);
    if (plan.start == UINT64_MAX)
        plan.start = drawn_start();
    return explore_run(&plan);
}
