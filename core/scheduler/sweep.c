/* Retention: passes over the finished runs, oldest first, one bounded command at a time. A pass costs as much as the table is
 * long, so one begins only when an eighth of the table is new, or after an hour: a count limit may be overrun by that much. */
#include "scheduler/scheduler_internal.h"

enum { SWEEP_SPACING_MS = 1000, SWEEP_HOUR_MS = 60 * 60 * 1000, SWEEP_RETRY_MS = 1000 };

static bool pass_due(const struct scheduler *s, int64_t now_ms)
{
    if (s->sweeping)
        return true;
    if (now_ms < s->next_sweep_ms)
        return false;
    return s->ended_since_sweep > s->executions / 8 || now_ms >= s->next_sweep_ms + SWEEP_HOUR_MS;
}

void sweep_propose(struct scheduler *s, int64_t now_ms)
{
    if (s->next_sweep_ms == 0 || s->next_sweep_ms > now_ms + SWEEP_SPACING_MS) /* the clock was set back */
        s->next_sweep_ms = now_ms + SWEEP_SPACING_MS;
    if (s->sweep_in_flight || now_ms < s->next_sweep_ms || !pass_due(s, now_ms))
        return;
    struct flight *flight = flight_begin(s, COMMAND_SWEEP);
    if (flight == NULL)
        return;
    if (!s->sweeping) {
        s->sweeping = true;
        s->sweep_from = (struct id){{0}};
        s->ended_since_sweep = 0;
    }
    struct sweep sweep = {.from = s->sweep_from,
                          .before_ms = now_ms - s->config.retention_ms,
                          .per_job = s->config.executions_per_job,
                          .max_bytes = s->config.executions_max_bytes};
    sweep_encode(&sweep, &s->arena);
    s->sweep_in_flight = true;
    flight_end(s, flight);
}

void sweep_result(struct scheduler *s, enum status status, const struct apply_result *result, int64_t now_ms)
{
    s->sweep_in_flight = false;
    if (status != STATUS_OK) {
        s->next_sweep_ms = now_ms + SWEEP_RETRY_MS;
        return;
    }
    s->executions -= result->sweep_deleted < s->executions ? result->sweep_deleted : s->executions;
    s->sweep_from = result->sweep_next;
    s->sweeping = !id_is_zero(&result->sweep_next);
    if (!s->sweeping)
        s->next_sweep_ms = now_ms + SWEEP_SPACING_MS;
}
