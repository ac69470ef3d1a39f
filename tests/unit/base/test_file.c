#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "check.h"

static char folder[] = "/tmp/chronos-test-file-XXXXXX";
static struct error err;

/* The linker sends these calls through here. */
enum step { STEP_NONE, STEP_WRITE, STEP_CHMOD, STEP_SYNC_FILE, STEP_RENAME, STEP_SYNC_DIRECTORY };
static enum step failing_step;
static int failing_errno;
static int interruptions; /* odd ones give EINTR, even ones write a single byte */

ssize_t __real_write(int fd, const void *data, size_t size);
int __real_fchmod(int fd, mode_t mode);
int __real_fsync(int fd);
int __real_rename(const char *from, const char *to);
ssize_t __wrap_write(int fd, const void *data, size_t size);
int __wrap_fchmod(int fd, mode_t mode);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);

static bool fails(enum step step)
{
    if (failing_step != step)
        return false;
    errno = failing_errno;
    return true;
}

ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    if (interruptions > 0) {
        if (interruptions-- % 2 == 0)
            return __real_write(fd, data, 1);
        errno = EINTR;
        return -1;
    }
    return fails(STEP_WRITE) ? -1 : __real_write(fd, data, size);
}

int __wrap_fchmod(int fd, mode_t mode)
{
    return fails(STEP_CHMOD) ? -1 : __real_fchmod(fd, mode);
}

int __wrap_fsync(int fd)
{
    struct stat found;
    assert_int_equal(fstat(fd, &found), 0);
    return fails(S_ISDIR(found.st_mode) ? STEP_SYNC_DIRECTORY : STEP_SYNC_FILE) ? -1 : __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
    return fails(STEP_RENAME) ? -1 : __real_rename(from, to);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[100];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static const char *in_folder(const char *name)
{
    static char paths[2][PATH_MAX];
    static int turn;
    char *path = paths[turn ^= 1];
    assert_int_equal(path_join(path, PATH_MAX, folder, name, &err), STATUS_OK);
    return path;
}

static int entry_count(const char *path)
{
    DIR *directory = opendir(path);
    assert_non_null(directory);
    int count = 0;
    while (readdir(directory))
        count++;
    (void)closedir(directory);
    return count - 2;
}

static void write_and_read(void **state)
{
    (void)state;
    const char *path = in_folder("plain");
    struct buffer out;
    struct stat found;
    buffer_init(&out, 100);
    assert_int_equal(file_write_atomic(path, "first\0", 6, 0640, &err), STATUS_OK);
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 07777, 0640);
    assert_int_equal(file_write_atomic(path, "second", 6, 0666, &err), STATUS_OK);
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 07777, 0666); /* whatever the umask is */
    buffer_append_string(&out, "> ");
    assert_int_equal(file_read(path, &out, &err), STATUS_OK);
    assert_string_equal(out.data, "> second");
    assert_int_equal(file_write_atomic(path, NULL, 0, 0600, &err), STATUS_OK);
    buffer_clear(&out);
    assert_int_equal(file_read(path, &out, &err), STATUS_OK);
    assert_int_equal(out.size, 0);
    buffer_deinit(&out);
}

static void reads_up_to_the_limit(void **state)
{
    (void)state;
    static char data[200001];
    memset(data, 'd', sizeof data);
    const char *path = in_folder("big");
    assert_int_equal(file_write_atomic(path, data, 200000, 0600, &err), STATUS_OK);
    struct buffer out;
    buffer_init(&out, 200000);
    assert_int_equal(file_read(path, &out, &err), STATUS_OK);
    assert_int_equal(out.size, 200000);
    assert_memory_equal(out.data, data, 200000);
    buffer_deinit(&out);
    buffer_init(&out, 200003);
    buffer_append_string(&out, "keep");
    assert_int_equal(file_read(path, &out, &err), STATUS_TOO_LARGE);
    assert_string_equal(out.data, "keep"); /* untouched, and usable */
    assert_int_equal(out.failed, STATUS_OK);
    assert_non_null(strstr(err.message, "200003 bytes"));
    buffer_deinit(&out);
}

static void reading_fails_with_a_sentence(void **state)
{
    (void)state;
    struct buffer out;
    buffer_init(&out, 100);
    assert_int_equal(file_read(in_folder("none"), &out, &err), STATUS_NOT_FOUND);
    assert_int_equal(err.sys_errno, ENOENT);
    assert_non_null(strstr(err.message, "/none: No such file or directory"));
    assert_int_equal(file_read(in_folder("none/deeper"), &out, &err), STATUS_NOT_FOUND);
    assert_int_equal(file_read(folder, &out, &err), STATUS_IO);
    assert_int_equal(err.sys_errno, EISDIR);
    buffer_append(&out, err.message, 101);
    assert_int_equal(file_read("/dev/null", &out, &err), STATUS_TOO_LARGE); /* the buffer had failed before */
    buffer_deinit(&out);
}

static void a_failed_write_leaves_the_old_file_and_no_other(void **state)
{
    (void)state;
    char inside[PATH_MAX];
    (void)snprintf(inside, sizeof inside, "%s/kept", folder);
    assert_int_equal(directory_make(inside, 0700, &err), STATUS_OK);
    (void)snprintf(inside, sizeof inside, "%s/kept/file", folder);
    assert_int_equal(file_write_atomic(inside, "old", 3, 0600, &err), STATUS_OK);
    /* A limit on the size of files makes write(2) fail half way, as a full disk does. */
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 1000;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    static char data[5000];
    enum status status = file_write_atomic(inside, data, sizeof data, 0600, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, STATUS_IO);
    assert_int_equal(err.sys_errno, EFBIG);
    assert_int_equal(entry_count(in_folder("kept")), 1);
    struct buffer out;
    buffer_init(&out, 100);
    assert_int_equal(file_read(inside, &out, &err), STATUS_OK);
    assert_string_equal(out.data, "old");
    buffer_deinit(&out);
}

static void writing_over_a_directory_fails_cleanly(void **state)
{
    (void)state;
    assert_int_equal(directory_make(in_folder("outer/inner"), 0700, &err), STATUS_OK);
    assert_int_equal(file_write_atomic(in_folder("outer/inner"), "x", 1, 0600, &err), STATUS_IO);
    assert_int_equal(entry_count(in_folder("outer")), 1);
    assert_int_equal(file_write_atomic(in_folder("nowhere/file"), "x", 1, 0600, &err), STATUS_NOT_FOUND);
    static char path[PATH_MAX + 10];
    memset(path, 'p', sizeof path - 1);
    assert_int_equal(file_write_atomic(path, "x", 1, 0600, &err), STATUS_TOO_LARGE);
}

/* Each step of the write fails once, as on a full or dying disk. */
static void each_failing_step_is_reported(void **state)
{
    (void)state;
    static const struct {
        enum step step;
        int code;
        enum status expected;
        const char *content; /* of the file afterwards */
    } cases[] = {
        {STEP_WRITE, ENOSPC, STATUS_NO_SPACE, "old"},
        {STEP_WRITE, EIO, STATUS_IO, "old"},
        {STEP_WRITE, EDQUOT, STATUS_NO_SPACE, "old"},
        {STEP_CHMOD, EPERM, STATUS_IO, "old"},
        {STEP_SYNC_FILE, EIO, STATUS_IO, "old"},
        {STEP_SYNC_FILE, ENOSPC, STATUS_NO_SPACE, "old"},
        {STEP_RENAME, EIO, STATUS_IO, "old"},
        {STEP_SYNC_DIRECTORY, EIO, STATUS_IO, "new"}, /* it is there, but whether for good is not known */
    };
    assert_int_equal(directory_make(in_folder("steps"), 0700, &err), STATUS_OK);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *path = in_folder("steps/file");
        assert_int_equal(file_write_atomic(path, "old", 3, 0600, &err), STATUS_OK);
        failing_step = cases[i].step;
        failing_errno = cases[i].code;
        enum status status = file_write_atomic(path, "new", 3, 0600, &err);
        failing_step = STEP_NONE;
        assert_int_equal(status, cases[i].expected);
        assert_int_equal(err.code, cases[i].expected);
        assert_int_equal(err.sys_errno, cases[i].code);
        struct buffer out;
        buffer_init(&out, 100);
        assert_int_equal(file_read(path, &out, &err), STATUS_OK);
        assert_string_equal(out.data, cases[i].content);
        buffer_deinit(&out);
        assert_int_equal(entry_count(in_folder("steps")), 1);
    }
}

static void a_draft_is_nothing_until_it_is_published(void **state)
{
    (void)state;
    struct file_draft draft;
    struct buffer out;
    buffer_init(&out, 100);
    assert_int_equal(directory_make(in_folder("drafts"), 0700, &err), STATUS_OK);
    assert_int_equal(file_draft_open(in_folder("drafts/file"), &draft, &err), STATUS_OK);
    assert_int_equal(file_draft_write(&draft, "one, ", 5, &err), STATUS_OK);
    assert_int_equal(file_read(in_folder("drafts/file"), &out, &err), STATUS_NOT_FOUND);
    assert_int_equal(file_draft_write(&draft, "two", 3, &err), STATUS_OK);
    assert_int_equal(file_draft_publish(&draft, 0600, &err), STATUS_OK);
    file_draft_discard(&draft); /* it has ended */
    assert_int_equal(file_read(in_folder("drafts/file"), &out, &err), STATUS_OK);
    assert_string_equal(out.data, "one, two");
    assert_int_equal(file_draft_open(in_folder("drafts/file"), &draft, &err), STATUS_OK);
    assert_int_equal(entry_count(in_folder("drafts")), 2);
    file_draft_discard(&draft);
    file_draft_discard(&draft);
    assert_int_equal(entry_count(in_folder("drafts")), 1);
    buffer_deinit(&out);
}

static void interrupted_and_partial_writes_go_on(void **state)
{
    (void)state;
    interruptions = 5;
    assert_int_equal(file_write_atomic(in_folder("bits"), "0123456789", 10, 0600, &err), STATUS_OK);
    assert_int_equal(interruptions, 0);
    struct buffer out;
    buffer_init(&out, 100);
    assert_int_equal(file_read(in_folder("bits"), &out, &err), STATUS_OK);
    assert_string_equal(out.data, "0123456789");
    buffer_deinit(&out);
}

static void writes_in_the_current_folder(void **state)
{
    (void)state;
    char before[PATH_MAX];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(file_write_atomic("relative", "x", 1, 0600, &err), STATUS_OK);
    assert_int_equal(access(in_folder("relative"), F_OK), 0);
    assert_int_equal(directory_make("a/b", 0700, &err), STATUS_OK);
    assert_int_equal(chdir(before), 0);
}

static void a_link_is_replaced_not_followed(void **state)
{
    (void)state;
    assert_int_equal(file_write_atomic(in_folder("target"), "target", 6, 0600, &err), STATUS_OK);
    assert_int_equal(symlink("target", in_folder("link")), 0);
    assert_int_equal(file_write_atomic(in_folder("link"), "new", 3, 0600, &err), STATUS_OK);
    struct buffer out;
    buffer_init(&out, 100);
    assert_int_equal(file_read(in_folder("target"), &out, &err), STATUS_OK);
    assert_string_equal(out.data, "target");
    buffer_deinit(&out);
}

static void makes_directories(void **state)
{
    (void)state;
    struct stat found;
    assert_int_equal(directory_make(in_folder("d/e//f/"), 0750, &err), STATUS_OK);
    assert_int_equal(directory_make(in_folder("d/e/f"), 0750, &err), STATUS_OK);
    assert_int_equal(stat(in_folder("d/e/f"), &found), 0);
    assert_true(S_ISDIR(found.st_mode));
    assert_int_equal(found.st_mode & 0707, 0700);
    assert_int_equal(directory_make("/", 0700, &err), STATUS_OK);
    assert_int_equal(directory_make("", 0700, &err), STATUS_INVALID);
    assert_int_equal(file_write_atomic(in_folder("d/file"), "x", 1, 0600, &err), STATUS_OK);
    assert_int_equal(directory_make(in_folder("d/file"), 0700, &err), STATUS_EXISTS);
    assert_int_equal(directory_make(in_folder("d/file/g"), 0700, &err), STATUS_EXISTS);
    assert_int_equal(err.sys_errno, ENOTDIR);
    static char path[PATH_MAX + 1];
    memset(path, 'p', PATH_MAX);
    assert_int_equal(directory_make(path, 0700, &err), STATUS_TOO_LARGE);
    path[PATH_MAX - 1] = '\0';
    assert_int_equal(directory_make(path, 0700, &err), STATUS_IO);
    assert_int_equal(err.sys_errno, ENAMETOOLONG);
}

static void joins_paths(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"}, {"", "b", "b"}, {"a", "/b", "/b"}, {"a", "", "a/"},
    };
    char out[8];
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(path_join(out, sizeof out, cases[i][0], cases[i][1], &err), STATUS_OK);
        assert_string_equal(out, cases[i][2]);
    }
    assert_int_equal(path_join(out, sizeof out, "abc", "def", &err), STATUS_OK);
    assert_string_equal(out, "abc/def");
    assert_int_equal(path_join(out, sizeof out, "abc", "defg", &err), STATUS_TOO_LARGE);
    assert_int_equal(path_join(out, sizeof out, "abcd/", "def", &err), STATUS_TOO_LARGE);
    assert_int_equal(path_join(out, sizeof out, "abcdefgh", "i", &err), STATUS_TOO_LARGE);
    assert_int_equal(path_join(out, sizeof out, "a", "/bcdefgh", &err), STATUS_TOO_LARGE);
    assert_int_equal(path_join(out, 0, "", "", &err), STATUS_TOO_LARGE);
    assert_string_equal(out, "abc/def");
}

static void tells_the_free_space(void **state)
{
    (void)state;
    assert_true(disk_free_bytes(folder) >= 0);
    assert_true(disk_free_bytes("/nowhere/at/all") == -1);
}

/* Every file and the directory itself are synced; links, pipes and folders are nobody's data. */
static void settles_a_directory(void **state)
{
    (void)state;
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s", in_folder("settled"));
    assert_int_equal(directory_settle(path, &err), STATUS_NOT_FOUND);
    assert_int_equal(directory_make(in_folder("settled/inside"), 0700, &err), STATUS_OK);
    assert_int_equal(mkfifo(in_folder("settled/pipe"), 0600), 0);
    assert_int_equal(symlink("/nonexistent", in_folder("settled/link")), 0);
    assert_int_equal(directory_settle(path, &err), STATUS_OK);
    assert_int_equal(file_write_atomic(in_folder("settled/file"), "data", 4, 0600, &err), STATUS_OK);
    assert_int_equal(directory_settle(path, &err), STATUS_OK);
    for (enum step step = STEP_SYNC_FILE;; step = STEP_SYNC_DIRECTORY) {
        failing_step = step;
        failing_errno = EIO;
        assert_int_equal(directory_settle(path, &err), STATUS_IO);
        failing_step = STEP_NONE;
        assert_non_null(strstr(err.message, path));
        if (step == STEP_SYNC_DIRECTORY)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_and_read),
        cmocka_unit_test(reads_up_to_the_limit),
        cmocka_unit_test(reading_fails_with_a_sentence),
        cmocka_unit_test(a_failed_write_leaves_the_old_file_and_no_other),
        cmocka_unit_test(writing_over_a_directory_fails_cleanly),
        cmocka_unit_test(each_failing_step_is_reported),
        cmocka_unit_test(a_draft_is_nothing_until_it_is_published), cmocka_unit_test(interrupted_and_partial_writes_go_on),
        cmocka_unit_test(writes_in_the_current_folder),
        cmocka_unit_test(a_link_is_replaced_not_followed),
        cmocka_unit_test(makes_directories),
        cmocka_unit_test(joins_paths),
        cmocka_unit_test(tells_the_free_space),
        cmocka_unit_test(settles_a_directory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
