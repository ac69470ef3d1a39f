#include "scheduler/scheduler.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler/scheduler_internal.h"

/* --- the index --- */

struct job *scheduler_job(const struct scheduler *s, uint64_t serial)
{
    return map_get(&s->jobs, &serial, sizeof serial);
}

struct run *scheduler_find_run(const struct scheduler *s, const struct id *execution)
{
    return map_get(&s->runs, execution->bytes, sizeof execution->bytes);
}

void scheduler_queue_job(struct scheduler *s, struct job *job)
{
    bool decides = job->enabled && !job->deleted && job->schedule != NULL && !job->in_flight && job->next_ms != INT64_MAX;
    if (!decides)
        heap_remove(&s->due, &job->due);
    else if (heap_set(&s->due, &job->due, job->next_ms) != STATUS_OK)
        s->again = true; /* out of memory; the job's next change tries again */
}

void scheduler_attend(struct scheduler *s, struct job *job)
{
    if (job->in_attention || job->waiting == 0)
        return;
    job->in_attention = true;
    job->attention_next = s->attention;
    s->attention = job;
}

static void leave_attention(struct scheduler *s, struct job *job)
{
    struct job **at = &s->attention;
    if (!job->in_attention)
        return;
    while (*at != job)
        at = &(*at)->attention_next;
    *at = job->attention_next;
    job->in_attention = false;
}

static void stop_walk(struct scheduler *s, const struct job *job)
{
    if (s->walk.job == job)
        s->walk.job = NULL;
}

/* --- jobs --- */

static void hold(struct job *job, const struct error *err)
{
    job->held = strdup(err->message); /* NULL only without memory: then it is held without a reason */
    job->schedule = NULL;
}

/* A schedule that parsed on another node may not parse here: other tzdata. The job is kept, and held. */
static void compile(struct scheduler *s, struct job *job, const struct job_spec *spec)
{
    struct error err;
    const struct zone *zone;
    struct schedule_options options = {.dst_gap = spec->dst_gap, .dst_overlap = spec->dst_overlap,
                                       .day_match = spec->day_match};
    schedule_free(job->schedule);
    job->schedule = NULL;
    free(job->held);
    job->held = NULL;
    enum status status = zone_table_get(s->zones, spec->timezone, &zone, &err);
    if (status == STATUS_OK)
        status = schedule_parse(spec->schedules, spec->schedule_count, zone, options, spec->anchor_ms, &job->schedule, &err);
    if (status != STATUS_OK)
        hold(job, &err);
}

static void set_mark(struct scheduler *s, struct job *job, const struct job_marks *marks)
{
    bool moved = job->mark_ms != marks->mark_ms;
    job->mark_ms = marks->mark_ms;
    job->active = marks->active;
    job->waiting = marks->waiting;
    if (moved)
        stop_walk(s, job);
    if ((moved || job->next_ms == 0) &&
        (job->schedule == NULL || !schedule_next(job->schedule, job->mark_ms, &job->next_ms)))
        job->next_ms = INT64_MAX;
    scheduler_queue_job(s, job);
    scheduler_attend(s, job);
}

/* `sign` +1 or -1: the job enters or leaves the counts. */
static void count_job(struct scheduler *s, const struct job *job, int sign)
{
    s->stats.jobs_enabled += (uint32_t)(job->enabled ? sign : 0);
    s->stats.jobs_held += (uint32_t)(job->held != NULL ? sign : 0);
}

static struct job *add_job(struct scheduler *s, uint64_t serial)
{
    struct job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return NULL;
    job->serial = serial;
    if (map_put(&s->jobs, &job->serial, sizeof job->serial, job, NULL) != STATUS_OK) {
        free(job);
        return NULL;
    }
    return job;
}

static enum status put_job(struct scheduler *s, uint64_t serial, struct bytes row, const struct job_marks *marks,
                           struct error *err)
{
    struct job_spec spec;
    enum status status = job_spec_decode(serial, row, &spec, err);
    if (status != STATUS_OK)
        return status;
    struct job *job = scheduler_job(s, serial);
    if (job == NULL)
        job = add_job(s, serial);
    if (job == NULL || job_set_demand(s, job, &spec) != STATUS_OK)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for job %s", spec.name);
    stop_walk(s, job);
    count_job(s, job, -1);
    job->version = spec.version;
    job->enabled = spec.enabled;
    job->concurrency = (uint8_t)spec.concurrency;
    job->missed_policy = (uint8_t)spec.missed_policy;
    job->catchup_window_ms = spec.catchup_window_ms;
    expiries_of_job_changed(s, job);
    job->catchup_limit = spec.catchup_limit;
    compile(s, job, &spec);
    count_job(s, job, +1);
    job->next_ms = 0; /* computed anew */
    set_mark(s, job, marks);
    return STATUS_OK;
}

static void free_job(struct scheduler *s, struct job *job)
{
    stop_walk(s, job);
    count_job(s, job, -1);
    leave_attention(s, job);
    heap_remove(&s->due, &job->due);
    for (struct run *run = job->runs, *next; run != NULL; run = next) {
        next = run->job_next;
        run->job = NULL;
        run->job_next = run->job_previous = NULL;
    }
    (void)map_remove(&s->jobs, &job->serial, sizeof job->serial);
    demand_release(s, job->demand);
    schedule_free(job->schedule);
    free(job->held);
    free(job);
}

/* --- open runs --- */

static struct run *add_run(struct scheduler *s, const struct open_run *row)
{
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return NULL;
    run->execution = row->execution;
    run->serial = row->serial;
    run->trigger = (uint8_t)row->trigger;
    run->scheduled_ms = row->scheduled_ms;
    run->node = -1;
    run->job = scheduler_job(s, row->serial);
    run->pinned = row->pinned;
    run->demand = demand_of_run(s, run->job, row->executor, run->pinned ? row->node : "");
    if (run->demand == NULL || map_put(&s->runs, run->execution.bytes, sizeof run->execution.bytes, run, NULL) != STATUS_OK) {
        demand_release(s, run->demand);
        free(run);
        return NULL;
    }
    if (run->job != NULL) {
        run->job_next = run->job->runs;
        if (run->job_next != NULL)
            run->job_next->job_previous = run;
        run->job->runs = run;
    }
    return run;
}

static enum status put_run(struct scheduler *s, const struct id *execution, struct bytes row, struct error *err)
{
    struct open_run open;
    enum status status = open_run_decode(execution, row, &open, err);
    if (status != STATUS_OK)
        return status;
    struct run *run = scheduler_find_run(s, execution);
    if (run == NULL)
        run = add_run(s, &open);
    if (run == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for a run of job %s", open.job_name);
    node_vacate(s, run);
    run->phase = (uint8_t)open.phase;
    run->cancel = (uint8_t)open.cancel;
    run->attempt = open.attempt;
    run->session = open.session;
    run->node = (int8_t)(open.node[0] == '\0' ? -1 : node_find(s, open.node));
    run->home_gone = run->pinned && open.node[0] != '\0' && run->node < 0;
    if (run->pinned && run_pin(s, run, open.node) != STATUS_OK)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for a run of job %s", open.job_name);
    heap_remove(&s->retries, &run->retry);
    run->retry.key = open.next_attempt_ms;
    node_occupy(s, run);
    run_classify(s, run);
    if (run->job != NULL)
        scheduler_attend(s, run->job);
    return STATUS_OK;
}

static void close_run(struct scheduler *s, const struct id *execution)
{
    struct run *run = scheduler_find_run(s, execution);
    if (run == NULL)
        return;
    run_unlink(s, run);
    if (run->job != NULL)
        scheduler_attend(s, run->job);
    (void)map_remove(&s->runs, run->execution.bytes, sizeof run->execution.bytes);
    demand_release(s, run->demand);
    free(run);
}

/* --- changes --- */

/* Rows come from our own state machine: one that does not decode, or no memory for an index, leaves this node unable to lead
 * rightly, and an index that silently lacks a job would lose slots. */
static void must_be(enum status status)
{
    assert(status == STATUS_OK);
}

void scheduler_change(struct scheduler *s, const struct state_change *change)
{
    struct error err;
    struct node_row node;
    struct job *job;
    switch (change->kind) {
    case CHANGE_JOB:
        must_be(put_job(s, change->serial, change->row, &change->marks, &err));
        break;
    case CHANGE_JOB_DELETED:
        if ((job = scheduler_job(s, change->serial)) != NULL)
            free_job(s, job);
        break;
    case CHANGE_MARKS:
        if ((job = scheduler_job(s, change->serial)) != NULL)
            set_mark(s, job, &change->marks);
        break;
    case CHANGE_OPEN:
        must_be(put_run(s, &change->execution, change->row, &err));
        break;
    case CHANGE_CLOSED:
        s->executions++;
        s->ended_since_sweep++;
        close_run(s, &change->execution);
        break;
    case CHANGE_DROPPED:
        break;
    case CHANGE_NODE_GONE:
        node_left(s, change->row);
        break;
    case CHANGE_NODE:
        must_be(node_row_decode(change->row, &node, &err));
        node_changed(s, &node);
        break;
    }
}

/* --- loading --- */

struct loading {
    struct scheduler *s;
    struct error *err;
    enum status status;
};

static bool load_node(void *arg, struct bytes key, struct bytes row)
{
    struct loading *loading = arg;
    struct node_row node;
    (void)key;
    loading->status = node_row_decode(row, &node, loading->err);
    if (loading->status == STATUS_OK)
        node_changed(loading->s, &node);
    return loading->status == STATUS_OK;
}

static bool load_job(void *arg, struct bytes key, struct bytes row)
{
    struct loading *loading = arg;
    uint64_t serial = 0;
    /* The mark is not known yet: INT64_MAX keeps the schedule from being searched twice. */
    const struct job_marks none = {.mark_ms = INT64_MAX};
    for (size_t i = 0; i < key.size && i < 8; i++)
        serial = serial << 8 | ((const uint8_t *)key.data)[i];
    loading->status = put_job(loading->s, serial, row, &none, loading->err);
    return loading->status == STATUS_OK;
}

static bool load_marks(void *arg, struct bytes key, struct bytes row)
{
    struct loading *loading = arg;
    struct job_marks marks;
    uint64_t serial = 0;
    for (size_t i = 0; i < key.size && i < 8; i++)
        serial = serial << 8 | ((const uint8_t *)key.data)[i];
    struct job *job = scheduler_job(loading->s, serial);
    loading->status = job_marks_decode(row, &marks, loading->err);
    if (loading->status == STATUS_OK && job != NULL)
        set_mark(loading->s, job, &marks);
    return loading->status == STATUS_OK;
}

static bool load_run(void *arg, struct bytes key, struct bytes row)
{
    struct loading *loading = arg;
    struct id execution;
    if (key.size != sizeof execution.bytes) {
        loading->status = error_set(loading->err, STATUS_CORRUPT, "a key of the table of open runs has %zu bytes", key.size);
        return false;
    }
    memcpy(execution.bytes, key.data, sizeof execution.bytes);
    loading->status = put_run(loading->s, &execution, row, loading->err);
    return loading->status == STATUS_OK;
}

/* Everything that came out of a state. */
static void drop_rows(struct scheduler *s)
{
    uint32_t cursor = 0;
    struct run *run;
    struct job *job;
    heap_deinit(&s->due); /* while the nodes in it live: it marks them as taken out */
    heap_deinit(&s->retries);
    heap_deinit(&s->expiries);
    while ((run = map_next(&s->runs, &cursor)) != NULL)
        free(run);
    for (cursor = 0; (job = map_next(&s->jobs, &cursor)) != NULL;) {
        schedule_free(job->schedule);
        free(job->held);
        free(job);
    }
    map_deinit(&s->jobs);
    map_deinit(&s->runs);
    demands_deinit(s);
}

static void clear(struct scheduler *s)
{
    assert(!s->leading);
    drop_rows(s);
    map_init(&s->jobs);
    map_init(&s->runs);
    heap_init(&s->due);
    heap_init(&s->retries);
    heap_init(&s->expiries);
    demands_init(s);
    s->orphans = (struct run_list){.count = 0};
    s->attention = NULL;
    s->walk.job = NULL;
    s->stats.jobs_enabled = s->stats.jobs_held = 0;
    memset(s->nodes, 0, sizeof s->nodes);
    s->node_count = 0;
}

enum status scheduler_load(struct scheduler *s, struct state_view *view, struct error *err)
{
    static const struct {
        enum state_table table;
        state_walk walk;
    } steps[] = {{STATE_NODES, load_node}, {STATE_SCHED, load_job}, {STATE_MARKS, load_marks}, {STATE_OPEN, load_run}};
    struct loading loading = {.s = s, .err = err, .status = STATUS_OK};
    clear(s);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        enum status status = state_walk_table(view, steps[i].table, (struct bytes){NULL, 0}, false, steps[i].walk, &loading, err);
        if (loading.status == STATUS_OK)
            loading.status = status;
        if (loading.status != STATUS_OK)
            return error_wrap(err, "load the schedule of all jobs");
    }
    s->executions = state_count_executions(view);
    return STATUS_OK;
}

/* --- life --- */

enum status scheduler_new(const struct scheduler_config *config, struct scheduler **ret, struct error *err)
{
    struct scheduler *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    s->config = *config;
    s->config.node_id = NULL; /* borrowed for this call */
    if (config->node_id != NULL)
        (void)snprintf(s->node_id, sizeof s->node_id, "%s", config->node_id); /* a longer name is no node's */
    s->nodes_version = 1;
    map_init(&s->jobs);
    map_init(&s->runs);
    demands_init(s);
    heap_init(&s->due);
    heap_init(&s->retries);
    heap_init(&s->expiries);
    id_source_init(&s->ids, config->seed);
    buffer_init(&s->arena, (size_t)SCHEDULER_COMMANDS_MAX * ENTRY_SIZE_MAX);
    enum status status = zone_table_new(config->zones, &s->zones, err);
    if (status != STATUS_OK) {
        scheduler_free(s);
        return status;
    }
    *ret = s;
    return STATUS_OK;
}

void scheduler_free(struct scheduler *s)
{
    if (s == NULL)
        return;
    drop_rows(s);
    for (uint32_t i = 0; i < FLIGHTS_MAX; i++)
        free(s->flights[i].items);
    buffer_deinit(&s->arena);
    if (s->zones != NULL)
        zone_table_free(s->zones);
    free(s->walk.kept);
    free(s->slots);
    free(s);
}

/* --- leading --- */

void scheduler_lead(struct scheduler *s, bool leading)
{
    s->leading = leading;
    s->nodes_version++; /* which node leads */
    s->walk.job = NULL;
    s->sweep_in_flight = false;
    for (uint32_t i = 0; i < FLIGHTS_MAX; i++)
        if (s->flights[i].used)
            flight_release(s, &s->flights[i]);
    leases_begin(s);
}

uint32_t scheduler_run(struct scheduler *s, int64_t now_ms, bool decide_slots, const struct scheduler_command **ret_commands)
{
    s->command_count = 0;
    s->again = false;
    buffer_clear(&s->arena);
    *ret_commands = s->commands;
    if (!s->leading)
        return 0;
    runs_propose(s, now_ms);
    if (decide_slots)
        slots_propose(s, now_ms);
    sweep_propose(s, now_ms);
    for (uint32_t i = 0; i < s->command_count; i++)
        s->commands[i].command = (struct bytes){s->arena.data + s->offsets[i], s->offsets[i + 1] - s->offsets[i]};
    return s->command_count;
}

void scheduler_result(struct scheduler *s, uint64_t token, enum status status, const struct apply_result *result,
                      int64_t now_ms)
{
    uint32_t slot = (uint32_t)token;
    struct flight *flight = slot < FLIGHTS_MAX ? &s->flights[slot] : NULL;
    if (flight == NULL || !flight->used || flight->generation != (uint32_t)(token >> 32))
        return; /* of an earlier leadership: everything it held was released */
    if (status == STATUS_OK && result != NULL)
        s->stats.stale_decisions += result->stale_count;
    if (status != STATUS_OK)
        s->again = true; /* owed again, and no change will say so */
    if (flight->type == COMMAND_SWEEP)
        sweep_result(s, status, result, now_ms);
    flight_release(s, flight);
}

int64_t scheduler_next_ms(const struct scheduler *s)
{
    int64_t next = INT64_MAX;
    const struct heap_node *due = heap_peek(&s->due), *retry = heap_peek(&s->retries), *expiry = heap_peek(&s->expiries);
    if (!s->leading || s->flight_count == FLIGHTS_MAX) /* nothing can be proposed until a result frees one */
        return next;
    if (s->again || s->walk.job != NULL)
        return INT64_MIN;
    if (due != NULL)
        next = due->key;
    if (retry != NULL && retry->key < next)
        next = retry->key;
    if (expiry != NULL && expiry->key < next)
        next = expiry->key;
    if (!s->sweep_in_flight && (s->sweeping || s->ended_since_sweep > s->executions / 8) && s->next_sweep_ms < next)
        next = s->next_sweep_ms;
    else if (!s->sweep_in_flight && s->executions > 0 && s->next_sweep_ms != 0 && s->next_sweep_ms + 3600000 < next)
        next = s->next_sweep_ms + 3600000; /* retention by age alone */
    return next;
}

/* --- for users' commands and readers --- */

enum status scheduler_due(struct scheduler *s, uint64_t serial, int64_t now_ms, struct decision *ret_decision, bool *ret)
{
    struct job *job = scheduler_job(s, serial);
    if (job == NULL)
        return STATUS_NOT_FOUND;
    if (job->in_flight || s->walk.job == job)
        return STATUS_BUSY;
    *ret = false;
    if (!job->enabled || job->schedule == NULL || job->next_ms > now_ms)
        return STATUS_OK;
    return slots_due_now(s, job, now_ms, ret_decision, ret);
}

struct id scheduler_new_id(struct scheduler *s, int64_t now_ms)
{
    return id_next(&s->ids, now_ms);
}

bool scheduler_job_next(const struct scheduler *s, uint64_t serial, int64_t *ret_ms)
{
    const struct job *job = scheduler_job(s, serial);
    if (job == NULL || !job->enabled || job->schedule == NULL || job->next_ms == INT64_MAX)
        return false;
    *ret_ms = job->next_ms;
    return true;
}

const char *scheduler_job_held(const struct scheduler *s, uint64_t serial)
{
    const struct job *job = scheduler_job(s, serial);
    return job != NULL && job->schedule == NULL ? (job->held != NULL ? job->held : "out of memory") : "";
}

enum status scheduler_zone(struct scheduler *s, const char *name, const struct zone **ret, struct error *err)
{
    return zone_table_get(s->zones, name, ret, err);
}

void scheduler_stats_get(const struct scheduler *s, struct scheduler_stats *ret)
{
    *ret = s->stats;
    ret->jobs = s->jobs.count;
    ret->open_runs = s->runs.count;
    ret->backoff = s->retries.count;
    ret->ready = demands_count_waiting(s);
    for (uint32_t i = 0; i < s->node_count; i++)
        ret->running += s->nodes[i].active;
    for (uint32_t i = 0; i < FLIGHTS_MAX; i++)
        ret->decisions_in_flight += s->flights[i].used;
}
