/* A scheduler that holds something is loaded anew: it equals one that never held anything. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#include "scheduler/scheduler_internal.h"

static int setup(void **state)
{
    struct sim *sim = sim_new(31);
    sim->lease_ms = 30 * SECOND;
    sim_node_up(sim, "n1", 3, NULL);
    sim_node_up(sim, "n2", 3, "http");
    *state = sim;
    return 0;
}

static int teardown(void **state)
{
    sim_free(*state);
    return 0;
}

static void load(struct sim *sim, struct scheduler *scheduler)
{
    struct state_view view;
    OK(state_view_begin(sim->state, &view, &failure));
    OK(scheduler_load(scheduler, &view, &failure));
    state_view_end(&view);
}

/* Jobs of all kinds, with runs that run, wait, are retried and find no node; one deleted, one with a schedule in flight. */
static void fill(struct sim *sim)
{
    static const char *const executors[] = {"shell", "http", "missing"};
    struct id id;
    sim->fail_attempts = 1;
    for (uint32_t i = 0; i < 12; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "job-%u", i);
        struct job_spec spec = sim_spec(name, i % 2 == 0 ? "* * * * *" : "@every 7s");
        spec.concurrency = (enum concurrency)(i % CONCURRENCY_COUNT);
        spec.max_concurrent = 20;
        spec.retry.max_attempts = 3;
        spec.retry.initial_interval_ms = spec.retry.max_interval_ms = 20 * MINUTE;
        (void)snprintf(spec.executor, sizeof spec.executor, "%s", executors[i % 3]);
        struct sim_job *job = sim_create(sim, &spec);
        sim_run_for(sim, 10 * SECOND);
        (void)sim_trigger(sim, job, false, &id);
    }
    sim->fail_attempts = 0;
    sim->duration_ms = HOUR;
    sim_run_for(sim, 2 * MINUTE);
    assert_int_equal(sim_delete(sim, &sim->jobs[3]), STATUS_OK);
    assert_int_equal(sim_enable(sim, &sim->jobs[4], false), STATUS_OK);
}

static uint32_t length(const struct run_list *list)
{
    uint32_t count = 0;
    const struct run *previous = NULL;
    for (const struct run *run = list->head; run != NULL; previous = run, run = run->next, count++)
        assert_true(run->list == list && run->previous == previous);
    assert_true(list->tail == previous && list->count == count);
    return count;
}

static bool is_same(const struct demand *a, const struct demand *b)
{
    return a->key_size == b->key_size && memcmp(a->key, b->key, a->key_size) == 0;
}

static void compare_demands(const struct scheduler *a, const struct scheduler *b)
{
    const struct demand *demand;
    uint32_t cursor = 0;
    assert_int_equal(a->demands.count, b->demands.count);
    while ((demand = map_next(&a->demands, &cursor)) != NULL) {
        const struct demand *other = map_get(&b->demands, demand->key, demand->key_size);
        assert_non_null(other);
        assert_int_equal(demand->references, other->references);
        for (int i = 0; i < 2; i++)
            assert_int_equal(length(&demand->queues[i].runs), length(&other->queues[i].runs));
    }
    assert_true(a->waiting[0].count == b->waiting[0].count && a->waiting[1].count == b->waiting[1].count);
}

static void compare_jobs(const struct scheduler *a, const struct scheduler *b)
{
    const struct job *job;
    uint32_t cursor = 0;
    assert_int_equal(a->jobs.count, b->jobs.count);
    assert_int_equal(a->due.count, b->due.count);
    while ((job = map_next(&a->jobs, &cursor)) != NULL) {
        const struct job *other = scheduler_job(b, job->serial);
        uint32_t runs = 0, others = 0;
        assert_non_null(other);
        assert_true(job->mark_ms == other->mark_ms && job->next_ms == other->next_ms && job->version == other->version);
        assert_true(job->active == other->active && job->waiting == other->waiting && job->enabled == other->enabled);
        assert_true(job->deleted == other->deleted && job->in_attention == other->in_attention);
        assert_true(job->concurrency == other->concurrency && job->missed_policy == other->missed_policy);
        assert_true(is_same(job->demand, other->demand));
        for (const struct run *run = job->runs; run != NULL; run = run->job_next)
            runs++;
        for (const struct run *run = other->runs; run != NULL; run = run->job_next)
            others++;
        assert_int_equal(runs, others);
        assert_false(job->in_flight);
    }
}

static void compare_runs(const struct scheduler *a, const struct scheduler *b)
{
    const struct run *run;
    uint32_t cursor = 0;
    assert_int_equal(a->runs.count, b->runs.count);
    assert_int_equal(a->retries.count, b->retries.count);
    assert_int_equal(length(&a->orphans), length(&b->orphans));
    while ((run = map_next(&a->runs, &cursor)) != NULL) {
        const struct run *other = scheduler_find_run(b, &run->execution);
        assert_non_null(other);
        assert_true(run->phase == other->phase && run->cancel == other->cancel && run->attempt == other->attempt);
        assert_true(run->node == other->node && run->session == other->session && run->trigger == other->trigger);
        assert_true((run->job != NULL) == (other->job != NULL) && (run->list != NULL) == (other->list != NULL));
        assert_true(run->retry.key == other->retry.key);
        assert_false(run->in_flight);
    }
}

static uint32_t attended(const struct scheduler *s)
{
    uint32_t count = 0;
    for (const struct job *job = s->attention; job != NULL; job = job->attention_next, count++)
        assert_ptr_equal(scheduler_job(s, job->serial), job);
    return count;
}

static void compare(const struct scheduler *a, const struct scheduler *b)
{
    struct scheduler_stats mine, theirs;
    scheduler_stats_get(a, &mine);
    scheduler_stats_get(b, &theirs);
    assert_true(mine.jobs == theirs.jobs && mine.jobs_enabled == theirs.jobs_enabled && mine.jobs_held == theirs.jobs_held);
    assert_true(mine.open_runs == theirs.open_runs && mine.ready == theirs.ready && mine.backoff == theirs.backoff);
    assert_true(mine.running == theirs.running && mine.decisions_in_flight == 0 && theirs.decisions_in_flight == 0);
    assert_int_equal(attended(a), attended(b));
    compare_jobs(a, b);
    compare_runs(a, b);
    assert_int_equal(a->node_count, b->node_count);
    for (uint32_t i = 0; i < a->node_count; i++) {
        const struct node *x = &a->nodes[i], *y = &b->nodes[i];
        assert_string_equal(x->name, y->name);
        assert_true(x->session == y->session && x->capacity == y->capacity && x->active == y->active);
        assert_true(x->active_catchup == y->active_catchup && x->health == y->health && x->is_watched == y->is_watched);
        assert_true(x->lease_ms == y->lease_ms && x->executor_count == y->executor_count && x->tag_count == y->tag_count);
    }
    compare_demands(a, b);
    assert_true(a->executions == b->executions && a->flight_count == 0 && b->flight_count == 0 && a->walk.job == NULL);
}

static struct scheduler *fresh(struct sim *sim)
{
    struct scheduler *scheduler;
    OK(scheduler_new(&sim->config, &scheduler, &failure));
    load(sim, scheduler);
    return scheduler;
}

static void test_it_equals_a_fresh_one(void **state)
{
    struct sim *sim = *state;
    fill(sim);
    sim_flush(sim);
    struct scheduler *other = fresh(sim);
    assert_true(other->runs.count > 10 && other->retries.count > 0);
    scheduler_lead(sim->scheduler, false); /* with decisions on their way, or without */
    for (int round = 0; round < 3; round++) {
        load(sim, sim->scheduler);
        compare(sim->scheduler, other);
    }
    scheduler_lead(sim->scheduler, true);
    scheduler_lead(other, true);
    compare(sim->scheduler, other);
    scheduler_free(other);
}

/* It led, and something was in its hands: none of that comes back. */
static void test_with_everything_in_flight(void **state)
{
    struct sim *sim = *state;
    const struct scheduler_command *commands;
    const char *lost[COMMAND_NODES_MAX];
    fill(sim);
    sim_flush(sim);
    scheduler_node_silent(sim->scheduler, "n1");
    (void)scheduler_watch_leases(sim->scheduler, sim->real_ms, lost);
    (void)scheduler_run(sim->scheduler, sim_now(sim) + HOUR, true, &commands); /* decided, and never heard of again */
    assert_true(sim->scheduler->flight_count > 0);
    scheduler_lead(sim->scheduler, false);
    load(sim, sim->scheduler);
    struct scheduler *other = fresh(sim);
    compare(sim->scheduler, other);
    scheduler_free(other);
    scheduler_lead(sim->scheduler, true);
    sim->poke = true;
    sim->fail_attempts = 0;
    sim_run_for(sim, 5 * HOUR);
    sim_check_settled(sim);
}

/* The snapshot of another time: fewer jobs, fewer nodes, older marks. */
static void test_another_state(void **state)
{
    struct sim *sim = *state, *small = sim_new(5);
    struct job_spec spec = sim_spec("other", "* * * * *");
    fill(sim);
    sim->refuse = STATUS_NO_LEADER; /* what is owed stays owed */
    sim_run_for(sim, MINUTE);
    sim_node_up(sim, "n1", 3, NULL); /* both begin anew */
    sim_node_up(sim, "n2", 3, "http");
    scheduler_lead(sim->scheduler, false);
    assert_true(sim->scheduler->orphans.count > 0);
    assert_non_null(sim->scheduler->attention);
    sim_node_up(small, "n9", 1, NULL);
    (void)sim_create(small, &spec);
    sim_run_for(small, 3 * MINUTE);
    sim_flush(small);
    load(small, sim->scheduler);
    struct scheduler *other = fresh(small);
    compare(sim->scheduler, other);
    load(sim, other);
    load(sim, sim->scheduler);
    compare(sim->scheduler, other);
    scheduler_free(other);
    scheduler_lead(sim->scheduler, true);
    sim_free(small);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(test_it_equals_a_fresh_one), TEST(test_with_everything_in_flight),
                                       TEST(test_another_state)};
    return cmocka_run_group_tests_name("reload", tests, NULL, NULL);
}
