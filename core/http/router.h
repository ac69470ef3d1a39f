/* Paths to handlers. Patterns are literal segments and ":name" segments ("/api/v1/jobs/:id/trigger"); a literal wins over
 * a parameter. Matching is O(segments), whatever the number of routes. 404, 405 with Allow, and OPTIONS are answered here. */
#ifndef CHRONOS_HTTP_ROUTER_H
#define CHRONOS_HTTP_ROUTER_H

#include "http/http.h"

enum { ROUTE_PARAMS_MAX = 4, ROUTE_SEGMENTS_MAX = 12 };

struct route_match {
    struct bytes params[ROUTE_PARAMS_MAX]; /* in the order of the pattern; borrowed from the request's path */
    size_t param_count;
    const struct route *route;
};

struct route {
    enum http_method method;
    const char *pattern;
    void (*handle)(void *arg, const struct http_request *request, const struct route_match *match);
    uint32_t flags; /* the caller's own, e.g. "needs a JSON body" */
};

struct router;
/* Routes are borrowed and must outlive the router. An ambiguous or malformed table is an assertion. */
must_use enum status router_new(const struct route *routes, size_t count, struct router **ret, struct error *err);
void router_free(struct router *router);
/* OK: *ret is filled. NOT_FOUND or METHOD_NOT_ALLOWED: `allow` gets "GET, POST" for the Allow header (both lists HEAD where
 * GET is, and OPTIONS). */
must_use enum status router_match(const struct router *router, const struct http_request *request, struct route_match *ret,
                                  struct buffer *allow);

#endif
