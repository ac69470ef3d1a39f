/* Bearer tokens: "chr_" and 256 random bits in hexadecimal digits. A node keeps only their SHA-256.
 *
 * A fast digest without salt is enough because nobody can guess 256 random bits, not because it is slow (docs/adr/0016). */
#ifndef CHRONOS_AUTH_TOKEN_H
#define CHRONOS_AUTH_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

enum {
    TOKEN_RANDOM_SIZE = 32,
    TOKEN_TEXT_SIZE = 4 + 2 * TOKEN_RANDOM_SIZE + 1, /* "chr_", digits, NUL */
    TOKEN_DIGEST_SIZE = 32,
    TOKEN_DIGEST_TEXT_SIZE = 2 * TOKEN_DIGEST_SIZE + 1,
};

void token_generate(char out[TOKEN_TEXT_SIZE]);
/* TOKEN_MIN to TOKEN_MAX of what RFC 6750 allows in a token (letters, digits, "-._~+/", "=" at its end): no space, quote or line
 * end, so that it can stand in a header. Tokens of others (`openssl rand -hex 32`) may be used. */
bool token_is_sound(struct bytes token);
/* IO: the system's cryptography is broken. */
must_use enum status token_digest(struct bytes token, uint8_t out[TOKEN_DIGEST_SIZE], struct error *err);
void token_digest_format(const uint8_t digest[TOKEN_DIGEST_SIZE], char out[TOKEN_DIGEST_TEXT_SIZE]);
/* Exactly 64 hexadecimal digits, of either case. */
bool token_digest_parse(struct bytes text, uint8_t out[TOKEN_DIGEST_SIZE]);
/* Names of tokens are as those of nodes: letters, digits, "-", "_" and ".", a letter or digit first and last; at most
 * TOKEN_NAME_MAX bytes. */
bool token_name_is_valid(struct bytes name);

#endif
