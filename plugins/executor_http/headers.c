#include "headers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "plugin_error.h"

/* Set by the executor, or by the connection: a job that could set them could forge what a receiver relies on, or make
 * two servers read one request differently (RFC 9112 section 11.2). */
static const char *const reserved_names[] = {
    "Idempotency-Key", "traceparent", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive",
    "Proxy-Connection", "Proxy-Authorization", "TE", "Trailer", "Upgrade", "Expect", "HTTP2-Settings",
};

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

int32_t header_name_check(const char *option, const char *name, struct chronos_error *err)
{
    bool token = name != NULL && name[0] != '\0' && strlen(name) <= 256;

    for (const char *at = name; token && *at != '\0'; at++) {
        token = is_token_char(*at);
    }
    if (!token) {
        return plugin_error(err, CHRONOS_INVALID, 0, 
                            "%s: a header's name is empty, too long or has a forbidden character", option);
    }
    bool reserved = strncasecmp(name, "X-Chronos-", 10) == 0;
    for (size_t i = 0; !reserved && i < sizeof(reserved_names) / sizeof(reserved_names[0]); i++) {
        reserved = strcasecmp(name, reserved_names[i]) == 0;
    }
    if (reserved) {
        return plugin_error(err, CHRONOS_INVALID, 0, "%s: %.64s is set by Chronos and cannot be given", option, name);
    }
    return CHRONOS_OK;
}

int32_t header_value_check(const char *option, const char *name, const char *value, size_t size,
                           struct chronos_error *err)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)value[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return plugin_error(err, CHRONOS_INVALID, 0,
                                "%s: the value of %.64s has a line break or another control character", option, name);
        }
    }
    return CHRONOS_OK;
}

bool header_add(struct curl_slist **list, const char *name, const char *value)
{
    size_t size = strlen(name) + strlen(value) + 3;
    char *line = malloc(size);

    if (line == NULL) {
        return false;
    }
    value += strspn(value, " \t");
    /* libcurl takes "Name:" as "leave this header out" and "Name;" as "send it empty". */
    (void)snprintf(line, size, value[0] == '\0' ? "%s;" : "%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(*list, line);
    free(line);
    if (longer == NULL) {
        return false;
    }
    *list = longer;
    return true;
}

void header_drop(struct curl_slist **list, const char *name)
{
    size_t size = strlen(name);

    for (struct curl_slist **at = list; *at != NULL; at = &(*at)->next) {
        if (strncasecmp((*at)->data, name, size) == 0 && ((*at)->data[size] == ':' || (*at)->data[size] == ';')) {
            struct curl_slist *gone = *at;
            *at = gone->next;
            gone->next = NULL;
            curl_slist_free_all(gone);
            return;
        }
    }
}
