#include "cluster/outputs.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "cluster/cluster_internal.h"
#include "cluster/output_message.h"

enum { ENVELOPE_MAX = 1024 }; /* of an answer, around the piece */

/* --- asking --- */

static struct output_wait *free_place(struct outputs *outputs)
{
    for (uint32_t i = 0; i < OUTPUT_REQUESTS_MAX; i++)
        if (outputs->waits[i].done == NULL)
            return &outputs->waits[i];
    return NULL;
}

static uint64_t find_node(const struct cluster *cluster, const char *name)
{
    struct raft_status status;
    raft_status(cluster->raft, &status);
    for (uint8_t i = 0; i < status.conf->count; i++)
        if (strcmp(status.conf->members[i].name, name) == 0)
            return status.conf->members[i].id;
    return 0;
}

static enum status unavailable(const char *name, const char *why, struct error *err)
{
    return error_set(err, STATUS_OUTPUT_UNAVAILABLE,
                     "the output is kept on node \"%s\", which %s; until it can be read there, the execution itself shows the beginning "
                     "and the end", name, why);
}

static enum status send_request(struct cluster *cluster, const struct output_wait *wait, uint64_t node, struct error *err)
{
    struct output_request request = {.id = (uint64_t)(wait->generation + 1) << 32 | (uint64_t)(wait - cluster->outputs.waits),
                                     .range = wait->range};
    struct buffer payload;
    buffer_init(&payload, ENVELOPE_MAX);
    output_request_encode(&request, &payload);
    bool is_sent = payload.failed == STATUS_OK && links_send_bulk(cluster, node, FRAME_OUTPUT_WANTED, buffer_bytes(&payload));
    buffer_deinit(&payload);
    return is_sent ? STATUS_OK : unavailable(wait->name, "cannot be reached from this one", err);
}

enum status cluster_ask_output(struct cluster *cluster, const char *name, const struct cluster_output_range *range, cluster_done done,
                               void *arg, uint64_t token, struct error *err)
{
    assert(range->size_max > 0 && range->size_max <= OUTPUT_PIECE_MAX && range->attempt > 0);
    struct output_wait *wait = free_place(&cluster->outputs);
    uint64_t node = cluster->transport != NULL ? find_node(cluster, name) : 0;
    if (cluster->stopping)
        return error_set(err, STATUS_SHUTTING_DOWN, "this node is shutting down");
    if (node == 0 || node == cluster->self.node)
        return error_set(err, STATUS_NOT_FOUND, "the node \"%s\" that kept the output is no member of the cluster any more", name);
    if (wait == NULL)
        return error_set(err, STATUS_BUSY, "%d outputs are being read from other nodes already; try again in a second",
                         OUTPUT_REQUESTS_MAX);
    wait->range = *range;
    (void)snprintf(wait->name, sizeof wait->name, "%s", name); /* a member's: it fits */
    enum status status = send_request(cluster, wait, node, err);
    if (status != STATUS_OK)
        return status;
    wait->done = done;
    wait->arg = arg;
    wait->token = token;
    wait->node = node;
    wait->deadline_ns = cluster_deadline_ns(cluster);
    wait->generation++;
    return STATUS_OK;
}

/* The place is free before the one who waits is told: he may ask for the next piece. */
static void finish(struct output_wait *wait, const struct cluster_outcome *outcome)
{
    cluster_done done = wait->done;
    wait->done = NULL;
    done(wait->arg, wait->token, outcome);
}

static void fail(struct output_wait *wait, const char *why)
{
    struct error err;
    enum status status = unavailable(wait->name, why, &err);
    finish(wait, &(struct cluster_outcome){.status = status, .message = err.message});
}

static struct output_wait *wait_of(struct outputs *outputs, uint64_t id)
{
    uint32_t place = (uint32_t)id;
    if (place >= OUTPUT_REQUESTS_MAX)
        return NULL;
    struct output_wait *wait = &outputs->waits[place];
    return wait->done != NULL && wait->generation == id >> 32 ? wait : NULL;
}

/* No more than was asked for, and none of it behind the end. */
static bool fits(const struct cluster_output *output, const struct cluster_output_range *range)
{
    size_t size = output->piece.size;
    return size <= range->size_max && (size == 0 || range->offset + size <= output->total);
}

bool outputs_answered(struct cluster *cluster, const struct hello *remote, struct bytes payload, struct error *err)
{
    struct output_answer answer;
    if (output_answer_decode(payload, &answer, err) != STATUS_OK)
        return false;
    struct output_wait *wait = wait_of(&cluster->outputs, answer.id);
    if (wait == NULL || wait->node != remote->node)
        return true; /* it came too late */
    if (!fits(&answer.output, &wait->range)) {
        (void)error_set(err, STATUS_MALFORMED, "another part of an output than was asked for"); /* told by false */
        return false;
    }
    finish(wait, &(struct cluster_outcome){.status = answer.status, .message = answer.message, .output = &answer.output});
    return true;
}

/* --- the end of waiting --- */

void outputs_lost(struct cluster *cluster, uint64_t node)
{
    for (uint32_t i = 0; i < OUTPUT_REQUESTS_MAX; i++) {
        struct output_wait *wait = &cluster->outputs.waits[i];
        if (wait->done != NULL && wait->node == node)
            fail(wait, "could not be reached any more while it was read");
    }
}

bool outputs_expire(struct cluster *cluster, uint64_t now_ns)
{
    bool left = false;
    for (uint32_t i = 0; i < OUTPUT_REQUESTS_MAX; i++) {
        struct output_wait *wait = &cluster->outputs.waits[i];
        if (wait->done == NULL)
            continue;
        if (wait->deadline_ns > now_ns)
            left = true;
        else
            fail(wait, "did not answer in time");
    }
    return left;
}

void outputs_abandon(struct cluster *cluster)
{
    for (uint32_t i = 0; i < OUTPUT_REQUESTS_MAX; i++)
        if (cluster->outputs.waits[i].done != NULL)
            finish(&cluster->outputs.waits[i],
                   &(struct cluster_outcome){.status = STATUS_SHUTTING_DOWN, .message = "this node is shutting down"});
}

/* --- for others --- */

void cluster_attach_output(struct cluster *cluster, cluster_output_read read, void *arg)
{
    cluster->outputs.read = read;
    cluster->outputs.arg = arg;
}

static enum status read_piece(const struct outputs *outputs, const struct cluster_output_range *range, struct buffer *out,
                              struct cluster_output *ret, struct error *err)
{
    if (outputs->read == NULL)
        return error_set(err, STATUS_NOT_FOUND, "nothing is kept on this node");
    enum status status = outputs->read(outputs->arg, range, out, &ret->total, &ret->is_complete, err);
    if (status == STATUS_OK)
        ret->piece = buffer_bytes(out);
    return status;
}

bool outputs_requested(struct cluster *cluster, const struct hello *remote, struct bytes payload, struct error *err)
{
    struct output_request request;
    struct output_answer answer = {.status = STATUS_OK};
    struct cluster_output output = {.total = 0};
    struct buffer piece, encoded;
    struct error failure = {.code = STATUS_OK};
    if (output_request_decode(payload, &request, err) != STATUS_OK)
        return false;
    buffer_init(&piece, OUTPUT_PIECE_MAX);
    buffer_init(&encoded, OUTPUT_PIECE_MAX + ENVELOPE_MAX);
    answer.id = request.id;
    answer.status = read_piece(&cluster->outputs, &request.range, &piece, &output, &failure);
    if (answer.status == STATUS_OK)
        answer.output = output;
    else
        memcpy(answer.message, failure.message, utf8_cut(failure.message, strlen(failure.message), OUTPUT_MESSAGE_MAX - 1));
    output_answer_encode(&answer, &encoded);
    if (encoded.failed == STATUS_OK)
        (void)links_send_bulk(cluster, remote->node, FRAME_OUTPUT, buffer_bytes(&encoded)); /* lost: the asker waits in vain */
    buffer_deinit(&encoded);
    buffer_deinit(&piece);
    return true;
}
