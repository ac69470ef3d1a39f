/* JOB_PUT, JOB_DELETE, JOB_ENABLE: what they do, what they refuse. */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

#include "base/codec.h"

static struct decision no_slots(uint64_t serial, uint32_t version, int64_t from, int64_t to)
{
    return (struct decision){.serial = serial, .job_version = version, .from_mark_ms = from, .to_mark_ms = to};
}

static void create_and_read(void **state)
{
    struct fixture *f = *state;
    struct state_view view;
    struct job_spec spec = spec_named("a job"), kept;
    struct job_row row;
    struct id id, found;
    uint64_t serial = create_job(f, &spec, &id);
    assert_int_equal(serial, 1);
    assert_int_equal(marks_of(f, serial).mark_ms, START_MS);
    OK(state_view_begin(f->state, &view, &failure));
    OK(state_find_job(&view, "a job", 5, &found, &failure));
    assert_memory_equal(found.bytes, id.bytes, sizeof id.bytes);
    assert_int_equal(state_find_job(&view, "none", 4, &found, &failure), STATUS_NOT_FOUND);
    assert_int_equal(state_find_job(&view, "", 0, &found, &failure), STATUS_NOT_FOUND);
    OK(state_get_job(&view, &id, &row, &failure));
    assert_int_equal(row.version, 1);
    assert_int_equal(row.created_ms, START_MS);
    assert_true(row.document.size > 10 && memcmp(row.document.data, "{\"name\"", 7) == 0);
    OK(state_get_spec(&view, serial, &kept, &failure));
    assert_int_equal(kept.anchor_ms, START_MS);
    assert_int_equal(kept.schedule_count, 1);
    assert_string_equal(kept.schedules[0], "* * * * *");
    assert_int_equal(state_count_jobs(&view), 1);
    state_view_end(&view);
}

static void create_refusals(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("taken"), empty = spec_named("");
    struct id id, other = fixture_id(f);
    (void)create_job(f, &spec, &id);
    assert_int_equal(put_job(f, &spec, &other, 0, false, NULL).status, STATUS_NAME_TAKEN);
    assert_int_equal(f->changes.count, 0);
    struct job_spec fresh = spec_named("fresh");
    assert_int_equal(put_job(f, &fresh, &id, 0, false, NULL).status, STATUS_EXISTS);
    assert_int_equal(put_job(f, &empty, &other, 0, false, NULL).status, STATUS_INVALID);
    assert_int_equal(put_job(f, &fresh, &other, 1, false, NULL).status, STATUS_NOT_FOUND);
    assert_int_equal(count_rows(f, STATE_JOBS), 1);
}

static void document_limit(void **state)
{
    struct fixture *f = *state;
    static char document[JOB_DOCUMENT_MAX + 1];
    memset(document, ' ', sizeof document);
    struct job_put put = {.id = fixture_id(f), .spec = spec_named("big"), .document = {document, sizeof document}};
    struct buffer command = command_buffer();
    job_put_encode(&put, &command);
    assert_int_equal(fixture_apply(f, &command).status, STATUS_TOO_LARGE);
    put.document.size--;
    command = command_buffer();
    job_put_encode(&put, &command);
    assert_int_equal(fixture_apply(f, &command).status, STATUS_OK);
}

static void jobs_limit(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("one too many");
    struct id id = fixture_id(f);
    uint8_t nearly_full[8];
    store_le64(nearly_full, JOBS_MAX - 1);
    put_raw(f, "meta", "jobs_count", 10, nearly_full, sizeof nearly_full);
    fixture_reopen(f);
    f->unchecked = true; /* the counter lies */
    struct job_spec last = spec_named("the last one");
    struct id last_id = fixture_id(f);
    assert_int_equal(put_job(f, &last, &last_id, 0, false, NULL).status, STATUS_OK);
    assert_int_equal(put_job(f, &spec, &id, 0, false, NULL).status, STATUS_TOO_MANY);
    assert_int_equal(put_job(f, &last, &last_id, 1, false, NULL).status, STATUS_OK); /* what is there can be edited */
    assert_int_equal(delete_job(f, &last_id, false, NULL).status, STATUS_OK);
    assert_int_equal(put_job(f, &spec, &id, 0, false, NULL).status, STATUS_OK); /* and makes room when it goes */
}

static void replace_and_rename(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("old"), other = spec_named("other");
    struct id id, found;
    uint64_t serial = create_job(f, &spec, &id);
    (void)create_job(f, &other, NULL);
    f->now_ms += 1000;
    assert_int_equal(put_job(f, &spec, &id, 2, false, NULL).status, STATUS_VERSION_MISMATCH);
    struct job_spec clash = spec_named("other");
    assert_int_equal(put_job(f, &clash, &id, 1, false, NULL).status, STATUS_NAME_TAKEN);
    struct job_spec renamed = spec_named("new");
    struct apply_result result = put_job(f, &renamed, &id, 1, false, NULL);
    assert_int_equal(result.status, STATUS_OK);
    assert_int_equal(result.version, 2);
    assert_int_equal(marks_of(f, serial).mark_ms, START_MS); /* the schedule is the same: nothing moves */
    assert_int_equal(spec_of(f, serial).anchor_ms, START_MS);
    struct state_view view;
    struct bytes document;
    OK(state_view_begin(f->state, &view, &failure));
    assert_int_equal(state_find_job(&view, "old", 3, &found, &failure), STATUS_NOT_FOUND);
    OK(state_find_job(&view, "new", 3, &found, &failure));
    OK(state_get_version(&view, serial, 1, &document, &failure));
    OK(state_get_version(&view, serial, 2, &document, &failure));
    assert_int_equal(state_get_version(&view, serial, 3, &document, &failure), STATUS_NOT_FOUND);
    state_view_end(&view);
    struct job_spec again = spec_named("old");
    (void)create_job(f, &again, NULL); /* the old name is free at once */
}

static void mark_follows_the_edit(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("edited");
    struct id id;
    uint64_t serial = create_job(f, &spec, &id);
    f->now_ms += 60000;
    assert_int_equal(put_job(f, &spec, &id, 1, true, NULL).status, STATUS_OK);
    assert_int_equal(marks_of(f, serial).mark_ms, f->now_ms);
    spec.enabled = false;
    assert_int_equal(put_job(f, &spec, &id, 2, false, NULL).status, STATUS_OK);
    f->now_ms += 60000;
    spec.enabled = true; /* newly enabled: never retroactive, even if the proposer did not ask */
    assert_int_equal(put_job(f, &spec, &id, 3, false, NULL).status, STATUS_OK);
    assert_int_equal(marks_of(f, serial).mark_ms, f->now_ms);
}

/* docs/adr 0009. Up to MARK_AHEAD_MENDED_MS ahead it may have been decided in time; beyond, a clock was wrong. */
static void mark_far_ahead_is_mended(void **state)
{
    struct fixture *f = *state;
    for (int64_t extra = 0; extra <= 1; extra++) {
        struct job_spec spec = spec_named(extra ? "far ahead" : "ahead");
        struct id id;
        uint64_t serial = create_job(f, &spec, &id);
        int64_t ahead = f->now_ms + MARK_AHEAD_MENDED_MS + extra;
        struct decision decision = no_slots(serial, 1, f->now_ms, ahead);
        assert_int_equal(decide(f, &decision, NULL).status, STATUS_OK);
        assert_int_equal(put_job(f, &spec, &id, 1, false, NULL).status, STATUS_OK);
        assert_int_equal(marks_of(f, serial).mark_ms, ahead); /* nothing was asked of it */
        assert_int_equal(put_job(f, &spec, &id, 2, true, NULL).status, STATUS_OK);
        assert_int_equal(marks_of(f, serial).mark_ms, extra ? f->now_ms : ahead);
    }
}

/* @every does not count from a stamp of years ahead: it would not come due until then. */
static void stamp_far_ahead_is_no_anchor(void **state)
{
    struct fixture *f = *state;
    for (int64_t extra = 0; extra <= 1; extra++) {
        struct job_spec spec = spec_named(extra ? "far ahead" : "ahead");
        struct id id;
        int64_t wall_ms = f->now_ms - MARK_AHEAD_MENDED_MS - extra, sound = extra ? wall_ms : f->now_ms;
        f->mark_ms = wall_ms;
        assert_int_equal(spec_of(f, create_job(f, &spec, &id)).anchor_ms, sound);
        /* of one that was created while the clock was wrong: by an edit of its schedule, by disabling and enabling */
        f->mark_ms = 0;
        (void)snprintf(spec.name, sizeof spec.name, "of then %d", (int)extra);
        uint64_t serial = create_job(f, &spec, &id);
        f->mark_ms = wall_ms;
        assert_int_equal(put_job(f, &spec, &id, 1, false, NULL).status, STATUS_OK);
        assert_int_equal(spec_of(f, serial).anchor_ms, f->now_ms);
        assert_int_equal(put_job(f, &spec, &id, 2, true, NULL).status, STATUS_OK);
        assert_int_equal(spec_of(f, serial).anchor_ms, sound);
        f->mark_ms = 0;
        (void)snprintf(spec.name, sizeof spec.name, "switched %d", (int)extra);
        serial = create_job(f, &spec, &id);
        f->mark_ms = wall_ms;
        assert_int_equal(enable_job(f, &id, false, NULL).status, STATUS_OK);
        assert_int_equal(spec_of(f, serial).anchor_ms, f->now_ms);
        assert_int_equal(enable_job(f, &id, true, NULL).status, STATUS_OK);
        assert_int_equal(spec_of(f, serial).anchor_ms, sound);
        f->mark_ms = 0;
    }
}

/* What no sound node proposes is applied all the same, and does not overflow. */
static void marks_at_the_ends_of_time(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("at the ends");
    struct id id;
    f->mark_ms = INT64_MIN;
    uint64_t serial = create_job(f, &spec, &id);
    assert_int_equal(marks_of(f, serial).mark_ms, INT64_MIN);
    f->mark_ms = INT64_MAX;
    assert_int_equal(put_job(f, &spec, &id, 1, true, NULL).status, STATUS_OK);
    assert_int_equal(marks_of(f, serial).mark_ms, INT64_MAX);
    f->mark_ms = INT64_MIN;
    assert_int_equal(put_job(f, &spec, &id, 2, true, NULL).status, STATUS_OK);
    assert_int_equal(marks_of(f, serial).mark_ms, INT64_MIN);
    f->mark_ms = 0;
}

static void edit_with_due_slots(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("due");
    struct id id;
    uint64_t serial = create_job(f, &spec, &id);
    struct decided_slot slot = {.execution = fixture_id(f), .scheduled_ms = START_MS + 50, .trigger = TRIGGER_SCHEDULE,
                                .node = NODE_NONE, .reason = REASON_CAPACITY};
    struct decision due = no_slots(serial, 1, START_MS + 1, START_MS + 60);
    due.slot_count = 1;
    due.slots = &slot;
    f->now_ms += 100;
    assert_int_equal(put_job(f, &spec, &id, 1, true, &due).status, STATUS_STALE); /* another mark: all of it is void */
    assert_int_equal(spec_of(f, serial).version, 1);
    assert_int_equal(count_rows(f, STATE_OPEN), 0);
    due.from_mark_ms = START_MS;
    assert_int_equal(put_job(f, &spec, &id, 1, true, &due).status, STATUS_OK);
    struct open_run run = need_open_run(f, &slot.execution);
    assert_int_equal(run.job_version, 1); /* decided under the old version */
    assert_int_equal(run.phase, PHASE_READY);
    assert_int_equal(run.reason, REASON_CAPACITY);
    assert_int_equal(marks_of(f, serial).mark_ms, f->now_ms);
    due = no_slots(serial, 2, f->now_ms, f->now_ms + 7);
    assert_int_equal(put_job(f, &spec, &id, 2, false, &due).status, STATUS_OK);
    assert_int_equal(marks_of(f, serial).mark_ms, f->now_ms + 7);
}

static void versions_are_pruned_but_not_used_ones(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("much edited");
    struct id id, execution;
    uint64_t serial = create_job(f, &spec, &id);
    assert_int_equal(put_job(f, &spec, &id, 1, false, NULL).status, STATUS_OK);
    assert_int_equal(trigger(f, &id, false, NULL, &execution).status, STATUS_OK); /* of version 2 */
    for (uint32_t version = 2; version < 30; version++)
        assert_int_equal(put_job(f, &spec, &id, version, false, NULL).status, STATUS_OK);
    assert_int_equal(count_rows(f, STATE_VERSIONS), JOB_VERSIONS_KEPT);
    struct state_view view;
    struct bytes document;
    OK(state_view_begin(f->state, &view, &failure));
    assert_int_equal(state_get_version(&view, serial, 1, &document, &failure), STATUS_NOT_FOUND);
    OK(state_get_version(&view, serial, 2, &document, &failure));
    assert_int_equal(state_get_version(&view, serial, 10, &document, &failure), STATUS_NOT_FOUND);
    OK(state_get_version(&view, serial, 29, &document, &failure));
    state_view_end(&view);
    assert_int_equal(cancel(f, &execution, REASON_USER).status, STATUS_OK);
    assert_int_equal(put_job(f, &spec, &id, 30, false, NULL).status, STATUS_OK);
    OK(state_view_begin(f->state, &view, &failure));
    assert_int_equal(state_get_version(&view, serial, 2, &document, &failure), STATUS_NOT_FOUND);
    state_view_end(&view);
}

static void delete_ends_what_waits(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("leaving");
    struct id id, running, ready, gone = fixture_id(f);
    spec.concurrency = CONCURRENCY_ALLOW;
    uint64_t serial = create_job(f, &spec, &id);
    struct placement_node node = node_up(f, "n1", 11);
    assert_int_equal(trigger(f, &id, false, &node, &running).status, STATUS_OK);
    assert_int_equal(trigger(f, &id, false, NULL, &ready).status, STATUS_OK);
    assert_int_equal(delete_job(f, &gone, false, NULL).status, STATUS_NOT_FOUND);
    assert_int_equal(delete_job(f, &id, false, NULL).status, STATUS_OK);
    assert_int_equal(count_changes(f, CHANGE_JOB_DELETED), 1);
    assert_ended(f, &ready, RUN_CANCELLED, "job_deleted");
    assert_int_equal(need_open_run(f, &running).cancel, REASON_NONE);
    assert_true(marks_of(f, serial).deleted);
    assert_int_equal(count_rows(f, STATE_VERSIONS), 1); /* what goes on needs its document */
    struct id nothing;
    assert_int_equal(trigger(f, &id, false, NULL, &nothing).status, STATUS_NOT_FOUND);
    struct job_spec again = spec_named("leaving");
    assert_int_equal(create_job(f, &again, NULL), serial + 1); /* the name is free, the serial is not given again */
    assert_int_equal(finish(f, &running, RUN_FAILED).status, STATUS_OK);
    assert_ended(f, &running, RUN_FAILED, ""); /* never retried */
    assert_false(has_marks(f, serial));
    assert_int_equal(count_rows(f, STATE_VERSIONS), 0);
}

static void delete_and_cancel(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("leaving now");
    struct id id, running;
    uint64_t serial = create_job(f, &spec, &id);
    struct placement_node node = node_up(f, "n1", 11);
    assert_int_equal(trigger(f, &id, false, &node, &running).status, STATUS_OK);
    assert_int_equal(delete_job(f, &id, true, NULL).status, STATUS_OK);
    assert_int_equal(need_open_run(f, &running).cancel, REASON_JOB_DELETED);
    struct run_report item = report_of(f, &running, REPORT_RELEASED);
    assert_int_equal(report(f, &item).status, STATUS_OK);
    assert_ended(f, &running, RUN_CANCELLED, "job_deleted");
    assert_false(has_marks(f, serial));
}

static void delete_with_version_and_due(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("careful");
    struct id id;
    uint64_t serial = create_job(f, &spec, &id);
    struct job_delete item = {.id = id, .expected_version = 9};
    struct buffer command = command_buffer();
    job_delete_encode(&item, &command);
    assert_int_equal(fixture_apply(f, &command).status, STATUS_VERSION_MISMATCH);
    struct decided_slot slot = {.execution = fixture_id(f), .scheduled_ms = START_MS, .node = NODE_NONE};
    struct decision due = no_slots(serial, 1, START_MS - 1, START_MS);
    due.slot_count = 1;
    due.slots = &slot;
    assert_int_equal(delete_job(f, &id, false, &due).status, STATUS_STALE);
    due.from_mark_ms = START_MS;
    assert_int_equal(delete_job(f, &id, false, &due).status, STATUS_OK);
    assert_ended(f, &slot.execution, RUN_CANCELLED, "job_deleted"); /* explained, not lost */
    assert_false(has_marks(f, serial));
}

static void enable_and_disable(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("switched");
    struct id id, gone = fixture_id(f);
    uint64_t serial = create_job(f, &spec, &id);
    assert_int_equal(enable_job(f, &gone, true, NULL).status, STATUS_NOT_FOUND);
    f->now_ms += 1000;
    struct apply_result result = enable_job(f, &id, true, NULL);
    assert_int_equal(result.status, STATUS_OK);
    assert_int_equal(result.version, 1); /* nothing to do */
    assert_int_equal(f->changes.count, 0);
    assert_int_equal(marks_of(f, serial).mark_ms, START_MS);
    struct decision due = no_slots(serial, 1, START_MS, START_MS + 500);
    result = enable_job(f, &id, false, &due);
    assert_int_equal(result.version, 2);
    assert_false(spec_of(f, serial).enabled);
    assert_int_equal(marks_of(f, serial).mark_ms, START_MS + 500);
    f->now_ms += 1000;
    result = enable_job(f, &id, true, NULL);
    assert_int_equal(result.version, 3);
    assert_true(spec_of(f, serial).enabled);
    assert_int_equal(marks_of(f, serial).mark_ms, f->now_ms); /* disabled time is not missed */
    struct state_view view;
    struct job_spec kept;
    OK(state_view_begin(f->state, &view, &failure));
    OK(state_get_spec(&view, serial, &kept, &failure));
    assert_string_equal(kept.schedules[0], "* * * * *"); /* borrowed rows were copied in time */
    state_view_end(&view);
    due = no_slots(serial, 2, 0, 1);
    assert_int_equal(enable_job(f, &id, false, &due).status, STATUS_STALE);
    assert_true(spec_of(f, serial).enabled);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
        T(create_and_read), T(create_refusals), T(document_limit), T(jobs_limit), T(replace_and_rename),
        T(mark_follows_the_edit), T(mark_far_ahead_is_mended), T(edit_with_due_slots), T(versions_are_pruned_but_not_used_ones),
        T(stamp_far_ahead_is_no_anchor), T(marks_at_the_ends_of_time), T(delete_ends_what_waits), T(delete_and_cancel),
        T(delete_with_version_and_due), T(enable_and_disable),
    };
    return RUN_ON_BACKENDS("jobs", tests);
}
