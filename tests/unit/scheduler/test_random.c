/* Random worlds by seed: jobs of every policy, edits, outages, clock steps, slow and refused commits, new leaders, nodes that
 * restart. The model checks each change; in the end, with no more faults, every run must have ended.
 * CHRONOS_TEST_SEED repeats one seed; CHRONOS_TEST_SEEDS and CHRONOS_TEST_SECONDS say how many and how long. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { JOBS_WANTED = 8, STEPS = 60 };

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static uint64_t below(struct sim *sim, uint64_t bound)
{
    return random_below(&sim->random, bound);
}

static struct job_spec random_spec(struct sim *sim, uint32_t number, const char *name)
{
    static const char *const schedules[] = {"* * * * *",    "*/5 * * * *",  "*/10 * * * * *", "@every 7m",
                                            "@every 13s",   "0 * * * *",    "30 9,10 * * *",  "@manually",
                                            "@at 2027-01-15T09:30:00Z",     "*/20 * 9 * * *"};
    struct job_spec spec = sim_spec(name, schedules[below(sim, sizeof schedules / sizeof schedules[0])]);
    static const int64_t windows[] = {0, 10 * SECOND, 5 * MINUTE, HOUR};
    spec.concurrency = (enum concurrency)below(sim, CONCURRENCY_COUNT);
    spec.missed_policy = (enum missed_policy)below(sim, MISSED_POLICY_COUNT);
    spec.on_node_loss = (enum node_loss_policy)below(sim, NODE_LOSS_COUNT);
    spec.max_concurrent = (uint32_t)below(sim, 6);
    spec.catchup_limit = 1 + (uint32_t)below(sim, below(sim, 4) == 0 ? 800 : 12);
    spec.catchup_window_ms = windows[below(sim, 4)];
    spec.retry.max_attempts = 1 + (uint32_t)below(sim, 4);
    spec.retry.jitter_thousandths = (uint32_t)below(sim, 500);
    if (below(sim, 5) == 0) {
        spec.schedules[1] = "*/3 * * * *";
        spec.schedule_count = 2;
    }
    /* Every third job may be placed on the leader: for good it has no executor but the one that all who lead have, for its runs
     * keep the executor that they were decided for. */
    bool may_lead = number % 3 == 0;
    (void)snprintf(spec.executor, sizeof spec.executor, "%s", !may_lead && below(sim, 4) == 0 ? "http" : "shell");
    if (may_lead && below(sim, 2) == 0)
        spec.placement = PLACEMENT_LEADER;
    else if (below(sim, 3) == 0)
        spec.placement = PLACEMENT_ALL;
    if (spec.placement != PLACEMENT_LEADER && below(sim, 3) == 0)
        spec.node_tags[spec.node_tag_count++] = "disk=ssd";
    if (spec.placement != PLACEMENT_LEADER && below(sim, 6) == 0)
        spec.node_tags[spec.node_tag_count++] = "zone=a";
    return spec;
}

static struct sim_job *any_job(struct sim *sim)
{
    return &sim->jobs[below(sim, sim->job_count)];
}

static void node_event(struct sim *sim)
{
    static const char *const names[] = {"n1", "n2", "n3"}, *const tags[] = {"", "disk=ssd", "zone=a", "disk=ssd zone=a", "zone=b"};
    uint64_t n = below(sim, 3);
    sim_node_up_tagged(sim, names[n], 1 + (uint32_t)below(sim, 12), n == 2 ? "http" : "shell", tags[below(sim, 5)]);
}

static void new_job(struct sim *sim)
{
    char name[32];
    (void)snprintf(name, sizeof name, "job%u", sim->job_count);
    struct job_spec spec = random_spec(sim, sim->job_count, name);
    if (sim->job_count < SIM_JOBS)
        (void)sim_create(sim, &spec);
}

/* A refusal that says why is fine; the model sees what came of the rest. */
static void user_event(struct sim *sim)
{
    struct sim_job *job = any_job(sim);
    struct id id;
    char name[32];
    enum status status = STATUS_OK;
    uint64_t kind = below(sim, 8);
    if (job->deleted)
        return;
    uint32_t number = (uint32_t)(job - sim->jobs);
    (void)snprintf(name, sizeof name, "job%u", number);
    struct job_spec spec = random_spec(sim, number, name);
    if (kind < 3)
        status = sim_edit(sim, job, &spec, true);
    else if (kind < 5)
        status = sim_enable(sim, job, !job->enabled);
    else if (kind == 5 && below(sim, 3) == 0)
        status = sim_delete(sim, job);
    else if (kind == 6)
        status = sim_trigger(sim, job, false, &id);
    else if (sim->run_count > 0)
        status = sim_cancel(sim, &sim->runs[below(sim, sim->run_count)]->execution);
    assert_true(status == STATUS_OK || status == STATUS_BUSY || status == STATUS_STALE || status == STATUS_CONFLICT ||
                status == STATUS_NOT_FOUND || status == STATUS_VERSION_MISMATCH);
}

static void weather(struct sim *sim)
{
    static const int64_t delays[] = {0, 0, 20, 500, 4000};
    sim->delay_ms = delays[below(sim, 5)];
    sim->random_delay = below(sim, 2) == 0;
    sim->refuse_percent = below(sim, 4) == 0 ? (uint32_t)below(sim, 90) : 0;
    sim->refuse = below(sim, 12) == 0 ? STATUS_DISK_FULL : STATUS_OK;
    sim->no_slots = below(sim, 12) == 0;
    sim->lost_percent = below(sim, 5) == 0 ? (uint32_t)below(sim, 50) : 0;
}

static void step(struct sim *sim)
{
    switch (below(sim, 14)) {
    case 0:
    case 1: weather(sim); break;
    case 2:
    case 3: user_event(sim); break;
    case 4:
        sim->leader = below(sim, 2) == 0 ? "n1" : "n2";
        sim_rebuild(sim, below(sim, 2) == 0, below(sim, 2) == 0);
        break;
    case 5: node_event(sim); break;
    case 6: sim_sleep(sim, (int64_t)below(sim, below(sim, 5) == 0 ? 2 * HOUR : 2 * MINUTE)); break;
    case 7: sim->skew_ms += (int64_t)below(sim, 4 * MINUTE) - 2 * MINUTE; break;
    case 8: new_job(sim); break;
    case 9: sim_check_settled(sim); break;
    default: break;
    }
    sim_run_for(sim, (int64_t)below(sim, below(sim, 3) == 0 ? 5 * MINUTE : 20 * SECOND));
}

/* No more faults, nothing new: every run must end. */
static void heal(struct sim *sim)
{
    sim->refuse = STATUS_OK;
    sim->refuse_percent = sim->lost_percent = 0;
    sim->no_slots = false;
    sim->delay_ms = 10;
    sim->random_delay = false;
    sim->random_runs = false;
    sim->duration_ms = 200;
    sim_node_up_tagged(sim, "n1", 20, "shell", "disk=ssd zone=a");
    sim_node_up_tagged(sim, "n2", 20, "shell", "disk=ssd zone=a");
    sim_node_up_tagged(sim, "n3", 20, "http", "disk=ssd zone=a");
    sim_run_for(sim, 10 * MINUTE);
    for (uint32_t i = 0; i < sim->job_count; i++)
        for (uint32_t tries = 0; sim->jobs[i].enabled && sim_enable(sim, &sim->jobs[i], false) != STATUS_OK; tries++) {
            assert_true(tries < 100);
            sim_run_for(sim, SECOND);
        }
    sim_run_for(sim, 20 * MINUTE);
    sim_check_settled(sim);
    sim_check_state(sim);
    sim_assert_all_ended(sim);
}

static void run_seed(uint64_t seed)
{
    struct sim *sim = sim_new(seed);
    (void)fprintf(stderr, "seed %llu\r", (unsigned long long)seed);
    sim->random_runs = true;
    sim->config.executions_per_job = 5 + (uint32_t)below(sim, 40);
    sim_rebuild(sim, false, false);
    node_event(sim);
    for (uint32_t i = 0; i < JOBS_WANTED; i++)
        new_job(sim);
    for (uint32_t i = 0; i < STEPS; i++)
        step(sim);
    heal(sim);
    sim_free(sim);
}

static double seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void test_random_worlds(void **state)
{
    (void)state;
    uint64_t first = number("CHRONOS_TEST_SEED", 1), count = number("CHRONOS_TEST_SEEDS", 200), done = 0;
    double until = seconds() + (double)number("CHRONOS_TEST_SECONDS", 8);
    if (getenv("CHRONOS_TEST_SEED") != NULL)
        count = number("CHRONOS_TEST_SEEDS", 1);
    for (; done < count && (done == 0 || seconds() < until); done++)
        run_seed(first + done);
    print_message("%llu seeds from %llu\n", (unsigned long long)done, (unsigned long long)first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_worlds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
