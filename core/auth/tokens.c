#include "auth/tokens.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/limits.h"

struct token {
    uint8_t digest[TOKEN_DIGEST_SIZE];
    char name[TOKEN_NAME_MAX + 1];
    uint32_t line;
};

struct tokens {
    uint32_t count;
    struct token items[TOKENS_MAX];
};

/* --- parsing --- */

struct source {
    const char *label;
    uint32_t line;
};

static struct bytes trimmed(struct bytes text)
{
    const char *at = text.data, *end = at + text.size;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (end > at && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
        end--;
    return (struct bytes){at, (size_t)(end - at)};
}

/* `line` is "name:digest", or should be. */
static enum status parse_token(const struct source *source, struct bytes line, struct token *ret, struct error *err)
{
    const char *colon = memchr(line.data, ':', line.size);
    if (colon == NULL)
        return error_set(err, STATUS_INVALID,
                         "%s:%u: not \"name:digest\"; `chronosctl token hash NAME` makes a line from a token", source->label,
                         source->line);
    size_t size = (size_t)(colon - (const char *)line.data);
    struct bytes name = trimmed((struct bytes){line.data, size});
    struct bytes digest = trimmed((struct bytes){colon + 1, line.size - size - 1});
    if (!token_name_is_valid(name))
        return error_set(err, STATUS_INVALID,
                         "%s:%u: what stands before the colon is not a name; use letters, digits, \"-\", \"_\" and \".\", a letter "
                         "or digit first and last, at most %d bytes",
                         source->label, source->line, TOKEN_NAME_MAX);
    if (!token_digest_parse(digest, ret->digest))
        return error_set(err, STATUS_INVALID,
                         "%s:%u: what stands behind the colon is not 64 hexadecimal digits, the SHA-256 of a token; `chronosctl "
                         "token hash NAME` makes a line from a token",
                         source->label, source->line);
    memcpy(ret->name, name.data, name.size);
    ret->name[name.size] = '\0';
    ret->line = source->line;
    return STATUS_OK;
}

static enum status add(struct tokens *tokens, const struct source *source, const struct token *token, struct error *err)
{
    for (uint32_t i = 0; i < tokens->count; i++) {
        const struct token *other = &tokens->items[i];
        bool same_name = strcmp(other->name, token->name) == 0;
        if (same_name || memcmp(other->digest, token->digest, TOKEN_DIGEST_SIZE) == 0)
            return error_set(err, STATUS_INVALID, "%s:%u: the %s of line %u stands here again; %s", source->label, source->line,
                             same_name ? "name" : "token", other->line,
                             same_name ? "give each token a name of its own" : "give each holder a token of its own");
    }
    if (tokens->count == TOKENS_MAX)
        return error_set(err, STATUS_TOO_LARGE, "%s:%u: more than %d tokens", source->label, source->line, TOKENS_MAX);
    tokens->items[tokens->count++] = *token;
    return STATUS_OK;
}

static enum status parse_line(struct tokens *tokens, const struct source *source, struct bytes line, struct error *err)
{
    struct token token = {.line = 0};
    if (memchr(line.data, '\0', line.size) != NULL)
        return error_set(err, STATUS_INVALID, "%s:%u: a NUL byte: the file is not text, or was cut off by a crash; write it anew",
                         source->label, source->line);
    line = trimmed(line);
    if (line.size == 0 || *(const char *)line.data == '#')
        return STATUS_OK;
    enum status status = parse_token(source, line, &token, err);
    return status == STATUS_OK ? add(tokens, source, &token, err) : status;
}

static enum status parse_all(const char *label, struct bytes text, struct tokens *tokens, struct error *err)
{
    struct source source = {.label = label};
    enum status status = STATUS_OK;
    const char *at = text.data, *end = at + text.size;
    while (at < end && status == STATUS_OK) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline != NULL ? newline : end;
        source.line++;
        status = parse_line(tokens, &source, (struct bytes){at, (size_t)(stop - at)}, err);
        at = newline != NULL ? newline + 1 : end;
    }
    if (status == STATUS_OK && tokens->count == 0)
        status = error_set(err, STATUS_INVALID,
                           "%s: no token stands in it, so nobody could do anything; `chronosctl token generate NAME` makes one", label);
    return status;
}

enum status tokens_parse(const char *label, struct bytes text, struct tokens **ret, struct error *err)
{
    if (text.size > TOKENS_FILE_MAX)
        return error_set(err, STATUS_TOO_LARGE, "%s: larger than %d KiB", label, TOKENS_FILE_MAX / 1024);
    struct tokens *tokens = calloc(1, sizeof *tokens);
    if (tokens == NULL)
        return error_set(err, STATUS_NO_MEMORY, "%s: out of memory", label);
    enum status status = text.size > 0 ? parse_all(label, text, tokens, err) : parse_all(label, (struct bytes){"", 0}, tokens, err);
    if (status == STATUS_OK)
        *ret = tokens;
    else
        tokens_free(tokens);
    return status;
}

/* --- the file --- */

/* Whoever can write it can let himself in. Reading it helps nobody: it holds digests of what cannot be guessed. */
static enum status check_file(const char *path, struct error *err)
{
    struct stat file;
    if (stat(path, &file) != 0)
        return error_set_errno(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, errno, "%s", path);
    if (!S_ISREG(file.st_mode)) /* nor would reading a pipe ever end */
        return error_set(err, STATUS_INVALID, "%s: not a regular file", path);
    if ((file.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return error_set(err, STATUS_INVALID, "%s: others than its owner can write it (mode %04o), and so let themselves in; "
                         "chmod go-w it", path, (unsigned)(file.st_mode & 07777));
    return STATUS_OK;
}

enum status tokens_load(const char *path, struct tokens **ret, struct error *err)
{
    struct buffer text;
    if (check_file(path, err) != STATUS_OK)
        return err->code;
    buffer_init(&text, TOKENS_FILE_MAX);
    enum status status = file_read(path, &text, err);
    if (status == STATUS_OK)
        status = tokens_parse(path, buffer_bytes(&text), ret, err);
    buffer_deinit(&text);
    return status;
}

void tokens_free(struct tokens *tokens)
{
    free(tokens);
}

uint32_t tokens_count(const struct tokens *tokens)
{
    return tokens->count;
}

/* --- looking one up --- */

/* All ones where the two are the same, else 0; without a branch. */
static uint32_t same_mask(const uint8_t *a, const uint8_t *b)
{
    uint64_t differs = 0, one, other;
    for (size_t i = 0; i < TOKEN_DIGEST_SIZE; i += sizeof one) {
        memcpy(&one, a + i, sizeof one);
        memcpy(&other, b + i, sizeof other);
        differs |= one ^ other;
    }
    return (uint32_t)((differs | (0 - differs)) >> 63) - 1; /* the top bit: is it anything but 0? */
}

const char *tokens_find(const struct tokens *tokens, const uint8_t digest[TOKEN_DIGEST_SIZE])
{
    uint32_t found = UINT32_MAX;
    for (uint32_t i = 0; i < tokens->count; i++) {
        uint32_t mask = same_mask(tokens->items[i].digest, digest);
        found = (found & ~mask) | (i & mask);
    }
    return found != UINT32_MAX ? tokens->items[found].name : NULL;
}
