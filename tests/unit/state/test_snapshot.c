/* A snapshot carries a whole state into any backend, and every damage to it is found. */
#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/file.h"
#include "state/check.h"
#include "state/snapshot_format.h"

enum { FILE_MAX = 16 << 20 };
enum { BIG_ROWS = 4, BIG_JSON = 900 * 1024 }; /* each but the last of them begins a block of its own */

static struct error err;

/* --- the linker sends these through here --- */

static int countdown; /* the so manieth call of `failing` fails, and all after it; 0: none does */
static const char *failing = "";
static int failing_errno;

static bool fails(const char *call)
{
    if (strcmp(failing, call) != 0 || countdown == 0 || --countdown > 0)
        return false;
    countdown = 1;
    errno = failing_errno;
    return true;
}

ssize_t __real_write(int fd, const void *data, size_t size);
int __real_fsync(int fd);
int __real_rename(const char *from, const char *to);
ssize_t __wrap_write(int fd, const void *data, size_t size);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);

ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    return fails("write") ? -1 : __real_write(fd, data, size);
}

int __wrap_fsync(int fd)
{
    return fails("fsync") ? -1 : __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
    return fails("rename") ? -1 : __real_rename(from, to);
}

/* --- in short --- */

static const char *other_backend(void)
{
    return strcmp(fixture_backend, "lmdb") == 0 ? "sqlite" : "lmdb";
}

static const char *path_of(const struct fixture *f, const char *name)
{
    static char paths[2][FILE_PATH_SIZE];
    static int turn;
    char *path = paths[turn ^= 1];
    OK(path_join(path, FILE_PATH_SIZE, f->directory, name, &failure));
    return path;
}

static struct snapshot_info some_info(void)
{
    struct snapshot_info info = {.cluster_id = {{1, 2, 3}}, .hash = UINT64_C(0x1122334455667788), .conf_index = 7,
                                 .conf_size = 5, .conf = "conf!", .created_ms = START_MS, .node = "node-1"};
    return info;
}

static struct snapshot_summary write_snapshot(struct fixture *f, const char *path)
{
    struct snapshot_info info = some_info();
    struct snapshot_summary summary;
    struct state_view view;
    OK(state_view_begin(f->state, &view, &failure));
    OK(snapshot_write(&view, &info, path, NULL, NULL, &summary, &failure));
    state_view_end(&view);
    return summary;
}

static struct buffer read_file(const char *path)
{
    struct buffer content;
    buffer_init(&content, FILE_MAX);
    OK(file_read(path, &content, &failure));
    return content;
}

static enum status verify(const char *path)
{
    struct snapshot_info info;
    struct snapshot_summary summary;
    return snapshot_verify(path, NULL, &info, &summary, &err);
}

static enum status verify_bytes(const char *path, struct bytes content)
{
    FILE *file = fopen(path, "wb"); /* nobody needs these to be durable */
    assert_non_null(file);
    assert_int_equal(fwrite(content.data, 1, content.size, file), content.size);
    assert_int_equal(fclose(file), 0);
    return verify(path);
}

static void assert_says(const char *part)
{
    if (strstr(err.message, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.message, part);
}

/* A row in every table, and what retention, edits and deletion leave. */
static void fill(struct fixture *f)
{
    struct placement_node node = node_up(f, "node-1", 11);
    struct job_spec specs[3] = {spec_named("one"), spec_named("two"), spec_named("three")};
    struct id ids[3], run;
    uint64_t serials[3];
    for (int i = 0; i < 3; i++) {
        specs[i].concurrency = CONCURRENCY_ALLOW;
        specs[i].retry.max_attempts = 1;
        serials[i] = create_job(f, &specs[i], &ids[i]);
    }
    specs[0].timeout_ms++;
    assert_int_equal(put_job(f, &specs[0], &ids[0], 1, false, NULL).status, STATUS_OK);
    for (int i = 0; i < 6; i++) {
        f->now_ms += 1000;
        (void)fire(f, serials[i % 3], TRIGGER_SCHEDULE, &node, &run);
        if (i < 4) {
            struct run_report started = report_of(f, &run, REPORT_STARTED);
            (void)report(f, &started);
            (void)finish(f, &run, i == 1 ? RUN_SUCCESS : RUN_TIMEOUT);
        }
    }
    (void)close_run(f, &run, REASON_NODE_RESTART);
    f->now_ms += 1000;
    const struct decided_range range = {.first_ms = f->now_ms - 10, .last_ms = f->now_ms, .count = 3, .reason = REASON_MISSED};
    struct decision dropped = {.serial = serials[1], .job_version = 1, .from_mark_ms = marks_of(f, serials[1]).mark_ms,
                               .to_mark_ms = f->now_ms, .range_count = 1, .ranges = &range};
    assert_int_equal(decide(f, &dropped, NULL).status, STATUS_OK);
    assert_int_equal(delete_job(f, &ids[2], false, NULL).status, STATUS_OK);
    (void)trigger(f, &ids[1], true, &node, &run);
    (void)cancel(f, &run, REASON_USER);
    (void)trigger(f, &ids[1], true, NULL, &run);
    (void)cancel(f, &run, REASON_USER);
    struct idempotency key = {.principal = "me", .key = {7}, .http_status = 202};
    struct buffer command = command_buffer();
    noop_encode(&command);
    command_add_idempotency(&command, &key);
    assert_int_equal(fixture_apply(f, &command).status, STATUS_OK);
    for (int table = 0; table < STATE_TABLE_COUNT; table++)
    assert_int_not_equal(count_rows(f, (enum state_table)table), 0);
}

/* Executions that fill several blocks, put into the tables by hand. */
static void fill_big(struct fixture *f, uint32_t count, uint32_t json_size)
{
    struct buffer row;
    char *json = malloc(json_size);
    uint8_t number[8];
    uint64_t bytes = 0;
    assert_non_null(json);
    buffer_init(&row, STORE_VALUE_MIN);
    for (uint32_t i = 0; i < count; i++) {
        struct id id = fixture_id(f);
        memset(json, 'a' + (int)i, json_size);
        struct execution_row execution = {.status = RUN_SUCCESS, .serial = 1, .json = {json, json_size}};
        buffer_clear(&row);
        execution_row_encode(&execution, &row);
        assert_int_equal(row.failed, STATUS_OK);
        put_raw(f, "executions", id.bytes, sizeof id.bytes, row.data, row.size);
        bytes += sizeof id.bytes + row.size;
    }
    store_le64(number, count);
    put_raw(f, "meta", "executions_count", 16, number, sizeof number);
    store_le64(number, bytes);
    put_raw(f, "meta", "executions_bytes", 16, number, sizeof number);
    free(json);
    buffer_deinit(&row);
    f->unchecked = true; /* these runs are no job's */
}

static void no_problem(void *arg, const char *problem)
{
    (void)arg;
    fail_msg("%s", problem);
}

/* --- there and back --- */

static void check_info(const struct snapshot_info *info, struct state_position last)
{
    struct snapshot_info expected = some_info();
    assert_memory_equal(info->cluster_id.bytes, expected.cluster_id.bytes, sizeof expected.cluster_id.bytes);
    assert_int_equal(info->last.index, last.index);
    assert_int_equal(info->last.term, last.term);
    assert_true(info->hash == expected.hash);
    assert_int_equal(info->conf_index, expected.conf_index);
    assert_int_equal(info->conf_size, expected.conf_size);
    assert_memory_equal(info->conf, expected.conf, expected.conf_size);
    assert_int_equal(info->created_ms, expected.created_ms);
    assert_string_equal(info->node, expected.node);
    assert_string_equal(info->version, CHRONOS_VERSION);
    assert_int_equal(info->state_format, 1);
}

static void carry(struct fixture *f, const char *backend)
{
    const char *path = path_of(f, "snapshot");
    struct snapshot_summary written = write_snapshot(f, path), verified, loaded;
    struct snapshot_info info;
    struct state_contents contents;
    OK(snapshot_read_info(path, &info, &failure));
    check_info(&info, state_applied(f->state));
    OK(snapshot_verify(path, NULL, &info, &verified, &failure));
    check_info(&info, state_applied(f->state));
    assert_memory_equal(&verified, &written, sizeof written);
    for (int table = 0; table < STATE_TABLE_COUNT; table++)
        assert_int_equal(written.table_rows[table], count_rows(f, (enum state_table)table));
    struct fixture *to = fixture_open_empty(backend, 0);
    OK(snapshot_load(path, to->store, NULL, &info, &loaded, &failure));
    check_info(&info, state_applied(f->state));
    assert_memory_equal(&loaded, &written, sizeof written);
    OK(state_new(to->store, &to->state, &failure));
    assert_true(fixture_hash(to) == fixture_hash(f));
    assert_int_equal(state_applied(to->state).index, state_applied(f->state).index);
    assert_true(state_last_stamp(to->state) == state_last_stamp(f->state));
    if (!f->unchecked)
        OK(state_check(to->state, no_problem, NULL, &contents, &failure));
    fixture_reopen(to);
    assert_true(fixture_hash(to) == fixture_hash(f));
    /* A snapshot of it holds the same rows, and so the same bytes. */
    struct snapshot_summary again = write_snapshot(to, path_of(to, "snapshot"));
    assert_memory_equal(&again, &written, sizeof written);
    fixture_close(to);
}

static void carries_a_state(void **state)
{
    struct fixture *f = *state;
    fill(f);
    carry(f, fixture_backend);
    carry(f, other_backend());
}

static void carries_an_empty_state(void **state)
{
    struct fixture *f = *state;
    carry(f, fixture_backend);
    carry(f, other_backend());
}

static void carries_several_blocks(void **state)
{
    struct fixture *f = *state;
    fill_big(f, BIG_ROWS, BIG_JSON);
    carry(f, fixture_backend);
    carry(f, other_backend());
}

/* The largest row of a table, STORE_VALUE_MIN; and the largest configuration, SNAPSHOT_CONF_MAX. */
static void carries_the_largest(void **state)
{
    struct fixture *f = *state;
    enum { EXECUTION_HEAD = 47 };
    fill_big(f, 2, STORE_VALUE_MIN - EXECUTION_HEAD);
    carry(f, other_backend());
    struct snapshot_info info = some_info(), read;
    struct snapshot_summary summary;
    struct state_view view;
    info.conf_size = SNAPSHOT_CONF_MAX;
    memset(info.conf, 'c', SNAPSHOT_CONF_MAX);
    OK(state_view_begin(f->state, &view, &failure));
    OK(snapshot_write(&view, &info, path_of(f, "large"), NULL, NULL, &summary, &failure));
    state_view_end(&view);
    OK(snapshot_read_info(path_of(f, "large"), &read, &failure));
    assert_int_equal(read.conf_size, SNAPSHOT_CONF_MAX);
    assert_memory_equal(read.conf, info.conf, SNAPSHOT_CONF_MAX);
}

static uint32_t count_blocks(const char *path)
{
    struct buffer content = read_file(path);
    struct snapshot_piece piece;
    uint32_t count = 0;
    size_t at = SNAPSHOT_FRONT_SIZE + load_le32(content.data + 12);
    for (;; count++) {
        OK(snapshot_piece_decode((const uint8_t *)content.data + at, &piece, &failure));
        at += SNAPSHOT_PIECE_HEAD_SIZE + piece.stored_size;
        if (piece.rows_size == 0)
            break;
    }
    assert_int_equal(at, content.size);
    buffer_deinit(&content);
    return count;
}

/* The row with which it has SNAPSHOT_BLOCK_BYTES ends a block, whatever it has then. */
static void blocks_are_bounded(void **state)
{
    (void)state;
    enum { ROW = SNAPSHOT_ROW_HEAD_SIZE + 16 + 47 }; /* an execution's, without its text */
    for (int more = 0; more < 2; more++) {
        struct fixture *f = fixture_open(fixture_backend, 0);
        fill_big(f, 2, SNAPSHOT_BLOCK_BYTES - 1 - ROW + (uint32_t)more);
        carry(f, fixture_backend);
        assert_int_equal(count_blocks(path_of(f, "snapshot")), more ? 3 : 2); /* `meta` is the last one */
        fixture_close(f);
    }
    uint8_t head[SNAPSHOT_PIECE_HEAD_SIZE] = {0};
    struct snapshot_piece piece;
    store_le32(head, SNAPSHOT_STORED_MAX);
    store_le32(head + 4, SNAPSHOT_ROWS_MAX);
    OK(snapshot_piece_decode(head, &piece, &failure));
    store_le32(head, SNAPSHOT_STORED_MAX + 1);
    assert_int_equal(snapshot_piece_decode(head, &piece, &err), STATUS_CORRUPT);
    store_le32(head, 1);
    store_le32(head + 4, SNAPSHOT_ROWS_MAX + 1);
    assert_int_equal(snapshot_piece_decode(head, &piece, &err), STATUS_CORRUPT);
}

static void shows_what_its_view_shows(void **state)
{
    struct fixture *f = *state;
    struct snapshot_info info = some_info(), written;
    struct snapshot_summary summary;
    struct state_view view;
    fill(f);
    uint64_t hash = fixture_hash(f), index = state_applied(f->state).index;
    OK(state_view_begin(f->state, &view, &failure));
    struct job_spec spec = spec_named("later");
    (void)create_job(f, &spec, NULL);
    OK(snapshot_write(&view, &info, path_of(f, "snapshot"), NULL, &written, &summary, &failure));
    state_view_end(&view);
    assert_int_equal(written.last.index, index);
    struct fixture *to = fixture_open_empty(fixture_backend, 0);
    OK(snapshot_load(path_of(f, "snapshot"), to->store, NULL, &info, &summary, &failure));
    OK(state_new(to->store, &to->state, &failure));
    assert_true(fixture_hash(to) == hash);
    fixture_close(to);
}

/* --- damage --- */

static void every_flipped_byte_is_found(void **state)
{
    struct fixture *f = *state;
    const char *path = path_of(f, "snapshot");
    struct job_spec spec = spec_named("job");
    (void)create_job(f, &spec, NULL);
    (void)write_snapshot(f, path);
    struct buffer content = read_file(path);
    static const uint8_t flips[] = {0x01, 0x80, 0xff};
    for (size_t i = 0; i < content.size; i++)
        for (uint32_t k = 0; k < ARRAY_COUNT(flips); k++) {
            content.data[i] = (char)((uint8_t)content.data[i] ^ flips[k]);
            if (verify_bytes(path_of(f, "damaged"), buffer_bytes(&content)) != STATUS_CORRUPT)
                fail_msg("byte %zu of %zu flipped by %02x: %s", i, content.size, flips[k], err.message);
            content.data[i] = (char)((uint8_t)content.data[i] ^ flips[k]);
        }
    OK(verify_bytes(path_of(f, "damaged"), buffer_bytes(&content)));
    buffer_deinit(&content);
}

static void every_cut_is_found(void **state)
{
    struct fixture *f = *state;
    const char *path = path_of(f, "snapshot");
    fill(f);
    (void)write_snapshot(f, path);
    struct buffer content = read_file(path);
    for (size_t size = 0; size < content.size; size++) {
        if (verify_bytes(path_of(f, "cut"), (struct bytes){content.data, size}) != STATUS_CORRUPT)
            fail_msg("cut to %zu of %zu bytes: %s", size, content.size, err.message);
        assert_says("too early");
    }
    buffer_append(&content, "", 1);
    assert_int_equal(verify_bytes(path_of(f, "longer"), buffer_bytes(&content)), STATUS_CORRUPT);
    assert_says("bytes behind its end");
    buffer_deinit(&content);
}

/* Whole blocks that are missing, doubled or exchanged have sound bytes; the checksums go on from one to the next. */
static void blocks_out_of_order_are_found(void **state)
{
    struct fixture *f = *state;
    const char *path = path_of(f, "snapshot");
    fill_big(f, BIG_ROWS, BIG_JSON);
    (void)write_snapshot(f, path);
    struct buffer content = read_file(path), changed;
    uint32_t head = SNAPSHOT_FRONT_SIZE + load_le32(content.data + 12);
    uint32_t first = SNAPSHOT_PIECE_HEAD_SIZE + load_le32(content.data + head);
    buffer_init(&changed, FILE_MAX);
    buffer_append(&changed, content.data, head);
    buffer_append(&changed, content.data + head + first, content.size - head - first);
    assert_int_equal(verify_bytes(path_of(f, "missing"), buffer_bytes(&changed)), STATUS_CORRUPT);
    buffer_clear(&changed);
    buffer_append(&changed, content.data, head + first);
    buffer_append(&changed, content.data + head, content.size - head);
    assert_int_equal(verify_bytes(path_of(f, "doubled"), buffer_bytes(&changed)), STATUS_CORRUPT);
    assert_says("checksum");
    buffer_deinit(&changed);
    buffer_deinit(&content);
}

static void seal_head(struct buffer *content)
{
    uint32_t size = SNAPSHOT_FRONT_SIZE + load_le32(content->data + 12) - SNAPSHOT_CRC_SIZE;
    store_le32(content->data + size, crc32c(0, content->data, size));
}

static void newer_versions_are_refused(void **state)
{
    struct fixture *f = *state;
    const char *path = path_of(f, "snapshot");
    enum { FORMAT_AT = 8, STATE_FORMAT_AT = SNAPSHOT_FRONT_SIZE + 56 };
    (void)write_snapshot(f, path);
    struct buffer content = read_file(path);
    content.data[FORMAT_AT] = 2;
    seal_head(&content);
    assert_int_equal(verify_bytes(path, buffer_bytes(&content)), STATUS_NOT_IMPLEMENTED);
    assert_says("written by a newer version of Chronos (format 2, this one knows 1)");
    content.data[FORMAT_AT] = 0;
    seal_head(&content);
    assert_int_equal(verify_bytes(path, buffer_bytes(&content)), STATUS_CORRUPT);
    content.data[FORMAT_AT] = 1;
    assert_int_equal(content.data[STATE_FORMAT_AT], 1);
    content.data[STATE_FORMAT_AT] = 2;
    seal_head(&content);
    struct snapshot_info info;
    assert_int_equal(verify_bytes(path, buffer_bytes(&content)), STATUS_NOT_IMPLEMENTED);
    assert_says("format 2 of the state, this one knows 1");
    assert_int_equal(snapshot_read_info(path, &info, &err), STATUS_NOT_IMPLEMENTED);
    buffer_deinit(&content);
}

static void a_newer_feature_level_is_refused(void **state)
{
    struct fixture *f = *state;
    struct buffer command = command_buffer();
    feature_level_encode(2, &command);
    assert_int_equal(setenv("CHRONOS_TEST_FEATURE_LEVEL", "2", 1), 0);
    assert_int_equal(fixture_apply(f, &command).status, STATUS_OK);
    carry(f, other_backend());
    const char *path = path_of(f, "snapshot");
    (void)write_snapshot(f, path);
    OK(verify(path));
    assert_int_equal(unsetenv("CHRONOS_TEST_FEATURE_LEVEL"), 0);
    assert_int_equal(verify(path), STATUS_NOT_IMPLEMENTED);
    assert_says("the cluster is at feature level 2");
}

static void what_is_no_snapshot_is_refused(void **state)
{
    struct fixture *f = *state;
    const char *path = path_of(f, "file");
    struct snapshot_info info;
    uint8_t front[SNAPSHOT_FRONT_SIZE];
    assert_int_equal(verify(path_of(f, "none")), STATUS_NOT_FOUND);
    assert_int_equal(mkfifo(path_of(f, "pipe"), 0600), 0);
    assert_int_equal(verify(path_of(f, "pipe")), STATUS_INVALID); /* and nobody waits for a writer */
    assert_int_equal(snapshot_read_info(path_of(f, "pipe"), &info, &err), STATUS_INVALID);
    assert_int_equal(unlink(path_of(f, "pipe")), 0);
    assert_int_equal(snapshot_read_info(path_of(f, "none"), &info, &err), STATUS_NOT_FOUND);
    assert_int_equal(verify(f->directory), STATUS_INVALID);
    assert_int_equal(verify_bytes(path, (struct bytes){"", 0}), STATUS_CORRUPT);
    assert_int_equal(verify_bytes(path, (struct bytes){"a text that is not one at all", 29}), STATUS_CORRUPT);
    assert_says("not a snapshot of Chronos");
    (void)write_snapshot(f, path);
    struct buffer content = read_file(path);
    memcpy(front, content.data, sizeof front);
    store_le32(front + 12, SNAPSHOT_HEADER_MAX + 1);
    assert_int_equal(verify_bytes(path, (struct bytes){front, sizeof front}), STATUS_CORRUPT);
    assert_says("cannot have 8193 bytes");
    store_le32(front + 12, SNAPSHOT_HEADER_MAX);
    assert_int_equal(verify_bytes(path, (struct bytes){front, sizeof front}), STATUS_CORRUPT);
    assert_says("too early");
    buffer_deinit(&content);
}

/* --- sound bytes that hold nonsense: whoever made them did not write a state --- */

struct forgery {
    struct buffer rows, file;
    struct snapshot_summary summary;
};

static void forge_row(struct forgery *forgery, enum state_table table, struct bytes key, struct bytes row)
{
    snapshot_row_encode(table, key, row, &forgery->rows);
    forgery->summary.rows++;
    forgery->summary.row_bytes += key.size + row.size;
    if (table < STATE_TABLE_COUNT)
        forgery->summary.table_rows[table]++;
}

static struct forgery forgery_begin(void)
{
    struct forgery forgery = {.summary = {.rows = 0}};
    buffer_init(&forgery.rows, 1 << 20);
    buffer_init(&forgery.file, FILE_MAX);
    return forgery;
}

static enum status forgery_verify(struct fixture *f, struct forgery *forgery)
{
    struct snapshot_info info = some_info();
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    uint32_t crc = 0;
    info.state_format = 1;
    info.last = (struct state_position){5, 2};
    assert_non_null(zstd);
    snapshot_head_encode(&info, &forgery->file, &crc);
    if (forgery->rows.size > 0)
        OK(snapshot_block_encode(zstd, buffer_bytes(&forgery->rows), &crc, &forgery->file, &failure));
    snapshot_end_encode(&forgery->summary, &crc, &forgery->file);
    ZSTD_freeCCtx(zstd);
    enum status status = verify_bytes(path_of(f, "forged"), buffer_bytes(&forgery->file));
    buffer_deinit(&forgery->rows);
    buffer_deinit(&forgery->file);
    return status;
}

static const uint8_t serial_1[8] = {0, 0, 0, 0, 0, 0, 0, 1}, serial_2[8] = {0, 0, 0, 0, 0, 0, 0, 2};
#define BYTES(array) ((struct bytes){array, sizeof(array)})
#define TEXT(text) ((struct bytes){text, sizeof(text) - 1})

static void foreign_rows_are_named(void **state)
{
    struct fixture *f = *state;
    uint8_t marks[JOB_MARKS_SIZE];
    struct job_marks some = {.mark_ms = START_MS};
    static const uint8_t long_key[STORE_KEY_MIN + 1] = {1};
    job_marks_encode(&some, marks);
    const struct {
        enum state_table table;
        struct bytes key, row;
        const char *says;
    } rows[] = {
        {STATE_MARKS, BYTES(serial_1), TEXT("\1xx"), "table marks, key 0000000000000001: a row of marks has 3 bytes"},
        {STATE_MARKS, BYTES(serial_1), {marks, sizeof marks - 1}, "table marks, key 0000000000000001"},
        {STATE_MARKS, TEXT("short"), BYTES(marks), "the key has 5 bytes instead of 8"},
        {STATE_JOBS, BYTES(serial_1), TEXT("\1"), "table jobs, key 0000000000000001: the key has 8 bytes instead of 16"},
        {STATE_NAMES, TEXT("name"), TEXT("\1"), "table names, key 6e616d65"},
        {STATE_NODES, TEXT("name"), TEXT("\2"), "newer version"},
        {STATE_RANGES, TEXT("name"), TEXT("\1"), "a key of ranges"},
        {STATE_META, TEXT("what"), TEXT("\1"), "knows no such row"},
        {STATE_META, TEXT("format"), TEXT("\1"), "\"format\" has 1 bytes instead of 4"},
        {STATE_META, TEXT("format"), TEXT("\2\0\0\0"), "another format of the state than the head"},
        {STATE_META, TEXT("applied"), TEXT("\6\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), "another position than the head"},
        {STATE_TABLE_COUNT, TEXT("k"), TEXT("v"), "knows no table of the number"},
        {STATE_MARKS, BYTES(long_key), BYTES(marks), "cannot be"},
        {STATE_MARKS, {NULL, 0}, BYTES(marks), "a key of 0 bytes"},
    };
    for (uint32_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct forgery forgery = forgery_begin();
        forge_row(&forgery, rows[i].table, rows[i].key, rows[i].row);
        assert_int_equal(forgery_verify(f, &forgery), STATUS_CORRUPT);
        assert_says(rows[i].says);
        assert_says("the block at byte");
    }
}

static void rows_stand_in_their_order(void **state)
{
    struct fixture *f = *state;
    uint8_t marks[JOB_MARKS_SIZE];
    struct job_marks some = {.mark_ms = START_MS};
    job_marks_encode(&some, marks);
    const struct {
        enum state_table table;
        struct bytes key, row;
    } seconds[] = {
        {STATE_MARKS, BYTES(serial_2), BYTES(marks)}, /* the same once more */
        {STATE_MARKS, BYTES(serial_1), BYTES(marks)}, /* a lower key */
        {STATE_NAMES, TEXT("a"), TEXT("\1" "0123456789abcdef")}, /* an earlier table */
    };
    for (uint32_t i = 0; i < ARRAY_COUNT(seconds); i++) {
        struct forgery forgery = forgery_begin();
        forge_row(&forgery, STATE_MARKS, BYTES(serial_2), BYTES(marks));
        forge_row(&forgery, seconds[i].table, seconds[i].key, seconds[i].row);
        assert_int_equal(forgery_verify(f, &forgery), STATUS_CORRUPT);
        assert_says("not in its place");
    }
    struct forgery forgery = forgery_begin();
    forge_row(&forgery, STATE_MARKS, BYTES(serial_2), BYTES(marks));
    buffer_consume(&forgery.rows, 1); /* what is a row's beginning is not known any more */
    assert_int_equal(forgery_verify(f, &forgery), STATUS_CORRUPT);
}

static void what_does_not_add_up_is_refused(void **state)
{
    struct fixture *f = *state;
    struct forgery forgery = forgery_begin();
    assert_int_equal(forgery_verify(f, &forgery), STATUS_CORRUPT);
    assert_says("rows of the table meta are missing");
    forgery = forgery_begin();
    forgery.summary.rows++;
    assert_int_equal(forgery_verify(f, &forgery), STATUS_CORRUPT);
    assert_says("rows are missing or too many");
    forgery = forgery_begin();
    forgery.summary.table_rows[STATE_TABLE_COUNT - 1]++;
    assert_int_equal(forgery_verify(f, &forgery), STATUS_CORRUPT);
    assert_says("rows are missing or too many");
    /* A state whose own counters are wrong. */
    static const char *const names[] = {"jobs_count", "executions_count"};
    for (uint32_t i = 0; i < ARRAY_COUNT(names); i++) {
        struct fixture *wrong = fixture_open(fixture_backend, 0);
        put_raw(wrong, "meta", names[i], strlen(names[i]), "\1\0\0\0\0\0\0\0", 8);
        (void)write_snapshot(wrong, path_of(wrong, "snapshot"));
        assert_int_equal(verify(path_of(wrong, "snapshot")), STATUS_CORRUPT);
        assert_says("and counts 1");
        fixture_close(wrong);
    }
}

/* --- what stops half way --- */

static bool stop_after(void *arg, uint64_t bytes)
{
    int *left = arg;
    (void)bytes;
    return --*left >= 0;
}

static bool die_after(void *arg, uint64_t bytes)
{
    if (!stop_after(arg, bytes))
        _exit(7); /* as by a kill: nothing is closed */
    return true;
}

static int files_in(const char *path)
{
    DIR *directory = opendir(path);
    int count = -2;
    assert_non_null(directory);
    while (readdir(directory) != NULL)
        count++;
    (void)closedir(directory);
    return count;
}

static enum status write_watched(struct fixture *f, const char *path, const struct snapshot_watch *watch)
{
    struct snapshot_info info = some_info();
    struct snapshot_summary summary;
    struct state_view view;
    OK(state_view_begin(f->state, &view, &failure));
    enum status status = snapshot_write(&view, &info, path, watch, NULL, &summary, &err);
    state_view_end(&view);
    return status;
}

static void a_stopped_writer_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    fill_big(f, BIG_ROWS, BIG_JSON);
    OK(directory_make(path_of(f, "snapshots"), 0700, &failure));
    char path[FILE_PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/snapshots/one", f->directory);
    enum status status = STATUS_CANCELLED;
    int stops = 0;
    for (; status == STATUS_CANCELLED; stops++) {
        int left = stops;
        struct snapshot_watch watch = {stop_after, &left};
        status = write_watched(f, path, &watch);
        assert_int_equal(files_in(path_of(f, "snapshots")), status == STATUS_OK);
    }
    assert_int_equal(status, STATUS_OK);
    assert_true(stops >= BIG_ROWS / 2);
}

/* As on a full or dying disk, at each step of the way. */
static void a_failing_disk_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *call;
        int code;
        enum status expected;
    } cases[] = {{"write", ENOSPC, STATUS_NO_SPACE}, {"write", EIO, STATUS_IO}, {"fsync", ENOSPC, STATUS_NO_SPACE},
                 {"fsync", EIO, STATUS_IO}, {"rename", EIO, STATUS_IO}};
    fill_big(f, BIG_ROWS, BIG_JSON);
    OK(directory_make(path_of(f, "snapshots"), 0700, &failure));
    char path[FILE_PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/snapshots/one", f->directory);
    for (uint32_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int calls = 0;
        for (;; calls++) {
            failing = cases[i].call;
            failing_errno = cases[i].code;
            countdown = calls + 1;
            enum status status = write_watched(f, path, NULL);
            bool happened = countdown == 1;
            countdown = 0;
            if (!happened || status == STATUS_OK) {
                assert_int_equal(status, STATUS_OK);
                break;
            }
            assert_int_equal(status, cases[i].expected);
            assert_int_equal(err.sys_errno, cases[i].code);
            /* the directory's own sync comes last: the file stands there then, whole */
            if (files_in(path_of(f, "snapshots")) > 0) {
                assert_string_equal(cases[i].call, "fsync");
                OK(verify(path));
                OK(unlink(path));
            }
        }
        assert_true(calls >= (strcmp(cases[i].call, "write") == 0 ? 3 : 1));
        OK(unlink(path));
    }
}

static void is_not_whole(struct fixture *to)
{
    struct snapshot_info info;
    struct snapshot_summary summary;
    char path[FILE_PATH_SIZE];
    fixture_close_state(to);
    to->store = fixture_store(to);
    assert_int_equal(state_new(to->store, &to->state, &err), STATUS_CORRUPT);
    assert_says("did not come to its end");
    (void)snprintf(path, sizeof path, "%s/none", to->directory);
    assert_int_equal(snapshot_load(path, to->store, NULL, &info, &summary, &err), STATUS_EXISTS); /* nor is it empty */
}

static void a_stopped_loader_is_seen(void **state)
{
    struct fixture *f = *state;
    const char *path = path_of(f, "snapshot");
    fill_big(f, BIG_ROWS, BIG_JSON);
    (void)write_snapshot(f, path);
    enum status status = STATUS_CANCELLED;
    int stops = 0;
    for (; status == STATUS_CANCELLED; stops++) {
        struct fixture *to = fixture_open_empty(fixture_backend, 0);
        struct snapshot_info info;
        struct snapshot_summary summary;
        int left = stops;
        struct snapshot_watch watch = {stop_after, &left};
        status = snapshot_load(path, to->store, &watch, &info, &summary, &err);
        if (status == STATUS_CANCELLED)
            is_not_whole(to);
        fixture_close(to);
    }
    assert_int_equal(status, STATUS_OK);
    assert_true(stops >= BIG_ROWS / 2);
}

/* A process that is killed while it loads: with no block, with one, with two. */
static void a_killed_loader_is_seen(void **state)
{
    struct fixture *f = *state;
    char path[FILE_PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/snapshot", f->directory);
    fill_big(f, BIG_ROWS, BIG_JSON);
    (void)write_snapshot(f, path);
    for (int blocks = 0; blocks < 3; blocks++) {
        struct fixture *to = fixture_open_empty(fixture_backend, 0);
        store_close(to->store); /* a process of its own opens it */
        to->store = NULL;
        pid_t child = fork();
        assert_int_not_equal(child, -1);
        if (child == 0) {
            struct snapshot_info info;
            struct snapshot_summary summary;
            int left = blocks;
            struct snapshot_watch watch = {die_after, &left};
            to->store = fixture_store(to);
            (void)!snapshot_load(path, to->store, &watch, &info, &summary, &err);
            _exit(8);
        }
        int how = 0;
        assert_int_equal(waitpid(child, &how, 0), child);
        assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 7);
        is_not_whole(to);
        fixture_close(to);
    }
}

static void a_damaged_file_leaves_no_state(void **state)
{
    struct fixture *f = *state;
    const char *path = path_of(f, "snapshot");
    fill(f);
    (void)write_snapshot(f, path);
    struct buffer content = read_file(path);
    content.data[content.size - 1] ^= 1; /* every row is sound, the end is not */
    OK(file_write_atomic(path, content.data, content.size, 0600, &failure));
    struct fixture *to = fixture_open_empty(fixture_backend, 0);
    struct snapshot_info info;
    struct snapshot_summary summary;
    assert_int_equal(snapshot_load(path, to->store, NULL, &info, &summary, &err), STATUS_CORRUPT);
    assert_says("load a snapshot: the snapshot");
    is_not_whole(to);
    fixture_close(to);
    buffer_deinit(&content);
}

static void a_store_that_is_too_small(void **state)
{
    struct fixture *f = *state;
    fill_big(f, BIG_ROWS, BIG_JSON);
    (void)write_snapshot(f, path_of(f, "snapshot"));
    struct fixture *to = fixture_open_empty(fixture_backend, 2 << 20);
    struct snapshot_info info;
    struct snapshot_summary summary;
    assert_int_equal(snapshot_load(path_of(f, "snapshot"), to->store, NULL, &info, &summary, &err), STATUS_NO_SPACE);
    is_not_whole(to);
    fixture_close(to);
}

static void a_store_in_use_is_left_alone(void **state)
{
    struct fixture *f = *state;
    struct snapshot_info info;
    struct snapshot_summary summary;
    fill(f);
    (void)write_snapshot(f, path_of(f, "snapshot"));
    uint64_t hash = fixture_hash(f);
    assert_int_equal(snapshot_load(path_of(f, "snapshot"), f->store, NULL, &info, &summary, &err), STATUS_EXISTS);
    assert_says("the store is not empty: there are rows of jobs");
    assert_true(fixture_hash(f) == hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
        T(carries_a_state), T(carries_an_empty_state), T(carries_several_blocks), T(carries_the_largest),
        cmocka_unit_test(blocks_are_bounded),
        T(shows_what_its_view_shows), T(every_flipped_byte_is_found), T(every_cut_is_found), T(blocks_out_of_order_are_found),
        T(newer_versions_are_refused), T(a_newer_feature_level_is_refused), T(what_is_no_snapshot_is_refused), T(foreign_rows_are_named),
        T(rows_stand_in_their_order), T(what_does_not_add_up_is_refused), T(a_stopped_writer_leaves_nothing),
        T(a_failing_disk_leaves_nothing), T(a_stopped_loader_is_seen), T(a_killed_loader_is_seen),
        T(a_damaged_file_leaves_no_state), T(a_store_that_is_too_small), T(a_store_in_use_is_left_alone),
    };
    return RUN_ON_BACKENDS("snapshot", tests);
}
