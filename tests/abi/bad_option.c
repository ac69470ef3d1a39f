/* An option whose default breaks its own limits. */
#include <chronos/plugin.h>

static const struct chronos_option bad_options[] = {
    {"count", CHRONOS_OPTION_INT, 0, "100", "1..64", "A number."},
};
#define BAD_OPTIONS bad_options, 1, sizeof(struct chronos_option)
#include "bad_plugin.h"
