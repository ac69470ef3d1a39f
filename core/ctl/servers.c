#include "ctl/servers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

static const char unix_prefix[] = "unix://";

static enum status parse_socket(const char *text, struct server *server, struct error *err)
{
    const char *path = text + strlen(unix_prefix);
    if (path[0] != '/')
        return error_set(err, STATUS_INVALID,
                         "server \"%s\": a socket is named by its whole path: unix:///run/chronos.sock",
                         text);
    if (strlen(path) >= 108) /* sockaddr_un */
        return error_set(err, STATUS_INVALID, "server \"%s\": the path of a socket has at most 107 bytes", text);
    (void)snprintf(server->socket, sizeof server->socket, "%s", path);
    (void)snprintf(server->shown, sizeof server->shown, "%s", text);
    (void)snprintf(server->base, sizeof server->base, "http://localhost");
    server->is_loopback = true;
    return STATUS_OK;
}

static bool is_loopback_host(const char *host)
{
    return strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 || strcmp(host, "[::1]") == 0;
}

/* A part of the URL; NULL if it has none. Freed with curl_free. */
static char *part_of(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    return curl_url_get(url, part, &text, 0) == CURLUE_OK ? text : NULL;
}

static void copy_without_slash(char out[SERVER_TEXT_SIZE], const char *text)
{
    size_t size = strlen(text);
    while (size > 0 && text[size - 1] == '/')
        size--;
    (void)snprintf(out, SERVER_TEXT_SIZE, "%.*s", (int)size, text);
}

static enum status not_an_address(const char *text, struct error *err)
{
    return error_set(err, STATUS_INVALID,
                     "server \"%s\": not an address; write http://host:port, host:port or unix:///path", text);
}

static enum status take_parts(CURLU *url, bool has_scheme, const char *text, struct server *server, struct error *err)
{
    char *scheme = part_of(url, CURLUPART_SCHEME), *host = part_of(url, CURLUPART_HOST);
    char *port = part_of(url, CURLUPART_PORT), *query = part_of(url, CURLUPART_QUERY);
    char *fragment = part_of(url, CURLUPART_FRAGMENT);
    char *whole = NULL, *shown = NULL, number[16];
    enum status status = STATUS_OK;
    (void)snprintf(number, sizeof number, "%d", SERVER_PORT_DEFAULT);
    if (scheme == NULL || host == NULL || (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
        status = not_an_address(text, err);
    else if (query != NULL || fragment != NULL)
        status = error_set(err, STATUS_INVALID, "server \"%s\": an address has no ? and no #", text);
    else if (port == NULL && !has_scheme && curl_url_set(url, CURLUPART_PORT, number, 0) != CURLUE_OK)
        status = error_set(err, STATUS_NO_MEMORY, "out of memory");
    else if ((whole = part_of(url, CURLUPART_URL)) == NULL || curl_url_set(url, CURLUPART_USER, NULL, 0) != CURLUE_OK ||
             curl_url_set(url, CURLUPART_PASSWORD, NULL, 0) != CURLUE_OK ||
             (shown = part_of(url, CURLUPART_URL)) == NULL)
        status = error_set(err, STATUS_NO_MEMORY, "out of memory");
    if (status == STATUS_OK) {
        copy_without_slash(server->base, whole);
        copy_without_slash(server->shown, shown);
        server->is_loopback = is_loopback_host(host);
    }
    char *const parts[] = {scheme, host, port, query, fragment, whole, shown};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        curl_free(parts[i]);
    return status;
}

static enum status parse_url(const char *text, struct server *server, struct error *err)
{
    char with_scheme[SERVER_TEXT_SIZE];
    bool has_scheme = strstr(text, "://") != NULL;
    CURLU *url = curl_url();
    if (url == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    (void)snprintf(with_scheme, sizeof with_scheme, "%s%s", has_scheme ? "" : "http://", text);
    enum status status = curl_url_set(url, CURLUPART_URL, with_scheme, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK
                             ? not_an_address(text, err)
                             : take_parts(url, has_scheme, text, server, err);
    curl_url_cleanup(url);
    return status;
}

static enum status parse_one(const char *text, size_t size, struct server *server, struct error *err)
{
    char copy[SERVER_TEXT_SIZE - 16];
    while (size > 0 && (*text == ' ' || *text == '\t')) {
        text++;
        size--;
    }
    while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\t'))
        size--;
    if (size == 0)
        return error_set(err, STATUS_INVALID, "the list of servers has an empty entry");
    if (size >= sizeof copy)
        return error_set(err, STATUS_INVALID, "server \"%.40s...\": longer than %zu bytes", text, sizeof copy - 1);
    memcpy(copy, text, size);
    copy[size] = '\0';
    *server = (struct server){.is_loopback = false};
    return strncmp(copy, unix_prefix, strlen(unix_prefix)) == 0 ? parse_socket(copy, server, err)
                                                                : parse_url(copy, server, err);
}

enum status servers_parse(const char *list, struct server *servers, unsigned *ret_count, struct error *err)
{
    unsigned count = 0;
    for (const char *at = list;; at++) {
        size_t size = strcspn(at, ",");
        if (count == CLIENT_SERVERS_MAX)
            return error_set(err, STATUS_INVALID, "more than %d servers", CLIENT_SERVERS_MAX);
        if (parse_one(at, size, &servers[count++], err) != STATUS_OK)
            return err->code;
        at += size;
        if (*at == '\0')
            break;
    }
    *ret_count = count;
    return STATUS_OK;
}
