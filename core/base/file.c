#include "base/file.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/id.h"

enum { READ_CHUNK = 64 * 1024, TEMP_NAME_TRIES = 16 };
static_assert(FILE_PATH_SIZE <= PATH_MAX, "a directory's name fits where a path does");

static enum status status_of_errno(int code)
{
    switch (code) {
    case ENOENT:
    case ENOTDIR:
        return STATUS_NOT_FOUND;
    case ENOSPC:
    case EDQUOT:
        return STATUS_NO_SPACE;
    default:
        return STATUS_IO;
    }
}

static enum status fail(struct error *err, const char *what, const char *path)
{
    int code = errno;
    return error_set_errno(err, status_of_errno(code), code, "%s %s", what, path);
}

/* At the limit one more byte is asked for, to tell a file that just fits from one that does not. */
static enum status read_all(int fd, const char *path, struct buffer *out, struct error *err)
{
    for (;;) {
        size_t left = out->limit - out->size, wanted = left < READ_CHUNK ? left : READ_CHUNK;
        char probe;
        char *at = wanted > 0 ? buffer_reserve(out, wanted) : &probe;
        if (!at)
            return error_set(err, out->failed, "read %s: out of memory", path);
        ssize_t got = read(fd, at, wanted > 0 ? wanted : 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(err, "read", path);
        if (got == 0)
            return STATUS_OK;
        if (wanted == 0)
            return error_set(err, STATUS_TOO_LARGE, "read %s: larger than %zu bytes", path, out->limit);
        buffer_commit(out, (size_t)got);
    }
}

enum status file_read(const char *path, struct buffer *out, struct error *err)
{
    if (out->failed)
        return error_set(err, out->failed, "read %s: the buffer has failed before", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(err, "open", path);
    size_t before = out->size;
    enum status status = read_all(fd, path, out, err);
    if (status != STATUS_OK) {
        /* Untouched on failure: what was appended goes again. */
        out->size = before;
        out->failed = STATUS_OK;
        if (out->data)
            out->data[before] = '\0';
    }
    (void)close(fd); /* nothing was written */
    return status;
}

static enum status write_all(int fd, const char *path, const void *data, size_t size, struct error *err)
{
    const char *at = data;
    while (size > 0) {
        ssize_t put = write(fd, at, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return fail(err, "write", path);
        at += put;
        size -= (size_t)put;
    }
    return STATUS_OK;
}

/* Closes the draft's descriptor in every case. */
static enum status finish_draft(struct file_draft *draft, unsigned mode, struct error *err)
{
    enum status status = STATUS_OK;
    /* By descriptor, because the mode of open(2) is cut by the umask. */
    if (fchmod(draft->fd, (mode_t)mode) != 0)
        status = fail(err, "set the mode of", draft->temp);
    if (status == STATUS_OK && fsync(draft->fd) != 0)
        status = fail(err, "sync", draft->temp);
    if (close(draft->fd) != 0 && status == STATUS_OK)
        status = fail(err, "close", draft->temp);
    draft->fd = -1;
    return status;
}

/* Readable by us alone until the content and its mode are there. */
enum status file_draft_open(const char *path, struct file_draft *ret, struct error *err)
{
    ret->fd = -1;
    if (strlen(path) >= sizeof ret->path)
        return error_set(err, STATUS_TOO_LARGE, "write %s: the path is too long", path);
    memcpy(ret->path, path, strlen(path) + 1);
    for (int tries = 0; tries < TEMP_NAME_TRIES; tries++) {
        uint64_t unique;
        random_bytes_secure(&unique, sizeof unique);
        int size = snprintf(ret->temp, sizeof ret->temp, "%s.%016" PRIx64 ".tmp", path, unique);
        if (size < 0 || (size_t)size >= sizeof ret->temp)
            return error_set(err, STATUS_TOO_LARGE, "write %s: the path is too long", path);
        ret->fd = open(ret->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (ret->fd >= 0)
            return STATUS_OK;
        if (errno != EEXIST)
            return fail(err, "create", ret->temp);
    }
    return error_set(err, STATUS_EXISTS, "write %s: no free name for a temporary file", path);
}

enum status file_draft_write(struct file_draft *draft, const void *data, size_t size, struct error *err)
{
    return write_all(draft->fd, draft->temp, data, size, err);
}

void file_draft_discard(struct file_draft *draft)
{
    if (draft->fd < 0)
        return;
    (void)close(draft->fd);    /* what it held is thrown away */
    (void)unlink(draft->temp); /* what made us discard it is the failure to report */
    draft->fd = -1;
}

static enum status sync_directory_of(const char *path, struct error *err)
{
    char directory[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    if (slash) {
        size_t size = slash == path ? 1 : (size_t)(slash - path); /* shorter than the draft's name, which fitted */
        memcpy(directory, path, size);
        directory[size] = '\0';
    }
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail(err, "open", directory);
    enum status status = fsync(fd) == 0 ? STATUS_OK : fail(err, "sync", directory);
    (void)close(fd); /* a directory has nothing to write back at close */
    return status;
}

enum status file_draft_publish(struct file_draft *draft, unsigned mode, struct error *err)
{
    enum status status = finish_draft(draft, mode, err);
    if (status == STATUS_OK && rename(draft->temp, draft->path) != 0)
        status = fail(err, "rename the new file to", draft->path);
    if (status != STATUS_OK) {
        (void)unlink(draft->temp); /* the first failure is the one to report */
        return status;
    }
    return sync_directory_of(draft->path, err);
}

enum status file_write_atomic(const char *path, const void *data, size_t size, unsigned mode, struct error *err)
{
    struct file_draft draft;
    enum status status = file_draft_open(path, &draft, err);
    if (status != STATUS_OK)
        return status;
    status = file_draft_write(&draft, data, size, err);
    if (status == STATUS_OK)
        return file_draft_publish(&draft, mode, err);
    file_draft_discard(&draft);
    return status;
}

static enum status make_one(const char *path, unsigned mode, struct error *err)
{
    if (mkdir(path, (mode_t)mode) == 0)
        return STATUS_OK;
    int code = errno;
    struct stat found;
    if (stat(path, &found) == 0) {
        if (S_ISDIR(found.st_mode))
            return STATUS_OK;
        return error_set_errno(err, STATUS_EXISTS, ENOTDIR, "make directory %s", path);
    }
    errno = code;
    return fail(err, "make directory", path);
}

enum status directory_make(const char *path, unsigned mode, struct error *err)
{
    char partial[PATH_MAX];
    size_t size = strlen(path);
    if (size == 0)
        return error_set(err, STATUS_INVALID, "make directory: the path is empty");
    if (size >= sizeof partial)
        return error_set(err, STATUS_TOO_LARGE, "make directory: the path is longer than %d bytes", PATH_MAX - 1);
    memcpy(partial, path, size + 1);
    for (size_t i = 1; i < size; i++) {
        if (partial[i] != '/' || partial[i - 1] == '/')
            continue;
        partial[i] = '\0';
        enum status status = make_one(partial, mode, err);
        if (status != STATUS_OK)
            return status;
        partial[i] = '/';
    }
    return make_one(partial, mode, err);
}

enum status path_join(char *out, size_t out_size, const char *directory, const char *name, struct error *err)
{
    size_t directory_size = name[0] == '/' ? 0 : strlen(directory), name_size = strlen(name);
    bool slash = directory_size > 0 && directory[directory_size - 1] != '/';
    if (directory_size >= out_size || name_size >= out_size || directory_size + slash + name_size >= out_size)
        return error_set(err, STATUS_TOO_LARGE, "the path %.100s/%.100s is longer than %zu bytes", directory, name,
                         out_size > 0 ? out_size - 1 : 0);
    memcpy(out, directory, directory_size);
    if (slash)
        out[directory_size] = '/';
    memcpy(out + directory_size + slash, name, name_size + 1);
    return STATUS_OK;
}

int64_t disk_free_bytes(const char *path)
{
    struct statvfs found;
    int result;
    do
        result = statvfs(path, &found);
    while (result != 0 && errno == EINTR);
    if (result != 0)
        return -1;
    int64_t bytes;
    if (__builtin_mul_overflow(found.f_bavail, found.f_frsize, &bytes))
        return INT64_MAX;
    return bytes;
}

/* Only files are of interest: what else may lie there is nobody's data. */
static enum status settle_file(int directory, const char *path, const char *name, struct error *err)
{
    struct stat about;
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && (errno == ELOOP || errno == ENXIO)) /* a link, a socket */
        return STATUS_OK;
    if (fd < 0)
        return fail(err, "open a file of", path);
    enum status status = STATUS_OK;
    if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode)) {
        if (fsync(fd) != 0)
            status = fail(err, "sync a file of", path);
        else
            (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); /* as good as it goes: tmpfs has no disk to read from */
    }
    (void)close(fd); /* only read */
    return status;
}

enum status directory_settle(const char *path, struct error *err)
{
    DIR *directory = opendir(path);
    if (directory == NULL)
        return fail(err, "open", path);
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        errno = 0;
        const struct dirent *e = readdir(directory);
        if (e == NULL && errno != 0)
            status = fail(err, "list", path);
        if (e == NULL)
            break;
        if (e->d_name[0] != '.')
            status = settle_file(dirfd(directory), path, e->d_name, err);
    }
    if (status == STATUS_OK && fsync(dirfd(directory)) != 0)
        status = fail(err, "sync the directory", path);
    (void)closedir(directory); /* only read */
    return status;
}

enum status directory_remove(const char *path, struct error *err)
{
    const struct dirent *entry;
    DIR *directory = opendir(path);
    if (directory == NULL)
        return errno == ENOENT ? STATUS_OK : error_set_errno(err, STATUS_IO, errno, "open %s", path);
    while ((entry = readdir(directory)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(dirfd(directory), entry->d_name, 0); /* rmdir tells */
    (void)closedir(directory); /* nothing was written through it */
    return rmdir(path) == 0 ? STATUS_OK : error_set_errno(err, STATUS_IO, errno, "remove %s", path);
}
