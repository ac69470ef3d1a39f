#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state/snapshot_format.h"

struct snapshot_reader {
    int fd;
    EVP_MD_CTX *digest; /* NULL where the head alone is read */
    ZSTD_DCtx *zstd;
    uint8_t *stored, *rows; /* one piece as it lies there, and decompressed */
    uint32_t crc;
    const struct snapshot_visitor *visitor;
    struct snapshot_info info;
    struct snapshot_summary summary; /* of what was read so far */
    unsigned place;       /* of the table that the newest row is of */
    uint8_t key[STORE_KEY_MIN];
    size_t key_size;      /* of that row; 0: none yet in this table */
    uint32_t meta_seen;   /* bits of enum state_meta_row */
    uint64_t jobs_count, executions_count, idempotency_count;
};

/* --- bytes --- */

static enum status read_exactly(struct snapshot_reader *r, void *out, size_t size, struct error *err)
{
    uint8_t *at = out;
    size_t left = size;
    while (left > 0) {
        ssize_t got = read(r->fd, at, left);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(err, STATUS_IO, errno, "read");
        if (got == 0)
            return error_set(err, STATUS_CORRUPT, "the file ends after %" PRIu64 " bytes, which is too early: copy it again",
                             r->summary.size + (size - left));
        at += got;
        left -= (size_t)got;
    }
    r->summary.size += size;
    if (r->digest != NULL && EVP_DigestUpdate(r->digest, out, size) != 1)
        return error_set(err, STATUS_INTERNAL, "SHA-256 fails");
    return STATUS_OK;
}

static enum status expect_end(struct snapshot_reader *r, struct error *err)
{
    char probe;
    ssize_t got;
    do
        got = read(r->fd, &probe, 1);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return error_set_errno(err, STATUS_IO, errno, "read");
    return got == 0 ? STATUS_OK
                    : error_set(err, STATUS_CORRUPT, "there are bytes behind its end, which is after %" PRIu64 " bytes",
                                r->summary.size);
}

static enum status read_head(struct snapshot_reader *r, struct error *err)
{
    uint8_t head[SNAPSHOT_FRONT_SIZE + SNAPSHOT_HEADER_MAX];
    uint32_t size = 0;
    enum status status = read_exactly(r, head, SNAPSHOT_FRONT_SIZE, err);
    if (status == STATUS_OK)
        status = snapshot_front_decode(head, &size, err);
    if (status == STATUS_OK)
        status = read_exactly(r, head + SNAPSHOT_FRONT_SIZE, size, err);
    if (status != STATUS_OK)
        return status;
    return snapshot_head_decode((struct bytes){head, SNAPSHOT_FRONT_SIZE + size}, &r->info, &r->crc, err);
}

/* --- rows --- */

/* Tables in their order, and keys ascending in each: no row stands there twice. */
static enum status check_order(struct snapshot_reader *r, enum state_table table, struct bytes key, struct error *err)
{
    unsigned place = snapshot_table_place(table);
    size_t shorter = key.size < r->key_size ? key.size : r->key_size;
    int order = place == r->place ? memcmp(key.data, r->key, shorter) : 1;
    if (place < r->place || order < 0 || (order == 0 && key.size <= r->key_size))
        return error_set(err, STATUS_CORRUPT, "it is not in its place: rows stand in the order of tables and keys");
    memcpy(r->key, key.data, key.size);
    r->key_size = key.size;
    r->place = place;
    return STATUS_OK;
}

static enum status check_meta(struct snapshot_reader *r, struct bytes key, struct bytes row, struct error *err)
{
    enum state_meta_row which;
    enum status status = state_check_meta_row(key, row, &which, err);
    if (status != STATUS_OK)
        return status;
    r->meta_seen |= 1u << which;
    if (which == META_FORMAT && load_le32(row.data) != r->info.state_format)
        return error_set(err, STATUS_CORRUPT, "it says another format of the state than the head of the file");
    if (which == META_APPLIED && (load_le64(row.data) != r->info.last.index ||
                                  load_le64((const uint8_t *)row.data + 8) != r->info.last.term))
        return error_set(err, STATUS_CORRUPT, "it says another position than the head of the file");
    if (which == META_JOBS_COUNT)
        r->jobs_count = load_le64(row.data);
    if (which == META_EXECUTIONS_COUNT)
        r->executions_count = load_le64(row.data);
    if (which == META_IDEMPOTENCY_COUNT)
        r->idempotency_count = load_le64(row.data);
    return STATUS_OK;
}

static enum status take_row(struct snapshot_reader *r, enum state_table table, struct bytes key, struct bytes row,
                            struct error *err)
{
    enum status status = check_order(r, table, key, err);
    if (status == STATUS_OK)
        status = table == STATE_META ? check_meta(r, key, row, err) : state_check_row(table, key, row, err);
    if (status == STATUS_OK && r->visitor != NULL)
        status = r->visitor->row(r->visitor->arg, table, key, row, err);
    if (status != STATUS_OK)
        return state_wrap_row(err, table, key);
    r->summary.rows++;
    r->summary.row_bytes += key.size + row.size;
    r->summary.table_rows[table]++;
    return STATUS_OK;
}

static enum status take_block(struct snapshot_reader *r, const struct snapshot_piece *piece, struct error *err)
{
    size_t size = ZSTD_decompressDCtx(r->zstd, r->rows, SNAPSHOT_ROWS_MAX, r->stored, piece->stored_size);
    if (ZSTD_isError(size) || size != piece->rows_size)
        return error_set(err, STATUS_CORRUPT, "it does not decompress: %s",
                         ZSTD_isError(size) ? ZSTD_getErrorName(size) : "another size was expected");
    struct bytes rows = {r->rows, size};
    while (rows.size > 0) {
        enum state_table table;
        struct bytes key, row;
        enum status status = snapshot_row_decode(&rows, &table, &key, &row, err);
        if (status == STATUS_OK)
            status = take_row(r, table, key, row, err);
        if (status != STATUS_OK)
            return status;
    }
    return r->visitor != NULL ? r->visitor->block(r->visitor->arg, err) : STATUS_OK;
}

/* --- the whole --- */

/* What a state always is: none of it needs more than the numbers of rows. */
static enum status check_whole(const struct snapshot_reader *r, struct error *err)
{
    const uint64_t *rows = r->summary.table_rows;
    const uint32_t needed = (1u << META_RANGES_CURSOR) - 1; /* the others come and go */
    if ((r->meta_seen & needed) != needed)
        return error_set(err, STATUS_CORRUPT, "rows of the table meta are missing");
    if (rows[STATE_NAMES] != rows[STATE_JOBS] || rows[STATE_SCHED] != rows[STATE_JOBS] || r->jobs_count != rows[STATE_JOBS])
        return error_set(err, STATUS_CORRUPT, "it holds %" PRIu64 " jobs, %" PRIu64 " names and %" PRIu64 " schedules, and "
                         "counts %" PRIu64, rows[STATE_JOBS], rows[STATE_NAMES], rows[STATE_SCHED], r->jobs_count);
    if (r->executions_count != rows[STATE_EXECUTIONS])
        return error_set(err, STATUS_CORRUPT, "it holds %" PRIu64 " executions, and counts %" PRIu64, rows[STATE_EXECUTIONS],
                         r->executions_count);
    if (rows[STATE_IDEMPOTENCY] != rows[STATE_IDEMPOTENCY_BY_TIME] || r->idempotency_count != rows[STATE_IDEMPOTENCY])
        return error_set(err, STATUS_CORRUPT, "it holds %" PRIu64 " idempotency keys, lists %" PRIu64 " by time, and counts %" PRIu64,
                         rows[STATE_IDEMPOTENCY], rows[STATE_IDEMPOTENCY_BY_TIME], r->idempotency_count);
    if (rows[STATE_OPEN] != rows[STATE_OPEN_BY_JOB])
        return error_set(err, STATUS_CORRUPT, "it holds %" PRIu64 " open runs, and lists %" PRIu64 " by job", rows[STATE_OPEN],
                         rows[STATE_OPEN_BY_JOB]);
    return STATUS_OK;
}

/* *ret_end: it was the last one. */
static enum status take_piece(struct snapshot_reader *r, bool *ret_end, struct error *err)
{
    uint8_t head[SNAPSHOT_PIECE_HEAD_SIZE];
    struct snapshot_piece piece;
    enum status status = read_exactly(r, head, sizeof head, err);
    if (status == STATUS_OK)
        status = snapshot_piece_decode(head, &piece, err);
    if (status == STATUS_OK)
        status = read_exactly(r, r->stored, piece.stored_size, err);
    if (status == STATUS_OK)
        status = snapshot_piece_check(&piece, r->stored, &r->crc, err);
    if (status != STATUS_OK)
        return status;
    *ret_end = piece.rows_size == 0;
    return *ret_end ? snapshot_end_check((struct bytes){r->stored, piece.stored_size}, &r->summary, err)
                    : take_block(r, &piece, err);
}

static enum status read_all(struct snapshot_reader *r, const struct snapshot_watch *watch, struct error *err)
{
    enum status status = read_head(r, err);
    bool is_end = false;
    while (status == STATUS_OK && !is_end) {
        uint64_t at = r->summary.size;
        if (watch != NULL && !watch->go_on(watch->arg, at))
            return error_set(err, STATUS_CANCELLED, "it was told to stop");
        status = take_piece(r, &is_end, err);
        if (status != STATUS_OK)
            return error_wrap(err, "the block at byte %" PRIu64, at);
    }
    if (status == STATUS_OK)
        status = expect_end(r, err);
    if (status == STATUS_OK)
        status = check_whole(r, err);
    if (status == STATUS_OK && EVP_DigestFinal_ex(r->digest, r->summary.digest, NULL) != 1)
        status = error_set(err, STATUS_INTERNAL, "SHA-256 fails");
    return status;
}

static enum status open_file(const char *path, int *ret_fd, struct error *err)
{
    struct stat file;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would wait for somebody that writes */
    if (fd < 0)
        return error_set_errno(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, errno, "open the snapshot %s", path);
    if (fstat(fd, &file) == 0 && S_ISREG(file.st_mode)) {
        *ret_fd = fd;
        return STATUS_OK;
    }
    (void)close(fd); /* nothing was written */
    return error_set(err, STATUS_INVALID, "%s is not a file", path);
}

enum status snapshot_read(const char *path, const struct snapshot_visitor *visitor, const struct snapshot_watch *watch,
                          struct snapshot_info *ret_info, struct snapshot_summary *ret, struct error *err)
{
    struct snapshot_reader r = {.visitor = visitor};
    enum status status = open_file(path, &r.fd, err);
    if (status != STATUS_OK)
        return status;
    r.digest = EVP_MD_CTX_new();
    r.zstd = ZSTD_createDCtx();
    r.stored = malloc(SNAPSHOT_STORED_MAX);
    r.rows = malloc(SNAPSHOT_ROWS_MAX);
    if (r.digest == NULL || r.zstd == NULL || r.stored == NULL || r.rows == NULL)
        status = error_set(err, STATUS_NO_MEMORY, "out of memory");
    else if (EVP_DigestInit_ex(r.digest, EVP_sha256(), NULL) != 1)
        status = error_set(err, STATUS_INTERNAL, "SHA-256 is not available");
    else
        status = read_all(&r, watch, err);
    free(r.rows);
    free(r.stored);
    ZSTD_freeDCtx(r.zstd);
    EVP_MD_CTX_free(r.digest);
    (void)close(r.fd); /* only read */
    if (status != STATUS_OK)
        return error_wrap(err, "the snapshot %s", path);
    *ret_info = r.info;
    *ret = r.summary;
    return STATUS_OK;
}

enum status snapshot_verify(const char *path, const struct snapshot_watch *watch, struct snapshot_info *ret_info,
                            struct snapshot_summary *ret, struct error *err)
{
    return snapshot_read(path, NULL, watch, ret_info, ret, err);
}

enum status snapshot_read_info(const char *path, struct snapshot_info *ret, struct error *err)
{
    struct snapshot_reader r = {.digest = NULL};
    enum status status = open_file(path, &r.fd, err);
    if (status != STATUS_OK)
        return status;
    status = read_head(&r, err);
    (void)close(r.fd); /* only read */
    if (status != STATUS_OK)
        return error_wrap(err, "the snapshot %s", path);
    *ret = r.info;
    return STATUS_OK;
}
