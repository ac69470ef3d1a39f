/* Built from another revision of the provisional headers. */
#define BAD_FEATURES (CHRONOS_FEATURE_PROVISIONAL | (uint64_t)(CHRONOS_ABI_REVISION + 1) << 32)
#include "bad_plugin.h"
