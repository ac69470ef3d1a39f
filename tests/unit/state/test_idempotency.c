/* Commands with a key: done once, told again, forgotten when their time is over, bounded. */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

#include "base/codec.h"

static const int64_t kept_ms = INT64_C(3600000) * IDEMPOTENCY_KEPT_HOURS;

static struct idempotency key_of(const char *principal, uint32_t key, uint8_t request)
{
    struct idempotency item = {.http_status = 202};
    (void)snprintf(item.principal, sizeof item.principal, "%s", principal);
    store_le32(item.key, key);
    item.request[0] = request;
    return item;
}

static struct apply_result apply_with(struct fixture *f, struct buffer *command, const struct idempotency *key)
{
    command_add_idempotency(command, key);
    return fixture_apply(f, command);
}

static struct apply_result create(struct fixture *f, const char *name, const struct idempotency *key, struct id *ret_id)
{
    struct job_put put = {.id = fixture_id(f), .spec = spec_named(name), .document = {"{}", 2}};
    struct buffer command = command_buffer();
    job_put_encode(&put, &command);
    *ret_id = put.id;
    return apply_with(f, &command, key);
}

static struct apply_result run(struct fixture *f, const struct id *job, const struct idempotency *key, struct id *ret_execution)
{
    struct trigger_run item = {.job = *job, .execution = fixture_id(f), .force = true, .reason = REASON_NO_NODE};
    struct buffer command = command_buffer();
    trigger_run_encode(&item, &command);
    *ret_execution = item.execution;
    return apply_with(f, &command, key);
}

/* The smallest command there is; what it made is nothing. */
static struct apply_result nothing(struct fixture *f, const struct idempotency *key)
{
    struct buffer command = command_buffer();
    noop_encode(&command);
    return apply_with(f, &command, key);
}

static void assert_replayed(const struct apply_result *result, const struct id *id)
{
    assert_int_equal(result->status, STATUS_OK);
    assert_int_equal(result->replayed_status, 202);
    assert_memory_equal(result->id.bytes, id->bytes, sizeof id->bytes);
}

static void done_once(void **state)
{
    struct fixture *f = *state;
    struct idempotency key = key_of("me", 1, 1), other = key_of("me", 2, 1);
    struct id job, ignored, first, second;
    struct apply_result result = create(f, "job", &key, &job);
    assert_int_equal(result.status, STATUS_OK);
    assert_int_equal(result.replayed_status, 0);
    assert_int_equal(result.version, 1);
    result = create(f, "job", &key, &ignored);
    assert_replayed(&result, &job);
    assert_int_equal(f->changes.count, 0);
    assert_int_equal(count_rows(f, STATE_JOBS), 1);
    result = run(f, &job, &other, &first);
    assert_int_equal(result.replayed_status, 0);
    result = run(f, &job, &other, &second);
    assert_replayed(&result, &first);
    assert_int_equal(count_rows(f, STATE_OPEN), 1);
    assert_int_equal(trigger(f, &job, true, NULL, &second).status, STATUS_OK); /* without a key it is another one */
    assert_int_equal(count_rows(f, STATE_OPEN), 2);
}

/* What was made may be gone, the node may have been started anew: what was done was done. */
static void told_again_for_a_day(void **state)
{
    struct fixture *f = *state;
    struct idempotency key = key_of("", 1, 1);
    struct id job, ignored;
    int64_t began_ms = f->now_ms;
    assert_int_equal(create(f, "job", &key, &job).status, STATUS_OK);
    assert_int_equal(delete_job(f, &job, false, NULL).status, STATUS_OK);
    fixture_reopen(f);
    f->now_ms = began_ms + kept_ms - 1;
    struct apply_result result = create(f, "job", &key, &ignored);
    assert_replayed(&result, &job);
    assert_int_equal(count_rows(f, STATE_JOBS), 0);
    f->now_ms = began_ms + kept_ms;
    result = create(f, "job", &key, &ignored);
    assert_int_equal(result.replayed_status, 0);
    assert_int_equal(count_rows(f, STATE_JOBS), 1);
    assert_int_equal(count_rows(f, STATE_IDEMPOTENCY), 1);
    result = create(f, "job", &key, &job);
    assert_replayed(&result, &ignored);
}

static void readers_see_it(void **state)
{
    struct fixture *f = *state;
    struct idempotency key = key_of("me", 1, 9), unknown = key_of("me", 2, 9);
    struct idempotency_row row;
    struct state_view view;
    struct id job;
    assert_int_equal(create(f, "job", &key, &job).status, STATUS_OK);
    OK(state_view_begin(f->state, &view, &failure));
    OK(state_get_idempotency(&view, key.key, &row, &failure));
    assert_string_equal(row.principal, "me");
    assert_int_equal(row.http_status, 202);
    assert_memory_equal(row.resource.bytes, job.bytes, sizeof job.bytes);
    assert_memory_equal(row.request, key.request, sizeof key.request);
    assert_int_equal(row.created_ms, f->now_ms);
    assert_int_equal(state_get_idempotency(&view, unknown.key, &row, &failure), STATUS_NOT_FOUND);
    state_view_end(&view);
    f->now_ms += kept_ms;
    struct buffer command = command_buffer();
    noop_encode(&command);
    (void)fixture_apply(f, &command); /* only the time has gone on: the row is there, and is nobody's any more */
    assert_int_equal(count_rows(f, STATE_IDEMPOTENCY), 1);
    OK(state_view_begin(f->state, &view, &failure));
    assert_int_equal(state_get_idempotency(&view, key.key, &row, &failure), STATUS_NOT_FOUND);
    state_view_end(&view);
}

static void another_request_is_refused(void **state)
{
    struct fixture *f = *state;
    struct idempotency key = key_of("me", 1, 1), reused = key_of("me", 1, 2);
    struct id job, ignored;
    assert_int_equal(create(f, "job", &key, &job).status, STATUS_OK);
    struct apply_result result = create(f, "other", &reused, &ignored);
    assert_int_equal(result.status, STATUS_IDEMPOTENCY_KEY_REUSED);
    assert_int_equal(f->changes.count, 0);
    assert_int_equal(count_rows(f, STATE_JOBS), 1);
    f->now_ms += kept_ms;
    assert_int_equal(create(f, "other", &reused, &ignored).status, STATUS_OK);
}

static void what_is_refused_is_not_kept(void **state)
{
    struct fixture *f = *state;
    struct idempotency key = key_of("me", 1, 1);
    struct id job = fixture_id(f), execution;
    struct job_spec spec = spec_named("job");
    struct buffer command = command_buffer();
    assert_int_equal(run(f, &job, &key, &execution).status, STATUS_NOT_FOUND);
    cancel_encode(&(struct cancel_run){.execution = execution, .reason = REASON_USER}, 1, &command);
    assert_int_equal(apply_with(f, &command, &key).status, STATUS_NOT_FOUND);
    assert_int_equal(count_rows(f, STATE_IDEMPOTENCY), 0);
    (void)create_job(f, &spec, &job);
    struct apply_result result = run(f, &job, &key, &execution);
    assert_int_equal(result.status, STATUS_OK);
    assert_int_equal(result.replayed_status, 0);
    struct idempotency second = key_of("me", 2, 1);
    for (int i = 0; i < 2; i++) { /* a cancelled run cannot be cancelled; that it was is told again */
        command = command_buffer();
        cancel_encode(&(struct cancel_run){.execution = execution, .reason = REASON_USER}, 1, &command);
        result = apply_with(f, &command, &second);
        assert_int_equal(result.status, STATUS_OK);
        assert_int_equal(result.replayed_status, i == 0 ? 0 : 202);
    }
    assert_ended(f, &execution, RUN_CANCELLED, "user");
}

/* --- bounds --- */

static void new_ones_take_old_ones_away(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < IDEMPOTENCY_EXPIRE_MAX + 3; i++) {
        struct idempotency key = key_of(i % 2 ? "one" : "two", i, 0);
        assert_int_equal(nothing(f, &key).status, STATUS_OK);
        f->now_ms += 1000;
    }
    f->now_ms += kept_ms;
    struct idempotency next = key_of("three", 1000, 0), last = key_of("three", 1001, 0);
    assert_int_equal(nothing(f, &next).status, STATUS_OK);
    assert_int_equal(count_rows(f, STATE_IDEMPOTENCY), 4);
    assert_int_equal(nothing(f, &last).status, STATUS_OK);
    assert_int_equal(count_rows(f, STATE_IDEMPOTENCY), 2);
    assert_int_equal(count_rows(f, STATE_IDEMPOTENCY_COUNTS), 1);
}

static struct apply_result sweep(struct fixture *f, const struct id *from)
{
    struct buffer command = command_buffer();
    sweep_encode(&(struct sweep){.from = *from}, &command);
    return fixture_apply(f, &command);
}

/* A pass of the sweeper, which goes on until nothing is left that is over. */
static void sweeps_take_them_in_steps(void **state)
{
    struct fixture *f = *state;
    f->unchecked = true; /* each step checks everything */
    for (uint32_t i = 0; i < 2 * SWEEP_DELETE_MAX + 1; i++) {
        struct idempotency key = key_of("me", i, 0);
        assert_int_equal(nothing(f, &key).status, STATUS_OK);
    }
    f->unchecked = false;
    f->now_ms += kept_ms - 1;
    struct apply_result result = sweep(f, &(struct id){{0}});
    assert_true(id_is_zero(&result.sweep_next));
    assert_int_equal(count_rows(f, STATE_IDEMPOTENCY), 2 * SWEEP_DELETE_MAX + 1);
    f->now_ms++;
    uint32_t steps = 0;
    for (struct id from = {{0}}; steps == 0 || !id_is_zero(&from); from = result.sweep_next, steps++) {
        result = sweep(f, &from);
        if (steps == 0)
            assert_int_equal(count_rows(f, STATE_IDEMPOTENCY), SWEEP_DELETE_MAX + 1);
        assert_true(steps < 4);
        if (id_is_zero(&result.sweep_next))
            break;
    }
    assert_int_equal(count_rows(f, STATE_IDEMPOTENCY), 0);
    assert_int_equal(count_rows(f, STATE_IDEMPOTENCY_COUNTS), 0);
}

static void limit_of_one(void **state)
{
    struct fixture *f = *state;
    struct idempotency first = key_of("me", 1, 0), last = key_of("me", 2, 0), beyond = key_of("me", 3, 0);
    struct idempotency others = key_of("you", 4, 0);
    uint8_t nearly_full[5] = {1};
    assert_int_equal(nothing(f, &first).status, STATUS_OK);
    store_le32(nearly_full + 1, IDEMPOTENCY_ROWS_OF_ONE_MAX - 1);
    put_raw(f, "idempotency_counts", "\2me", 3, nearly_full, sizeof nearly_full);
    f->unchecked = true; /* the counter lies */
    assert_int_equal(nothing(f, &last).status, STATUS_OK);
    assert_int_equal(nothing(f, &beyond).status, STATUS_IDEMPOTENCY_KEYS_FULL);
    assert_int_equal(nothing(f, &others).status, STATUS_OK);
    assert_int_equal(nothing(f, &first).replayed_status, 202); /* what is known needs no room */
    f->now_ms += kept_ms;
    assert_int_equal(nothing(f, &beyond).status, STATUS_OK); /* and old ones make some */
}

static void limit_of_all(void **state)
{
    struct fixture *f = *state;
    struct idempotency first = key_of("me", 1, 0), last = key_of("me", 2, 0), beyond = key_of("you", 3, 0);
    uint8_t nearly_full[8];
    assert_int_equal(nothing(f, &first).status, STATUS_OK);
    store_le64(nearly_full, IDEMPOTENCY_ROWS_MAX - 1);
    put_raw(f, "meta", "idempotency_count", 17, nearly_full, sizeof nearly_full);
    fixture_reopen(f);
    f->unchecked = true; /* the counter lies */
    assert_int_equal(nothing(f, &last).status, STATUS_OK);
    assert_int_equal(nothing(f, &beyond).status, STATUS_IDEMPOTENCY_KEYS_FULL);
    assert_int_equal(nothing(f, &first).replayed_status, 202);
}

/* --- damage --- */

static void cut_short(void **state)
{
    struct fixture *f = *state;
    struct idempotency key = key_of("a principal", 1, 0);
    struct error err;
    struct buffer whole = command_buffer();
    noop_encode(&whole);
    command_add_idempotency(&whole, &key);
    for (size_t size = COMMAND_HEADER_SIZE; size < whole.size; size++) {
        struct buffer command = command_buffer();
        buffer_append(&command, whole.data, size);
        assert_int_equal(fixture_apply_fatal(f, &command, &err), STATUS_CORRUPT);
    }
    whole.data[2] = 2; /* a flag that nobody knows */
    assert_int_equal(fixture_apply_fatal(f, &whole, &err), STATUS_CORRUPT);
}

static void tables_that_do_not_agree(void **state)
{
    struct fixture *f = *state;
    struct idempotency key = key_of("me", 1, 0), next = key_of("me", 2, 0);
    uint8_t listed[40] = {0};
    struct error err;
    f->unchecked = true;
    put_raw(f, "idempotency_by_time", listed, sizeof listed, "\1", 1);
    struct buffer command = command_buffer();
    noop_encode(&command);
    command_add_idempotency(&command, &key);
    assert_int_equal(fixture_apply_fatal(f, &command, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.message, "table idempotency, key 0000"));
    assert_non_null(strstr(err.message, "the row is missing"));
    put_raw(f, "idempotency_by_time", "short", 5, "\1", 1);
    command = command_buffer();
    noop_encode(&command);
    command_add_idempotency(&command, &next);
    assert_int_equal(fixture_apply_fatal(f, &command, &err), STATUS_CORRUPT);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(done_once),
        CASE(told_again_for_a_day),
        CASE(readers_see_it),
        CASE(another_request_is_refused),
        CASE(what_is_refused_is_not_kept),
        CASE(new_ones_take_old_ones_away),
        CASE(sweeps_take_them_in_steps),
        CASE(limit_of_one),
        CASE(limit_of_all),
        CASE(cut_short),
        CASE(tables_that_do_not_agree),
    };
    return RUN_ON_BACKENDS("idempotency", tests);
}
