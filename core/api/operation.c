/* Requests that wait for a commit. They are named by slot and generation, so that an answer that comes late meets nothing. */
#include <string.h>

#include "api/idempotency.h"

struct operation *operation_begin(struct api *api, const struct http_request *request, operation_step step, void *data,
                                  void (*discard)(void *data))
{
    if (api->free_count == 0) {
        if (discard != NULL)
            discard(data);
        answer_problem(api, request->token, request->request_id, STATUS_OVERLOADED,
                       "too many requests wait already; try again in a second", NULL);
        return NULL;
    }
    uint32_t slot = api->free_slots[--api->free_count];
    struct operation *operation = &api->operations[slot];
    *operation = (struct operation){.api = api, .token = request->token, .slot = slot,
                                    .generation = operation->generation + 1, .used = true, .step = step, .data = data,
                                    .discard = discard};
    memcpy(operation->request_id, request->request_id, sizeof operation->request_id);
    api->waiting++;
    return operation;
}

void operation_end(struct operation *operation)
{
    struct api *api = operation->api;
    idempotency_release(operation);
    if (operation->discard != NULL)
        operation->discard(operation->data);
    operation->used = false;
    operation->data = NULL;
    api->free_slots[api->free_count++] = operation->slot;
    api->waiting--;
}

static void finish_confirm(struct operation *operation, const struct cluster_outcome *outcome)
{
    void (*again)(struct operation *) = operation->again;
    operation->is_confirming = false;
    operation->again = NULL;
    if (operation_failed(operation, outcome, ""))
        return;
    operation->is_confirmed = true;
    again(operation);
}

void operation_outcome(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    struct api *api = arg;
    struct operation *operation = &api->operations[(uint32_t)token];
    if (!operation->used || operation->generation != (uint32_t)(token >> 32))
        return;
    if (operation->is_confirming)
        finish_confirm(operation, outcome);
    else
        operation->step(operation, outcome);
}

uint64_t operation_token(const struct operation *operation)
{
    return (uint64_t)operation->generation << 32 | operation->slot;
}

void operation_refuse(struct operation *operation, const struct error *err)
{
    answer_error(operation->api, operation->token, operation->request_id, err);
    operation_end(operation);
}

void operation_propose(struct operation *operation, enum proposal_class class, struct bytes command)
{
    struct error err;
    if (cluster_propose(operation->api->config.cluster, class, command, operation_outcome, operation->api,
                        operation_token(operation), &err) != STATUS_OK)
        operation_refuse(operation, &err);
}

void operation_confirm(struct operation *operation, void (*again)(struct operation *operation))
{
    struct error err;
    operation->is_confirming = true;
    operation->again = again;
    if (cluster_read_index(operation->api->config.cluster, operation_outcome, operation->api, operation_token(operation), &err) !=
        STATUS_OK)
        operation_refuse(operation, &err);
}

bool operation_failed(struct operation *operation, const struct cluster_outcome *outcome, const char *what)
{
    struct error err;
    if (outcome->status != STATUS_OK)
        (void)error_set(&err, outcome->status, "%s", outcome->message);
    else if (outcome->result.status != STATUS_OK)
        (void)error_set(&err, outcome->result.status, "%s", what);
    else
        return false;
    operation_refuse(operation, &err);
    return true;
}
