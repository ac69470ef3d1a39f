/* Output of runs that is kept elsewhere: the two messages, who asks, and who answers. The core and the links are replaced by the
 * linker. */
#include "cluster/outputs.h"

#include <stdio.h>
#include <stdlib.h>

#include "../base/check.h"
#include "base/codec.h"
#include "cluster/cluster_internal.h"
#include "cluster/output_message.h"

enum { SELF = 1, OTHER = 2, THIRD = 3 };

static struct {
    struct raft_conf conf;
    bool is_down;
    uint32_t sent;
    uint64_t to;
    enum cluster_frame type;
    struct buffer payload; /* of the newest frame */
} world;

void __wrap_raft_status(const struct raft *r, struct raft_status *ret);
bool __wrap_links_send_bulk(struct cluster *cluster, uint64_t node, enum cluster_frame type, struct bytes payload);
uint64_t __wrap_cluster_deadline_ns(struct cluster *cluster);

void __wrap_raft_status(const struct raft *r, struct raft_status *ret)
{
    (void)r;
    *ret = (struct raft_status){.conf = &world.conf};
}

bool __wrap_links_send_bulk(struct cluster *cluster, uint64_t node, enum cluster_frame type, struct bytes payload)
{
    (void)cluster;
    if (world.is_down)
        return false;
    world.sent++;
    world.to = node;
    world.type = type;
    buffer_clear(&world.payload);
    buffer_append(&world.payload, payload.data, payload.size);
    return true;
}

uint64_t __wrap_cluster_deadline_ns(struct cluster *cluster)
{
    (void)cluster;
    return 1000;
}

static struct {
    uint32_t calls;
    uint64_t token;
    enum status status;
    uint64_t total;
    bool is_complete;
    char piece[64], message[512];
} outcome;

static void on_done(void *arg, uint64_t token, const struct cluster_outcome *result)
{
    assert_ptr_equal(arg, &outcome);
    outcome.calls++;
    outcome.token = token;
    outcome.status = result->status;
    (void)snprintf(outcome.message, sizeof outcome.message, "%s", result->message);
    if (result->status != STATUS_OK)
        return;
    outcome.total = result->output->total;
    outcome.is_complete = result->output->is_complete;
    assert_true(result->output->piece.size < sizeof outcome.piece);
    (void)snprintf(outcome.piece, sizeof outcome.piece, "%.*s", (int)result->output->piece.size,
                   (const char *)result->output->piece.data);
}

static int begin(void **state)
{
    struct cluster *cluster = calloc(1, sizeof *cluster);
    assert_non_null(cluster);
    memset(&world, 0, sizeof world);
    memset(&outcome, 0, sizeof outcome);
    buffer_init(&world.payload, TRANSPORT_FRAME_MAX);
    world.conf = (struct raft_conf){.count = 3};
    for (uint8_t i = 0; i < 3; i++) {
        world.conf.members[i] = (struct raft_member){.id = i + 1u, .role = RAFT_VOTER};
        (void)snprintf(world.conf.members[i].name, sizeof world.conf.members[i].name, "n%u", i + 1u);
    }
    cluster->self.node = SELF;
    cluster->transport = (struct transport *)(uintptr_t)1; /* never looked into */
    *state = cluster;
    return 0;
}

static int end(void **state)
{
    free(*state);
    buffer_deinit(&world.payload);
    return 0;
}

static const struct cluster_output_range range = {.execution = {{1, 2, 3}}, .attempt = 2, .offset = 100, .size_max = 50};

static enum status ask(struct cluster *cluster, const char *node, uint64_t token, struct error *err)
{
    return cluster_ask_output(cluster, node, &range, on_done, &outcome, token, err);
}

static struct output_request sent_request(void)
{
    struct output_request request;
    struct error err;
    assert_int_equal(world.type, FRAME_OUTPUT_WANTED);
    assert_int_equal(output_request_decode(buffer_bytes(&world.payload), &request, &err), STATUS_OK);
    return request;
}

static bool deliver(struct cluster *cluster, uint64_t from, const struct output_answer *answer)
{
    struct hello remote = {.node = from};
    struct buffer encoded;
    struct error err;
    buffer_init(&encoded, TRANSPORT_FRAME_MAX);
    output_answer_encode(answer, &encoded);
    assert_int_equal(encoded.failed, STATUS_OK);
    bool is_sound = outputs_answered(cluster, &remote, buffer_bytes(&encoded), &err);
    buffer_deinit(&encoded);
    return is_sound;
}

static struct output_answer answer_of(uint64_t id, const char *piece, uint64_t total)
{
    return (struct output_answer){.id = id, .status = STATUS_OK,
                                  .output = {.piece = {piece, strlen(piece)}, .total = total, .is_complete = true}};
}

/* --- asking --- */

static void asked_and_answered(void **state)
{
    struct cluster *cluster = *state;
    struct error err;
    assert_int_equal(ask(cluster, "n2", 7, &err), STATUS_OK);
    assert_int_equal(world.to, OTHER);
    struct output_request request = sent_request();
    assert_memory_equal(&request.range.execution, &range.execution, sizeof range.execution);
    assert_int_equal(request.range.attempt, 2);
    assert_int_equal(request.range.offset, 100);
    assert_int_equal(request.range.size_max, 50);
    assert_int_equal(outcome.calls, 0);
    struct output_answer answer = answer_of(request.id, "hello", 105);
    assert_true(deliver(cluster, THIRD, &answer)); /* nobody asked that one */
    assert_int_equal(outcome.calls, 0);
    assert_true(deliver(cluster, OTHER, &answer));
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.token, 7);
    assert_int_equal(outcome.status, STATUS_OK);
    assert_string_equal(outcome.piece, "hello");
    assert_int_equal(outcome.total, 105);
    assert_true(outcome.is_complete);
    assert_true(deliver(cluster, OTHER, &answer)); /* once more: too late */
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(ask(cluster, "n2", 8, &err), STATUS_OK); /* the same place: the old answer is not its own */
    assert_true(deliver(cluster, OTHER, &answer));
    assert_int_equal(outcome.calls, 1);
}

static void refused_by_the_other(void **state)
{
    struct cluster *cluster = *state;
    struct error err;
    assert_int_equal(ask(cluster, "n2", 7, &err), STATUS_OK);
    struct output_answer answer = {.id = sent_request().id, .status = STATUS_NOT_FOUND, .message = "nothing"};
    assert_true(deliver(cluster, OTHER, &answer));
    assert_int_equal(outcome.status, STATUS_NOT_FOUND);
    assert_string_equal(outcome.message, "nothing");
}

static void nobody_to_ask(void **state)
{
    struct cluster *cluster = *state;
    struct error err;
    assert_int_equal(ask(cluster, "n9", 0, &err), STATUS_NOT_FOUND);
    assert_int_equal(ask(cluster, "n1", 0, &err), STATUS_NOT_FOUND); /* itself */
    world.is_down = true;
    assert_int_equal(ask(cluster, "n3", 0, &err), STATUS_OUTPUT_UNAVAILABLE);
    assert_non_null(strstr(err.message, "\"n3\""));
    world.is_down = false;
    cluster->stopping = true;
    assert_int_equal(ask(cluster, "n3", 0, &err), STATUS_SHUTTING_DOWN);
    cluster->stopping = false;
    cluster->transport = NULL;
    assert_int_equal(ask(cluster, "n3", 0, &err), STATUS_NOT_FOUND);
    assert_int_equal(world.sent, 0);
    assert_int_equal(outcome.calls, 0);
}

static void no_more_than_there_are_places(void **state)
{
    struct cluster *cluster = *state;
    struct error err;
    for (uint32_t i = 0; i < OUTPUT_REQUESTS_MAX; i++)
        assert_int_equal(ask(cluster, "n2", i, &err), STATUS_OK);
    assert_int_equal(ask(cluster, "n2", 0, &err), STATUS_BUSY);
    assert_true(outputs_expire(cluster, 999));
    assert_int_equal(outcome.calls, 0);
    assert_false(outputs_expire(cluster, 1000));
    assert_int_equal(outcome.calls, OUTPUT_REQUESTS_MAX);
    assert_int_equal(outcome.status, STATUS_OUTPUT_UNAVAILABLE);
    assert_non_null(strstr(outcome.message, "\"n2\", which did not answer in time"));
    assert_int_equal(ask(cluster, "n2", 0, &err), STATUS_OK);
}

static void links_that_go_down(void **state)
{
    struct cluster *cluster = *state;
    struct error err;
    assert_int_equal(ask(cluster, "n2", 7, &err), STATUS_OK);
    outputs_lost(cluster, THIRD);
    assert_int_equal(outcome.calls, 0);
    outputs_lost(cluster, OTHER);
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.status, STATUS_OUTPUT_UNAVAILABLE);
    assert_int_equal(ask(cluster, "n3", 8, &err), STATUS_OK);
    outputs_abandon(cluster);
    assert_int_equal(outcome.calls, 2);
    assert_int_equal(outcome.status, STATUS_SHUTTING_DOWN);
}

static void answers_that_make_no_sense(void **state)
{
    static const char fifty_one[] = "123456789 123456789 123456789 123456789 123456789 1";
    struct cluster *cluster = *state;
    struct error err;
    assert_int_equal(ask(cluster, "n2", 7, &err), STATUS_OK);
    uint64_t id = sent_request().id;
    struct output_answer behind_the_end = answer_of(id, "hello", 104), too_much = answer_of(id, fifty_one, 1000);
    struct output_answer more_than_all = answer_of(id, "hello", 4);
    assert_false(deliver(cluster, OTHER, &behind_the_end));
    assert_false(deliver(cluster, OTHER, &too_much));
    assert_false(deliver(cluster, OTHER, &more_than_all));
    struct output_answer nothing_more = answer_of(id, "", 20); /* it is shorter than the asker thought */
    assert_int_equal(outcome.calls, 0);
    assert_true(deliver(cluster, OTHER, &nothing_more));
    assert_int_equal(outcome.calls, 1);
}

/* --- answering --- */

static enum status read_some(void *arg, const struct cluster_output_range *wanted, struct buffer *out, uint64_t *ret_total,
                             bool *ret_is_complete, struct error *err)
{
    static const char zeroes[OUTPUT_PIECE_MAX];
    if (wanted->attempt != 2)
        return error_set(err, STATUS_NOT_FOUND, "no such attempt");
    buffer_append(out, zeroes, wanted->size_max);
    *ret_total = *(const uint64_t *)arg;
    *ret_is_complete = false;
    return out->failed;
}

static struct output_answer serve(struct cluster *cluster, const struct output_request *request)
{
    struct hello remote = {.node = THIRD};
    struct output_answer answer;
    struct buffer encoded;
    struct error err;
    buffer_init(&encoded, 4096);
    output_request_encode(request, &encoded);
    assert_true(outputs_requested(cluster, &remote, buffer_bytes(&encoded), &err));
    buffer_deinit(&encoded);
    assert_int_equal(world.to, THIRD);
    assert_int_equal(world.type, FRAME_OUTPUT);
    assert_int_equal(output_answer_decode(buffer_bytes(&world.payload), &answer, &err), STATUS_OK);
    return answer;
}

static void served(void **state)
{
    struct cluster *cluster = *state;
    uint64_t total = OUTPUT_PIECE_MAX + 1;
    struct output_request request = {.id = 42, .range = {.attempt = 2, .size_max = OUTPUT_PIECE_MAX}};
    assert_int_equal(serve(cluster, &request).status, STATUS_NOT_FOUND); /* nothing is kept here */
    cluster_attach_output(cluster, read_some, &total);
    struct output_answer answer = serve(cluster, &request);
    assert_int_equal(answer.status, STATUS_OK);
    assert_int_equal(answer.id, 42);
    assert_int_equal(answer.output.piece.size, OUTPUT_PIECE_MAX);
    assert_int_equal(answer.output.total, total);
    assert_false(answer.output.is_complete);
    request.range.attempt = 1;
    answer = serve(cluster, &request);
    assert_int_equal(answer.status, STATUS_NOT_FOUND);
    assert_string_equal(answer.message, "no such attempt");
}

static void damaged_ones(void **state)
{
    struct cluster *cluster = *state;
    struct hello remote = {.node = OTHER};
    struct error err;
    struct buffer encoded;
    struct output_request request = {.id = 42, .range = {.attempt = 2, .size_max = OUTPUT_PIECE_MAX}};
    struct output_answer answer = answer_of(1, "hello", 5);
    buffer_init(&encoded, 4096);
    output_request_encode(&request, &encoded);
    for (size_t size = 0; size < encoded.size; size++)
        assert_false(outputs_requested(cluster, &remote, (struct bytes){encoded.data, size}, &err));
    buffer_clear(&encoded);
    output_answer_encode(&answer, &encoded);
    for (size_t size = 0; size < encoded.size; size++)
        assert_false(outputs_answered(cluster, &remote, (struct bytes){encoded.data, size}, &err));
    buffer_append(&encoded, "", 1);
    assert_false(outputs_answered(cluster, &remote, buffer_bytes(&encoded), &err));
    buffer_deinit(&encoded);
    assert_int_equal(world.sent, 0);
}

/* --- each field --- */

static bool takes_request(struct output_request request)
{
    struct buffer encoded;
    struct error err;
    buffer_init(&encoded, 4096);
    output_request_encode(&request, &encoded);
    enum status status = output_request_decode(buffer_bytes(&encoded), &request, &err);
    buffer_deinit(&encoded);
    return status == STATUS_OK;
}

static void limits_of_requests(void **state)
{
    (void)state;
    const struct output_request good = {.range = {.attempt = 1, .offset = INT64_MAX, .size_max = OUTPUT_PIECE_MAX}};
    struct output_request bad[] = {good, good, good, good};
    assert_true(takes_request(good));
    bad[0].range.attempt = 0;
    bad[1].range.offset++;
    bad[2].range.size_max++;
    bad[3].range.size_max = 0;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(takes_request(bad[i]));
}

static enum status take_answer(const struct output_answer *answer)
{
    struct output_answer taken;
    struct buffer encoded;
    struct error err;
    buffer_init(&encoded, TRANSPORT_FRAME_MAX);
    output_answer_encode(answer, &encoded);
    enum status status = output_answer_decode(buffer_bytes(&encoded), &taken, &err);
    buffer_deinit(&encoded);
    return status;
}

static void limits_of_answers(void **state)
{
    (void)state;
    static const char zeroes[OUTPUT_PIECE_MAX + 1];
    struct output_answer answer = {.output = {.piece = {zeroes, OUTPUT_PIECE_MAX}, .total = INT64_MAX}};
    assert_int_equal(take_answer(&answer), STATUS_OK);
    answer.output.piece.size++;
    assert_int_equal(take_answer(&answer), STATUS_MALFORMED);
    answer.output.piece.size = 0;
    answer.output.total++;
    assert_int_equal(take_answer(&answer), STATUS_MALFORMED);
    answer = (struct output_answer){.message = "all is well"};
    assert_int_equal(take_answer(&answer), STATUS_MALFORMED);
    answer.status = STATUS_IO;
    assert_int_equal(take_answer(&answer), STATUS_OK);
    answer.output.is_complete = true;
    assert_int_equal(take_answer(&answer), STATUS_MALFORMED);
    answer.output = (struct cluster_output){.total = 1};
    assert_int_equal(take_answer(&answer), STATUS_MALFORMED);
    answer = (struct output_answer){.status = STATUS_COUNT};
    assert_int_equal(take_answer(&answer), STATUS_MALFORMED);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(asked_and_answered), TEST(refused_by_the_other), TEST(nobody_to_ask), TEST(no_more_than_there_are_places),
        TEST(links_that_go_down), TEST(answers_that_make_no_sense), TEST(served), TEST(damaged_ones),
        TEST(limits_of_requests), TEST(limits_of_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
