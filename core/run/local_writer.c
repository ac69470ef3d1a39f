#include "run/local_writer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/log.h"
#include "base/wake.h"

enum {
    TRANSACTION_BYTES_MAX = 16 << 20,
    SWEEP_ROWS_MAX = 128,      /* deleted in one transaction; a row is up to a chunk */
    SWEEP_EVERY_MS = 60 * 1000,
    SYNC_EVERY_MS = 30 * 1000, /* a dirty store; it would lose more at a power failure, nothing else */
    OPERATION_BYTES_MAX = 128 << 20,
    QUEUE_ROWS_BYTES_MAX = 128 << 20, /* rows that wait; captures are bounded by CAPTURED_TOTAL_MAX */
    FULL_RETRY_MS = 60 * 1000, /* how long output is dropped before it is tried again */
    FREE_SHARE = 4,            /* output that waits may be so small a part of what is free: a store may write it twice,
                                  to its journal and to its place, and half is left even then */
    NS_PER_MS = 1000000,
};

enum operation_kind { PUT_OUTPUT, PUT_OUTBOX, DELETE_OUTBOX };

struct operation {
    struct operation *next;
    enum operation_kind kind;
    struct local_key key;    /* PUT_OUTPUT */
    struct capture *capture;
    struct buffer rows;      /* the others */
};

struct local_writer {
    struct local_writer_config config;
    pthread_t thread;
    struct wake wake;
    /* under its mutex; the head stays until it is committed, so that readers find it */
    struct operation *head, **tail;
    bool stopping, full, broken;
    uint64_t commits;
    size_t rows_bytes, output_bytes; /* that wait */
    /* the thread's own */
    uint64_t full_at_ns;
    uint64_t swept_at_ns, synced_at_ns;
    bool dirty, sweep_again;
};

static uint64_t now_ns(const struct local_writer *writer)
{
    return writer->config.clock->monotonic_ns(writer->config.clock->arg);
}

static void free_operation(struct operation *operation)
{
    capture_unref(operation->capture);
    buffer_deinit(&operation->rows);
    free(operation);
}

/* --- what a transaction does --- */

static enum status put_outbox_rows(struct local_writer *writer, struct store_txn *txn, const struct buffer *rows,
                                   struct error *err)
{
    struct reader r = reader_of(rows->data, rows->size);
    enum status status = STATUS_OK;
    while (status == STATUS_OK && r.at < r.end) {
        struct local_key key;
        take_raw(&r, key.bytes, sizeof key.bytes);
        struct bytes row = take_blob(&r);
        if (r.failed)
            return error_set(err, STATUS_INTERNAL, "rows for the outbox are cut short");
        status = local_put_outbox(writer->config.local, txn, (struct bytes){key.bytes, sizeof key.bytes}, row, err);
    }
    return status;
}

static enum status delete_outbox_rows(struct local_writer *writer, struct store_txn *txn, const struct buffer *keys,
                                      struct error *err)
{
    enum status status = STATUS_OK;
    for (size_t at = 0; at + LOCAL_KEY_SIZE <= keys->size && status == STATUS_OK; at += LOCAL_KEY_SIZE)
        status = local_delete_outbox(writer->config.local, txn, (struct bytes){keys->data + at, LOCAL_KEY_SIZE}, err);
    return status;
}

static enum status write_one(struct local_writer *writer, struct store_txn *txn, const struct operation *operation,
                             struct error *err)
{
    switch (operation->kind) {
    case PUT_OUTPUT:
        return local_put_output(writer->config.local, txn, &operation->key, capture_kept(operation->capture),
                                capture_total(operation->capture), err);
    case PUT_OUTBOX:
        return put_outbox_rows(writer, txn, &operation->rows, err);
    case DELETE_OUTBOX:
        return delete_outbox_rows(writer, txn, &operation->rows, err);
    }
    return STATUS_OK;
}

/* What to leave out when the disk is full: output first, then the outbox, whose reports are under way anyhow. */
enum effort { WRITE_ALL, WRITE_NO_OUTPUT, WRITE_DELETES };

static bool is_left_out(const struct operation *operation, enum effort effort)
{
    return (effort >= WRITE_NO_OUTPUT && operation->kind == PUT_OUTPUT) ||
           (effort >= WRITE_DELETES && operation->kind == PUT_OUTBOX);
}

static enum status write_some(struct local_writer *writer, const struct operation *first, uint32_t count, enum effort effort,
                              struct error *err)
{
    struct store_txn txn = {0};
    enum status status = local_begin(writer->config.local, &txn, err);
    const struct operation *operation = first;
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        if (i > 0)
            operation = operation->next; /* never the last one's: the loop may be appending to it */
        if (!is_left_out(operation, effort))
            status = write_one(writer, &txn, operation, err);
    }
    if (status == STATUS_OK)
        status = store_commit(&txn, err);
    store_abort(&txn);
    return status;
}

static void note_outcome(struct local_writer *writer, enum status status, bool dropped, const struct error *err)
{
    bool failed = status != STATUS_OK && status != STATUS_NO_SPACE;
    wake_lock(&writer->wake);
    bool was_full = writer->full, was_broken = writer->broken;
    if (dropped)
        writer->full_at_ns = now_ns(writer);
    writer->full = dropped || (was_full && now_ns(writer) - writer->full_at_ns < (uint64_t)FULL_RETRY_MS * NS_PER_MS);
    bool returned = was_full && !writer->full;
    writer->broken = failed;
    writer->commits++;
    wake_unlock(&writer->wake);
    if (failed && !was_broken)
        LOG_ERROR("the store for output failed: runs go on, their output and outbox are not kept until a restart",
                  LOG_ERROR_FIELD(err));
    else if (dropped && !was_full)
        LOG_WARN("disk full: the output of runs is not kept until space returns", LOG_ERROR_FIELD(err));
    else if (returned)
        LOG_INFO("the output of runs is kept again");
}

static void write_batch(struct local_writer *writer, const struct operation *first, uint32_t count)
{
    struct error err = {.code = STATUS_OK};
    enum status status = STATUS_NO_SPACE;
    enum effort effort = WRITE_ALL;
    if (writer->broken) /* only this thread sets it */
        return;
    for (; status == STATUS_NO_SPACE && effort <= WRITE_DELETES; effort++)
        status = write_some(writer, first, count, effort, &err);
    writer->dirty = true;
    note_outcome(writer, status, effort > WRITE_ALL + 1, &err);
}

/* --- retention --- */

static void sweep(struct local_writer *writer)
{
    struct store_txn txn = {0};
    struct error err;
    uint64_t count = 0;
    int64_t before_ms = writer->config.clock->wall_ms(writer->config.clock->arg) - writer->config.output_retention_ms;
    writer->swept_at_ns = now_ns(writer);
    enum status status = local_begin(writer->config.local, &txn, &err);
    if (status == STATUS_OK)
        status = local_sweep_output(writer->config.local, &txn, before_ms, SWEEP_ROWS_MAX, &count, &err);
    if (status == STATUS_OK && count > 0)
        status = store_commit(&txn, &err);
    store_abort(&txn);
    writer->sweep_again = status == STATUS_OK && count == SWEEP_ROWS_MAX;
    writer->dirty |= count > 0;
    if (status != STATUS_OK && status != STATUS_NO_SPACE) /* a full disk is tried again the next time */
        note_outcome(writer, status, false, &err);
}

static void sync_store(struct local_writer *writer)
{
    struct error err;
    writer->synced_at_ns = now_ns(writer);
    writer->dirty = false;
    enum status status = local_sync(writer->config.local, &err);
    if (status != STATUS_OK && status != STATUS_NO_SPACE)
        note_outcome(writer, status, false, &err);
}

static bool passed(const struct local_writer *writer, uint64_t since_ns, int64_t ms)
{
    return now_ns(writer) - since_ns >= (uint64_t)ms * NS_PER_MS;
}

static void keep_house(struct local_writer *writer)
{
    bool sweeps = !writer->broken && writer->config.output_retention_ms > 0;
    if (!sweeps)
        writer->sweep_again = false; /* or the thread would never sleep */
    if (writer->broken)
        return;
    if (sweeps && (writer->sweep_again || passed(writer, writer->swept_at_ns, SWEEP_EVERY_MS)))
        sweep(writer);
    if (writer->dirty && passed(writer, writer->synced_at_ns, SYNC_EVERY_MS))
        sync_store(writer);
}

/* --- the thread --- */

static size_t output_size(const struct operation *operation)
{
    return operation->capture != NULL ? capture_kept(operation->capture).size : 0;
}

/* As many operations from the front as one transaction takes. With the mutex held. */
static uint32_t gather(const struct local_writer *writer)
{
    uint32_t count = 0;
    size_t bytes = 0;
    for (const struct operation *operation = writer->head; operation != NULL; operation = operation->next) {
        bytes += output_size(operation) + operation->rows.size;
        if (count > 0 && bytes > TRANSACTION_BYTES_MAX)
            break;
        count++;
    }
    return count;
}

static struct operation *take_done(struct local_writer *writer, uint32_t count)
{
    struct operation *done = writer->head, **end = &done;
    while (count-- > 0)
        end = &(*end)->next;
    writer->head = *end;
    if (writer->head == NULL)
        writer->tail = &writer->head;
    *end = NULL;
    return done;
}

static void write_waiting(struct local_writer *writer)
{
    uint32_t count = gather(writer);
    const struct operation *first = writer->head;
    wake_unlock(&writer->wake);
    write_batch(writer, first, count);
    wake_lock(&writer->wake);
    struct operation *done = take_done(writer, count);
    for (const struct operation *operation = done; operation != NULL; operation = operation->next) {
        writer->rows_bytes -= operation->rows.size;
        writer->output_bytes -= output_size(operation);
    }
    wake_unlock(&writer->wake);
    while (done != NULL) {
        struct operation *next = done->next;
        free_operation(done);
        done = next;
    }
}

static void *run(void *arg)
{
    struct local_writer *writer = arg;
    (void)pthread_setname_np(pthread_self(), "local writer"); /* for people who look at threads */
    for (;;) {
        keep_house(writer);
        wake_lock(&writer->wake);
        if (writer->head == NULL && !writer->stopping && !writer->sweep_again)
            wake_wait(&writer->wake, writer->dirty ? SYNC_EVERY_MS : SWEEP_EVERY_MS);
        bool done = writer->head == NULL && writer->stopping;
        if (writer->head != NULL)
            write_waiting(writer);
        else
            wake_unlock(&writer->wake);
        if (done)
            break;
    }
    if (writer->dirty && !writer->broken)
        sync_store(writer);
    writer->config.stopped(writer->config.stopped_arg);
    return NULL;
}

/* --- life --- */

enum status local_writer_start(const struct local_writer_config *config, struct local_writer **ret, struct error *err)
{
    struct local_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    writer->config = *config;
    writer->tail = &writer->head;
    writer->sweep_again = true; /* look at once */
    writer->synced_at_ns = now_ns(writer);
    wake_init(&writer->wake);
    int failed = pthread_create(&writer->thread, NULL, run, writer);
    if (failed != 0) {
        wake_deinit(&writer->wake);
        free(writer);
        return error_set_errno(err, STATUS_NO_MEMORY, failed, "start the writer of output");
    }
    *ret = writer;
    return STATUS_OK;
}

void local_writer_stop(struct local_writer *writer)
{
    wake_lock(&writer->wake);
    writer->stopping = true;
    wake_signal(&writer->wake);
    wake_unlock(&writer->wake);
}

void local_writer_free(struct local_writer *writer)
{
    if (writer == NULL)
        return;
    local_writer_stop(writer);
    (void)pthread_join(writer->thread, NULL); /* cannot fail: it is ours and joined once */
    wake_deinit(&writer->wake);
    free(writer);
}

/* --- the loop's side --- */

static struct operation *new_operation(enum operation_kind kind)
{
    struct operation *operation = calloc(1, sizeof *operation);
    if (operation == NULL) {
        LOG_ERROR("out of memory: output or outbox of a run is not stored");
        return NULL;
    }
    operation->kind = kind;
    buffer_init(&operation->rows, OPERATION_BYTES_MAX);
    return operation;
}

static void submit(struct local_writer *writer, struct operation *operation)
{
    wake_lock(&writer->wake);
    bool fits = writer->rows_bytes + operation->rows.size <= QUEUE_ROWS_BYTES_MAX;
    if (fits) {
        writer->rows_bytes += operation->rows.size;
        writer->output_bytes += output_size(operation);
        *writer->tail = operation;
        writer->tail = &operation->next;
        wake_signal(&writer->wake);
    }
    wake_unlock(&writer->wake);
    if (!fits) {
        LOG_WARN("the store for output is too slow: a part of the outbox is not stored");
        free_operation(operation);
    }
}

void local_writer_put_output(struct local_writer *writer, const struct local_key *key, struct capture *capture)
{
    struct operation *operation = new_operation(PUT_OUTPUT);
    if (operation == NULL)
        return;
    operation->key = *key;
    operation->capture = capture_ref(capture);
    submit(writer, operation);
}

static void submit_rows(struct local_writer *writer, enum operation_kind kind, struct buffer *rows)
{
    struct operation *operation = rows->size > 0 && rows->failed == STATUS_OK ? new_operation(kind) : NULL;
    if (operation != NULL) {
        struct buffer empty = operation->rows;
        operation->rows = *rows;
        *rows = empty;
        submit(writer, operation);
    } else {
        buffer_clear(rows);
    }
}

void local_writer_put_outbox(struct local_writer *writer, struct buffer *rows)
{
    submit_rows(writer, PUT_OUTBOX, rows);
}

void local_writer_delete_outbox(struct local_writer *writer, struct buffer *keys)
{
    submit_rows(writer, DELETE_OUTBOX, keys);
}

struct capture *local_writer_find_output(struct local_writer *writer, const struct local_key *key)
{
    struct capture *found = NULL;
    wake_lock(&writer->wake);
    for (struct operation *operation = writer->head; operation != NULL && found == NULL; operation = operation->next)
        if (operation->kind == PUT_OUTPUT && memcmp(&operation->key, key, sizeof *key) == 0)
            found = capture_ref(operation->capture);
    wake_unlock(&writer->wake);
    return found;
}

bool local_writer_takes_output(struct local_writer *writer, size_t size)
{
    wake_lock(&writer->wake);
    bool takes = !writer->full && !writer->broken;
    uint64_t wanted = (uint64_t)writer->output_bytes + size;
    wake_unlock(&writer->wake);
    if (!takes)
        return false;
    /* Looked at after the queue: what is written in between counts twice, never not at all. */
    int64_t free_bytes = local_free_bytes(writer->config.local);
    return free_bytes < 0 || wanted <= (uint64_t)free_bytes / FREE_SHARE;
}

uint64_t local_writer_commits(struct local_writer *writer)
{
    wake_lock(&writer->wake);
    uint64_t commits = writer->commits;
    wake_unlock(&writer->wake);
    return commits;
}
