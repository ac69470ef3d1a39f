#include "state/check.h"

#include <inttypes.h>
#include <string.h>

#include "state/state_internal.h"

struct check {
    struct state_view walking, looking; /* a walk's own view may not be used while it goes on */
    enum state_table table;
    struct state_contents contents;
    struct state_meta meta;
    uint64_t keys_counted; /* in idempotency_counts, of all principals */
    state_problem report;
    void *arg;
    enum status status; /* not OK: the store cannot be read */
    struct error *err;
};

static void tell(struct check *c, const char *problem)
{
    if (c->contents.problems++ < CHECK_PROBLEMS_MAX)
        c->report(c->arg, problem);
}

static void tell_row(struct check *c, struct bytes key, struct error *problem)
{
    (void)state_wrap_row(problem, c->table, key);
    tell(c, problem->message);
}

#define PROBLEM(c, key, ...)                                       \
    do {                                                           \
        struct error problem_;                                     \
        (void)error_set(&problem_, STATUS_CORRUPT, __VA_ARGS__);   \
        tell_row(c, key, &problem_);                               \
    } while (0)

/* False where there is none, or where the store cannot be read: that ends the check. */
static bool find(struct check *c, enum state_table table, struct bytes key, struct bytes *ret)
{
    if (c->status != STATUS_OK)
        return false;
    enum status status = store_get(&c->looking.txn, c->looking.state->tables[table], key, ret, c->err);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        (void)state_wrap_row(c->err, table, key);
        c->status = status;
    }
    return status == STATUS_OK;
}

static bool is_there(struct check *c, enum state_table table, struct bytes key)
{
    struct bytes ignored;
    return find(c, table, key, &ignored);
}

/* --- what the tables say of each other; the row itself is sound --- */

static void check_job(struct check *c, struct bytes key, struct bytes row)
{
    struct job_row job;
    struct job_spec spec;
    struct bytes sched, name;
    struct error ignored; /* a row that is not sound is told where its own table is walked */
    if (job_row_decode(row, &job, &ignored) != STATUS_OK)
        return;
    struct serial_key serial = serial_key(job.serial);
    if (job.serial >= c->meta.next_serial)
        PROBLEM(c, key, "its serial %" PRIu64 " was not given yet", job.serial);
    if (!is_there(c, STATE_MARKS, KEY_BYTES(serial)))
        PROBLEM(c, key, "it has no row in marks (serial %" PRIu64 ")", job.serial);
    if (!find(c, STATE_SCHED, KEY_BYTES(serial), &sched)) {
        PROBLEM(c, key, "it has no row in sched (serial %" PRIu64 ")", job.serial);
        return;
    }
    if (job_spec_decode(job.serial, sched, &spec, &ignored) != STATUS_OK)
        return;
    if (memcmp(spec.id.bytes, key.data, ID_SIZE) != 0 || spec.version != job.version || spec.enabled != job.enabled)
        PROBLEM(c, key, "sched says something else of its serial %" PRIu64, job.serial);
    if (!find(c, STATE_NAMES, (struct bytes){spec.name, strlen(spec.name)}, &name) || name.size != 1 + ID_SIZE ||
        memcmp((const uint8_t *)name.data + 1, key.data, ID_SIZE) != 0)
        PROBLEM(c, key, "its name \"%s\" does not lead to it", spec.name);
}

static void check_name(struct check *c, struct bytes key, struct bytes row)
{
    if (!is_there(c, STATE_JOBS, (struct bytes){(const uint8_t *)row.data + 1, ID_SIZE}))
        PROBLEM(c, key, "the job that it leads to is not there");
}

static void check_sched(struct check *c, struct bytes key, struct bytes row)
{
    struct job_spec spec;
    struct error ignored;
    if (job_spec_decode(load_be64(key.data), row, &spec, &ignored) == STATUS_OK &&
        !is_there(c, STATE_JOBS, KEY_BYTES(spec.id)))
        PROBLEM(c, key, "its job is not there");
}

static void check_marks(struct check *c, struct bytes key, struct bytes row)
{
    struct job_marks marks;
    struct error ignored;
    if (job_marks_decode(row, &marks, &ignored) == STATUS_OK && marks.deleted == is_there(c, STATE_SCHED, key))
        PROBLEM(c, key, "marks and sched do not agree on whether the job is deleted");
}

static void check_open(struct check *c, struct bytes key, struct bytes row)
{
    struct open_run run;
    struct id execution;
    struct error ignored;
    uint8_t by_job[OPEN_BY_JOB_KEY_SIZE];
    memcpy(execution.bytes, key.data, sizeof execution.bytes);
    if (open_run_decode(&execution, row, &run, &ignored) != STATUS_OK)
        return;
    struct serial_key serial = serial_key(run.serial);
    memcpy(by_job, serial.bytes, sizeof serial.bytes);
    memcpy(by_job + sizeof serial.bytes, execution.bytes, sizeof execution.bytes);
    if (!is_there(c, STATE_OPEN_BY_JOB, (struct bytes){by_job, sizeof by_job}))
        PROBLEM(c, key, "it is not listed in open_by_job (serial %" PRIu64 ")", run.serial);
    if (!is_there(c, STATE_MARKS, KEY_BYTES(serial)))
        PROBLEM(c, key, "its job has no row in marks (serial %" PRIu64 ")", run.serial);
    if (is_there(c, STATE_EXECUTIONS, key))
        PROBLEM(c, key, "it is open, and in executions as ended");
}

static void check_open_by_job(struct check *c, struct bytes key)
{
    if (!is_there(c, STATE_OPEN, (struct bytes){(const uint8_t *)key.data + SERIAL_KEY_SIZE, ID_SIZE}))
        PROBLEM(c, key, "the run that it lists is not open");
}

static void check_failed(struct check *c, struct bytes key)
{
    if (!is_there(c, STATE_EXECUTIONS, key))
        PROBLEM(c, key, "its execution is not there");
}

static void check_version(struct check *c, struct bytes key)
{
    if (!is_there(c, STATE_MARKS, (struct bytes){key.data, SERIAL_KEY_SIZE}))
        PROBLEM(c, key, "its job is not there");
}

static void check_idempotency(struct check *c, struct bytes key, struct bytes row)
{
    struct idempotency_row item;
    struct error ignored;
    uint8_t name[PRINCIPAL_KEY_MAX];
    if (idempotency_row_decode(row, &item, &ignored) != STATUS_OK)
        return;
    struct idempotency_time_key time = idempotency_time_key(item.created_ms, key.data);
    if (!is_there(c, STATE_IDEMPOTENCY_BY_TIME, KEY_BYTES(time)))
        PROBLEM(c, key, "it is not listed in idempotency_by_time");
    if (!is_there(c, STATE_IDEMPOTENCY_COUNTS, principal_key(item.principal, name)))
        PROBLEM(c, key, "its principal \"%s\" is not in idempotency_counts", item.principal);
}

static void check_idempotency_by_time(struct check *c, struct bytes key)
{
    if (!is_there(c, STATE_IDEMPOTENCY, (struct bytes){(const uint8_t *)key.data + TIME_KEY_SIZE, IDEMPOTENCY_DIGEST_SIZE}))
        PROBLEM(c, key, "the row of idempotency that it lists is not there");
}

static void check_relations(struct check *c, struct bytes key, struct bytes row)
{
    switch (c->table) {
    case STATE_JOBS: check_job(c, key, row); return;
    case STATE_NAMES: check_name(c, key, row); return;
    case STATE_SCHED: check_sched(c, key, row); return;
    case STATE_MARKS: check_marks(c, key, row); return;
    case STATE_OPEN: check_open(c, key, row); return;
    case STATE_OPEN_BY_JOB: check_open_by_job(c, key); return;
    case STATE_FAILED: check_failed(c, key); return;
    case STATE_VERSIONS: check_version(c, key); return;
    case STATE_IDEMPOTENCY: check_idempotency(c, key, row); return;
    case STATE_IDEMPOTENCY_BY_TIME: check_idempotency_by_time(c, key); return;
    case STATE_IDEMPOTENCY_COUNTS: c->keys_counted += load_le32((const uint8_t *)row.data + 1); return;
    case STATE_EXECUTIONS: /* of jobs that may be gone */
    case STATE_RANGES:     /* likewise */
    case STATE_NODES:
    case STATE_META:
    case STATE_TABLE_COUNT: return;
    }
}

/* --- all of it --- */

static bool check_row(void *arg, struct bytes key, struct bytes row)
{
    struct check *c = arg;
    struct error problem;
    c->contents.rows[c->table]++;
    c->contents.row_bytes += key.size + row.size;
    if (state_check_row(c->table, key, row, &problem) != STATUS_OK)
        tell_row(c, key, &problem);
    else
        check_relations(c, key, row);
    return c->status == STATUS_OK;
}

static void compare_count(struct check *c, const char *table, const char *what, uint64_t counted, uint64_t found)
{
    struct error problem;
    if (counted == found)
        return;
    (void)error_set(&problem, STATUS_CORRUPT, "table %s counts %" PRIu64 " %s; there are %" PRIu64, table, counted, what, found);
    tell(c, problem.message);
}

static enum status check_tables(struct check *c)
{
    enum status status = state_read_meta(c->looking.state, &c->looking.txn, &c->meta, c->err);
    for (int i = 0; i < STATE_TABLE_COUNT && status == STATUS_OK; i++) {
        c->table = (enum state_table)i;
        status = state_walk_table(&c->walking, c->table, (struct bytes){NULL, 0}, false, check_row, c, c->err);
        if (c->status != STATUS_OK)
            return c->status;
    }
    if (status == STATUS_OK) {
        uint64_t keys = c->contents.rows[STATE_IDEMPOTENCY];
        compare_count(c, "meta", "jobs", c->meta.jobs_count, c->contents.rows[STATE_JOBS]);
        compare_count(c, "meta", "executions", c->meta.executions_count, c->contents.rows[STATE_EXECUTIONS]);
        compare_count(c, "meta", "idempotency keys", c->meta.idempotency_count, keys);
        compare_count(c, "idempotency_counts", "idempotency keys", c->keys_counted, keys);
    }
    return status;
}

enum status state_check(const struct state *state, state_problem report, void *arg, struct state_contents *ret,
                        struct error *err)
{
    struct check c = {.report = report, .arg = arg, .err = err};
    enum status status = state_view_begin(state, &c.walking, err);
    if (status == STATUS_OK)
        status = state_view_begin(state, &c.looking, err);
    if (status == STATUS_OK)
        status = check_tables(&c);
    state_view_end(&c.looking);
    state_view_end(&c.walking);
    if (status != STATUS_OK)
        return error_wrap(err, "read the state");
    *ret = c.contents;
    return STATUS_OK;
}
