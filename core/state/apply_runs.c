/* Runs: to a node, back from it, to their end. ASSIGN, CANCEL, CLOSE, NODE_UP. */
#include <string.h>

#include "state/apply_internal.h"

/* --- ends --- */

struct run_end plain_end(const struct apply *a, enum run_status status, enum reason reason)
{
    return (struct run_end){.status = status, .reason = reason, .completed_ms = a->now_ms, .duration_ms = -1};
}

/* What the job remembers of its runs. */
static void count_end(struct job_marks *marks, const struct open_run *run, enum run_status status)
{
    marks->executions++;
    if (status == RUN_SKIPPED)
        return;
    if (run->scheduled_ms >= marks->last_run_ms || marks->last_status == RUN_PENDING) {
        marks->last_run_ms = run->scheduled_ms;
        marks->last_status = status;
    }
    if (status == RUN_SUCCESS)
        marks->failures = 0;
    else if (status != RUN_CANCELLED && marks->failures < UINT16_MAX)
        marks->failures++;
}

static enum status leave_open(struct apply *a, const struct open_run *run, struct job_marks *marks)
{
    bool waited = run->phase == PHASE_WAITING;
    if (marks->active == 0 || (waited && marks->waiting == 0)) {
        struct serial_key key = serial_key(run->serial);
        (void)error_set(a->err, STATUS_CORRUPT, "the row counts fewer open runs than there are"); /* returned below */
        return state_wrap_row(a->err, STATE_MARKS, KEY_BYTES(key));
    }
    marks->active--;
    marks->waiting -= waited;
    if (id_compare(&marks->waiting_run, &run->execution) == 0)
        marks->waiting_run = (struct id){{0}};
    return delete_open(a, run);
}

static enum status put_execution(struct apply *a, const struct open_run *run, const struct run_end *end)
{
    struct state *state = a->state;
    buffer_clear(&state->json);
    execution_json(run, end, &state->scratch, &state->json);
    if (state->json.failed)
        return apply_buffer_failed(a, &state->json, "an execution's text");
    struct execution_row execution = {
        .status = end->status,
        .trigger = run->trigger,
        .serial = run->serial,
        .previous = run->previous,
        .scheduled_ms = run->scheduled_ms,
        .completed_ms = end->completed_ms,
        .json = buffer_bytes(&state->json),
    };
    buffer_clear(&state->row);
    execution_row_encode(&execution, &state->row);
    if (state->row.failed)
        return apply_buffer_failed(a, &state->row, "a row of executions");
    state->work.executions_count++;
    state->work.executions_bytes += ID_SIZE + state->row.size;
    return apply_insert(a, STATE_EXECUTIONS, KEY_BYTES(run->execution), buffer_bytes(&state->row));
}

enum { FAILED_ROW_SIZE = 10 }; /* format, status, serial */

static enum status put_failed(struct apply *a, const struct open_run *run, enum run_status status)
{
    if (status != RUN_FAILED && status != RUN_TIMEOUT && status != RUN_LOST)
        return STATUS_OK;
    uint8_t row[FAILED_ROW_SIZE] = {ROW_FORMAT, (uint8_t)status};
    store_le64(row + 2, run->serial);
    return apply_insert(a, STATE_FAILED, KEY_BYTES(run->execution), (struct bytes){row, sizeof row});
}

static enum status publish_closed(struct apply *a, const struct open_run *run, bool was_open, const struct run_end *end)
{
    struct state_change *change = state_changes_add(a->changes, CHANGE_CLOSED, run->serial);
    if (!change)
        return error_set(a->err, STATUS_NO_MEMORY, "out of memory for the changes of a batch");
    change->execution = run->execution;
    change->status = end->status;
    change->trigger = run->trigger;
    change->reason = end->reason;
    change->scheduled_ms = run->scheduled_ms;
    change->started_ms = run->started_ms;
    change->completed_ms = end->completed_ms;
    change->was_open = was_open;
    return STATUS_OK;
}

enum status finish_run(struct apply *a, const struct open_run *run, bool was_open, struct job_marks *marks,
                       const struct run_end *end)
{
    enum status status = was_open ? leave_open(a, run, marks) : STATUS_OK;
    if (!status)
        status = put_execution(a, run, end);
    if (!status)
        status = put_failed(a, run, end->status);
    if (status)
        return status;
    count_end(marks, run, end->status);
    return publish_closed(a, run, was_open, end);
}

/* --- nodes --- */

enum status node_is_current(struct apply *a, const struct placement_node *node, bool *ret)
{
    *ret = false;
    if (node->name[0] == '\0')
        return STATUS_OK;
    struct bytes key = {node->name, strlen(node->name)}, row;
    struct node_row known;
    enum status status = apply_get(a, STATE_NODES, key, &row);
    if (status == STATUS_NOT_FOUND)
        return STATUS_OK;
    if (!status && node_row_decode(row, &known, a->err))
        status = state_wrap_row(a->err, STATE_NODES, key);
    if (status)
        return status;
    *ret = known.session == node->session;
    return STATUS_OK;
}

/* Asked once a command: within one command no session changes. */
enum status take_current_nodes(struct apply *a, struct placement_node nodes[COMMAND_NODES_MAX], uint32_t *ret_count)
{
    uint32_t count = take_nodes(&a->body, nodes);
    for (uint32_t i = 0; i < count; i++) {
        bool current;
        enum status status = node_is_current(a, &nodes[i], &current);
        if (status)
            return status;
        if (!current)
            nodes[i].session = 0;
    }
    *ret_count = count;
    return STATUS_OK;
}

enum status apply_node_up(struct apply *a)
{
    struct node_row node;
    take_node(&a->body, &node);
    if (!reader_done(&a->body))
        return apply_malformed(a);
    if (node.name[0] == '\0')
        return apply_refuse(a, STATUS_INVALID);
    node.since_ms = a->now_ms;
    struct buffer *row = &a->state->row;
    buffer_clear(row);
    node_row_encode(&node, row);
    if (row->failed)
        return apply_buffer_failed(a, row, "a row of nodes");
    struct state_change *change = state_changes_add(a->changes, CHANGE_NODE, 0);
    if (!change)
        return error_set(a->err, STATUS_NO_MEMORY, "out of memory for the changes of a batch");
    state_changes_row(a->changes, change, buffer_bytes(row));
    return apply_put(a, STATE_NODES, (struct bytes){node.name, strlen(node.name)}, buffer_bytes(row));
}

enum status apply_node_gone(struct apply *a)
{
    struct node_gone gone = take_node_gone(&a->body);
    struct placement_node node = {.session = gone.session};
    bool is_current;
    if (!reader_done(&a->body))
        return apply_malformed(a);
    memcpy(node.name, gone.name, sizeof node.name);
    enum status status = node_is_current(a, &node, &is_current);
    if (status)
        return status;
    if (!is_current)
        return apply_refuse(a, STATUS_STALE);
    struct bytes key = {gone.name, strlen(gone.name)};
    struct state_change *change = state_changes_add(a->changes, CHANGE_NODE_GONE, 0);
    if (!change)
        return error_set(a->err, STATUS_NO_MEMORY, "out of memory for the changes of a batch");
    state_changes_row(a->changes, change, key);
    return apply_delete(a, STATE_NODES, key);
}

/* --- ASSIGN --- */

/* It waits for a node now, and for nothing else. */
static enum status awaits_node(struct apply *a, const struct open_run *run, const struct job_marks *marks, bool *ret)
{
    *ret = run->phase == PHASE_READY || (run->phase == PHASE_BACKOFF && run->next_attempt_ms <= a->now_ms);
    return run->phase == PHASE_WAITING ? lane_is_free(a, run, marks, ret) : STATUS_OK;
}

static bool may_be_on(const struct open_run *run, const struct placement_node *node)
{
    return node->session != 0 && (!run->pinned || run->node[0] == '\0' || strcmp(run->node, node->name) == 0);
}

static enum status assign(struct apply *a, struct open_run *run, struct job_marks *marks,
                          const struct placement_node *node)
{
    bool waited = run->phase == PHASE_WAITING;
    run->phase = PHASE_ASSIGNED;
    run->reason = REASON_NONE;
    run->attempt++;
    run->attempt_started_ms = 0;
    run->next_attempt_ms = 0;
    memcpy(run->node, node->name, sizeof run->node);
    run->session = node->session;
    enum status status = save_open(a, run);
    if (status || !waited)
        return status;
    marks->waiting--;
    if (id_compare(&marks->waiting_run, &run->execution) == 0)
        marks->waiting_run = (struct id){{0}};
    return save_marks(a, run->serial, marks);
}

static enum status assign_one(struct apply *a, const struct assignment *item, const struct placement_node *node)
{
    struct open_run run;
    struct job_marks marks;
    enum status status = load_open(a, &item->execution, &run);
    bool fits = !status && run.attempt == item->attempt && may_be_on(&run, node);
    if (fits)
        status = need_marks(a, run.serial, &marks);
    if (fits && !status)
        status = awaits_node(a, &run, &marks, &fits);
    if (status && status != STATUS_NOT_FOUND)
        return status;
    if (!fits) {
        apply_void_item(a, STATUS_STALE);
        return STATUS_OK;
    }
    return assign(a, &run, &marks, node);
}

enum status apply_assign(struct apply *a)
{
    struct placement_node nodes[COMMAND_NODES_MAX];
    uint32_t node_count;
    enum status status = take_current_nodes(a, nodes, &node_count);
    if (status)
        return status;
    a->item_count = take_u32(&a->body);
    for (uint32_t i = 0; i < a->item_count && !a->body.failed; i++) {
        struct assignment item = take_assignment(&a->body, node_count);
        if (a->body.failed)
            break;
        status = assign_one(a, &item, &nodes[item.node]);
        if (status)
            return status;
    }
    return reader_done(&a->body) ? STATUS_OK : apply_malformed(a);
}

/* --- CANCEL --- */

static enum status cancel(struct apply *a, struct open_run *run, enum reason reason)
{
    if (run->phase == PHASE_ASSIGNED || run->phase == PHASE_RUNNING) {
        if (run->cancel != REASON_NONE)
            return STATUS_OK; /* the first reason stays */
        run->cancel = reason;
        return save_open(a, run);
    }
    struct job_marks marks;
    enum status status = need_marks(a, run->serial, &marks);
    if (status)
        return status;
    struct run_end end = plain_end(a, RUN_CANCELLED, reason);
    status = finish_run(a, run, true, &marks, &end);
    return status ? status : save_marks(a, run->serial, &marks);
}

static enum status cancel_one(struct apply *a, const struct cancel_run *item)
{
    struct open_run run;
    struct bytes row;
    a->result->id = item->execution;
    enum status status = load_open(a, &item->execution, &run);
    if (!status)
        return cancel(a, &run, item->reason);
    if (status == STATUS_NOT_FOUND)
        status = apply_get(a, STATE_EXECUTIONS, KEY_BYTES(item->execution), &row);
    if (status && status != STATUS_NOT_FOUND)
        return status;
    apply_void_item(a, status == STATUS_OK ? STATUS_CONFLICT : STATUS_NOT_FOUND);
    return STATUS_OK;
}

enum status apply_cancel(struct apply *a)
{
    a->item_count = take_u32(&a->body);
    for (uint32_t i = 0; i < a->item_count && !a->body.failed; i++) {
        struct cancel_run item = take_cancel(&a->body);
        if (a->body.failed)
            break;
        enum status status = cancel_one(a, &item);
        if (status)
            return status;
    }
    return reader_done(&a->body) ? STATUS_OK : apply_malformed(a);
}

/* --- CLOSE --- */

static bool is_under_way(const struct open_run *run)
{
    return run->phase == PHASE_ASSIGNED || run->phase == PHASE_RUNNING;
}

bool attempt_fits(const struct open_run *run, uint32_t attempt, uint64_t session)
{
    return is_under_way(run) && run->attempt == attempt && run->session == session;
}

/* Does a run whose attempt was lost go on elsewhere? Not for a job that is gone. */
static enum status may_take_over(struct apply *a, const struct open_run *run, const struct job_marks *marks, bool *ret)
{
    struct job_spec spec;
    *ret = false;
    if (marks->deleted || run->takeovers >= TAKEOVERS_MAX)
        return STATUS_OK;
    enum status status = need_spec(a, run->serial, &spec);
    if (status)
        return status;
    *ret = spec.on_node_loss == NODE_LOSS_RETRY;
    return STATUS_OK;
}

enum status lose_attempt(struct apply *a, struct open_run *run, struct job_marks *marks, enum reason reason, bool gone)
{
    bool again = false;
    bool cancelled = run->cancel != REASON_NONE;
    bool nowhere = run->pinned && gone; /* the other nodes have runs of their own */
    enum status status = cancelled || nowhere ? STATUS_OK : may_take_over(a, run, marks, &again);
    if (status)
        return status;
    if (again) {
        run->phase = PHASE_READY;
        run->reason = reason;
        run->takeovers++;
        return save_open(a, run);
    }
    struct run_end end = plain_end(a, cancelled ? RUN_CANCELLED : RUN_LOST, cancelled ? run->cancel : reason);
    status = finish_run(a, run, true, marks, &end);
    return status ? status : save_marks(a, run->serial, marks);
}

static enum status close_under_way(struct apply *a, const struct close_attempt *item, struct open_run *run,
                                   struct job_marks *marks)
{
    struct attempt_record record = {.attempt = run->attempt, .started_ms = run->attempt_started_ms,
                                    .completed_ms = a->now_ms, .outcome = RUN_LOST, .exit_code = -1, .status_code = -1};
    const char *text = item->reason == REASON_NODE_RESTART ? "the node restarted" : "the node was lost";
    enum reason reason = item->reason == REASON_NONE ? REASON_NODE_LOSS : item->reason;
    memcpy(record.node, run->node, sizeof record.node);
    memcpy(record.error, text, strlen(text));
    open_run_add_attempt(run, &record);
    return lose_attempt(a, run, marks, reason, reason == REASON_NODE_LOSS);
}

/* Nothing was tried: it is skipped. Else it ends as its newest attempt did. */
static enum status expire(struct apply *a, const struct open_run *run, struct job_marks *marks)
{
    enum run_status status = RUN_SKIPPED;
    if (run->history_count > 0) {
        status = run->history[run->history_count - 1].outcome;
        status = status == RUN_FAILED || status == RUN_TIMEOUT ? status : RUN_LOST;
    }
    struct run_end end = plain_end(a, status, REASON_CATCHUP_WINDOW);
    enum status result = finish_run(a, run, true, marks, &end);
    return result ? result : save_marks(a, run->serial, marks);
}

/* It waits for a node, and is older than the job allows. */
static enum status has_expired(struct apply *a, const struct open_run *run, const struct job_marks *marks, bool *ret)
{
    struct job_spec spec;
    enum status status = marks->deleted ? STATUS_OK : awaits_node(a, run, marks, ret);
    *ret = *ret && !status && !marks->deleted;
    if (status || !*ret)
        return status;
    status = need_spec(a, run->serial, &spec);
    *ret = !status && spec.catchup_window_ms > 0 && a->now_ms - run->scheduled_ms > spec.catchup_window_ms;
    return status;
}

static enum status close_waiting(struct apply *a, const struct close_attempt *item, struct open_run *run,
                                 struct job_marks *marks)
{
    bool expired = false;
    if (item->reason == REASON_NODE_LOSS && run->pinned && run->node[0] != '\0')
        return lose_attempt(a, run, marks, item->reason, true);
    enum status status = item->reason == REASON_CATCHUP_WINDOW ? has_expired(a, run, marks, &expired) : STATUS_OK;
    if (status)
        return status;
    if (expired)
        return expire(a, run, marks);
    apply_void_item(a, STATUS_STALE);
    return STATUS_OK;
}

static enum status close_one(struct apply *a, const struct close_attempt *item)
{
    struct open_run run;
    struct job_marks marks;
    enum status status = load_open(a, &item->execution, &run);
    bool waits = !status && item->session == 0 && item->attempt == run.attempt && !is_under_way(&run);
    if (status == STATUS_NOT_FOUND || (!status && !waits && !attempt_fits(&run, item->attempt, item->session))) {
        apply_void_item(a, STATUS_STALE);
        return STATUS_OK;
    }
    if (!status)
        status = need_marks(a, run.serial, &marks);
    if (status)
        return status;
    return waits ? close_waiting(a, item, &run, &marks) : close_under_way(a, item, &run, &marks);
}

enum status apply_close(struct apply *a)
{
    a->item_count = take_u32(&a->body);
    for (uint32_t i = 0; i < a->item_count && !a->body.failed; i++) {
        struct close_attempt item = take_close(&a->body);
        if (a->body.failed)
            break;
        enum status status = close_one(a, &item);
        if (status)
            return status;
    }
    return reader_done(&a->body) ? STATUS_OK : apply_malformed(a);
}
