/* Routes as a tree of segments in which every choice is made when it is built.
 *
 * A node stands for "the path so far fits exactly these routes". Its child for a literal holds the routes with that
 * literal and those with a parameter there, so matching never goes back: one look-up a segment. Among the routes that
 * fit a whole path, each method takes the one whose first difference is a literal ("POST /jobs/validate" leaves
 * "GET /jobs/:id" alone, as in RFC 9110 they are two resources that share a path). */
#include "http/router.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

struct pattern {
    const struct route *route;
    struct bytes segments[ROUTE_SEGMENTS_MAX];
    bool is_param[ROUTE_SEGMENTS_MAX];
    size_t count;
};

struct node {
    struct map literals;
    struct node *param;
    const struct pattern *best[METHOD_COUNT];
};

struct router {
    struct pattern *patterns;
    struct node *root;
};

/* --- patterns --- */

/* Segments of "/a/b"; "/" has none, "/a/" a second, empty one. False: more than fit. */
static bool split(const char *path, size_t size, struct bytes *segments, size_t *ret_count)
{
    size_t count = 0;
    const char *at = path + 1, *end = path + size;
    if (size == 1) {
        *ret_count = 0;
        return true;
    }
    for (;;) {
        const char *slash = at < end ? memchr(at, '/', (size_t)(end - at)) : NULL;
        const char *stop = slash != NULL ? slash : end;
        if (count == ROUTE_SEGMENTS_MAX)
            return false;
        segments[count++] = (struct bytes){at, (size_t)(stop - at)};
        if (slash == NULL)
            break;
        at = slash + 1;
    }
    *ret_count = count;
    return true;
}

static void pattern_read(struct pattern *pattern, const struct route *route)
{
    size_t params = 0;
    assert(route->pattern[0] == '/' && route->handle != NULL);
    assert(route->method >= 0 && route->method < METHOD_COUNT && route->method != METHOD_HEAD);
    bool fits = split(route->pattern, strlen(route->pattern), pattern->segments, &pattern->count);
    assert(fits);
    (void)fits; /* for builds that would drop the assertion */
    for (size_t i = 0; i < pattern->count; i++) {
        const char *segment = pattern->segments[i].data;
        assert(pattern->segments[i].size > 0);
        pattern->is_param[i] = segment[0] == ':';
        assert(!pattern->is_param[i] || pattern->segments[i].size > 1);
        params += pattern->is_param[i] ? 1 : 0;
    }
    assert(params <= ROUTE_PARAMS_MAX);
    pattern->route = route;
}

static bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

/* Of two patterns that fit one path: whether `a` goes first. The same shape twice is a mistake in the table. */
static bool goes_first(const struct pattern *a, const struct pattern *b)
{
    for (size_t i = 0; i < a->count; i++) {
        if (a->is_param[i] != b->is_param[i])
            return b->is_param[i];
    }
    assert(!"two routes have the same method and shape");
    return false;
}

/* --- building --- */

static void node_free(struct node *node)
{
    uint32_t cursor = 0;
    struct node *child;
    if (node == NULL)
        return;
    while ((child = map_next(&node->literals, &cursor)) != NULL)
        node_free(child);
    map_deinit(&node->literals);
    node_free(node->param);
    free(node);
}

static struct node *build(const struct pattern *const *fits, size_t count, size_t depth);

/* The child for `literal`, or for any other segment where `literal` is NULL. */
static struct node *build_child(const struct pattern *const *fits, size_t count, size_t depth,
                                const struct bytes *literal)
{
    size_t used = 0;
    const struct pattern **further = calloc(count, sizeof *further);
    if (further == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (fits[i]->count <= depth)
            continue;
        if (fits[i]->is_param[depth] || (literal != NULL && bytes_equal(fits[i]->segments[depth], *literal)))
            further[used++] = fits[i];
    }
    struct node *child = build(further, used, depth + 1);
    free(further);
    return child;
}

static bool add_literal(struct node *node, const struct pattern *const *fits, size_t count, size_t depth,
                        const struct bytes *literal)
{
    if (map_get(&node->literals, literal->data, literal->size) != NULL)
        return true;
    struct node *child = build_child(fits, count, depth, literal);
    if (child == NULL)
        return false;
    if (map_put(&node->literals, literal->data, literal->size, child, NULL) != STATUS_OK) {
        node_free(child);
        return false;
    }
    return true;
}

static bool add_pattern(struct node *node, const struct pattern *const *fits, size_t count, size_t depth,
                        const struct pattern *pattern)
{
    if (pattern->count == depth) {
        const struct pattern **best = &node->best[pattern->route->method];
        if (*best == NULL || goes_first(pattern, *best))
            *best = pattern;
        return true;
    }
    if (!pattern->is_param[depth])
        return add_literal(node, fits, count, depth, &pattern->segments[depth]);
    if (node->param == NULL)
        node->param = build_child(fits, count, depth, NULL);
    return node->param != NULL;
}

static struct node *build(const struct pattern *const *fits, size_t count, size_t depth)
{
    struct node *node = calloc(1, sizeof *node);
    if (node == NULL)
        return NULL;
    map_init(&node->literals);
    for (size_t i = 0; i < count; i++) {
        if (!add_pattern(node, fits, count, depth, fits[i])) {
            node_free(node);
            return NULL;
        }
    }
    return node;
}

static bool build_all(struct router *router, const struct route *routes, size_t count)
{
    router->patterns = calloc(count, sizeof *router->patterns);
    const struct pattern **all = calloc(count, sizeof *all);
    if (router->patterns != NULL && all != NULL) {
        for (size_t i = 0; i < count; i++) {
            pattern_read(&router->patterns[i], &routes[i]);
            all[i] = &router->patterns[i];
        }
        router->root = build(all, count, 0);
    }
    free(all);
    return router->root != NULL;
}

enum status router_new(const struct route *routes, size_t count, struct router **ret, struct error *err)
{
    assert(count > 0);
    struct router *router = calloc(1, sizeof *router);
    if (router == NULL || !build_all(router, routes, count)) {
        router_free(router);
        return error_set(err, STATUS_NO_MEMORY, "build the table of routes: out of memory");
    }
    *ret = router;
    return STATUS_OK;
}

void router_free(struct router *router)
{
    if (router == NULL)
        return;
    node_free(router->root);
    free(router->patterns);
    free(router);
}

/* --- matching --- */

static const struct node *find_node(const struct router *router, const struct bytes *segments, size_t count)
{
    const struct node *node = router->root;
    for (size_t i = 0; i < count && node != NULL; i++) {
        const struct node *literal = map_get(&node->literals, segments[i].data, segments[i].size);
        if (segments[i].size == 0)
            return NULL; /* "/a//b" and "/a/" are nobody's */
        node = literal != NULL ? literal : node->param;
    }
    return node;
}

static bool list_methods(const struct node *node, struct buffer *allow)
{
    size_t before = allow->size;
    for (int method = 0; method < METHOD_COUNT; method++) {
        if (node->best[method] == NULL || method == METHOD_OPTIONS)
            continue;
        if (allow->size > before)
            buffer_append_string(allow, ", ");
        buffer_append_string(allow, http_method_name((enum http_method)method));
        if (method == METHOD_GET)
            buffer_append_string(allow, ", HEAD");
    }
    if (allow->size == before && node->best[METHOD_OPTIONS] == NULL)
        return false; /* an inner node: no route ends here */
    buffer_append_string(allow, allow->size > before ? ", OPTIONS" : "OPTIONS");
    return true;
}

static void fill_match(const struct pattern *pattern, const struct bytes *segments, struct route_match *ret)
{
    *ret = (struct route_match){.route = pattern->route};
    for (size_t i = 0; i < pattern->count; i++) {
        if (pattern->is_param[i])
            ret->params[ret->param_count++] = segments[i];
    }
}

enum status router_match(const struct router *router, const struct http_request *request, struct route_match *ret,
                         struct buffer *allow)
{
    struct bytes segments[ROUTE_SEGMENTS_MAX];
    size_t count;
    if (request->path.size == 0 || *(const char *)request->path.data != '/' ||
        !split(request->path.data, request->path.size, segments, &count))
        return STATUS_NOT_FOUND;
    const struct node *node = find_node(router, segments, count);
    if (node == NULL)
        return STATUS_NOT_FOUND;
    enum http_method method = request->method == METHOD_HEAD ? METHOD_GET : request->method;
    const struct pattern *best = node->best[method];
    if (best == NULL)
        return list_methods(node, allow) ? STATUS_METHOD_NOT_ALLOWED : STATUS_NOT_FOUND;
    fill_match(best, segments, ret);
    return STATUS_OK;
}
