#include "cluster/message.h"

#include <assert.h>
#include <stdlib.h>

#include "base/codec.h"

/* Which fields follow, in this order. On the wire: never renumber, add at the end. */
enum field {
    HAS_REJECT = 1 << 0, /* flags: nothing follows */
    HAS_LOST = 1 << 1,
    HAS_TRANSFER = 1 << 2,
    HAS_TERM = 1 << 3,
    HAS_LOG = 1 << 4,
    HAS_LOG_HASH = 1 << 5,
    HAS_COMMIT = 1 << 6,
    HAS_MATCH = 1 << 7,
    HAS_HINT = 1 << 8,
    HAS_READ_SEQ = 1 << 9,
    HAS_CTX = 1 << 10,
    HAS_ENTRIES = 1 << 11,
    HAS_SNAPSHOT = 1 << 12,
    HAS_OFFSET = 1 << 13,
    HAS_CHUNK = 1 << 14,
    FIELDS_KNOWN = (1 << 15) - 1,
};
enum { ENTRY_SIZE_MIN = 8 + 8 + 1 + 4 }; /* term, hash, type, size */

static bool is_id(struct raft_log_id id)
{
    return id.index != 0 || id.term != 0;
}

static uint32_t fields_of(const struct raft_message *m)
{
    uint32_t fields = 0;
    fields |= m->reject ? HAS_REJECT : 0;
    fields |= m->lost ? HAS_LOST : 0;
    fields |= m->transfer ? HAS_TRANSFER : 0;
    fields |= m->term != 0 ? HAS_TERM : 0;
    fields |= is_id(m->log) ? HAS_LOG : 0;
    fields |= m->log_hash != 0 ? HAS_LOG_HASH : 0;
    fields |= m->commit != 0 ? HAS_COMMIT : 0;
    fields |= m->match != 0 ? HAS_MATCH : 0;
    fields |= is_id(m->hint) ? HAS_HINT : 0;
    fields |= m->read_seq != 0 ? HAS_READ_SEQ : 0;
    fields |= m->ctx != 0 ? HAS_CTX : 0;
    fields |= m->entry_count != 0 ? HAS_ENTRIES : 0;
    fields |= m->snapshot != NULL ? HAS_SNAPSHOT : 0;
    fields |= m->offset != 0 ? HAS_OFFSET : 0;
    fields |= m->chunk.size != 0 ? HAS_CHUNK : 0;
    return fields;
}

/* --- out --- */

static void put_number(struct buffer *out, bool is_there, uint64_t value)
{
    if (is_there)
        put_u64(out, value);
}

static void put_id(struct buffer *out, struct raft_log_id id)
{
    put_u64(out, id.index);
    put_u64(out, id.term);
}

/* Indexes are not sent: they count on from `log`. */
static void put_entries(struct buffer *out, const struct raft_message *m)
{
    put_u32(out, m->entry_count);
    for (uint32_t i = 0; i < m->entry_count; i++) {
        const struct raft_entry *entry = &m->entries[i];
        assert(entry->id.index == m->log.index + 1 + i);
        put_u64(out, entry->id.term);
        put_u64(out, entry->hash);
        put_u8(out, entry->type);
        put_blob(out, entry->data, entry->size);
    }
}

static void put_snapshot(struct buffer *out, const struct raft_snapshot_meta *snapshot)
{
    struct buffer conf;
    put_id(out, snapshot->last);
    put_u64(out, snapshot->hash);
    put_u64(out, snapshot->size);
    buffer_append(out, snapshot->digest, sizeof snapshot->digest);
    put_u64(out, snapshot->conf_index);
    buffer_init(&conf, sizeof snapshot->conf);
    raft_conf_encode(&snapshot->conf, &conf);
    put_blob(out, conf.data, conf.size);
    if (conf.failed != STATUS_OK && out->failed == STATUS_OK)
        out->failed = conf.failed;
    buffer_deinit(&conf);
}

void message_encode(const struct raft_message *m, struct buffer *out)
{
    uint32_t fields = fields_of(m);
    put_u8(out, m->type);
    put_u32(out, fields);
    put_u64(out, m->to);
    put_number(out, fields & HAS_TERM, m->term);
    if (fields & HAS_LOG)
        put_id(out, m->log);
    put_number(out, fields & HAS_LOG_HASH, m->log_hash);
    put_number(out, fields & HAS_COMMIT, m->commit);
    put_number(out, fields & HAS_MATCH, m->match);
    if (fields & HAS_HINT)
        put_id(out, m->hint);
    put_number(out, fields & HAS_READ_SEQ, m->read_seq);
    put_number(out, fields & HAS_CTX, m->ctx);
    if (fields & HAS_ENTRIES)
        put_entries(out, m);
    if (fields & HAS_SNAPSHOT)
        put_snapshot(out, m->snapshot);
    put_number(out, fields & HAS_OFFSET, m->offset);
    if (fields & HAS_CHUNK)
        put_blob(out, m->chunk.data, m->chunk.size);
}

/* --- in --- */

void message_room_deinit(struct message_room *room)
{
    free(room->entries);
    *room = (struct message_room){0};
}

static struct raft_log_id take_id(struct reader *r)
{
    struct raft_log_id id = {.index = take_u64(r)};
    id.term = take_u64(r);
    return id;
}

static enum status make_room(struct message_room *room, uint32_t count, struct error *err)
{
    if (count <= room->capacity)
        return STATUS_OK;
    uint32_t capacity = room->capacity * 2 > count ? room->capacity * 2 : count;
    struct raft_entry *entries = realloc(room->entries, capacity * sizeof *entries);
    if (entries == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a message of %u entries", count);
    room->entries = entries;
    room->capacity = capacity;
    return STATUS_OK;
}

static enum status take_entries(struct reader *r, struct message_room *room, struct raft_message *m, struct error *err)
{
    uint32_t count = take_u32(r);
    if (r->failed || count == 0 || count > (size_t)(r->end - r->at) / ENTRY_SIZE_MIN)
        return error_set(err, STATUS_MALFORMED, "a message of consensus announces %u entries that are not there", count);
    enum status status = make_room(room, count, err);
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        struct raft_entry *entry = &room->entries[i];
        *entry = (struct raft_entry){.id = {.index = m->log.index + 1 + i, .term = take_u64(r)}};
        entry->hash = take_u64(r);
        entry->type = take_u8(r);
        struct bytes data = take_blob(r);
        entry->data = data.size > 0 ? data.data : NULL;
        entry->size = (uint32_t)data.size; /* a blob's size is 32 bits */
    }
    m->entries = room->entries;
    m->entry_count = count;
    return status;
}

static enum status take_snapshot(struct reader *r, struct message_room *room, struct raft_message *m, struct error *err)
{
    struct raft_snapshot_meta *snapshot = &room->snapshot;
    *snapshot = (struct raft_snapshot_meta){.last = take_id(r)};
    snapshot->hash = take_u64(r);
    snapshot->size = take_u64(r);
    take_raw(r, snapshot->digest, sizeof snapshot->digest);
    snapshot->conf_index = take_u64(r);
    struct bytes conf = take_blob(r);
    m->snapshot = snapshot;
    if (r->failed || raft_conf_decode(conf, &snapshot->conf) != STATUS_OK)
        return error_set(err, STATUS_MALFORMED, "the description of a snapshot is damaged");
    return STATUS_OK;
}

static void take_numbers(struct reader *r, uint32_t fields, struct raft_message *m)
{
    m->term = fields & HAS_TERM ? take_u64(r) : 0;
    if (fields & HAS_LOG)
        m->log = take_id(r);
    m->log_hash = fields & HAS_LOG_HASH ? take_u64(r) : 0;
    m->commit = fields & HAS_COMMIT ? take_u64(r) : 0;
    m->match = fields & HAS_MATCH ? take_u64(r) : 0;
    if (fields & HAS_HINT)
        m->hint = take_id(r);
    m->read_seq = fields & HAS_READ_SEQ ? take_u64(r) : 0;
    m->ctx = fields & HAS_CTX ? take_u64(r) : 0;
}

enum status message_decode(struct bytes encoded, uint64_t from, struct message_room *room, struct raft_message *ret,
                           struct error *err)
{
    struct reader r = reader_of(encoded.data, encoded.size);
    struct raft_message m = {.type = take_u8(&r), .from = from};
    uint32_t fields = take_u32(&r);
    enum status status = STATUS_OK;
    m.to = take_u64(&r);
    if ((fields & ~(uint32_t)FIELDS_KNOWN) != 0)
        return error_set(err, STATUS_MALFORMED, "a message of consensus has fields that this version does not know");
    m.reject = fields & HAS_REJECT;
    m.lost = fields & HAS_LOST;
    m.transfer = fields & HAS_TRANSFER;
    take_numbers(&r, fields, &m);
    if (fields & HAS_ENTRIES)
        status = take_entries(&r, room, &m, err);
    if (status == STATUS_OK && fields & HAS_SNAPSHOT)
        status = take_snapshot(&r, room, &m, err);
    if (status != STATUS_OK)
        return status;
    m.offset = fields & HAS_OFFSET ? take_u64(&r) : 0;
    if (fields & HAS_CHUNK)
        m.chunk = take_blob(&r);
    if (!reader_done(&r))
        return error_set(err, STATUS_MALFORMED, "a message of consensus is cut short, or longer than what it holds");
    *ret = m;
    return STATUS_OK;
}
