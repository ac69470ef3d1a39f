/* What must be true of every change, from the schedule alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/codec.h"
#include "sim.h"

static struct sim_job *job_of(struct sim *sim, uint64_t serial)
{
    for (uint32_t i = 0; i < sim->job_count; i++)
        if (sim->jobs[i].serial == serial)
            return &sim->jobs[i];
    return NULL;
}

/* --- slots --- */

static int compare_instants(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void add_pending(struct sim_job *job, int64_t slot_ms)
{
    if (job->pending_count == job->pending_capacity) {
        job->pending_capacity = job->pending_capacity ? job->pending_capacity * 2 : 64;
        job->pending = realloc(job->pending, job->pending_capacity * sizeof *job->pending);
        assert_non_null(job->pending);
    }
    job->pending[job->pending_count++] = slot_ms;
}

static void fail_slot(const struct sim_job *job, int64_t slot_ms, const char *what)
{
    char text[TIME_TEXT_SIZE], mark[TIME_TEXT_SIZE];
    time_format(slot_ms, text);
    time_format(job->mark_ms, mark);
    fail_msg("job %llu: the slot %s %s (the mark stood at %s)", (unsigned long long)job->serial, text, what, mark);
}

/* Every slot in (mark, to_ms] is in exactly one place; nothing else was decided. */
static void check_slots(const struct sim *sim, struct sim_job *job, int64_t to_ms)
{
    uint64_t counted[4] = {0};
    uint32_t next = 0;
    int64_t slot = job->mark_ms;
    if (job->pending_count > 1)
        qsort(job->pending, job->pending_count, sizeof *job->pending, compare_instants);
    while (job->enabled && job->schedule != NULL && schedule_next(job->schedule, slot, &slot) && slot <= to_ms) {
        uint32_t places = 0;
        for (uint32_t r = 0; r < job->range_count; r++)
            if (slot >= job->ranges[r].first_ms && slot <= job->ranges[r].last_ms) {
                counted[r]++;
                places++;
            }
        uint32_t runs = 0;
        for (; next < job->pending_count && job->pending[next] == slot; next++)
            runs++;
        places += job->placement == PLACEMENT_ALL && runs > 0 ? 1 : runs; /* there one a node: check_home */
        if (places == 0)
            fail_slot(job, slot, "is lost");
        if (places > 1)
            fail_slot(job, slot, "was decided twice");
        job->slots++;
    }
    if (next < job->pending_count)
        fail_slot(job, job->pending[next], "is none of the schedule, or lies beyond the mark");
    for (uint32_t r = 0; r < job->range_count; r++) {
        const struct sim_range *range = &job->ranges[r];
        if (range->at_least ? range->count > counted[r] : range->count != counted[r])
            fail_msg("a range counts %llu slots and spans %llu", (unsigned long long)range->count,
                     (unsigned long long)counted[r]);
    }
    job->pending_count = job->range_count = 0;
    job->decided_runs = sim->run_count;
}

static void mark_moves(struct sim *sim, struct sim_job *job, int64_t mark_ms, bool edited)
{
    int64_t to = mark_ms;
    if (edited && sim->proposed_ms < to) /* the log's time may lie ahead of the clock; slots are due by the clock */
        to = sim->proposed_ms;
    check_slots(sim, job, to);
    job->mark_ms = mark_ms;
}

/* --- jobs --- */

static void job_changes(struct sim *sim, const struct state_change *change)
{
    struct zone_table *zones = NULL;
    const struct zone *zone = NULL;
    struct job_spec spec;
    struct sim_job *job = job_of(sim, change->serial);
    OK(job_spec_decode(change->serial, change->row, &spec, &failure));
    if (job == NULL) {
        assert_true(sim->job_count < SIM_ROOM);
        job = &sim->jobs[sim->job_count++];
        *job = (struct sim_job){.serial = change->serial, .mark_ms = change->marks.mark_ms};
    } else {
        mark_moves(sim, job, change->marks.mark_ms, job->version != spec.version);
    }
    job->id = spec.id;
    job->version = spec.version;
    memcpy(job->executor, spec.executor, sizeof job->executor);
    job->placement = spec.placement;
    job->node_tag_count = spec.node_tag_count;
    for (uint32_t i = 0; i < spec.node_tag_count; i++)
        (void)snprintf(job->node_tags[i], sizeof job->node_tags[i], "%s", spec.node_tags[i]);
    job->enabled = spec.enabled;
    job->was_allowed |= spec.concurrency == CONCURRENCY_ALLOW;
    schedule_free(job->schedule);
    job->schedule = NULL;
    assert_string_equal(spec.timezone, "UTC"); /* which needs no loader and outlives its table here */
    static struct zone_table *shared;
    if (shared == NULL) {
        OK(zone_table_new((struct zone_loader){.load = NULL}, &zones, &failure));
        shared = zones;
    }
    OK(zone_table_get(shared, "UTC", &zone, &failure));
    struct schedule_options options = {.dst_gap = spec.dst_gap, .dst_overlap = spec.dst_overlap, .day_match = spec.day_match};
    OK(schedule_parse(spec.schedules, spec.schedule_count, zone, options, spec.anchor_ms, &job->schedule, &failure));
}

static void job_is_deleted(struct sim *sim, const struct state_change *change)
{
    struct sim_job *job = job_of(sim, change->serial);
    assert_non_null(job);
    mark_moves(sim, job, sim->proposed_ms > change->marks.mark_ms ? sim->proposed_ms : change->marks.mark_ms, true);
    job->deleted = true;
    job->enabled = false;
}

static void marks_change(struct sim *sim, const struct state_change *change)
{
    struct sim_job *job = job_of(sim, change->serial);
    assert_non_null(job);
    if (job->deleted)
        return;
    assert_true(change->marks.mark_ms >= job->mark_ms);
    mark_moves(sim, job, change->marks.mark_ms, false);
}

static void slots_dropped(struct sim *sim, const struct state_change *change)
{
    struct sim_job *job = job_of(sim, change->serial);
    struct state_view view;
    struct table_rows rows;
    bool found = false;
    assert_non_null(job);
    assert_true(job->range_count < 4);
    OK(state_view_begin(sim->state, &view, &failure));
    OK(table_rows_load(&view, STATE_RANGES, &rows, &failure));
    for (uint32_t i = 0; i < rows.count && !found; i++) {
        struct dropped_range range;
        OK(dropped_range_decode(rows.items[i].key, rows.items[i].row, &range, &failure));
        found = range.serial == change->serial && range.first_ms == change->scheduled_ms;
        if (!found)
            continue;
        assert_int_equal(range.reason, change->reason);
        assert_true(range.count == change->count);
        job->last_range = (struct sim_range){range.first_ms, range.last_ms, range.count, range.at_least, range.reason};
        job->ranges[job->range_count++] = job->last_range;
    }
    table_rows_free(&rows);
    state_view_end(&view);
    assert_true(found);
    job->dropped[change->reason] += change->count;
    job->range_total++;
}

/* --- runs --- */

static struct sim_run *add_run(struct sim *sim, const struct state_change *change, enum run_trigger trigger,
                               int64_t scheduled_ms)
{
    struct sim_run *run = calloc(1, sizeof *run);
    struct sim_job *job = job_of(sim, change->serial);
    assert_non_null(run);
    assert_non_null(job);
    *run = (struct sim_run){.execution = change->execution, .serial = change->serial, .trigger = trigger,
                            .scheduled_ms = scheduled_ms, .created_ms = sim_now(sim), .status = RUN_PENDING};
    if (sim->run_count == sim->run_capacity) {
        sim->run_capacity = sim->run_capacity ? sim->run_capacity * 2 : 256;
        sim->runs = realloc(sim->runs, sim->run_capacity * sizeof(struct sim_run *));
        assert_non_null(sim->runs);
    }
    sim->runs[sim->run_count++] = run;
    OK(map_put(&sim->runs_by_id, run->execution.bytes, sizeof run->execution.bytes, run, NULL));
    if (trigger == TRIGGER_SCHEDULE || trigger == TRIGGER_CATCHUP)
        add_pending(job, scheduled_ms);
    return run;
}

/* Can both be on one node? Then they must not be under way together. */
static bool share_turns(const struct sim_run *a, const struct sim_run *b)
{
    bool apart = a->pinned && b->pinned && a->node[0] != '\0' && b->node[0] != '\0' && strcmp(a->node, b->node) != 0;
    return !apart;
}

static void check_overlap(struct sim *sim, const struct sim_job *job, const struct sim_run *run)
{
    if (sim->forced || job == NULL || job->was_allowed || run->phase == PHASE_WAITING)
        return;
    for (uint32_t i = sim->run_count; i-- > 0 && sim->run_count - i < 2000;) {
        const struct sim_run *other = sim->runs[i];
        if (other != run && other->serial == job->serial && other->status == RUN_PENDING && other->phase != PHASE_WAITING)
            assert_false(share_turns(run, other));
    }
}

/* Placement `all`: a slot has at most one run on a node. */
static void check_home(const struct sim *sim, const struct sim_job *job, const struct sim_run *run)
{
    if (!run->pinned || job == NULL || run->trigger == TRIGGER_MANUAL)
        return;
    for (uint32_t i = job->decided_runs; i < sim->run_count; i++) {
        const struct sim_run *other = sim->runs[i];
        if (other != run && other->serial == run->serial && other->scheduled_ms == run->scheduled_ms)
            assert_string_not_equal(other->node, run->node);
    }
}

static bool carries(const struct node_row *row, const char *tag)
{
    uint32_t i = 0;
    while (i < row->tag_count && strcmp(row->tags[i], tag) != 0)
        i++;
    return i < row->tag_count;
}

static void node_changes(struct sim *sim, const struct state_change *change)
{
    struct node_row row;
    struct sim_node *node = sim->nodes;
    OK(node_row_decode(change->row, &row, &failure));
    while (strcmp(node->name, row.name) != 0)
        assert_true(++node < sim->nodes + sim->node_count);
    node->row = row;
}

static void check_placement(struct sim *sim, const struct open_run *open, bool was_pinned)
{
    const struct sim_job *job = job_of(sim, open->serial);
    const struct sim_node *node = sim->nodes;
    if (sim->haunted || job == NULL || job->deleted)
        return;
    while (strcmp(node->name, open->node) != 0)
        assert_true(++node < sim->nodes + sim->node_count);
    assert_string_equal(node->row.executors[0], open->executor);
    if (was_pinned)
        return; /* it is that node's, whatever is asked for by now */
    if (job->placement == PLACEMENT_LEADER)
        assert_string_equal(open->node, sim->config.node_id);
    for (uint32_t i = 0; i < job->node_tag_count; i++)
        assert_true(carries(&node->row, job->node_tags[i]));
}

static void run_changes(struct sim *sim, const struct state_change *change)
{
    struct open_run open;
    OK(open_run_decode(&change->execution, change->row, &open, &failure));
    struct sim_run *run = sim_find(sim, &change->execution);
    bool is_new = run == NULL;
    if (is_new) {
        run = add_run(sim, change, open.trigger, open.scheduled_ms);
        run->pinned = open.pinned;
        sim->open_count++;
    }
    assert_int_equal(open.pinned, run->pinned);
    if (run->pinned && run->node[0] != '\0')
        assert_string_equal(open.node, run->node);
    assert_int_equal(run->status, RUN_PENDING);
    assert_true(open.attempt == run->attempt || open.attempt == run->attempt + 1);
    if (open.attempt > run->attempt) {
        run->assigned_ms = sim_now(sim);
        check_placement(sim, &open, run->pinned && run->node[0] != '\0');
    }
    bool new_phase = run->phase != open.phase;
    run->phase = open.phase;
    run->attempt = open.attempt;
    run->reason = open.reason;
    run->cancel = open.cancel;
    run->session = open.session;
    run->next_attempt_ms = open.next_attempt_ms;
    memcpy(run->node, open.node, sizeof run->node);
    if (new_phase)
        check_overlap(sim, job_of(sim, change->serial), run);
    if (is_new)
        check_home(sim, job_of(sim, change->serial), run);
    sim_attempt_seen(sim, run);
}

static void run_closes(struct sim *sim, const struct state_change *change)
{
    struct sim_run *run = sim_find(sim, &change->execution);
    assert_int_equal(change->was_open, run != NULL);
    if (run == NULL)
        run = add_run(sim, change, change->trigger, change->scheduled_ms);
    else
        sim->open_count--;
    assert_int_equal(run->status, RUN_PENDING);
    assert_true(run_status_terminal(change->status));
    run->status = change->status;
    run->reason = change->reason;
    run->ended_ms = sim_now(sim);
    if (change->status == RUN_SKIPPED)
        job_of(sim, change->serial)->skipped[change->reason]++;
}

void model_change(struct sim *sim, const struct state_change *change)
{
    switch (change->kind) {
    case CHANGE_JOB:
        job_changes(sim, change);
        break;
    case CHANGE_JOB_DELETED:
        job_is_deleted(sim, change);
        break;
    case CHANGE_MARKS:
        marks_change(sim, change);
        break;
    case CHANGE_OPEN:
        run_changes(sim, change);
        break;
    case CHANGE_CLOSED:
        run_closes(sim, change);
        break;
    case CHANGE_DROPPED:
        slots_dropped(sim, change);
        break;
    case CHANGE_NODE:
    case CHANGE_NODE_GONE:
        node_changes(sim, change);
        break;
    }
}

void model_free(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->run_count; i++)
        free(sim->runs[i]);
    free(sim->runs);
    for (uint32_t i = 0; i < sim->job_count; i++) {
        schedule_free(sim->jobs[i].schedule);
        free(sim->jobs[i].pending);
    }
    map_deinit(&sim->runs_by_id);
}
