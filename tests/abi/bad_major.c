/* Another major version. */
#define BAD_MAJOR 2
#include "bad_plugin.h"
