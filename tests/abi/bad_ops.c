/* No operations at all. */
#define BAD_OPS NULL
#include "bad_plugin.h"
