/* `idempotency` and its two companions: what a repeated request is answered with, when that ends, how many there are of whom. */
#include <string.h>

#include "state/record_internal.h"

enum { HOUR_MS = 60 * 60 * 1000 };

void idempotency_row_encode(const struct idempotency_row *row, struct buffer *out)
{
    put_u8(out, ROW_FORMAT);
    put_string(out, row->principal);
    buffer_append(out, row->request, sizeof row->request);
    put_u16(out, row->http_status);
    put_id(out, &row->resource);
    put_i64(out, row->created_ms);
}

enum status idempotency_row_decode(struct bytes bytes, struct idempotency_row *ret, struct error *err)
{
    struct reader r = reader_of(bytes.data, bytes.size);
    enum status status = row_open(&r, "idempotency", err);
    if (status)
        return status;
    struct idempotency_row row = {.http_status = 0};
    take_string(&r, row.principal, sizeof row.principal);
    take_raw(&r, row.request, sizeof row.request);
    row.http_status = take_u16(&r);
    row.resource = take_id(&r);
    row.created_ms = take_i64(&r);
    r.failed = r.failed || row.created_ms < 0; /* a key of time sorts from 1970 on */
    status = row_close(&r, "idempotency", err);
    if (status)
        return status;
    *ret = row;
    return STATUS_OK;
}

bool idempotency_is_over(int64_t created_ms, int64_t now_ms)
{
    return now_ms - created_ms >= (int64_t)IDEMPOTENCY_KEPT_HOURS * HOUR_MS; /* neither is negative */
}

struct idempotency_time_key idempotency_time_key(int64_t created_ms, const void *digest)
{
    struct idempotency_time_key key;
    store_be64(key.bytes, (uint64_t)created_ms);
    memcpy(key.bytes + TIME_KEY_SIZE, digest, IDEMPOTENCY_DIGEST_SIZE);
    return key;
}

enum status idempotency_time_of(struct bytes key, int64_t *ret_created_ms, struct error *err)
{
    if (key.size != IDEMPOTENCY_TIME_KEY_SIZE || load_be64(key.data) > INT64_MAX)
        return error_set(err, STATUS_CORRUPT, "a key of %zu bytes is not a time and a digest", key.size);
    *ret_created_ms = (int64_t)load_be64(key.data);
    return STATUS_OK;
}

struct bytes principal_key(const char *principal, uint8_t out[PRINCIPAL_KEY_MAX])
{
    size_t size = strlen(principal);
    assert(size <= TOKEN_NAME_MAX);
    out[0] = (uint8_t)size; /* so that the empty name has a key, too */
    memcpy(out + 1, principal, size);
    return (struct bytes){out, 1 + size};
}
