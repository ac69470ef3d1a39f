/* What must hold of every state, whatever was applied. For tests and the simulator: it reads all tables into memory. */
#ifndef CHRONOS_TESTS_STATE_CHECK_H
#define CHRONOS_TESTS_STATE_CHECK_H

#include "state/state.h"

/* CORRUPT with a sentence where a rule is broken:
 * - names and jobs, jobs and sched are bijections that agree; counters in `meta` are what the tables hold;
 * - marks count the open, waiting and ended runs of their job; a deleted job's marks stay only while runs of it are
 *   open;
 * - each open run is listed by job, its job's marks exist, its document can be found, its phase fits its attempt;
 * - `failed` is exactly the failed, timed out and lost executions; no run is both open and ended;
 * - an execution's text is JSON with the row's own id and status;
 * - idempotency keys are listed by time, and counted, in all and of each principal. */
must_use enum status state_check_invariants(struct state_view *view, struct error *err);

/* One number for all rows of all tables: equal states give equal numbers, on any backend. */
must_use enum status state_hash(struct state_view *view, uint64_t *ret, struct error *err);

/* All rows of a table, in key order; binary search by key. */
struct table_row {
    struct bytes key, row;
};
struct table_rows {
    struct table_row *items;
    uint32_t count, capacity;
};
must_use enum status table_rows_load(struct state_view *view, enum state_table table, struct table_rows *ret,
                                     struct error *err);
void table_rows_free(struct table_rows *rows);
const struct table_row *table_rows_find(const struct table_rows *rows, const void *key, size_t size); /* or NULL */

#endif
