/* A descriptor shorter than ABI 1.0's. */
#define BAD_PLUGIN_SIZE (sizeof(struct chronos_plugin) - 8)
#include "bad_plugin.h"
