/* DRAIN: which nodes are to leave the cluster. A set of numbers of consensus: each belongs to one data directory for ever, so that a node
 * that comes back under the name of one that left is none of them. */
#include <string.h>

#include "state/apply_internal.h"

static struct bytes row_key(void)
{
    return (struct bytes){meta_draining, strlen(meta_draining)};
}

static enum status load(struct apply *a, uint8_t ret[META_DRAINING_SIZE])
{
    struct bytes row;
    enum status status = apply_get(a, STATE_META, row_key(), &row);
    if (status == STATUS_NOT_FOUND) {
        memset(ret, 0, META_DRAINING_SIZE);
        return STATUS_OK;
    }
    if (status)
        return status;
    if (row.size != META_DRAINING_SIZE)
        return error_set(a->err, STATUS_CORRUPT, "table meta: the row \"%s\" has %zu bytes instead of %d", meta_draining, row.size,
                         META_DRAINING_SIZE);
    memcpy(ret, row.data, META_DRAINING_SIZE);
    return STATUS_OK;
}

/* The place of the number; NULL: it has none. */
static uint8_t *place_of(uint8_t row[META_DRAINING_SIZE], uint64_t node)
{
    for (int i = 0; i < COMMAND_NODES_MAX; i++)
        if (load_le64(row + 8 * i) == node)
            return row + 8 * i;
    return NULL;
}

enum status apply_drain(struct apply *a)
{
    uint8_t row[META_DRAINING_SIZE];
    struct drain drain = take_drain(&a->body);
    if (!reader_done(&a->body) || drain.node == 0)
        return apply_malformed(a);
    enum status status = load(a, row);
    if (status)
        return status;
    uint8_t *place = place_of(row, drain.node);
    if ((place != NULL) == drain.is_leaving)
        return STATUS_OK;
    if (place == NULL)
        place = place_of(row, 0);
    if (place == NULL)
        return apply_refuse(a, STATUS_TOO_MANY);
    a->changes->draining = true;
    store_le64(place, drain.is_leaving ? drain.node : 0);
    return apply_put(a, STATE_META, row_key(), (struct bytes){row, sizeof row});
}
