/* Many seeds in a row; one in a hundred is run twice and must be the same run. */
#include "explore.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sim.h"

enum {
    TWICE_EVERY = 100,
    SEED_SECONDS_MAX = 120, /* a run takes a tenth of a second; one that does not end is a failure with its seed */
};

struct exploration {
    const struct plan *plan;
    struct sim *sim;
    struct coverage coverage;
    uint64_t done, failed, twice;
    double began;
};

/* The seed that runs now, for a core that stops on an assertion. */
static volatile uint64_t running;
static const char *failures_file;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Of this process alone: the machine may be busy with other things. */
static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void keep(uint64_t seed, const char *why)
{
    FILE *file = failures_file != NULL ? fopen(failures_file, "a") : NULL;
    if (file != NULL)
        fprintf(file, "%" PRIu64 " # %s\n", seed, why);
    if (failures_file != NULL && (file == NULL || fclose(file) != 0))
        fprintf(stderr, "chronos-sim: the seed could not be written to %s\n", failures_file);
}

static void report(uint64_t seed, const char *why)
{
    fflush(stdout);
    fprintf(stderr, "FAILED seed %" PRIu64 ": %s\n  reproduce: build/bin/chronos-sim --seed %" PRIu64 "\n", seed, why,
            seed);
    keep(seed, why);
}

static void on_signal(int number)
{
    signal(number, SIG_DFL);
    report(running, number == SIGABRT ? "assertion (see above)" : number == SIGALRM ? "the run does not end" : "crash");
    raise(number);
}

static void watch_signals(const struct plan *plan)
{
    failures_file = plan->failures;
    signal(SIGALRM, on_signal);
    signal(SIGABRT, on_signal);
    signal(SIGSEGV, on_signal);
    signal(SIGFPE, on_signal);
}

static bool run_again(struct exploration *e, uint64_t seed)
{
    uint64_t hash = e->sim->hash;
    e->twice++;
    bool ok = sim_run(e->sim, seed, false);
    if (!ok || e->sim->hash == hash)
        return ok;
    snprintf(e->sim->why, sizeof e->sim->why, "determinism: the same seed ran differently the second time");
    return false;
}

static bool run_seed(struct exploration *e, uint64_t seed)
{
    running = seed;
    (void)alarm(SEED_SECONDS_MAX);
    bool ok = sim_run(e->sim, seed, false);
    if (ok && seed % TWICE_EVERY == 0)
        ok = run_again(e, seed);
    e->done++;
    if (!ok) {
        e->failed++;
        report(seed, e->sim->why);
    }
    return ok;
}

static void print_summary(const struct exploration *e)
{
    const struct statistics *s = &e->sim->stats;
    double spent = seconds() - e->began;
    uint32_t plain, all, cells = coverage_reached(&e->coverage, &plain, &all);
    if (e->plan->kept == NULL)
        printf("from seed %" PRIu64 " on: ", e->plan->start);
    printf("%" PRIu64 " seeds (%" PRIu64 " twice) in %.1f s, %" PRIu64 " failed\n", e->done, e->twice, spent, e->failed);
    printf("%" PRIu64 " events, %.0f a second of CPU (%.0f of wall clock)\n", s->events, (double)s->events / cpu_seconds(),
           (double)s->events / spent);
    printf("%" PRIu64 " packets, %" PRIu64 " commits, %" PRIu64 " elections, %" PRIu64 " reads, %" PRIu64 " installs (%" PRIu64
           " failed), %" PRIu64 " changes of membership, %" PRIu64 " boots\n",
           s->packets, s->commits, s->elections, s->reads, s->installs, s->install_failures, s->conf_changes, s->boots);
    printf("full stack in %" PRIu64 " runs: %" PRIu64 " slots decided, %" PRIu64 " runs, %" PRIu64 " attempts started\n",
           s->full_runs, s->decided, s->runs, s->starts);
    printf("healed within %u ticks at worst; liveness not asked of %" PRIu64 " runs\n", s->worst_heal_ticks,
           s->liveness_skipped);
    printf("coverage: %u of %u (role, message, progress), %u with faults; faults:", plain, all, cells);
    for (uint32_t fault = 1; fault < FAULT_COUNT; fault++)
        if (e->coverage.faults[fault] > 0)
            printf(" %s %" PRIu64, fault_name((enum fault)fault), e->coverage.faults[fault]);
    printf("\n");
    fflush(stdout);
}

static bool goes_on(const struct exploration *e)
{
    const struct plan *plan = e->plan;
    return (plan->count == 0 || e->done < plan->count) && (plan->seconds <= 0 || seconds() - e->began < plan->seconds) &&
           e->failed < plan->stop_after;
}

static void run_range(struct exploration *e)
{
    for (uint64_t seed = e->plan->start; goes_on(e); seed++)
        (void)run_seed(e, seed);
}

static bool run_kept(struct exploration *e)
{
    char line[256];
    FILE *file = fopen(e->plan->kept, "r");
    if (file == NULL) {
        fprintf(stderr, "chronos-sim: %s cannot be read\n", e->plan->kept);
        return false;
    }
    bool ok = true;
    while (ok && fgets(line, sizeof line, file) != NULL && e->failed < e->plan->stop_after) {
        char *end;
        size_t blank = strspn(line, " \t\n");
        uint64_t seed = strtoull(line, &end, 10);
        ok = line[blank] == '\0' || line[blank] == '#' || (end != line && strchr(" #\n", *end) != NULL);
        if (!ok)
            fprintf(stderr, "chronos-sim: %s: a line begins with a seed or a #, not: %s", e->plan->kept, line);
        else if (end != line)
            (void)run_seed(e, seed);
    }
    fclose(file);
    if (ok && e->done == 0)
        fprintf(stderr, "chronos-sim: %s holds no seeds\n", e->plan->kept);
    return ok && e->done > 0;
}

int explore_run(const struct plan *plan)
{
    struct exploration *e = calloc(1, sizeof *e);
    if (e == NULL)
        abort();
    e->plan = plan;
    e->sim = sim_new(&e->coverage);
    e->began = seconds();
    watch_signals(plan);
    bool ok = true;
    if (plan->kept != NULL)
        ok = run_kept(e);
    else
        run_range(e);
    print_summary(e);
    ok = ok && e->failed == 0;
    sim_free(e->sim);
    free(e);
    return ok ? 0 : 1;
}

int explore_one(uint64_t seed, bool trace)
{
    struct plan plan = {.start = seed};
    struct exploration *e = calloc(1, sizeof *e);
    if (e == NULL)
        abort();
    watch_signals(&plan);
    running = seed;
    (void)alarm(SEED_SECONDS_MAX);
    e->sim = sim_new(&e->coverage);
    bool ok = sim_run(e->sim, seed, trace) && (trace || run_again(e, seed));
    if (!ok)
        report(seed, e->sim->why);
    else
        printf("seed %" PRIu64 ": ok, %" PRIu64 " events, hash %016" PRIx64 "\n", seed, e->sim->stats.events, e->sim->hash);
    sim_free(e->sim);
    free(e);
    return ok ? 0 : 1;
}
