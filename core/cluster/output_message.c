#include "cluster/output_message.h"

#include "base/codec.h"
#include "base/limits.h"

void output_request_encode(const struct output_request *request, struct buffer *out)
{
    put_u64(out, request->id);
    buffer_append(out, request->range.execution.bytes, sizeof request->range.execution.bytes);
    put_u32(out, request->range.attempt);
    put_u64(out, request->range.offset);
    put_u32(out, request->range.size_max);
}

static bool is_range(const struct cluster_output_range *range)
{
    return range->attempt > 0 && range->offset <= INT64_MAX && range->size_max > 0 && range->size_max <= OUTPUT_PIECE_MAX;
}

enum status output_request_decode(struct bytes encoded, struct output_request *ret, struct error *err)
{
    struct reader r = reader_of(encoded.data, encoded.size);
    struct output_request request = {.id = take_u64(&r)};
    take_raw(&r, request.range.execution.bytes, sizeof request.range.execution.bytes);
    request.range.attempt = take_u32(&r);
    request.range.offset = take_u64(&r);
    request.range.size_max = take_u32(&r);
    if (!reader_done(&r) || !is_range(&request.range))
        return error_set(err, STATUS_MALFORMED, "a request for the output of a run is damaged");
    *ret = request;
    return STATUS_OK;
}

void output_answer_encode(const struct output_answer *answer, struct buffer *out)
{
    put_u64(out, answer->id);
    put_u16(out, (uint16_t)answer->status);
    put_string(out, answer->message);
    put_u64(out, answer->output.total);
    put_u8(out, answer->output.is_complete);
    put_blob(out, answer->output.piece.data, answer->output.piece.size);
}

/* A refusal carries no output, and a piece is a part of all that there is. */
static bool is_answer(const struct output_answer *answer)
{
    const struct cluster_output *output = &answer->output;
    if (answer->status != STATUS_OK)
        return output->piece.size == 0 && output->total == 0 && !output->is_complete;
    return output->piece.size <= OUTPUT_PIECE_MAX && output->piece.size <= output->total && output->total <= INT64_MAX &&
           answer->message[0] == '\0';
}

enum status output_answer_decode(struct bytes encoded, struct output_answer *ret, struct error *err)
{
    struct reader r = reader_of(encoded.data, encoded.size);
    struct output_answer answer = {.id = take_u64(&r)};
    uint16_t status = take_u16(&r);
    take_string(&r, answer.message, sizeof answer.message);
    answer.output.total = take_u64(&r);
    uint8_t is_complete = take_u8(&r);
    answer.output.piece = take_blob(&r);
    answer.output.is_complete = is_complete == 1;
    answer.status = (enum status)status;
    if (!reader_done(&r) || status >= STATUS_COUNT || is_complete > 1 || !is_answer(&answer))
        return error_set(err, STATUS_MALFORMED, "an answer with the output of a run is damaged");
    *ret = answer;
    return STATUS_OK;
}
