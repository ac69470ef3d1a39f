/* The runner's book-keeping: starts what names this session, once, and says so until the state knows. */
#include "stack_internal.h"

#include <stdio.h>
#include <string.h>

static struct attempt *find(struct stack *stack, const struct id *execution)
{
    for (uint32_t i = 0; i < stack->attempt_count; i++)
        if (id_compare(&stack->attempts[i].execution, execution) == 0)
            return &stack->attempts[i];
    return NULL;
}

static void forget(struct stack *stack, struct attempt *attempt)
{
    if (attempt != NULL)
        *attempt = stack->attempts[--stack->attempt_count];
}

static enum run_status draw_outcome(struct sim *sim)
{
    uint64_t dice = sim_below(sim, 100);
    return dice < 75 || sim->calm ? RUN_SUCCESS : dice < 90 ? RUN_FAILED : dice < 95 ? RUN_TIMEOUT : RUN_LOST;
}

static void start(struct sim *sim, struct node *node, const struct open_run *run)
{
    static const uint64_t longest[] = {50, 2000, 10000, 40000};
    struct stack *stack = node->stack;
    if (stack->attempt_count == RUNNING_MAX)
        return; /* seen again with the next change */
    model_start(sim, node, &run->execution, run->attempt);
    stack->attempts[stack->attempt_count++] = (struct attempt){
        .execution = run->execution, .attempt = run->attempt, .started_at = sim->now,
        .finish_at = sim->now + 1 + sim_below(sim, longest[sim_below(sim, sim->calm ? 2 : 4)]),
        .outcome = draw_outcome(sim)};
}

static bool is_mine(const struct sim *sim, const struct node *node, const struct open_run *run)
{
    (void)sim;
    return run->session == node->stack->session && (run->phase == PHASE_ASSIGNED || run->phase == PHASE_RUNNING);
}

/* Level-triggered: what the row says, whatever was seen before. */
static void look_at(struct sim *sim, struct node *node, const struct open_run *run)
{
    struct stack *stack = node->stack;
    struct attempt *attempt = find(stack, &run->execution);
    bool mine = is_mine(sim, node, run);
    if (attempt != NULL && (!mine || attempt->attempt != run->attempt)) {
        forget(stack, attempt);
        attempt = NULL;
    }
    if (!mine)
        return;
    if (attempt == NULL && run->phase == PHASE_ASSIGNED)
        start(sim, node, run);
    attempt = find(stack, &run->execution);
    if (attempt == NULL)
        return;
    attempt->started_seen = attempt->started_seen || run->phase == PHASE_RUNNING;
    if (run->cancel != REASON_NONE && attempt->outcome != RUN_CANCELLED) {
        attempt->outcome = RUN_CANCELLED;
        attempt->finish_at = sim->now + 50;
        attempt->sent_at = 0;
    }
}

void attempts_changed(struct sim *sim, struct node *node)
{
    const struct state_changes *changes = &node->stack->changes;
    for (uint32_t i = 0; i < changes->count; i++) {
        const struct state_change *change = &changes->items[i];
        struct open_run run;
        if (change->kind == CHANGE_CLOSED) {
            forget(node->stack, find(node->stack, &change->execution));
        } else if (change->kind == CHANGE_OPEN) {
            STACK_OK(sim, open_run_decode(&change->execution, change->row, &run, &stack_error));
            look_at(sim, node, &run);
        }
    }
}

struct walk {
    struct sim *sim;
    struct node *node;
};

static bool walk_open(void *arg, struct bytes key, struct bytes row)
{
    struct walk *walk = arg;
    struct open_run run;
    struct id execution;
    memcpy(execution.bytes, key.data, sizeof execution.bytes);
    STACK_OK(walk->sim, open_run_decode(&execution, row, &run, &stack_error));
    look_at(walk->sim, walk->node, &run);
    return true;
}

void attempts_walk(struct sim *sim, struct node *node)
{
    struct stack *stack = node->stack;
    struct state_view view;
    struct walk walk = {sim, node};
    STACK_OK(sim, state_view_begin(stack->state, &view, &stack_error));
    for (uint32_t i = stack->attempt_count; i-- > 0;) {
        struct open_run run;
        if (state_get_open(&view, &stack->attempts[i].execution, &run, &stack_error) == STATUS_NOT_FOUND)
            forget(stack, &stack->attempts[i]);
    }
    STACK_OK(sim, state_walk_table(&view, STATE_OPEN, (struct bytes){NULL, 0}, false, walk_open, &walk, &stack_error));
    state_view_end(&view);
}

/* --- reports --- */

static bool report(struct sim *sim, struct node *node, struct attempt *attempt, enum report_kind kind)
{
    struct run_report item = {.execution = attempt->execution, .attempt = attempt->attempt, .session = node->stack->session,
                              .kind = kind, .started_ms = stack_now(sim, node), .duration_ms = 5, .outcome = attempt->outcome,
                              .exit_code = attempt->outcome == RUN_SUCCESS ? 0 : 1};
    struct buffer command;
    buffer_init(&command, COMMAND_BYTES_MAX);
    report_encode(&item, 1, &command);
    attempt->sent_at = sim->now;
    bool taken = leader_forward(sim, node, &command);
    buffer_deinit(&command);
    return taken;
}

static void announce_session(struct sim *sim, struct node *node)
{
    struct stack *stack = node->stack;
    struct node_row row = {.session = stack->session, .capacity = 8, .version = "1", .executor_count = 1};
    struct buffer command;
    if (stack->session_known || (stack->up_sent_at > 0 && sim->now - stack->up_sent_at < RESEND_AFTER))
        return;
    (void)snprintf(row.name, sizeof row.name, "node-%u", node->slot + 1U);
    (void)snprintf(row.executors[0], sizeof row.executors[0], "shell");
    buffer_init(&command, COMMAND_BYTES_MAX);
    node_up_encode(&row, &command);
    stack->up_sent_at = sim->now;
    (void)leader_forward(sim, node, &command);
    buffer_deinit(&command);
}

void attempts_run(struct sim *sim, struct node *node)
{
    struct stack *stack = node->stack;
    struct state_view view;
    struct node_row row;
    char name[32];
    (void)snprintf(name, sizeof name, "node-%u", node->slot + 1U);
    if (!stack->session_known) {
        STACK_OK(sim, state_view_begin(stack->state, &view, &stack_error));
        stack->session_known =
            state_get_node(&view, name, &row, &stack_error) == STATUS_OK && row.session == stack->session;
        state_view_end(&view);
    }
    announce_session(sim, node);
    for (uint32_t i = 0; i < stack->attempt_count; i++) {
        struct attempt *attempt = &stack->attempts[i];
        bool over = attempt->finish_at <= sim->now;
        bool news = over && attempt->sent_at < attempt->finish_at;
        if (attempt->sent_at != 0 && sim->now - attempt->sent_at < RESEND_AFTER && !news)
            continue;
        if (over)
            (void)report(sim, node, attempt, REPORT_FINISHED);
        else if (!attempt->started_seen)
            (void)report(sim, node, attempt, REPORT_STARTED);
    }
}
