/* JOB_PUT, JOB_DELETE, JOB_ENABLE. Each checks everything first, so that a refusal has changed nothing; then carries
 * out what the old version still owed (`due`), so that an edit loses no slot. */
#include <string.h>

#include "state/apply_internal.h"

/* --- a job as it stands --- */

struct job {
    struct job_row row; /* without its document */
    struct job_spec spec;
    struct job_marks marks;
};

static enum status get_job_row(struct apply *a, const struct id *id, struct job_row *ret)
{
    struct bytes bytes;
    enum status status = apply_get(a, STATE_JOBS, KEY_BYTES(*id), &bytes);
    if (status)
        return status;
    status = job_row_decode(bytes, ret, a->err);
    return status ? state_wrap_row(a->err, STATE_JOBS, KEY_BYTES(*id)) : STATUS_OK;
}

/* NOT_FOUND where there is none. */
static enum status load_job(struct apply *a, const struct id *id, struct job *ret)
{
    enum status status = get_job_row(a, id, &ret->row);
    if (status)
        return status;
    ret->row.document = (struct bytes){NULL, 0}; /* borrowed, and gone with the next read */
    status = need_spec(a, ret->row.serial, &ret->spec);
    return status ? status : need_marks(a, ret->row.serial, &ret->marks);
}

static enum status put_job_row(struct apply *a, const struct id *id, const struct job_row *row)
{
    struct buffer *out = &a->state->row;
    buffer_clear(out);
    job_row_encode(row, out);
    if (out->failed)
        return apply_buffer_failed(a, out, "a row of jobs");
    return apply_put(a, STATE_JOBS, KEY_BYTES(*id), buffer_bytes(out));
}

/* --- names --- */

enum { NAME_ROW_SIZE = 1 + ID_SIZE };

static struct bytes name_key(const char *name)
{
    return (struct bytes){name, strlen(name)};
}

static enum status put_name(struct apply *a, const char *name, const struct id *id)
{
    uint8_t row[NAME_ROW_SIZE] = {ROW_FORMAT};
    memcpy(row + 1, id->bytes, ID_SIZE);
    return apply_insert(a, STATE_NAMES, name_key(name), (struct bytes){row, sizeof row});
}

static enum status name_is_taken(struct apply *a, const char *name, bool *ret)
{
    struct bytes row;
    enum status status = apply_get(a, STATE_NAMES, name_key(name), &row);
    *ret = status == STATUS_OK;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* --- versions --- */

/* `versions` holds the row of `jobs` as it stood. */
static enum status keep_version(struct apply *a, const struct job *job)
{
    struct version_key key = version_key(job->row.serial, job->row.version);
    struct bytes bytes;
    enum status status = apply_get(a, STATE_JOBS, KEY_BYTES(job->spec.id), &bytes);
    if (status)
        return status == STATUS_NOT_FOUND ? apply_missing(a, STATE_JOBS, KEY_BYTES(job->spec.id)) : status;
    struct buffer *row = &a->state->row;
    buffer_clear(row);
    buffer_append(row, bytes.data, bytes.size); /* borrowed from the very store that it goes to */
    if (row->failed)
        return apply_buffer_failed(a, row, "a row of versions");
    return apply_insert(a, STATE_VERSIONS, KEY_BYTES(key), buffer_bytes(row));
}

static bool version_in_use(const struct state *state, uint32_t open_count, uint32_t version)
{
    for (uint32_t i = 0; i < open_count; i++)
        if (state->open_runs[i].job_version == version)
            return true;
    return false;
}

/* Walks the job's versions, oldest first. Deletes those that no open run uses until `excess` are gone; *ret_count says
 * how many it saw. */
static enum status walk_versions(struct apply *a, uint64_t serial, uint32_t open_count, uint32_t excess,
                                 uint32_t *ret_count)
{
    struct version_key at = version_key(serial, 0);
    struct store_cursor cursor;
    uint32_t count = 0;
    enum status status = store_cursor_open(&a->txn, a->state->tables[STATE_VERSIONS], &cursor, a->err);
    if (status)
        return error_wrap(a->err, "table versions");
    for (int32_t op = CHRONOS_CURSOR_SEEK_GE; !status; op = CHRONOS_CURSOR_NEXT) {
        struct bytes key, row;
        status = store_cursor_move(&cursor, op, KEY_BYTES(at), &key, &row, a->err);
        if (status || key.size != VERSION_KEY_SIZE || memcmp(key.data, at.bytes, SERIAL_KEY_SIZE) != 0)
            break;
        count++;
        memcpy(at.bytes, key.data, VERSION_KEY_SIZE);
        uint32_t version = (uint32_t)(load_be64(at.bytes + VERSION_KEY_SIZE - 8) & UINT32_MAX);
        if (excess == 0 || version_in_use(a->state, open_count, version))
            continue;
        excess--;
        status = apply_delete(a, STATE_VERSIONS, KEY_BYTES(at));
    }
    store_cursor_close(&cursor);
    if (status && status != STATUS_NOT_FOUND)
        return status;
    *ret_count = count;
    return STATUS_OK;
}

static enum status prune_versions(struct apply *a, uint64_t serial, uint32_t newest_version)
{
    uint32_t open_count = 0, count = 0;
    if (newest_version <= JOB_VERSIONS_KEPT + 1)
        return STATUS_OK;
    enum status status = walk_versions(a, serial, 0, 0, &count);
    if (status || count <= JOB_VERSIONS_KEPT)
        return status;
    status = list_open_runs(a, serial, &open_count);
    return status ? status : walk_versions(a, serial, open_count, count - JOB_VERSIONS_KEPT, &count);
}

/* --- what the old version owed --- */

static bool due_fits(const struct decision *due, const struct job *job)
{
    return !due || decision_fits(due, &job->spec, &job->marks);
}

static enum status run_due(struct apply *a, const struct decision *due, struct decision_reader *slots, struct job *job)
{
    return due ? run_decision(a, slots, &job->spec, &job->marks, slots->nodes, slots->node_count) : STATUS_OK;
}

/* --- marks --- */

/* As only a wrong clock does. Any two numbers may come from the wire, so their difference is taken without a sign. */
static bool lies_far_ahead(int64_t ms, int64_t of_ms)
{
    return ms > of_ms && (uint64_t)ms - (uint64_t)of_ms > MARK_AHEAD_MENDED_MS;
}

/* A mark begins anew where the proposer's clock stood, not before what was decided already, or small steps of the clock would
 * decide a slot twice. A mark far ahead was left by a clock that was wrong: an explicit edit mends it (docs/adr 0009). */
static void reset_mark(const struct apply *a, struct job_marks *marks, struct job_spec *spec, int64_t mark_ms)
{
    int64_t wanted = mark_ms != 0 ? mark_ms : a->now_ms;
    if (marks->mark_ms < wanted || lies_far_ahead(marks->mark_ms, wanted))
        marks->mark_ms = wanted;
    if (lies_far_ahead(spec->anchor_ms, marks->mark_ms)) /* so @every would not come due until then */
        spec->anchor_ms = marks->mark_ms;
}

/* --- JOB_PUT --- */

static enum status put_new_job(struct apply *a, struct job_put *put)
{
    struct job_marks marks = {.last_status = RUN_PENDING, .mark_ms = INT64_MIN}; /* before any */
    struct job_row row = {.version = 1, .enabled = put->spec.enabled, .created_ms = a->now_ms, .updated_ms = a->now_ms,
                          .document = put->document};
    row.serial = a->state->work.next_serial++;
    a->state->work.jobs_count++;
    put->spec.serial = row.serial;
    put->spec.version = row.version;
    put->spec.anchor_ms = a->now_ms;
    reset_mark(a, &marks, &put->spec, put->mark_ms);
    a->result->version = row.version;
    enum status status = put_name(a, put->spec.name, &put->id);
    if (!status)
        status = put_job_row(a, &put->id, &row);
    if (!status)
        status = save_spec(a, &put->spec);
    if (!status)
        status = store_marks(a, row.serial, &marks);
    return status ? status : publish_job(a, &put->spec, &marks);
}

static enum status create_job(struct apply *a, struct job_put *put)
{
    struct job_row row;
    bool taken;
    enum status status = get_job_row(a, &put->id, &row);
    if (status == STATUS_OK)
        return apply_refuse(a, STATUS_EXISTS);
    if (status != STATUS_NOT_FOUND)
        return status;
    status = name_is_taken(a, put->spec.name, &taken);
    if (status)
        return status;
    if (taken)
        return apply_refuse(a, STATUS_NAME_TAKEN);
    if (a->state->work.jobs_count >= JOBS_MAX)
        return apply_refuse(a, STATUS_TOO_MANY);
    return put_new_job(a, put);
}

static enum status rename_job(struct apply *a, const struct job *job, const char *name)
{
    if (strcmp(job->spec.name, name) == 0)
        return STATUS_OK;
    enum status status = apply_delete(a, STATE_NAMES, name_key(job->spec.name));
    return status ? status : put_name(a, name, &job->spec.id);
}

/* `spec` is the new one, `job` what it replaces. */
static enum status store_new_version(struct apply *a, struct job *job, const struct job_spec *spec,
                                     const struct job_row *row)
{
    enum status status = rename_job(a, job, spec->name);
    if (!status)
        status = put_job_row(a, &spec->id, row);
    if (!status)
        status = save_spec(a, spec);
    if (!status)
        status = store_marks(a, spec->serial, &job->marks);
    if (!status)
        status = publish_job(a, spec, &job->marks);
    return status ? status : prune_versions(a, spec->serial, spec->version);
}

static enum status edit_job(struct apply *a, struct job_put *put, struct decision_reader *due, struct job *job)
{
    /* Time during which it was disabled is not missed, whatever the proposer thought. */
    bool resets_mark = put->resets_mark || (put->spec.enabled && !job->spec.enabled);
    enum status status = run_due(a, put->due, due, job);
    if (!status)
        status = keep_version(a, job);
    if (status)
        return status;
    put->spec.serial = job->row.serial;
    put->spec.version = job->row.version + 1;
    put->spec.anchor_ms = job->spec.anchor_ms;
    if (resets_mark)
        reset_mark(a, &job->marks, &put->spec, put->mark_ms);
    struct job_row row = {.serial = job->row.serial, .version = put->spec.version, .enabled = put->spec.enabled,
                          .created_ms = job->row.created_ms, .updated_ms = a->now_ms, .document = put->document};
    a->result->version = row.version;
    return store_new_version(a, job, &put->spec, &row);
}

static enum status replace_job(struct apply *a, struct job_put *put, struct decision_reader *due)
{
    struct job job;
    bool taken = false;
    enum status status = load_job(a, &put->id, &job);
    if (status == STATUS_NOT_FOUND)
        return apply_refuse(a, STATUS_NOT_FOUND);
    if (status)
        return status;
    a->result->version = job.row.version;
    if (job.row.version != put->expected_version)
        return apply_refuse(a, STATUS_VERSION_MISMATCH);
    if (strcmp(job.spec.name, put->spec.name) != 0)
        status = name_is_taken(a, put->spec.name, &taken);
    if (status)
        return status;
    if (taken)
        return apply_refuse(a, STATUS_NAME_TAKEN);
    if (!due_fits(put->due, &job))
        return apply_refuse(a, STATUS_STALE);
    return edit_job(a, put, due, &job);
}

enum status apply_job_put(struct apply *a)
{
    struct job_put put;
    struct decision_reader due;
    take_job_put(&a->body, &put, &due);
    if (!reader_done(&a->body))
        return apply_malformed(a);
    put.spec.id = put.id;
    a->result->id = put.id;
    if (put.spec.name[0] == '\0')
        return apply_refuse(a, STATUS_INVALID);
    if (put.document.size > JOB_DOCUMENT_MAX)
        return apply_refuse(a, STATUS_TOO_LARGE);
    return put.expected_version == 0 ? create_job(a, &put) : replace_job(a, &put, &due);
}

/* --- JOB_DELETE --- */

static enum status end_or_leave(struct apply *a, const struct id *execution, struct job_marks *marks,
                                bool cancel_running)
{
    struct open_run run;
    enum status status = need_open(a, execution, &run);
    if (status)
        return status;
    if (run.phase != PHASE_ASSIGNED && run.phase != PHASE_RUNNING) {
        struct run_end end = plain_end(a, RUN_CANCELLED, REASON_JOB_DELETED);
        return finish_run(a, &run, true, marks, &end);
    }
    if (!cancel_running || run.cancel != REASON_NONE)
        return STATUS_OK;
    run.cancel = REASON_JOB_DELETED;
    return save_open(a, &run);
}

static enum status end_open_runs(struct apply *a, struct job *job, bool cancel_running)
{
    uint32_t count = 0;
    enum status status = list_open_runs(a, job->row.serial, &count);
    for (uint32_t i = 0; !status && i < count; i++)
        status = end_or_leave(a, &a->state->open_runs[i].execution, &job->marks, cancel_running);
    return status;
}

static enum status remove_job(struct apply *a, struct job *job)
{
    struct serial_key key = serial_key(job->row.serial);
    /* What goes on still needs the document that it was decided for. */
    enum status status = job->marks.active > 0 ? keep_version(a, job) : STATUS_OK;
    if (!status)
        status = apply_delete(a, STATE_NAMES, name_key(job->spec.name));
    if (!status)
        status = apply_delete(a, STATE_JOBS, KEY_BYTES(job->spec.id));
    if (!status)
        status = apply_delete(a, STATE_SCHED, KEY_BYTES(key));
    if (!status)
        status = store_marks(a, job->row.serial, &job->marks);
    if (status)
        return status;
    a->state->work.jobs_count--;
    struct state_change *change = state_changes_add(a->changes, CHANGE_JOB_DELETED, job->row.serial);
    if (!change)
        return error_set(a->err, STATUS_NO_MEMORY, "out of memory for the changes of a batch");
    change->marks = job->marks;
    return STATUS_OK;
}

enum status apply_job_delete(struct apply *a)
{
    struct job_delete command;
    struct decision_reader due;
    struct job job;
    take_job_delete(&a->body, &command, &due);
    if (!reader_done(&a->body))
        return apply_malformed(a);
    a->result->id = command.id;
    enum status status = load_job(a, &command.id, &job);
    if (status == STATUS_NOT_FOUND)
        return apply_refuse(a, STATUS_NOT_FOUND);
    if (status)
        return status;
    a->result->version = job.row.version;
    if (command.expected_version != 0 && command.expected_version != job.row.version)
        return apply_refuse(a, STATUS_VERSION_MISMATCH);
    if (!due_fits(command.due, &job))
        return apply_refuse(a, STATUS_STALE);
    status = run_due(a, command.due, &due, &job);
    job.marks.deleted = true;
    if (!status)
        status = end_open_runs(a, &job, command.cancel_running);
    return status ? status : remove_job(a, &job);
}

/* --- JOB_ENABLE --- */

static enum status switch_job(struct apply *a, const struct job_enable *command, struct decision_reader *due,
                              struct job *job)
{
    struct job_spec spec;
    struct job_row row;
    enum status status = command->enabled ? STATUS_OK : run_due(a, command->due, due, job);
    if (!status)
        status = keep_version(a, job);
    if (!status)
        status = need_spec(a, job->row.serial, &spec);
    if (!status)
        /* last: its document is borrowed until put_job_row has copied it */
        status = get_job_row(a, &command->id, &row);
    if (status)
        return status;
    if (command->enabled)
        reset_mark(a, &job->marks, &spec, command->mark_ms);
    spec.enabled = row.enabled = command->enabled;
    spec.version = row.version = job->row.version + 1;
    row.updated_ms = a->now_ms;
    a->result->version = row.version;
    return store_new_version(a, job, &spec, &row);
}

enum status apply_job_enable(struct apply *a)
{
    struct job_enable command;
    struct decision_reader due;
    struct job job;
    take_job_enable(&a->body, &command, &due);
    if (!reader_done(&a->body))
        return apply_malformed(a);
    a->result->id = command.id;
    enum status status = load_job(a, &command.id, &job);
    if (status == STATUS_NOT_FOUND)
        return apply_refuse(a, STATUS_NOT_FOUND);
    if (status)
        return status;
    a->result->version = job.row.version;
    if (command.expected_version != 0 && command.expected_version != job.row.version)
        return apply_refuse(a, STATUS_VERSION_MISMATCH);
    if (job.row.enabled == command.enabled)
        return STATUS_OK; /* it is so already */
    if (!command.enabled && !due_fits(command.due, &job))
        return apply_refuse(a, STATUS_STALE);
    return switch_job(a, &command, &due, &job);
}
