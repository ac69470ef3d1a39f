/* An option table whose elements are too short. */
#include <chronos/plugin.h>

static const struct chronos_option bad_options[] = {
    {"count", CHRONOS_OPTION_INT, 0, "1", "1..64", "A number."},
};
#define BAD_OPTIONS bad_options, 1, 8
#include "bad_plugin.h"
