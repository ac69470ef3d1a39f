#include "auth/token.h"

#include <string.h>

#include <openssl/evp.h>

#include "base/id.h"
#include "base/limits.h"

static const char prefix[] = "chr_";
static const char digits[] = "0123456789abcdef";

static void append_hex(const uint8_t *bytes, size_t size, char *out)
{
    for (size_t i = 0; i < size; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

void token_generate(char out[TOKEN_TEXT_SIZE])
{
    uint8_t random[TOKEN_RANDOM_SIZE];
    random_bytes_secure(random, sizeof random);
    memcpy(out, prefix, sizeof prefix - 1);
    append_hex(random, sizeof random, out + sizeof prefix - 1);
}

bool token_is_sound(struct bytes token)
{
    const char *text = token.data;
    size_t size = token.size;
    if (size < TOKEN_MIN || size > TOKEN_MAX)
        return false;
    while (size > 0 && text[size - 1] == '=')
        size--;
    for (size_t i = 0; i < size; i++)
        if (!is_alphanumeric(text[i]) && (text[i] == '\0' || strchr("-._~+/", text[i]) == NULL))
            return false;
    return size > 0;
}

enum status token_digest(struct bytes token, uint8_t out[TOKEN_DIGEST_SIZE], struct error *err)
{
    unsigned size = 0;
    uint8_t digest[EVP_MAX_MD_SIZE];
    if (EVP_Digest(token.data, token.size, digest, &size, EVP_sha256(), NULL) != 1 || size != TOKEN_DIGEST_SIZE)
        return error_set(err, STATUS_IO, "the SHA-256 of a token cannot be computed: OpenSSL refuses");
    memcpy(out, digest, TOKEN_DIGEST_SIZE);
    return STATUS_OK;
}

void token_digest_format(const uint8_t digest[TOKEN_DIGEST_SIZE], char out[TOKEN_DIGEST_TEXT_SIZE])
{
    append_hex(digest, TOKEN_DIGEST_SIZE, out);
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool token_digest_parse(struct bytes text, uint8_t out[TOKEN_DIGEST_SIZE])
{
    uint8_t digest[TOKEN_DIGEST_SIZE];
    const char *at = text.data;
    if (text.size != 2 * TOKEN_DIGEST_SIZE)
        return false;
    for (size_t i = 0; i < TOKEN_DIGEST_SIZE; i++, at += 2) {
        int high = hex_value(at[0]), low = hex_value(at[1]);
        if (high < 0 || low < 0)
            return false;
        digest[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(out, digest, sizeof digest);
    return true;
}

bool token_name_is_valid(struct bytes name)
{
    const char *text = name.data;
    if (name.size == 0 || name.size > TOKEN_NAME_MAX || !is_alphanumeric(text[0]) || !is_alphanumeric(text[name.size - 1]))
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (!is_alphanumeric(text[i]) && text[i] != '-' && text[i] != '_' && text[i] != '.')
            return false;
    return true;
}
