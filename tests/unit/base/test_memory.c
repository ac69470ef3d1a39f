/* Each allocation fails once: the caller gets NO_MEMORY, nothing leaks (AddressSanitizer looks) and what was there
 * before is still whole. */
#include <stdlib.h>

#include "base/buffer.h"
#include "base/codec.h"
#include "base/heap.h"
#include "base/json.h"
#include "base/map.h"
#include "check.h"

/* Allocations until one fails; negative: none does. */
static int until_failure = -1;

static bool refuse_now(void)
{
    return until_failure >= 0 && until_failure-- == 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);

void *__wrap_malloc(size_t size)
{
    return refuse_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return refuse_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return refuse_now() ? NULL : __real_realloc(old, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
    return refuse_now() ? NULL : __real_reallocarray(old, count, size);
}

static void buffers(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 10000);
    until_failure = 0;
    buffer_append_string(&b, "x");
    assert_int_equal(b.failed, STATUS_NO_MEMORY);
    assert_null(b.data);
    buffer_clear(&b);
    buffer_append_string(&b, "kept");
    until_failure = 0;
    buffer_appendf(&b, "%02000d", 1);
    assert_int_equal(b.failed, STATUS_NO_MEMORY);
    assert_string_equal(b.data, "kept");
    put_u64(&b, 1);
    assert_string_equal(b.data, "kept");
    buffer_deinit(&b);
    until_failure = 0;
    assert_null(buffer_steal(&b, NULL));
    buffer_deinit(&b);
}

static void heaps(void **state)
{
    (void)state;
    struct heap_node nodes[17] = {{0}};
    struct heap h;
    heap_init(&h);
    until_failure = 0;
    assert_int_equal(heap_set(&h, &nodes[0], 1), STATUS_NO_MEMORY);
    assert_int_equal(nodes[0].position, 0);
    for (int i = 0; i < 16; i++)
        assert_int_equal(heap_set(&h, &nodes[i], i), STATUS_OK);
    until_failure = 0;
    assert_int_equal(heap_set(&h, &nodes[16], 16), STATUS_NO_MEMORY);
    assert_int_equal(nodes[16].position, 0);
    until_failure = 0;
    assert_int_equal(heap_set(&h, &nodes[3], 100), STATUS_OK); /* moving needs no memory */
    until_failure = 0;
    assert_int_equal(heap_reserve(&h, 1000), STATUS_NO_MEMORY);
    until_failure = -1;
    assert_int_equal(h.count, 16);
    assert_ptr_equal(heap_peek(&h), &nodes[0]);
    heap_deinit(&h);
}

static void maps(void **state)
{
    (void)state;
    static const char names[] = "abcdefghijklmnopqrstuvwxyz";
    struct map m;
    map_init(&m);
    uint32_t failures = 0, stored = 0;
    for (size_t i = 0; i < 26; i++) {
        until_failure = 0;
        int value;
        void *old = &value;
        enum status status = map_put(&m, names + i, 1, (void *)(names + i), &old);
        until_failure = -1;
        if (status == STATUS_OK) {
            assert_null(old);
            stored++;
            continue;
        }
        assert_int_equal(status, STATUS_NO_MEMORY);
        assert_ptr_equal(old, &value);
        assert_null(map_get(&m, names + i, 1));
        failures++;
        assert_int_equal(map_put(&m, names + i, 1, (void *)(names + i), NULL), STATUS_OK);
        stored++;
    }
    assert_in_range(failures, 2, 5);
    assert_int_equal(m.count, stored);
    for (size_t i = 0; i < 26; i++)
        assert_ptr_equal(map_get(&m, names + i, 1), names + i);
    map_deinit(&m);
}

static void documents(void **state)
{
    (void)state;
    /* More members than are compared one by one, so that a map is used as well. */
    static const char text[] =
        "{\"a\":[1,\"two\",{\"b\":null}],\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"k\":1,"
        "\"l\":1,\"m\":1,\"n\":1,\"o\":1,\"p\":1,\"q\":1,\"r\":1,\"s\":1,\"t\":\"text\"}";
    /* cJSON is a shared library: its allocations come through its own hooks. */
    cJSON_Hooks hooks = {.malloc_fn = __wrap_malloc, .free_fn = free};
    cJSON_InitHooks(&hooks);
    int failures = 0;
    for (;; failures++) {
        until_failure = failures;
        cJSON *tree = NULL;
        struct error err;
        enum status status = json_parse(text, strlen(text), &tree, &err);
        bool reached = until_failure < 0;
        until_failure = -1;
        if (status == STATUS_OK) {
            assert_false(reached);
            cJSON_Delete(tree);
            break;
        }
        assert_int_equal(status, STATUS_NO_MEMORY);
        assert_int_equal(err.code, STATUS_NO_MEMORY);
        assert_null(tree);
    }
    assert_true(failures > 40);
    cJSON_InitHooks(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers),
        cmocka_unit_test(heaps),
        cmocka_unit_test(maps),
        cmocka_unit_test(documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
