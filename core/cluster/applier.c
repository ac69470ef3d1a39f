#include "cluster/applier.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/fatal.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/wake.h"

enum {
    APPLIED_BATCHES = 4,       /* transactions whose changes the loop has not read yet */
    SYNC_AFTER_MS = 5000,      /* a dirty state is synced after this */
    SYNC_AFTER_ENTRIES = 50000,
    FULL_RETRY_MS = 200,
};

struct applier {
    struct applier_config config;
    pthread_t thread;
    struct wake wake;
    /* under its mutex */
    struct batch_queue submitted, free_batches;
    struct applied_batch *done_head, **done_tail, *idle;
    bool stopping;
    struct applier_stats stats;
    /* the thread's own */
    struct state_entry *entries;
    uint64_t synced_at_ns;
};

static uint64_t now_ns(const struct applier *applier)
{
    return applier->config.clock->monotonic_ns(applier->config.clock->arg);
}

static bool is_dirty(const struct applier *applier)
{
    return state_applied(applier->config.state).index > applier->stats.synced_index;
}

static void sync_state(struct applier *applier)
{
    struct error err;
    uint64_t index = state_applied(applier->config.state).index;
    applier->synced_at_ns = now_ns(applier);
    enum status status = state_sync(applier->config.state, &err);
    if (status == STATUS_NO_SPACE)
        return; /* tried again after SYNC_AFTER_MS; the log keeps what is not synced */
    if (status != STATUS_OK)
        fatal("the state cannot be synced", &err);
    wake_lock(&applier->wake);
    applier->stats.synced_index = index;
    wake_unlock(&applier->wake);
    applier->config.notify(applier->config.notify_arg);
}

static void sync_if_due(struct applier *applier)
{
    uint64_t behind = state_applied(applier->config.state).index - applier->stats.synced_index;
    uint64_t waited = now_ns(applier) - applier->synced_at_ns;
    if (behind >= SYNC_AFTER_ENTRIES || (behind > 0 && waited >= (uint64_t)SYNC_AFTER_MS * 1000000))
        sync_state(applier);
}

/* As many entries of the queue as one transaction takes, beginning at entry `skip` of its first batch. */
static uint32_t gather(struct applier *applier, const struct entry_batch *batch, uint32_t skip)
{
    uint32_t count = 0;
    size_t bytes = 0;
    for (; batch != NULL; batch = batch->next, skip = 0)
        for (uint32_t i = skip; i < batch->count; i++) {
            struct bytes data = log_entry_command(batch->items[i].type, entry_batch_data(batch, i));
            bytes += data.size;
            if (count == APPLY_ENTRIES_MAX || (count > 0 && bytes > APPLY_BYTES_MAX))
                return count;
            applier->entries[count++] =
                (struct state_entry){.index = batch->items[i].index, .term = batch->items[i].term, .command = data};
        }
    return count;
}

static bool hold_for_space(struct applier *applier)
{
    wake_lock(&applier->wake);
    bool first = !applier->stats.out_of_space;
    applier->stats.out_of_space = true;
    bool stopping = applier->stopping;
    if (!stopping)
        wake_wait(&applier->wake, FULL_RETRY_MS);
    wake_unlock(&applier->wake);
    if (first) {
        LOG_ERROR("disk full: the state cannot grow; committed entries are held until space returns");
        applier->config.notify(applier->config.notify_arg);
    }
    return !stopping;
}

/* False when the disk is full and the applier is to stop: the log keeps the entries. */
static bool apply_entries(struct applier *applier, struct applied_batch *applied, uint32_t count)
{
    struct error err;
    for (;;) {
        uint64_t began = now_ns(applier);
        enum status status =
            state_apply(applier->config.state, applier->entries, count, applied->results, &applied->changes, &err);
        if (status == STATUS_OK) {
            applied->count = count;
            applied->position = state_applied(applier->config.state);
            applied->last_stamp_ms = state_last_stamp(applier->config.state);
            wake_lock(&applier->wake);
            bool was_full = applier->stats.out_of_space;
            applier->stats.out_of_space = false;
            applier->stats.batches++;
            applier->stats.entries += count;
            applier->stats.apply_ns += now_ns(applier) - began;
            wake_unlock(&applier->wake);
            if (was_full)
                LOG_INFO("disk space has returned: the state grows again");
            return true;
        }
        if (status != STATUS_NO_SPACE)
            fatal("an entry cannot be applied", &err);
        state_changes_clear(&applied->changes);
        if (!hold_for_space(applier))
            return false;
    }
}

/* A place for the results; waits while the loop is behind. NULL when stopping meanwhile and none is left. */
static struct applied_batch *take_idle(struct applier *applier)
{
    wake_lock(&applier->wake);
    while (applier->idle == NULL && !applier->stopping)
        wake_wait(&applier->wake, 1000);
    struct applied_batch *applied = applier->idle;
    if (applied != NULL)
        applier->idle = applied->next;
    wake_unlock(&applier->wake);
    return applied;
}

static void reserve_results(struct applied_batch *applied, uint32_t count)
{
    if (applied->capacity >= count)
        return;
    free(applied->results);
    applied->results = calloc(count, sizeof *applied->results);
    if (applied->results == NULL)
        fatal("out of memory for the results of a batch", NULL);
    applied->capacity = count;
}

static void publish(struct applier *applier, struct applied_batch *applied)
{
    applied->next = NULL;
    wake_lock(&applier->wake);
    *applier->done_tail = applied;
    applier->done_tail = &applied->next;
    wake_unlock(&applier->wake);
    applier->config.notify(applier->config.notify_arg);
}

/* Drops `count` entries from the front of the queue; used-up batches go back to the loop. Returns what is to be skipped in
 * the batch that is then first. */
static uint32_t consume(struct applier *applier, struct batch_queue *queue, uint32_t skip, uint32_t count)
{
    while (count > 0) {
        uint32_t left = queue->head->count - skip;
        if (count < left)
            return skip + count;
        count -= left;
        skip = 0;
        wake_lock(&applier->wake);
        batch_queue_push(&applier->free_batches, batch_queue_pop(queue));
        wake_unlock(&applier->wake);
    }
    return skip;
}

static bool apply_queue(struct applier *applier, struct batch_queue *queue)
{
    uint32_t skip = 0;
    while (queue->head != NULL) {
        uint32_t count = gather(applier, queue->head, skip);
        struct applied_batch *applied = take_idle(applier);
        if (applied == NULL)
            return false;
        reserve_results(applied, count);
        if (!apply_entries(applier, applied, count)) {
            applier_recycle(applier, applied);
            return false;
        }
        skip = consume(applier, queue, skip, count);
        publish(applier, applied);
        sync_if_due(applier);
    }
    return true;
}

static void *run(void *arg)
{
    struct applier *applier = arg;
    struct batch_queue queue;
    (void)pthread_setname_np(pthread_self(), "applier");
    batch_queue_init(&queue);
    for (;;) {
        wake_lock(&applier->wake);
        while (applier->submitted.head == NULL && !applier->stopping) {
            if (!is_dirty(applier)) {
                wake_wait(&applier->wake, -1);
                continue;
            }
            wake_wait(&applier->wake, SYNC_AFTER_MS);
            break;
        }
        batch_queue_move(&queue, &applier->submitted);
        bool stopping = applier->stopping;
        wake_unlock(&applier->wake);
        if (queue.head == NULL && stopping)
            break;
        if (!apply_queue(applier, &queue))
            break;
        sync_if_due(applier);
    }
    entry_batch_free(queue.head);
    if (is_dirty(applier))
        sync_state(applier);
    return NULL;
}

static void free_applied(struct applied_batch *applied)
{
    while (applied != NULL) {
        struct applied_batch *next = applied->next;
        state_changes_deinit(&applied->changes);
        free(applied->results);
        free(applied);
        applied = next;
    }
}

static void free_all(struct applier *applier)
{
    entry_batch_free(applier->submitted.head);
    entry_batch_free(applier->free_batches.head);
    free_applied(applier->done_head);
    free_applied(applier->idle);
    wake_deinit(&applier->wake);
    free(applier->entries);
    free(applier);
}

enum status applier_start(const struct applier_config *config, struct applier **ret, struct error *err)
{
    struct applier *applier = calloc(1, sizeof *applier);
    if (applier == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    applier->config = *config;
    applier->done_tail = &applier->done_head;
    batch_queue_init(&applier->submitted);
    batch_queue_init(&applier->free_batches);
    wake_init(&applier->wake);
    applier->entries = calloc(APPLY_ENTRIES_MAX, sizeof *applier->entries);
    bool complete = applier->entries != NULL;
    for (int i = 0; i < APPLIED_BATCHES && complete; i++) {
        struct applied_batch *applied = calloc(1, sizeof *applied);
        complete = applied != NULL;
        if (!complete)
            break;
        state_changes_init(&applied->changes);
        applied->next = applier->idle;
        applier->idle = applied;
    }
    applier->synced_at_ns = now_ns(applier);
    int failed = complete ? pthread_create(&applier->thread, NULL, run, applier) : 0;
    if (!complete || failed != 0) {
        free_all(applier);
        return error_set_errno(err, STATUS_NO_MEMORY, failed, "start the applier");
    }
    *ret = applier;
    return STATUS_OK;
}

void applier_submit(struct applier *applier, struct batch_queue *batches)
{
    wake_lock(&applier->wake);
    batch_queue_move(&applier->submitted, batches);
    wake_signal(&applier->wake);
    wake_unlock(&applier->wake);
}

struct applied_batch *applier_take(struct applier *applier)
{
    wake_lock(&applier->wake);
    struct applied_batch *applied = applier->done_head;
    if (applied != NULL) {
        applier->done_head = applied->next;
        if (applier->done_head == NULL)
            applier->done_tail = &applier->done_head;
    }
    wake_unlock(&applier->wake);
    return applied;
}

void applier_recycle(struct applier *applier, struct applied_batch *applied)
{
    state_changes_clear(&applied->changes);
    applied->count = 0;
    wake_lock(&applier->wake);
    applied->next = applier->idle;
    applier->idle = applied;
    wake_signal(&applier->wake);
    wake_unlock(&applier->wake);
}

void applier_take_free(struct applier *applier, struct batch_queue *out)
{
    wake_lock(&applier->wake);
    batch_queue_move(out, &applier->free_batches);
    wake_unlock(&applier->wake);
}

void applier_stats_get(struct applier *applier, struct applier_stats *ret)
{
    wake_lock(&applier->wake);
    *ret = applier->stats;
    wake_unlock(&applier->wake);
}

void applier_stop(struct applier *applier)
{
    wake_lock(&applier->wake);
    applier->stopping = true;
    wake_signal(&applier->wake);
    wake_unlock(&applier->wake);
    (void)pthread_join(applier->thread, NULL); /* cannot fail: it is ours and joined once */
    free_all(applier);
}
