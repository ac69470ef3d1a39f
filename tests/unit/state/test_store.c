/* Opening, position, damage, space: what concerns the store rather than any one command. */
#include "fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/codec.h"
#include "state/level.h"

static void reopening_goes_on(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job"), other = spec_named("other");
    assert_int_equal(state_applied(f->state).index, 0);
    assert_int_equal(state_last_stamp(f->state), 0);
    assert_int_equal(create_job(f, &spec, NULL), 1);
    uint64_t hash = fixture_hash(f);
    fixture_reopen(f);
    assert_true(hash == fixture_hash(f));
    assert_int_equal(state_applied(f->state).index, 1);
    assert_int_equal(state_applied(f->state).term, 1);
    assert_int_equal(state_last_stamp(f->state), START_MS);
    assert_int_equal(create_job(f, &other, NULL), 2);
    OK(state_sync(f->state, &failure));
}

static void time_never_goes_back(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job");
    struct buffer command = command_buffer();
    noop_encode(&command);
    assert_int_equal(fixture_apply(f, &command).status, STATUS_OK);
    f->now_ms -= 5000;
    uint64_t serial = create_job(f, &spec, NULL);
    assert_int_equal(marks_of(f, serial).mark_ms, START_MS);
    assert_int_equal(state_last_stamp(f->state), START_MS);
}

static enum status reopen_status(struct fixture *f, struct error *err)
{
    struct state *state;
    fixture_close_state(f);
    f->store = fixture_store(f);
    enum status status = state_new(f->store, &state, err);
    assert_int_not_equal(status, STATUS_OK);
    return status;
}

static void a_newer_format(void **state)
{
    struct fixture *f = *state;
    struct error err;
    put_raw(f, "meta", "format", 6, "\x02\0\0\0", 4);
    assert_int_equal(reopen_status(f, &err), STATUS_NOT_IMPLEMENTED);
    assert_non_null(strstr(err.message, "written by a newer version of Chronos (format 2, this one knows 1)"));
    put_raw(f, "meta", "format", 6, "\x01\0\0", 3);
    assert_int_equal(reopen_status(f, &err), STATUS_CORRUPT);
    put_raw(f, "meta", "format", 6, "\x01\0\0\0", 4);
    put_raw(f, "meta", "applied", 7, "short", 5);
    assert_int_equal(reopen_status(f, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.message, "applied"));
}

static void damage_is_named(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job");
    struct error err = {.message = ""};
    uint64_t serial = create_job(f, &spec, NULL);
    static const uint8_t key[8] = {0, 0, 0, 0, 0, 0, 0, 1};
    put_raw(f, "marks", key, sizeof key, "\x01xx", 3);
    struct decision decision = {.serial = serial, .job_version = 1, .from_mark_ms = START_MS,
                                .to_mark_ms = START_MS + 1};
    struct buffer command = command_buffer();
    struct decide_builder builder;
    decide_begin(&builder, &command, NULL, 0);
    decide_add(&builder, &decision);
    decide_end(&builder);
    f->unchecked = true;
    assert_int_equal(fixture_apply_fatal(f, &command, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.message, "table marks, key 0000000000000001"));
    assert_non_null(strstr(err.message, "apply entry 2"));
    struct state_view view;
    struct job_marks marks;
    OK(state_view_begin(f->state, &view, &failure));
    assert_int_equal(state_get_marks(&view, serial, &marks, &err), STATUS_CORRUPT);
    state_view_end(&view);
}

static void damaged_open_row(void **state)
{
    struct fixture *f = *state;
    struct error err = {.message = ""};
    struct id execution = fixture_id(f);
    put_raw(f, "open", execution.bytes, sizeof execution.bytes, "\x02", 1);
    f->unchecked = true;
    struct cancel_run item = {execution, REASON_USER};
    struct buffer command = command_buffer();
    cancel_encode(&item, 1, &command);
    assert_int_equal(fixture_apply_fatal(f, &command, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.message, "table open"));
    assert_non_null(strstr(err.message, "newer version"));
}

static void unknown_commands_stop_the_node(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct buffer command = command_buffer();
    noop_encode(&command);
    command.data[0] = 99;
    assert_int_equal(fixture_apply_fatal(f, &command, &err), STATUS_NOT_IMPLEMENTED);
    command = command_buffer();
    noop_encode(&command);
    command.data[1] = 2;
    assert_int_equal(fixture_apply_fatal(f, &command, &err), STATUS_NOT_IMPLEMENTED);
    command = command_buffer();
    noop_encode(&command);
    command.data[2] = 1;
    assert_int_equal(fixture_apply_fatal(f, &command, &err), STATUS_CORRUPT);
    command = command_buffer();
    noop_encode(&command);
    put_u8(&command, 0);
    assert_int_equal(fixture_apply_fatal(f, &command, &err), STATUS_CORRUPT);
}

static struct apply_result apply_level(struct fixture *f, uint32_t level)
{
    struct buffer command = command_buffer();
    feature_level_encode(level, &command);
    return fixture_apply(f, &command);
}

static uint32_t level_of(struct fixture *f)
{
    struct state_view view;
    uint32_t level = 0;
    OK(state_view_begin(f->state, &view, &failure));
    OK(state_get_feature_level(&view, &level, &failure));
    state_view_end(&view);
    return level;
}

static struct apply_result apply_drain_of(struct fixture *f, uint64_t node, bool is_leaving)
{
    struct buffer command = command_buffer();
    drain_encode(&(struct drain){node, is_leaving}, &command);
    return fixture_apply(f, &command);
}

static uint32_t draining(struct fixture *f, uint64_t ret[COMMAND_NODES_MAX])
{
    struct state_view view;
    uint32_t count = UINT32_MAX;
    OK(state_view_begin(f->state, &view, &failure));
    OK(state_get_draining(&view, ret, &count, &failure));
    state_view_end(&view);
    return count;
}

static void nodes_that_leave_are_a_set(void **state)
{
    struct fixture *f = *state;
    uint64_t nodes[COMMAND_NODES_MAX];
    assert_int_equal(draining(f, nodes), 0);
    assert_int_equal(apply_drain_of(f, 7, false).status, STATUS_OK); /* it was none of them */
    assert_int_equal(draining(f, nodes), 0);
    assert_int_equal(apply_drain_of(f, 7, true).status, STATUS_OK);
    assert_int_equal(apply_drain_of(f, 7, true).status, STATUS_OK);
    assert_int_equal(apply_drain_of(f, UINT64_MAX, true).status, STATUS_OK);
    fixture_reopen(f);
    assert_int_equal(draining(f, nodes), 2);
    assert_true(nodes[0] == 7 && nodes[1] == UINT64_MAX);
    assert_int_equal(apply_drain_of(f, 7, false).status, STATUS_OK);
    assert_int_equal(draining(f, nodes), 1);
    assert_true(nodes[0] == UINT64_MAX);
    for (uint64_t node = 1; node < COMMAND_NODES_MAX; node++)
        assert_int_equal(apply_drain_of(f, node, true).status, STATUS_OK);
    assert_int_equal(draining(f, nodes), COMMAND_NODES_MAX);
    assert_int_equal(apply_drain_of(f, 99, true).status, STATUS_TOO_MANY);
    assert_int_equal(apply_drain_of(f, 3, true).status, STATUS_OK);
    assert_int_equal(apply_drain_of(f, 3, false).status, STATUS_OK);
    assert_int_equal(apply_drain_of(f, 99, true).status, STATUS_OK);
    assert_int_equal(draining(f, nodes), COMMAND_NODES_MAX);
}

static void no_node_has_number_zero(void **state)
{
    struct fixture *f = *state;
    struct buffer command = command_buffer();
    struct error err;
    drain_encode(&(struct drain){0, true}, &command);
    assert_int_equal(fixture_apply_fatal(f, &command, &err), STATUS_CORRUPT);
}

static int claim_level(const char *level)
{
    return setenv("CHRONOS_TEST_FEATURE_LEVEL", level, 1);
}

static void the_feature_level_only_rises(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(feature_level_known(), FEATURE_LEVEL);
    assert_int_equal(claim_level("5"), 0);
    assert_int_equal(level_of(f), 1);
    assert_int_equal(apply_level(f, 3).status, STATUS_OK);
    assert_int_equal(level_of(f), 3);
    fixture_reopen(f);
    assert_int_equal(level_of(f), 3);
    assert_int_equal(apply_level(f, 3).status, STATUS_STALE);
    assert_int_equal(apply_level(f, 2).status, STATUS_STALE);
    assert_int_equal(level_of(f), 3);
    assert_int_equal(apply_level(f, 5).status, STATUS_OK);
    assert_int_equal(level_of(f), 5);
    assert_int_equal(unsetenv("CHRONOS_TEST_FEATURE_LEVEL"), 0);
}

static void a_level_that_is_not_known_stops_the_node(void **state)
{
    struct fixture *f = *state;
    struct buffer command = command_buffer();
    struct error err;
    feature_level_encode(3, &command);
    assert_int_equal(claim_level("2"), 0);
    assert_int_equal(fixture_apply_fatal(f, &command, &err), STATUS_NOT_IMPLEMENTED);
    assert_non_null(strstr(err.message, "the cluster is at feature level 3"));
    assert_non_null(strstr(err.message, "knows 2: install that of the other nodes"));
    command = command_buffer();
    feature_level_encode(2, &command);
    put_u8(&command, 0);
    assert_int_equal(fixture_apply_fatal(f, &command, &err), STATUS_CORRUPT);
    assert_int_equal(level_of(f), 1);
    assert_int_equal(unsetenv("CHRONOS_TEST_FEATURE_LEVEL"), 0);
}

static void a_state_of_a_level_that_is_not_known(void **state)
{
    struct fixture *f = *state;
    struct error err;
    assert_int_equal(claim_level("2"), 0);
    assert_int_equal(apply_level(f, 2).status, STATUS_OK);
    assert_int_equal(claim_level("1"), 0);
    assert_int_equal(reopen_status(f, &err), STATUS_NOT_IMPLEMENTED);
    assert_non_null(strstr(err.message, "the cluster is at feature level 2"));
    assert_int_equal(unsetenv("CHRONOS_TEST_FEATURE_LEVEL"), 0);
}

static void a_damaged_level(void **state)
{
    struct fixture *f = *state;
    struct error err;
    f->unchecked = true;
    put_raw(f, "meta", "feature_level", 13, "\0\0\0\0", 4);
    assert_int_equal(reopen_status(f, &err), STATUS_CORRUPT);
}

/* The second entry is damaged: the first one must not stay either. */
static void a_batch_is_one(void **state)
{
    struct fixture *f = *state;
    struct job_put put = {.id = fixture_id(f), .spec = spec_named("job"), .document = {"{}", 2}};
    struct buffer good = command_buffer();
    struct apply_result results[2];
    struct error err;
    uint64_t before = fixture_hash(f);
    job_put_encode(&put, &good);
    struct state_entry entries[2] = {{1, 1, buffer_bytes(&good)}, {2, 1, {"\x63", 1}}};
    state_changes_clear(&f->changes);
    assert_int_equal(state_apply(f->state, entries, 2, results, &f->changes, &err), STATUS_CORRUPT);
    assert_int_equal(f->changes.count, 0);
    assert_int_equal(state_applied(f->state).index, 0);
    assert_true(before == fixture_hash(f));
    OK(state_apply(f->state, entries, 1, results, &f->changes, &failure)); /* and the state is usable */
    assert_int_equal(results[0].status, STATUS_OK);
    buffer_deinit(&good);
}

static void a_full_disk_changes_nothing(void **state)
{
    (void)state;
    struct fixture *f = fixture_open(fixture_backend, 2 << 20);
    static char document[64 * 1024];
    memset(document, ' ', sizeof document);
    uint64_t hash = fixture_hash(f);
    bool full = false;
    for (uint32_t i = 0; i < 200 && !full; i++) {
        struct job_put put = {.id = fixture_id(f), .spec = spec_named(""), .document = {document, sizeof document}};
        struct apply_result result;
        struct error err;
        (void)snprintf(put.spec.name, sizeof put.spec.name, "job %u", (unsigned)i);
        struct buffer command = command_buffer();
        job_put_encode(&put, &command);
        struct state_entry entry = {state_applied(f->state).index + 1, 1, buffer_bytes(&command)};
        state_changes_clear(&f->changes);
        enum status status = state_apply(f->state, &entry, 1, &result, &f->changes, &err);
        buffer_deinit(&command);
        if (status == STATUS_OK) {
            hash = fixture_hash(f);
            continue;
        }
        assert_int_equal(status, STATUS_NO_SPACE);
        assert_int_equal(f->changes.count, 0);
        assert_true(hash == fixture_hash(f));
        full = true;
    }
    assert_true(full);
    struct state_view view;
    OK(state_view_begin(f->state, &view, &failure));
    OK(state_check_invariants(&view, &failure));
    state_view_end(&view);
    fixture_reopen(f);
    assert_true(hash == fixture_hash(f));
    fixture_close(f);
}

/* An entry out of order is a mistake of the caller: the process ends. */
static void entries_out_of_order(void **state)
{
    struct fixture *f = *state;
    pid_t child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0) {
        const struct rlimit none = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &none); /* a core file would only be litter */
        (void)close(STDERR_FILENO); /* the assertion has its say elsewhere */
        (void)signal(SIGABRT, SIG_DFL);
        struct buffer command = command_buffer();
        struct apply_result result;
        struct error err;
        noop_encode(&command);
        struct state_entry entry = {5, 1, buffer_bytes(&command)};
        enum status status = state_apply(f->state, &entry, 1, &result, &f->changes, &err);
        _exit(status ? 2 : 3);
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGABRT);
}

static bool stop_at_second(void *arg, struct bytes key, struct bytes row)
{
    uint64_t *seen = arg;
    (void)row;
    assert_int_equal(key.size, 8);
    *seen = *seen * 10 + load_be64(key.data);
    return *seen < 10;
}

static void walks(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        struct job_spec spec = spec_named(names[i]);
        (void)create_job(f, &spec, NULL);
    }
    static const uint8_t second[8] = {0, 0, 0, 0, 0, 0, 0, 2};
    const struct {
        struct bytes from;
        bool descending;
        uint64_t seen;
    } cases[] = {
        {{NULL, 0}, false, 12}, {{NULL, 0}, true, 32}, {{second, 8}, false, 23}, {{second, 8}, true, 21},
    };
    struct state_view view;
    OK(state_view_begin(f->state, &view, &failure));
    for (uint32_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint64_t seen = 0;
        OK(state_walk_table(&view, STATE_MARKS, cases[i].from, cases[i].descending, stop_at_second, &seen, &failure));
        assert_int_equal(seen, cases[i].seen);
    }
    uint64_t none = 0;
    OK(state_walk_table(&view, STATE_OPEN, (struct bytes){NULL, 0}, false, stop_at_second, &none, &failure));
    assert_int_equal(none, 0);
    state_view_end(&view);
    state_view_end(&view); /* one that is not open */
}

static void a_view_is_a_snapshot(void **state)
{
    struct fixture *f = *state;
    struct job_spec spec = spec_named("job");
    struct state_view view;
    OK(state_view_begin(f->state, &view, &failure));
    (void)create_job(f, &spec, NULL);
    assert_int_equal(view.applied.index, 0);
    assert_int_equal(state_count_jobs(&view), 0);
    state_view_end(&view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
        T(reopening_goes_on), T(time_never_goes_back), T(a_newer_format), T(damage_is_named), T(damaged_open_row),
        T(unknown_commands_stop_the_node), T(nodes_that_leave_are_a_set), T(no_node_has_number_zero), T(the_feature_level_only_rises),
        T(a_level_that_is_not_known_stops_the_node), T(a_state_of_a_level_that_is_not_known), T(a_damaged_level),
        T(a_batch_is_one), cmocka_unit_test(a_full_disk_changes_nothing),
        T(entries_out_of_order), T(walks), T(a_view_is_a_snapshot),
    };
    return RUN_ON_BACKENDS("store", tests);
}
