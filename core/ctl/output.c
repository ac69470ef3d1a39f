/* execution output: the bytes that an attempt wrote, as they are; and following them while it runs. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/executions.h"
#include "ctl/resolve.h"
#include "ctl/rest.h"
#include "ctl/show.h"
#include "ctl/text.h"

enum { CHUNK_LIMIT = 4 << 20 };

struct following {
    char id[REFERENCE_SIZE];
    int64_t attempt;  /* 0: the newest, whichever that is */
    int64_t offset;   /* read so far, of this attempt */
    bool complete;    /* nothing more will come of it */
    struct text_filter filter;
};

static void append_number(struct buffer *path, const char *name, int64_t value)
{
    char number[24];
    (void)snprintf(number, sizeof number, "%" PRId64, value);
    query_append(path, name, number);
}

/* A terminal gets no control characters; a file or pipe gets every byte. */
static int print_piece(struct invocation *invocation, struct following *following, const struct buffer *body)
{
    if (invocation->out_is_terminal)
        text_filter_feed(&following->filter, &invocation->out, body->data, body->size, TEXT_KEEP_LINES);
    else
        buffer_append(&invocation->out, body->data, body->size);
    return invocation_print(invocation);
}

/* The next piece. *ret_size: its bytes. */
static int read_piece(struct invocation *invocation, struct following *following, size_t *ret_size)
{
    struct buffer path;
    struct response response;
    api_path(&path, "executions", following->id, "/output");
    append_number(&path, "offset", following->offset);
    append_number(&path, "limit", CHUNK_LIMIT);
    if (following->attempt > 0)
        append_number(&path, "attempt", following->attempt);
    int code = rest_call(invocation, NULL, &(struct request){.method = "GET", .path = path.data}, &response);
    buffer_deinit(&path);
    if (code != EXIT_CODE_OK)
        return code;
    following->offset += (int64_t)response.body.size;
    following->complete = response.output_complete && following->offset >= response.output_total;
    *ret_size = response.body.size;
    code = response.body.size > 0 ? print_piece(invocation, following, &response.body) : EXIT_CODE_OK;
    response_deinit(&response);
    return code;
}

/* All that there is now. */
static int read_present(struct invocation *invocation, struct following *following, bool *ret_any)
{
    size_t size = 1;
    int code = EXIT_CODE_OK;
    *ret_any = false;
    while (code == EXIT_CODE_OK && size > 0 && !following->complete) {
        code = read_piece(invocation, following, &size);
        *ret_any = *ret_any || (code == EXIT_CODE_OK && size > 0);
    }
    return code;
}

static int64_t newest_attempt(const cJSON *execution)
{
    int64_t newest = 0;
    const cJSON *attempt;
    cJSON_ArrayForEach(attempt, cJSON_GetObjectItemCaseSensitive(execution, "attempts"))
    {
        int64_t number = member_int(attempt, "attempt", 0);
        newest = number > newest ? number : newest;
    }
    return newest;
}

static void next_attempt(struct invocation *invocation, struct following *following, int64_t attempt)
{
    text_filter_end(&following->filter, &invocation->out);
    if (following->attempt > 0)
        complain(NULL, "attempt %" PRId64 " begins", attempt);
    following->attempt = attempt;
    following->offset = 0;
    following->complete = false;
}

/* What the run does now; *ret_ended: nothing more will be written by what is followed. The run is looked at before its
 * output is read: what it wrote last is then read too. */
static int follow_step(struct invocation *invocation, struct following *following, bool only_this, bool *ret_ended,
                       bool *ret_any)
{
    cJSON *execution;
    int code = get_execution(invocation, following->id, &execution);
    if (code != EXIT_CODE_OK)
        return code;
    bool ended = is_terminal(execution);
    int64_t newest = newest_attempt(execution);
    cJSON_Delete(execution);
    *ret_any = false;
    if (!only_this && newest > following->attempt) {
        if (following->attempt > 0) /* the last words of the one before */
            code = read_present(invocation, following, ret_any);
        next_attempt(invocation, following, newest);
    }
    if (code == EXIT_CODE_OK && (following->attempt > 0 || ended))
        code = read_present(invocation, following, ret_any);
    *ret_ended = ended || (only_this && (following->complete || newest > following->attempt));
    return code;
}

static int follow(struct invocation *invocation, struct following *following)
{
    bool only_this = following->attempt > 0, ended = false, any = false;
    int64_t pause_ms = 0;
    for (;;) {
        int code = follow_step(invocation, following, only_this, &ended, &any);
        if (code != EXIT_CODE_OK || ended)
            return code;
        pause_ms = poll_pause(any ? 0 : pause_ms);
    }
}

/* A node keeps output.captured_bytes of an attempt's output, and drops even that after a while. An attempt that never was
 * is not one without output. */
static int check_what_was_read(struct invocation *invocation, const struct following *following)
{
    cJSON *execution;
    int code = get_execution(invocation, following->id, &execution);
    if (code != EXIT_CODE_OK)
        return code;
    int64_t written = member_int(execution, "output_bytes", 0), newest = newest_attempt(execution);
    bool is_newest = following->attempt == 0 || following->attempt == newest;
    if (following->attempt > newest) {
        complain(NULL, "there is no attempt %" PRId64 ": the newest is %" PRId64, following->attempt, newest);
        code = EXIT_CODE_REFUSED;
    } else if (is_newest && written > following->offset) {
        complain(NULL, "%" PRId64 " of %" PRId64 " bytes were kept (output.captured_bytes, output.retention)",
                 following->offset, written);
    }
    cJSON_Delete(execution);
    return code;
}

int run_execution_output(struct invocation *invocation)
{
    struct following following = {.attempt = arguments_number(&invocation->arguments, "attempt", 0)};
    bool any;
    int code = resolve_execution(invocation, invocation->arguments.operands[0], following.id);
    if (code != EXIT_CODE_OK)
        return code;
    if (arguments_switch(&invocation->arguments, "follow", false))
        code = follow(invocation, &following);
    else
        code = read_present(invocation, &following, &any);
    text_filter_end(&following.filter, &invocation->out);
    if (code == EXIT_CODE_OK)
        code = invocation_print(invocation);
    return code == EXIT_CODE_OK ? check_what_was_read(invocation, &following) : code;
}
