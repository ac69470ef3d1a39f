/* The bytes of a snapshot file, for the snapshot_*.c files and their tests: head, pieces, rows (docs/formats.md). */
#ifndef CHRONOS_STATE_SNAPSHOT_FORMAT_H
#define CHRONOS_STATE_SNAPSHOT_FORMAT_H

#include <zstd.h>

#include "state/snapshot.h"
#include "state/state_internal.h"

enum {
    SNAPSHOT_FORMAT = 1,
    SNAPSHOT_FRONT_SIZE = 16, /* magic, format, size of what follows up to the checksum */
    SNAPSHOT_CRC_SIZE = 4,
    SNAPSHOT_PIECE_HEAD_SIZE = 12, /* stored size, size of the rows, checksum */
    SNAPSHOT_ROW_HEAD_SIZE = 7,    /* table, size of the key, size of the row */
    SNAPSHOT_END_LEAST = 17, /* and 8 for each table that the writer knew */
    SNAPSHOT_END_SIZE = SNAPSHOT_END_LEAST + 8 * STATE_TABLE_COUNT,
    SNAPSHOT_ROW_MAX = SNAPSHOT_ROW_HEAD_SIZE + STORE_KEY_MIN + STORE_VALUE_MIN,
    SNAPSHOT_ROWS_MAX = SNAPSHOT_BLOCK_BYTES + SNAPSHOT_ROW_MAX,
    SNAPSHOT_STORED_MAX = ZSTD_COMPRESSBOUND(SNAPSHOT_ROWS_MAX),
};

/* --- head --- */

/* Appends the head; *ret_crc is what the first piece's checksum goes on from. */
void snapshot_head_encode(const struct snapshot_info *info, struct buffer *out, uint32_t *ret_crc);
/* How many bytes follow the front, checksum included. CORRUPT where it is no snapshot. */
must_use enum status snapshot_front_decode(const uint8_t front[SNAPSHOT_FRONT_SIZE], uint32_t *ret_size, struct error *err);
/* All of the head. */
must_use enum status snapshot_head_decode(struct bytes head, struct snapshot_info *ret, uint32_t *ret_crc, struct error *err);

/* --- pieces: blocks of rows, then the end --- */

struct snapshot_piece {
    uint32_t stored_size; /* of the bytes behind the head of the piece */
    uint32_t rows_size;   /* once decompressed; 0: the end, which is not compressed */
    uint32_t crc;
};
/* Where tables come in the file: `meta` last, because with it the state becomes whole. */
unsigned snapshot_table_place(enum state_table table);
enum state_table snapshot_table_at(unsigned place);

void snapshot_row_encode(enum state_table table, struct bytes key, struct bytes row, struct buffer *out);
/* Takes one row off the front of *rows. CORRUPT where it does not fit or cannot be. */
must_use enum status snapshot_row_decode(struct bytes *rows, enum state_table *ret_table, struct bytes *ret_key,
                                         struct bytes *ret_row, struct error *err);
/* Appends a block; *crc goes on. */
must_use enum status snapshot_block_encode(ZSTD_CCtx *zstd, struct bytes rows, uint32_t *crc, struct buffer *out,
                                           struct error *err);
void snapshot_end_encode(const struct snapshot_summary *summary, uint32_t *crc, struct buffer *out);
/* Sizes within their limits, or CORRUPT. */
must_use enum status snapshot_piece_decode(const uint8_t head[SNAPSHOT_PIECE_HEAD_SIZE], struct snapshot_piece *ret,
                                           struct error *err);
/* Whether head and stored bytes are what was written; *crc goes on. */
must_use enum status snapshot_piece_check(const struct snapshot_piece *piece, const void *stored, uint32_t *crc,
                                          struct error *err);
/* CORRUPT unless it says what was read. */
must_use enum status snapshot_end_check(struct bytes end, const struct snapshot_summary *read, struct error *err);

/* --- reading a whole file --- */

/* What becomes of the rows, which are borrowed for the call. */
struct snapshot_visitor {
    enum status (*row)(void *arg, enum state_table table, struct bytes key, struct bytes row, struct error *err);
    enum status (*block)(void *arg, struct error *err); /* its rows are through */
    void *arg;
};
/* Without a visitor (NULL) they are only checked. */
must_use enum status snapshot_read(const char *path, const struct snapshot_visitor *visitor, const struct snapshot_watch *watch,
                                   struct snapshot_info *ret_info, struct snapshot_summary *ret, struct error *err);

#endif
