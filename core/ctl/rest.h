/* Requests whose refusals are reported: everything here returns an exit code. */
#ifndef CHRONOS_CTL_REST_H
#define CHRONOS_CTL_REST_H

#include <cjson/cJSON.h>

#include "ctl/invocation.h"

enum { PATH_BYTES_MAX = 16 * 1024, LIST_PAGE = 1000 };

/* OK: *ret holds a 2xx answer, to be deinitialised. `prefix` as in problem.h. */
int rest_call(struct invocation *invocation, const char *prefix, const struct request *request, struct response *ret);
/* The same, and the body as JSON; freed with cJSON_Delete. `ret_etag` may be NULL. */
int rest_json(struct invocation *invocation, const char *prefix, const struct request *request, cJSON **ret,
              char ret_etag[128]);
/* An answer that was got with client_call, as JSON. */
int rest_parse(struct invocation *invocation, const char *prefix, struct response *response, cJSON **ret);

/* All pages of a list, at most `limit` rows (0: all): {"<member>": [...], "next_cursor": ...}, the cursor being that of
 * the row behind the last one. `path` has no limit and no cursor. */
int rest_list(struct invocation *invocation, const char *path, const char *member, int64_t limit, cJSON **ret);

/* "/api/v1/jobs/<segment><tail>"; `tail` and `segment` may be NULL. */
void api_path(struct buffer *path, const char *collection, const char *segment, const char *tail);

#endif
