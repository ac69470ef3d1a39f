#include "cluster/data_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"

/* The marker's first line is "chronos-data <format>", its second "backend <id>". */
enum { MARKER_FORMAT = 1, MARKER_SIZE_MAX = 256, PID_TEXT_SIZE = 24, HOLDER_SIZE = 40 };
static const char marker_name[] = "chronos-data";

/* "process 123", or what can be said where its number cannot be read. */
static void holder_of(int fd, char out[HOLDER_SIZE])
{
    char pid[PID_TEXT_SIZE] = "";
    ssize_t size = pread(fd, pid, sizeof pid - 1, 0);
    pid[size > 0 ? strcspn(pid, "\n") : 0] = '\0';
    if (pid[0] != '\0')
        (void)snprintf(out, HOLDER_SIZE, "process %s", pid); /* fits */
    else
        (void)snprintf(out, HOLDER_SIZE, "another process");
}

static enum status held_by_another(int fd, const char *path, struct error *err)
{
    char holder[HOLDER_SIZE];
    holder_of(fd, holder);
    return error_set(err, STATUS_CONFLICT, "%s is in use by %s; stop it, or give this node a data_dir of its own", path, holder);
}

static enum status take_lock(struct data_dir *dir, struct error *err)
{
    char path[DATA_DIR_PATH_SIZE], pid[PID_TEXT_SIZE];
    enum status status = path_join(path, sizeof path, dir->path, "lock", err);
    if (status != STATUS_OK)
        return status;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set_errno(err, STATUS_IO, errno, "open %s: the data directory must be writable by this user", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        status = errno == EWOULDBLOCK ? held_by_another(fd, dir->path, err)
                                      : error_set_errno(err, STATUS_IO, errno, "lock %s", path);
        (void)close(fd);
        return status;
    }
    int size = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    /* The pid only helps a person who reads the refusal: a full disk must not keep the node from starting. */
    if (ftruncate(fd, 0) == 0)
        (void)!pwrite(fd, pid, (size_t)size, 0);
    dir->lock_fd = fd;
    return STATUS_OK;
}

static enum status read_marker(const char *path, const char *text, char written_by[DATA_DIR_BACKEND_SIZE], struct error *err)
{
    unsigned format = 0;
    int fields = sscanf(text, "chronos-data %u\nbackend %63[a-z0-9_-]\n", &format, written_by);
    if (fields < 1 || format == 0 || (format == MARKER_FORMAT && fields != 2)) /* a newer format need not name its backend */
        return error_set(err, STATUS_CORRUPT, "%s is not a marker of Chronos; the directory belongs to something else", path);
    if (format > MARKER_FORMAT)
        return error_set(err, STATUS_NOT_IMPLEMENTED,
                         "%s: the directory was written by a newer version of Chronos (format %u, this one knows %d): install "
                         "that version again, or give this node a data_dir of its own", path, format, MARKER_FORMAT);
    return STATUS_OK;
}

static enum status check_marker(const char *path, const char *text, const char *backend, struct error *err)
{
    char written_by[DATA_DIR_BACKEND_SIZE] = "";
    enum status status = read_marker(path, text, written_by, err);
    if (status != STATUS_OK)
        return status;
    if (strcmp(written_by, backend) != 0)
        return error_set(err, STATUS_INVALID,
                         "%s: the directory was written with storage.backend: %s, not %s; set it back, or choose another "
                         "data_dir",
                         path, written_by, backend);
    return STATUS_OK;
}

static enum status check_or_write_marker(const struct data_dir *dir, const char *backend, struct error *err)
{
    char path[DATA_DIR_PATH_SIZE];
    struct buffer text;
    buffer_init(&text, MARKER_SIZE_MAX);
    enum status status = path_join(path, sizeof path, dir->path, marker_name, err);
    if (status == STATUS_OK)
        status = file_read(path, &text, err);
    if (status == STATUS_OK) {
        status = check_marker(path, text.size > 0 ? text.data : "", backend, err);
    } else if (status == STATUS_NOT_FOUND) {
        buffer_clear(&text);
        buffer_appendf(&text, "chronos-data %d\nbackend %s\n", MARKER_FORMAT, backend);
        status = file_write_atomic(path, text.data, text.size, 0600, err);
    }
    buffer_deinit(&text);
    return status;
}

enum status data_dir_open(const char *path, const char *backend, struct data_dir *ret, struct error *err)
{
    struct data_dir dir = {.lock_fd = -1};
    if (strlen(path) >= sizeof dir.path)
        return error_set(err, STATUS_TOO_LARGE, "data_dir is longer than %d bytes", DATA_DIR_PATH_SIZE - 1);
    memcpy(dir.path, path, strlen(path) + 1);
    enum status status = directory_make(dir.path, 0700, err);
    if (status == STATUS_OK)
        status = take_lock(&dir, err);
    if (status == STATUS_OK)
        status = check_or_write_marker(&dir, backend, err);
    if (status != STATUS_OK) {
        data_dir_close(&dir);
        return status;
    }
    *ret = dir;
    return STATUS_OK;
}

enum status data_dir_read_backend(const char *path, char out[DATA_DIR_BACKEND_SIZE], struct error *err)
{
    char marker[DATA_DIR_PATH_SIZE], written_by[DATA_DIR_BACKEND_SIZE] = "";
    struct buffer text;
    buffer_init(&text, MARKER_SIZE_MAX);
    enum status status = path_join(marker, sizeof marker, path, marker_name, err);
    if (status == STATUS_OK)
        status = file_read(marker, &text, err);
    if (status == STATUS_OK)
        status = read_marker(marker, text.size > 0 ? text.data : "", written_by, err);
    buffer_deinit(&text);
    if (status == STATUS_OK)
        memcpy(out, written_by, sizeof written_by);
    return status;
}

enum status data_dir_lock(const char *path, struct data_dir *ret, struct error *err)
{
    struct data_dir dir = {.lock_fd = -1};
    char lock[DATA_DIR_PATH_SIZE], holder[HOLDER_SIZE];
    enum status status = path_join(lock, sizeof lock, path, "lock", err);
    if (status != STATUS_OK)
        return status;
    (void)snprintf(dir.path, sizeof dir.path, "%s", path); /* shorter than the lock's, which fitted */
    dir.lock_fd = open(lock, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (dir.lock_fd < 0 && errno != ENOENT) /* a copy may lack it */
        return error_set_errno(err, STATUS_IO, errno, "open %s", lock);
    if (dir.lock_fd >= 0 && flock(dir.lock_fd, LOCK_EX | LOCK_NB) != 0) {
        holder_of(dir.lock_fd, holder);
        status = errno == EWOULDBLOCK
                     ? error_set(err, STATUS_CONFLICT, "%s is in use by %s: stop that node first, or check a copy", path, holder)
                     : error_set_errno(err, STATUS_IO, errno, "lock %s", lock);
        data_dir_close(&dir);
        return status;
    }
    *ret = dir;
    return STATUS_OK;
}

void data_dir_close(struct data_dir *dir)
{
    if (dir->lock_fd >= 0)
        (void)close(dir->lock_fd); /* releases the lock; nothing was written through it that matters */
    dir->lock_fd = -1;
}

enum status data_dir_make(const struct data_dir *dir, const char *name, char out[DATA_DIR_PATH_SIZE], struct error *err)
{
    enum status status = path_join(out, DATA_DIR_PATH_SIZE, dir->path, name, err);
    return status == STATUS_OK ? directory_make(out, 0700, err) : status;
}
