/* Calls a function that nobody has: lazy binding would find out in the middle of a run. */
#include <chronos/plugin.h>

int32_t function_that_nobody_has(const struct chronos_host *host, void **self, struct chronos_error *err);
#define BAD_CREATE function_that_nobody_has
#include "bad_plugin.h"
