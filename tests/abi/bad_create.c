/* No create function. */
#define BAD_CREATE NULL
#include "bad_plugin.h"
