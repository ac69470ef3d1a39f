/* Cursors: base64url of one kind byte and the key where the next page begins. The key is the row's own, so a cursor stays good
 * whatever is written meanwhile. */
#include <string.h>

#include "api/api_internal.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

enum { CURSOR_TEXT_MAX = 360 };

static size_t encode(const uint8_t *data, size_t size, char *out)
{
    size_t n = 0;
    uint32_t bits = 0, held = 0;
    for (size_t i = 0; i < size; i++) {
        bits = bits << 8 | data[i];
        for (held += 8; held >= 6; held -= 6)
            out[n++] = digits[bits >> (held - 6) & 63];
    }
    if (held > 0)
        out[n++] = digits[bits << (6 - held) & 63];
    out[n] = '\0';
    return n;
}

static bool decode(const char *text, uint8_t *out, size_t out_size, size_t *ret_size)
{
    size_t n = 0;
    uint32_t bits = 0, held = 0;
    for (; *text != '\0'; text++) {
        const char *digit = strchr(digits, *text);
        if (digit == NULL || n == out_size)
            return false;
        bits = bits << 6 | (uint32_t)(digit - digits);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[n++] = (uint8_t)(bits >> held);
        }
    }
    *ret_size = n;
    return true;
}

enum status page_parse(const struct http_request *request, char kind, struct page *ret, struct error *err)
{
    struct page page = {.limit = PAGE_DEFAULT};
    char text[CURSOR_TEXT_MAX];
    uint8_t raw[sizeof page.cursor];
    size_t size = 0;
    int64_t limit;
    enum status status;
    if (query_int(request, "limit", 1, PAGE_MAX, &limit, &status, err)) {
        if (status != STATUS_OK)
            return status;
        page.limit = (uint32_t)limit;
    }
    status = STATUS_OK;
    if (http_query_get(request, "cursor", text, sizeof text, &status)) {
        if (status != STATUS_OK || !decode(text, raw, sizeof raw, &size) || size < 2 || raw[0] != (uint8_t)kind)
            return error_set(err, STATUS_MALFORMED, "this cursor is not of this list; begin again without one");
        page.cursor_size = size - 1;
        memcpy(page.cursor, raw + 1, page.cursor_size);
    }
    *ret = page;
    return STATUS_OK;
}

void page_write_next(struct json_writer *w, char kind, struct bytes key)
{
    uint8_t raw[sizeof((struct page *)0)->cursor];
    char text[CURSOR_TEXT_MAX];
    json_key(w, "next_cursor");
    if (key.size == 0 || key.size >= sizeof raw) {
        json_null(w);
        return;
    }
    raw[0] = (uint8_t)kind;
    memcpy(raw + 1, key.data, key.size);
    (void)encode(raw, key.size + 1, text);
    json_string(w, text);
}
