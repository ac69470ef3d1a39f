/* SWEEP: retention of executions, of dropped ranges and of idempotency keys, oldest first, in bounded steps. */
#include <string.h>

#include "state/apply_internal.h"

/* Whether one execution leaves; then its job's marks, where there are any, count one fewer. */
static bool must_leave(const struct apply *a, const struct sweep *sweep, const struct execution_row *execution,
                       const struct job_marks *marks)
{
    if (execution->completed_ms < sweep->before_ms)
        return true;
    if (sweep->per_job > 0 && marks && !marks->deleted && marks->executions > sweep->per_job)
        return true;
    return sweep->max_bytes > 0 && a->state->work.executions_bytes > sweep->max_bytes;
}

static enum status delete_execution(struct apply *a, const struct id *id, const struct execution_row *execution,
                                    uint64_t size, struct job_marks *marks)
{
    struct state_meta *work = &a->state->work;
    if (work->executions_count == 0 || work->executions_bytes < size || (marks && marks->executions == 0))
        return error_set(a->err, STATUS_CORRUPT, "table executions holds more than is counted");
    work->executions_count--;
    work->executions_bytes -= size;
    a->result->sweep_deleted++;
    bool failed = execution->status == RUN_FAILED || execution->status == RUN_TIMEOUT || execution->status == RUN_LOST;
    uint64_t serial = execution->serial; /* the row is borrowed: gone with the first delete */
    enum status status = apply_delete(a, STATE_EXECUTIONS, KEY_BYTES(*id));
    if (!status && failed)
        status = apply_delete(a, STATE_FAILED, KEY_BYTES(*id));
    if (status || !marks)
        return status;
    marks->executions--;
    return save_marks(a, serial, marks);
}

static enum status sweep_execution(struct apply *a, const struct sweep *sweep, struct bytes key, struct bytes row)
{
    struct execution_row execution;
    struct job_marks marks;
    struct id id;
    if (key.size != ID_SIZE)
        return error_set(a->err, STATUS_CORRUPT, "a key of executions has %zu bytes instead of %d", key.size, ID_SIZE);
    memcpy(id.bytes, key.data, ID_SIZE);
    a->result->sweep_examined++;
    enum status status = execution_row_decode(row, &execution, a->err);
    if (status)
        return state_wrap_row(a->err, STATE_EXECUTIONS, key);
    status = load_marks(a, execution.serial, &marks);
    if (status && status != STATUS_NOT_FOUND)
        return status;
    struct job_marks *of_job = status == STATUS_OK ? &marks : NULL;
    if (!must_leave(a, sweep, &execution, of_job))
        return STATUS_OK;
    return delete_execution(a, &id, &execution, ID_SIZE + row.size, of_job);
}

static enum status sweep_executions(struct apply *a, const struct sweep *sweep)
{
    struct store_cursor cursor;
    struct apply_result *result = a->result;
    enum status status = store_cursor_open(&a->txn, a->state->tables[STATE_EXECUTIONS], &cursor, a->err);
    if (status)
        return error_wrap(a->err, "table executions");
    for (int32_t op = CHRONOS_CURSOR_SEEK_GE; !status; op = CHRONOS_CURSOR_NEXT) {
        struct bytes key, row;
        status = store_cursor_move(&cursor, op, KEY_BYTES(sweep->from), &key, &row, a->err);
        if (status)
            break;
        if (result->sweep_examined == SWEEP_EXAMINE_MAX || result->sweep_deleted == SWEEP_DELETE_MAX) {
            memcpy(result->sweep_next.bytes, key.data, key.size < ID_SIZE ? key.size : ID_SIZE);
            break;
        }
        status = sweep_execution(a, sweep, key, row);
    }
    store_cursor_close(&cursor);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* --- ranges --- */

/* They are in the order of jobs, not of time: a row of `meta` remembers where the last sweep stopped. */
static const char ranges_cursor[] = "ranges_cursor";

static struct bytes cursor_key(void)
{
    return (struct bytes){ranges_cursor, sizeof ranges_cursor - 1};
}

struct range_sweep {
    uint8_t at[RANGE_KEY_SIZE]; /* where it began, then where it goes on */
    uint32_t examined, deleted;
    bool ended;
};

static enum status sweep_range(struct apply *a, const struct sweep *sweep, struct range_sweep *ranges, struct bytes key,
                               struct bytes row)
{
    struct dropped_range range;
    uint8_t copy[RANGE_KEY_SIZE];
    enum status status = dropped_range_decode(key, row, &range, a->err);
    if (status)
        return state_wrap_row(a->err, STATE_RANGES, key);
    ranges->examined++;
    if (range.decided_ms >= sweep->before_ms)
        return STATUS_OK;
    ranges->deleted++;
    memcpy(copy, key.data, sizeof copy);
    return apply_delete(a, STATE_RANGES, (struct bytes){copy, sizeof copy});
}

static enum status walk_ranges(struct apply *a, const struct sweep *sweep, struct range_sweep *ranges)
{
    struct store_cursor cursor;
    enum status status = store_cursor_open(&a->txn, a->state->tables[STATE_RANGES], &cursor, a->err);
    if (status)
        return error_wrap(a->err, "table ranges");
    for (int32_t op = CHRONOS_CURSOR_SEEK_GE; !status; op = CHRONOS_CURSOR_NEXT) {
        struct bytes key, row;
        status = store_cursor_move(&cursor, op, (struct bytes){ranges->at, sizeof ranges->at}, &key, &row, a->err);
        if (status)
            break;
        if (ranges->examined == SWEEP_EXAMINE_MAX || ranges->deleted == SWEEP_DELETE_MAX) {
            memcpy(ranges->at, key.data, key.size < sizeof ranges->at ? key.size : sizeof ranges->at);
            break;
        }
        status = sweep_range(a, sweep, ranges, key, row);
    }
    store_cursor_close(&cursor);
    ranges->ended = status == STATUS_NOT_FOUND;
    return ranges->ended ? STATUS_OK : status;
}

static enum status sweep_ranges(struct apply *a, const struct sweep *sweep)
{
    struct range_sweep ranges = {.examined = 0};
    struct bytes row;
    enum status status = apply_get(a, STATE_META, cursor_key(), &row);
    bool resumes = status == STATUS_OK;
    if (status && status != STATUS_NOT_FOUND)
        return status;
    if (resumes && row.size != sizeof ranges.at)
        return error_set(a->err, STATUS_CORRUPT, "table meta: the row \"%s\" is damaged", ranges_cursor);
    if (resumes)
        memcpy(ranges.at, row.data, sizeof ranges.at);
    status = walk_ranges(a, sweep, &ranges);
    if (status)
        return status;
    if (!ranges.ended)
        return apply_put(a, STATE_META, cursor_key(), (struct bytes){ranges.at, sizeof ranges.at});
    return resumes ? apply_delete(a, STATE_META, cursor_key()) : STATUS_OK;
}

/* A pass that has seen all executions goes on, behind them, while there are keys whose time is over. */
static enum status sweep_keys(struct apply *a)
{
    bool more;
    struct id *next = &a->result->sweep_next;
    enum status status = idempotency_expire(a, SWEEP_DELETE_MAX, &more);
    if (!status && more && id_is_zero(next))
        memset(next->bytes, 0xff, sizeof next->bytes);
    return status;
}

enum status apply_sweep(struct apply *a)
{
    struct sweep sweep = take_sweep(&a->body);
    if (!reader_done(&a->body))
        return apply_malformed(a);
    enum status status = sweep_executions(a, &sweep);
    if (!status)
        status = sweep_ranges(a, &sweep);
    return status ? status : sweep_keys(a);
}
