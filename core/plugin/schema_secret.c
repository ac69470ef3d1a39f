/* Secret references inside strings.
 *
 *   ${env:NAME}    an environment variable of the daemon that runs the job
 *   ${file:/path}  a file on that machine
 *   $${            a literal "${"
 *
 * A reference begins with "${", a word of small letters and ":". What does not ("${HOME}" of a shell command) is
 * literal text, except that "${env}" and "${file}" are refused as the slips that they are. An unknown word is
 * refused. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "plugin/schema_private.h"

/* -- form ---------------------------------------------------------------------------------------------------------- */

static size_t small_letters(const char *text)
{
    size_t size = 0;
    while (text[size] >= 'a' && text[size] <= 'z')
        size++;
    return size;
}

static bool word_is(const char *text, size_t size, const char *word)
{
    return strlen(word) == size && memcmp(text, word, size) == 0;
}

/* At "${": is it meant as a reference? */
static bool reference_begins(const char *at)
{
    size_t size = small_letters(at + 2);
    if (size == 0)
        return false;
    if (at[2 + size] == ':')
        return true;
    return at[2 + size] == '}' && (word_is(at + 2, size, "env") || word_is(at + 2, size, "file"));
}

static struct secret_piece bad(const char *sentence)
{
    return (struct secret_piece){.kind = SECRET_BAD, .text = sentence, .size = strlen(sentence)};
}

static bool env_name_is_valid(const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return size > 0 && size <= PLUGIN_REFERENCE_MAX;
}

static bool file_path_is_valid(const char *path, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)path[i] < 0x20 || path[i] == 0x7f)
            return false;
    return size > 1 && size <= PLUGIN_REFERENCE_MAX && path[0] == '/';
}

static struct secret_piece take_reference(const char **at)
{
    const char *kind = *at + 2;
    size_t kind_size = small_letters(kind);
    bool is_env = word_is(kind, kind_size, "env"), is_file = word_is(kind, kind_size, "file");
    if (!is_env && !is_file)
        return bad("a reference of an unknown kind; ${env:NAME} and ${file:/path} are possible, and $${ is a literal "
                   "\"${\"");
    if (kind[kind_size] != ':')
        return bad("a reference without a name; write ${env:NAME} or ${file:/path}, or $${ for a literal \"${\"");
    const char *name = kind + kind_size + 1;
    size_t size = strcspn(name, "}");
    if (name[size] != '}')
        return bad("a reference without its closing \"}\"; $${ is a literal \"${\"");
    if (is_env && !env_name_is_valid(name, size))
        return bad("${env:...} needs the name of an environment variable: letters, digits and _, no digit first");
    if (is_file && !file_path_is_valid(name, size))
        return bad("${file:...} needs an absolute path");
    struct secret_piece piece = {.kind = SECRET_REFERENCE, .text = name, .size = size};
    memcpy(piece.reference, is_env ? "env" : "file", is_env ? sizeof "env" : sizeof "file");
    *at = name + size + 1;
    return piece;
}

struct secret_piece secret_next(const char **at)
{
    const char *begin = *at;
    if (*begin == '\0')
        return (struct secret_piece){.kind = SECRET_END, .text = begin};
    if (strncmp(begin, "$${", 3) == 0) {
        *at = begin + 3;
        return (struct secret_piece){.kind = SECRET_LITERAL, .text = begin + 1, .size = 2};
    }
    if (strncmp(begin, "${", 2) == 0 && reference_begins(begin))
        return take_reference(at);
    size_t size = 1 + strcspn(begin + 1, "$"); /* a "$" of its own is text */
    *at = begin + size;
    return (struct secret_piece){.kind = SECRET_LITERAL, .text = begin, .size = size};
}

bool secret_text_has_reference(const char *text)
{
    for (;;) {
        struct secret_piece piece = secret_next(&text);
        if (piece.kind == SECRET_END || piece.kind == SECRET_BAD)
            return false;
        if (piece.kind == SECRET_REFERENCE)
            return true;
    }
}

bool secret_text_is_reference(const char *text)
{
    bool any = false;
    for (;;) {
        struct secret_piece piece = secret_next(&text);
        if (piece.kind == SECRET_END)
            return any;
        if (piece.kind != SECRET_REFERENCE)
            return false;
        any = true;
    }
}

/* -- the system's resolver ----------------------------------------------------------------------------------------- */

static enum status append_secret(struct buffer *out, const char *data, size_t size, struct error *err)
{
    if (size > PLUGIN_SECRET_MAX)
        return error_set(err, STATUS_TOO_LARGE, "the secret is longer than %d bytes", PLUGIN_SECRET_MAX);
    buffer_append(out, data, size);
    return out->failed ? error_set(err, out->failed, "the secret does not fit") : STATUS_OK;
}

static enum status resolve_env(const char *name, struct buffer *out, struct error *err)
{
    const char *value = getenv(name);
    if (!value)
        return error_set(err, STATUS_NOT_FOUND, "the environment variable %.128s is not set on this node", name);
    enum status status = append_secret(out, value, strlen(value), err);
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "environment variable %.128s", name);
}

/* At most one byte more than is allowed, so that a longer file shows. */
static enum status read_secret(int fd, char *into, size_t *ret_size, struct error *err)
{
    size_t size = 0;
    while (size <= PLUGIN_SECRET_MAX) {
        ssize_t got = read(fd, into + size, PLUGIN_SECRET_MAX + 1 - size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(err, STATUS_IO, errno, "cannot read");
        if (got == 0)
            break;
        size += (size_t)got;
    }
    *ret_size = size;
    return STATUS_OK;
}

static enum status append_file(int fd, struct buffer *out, struct error *err)
{
    struct stat facts;
    if (fstat(fd, &facts) != 0)
        return error_set_errno(err, STATUS_IO, errno, "cannot examine");
    if (!S_ISREG(facts.st_mode))
        return error_set(err, STATUS_INVALID, "not a regular file");
    char *data = malloc(PLUGIN_SECRET_MAX + 1);
    if (!data)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    size_t size = 0;
    enum status status = read_secret(fd, data, &size, err);
    if (status == STATUS_OK && size > 0 && size <= PLUGIN_SECRET_MAX && data[size - 1] == '\n')
        size--;
    if (status == STATUS_OK)
        status = append_secret(out, data, size, err);
    explicit_bzero(data, PLUGIN_SECRET_MAX + 1);
    free(data);
    return status;
}

/* Links are followed: mounted secrets are links on the usual platforms. O_NONBLOCK: a pipe must not hold the caller. */
static enum status resolve_file(const char *path, struct buffer *out, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    enum status status;
    if (fd < 0) {
        int cause = errno;
        status = cause == ENOENT ? STATUS_NOT_FOUND : cause == EACCES ? STATUS_FORBIDDEN : STATUS_IO;
        (void)error_set_errno(err, status, cause, "cannot open");
    } else {
        status = append_file(fd, out, err);
        close(fd);
    }
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "secret file %.200s", path);
}

static enum status resolve_system(void *arg, const char *kind, const char *name, struct buffer *out, struct error *err)
{
    (void)arg;
    if (strcmp(kind, "env") == 0)
        return resolve_env(name, out, err);
    if (strcmp(kind, "file") == 0)
        return resolve_file(name, out, err);
    return error_set(err, STATUS_INVALID, "\"%.16s\" is no kind of reference", kind);
}

const struct plugin_secret_resolver plugin_secret_resolver_system = {.resolve = resolve_system, .arg = NULL};
