/* A web page that somebody has open must not be able to post a job to a node on the same machine: a state-changing request
 * needs a Host that means this node, an Origin (if any) equal to it, and a body of JSON, which a plain form cannot send. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "api/api_internal.h"

enum { HOST_MAX = 256 };

static bool equals(struct bytes text, const char *word)
{
    return text.size == strlen(word) && strncasecmp(text.data, word, text.size) == 0;
}

/* A literal address cannot be made to point elsewhere by a name server (DNS rebinding). */
static bool is_address(struct bytes host)
{
    char text[HOST_MAX];
    struct in6_addr address;
    if (host.size >= sizeof text || host.size == 0)
        return false;
    memcpy(text, host.data, host.size);
    text[host.size] = '\0';
    if (text[0] == '[' && text[host.size - 1] == ']') {
        text[host.size - 1] = '\0';
        return inet_pton(AF_INET6, text + 1, &address) == 1;
    }
    return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

static bool is_this_host(const struct api *api, struct bytes host)
{
    char name[HOST_MAX] = "";
    const char *configured = api->config.config->server.http_address;
    const char *colon = strrchr(configured, ':');
    size_t size = colon != NULL ? (size_t)(colon - configured) : strlen(configured);
    if (equals(host, "localhost") || is_address(host))
        return true;
    if (host.size == size && size > 0 && strncasecmp(host.data, configured, size) == 0)
        return true;
    if (gethostname(name, sizeof name - 1) == 0 && equals(host, name))
        return true;
    return equals(host, api->config.config->cluster.node_id);
}

/* "http://host:port" against the Host header, port included. */
static bool origin_matches(struct bytes origin, struct bytes host)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < 2; i++) {
        size_t size = strlen(schemes[i]);
        if (origin.size == size + host.size && strncasecmp(origin.data, schemes[i], size) == 0 &&
            strncasecmp((const char *)origin.data + size, host.data, host.size) == 0)
            return true;
    }
    return false;
}

static enum status check_host(const struct api *api, const struct http_request *request, struct error *err)
{
    if (!config_http_is_loopback(api->config.config) || request->host.size == 0 || is_this_host(api, request->host))
        return STATUS_OK;
    return error_set(err, STATUS_FORBIDDEN,
                     "the Host header names \"%.*s\", which is not this node; use its address or localhost",
                     (int)(request->host.size < 100 ? request->host.size : 100), (const char *)request->host.data);
}

static enum status check_origin(const struct http_request *request, struct error *err)
{
    struct bytes origin = http_header_get(request, "Origin"), host = http_header_get(request, "Host");
    if (origin.data == NULL || origin_matches(origin, host))
        return STATUS_OK;
    return error_set(err, STATUS_FORBIDDEN,
                     "the request comes from a web page of another origin (\"%.*s\"); state can be changed from this node's "
                     "own pages only",
                     (int)(origin.size < 100 ? origin.size : 100), (const char *)origin.data);
}

/* The media type alone, without parameters. */
static struct bytes media_type(struct bytes value)
{
    const char *text = value.data;
    size_t size = 0;
    while (size < value.size && text[size] != ';' && text[size] != ' ' && text[size] != '\t')
        size++;
    return (struct bytes){text, size};
}

/* Probes and metrics tell nothing of jobs, and load balancers send Hosts of their own. */
enum status guard_check_read(const struct api *api, const struct http_request *request, struct error *err)
{
    static const char prefix[] = "/api/";
    bool is_resource =
        request->path.size >= sizeof prefix - 1 && memcmp(request->path.data, prefix, sizeof prefix - 1) == 0;
    return is_resource ? check_host(api, request, err) : STATUS_OK;
}

enum status guard_check(const struct api *api, const struct http_request *request, struct error *err)
{
    enum status status = check_host(api, request, err);
    if (status == STATUS_OK)
        status = check_origin(request, err);
    if (status != STATUS_OK)
        return status;
    struct bytes type = http_header_get(request, "Content-Type");
    if (type.data == NULL && request->body.size == 0)
        return STATUS_OK;
    struct bytes media = media_type(type);
    if (equals(media, "application/json") ||
        (request->method == METHOD_PATCH && equals(media, "application/merge-patch+json")))
        return STATUS_OK;
    return error_set(err, STATUS_UNSUPPORTED_MEDIA, "send the body as application/json (Content-Type: application/json)");
}
