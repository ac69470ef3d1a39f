/* Reading what runs have written: live, on its way to the store, or stored. */
#include "run/runner.h"

static enum status read_capture(struct capture *capture, uint64_t offset, size_t max, struct buffer *out, uint64_t *ret_total,
                                struct error *err)
{
    *ret_total = capture_read(capture, offset, max, out);
    capture_unref(capture);
    return out->failed == STATUS_OK ? STATUS_OK : error_set(err, out->failed, "no room for the output of a run");
}

enum status runner_output(struct runner *runner, const struct id *execution, uint32_t attempt_number, uint64_t offset,
                          size_t max, struct buffer *out, uint64_t *ret_total, bool *ret_done, struct error *err)
{
    struct local_key key = local_key(execution, attempt_number);
    const struct attempt *attempt = attempts_find(&runner->attempts, execution, attempt_number);
    bool done = attempt == NULL || attempt->phase >= ATTEMPT_FINISHED;
    struct capture *capture = attempt != NULL ? attempts_capture(&runner->attempts, attempt) : NULL;
    uint64_t total = 0;
    enum status status = STATUS_OK;
    if (capture == NULL && attempt == NULL && runner->writer != NULL)
        capture = local_writer_find_output(runner->writer, &key);
    if (capture != NULL)
        status = read_capture(capture, offset, max, out, &total, err);
    else if (attempt == NULL)
        status = local_read_output(runner->local, &key, offset, max, out, &total, err);
    if (status == STATUS_NOT_FOUND)
        return error_set(err, status, "no output of this attempt is kept on this node");
    if (status != STATUS_OK)
        return status;
    *ret_total = total;
    *ret_done = done;
    return STATUS_OK;
}
