#include "http/request.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

/* --- byte classes --- */

enum { CLASS_TOKEN = 1, CLASS_VALUE = 2, CLASS_PATH = 4, CLASS_QUERY = 8, CLASS_HOST = 16 };

#define T CLASS_TOKEN
#define V CLASS_VALUE
#define P CLASS_PATH
#define Q CLASS_QUERY
#define H CLASS_HOST
/* RFC 3986: a path is pchar and '/'; a query also '?', and leniently the printable bytes that people paste unescaped
 * ("filter[a]", "a|b"), none of which can end or split a request line. '%' is checked by the decoder. */
static const uint8_t byte_class[256] = {
    ['\t'] = V, [' '] = V,
    ['!'] = T | V | P | Q | H, ['"'] = V | Q, ['#'] = T | V, ['$'] = T | V | P | Q | H, ['%'] = T | V | P | Q | H,
    ['&'] = T | V | P | Q | H, ['\''] = T | V | P | Q | H, ['('] = V | P | Q | H, [')'] = V | P | Q | H,
    ['*'] = T | V | P | Q | H, ['+'] = T | V | P | Q | H, [','] = V | P | Q | H, ['-'] = T | V | P | Q | H,
    ['.'] = T | V | P | Q | H, ['/'] = V | P | Q,
    ['0' ... '9'] = T | V | P | Q | H,
    [':'] = V | P | Q, [';'] = V | P | Q | H, ['<'] = V | Q, ['='] = V | P | Q | H, ['>'] = V | Q, ['?'] = V | Q,
    ['@'] = V | P | Q,
    ['A' ... 'Z'] = T | V | P | Q | H,
    ['['] = V | Q, ['\\'] = V | Q, [']'] = V | Q, ['^'] = T | V | Q, ['_'] = T | V | P | Q | H, ['`'] = T | V | Q,
    ['a' ... 'z'] = T | V | P | Q | H,
    ['{'] = V | Q, ['|'] = T | V | Q, ['}'] = V | Q, ['~'] = T | V | P | Q | H,
    [0x80 ... 0xff] = V, /* obs-text */
};
#undef T
#undef V
#undef P
#undef Q
#undef H

static bool in_class(char c, uint8_t class)
{
    return (byte_class[(unsigned char)c] & class) != 0;
}

bool is_token_char(unsigned char c)
{
    return (byte_class[c] & CLASS_TOKEN) != 0;
}

bool is_value_char(unsigned char c)
{
    return (byte_class[c] & CLASS_VALUE) != 0;
}

static bool all_in_class(const char *at, const char *end, uint8_t class)
{
    uint8_t common = class;
    for (; at < end; at++)
        common &= byte_class[(unsigned char)*at];
    return common != 0;
}

static bool reject(struct request_reject *ret, enum status code, int http_status, const char *detail)
{
    *ret = (struct request_reject){code, http_status, detail};
    return false;
}

static bool malformed(struct request_reject *ret, const char *detail)
{
    return reject(ret, STATUS_MALFORMED, 400, detail);
}

/* --- the end of the header block --- */

static enum scan_result scan_too_large(const struct request_scan *scan, struct request_reject *ret_reject)
{
    if (scan->is_line_found)
        (void)reject(ret_reject, STATUS_HEADERS_TOO_LARGE, 431, "the headers are larger than 16 KiB"); /* told below */
    else
        (void)reject(ret_reject, STATUS_TOO_LARGE, 414, "the request line is larger than 16 KiB"); /* told below */
    return SCAN_REJECTED;
}

enum scan_result request_scan(struct request_scan *scan, const char *data, size_t size, size_t *ret_end,
                              struct request_reject *ret_reject)
{
    if (scan->start == 0 && scan->scanned == 0) {
        if (data[0] == '\r' && size == 1)
            return SCAN_MORE;
        if (data[0] == '\r' && data[1] == '\n')
            scan->start = scan->scanned = 2;
    }
    size_t limit = scan->start + HTTP_HEADER_BYTES_MAX;
    size_t stop = size < limit ? size : limit;
    while (scan->scanned < stop) {
        const char *found = memchr(data + scan->scanned, '\n', stop - scan->scanned);
        if (found == NULL) {
            scan->scanned = stop;
            break;
        }
        size_t at = (size_t)(found - data);
        scan->scanned = at + 1;
        if (at < scan->start + 2 || data[at - 1] != '\r') {
            (void)malformed(ret_reject, "a line must have text and end in CR LF"); /* told by the return value */
            return SCAN_REJECTED;
        }
        scan->is_line_found = true;
        /* Every LF so far came behind a CR, so this one and the byte two before tell an empty line. */
        if (data[at - 2] == '\n') {
            *ret_end = at + 1;
            return SCAN_FOUND;
        }
    }
    return size >= limit ? scan_too_large(scan, ret_reject) : SCAN_MORE;
}

/* --- the request line --- */

const char *http_method_name(enum http_method method)
{
    static const char *const names[METHOD_COUNT] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    assert(method >= 0 && method < METHOD_COUNT);
    return names[method];
}

static bool method_find(const char *text, size_t size, enum http_method *ret)
{
    for (int i = 0; i < METHOD_COUNT; i++) {
        const char *name = http_method_name((enum http_method)i);
        if (name[0] == text[0] && strlen(name) == size && memcmp(name, text, size) == 0) {
            *ret = (enum http_method)i;
            return true;
        }
    }
    return false;
}

int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool has_dot_segment(const char *path, size_t size)
{
    const char *end = path + size;
    for (const char *at = path; at < end; at++) {
        if (at[0] != '/' || end - at < 2 || at[1] != '.')
            continue;
        const char *behind = at + 2;
        if (behind < end && *behind == '.')
            behind++;
        if (behind == end || *behind == '/')
            return true;
    }
    return false;
}

/* %2F stays an error rather than a slash: a router and a proxy would see different segments. */
static bool path_decode(struct request_head *head, const char *at, const char *end, struct request_reject *ret_reject)
{
    size_t used = 0;
    while (at < end) {
        char c = *at++;
        if (c == '%') {
            int high = end - at >= 2 ? hex_value(at[0]) : -1;
            int low = high >= 0 ? hex_value(at[1]) : -1;
            if (low < 0)
                return malformed(ret_reject, "the path has a percent sign without two hexadecimal digits");
            c = (char)(high * 16 + low);
            if (c == '\0')
                return malformed(ret_reject, "the path has an encoded NUL (%00)");
            if (c == '/')
                return malformed(ret_reject, "the path has an encoded slash (%2F)");
            at += 2;
        }
        head->path[used++] = c;
    }
    head->request.path = (struct bytes){head->path, used};
    return true;
}

static bool parse_path(struct request_head *head, const char *at, const char *end, struct request_reject *ret_reject)
{
    const char *path_end = at;
    bool has_escape = false;
    for (; path_end < end && in_class(*path_end, CLASS_PATH); path_end++)
        has_escape |= *path_end == '%';
    if (path_end < end && *path_end != '?')
        return malformed(ret_reject, "the path has a byte that must be percent-encoded");
    head->request.query = (struct bytes){NULL, 0};
    if (path_end < end) {
        head->request.query = (struct bytes){path_end + 1, (size_t)(end - path_end - 1)};
        if (!all_in_class(path_end + 1, end, CLASS_QUERY))
            return malformed(ret_reject, "the query has a byte that must be percent-encoded");
    }
    if (at == path_end)
        head->request.path = (struct bytes){"/", 1}; /* absolute form without a path, RFC 9110 4.2.3 */
    else if (!has_escape)
        head->request.path = (struct bytes){at, (size_t)(path_end - at)};
    else if (!path_decode(head, at, path_end, ret_reject))
        return false;
    if (has_dot_segment(head->request.path.data, head->request.path.size))
        return malformed(ret_reject, "the path has a \".\" or \"..\" segment");
    return true;
}

/* uri-host [ ":" port ], RFC 9112 3.2; *ret_host is the part without the port, with the brackets of an IPv6 address. */
static bool parse_authority(const char *at, const char *end, struct bytes *ret_host)
{
    const char *begin = at;
    if (at < end && *at == '[') {
        for (at++; at < end && (hex_value(*at) >= 0 || *at == ':' || *at == '.'); at++)
            continue;
        if (at == end || *at != ']' || at - begin < 3)
            return false;
        at++;
    } else {
        while (at < end && in_class(*at, CLASS_HOST))
            at++;
    }
    *ret_host = (struct bytes){begin, (size_t)(at - begin)};
    if (at == end)
        return true;
    if (*at++ != ':' || end - at > 5)
        return false;
    uint32_t port = 0;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        port = port * 10 + (uint32_t)(*at - '0');
    }
    return port <= 65535;
}

/* "http://host:port/path?query", RFC 9112 3.2.2. Its host replaces the Host header's. */
static bool parse_absolute(struct request_head *head, const char *at, const char *end,
                           struct request_reject *ret_reject)
{
    if (end - at > 7 && strncasecmp(at, "http://", 7) == 0)
        at += 7;
    else if (end - at > 8 && strncasecmp(at, "https://", 8) == 0)
        at += 8;
    else
        return malformed(ret_reject, "the request target must begin with '/', http:// or https://");
    const char *authority_end = at;
    while (authority_end < end && *authority_end != '/' && *authority_end != '?')
        authority_end++;
    if (!parse_authority(at, authority_end, &head->request.host) || head->request.host.size == 0)
        return malformed(ret_reject, "the host in the request target is not valid");
    return parse_path(head, authority_end, end, ret_reject);
}

static bool parse_target(struct request_head *head, const char *at, const char *end, struct request_reject *ret_reject)
{
    if (end - at > HTTP_TARGET_MAX)
        return reject(ret_reject, STATUS_TOO_LARGE, 414, "the request target is longer than 8 KiB");
    if (*at == '/')
        return parse_path(head, at, end, ret_reject);
    if (end - at == 1 && *at == '*') {
        if (head->request.method != METHOD_OPTIONS)
            return malformed(ret_reject, "the request target \"*\" is for OPTIONS only");
        head->is_asterisk = true;
        head->request.path = (struct bytes){"/", 1};
        head->request.query = (struct bytes){NULL, 0};
        return true;
    }
    return parse_absolute(head, at, end, ret_reject);
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* `line` is "METHOD target HTTP/x.y", without its CRLF. *ret_version points at "HTTP/". */
static bool parse_request_line(struct request_head *head, const char *line, const char *end, const char **ret_version,
                               struct request_reject *ret_reject)
{
    const char *at = line;
    while (at < end && in_class(*at, CLASS_TOKEN))
        at++;
    if (at == line || at == end || *at != ' ')
        return malformed(ret_reject, "the request line does not begin with a method and one space");
    size_t method_size = (size_t)(at - line);
    const char *target = at + 1;
    const char *space = memchr(target, ' ', (size_t)(end - target));
    if (space == NULL)
        return malformed(ret_reject, "the request line has no HTTP version");
    const char *version = space + 1;
    if (space == target || end - version != 8 || memcmp(version, "HTTP/", 5) != 0 || !digit(version[5]) ||
        version[6] != '.' || !digit(version[7]))
        return malformed(ret_reject, "the request line is not \"METHOD target HTTP/1.1\" with single spaces");
    if (version[5] != '1')
        return reject(ret_reject, STATUS_VERSION_UNSUPPORTED, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    if (!method_find(line, method_size, &head->request.method))
        return reject(ret_reject, STATUS_NOT_IMPLEMENTED, 501, "the request method is not implemented");
    if (head->request.method == METHOD_HEAD) {
        head->request.method = METHOD_GET;
        head->request.is_head = true;
    }
    head->is_version_1_0 = version[7] == '0';
    *ret_version = version;
    return parse_target(head, target, space, ret_reject);
}

/* --- header lines --- */

/* What the lines said that decides about framing; each header counted, the first value kept. */
struct head_facts {
    uint32_t host_count, length_count, encoding_count;
    struct bytes host, length, encoding, request_id;
    bool says_close, says_keep_alive, expects_continue, expects_other;
};

static bool name_is(const char *name, const char *known, size_t size)
{
    return strncasecmp(name, known, size) == 0;
}

static bool bytes_are(struct bytes value, const char *text)
{
    return value.size == strlen(text) && strncasecmp(value.data, text, value.size) == 0;
}

static void note_connection(struct head_facts *facts, struct bytes value)
{
    const char *at = value.data, *end = at + value.size;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma != NULL ? comma : end;
        const char *last = stop;
        while (at < last && (*at == ' ' || *at == '\t'))
            at++;
        while (last > at && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        struct bytes option = {at, (size_t)(last - at)};
        facts->says_close |= bytes_are(option, "close");
        facts->says_keep_alive |= bytes_are(option, "keep-alive");
        at = stop + 1;
    }
}

static void note_once(uint32_t *count, struct bytes *first, struct bytes value)
{
    if ((*count)++ == 0)
        *first = value;
}

static void note_header(struct head_facts *facts, const char *name, size_t name_size, struct bytes value)
{
    switch (name_size) {
    case 4:
        if (name_is(name, "host", 4))
            note_once(&facts->host_count, &facts->host, value);
        break;
    case 6:
        if (name_is(name, "expect", 6)) {
            if (bytes_are(value, "100-continue"))
                facts->expects_continue = true;
            else
                facts->expects_other = true;
        }
        break;
    case 10:
        if (name_is(name, "connection", 10))
            note_connection(facts, value);
        break;
    case 12:
        if (facts->request_id.data == NULL && name_is(name, "x-request-id", 12))
            facts->request_id = value;
        break;
    case 14:
        if (name_is(name, "content-length", 14))
            note_once(&facts->length_count, &facts->length, value);
        break;
    case 17:
        if (name_is(name, "transfer-encoding", 17))
            note_once(&facts->encoding_count, &facts->encoding, value);
        break;
    default:
        break;
    }
}

/* One line, without its CRLF. */
static bool parse_header_line(struct http_header *ret, const char *line, const char *end,
                              struct request_reject *ret_reject)
{
    const char *at = line;
    while (at < end && in_class(*at, CLASS_TOKEN))
        at++;
    if (at == line && (*line == ' ' || *line == '\t'))
        return malformed(ret_reject, "a header line is folded");
    if (at == line || at == end || *at != ':')
        return malformed(ret_reject, "a header name must be plain and followed by a colon at once");
    ret->name = (struct bytes){line, (size_t)(at - line)};
    const char *value = at + 1;
    if (!all_in_class(value, end, CLASS_VALUE))
        return malformed(ret_reject, "a header value has a control character");
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    ret->value = (struct bytes){value, (size_t)(end - value)};
    return true;
}

static bool parse_header_lines(struct request_head *head, struct head_facts *facts, const char *at, const char *end,
                               struct request_reject *ret_reject)
{
    size_t count = 0;
    while (end - at > 2) { /* the last two bytes are the empty line */
        const char *line_end = (const char *)memchr(at, '\n', (size_t)(end - at)) - 1;
        if (count == HTTP_HEADERS_MAX)
            return reject(ret_reject, STATUS_HEADERS_TOO_LARGE, 431, "more than 100 header lines");
        struct http_header *header = &head->headers[count];
        if (!parse_header_line(header, at, line_end, ret_reject))
            return false;
        note_header(facts, header->name.data, header->name.size, header->value);
        count++;
        at = line_end + 2;
    }
    head->request.headers = head->headers;
    head->request.header_count = count;
    return true;
}

/* --- what the lines mean together --- */

static bool check_host(struct request_head *head, const struct head_facts *facts, struct request_reject *ret_reject)
{
    if (facts->host_count > 1)
        return malformed(ret_reject, "more than one Host header");
    if (facts->host_count == 0)
        return head->is_version_1_0 || malformed(ret_reject, "no Host header");
    struct bytes host;
    const char *value = facts->host.data;
    if (!parse_authority(value, value + facts->host.size, &host))
        return malformed(ret_reject, "the Host header is not a host with an optional port");
    if (head->request.host.data == NULL) /* else the absolute form has set it */
        head->request.host = host;
    return true;
}

static bool parse_content_length(uint64_t *ret, struct bytes value)
{
    const char *text = value.data;
    if (value.size == 0 || value.size > HTTP_CONTENT_LENGTH_DIGITS_MAX)
        return false;
    uint64_t length = 0;
    for (size_t i = 0; i < value.size; i++) {
        if (!digit(text[i]))
            return false;
        length = length * 10 + (uint64_t)(text[i] - '0');
    }
    *ret = length;
    return true;
}

/* RFC 9112 6: one way to tell where the body ends, or none. */
static bool check_framing(struct request_head *head, const struct head_facts *facts, struct request_reject *ret_reject)
{
    if (facts->encoding_count > 0 && facts->length_count > 0)
        return malformed(ret_reject, "both Content-Length and Transfer-Encoding");
    if (facts->length_count > 1)
        return malformed(ret_reject, "more than one Content-Length header");
    if (facts->length_count == 1 && !parse_content_length(&head->content_length, facts->length))
        return malformed(ret_reject, "Content-Length must be 1 to 18 digits");
    if (facts->encoding_count == 0)
        return true;
    if (facts->encoding_count > 1)
        return malformed(ret_reject, "more than one Transfer-Encoding header");
    if (head->is_version_1_0)
        return malformed(ret_reject, "Transfer-Encoding in an HTTP/1.0 request");
    if (!bytes_are(facts->encoding, "chunked"))
        return reject(ret_reject, STATUS_NOT_IMPLEMENTED, 501, "the only Transfer-Encoding understood is \"chunked\"");
    head->is_chunked = true;
    return true;
}

static void take_request_id(struct request_head *head, struct bytes value)
{
    const char *text = value.data;
    if (value.size == 0 || value.size > 36)
        return;
    for (size_t i = 0; i < value.size; i++) {
        char c = text[i];
        if (!digit(c) && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '_' && c != '-')
            return;
    }
    memcpy(head->request.request_id, text, value.size);
    head->request.request_id[value.size] = '\0';
}

static bool check_facts(struct request_head *head, const struct head_facts *facts, struct request_reject *ret_reject)
{
    if (!check_host(head, facts, ret_reject) || !check_framing(head, facts, ret_reject))
        return false;
    /* RFC 9110 10.1.1: an HTTP/1.0 client cannot expect anything. */
    if (facts->expects_other && !head->is_version_1_0)
        return reject(ret_reject, STATUS_MALFORMED, 417, "the only expectation understood is \"100-continue\"");
    head->expects_continue = facts->expects_continue && !head->is_version_1_0;
    head->keep_alive = !facts->says_close && (!head->is_version_1_0 || facts->says_keep_alive);
    take_request_id(head, facts->request_id);
    return true;
}

/* --- the second opinion --- */

static int witness_begin(llhttp_t *llhttp)
{
    struct request_witness *witness = llhttp->data;
    witness->begun++;
    return 0;
}

static int witness_headers(llhttp_t *llhttp)
{
    llhttp->upgrade = 0; /* we never switch protocols, so what follows is HTTP (RFC 9110 7.8) */
    return 0;
}

static int witness_complete(llhttp_t *llhttp)
{
    struct request_witness *witness = llhttp->data;
    witness->completed++;
    return 0;
}

void request_witness_init(struct request_witness *witness)
{
    static const llhttp_settings_t settings = {
        .on_message_begin = witness_begin,
        .on_headers_complete = witness_headers,
        .on_message_complete = witness_complete,
    };
    /* llhttp_init() takes a non-const pointer and never writes through it. */
    llhttp_init(&witness->llhttp, HTTP_REQUEST, (llhttp_settings_t *)(uintptr_t)&settings);
    witness->llhttp.data = witness;
    witness->begun = witness->completed = 0;
}

/* `version` is the "HTTP/1.x" in the block. llhttp knows 1.0 and 1.1; a later 1.x is read as 1.1 (RFC 9110 2.5). */
static bool witness_reads_head(struct request_witness *witness, const char *data, size_t size, const char *version)
{
    llhttp_t *llhttp = &witness->llhttp;
    llhttp_reset(llhttp);
    witness->begun = witness->completed = 0;
    if (version[7] <= '1')
        return llhttp_execute(llhttp, data, size) == HPE_OK;
    const char *rest = version + 8;
    return llhttp_execute(llhttp, data, (size_t)(version - data)) == HPE_OK &&
           llhttp_execute(llhttp, "HTTP/1.1", 8) == HPE_OK &&
           llhttp_execute(llhttp, rest, size - (size_t)(rest - data)) == HPE_OK;
}

static bool witness_agrees(const struct request_witness *witness, const struct request_head *head)
{
    bool has_body = head->is_chunked || head->content_length > 0;
    bool sees_chunked = (witness->llhttp.flags & F_CHUNKED) != 0;
    if (witness->begun != 1 || witness->completed != (has_body ? 0 : 1))
        return false;
    if (!has_body)
        return true;
    return sees_chunked == head->is_chunked &&
           (head->is_chunked || witness->llhttp.content_length == head->content_length);
}

static void head_reset(struct request_head *head)
{
    head->request.is_head = false;
    head->request.host = (struct bytes){NULL, 0};
    head->request.body = (struct bytes){NULL, 0};
    head->request.request_id[0] = '\0';
    head->content_length = 0;
    head->is_chunked = head->is_asterisk = false;
}

bool request_head_parse(struct request_head *head, struct request_witness *witness, const char *data, size_t size,
                        struct request_reject *ret_reject)
{
    assert(size >= 4 && memcmp(data + size - 4, "\r\n\r\n", 4) == 0);
    struct head_facts facts = {0};
    const char *version;
    const char *line_end = (const char *)memchr(data, '\n', size) - 1;
    head_reset(head);
    if (!parse_request_line(head, data, line_end, &version, ret_reject) ||
        !parse_header_lines(head, &facts, line_end + 2, data + size, ret_reject) ||
        !check_facts(head, &facts, ret_reject))
        return false;
    if (witness == NULL)
        return true;
    if (!witness_reads_head(witness, data, size, version) || !witness_agrees(witness, head))
        return malformed(ret_reject, "the request can be read in more than one way");
    return true;
}
