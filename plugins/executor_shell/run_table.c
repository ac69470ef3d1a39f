#include "run_table.h"

#include <assert.h>
#include <stddef.h>

static_assert(RUN_TABLE_BUCKETS == 1 << (64 - 54), "bucket_of takes the top 10 bits");

void run_list_append(struct run_list *list, struct run *run)
{
    run->next = NULL;
    run->previous = list->last;
    if (list->last == NULL) {
        list->first = run;
    } else {
        list->last->next = run;
    }
    list->last = run;
}

void run_list_remove(struct run_list *list, struct run *run)
{
    if (run->previous == NULL) {
        list->first = run->next;
    } else {
        run->previous->next = run->next;
    }
    if (run->next == NULL) {
        list->last = run->previous;
    } else {
        run->next->previous = run->previous;
    }
    run->previous = run->next = NULL;
}

struct run *run_list_take(struct run_list *list)
{
    struct run *run = list->first;

    if (run != NULL) {
        run_list_remove(list, run);
    }
    return run;
}

/* Tokens carry an index and a generation: mix, so that neither half alone picks the bucket. */
static size_t bucket_of(uint64_t token)
{
    return (size_t)((token * UINT64_C(0x9E3779B97F4A7C15)) >> 54);
}

void run_table_add(struct run_table *table, struct run *run)
{
    struct run **bucket = &table->buckets[bucket_of(run->token)];

    run->bucket_next = *bucket;
    *bucket = run;
}

void run_table_remove(struct run_table *table, struct run *run)
{
    struct run **at = &table->buckets[bucket_of(run->token)];

    while (*at != NULL && *at != run) {
        at = &(*at)->bucket_next;
    }
    if (*at == run) {
        *at = run->bucket_next;
    }
}

struct run *run_table_find(const struct run_table *table, uint64_t token)
{
    struct run *run = table->buckets[bucket_of(token)];

    while (run != NULL && run->token != token) {
        run = run->bucket_next;
    }
    return run;
}
