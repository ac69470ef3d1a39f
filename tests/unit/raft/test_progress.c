#include "raft/progress.h"

#include "check.h"

static struct raft_memory memory;

static struct raft_progress new_progress(uint64_t last, uint32_t window)
{
    struct raft_progress p;
    assert_int_equal(raft_progress_init(&p, &memory, 2, last, window), STATUS_OK);
    return p;
}

static void begins_as_a_probe(void **state)
{
    (void)state;
    struct raft_progress p = new_progress(10, 4);
    assert_int_equal(p.state, RAFT_PROBE);
    assert_int_equal(p.match, 0);
    assert_int_equal(p.next, 11);
    assert_false(p.paused);
    raft_progress_sent(&p, 12, 2, 100, 1000);
    assert_true(p.paused); /* one message until it answers */
    assert_int_equal(p.next, 11); /* and no optimism */
    assert_int_equal(p.count, 0);
    raft_progress_deinit(&p, &memory);
}

static void accepting(void **state)
{
    (void)state;
    struct raft_progress p = new_progress(10, 4);
    assert_false(raft_progress_accept(&p, 0));
    assert_true(raft_progress_accept(&p, 5));
    assert_int_equal(p.match, 5);
    assert_int_equal(p.next, 11);
    assert_true(raft_progress_accept(&p, 20));
    assert_int_equal(p.next, 21);
    assert_false(raft_progress_accept(&p, 20)); /* old news */
    assert_false(raft_progress_accept(&p, 3));
    assert_int_equal(p.match, 20);
    raft_progress_deinit(&p, &memory);
}

struct refusal {
    enum raft_progress_state state;
    uint64_t match, next, refused, hint;
    bool counts;
    uint64_t next_after;
};

static void refusals(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {RAFT_REPLICATE, 5, 10, 5, 5, false, 10},  /* accepted since */
        {RAFT_REPLICATE, 5, 10, 4, 4, false, 10},
        {RAFT_REPLICATE, 5, 10, 9, 9, true, 6},    /* back to what is known */
        {RAFT_REPLICATE, 5, 10, 9, 1, true, 6},
        {RAFT_PROBE, 0, 0, 0, 0, false, 0},        /* nothing was asked */
        {RAFT_PROBE, 0, 10, 10, 9, false, 10},     /* not the answer to this question */
        {RAFT_PROBE, 0, 10, 8, 4, false, 10},
        {RAFT_PROBE, 0, 10, 9, 4, true, 5},        /* as far back as the hint says */
        {RAFT_PROBE, 0, 10, 9, 8, true, 9},
        {RAFT_PROBE, 0, 10, 9, 9, true, 9},        /* a hint that does not help: one step */
        {RAFT_PROBE, 0, 10, 9, 99, true, 9},
        {RAFT_PROBE, 5, 10, 9, 2, true, 6},        /* never behind what is known */
        {RAFT_PROBE, 0, 2, 1, 0, true, 1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct raft_progress p = new_progress(10, 4);
        p.state = cases[i].state;
        p.match = cases[i].match;
        p.next = cases[i].next;
        if (raft_progress_reject(&p, cases[i].refused, cases[i].hint) != cases[i].counts || p.next != cases[i].next_after)
            fail_msg("case %zu: next %llu", i, (unsigned long long)p.next);
        assert_int_equal(p.match, cases[i].match);
        raft_progress_deinit(&p, &memory);
    }
}

static void window_by_messages(void **state)
{
    (void)state;
    struct raft_progress p = new_progress(0, 3);
    raft_progress_become_replicate(&p);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_false(p.paused);
        raft_progress_sent(&p, i, 1, 10, 1000);
        assert_int_equal(p.next, i + 1);
    }
    assert_true(p.paused);
    assert_true(raft_progress_window_full(&p, 1000));
    raft_progress_sent(&p, 3, 0, 0, 1000); /* without entries: takes no room */
    assert_int_equal(p.count, 3);
    raft_progress_free_to(&p, 0);
    assert_int_equal(p.count, 3);
    raft_progress_free_to(&p, 2);
    assert_int_equal(p.count, 1);
    assert_int_equal(p.inflight_bytes, 10);
    /* Round and round the ring. */
    for (uint64_t i = 4; i < 50; i++) {
        raft_progress_sent(&p, i, 1, i, 100000);
        assert_int_equal(p.count, 2);
        raft_progress_free_to(&p, i - 1);
        assert_int_equal(p.inflight_bytes, i);
    }
    raft_progress_free_to(&p, 1000);
    assert_int_equal(p.count, 0);
    assert_int_equal(p.inflight_bytes, 0);
    raft_progress_deinit(&p, &memory);
}

static void window_after_a_probe(void **state)
{
    (void)state;
    struct raft_progress p = new_progress(0, 3);
    assert_int_equal(p.allowed, 3);
    raft_progress_become_replicate(&p);
    assert_int_equal(p.allowed, 3); /* a new leader trusts the network */
    raft_progress_become_probe(&p);
    raft_progress_become_replicate(&p);
    raft_progress_sent(&p, 1, 1, 10, 1000);
    assert_true(p.paused);
    for (uint32_t round = 2; round <= 4; round++) {
        assert_false(raft_progress_accept(&p, round - 2)); /* old news open nothing */
        assert_true(raft_progress_accept(&p, round - 1));
        raft_progress_free_to(&p, p.match);
        assert_int_equal(p.allowed, round < 3 ? round : 3);
        while (!raft_progress_window_full(&p, 1000))
            raft_progress_sent(&p, p.next, 1, 10, 1000);
        assert_int_equal(p.count, p.allowed);
    }
    assert_true(raft_progress_reject(&p, p.next - 1, p.match));
    raft_progress_become_probe(&p);
    assert_int_equal(p.allowed, 1);
    raft_progress_deinit(&p, &memory);
}

static void window_by_bytes(void **state)
{
    (void)state;
    struct raft_progress p = new_progress(0, 8);
    raft_progress_become_replicate(&p);
    assert_false(raft_progress_window_full(&p, 0)); /* something can always be sent */
    raft_progress_sent(&p, 1, 1, 60, 100);
    assert_false(p.paused);
    raft_progress_sent(&p, 2, 1, 60, 100);
    assert_true(p.paused);
    raft_progress_free_to(&p, 1);
    assert_false(raft_progress_window_full(&p, 100));
    raft_progress_deinit(&p, &memory);
}

static void moves_forget_what_was_in_flight(void **state)
{
    (void)state;
    struct raft_progress p = new_progress(0, 3);
    raft_progress_become_replicate(&p);
    raft_progress_accept(&p, 4);
    raft_progress_sent(&p, 9, 5, 10, 1000);
    raft_progress_become_probe(&p);
    assert_int_equal(p.next, 5);
    assert_int_equal(p.count, 0);
    assert_true(p.send_empty); /* it is asked at once */
    /* A snapshot that was sent completely is where the probe begins; one that was not is not. */
    raft_progress_become_snapshot(&p, (struct raft_log_id){20, 2}, 100);
    assert_true(p.chunk_wanted);
    p.snapshot_offset = 99;
    raft_progress_become_probe(&p);
    assert_int_equal(p.next, 5);
    raft_progress_become_snapshot(&p, (struct raft_log_id){20, 2}, 100);
    p.snapshot_offset = 100;
    raft_progress_become_probe(&p);
    assert_int_equal(p.next, 21);
    assert_int_equal(p.match, 4);
    raft_progress_deinit(&p, &memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begins_as_a_probe), cmocka_unit_test(accepting), cmocka_unit_test(refusals),
        cmocka_unit_test(window_by_messages), cmocka_unit_test(window_after_a_probe), cmocka_unit_test(window_by_bytes),
        cmocka_unit_test(moves_forget_what_was_in_flight),
    };
    raft_memory_init(&memory, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
