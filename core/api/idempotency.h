/* Idempotency-Key of requests that go through the log (docs/api.md, "Repeating a request"): apply does each once and keeps what came of
 * it; this node answers from its state where that has it, and so for a repeat that its state would refuse by now. */
#ifndef CHRONOS_API_IDEMPOTENCY_H
#define CHRONOS_API_IDEMPOTENCY_H

#include "api/api_internal.h"

extern const char idempotency_replayed[]; /* the header of an answer that was given before */

/* The form of the header, if there is one: MALFORMED with a sentence. */
must_use enum status idempotency_check(const struct http_request *request, struct error *err);
/* What the command of this request is to carry; `http_status`: of its answer when it takes effect. *ret_given: it has the header. */
must_use enum status idempotency_read(const struct api *api, const struct http_request *request, int http_status,
                                      struct idempotency *ret, bool *ret_given, struct error *err);
/* OK: it took effect, as far as this node has applied. IDEMPOTENCY_KEY_REUSED: another request did. NOT_FOUND leaves err untouched. */
must_use enum status idempotency_find(struct state_view *view, const struct idempotency *idempotency, struct idempotency_row *ret,
                                      struct error *err);
/* The sentence of a refusal by apply: IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_KEYS_FULL. Returns `code`. */
enum status idempotency_refused(enum status code, struct error *err);
/* Nobody else on this node is at this key before the operation ends. False: somebody is, and the operation was refused. */
must_use bool idempotency_hold(struct operation *operation, const struct idempotency *idempotency);
void idempotency_release(struct operation *operation); /* with operation_end */

#endif
