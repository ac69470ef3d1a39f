#include "cluster/log_writer.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fatal.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/wake.h"

enum {
    TRANSACTION_ENTRIES_MAX = 8192,
    TRANSACTION_BYTES_MAX = 8 << 20,
    IDLE_MS = 1000,          /* how long it may sleep before it looks at the disk again */
    FULL_RETRY_MS = 200,     /* while the disk is full */
    DISK_LOOK_MS = 100,      /* and at most so often under load */
    CUT_SLACK_BYTES = 16 << 20,
};

struct log_writer {
    struct log_writer_config config;
    pthread_t thread;
    struct wake wake;
    /* under its mutex */
    struct batch_queue submitted, done;
    struct log_fetch *wanted, *fetched; /* at most one a peer */
    uint64_t synced, cut;
    bool stopping;
    struct log_writer_stats stats;
    /* the thread's own */
    struct log_entry *entries;
    uint64_t looked_at_ns;
};

static uint64_t now_ns(const struct log_writer *writer)
{
    return writer->config.clock->monotonic_ns(writer->config.clock->arg);
}

/* The file system with the least room counts. */
static int64_t least_free(const struct log_writer *writer, const char **ret_directory)
{
    int64_t least = -1;
    for (int i = 0; i < 2; i++) {
        int64_t left = disk_free_bytes(writer->config.directories[i]);
        if (left < 0 || (least >= 0 && left >= least))
            continue;
        least = left;
        *ret_directory = writer->config.directories[i];
    }
    return least;
}

static void look_at_disk(struct log_writer *writer)
{
    const char *directory = writer->config.directories[0];
    uint64_t now = now_ns(writer);
    if (writer->looked_at_ns != 0 && now - writer->looked_at_ns < (uint64_t)DISK_LOOK_MS * 1000000)
        return;
    writer->looked_at_ns = now;
    int64_t free_bytes = least_free(writer, &directory);
    wake_lock(&writer->wake);
    int64_t before = writer->stats.disk_free_bytes;
    writer->stats.disk_free_bytes = free_bytes;
    writer->stats.disk = directory;
    wake_unlock(&writer->wake);
    if (before != free_bytes)
        writer->config.notify(writer->config.notify_arg);
}

static void publish_log(struct log_writer *writer)
{
    const struct log_position *last = log_store_last(writer->config.log);
    const struct log_position *base = &log_store_hard(writer->config.log)->base;
    writer->stats.first_index = base->index + 1;
    writer->stats.last_index = last->index;
    writer->stats.log_bytes = (int64_t)(last->offset - base->offset);
    writer->stats.log_offset = last->offset;
}

/* Gathers as many whole batches as one transaction takes; returns the number of entries, *ret_batches of batches. What drops
 * entries begins a transaction. */
static uint32_t gather(const struct entry_batch *first, uint32_t *ret_batches)
{
    uint32_t count = 0, batches = 0;
    size_t bytes = 0;
    for (const struct entry_batch *batch = first; batch != NULL; batch = batch->next) {
        if (batches > 0 && (batch->truncate_from != 0 || batch->removed != REMOVED_SAME || batch->install != NULL || first->install != NULL || count + batch->count > TRANSACTION_ENTRIES_MAX ||
                            bytes + batch->bytes.size > TRANSACTION_BYTES_MAX))
            break;
        bytes += batch->bytes.size;
        batches++;
        count += batch->count;
    }
    *ret_batches = batches;
    return count;
}

static struct log_entry *list_entries(struct log_writer *writer, struct entry_batch *first, uint32_t batches, uint32_t count)
{
    struct log_entry *entries = count <= TRANSACTION_ENTRIES_MAX ? writer->entries : calloc(count, sizeof *entries);
    uint32_t n = 0;
    if (entries == NULL)
        fatal("out of memory for a batch of the log", NULL);
    for (struct entry_batch *batch = first; batches > 0; batch = batch->next, batches--)
        for (uint32_t i = 0; i < batch->count; i++)
            entries[n++] = entry_batch_entry(batch, i);
    return entries;
}

static bool set_out_of_space(struct log_writer *writer, bool out_of_space)
{
    wake_lock(&writer->wake);
    bool changed = writer->stats.out_of_space != out_of_space;
    writer->stats.out_of_space = out_of_space;
    bool stopping = writer->stopping;
    if (out_of_space && !stopping)
        wake_wait(&writer->wake, FULL_RETRY_MS);
    wake_unlock(&writer->wake);
    if (changed && out_of_space)
        LOG_ERROR("disk full: the log cannot grow; writes are held until space returns",
                  LOG_STRING("directory", writer->config.directories[0]));
    if (changed && !out_of_space)
        LOG_INFO("disk space has returned: the log grows again", LOG_STRING("directory", writer->config.directories[0]));
    if (changed)
        writer->config.notify(writer->config.notify_arg);
    return !stopping;
}

/* The newest term, vote and cluster among the batches; false: none of them has any. */
static bool newest_hard(const struct log_writer *writer, const struct entry_batch *first, uint32_t batches,
                        struct log_hard_state *ret)
{
    bool changed = false;
    *ret = *log_store_hard(writer->config.log);
    for (const struct entry_batch *batch = first; batches > 0; batch = batch->next, batches--) {
        if (!id_is_zero(&batch->cluster_id)) {
            changed = true;
            ret->cluster_id = batch->cluster_id;
        }
        if (!batch->hard_changed)
            continue;
        changed = true;
        ret->term = batch->hard.term;
        ret->vote = batch->hard.vote;
    }
    return changed;
}

/* True when the batches are durable; false when the disk is full and the writer is to stop. */
static bool write_batches(struct log_writer *writer, const struct entry_batch *first, uint32_t batches,
                          const struct log_entry *entries, uint32_t count)
{
    struct error err;
    struct log_hard_state hard;
    bool hard_changed = newest_hard(writer, first, batches, &hard);
    for (;;) {
        uint64_t began = now_ns(writer);
        enum status status = first->install != NULL
                                 ? log_store_install(writer->config.log, first->install, &err)
                                 : log_store_replace(writer->config.log, first->truncate_from, entries, count,
                                                     hard_changed ? &hard : NULL, &err);
        if (status == STATUS_OK) {
            wake_lock(&writer->wake);
            writer->stats.commit_ns += now_ns(writer) - began;
            writer->stats.commits++;
            writer->stats.entries += count;
            publish_log(writer);
            bool was_full = writer->stats.out_of_space;
            wake_unlock(&writer->wake);
            if (was_full)
                (void)set_out_of_space(writer, false);
            return true;
        }
        if (status != STATUS_NO_SPACE)
            fatal("the log cannot be written", &err);
        if (!set_out_of_space(writer, true))
            return false;
        look_at_disk(writer);
    }
}

/* Apart from the batch itself: what is lost of it is told to this node again. */
static void note_removed(struct log_writer *writer, const struct entry_batch *batch)
{
    struct error err;
    if (batch->removed == REMOVED_SAME)
        return;
    enum status status = log_store_set_removed(writer->config.log, batch->removed == REMOVED_YES, &err);
    if (status != STATUS_OK && status != STATUS_NO_SPACE)
        fatal("the log cannot be written", &err);
}

/* Writes the batches of `queue` transaction by transaction; what is durable moves to `done`. */
static bool write_queue(struct log_writer *writer, struct batch_queue *queue)
{
    while (queue->head != NULL) {
        uint32_t batches, count = gather(queue->head, &batches);
        struct log_entry *entries = list_entries(writer, queue->head, batches, count);
        bool written = write_batches(writer, queue->head, batches, entries, count);
        if (entries != writer->entries)
            free(entries);
        if (!written)
            return false;
        note_removed(writer, queue->head);
        wake_lock(&writer->wake);
        for (; batches > 0; batches--)
            batch_queue_push(&writer->done, batch_queue_pop(queue));
        wake_unlock(&writer->wake);
        writer->config.notify(writer->config.notify_arg);
    }
    return true;
}

/* --- reading for peers that are far behind --- */

void log_fetch_free(struct log_fetch *fetch)
{
    if (fetch == NULL)
        return;
    buffer_deinit(&fetch->bytes);
    free(fetch->entries);
    free(fetch);
}

/* False: enough, or no memory; what was gathered is sent all the same. */
static bool gather_entry(void *arg, const struct log_entry *entry)
{
    struct log_fetch *fetch = arg;
    size_t cost = fetch->bytes.size + entry->data.size + (fetch->count + 1) * sizeof fetch->entries[0];
    if (fetch->count > 0 && cost > fetch->max_bytes)
        return false;
    if (fetch->count == fetch->capacity) {
        uint32_t capacity = fetch->capacity == 0 ? 64 : fetch->capacity * 2;
        struct raft_entry *entries = realloc(fetch->entries, capacity * sizeof *entries);
        if (entries == NULL)
            return false;
        fetch->entries = entries;
        fetch->capacity = capacity;
    }
    buffer_append(&fetch->bytes, entry->data.data, entry->data.size);
    if (fetch->bytes.failed != STATUS_OK)
        return false;
    fetch->entries[fetch->count++] = (struct raft_entry){.id = {entry->index, entry->term}, .hash = entry->hash,
                                                         .size = (uint32_t)entry->data.size, .type = (uint8_t)entry->type};
    return true;
}

static void read_entries(struct log_writer *writer, struct log_fetch *fetch)
{
    struct log_position before;
    struct error err;
    enum status status = log_store_position(writer->config.log, fetch->from - 1, &before, &err);
    if (status == STATUS_OK)
        status = log_store_read(writer->config.log, fetch->from, gather_entry, fetch, &err);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        fatal("the log cannot be read", &err);
    if (status == STATUS_NOT_FOUND || (fetch->count > 0 && fetch->entries[0].id.index != fetch->from))
        fetch->count = 0; /* cut meanwhile: the peer needs a snapshot */
    fetch->previous_hash = status == STATUS_OK ? before.hash : 0;
    const char *data = fetch->bytes.data;
    for (uint32_t i = 0; i < fetch->count; data += fetch->entries[i].size, i++)
        fetch->entries[i].data = fetch->entries[i].size > 0 ? data : NULL;
}

static void serve_fetches(struct log_writer *writer)
{
    for (;;) {
        wake_lock(&writer->wake);
        struct log_fetch *fetch = writer->wanted;
        if (fetch != NULL)
            writer->wanted = fetch->next;
        wake_unlock(&writer->wake);
        if (fetch == NULL)
            return;
        read_entries(writer, fetch);
        wake_lock(&writer->wake);
        fetch->next = writer->fetched;
        writer->fetched = fetch;
        wake_unlock(&writer->wake);
        writer->config.notify(writer->config.notify_arg);
    }
}

enum status log_writer_fetch(struct log_writer *writer, uint64_t peer, uint64_t from, uint32_t max_bytes)
{
    struct log_fetch *fetch = calloc(1, sizeof *fetch);
    if (fetch == NULL)
        return STATUS_NO_MEMORY;
    *fetch = (struct log_fetch){.peer = peer, .from = from, .max_bytes = max_bytes};
    buffer_init(&fetch->bytes, (size_t)max_bytes + ENTRY_SIZE_MAX);
    wake_lock(&writer->wake);
    fetch->next = writer->wanted;
    writer->wanted = fetch;
    wake_signal(&writer->wake);
    wake_unlock(&writer->wake);
    return STATUS_OK;
}

struct log_fetch *log_writer_take_fetch(struct log_writer *writer)
{
    wake_lock(&writer->wake);
    struct log_fetch *fetch = writer->fetched;
    if (fetch != NULL)
        writer->fetched = fetch->next;
    wake_unlock(&writer->wake);
    return fetch;
}

static void free_fetches(struct log_fetch *fetch)
{
    while (fetch != NULL) {
        struct log_fetch *next = fetch->next;
        log_fetch_free(fetch);
        fetch = next;
    }
}

/* Asks the loop for leave to cut once the log is long enough; the core may still need some of it. */
static void want_cut(struct log_writer *writer, uint64_t synced)
{
    struct log_store *log = writer->config.log;
    const struct log_position *last = log_store_last(log), *base = &log_store_hard(log)->base;
    struct error err;
    uint64_t target = 0;
    if (last->index - base->index >= TRAILING_ENTRIES + CUT_BATCH_MAX ||
        last->offset - base->offset >= (uint64_t)TRAILING_BYTES + CUT_SLACK_BYTES) {
        if (log_store_cut_target(log, synced, &target, &err) != STATUS_OK)
            fatal("the log cannot be read", &err);
        target = target > base->index ? target : 0;
    }
    wake_lock(&writer->wake);
    bool news = writer->stats.cut_wanted != target && target != 0;
    writer->stats.cut_wanted = target;
    wake_unlock(&writer->wake);
    if (news)
        writer->config.notify(writer->config.notify_arg);
}

/* One bounded step of cutting. Deleting needs free pages too: out of space only means that it is tried again later. */
static void cut_step(struct log_writer *writer, uint64_t synced, uint64_t cut)
{
    struct log_store *log = writer->config.log;
    struct error err;
    bool more;
    if (cut > log_store_hard(log)->base.index) {
        enum status status = log_store_cut(log, cut, &more, &err);
        if (status != STATUS_OK && status != STATUS_NO_SPACE)
            fatal("the log cannot be cut", &err);
    }
    want_cut(writer, synced);
    wake_lock(&writer->wake);
    publish_log(writer);
    wake_unlock(&writer->wake);
}

static void *run(void *arg)
{
    struct log_writer *writer = arg;
    struct batch_queue queue;
    (void)pthread_setname_np(pthread_self(), "log-writer");
    batch_queue_init(&queue);
    for (;;) {
        wake_lock(&writer->wake);
        if (writer->submitted.head == NULL && writer->wanted == NULL && !writer->stopping)
            wake_wait(&writer->wake, IDLE_MS);
        batch_queue_move(&queue, &writer->submitted);
        uint64_t synced = writer->synced, cut = writer->cut;
        bool stopping = writer->stopping;
        wake_unlock(&writer->wake);
        if (queue.head == NULL && stopping)
            break;
        if (!write_queue(writer, &queue))
            break;
        serve_fetches(writer);
        look_at_disk(writer);
        cut_step(writer, synced, cut);
    }
    entry_batch_free(queue.head); /* only after a stop on a full disk: never acknowledged */
    return NULL;
}

enum status log_writer_start(const struct log_writer_config *config, struct log_writer **ret, struct error *err)
{
    struct log_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    writer->config = *config;
    writer->entries = calloc(TRANSACTION_ENTRIES_MAX, sizeof *writer->entries);
    if (writer->entries == NULL) {
        free(writer);
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    }
    batch_queue_init(&writer->submitted);
    batch_queue_init(&writer->done);
    wake_init(&writer->wake);
    writer->stats.disk = config->directories[0];
    writer->stats.disk_free_bytes = least_free(writer, &writer->stats.disk);
    publish_log(writer);
    int failed = pthread_create(&writer->thread, NULL, run, writer);
    if (failed != 0) {
        free(writer->entries);
        free(writer);
        return error_set_errno(err, STATUS_NO_MEMORY, failed, "start the log writer");
    }
    *ret = writer;
    return STATUS_OK;
}

void log_writer_submit(struct log_writer *writer, struct entry_batch *batch)
{
    wake_lock(&writer->wake);
    batch_queue_push(&writer->submitted, batch);
    wake_signal(&writer->wake);
    wake_unlock(&writer->wake);
}

void log_writer_take(struct log_writer *writer, struct batch_queue *out)
{
    wake_lock(&writer->wake);
    batch_queue_move(out, &writer->done);
    wake_unlock(&writer->wake);
}

void log_writer_allow_cut(struct log_writer *writer, uint64_t synced, uint64_t cut)
{
    wake_lock(&writer->wake);
    writer->synced = synced;
    writer->cut = cut;
    wake_unlock(&writer->wake);
}

void log_writer_stats_get(struct log_writer *writer, struct log_writer_stats *ret)
{
    wake_lock(&writer->wake);
    *ret = writer->stats;
    wake_unlock(&writer->wake);
}

void log_writer_stop(struct log_writer *writer)
{
    wake_lock(&writer->wake);
    writer->stopping = true;
    wake_signal(&writer->wake);
    wake_unlock(&writer->wake);
    (void)pthread_join(writer->thread, NULL); /* cannot fail: it is ours and joined once */
    entry_batch_free(writer->submitted.head);
    entry_batch_free(writer->done.head);
    free_fetches(writer->wanted);
    free_fetches(writer->fetched);
    wake_deinit(&writer->wake);
    free(writer->entries);
    free(writer);
}
