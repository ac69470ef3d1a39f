/* The strict request layer: where a header block ends, what it says, and how its body is framed.
 *
 * Source: RFC 9112. Everything is checked here first; llhttp (strict, never lenient) then reads
 * the same bytes as a second opinion, and a request on whose framing the two differ is refused. No sockets in here, so
 * that the fuzz target runs exactly this code. Internal to core/http. */
#ifndef CHRONOS_HTTP_REQUEST_H
#define CHRONOS_HTTP_REQUEST_H

#include <llhttp.h>

#include "base/buffer.h"
#include "base/limits.h"
#include "http/http.h"

/* Why a request is refused. `detail` is a static sentence for the client. */
struct request_reject {
    enum status code;
    int http_status;
    const char *detail;
};

/* The byte tables of RFC 9110 5.6.2 (tchar) and 5.5 (field-vchar, SP, HTAB). */
bool is_token_char(unsigned char c);
bool is_value_char(unsigned char c);
int hex_value(char c); /* -1: not a hexadecimal digit */

/* --- the end of the header block --- */

/* Offsets into the bytes of one request; zeroed at its beginning. Remembers where the last scan ended. */
struct request_scan {
    size_t start;       /* 2 behind the one empty line that RFC 9112 2.2 asks to ignore, else 0 */
    size_t scanned;
    bool is_line_found; /* the request line is complete */
};
enum scan_result { SCAN_MORE, SCAN_FOUND, SCAN_REJECTED };
/* `data` begins where the request begins. SCAN_FOUND: the block is [scan->start, *ret_end), CRLFCRLF included. */
enum scan_result request_scan(struct request_scan *scan, const char *data, size_t size, size_t *ret_end,
                              struct request_reject *ret_reject);

/* --- the header block --- */

struct request_head {
    struct http_request request; /* all but token, is_loopback_peer, body and a made-up request_id */
    struct http_header headers[HTTP_HEADERS_MAX];
    char path[HTTP_TARGET_MAX];  /* holds the path where it had escapes */
    uint64_t content_length;
    bool is_chunked;
    bool is_asterisk; /* "OPTIONS *": the path is "/" */
    bool is_version_1_0;
    bool keep_alive;
    bool expects_continue;
};

/* llhttp and what it said of one request. */
struct request_witness {
    llhttp_t llhttp;
    uint32_t begun, completed;
};
void request_witness_init(struct request_witness *witness);

/* `data` is one whole header block. Spans in *head point into it. `witness` may be NULL for a block that was accepted
 * before. On failure only head->request.is_head has a meaning. */
must_use bool request_head_parse(struct request_head *head, struct request_witness *witness, const char *data,
                                 size_t size, struct request_reject *ret_reject);

/* --- a chunked body --- */

/* From CHUNK_TRAILER on it is all trailers. */
enum chunk_state {
    CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_SIZE_LF, CHUNK_DATA, CHUNK_DATA_CR, CHUNK_DATA_LF,
    CHUNK_TRAILER, CHUNK_TRAILER_NAME, CHUNK_TRAILER_VALUE, CHUNK_TRAILER_LF, CHUNK_END_LF, CHUNK_DONE
};
struct chunk_decoder {
    enum chunk_state state;
    uint32_t digit_count, extension_size, trailer_size;
    uint64_t remaining; /* of the present chunk */
};
void chunk_decoder_init(struct chunk_decoder *decoder);
/* Appends body bytes to `body` (at most `limit` in all). *ret_used is less than `size` only where the body ended.
 * False: refused. Whether it ended: decoder->state == CHUNK_DONE. */
must_use bool chunk_decode(struct chunk_decoder *decoder, struct request_witness *witness, const char *data,
                           size_t size, uint64_t limit, struct buffer *body, size_t *ret_used,
                           struct request_reject *ret_reject);

#endif
