/* A mandatory function is missing. */
#define BAD_START NULL
#include "bad_plugin.h"
