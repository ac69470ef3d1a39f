/* Needs a newer host. */
#define BAD_HOST_MINOR_MIN (CHRONOS_ABI_MINOR + 1)
#include "bad_plugin.h"
