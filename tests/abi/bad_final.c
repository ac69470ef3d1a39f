/* Claims the final ABI 1.0, which does not exist yet. */
#define BAD_FEATURES UINT64_C(0)
#include "bad_plugin.h"
