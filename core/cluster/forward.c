#include "cluster/forward.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/limits.h"
#include "cluster/cluster_internal.h"
#include "cluster/links.h"
#include "cluster/membership.h"

enum { MESSAGE_MAX = 512 };

/* Asked, and not answered or applied yet. */
struct request {
    cluster_done done; /* NULL: the place is free */
    void *arg;
    uint64_t token;
    enum request_kind kind;
    uint64_t node;        /* that was asked */
    uint64_t deadline_ns; /* 0: none */
    uint32_t generation;
    uint32_t next;        /* of the free places, or of those that wait to be applied */
    struct apply_result result; /* waits until this node has applied its index */
    bool is_decided;
};

/* Being done for another node. */
struct errand {
    uint64_t node, id; /* whose request; node 0: the place is free */
    uint32_t next;
};

enum { NONE = FORWARDS_MAX };

struct forward {
    struct request requests[FORWARDS_MAX];
    uint32_t free_request, decided; /* lists through `next` */
    uint32_t count;
    struct errand errands[FORWARDS_MAX];
    uint32_t free_errand;
    struct buffer payload;
};

enum status forward_new(struct forward **ret, struct error *err)
{
    struct forward *forward = calloc(1, sizeof *forward);
    if (forward == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    for (uint32_t i = 0; i < FORWARDS_MAX; i++)
        forward->requests[i].next = forward->errands[i].next = i + 1;
    forward->decided = NONE;
    buffer_init(&forward->payload, ENTRY_SIZE_MAX + 4096);
    *ret = forward;
    return STATUS_OK;
}

void forward_free(struct forward *forward)
{
    if (forward == NULL)
        return;
    buffer_deinit(&forward->payload);
    free(forward);
}

uint32_t forward_count(const struct forward *forward)
{
    return forward->count;
}

/* --- formats: reader and writer side by side --- */

struct answer {
    uint64_t id;
    enum status status;
    char message[MESSAGE_MAX];
    struct apply_result result;
};

static void answer_encode(const struct answer *answer, struct buffer *out)
{
    put_u64(out, answer->id);
    put_u16(out, (uint16_t)answer->status);
    put_string(out, answer->message);
    put_u64(out, answer->result.index);
    put_u16(out, (uint16_t)answer->result.status);
    buffer_append(out, answer->result.id.bytes, sizeof answer->result.id.bytes);
    put_u32(out, answer->result.version);
    put_u16(out, answer->result.replayed_status);
    put_u32(out, answer->result.stale_count);
    buffer_append(out, answer->result.sweep_next.bytes, sizeof answer->result.sweep_next.bytes);
    put_u32(out, answer->result.sweep_deleted);
    put_u32(out, answer->result.sweep_examined);
}

static bool answer_decode(struct bytes payload, struct answer *ret)
{
    struct reader r = reader_of(payload.data, payload.size);
    struct answer answer = {.id = take_u64(&r)};
    answer.status = (enum status)take_u16(&r);
    take_string(&r, answer.message, sizeof answer.message);
    answer.result.index = take_u64(&r);
    answer.result.status = (enum status)take_u16(&r);
    take_raw(&r, answer.result.id.bytes, sizeof answer.result.id.bytes);
    answer.result.version = take_u32(&r);
    answer.result.replayed_status = take_u16(&r);
    answer.result.stale_count = take_u32(&r);
    take_raw(&r, answer.result.sweep_next.bytes, sizeof answer.result.sweep_next.bytes);
    answer.result.sweep_deleted = take_u32(&r);
    answer.result.sweep_examined = take_u32(&r);
    if (!reader_done(&r) || answer.status >= STATUS_COUNT || answer.result.status >= STATUS_COUNT)
        return false;
    *ret = answer;
    return true;
}

static bool malformed(struct error *err, const char *what)
{
    (void)error_set(err, STATUS_MALFORMED, "%s", what); /* told by false */
    return false;
}

/* --- asking --- */

static struct request *request_of(struct forward *forward, uint64_t id)
{
    uint32_t place = (uint32_t)id;
    if (place >= FORWARDS_MAX)
        return NULL;
    struct request *request = &forward->requests[place];
    return request->done != NULL && request->generation == id >> 32 ? request : NULL;
}

static void finish(struct forward *forward, struct request *request, const struct cluster_outcome *outcome)
{
    struct request finished = *request;
    request->done = NULL;
    request->is_decided = false;
    request->next = forward->free_request;
    forward->free_request = (uint32_t)(request - forward->requests);
    forward->count--;
    finished.done(finished.arg, finished.token, outcome);
}

static enum status leader_to_ask(const struct cluster *cluster, uint64_t *ret, struct error *err)
{
    uint64_t leader = raft_leader(cluster->raft);
    if (cluster->forward->free_request == NONE)
        return error_set(err, STATUS_OVERLOADED, "%d writes wait already; try again in a second", FORWARDS_MAX);
    if (leader == 0 || leader == cluster->self.node || cluster->transport == NULL ||
        !transport_is_up(cluster->transport, leader, LANE_CONTROL))
        return contact_refuse(cluster, err);
    *ret = leader;
    return STATUS_OK;
}

/* Before the payload is written. */
static struct buffer *begin_request(struct forward *forward, enum request_kind kind)
{
    struct request *request = &forward->requests[forward->free_request];
    request->kind = kind;
    buffer_clear(&forward->payload);
    put_u64(&forward->payload, (uint64_t)(request->generation + 1) << 32 | forward->free_request);
    put_u8(&forward->payload, (uint8_t)kind);
    return &forward->payload;
}

static enum status send_request(struct cluster *cluster, uint64_t leader, cluster_done done, void *arg, uint64_t token,
                                uint64_t deadline_ns, struct error *err)
{
    struct forward *forward = cluster->forward;
    struct request *request = &forward->requests[forward->free_request];
    if (forward->payload.failed != STATUS_OK)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    if (!links_send_frame(cluster, leader, FRAME_REQUEST, buffer_bytes(&forward->payload)))
        return error_set(err, STATUS_OVERLOADED, "too much waits for the leader already; try again in a second");
    forward->free_request = request->next;
    forward->count++;
    *request = (struct request){.done = done, .arg = arg, .token = token, .kind = request->kind, .node = leader,
                                .deadline_ns = deadline_ns,
                                .generation = request->generation + 1, .next = NONE};
    return STATUS_OK;
}

enum status forward_propose(struct cluster *cluster, enum proposal_class class, struct bytes command, cluster_done done, void *arg,
                            uint64_t token, uint64_t deadline_ns, struct error *err)
{
    uint64_t leader;
    enum status status = leader_to_ask(cluster, &leader, err);
    if (status != STATUS_OK)
        return status;
    struct buffer *payload = begin_request(cluster->forward, REQUEST_PROPOSE);
    put_u8(payload, (uint8_t)class);
    put_blob(payload, command.data, command.size);
    return send_request(cluster, leader, done, arg, token, deadline_ns, err);
}

enum status forward_ask(struct cluster *cluster, enum request_kind kind, uint64_t id, const char *name, const char *address,
                        cluster_done done, void *arg, uint64_t token, struct error *err)
{
    uint64_t leader;
    enum status status = leader_to_ask(cluster, &leader, err);
    if (status != STATUS_OK)
        return status;
    struct buffer *payload = begin_request(cluster->forward, kind);
    put_u64(payload, id);
    put_string(payload, name);
    put_string(payload, address);
    return send_request(cluster, leader, done, arg, token, cluster_deadline_ns(cluster), err);
}

/* --- answers --- */

bool forward_answered(struct cluster *cluster, const struct hello *remote, struct bytes payload, struct error *err)
{
    struct forward *forward = cluster->forward;
    struct answer answer;
    if (!answer_decode(payload, &answer))
        return malformed(err, "an answer to a request is damaged");
    struct request *request = request_of(forward, answer.id);
    if (request == NULL || request->node != remote->node || request->is_decided)
        return true; /* it came too late */
    bool is_to_come = request->kind == REQUEST_PROPOSE || answer.result.status != STATUS_OK; /* a node that drains does apply that */
    if (answer.status != STATUS_OK || !is_to_come) { /* a removed node will never apply its removal */
        finish(forward, request, &(struct cluster_outcome){.status = answer.status, .message = answer.message});
        return true;
    }
    request->result = answer.result;
    request->is_decided = true;
    request->next = forward->decided;
    forward->decided = (uint32_t)(request - forward->requests);
    forward_applied(cluster);
    return true;
}

void forward_applied(struct cluster *cluster)
{
    struct forward *forward = cluster->forward;
    uint32_t place = forward->decided;
    forward->decided = NONE;
    while (place != NONE) {
        struct request *request = &forward->requests[place];
        place = request->next;
        if (request->result.index <= cluster->applied_index) {
            finish(forward, request, &(struct cluster_outcome){.status = STATUS_OK, .result = request->result, .message = ""});
            continue;
        }
        request->next = forward->decided;
        forward->decided = (uint32_t)(request - forward->requests);
    }
}

static const struct cluster_outcome unanswered = {
    .status = STATUS_OUTCOME_UNKNOWN,
    .message = "the leader was asked and did not answer; the write may still take effect: read before you repeat it",
};

static bool is_waiting(const struct request *request)
{
    return request->done != NULL && !request->is_decided;
}

/* Out of the list of those that wait to be applied here, which is behind: what came of it is known all the same. */
static void finish_decided(struct forward *forward, struct request *request)
{
    uint32_t place = (uint32_t)(request - forward->requests), *at = &forward->decided;
    while (*at != place)
        at = &forward->requests[*at].next;
    *at = request->next;
    finish(forward, request, &(struct cluster_outcome){.status = STATUS_OK, .result = request->result, .message = ""});
}

void forward_lost(struct cluster *cluster, uint64_t node)
{
    struct forward *forward = cluster->forward;
    for (uint32_t i = 0; forward->count > 0 && i < FORWARDS_MAX; i++)
        if (is_waiting(&forward->requests[i]) && forward->requests[i].node == node)
            finish(forward, &forward->requests[i], &unanswered);
}

bool forward_expire(struct cluster *cluster, uint64_t now_ns)
{
    struct forward *forward = cluster->forward;
    bool left = false;
    for (uint32_t i = 0; forward->count > 0 && i < FORWARDS_MAX; i++) {
        struct request *request = &forward->requests[i];
        if (request->done == NULL || request->deadline_ns == 0)
            continue;
        if (request->deadline_ns > now_ns)
            left = true;
        else if (request->is_decided)
            finish_decided(forward, request);
        else
            finish(forward, request, &unanswered);
    }
    return left;
}

void forward_abandon(struct cluster *cluster)
{
    const struct cluster_outcome stopping = {
        .status = STATUS_OUTCOME_UNKNOWN,
        .message = "this node stops; the write may still take effect: read before you repeat it",
    };
    struct forward *forward = cluster->forward;
    forward->decided = NONE;
    for (uint32_t i = 0; forward->count > 0 && i < FORWARDS_MAX; i++)
        if (forward->requests[i].done != NULL)
            finish(forward, &forward->requests[i], &stopping);
}

/* --- for others --- */

static void send_answer(struct cluster *cluster, uint64_t node, uint64_t id, const struct cluster_outcome *outcome)
{
    struct answer answer = {.id = id, .status = outcome->status, .result = outcome->result};
    size_t size = utf8_cut(outcome->message, strlen(outcome->message), sizeof answer.message - 1);
    memcpy(answer.message, outcome->message, size);
    struct buffer payload;
    buffer_init(&payload, 4096);
    answer_encode(&answer, &payload);
    if (payload.failed == STATUS_OK)
        (void)links_send_frame(cluster, node, FRAME_ANSWER, buffer_bytes(&payload)); /* lost: the asker says "not known" */
    buffer_deinit(&payload);
}

static void refuse_request(struct cluster *cluster, uint64_t node, uint64_t id, enum status status, const char *message)
{
    send_answer(cluster, node, id, &(struct cluster_outcome){.status = status, .message = message});
}

static void on_errand_done(void *arg, uint64_t token, const struct cluster_outcome *outcome)
{
    struct cluster *cluster = arg;
    struct forward *forward = cluster->forward;
    assert(token < FORWARDS_MAX && forward->errands[token].node != 0);
    struct errand done = forward->errands[token];
    forward->errands[token] = (struct errand){.next = forward->free_errand};
    forward->free_errand = (uint32_t)token;
    send_answer(cluster, done.node, done.id, outcome);
}

/* What a newer or a broken node could send; the body is the proposer's promise, as it is here. */
static bool is_command(struct bytes command)
{
    return command.size <= ENTRY_SIZE_MAX && command_header_is_known(command) && command_type_of(command) <= COMMAND_SWEEP;
}

static enum status do_propose(struct cluster *cluster, struct reader *r, uint64_t token, struct error *err)
{
    uint8_t class = take_u8(r);
    struct bytes command = take_blob(r);
    if (!reader_done(r) || class > PROPOSE_REPORT || !is_command(command))
        return error_set(err, STATUS_MALFORMED, "a forwarded write is damaged");
    return cluster_propose(cluster, (enum proposal_class)class, command, on_errand_done, cluster, token, err);
}

static enum status do_ask(struct cluster *cluster, uint8_t kind, struct reader *r, uint64_t token, struct error *err)
{
    char name[NODE_NAME_MAX + 1], address[NODE_ADDRESS_MAX + 1];
    uint64_t id = take_u64(r);
    take_string(r, name, sizeof name);
    take_string(r, address, sizeof address);
    if (!reader_done(r) || (kind == REQUEST_JOIN && id == 0) || (kind != REQUEST_TRANSFER && name[0] == '\0'))
        return error_set(err, STATUS_MALFORMED, "a forwarded request is damaged");
    return membership_do(cluster, (enum request_kind)kind, id, name, address, on_errand_done, cluster, token, err);
}

/* Asked only once, here: whoever is not the leader any more says so instead of asking on. */
bool forward_requested(struct cluster *cluster, const struct hello *remote, struct bytes payload, struct error *err)
{
    struct forward *forward = cluster->forward;
    struct reader r = reader_of(payload.data, payload.size);
    uint64_t id = take_u64(&r);
    uint8_t kind = take_u8(&r);
    enum status status = STATUS_OK;
    uint32_t place = forward->free_errand;
    if (r.failed)
        return malformed(err, "a request is cut short");
    if (!cluster->is_leader) {
        refuse_request(cluster, remote->node, id, STATUS_NO_LEADER, "the leader has just changed; try again in a second");
        return true;
    }
    if (place == NONE) {
        refuse_request(cluster, remote->node, id, STATUS_OVERLOADED, "the leader has too much to do; try again in a second");
        return true;
    }
    forward->free_errand = forward->errands[place].next;
    forward->errands[place] = (struct errand){.node = remote->node, .id = id, .next = NONE};
    if (kind == REQUEST_PROPOSE)
        status = do_propose(cluster, &r, place, err);
    else if (kind <= REQUEST_TRANSFER)
        status = do_ask(cluster, kind, &r, place, err);
    else
        status = error_set(err, STATUS_NOT_IMPLEMENTED, "the leader runs an older version and cannot do that");
    if (status == STATUS_OK)
        return true;
    forward->errands[place] = (struct errand){.next = forward->free_errand};
    forward->free_errand = place;
    refuse_request(cluster, remote->node, id, status, err->message);
    return status != STATUS_MALFORMED;
}
