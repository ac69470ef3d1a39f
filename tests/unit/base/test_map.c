#include "base/map.h"

#include "base/id.h"
#include "check.h"

enum { KEYS = 1000 };
static uint32_t keys[KEYS];

static int number_the_keys(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < KEYS; i++)
        keys[i] = i;
    return 0;
}

static void an_empty_map(void **state)
{
    (void)state;
    struct map m;
    map_init(&m);
    uint32_t cursor = 0;
    assert_null(map_get(&m, "a", 1));
    assert_null(map_remove(&m, "a", 1));
    assert_null(map_next(&m, &cursor));
    map_deinit(&m);
    map_deinit(&m);
}

static void puts_gets_and_replaces(void **state)
{
    (void)state;
    struct map m;
    map_init(&m);
    int a = 1, b = 2;
    void *old = &a;
    assert_int_equal(map_put(&m, "key", 3, &a, &old), STATUS_OK);
    assert_null(old);
    assert_ptr_equal(map_get(&m, "key", 3), &a);
    assert_null(map_get(&m, "key", 2));
    assert_null(map_get(&m, "kex", 3));
    assert_int_equal(map_put(&m, "key", 3, &b, &old), STATUS_OK);
    assert_ptr_equal(old, &a);
    assert_ptr_equal(map_get(&m, "key", 3), &b);
    assert_int_equal(m.count, 1);
    assert_ptr_equal(map_remove(&m, "key", 3), &b);
    assert_null(map_get(&m, "key", 3));
    assert_null(map_remove(&m, "key", 3));
    map_deinit(&m);
}

static void the_new_key_pointer_is_kept(void **state)
{
    (void)state;
    struct map m;
    map_init(&m);
    char first[] = "key", second[] = "key";
    int value = 1;
    assert_int_equal(map_put(&m, first, 3, &value, NULL), STATUS_OK);
    assert_int_equal(map_put(&m, second, 3, &value, NULL), STATUS_OK);
    memset(first, 'x', 3);
    assert_ptr_equal(map_get(&m, "key", 3), &value);
    map_deinit(&m);
}

static void keys_are_bytes(void **state)
{
    (void)state;
    struct map m;
    map_init(&m);
    int a = 1, b = 2, c = 3;
    assert_int_equal(map_put(&m, "a\0b", 3, &a, NULL), STATUS_OK);
    assert_int_equal(map_put(&m, "a\0c", 3, &b, NULL), STATUS_OK);
    assert_int_equal(map_put(&m, NULL, 0, &c, NULL), STATUS_OK);
    assert_ptr_equal(map_get(&m, "a\0b", 3), &a);
    assert_ptr_equal(map_get(&m, "a\0c", 3), &b);
    assert_ptr_equal(map_get(&m, "", 0), &c);
    map_deinit(&m);
}

static void agrees_with_an_array(void **state)
{
    (void)state;
    struct map m;
    struct random r;
    void *expected[KEYS] = {NULL};
    uint32_t count = 0;
    map_init(&m);
    random_seed(&r, 11);
    for (int step = 0; step < 50000; step++) {
        uint32_t i = (uint32_t)random_below(&r, KEYS);
        void *value = &keys[random_below(&r, KEYS)], *old = NULL;
        if (random_below(&r, 2)) {
            assert_int_equal(map_put(&m, &keys[i], sizeof keys[i], value, &old), STATUS_OK);
            assert_ptr_equal(old, expected[i]);
            count += !expected[i];
            expected[i] = value;
        } else {
            assert_ptr_equal(map_remove(&m, &keys[i], sizeof keys[i]), expected[i]);
            count -= expected[i] != NULL;
            expected[i] = NULL;
        }
        assert_int_equal(m.count, count);
    }
    for (uint32_t i = 0; i < KEYS; i++)
        assert_ptr_equal(map_get(&m, &keys[i], sizeof keys[i]), expected[i]);
    map_deinit(&m);
}

static void churn_does_not_grow_it(void **state)
{
    (void)state;
    struct map m;
    map_init(&m);
    for (uint32_t i = 0; i < 100000; i++) {
        uint32_t *key = &keys[i % KEYS];
        assert_int_equal(map_put(&m, key, sizeof *key, key, NULL), STATUS_OK);
        assert_ptr_equal(map_remove(&m, key, sizeof *key), key);
    }
    assert_int_equal(m.count, 0);
    assert_true(m.capacity <= 32);
    map_deinit(&m);
}

static void iterates_over_each_once(void **state)
{
    (void)state;
    struct map m;
    bool seen[KEYS] = {false};
    uint32_t cursor = 0, count = 0;
    map_init(&m);
    for (uint32_t i = 0; i < KEYS; i++)
        assert_int_equal(map_put(&m, &keys[i], sizeof keys[i], &keys[i], NULL), STATUS_OK);
    for (uint32_t *value; (value = map_next(&m, &cursor)); count++) {
        assert_false(seen[*value]);
        seen[*value] = true;
        if (*value % 2)
            assert_ptr_equal(map_remove(&m, value, sizeof *value), value);
    }
    assert_int_equal(count, KEYS);
    assert_int_equal(m.count, KEYS / 2);
    map_deinit(&m);
}

static void each_map_has_its_own_seed(void **state)
{
    (void)state;
    struct map a, b;
    map_init(&a);
    map_init(&b);
    assert_true(a.seed != b.seed);
    map_deinit(&a);
    map_deinit(&b);
}

static void put_null(void)
{
    struct map m;
    map_init(&m);
    (void)!map_put(&m, "a", 1, NULL, NULL);
}

static void misuse_aborts(void **state)
{
    (void)state;
    assert_true(aborts(put_null));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_map),
        cmocka_unit_test(puts_gets_and_replaces),
        cmocka_unit_test(the_new_key_pointer_is_kept),
        cmocka_unit_test(keys_are_bytes),
        cmocka_unit_test(agrees_with_an_array),
        cmocka_unit_test(churn_does_not_grow_it),
        cmocka_unit_test(iterates_over_each_once),
        cmocka_unit_test(each_map_has_its_own_seed),
        cmocka_unit_test(misuse_aborts),
    };
    return cmocka_run_group_tests(tests, number_the_keys, NULL);
}
