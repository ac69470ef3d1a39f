/* A storage without most of its functions. */
#include <chronos/plugin.h>

static int32_t open_nothing(void *self, const struct chronos_storage_open *open, struct chronos_error *err)
{
    (void)self;
    (void)open;
    (void)err;
    return CHRONOS_OK;
}

static const struct chronos_storage_ops storage_ops = {.struct_size = sizeof storage_ops, .open = open_nothing};
#define BAD_KIND CHRONOS_KIND_STORAGE
#define BAD_OPS &storage_ops
#include "bad_plugin.h"
