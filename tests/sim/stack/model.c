/* What must be true of every change, from the schedule alone; each index is looked at once, at the node that applies it first. */
#include "stack_internal.h"

#include <stdlib.h>
#include <string.h>

#include "schedule/schedule.h"

static struct model_job *job_of(struct sim *sim, uint64_t serial)
{
    for (uint32_t i = 0; i < sim->model->job_count; i++)
        if (sim->model->jobs[i].serial == serial)
            return &sim->model->jobs[i];
    return NULL;
}

struct model_run *model_find(struct sim *sim, const struct id *execution)
{
    return map_get(&sim->model->runs, execution->bytes, sizeof execution->bytes);
}

/* --- slots --- */

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void add_slot(struct model_job *job, int64_t slot_ms)
{
    if (job->slot_count == job->slot_capacity) {
        job->slot_capacity = job->slot_capacity > 0 ? 2 * job->slot_capacity : 64;
        job->slots = realloc(job->slots, job->slot_capacity * sizeof *job->slots);
        if (job->slots == NULL)
            abort();
    }
    job->slots[job->slot_count++] = slot_ms;
}

static void fail_slot(struct sim *sim, const struct model_job *job, int64_t slot_ms, const char *what)
{
    sim_fail(sim, "slots: of job %llu %+lld ms %s (mark %+lld ms)", (unsigned long long)job->serial,
             (long long)(slot_ms - WALL_START), what, (long long)(job->mark_ms - WALL_START));
}

static uint32_t ranges_with(const struct model_job *job, int64_t slot, uint64_t counted[4])
{
    uint32_t places = 0;
    for (uint32_t i = 0; i < job->range_count; i++)
        if (slot >= job->ranges[i].first_ms && slot <= job->ranges[i].last_ms) {
            counted[i]++;
            places++;
        }
    return places;
}

/* Every slot in (mark, to_ms] is in exactly one place; nothing else was decided. */
static void check_slots(struct sim *sim, struct model_job *job, int64_t to_ms)
{
    uint64_t counted[4] = {0};
    uint32_t next = 0;
    int64_t slot = job->mark_ms;
    if (job->slot_count > 1)
        qsort(job->slots, job->slot_count, sizeof *job->slots, compare);
    while (job->enabled && job->schedule != NULL && schedule_next(job->schedule, slot, &slot) && slot <= to_ms) {
        uint32_t places = ranges_with(job, slot, counted);
        uint32_t runs = 0;
        for (; next < job->slot_count && job->slots[next] == slot; next++)
            runs++;
        places += job->on_all && runs > 0 ? 1 : runs; /* there one a node: check_home */
        if (places != 1)
            fail_slot(sim, job, slot, places == 0 ? "is lost" : "is decided twice");
        sim->model->decided++;
    }
    if (next < job->slot_count)
        fail_slot(sim, job, job->slots[next], "is none of the schedule, or lies beyond the mark");
    for (uint32_t i = 0; i < job->range_count; i++)
        if (job->ranges[i].at_least ? job->ranges[i].count > counted[i] : job->ranges[i].count != counted[i])
            fail_slot(sim, job, job->ranges[i].first_ms, "begins a range that counts wrongly");
    job->slot_count = job->range_count = 0;
}

static void mark_moves(struct sim *sim, struct model_job *job, int64_t mark_ms)
{
    if (mark_ms < job->mark_ms)
        fail_slot(sim, job, mark_ms, "is where the mark goes back to");
    check_slots(sim, job, mark_ms);
    job->mark_ms = mark_ms;
}

/* --- changes --- */

static void job_changes(struct sim *sim, const struct state_change *change)
{
    struct job_spec spec;
    struct model *model = sim->model;
    struct model_job *job = job_of(sim, change->serial);
    STACK_OK(sim, job_spec_decode(change->serial, change->row, &spec, &stack_error));
    if (job == NULL) {
        sim_require(sim, model->job_count < MODEL_JOBS_MAX, "stack: names make few jobs", NULL);
        job = &model->jobs[model->job_count++];
        *job = (struct model_job){.serial = change->serial, .mark_ms = change->marks.mark_ms};
    } else {
        mark_moves(sim, job, change->marks.mark_ms);
    }
    job->id = spec.id;
    job->version = spec.version;
    job->enabled = spec.enabled;
    job->on_all = spec.placement == PLACEMENT_ALL;
    schedule_free(job->schedule);
    job->schedule = NULL;
    struct schedule_options options = {.dst_gap = spec.dst_gap, .dst_overlap = spec.dst_overlap, .day_match = spec.day_match};
    STACK_OK(sim, schedule_parse(spec.schedules, spec.schedule_count, model->utc, options, spec.anchor_ms, &job->schedule,
                                 &stack_error));
}

struct range_search {
    struct sim *sim;
    const struct state_change *change;
    struct model_job *job;
};

static bool find_range(void *arg, struct bytes key, struct bytes row)
{
    struct range_search *search = arg;
    struct dropped_range range;
    STACK_OK(search->sim, dropped_range_decode(key, row, &range, &stack_error));
    if (range.serial != search->change->serial || range.first_ms != search->change->scheduled_ms)
        return true;
    search->job->ranges[search->job->range_count++] =
        (struct model_range){range.first_ms, range.last_ms, range.count, range.at_least};
    return false;
}

static void slots_dropped(struct sim *sim, struct node *node, const struct state_change *change)
{
    struct range_search search = {sim, change, job_of(sim, change->serial)};
    struct state_view view;
    sim_require(sim, search.job != NULL && search.job->range_count < 4, "stack: dropped slots belong to a job", node);
    uint32_t before = search.job->range_count;
    STACK_OK(sim, state_view_begin(node->stack->state, &view, &stack_error));
    STACK_OK(sim, state_walk_table(&view, STATE_RANGES, (struct bytes){NULL, 0}, false, find_range, &search, &stack_error));
    state_view_end(&view);
    sim_require(sim, search.job->range_count == before + 1, "stack: dropped slots have their row", node);
}

static struct model_run *add_run(struct sim *sim, const struct state_change *change, enum run_trigger trigger, int64_t slot_ms)
{
    struct model *model = sim->model;
    struct model_run *run = sim_alloc(sim, sizeof *run);
    struct model_job *job = job_of(sim, change->serial);
    sim_require(sim, job != NULL, "stack: a run belongs to a job", NULL);
    *run = (struct model_run){.execution = change->execution, .serial = change->serial, .status = RUN_PENDING,
                              .trigger = trigger, .slot_ms = slot_ms, .next = model->first_run};
    model->first_run = run;
    model->run_count++;
    model->open_count++;
    if (map_put(&model->runs, run->execution.bytes, sizeof run->execution.bytes, run, NULL) != STATUS_OK)
        abort();
    if (trigger == TRIGGER_SCHEDULE || trigger == TRIGGER_CATCHUP)
        add_slot(job, slot_ms);
    return run;
}

/* Placement `all`: a slot has at most one run on a node. */
static void check_home(struct sim *sim, const struct model_run *run)
{
    enum { NEWEST = 200 };
    const struct model_run *other = sim->model->first_run;
    for (uint32_t i = 0; i < NEWEST && other != NULL && run->trigger != TRIGGER_MANUAL; i++, other = other->next)
        sim_require(sim, other == run || other->serial != run->serial || other->slot_ms != run->slot_ms || !other->pinned ||
                             other->trigger == TRIGGER_MANUAL || strcmp(other->node, run->node) != 0,
                    "runs: a slot has one on a node", NULL);
}

static void run_changes(struct sim *sim, const struct state_change *change)
{
    struct open_run open;
    struct model_run *run = model_find(sim, &change->execution);
    STACK_OK(sim, open_run_decode(&change->execution, change->row, &open, &stack_error));
    bool is_new = run == NULL;
    if (is_new)
        run = add_run(sim, change, open.trigger, open.scheduled_ms);
    sim_require(sim, run->status == RUN_PENDING, "runs: one that is over stays over", NULL);
    sim_require(sim, !run->pinned || run->node[0] == '\0' || strcmp(run->node, open.node) == 0,
                "runs: one that is pinned stays on its node", NULL);
    sim_require(sim, open.attempt == run->attempt || open.attempt == run->attempt + 1, "runs: attempts count up", NULL);
    run->attempt = open.attempt;
    run->phase = open.phase;
    run->session = open.session;
    run->pinned = open.pinned;
    memcpy(run->node, open.node, sizeof run->node);
    if (is_new && run->pinned)
        check_home(sim, run);
}

static void run_closes(struct sim *sim, const struct state_change *change)
{
    struct model_run *run = model_find(sim, &change->execution);
    sim_require(sim, change->was_open == (run != NULL), "runs: was it open?", NULL);
    if (run == NULL)
        run = add_run(sim, change, change->trigger, change->scheduled_ms);
    sim_require(sim, run->status == RUN_PENDING, "runs: one that is over stays over", NULL);
    sim_require(sim, run_status_terminal(change->status), "runs: what closes is terminal", NULL);
    run->status = change->status;
    sim->model->open_count--;
}

static void change_one(struct sim *sim, struct node *node, const struct state_change *change)
{
    struct model_job *job = job_of(sim, change->serial);
    switch (change->kind) {
    case CHANGE_JOB:
        job_changes(sim, change);
        break;
    case CHANGE_MARKS:
        if (job != NULL && !job->deleted)
            mark_moves(sim, job, change->marks.mark_ms);
        break;
    case CHANGE_OPEN:
        run_changes(sim, change);
        break;
    case CHANGE_CLOSED:
        run_closes(sim, change);
        break;
    case CHANGE_DROPPED:
        slots_dropped(sim, node, change);
        break;
    case CHANGE_JOB_DELETED:
    case CHANGE_NODE:
    case CHANGE_NODE_GONE:
        break;
    }
}

void model_apply(struct sim *sim, struct node *node, const struct blob *blob)
{
    sim->model->applied = blob->entry.id.index;
    for (uint32_t i = 0; i < node->stack->changes.count; i++)
        change_one(sim, node, &node->stack->changes.items[i]);
}

/* Per (run, attempt) at most one start in the whole history. */
void model_start(struct sim *sim, const struct node *node, const struct id *execution, uint32_t attempt)
{
    struct model_run *run = model_find(sim, execution);
    sim_require(sim, run != NULL, "starts: of a run that was decided", node);
    sim_require(sim, attempt < 128, "starts: attempts are few", node);
    if (run->started[attempt / 64] & UINT64_C(1) << attempt % 64)
        sim_fail(sim, "starts: %s starts attempt %u of a run a second time", node_name(sim, node->id), attempt);
    run->started[attempt / 64] |= UINT64_C(1) << attempt % 64;
    sim->model->starts++;
}

void model_free(struct sim *sim)
{
    struct model *model = sim->model;
    for (uint32_t i = 0; i < model->job_count; i++) {
        schedule_free(model->jobs[i].schedule);
        free(model->jobs[i].slots);
    }
    sim->stats.decided += model->decided;
    sim->stats.runs += model->run_count;
    sim->stats.starts += model->starts;
    map_deinit(&model->runs);
    zone_table_free(model->zones);
    free(model);
}
