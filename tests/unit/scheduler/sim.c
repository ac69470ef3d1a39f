#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/zoneinfo.h"

struct error failure;

enum {
    ORDER_BITS = 20,
    REFUSED_RETRY_MS = 1000, /* as the daemon does */
    CALLS_MAX = 4000,        /* of scheduler_run at one instant: more is a loop without end */
    IDLE_CALLS_MAX = 400,    /* of them without a command: a long walk, at most */
};

/* --- life --- */

static const struct plugin_component *backend(void)
{
    static struct plugin_registry *registry;
    if (!registry) {
        OK(plugin_registry_new(&registry, &failure));
        OK(plugin_load(registry, ABI_FIXTURE_DIR, "storage_memory.so", NULL, &failure));
    }
    const struct plugin_component *found = plugin_find(registry, CHRONOS_KIND_STORAGE, "memory");
    assert_non_null(found);
    return found;
}

static void load(struct sim *sim, struct scheduler *scheduler)
{
    struct state_view view;
    OK(state_view_begin(sim->state, &view, &failure));
    OK(scheduler_load(scheduler, &view, &failure));
    state_view_end(&view);
}

static struct scheduler *new_leader(struct sim *sim)
{
    struct scheduler *scheduler = NULL;
    sim->config.seed = random_next(&sim->random) | 1;
    OK(scheduler_new(&sim->config, &scheduler, &failure));
    load(sim, scheduler);
    scheduler_lead(scheduler, true);
    return scheduler;
}

/* As a node does that led, followed, was given a snapshot, and leads again: what it knew before is of no account. */
static void reload_leader(struct sim *sim)
{
    sim->config.seed = random_next(&sim->random) | 1; /* as many draws as for a new one */
    scheduler_lead(sim->scheduler, false);
    load(sim, sim->scheduler);
    scheduler_lead(sim->scheduler, true);
}

struct sim *sim_new(uint64_t seed)
{
    struct store_options options = {.role = CHRONOS_STORAGE_STATE, .directory = "/", .max_readers = 8};
    struct sim *sim = calloc(1, sizeof *sim);
    assert_non_null(sim);
    random_seed(&sim->random, seed);
    id_source_init(&sim->ids, seed | 1);
    map_init(&sim->runs_by_id);
    heap_init(&sim->events);
    state_changes_init(&sim->changes);
    sim->real_ms = SIM_START;
    sim->duration_ms = 100;
    sim->start_delay_ms = 10;
    sim->leader = "n1";
    sim->config = (struct scheduler_config){.zones = {.load = zoneinfo_load, .nearest = zoneinfo_nearest},
                                            .node_id = sim->leader,
                                            .misfire_threshold_ms = SIM_MISFIRE_MS,
                                            .retention_ms = 30 * DAY,
                                            .executions_per_job = 100000,
                                            .executions_max_bytes = UINT64_C(1) << 40};
    OK(store_open(backend(), "state", NULL, &clock_system, &options, &sim->store, &failure));
    OK(state_new(sim->store, &sim->state, &failure));
    sim->scheduler = new_leader(sim);
    sim->leadership = 1;
    return sim;
}

static struct sim_event *event_of(struct heap_node *node)
{
    return (struct sim_event *)((char *)node - offsetof(struct sim_event, node));
}

static void free_event(struct sim_event *event)
{
    buffer_deinit(&event->command);
    free(event);
}

void sim_free(struct sim *sim)
{
    struct heap_node *node;
    while ((node = heap_peek(&sim->events)) != NULL) {
        heap_remove(&sim->events, node);
        free_event(event_of(node));
    }
    heap_deinit(&sim->events);
    scheduler_free(sim->scheduler);
    state_free(sim->state);
    store_close(sim->store);
    state_changes_deinit(&sim->changes);
    model_free(sim);
    free(sim);
}

int64_t sim_now(const struct sim *sim)
{
    return sim->real_ms + sim->skew_ms;
}

static uint64_t below(struct sim *sim, uint64_t bound)
{
    return random_below(&sim->random, bound);
}

/* --- events --- */

static void push_event(struct sim *sim, struct sim_event *event, int64_t at_ms)
{
    uint64_t order = sim->event_order++ & ((1U << ORDER_BITS) - 1);
    OK(heap_set(&sim->events, &event->node, (at_ms << ORDER_BITS) | (int64_t)order));
}

static int64_t event_time(const struct heap_node *node)
{
    return node->key >> ORDER_BITS;
}

/* --- the log --- */

static struct apply_result apply(struct sim *sim, struct bytes command)
{
    struct apply_result result = {.index = 0};
    struct state_entry entry = {.index = sim->index + 1, .term = 1, .command = command};
    state_changes_clear(&sim->changes);
    OK(state_apply(sim->state, &entry, 1, &result, &sim->changes, &failure));
    sim->index++;
    sim->applied++;
    sim->stale += result.stale_count;
    for (uint32_t i = 0; i < sim->changes.count; i++)
        model_change(sim, &sim->changes.items[i]);
    /* Nodes may have proposed meanwhile, but nothing was applied: the changes still stand. */
    for (uint32_t i = 0; i < sim->changes.count; i++)
        scheduler_change(sim->scheduler, &sim->changes.items[i]);
    sim->poke = true;
    return result;
}

static bool lose_event(struct sim *sim, struct sim_event *event)
{
    if (event->leadership != sim->leadership || sim->lost_percent == 0 || below(sim, 100) >= sim->lost_percent)
        return false;
    scheduler_result(sim->scheduler, event->token, STATUS_NO_LEADER, NULL, sim_now(sim));
    sim->entries_on_way--;
    free_event(event);
    return true;
}

static void apply_event(struct sim *sim, struct sim_event *event)
{
    if (lose_event(sim, event))
        return;
    sim->proposed_ms = command_stamp_of(buffer_bytes(&event->command));
    struct apply_result result = apply(sim, buffer_bytes(&event->command));
    if (event->leadership != 0 && event->leadership == sim->leadership)
        scheduler_result(sim->scheduler, event->token, STATUS_OK, &result, sim_now(sim));
    if (event->ret != NULL)
        *event->ret = result;
    if (event->leadership == 0 || event->leadership == sim->leadership)
        sim->entries_on_way--;
    free_event(event);
}

/* Appends a copy to the log; it is applied in the log's order. */
static void propose(struct sim *sim, struct bytes command, uint32_t leadership, uint64_t token, struct apply_result *ret)
{
    struct sim_event *event = calloc(1, sizeof *event);
    assert_non_null(event);
    int64_t delay = sim->random_delay && sim->delay_ms > 0 ? (int64_t)below(sim, (uint64_t)sim->delay_ms + 1) : sim->delay_ms;
    *event = (struct sim_event){.kind = EVENT_APPLY, .leadership = leadership, .token = token, .ret = ret};
    buffer_init(&event->command, ENTRY_SIZE_MAX);
    buffer_append(&event->command, command.data, command.size);
    assert_int_equal(event->command.failed, STATUS_OK);
    command_stamp(event->command.data, sim_now(sim));
    sim->entries_on_way++;
    if (sim->real_ms + delay > sim->log_tail_ms)
        sim->log_tail_ms = sim->real_ms + delay;
    push_event(sim, event, sim->log_tail_ms);
}

void sim_flush(struct sim *sim)
{
    struct heap_node *later[4096];
    uint32_t count = 0;
    struct heap_node *node;
    while ((node = heap_peek(&sim->events)) != NULL) {
        struct sim_event *event = event_of(node);
        heap_remove(&sim->events, node);
        if (event->kind == EVENT_APPLY)
            apply_event(sim, event);
        else if (count < 4096)
            later[count++] = node;
        else
            fail_msg("more than 4096 events wait");
    }
    for (uint32_t i = 0; i < count; i++)
        OK(heap_set(&sim->events, later[i], later[i]->key));
    sim->log_tail_ms = sim->real_ms;
}

/* A user's command: its outcome is awaited. */
static struct apply_result user(struct sim *sim, struct buffer *command)
{
    struct apply_result result = {.index = 0};
    assert_int_equal(command->failed, STATUS_OK);
    propose(sim, buffer_bytes(command), 0, 0, &result);
    sim_flush(sim);
    buffer_deinit(command);
    return result;
}

static struct buffer command_buffer(void)
{
    struct buffer buffer;
    buffer_init(&buffer, ENTRY_SIZE_MAX);
    return buffer;
}

/* --- nodes --- */

static int node_index(const struct sim *sim, const char *name)
{
    for (uint32_t i = 0; i < sim->node_count; i++)
        if (strcmp(sim->nodes[i].name, name) == 0)
            return (int)i;
    return -1;
}

static void plan(struct sim *sim, const struct sim_run *run, int kind, int64_t delay_ms, enum run_status outcome,
                 enum reason why)
{
    struct sim_event *event = calloc(1, sizeof *event);
    assert_non_null(event);
    *event = (struct sim_event){.kind = kind, .execution = run->execution, .attempt = run->attempt,
                                .session = run->session, .node_index = (uint32_t)node_index(sim, run->node),
                                .outcome = outcome, .why = why};
    push_event(sim, event, sim->real_ms + delay_ms);
}

static enum run_status random_outcome(struct sim *sim)
{
    uint64_t n = below(sim, 100);
    return n < 70 ? RUN_SUCCESS : n < 90 ? RUN_FAILED : n < 95 ? RUN_TIMEOUT : RUN_LOST;
}

static void start_attempt(struct sim *sim, struct sim_run *run)
{
    int64_t duration = sim->duration_ms, delay = sim->start_delay_ms;
    enum run_status outcome = run->attempt <= sim->fail_attempts ? RUN_FAILED : RUN_SUCCESS;
    assert_true(run->attempt > run->started_attempt); /* never one that ran already, here or elsewhere */
    run->started_attempt = run->attempt;
    run->started_session = run->session;
    run->cancel_seen = false;
    run->starts++;
    if (sim->slow_node != NULL && strcmp(run->node, sim->slow_node) == 0)
        duration = HOUR;
    if (sim->random_runs) {
        static const int64_t longest[] = {50, 2000, 30000, 200000};
        duration = 1 + (int64_t)below(sim, (uint64_t)longest[below(sim, 4)]);
        delay = (int64_t)below(sim, 20);
        outcome = random_outcome(sim);
    }
    plan(sim, run, EVENT_STARTED, delay, RUN_PENDING, REASON_NONE);
    plan(sim, run, EVENT_FINISHED, delay + duration, outcome, REASON_NONE);
}

/* What a node does when it sees a row that names its session: level-triggered, whatever it saw before. */
void sim_attempt_seen(struct sim *sim, struct sim_run *run)
{
    int i = node_index(sim, run->node);
    if (sim->nodes_silent || i < 0 || sim->nodes[i].session != run->session ||
        (run->phase != PHASE_ASSIGNED && run->phase != PHASE_RUNNING))
        return;
    bool known = run->started_attempt == run->attempt;
    if (known)
        assert_true(run->started_session == run->session);
    if (!known && run->cancel == REASON_NONE)
        start_attempt(sim, run);
    if (run->cancel != REASON_NONE && !(known && run->cancel_seen)) {
        run->started_attempt = run->attempt;
        run->started_session = run->session;
        run->cancel_seen = true;
        plan(sim, run, EVENT_FINISHED, 50, RUN_CANCELLED, run->cancel);
    }
}

static void report(struct sim *sim, struct sim_event *event)
{
    struct run_report item = {.execution = event->execution, .attempt = event->attempt, .session = event->session,
                              .kind = event->kind == EVENT_STARTED ? REPORT_STARTED : REPORT_FINISHED,
                              .started_ms = sim_now(sim), .duration_ms = 5, .outcome = event->outcome,
                              .reason = event->why, .exit_code = event->outcome == RUN_SUCCESS ? 0 : 1};
    struct sim_run *run = sim_find(sim, &event->execution);
    bool over = sim->nodes[event->node_index].session != event->session || run->finished_attempt >= event->attempt;
    if (over) { /* the process is gone, or the attempt was reported */
        free_event(event);
        return;
    }
    if (sim->refuse_percent > 0 && below(sim, 100) < sim->refuse_percent) { /* it stays in the outbox */
        push_event(sim, event, sim->real_ms + 1000);
        return;
    }
    struct buffer command = command_buffer();
    if (event->kind == EVENT_FINISHED)
        run->finished_attempt = event->attempt;
    report_encode(&item, 1, &command);
    propose(sim, buffer_bytes(&command), 0, 0, NULL);
    buffer_deinit(&command);
    free_event(event);
}

static void take_tags(struct node_row *row, const char *tags)
{
    while (*tags != '\0') {
        size_t size = strcspn(tags, " ");
        assert_true(row->tag_count < NODE_TAGS_MAX && size < NODE_TAG_TEXT_SIZE);
        memcpy(row->tags[row->tag_count++], tags, size);
        tags += size + (tags[size] == ' ');
    }
}

void sim_node_up(struct sim *sim, const char *name, uint32_t capacity, const char *executor)
{
    sim_node_up_tagged(sim, name, capacity, executor, "");
}

void sim_node_up_tagged(struct sim *sim, const char *name, uint32_t capacity, const char *executor, const char *tags)
{
    struct node_row row = {.session = ++sim->sessions, .capacity = capacity, .lease_ms = sim->lease_ms, .version = "1",
                           .executor_count = 1};
    struct buffer command = command_buffer();
    int i = node_index(sim, name);
    if (i < 0) {
        assert_true(sim->node_count < SIM_NODES);
        i = (int)sim->node_count++;
    }
    (void)snprintf(row.name, sizeof row.name, "%s", name);
    (void)snprintf(row.executors[0], sizeof row.executors[0], "%s", executor != NULL ? executor : "shell");
    take_tags(&row, tags);
    sim->nodes[i].session = row.session;
    sim->nodes[i].capacity = capacity;
    memcpy(sim->nodes[i].name, row.name, sizeof row.name);
    node_up_encode(&row, &command);
    assert_int_equal(user(sim, &command).status, STATUS_OK);
}

/* --- users --- */

struct job_spec sim_spec(const char *name, const char *schedule)
{
    struct job_spec spec = {
        .enabled = true,
        .concurrency = CONCURRENCY_FORBID,
        .missed_policy = MISSED_POLICY_EXECUTE_ONE,
        .on_node_loss = NODE_LOSS_RETRY,
        .catchup_limit = 100,
        .timeout_ms = 60000,
        .retry = {.max_attempts = 1, .initial_interval_ms = 1000, .max_interval_ms = 60000, .multiplier_thousandths = 2000},
        .executor = "shell",
        .timezone = "UTC",
        .schedule_count = 1,
        .schedules = {schedule},
    };
    (void)snprintf(spec.name, sizeof spec.name, "%s", name);
    return spec;
}

static enum status put(struct sim *sim, const struct job_put *put)
{
    struct buffer command = command_buffer();
    job_put_encode(put, &command);
    return user(sim, &command).status;
}

struct sim_job *sim_create(struct sim *sim, const struct job_spec *spec)
{
    uint32_t before = sim->job_count;
    struct job_put item = {.id = id_next(&sim->ids, sim_now(sim)), .spec = *spec, .document = {"{\"name\":\"a\"}", 12}};
    assert_int_equal(put(sim, &item), STATUS_OK);
    assert_int_equal(sim->job_count, before + 1);
    return &sim->jobs[before];
}

/* What is due goes with the command: an edit loses no slot. */
static enum status due_of(struct sim *sim, const struct sim_job *job, struct decision *decision, const struct decision **ret)
{
    bool any = false;
    enum status status = scheduler_due(sim->scheduler, job->serial, sim_now(sim), decision, &any);
    *ret = any ? decision : NULL;
    return status;
}

enum status sim_edit(struct sim *sim, struct sim_job *job, const struct job_spec *spec, bool resets_mark)
{
    struct decision decision;
    struct job_put item = {.id = job->id, .expected_version = job->version, .resets_mark = resets_mark, .spec = *spec,
                           .document = {"{\"name\":\"b\"}", 12}};
    enum status status = due_of(sim, job, &decision, &item.due);
    return status == STATUS_OK ? put(sim, &item) : status;
}

enum status sim_enable(struct sim *sim, struct sim_job *job, bool enabled)
{
    struct decision decision;
    struct buffer command = command_buffer();
    struct job_enable item = {.id = job->id, .enabled = enabled};
    enum status status = due_of(sim, job, &decision, &item.due);
    if (status != STATUS_OK)
        return status;
    job_enable_encode(&item, &command);
    return user(sim, &command).status;
}

enum status sim_delete(struct sim *sim, struct sim_job *job)
{
    struct decision decision;
    struct buffer command = command_buffer();
    struct job_delete item = {.id = job->id};
    enum status status = due_of(sim, job, &decision, &item.due);
    if (status != STATUS_OK)
        return status;
    job_delete_encode(&item, &command);
    return user(sim, &command).status;
}

enum status sim_trigger(struct sim *sim, struct sim_job *job, bool force, struct id *ret)
{
    struct buffer command = command_buffer();
    struct trigger_run item = {.job = job->id, .execution = scheduler_new_id(sim->scheduler, sim_now(sim)), .force = force,
                               .reason = REASON_CAPACITY};
    struct placement_node nodes[COMMAND_NODES_MAX] = {{.name = ""}};
    if (job->placement == PLACEMENT_ALL) {
        uint32_t count = scheduler_homes(sim->scheduler, job->serial, nodes);
        item.home_count = count > 0 ? count : 1;
    }
    for (uint32_t i = 0; i < item.home_count; i++) {
        item.homes[i].execution = i == 0 ? item.execution : scheduler_new_id(sim->scheduler, sim_now(sim));
        memcpy(item.homes[i].node, nodes[i].name, sizeof item.homes[i].node);
    }
    sim->forced |= force;
    *ret = item.execution;
    trigger_run_encode(&item, &command);
    return user(sim, &command).status;
}

enum status sim_cancel(struct sim *sim, const struct id *execution)
{
    struct buffer command = command_buffer();
    struct cancel_run item = {.execution = *execution, .reason = REASON_USER};
    cancel_encode(&item, 1, &command);
    return user(sim, &command).status;
}

/* --- the leader --- */

static bool refused(struct sim *sim)
{
    return sim->refuse != STATUS_OK || (sim->refuse_percent > 0 && below(sim, 100) < sim->refuse_percent);
}

static bool propose_all(struct sim *sim, const struct scheduler_command *commands, uint32_t count)
{
    bool taken = true;
    for (uint32_t i = 0; i < count; i++) {
        sim->commands++;
        if (refused(sim)) {
            scheduler_result(sim->scheduler, commands[i].token, sim->refuse != STATUS_OK ? sim->refuse : STATUS_OVERLOADED,
                             NULL, sim_now(sim));
            taken = false;
            continue;
        }
        propose(sim, commands[i].command, sim->leadership, commands[i].token, NULL);
    }
    return taken;
}

static bool apply_due(struct sim *sim)
{
    struct heap_node *node = heap_peek(&sim->events);
    if (node == NULL || event_time(node) > sim->real_ms || event_of(node)->kind != EVENT_APPLY)
        return false;
    heap_remove(&sim->events, node);
    apply_event(sim, event_of(node));
    return true;
}

/* Runs the leader until it has nothing more to do at this instant. */
static void lead(struct sim *sim)
{
    uint32_t calls = 0, idle = 0, count;
    const struct scheduler_command *commands;
    while (sim->hold_until_ms <= sim->real_ms &&
           (sim->poke || (!sim->no_slots && scheduler_next_ms(sim->scheduler) <= sim_now(sim)))) {
        sim->poke = false;
        count = scheduler_run(sim->scheduler, sim_now(sim), !sim->no_slots, &commands);
        idle += count == 0;
        if (++calls > CALLS_MAX || idle > IDLE_CALLS_MAX)
            fail_msg("the scheduler spins: %u calls at one instant, %u of them without a command", calls, idle);
        if (!propose_all(sim, commands, count))
            sim->hold_until_ms = sim->real_ms + REFUSED_RETRY_MS;
        while (apply_due(sim))
            ;
    }
    if (sim->no_slots)
        sim->hold_until_ms = sim->real_ms + REFUSED_RETRY_MS;
    if (calls > sim->most_calls)
        sim->most_calls = calls;
}

static int64_t next_instant(const struct sim *sim, int64_t until_ms)
{
    int64_t next = until_ms, wake = scheduler_next_ms(sim->scheduler);
    const struct heap_node *node = heap_peek(&sim->events);
    if (node != NULL && event_time(node) < next)
        next = event_time(node);
    if (wake != INT64_MAX) {
        wake = wake < 0 ? sim->real_ms : wake - sim->skew_ms;
        if (wake < sim->hold_until_ms)
            wake = sim->hold_until_ms;
        if (wake < next)
            next = wake;
    }
    return next > sim->real_ms ? next : sim->real_ms;
}

static void handle_event(struct sim *sim, struct heap_node *node)
{
    struct sim_event *event = event_of(node);
    heap_remove(&sim->events, node);
    if (event->kind == EVENT_APPLY)
        apply_event(sim, event);
    else
        report(sim, event);
}

void sim_run_for(struct sim *sim, int64_t ms)
{
    int64_t until = sim->real_ms + ms;
    for (;;) {
        struct heap_node *node = heap_peek(&sim->events);
        if (node != NULL && event_time(node) <= sim->real_ms) {
            handle_event(sim, node);
            continue;
        }
        lead(sim);
        node = heap_peek(&sim->events);
        if (node != NULL && event_time(node) <= sim->real_ms)
            continue;
        if (sim->real_ms >= until)
            return;
        sim->real_ms = next_instant(sim, until);
    }
}

void sim_sleep(struct sim *sim, int64_t ms)
{
    sim->real_ms += ms;
}

/* --- another leader --- */

void sim_rebuild(struct sim *sim, bool ghosts, bool lost)
{
    struct heap_node *kept[4096];
    uint32_t count = 0;
    struct heap_node *node;
    while ((node = heap_peek(&sim->events)) != NULL) {
        struct sim_event *event = event_of(node);
        bool decision = event->kind == EVENT_APPLY && event->leadership == sim->leadership;
        heap_remove(&sim->events, node);
        if (event->kind == EVENT_APPLY && !decision) {
            apply_event(sim, event);
        } else if (decision && ghosts && below(sim, 2) == 0) {
            assert_true(count < 4096);
            sim->entries_on_way--;
            kept[count++] = node;
        } else if (decision && (lost || (ghosts && below(sim, 2) == 0))) {
            sim->entries_on_way--;
            free_event(event);
        } else if (decision) {
            apply_event(sim, event);
        } else {
            assert_true(count < 4096);
            kept[count++] = node;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        struct sim_event *event = event_of(kept[i]);
        if (event->kind == EVENT_APPLY)
            push_event(sim, event, sim->real_ms + (int64_t)below(sim, 5000));
        else
            OK(heap_set(&sim->events, kept[i], kept[i]->key));
    }
    sim->haunted |= ghosts;
    bool is_same = sim->config.node_id != NULL && sim->leader != NULL && strcmp(sim->config.node_id, sim->leader) == 0;
    sim->config.node_id = sim->leader;
    if (is_same && sim->leadership % 2 == 0) {
        reload_leader(sim);
    } else {
        scheduler_free(sim->scheduler);
        sim->scheduler = new_leader(sim);
    }
    sim->leadership++;
    sim->poke = true;
}

static void compare_stats(const struct sim *sim, const struct scheduler *other)
{
    struct scheduler_stats mine, theirs;
    scheduler_stats_get(sim->scheduler, &mine);
    scheduler_stats_get(other, &theirs);
    assert_int_equal(mine.jobs, theirs.jobs);
    assert_int_equal(mine.jobs_enabled, theirs.jobs_enabled);
    assert_int_equal(mine.jobs_held, theirs.jobs_held);
    assert_int_equal(mine.open_runs, theirs.open_runs);
    assert_int_equal(mine.open_runs, sim->open_count);
    assert_int_equal(mine.ready + mine.backoff, theirs.ready + theirs.backoff);
    assert_int_equal(mine.running, theirs.running);
    assert_int_equal(mine.decisions_in_flight, 0);
    uint32_t running = 0;
    for (uint32_t i = 0; i < sim->run_count; i++)
        running += sim->runs[i]->status == RUN_PENDING &&
                   (sim->runs[i]->phase == PHASE_ASSIGNED || sim->runs[i]->phase == PHASE_RUNNING);
    assert_int_equal(mine.running, running);
}

void sim_check_settled(struct sim *sim)
{
    const struct scheduler_command *commands;
    int64_t delay = sim->delay_ms;
    uint32_t lost = sim->lost_percent;
    sim->lost_percent = 0;
    sim_flush(sim);
    sim->delay_ms = 0;
    lead(sim);
    sim->delay_ms = delay;
    sim->lost_percent = lost;
    if (sim->hold_until_ms > sim->real_ms || sim->entries_on_way > 0)
        return;
    uint64_t seed = sim->config.seed;
    struct scheduler *other = new_leader(sim);
    sim->config.seed = seed;
    uint32_t count = scheduler_run(other, sim_now(sim), !sim->no_slots, &commands);
    for (uint32_t i = 0; i < count; i++)
        fail_msg("another leader would propose a command of type %d", (int)command_type_of(commands[i].command));
    compare_stats(sim, other);
    for (uint32_t i = 0; i < sim->job_count; i++) {
        int64_t mine = 0, theirs = 0;
        bool has = scheduler_job_next(sim->scheduler, sim->jobs[i].serial, &mine);
        assert_int_equal(has, scheduler_job_next(other, sim->jobs[i].serial, &theirs));
        assert_true(mine == theirs);
    }
    scheduler_free(other);
}

void sim_check_state(struct sim *sim)
{
    struct state_view view;
    OK(state_view_begin(sim->state, &view, &failure));
    OK(state_check_invariants(&view, &failure));
    state_view_end(&view);
}

/* --- what happened --- */

struct sim_run *sim_find(struct sim *sim, const struct id *execution)
{
    return map_get(&sim->runs_by_id, execution->bytes, sizeof execution->bytes);
}

struct sim_run *sim_nth(struct sim *sim, const struct sim_job *job, int trigger, uint32_t n)
{
    for (uint32_t i = 0; i < sim->run_count; i++)
        if (sim->runs[i]->serial == job->serial && (trigger < 0 || sim->runs[i]->trigger == (enum run_trigger)trigger) &&
            n-- == 0)
            return sim->runs[i];
    return NULL;
}

uint32_t sim_count(struct sim *sim, const struct sim_job *job, int trigger, int status)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < sim->run_count; i++) {
        const struct sim_run *run = sim->runs[i];
        count += (job == NULL || run->serial == job->serial) && (trigger < 0 || run->trigger == (enum run_trigger)trigger) &&
                 (status < 0 || run->status == (enum run_status)status);
    }
    return count;
}

void sim_assert_all_ended(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->run_count; i++)
        if (sim->runs[i]->status == RUN_PENDING)
            fail_msg("a run of job %llu is still open: phase %d, reason %s, attempt %u, node \"%s\"",
                     (unsigned long long)sim->runs[i]->serial, (int)sim->runs[i]->phase, reason_name(sim->runs[i]->reason),
                     sim->runs[i]->attempt, sim->runs[i]->node);
    assert_int_equal(sim->open_count, 0);
}
