#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "state/snapshot_format.h"

enum { FILE_MODE = 0600 }; /* it holds what the data directory holds */

struct writer {
    struct file_draft draft;
    EVP_MD_CTX *digest;
    ZSTD_CCtx *zstd;
    struct buffer rows;   /* of the block in the making */
    struct buffer stored; /* what goes to the file next */
    uint32_t crc;
    enum state_table table; /* that is walked */
    struct snapshot_summary summary;
    const struct snapshot_watch *watch;
    enum status status;
    struct error *err;
};

static enum status write_stored(struct writer *w)
{
    if (w->stored.failed != STATUS_OK)
        return error_set(w->err, w->stored.failed, "no memory for a block of rows");
    if (EVP_DigestUpdate(w->digest, w->stored.data, w->stored.size) != 1)
        return error_set(w->err, STATUS_INTERNAL, "SHA-256 fails");
    enum status status = file_draft_write(&w->draft, w->stored.data, w->stored.size, w->err);
    w->summary.size += w->stored.size;
    buffer_clear(&w->stored);
    return status;
}

static enum status flush_block(struct writer *w)
{
    if (w->watch != NULL && !w->watch->go_on(w->watch->arg, w->summary.size))
        return error_set(w->err, STATUS_CANCELLED, "it was told to stop");
    if (w->rows.size == 0)
        return STATUS_OK;
    enum status status = snapshot_block_encode(w->zstd, buffer_bytes(&w->rows), &w->crc, &w->stored, w->err);
    buffer_clear(&w->rows);
    return status == STATUS_OK ? write_stored(w) : status;
}

static bool add_row(void *arg, struct bytes key, struct bytes row)
{
    struct writer *w = arg;
    if (key.size > STORE_KEY_MIN || row.size > STORE_VALUE_MIN) {
        (void)error_set(w->err, STATUS_TOO_LARGE, "a row of %zu bytes is larger than a snapshot can hold", row.size);
        w->status = state_wrap_row(w->err, w->table, key);
        return false;
    }
    snapshot_row_encode(w->table, key, row, &w->rows);
    if (w->rows.failed != STATUS_OK) {
        w->status = error_set(w->err, w->rows.failed, "no memory for a block of rows");
        return false;
    }
    w->summary.rows++;
    w->summary.row_bytes += key.size + row.size;
    w->summary.table_rows[w->table]++;
    if (w->rows.size >= SNAPSHOT_BLOCK_BYTES)
        w->status = flush_block(w);
    return w->status == STATUS_OK;
}

static enum status write_tables(struct writer *w, struct state_view *view)
{
    for (unsigned place = 0; place < STATE_TABLE_COUNT; place++) {
        w->table = snapshot_table_at(place);
        enum status status = state_walk_table(view, w->table, (struct bytes){NULL, 0}, false, add_row, w, w->err);
        if (w->status != STATUS_OK)
            return w->status;
        if (status != STATUS_OK)
            return status;
    }
    return flush_block(w);
}

static enum status write_all(struct writer *w, const struct snapshot_info *info, struct state_view *view)
{
    if (w->digest == NULL || w->zstd == NULL)
        return error_set(w->err, STATUS_NO_MEMORY, "out of memory");
    if (EVP_DigestInit_ex(w->digest, EVP_sha256(), NULL) != 1)
        return error_set(w->err, STATUS_INTERNAL, "SHA-256 is not available");
    snapshot_head_encode(info, &w->stored, &w->crc);
    enum status status = write_stored(w);
    if (status == STATUS_OK)
        status = write_tables(w, view);
    if (status != STATUS_OK)
        return status;
    snapshot_end_encode(&w->summary, &w->crc, &w->stored);
    status = write_stored(w);
    if (status == STATUS_OK && EVP_DigestFinal_ex(w->digest, w->summary.digest, NULL) != 1)
        status = error_set(w->err, STATUS_INTERNAL, "SHA-256 fails");
    return status;
}

/* What the caller knows, and what the view and the program do. */
static struct snapshot_info complete(const struct snapshot_info *info, const struct state_view *view)
{
    struct snapshot_info complete = *info;
    complete.last = view->applied;
    complete.state_format = STATE_FORMAT;
    (void)snprintf(complete.version, sizeof complete.version, "%s", CHRONOS_VERSION); /* ours fits */
    return complete;
}

enum status snapshot_write(struct state_view *view, const struct snapshot_info *info, const char *path,
                           const struct snapshot_watch *watch, struct snapshot_info *ret_info, struct snapshot_summary *ret,
                           struct error *err)
{
    struct writer w = {.watch = watch, .err = err, .digest = EVP_MD_CTX_new(), .zstd = ZSTD_createCCtx()};
    struct snapshot_info written = complete(info, view);
    buffer_init(&w.rows, SNAPSHOT_ROWS_MAX);
    buffer_init(&w.stored, SNAPSHOT_PIECE_HEAD_SIZE + SNAPSHOT_STORED_MAX);
    enum status status = file_draft_open(path, &w.draft, err);
    if (status == STATUS_OK) {
        status = write_all(&w, &written, view);
        if (status == STATUS_OK)
            status = file_draft_publish(&w.draft, FILE_MODE, err);
        else
            file_draft_discard(&w.draft);
    }
    buffer_deinit(&w.rows);
    buffer_deinit(&w.stored);
    ZSTD_freeCCtx(w.zstd);
    EVP_MD_CTX_free(w.digest);
    if (status != STATUS_OK)
        return error_wrap(err, "write the snapshot %s", path);
    if (ret_info != NULL)
        *ret_info = written;
    *ret = w.summary;
    return STATUS_OK;
}
