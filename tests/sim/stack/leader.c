/* The leader's part: the scheduler's commands into the log and their outcomes back; users; sessions that are lost. */
#include "stack_internal.h"

#include <stdio.h>
#include <string.h>

#include "schedule/schedule.h"

enum { CALLS_MAX = 64, LEASE_TICKS_MIN = 30, BACKLOG_MAX = 60 };

static bool propose(struct sim *sim, struct node *node, struct bytes command, struct raft_log_id *ret_at)
{
    enum status status = raft_propose(node->raft, &command, 1, ret_at);
    sim->stats.events++;
    node_settle_later(sim, node);
    return status == STATUS_OK;
}

static void stamp(struct sim *sim, struct node *node, struct buffer *command)
{
    int64_t now = stack_now(sim, node), last = state_last_stamp(node->stack->state);
    command_stamp(command->data, now > last ? now : last);
}

void stack_noop(struct sim *sim, const struct node *node, uint8_t out[STACK_NOOP_SIZE])
{
    int64_t now = stack_now(sim, node), last = state_last_stamp(node->stack->state);
    struct buffer buffer;
    buffer_init(&buffer, STACK_NOOP_SIZE);
    noop_encode(&buffer);
    sim_require(sim, buffer.size == STACK_NOOP_SIZE, "stack: the size of a command that does nothing", node);
    memcpy(out, buffer.data, STACK_NOOP_SIZE);
    command_stamp(out, now > last ? now : last);
    buffer_deinit(&buffer);
}

bool leader_forward(struct sim *sim, const struct node *from, struct buffer *command)
{
    struct node *leader = leader_node(sim);
    struct raft_log_id at;
    sim_require(sim, command->failed == STATUS_OK, "stack: a command fits its buffer", from);
    if (leader == NULL || leader->paused_until > sim->now || leader->disk.full_until > sim->now)
        return false;
    if (leader->status.last.index > leader->status.commit + BACKLOG_MAX)
        return false;
    if (from != NULL && from != leader && sim->network.cut_until[from->slot][leader->slot] > sim->now)
        return false;
    stamp(sim, leader, command);
    TRACE(sim, leader, "command %d of %s", (int)command_type_of(buffer_bytes(command)),
          from != NULL ? node_name(sim, from->id) : "a user");
    return propose(sim, leader, buffer_bytes(command), &at);
}

/* --- the scheduler --- */

static void lead(struct sim *sim, struct node *node)
{
    struct stack *stack = node->stack;
    char name[NODE_TEXT_SIZE];
    (void)snprintf(name, sizeof name, "node-%u", node->slot + 1U);
    struct scheduler_config config = {.zones = {.load = NULL}, .node_id = name, .misfire_threshold_ms = 10000,
                                      .retention_ms = INT64_C(30) * 86400000, .executions_per_job = 100000,
                                      .executions_max_bytes = UINT64_C(1) << 40, .seed = random_next(&sim->random) | 1};
    struct state_view view;
    STACK_OK(sim, scheduler_new(&config, &stack->scheduler, &stack_error));
    STACK_OK(sim, state_view_begin(stack->state, &view, &stack_error));
    STACK_OK(sim, scheduler_load(stack->scheduler, &view, &stack_error));
    state_view_end(&view);
    scheduler_lead(stack->scheduler, true);
    stack->lead_term = node->status.term;
    stack->lead_since = sim->now;
    memset(stack->follows_at, 0, sizeof stack->follows_at);
    memset(stack->follows_match, 0, sizeof stack->follows_match);
    stack->pending_count = 0;
}

void leader_end(struct node *node)
{
    struct stack *stack = node->stack;
    if (stack == NULL || stack->scheduler == NULL)
        return;
    scheduler_free(stack->scheduler);
    stack->scheduler = NULL;
    stack->pending_count = 0;
}

void leader_applied(struct sim *sim, struct node *node, const struct blob *blob, const struct apply_result *result)
{
    struct stack *stack = node->stack;
    if (stack->scheduler == NULL)
        return;
    for (uint32_t i = 0; i < stack->changes.count; i++)
        scheduler_change(stack->scheduler, &stack->changes.items[i]);
    for (uint32_t i = 0; i < stack->pending_count; i++) {
        struct pending pending = stack->pending[i];
        if (pending.index != blob->entry.id.index)
            continue;
        bool same = pending.term == blob->entry.id.term;
        stack->pending[i] = stack->pending[--stack->pending_count];
        scheduler_result(stack->scheduler, pending.token, same ? STATUS_OK : STATUS_NO_LEADER, same ? result : NULL,
                         stack_now(sim, node));
        return;
    }
}

static bool propose_command(struct sim *sim, struct node *node, const struct scheduler_command *command)
{
    struct stack *stack = node->stack;
    struct buffer buffer;
    struct raft_log_id at;
    bool taken = false;
    buffer_init(&buffer, COMMAND_BYTES_MAX);
    buffer_append(&buffer, command->command.data, command->command.size);
    stamp(sim, node, &buffer);
    if (stack->pending_count < PENDING_MAX && node->disk.full_until <= sim->now)
        taken = propose(sim, node, buffer_bytes(&buffer), &at);
    buffer_deinit(&buffer);
    TRACE(sim, node, "scheduler's command %d: %s", (int)command_type_of(command->command), taken ? "taken" : "refused");
    if (taken)
        stack->pending[stack->pending_count++] = (struct pending){at.index, at.term, command->token};
    else
        scheduler_result(stack->scheduler, command->token, STATUS_OVERLOADED, NULL, stack_now(sim, node));
    return taken;
}

static void schedule_due(struct sim *sim, struct node *node)
{
    struct stack *stack = node->stack;
    const struct scheduler_command *commands;
    for (uint32_t calls = 0; calls < CALLS_MAX; calls++) {
        uint32_t count = scheduler_run(stack->scheduler, stack_now(sim, node), true, &commands);
        bool taken = true;
        for (uint32_t i = 0; i < count; i++)
            taken = propose_command(sim, node, &commands[i]) && taken;
        if (count < SCHEDULER_COMMANDS_MAX || !taken)
            return;
    }
}

/* --- nodes that are lost: their open attempts are closed once their lease must have ended --- */

struct closing {
    struct sim *sim;
    struct node *leader;
    uint32_t lost; /* by slot */
    struct close_attempt items[64];
    uint32_t count;
};

static bool close_open(void *arg, struct bytes key, struct bytes row)
{
    struct closing *closing = arg;
    struct open_run run;
    struct id execution;
    unsigned slot = 0;
    memcpy(execution.bytes, key.data, sizeof execution.bytes);
    STACK_OK(closing->sim, open_run_decode(&execution, row, &run, &stack_error));
    bool given = run.phase == PHASE_ASSIGNED || run.phase == PHASE_RUNNING;
    if ((!given && !run.pinned) || sscanf(run.node, "node-%u", &slot) != 1 || (closing->lost & 1U << (slot - 1)) == 0)
        return true;
    closing->items[closing->count++] = (struct close_attempt){.execution = execution, .attempt = run.attempt,
                                                             .session = given ? run.session : 0, .reason = REASON_NODE_LOSS};
    return closing->count < 64;
}

static const struct raft_peer_status *peer_of(const struct node *leader, uint64_t id)
{
    for (uint32_t j = 0; j < leader->status.peer_count; j++)
        if (leader->status.peers[j].id == id)
            return &leader->status.peers[j];
    return NULL;
}

/* A lease is for those who are heard and follow the log: a node whose disk hangs answers heartbeats for ever, and applies
 * nothing. */
static bool holds_lease(struct sim *sim, struct node *leader, uint32_t slot, uint64_t lease)
{
    struct stack *stack = leader->stack;
    const struct raft_peer_status *peer = peer_of(leader, sim->nodes[slot].id);
    if (slot == leader->slot)
        return true;
    if (peer == NULL || peer->silent_ticks * (uint64_t)TICK >= lease)
        return false;
    if (peer->match > stack->follows_match[slot] || peer->match >= leader->status.commit)
        stack->follows_at[slot] = sim->now;
    stack->follows_match[slot] = peer->match;
    uint64_t since = stack->follows_at[slot] > stack->lead_since ? stack->follows_at[slot] : stack->lead_since;
    return sim->now - since < lease;
}

static uint32_t lost_nodes(struct sim *sim, struct node *leader)
{
    uint64_t lease = (LEASE_TICKS_MIN + 2U * sim->options.core.election_ticks) * (uint64_t)TICK;
    uint32_t lost = 0;
    for (uint32_t i = 0; i < sim->node_count; i++)
        lost |= holds_lease(sim, leader, i, lease) ? 0 : 1U << i;
    return sim->now - leader->stack->lead_since < lease ? 0 : lost;
}

static void close_lost(struct sim *sim, struct node *node)
{
    struct closing closing = {.sim = sim, .leader = node, .lost = lost_nodes(sim, node)};
    struct state_view view;
    struct buffer command;
    if (closing.lost == 0 || sim_below(sim, 10) > 0)
        return;
    STACK_OK(sim, state_view_begin(node->stack->state, &view, &stack_error));
    STACK_OK(sim, state_walk_table(&view, STATE_OPEN, (struct bytes){NULL, 0}, false, close_open, &closing, &stack_error));
    state_view_end(&view);
    if (closing.count == 0)
        return;
    buffer_init(&command, COMMAND_BYTES_MAX);
    close_encode(closing.items, closing.count, &command);
    (void)leader_forward(sim, node, &command);
    buffer_deinit(&command);
}

/* A leader decides nothing before its own term's no-op is applied to its state. */
void leader_run(struct sim *sim, struct node *node)
{
    struct stack *stack = node->stack;
    bool leads = node->status.role == RAFT_LEADER;
    if (stack->scheduler != NULL && (!leads || stack->lead_term != node->status.term))
        leader_end(node);
    if (stack->scheduler == NULL && leads && node->machine.applied.term == node->status.term)
        lead(sim, node);
    if (stack->scheduler == NULL || node->status.last.index > node->status.commit + BACKLOG_MAX)
        return;
    schedule_due(sim, node);
    close_lost(sim, node);
}

/* --- users --- */

static struct job_spec draw_spec(struct sim *sim, uint32_t number)
{
    static const char *const schedules[] = {"*/2 * * * * *", "*/5 * * * * *", "*/10 * * * * *", "@every 3s", "@every 7s",
                                            "* * * * *", "@manually"};
    struct job_spec spec = {.enabled = true,
                            .concurrency = (enum concurrency)sim_below(sim, CONCURRENCY_COUNT),
                            .missed_policy = (enum missed_policy)sim_below(sim, MISSED_POLICY_COUNT),
                            .on_node_loss = (enum node_loss_policy)sim_below(sim, NODE_LOSS_COUNT),
                            .max_concurrent = 1 + (uint32_t)sim_below(sim, 6),
                            .catchup_limit = 1 + (uint32_t)sim_below(sim, 20),
                            .timeout_ms = 60000,
                            .retry = {.max_attempts = 1 + (uint32_t)sim_below(sim, 3), .initial_interval_ms = 1000,
                                      .max_interval_ms = 60000, .multiplier_thousandths = 2000},
                            .executor = "shell", .timezone = "UTC", .schedule_count = 1,
                            .schedules = {schedules[sim_below(sim, 7)]}};
    (void)snprintf(spec.name, sizeof spec.name, "job-%u", number);
    static const enum placement placements[6] = {PLACEMENT_LEADER, PLACEMENT_ALL};
    spec.placement = placements[sim_below(sim, 6)];
    return spec;
}

static void user_create(struct sim *sim, struct node *node, struct buffer *command)
{
    struct job_put put = {.id = id_next(&sim->model->ids, stack_now(sim, node)), .mark_ms = stack_now(sim, node),
                          .spec = draw_spec(sim, (uint32_t)sim_below(sim, MODEL_JOBS_MAX)), .document = {"{\"name\":\"a\"}", 12}};
    job_put_encode(&put, command);
}

static bool user_enable(struct sim *sim, struct node *node, const struct model_job *job, bool enabled, struct buffer *command)
{
    struct decision decision;
    bool any = false;
    struct job_enable enable = {.id = job->id, .enabled = enabled, .mark_ms = stack_now(sim, node)};
    if (!enabled && scheduler_due(node->stack->scheduler, job->serial, stack_now(sim, node), &decision, &any) != STATUS_OK)
        return false;
    enable.due = any ? &decision : NULL;
    job_enable_encode(&enable, command);
    return true;
}

static void user_trigger(struct sim *sim, struct node *node, const struct model_job *job, struct buffer *command)
{
    struct trigger_run trigger = {.job = job->id, .execution = scheduler_new_id(node->stack->scheduler, stack_now(sim, node)),
                                  .reason = REASON_CAPACITY};
    struct placement_node nodes[COMMAND_NODES_MAX] = {{.name = ""}};
    if (job->on_all) {
        uint32_t count = scheduler_homes(node->stack->scheduler, job->serial, nodes);
        trigger.home_count = count > 0 ? count : 1;
    }
    for (uint32_t i = 0; i < trigger.home_count; i++) {
        trigger.homes[i].execution =
            i == 0 ? trigger.execution : scheduler_new_id(node->stack->scheduler, stack_now(sim, node));
        memcpy(trigger.homes[i].node, nodes[i].name, sizeof trigger.homes[i].node);
    }
    trigger_run_encode(&trigger, command);
}

/* In the end all jobs are stopped, so that what was decided can end. */
static bool user_command(struct sim *sim, struct node *node, struct buffer *command)
{
    struct model *model = sim->model;
    const struct model_job *job = model->job_count > 0 ? &model->jobs[sim_below(sim, model->job_count)] : NULL;
    if (sim->calm)
        return job != NULL && job->enabled && user_enable(sim, node, job, false, command);
    if (model->job_count < model->wanted && sim_below(sim, 3) == 0) {
        user_create(sim, node, command);
        return true;
    }
    if (job == NULL || job->deleted)
        return false;
    if (sim_below(sim, 2) == 0) {
        user_trigger(sim, node, job, command);
        return true;
    }
    return sim_below(sim, 6) == 0 && user_enable(sim, node, job, !job->enabled, command);
}

void stack_user(struct sim *sim)
{
    struct node *node = leader_node(sim);
    struct buffer command;
    if (sim->users_quiet)
        return;
    event_push(sim, sim->now + sim_about(sim, sim->calm ? 100 : 1500), EVENT_USER, NULL, NULL, 0, 0);
    if (node == NULL || node->stack->scheduler == NULL || node->paused_until > sim->now)
        return;
    buffer_init(&command, COMMAND_BYTES_MAX);
    if (user_command(sim, node, &command))
        (void)leader_forward(sim, node, &command);
    buffer_deinit(&command);
}
