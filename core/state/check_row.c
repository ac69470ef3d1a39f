/* Whether a row may stand where it stands, for whoever reads tables that others wrote: snapshots, `chronos store check`. */
#include <string.h>

#include "state/state_internal.h"

static enum status wrong_key(struct bytes key, size_t expected, struct error *err)
{
    return error_set(err, STATUS_CORRUPT, "the key has %zu bytes instead of %zu", key.size, expected);
}

static enum status check_key_size(struct bytes key, size_t expected, struct error *err)
{
    return key.size == expected ? STATUS_OK : wrong_key(key, expected, err);
}

static enum status check_jobs(struct bytes key, struct bytes row, struct error *err)
{
    struct job_row job;
    enum status status = check_key_size(key, ID_SIZE, err);
    return status ? status : job_row_decode(row, &job, err);
}

static enum status check_names(struct bytes key, struct bytes row, struct error *err)
{
    if (key.size > JOB_NAME_MAX)
        return error_set(err, STATUS_CORRUPT, "the name has %zu bytes; at most %d are possible", key.size, JOB_NAME_MAX);
    struct reader r = reader_of(row.data, row.size);
    enum status status = row_open(&r, "names", err);
    (void)take_id(&r); /* any id */
    return status ? status : row_close(&r, "names", err);
}

static enum status check_sched(struct bytes key, struct bytes row, struct error *err)
{
    struct job_spec spec;
    enum status status = check_key_size(key, SERIAL_KEY_SIZE, err);
    return status ? status : job_spec_decode(load_be64(key.data), row, &spec, err);
}

static enum status check_marks(struct bytes key, struct bytes row, struct error *err)
{
    struct job_marks marks;
    enum status status = check_key_size(key, SERIAL_KEY_SIZE, err);
    return status ? status : job_marks_decode(row, &marks, err);
}

static enum status check_open(struct bytes key, struct bytes row, struct error *err)
{
    struct id execution;
    struct open_run run;
    enum status status = check_key_size(key, sizeof execution.bytes, err);
    if (status)
        return status;
    memcpy(execution.bytes, key.data, sizeof execution.bytes);
    return open_run_decode(&execution, row, &run, err);
}

static enum status check_open_by_job(struct bytes key, struct bytes row, struct error *err)
{
    enum status status = check_key_size(key, OPEN_BY_JOB_KEY_SIZE, err);
    if (status)
        return status;
    struct reader r = reader_of(row.data, row.size);
    status = row_open(&r, "open_by_job", err);
    (void)take_u32(&r); /* any version */
    return status ? status : row_close(&r, "open_by_job", err);
}

static enum status check_executions(struct bytes key, struct bytes row, struct error *err)
{
    struct execution_row execution;
    enum status status = check_key_size(key, ID_SIZE, err);
    return status ? status : execution_row_decode(row, &execution, err);
}

static enum status check_failed(struct bytes key, struct bytes row, struct error *err)
{
    enum status status = check_key_size(key, ID_SIZE, err);
    if (status)
        return status;
    struct reader r = reader_of(row.data, row.size);
    status = row_open(&r, "failed", err);
    (void)take_enum(&r, RUN_STATUS_COUNT);
    (void)take_u64(&r); /* any serial */
    return status ? status : row_close(&r, "failed", err);
}

static enum status check_ranges(struct bytes key, struct bytes row, struct error *err)
{
    struct dropped_range range;
    return dropped_range_decode(key, row, &range, err);
}

static enum status check_versions(struct bytes key, struct bytes row, struct error *err)
{
    struct job_row job;
    enum status status = check_key_size(key, VERSION_KEY_SIZE, err);
    if (!status)
        status = job_row_decode(row, &job, err);
    if (!status && memcmp(version_key(job.serial, job.version).bytes, key.data, VERSION_KEY_SIZE) != 0)
        return error_set(err, STATUS_CORRUPT, "it holds version %u of job %llu", (unsigned)job.version,
                         (unsigned long long)job.serial);
    return status;
}

static enum status check_nodes(struct bytes key, struct bytes row, struct error *err)
{
    struct node_row node;
    enum status status = node_row_decode(row, &node, err);
    if (!status && (strlen(node.name) != key.size || memcmp(node.name, key.data, key.size) != 0))
        return error_set(err, STATUS_CORRUPT, "it holds the node \"%s\"", node.name);
    return status;
}

static enum status check_idempotency(struct bytes key, struct bytes row, struct error *err)
{
    struct idempotency_row item;
    enum status status = check_key_size(key, IDEMPOTENCY_DIGEST_SIZE, err);
    return status ? status : idempotency_row_decode(row, &item, err);
}

static enum status check_idempotency_by_time(struct bytes key, struct bytes row, struct error *err)
{
    struct reader r = reader_of(row.data, row.size);
    int64_t created_ms;
    enum status status = idempotency_time_of(key, &created_ms, err);
    if (!status)
        status = row_open(&r, "idempotency_by_time", err);
    return status ? status : row_close(&r, "idempotency_by_time", err);
}

static enum status check_idempotency_counts(struct bytes key, struct bytes row, struct error *err)
{
    struct reader r = reader_of(row.data, row.size);
    const uint8_t *size = key.data;
    if (key.size == 0 || key.size > PRINCIPAL_KEY_MAX || key.size != 1u + *size)
        return error_set(err, STATUS_CORRUPT, "the key is no principal's");
    enum status status = row_open(&r, "idempotency_counts", err);
    if (!status && take_u32(&r) == 0)
        r.failed = true; /* it would have left */
    return status ? status : row_close(&r, "idempotency_counts", err);
}

static enum status check_meta(struct bytes key, struct bytes row, struct error *err)
{
    enum state_meta_row which;
    return state_check_meta_row(key, row, &which, err);
}

enum status state_check_row(enum state_table table, struct bytes key, struct bytes row, struct error *err)
{
    static enum status (*const checks[])(struct bytes, struct bytes, struct error *) = {
        [STATE_JOBS] = check_jobs,         [STATE_NAMES] = check_names,       [STATE_SCHED] = check_sched,
        [STATE_MARKS] = check_marks,       [STATE_OPEN] = check_open,         [STATE_EXECUTIONS] = check_executions,
        [STATE_FAILED] = check_failed,     [STATE_RANGES] = check_ranges,     [STATE_VERSIONS] = check_versions,
        [STATE_NODES] = check_nodes,       [STATE_META] = check_meta,         [STATE_OPEN_BY_JOB] = check_open_by_job,
        [STATE_IDEMPOTENCY] = check_idempotency,
        [STATE_IDEMPOTENCY_BY_TIME] = check_idempotency_by_time,
        [STATE_IDEMPOTENCY_COUNTS] = check_idempotency_counts,
    };
    static_assert(sizeof checks / sizeof checks[0] == STATE_TABLE_COUNT, "each table has its check");
    assert(table < STATE_TABLE_COUNT);
    return checks[table](key, row, err);
}
