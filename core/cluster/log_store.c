#include "cluster/log_store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/limits.h"

enum { HARD_FORMAT = 2, ENTRY_FORMAT = 1 };

static_assert((int)LOG_ENTRY_CONF == 3, "types are on disk");

/* A configuration in the entries that are kept. */
struct log_conf {
    uint64_t index, term;
    struct raft_conf conf;
};

struct log_store {
    struct store *store;
    uint32_t entries, meta;
    struct log_hard_state hard;
    struct log_position last;
    bool removed;
    struct buffer scratch;
    struct log_conf *confs; /* ascending; few */
    uint32_t conf_count, conf_capacity;
    struct raft_term_run *runs; /* the terms of the entries that are kept, ascending */
    uint32_t run_count, run_capacity;
    /* What log_store_boot lends. */
    struct raft_entry *boot_entries;
    struct buffer boot_bytes;
};

static const struct bytes hard_key = {"hard", 4};
static const struct bytes removed_key = {"removed", 7}; /* there while this node is no member */

/* --- formats: reader and writer side by side --- */

static void hard_encode(const struct log_hard_state *hard, struct buffer *out)
{
    put_u8(out, HARD_FORMAT);
    buffer_append(out, hard->cluster_id.bytes, sizeof hard->cluster_id.bytes);
    put_u64(out, hard->node);
    put_u64(out, hard->term);
    put_u64(out, hard->vote);
    put_u64(out, hard->base.index);
    put_u64(out, hard->base.term);
    put_u64(out, hard->base.hash);
    put_u64(out, hard->base.offset);
    put_u64(out, hard->live);
    put_u64(out, hard->conf_index);
    raft_conf_encode(&hard->conf, out);
    put_u32(out, crc32c(0, out->data, out->size));
}

static enum status hard_decode(struct bytes row, struct log_hard_state *ret, struct error *err)
{
    struct reader r = reader_of(row.data, row.size);
    struct log_hard_state hard = {0};
    uint8_t format = take_u8(&r);
    if (!r.failed && format > HARD_FORMAT)
        return error_set(err, STATUS_NOT_IMPLEMENTED,
                         "the log store was written by a newer version of Chronos (format %u, this one knows %u): install that "
                         "version again", format, HARD_FORMAT);
    if (!r.failed && format == 1)
        return error_set(err, STATUS_NOT_IMPLEMENTED, "the log store was written by a development version of Chronos before the "
                         "first release (format 1); start with an empty data directory");
    take_raw(&r, hard.cluster_id.bytes, sizeof hard.cluster_id.bytes);
    hard.node = take_u64(&r);
    hard.term = take_u64(&r);
    hard.vote = take_u64(&r);
    hard.base.index = take_u64(&r);
    hard.base.term = take_u64(&r);
    hard.base.hash = take_u64(&r);
    hard.base.offset = take_u64(&r);
    hard.live = take_u64(&r);
    hard.conf_index = take_u64(&r);
    struct bytes conf = {r.at, r.failed || r.end - r.at < 4 ? 0 : (size_t)(r.end - r.at) - 4};
    struct reader sum = reader_of(r.at + conf.size, (size_t)(r.end - r.at) - conf.size);
    if (r.failed || format != HARD_FORMAT || take_u32(&sum) != crc32c(0, row.data, row.size - 4) || !reader_done(&sum) ||
        raft_conf_decode(conf, &hard.conf) != STATUS_OK)
        return error_set(err, STATUS_CORRUPT, "the hard state of the log store is damaged");
    *ret = hard;
    return STATUS_OK;
}

static struct raft_entry entry_of(const struct log_entry *entry)
{
    return (struct raft_entry){.id = {entry->index, entry->term}, .type = (uint8_t)entry->type, .data = entry->data.data,
                               .size = (uint32_t)entry->data.size};
}

static uint32_t entry_crc(const struct log_entry *entry)
{
    struct raft_entry raft = entry_of(entry);
    return raft_entry_crc(&raft);
}

static uint64_t entry_hash(uint64_t previous, const struct log_entry *entry)
{
    struct raft_entry raft = entry_of(entry);
    return raft_entry_hash(previous, &raft);
}

static void entry_encode(const struct log_entry *entry, const struct log_position *at, struct buffer *out)
{
    put_u8(out, ENTRY_FORMAT);
    put_u8(out, (uint8_t)entry->type);
    put_u16(out, 0);
    put_u32(out, entry_crc(entry));
    put_u64(out, entry->term);
    put_u64(out, at->hash);
    put_u64(out, at->offset);
    put_u32(out, (uint32_t)entry->data.size);
    put_u32(out, 0);
    buffer_append(out, entry->data.data, entry->data.size);
}

static enum status entry_decode(uint64_t index, struct bytes row, struct log_entry *ret, struct log_position *ret_at,
                                struct error *err)
{
    struct reader r = reader_of(row.data, row.size);
    uint8_t format = take_u8(&r);
    if (!r.failed && format > ENTRY_FORMAT)
        return error_set(err, STATUS_NOT_IMPLEMENTED, "entry %llu was written by a newer version of Chronos (format %u): install "
                         "that version on this node",
                         (unsigned long long)index, format);
    struct log_entry entry = {.index = index, .type = take_u8(&r)};
    uint16_t flags = take_u16(&r);
    uint32_t crc = take_u32(&r);
    entry.term = take_u64(&r);
    struct log_position at = {.index = index, .term = entry.term};
    at.hash = take_u64(&r);
    at.offset = take_u64(&r);
    uint32_t size = take_u32(&r);
    uint32_t reserved = take_u32(&r);
    entry.data = (struct bytes){r.at, (size_t)(r.end - r.at)};
    if (r.failed || format != ENTRY_FORMAT || flags != 0 || reserved != 0 || entry.data.size != size || crc != entry_crc(&entry) ||
        entry.type < LOG_ENTRY_NORMAL)
        return error_set(err, STATUS_CORRUPT, "log entry %llu is damaged (checksum); " LOG_STORE_MEND,
                         (unsigned long long)index);
    if (entry.type > LOG_ENTRY_CONF)
        return error_set(err, STATUS_NOT_IMPLEMENTED, "entry %llu was written by a newer version of Chronos (type %u): install that "
                         "version on this node", (unsigned long long)index, (unsigned)entry.type);
    entry.hash = at.hash;
    *ret = entry;
    *ret_at = at;
    return STATUS_OK;
}

static struct log_position next_position(const struct log_position *last, const struct log_entry *entry)
{
    return (struct log_position){
        .index = entry->index,
        .term = entry->term,
        .hash = entry_hash(last->hash, entry),
        .offset = last->offset + LOG_ENTRY_HEADER_SIZE + entry->data.size,
    };
}

struct bytes log_entry_command(enum log_entry_type type, struct bytes data)
{
    return type == LOG_ENTRY_CONF ? (struct bytes){NULL, 0} : data;
}

/* --- configurations and terms of the entries kept --- */

static enum status reserve(void **array, uint32_t *capacity, uint32_t count, size_t element, struct error *err)
{
    if (count <= *capacity)
        return STATUS_OK;
    uint32_t grown = *capacity == 0 ? 8 : *capacity * 2;
    void *larger = realloc(*array, grown * element);
    if (larger == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    *array = larger;
    *capacity = grown;
    return STATUS_OK;
}

static enum status note_conf(struct log_store *log, const struct log_entry *entry, struct error *err)
{
    if (entry->type != LOG_ENTRY_CONF)
        return STATUS_OK;
    void *confs = log->confs;
    enum status status = reserve(&confs, &log->conf_capacity, log->conf_count + 1, sizeof log->confs[0], err);
    log->confs = confs;
    if (status != STATUS_OK)
        return status;
    struct log_conf *to = &log->confs[log->conf_count];
    if (raft_conf_decode(entry->data, &to->conf) != STATUS_OK)
        return error_set(err, STATUS_CORRUPT, "log entry %llu holds a configuration that is damaged",
                         (unsigned long long)entry->index);
    to->index = entry->index;
    to->term = entry->term;
    log->conf_count++;
    return STATUS_OK;
}

static enum status note_term(struct log_store *log, const struct log_entry *entry, struct error *err)
{
    if (log->run_count > 0 && log->runs[log->run_count - 1].term == entry->term)
        return STATUS_OK;
    void *runs = log->runs;
    enum status status = reserve(&runs, &log->run_capacity, log->run_count + 1, sizeof log->runs[0], err);
    log->runs = runs;
    if (status == STATUS_OK)
        log->runs[log->run_count++] = (struct raft_term_run){.term = entry->term, .first = entry->index};
    return status;
}

static enum status note_entry(struct log_store *log, const struct log_entry *entry, struct error *err)
{
    enum status status = note_term(log, entry, err);
    return status == STATUS_OK ? note_conf(log, entry, err) : status;
}

static void forget_from(struct log_store *log, uint64_t from)
{
    while (log->conf_count > 0 && log->confs[log->conf_count - 1].index >= from)
        log->conf_count--;
    while (log->run_count > 0 && log->runs[log->run_count - 1].first >= from)
        log->run_count--;
}

/* How many of the configurations are in entries up to `until`; the last of them is in force there. */
static uint32_t confs_until(const struct log_store *log, uint64_t until)
{
    uint32_t count = 0;
    while (count < log->conf_count && log->confs[count].index <= until)
        count++;
    return count;
}

static void forget_until(struct log_store *log, uint64_t until)
{
    uint32_t gone = confs_until(log, until), runs = 0;
    if (gone > 0)
        memmove(log->confs, log->confs + gone, (log->conf_count - gone) * sizeof log->confs[0]);
    log->conf_count -= gone;
    while (runs < log->run_count && until >= (runs + 1 < log->run_count ? log->runs[runs + 1].first - 1 : log->last.index))
        runs++;
    if (runs > 0)
        memmove(log->runs, log->runs + runs, (log->run_count - runs) * sizeof log->runs[0]);
    log->run_count -= runs;
    if (log->run_count > 0 && log->runs[0].first <= until)
        log->runs[0].first = until + 1;
}

/* --- opening --- */

static enum status make_hard_state(struct log_store *log, struct error *err)
{
    struct log_hard_state hard = {.live = 1};
    do
        random_bytes_secure(&hard.node, sizeof hard.node);
    while (hard.node == 0);
    log->hard = hard;
    return log_store_append(log, NULL, 0, &hard, err);
}

static enum status read_hard_state(struct log_store *log, bool *ret_found, struct error *err)
{
    struct store_txn txn;
    struct bytes row;
    enum status status = store_begin(log->store, CHRONOS_TXN_READ, &txn, err);
    if (status != STATUS_OK)
        return status;
    status = store_get(&txn, log->meta, hard_key, &row, err);
    *ret_found = status == STATUS_OK;
    if (status == STATUS_OK)
        status = hard_decode(row, &log->hard, err);
    else if (status == STATUS_NOT_FOUND)
        status = STATUS_OK;
    enum status said = status == STATUS_OK ? store_get(&txn, log->meta, removed_key, &row, err) : STATUS_OK;
    log->removed = status == STATUS_OK && said == STATUS_OK;
    if (said != STATUS_OK && said != STATUS_NOT_FOUND)
        status = said;
    store_abort(&txn);
    return status;
}

static enum status verify_entry(struct log_store *log, struct bytes key, struct bytes row, struct error *err)
{
    struct log_entry entry;
    struct log_position at;
    if (key.size != 8)
        return error_set(err, STATUS_CORRUPT, "the log store holds a key of %zu bytes", key.size);
    uint64_t index = load_be64(key.data);
    if (index != log->last.index + 1)
        return error_set(err, STATUS_CORRUPT, "log entry %llu is missing (found %llu)",
                         (unsigned long long)(log->last.index + 1), (unsigned long long)index);
    enum status status = entry_decode(index, row, &entry, &at, err);
    if (status != STATUS_OK)
        return status;
    struct log_position expected = next_position(&log->last, &entry);
    if (entry.term < log->last.term || expected.hash != at.hash || expected.offset != at.offset)
        return error_set(err, STATUS_CORRUPT, "log entry %llu does not continue the log (term, running hash or offset)",
                         (unsigned long long)index);
    log->last = at;
    return note_entry(log, &entry, err);
}

static enum status verify_entries(struct log_store *log, struct error *err)
{
    struct store_txn txn;
    struct store_cursor cursor = {0};
    struct bytes key, row, none = {NULL, 0};
    log->last = log->hard.base;
    enum status status = store_begin(log->store, CHRONOS_TXN_READ, &txn, err);
    if (status != STATUS_OK)
        return status;
    status = store_cursor_open(&txn, log->entries, &cursor, err);
    while (status == STATUS_OK) {
        status = store_cursor_move(&cursor, CHRONOS_CURSOR_NEXT, none, &key, &row, err);
        if (status == STATUS_OK)
            status = verify_entry(log, key, row, err);
    }
    store_cursor_close(&cursor);
    store_abort(&txn);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status open_log(struct store *store, bool may_begin, struct log_store **ret, struct error *err)
{
    struct log_store *log = calloc(1, sizeof *log);
    if (log == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    log->store = store;
    buffer_init(&log->scratch, ENTRY_SIZE_MAX + LOG_ENTRY_HEADER_SIZE);
    buffer_init(&log->boot_bytes, SIZE_MAX); /* bounded by the configurations kept */
    bool found = false;
    enum status status = store_table(store, "entries", CHRONOS_TABLE_SEQUENTIAL, &log->entries, err);
    if (status == STATUS_OK)
        status = store_table(store, "meta", 0, &log->meta, err);
    if (status == STATUS_OK)
        status = read_hard_state(log, &found, err);
    if (status == STATUS_OK && found)
        status = verify_entries(log, err);
    else if (status == STATUS_OK)
        status = may_begin ? make_hard_state(log, err) : error_set(err, STATUS_NOT_FOUND, "the store holds no log");
    if (status != STATUS_OK) {
        log_store_free(log);
        return status;
    }
    *ret = log;
    return STATUS_OK;
}

enum status log_store_new(struct store *store, struct log_store **ret, struct error *err)
{
    return open_log(store, true, ret, err);
}

enum status log_store_open(struct store *store, struct log_store **ret, struct error *err)
{
    return open_log(store, false, ret, err);
}

void log_store_free(struct log_store *log)
{
    if (log == NULL)
        return;
    buffer_deinit(&log->scratch);
    buffer_deinit(&log->boot_bytes);
    free(log->boot_entries);
    free(log->runs);
    free(log->confs);
    free(log);
}

const struct log_hard_state *log_store_hard(const struct log_store *log)
{
    return &log->hard;
}

const struct log_position *log_store_last(const struct log_store *log)
{
    return &log->last;
}

/* --- writing --- */

static enum status position_in(struct log_store *log, struct store_txn *txn, uint64_t index, struct log_position *ret,
                               struct error *err)
{
    struct bytes row;
    struct log_entry entry;
    uint8_t key[8];
    if (index == log->hard.base.index) {
        *ret = log->hard.base;
        return STATUS_OK;
    }
    store_be64(key, index);
    enum status status = store_get(txn, log->entries, (struct bytes){key, sizeof key}, &row, err);
    return status == STATUS_OK ? entry_decode(index, row, &entry, ret, err) : status;
}

enum status log_store_position(struct log_store *log, uint64_t index, struct log_position *ret, struct error *err)
{
    struct store_txn txn;
    enum status status = store_begin(log->store, CHRONOS_TXN_READ, &txn, err);
    if (status != STATUS_OK)
        return status;
    status = position_in(log, &txn, index, ret, err);
    store_abort(&txn);
    return status;
}

static enum status put_hard(struct log_store *log, struct store_txn *txn, const struct log_hard_state *hard,
                            struct error *err)
{
    buffer_clear(&log->scratch);
    hard_encode(hard, &log->scratch);
    if (log->scratch.failed != STATUS_OK)
        return error_set(err, log->scratch.failed, "no memory for the hard state of the log");
    return store_put(txn, log->meta, hard_key, buffer_bytes(&log->scratch), 0, err);
}

static enum status put_entry(struct log_store *log, struct store_txn *txn, const struct log_entry *entry,
                             struct log_position *last, struct error *err)
{
    uint8_t key[8];
    assert(entry->index == last->index + 1);
    assert(entry->term >= last->term);
    struct log_position at = next_position(last, entry);
    if (entry->hash != 0 && entry->hash != at.hash)
        return error_set(err, STATUS_CORRUPT,
                         "log entry %llu is not what it was when it was made; check the memory of this machine",
                         (unsigned long long)entry->index);
    store_be64(key, entry->index);
    buffer_clear(&log->scratch);
    entry_encode(entry, &at, &log->scratch);
    if (log->scratch.failed != STATUS_OK)
        return error_set(err, log->scratch.failed, "log entry %llu of %zu bytes does not fit",
                         (unsigned long long)entry->index, entry->data.size);
    enum status status = store_put(txn, log->entries, (struct bytes){key, sizeof key}, buffer_bytes(&log->scratch),
                                   CHRONOS_PUT_APPEND, err);
    if (status == STATUS_OK)
        *last = at;
    return status;
}

enum status log_store_append(struct log_store *log, const struct log_entry *entries, uint32_t count,
                             const struct log_hard_state *hard, struct error *err)
{
    return log_store_replace(log, 0, entries, count, hard, err);
}

/* Deletes from the end on, in the caller's transaction; *last becomes what stands before `from`. */
static enum status truncate_in(struct log_store *log, struct store_txn *txn, uint64_t from, struct log_position *last,
                               struct error *err)
{
    uint8_t first[8], end[8];
    uint64_t removed = 0, count = last->index - from + 1;
    assert(from > log->hard.base.index && from <= last->index);
    enum status status = position_in(log, txn, from - 1, last, err);
    store_be64(first, from);
    store_be64(end, from + count);
    if (status == STATUS_OK)
        status = store_delete_range(txn, log->entries, (struct bytes){first, 8}, (struct bytes){end, 8}, count, &removed, err);
    if (status == STATUS_OK && removed != count)
        return error_set(err, STATUS_CORRUPT, "%llu entries from %llu on were to be dropped, %llu were there",
                         (unsigned long long)count, (unsigned long long)from, (unsigned long long)removed);
    return status;
}

enum status log_store_replace(struct log_store *log, uint64_t from, const struct log_entry *entries, uint32_t count,
                              const struct log_hard_state *hard, struct error *err)
{
    struct store_txn txn;
    struct log_position last = log->last;
    enum status status = store_begin(log->store, CHRONOS_TXN_WRITE, &txn, err);
    if (status != STATUS_OK)
        return error_wrap(err, "begin a write of the log");
    if (from != 0)
        status = truncate_in(log, &txn, from, &last, err);
    if (hard != NULL && status == STATUS_OK)
        status = put_hard(log, &txn, hard, err);
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++)
        status = put_entry(log, &txn, &entries[i], &last, err);
    if (status != STATUS_OK) {
        store_abort(&txn);
        return error_wrap(err, "write the log");
    }
    status = store_commit(&txn, err);
    if (status != STATUS_OK)
        return error_wrap(err, "commit the log");
    log->last = last;
    if (hard != NULL)
        log->hard = *hard;
    if (from != 0)
        forget_from(log, from);
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++)
        status = note_entry(log, &entries[i], err);
    return status;
}

enum status log_store_set_removed(struct log_store *log, bool removed, struct error *err)
{
    static const uint8_t yes[1] = {1};
    struct store_txn txn;
    if (removed == log->removed)
        return STATUS_OK;
    enum status status = store_begin(log->store, CHRONOS_TXN_WRITE, &txn, err);
    if (status != STATUS_OK)
        return error_wrap(err, "write the log");
    status = removed ? store_put(&txn, log->meta, removed_key, (struct bytes){yes, sizeof yes}, 0, err)
                     : store_delete(&txn, log->meta, removed_key, err);
    if (status != STATUS_OK) {
        store_abort(&txn);
        return error_wrap(err, "write the log");
    }
    status = store_commit(&txn, err);
    if (status == STATUS_OK)
        log->removed = removed;
    return status;
}

enum status log_store_install(struct log_store *log, const struct log_hard_state *hard, struct error *err)
{
    static const uint8_t from[8] = {0}, to[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct log_hard_state made = *hard;
    struct store_txn txn;
    uint64_t removed = 1;
    made.base.offset = log->last.offset; /* what was ever appended goes on to be counted */
    enum status status = store_begin(log->store, CHRONOS_TXN_WRITE, &txn, err);
    if (status != STATUS_OK)
        return error_wrap(err, "write the log");
    while (removed > 0 && status == STATUS_OK)
        status = store_delete_range(&txn, log->entries, (struct bytes){from, 8}, (struct bytes){to, 8}, CUT_BATCH_MAX, &removed,
                                    err);
    if (status == STATUS_OK)
        status = put_hard(log, &txn, &made, err);
    if (status != STATUS_OK) {
        store_abort(&txn);
        return error_wrap(err, "replace the log by a snapshot");
    }
    status = store_commit(&txn, err);
    if (status != STATUS_OK)
        return error_wrap(err, "commit the log");
    log->hard = made;
    log->last = made.base;
    log->run_count = log->conf_count = 0;
    return STATUS_OK;
}

/* --- reading --- */

enum status log_store_read(struct log_store *log, uint64_t from, log_walk walk, void *arg, struct error *err)
{
    struct store_txn txn;
    struct store_cursor cursor = {0};
    struct bytes key, row;
    uint8_t seek[8];
    int32_t op = CHRONOS_CURSOR_SEEK_GE;
    store_be64(seek, from);
    enum status status = store_begin(log->store, CHRONOS_TXN_READ, &txn, err);
    if (status != STATUS_OK)
        return status;
    status = store_cursor_open(&txn, log->entries, &cursor, err);
    while (status == STATUS_OK) {
        struct log_entry entry;
        struct log_position at;
        status = store_cursor_move(&cursor, op, (struct bytes){seek, sizeof seek}, &key, &row, err);
        if (status != STATUS_OK)
            break;
        op = CHRONOS_CURSOR_NEXT;
        status = entry_decode(load_be64(key.data), row, &entry, &at, err);
        if (status == STATUS_OK && !walk(arg, &entry))
            break;
    }
    store_cursor_close(&cursor);
    store_abort(&txn);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* --- for the core --- */

static enum status list_confs(struct log_store *log, uint32_t first, struct error *err)
{
    uint32_t count = log->conf_count - first;
    free(log->boot_entries);
    log->boot_entries = calloc(count + 1, sizeof *log->boot_entries);
    buffer_clear(&log->boot_bytes);
    for (uint32_t i = 0; i < count && log->boot_entries != NULL; i++) {
        const struct log_conf *conf = &log->confs[first + i];
        size_t before = log->boot_bytes.size;
        raft_conf_encode(&conf->conf, &log->boot_bytes);
        log->boot_entries[i] = (struct raft_entry){.id = {conf->index, conf->term}, .type = RAFT_ENTRY_CONF,
                                                   .size = (uint32_t)(log->boot_bytes.size - before)};
    }
    if (log->boot_entries == NULL || log->boot_bytes.failed != STATUS_OK)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    const char *data = log->boot_bytes.data; /* it does not move any more */
    for (uint32_t i = 0; i < count; data += log->boot_entries[i].size, i++)
        log->boot_entries[i].data = data;
    return STATUS_OK;
}

enum status log_store_boot(struct log_store *log, uint64_t applied, struct raft_boot *ret, struct error *err)
{
    uint32_t known = confs_until(log, applied);
    enum status status = list_confs(log, known, err);
    if (status != STATUS_OK)
        return status;
    *ret = (struct raft_boot){
        .hard = {log->hard.term, log->hard.vote},
        .base = {log->hard.base.index, log->hard.base.term},
        .last = {log->last.index, log->last.term},
        .last_hash = log->last.hash,
        .runs = log->runs,
        .run_count = log->run_count,
        .applied = applied,
        .conf = known > 0 ? log->confs[known - 1].conf : log->hard.conf,
        .conf_index = known > 0 ? log->confs[known - 1].index : log->hard.conf_index,
        .conf_entries = log->boot_entries,
        .conf_entry_count = log->conf_count - known,
        .removed = log->removed,
    };
    return STATUS_OK;
}

/* --- cutting --- */

/* The lowest index whose successors hold at most TRAILING_BYTES; offsets grow with the index, so halving finds it. */
static enum status bytes_target(struct log_store *log, uint64_t *ret, struct error *err)
{
    uint64_t low = log->hard.base.index, high = log->last.index;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct log_position at;
        enum status status = log_store_position(log, middle, &at, err);
        if (status != STATUS_OK)
            return status;
        if (log->last.offset - at.offset <= TRAILING_BYTES)
            high = middle;
        else
            low = middle + 1;
    }
    *ret = low;
    return STATUS_OK;
}

enum status log_store_cut_target(struct log_store *log, uint64_t synced, uint64_t *ret, struct error *err)
{
    uint64_t target = log->last.index > TRAILING_ENTRIES ? log->last.index - TRAILING_ENTRIES : 0;
    if (log->last.offset - log->hard.base.offset > TRAILING_BYTES) {
        uint64_t by_bytes;
        enum status status = bytes_target(log, &by_bytes, err);
        if (status != STATUS_OK)
            return status;
        if (by_bytes > target)
            target = by_bytes;
    }
    if (target > synced)
        target = synced;
    *ret = target > log->hard.base.index ? target : log->hard.base.index;
    return STATUS_OK;
}

enum status log_store_cut(struct log_store *log, uint64_t upto, bool *ret_more, struct error *err)
{
    struct log_hard_state hard = log->hard;
    struct store_txn txn;
    uint8_t from[8], to[8];
    uint64_t removed = 0;
    assert(upto <= log->last.index);
    *ret_more = false;
    if (upto <= hard.base.index)
        return STATUS_OK;
    uint64_t until = upto - hard.base.index > CUT_BATCH_MAX ? hard.base.index + CUT_BATCH_MAX : upto;
    store_be64(from, hard.base.index + 1);
    store_be64(to, until + 1);
    enum status status = log_store_position(log, until, &hard.base, err);
    if (status != STATUS_OK)
        return status;
    uint32_t gone = confs_until(log, until);
    if (gone > 0) {
        hard.conf_index = log->confs[gone - 1].index;
        hard.conf = log->confs[gone - 1].conf;
    }
    status = store_begin(log->store, CHRONOS_TXN_WRITE, &txn, err);
    if (status != STATUS_OK)
        return status;
    status = store_delete_range(&txn, log->entries, (struct bytes){from, 8}, (struct bytes){to, 8}, CUT_BATCH_MAX, &removed,
                                err);
    if (status == STATUS_OK)
        status = put_hard(log, &txn, &hard, err);
    if (status != STATUS_OK) {
        store_abort(&txn);
        return status;
    }
    status = store_commit(&txn, err);
    if (status != STATUS_OK)
        return status;
    forget_until(log, until);
    log->hard = hard;
    *ret_more = until < upto;
    return STATUS_OK;
}
