/* Snapshot files that are damaged or forged: nothing crashes, and what is taken adds up. The first byte of the input chooses: 0, the
 * rest is a whole file; otherwise it is the rows of one block in a file whose checksums are right, which chance would never find. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "state/snapshot_format.h"

static int file_of(struct bytes content)
{
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    CHECK(fd >= 0);
    CHECK(write(fd, content.data, content.size) == (ssize_t)content.size);
    return fd;
}

static void put_file(struct bytes rows, struct buffer *out)
{
    struct snapshot_info info = {.node = "node", .version = "1", .state_format = 1};
    struct snapshot_summary summary = {.rows = 0};
    struct error err;
    struct bytes left = rows, key, row;
    enum state_table table;
    uint32_t crc = 0;
    static ZSTD_CCtx *zstd; /* making one takes longer than all the rest */
    if (zstd == NULL)
        zstd = ZSTD_createCCtx();
    CHECK(zstd != NULL);
    while (left.size > 0 && snapshot_row_decode(&left, &table, &key, &row, &err) == STATUS_OK) {
        summary.rows++;
        summary.row_bytes += key.size + row.size;
        summary.table_rows[table]++;
        if (table == STATE_META && key.size == strlen("applied") && memcmp(key.data, "applied", key.size) == 0 && row.size >= 16)
            info.last = (struct state_position){load_le64(row.data), load_le64((const uint8_t *)row.data + 8)};
    }
    snapshot_head_encode(&info, out, &crc);
    if (rows.size > 0)
        CHECK(snapshot_block_encode(zstd, rows, &crc, out, &err) == STATUS_OK);
    snapshot_end_encode(&summary, &crc, out);
    CHECK(out->failed == STATUS_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct snapshot_info info;
    struct snapshot_summary summary;
    struct error err;
    struct buffer content;
    char path[32];
    if (size == 0 || size > SNAPSHOT_BLOCK_BYTES)
        return 0;
    buffer_init(&content, 4 << 20);
    if (data[0] == 0)
        buffer_append(&content, data + 1, size - 1);
    else
        put_file((struct bytes){data + 1, size - 1}, &content);
    int fd = file_of(buffer_bytes(&content));
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (snapshot_verify(path, NULL, &info, &summary, &err) == STATUS_OK) {
        uint64_t rows = 0;
        for (int table = 0; table < STATE_TABLE_COUNT; table++)
            rows += summary.table_rows[table];
        CHECK(rows == summary.rows && summary.size == content.size && info.conf_size <= SNAPSHOT_CONF_MAX);
    } else {
        CHECK(err.message[0] != '\0' && strlen(err.message) < sizeof err.message);
    }
    (void)close(fd); /* only memory */
    buffer_deinit(&content);
    return 0;
}
