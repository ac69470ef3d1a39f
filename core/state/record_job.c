/* Rows of a job: `sched`, `marks`, `jobs`. */
#include <assert.h>
#include <string.h>

#include "state/record_internal.h"

static void put_retry(struct buffer *out, const struct job_retry *retry)
{
    put_u32(out, retry->max_attempts);
    put_i64(out, retry->initial_interval_ms);
    put_i64(out, retry->max_interval_ms);
    put_u32(out, retry->multiplier_thousandths);
    put_u32(out, retry->jitter_thousandths);
}

static struct job_retry take_retry(struct reader *r)
{
    struct job_retry retry;
    retry.max_attempts = take_u32(r);
    retry.initial_interval_ms = take_i64(r);
    retry.max_interval_ms = take_i64(r);
    retry.multiplier_thousandths = take_u32(r);
    retry.jitter_thousandths = take_u32(r);
    return retry;
}

void job_spec_encode(const struct job_spec *spec, struct buffer *out)
{
    assert(spec->schedule_count <= JOB_SCHEDULES_MAX && spec->node_tag_count <= NODE_TAGS_MAX);
    put_u8(out, ROW_FORMAT);
    put_id(out, &spec->id);
    put_u32(out, spec->version);
    put_u8(out, spec->enabled);
    put_u8(out, (uint8_t)spec->concurrency);
    put_u8(out, (uint8_t)spec->missed_policy);
    put_u8(out, (uint8_t)spec->on_node_loss);
    put_u8(out, spec->dst_gap);
    put_u8(out, spec->dst_overlap);
    put_u8(out, spec->day_match);
    put_u32(out, spec->max_concurrent);
    put_u32(out, spec->catchup_limit);
    put_i64(out, spec->catchup_window_ms);
    put_i64(out, spec->timeout_ms);
    put_i64(out, spec->anchor_ms);
    put_retry(out, &spec->retry);
    put_string(out, spec->name);
    put_string(out, spec->executor);
    put_string(out, spec->timezone);
    put_u8(out, (uint8_t)spec->schedule_count);
    for (uint32_t i = 0; i < spec->schedule_count; i++)
        put_blob(out, spec->schedules[i], strlen(spec->schedules[i]) + 1);
    put_u8(out, (uint8_t)spec->placement);
    put_u8(out, (uint8_t)spec->node_tag_count);
    for (uint32_t i = 0; i < spec->node_tag_count; i++)
        put_blob(out, spec->node_tags[i], strlen(spec->node_tags[i]) + 1);
}

/* With its NUL, so that the decoded pointer is a C string inside the row. */
static const char *take_text(struct reader *r, size_t size_max)
{
    struct bytes text = take_blob(r);
    if (!r->failed && text.size >= 1 && text.size <= size_max &&
        memchr(text.data, '\0', text.size) == (const char *)text.data + text.size - 1)
        return text.data;
    r->failed = true;
    return "";
}

static const char *take_tag(struct reader *r)
{
    const char *tag = take_text(r, NODE_TAG_TEXT_SIZE);
    r->failed = r->failed || strchr(tag, '=') == NULL;
    return tag;
}

enum status job_spec_decode(uint64_t serial, struct bytes row, struct job_spec *ret, struct error *err)
{
    struct reader r = reader_of(row.data, row.size);
    enum status status = row_open(&r, "sched", err);
    if (status)
        return status;
    struct job_spec spec = {.serial = serial};
    spec.id = take_id(&r);
    spec.version = take_u32(&r);
    spec.enabled = take_bool(&r);
    spec.concurrency = (enum concurrency)take_enum(&r, CONCURRENCY_COUNT);
    spec.missed_policy = (enum missed_policy)take_enum(&r, MISSED_POLICY_COUNT);
    spec.on_node_loss = (enum node_loss_policy)take_enum(&r, NODE_LOSS_COUNT);
    spec.dst_gap = take_u8(&r);
    spec.dst_overlap = take_u8(&r);
    spec.day_match = take_u8(&r);
    spec.max_concurrent = take_u32(&r);
    spec.catchup_limit = take_u32(&r);
    spec.catchup_window_ms = take_i64(&r);
    spec.timeout_ms = take_i64(&r);
    spec.anchor_ms = take_i64(&r);
    spec.retry = take_retry(&r);
    take_string(&r, spec.name, sizeof spec.name);
    take_string(&r, spec.executor, sizeof spec.executor);
    take_string(&r, spec.timezone, sizeof spec.timezone);
    spec.schedule_count = take_enum(&r, JOB_SCHEDULES_MAX + 1);
    for (uint32_t i = 0; i < spec.schedule_count; i++)
        spec.schedules[i] = take_text(&r, JOB_SCHEDULE_TEXT_MAX + 1);
    spec.placement = (enum placement)take_enum(&r, PLACEMENT_COUNT);
    spec.node_tag_count = take_enum(&r, NODE_TAGS_MAX + 1);
    for (uint32_t i = 0; i < spec.node_tag_count; i++)
        spec.node_tags[i] = take_tag(&r);
    status = row_close(&r, "sched", err);
    if (status)
        return status;
    *ret = spec;
    return STATUS_OK;
}

/* The fixed places of a marks row; two bytes at its end are zero and reserved. */
enum { MARKS_DELETED = 0x80, MARKS_STATUS_MASK = 0x0f };
enum {
    MARKS_AT_FORMAT = 0,
    MARKS_AT_FLAGS = 1,
    MARKS_AT_FAILURES = 2,
    MARKS_AT_ACTIVE = 4,
    MARKS_AT_EXECUTIONS = 8,
    MARKS_AT_WAITING = 12,
    MARKS_AT_MARK = 14,
    MARKS_AT_LAST_RUN = 22,
    MARKS_AT_NEWEST = 30,
    MARKS_AT_WAITING_RUN = 46,
    MARKS_AT_RESERVED = 62,
};
static_assert(MARKS_AT_RESERVED + 2 == JOB_MARKS_SIZE, "64 bytes, all accounted for");
static_assert(RUN_STATUS_COUNT <= MARKS_STATUS_MASK + 1, "a status fits in four bits");

void job_marks_encode(const struct job_marks *marks, uint8_t out[JOB_MARKS_SIZE])
{
    assert(marks->waiting <= UINT16_MAX); /* JOB_WAITING_MAX and the one of `replace` */
    out[MARKS_AT_FORMAT] = ROW_FORMAT;
    out[MARKS_AT_FLAGS] = (uint8_t)((marks->deleted ? MARKS_DELETED : 0) | marks->last_status);
    store_le16(out + MARKS_AT_FAILURES, marks->failures);
    store_le32(out + MARKS_AT_ACTIVE, marks->active);
    store_le32(out + MARKS_AT_EXECUTIONS, marks->executions);
    store_le16(out + MARKS_AT_WAITING, (uint16_t)marks->waiting);
    store_le64(out + MARKS_AT_MARK, (uint64_t)marks->mark_ms);
    store_le64(out + MARKS_AT_LAST_RUN, (uint64_t)marks->last_run_ms);
    memcpy(out + MARKS_AT_NEWEST, marks->newest.bytes, ID_SIZE);
    memcpy(out + MARKS_AT_WAITING_RUN, marks->waiting_run.bytes, ID_SIZE);
    store_le16(out + MARKS_AT_RESERVED, 0);
}

enum status job_marks_decode(struct bytes row, struct job_marks *ret, struct error *err)
{
    struct reader r = reader_of(row.data, row.size);
    enum status status = row_open(&r, "marks", err);
    if (status)
        return status;
    if (row.size != JOB_MARKS_SIZE)
        return error_set(err, STATUS_CORRUPT, "a row of marks has %zu bytes instead of %d", row.size, JOB_MARKS_SIZE);
    const uint8_t *at = row.data;
    uint8_t flags = at[MARKS_AT_FLAGS];
    struct job_marks marks = {
        .deleted = flags & MARKS_DELETED,
        .last_status = (enum run_status)(flags & MARKS_STATUS_MASK),
        .failures = load_le16(at + MARKS_AT_FAILURES),
        .active = load_le32(at + MARKS_AT_ACTIVE),
        .waiting = load_le16(at + MARKS_AT_WAITING),
        .executions = load_le32(at + MARKS_AT_EXECUTIONS),
        .mark_ms = (int64_t)load_le64(at + MARKS_AT_MARK),
        .last_run_ms = (int64_t)load_le64(at + MARKS_AT_LAST_RUN),
    };
    memcpy(marks.newest.bytes, at + MARKS_AT_NEWEST, ID_SIZE);
    memcpy(marks.waiting_run.bytes, at + MARKS_AT_WAITING_RUN, ID_SIZE);
    bool possible = (flags & ~(MARKS_DELETED | MARKS_STATUS_MASK)) == 0 && marks.last_status < RUN_STATUS_COUNT &&
                    marks.waiting <= marks.active && load_le16(at + MARKS_AT_RESERVED) == 0;
    if (!possible)
        return error_set(err, STATUS_CORRUPT, "a row of marks is damaged: it holds an impossible value");
    *ret = marks;
    return STATUS_OK;
}

void job_row_encode(const struct job_row *row, struct buffer *out)
{
    put_u8(out, ROW_FORMAT);
    put_u64(out, row->serial);
    put_u32(out, row->version);
    put_u8(out, row->enabled);
    put_i64(out, row->created_ms);
    put_i64(out, row->updated_ms);
    put_blob(out, row->document.data, row->document.size);
}

enum status job_row_decode(struct bytes bytes, struct job_row *ret, struct error *err)
{
    struct reader r = reader_of(bytes.data, bytes.size);
    enum status status = row_open(&r, "jobs", err);
    if (status)
        return status;
    struct job_row row;
    row.serial = take_u64(&r);
    row.version = take_u32(&r);
    row.enabled = take_bool(&r);
    row.created_ms = take_i64(&r);
    row.updated_ms = take_i64(&r);
    row.document = take_blob(&r);
    status = row_close(&r, "jobs", err);
    if (status)
        return status;
    *ret = row;
    return STATUS_OK;
}
