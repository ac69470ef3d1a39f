/* Random histories by seed: invariants after every step, and the same bytes however the entries are cut into batches
 * and whatever the backend. CHRONOS_TEST_SEED repeats one; CHRONOS_TEST_STEPS makes it longer. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "state/check.h"
#include "state/snapshot.h"

enum { JOBS = 6, NODES = 3, SLOTS_MAX = 4 };

struct world {
    struct fixture *f;
    struct random random;
    struct id jobs[JOBS];
    uint64_t session;
    struct placement_node nodes[NODES];
    /* the history */
    struct buffer *commands;
    struct apply_result *results;
    uint32_t count, capacity;
};

static uint32_t below(struct world *w, uint32_t bound)
{
    return (uint32_t)random_below(&w->random, bound);
}

static bool chance(struct world *w, uint32_t percent)
{
    return below(w, 100) < percent;
}

static struct placement_node any_node(struct world *w)
{
    struct placement_node node = w->nodes[below(w, NODES)];
    if (chance(w, 10))
        node.session += 1000; /* one that never was */
    return node;
}

/* A random open run, or false where there is none. */
static bool any_open(struct world *w, struct open_run *ret)
{
    const struct table_rows *open = &w->f->mirror.open;
    if (open->count == 0)
        return false;
    const struct table_row *row = &open->items[below(w, open->count)];
    struct id execution;
    memcpy(execution.bytes, row->key.data, sizeof execution.bytes);
    OK(open_run_decode(&execution, row->row, ret, &failure));
    return true;
}

static bool find_job(struct world *w, const struct id *id, struct job_row *ret)
{
    struct state_view view;
    struct error err;
    OK(state_view_begin(w->f->state, &view, &failure));
    enum status status = state_get_job(&view, id, ret, &err);
    state_view_end(&view);
    return status == STATUS_OK;
}

struct due {
    struct decision decision;
    struct decided_slot slots[SLOTS_MAX];
    struct decided_range range;
};

/* Most decisions fit the job as it stands. */
static void make_decision(struct world *w, uint64_t serial, uint32_t version, struct due *ret)
{
    static const enum run_trigger triggers[] = {TRIGGER_SCHEDULE, TRIGGER_SCHEDULE, TRIGGER_CATCHUP};
    struct job_marks marks = {.mark_ms = w->f->now_ms};
    if (has_marks(w->f, serial))
        marks = marks_of(w->f, serial);
    int64_t to = marks.mark_ms > w->f->now_ms ? marks.mark_ms : w->f->now_ms;
    ret->decision = (struct decision){.serial = serial, .job_version = version, .from_mark_ms = marks.mark_ms,
                                      .to_mark_ms = to, .slot_count = below(w, SLOTS_MAX + 1), .slots = ret->slots,
                                      .range_count = chance(w, 20), .ranges = &ret->range,
                                      .disable_after = chance(w, 3)};
    if (chance(w, 10))
        ret->decision.from_mark_ms -= 1;
    for (uint32_t i = 0; i < ret->decision.slot_count; i++)
        ret->slots[i] = (struct decided_slot){.execution = fixture_id(w->f), .scheduled_ms = to - i,
                                              .trigger = triggers[below(w, ARRAY_COUNT(triggers))],
                                              .node = chance(w, 70) ? (uint8_t)below(w, NODES) : NODE_NONE,
                                              .reason = REASON_CAPACITY, .home = (uint8_t)below(w, NODES + 1)};
    ret->decision.node_count = NODES;
    ret->decision.nodes = w->nodes;
    ret->range = (struct decided_range){.first_ms = to, .last_ms = to, .count = 1, .reason = REASON_MISSED};
}

static void gen_put(struct world *w, struct buffer *out)
{
    static const struct bytes documents[] = {{"{\"a\":1}", 7}, {"{\"b\":[1,2,3]}", 13}};
    uint32_t slot = below(w, JOBS);
    struct job_row row = {.version = 0};
    struct due due;
    bool exists = find_job(w, &w->jobs[slot], &row);
    struct job_put put = {.id = w->jobs[slot], .expected_version = exists ? row.version : 0,
                          .resets_mark = chance(w, 50), .spec = spec_named("x"), .document = documents[below(w, 2)]};
    (void)snprintf(put.spec.name, sizeof put.spec.name, "job %u", (unsigned)below(w, JOBS + 2));
    put.spec.concurrency = (enum concurrency)below(w, CONCURRENCY_COUNT);
    put.spec.on_node_loss = (enum node_loss_policy)below(w, NODE_LOSS_COUNT);
    put.spec.enabled = chance(w, 85);
    put.spec.placement = chance(w, 40) ? PLACEMENT_ALL : PLACEMENT_ANY;
    put.spec.max_concurrent = below(w, 4);
    put.spec.catchup_window_ms = chance(w, 50) ? 2000 : 0;
    put.spec.retry.max_attempts = 1 + below(w, 3);
    put.spec.retry.jitter_thousandths = below(w, 1001);
    if (exists && chance(w, 50)) {
        make_decision(w, row.serial, row.version, &due);
        put.due = &due.decision;
    }
    if (chance(w, 10))
        put.expected_version++;
    job_put_encode(&put, out);
}

static void gen_delete_or_enable(struct world *w, struct buffer *out, bool delete)
{
    uint32_t slot = below(w, JOBS);
    struct job_row row;
    struct due due;
    const struct decision *decision = NULL;
    if (find_job(w, &w->jobs[slot], &row) && chance(w, 50)) {
        make_decision(w, row.serial, row.version, &due);
        decision = &due.decision;
    }
    if (delete) {
        struct job_delete item = {.id = w->jobs[slot], .cancel_running = chance(w, 50), .due = decision};
        job_delete_encode(&item, out);
        if (chance(w, 50))
            w->jobs[slot] = fixture_id(w->f);
    } else {
        struct job_enable item = {.id = w->jobs[slot], .enabled = chance(w, 70), .due = decision};
        job_enable_encode(&item, out);
    }
}

static void gen_decide(struct world *w, struct buffer *out)
{
    struct decide_builder builder;
    struct placement_node nodes[NODES];
    for (int i = 0; i < NODES; i++)
        nodes[i] = any_node(w);
    decide_begin(&builder, out, nodes, NODES);
    uint32_t first = below(w, JOBS), count = 1 + below(w, 3);
    for (uint32_t i = 0; i < count; i++) {
        struct job_row row;
        struct due due;
        if (!find_job(w, &w->jobs[(first + i) % JOBS], &row))
            continue;
        make_decision(w, row.serial, chance(w, 95) ? row.version : row.version + 1, &due);
        decide_add(&builder, &due.decision);
    }
    decide_end(&builder);
}

static void gen_trigger(struct world *w, struct buffer *out)
{
    struct trigger_run item = {.job = w->jobs[below(w, JOBS)], .execution = fixture_id(w->f), .force = chance(w, 30),
                               .reason = REASON_NO_NODE};
    if (chance(w, 70))
        item.node = any_node(w);
    item.home_count = chance(w, 50) ? 1 + below(w, NODES) : 0;
    for (uint32_t i = 0; i < item.home_count; i++) {
        item.homes[i].execution = i == 0 ? item.execution : fixture_id(w->f);
        if (item.home_count > 1 || chance(w, 70))
            memcpy(item.homes[i].node, w->nodes[i].name, sizeof item.homes[i].node);
    }
    if (chance(w, 30))
        item.overrides = (struct bytes){"{\"command\":\"true\"}", 18};
    trigger_run_encode(&item, out);
}

static void gen_assign(struct world *w, struct buffer *out)
{
    struct assignment items[4];
    struct placement_node node = any_node(w);
    uint32_t count = 0;
    struct open_run run;
    while (count < ARRAY_COUNT(items) && any_open(w, &run))
        items[count++] = (struct assignment){run.execution, chance(w, 90) ? run.attempt : run.attempt + 1, 0};
    assign_encode(&node, 1, items, count, out);
}

static void gen_report(struct world *w, struct buffer *out)
{
    static const enum run_status outcomes[] = {RUN_SUCCESS, RUN_SUCCESS, RUN_FAILED, RUN_TIMEOUT, RUN_CANCELLED,
                                               RUN_LOST};
    static const enum report_kind kinds[] = {REPORT_STARTED, REPORT_FINISHED, REPORT_FINISHED, REPORT_RELEASED};
    static const enum reason reasons[] = {REASON_NONE, REASON_SHUTDOWN, REASON_EXECUTOR_FAILED};
    struct run_report items[4];
    uint32_t count = 0;
    struct open_run run;
    while (count < ARRAY_COUNT(items) && any_open(w, &run)) {
        struct run_report *item = &items[count++];
        *item = (struct run_report){.execution = run.execution, .attempt = run.attempt, .session = run.session};
        item->kind = kinds[below(w, ARRAY_COUNT(kinds))];
        item->outcome = outcomes[below(w, ARRAY_COUNT(outcomes))];
        item->reason = reasons[below(w, ARRAY_COUNT(reasons))];
        item->retry = (uint8_t)below(w, 3);
        item->started_ms = w->f->now_ms - below(w, 5000);
        item->duration_ms = below(w, 5000);
        item->exit_code = (int32_t)below(w, 3) - 1;
        item->term_signal = (int32_t)below(w, 16);
        item->error = (struct bytes){"it broke", below(w, 9)};
        item->output_head = (struct bytes){"some \"output\"\n", below(w, 15)};
        item->output_bytes = 100;
        item->output_truncated = chance(w, 50);
        if (chance(w, 10))
            item->attempt++;
    }
    report_encode(items, count, out);
}

static void gen_cancel(struct world *w, struct buffer *out)
{
    struct open_run run;
    struct cancel_run item = {fixture_id(w->f), REASON_USER};
    if (any_open(w, &run) && chance(w, 90))
        item = (struct cancel_run){run.execution, chance(w, 50) ? REASON_USER : REASON_REPLACED};
    cancel_encode(&item, 1, out);
}

static void gen_close(struct world *w, struct buffer *out)
{
    static const enum reason reasons[] = {REASON_NODE_LOSS, REASON_NODE_RESTART, REASON_CATCHUP_WINDOW};
    struct close_attempt items[3];
    uint32_t count = 0;
    struct open_run run;
    while (count < ARRAY_COUNT(items) && any_open(w, &run))
        items[count++] = (struct close_attempt){run.execution, run.attempt, chance(w, 70) ? run.session : 0,
                                                reasons[below(w, ARRAY_COUNT(reasons))]};
    close_encode(items, count, out);
}

static void gen_node_up(struct world *w, struct buffer *out)
{
    uint32_t i = below(w, NODES);
    struct node_row row = {.session = ++w->session, .capacity = 4};
    (void)snprintf(row.name, sizeof row.name, "node-%u", (unsigned)i);
    memcpy(w->nodes[i].name, row.name, sizeof row.name);
    w->nodes[i].session = row.session;
    node_up_encode(&row, out);
}

static void gen_sweep(struct world *w, struct buffer *out)
{
    struct sweep item = {.before_ms = w->f->now_ms - below(w, 200000), .per_job = below(w, 8),
                         .max_bytes = chance(w, 30) ? 4000 : 0};
    if (chance(w, 20))
        item.from = fixture_id(w->f);
    sweep_encode(&item, out);
}

/* Few keys, so that they meet. */
static void add_key(struct world *w, struct buffer *out)
{
    struct idempotency item = {.http_status = 200, .key = {(uint8_t)below(w, 20)}, .request = {below(w, 5) == 0}};
    (void)snprintf(item.principal, sizeof item.principal, "%s", below(w, 2) ? "me" : "");
    command_add_idempotency(out, &item);
}

static void generate(struct world *w, struct buffer *out)
{
    uint32_t dice = below(w, 100);
    if (dice < 8)
        gen_put(w, out);
    else if (dice < 10)
        gen_delete_or_enable(w, out, true);
    else if (dice < 14)
        gen_delete_or_enable(w, out, false);
    else if (dice < 40)
        gen_decide(w, out);
    else if (dice < 46)
        gen_trigger(w, out);
    else if (dice < 58)
        gen_assign(w, out);
    else if (dice < 84)
        gen_report(w, out);
    else if (dice < 88)
        gen_cancel(w, out);
    else if (dice < 92)
        gen_close(w, out);
    else if (dice < 95)
        gen_node_up(w, out);
    else if (dice < 98)
        gen_sweep(w, out);
    else
        noop_encode(out);
    if ((dice < 14 || dice >= 84) && chance(w, 30))
        add_key(w, out);
}

/* One step: generated against the state as it stands, applied, checked, kept for the replay. */
static void step(struct world *w)
{
    struct buffer command = command_buffer(), copy = command_buffer();
    w->f->now_ms += below(w, 3000);
    if (chance(w, 3))
        w->f->now_ms -= 4000; /* another leader's clock */
    if (below(w, 200) == 0)
        w->f->now_ms += INT64_C(7) * 3600000; /* some keys leave */
    generate(w, &command);
    command_stamp(command.data, w->f->now_ms);
    buffer_append(&copy, command.data, command.size);
    assert_true(w->count < w->capacity);
    w->results[w->count] = fixture_apply(w->f, &command);
    w->commands[w->count++] = copy;
}

static void replay(struct world *w, const char *backend, struct random *cuts, uint64_t expected)
{
    struct fixture *f = fixture_open(backend, 0);
    enum { BATCH_MAX = 64 };
    struct state_entry entries[BATCH_MAX];
    struct apply_result results[BATCH_MAX];
    for (uint32_t done = 0; done < w->count;) {
        uint32_t count = 1 + (uint32_t)random_below(cuts, BATCH_MAX);
        if (count > w->count - done)
            count = w->count - done;
        for (uint32_t i = 0; i < count; i++)
            entries[i] = (struct state_entry){done + i + 1, 1, buffer_bytes(&w->commands[done + i])};
        state_changes_clear(&f->changes);
        OK(state_apply(f->state, entries, count, results, &f->changes, &failure));
        fixture_check(f);
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(results[i].status, w->results[done + i].status);
            assert_int_equal(results[i].stale_count, w->results[done + i].stale_count);
            assert_int_equal(results[i].version, w->results[done + i].version);
            assert_int_equal(results[i].replayed_status, w->results[done + i].replayed_status);
            assert_int_equal(results[i].sweep_deleted, w->results[done + i].sweep_deleted);
        }
        done += count;
        if (random_below(cuts, 10) == 0)
            fixture_reopen(f);
    }
    assert_true(fixture_hash(f) == expected);
    fixture_close(f);
}

static void no_problem(void *arg, const char *problem)
{
    (void)arg;
    fail_msg("%s", problem);
}

/* Whatever the history was: a snapshot carries it to a store of any backend, and the check finds nothing. */
static void carry(struct world *w, const char *backend, uint64_t expected)
{
    struct fixture *f = fixture_open_empty(backend, 0);
    struct snapshot_info info = {.node = "n"};
    struct snapshot_summary written, read;
    struct state_contents contents;
    struct state_view view;
    char path[sizeof f->directory + 16];
    (void)snprintf(path, sizeof path, "%s.snapshot", w->f->directory);
    OK(state_view_begin(w->f->state, &view, &failure));
    OK(snapshot_write(&view, &info, path, NULL, NULL, &written, &failure));
    state_view_end(&view);
    OK(snapshot_load(path, f->store, NULL, &info, &read, &failure));
    assert_int_equal(unlink(path), 0);
    OK(state_new(f->store, &f->state, &failure));
    assert_true(fixture_hash(f) == expected);
    OK(state_check(f->state, no_problem, NULL, &contents, &failure));
    assert_int_equal(contents.row_bytes, read.row_bytes);
    fixture_close(f);
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void world_run(uint64_t seed, uint32_t steps, const char *backend)
{
    struct world w = {.f = fixture_open(backend, 0), .capacity = steps};
    random_seed(&w.random, seed);
    w.commands = calloc(steps, sizeof *w.commands);
    w.results = calloc(steps, sizeof *w.results);
    assert_non_null(w.commands);
    assert_non_null(w.results);
    for (int i = 0; i < JOBS; i++)
        w.jobs[i] = fixture_id(w.f);
    for (int i = 0; i < NODES; i++)
        (void)snprintf(w.nodes[i].name, sizeof w.nodes[i].name, "node-%d", i);
    for (uint32_t i = 0; i < steps; i++)
        step(&w);
    uint64_t hash = fixture_hash(w.f);
    uint32_t taken = 0;
    for (uint32_t i = 0; i < steps; i++)
        taken += w.results[i].status == STATUS_OK;
    /* A history of refusals would prove nothing. Of 500 commands 308 are taken on average, give or take 20 (sigma): half of them
     * lies within that, a third far below. */
    assert_true(taken > steps / 3);
    replay(&w, "lmdb", &w.random, hash);
    replay(&w, "sqlite", &w.random, hash);
    carry(&w, "lmdb", hash);
    carry(&w, "sqlite", hash);
    for (uint32_t i = 0; i < steps; i++)
        buffer_deinit(&w.commands[i]);
    free(w.commands);
    free(w.results);
    fixture_close(w.f);
}

static void histories(void **state)
{
    (void)state;
    uint64_t seed = number_from("CHRONOS_TEST_SEED", (uint64_t)time(NULL));
    uint32_t steps = (uint32_t)number_from("CHRONOS_TEST_STEPS", 500);
    print_message("CHRONOS_TEST_SEED=%llu CHRONOS_TEST_STEPS=%u\n", (unsigned long long)seed, (unsigned)steps);
    world_run(seed, steps, "lmdb");
    world_run(seed + 1, steps, "sqlite");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(histories)};
    return cmocka_run_group_tests_name("random histories", tests, NULL, NULL);
}
