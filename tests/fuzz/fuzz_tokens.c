/* Any bytes as a file of tokens: each is taken or refused with a sentence; what was taken is found under its digest. */
#include <stdlib.h>
#include <string.h>

#include "auth/tokens.h"
#include "base/limits.h"
#include "check.h"

/* Every run of 64 digits that the parser could have taken: a token, if any, has a sound name. */
static uint32_t count_found(const struct tokens *tokens, const char *text, size_t size)
{
    uint8_t digest[TOKEN_DIGEST_SIZE];
    uint32_t count = 0;
    for (size_t at = 0; at + 2 * TOKEN_DIGEST_SIZE <= size; at++) {
        if (!token_digest_parse((struct bytes){text + at, 2 * TOKEN_DIGEST_SIZE}, digest))
            continue;
        const char *name = tokens_find(tokens, digest);
        CHECK(name == NULL || token_name_is_valid((struct bytes){name, strlen(name)}));
        count += name != NULL;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tokens *tokens = NULL;
    struct error err = {.message = ""};
    if (tokens_parse("tokens", (struct bytes){data, size}, &tokens, &err) != STATUS_OK) {
        CHECK(tokens == NULL && strncmp(err.message, "tokens:", 7) == 0);
        return 0;
    }
    CHECK(tokens_count(tokens) > 0 && tokens_count(tokens) <= TOKENS_MAX);
    CHECK(count_found(tokens, (const char *)data, size) >= tokens_count(tokens));
    tokens_free(tokens);
    return 0;
}
