/* Requests for the output of runs, and their answers, from a node that is broken or evil: what is taken is within its limits, and is
 * the same when it is written again. The first byte says which of the two the rest is. */
#include <string.h>

#include "base/limits.h"
#include "check.h"
#include "cluster/output_message.h"

/* Every field is written in one way only: the bytes are the same, too. */
static void check_written(const struct buffer *written, struct bytes read)
{
    CHECK(written->failed == STATUS_OK && written->size == read.size);
    CHECK(memcmp(written->data, read.data, read.size) == 0);
}

static void request(struct bytes input, struct buffer *written)
{
    struct output_request request;
    struct error err;
    if (output_request_decode(input, &request, &err) != STATUS_OK)
        return;
    CHECK(request.range.attempt > 0 && request.range.size_max > 0 && request.range.size_max <= OUTPUT_PIECE_MAX);
    output_request_encode(&request, written);
    check_written(written, input);
}

static void answer(struct bytes input, struct buffer *written)
{
    struct output_answer answer;
    struct error err;
    if (output_answer_decode(input, &answer, &err) != STATUS_OK)
        return;
    CHECK((unsigned)answer.status < STATUS_COUNT && answer.output.piece.size <= OUTPUT_PIECE_MAX);
    CHECK(answer.output.piece.size <= answer.output.total);
    CHECK(memchr(answer.message, '\0', sizeof answer.message) != NULL);
    output_answer_encode(&answer, written);
    check_written(written, input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer written;
    if (size == 0)
        return 0;
    buffer_init(&written, size + 1);
    (data[0] % 2 == 0 ? request : answer)((struct bytes){data + 1, size - 1}, &written);
    buffer_deinit(&written);
    return 0;
}
