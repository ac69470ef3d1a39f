/* Who asks: "Authorization: Bearer <token>" against the tokens that this node knows (RFC 6750). Nothing here shows or keeps what was
 * sent: it may be a token with a slip of the pen. */
#include <string.h>
#include <strings.h>

#include "api/api_internal.h"

const char bearer_challenge[] = "WWW-Authenticate: Bearer realm=\"chronos\"\r\n";

/* Probes, which load balancers and supervisors send. */
static bool is_public(struct bytes path)
{
    for (size_t i = 0; i < api_route_count; i++) {
        const char *pattern = api_routes[i].pattern;
        if ((api_routes[i].flags & ROUTE_PUBLIC) != 0 && path.size == strlen(pattern) && memcmp(path.data, pattern, path.size) == 0)
            return true;
    }
    return false;
}

/* The only header of that name; a proxy and this node must not read two of them differently. */
static enum status read_header(const struct http_request *request, struct bytes *ret, struct error *err)
{
    static const char name[] = "Authorization";
    const struct http_header *found = NULL;
    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];
        if (header->name.size != sizeof name - 1 || strncasecmp(header->name.data, name, sizeof name - 1) != 0)
            continue;
        if (found != NULL)
            return error_set(err, STATUS_UNAUTHENTICATED, "there is more than one Authorization header; send one");
        found = header;
    }
    if (found == NULL)
        return error_set(err, STATUS_UNAUTHENTICATED, "a token is needed: send the header \"Authorization: Bearer <token>\"");
    *ret = found->value;
    return STATUS_OK;
}

/* What stands behind "Bearer" and spaces; the scheme is of either case (RFC 9110 11.1). */
static enum status read_token(struct bytes header, struct bytes *ret, struct error *err)
{
    static const char scheme[] = "Bearer";
    const char *at = header.data, *end = at + header.size;
    size_t size = sizeof scheme - 1;
    bool is_bearer = header.size > size && strncasecmp(at, scheme, size) == 0 && at[size] == ' ';
    for (at += is_bearer ? size : 0; at < end && *at == ' ';)
        at++;
    *ret = (struct bytes){at, (size_t)(end - at)};
    if (is_bearer && token_is_sound(*ret))
        return STATUS_OK;
    return error_set(err, STATUS_UNAUTHENTICATED,
                     is_bearer ? "what stands behind \"Bearer\" in the Authorization header is not a token, as `chronosctl token "
                                 "generate` makes them"
                               : "the Authorization header is not \"Bearer <token>\"; this node knows no other scheme");
}

/* A snapshot has every secret of every job in clear, which other reads mask: it always needs a token. */
static bool is_whole_state(struct bytes path)
{
    static const char prefix[] = "/api/v1/cluster/snapshot/";
    return path.size >= sizeof prefix - 1 && memcmp(path.data, prefix, sizeof prefix - 1) == 0;
}

enum status bearer_check(const struct api *api, const struct http_request *request, const char **ret_name, struct error *err)
{
    uint8_t digest[TOKEN_DIGEST_SIZE];
    struct bytes header = {NULL, 0}, token = {NULL, 0};
    bool is_read = request->method == METHOD_GET || request->method == METHOD_HEAD;
    *ret_name = "";
    if (api->tokens == NULL || is_public(request->path))
        return STATUS_OK;
    if (is_read && !is_whole_state(request->path) && api->config.config->auth.anonymous == ANONYMOUS_READ && http_header_get(request, "Authorization").data == NULL)
        return STATUS_OK;
    enum status status = read_header(request, &header, err);
    if (status == STATUS_OK)
        status = read_token(header, &token, err);
    if (status == STATUS_OK)
        status = token_digest(token, digest, err);
    if (status != STATUS_OK)
        return status;
    const char *name = tokens_find(api->tokens, digest);
    if (name == NULL)
        return error_set(err, STATUS_UNAUTHENTICATED,
                         "this node does not know the token; it is in no line of its auth.tokens_file, as read at start or at the "
                         "last SIGHUP");
    *ret_name = name;
    return STATUS_OK;
}

bool api_admit(void *arg, const struct http_request *request)
{
    const char *name;
    struct error err;
    return bearer_check(arg, request, &name, &err) == STATUS_OK;
}
