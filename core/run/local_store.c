#include "run/local_store.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/file.h"

enum { ROW_FORMAT = 1, HEADER_SIZE = 1 + 8 + 8 + 4, CHUNK_KEY_SIZE = LOCAL_KEY_SIZE + 4, OUTBOX_HEAD_SIZE = 1 + 4 };

struct local_store {
    struct store *store;
    uint32_t output, outbox;
    char path[PATH_MAX];
};

static void store_be32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

struct local_key local_key(const struct id *execution, uint32_t attempt)
{
    struct local_key key;
    memcpy(key.bytes, execution->bytes, sizeof execution->bytes);
    store_be32(key.bytes + sizeof execution->bytes, attempt);
    return key;
}

static struct bytes key_bytes(const struct local_key *key)
{
    return (struct bytes){key->bytes, sizeof key->bytes};
}

struct chunk_key {
    uint8_t bytes[CHUNK_KEY_SIZE];
};

static struct chunk_key chunk_key(const struct local_key *key, uint32_t chunk)
{
    struct chunk_key made;
    memcpy(made.bytes, key->bytes, LOCAL_KEY_SIZE);
    store_be32(made.bytes + LOCAL_KEY_SIZE, chunk);
    return made;
}

/* --- open and close --- */

static enum status open_tables(struct local_store *local, struct error *err)
{
    enum status status = store_table(local->store, "output", 0, &local->output, err);
    return status == STATUS_OK ? store_table(local->store, "outbox", 0, &local->outbox, err) : status;
}

enum status local_store_open(const struct plugin_component *backend, const cJSON *options, const struct clock *clock,
                             const char *data_dir, struct local_store **ret, struct error *err)
{
    char path[PATH_MAX];
    enum status status = path_join(path, sizeof path, data_dir, "local", err);
    if (status == STATUS_OK)
        status = directory_make(path, 0700, err);
    if (status != STATUS_OK)
        return error_wrap(err, "make the folder for output");
    struct local_store *local = calloc(1, sizeof *local);
    if (local == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    memcpy(local->path, path, strlen(path) + 1);
    struct store_options opened = {.role = CHRONOS_STORAGE_STATE, .directory = path, .max_readers = LOCAL_READERS};
    status = store_open(backend, "local", options, clock, &opened, &local->store, err);
    if (status == STATUS_OK)
        status = open_tables(local, err);
    if (status != STATUS_OK) {
        local_store_close(local);
        return error_wrap(err, "open the output in %.200s", path);
    }
    *ret = local;
    return STATUS_OK;
}

void local_store_close(struct local_store *local)
{
    if (local == NULL)
        return;
    store_close(local->store);
    free(local);
}

int64_t local_free_bytes(const struct local_store *local)
{
    return disk_free_bytes(local->path);
}

/* --- writing --- */

enum status local_begin(struct local_store *local, struct store_txn *ret, struct error *err)
{
    return store_begin(local->store, CHRONOS_TXN_WRITE | CHRONOS_TXN_LAZY, ret, err);
}

enum status local_put_output(struct local_store *local, struct store_txn *txn, const struct local_key *key, struct bytes kept,
                             uint64_t total, struct error *err)
{
    uint8_t header[HEADER_SIZE] = {ROW_FORMAT};
    store_le64(header + 1, kept.size);
    store_le64(header + 9, total);
    store_le32(header + 17, LOCAL_CHUNK_SIZE);
    enum status status = store_put(txn, local->output, key_bytes(key), (struct bytes){header, sizeof header}, 0, err);
    uint32_t chunk = 0;
    for (size_t at = 0; at < kept.size && status == STATUS_OK; at += LOCAL_CHUNK_SIZE, chunk++) {
        struct chunk_key name = chunk_key(key, chunk);
        size_t size = kept.size - at < LOCAL_CHUNK_SIZE ? kept.size - at : LOCAL_CHUNK_SIZE;
        status = store_put(txn, local->output, (struct bytes){name.bytes, sizeof name.bytes},
                           (struct bytes){(const char *)kept.data + at, size}, 0, err);
    }
    return status;
}

enum status local_put_outbox(struct local_store *local, struct store_txn *txn, struct bytes key, struct bytes row,
                             struct error *err)
{
    return store_put(txn, local->outbox, key, row, 0, err);
}

enum status local_delete_outbox(struct local_store *local, struct store_txn *txn, struct bytes key, struct error *err)
{
    enum status status = store_delete(txn, local->outbox, key, err);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status; /* its put was lost to a full disk */
}

enum status local_sweep_output(struct local_store *local, struct store_txn *txn, int64_t before_ms, uint64_t max,
                               uint64_t *ret_count, struct error *err)
{
    uint8_t stamp[8], end[6]; /* ids begin with 48 bits of milliseconds */
    store_be64(stamp, (uint64_t)(before_ms > 0 ? before_ms : 0));
    memcpy(end, stamp + 2, sizeof end);
    return store_delete_range(txn, local->output, (struct bytes){NULL, 0}, (struct bytes){end, sizeof end}, max, ret_count,
                              err);
}

enum status local_sync(struct local_store *local, struct error *err)
{
    return store_sync(local->store, err);
}

/* --- output --- */

struct output_header {
    uint64_t kept, total;
    uint32_t chunk_size;
};

static enum status read_header(struct bytes row, struct output_header *ret, struct error *err)
{
    struct reader r = reader_of(row.data, row.size);
    uint8_t format = take_u8(&r);
    if (!r.failed && format != ROW_FORMAT)
        return error_set(err, STATUS_CORRUPT, "output was stored by a newer version of Chronos (format %u)", format);
    struct output_header header = {.kept = take_u64(&r)};
    header.total = take_u64(&r);
    header.chunk_size = take_u32(&r);
    if (!reader_done(&r) || header.chunk_size == 0 || header.kept > header.total)
        return error_set(err, STATUS_CORRUPT, "the header of a stored output is damaged");
    *ret = header;
    return STATUS_OK;
}

static enum status read_chunks(struct local_store *local, struct store_txn *txn, const struct local_key *key,
                               const struct output_header *header, uint64_t offset, size_t max, struct buffer *out,
                               struct error *err)
{
    while (max > 0 && offset < header->kept) {
        struct chunk_key name = chunk_key(key, (uint32_t)(offset / header->chunk_size));
        struct bytes chunk;
        size_t skip = (size_t)(offset % header->chunk_size);
        enum status status =
            store_get(txn, local->output, (struct bytes){name.bytes, sizeof name.bytes}, &chunk, err);
        if (status == STATUS_NOT_FOUND || (status == STATUS_OK && chunk.size <= skip))
            return error_set(err, STATUS_CORRUPT, "a part of a stored output is missing");
        if (status != STATUS_OK)
            return status;
        size_t size = chunk.size - skip < max ? chunk.size - skip : max;
        buffer_append(out, (const char *)chunk.data + skip, size);
        offset += size;
        max -= size;
    }
    return out->failed == STATUS_OK ? STATUS_OK : error_set(err, out->failed, "no room for %zu bytes of output", max);
}

enum status local_read_output(struct local_store *local, const struct local_key *key, uint64_t offset, size_t max,
                              struct buffer *out, uint64_t *ret_kept, struct error *err)
{
    struct store_txn txn = {0};
    struct output_header header = {0};
    struct bytes row;
    enum status status = store_begin(local->store, CHRONOS_TXN_READ, &txn, err);
    if (status != STATUS_OK)
        return status;
    status = store_get(&txn, local->output, key_bytes(key), &row, err);
    if (status == STATUS_OK)
        status = read_header(row, &header, err);
    if (status == STATUS_OK)
        status = read_chunks(local, &txn, key, &header, offset, max, out, err);
    store_abort(&txn);
    if (status == STATUS_OK)
        *ret_kept = header.kept;
    return status;
}

/* --- outbox --- */

void local_outbox_row(struct bytes command, struct buffer *out)
{
    put_u8(out, ROW_FORMAT);
    put_u32(out, crc32c(0, command.data, command.size));
    buffer_append(out, command.data, command.size);
}

/* A damaged command must not reach the log: it would stop the node. */
static struct bytes read_outbox_row(struct bytes row)
{
    const uint8_t *at = row.data;
    if (row.size <= OUTBOX_HEAD_SIZE || at[0] != ROW_FORMAT)
        return (struct bytes){NULL, 0};
    struct bytes command = {at + OUTBOX_HEAD_SIZE, row.size - OUTBOX_HEAD_SIZE};
    return load_le32(at + 1) == crc32c(0, command.data, command.size) ? command : (struct bytes){NULL, 0};
}

enum status local_read_outbox(struct local_store *local, const struct local_key *after, local_outbox_walk walk, void *arg,
                              struct error *err)
{
    struct store_txn txn = {0};
    struct store_cursor cursor = {0};
    struct bytes key, row;
    enum status status = store_begin(local->store, CHRONOS_TXN_READ, &txn, err);
    if (status == STATUS_OK)
        status = store_cursor_open(&txn, local->outbox, &cursor, err);
    int32_t op = CHRONOS_CURSOR_SEEK_GE;
    while (status == STATUS_OK) {
        status = store_cursor_move(&cursor, op, key_bytes(after), &key, &row, err);
        op = CHRONOS_CURSOR_NEXT;
        if (status != STATUS_OK)
            break;
        struct local_key found = {{0}};
        if (key.size == LOCAL_KEY_SIZE)
            memcpy(found.bytes, key.data, LOCAL_KEY_SIZE);
        if (key.size != LOCAL_KEY_SIZE || memcmp(found.bytes, after->bytes, LOCAL_KEY_SIZE) == 0)
            continue; /* not ours, or seen */
        if (!walk(arg, &found, read_outbox_row(row)))
            break;
    }
    store_cursor_close(&cursor);
    store_abort(&txn);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}
