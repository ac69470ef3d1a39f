/* The request layer on arbitrary bytes: a connection's worth of input is read twice, whole and cut into pieces, and
 * both readings must see the same requests and end in the same way. The first byte of an input says how the second
 * reading is cut; the rest is the input. By hand:
 *
 *   clang -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -DLLHTTP_STRICT_MODE=1 -Icore -I/usr/share/include/llhttp
 *       tests/fuzz/fuzz_http.c core/http/{request,body,query}.c core/base/{buffer,status,error}.c
 *       /usr/share/llhttp/{api,http,llhttp}.c */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "http/request.h"

enum { BODY_LIMIT = 64 * 1024, TRACE_LIMIT = 64 << 20 };

static void trace_bytes(struct buffer *trace, struct bytes bytes)
{
    buffer_appendf(trace, "%zu:", bytes.size);
    buffer_append(trace, bytes.data, bytes.size);
}

static void check_path(struct bytes path)
{
    const char *text = path.data;
    CHECK(path.size > 0 && path.size <= HTTP_TARGET_MAX && text[0] == '/');
    CHECK(memchr(text, '\0', path.size) == NULL);
    for (size_t i = 0; i < path.size; i++) {
        if (text[i] != '/')
            continue;
        const char *segment = text + i + 1;
        size_t left = path.size - i - 1;
        const char *slash = left > 0 ? memchr(segment, '/', left) : NULL;
        size_t length = slash != NULL ? (size_t)(slash - segment) : left;
        CHECK(!(length == 1 && segment[0] == '.') && !(length == 2 && segment[0] == '.' && segment[1] == '.'));
    }
}

static void check_headers(const struct http_request *request, const char *block, size_t size)
{
    CHECK(request->header_count <= HTTP_HEADERS_MAX);
    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];
        const char *value = header->value.data;
        CHECK(header->name.size > 0 && (const char *)header->name.data >= block);
        CHECK(value >= block && value + header->value.size <= block + size);
        for (size_t k = 0; k < header->value.size; k++)
            CHECK(is_value_char((unsigned char)value[k]));
    }
}

static void walk_query(const struct http_request *request)
{
    char name[16], value[16];
    size_t cursor = 0;
    enum status status;
    while (http_query_next(request, &cursor, name, sizeof name, value, sizeof value, &status)) {
        CHECK(strlen(name) < sizeof name && strlen(value) < sizeof value);
        CHECK(cursor <= request->query.size);
    }
    (void)http_query_get(request, "a", value, sizeof value, &status); /* found or not */
}

static void trace_head(struct buffer *trace, const struct request_head *head)
{
    const struct http_request *r = &head->request;
    buffer_appendf(trace, "\n%d %d %d %d %d %d %llu ", r->method, r->is_head, head->keep_alive, head->is_chunked,
                   head->is_asterisk, head->expects_continue, (unsigned long long)head->content_length);
    trace_bytes(trace, r->path);
    trace_bytes(trace, r->query);
    trace_bytes(trace, r->host);
    buffer_append_string(trace, r->request_id);
    for (size_t i = 0; i < r->header_count; i++) {
        trace_bytes(trace, r->headers[i].name);
        trace_bytes(trace, r->headers[i].value);
    }
}

/* --- one reading --- */

/* What connection.c keeps of a request, and what it has been given of the input. */
struct reading {
    const char *data;
    size_t size;      /* of the input */
    size_t available; /* has "arrived" */
    size_t begin;     /* of the present request */
    size_t step;
    struct request_head head;
    struct request_witness witness;
    struct buffer trace;
};

static bool arrive(struct reading *r)
{
    if (r->available == r->size)
        return false;
    size_t left = r->size - r->available;
    r->available += left < r->step ? left : r->step;
    return true;
}

static bool refused(struct reading *r, const struct request_reject *why)
{
    CHECK(why->http_status >= 400 && why->http_status < 600 && why->detail != NULL);
    buffer_appendf(&r->trace, "\nrefused %d %s", why->http_status, why->detail);
    return false;
}

static bool read_fixed_body(struct reading *r)
{
    if (r->head.content_length > r->size - r->begin)
        return false;
    while (r->available - r->begin < r->head.content_length)
        CHECK(arrive(r));
    trace_bytes(&r->trace, (struct bytes){r->data + r->begin, (size_t)r->head.content_length});
    r->begin += (size_t)r->head.content_length;
    return true;
}

static bool read_chunked_body(struct reading *r)
{
    struct chunk_decoder decoder;
    struct request_reject why;
    struct buffer body;
    bool is_good = true;
    chunk_decoder_init(&decoder);
    buffer_init(&body, BODY_LIMIT + 1);
    while (is_good && decoder.state != CHUNK_DONE) {
        size_t used;
        if (r->begin == r->available && !arrive(r))
            break;
        is_good = chunk_decode(&decoder, &r->witness, r->data + r->begin, r->available - r->begin, BODY_LIMIT, &body,
                               &used, &why);
        if (is_good)
            r->begin += used;
        CHECK(body.size <= BODY_LIMIT);
    }
    if (!is_good)
        (void)refused(r, &why); /* returned below */
    else if (decoder.state == CHUNK_DONE)
        trace_bytes(&r->trace, buffer_bytes(&body));
    buffer_deinit(&body);
    return is_good && decoder.state == CHUNK_DONE;
}

/* False: refused, or the input ended. */
static bool read_request(struct reading *r)
{
    struct request_scan scan = {0};
    struct request_reject why;
    enum scan_result result = SCAN_MORE;
    size_t end;
    bool needs_more = r->begin == r->available;
    while (result == SCAN_MORE) {
        if (needs_more && !arrive(r))
            return false;
        needs_more = true;
        result = request_scan(&scan, r->data + r->begin, r->available - r->begin, &end, &why);
    }
    if (result == SCAN_REJECTED)
        return refused(r, &why);
    const char *block = r->data + r->begin + scan.start;
    size_t block_size = end - scan.start;
    CHECK(block_size <= HTTP_HEADER_BYTES_MAX);
    if (!request_head_parse(&r->head, &r->witness, block, block_size, &why))
        return refused(r, &why);
    check_path(r->head.request.path);
    check_headers(&r->head.request, block, block_size);
    walk_query(&r->head.request);
    trace_head(&r->trace, &r->head);
    r->begin += end;
    if (!(r->head.is_chunked ? read_chunked_body(r) : read_fixed_body(r)))
        return false;
    CHECK(request_head_parse(&r->head, NULL, block, block_size, &why)); /* as connection.c does behind a long body */
    return r->head.keep_alive;
}

static void read_all(struct reading *r, const char *data, size_t size, size_t step)
{
    r->data = data;
    r->size = size;
    r->available = r->begin = 0;
    r->step = step;
    request_witness_init(&r->witness);
    buffer_init(&r->trace, TRACE_LIMIT);
    while (read_request(r))
        continue;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct reading whole, cut;
    if (size < 2)
        return 0;
    const char *input = (const char *)data + 1;
    read_all(&whole, input, size - 1, size - 1);
    read_all(&cut, input, size - 1, (size_t)data[0] + 1);
    CHECK(whole.trace.size == cut.trace.size);
    CHECK(whole.trace.size == 0 || memcmp(whole.trace.data, cut.trace.data, whole.trace.size) == 0);
    buffer_deinit(&whole.trace);
    buffer_deinit(&cut.trace);
    return 0;
}
