#include "state/record.h"

#include <string.h>

#include "state/record_internal.h"

#define X(symbol, text) text,
static const char *const run_status_names[] = {RUN_STATUS_TABLE(X)};
static const char *const run_trigger_names[] = {RUN_TRIGGER_TABLE(X)};
static const char *const reason_names[] = {REASON_TABLE(X)};
static const char *const concurrency_names[] = {CONCURRENCY_TABLE(X)};
static const char *const missed_policy_names[] = {MISSED_POLICY_TABLE(X)};
static const char *const node_loss_names[] = {NODE_LOSS_TABLE(X)};
static const char *const placement_names[] = {PLACEMENT_TABLE(X)};
#undef X

static const char *name_at(const char *const *names, unsigned count, unsigned index)
{
    assert(index < count);
    return names[index];
}

static bool index_of(const char *const *names, unsigned count, const char *text, unsigned *ret)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(names[i], text) == 0) {
            *ret = i;
            return true;
        }
    return false;
}

const char *run_status_name(enum run_status status)
{
    return name_at(run_status_names, RUN_STATUS_COUNT, status);
}

const char *run_trigger_name(enum run_trigger trigger)
{
    return name_at(run_trigger_names, RUN_TRIGGER_COUNT, trigger);
}

const char *reason_name(enum reason reason)
{
    return name_at(reason_names, REASON_COUNT, reason);
}

const char *concurrency_name(enum concurrency concurrency)
{
    return name_at(concurrency_names, CONCURRENCY_COUNT, concurrency);
}

const char *missed_policy_name(enum missed_policy policy)
{
    return name_at(missed_policy_names, MISSED_POLICY_COUNT, policy);
}

const char *node_loss_name(enum node_loss_policy policy)
{
    return name_at(node_loss_names, NODE_LOSS_COUNT, policy);
}

const char *placement_name(enum placement placement)
{
    return name_at(placement_names, PLACEMENT_COUNT, placement);
}

bool run_status_parse(const char *text, enum run_status *ret)
{
    unsigned index;
    if (!index_of(run_status_names, RUN_STATUS_COUNT, text, &index))
        return false;
    *ret = (enum run_status)index;
    return true;
}

bool concurrency_parse(const char *text, enum concurrency *ret)
{
    unsigned index;
    if (!index_of(concurrency_names, CONCURRENCY_COUNT, text, &index))
        return false;
    *ret = (enum concurrency)index;
    return true;
}

bool missed_policy_parse(const char *text, enum missed_policy *ret)
{
    unsigned index;
    if (!index_of(missed_policy_names, MISSED_POLICY_COUNT, text, &index))
        return false;
    *ret = (enum missed_policy)index;
    return true;
}

bool node_loss_parse(const char *text, enum node_loss_policy *ret)
{
    unsigned index;
    if (!index_of(node_loss_names, NODE_LOSS_COUNT, text, &index))
        return false;
    *ret = (enum node_loss_policy)index;
    return true;
}

bool run_status_terminal(enum run_status status)
{
    return status != RUN_PENDING && status != RUN_RUNNING;
}

/* A year of milliseconds bounds every product below far under 2^63. */
static const int64_t delay_max_ms = INT64_C(366) * 24 * 3600 * 1000;
enum { MULTIPLIER_MAX = 1000 * 1000, THOUSAND = 1000 };

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

int64_t job_retry_delay_ms(const struct job_retry *retry, uint32_t failures, const struct id *execution)
{
    assert(failures >= 1);
    int64_t cap = clamp(retry->max_interval_ms, 0, delay_max_ms);
    int64_t delay = clamp(retry->initial_interval_ms, 0, cap);
    int64_t multiplier = clamp(retry->multiplier_thousandths, 0, MULTIPLIER_MAX);
    for (uint32_t i = 1; i < failures && i < ATTEMPTS_MAX && delay < cap; i++)
        delay = clamp(delay * multiplier / THOUSAND, 0, cap);
    int64_t jitter = retry->jitter_thousandths < THOUSAND ? retry->jitter_thousandths : THOUSAND;
    int64_t spread = delay * jitter / THOUSAND; /* the delay is moved by at most this, either way */
    if (spread == 0)
        return delay;
    uint64_t random = hash64(failures, execution->bytes, sizeof execution->bytes);
    return clamp(delay - spread + (int64_t)(random % (uint64_t)(2 * spread + 1)), 0, cap);
}

void put_id(struct buffer *b, const struct id *id)
{
    buffer_append(b, id->bytes, sizeof id->bytes);
}

struct id take_id(struct reader *r)
{
    struct id id;
    take_raw(r, id.bytes, sizeof id.bytes);
    return id;
}

bool take_bool(struct reader *r)
{
    return take_enum(r, 2) == 1;
}

uint8_t take_enum(struct reader *r, unsigned count)
{
    uint8_t value = take_u8(r);
    if (value < count)
        return value;
    r->failed = true;
    return 0;
}

enum status row_open(struct reader *r, const char *what, struct error *err)
{
    uint8_t format = take_u8(r);
    if (r->failed)
        return error_set(err, STATUS_CORRUPT, "a row of %s is empty", what);
    if (format != ROW_FORMAT)
        return error_set(err, STATUS_CORRUPT, "a row of %s has format %u, written by a newer version of Chronos", what,
                         (unsigned)format);
    return STATUS_OK;
}

enum status row_close(const struct reader *r, const char *what, struct error *err)
{
    if (reader_done(r))
        return STATUS_OK;
    return error_set(err, STATUS_CORRUPT, "a row of %s is damaged, or another version of Chronos wrote it: %s", what,
                     r->failed ? "it is too short or holds an impossible value" : "there are bytes behind its end");
}
