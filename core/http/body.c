/* Chunked bodies (RFC 9112 7.1): a byte automaton for the framing, whole spans for the data. */
#include <assert.h>

#include "http/request.h"

enum { CHUNK_DIGITS_MAX = 16 }; /* leading zeros are legal; endless ones are not */

void chunk_decoder_init(struct chunk_decoder *decoder)
{
    *decoder = (struct chunk_decoder){.state = CHUNK_SIZE};
}

static bool refuse(struct request_reject *ret, enum status code, int http_status, const char *detail)
{
    *ret = (struct request_reject){code, http_status, detail};
    return false;
}

static bool malformed(struct request_reject *ret, const char *detail)
{
    return refuse(ret, STATUS_MALFORMED, 400, detail);
}

static bool size_byte(struct chunk_decoder *d, char c, struct request_reject *ret_reject)
{
    int value = hex_value(c);
    if (value >= 0) {
        if (++d->digit_count > CHUNK_DIGITS_MAX)
            return malformed(ret_reject, "a chunk size has too many digits");
        d->remaining = d->remaining * 16 + (uint64_t)value;
        if (d->remaining > HTTP_CHUNK_SIZE_MAX)
            return refuse(ret_reject, STATUS_TOO_LARGE, 413, "a chunk is larger than 256 MiB");
        return true;
    }
    if (d->digit_count == 0 || (c != ';' && c != '\r'))
        return malformed(ret_reject, "a chunk size is not a hexadecimal number");
    d->state = c == ';' ? CHUNK_EXTENSION : CHUNK_SIZE_LF;
    return true;
}

static bool extension_byte(struct chunk_decoder *d, char c, struct request_reject *ret_reject)
{
    if (c == '\r') {
        d->state = CHUNK_SIZE_LF;
        return true;
    }
    if (++d->extension_size > HTTP_CHUNK_EXTENSION_MAX)
        return malformed(ret_reject, "a chunk extension is longer than 256 bytes");
    return is_value_char((unsigned char)c) || malformed(ret_reject, "a chunk extension has a control character");
}

/* Trailers are checked like headers, then dropped: nobody may smuggle framing in them. */
static bool trailer_byte(struct chunk_decoder *d, char c, struct request_reject *ret_reject)
{
    bool is_token = is_token_char((unsigned char)c);
    if (d->state == CHUNK_TRAILER && c == '\r')
        d->state = CHUNK_END_LF;
    else if (d->state == CHUNK_TRAILER && is_token)
        d->state = CHUNK_TRAILER_NAME;
    else if (d->state == CHUNK_TRAILER_NAME && c == ':')
        d->state = CHUNK_TRAILER_VALUE;
    else if (d->state == CHUNK_TRAILER_VALUE && c == '\r')
        d->state = CHUNK_TRAILER_LF;
    else if (!(d->state == CHUNK_TRAILER_NAME && is_token) &&
             !(d->state == CHUNK_TRAILER_VALUE && is_value_char((unsigned char)c)))
        return malformed(ret_reject, "a trailer line is malformed");
    return true;
}

static bool fixed_byte(struct chunk_decoder *d, char c, char expected, enum chunk_state next,
                       struct request_reject *ret_reject)
{
    if (c != expected)
        return malformed(ret_reject, "a line of the chunked body does not end in CR LF");
    d->state = next;
    return true;
}

static bool framing_byte(struct chunk_decoder *d, char c, struct request_reject *ret_reject)
{
    if (d->state >= CHUNK_TRAILER && ++d->trailer_size > HTTP_TRAILER_MAX)
        return refuse(ret_reject, STATUS_HEADERS_TOO_LARGE, 431, "the trailers are larger than 4 KiB");
    switch (d->state) {
    case CHUNK_SIZE:
        return size_byte(d, c, ret_reject);
    case CHUNK_EXTENSION:
        return extension_byte(d, c, ret_reject);
    case CHUNK_SIZE_LF:
        return fixed_byte(d, c, '\n', d->remaining > 0 ? CHUNK_DATA : CHUNK_TRAILER, ret_reject);
    case CHUNK_DATA_CR:
        return fixed_byte(d, c, '\r', CHUNK_DATA_LF, ret_reject);
    case CHUNK_DATA_LF:
        d->digit_count = d->extension_size = 0;
        return fixed_byte(d, c, '\n', CHUNK_SIZE, ret_reject);
    case CHUNK_TRAILER_LF:
        return fixed_byte(d, c, '\n', CHUNK_TRAILER, ret_reject);
    case CHUNK_END_LF:
        return fixed_byte(d, c, '\n', CHUNK_DONE, ret_reject);
    default:
        return trailer_byte(d, c, ret_reject);
    }
}

static bool take_data(struct chunk_decoder *d, const char *at, size_t size, struct buffer *body, size_t *ret_taken,
                      struct request_reject *ret_reject)
{
    size_t taken = d->remaining < size ? (size_t)d->remaining : size;
    buffer_append(body, at, taken);
    if (body->failed != STATUS_OK)
        return refuse(ret_reject, STATUS_OVERLOADED, 503, "no memory for the body");
    d->remaining -= taken;
    if (d->remaining == 0)
        d->state = CHUNK_DATA_CR;
    *ret_taken = taken;
    return true;
}

/* Extensions are kept from llhttp: 8.1 fails on two of them with values, and the automaton has checked them. */
static bool witness_reads(struct request_witness *witness, const char *from, const char *to)
{
    return from == NULL || from == to || llhttp_execute(&witness->llhttp, from, (size_t)(to - from)) == HPE_OK;
}

static bool step(struct chunk_decoder *d, const char *at, size_t size, uint64_t limit, struct buffer *body,
                 size_t *ret_taken, struct request_reject *ret_reject)
{
    *ret_taken = 1;
    bool is_good = d->state == CHUNK_DATA ? take_data(d, at, size, body, ret_taken, ret_reject)
                                          : framing_byte(d, *at, ret_reject);
    /* A chunk that cannot fit is refused when its size is known, not when it has arrived. */
    if (is_good && d->remaining > limit - body->size)
        return refuse(ret_reject, STATUS_TOO_LARGE, 413, "the body is larger than this server accepts");
    return is_good;
}

bool chunk_decode(struct chunk_decoder *d, struct request_witness *witness, const char *data, size_t size,
                  uint64_t limit, struct buffer *body, size_t *ret_used, struct request_reject *ret_reject)
{
    const char *at = data, *end = data + size;
    const char *unread = d->state == CHUNK_EXTENSION ? NULL : data; /* what llhttp was not given yet */
    bool agrees = true, is_good = true;
    assert(body->size <= limit);
    while (at < end && d->state != CHUNK_DONE) {
        size_t taken;
        is_good = step(d, at, (size_t)(end - at), limit, body, &taken, ret_reject);
        if (!is_good)
            break;
        if (d->state == CHUNK_EXTENSION && unread != NULL) {
            agrees = agrees && witness_reads(witness, unread, at);
            unread = NULL;
        } else if (d->state != CHUNK_EXTENSION && unread == NULL) {
            unread = at; /* the CR behind the extension */
        }
        at += taken;
    }
    /* Also where we refuse: llhttp may have done so at an earlier byte, and the answer must not depend on the cuts. */
    agrees = agrees && witness_reads(witness, unread, at);
    if (!agrees || witness->begun != 1 || witness->completed != (d->state == CHUNK_DONE ? 1 : 0))
        return malformed(ret_reject, "the chunked body can be read in more than one way");
    *ret_used = (size_t)(at - data);
    return is_good;
}
