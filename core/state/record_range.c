/* `ranges`: slots that were due and did not run. */
#include "state/record_internal.h"

void dropped_range_encode(const struct dropped_range *range, struct buffer *ret_key, struct buffer *ret_row)
{
    uint8_t key[RANGE_KEY_SIZE];
    store_be64(key, range->serial);
    store_be64(key + SERIAL_KEY_SIZE, (uint64_t)range->first_ms);
    buffer_append(ret_key, key, sizeof key);
    put_u8(ret_row, ROW_FORMAT);
    put_i64(ret_row, range->last_ms);
    put_u64(ret_row, range->count);
    put_u8(ret_row, range->at_least);
    put_u8(ret_row, (uint8_t)range->reason);
    put_i64(ret_row, range->decided_ms);
}

enum status dropped_range_decode(struct bytes key, struct bytes row, struct dropped_range *ret, struct error *err)
{
    if (key.size != RANGE_KEY_SIZE)
        return error_set(err, STATUS_CORRUPT, "a key of ranges has %zu bytes instead of %d", key.size, RANGE_KEY_SIZE);
    struct reader r = reader_of(row.data, row.size);
    enum status status = row_open(&r, "ranges", err);
    if (status)
        return status;
    struct dropped_range range = {
        .serial = load_be64(key.data),
        .first_ms = (int64_t)load_be64((const uint8_t *)key.data + SERIAL_KEY_SIZE),
    };
    range.last_ms = take_i64(&r);
    range.count = take_u64(&r);
    range.at_least = take_bool(&r);
    range.reason = (enum reason)take_enum(&r, REASON_COUNT);
    range.decided_ms = take_i64(&r);
    status = row_close(&r, "ranges", err);
    if (status)
        return status;
    *ret = range;
    return STATUS_OK;
}
