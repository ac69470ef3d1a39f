#include "state/snapshot_format.h"

#include <string.h>

static_assert(STATE_OPEN_BY_JOB == 11 && STATE_META == 10, "numbers of tables stand in snapshots");

/* Its first byte is no text, its last ones tell a copy that changed ends of lines. */
static const uint8_t magic[8] = {0x93, 'C', 'H', 'R', 'S', 'N', '\r', '\n'};

enum { FORMAT_AT = 8, SIZE_AT = 12 };

/* --- head: the front and the checksum stay as they are in all formats to come --- */

void snapshot_head_encode(const struct snapshot_info *info, struct buffer *out, uint32_t *ret_crc)
{
    assert(info->conf_size <= SNAPSHOT_CONF_MAX);
    size_t begin = out->size;
    buffer_append(out, magic, sizeof magic);
    put_u32(out, SNAPSHOT_FORMAT);
    put_u32(out, 0); /* known at the end */
    put_id(out, &info->cluster_id);
    put_u64(out, info->last.index);
    put_u64(out, info->last.term);
    put_u64(out, info->hash);
    put_u64(out, info->conf_index);
    put_i64(out, info->created_ms);
    put_u32(out, info->state_format);
    put_string(out, info->node);
    put_string(out, info->version);
    put_blob(out, info->conf, info->conf_size);
    if (out->failed != STATUS_OK)
        return;
    store_le32(out->data + begin + SIZE_AT, (uint32_t)(out->size - begin) - SNAPSHOT_FRONT_SIZE + SNAPSHOT_CRC_SIZE);
    *ret_crc = crc32c(0, out->data + begin, out->size - begin);
    put_u32(out, *ret_crc);
}

enum status snapshot_front_decode(const uint8_t front[SNAPSHOT_FRONT_SIZE], uint32_t *ret_size, struct error *err)
{
    uint32_t size = load_le32(front + SIZE_AT);
    if (memcmp(front, magic, sizeof magic) != 0)
        return error_set(err, STATUS_CORRUPT, "it is not a snapshot of Chronos, or its first bytes are damaged");
    if (size < SNAPSHOT_CRC_SIZE || size > SNAPSHOT_HEADER_MAX)
        return error_set(err, STATUS_CORRUPT, "its head is damaged: it cannot have %u bytes", (unsigned)size);
    *ret_size = size;
    return STATUS_OK;
}

static enum status check_formats(uint32_t format, const struct snapshot_info *info, struct error *err)
{
    if (format == 0)
        return error_set(err, STATUS_CORRUPT, "it names format 0, which never existed");
    if (format > SNAPSHOT_FORMAT)
        return error_set(err, STATUS_NOT_IMPLEMENTED,
                         "written by a newer version of Chronos (format %u, this one knows %d): upgrade this node first",
                         (unsigned)format, SNAPSHOT_FORMAT);
    if (info->state_format > STATE_FORMAT)
        return error_set(err, STATUS_NOT_IMPLEMENTED,
                         "written by a newer version of Chronos (%s; format %u of the state, this one knows %d): upgrade this "
                         "node first", info->version, (unsigned)info->state_format, STATE_FORMAT);
    return STATUS_OK;
}

enum status snapshot_head_decode(struct bytes head, struct snapshot_info *ret, uint32_t *ret_crc, struct error *err)
{
    assert(head.size >= SNAPSHOT_FRONT_SIZE + SNAPSHOT_CRC_SIZE);
    const uint8_t *at = head.data;
    size_t covered = head.size - SNAPSHOT_CRC_SIZE;
    uint32_t crc = crc32c(0, at, covered), format = load_le32(at + FORMAT_AT);
    if (crc != load_le32(at + covered))
        return error_set(err, STATUS_CORRUPT, "its head is damaged (checksum)");
    struct snapshot_info info = {.state_format = STATE_FORMAT};
    if (format != SNAPSHOT_FORMAT)
        return check_formats(format, &info, err);
    struct reader r = reader_of(at + SNAPSHOT_FRONT_SIZE, covered - SNAPSHOT_FRONT_SIZE);
    info.cluster_id = take_id(&r);
    info.last.index = take_u64(&r);
    info.last.term = take_u64(&r);
    info.hash = take_u64(&r);
    info.conf_index = take_u64(&r);
    info.created_ms = take_i64(&r);
    info.state_format = take_u32(&r);
    take_string(&r, info.node, sizeof info.node);
    take_string(&r, info.version, sizeof info.version);
    struct bytes conf = take_blob(&r);
    if (!reader_done(&r) || conf.size > sizeof info.conf)
        return error_set(err, STATUS_CORRUPT, "its head is damaged: a field is too short, too long or missing");
    info.conf_size = (uint32_t)conf.size;
    if (conf.size > 0)
        memcpy(info.conf, conf.data, conf.size);
    enum status status = check_formats(format, &info, err);
    if (status != STATUS_OK)
        return status;
    *ret = info;
    *ret_crc = crc;
    return STATUS_OK;
}

/* --- rows --- */

unsigned snapshot_table_place(enum state_table table)
{
    if (table == STATE_META)
        return STATE_TABLE_COUNT - 1;
    return table < STATE_META ? table : table - 1u;
}

enum state_table snapshot_table_at(unsigned place)
{
    assert(place < STATE_TABLE_COUNT);
    if (place == STATE_TABLE_COUNT - 1)
        return STATE_META;
    return (enum state_table)(place < STATE_META ? place : place + 1);
}

void snapshot_row_encode(enum state_table table, struct bytes key, struct bytes row, struct buffer *out)
{
    put_u8(out, (uint8_t)table);
    put_u16(out, (uint16_t)key.size);
    put_u32(out, (uint32_t)row.size);
    buffer_append(out, key.data, key.size);
    buffer_append(out, row.data, row.size);
}

enum status snapshot_row_decode(struct bytes *rows, enum state_table *ret_table, struct bytes *ret_key, struct bytes *ret_row,
                                struct error *err)
{
    struct reader r = reader_of(rows->data, rows->size);
    unsigned table = take_u8(&r);
    size_t key_size = take_u16(&r), row_size = take_u32(&r), left = (size_t)(r.end - r.at);
    if (r.failed || key_size > left || row_size > left - key_size)
        return error_set(err, STATUS_CORRUPT, "a row reaches beyond its block");
    if (table >= STATE_TABLE_COUNT)
        return error_set(err, STATUS_CORRUPT, "this version of Chronos knows no table of the number %u", table);
    if (key_size == 0 || key_size > STORE_KEY_MIN || row_size > STORE_VALUE_MIN)
        return error_set(err, STATUS_CORRUPT, "table %s: a key of %zu bytes with a row of %zu cannot be",
                         state_table_name((enum state_table)table), key_size, row_size);
    *ret_table = (enum state_table)table;
    *ret_key = (struct bytes){r.at, key_size};
    *ret_row = (struct bytes){r.at + key_size, row_size};
    *rows = (struct bytes){r.at + key_size + row_size, left - key_size - row_size};
    return STATUS_OK;
}

/* --- pieces --- */

/* Each checksum goes on from the one before: a piece that is missing, doubled or of another file is seen as well. */
static uint32_t piece_crc(uint32_t before, uint32_t stored_size, uint32_t rows_size, const void *stored)
{
    uint8_t sizes[8];
    store_le32(sizes, stored_size);
    store_le32(sizes + 4, rows_size);
    return crc32c(crc32c(before, sizes, sizeof sizes), stored, stored_size);
}

enum status snapshot_block_encode(ZSTD_CCtx *zstd, struct bytes rows, uint32_t *crc, struct buffer *out, struct error *err)
{
    assert(rows.size > 0 && rows.size <= SNAPSHOT_ROWS_MAX);
    size_t begin = out->size, bound = ZSTD_compressBound(rows.size);
    uint8_t *at = buffer_reserve(out, SNAPSHOT_PIECE_HEAD_SIZE + bound);
    if (at == NULL)
        return error_set(err, out->failed, "no memory for a block of rows");
    size_t stored = ZSTD_compressCCtx(zstd, at + SNAPSHOT_PIECE_HEAD_SIZE, bound, rows.data, rows.size, ZSTD_CLEVEL_DEFAULT);
    if (ZSTD_isError(stored))
        return error_set(err, STATUS_INTERNAL, "compress a block of rows: %s", ZSTD_getErrorName(stored));
    buffer_commit(out, SNAPSHOT_PIECE_HEAD_SIZE + stored);
    at = (uint8_t *)out->data + begin;
    *crc = piece_crc(*crc, (uint32_t)stored, (uint32_t)rows.size, at + SNAPSHOT_PIECE_HEAD_SIZE);
    store_le32(at, (uint32_t)stored);
    store_le32(at + 4, (uint32_t)rows.size);
    store_le32(at + 8, *crc);
    return STATUS_OK;
}

static void put_end(const struct snapshot_summary *summary, struct buffer *out)
{
    put_u64(out, summary->rows);
    put_u64(out, summary->row_bytes);
    put_u8(out, STATE_TABLE_COUNT);
    for (int table = 0; table < STATE_TABLE_COUNT; table++)
        put_u64(out, summary->table_rows[table]);
}

void snapshot_end_encode(const struct snapshot_summary *summary, uint32_t *crc, struct buffer *out)
{
    struct buffer end;
    buffer_init(&end, SNAPSHOT_END_SIZE);
    put_end(summary, &end);
    if (end.failed == STATUS_OK) {
        *crc = piece_crc(*crc, SNAPSHOT_END_SIZE, 0, end.data);
        put_u32(out, SNAPSHOT_END_SIZE);
        put_u32(out, 0);
        put_u32(out, *crc);
        buffer_append(out, end.data, end.size);
    } else {
        out->failed = end.failed;
    }
    buffer_deinit(&end);
}

enum status snapshot_piece_decode(const uint8_t head[SNAPSHOT_PIECE_HEAD_SIZE], struct snapshot_piece *ret, struct error *err)
{
    struct snapshot_piece piece = {load_le32(head), load_le32(head + 4), load_le32(head + 8)};
    bool possible = piece.rows_size == 0 ? piece.stored_size >= SNAPSHOT_END_LEAST && piece.stored_size <= SNAPSHOT_END_SIZE
                                         : piece.rows_size <= SNAPSHOT_ROWS_MAX && piece.stored_size > 0 &&
                                               piece.stored_size <= SNAPSHOT_STORED_MAX;
    if (!possible)
        return error_set(err, STATUS_CORRUPT, "it cannot have %u bytes that hold %u", (unsigned)piece.stored_size,
                         (unsigned)piece.rows_size);
    *ret = piece;
    return STATUS_OK;
}

enum status snapshot_piece_check(const struct snapshot_piece *piece, const void *stored, uint32_t *crc, struct error *err)
{
    uint32_t found = piece_crc(*crc, piece->stored_size, piece->rows_size, stored);
    if (found != piece->crc)
        return error_set(err, STATUS_CORRUPT, "its checksum does not fit its bytes");
    *crc = found;
    return STATUS_OK;
}

enum status snapshot_end_check(struct bytes end, const struct snapshot_summary *read, struct error *err)
{
    struct reader r = reader_of(end.data, end.size);
    bool same = take_u64(&r) == read->rows;
    same &= take_u64(&r) == read->row_bytes;
    unsigned known = take_u8(&r); /* an older version knew fewer tables */
    for (unsigned table = 0; table < STATE_TABLE_COUNT; table++)
        same &= (table < known ? take_u64(&r) : 0) == read->table_rows[table];
    if (!same || !reader_done(&r))
        return error_set(err, STATUS_CORRUPT, "rows are missing or too many: the end of the file counts others");
    return STATUS_OK;
}
