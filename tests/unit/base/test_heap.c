#include "base/heap.h"

#include "base/id.h"
#include "check.h"

enum { NODES = 500 };

static void assert_ordered(const struct heap *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        assert_int_equal(h->nodes[i]->position, i + 1);
        if (i > 0)
            assert_true(h->nodes[(i - 1) / 2]->key <= h->nodes[i]->key);
    }
}

static void an_empty_heap(void **state)
{
    (void)state;
    struct heap h;
    heap_init(&h);
    assert_null(heap_peek(&h));
    struct heap_node node = {0};
    heap_remove(&h, &node);
    assert_int_equal(h.count, 0);
    heap_deinit(&h);
    heap_deinit(&h);
}

static void gives_keys_in_order(void **state)
{
    (void)state;
    static struct heap_node nodes[NODES];
    struct heap h;
    struct random r;
    heap_init(&h);
    random_seed(&r, 3);
    for (int i = 0; i < NODES; i++)
        assert_int_equal(heap_set(&h, &nodes[i], (int64_t)random_below(&r, 100) - 50), STATUS_OK);
    assert_ordered(&h);
    int64_t last = INT64_MIN;
    for (int i = 0; i < NODES; i++) {
        struct heap_node *first = heap_peek(&h);
        assert_non_null(first);
        assert_true(first->key >= last);
        last = first->key;
        heap_remove(&h, first);
        assert_int_equal(first->position, 0);
    }
    assert_null(heap_peek(&h));
    heap_deinit(&h);
}

static void extreme_keys(void **state)
{
    (void)state;
    struct heap_node low = {0}, high = {0}, middle = {0};
    struct heap h;
    heap_init(&h);
    assert_int_equal(heap_set(&h, &high, INT64_MAX), STATUS_OK);
    assert_int_equal(heap_set(&h, &middle, 0), STATUS_OK);
    assert_int_equal(heap_set(&h, &low, INT64_MIN), STATUS_OK);
    assert_ptr_equal(heap_peek(&h), &low);
    heap_remove(&h, &low);
    assert_ptr_equal(heap_peek(&h), &middle);
    heap_deinit(&h);
}

static void random_operations_keep_the_order(void **state)
{
    (void)state;
    static struct heap_node nodes[NODES];
    memset(nodes, 0, sizeof nodes);
    struct heap h;
    struct random r;
    heap_init(&h);
    random_seed(&r, 4);
    uint32_t inserted = 0;
    for (int step = 0; step < 20000; step++) {
        struct heap_node *node = &nodes[random_below(&r, NODES)];
        bool was_in = node->position > 0;
        if (random_below(&r, 3) > 0) {
            assert_int_equal(heap_set(&h, node, (int64_t)random_below(&r, 1000)), STATUS_OK);
            inserted += !was_in;
        } else {
            heap_remove(&h, node);
            inserted -= was_in;
        }
        assert_int_equal(h.count, inserted);
        if (step % 50 == 0)
            assert_ordered(&h);
    }
    heap_deinit(&h);
    for (int i = 0; i < NODES; i++)
        assert_int_equal(nodes[i].position, 0);
}

static void reserved_room_is_not_reallocated(void **state)
{
    (void)state;
    struct heap_node nodes[40] = {{0}};
    struct heap h;
    heap_init(&h);
    assert_int_equal(heap_reserve(&h, 40), STATUS_OK);
    struct heap_node **before = h.nodes;
    for (int i = 0; i < 40; i++)
        assert_int_equal(heap_set(&h, &nodes[i], -i), STATUS_OK);
    assert_ptr_equal(h.nodes, before);
    assert_int_equal(heap_reserve(&h, 10), STATUS_OK);
    assert_int_equal(h.capacity, 40);
    heap_deinit(&h);
}

static void use_a_stranger(void)
{
    struct heap h, other;
    struct heap_node a = {0}, b = {0};
    heap_init(&h);
    heap_init(&other);
    (void)!heap_set(&h, &a, 1);
    (void)!heap_set(&other, &b, 1);
    heap_remove(&h, &b);
}

static void misuse_aborts(void **state)
{
    (void)state;
    assert_true(aborts(use_a_stranger));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_heap),
        cmocka_unit_test(gives_keys_in_order),
        cmocka_unit_test(extreme_keys),
        cmocka_unit_test(random_operations_keep_the_order),
        cmocka_unit_test(reserved_room_is_not_reallocated),
        cmocka_unit_test(misuse_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
