/* Tokens of the HTTP API: making them, turning one into its line of auth.tokens_file, and finding the one to send. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/token.h"
#include "base/file.h"
#include "base/limits.h"
#include "ctl/invocation.h"
#include "ctl/token.h"

#define SHOWN_ONCE "The token, shown this once; who holds it may do everything:\n\n  %s\n\n"

enum { FILE_MAX = 64 * 1024, LINE_SIZE = TOKEN_NAME_MAX + 1 + TOKEN_DIGEST_TEXT_SIZE };

/* --- a text that holds one token --- */

static struct bytes trimmed(struct bytes text)
{
    const char *at = text.data, *end = at + text.size;
    while (at < end && strchr(" \t\r\n", *at) != NULL && *at != '\0')
        at++;
    while (end > at && strchr(" \t\r\n", end[-1]) != NULL && end[-1] != '\0')
        end--;
    return (struct bytes){at, (size_t)(end - at)};
}

/* The sentence says where the token was looked for, never what was found. */
static enum status take_token(const char *where, struct bytes text, struct buffer *ret, struct error *err)
{
    struct bytes token = trimmed(text);
    if (!token_is_sound(token))
        return error_set(err, STATUS_INVALID,
                         "%s holds no token: that is %d to %d letters, digits and \"-._~+/\" from a random source, alone; `chronosctl "
                         "token generate NAME` makes one",
                         where, TOKEN_MIN, TOKEN_MAX);
    buffer_append(ret, token.data, token.size);
    return ret->failed == STATUS_OK ? STATUS_OK : error_set(err, ret->failed, "out of memory");
}

static enum status read_token_file(const char *path, struct buffer *ret, struct error *err)
{
    struct stat file;
    struct buffer text;
    buffer_init(&text, FILE_MAX);
    enum status status = file_read(path, &text, err);
    if (status != STATUS_OK)
        (void)error_wrap(err, "--token-file");
    else if (stat(path, &file) == 0 && S_ISREG(file.st_mode) && (file.st_mode & (S_IWGRP | S_IRWXO)) != 0)
        complain(NULL, "warning: others can read or change the token in %s; chmod 600 it", path);
    if (status == STATUS_OK)
        status = take_token(path, text.size > 0 ? buffer_bytes(&text) : (struct bytes){"", 0}, ret, err);
    if (text.data != NULL)
        explicit_bzero(text.data, text.size);
    buffer_deinit(&text);
    return status;
}

enum status token_find(const struct arguments *arguments, struct buffer *ret, struct error *err)
{
    const char *path = arguments_text(arguments, "token-file"), *variable = getenv("CHRONOS_TOKEN");
    if (path != NULL)
        return read_token_file(path, ret, err);
    if (variable != NULL && *variable != '\0')
        return take_token("the variable CHRONOS_TOKEN", (struct bytes){variable, strlen(variable)}, ret, err);
    return STATUS_OK;
}

/* --- commands --- */

static bool make_line(const char *name, struct bytes token, char out[LINE_SIZE])
{
    uint8_t digest[TOKEN_DIGEST_SIZE];
    struct error err;
    size_t size = strlen(name);
    if (token_digest(token, digest, &err) != STATUS_OK) {
        (void)complain_error(NULL, &err);
        return false;
    }
    memcpy(out, name, size);
    out[size] = ':';
    token_digest_format(digest, out + size + 1);
    return true;
}

static int refuse_name(const char *name)
{
    return complain_usage("\"%s\" is not a name for a token; use letters, digits, \"-\", \"_\" and \".\", a letter or digit first and "
                          "last, at most %d bytes",
                          name, TOKEN_NAME_MAX);
}

/* Into a file that was not there: nobody's token is written over. */
static int save_token(const char *path, const char *token)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        complain(NULL, "--save %s: %s", path, errno == EEXIST ? "it is there already; choose another name, or remove it" : strerror(errno));
        return EXIT_CODE_REFUSED;
    }
    size_t size = strlen(token);
    bool good = write(fd, token, size) == (ssize_t)size && write(fd, "\n", 1) == 1 && fsync(fd) == 0;
    int code = errno;
    if (close(fd) == 0 && good)
        return EXIT_CODE_OK;
    complain(NULL, "--save %s: %s", path, strerror(good ? errno : code));
    (void)unlink(path); /* half a token is none */
    return EXIT_CODE_REFUSED;
}

static int show(struct invocation *invocation, const char *name, const char *token, const char *line)
{
    struct buffer *out = &invocation->out;
    if (invocation->format == FORMAT_JSON || invocation->format == FORMAT_YAML) {
        cJSON *answer = cJSON_CreateObject();
        bool made = answer != NULL && cJSON_AddStringToObject(answer, "name", name) != NULL &&
                    (token == NULL || cJSON_AddStringToObject(answer, "token", token) != NULL) &&
                    cJSON_AddStringToObject(answer, "line", line) != NULL;
        int code = made ? invocation_show(invocation, answer) : EXIT_CODE_REFUSED;
        if (!made)
            complain(NULL, "out of memory");
        cJSON_Delete(answer);
        return code;
    }
    if (token == NULL)
        buffer_appendf(out, "%s\n", line);
    else if (invocation->format == FORMAT_NAME)
        buffer_appendf(out, "%s\n%s\n", token, line);
    else if (invocation->out_is_terminal)
        buffer_appendf(out, SHOWN_ONCE "Its line for auth.tokens_file of every node, which then need a SIGHUP:\n\n  %s\n", token, line);
    else { /* ">>tokens": the line goes there, and nothing else */
        buffer_appendf(out, "%s\n", line);
        (void)fprintf(stderr, SHOWN_ONCE "Its line for auth.tokens_file went to standard output.\n", token);
    }
    return EXIT_CODE_OK;
}

int run_token_generate(struct invocation *invocation)
{
    const char *name = invocation->arguments.operands[0], *path = arguments_text(&invocation->arguments, "save");
    char token[TOKEN_TEXT_SIZE], line[LINE_SIZE];
    if (!token_name_is_valid((struct bytes){name, strlen(name)}))
        return refuse_name(name);
    token_generate(token);
    if (!make_line(name, (struct bytes){token, strlen(token)}, line))
        return EXIT_CODE_REFUSED;
    int code = path != NULL ? save_token(path, token) : EXIT_CODE_OK;
    if (code == EXIT_CODE_OK)
        code = show(invocation, name, path != NULL ? NULL : token, line);
    explicit_bzero(token, sizeof token);
    return code;
}

int run_token_hash(struct invocation *invocation)
{
    const char *name = invocation->arguments.operands[0];
    char line[LINE_SIZE];
    struct buffer text, token;
    struct error err;
    if (!token_name_is_valid((struct bytes){name, strlen(name)}))
        return refuse_name(name);
    buffer_init(&text, FILE_MAX);
    buffer_init(&token, TOKEN_MAX + 1);
    int code = EXIT_CODE_REFUSED;
    if (file_read("/dev/stdin", &text, &err) != STATUS_OK ||
        take_token("standard input", text.size > 0 ? buffer_bytes(&text) : (struct bytes){"", 0}, &token, &err) != STATUS_OK)
        code = complain_usage("%s", err.message);
    else if (make_line(name, buffer_bytes(&token), line))
        code = show(invocation, name, NULL, line);
    buffer_deinit(&text);
    buffer_deinit(&token);
    return code;
}
