/* What the server refuses of a request, and what it takes: each request whole and byte by byte, with the same answers. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "harness.h"

/* --- requests and the answers they get --- */

struct row {
    const char *name;
    const char *request;
    size_t size;       /* 0: strlen */
    int statuses[4];   /* in order; 0 ends */
    bool is_closed;    /* after the last one */
    const char *body;  /* of the last one, where it matters */
};
#define OK_TAIL "GET /tail HTTP/1.1\r\nHost: a\r\n\r\n"
#define SIZED(text) text, sizeof(text) - 1
#define CLOSED true

static const struct row rows[] = {
    /* the request line */
    {"no version", "GET /\r\nHost: a\r\n\r\n" OK_TAIL, 0, {400}, CLOSED, NULL},
    {"two spaces behind the method", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"no Host", "GET / HTTP/1.1\r\n\r\n" OK_TAIL, 0, {400}, CLOSED, NULL},
    {"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"bare LF line ends", "GET / HTTP/1.1\nHost: a\n\n", 0, {400}, CLOSED, NULL},
    {"one bare LF", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"obs-fold", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"obs-fold with a tab", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"space before the first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"NUL in a value", SIZED("GET / HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n"), {400}, CLOSED, NULL},
    {"bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"Content-Length 5 and 6", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 0,
     {400}, CLOSED, NULL},
    {"Content-Length twice the same",
     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
     0, {400}, CLOSED, NULL},
    {"CL + TE + smuggled GET", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
     "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"TE + CL", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 0,
     {400}, CLOSED, NULL},
    {"TE: xchunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 0, {501}, CLOSED,
     NULL},
    {"TE: gzip, chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 0, {501},
     CLOSED, NULL},
    {"TE twice",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     0, {400}, CLOSED, NULL},
    {"chunked", "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n06\r\n world\r\n"
     "0\r\n\r\n"
     OK_TAIL, 0, {200, 200}, false, "GET /tail? host=a headers=1 body="},
    {"chunked, as it arrives",
     "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\nA\r\n world"
     "\r\n..\r\n0\r\n\r\n", 0, {200}, false, "POST /c? host=a headers=2 body=hello world\r\n.."},
    {"chunked with extension and trailer", "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
     "5;a=b;c=\"d\"\r\nhello\r\n0;x\r\nX-T: 1\r\nY: 2\r\n\r\n", 0, {200}, false,
     "POST /c? host=a headers=2 body=hello"},
    {"bad CRLF behind a chunk",
     "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n", 0,
     {400}, CLOSED, NULL},
    {"bare LF behind a chunk",
     "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", 0,
     {400}, CLOSED, NULL},
    {"bare LF behind a chunk size",
     "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
     0, {400}, CLOSED, NULL},

    /* request line */
    {"plain", "GET /a?b=c HTTP/1.1\r\nHost: a:80\r\n\r\n", 0, {200}, false, "GET /a?b=c host=a headers=1 body="},
    {"one empty line before", "\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", 0, {200}, false,
     "GET /a? host=a headers=1 body="},
    {"two empty lines before", "\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"LF first", "\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 0, {505}, CLOSED, NULL},
    {"HTTP/0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 0, {505}, CLOSED, NULL},
    {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, {505}, CLOSED, NULL},
    {"HTTP/1.7 is read as 1.1", "GET / HTTP/1.7\r\nHost: a\r\n\r\n", 0, {200}, false, NULL},
    {"HTTP/1.7 with a body", "PUT / HTTP/1.7\r\nHost: a\r\nContent-Length: 2\r\n\r\nok" OK_TAIL, 0, {200, 200},
     false, NULL},
    {"http/1.1 in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"version with more digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"space behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"tab for a space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"unknown method", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 0, {501}, CLOSED, NULL},
    {"method in lower case", "get / HTTP/1.1\r\nHost: a\r\n\r\n", 0, {501}, CLOSED, NULL},
    {"TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 0, {501}, CLOSED, NULL},
    {"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 0, {501}, CLOSED, NULL},
    {"bad method", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"TLS hello", SIZED("\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"), {400}, CLOSED, NULL},
    {"every method",
     "PUT /m HTTP/1.1\r\nHost: a\r\n\r\nPATCH /m HTTP/1.1\r\nHost: a\r\n\r\nDELETE /m HTTP/1.1\r\nHost: a"
     "\r\n\r\nOPTIONS /m HTTP/1.1\r\nHost: a\r\n\r\n", 0, {200, 200, 200, 200}, false,
     "OPTIONS /m? host=a headers=1 body="},

    /* target */
    {"absolute form", "GET http://b.example:8080/x?y HTTP/1.1\r\nHost: a\r\n\r\n", 0, {200}, false,
     "GET /x?y host=b.example headers=1 body="},
    {"absolute form without path", "GET HTTPS://[::1]:8080?q HTTP/1.1\r\nHost: a\r\n\r\n", 0, {200}, false,
     "GET /?q host=[::1] headers=1 body="},
    {"absolute form still needs Host", "GET http://b/x HTTP/1.1\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"absolute form, other scheme", "GET ftp://b/x HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"absolute form with user", "GET http://u@b/x HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"absolute form without host", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"no leading slash", "GET x HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n" OK_TAIL, 0, {204, 200}, false, NULL},
    {"asterisk for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"escapes", "GET /a%20b%c3%a4%41?x=%zz HTTP/1.1\r\nHost: a\r\n\r\n", 0, {200}, false,
     "GET /a b\xc3\xa4" "A?x=%zz host=a headers=1 body="},
    {"bad escape", "GET /a%2 HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"bad escape digits", "GET /a%g0b HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"encoded NUL", "GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"encoded slash", "GET /a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"dot segment", "GET /a/./b HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"dot-dot at the end", "GET /a/.. HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"encoded dot-dot", "GET /%2e%2E/b HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"dots that are names", "GET /.a/..b/.../c. HTTP/1.1\r\nHost: a\r\n\r\n", 0, {200}, false, NULL},
    {"fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"raw UTF-8", "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"control byte in the query", "GET /?a\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"brackets in the query", "GET /?a[b]={\"c\":1|2} HTTP/1.1\r\nHost: a\r\n\r\n", 0, {200}, false, NULL},

    /* headers */
    {"empty name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"no colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"bad name", "GET / HTTP/1.1\r\nHost: a\r\nX(y): 1\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"Latin-1 and tab in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \xe4\tb  \r\n\r\n", 0, {200}, false, NULL},
    {"empty value", "GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \r\n\r\n", 0, {200}, false, NULL},
    {"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 0, {200}, false, "GET /? host= headers=1 body="},
    {"Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"Host with two values", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"Host with a bad port", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"Host, IPv6", "GET / HTTP/1.1\r\nHost: [fe80::1]:80\r\n\r\n", 0, {200}, false,
     "GET /? host=[fe80::1] headers=1 body="},
    {"Host, open bracket", "GET / HTTP/1.1\r\nHost: [fe80::1\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"upgrade is ignored", "GET /u HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" OK_TAIL, 0,
     {200, 200},
     false, NULL},

    /* framing */
    {"Content-Length", "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 05\r\n\r\nhello" OK_TAIL, 0, {200, 200},
     false, NULL},
    {"body as it arrives", "POST /b HTTP/1.1\r\nHost: a\r\ncontent-length:5\r\n\r\nhello", 0, {200}, false,
     "POST /b? host=a headers=2 body=hello"},
    {"GET with a body", "GET /b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy", 0, {200}, false,
     "GET /b? host=a headers=2 body=xy"},
    {"Content-Length 0", "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" OK_TAIL, 0, {200, 200}, false,
     NULL},
    {"Content-Length +5", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 0, {400}, CLOSED, NULL},
    {"Content-Length -1", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"Content-Length 5, 5", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", 0, {400}, CLOSED, NULL},
    {"Content-Length empty", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"Content-Length of HTTP_CONTENT_LENGTH_DIGITS_MAX digits",
     "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 000000000000000005\r\n\r\nhello" OK_TAIL, 0, {200, 200}, false, NULL},
    {"Content-Length of 19 digits",
     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0000000000000000005\r\n\r\nhello", 0, {400},
     CLOSED, NULL},
    {"Content-Length beyond the cap", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n", 0, {413},
     CLOSED, NULL},
    {"chunk size is not a number", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 0,
     {400}, CLOSED,
     NULL},
    {"empty chunk size", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", 0, {400}, CLOSED,
     NULL},
    {"space behind a chunk size",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
     0, {400}, CLOSED, NULL},
    {"chunk of 2^28", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000\r\n", 0, {413},
     CLOSED, NULL},
    {"chunk size that overflows",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n", 0,
     {413}, CLOSED, NULL},
    {"chunk beyond the cap", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n", 0, {413},
     CLOSED,
     NULL},
    {"bad trailer", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX : 1\r\n\r\n", 0, {400},
     CLOSED,
     NULL},
    {"framing in a trailer is dropped",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 3\r\n\r\n",
     0, {200}, false, "POST /? host=a headers=2 body="},
    {"NUL in an extension",
     SIZED("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;\0\r\nx\r\n0\r\n\r\n"),
     {400}, CLOSED, NULL},

    /* expectations, versions, persistence */
    {"other expectation", "POST / HTTP/1.1\r\nHost: a\r\nExpect: cake\r\nContent-Length: 1\r\n\r\nx", 0, {417},
     CLOSED, NULL},
    {"expectation of a body beyond the cap",
     "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9999999"
     "\r\n\r\n", 0, {413}, CLOSED, NULL},
    {"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n" OK_TAIL, 0, {200}, CLOSED, NULL},
    {"HTTP/1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n" OK_TAIL, 0, {200, 200}, false, NULL},
    {"HTTP/1.0 with TE", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"HTTP/1.0 with two Hosts", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 0, {400}, CLOSED, NULL},
    {"Connection: close", "GET / HTTP/1.1\r\nHost: a\r\nConnection: x , CLOSE\r\n\r\n" OK_TAIL, 0, {200}, CLOSED, NULL},
    {"the handler closes", "GET /close HTTP/1.1\r\nHost: a\r\n\r\n" OK_TAIL, 0, {200}, CLOSED, NULL},
    {"pipelined", OK_TAIL OK_TAIL "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n" OK_TAIL, 0, {200, 200, 204, 200}, false,
     NULL},
    {"pipelined, then nonsense", OK_TAIL "x\r\n\r\n", 0, {200, 400}, CLOSED, NULL},
};

static void check_last(const struct row *row, const struct answer *answer)
{
    if (row->body == NULL)
        return;
    if (answer->body.size != strlen(row->body) || memcmp(answer->body.data, row->body, answer->body.size) != 0)
        fail_msg("%s: the body is \"%.*s\"", row->name, (int)answer->body.size, (const char *)answer->body.data);
}

static void run_row(struct harness *h, const struct row *row, bool is_bytewise)
{
    struct client c;
    struct answer answer = {0};
    size_t at = 0;
    size_t size = row->size != 0 ? row->size : strlen(row->request);
    client_connect(h, &c);
    if (is_bytewise)
        client_send_bytewise(h, &c, row->request, size);
    else
        assert_true(client_send(h, &c, row->request, size));
    for (int i = 0; i < 4 && row->statuses[i] != 0; i++) {
        answer = client_await(h, &c, &at, false);
        if (answer.status != row->statuses[i])
            fail_msg("%s: answer %d is %d, not %d", row->name, i, answer.status, row->statuses[i]);
        bool is_last = i == 3 || row->statuses[i + 1] == 0;
        if (answer.close != (is_last && row->is_closed))
            fail_msg("%s: answer %d: Connection: close is wrong", row->name, i);
    }
    check_last(row, &answer);
    if (row->is_closed)
        client_await_eof(h, &c);
    else
        harness_settle(h);
    client_take(&c);
    if (c.in.size != at || c.is_eof != row->is_closed || c.is_reset)
        fail_msg("%s: more than expected came, or it was reset", row->name);
    client_close(&c);
}

static void test_rows(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    (void)state; /* none */
    harness_start(&h, &limits);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        run_row(&h, &rows[i], false);
    harness_stop(&h);
}

static void test_rows_bytewise(void **state)
{
    struct harness h;
    struct http_limits limits = harness_limits();
    (void)state; /* none */
    harness_start(&h, &limits);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        run_row(&h, &rows[i], true);
    harness_stop(&h);
}

/* --- sizes, made up here --- */

static struct buffer request_of(const char *begin, const char *repeated, size_t count, const char *end)
{
    struct buffer b;
    buffer_init(&b, 1 << 20);
    buffer_append_string(&b, begin);
    for (size_t i = 0; i < count; i++)
        buffer_append_string(&b, repeated);
    buffer_append_string(&b, end);
    assert_int_equal(b.failed, STATUS_OK);
    return b;
}

static void run_sized(struct harness *h, const char *name, struct buffer request, int status)
{
    struct row row = {name, request.data, request.size, {status}, status != 200, NULL};
    run_row(h, &row, false);
    run_row(h, &row, true);
    buffer_deinit(&request);
}

static void test_sizes(void **state)
{
    static const char chunked[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    struct harness h;
    struct http_limits limits = harness_limits();
    char begin[128];
    (void)state; /* none */
    harness_start(&h, &limits);
    run_sized(&h, "64 KiB header", request_of("GET / HTTP/1.1\r\nHost: a\r\nX: ", "y", 65536, "\r\n\r\n"), 431);
    run_sized(&h, "2,000 headers", request_of("GET / HTTP/1.1\r\nHost: a\r\n", "X: y\r\n", 2000, "\r\n"), 431);
    run_sized(&h, "100 headers", request_of("GET / HTTP/1.1\r\nHost: a\r\n", "X: y\r\n", HTTP_HEADERS_MAX - 1,
     "\r\n"), 200);
    run_sized(&h, "101 headers", request_of("GET / HTTP/1.1\r\nHost: a\r\n", "X: y\r\n", HTTP_HEADERS_MAX, "\r\n"),
     431);
    /* 28 + n + 4 bytes */
    run_sized(&h, "16 KiB of header", request_of("GET / HTTP/1.1\r\nHost: a\r\nX: ", "y", HTTP_HEADER_BYTES_MAX - 32,
                                                 "\r\n\r\n"), 200);
    run_sized(&h, "one byte more", request_of("GET / HTTP/1.1\r\nHost: a\r\nX: ", "y", HTTP_HEADER_BYTES_MAX - 31,
                                              "\r\n\r\n"), 431);
    run_sized(&h, "the longest target", request_of("GET /", "y", HTTP_TARGET_MAX - 1,
     " HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
    run_sized(&h, "a longer target", request_of("GET /", "y", HTTP_TARGET_MAX, " HTTP/1.1\r\nHost: a\r\n\r\n"), 414);
    run_sized(&h, "an endless request line", request_of("GET /", "y", 20000, " HTTP/1.1\r\nHost: a\r\n\r\n"), 414);
    (void)snprintf(begin, sizeof begin, "%s1;", chunked); /* fits */
    run_sized(&h, "extension of 256", request_of(begin, "e", HTTP_CHUNK_EXTENSION_MAX, "\r\nx\r\n0\r\n\r\n"), 200);
    run_sized(&h, "extension of 257", request_of(begin, "e", HTTP_CHUNK_EXTENSION_MAX + 1, "\r\nx\r\n0\r\n\r\n"), 400);
    (void)snprintf(begin, sizeof begin, "%s0\r\nT: ", chunked); /* fits */
    run_sized(&h, "trailers of 4 KiB", request_of(begin, "t", HTTP_TRAILER_MAX - 7, "\r\n\r\n"), 200);
    run_sized(&h, "trailers of more", request_of(begin, "t", HTTP_TRAILER_MAX - 6, "\r\n\r\n"), 431);
    run_sized(&h, "endless zeros", request_of(chunked, "0", 17, "1\r\nx\r\n0\r\n\r\n"), 400);
    harness_stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_rows_bytewise),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
