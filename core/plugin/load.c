/* From a name in the configuration to mapped code.
 *
 * Which path is walked:
 *   - A `file` that begins with '/' is the administrator's word: it is walked from the root exactly as it is written.
 *     A symbolic link anywhere in it is refused, and so is "..".
 *   - A bare file name lies in `directory`. An absolute `directory` without ".." is walked as it is written, too.
 *   - A `directory` that is relative or holds ".." is how the host spells its installation default ("<where the program
 *     is>/../lib/chronos/plugins"): realpath(3) resolves it first and the *resolved* path is walked. So a program
 *     started through /bin on a merged-/usr system, or one installed under a linked prefix, finds its plugins, while
 *     every directory that really holds them is still checked.
 *   - Anything else (a relative path with a slash) is refused: it would depend on the working directory.
 *
 * The walk opens component by component with O_NOFOLLOW, each relative to the descriptor of the one before, so that
 * what was checked is what is used. Every component, "/" included, is owned by root or by the effective user of this
 * process and cannot be written by its group or others; directories that root owns with the sticky bit (as /tmp) may
 * be, because there nobody can replace what is not theirs. The file is hashed and mapped through the one descriptor
 * that was checked.
 */
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/private.h"

/* -- names --------------------------------------------------------------------------------------------------------- */

static bool is_dot_dot(const char *part, size_t size)
{
    return size == 2 && part[0] == '.' && part[1] == '.';
}

static bool has_dot_dot(const char *path)
{
    while (*path) {
        size_t size = strcspn(path, "/");
        if (is_dot_dot(path, size))
            return true;
        path += size + (path[size] == '/');
    }
    return false;
}

static enum status resolve_directory(const char *directory, char out[PATH_MAX], struct error *err)
{
    if (directory[0] == '/' && !has_dot_dot(directory)) {
        if (strlen(directory) >= PATH_MAX)
            return error_set(err, STATUS_TOO_LARGE, "the plugin directory's path is too long");
        strcpy(out, directory);
        return STATUS_OK;
    }
    if (!realpath(directory, out)) {
        int cause = errno;
        return error_set_errno(err, cause == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, cause,
                               "cannot resolve the plugin directory \"%.*s\"", PLUGIN_QUOTE_MAX, directory);
    }
    return STATUS_OK;
}

/* The absolute path that is to be walked. */
static enum status path_of(const char *directory, const char *file, char out[PATH_MAX], struct error *err)
{
    if (file[0] == '/') {
        if (has_dot_dot(file))
            return error_set(err, STATUS_INVALID, "a path with \"..\" is not accepted; write the path in full");
        if (strlen(file) >= PATH_MAX)
            return error_set(err, STATUS_TOO_LARGE, "the path is too long");
        strcpy(out, file);
        return STATUS_OK;
    }
    if (file[0] == '\0' || strchr(file, '/') || strcmp(file, ".") == 0 || strcmp(file, "..") == 0)
        return error_set(err, STATUS_INVALID,
                         "\"%.*s\" is neither an absolute path nor the bare name of a file in the plugin directory",
                         PLUGIN_QUOTE_MAX, file);
    if (!directory || !directory[0])
        return error_set(err, STATUS_INVALID, "no plugin directory is configured; write an absolute path");
    char resolved[PATH_MAX];
    enum status status = resolve_directory(directory, resolved, err);
    if (status != STATUS_OK)
        return status;
    size_t directory_size = strlen(resolved), file_size = strlen(file);
    if (directory_size + 1 + file_size >= PATH_MAX)
        return error_set(err, STATUS_TOO_LARGE, "the path is too long");
    memcpy(out, resolved, directory_size);
    out[directory_size] = '/';
    memcpy(out + directory_size + 1, file, file_size + 1);
    return STATUS_OK;
}

/* -- the walk ------------------------------------------------------------------------------------------------------ */

/* `shown` is the path up to and including the component that `facts` describe. */
static enum status check_component(const char *shown, const struct stat *facts, bool last, struct error *err)
{
    if (S_ISLNK(facts->st_mode))
        return error_set(err, STATUS_FORBIDDEN,
                         "\"%s\" is a symbolic link and links are not followed; write the path that it stands for",
                         shown);
    if (!last && !S_ISDIR(facts->st_mode))
        return error_set(err, STATUS_INVALID, "\"%s\" is not a directory", shown);
    if (last && !S_ISREG(facts->st_mode))
        return error_set(err, STATUS_INVALID, "\"%s\" is %s, not a regular file", shown,
                         S_ISDIR(facts->st_mode) ? "a directory" : "a special file");
    if (facts->st_uid != 0 && facts->st_uid != geteuid())
        return error_set(err, STATUS_FORBIDDEN,
                         "\"%s\" is owned by user %lu, who could replace the code; it must belong to root or to user "
                         "%lu, who runs this process: chown root %s", shown, (unsigned long)facts->st_uid,
                         (unsigned long)geteuid(), shown);
    bool sticky_exception = !last && facts->st_uid == 0 && (facts->st_mode & S_ISVTX);
    if ((facts->st_mode & (S_IWGRP | S_IWOTH)) && !sticky_exception)
        return error_set(err, STATUS_FORBIDDEN,
                         "\"%s\" can be written by its group or by others (mode %04o), who could replace the code: "
                         "chmod go-w %s", shown, (unsigned)(facts->st_mode & 07777), shown);
    return STATUS_OK;
}

static enum status open_failed(const char *shown, int cause, struct error *err)
{
    enum status status = cause == ENOENT ? STATUS_NOT_FOUND : cause == EACCES ? STATUS_FORBIDDEN : STATUS_IO;
    return error_set_errno(err, status, cause, "cannot open \"%s\"", shown);
}

/* One step. Directories are opened with O_PATH: passing through needs no right to list them. The file is looked at
 * before it is opened for reading, because opening a device or a pipe can have effects; the second look, at the
 * descriptor, counts. */
static enum status step(int parent, const char *name, const char *shown, bool last, int *ret_fd, struct stat *ret_facts,
                        struct error *err)
{
    int fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return open_failed(shown, errno, err);
    enum status status;
    if (fstat(fd, ret_facts) != 0)
        status = error_set_errno(err, STATUS_IO, errno, "cannot examine \"%s\"", shown);
    else
        status = check_component(shown, ret_facts, last, err);
    if (status == STATUS_OK && last) {
        close(fd);
        fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
            return open_failed(shown, errno, err);
        if (fstat(fd, ret_facts) != 0)
            status = error_set_errno(err, STATUS_IO, errno, "cannot examine \"%s\"", shown);
        else
            status = check_component(shown, ret_facts, true, err);
    }
    if (status != STATUS_OK) {
        close(fd);
        return status;
    }
    *ret_fd = fd;
    return STATUS_OK;
}

/* `path` is absolute; empty parts and "." are skipped. */
static enum status walk(const char *path, int *ret_fd, struct stat *ret_facts, struct error *err)
{
    char shown[PATH_MAX + 1] = "/";
    size_t shown_size = 0;
    int at = -1;
    enum status status = step(AT_FDCWD, "/", "/", false, &at, ret_facts, err);
    while (status == STATUS_OK) {
        path += strspn(path, "/");
        size_t size = strcspn(path, "/");
        if (size == 0)
            break;
        const char *rest = path + size + strspn(path + size, "/");
        bool last = *rest == '\0';
        if (size == 1 && path[0] == '.' && !last) {
            path = rest;
            continue;
        }
        shown[shown_size++] = '/';
        memcpy(shown + shown_size, path, size);
        shown[shown_size + size] = '\0';
        int next;
        status = step(at, shown + shown_size, shown, last, &next, ret_facts, err);
        close(at);
        at = status == STATUS_OK ? next : -1;
        shown_size += size;
        path = rest;
    }
    if (status == STATUS_OK && !S_ISREG(ret_facts->st_mode)) {
        close(at);
        return error_set(err, STATUS_INVALID, "\"%s\" is not a regular file", shown);
    }
    if (status == STATUS_OK)
        *ret_fd = at;
    return status;
}

/* -- the pin ------------------------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

enum { SHA256_SIZE = 32, HASH_BLOCK_SIZE = 64 * 1024 };

static bool digest_parse(const char *text, unsigned char out[SHA256_SIZE])
{
    if (strlen(text) != 2 * SHA256_SIZE)
        return false;
    for (size_t i = 0; i < SHA256_SIZE; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

static enum status hash_all(int fd, EVP_MD_CTX *context, char *block, struct error *err)
{
    for (off_t offset = 0;;) {
        ssize_t got = pread(fd, block, HASH_BLOCK_SIZE, offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(err, STATUS_IO, errno, "cannot read the file");
        if (got == 0)
            return STATUS_OK;
        if (EVP_DigestUpdate(context, block, (size_t)got) != 1)
            return error_set(err, STATUS_INTERNAL, "SHA-256 failed");
        offset += got;
    }
}

static enum status digest_file(int fd, unsigned char out[SHA256_SIZE], struct error *err)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    char *block = malloc(HASH_BLOCK_SIZE);
    enum status status;
    if (!context || !block)
        status = error_set(err, STATUS_NO_MEMORY, "out of memory");
    else if (EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
        status = error_set(err, STATUS_INTERNAL, "SHA-256 is not available");
    else
        status = hash_all(fd, context, block, err);
    unsigned int size = 0;
    if (status == STATUS_OK && (EVP_DigestFinal_ex(context, out, &size) != 1 || size != SHA256_SIZE))
        status = error_set(err, STATUS_INTERNAL, "SHA-256 failed");
    free(block);
    EVP_MD_CTX_free(context);
    return status;
}

static enum status check_pin(int fd, const char *sha256, struct error *err)
{
    unsigned char wanted[SHA256_SIZE], found[SHA256_SIZE];
    if (!digest_parse(sha256, wanted))
        return error_set(err, STATUS_INVALID, "the sha256 \"%.*s\" is not 64 hexadecimal digits", PLUGIN_QUOTE_MAX,
                         sha256);
    enum status status = digest_file(fd, found, err);
    if (status != STATUS_OK || memcmp(wanted, found, SHA256_SIZE) == 0)
        return status;
    char text[2 * SHA256_SIZE + 1];
    for (size_t i = 0; i < SHA256_SIZE; i++) {
        text[2 * i] = "0123456789abcdef"[found[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[found[i] & 15];
    }
    text[2 * SHA256_SIZE] = '\0';
    return error_set(err, STATUS_FORBIDDEN,
                     "the file's sha256 is %s, but the configuration pins %s; put the right file back or correct the "
                     "pin",
                     text, sha256);
}

enum status plugin_file_open(const char *directory, const char *file, const char *sha256, struct plugin_file *ret,
                             struct error *err)
{
    char path[PATH_MAX];
    struct stat facts = {0};
    int fd = -1;
    enum status status = path_of(directory, file, path, err);
    if (status == STATUS_OK)
        status = walk(path, &fd, &facts, err);
    if (status == STATUS_OK && sha256)
        status = check_pin(fd, sha256, err);
    char *kept = status == STATUS_OK ? strdup(path) : NULL;
    if (status == STATUS_OK && !kept)
        status = error_set(err, STATUS_NO_MEMORY, "out of memory");
    if (status != STATUS_OK) {
        if (fd >= 0)
            close(fd);
        return status;
    }
    *ret = (struct plugin_file){.fd = fd, .path = kept, .device = facts.st_dev, .inode = facts.st_ino};
    return STATUS_OK;
}

/* -- the dynamic linker -------------------------------------------------------------------------------------------- */

static void name_of_fd(int fd, char out[64])
{
    snprintf(out, 64, "/proc/self/fd/%d", fd);
}

/* glibc finds what is loaded by name before it opens anything: were a descriptor closed whose name it knows, the next
 * file that gets the number would be taken for the old one. */
static bool known_to_linker(int fd)
{
    char name[64];
    name_of_fd(fd, name);
    void *handle = dlopen(name, RTLD_NOW | RTLD_NOLOAD);
    if (!handle)
        return false;
    dlclose(handle); /* gives back what RTLD_NOLOAD counted; the code stays */
    return true;
}

void plugin_file_close(struct plugin_file *file)
{
    if (file->fd >= 0 && !file->pinned)
        close(file->fd);
    file->fd = -1;
    free(file->path);
    file->path = NULL;
}

/* The linker speaks of "/proc/self/fd/7: ..."; the caller names the file already. */
static const char *linker_reason(const char *name)
{
    const char *text = dlerror();
    if (!text)
        return "unknown reason";
    size_t size = strlen(name);
    if (strncmp(text, name, size) == 0 && text[size] == ':')
        return text + size + 1 + strspn(text + size + 1, " ");
    return text;
}

enum status plugin_file_map(struct plugin_file *file, const struct chronos_plugin **ret, struct error *err)
{
    char name[64];
    name_of_fd(file->fd, name);
    void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle) {
        (void)error_set(err, STATUS_INVALID, "cannot be loaded: %s", linker_reason(name));
        file->pinned = known_to_linker(file->fd); /* a failed load should leave nothing; make sure of it */
        return err->code;
    }
    file->pinned = true;
    /* ISO C has no cast from an object to a function pointer; POSIX promises that the representation is the same. */
    void *symbol = dlsym(handle, CHRONOS_PLUGIN_ENTRY);
    const struct chronos_plugin *(*entry)(void);
    static_assert(sizeof entry == sizeof symbol, "dlsym cannot return this function");
    memcpy(&entry, &symbol, sizeof entry);
    if (!entry)
        return error_set(err, STATUS_INVALID, "not a Chronos v1 plugin: it does not export " CHRONOS_PLUGIN_ENTRY);
    const struct chronos_plugin *descriptor = entry();
    if (!descriptor)
        return error_set(err, STATUS_INVALID, CHRONOS_PLUGIN_ENTRY " returned no descriptor");
    *ret = descriptor;
    return STATUS_OK;
}
