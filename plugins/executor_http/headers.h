/* Rules for the names and values of HTTP header fields, and lists of them. */
#ifndef EXECUTOR_HTTP_HEADERS_H
#define EXECUTOR_HTTP_HEADERS_H

#include <stdbool.h>

#include <chronos/plugin.h>
#include <curl/curl.h>

/* INVALID: not a token (RFC 9110 5.6.2), or a name that belongs to the executor or to the connection. */
int32_t header_name_check(const char *option, const char *name, struct chronos_error *err);
/* INVALID: CR, LF or another control character. The value is not shown: it may be a secret. */
int32_t header_value_check(const char *option, const char *name, const char *value, size_t size,
                           struct chronos_error *err);
/* Appends "name: value"; false without memory, and the list is as before. */
bool header_add(struct curl_slist **list, const char *name, const char *value);
/* Takes the first "name: ..." out, if there is one. */
void header_drop(struct curl_slist **list, const char *name);

#endif
