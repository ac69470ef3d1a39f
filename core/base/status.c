#include "base/status.h"

#include <stddef.h>

static const struct {
    const char *name, *title;
    int http;
    bool retryable;
} table[STATUS_COUNT] = {
#define X(symbol, http, retry, title) [STATUS_##symbol] = {#symbol, title, http, retry},
    STATUS_TABLE(X)
#undef X
};

/* Codes may come from a peer or a plugin of another version. */
static enum status known(enum status status)
{
    return (unsigned)status < STATUS_COUNT ? status : STATUS_INTERNAL;
}

const char *status_name(enum status status)
{
    return table[known(status)].name;
}

const char *status_title(enum status status)
{
    return table[known(status)].title;
}

int status_http(enum status status)
{
    return table[known(status)].http;
}

bool status_retryable(enum status status)
{
    return table[known(status)].retryable;
}
