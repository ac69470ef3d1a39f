/* The data directory belongs to one process, one backend, one format. */
#include "fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int setup(void **state)
{
    *state = folder_new();
    return 0;
}

static int teardown(void **state)
{
    folder_free(*state);
    return 0;
}

static void write_marker(const char *folder, const char *text)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/chronos-data", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void expect(const char *folder, const char *backend, enum status status, const char *part)
{
    struct data_dir dir = {.lock_fd = -7};
    struct error err;
    assert_int_equal(data_dir_open(folder, backend, &dir, &err), status);
    assert_int_equal(dir.lock_fd, -7); /* untouched */
    if (strstr(err.message, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.message, part);
}

static void test_made_and_reopened(void **state)
{
    char path[512], made[DATA_DIR_PATH_SIZE];
    struct data_dir dir;
    struct stat info;
    (void)snprintf(path, sizeof path, "%s/a/b", (const char *)*state);
    for (int round = 0; round < 2; round++) {
        OK(data_dir_open(path, "lmdb", &dir, &failure));
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode & 07777, 0700);
        OK(data_dir_make(&dir, "log", made, &failure));
        assert_int_equal(stat(made, &info), 0);
        assert_true(S_ISDIR(info.st_mode));
        data_dir_close(&dir);
        data_dir_close(&dir); /* a closed one is fine */
    }
}

static void test_held_by_another_process(void **state)
{
    int ready[2], go[2];
    char c = 0, pid_text[32];
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct data_dir dir;
        struct error err;
        (void)close(go[1]);
        bool held = data_dir_open(*state, "lmdb", &dir, &err) == STATUS_OK;
        if (!held || write(ready[1], "r", 1) != 1)
            _exit(1);
        (void)!read(go[0], &c, 1);
        _exit(0);
    }
    (void)close(go[0]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    (void)snprintf(pid_text, sizeof pid_text, "in use by process %ld", (long)child);
    expect(*state, "lmdb", STATUS_CONFLICT, pid_text);
    (void)close(go[1]);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    struct data_dir dir;
    OK(data_dir_open(*state, "lmdb", &dir, &failure)); /* a dead process holds nothing */
    expect(*state, "lmdb", STATUS_CONFLICT, "in use by process"); /* nor may this one open it twice */
    data_dir_close(&dir);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

static void test_markers(void **state)
{
    write_marker(*state, "chronos-data 1\nbackend sqlite\n");
    expect(*state, "lmdb", STATUS_INVALID, "storage.backend: sqlite, not lmdb");
    write_marker(*state, "chronos-data 2\nbackend lmdb\n");
    expect(*state, "lmdb", STATUS_NOT_IMPLEMENTED, "newer version of Chronos (format 2, this one knows 1): install that version again");
    write_marker(*state, "my diary\n");
    expect(*state, "lmdb", STATUS_CORRUPT, "not a marker");
    write_marker(*state, "");
    expect(*state, "lmdb", STATUS_CORRUPT, "not a marker");
    write_marker(*state, "chronos-data 0\nbackend lmdb\n");
    expect(*state, "lmdb", STATUS_CORRUPT, "not a marker");
    write_marker(*state, "chronos-data 1\n");
    expect(*state, "lmdb", STATUS_CORRUPT, "not a marker");
    char *long_text = malloc(5000);
    memset(long_text, 'x', 4999);
    long_text[4999] = '\0';
    write_marker(*state, long_text);
    expect(*state, "lmdb", STATUS_TOO_LARGE, "");
    expect(long_text, "lmdb", STATUS_TOO_LARGE, "data_dir is longer");
    free(long_text);
}

static void test_not_a_directory(void **state)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/file", (const char *)*state);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    expect(path, "lmdb", STATUS_EXISTS, "Not a directory");
}

static void test_not_writable(void **state)
{
    const uid_t nobody = 65534;
    bool is_root = geteuid() == 0;
    assert_int_equal(chmod(*state, 0555), 0);
    if (is_root)
        assert_int_equal(seteuid(nobody), 0);
    struct data_dir dir;
    struct error err;
    enum status status = data_dir_open(*state, "lmdb", &dir, &err);
    if (is_root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod(*state, 0700), 0);
    assert_int_equal(status, STATUS_IO);
    assert_non_null(strstr(err.message, "must be writable by this user"));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_made_and_reopened), TEST(test_held_by_another_process), TEST(test_markers),
        TEST(test_not_a_directory),   TEST(test_not_writable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
