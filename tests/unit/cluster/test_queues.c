/* Batches of entries, the transactions that they are applied in, and the ring of proposals. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "base/wake.h"
#include "cluster/applier.h"
#include "cluster/entry_batch.h"
#include "cluster/proposals.h"

/* --- batches --- */

static enum status add_entry(struct entry_batch *batch, uint64_t index, uint64_t term, enum log_entry_type type,
                             struct bytes data, struct error *err)
{
    return entry_batch_add(batch, &(struct log_entry){.index = index, .term = term, .type = type, .data = data}, err);
}

static void test_batch_keeps_entries(void **state)
{
    struct entry_batch *batch = NULL;
    (void)state;
    OK(entry_batch_new(&batch, &failure));
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 3000; i++)
            OK(add_entry(batch, i + 1, 2, LOG_ENTRY_NORMAL, (struct bytes){&i, sizeof i}, &failure));
        OK(add_entry(batch, 3001, 2, LOG_ENTRY_NOOP, (struct bytes){NULL, 0}, &failure));
        assert_int_equal(batch->count, 3001);
        for (uint64_t i = 0; i < 3000; i++) {
            struct bytes data = entry_batch_data(batch, (uint32_t)i);
            assert_int_equal(data.size, sizeof i);
            assert_memory_equal(data.data, &i, sizeof i);
            assert_int_equal(batch->items[i].index, i + 1);
        }
        assert_int_equal(entry_batch_data(batch, 3000).size, 0);
        entry_batch_clear(batch); /* gives a burst's memory back, and is as new */
        assert_int_equal(batch->count, 0);
        assert_int_equal(batch->capacity, 0);
    }
    entry_batch_free(batch);
}

static void test_batch_has_a_limit(void **state)
{
    struct entry_batch *batch = NULL;
    struct error err;
    size_t half = PROPOSAL_BYTES_MAX / 2 + 1;
    char *data = calloc(1, half);
    (void)state;
    OK(entry_batch_new(&batch, &failure));
    OK(add_entry(batch, 1, 1, LOG_ENTRY_NORMAL, (struct bytes){data, half}, &failure));
    assert_int_equal(add_entry(batch, 2, 1, LOG_ENTRY_NORMAL, (struct bytes){data, half}, &err), STATUS_OVERLOADED);
    assert_int_equal(batch->count, 1);
    OK(add_entry(batch, 2, 1, LOG_ENTRY_NORMAL, (struct bytes){data, 10}, &failure)); /* what fits still goes in */
    assert_int_equal(batch->items[1].offset, half);
    entry_batch_free(batch);
    free(data);
}

static void test_queue_is_first_in_first_out(void **state)
{
    struct batch_queue queue, other;
    struct entry_batch *batches[5];
    (void)state;
    batch_queue_init(&queue);
    batch_queue_init(&other);
    assert_null(batch_queue_pop(&queue));
    batch_queue_move(&queue, &other); /* nothing into nothing */
    for (int i = 0; i < 5; i++) {
        OK(entry_batch_new(&batches[i], &failure));
        batch_queue_push(i < 2 ? &queue : &other, batches[i]);
    }
    batch_queue_move(&queue, &other);
    assert_null(batch_queue_pop(&other));
    for (int i = 0; i < 4; i++) {
        assert_ptr_equal(batch_queue_pop(&queue), batches[i]);
        entry_batch_free(batches[i]);
    }
    assert_ptr_equal(batch_queue_pop(&queue), batches[4]);
    batch_queue_push(&queue, batches[4]); /* an emptied queue takes more */
    assert_ptr_equal(batch_queue_pop(&queue), batches[4]);
    assert_null(batch_queue_pop(&queue));
    entry_batch_free(batches[4]);
}

/* What is committed leaves the front, what a newer leader replaced leaves the end. */
static void test_batch_is_split_and_shortened(void **state)
{
    struct entry_batch *batch = NULL, *front = NULL;
    (void)state;
    OK(entry_batch_new(&batch, &failure));
    OK(entry_batch_new(&front, &failure));
    for (uint64_t i = 11; i <= 20; i++)
        OK(add_entry(batch, i, 3, LOG_ENTRY_NORMAL, (struct bytes){&i, sizeof i}, &failure));
    OK(entry_batch_split(batch, 4, front, &failure));
    assert_int_equal(entry_batch_first(front), 11);
    assert_int_equal(entry_batch_last(front), 14);
    assert_int_equal(entry_batch_first(batch), 15);
    entry_batch_keep(batch, 3);
    entry_batch_keep(batch, 7); /* more than there are */
    assert_int_equal(entry_batch_last(batch), 17);
    OK(entry_batch_split(batch, 1, front, &failure));
    for (uint32_t i = 0; i < front->count; i++)
        assert_int_equal(*(const uint64_t *)entry_batch_data(front, i).data, 11 + i);
    for (uint32_t i = 0; i < batch->count; i++)
        assert_int_equal(*(const uint64_t *)entry_batch_data(batch, i).data, 16 + i);
    OK(entry_batch_split(batch, 2, front, &failure));
    assert_int_equal(batch->count, 0);
    entry_batch_free(batch);
    entry_batch_free(front);
}

/* --- transactions --- */

struct applying {
    char *folder;
    struct store *store;
    struct state *state;
    struct applier *applier;
    struct wake wake;
    uint64_t index;
};

static void on_applied(void *arg)
{
    struct applying *a = arg;
    wake_lock(&a->wake);
    wake_signal(&a->wake);
    wake_unlock(&a->wake);
}

static void applying_start(struct applying *a)
{
    *a = (struct applying){.folder = folder_new()};
    wake_init(&a->wake);
    a->store = store_of("lmdb", a->folder, CHRONOS_STORAGE_STATE);
    OK(state_new(a->store, &a->state, &failure));
    struct applier_config config = {.state = a->state, .clock = &clock_system, .notify = on_applied, .notify_arg = a};
    OK(applier_start(&config, &a->applier, &failure));
}

static void applying_stop(struct applying *a)
{
    applier_stop(a->applier);
    state_free(a->state);
    store_close(a->store);
    wake_deinit(&a->wake);
    folder_free(a->folder);
}

static void submit(struct applying *a, uint32_t count, struct bytes command)
{
    struct entry_batch *batch = NULL;
    struct batch_queue queue;
    batch_queue_init(&queue);
    OK(entry_batch_new(&batch, &failure));
    for (uint32_t i = 0; i < count; i++)
        OK(add_entry(batch, ++a->index, 1, LOG_ENTRY_NORMAL, command, &failure));
    batch_queue_push(&queue, batch);
    applier_submit(a->applier, &queue);
}

/* Entries of the next transaction. */
static uint32_t next_transaction(struct applying *a)
{
    struct applied_batch *applied;
    wake_lock(&a->wake);
    for (int tries = 0; (applied = applier_take(a->applier)) == NULL; tries++) {
        assert_in_range(tries, 0, 300);
        wake_wait(&a->wake, 100);
    }
    wake_unlock(&a->wake);
    uint32_t count = applied->count;
    applier_recycle(a->applier, applied);
    return count;
}

/* What is submitted at once is applied in transactions of APPLY_ENTRIES_MAX, or of APPLY_BYTES_MAX of commands. */
static void test_transactions_have_limits(void **state)
{
    struct applying a;
    struct buffer command;
    (void)state;
    applying_start(&a);
    job_command(1, 20, &command); /* after the first one it exists already: refused, which is an entry like any */
    submit(&a, APPLY_ENTRIES_MAX + 1, buffer_bytes(&command));
    buffer_deinit(&command);
    assert_int_equal(next_transaction(&a), APPLY_ENTRIES_MAX);
    assert_int_equal(next_transaction(&a), 1);

    enum { FIT = 32 };
    job_command(2, 20, &command);
    size_t head = command.size - 20;
    buffer_deinit(&command);
    for (size_t extra = 0; extra <= 1; extra++) {
        job_command(2 + extra, (uint32_t)(APPLY_BYTES_MAX / FIT - head + extra), &command);
        assert_int_equal(command.size, APPLY_BYTES_MAX / FIT + extra);
        submit(&a, FIT + 1, buffer_bytes(&command));
        buffer_deinit(&command);
        assert_int_equal(next_transaction(&a), extra == 0 ? FIT : FIT - 1);
        assert_int_equal(next_transaction(&a), extra == 0 ? 1 : 2);
    }
    applying_stop(&a);
}

/* --- proposals --- */

enum { TERM = 3 };

struct answers {
    uint64_t count, unknown, lost, next;
    bool in_order;
};

static void on_done(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    struct answers *answers = arg;
    answers->count++;
    answers->unknown += outcome->status == STATUS_OUTCOME_UNKNOWN;
    answers->lost += outcome->status == STATUS_NO_LEADER;
    answers->in_order &= token == answers->next;
    answers->next = token + 1;
    assert_non_null(outcome->message);
}

static void decide(struct proposals *proposals, uint64_t index)
{
    proposals_decide(proposals, &(struct apply_result){.index = index}, TERM);
}

static void add(struct proposals *proposals, struct answers *answers, uint64_t index, uint64_t token, uint64_t deadline_ns)
{
    OK(proposals_room(proposals, index, &failure));
    proposals_add(proposals, (struct raft_log_id){index, TERM}, on_done, answers, token, deadline_ns);
}

static void test_ring_wraps(void **state)
{
    struct proposals *proposals = NULL;
    struct answers answers = {.in_order = true, .next = 100};
    uint64_t added = 100, decided = 100;
    (void)state;
    OK(proposals_new(&proposals, &failure));
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 1777; i++, added++)
            add(proposals, &answers, added, added, 0);
        for (int i = 0; i < 1500; i++)
            decide(proposals, decided++);
        assert_int_equal(proposals_count(proposals), added - decided);
    }
    while (decided < added)
        decide(proposals, decided++);
    assert_int_equal(answers.count, added - 100);
    assert_true(answers.in_order);
    assert_int_equal(proposals_count(proposals), 0);
    proposals_free(proposals);
}

static void test_ring_is_full(void **state)
{
    struct proposals *proposals = NULL;
    struct answers answers = {.in_order = true, .next = 1};
    struct error err;
    (void)state;
    OK(proposals_new(&proposals, &failure));
    decide(proposals, 77); /* before all of them: of nobody */
    for (uint64_t i = 1; i <= PROPOSALS_MAX; i++)
        add(proposals, &answers, i, i, 0);
    assert_int_equal(proposals_room(proposals, PROPOSALS_MAX + 1, &err), STATUS_OVERLOADED);
    decide(proposals, 1);
    add(proposals, &answers, PROPOSALS_MAX + 1, PROPOSALS_MAX + 1, 0);
    assert_int_equal(answers.count, 1);
    proposals_abandon(proposals);
    assert_int_equal(answers.count, PROPOSALS_MAX + 1);
    assert_int_equal(answers.unknown, PROPOSALS_MAX);
    assert_true(answers.in_order);
    assert_int_equal(proposals_count(proposals), 0);
    add(proposals, &answers, 5, 5, 0); /* empty: any index begins it */
    proposals_free(proposals);
    proposals_free(NULL);
}

static void test_deadlines(void **state)
{
    struct proposals *proposals = NULL;
    struct answers answers = {.in_order = true, .next = 1};
    (void)state;
    OK(proposals_new(&proposals, &failure));
    add(proposals, &answers, 1, 1, 1000);
    add(proposals, &answers, 2, 99, 0); /* without one */
    add(proposals, &answers, 3, 2, 2000);
    assert_true(proposals_expire(proposals, 999));
    assert_int_equal(answers.count, 0);
    assert_true(proposals_expire(proposals, 1000));
    assert_int_equal(answers.unknown, 1);
    assert_true(proposals_expire(proposals, 1001)); /* not again */
    assert_int_equal(answers.unknown, 1);
    decide(proposals, 1); /* applied after all: answered already */
    assert_int_equal(answers.count, 1);
    assert_false(proposals_expire(proposals, 5000));
    assert_int_equal(answers.unknown, 2);
    assert_true(answers.in_order);
    assert_int_equal(proposals_count(proposals), 2);
    decide(proposals, 2);
    assert_int_equal(answers.count, 3);
    decide(proposals, 3);
    assert_int_equal(answers.count, 3);
    assert_false(proposals_expire(proposals, 9000));
    proposals_free(proposals);
}

/* Entries of the core lie between; a newer leader's entries take the place of some. */
static void test_ring_with_gaps_and_another_leader(void **state)
{
    struct proposals *proposals = NULL;
    struct answers answers = {.in_order = true, .next = 5};
    (void)state;
    OK(proposals_new(&proposals, &failure));
    add(proposals, &answers, 5, 5, 0);
    add(proposals, &answers, 8, 8, 0); /* 6 and 7 belong to nobody */
    add(proposals, &answers, 9, 9, 0);
    assert_int_equal(proposals_count(proposals), 5);
    for (uint64_t i = 5; i <= 8; i++)
        decide(proposals, i);
    assert_int_equal(answers.count, 2);
    proposals_decide(proposals, &(struct apply_result){.index = 9}, TERM + 1); /* applied, but it was another's */
    assert_int_equal(answers.count, 3);
    assert_int_equal(answers.lost, 1); /* it is known that it was not done */
    for (uint64_t i = 10; i <= 13; i++)
        add(proposals, &answers, i, i, 0);
    /* This node leads again, and its log goes on from 12: what waits from there on may still be in another log. */
    add(proposals, &answers, 12, 20, 0);
    assert_int_equal(answers.count, 5);
    assert_int_equal(answers.unknown, 2);
    assert_int_equal(proposals_count(proposals), 3);
    for (uint64_t i = 10; i <= 12; i++)
        decide(proposals, i);
    assert_int_equal(answers.count, 8);
    assert_int_equal(answers.lost, 1);
    assert_int_equal(proposals_count(proposals), 0);
    proposals_free(proposals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_keeps_entries),
        cmocka_unit_test(test_batch_has_a_limit),
        cmocka_unit_test(test_batch_is_split_and_shortened),
        cmocka_unit_test(test_ring_with_gaps_and_another_leader),
        cmocka_unit_test(test_queue_is_first_in_first_out),
        cmocka_unit_test(test_transactions_have_limits),
        cmocka_unit_test(test_ring_wraps),
        cmocka_unit_test(test_ring_is_full),
        cmocka_unit_test(test_deadlines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
