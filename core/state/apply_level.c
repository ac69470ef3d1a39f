/* FEATURE_LEVEL: from here on entries may say what that level brought. Whoever does not know it stops here. */
#include <string.h>

#include "state/apply_internal.h"
#include "state/level.h"

enum status apply_feature_level(struct apply *a)
{
    struct state_meta *work = &a->state->work;
    uint8_t row[META_FEATURE_LEVEL_SIZE];
    uint32_t level = take_u32(&a->body);
    if (!reader_done(&a->body))
        return apply_malformed(a);
    if (level <= work->feature_level)
        return apply_refuse(a, STATUS_STALE);
    enum status status = feature_level_check(level, a->err);
    if (status)
        return status;
    store_le32(row, level);
    work->feature_level = level;
    return apply_put(a, STATE_META, (struct bytes){meta_feature_level, strlen(meta_feature_level)}, (struct bytes){row, sizeof row});
}
