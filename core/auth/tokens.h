/* The tokens that a node knows: auth.tokens_file (docs/configuration.md, "Tokens"). One a line, "name:<SHA-256 in hexadecimal
 * digits>"; blank lines and those that begin with "#" mean nothing. */
#ifndef CHRONOS_AUTH_TOKENS_H
#define CHRONOS_AUTH_TOKENS_H

#include "auth/token.h"

struct tokens;

/* Reads `path`: a regular file that nobody but its owner can write. *err says file, line and what to do, and never what stands
 * in the line: it could be a token. Blocks. Freed with tokens_free. */
must_use enum status tokens_load(const char *path, struct tokens **ret, struct error *err);
/* The same with the text at hand; `label` names it in messages. At least one token, at most TOKENS_MAX, each name and each digest
 * once. */
must_use enum status tokens_parse(const char *label, struct bytes text, struct tokens **ret, struct error *err);
void tokens_free(struct tokens *tokens); /* accepts NULL */
uint32_t tokens_count(const struct tokens *tokens);
/* The name of the token with this digest, or NULL; lives as long as the tokens. The time it takes tells nothing about which one
 * it was, or how much of one was right. */
const char *tokens_find(const struct tokens *tokens, const uint8_t digest[TOKEN_DIGEST_SIZE]);

#endif
